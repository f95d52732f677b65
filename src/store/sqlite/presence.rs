//! Leases of management servers, and who is connected to them.

use rusqlite::{Connection, Row, ToSql};

use crate::error::Result;
use crate::group::{Holder, LeaseRecord, NodePresence, NodeReport, PresenceRecord, Silence};
use crate::name::Name;
use crate::store::group_store::now;
use crate::store::records::{PresenceRecords, path_of, report_of, report_text, via_text};
use crate::store::sqlite::columns::{BitsColumn, NameColumn, RoleColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

impl PresenceRecords for &Connection {
    /// All who share the file are on one computer.
    fn clock(&mut self) -> Result<Timestamp> {
        Ok(now())
    }

    fn put_lease(&mut self, holder: &Holder, valid_for_ms: i64) -> Result<()> {
        let renewed = now();
        let until = Timestamp::from_unix_millis(renewed.unix_millis().saturating_add(valid_for_ms));
        execute(
            self,
            "INSERT OR REPLACE INTO leases (server, start, started, software, renewed, until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &[
                &holder.server.as_str(),
                &BitsColumn(holder.start),
                &TimeColumn(holder.started),
                &holder.software,
                &TimeColumn(renewed),
                &TimeColumn(until),
            ],
        )
    }

    fn leases(&mut self) -> Result<Vec<LeaseRecord>> {
        let sql = "SELECT server, start, started, software, renewed, until FROM leases ORDER BY server";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let rows = select.query_map([], lease_of).map_err(failure::of)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn remove_lease(&mut self, server: &Name) -> Result<()> {
        execute(self, "DELETE FROM leases WHERE server = ?1", &[&server.as_str()])
    }

    fn leave_all(&mut self, server: &Name, at: Timestamp) -> Result<()> {
        let sql = "UPDATE presences SET left_at = ?2 WHERE server = ?1 AND left_at IS NULL";
        execute(self, sql, &[&server.as_str(), &TimeColumn(at)])
    }

    fn put_presences(&mut self, holder: &Holder, opened: &[(NodePresence, Option<NodeReport>)]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO presences
             (server, node, start, session, role, via, address, since, heard, silent, left_at, report)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL, ?10)";
        opened.iter().try_for_each(|(presence, report)| {
            let row: [&dyn ToSql; 10] = [
                &holder.server.as_str(),
                &presence.name.as_str(),
                &BitsColumn(holder.start),
                &BitsColumn(presence.session),
                &RoleColumn(presence.role),
                &via_text(&presence.via),
                &presence.address,
                &TimeColumn(presence.since),
                &TimeColumn(presence.last_heard),
                &report.as_ref().map(report_text).transpose()?,
            ];
            execute(self, sql, &row)
        })
    }

    fn put_reports(&mut self, holder: &Holder, reports: &[NodeReport]) -> Result<()> {
        let sql = "UPDATE presences SET report = ?5, heard = max(heard, ?6)
             WHERE server = ?1 AND node = ?2 AND start = ?3 AND session = ?4";
        reports.iter().try_for_each(|report| {
            let text = report_text(report)?;
            of_session(self, sql, holder, (&report.name, report.session), &[&text, &TimeColumn(report.at)])
        })
    }

    fn put_silences(&mut self, holder: &Holder, silences: &[Silence]) -> Result<()> {
        let sql = "UPDATE presences SET silent = ?5 WHERE server = ?1 AND node = ?2 AND start = ?3 AND session = ?4";
        silences.iter().try_for_each(|silence| {
            let since = silence.since.map(TimeColumn);
            of_session(self, sql, holder, (&silence.name, silence.session), &[&since])
        })
    }

    fn put_gone(&mut self, holder: &Holder, gone: &[NodePresence]) -> Result<()> {
        let sql = "UPDATE presences SET left_at = ?5 WHERE server = ?1 AND node = ?2 AND start = ?3 AND session = ?4";
        gone.iter().try_for_each(|presence| {
            let of = (&presence.name, presence.session);
            of_session(self, sql, holder, of, &[&TimeColumn(presence.last_heard)])
        })
    }

    fn forget_presences(&mut self, server: &Name, before: Timestamp) -> Result<()> {
        let sql = "DELETE FROM presences WHERE server = ?1 AND left_at < ?2";
        execute(self, sql, &[&server.as_str(), &TimeColumn(before)])
    }

    fn presences(&mut self) -> Result<Vec<PresenceRecord>> {
        let sql = "SELECT server, node, start, session, role, via, address, since, heard, silent, left_at, report
             FROM presences ORDER BY node, server";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let rows = select.query_map([], presence_of).map_err(failure::of)?;
        let mut presences = Vec::new();
        for row in rows {
            let (mut record, via) = row.map_err(failure::of)?;
            record.presence.via = path_of(&via)?;
            presences.push(record);
        }
        Ok(presences)
    }
}

fn execute(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(failure::of)?;
    statement.execute(row).map(|_| ()).map_err(failure::of)
}

/// A statement about one session of a server's run: that is its first four parameters.
fn of_session(
    connection: &Connection,
    sql: &str,
    holder: &Holder,
    (node, session): (&Name, u64),
    values: &[&dyn ToSql],
) -> Result<()> {
    let (server, node, start, session) =
        (holder.server.as_str(), node.as_str(), BitsColumn(holder.start), BitsColumn(session));
    let mut row: Vec<&dyn ToSql> = vec![&server, &node, &start, &session];
    row.extend(values);
    execute(connection, sql, &row)
}

fn lease_of(row: &Row<'_>) -> rusqlite::Result<LeaseRecord> {
    Ok(LeaseRecord {
        server: row.get::<_, NameColumn>(0)?.0,
        start: row.get::<_, BitsColumn>(1)?.0,
        started: row.get::<_, TimeColumn>(2)?.0,
        software: row.get(3)?,
        renewed: row.get::<_, TimeColumn>(4)?.0,
        until: row.get::<_, TimeColumn>(5)?.0,
    })
}

/// A presence, and its path as it is stored.
fn presence_of(row: &Row<'_>) -> rusqlite::Result<(PresenceRecord, String)> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<TimeColumn>>(column)?.map(|time| time.0));
    let presence = NodePresence {
        name: row.get::<_, NameColumn>(1)?.0,
        role: row.get::<_, RoleColumn>(4)?.0,
        via: Vec::new(),
        address: row.get(6)?,
        since: row.get::<_, TimeColumn>(7)?.0,
        last_heard: row.get::<_, TimeColumn>(8)?.0,
        session: row.get::<_, BitsColumn>(3)?.0,
    };
    let record = PresenceRecord {
        server: row.get::<_, NameColumn>(0)?.0,
        start: row.get::<_, BitsColumn>(2)?.0,
        presence,
        silent: time(9)?,
        left: time(10)?,
        report: report_of(row.get(11)?),
    };
    Ok((record, row.get(5)?))
}
