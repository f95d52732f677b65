//! Identities and addresses of a lab: every process issues its own from the lab's CA.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

use farpost::{Identity, IdentityPolicy, Name, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

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
    lists: Vec<Vec<u8>>,
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
        let keep = |file: &str, text: String| std::fs::write(directory.join(file), text).expect("a file of the lab");
        keep("ca.pem", certificate.pem());
        keep("ca.key", key.serialize_pem());

        let root = Issuer::from_params(&params, &key);
        let issuing_key = KeyPair::generate().expect("a key");
        let mut below = params.clone();
        below.distinguished_name = named("Bench Issuing CA");
        let issuing = below.signed_by(&issuing_key, &root).expect("an intermediate CA");
        keep("issuing.pem", issuing.pem());
        keep("issuing.key", issuing_key.serialize_pem());
        keep("ca.crl", revocation_list(&root));
        keep("issuing.crl", revocation_list(&Issuer::from_params(&below, &issuing_key)));
    }

    /// What the crowd's agents are issued by.
    pub(crate) fn issuing(directory: &Path) -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).expect("a file of the lab");
        let (pem, key) = (read("issuing.pem"), KeyPair::from_pem(&read("issuing.key")).expect("the CA's key"));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("the CA's certificate");
        (Issuer::from_ca_cert_pem(&pem, key).expect("the CA"), der)
    }

    /// Opens the CA of a lab.
    pub(crate) fn open(directory: &Path) -> Self {
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).expect("a file of the lab");
        let (trust, key) = (read("ca.pem"), KeyPair::from_pem(&read("ca.key")).expect("the CA's key"));
        let issuer = Issuer::from_ca_cert_pem(&trust, key).expect("the CA");
        Self { issuer, trust, lists: Vec::new() }
    }

    /// The same; its identities have the revocation lists of both CAs.
    pub(crate) fn with_lists(mut self, directory: &Path) -> Self {
        let read = |file: &str| std::fs::read(directory.join(file)).expect("a file of the lab");
        self.lists = vec![read("ca.crl"), read("issuing.crl")];
        self
    }

    /// A certificate of this name and its key, PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        (node(name).signed_by(&key, &self.issuer).expect("a certificate").pem(), key)
    }

    /// The CA's certificate, PEM.
    pub(crate) fn trust(&self) -> &str {
        &self.trust
    }

    /// A new identity of this name: P-256, SAN, both enhanced key usages.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let (chain, key) = self.issue(name);
        let lists: Vec<&[u8]> = self.lists.iter().map(Vec::as_slice).collect();
        let (name, policy) = (Name::parse(name).expect("a name"), IdentityPolicy::default());
        let (key, trust) = (key.serialize_pem(), self.trust.as_bytes());
        let identity = Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust], &lists, policy, now());
        identity.unwrap_or_else(|report| panic!("the lab's own certificate: {report:?}"))
    }
}

/// A node's certificate: P-256, SAN, both enhanced key usages.
pub(crate) fn node(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Of a thousand certificates, none of them in use.
fn revocation_list(issuer: &Issuer<'_, &KeyPair>) -> String {
    let revoked = |serial: u64| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2021, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2021, 1, 1),
        next_update: date_time_ymd(2045, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: (1..=1_000).map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("a revocation list").pem().expect("its PEM")
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
