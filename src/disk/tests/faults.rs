//! Every truncation, every flipped bit, every failing operation.

use std::collections::BTreeMap;

use super::*;
use crate::code::Code;
use crate::disk::faulty::{Fault, Survives};
use crate::queue::Preface;

/// A log of five batches in one segment; answers the file and where each batch ends.
fn small_log() -> (FaultyDisk, Vec<(usize, u64)>) {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 1 << 20).unwrap();
    let mut ends = vec![(disk.files()[&1].len(), 0)];
    let mut next = 1;
    for count in [1, 3, 2, 4, 2] {
        log.commit(&work(next, count)).unwrap();
        next += count;
        ends.push((disk.files()[&1].len(), next - 1));
    }
    (disk, ends)
}

#[test]
fn every_truncation_recovers_exactly_the_whole_batches() {
    let (disk, ends) = small_log();
    let whole = disk.files().remove(&1).unwrap();
    for cut in 0..=whole.len() {
        let disk = FaultyDisk::with(&BTreeMap::from([(1, whole[..cut].to_vec())]));
        let mut log = open(&disk, 1 << 20).unwrap();
        let last = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, last)| *last);
        assert_eq!(held(&mut log), (1..=last).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(log.state().next, last + 1);
        assert_eq!(
            log.state().source,
            (last > 0).then(|| position(last)),
            "the position parts from its lines at {cut}"
        );
        let events = log.take_events();
        assert!(
            events.iter().all(|event| event.code != Code::QueueCorrupt),
            "a torn tail is no corruption: {events:?}"
        );
        // The second copy of the preface may be missing: the first says all.
        let whole = ends.iter().any(|(end, _)| *end == cut) || (ends[0].0 / 2..ends[0].0).contains(&cut) || cut == 0;
        assert_eq!(events.iter().any(|event| event.code == Code::QueueTorn), !whole, "cut at {cut}: {events:?}");
    }
}

#[test]
fn no_flipped_bit_changes_a_message_or_goes_unnoticed() {
    let (disk, ends) = small_log();
    let whole = disk.files().remove(&1).unwrap();
    let last_batch = ends[ends.len() - 2];
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut log = open(&FaultyDisk::with(&BTreeMap::from([(1, bytes)])), 1 << 20).unwrap();
        let found = held(&mut log);
        if bit / 8 >= last_batch.0 {
            // Nothing claims the last batch of a log that was not closed: it may be a torn write.
            assert_eq!(found, (1..=last_batch.1).collect::<Vec<_>>(), "bit {bit}");
            assert_eq!(log.state().source, Some(position(last_batch.1)));
        } else {
            assert!(found.len() >= 11, "bit {bit} cost more than one message: {found:?}");
            assert_eq!(log.state().next, 13, "bit {bit}");
            assert_eq!(log.state().source, Some(position(12)));
        }
        assert!(found.is_sorted());
        assert_eq!((log.state().boot, log.state().epoch), (2, EPOCH));
        let noticed = |code| matches!(code, Code::QueueCorrupt | Code::QueueTorn);
        assert!(log.take_events().iter().any(|event| noticed(event.code)), "bit {bit} was not noticed");
    }
}

#[test]
fn a_flipped_bit_in_a_closed_log_costs_one_message_at_most() {
    let (disk, _) = small_log();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(13, 2)).unwrap();
    log.close(0).unwrap();
    let files = disk.files();
    for (id, whole) in &files {
        for bit in (0..whole.len() * 8).step_by(3) {
            let mut bytes = files.clone();
            bytes.get_mut(id).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let mut log = open(&FaultyDisk::with(&bytes), 1 << 20).unwrap();
            let found = held(&mut log);
            // Without its footer, damaged too, the tail's last batch is a torn write again.
            let tail = *id == 2;
            assert!(found.len() >= if tail { 12 } else { 13 }, "segment {id}, bit {bit}: {found:?}");
        }
    }
}

