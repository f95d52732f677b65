//! What a node is in the chain.

use std::fmt;
use std::str::FromStr;

use crate::code::Code;
use crate::error::Error;
use crate::text_form::text_form;

/// A node's role. It comes only from the group's approval, never from a certificate (rule I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// The start of a chain: the application sends messages there.
    Agent = 1,
    /// Accepts agents, forwards all on one connection.
    Gateway = 2,
    /// The end of a chain: hands messages to the application.
    ManagementServer = 3,
    /// A person or program that asks and changes what the group knows, at a management server; no part of a chain.
    Operator = 4,
}

impl Role {
    /// The role of a number from the wire, the store or C.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Agent),
            2 => Some(Self::Gateway),
            3 => Some(Self::ManagementServer),
            4 => Some(Self::Operator),
            _ => None,
        }
    }

    /// `agent`, `gateway`, `management-server` or `operator`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Gateway => "gateway",
            Self::ManagementServer => "management-server",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        (1..).map_while(Self::from_number).find(|role| role.as_str() == text).ok_or_else(|| {
            Error::new(Code::ConfigBadValue)
                .found(format!("\"{}\"", crate::error::printable(text)))
                .expected("agent, gateway, management-server or operator")
        })
    }
}

text_form!(Role);
