//! Random operations against a model of what a queue is, with crashes between.

use super::*;
use crate::code::Code;
use crate::disk::faulty::{Fault, Survives};

/// xorshift64*: the same operations for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// Sequences are the log's; `base` of the newest epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    next: u64,
    delivered: u64,
    base: u64,
    epoch: u64,
    down_cursor: u64,
    boot: u64,
    unseen_first: u64,
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut disk = FaultyDisk::default();
    let mut log = open(&disk, 900).unwrap();
    let mut model = Model { next: 1, delivered: 0, base: 0, epoch: EPOCH.0, down_cursor: 0, boot: 1, unseen_first: 1 };
    for step in 0..120 {
        let context = format!("seed {seed}, step {step}");
        match dice.below(12) {
            0..=5 => {
                let mut work = random_work(&mut dice, &model);
                if dice.below(4) == 0 {
                    let at = disk.model().operations + dice.below(4);
                    disk.model().fault = Some((at, if dice.below(2) == 0 { Fault::Fails } else { Fault::Half }));
                }
                work.delivered = (dice.below(2) == 0).then_some(model.delivered);
                log.commit(&work).unwrap_or_else(|error| panic!("{context}: {error}"));
                take(&mut model, &work);
            }
            6 | 7 => {
                model.delivered += dice.below(model.next - model.delivered);
                log.reclaim(model.delivered);
            }
            8 | 9 => check_read(&mut log, &model, &mut dice, &context),
            choice => {
                if choice == 10 {
                    log.close(model.delivered).unwrap();
                }
                disk.model().fault = None;
                let survives = [Survives::Nothing, Survives::Half, Survives::Everything][dice.below(3) as usize];
                disk = if dice.below(2) == 0 { disk.after_power_loss(survives) } else { disk };
                log = open(&disk, 900).unwrap_or_else(|error| panic!("{context}: {error}"));
                model.boot += 1;
                if model.unseen_first == 0 {
                    model.unseen_first = model.next;
                }
                let state = log.state().clone();
                assert!(state.delivered <= model.delivered, "{context}");
                // The watermark rides along: after a crash the last one may be forgotten, never invented.
                log.reclaim(model.delivered);
                let Checkpoint { next, base, boot, unseen_first, .. } = state;
                let found = Model { next, base, boot, unseen_first, ..model.clone() };
                assert_eq!(found, model, "{context}");
                assert_eq!((state.epoch.0, state.down_cursor), (model.epoch, model.down_cursor), "{context}");
                let corrupt = log.take_events().into_iter().find(|event| event.code == Code::QueueCorrupt);
                assert_eq!(corrupt, None, "{context}");
            }
        }
        let held = log.index().held();
        assert!(held.count >= model.next - 1 - model.delivered, "{context}");
        assert_eq!(held.count == 0, model.next - 1 == model.delivered, "{context}: {held:?}");
        assert_eq!(held.bytes == 0, held.count == 0, "{context}: {held:?}");
    }
}

fn random_work(dice: &mut Dice, model: &Model) -> Work {
    let mut work = Work::default();
    let (mut next, base) = (model.next, model.base);
    for _ in 0..1 + dice.below(3) {
        let count = dice.below(5);
        // The payload tells the log's sequence, the message the one that travels.
        let mut one = call(next, count);
        one.base = base;
        one.messages.iter_mut().for_each(|message| message.sequence.0 -= base);
        next += count;
        work.calls.push(one);
    }
    if dice.below(6) == 0 {
        let epoch = Epoch(dice.below(u64::MAX));
        work.delivered = Some(model.delivered);
        work.calls.push(Call { rekey: Some((epoch, model.delivered)), source: None, ..call(1, 0) });
    }
    // Sometimes of the epoch that this very batch ends.
    work.seen = (dice.below(4) == 0).then_some(Epoch(model.epoch));
    work.down_cursor = (dice.below(4) == 0).then_some(model.down_cursor + dice.below(3));
    work
}

fn take(model: &mut Model, work: &Work) {
    for call in &work.calls {
        model.next += call.messages.len() as u64;
        if let Some((epoch, base)) = call.rekey {
            (model.epoch, model.base) = (epoch.0, base);
            model.unseen_first = base + 1;
        }
    }
    if work.seen == Some(Epoch(model.epoch)) {
        model.unseen_first = 0;
    }
    model.down_cursor = work.down_cursor.unwrap_or(model.down_cursor);
}

fn check_read(log: &mut Log, model: &Model, dice: &mut Dice, context: &str) {
    log.reclaim(model.delivered);
    let span = model.next - model.base;
    let from = 1 + dice.below(span + 1);
    let bytes_max = dice.below(200) as usize;
    let messages = log.read(Sequence(from), bytes_max);
    let begin = (from + model.base).max(model.delivered + 1);
    assert_eq!(messages.is_empty(), begin >= model.next, "{context}");
    for (log_sequence, message) in (begin..).zip(&messages) {
        assert_eq!(message.sequence.0 + model.base, log_sequence, "{context}");
        assert_eq!(message.payload, payload(log_sequence), "{context}");
        assert_eq!(message.sent, Timestamp::from_unix_millis(SENT + log_sequence as i64), "{context}");
    }
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    assert!(messages.len() <= 1 || bytes <= bytes_max, "{context}");
}

#[test]
fn d1_d2_d4_random_operations_with_faults_and_crashes_keep_the_model() {
    for seed in 1..=300 {
        run(seed);
    }
}
