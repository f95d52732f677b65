//! Gateways and agents.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::Result;
use crate::group::{AgentRecord, GatewayRecord};
use crate::name::Name;
use crate::store::records::{Place, Which};
use crate::store::sqlite::columns::{BitsColumn, KeyColumn, NameColumn, TimeColumn, WordColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

/// The columns of [`gateway_of`].
macro_rules! select_gateways {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, parent, via, address, server, software, first_seen, last_seen, key_hash, key_changed
             FROM gateways ",
            $rest
        )
    };
}

/// The columns of [`agent_of`].
macro_rules! select_agents {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, via, address, server, software, first_seen, last_seen, key_hash, key_changed
             FROM agents ",
            $rest
        )
    };
}

pub(super) fn gateways(connection: &Connection, which: Which<'_>) -> Result<Vec<GatewayRecord>> {
    let (all, named) = (select_gateways!("ORDER BY name"), select_gateways!("WHERE name = ?1"));
    select(connection, which, all, named, gateway_of)
}

pub(super) fn agents(connection: &Connection, which: Which<'_>) -> Result<Vec<AgentRecord>> {
    let (all, named) = (select_agents!("ORDER BY name"), select_agents!("WHERE name = ?1"));
    select(connection, which, all, named, agent_of)
}

/// The records of all rows, or of those of each name.
pub(super) fn select<R>(
    connection: &Connection,
    which: Which<'_>,
    all: &str,
    named: &str,
    record_of: fn(&Row<'_>) -> rusqlite::Result<R>,
) -> Result<Vec<R>> {
    match which {
        Which::All => {
            let mut select = connection.prepare_cached(all).map_err(failure::of)?;
            let rows = select.query_map([], record_of).map_err(failure::of)?;
            rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
        }
        Which::Named(names) => {
            let mut select = connection.prepare_cached(named).map_err(failure::of)?;
            let one = |name: &&Name| select.query_row([name.as_str()], record_of).optional().transpose();
            names.iter().filter_map(one).collect::<rusqlite::Result<_>>().map_err(failure::of)
        }
    }
}

pub(super) fn put_gateways(connection: &Connection, gateways: &[&GatewayRecord]) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO gateways
                 (name, state, parent, via, address, server, software, first_seen, last_seen, key_hash, key_changed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .map_err(failure::of)?;
    for record in gateways {
        let row = (
            record.name.as_str(),
            record.state.as_str(),
            record.parent.as_ref().map(Name::as_str),
            record.via.as_ref().map(Name::as_str),
            &record.address,
            record.server.as_ref().map(Name::as_str),
            &record.software,
            TimeColumn(record.first_seen),
            TimeColumn(record.last_seen),
            record.key.map(KeyColumn),
            record.key_changed.map(TimeColumn),
        );
        upsert.execute(row).map_err(failure::of)?;
    }
    Ok(())
}

pub(super) fn put_agents(connection: &Connection, agents: &[&AgentRecord]) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO agents
                 (name, state, via, address, server, software, first_seen, last_seen, key_hash, key_changed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .map_err(failure::of)?;
    for record in agents {
        let row = (
            record.name.as_str(),
            record.state.as_str(),
            record.via.as_ref().map(Name::as_str),
            &record.address,
            record.server.as_ref().map(Name::as_str),
            &record.software,
            TimeColumn(record.first_seen),
            TimeColumn(record.last_seen),
            record.key.map(KeyColumn),
            record.key_changed.map(TimeColumn),
        );
        upsert.execute(row).map_err(failure::of)?;
    }
    Ok(())
}

pub(super) fn remove_gateway(connection: &Connection, gateway: &Name) -> Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM gateways WHERE name = ?1").map_err(failure::of)?;
    delete.execute([gateway.as_str()]).map(|_| ()).map_err(failure::of)
}

pub(super) fn remove_agent(connection: &Connection, agent: &Name) -> Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM agents WHERE name = ?1").map_err(failure::of)?;
    delete.execute([agent.as_str()]).map(|_| ()).map_err(failure::of)
}

pub(super) fn expire_pending(connection: &Connection, before: Timestamp) -> Result<()> {
    for expire in [
        "DELETE FROM agents WHERE state = 'pending' AND last_seen < ?1",
        "UPDATE gateways SET state = 'deleted' WHERE state = 'pending' AND last_seen < ?1",
    ] {
        let mut expire = connection.prepare_cached(expire).map_err(failure::of)?;
        expire.execute([TimeColumn(before)]).map_err(failure::of)?;
    }
    Ok(())
}

pub(super) fn count_pending(connection: &Connection, places: &[&Place]) -> Result<Vec<u64>> {
    let count_at = |place: &&Place| {
        let (count, name) = match place {
            Place::Behind(via) => (
                "SELECT (SELECT count(*) FROM agents WHERE state = 'pending' AND via = ?1)
                      + (SELECT count(*) FROM gateways WHERE state = 'pending' AND via = ?1)",
                via,
            ),
            Place::At(server) => (
                "SELECT (SELECT count(*) FROM agents WHERE state = 'pending' AND via IS NULL AND server = ?1)
                      + (SELECT count(*) FROM gateways WHERE state = 'pending' AND via IS NULL AND server = ?1)",
                server,
            ),
        };
        let mut count = connection.prepare_cached(count).map_err(failure::of)?;
        count.query_row([name.as_str()], |row| row.get::<_, BitsColumn>(0)).map(|count| count.0).map_err(failure::of)
    };
    places.iter().map(count_at).collect()
}

fn gateway_of(row: &Row<'_>) -> rusqlite::Result<GatewayRecord> {
    Ok(GatewayRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        state: row.get::<_, WordColumn<_>>(1)?.0,
        parent: row.get::<_, Option<NameColumn>>(2)?.map(|name| name.0),
        via: row.get::<_, Option<NameColumn>>(3)?.map(|name| name.0),
        address: row.get(4)?,
        server: row.get::<_, Option<NameColumn>>(5)?.map(|name| name.0),
        software: row.get(6)?,
        first_seen: row.get::<_, TimeColumn>(7)?.0,
        last_seen: row.get::<_, TimeColumn>(8)?.0,
        key: row.get::<_, Option<KeyColumn>>(9)?.map(|key| key.0),
        key_changed: row.get::<_, Option<TimeColumn>>(10)?.map(|at| at.0),
    })
}

fn agent_of(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    Ok(AgentRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        state: row.get::<_, WordColumn<_>>(1)?.0,
        via: row.get::<_, Option<NameColumn>>(2)?.map(|name| name.0),
        address: row.get(3)?,
        server: row.get::<_, Option<NameColumn>>(4)?.map(|name| name.0),
        software: row.get(5)?,
        first_seen: row.get::<_, TimeColumn>(6)?.0,
        last_seen: row.get::<_, TimeColumn>(7)?.0,
        key: row.get::<_, Option<KeyColumn>>(8)?.map(|key| key.0),
        key_changed: row.get::<_, Option<TimeColumn>>(9)?.map(|at| at.0),
    })
}
