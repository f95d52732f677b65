//! The store as an output: deliveries and gaps in their cursor's transaction (rule D5a).

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, By, CursorWrite, DeliveriesKept};
use crate::limits::{DELIVERY_DAYS_AHEAD, DELIVERY_KEEP_DAYS_MAX, PRUNE_BATCH};
use crate::message::{Gap, Sequence};
use crate::name::Name;
use crate::store::StoredRun;
use crate::store::operations::audit;
use crate::store::operations::sessions::Moved;
use crate::store::records::{Day, Records, StoredGap, StoredMessage};
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
        messages.extend(new.map(|message| {
            let may_be_stored = message.sequence <= moved.stored;
            StoredMessage { agent, via, epoch: *epoch, message, may_be_stored }
        }));
    }
    if !messages.is_empty() {
        records.put_deliveries(&messages, received)?;
    }
    if gaps.is_empty() { Ok(()) } else { records.put_gaps(&gaps, received) }
}

/// How long they are kept, and since when there are any.
pub(super) fn kept(records: &mut dyn Records) -> Result<DeliveriesKept> {
    let oldest = records.deliveries(0, 1)?.first().map(|delivery| delivery.received);
    Ok(DeliveriesKept { days: records.deliveries_keep_days()?, oldest })
}

/// Keeps them for so many days beside today from now on, or for ever.
pub(super) fn keep(records: &mut dyn Records, by: &By, days: Option<u32>) -> Result<Answer> {
    if days.is_some_and(|days| !(1..=DELIVERY_KEEP_DAYS_MAX).contains(&days)) {
        return Err(Error::new(Code::ArgumentInvalid)
            .subject("how long deliveries are kept")
            .found(format!("{} days", days.unwrap_or_default()))
            .expected(format!("1 to {DELIVERY_KEEP_DAYS_MAX} days, or for ever")));
    }
    records.lock_group()?;
    let before = records.deliveries_keep_days()?;
    if before == days {
        return Ok(Answer::Done);
    }
    records.put_deliveries_keep_days(days)?;
    let words = |days: Option<u32>| days.map_or("forever".to_owned(), |days| format!("{days}d"));
    audit(records, by, ("keep deliveries", ""), Some(&words(before)), Some(&words(days)))?;
    Ok(Answer::Done)
}

/// Makes places for today's deliveries and those of the days that follow, by the store's clock.
pub(in crate::store) fn prepare(records: &mut dyn Records) -> Result<()> {
    let today = Day::of(records.clock()?);
    records.prepare_delivery_days(today, today.later_by(DELIVERY_DAYS_AHEAD))
}

/// Forgets some of what was kept for as many whole days as it is to be, by the store's clock; whether there may be more.
pub(in crate::store) fn prune_some(records: &mut dyn Records) -> Result<bool> {
    let Some(days) = records.deliveries_keep_days()? else { return Ok(false) };
    let today = Day::of(records.clock()?);
    records.prune_deliveries(today.later_by(-i64::from(days)), PRUNE_BATCH)
}

/// The part of a gap that a cursor's move covers.
fn newly_covered(gap: &Gap, moved: Moved) -> Option<Gap> {
    let first = gap.first.max(Sequence(moved.from.0.saturating_add(1)));
    let last = gap.last.min(moved.to);
    (first <= last).then_some(Gap { first, last, reason: gap.reason })
}
