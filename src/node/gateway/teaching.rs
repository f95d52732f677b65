//! What a gateway teaches its upstream: chains, and what its former keys say.

use bytes::Bytes;

use super::control::Control;
use crate::identity::ChainHash;
use crate::identity::succession::Succession;
use crate::limits::CHAINS_OF_INNER_GATEWAYS_MAX;
use crate::wire::{Chain, Link, Succeed};

impl Control {
    /// Passes a chain on that a gateway behind this one teaches, once, and not too many: what is left out is refused
    /// where it is named.
    pub(super) fn teach_for_inner(&mut self, certificates: Vec<Bytes>) {
        let hash = ChainHash::of(&certificates);
        let full = self.inner_chains >= CHAINS_OF_INNER_GATEWAYS_MAX;
        if full || self.chains_sent.contains(&hash) {
            return;
        }
        if let Some((_, link)) = self.uplink.link() {
            send_chain(link, certificates);
            self.chains_sent.insert(hash);
            self.inner_chains += 1;
        }
    }
}

/// Teaches the upstream a chain: as many CHAIN frames as its certificates need.
pub(super) fn send_chain(link: &mut Link, certificates: Vec<Bytes>) {
    let last = certificates.len().saturating_sub(1);
    for (at, certificate) in certificates.into_iter().enumerate() {
        link.send(0, &Chain { certificates: vec![certificate], more: at < last });
    }
}

pub(super) fn succeed(succession: &Succession) -> Succeed {
    Succeed {
        chain: Bytes::copy_from_slice(&ChainHash::of(&succession.chain).0),
        scheme: u32::from(succession.scheme),
        signature: succession.signature.clone(),
        next: Bytes::new(),
    }
}

/// What the key that was proven on the link says of the next one.
pub(super) fn announce(succession: &Succession) -> Succeed {
    Succeed {
        chain: Bytes::new(),
        scheme: u32::from(succession.scheme),
        signature: succession.signature.clone(),
        next: Bytes::copy_from_slice(&succession.new_key.0),
    }
}
