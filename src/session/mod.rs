//! The public handles that run nodes, and what runs beside them.

#[cfg(feature = "agent")]
mod agent;
mod assignment_file;
mod atomic_file;
#[cfg(feature = "management-server")]
mod authority;
mod certificate_request;
mod clock;
mod driver;
mod enrolment;
mod events;
#[cfg(feature = "gateway")]
mod gateway;
mod identities;
mod identity_store;
#[cfg(feature = "agent")]
mod input;
mod json;
mod keeping;
#[cfg(feature = "management-server")]
pub(crate) mod key_backup;
#[cfg(feature = "management-server")]
mod management_group;
#[cfg(feature = "management-server")]
mod management_server;
mod reload;
mod renewal;
mod setup;
mod signer;
mod status;

#[cfg(feature = "agent")]
pub use agent::{Agent, AgentBuilder, Receipt, Received, Watermarks};
#[cfg(feature = "management-server")]
pub use authority::{CertificateAuthority, HandOff, Issuance, LocalAuthority, LocalCertificate, Order, Reason};
pub use certificate_request::WaitingRequest;
pub use enrolment::{Enrolment, EnrolmentOutcome};
pub use events::Events;
#[cfg(feature = "gateway")]
pub use gateway::{Gateway, GatewayBuilder};
pub use identity_store::{CertificateImport, PreparedImport, WaitingKey};
#[cfg(feature = "management-server")]
pub use management_group::{ApprovedFor, ManagementGroup, OperatorConnection, RenewalOutcome};
#[cfg(feature = "management-server")]
pub use management_server::{
    DeliveredGap, DeliveredMessage, Deliveries, DeliveryBatch, Item, ManagementServer, ManagementServerBuilder,
};
pub use reload::IdentityReload;
