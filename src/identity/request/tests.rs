use rcgen::{CustomExtension, IsCa, KeyUsagePurpose, SanType};

use super::*;
use crate::identity::testing::{NAME, distinguished_name, name, openssl};

fn made(kind: KeyKind) -> (CertificateRequest, Zeroizing<Vec<u8>>) {
    CertificateRequest::make(&name(), kind, true).unwrap()
}

/// A request that says what `spoil` makes of a good one.
fn spoilt(spoil: impl FnOnce(&mut CertificateParams)) -> Result<CertificateRequest> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.distinguished_name = distinguished_name(NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    spoil(&mut params);
    let made = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    CertificateRequest::parse(made.der())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.to_owned().try_into().unwrap())
}

#[test]
fn every_kind_of_key_makes_a_request_that_reads_back_with_its_name_and_its_key() {
    assert_eq!(
        KeyKind::parse("rsa1024").unwrap_err().expected_text(),
        "p256, p384, rsa2048, rsa3072, rsa4096, ed25519"
    );
    for kind in KeyKind::ALL {
        assert_eq!(KeyKind::parse(kind.as_str()).unwrap(), kind);
        let (request, key) = made(kind);
        let again = CertificateRequest::from_pem(request.to_pem().as_bytes()).unwrap();
        assert_eq!((&again, again.name()), (&request, &name()), "{kind}");
        let of_certreq =
            request.to_pem().replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST").replace('\n', "\r\n");
        assert_eq!(CertificateRequest::from_pem(of_certreq.as_bytes()).unwrap(), request, "{kind}");
        let loaded = rustls::crypto::aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(rustls::pki_types::PrivateKeyDer::Pkcs8(key.to_vec().into()))
            .unwrap();
        assert_eq!(KeyHash::of(&loaded.public_key().unwrap()), request.key_hash(), "{kind}");
        assert_eq!(request.key_kind().replace("ECDSA P-", "p").replace("RSA ", "rsa").to_lowercase(), kind.as_str());
    }
}

#[test]
fn openssl_verifies_every_request_and_reads_every_key() {
    let directory = tempfile::tempdir().unwrap();
    for kind in KeyKind::ALL {
        let (request, key) = made(kind);
        std::fs::write(directory.path().join("pc7.csr"), request.to_pem()).unwrap();
        std::fs::write(directory.path().join("pc7.key"), crate::identity::pem::encode("PRIVATE KEY", &key)).unwrap();
        let Some(output) = openssl(directory.path(), "req -in pc7.csr -verify -noout -text") else { return };
        let told = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert!(output.status.success() && told.to_lowercase().contains("verify ok"), "{kind}: {told}");
        let encipherment = if kind.as_str().starts_with("rsa") { ", Key Encipherment" } else { "" };
        for expected in [
            "CN = pc7.branch.example",
            "DNS:pc7.branch.example",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            &format!("Digital Signature{encipherment}\n"),
        ] {
            let (told, expected) = (told.replace("CN=", "CN = "), expected.to_owned());
            assert!(told.contains(&expected), "{kind}: {expected} is not in {told}");
        }
        let output = openssl(directory.path(), "pkey -in pc7.key -check -noout").unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_openssl_requests_is_accepted_and_its_sha_1_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let request = |arguments: &str| -> Option<Result<CertificateRequest>> {
        let arguments = format!("req -new -nodes -keyout pc7.key -out pc7.csr -subj /CN={NAME} {arguments}");
        let output = openssl(directory.path(), &arguments)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(CertificateRequest::from_pem(&std::fs::read(directory.path().join("pc7.csr")).unwrap()))
    };
    let san = format!("-addext subjectAltName=DNS:{NAME}");
    for key in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-521", "ed25519"] {
        let Some(answer) = request(&format!("-newkey {key} {san}")) else { return };
        assert_eq!(answer.unwrap().name(), &name(), "{key}");
    }
    let full = format!(
        "-newkey rsa:3072 {san} -addext extendedKeyUsage=serverAuth,clientAuth -addext keyUsage=digitalSignature"
    );
    request(&full).unwrap().unwrap();
    for (arguments, code) in [
        ("-newkey rsa:2048".to_owned(), Code::SanMissing),
        (format!("-newkey rsa:2048 {san} -sha1"), Code::SignatureAlgorithmWeak),
        (format!("-newkey rsa:1024 {san}"), Code::KeyUnsupported),
        (format!("-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 {san}"), Code::KeyUnsupported),
        (format!("-newkey rsa:2048 {san},DNS:ms1.corp.example"), Code::SanMissing),
        (format!("-newkey rsa:2048 {san} -addext basicConstraints=CA:TRUE"), Code::CertificateIsCa),
        (
            format!(
                "-newkey rsa:2048 {san} -addext basicConstraints=critical,CA:FALSE -addext 1.2.3.4=critical,DER:0500"
            ),
            Code::RequestUnusable,
        ),
    ] {
        assert_eq!(request(&arguments).unwrap().unwrap_err().code(), code, "{arguments}");
    }
}

