//! What a running node says of itself: one JSON document per connection to `status.sock` in its state directory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use crate::config::Config;
use crate::identity::VerifiedPeer;
use crate::node::uplink::Uplink;
use crate::routing::{Failure, Reason, Situation, Standby};
use crate::session::clock;
use crate::session::driver::{IdentityCell, Machine, Mailbox};
use crate::session::json::Object;
use crate::session::reload::{describe, distinct};
use crate::time::{Instant, Timestamp};

/// Makes the document when somebody asks.
pub(crate) type Report = Arc<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Answers questions until it is dropped; then the socket is gone.
pub(crate) struct StatusSocket {
    task: tokio::task::JoinHandle<()>,
    path: std::path::PathBuf,
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves the report in a state directory; without one nobody can ask.
pub(crate) fn serve(directory: Option<&Path>, report: Report) -> Option<StatusSocket> {
    let path = directory?.join("status.sock");
    // The state directory's lock is held: what is there was left by a process that is dead.
    let _ = std::fs::remove_file(&path);
    let bound = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    let listener = match bound {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot serve farpost status");
            return None;
        }
    };
    let task = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                // Out of descriptors, mostly: later there may be some.
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            if let Some(document) = report().await {
                // Who asks and goes away loses the answer.
                let _ = tokio::time::timeout(ANSWER_WITHIN, stream.write_all(document.as_bytes())).await;
            }
        }
    });
    Some(StatusSocket { task, path })
}

/// What every node says first.
pub(crate) fn head(config: &Config, identity: &IdentityCell, started: Instant) -> Object {
    let mut object = Object::new();
    object.text("role", config.role.as_str());
    object.text("name", config.name.as_ref().map(|name| name.as_str()).unwrap_or_default());
    object.text("management_group", config.management_group.as_deref().unwrap_or_default());
    object.number("uptime_seconds", clock::now().since(started).as_secs());
    let (own, shown) = (identity.current(), identity.shown());
    let not_after = own.not_after();
    let mut until = Object::new();
    until.text("until", &not_after.to_string());
    until.signed("until_unix_seconds", not_after.unix_seconds());
    until.signed("days", (not_after.unix_seconds() - clock::wall().unix_seconds()).div_euclid(86_400));
    until.number("generation", own.generation());
    until.text("key", &own.key_hash().to_string());
    if let Some(from) = identity.renewal_from() {
        until.text("renewal_from", &from.to_string());
    }
    if !shown.shows_the_same(&own) {
        until.text("shown_until", &shown.not_after().to_string());
        until.text("shown_key", &shown.key_hash().to_string());
    }
    object.object("identity", until);
    object
}

/// Which upstream is in use, since when and why, and how the others stand.
pub(crate) fn of_uplink(uplink: &Uplink, dialler: &crate::net::dial::Dialler, object: &mut Object) {
    let address = |upstream: &crate::group::Upstream| {
        let known = dialler.hosts.get(upstream.name()).and_then(|addresses| addresses.first());
        known.map_or_else(|| format!("port {}", upstream.port()), |ip| format!("{ip}:{}", upstream.port()))
    };
    let (situation, current) = (uplink.situation(), uplink.upstream());
    let waiting = uplink.waiting().filter(|_| current.is_none());
    if let Some(upstream) = current {
        let mut used = Object::new();
        used.text("name", upstream.name().as_str());
        used.text("address", &address(upstream));
        let is_primary = uplink.upstreams().first() == Some(upstream);
        used.text("position", if is_primary { "primary" } else { "failover" });
        used.text("since", &wall_of(situation.since).to_string());
        if let Some(why) = why(&situation) {
            used.text("why", why);
        }
        object.object("upstream", used);
    }
    if let Some((upstream, code, since)) = waiting {
        let mut waits = Object::new();
        waits.text("name", upstream.name().as_str());
        waits.text("address", &address(upstream));
        waits.text("position", "waits for approval");
        waits.text("since", &wall_of(since).to_string());
        waits.text("why", &format!("{code} {}", code.summary()));
        object.object("upstream", waits);
    }
    let mut standbys = Vec::new();
    let used = current.or(waiting.map(|(upstream, ..)| upstream));
    for (index, upstream) in uplink.upstreams().iter().enumerate().filter(|(_, upstream)| Some(*upstream) != used) {
        let mut standby = Object::new();
        standby.text("name", upstream.name().as_str());
        standby.text("address", &address(upstream));
        match uplink.standby(index) {
            Some(Standby::Ready(at)) => {
                standby.boolean("ready", true);
                standby.text("proven", &wall_of(at).to_string());
            }
            Some(Standby::NotReady(failure, at)) => {
                standby.boolean("ready", false);
                let why = match failure {
                    Failure::Unreachable => "no connection",
                    Failure::Refused => "refused",
                    Failure::Unavailable => "it has no upstream itself",
                };
                standby.text("why", &format!("{why} at {}", wall_of(at)));
            }
            Some(Standby::Unproven) | None => {
                standby.boolean("ready", false);
                standby.text("why", "not proven yet");
            }
        }
        if let Some(at) = uplink.failback_at().filter(|_| index == 0) {
            standby.number("failback_in_seconds", at.since(clock::now()).as_secs());
        }
        standbys.push(standby);
    }
    object.objects("standbys", standbys);
}

