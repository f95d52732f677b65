//! Renewal: asks for a new certificate in good time, checks what comes, installs it, and lets the node adopt it.
//!
//! When to ask is [`Plan`]'s to say; how a request travels is the node's. What runs here belongs to one handle and ends
//! with its node.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::code::Code;
use crate::config::{Config, IdentityFiles};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::identity::renewal::{Later, Plan, request_hash, to_be_signed};
use crate::identity::{Identity, KeyKind, attestation};
use crate::name::Name;
use crate::node::renewal::{Ask, Renewed};
use crate::session::clock;
use crate::session::driver::{IdentityCell, Machine};
use crate::session::events::EventHub;
use crate::session::keeping::{Keeping, Waiting, blocking, is_writable};
use crate::session::reload::Reloader;
use crate::wire::{Answer, Request};

/// Hands a request to whoever gets it answered: the node, or a server's own authority.
pub(crate) type Post = Box<dyn Fn(Ask) + Send + Sync>;
/// Puts a new identity into use; the reload tells what is wrong with it, if anything is.
type Adopt = Box<dyn Fn(Identity) -> BoxFuture<'static, ()> + Send + Sync>;

/// Where the answers to a node's requests are handed in.
#[derive(Clone, Debug)]
pub(crate) struct Answers(mpsc::UnboundedSender<Renewed>);

impl Answers {
    /// Where to hand them in, and where they come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Renewed>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Hands in an answer; where nothing is renewed, nobody hears it.
    pub(crate) fn put(&self, renewed: Renewed) {
        let _ = self.0.send(renewed);
    }
}

/// Renews one node's certificate.
pub(crate) struct Renewer {
    group: String,
    identity: IdentityCell,
    keeping: Keeping,
    key_kind: Option<KeyKind>,
    post: Post,
    answers: mpsc::UnboundedReceiver<Renewed>,
    adopt: Adopt,
    events: EventHub,
    /// What was said already, so that it is said once: a pending request's hash, that there is no authority.
    told_pending: Option<[u8; 32]>,
    told_by_hand: bool,
}

/// What became of one request.
enum Attempt {
    Later(Later),
    Installed,
    /// Another identity is in use: what was asked is not needed any more.
    Changed,
    /// The node has ended.
    Ended,
}

/// Why a wait ended.
enum Woken {
    Due,
    /// Another identity is in use.
    Changed,
    /// The node has ended.
    Ended,
}

impl Renewer {
    /// A renewer, where the node is to renew by itself: `identity.renewal` says so, or does not say and the identity
    /// lies in files that this process may write.
    pub(crate) fn new<M: Machine>(
        config: &Config,
        reloader: &Arc<Reloader<M>>,
        post: Post,
        answers: mpsc::UnboundedReceiver<Renewed>,
        events: &EventHub,
    ) -> Option<Self> {
        let identity = reloader.identities().clone();
        let files = identity.current().files().map(|files| IdentityFiles::clone(files));
        let may_write = files.as_ref().is_some_and(is_writable);
        if !config.renewal.enabled.unwrap_or(may_write) {
            return None;
        }
        let key_kind = |word: &String| KeyKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        Some(Self {
            group: config.management_group.clone().unwrap_or_default(),
            identity,
            keeping: Keeping::new(files),
            key_kind: config.renewal.key.as_ref().and_then(key_kind),
            post,
            answers,
            adopt: adopt_by(reloader.clone()),
            events: events.clone(),
            told_pending: None,
            told_by_hand: false,
        })
    }

    /// Renews until the node ends.
    pub(crate) async fn run(mut self) {
        let mut identity = self.identity.current();
        let mut plan = plan_of(&identity);
        loop {
            self.identity.renew_from(plan.due());
            match self.wait(plan.due(), identity.generation()).await {
                Woken::Ended => return,
                Woken::Due => match self.attempt(&identity).await {
                    Attempt::Later(later) => plan.later(later, clock::wall()),
                    // The plan is by what is in use: what was not adopted is asked for again.
                    Attempt::Installed | Attempt::Changed => {}
                    Attempt::Ended => return,
                },
                Woken::Changed => {}
            }
            let now = self.identity.current();
            // New trust or a new list is no new certificate.
            if now.chain_hash() != identity.chain_hash() {
                plan = plan_of(&now);
            } else if plan.due() <= clock::wall() {
                plan.later(Later::Failed(Duration::ZERO), clock::wall());
            }
            identity = now;
        }
    }

