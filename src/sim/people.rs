//! The certificates of the simulation: one real, verified chain per name, made once, always the same bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SerialNumber, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::succession::{self, Succession};
use crate::identity::{ChainHash, IdentityPolicy, KeyHash, Trust, VerifiedPeer, verify_peer};
use crate::name::Name;
use crate::node::management_server::Chain;
use crate::sim::group::GROUP;
use crate::time::Timestamp;

/// Who exists.
pub(super) const SERVERS: [&str; 3] = ["ms1.corp.example", "ms2.corp.example", "ms3.corp.example"];
pub(super) const GATEWAYS: [&str; 2] = ["gw1.branch.example", "gw2.branch.example"];
/// The gateway behind the others, in the worlds that have one.
pub(super) const INNER: &str = "gw3.site.example";
pub(super) const AGENTS: [&str; 5] =
    ["pc1.branch.example", "pc2.branch.example", "pc3.branch.example", "pc4.branch.example", "pc5.corp.example"];

/// The wall clock at the origin of the virtual time: 40 s before a new period of the group's challenge.
pub(super) fn wall_at_origin() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_348_800 / 600 * 600 + 560)
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A name's verified chain of a generation; every fifth one has the same key again.
pub(super) fn peer_of(name: &Name, generation: u64) -> Arc<VerifiedPeer> {
    people()[&(name.clone(), generation % VERSIONS)].clone()
}

/// A stand-in for a signature that binds the bytes to the key as a real one does, and costs a hash.
pub(super) fn sign(signer: &VerifiedPeer, bytes: &[u8]) -> Bytes {
    let mut signed = signer.key_hash().0.to_vec();
    signed.extend_from_slice(bytes);
    Bytes::copy_from_slice(digest(&SHA256, &signed).as_ref())
}

/// What the shell answers to a check of an agent's chain, name and signature.
pub(super) fn verify(
    agent: &Name,
    chain: &Chain,
    claims: &[(KeyHash, Vec<u8>)],
    signature: &[u8],
) -> Result<(Arc<VerifiedPeer>, KeyHash), Error> {
    let peer = match chain {
        Chain::Verified(peer) => Some(peer.clone()),
        Chain::Der(chain) => {
            let hash = ChainHash::of(chain);
            people().values().find(|peer| peer.chain_hash() == hash).cloned()
        }
    };
    let invalid = || Error::new(Code::AttestationInvalid).subject(agent.as_str());
    let peer = peer.filter(|peer| peer.proves(agent)).ok_or_else(invalid)?;
    let signed = claims.iter().find(|(_, claim)| sign(&peer, claim)[..] == *signature);
    signed.map(|(key, _)| (peer.clone(), *key)).ok_or_else(invalid)
}

/// What a former certificate says of a newer one.
pub(super) fn vouch(former: &VerifiedPeer, newer: &VerifiedPeer, name: &Name) -> Succession {
    let bytes = succession::to_be_signed(GROUP, name, former.key_hash(), newer.key_hash());
    Succession {
        chain: former.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect(),
        not_after: former.not_after(),
        former_key: Some(former.key_hash()),
        new_key: newer.key_hash(),
        scheme: 0x0807,
        signature: sign(former, &bytes),
    }
}

/// What the shell answers to a check of such a statement.
pub(super) fn verify_succession(name: &Name, shown: &Succession) -> Result<Arc<VerifiedPeer>, Error> {
    let hash = ChainHash::of(&shown.chain);
    let former = people().values().find(|peer| peer.chain_hash() == hash).filter(|peer| peer.proves(name)).cloned();
    let invalid = || Error::new(Code::SuccessionInvalid).subject(name.as_str());
    let former = former.ok_or_else(invalid)?;
    let bytes = succession::to_be_signed(GROUP, name, former.key_hash(), shown.new_key);
    if sign(&former, &bytes) == shown.signature { Ok(former) } else { Err(invalid()) }
}

fn people() -> &'static BTreeMap<(Name, u64), Arc<VerifiedPeer>> {
    static PEOPLE: OnceLock<BTreeMap<(Name, u64), Arc<VerifiedPeer>>> = OnceLock::new();
    PEOPLE.get_or_init(|| {
        let authority_key = key(0);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        date(&mut authority, 0);
        let root = authority.self_signed(&authority_key).unwrap();
        let trust = Trust::from_pem(&[root.pem().as_bytes()], &[]).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let everybody = SERVERS.iter().chain(&GATEWAYS).chain(&AGENTS).chain(std::iter::once(&INNER));
        let everybody = everybody.flat_map(|text| (0..VERSIONS).map(move |version| (text, version)));
        let verified = everybody.enumerate().map(|(at, (text, version))| {
            let mut params = CertificateParams::new(vec![(*text).to_owned()]).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            date(&mut params, at as u64 + 1);
            let leaf = params.signed_by(&key(at as u8 + 1), &issuer).unwrap();
            let (chain, name) = ([leaf.der().clone()], name(text));
            let peer = verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name), wall_at_origin());
            ((name, version), Arc::new(peer.unwrap_or_else(|report| panic!("{text}: {report:?}"))))
        });
        verified.collect()
    })
}

/// Certificates of one name.
const VERSIONS: u64 = 5;

fn date(params: &mut CertificateParams, serial: u64) {
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.serial_number = Some(SerialNumber::from(serial + 1));
}

/// An Ed25519 key of a fixed seed (PKCS#8, RFC 8410): its signatures, and so all lengths, are the same in every run.
pub(super) fn pkcs8(seed: u8) -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(&[seed.wrapping_add(1); 32]);
    der
}

fn key(seed: u8) -> KeyPair {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8(seed)), &PKCS_ED25519).unwrap()
}
