//! Every way in which a certificate can be bad, alone and together (rules I2 and I3).

mod lists;
mod paths;
mod proofs;
mod secrets;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use crate::code::Code;
use crate::identity::testing::{Issued, NAME, distinguished_name, name, now, openssl};
use crate::identity::{Identity, IdentityPolicy, NameRule, Report, Trust, check_certificate, verify_peer};
use crate::name::Name;

fn codes(report: &Report) -> Vec<Code> {
    report.findings().iter().map(crate::error::Error::code).collect()
}

/// What a peer that trusts the root finds about this chain.
fn verdict(root: &Issued, chain: &[&Issued], policy: IdentityPolicy) -> Vec<Code> {
    let chain: Vec<_> = chain.iter().map(|one| one.der()).collect();
    match root.trust(&[]) {
        Err(report) => codes(&report),
        Ok(trust) => match verify_peer(&trust, &policy, &chain, Some(&name()), now()) {
            Ok(_) => Vec::new(),
            Err(report) => {
                // Rule I3: each says something.
                assert!(report.findings().iter().all(|finding| !finding.found_text().is_empty()), "{report}");
                codes(&report)
            }
        },
    }
}

#[test]
fn a_good_chain_proves_its_names_and_nothing_else() {
    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |params| params.not_after = date_time_ymd(2026, 8, 1));
    let leaf =
        issuing.leaf(|params| params.subject_alt_names.push(SanType::DnsName("second.example".try_into().unwrap())));
    let trust = root.trust(&[]).unwrap();
    let chain = [leaf.der(), issuing.der()];
    let peer = verify_peer(&trust, &IdentityPolicy::default(), &chain, None, now()).unwrap();
    assert!(peer.proves(&name()) && peer.proves(&Name::parse("Second.Example").unwrap()));
    assert!(!peer.proves(&Name::parse("branch.example").unwrap()));
    assert_eq!(peer.not_after().unix_seconds(), date_time_ymd(2026, 8, 1).unix_timestamp());
    assert_eq!(&peer.chain()[..], &chain[..]);
}

#[test]
fn i2_each_fault_alone_has_its_own_code() {
    type Spoil = fn(&mut CertificateParams);
    let cases: &[(&str, Spoil, Code)] = &[
        ("expired", |p| p.not_after = date_time_ymd(2026, 2, 1), Code::CertificateExpired),
        ("not yet valid", |p| p.not_before = date_time_ymd(2026, 12, 1), Code::CertificateNotYetValid),
        ("no EKU", |p| p.extended_key_usages.clear(), Code::EkuMissing),
        ("server only", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], Code::EkuIncomplete),
        ("client only", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], Code::EkuIncomplete),
        ("any", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], Code::EkuIncomplete),
        ("encipherment only", |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment], Code::KeyUsageWrong),
        ("list signer only", |p| p.key_usages = vec![KeyUsagePurpose::CrlSign], Code::KeyUsageWrong),
        (
            "no use at all",
            |p| {
                p.key_usages.clear();
                p.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0]));
            },
            Code::KeyUsageWrong,
        ),
        ("no SAN", |p| p.subject_alt_names.clear(), Code::SanMissing),
        ("address only", |p| p.subject_alt_names = vec![SanType::IpAddress([10, 0, 0, 7].into())], Code::SanMissing),
        (
            "common name of another",
            |p| p.distinguished_name = distinguished_name("pc8.branch.example"),
            Code::CommonNameNotInSan,
        ),
        (
            "second common name",
            |p| p.distinguished_name.push(DnType::OrganizationName, "x"),
            Code::Approved, // replaced below: an organisation is no fault
        ),
    ];
    let root = Issued::root(|_| {});
    for (label, spoil, code) in cases {
        let leaf = root.leaf(*spoil);
        let found = verdict(&root, &[&leaf], IdentityPolicy::default());
        let expected = if *code == Code::Approved { Vec::new() } else { vec![*code] };
        // Without a name nothing proves the expected one either.
        let found: Vec<_> = found.into_iter().filter(|code| *code != Code::NameMismatch).collect();
        assert_eq!(found, expected, "{label}");
    }
}

#[test]
fn i2_wildcards_never_stand_in_for_a_name() {
    let root = Issued::root(|_| {});
    for names in [vec!["*.branch.example"], vec![NAME, "*.branch.example"], vec!["pc*.branch.example"]] {
        let leaf = root.leaf(|params| {
            params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        });
        assert!(verdict(&root, &[&leaf], IdentityPolicy::default()).contains(&Code::WildcardName), "{names:?}");
    }
}

