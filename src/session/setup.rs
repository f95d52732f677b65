//! From a configuration to what a node starts with; all three roles share it.

use std::sync::Arc;

use crate::code::Code;
use crate::config::{Config, NodeAddress};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::{Assignment, AssignmentKey, Upstream};
use crate::name::Name;
use crate::net::dial::Dialler;
use crate::node::Introduction;
use crate::node::uplink::UplinkConfig;
use crate::role::Role;
use crate::routing::Timing;
use crate::session::assignment_file::AssignmentFile;
use crate::session::clock;
use crate::session::events::EventHub;

/// Who the node says it is.
///
/// # Errors
///
/// [`Code::ConfigMissingKey`].
pub(crate) fn introduction(config: &Config) -> Result<Introduction> {
    Ok(Introduction {
        role: config.role,
        name: name(config)?,
        group: required(config.management_group.clone(), "management_group")?,
        software: concat!("farpost ", env!("CARGO_PKG_VERSION")).to_owned(),
        heartbeat: config.heartbeat,
        hello_timeout: config.hello_timeout,
    })
}

/// The node's name.
pub(crate) fn name(config: &Config) -> Result<Name> {
    required(config.name.clone(), "name")
}

/// A value that the role cannot do without.
pub(crate) fn required<T>(value: Option<T>, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::new(Code::ConfigMissingKey).subject(key))
}

/// The node's end towards the management servers: configuration, and the last good assignment from disk (rule F1).
///
/// A kept assignment that cannot be used is told and left aside: the configured upstreams are the last resort.
pub(crate) fn uplink(config: &Config, file: Option<&AssignmentFile>, events: &EventHub) -> Result<UplinkConfig> {
    let me = introduction(config)?;
    let primary = required(config.upstream.primary.as_ref(), "upstream.primary")?;
    let configured = Assignment::new(upstream(primary), config.upstream.failover.iter().map(upstream))?;
    let pinned = match file.map(|file| file.load(&me.group, &me.name)) {
        Some(Ok(pinned)) => pinned,
        Some(Err(error)) => {
            events.emit(Event::of_error(error.subject_text().to_owned(), &error));
            None
        }
        None => None,
    };
    let (group_key, held) = match pinned {
        Some(pinned) => (Some(pinned.key), Some((pinned.version, pinned.assignment))),
        None => (config.group_key.map(AssignmentKey), None),
    };
    Ok(UplinkConfig { me, timing: timing(config), configured, held, group_key, seed: clock::random() })
}

fn upstream(address: &NodeAddress) -> Upstream {
    Upstream::new(address.name.clone(), address.port)
}

fn timing(config: &Config) -> Timing {
    let timing = if config.role == Role::Agent { Timing::agent() } else { Timing::gateway() };
    Timing {
        backoff: (config.backoff.min, config.backoff.max),
        hold_down: config.failback.hold_down,
        hold_down_jitter: config.failback.jitter,
        probe_every: config.probe_interval,
        ..timing
    }
}

/// How the node dials.
pub(crate) fn dialler(config: &Config) -> Dialler {
    Dialler {
        hosts: Arc::new(config.hosts.clone()),
        connect_timeout: config.connect_timeout,
        tls_timeout: config.hello_timeout,
    }
}
