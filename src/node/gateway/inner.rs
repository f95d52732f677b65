//! Gateways behind this one: what they may open and teach. The management server judges whom they speak for.

use bytes::Bytes;

use super::down::DownChannel;
use super::shard::{Shard, check_length};
use super::{RelayId, ToControl};
use crate::code::Code;
use crate::error::Error;
use crate::limits::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, CHANNELS_OF_INNER_GATEWAY_MAX};
use crate::name::Name;
use crate::node::LinkId;
use crate::role::Role;
use crate::wire::{Chain, Close, Open};

impl Shard {
    /// A channel of an agent, or of a further gateway, behind a gateway that is behind this one. What is wrong with it
    /// costs the others there nothing (rule D7).
    ///
    /// # Errors
    ///
    /// A gateway that opens channels before the group let it in, or behind what is no gateway: the link ends.
    pub(super) fn open_behind(&mut self, link: LinkId, id: u32, open: Open) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        if open.behind >= id {
            return Err(Error::new(Code::ChannelUnknown).found(format!("a channel behind channel {}", open.behind)));
        }
        let full = down.channels().count() >= CHANNELS_OF_INNER_GATEWAY_MAX;
        let relay = RelayId { link, channel: id };
        let Some(gateway) = down.channel(open.behind) else {
            // It ended while this was on its way, and nothing of it was sent on.
            let forwarded = Some(open.lowest_held.saturating_sub(1));
            let code = u32::from(Code::LinkClosed.number());
            down.caller.link.send(id, &Close { code, text: String::new(), forwarded });
            return Ok(());
        };
        if gateway.role != Role::Gateway || !gateway.open {
            return Err(Error::new(Code::FrameUnexpected)
                .found(format!("a channel behind channel {}, which is no gateway's that was let in", open.behind))
                .expected("nothing before OPENED (rule G1)"));
        }
        let judged = if full {
            Err(Error::new(Code::TooManyConnections).found(format!("{CHANNELS_OF_INNER_GATEWAY_MAX} channels")))
        } else {
            Name::parse(&open.name).and_then(|_| check_length(&open))
        };
        if let Err(error) = judged {
            self.refuse_channel(relay, &error);
            return Ok(());
        }
        down.add(DownChannel::new(id, &open));
        let behind = Some(RelayId { link, channel: open.behind });
        self.to_control.push(ToControl::Open { relay, open: Box::new(open), peer: None, behind });
        Ok(())
    }

    /// A chain that a gateway behind this one teaches goes on while that has a channel: without one it teaches it again.
    ///
    /// # Errors
    ///
    /// [`Code::ChainTooLarge`].
    pub(super) fn handle_chain(&mut self, link: LinkId, chain: &Chain) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        down.chain_begun.extend(chain.certificates.iter().cloned());
        let bytes: usize = down.chain_begun.iter().map(Bytes::len).sum();
        if down.chain_begun.len() > CHAIN_CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
            return Err(Error::new(Code::ChainTooLarge)
                .found(format!("{} certificates, {bytes} bytes", down.chain_begun.len())));
        }
        if !chain.more {
            let whole = std::mem::take(&mut down.chain_begun);
            if down.channels().any(|channel| channel.role == Role::Gateway && channel.open) {
                self.to_control.push(ToControl::Chain(whole));
            }
        }
        Ok(())
    }
}
