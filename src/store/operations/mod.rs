//! What the store does, once for all engines: which records are read, which rule decides, what is written.

pub(super) mod approvals;
pub(super) mod assignments;
mod audit;
pub(super) mod deliveries;
pub(super) mod down;
mod inventory;
pub(super) mod keys;
mod operators;
pub(super) mod presence;
pub(super) mod sessions;
pub(super) mod tokens;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{AgentRecord, Answer, By, GatewayRecord, Operation, ServerRecord};
use crate::name::Name;
use crate::store::records::{Records, Which};

use audit::audit;

/// What an operation may need beside the records.
pub(super) struct Context<'a> {
    pub(super) group: &'a str,
    pub(super) by: &'a By,
}

/// Does what an operator asks. Whatever changes anything locks the group first, writes its entry of the audit log, and
/// moves the group's number of changes where nodes or operators follow it.
pub(super) fn perform(records: &mut dyn Records, context: &Context<'_>, operation: &Operation) -> Result<Answer> {
    operators::check_author(records, context.by, operation)?;
    match operation {
        Operation::Approvals(operation) => approvals::perform(records, context, operation),
        Operation::Assignments(operation) => assignments::perform(records, context, operation),
        Operation::Audit(operation) => audit::perform(records, operation),
        Operation::Downstream(operation) => down::perform(records, context, operation),
        Operation::Inventory(operation) => inventory::perform(records, context, operation),
        Operation::Keys(operation) => keys::perform(records, context, operation),
        Operation::Operators(operation) => operators::perform(records, context, operation),
        Operation::Tokens(operation) => tokens::perform(records, context, operation),
    }
}

fn gateway(records: &mut dyn Records, name: &Name) -> Result<Option<GatewayRecord>> {
    Ok(records.gateways(Which::Named(&[name]))?.pop())
}

fn agent(records: &mut dyn Records, name: &Name) -> Result<Option<AgentRecord>> {
    Ok(records.agents(Which::Named(&[name]))?.pop())
}

fn server<'s>(servers: &'s [ServerRecord], name: &Name) -> Option<&'s ServerRecord> {
    servers.iter().find(|server| server.name == *name)
}

fn names(servers: &[ServerRecord]) -> Vec<Name> {
    servers.iter().map(|server| server.name.clone()).collect()
}

/// The refusal of a name that is not what was expected; says what it is instead.
fn name_unknown(records: &mut dyn Records, name: &Name, expected: &str) -> Error {
    match operators::what_is(records, name) {
        Ok(what) => Error::new(Code::NameUnknown)
            .subject(name.as_str())
            .found(what.unwrap_or_else(|| "nothing of this name".to_owned()))
            .expected(expected),
        Err(error) => error,
    }
}

/// Each name once, sorted.
fn distinct<'n>(names: impl Iterator<Item = &'n Name>) -> Vec<&'n Name> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