#[test]
fn i2_another_name_is_refused_where_one_is_expected() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf_of("pc8.branch.example", |_| {});
    assert_eq!(verdict(&root, &[&leaf], IdentityPolicy::default()), [Code::NameMismatch]);
}

#[test]
fn i2_the_chain_must_end_at_an_anchor_over_issuers_that_may_issue() {
    let (root, stranger) = (Issued::root(|_| {}), Issued::root(|_| {}));
    let policy = IdentityPolicy::default();
    let other_name = Issued::root(|params| params.distinguished_name = distinguished_name("stranger"));
    assert_eq!(verdict(&root, &[&other_name.leaf(|_| {})], policy), [Code::IssuerUnknown]);
    assert_eq!(verdict(&root, &[&stranger.leaf(|_| {})], policy), [Code::SignatureInvalid]);

    let issuing = root.intermediate("issuing", |_| {});
    assert_eq!(verdict(&root, &[&issuing.leaf(|_| {})], policy), [Code::IssuerUnknown]);

    let mute = root.intermediate("mute", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert_eq!(verdict(&root, &[&mute.leaf(|_| {}), &mute], policy), [Code::IntermediateUnusable]);

    let node = root.leaf_of("node.example", |_| {});
    let below = node.leaf(|_| {});
    assert!(verdict(&root, &[&below, &node], policy).contains(&Code::IntermediateUnusable));

    let narrow = root.intermediate("narrow", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]);
    assert_eq!(verdict(&root, &[&narrow.leaf(|_| {}), &narrow], policy), [Code::EkuIncomplete]);

    let old = root.intermediate("old", |params| params.not_after = date_time_ymd(2026, 2, 1));
    assert_eq!(verdict(&root, &[&old.leaf(|_| {}), &old], policy), [Code::CertificateExpired]);

    // The search looks at the time at which the leaf was valid; that its issuer was not then is nobody's concern now.
    let later = root.intermediate("later", |params| params.not_before = date_time_ymd(2026, 3, 1));
    let leaf = later.leaf(|params| params.not_after = date_time_ymd(2026, 2, 1));
    assert_eq!(verdict(&root, &[&leaf, &later], policy), [Code::CertificateExpired]);

    let authority = root.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(verdict(&root, &[&authority], policy), [Code::CertificateIsCa]);
}

#[test]
fn i2_an_anchor_must_be_a_valid_authority() {
    let policy = IdentityPolicy::default();
    let expired = Issued::root(|params| params.not_after = date_time_ymd(2026, 2, 1));
    assert_eq!(verdict(&expired, &[&expired.leaf(|_| {})], policy), [Code::TrustUnusable]);
    let future = Issued::root(|params| params.not_before = date_time_ymd(2026, 12, 1));
    assert_eq!(verdict(&future, &[&future.leaf(|_| {})], policy), [Code::TrustUnusable]);
    let mute = Issued::root(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(verdict(&mute, &[&mute.leaf(|_| {})], policy), [Code::TrustUnusable]);
    let node = Issued::root(|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(verdict(&node, &[&node], policy), [Code::TrustUnusable]);
}

#[test]
fn an_empty_missing_or_damaged_trust_file_never_means_somebody_else_is_trusted() {
    assert_eq!(codes(&Trust::from_pem(&[], &[]).unwrap_err()), [Code::TrustMissing]);
    for bad in [&b""[..], b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"0\x03abc"] {
        assert!(Trust::from_pem(&[bad], &[]).unwrap_err().has(Code::TrustUnusable), "{bad:?}");
        let root = Issued::root(|_| {});
        assert!(Trust::from_pem(&[root.pem().as_bytes(), bad], &[]).unwrap_err().has(Code::TrustUnusable), "{bad:?}");
    }
}

#[test]
fn a_chain_beyond_the_limits_is_refused_before_it_is_parsed() {
    let trust = Issued::root(|_| {}).trust(&[]).unwrap();
    let garbage = rustls::pki_types::CertificateDer::from(vec![0; 10]);
    let large = rustls::pki_types::CertificateDer::from(vec![0; 8193]);
    let policy = IdentityPolicy::default();
    for (chain, code) in [
        (vec![garbage.clone(); 9], Code::ChainTooLarge),
        (vec![large], Code::ChainTooLarge),
        (vec![rustls::pki_types::CertificateDer::from(vec![0; 6000]); 3], Code::ChainTooLarge),
        (vec![], Code::CertificateMissing),
        (vec![garbage], Code::CertificateUnreadable),
    ] {
        assert_eq!(codes(&verify_peer(&trust, &policy, &chain, None, now()).unwrap_err()), [code]);
    }
}

#[test]
fn i3_a_report_has_everything_that_is_wrong() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|params| {
        params.not_after = date_time_ymd(2026, 2, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        params.distinguished_name = distinguished_name("other.example");
    });
    let list = root.list(1, &[&leaf], |_| {});
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    let (pem, root_pem) = (leaf.pem(), root.pem());
    let report = Identity::from_pem(
        &Name::parse("wanted.example").unwrap(),
        pem.as_bytes(),
        stranger.as_bytes(),
        &[root_pem.as_bytes()],
        &[list.as_bytes()],
        IdentityPolicy::default(),
        now(),
    )
    .unwrap_err();
    let expected = [
        Code::KeyMismatch,
        Code::CertificateExpired,
        Code::KeyUsageWrong,
        Code::EkuIncomplete,
        Code::CommonNameNotInSan,
        Code::NameMismatch,
        Code::CertificateRevoked,
    ];
    assert_eq!(codes(&report), expected, "{report}");
    let text = report.to_string();
    for finding in report.findings() {
        let texts = [finding.found_text(), finding.expected_text(), finding.remedy_text()];
        assert!(texts.iter().all(|text| !text.is_empty()), "{finding}");
        assert!(text.contains(&finding.code().to_string()));
    }
    let one: crate::error::Error = report.into();
    assert_eq!(one.code(), Code::KeyMismatch);
    assert!(one.to_string().contains("6 more: FP1202"), "{one}");
}

#[test]
fn a_good_identity_tells_its_name_and_end_and_never_its_key() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let identity = leaf.identity(&root, &[], IdentityPolicy::default()).unwrap().with_generation(7);
    assert_eq!((identity.name(), identity.generation()), (&name(), 7));
    assert_eq!(identity.not_after().unix_seconds(), date_time_ymd(2027, 1, 1).unix_timestamp());
    assert!(identity.check_own(now()).is_clean());
    assert!(identity.own().proves(&name()));
    let later = crate::time::Timestamp::from_unix_seconds(date_time_ymd(2027, 1, 2).unix_timestamp());
    assert_eq!(codes(&identity.check_own(later)), [Code::CertificateExpired]);
    assert_eq!(format!("{identity:?}"), format!("Identity({NAME}, generation 7, key {})", identity.key_hash()));
}

