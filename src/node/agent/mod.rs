//! The agent: sends what its queue made durable, forgets what was delivered, takes messages from above.

mod report;
mod session;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::event::Event;
use crate::group::{AssignmentKey, SignedAssignment};
use crate::identity::{ChainHash, VerifiedPeer};
use crate::message::{Epoch, Numbered, Sequence};
use crate::node::renewal::{Ask, Renewal, Renewed};
use crate::node::reopening::Reopening;
use crate::node::reporting::{Figures, Reporter};
use crate::node::uplink::{Uplink, UplinkConfig, UplinkOutput};
use crate::node::{IdentityInput, LinkEffect, LinkId, LinkInput};
use crate::time::{Instant, Timestamp};
use crate::wire::CHUNK_BYTES;
use session::{Attested, Channel};
use window::Window;

/// This boot of the agent's queue (rules D1 and F5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) epoch: Epoch,
    /// The durable boot counter.
    pub(crate) boot: u64,
    /// Random, of this boot.
    pub(crate) nonce: u64,
    /// The first sequence given since the last boot that the group has seen.
    pub(crate) first: Sequence,
}

/// What the queue held when it was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) delivered: Sequence,
    /// The last durable sequence.
    pub(crate) durable: Sequence,
    /// The last downstream message that the application took.
    pub(crate) down_cursor: u64,
}

/// What the shell tells the agent.
#[derive(Debug)]
pub(crate) enum Input {
    Link(LinkInput),
    Identity(IdentityInput),
    /// The queue synced these, in order.
    Durable(Vec<Numbered>),
    /// The answer to [`Effect::Read`].
    Read(Vec<Numbered>),
    /// The answer to [`Effect::Sign`].
    Signed {
        token: u64,
        result: Result<(u16, Bytes, ChainHash), Error>,
    },
    /// The answer to [`Effect::Rekey`].
    Rekeyed {
        instance: Instance,
        held: Held,
    },
    /// The application took the downstream messages up to this number.
    DownTaken {
        number: u64,
    },
    /// The answer to [`Effect::KeepDownCursor`].
    DownCursorKept {
        number: u64,
    },
    /// The answer to [`Effect::KeepSeen`].
    SeenKept {
        epoch: Epoch,
    },
    /// Ask the group for a new certificate, once a channel is open.
    Renew(Ask),
    /// The answer to [`Effect::AskFigures`].
    Figures(Figures),
    /// Close the channel and the links.
    Stop,
}

