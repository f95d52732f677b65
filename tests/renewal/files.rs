//! Renewal of identities that lie in files, with all that belongs to it: installed, adopted, in use on new links, and
//! found again after a restart.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farpost::{
    Agent, ApprovedFor, Assignment, Code, Gateway, Identity, LocalAuthority, ManagementServer, Message, Name, Timestamp,
};
use rcgen::CertificateSigningRequestParams;

use crate::SOON;
use crate::authority::TestAuthority;
use crate::chain::{self, AGENT, Chain, GATEWAY, SERVER};
use crate::events::{EventLog, within};

/// An identity directory as an administrator made it, with a certificate of this life around now.
fn directory(chain: &Chain, name: &str, before: Duration, rest: Duration) -> PathBuf {
    let directory = chain.directory.path().join(name);
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let certified = chain.authority.issue_spoilt(name, |params| {
        let now = SystemTime::now();
        (params.not_before, params.not_after) = ((now - before).into(), (now + rest).into());
    });
    std::fs::write(directory.join("node.crt"), certified.pem()).unwrap();
    std::fs::write(directory.join("node.key"), certified.key_pem()).unwrap();
    std::fs::set_permissions(directory.join("node.key"), Permissions::from_mode(0o600)).unwrap();
    std::fs::write(directory.join("ca.pem"), chain.authority.pem()).unwrap();
    directory
}

async fn server(chain: &Chain, authority: &TestAuthority) -> (ManagementServer, EventLog) {
    let builder = chain.server().await.set("output.store", "true").unwrap();
    let server = builder.certificate_authority(authority.clone()).start().await.unwrap();
    chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let log = EventLog::follow("the server", server.events());
    (server, log)
}

async fn gateway(directory: &Path, server: &ManagementServer) -> (Gateway, EventLog) {
    let upstream = server.local_address().unwrap();
    let gateway = Gateway::builder(Identity::from_directory(directory, GATEWAY).unwrap())
        .management_group("CORP")
        .listen(chain::any_port())
        .upstream(Assignment::primary(&format!("{SERVER}:{}", upstream.port())).unwrap())
        .host(Name::parse(SERVER).unwrap(), vec![upstream.ip()]);
    let gateway = gateway.start().await.unwrap();
    let log = EventLog::follow("the gateway", gateway.events());
    (gateway, log)
}

async fn agent(directory: &Path, gateway: &Gateway) -> (Agent, EventLog) {
    let upstream = gateway.local_address().unwrap();
    let agent = Agent::builder(Identity::from_directory(directory, AGENT).unwrap())
        .management_group("CORP")
        .upstream(Assignment::primary(&format!("{GATEWAY}:{}", upstream.port())).unwrap())
        .host(Name::parse(GATEWAY).unwrap(), vec![upstream.ip()]);
    let agent = agent.start().await.unwrap();
    let log = EventLog::follow("the agent", agent.events());
    (agent, log)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap())
}

