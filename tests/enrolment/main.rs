//! Enrolment end to end: the command as a process, through a gateway, to a certificate authority and into the group.

#[path = "../common/authority.rs"]
#[expect(dead_code, reason = "shared with the tests whose authority answers wrongly")]
mod authority;
#[path = "../common/chain.rs"]
#[expect(dead_code, reason = "shared with the tests that start agents with certificates")]
mod chain;
#[path = "../common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that count events")]
mod events;
#[path = "../common/log.rs"]
mod log;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

mod command;
mod port;
mod processes;
mod tokens;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use authority::TestAuthority;
use chain::{Chain, GATEWAY, SERVER};
use events::EventLog;
use farpost::{
    ApprovedFor, Code, Enrolment, EnrolmentOutcome, EnrolmentToken, Gateway, ManagementServer, Name, NodeAddress,
    Result, Role,
};

const NEW: &str = "pc9.branch.example";
const HOUR: Duration = Duration::from_secs(3600);

/// A server and a gateway that take enrolments, with a certificate authority.
struct Lab {
    chain: Chain,
    issuing: TestAuthority,
    server: ManagementServer,
    server_log: EventLog,
    gateway: Gateway,
    gateway_log: EventLog,
}

impl Lab {
    async fn start() -> Self {
        let chain = Chain::new().await;
        let issuing = TestAuthority::of(&chain.authority);
        let builder = chain.server().await.certificate_authority(issuing.clone());
        let builder = builder.set("output.store", "true").and_then(|server| server.set(LISTEN, "127.0.0.1:0")).unwrap();
        let server = builder.start().await.unwrap();
        let server_log = EventLog::follow("the server", server.events());
        chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let builder = chain.gateway(server.local_address().unwrap()).set(LISTEN, "127.0.0.1:0").unwrap();
        let gateway = builder.start().await.unwrap();
        let gateway_log = EventLog::follow("the gateway", gateway.events());
        gateway_log.told(Code::LinkUp, SERVER).await;
        Self { chain, issuing, server, server_log, gateway, gateway_log }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.chain.directory.path().join(path)
    }

    /// The CA, as an administrator has it.
    fn trust(&self) -> PathBuf {
        let file = self.at("trusted-ca.pem");
        std::fs::write(&file, self.chain.authority.pem()).unwrap();
        file
    }

    async fn token(&self, gateway: Option<&str>) -> EnrolmentToken {
        self.chain.group.create_token(NEW, Role::Agent, gateway, HOUR).await.unwrap()
    }

    fn through_gateway(&self, directory: &str) -> Enrolment {
        self.enrolment(NEW, Role::Agent, "CORP", directory)
    }

    fn enrolment(&self, name: &str, role: Role, group: &str, directory: &str) -> Enrolment {
        let (at, address) = node(GATEWAY, self.gateway.enrolment_address().unwrap());
        let name = Name::parse(name).unwrap();
        let enrolment = Enrolment::at_gateway(name, role, group, at.clone(), self.at(directory));
        enrolment.trust(self.trust()).host(at.name, vec![address.ip()])
    }

    fn at_server(&self, directory: &str) -> Enrolment {
        let (at, address) = node(SERVER, self.server.enrolment_address().unwrap());
        let name = Name::parse(NEW).unwrap();
        let enrolment = Enrolment::at_management_server(name, Role::Agent, "CORP", at.clone(), self.at(directory));
        enrolment.trust(self.trust()).host(at.name, vec![address.ip()])
    }
}

fn node(name: &str, address: SocketAddr) -> (NodeAddress, SocketAddr) {
    (NodeAddress { name: Name::parse(name).unwrap(), port: address.port() }, address)
}

/// The code that an enrolment was refused with.
fn refused(outcome: Result<EnrolmentOutcome>) -> Code {
    outcome.expect_err("it was let in").code()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

const LISTEN: &str = "enrolment.listen";
