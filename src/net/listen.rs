//! Accepting: TCP, TLS, and the bounds on those who have not yet proven who they are.

mod failures;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::code::Code;
use crate::error::Error;
use crate::identity::{Identity, VerifiedPeer};
use crate::limits::{HANDSHAKES_PER_CORE, LISTEN_BACKLOG, PARKED_MAX, UNAUTHENTICATED_MAX};
use crate::net::listen::failures::{Admission, Failures};
use crate::net::{address_text, prepare, tls};
use crate::time::Timestamp;

/// A connection whose peer proved a certificate.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) peer: VerifiedPeer,
    pub(crate) address: String,
    /// What it was shown, and judged with.
    pub(crate) identity: Identity,
}

/// A listening socket.
pub(crate) struct Listener {
    tcp: TcpListener,
    /// The rest waits in the kernel's backlog.
    unauthenticated: Arc<Semaphore>,
    /// Accepted connections of addresses that have all their places; they have not begun TLS.
    parked: Arc<Semaphore>,
    /// Handshakes at work.
    working: Arc<Semaphore>,
    sources: Sources,
    failures: Arc<Mutex<Failures>>,
}

/// Who has connections that have not proven themselves.
type Sources = Arc<Mutex<HashMap<IpAddr, Source>>>;

/// One address: while it has more connections than places, the next ones wait for their turn (many agents share a NAT).
struct Source {
    connections: usize,
    places: Arc<Semaphore>,
    /// It was told that some were turned away.
    told: bool,
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    ///
    /// [`Code::ListenFailed`].
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            tcp: bind_tcp(address)?,
            working: Arc::new(Semaphore::new(cores * HANDSHAKES_PER_CORE)),
            failures: Arc::default(),
            unauthenticated: Arc::new(Semaphore::new(UNAUTHENTICATED_MAX)),
            parked: Arc::new(Semaphore::new(PARKED_MAX)),
            sources: Sources::default(),
        })
    }

    /// Where it listens: the port that the system chose, if it was asked to.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// Accepts for ever; `identity` is asked per connection, since it may be reloaded. `done` gets every peer that
    /// proved itself, and every failure with the address it came from.
    pub(crate) async fn run<F>(
        self,
        identity: impl Fn() -> Identity + Clone + Send + 'static,
        hello_timeout: Duration,
        at: fn() -> Timestamp,
        done: impl Fn(Result<Accepted, (String, Error)>) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.unauthenticated.clone().acquire_owned().await else { return };
            let (tcp, address) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: what is waiting must not be refused in a busy loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            prepare(&tcp);
            let (identity, done, text) = (identity.clone(), done.clone(), address_text(&address));
            let admission = lock(&self.failures).admit(address.ip(), hello_timeout, Instant::now());
            let Some((guard, place)) = self.admit(address.ip(), permit, &admission) else {
                if self.is_news(address.ip()) {
                    let error = Error::new(Code::TooManyConnections)
                        .expected(format!("at most {PARKED_MAX} beyond the {PLACES_MAX} of one address"));
                    tokio::spawn(done(Err((text, error))));
                }
                continue;
            };
            let (working, failures, source) = (self.working.clone(), self.failures.clone(), address.ip());
            tokio::spawn(async move {
                if let Admission::After(wait) = admission {
                    tokio::time::sleep(wait).await;
                }
                // The semaphores are never closed.
                let Some(permits) = place.taken().await else { return };
                let identity = identity();
                let result = in_turn(&working, handshake(&identity, tcp, hello_timeout, at)).await;
                count(&failures, source, &admission, &result);
                drop((guard, permits));
                done(match result {
                    Ok((stream, peer)) => Ok(Accepted { stream, peer, address: text, identity }),
                    Err(error) => Err((text, error)),
                })
                .await;
            });
        }
    }

    /// One address holds at most half of the places; its further connections are parked, up to a bound.
    fn admit(&self, source: IpAddr, permit: OwnedSemaphorePermit, admission: &Admission) -> Option<(Guard, Place)> {
        if *admission == Admission::Never {
            return None;
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sources.entry(source).or_insert_with(|| Source {
            connections: 0,
            places: Arc::new(Semaphore::new(PLACES_MAX)),
            told: false,
        });
        let of_source = entry.places.clone().try_acquire_owned().ok();
        let place = match of_source.filter(|_| *admission == Admission::Now) {
            Some(of_source) => Place::Taken(of_source, permit),
            None => {
                let Ok(parked) = self.parked.clone().try_acquire_owned() else {
                    sources.retain(|known, entry| *known != source || entry.connections > 0);
                    return None;
                };
                Place::Parked { parked, of_source: entry.places.clone(), of_all: self.unauthenticated.clone() }
            }
        };
        entry.connections += 1;
        Some((Guard { source, sources: self.sources.clone() }, place))
    }

    /// Whether nobody was told yet that connections of this address are turned away: a flood must not fill the log.
    fn is_news(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get_mut(&source).is_some_and(|source| !std::mem::replace(&mut source.told, true))
    }
}

