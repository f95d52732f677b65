//! `farpost cert check`: a node's own certificate, or a peer's, from files or from where the peer listens.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use farpost::{
    CertificateCheck, Code, Config, Identity, IdentityFiles, IdentityPolicy, Name, PeerCheck, Trust, check_certificate,
    fetch_chain,
};

use crate::cert::show::{PolicyArguments, conclude, read, read_all, slices};
use crate::clock::now;
use crate::failure::Failure;
use crate::files;

/// The arguments of `cert check`.
#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The identity that a configuration names under [identity]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["directory", "certificate", "key"])]
    config: Option<PathBuf>,
    /// The identity of --name in an identity directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["certificate", "key"])]
    directory: Option<PathBuf>,
    /// A certificate, then its intermediates: PEM or DER
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "directory", "host"])]
    certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The certificate of the peer that listens there; --config or --directory give what to trust and what to present
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["certificate", "key"])]
    host: Option<String>,
    /// The name that the peer at --host must prove, where it is not the host's
    #[arg(long, value_name = "NAME", requires = "host")]
    server_name: Option<Name>,
    /// The CAs that are trusted
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "directory"])]
    trust: Vec<PathBuf>,
    /// Revocation lists
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The name that the certificate must prove; with --directory, whose identity it is
    #[arg(long, visible_alias = "subject-name", value_name = "NAME")]
    name: Option<Name>,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What is checked: the files and the demands.
struct Subject {
    /// Where names are reached, ahead of DNS.
    hosts: BTreeMap<Name, Vec<IpAddr>>,
    /// The files of an own identity, where they are one.
    own: Option<(IdentityFiles, Name)>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    trust: Vec<PathBuf>,
    crls: Vec<PathBuf>,
    name: Option<Name>,
    policy: IdentityPolicy,
}

pub(super) fn execute(arguments: &CheckArguments) -> Result<(), Failure> {
    let subject = Subject::of(arguments)?;
    match &arguments.host {
        Some(host) => {
            let (check, more) = subject.check_listener(host, arguments.server_name.as_ref())?;
            conclude(&check, more, arguments.json)
        }
        None if subject.is_protected() => conclude(&subject.check_protected()?, Vec::new(), arguments.json),
        None => {
            let check = subject.check_files()?;
            conclude(&check, subject.exposed_key()?.into_iter().collect(), arguments.json)
        }
    }
}

impl Subject {
    fn of(arguments: &CheckArguments) -> Result<Self, Failure> {
        if arguments.config.is_some() && (arguments.policy.are_given() || arguments.name.is_some()) {
            return Err(Failure::new(Code::Usage, "")
                .found("--config with a name or a policy beside it")
                .expected("the configuration's own, or files without --config"));
        }
        let mut subject = match (&arguments.config, &arguments.directory) {
            (Some(file), _) => Self::of_config(file)?,
            (None, Some(directory)) => Self::of_directory(directory, arguments)?,
            (None, None) => Self {
                own: None,
                hosts: BTreeMap::new(),
                certificate: arguments.certificate.clone(),
                key: arguments.key.clone(),
                trust: Vec::new(),
                crls: Vec::new(),
                name: arguments.name.clone(),
                policy: arguments.policy.policy(),
            },
        };
        subject.trust.extend(arguments.trust.iter().cloned());
        subject.crls.extend(arguments.crl.iter().cloned());
        Ok(subject)
    }

    fn of_config(file: &Path) -> Result<Self, Failure> {
        let config = Config::from_toml(&files::read_text(file)?, &file.display().to_string())?;
        let name = config.name.clone();
        let missing = |key: &str| Failure::new(Code::ConfigMissingKey, format!("{}: {key}", file.display()));
        match name {
            Some(name) => Ok(Self { hosts: config.hosts, ..Self::of_identity(config.identity, name)? }),
            None if config.identity.pkcs12.is_some() => Err(missing("name").expected("the name that it is to prove")),
            None if config.identity.certificate.is_none() => Err(missing("identity.certificate")
                .remedy("name the files, or give them here: --certificate, --key, --trust")),
            None => Ok(Self::of_files(config.identity, None)),
        }
    }

    fn of_directory(directory: &Path, arguments: &CheckArguments) -> Result<Self, Failure> {
        let name = arguments.name.clone().ok_or_else(|| {
            Failure::new(Code::Usage, "")
                .found("--directory without --name")
                .expected("the name whose identity it holds")
        })?;
        let policy = arguments.policy.policy();
        let mut identity = IdentityFiles::default();
        identity.directory = Some(directory.to_owned());
        identity.name_rule = policy.name_rule;
        identity.crl_policy = policy.crl_policy;
        identity.accept_server_auth_alone = policy.accept_server_auth_alone;
        Self::of_identity(identity, name)
    }

