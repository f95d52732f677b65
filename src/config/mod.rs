//! The one schema of a node's configuration: what TOML files, the Rust builders and `set(key, value)` of C and
//! Python share.
//!
//! Every key stands once, in `keys.rs`, with its kind, default, roles and meaning; a TOML file is nothing but
//! a sequence of [`Config::set`]. Keys are dotted; a list is comma-separated; a table is dotted as well:
//! `hosts.ms1.corp.example = 10.0.0.5,10.0.0.6`. Nothing here reads a file: paths stay paths.

mod document;
mod keys;
#[cfg(test)]
mod tests;
mod values;

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::limits;
use crate::name::Name;
use crate::role::Role;

pub use values::{AuthorityKind, CrlPolicy, NameRule, NodeAddress, StoreUrl, UnknownAgents, WhenFull};

/// A node's configuration: parsed, typed values; what was not set has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the node is.
    pub role: Role,
    /// The node's own name; its certificate must prove it.
    pub name: Option<Name>,
    /// The management group it belongs to; case matters.
    pub management_group: Option<String>,
    /// The group's Ed25519 public key (RFC 8032 section 5.1.5), as `farpost group key show` has it: what is assigned counts if
    /// it signed it, or a key that took its place (rule G6). Without one a node trusts the key that its first assignment
    /// comes with (agent, gateway).
    pub group_key: Option<[u8; 32]>,
    /// Where the node keeps its state. Without one an agent's queue is in memory (rule D2).
    pub state_directory: Option<PathBuf>,
    /// Who the node is.
    pub identity: IdentityFiles,
    /// Whether and how the node renews its certificate by itself.
    pub renewal: Renewal,
    /// Where a gateway or management server accepts nodes that enrol with a token; nowhere unless set.
    pub enrolment_listen: Option<SocketAddr>,
    /// Where a gateway or management server accepts its downstreams.
    pub listen_address: SocketAddr,
    /// The upstreams to start with; a pushed assignment wins over them.
    pub upstream: Upstreams,
    /// Where names are reached, ahead of DNS.
    pub hosts: BTreeMap<Name, Vec<IpAddr>>,
    /// The queue of an agent.
    pub queue: QueueSettings,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
    /// Where the group store is: `sqlite:///path` or `postgres://user@host/database` (management server).
    pub store_url: Option<StoreUrl>,
    /// Where deliveries go, unless the application takes them (management server).
    pub output: Output,
    /// The file whose lines an agent sends; `-` is standard input.
    pub input_path: Option<PathBuf>,
    /// How long a link may be idle before a heartbeat is sent; dead after three.
    pub heartbeat: Duration,
    /// The TCP connection to an upstream.
    pub connect_timeout: Duration,
    /// From TCP to an accepted HELLO, in all.
    pub hello_timeout: Duration,
    /// First and longest wait between rounds of failed dials.
    pub backoff: Backoff,
    /// When to move back to the primary.
    pub failback: Failback,
    /// How often each standby is proven (rule F3), ± 20 %.
    pub probe_interval: Duration,
    /// What happens to agents that the group has never seen (management server).
    pub unknown_agents: UnknownAgents,
    /// Who issues certificates to the group's nodes (management server).
    pub authority: AuthoritySettings,
}

/// Who issues certificates to the group's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthoritySettings {
    /// What it is.
    pub kind: AuthorityKind,
    /// The directory of the local authority, or of the hand-off.
    pub directory: Option<PathBuf>,
    /// How long the local authority's certificates are valid.
    pub validity: Duration,
}

/// The files of an identity: a directory, or certificate, key and trust by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IdentityFiles {
    /// A directory to look for the certificate of the node's name, its key, trust anchors and CRLs.
    pub directory: Option<PathBuf>,
    /// PEM: the leaf, then its intermediates.
    pub certificate: Option<PathBuf>,
    /// PEM: the leaf's private key.
    pub key: Option<PathBuf>,
    /// PKCS#12: key and chain in one file, instead of `certificate` and `key`.
    pub pkcs12: Option<PathBuf>,
    /// A file with the password of `pkcs12`, or of encrypted keys.
    pub password_file: Option<PathBuf>,
    /// PEM: the CAs that are trusted.
    pub trust: Vec<PathBuf>,
    /// Revocation lists, PEM or DER.
    pub crls: Vec<PathBuf>,
    /// Where the certificate's name is read.
    pub name_rule: NameRule,
    /// What is demanded of the revocation lists.
    pub crl_policy: CrlPolicy,
    /// Accept certificates whose only purpose is serverAuth (rule I2).
    pub accept_server_auth_alone: bool,
}

