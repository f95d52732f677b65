//! The command's process: SIGHUP reads the identity again, status shows what is in use.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{GATEWAY, GROUP, Lab};

/// Ends the process with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_sighup_reads_the_identity_again_and_the_process_goes_on() {
    let mut lab = Lab::new().await;
    let home = tempfile::tempdir().unwrap();
    let (config, log) = (home.path().join("gateway.toml"), home.path().join("log"));
    let text = format!(
        "role = \"gateway\"\nname = \"{GATEWAY}\"\nmanagement_group = \"{GROUP}\"\nstate_directory = \"{}/state\"\n\
         [identity]\ndirectory = \"{}\"\n[listen]\naddress = \"127.0.0.1:0\"\n[upstream]\nprimary = \"nobody.example:1\"\n\
         [hosts]\n\"nobody.example\" = [\"127.0.0.1\"]\n",
        home.path().display(),
        lab.store(GATEWAY).path().display(),
    );
    std::fs::write(&config, text).unwrap();
    let logged = std::fs::File::create(&log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    command.args(["gateway", "run", "--config"]).arg(&config).stdin(Stdio::null()).stderr(Stdio::from(logged));
    let mut process = Process(command.spawn().unwrap());
    let says = |what: &str| std::fs::read_to_string(&log).unwrap().contains(what);
    eventually("listens", || says("listens on"));
    let hang_up = |process: &Process| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(process.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    };
    hang_up(&process);
    eventually("says that nothing is new", || says("SIGHUP: the identity is the one in use"));
    lab.renew(GATEWAY);
    hang_up(&process);
    eventually("has a new one", || says("FP1601"));
    lab.store(GATEWAY).put("key", "nonsense");
    hang_up(&process);
    eventually("keeps the last good one", || says("FP1602") && says("SIGHUP: the last good identity stays"));
    let status = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let output = command.args(["status", "--config"]).arg(&config).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!(document["identity"]["generation"], 2);
    let (from, until) = (document["identity"]["renewal_from"].as_str(), document["identity"]["until"].as_str());
    // RFC 3339 in UTC: the order of the texts is that of the times.
    assert!(from.is_some() && from < until, "{document}");
    assert_eq!(document["expiry"]["authority"]["subject"], "CN=Test CA");
    let metrics = status(&["--metrics"]);
    assert!(
        metrics.contains("farpost_certificate_not_after_seconds{kind=\"own\",subject=\"gw1.branch.example\"}"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(status(&[]).contains("nearest"), "{}", status(&[]));
    assert!(process.0.try_wait().unwrap().is_none(), "it runs");
}

fn eventually(what: &str, look: impl Fn() -> bool) {
    let since = Instant::now();
    while !look() {
        assert!(since.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
