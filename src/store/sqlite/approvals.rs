//! Gateways and agents: approvals, and who knocked (rule G1).

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentRecord, AgentState, Decision, Facts, GatewayRecord, GatewayState, Knock, Remember, decide, may_approve_agent,
    may_approve_gateway, pending_expired_before,
};
use crate::name::Name;
use crate::role::Role;
use crate::store::sqlite::columns::{
    AgentStateColumn, BitsColumn, GatewayStateColumn, KeyColumn, NameColumn, TimeColumn,
};
use crate::store::sqlite::{assignments, failure, schema};
use crate::time::Timestamp;

/// Decides about one knock and remembers it.
pub(super) fn authorise(connection: &Connection, knock: &Knock) -> Result<Decision> {
    let facts = facts(connection, knock)?;
    let (decision, remember) = decide(&facts, knock);
    match remember {
        Remember::Nothing => {}
        Remember::Seen => seen(connection, knock)?,
        Remember::PendingGateway => {
            put_gateway(connection, &knock.name, GatewayState::Pending, None, knock.at)?;
            seen(connection, knock)?;
            schema::changed(connection)?;
        }
        Remember::Agent(state) => {
            put_agent(connection, &knock.name, state, knock.at)?;
            seen(connection, knock)?;
            schema::changed(connection)?;
        }
    }
    Ok(decision)
}

fn facts(connection: &Connection, knock: &Knock) -> Result<Facts> {
    let gateway = gateway(connection, &knock.name)?;
    let agent = agent(connection, &knock.name)?;
    let is_new = agent.is_none() && gateway.as_ref().is_none_or(|known| known.state == GatewayState::Deleted);
    let via = match &knock.via {
        Some(via) => self::gateway(connection, via)?,
        None => None,
    };
    Ok(Facts {
        server: assignments::server(connection, &knock.server)?,
        assignment: assignments::assignment(connection, &knock.name)?.map(|record| record.assignment),
        via_approved: via.is_some_and(|via| via.state == GatewayState::Approved),
        pending: if is_new { count_pending(connection, knock)? } else { 0 },
        unknown_agents: schema::unknown_agents(connection)?,
        gateway,
        agent,
    })
}

/// How many wait where this one would; those that were not seen for long are forgotten first. A forgotten gateway
/// still is no agent (rule G1).
fn count_pending(connection: &Connection, knock: &Knock) -> Result<usize> {
    let before = pending_expired_before(knock.at);
    for expire in [
        "DELETE FROM agents WHERE state = 'pending' AND last_seen < ?1",
        "UPDATE gateways SET state = 'deleted' WHERE state = 'pending' AND last_seen < ?1",
    ] {
        let mut expire = connection.prepare_cached(expire).map_err(failure::of)?;
        expire.execute([TimeColumn(before)]).map_err(failure::of)?;
    }
    let count = match knock.via {
        Some(_) => {
            "SELECT (SELECT count(*) FROM agents WHERE state = 'pending' AND via = ?1)
                  + (SELECT count(*) FROM gateways WHERE state = 'pending' AND via = ?1)"
        }
        None => {
            "SELECT (SELECT count(*) FROM agents WHERE state = 'pending' AND via IS NULL AND server = ?1)
                  + (SELECT count(*) FROM gateways WHERE state = 'pending' AND via IS NULL AND server = ?1)"
        }
    };
    let place = knock.via.as_ref().unwrap_or(&knock.server);
    let mut count = connection.prepare_cached(count).map_err(failure::of)?;
    let count = count.query_row([place.as_str()], |row| row.get::<_, BitsColumn>(0)).map_err(failure::of)?.0;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Writes when, where and with which key a known name was seen. A new key is remembered, not refused: the CA vouches
/// for it, since certificates are renewed.
fn seen(connection: &Connection, knock: &Knock) -> Result<()> {
    let update = match knock.role {
        Role::Gateway => {
            "UPDATE gateways SET last_seen = max(last_seen, ?2), address = ?3, via = ?4, server = ?5, software = ?6,
                 key_changed = CASE WHEN key_hash <> ?7 THEN ?2 ELSE key_changed END, key_hash = ?7
             WHERE name = ?1"
        }
        _ => {
            "UPDATE agents SET last_seen = max(last_seen, ?2), address = ?3, via = ?4, server = ?5, software = ?6,
                 key_changed = CASE WHEN key_hash <> ?7 THEN ?2 ELSE key_changed END, key_hash = ?7
             WHERE name = ?1"
        }
    };
    let mut update = connection.prepare_cached(update).map_err(failure::of)?;
    let (at, via) = (TimeColumn(knock.at), knock.via.as_ref().map(Name::as_str));
    let (name, server, key) = (knock.name.as_str(), knock.server.as_str(), &knock.key.0[..]);
    update.execute((name, at, &knock.address, via, server, &knock.software, key)).map(|_| ()).map_err(failure::of)
}

pub(super) fn approve_gateway(connection: &Connection, gateway: &Name, parent: &Name, at: Timestamp) -> Result<()> {
    let server = assignments::server(connection, parent)?;
    let agent = agent(connection, gateway)?;
    may_approve_gateway(gateway, agent.as_ref(), (parent, server.as_ref()), &assignments::names(connection)?)?;
    if let Some(agent) = agent {
        remove_agent(connection, &agent.name)?;
    }
    put_gateway(connection, gateway, GatewayState::Approved, Some(parent), at)?;
    schema::changed(connection)
}

pub(super) fn delete_gateway(connection: &Connection, gateway: &Name) -> Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE gateways SET state = 'deleted', parent = NULL WHERE name = ?1 AND state <> 'deleted'")
        .map_err(failure::of)?;
    if update.execute([gateway.as_str()]).map_err(failure::of)? == 0 {
        return Err(Error::new(Code::NameUnknown).subject(gateway.as_str()).expected("a gateway of the group"));
    }
    assignments::withdraw(connection, gateway)?;
    schema::changed(connection)
}

