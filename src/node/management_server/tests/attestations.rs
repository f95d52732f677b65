//! Attestations (rule I6) and gateways that have gone bad (H3, H4, H7).

use rcgen::{KeyPair, RsaKeySize};

use super::*;

pub(super) const FIRST: Session = Session { boot: 1, connection: 1 };
const AGENT: &str = "pc7.branch.example";

/// A server with one gateway, whose chains of these agents it was taught.
fn lab_of(agents: &[&str]) -> (Lab, LinkId, Identity, Vec<Identity>) {
    let group = Group::new();
    let gateway = group.node("gw1.branch.example");
    let agents: Vec<Identity> = agents.iter().map(|name| group.node(name)).collect();
    let mut lab = Lab::new(group);
    let link = lab.gateway(&gateway);
    agents.iter().for_each(|agent| lab.teach(link, agent));
    (lab, link, gateway, agents)
}

/// How a key is made.
type Make = fn() -> KeyPair;
/// Whoever alters an opening.
type Alter = fn(&mut Open);

#[test]
fn i6_every_altered_field_of_an_opening_that_is_signed_is_refused() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let agent = &agents[0];
    let good = opening(agent, attest(agent, &gateway, lab.period(), FIRST), FIRST);
    let attested = |open: &mut Open| open.attestation.as_mut().unwrap().clone();
    let altered: [(Alter, Code); 12] = [
        (|open| open.epoch ^= 1, Code::AttestationInvalid),
        (|open| open.boot += 1, Code::AttestationInvalid),
        (|open| open.nonce ^= 1 << 63, Code::AttestationInvalid),
        (|open| open.connection += 1, Code::AttestationInvalid),
        (|open| open.name = "pc8.branch.example".into(), Code::NameMismatch),
        (|open| open.attestation = None, Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().period -= 1, Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().period += 1, Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().scheme += 1, Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().scheme = 1 << 16, Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().gateway_key = vec![9; 32].into(), Code::AttestationInvalid),
        (|open| open.attestation.as_mut().unwrap().chain = vec![9; 32].into(), Code::ChainUnknown),
    ];
    let mut channel = 0;
    for (at, (alter, code)) in altered.into_iter().enumerate() {
        let mut open = good.clone();
        alter(&mut open);
        channel += 1;
        lab.tell(link, channel, &open);
        assert_eq!(lab.outcome(link, channel), Some(Err(code)), "alteration {at}");
    }
    let signature = attested(&mut good.clone()).signature;
    for bit in 0..signature.len() * 8 {
        let mut flipped = signature.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut open = good.clone();
        open.attestation.as_mut().unwrap().signature = flipped.into();
        channel += 1;
        lab.tell(link, channel, &open);
        assert_eq!(lab.outcome(link, channel), Some(Err(Code::AttestationInvalid)), "bit {bit}");
    }
    assert_eq!(lab.server.connected(), (1, 0, 0));
    lab.tell(link, channel + 1, &good);
    assert_eq!(lab.outcome(link, channel + 1), Some(Ok(())));
}

#[test]
fn i6_a_gateway_that_shows_what_was_made_for_another_one_is_told_of_as_that() {
    let (mut lab, good_link, good, agents) = lab_of(&[AGENT]);
    let bad = lab.group.node("bad.branch.example");
    let bad_link = lab.gateway(&bad);
    lab.teach(bad_link, &agents[0]);
    let shown = opening(&agents[0], attest(&agents[0], &good, lab.period(), FIRST), FIRST);

    lab.tell(bad_link, 1, &shown);
    assert_eq!(lab.outcome(bad_link, 1), Some(Err(Code::AttestationElsewhere)));
    let told = lab.events.iter().find(|event| event.code == Code::AttestationElsewhere).unwrap();
    assert!(told.text.contains(&good.key_hash().to_string()) && told.subject.contains(AGENT), "{told:?}");

    // Without the hint, or with another one, it is a wrong signature; never more than that.
    for hint in [Vec::new(), vec![1; 31], vec![1; 32], bad.key_hash().0.to_vec()] {
        let mut open = shown.clone();
        open.attestation.as_mut().unwrap().gateway_key = hint.clone().into();
        let channel = lab.server.links[&bad_link].last_channel + 1;
        lab.tell(bad_link, channel, &open);
        assert_eq!(lab.outcome(bad_link, channel), Some(Err(Code::AttestationInvalid)), "{hint:?}");
    }
    // A renewal that was made for another gateway ends the channel as well.
    lab.tell(bad_link, 9, &opening(&agents[0], attest(&agents[0], &bad, lab.period(), FIRST), FIRST));
    assert_eq!(lab.outcome(bad_link, 9), Some(Ok(())));
    let later = Session { connection: 2, ..FIRST };
    lab.tell(good_link, 1, &opening(&agents[0], attest(&agents[0], &good, lab.period(), later), later));
    assert_eq!((lab.outcome(bad_link, 9), lab.outcome(good_link, 1)), (Some(Err(Code::SessionFenced)), Some(Ok(()))));
}

