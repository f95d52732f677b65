use super::*;
use crate::group::{Assignment, SignedAssignment};
use crate::limits::{FRAME_BYTES_MAX, UPSTREAMS_MAX};
use crate::name::Name;
use crate::wire;

/// RFC 8410 section 7: PKCS#8 of an Ed25519 seed of 32 bytes.
fn key(seed: u8) -> GroupKey {
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend([seed; 32]);
    GroupKey::from_pkcs8(&pkcs8).unwrap()
}

/// The keys of these seeds, each of which names the next one.
fn chain(group: &str, seeds: &[u8]) -> Vec<KeySuccession> {
    let made = Timestamp::from_unix_seconds(1_800_000_000);
    let pairs = seeds.windows(2).zip(2..);
    pairs.map(|(pair, version)| key(pair[0]).succeeded_by(group, key(pair[1]).public(), version, made)).collect()
}

fn followed(seed: u8, successions: &[KeySuccession]) -> Result<AssignmentKey, Code> {
    key(seed).public().followed("CORP", successions).map_err(|error| error.code())
}

const MISMATCH: Result<AssignmentKey, Code> = Err(Code::GroupKeyMismatch);

#[test]
fn g6_a_node_follows_the_groups_key_from_wherever_it_stopped() {
    let successions = chain("CORP", &[1, 2, 3, 4, 5]);
    for pinned in 1..5 {
        assert_eq!(followed(pinned, &successions), Ok(key(5).public()), "from key {pinned}");
        assert_eq!(followed(pinned, &successions[usize::from(pinned) - 1..]), Ok(key(5).public()), "older ones gone");
    }
    assert_eq!(followed(2, &successions[..3]), Ok(key(4).public()), "as far as the statements go");
}

#[test]
fn g6_statements_that_do_not_lead_from_the_trusted_key_are_refused() {
    let successions = chain("CORP", &[1, 2, 3, 4]);
    assert_eq!(followed(4, &successions), MISMATCH, "the last key itself");
    assert_eq!(followed(9, &successions), MISMATCH, "a stranger's");
    assert_eq!(followed(1, &[]), MISMATCH);
    assert_eq!(followed(1, &[successions[0].clone(), successions[2].clone()]), MISMATCH, "a gap");
    assert_eq!(followed(1, &[successions[1].clone(), successions[0].clone()]), Ok(key(2).public()), "passed over");
    assert_eq!(followed(1, &[successions[0].clone(), successions[0].clone()]), MISMATCH, "twice");
    assert_eq!(followed(1, &chain("corp", &[1, 2])), MISMATCH, "of another group");
    // Back to the first key: a loop that the former owner of a key could offer.
    let back = key(3).succeeded_by("CORP", key(1).public(), 4, Timestamp::default());
    let round = [&successions[..2], &[back, successions[0].clone()]].concat();
    assert_eq!(followed(1, &round), MISMATCH, "a loop");
    let many: Vec<u8> = (0..=u8::try_from(KEY_SUCCESSIONS_MAX).unwrap()).collect();
    assert_eq!(followed(0, &chain("CORP", &many)), Ok(key(many[many.len() - 1]).public()));
    let too_many: Vec<u8> = (0..=u8::try_from(KEY_SUCCESSIONS_MAX).unwrap() + 1).collect();
    assert_eq!(followed(0, &chain("CORP", &too_many)), MISMATCH);
}

#[test]
fn g6_every_bit_of_a_statement_is_signed() {
    let [succession] = &chain("CORP", &[1, 2])[..] else { panic!() };
    let flip = |bytes: &Bytes, bit: usize| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        Bytes::from(changed)
    };
    for bit in 0..succession.body.len() * 8 {
        let changed = KeySuccession { body: flip(&succession.body, bit), ..succession.clone() };
        assert_eq!(followed(1, &[changed]), MISMATCH, "bit {bit}");
    }
    for bit in 0..succession.signature.len() * 8 {
        let changed = KeySuccession { signature: flip(&succession.signature, bit), ..succession.clone() };
        assert_eq!(followed(1, &[changed]), MISMATCH, "bit {bit} of the signature");
    }
    for length in 0..succession.body.len() {
        let cut = KeySuccession { body: succession.body.slice(..length), ..succession.clone() };
        assert_eq!(followed(1, std::slice::from_ref(&cut)), MISMATCH, "{length} bytes");
        assert_eq!(cut.statement(), None);
    }
    let longer = KeySuccession { body: [&succession.body[..], &[0]].concat().into(), ..succession.clone() };
    assert_eq!(followed(1, &[longer]), MISMATCH);
    // What the key signs otherwise says nothing about keys.
    let assigned = key(1).sign("CORP", &Name::parse("gw1").unwrap(), 2, None);
    let other = KeySuccession { body: assigned.body, signature: assigned.signature };
    assert_eq!(followed(1, &[other]), MISMATCH);
}

#[test]
fn g6_the_longest_assignment_fits_one_frame_with_all_statements_of_the_longest_group() {
    let group = "g".repeat(255);
    let label = "a".repeat(59);
    let long = |first: usize| format!("{first:03}{label}.{label}.{label}.{label}.example");
    let upstreams: Vec<String> = (0..UPSTREAMS_MAX).map(long).collect();
    let assignment = upstreams[1..]
        .iter()
        .fold(Assignment::primary(&upstreams[0]).unwrap(), |all, upstream| all.failover(upstream).unwrap());
    let seeds: Vec<u8> = (0..=u8::try_from(KEY_SUCCESSIONS_MAX).unwrap()).collect();
    let SignedAssignment { body, signature, .. } =
        key(9).sign(&group, &Name::parse(&long(999)).unwrap(), u64::MAX, Some(&assignment));
    let successions = chain(&group, &seeds).into_iter();
    let successions = successions.map(|one| wire::KeySuccession { body: one.body, signature: one.signature }).collect();
    let key = Bytes::copy_from_slice(key(9).public().as_bytes());
    let mut out = BytesMut::new();
    wire::put_message(&mut out, u32::MAX, &wire::Assign { body, signature, key, successions });
    assert!(out.len() <= FRAME_BYTES_MAX, "{} bytes", out.len());
    assert!(out.len() > FRAME_BYTES_MAX * 3 / 4, "{} bytes: there is room for more", out.len());
}

#[test]
fn a_fingerprint_is_what_openssl_says_of_the_public_key() {
    // openssl pkey -in (the PKCS#8 of the seed 0x01…01) -pubout -outform DER | sha256sum
    let public = key(1).public();
    assert_eq!(public.to_string(), "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
    assert_eq!(public.fingerprint().to_string(), "fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2");
}
