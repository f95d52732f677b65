//! The records of sites, and of whose assignments come from them (rule G6).

use crate::error::Result;
use crate::group::{Assignment, SignedAssignment, SiteName};
use crate::name::Name;
use crate::store::records::Which;

/// A node's assignment as it is stored.
#[derive(Clone, Debug)]
pub(in crate::store) struct StoredAssignment {
    pub(in crate::store) node: Name,
    /// Of the last one that the node had.
    pub(in crate::store) version: u64,
    /// The site that it comes from; none for the node's own.
    pub(in crate::store) site: Option<SiteName>,
    /// None of a node that left the group.
    pub(in crate::store) signed: Option<SignedAssignment>,
}

/// Sites, who is in them, and assignments in sets.
pub(in crate::store) trait SiteRecords {
    /// All sites by name, with their assignments.
    fn sites(&mut self) -> Result<Vec<(SiteName, Option<Assignment>)>>;
    /// Inserts or replaces.
    fn put_site(&mut self, site: &SiteName, assignment: Option<&Assignment>) -> Result<()>;
    /// Forgets a site and who is in it.
    fn remove_site(&mut self, site: &SiteName) -> Result<()>;
    /// Which site these nodes are in, by node; who is in none is left out.
    fn site_nodes(&mut self, which: Which<'_>) -> Result<Vec<(Name, SiteName)>>;
    /// Inserts or replaces.
    fn put_site_nodes(&mut self, site: &SiteName, nodes: &[&Name]) -> Result<()>;
    fn remove_site_nodes(&mut self, nodes: &[&Name]) -> Result<()>;
    /// What these nodes have or had; who never had any is left out.
    fn stored_assignments(&mut self, which: Which<'_>) -> Result<Vec<StoredAssignment>>;
    /// Inserts or replaces.
    fn put_assignments(&mut self, assignments: &[StoredAssignment]) -> Result<()>;
}