#[test]
fn i6_an_attestation_of_another_group_is_refused() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let wrong = attest_for_group("CORQ", &agents[0], &gateway, lab.period(), FIRST);
    lab.tell(link, 1, &opening(&agents[0], wrong, FIRST));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::AttestationInvalid)));
}

#[test]
fn i6_only_the_challenges_of_this_the_last_and_the_next_period_are_taken() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let taken = [-600, -3, -2, -1, 0, 1, 2, 3, 600].map(|away: i64| {
        let period = lab.period().checked_add_signed(away).unwrap();
        let channel = lab.server.links[&link].last_channel + 1;
        lab.tell(link, channel, &opening(&agents[0], attest(&agents[0], &gateway, period, FIRST), FIRST));
        (away, lab.outcome(link, channel).unwrap())
    });
    for (away, outcome) in taken {
        let expected = if (-1..=1).contains(&away) { Ok(()) } else { Err(Code::AttestationStale) };
        assert_eq!(outcome, expected, "{away} periods away");
    }
    for period in [0, u64::MAX] {
        let channel = lab.server.links[&link].last_channel + 1;
        lab.tell(link, channel, &opening(&agents[0], attest(&agents[0], &gateway, period, FIRST), FIRST));
        assert_eq!(lab.outcome(link, channel), Some(Err(Code::AttestationStale)));
    }
}

#[test]
fn i6_an_attestation_lapses_after_two_periods_and_showing_it_again_does_not_prolong_it() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let old = attest(&agents[0], &gateway, lab.period(), FIRST);
    lab.tell(link, 1, &opening(&agents[0], old.clone(), FIRST));
    lab.periods_pass(1);
    assert_eq!(lab.outcome(link, 1), Some(Ok(())));
    // The agent has left; its gateway goes on showing what it has, in the channel and in new ones.
    lab.tell(link, 1, &old);
    lab.tell(link, 2, &opening(&agents[0], old.clone(), FIRST));
    assert_eq!((lab.outcome(link, 1), lab.outcome(link, 2)), (Some(Err(Code::SessionFenced)), Some(Ok(()))));
    lab.periods_pass(1);
    assert_eq!(lab.outcome(link, 2), Some(Err(Code::AttestationStale)));
    lab.tell(link, 3, &opening(&agents[0], old, FIRST));
    assert_eq!(lab.outcome(link, 3), Some(Err(Code::AttestationStale)));
    assert_eq!(lab.server.connected(), (1, 0, 0));
}

#[test]
fn i6_a_renewed_attestation_stands_and_an_older_one_after_it_takes_nothing_back() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let at = |period| attest(&agents[0], &gateway, period, FIRST);
    let first = lab.period();
    lab.tell(link, 1, &opening(&agents[0], at(first), FIRST));
    lab.periods_pass(1);
    lab.tell(link, 1, &at(first + 1));
    let checked = lab.checked;
    lab.tell(link, 1, &at(first));
    lab.tell(link, 1, &at(first + 1));
    // Neither is looked at: one is older, of the other the same bytes or new ones of the same period.
    assert!(lab.checked <= checked + 1);
    lab.periods_pass(1);
    assert_eq!(lab.outcome(link, 1), Some(Ok(())));
    lab.periods_pass(1);
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::AttestationStale)));
}

#[test]
fn i6_the_answer_about_one_attestation_is_never_taken_for_another_in_any_order() {
    for forged_first in [false, true] {
        let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
        let now = lab.period();
        let forged = Attestation { signature: vec![1; 70].into(), ..attest(&agents[0], &gateway, now + 1, FIRST) };
        let good = attest(&agents[0], &gateway, now, FIRST);
        lab.holds_checks = true;
        let (first, then) = if forged_first {
            (Attestation { period: now, ..forged.clone() }, attest(&agents[0], &gateway, now + 1, FIRST))
        } else {
            (good, forged)
        };
        lab.tell(link, 1, &opening(&agents[0], first, FIRST));
        for _ in 0..1_000 {
            lab.tell(link, 1, &then);
        }
        // However many are shown, one of them is under way.
        assert_eq!(lab.checks.len(), 1);
        let check = lab.checks.remove(0);
        let answer = lab.check(check);
        lab.give(answer);
        if !forged_first {
            let channel = lab.server.channels.values().next().unwrap();
            assert_eq!(channel.attested_period, now, "the period of what was checked, not of what came after it");
            let check = lab.checks.remove(0);
            let answer = lab.check(check);
            lab.give(answer);
        }
        assert_eq!(lab.outcome(link, 1), Some(Err(Code::AttestationInvalid)), "{forged_first}");
        assert!(lab.server.channels.is_empty() && lab.checks.is_empty());
    }
}

