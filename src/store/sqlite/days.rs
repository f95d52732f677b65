//! Deliveries by day: each day's range of numbers, and what is pruned by it.

use rusqlite::{Connection, OptionalExtension as _, Params};

use crate::error::Result;
use crate::store::records::{Day, DeliveryRecords, corrupt, signed};
use crate::store::sqlite::columns::TimeColumn;
use crate::store::sqlite::failure;
use crate::time::Timestamp;

impl DeliveryRecords for &Connection {
    fn deliveries_keep_days(&mut self) -> Result<Option<u32>> {
        let sql = "SELECT deliveries_keep_days FROM management_group";
        let days: Option<i64> = one(self, sql, ())?.flatten();
        days.map(|days| u32::try_from(days).map_err(|_| corrupt("a number of days that is none"))).transpose()
    }

    fn put_deliveries_keep_days(&mut self, days: Option<u32>) -> Result<()> {
        execute(self, "UPDATE management_group SET deliveries_keep_days = ?1", [days]).map(|_| ())
    }

    /// All days stand in one table.
    fn prepare_delivery_days(&mut self, _: Day, _: Day) -> Result<()> {
        Ok(())
    }

    fn prune_deliveries(&mut self, before: Day, count: u64) -> Result<bool> {
        let count = signed(count);
        let sql = "SELECT day, first, last FROM delivery_days WHERE day < ?1 ORDER BY day LIMIT 1";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let day = select.query_row([before.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        match day.optional().map_err(failure::of)? {
            Some((day, first, last)) => prune_part(self, before, (day, first, last), count).map(|()| true),
            None => {
                let sql = "DELETE FROM gaps WHERE id IN (SELECT id FROM gaps WHERE received < ?1 LIMIT ?2)";
                Ok(execute(self, sql, (TimeColumn(before.start()), count))? >= count)
            }
        }
    }
}

/// Prunes the next rows of a day. Where clocks disagreed, rows of other days stand between them and stay.
fn prune_part(connection: &Connection, before: Day, (day, first, last): (i64, i64, i64), count: i64) -> Result<()> {
    let start: Option<i64> = one(connection, "SELECT min(id) FROM deliveries WHERE id >= ?1", [first])?.flatten();
    let through = start.unwrap_or(last).saturating_add(count - 1).min(last);
    if let Some(start) = start.filter(|start| *start <= last) {
        let sql = "DELETE FROM deliveries WHERE id BETWEEN ?1 AND ?2 AND received < ?3";
        execute(connection, sql, (start, through, TimeColumn(before.start())))?;
    }
    if through == last {
        execute(connection, "DELETE FROM delivery_days WHERE day = ?1", [day])?;
    } else {
        execute(connection, "UPDATE delivery_days SET first = ?2 WHERE day = ?1", (day, through + 1))?;
    }
    Ok(())
}

/// The highest number of a delivery that is there; 0 where there is none.
pub(super) fn highest(connection: &Connection) -> Result<i64> {
    Ok(one(connection, "SELECT max(id) FROM deliveries", ())?.flatten().unwrap_or(0))
}

/// Notes that the numbers above `above` were given on a day.
pub(super) fn note(connection: &Connection, above: i64, received: Timestamp) -> Result<()> {
    let last = highest(connection)?;
    if last <= above {
        return Ok(());
    }
    let sql = "INSERT INTO delivery_days (day, first, last) VALUES (?1, ?2, ?3)
         ON CONFLICT (day) DO UPDATE SET last = excluded.last";
    execute(connection, sql, (Day::of(received).0, above + 1, last)).map(|_| ())
}

fn one<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Option<T>> {
    let mut select = connection.prepare_cached(sql).map_err(failure::of)?;
    select.query_row(parameters, |row| row.get(0)).optional().map_err(failure::of)
}

/// Runs a change; how many rows it met.
fn execute(connection: &Connection, sql: &str, parameters: impl Params) -> Result<i64> {
    let mut change = connection.prepare_cached(sql).map_err(failure::of)?;
    let rows = change.execute(parameters).map_err(failure::of)?;
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}
