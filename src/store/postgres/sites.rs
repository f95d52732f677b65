//! Sites, and assignments in sets.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{Assignment, SignedAssignment, SiteName};
use crate::name::Name;
use crate::store::postgres::approvals::select;
use crate::store::postgres::columns::{bits, get, name, texts, word};
use crate::store::postgres::records::Transaction;
use crate::store::records::{SiteRecords, StoredAssignment, Which, corrupt, signed};

impl SiteRecords for Transaction<'_> {
    fn sites(&mut self) -> Result<Vec<(SiteName, Option<Assignment>)>> {
        let rows = self.query("SELECT name, assignment FROM farpost.sites ORDER BY name", &[])?;
        let site_of = |row: &Row| {
            let assignment = get::<Option<String>>(row, 1)?;
            let assignment = assignment.as_deref().map(serde_json::from_str).transpose();
            let assignment = assignment.map_err(|_| corrupt("a site's assignment that cannot be read"))?;
            Ok((word(row, 0, SiteName::parse)?, assignment))
        };
        rows.iter().map(site_of).collect()
    }

    fn put_site(&mut self, site: &SiteName, assignment: Option<&Assignment>) -> Result<()> {
        let assignment = assignment.map(|assignment| serde_json::to_string(assignment).unwrap_or_default());
        let sql = "INSERT INTO farpost.sites (name, assignment) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET assignment = excluded.assignment";
        self.query(sql, &[&site.as_str(), &assignment]).map(|_| ())
    }

    fn remove_site(&mut self, site: &SiteName) -> Result<()> {
        self.query("DELETE FROM farpost.site_nodes WHERE site = $1", &[&site.as_str()])?;
        self.query("DELETE FROM farpost.sites WHERE name = $1", &[&site.as_str()]).map(|_| ())
    }

    fn site_nodes(&mut self, which: Which<'_>) -> Result<Vec<(Name, SiteName)>> {
        let all = "SELECT node, site FROM farpost.site_nodes ORDER BY node";
        let named = "SELECT node, site FROM farpost.site_nodes WHERE node = ANY($1)";
        let node_of = |row: &Row| Ok((name(row, 0)?, word(row, 1, SiteName::parse)?));
        select(self, which, all, named)?.iter().map(node_of).collect()
    }

    fn put_site_nodes(&mut self, site: &SiteName, nodes: &[&Name]) -> Result<()> {
        let sql = "INSERT INTO farpost.site_nodes (node, site) SELECT node, $2 FROM unnest($1::text[]) AS node
             ON CONFLICT (node) DO UPDATE SET site = excluded.site";
        self.query(sql, &[&texts(nodes.iter().copied()), &site.as_str()]).map(|_| ())
    }

    fn remove_site_nodes(&mut self, nodes: &[&Name]) -> Result<()> {
        let sql = "DELETE FROM farpost.site_nodes WHERE node = ANY($1)";
        self.query(sql, &[&texts(nodes.iter().copied())]).map(|_| ())
    }

    fn stored_assignments(&mut self, which: Which<'_>) -> Result<Vec<StoredAssignment>> {
        let all = "SELECT node, version, site, body, signature FROM farpost.assignments ORDER BY node";
        let named = "SELECT node, version, site, body, signature FROM farpost.assignments WHERE node = ANY($1)";
        select(self, which, all, named)?.iter().map(stored_of).collect()
    }

    fn put_assignments(&mut self, assignments: &[StoredAssignment]) -> Result<()> {
        let nodes = texts(assignments.iter().map(|stored| &stored.node));
        let versions: Vec<i64> = assignments.iter().map(|stored| signed(stored.version)).collect();
        let sites: Vec<Option<&str>> =
            assignments.iter().map(|stored| stored.site.as_ref().map(SiteName::as_str)).collect();
        let of_signed = |part: fn(&SignedAssignment) -> &[u8]| -> Vec<Option<&[u8]>> {
            assignments.iter().map(|stored| stored.signed.as_ref().map(part)).collect()
        };
        let (bodies, signatures) = (of_signed(|signed| &signed.body), of_signed(|signed| &signed.signature));
        let sql = "INSERT INTO farpost.assignments (node, version, site, body, signature)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[])
             ON CONFLICT (node) DO UPDATE
             SET version = excluded.version, site = excluded.site, body = excluded.body,
                 signature = excluded.signature";
        let row: [&(dyn ToSql + Sync); 5] = [&nodes, &versions, &sites, &bodies, &signatures];
        self.query(sql, &row).map(|_| ())
    }
}

fn stored_of(row: &Row) -> Result<StoredAssignment> {
    let (body, signature) = (get::<Option<Vec<u8>>>(row, 3)?, get::<Option<Vec<u8>>>(row, 4)?);
    let site = match get::<Option<String>>(row, 2)? {
        Some(_) => Some(word(row, 2, SiteName::parse)?),
        None => None,
    };
    Ok(StoredAssignment {
        node: name(row, 0)?,
        version: bits(row, 1)?,
        site,
        signed: body.zip(signature).map(|(body, signature)| SignedAssignment {
            body: body.into(),
            signature: signature.into(),
            key_version: 0,
        }),
    })
}
