//! Reload of a running node's identity (rule I5): from files that changed, or as its host says.
//!
//! What is new is judged whole before anything changes; then one snapshot takes the place of another. Handshakes take
//! the newest one, links stay, and everybody who is connected is judged again: who is no longer good is cut off within
//! seconds, and nobody else notices. See `docs/reload.md`.

mod outlook;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::identity::succession::{self, Succession};
use crate::identity::{ChainHash, Identity, VerifiedPeer};
use crate::limits::{IDENTITY_AGAIN, IDENTITY_POLL, VERIFY_AGAIN, VERIFY_AGAIN_BATCH};
use crate::node::{CertificateChange, IdentityChange, IdentityInput};
use crate::session::clock;
use crate::session::driver::{IdentityCell, Machine, Mailbox};
use crate::session::events::EventHub;
use crate::time::{Instant, Timestamp};
use outlook::Outlook;
pub(crate) use outlook::describe;
use watch::{Look, Watch};

/// What a reload of an identity came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityReload {
    /// Whether there was anything new.
    pub replaced: bool,
    /// Which load of the identity is in use now.
    pub generation: u64,
    /// When the first certificate of the node's own path ends.
    pub until: Timestamp,
}

/// The one who reloads a node's identity.
pub(crate) struct Reloader<M: Machine> {
    identities: IdentityCell,
    mailbox: Mailbox<M>,
    events: EventHub,
    group: String,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
    /// The problem that was told last: it is told once, not with every look.
    told: Mutex<Option<String>>,
    outlook: Outlook,
}

impl<M: Machine> Reloader<M> {
    pub(crate) fn new(identities: IdentityCell, mailbox: Mailbox<M>, events: EventHub, group: String) -> Arc<Self> {
        let (turn, told, outlook) = (tokio::sync::Mutex::default(), Mutex::default(), Outlook::default());
        Arc::new(Self { identities, mailbox, events, group, turn, told, outlook })
    }

    /// The identities that it reloads.
    pub(crate) fn identities(&self) -> &IdentityCell {
        &self.identities
    }