/// What the agent asks of the shell.
#[derive(Debug)]
pub(crate) enum Effect {
    Link(LinkEffect),
    /// Read messages from the queue, from `from` on, about `bytes_max` of them.
    Read {
        from: Sequence,
        bytes_max: usize,
    },
    /// Sign an attestation with the key that this node showed on the link.
    Sign {
        token: u64,
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// The group has everything up to here: the queue may forget it (rule D3).
    Delivered(Sequence),
    /// The group has seen more than this queue knows of: make a new epoch, number what is undelivered anew (rule D1).
    Rekey,
    /// The group has seen this boot under this epoch: make that durable, before anything of it is sent (rule D1).
    KeepSeen {
        epoch: Epoch,
    },
    /// Hand a message to the application.
    Down {
        number: u64,
        sent: Timestamp,
        payload: Bytes,
    },
    /// Make this downstream cursor durable (rule D8).
    KeepDownCursor {
        number: u64,
    },
    /// Keep this assignment on disk.
    SaveAssignment(SignedAssignment, AssignmentKey),
    /// The answer to [`Input::Renew`].
    Renewed(Renewed),
    /// How does the node stand? Asked about once a minute, for its report.
    AskFigures,
    Event(Event),
    /// Everything is closed.
    Stopped,
}

/// Whether the group knows of this boot, under its epoch (rule D1).
///
/// The first message leaves only once the disk says so: a crash in between would let the next boot state a first
/// sequence that the group has, and be taken for an old disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Never,
    /// A channel was opened; the disk does not say so yet.
    Keeping,
    Kept,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Agent {
    uplink: Uplink,
    group: String,
    name: crate::name::Name,
    software: String,
    instance: Instance,
    seen: Seen,
    /// Connections of this boot (rule F5).
    connection: u64,
    channel: Option<Channel>,
    last_channel: u32,
    not_before: Option<Instant>,
    reopening: Reopening,
    attested: Option<Attested>,
    signing: Option<u64>,
    tokens: u64,
    window: Window,
    /// What may have reached the application before: everything up to here comes marked `redelivered` (rule D5).
    maybe_sent: Sequence,
    delivered_dirty: bool,
    down_cursor: u64,
    down_handed: u64,
    rekeying: bool,
    rekeyed_at: Option<Instant>,
    /// While a move waits for what is out to be acknowledged.
    quiet_by: Option<Instant>,
    /// A channel is named by its connection and its number.
    renewal: Renewal<(u64, u32)>,
    reporter: Reporter<(u64, u32)>,
    stopping: bool,
    effects: VecDeque<Effect>,
}

impl Agent {
    pub(crate) fn new(uplink: UplinkConfig, instance: Instance, held: Held, now: Instant) -> Self {
        let (group, name, software) = (uplink.me.group.clone(), uplink.me.name.clone(), uplink.me.software.clone());
        let mut agent = Self {
            uplink: Uplink::new(uplink, now),
            group,
            name,
            software,
            instance,
            seen: Seen::Never,
            connection: 0,
            channel: None,
            last_channel: 0,
            not_before: None,
            reopening: Reopening::default(),
            attested: None,
            signing: None,
            tokens: 0,
            window: Window::new(held.delivered, held.durable),
            // What an earlier boot had out nobody knows.
            maybe_sent: held.durable,
            delivered_dirty: false,
            down_cursor: held.down_cursor,
            down_handed: held.down_cursor,
            rekeying: false,
            rekeyed_at: None,
            quiet_by: None,
            renewal: Renewal::default(),
            reporter: Reporter::default(),
            stopping: false,
            effects: VecDeque::new(),
        };
        agent.drain_uplink(now);
        agent
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Link(input) => self.uplink.handle(input, now),
            Input::Identity(IdentityInput::Changed(change)) => self.uplink.handle_change(&change, now),
            Input::Identity(IdentityInput::Wall(wall)) => self.uplink.handle_wall(wall, now),
            Input::Identity(IdentityInput::Judged(verdicts)) => {
                verdicts.iter().for_each(|verdict| self.uplink.handle_verdict(verdict, now));
            }
            Input::Durable(messages) => self.window.push_durable(messages),
            Input::Read(messages) => self.window.handle_read(messages),
            Input::Signed { token, result } => self.handle_signed(token, result, now),
            Input::Rekeyed { instance, held } => self.handle_rekeyed(instance, held, now),
            Input::DownTaken { number } => self.effects.push_back(Effect::KeepDownCursor { number }),
            Input::DownCursorKept { number } => self.handle_down_cursor_kept(number),
            Input::SeenKept { epoch } => self.handle_seen_kept(epoch),
            Input::Renew(ask) => self.renewal.ask(ask),
            Input::Figures(figures) => self.report(&figures, now),
            Input::Stop => self.stop(),
        }
        self.drain_uplink(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.uplink.handle_timeout(now);
        if self.quiet_by.is_some_and(|at| now >= at) {
            self.quiet_by = None;
            self.uplink.abandon_move(now);
        }
        if self.not_before.is_some_and(|at| now >= at) {
            self.not_before = None;
            self.open_channel(now);
        }
        self.drain_uplink(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.stopping {
            return None;
        }
        self.uplink
            .poll_timeout()
            .into_iter()
            .chain(self.quiet_by)
            .chain(self.not_before)
            .chain(self.reporter.poll_timeout())
            .min()
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The end of a turn: batches of what the inputs asked for.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        self.move_if_quiet(now);
        self.ask_renewal();
        self.look_at_reports(now);
        if let Some((from, bytes_max)) = self.wants_read() {
            self.effects.push_back(Effect::Read { from, bytes_max });
        }
        if std::mem::take(&mut self.delivered_dirty) {
            self.effects.push_back(Effect::Delivered(self.window.delivered()));
        }
        self.uplink.end_turn(now);
        self.drain_uplink(now);
        self.transmit(now);
    }

    fn wants_read(&mut self) -> Option<(Sequence, usize)> {
        let open = self.channel.as_ref().is_some_and(Channel::is_open);
        if open && !self.rekeying { self.window.wants_read() } else { None }
    }

    fn transmit(&mut self, now: Instant) {
        let may_send = self.seen == Seen::Kept && !self.uplink.is_moving();
        while let Some((id, link)) = self.uplink.link() {
            if !link.is_writable() {
                return;
            }
            let mut chunk = link.begin_chunk();
            if let Some(channel) = self.channel.as_mut().filter(|channel| channel.is_open() && may_send) {
                chunk.reserve(if self.window.has_unsent() { CHUNK_BYTES + crate::limits::FRAME_BYTES_MAX } else { 0 });
                if let Some(touched) = self.window.fill(&mut chunk, channel.id, &mut channel.credit) {
                    self.maybe_sent = self.maybe_sent.max(touched);
                }
            }
            if chunk.is_empty() {
                return;
            }
            link.sent(now);
            self.effects.push_back(Effect::Link(LinkEffect::Transmit { link: id, bytes: chunk.freeze() }));
        }
    }

    /// A planned move: nothing is sent, and once nothing is out the channel changes the link (rule D5).
    fn move_if_quiet(&mut self, now: Instant) {
        // What an ended channel left unacknowledged comes back on the next one; only an open one can be waited for.
        let is_out = self.is_connected() && self.window.sent_through() > self.window.delivered();
        if !self.uplink.is_moving() || is_out {
            return;
        }
        if let Some(sent_before) = self.channel.as_ref().map(|channel| channel.sent_before) {
            self.only_reached(self.window.delivered(), sent_before);
        }
        self.quiet_by = None;
        self.close_channel();
        self.uplink.complete_move(now);
        self.drain_uplink(now);
    }

    fn drain_uplink(&mut self, now: Instant) {
        while let Some(output) = self.uplink.poll_output() {
            match output {
                UplinkOutput::Link(effect) => self.effects.push_back(Effect::Link(effect)),
                UplinkOutput::Ready => self.handle_ready(now),
                UplinkOutput::Gone => {
                    self.channel = None;
                    self.quiet_by = None;
                }
                UplinkOutput::MoveReady => self.quiet_by = Some(now + QUIET_WITHIN),
                UplinkOutput::Frame(frame) => {
                    if let Err(error) = self.handle_frame(&frame, now) {
                        self.uplink.refused(error, now);
                    }
                }
                UplinkOutput::Challenge => self.handle_challenge(now),
                UplinkOutput::Available(true) => self.open_channel(now),
                UplinkOutput::Available(false) => self.channel = None,
                UplinkOutput::Save(signed, key) => self.effects.push_back(Effect::SaveAssignment(signed, key)),
                UplinkOutput::Event(event) => self.effects.push_back(Effect::Event(event)),
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.close_channel();
        self.uplink.stop();
        while let Some(output) = self.uplink.poll_output() {
            if let UplinkOutput::Link(effect) = output {
                self.effects.push_back(Effect::Link(effect));
            }
        }
        self.effects.push_back(Effect::Stopped);
    }

    /// What status shows.
    pub(crate) fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    /// Everybody whose certificate this node relies on.
    pub(crate) fn peers(&self) -> Vec<Arc<VerifiedPeer>> {
        self.uplink.peers().cloned().collect()
    }

    /// Whether a channel stands on which data flows.
    pub(crate) fn is_connected(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_open)
    }

    #[cfg(test)]
    pub(crate) fn instance(&self) -> Instance {
        self.instance
    }

    /// What the group has.
    pub(crate) fn delivered(&self) -> Sequence {
        self.window.delivered()
    }
}

/// How long a planned move waits for what is out to be acknowledged before it stays where it is.
const QUIET_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
