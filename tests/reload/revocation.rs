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

/// A whole second, as certificates have it, some seconds from now.
fn soon() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() + 8)
}

fn assert_just_ended(ended_at: SystemTime) {
    let late = SystemTime::now().duration_since(ended_at).expect("not before it ends");
    assert!(late < CUT_WITHIN, "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_an_agent_whose_certificate_ends_while_connected_is_cut_off_and_no_other() {
    let mut lab = Lab::new().await;
    let (server, server_log) = lab.server().await;
    let (gateway, _) = lab.gateway(&server).await;
    let ends_at = soon();
    lab.renew_spoilt(AGENTS[0], |params| params.not_after = ends_at.into());
    let crowd = Crowd::connect(&lab, &gateway).await;
    // By the gateway with its link or by the server with its channel, whoever looks first.
    crowd.logs[0].told(Code::CertificateExpired, "").await;
    assert_just_ended(ends_at);
    crowd.assert_the_others_are_unaffected(&lab).await;
    assert_eq!(server_log.count(Code::GatewayGone), 0);
    crowd.logs[0].told(Code::CertificateExpiring, AGENTS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_gateway_without_a_server_cuts_off_whose_certificate_ends_too() {
    let mut lab = Lab::new().await;
    let (server, _) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    server.close(Duration::from_secs(5)).await.unwrap();
    let ends_at = soon();
    lab.renew_spoilt(AGENTS[0], |params| params.not_after = ends_at.into());
    let (_agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    log.told(Code::AgentConnected, AGENTS[0]).await;
    log.told(Code::CertificateExpired, AGENTS[0]).await;
    assert_just_ended(ends_at);
    agent_log.told(Code::CertificateExpired, GATEWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_gateway_whose_certificate_ends_is_left_by_its_agents_and_cut_off_by_the_server() {
    let mut lab = Lab::new().await;
    let ends_at = soon();
    lab.renew_spoilt(GATEWAY, |params| params.not_after = ends_at.into());
    let (server, server_log) = lab.server().await;
    let (gateway, _) = lab.gateway(&server).await;
    let (agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;
    tokio::join!(server_log.told(Code::CertificateExpired, GATEWAY), agent_log.told(Code::CertificateExpired, GATEWAY),);
    assert_just_ended(ends_at);
}

/// As the acceptance asks: one of fifty, by the gateway's and the server's list at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_list_that_names_one_of_fifty_agents_costs_the_other_forty_nine_nothing() {
    let mut lab = Lab::new().await;
    let names: Vec<String> = (0..50).map(|at| format!("crowd{at}.branch.example")).collect();
    for name in &names {
        lab.add(name);
    }
    let (server, server_log) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let address = gateway.local_address().unwrap();
    let mut crowd = Crowd { agents: Vec::new(), logs: Vec::new() };
    for name in &names {
        let (agent, log) = lab.agent_under(name, GATEWAY, address).await;
        lab.deliver(&agent).await;
        crowd.agents.push(agent);
        crowd.logs.push(log);
    }
    let since = Instant::now();
    lab.publish(&lab.authority.revocation_list(&[&lab.issued[&names[0]]]), &[GATEWAY, SERVER]);
    crowd.logs[0].told(Code::CertificateRevoked, GATEWAY).await;
    println!("one of fifty cut after {:?}", since.elapsed());
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
    crowd.assert_the_others_are_unaffected(&lab).await;
    // The one may have left by itself, when the server refused its channel.
    let lost = log.all().into_iter().filter(|event| event.code == Code::LinkDown && !event.subject.contains(&names[0]));
    assert_eq!((lost.count(), server_log.count(Code::GatewayGone)), (0, 0));
}
