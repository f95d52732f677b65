//! `farpost enroll`: a node's first certificate, for a one-time token.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use farpost::{Code, Enrolment, EnrolmentOutcome, EnrolmentToken, Error, Identity, Name, NodeAddress, Role};
use zeroize::Zeroizing;

use crate::cert::KeyWord;
use crate::failure::Failure;
use crate::files;
use crate::group::wait;
use crate::secret;
use crate::token::RoleWord;
use crate::when::duration;

/// The arguments of `enroll`.
#[derive(Args)]
pub(crate) struct EnrollArguments {
    /// The file that holds the token, - for standard input; never the token itself, which others would see in the list of
    /// processes [default: asked for at the terminal, else standard input]
    #[arg(long, value_name = "FILE", conflicts_with = "token_fd")]
    token: Option<String>,
    /// The open file descriptor that the token is read from
    #[arg(long, value_name = "NUMBER")]
    token_fd: Option<u32>,
    /// This node's DNS name, as the token has it
    #[arg(long, value_name = "NAME")]
    subject_name: Name,
    /// What this node will be, as the token has it
    #[arg(long, value_enum)]
    role: RoleWord,
    /// The gateway that the token is for, with its enrolment port [default port: 5724]
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "server", conflicts_with = "server")]
    gateway: Option<String>,
    /// The management server to enrol at, where the token is for no gateway [default port: 5724]
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Where that name is reached, instead of asking DNS
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The management group; case matters
    #[arg(long, value_name = "GROUP")]
    management_group: String,
    /// The CA that issues the group's certificates: trust never comes over the network
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
    /// Where key, certificate and trust are kept: the node's identity directory
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/farpost/identity")]
    directory: PathBuf,
    /// What key to make; one that waits there already is used as it is
    #[arg(long, value_enum, default_value_t = KeyWord::default())]
    key_type: KeyWord,
    /// How long to ask again where the answer is not there yet
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// Print what was installed as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(arguments: &EnrollArguments) -> Result<(), Failure> {
    let role = arguments.role.role();
    let address = node_address(arguments.gateway.as_ref().or(arguments.server.as_ref()).map_or("", String::as_str))?;
    let token = read_token(arguments)?;
    let make = if arguments.gateway.is_some() { Enrolment::at_gateway } else { Enrolment::at_management_server };
    let (name, group, directory) = (&arguments.subject_name, &arguments.management_group, &arguments.directory);
    let mut enrolment = make(name.clone(), role, group.clone(), address.clone(), directory.clone());
    enrolment = enrolment.key_kind(arguments.key_type.kind());
    for file in &arguments.trust {
        enrolment = enrolment.trust(file);
    }
    if !arguments.address.is_empty() {
        enrolment = enrolment.host(address.name.clone(), arguments.address.clone());
    }
    wait(async {
        let identity = ask(&enrolment, &token, arguments).await?;
        tell(&identity, role, arguments);
        Ok(())
    })
}

/// Asks until there is an answer, or the time is over. What passes by itself is asked again; a refusal is one.
async fn ask(enrolment: &Enrolment, token: &EnrolmentToken, arguments: &EnrollArguments) -> Result<Identity, Failure> {
    let until = Instant::now() + arguments.timeout;
    let mut told = false;
    loop {
        let (rest, found) = match enrolment.ask(token).await {
            Ok(EnrolmentOutcome::Installed(identity)) => return Ok(identity),
            Ok(EnrolmentOutcome::Pending { retry_after, .. }) => {
                let found = "the certificate authority has the request and has not answered yet".to_owned();
                (retry_after, found)
            }
            Err(error) if is_passing(&error) => (RETRY_AFTER, error.to_string()),
            Err(error) => return Err(in_terms_of_the_command(error)),
            Ok(_) => return Err(Failure::new(Code::Internal, "enrolment")),
        };
        let rest = rest.clamp(RETRY_AFTER, RETRY_AFTER_MAX);
        if Instant::now() + rest > until {
            let again = "run the same command again later, with the same token: the key waits in the directory";
            let failure = Failure::new(Code::TimedOut, arguments.subject_name.as_str()).found(found);
            return Err(failure.expected(format!("a certificate within {:?}", arguments.timeout)).remedy(again));
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("not yet: {found}; asking again for up to {:?}", arguments.timeout);
        }
        tokio::time::sleep(rest).await;
    }
}

