//! How an agent is configured and started.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::perform::{Performer, Running, Sink, instance_of};
use super::receipt::{Progress, Watermarks};
use super::{Agent, Shared};
use crate::code::Code;
use crate::config::{Config, NodeAddress};
use crate::error::{Error, Result};
use crate::group::Assignment;
use crate::identity::Identity;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::node::agent::{Agent as Node, Input};
use crate::role::Role;
use crate::session::assignment_file::AssignmentFile;
use crate::session::driver::{IdentityCell, Links, mailbox, run};
use crate::session::events::EventHub;
use crate::session::identities::{Identities, Showing};
use crate::session::reload::Reloader;
use crate::session::renewal::{Answers, Renewer};
use crate::session::{clock, setup, status};

/// Configures an agent. Every option of the configuration file has its key in [`AgentBuilder::set`].
#[derive(Clone, Debug)]
pub struct AgentBuilder {
    identity: Identity,
    config: Config,
    watches: bool,
}

impl Agent {
    /// An agent as a configuration file describes it. Blocks while it reads the identity's files.
    ///
    /// # Errors
    ///
    /// [`Code::RoleWrong`]; what [`Config::validate`] and [`Identity::from_files`] find.
    pub fn from_config(config: &Config) -> Result<AgentBuilder> {
        if config.role != Role::Agent {
            return Err(Error::new(Code::RoleWrong).found(config.role.as_str()).expected(Role::Agent.as_str()));
        }
        config.validate()?;
        let identity = Identity::from_files(&config.identity, &setup::name(config)?)?;
        Ok(AgentBuilder { identity, config: config.clone(), watches: true })
    }
}

impl AgentBuilder {
    pub(super) fn new(identity: Identity) -> Self {
        let mut config = Config::new(Role::Agent);
        config.name = Some(identity.name().clone());
        Self { identity, config, watches: true }
    }

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

    /// Where the queue is kept. Without one it is in memory: messages do not survive the process (rule D2).
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.state_directory = Some(path.into());
        self
    }

    /// Where a name is reached, ahead of DNS.
    #[must_use]
    pub fn host(mut self, name: Name, addresses: Vec<IpAddr>) -> Self {
        self.config.hosts.insert(name, addresses);
        self
    }

    /// Leaves it to the program to say when the identity's files changed ([`Agent::reload_identity`]); without this they are
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

    /// Opens the queue and starts the node on the runtime that this is called on. Returns before it is connected.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`]; [`Code::StateDirectoryInUse`], [`Code::StateDirectoryForeign`],
    /// [`Code::QueueFormat`], [`Code::FileUnreadable`].
    pub async fn start(self) -> Result<Agent> {
        let Self { identity, config, watches } = self;
        let (events, first_events) = EventHub::new();
        let name = setup::name(&config)?;
        let options = crate::disk::QueueOptions {
            directory: config.state_directory.clone(),
            bytes_max: config.queue.bytes_max,
            segment_bytes: config.queue.segment_bytes,
            commit_delay: config.queue.commit_delay,
            message_bytes_max: config.message_bytes_max,
            new_epoch: Epoch(clock::random()),
            owner: name.clone(),
        };
        let opening = tokio::task::spawn_blocking(move || crate::disk::Queue::open(options)).await;
        let (queue, opened) = opening.map_err(|error| Error::new(Code::Internal).found(error.to_string()))??;
        for event in &opened.events {
            events.emit(event.clone());
        }
        let file = config.state_directory.as_deref().map(AssignmentFile::in_directory);
        let uplink = setup::uplink(&config, file.as_ref(), &events)?;
        let (instance, held) = instance_of(&opened, clock::random());
        let node = Node::new(uplink, instance, held, clock::now());
        let (mailbox, inbox) = mailbox::<Node>();
        let durable = Sequence(opened.next.0.saturating_sub(1));
        let watermarks = Watermarks { stored: durable, relayed: Sequence::NONE, delivered: opened.delivered };
        let progress = Progress { epoch: opened.epoch, sent: durable, watermarks, ..Progress::default() };
        let shared = Arc::new(Shared {
            queue: queue.clone(),
            mailbox: mailbox.clone(),
            events,
            numbering: Mutex::default(),
            progress: watch::Sender::new(progress),
            space: Notify::new(),
            received: Mutex::default(),
            arrived: Notify::new(),
            stopped: watch::Sender::new(false),
            when_full: config.queue.when_full,
            source: opened.source,
            message_bytes_max: config.message_bytes_max,
            in_memory: config.state_directory.is_none(),
        });
        let identity: IdentityCell = Arc::new(Identities::new(identity, Showing::AtOnce));
        let group = config.management_group.clone().unwrap_or_default();
        let reloader = Reloader::new(identity.clone(), mailbox.clone(), shared.events.clone(), group);
        let links = Links::new(mailbox.clone(), Some(setup::dialler(&config)), identity.clone());
        queue.start(Arc::new(Sink(shared.clone())))?;
        let status = status::serve(
            config.state_directory.as_deref(),
            status::of_agent(&shared.mailbox, queue, identity.clone(), &config),
        );
        let (renewed, answers) = Answers::new();
        let post = {
            let mailbox = shared.mailbox.clone();
            Box::new(move |ask| mailbox.post(Input::Renew(ask)))
        };
        if let Some(renewer) = Renewer::new(&config, &reloader, post, answers, &shared.events) {
            tokio::spawn(renewer.run());
        }
        let mut performer = Performer { shared: shared.clone(), assignment_file: file, renewed, identity };
        let reloading = Some(reloader.clone().start(watches));
        let running = Running { status, reloading, shared: shared.clone() };
        tokio::spawn(async move {
            run(node, inbox, links, move |effect, links| performer.perform(effect, links)).await;
            drop(running);
        });
        Ok(Agent { shared, reloader, first_events: Mutex::new(Some(first_events)) })
    }
}