#[test]
fn a_root_in_the_chain_file_is_not_presented() {
    let root = Issued::root(|_| {});
    let (issuing, leaf);
    issuing = root.intermediate("issuing", |_| {});
    leaf = issuing.leaf(|_| {});
    let file = [leaf.pem(), issuing.pem(), root.pem()].concat();
    let (key, trust) = (leaf.key_pem(), root.pem());
    let policy = IdentityPolicy::default();
    let identity =
        Identity::from_pem(&name(), file.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &[], policy, now());
    assert_eq!(identity.unwrap().chain().len(), 2);
}

#[test]
fn keys_load_as_pkcs8_sec1_and_pkcs1_and_an_encrypted_one_says_how_to_convert_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = Issued::root(|_| {});
    let run = |arguments: &str| openssl(directory.path(), arguments);
    let read = |file: &str| std::fs::read(directory.path().join(file)).unwrap();
    std::fs::write(directory.path().join("root.pem"), root.pem()).unwrap();
    std::fs::write(directory.path().join("root.key"), root.key_pem()).unwrap();
    let extensions =
        format!("subjectAltName=DNS:{NAME}\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n");
    std::fs::write(directory.path().join("extensions"), extensions).unwrap();
    for (kind, traditional) in [
        ("rsa -pkeyopt rsa_keygen_bits:2048", "BEGIN RSA PRIVATE KEY"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "BEGIN EC PRIVATE KEY"),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "BEGIN EC PRIVATE KEY"),
        ("ed25519", ""),
    ] {
        let Some(_) = run(&format!("genpkey -algorithm {kind} -out pkcs8.key")) else { return };
        run(&format!("req -new -key pkcs8.key -subj /CN={NAME} -out request.pem"));
        run(
            "x509 -req -in request.pem -CA root.pem -CAkey root.key -set_serial 77 -days 3650 -sha256 -extfile extensions -out leaf.pem",
        );
        let mut files = vec!["pkcs8.key"];
        if !traditional.is_empty() {
            run("pkey -in pkcs8.key -traditional -out traditional.key");
            assert!(String::from_utf8(read("traditional.key")).unwrap().contains(traditional));
            files.push("traditional.key");
        }
        run("pkcs8 -topk8 -in pkcs8.key -passout pass:secret -out encrypted.key");
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
        let at = crate::time::Timestamp::from_unix_seconds(i64::try_from(at).unwrap());
        let load = |key: &[u8]| {
            let policy = IdentityPolicy::default();
            Identity::from_pem(&name(), &read("leaf.pem"), key, &[root.pem().as_bytes()], &[], policy, at)
        };
        for file in files {
            load(&read(file)).unwrap_or_else(|report| panic!("{kind} {file}: {report}"));
        }
        let refused = load(&read("encrypted.key")).unwrap_err();
        assert_eq!(codes(&refused), [Code::KeyUnreadable]);
        assert!(refused.first().unwrap().remedy_text().contains("openssl pkcs8 -topk8"));
    }
}

