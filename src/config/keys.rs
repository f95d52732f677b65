//! The table of keys: the one place where a key, its kind, its default, its roles and its meaning stand.

use std::fmt::Write as _;
use std::time::Duration;

use crate::code::Code;
use crate::config::Config;
use crate::config::values::{
    AuthorityKind, CrlPolicy, NameRule, StoreUrl, Unfit, UnknownAgents, WhenFull, boolean, duration, ip_address, key,
    listen_address, name, node_address, one_of, path, size, words,
};
use crate::error::{Error, Result};
use crate::limits::{CERTIFICATE_VALIDITY_MAX, MESSAGE_BYTES_MAX, UPSTREAMS_MAX};
use crate::role::Role;

/// One key of the configuration.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What a value looks like, for people.
    kind: &'static str,
    pub(super) default: Default,
    pub(super) roles: &'static [Role],
    meaning: &'static str,
    put: Put,
}

/// The value of a key that was not set, as its text.
pub(super) enum Default {
    Unset,
    Text(&'static str),
    /// For an agent, and for the others.
    AgentElse(&'static str, &'static str),
}

enum Put {
    One(fn(&mut Config, &str) -> Result<(), Unfit>),
    Many(fn(&mut Config, &[&str]) -> Result<(), Unfit>),
}

/// A value as it came.
pub(super) enum Given<'a> {
    /// From `set`, or a TOML scalar: a list is comma-separated.
    Text(&'a str),
    /// A TOML array, one text per scalar.
    List(&'a [&'a str]),
}

/// How often each standby is proven (rule F3; DESIGN section 5).
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(300);

const ALL: &[Role] = &[Role::Agent, Role::Gateway, Role::ManagementServer];
const AGENT: &[Role] = &[Role::Agent];
const SERVER: &[Role] = &[Role::ManagementServer];
const GATEWAY: &[Role] = &[Role::Gateway];
/// Who has an upstream.
const DIALLERS: &[Role] = &[Role::Agent, Role::Gateway];
/// Who has downstreams.
const LISTENERS: &[Role] = &[Role::Gateway, Role::ManagementServer];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Entries of a list of files or addresses: far above what anybody configures.
const LIST_ENTRIES_MAX: usize = 64;
/// A key is at most this long when it is compared and told: twice the longest known one.
const KEY_CHARS_SHOWN: usize = 80;
/// Names of the table `hosts`: the upstreams and what people add for reading.
const HOSTS_MAX: usize = 1_024;

/// A key of one value.
const fn one(
    name: &'static str,
    kind: &'static str,
    default: Default,
    roles: &'static [Role],
    put: fn(&mut Config, &str) -> Result<(), Unfit>,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, roles, meaning, put: Put::One(put) }
}

/// A key of a list.
const fn many(
    name: &'static str,
    kind: &'static str,
    roles: &'static [Role],
    put: fn(&mut Config, &[&str]) -> Result<(), Unfit>,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default: Default::Unset, roles, meaning, put: Put::Many(put) }
}

