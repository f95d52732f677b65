use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, CustomExtension, KeyPair, SubjectPublicKeyInfo};
use tempfile::TempDir;

use super::*;
use crate::identity::testing::{Issued, NAME, name, openssl};
use crate::identity::{IdentityPolicy, KeyKind, Trust, verify_peer};
use crate::session::clock;

mod hand_off;

const DAY: Duration = Duration::from_secs(86_400);

fn request(kind: KeyKind) -> CertificateRequest {
    CertificateRequest::make(&name(), kind, true).unwrap().0
}

fn order(request: &CertificateRequest) -> Order {
    Order::new(request.clone(), Role::Agent, None, Reason::Enrolment)
}

fn authority(directory: &TempDir) -> LocalAuthority {
    LocalAuthority::make(directory.path(), "Lab CA", 365 * DAY).unwrap();
    LocalAuthority::open(directory.path(), 90 * DAY).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

/// The chain's check by a peer that trusts the authority.
fn verify(authority: &LocalAuthority, chain: &[CertificateDer<'static>]) {
    let anchor = fs::read(authority.certificate_file()).unwrap();
    let trust = Trust::from_pem(&[&anchor], &[]).unwrap();
    verify_peer(&trust, &IdentityPolicy::default(), chain, Some(&name()), clock::wall()).unwrap();
}

#[tokio::test]
async fn i2_what_the_local_authority_issues_passes_its_nodes_own_check_for_every_kind_of_key() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(&directory);
    for kind in KeyKind::ALL {
        let request = request(kind);
        let Issuance::Issued(chain) = authority.issue(order(&request)).await.unwrap() else { panic!("pending") };
        verify(&authority, &chain);
        assert_eq!(request.check_answer(&chain, clock::wall()).unwrap(), chain, "{kind}");
    }
}

#[tokio::test]
async fn a_request_that_is_shown_again_gets_the_certificate_that_it_has_while_that_one_serves() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(&directory);
    let request = request(KeyKind::P256);
    let ask = async |reason| {
        let order = Order::new(request.clone(), Role::Agent, None, reason);
        match authority.issue(order).await.unwrap() {
            Issuance::Issued(chain) => chain[0].clone(),
            Issuance::Pending { .. } => panic!("pending"),
        }
    };
    let serial = |der: &CertificateDer<'_>| {
        let (_, leaf) = x509_parser::parse_x509_certificate(der).unwrap();
        (leaf.raw_serial_as_string().replace(':', ""), leaf.validity().not_after.timestamp())
    };
    let first = ask(Reason::Enrolment).await;
    for _ in 0..3 {
        assert_eq!(ask(Reason::Enrolment).await, first);
    }
    let ends = |seconds| Reason::Renewal { current_not_after: Timestamp::from_unix_seconds(seconds) };
    assert_eq!(ask(ends(serial(&first).1 - 1)).await, first, "the answer to this renewal was lost");
    let renewed = ask(ends(serial(&first).1)).await;
    assert_ne!(renewed, first, "the first one is what is to be replaced");
    authority.revoke(&serial(&renewed).0).unwrap();
    let after_revocation = ask(Reason::Enrolment).await;
    assert_ne!(after_revocation, renewed);
    // Another key of the authority: what the old one signed serves nobody.
    let other = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    fs::write(directory.path().join("ca.pem"), params.self_signed(&other).unwrap().pem()).unwrap();
    fs::write(directory.path().join("ca.key"), other.serialize_pem()).unwrap();
    assert_ne!(ask(Reason::Enrolment).await, after_revocation);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["issued"].as_array().unwrap().len(), 4);
}

#[test]
fn what_ended_long_ago_is_forgotten_and_an_index_of_an_older_release_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(&directory);
    let now = clock::wall().unix_seconds();
    let entry = |serial: &str, days_ago: i64| {
        let until = now - days_ago * 86_400;
        format!("{{\"serial\":\"{serial}\",\"name\":\"{NAME}\",\"until\":{until},\"revoked\":null}}")
    };
    let text = format!("{{\"crl_number\":3,\"issued\":[{},{}]}}", entry("0a", 29), entry("0b", 31));
    fs::write(directory.path().join("index.json"), text).unwrap();
    authority.revoke("0b").unwrap();
    authority.sign(&request(KeyKind::P256), &[]).unwrap();
    authority.revoke("0a").unwrap();
    assert_eq!(code(authority.revoke("0b")), Code::CertificateMissing);
    assert_eq!(authority.write_crl(DAY).unwrap(), 4);
}

#[test]
fn openssl_verifies_what_the_local_authority_issues() {
    let directory = tempfile::tempdir().unwrap();
    let signed = authority(&directory).sign(&request(KeyKind::P384), &[]).unwrap();
    fs::write(directory.path().join("pc7.pem"), signed.to_pem()).unwrap();
    let arguments = format!("verify -CAfile ca.pem -x509_strict -purpose sslserver -verify_hostname {NAME} pc7.pem");
    let Some(output) = openssl(directory.path(), &arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn of_a_request_only_the_name_and_the_key_are_signed() {
    let directory = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Domain Admins");
    let template = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 311, 20, 2], b"\x0c\x02CA".to_vec());
    params.custom_extensions = vec![template];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature, rcgen::KeyUsagePurpose::ContentCommitment];
    let made = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let signed = authority(&directory).sign(&CertificateRequest::parse(made.der()).unwrap(), &[]).unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), format!("CN={NAME}"));
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.to_string(), "Digital Signature");
    let oids: Vec<_> = leaf.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    assert_eq!(oids, ["2.5.29.35", "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.19"]);
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    LocalAuthority::make(directory.path(), "Lab CA", 30 * DAY).unwrap();
    let ends = |valid_for| {
        let authority = LocalAuthority::open(directory.path(), valid_for).unwrap();
        let not_after = authority.sign(&request(KeyKind::P256), &[]).unwrap().not_after;
        (not_after.unix_seconds() - clock::wall().unix_seconds() + 60) / 86_400
    };
    assert_eq!((ends(10 * DAY), ends(90 * DAY), ends(Duration::MAX)), (10, 30, 30));
}

