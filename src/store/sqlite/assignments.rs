//! Servers and assignments.

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::group::{ServerRecord, SignedAssignment};
use crate::name::Name;
use crate::store::records::Which;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::{approvals, failure};

pub(super) fn servers(connection: &Connection) -> Result<Vec<ServerRecord>> {
    let mut select = connection
        .prepare_cached("SELECT name, address, excluded, last_seen FROM servers ORDER BY name")
        .map_err(failure::of)?;
    let rows = select.query_map([], server_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

fn server_of(row: &Row<'_>) -> rusqlite::Result<ServerRecord> {
    Ok(ServerRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        address: row.get(1)?,
        excluded: row.get(2)?,
        last_seen: row.get::<_, TimeColumn>(3)?.0,
    })
}

pub(super) fn put_server(connection: &Connection, server: &ServerRecord) -> Result<()> {
    let mut upsert = connection
        .prepare_cached("INSERT OR REPLACE INTO servers (name, address, excluded, last_seen) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failure::of)?;
    let row = (server.name.as_str(), &server.address, server.excluded, TimeColumn(server.last_seen));
    upsert.execute(row).map(|_| ()).map_err(failure::of)
}

pub(super) fn remove_server(connection: &Connection, server: &Name) -> Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM servers WHERE name = ?1").map_err(failure::of)?;
    delete.execute([server.as_str()]).map(|_| ()).map_err(failure::of)
}

/// The columns of [`signed_of`]. In one statement with the version of the group's key, which has signed all of them.
macro_rules! signed_assignments {
    ($rest:literal) => {
        concat!(
            "SELECT node, body, signature, (SELECT key_version FROM management_group) FROM assignments
             WHERE body IS NOT NULL ",
            $rest
        )
    };
}

pub(super) fn assignments(connection: &Connection, which: Which<'_>) -> Result<Vec<(Name, SignedAssignment)>> {
    let all = signed_assignments!("ORDER BY node");
    let named = signed_assignments!("AND node = ?1");
    approvals::select(connection, which, all, named, signed_of)
}

fn signed_of(row: &Row<'_>) -> rusqlite::Result<(Name, SignedAssignment)> {
    let (body, signature) = (row.get::<_, Vec<u8>>(1)?.into(), row.get::<_, Vec<u8>>(2)?.into());
    let key_version = row.get::<_, BitsColumn>(3)?.0;
    Ok((row.get::<_, NameColumn>(0)?.0, SignedAssignment { body, signature, key_version }))
}

pub(super) fn withdraw(connection: &Connection, node: &Name) -> Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE assignments SET body = NULL, signature = NULL, site = NULL WHERE node = ?1")
        .map_err(failure::of)?;
    update.execute([node.as_str()]).map_err(failure::of)?;
    let mut delete = connection.prepare_cached("DELETE FROM site_nodes WHERE node = ?1").map_err(failure::of)?;
    delete.execute([node.as_str()]).map(|_| ()).map_err(failure::of)
}
