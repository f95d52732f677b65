//! The hand-off directory: what lies there, and what it is answered with.

use super::*;

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn ask(hand_off: &HandOff, request: &CertificateRequest) -> Result<Issuance> {
    hand_off.issue(order(request)).await
}

fn pending() -> Issuance {
    Issuance::Pending { retry_after: Duration::from_secs(60) }
}

#[tokio::test]
async fn a_request_waits_as_one_pair_of_files_until_its_answer_lies_beside_it() {
    let (directory, ca) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hand_off = HandOff::open(directory.path()).unwrap();
    let request = request(KeyKind::P256);
    let stem = format!("{NAME}-{}", &request.key_fingerprint()[..16]);
    let current_not_after = Timestamp::from_unix_seconds(1_768_464_000);
    let via = Some(Name::parse("gw1.branch.example").unwrap());
    let renewal = Order::new(request.clone(), Role::Agent, via, Reason::Renewal { current_not_after });
    assert_eq!(hand_off.issue(renewal.clone()).await.unwrap(), pending());
    let text = fs::read_to_string(directory.path().join(format!("{stem}.toml"))).unwrap();
    for line in [
        "name = \"pc7.branch.example\"\n",
        "role = \"agent\"\n",
        "via = \"gw1.branch.example\"\n",
        "reason = \"renewal\"\ncurrent_not_after = 2026-01-15T08:00:00.000Z\n",
        "key_kind = \"ECDSA P-256\"\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    toml::from_str::<toml::Table>(&text).unwrap();
    assert_eq!(hand_off.issue(renewal.clone()).await.unwrap(), pending());
    assert_eq!(names(&directory), [format!("{stem}.csr"), format!("{stem}.toml")]);
    assert_eq!(fs::read_to_string(directory.path().join(format!("{stem}.toml"))).unwrap(), text, "written once");

    let csr = fs::read(directory.path().join(format!("{stem}.csr"))).unwrap();
    let signed = authority(&ca).sign(&CertificateRequest::from_pem(&csr).unwrap(), &[]).unwrap();
    let with_root = signed.to_pem() + &fs::read_to_string(ca.path().join("ca.pem")).unwrap();
    fs::write(directory.path().join(format!("{stem}.pem")), with_root).unwrap();
    for _ in 0..2 {
        assert_eq!(hand_off.issue(renewal.clone()).await.unwrap(), Issuance::Issued(signed.chain.clone()));
    }
    // A key that cannot leave its owner is renewed under the same name: the old answer is no answer any more.
    let reason = Reason::Renewal { current_not_after: signed.not_after };
    let again = Order { reason, ..renewal };
    assert_eq!(hand_off.issue(again.clone()).await.unwrap(), pending());
    assert_eq!(hand_off.issue(again).await.unwrap(), pending());
    let expected = ["csr", "pem.old", "toml"].map(|extension| format!("{stem}.{extension}"));
    assert_eq!(names(&directory), expected);
}

#[tokio::test]
async fn a_request_that_somebody_refuses_is_refused_with_his_text() {
    let directory = tempfile::tempdir().unwrap();
    let hand_off = HandOff::open(directory.path()).unwrap();
    let request = request(KeyKind::P256);
    assert_eq!(ask(&hand_off, &request).await.unwrap(), pending());
    let file = directory.path().join(format!("{}.refused", request.file_stem()));
    fs::write(&file, "  not one\nof ours \u{1b}[31m\n").unwrap();
    let error = ask(&hand_off, &request).await.unwrap_err();
    assert_eq!((error.code(), error.found_text()), (Code::RequestRefused, "not one of ours \\u{1b}[31m"));
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let error = ask(&hand_off, &request).await.unwrap_err();
    assert!(error.found_text().len() <= 512 && error.to_string().len() < 1024, "{error}");
    fs::write(&file, "").unwrap();
    assert_eq!(ask(&hand_off, &request).await.unwrap_err().found_text(), "no reason was given");
}

#[tokio::test]
async fn i2_an_answer_that_is_not_the_requests_is_refused_and_its_file_named() {
    let directory = tempfile::tempdir().unwrap();
    let hand_off = HandOff::open(directory.path()).unwrap();
    let (mine, root) = (request(KeyKind::P256), Issued::root(|_| ()));
    assert_eq!(ask(&hand_off, &mine).await.unwrap(), pending());
    let file = directory.path().join(format!("{}.pem", mine.file_stem()));
    // The request's own key under whatever a careless CA writes about it.
    let key = SubjectPublicKeyInfo::from_der(mine.public_key()).unwrap();
    let issuer = rcgen::Issuer::from_params(&root.params, &root.key);
    let of_key = |spoil: &dyn Fn(&mut CertificateParams)| {
        let mut params = root.leaf(|_| ()).params;
        params.not_after = rcgen::date_time_ymd(2045, 1, 1);
        spoil(&mut params);
        params.signed_by(&key, &issuer).unwrap().pem()
    };
    let dns = |text: &str| rcgen::SanType::DnsName(text.to_owned().try_into().unwrap());
    let table = [
        ("half a file", of_key(&|_| ())[..300].to_owned(), "FP1003"),
        ("an empty file", String::new(), "FP1003"),
        ("another key's", root.leaf(|_| ()).pem(), "FP1007"),
        ("another name's", of_key(&|params| params.subject_alt_names = vec![dns("ms1.corp.example")]), "FP1304"),
        ("a further name", of_key(&|params| params.subject_alt_names.push(dns("ms1.corp.example"))), "FP1302"),
        ("one purpose", of_key(&|params| params.extended_key_usages.truncate(1)), "FP1204"),
        ("no purpose", of_key(&|params| params.extended_key_usages.clear()), "FP1203"),
        ("an old one", of_key(&|params| params.not_after = rcgen::date_time_ymd(2026, 2, 1)), "FP1202"),
        ("a CA's", of_key(&|params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)), "FP1208"),
        ("too many", root.pem().repeat(10), "FP1002"),
    ];
    for (what, text, code) in table {
        fs::write(&file, text).unwrap();
        let error = ask(&hand_off, &mine).await.expect_err(what);
        assert_eq!(error.code(), Code::AuthorityAnswerUnusable, "{what}");
        assert!(error.found_text().contains(code), "{what}: {error}");
        assert!(error.subject_text().ends_with(&format!("{}.pem", mine.file_stem())), "{error}");
    }
    fs::write(&file, of_key(&|_| ())).unwrap();
    assert!(matches!(ask(&hand_off, &mine).await, Ok(Issuance::Issued(chain)) if chain.len() == 1));
}