    /// Reads the files that the identity came from, and takes what they hold into use.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`] for an identity that was not read from files; what is wrong with what they hold now:
    /// the last good one stays in use.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<IdentityReload> {
        let this = self.clone();
        to_its_end(async move { this.reload_now().await }).await
    }

    async fn reload_now(&self) -> Result<IdentityReload> {
        let _turn = self.turn.lock().await;
        let current = self.identities.current();
        let files = current.files().cloned().ok_or_else(|| {
            Error::new(Code::ConfigMissingKey).subject("identity").found("an identity that was not read from files")
        })?;
        let name = current.name().clone();
        let loaded = blocking(move || Identity::from_files(&files, &name)).await?;
        let result = match loaded {
            Ok(identity) => self.take(identity).await,
            Err(error) => Err(error),
        };
        self.tell(&result);
        result
    }

    /// Takes an identity that the host made into use.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the last good one stays in use.
    pub(crate) async fn replace(self: &Arc<Self>, identity: Identity) -> Result<IdentityReload> {
        let this = self.clone();
        to_its_end(async move {
            let _turn = this.turn.lock().await;
            let result = this.take(identity).await;
            this.tell(&result);
            result
        })
        .await
    }

    /// A problem is told once, and again only after it was another one or none.
    fn tell(&self, result: &Result<IdentityReload>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => *told = None,
            Err(error) => {
                let text = Event::of_error("", error).without_time();
                if told.as_ref() != Some(&text) {
                    let subject = self.identities.current().name().to_string();
                    let subject = if error.subject_text().is_empty() { subject } else { error.subject_text().into() };
                    self.events.emit(Event::new(Code::IdentityReloadFailed, subject, text.clone()));
                    *told = Some(text);
                }
            }
        }
    }

    async fn take(&self, newer: Identity) -> Result<IdentityReload> {
        let current = self.identities.current();
        let newer = newer.with_generation(current.generation() + 1);
        if newer.shows_the_same(&current) && newer.judges_the_same(&current) {
            return Ok(IdentityReload {
                replaced: false,
                generation: current.generation(),
                until: current.not_after(),
            });
        }
        let (identities, group) = (self.identities.clone(), self.group.clone());
        let events = self.events.clone();
        let connected = if newer.judges_the_same(&current) { Vec::new() } else { self.peers().await };
        let (newer, former, successions) = blocking(move || {
            check(&newer, &identities.current())?;
            check_lists(&newer, &connected)?;
            let former = identities.former_of(&newer, clock::validity());
            let successions = vouch(&former, &newer, &group, &events);
            Ok::<_, Error>((newer, former, successions))
        })
        .await??;
        let certificate = (!newer.shows_the_same(&current))
            .then(|| CertificateChange { former_not_after: current.not_after(), successions });
        let change = IdentityChange { generation: newer.generation(), certificate };
        // Before the identity is used: a link that it is shown on comes later to the node.
        self.mailbox.post(IdentityInput::Changed(change).into());
        let reloaded = IdentityReload { replaced: true, generation: newer.generation(), until: newer.not_after() };
        let (name, text) = (newer.name().to_string(), about(&newer, &current));
        self.identities.install(newer.clone(), former);
        self.events.emit(Event::new(Code::IdentityReloaded, name, text));
        if !newer.judges_the_same(&current) {
            self.judge_everybody().await;
        }
        self.look_out().await;
        Ok(reloaded)
    }

    /// Judges everybody who is connected again, in batches off the node's loop.
    async fn judge_everybody(&self) {
        let peers = self.peers().await;
        for batch in peers.chunks(VERIFY_AGAIN_BATCH) {
            let (identities, batch) = (self.identities.clone(), batch.to_vec());
            let judged = blocking(move || identities.judge(&batch, clock::now(), clock::validity())).await;
            if let Ok(verdicts) = judged
                && !verdicts.is_empty()
            {
                self.mailbox.post(IdentityInput::Judged(verdicts).into());
            }
        }
        let doubtful = self.identities.forget_doubts(&peers);
        if doubtful > 0 {
            let text = format!("{doubtful} peers whose issuers' lists are missing or out of date");
            let name = self.identities.current().name().to_string();
            self.events.emit(Event::new(Code::RevocationUnknown, name, text));
        }
    }

    /// Everybody who is connected, each once.
    async fn peers(&self) -> Vec<Arc<VerifiedPeer>> {
        distinct(self.mailbox.ask(|machine| machine.peers()).await.unwrap_or_default())
    }

    /// Looks at all ends that come near, tells of them, and keeps them for status.
    async fn look_out(&self) {
        let peers = self.peers().await;
        for event in self.outlook.look(&self.identities.current(), &peers, clock::validity()) {
            self.events.emit(event);
        }
    }

    /// Begins to watch; it ends when the guard is dropped, which the node's task holds.
    pub(crate) fn start(self: Arc<Self>, watches: bool) -> Background {
        Background(tokio::spawn(self.run(watches)))
    }

    /// Watches files and time until the node has ended. Without `watches` the files are the host's business.
    async fn run(self: Arc<Self>, watches: bool) {
        let mut watch = Watch::default();
        let (mut sweep, mut again, mut steps) = (clock::now() + VERIFY_AGAIN, None, clock::steps().0);
        self.look_out().await;
        while !self.mailbox.is_closed() {
            tokio::time::sleep(IDENTITY_POLL).await;
            let now = clock::now();
            self.mailbox.post(IdentityInput::Wall(clock::validity()).into());
            self.tell_clock_step(&mut steps);
            if watches && self.has_changed(&mut watch, &mut again, now).await {
                again = self.reload().await.is_err().then(|| now + IDENTITY_AGAIN);
            }
            if now >= sweep {
                sweep = now + VERIFY_AGAIN;
                self.judge_everybody().await;
                self.look_out().await;
            }
        }
    }

    /// Whether the files are to be read: they changed, or what they held could not be used a while ago.
    async fn has_changed(&self, watch: &mut Watch, again: &mut Option<Instant>, now: Instant) -> bool {
        let current = self.identities.current();
        let Some(files) = current.files().cloned() else { return false };
        let Ok(look) = blocking(move || Look::at(&files)).await else { return false };
        watch.see(look) || again.take_if(|at| *at <= now).is_some()
    }

    fn tell_clock_step(&self, told: &mut u64) {
        let (steps, millis) = clock::steps();
        if std::mem::replace(told, steps) != steps {
            let text = format!("by {} s", Duration::from_millis(millis.unsigned_abs()).as_secs());
            let direction = if millis < 0 { "back" } else { "forward" };
            self.events.emit(Event::new(Code::ClockStepped, "", format!("{direction} {text}")));
        }
    }
}