#[test]
fn i6_an_answer_for_a_channel_that_has_ended_opens_nothing() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    lab.holds_checks = true;
    lab.tell(link, 1, &opening(&agents[0], attest(&agents[0], &gateway, lab.period(), FIRST), FIRST));
    lab.tell(link, 1, &crate::wire::Close { code: 0, text: String::new(), forwarded: None });
    let check = lab.checks.remove(0);
    let answer = lab.check(check);
    lab.give(answer);
    assert_eq!((lab.server.connected(), lab.outcome(link, 1)), ((1, 0, 0), None));
}

#[test]
fn i6_a_chain_that_is_named_but_was_never_taught_on_this_link_is_refused() {
    let (mut lab, _, _, agents) = lab_of(&[AGENT]);
    // The server knows the chain, from another gateway's link.
    let other = lab.group.node("gw2.branch.example");
    let link = lab.gateway(&other);
    lab.tell(link, 1, &opening(&agents[0], attest(&agents[0], &other, lab.period(), FIRST), FIRST));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::ChainUnknown)));
    for chain in [Vec::new(), vec![0; 31], vec![0; 33]] {
        let channel = lab.server.links[&link].last_channel + 1;
        let attestation = attest(&agents[0], &other, lab.period(), FIRST);
        let attestation = Attestation { chain: chain.into(), ..attestation };
        lab.tell(link, channel, &opening(&agents[0], attestation, FIRST));
        assert_eq!(lab.outcome(link, channel), Some(Err(Code::ChainUnknown)));
    }
}

#[test]
fn i6_h3_an_agent_that_shows_anothers_attestation_or_its_own_for_anothers_name_opens_nothing() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT, "pc8.branch.example"]);
    let mine = |agent: &Identity| attest(agent, &gateway, lab.period(), FIRST);
    let (of_first, of_second) = (mine(&agents[0]), mine(&agents[1]));
    let swapped = [
        (opening(&agents[0], of_second.clone(), FIRST), Code::NameMismatch),
        (opening(&agents[1], of_first.clone(), FIRST), Code::NameMismatch),
        // Under the right chain it is the signature that is wrong.
        (
            opening(&agents[0], Attestation { chain: of_first.chain.clone(), ..of_second.clone() }, FIRST),
            Code::AttestationInvalid,
        ),
        (
            opening(&agents[1], Attestation { chain: of_second.chain.clone(), ..of_first.clone() }, FIRST),
            Code::AttestationInvalid,
        ),
    ];
    for (channel, (open, code)) in (1..).zip(swapped) {
        lab.tell(link, channel, &open);
        assert_eq!(lab.outcome(link, channel), Some(Err(code)), "{channel}");
    }
    // A renewal by another agent's key on a channel that stands.
    lab.tell(link, 9, &opening(&agents[0], of_first, FIRST));
    assert_eq!(lab.outcome(link, 9), Some(Ok(())));
    lab.tell(link, 9, &of_second);
    assert_eq!(lab.outcome(link, 9), Some(Err(Code::NameMismatch)));
}

#[test]
fn i6_shown_again_on_the_same_link_it_fences_itself_and_two_sessions_never_stand() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let open = opening(&agents[0], attest(&agents[0], &gateway, lab.period(), FIRST), FIRST);
    for channel in 1..50 {
        lab.tell(link, channel, &open);
        assert_eq!(lab.outcome(link, channel), Some(Ok(())));
        assert_eq!(lab.server.connected(), (1, 1, 0));
        assert!(channel == 1 || lab.outcome(link, channel - 1) == Some(Err(Code::SessionFenced)));
    }
}

