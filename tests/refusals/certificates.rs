//! What TLS refuses (rules I1 and I2): no certificate, or one that is not as it must be; and what is no TLS at all.
//! The peer hears the alert, the refuser's event has the code (rule G5).

use farpost::Code;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::events::{EventLog, within};
use crate::lab::{Lab, agent};
use crate::openssl::{FARPOST, files, s_client};
use crate::pki::Certified;

/// Both listeners refuse this certificate with the code; the peer sees an alert of this number (RFC 8446, section 6).
async fn refused(lab: &Lab, certified: &Certified, code: Code, alert: u8) {
    let (certificate, key) = files(lab.directory.path(), certified);
    for (listener, events) in lab.listeners() {
        let mark = events.mark();
        let told = s_client(listener, &["-alpn", FARPOST, "-cert", &certificate, "-key", &key]).await;
        assert!(told.contains(&format!("SSL alert number {alert}\n")), "{told}");
        events.after(mark, code, "").await;
        lab.honest_delivers().await;
    }
}

/// As [`refused`], with a certificate that is good but for what `spoil` does to it.
async fn refused_if(spoil: impl FnOnce(&mut CertificateParams), code: Code, alert: u8) {
    let lab = Lab::start().await;
    let spoilt = lab.authority.issue_spoilt("pc7.branch.example", spoil);
    refused(&lab, &spoilt, code, alert).await;
}

#[tokio::test]
async fn i1_a_peer_without_a_certificate_is_refused() {
    let lab = Lab::start().await;
    for (listener, events) in lab.listeners() {
        let mark = events.mark();
        let told = s_client(listener, &["-alpn", FARPOST]).await;
        assert!(told.contains("SSL alert number 116\n"), "{told}");
        events.after(mark, Code::CertificateMissing, "").await;
        lab.honest_delivers().await;
    }
}

#[tokio::test]
async fn i2_an_expired_certificate_is_refused() {
    refused_if(|params| params.not_after = date_time_ymd(2021, 1, 1), Code::CertificateExpired, 45).await;
}

#[tokio::test]
async fn i2_a_certificate_that_is_not_valid_yet_is_refused() {
    refused_if(|params| params.not_before = date_time_ymd(2044, 1, 1), Code::CertificateNotYetValid, 45).await;
}

#[tokio::test]
async fn i2_a_certificate_with_one_purpose_of_the_two_is_refused_whichever_it_is() {
    let lab = Lab::start().await;
    for purpose in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let one = |params: &mut CertificateParams| params.extended_key_usages = vec![purpose];
        let spoilt = lab.authority.issue_spoilt("pc7.branch.example", one);
        refused(&lab, &spoilt, Code::EkuIncomplete, 43).await;
    }
    let spoilt = lab.authority.issue_spoilt("pc7.branch.example", |params| params.extended_key_usages.clear());
    refused(&lab, &spoilt, Code::EkuMissing, 43).await;
}

#[tokio::test]
async fn i2_a_wildcard_certificate_is_refused() {
    let wildcard = SanType::DnsName("*.branch.example".try_into().unwrap());
    refused_if(|params| params.subject_alt_names = vec![wildcard], Code::WildcardName, 46).await;
}

#[tokio::test]
async fn i2_a_certificate_of_another_ca_is_refused_even_if_that_ca_has_the_same_name() {
    let lab = Lab::start().await;
    let stranger = Certified::authority("Another CA").issue("pc7.branch.example");
    refused(&lab, &stranger, Code::IssuerUnknown, 48).await;
    let namesake = Certified::authority(&lab.authority.name).issue("pc7.branch.example");
    refused(&lab, &namesake, Code::SignatureInvalid, 46).await;
}

#[tokio::test]
async fn i2_a_revoked_certificate_is_refused() {
    let lab = Lab::start().await;
    refused(&lab, &lab.revoked, Code::CertificateRevoked, 44).await;
}

/// Before anything is verified: one hostile chain of a hundred certificates would cost more than a hundred handshakes, and
/// eight of one name make path building try every order of them.
#[tokio::test]
async fn d7_a_chain_of_too_many_certificates_or_of_too_many_keys_of_one_name_is_refused() {
    let lab = Lab::start().await;
    let (certificate, key) = files(lab.directory.path(), &lab.authority.issue("pc7.branch.example"));
    let many: String = (0..9).map(|count| Certified::authority(&format!("CA {count}")).pem()).collect();
    let of_one_name: String = (0..3).map(|_| Certified::authority("CA").pem()).collect();
    let chain = lab.directory.path().join("chain.pem").display().to_string();
    for more in [many, of_one_name] {
        std::fs::write(&chain, more).unwrap();
        for (listener, events) in lab.listeners() {
            let mark = events.mark();
            let identity = ["-alpn", FARPOST, "-cert", &certificate, "-key", &key, "-cert_chain", &chain];
            let told = s_client(listener, &identity).await;
            assert!(told.contains("SSL alert number 46\n"), "{told}");
            events.after(mark, Code::ChainTooLarge, "").await;
            lab.honest_delivers().await;
        }
    }
}