/// Batches with small segments, acknowledgements and reclaiming; answers what was promised durable and delivered.
fn script(log: &mut Log) -> (u64, u64) {
    let (mut promised, mut delivered) = (log.state().next - 1, log.state().delivered);
    for round in 0..6 {
        let count = 1 + round % 3;
        let mut work = work(promised + 1, count);
        if round % 2 == 1 {
            work.delivered = Some(promised.saturating_sub(2));
        }
        // A watermark of a batch that failed was true all the same.
        delivered = work.delivered.unwrap_or(delivered);
        if log.commit(&work).is_err() {
            break;
        }
        promised += count;
        log.reclaim(delivered);
    }
    (promised, delivered)
}

fn check_after(disk: &FaultyDisk, promised: u64, delivered: u64, context: &str) -> u64 {
    let mut log = open(disk, 700).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = held(&mut log);
    let next = log.state().next;
    assert!(next > promised, "{context}: sequence {next} would be used twice");
    let from = found.first().copied().unwrap_or(next);
    assert!(from <= delivered + 1, "{context}: {found:?} lacks what was promised after {delivered}");
    assert_eq!(found, (from..next).collect::<Vec<_>>(), "{context}");
    if next > 1 {
        assert_eq!(log.state().source, Some(position(next - 1)), "{context}");
    }
    let events = log.take_events();
    assert!(events.iter().all(|event| event.code != Code::QueueCorrupt), "{context}: {events:?}");
    next
}

#[test]
fn d4_no_failing_operation_loses_or_repeats_what_was_promised() {
    let faultless = FaultyDisk::default();
    script(&mut open(&faultless, 700).unwrap());
    let operations = faultless.model().operations;
    assert!(operations > 20);
    for fault in [Fault::Fails, Fault::Half, Fault::NoSpace] {
        for at in 0..operations {
            let disk = FaultyDisk::default();
            disk.model().fault = Some((at, fault));
            let Ok(mut log) = open(&disk, 700) else { continue };
            let (promised, delivered) = script(&mut log);
            if fault != Fault::NoSpace {
                assert_eq!(promised, 12, "one failing operation stops nothing");
            }
            for survives in [Survives::Nothing, Survives::Half, Survives::Everything] {
                let context = format!("{fault:?} at {at}, {survives:?} survives");
                check_after(&disk.after_power_loss(survives), promised, delivered, &context);
            }
            check_after(&disk, promised, delivered, &format!("{fault:?} at {at}, killed"));
        }
    }
}

#[test]
fn d4_a_power_loss_at_every_operation_keeps_what_was_promised_twice_over() {
    let all = [Survives::Nothing, Survives::Half, Survives::Everything];
    for at in 0..40 {
        let disk = FaultyDisk::default();
        disk.model().fault = Some((at, Fault::Off));
        let (promised, delivered) = open(&disk, 700).map_or((0, 0), |mut log| script(&mut log));
        for (first, second) in all.iter().flat_map(|first| all.iter().map(move |second| (*first, *second))) {
            let context = format!("off at {at}, {first:?}, then {second:?}");
            let again = disk.after_power_loss(first);
            let mut log = open(&again, 700).unwrap();
            assert!(log.state().boot > 0);
            let more = script(&mut log);
            let next =
                check_after(&again.after_power_loss(second), promised.max(more.0), more.1.max(delivered), &context);
            // What a recovery counted can never vanish at the next one.
            assert!(next >= log.state().next, "{context}");
        }
        // The same after a kill that left unsynced writes in the page cache: a recovery that counts them syncs them.
        disk.model().only_killed();
        let next = open(&disk, 700).unwrap().state().next;
        let context = format!("killed at {at}, then off");
        assert!(
            check_after(&disk.after_power_loss(Survives::Nothing), promised, delivered, &context) >= next,
            "{context}"
        );
    }
}