#[test]
fn i2_weak_keys_and_signatures_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = Issued::root(|_| {});
    let run = |arguments: &str| openssl(directory.path(), arguments);
    std::fs::write(directory.path().join("root.pem"), root.pem()).unwrap();
    std::fs::write(directory.path().join("root.key"), root.key_pem()).unwrap();
    let extensions =
        format!("subjectAltName=DNS:{NAME}\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n");
    std::fs::write(directory.path().join("extensions"), extensions).unwrap();
    for (kind, hash, code) in [
        ("rsa -pkeyopt rsa_keygen_bits:1024", "sha256", Code::KeyUnsupported),
        ("ec -pkeyopt ec_paramgen_curve:secp224r1", "sha256", Code::KeyUnsupported),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", "sha256", Code::KeyUnsupported),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "sha1", Code::SignatureAlgorithmWeak),
    ] {
        let Some(_) = run(&format!("genpkey -algorithm {kind} -out leaf.key")) else { return };
        run(&format!("req -new -key leaf.key -subj /CN={NAME} -out request.pem"));
        run(&format!(
            "x509 -req -in request.pem -CA root.pem -CAkey root.key -set_serial 77 -days 3650 -{hash} -extfile extensions -out leaf.pem"
        ));
        let leaf = std::fs::read(directory.path().join("leaf.pem")).unwrap();
        let key = std::fs::read(directory.path().join("leaf.key")).unwrap();
        let at = crate::time::Timestamp::from_unix_seconds(1_900_000_000);
        let check = check_certificate(
            Some(&name()),
            &leaf,
            Some(&key),
            &[root.pem().as_bytes()],
            &[],
            IdentityPolicy::default(),
            at,
        );
        assert!(check.report.has(code), "{kind} {hash}: {}", check.report);
        assert!(!check.facts.is_empty());
    }
}

#[test]
fn the_older_name_rules_prove_the_common_name_only() {
    let root = Issued::root(|_| {});
    let with = |name_rule| IdentityPolicy { name_rule, ..IdentityPolicy::default() };
    let second =
        root.leaf(|params| params.subject_alt_names.push(SanType::DnsName("second.example".try_into().unwrap())));
    let trust = root.trust(&[]).unwrap();
    let peer = verify_peer(&trust, &with(NameRule::CnAndSan), &[second.der()], None, now()).unwrap();
    assert_eq!(peer.names(), [name()]);
    let bare = root.leaf(|params| params.subject_alt_names.clear());
    assert_eq!(verdict(&root, &[&bare], with(NameRule::CnAndSan))[0], Code::SanMissing);
    assert!(verdict(&root, &[&bare], with(NameRule::Cn)).is_empty());
    let nameless = root.leaf(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    assert!(verdict(&root, &[&nameless], with(NameRule::San)).is_empty());
    assert!(verdict(&root, &[&nameless], with(NameRule::CnAndSan)).contains(&Code::NameMismatch));
}

#[test]
fn server_auth_alone_is_accepted_where_the_option_says_so() {
    let root = Issued::root(|_| {});
    let policy = IdentityPolicy { accept_server_auth_alone: true, ..IdentityPolicy::default() };
    let server = root.leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let client = root.leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(verdict(&root, &[&server], policy).is_empty());
    assert_eq!(verdict(&root, &[&client], policy), [Code::EkuIncomplete]);
}

#[test]
fn an_error_about_a_certificate_with_many_names_stays_short() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|params| {
        params.subject_alt_names = (0..200)
            .map(|n| SanType::DnsName(format!("n{n}.{}.example", "a".repeat(12)).try_into().unwrap()))
            .collect();
    });
    let trust = root.trust(&[]).unwrap();
    let report = verify_peer(&trust, &IdentityPolicy::default(), &[leaf.der()], Some(&name()), now()).unwrap_err();
    assert!(report.has(Code::NameMismatch), "{report}");
    assert!(report.findings().iter().all(|finding| finding.to_string().len() < 1024), "{report}");
}
