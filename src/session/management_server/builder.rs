//! How a management server is configured and started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::ManagementServer;
use super::perform::CursorSource;
use super::start::Opened;
use crate::code::Code;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::role::Role;
use crate::session::authority::CertificateAuthority;
use crate::session::{ManagementGroup, setup};

/// Configures a management server. Every option of the configuration file has its key in
/// [`ManagementServerBuilder::set`].
pub struct ManagementServerBuilder {
    pub(super) identity: Identity,
    pub(super) group: ManagementGroup,
    pub(super) config: Config,
    pub(super) cursor_source: Option<CursorSource>,
    pub(super) certificate_authority: Option<Arc<dyn CertificateAuthority>>,
    pub(super) watches: bool,
}

impl ManagementServer {
    /// Begins to configure a management server of this group, with this identity.
    pub fn builder(identity: Identity, group: ManagementGroup) -> ManagementServerBuilder {
        let mut config = Config::new(Role::ManagementServer);
        config.name = Some(identity.name().clone());
        let certificate_authority = None;
        ManagementServerBuilder { identity, group, config, cursor_source: None, certificate_authority, watches: true }
    }

    /// A management server as a configuration file describes it: opens the group store, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`Code::RoleWrong`]; what [`Config::validate`], [`Identity::from_files`] and [`ManagementGroup::open_new`] find.
    pub async fn from_config(config: &Config) -> Result<ManagementServerBuilder> {
        if config.role != Role::ManagementServer {
            let expected = Role::ManagementServer.as_str();
            return Err(Error::new(Code::RoleWrong).found(config.role.as_str()).expected(expected));
        }
        config.validate()?;
        let identity = Identity::from_files(&config.identity, &setup::name(config)?)?;
        let url = setup::required(config.store_url.clone(), "store.url")?;
        let name = setup::required(config.management_group.clone(), "management_group")?;
        let group = ManagementGroup::open_new(url.as_str(), &name).await?;
        let (config, certificate_authority) = (config.clone(), None);
        Ok(ManagementServerBuilder {
            identity,
            group,
            config,
            cursor_source: None,
            certificate_authority,
            watches: true,
        })
    }
}

impl ManagementServerBuilder {
    /// Where gateways and agents connect to.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen_address = address;
        self
    }

    /// Where status is served.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.state_directory = Some(path.into());
        self
    }

    /// The application keeps the cursor itself, in its own database beside what it stores: it is asked for it whenever a
    /// channel opens, so that it is handed nothing twice (rule D5b). `None` from it means: never heard of that epoch.
    #[must_use]
    pub fn application_cursor<F>(mut self, cursor: F) -> Self
    where
        F: Fn(Name, Epoch) -> BoxFuture<'static, Result<Option<Sequence>>> + Send + Sync + 'static,
    {
        self.cursor_source = Some(Arc::new(cursor));
        self
    }

    /// Who issues certificates to the group's nodes when they renew or enrol, instead of what `authority.kind` says.
    #[must_use]
    pub fn certificate_authority(mut self, authority: impl CertificateAuthority + 'static) -> Self {
        self.certificate_authority = Some(Arc::new(authority));
        self
    }

    /// Leaves it to the program to say when the identity's files changed ([`ManagementServer::reload_identity`]); without this they are
    /// watched.
    #[must_use]
    pub fn without_identity_watch(mut self) -> Self {
        self.watches = false;
        self
    }

    /// Sets any option by its key in the configuration file.
    ///
    /// # Errors
    ///
    /// As [`Config::set`].
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        self.config.set(key, value)?;
        Ok(self)
    }

    /// Registers the server in its group, listens, and starts the node on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// [`Code::OperationLocal`] for a group from afar; [`Code::GroupMismatch`], [`Code::StoreUnavailable`],
    /// [`Code::StateDirectoryInUse`], [`Code::ListenFailed`], [`Code::OutputFailed`]; what [`LocalAuthority::open`](crate::LocalAuthority::open) and
    /// [`HandOff::open`](crate::HandOff::open) find.
    pub async fn start(self) -> Result<ManagementServer> {
        Ok(Opened::open(self).await?.run())
    }
}

impl fmt::Debug for ManagementServerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManagementServerBuilder")
            .field("identity", &self.identity)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
