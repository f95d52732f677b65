//! The network: two byte streams per link, with delay, arbitrary cuts of the bytes, deafness and sudden ends.

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Numbered, Priority, Sequence};
use crate::name::Name;
use crate::node::{LinkEffect, LinkId, LinkInput, Shown};
use crate::sim::people;
use crate::sim::world::{Event, World};
use crate::time::{Instant, Timestamp};
use crate::wire::put_data;

/// One connection; end 0 dialled.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    /// `streams[end]` carries what that end sends.
    streams: [Stream; 2],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: usize,
    life: u64,
    link: LinkId,
    pub(super) is_open: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// What was sent before arrives not later.
    last_at: Instant,
    /// Bytes vanish; the sender's kernel still takes a little.
    is_deaf: bool,
    vanished: usize,
    slow_ms: u64,
    /// Arrived, not yet read.
    held: BytesMut,
    in_flight: usize,
}

/// Half-open connections take this many chunks before writes stand still.
const VANISHING_CHUNKS: usize = 2;
/// What one link may have on its way: two chunks of data and what control there is (rule D7).
const IN_FLIGHT_MAX: usize = 512 << 10;

impl World {
    pub(super) fn link_effect(&mut self, node: usize, effect: LinkEffect) {
        match effect {
            LinkEffect::Dial { link, upstream } => {
                let delay = self.delay();
                let (life, to) = (self.nodes[node].life, upstream.name().clone());
                self.after(delay, Event::Dial { node, life, link, to });
            }
            LinkEffect::Transmit { link, bytes } => {
                if let Some((wire, end)) = self.nodes[node].links.get(&link).copied() {
                    self.transmit(wire, end, &bytes);
                }
            }
            LinkEffect::Close { link } => {
                if let Some((wire, end)) = self.nodes[node].links.remove(&link) {
                    self.wires[wire].ends[end].is_open = false;
                    let at = self.arrival(wire, end);
                    if !self.wires[wire].streams[end].is_deaf {
                        self.at(at, Event::Hang { wire, end: 1 - end });
                    }
                }
            }
        }
    }

    pub(super) fn dial(&mut self, node: usize, link: LinkId, to: &Name) {
        let target = self.index(to);
        let is_up = self.nodes[target].machine.is_some() && !self.dice.percent(self.plan.dial_fails);
        if !is_up {
            let error = Error::new(Code::ConnectFailed).subject(to.as_str());
            let shown = self.shown(node, self.nodes[node].generation);
            return self.link_input(node, LinkInput::Dialled { link, result: Err(error), shown });
        }
        self.nodes[target].accepted += 1;
        let accepted = LinkId::accepted(self.nodes[target].accepted);
        let end = |node: usize, link| End { node, life: self.nodes[node].life, link, is_open: true };
        let wire = Wire { ends: [end(node, link), end(target, accepted)], streams: Default::default() };
        self.wires.push(wire);
        let wire = self.wires.len() - 1;
        self.nodes[node].links.insert(link, (wire, 0));
        self.nodes[target].links.insert(accepted, (wire, 1));
        let (called, own) = (self.nodes[target].shown, self.nodes[node].generation);
        self.nodes[node].dialled_as.insert(link, own);
        let caller = people::peer_of(&self.nodes[node].name, own);
        let address = format!("10.0.0.{node}:4000");
        self.link_input(
            target,
            LinkInput::Accepted { link: accepted, peer: caller, address, shown: self.shown(target, called) },
        );
        self.link_input(
            node,
            LinkInput::Dialled { link, result: Ok(people::peer_of(to, called)), shown: self.shown(node, own) },
        );
    }

    fn shown(&self, node: usize, generation: u64) -> Shown {
        Shown { generation, key: people::peer_of(&self.nodes[node].name, generation).key_hash() }
    }

    /// When the next bytes of a stream arrive.
    fn arrival(&mut self, wire: usize, end: usize) -> Instant {
        let mut delay = self.delay();
        let slow = self.wires[wire].streams[end].slow_ms;
        if slow > 0 {
            delay += self.dice.within_ms(slow);
        }
        let stream = &mut self.wires[wire].streams[end];
        stream.last_at = stream.last_at.max(self.now + delay);
        stream.last_at
    }

