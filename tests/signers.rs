//! Keys that never leave their owner, over a real chain agent → gateway → management server.

#[path = "common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that count events")]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use events::{EventLog, within};
use farpost::{
    Agent, ApprovedFor, Assignment, Code, Gateway, Identity, IdentityPolicy, ManagementGroup, ManagementServer,
    Message, Name, SignatureScheme, Signer, Timestamp, UnknownAgents,
};
use pki::Certified;
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use tempfile::TempDir;

const GROUP: &str = "CORP";
const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";

/// A token in this process.
#[derive(Debug)]
struct Token {
    key: Arc<dyn SigningKey>,
    public_key: Vec<u8>,
    scheme: SignatureScheme,
    /// How long a signature takes.
    milliseconds: AtomicU64,
    fails: AtomicU64,
    calls: AtomicUsize,
}

impl Token {
    fn of(key: &KeyPair, scheme: SignatureScheme) -> Arc<Self> {
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(Self {
            key: any_supported_type(&der).unwrap(),
            public_key: key.subject_public_key_info(),
            scheme,
            milliseconds: AtomicU64::new(0),
            fails: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
        })
    }
}

impl Signer for Token {
    fn public_key(&self) -> Vec<u8> {
        self.public_key.clone()
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        vec![self.scheme]
    }

    fn sign(&self, _: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(self.milliseconds.load(Ordering::Relaxed)));
        if self.fails.load(Ordering::Relaxed) > 0 {
            return Err("the token was pulled out".into());
        }
        let signer = self.key.choose_scheme(&EVERY_SCHEME).ok_or("no scheme")?;
        Ok(signer.sign(message)?)
    }
}

const EVERY_SCHEME: [rustls::SignatureScheme; 5] = [
    rustls::SignatureScheme::ED25519,
    rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
    rustls::SignatureScheme::ECDSA_NISTP384_SHA384,
    rustls::SignatureScheme::ECDSA_NISTP521_SHA512,
    rustls::SignatureScheme::RSA_PSS_SHA256,
];

fn p256() -> (KeyPair, SignatureScheme) {
    (KeyPair::generate().unwrap(), SignatureScheme::EcdsaP256Sha256)
}

/// A CA, and the store of a group that approves every agent.
struct Lab {
    directory: TempDir,
    authority: Certified,
    group: ManagementGroup,
}

impl Lab {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let group = open_group(&directory).await;
        group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
        Self { directory, authority: Certified::authority("Test CA"), group }
    }

    /// An identity with its key in this process.
    fn plain(&self, name: &str) -> Identity {
        let certified = self.authority.issue(name);
        let (chain, key, trust) = (certified.pem(), certified.key_pem(), self.authority.pem());
        let (name, policy) = (Name::parse(name).unwrap(), IdentityPolicy::default());
        Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &[], policy, now()).unwrap()
    }

    /// An identity with its key in a token.
    fn signed(&self, name: &str, (key, scheme): (KeyPair, SignatureScheme)) -> (Identity, Arc<Token>) {
        let token = Token::of(&key, scheme);
        let certified = self.authority.issue_with(name, key, |_| ());
        let (chain, trust) = (certified.pem(), self.authority.pem());
        let (name, policy, signer) = (Name::parse(name).unwrap(), IdentityPolicy::default(), token.clone());
        let identity =
            Identity::with_signer(&name, chain.as_bytes(), signer, &[trust.as_bytes()], &[], policy, now()).unwrap();
        (identity, token)
    }

    async fn server(&self, identity: Identity) -> ManagementServer {
        let server = ManagementServer::builder(identity, open_group(&self.directory).await).listen(any_port());
        let server = server.set("output.store", "true").unwrap().start().await.unwrap();
        self.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        server
    }
}

async fn open_group(directory: &TempDir) -> ManagementGroup {
    ManagementGroup::open_new(&format!("sqlite://{}", directory.path().join("group.db").display()), GROUP)
        .await
        .unwrap()
}

async fn gateway(identity: Identity, server: &ManagementServer) -> Gateway {
    let port = server.local_address().unwrap().port();
    let builder = Gateway::builder(identity)
        .management_group(GROUP)
        .listen(any_port())
        .upstream(Assignment::primary(&format!("{SERVER}:{port}")).unwrap())
        .host(Name::parse(SERVER).unwrap(), vec![any_port().ip()]);
    builder.set("backoff.min", "50ms").unwrap().set("backoff.max", "500ms").unwrap().start().await.unwrap()
}

