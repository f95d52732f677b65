//! Sites: sets of nodes that have their upstreams in common (rule G6).

use crate::error::Result;
use crate::group::{Answer, AssignmentsOperation, NodeChoice, SiteChange, SiteName, SiteRecord};
use crate::name::Name;
use crate::session::management_group::assignments::assignment;
use crate::session::management_group::{ManagementGroup, answer, done};

impl ManagementGroup {
    /// All sites, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn sites(&self) -> Result<Vec<SiteRecord>> {
        answer!(self.ask(AssignmentsOperation::Sites), Sites)
    }

    /// Makes a site without nodes.
    ///
    /// # Errors
    ///
    /// [`Code::SiteTaken`](crate::Code::SiteTaken) if there is one of this name, [`Code::NameUnreadable`](crate::Code::NameUnreadable), [`Code::ConfigBadValue`](crate::Code::ConfigBadValue) for too many.
    pub async fn create_site(&self, site: &str) -> Result<()> {
        let site = SiteName::parse(site)?;
        self.ask(AssignmentsOperation::CreateSite { site }).await.and_then(done)
    }

    /// Removes a site. Its nodes stay in the group; who had its assignment follows its own configuration.
    ///
    /// # Errors
    ///
    /// [`Code::SiteUnknown`](crate::Code::SiteUnknown).
    pub async fn delete_site(&self, site: &str) -> Result<()> {
        let site = SiteName::parse(site)?;
        self.ask(AssignmentsOperation::DeleteSite { site }).await.and_then(done)
    }

    /// Assigns a site its upstreams: those of every node of it that has none of its own, now and later.
    ///
    /// # Errors
    ///
    /// [`Code::SiteUnknown`](crate::Code::SiteUnknown); else as [`ManagementGroup::set_failover`], of any of its nodes too.
    pub async fn set_site_failover(&self, site: &str, primary: &str, failover: &[impl AsRef<str>]) -> Result<()> {
        let (site, assignment) = (SiteName::parse(site)?, assignment(primary, failover)?);
        self.ask(AssignmentsOperation::AssignSite { site, assignment }).await.and_then(done)
    }

    /// Puts gateways and agents into a site, all or none; answers how many were not in it yet.
    ///
    /// # Errors
    ///
    /// [`Code::SiteUnknown`](crate::Code::SiteUnknown), [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::SiteTaken`](crate::Code::SiteTaken) for a node of another site,
    /// [`Code::ConfigBadValue`](crate::Code::ConfigBadValue) for too many.
    pub async fn add_to_site(&self, site: &str, nodes: &[impl AsRef<str>]) -> Result<u64> {
        let (site, nodes) = (SiteName::parse(site)?, names(nodes)?);
        answer!(self.ask(AssignmentsOperation::AddToSite { site, nodes }), Number)
    }

    /// Takes nodes out of a site, all or none; answers how many.
    ///
    /// # Errors
    ///
    /// [`Code::SiteUnknown`](crate::Code::SiteUnknown), [`Code::NameUnknown`](crate::Code::NameUnknown) for one that is not in it.
    pub async fn remove_from_site(&self, site: &str, nodes: &[impl AsRef<str>]) -> Result<u64> {
        let (site, nodes) = (SiteName::parse(site)?, names(nodes)?);
        answer!(self.ask(AssignmentsOperation::RemoveFromSite { site, nodes }), Number)
    }

    /// Puts nodes into a site or takes them out, by their names or by a pattern, all or none; answers whose place changed.
    /// A pattern leaves alone who is in the site already, or in none.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::add_to_site`] and [`ManagementGroup::remove_from_site`]; as [`ManagementGroup::set_failover`]
    /// for a node that may not have what the site has.
    pub async fn change_site(&self, site: &str, nodes: &NodeChoice, change: SiteChange) -> Result<Vec<Name>> {
        let (site, nodes) = (SiteName::parse(site)?, nodes.clone());
        answer!(self.ask(AssignmentsOperation::ChangeSite { site, nodes, change, rehearsal: false }), Names)
    }

    /// Whose place [`ManagementGroup::change_site`] would change now; nothing is changed.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn rehearse_site(&self, site: &str, nodes: &NodeChoice, change: SiteChange) -> Result<Vec<Name>> {
        let (site, nodes) = (SiteName::parse(site)?, nodes.clone());
        answer!(self.ask(AssignmentsOperation::ChangeSite { site, nodes, change, rehearsal: true }), Names)
    }
}

pub(super) fn names(texts: &[impl AsRef<str>]) -> Result<Vec<Name>> {
    texts.iter().map(|text| Name::parse(text.as_ref())).collect()
}
