//! The connection string, `postgres://user@host,host/database?sslmode=verify-full&sslrootcert=FILE`.
//!
//! What libpq knows and PostgreSQL's administrators expect, less what would be unsafe. The password comes from a file;
//! one in the string works and is never shown.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::store::postgres::tls::{self, Tls};

/// How long one address may take to answer, unless `connect_timeout` says.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection that is silent for this long is asked whether it lives (as on links: limits of the wire).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVES_MAX: u32 = 3;
/// What was sent and is not acknowledged for this long ends the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// More than any password; a file that is larger is none.
const PASSWORD_FILE_BYTES_MAX: u64 = 64 << 10;

/// More hosts than any database has; while all are silent, a call waits for each of them.
const HOSTS_MAX: usize = 8;

/// Where the store is and how it is reached.
pub(super) struct Target {
    /// One per host, in their order.
    pub(super) hosts: Vec<Config>,
    pub(super) tls: Option<Tls>,
    /// For people: without the password.
    pub(super) label: String,
    /// Whether notices are sent and listened to.
    pub(super) notify: bool,
    url: Zeroizing<String>,
}

/// The parameters that are farpost's to understand; the rest is the client library's.
#[derive(Default)]
struct Own {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    passfile: Option<String>,
    password_file: Option<String>,
    notify: Option<String>,
}

impl Target {
    /// Reads a connection string, and the files that it names.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigBadValue`]; [`Code::KeyExposed`] for a password file that others may read.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (own, rest) = split(url)?;
        // The library's own text may quote the string, and with it a password.
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            bad(if why.contains("option") { printable(&why) } else { "a connection string that cannot be read".into() })
        })?;
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        if count == 0 || count > HOSTS_MAX {
            return Err(bad(format!("{count} hosts")));
        }
        complete(&mut config);
        let label = label(&config);
        if config.get_password().is_none()
            && let Some(password) = password(&own, &config)?
        {
            config.password(password.as_bytes());
        }
        let notify = match own.notify.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(bad(format!("notify={}", printable(other))).expected("on or off")),
        };
        let tls = tls_of(&own, &mut config)?;
        let hosts = (0..count).map(|at| only(&config, at)).collect();
        Ok(Self { hosts, tls, label, notify, url: Zeroizing::new(url.to_owned()) })
    }

    /// The same with its files read again: a password or a CA may have changed since.
    pub(super) fn read_again(&self) -> Result<Self> {
        Self::parse(&self.url)
    }
}

/// Takes farpost's own parameters out of the string.
fn split(url: &str) -> Result<(Own, String)> {
    let mut own = Own::default();
    let Some((base, query)) = url.split_once('?') else { return Ok((own, url.to_owned())) };
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match key {
            "sslmode" => &mut own.sslmode,
            "sslrootcert" => &mut own.sslrootcert,
            "passfile" => &mut own.passfile,
            "password_file" => &mut own.password_file,
            "notify" => &mut own.notify,
            _ => {
                others.push(pair);
                continue;
            }
        };
        let value = decoded(value).ok_or_else(|| bad(format!("{key}=…, which is not percent-encoded text")))?;
        if slot.replace(value).is_some() {
            return Err(bad(format!("{key} twice")));
        }
    }
    let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
    Ok((own, rest))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let [high, low] = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(high? * 16 + low?).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The same for one of the hosts: each has its own time to answer, so that one that hangs does not hide the next.
fn only(all: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(at) {
        Some(Host::Tcp(name)) => _ = one.host(name),
        Some(Host::Unix(path)) => _ = one.host_path(path),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    one.port(port_of(all, at));
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    one.application_name(all.get_application_name().unwrap_or("farpost"));
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.channel_binding(all.get_channel_binding()).target_session_attrs(all.get_target_session_attrs());
    one.connect_timeout(all.get_connect_timeout().copied().unwrap_or(CONNECT_WITHIN));
    one.tcp_user_timeout(all.get_tcp_user_timeout().copied().unwrap_or(UNACKNOWLEDGED_MAX));
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    one.keepalives_interval(all.get_keepalives_interval().unwrap_or(KEEPALIVE_EVERY));
    one.keepalives_retries(all.get_keepalives_retries().unwrap_or(KEEPALIVES_MAX));
    one
}

/// The port of a host; one alone is that of all.
fn port_of(config: &Config, at: usize) -> u16 {
    match config.get_ports() {
        [] => 5432,
        [one] => *one,
        ports => ports.get(at).copied().unwrap_or(5432),
    }
}

/// Sets what the string left open.
fn complete(config: &mut Config) {
    // A standby cannot keep a group's records: of several hosts, the one that can be written is meant.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name("farpost");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_WITHIN);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(KEEPALIVE_AFTER).keepalives_interval(KEEPALIVE_EVERY).keepalives_retries(KEEPALIVES_MAX);
    }
}

