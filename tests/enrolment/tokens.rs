//! What a token opens, and what it does not.

use std::time::Duration;

use farpost::{Agent, Assignment, Code, EnrolmentOutcome, EnrolmentToken, Identity, Message, Role};

use crate::chain::{AGENT, GATEWAY, SERVER};
use crate::events::within;
use crate::pki::Certified;
use crate::{HOUR, Lab, NEW, files, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_brings_a_certificate_through_a_gateway_with_which_the_agent_sends() {
    let lab = Lab::start().await;
    let token = lab.token(Some(GATEWAY)).await;
    let outcome = lab.through_gateway("new").ask(&token).await.unwrap();
    assert!(matches!(outcome, EnrolmentOutcome::Installed(identity) if identity.name().as_str() == NEW));
    lab.server_log.told(Code::CertificateIssuedTo, NEW).await;
    let orders = lab.issuing.orders();
    assert_eq!((orders.len(), orders[0].role, orders[0].name.as_str()), (1, Role::Agent, NEW));
    assert_eq!(orders[0].via.as_ref().map(|via| via.as_str()), Some(GATEWAY));

    let address = lab.gateway.local_address().unwrap();
    let agent = Agent::builder(Identity::from_directory(lab.at("new"), NEW).unwrap())
        .management_group("CORP")
        .upstream(Assignment::primary(&format!("{GATEWAY}:{}", address.port())).unwrap())
        .host(GATEWAY.parse().unwrap(), vec![address.ip()]);
    let agent = agent.start().await.unwrap();
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    agent.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_a_management_server_is_good_there_and_nowhere_else() {
    let lab = Lab::start().await;
    let token = lab.token(None).await;
    assert_eq!(refused(lab.through_gateway("new").ask(&token).await), Code::TokenElsewhere);
    let outcome = lab.at_server("new").ask(&token).await.unwrap();
    assert!(matches!(outcome, EnrolmentOutcome::Installed(_)));
    // And one for the gateway is not good at the server.
    let token = lab.token(Some(GATEWAY)).await;
    assert_eq!(refused(lab.at_server("other").ask(&token).await), Code::TokenElsewhere);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_one_name_role_group_gateway_and_time_and_nothing_else_uses_it_up() {
    let lab = Lab::start().await;
    let group = &lab.chain.group;
    let token = lab.token(Some(GATEWAY)).await;
    let other_gateway = group.create_token(NEW, Role::Agent, Some("gw2.branch.example"), HOUR).await.unwrap();
    let expired = group.create_token(NEW, Role::Agent, Some(GATEWAY), Duration::from_millis(1)).await.unwrap();
    let unknown = EnrolmentToken::parse(TOKEN_OF_NOBODY).unwrap();
    let refusals = [
        (lab.enrolment(AGENT, Role::Agent, "CORP", "a").ask(&token).await, Code::TokenElsewhere),
        (lab.enrolment(NEW, Role::Gateway, "CORP", "b").ask(&token).await, Code::TokenElsewhere),
        (lab.enrolment(NEW, Role::Agent, "corp", "c").ask(&token).await, Code::GroupMismatch),
        (lab.through_gateway("d").ask(&other_gateway).await, Code::TokenElsewhere),
        (lab.through_gateway("e").ask(&expired).await, Code::TokenExpired),
        (lab.through_gateway("f").ask(&unknown).await, Code::TokenUnknown),
    ];
    for ((outcome, code), directory) in refusals.into_iter().zip(["a", "b", "c", "d", "e", "f"]) {
        assert_eq!(refused(outcome), code, "{directory}");
        let left = files(&lab.at(directory));
        assert!(left.iter().all(|file| file.ends_with(".key") || file.ends_with(".csr")), "{left:?}");
    }
    assert!(lab.issuing.orders().is_empty(), "the authority was never asked");
    lab.server_log.told(Code::EnrolmentRefused, "FP1810").await;
    // After all that it is still good for what it is for.
    assert!(lab.through_gateway("new").ask(&token).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_used_up_by_one_request_which_may_come_again() {
    let lab = Lab::start().await;
    let token = lab.token(Some(GATEWAY)).await;
    lab.issuing.answer_after(1);
    // The answer is not there yet: the key waits, and the same request comes again.
    let first = lab.through_gateway("new").ask(&token).await.unwrap();
    assert!(matches!(first, EnrolmentOutcome::Pending { .. }));
    assert_eq!(refused(lab.through_gateway("thief").ask(&token).await), Code::TokenUsed);
    assert!(matches!(lab.through_gateway("new").ask(&token).await.unwrap(), EnrolmentOutcome::Installed(_)));
    let orders = lab.issuing.orders();
    assert_eq!(orders.len(), 2);
    assert_eq!(orders[0].request, orders[1].request);
    // Installed is installed: the next request has another key, and the token is spent.
    assert_eq!(refused(lab.through_gateway("new").ask(&token).await), Code::TokenUsed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_rejected_name_enrols_with_no_token() {
    let lab = Lab::start().await;
    let token = lab.token(Some(GATEWAY)).await;
    lab.chain.group.reject_agent(NEW).await.unwrap();
    assert_eq!(refused(lab.through_gateway("new").ask(&token).await), Code::NameRejected);
    assert!(lab.issuing.orders().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_an_acceptor_that_proves_another_name_or_by_another_ca_learns_nothing_of_the_token() {
    let lab = Lab::start().await;
    let token = lab.token(Some(GATEWAY)).await;
    // The server's certificate is good, but not the gateway's.
    let address = lab.server.enrolment_address().unwrap();
    let (at, _) = crate::node(GATEWAY, address);
    let impostor = farpost::Enrolment::at_gateway(NEW.parse().unwrap(), Role::Agent, "CORP", at, lab.at("new"));
    let impostor = impostor.trust(lab.trust()).host(GATEWAY.parse().unwrap(), vec![address.ip()]);
    assert_eq!(refused(impostor.ask(&token).await), Code::NameMismatch);
    // Trust comes from this computer only.
    let other = lab.at("other-ca.pem");
    std::fs::write(&other, Certified::authority("Other CA").pem()).unwrap();
    let (at, address) = crate::node(GATEWAY, lab.gateway.enrolment_address().unwrap());
    let enrolment = farpost::Enrolment::at_gateway(NEW.parse().unwrap(), Role::Agent, "CORP", at, lab.at("new"));
    let enrolment = enrolment.host(GATEWAY.parse().unwrap(), vec![address.ip()]);
    assert_eq!(refused(enrolment.clone().ask(&token).await), Code::TrustMissing);
    assert_eq!(refused(enrolment.trust(other).ask(&token).await), Code::IssuerUnknown);
    assert!(lab.server_log.all().iter().all(|event| event.code != Code::EnrolmentRefused), "nothing was asked");
    // Nobody used the token up.
    assert!(lab.through_gateway("new").ask(&token).await.is_ok());
    assert_eq!(lab.server_log.count(Code::CertificateIssuedTo), 1, "{SERVER} issued once");
}

/// A token that no group made.
const TOKEN_OF_NOBODY: &str = "fpt1-B9D5MPJ-TB9D5MP-JTB9D5M-PJTB9D5-MPJTB9D-5MPJTB9-D5MPJTB-9D359YZ";
