//! The enrolment port: nodes that have a token and no certificate. Nothing that comes here becomes a link.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::identity::Identity;
use crate::limits::{
    ENROLMENT_FAILURES_PER_MINUTE_MAX, ENROLMENT_SOURCES_MAX, ENROLMENTS_MAX, ENROLMENTS_PER_SOURCE_MAX,
};
use crate::net::listen::{ACCEPT_AGAIN, bind_tcp};
use crate::net::tls::enrolment::accept;
use crate::net::{address_text, prepare};
use crate::wire::{Answer, Enrol};

/// A listening socket for enrolment.
pub(crate) struct EnrolmentListener {
    tcp: TcpListener,
    places: Arc<Semaphore>,
    sources: Sources,
}

impl EnrolmentListener {
    /// Binds.
    ///
    /// # Errors
    ///
    /// [`Code::ListenFailed`](crate::code::Code::ListenFailed).
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Error> {
        let tcp = bind_tcp(address)?;
        Ok(Self { tcp, places: Arc::new(Semaphore::new(ENROLMENTS_MAX)), sources: Sources::default() })
    }

    /// Where it listens: the port that the system chose, if it was asked to.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// Accepts for ever; `answer` has what each node asks answered, `failed` hears of those that asked nothing.
    ///
    /// Who comes without a place, or failed too often lately, is closed at once: the reason would be for nobody to read.
    pub(crate) async fn run<F>(
        self,
        identity: impl Fn() -> Identity + Clone + Send + 'static,
        answer: impl Fn(Enrol) -> F + Clone + Send + 'static,
        failed: impl Fn(String, Error) + Clone + Send + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        loop {
            let (tcp, address) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Ok(permit) = self.places.clone().try_acquire_owned() else { continue };
            let Some(place) = self.sources.enter(address.ip(), permit) else { continue };
            prepare(&tcp);
            let (identity, answer, failed) = (identity.clone(), answer.clone(), failed.clone());
            tokio::spawn(async move {
                match accept(&identity(), tcp).await {
                    Ok((stream, Err(error))) => {
                        place.done(true);
                        failed(address_text(&address), error.clone());
                        stream.answer(&Answer::refused(error)).await;
                    }
                    Ok((stream, Ok(mut enrol))) => {
                        // What the node says of itself here means nothing.
                        (enrol.id, enrol.address) = (0, address_text(&address));
                        let answer = answer(enrol).await;
                        place.done(matches!(answer, Answer::Refused(..)));
                        stream.answer(&answer).await;
                    }
                    Err(error) => {
                        place.done(true);
                        failed(address_text(&address), error);
                    }
                }
            });
        }
    }
}

/// Who is connected, and who failed lately.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, Source>>>);

struct Source {
    connections: usize,
    failures: u32,
    /// Since when failures are counted.
    since: Instant,
}

impl Source {
    fn is_over(&self) -> bool {
        self.connections == 0 && (self.failures == 0 || self.since.elapsed() >= MINUTE)
    }
}

/// The place of one connection.
struct Place {
    source: IpAddr,
    sources: Sources,
    _permit: OwnedSemaphorePermit,
}

impl Sources {
    fn enter(&self, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let source = network_of(address);
        let mut sources = self.lock();
        if sources.len() >= ENROLMENT_SOURCES_MAX && !sources.contains_key(&source) {
            sources.retain(|_, source| !source.is_over());
            if sources.len() >= ENROLMENT_SOURCES_MAX {
                return None;
            }
        }
        let known =
            sources.entry(source).or_insert_with(|| Source { connections: 0, failures: 0, since: Instant::now() });
        if known.since.elapsed() >= MINUTE {
            (known.failures, known.since) = (0, Instant::now());
        }
        let may = known.connections < ENROLMENTS_PER_SOURCE_MAX && known.failures < ENROLMENT_FAILURES_PER_MINUTE_MAX;
        if !may {
            return None;
        }
        known.connections += 1;
        Some(Place { source, sources: self.clone(), _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The node was answered, or asked nothing; the place itself is held until the connection ends.
    fn done(&self, has_failed: bool) {
        if has_failed && let Some(source) = self.sources.lock().get_mut(&self.source) {
            source.failures = source.failures.saturating_add(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get_mut(&self.source) {
            source.connections -= 1;
            if source.is_over() {
                sources.remove(&self.source);
            }
        }
    }
}

/// Whoever has one IPv6 address has its whole network of 2⁶⁴.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// For how long failures count.
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        places.clone().try_acquire_owned().unwrap()
    }

    #[test]
    fn d7_one_address_has_four_places_and_twenty_failures_a_minute() {
        let (sources, places) = (Sources::default(), Arc::new(Semaphore::new(100)));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let held: Vec<Place> = (0..4).map(|_| sources.enter(one, permit(&places)).unwrap()).collect();
        assert!(sources.enter(one, permit(&places)).is_none(), "a fifth");
        assert!(sources.enter(other, permit(&places)).is_some());
        drop(held);
        for _ in 0..20 {
            sources.enter(one, permit(&places)).unwrap().done(true);
        }
        assert!(sources.enter(one, permit(&places)).is_none(), "a twenty-first");
        assert!(sources.enter(other, permit(&places)).is_some());
        assert_eq!(sources.lock().len(), 1, "who did nothing wrong is forgotten");
        assert_eq!(places.available_permits(), 100, "every place comes back");
    }

    #[test]
    fn d7_the_addresses_of_one_ipv6_network_are_one_source() {
        let address = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(address("2001:db8:1:2::3"), address("2001:db8:1:2:ffff::4"));
        assert_ne!(address("2001:db8:1:2::3"), address("2001:db8:1:3::3"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }
}
