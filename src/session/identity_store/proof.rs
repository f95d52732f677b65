//! The last check before an installation: a real handshake of the identity with itself.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::net::tls;
use crate::session::clock;

impl Identity {
    /// Makes a TLS handshake with itself over the loopback interface: both sides present this chain and judge it with
    /// this trust, as the node's links will.
    ///
    /// Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Code::HandshakeFailed`].
    pub fn prove(&self) -> Result<()> {
        let identity = self.clone();
        // A thread of its own: the caller may be in a runtime, where nothing may block.
        let proof = std::thread::Builder::new().name("farpost-proof".to_owned()).spawn(move || run(&identity));
        let outcome = proof.map_err(|error| failed(self, &error.to_string()))?.join();
        outcome.unwrap_or_else(|_| Err(failed(self, "a panic")))
    }
}

fn run(identity: &Identity) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(identity, &error.to_string()))?;
    runtime.block_on(async {
        let handshake = tokio::time::timeout(PROOF_TIMEOUT, shake_hands(identity)).await;
        handshake.map_err(|_| failed(identity, "no end within 10 s"))?.map_err(|error| {
            let found = format!("{} {}: {}", error.code(), error.code().summary(), error.found_text());
            failed(identity, &found)
        })
    })
}

async fn shake_hands(identity: &Identity) -> Result<()> {
    let io = |error: std::io::Error| Error::new(Code::TlsFailed).found(error.to_string());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let dial = async {
        let tcp = TcpStream::connect(address).await.map_err(io)?;
        let (stream, _) = tls::connect(identity, tcp, identity.name(), clock::wall).await?;
        Ok(stream)
    };
    let answer = async {
        let (tcp, _) = listener.accept().await.map_err(io)?;
        tls::accept(identity, tcp, clock::wall).await
    };
    let (_dialled, (_, peer)) = tokio::try_join!(dial, answer)?;
    if peer.proves(identity.name()) { Ok(()) } else { Err(Error::new(Code::NameMismatch).found("another name")) }
}

fn failed(identity: &Identity, found: &str) -> Error {
    Error::new(Code::HandshakeFailed).subject(identity.name().as_str()).found(found)
}

/// On a computer that does nothing else it takes 5 ms.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);
