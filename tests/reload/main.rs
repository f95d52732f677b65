//! Identities that change under running nodes, with real files and real TLS (rules I5, H8 and H9).

#[path = "../common/events.rs"]
mod events;
mod lab;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that name their certificates")]
mod pki;
mod renewal;
mod revocation;
mod signal;

use std::time::{Duration, Instant};

use events::within;
use farpost::{Code, Identity};

use lab::{AGENTS, GATEWAY, Lab};

/// What rule I5 allows from a file to the end of the last link.
const CUT_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_bad_file_keeps_the_last_good_identity_and_is_told_once() {
    let lab = Lab::new().await;
    let (server, _) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let (agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;

    let good = lab.store(GATEWAY).read("pem");
    lab.store(GATEWAY).put("pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    log.told(Code::IdentityReloadFailed, "").await;
    // Looked at again and again, asked for, and told once.
    assert!(gateway.reload_identity().await.is_err());
    assert!(gateway.reload_identity().await.is_err());
    assert_eq!(log.count(Code::IdentityReloadFailed), 1);
    lab.deliver(&agent).await;

    lab.store(GATEWAY).put("pem", &good);
    let again = gateway.reload_identity().await.unwrap();
    assert!(!again.replaced, "{again:?}");
    assert_eq!(again.generation, 1);
    assert_eq!(log.count(Code::IdentityReloaded), 0, "the same identity is no event");
    assert_eq!(agent_log.count(Code::LinkDown), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h9_an_older_list_never_takes_the_place_of_a_newer_one_and_a_lost_list_is_no_revocation() {
    let lab = Lab::new().await;
    let revoked = lab.issue("gone.branch.example");
    let (old, new) = (lab.authority.revocation_list(&[]), lab.authority.revocation_list(&[&revoked]));
    lab.store(GATEWAY).put_as("ca.crl", &new);
    let (server, _) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let (agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;

    lab.store(GATEWAY).put_as("ca.crl", &old);
    let error = gateway.reload_identity().await.unwrap_err();
    assert_eq!(error.code(), Code::CrlUnusable, "{error}");
    log.told(Code::IdentityReloadFailed, "").await;

    // An issuer without a list: nobody new is believed, who is connected stays for a day.
    let other = pki::Certified::authority("Another CA");
    let mark = log.mark();
    lab.store(GATEWAY).put_as("ca.crl", &other.revocation_list(&[]));
    assert!(gateway.reload_identity().await.is_err(), "its own certificate has no list then");
    lab.deliver(&agent).await;
    assert_eq!(agent_log.count(Code::LinkDown), 0);
    assert!(log.all().len() > mark);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_without_a_watch_the_host_says_when_and_may_hand_over_an_identity_that_it_made() {
    let mut lab = Lab::new().await;
    let (server, _) = lab.server().await;
    let builder = lab.gateway_builder(&server).without_identity_watch();
    let (gateway, log) = Lab::follow_gateway(builder).await;
    let (agent, _) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;

    lab.renew(GATEWAY);
    // Longer than a watch takes.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(log.count(Code::IdentityReloaded), 0);
    let reloaded = gateway.reload_identity().await.unwrap();
    assert!(reloaded.replaced);
    assert_eq!(reloaded.generation, 2);
    log.told(Code::LinkRenewed, "").await;

    let elsewhere = Identity::from_directory(lab.store(AGENTS[0]).path(), AGENTS[0]).unwrap();
    assert_eq!(gateway.replace_identity(elsewhere).await.unwrap_err().code(), Code::NameMismatch);
    lab.renew(GATEWAY);
    let made = Identity::from_directory(lab.store(GATEWAY).path(), GATEWAY).unwrap();
    assert_eq!(gateway.replace_identity(made).await.unwrap().generation, 3);
    lab.deliver(&agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_ca_that_is_no_longer_trusted_takes_its_nodes_with_it_and_nobody_else() {
    let mut lab = Lab::new().await;
    let other = pki::Certified::authority("Another CA");
    lab.trust_everywhere(&other);
    lab.reissue(AGENTS[0], &other);
    let (server, _) = lab.server().await;
    let (gateway, gateway_log) = lab.gateway(&server).await;
    let (leaves, leaves_log) = lab.agent(AGENTS[0], &gateway).await;
    let (stays, stays_log) = lab.agent(AGENTS[1], &gateway).await;
    lab.deliver(&leaves).await;
    lab.deliver(&stays).await;

    let since = Instant::now();
    lab.store(GATEWAY).remove_as("other-ca.pem");
    gateway_log.told(Code::IssuerUnknown, AGENTS[0]).await;
    leaves_log.told(Code::IssuerUnknown, "").await;
    assert!(since.elapsed() < CUT_WITHIN, "{:?}", since.elapsed());
    within("the other one's message", lab.deliver(&stays)).await;
    assert_eq!(stays_log.count(Code::LinkDown), 0);
    assert_eq!(gateway_log.count(Code::IssuerUnknown), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h9_a_list_that_its_issuer_did_not_sign_never_takes_the_place_of_a_good_one() {
    let mut lab = Lab::new().await;
    let [other, impostor] = [(); 2].map(|()| pki::Certified::authority("Another CA"));
    lab.trust_everywhere(&other);
    lab.reissue(AGENTS[0], &other);
    lab.store(GATEWAY).put_as("ca.crl", &lab.authority.revocation_list(&[]));
    lab.store(GATEWAY).put_as("other.crl", &other.revocation_list(&[]));
    let (server, _) = lab.server().await;
    let (gateway, log) = lab.gateway(&server).await;
    let (agent, agent_log) = lab.agent(AGENTS[0], &gateway).await;
    lab.deliver(&agent).await;

    for (file, list) in [("other.crl", impostor.revocation_list(&[])), ("ca.crl", impostor.revocation_list(&[]))] {
        let good = std::fs::read_to_string(lab.store(GATEWAY).path().join(file)).unwrap();
        lab.store(GATEWAY).put_as(file, &list);
        let error = gateway.reload_identity().await.unwrap_err();
        assert!(matches!(error.code(), Code::CrlUnusable | Code::CrlMissing), "{file}: {error}");
        lab.store(GATEWAY).put_as(file, &good);
    }
    log.told(Code::IdentityReloadFailed, "").await;
    lab.reissue(AGENTS[1], &other);
    let (newcomer, _) = lab.agent(AGENTS[1], &gateway).await;
    lab.deliver(&newcomer).await;
    assert_eq!(agent_log.count(Code::LinkDown), 0);
}
