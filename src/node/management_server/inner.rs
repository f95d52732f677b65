//! Gateways behind other gateways: each has a channel of its own, and what is behind it names that (rules G1 and I6).
//!
//! A gateway's channel carries no data. It proves the gateway as an agent's proves the agent: attested to the key of the
//! gateway that it is connected to, approved by the group, its newest connection fenced by the group's session. The
//! channels behind it are believed for its key while it stands, and end with it.

use std::sync::Arc;

use super::channel::{Channel, Place, Stage};
use super::succession::FormerKeys;
use super::{Effect, ManagementServer};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::identity::KeyHash;
use crate::limits::GATEWAYS_IN_PATH_MAX;
use crate::name::Name;
use crate::node::LinkId;
use crate::role::Role;
use crate::wire::{Open, Opened, Refuse, STATUS_ACCEPTED};

impl ManagementServer {
    /// Whose channel this opening is for, and through which gateways it comes.
    ///
    /// # Errors
    ///
    /// A name that the link may not speak for, a gateway's channel that there is none of, a path that is too long or
    /// holds a name twice.
    pub(super) fn place_of(&self, link: LinkId, number: u32, open: &Open) -> Result<Place, Error> {
        let missing = || Error::new(Code::FrameUnexpected).found("OPEN before HELLO");
        let down = self.links.get(&link).ok_or_else(missing)?;
        let introduced = down.caller.introduced.as_ref().ok_or_else(missing)?;
        let name = Name::parse(&open.name)?;
        let role = match open.role {
            0 => Role::Agent,
            other => Role::from_number(other)
                .filter(|role| matches!(role, Role::Agent | Role::Gateway))
                .ok_or_else(|| Error::new(Code::FrameMalformed).subject("OPEN").found(format!("the role {other}")))?,
        };
        if introduced.role != Role::Gateway {
            if name == introduced.name && role == Role::Agent && open.behind == 0 {
                return Ok(Place { role, name, via: Arc::from([]), behind: None });
            }
            return Err(Error::new(Code::HelloNameMismatch)
                .found(format!("a channel for the {role} {name}"))
                .expected(format!("an agent's for {}, which its certificate proves", introduced.name)));
        }
        let behind = match open.behind {
            0 => None,
            behind => Some(self.gateway_channel(link, number, behind)?),
        };
        let nearer = behind.and_then(|id| self.channels.get(&id));
        let via: Arc<[Name]> = match nearer {
            Some(channel) => std::iter::once(&channel.agent).chain(&*channel.via).cloned().collect(),
            None => Arc::from([introduced.name.clone()]),
        };
        check_path(&name, role, &via)?;
        Ok(Place { role, name, via, behind })
    }

    /// The channel of a gateway that stands, by its number.
    fn gateway_channel(&self, link: LinkId, number: u32, behind: u32) -> Result<u64, Error> {
        if behind >= number {
            return Err(Error::new(Code::ChannelUnknown).found(format!("a channel behind channel {behind}")));
        }
        let id = self.links.get(&link).and_then(|down| down.channels.get(&behind)).copied();
        let Some((id, channel)) = id.and_then(|id| Some((id, self.channels.get(&id)?))) else {
            // It ended while this was on its way.
            return Err(Error::new(Code::UpstreamUnavailable).found("a channel behind a gateway that has left"));
        };
        if !channel.is_open_gateway() {
            return Err(Error::new(Code::FrameUnexpected)
                .found(format!("a channel behind {}, whose channel {behind} does not stand", channel.agent))
                .expected("a gateway that the group let in (rule G1)"));
        }
        Ok(id)
    }

    /// An opening that comes to nothing: its number is used up, and nobody else notices.
    pub(super) fn refuse_opening(&mut self, link: LinkId, number: u32, open: &Open, error: &Error) {
        let wall = self.wall;
        self.note_refused_opening((&open.name, open.role), &open.address, error);
        let Some(down) = self.links.get_mut(&link) else { return };
        let subject = format!("{} at {}", crate::error::printable(&open.name), down.caller.subject());
        down.caller.link.send(number, &Refuse::of_error(error));
        if let Some(untold) = down.refusals.tell(error.code(), wall) {
            let mut event = Event::of_error(subject, error);
            if untold > 0 {
                event.text.push_str(&format!("; {untold} more of this link were refused and not told"));
            }
            self.effects.push_back(Effect::Event(event));
        }
        self.touch(link);
    }

