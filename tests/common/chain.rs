//! Nodes of one group on loopback, on ports that the system chose, with a CA of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farpost::{
    AgentBuilder, Assignment, Gateway, GatewayBuilder, Identity, IdentityPolicy, ManagementGroup, ManagementServer,
    ManagementServerBuilder, Name, Timestamp, UnknownAgents,
};
use tempfile::TempDir;

use crate::pki::Certified;

pub(crate) const GROUP: &str = "CORP";
pub(crate) const SERVER: &str = "ms1.corp.example";
pub(crate) const GATEWAY: &str = "gw1.branch.example";
pub(crate) const AGENT: &str = "pc7.branch.example";

/// A CA, a directory, and the store of a group that approves every agent.
pub(crate) struct Chain {
    pub(crate) directory: TempDir,
    pub(crate) group: ManagementGroup,
    pub(crate) authority: Arc<Certified>,
    /// How long the certificates of agent and gateway still last, half of whose life is over; else they last for years.
    rest: Option<Duration>,
}

impl Chain {
    pub(crate) async fn new() -> Self {
        Self::lasting(None).await
    }

    pub(crate) async fn lasting(rest: Option<Duration>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let group = open_group(directory.path()).await;
        group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
        Self { directory, group, authority: Arc::new(Certified::authority("Test CA")), rest }
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let rest = self.rest.filter(|_| name != SERVER);
        let certified = self.authority.issue_spoilt(name, |params| {
            if let Some(rest) = rest {
                let now = std::time::SystemTime::now();
                (params.not_before, params.not_after) = ((now - rest).into(), (now + rest).into());
            }
        });
        let (chain, key, trust) = (certified.pem(), certified.key_pem(), self.authority.pem());
        let name = Name::parse(name).unwrap();
        let policy = IdentityPolicy::default();
        Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &[], policy, now()).unwrap()
    }

    /// A management server on a connection of its own to the store.
    pub(crate) async fn server(&self) -> ManagementServerBuilder {
        let group = open_group(self.directory.path()).await;
        ManagementServer::builder(self.identity(SERVER), group).listen(any_port())
    }

    pub(crate) fn gateway(&self, upstream: SocketAddr) -> GatewayBuilder {
        Gateway::builder(self.identity(GATEWAY))
            .management_group(GROUP)
            .listen(any_port())
            .upstream(Assignment::primary(&format!("{SERVER}:{}", upstream.port())).unwrap())
            .host(Name::parse(SERVER).unwrap(), vec![upstream.ip()])
    }

    /// An agent right under a node of this name.
    pub(crate) fn agent(&self, name: &str, upstream: &str, address: SocketAddr) -> AgentBuilder {
        farpost::Agent::builder(self.identity(name))
            .management_group(GROUP)
            .upstream(Assignment::primary(&format!("{upstream}:{}", address.port())).unwrap())
            .host(Name::parse(upstream).unwrap(), vec![address.ip()])
    }
}

async fn open_group(directory: &Path) -> ManagementGroup {
    ManagementGroup::open_new(&format!("sqlite://{}", directory.join("group.db").display()), GROUP).await.unwrap()
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap())
}