#[tokio::test]
async fn d7_one_node_cannot_fill_the_hand_off_and_answered_requests_make_room() {
    let directory = tempfile::tempdir().unwrap();
    let hand_off = HandOff::open(directory.path()).unwrap();
    let requests: Vec<_> = (0..5).map(|_| request(KeyKind::Ed25519)).collect();
    for request in &requests[..4] {
        assert_eq!(ask(&hand_off, request).await.unwrap(), pending());
    }
    let error = ask(&hand_off, &requests[4]).await.unwrap_err();
    assert!(error.code() == Code::RequestsFull && error.is_retriable(), "{error}");
    assert_eq!(ask(&hand_off, &requests[0]).await.unwrap(), pending(), "one that waits already");
    // A name that begins alike is another name.
    let other = Name::parse("pc7.branch.example-x").unwrap();
    let (other, _) = CertificateRequest::make(&other, KeyKind::Ed25519, true).unwrap();
    assert_eq!(ask(&hand_off, &other).await.unwrap(), pending());
    fs::write(directory.path().join(format!("{}.refused", requests[0].file_stem())), "no").unwrap();
    assert_eq!(ask(&hand_off, &requests[4]).await.unwrap(), pending());
}

#[test]
fn a_directory_in_which_everybody_may_answer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (mode, allowed) in [(0o700, true), (0o770, true), (0o777, false), (0o1777, false)] {
        fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        assert_eq!(HandOff::open(directory.path()).is_ok(), allowed, "{mode:o}");
    }
    let made = directory.path().join("hand-off");
    HandOff::open(&made).unwrap();
    assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(code(HandOff::open(&file)), Code::FileUnreadable);
}
