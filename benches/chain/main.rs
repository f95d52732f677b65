//! A whole chain on loopback, agents → gateway → management server, as processes of its own.
//!
//! Without arguments a short form of every scenario; benches/README.md has the arguments and the figures.

mod crowd;
mod lab;
mod load;
mod node;
mod options;
mod process;
mod report;
mod scenario;

#[path = "../../tests/common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod pki;
#[path = "../../tests/refusals/wire.rs"]
#[expect(dead_code, reason = "the protocol's second implementation, shared with the tests")]
mod wire;

use options::Options;

fn main() {
    let options = Options::of_process();
    if !options.has("node") {
        return scenario::run(&options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match options.text("node", "").as_str() {
            "server" => node::server(&options).await,
            "gateway" => node::gateway(&options).await,
            "load" => load::load(&options).await,
            "crowd" => crowd::crowd(&options).await,
            other => panic!("no node {other}"),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
}