/// All keys but those under `hosts.`, whose names are the user's.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    one("role", "agent, gateway or management-server", Default::Unset, ALL, put_role,
        "what the node is"),
    one("name", "DNS name", Default::Unset, ALL,
        |config, text| store(&mut config.name, name(text).map(Some)),
        "the node's own name; its certificate must prove it"),
    one("management_group", "text", Default::Unset, ALL,
        |config, text| store(&mut config.management_group, words(text).map(Some)),
        "the management group; case matters"),
    one("group_key", "64 hexadecimal digits", Default::Unset, DIALLERS,
        |config, text| store(&mut config.group_key, key(text).map(Some)),
        "the group's public key (farpost group key show), by which assignments count; unset: the first one's"),
    one("state_directory", "directory", Default::Unset, ALL,
        |config, text| store(&mut config.state_directory, path(text).map(Some)),
        "where the node keeps its state; it belongs to one node; without one an agent's queue is in memory"),

    one("identity.directory", "directory", Default::Unset, ALL,
        |config, text| store(&mut config.identity.directory, path(text).map(Some)),
        "a directory with certificate, key, CA and CRLs (docs/identity.md), chosen by the node's name; instead of the files"),
    one("identity.certificate", "file", Default::Unset, ALL,
        |config, text| store(&mut config.identity.certificate, path(text).map(Some)),
        "PEM: the node's certificate, then its intermediates"),
    one("identity.key", "file", Default::Unset, ALL,
        |config, text| store(&mut config.identity.key, path(text).map(Some)),
        "PEM: the private key; encrypted with password_file, or not; mode 0600"),
    one("identity.pkcs12", "file", Default::Unset, ALL,
        |config, text| store(&mut config.identity.pkcs12, path(text).map(Some)),
        "PKCS#12 (.pfx, .p12): private key and chain in one file, instead of certificate and key; mode 0600"),
    one("identity.password_file", "file", Default::Unset, ALL,
        |config, text| store(&mut config.identity.password_file, path(text).map(Some)),
        "the password of pkcs12, or of encrypted keys, as the first line of a file; mode 0600"),
    many("identity.trust", "files", ALL,
        |config, list| store(&mut config.identity.trust, each(list, LIST_ENTRIES_MAX, path)),
        "PEM: the CAs that are trusted"),
    many("identity.crls", "files", ALL,
        |config, list| store(&mut config.identity.crls, each(list, LIST_ENTRIES_MAX, path)),
        "revocation lists"),
    one("identity.crl_policy", "if-given, require or warn", Default::Text("if-given"), ALL,
        |config, text| store(&mut config.identity.crl_policy, one_of(text, &[("if-given", CrlPolicy::IfGiven), ("require", CrlPolicy::Require), ("warn", CrlPolicy::Warn)])),
        "what is demanded of revocation lists"),
    one("identity.accept_server_auth_alone", "boolean", Default::Text("false"), ALL,
        |config, text| store(&mut config.identity.accept_server_auth_alone, boolean(text)),
        "accept certificates without clientAuth, as public CAs issue them"),
    one("identity.name_rule", "san, cn-and-san or cn", Default::Text("san"), ALL,
        |config, text| store(&mut config.identity.name_rule, one_of(text, &[("san", NameRule::San), ("cn-and-san", NameRule::CnAndSan), ("cn", NameRule::Cn)])),
        "where a certificate's name is read: san is an exact dNSName, with a CN, if there is one, among them"),
    one("identity.renewal", "boolean", Default::Unset, ALL,
        |config, text| store(&mut config.renewal.enabled, boolean(text).map(Some)),
        "whether the node asks the group for its next certificate by itself; unset: where it may write its identity's files"),
    one("identity.renewal_key", "p256, p384, rsa2048, rsa3072, rsa4096 or ed25519", Default::Unset, ALL,
        |config, text| store(&mut config.renewal.key, one_of(text, &RENEWAL_KEYS).map(|key: &str| Some(key.to_owned()))),
        "the kind of the next key; unset: the present one's"),

    one("listen.address", "address:port", Default::Text("0.0.0.0:5723"), LISTENERS,
        |config, text| store(&mut config.listen_address, listen_address(text)),
        "where downstreams connect"),
    one("enrolment.listen", "address:port", Default::Unset, LISTENERS,
        |config, text| store(&mut config.enrolment_listen, listen_address(text).map(Some)),
        "where nodes without a certificate enrol with a one-time token, 0.0.0.0:5724 for example; unset: nowhere"),

    one("upstream.primary", "name:port", Default::Unset, DIALLERS,
        |config, text| store(&mut config.upstream.primary, node_address(text).map(Some)),
        "the upstream to use; the name is what its certificate must prove"),
    many("upstream.failover", "list of name:port", DIALLERS,
        |config, list| store(&mut config.upstream.failover, each(list, UPSTREAMS_MAX, node_address)),
        "the upstreams to use when the primary is dead, in order"),

    one("queue.bytes_max", "size", Default::Text("256MiB"), AGENT,
        |config, text| store(&mut config.queue.bytes_max, size(text, 64 << 10, 1 << 40)),
        "what the queue may hold"),
    one("queue.when_full", "block or reject", Default::Text("block"), AGENT, put_when_full,
        "what happens to a message that does not fit; drop-oldest comes with a later release"),
    one("queue.commit_delay", "duration", Default::Text("0s"), AGENT,
        |config, text| store(&mut config.queue.commit_delay, duration(text, Duration::ZERO, SECOND)),
        "how long a write waits for company before it is synced; for slow flash"),
    one("queue.segment_bytes", "size", Default::Text("16MiB"), AGENT,
        |config, text| store(&mut config.queue.segment_bytes, size(text, 64 << 10, 64 << 20)),
        "the size of one file of the queue"),
    one("message_bytes_max", "size", Default::Text("4MiB"), ALL, put_message_bytes_max,
        "the largest message; the same on every node"),

    one("spool.enabled", "boolean", Default::Text("false"), GATEWAY, put_spool,
        "a gateway's own disk queue; comes with a later release"),

    one("store.url", "sqlite:///path or postgres://user@host/database", Default::Unset, SERVER, put_store_url,
        "the group store that the servers of the group share"),
    one("unknown_agents", "pending, reject or approve", Default::Text("pending"), SERVER,
        |config, text| store(&mut config.unknown_agents, one_of(text, &[("pending", UnknownAgents::Pending), ("reject", UnknownAgents::Reject), ("approve", UnknownAgents::Approve)])),
        "what happens to agents that the group has never seen"),
    one("authority.kind", "none, local or hand-off", Default::Text("none"), SERVER,
        |config, text| store(&mut config.authority.kind, one_of(text, &[("none", AuthorityKind::None), ("local", AuthorityKind::Local), ("hand-off", AuthorityKind::HandOff)])),
        "who issues certificates to nodes that renew or enrol: nobody, a key in a directory here, or others through a directory"),
    one("authority.directory", "directory", Default::Unset, SERVER,
        |config, text| store(&mut config.authority.directory, path(text).map(Some)),
        "the directory of the local authority (farpost ca init), or where requests and answers lie"),
    one("authority.validity", "duration", Default::Text("90d"), SERVER,
        |config, text| store(&mut config.authority.validity, duration(text, MINUTE, CERTIFICATE_VALIDITY_MAX)),
        "how long the local authority's certificates are valid; never longer than its own"),
    one("output.path", "file or -", Default::Unset, SERVER,
        |config, text| store(&mut config.output.path, path(text).map(Some)),
        "deliveries as JSON lines; - is standard output"),
    one("output.store", "boolean", Default::Text("false"), SERVER,
        |config, text| store(&mut config.output.store, boolean(text)),
        "deliveries into the group store, in the cursor's transaction"),
    one("input.path", "file or -", Default::Unset, AGENT,
        |config, text| store(&mut config.input_path, path(text).map(Some)),
        "the file whose lines are sent as it grows; - is standard input"),

    one("heartbeat", "duration", Default::AgentElse("30s", "10s"), ALL,
        |config, text| store(&mut config.heartbeat, duration(text, 100 * MILLISECOND, HOUR)),
        "how long a link may be idle before a heartbeat; dead after three"),
    one("connect_timeout", "duration", Default::Text("10s"), DIALLERS,
        |config, text| store(&mut config.connect_timeout, duration(text, 10 * MILLISECOND, HOUR)),
        "the TCP connection to an upstream"),
    one("hello_timeout", "duration", Default::Text("10s"), ALL,
        |config, text| store(&mut config.hello_timeout, duration(text, 10 * MILLISECOND, HOUR)),
        "from TCP to an accepted introduction, in all"),
    one("backoff.min", "duration", Default::Text("1s"), DIALLERS,
        |config, text| store(&mut config.backoff.min, duration(text, MILLISECOND, DAY)),
        "the first wait after a round of failed dials"),
    one("backoff.max", "duration", Default::AgentElse("60s", "30s"), DIALLERS,
        |config, text| store(&mut config.backoff.max, duration(text, MILLISECOND, DAY)),
        "the longest wait between rounds of failed dials"),
    one("failback.hold_down", "duration", Default::Text("60s"), DIALLERS,
        |config, text| store(&mut config.failback.hold_down, duration(text, Duration::ZERO, DAY)),
        "how long the primary must have been healthy before the node moves back"),
    one("failback.jitter", "duration", Default::Text("30s"), DIALLERS,
        |config, text| store(&mut config.failback.jitter, duration(text, Duration::ZERO, DAY)),
        "added to the hold-down at random, so that nodes do not all move at once"),
    one("probe.interval", "duration", Default::Text("5m"), DIALLERS,
        |config, text| store(&mut config.probe_interval, duration(text, 100 * MILLISECOND, DAY)),
        "how often each standby is proven, give or take 20 %"),
];

