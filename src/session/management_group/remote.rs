//! A group from afar: through a management server of it, as an operator.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, InventoryOperation, Operation, Upstream};
use crate::identity::Identity;
use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, HEARTBEAT_GATEWAY, HELLO_TIMEOUT};
use crate::name::Name;
use crate::net::dial::Dialler;
use crate::node::Introduction;
use crate::node::operator::{Config, Effect, Input, Operator as Node, Question};
use crate::node::renewal::Ask;
use crate::role::Role;
use crate::session::clock;
use crate::session::driver::{IdentityCell, Links, Mailbox, machine, mailbox, run};
use crate::session::identities::{Identities, Showing};
use crate::session::management_group::{Backend, ManagementGroup, author};
use crate::wire;

machine!(Node, Input, Effect);

/// How an operator reaches its group: a management server, by mutual TLS, with a certificate whose name the group
/// approved as operator.
pub struct OperatorConnection {
    pub(super) identity: Identity,
    server: Upstream,
    management_group: String,
    hosts: BTreeMap<Name, Vec<IpAddr>>,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl OperatorConnection {
    /// To a management server, as `host` or `host:port`, with this identity.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`], [`Code::ConfigBadValue`] for the server.
    pub fn new(identity: Identity, server: &str) -> Result<Self> {
        Ok(Self {
            identity,
            server: Upstream::parse(server)?,
            management_group: String::new(),
            hosts: BTreeMap::new(),
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
        })
    }

    /// The group that the server must belong to; without this, whichever it has.
    #[must_use]
    pub fn management_group(mut self, name: impl Into<String>) -> Self {
        self.management_group = name.into();
        self
    }

    /// Where a name is reached, ahead of DNS.
    #[must_use]
    pub fn host(mut self, name: Name, addresses: Vec<IpAddr>) -> Self {
        self.hosts.insert(name, addresses);
        self
    }

    /// How long a connection to one address may take; 10 s unless told otherwise.
    #[must_use]
    pub fn connect_timeout(mut self, within: Duration) -> Self {
        self.connect_timeout = within;
        self
    }

    /// How long to wait for an answer; 60 s unless told otherwise.
    #[must_use]
    pub fn answer_timeout(mut self, within: Duration) -> Self {
        self.answer_timeout = within;
        self
    }

    /// Connects, on the runtime that this is called on. What is asked later of a group whose link broke meanwhile connects
    /// again.
    ///
    /// # Errors
    ///
    /// [`Code::NameNotResolved`], [`Code::ConnectFailed`]; what is wrong with the server's certificate or, as the server
    /// says, with this one (rule I2); [`Code::OperatorUnknown`], [`Code::NameRejected`], [`Code::RoleNotApproved`],
    /// [`Code::OperatorKeyMismatch`], [`Code::GroupMismatch`].
    pub async fn connect(self) -> Result<ManagementGroup> {
        let name = self.identity.name().to_string();
        let remote = Arc::new(Remote::start(self));
        remote.ask(InventoryOperation::Name.into()).await?;
        Ok(ManagementGroup { backend: Backend::Remote(remote), author: author::operator(&name) })
    }
}

impl ManagementGroup {
    /// The group of a management server (`host` or `host:port`), from afar: as the operator whose identity this is. All
    /// calls here work through it, but those that are done beside the store only ([`Code::OperationLocal`]: the deliveries'
    /// contents), as far as the operator may ([`Code::OperatorReadOnly`]); an answer with a limit has at most 10,000
    /// rows. The audit log gets the certificate's name.
    ///
    /// If the link breaks before a change was answered, that call says that it cannot know whether the change was made
    /// ([`Code::ChangeUnconfirmed`]); it is never made again by itself. Host names, another group's name and times:
    /// [`OperatorConnection`].
    ///
    /// # Errors
    ///
    /// As [`OperatorConnection::new`] and [`OperatorConnection::connect`].
    pub async fn connect(identity: Identity, server: &str) -> Result<Self> {
        OperatorConnection::new(identity, server)?.connect().await
    }
}

impl fmt::Debug for OperatorConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OperatorConnection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The link to a management server, and what waits for an answer. Its node ends with it.
pub(super) struct Remote {
    mailbox: Mailbox<Node>,
    waiting: Waiting,
    renewal: RenewalWaiting,
    count: AtomicU64,
    answer_timeout: Duration,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Bytes>>>>>;
type RenewalWaiting = Arc<Mutex<Option<oneshot::Sender<Result<wire::Answer>>>>>;

impl Remote {
    pub(super) fn start(connection: OperatorConnection) -> Self {
        let OperatorConnection { identity, server, management_group, hosts, connect_timeout, answer_timeout } =
            connection;
        let me = Introduction {
            role: Role::Operator,
            name: identity.name().clone(),
            group: management_group,
            software: concat!("farpost ", env!("CARGO_PKG_VERSION")).to_owned(),
            heartbeat: HEARTBEAT_GATEWAY,
            hello_timeout: HELLO_TIMEOUT,
        };
        let dialler = Dialler { hosts: Arc::new(hosts), connect_timeout, tls_timeout: HELLO_TIMEOUT };
        let (mailbox, inbox) = mailbox::<Node>();
        let identity: IdentityCell = Arc::new(Identities::new(identity, Showing::AtOnce));
        let links = Links::new(mailbox.clone(), Some(dialler), identity);
        let waiting = Waiting::default();
        let renewal = RenewalWaiting::default();
        let (answered, renewed) = (waiting.clone(), renewal.clone());
        let node = Node::new(Config { me, server });
        tokio::spawn(run(node, inbox, links, move |effect, links| perform(effect, links, &answered, &renewed)));
        Self { mailbox, waiting, renewal, count: AtomicU64::new(0), answer_timeout }
    }

