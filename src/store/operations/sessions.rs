//! Sessions, fences and cursors (rules D1, D5, F5).

use std::collections::HashMap;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{CursorOutcome, CursorWrite, SessionAnswer, SessionRecord, SessionRequest, cursor_after, open};
use crate::message::Sequence;
use crate::name::Name;
use crate::store::operations::distinct;
use crate::store::records::{CurrentCursor, Records, Which};

/// How far a cursor moved: deliveries above `from`, up to `to`, are new.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Moved {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
    /// Up to here they may be stored already: the epoch was forgotten and came back.
    pub(super) stored: Sequence,
}

/// Opens a session per request, each as if those before it had been written.
pub(in crate::store) fn open_sessions(
    records: &mut dyn Records,
    requests: &[SessionRequest],
) -> Result<Vec<SessionAnswer>> {
    let agents = distinct(requests.iter().map(|request| &request.agent));
    records.lock_new_sessions(&agents)?;
    let mut sessions: HashMap<Name, SessionRecord> = records.sessions(&agents)?.into_iter().collect();
    let assignments: HashMap<Name, _> = records.assignments(Which::Named(&agents))?.into_iter().collect();
    let (mut answers, mut granted) = (Vec::with_capacity(requests.len()), Vec::new());
    for request in requests {
        let (mut answer, after) = open(sessions.get(&request.agent), request);
        if let Some(after) = after {
            sessions.insert(request.agent.clone(), after);
            granted.push(&request.agent);
        }
        if let SessionAnswer::Granted(grant) = &mut answer {
            grant.assignment = assignments.get(&request.agent).cloned();
        }
        answers.push(answer);
    }
    let granted = distinct(granted.into_iter());
    let granted: Vec<_> = granted.into_iter().filter_map(|agent| sessions.get_key_value(agent)).collect();
    if !granted.is_empty() {
        records.put_sessions(&granted)?;
    }
    Ok(answers)
}

/// Moves the cursors whose fence is current; `None` for each that is fenced off.
pub(in crate::store) fn move_cursors(records: &mut dyn Records, writes: &[CursorWrite]) -> Result<Vec<Option<Moved>>> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let agents = distinct(writes.iter().map(|write| &write.agent));
    records.lock_sessions(&agents)?;
    let current = records.current_cursors(&agents)?;
    let mut current: HashMap<Name, (CurrentCursor, Sequence)> =
        current.into_iter().map(|current| (current.agent.clone(), (current.clone(), current.cursor))).collect();
    let mut moves = Vec::with_capacity(writes.len());
    for write in writes {
        let moved = current.get_mut(&write.agent).and_then(|(current, _)| {
            let from = current.cursor;
            let to = cursor_after(Some((current.fence, current.epoch)), from, write)?;
            current.cursor = to;
            Some(Moved { from, to, stored: current.stored })
        });
        moves.push(moved);
    }
    let moved = agents.iter().filter_map(|agent| current.get(*agent));
    let moved: Vec<_> =
        moved.filter(|(current, before)| current.cursor > *before).map(|(current, _)| current).collect();
    if !moved.is_empty() {
        records.put_cursors(&moved)?;
    }
    Ok(moves)
}

pub(in crate::store) fn outcomes(moves: &[Option<Moved>]) -> Vec<CursorOutcome> {
    let outcome = |moved: &Option<_>| if moved.is_some() { CursorOutcome::Written } else { CursorOutcome::Fenced };
    moves.iter().map(outcome).collect()
}

/// Refuses whoever does not hold an agent's newest fence.
pub(super) fn check_fence(records: &mut dyn Records, agent: &Name, fence: u64) -> Result<()> {
    let current = records.current_cursors(&[agent])?.first().map_or(0, |current| current.fence);
    if current == fence && current > 0 {
        return Ok(());
    }
    let error = Error::new(Code::CursorFenced).subject(agent.as_str());
    Err(error.found(format!("fence {fence}")).expected(format!("fence {current}")))
}
