//! The protocol.

mod frame;
mod messages;
mod run;

pub(crate) use frame::{Frame, HEADER_BYTES, Kind, next_frame, put_header};
pub(crate) use messages::*;
pub(crate) use run::{FRAGMENT_PAYLOAD_MAX, Fragment, PAYLOAD_IN_RUN_MAX, Run, put_data};
