//! openssl's own client: a TLS that is not ours.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::events::within;
use crate::pki::Certified;

/// The ALPN of farpost.
pub(crate) const FARPOST: &str = "farpost/1";

/// Runs `openssl s_client` against a listener until the connection ends; what it says of it.
///
/// It has nothing to say itself, and does not leave by itself: its standard input stays open.
pub(crate) async fn s_client(listener: SocketAddr, arguments: &[&str]) -> String {
    let listener = listener.to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &listener, "-tls1_3"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command openssl is needed");
    let (input, mut errors) = (child.stdin.take(), child.stderr.take().unwrap());
    let told = tokio::task::spawn_blocking(move || {
        let mut told = String::new();
        let _ = errors.read_to_string(&mut told);
        told
    });
    let told = within("the end of openssl s_client", told).await.unwrap();
    drop(input);
    child.wait().unwrap();
    told
}

/// A certificate and its key as files, for `-cert` and `-key`.
pub(crate) fn files(directory: &Path, certified: &Certified) -> (String, String) {
    let write = |name: &str, text: String| {
        let path: PathBuf = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    (write("peer.pem", certified.pem()), write("peer.key", certified.key_pem()))
}
