//! Leases of management servers, and who is connected to them.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{Holder, LeaseRecord, NodePresence, NodeReport, PresenceRecord, Silence};
use crate::name::Name;
use crate::role::Role;
use crate::store::postgres::columns::{bits, get, name, text, time};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::{PresenceRecords, corrupt, path_of, report_of, report_text, via_text};
use crate::time::Timestamp;

impl PresenceRecords for Transaction<'_> {
    /// The database's clock: those of the servers may differ.
    fn clock(&mut self) -> Result<Timestamp> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        time(&only(self.query(sql, &[])?)?, 0)
    }

    fn put_lease(&mut self, holder: &Holder, valid_for_ms: i64) -> Result<()> {
        let sql = "INSERT INTO farpost.leases (server, start, started, software, renewed, until)
             SELECT $1, $2, $3, $4, c.now, c.now + $5
             FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS c
             ON CONFLICT (server) DO UPDATE
             SET start = excluded.start, started = excluded.started, software = excluded.software,
                 renewed = excluded.renewed, until = excluded.until";
        let row: [&(dyn ToSql + Sync); 5] = [
            &holder.server.as_str(),
            &holder.start.cast_signed(),
            &holder.started.unix_millis(),
            &text(&holder.software),
            &valid_for_ms,
        ];
        self.query(sql, &row).map(|_| ())
    }

    fn leases(&mut self) -> Result<Vec<LeaseRecord>> {
        let sql = "SELECT server, start, started, software, renewed, until FROM farpost.leases ORDER BY server";
        self.query(sql, &[])?.iter().map(lease_of).collect()
    }

    fn remove_lease(&mut self, server: &Name) -> Result<()> {
        self.query("DELETE FROM farpost.leases WHERE server = $1", &[&server.as_str()]).map(|_| ())
    }

    fn leave_all(&mut self, server: &Name, at: Timestamp) -> Result<()> {
        let sql = "UPDATE farpost.presences SET left_at = $2 WHERE server = $1 AND left_at IS NULL";
        self.query(sql, &[&server.as_str(), &at.unix_millis()]).map(|_| ())
    }

    fn put_presences(&mut self, holder: &Holder, opened: &[(NodePresence, Option<NodeReport>)]) -> Result<()> {
        if opened.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = opened.iter().map(|(presence, _)| presence.name.as_str()).collect();
        let sessions: Vec<i64> = opened.iter().map(|(presence, _)| presence.session.cast_signed()).collect();
        let roles: Vec<i32> = opened.iter().map(|(presence, _)| i32::from(presence.role as u8)).collect();
        let vias: Vec<String> = opened.iter().map(|(presence, _)| via_text(&presence.via)).collect();
        let addresses: Vec<_> = opened.iter().map(|(presence, _)| text(&presence.address)).collect();
        let since: Vec<i64> = opened.iter().map(|(presence, _)| presence.since.unix_millis()).collect();
        let heard: Vec<i64> = opened.iter().map(|(presence, _)| presence.last_heard.unix_millis()).collect();
        let reports = opened.iter().map(|(_, report)| report.as_ref().map(report_text).transpose());
        let reports: Vec<Option<String>> = reports.collect::<Result<_>>()?;
        let sql = "INSERT INTO farpost.presences AS p
                 (server, start, node, session, role, via, address, since, heard, report)
             SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::integer[], $6::text[], $7::text[],
                                          $8::bigint[], $9::bigint[], $10::text[])
             ON CONFLICT (server, node) DO UPDATE
             SET start = excluded.start, session = excluded.session, role = excluded.role, via = excluded.via,
                 address = excluded.address, since = excluded.since, heard = excluded.heard, silent = NULL,
                 left_at = NULL, report = excluded.report";
        let row: [&(dyn ToSql + Sync); 10] = [
            &holder.server.as_str(),
            &holder.start.cast_signed(),
            &names,
            &sessions,
            &roles,
            &vias,
            &addresses,
            &since,
            &heard,
            &reports,
        ];
        self.query(sql, &row).map(|_| ())
    }

    fn put_reports(&mut self, holder: &Holder, reports: &[NodeReport]) -> Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE farpost.presences p SET report = m.report, heard = greatest(p.heard, m.at)
             FROM unnest($3::text[], $4::bigint[], $5::text[], $6::bigint[]) AS m(node, session, report, at)
             WHERE p.server = $1 AND p.start = $2 AND p.node = m.node AND p.session = m.session";
        let (nodes, sessions) = keys(reports.iter().map(|report| (&report.name, report.session)));
        let texts: Vec<String> = reports.iter().map(report_text).collect::<Result<_>>()?;
        let times: Vec<i64> = reports.iter().map(|report| report.at.unix_millis()).collect();
        let row: [&(dyn ToSql + Sync); 6] =
            [&holder.server.as_str(), &holder.start.cast_signed(), &nodes, &sessions, &texts, &times];
        self.query(sql, &row).map(|_| ())
    }

    fn put_silences(&mut self, holder: &Holder, silences: &[Silence]) -> Result<()> {
        let sql = "UPDATE farpost.presences p SET silent = m.silent
             FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS m(node, session, silent)
             WHERE p.server = $1 AND p.start = $2 AND p.node = m.node AND p.session = m.session";
        let times: Vec<Option<i64>> = silences.iter().map(|one| one.since.map(Timestamp::unix_millis)).collect();
        of_sessions(self, sql, holder, keys(silences.iter().map(|silence| (&silence.name, silence.session))), &times)
    }

    fn put_gone(&mut self, holder: &Holder, gone: &[NodePresence]) -> Result<()> {
        let sql = "UPDATE farpost.presences p SET left_at = m.left_at
             FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS m(node, session, left_at)
             WHERE p.server = $1 AND p.start = $2 AND p.node = m.node AND p.session = m.session";
        let times: Vec<Option<i64>> = gone.iter().map(|one| Some(one.last_heard.unix_millis())).collect();
        of_sessions(self, sql, holder, keys(gone.iter().map(|presence| (&presence.name, presence.session))), &times)
    }

    fn forget_presences(&mut self, server: &Name, before: Timestamp) -> Result<()> {
        let sql = "DELETE FROM farpost.presences WHERE server = $1 AND left_at < $2";
        self.query(sql, &[&server.as_str(), &before.unix_millis()]).map(|_| ())
    }

    fn presences(&mut self) -> Result<Vec<PresenceRecord>> {
        let sql = "SELECT server, node, start, session, role, via, address, since, heard, silent, left_at, report
             FROM farpost.presences ORDER BY node COLLATE \"C\", server COLLATE \"C\"";
        self.query(sql, &[])?.iter().map(presence_of).collect()
    }
}

