//! Servers, gateways, agents and assignments.

use std::borrow::Cow;

use tokio_postgres::Row;

use crate::error::Result;
use crate::group::{AgentRecord, AgentState, GatewayRecord, GatewayState, RuleName, ServerRecord, SignedAssignment};
use crate::name::Name;
use crate::store::postgres::columns::{bits, get, key, name, optional_name, optional_word, text, texts, time, word};
use crate::store::postgres::records::Transaction;
use crate::store::records::{Place, Which, patterns_of, patterns_text, pin_of, pin_text};
use crate::time::Timestamp;

pub(super) fn servers(records: &mut Transaction<'_>) -> Result<Vec<ServerRecord>> {
    let rows = records.query("SELECT name, address, excluded, last_seen FROM farpost.servers ORDER BY name", &[])?;
    let server_of = |row: &Row| {
        let (name, address) = (name(row, 0)?, get(row, 1)?);
        Ok(ServerRecord { name, address, excluded: get(row, 2)?, last_seen: time(row, 3)? })
    };
    rows.iter().map(server_of).collect()
}

pub(super) fn put_server(records: &mut Transaction<'_>, server: &ServerRecord) -> Result<()> {
    let sql = "INSERT INTO farpost.servers (name, address, excluded, last_seen) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE
         SET address = excluded.address, excluded = excluded.excluded, last_seen = excluded.last_seen";
    let (name, address) = (server.name.as_str(), text(&server.address));
    records.query(sql, &[&name, &address, &server.excluded, &server.last_seen.unix_millis()]).map(|_| ())
}

pub(super) fn remove_server(records: &mut Transaction<'_>, server: &Name) -> Result<()> {
    records.query("DELETE FROM farpost.servers WHERE name = $1", &[&server.as_str()]).map(|_| ())
}

/// The columns of [`gateway_of`].
macro_rules! select_gateways {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, parent, via, address, server, software, first_seen, last_seen, key_hash, key_changed,
                    pin, agents
             FROM farpost.gateways ",
            $rest
        )
    };
}

/// The columns of [`agent_of`].
macro_rules! select_agents {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, via, address, server, software, first_seen, last_seen, key_hash, key_changed, pin, rule
             FROM farpost.agents ",
            $rest
        )
    };
}

pub(super) fn gateways(records: &mut Transaction<'_>, which: Which<'_>) -> Result<Vec<GatewayRecord>> {
    let (all, named) = (select_gateways!("ORDER BY name"), select_gateways!("WHERE name = ANY($1)"));
    select(records, which, all, named)?.iter().map(gateway_of).collect()
}

pub(super) fn agents(records: &mut Transaction<'_>, which: Which<'_>) -> Result<Vec<AgentRecord>> {
    let (all, named) = (select_agents!("ORDER BY name"), select_agents!("WHERE name = ANY($1)"));
    select(records, which, all, named)?.iter().map(agent_of).collect()
}

/// In one statement with the version of the group's key, which has signed all of them.
macro_rules! signed_assignments {
    ($rest:literal) => {
        concat!(
            "SELECT node, body, signature, (SELECT key_version FROM farpost.management_group)
             FROM farpost.assignments WHERE body IS NOT NULL ",
            $rest
        )
    };
}

pub(super) fn assignments(records: &mut Transaction<'_>, which: Which<'_>) -> Result<Vec<(Name, SignedAssignment)>> {
    let all = signed_assignments!("ORDER BY node");
    let named = signed_assignments!("AND node = ANY($1)");
    let signed_of = |row: &Row| {
        let (body, signature) = (get::<Vec<u8>>(row, 1)?.into(), get::<Vec<u8>>(row, 2)?.into());
        Ok((name(row, 0)?, SignedAssignment { body, signature, key_version: bits(row, 3)? }))
    };
    select(records, which, all, named)?.iter().map(signed_of).collect()
}

pub(super) fn select(
    records: &mut Transaction<'_>,
    which: Which<'_>,
    all: &'static str,
    named: &'static str,
) -> Result<Vec<Row>> {
    match which {
        Which::All => records.query(all, &[]),
        Which::Named(names) => records.query(named, &[&texts(names.iter().copied())]),
    }
}

/// Columns of several records as one array each: those that gateways and agents share.
#[derive(Default)]
struct Columns<'r> {
    name: Vec<&'r str>,
    state: Vec<&'r str>,
    via: Vec<Option<&'r str>>,
    address: Vec<Cow<'r, str>>,
    server: Vec<Option<&'r str>>,
    software: Vec<Cow<'r, str>>,
    first_seen: Vec<i64>,
    last_seen: Vec<i64>,
    key: Vec<Option<&'r [u8]>>,
    key_changed: Vec<Option<i64>>,
    pin: Vec<String>,
}

macro_rules! push {
    ($columns:ident, $record:ident) => {
        $columns.name.push($record.name.as_str());
        $columns.state.push($record.state.as_str());
        $columns.via.push($record.via.as_ref().map(Name::as_str));
        $columns.address.push(text(&$record.address));
        $columns.server.push($record.server.as_ref().map(Name::as_str));
        $columns.software.push(text(&$record.software));
        $columns.first_seen.push($record.first_seen.unix_millis());
        $columns.last_seen.push($record.last_seen.unix_millis());
        $columns.key.push($record.key.as_ref().map(|key| &key.0[..]));
        $columns.key_changed.push($record.key_changed.map(Timestamp::unix_millis));
        $columns.pin.push(pin_text(&$record.pin)?);
    };
}

