//! Who issues certificates to the nodes of a management group.
//!
//! A management server that renews or enrols nodes asks its [`CertificateAuthority`]. Two are built in: [`LocalAuthority`]
//! signs with a key on this computer, [`HandOff`] puts the request into a directory for a person or an enterprise CA and
//! picks the answer up later. An application may bring its own.

mod hand_off;
mod index;
mod local;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::config::{AuthorityKind, AuthoritySettings};
use crate::error::{Error, Result};
use crate::identity::CertificateRequest;
use crate::name::Name;
use crate::role::Role;
use crate::session::setup;
use crate::time::Timestamp;

pub use hand_off::HandOff;
pub use local::{LocalAuthority, LocalCertificate};

/// Issues certificates to the nodes of a group.
///
/// What it is asked is decided already: the node proved itself, or a one-time token, and the request was checked. What
/// it answers is checked again before a node gets it.
pub trait CertificateAuthority: Send + Sync {
    /// Issues a certificate, refuses, or says when to ask again. The same order may come any number of times.
    fn issue(&self, order: Order) -> BoxFuture<'_, Result<Issuance>>;
}

/// The authority that a configuration names; none where it names none.
///
/// # Errors
///
/// [`crate::Code::ConfigMissingKey`]; what [`LocalAuthority::open`] and [`HandOff::open`] find.
pub(crate) async fn of_settings(settings: AuthoritySettings) -> Result<Option<Arc<dyn CertificateAuthority>>> {
    let opened = tokio::task::spawn_blocking(move || -> Result<Option<Arc<dyn CertificateAuthority>>> {
        let directory = || setup::required(settings.directory.clone(), "authority.directory");
        Ok(match settings.kind {
            AuthorityKind::None => None,
            AuthorityKind::Local => Some(Arc::new(LocalAuthority::open(directory()?, settings.validity)?)),
            AuthorityKind::HandOff => Some(Arc::new(HandOff::open(directory()?)?)),
        })
    });
    opened.await.map_err(|error| Error::new(Code::Internal).found(error.to_string()))?
}

/// What a certificate is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// The request: its name is [`Self::name`].
    pub request: CertificateRequest,
    /// The node, or the operator.
    pub name: Name,
    /// What the group knows it as (an operator renews its certificate in the same way), or what its token is for.
    pub role: Role,
    /// The gateway that it came through; none if it came directly.
    pub via: Option<Name>,
    /// Why it asks.
    pub reason: Reason,
}

impl Order {
    /// An order of a request for the name that it holds.
    pub fn new(request: CertificateRequest, role: Role, via: Option<Name>, reason: Reason) -> Self {
        Self { name: request.name().clone(), request, role, via, reason }
    }
}

/// Why a node asks for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It has none yet, and showed a one-time token.
    Enrolment,
    /// It has one that will end.
    Renewal {
        /// When the one that it showed ends.
        current_not_after: Timestamp,
    },
}

impl Reason {
    /// Whether a certificate with this end is what was asked for, and not the one that is to be replaced.
    fn is_served_by(self, not_after: Timestamp) -> bool {
        match self {
            Self::Enrolment => true,
            Self::Renewal { current_not_after } => not_after > current_not_after,
        }
    }
}

/// What an authority answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Issuance {
    /// The certificate, then its intermediates.
    Issued(Vec<CertificateDer<'static>>),
    /// Not yet: ask again.
    Pending {
        /// How long to wait before.
        retry_after: Duration,
    },
}