/// Renewal of the node's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Renewal {
    /// Whether the node asks for its next certificate by itself. Not set: where its identity lies in files that it may
    /// write.
    pub enabled: Option<bool>,
    /// The kind of the next key: `p256`, `p384`, `rsa2048`, `rsa3072`, `rsa4096` or `ed25519`. Not set: the present
    /// one's.
    pub key: Option<String>,
}

/// A primary and ordered failover upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Upstreams {
    /// The upstream to use.
    pub primary: Option<NodeAddress>,
    /// What to use when the primary is dead, in order.
    pub failover: Vec<NodeAddress>,
}

/// An agent's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSettings {
    /// What it may hold, in bytes.
    pub bytes_max: u64,
    /// What happens to a message that does not fit.
    pub when_full: WhenFull,
    /// How long a write waits for company before it is synced; zero: not at all.
    pub commit_delay: Duration,
    /// The size of one file of the queue.
    pub segment_bytes: u64,
}

/// The built-in output of a management server: at most one of the two is set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Output {
    /// A file of JSON lines; `-` is standard output.
    pub path: Option<PathBuf>,
    /// Into the group store, in the cursor's transaction (rule D5a).
    pub store: bool,
}

/// First and longest wait between rounds of failed dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// When to move back to the primary (rule F4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failback {
    /// How long it must have been healthy.
    pub hold_down: Duration,
    /// Added at random, from zero to this.
    pub jitter: Duration,
}

impl Config {
    /// A configuration with the defaults of a role.
    pub fn new(role: Role) -> Self {
        let (heartbeat, backoff) = match role {
            Role::Agent => (limits::HEARTBEAT_AGENT, limits::BACKOFF_AGENT),
            Role::Gateway | Role::ManagementServer | Role::Operator => {
                (limits::HEARTBEAT_GATEWAY, limits::BACKOFF_GATEWAY)
            }
        };
        Self {
            role,
            name: None,
            management_group: None,
            group_key: None,
            state_directory: None,
            identity: IdentityFiles::default(),
            renewal: Renewal::default(),
            enrolment_listen: None,
            listen_address: SocketAddr::from(([0, 0, 0, 0], limits::PORT)),
            upstream: Upstreams::default(),
            hosts: BTreeMap::new(),
            queue: QueueSettings {
                bytes_max: limits::QUEUE_BYTES_DEFAULT,
                when_full: WhenFull::Block,
                commit_delay: Duration::ZERO,
                segment_bytes: limits::SEGMENT_BYTES,
            },
            message_bytes_max: limits::MESSAGE_BYTES_DEFAULT,
            store_url: None,
            output: Output::default(),
            input_path: None,
            heartbeat,
            connect_timeout: limits::CONNECT_TIMEOUT,
            hello_timeout: limits::HELLO_TIMEOUT,
            backoff: Backoff { min: backoff.0, max: backoff.1 },
            failback: Failback { hold_down: limits::FAILBACK_HOLD_DOWN, jitter: limits::FAILBACK_JITTER },
            probe_interval: keys::PROBE_INTERVAL,
            unknown_agents: UnknownAgents::Pending,
            authority: AuthoritySettings {
                kind: AuthorityKind::None,
                directory: None,
                validity: limits::CERTIFICATE_VALIDITY,
            },
        }
    }