#[test]
fn i6_h4_a_gateway_that_speaks_for_an_agent_that_has_moved_on_is_fenced_and_stays_so() {
    let (mut lab, bad_link, bad, agents) = lab_of(&[AGENT]);
    let old = opening(&agents[0], attest(&agents[0], &bad, lab.period(), FIRST), FIRST);
    lab.tell(bad_link, 1, &old);
    let good = lab.group.node("gw2.branch.example");
    let good_link = lab.gateway(&good);
    lab.teach(good_link, &agents[0]);
    let later = Session { connection: 2, ..FIRST };
    lab.tell(good_link, 1, &opening(&agents[0], attest(&agents[0], &good, lab.period(), later), later));
    assert_eq!(lab.outcome(bad_link, 1), Some(Err(Code::SessionFenced)));
    lab.tell(bad_link, 2, &old);
    assert_eq!(lab.outcome(bad_link, 2), Some(Err(Code::SessionStale)));
    assert_eq!(lab.outcome(good_link, 1), Some(Ok(())));
    // After another boot of the agent the old one is no better.
    let booted = Session { boot: 2, connection: 1 };
    lab.tell(good_link, 2, &opening(&agents[0], attest(&agents[0], &good, lab.period(), booted), booted));
    lab.tell(bad_link, 3, &old);
    assert_eq!((lab.outcome(bad_link, 3), lab.outcome(good_link, 2)), (Some(Err(Code::RolledBack)), Some(Ok(()))));
}

#[test]
fn i6_the_same_gateway_may_show_the_same_attestation_to_another_server_of_the_group() {
    let (mut first, link, gateway, agents) = lab_of(&[AGENT]);
    let open = opening(&agents[0], attest(&agents[0], &gateway, first.period(), FIRST), FIRST);
    first.tell(link, 1, &open);
    assert_eq!(first.outcome(link, 1), Some(Ok(())));
    let mut second = Lab::new(first.group);
    let link = second.gateway(&gateway);
    second.teach(link, &agents[0]);
    second.tell(link, 1, &open);
    assert_eq!(second.outcome(link, 1), Some(Ok(())));
}

#[test]
fn i6_every_signature_scheme_of_tls_1_3_attests_and_is_not_taken_for_another() {
    let kinds: [(&str, Make, u32); 5] = [
        ("ed25519", || KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), 0x0807),
        ("p256", || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), 0x0403),
        ("p384", || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), 0x0503),
        ("p521", || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(), 0x0603),
        ("rsa", || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), 0x0806),
    ];
    let (mut lab, link, gateway, _) = lab_of(&[]);
    for (kind, make, scheme) in kinds {
        let name = format!("{kind}.branch.example");
        let params = lab.group.root.leaf_of(&name, |_| {}).params;
        let leaf = lab.group.root.issue(params, make());
        let agent = leaf.identity(&lab.group.root, &[], IdentityPolicy::default()).unwrap();
        lab.teach(link, &agent);
        let good = attest(&agent, &gateway, lab.period(), FIRST);
        assert_eq!(good.scheme, scheme, "{kind}");
        for other in [0x0201, 0x0203, 0x0401, 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0809] {
            let channel = lab.server.links[&link].last_channel + 1;
            lab.tell(link, channel, &opening(&agent, Attestation { scheme: other, ..good.clone() }, FIRST));
            let expected = if other == scheme { Ok(()) } else { Err(Code::AttestationInvalid) };
            assert_eq!(lab.outcome(link, channel), Some(expected), "{kind} as {other:#06x}");
        }
    }
}

#[test]
fn h17_a_gateway_that_shows_a_thousand_forged_attestations_is_refused_each_time_and_told_of_in_few_events() {
    let (mut lab, link, gateway, agents) = lab_of(&[AGENT]);
    let good = opening(&agents[0], attest(&agents[0], &gateway, lab.period(), FIRST), FIRST);
    let mut forged = good.clone();
    forged.attestation.as_mut().unwrap().signature = vec![1; 70].into();
    let told = |lab: &Lab| lab.events.iter().filter(|event| event.code == Code::AttestationInvalid).count();
    for channel in 1..=1_000 {
        lab.tell(link, channel, &forged);
        assert_eq!(lab.outcome(link, channel), Some(Err(Code::AttestationInvalid)));
    }
    assert_eq!(told(&lab), 60);
    // Another link's are told, and this one's again after a minute, with what was not.
    let other = lab.group.node("gw2.branch.example");
    let other_link = lab.gateway(&other);
    lab.teach(other_link, &agents[0]);
    lab.tell(other_link, 1, &forged);
    assert_eq!(told(&lab), 61);
    lab.periods_pass(1);
    lab.tell(link, 1_001, &forged);
    let last = lab.events.iter().rfind(|event| event.code == Code::AttestationInvalid).unwrap();
    assert!(last.text.contains("940 more of this link"), "{last:?}");
    lab.tell(link, 1_002, &good);
    assert_eq!(lab.outcome(link, 1_002), Some(Ok(())));
}
