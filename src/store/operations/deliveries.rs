//! The store as an output: deliveries and gaps in their cursor's transaction (rule D5a).

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::CursorWrite;
use crate::message::{Gap, Sequence};
use crate::name::Name;
use crate::store::StoredRun;
use crate::store::operations::sessions::Moved;
use crate::store::records::{Records, StoredGap, StoredMessage};
use crate::time::Timestamp;
use crate::wire::Content;

/// Writes the runs whose cursor write was not fenced off; of each only what its cursor newly covers.
pub(in crate::store) fn store(
    records: &mut dyn Records,
    moves: &[Option<Moved>],
    writes: &[CursorWrite],
    runs: &[StoredRun],
    received: Timestamp,
) -> Result<()> {
    let mut moved_runs = Vec::with_capacity(runs.len());
    for run in runs {
        let (Some(moved), Some(write)) = (moves.get(run.write), writes.get(run.write)) else {
            return Err(Error::new(Code::Internal).found("a delivery without its cursor write"));
        };
        if (&run.agent, run.epoch) != (&write.agent, write.epoch) {
            return Err(Error::new(Code::Internal).found("a delivery under another agent's cursor write"));
        }
        if let Some(moved) = moved {
            let via = run.via.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
            moved_runs.push((run, via, *moved));
        }
    }
    let (mut messages, mut gaps) = (Vec::new(), Vec::new());
    for (StoredRun { agent, epoch, content, .. }, via, moved) in &moved_runs {
        if let Content::Gap(gap) = content {
            gaps.extend(newly_covered(gap, *moved).map(|gap| StoredGap { agent, epoch: *epoch, gap }));
            continue;
        }
        let new = content.messages().filter(|message| moved.from < message.sequence && message.sequence <= moved.to);
        messages.extend(new.map(|message| StoredMessage { agent, via, epoch: *epoch, message }));
    }
    if !messages.is_empty() {
        records.put_deliveries(&messages, received)?;
    }
    if gaps.is_empty() { Ok(()) } else { records.put_gaps(&gaps, received) }
}

/// The part of a gap that a cursor's move covers.
fn newly_covered(gap: &Gap, moved: Moved) -> Option<Gap> {
    let first = gap.first.max(Sequence(moved.from.0.saturating_add(1)));
    let last = gap.last.min(moved.to);
    (first <= last).then_some(Gap { first, last, reason: gap.reason })
}
