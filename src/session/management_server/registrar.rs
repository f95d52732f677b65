//! Who gets a certificate: signatures and requests are checked off the loop, the group is asked once more, then the
//! certificate authority.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinHandle;

use crate::code::Code;
use crate::config::Config;
use crate::error::{Error, Result, printable};
use crate::event::Event;
use crate::group::{Decision, EnrolmentClaim, EnrolmentToken, Knock, TokenHash, TokenUse};
use crate::identity::{CertificateRequest, KeyHash, VerifiedPeer, renewal, succession};
use crate::limits::{ISSUE_TIMEOUT, TOLD_REQUESTS_MAX};
use crate::name::Name;
use crate::net::enrolment::EnrolmentListener;
use crate::node::management_server::{ManagementServer as Node, NextKey, Order as Asked};
use crate::node::renewal::{Ask, Renewed};
use crate::role::Role;
use crate::session::authority::{CertificateAuthority, Issuance, Order, Reason};
use crate::session::clock;
use crate::session::driver::IdentityCell;
use crate::session::enrolment::{Failures, accept_enrolments};
use crate::session::events::EventHub;
use crate::session::keeping::blocking;
use crate::session::reload::Reloader;
use crate::session::renewal::{Answers, Renewer};
use crate::store::StoreThread;
use crate::wire::{Answer, Enrol, Request};

/// See the module's text.
#[derive(Clone)]
pub(super) struct Registrar {
    group: String,
    store: Arc<StoreThread>,
    identity: IdentityCell,
    authority: Option<Arc<dyn CertificateAuthority>>,
    events: EventHub,
    failures: Failures,
    /// The requests that wait and were told of, the oldest first: who answers them by hand has to learn of each once.
    told: Arc<Mutex<VecDeque<KeyHash>>>,
}

impl Registrar {
    pub(super) fn new(
        config: &Config,
        store: Arc<StoreThread>,
        reloader: &Arc<Reloader<Node>>,
        authority: Option<Arc<dyn CertificateAuthority>>,
        events: &EventHub,
    ) -> Self {
        Self {
            group: config.management_group.clone().unwrap_or_default(),
            store,
            identity: reloader.identities().clone(),
            authority,
            events: events.clone(),
            failures: Failures::new(events),
            told: Arc::default(),
        }
    }

    /// Enrolment at this server's own port, and the renewal of its own certificate.
    pub(super) fn tasks(
        &self,
        enrolment: Option<EnrolmentListener>,
        config: &Config,
        reloader: &Arc<Reloader<Node>>,
    ) -> impl Iterator<Item = JoinHandle<()>> + use<> {
        let enrolling = enrolment.map(|listener| tokio::spawn(self.clone().listen(listener)));
        let renewing = self.renewer(config, reloader).map(|renewer| tokio::spawn(renewer.run()));
        enrolling.into_iter().chain(renewing)
    }

    /// Takes enrolments at this server's own port, until the task is dropped.
    async fn listen(self, listener: EnrolmentListener) {
        let (identity, failures) = (self.identity.clone(), self.failures.clone());
        let answer = move |enrol| {
            let registrar = self.clone();
            async move { registrar.answer_enrolment(enrol, None).await }
        };
        accept_enrolments(listener, identity, failures, answer).await;
    }

    /// Renews this server's own certificate, by its own authority.
    fn renewer(&self, config: &Config, reloader: &Arc<Reloader<Node>>) -> Option<Renewer> {
        let (renewed, answers) = Answers::new();
        let registrar = self.clone();
        let post = Box::new(move |ask: Ask| {
            let (registrar, renewed) = (registrar.clone(), renewed.clone());
            tokio::spawn(async move {
                let answer = registrar.answer_own(ask.request).await;
                renewed.put(Renewed { hash: ask.hash, answer });
            });
        });
        Renewer::new(config, reloader, post, answers, &self.events)
    }

    /// Answers what this server asks for itself: it is its own group's, and signed nothing.
    async fn answer_own(&self, request: Request) -> Answer {
        let result = async {
            let none = || Error::new(Code::RenewalByHand).subject(self.group.as_str());
            let authority = self.authority.clone().ok_or_else(none)?;
            let identity = self.identity.current();
            let reason = Reason::Renewal { current_not_after: identity.not_after() };
            let request = blocking(move || CertificateRequest::parse(&request.request)).await?;
            self.issue(authority, Order::new(request, Role::ManagementServer, None, reason)).await
        };
        result.await.unwrap_or_else(Answer::refused)
    }