#[test]
fn a_request_that_asks_for_more_than_one_node_needs_is_refused() {
    let no_constraint = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    assert!(spoilt(no_constraint).is_ok());
    type Spoil = fn(&mut CertificateParams);
    let table: [(&str, Spoil, Code); 15] = [
        ("no name", |params| params.subject_alt_names.clear(), Code::SanMissing),
        ("two names", |params| params.subject_alt_names.push(dns("ms1.corp.example")), Code::SanMissing),
        ("its name twice", |params| params.subject_alt_names.push(dns(NAME)), Code::SanMissing),
        (
            "an address beside the name",
            |params| params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into())),
            Code::SanMissing,
        ),
        (
            "a mail address instead",
            |params| params.subject_alt_names = vec![SanType::Rfc822Name("a@b.example".try_into().unwrap())],
            Code::SanMissing,
        ),
        ("a wildcard", |params| params.subject_alt_names = vec![dns("*.branch.example")], Code::WildcardName),
        ("no name at all", |params| params.subject_alt_names = vec![dns("../pc7")], Code::NameUnreadable),
        (
            "an absolute name",
            |params| params.subject_alt_names = vec![dns("pc7.branch.example.")],
            Code::NameUnreadable,
        ),
        ("an address as a name", |params| params.subject_alt_names = vec![dns("10.0.0.1")], Code::NameUnreadable),
        (
            "another common name",
            |params| params.distinguished_name = distinguished_name("ms1.corp.example"),
            Code::CommonNameNotInSan,
        ),
        (
            "its common name twice",
            |params| params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), NAME),
            Code::CommonNameNotInSan,
        ),
        ("a CA", |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained), Code::CertificateIsCa),
        ("to sign", |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign), Code::CertificateIsCa),
        (
            "one purpose",
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Code::EkuIncomplete,
        ),
        (
            "a critical demand that nobody knows",
            |params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions = vec![extension];
            },
            Code::RequestUnusable,
        ),
    ];
    for (what, spoil, code) in table {
        let error = spoilt(spoil).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
        assert!(!error.found_text().is_empty() && !error.expected_text().is_empty(), "{what}: {error}");
    }
}

#[test]
fn an_extension_that_comes_twice_is_refused() {
    let again = spoilt(|params| {
        let name = b"\x30\x12\x82\x10ms1.corp.example".to_vec();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], name)];
    });
    assert_eq!(again.unwrap_err().code(), Code::RequestUnusable);
}

#[test]
fn attributes_in_which_a_second_name_could_hide_are_refused() {
    let attribute = |oid: &'static [u64], values: &[u8]| {
        let params = CertificateParams::new(vec![NAME.to_owned()]).map(|mut params| {
            params.distinguished_name = distinguished_name(NAME);
            params
        });
        let attribute = rcgen::Attribute { oid, values: values.to_vec() };
        let request = params.unwrap().serialize_request_with_attributes(&KeyPair::generate().unwrap(), vec![attribute]);
        CertificateRequest::parse(request.unwrap().der()).map(|_| ()).map_err(|error| error.code())
    };
    let text = b"\x31\x05\x0c\x03abc";
    assert_eq!(attribute(&[1, 2, 840, 113549, 1, 9, 7], text), Ok(()), "challengePassword");
    // What certreq says of Windows, of itself and of the key's provider.
    for oid in
        [&[1, 3, 6, 1, 4, 1, 311, 13, 2, 3][..], &[1, 3, 6, 1, 4, 1, 311, 21, 20], &[1, 3, 6, 1, 4, 1, 311, 13, 2, 2]]
    {
        assert_eq!(attribute(oid, text), Ok(()), "{oid:?}");
    }
    // Name-value pairs and Microsoft's own list of extensions; the common list a second time.
    for oid in [&[1, 3, 6, 1, 4, 1, 311, 13, 2, 1][..], &[1, 3, 6, 1, 4, 1, 311, 2, 1, 14]] {
        assert_eq!(attribute(oid, text), Err(Code::RequestUnusable), "{oid:?}");
    }
    let name = b"\x31\x1f\x30\x1d\x30\x1b\x06\x03\x55\x1d\x11\x04\x14\x30\x12\x82\x10ms1.corp.example";
    assert_eq!(attribute(&[1, 2, 840, 113549, 1, 9, 14], name), Err(Code::RequestUnusable), "two lists");
    let two_values = b"\x31\x0a\x0c\x03abc\x0c\x03abc";
    assert_eq!(attribute(&[1, 2, 840, 113549, 1, 9, 7], two_values), Err(Code::RequestUnusable), "two values");
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_request_is_refused() {
    let (request, _) = made(KeyKind::P256);
    let der = request.der();
    for length in 0..der.len() {
        assert!(CertificateRequest::parse(&der[..length]).is_err(), "{length} bytes");
    }
    assert!(CertificateRequest::parse(&[der, b"x"].concat()).is_err(), "a byte more");
    for bit in 0..der.len() * 8 {
        let mut flipped = der.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(CertificateRequest::parse(&flipped).is_err(), "bit {bit} of {der:02x?}");
    }
}

#[test]
fn a_request_above_the_bound_is_refused_before_it_is_parsed() {
    let error = CertificateRequest::parse(&vec![0x30; REQUEST_BYTES_MAX + 1]).unwrap_err();
    assert_eq!((error.code(), error.found_text()), (Code::RequestUnusable, "8193 bytes"));
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned() + &"AAAA\n".repeat(1 << 20);
    assert_eq!(CertificateRequest::from_pem(pem.as_bytes()).unwrap_err().code(), Code::RequestUnusable);
}

#[test]
fn a_name_that_no_common_name_can_hold_is_requested_without_one() {
    let long = Name::parse(&format!("{}.branch.example", "a".repeat(60))).unwrap();
    let error = CertificateRequest::make(&long, KeyKind::P256, true).unwrap_err();
    assert_eq!(error.code(), Code::CommonNameNotInSan);
    assert_eq!(CertificateRequest::make(&long, KeyKind::P256, false).unwrap().0.name(), &long);
}

#[test]
fn a_request_shows_neither_its_bytes_nor_a_key_in_debug() {
    let (request, _) = made(KeyKind::P256);
    let text = format!("CertificateRequest({NAME}, ECDSA P-256, key {})", request.key_fingerprint());
    assert_eq!(format!("{request:?}"), text);
}
