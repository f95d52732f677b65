//! The gateway's public handle.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::code::Code;
use crate::config::{Config, NodeAddress};
use crate::disk::StateDirectory;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::Assignment;
use crate::identity::{Identity, attestation};
use crate::name::Name;
use crate::net::enrolment::EnrolmentListener;
use crate::net::listen::Listener;
use crate::node::gateway::{Effect, Gateway as Node, Input};
use crate::node::reporting::{Attempt, Figures};
use crate::role::Role;
use crate::session::assignment_file::AssignmentFile;
use crate::session::driver::{IdentityCell, Links, Mailbox, accept, machine, mailbox, run};
use crate::session::enrolment::{Failures, Tickets, accept_enrolments};
use crate::session::events::{EventHub, Events};
use crate::session::identities::{Identities, Showing};
use crate::session::json::Object;
use crate::session::reload::{IdentityReload, Reloader};
use crate::session::renewal::{Answers, Renewer};
use crate::session::{clock, setup, status};

machine!(Node, Input, Effect);

/// A running gateway. Dropping it stops the node without waiting; [`Self::close`] waits.
pub struct Gateway {
    mailbox: Mailbox<Node>,
    events: EventHub,
    first_events: Mutex<Option<Events>>,
    address: Option<SocketAddr>,
    enrolment_address: Option<SocketAddr>,
    stopped: watch::Receiver<bool>,
    accepting: Vec<JoinHandle<()>>,
    reloader: Arc<Reloader<Node>>,
}

impl Gateway {
    /// Begins to configure a gateway with this identity.
    pub fn builder(identity: Identity) -> GatewayBuilder {
        let mut config = Config::new(Role::Gateway);
        config.name = Some(identity.name().clone());
        GatewayBuilder { identity, config, watches: true }
    }

    /// A gateway as a configuration file describes it. Blocks while it reads the identity's files.
    ///
    /// # Errors
    ///
    /// [`Code::RoleWrong`]; what [`Config::validate`] and [`Identity::from_files`] find.
    pub fn from_config(config: &Config) -> Result<GatewayBuilder> {
        if config.role != Role::Gateway {
            return Err(Error::new(Code::RoleWrong).found(config.role.as_str()).expected(Role::Gateway.as_str()));
        }
        config.validate()?;
        let identity = Identity::from_files(&config.identity, &setup::name(config)?)?;
        Ok(GatewayBuilder { identity, config: config.clone(), watches: true })
    }

    /// Where it listens: the port that the system chose, if it was asked to (port 0).
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it takes enrolments, if it is configured to: the port that the system chose, if it was asked to (port 0).
    pub fn enrolment_address(&self) -> Option<SocketAddr> {
        self.enrolment_address
    }

    /// What happens to the gateway. The first stream begins with the start.
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    /// Reads the identity's files again and takes what they hold into use; the links stay (rule I5). The files are
    /// watched as well, unless [`GatewayBuilder::without_identity_watch`] was called. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`] if the identity was not read from files; what is wrong with it, as
    /// [`Identity::from_files`](crate::Identity::from_files) says it: the last good one stays in use.
    pub async fn reload_identity(&self) -> Result<IdentityReload> {
        self.reloader.reload().await
    }

    /// Takes this identity into use; the links stay (rule I5). If it was not read from files, none are watched any more.
    ///
    /// # Errors
    ///
    /// [`Code::NameMismatch`]; [`Code::CrlUnusable`] for a revocation list older than the one in use; what the check of
    /// its own certificate finds. The last good one stays in use.
    pub async fn replace_identity(&self, identity: Identity) -> Result<IdentityReload> {
        self.reloader.replace(identity).await
    }

    /// Stops: accepts nobody any more, closes the links in order, within the time given.
    ///
    /// # Errors
    ///
    /// [`Code::TimedOut`].
    pub async fn close(mut self, within: Duration) -> Result<()> {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.mailbox.post(Input::Stop);
        match tokio::time::timeout(within, self.stopped.wait_for(|stopped| *stopped)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Code::TimedOut).expected(format!("a stop within {within:?}"))),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.mailbox.post(Input::Stop);
    }
}

/// Configures a gateway. Every option of the configuration file has its key in [`GatewayBuilder::set`].
#[derive(Clone, Debug)]
pub struct GatewayBuilder {
    identity: Identity,
    config: Config,
    watches: bool,
}

impl GatewayBuilder {
    /// The management group; case matters.
    #[must_use]
    pub fn management_group(mut self, group: impl Into<String>) -> Self {
        self.config.management_group = Some(group.into());
        self
    }

    /// The upstreams to start with; a pushed assignment wins over them.
    #[must_use]
    pub fn upstream(mut self, assignment: Assignment) -> Self {
        let mut addresses =
            assignment.upstreams().map(|upstream| NodeAddress { name: upstream.name().clone(), port: upstream.port() });
        self.config.upstream.primary = addresses.next();
        self.config.upstream.failover = addresses.collect();
        self
    }

