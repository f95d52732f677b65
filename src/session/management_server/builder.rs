//! How a management server is configured and started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::ManagementServer;
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
use crate::code::Code;
use crate::config::Config;
use crate::disk::StateDirectory;
use crate::error::{Error, Result};
use crate::group::{ApprovalsOperation, Author, By};
use crate::identity::Identity;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::net::enrolment::EnrolmentListener;
use crate::net::listen::Listener;
use crate::node::management_server::{Config as NodeConfig, ManagementServer as Node, Output};
use crate::role::Role;
use crate::session::authority::{self, CertificateAuthority};
use crate::session::driver::{IdentityCell, Inbox, Links, accept, mailbox, run};
use crate::session::events::EventHub;
use crate::session::identities::{Identities, Showing};
use crate::session::json::Object;
use crate::session::reload::Reloader;
use crate::session::{ManagementGroup, clock, setup, status};
use crate::store::StoreThread;

/// Configures a management server. Every option of the configuration file has its key in
/// [`ManagementServerBuilder::set`].
pub struct ManagementServerBuilder {
    identity: Identity,
    group: ManagementGroup,
    config: Config,
    cursor_source: Option<CursorSource>,
    certificate_authority: Option<Arc<dyn CertificateAuthority>>,
    watches: bool,
}

impl ManagementServer {
    /// Begins to configure a management server of this group, with this identity.
    pub fn builder(identity: Identity, group: ManagementGroup) -> ManagementServerBuilder {
        let mut config = Config::new(Role::ManagementServer);
        config.name = Some(identity.name().clone());
        let certificate_authority = None;
        ManagementServerBuilder { identity, group, config, cursor_source: None, certificate_authority, watches: true }
    }

    /// A management server as a configuration file describes it: opens the group store, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`Code::RoleWrong`]; what [`Config::validate`], [`Identity::from_files`] and [`ManagementGroup::open_new`] find.
    pub async fn from_config(config: &Config) -> Result<ManagementServerBuilder> {
        if config.role != Role::ManagementServer {
            let expected = Role::ManagementServer.as_str();
            return Err(Error::new(Code::RoleWrong).found(config.role.as_str()).expected(expected));
        }
        config.validate()?;
        let identity = Identity::from_files(&config.identity, &setup::name(config)?)?;
        let url = setup::required(config.store_url.clone(), "store.url")?;
        let name = setup::required(config.management_group.clone(), "management_group")?;
        let group = ManagementGroup::open_new(url.as_str(), &name).await?;
        let (config, certificate_authority) = (config.clone(), None);
        Ok(ManagementServerBuilder {
            identity,
            group,
            config,
            cursor_source: None,
            certificate_authority,
            watches: true,
        })
    }
}

