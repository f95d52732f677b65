//! Assignments: which upstreams a node may have, signed by the group (rules F1, G3, G6).
//!
//! The signed body binds group, node and version. Numbers are big-endian; a text is `length u16 · bytes`:
//! `context · group · node · version u64 · count u16 · (name · port u16) × count`, the primary first. A count of 0 withdraws:
//! the node follows its own configuration again.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::group::SiteName;
use crate::limits::{PORT, UPSTREAMS_MAX};
use crate::name::Name;
use crate::text_form::text_form;

/// What no other signature of farpost begins with.
const CONTEXT: &str = "farpost assignment 1";

/// One upstream: the name that its certificate must prove, and the port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    name: Name,
    port: u16,
}

impl Upstream {
    /// An upstream at a port.
    pub fn new(name: Name, port: u16) -> Self {
        Self { name, port }
    }

    /// Parses `ms1.corp.example:5723`; the port may be left out.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`] for the name, [`Code::ConfigBadValue`] for the port.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((name, port)) = text.split_once(':') else {
            return Ok(Self { name: Name::parse(text)?, port: PORT });
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits && port > 0 => Ok(Self { name: Name::parse(name)?, port }),
            _ => Err(Error::new(Code::ConfigBadValue)
                .subject(printable(text))
                .found(format!("port \"{}\"", printable(port)))
                .expected("a port from 1 to 65535")),
        }
    }

    /// The name that its certificate must prove.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Upstream {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

text_form!(Upstream);

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// A node's primary and ordered failover upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Upstreams")]
pub struct Assignment {
    primary: Upstream,
    failover: Vec<Upstream>,
}

/// An assignment that was not checked yet.
#[derive(Deserialize)]
struct Upstreams {
    primary: Upstream,
    failover: Vec<Upstream>,
}

impl TryFrom<Upstreams> for Assignment {
    type Error = Error;

    fn try_from(upstreams: Upstreams) -> Result<Self, Error> {
        Self::new(upstreams.primary, upstreams.failover)
    }
}

impl Assignment {
    /// An assignment with this primary and no failover.
    ///
    /// # Errors
    ///
    /// As [`Upstream::parse`].
    pub fn primary(upstream: &str) -> Result<Self, Error> {
        Ok(Self { primary: Upstream::parse(upstream)?, failover: Vec::new() })
    }

    /// Adds the next failover.
    ///
    /// # Errors
    ///
    /// As [`Upstream::parse`]; [`Code::PrimaryIsFailover`] for the primary's name, [`Code::ConfigBadValue`] for a
    /// name that is a failover already or one upstream too many.
    pub fn failover(self, upstream: &str) -> Result<Self, Error> {
        self.with(Upstream::parse(upstream)?)
    }

    /// The same upstreams, with this failover and the primary in each other's place.
    ///
    /// # Errors
    ///
    /// [`Code::NotFailover`] if the name is no failover of it; without a name, if it has none.
    pub(crate) fn swapped(&self, with: Option<&Name>) -> Result<Self, Error> {
        let at = match with {
            Some(name) => self.failover.iter().position(|upstream| upstream.name == *name),
            None => (!self.failover.is_empty()).then_some(0),
        };
        let mut swapped = self.clone();
        match at.and_then(|at| swapped.failover.get_mut(at)) {
            Some(failover) => {
                std::mem::swap(failover, &mut swapped.primary);
                Ok(swapped)
            }
            None => {
                let failover: Vec<_> = self.failover.iter().map(ToString::to_string).collect();
                let found = with.map_or_else(|| "no failover at all".to_owned(), ToString::to_string);
                let error = Error::new(Code::NotFailover).subject(self.primary.to_string()).found(found);
                let expected =
                    if failover.is_empty() { "a failover; there is none".to_owned() } else { failover.join(", ") };
                Err(error.expected(expected))
            }
        }
    }

    /// An assignment of parsed upstreams.
    ///
    /// # Errors
    ///
    /// As [`Assignment::failover`].
    pub fn new(primary: Upstream, failover: impl IntoIterator<Item = Upstream>) -> Result<Self, Error> {
        failover.into_iter().try_fold(Self { primary, failover: Vec::new() }, Self::with)
    }

