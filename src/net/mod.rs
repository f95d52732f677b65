//! Sockets: the shell that carries links.

pub(crate) mod dial;
pub(crate) mod enrolment;
pub(crate) mod link;
pub(crate) mod listen;
mod peek;
pub(crate) mod tls;

use std::net::SocketAddr;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

pub use peek::{PresentedChain, fetch_chain};

use crate::limits::{TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT};

/// Sets what every link's socket needs. A kernel that does not know an option works without it.
fn prepare(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    let results = [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES)),
        socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)),
        socket.set_tcp_notsent_lowat(TCP_NOTSENT_LOWAT),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option was not taken");
    }
}

/// An address for people, logs and the group's records.
fn address_text(address: &SocketAddr) -> String {
    match address {
        // A listener on [::] sees IPv4 peers as mapped addresses.
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => format!("{v4}:{}", v6.port()),
            None => address.to_string(),
        },
        SocketAddr::V4(_) => address.to_string(),
    }
}

/// DESIGN section 5: 15/5/3.
const KEEPALIVE_TIME: std::time::Duration = std::time::Duration::from_secs(15);
const KEEPALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
