//! How a management server starts: first all that may fail, then the tasks and the node.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::builder::ManagementServerBuilder;
use super::commit_pace::CommitPace;
use super::deliveries::Deliveries;
use super::forgetting::forget;
use super::output_file::{Lengths, OutputFile};
use super::perform::{CursorSource, Performer, expire_pending, follow_group, tick};
use super::presence::PresenceWriter;
use super::refusals::write_refusals;
use super::registrar::Registrar;
use super::reports::ReportBook;
use super::store_health::StoreHealth;
use super::verify::Verifiers;
use super::{BatchReceiver, BatchSender, ManagementServer};
use crate::code::Code;
use crate::config::Config;
use crate::disk::StateDirectory;
use crate::error::{Error, Result};
use crate::group::{ApprovalsOperation, Author, By};
use crate::net::enrolment::EnrolmentListener;
use crate::net::listen::Listener;
use crate::node::management_server::{Config as NodeConfig, ManagementServer as Node, Output};
use crate::session::authority::{self, CertificateAuthority};
use crate::session::driver::{IdentityCell, Inbox, Links, Mailbox, accept, mailbox, run};
use crate::session::events::{EventHub, Events};
use crate::session::identities::{Identities, Showing};
use crate::session::json::Object;
use crate::session::reload::Reloader;
use crate::session::status::StatusSocket;
use crate::session::{clock, setup, status};
use crate::store::{Changes, StoreThread};

/// A server of which everything that may fail is done, and no task runs yet.
pub(super) struct Opened {
    shared: Shared,
    state: Option<Arc<StateDirectory>>,
    listener: Listener,
    enrolment: Option<EnrolmentListener>,
    node: NodeConfig,
    inbox: Inbox<Node>,
    verify: Verifiers,
    cursor_source: Option<CursorSource>,
    following: Following,
    output: Option<OutputFile>,
    lengths: Lengths,
    first_events: Events,
    watches: bool,
}

/// What most tasks of a server have a part in.
struct Shared {
    config: Config,
    store: Arc<StoreThread>,
    identity: IdentityCell,
    mailbox: Mailbox<Node>,
    events: EventHub,
    reloader: Arc<Reloader<Node>>,
    registrar: Registrar,
    reports: ReportBook,
    health: StoreHealth,
}

/// How the store is followed: what tells of changes, the last one that is known, and the least time between two commits.
struct Following {
    changes: Changes,
    known: u64,
    pace: Duration,
}

impl Opened {
    /// The parts of a server in the order in which they may fail.
    pub(super) async fn open(builder: ManagementServerBuilder) -> Result<Self> {
        let ManagementServerBuilder { identity, group, mut config, cursor_source, certificate_authority, watches } =
            builder;
        let store = group.store()?.clone();
        let certificate_authority = authority_of(certificate_authority, &config).await?;
        let state = config.state_directory.as_deref().map(StateDirectory::lock).transpose()?.map(Arc::new);
        config.management_group.get_or_insert(group.name().await?);
        let listener = Listener::bind(config.listen_address)?;
        let enrolment = config.enrolment_listen.map(EnrolmentListener::bind).transpose()?;
        let node = prepare(&config, &store, listener.local_address(), cursor_source.is_some()).await?;
        let (mailbox, inbox) = mailbox::<Node>();
        let identity: IdentityCell = Arc::new(Identities::new(identity, Showing::AtOnce));
        let verify = Verifiers::start(&mailbox, &identity)?;
        let following = store.call(|store| {
            Ok(Following { changes: store.changes(), known: store.change()?, pace: store.commit_pace() })
        });
        let following = following.await?;
        let lengths = Lengths::default();
        let output = open_output(&config, &store, lengths.clone(), state.clone()).await?;
        let (events, first_events) = EventHub::new();
        let shared = Shared::new(config, store, (identity, mailbox), events, certificate_authority);
        Ok(Self {
            shared,
            state,
            listener,
            enrolment,
            node,
            inbox,
            verify,
            cursor_source,
            following,
            output,
            lengths,
            first_events,
            watches,
        })
    }