    fn with(mut self, upstream: Upstream) -> Result<Self, Error> {
        if upstream.name == self.primary.name {
            return Err(Error::new(Code::PrimaryIsFailover)
                .subject(upstream.name.as_str())
                .found("it as primary and as failover")
                .expected("each upstream once"));
        }
        if self.failover.iter().any(|other| other.name == upstream.name) {
            return Err(Error::new(Code::ConfigBadValue)
                .subject("failover")
                .found(format!("{} twice", upstream.name))
                .expected("each upstream once"));
        }
        if self.failover.len() + 1 >= UPSTREAMS_MAX {
            return Err(Error::new(Code::ConfigBadValue)
                .subject("failover")
                .found(format!("more than {UPSTREAMS_MAX} upstreams"))
                .expected(format!("at most {UPSTREAMS_MAX} with the primary")));
        }
        self.failover.push(upstream);
        Ok(self)
    }

    /// The upstreams in the order in which they are tried: the primary, then the failovers.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        std::iter::once(&self.primary).chain(&self.failover)
    }

    /// Whether a name is among the upstreams (rule F1).
    pub fn contains(&self, name: &Name) -> bool {
        self.upstreams().any(|upstream| upstream.name == *name)
    }
}

/// A node's assignment, as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AssignmentRecord {
    /// Whose.
    pub node: Name,
    /// Rises with every assignment of the node.
    pub version: u64,
    /// Its upstreams.
    pub assignment: Assignment,
    /// The site that it has them from; none if they are its own, which go first.
    #[serde(default)]
    pub site: Option<SiteName>,
}

/// An assignment as it travels and is stored: exactly the bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedAssignment {
    pub(crate) body: Bytes,
    pub(crate) signature: Bytes,
    /// Of the key that signed it, as the group numbers its keys, where the group's store says it; 0 otherwise.
    pub(crate) key_version: u64,
}

/// The public half of the group's signing key (rule G6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssignmentKey(pub(crate) [u8; 32]);

impl AssignmentKey {
    /// Of the 32 bytes that a WELCOME or ASSIGN carries (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    ///
    /// [`Code::GroupKeyMismatch`] if they are not 32.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| {
            Error::new(Code::GroupKeyMismatch).found(format!("a key of {} bytes", bytes.len())).expected("32")
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks an assignment for this group and node; gives its version, which only rises, and what it says; `None`
    /// withdraws what was assigned before.
    ///
    /// # Errors
    ///
    /// [`Code::AssignmentForged`] if the group did not sign exactly this for this node.
    pub(crate) fn verify(
        &self,
        group: &str,
        node: &Name,
        signed: &SignedAssignment,
    ) -> Result<(u64, Option<Assignment>), Error> {
        let forged = |found: String| Error::new(Code::AssignmentForged).subject(node.as_str()).found(found);
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&signed.body, &signed.signature)
            .map_err(|_| forged("a signature that the group's key did not make".to_owned()))?;
        let body = Body::decode(&signed.body).ok_or_else(|| forged("a body that cannot be read".to_owned()))?;
        if body.group != group {
            return Err(forged(format!("an assignment of the group {}", printable(&body.group))));
        }
        if body.node != *node {
            return Err(forged(format!("an assignment for {}", body.node)));
        }
        Ok((body.version, body.assignment))
    }
}

impl SignedAssignment {
    /// Its version, unchecked: for a body from the group's own store.
    pub(crate) fn version(&self) -> u64 {
        Body::decode(&self.body).map_or(0, |body| body.version)
    }

    /// What it says, unchecked: for a body from the group's own store. The outer `None` is a body that cannot be read,
    /// the inner one a withdrawal.
    pub(crate) fn content(&self) -> Option<Option<Assignment>> {
        Body::decode(&self.body).map(|body| body.assignment)
    }
}

/// The group's signing key (rule G6). It lives in the group store and leaves it for nobody.
pub(crate) struct GroupKey(Ed25519KeyPair);

impl GroupKey {
    /// Reads the key that the store keeps as PKCS#8.
    ///
    /// # Errors
    ///
    /// [`Code::StoreCorrupt`] if it is none.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|error| {
            let error = Error::new(Code::StoreCorrupt).found(format!("a signing key that cannot be read: {error}"));
            error.expected("an Ed25519 key, PKCS#8")
        })
    }

    /// The public half.
    pub(crate) fn public(&self) -> AssignmentKey {
        let mut key = [0; 32];
        // An Ed25519 public key has 32 bytes (RFC 8032 section 5.1.5).
        key.copy_from_slice(self.0.public_key().as_ref());
        AssignmentKey(key)
    }

    /// Signs an assignment for a node, or with `None` that it has none any longer.
    pub(crate) fn sign(
        &self,
        group: &str,
        node: &Name,
        version: u64,
        assignment: Option<&Assignment>,
    ) -> SignedAssignment {
        let body = encode(group, node, version, assignment);
        let signature = self.sign_bytes(&body);
        SignedAssignment { body, signature, key_version: 0 }
    }

    /// Signs what no other of its signatures is about: the bytes begin with a context of their own.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> Bytes {
        Bytes::copy_from_slice(self.0.sign(bytes).as_ref())
    }
}

