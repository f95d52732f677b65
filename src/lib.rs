//! farpost carries agents' data across a trust boundary.
//!
//! Agents in networks that a management group does not trust prove who they are with certificates to a
//! gateway; the gateway concentrates all of them on one outbound TLS connection (port 5723) to a
//! management server; the group approves who may connect; agents fail over between gateways and gateways
//! between management servers; nothing that was accepted is lost.
//!
//! The map of the crate, its rules and a message's life are in `ARCHITECTURE.md`. A rule that a comment
//! names (D1, I2, F5, …) stands there too.

// The lints of dead code belong to the build with all roles; one with fewer uses less of the floors they share.
#![cfg_attr(
    not(all(feature = "agent", feature = "gateway", feature = "management-server")),
    expect(dead_code, unused_imports, reason = "the roles share floors, and each uses its part of them")
)]

// ── words: depend on nothing ──
mod code;
mod config;
mod error;
mod event;
mod limits;
mod message;
mod name;
mod role;
mod text_form;
mod time;

// ── cores: no tokio, files, sockets, clocks, locks, random numbers ──
mod group;
mod identity;
mod node;
#[cfg(feature = "agent")]
mod queue;
mod routing;
mod wire;

// ── shells: tokio, files, sockets, SQL ──
mod disk;
mod net;
mod session;
#[cfg(feature = "management-server")]
mod store;

// ── faces ──
#[cfg(feature = "capi")]
mod ffi;

#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;

// ── the simulation of the pure nodes ──
#[cfg(test)]
mod sim;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

pub use code::{Code, Severity};
pub use config::{
    AuthorityKind, AuthoritySettings, Backoff, Config, Failback, IdentityFiles, NodeAddress, Output, QueueSettings,
    StoreUrl, Upstreams, WhenFull,
};
pub use error::{Error, Result};
pub use event::Event;
pub use group::EnrolmentToken;
#[cfg(feature = "management-server")]
pub use group::{Access, OperatorRecord, OperatorState};
#[cfg(feature = "management-server")]
pub use group::{AgentChoice, AgentDecision, GatewayTerms};
pub use group::{
    AgentRecord, AgentState, Assignment, AssignmentRecord, GatewayRecord, GatewayState, ServerRecord, UnknownAgents,
    Upstream,
};
pub use group::{ApprovalRule, KeyDemand, KeyPin, NamePattern, RuleName, RuleTest};
#[cfg(feature = "management-server")]
pub use group::{AssignmentTarget, NodeChoice, ServerUse, SiteChange};
#[cfg(feature = "management-server")]
pub use group::{
    AuditRecord, Author, AuthorKind, Cursor, DeliveriesKept, Delivery, DeliveryGap, Inventory, TokenRecord,
};
#[cfg(feature = "management-server")]
pub use group::{
    Delivered, FailoverOutlook, NodeFilter, NodeStanding, NodeState, Outlook, Overview, Problem, ProblemKind,
    StandbyStanding,
};
#[cfg(feature = "management-server")]
pub use group::{GroupKeyRecord, KeyRotation};
#[cfg(feature = "management-server")]
pub use group::{
    MessageChoice, MessageFilter, MessageRecord, MessageState, MessagesCancelled, MessagesSent, Recipients,
};
#[cfg(feature = "management-server")]
pub use group::{NodePresence, NodeReport, RefusedAttempt, StandbyReport};
pub use group::{SiteName, SiteRecord};
pub use identity::key_of_certificate;
pub use identity::{CertificateCheck, CrlPolicy, Identity, IdentityPolicy, NameRule, Report, check_certificate};
pub use identity::{CertificateForm, ChainLimits, PeerCheck, PeerRole, Trust, VerifiedPeer};
pub use identity::{CertificateRequest, KeyKind};
pub use identity::{CertificateSelector, CertificateSummary};
pub use identity::{SignatureScheme, Signer};
pub use identity::{SourceSummary, read_source};
pub use message::{Epoch, Gap, Message, Priority, Sequence};
pub use name::Name;
pub use net::{PresentedChain, fetch_chain};
pub use role::Role;
#[cfg(feature = "agent")]
pub use session::{Agent, AgentBuilder, Receipt, Received, Watermarks};
#[cfg(feature = "management-server")]
pub use session::{ApprovedFor, ManagementGroup, OperatorConnection, RenewalOutcome};
#[cfg(feature = "management-server")]
pub use session::{CertificateAuthority, HandOff, Issuance, LocalAuthority, LocalCertificate, Order, Reason};
pub use session::{CertificateImport, PreparedImport, WaitingKey};
#[cfg(feature = "management-server")]
pub use session::{
    DeliveredGap, DeliveredMessage, Deliveries, DeliveryBatch, Item, ManagementServer, ManagementServerBuilder,
};
pub use session::{Enrolment, EnrolmentOutcome};
pub use session::{Events, IdentityReload, WaitingRequest};
#[cfg(feature = "gateway")]
pub use session::{Gateway, GatewayBuilder};
pub use time::Timestamp;

/// The examples of the README are compiled as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
