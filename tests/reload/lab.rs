//! A management server, a gateway and agents of one group, each with an identity directory of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farpost::{
    Agent, ApprovedFor, Assignment, Gateway, GatewayBuilder, Identity, Item, ManagementGroup, ManagementServer,
    Message, Name, UnknownAgents,
};
use rcgen::CertificateParams;
use tempfile::TempDir;

use crate::events::{EventLog, within};
use crate::pki::Certified;

pub(crate) const GROUP: &str = "CORP";
pub(crate) const SERVER: &str = "ms1.corp.example";
pub(crate) const GATEWAY: &str = "gw1.branch.example";
pub(crate) const AGENTS: [&str; 6] = [
    "pc1.branch.example",
    "pc2.branch.example",
    "pc3.branch.example",
    "pc4.branch.example",
    "pc5.branch.example",
    "pc6.branch.example",
];

/// What the application at the server was handed: per agent its sequences, and how many came marked or twice.
#[derive(Default)]
pub(crate) struct Handed {
    pub(crate) sequences: BTreeMap<String, Vec<u64>>,
    pub(crate) redelivered: usize,
}

/// See the module's text.
pub(crate) struct Lab {
    home: TempDir,
    pub(crate) authority: Certified,
    pub(crate) handed: Arc<Mutex<Handed>>,
    /// The certificates that are in use, by name.
    pub(crate) issued: BTreeMap<String, Certified>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut lab =
            Self { home, authority: Certified::authority("Test CA"), handed: Arc::default(), issued: BTreeMap::new() };
        for name in [SERVER, GATEWAY].into_iter().chain(AGENTS) {
            lab.add(name);
        }
        let group = lab.group().await;
        group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
        lab
    }

    /// A node with a certificate of the CA.
    pub(crate) fn add(&mut self, name: &str) {
        std::fs::create_dir(self.store(name).path()).unwrap();
        self.store(name).put_as("ca.pem", &self.authority.pem());
        self.renew(name);
    }

    async fn group(&self) -> ManagementGroup {
        let store = self.home.path().join("group.db");
        ManagementGroup::open_new(&format!("sqlite://{}", store.display()), GROUP).await.unwrap()
    }

    /// A node's identity directory.
    pub(crate) fn store(&self, name: &str) -> Store {
        Store { directory: self.home.path().join(name), name: name.to_owned() }
    }

    pub(crate) fn issue(&self, name: &str) -> Certified {
        self.authority.issue(name)
    }

    /// Puts a new certificate with a new key into a node's directory, as an administrator copies files: first the key.
    pub(crate) fn renew(&mut self, name: &str) {
        let issued = self.authority.issue(name);
        self.put(name, issued);
    }

    pub(crate) fn renew_spoilt(&mut self, name: &str, spoil: impl FnOnce(&mut CertificateParams)) {
        let issued = self.authority.issue_spoilt(name, spoil);
        self.put(name, issued);
    }

    /// The same from another CA.
    pub(crate) fn reissue(&mut self, name: &str, authority: &Certified) {
        let issued = authority.issue(name);
        self.put(name, issued);
    }

    fn put(&mut self, name: &str, issued: Certified) {
        self.store(name).put("key", &issued.key_pem());
        self.store(name).put("pem", &issued.pem());
        self.issued.insert(name.to_owned(), issued);
    }

    pub(crate) fn trust_everywhere(&self, authority: &Certified) {
        for name in [SERVER, GATEWAY].into_iter().chain(AGENTS) {
            self.store(name).put_as("other-ca.pem", &authority.pem());
        }
    }

    /// A list into every directory but those of `without`.
    pub(crate) fn publish(&self, list: &str, to: &[&str]) {
        for name in to {
            self.store(name).put_as("ca.crl", list);
        }
    }

    pub(crate) async fn server(&self) -> (ManagementServer, EventLog) {
        let identity = Identity::from_directory(self.store(SERVER).path(), SERVER).unwrap();
        let group = self.group().await;
        let mut server = ManagementServer::builder(identity, group).listen(any_port()).start().await.unwrap();
        let log = EventLog::follow("the server", server.events());
        let mut deliveries = server.deliveries().unwrap();
        let handed = self.handed.clone();
        tokio::spawn(async move {
            while let Some(batch) = deliveries.next().await {
                let mut handed = handed.lock().unwrap();
                for item in batch.iter() {
                    let Item::Message(message) = item else { panic!("a gap") };
                    handed.redelivered += usize::from(message.redelivered);
                    let sequences = handed.sequences.entry(message.agent.to_string()).or_default();
                    sequences.push(message.sequence.0);
                }
                drop(handed);
                batch.acknowledge();
            }
        });
        let group = self.group().await;
        group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        (server, log)
    }

    pub(crate) fn gateway_builder(&self, server: &ManagementServer) -> GatewayBuilder {
        let identity = Identity::from_directory(self.store(GATEWAY).path(), GATEWAY).unwrap();
        let upstream = server.local_address().unwrap();
        Gateway::builder(identity)
            .management_group(GROUP)
            .listen(any_port())
            .state_directory(self.home.path().join("gateway"))
            .upstream(Assignment::primary(&format!("{SERVER}:{}", upstream.port())).unwrap())
            .host(Name::parse(SERVER).unwrap(), vec![upstream.ip()])
    }

    pub(crate) async fn gateway(&self, server: &ManagementServer) -> (Gateway, EventLog) {
        Self::follow_gateway(self.gateway_builder(server)).await
    }

    pub(crate) async fn follow_gateway(builder: GatewayBuilder) -> (Gateway, EventLog) {
        let gateway = builder.start().await.unwrap();
        let log = EventLog::follow("the gateway", gateway.events());
        log.told(farpost::Code::LinkUp, SERVER).await;
        (gateway, log)
    }

    pub(crate) async fn agent(&self, name: &str, gateway: &Gateway) -> (Arc<Agent>, EventLog) {
        self.agent_under(name, GATEWAY, gateway.local_address().unwrap()).await
    }

    pub(crate) async fn agent_under(&self, name: &str, upstream: &str, address: SocketAddr) -> (Arc<Agent>, EventLog) {
        let identity = Identity::from_directory(self.store(name).path(), name).unwrap();
        let builder = Agent::builder(identity)
            .management_group(GROUP)
            .upstream(Assignment::primary(&format!("{upstream}:{}", address.port())).unwrap())
            .host(Name::parse(upstream).unwrap(), vec![address.ip()]);
        let agent = builder.start().await.unwrap();
        let log = EventLog::follow("an agent", agent.events());
        (Arc::new(agent), log)
    }

    /// Sends a message and waits until the application has it.
    pub(crate) async fn deliver(&self, agent: &Agent) {
        let receipt = agent.send(Message::new("here")).await.unwrap();
        within("delivery", receipt.delivered()).await.unwrap();
    }

    /// Nothing was lost, nothing came twice or marked, all in order.
    pub(crate) fn check_handed(&self) -> usize {
        let handed = self.handed.lock().unwrap();
        assert_eq!(handed.redelivered, 0, "a planned move causes no redelivery");
        for (agent, sequences) in &handed.sequences {
            let expected: Vec<u64> = (1..=sequences.len() as u64).collect();
            assert_eq!(*sequences, expected, "{agent}");
        }
        handed.sequences.values().map(Vec::len).sum()
    }
}

/// An identity directory.
pub(crate) struct Store {
    directory: PathBuf,
    name: String,
}

impl Store {
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn read(&self, extension: &str) -> String {
        std::fs::read_to_string(self.directory.join(format!("{}.{extension}", self.name))).unwrap()
    }

    /// Writes the node's own certificate or key.
    pub(crate) fn put(&self, extension: &str, text: &str) {
        self.put_as(&format!("{}.{extension}", self.name), text);
    }

    pub(crate) fn put_as(&self, name: &str, text: &str) {
        let on_its_way = self.directory.join(format!(".{name}.new"));
        std::fs::write(&on_its_way, text).unwrap();
        std::fs::set_permissions(&on_its_way, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(on_its_way, self.directory.join(name)).unwrap();
    }

    pub(crate) fn remove_as(&self, name: &str) {
        std::fs::remove_file(self.directory.join(name)).unwrap();
    }
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The leaf that a listener shows, in DER; openssl asks as anybody could.
pub(crate) fn shown_by(address: SocketAddr) -> Vec<u8> {
    let output = std::process::Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-alpn", "farpost/1", "-showcerts"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the command openssl is needed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_slice(&text.as_bytes()[begin..end]).unwrap().to_vec()
}