#[test]
fn a_failed_batch_that_reached_the_disk_after_all_is_void() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(1, 2)).unwrap();
    let operations = disk.model().operations;
    disk.model().fault = Some((operations + 1, Fault::Fails));
    log.commit(&work(3, 2)).unwrap();
    assert_eq!(disk.files().len(), 2, "the batch was written again, to a new segment");
    assert_eq!(log.take_events().iter().filter(|event| event.code == Code::QueueSyncFailed).count(), 1);
    // The page cache still shows the failed batch in the old segment.
    check_after(&disk, 4, 0, "both copies are there");
}

#[test]
fn a_lost_segment_in_the_middle_is_counted_and_the_rest_is_delivered() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 300).unwrap();
    for first in [1, 3, 5, 7] {
        log.commit(&work(first, 2)).unwrap();
    }
    let mut files = disk.files();
    assert_eq!(files.len(), 4, "one batch per segment");
    files.remove(&2);
    let mut log = open(&FaultyDisk::with(&files), 300).unwrap();
    assert_eq!(held(&mut log), [1, 2, 5, 6, 7, 8]);
    assert_eq!(log.state().next, 9);
    let events = log.take_events();
    assert!(events.iter().any(|event| event.code == Code::QueueCorrupt && event.text.contains("3-4")), "{events:?}");
}

#[test]
fn d6_damage_met_while_reading_is_counted_once_and_the_rest_is_delivered() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 300).unwrap();
    for first in [1, 4, 7] {
        log.commit(&work(first, 3)).unwrap();
    }
    let mut files = disk.files();
    let bytes = files.get_mut(&2).unwrap();
    let at = bytes.windows(9).position(|window| window == b"message 5").unwrap();
    bytes[at] ^= 0x10;
    let mut log = open(&FaultyDisk::with(&files), 300).unwrap();
    assert_eq!(log.index().held().count, 9);
    assert_eq!(log.take_events().len(), 1, "a sealed segment is not read at opening");
    assert_eq!(held(&mut log), [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!(held(&mut log), [1, 2, 3, 4, 6, 7, 8, 9]);
    let events = log.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].code == Code::QueueCorrupt && events[0].text.starts_with("1 messages lost 5-5"), "{events:?}");
    assert_eq!(log.index().held().count, 8);
}

#[test]
fn a_log_whose_only_checkpoint_is_gone_keeps_its_messages_under_a_new_epoch() {
    let (disk, _) = small_log();
    let mut files = disk.files();
    let bytes = files.get_mut(&1).unwrap();
    bytes[..300].fill(0xff);
    let mut log = open(&FaultyDisk::with(&files), 1 << 20).unwrap();
    assert_eq!(held(&mut log), (1..=12).collect::<Vec<_>>());
    assert_eq!(log.state().boot, 2, "the batches say which boot wrote them");
    assert!(log.take_events().iter().any(|event| event.code == Code::QueueCorrupt));
}

#[test]
fn a_lost_preface_costs_no_message_wherever_it_was() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 300).unwrap();
    for first in [1, 3, 5] {
        log.commit(&work(first, 2)).unwrap();
    }
    let files = disk.files();
    for id in 1..=3 {
        let mut damaged = files.clone();
        let bytes = damaged.get_mut(&id).unwrap();
        let preface = Preface::find(bytes, id).unwrap().1;
        bytes[..preface].fill(0xff);
        let mut log = open(&FaultyDisk::with(&damaged), 300).unwrap();
        assert_eq!(held(&mut log), [1, 2, 3, 4, 5, 6], "the preface of segment {id}");
        assert_eq!((log.state().next, log.state().boot), (7, 2));
        assert!(log.take_events().iter().any(|event| event.code == Code::QueueCorrupt));
    }
}

#[test]
fn a_newer_format_is_refused_before_anything_is_changed() {
    let (disk, ends) = small_log();
    let mut files = disk.files();
    let bytes = files.get_mut(&1).unwrap();
    bytes[8] = 2;
    let half = ends[0].0 / 2;
    bytes[half + 8] = 2;
    let disk = FaultyDisk::with(&files);
    let error = open(&disk, 1 << 20).err().unwrap();
    assert_eq!(error.code(), Code::QueueFormat);
    assert_eq!(disk.files(), files);
}
