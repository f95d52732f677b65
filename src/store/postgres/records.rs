//! The records of a transaction: which statement each of them is. The larger ones stand in files of their own.

use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql};

use crate::error::Result;
use crate::group::{
    AgentRecord, GatewayRecord, ServerRecord, SessionRecord, SignedAssignment, TokenHash, TokenRecord, UnknownAgents,
};
use crate::group::{Delivery, DeliveryGap};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::OutputPosition;
use crate::store::postgres::connection::{Link, only};
use crate::store::postgres::failure::Kind;
use crate::store::postgres::{approvals, columns, deliveries, sessions, tokens};
use crate::store::records::{CurrentCursor, Place, Records, StoredGap, StoredMessage, Which};
use crate::time::Timestamp;

/// A connection in the hands of one call.
pub(super) struct Transaction<'l> {
    runtime: &'l Handle,
    link: &'l mut Link,
    /// COMMIT was sent and not answered.
    pub(super) is_committing: bool,
}

impl<'l> Transaction<'l> {
    pub(super) fn new(runtime: &'l Handle, link: &'l mut Link) -> Self {
        Self { runtime, link, is_committing: false }
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.link.is_busy = true;
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        self.is_committing = true;
        self.run("COMMIT")?;
        self.is_committing = false;
        self.link.is_busy = false;
        Ok(())
    }

    pub(super) fn query(&mut self, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.link.query(self.runtime, sql, parameters)
    }

    pub(super) fn run(&mut self, sql: &str) -> Result<()> {
        self.link.run(self.runtime, sql)
    }

    pub(super) fn run_long(&mut self, sql: &str) -> Result<()> {
        self.link.run_long(self.runtime, sql)
    }

    /// Runs a change; how many rows it met.
    pub(super) fn execute(&mut self, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.link.execute(self.runtime, sql, parameters)
    }

    /// Runs statements that may be refused: whether they were done. What is refused is undone alone.
    pub(super) fn attempt(&mut self, sql: &str) -> Result<bool> {
        self.run("SAVEPOINT attempt")?;
        match self.run(sql) {
            Ok(()) => Ok(true),
            Err(error) => match self.link.failure.take() {
                Some(failure) if failure.kind == Kind::Refused => {
                    self.run("ROLLBACK TO SAVEPOINT attempt").map(|()| false)
                }
                failure => {
                    self.link.failure = failure;
                    Err(error)
                }
            },
        }
    }

    pub(super) fn get<T: FromSqlOwned>(&self, row: &Row, column: usize) -> Result<T> {
        columns::get(row, column)
    }
}

