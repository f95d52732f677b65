//! `farpost status`: asks a running node over the Unix socket in its state directory.
//!
//! The node answers every connection with one JSON document and closes. Every key may be absent; unknown ones
//! are shown by `--json` alone. Times are RFC 3339 in UTC.
//!
//! ```json
//! {"role":"gateway","name":"gw1.branch.example","management_group":"CORP","uptime_seconds":273600,
//!  "upstream":{"name":"ms2.corp.example","address":"10.0.0.6:5723","position":"failover",
//!              "since":"2026-11-22T12:04:11.020Z","why":"ms1.corp.example sent nothing for 30 s (FP2103)"},
//!  "standbys":[{"name":"ms1.corp.example","address":"10.0.0.5:5723","ready":true,
//!               "proven":"2026-11-22T12:09:40.000Z","why":null,"failback_in_seconds":41}],
//!  "agents":{"connected":412,"silent":3,"pending":1},
//!  "gateways":{"connected":0,"silent":0,"pending":0},
//!  "queue":{"messages":1204,"bytes":317440,"oldest_milliseconds":800,"delivered_sequence":8411},
//!  "store":{"works":false,"since":"2026-11-22T12:04:11.020Z","why":"FP3016 the group store cannot be used: …"},
//!  "identity":{"until":"2027-02-01T00:00:00.000Z","until_unix_seconds":1801440000,"days":71,"generation":2,
//!              "renewal_from":"2026-12-15T00:00:00.000Z","shown_until":"2026-12-01T00:00:00.000Z"},
//!  "expiry":{"peer":{"subject":"pc7.branch.example","until":"2026-12-01T00:00:00.000Z",
//!                    "until_unix_seconds":1796083200,"days":8,"count":412},"authority":{…},"list":{…}}}
//! ```

mod document;
mod metrics;

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use farpost::{Code, Config};

use crate::failure::{Failure, printable};
use crate::files;

use document::Document;

/// The arguments of `status`.
#[derive(Args)]
pub(crate) struct StatusArguments {
    /// The node's configuration, TOML
    #[arg(long, value_name = "FILE", required_unless_present = "state_directory")]
    config: Option<PathBuf>,
    /// The node's state directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "config")]
    state_directory: Option<PathBuf>,
    /// Print the node's answer as it is
    #[arg(long)]
    json: bool,
    /// Print figures as OpenMetrics text, for a monitoring system
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

pub(crate) fn execute(arguments: &StatusArguments) -> Result<(), Failure> {
    let directory = state_directory(arguments)?;
    let answer = ask(&directory)?;
    if arguments.json {
        println!("{}", answer.trim_end());
        return Ok(());
    }
    let document: Document = serde_json::from_str(&answer).map_err(|error| {
        Failure::new(Code::Internal, directory.join(SOCKET).display())
            .found(format!("an answer that cannot be read: {error}"))
            .remedy("use the farpost command of the release that runs, or --json")
    })?;
    if arguments.metrics {
        print!("{}", metrics::text(&document));
        return Ok(());
    }
    print!("{}", document.lines().map(|line| printable(&line) + "\n").collect::<String>());
    Ok(())
}

/// Status needs no valid configuration, only the state directory of one.
fn state_directory(arguments: &StatusArguments) -> Result<PathBuf, Failure> {
    if let Some(directory) = &arguments.state_directory {
        return Ok(directory.clone());
    }
    let file = arguments.config.as_deref().unwrap_or(Path::new(""));
    let config = Config::from_toml(&files::read_text(file)?, &file.display().to_string())?;
    config.state_directory.ok_or_else(|| {
        Failure::new(Code::ConfigMissingKey, format!("{}: state_directory", file.display()))
            .expected("the directory whose process is asked")
    })
}

/// One connection, one document.
fn ask(directory: &Path) -> Result<String, Failure> {
    let path = directory.join(SOCKET);
    let failed = |error: std::io::Error| {
        let code = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Code::NotRunning,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Code::TimedOut,
            _ => Code::FileUnreadable,
        };
        Failure::new(code, path.display()).found(error)
    };
    let stream = UnixStream::connect(&path).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(failed)?;
    Ok(answer)
}

/// The socket's name in the state directory; mode 0600.
const SOCKET: &str = "status.sock";
/// A node answers from memory; ten seconds of silence is a node that hangs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Far above any answer: what listens there may be something else.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
