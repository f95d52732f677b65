//! What operators ask, as calls: for tests, which ask much.

use crate::error::Result;
use crate::group::{
    AgentRecord, Answer, ApprovalsOperation, Assignment, AssignmentKey, AssignmentRecord, AssignmentsOperation,
    AuditOperation, AuditRecord, Author, By, Cursor, DeliveriesKept, Delivery, DeliveryGap, DownstreamOperation,
    GatewayRecord, InventoryOperation, Operation, ServerRecord, TokenRecord, TokensOperation, UnknownAgents,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::Store;
use crate::time::Timestamp;

macro_rules! ask {
    ($store:expr, $at:expr, $operation:expr, $answer:ident) => {
        match $store.operate($operation, $at)? {
            Answer::$answer(value) => Ok::<_, crate::error::Error>(value),
            other => panic!("{other:?}"),
        }
    };
}

pub(crate) trait Asking: Store {
    fn operate(&mut self, operation: impl Into<Operation>, at: Timestamp) -> Result<Answer> {
        self.perform(&operation.into(), &By { author: Author::local_user("tester", "here"), at })
    }

    /// The key that the group signs with now.
    fn assignment_key(&mut self) -> Result<AssignmentKey> {
        Ok(self.group_keys()?.key)
    }

    fn change_group(&mut self, operation: impl Into<Operation>, at: Timestamp) -> Result<()> {
        self.operate(operation, at).map(|answer| assert_eq!(answer, Answer::Done))
    }

    fn set_server_excluded(&mut self, server: &Name, excluded: bool) -> Result<()> {
        let server = server.clone();
        let operation = AssignmentsOperation::SetServerExcluded { server, excluded };
        ask!(self, Timestamp::default(), operation, ServerUse).map(|_| ())
    }

    fn servers(&mut self) -> Result<Vec<ServerRecord>> {
        ask!(self, Timestamp::default(), AssignmentsOperation::Servers, Servers)
    }

    fn approve_gateway(&mut self, gateway: &Name, parent: &Name, at: Timestamp) -> Result<()> {
        let (gateway, parent) = (gateway.clone(), parent.clone());
        self.change_group(ApprovalsOperation::ApproveGateway { gateway, parent }, at)
    }

    fn delete_gateway(&mut self, gateway: &Name) -> Result<()> {
        let gateway = gateway.clone();
        self.change_group(ApprovalsOperation::DeleteGateway { gateway }, Timestamp::default())
    }

    fn gateways(&mut self) -> Result<Vec<GatewayRecord>> {
        ask!(self, Timestamp::default(), ApprovalsOperation::Gateways, Gateways)
    }

    fn approve_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        let agent = agent.clone();
        self.change_group(ApprovalsOperation::ApproveAgent { agent }, at)
    }

    fn reject_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        let agent = agent.clone();
        self.change_group(ApprovalsOperation::RejectAgent { agent }, at)
    }

    fn agents(&mut self) -> Result<Vec<AgentRecord>> {
        ask!(self, Timestamp::default(), ApprovalsOperation::Agents, Agents)
    }

    fn unknown_agents(&mut self) -> Result<UnknownAgents> {
        ask!(self, Timestamp::default(), ApprovalsOperation::UnknownAgents, UnknownAgents)
    }

    fn set_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()> {
        self.change_group(ApprovalsOperation::SetUnknownAgents { unknown_agents }, Timestamp::default())
    }

    fn assign(&mut self, node: &Name, assignment: &Assignment) -> Result<()> {
        let (node, assignment) = (node.clone(), assignment.clone());
        self.change_group(AssignmentsOperation::Assign { node, assignment }, Timestamp::default())
    }

    fn assignments(&mut self) -> Result<Vec<AssignmentRecord>> {
        let asked = ask!(self, Timestamp::default(), InventoryOperation::Inventory, Inventory)?;
        Ok(asked.assignments)
    }

    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>> {
        let cursors: Vec<Cursor> = ask!(self, Timestamp::default(), InventoryOperation::Cursors, Cursors)?;
        Ok(cursors.into_iter().map(|cursor| (cursor.agent, cursor.epoch, cursor.through)).collect())
    }

    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>> {
        let limit = count as u64;
        ask!(self, Timestamp::default(), InventoryOperation::Deliveries { above, limit }, Deliveries)
    }

    fn delivery_count(&mut self) -> Result<u64> {
        ask!(self, Timestamp::default(), InventoryOperation::DeliveryCount, Number)
    }

    fn keep_deliveries(&mut self, days: Option<u32>) -> Result<()> {
        self.change_group(InventoryOperation::KeepDeliveries { days }, Timestamp::default())
    }

    fn deliveries_kept(&mut self) -> Result<DeliveriesKept> {
        ask!(self, Timestamp::default(), InventoryOperation::DeliveriesKept, DeliveriesKept)
    }

    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
        ask!(self, Timestamp::default(), InventoryOperation::Gaps { above, limit: count as u64 }, Gaps)
    }

    fn send_down(&mut self, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
        let (agent, payload) = (agent.clone(), payload.to_vec());
        ask!(self, at, DownstreamOperation::Send { agent, payload }, Number)
    }

    /// The whole audit log.
    fn audited(&mut self) -> Result<Vec<AuditRecord>> {
        let all = AuditOperation::Entries { since: Timestamp::from_unix_millis(i64::MIN), above: 0, limit: u64::MAX };
        ask!(self, Timestamp::default(), all, Audit)
    }

    fn create_token(&mut self, token: &TokenRecord) -> Result<()> {
        let (name, role, via, hash) = (token.name.clone(), token.role, token.via.clone(), token.hash);
        let valid_for_ms = token.expires.unix_millis().abs_diff(token.created.unix_millis());
        self.change_group(TokensOperation::Create { name, role, via, valid_for_ms, hash }, token.created)
    }

    fn tokens(&mut self) -> Result<Vec<TokenRecord>> {
        ask!(self, Timestamp::default(), TokensOperation::Tokens, Tokens)
    }

    fn delete_token(&mut self, name: &Name) -> Result<u64> {
        let name = name.clone();
        ask!(self, Timestamp::default(), TokensOperation::Delete { name }, Number)
    }
}

impl<S: Store + ?Sized> Asking for S {}