fn why(situation: &Situation) -> Option<&'static str> {
    match situation.reason {
        Reason::Primary => None,
        Reason::FailedOver => Some("the primary was lost"),
        Reason::Unavailable => Some("it has no upstream itself, and no other has one"),
        Reason::Leaving => Some("it is no longer assigned"),
        Reason::NotAssigned => Some("no upstream is assigned"),
        Reason::Searching => Some("upstreams are being tried"),
        Reason::NoneReachable => Some("no upstream can be reached"),
    }
}

fn wall_of(at: Instant) -> Timestamp {
    let age = clock::now().since(at);
    Timestamp::from_unix_millis(clock::wall().unix_millis() - i64::try_from(age.as_millis()).unwrap_or(0))
}

/// The document of an agent.
#[cfg(feature = "agent")]
pub(crate) fn of_agent(
    mailbox: &Mailbox<crate::node::agent::Agent>,
    queue: crate::disk::Queue,
    identity: IdentityCell,
    config: &Config,
) -> Report {
    let dialler = super::setup::dialler(config);
    let (mailbox, config, started) = (mailbox.clone(), config.clone(), clock::now());
    Arc::new(move || {
        let mut object = head(&config, &identity, started);
        let held = queue.held();
        let mut queued = Object::new();
        queued.number("messages", held.count);
        queued.number("bytes", held.bytes);
        if let Some(oldest) = held.oldest {
            let age = clock::wall().unix_millis() - oldest.unix_millis();
            queued.number("oldest_milliseconds", u64::try_from(age).unwrap_or(0));
        }
        let (mailbox, dialler, identity) = (mailbox.clone(), dialler.clone(), identity.clone());
        Box::pin(async move {
            let asked = mailbox
                .ask(move |node| {
                    of_uplink(node.uplink(), &dialler, &mut object);
                    queued.number("delivered_sequence", node.delivered().0);
                    object.object("queue", queued);
                    object.boolean("connected", node.is_connected());
                    (object, node.peers())
                })
                .await;
            asked.ok().map(|(object, peers)| finish(object, peers, &identity))
        })
    })
}

/// Asks a machine and makes its document; what the other roles share.
pub(crate) fn of_machine<M: Machine>(
    mailbox: &Mailbox<M>,
    identity: IdentityCell,
    config: &Config,
    of_node: impl Fn(&M, &mut Object) + Clone + Send + Sync + 'static,
) -> Report {
    let (mailbox, config, started) = (mailbox.clone(), config.clone(), clock::now());
    Arc::new(move || {
        let mut object = head(&config, &identity, started);
        let (mailbox, of_node, identity) = (mailbox.clone(), of_node.clone(), identity.clone());
        Box::pin(async move {
            let ask = mailbox.ask(move |machine: &M| {
                of_node(machine, &mut object);
                (object, machine.peers())
            });
            ask.await.ok().map(|(object, peers)| finish(object, peers, &identity))
        })
    })
}

/// The ends of certificates last, off the node's loop: a gateway has thousands of peers.
fn finish(mut object: Object, peers: Vec<Arc<VerifiedPeer>>, identity: &IdentityCell) -> String {
    object.object("expiry", describe(&identity.current(), &distinct(peers), clock::wall()));
    object.finish()
}

/// How long the reader of an answer may take.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// A system without descriptors is asked again after this.
const ACCEPT_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
