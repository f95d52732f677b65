//! `farpost enroll` as an administrator runs it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use farpost::{Code, Identity, Role};

use crate::chain::GATEWAY;
use crate::{HOUR, Lab, NEW, files};

/// Runs the command with a token on its standard input.
async fn enroll(lab: &Lab, token: &str, more: &[&str]) -> Output {
    let address = lab.gateway.enrolment_address().unwrap();
    let (directory, trust) = (lab.at("new").display().to_string(), lab.trust().display().to_string());
    let (gateway, ip) = (format!("{GATEWAY}:{}", address.port()), address.ip().to_string());
    let mut arguments = vec!["enroll", "--subject-name", NEW, "--role", "agent", "--management-group", "CORP"];
    arguments.extend(["--gateway", &gateway, "--address", &ip, "--trust", &trust, "--directory", &directory]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    command.args(arguments).args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let token = token.to_owned();
    let run = move || {
        let mut process = command.spawn().unwrap();
        // One that does not read its input has closed it already.
        let _ = process.stdin.take().unwrap().write_all(token.as_bytes());
        process.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_a_node_is_enrolled_by_the_command_and_its_token_is_in_no_log() {
    let lab = Lab::start().await;
    lab.issuing.answer_after(1);
    let token = lab.token(Some(GATEWAY)).await.text().to_string();
    let output = enroll(&lab, &format!("{token}\n"), &[]).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.contains(&format!("{NEW} has a certificate until")), "{out}");
    assert!(out.contains(&format!("farpost agent approve {NEW}")), "{out}");
    assert!(err.contains("not yet"), "{err}");
    let identity = Identity::from_directory(lab.at("new"), NEW).unwrap();
    assert_eq!(identity.name().as_str(), NEW);
    let kept = files(&lab.at("new"));
    assert_eq!(kept.iter().filter(|file| file.ends_with(".key")).count(), 1, "{kept:?}");
    assert!(!kept.iter().any(|file| file.ends_with(".csr")), "nothing waits any more: {kept:?}");

    let mut said = out + &err;
    for event in lab.server_log.all().into_iter().chain(lab.gateway_log.all()) {
        said += &format!("{event:?}\n{event}\n");
    }
    for part in token.split('-').skip(1) {
        assert!(!said.contains(part), "a part of the token was said");
    }
    let stored = std::fs::read(lab.at("group.db")).unwrap();
    for part in token.split('-').skip(1) {
        assert!(!stored.windows(part.len()).any(|window| window == part.as_bytes()), "the store has it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_was_wrong_and_installs_nothing() {
    let lab = Lab::start().await;
    let elsewhere = lab.chain.group.create_token(NEW, Role::Gateway, Some(GATEWAY), HOUR).await.unwrap();
    let output = enroll(&lab, &elsewhere.text(), &[]).await;
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("FP1810") && err.contains("gateway") && err.contains("farpost token create"), "{err}");
    assert!(!files(&lab.at("new")).contains(&format!("{NEW}.pem")));

    let output = enroll(&lab, "fpt1-mistyped", &[]).await;
    assert!(text(&output.stderr).contains("FP1806"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("mistyped-"), "what was typed is not shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h14_the_token_itself_on_the_command_line_is_refused() {
    let lab = Lab::start().await;
    let token = lab.token(Some(GATEWAY)).await.text().to_string();
    let output = enroll(&lab, "", &["--token", &token]).await;
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("standard input") && !err.contains(&token), "{err}");
    // From a file it is taken.
    let file = lab.at("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let output = enroll(&lab, "", &["--token", &file.display().to_string(), "--json"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"until\""), "{}", text(&output.stdout));
    lab.server_log.told(Code::CertificateIssuedTo, NEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_in_time_leaves_the_key_waiting_for_the_next_try() {
    let lab = Lab::start().await;
    lab.issuing.answer_after(2);
    let token = lab.token(Some(GATEWAY)).await.text().to_string();
    let output = enroll(&lab, &token, &["--timeout", "1s"]).await;
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("FP5014") && err.contains("the same command again"), "{err}");
    let waiting = files(&lab.at("new"));
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    let output = enroll(&lab, &token, &["--timeout", "20s"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(files(&lab.at("new")).contains(&waiting[1].replace(".csr", ".key")), "the key that waited");
    let orders = lab.issuing.orders();
    assert!(orders.iter().all(|order| order.request == orders[0].request), "one request all the time");
}
