//! Sites, and assignments in sets.

use rusqlite::{Connection, Row, ToSql};

use crate::error::Result;
use crate::group::{Assignment, SignedAssignment, SiteName};
use crate::name::Name;
use crate::store::records::{SiteRecords, StoredAssignment, Which, corrupt, signed};
use crate::store::sqlite::columns::{BitsColumn, NameColumn, WordColumn};
use crate::store::sqlite::{approvals, failure};

impl SiteRecords for &Connection {
    fn sites(&mut self) -> Result<Vec<(SiteName, Option<Assignment>)>> {
        let mut select =
            self.prepare_cached("SELECT name, assignment FROM sites ORDER BY name").map_err(failure::of)?;
        let columns = |row: &Row<'_>| Ok((row.get::<_, WordColumn<_>>(0)?.0, row.get::<_, Option<String>>(1)?));
        let rows = select.query_map([], columns).map_err(failure::of)?;
        rows.map(|row| {
            let (name, assignment) = row.map_err(failure::of)?;
            let assignment = assignment.as_deref().map(serde_json::from_str).transpose();
            Ok((name, assignment.map_err(|_| corrupt("a site's assignment that cannot be read"))?))
        })
        .collect()
    }

    fn put_site(&mut self, site: &SiteName, assignment: Option<&Assignment>) -> Result<()> {
        let assignment = assignment.map(|assignment| serde_json::to_string(assignment).unwrap_or_default());
        let sql = "INSERT OR REPLACE INTO sites (name, assignment) VALUES (?1, ?2)";
        execute(self, sql, &[&site.as_str(), &assignment])
    }

    fn remove_site(&mut self, site: &SiteName) -> Result<()> {
        execute(self, "DELETE FROM site_nodes WHERE site = ?1", &[&site.as_str()])?;
        execute(self, "DELETE FROM sites WHERE name = ?1", &[&site.as_str()])
    }

    fn site_nodes(&mut self, which: Which<'_>) -> Result<Vec<(Name, SiteName)>> {
        let all = "SELECT node, site FROM site_nodes ORDER BY node";
        let named = "SELECT node, site FROM site_nodes WHERE node = ?1";
        approvals::select(self, which, all, named, |row| {
            Ok((row.get::<_, NameColumn>(0)?.0, row.get::<_, WordColumn<_>>(1)?.0))
        })
    }

    fn put_site_nodes(&mut self, site: &SiteName, nodes: &[&Name]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO site_nodes (node, site) VALUES (?1, ?2)";
        nodes.iter().try_for_each(|node| execute(self, sql, &[&node.as_str(), &site.as_str()]))
    }

    fn remove_site_nodes(&mut self, nodes: &[&Name]) -> Result<()> {
        let sql = "DELETE FROM site_nodes WHERE node = ?1";
        nodes.iter().try_for_each(|node| execute(self, sql, &[&node.as_str()]))
    }

    fn stored_assignments(&mut self, which: Which<'_>) -> Result<Vec<StoredAssignment>> {
        let all = "SELECT node, version, site, body, signature FROM assignments ORDER BY node";
        let named = "SELECT node, version, site, body, signature FROM assignments WHERE node = ?1";
        approvals::select(self, which, all, named, stored_of)
    }

    fn put_assignments(&mut self, assignments: &[StoredAssignment]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO assignments (node, version, site, body, signature)
             VALUES (?1, ?2, ?3, ?4, ?5)";
        assignments.iter().try_for_each(|stored| {
            let site = stored.site.as_ref().map(SiteName::as_str);
            let (body, signature) = match &stored.signed {
                Some(signed) => (Some(&signed.body[..]), Some(&signed.signature[..])),
                None => (None, None),
            };
            execute(self, sql, &[&stored.node.as_str(), &signed(stored.version), &site, &body, &signature])
        })
    }
}

fn stored_of(row: &Row<'_>) -> rusqlite::Result<StoredAssignment> {
    let (body, signature): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
    Ok(StoredAssignment {
        node: row.get::<_, NameColumn>(0)?.0,
        version: row.get::<_, BitsColumn>(1)?.0,
        site: row.get::<_, Option<WordColumn<_>>>(2)?.map(|site| site.0),
        signed: body.zip(signature).map(|(body, signature)| SignedAssignment {
            body: body.into(),
            signature: signature.into(),
            key_version: 0,
        }),
    })
}

fn execute(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(failure::of)?;
    statement.execute(row).map(|_| ()).map_err(failure::of)
}
