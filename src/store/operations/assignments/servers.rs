//! Management servers: how they come into the group, are excluded from failover, and leave (rules G1, G3).

use std::fmt::Display;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    Assignment, Author, By, GatewayState, Holder, LeaseRecord, ServerRecord, ServerUse, server_unknown,
};
use crate::limits::PROBLEM_NAMES_MAX;
use crate::name::Name;
use crate::store::operations::operators::check_no_operator;
use crate::store::operations::{assignments, audit, gateway, names, server};
use crate::store::records::{Records, Which};
use crate::time::Timestamp;

pub(in crate::store) fn register_server(
    records: &mut dyn Records,
    name: &Name,
    address: &str,
    at: Timestamp,
) -> Result<()> {
    records.lock_group()?;
    check_no_operator(records, name)?;
    let servers = records.servers()?;
    let known = server(&servers, name);
    if known.is_none() && gateway(records, name)?.is_some_and(|gateway| gateway.state == GatewayState::Approved) {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(name.as_str())
            .found("an approved gateway")
            .expected("a management server")
            .remedy("farpost approve … --action delete removes a gateway"));
    }
    let record = ServerRecord {
        name: name.clone(),
        address: address.to_owned(),
        excluded: known.is_some_and(|known| known.excluded),
        last_seen: at,
    };
    records.put_server(&record)?;
    match known {
        Some(known) if known.address == address => Ok(()),
        _ => {
            let by = By { author: Author::group("a management server that started", address), at };
            audit(records, &by, ("register server", name.as_str()), known, Some(&record))?;
            records.changed()
        }
    }
}

/// A server whose lease had run out while it could not reach the store may have been deleted: it comes back as a new one.
pub(in crate::store::operations) fn register_again(records: &mut dyn Records, holder: &Holder) -> Result<()> {
    if server(&records.servers()?, &holder.server).is_some() {
        return Ok(());
    }
    let at = records.clock()?;
    register_server(records, &holder.server, &holder.address, at)
}

pub(super) fn set_excluded(records: &mut dyn Records, name: &Name, excluded: bool, by: &By) -> Result<ServerUse> {
    records.lock_group()?;
    let servers = records.servers()?;
    let Some(known) = server(&servers, name) else { return Err(server_unknown(name, &names(&servers))) };
    if known.excluded != excluded {
        let record = ServerRecord { excluded, ..known.clone() };
        records.put_server(&record)?;
        let action = if excluded { "exclude server" } else { "include server" };
        audit(records, by, (action, name.as_str()), Some(known), Some(&record))?;
        records.changed()?;
    }
    use_of(records, name)
}

/// Who names a server: it is not used where it is excluded, and they have one upstream less.
fn use_of(records: &mut dyn Records, server: &Name) -> Result<ServerUse> {
    let is_for = |assignment: &Assignment| assignment.contains(server);
    let approved = records
        .gateways(Which::All)?
        .into_iter()
        .filter(|gateway| gateway.state == GatewayState::Approved && gateway.parent.as_ref() == Some(server));
    let gateways = approved.map(|gateway| gateway.name).collect();
    let own =
        assignments::all(records)?.into_iter().filter(|record| record.site.is_none() && is_for(&record.assignment));
    let assigned = own.map(|record| record.node).collect();
    let sites = records.sites()?.into_iter().filter(|(_, assignment)| assignment.as_ref().is_some_and(is_for));
    Ok(ServerUse { gateways, assigned, sites: sites.map(|(site, _)| site).collect() })
}

/// Removes a server that was taken out of service; answers what it was. What nodes, refusals, messages and the audit log
/// say of it stays as it is, and its name is anybody's.
///
/// # Errors
///
/// [`Code::ServerUnknown`]; [`Code::ServerRuns`] while its lease holds; [`Code::ServerAssigned`] if anybody names it: who
/// gets its name later would be the upstream of those.
pub(super) fn delete(records: &mut dyn Records, name: &Name, by: &By) -> Result<ServerRecord> {
    records.lock_group()?;
    let servers = records.servers()?;
    let Some(known) = server(&servers, name) else {
        return Err(server_unknown(name, &names(&servers)).remedy("look at farpost inventory --role management-server"));
    };
    let lease = records.leases()?.into_iter().find(|lease| lease.server == *name);
    check_stopped(lease.as_ref(), records.clock()?)?;
    check_unused(name, &use_of(records, name)?)?;
    if let Some(lease) = lease {
        // Who was connected to it then is at no server: nobody is behind one that the group does not have.
        records.leave_all(name, lease.renewed)?;
    }
    records.remove_server(name)?;
    audit(records, by, ("delete server", name.as_str()), Some(known), None)?;
    records.changed()?;
    Ok(known.clone())
}

/// Whether a server has stopped, or has not been heard of for so long that it counts as dead.
fn check_stopped(lease: Option<&LeaseRecord>, clock: Timestamp) -> Result<()> {
    let Some(lease) = lease.filter(|lease| lease.is_valid(clock)) else { return Ok(()) };
    let left_ms = lease.until.unix_millis().saturating_sub(clock.unix_millis());
    let seconds = left_ms.saturating_add(999).div_euclid(1_000).max(1);
    Err(Error::new(Code::ServerRuns)
        .subject(lease.server.as_str())
        .found(format!("it runs since {} and said so last at {}", lease.started, lease.renewed))
        .expected("a management server that has stopped")
        .remedy(format!("stop it and try again; if it was killed or is lost, wait {seconds} s")))
}

/// Whether nobody is approved for it or has it in an assignment.
fn check_unused(name: &Name, named: &ServerUse) -> Result<()> {
    if named.is_empty() {
        return Ok(());
    }
    let said = [
        some("gateways are approved for it:", &named.gateways),
        some("it is assigned to", &named.assigned),
        some("it is assigned to the sites", &named.sites),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    Err(Error::new(Code::ServerAssigned)
        .subject(name.as_str())
        .found(said.join("; "))
        .expected("a management server that no gateway, agent or site names, as primary or as failover"))
}

/// A few of them by name, and how many more there are; nothing of none.
fn some<T: Display>(what: &str, all: &[T]) -> Option<String> {
    let few: Vec<String> = all.iter().take(PROBLEM_NAMES_MAX).map(ToString::to_string).collect();
    let more = match all.len().saturating_sub(few.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!few.is_empty()).then(|| format!("{what} {}{more}", few.join(", ")))
}

/// Forgets who left servers that are deleted since: they do it of themselves as long as they are there.
pub(in crate::store::operations) fn forget_former(records: &mut dyn Records, before: Timestamp) -> Result<()> {
    let servers = records.servers()?;
    let leases = records.leases()?.into_iter().filter(|lease| server(&servers, &lease.server).is_none());
    for former in leases {
        records.forget_presences(&former.server, before)?;
        if former.until < before {
            records.remove_lease(&former.server)?;
        }
    }
    Ok(())
}
