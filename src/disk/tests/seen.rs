//! Which first sequence a boot states, wherever the power fails (rule D1).

use super::*;
use crate::disk::faulty::{Fault, Survives};
use crate::queue::Preface;

const ALL: [Survives; 3] = [Survives::Nothing, Survives::Half, Survives::Everything];

fn seen() -> Work {
    Work { seen: Some(EPOCH), ..Work::default() }
}

/// What a life of the process was told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The last sequence that is durable.
    promised: u64,
    /// It was asked to keep that the group has seen the boot.
    asked: bool,
    /// That is durable.
    kept: bool,
}

/// A boot that has three messages, is seen, and sends three more.
fn script(disk: &FaultyDisk) -> Option<Told> {
    let mut log = open(disk, 700).ok()?;
    let mut told = Told { promised: log.state().next - 1, ..Told::default() };
    for step in 0..5 {
        told.asked |= step == 3;
        let result = if step == 3 { log.commit(&seen()) } else { log.commit(&work(told.promised + 1, 1)) };
        if result.is_err() {
            break;
        }
        told.kept |= step == 3;
        told.promised += u64::from(step != 3);
    }
    Some(told)
}

fn first_of(disk: &FaultyDisk) -> (u64, u64) {
    let log = open(disk, 700).unwrap();
    (log.state().unseen_first, log.state().next)
}

#[test]
fn d1_wherever_the_power_fails_the_next_boot_states_what_no_seen_boot_gave_and_all_that_an_unseen_one_did() {
    let before = || {
        let disk = FaultyDisk::default();
        script(&disk).unwrap();
        disk.after_power_loss(Survives::Nothing)
    };
    let (own, _) = first_of(&before());
    let faultless = before();
    script(&faultless).unwrap();
    let operations = faultless.model().operations;
    assert!(operations > 8);
    for fault in [Fault::Off, Fault::Fails, Fault::Half] {
        for at in 0..operations {
            let disk = before();
            disk.model().fault = Some((at, fault));
            let told = script(&disk);
            for survives in ALL {
                let context = format!("{fault:?} at {at}, {survives:?} survives, {told:?}");
                let again = disk.after_power_loss(survives);
                let told = told.unwrap_or_default();
                let (first, next) = first_of(&again);
                assert!(next > told.promised, "{context}");
                match (told.asked, told.kept) {
                    (_, true) => assert_eq!(first, next, "{context}"),
                    (false, _) => assert_eq!(first, own, "{context}"),
                    (true, false) => assert!(first == own || first == next, "{context}: {first} of {next}"),
                }
                // Whatever it is, boots that nobody sees do not change it.
                open(&again, 700).unwrap().commit(&work(next, 2)).unwrap();
                assert_eq!(first_of(&again), (first, next + 2), "{context}");
            }
        }
    }
}

#[test]
fn d1_a_lost_preface_does_not_make_an_unseen_boot_a_seen_one() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(1, 2)).unwrap();
    log.commit(&seen()).unwrap();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(3, 2)).unwrap();
    let mut files = disk.files();
    let bytes = files.get_mut(&2).unwrap();
    let preface = Preface::find(bytes, 2).unwrap().1;
    bytes[..preface].fill(0xff);
    let log = open(&FaultyDisk::with(&files), 1 << 20).unwrap();
    assert_eq!((log.state().boot, log.state().unseen_first, log.state().next), (3, 3, 5));
}

#[test]
fn d1_that_an_epoch_was_seen_says_nothing_of_the_one_that_follows() {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(1, 3)).unwrap();
    let rekey = Call { rekey: Some((Epoch(99), 2)), source: None, ..call(4, 0) };
    // Asked for before the new epoch was, and written with it.
    log.commit(&Work { calls: vec![rekey], ..seen() }).unwrap();
    let log = open(&disk, 1 << 20).unwrap();
    assert_eq!((log.state().epoch, log.state().unseen_first), (Epoch(99), 3));
    assert_eq!(log.state().sequence_of(3), Sequence(1));
}
