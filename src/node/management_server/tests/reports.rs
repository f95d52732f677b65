//! Reports: whose are taken, what comes of them, and who is told as connected and as refused.

use super::*;
use crate::group::{NodePresence, NodeReport, RefusedAttempt};
use crate::wire::{Report, ReportedRefusal, ReportedStandby};

const GATEWAY: &str = "gw1.branch.example";
const AGENT: &str = "pc7.branch.example";
const SESSION: Session = Session { boot: 1, connection: 1 };

/// A server with a gateway on it, and the gateway's link.
fn with_gateway() -> (Lab, Identity, LinkId) {
    let mut lab = Lab::new(Group::new());
    let gateway = lab.group.node(GATEWAY);
    let link = lab.gateway(&gateway);
    (lab, gateway, link)
}

impl Lab {
    /// Opens an agent's channel through a gateway.
    fn agent(&mut self, gateway: &Identity, link: LinkId, channel: u32) -> Identity {
        let agent = self.group.node(AGENT);
        self.teach(link, &agent);
        let attestation = attest(&agent, gateway, self.period(), SESSION);
        self.tell(link, channel, &opening(&agent, attestation, SESSION));
        assert_eq!(self.outcome(link, channel), Some(Ok(())), "{:?}", self.events);
        agent
    }

    fn reports(&self) -> Vec<&NodeReport> {
        self.told.iter().filter_map(|told| if let Effect::Reported(one) = told { Some(&**one) } else { None }).collect()
    }

    fn refused(&self) -> Vec<&RefusedAttempt> {
        self.told.iter().filter_map(|told| if let Effect::Refused(one) = told { Some(&**one) } else { None }).collect()
    }

    fn entered(&self) -> Vec<&NodePresence> {
        self.told.iter().filter_map(|told| if let Effect::Entered(one) = told { Some(&**one) } else { None }).collect()
    }

    fn left(&self) -> Vec<u64> {
        self.told
            .iter()
            .filter_map(|told| if let Effect::Left { session, .. } = told { Some(*session) } else { None })
            .collect()
    }
}

fn refusal(count: u64) -> ReportedRefusal {
    let (name, address) = ("pc8.branch.example".into(), "10.1.0.8".into());
    ReportedRefusal { name, role: 1, address, code: 1202, first_ms: 9_000, last_ms: 1_000, count, ..Default::default() }
}

#[test]
fn i4_what_a_gateway_and_its_agent_report_comes_out_in_the_servers_time_under_their_proven_names() {
    let (mut lab, gateway, link) = with_gateway();
    lab.agent(&gateway, link, 1);
    let standby = |name: &str, code| ReportedStandby { name: name.into(), code, ..Default::default() };
    let standbys = vec![standby("ms2.corp.example", 2104), standby("ms3.corp.example", 0)];
    let report = Report {
        upstream: SERVER.into(),
        since_ms: 60_000,
        standbys,
        queue_messages: 0,
        oldest_ms: 7,
        agents_connected: 412,
        assignment_pending: 9,
        refusals: vec![refusal(3)],
        ..Report::default()
    };
    lab.tell(link, 0, &report);
    lab.tell(link, 1, &report);
    let at = |seconds: i64| Timestamp::from_unix_seconds(now().unix_seconds() + seconds);
    let [of_gateway, of_agent] = lab.reports()[..] else { panic!("{:?}", lab.told) };
    assert_eq!((of_gateway.name.as_str(), of_gateway.role, &of_gateway.via[..]), (GATEWAY, Role::Gateway, &[][..]));
    assert_eq!((of_agent.name.as_str(), of_agent.role), (AGENT, Role::Agent));
    assert_eq!(of_agent.via, [gateway.name().clone()]);
    assert_eq!((of_gateway.since, of_gateway.oldest, of_gateway.agents_connected), (at(-60), None, 412));
    assert_eq!(of_gateway.upstream.as_ref().map(Name::as_str), Some(SERVER));
    let proven: Vec<_> = of_gateway.standbys.iter().map(|standby| standby.proven).collect();
    assert_eq!(proven, [Some(at(0)), None], "the second was not tried yet");
    let sessions: Vec<u64> = lab.entered().iter().map(|presence| presence.session).collect();
    assert_eq!([of_gateway.session, of_agent.session], sessions[..]);
    // An agent lets nobody in and refuses nobody.
    let [refused] = lab.refused()[..] else { panic!("{:?}", lab.told) };
    assert_eq!((refused.by.as_str(), refused.count, refused.first, refused.last), (GATEWAY, 3, at(-9), at(-1)));
    assert_eq!((refused.name.as_ref().map(Name::as_str), refused.code), (Some("pc8.branch.example"), 1202));
}

