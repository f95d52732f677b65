//! The management group as its operators see it: approvals, assignments, inventory.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::group::{
    AgentRecord, Assignment, AssignmentRecord, EnrolmentToken, GatewayRecord, ServerRecord, TokenRecord, UnknownAgents,
    Upstream,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::role::Role;
#[cfg(feature = "postgres")]
use crate::store::PostgresStore;
use crate::store::{Delivery, DeliveryGap, SqliteStore, Store, StoreThread};
use crate::time::Timestamp;

/// A management group, by its store. Clones share one connection.
///
/// What is changed here takes effect on every management server of the group and on live links within 2 s (rule G2),
/// whichever process changes it.
#[derive(Clone)]
pub struct ManagementGroup {
    store: Arc<StoreThread>,
}

/// What a gateway is approved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApprovedFor<'a> {
    /// To connect to this management server, and to those that are assigned to it.
    ManagementServer(&'a str),
}

/// How far an agent is delivered in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cursor {
    /// Whose.
    pub agent: Name,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// The highest sequence up to which all is delivered.
    pub through: Sequence,
}

/// All that the group knows of its nodes, read at one point of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inventory {
    /// The group's name.
    pub management_group: String,
    /// Rises with every change of approvals, assignments, servers and messages to agents.
    pub change: u64,
    /// The management servers, by name.
    pub servers: Vec<ServerRecord>,
    /// The gateways, by name; those that wait and those that were removed too.
    pub gateways: Vec<GatewayRecord>,
    /// The agents, by name; those that wait and those that were rejected too.
    pub agents: Vec<AgentRecord>,
    /// Which upstreams gateways and agents are assigned, by node; who is not listed follows its own configuration.
    pub assignments: Vec<AssignmentRecord>,
    /// How far each agent is delivered, the newest epoch last.
    pub cursors: Vec<Cursor>,
}

impl ManagementGroup {
    /// Opens a group's store: `sqlite:///var/lib/farpost/group.db`, or `sqlite://group.db` for a relative path; with
    /// the feature `postgres`, `postgres://farpost@db.corp.example/group?sslmode=verify-full&sslrootcert=FILE` as well
    /// (see docs/postgresql.md).
    ///
    /// # Errors
    ///
    /// [`Code::ConfigBadValue`] for the URL; [`Code::StoreUnavailable`], [`Code::StoreBusy`], [`Code::StoreNewer`],
    /// [`Code::StoreCorrupt`], [`Code::KeyExposed`]; of a database [`Code::StoreLoginFailed`], [`Code::StoreForbidden`],
    /// [`Code::StoreUntrusted`].
    pub async fn open(url: &str) -> Result<Self> {
        Self::start(url, None).await
    }

    /// Opens the store of the group of this name; makes it, with its keys, if there is none yet.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::open`]; [`Code::GroupMismatch`] if the store is another group's.
    pub async fn open_new(url: &str, management_group: &str) -> Result<Self> {
        Self::start(url, Some(management_group.to_owned())).await
    }

    async fn start(url: &str, management_group: Option<String>) -> Result<Self> {
        let place = Place::of(url)?;
        let store = StoreThread::start(move || place.open(management_group.as_deref()));
        Ok(Self { store: Arc::new(store.await?) })
    }

    /// The store's thread, for the management server that runs on this group.
    pub(crate) fn store(&self) -> &Arc<StoreThread> {
        &self.store
    }

    /// The group's name.
    ///
    /// # Errors
    ///
    /// As every call here: [`Code::StoreBusy`] may be tried again, [`Code::StoreUnavailable`] and
    /// [`Code::StoreCorrupt`] need an operator.
    pub async fn name(&self) -> Result<String> {
        self.store.call(|store| store.group()).await
    }