    /// Waits by the wall clock, which may be set: it is looked at again and again.
    async fn wait(&mut self, due: crate::time::Timestamp, generation: u64) -> Woken {
        loop {
            let rest = u64::try_from(due.unix_millis().saturating_sub(clock::wall().unix_millis())).unwrap_or(0);
            if rest == 0 {
                return Woken::Due;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(rest).min(LOOK_EVERY)) => {}
                // An answer that nobody waits for any more; none at all once the node has ended.
                answer = self.answers.recv() => if answer.is_none() { return Woken::Ended },
            }
            if self.identity.current().generation() != generation {
                return Woken::Changed;
            }
        }
    }

    /// Asks once.
    async fn attempt(&mut self, identity: &Identity) -> Attempt {
        let prepared = self.prepare(identity).await;
        let (waiting, ask) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.tell(Code::RenewalFailed, identity.name(), &error);
                return Attempt::Later(Later::Failed(Duration::ZERO));
            }
        };
        let hash = ask.hash;
        (self.post)(ask);
        let answer = match self.answer_to(hash, identity.generation()).await {
            Ok(answer) => answer,
            Err(instead) => return instead,
        };
        match answer {
            Answer::Issued(chain) => self.install(identity, waiting, chain.iter().map(|der| der.to_vec())).await,
            Answer::Pending(after) => {
                if self.told_pending.replace(hash) != Some(hash) {
                    let text = format!("request {}", waiting.request().file_stem());
                    self.events.emit(Event::new(Code::RenewalPending, identity.name().to_string(), text));
                }
                Attempt::Later(Later::Pending(after))
            }
            Answer::Refused(error, after) => Attempt::Later(self.refused(identity.name(), &error, after)),
        }
    }

    /// The answer to this request, or what happened instead.
    async fn answer_to(&mut self, hash: [u8; 32], generation: u64) -> std::result::Result<Answer, Attempt> {
        let by = clock::now() + ANSWER_WITHIN;
        while clock::now() < by {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                answer = self.answers.recv() => match answer {
                    Some(renewed) if renewed.hash == hash => return Ok(renewed.answer),
                    Some(_) => {}
                    None => return Err(Attempt::Ended),
                },
            }
            if self.identity.current().generation() != generation {
                // The request is signed with a key that is not in use any more.
                return Err(Attempt::Changed);
            }
        }
        Err(Attempt::Later(Later::Failed(Duration::ZERO)))
    }

    fn refused(&mut self, name: &Name, error: &Error, after: Duration) -> Later {
        match error.code() {
            Code::RenewalByHand => {
                if !std::mem::replace(&mut self.told_by_hand, true) {
                    self.events.emit(Event::of_error(name.to_string(), error));
                }
                Later::ByHand
            }
            Code::RenewalTooOften => Later::Failed(after),
            code => {
                if is_of_request(code) {
                    // The same request would be refused again: the next one is new, with a new key.
                    self.keeping.forget();
                }
                self.tell(Code::RenewalRefused, name, error);
                Later::Failed(after)
            }
        }
    }

    /// The event of something that did not work: the cause, and what its own code says to do.
    fn tell(&self, code: Code, name: &Name, error: &Error) {
        let told = Error::new(code).found(error.to_string()).remedy(error.remedy_text());
        self.events.emit(Event::of_error(name.to_string(), &told));
    }

    /// Key and request, kept before anybody is asked, and the signature of the key that is in use.
    async fn prepare(&self, identity: &Identity) -> Result<(Waiting, Ask)> {
        prepare(&self.keeping, identity, &self.group, self.key_kind).await
    }

    async fn install(
        &mut self,
        identity: &Identity,
        waiting: Waiting,
        chain: impl Iterator<Item = Vec<u8>>,
    ) -> Attempt {
        match install(&self.keeping, identity, waiting, chain).await {
            Ok(renewed) => {
                self.told_pending = None;
                let text = format!("until {}, key {}", renewed.not_after(), renewed.key_hash());
                self.events.emit(Event::new(Code::CertificateRenewed, renewed.name().to_string(), text));
                (self.adopt)(renewed).await;
                Attempt::Installed
            }
            Err(error) => {
                if !matches!(error.code(), Code::FileUnreadable | Code::FileMissing) {
                    self.keeping.forget();
                }
                self.tell(Code::RenewalFailed, identity.name(), &error);
                Attempt::Later(Later::Failed(Duration::ZERO))
            }
        }
    }
}