/// Each chain once.
pub(crate) fn distinct(peers: Vec<Arc<VerifiedPeer>>) -> Vec<Arc<VerifiedPeer>> {
    let distinct: BTreeMap<ChainHash, Arc<VerifiedPeer>> =
        peers.into_iter().map(|peer| (peer.chain_hash(), peer)).collect();
    distinct.into_values().collect()
}

/// A task that ends with its guard.
pub(crate) struct Background(tokio::task::JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What must hold before an identity takes the place of another one.
fn check(newer: &Identity, current: &Identity) -> Result<()> {
    if newer.name() != current.name() {
        return Err(Error::new(Code::NameMismatch).found(newer.name().as_str()).expected(current.name().as_str()));
    }
    newer.check_succession(current)?;
    let report = newer.check_own(clock::validity());
    if report.is_clean() { Ok(()) } else { Err(report.into()) }
}

/// A list that its issuer did not sign must not take the place of a good one (SECURITY H9): it would turn away everybody
/// of that issuer. The node's own issuers were asked when the identity was made, those of its peers are asked here.
fn check_lists(newer: &Identity, connected: &[Arc<VerifiedPeer>]) -> Result<()> {
    let one_of_each: BTreeMap<Vec<u8>, &Arc<VerifiedPeer>> =
        connected.iter().map(|peer| (peer.issuer(), peer)).collect();
    for peer in one_of_each.values() {
        let report = newer.verify(peer.chain(), None, clock::validity()).err().unwrap_or_default();
        if let Some(unusable) = report.findings().iter().find(|finding| finding.code() == Code::CrlUnusable) {
            return Err(unusable.clone());
        }
    }
    Ok(())
}

/// The statements of the former keys. One that cannot sign any more (its key service is gone) is no reason to refuse the
/// new one: the agents that met it connect anew.
fn vouch(former: &[Identity], newer: &Identity, group: &str, events: &EventHub) -> Vec<Succession> {
    let vouch = |former: &Identity| match succession::vouch(former, newer, group) {
        Ok(succession) => Some(succession),
        Err(error) => {
            let text = format!("a former key cannot vouch: {}", error.found_text());
            events.emit(Event::new(Code::SuccessionInvalid, newer.name().to_string(), text));
            None
        }
    };
    former.iter().filter_map(vouch).collect()
}

/// What an administrator compares with the files.
fn about(newer: &Identity, current: &Identity) -> String {
    let key: String = newer.key_hash().to_string().chars().take(KEY_DIGITS).collect();
    let what = match (newer.shows_the_same(current), newer.judges_the_same(current)) {
        (true, _) => "new trust or revocation lists",
        (false, true) => "a new certificate",
        (false, false) => "a new certificate, and new trust or revocation lists",
    };
    format!("generation {}: {what}; until {}, key {key}", newer.generation(), newer.not_after())
}

/// What has begun is brought to its end, whoever waits for it: half of the peers judged is nobody's wish.
async fn to_its_end(work: impl Future<Output = Result<IdentityReload>> + Send + 'static) -> Result<IdentityReload> {
    tokio::spawn(work).await.map_err(|error| Error::new(Code::Internal).found(error.to_string()))?
}

/// Files, signatures and chains never on the runtime's threads.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(Code::Internal).found(error.to_string()))
}

/// Of the key's hash, in an event: as many as in the names of key files.
const KEY_DIGITS: usize = 16;
