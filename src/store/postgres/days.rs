//! Deliveries by day: a partition for each, made ahead and dropped as a whole.
//!
//! The partition `deliveries_other` takes what has no day's partition, `deliveries_earlier` what was there before there
//! were days: both are pruned row by row. Whatever would wait for others, or others for it, is given up after
//! [`PATIENCE`] and tried again in the next period.

use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::store::postgres::columns::get;
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::{Day, DeliveryRecords, corrupt, signed};

/// How long a change of the partitions may wait for a lock, with those behind it: 200 ms; and how long it may take.
const PATIENCE: &str = "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '1s'";
/// "FPGT" as a number: whoever changes the partitions holds this advisory lock.
const PARTITIONS_LOCK: &str = "SELECT pg_try_advisory_xact_lock(1179666260)";
/// What was there before there were days.
const EARLIER: &str = "deliveries_earlier";

impl DeliveryRecords for Transaction<'_> {
    fn deliveries_keep_days(&mut self) -> Result<Option<u32>> {
        let row = only(self.query("SELECT deliveries_keep_days FROM farpost.management_group", &[])?)?;
        let days: Option<i32> = get(&row, 0)?;
        days.map(|days| u32::try_from(days).map_err(|_| corrupt("a number of days that is none"))).transpose()
    }

    fn put_deliveries_keep_days(&mut self, days: Option<u32>) -> Result<()> {
        let days = days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
        self.query("UPDATE farpost.management_group SET deliveries_keep_days = $1", &[&days]).map(|_| ())
    }

    fn prepare_delivery_days(&mut self, first: Day, last: Day) -> Result<()> {
        let there = partitions(self)?;
        let missing: Vec<Day> =
            (first.0..=last.0).map(Day).filter(|day| !there.contains(&partition_of(*day))).collect();
        if missing.is_empty() || !is_alone(self)? {
            return Ok(());
        }
        for day in missing {
            make(self, day)?;
        }
        Ok(())
    }

    fn prune_deliveries(&mut self, before: Day, count: u64) -> Result<bool> {
        if !is_alone(self)? {
            return Ok(false);
        }
        let there = partitions(self)?;
        let end = partition_of(before);
        // As texts they are in the order of their days: all have eight digits.
        if let Some(oldest) = there.iter().filter(|name| is_day(name) && **name < end).min() {
            return self.attempt(&format!("{PATIENCE}; DROP TABLE farpost.{oldest}"));
        }
        let before = before.start().unix_millis();
        if there.iter().any(|name| name == EARLIER) {
            let row = only(self.query("SELECT max(received) FROM farpost.deliveries_earlier", &[])?)?;
            if get::<Option<i64>>(&row, 0)?.is_none_or(|newest| newest < before) {
                // Looked at again once nobody can write: its range may reach to a day that is kept.
                return self.attempt(&format!(
                    "{PATIENCE}; LOCK TABLE ONLY farpost.deliveries IN ACCESS EXCLUSIVE MODE;
                     DO $$ BEGIN
                         IF NOT EXISTS (SELECT FROM farpost.{EARLIER} WHERE received >= {before}) THEN
                             DROP TABLE farpost.{EARLIER};
                         END IF;
                     END $$"
                ));
            }
            if delete(self, DELETE_EARLIER, before, count)? {
                return Ok(true);
            }
        }
        let more = delete(self, DELETE_OTHER, before, count)?;
        let more = delete(self, DELETE_GAPS, before, count)? || more;
        Ok(delete(self, DELETE_EPOCHS, before, count)? || more)
    }
}

const DELETE_EARLIER: &str = "DELETE FROM farpost.deliveries_earlier WHERE id = ANY(ARRAY(
     SELECT id FROM farpost.deliveries_earlier WHERE received < $1 ORDER BY received LIMIT $2))";
const DELETE_OTHER: &str = "DELETE FROM farpost.deliveries_other WHERE id = ANY(ARRAY(
     SELECT id FROM farpost.deliveries_other WHERE received < $1 ORDER BY received LIMIT $2))";
const DELETE_GAPS: &str = "DELETE FROM farpost.gaps WHERE id = ANY(ARRAY(
     SELECT id FROM farpost.gaps WHERE received < $1 ORDER BY received LIMIT $2))";
/// What an epoch delivered that was forgotten so long ago is pruned.
const DELETE_EPOCHS: &str = "DELETE FROM farpost.epochs WHERE (agent, epoch) IN (
     SELECT agent, epoch FROM farpost.epochs WHERE forgotten < $1 LIMIT $2)";

/// Deletes some rows; whether there may be more.
fn delete(records: &mut Transaction<'_>, sql: &'static str, before: i64, count: u64) -> Result<bool> {
    let row: [&(dyn ToSql + Sync); 2] = [&before, &signed(count)];
    Ok(records.execute(sql, &row)? >= count)
}

/// Whether this transaction is the one that changes partitions; another that does so does all that is due.
fn is_alone(records: &mut Transaction<'_>) -> Result<bool> {
    get(&only(records.query(PARTITIONS_LOCK, &[])?)?, 0)
}

/// The names of all partitions.
fn partitions(records: &mut Transaction<'_>) -> Result<Vec<String>> {
    let sql = "SELECT c.relname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'farpost.deliveries'::regclass";
    records.query(sql, &[])?.iter().map(|row| get(row, 0)).collect()
}

/// The name of a day's partition: `deliveries_20261231`.
fn partition_of(day: Day) -> String {
    let time = day.start().to_string();
    let digits: String = time.chars().take_while(|character| *character != 'T').filter(char::is_ascii_digit).collect();
    format!("deliveries_{digits}")
}

fn is_day(partition: &str) -> bool {
    let digits = partition.strip_prefix("deliveries_").unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Makes a day's partition. Where rows of that day are in the partition for all others already, or in the one of what
/// was there before, they and what follows them stay there.
fn make(records: &mut Transaction<'_>, day: Day) -> Result<()> {
    let (name, start, end) = (partition_of(day), day.start().unix_millis(), day.later_by(1).start().unix_millis());
    // By the index, since to attach a partition locks that one while it is read as a whole.
    let sql = "SELECT 1 FROM farpost.deliveries_other WHERE received >= $1 AND received < $2 LIMIT 1";
    if !records.query(sql, &[&start, &end])?.is_empty() {
        return Ok(());
    }
    records
        .attempt(&format!(
            "{PATIENCE};
             CREATE TABLE farpost.{name} (LIKE farpost.deliveries, PRIMARY KEY (id), UNIQUE (agent, epoch, sequence));
             ALTER TABLE farpost.deliveries ATTACH PARTITION farpost.{name} FOR VALUES FROM ({start}) TO ({end})"
        ))
        .map(|_| ())
}
