//! New certificates and keys under load: no link lost, nothing lost, nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farpost::{Agent, Code, Message};
use tokio::task::JoinHandle;

use crate::events::{EventLog, within};
use crate::lab::{AGENTS, GATEWAY, Lab, SERVER, shown_by};
use crate::pki::Certified;

/// Agents that send without a pause until they are told to stop.
struct Senders {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Senders {
    fn start(agents: &[Arc<Agent>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |agent: &Arc<Agent>| {
            let (agent, stop) = (agent.clone(), stop.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let batch: Vec<Message> = (0..10).map(|_| Message::new(vec![7; 200])).collect();
                    let receipt = agent.send_batch(batch).await.unwrap();
                    receipt.delivered().await.unwrap();
                    sent += 10;
                }
                sent
            })
        };
        Self { tasks: agents.iter().map(task).collect(), stop }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = 0;
        for task in self.tasks {
            sent += within("the last message", task).await.unwrap();
        }
        sent
    }
}

/// Waits until new handshakes meet this certificate.
async fn shows(address: std::net::SocketAddr, certified: &Certified) {
    while shown_by(address) != certified.certificate.der().as_ref() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn assert_no_link_was_lost(logs: &[EventLog]) {
    for log in logs {
        for code in [Code::LinkDown, Code::FailedOver, Code::UpstreamUnavailable, Code::AttestationInvalid] {
            assert_eq!(log.count(code), 0, "{:#?}", log.all());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_gateways_new_key_dropped_into_its_store_under_load_costs_no_link_and_no_message() {
    let mut lab = Lab::new().await;
    let (server, server_log) = lab.server().await;
    let (gateway, gateway_log) = lab.gateway(&server).await;
    let address = gateway.local_address().unwrap();
    let (mut agents, mut logs) = (Vec::new(), Vec::new());
    for name in AGENTS {
        let (agent, log) = lab.agent(name, &gateway).await;
        lab.deliver(&agent).await;
        agents.push(agent);
        logs.push(log);
    }
    let senders = Senders::start(&agents[..4]);
    for round in 1..=2 {
        let (mark, since) = (gateway_log.mark(), Instant::now());
        lab.renew(GATEWAY);
        gateway_log.after(mark, Code::IdentityReloaded, GATEWAY).await;
        gateway_log.after(mark, Code::LinkRenewed, SERVER).await;
        within("new handshakes with the new certificate", shows(address, &lab.issued[GATEWAY])).await;
        println!("round {round}: shown downstream after {:?}", since.elapsed());
        // Busy and idle ones, by attestations for a key that is not shown any more.
        for agent in &agents {
            lab.deliver(agent).await;
        }
    }
    let sent = senders.stop().await;
    assert_no_link_was_lost(&logs);
    for code in [Code::SuccessionInvalid, Code::AttestationInvalid, Code::GatewayGone, Code::LinkDown] {
        assert_eq!(server_log.count(code), 0, "{code}: {:#?}", server_log.all());
    }
    assert_eq!(lab.check_handed() as u64, sent + 3 * AGENTS.len() as u64);
    for log in &logs {
        let links = log.all().iter().filter(|event| event.code == Code::LinkUp && event.text.is_empty()).count();
        assert_eq!(links, 1, "the agents' own links stay: {:#?}", log.all());
    }
    assert_eq!(gateway_log.count(Code::IdentityReloaded), 2);
    // A third key is more than the former ones vouch for: the agents connect anew, and nobody takes it for an attack.
    let mark = gateway_log.mark();
    lab.renew(GATEWAY);
    gateway_log.after(mark, Code::LinkRenewed, SERVER).await;
    for (agent, log) in agents.iter().zip(&logs) {
        log.told(Code::LinkClosed, GATEWAY).await;
        lab.deliver(agent).await;
    }
    assert_eq!(server_log.count(Code::AttestationInvalid), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_agent_and_its_server_renew_their_certificates_under_load() {
    let mut lab = Lab::new().await;
    let (server, server_log) = lab.server().await;
    let address = server.local_address().unwrap();
    let (agent, log) = lab.agent_under(AGENTS[0], SERVER, address).await;
    lab.deliver(&agent).await;
    let senders = Senders::start(std::slice::from_ref(&agent));

    let since = Instant::now();
    lab.renew(SERVER);
    within("new handshakes with the new certificate", shows(address, &lab.issued[SERVER])).await;
    println!("shown after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(4), "two seconds, and what a busy machine adds");
    lab.deliver(&agent).await;
    assert_eq!(log.count(Code::LinkRenewed), 0, "the peer's new certificate alone moves nobody");

    lab.renew(AGENTS[0]);
    log.told(Code::LinkRenewed, SERVER).await;
    lab.deliver(&agent).await;
    // A second link meets the server's new key, and what the agent attests to is the key of its link.
    let sent = senders.stop().await;
    assert_no_link_was_lost(std::slice::from_ref(&log));
    assert_eq!(server_log.count(Code::AttestationInvalid), 0);
    assert_eq!(lab.check_handed() as u64, sent + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_where_the_upstream_does_not_take_the_new_certificate_the_old_one_stays_in_use_and_is_shown() {
    let mut lab = Lab::new().await;
    let other = Certified::authority("Another CA");
    lab.store(GATEWAY).put_as("other-ca.pem", &other.pem());
    let (server, server_log) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let (agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;
    let old = lab.issued.remove(GATEWAY).unwrap();

    // The gateway trusts it, the server does not know it.
    lab.reissue(GATEWAY, &other);
    log.told(Code::IdentityReloaded, GATEWAY).await;
    log.told(Code::IdentityNotTaken, SERVER).await;
    lab.deliver(&agent).await;
    assert_eq!(shown_by(gateway.local_address().unwrap()), old.certificate.der().as_ref());

    // The server learns to trust it: the next try succeeds, and the agents meet the new certificate.
    let mark = log.mark();
    lab.store(SERVER).put_as("other-ca.pem", &other.pem());
    server_log.told(Code::IdentityReloaded, SERVER).await;
    log.after(mark, Code::LinkRenewed, SERVER).await;
    within("the new certificate", shows(gateway.local_address().unwrap(), &lab.issued[GATEWAY])).await;
    lab.deliver(&agent).await;
    assert_no_link_was_lost(&[agent_log]);
    lab.check_handed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_link_to_an_upstream_whose_certificate_ends_is_renewed_before_that() {
    let mut lab = Lab::new().await;
    let ends_at = std::time::SystemTime::now() + Duration::from_secs(12);
    lab.renew_spoilt(GATEWAY, |params| params.not_after = ends_at.into());
    let (server, _) = lab.server().await;
    let (gateway, gateway_log) = lab.gateway(&server).await;
    let (agent, log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;
    lab.renew(GATEWAY);
    gateway_log.told(Code::LinkRenewed, SERVER).await;
    within("the new certificate", shows(gateway.local_address().unwrap(), &lab.issued[GATEWAY])).await;
    log.told(Code::LinkRenewed, GATEWAY).await;
    while std::time::SystemTime::now() < ends_at + Duration::from_secs(2) {
        lab.deliver(&agent).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for code in [Code::LinkDown, Code::CertificateExpired, Code::AttestationStale] {
        assert_eq!(log.count(code), 0, "{:#?}", log.all());
    }
    lab.check_handed();
}
