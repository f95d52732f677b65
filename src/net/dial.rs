//! Dialling: name, address, TCP, TLS.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::code::Code;
use crate::error::Error;
use crate::group::Upstream;
use crate::identity::{Identity, VerifiedPeer};
use crate::name::Name;
use crate::net::{prepare, tls};
use crate::time::Timestamp;

/// Where names are reached, and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    /// Ahead of DNS (rule F1).
    pub(crate) hosts: Arc<BTreeMap<Name, Vec<IpAddr>>>,
    /// Per address.
    pub(crate) connect_timeout: Duration,
    pub(crate) tls_timeout: Duration,
}

impl Dialler {
    /// Connects to an upstream and proves that it is the one that was meant.
    ///
    /// # Errors
    ///
    /// [`Code::NameNotResolved`], [`Code::ConnectFailed`] with every address that was tried, what TLS says, or
    /// [`Code::TimedOut`].
    pub(crate) async fn dial(
        &self,
        identity: &Identity,
        upstream: &Upstream,
        at: fn() -> Timestamp,
    ) -> Result<(TlsStream<TcpStream>, VerifiedPeer), Error> {
        let tcp = self.tcp(upstream).await?;
        match timeout(self.tls_timeout, tls::connect(identity, tcp, upstream.name(), at)).await {
            Ok(result) => result.map_err(|error| error.subject(upstream.to_string())),
            Err(_) => Err(Error::new(Code::TimedOut)
                .subject(upstream.to_string())
                .found("no answer to the TLS handshake")
                .expected(format!("one within {:?}", self.tls_timeout))),
        }
    }

    /// Connects without TLS.
    ///
    /// # Errors
    ///
    /// [`Code::NameNotResolved`], [`Code::ConnectFailed`].
    pub(crate) async fn tcp(&self, upstream: &Upstream) -> Result<TcpStream, Error> {
        let addresses = self.addresses(upstream).await?;
        let tcp = self.connect(upstream, &addresses).await?;
        prepare(&tcp);
        Ok(tcp)
    }

    async fn addresses(&self, upstream: &Upstream) -> Result<Vec<SocketAddr>, Error> {
        if let Some(known) = self.hosts.get(upstream.name()) {
            return Ok(known.iter().map(|ip| SocketAddr::new(*ip, upstream.port())).collect());
        }
        let unresolved = |found: String| Error::new(Code::NameNotResolved).subject(upstream.to_string()).found(found);
        let looked_up = timeout(self.connect_timeout, lookup_host((upstream.name().as_str(), upstream.port()))).await;
        let found: Vec<SocketAddr> = match looked_up {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("no answer from DNS".to_owned())),
        };
        if found.is_empty() { Err(unresolved("no address".to_owned())) } else { Ok(found) }
    }

    async fn connect(&self, upstream: &Upstream, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
        let mut failures = Vec::new();
        for address in addresses.iter().take(ADDRESSES_MAX) {
            match timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failures.push(format!("{address}: {error}")),
                Err(_) => failures.push(format!("{address}: no answer within {:?}", self.connect_timeout)),
            }
        }
        Err(Error::new(Code::ConnectFailed).subject(upstream.to_string()).found(failures.join("; ")))
    }
}

/// Addresses tried per dial: a name with more would keep the node from its next upstream.
const ADDRESSES_MAX: usize = 8;
