//! Refused attempts.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::RefusedAttempt;
use crate::name::Name;
use crate::role::Role;
use crate::store::postgres::columns::{bits, get, name, text, time};
use crate::store::postgres::records::Transaction;
use crate::store::records::{RefusalRecords, corrupt, signed};
use crate::time::Timestamp;

impl RefusalRecords for Transaction<'_> {
    fn add_refusals(&mut self, refused: &[RefusedAttempt]) -> Result<()> {
        let sql = "INSERT INTO farpost.refusals (refuser, name, role, address, code, text, first, last, count)
             SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::integer[], $6::text[],
                                  $7::bigint[], $8::bigint[], $9::bigint[])
             ON CONFLICT (refuser, name, role, address, code) DO UPDATE
             SET text = excluded.text, first = least(refusals.first, excluded.first),
                 last = greatest(refusals.last, excluded.last), count = refusals.count + excluded.count";
        let all = |column: fn(&RefusedAttempt) -> String| refused.iter().map(column).collect::<Vec<_>>();
        let numbers = |column: fn(&RefusedAttempt) -> i64| refused.iter().map(column).collect::<Vec<_>>();
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &all(|one| one.by.to_string()),
            &all(|one| one.name.as_ref().map_or_else(String::new, Name::to_string)),
            &refused.iter().map(|one| one.role.map_or(0, |role| role as i16)).collect::<Vec<_>>(),
            &all(|one| text(&one.address).into_owned()),
            &refused.iter().map(|one| i32::from(one.code)).collect::<Vec<_>>(),
            &all(|one| text(&one.text).into_owned()),
            &numbers(|one| one.first.unix_millis()),
            &numbers(|one| one.last.unix_millis()),
            &numbers(|one| signed(one.count)),
        ];
        self.query(sql, &parameters).map(|_| ())
    }

    fn forget_refusals(&mut self, before: Timestamp, strangers: u64, most: u64) -> Result<()> {
        self.query("DELETE FROM farpost.refusals WHERE last < $1", &[&before.unix_millis()])?;
        let sql = "DELETE FROM farpost.refusals WHERE (refuser, name, role, address, code) IN
             (SELECT refuser, name, role, address, code FROM farpost.refusals WHERE name = ''
              ORDER BY last DESC OFFSET $1)";
        self.query(sql, &[&signed(strangers)])?;
        let sql = "DELETE FROM farpost.refusals WHERE (refuser, name, role, address, code) IN
             (SELECT refuser, name, role, address, code FROM farpost.refusals ORDER BY last DESC OFFSET $1)";
        self.query(sql, &[&signed(most)]).map(|_| ())
    }

    fn refusals(&mut self, since: Timestamp, count: usize) -> Result<Vec<RefusedAttempt>> {
        let sql = "SELECT refuser, name, role, address, code, text, first, last, count FROM farpost.refusals
             WHERE last >= $1 ORDER BY last DESC, refuser, name, role, address, code LIMIT $2";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.query(sql, &[&since.unix_millis(), &count])?.iter().map(record_of).collect()
    }
}

fn record_of(row: &Row) -> Result<RefusedAttempt> {
    let code = u16::try_from(get::<i32>(row, 4)?).map_err(|_| corrupt("a number that is no code"))?;
    Ok(RefusedAttempt {
        by: name(row, 0)?,
        name: if get::<String>(row, 1)?.is_empty() { None } else { Some(name(row, 1)?) },
        role: u32::try_from(get::<i16>(row, 2)?).ok().and_then(Role::from_number),
        address: get(row, 3)?,
        code,
        text: get(row, 5)?,
        first: time(row, 6)?,
        last: time(row, 7)?,
        count: bits(row, 8)?,
    })
}
