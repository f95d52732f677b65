//! The loop that runs a node: inputs in batches, one end of turn, effects out. See `node/mod.rs`.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::Upstream;
use crate::identity::{Identity, VerifiedPeer};
use crate::limits::TURN_BYTES_MAX;
use crate::net::dial::Dialler;
use crate::net::link::{CHUNKS_MAX, Chunk, GOODBYE, drive};
use crate::net::listen::{Accepted, Listener};
use crate::node::{IdentityInput, LinkEffect, LinkId, LinkInput, Shown};
use crate::session::clock;
use crate::session::events::EventHub;
use crate::session::identities::Identities;
use crate::time::Instant;

/// A pure node, as the loop sees it.
pub(crate) trait Machine: Send + 'static {
    type Input: From<LinkInput> + From<IdentityInput> + Send + 'static;
    type Effect: Send;

    fn handle(&mut self, input: Self::Input, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn end_turn(&mut self, now: Instant);
    fn poll_effect(&mut self) -> Option<Self::Effect>;
    /// Everybody whose certificate the node relies on; one may come several times.
    fn peers(&self) -> Vec<Arc<VerifiedPeer>>;
}

/// Lets the loop run a node: its own methods under the trait's names.
macro_rules! machine {
    ($node:ty, $input:ty, $effect:ty) => {
        impl From<$crate::node::LinkInput> for $input {
            fn from(input: $crate::node::LinkInput) -> Self {
                Self::Link(input)
            }
        }

        impl From<$crate::node::IdentityInput> for $input {
            fn from(input: $crate::node::IdentityInput) -> Self {
                Self::Identity(input)
            }
        }

        impl $crate::session::driver::Machine for $node {
            type Input = $input;
            type Effect = $effect;

            fn handle(&mut self, input: $input, now: $crate::time::Instant) {
                Self::handle(self, input, now);
            }

            fn handle_timeout(&mut self, now: $crate::time::Instant) {
                Self::handle_timeout(self, now);
            }

            fn poll_timeout(&self) -> Option<$crate::time::Instant> {
                Self::poll_timeout(self)
            }

            fn end_turn(&mut self, now: $crate::time::Instant) {
                Self::end_turn(self, now);
            }

            fn poll_effect(&mut self) -> Option<$effect> {
                Self::poll_effect(self)
            }

            fn peers(&self) -> Vec<std::sync::Arc<$crate::identity::VerifiedPeer>> {
                Self::peers(self)
            }
        }
    };
}
pub(crate) use machine;

/// What is posted to a node's loop.
pub(crate) enum Post<M: Machine> {
    Input(M::Input),
    /// Answers that came together: one wake-up, and one turn for what they ask of the store.
    Inputs(Vec<M::Input>),
    Link(LinkPost),
    /// A question to the node, for status.
    Ask(Box<dyn FnOnce(&M) + Send>),
}

impl<M: Machine> Post<M> {
    /// How much of a turn it is.
    fn inputs(&self) -> usize {
        match self {
            Self::Inputs(inputs) => inputs.len(),
            _ => 1,
        }
    }
}

/// What links post. It is no wider than it must be: every idle link's task has room for one.
pub(crate) enum LinkPost {
    /// Where it is much that was received, dropping `taken` tells the link that it may bring more.
    Input {
        input: LinkInput,
        taken: Option<oneshot::Sender<()>>,
    },
    Opened(Box<Opened>),
}

/// A link whose chunks go here; `input` tells the node of it.
pub(crate) struct Opened {
    link: LinkId,
    chunks: mpsc::Sender<Chunk>,
    /// With which the peer was judged, and which it was shown.
    identity: Identity,
    peer: Arc<VerifiedPeer>,
    input: LinkInput,
}