    /// The former keys of the gateway that a channel's node is connected to; none where that is this server.
    pub(super) fn former_of_gateway(&self, channel: &Channel) -> Option<&FormerKeys> {
        match channel.behind {
            Some(id) => self.channels.get(&id).map(|gateway| &gateway.former),
            None if channel.via.is_empty() => None,
            None => self.links.get(&channel.link).map(|down| &down.former),
        }
    }

    /// The keys that a channel's attestation may name, the likeliest first: those of the gateway that its node is
    /// connected to, or this server's.
    ///
    /// # Errors
    ///
    /// [`Code::UpstreamUnavailable`] where that gateway has left meanwhile.
    pub(super) fn keys_spoken_for(&self, channel: &Channel, likeliest: Option<KeyHash>) -> Result<Vec<KeyHash>, Error> {
        let gone = || Error::new(Code::UpstreamUnavailable).found("a channel behind a gateway that has left");
        let Some(id) = channel.behind else {
            let down = self.links.get(&channel.link).ok_or_else(gone)?;
            return Ok(if channel.via.is_empty() {
                vec![down.caller.shown.key]
            } else {
                down.former.keys(down.caller.peer.key_hash(), likeliest)
            });
        };
        let gateway = self.channels.get(&id).filter(|gateway| gateway.is_open_gateway()).ok_or_else(gone)?;
        let key = gateway.peer.as_ref().map(|peer| peer.key_hash()).ok_or_else(gone)?;
        Ok(gateway.former.keys(key, likeliest))
    }

    /// The group let a gateway in that is behind another one: its agents may come.
    pub(super) fn begin_gateway(&mut self, id: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let other = self.by_gateway.get(&channel.agent).and_then(|other| self.channels.get(other));
        if other.is_some_and(|other| other.fence > channel.fence) {
            return self.refuse_channel(id, &Error::new(Code::SessionFenced));
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.stage = Stage::Open;
        let (name, link, number) = (channel.agent.clone(), channel.link, channel.number);
        let event = Event::new(Code::GatewayConnected, name.to_string(), channel.path());
        if let Some(down) = self.links.get_mut(&link) {
            down.caller.link.send(number, &Opened { status: STATUS_ACCEPTED, code: 0, delivered: 0 });
        }
        self.touch(link);
        self.effects.push_back(Effect::Event(event));
        self.enter_channel(id);
        if let Some(old) = self.by_gateway.insert(name.clone(), id).filter(|old| *old != id) {
            self.refuse_channel(old, &Error::new(Code::SessionFenced));
            self.by_gateway.insert(name, id);
        }
    }

    /// A gateway's channel has ended, and with it those behind it: nobody vouches for them any more.
    pub(super) fn forget_gateway(&mut self, id: u64, gateway: &Channel) {
        let behind = self.channels.iter().filter(|(_, channel)| channel.behind == Some(id));
        let behind: Vec<u64> = behind.map(|(id, _)| *id).collect();
        let agents = behind.len();
        for channel in behind {
            self.close_channel(channel);
        }
        if self.by_gateway.get(&gateway.agent) == Some(&id) {
            self.by_gateway.remove(&gateway.agent);
            let text = format!("{}; {agents} channels behind it", gateway.path());
            self.effects.push_back(Effect::Event(Event::new(Code::GatewayGone, gateway.agent.to_string(), text)));
        }
    }
}

/// Every name once, and not too many gateways.
fn check_path(name: &Name, role: Role, via: &[Name]) -> Result<(), Error> {
    let told = || via.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    if via.contains(name) {
        return Err(Error::new(Code::GatewayLoop)
            .found(format!("{name} through {}", told()))
            .expected("each gateway once on the way to the management server"));
    }
    let gateways = via.len() + usize::from(role == Role::Gateway);
    if gateways > GATEWAYS_IN_PATH_MAX {
        return Err(Error::new(Code::PathTooLong)
            .found(format!("{gateways} gateways: {name} through {}", told()))
            .expected(format!("at most {GATEWAYS_IN_PATH_MAX}")));
    }
    Ok(())
}