    fn of_identity(identity: IdentityFiles, name: Name) -> Result<Self, Failure> {
        let is_protected = identity.pkcs12.is_some() || identity.password_file.is_some();
        let is_store = identity.directory.is_some() && !is_protected;
        let found = if is_store { identity.resolve(&name)? } else { identity.clone() };
        let own = Some((identity, name.clone()));
        Ok(Self { own, ..Self::of_files(found, Some(name)) })
    }

    fn of_files(identity: IdentityFiles, name: Option<Name>) -> Self {
        let policy = IdentityPolicy {
            name_rule: identity.name_rule,
            crl_policy: identity.crl_policy,
            accept_server_auth_alone: identity.accept_server_auth_alone,
        };
        let (certificate, key) = (identity.certificate, identity.key);
        Self {
            own: None,
            hosts: BTreeMap::new(),
            certificate,
            key,
            trust: identity.trust,
            crls: identity.crls,
            name,
            policy,
        }
    }

    /// Whether certificate and key are only to be had with a password: then the library reads the files.
    fn is_protected(&self) -> bool {
        self.own.as_ref().is_some_and(|(files, _)| files.pkcs12.is_some() || files.password_file.is_some())
    }

    fn check_protected(&self) -> Result<CertificateCheck, Failure> {
        let (files, name) = self.own.as_ref().ok_or_else(|| Failure::new(Code::Internal, "no own identity"))?;
        let mut files = files.clone();
        (files.trust, files.crls) = (self.trust.clone(), self.crls.clone());
        Ok(files.check(name))
    }

    fn check_files(&self) -> Result<CertificateCheck, Failure> {
        let certificate = self.certificate.as_deref().ok_or_else(|| {
            Failure::new(Code::ConfigMissingKey, "identity.certificate")
                .remedy("name the files: --certificate, --trust")
        })?;
        let certificates = read(certificate)?;
        let key = self.key.as_deref().map(read).transpose()?;
        let (trust, crls) = (read_all(&self.trust)?, read_all(&self.crls)?);
        let (trust, crls) = (slices(&trust), slices(&crls));
        Ok(check_certificate(self.name.as_ref(), &certificates, key.as_deref(), &trust, &crls, self.policy, now()))
    }

    /// What a listener presents, as a link to it would judge it. The own identity is presented, if there is one that can
    /// be used; what is wrong with it is not asked here.
    fn check_listener(&self, host: &str, name: Option<&Name>) -> Result<(CertificateCheck, Vec<Failure>), Failure> {
        let name = match name {
            Some(name) => name.clone(),
            None => Name::parse(host.rsplit_once(':').map_or(host, |(name, _)| name))?,
        };
        let (trust, crls) = (read_all(&self.trust)?, read_all(&self.crls)?);
        let own = self.own.as_ref().and_then(|(files, name)| Identity::from_files(files, name).ok());
        let presented = fetch_chain(&self.address_of(host), &name, own.as_ref())?;
        let mut check = match Trust::from_pem(&slices(&trust), &slices(&crls)) {
            Ok(trust) => PeerCheck::new(&trust, now()).policy(self.policy).name(&name).examine(&presented.certificates),
            Err(report) => {
                let mut check = CertificateCheck::default();
                check.report = report;
                check
            }
        };
        check.facts.insert(0, ("listener", presented.address));
        Ok((check, presented.findings.into_iter().map(Failure::from).collect()))
    }

    /// Where a host is reached: as the configuration says, ahead of DNS.
    fn address_of(&self, host: &str) -> String {
        let Some((name, port)) = host.rsplit_once(':') else { return host.to_owned() };
        let known = Name::parse(name).ok().and_then(|name| self.hosts.get(&name)?.first().copied());
        let port = port.parse::<u16>().ok();
        known.zip(port).map_or_else(|| host.to_owned(), |(ip, port)| SocketAddr::new(ip, port).to_string())
    }

    /// A finding if others than the owner can read the key.
    fn exposed_key(&self) -> Result<Option<Failure>, Failure> {
        let Some(key) = &self.key else { return Ok(None) };
        let metadata = key.metadata().map_err(|error| files::unreadable(key, &error))?;
        let mode = metadata.permissions().mode() & 0o777;
        Ok((mode & 0o077 != 0).then(|| {
            Failure::new(Code::KeyExposed, key.display()).found(format!("mode {mode:04o}")).expected("mode 0600")
        }))
    }
}