/// Key and request, kept before anybody is asked, and the signature of the key that is in use. A key of the same kind as that
/// one, unless told otherwise.
pub(super) async fn prepare(
    keeping: &Keeping,
    identity: &Identity,
    group: &str,
    key_kind: Option<KeyKind>,
) -> Result<(Waiting, Ask)> {
    let (keeping, identity, group) = (keeping.clone(), identity.clone(), group.to_owned());
    let kind = key_kind.unwrap_or_else(|| identity.key_kind());
    blocking(move || {
        let waiting = keeping.waiting_or_new(identity.name(), kind, identity.policy().name_rule)?;
        let request = waiting.request().der();
        let (scheme, signature) = attestation::sign(&identity, &to_be_signed(&group, identity.name(), request))?;
        let hash = request_hash(request);
        let request = Request { request: request.to_vec().into(), scheme: u32::from(scheme), signature };
        Ok((waiting, Ask { hash, request }))
    })
    .await
}

/// Checks the chain that came, DER with the leaf first, and makes it the identity of the files, if it lives in files.
pub(super) async fn install(
    keeping: &Keeping,
    present: &Identity,
    waiting: Waiting,
    chain: impl Iterator<Item = Vec<u8>>,
) -> Result<Identity> {
    let chain: Vec<CertificateDer<'static>> = chain.map(CertificateDer::from).collect();
    let (keeping, present) = (keeping.clone(), present.clone());
    blocking(move || {
        // With its own trust and policy: what comes over the wire is worth what it proves.
        let renewed = present.renewed(chain.clone(), waiting.key(), clock::validity())?;
        if renewed.not_after() <= present.not_after() {
            return Err(Error::new(Code::CertificateExpired)
                .found(format!("a new certificate until {}", renewed.not_after()))
                .expected(format!("one that lasts longer than the present one, until {}", present.not_after())));
        }
        Ok(keeping.install(present.name(), &chain, &waiting, Vec::new())?.unwrap_or(renewed))
    })
    .await
}

/// What was installed into files is read from them, as any change of theirs is; what lives in this process is handed in.
fn adopt_by<M: Machine>(reloader: Arc<Reloader<M>>) -> Adopt {
    Box::new(move |identity| {
        let reloader = reloader.clone();
        Box::pin(async move {
            // The reload tells what does not work; the next attempt follows the plan of what is in use.
            let _ = match identity.files() {
                Some(_) => reloader.reload().await,
                None => reloader.replace(identity).await,
            };
        })
    })
}

/// A plan for the certificate that is in use; the node's name and key choose its place in the window, at every start.
fn plan_of(identity: &Identity) -> Plan {
    let mut seed = [0; 8];
    seed.iter_mut().zip(identity.chain_hash().0).for_each(|(seed, byte)| *seed = byte);
    Plan::new(identity.life(), u64::from_be_bytes(seed), clock::wall())
}

/// Whether a refusal is about the request itself.
pub(super) fn is_of_request(code: Code) -> bool {
    matches!(
        code,
        Code::RequestUnusable | Code::RequestRefused | Code::AuthorityAnswerUnusable | Code::RenewalNameMismatch
    )
}

/// How often the wall clock, and the identity in use, are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A request that is not answered by then is made anew: the signature's key may have changed meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(3600);
