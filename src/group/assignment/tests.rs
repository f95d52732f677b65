use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// RFC 8410 section 7: PKCS#8 of an Ed25519 seed of 32 bytes.
fn key(seed: u8) -> GroupKey {
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend([seed; 32]);
    GroupKey::from_pkcs8(&pkcs8).unwrap()
}

fn assignment() -> Assignment {
    Assignment::primary("MS1.corp.example").unwrap().failover("ms2.corp.example:5724").unwrap()
}

#[test]
fn an_upstream_is_a_name_and_a_port_and_nothing_else() {
    assert_eq!(Upstream::parse("MS1.corp.example").unwrap().to_string(), "ms1.corp.example:5723");
    assert_eq!(Upstream::parse("ms1:1").unwrap().port(), 1);
    for bad in ["", ":", "ms1:", "ms1:0", "ms1:65536", "ms1:+5", "ms1: 5", "ms1:5:6", "[::1]:5", "a b:5", "-a:5"] {
        assert!(Upstream::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn g3_no_upstream_is_there_twice_and_there_are_at_most_sixteen() {
    let code = |upstream: &str| assignment().failover(upstream).unwrap_err().code();
    assert_eq!(code("ms1.corp.example:1"), Code::PrimaryIsFailover);
    assert_eq!(code("ms2.corp.example"), Code::ConfigBadValue);
    let mut most = Assignment::primary("ms0").unwrap();
    for number in 1..UPSTREAMS_MAX {
        most = most.failover(&format!("ms{number}")).unwrap();
    }
    assert_eq!(most.upstreams().count(), UPSTREAMS_MAX);
    assert_eq!(most.failover("ms99").unwrap_err().code(), Code::ConfigBadValue);
}

#[test]
fn g6_an_assignment_is_taken_back_as_it_was_signed() {
    let key = key(1);
    let signed = key.sign("CORP", &name("gw1.branch.example"), 9, Some(&assignment()));
    let (version, read) = key.public().verify("CORP", &name("gw1.branch.example"), &signed).unwrap();
    assert_eq!((version, read), (9, Some(assignment())));
    assert_eq!((signed.version(), signed.content()), (9, Some(Some(assignment()))));
}

#[test]
fn g6_a_withdrawal_is_signed_as_an_assignment_of_nothing() {
    let key = key(1);
    let signed = key.sign("CORP", &name("gw1"), 10, None);
    assert_eq!(key.public().verify("CORP", &name("gw1"), &signed).unwrap(), (10, None));
    assert_eq!(signed.content(), Some(None));
    assert_eq!(&signed.body[..], b"\0\x14farpost assignment 1\0\x04CORP\0\x03gw1\0\0\0\0\0\0\0\x0a\0\0");
}

#[test]
fn g3_primary_and_a_failover_change_places_and_the_others_stay() {
    let three = assignment().failover("ms3:7").unwrap();
    let texts = |assignment: Assignment| assignment.upstreams().map(ToString::to_string).collect::<Vec<_>>();
    let [first, second, third] = ["ms1.corp.example:5723", "ms2.corp.example:5724", "ms3:7"];
    assert_eq!(texts(three.swapped(None).unwrap()), [second, first, third]);
    assert_eq!(texts(three.swapped(Some(&name("ms3"))).unwrap()), [third, second, first]);
    assert_eq!(three.swapped(Some(&name("ms1.corp.example"))).unwrap_err().code(), Code::NotFailover);
    assert_eq!(Assignment::primary("ms1").unwrap().swapped(None).unwrap_err().code(), Code::NotFailover);
}

#[test]
fn g6_the_signed_bytes_are_those_of_the_first_release() {
    let body = encode("CORP", &name("gw1"), 9, Some(&assignment()));
    let golden: &[u8] = b"\0\x14farpost assignment 1\0\x04CORP\0\x03gw1\0\0\0\0\0\0\0\x09\0\x02\
        \0\x10ms1.corp.example\x16\x5b\0\x10ms2.corp.example\x16\x5c";
    assert_eq!(&body[..], golden);
}

#[test]
fn g6_every_bit_of_an_assignment_is_signed() {
    let key = key(1);
    let node = name("gw1");
    let signed = key.sign("CORP", &node, 9, Some(&assignment()));
    let check = |signed: &SignedAssignment| key.public().verify("CORP", &node, signed);
    for at in 0..(signed.body.len() + signed.signature.len()) * 8 {
        let (mut body, mut signature) = (signed.body.to_vec(), signed.signature.to_vec());
        let length = body.len();
        let byte = if at / 8 < length { &mut body[at / 8] } else { &mut signature[at / 8 - length] };
        *byte ^= 1 << (at % 8);
        let forged = SignedAssignment { body: body.into(), signature: signature.into(), key_version: 0 };
        assert_eq!(check(&forged).unwrap_err().code(), Code::AssignmentForged, "bit {at}");
    }
}

#[test]
fn g6_an_assignment_of_another_key_group_or_node_is_forged() {
    let (node, ours) = (name("gw1"), key(1));
    for (group, signer, whom) in [("CORP", key(2), "gw1"), ("corp", key(1), "gw1"), ("CORP", key(1), "gw2")] {
        let signed = signer.sign(group, &name(whom), 1, Some(&assignment()));
        assert_eq!(ours.public().verify("CORP", &node, &signed).unwrap_err().code(), Code::AssignmentForged);
    }
}

#[test]
fn every_truncation_and_every_addition_is_unreadable() {
    let body = encode("CORP", &name("gw1"), 9, Some(&assignment()));
    for length in 0..body.len() {
        assert!(Body::decode(&body[..length]).is_none(), "{length}");
    }
    assert!(Body::decode(&[&body[..], b"\0"].concat()).is_none());
}

#[test]
fn g3_excluded_and_unknown_servers_are_not_assigned() {
    let known = [name("ms1.corp.example")];
    let check = |second: Candidate| {
        may_assign(&assignment(), &known, |upstream| {
            if upstream.as_str() == "ms1.corp.example" { Candidate::Server { excluded: false } } else { second }
        })
        .map_err(|error| error.code())
    };
    assert_eq!(check(Candidate::Gateway), Ok(()));
    assert_eq!(check(Candidate::Server { excluded: false }), Ok(()));
    assert_eq!(check(Candidate::Server { excluded: true }), Err(Code::ServerExcluded));
    assert_eq!(check(Candidate::Unknown), Err(Code::ServerUnknown));
}