/// Where a node's inputs are posted.
///
/// Links post to the bounded side, so that a node with much to do holds its peers back; answers to effects go to the
/// unbounded one: there are never more of them than the node asked for.
pub(crate) struct Mailbox<M: Machine> {
    links: mpsc::Sender<LinkPost>,
    answers: mpsc::UnboundedSender<Post<M>>,
    /// How many links have a task that drives them.
    driven: Arc<watch::Sender<usize>>,
}

impl<M: Machine> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self { links: self.links.clone(), answers: self.answers.clone(), driven: self.driven.clone() }
    }
}

impl<M: Machine> Mailbox<M> {
    /// Posts the answer to an effect, or a command. Never blocks; a node that has ended hears nothing.
    pub(crate) fn post(&self, input: M::Input) {
        let _ = self.try_post(input);
    }

    /// Posts answers that came together, as many in one post as a turn takes.
    pub(crate) fn post_all(&self, inputs: Vec<M::Input>) {
        let mut inputs = inputs.into_iter().peekable();
        while inputs.peek().is_some() {
            let _ = self.answers.send(Post::Inputs(inputs.by_ref().take(TURN_POSTS_MAX / 2).collect()));
        }
    }

    /// Posts something of which the sender wants to know whether it came in time.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the node has ended.
    pub(crate) fn try_post(&self, input: M::Input) -> Result<()> {
        self.answers.send(Post::Input(input)).map_err(|_| Error::new(Code::Closed))
    }

    /// Whether the node has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.answers.is_closed()
    }

    /// Asks the node something; the answer comes when its turn has ended.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the node has ended.
    pub(crate) async fn ask<R: Send + 'static>(&self, question: impl FnOnce(&M) -> R + Send + 'static) -> Result<R> {
        let (sender, answer) = oneshot::channel();
        let ask = Post::Ask(Box::new(move |machine: &M| {
            let _ = sender.send(question(machine));
        }));
        self.answers.send(ask).map_err(|_| Error::new(Code::Closed))?;
        answer.await.map_err(|_| Error::new(Code::Closed))
    }

    /// Tells the node of a link that stands, then drives it in a task of its own: a dial may be aborted, and a listener
    /// closed, but a link ends in order.
    async fn open_link<S>(&self, stream: S, identity: Identity, link: LinkId, peer: Arc<VerifiedPeer>, input: LinkInput)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driven = Driven::begin(self.driven.clone());
        let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
        let opened = Opened { link, chunks, identity: identity.clone(), peer, input };
        if self.links.send(LinkPost::Opened(Box::new(opened))).await.is_err() {
            return;
        }
        let links = self.links.clone();
        let mut ahead = Ahead::default();
        let bring = move |input: LinkInput| {
            let _counted = &driven;
            let (taken, before) = ahead.next(&input);
            deliver(links.clone(), input, taken, before)
        };
        // Nothing around it: a block that awaits it would keep room for the stream as well, in every idle link's task.
        tokio::spawn(drive(stream, identity, link, receiver, clock::validity, bring));
    }
}

/// The large posts of one link that the node has not taken: two at most, so that the inbox, which all links share, is
/// never full of one link's (rule D7). Small ones pass: an idle link needs none of this.
#[derive(Default)]
struct Ahead([Option<oneshot::Receiver<()>>; 2]);

impl Ahead {
    /// What a post carries, and what it waits for.
    fn next(&mut self, input: &LinkInput) -> (Option<oneshot::Sender<()>>, Option<oneshot::Receiver<()>>) {
        if !matches!(input, LinkInput::Received { bytes, .. } if bytes.len() >= MUCH_BYTES) {
            return (None, None);
        }
        let (taken, waits) = oneshot::channel();
        let [first, second] = &mut self.0;
        (Some(taken), std::mem::replace(first, second.replace(waits)))
    }
}

