//! A certificate authority as an application may bring one: issues at once, later, or wrongly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farpost::{CertificateAuthority, Issuance, Order, Result};
use futures::future::BoxFuture;
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair};
use rustls::pki_types::CertificateSigningRequestDer;

use crate::pki::Certified;

/// What is wrong with what it issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoilt {
    OtherKey,
    OtherName,
    Panic,
}

#[derive(Clone)]
pub(crate) struct TestAuthority(Arc<Mutex<State>>);

struct State {
    authority: Arc<Certified>,
    orders: Vec<Order>,
    answers_after: usize,
    spoilt: Option<Spoilt>,
    stalls: bool,
}

impl TestAuthority {
    pub(crate) fn of(authority: &Arc<Certified>) -> Self {
        let authority = authority.clone();
        Self(Arc::new(Mutex::new(State {
            authority,
            orders: Vec::new(),
            answers_after: 0,
            spoilt: None,
            stalls: false,
        })))
    }

    /// Leaves this many requests unanswered before it issues.
    pub(crate) fn answer_after(&self, count: usize) {
        self.lock().answers_after = count;
    }

    pub(crate) fn spoil(&self, spoilt: Spoilt) {
        self.lock().spoilt = Some(spoilt);
    }

    /// Answers nothing from now on.
    pub(crate) fn stall(&self) {
        self.lock().stalls = true;
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.lock().orders.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, order: Order) -> Issuance {
        let mut state = self.lock();
        state.orders.push(order.clone());
        if state.orders.len() <= state.answers_after {
            return Issuance::Pending { retry_after: Duration::from_millis(100) };
        }
        assert!(state.spoilt != Some(Spoilt::Panic), "the authority has a fault");
        let der = CertificateSigningRequestDer::from(order.request.der().to_vec());
        let asked = CertificateSigningRequestParams::from_der(&der).unwrap();
        let name = if state.spoilt == Some(Spoilt::OtherName) { "ms1.corp.example" } else { order.name.as_str() };
        let certificate = if state.spoilt == Some(Spoilt::OtherKey) {
            state.authority.certify(name, &KeyPair::generate().unwrap(), from_now).1
        } else {
            state.authority.certify(name, &asked.public_key, from_now).1
        };
        Issuance::Issued(vec![certificate.der().clone()])
    }
}

/// A new certificate starts later than the one before: that is how a store tells them apart (rule I4).
fn from_now(params: &mut CertificateParams) {
    params.not_before = std::time::SystemTime::now().into();
}

impl CertificateAuthority for TestAuthority {
    fn issue(&self, order: Order) -> BoxFuture<'_, Result<Issuance>> {
        Box::pin(async move {
            if self.lock().stalls {
                std::future::pending::<()>().await;
            }
            Ok(self.answer(order))
        })
    }
}