/// Listens on an address.
///
/// # Errors
///
/// [`Code::ListenFailed`].
pub(super) fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let failed =
        |error: std::io::Error| Error::new(Code::ListenFailed).subject(address.to_string()).found(error.to_string());
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    // A server that was just killed leaves connections behind that would keep its port.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    socket.listen(LISTEN_BACKLOG).map_err(failed)
}

/// A connection's place among those that may prove themselves.
enum Place {
    Taken(OwnedSemaphorePermit, OwnedSemaphorePermit),
    /// Its address has no more places now: it waits in the order of its arrival, and holds none of the others' places.
    Parked {
        parked: OwnedSemaphorePermit,
        of_source: Arc<Semaphore>,
        of_all: Arc<Semaphore>,
    },
}

impl Place {
    async fn taken(self) -> Option<[OwnedSemaphorePermit; 2]> {
        match self {
            Self::Taken(of_source, of_all) => Some([of_source, of_all]),
            Self::Parked { parked, of_source, of_all } => {
                let of_source = of_source.acquire_owned().await.ok()?;
                drop(parked);
                Some([of_source, of_all.acquire_owned().await.ok()?])
            }
        }
    }
}

/// Counts what cost something: a peer that never spoke did not.
fn count<T>(failures: &Mutex<Failures>, source: IpAddr, admission: &Admission, result: &Result<T, Error>) {
    let waited = *admission != Admission::Now;
    match result {
        Ok(_) if waited => lock(failures).succeeded(source),
        Err(error) if error.code() == Code::HelloTimeout && waited => lock(failures).succeeded(source),
        Err(error) if error.code() != Code::HelloTimeout && !waited => lock(failures).failed(source, Instant::now()),
        _ => {}
    }
}

/// Lets a handshake work only while it has one of the places for that: between its turns, while it waits for its peer, it
/// has none.
async fn in_turn<F: Future>(places: &Semaphore, handshake: F) -> F::Output {
    let mut handshake = pin!(handshake);
    let mut waiting = None;
    poll_fn(move |context| {
        let place = match places.try_acquire() {
            Ok(place) if waiting.is_none() => Some(place),
            _ => {
                let turn = waiting.get_or_insert_with(|| Box::pin(places.acquire()));
                let place = ready!(turn.as_mut().poll(context)).ok();
                waiting = None;
                place
            }
        };
        let polled: Poll<F::Output> = handshake.as_mut().poll(context);
        drop(place);
        polled
    })
    .await
}

fn lock(failures: &Mutex<Failures>) -> MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handshake(
    identity: &Identity,
    tcp: TcpStream,
    hello_timeout: Duration,
    at: fn() -> Timestamp,
) -> Result<(TlsStream<TcpStream>, VerifiedPeer), Error> {
    match timeout(hello_timeout, tls::accept(identity, tcp, at)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::HelloTimeout)
            .found("no complete TLS handshake")
            .expected(format!("one within {hello_timeout:?}"))),
    }
}

/// One connection that has not proven itself; its address is forgotten with its last one.
struct Guard {
    source: IpAddr,
    sources: Sources,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get_mut(&self.source) {
            source.connections -= 1;
            if source.connections == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

/// What one address may hold of the places.
const PLACES_MAX: usize = UNAUTHENTICATED_MAX / 2;
/// A system without descriptors is asked again after this.
pub(super) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