async fn agent(identity: Identity, gateway: &Gateway) -> Agent {
    let port = gateway.local_address().unwrap().port();
    let builder = Agent::builder(identity)
        .management_group(GROUP)
        .upstream(Assignment::primary(&format!("{GATEWAY}:{port}")).unwrap())
        .host(Name::parse(GATEWAY).unwrap(), vec![any_port().ip()]);
    builder.set("backoff.min", "50ms").unwrap().set("backoff.max", "500ms").unwrap().start().await.unwrap()
}

async fn delivers(agent: &Agent) {
    let receipt = agent.send(Message::new("signed elsewhere")).await.unwrap();
    within("a delivery", receipt.delivered()).await.unwrap();
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_i6_tokens_of_every_kind_of_key_carry_a_whole_chain() {
    let kinds: [fn() -> (KeyPair, SignatureScheme); 5] = [
        p256,
        || (KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), SignatureScheme::Ed25519),
        || (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), SignatureScheme::EcdsaP384Sha384),
        || (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(), SignatureScheme::EcdsaP521Sha512),
        || {
            let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
            (key, SignatureScheme::RsaPssSha256)
        },
    ];
    for kind in kinds {
        let lab = Lab::new().await;
        let (server, _) = lab.signed(SERVER, kind());
        let server = lab.server(server).await;
        let (identity, of_gateway) = lab.signed(GATEWAY, kind());
        let gateway = gateway(identity, &server).await;
        let (identity, of_agent) = lab.signed("pc7.branch.example", kind());
        let agent = agent(identity, &gateway).await;
        delivers(&agent).await;
        // One when the identity was made; then both ends of its links, or a link and an attestation.
        assert!(of_gateway.calls.load(Ordering::Relaxed) >= 3, "{of_gateway:?}");
        assert!(of_agent.calls.load(Ordering::Relaxed) >= 3, "{of_agent:?}");
    }
}

/// One thread runs everything: if a handshake waited for its signature there, nothing else would happen meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn d7_while_a_token_takes_200_ms_for_each_handshake_other_agents_data_flows() {
    const DIALLERS: usize = 8;
    let lab = Lab::new().await;
    let server = lab.server(lab.plain(SERVER)).await;
    let (identity, token) = lab.signed(GATEWAY, p256());
    let gateway = gateway(identity, &server).await;
    let busy = agent(lab.plain("busy.branch.example"), &gateway).await;
    delivers(&busy).await;

    token.milliseconds.store(200, Ordering::Relaxed);
    let before = token.calls.load(Ordering::Relaxed);
    let mut diallers = Vec::new();
    for index in 0..DIALLERS {
        diallers.push(agent(lab.plain(&format!("pc{index}.branch.example")), &gateway).await);
    }
    let mut delivered = 0;
    while token.calls.load(Ordering::Relaxed) < before + DIALLERS {
        delivers(&busy).await;
        delivered += 1;
    }
    // The token was busy for at least 7 × 200 ms; a runtime that waits for it delivers one or two per signature.
    assert!(delivered > 5 * DIALLERS, "{delivered} messages while {DIALLERS} signatures were made");
    for agent in &diallers {
        delivers(agent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_g5_a_token_that_was_pulled_out_fails_new_links_with_its_code_and_no_other() {
    let lab = Lab::new().await;
    let server = lab.server(lab.plain(SERVER)).await;
    let (identity, token) = lab.signed(GATEWAY, p256());
    let gateway = gateway(identity, &server).await;
    let gateway_events = EventLog::follow("the gateway", gateway.events());
    let first = agent(lab.plain("pc1.branch.example"), &gateway).await;
    delivers(&first).await;

    token.fails.store(1, Ordering::Relaxed);
    let second = agent(lab.plain("pc2.branch.example"), &gateway).await;
    gateway_events.told(Code::SignerFailed, "the token was pulled out").await;
    delivers(&first).await;

    token.fails.store(0, Ordering::Relaxed);
    delivers(&second).await;
    assert_eq!(lab.group.inventory().await.unwrap().agents.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_an_agent_whose_token_fails_says_so_and_comes_back_with_it() {
    let lab = Lab::new().await;
    let server = lab.server(lab.plain(SERVER)).await;
    let gateway = gateway(lab.plain(GATEWAY), &server).await;
    let (identity, token) = lab.signed("pc1.branch.example", p256());
    token.fails.store(1, Ordering::Relaxed);
    let agent = agent(identity, &gateway).await;
    let events = EventLog::follow("the agent", agent.events());
    events.told(Code::SignerFailed, "the token was pulled out").await;
    token.fails.store(0, Ordering::Relaxed);
    delivers(&agent).await;
}
