//! The node's side of enrolment: a key, a request, the proof of the token, and the certificate into its place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::config::{IdentityFiles, NameRule, NodeAddress};
use crate::error::{Error, Result};
use crate::group::{EnrolmentClaim, EnrolmentToken, Upstream};
use crate::identity::{CertificateRequest, Identity, IdentityPolicy, KeyKind, Trust, pem};
use crate::limits::{CONNECT_TIMEOUT, HELLO_TIMEOUT};
use crate::name::Name;
use crate::net::dial::Dialler;
use crate::net::tls::enrolment::connect;
use crate::role::Role;
use crate::session::clock;
use crate::session::identity_store::read;
use crate::session::keeping::{Keeping, Waiting, blocking};
use crate::wire::{Answer, Enrol};

/// How a node without a certificate gets its first one: with a one-time token, from the gateway or management server
/// that the token is for.
///
/// Trust never comes over the wire: whoever answers must prove its name by a CA that is given here, and the certificate
/// that comes is checked with the same ([`Identity`]'s rules) before anything of it is installed.
#[derive(Clone, Debug)]
pub struct Enrolment {
    name: Name,
    role: Role,
    group: String,
    at: Place,
    directory: PathBuf,
    trust: Vec<PathBuf>,
    key_kind: KeyKind,
    hosts: BTreeMap<Name, Vec<IpAddr>>,
}

/// Where a node enrols.
#[derive(Clone, Debug)]
enum Place {
    Gateway(NodeAddress),
    ManagementServer(NodeAddress),
}

/// What came of an enrolment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EnrolmentOutcome {
    /// The certificate is in the directory: this is the identity that a node started on it has.
    Installed(Identity),
    /// The certificate authority has the request and will answer later: ask again, with the same token. The key waits in
    /// the directory.
    Pending {
        /// How long to wait before.
        retry_after: Duration,
    },
}

impl Enrolment {
    /// A node that enrols at a gateway's enrolment port. It keeps what it gets in `directory`.
    pub fn at_gateway(
        name: Name,
        role: Role,
        group: impl Into<String>,
        gateway: NodeAddress,
        directory: impl Into<PathBuf>,
    ) -> Self {
        Self::new(name, role, group.into(), Place::Gateway(gateway), directory.into())
    }

    /// A node that enrols at a management server's enrolment port.
    pub fn at_management_server(
        name: Name,
        role: Role,
        group: impl Into<String>,
        server: NodeAddress,
        directory: impl Into<PathBuf>,
    ) -> Self {
        Self::new(name, role, group.into(), Place::ManagementServer(server), directory.into())
    }

    fn new(name: Name, role: Role, group: String, at: Place, directory: PathBuf) -> Self {
        let (trust, key_kind, hosts) = (Vec::new(), KeyKind::default(), BTreeMap::new());
        Self { name, role, group, at, directory, trust, key_kind, hosts }
    }

    /// A file of CA certificates that are trusted: those of the group's nodes. At least one is needed, here or in the
    /// directory.
    #[must_use]
    pub fn trust(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust.push(file.into());
        self
    }

    /// The kind of key to make; one that waits already is used as it is.
    #[must_use]
    pub fn key_kind(mut self, kind: KeyKind) -> Self {
        self.key_kind = kind;
        self
    }

    /// Where a name is reached, ahead of DNS.
    #[must_use]
    pub fn host(mut self, name: Name, addresses: Vec<IpAddr>) -> Self {
        self.hosts.insert(name, addresses);
        self
    }

    /// Asks once, and installs what comes. May be called again, with the same token, after any error that passes.
    ///
    /// # Errors
    ///
    /// What the token's group found (the token, its name, role or gateway: FP1806 to FP1812), what the certificate
    /// authority said, [`Code::NameNotResolved`], [`Code::ConnectFailed`], what is wrong with the acceptor's certificate
    /// or with the new one (rule I2), [`Code::FileUnreadable`]. Then nothing was installed; the key waits for the next
    /// time.
    pub async fn ask(&self, token: &EnrolmentToken) -> Result<EnrolmentOutcome> {
        let this = self.clone();
        let (trust, waiting) = blocking(move || this.prepare()).await?;
        let answer = self.converse(trust, waiting.request(), token).await?;
        match answer {
            Answer::Pending(retry_after) => Ok(EnrolmentOutcome::Pending { retry_after }),
            Answer::Refused(error, _) => Err(error),
            Answer::Issued(chain) => {
                let this = self.clone();
                let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
                Ok(EnrolmentOutcome::Installed(blocking(move || this.install(&chain, &waiting)).await?))
            }
        }
    }

    /// The trust, and the key that waits: nothing is asked that could not be verified, or kept.
    fn prepare(&self) -> Result<(Arc<Trust>, Waiting)> {
        let given = self.trust_files()?;
        let slices: Vec<&[u8]> = given.iter().map(|file| file.as_slice()).collect();
        let trust = Trust::from_pem(&slices, &[])?;
        let waiting = self.keeping().waiting_or_new(&self.name, self.key_kind, NameRule::San)?;
        Ok((Arc::new(trust), waiting))
    }

    fn trust_files(&self) -> Result<Vec<Zeroizing<Vec<u8>>>> {
        let missing = || {
            let error = Error::new(Code::TrustMissing).subject(self.directory.display().to_string());
            error.remedy("give the CA that issued the gateways' and servers' certificates: --trust FILE")
        };
        if self.trust.is_empty() { Err(missing()) } else { self.trust.iter().map(|file| read(file)).collect() }
    }

    fn keeping(&self) -> Keeping {
        Keeping::new(Some(self.files()))
    }

    fn files(&self) -> IdentityFiles {
        IdentityFiles { directory: Some(self.directory.clone()), ..IdentityFiles::default() }
    }

    async fn converse(
        &self,
        trust: Arc<Trust>,
        request: &CertificateRequest,
        token: &EnrolmentToken,
    ) -> Result<Answer> {
        let (address, gateway) = match &self.at {
            Place::Gateway(address) => (address, Some(&address.name)),
            Place::ManagementServer(address) => (address, None),
        };
        let (group, name, role) = (self.group.as_str(), &self.name, self.role);
        let proof = token.prove(EnrolmentClaim { group, name, role, gateway, request: request.der() })?;
        let enrol = Enrol {
            request: request.der().to_vec().into(),
            name: name.to_string(),
            role: role as u32,
            group: group.to_owned(),
            token_key: token.public_key()?.to_vec().into(),
            signature: proof.to_vec().into(),
            id: 0,
            address: String::new(),
        };
        let dialler = Dialler {
            hosts: Arc::new(self.hosts.clone()),
            connect_timeout: CONNECT_TIMEOUT,
            tls_timeout: HELLO_TIMEOUT,
        };
        let tcp = dialler.tcp(&Upstream::new(address.name.clone(), address.port)).await?;
        let about = |error: Error| error.subject(address.to_string());
        let stream =
            connect((trust, IdentityPolicy::default()), tcp, &address.name, clock::wall).await.map_err(about)?;
        stream.ask(&enrol).await.map_err(about)
    }

    /// Everything is checked before anything is changed; the CAs that were given are trusted from then on.
    fn install(&self, chain: &[CertificateDer<'static>], waiting: &Waiting) -> Result<Identity> {
        let mut anchors = Vec::new();
        for file in self.trust_files()? {
            anchors.extend(pem::certificates(&file)?);
        }
        let installed = self.keeping().install(&self.name, chain, waiting, anchors)?;
        installed.ok_or_else(|| Error::new(Code::Internal).found("an enrolment without a directory"))
    }
}
