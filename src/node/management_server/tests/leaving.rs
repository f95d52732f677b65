//! Links that end: a gateway that the group assigns elsewhere moves while it may still stay (rules D5, G3); one that the
//! group does not answer for is told so (rule G5).

use super::*;
use crate::group::{Assignment, SignedAssignment};
use crate::limits::LEAVES_WITHIN;

const GATEWAY: &str = "gw1.branch.example";

fn elsewhere(version: u64) -> SignedAssignment {
    let key = GroupKey::from_pkcs8(&ed25519()).unwrap();
    let assignment = Assignment::primary("ms2.corp.example").unwrap();
    let signed = key.sign(GROUP, &Name::parse(GATEWAY).unwrap(), version, Some(&assignment));
    SignedAssignment { key_version: 1, ..signed }
}

impl Lab {
    fn decides(&mut self, link: LinkId, code: Code, assignment: Option<SignedAssignment>) {
        let decision = Decision::Refused(Error::new(code));
        let result = Ok(Standing { decision, assignment });
        self.give(Input::Authorised { subject: Subject::Link(link), result });
    }

    fn passes(&mut self, time: Duration) -> Option<Result<(), Code>> {
        self.server.handle_timeout(self.at() + time);
        self.turn();
        // The first link.
        self.outcome(LinkId::accepted(1), 0)
    }
}

fn with_gateway() -> (Lab, LinkId) {
    let mut lab = Lab::new(Group::new());
    let gateway = lab.group.node(GATEWAY);
    let link = lab.gateway(&gateway);
    (lab, link)
}

#[test]
fn d5_g3_a_gateway_that_is_told_where_it_belongs_may_stay_until_it_moved_there_and_not_for_ever() {
    let (mut lab, link) = with_gateway();
    lab.decides(link, Code::ParentNotApproved, Some(elsewhere(7)));
    assert!(lab.frames.iter().any(|(to, frame)| *to == link && frame.kind == Kind::Assign));
    assert_eq!(lab.outcome(link, 0), None);
    lab.decides(link, Code::ParentNotApproved, Some(elsewhere(7)));
    assert_eq!(lab.outcome(link, 0), None, "asked about again");
    assert_eq!(lab.passes(LEAVES_WITHIN / 2), None);
    assert_eq!(lab.passes(LEAVES_WITHIN), Some(Err(Code::ParentNotApproved)));
}

#[test]
fn g2_g3_who_is_told_nothing_new_or_is_not_wanted_anywhere_goes_at_once() {
    for (code, assignment) in [
        (Code::ParentNotApproved, None),
        (Code::ServerExcluded, Some(elsewhere(7))),
        (Code::NameRejected, Some(elsewhere(7))),
    ] {
        let (mut lab, link) = with_gateway();
        lab.decides(link, code, assignment);
        assert_eq!(lab.outcome(link, 0), Some(Err(code)));
    }
    // Excluded while it is on its way.
    let (mut lab, link) = with_gateway();
    lab.decides(link, Code::ParentNotApproved, Some(elsewhere(7)));
    lab.decides(link, Code::ServerExcluded, None);
    assert_eq!(lab.outcome(link, 0), Some(Err(Code::ServerExcluded)));
}

#[test]
fn g5_who_introduced_itself_to_a_server_whose_store_is_silent_is_told_of_the_store_before_its_patience_ends() {
    let mut lab = Lab::new(Group::new());
    lab.store_is_silent = true;
    let gateway = lab.group.node(GATEWAY);
    lab.knocks(&gateway);
    assert_eq!(lab.passes(Duration::from_secs(7)), None);
    assert_eq!(lab.passes(Duration::from_millis(7_500)), Some(Err(Code::StoreUnavailable)));
}
