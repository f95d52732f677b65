//! How a gateway's former key vouches for its new one (rule I5): agents that attested to the former key stay.
//!
//! A gateway that renews its key keeps the links of its agents, whose attestations name the key that they saw. The
//! former key signs that the new one takes its place; the management server, to whom the new key is proven by TLS,
//! then believes attestations that name either.

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::{Identity, KeyHash, VerifiedPeer, attestation};
use crate::name::Name;
use crate::time::Timestamp;

/// A statement of a former key, as it is shown to a management server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Succession {
    /// The former chain, leaf first.
    pub(crate) chain: Vec<Bytes>,
    /// When it ends: then nobody believes it any more.
    pub(crate) not_after: Timestamp,
    /// The key that vouches; what was shown to a server does not say it.
    pub(crate) former_key: Option<KeyHash>,
    /// The key that takes its place.
    pub(crate) new_key: KeyHash,
    /// TLS SignatureScheme.
    pub(crate) scheme: u16,
    pub(crate) signature: Bytes,
}

/// The statement of `former` that the key of `newer` takes its place. May take as long as a key service takes to sign.
///
/// # Errors
///
/// As [`attestation::sign`].
pub(crate) fn vouch(former: &Identity, newer: &Identity, group: &str) -> Result<Succession, Error> {
    let new_key = newer.key_hash();
    let bytes = to_be_signed(group, former.name(), former.key_hash(), new_key);
    let (scheme, signature) = attestation::sign(former, &bytes)?;
    let chain = former.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect();
    let former_key = Some(former.key_hash());
    Ok(Succession { chain, not_after: former.not_after(), former_key, new_key, scheme, signature })
}

/// Checks a statement: the former chain is good now by the judgement of `identity`, for the same name, and its key
/// signed.
///
/// # Errors
///
/// What is wrong with the chain, or [`Code::SuccessionInvalid`].
pub(crate) fn verify(
    identity: &Identity,
    shown: &Succession,
    name: &Name,
    group: &str,
    at: Timestamp,
) -> Result<VerifiedPeer, Error> {
    let chain: Vec<CertificateDer<'_>> = shown.chain.iter().map(|der| CertificateDer::from(&der[..])).collect();
    let former = identity.verify(&chain, Some(name), at)?;
    let bytes = to_be_signed(group, name, former.key_hash(), shown.new_key);
    attestation::verify(&former, shown.scheme, &bytes, &shown.signature)
        .map_err(|error| Error::new(Code::SuccessionInvalid).found(error.found_text()))?;
    Ok(former)
}

/// Checks what a node says of its next key with the one that it proves now.
///
/// # Errors
///
/// [`Code::SuccessionInvalid`].
pub(crate) fn verify_next(
    present: &VerifiedPeer,
    (next, name, group): (KeyHash, &Name, &str),
    (scheme, signature): (u16, &[u8]),
) -> Result<(), Error> {
    let bytes = to_be_signed(group, name, present.key_hash(), next);
    attestation::verify(present, scheme, &bytes, signature)
        .map_err(|error| Error::new(Code::SuccessionInvalid).found(error.found_text()))
}

/// The bytes that are signed; the fields are those of an attestation, the context is its own.
pub(crate) fn to_be_signed(group: &str, name: &Name, former_key: KeyHash, new_key: KeyHash) -> Vec<u8> {
    let mut out = CONTEXT.to_vec();
    for field in [group.as_bytes(), name.as_str().as_bytes(), &former_key.0, &new_key.0] {
        attestation::put_field(&mut out, field);
    }
    out
}

const CONTEXT: &[u8] = b"farpost succession 1\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityPolicy;
    use crate::identity::testing::{Issued, NAME, name, now};

    fn identities() -> (Issued, Identity, Identity) {
        let root = Issued::root(|_| ());
        let [former, newer] =
            [(); 2].map(|()| root.leaf(|_| ()).identity(&root, &[], IdentityPolicy::default()).unwrap());
        (root, former, newer)
    }

    #[test]
    fn i5_a_former_key_vouches_for_one_new_key_of_one_name_in_one_group() {
        let (root, former, newer) = identities();
        let shown = vouch(&former, &newer, "CORP").unwrap();
        let judge = |shown: &Succession, name: &Name, group: &str| {
            verify(&newer, shown, name, group, now()).map(|peer| peer.key_hash()).map_err(|error| error.code())
        };
        assert_eq!(judge(&shown, &name(), "CORP"), Ok(former.key_hash()));
        assert_eq!(judge(&shown, &name(), "corp"), Err(Code::SuccessionInvalid));
        let elsewhere = Succession { new_key: KeyHash([7; 32]), ..shown.clone() };
        assert_eq!(judge(&elsewhere, &name(), "CORP"), Err(Code::SuccessionInvalid));
        assert_eq!(judge(&shown, &Name::parse("gw1.branch.example").unwrap(), "CORP"), Err(Code::NameMismatch));
        for bit in 0..shown.signature.len() * 8 {
            let mut signature = shown.signature.to_vec();
            signature[bit / 8] ^= 1 << (bit % 8);
            let forged = Succession { signature: signature.into(), ..shown.clone() };
            assert_eq!(judge(&forged, &name(), "CORP"), Err(Code::SuccessionInvalid), "bit {bit}");
        }
        let another = root.leaf_of(NAME, |_| ()).identity(&root, &[], IdentityPolicy::default()).unwrap();
        let chain = another.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect();
        assert_eq!(judge(&Succession { chain, ..shown.clone() }, &name(), "CORP"), Err(Code::SuccessionInvalid));
        let after = Timestamp::from_unix_seconds(shown.not_after.unix_seconds() + 1);
        let expired = verify(&newer, &shown, &name(), "CORP", after).map_err(|error| error.code());
        assert_eq!(expired.map(drop), Err(Code::CertificateExpired));
    }

    #[test]
    fn i5_g1_a_key_that_is_proven_vouches_for_the_next_one_of_its_name_in_its_group() {
        let (_, present, next) = identities();
        let said = vouch(&present, &next, "CORP").unwrap();
        let judge = |peer: &VerifiedPeer, key: KeyHash, group: &str| {
            verify_next(peer, (key, &name(), group), (said.scheme, &said.signature)).map_err(|error| error.code())
        };
        assert_eq!(judge(present.own(), next.key_hash(), "CORP"), Ok(()));
        for forged in [
            judge(present.own(), KeyHash([7; 32]), "CORP"),
            judge(present.own(), next.key_hash(), "corp"),
            judge(next.own(), next.key_hash(), "CORP"),
        ] {
            assert_eq!(forged, Err(Code::SuccessionInvalid));
        }
    }

    #[test]
    fn i5_a_revoked_former_key_vouches_for_nothing() {
        let root = Issued::root(|_| ());
        let old = root.leaf(|_| ());
        let former = old.identity(&root, &[], IdentityPolicy::default()).unwrap();
        let list = root.list(1, &[&old], |_| ());
        let newer = root.leaf(|_| ()).identity(&root, &[&list], IdentityPolicy::default()).unwrap();
        let shown = vouch(&former, &newer, "CORP").unwrap();
        let revoked = verify(&newer, &shown, &name(), "CORP", now()).map_err(|error| error.code());
        assert_eq!(revoked.map(drop), Err(Code::CertificateRevoked));
    }
}
