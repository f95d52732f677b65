//! One link: framing, the phases of its life, which frame may come when, heartbeats, output. Sections 2, 4 and 7 of
//! the specification.

use std::time::Duration;

use bytes::BytesMut;

use crate::code::Code;
use crate::error::Error;
use crate::limits::{
    CONTROL_BYTES_MAX, FRAME_BYTES_MAX, HEARTBEATS_MISSED_MAX, HELLO_BYTES_MAX, HELLO_TIMEOUT, WRITER_BYTES_MAX,
};
use crate::time::Instant;
use crate::wire::frame::{Frame, Kind, next_frame, put_header};
use crate::wire::messages::{Body, Hello, put_message};

/// Which end of the link this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Towards the agents: it opens channels.
    Downstream,
    /// Towards the management servers: it grants and acknowledges.
    Upstream,
}

/// How far the link has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// HELLO was not yet accepted: one frame, of at most 4 KiB.
    Introduction,
    /// The group has not approved the downstream end: nothing but WELCOME, REFUSE and heartbeats.
    Pending,
    /// Channels and data.
    Open,
    /// The downstream end is an operator: it asks and is answered.
    Asking,
}

/// The machine of one link. Bytes and time go in; frames that the phase allows and bytes to write come out.
#[derive(Debug)]
pub(crate) struct Link {
    end: End,
    phase: Phase,
    input: BytesMut,
    control: BytesMut,
    chunks_sent: u64,
    chunks_written: u64,
    heartbeat: Duration,
    peer_heartbeat: Duration,
    hello_timeout: Duration,
    introduced_by: Instant,
    last_received: Instant,
    last_sent: Instant,
    hello_seen: bool,
}

impl Link {
    /// A link that this node dialled; its HELLO is the first output.
    pub(crate) fn dialled(hello: &Hello, heartbeat: Duration, now: Instant) -> Self {
        let mut link = Self::new(End::Downstream, heartbeat, now);
        put_message(&mut link.control, 0, hello);
        link
    }

    /// A link that was accepted; it waits for HELLO.
    pub(crate) fn accepted(heartbeat: Duration, now: Instant) -> Self {
        Self::new(End::Upstream, heartbeat, now)
    }

    fn new(end: End, heartbeat: Duration, now: Instant) -> Self {
        Self {
            end,
            phase: Phase::Introduction,
            input: BytesMut::new(),
            control: BytesMut::new(),
            chunks_sent: 0,
            chunks_written: 0,
            heartbeat,
            peer_heartbeat: heartbeat,
            hello_timeout: HELLO_TIMEOUT,
            introduced_by: now + HELLO_TIMEOUT,
            last_received: now,
            last_sent: now,
            hello_seen: false,
        }
    }

    /// Waits for the introduction for this long from `now` on, instead of [`HELLO_TIMEOUT`].
    #[must_use]
    pub(crate) fn introduced_within(self, hello_timeout: Duration, now: Instant) -> Self {
        Self { hello_timeout, introduced_by: now + hello_timeout, ..self }
    }

    /// The peer's HELLO is to be answered by `by`, if that is sooner than the introduction had to be over anyhow.
    pub(crate) fn answered_by(&mut self, by: Instant) {
        self.introduced_by = self.introduced_by.min(by);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The owner accepted the peer, or keeps it waiting; `peer_heartbeat` is how often the peer promised to send.
    pub(crate) fn enter(&mut self, phase: Phase, peer_heartbeat: Duration) {
        self.phase = phase;
        self.peer_heartbeat = peer_heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
    }

    /// Takes bytes from the peer; [`Self::next_frame`] then hands out what is whole.
    pub(crate) fn handle_bytes(&mut self, bytes: BytesMut, now: Instant) {
        self.last_received = now;
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            self.input.extend_from_slice(&bytes);
        }
    }

