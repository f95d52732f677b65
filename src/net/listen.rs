//! Accepting: TCP, TLS, and the bounds on those who have not yet proven who they are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::code::Code;
use crate::error::Error;
use crate::identity::{Identity, VerifiedPeer};
use crate::limits::UNAUTHENTICATED_MAX;
use crate::net::{address_text, prepare, tls};
use crate::time::Timestamp;

/// A connection whose peer proved a certificate.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) peer: VerifiedPeer,
    pub(crate) address: String,
}

/// A listening socket.
pub(crate) struct Listener {
    tcp: TcpListener,
    /// The rest waits in the kernel's backlog.
    unauthenticated: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    ///
    /// [`Code::ListenFailed`].
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            Error::new(Code::ListenFailed).subject(address.to_string()).found(error.to_string())
        };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            tcp,
            unauthenticated: Arc::new(Semaphore::new(UNAUTHENTICATED_MAX)),
            sources: Arc::new(Mutex::new(HashMap::new())),
        })
    }

    /// Where it listens: the port that the system chose, if it was asked to.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// Accepts for ever; `identity` is asked per connection, since it may be reloaded. `done` gets every peer that
    /// proved itself, and every failure with the address it came from.
    pub(crate) async fn run<F>(
        self,
        identity: impl Fn() -> Identity,
        hello_timeout: Duration,
        at: fn() -> Timestamp,
        done: impl Fn(Result<Accepted, (String, Error)>) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.unauthenticated.clone().acquire_owned().await else { return };
            let (tcp, address) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: what is waiting must not be refused in a busy loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Some(guard) = self.admit(address.ip(), permit) else { continue };
            prepare(&tcp);
            let (identity, done, text) = (identity(), done.clone(), address_text(&address));
            tokio::spawn(async move {
                let result = handshake(&identity, tcp, hello_timeout, at).await;
                drop(guard);
                done(match result {
                    Ok((stream, peer)) => Ok(Accepted { stream, peer, address: text }),
                    Err(error) => Err((text, error)),
                })
                .await;
            });
        }
    }

    /// While others wait, one address holds at most half of the places.
    fn admit(&self, source: IpAddr, permit: OwnedSemaphorePermit) -> Option<Guard> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= UNAUTHENTICATED_MAX / 2 {
            return None;
        }
        *count += 1;
        Some(Guard { source, sources: self.sources.clone(), _permit: permit })
    }
}

async fn handshake(
    identity: &Identity,
    tcp: TcpStream,
    hello_timeout: Duration,
    at: fn() -> Timestamp,
) -> Result<(TlsStream<TcpStream>, VerifiedPeer), Error> {
    match timeout(hello_timeout, tls::accept(identity, tcp, at)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::HelloTimeout)
            .found("no complete TLS handshake")
            .expected(format!("one within {hello_timeout:?}"))),
    }
}

/// One connection that has not proven itself; gives its place back however it ends.
struct Guard {
    source: IpAddr,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

/// A system without descriptors is asked again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