const LONG: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_agent_and_gateway_renew_under_load_before_half_of_a_life_and_no_link_is_lost() {
    let chain = Chain::new().await;
    let authority = TestAuthority::of(&chain.authority);
    let life = Duration::from_secs(24);
    let begin = now();
    let (of_agent, of_gateway) =
        (directory(&chain, AGENT, Duration::ZERO, life), directory(&chain, GATEWAY, Duration::ZERO, life));
    let before = Identity::from_directory(&of_agent, AGENT).unwrap().not_after();
    let (server, server_log) = server(&chain, &authority).await;
    let (gateway, gateway_log) = gateway(&of_gateway, &server).await;
    let (agent, log) = agent(&of_agent, &gateway).await;
    let load = async {
        loop {
            let receipt = agent.send(Message::new("load")).await.unwrap();
            within("a delivery under load", receipt.delivered()).await.unwrap();
        }
    };
    let renewals = async {
        tokio::join!(log.told(Code::CertificateRenewed, AGENT), gateway_log.told(Code::CertificateRenewed, GATEWAY));
        tokio::join!(log.told(Code::IdentityReloaded, AGENT), gateway_log.told(Code::IdentityReloaded, GATEWAY));
    };
    tokio::select! { () = load => unreachable!(), () = renewals => {} }
    let half = begin.unix_millis() + 12_500;
    for event in log.all().iter().chain(&gateway_log.all()).filter(|event| event.code == Code::CertificateRenewed) {
        assert!(event.time.unix_millis() <= half, "{} is past half of its life", event.time);
    }
    within("delivery", agent.send(Message::new("after")).await.unwrap().delivered()).await.unwrap();
    // Who leaves an old link for a new one closes it: that is news at the other end, and no loss here.
    for (log, upstream) in [(&log, GATEWAY), (&gateway_log, SERVER)] {
        let lost = |event: &farpost::Event| {
            let is_loss = matches!(event.code, Code::LinkDown | Code::LinkSilent | Code::NoUpstream);
            is_loss && event.subject.contains(upstream)
        };
        assert!(!log.all().iter().any(lost), "{:#?}", log.all());
    }
    for wrong in [Code::AttestationInvalid, Code::RenewalFailed, Code::RenewalRefused] {
        let logs = [&log, &gateway_log, &server_log];
        assert!(logs.iter().all(|log| log.count(wrong) == 0), "{wrong}");
    }
    // In the directory: one certificate of ours, one key for it, the old ones, the CA; nothing waits.
    let installed = Identity::from_directory(&of_agent, AGENT).unwrap();
    assert!(installed.not_after() > before);
    assert!(names(&of_agent).contains(&format!("{AGENT}.pem")), "{:?}", names(&of_agent));
    assert!(!names(&of_agent).iter().any(|name| name.ends_with(".csr")), "{:?}", names(&of_agent));
    agent.close(SOON).await.unwrap();
    gateway.close(SOON).await.unwrap();
    server.close(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_handed_off_is_picked_up_after_a_restart_of_the_node() {
    let chain = Chain::new().await;
    let authority = TestAuthority::of(&chain.authority);
    authority.answer_after(usize::MAX);
    let rest = Duration::from_secs(60);
    let (of_agent, of_gateway) = (directory(&chain, AGENT, rest, rest), directory(&chain, GATEWAY, LONG / 10, LONG));
    let (server, _) = server(&chain, &authority).await;
    let (gateway, _) = gateway(&of_gateway, &server).await;
    let (first, log) = agent(&of_agent, &gateway).await;
    log.told(Code::RenewalPending, AGENT).await;
    first.close(SOON).await.unwrap();
    let waiting = names(&of_agent);
    assert_eq!(waiting.iter().filter(|name| name.ends_with(".csr")).count(), 1, "{waiting:?}");

    authority.answer_after(0);
    let (second, log) = agent(&of_agent, &gateway).await;
    log.told(Code::CertificateRenewed, AGENT).await;
    let orders = authority.orders();
    assert!(orders.len() >= 2 && orders.iter().all(|order| order.request == orders[0].request), "one request");
    second.close(SOON).await.unwrap();
    let identity = Identity::from_directory(&of_agent, AGENT).unwrap();
    assert!(identity.not_after() > now());
    gateway.close(SOON).await.unwrap();
    server.close(SOON).await.unwrap();
}

/// What a person does with a hand-off directory: signs the request that lies there, and puts the answer beside it.
async fn sign_by_hand(directory: &Path, chain: &Chain, name: &str) {
    let is_request = |file: &&String| file.starts_with(name) && file.ends_with(".csr");
    let request = within("a request in the directory", async {
        loop {
            if let Some(request) = names(directory).iter().find(is_request) {
                return directory.join(request);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let request = request.await;
    let asked = CertificateSigningRequestParams::from_pem(&std::fs::read_to_string(&request).unwrap()).unwrap();
    let from_now = |params: &mut rcgen::CertificateParams| params.not_before = SystemTime::now().into();
    let (_, certificate) = chain.authority.certify(name, &asked.public_key, from_now);
    std::fs::write(request.with_extension("pem"), certificate.pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_signs_in_a_hand_off_directory_reaches_the_agent_by_itself() {
    let chain = Chain::new().await;
    let rest = Duration::from_secs(60);
    let (of_agent, of_gateway) = (directory(&chain, AGENT, rest, rest), directory(&chain, GATEWAY, LONG / 10, LONG));
    let hand_off = chain.directory.path().join("hand-off");
    std::fs::create_dir(&hand_off).unwrap();
    let builder = chain.server().await.set("output.store", "true").unwrap();
    let builder = builder.set("authority.kind", "hand-off").unwrap();
    let server = builder.set("authority.directory", &hand_off.display().to_string()).unwrap().start().await.unwrap();
    let of_server = EventLog::follow("the server", server.events());
    chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let (gateway, _) = gateway(&of_gateway, &server).await;
    let (agent, log) = agent(&of_agent, &gateway).await;
    log.told(Code::RenewalPending, AGENT).await;
    // Where the directory is, somebody has to learn of it.
    let waiting = of_server.told(Code::RenewalPending, AGENT).await;
    assert!(waiting.text.starts_with("request ") && waiting.text.contains(AGENT), "{}", waiting.text);
    sign_by_hand(&hand_off, &chain, AGENT).await;
    log.told(Code::CertificateRenewed, AGENT).await;
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    agent.close(SOON).await.unwrap();
    gateway.close(SOON).await.unwrap();
    server.close(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_cannot_be_installed_is_told_and_the_present_one_stays() {
    let chain = Chain::new().await;
    let authority = TestAuthority::of(&chain.authority);
    let rest = Duration::from_secs(60);
    let (of_agent, of_gateway) = (directory(&chain, AGENT, rest, rest), directory(&chain, GATEWAY, LONG / 10, LONG));
    authority.answer_after(usize::MAX);
    let (server, _) = server(&chain, &authority).await;
    let (gateway, _) = gateway(&of_gateway, &server).await;
    let before = Identity::from_directory(&of_agent, AGENT).unwrap().not_after();
    let (agent, log) = agent(&of_agent, &gateway).await;
    log.told(Code::RenewalPending, AGENT).await;
    // Something else takes the place of the certificate.
    let in_the_way = of_agent.join(format!("{AGENT}.pem"));
    std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    authority.answer_after(0);
    let failed = log.told(Code::RenewalFailed, AGENT).await;
    assert!(!failed.text.is_empty());
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    assert_eq!(log.count(Code::CertificateRenewed), 0);
    // The key still waits for the next try; nothing else changed.
    assert!(names(&of_agent).iter().any(|name| name.ends_with(".csr")), "{:?}", names(&of_agent));
    std::fs::remove_dir_all(&in_the_way).unwrap();
    assert_eq!(Identity::from_directory(&of_agent, AGENT).unwrap().not_after(), before);
    agent.close(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_renews_by_the_authority_of_its_configuration() {
    let chain = Chain::new().await;
    let ca = chain.directory.path().join("ca");
    let made = LocalAuthority::make(&ca, "Lab CA", LONG * 100).unwrap();
    let directory = chain.directory.path().join("server");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let (request, key) =
        farpost::CertificateRequest::make(&Name::parse(SERVER).unwrap(), farpost::KeyKind::Ed25519, false).unwrap();
    // As short as it gets, so that it is past its time at once: a new certificate's start lies a little back.
    let short = LocalAuthority::open(&ca, Duration::from_secs(60)).unwrap().sign(&request, &[]).unwrap();
    let pem = |label: &str, der: &[u8]| pkcs8::der::pem::encode_string(label, pkcs8::LineEnding::LF, der).unwrap();
    let leaf: String = short.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    std::fs::write(directory.join("node.crt"), leaf).unwrap();
    std::fs::write(directory.join("node.key"), pem("PRIVATE KEY", &key)).unwrap();
    std::fs::set_permissions(directory.join("node.key"), Permissions::from_mode(0o600)).unwrap();
    std::fs::copy(made.certificate_file(), directory.join("ca.pem")).unwrap();
    let identity = Identity::from_directory(&directory, SERVER).unwrap();
    let before = identity.not_after();
    let url = format!("sqlite://{}", chain.directory.path().join("group.db").display());
    let group = farpost::ManagementGroup::open(&url).await.unwrap();
    let builder = ManagementServer::builder(identity, group).listen(chain::any_port());
    let builder = builder.set("authority.kind", "local").unwrap();
    let builder = builder.set("authority.directory", &ca.display().to_string()).unwrap();
    let server = builder.set("output.store", "true").unwrap().start().await.unwrap();
    let log = EventLog::follow("the server", server.events());
    log.told(Code::CertificateRenewed, SERVER).await;
    log.told(Code::IdentityReloaded, SERVER).await;
    let renewed = Identity::from_directory(&directory, SERVER).unwrap();
    assert!(renewed.not_after() > before, "{} and {before}", renewed.not_after());
    server.close(SOON).await.unwrap();
}