impl ManagementServerBuilder {
    /// Where gateways and agents connect to.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen_address = address;
        self
    }

    /// Where status is served.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.state_directory = Some(path.into());
        self
    }

    /// The application keeps the cursor itself, in its own database beside what it stores: it is asked for it whenever a
    /// channel opens, so that it is handed nothing twice (rule D5b). `None` from it means: never heard of that epoch.
    #[must_use]
    pub fn application_cursor<F>(mut self, cursor: F) -> Self
    where
        F: Fn(Name, Epoch) -> BoxFuture<'static, Result<Option<Sequence>>> + Send + Sync + 'static,
    {
        self.cursor_source = Some(Arc::new(cursor));
        self
    }

    /// Who issues certificates to the group's nodes when they renew or enrol, instead of what `authority.kind` says.
    #[must_use]
    pub fn certificate_authority(mut self, authority: impl CertificateAuthority + 'static) -> Self {
        self.certificate_authority = Some(Arc::new(authority));
        self
    }

    /// Leaves it to the program to say when the identity's files changed ([`ManagementServer::reload_identity`]); without this they are
    /// watched.
    #[must_use]
    pub fn without_identity_watch(mut self) -> Self {
        self.watches = false;
        self
    }

    /// Sets any option by its key in the configuration file.
    ///
    /// # Errors
    ///
    /// As [`Config::set`].
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        self.config.set(key, value)?;
        Ok(self)
    }

    /// Registers the server in its group, listens, and starts the node on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// [`Code::OperationLocal`] for a group from afar; [`Code::GroupMismatch`], [`Code::StoreUnavailable`],
    /// [`Code::StateDirectoryInUse`], [`Code::ListenFailed`], [`Code::OutputFailed`]; what [`LocalAuthority::open`](crate::LocalAuthority::open) and
    /// [`HandOff::open`](crate::HandOff::open) find.
    pub async fn start(self) -> Result<ManagementServer> {
        let Self { identity, group, mut config, cursor_source, certificate_authority, watches } = self;
        let store = group.store()?.clone();
        let certificate_authority = authority_of(certificate_authority, &config).await?;
        let (events, first_events) = EventHub::new();
        let state = config.state_directory.as_deref().map(StateDirectory::lock).transpose()?.map(Arc::new);
        config.management_group.get_or_insert(group.name().await?);
        let listener = Listener::bind(config.listen_address)?;
        let enrolment = config.enrolment_listen.map(EnrolmentListener::bind).transpose()?;
        let (address, enrolment_address) =
            (listener.local_address(), enrolment.as_ref().and_then(EnrolmentListener::local_address));
        let node_config = prepare(&config, &store, address, cursor_source.is_some()).await?;
        let (mailbox, inbox) = mailbox::<Node>();
        let (batches, receiver) = mpsc::unbounded_channel();
        let mut deliveries = Some(Deliveries::new(receiver, mailbox.clone()));
        let identity: IdentityCell = Arc::new(Identities::new(identity, Showing::AtOnce));
        let of_group = config.management_group.clone().unwrap_or_default();
        let reloader = Reloader::new(identity.clone(), mailbox.clone(), events.clone(), of_group);
        let (server, verify) = (setup::name(&config)?, Verifiers::start(&mailbox, &identity)?);
        let software = setup::introduction(&config)?.software;
        let follow = store.call(|store| Ok((store.changes(), store.change()?, store.commit_pace())));
        let (changes, change, pace) = follow.await?;
        let (lengths, reports) = (Lengths::default(), ReportBook::default());
        let file = open_output(&config, &store, lengths.clone(), state.clone()).await?;
        let output = file.zip(deliveries.take_if(|_| config.output.path.is_some()));
        let output = output.map(|(file, deliveries)| tokio::spawn(file.run(deliveries, events.clone())));
        // From the first task on nothing fails: each has an owner who ends it.
        let links = Links::new(mailbox.clone(), None, identity.clone());
        let health = StoreHealth::new(events.clone());
        let report = status::of_machine(&mailbox, identity.clone(), &config, describe_with(health.clone()));
        let socket = status::serve(config.state_directory.as_deref(), report);
        let registrar = Registrar::new(&config, store.clone(), &reloader, certificate_authority, &events);
        let (refused, within) = (reports.of_strangers(&server), config.hello_timeout);
        let book = (reports.clone(), health.clone());
        let presence = PresenceWriter::new(server.clone(), software, store.clone(), mailbox.clone(), book);
        let lease_end = presence.end();
        let mut tasks = vec![
            tokio::spawn(accept(listener, mailbox.clone(), identity.clone(), within, events.clone(), refused)),
            tokio::spawn(follow_group(store.clone(), change, changes, mailbox.clone(), health.clone())),
            tokio::spawn(tick(mailbox.clone())),
            tokio::spawn(presence.run()),
        ];
        tasks.extend(keep_store(&store, &reports, &health));
        tasks.extend(registrar.tasks(enrolment, &config, &reloader));
        let position = config.output.path.as_ref().map(|path| (path.display().to_string(), lengths));
        let performer = Performer {
            server,
            store,
            mailbox: mailbox.clone(),
            events: events.clone(),
            batches,
            cursor_source,
            verify,
            knocks: Arc::default(),
            sessions: Arc::default(),
            registrar,
            reports: reports.clone(),
            health,
            pace: CommitPace::new(pace),
            position,
        };
        let reloading = reloader.clone().start(watches);
        let stopped = spawn_node(node_config, inbox, links, performer, (socket, state, reloading, lease_end));
        Ok(ManagementServer {
            mailbox,
            events,
            first_events: Mutex::new(Some(first_events)),
            address,
            enrolment_address,
            deliveries,
            stopped,
            tasks,
            output,
            reloader,
            reports,
        })
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

impl fmt::Debug for ManagementServerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManagementServerBuilder")
            .field("identity", &self.identity)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
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
        Ok((store.group()?, store.assignment_key()?, store.challenge_secret()?))
    });
    let (name, group_key, challenge_secret) = facts.await?;
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
    Ok(NodeConfig { me, group_key, challenge_secret, output, message_bytes_max })
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
