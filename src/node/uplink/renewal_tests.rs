//! The renewal of the link in use beside other moves (rule I5), by hand.

#![cfg(feature = "management-server")]

use super::assignment_tests::Lab;
use super::*;
use crate::node::{CertificateChange, IdentityChange};
use crate::time::Timestamp;

#[test]
fn i5_a_renewal_that_made_way_for_a_failback_is_made_after_all_when_the_node_cannot_move() {
    let mut lab = Lab::on("ms1.example", &["ms1.example", "ms2.example"]);
    lab.assign(7, &["ms2.example", "ms1.example"]);
    lab.pass(400);
    assert_eq!(lab.used(), "ms2.example");
    lab.reachable.remove("ms2.example");
    lab.lose();
    lab.pass(1);
    assert_eq!(lab.used(), "ms1.example");

    lab.is_quiet = false;
    lab.generation = 2;
    let wall = Timestamp::from_unix_seconds(1_800_000_000);
    let certificate = CertificateChange { former_not_after: wall, successions: Vec::new() };
    lab.uplink.handle_change(&IdentityChange { generation: 2, certificate: Some(certificate) }, lab.now);
    lab.reachable.insert("ms2.example");
    let moves_back = |uplink: &Uplink| {
        uplink
            .dialled
            .iter()
            .any(|dialled| uplink.moving_to == Some(dialled.id) && dialled.purpose == Purpose::Failback)
    };
    while !moves_back(&lab.uplink) {
        lab.pass(1);
    }
    lab.reachable.remove("ms2.example");
    lab.uplink.abandon_move(lab.now);
    lab.is_quiet = true;
    lab.pass(30);
    assert_eq!(lab.used(), "ms1.example");
    assert_eq!(lab.uplink.shown().map(|shown| shown.generation), Some(2), "{:?}", lab.events);
}
