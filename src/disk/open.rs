//! Opening a log: reads what the decisions of `queue/recovery` need, and makes the result durable.

use std::io;

use crate::code::Code;
use crate::disk::files::{Disk, SegmentFile, read_part};
use crate::error::Error;
use crate::queue::{
    Checkpoint, Damage, FOOTER_TRAILER_BYTES, Footer, Link, Preface, PrefaceProblem, Recovered, Recovery, SegmentInput,
    Walk, prefaces_chain,
};

/// A log as it was found.
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// The newest segment that counts, and its valid length; (0, 0) if there is none.
    pub(crate) previous: (u64, u64),
    /// The highest id that was ever used, as far as the directory tells.
    pub(crate) highest: u64,
    /// Segments that do not count.
    pub(crate) void: Vec<u64>,
}

struct Candidate {
    id: u64,
    file: Box<dyn SegmentFile>,
    length: u64,
    /// With the place where the batches begin, and whether both copies are whole.
    preface: Option<(Preface, usize, bool)>,
    input: SegmentInput,
}

/// Finds out what a directory holds. Writes nothing but copies of damaged bytes; syncs the tail, so that what is
/// counted now cannot vanish later.
///
/// # Errors
///
/// [`Code::QueueFormat`], [`Code::FileUnreadable`].
pub(crate) fn find_log(disk: &mut dyn Disk, fresh: &Checkpoint) -> Result<Found, Error> {
    let ids = disk.list().map_err(|error| unreadable("the queue directory", &error))?;
    let mut candidates = Vec::with_capacity(ids.len());
    for id in &ids {
        candidates.push(look_at(disk, *id)?);
    }
    let inputs: Vec<SegmentInput> = candidates.iter().map(|candidate| candidate.input.clone()).collect();
    let chain = prefaces_chain(&inputs);
    let mut recovery = Recovery::default();
    candidates.retain(|candidate| {
        let counts = chain.iter().any(|link| link.id == candidate.id);
        if !counts && candidate.preface.is_none() {
            recovery.torn(candidate.length);
        }
        counts
    });
    let mut previous = (0, 0);
    for (at, link) in chain.iter().enumerate() {
        let successor = candidates.get(at + 1);
        let valid = recover_segment(disk, &mut recovery, &candidates[at], *link, successor, fresh)
            .map_err(|error| unreadable(&segment_name(link.id), &error))?;
        previous = (link.id, valid);
    }
    if let Some(tail) = candidates.last_mut() {
        tail.file.sync().map_err(|error| unreadable(&segment_name(tail.id), &error))?;
    }
    let recovered = recovery.finish().map_err(|_| {
        Error::new(Code::QueueFormat).found("records of a spool or of a newer release").expected("an agent's queue")
    })?;
    let void = ids.iter().copied().filter(|id| chain.iter().all(|link| link.id != *id)).collect();
    Ok(Found { recovered, previous, highest: ids.last().copied().unwrap_or(0), void })
}

fn look_at(disk: &mut dyn Disk, id: u64) -> Result<Candidate, Error> {
    let fail = |error: io::Error| unreadable(&segment_name(id), &error);
    let file = disk.open(id).map_err(fail)?;
    let length = file.length().map_err(fail)?;
    let head = read_part(&*file, 0, PREFACE_READ_BYTES).map_err(fail)?;
    let preface = match Preface::find(&head, id) {
        Ok(found) => Some(found),
        Err(PrefaceProblem::Unreadable) => None,
        Err(PrefaceProblem::Unknown) => {
            return Err(Error::new(Code::QueueFormat)
                .subject(segment_name(id))
                .found("another version of the disk format")
                .expected("version 1"));
        }
    };
    let whole = preface.as_ref().is_some_and(|(_, _, whole)| *whole);
    let has_batch = whole || {
        let bytes = read_part(&*file, 0, u64::MAX).map_err(fail)?;
        Walk { segment: id, bytes: &bytes, origin: 0, durable: false }.first_batch().is_some()
    };
    let input = SegmentInput { id, preface: preface.as_ref().map(|(preface, ..)| preface.clone()), has_batch };
    Ok(Candidate { id, file, length, preface, input })
}

