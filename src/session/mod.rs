//! The public handles that run nodes, and what runs beside them.

pub(crate) mod input;
#[cfg(feature = "management-server")]
mod management_group;

#[cfg(feature = "management-server")]
pub use management_group::{ApprovedFor, Cursor, Inventory, ManagementGroup};