pub(super) fn approve_agent(connection: &Connection, agent: &Name, at: Timestamp) -> Result<()> {
    let gateway = gateway(connection, agent)?;
    may_approve_agent(agent, gateway.as_ref())?;
    if gateway.is_some() {
        // An operator says that this very name is an agent: what it asked to be before counts no longer.
        let mut delete = connection.prepare_cached("DELETE FROM gateways WHERE name = ?1").map_err(failure::of)?;
        delete.execute([agent.as_str()]).map_err(failure::of)?;
        assignments::withdraw(connection, agent)?;
    }
    put_agent(connection, agent, AgentState::Approved, at)?;
    schema::changed(connection)
}

pub(super) fn reject_agent(connection: &Connection, agent: &Name, at: Timestamp) -> Result<()> {
    let gateway = gateway(connection, agent)?;
    if gateway.is_some_and(|gateway| gateway.state == GatewayState::Approved) {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(agent.as_str())
            .found("an approved gateway")
            .expected("an agent")
            .remedy("farpost approve … --action delete removes a gateway"));
    }
    put_agent(connection, agent, AgentState::Rejected, at)?;
    schema::changed(connection)
}

/// Inserts a gateway or changes its state; what is known of it stays.
fn put_gateway(
    connection: &Connection,
    name: &Name,
    state: GatewayState,
    parent: Option<&Name>,
    at: Timestamp,
) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT INTO gateways (name, state, parent, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (name) DO UPDATE SET state = excluded.state, parent = excluded.parent",
        )
        .map_err(failure::of)?;
    let row = (name.as_str(), state.as_str(), parent.map(Name::as_str), TimeColumn(at));
    upsert.execute(row).map(|_| ()).map_err(failure::of)
}

/// Inserts an agent or changes its state; what is known of it stays.
fn put_agent(connection: &Connection, name: &Name, state: AgentState, at: Timestamp) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT INTO agents (name, state, first_seen, last_seen) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (name) DO UPDATE SET state = excluded.state",
        )
        .map_err(failure::of)?;
    upsert.execute((name.as_str(), state.as_str(), TimeColumn(at))).map(|_| ()).map_err(failure::of)
}

fn remove_agent(connection: &Connection, name: &Name) -> Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM agents WHERE name = ?1").map_err(failure::of)?;
    delete.execute([name.as_str()]).map_err(failure::of)?;
    assignments::withdraw(connection, name)
}

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

pub(super) fn gateway(connection: &Connection, name: &Name) -> Result<Option<GatewayRecord>> {
    let mut select = connection.prepare_cached(select_gateways!("WHERE name = ?1")).map_err(failure::of)?;
    select.query_row([name.as_str()], gateway_of).optional().map_err(failure::of)
}

pub(super) fn gateways(connection: &Connection) -> Result<Vec<GatewayRecord>> {
    let mut select = connection.prepare_cached(select_gateways!("ORDER BY name")).map_err(failure::of)?;
    let rows = select.query_map([], gateway_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn agent(connection: &Connection, name: &Name) -> Result<Option<AgentRecord>> {
    let mut select = connection.prepare_cached(select_agents!("WHERE name = ?1")).map_err(failure::of)?;
    select.query_row([name.as_str()], agent_of).optional().map_err(failure::of)
}

pub(super) fn agents(connection: &Connection) -> Result<Vec<AgentRecord>> {
    let mut select = connection.prepare_cached(select_agents!("ORDER BY name")).map_err(failure::of)?;
    let rows = select.query_map([], agent_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

fn gateway_of(row: &Row<'_>) -> rusqlite::Result<GatewayRecord> {
    Ok(GatewayRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        state: row.get::<_, GatewayStateColumn>(1)?.0,
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
        state: row.get::<_, AgentStateColumn>(1)?.0,
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