/// How the store is called in errors and events.
fn label(config: &Config) -> String {
    let named = config.get_hosts().iter().enumerate().map(|(at, host)| match host {
        Host::Tcp(name) => format!("{}:{}", printable(name), port_of(config, at)),
        Host::Unix(path) => printable(&path.display().to_string()),
    });
    let mut hosts: Vec<_> = named.collect();
    if hosts.is_empty() {
        hosts =
            config.get_hostaddrs().iter().enumerate().map(|(at, ip)| format!("{ip}:{}", port_of(config, at))).collect();
    }
    let user = config.get_user().map(|user| format!("{}@", printable(user))).unwrap_or_default();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}/{}", hosts.join(","), printable(database))
}

fn tls_of(own: &Own, config: &mut Config) -> Result<Option<Tls>> {
    let is_near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    };
    let hosts_are_near = config.get_hosts().iter().all(is_near);
    let stays = hosts_are_near && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    let wanted = own.sslmode.as_deref();
    let anchors = own.sslrootcert.as_deref();
    match (wanted, anchors) {
        (Some("disable"), _) => {}
        (None, None) if stays => {}
        (Some("verify-full") | None, Some(file)) => {
            config.ssl_mode(SslMode::Require);
            return tls::trusting(Path::new(file)).map(Some);
        }
        (Some("verify-full") | None, None) => {
            return Err(bad("no sslrootcert".into())
                .expected("sslrootcert=FILE, the CA certificates (PEM) that the database's certificate leads to")
                .remedy("add it, or sslmode=disable where the network between is trusted"));
        }
        (Some(other), _) => {
            return Err(bad(format!("sslmode={}", printable(other)))
                .expected("sslmode=verify-full or disable")
                .remedy("the others encrypt for whoever answers"));
        }
    }
    config.ssl_mode(SslMode::Disable);
    Ok(None)
}

/// The password from a file: a file of its own, or the line of a `.pgpass`.
fn password(own: &Own, config: &Config) -> Result<Option<Zeroizing<String>>> {
    if let Some(file) = &own.password_file {
        let text = secret_file(Path::new(file), "password_file")?;
        return Ok(Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())));
    }
    let passfile = own.passfile.clone().or_else(|| std::env::var("PGPASSFILE").ok());
    let Some(file) = passfile else { return Ok(None) };
    let text = secret_file(Path::new(&file), "passfile")?;
    Ok(text.lines().find_map(|line| password_of(line, config)).map(Zeroizing::new))
}

/// The password of a line `host:port:database:user:password` if it is for one of the hosts; `*` is any.
fn password_of(line: &str, config: &Config) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields(line)).ok()?;
    let is_host = |known: &Host| match known {
        Host::Tcp(name) => *name == host,
        Host::Unix(path) => host == "localhost" || path.as_os_str() == host.as_str(),
    };
    let ports: Vec<_> = config.get_ports().iter().map(u16::to_string).collect();
    let is_port = port == "*" || ports.contains(&port) || (ports.is_empty() && port == "5432");
    let name = config.get_user().unwrap_or_default();
    let is_database = database == "*" || database == config.get_dbname().unwrap_or(name);
    let is_meant = (host == "*" || config.get_hosts().iter().any(is_host)) && is_port && is_database;
    (is_meant && (user == "*" || user == name)).then_some(password)
}

/// At most five fields, parted by colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields[last].extend(characters.next()),
            _ => fields[last].push(character),
        }
    }
    fields
}

fn secret_file(path: &Path, key: &str) -> Result<Zeroizing<String>> {
    let subject = format!("store.url: {key}={}", path.display());
    let unreadable = |error: std::io::Error| bad(error.to_string()).subject(&*subject).expected("a readable file");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::new(Code::KeyExposed)
            .subject(subject)
            .found(format!("mode {:o}", mode & 0o777))
            .expected("mode 600: the file holds a password"));
    }
    if metadata.len() > PASSWORD_FILE_BYTES_MAX {
        return Err(bad(format!("{} bytes", metadata.len())).subject(subject).expected("a password"));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)
}

pub(super) fn bad(found: String) -> Error {
    Error::new(Code::ConfigBadValue)
        .subject("store.url")
        .found(found)
        .expected("postgres://user@host/database?sslmode=verify-full&sslrootcert=FILE")
}

#[cfg(test)]
mod tests;
