//! Attestations (rule I6): a signature holds for one claim only.

use crate::code::Code;
use crate::identity::attestation::{Claim, challenge_of_period, sign, verify};
use crate::identity::testing::{Issued, name, now};
use crate::identity::{Identity, IdentityPolicy, KeyHash, VerifiedPeer};
use crate::message::Epoch;
use crate::name::Name;
use crate::role::Role;

fn agent() -> (Identity, VerifiedPeer) {
    let root = Issued::root(|_| {});
    let identity = root.leaf(|_| {}).identity(&root, &[], IdentityPolicy::default()).unwrap();
    let peer = identity.verify(identity.chain(), Some(&name()), now()).unwrap();
    (identity, peer)
}

fn claim<'a>(challenge: &'a [u8], name: &'a Name) -> Claim<'a> {
    let gateway_key = KeyHash([7; 32]);
    Claim {
        role: Role::Agent,
        group: "CORP",
        challenge,
        gateway_key,
        name,
        epoch: Epoch(1),
        boot: 2,
        nonce: 3,
        connection: 4,
    }
}

#[test]
fn i6_a_signature_holds_for_its_claim_and_no_other() {
    let (identity, peer) = agent();
    let (me, other) = (name(), Name::parse("pc8.branch.example").unwrap());
    let (now_challenge, old_challenge) =
        (challenge_of_period(&[1; 32], "CORP", 9), challenge_of_period(&[1; 32], "CORP", 8));
    let good = claim(&now_challenge, &me);
    let (scheme, signature) = sign(&identity, &good.to_be_signed()).unwrap();
    verify(&peer, scheme, &good.to_be_signed(), &signature).unwrap();
    let others = [
        Claim { role: Role::Gateway, ..good },
        Claim { group: "CORP2", ..good },
        Claim { challenge: &old_challenge, ..good },
        Claim { gateway_key: KeyHash([8; 32]), ..good },
        Claim { name: &other, ..good },
        Claim { epoch: Epoch(2), ..good },
        Claim { boot: 3, ..good },
        Claim { nonce: 4, ..good },
        Claim { connection: 5, ..good },
    ];
    for wrong in others {
        let error = verify(&peer, scheme, &wrong.to_be_signed(), &signature).unwrap_err();
        assert_eq!(error.code(), Code::AttestationInvalid, "{wrong:?}");
    }
}

#[test]
fn i6_a_damaged_signature_and_another_scheme_are_refused() {
    let (identity, peer) = agent();
    let me = name();
    let bytes = claim(&[5; 32], &me).to_be_signed();
    let (scheme, signature) = sign(&identity, &bytes).unwrap();
    for length in 0..signature.len() {
        assert!(verify(&peer, scheme, &bytes, &signature[..length]).is_err(), "{length}");
    }
    for bit in 0..signature.len() * 8 {
        let mut flipped = signature.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&peer, scheme, &bytes, &flipped).is_err(), "bit {bit}");
    }
    // PKCS#1 v1.5 and SHA-1 schemes, another curve, and numbers that name nothing.
    for wrong in [0x0201, 0x0203, 0x0401, 0x0501, 0x0601, 0x0503, 0x0603, 0x0807, 0x0804, 0, 0xffff] {
        assert_eq!(
            verify(&peer, wrong, &bytes, &signature).unwrap_err().code(),
            Code::AttestationInvalid,
            "{wrong:#x}"
        );
    }
    let (_, stranger) = agent();
    assert!(verify(&stranger, scheme, &bytes, &signature).is_err());
}

#[test]
fn no_two_claims_have_the_same_bytes() {
    let (short, long) = (Name::parse("a").unwrap(), Name::parse("aa").unwrap());
    let one = Claim { group: "Ga", ..claim(&[], &short) }.to_be_signed();
    let two = Claim { group: "G", ..claim(&[], &long) }.to_be_signed();
    assert_ne!(one, two);
    assert!(one.starts_with(b"farpost attestation 1\0\0\0\0\x02Ga\0\0\0\0\0\0\0\x20"));
    assert_eq!(one.len(), 22 + 8 * 4 + 2 + 32 + 1 + 4 * 8);
}

#[test]
fn a_challenge_depends_on_secret_group_and_period_and_is_the_same_on_every_server() {
    let base = challenge_of_period(&[1; 32], "CORP", 9);
    assert_eq!(base, challenge_of_period(&[1; 32], "CORP", 9));
    for other in [
        challenge_of_period(&[2; 32], "CORP", 9),
        challenge_of_period(&[1; 32], "CORQ", 9),
        challenge_of_period(&[1; 32], "CORP", 10),
    ] {
        assert_ne!(base, other);
    }
}
