//! The protocol.

mod credit;
mod frame;
mod link;
mod messages;
mod order;
mod run;

pub(crate) use credit::{CreditPool, ReceiveCredit, SendCredit};
pub(crate) use frame::{Frame, HEADER_BYTES, Kind, next_frame, put_header};
pub(crate) use link::{CHUNK_BYTES, End, Link, Phase};
pub(crate) use messages::*;
pub(crate) use order::Order;
pub(crate) use run::{Content, FRAGMENT_PAYLOAD_MAX, Fragment, PAYLOAD_IN_RUN_MAX, Run, put_data};