/// The refuser is the one who dials: the name that it was configured with is what must be proven (rule F1).
#[tokio::test]
async fn f1_an_upstream_that_proves_another_name_is_refused_by_who_dialled_it() {
    let lab = Lab::start().await;
    let port = lab.gateway_address().port();
    let mark = lab.gateway_events.mark();
    let misled = agent(lab.identity("pc7.branch.example"), "gw9.branch.example", port).await;
    let events = EventLog::follow("the misled agent", misled.events());
    events.told(Code::NameMismatch, "gw9.branch.example").await;
    lab.gateway_events.after(mark, Code::OwnCertificateRefused, "").await;
    assert_eq!(events.count(Code::LinkUp), 0);
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i1_a_peer_that_names_no_protocol_or_another_one_is_refused() {
    let lab = Lab::start().await;
    let (certificate, key) = files(lab.directory.path(), &lab.authority.issue("pc7.branch.example"));
    let identity = ["-cert", &certificate, "-key", &key];
    for (listener, events) in lab.listeners() {
        let mark = events.mark();
        let told = s_client(listener, &identity).await;
        assert!(!told.contains("SSL alert"), "TLS has no alert for it, the link is closed: {told}");
        events.after(mark, Code::AlpnMissing, "").await;

        let mark = events.mark();
        let told = s_client(listener, &[&identity[..], &["-alpn", "h2"]].concat()).await;
        assert!(told.contains("SSL alert number 120\n"), "{told}");
        events.after(mark, Code::AlpnMissing, "").await;
        lab.honest_delivers().await;
    }
}

#[tokio::test]
async fn i1_bytes_that_are_no_tls_are_refused() {
    let lab = Lab::start().await;
    for (listener, events) in lab.listeners() {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0xff; 70_000]]
        {
            let mark = events.mark();
            let mut tcp = TcpStream::connect(listener).await.unwrap();
            let address = tcp.local_addr().unwrap().to_string();
            // Whoever is refused may see the connection end under its hands.
            let _ = tcp.write_all(garbage).await;
            let _ = tcp.shutdown().await;
            events.after(mark, Code::TlsFailed, &address).await;
            let _ = within("the end", tcp.read_to_end(&mut Vec::new())).await;
        }
        lab.honest_delivers().await;
    }
}

#[tokio::test]
async fn d7_a_peer_that_never_begins_or_never_finishes_tls_is_refused_in_time() {
    let lab = Lab::with_hello_timeout("1s").await;
    for (listener, events) in lab.listeners() {
        for beginning in [&b""[..], &[0x16, 3, 1]] {
            let mark = events.mark();
            let mut tcp = TcpStream::connect(listener).await.unwrap();
            let address = tcp.local_addr().unwrap().to_string();
            tcp.write_all(beginning).await.unwrap();
            lab.honest_delivers().await;
            events.after(mark, Code::HelloTimeout, &address).await;
            let _ = within("the end", tcp.read_to_end(&mut Vec::new())).await;
        }
    }
}

/// The command fetches what a listener presents and says all that is wrong with it, whether the listener lets it in or
/// not; it leaves the others alone.
#[tokio::test]
async fn i3_the_command_says_of_a_listener_what_a_link_to_it_would_say() {
    let lab = Lab::start().await;
    let write = |file: &str, text: String| {
        let path = lab.directory.path().join(file);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trust = write("ca.pem", lab.authority.pem());
    let other = write("other.pem", Certified::authority("Another CA").pem());
    let list = write("gateway.crl", lab.authority.revocation_list(&[&lab.gateway_certified]));
    let address = lab.gateway_address().to_string();
    for (arguments, codes) in [
        (vec!["--trust", &trust, "--server-name", "gw1.branch.example"], vec![]),
        (vec!["--trust", &trust, "--server-name", "gw2.branch.example"], vec!["FP1302"]),
        (vec!["--trust", &trust, "--crl", &list, "--server-name", "pc7.branch.example"], vec!["FP1302", "FP1401"]),
        (vec!["--trust", &other, "--server-name", "gw1.branch.example"], vec!["FP1101"]),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farpost"));
        command.args(["cert", "check", "--host", &address, "--json"]);
        command.args(&arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let found: Vec<_> = told["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
        assert_eq!(
            (found, output.status.success()),
            (codes.iter().map(|code| (*code).into()).collect(), codes.is_empty()),
            "{told}"
        );
        assert!(told["facts"].to_string().contains("gw1.branch.example"), "{told}");
    }
    lab.honest_delivers().await;
}