impl Records for Transaction<'_> {
    fn lock_group(&mut self) -> Result<()> {
        self.query("SELECT 1 FROM farpost.management_group FOR UPDATE", &[]).map(|_| ())
    }

    fn change(&mut self) -> Result<u64> {
        columns::bits(&only(self.query("SELECT change FROM farpost.management_group", &[])?)?, 0)
    }

    fn changed(&mut self) -> Result<()> {
        let sql = if self.link.notifies {
            "UPDATE farpost.management_group SET change = change + 1 RETURNING pg_notify('farpost_change', '')::text"
        } else {
            "UPDATE farpost.management_group SET change = change + 1"
        };
        self.query(sql, &[]).map(|_| ())
    }

    fn unknown_agents(&mut self) -> Result<UnknownAgents> {
        let row = only(self.query("SELECT unknown_agents FROM farpost.management_group", &[])?)?;
        columns::word(&row, 0, UnknownAgents::parse)
    }

    fn put_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()> {
        let word = unknown_agents.as_str();
        self.query("UPDATE farpost.management_group SET unknown_agents = $1", &[&word]).map(|_| ())
    }

    fn servers(&mut self) -> Result<Vec<ServerRecord>> {
        approvals::servers(self)
    }

    fn put_server(&mut self, server: &ServerRecord) -> Result<()> {
        approvals::put_server(self, server)
    }

    fn remove_server(&mut self, server: &Name) -> Result<()> {
        approvals::remove_server(self, server)
    }

    fn gateways(&mut self, which: Which<'_>) -> Result<Vec<GatewayRecord>> {
        approvals::gateways(self, which)
    }

    fn put_gateways(&mut self, gateways: &[&GatewayRecord]) -> Result<()> {
        approvals::put_gateways(self, gateways)
    }

    fn remove_gateway(&mut self, gateway: &Name) -> Result<()> {
        self.query("DELETE FROM farpost.gateways WHERE name = $1", &[&gateway.as_str()]).map(|_| ())
    }

    fn agents(&mut self, which: Which<'_>) -> Result<Vec<AgentRecord>> {
        approvals::agents(self, which)
    }

    fn put_agents(&mut self, agents: &[&AgentRecord]) -> Result<()> {
        approvals::put_agents(self, agents)
    }

    fn remove_agent(&mut self, agent: &Name) -> Result<()> {
        self.query("DELETE FROM farpost.agents WHERE name = $1", &[&agent.as_str()]).map(|_| ())
    }

    fn expire_pending(&mut self, before: Timestamp) -> Result<()> {
        approvals::expire_pending(self, before)
    }

    fn count_pending(&mut self, places: &[&Place]) -> Result<Vec<u64>> {
        approvals::count_pending(self, places)
    }

    fn assignments(&mut self, which: Which<'_>) -> Result<Vec<(Name, SignedAssignment)>> {
        approvals::assignments(self, which)
    }

    fn withdraw_assignment(&mut self, node: &Name) -> Result<()> {
        let sql = "UPDATE farpost.assignments SET body = NULL, signature = NULL, site = NULL WHERE node = $1";
        self.query(sql, &[&node.as_str()])?;
        self.query("DELETE FROM farpost.site_nodes WHERE node = $1", &[&node.as_str()]).map(|_| ())
    }

    fn lock_sessions(&mut self, agents: &[&Name]) -> Result<()> {
        sessions::lock(self, agents).map(|_| ())
    }

    fn lock_new_sessions(&mut self, agents: &[&Name]) -> Result<()> {
        sessions::lock_new(self, agents)
    }

    fn sessions(&mut self, agents: &[&Name]) -> Result<Vec<(Name, SessionRecord)>> {
        sessions::sessions(self, agents)
    }

    fn put_sessions(&mut self, sessions: &[(&Name, &SessionRecord)]) -> Result<()> {
        sessions::put(self, sessions)
    }

    fn current_cursors(&mut self, agents: &[&Name]) -> Result<Vec<CurrentCursor>> {
        sessions::current(self, agents)
    }

    fn put_cursors(&mut self, cursors: &[&CurrentCursor]) -> Result<()> {
        sessions::put_cursors(self, cursors)
    }

    fn clones(&mut self) -> Result<Vec<(Name, Timestamp)>> {
        sessions::clones(self)
    }

    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>> {
        sessions::cursors(self)
    }

    fn put_deliveries(&mut self, messages: &[StoredMessage<'_>], received: Timestamp) -> Result<()> {
        deliveries::put(self, messages, received)
    }

    fn put_gaps(&mut self, gaps: &[StoredGap<'_>], received: Timestamp) -> Result<()> {
        deliveries::put_gaps(self, gaps, received)
    }

    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>> {
        deliveries::deliveries(self, above, count)
    }

    fn delivery_count(&mut self) -> Result<u64> {
        columns::bits(&only(self.query("SELECT count(*) FROM farpost.deliveries", &[])?)?, 0)
    }

    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
        deliveries::gaps(self, above, count)
    }

    fn put_output_position(&mut self, output: &OutputPosition) -> Result<()> {
        deliveries::put_output_position(self, output)
    }

    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>> {
        deliveries::output_position(self, server, path)
    }

    fn token(&mut self, hash: TokenHash) -> Result<Option<TokenRecord>> {
        tokens::token(self, hash)
    }

    fn tokens(&mut self) -> Result<Vec<TokenRecord>> {
        tokens::tokens(self)
    }

    fn count_tokens(&mut self) -> Result<u64> {
        tokens::count(self)
    }

    fn put_token(&mut self, token: &TokenRecord) -> Result<()> {
        tokens::put(self, token)
    }

    fn remove_tokens(&mut self, name: &Name) -> Result<u64> {
        tokens::remove(self, name)
    }

    fn forget_unused_tokens(&mut self, expired: Timestamp) -> Result<()> {
        tokens::forget_unused(self, expired)
    }

    fn forget_tokens(&mut self, expired: Timestamp) -> Result<()> {
        tokens::forget(self, expired)
    }
}
