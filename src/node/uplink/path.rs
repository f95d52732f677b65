//! The way from here to a management server, where it leads through gateways.

use super::Uplink;
use crate::code::Code;
use crate::error::Error;
use crate::limits::GATEWAYS_IN_PATH_MAX;
use crate::name::Name;
use crate::node::Introduction;
use crate::role::Role;
use crate::wire::State;

impl Uplink {
    /// Who this node says it is.
    pub(crate) fn me(&self) -> &Introduction {
        &self.me
    }

    /// Whether the link in use goes to a gateway.
    pub(crate) fn is_behind_gateway(&self) -> bool {
        self.in_use().is_some_and(|dialled| dialled.role == Some(Role::Gateway))
    }

    /// The gateways on the way to a management server, the upstream in use first; known by a gateway only.
    pub(crate) fn path(&self) -> &[Name] {
        self.in_use().map(|dialled| &dialled.path[..]).unwrap_or_default()
    }

    /// The path that an upstream tells, checked by a gateway that would be behind it: it leads upwards, and is not too
    /// long. Two gateways that have nobody but each other find it out by this.
    pub(super) fn checked_path(&self, state: &State) -> Result<Vec<Name>, Error> {
        if self.me.role != Role::Gateway {
            // An agent takes any way; the management server judges it.
            return Ok(Vec::new());
        }
        let told = || crate::error::printable(&state.path.join(", "));
        if state.path.iter().any(|name| name == self.me.name.as_str()) {
            return Err(Error::new(Code::GatewayLoop)
                .found(format!("{} behind {}", self.me.name, told()))
                .expected("each gateway once on the way to the management server"));
        }
        if state.path.len() >= GATEWAYS_IN_PATH_MAX {
            return Err(Error::new(Code::PathTooLong)
                .found(format!("{} behind {}", self.me.name, told()))
                .expected(format!("at most {GATEWAYS_IN_PATH_MAX} gateways in a row")));
        }
        state.path.iter().map(|name| Name::parse(name)).collect()
    }
}