/// Adds one segment to the recovery; answers its valid length.
fn recover_segment(
    disk: &mut dyn Disk,
    recovery: &mut Recovery,
    candidate: &Candidate,
    link: Link,
    successor: Option<&Candidate>,
    fresh: &Checkpoint,
) -> io::Result<u64> {
    let (id, length) = (candidate.id, candidate.length);
    let preface = candidate.preface.as_ref().map(|(preface, ..)| preface);
    let stated = link.valid.unwrap_or(length);
    if stated > length {
        recovery.damaged(Damage { segment: id, offset: length, length: stated - length });
    }
    let footer = read_footer(&*candidate.file, id, length)?.filter(|footer| footer.valid <= stated);
    let succeeded = successor.is_some_and(|successor| successor.preface.is_some());
    if let Some(footer) = footer.as_ref().filter(|footer| succeeded && Some(footer.valid) == link.valid) {
        if !candidate.is_whole() {
            let damaged = candidate.preface.as_ref().map_or(footer.first_batch(), |(_, start, _)| *start as u64);
            recovery.damaged(Damage { segment: id, offset: 0, length: damaged });
        }
        recovery.sealed(id, preface, footer);
        return Ok(footer.valid);
    }
    let limit = footer.as_ref().map_or(stated.min(length), |footer| footer.valid);
    let bytes = read_part(&*candidate.file, 0, limit)?;
    let durable = link.valid.is_some() || footer.is_some();
    let walk = Walk { segment: id, bytes: &bytes, origin: 0, durable };
    let start = candidate.start(walk);
    if !candidate.is_whole() && (candidate.input.has_batch || (durable && preface.is_none())) {
        recovery.damaged(Damage { segment: id, offset: 0, length: start as u64 });
    }
    let before = recovery.damage().len();
    let valid = recovery.scanned(preface, walk, start, fresh);
    set_aside(disk, &bytes, &recovery.damage()[before..]);
    Ok(valid)
}

impl Candidate {
    /// Whether both copies of the preface check. Without a batch the second copy may be the torn end of a write; the
    /// first one says all either way.
    fn is_whole(&self) -> bool {
        self.preface.as_ref().is_some_and(|(_, _, whole)| *whole)
    }

    /// Where the batches begin.
    fn start(&self, walk: Walk<'_>) -> usize {
        let end = walk.bytes.len();
        match &self.preface {
            Some((_, start, _)) => (*start).min(end),
            None => walk.first_batch().unwrap_or(end),
        }
    }
}

fn set_aside(disk: &mut dyn Disk, bytes: &[u8], damage: &[Damage]) {
    for damage in damage {
        let part = usize::try_from(damage.offset).ok().and_then(|from| {
            let to = from.checked_add(usize::try_from(damage.length).ok()?)?;
            bytes.get(from..to)
        });
        // A copy for people; that it cannot be made does not keep the queue from opening.
        let _ = disk.set_aside(damage.segment, damage.offset, part.unwrap_or_default());
    }
}

fn read_footer(file: &dyn SegmentFile, id: u64, length: u64) -> io::Result<Option<Footer>> {
    let trailer_at = length.saturating_sub(FOOTER_TRAILER_BYTES as u64);
    let trailer = read_part(file, trailer_at, FOOTER_TRAILER_BYTES as u64)?;
    let Some(place) = Footer::place(&trailer).filter(|place| *place < length) else { return Ok(None) };
    if length - place > FOOTER_BYTES_MAX {
        return Ok(None);
    }
    Ok(Footer::parse(id, place, &read_part(file, place, length - place)?))
}

pub(crate) fn segment_name(id: u64) -> String {
    format!("segment-{id:016x}")
}

fn unreadable(subject: &str, error: &io::Error) -> Error {
    Error::new(Code::FileUnreadable).subject(subject).found(error.to_string())
}

/// Both copies of an agent's preface are under 1 KiB.
const PREFACE_READ_BYTES: u64 = 8 << 10;
/// A footer of a 64 MiB segment has about a thousand points of 48 bytes.
const FOOTER_BYTES_MAX: u64 = 4 << 20;
