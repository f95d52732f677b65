//! The protocol.

#[cfg(any(fuzzing, test))]
mod bodies;
mod credit;
mod frame;
#[cfg(test)]
mod golden;
mod link;
mod messages;
mod order;
mod run;

#[cfg(any(fuzzing, test))]
pub(crate) use bodies::read_body;
pub(crate) use credit::{CreditPool, ReceiveCredit, SendCredit};
pub(crate) use frame::{Frame, HEADER_BYTES, Kind, next_frame, put_header};
pub(crate) use link::{CHUNK_BYTES, End, Link, Phase};
pub(crate) use messages::*;
pub(crate) use order::Order;
pub(crate) use run::{Content, FRAGMENT_PAYLOAD_MAX, Fragment, PAYLOAD_IN_RUN_MAX, Run, put_data};
