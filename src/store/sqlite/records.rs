//! The records of a connection: which statement each of them is.

use rusqlite::Connection;

use crate::error::Result;
use crate::group::{
    AgentRecord, GatewayRecord, ServerRecord, SessionRecord, SignedAssignment, TokenHash, TokenRecord, UnknownAgents,
};
use crate::group::{Delivery, DeliveryGap};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::OutputPosition;
use crate::store::records::{CurrentCursor, Place, Records, StoredGap, StoredMessage, Which};
use crate::store::sqlite::{approvals, assignments, deliveries, schema, sessions, tokens};
use crate::time::Timestamp;

impl Records for &Connection {
    fn lock_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn change(&mut self) -> Result<u64> {
        schema::change(self)
    }

    fn changed(&mut self) -> Result<()> {
        schema::changed(self)
    }

    fn unknown_agents(&mut self) -> Result<UnknownAgents> {
        schema::unknown_agents(self)
    }

    fn put_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()> {
        schema::put_unknown_agents(self, unknown_agents)
    }

    fn servers(&mut self) -> Result<Vec<ServerRecord>> {
        assignments::servers(self)
    }

    fn put_server(&mut self, server: &ServerRecord) -> Result<()> {
        assignments::put_server(self, server)
    }

    fn remove_server(&mut self, server: &Name) -> Result<()> {
        assignments::remove_server(self, server)
    }

    fn gateways(&mut self, which: Which<'_>) -> Result<Vec<GatewayRecord>> {
        approvals::gateways(self, which)
    }

    fn put_gateways(&mut self, gateways: &[&GatewayRecord]) -> Result<()> {
        approvals::put_gateways(self, gateways)
    }

    fn remove_gateway(&mut self, gateway: &Name) -> Result<()> {
        approvals::remove_gateway(self, gateway)
    }

    fn agents(&mut self, which: Which<'_>) -> Result<Vec<AgentRecord>> {
        approvals::agents(self, which)
    }

    fn put_agents(&mut self, agents: &[&AgentRecord]) -> Result<()> {
        approvals::put_agents(self, agents)
    }

    fn remove_agent(&mut self, agent: &Name) -> Result<()> {
        approvals::remove_agent(self, agent)
    }

    fn expire_pending(&mut self, before: Timestamp) -> Result<()> {
        approvals::expire_pending(self, before)
    }

    fn count_pending(&mut self, places: &[&Place]) -> Result<Vec<u64>> {
        approvals::count_pending(self, places)
    }

    fn assignments(&mut self, which: Which<'_>) -> Result<Vec<(Name, SignedAssignment)>> {
        assignments::assignments(self, which)
    }

    fn withdraw_assignment(&mut self, node: &Name) -> Result<()> {
        assignments::withdraw(self, node)
    }

    fn lock_sessions(&mut self, _agents: &[&Name]) -> Result<()> {
        Ok(())
    }

    fn lock_new_sessions(&mut self, _agents: &[&Name]) -> Result<()> {
        Ok(())
    }

    fn sessions(&mut self, agents: &[&Name]) -> Result<Vec<(Name, SessionRecord)>> {
        sessions::sessions(self, agents)
    }

    fn put_sessions(&mut self, sessions: &[(&Name, &SessionRecord)]) -> Result<()> {
        sessions.iter().try_for_each(|(agent, record)| sessions::put(self, agent, record))
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
        deliveries::delivery_count(self)
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