/// The words of the kinds of keys that farpost makes.
const RENEWAL_KEYS: [(&str, &str); 6] = [
    ("p256", "p256"),
    ("p384", "p384"),
    ("rsa2048", "rsa2048"),
    ("rsa3072", "rsa3072"),
    ("rsa4096", "rsa4096"),
    ("ed25519", "ed25519"),
];

/// Sets one key, or says why not.
pub(super) fn put(config: &mut Config, key: &str, given: Given<'_>) -> Result<()> {
    if let Some(host) = key.strip_prefix("hosts.") {
        return put_host(config, host, &given.entries()).map_err(|unfit| bad_value(key, unfit));
    }
    let Some(known) = find(key) else { return Err(unknown_key(key)) };
    if !known.roles.contains(&config.role) {
        return Err(Error::new(Code::ConfigUnknownKey)
            .subject(key)
            .found(format!("the role {}", config.role))
            .expected(format!("a key of the role {}", roles_text(known.roles))));
    }
    let outcome = match (&known.put, &given) {
        (Put::One(set), Given::Text(text)) => set(config, text),
        (Put::One(_), Given::List(_)) => Err(Unfit::new("a list", known.kind)),
        (Put::Many(set), given) => set(config, &given.entries()),
    };
    outcome.map_err(|unfit| bad_value(key, unfit))
}