    /// The next frame that concerns the owner. Heartbeats are answered here.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol: the link must be closed with the error's code.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let bytes_max = if self.is_stranger() { HELLO_BYTES_MAX } else { FRAME_BYTES_MAX };
        self.check_stranger()?;
        while let Some(frame) = next_frame(&mut self.input, bytes_max)? {
            self.check(&frame)?;
            match frame.kind {
                Kind::Ping => self.pong(&frame)?,
                Kind::Pong => {}
                _ => return Ok(Some(frame)),
            }
        }
        if self.input.is_empty() {
            // An idle link keeps no buffer.
            self.input = BytesMut::new();
        }
        Ok(None)
    }

    /// Whether the peer has yet to be accepted by this side.
    fn is_stranger(&self) -> bool {
        self.phase == Phase::Introduction && self.end == End::Upstream
    }

    /// Before its HELLO is accepted a peer gets one frame in all: anything else is refused by its type, before its body
    /// is awaited. That includes types from 0x80 up, which would be skipped on an open link, however many come.
    fn check_stranger(&self) -> Result<(), Error> {
        let Some(number) = self.input.get(TYPE_AT).copied().filter(|_| self.is_stranger()) else { return Ok(()) };
        if number == Kind::Hello as u8 && !self.hello_seen {
            return Ok(());
        }
        Err(Error::new(Code::FrameUnexpected).found(format!("type 0x{number:02x}")).expected(if self.hello_seen {
            "nothing before HELLO is answered"
        } else {
            "HELLO"
        }))
    }

    fn check(&mut self, frame: &Frame) -> Result<(), Error> {
        if !allowed(frame.kind, self.phase, self.end, frame.channel) || (frame.kind == Kind::Hello && self.hello_seen) {
            return Err(Error::new(Code::FrameUnexpected)
                .found(format!("{:?} on channel {}", frame.kind, frame.channel))
                .expected(format!("a frame that its sender may send while the link is in phase {:?}", self.phase)));
        }
        self.hello_seen |= frame.kind == Kind::Hello;
        Ok(())
    }

    fn pong(&mut self, ping: &Frame) -> Result<(), Error> {
        if ping.body.len() != PING_BYTES {
            return Err(Error::new(Code::FrameMalformed).subject("PING").found(format!("{} bytes", ping.body.len())));
        }
        // Here as well as at the timeout: whoever asks without reading the answers must not fill the memory meanwhile.
        self.check_backlog()?;
        self.send_frame(Kind::Pong, 0, &ping.body);
        Ok(())
    }

    fn check_backlog(&self) -> Result<(), Error> {
        if self.control.len() > CONTROL_BYTES_MAX {
            return Err(Error::new(Code::PeerDoesNotRead)
                .found(format!("{} bytes of control frames that it did not take", self.control.len())));
        }
        Ok(())
    }

    /// Queues a control frame.
    pub(crate) fn send<B: Body>(&mut self, channel: u32, body: &B) {
        put_message(&mut self.control, channel, body);
    }

    /// Queues a control frame whose body is already encoded, as a gateway passes it on.
    pub(crate) fn send_frame(&mut self, kind: Kind, channel: u32, body: &[u8]) {
        put_header(&mut self.control, kind, channel, body.len());
        self.control.extend_from_slice(body);
    }

    /// Whether a chunk may be built now: at most two are on their way, so that a heartbeat waits behind little.
    pub(crate) fn is_writable(&self) -> bool {
        self.chunks_sent - self.chunks_written < CHUNKS_IN_FLIGHT_MAX
    }

    /// Whether there is room in the next chunk, and that may be built now.
    pub(crate) fn has_room(&self) -> bool {
        self.is_writable() && self.control.len() < CHUNK_BYTES
    }

    /// The start of the next chunk: control before data. The owner appends data up to [`CHUNK_BYTES`], then calls
    /// [`Self::sent`] if the chunk is not empty.
    pub(crate) fn begin_chunk(&mut self) -> BytesMut {
        std::mem::take(&mut self.control)
    }

    /// Counts a chunk as on its way.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.chunks_sent += 1;
        self.last_sent = now;
    }

    /// A chunk was written entirely.
    pub(crate) fn handle_written(&mut self) {
        self.chunks_written = self.chunks_sent.min(self.chunks_written + 1);
    }

    /// The number of the chunk that the control frames ride in which are queued now.
    pub(crate) fn next_chunk(&self) -> u64 {
        self.chunks_sent + 1
    }

    /// How many chunks were written entirely.
    pub(crate) fn chunks_written(&self) -> u64 {
        self.chunks_written
    }

    /// Whether the peer is overdue with a sign of life: it was to come an entire heartbeat ago.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        now > self.last_received + self.peer_heartbeat * 2
    }

    /// When the last bytes of the peer came.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// Looks at the deadlines: sends a PING where this side was quiet for a heartbeat.
    ///
    /// # Errors
    ///
    /// [`Code::HelloTimeout`], [`Code::LinkSilent`] (rule F2), [`Code::PeerDoesNotRead`]: the link must be closed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.phase == Phase::Introduction && now >= self.introduced_by {
            let found = if self.end == End::Downstream { "no answer to HELLO" } else { "no HELLO" };
            return Err(Error::new(Code::HelloTimeout)
                .found(found)
                .expected(format!("HELLO and its answer within {:?}", self.hello_timeout)));
        }
        self.check_backlog()?;
        if now >= self.dead_at() {
            return Err(Error::new(Code::LinkSilent)
                .found(format!("nothing for {:?}", now.since(self.last_received)))
                .expected(format!("something every {:?}", self.peer_heartbeat)));
        }
        if self.phase != Phase::Introduction && now >= self.last_sent + self.heartbeat && self.is_writable() {
            self.last_sent = now;
            self.send_frame(Kind::Ping, 0, &now.as_micros().to_be_bytes());
        }
        Ok(())
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(crate) fn poll_timeout(&self) -> Instant {
        if self.phase == Phase::Introduction {
            return self.introduced_by.min(self.dead_at());
        }
        if !self.is_writable() {
            // What is on its way says that this side is alive; a PING behind it would be looked for again and again.
            return self.dead_at();
        }
        self.dead_at().min(self.last_sent + self.heartbeat)
    }

    fn dead_at(&self) -> Instant {
        self.last_received + self.peer_heartbeat * HEARTBEATS_MISSED_MAX
    }
}

