//! Three nodes over real links: what comes into the book of the server. What the book does by itself is tested beside it.

use std::net::SocketAddr;
use std::time::Duration;

use rcgen::date_time_ymd;

use super::ReportBook;
use crate::code::Code;
use crate::group::{Assignment, NodePresence, NodeReport, RefusedAttempt};
use crate::identity::testing::Issued;
use crate::identity::{Identity, IdentityPolicy};
use crate::message::Message;
use crate::name::Name;
use crate::session::{Agent, ApprovedFor, Gateway, ManagementGroup, ManagementServer};

const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";
const AGENT: &str = "pc7.branch.example";

fn identity(root: &Issued, name: &str) -> Identity {
    let leaf = root.leaf_of(name, |params| params.not_after = date_time_ymd(2034, 1, 1));
    leaf.identity(root, &[], IdentityPolicy::default()).unwrap()
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn upstream(name: &str, address: SocketAddr) -> Assignment {
    Assignment::primary(&format!("{name}:{}", address.port())).unwrap()
}

async fn gateway_of(root: &Issued, server: &ManagementServer) -> Gateway {
    let builder = Gateway::builder(identity(root, GATEWAY)).management_group("CORP").listen(loopback());
    let builder = builder.upstream(upstream(SERVER, server.local_address().unwrap()));
    builder.host(Name::parse(SERVER).unwrap(), vec![[127, 0, 0, 1].into()]).start().await.unwrap()
}

async fn agent_of(identity: Identity, gateway: &Gateway) -> Agent {
    let builder = Agent::builder(identity).management_group("CORP");
    let builder = builder.upstream(upstream(GATEWAY, gateway.local_address().unwrap()));
    builder.host(Name::parse(GATEWAY).unwrap(), vec![[127, 0, 0, 1].into()]).start().await.unwrap()
}

/// Looks again and again until something is there.
async fn until<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

fn reported(book: &ReportBook, name: &str) -> Option<(NodePresence, NodeReport)> {
    let all = book.everybody().into_iter().find(|(presence, _)| presence.name.as_str() == name)?;
    Some((all.0, all.1?))
}

/// The refusals by a node, once there are any.
async fn refused_by(book: &ReportBook, by: &str) -> RefusedAttempt {
    until("refusal", || book.take_refusals().into_iter().find(|refused| refused.by.as_str() == by)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_the_book_of_a_server_has_what_its_gateway_and_agent_say_and_whom_each_of_them_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = Issued::root(|_| ());
    let url = format!("sqlite://{}/group.db", directory.path().display());
    let group = ManagementGroup::open_new(&url, "CORP").await.unwrap();
    let server = ManagementServer::builder(identity(&root, SERVER), group.clone()).listen(loopback());
    let mut server = server.start().await.unwrap();
    let mut deliveries = server.deliveries().unwrap();
    group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    group.approve_agent(AGENT).await.unwrap();
    let book = server.report_book();
    let gateway = gateway_of(&root, &server).await;
    let agent = agent_of(identity(&root, AGENT), &gateway).await;

    let (presence, report) = until("report of the gateway", || reported(&book, GATEWAY)).await;
    assert_eq!((presence.session, report.upstream.unwrap().as_str()), (report.session, SERVER));
    assert_eq!((report.upstream_code, report.certificate_until.unwrap().unix_seconds()), (0, 2_019_686_400));
    let (presence, report) = until("report of the agent", || reported(&book, AGENT)).await;
    assert_eq!((presence.via, report.upstream.unwrap().as_str()), (vec![Name::parse(GATEWAY).unwrap()], GATEWAY));
    assert!(report.software.starts_with("farpost "), "{}", report.software);

    // Somebody of another CA at the gateway, and somebody who speaks no TLS at the server itself.
    drop(std::net::TcpStream::connect(server.local_address().unwrap()).unwrap());
    let refused = refused_by(&book, SERVER).await;
    assert_eq!((refused.code, refused.address.as_str()), (Code::TlsFailed.number(), "127.0.0.1"), "{refused:?}");
    let stranger = agent_of(identity(&Issued::root(|_| ()), "pc9.branch.example"), &gateway).await;
    let refused = refused_by(&book, GATEWAY).await;
    assert_eq!((refused.code, refused.name), (Code::OwnCertificateRefused.number(), None), "{:?}", refused.text);
    drop(stranger);

    // Whoever goes is gone, and its report too.
    book.take_opened();
    let receipt = agent.send(Message::new("text")).await.unwrap();
    deliveries.next().await.unwrap().acknowledge();
    receipt.delivered().await.unwrap();
    agent.close(Duration::from_secs(5)).await.unwrap();
    until("end of the agent", || book.take_gone().into_iter().find(|gone| gone.name.as_str() == AGENT)).await;
    assert!(reported(&book, AGENT).is_none() && reported(&book, GATEWAY).is_some());
}