#[test]
fn d7_reports_that_come_too_soon_are_counted_and_end_nothing() {
    let (mut lab, gateway, link) = with_gateway();
    lab.agent(&gateway, link, 1);
    for delivered in 0..100 {
        lab.tell(link, 1, &Report { delivered, ..Report::default() });
    }
    assert_eq!(lab.reports().iter().map(|report| report.delivered).collect::<Vec<_>>(), [0, 1, 2]);
    lab.tell(link, 0, &Report::default());
    assert_eq!(lab.reports().len(), 4, "the gateway's own are apart");
    assert_eq!(lab.outcome(link, 1), Some(Ok(())));
}

#[test]
fn d7_a_report_out_of_bounds_or_out_of_place_ends_the_channel_that_it_came_on_and_no_other() {
    let (mut lab, gateway, link) = with_gateway();
    let agent = lab.agent(&gateway, link, 1);
    lab.tell(link, 1, &Report { software: "x".repeat(257), ..Report::default() });
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::FrameMalformed)));
    lab.holds_checks = true;
    lab.tell(link, 2, &opening(&agent, attest(&agent, &gateway, lab.period(), SESSION), SESSION));
    lab.tell(link, 2, &Report::default());
    assert_eq!(lab.outcome(link, 2), Some(Err(Code::FrameUnexpected)), "before OPENED");
    assert!(lab.reports().is_empty());
    lab.tell(link, 0, &Report::default());
    assert_eq!(lab.reports().len(), 1, "the gateway's link stands");
}

#[test]
fn i4_whoever_is_let_in_is_told_with_its_path_and_whoever_goes_once() {
    let (mut lab, gateway, link) = with_gateway();
    lab.agent(&gateway, link, 1);
    let [of_gateway, of_agent] = lab.entered()[..] else { panic!("{:?}", lab.told) };
    assert_eq!((of_gateway.name.as_str(), of_gateway.address.as_str()), (GATEWAY, "10.0.0.1:1"));
    assert_eq!((of_agent.name.as_str(), &of_agent.via[..]), (AGENT, &[gateway.name().clone()][..]));
    let sessions = (of_gateway.session, of_agent.session);
    assert_ne!(sessions.0, sessions.1);
    assert_eq!(lab.server.presences(), lab.entered().into_iter().cloned().collect::<Vec<_>>());
    lab.give(Input::Link(LinkInput::Lost { link, error: Error::new(Code::LinkDown) }));
    let mut left = lab.left();
    left.sort_unstable();
    assert_eq!(left, [sessions.0.min(sessions.1), sessions.0.max(sessions.1)]);
    assert!(lab.server.presences().is_empty() && lab.refused().is_empty(), "a lost link is no refusal");
}

#[test]
fn i4_whoever_is_refused_at_hello_or_at_its_channel_is_told_with_name_address_and_reason() {
    let (mut lab, gateway, link) = with_gateway();
    let stranger = lab.group.node("gw9.branch.example");
    let other = LinkId::accepted(99);
    let shown = Shown { generation: 1, key: lab.group.node(SERVER).key_hash() };
    let peer = Arc::new(stranger.own().clone());
    lab.give(Input::Link(LinkInput::Accepted { link: other, peer, shown, address: "10.0.0.9:4711".into() }));
    let (name, group) = ("gw9.branch.example".to_owned(), "corp".to_owned());
    lab.tell(other, 0, &Hello { version: 1, role: 2, purpose: PURPOSE_USE, name, group, ..Hello::default() });
    let agent = lab.group.node(AGENT);
    lab.teach(link, &agent);
    let mut forged = attest(&agent, &gateway, lab.period(), SESSION);
    forged.signature = vec![0; 64].into();
    let open = Open { address: "10.1.0.7:4711".into(), ..opening(&agent, forged, SESSION) };
    lab.tell(link, 1, &open);
    let told: Vec<_> =
        lab.refused().iter().map(|one| (one.name.as_ref().unwrap().as_str(), &*one.address, one.code)).collect();
    let expected = [("gw9.branch.example", "10.0.0.9", 2015), (AGENT, "10.1.0.7", 1501)];
    assert_eq!(told, expected);
    assert!(lab.refused().iter().all(|one| one.by.as_str() == SERVER && one.count == 1));
    assert!(lab.refused()[0].text.contains("\"corp\""), "{:?}", lab.refused()[0]);
}