    /// Starts the tasks, each of which has an owner who ends it, and the node. Nothing fails any more.
    pub(super) fn run(self) -> ManagementServer {
        let Self { shared, node, .. } = self;
        let (address, enrolment) = (self.listener.local_address(), self.enrolment);
        let enrolment_address = enrolment.as_ref().and_then(EnrolmentListener::local_address);
        let (batches, receiver) = mpsc::unbounded_channel();
        let (deliveries, output) = shared.output(self.output, receiver);
        let links = Links::new(shared.mailbox.clone(), None, shared.identity.clone());
        let presence = shared.presence(&node, address);
        let lease_end = presence.end();
        let mut tasks = shared.tasks(&node, self.listener, enrolment);
        tasks.push(tokio::spawn(presence.run()));
        let (store, mailbox, health) = (shared.store.clone(), shared.mailbox.clone(), shared.health.clone());
        let Following { changes, known, pace } = self.following;
        tasks.push(tokio::spawn(follow_group(store, known, changes, mailbox, health)));
        let performer = shared.performer(&node, batches, (self.cursor_source, self.verify), pace, self.lengths);
        let reloading = shared.reloader.clone().start(self.watches);
        let kept = (shared.status(), self.state, reloading, lease_end);
        let stopped = spawn_node(node, self.inbox, links, performer, kept);
        let Shared { mailbox, events, reloader, reports, .. } = shared;
        ManagementServer {
            mailbox,
            events,
            first_events: Mutex::new(Some(self.first_events)),
            address,
            enrolment_address,
            deliveries,
            stopped,
            tasks,
            output,
            reloader,
            reports,
        }
    }
}

impl Shared {
    fn new(
        config: Config,
        store: Arc<StoreThread>,
        (identity, mailbox): (IdentityCell, Mailbox<Node>),
        events: EventHub,
        authority: Option<Arc<dyn CertificateAuthority>>,
    ) -> Self {
        let of_group = config.management_group.clone().unwrap_or_default();
        let reloader = Reloader::new(identity.clone(), mailbox.clone(), events.clone(), of_group);
        let registrar = Registrar::new(&config, store.clone(), &reloader, authority, &events);
        let (reports, health) = (ReportBook::default(), StoreHealth::new(events.clone()));
        Self { config, store, identity, mailbox, events, reloader, registrar, reports, health }
    }

    /// Where deliveries go: to the file, whose task it starts, or to the application.
    fn output(
        &self,
        file: Option<OutputFile>,
        receiver: BatchReceiver,
    ) -> (Option<Deliveries>, Option<JoinHandle<()>>) {
        let mut deliveries = Some(Deliveries::new(receiver, self.mailbox.clone()));
        let to_file = file.zip(deliveries.take_if(|_| self.config.output.path.is_some()));
        let task = to_file.map(|(file, deliveries)| tokio::spawn(file.run(deliveries, self.events.clone())));
        (deliveries, task)
    }

    /// What writes down who is connected to this server.
    fn presence(&self, node: &NodeConfig, address: Option<SocketAddr>) -> PresenceWriter {
        let (server, software) = ((node.me.name.clone(), address), node.me.software.clone());
        let book = (self.reports.clone(), self.health.clone());
        PresenceWriter::new(server, software, self.store.clone(), self.mailbox.clone(), book)
    }

    /// What listens, what keeps time, and what keeps the store and the certificates as they should be.
    fn tasks(
        &self,
        node: &NodeConfig,
        listener: Listener,
        enrolment: Option<EnrolmentListener>,
    ) -> Vec<JoinHandle<()>> {
        let (mailbox, identity, events) = (self.mailbox.clone(), self.identity.clone(), self.events.clone());
        let (refused, within) = (self.reports.of_strangers(&node.me.name), self.config.hello_timeout);
        let mut tasks = vec![
            tokio::spawn(accept(listener, mailbox, identity, within, events, refused)),
            tokio::spawn(tick(self.mailbox.clone())),
        ];
        tasks.extend(keep_store(&self.store, &self.reports, &self.health));
        tasks.extend(self.registrar.tasks(enrolment, &self.config, &self.reloader));
        tasks
    }

    /// What does what the node decides.
    fn performer(
        &self,
        node: &NodeConfig,
        batches: BatchSender,
        (cursor_source, verify): (Option<CursorSource>, Verifiers),
        pace: Duration,
        lengths: Lengths,
    ) -> Performer {
        Performer {
            server: node.me.name.clone(),
            store: self.store.clone(),
            mailbox: self.mailbox.clone(),
            events: self.events.clone(),
            batches,
            cursor_source,
            verify,
            knocks: Arc::default(),
            sessions: Arc::default(),
            registrar: self.registrar.clone(),
            reports: self.reports.clone(),
            health: self.health.clone(),
            pace: CommitPace::new(pace),
            position: self.config.output.path.as_ref().map(|path| (path.display().to_string(), lengths)),
        }
    }

