//! The nodes as pure machines: the cores composed, input in, effects out. The only place where cores meet.
//!
//! A node never waits. What is slow or needs the outside (a dial, a signature to make or check, a write, the group's
//! answer) is an effect that the shell runs and whose result it hands back as input with the token it belongs to; a
//! result that nobody waits for any more is dropped. The shell drives a node in turns:
//!
//! 1. `handle(input, now)` for a batch of inputs (at most [`TURN_BYTES_MAX`](crate::limits::TURN_BYTES_MAX) of them),
//!    and `handle_timeout(now)` when `poll_timeout()` is due;
//! 2. `end_turn(now)` once: what rides in batches (acknowledgements, credit, hand-overs, commits, output) is made here;
//! 3. `poll_effect()` until it is empty.
//!
//! A node is deterministic: its maps are ordered, so that one seed of the simulation is one history.
//!
//! **The seam for shards.** An agent's state hangs on its name alone. In the gateway, `Shard` owns the links of the
//! agents and `Control` the link upstream; the two exchange [`gateway`] batches only, so that K shards (agents by hash)
//! can stand beside one control. In the management server a link with its channels is such a shard, and what crosses
//! (hand-over, commit, the group's changes) already goes through batches.

#[cfg(feature = "agent")]
pub(crate) mod agent;
#[cfg(feature = "gateway")]
pub(crate) mod gateway;
#[cfg(feature = "management-server")]
pub(crate) mod management_server;
#[cfg(feature = "management-server")]
pub(crate) mod operator;
mod reception;
pub(crate) mod renewal;
mod reopening;
pub(crate) mod reporting;
mod timers;
pub(crate) mod uplink;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::group::Upstream;
use crate::identity::succession::Succession;
use crate::identity::{ChainHash, KeyHash, VerifiedPeer};
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// The protocol version that this release speaks.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// One link of a node. The node numbers the links that it dials, the shell those that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

impl LinkId {
    pub(crate) fn dialled(count: u64) -> Self {
        Self(count << 1)
    }

    pub(crate) fn accepted(count: u64) -> Self {
        Self(count << 1 | 1)
    }

    /// Odd for a link that was accepted.
    fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn is_dialled(self) -> bool {
        self.0 & 1 == 0
    }
}

/// What the shell tells a node of its links.
#[derive(Debug)]
pub(crate) enum LinkInput {
    /// Somebody connected and proved a certificate.
    Accepted { link: LinkId, peer: Arc<VerifiedPeer>, address: String, shown: Shown },
    /// A dial ended.
    Dialled { link: LinkId, result: Result<Arc<VerifiedPeer>, Error>, shown: Shown },
    /// Bytes arrived.
    Received { link: LinkId, bytes: BytesMut },
    /// One transmitted chunk was written entirely.
    Written { link: LinkId },
    /// The link is gone.
    Lost { link: LinkId, error: Error },
}

/// Which of its identities this node showed on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Rises with every reload.
    pub(crate) generation: u64,
    pub(crate) key: KeyHash,
}

/// What the shell tells a node of identities, its own and its peers' (rule I5).
#[derive(Debug)]
pub(crate) enum IdentityInput {
    /// Another identity is used for dials from now on.
    Changed(IdentityChange),
    /// Peers were verified again: those that are no longer good, and those whose path now ends at another time.
    Judged(Vec<Verdict>),
    /// The wall clock, about once a second.
    Wall(Timestamp),
}

/// A new identity of this node.
#[derive(Clone, Debug)]
pub(crate) struct IdentityChange {
    pub(crate) generation: u64,
    /// None where only trust, lists or policy are new.
    pub(crate) certificate: Option<CertificateChange>,
}

/// A new certificate or key of this node.
#[derive(Clone, Debug)]
pub(crate) struct CertificateChange {
    /// When the certificate before it ends: until then it may be shown to those who connect.
    pub(crate) former_not_after: Timestamp,
    /// What former keys say of the new one; none if the key stayed.
    pub(crate) successions: Vec<Succession>,
}

/// What a second look at a peer's chain found.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) chain: ChainHash,
    pub(crate) result: Result<Arc<VerifiedPeer>, Error>,
}

/// What a node asks the shell to do with its links.
#[derive(Debug)]
pub(crate) enum LinkEffect {
    /// Resolve, connect, TLS; the peer must prove the upstream's name.
    Dial { link: LinkId, upstream: Upstream },
    /// Write; answer [`LinkInput::Written`].
    Transmit { link: LinkId, bytes: Bytes },
    /// Write what was transmitted, then close. The node has forgotten the link; nothing about it is to be handed in.
    Close { link: LinkId },
}

/// Who a node says it is.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) role: Role,
    pub(crate) name: Name,
    pub(crate) group: String,
    pub(crate) software: String,
    pub(crate) heartbeat: Duration,
    /// How long a link may take from TLS to an accepted HELLO, at either end.
    pub(crate) hello_timeout: Duration,
}

/// Which codes of a refused channel the agent can answer by itself.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::SessionStale
            | Code::AttestationStale
            | Code::UpstreamUnavailable
            | Code::StoreUnavailable
            | Code::ApprovalWithdrawn
    )
}

/// A deadline that just passed without effect is not looked at again at once.
const TIMER_STEP: Duration = Duration::from_millis(10);