/// A failure whose remedy names this command's options: there is no configuration yet.
fn in_terms_of_the_command(error: Error) -> Failure {
    let remedy = match error.code() {
        Code::NameNotResolved => "add it to DNS, or give its address: --address IP",
        Code::GroupMismatch => "give the group's name as the group has it (case matters): --management-group",
        Code::TlsFailed | Code::AlpnMissing => {
            "give the enrolment port, which is not the port of links: enrolment.listen of the gateway or server, mostly 5724"
        }
        Code::IssuerUnknown => "give the certificate of the CA that issues the group's certificates: --trust FILE",
        _ => return error.into(),
    };
    Failure::from(error).remedy(remedy)
}

/// What may be different in a moment without anybody's help.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::RenewalTooOften
            | Code::UpstreamUnavailable
            | Code::StoreUnavailable
            | Code::StoreBusy
            | Code::ConnectFailed
            | Code::LinkDown
            | Code::TimedOut
            | Code::ShuttingDown
    )
}

fn tell(identity: &Identity, role: Role, arguments: &EnrollArguments) {
    let whole = std::path::absolute(&arguments.directory).unwrap_or_else(|_| arguments.directory.clone());
    let (name, directory) = (identity.name(), whole.display());
    if arguments.json {
        let document = serde_json::json!({
            "name": name.as_str(), "role": role.as_str(), "until": identity.not_after().to_string(),
            "directory": directory.to_string(),
        });
        println!("{document}");
        return;
    }
    println!("{name} has a certificate until {}, in {directory}", identity.not_after());
    println!("next: on a management server, let it in, unless that was done:");
    match role {
        Role::Gateway => {
            println!("        farpost approve --management-server-name SERVER --gateway-name {name} --action create")
        }
        _ => println!("        farpost agent approve {name}"),
    }
    println!("      here, with identity.directory = \"{directory}\" in its configuration:");
    println!("        farpost {role} run --config FILE");
}

/// `host` or `host:port`; the host is a name, since that is what its certificate proves.
fn node_address(text: &str) -> Result<NodeAddress, Failure> {
    let usage = |found: String| Failure::new(Code::Usage, "--gateway, --server").found(found).expected("HOST:PORT");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| usage(format!("the port \"{port}\"")))?),
        None => (text, ENROLMENT_PORT),
    };
    let name: Name = host.parse().map_err(|_| usage(format!("the host \"{host}\"")))?;
    Ok(NodeAddress { name, port })
}

/// The token, from where nobody else sees it.
fn read_token(arguments: &EnrollArguments) -> Result<EnrolmentToken, Failure> {
    let text = match (&arguments.token, arguments.token_fd) {
        (Some(file), _) if file == "-" => from(std::io::stdin().lock(), "standard input")?,
        (Some(file), _) if file.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("fpt1-")) => {
            return Err(Failure::new(Code::Usage, "--token")
                .found("the token itself, which every user of this computer can see now")
                .expected("the file that holds it, or - for standard input")
                .remedy(
                    "delete this token (farpost token delete), make another, and put it into a file of mode 0600",
                ));
        }
        (Some(file), _) => {
            let path = Path::new(file);
            from(File::open(path).map_err(|error| files::unreadable(path, &error))?, file)?
        }
        (None, Some(descriptor)) => secret::of_descriptor(descriptor)?,
        (None, None) if std::io::stdin().is_terminal() => {
            let question = format!("Token of {}", arguments.subject_name);
            secret::prompt(&question)
                .ok_or_else(|| Failure::new(Code::FileUnreadable, "the terminal").found("no token"))?
        }
        (None, None) => from(std::io::stdin().lock(), "standard input")?,
    };
    Ok(EnrolmentToken::parse(text.trim())?)
}

fn from(reader: impl Read, what: &str) -> Result<Zeroizing<String>, Failure> {
    // Made large enough at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX));
    let read = reader.take(TOKEN_BYTES_MAX as u64).read_to_string(&mut text);
    read.map_err(|error| Failure::new(Code::FileUnreadable, what).found(error))?;
    Ok(text)
}

/// Where enrolment listens in the examples and in this command's default.
const ENROLMENT_PORT: u16 = 5724;
/// More than a token's text, with what people put between its groups.
const TOKEN_BYTES_MAX: usize = 512;
/// How soon it is asked again at the earliest, and at the latest.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
