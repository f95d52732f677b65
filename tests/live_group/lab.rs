//! A group on either engine whose nodes are handles of the library in this process, over real TLS on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farpost::{
    Agent, AgentBuilder, ApprovedFor, Assignment, Gateway, GatewayBuilder, Identity, IdentityPolicy, ManagementGroup,
    ManagementServer, Name, NodeFilter, NodeStanding, Timestamp, UnknownAgents,
};
use tempfile::TempDir;

use crate::events::EventLog;
use crate::pki::Certified;

pub(crate) const GROUP: &str = "CORP";

/// How long anything that is sure to happen may take, on a machine that has much else to do.
const WITHIN: Duration = Duration::from_secs(120);

/// A CA, a directory, and the store of a group that approves every agent.
pub(crate) struct Lab {
    directory: TempDir,
    url: String,
    authority: Certified,
    pub(crate) group: ManagementGroup,
}

/// A management server that runs and keeps all messages, and where it listens.
pub(crate) struct Server {
    pub(crate) events: EventLog,
    pub(crate) address: SocketAddr,
    name: &'static str,
    server: ManagementServer,
}

impl Server {
    /// As an upstream.
    pub(crate) fn upstream(&self) -> String {
        format!("{}:{}", self.name, self.address.port())
    }

    pub(crate) async fn close(self) {
        self.server.close(Duration::from_secs(20)).await.unwrap();
    }
}

impl Lab {
    pub(crate) async fn on_sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("group.db").display());
        Self::on(directory, url).await
    }

    pub(crate) async fn on_store(url: String) -> Self {
        Self::on(tempfile::tempdir().unwrap(), url).await
    }

    async fn on(directory: TempDir, url: String) -> Self {
        let group = ManagementGroup::open_new(&url, GROUP).await.unwrap();
        group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
        Self { directory, url, authority: Certified::authority("Test CA"), group }
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let certified = self.authority.issue(name);
        let (chain, key, trust) = (certified.pem(), certified.key_pem(), self.authority.pem());
        let (name, policy) = (Name::parse(name).unwrap(), IdentityPolicy::default());
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        let now = Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap());
        Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &[], policy, now).unwrap()
    }

    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn server(&self, name: &'static str) -> Server {
        self.server_at(name, any_port()).await
    }

    pub(crate) async fn server_at(&self, name: &'static str, address: SocketAddr) -> Server {
        let group = ManagementGroup::open(&self.url).await.unwrap();
        let builder = ManagementServer::builder(self.identity(name), group).listen(address);
        let server = builder.set("output.store", "true").unwrap().start().await.unwrap();
        let events = EventLog::follow(name, server.events());
        Server { events, address: server.local_address().unwrap(), name, server }
    }

    /// A gateway that is approved for the first of these servers, is configured for that alone, and knows where all are.
    pub(crate) async fn gateway(&self, name: &str, servers: &[&Server]) -> GatewayBuilder {
        self.group.approve_gateway(name, ApprovedFor::ManagementServer(servers[0].name)).await.unwrap();
        let builder = Gateway::builder(self.identity(name))
            .management_group(GROUP)
            .listen(any_port())
            .upstream(Assignment::primary(&servers[0].upstream()).unwrap());
        let builder = servers.iter().fold(builder, |builder, server| {
            builder.host(Name::parse(server.name).unwrap(), vec![server.address.ip()])
        });
        let builder = builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms"));
        builder.unwrap().state_directory(self.state(name))
    }

    /// A gateway that is configured for another one.
    pub(crate) fn gateway_under(&self, name: &str, outer: (&str, &Gateway)) -> GatewayBuilder {
        let builder = Gateway::builder(self.identity(name))
            .management_group(GROUP)
            .listen(any_port())
            .upstream(Assignment::primary(&upstream(outer)).unwrap())
            .host(Name::parse(outer.0).unwrap(), vec![outer.1.local_address().unwrap().ip()]);
        builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms")).unwrap()
    }

    /// An agent that is configured for the first of these gateways, and knows where all are.
    pub(crate) fn agent(&self, name: &str, gateways: &[(&str, &Gateway)]) -> AgentBuilder {
        let builder = Agent::builder(self.identity(name))
            .management_group(GROUP)
            .upstream(Assignment::primary(&upstream(gateways[0])).unwrap());
        let builder = gateways.iter().fold(builder, |builder, (name, gateway)| {
            builder.host(Name::parse(name).unwrap(), vec![gateway.local_address().unwrap().ip()])
        });
        builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms")).unwrap()
    }

    /// How a node stands.
    pub(crate) async fn standing(&self, name: &str) -> NodeStanding {
        let overview = self.group.overview(NodeFilter::default()).await.unwrap();
        overview.nodes.into_iter().find(|node| node.name.as_str() == name).unwrap()
    }

    /// Waits until a node stands so.
    pub(crate) async fn stands(&self, name: &str, what: &str, is_so: impl Fn(&NodeStanding) -> bool) {
        let since = Instant::now();
        loop {
            let standing = self.standing(name).await;
            if is_so(&standing) {
                return;
            }
            assert!(since.elapsed() < WITHIN, "{name} not within {WITHIN:?}: {what}: {standing:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A gateway as an upstream.
pub(crate) fn upstream((name, gateway): (&str, &Gateway)) -> String {
    format!("{name}:{}", gateway.local_address().unwrap().port())
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