    /// A number that rises with every change of approvals, assignments, servers and messages to agents.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn change(&self) -> Result<u64> {
        self.store.call(|store| store.change()).await
    }

    /// Approves a gateway, before or after it first asked; an approved one gets this parent instead of its old one.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`] if the server never registered, [`Code::ServerExcluded`], [`Code::RoleNotApproved`] if
    /// the name is an approved agent's, [`Code::NameUnreadable`].
    pub async fn approve_gateway(&self, gateway: &str, parent: ApprovedFor<'_>) -> Result<()> {
        let ApprovedFor::ManagementServer(server) = parent;
        let (gateway, server) = (Name::parse(gateway)?, Name::parse(server)?);
        self.store.call(move |store| store.approve_gateway(&gateway, &server, now())).await
    }

    /// Removes a gateway from the group: its links close, and when it comes again it waits for approval.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`], [`Code::NameUnreadable`].
    pub async fn delete_gateway(&self, gateway: &str) -> Result<()> {
        let gateway = Name::parse(gateway)?;
        self.store.call(move |store| store.delete_gateway(&gateway)).await
    }

    /// Approves an agent, before or after it first asked.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`] if the name is an approved gateway's, [`Code::NameUnreadable`].
    pub async fn approve_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.store.call(move |store| store.approve_agent(&agent, now())).await
    }

    /// Rejects an agent: it stays out until it is approved.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`] if the name is an approved gateway's, [`Code::NameUnreadable`].
    pub async fn reject_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.store.call(move |store| store.reject_agent(&agent, now())).await
    }

    /// What happens to agents that the group does not know.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn unknown_agents(&self) -> Result<UnknownAgents> {
        self.store.call(|store| store.unknown_agents()).await
    }

    /// Changes what happens to agents that the group does not know; those that wait already go on waiting.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn set_unknown_agents(&self, unknown_agents: UnknownAgents) -> Result<()> {
        self.store.call(move |store| store.set_unknown_agents(unknown_agents)).await
    }

    /// All agents, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn agents(&self) -> Result<Vec<AgentRecord>> {
        self.store.call(|store| store.agents()).await
    }

    /// All gateways, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn gateways(&self) -> Result<Vec<GatewayRecord>> {
        self.store.call(|store| store.gateways()).await
    }

    /// All management servers, by name. A server registers itself when it starts.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn servers(&self) -> Result<Vec<ServerRecord>> {
        self.store.call(|store| store.servers()).await
    }

    /// Never uses a management server for failover (rule G3), or allows it again.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`], [`Code::NameUnreadable`].
    pub async fn set_server_excluded(&self, server: &str, excluded: bool) -> Result<()> {
        let server = Name::parse(server)?;
        self.store.call(move |store| store.set_server_excluded(&server, excluded)).await
    }

    /// Assigns a gateway or an agent its upstreams, as `host` or `host:port`; the first failover is tried first.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`] for the node; [`Code::ServerUnknown`], [`Code::ServerExcluded`] or
    /// [`Code::PrimaryIsFailover`] for an upstream; [`Code::ConfigBadValue`] for what cannot be read or is too much.
    pub async fn set_failover(&self, node: &str, primary: &str, failover: &[impl AsRef<str>]) -> Result<()> {
        let node = Name::parse(node)?;
        let failover: Vec<_> = failover.iter().map(|text| Upstream::parse(text.as_ref())).collect::<Result<_>>()?;
        let assignment = Assignment::new(Upstream::parse(primary)?, failover)?;
        self.store.call(move |store| store.assign(&node, &assignment)).await
    }

    /// Puts a message for one agent into the store (rule D8); answers its number. It travels when the agent is
    /// connected.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`], [`Code::AgentPending`] or [`Code::NameRejected`] for the agent; [`Code::DownQueueFull`];
    /// [`Code::MessageTooLarge`].
    pub async fn send(&self, agent: &str, payload: impl Into<Vec<u8>>) -> Result<u64> {
        let (agent, payload) = (Name::parse(agent)?, payload.into());
        self.store.call(move |store| store.send_down(&agent, &payload, now())).await
    }

    /// Makes a one-time token, with which a node that has no certificate yet enrols: this name, for this role, through
    /// this gateway (none: at a management server), within this time. Its text is shown to whoever enrols the node; the
    /// store cannot tell it again.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`] for a role that does not enrol and a time above 7 days; [`Code::NameRejected`],
    /// [`Code::RoleNotApproved`] for the name; [`Code::TokensFull`]; [`Code::NameUnreadable`].
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        gateway: Option<&str>,
        valid_for: Duration,
    ) -> Result<EnrolmentToken> {
        let (name, via) = (Name::parse(name)?, gateway.map(Name::parse).transpose()?);
        let token = EnrolmentToken::generate()?;
        let (hash, created) = (token.hash()?, now());
        let millis = i64::try_from(valid_for.as_millis()).unwrap_or(i64::MAX);
        let expires = Timestamp::from_unix_millis(created.unix_millis().saturating_add(millis));
        let record = TokenRecord { name, role, via, created, expires, used: None, hash, request: None };
        self.store.call(move |store| store.create_token(&record)).await?;
        Ok(token)
    }

    /// The one-time tokens, by name; those that were used, or expired within the last week, too.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        self.store.call(|store| store.tokens()).await
    }

    /// Deletes all one-time tokens of a name; answers how many there were.
    ///
    /// # Errors
    ///
    /// [`Code::TokenUnknown`] if there is none, [`Code::NameUnreadable`].
    pub async fn delete_token(&self, name: &str) -> Result<u64> {
        let name = Name::parse(name)?;
        self.store.call(move |store| store.delete_token(&name)).await
    }

    /// How far each agent is delivered, the newest epoch last.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn cursors(&self) -> Result<Vec<Cursor>> {
        self.store.call(|store| cursors(store)).await
    }

    /// All that the group knows of its nodes.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn inventory(&self) -> Result<Inventory> {
        self.store.call(|store| inventory(store)).await
    }

    /// What an output with `store = true` wrote above a number (0: from the beginning), oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn deliveries(&self, above: u64, limit: usize) -> Result<Vec<Delivery>> {
        self.store.call(move |store| store.deliveries(above, limit)).await
    }

    /// How many messages an output with `store = true` wrote.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn delivery_count(&self) -> Result<u64> {
        self.store.call(|store| store.delivery_count()).await
    }

    /// The gaps that an output with `store = true` wrote above a number, oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn gaps(&self, above: u64, limit: usize) -> Result<Vec<DeliveryGap>> {
        self.store.call(move |store| store.gaps(above, limit)).await
    }
}

