//! Who is revoked or has expired is cut off within five seconds, idle or busy, wherever it is; nobody else notices.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use farpost::{Agent, Code};

use crate::CUT_WITHIN;
use crate::events::EventLog;
use crate::lab::{AGENTS, GATEWAY, Lab, SERVER};

/// The first one is the one to go.
struct Crowd {
    agents: Vec<Arc<Agent>>,
    logs: Vec<EventLog>,
}

impl Crowd {
    async fn connect(lab: &Lab, gateway: &farpost::Gateway) -> Self {
        let mut crowd = Self { agents: Vec::new(), logs: Vec::new() };
        for name in AGENTS {
            let (agent, log) = lab.agent(name, gateway).await;
            lab.deliver(&agent).await;
            crowd.agents.push(agent);
            crowd.logs.push(log);
        }
        crowd
    }

    /// The others kept their links and still get their messages through.
    async fn assert_the_others_are_unaffected(&self, lab: &Lab) {
        for (agent, log) in self.agents.iter().zip(&self.logs).skip(1) {
            lab.deliver(agent).await;
            for code in [Code::LinkDown, Code::CertificateRevoked, Code::AgentGone, Code::FailedOver] {
                assert_eq!(log.count(code), 0, "{:#?}", log.all());
            }
            let opened = log.all().iter().filter(|event| event.code == Code::LinkUp).count();
            assert_eq!(opened, 2, "one link and one channel: {:#?}", log.all());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_list_at_the_gateway_cuts_off_the_idle_agent_that_it_names_and_no_other() {
    let lab = Lab::new().await;
    lab.publish(&lab.authority.revocation_list(&[]), &[GATEWAY]);
    let (server, _) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let crowd = Crowd::connect(&lab, &gateway).await;
    let since = Instant::now();
    lab.publish(&lab.authority.revocation_list(&[&lab.issued[AGENTS[0]]]), &[GATEWAY]);
    log.told(Code::CertificateRevoked, AGENTS[0]).await;
    crowd.logs[0].told(Code::CertificateRevoked, GATEWAY).await;
    println!("cut after {:?}", since.elapsed());
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
    crowd.assert_the_others_are_unaffected(&lab).await;
    assert_eq!(log.count(Code::CertificateRevoked), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_list_at_the_server_cuts_off_a_busy_agent_behind_a_gateway_that_has_no_list() {
    let lab = Lab::new().await;
    let (server, log) = lab.server().await;
    let (gateway, gateway_log) = lab.gateway(&server).await;
    let crowd = Crowd::connect(&lab, &gateway).await;
    let busy = crowd.agents[0].clone();
    let sending = tokio::spawn(async move {
        loop {
            if busy.send(farpost::Message::new("busy")).await.is_err() {
                return;
            }
        }
    });
    let since = Instant::now();
    lab.publish(&lab.authority.revocation_list(&[&lab.issued[AGENTS[0]]]), &[SERVER]);
    log.told(Code::CertificateRevoked, AGENTS[0]).await;
    crowd.logs[0].told(Code::CertificateRevoked, "").await;
    println!("cut after {:?}", since.elapsed());
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
    sending.abort();
    crowd.assert_the_others_are_unaffected(&lab).await;
    assert_eq!(gateway_log.count(Code::LinkRenewed) + log.count(Code::GatewayGone), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_revoked_gateway_is_left_by_its_agents_and_cut_off_by_the_server() {
    let lab = Lab::new().await;
    let (server, log) = lab.server().await;
    let (gateway, gateway_log) = lab.gateway(&server).await;
    let (leaves, leaves_log) = lab.agent(AGENTS[0], &gateway).await;
    let (stays, stays_log) = lab.agent(AGENTS[1], &gateway).await;
    lab.deliver(&leaves).await;
    lab.deliver(&stays).await;
    let list = lab.authority.revocation_list(&[&lab.issued[GATEWAY]]);
    let since = Instant::now();
    lab.publish(&list, &[AGENTS[0]]);
    leaves_log.told(Code::CertificateRevoked, GATEWAY).await;
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
    lab.deliver(&stays).await;
    assert_eq!(stays_log.count(Code::LinkDown), 0);
    let since = Instant::now();
    lab.publish(&list, &[SERVER]);
    log.told(Code::CertificateRevoked, GATEWAY).await;
    gateway_log.told(Code::CertificateRevoked, SERVER).await;
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_certificate_that_ends_while_connected_ends_the_link_at_each_end() {
    let mut lab = Lab::new().await;
    let (server, server_log) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let ends_at = SystemTime::now() + Duration::from_secs(9);
    lab.renew_spoilt(AGENTS[0], |params| params.not_after = ends_at.into());
    let crowd = Crowd::connect(&lab, &gateway).await;
    log.told(Code::CertificateExpired, AGENTS[0]).await;
    let late = SystemTime::now().duration_since(ends_at).expect("not before it ends");
    assert!(late < CUT_WITHIN, "{late:?}");
    crowd.assert_the_others_are_unaffected(&lab).await;
    assert_eq!(server_log.count(Code::GatewayGone), 0);
    // The peers heard of the end before it came; its own node of its own.
    crowd.logs[0].told(Code::CertificateExpiring, AGENTS[0]).await;
}
