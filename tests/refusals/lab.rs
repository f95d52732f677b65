//! A management server, a gateway and an honest agent in this process, on ports that the system chose.

use std::net::SocketAddr;
use std::sync::Arc;

use farpost::{
    Agent, AgentBuilder, ApprovedFor, Assignment, Code, Gateway, GatewayBuilder, Identity, IdentityPolicy,
    ManagementGroup, ManagementServer, Message, Name, Timestamp,
};
use tempfile::TempDir;

use crate::authority::TestAuthority;
use crate::events::{EventLog, within};
use crate::pki::Certified;

pub(crate) const GROUP: &str = "CORP";
pub(crate) const SERVER: &str = "ms1.corp.example";
pub(crate) const GATEWAY: &str = "gw1.branch.example";
pub(crate) const HONEST: &str = "honest.branch.example";

/// The group, as an operator reaches it, and its nodes. Gateway and server have a revocation list.
pub(crate) struct Lab {
    pub(crate) directory: TempDir,
    pub(crate) authority: Arc<Certified>,
    /// Issues what the management server asks for.
    pub(crate) issuing: TestAuthority,
    /// The one certificate that the CA revoked.
    pub(crate) revoked: Certified,
    pub(crate) group: ManagementGroup,
    pub(crate) server: ManagementServer,
    pub(crate) server_events: EventLog,
    pub(crate) gateway: Gateway,
    pub(crate) gateway_events: EventLog,
    pub(crate) gateway_certified: Certified,
    pub(crate) honest: Agent,
    pub(crate) honest_events: EventLog,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with_hello_timeout("10s").await
    }

    pub(crate) async fn with_hello_timeout(hello_timeout: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Arc::new(Certified::authority("Test CA"));
        let issuing = TestAuthority::of(&authority);
        let revoked = authority.issue("revoked.branch.example");
        let crl = authority.revocation_list(&[&revoked]);

        let group = open_group(&directory).await;
        let identity = identity(&authority, &authority.issue(SERVER), &[&crl]);
        let server = ManagementServer::builder(identity, open_group(&directory).await)
            .listen(any_port())
            .certificate_authority(issuing.clone())
            .set("output.store", "true")
            .and_then(|server| server.set("hello_timeout", hello_timeout))
            .unwrap();
        let server = server.start().await.unwrap();
        let server_events = EventLog::follow("the server", server.events());
        let server_port = server.local_address().unwrap().port();

        group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        group.approve_agent(HONEST).await.unwrap();
        let gateway_certified = authority.issue(GATEWAY);
        let builder = gateway(self::identity(&authority, &gateway_certified, &[&crl]), SERVER, server_port);
        let gateway = builder.set("hello_timeout", hello_timeout).unwrap().start().await.unwrap();
        let gateway_events = EventLog::follow("the gateway", gateway.events());
        let gateway_port = gateway.local_address().unwrap().port();

        let identity = self::identity(&authority, &authority.issue(HONEST), &[]);
        let honest = agent(identity, GATEWAY, gateway_port).await;
        let honest_events = EventLog::follow("the honest agent", honest.events());
        let lab = Self {
            directory,
            authority,
            issuing,
            revoked,
            group,
            server,
            server_events,
            gateway,
            gateway_events,
            gateway_certified,
            honest,
            honest_events,
        };
        lab.honest_delivers().await;
        lab
    }

    /// Where both who refuse listen, with their events: what TLS refuses, both refuse alike.
    pub(crate) fn listeners(&self) -> [(SocketAddr, &EventLog); 2] {
        [(self.gateway_address(), &self.gateway_events), (self.server_address(), &self.server_events)]
    }

    pub(crate) fn gateway_address(&self) -> SocketAddr {
        self.gateway.local_address().unwrap()
    }

    pub(crate) fn server_address(&self) -> SocketAddr {
        self.server.local_address().unwrap()
    }

    /// Rule D7: whatever was done to its gateway and its server, the honest agent delivers on the link that it had.
    pub(crate) async fn honest_delivers(&self) {
        let receipt = self.honest.send(Message::new("still here")).await.unwrap();
        within("the honest agent's delivery", receipt.delivered()).await.unwrap();
        // The link, then its channel.
        assert_eq!(self.honest_events.count(Code::LinkUp), 2, "{:#?}", self.honest_events.all());
        assert_eq!(self.gateway_events.count(Code::LinkUp), 1, "{:#?}", self.gateway_events.all());
    }

    /// An identity that this CA issued.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        identity(&self.authority, &self.authority.issue(name), &[])
    }

    /// The same with a revocation list.
    pub(crate) fn identity_with(&self, name: &str, crl: &str) -> Identity {
        identity(&self.authority, &self.authority.issue(name), &[crl])
    }

    /// The server's next identity, with a list of these.
    pub(crate) fn server_identity(&self, revoked: &[&Certified]) -> Identity {
        self.identity_with(SERVER, &self.authority.revocation_list(revoked))
    }

    /// A further management server of the group.
    pub(crate) async fn another_server(&self, name: &str) -> ManagementServer {
        let builder = ManagementServer::builder(self.identity(name), open_group(&self.directory).await);
        builder.listen(any_port()).set("output.store", "true").unwrap().start().await.unwrap()
    }
}

/// The group's store in a directory, on a connection of its own.
pub(crate) async fn open_group(directory: &TempDir) -> ManagementGroup {
    let url = format!("sqlite://{}", directory.path().join("group.db").display());
    ManagementGroup::open_new(&url, GROUP).await.unwrap()
}

pub(crate) fn identity(authority: &Certified, certified: &Certified, crls: &[&str]) -> Identity {
    let crls: Vec<&[u8]> = crls.iter().map(|crl| crl.as_bytes()).collect();
    let (chain, key, trust) = (certified.pem(), certified.key_pem(), authority.pem());
    let name = Name::parse(&certified.name).unwrap();
    let policy = IdentityPolicy::default();
    Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &crls, policy, now()).unwrap()
}

/// A gateway under one upstream, with quick turns.
pub(crate) fn gateway(identity: Identity, upstream: &str, port: u16) -> GatewayBuilder {
    let loopback = vec![any_port().ip()];
    let builder = Gateway::builder(identity)
        .management_group(GROUP)
        .listen(any_port())
        .upstream(Assignment::primary(&format!("{upstream}:{port}")).unwrap())
        .host(Name::parse(upstream).unwrap(), loopback);
    builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms")).unwrap()
}

/// A running agent under one upstream, with its queue in memory.
pub(crate) async fn agent(identity: Identity, upstream: &str, port: u16) -> Agent {
    agent_builder(identity, upstream, port).start().await.unwrap()
}

pub(crate) fn agent_builder(identity: Identity, upstream: &str, port: u16) -> AgentBuilder {
    let builder = Agent::builder(identity)
        .management_group(GROUP)
        .upstream(Assignment::primary(&format!("{upstream}:{port}")).unwrap())
        .host(Name::parse(upstream).unwrap(), vec![any_port().ip()]);
    let builder = builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms"));
    builder.unwrap()
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap())
}
