//! The desk of a key that its owner keeps: signatures on threads of their own, in bounded number and time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::{Identity, IdentityPolicy, Report, SignatureScheme, Signer, signer};
use crate::limits::{SIGN_WITHIN, SIGNATURES_AT_ONCE_MAX, SIGNATURES_WAITING_MAX};
use crate::name::Name;
use crate::session::clock;
use crate::time::{Instant, Timestamp};

#[cfg(test)]
mod tests;

impl Identity {
    /// Makes an identity whose private key never leaves its owner: `signer` makes the signatures. The rest is as in
    /// [`Identity::from_pem`].
    ///
    /// Blocks while the signer makes one signature by each of its schemes, which prove that it has the certificate's key.
    ///
    /// # Errors
    ///
    /// Everything that is wrong (rule I3); [`Code::KeyMismatch`], [`Code::SignerUnusable`], [`Code::SignerFailed`],
    /// [`Code::SignerTimedOut`] about the signer.
    pub fn with_signer(
        name: &Name,
        certificates: &[u8],
        signer: Arc<dyn Signer>,
        trust: &[&[u8]],
        crls: &[&[u8]],
        policy: IdentityPolicy,
        at: Timestamp,
    ) -> Result<Self, Report> {
        let desk = Desk::open(signer, SIGN_WITHIN).map_err(Report::of)?;
        Self::from_signer(name, certificates, Arc::new(desk), trust, crls, policy, at)
    }
}

/// A signer whose callers wait a bounded time, and whose threads end with it.
struct Desk {
    signer: Arc<dyn Signer>,
    orders: SyncSender<Order>,
    /// How long a caller waits.
    within: Duration,
}

/// One signature that somebody waits for.
struct Order {
    scheme: SignatureScheme,
    message: Vec<u8>,
    until: Instant,
    answer: SyncSender<Result<Vec<u8>>>,
}

impl Desk {
    fn open(signer: Arc<dyn Signer>, within: Duration) -> Result<Self> {
        let asked = catch_unwind(AssertUnwindSafe(|| signer.concurrency()));
        let count = asked.unwrap_or(1).clamp(1, SIGNATURES_AT_ONCE_MAX);
        let (orders, receiver) = sync_channel(SIGNATURES_WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..count {
            let (signer, receiver) = (signer.clone(), receiver.clone());
            let thread = std::thread::Builder::new()
                .name(format!("farpost-sign-{index}"))
                .spawn(move || serve(signer.as_ref(), &receiver));
            thread.map_err(|error| Error::new(Code::Internal).subject("a thread").found(error.to_string()))?;
        }
        Ok(Self { signer, orders, within })
    }

    fn ask(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>> {
        let late = |found: String| {
            Error::new(Code::SignerTimedOut)
                .subject(format!("{scheme:?}"))
                .found(found)
                .expected(format!("a signature within {:?}", self.within))
        };
        // Of one: an answer that comes too late finds room, and its thread goes on.
        let (answer, signed) = sync_channel(1);
        let order = Order { scheme, message: message.to_vec(), until: clock::now() + self.within, answer };
        match self.orders.try_send(order) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(late(format!("{SIGNATURES_WAITING_MAX} that wait already"))),
            Err(TrySendError::Disconnected(_)) => return Err(Error::new(Code::Closed).subject("the signer's threads")),
        }
        off_the_runtime(|| signed.recv_timeout(self.within)).unwrap_or_else(|_| Err(late("no answer".to_owned())))
    }
}

/// Signs until the desk is gone. An order that nobody waits for any more is passed over.
fn serve(signer: &dyn Signer, orders: &Mutex<Receiver<Order>>) {
    loop {
        let next = orders.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Order { scheme, message, until, answer }) = next else { return };
        if clock::now() < until {
            // Whoever asked may have given up meanwhile.
            let _ = answer.send(signer::call(signer, scheme, &message));
        }
    }
}

/// Waits without keeping a runtime's other tasks waiting, where the runtime has other threads.
fn off_the_runtime<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

impl Signer for Desk {
    fn public_key(&self) -> Vec<u8> {
        self.signer.public_key()
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.signer.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.ask(scheme, message)?)
    }
}

impl fmt::Debug for Desk {
    /// Nothing of the signer: what it shows of itself may be a PIN (H14).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Desk").finish_non_exhaustive()
    }
}