    /// Answers what a node of the group asks for; a refusal is an answer too.
    pub(super) async fn answer(&self, asked: Asked) -> Answer {
        match asked {
            Asked::Renewal { knock, peer, request } => {
                self.renew(knock, peer, request).await.unwrap_or_else(Answer::refused)
            }
            Asked::Enrolment { via, enrol } => self.answer_enrolment(enrol, Some(via)).await,
        }
    }

    /// Answers a node that has a token: at this server's own port, or at the one of the gateway `via`.
    async fn answer_enrolment(&self, enrol: Enrol, via: Option<Name>) -> Answer {
        let path = via.as_ref().map_or_else(|| "directly".to_owned(), |via| format!("via {via}"));
        let subject = format!("{} {} {path}", printable(&enrol.name), printable(&enrol.address));
        match self.enrol(enrol, via).await {
            Ok(answer) => {
                if let Answer::Issued(_) = answer {
                    self.events.emit(Event::new(Code::CertificateIssuedTo, subject, "for an enrolment token"));
                }
                answer
            }
            Err(error) => {
                let told = Error::new(Code::EnrolmentRefused).found(error.to_string());
                self.failures.tell(&subject, &told);
                Answer::refused(error)
            }
        }
    }

    /// The token is proven first, then used up by this request, and only then the authority is asked.
    async fn enrol(&self, enrol: Enrol, via: Option<Name>) -> Result<Answer> {
        let none =
            || Error::new(Code::EnrolmentUnavailable).found("a management server without a certificate authority");
        let authority = self.authority.clone().ok_or_else(none)?;
        let (group, gateway) = (self.group.clone(), via.clone());
        let (request, role, token) = blocking(move || check_enrolment(&group, gateway.as_ref(), &enrol)).await?;
        let ask = TokenUse {
            hash: token,
            name: request.name().clone(),
            role,
            via: via.clone(),
            request: renewal::request_hash(request.der()),
            at: clock::wall(),
        };
        self.store.call(move |store| store.use_token(&ask)).await?;
        self.issue(authority, Order::new(request, role, via, Reason::Enrolment)).await
    }

    async fn renew(&self, knock: Knock, peer: Arc<VerifiedPeer>, request: Request) -> Result<Answer> {
        let none = || Error::new(Code::RenewalByHand).subject(self.group.as_str());
        let authority = self.authority.clone().ok_or_else(none)?;
        let current_not_after = peer.not_after();
        let (role, via, name) = (knock.role, knock.via.clone(), knock.name.clone());
        let request = self.check_renewal(&knock, peer, request).await?;
        self.approved(knock).await?;
        let key = request.key_hash();
        let order = Order::new(request, role, via, Reason::Renewal { current_not_after });
        let answer = self.issue(authority, order).await?;
        if let Answer::Issued(_) = answer {
            // Before the node has it: one whose key is pinned must be let in with the next one.
            self.store.call(move |store| store.key_renewed(role, &name, key)).await?;
        }
        Ok(answer)
    }

    /// The request is the node's own: signed with the key that it proved, which is good now, for its own name.
    async fn check_renewal(
        &self,
        knock: &Knock,
        peer: Arc<VerifiedPeer>,
        request: Request,
    ) -> Result<CertificateRequest> {
        let (group, name) = (self.group.clone(), knock.name.clone());
        let identity = self.identity.current();
        blocking(move || {
            identity.verify(peer.chain(), Some(&name), clock::validity())?;
            let signed = (request.scheme, request.signature.as_ref());
            renewal::verify_request(&peer, &group, &name, &request.request, signed)?;
            let request = CertificateRequest::parse(&request.request)?;
            if *request.name() != name {
                return Err(Error::new(Code::RenewalNameMismatch)
                    .found(request.name().as_str())
                    .expected(name.as_str()));
            }
            Ok(request)
        })
        .await
    }

    /// A gateway comes with another key next: where the one that says so is pinned, the next one may be shown too.
    pub(super) async fn note_next_key(&self, said: NextKey) {
        let name = said.knock.name.clone();
        if let Err(error) = self.take_next_key(said).await {
            self.events.emit(Event::of_error(format!("{name}, its next key"), &error));
        }
    }

    async fn take_next_key(&self, said: NextKey) -> Result<()> {
        let NextKey { knock, peer, next, scheme, signature } = said;
        let (group, name, role) = (self.group.clone(), knock.name.clone(), knock.role);
        let identity = self.identity.current();
        let of = name.clone();
        blocking(move || {
            identity.verify(peer.chain(), Some(&of), clock::validity())?;
            succession::verify_next(&peer, (next, &of, &group), (scheme, &signature))
        })
        .await?;
        self.approved(knock).await?;
        self.store.call(move |store| store.key_renewed(role, &name, next)).await
    }