impl<'a> Given<'a> {
    /// The entries of a list; an empty text is an empty list.
    fn entries(&self) -> Vec<&'a str> {
        match self {
            Self::Text("") => Vec::new(),
            Self::Text(text) => text.split(',').map(str::trim).collect(),
            Self::List(list) => list.to_vec(),
        }
    }
}

pub(super) fn meaning(key: &str) -> Option<&'static str> {
    find(key).map(|key| key.meaning)
}

/// The table as text: one block per key.
pub(super) fn reference() -> String {
    let mut text = String::new();
    for key in KEYS {
        let default = match key.default {
            Default::Unset => "none".to_owned(),
            Default::Text(text) => text.to_owned(),
            Default::AgentElse(agent, others) => format!("{agent} (agent), {others} (others)"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}\n    {}\n    value    {}\n    default  {default}\n    roles    {}",
            key.name,
            key.meaning,
            key.kind,
            roles_text(key.roles)
        );
    }
    text.push_str("hosts.NAME\n    where NAME is reached, ahead of DNS\n    value    list of IP addresses\n    default  none\n    roles    agent, gateway, management-server\n");
    text
}

fn find(key: &str) -> Option<&'static Key> {
    KEYS.iter().find(|known| known.name == key)
}

fn roles_text(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

fn bad_value(key: &str, unfit: Unfit) -> Error {
    Error::new(Code::ConfigBadValue).subject(key).found(unfit.found).expected(unfit.expected).remedy(unfit.remedy)
}

fn unknown_key(key: &str) -> Error {
    let found: String = key.chars().take(KEY_CHARS_SHOWN).collect();
    Error::new(Code::ConfigUnknownKey)
        .subject(key)
        .found(format!("\"{found}\""))
        .expected(format!("{}, the nearest key", nearest(key)))
}

/// The known key that takes the fewest edits, in the order written or with the words sorted: `queue.max_bytes`
/// is near to `queue.bytes_max`. A missing or wrong section counts as two edits, a wrong key of a right section as three at most.
fn nearest(key: &str) -> &'static str {
    // A key is at most as long as the longest known one, twice; what is longer is no slip of a finger.
    let key: String = key.chars().take(KEY_CHARS_SHOWN).collect();
    let (section, last) = key.rsplit_once('.').unwrap_or(("", &key));
    let distance = |known: &&Key| {
        let (of_known, known_last) = known.name.rsplit_once('.').unwrap_or(("", known.name));
        // `identity.cert` for `identity.certificate`, `queue.max` for `queue.bytes_max`.
        let begun = key.len() > 2 && known.name.starts_with(key.as_str());
        let plain = if begun || has_words(known.name, &key) { 1 } else { edits(&key, known.name) };
        let sorted = edits(&sorted_words(&key), &sorted_words(known.name)).saturating_add(1);
        let elsewhere = edits(last, known_last).saturating_add(2);
        let here = if !section.is_empty() && section == of_known { 3 } else { usize::MAX };
        (plain.min(sorted).min(elsewhere).min(here), plain)
    };
    KEYS.iter().min_by_key(distance).map_or("role", |key| key.name)
}

