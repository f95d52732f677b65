//! The store over any engine: each call one transaction.

use std::time::Duration;

use crate::error::Result;
use crate::group::{
    AgentRecord, Assignment, AssignmentKey, AssignmentRecord, CursorOutcome, CursorWrite, Decision, GatewayRecord,
    Knock, ServerRecord, SessionAnswer, SessionRequest, SignedAssignment, TokenAnswer, TokenRecord, TokenUse,
    UnknownAgents,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::changes::Changes;
use crate::store::operations::{self, approvals, assignments, deliveries, down, sessions, tokens};
use crate::store::records::{Engine, Which};
use crate::store::{Delivery, DeliveryGap, DownMessage, OutputPosition, Store, StoredRun};
use crate::time::Timestamp;

/// A group store in a database.
pub(crate) struct GroupStore<E> {
    pub(super) engine: E,
}

impl<E: Engine> Store for GroupStore<E> {
    fn change(&mut self) -> Result<u64> {
        self.engine.read(|records| records.change())
    }

    fn changes(&mut self) -> Changes {
        self.engine.changes()
    }

    fn commit_pace(&self) -> Duration {
        self.engine.commit_pace()
    }

    fn group(&mut self) -> Result<String> {
        Ok(self.engine.identity().group.clone())
    }

    fn assignment_key(&mut self) -> Result<AssignmentKey> {
        Ok(self.engine.identity().key.public())
    }

    fn challenge_secret(&mut self) -> Result<[u8; 32]> {
        Ok(self.engine.identity().challenge_secret)
    }

    fn register_server(&mut self, server: &Name, address: &str, at: Timestamp) -> Result<()> {
        self.engine.write(|records| assignments::register_server(records, server, address, at))
    }

    fn set_server_excluded(&mut self, server: &Name, excluded: bool) -> Result<()> {
        self.engine.write(|records| assignments::set_server_excluded(records, server, excluded))
    }

    fn servers(&mut self) -> Result<Vec<ServerRecord>> {
        self.engine.read(|records| records.servers())
    }

    fn approve_gateway(&mut self, gateway: &Name, parent: &Name, at: Timestamp) -> Result<()> {
        self.engine.write(|records| approvals::approve_gateway(records, gateway, parent, at))
    }

    fn delete_gateway(&mut self, gateway: &Name) -> Result<()> {
        self.engine.write(|records| approvals::delete_gateway(records, gateway))
    }

    fn gateways(&mut self) -> Result<Vec<GatewayRecord>> {
        self.engine.read(|records| records.gateways(Which::All))
    }

    fn approve_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        self.engine.write(|records| approvals::approve_agent(records, agent, at))
    }

    fn reject_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        self.engine.write(|records| approvals::reject_agent(records, agent, at))
    }

    fn agents(&mut self) -> Result<Vec<AgentRecord>> {
        self.engine.read(|records| records.agents(Which::All))
    }

    fn unknown_agents(&mut self) -> Result<UnknownAgents> {
        self.engine.read(|records| records.unknown_agents())
    }

    fn set_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()> {
        self.engine.write(|records| operations::set_unknown_agents(records, unknown_agents))
    }

    fn authorise(&mut self, knocks: &[Knock]) -> Result<Vec<Decision>> {
        self.engine.write(|records| approvals::authorise(records, knocks))
    }

    fn assign(&mut self, node: &Name, assignment: &Assignment) -> Result<()> {
        let identity = self.engine.identity();
        let (key, group) = (identity.key.clone(), identity.group.clone());
        self.engine.write(|records| {
            assignments::assign(records, node, assignment, |version| key.sign(&group, node, version, assignment))
        })
    }

    fn signed_assignments(&mut self, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>> {
        self.engine.read(|records| assignments::signed(records, nodes))
    }

    fn assignments(&mut self) -> Result<Vec<AssignmentRecord>> {
        self.engine.read(assignments::all)
    }

    fn open_sessions(&mut self, requests: &[SessionRequest]) -> Result<Vec<SessionAnswer>> {
        self.engine.write(|records| sessions::open_sessions(records, requests))
    }

    fn commit(&mut self, writes: &[CursorWrite], deliveries: &[StoredRun]) -> Result<Vec<CursorOutcome>> {
        let received = now();
        self.engine.write(|records| {
            let moves = sessions::move_cursors(records, writes)?;
            deliveries::store(records, &moves, writes, deliveries, received)?;
            Ok(sessions::outcomes(&moves))
        })
    }

    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>> {
        self.engine.read(|records| records.cursors())
    }

    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>> {
        self.engine.read(|records| records.deliveries(above, count))
    }

    fn delivery_count(&mut self) -> Result<u64> {
        self.engine.read(|records| records.delivery_count())
    }

    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
        self.engine.read(|records| records.gaps(above, count))
    }

    fn commit_with_output(&mut self, writes: &[CursorWrite], output: &OutputPosition) -> Result<Vec<CursorOutcome>> {
        self.engine.write(|records| {
            let moves = sessions::move_cursors(records, writes)?;
            records.put_output_position(output)?;
            Ok(sessions::outcomes(&moves))
        })
    }

    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>> {
        self.engine.read(|records| records.output_position(server, path))
    }

    fn send_down(&mut self, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
        self.engine.write(|records| down::send(records, agent, payload, at))
    }

    fn down_messages(&mut self, agent: &Name, fence: u64, above: u64, count: usize) -> Result<Vec<DownMessage>> {
        self.engine.read(|records| down::messages(records, agent, fence, above, count))
    }

    fn down_waiting(&mut self) -> Result<Vec<Name>> {
        self.engine.read(|records| records.down_waiting())
    }

    fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64) -> Result<()> {
        self.engine.write(|records| down::delivered(records, agent, fence, through))
    }

    fn create_token(&mut self, token: &TokenRecord) -> Result<()> {
        self.engine.write(|records| tokens::create(records, token))
    }

    fn use_token(&mut self, ask: &TokenUse) -> Result<TokenAnswer> {
        self.engine.write(|records| tokens::use_once(records, ask))
    }

    fn tokens(&mut self) -> Result<Vec<TokenRecord>> {
        self.engine.read(|records| records.tokens())
    }

    fn delete_token(&mut self, name: &Name) -> Result<u64> {
        self.engine.write(|records| tokens::delete(records, name))
    }
}

/// This computer's clock, for people: when a delivery was written.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