/// Nodes and their sessions, as two columns.
fn keys<'n>(sessions: impl Iterator<Item = (&'n Name, u64)>) -> (Vec<&'n str>, Vec<i64>) {
    sessions.map(|(node, session)| (node.as_str(), session.cast_signed())).unzip()
}

/// A statement about sessions of a server's run, with a time for each.
fn of_sessions(
    records: &mut Transaction<'_>,
    sql: &'static str,
    holder: &Holder,
    (nodes, sessions): (Vec<&str>, Vec<i64>),
    times: &[Option<i64>],
) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let row: [&(dyn ToSql + Sync); 5] =
        [&holder.server.as_str(), &holder.start.cast_signed(), &nodes, &sessions, &times];
    records.query(sql, &row).map(|_| ())
}

fn lease_of(row: &Row) -> Result<LeaseRecord> {
    Ok(LeaseRecord {
        server: name(row, 0)?,
        start: bits(row, 1)?,
        started: time(row, 2)?,
        software: get(row, 3)?,
        renewed: time(row, 4)?,
        until: time(row, 5)?,
    })
}

fn presence_of(row: &Row) -> Result<PresenceRecord> {
    let time_if_any =
        |column| Ok::<_, crate::error::Error>(get::<Option<i64>>(row, column)?.map(Timestamp::from_unix_millis));
    let role = u32::try_from(get::<i32>(row, 4)?).ok().and_then(Role::from_number);
    let presence = NodePresence {
        name: name(row, 1)?,
        role: role.ok_or_else(|| corrupt("a role that no release has"))?,
        via: path_of(&get::<String>(row, 5)?)?,
        address: get(row, 6)?,
        since: time(row, 7)?,
        last_heard: time(row, 8)?,
        session: bits(row, 3)?,
    };
    Ok(PresenceRecord {
        server: name(row, 0)?,
        start: bits(row, 2)?,
        presence,
        silent: time_if_any(9)?,
        left: time_if_any(10)?,
        report: report_of(get(row, 11)?),
    })
}
