//! The processes under measurement: the gateway, and the management server with an application that checks every
//! message and acknowledges at once.

use std::collections::HashMap;
use std::io::BufRead;
use std::net::SocketAddr;

use farpost::{
    ApprovedFor, Assignment, Deliveries, Epoch, Gateway, Item, ManagementGroup, ManagementServer, Name, Sequence,
};

use crate::lab::{Authority, GROUP, LOOPBACK, SERVER};
use crate::options::Options;

/// Runs a management server until standard input ends.
pub(crate) async fn server(options: &Options) {
    let directory = options.directory();
    let authority = Authority::open(&directory);
    let authority = if options.has("lists") { authority.with_lists(&directory) } else { authority };
    let identity = authority.identity(SERVER);
    let url = format!("sqlite://{}", directory.join("group.db").display());
    let group = ManagementGroup::open_new(&url, GROUP).await.expect("the group store");
    let mut builder = ManagementServer::builder(identity, group)
        .listen(SocketAddr::new(LOOPBACK, 0))
        .set("unknown_agents", "approve")
        .expect("an option");
    if options.has("store") {
        builder = builder.set("output.store", "true").expect("an option");
    }
    let mut server = builder.start().await.expect("a management server");
    let group = ManagementGroup::open(&url).await.expect("the group store");
    for gateway in ["gw1", "gw2"] {
        let gateway = format!("{gateway}.bench.example");
        group.approve_gateway(&gateway, ApprovedFor::ManagementServer(SERVER)).await.expect("an approval");
    }
    let application = server.deliveries().filter(|_| !options.has("store"));
    let application = application.map(|deliveries| tokio::spawn(acknowledge(deliveries, options.number("bytes", 256))));
    println!("ready {}", server.local_address().expect("an address").port());
    until_input_ends().await;
    if let Some(application) = application {
        application.abort();
        assert!(application.await.is_err_and(|error| error.is_cancelled()), "the application found a fault");
    }
}

/// Checks that each agent's messages come whole, in order and without a gap; acknowledges batch by batch.
async fn acknowledge(mut deliveries: Deliveries, bytes: u64) {
    let mut reached: HashMap<(Name, Epoch), Sequence> = HashMap::new();
    while let Some(batch) = deliveries.next().await {
        let mut present: Option<((Name, Epoch), Sequence)> = None;
        for item in batch.iter() {
            let Item::Message(message) = item else { panic!("a gap: {item:?}") };
            let last = match &mut present {
                Some(((name, epoch), last)) if name == message.agent && *epoch == message.epoch => last,
                _ => {
                    reached.extend(present.take());
                    let key = (message.agent.clone(), message.epoch);
                    let last = reached.get(&key).copied().unwrap_or(Sequence::NONE);
                    &mut present.insert((key, last)).1
                }
            };
            // After a failover what was handed over may come again, marked.
            let follows = message.sequence == last.next() || message.redelivered && message.sequence <= *last;
            if !follows || message.payload.len() as u64 != bytes {
                fault(&format!("{} after {last} of {}", message.sequence, message.agent));
            }
            *last = message.sequence.max(*last);
        }
        reached.extend(present);
        batch.acknowledge();
    }
}

/// What the far end found makes every figure worthless.
fn fault(what: &str) -> ! {
    eprintln!("chain: {what}");
    std::process::exit(1);
}

/// Runs a gateway until standard input ends.
pub(crate) async fn gateway(options: &Options) {
    let name = options.text("name", "gw1.bench.example");
    let identity = Authority::open(&options.directory()).identity(&name);
    let upstream = format!("{SERVER}:{}", options.number("upstream", 0));
    let gateway = Gateway::builder(identity)
        .management_group(GROUP)
        .upstream(Assignment::primary(&upstream).expect("an upstream"))
        .listen(SocketAddr::new(LOOPBACK, 0))
        .host(Name::parse(SERVER).expect("a name"), vec![LOOPBACK])
        .start()
        .await
        .expect("a gateway");
    println!("ready {}", gateway.local_address().expect("an address").port());
    until_input_ends().await;
}

/// The parent holds the other end: when it is gone, so are its processes.
pub(crate) async fn until_input_ends() {
    let wait = || std::io::stdin().lock().lines().for_each(drop);
    tokio::task::spawn_blocking(wait).await.expect("a thread that reads");
}