/// An upstream of a proposed assignment, as the group knows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    Server { excluded: bool },
    Gateway,
    Unknown,
}

/// The refusal of a node above itself.
pub(crate) fn own_upstream(node: &Name) -> Error {
    Error::new(Code::ChainLoop)
        .subject(node.as_str())
        .found(format!("{node} → {node}"))
        .expected("management servers or other gateways")
}

/// Whether the group may assign these upstreams to anybody (rule G3). `known` lists the servers, for people.
///
/// # Errors
///
/// [`Code::ServerExcluded`], [`Code::ServerUnknown`].
pub(crate) fn may_assign(
    assignment: &Assignment,
    known: &[Name],
    candidate: impl Fn(&Name) -> Candidate,
) -> Result<(), Error> {
    for upstream in assignment.upstreams() {
        match candidate(&upstream.name) {
            Candidate::Server { excluded: false } | Candidate::Gateway => {}
            Candidate::Server { excluded: true } => {
                let usable = known.iter().filter(|name| candidate(name) == Candidate::Server { excluded: false });
                let usable: Vec<_> = usable.map(Name::as_str).collect();
                let expected =
                    if usable.is_empty() { "a server that is not; there is none".into() } else { usable.join(", ") };
                return Err(Error::new(Code::ServerExcluded)
                    .subject(upstream.name.as_str())
                    .found("a server that is excluded")
                    .expected(expected));
            }
            Candidate::Unknown => {
                let error = server_unknown(&upstream.name, known);
                let expected = format!("{}; or a gateway of the group", error.expected_text());
                return Err(error.expected(expected));
            }
        }
    }
    Ok(())
}

/// The refusal of a server that never registered; says which did.
pub(crate) fn server_unknown(server: &Name, known: &[Name]) -> Error {
    let known: Vec<_> = known.iter().map(Name::as_str).collect();
    let expected = if known.is_empty() { "a server; none is registered yet".to_owned() } else { known.join(", ") };
    Error::new(Code::ServerUnknown).subject(server.as_str()).found("no server of this name").expected(expected)
}

fn encode(group: &str, node: &Name, version: u64, assignment: Option<&Assignment>) -> Bytes {
    let mut out = BytesMut::new();
    for text in [CONTEXT, group, node.as_str()] {
        put_text(&mut out, text);
    }
    out.put_u64(version);
    // At most UPSTREAMS_MAX.
    out.put_u16(assignment.map_or(0, |assignment| assignment.upstreams().count()) as u16);
    for upstream in assignment.iter().flat_map(|assignment| assignment.upstreams()) {
        put_text(&mut out, upstream.name.as_str());
        out.put_u16(upstream.port);
    }
    out.freeze()
}

/// A group's name has at most 255 bytes and a node's at most 253: the length fits.
pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    let length = u16::try_from(text.len()).expect("names are bounded when they are parsed");
    out.put_u16(length);
    out.put_slice(text.as_bytes());
}

/// A decoded body.
struct Body {
    group: String,
    node: Name,
    version: u64,
    assignment: Option<Assignment>,
}

impl Body {
    /// `None` for anything that [`encode`] did not make.
    fn decode(mut rest: &[u8]) -> Option<Self> {
        if take_text(&mut rest)? != CONTEXT {
            return None;
        }
        let group = take_text(&mut rest)?.to_owned();
        let node = Name::parse(take_text(&mut rest)?).ok()?;
        let version = rest.try_get_u64().ok()?;
        let count = rest.try_get_u16().ok()?;
        let mut assignment = None;
        for _ in 0..count {
            let upstream = take_upstream(&mut rest)?;
            assignment = Some(match assignment {
                None => Assignment { primary: upstream, failover: Vec::new() },
                Some(assignment) => Assignment::with(assignment, upstream).ok()?,
            });
        }
        rest.is_empty().then_some(Self { group, node, version, assignment })
    }
}

pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(rest.try_get_u16().ok()?);
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn take_upstream(rest: &mut &[u8]) -> Option<Upstream> {
    let name = Name::parse(take_text(rest)?).ok()?;
    let port = rest.try_get_u16().ok()?;
    (port > 0).then_some(Upstream { name, port })
}

#[cfg(test)]
mod tests;