    /// What the group says of the node at this moment: approvals may have gone since it came in (rule G1).
    async fn approved(&self, mut knock: Knock) -> Result<()> {
        knock.at = clock::validity();
        let decisions = self.store.call(move |store| store.authorise(std::slice::from_ref(&knock))).await?;
        match decisions.into_iter().next() {
            Some(Decision::Approved(_)) => Ok(()),
            Some(Decision::Pending(code)) => Err(Error::new(code)),
            Some(Decision::Refused(error)) => Err(error),
            None => Err(Error::new(Code::Internal).found("a knock without a decision")),
        }
    }

    /// Asks the authority, and checks what it answers: a node never gets what its peers would refuse.
    async fn issue(&self, authority: Arc<dyn CertificateAuthority>, order: Order) -> Result<Answer> {
        let request = order.request.clone();
        // On a task of its own: a panic of an application's authority is an answer too.
        let issuing = tokio::spawn(async move { authority.issue(order).await });
        let abort = issuing.abort_handle();
        let issuance = match tokio::time::timeout(ISSUE_TIMEOUT, issuing).await {
            Ok(Ok(issuance)) => issuance?,
            Ok(Err(panic)) => {
                return Err(Error::new(Code::Internal).subject("the certificate authority").found(panic.to_string()));
            }
            Err(_) => {
                abort.abort();
                return Err(Error::new(Code::TimedOut)
                    .subject("the certificate authority")
                    .expected(format!("an answer within {ISSUE_TIMEOUT:?}")));
            }
        };
        match issuance {
            Issuance::Pending { retry_after } => {
                self.tell_pending(&request);
                Ok(Answer::Pending(retry_after))
            }
            Issuance::Issued(chain) => self.check_issued(chain, request).await,
        }
    }

    /// Tells of a request that waits, once for each key.
    fn tell_pending(&self, request: &CertificateRequest) {
        let hash = request.key_hash();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&hash) {
            return;
        }
        told.push_back(hash);
        if told.len() > TOLD_REQUESTS_MAX {
            told.pop_front();
        }
        drop(told);
        let text = format!("request {}", request.file_stem());
        self.events.emit(Event::new(Code::RenewalPending, request.name().to_string(), text));
    }

    async fn check_issued(&self, chain: Vec<CertificateDer<'static>>, request: CertificateRequest) -> Result<Answer> {
        let identity = self.identity.current();
        blocking(move || {
            let unusable = |error: Error| {
                Error::new(Code::AuthorityAnswerUnusable).subject(request.name().as_str()).found(error.to_string())
            };
            let peer = identity
                .verify(&chain, Some(request.name()), clock::validity())
                .map_err(|report| unusable(report.into()))?;
            if peer.key_hash() != request.key_hash() {
                return Err(unusable(Error::new(Code::KeyMismatch).found("a certificate for another key")));
            }
            Ok(Answer::Issued(chain.iter().map(|der| Bytes::copy_from_slice(der)).collect()))
        })
        .await
    }
}

/// What an ENROL says, after all that can be checked without the group: its request, its role, and the token whose key
/// signed it.
fn check_enrolment(
    group: &str,
    gateway: Option<&Name>,
    enrol: &Enrol,
) -> Result<(CertificateRequest, Role, TokenHash)> {
    if enrol.group != group {
        return Err(Error::new(Code::GroupMismatch)
            .found(format!("\"{}\"", printable(&enrol.group)))
            .expected(format!("\"{group}\"")));
    }
    let role = Role::from_number(enrol.role).filter(|role| matches!(role, Role::Agent | Role::Gateway));
    let role = role.ok_or_else(|| {
        Error::new(Code::RoleUnexpected).found(format!("the role {}", enrol.role)).expected("agent or gateway")
    })?;
    let name = Name::parse(&enrol.name)?;
    let claim = EnrolmentClaim { group, name: &name, role, gateway, request: &enrol.request };
    let token = EnrolmentToken::verify_proof(&enrol.token_key, claim, &enrol.signature)?;
    // Whoever has no token costs one signature's check: its request is not read.
    let request = CertificateRequest::parse(&enrol.request)?;
    if *request.name() != name {
        return Err(Error::new(Code::RenewalNameMismatch).found(request.name().as_str()).expected(name.as_str()));
    }
    Ok((request, role, token))
}
