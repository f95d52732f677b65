//! `farpost cert request`: a new key that stays here, and what a CA is asked to sign.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use farpost::{Code, Config, IdentityFiles, KeyKind, Name, WaitingRequest};

use crate::ca::refuse_address;
use crate::cert::words::NameWord;
use crate::failure::Failure;
use crate::files::{self, Readers};

/// Where a node's identity is unless told otherwise.
const DIRECTORY: &str = "/etc/farpost/identity";

/// The arguments of `cert request`.
#[derive(Args)]
pub(crate) struct RequestArguments {
    /// The node's DNS name; that of the configuration, if one is given
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    subject_name: Option<Name>,
    /// What key to make
    #[arg(long, value_enum, default_value_t = KeyWord(KeyKind::P256))]
    key_type: KeyWord,
    /// Where the key waits for its certificate: the node's identity directory [default: /etc/farpost/identity]
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "config")]
    directory: Option<PathBuf>,
    /// The node's configuration, which names the identity directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the certificate's name will be read; cn and cn-and-san demand a common name
    #[arg(long, value_enum)]
    name_rule: Option<NameWord>,
    /// Where the request is written, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// The words of `--key-type`.
#[derive(Clone, Copy)]
pub(crate) struct KeyWord(KeyKind);

impl KeyWord {
    pub(crate) fn kind(self) -> KeyKind {
        self.0
    }
}

impl Default for KeyWord {
    fn default() -> Self {
        Self(KeyKind::P256)
    }
}

impl ValueEnum for KeyWord {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(KeyKind::P256),
                Self(KeyKind::P384),
                Self(KeyKind::Rsa2048),
                Self(KeyKind::Rsa3072),
                Self(KeyKind::Rsa4096),
                Self(KeyKind::Ed25519),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.as_str()))
    }
}

pub(super) fn execute(arguments: &RequestArguments) -> Result<(), Failure> {
    let (files, name) = identity(arguments)?;
    let made = files.make_request(&name, arguments.key_type.0)?;
    let pem = made.request.to_pem();
    if let Some(out) = &arguments.out {
        files::write(out, pem.as_bytes(), Readers::All)?;
    }
    if arguments.json {
        println!("{}", as_json(&made, &pem));
    } else if arguments.out.is_none() {
        print!("{pem}");
    }
    if !arguments.json {
        tell_next(arguments, &made);
    }
    Ok(())
}

/// Where the identity is, and whose.
fn identity(arguments: &RequestArguments) -> Result<(IdentityFiles, Name), Failure> {
    let mut files = IdentityFiles::default();
    let mut configured = None;
    if let Some(file) = &arguments.config {
        let config = Config::from_toml(&files::read_text(file)?, &file.display().to_string())?;
        files = config.identity;
        configured = config.name;
    } else {
        // A whole path: what is told of it holds in every directory.
        let directory = arguments.directory.as_deref().unwrap_or(Path::new(DIRECTORY));
        let whole = std::path::absolute(directory).map_err(|error| files::unreadable(directory, &error))?;
        files.directory = Some(whole);
    }
    if let Some(word) = arguments.name_rule {
        files.name_rule = word.rule();
    }
    let name = match (&arguments.subject_name, configured) {
        (Some(given), Some(configured)) if *given != configured => {
            return Err(Failure::new(Code::NameMismatch, "--subject-name").found(given).expected(configured));
        }
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name,
        (None, None) => {
            return Err(
                Failure::new(Code::ConfigMissingKey, "name").expected("name in the configuration, or --subject-name")
            );
        }
    };
    refuse_address(&name)?;
    Ok((files, name))
}

fn as_json(made: &WaitingRequest, pem: &str) -> serde_json::Value {
    serde_json::json!({
        "name": made.request.name().as_str(),
        "key_kind": made.request.key_kind(),
        "key_sha256": made.request.key_fingerprint(),
        "key": made.key_file.display().to_string(),
        "request": made.request_file.display().to_string(),
        "pem": pem,
    })
}

/// What to do with the request, on standard error, so that the request alone can be piped.
fn tell_next(arguments: &RequestArguments, made: &WaitingRequest) {
    let name = made.request.name();
    let request = arguments.out.as_deref().unwrap_or(&made.request_file);
    let request = request.display();
    eprintln!(
        "key      {}  ({}, waits for its certificate; it stays here)",
        made.key_file.display(),
        made.request.key_kind()
    );
    eprintln!("request  {}", made.request_file.display());
    eprintln!();
    eprintln!("Let a CA sign the request, with its name and both purposes:");
    eprintln!(
        "  OpenSSL  openssl x509 -req -in {request} -CA ca.pem -CAkey ca.key -copy_extensions copyall -sha256 -days 365 -out {name}.pem"
    );
    eprintln!("  AD CS    certreq -submit -attrib \"CertificateTemplate:TEMPLATE\" {request} {name}.cer");
    eprintln!("           TEMPLATE: Server and Client Authentication, subject name supplied in the request");
    eprintln!("  farpost  farpost ca sign --directory CA --request {request} --out .");
    eprintln!("Then install what it answers, with the intermediate CAs' certificates if there are some:");
    eprintln!("  farpost cert import --subject-name {name}{} ANSWER.pem [INTERMEDIATE.pem …]", place(arguments));
    eprintln!(
        "The first time with the certificate of the root CA, which came by a way that you trust: --trust ROOT.pem"
    );
}

/// Where `cert import` has to look for the key.
fn place(arguments: &RequestArguments) -> String {
    let option = |option: &str, path: &Path| format!(" --{option} {}", path.display());
    match (&arguments.config, &arguments.directory) {
        (Some(config), _) => option("config", config),
        (None, Some(directory)) => option("directory", directory),
        (None, None) => String::new(),
    }
}