impl EnrolmentToken {
    /// A new token.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] where the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut seed[..])
            .map_err(|_| Error::new(Code::Internal).subject("enrolment token").found("no random numbers"))?;
        Ok(Self::from_seed(seed))
    }
}

impl fmt::Debug for ManagementGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ManagementGroup").finish_non_exhaustive()
    }
}

fn cursors(store: &mut dyn Store) -> Result<Vec<Cursor>> {
    let (cursors, gateways) = (store.cursors()?, store.gateways()?);
    // A gateway behind another one has a session too, by which its connections are ordered, and delivers nothing.
    let gateways: HashSet<Name> = gateways.into_iter().map(|gateway| gateway.name).collect();
    let cursors = cursors.into_iter().filter(|(name, ..)| !gateways.contains(name));
    Ok(cursors.map(|(agent, epoch, through)| Cursor { agent, epoch, through }).collect())
}

/// Reads again when something changed meanwhile; what still moves after a few attempts is given as it is.
fn inventory(store: &mut dyn Store) -> Result<Inventory> {
    for _ in 0..3 {
        let inventory = inventory_once(store)?;
        if store.change()? == inventory.change {
            return Ok(inventory);
        }
    }
    inventory_once(store)
}

fn inventory_once(store: &mut dyn Store) -> Result<Inventory> {
    Ok(Inventory {
        management_group: store.group()?,
        change: store.change()?,
        servers: store.servers()?,
        gateways: store.gateways()?,
        agents: store.agents()?,
        assignments: store.assignments()?,
        cursors: cursors(store)?,
    })
}

/// Where a store is.
enum Place {
    File(PathBuf),
    /// The whole connection string, which may hold a password.
    #[cfg(feature = "postgres")]
    Database(Zeroizing<String>),
}

impl Place {
    fn of(url: &str) -> Result<Self> {
        let bad = |found: &str| {
            let expected = "sqlite:///path/to/group.db, or postgres://user@host/database";
            Error::new(Code::ConfigBadValue).subject("store.url").found(found).expected(expected)
        };
        match url.split_once("://") {
            Some(("sqlite", "")) => Err(bad("an empty path")),
            Some(("sqlite", path)) if path.contains('\0') => Err(bad("a path with a NUL")),
            Some(("sqlite", path)) => Ok(Self::File(PathBuf::from(path))),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Database(Zeroizing::new(url.to_owned()))),
            // Such a URL may hold a password: it is not repeated.
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                Err(bad("a PostgreSQL store, in a build without the feature postgres"))
            }
            Some((scheme, _)) => Err(bad(&format!("\"{}\"", printable(scheme)))),
            None => Err(bad("\"no scheme\"")),
        }
    }

    fn open(&self, management_group: Option<&str>) -> Result<Box<dyn Store>> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::open(path, management_group)?)),
            #[cfg(feature = "postgres")]
            Self::Database(url) => Ok(Box::new(PostgresStore::open(url, management_group)?)),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
