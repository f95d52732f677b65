//! Servers and assignments (rules G3, G6).

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    Assignment, AssignmentRecord, Candidate, GatewayState, ServerRecord, SignedAssignment, may_assign, server_unknown,
};
use crate::name::Name;
use crate::store::sqlite::columns::{NameColumn, TimeColumn};
use crate::store::sqlite::{approvals, failure, schema};
use crate::time::Timestamp;

pub(super) fn register_server(connection: &Connection, server: &Name, address: &str, at: Timestamp) -> Result<()> {
    let known = self::server(connection, server)?;
    let mut upsert = connection
        .prepare_cached(
            "INSERT INTO servers (name, address, last_seen) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET address = excluded.address, last_seen = excluded.last_seen",
        )
        .map_err(failure::of)?;
    upsert.execute((server.as_str(), address, TimeColumn(at))).map_err(failure::of)?;
    match known {
        Some(known) if known.address == address => Ok(()),
        _ => schema::changed(connection),
    }
}

pub(super) fn set_server_excluded(connection: &Connection, server: &Name, excluded: bool) -> Result<()> {
    let Some(known) = self::server(connection, server)? else {
        return Err(server_unknown(server, &names(connection)?));
    };
    if known.excluded == excluded {
        return Ok(());
    }
    let mut update =
        connection.prepare_cached("UPDATE servers SET excluded = ?2 WHERE name = ?1").map_err(failure::of)?;
    update.execute((server.as_str(), excluded)).map_err(failure::of)?;
    schema::changed(connection)
}

pub(super) fn servers(connection: &Connection) -> Result<Vec<ServerRecord>> {
    let mut select = connection
        .prepare_cached("SELECT name, address, excluded, last_seen FROM servers ORDER BY name")
        .map_err(failure::of)?;
    let rows = select.query_map([], server_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn server(connection: &Connection, name: &Name) -> Result<Option<ServerRecord>> {
    let mut select = connection
        .prepare_cached("SELECT name, address, excluded, last_seen FROM servers WHERE name = ?1")
        .map_err(failure::of)?;
    select.query_row([name.as_str()], server_of).optional().map_err(failure::of)
}

/// The names of all servers, for people.
pub(super) fn names(connection: &Connection) -> Result<Vec<Name>> {
    Ok(servers(connection)?.into_iter().map(|server| server.name).collect())
}

fn server_of(row: &Row<'_>) -> rusqlite::Result<ServerRecord> {
    Ok(ServerRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        address: row.get(1)?,
        excluded: row.get(2)?,
        last_seen: row.get::<_, TimeColumn>(3)?.0,
    })
}

/// Assigns upstreams to a known gateway or agent; `sign` gets the version, which rises.
pub(super) fn assign(
    connection: &Connection,
    node: &Name,
    assignment: &Assignment,
    sign: impl FnOnce(u64) -> SignedAssignment,
) -> Result<()> {
    let is_gateway = |name: &Name| -> Result<bool> {
        Ok(approvals::gateway(connection, name)?.is_some_and(|gateway| gateway.state != GatewayState::Deleted))
    };
    if !is_gateway(node)? && approvals::agent(connection, node)?.is_none() {
        return Err(Error::new(Code::NameUnknown)
            .subject(node.as_str())
            .expected("a gateway or an agent of the group"));
    }
    let mut candidates = Vec::new();
    for upstream in assignment.upstreams() {
        let candidate = match server(connection, upstream.name())? {
            Some(server) => Candidate::Server { excluded: server.excluded },
            None if is_gateway(upstream.name())? => Candidate::Gateway,
            None => Candidate::Unknown,
        };
        candidates.push((upstream.name(), candidate));
    }
    may_assign(node, assignment, &names(connection)?, |name| {
        candidates.iter().find(|(candidate, _)| *candidate == name).map_or(Candidate::Unknown, |(_, known)| *known)
    })?;
    let mut select =
        connection.prepare_cached("SELECT version FROM assignments WHERE node = ?1").map_err(failure::of)?;
    let version: Option<i64> = select.query_row([node.as_str()], |row| row.get(0)).optional().map_err(failure::of)?;
    let version = version.unwrap_or(0) + 1;
    let signed = sign(version.cast_unsigned());
    let mut upsert = connection
        .prepare_cached("INSERT OR REPLACE INTO assignments (node, version, body, signature) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failure::of)?;
    upsert.execute((node.as_str(), version, &signed.body[..], &signed.signature[..])).map_err(failure::of)?;
    schema::changed(connection)
}

/// Takes a node's assignment away; its version stays, so that a later one is newer still.
pub(super) fn withdraw(connection: &Connection, node: &Name) -> Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE assignments SET body = NULL, signature = NULL WHERE node = ?1")
        .map_err(failure::of)?;
    update.execute([node.as_str()]).map(|_| ()).map_err(failure::of)
}

pub(super) fn signed(connection: &Connection, node: &Name) -> Result<Option<SignedAssignment>> {
    let mut select = connection
        .prepare_cached("SELECT body, signature FROM assignments WHERE node = ?1 AND body IS NOT NULL")
        .map_err(failure::of)?;
    select.query_row([node.as_str()], signed_of).optional().map_err(failure::of)
}

pub(super) fn assignment(connection: &Connection, node: &Name) -> Result<Option<AssignmentRecord>> {
    signed(connection, node)?.map(|signed| content(&signed)).transpose()
}

pub(super) fn assignments(connection: &Connection) -> Result<Vec<AssignmentRecord>> {
    let mut select = connection
        .prepare_cached("SELECT body, signature FROM assignments WHERE body IS NOT NULL ORDER BY node")
        .map_err(failure::of)?;
    let rows = select.query_map([], signed_of).map_err(failure::of)?;
    rows.map(|row| content(&row.map_err(failure::of)?)).collect()
}

fn content(signed: &SignedAssignment) -> Result<AssignmentRecord> {
    signed.content().ok_or_else(|| failure::corrupt("an assignment that cannot be read"))
}

fn signed_of(row: &Row<'_>) -> rusqlite::Result<SignedAssignment> {
    Ok(SignedAssignment { body: row.get::<_, Vec<u8>>(0)?.into(), signature: row.get::<_, Vec<u8>>(1)?.into() })
}
