//! A temporary directory with a CA, certificates and the configurations of all nodes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

use crate::Outcome;

/// The management group of the story.
pub(crate) const GROUP: &str = "CHAIN";
/// How long the primary must have been healthy before a gateway moves back to it.
pub(crate) const HOLD_DOWN: Duration = Duration::from_secs(2);

pub(crate) fn server(number: usize) -> String {
    format!("ms{number}.corp.example")
}

pub(crate) fn gateway(number: usize) -> String {
    format!("gw{number}.branch.example")
}

/// The name of an agent, counted from 0.
pub(crate) fn agent(index: usize) -> String {
    format!("pc{:02}.branch.example", index + 1)
}

/// The agent of a name that [`agent`] gave.
pub(crate) fn agent_index(name: &str) -> Option<usize> {
    let number: usize = name.strip_prefix("pc")?.strip_suffix(".branch.example")?.parse().ok()?;
    number.checked_sub(1)
}

/// A node and the port where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }
}

pub(crate) struct Laboratory {
    directory: TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl Laboratory {
    pub(crate) fn new() -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("farpost-chain-").tempdir()?;
        let key = KeyPair::generate()?;
        let mut params = params(Vec::new(), "farpost chain CA")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        fs::write(directory.path().join("ca.pem"), certificate.pem())?;
        fs::create_dir(directory.path().join("log"))?;
        Ok(Self { directory, authority: Issuer::new(params, key) })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.path().join(file)
    }

    pub(crate) fn store_url(&self) -> String {
        format!("sqlite://{}", self.at("group.db").display())
    }

    pub(crate) fn state_directory(&self, name: &str) -> PathBuf {
        self.at(&format!("state-{name}"))
    }

    /// The log of the process that runs a node.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.at(&format!("log/{name}.log"))
    }

    /// Keeps the directory: something went wrong, and somebody will want to look.
    pub(crate) fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    /// A certificate for a node, as every other in farpost: both purposes, its name as dNSName.
    pub(crate) fn certify(&self, name: &str) -> Outcome<()> {
        let key = KeyPair::generate()?;
        let mut params = params(vec![name.to_owned()], name)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.authority)?;
        fs::write(self.at(&format!("{name}.pem")), certificate.pem())?;
        let mut file =
            fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.at(&format!("{name}.key")))?;
        file.write_all(key.serialize_pem().as_bytes())?;
        Ok(())
    }

    /// Writes a management server's configuration.
    pub(crate) fn configure_server(&self, place: &Place) -> Outcome<PathBuf> {
        let rest =
            format!("[listen]\naddress = \"127.0.0.1:{}\"\n[store]\nurl = \"{}\"\n", place.port, self.store_url());
        self.configure("management-server", &place.name, "", &rest)
    }

    /// Writes a gateway's configuration; its upstreams are management servers.
    pub(crate) fn configure_gateway(&self, place: &Place, upstreams: &[Place]) -> Outcome<PathBuf> {
        let rest = format!("[listen]\naddress = \"127.0.0.1:{}\"\n{}", place.port, upstream_tables(upstreams));
        self.configure("gateway", &place.name, "heartbeat = \"1s\"\n", &rest)
    }

    /// Writes an agent's configuration; its upstreams are gateways.
    pub(crate) fn configure_agent(&self, name: &str, upstreams: &[&Place]) -> Outcome<PathBuf> {
        let upstreams: Vec<Place> = upstreams.iter().map(|place| (*place).clone()).collect();
        self.configure("agent", name, "heartbeat = \"1s\"\n", &upstream_tables(&upstreams))
    }

    fn configure(&self, role: &str, name: &str, more: &str, tables: &str) -> Outcome<PathBuf> {
        let text = format!(
            "role = \"{role}\"\nname = \"{name}\"\nmanagement_group = \"{GROUP}\"\nstate_directory = \"{}\"\n{more}\
             [identity]\ncertificate = \"{}\"\nkey = \"{}\"\ntrust = [\"{}\"]\n{tables}",
            self.state_directory(name).display(),
            self.at(&format!("{name}.pem")).display(),
            self.at(&format!("{name}.key")).display(),
            self.at("ca.pem").display(),
        );
        let path = self.at(&format!("{name}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// `[upstream]`, and `[hosts]` so that no DNS is asked; a hold-down of seconds, so that the story does not take minutes.
fn upstream_tables(upstreams: &[Place]) -> String {
    let failover: Vec<String> = upstreams.iter().skip(1).map(|place| format!("\"{}\"", place.text())).collect();
    let hosts: String = upstreams.iter().map(|place| format!("\"{}\" = [\"127.0.0.1\"]\n", place.name)).collect();
    format!(
        "[upstream]\nprimary = \"{}\"\nfailover = [{}]\n[failback]\nhold_down = \"{}s\"\njitter = \"200ms\"\n[hosts]\n{hosts}",
        upstreams.first().map(Place::text).unwrap_or_default(),
        failover.join(", "),
        HOLD_DOWN.as_secs(),
    )
}

fn params(names: Vec<String>, common_name: &str) -> Outcome<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(HOUR);
    params.not_after = epoch + now + 24 * HOUR;
    Ok(params)
}

const HOUR: Duration = Duration::from_secs(3_600);