#[test]
fn processes_that_sign_at_once_lose_no_serial() {
    let directory = tempfile::tempdir().unwrap();
    authority(&directory);
    let request = request(KeyKind::P256);
    let mut serials: Vec<String> = std::thread::scope(|scope| {
        let sign = || {
            let authority = LocalAuthority::open(directory.path(), DAY).unwrap();
            (0..5).map(|_| authority.sign(&request, &[]).unwrap().serial).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(sign)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join("index.json")).unwrap()).unwrap();
    let issued = index["issued"].as_array().unwrap();
    let mut written: Vec<String> = issued.iter().map(|one| one["serial"].as_str().unwrap().to_owned()).collect();
    written.sort();
    serials.sort();
    serials.dedup();
    assert_eq!((serials.len(), &serials), (20, &written));
}

#[test]
fn a_lock_that_is_kept_is_told_and_not_waited_for_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let held = local::lock(directory.path(), Duration::ZERO).unwrap();
    let error = local::lock(directory.path(), Duration::ZERO).unwrap_err();
    assert!(error.code() == Code::TimedOut && error.is_retriable(), "{error}");
    drop(held);
    local::lock(directory.path(), Duration::ZERO).unwrap();
}

#[test]
fn an_intermediate_authority_sends_its_own_certificate_along() {
    let directory = tempfile::tempdir().unwrap();
    let longer = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    let root = Issued::root(longer);
    let intermediate = root.intermediate("issuing", longer);
    authority(&directory);
    fs::write(directory.path().join("ca.pem"), intermediate.pem() + &root.pem()).unwrap();
    fs::write(directory.path().join("ca.key"), intermediate.key_pem()).unwrap();
    let signed = LocalAuthority::open(directory.path(), DAY).unwrap().sign(&request(KeyKind::P256), &[]).unwrap();
    assert_eq!(signed.chain[1..], [intermediate.der()]);
    let trust = root.trust(&[]).unwrap();
    verify_peer(&trust, &IdentityPolicy::default(), &signed.chain, Some(&name()), clock::wall()).unwrap();
}

#[test]
fn h13_an_authority_that_cannot_be_used_is_told_when_it_is_opened() {
    let open = |spoil: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        authority(&directory);
        spoil(directory.path());
        code(LocalAuthority::open(directory.path(), DAY))
    };
    let key = |at: &Path| at.join("ca.key");
    assert_eq!(open(&|at| fs::remove_file(key(at)).unwrap()), Code::FileMissing);
    assert_eq!(open(&|at| fs::set_permissions(key(at), Permissions::from_mode(0o640)).unwrap()), Code::KeyExposed);
    assert_eq!(open(&|at| fs::write(key(at), "x").unwrap()), Code::KeyUnreadable);
    assert_eq!(
        open(&|at| fs::write(key(at), KeyPair::generate().unwrap().serialize_pem()).unwrap()),
        Code::KeyMismatch
    );
    assert_eq!(open(&|at| fs::write(at.join("index.json"), "{").unwrap()), Code::FileUnreadable);
    assert_eq!(open(&|at| fs::write(at.join("ca.pem"), "x").unwrap()), Code::CertificateUnreadable);
    let leaf = Issued::root(|_| ()).leaf(|_| ());
    assert_eq!(open(&|at| fs::write(at.join("ca.pem"), leaf.pem()).unwrap()), Code::TrustUnusable);
    let directory = tempfile::tempdir().unwrap();
    LocalAuthority::make(directory.path(), "Lab CA", Duration::ZERO).unwrap();
    assert_eq!(code(LocalAuthority::open(directory.path(), DAY)), Code::CertificateExpired);
}

#[tokio::test]
async fn a_configuration_names_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = crate::config::Config::new(Role::ManagementServer);
    assert!(of_settings(config.authority.clone()).await.unwrap().is_none());
    config.set("authority.kind", "local").unwrap();
    let open = |config: &crate::config::Config| of_settings(config.authority.clone());
    assert_eq!(open(&config).await.err().unwrap().code(), Code::ConfigMissingKey);
    config.set("authority.directory", &directory.path().display().to_string()).unwrap();
    assert_eq!(open(&config).await.err().unwrap().code(), Code::FileMissing);
    authority(&directory);
    let opened = open(&config).await.unwrap().unwrap();
    assert!(matches!(opened.issue(order(&request(KeyKind::P256))).await, Ok(Issuance::Issued(_))));
    config.set("authority.kind", "hand-off").unwrap();
    let opened = open(&config).await.unwrap().unwrap();
    assert!(matches!(opened.issue(order(&request(KeyKind::P256))).await, Ok(Issuance::Pending { .. })));
}