/// Whether a slip is several words, all of them the known key's.
fn has_words(known: &str, slip: &str) -> bool {
    words_of(slip).count() > 1 && words_of(slip).all(|word| words_of(known).any(|of_known| of_known == word))
}

fn words_of(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '_', '-'])
}

fn sorted_words(key: &str) -> String {
    let mut words: Vec<&str> = words_of(key).collect();
    words.sort_unstable();
    words.join(" ")
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from_char) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to_char, above) in to.iter().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from_char != *to_char));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn store<T>(slot: &mut T, value: Result<T, Unfit>) -> Result<(), Unfit> {
    *slot = value?;
    Ok(())
}

fn each<T>(list: &[&str], most: usize, parse: fn(&str) -> Result<T, Unfit>) -> Result<Vec<T>, Unfit> {
    if list.len() > most {
        return Err(Unfit::new(format!("{} entries", list.len()), format!("at most {most}")));
    }
    list.iter().map(|entry| parse(entry)).collect()
}

fn put_role(config: &mut Config, text: &str) -> Result<(), Unfit> {
    let role = role(text)?;
    if role != config.role {
        return Err(Unfit::quoted(text, config.role.as_str())
            .remedy("a configuration keeps the role that it was made with: use the configuration of this role"));
    }
    Ok(())
}

/// The role of a text.
pub(super) fn role(text: &str) -> Result<Role, Unfit> {
    one_of(text, &ALL.iter().map(|role| (role.as_str(), *role)).collect::<Vec<_>>())
}

/// Names `drop-oldest`, so that nobody takes a silent `reject` for it.
fn put_when_full(config: &mut Config, text: &str) -> Result<(), Unfit> {
    if text == "drop-oldest" {
        return Err(Unfit::quoted(text, "block or reject")
            .remedy("choose block or reject: drop-oldest comes with a later release"));
    }
    store(&mut config.queue.when_full, one_of(text, &[("block", WhenFull::Block), ("reject", WhenFull::Reject)]))
}

fn put_spool(_: &mut Config, text: &str) -> Result<(), Unfit> {
    if boolean(text)? {
        return Err(Unfit::new("true", "false")
            .remedy("leave it out: a gateway's spool comes with a later release; until then the agents' own queues keep the messages"));
    }
    Ok(())
}

fn put_message_bytes_max(config: &mut Config, text: &str) -> Result<(), Unfit> {
    let bytes = size(text, 1 << 10, MESSAGE_BYTES_MAX as u64)?;
    config.message_bytes_max = usize::try_from(bytes).map_err(|_| Unfit::quoted(text, "a size"))?;
    Ok(())
}

/// The scheme alone is shown when it is wrong: a URL may hold a password.
fn put_store_url(config: &mut Config, text: &str) -> Result<(), Unfit> {
    match text.split_once("://") {
        Some(("sqlite" | "postgres" | "postgresql", rest)) if !rest.is_empty() => {
            store(&mut config.store_url, words(text).map(|url| Some(StoreUrl::new(&url))))
        }
        Some((scheme, _)) => Err(Unfit::new(format!("{scheme}://"), STORE_URLS)),
        None => Err(Unfit::new("a text without ://", STORE_URLS)),
    }
}

const STORE_URLS: &str = "sqlite:///path or postgres://user@host/database";

fn put_host(config: &mut Config, host: &str, entries: &[&str]) -> Result<(), Unfit> {
    let host = name(host)?;
    let addresses = each(entries, LIST_ENTRIES_MAX, ip_address)?;
    if addresses.is_empty() {
        return Err(Unfit::new("an empty list", "an IP address, such as 10.0.0.5"));
    }
    if config.hosts.len() >= HOSTS_MAX && !config.hosts.contains_key(&host) {
        return Err(Unfit::new(format!("more than {HOSTS_MAX} names"), "fewer").remedy("use DNS"));
    }
    config.hosts.insert(host, addresses);
    Ok(())
}