pub(super) fn put_gateways(records: &mut Transaction<'_>, gateways: &[&GatewayRecord]) -> Result<()> {
    let (mut all, mut parents, mut patterns) = (Columns::default(), Vec::new(), Vec::new());
    for record in gateways {
        push!(all, record);
        parents.push(record.parent.as_ref().map(Name::as_str));
        patterns.push(patterns_text(&record.agents));
    }
    let sql = "INSERT INTO farpost.gateways
             (name, state, via, address, server, software, first_seen, last_seen, key_hash, key_changed, pin, parent, agents)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                              $8::bigint[], $9::bytea[], $10::bigint[], $11::text[], $12::text[], $13::text[])
         ON CONFLICT (name) DO UPDATE
         SET state = excluded.state, via = excluded.via, address = excluded.address, server = excluded.server,
             software = excluded.software, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
             key_hash = excluded.key_hash, key_changed = excluded.key_changed, pin = excluded.pin,
             parent = excluded.parent, agents = excluded.agents";
    let Columns { name, state, via, address, server, software, first_seen, last_seen, key, key_changed, pin } = &all;
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 13] = [
        name,
        state,
        via,
        address,
        server,
        software,
        first_seen,
        last_seen,
        key,
        key_changed,
        pin,
        &parents,
        &patterns,
    ];
    records.query(sql, &row).map(|_| ())
}

pub(super) fn put_agents(records: &mut Transaction<'_>, agents: &[&AgentRecord]) -> Result<()> {
    let (mut all, mut rules) = (Columns::default(), Vec::new());
    for record in agents {
        push!(all, record);
        rules.push(record.rule.as_ref().map(RuleName::as_str));
    }
    let sql = "INSERT INTO farpost.agents
             (name, state, via, address, server, software, first_seen, last_seen, key_hash, key_changed, pin, rule)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                              $8::bigint[], $9::bytea[], $10::bigint[], $11::text[], $12::text[])
         ON CONFLICT (name) DO UPDATE
         SET state = excluded.state, via = excluded.via, address = excluded.address, server = excluded.server,
             software = excluded.software, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
             key_hash = excluded.key_hash, key_changed = excluded.key_changed, pin = excluded.pin,
             rule = excluded.rule";
    let Columns { name, state, via, address, server, software, first_seen, last_seen, key, key_changed, pin } = &all;
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 12] =
        [name, state, via, address, server, software, first_seen, last_seen, key, key_changed, pin, &rules];
    records.query(sql, &row).map(|_| ())
}

pub(super) fn expire_pending(records: &mut Transaction<'_>, before: Timestamp) -> Result<()> {
    let before = before.unix_millis();
    records.query("DELETE FROM farpost.agents WHERE state = 'pending' AND last_seen < $1", &[&before])?;
    let sql = "UPDATE farpost.gateways SET state = 'deleted' WHERE state = 'pending' AND last_seen < $1";
    records.query(sql, &[&before]).map(|_| ())
}

pub(super) fn count_pending(records: &mut Transaction<'_>, places: &[&Place]) -> Result<Vec<u64>> {
    let names = places.iter().map(|place| match place {
        Place::Behind(name) | Place::At(name) => name.as_str(),
    });
    let (names, behind): (Vec<&str>, Vec<bool>) =
        (names.collect(), places.iter().map(|place| matches!(place, Place::Behind(_))).collect());
    let sql = "SELECT (SELECT count(*) FROM farpost.agents a WHERE a.state = 'pending'
                       AND CASE WHEN p.behind THEN a.via = p.name ELSE a.via IS NULL AND a.server = p.name END)
                    + (SELECT count(*) FROM farpost.gateways g WHERE g.state = 'pending'
                       AND CASE WHEN p.behind THEN g.via = p.name ELSE g.via IS NULL AND g.server = p.name END)
         FROM unnest($1::text[], $2::boolean[]) WITH ORDINALITY AS p(name, behind, position) ORDER BY p.position";
    records.query(sql, &[&names, &behind])?.iter().map(|row| bits(row, 0)).collect()
}

fn gateway_of(row: &Row) -> Result<GatewayRecord> {
    Ok(GatewayRecord {
        name: name(row, 0)?,
        state: word(row, 1, GatewayState::parse)?,
        parent: optional_name(row, 2)?,
        via: optional_name(row, 3)?,
        address: get(row, 4)?,
        server: optional_name(row, 5)?,
        software: get(row, 6)?,
        first_seen: time(row, 7)?,
        last_seen: time(row, 8)?,
        key: key(row, 9)?,
        key_changed: get::<Option<i64>>(row, 10)?.map(Timestamp::from_unix_millis),
        pin: pin_of(&get::<String>(row, 11)?)?,
        agents: patterns_of(&get::<String>(row, 12)?)?,
    })
}

fn agent_of(row: &Row) -> Result<AgentRecord> {
    Ok(AgentRecord {
        name: name(row, 0)?,
        state: word(row, 1, AgentState::parse)?,
        via: optional_name(row, 2)?,
        address: get(row, 3)?,
        server: optional_name(row, 4)?,
        software: get(row, 5)?,
        first_seen: time(row, 6)?,
        last_seen: time(row, 7)?,
        key: key(row, 8)?,
        key_changed: get::<Option<i64>>(row, 9)?.map(Timestamp::from_unix_millis),
        pin: pin_of(&get::<String>(row, 10)?)?,
        rule: optional_word(row, 11, RuleName::parse)?,
    })
}