/// Waits while the node has much to do; false if it has ended.
async fn deliver(
    links: mpsc::Sender<LinkPost>,
    input: LinkInput,
    taken: Option<oneshot::Sender<()>>,
    before: Option<oneshot::Receiver<()>>,
) -> bool {
    if let Some(before) = before {
        // It is never sent: it ends when the post was handled, or with the node.
        let _ = before.await;
    }
    // A place first: a future that sends would keep the post a second time.
    let Ok(place) = links.reserve().await else { return false };
    place.send(LinkPost::Input { input, taken });
    true
}

/// One link that is driven: counted until its task has ended, however it ends.
struct Driven(Arc<watch::Sender<usize>>);

impl Driven {
    fn begin(count: Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The inbox of a node that is about to run.
pub(crate) struct Inbox<M: Machine> {
    links: mpsc::Receiver<LinkPost>,
    answers: mpsc::UnboundedReceiver<Post<M>>,
}

impl<M: Machine> Inbox<M> {
    /// Waits for posts or the timer, then takes what there is for one turn; false if nobody can post any more.
    async fn wait(&mut self, posts: &mut VecDeque<Post<M>>, timer: Pin<&mut Sleep>) -> bool {
        tokio::select! {
            biased;
            post = self.answers.recv() => match post { Some(post) => posts.push_back(post), None => return false },
            post = self.links.recv() => match post {
                Some(post) => posts.push_back(Post::Link(post)),
                None => return false,
            },
            () = timer => {}
        }
        // At most half a turn: 20,000 answers after a failover must not keep heartbeats and data waiting (rule D7).
        let mut inputs: usize = posts.iter().map(Post::inputs).sum();
        while inputs < TURN_POSTS_MAX / 2 {
            let Ok(post) = self.answers.try_recv() else { break };
            inputs += post.inputs();
            posts.push_back(post);
        }
        // The other half is the links' in any case.
        for _ in 0..TURN_POSTS_MAX.saturating_sub(inputs).max(TURN_POSTS_MAX / 2) {
            let Ok(post) = self.links.try_recv() else { break };
            posts.push_back(Post::Link(post));
        }
        true
    }
}

/// A mailbox and its inbox.
pub(crate) fn mailbox<M: Machine>() -> (Mailbox<M>, Inbox<M>) {
    let (links, link_inbox) = mpsc::channel(INBOX_POSTS_MAX);
    let (answers, answer_inbox) = mpsc::unbounded_channel();
    let driven = Arc::new(watch::Sender::new(0));
    (Mailbox { links, answers, driven }, Inbox { links: link_inbox, answers: answer_inbox })
}

/// The links of a running node: performs [`LinkEffect`]s.
pub(crate) struct Links<M: Machine> {
    mailbox: Mailbox<M>,
    chunks: HashMap<LinkId, mpsc::Sender<Chunk>>,
    dials: HashMap<LinkId, AbortHandle>,
    dialler: Option<Dialler>,
    identity: IdentityCell,
    /// As whom this node dialled the links that stand: an attestation on one of them is made by the same key.
    shown: HashMap<LinkId, Identity>,
}

/// The identities of a running node; a reload swaps them (rule I5).
pub(crate) type IdentityCell = Arc<Identities>;

impl<M: Machine> Links<M> {
    pub(crate) fn new(mailbox: Mailbox<M>, dialler: Option<Dialler>, identity: IdentityCell) -> Self {
        Self { mailbox, chunks: HashMap::new(), dials: HashMap::new(), dialler, identity, shown: HashMap::new() }
    }

    pub(crate) fn perform(&mut self, effect: LinkEffect) {
        match effect {
            LinkEffect::Dial { link, upstream } => self.dial(link, upstream),
            LinkEffect::Transmit { link, bytes } => {
                // A full channel means a node that forgot how many chunks are out: the link is given up.
                if self.chunks.get(&link).is_some_and(|chunks| chunks.try_send(Box::new(bytes)).is_err()) {
                    self.chunks.remove(&link);
                }
            }
            LinkEffect::Close { link } => {
                self.chunks.remove(&link);
                self.shown.remove(&link);
                if let Some(dial) = self.dials.remove(&link) {
                    dial.abort();
                }
            }
        }
    }

    /// As whom this node dialled a link.
    pub(crate) fn identity_of(&self, link: LinkId) -> Identity {
        self.shown.get(&link).cloned().unwrap_or_else(|| self.identity.current())
    }

    /// What the node is told, and what tells the link that the node was.
    fn receive(&mut self, post: LinkPost) -> (LinkInput, Option<oneshot::Sender<()>>) {
        match post {
            LinkPost::Input { input, taken } => {
                if let LinkInput::Lost { link, .. } = &input {
                    self.chunks.remove(link);
                    self.shown.remove(link);
                }
                (input, taken)
            }
            LinkPost::Opened(opened) => {
                let Opened { link, chunks, identity, peer, input } = *opened;
                self.chunks.insert(link, chunks);
                self.opened(link, identity, peer);
                (input, None)
            }
        }
    }

    /// A link stands. A peer that was judged before the last reload is judged again, as those are that the reload found.
    fn opened(&mut self, link: LinkId, identity: Identity, peer: Arc<VerifiedPeer>) {
        if identity.generation() < self.identity.current().generation() {
            let (mailbox, identities) = (self.mailbox.clone(), self.identity.clone());
            tokio::task::spawn_blocking(move || {
                let verdicts = identities.judge(&[peer], clock::now(), clock::validity());
                mailbox.post(IdentityInput::Judged(verdicts).into());
            });
        }
        if link.is_dialled() {
            self.shown.insert(link, identity);
        }
    }

    fn dial(&mut self, link: LinkId, upstream: Upstream) {
        let Some(dialler) = self.dialler.clone() else { return };
        let (mailbox, identity) = (self.mailbox.clone(), self.identity.current());
        let shown = shown_of(&identity);
        let task = tokio::spawn(async move {
            match dialler.dial(&identity, &upstream, clock::validity).await {
                Ok((stream, peer)) => {
                    let peer = Arc::new(peer);
                    let input = LinkInput::Dialled { link, result: Ok(peer.clone()), shown };
                    mailbox.open_link(stream, identity, link, peer, input).await;
                }
                Err(error) => {
                    deliver(mailbox.links, LinkInput::Dialled { link, result: Err(error), shown }, None, None).await;
                }
            }
        });
        self.dials.retain(|_, dial| !dial.is_finished());
        self.dials.insert(link, task.abort_handle());
    }

    /// Closes every link: each still writes what was transmitted, and says goodbye.
    async fn close(mut self) {
        self.chunks.clear();
        let mut driven = self.mailbox.driven.subscribe();
        // Longer than any of them takes; the sender lives in the mailbox.
        let _ = tokio::time::timeout(GOODBYE, driven.wait_for(|count| *count == 0)).await;
    }
}

impl<M: Machine> Drop for Links<M> {
    fn drop(&mut self) {
        self.dials.values().for_each(AbortHandle::abort);
    }
}

/// Accepts links for a node until the task is dropped; `refused` hears of everybody who did not come through TLS.
pub(crate) async fn accept<M: Machine>(
    listener: Listener,
    mailbox: Mailbox<M>,
    identity: IdentityCell,
    hello_timeout: Duration,
    events: EventHub,
    refused: impl Fn(&str, &Error) + Clone + Send + Sync + 'static,
) {
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let turned_away = Arc::new(Mutex::new(TurnedAway::default()));
    let done = move |result: Result<Accepted, (String, Error)>| {
        let (mailbox, events, count) = (mailbox.clone(), events.clone(), count.clone());
        let (turned_away, refused) = (turned_away.clone(), refused.clone());
        async move {
            match result {
                Ok(accepted) => {
                    let link = LinkId::accepted(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                    let Accepted { stream, peer, address, identity } = accepted;
                    let (peer, shown) = (Arc::new(peer), shown_of(&identity));
                    let input = LinkInput::Accepted { link, peer: peer.clone(), address, shown };
                    mailbox.open_link(stream, identity, link, peer, input).await;
                }
                Err((address, error)) => {
                    refused(&address, &error);
                    let told = turned_away.lock().unwrap_or_else(PoisonError::into_inner).tell(clock::now());
                    if let Some(untold) = told {
                        let mut event = crate::event::Event::of_error(address, &error);
                        if untold > 0 {
                            event.text.push_str(&format!("; {untold} more were turned away and not told"));
                        }
                        events.emit(event);
                    }
                }
            }
        }
    };
    listener.run(move || identity.shown(), hello_timeout, clock::validity, done).await;
}

fn shown_of(identity: &Identity) -> Shown {
    Shown { generation: identity.generation(), key: identity.key_hash() }
}

/// Whoever has proven nothing must not fill the log, nor push other events out of their stream (SECURITY H17).
#[derive(Default)]
pub(crate) struct TurnedAway {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl TurnedAway {
    /// Whether this one is told; then how many were not since the last that was.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= TOLD_AGAIN_AFTER) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told >= TOLD_MAX {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Runs a node until `perform` says that it has stopped, and its links have said goodbye.
pub(crate) async fn run<M: Machine>(
    mut machine: M,
    mut inbox: Inbox<M>,
    mut links: Links<M>,
    mut perform: impl FnMut(M::Effect, &mut Links<M>) -> bool + Send,
) {
    let mut posts = VecDeque::with_capacity(TURN_POSTS_MAX);
    let timer = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(timer);
    loop {
        let now = clock::now();
        machine.end_turn(now);
        while let Some(effect) = machine.poll_effect() {
            if !perform(effect, &mut links) {
                // Whoever waits to deliver something is told first that there is nobody any more.
                drop(inbox);
                posts.clear();
                return links.close().await;
            }
        }
        let due = machine.poll_timeout();
        timer.as_mut().reset(clock::deadline(due.unwrap_or(now + IDLE)));
        // What a turn had no time for comes first.
        if !posts.is_empty() {
            tokio::task::yield_now().await;
        } else if !inbox.wait(&mut posts, timer.as_mut()).await {
            return;
        }
        let now = clock::now();
        if machine.poll_timeout().is_some_and(|due| due <= now) {
            machine.handle_timeout(now);
        }
        while let Some(post) = posts.pop_front() {
            match post {
                Post::Input(input) => machine.handle(input, now),
                Post::Inputs(inputs) => {
                    // One by one, since they may be more than a turn has time for.
                    inputs.into_iter().rev().for_each(|input| posts.push_front(Post::Input(input)));
                }
                Post::Link(post) => {
                    let (input, taken) = links.receive(post);
                    machine.handle(input.into(), now);
                    drop(taken);
                }
                Post::Ask(question) => question(&machine),
            }
            // 64 KiB of openings take as long as 2 MiB of data: a turn ends by the clock as well.
            if clock::now().since(now) >= TURN_TIME_MAX {
                break;
            }
        }
    }
}

/// Posts of one turn: of 64 KiB at most each, what a turn takes.
const TURN_POSTS_MAX: usize = TURN_BYTES_MAX / crate::limits::WRITER_BYTES_MAX * 8;
/// A turn that took this long ends, so that what it has to say goes out (DESIGN section 2).
const TURN_TIME_MAX: Duration = Duration::from_millis(1);
/// A read of this size is one of a link that has much to say.
const MUCH_BYTES: usize = 16 << 10;
/// Posts of all links that wait for the node's next turn.
const INBOX_POSTS_MAX: usize = 256;
/// A node without a deadline is looked at this often.
const IDLE: Duration = Duration::from_secs(3600);
/// Connections that were turned away and told of, in a minute.
const TOLD_MAX: u32 = 60;
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
