//! The C example in a whole chain: agent in C, gateway and management server here, on loopback.

mod c_library;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use c_library::{Authority, Linked, checked, compile, lacks, library};
use farpost::{
    ApprovedFor, Assignment, Deliveries, Gateway, Identity, Item, ManagementGroup, ManagementServer, Name,
    UnknownAgents,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";
const AGENT: &str = "pc7.branch.example";
/// Whatever waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Several queues full, so that FARPOST_ERR_FULL and FARPOST_EVENT_WRITABLE are met on the way.
const LINES: usize = 4_000;
const QUEUE_BYTES: u64 = 64 << 10;

#[test]
fn c1_the_c_example_ships_every_line_in_order_and_gets_what_is_sent_down() {
    if lacks("gcc") {
        return;
    }
    story(Linked::Shared, |program| Command::new(program));
}

#[test]
fn c1_the_c_example_leaks_nothing_and_touches_nothing_that_is_not_its_own() {
    if lacks("gcc") || lacks("valgrind") {
        return;
    }
    story(Linked::Static, checked);
}

fn story(linked: Linked, start: impl FnOnce(&Path) -> Command) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("agent");
    compile("examples/c/agent.c", &library(), linked, &program);
    let authority = Authority::new();
    let runtime = Runtime::new().expect("a runtime");
    let mut chain = runtime.block_on(Chain::start(&authority, directory.path()));

    let queue = format!("message_bytes_max = \"16KiB\"\nqueue.bytes_max = \"{QUEUE_BYTES}B\"\n");
    let home = directory.path().join(AGENT);
    let config = authority.configure_agent(&home, AGENT, GATEWAY, chain.gateway_address().port(), &queue);
    let agent = Running::start(start(&program).arg(config));

    // Nothing is acknowledged yet: the queue fills, and the program has to wait for space.
    wait_until("the queue is full", || queue_bytes(&home.join("state")) > QUEUE_BYTES * 9 / 10);
    runtime.block_on(chain.take_lines(LINES / 2));

    // The gateway goes away under the program, which has the default disposition of SIGPIPE, and comes back.
    runtime.block_on(chain.restart_gateway());
    runtime.block_on(chain.take_lines(LINES));

    runtime.block_on(chain.group.send(AGENT, "restart at noon")).expect("the message is taken");
    assert_eq!(agent.printed_line(), "restart at noon");
    let said = agent.end();
    assert!(said.contains(&format!("stored up to {LINES}, delivered up to {LINES}")), "{said}");
    runtime.block_on(chain.end());
}

/// The nodes above the agent.
struct Chain {
    group: ManagementGroup,
    server: ManagementServer,
    deliveries: Deliveries,
    gateway: Option<Gateway>,
    identity: Identity,
    upstream: u16,
    /// The number of the next line.
    next: usize,
}

impl Chain {
    async fn start(authority: &Authority, directory: &Path) -> Self {
        let [server_identity, identity] = [SERVER, GATEWAY].map(|name| {
            let home = directory.join(name);
            std::fs::create_dir(&home).expect("a directory");
            authority.issue(&home, name);
            Identity::from_directory(home, name).expect("an identity")
        });
        let store = format!("sqlite://{}", directory.join("group.db").display());
        let group = ManagementGroup::open_new(&store, "CORP").await.expect("a group");
        group.set_unknown_agents(UnknownAgents::Approve).await.expect("agents are approved");
        let builder = ManagementServer::builder(server_identity, group.clone()).listen(loopback(0));
        let mut server = builder.start().await.expect("the server starts");
        group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.expect("the gateway is approved");
        let upstream = server.local_address().expect("an address").port();
        let deliveries = server.deliveries().expect("the deliveries");
        let gateway = Some(start_gateway(&identity, upstream, 0).await);
        Self { group, server, deliveries, gateway, identity, upstream, next: 0 }
    }

    fn gateway_address(&self) -> SocketAddr {
        self.gateway.as_ref().and_then(Gateway::local_address).expect("the gateway listens")
    }

    async fn restart_gateway(&mut self) {
        let port = self.gateway_address().port();
        drop(self.gateway.take());
        self.gateway = Some(start_gateway(&self.identity, self.upstream, port).await);
    }

    /// Takes and acknowledges the lines up to a number at least: each in order, and again only if it says so.
    async fn take_lines(&mut self, end: usize) {
        while self.next < end {
            let batch = timeout(PATIENCE, self.deliveries.next()).await.expect("lines come").expect("the server runs");
            for item in batch.iter() {
                let Item::Message(message) = item else { panic!("{item:?}") };
                let number = usize::try_from(message.sequence.0).expect("a small number") - 1;
                assert_eq!((message.agent.as_str(), &message.payload[..]), (AGENT, line(number).as_bytes()));
                let next = self.next;
                assert!(number == next || (number < next && message.redelivered), "{number} instead of {next}");
                self.next = next.max(number + 1);
            }
            batch.acknowledge();
        }
    }

    async fn end(mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.close(PATIENCE).await.expect("the gateway closes");
        }
        self.server.close(PATIENCE).await.expect("the server closes");
    }
}

/// A gateway on a port; where one has just ended, the port may take a moment.
async fn start_gateway(identity: &Identity, upstream: u16, port: u16) -> Gateway {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let assignment = Assignment::primary(&format!("{SERVER}:{upstream}")).expect("an upstream");
        let builder = Gateway::builder(identity.clone()).management_group("CORP").upstream(assignment);
        let host = Name::parse(SERVER).expect("a name");
        let builder = builder.host(host, vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]).listen(loopback(port));
        match builder.start().await {
            Ok(gateway) => return gateway,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The program, with the lines on its standard input, which stays open.
struct Running {
    child: Child,
    printed: Receiver<String>,
    said: JoinHandle<String>,
    writer: Option<JoinHandle<std::process::ChildStdin>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("its standard input");
        let writer = thread::spawn(move || {
            for number in 0..LINES {
                writeln!(input, "{}", line(number)).expect("the program reads");
            }
            input
        });
        let complaints = child.stderr.take().expect("its standard error");
        let said = thread::spawn(move || {
            let lines = BufReader::new(complaints).lines().map(|line| line.expect("text"));
            lines.inspect(|line| eprintln!("{line}")).collect::<Vec<_>>().join("\n")
        });
        let output = child.stdout.take().expect("its standard output");
        let (sender, printed) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, printed, said, writer: Some(writer) }
    }

    fn printed_line(&self) -> String {
        self.printed.recv_timeout(PATIENCE).expect("a line is printed")
    }

    /// Ends its standard input, and gives what it said until it exited, with success.
    fn end(mut self) -> String {
        drop(self.writer.take().map(|writer| writer.join().expect("all is written")));
        wait_until("the program ends", || self.child.try_wait().expect("a child").is_some());
        let status = self.child.wait().expect("it has ended");
        let said = std::mem::replace(&mut self.said, thread::spawn(String::new)).join().expect("what it said");
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the agent's status says of its queue; 0 while it does not answer yet.
fn queue_bytes(state: &Path) -> u64 {
    let mut text = String::new();
    let answered =
        UnixStream::connect(state.join("status.sock")).and_then(|mut stream| stream.read_to_string(&mut text));
    let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    answered.ok().and_then(|_| status["queue"]["bytes"].as_u64()).unwrap_or(0)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn line(number: usize) -> String {
    format!("line {number:05} of a log that is longer than a queue, as logs are")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