/// Whether `end` may receive this frame from its peer in this phase (rule of section 4: what is not listed is denied).
/// The match has no default arm: a new kind is denied until somebody lists it.
fn allowed(kind: Kind, phase: Phase, end: End, channel: u32) -> bool {
    use Phase::{Asking, Introduction, Open, Pending};
    let link = channel == 0;
    let from_downstream = end == End::Upstream;
    let from_upstream = end == End::Downstream;
    match kind {
        Kind::Hello => from_downstream && phase == Introduction && link,
        Kind::Welcome => from_upstream && matches!(phase, Introduction | Pending) && link,
        Kind::Refuse => from_upstream && (link || phase == Open),
        Kind::Ping | Kind::Pong => matches!(phase, Pending | Open | Asking) && link,
        Kind::Chain => from_downstream && phase == Open && link,
        // Of the gateway at the other end on 0, of one behind it on that one's channel.
        Kind::Succeed => from_downstream && phase == Open,
        Kind::Open | Kind::Data | Kind::Fragment | Kind::Gap | Kind::Attest | Kind::DownAck => {
            from_downstream && phase == Open && !link
        }
        Kind::Opened | Kind::Ack | Kind::Credit | Kind::Down => from_upstream && phase == Open && !link,
        Kind::Close => phase == Open && !link,
        Kind::Assign => from_upstream && phase == Open,
        Kind::Challenge | Kind::State => from_upstream && phase == Open && link,
        Kind::Request => from_downstream && (phase == Open || phase == Asking && link),
        Kind::Issued => from_upstream && (phase == Open || phase == Asking && link),
        // Of the gateway at the other end on 0, of one behind it on that one's channel.
        Kind::Enrol => from_downstream && phase == Open,
        Kind::Enrolled => from_upstream && phase == Open,
        Kind::Ask => from_downstream && phase == Asking && link,
        Kind::Answer => from_upstream && phase == Asking && link,
        Kind::Report => from_downstream && phase == Open,
    }
}

/// Bytes of one chunk; two of them are what the TLS writer may hold.
pub(crate) const CHUNK_BYTES: usize = WRITER_BYTES_MAX / 2;
const CHUNKS_IN_FLIGHT_MAX: u64 = 2;
const PING_BYTES: usize = 8;
/// Where a frame has its type (section 1).
const TYPE_AT: usize = 3;
/// What a peer may promise as its heartbeat: less would be a load, more a link that is never found dead.
const HEARTBEAT_MIN: Duration = Duration::from_millis(50);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