    fn transmit(&mut self, wire: usize, end: usize, bytes: &Bytes) {
        assert!(!bytes.is_empty(), "an empty chunk was transmitted");
        let stream = &mut self.wires[wire].streams[end];
        if stream.is_deaf {
            stream.vanished += 1;
            if stream.vanished <= VANISHING_CHUNKS {
                self.after(std::time::Duration::ZERO, Event::Written { wire, end });
            }
            return;
        }
        stream.in_flight += bytes.len();
        assert!(stream.in_flight <= IN_FLIGHT_MAX, "D7 {} bytes are on the way on one link", stream.in_flight);
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let whole = self.dice.percent(60);
            let size = if whole { rest.len() } else { 1 + self.dice.below(rest.len()) };
            let at = self.arrival(wire, end);
            self.at(at, Event::Arrive { wire, end: 1 - end, bytes: rest.split_to(size) });
        }
        let at = self.wires[wire].streams[end].last_at;
        self.at(at, Event::Written { wire, end });
    }

    /// Bytes reach `end`; it reads them now, or later together with what follows.
    pub(super) fn arrive(&mut self, wire: usize, end: usize, bytes: &Bytes) {
        let stream = &mut self.wires[wire].streams[1 - end];
        stream.in_flight -= bytes.len();
        if stream.is_deaf {
            return;
        }
        stream.held.extend_from_slice(bytes);
        if self.dice.percent(30) {
            let delay = self.dice.within_ms(2);
            self.after(delay, Event::Read { wire, end });
        } else {
            self.read(wire, end);
        }
    }

    pub(super) fn read(&mut self, wire: usize, end: usize) {
        let bytes = std::mem::take(&mut self.wires[wire].streams[1 - end].held);
        let End { node, life, link, is_open } = self.wires[wire].ends[end];
        if !bytes.is_empty() && is_open && self.nodes[node].life == life {
            self.link_input(node, LinkInput::Received { link, bytes });
        }
    }

    pub(super) fn written(&mut self, wire: usize, end: usize) {
        let End { node, life, link, is_open } = self.wires[wire].ends[end];
        if is_open && self.nodes[node].life == life {
            self.link_input(node, LinkInput::Written { link });
        }
    }

    /// `end` hears that the link is gone.
    pub(super) fn hang(&mut self, wire: usize, end: usize) {
        self.read(wire, end);
        let End { node, life, link, is_open } = self.wires[wire].ends[end];
        self.wires[wire].ends[end].is_open = false;
        if is_open && self.nodes[node].life == life {
            self.nodes[node].links.remove(&link);
            self.link_input(node, LinkInput::Lost { link, error: Error::new(Code::LinkDown) });
        }
    }

    fn live_wire(&mut self) -> Option<usize> {
        let live: Vec<usize> =
            (0..self.wires.len()).filter(|wire| self.wires[*wire].ends.iter().all(|end| end.is_open)).collect();
        (!live.is_empty()).then(|| live[self.dice.below(live.len())])
    }

    /// Both ends lose the link, and what was on its way.
    pub(super) fn cut_a_wire(&mut self) {
        let Some(wire) = self.live_wire() else { return };
        self.trace(|| format!("cut wire {wire}"));
        for end in 0..2 {
            self.wires[wire].streams[end].is_deaf = true;
            let delay = self.dice.within_ms(50);
            self.after(delay, Event::Hang { wire, end });
        }
    }

    /// One direction, or both, carry nothing any more, and nobody is told.
    pub(super) fn deafen_a_wire(&mut self) {
        let Some(wire) = self.live_wire() else { return };
        let which = self.dice.below(3);
        self.trace(|| format!("half-open wire {wire} {which}"));
        for end in 0..2 {
            if which == end || which == 2 {
                self.wires[wire].streams[end].is_deaf = true;
            }
        }
    }

    /// An agent becomes hostile for a moment: nonsense, a sequence that goes back, more than its credit.
    pub(super) fn send_garbage(&mut self) {
        let Some(wire) = self.live_wire() else { return };
        let agent = self.wires[wire].ends[0].node;
        if self.nodes[agent].queue.is_none() {
            return;
        }
        let name = self.nodes[agent].name.clone();
        self.trace(|| format!("{name} is hostile"));
        self.ledger.spoilt.insert(name);
        let bytes: Bytes = match self.dice.below(3) {
            0 => (0..1 + self.dice.below(300)).map(|_| self.dice.next() as u8).collect(),
            1 if self.nodes[agent].queue.as_ref().is_some_and(|queue| queue.disk.delivered > 0) => {
                Self::forged_run(1, 1)
            }
            _ => (0..60).flat_map(|at| Self::forged_run(1_000_000 + at * 20, 20)).collect(),
        };
        self.wires[wire].streams[0].in_flight += bytes.len();
        self.arrive(wire, 1, &bytes);
        // The honest bytes that follow may be swallowed by what was forged: the link cannot stay.
        for end in 0..2 {
            let delay = self.dice.within_ms(5000);
            self.after(delay, Event::Hang { wire, end });
        }
    }

    /// A DATA frame on channel 1 that no honest agent sends now.
    fn forged_run(first: u64, count: u64) -> Bytes {
        let messages: Vec<Numbered> = (first..first + count)
            .map(|sequence| Numbered {
                sequence: Sequence(sequence),
                priority: Priority::Normal,
                sent: Timestamp::default(),
                payload: vec![0xff; 400].into(),
            })
            .collect();
        let mut bytes = BytesMut::new();
        put_data(&mut bytes, 1, messages.iter(), FRAME_BYTES_MAX);
        bytes.freeze()
    }

    pub(super) fn slow_a_wire(&mut self) {
        let Some(wire) = self.live_wire() else { return };
        let (end, slow) = (self.dice.below(2), self.dice.one_of(&[0, 200, 1500]));
        self.trace(|| format!("slow wire {wire} {end}: {slow} ms"));
        self.wires[wire].streams[end].slow_ms = slow;
    }

    pub(super) fn hurry_all_wires(&mut self) {
        self.wires.iter_mut().flat_map(|wire| &mut wire.streams).for_each(|stream| stream.slow_ms = 0);
    }

    /// The links of a node that died: most peers hear of it, some do not.
    pub(super) fn drop_links_of(&mut self, node: usize) {
        let links = std::mem::take(&mut self.nodes[node].links);
        let told = self.dice.percent(75);
        for (wire, end) in links.into_values() {
            self.wires[wire].ends[end].is_open = false;
            self.wires[wire].streams[1 - end].is_deaf = true;
            if told {
                let at = self.arrival(wire, end);
                self.at(at, Event::Hang { wire, end: 1 - end });
            } else {
                self.wires[wire].streams[end].is_deaf = true;
            }
        }
    }
}