    /// Sets one value; a list is comma-separated and replaces what was there.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigUnknownKey`] names the nearest key, or the roles that the key belongs to;
    /// [`Code::ConfigBadValue`] says what was found and what is expected.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        keys::put(self, key, keys::Given::Text(value))
    }

    /// Checks what no single value shows: missing keys, and values that contradict each other.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`] names every missing key; [`Code::ConfigBadValue`] and
    /// [`Code::PrimaryIsFailover`] name the keys that do not fit together.
    pub fn validate(&self) -> Result<()> {
        let missing = self.missing_keys();
        if !missing.is_empty() {
            return Err(Error::new(Code::ConfigMissingKey)
                .subject(missing.join(", "))
                .expected(missing.iter().filter_map(|key| keys::meaning(key)).collect::<Vec<_>>().join("; ")));
        }
        self.check_upstreams()?;
        self.check_pairs()
    }

    /// The table of keys as text, for people: what `farpost config reference` prints.
    pub fn reference() -> String {
        keys::reference()
    }

    fn missing_keys(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let mut require = |present: bool, key| {
            if !present {
                missing.push(key);
            }
        };
        require(self.name.is_some(), "name");
        require(self.management_group.is_some(), "management_group");
        let identity = &self.identity;
        if identity.directory.is_none() {
            if identity.pkcs12.is_some() {
                require(!identity.trust.is_empty(), "identity.trust");
            } else if identity.certificate.is_none() && identity.key.is_none() && identity.trust.is_empty() {
                require(false, "identity.directory");
            } else {
                require(identity.certificate.is_some(), "identity.certificate");
                require(identity.key.is_some(), "identity.key");
                require(!identity.trust.is_empty(), "identity.trust");
            }
        }
        match self.role {
            Role::Agent | Role::Gateway => require(self.upstream.primary.is_some(), "upstream.primary"),
            Role::ManagementServer => require(self.store_url.is_some(), "store.url"),
            // An operator has no configuration.
            Role::Operator => require(false, "role"),
        }
        let needs_directory = self.authority.kind != AuthorityKind::None;
        require(!needs_directory || self.authority.directory.is_some(), "authority.directory");
        missing
    }

    fn check_upstreams(&self) -> Result<()> {
        let all: Vec<&NodeAddress> = self.upstream.primary.iter().chain(&self.upstream.failover).collect();
        if all.len() > limits::UPSTREAMS_MAX {
            return Err(bad_pair("upstream.failover", format!("{} upstreams", all.len()))
                .expected(format!("at most {}", limits::UPSTREAMS_MAX)));
        }
        for (index, upstream) in all.iter().enumerate() {
            if all.iter().take(index).any(|other| other.name == upstream.name) {
                let primary = self.upstream.primary.as_ref().is_some_and(|primary| primary.name == upstream.name);
                let code = if primary { Code::PrimaryIsFailover } else { Code::ConfigBadValue };
                return Err(Error::new(code)
                    .subject("upstream.failover")
                    .found(format!("{} twice", upstream.name))
                    .expected("every upstream once"));
            }
            if self.name.as_ref() == Some(&upstream.name) {
                return Err(
                    bad_pair("upstream", format!("{}, the node's own name", upstream.name)).expected("another node")
                );
            }
        }
        Ok(())
    }

    fn check_pairs(&self) -> Result<()> {
        if self.backoff.min > self.backoff.max {
            let found = format!("backoff.min {}", values::duration_text(self.backoff.min));
            return Err(bad_pair("backoff.min", found)
                .expected(format!("at most backoff.max, {}", values::duration_text(self.backoff.max))));
        }
        if self.identity.directory.is_some() && (self.identity.certificate.is_some() || self.identity.key.is_some()) {
            return Err(bad_pair("identity.directory", "a directory and files")
                .expected("identity.directory alone, or identity.certificate, identity.key and identity.trust"));
        }
        let has_others =
            self.identity.directory.is_some() || self.identity.certificate.is_some() || self.identity.key.is_some();
        if self.identity.pkcs12.is_some() && has_others {
            return Err(bad_pair("identity.pkcs12", "a PKCS#12 file and another source")
                .expected("identity.pkcs12 with identity.trust, or a directory, or certificate and key"));
        }
        if self.output.path.is_some() && self.output.store {
            return Err(bad_pair("output", "output.path and output.store").expected("one of the two"));
        }
        if u64::try_from(self.message_bytes_max).unwrap_or(u64::MAX) > self.queue.bytes_max {
            return Err(bad_pair("queue.bytes_max", values::size_text(self.queue.bytes_max))
                .expected("room for one message of message_bytes_max at least"));
        }
        Ok(())
    }
}

fn bad_pair(subject: &str, found: impl Into<String>) -> Error {
    Error::new(Code::ConfigBadValue).subject(subject).found(found)
}