    /// Asks for a new certificate, and waits for the answer; one at a time.
    pub(super) async fn renew(&self, ask: Ask) -> Result<wire::Answer> {
        let (sender, answer) = oneshot::channel();
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.mailbox.try_post(Input::Renew(ask, clock::now() + self.answer_timeout))?;
        // As with any question.
        let answer = tokio::time::timeout(self.answer_timeout + ANSWERED_BY_THEN, answer).await;
        answer.unwrap_or(Ok(Err(Error::new(Code::Closed)))).unwrap_or_else(|_| Err(Error::new(Code::Closed)))
    }

    /// Asks, and waits for the answer. Dropping the future does not undo what was asked.
    pub(super) async fn ask(&self, operation: Operation) -> Result<Answer> {
        let unreadable = |what: &str, error: &serde_json::Error| {
            Error::new(Code::AskUnreadable).subject(what).found(error.to_string())
        };
        let json = serde_json::to_vec(&operation).map_err(|error| unreadable("what is asked", &error))?;
        let id = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let until = clock::now() + self.answer_timeout;
        let question = Question { id, operation: json.into(), is_change: operation.is_change(), until };
        self.mailbox.try_post(Input::Ask(question)).inspect_err(|_| self.forget(id))?;
        // The node answers each in time; unless the runtime that it ran on is gone.
        let answer = tokio::time::timeout(self.answer_timeout + ANSWERED_BY_THEN, answer).await;
        let answer = answer.inspect_err(|_| self.forget(id)).unwrap_or(Ok(Err(Error::new(Code::Closed))));
        let answer = answer.unwrap_or_else(|_| Err(Error::new(Code::Closed)))?;
        serde_json::from_slice(&answer).map_err(|error| unreadable("the management server's answer", &error))
    }
}

impl Remote {
    fn forget(&self, id: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.mailbox.post(Input::Stop);
    }
}

/// False when the node has stopped.
fn perform(effect: Effect, links: &mut Links<Node>, waiting: &Waiting, renewal: &RenewalWaiting) -> bool {
    match effect {
        Effect::Link(effect) => links.perform(effect),
        Effect::Answered { id, result } => {
            let asked = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // Whoever asked may have gone.
            let _ = asked.map(|asked| asked.send(result));
        }
        Effect::Renewed(result) => {
            let asked = renewal.lock().unwrap_or_else(PoisonError::into_inner).take();
            let _ = asked.map(|asked| asked.send(result));
        }
        Effect::Stopped => return false,
    }
    true
}

/// How much later than its deadline the node may tell that a question was not answered.
const ANSWERED_BY_THEN: Duration = Duration::from_secs(5);