    /// Serves `farpost status` beside the state, if there is a place for it.
    fn status(&self) -> Option<StatusSocket> {
        let of_node = describe_with(self.health.clone());
        let report = status::of_machine(&self.mailbox, self.identity.clone(), &self.config, of_node);
        status::serve(self.config.state_directory.as_deref(), report)
    }
}

/// What keeps the group store as it should be, whatever the node does.
fn keep_store(store: &Arc<StoreThread>, reports: &ReportBook, health: &StoreHealth) -> [JoinHandle<()>; 3] {
    [
        tokio::spawn(expire_pending(store.clone(), health.clone())),
        tokio::spawn(write_refusals(reports.clone(), store.clone(), health.clone())),
        tokio::spawn(forget(store.clone(), health.clone())),
    ]
}

/// Runs the node until it has stopped, and holds `kept` as long.
fn spawn_node(
    config: NodeConfig,
    inbox: Inbox<Node>,
    links: Links<Node>,
    mut performer: Performer,
    kept: impl Send + 'static,
) -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let node = Node::new(config, clock::wall());
        run(node, inbox, links, move |effect, links| performer.perform(effect, links)).await;
        drop(kept);
        let _ = stop.send(true);
    });
    stopped
}

/// What status tells of the node and of its store.
fn describe_with(store: StoreHealth) -> impl Fn(&Node, &mut Object) + Clone + Send + Sync + 'static {
    move |node, object| {
        describe(node, object);
        store.describe(object);
    }
}

/// Registers the server and reads what the node needs of its group.
async fn prepare(
    config: &Config,
    store: &StoreThread,
    address: Option<SocketAddr>,
    asks_application: bool,
) -> Result<NodeConfig> {
    let me = setup::introduction(config)?;
    let (server, wall) = (me.name.clone(), clock::wall());
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let unknown_agents = config.unknown_agents;
    let facts = store.call(move |store| {
        store.register_server(&server, &address, wall)?;
        if unknown_agents != crate::config::UnknownAgents::default() {
            let author = Author::group("a management server's configuration", server.as_str());
            store.perform(&ApprovalsOperation::SetUnknownAgents { unknown_agents }.into(), &By { author, at: wall })?;
        }
        Ok((store.group()?, store.group_keys()?, store.challenge_secret()?))
    });
    let (name, group_keys, challenge_secret) = facts.await?;
    if name != me.group {
        return Err(Error::new(Code::GroupMismatch)
            .subject("the group store")
            .found(format!("\"{name}\""))
            .expected(format!("\"{}\"", me.group)));
    }
    let output = match (config.output.store, asks_application) {
        (true, _) => Output::Store,
        (false, true) => Output::ApplicationWithCursor,
        (false, false) => Output::Application,
    };
    let message_bytes_max = config.message_bytes_max;
    let challenge_secret = challenge_secret.into();
    Ok(NodeConfig { me, group_keys, challenge_secret, output, message_bytes_max })
}

/// The application's own, or what the configuration says.
async fn authority_of(
    own: Option<Arc<dyn CertificateAuthority>>,
    config: &Config,
) -> Result<Option<Arc<dyn CertificateAuthority>>> {
    if own.is_some() { Ok(own) } else { authority::of_settings(config.authority.clone()).await }
}

/// The file output, if there is one: cut back to what was committed.
async fn open_output(
    config: &Config,
    store: &StoreThread,
    lengths: Lengths,
    state: Option<Arc<StateDirectory>>,
) -> Result<Option<OutputFile>> {
    let Some(path) = &config.output.path else { return Ok(None) };
    let committed = committed_length(config, store).await?;
    OutputFile::open(path, committed, lengths, state).map(Some)
}

async fn committed_length(config: &Config, store: &StoreThread) -> Result<Option<u64>> {
    let (server, path) = (setup::name(config)?, config.output.path.clone().unwrap_or_default());
    store.call(move |store| store.output_position(&server, &path.display().to_string())).await
}

fn describe(node: &Node, object: &mut Object) {
    let (gateways, agents, pending) = node.connected();
    for (key, connected) in [("gateways", gateways), ("agents", agents)] {
        let mut downstreams = Object::new();
        downstreams.number("connected", connected as u64);
        if key == "agents" {
            downstreams.number("pending", pending as u64);
        }
        object.object(key, downstreams);
    }
}
