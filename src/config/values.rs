//! What configuration values look like as text, and the small types they become.

use core::net::{IpAddr, SocketAddr};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::limits::PORT;
use crate::name::Name;
use crate::text_form::bytes_of_hexadecimal;

/// Why a text is no value of its kind: what was found and what was expected instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) found: String,
    pub(super) expected: String,
    /// Where more is known than "correct the value".
    pub(super) remedy: &'static str,
}

impl Unfit {
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), remedy: "" }
    }

    /// Of a text that is shown as it was given.
    pub(super) fn quoted(text: &str, expected: impl Into<String>) -> Self {
        Self::new(format!("\"{text}\""), expected)
    }

    #[must_use]
    pub(super) fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }
}

/// An upstream as it is configured: the name that its certificate must prove, and the port (rule F1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress {
    /// What the peer's certificate must prove.
    pub name: Name,
    /// The TCP port; 5723 unless given.
    pub port: u16,
}

impl fmt::Display for NodeAddress {
    /// `ms1.corp.example:5723`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// What happens to a message that does not fit into the queue (rule D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum WhenFull {
    /// The sender waits.
    #[default]
    Block,
    /// The message is refused.
    Reject,
    /// The oldest message of the lowest priority becomes a gap. No configuration takes it yet.
    DropOldest,
}

/// What missing or stale revocation lists mean (rule I2). A certificate that a list revokes is refused in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CrlPolicy {
    /// Where lists are given, an issuer without one, or with a stale one, is refused.
    #[default]
    IfGiven,
    /// Every issuer must have a current list.
    Require,
    /// What is missing or stale is told, and accepted.
    Warn,
}

/// Where a certificate's name is read (rule I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NameRule {
    /// An exact dNSName; a common name, if there is one, must be among them.
    #[default]
    San,
    /// What the replaced product demands and the alternative name as well: exactly one common name, which is also a
    /// dNSName; the certificate proves the common name only.
    CnAndSan,
    /// For old certificates without an alternative name: the one common name. With an alternative name as
    /// [`Self::CnAndSan`].
    Cn,
}

/// What a management group does with an agent that it has never seen (rule G1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum UnknownAgents {
    /// It waits for an operator.
    #[default]
    Pending,
    /// It is refused.
    Reject,
    /// It is approved, since its certificate is from a trusted CA.
    Approve,
}

/// Who issues certificates to the nodes of a group when they ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum AuthorityKind {
    /// Nobody: requests are refused.
    #[default]
    None,
    /// A key in a directory of this computer.
    Local,
    /// A person or an enterprise CA, through a directory.
    HandOff,
}

/// A value that is one of a few words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Unfit> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Unfit::quoted(text, known.join(", "))
    })
}

pub(super) fn boolean(text: &str) -> Result<bool, Unfit> {
    one_of(text, &[("true", true), ("false", false)])
}

/// Any text that is not empty and holds no control characters.
pub(super) fn words(text: &str) -> Result<String, Unfit> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Unfit::quoted(text, "a text without control characters"));
    }
    Ok(text.to_owned())
}

/// A public key, or whatever else has 32 bytes.
pub(super) fn key(text: &str) -> Result<[u8; 32], Unfit> {
    let key = bytes_of_hexadecimal(text.as_bytes()).and_then(|bytes| bytes.try_into().ok());
    key.ok_or_else(|| Unfit::quoted(text, "64 hexadecimal digits"))
}

pub(super) fn path(text: &str) -> Result<PathBuf, Unfit> {
    words(text).map(PathBuf::from).map_err(|_| Unfit::quoted(text, "a path without control characters"))
}

pub(super) fn name(text: &str) -> Result<Name, Unfit> {
    Name::parse(text).map_err(|error| Unfit::new(error.found_text(), error.expected_text()))
}

/// `ms1.corp.example:5723`, or without the port. An address is refused: only a name can be proven (rule F1).
pub(super) fn node_address(text: &str) -> Result<NodeAddress, Unfit> {
    const EXPECTED: &str = "name:port, such as ms1.corp.example:5723";
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) => (host, port(digits).ok_or_else(|| Unfit::quoted(text, EXPECTED))?),
        None => (text, PORT),
    };
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if [host, host.trim_matches(['[', ']']), bare].iter().any(|form| form.parse::<IpAddr>().is_ok()) {
        return Err(Unfit::quoted(text, "the name that the upstream's certificate proves, not an address")
            .remedy("give the name here and its address in [hosts]"));
    }
    let name = name(host).map_err(|_| Unfit::quoted(text, EXPECTED))?;
    Ok(NodeAddress { name, port })
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

/// An address to listen on; port 5723 unless given. Port 0 lets the system choose.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Unfit> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT)))
        .map_err(|_| Unfit::quoted(text, "address:port, such as 0.0.0.0:5723 or [::]:5723"))
}

pub(super) fn ip_address(text: &str) -> Result<IpAddr, Unfit> {
    text.parse().map_err(|_| Unfit::quoted(text, "an IP address, such as 10.0.0.5"))
}

/// `500ms`, `30s`, `2m`, `12h` or `7d`: a whole number and its unit; `0` needs none.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, Unfit> {
    let (number, unit) = number_and_unit(text);
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == "0" => 1,
        _ => return Err(Unfit::quoted(text, "a duration with its unit (ms, s, m, h, d), such as \"30s\"")),
    };
    let millis = number.parse::<u64>().ok().and_then(|count| count.checked_mul(millis_per_unit));
    match millis.map(Duration::from_millis) {
        Some(value) if value >= least && value <= most => Ok(value),
        _ => Err(Unfit::quoted(text, format!("a duration from {} to {}", duration_text(least), duration_text(most)))),
    }
}

/// `64KiB`, `256MiB`, `4GiB`, or plain bytes.
pub(super) fn size(text: &str, least: u64, most: u64) -> Result<u64, Unfit> {
    let (number, unit) = number_and_unit(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(Unfit::quoted(text, "a size in B, KiB, MiB, GiB or TiB, such as \"256MiB\"")),
    };
    let bytes = number.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    match bytes {
        Some(value) if value >= least && value <= most => Ok(value),
        _ => Err(Unfit::quoted(text, format!("a size from {} to {}", size_text(least), size_text(most)))),
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (&text[..digits], text[digits..].trim_start_matches(' '))
}

/// The shortest exact text that [`duration`] reads back.
pub(super) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(unit, _)| millis != 0 && millis.is_multiple_of(*unit)) {
        Some((unit, suffix)) => format!("{}{suffix}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// The shortest exact text that [`size`] reads back.
pub(super) fn size_text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, suffix)) => format!("{}{suffix}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Where the group store is. The URL of a database may hold a password: only its scheme is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(Zeroizing<String>);

impl StoreUrl {
    pub(crate) fn new(url: &str) -> Self {
        Self(Zeroizing::new(url.to_owned()))
    }

    /// The whole URL, to open the store with.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    /// A file's whole URL, a database's scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://") {
            Some((scheme, _)) if scheme != "sqlite" => write!(f, "\"{scheme}://…\""),
            _ => write!(f, "{:?}", self.0.as_str()),
        }
    }
}
