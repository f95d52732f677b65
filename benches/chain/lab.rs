//! Identities and addresses of a lab: every process issues its own from the lab's CA.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

use farpost::{Identity, IdentityPolicy, Name, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The management group of the lab.
pub(crate) const GROUP: &str = "BENCH";
/// The management server's name.
pub(crate) const SERVER: &str = "ms1.bench.example";
/// Where everything listens.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The lab's CA, in a directory that all its processes share.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    trust: String,
}

impl Authority {
    /// Makes the CA of a lab.
    pub(crate) fn create(directory: &Path) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Bench CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a CA");
        std::fs::write(directory.join("ca.pem"), certificate.pem()).expect("a file in the lab's directory");
        std::fs::write(directory.join("ca.key"), key.serialize_pem()).expect("a file in the lab's directory");
    }

    /// Opens the CA of a lab.
    pub(crate) fn open(directory: &Path) -> Self {
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).expect("a file of the lab");
        let (trust, key) = (read("ca.pem"), KeyPair::from_pem(&read("ca.key")).expect("the CA's key"));
        let issuer = Issuer::from_ca_cert_pem(&trust, key).expect("the CA");
        Self { issuer, trust }
    }

    /// A new identity of this name: P-256, SAN, both enhanced key usages.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name = named(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (name, policy) = (Name::parse(name).expect("a name"), IdentityPolicy::default());
        let (chain, key, trust) = (certificate.pem(), key.serialize_pem(), self.trust.as_bytes());
        let identity = Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust], &[], policy, now());
        identity.unwrap_or_else(|report| panic!("the lab's own certificate: {report:?}"))
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).expect("a clock before the end of time"))
}