    /// Where the last good assignment is kept.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.state_directory = Some(path.into());
        self
    }

    /// Where agents connect to.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen_address = address;
        self
    }

    /// Where a name is reached, ahead of DNS.
    #[must_use]
    pub fn host(mut self, name: Name, addresses: Vec<IpAddr>) -> Self {
        self.config.hosts.insert(name, addresses);
        self
    }

    /// Leaves it to the program to say when the identity's files changed ([`Gateway::reload_identity`]); without this they are
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

    /// Listens and starts the node on the runtime that this is called on. Returns before it is connected upstream.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`], [`Code::StateDirectoryInUse`], [`Code::FileUnreadable`], [`Code::ListenFailed`].
    pub async fn start(self) -> Result<Gateway> {
        let Self { identity, config, watches } = self;
        let (events, first_events) = EventHub::new();
        let state = config.state_directory.as_deref().map(StateDirectory::lock).transpose()?;
        let file = config.state_directory.as_deref().map(AssignmentFile::in_directory);
        let uplink = setup::uplink(&config, file.as_ref(), &events)?;
        let listener = Listener::bind(config.listen_address)?;
        let enrolment = config.enrolment_listen.map(EnrolmentListener::bind).transpose()?;
        let (address, enrolment_address) =
            (listener.local_address(), enrolment.as_ref().and_then(EnrolmentListener::local_address));
        let (mailbox, inbox) = mailbox::<Node>();
        let identity: IdentityCell = Arc::new(Identities::new(identity, Showing::WhenToldTo));
        let group = uplink.me.group.clone();
        let reloader = Reloader::new(identity.clone(), mailbox.clone(), events.clone(), group);
        let dialler = setup::dialler(&config);
        let links = Links::new(mailbox.clone(), Some(dialler.clone()), identity.clone());
        let describe = move |node: &Node, object: &mut Object| {
            status::of_uplink(node.uplink(), &dialler, object);
            describe(node, object);
        };
        let report = status::of_machine(&mailbox, identity.clone(), &config, describe);
        let (renewed, answers) = Answers::new();
        let post = {
            let mailbox = mailbox.clone();
            Box::new(move |ask| mailbox.post(Input::Renew(ask)))
        };
        if let Some(renewer) = Renewer::new(&config, &reloader, post, answers, &events) {
            tokio::spawn(renewer.run());
        }
        let tickets = Tickets::default();
        let enrolling = enrolment.map(|listener| {
            let (mailbox, tickets) = (mailbox.clone(), tickets.clone());
            let answer = move |enrol| {
                let (mailbox, tickets) = (mailbox.clone(), tickets.clone());
                async move { tickets.pass(|ticket| mailbox.post(Input::Enrol { ticket, enrol })).await }
            };
            tokio::spawn(accept_enrolments(listener, identity.clone(), Failures::new(&events), answer))
        });
        let socket = status::serve(config.state_directory.as_deref(), report);
        let refused = {
            let mailbox = mailbox.clone();
            move |address: &str, error: &Error| mailbox.post(Input::Refused(Attempt::of_stranger(address, error)))
        };
        let listening =
            accept(listener, mailbox.clone(), identity.clone(), config.hello_timeout, events.clone(), refused);
        let accepting = tokio::spawn(listening);
        let reloading = reloader.clone().start(watches);
        let (stop, stopped) = watch::channel(false);
        let (hub, own) = (events.clone(), mailbox.clone());
        tokio::spawn(async move {
            let node = Node::new(uplink, clock::now());
            let performer = Performer { mailbox: own, file, events: hub, identities: identity, renewed, tickets };
            run(node, inbox, links, |effect, links| performer.perform(effect, links)).await;
            drop((socket, state, reloading, performer));
            let _ = stop.send(true);
        });
        let first_events = Mutex::new(Some(first_events));
        let accepting = std::iter::once(accepting).chain(enrolling).collect();
        Ok(Gateway { mailbox, events, first_events, address, enrolment_address, stopped, accepting, reloader })
    }
}

/// What `farpost status` says of the nodes behind a gateway, and of what it waits for.
fn describe(node: &Node, object: &mut Object) {
    for (what, (connected, open)) in [("agents", node.agents()), ("gateways", node.gateways())] {
        let mut counts = Object::new();
        counts.number("connected", connected as u64);
        counts.number("open", open as u64);
        object.object(what, counts);
    }
    object.texts("via", node.uplink().path().iter().map(Name::as_str));
    if let Some((code, _)) = node.waiting() {
        object.text("waits", &format!("{code} {}", code.summary()));
    }
}

/// Performs one gateway's effects.
struct Performer {
    mailbox: Mailbox<Node>,
    file: Option<AssignmentFile>,
    events: EventHub,
    renewed: Answers,
    tickets: Tickets,
    identities: IdentityCell,
}

impl Performer {
    /// A signature may be made by a slow key service: never on the node's loop.
    fn sign(&self, token: u64, identity: Identity, bytes: Vec<u8>) {
        let mailbox = self.mailbox.clone();
        tokio::task::spawn_blocking(move || {
            let chain = identity.chain_hash();
            let result = attestation::sign(&identity, &bytes).map(|(scheme, signature)| (scheme, signature, chain));
            mailbox.post(Input::Signed { token, result });
        });
    }

    /// False when the node has stopped.
    fn perform(&self, effect: Effect, links: &mut Links<Node>) -> bool {
        match effect {
            Effect::Link(effect) => links.perform(effect),
            Effect::SaveAssignment(signed, key) => {
                if let Some(file) = self.file.clone() {
                    let events = self.events.clone();
                    file.put(signed, key);
                    tokio::task::spawn_blocking(move || {
                        if let Err(error) = file.write() {
                            events.emit(Event::of_error(error.subject_text().to_owned(), &error));
                        }
                    });
                }
            }
            Effect::Renewed(renewed) => self.renewed.put(renewed),
            Effect::Enrolled { ticket, answer } => self.tickets.answer(ticket, answer),
            Effect::Sign { token, link, bytes } => self.sign(token, links.identity_of(link), bytes),
            Effect::Show { generation } => self.identities.show(generation),
            Effect::AskFigures => {
                let certificate_until = Some(self.identities.current().not_after());
                self.mailbox.post(Input::Figures(Figures { certificate_until, ..Figures::default() }));
            }
            Effect::Event(event) => self.events.emit(event),
            Effect::Stopped => {
                self.events.emit(Event::new(Code::ShuttingDown, "", ""));
                return false;
            }
        }
        true
    }
}
