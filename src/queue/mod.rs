//! The queue's log: the disk format and every decision about it, without a file in sight.
//!
//! A core: it encodes, decodes, indexes and decides; `disk/` writes, syncs and reads.
//!
//! # The disk format, version 1
//!
//! All numbers are little-endian. Checksums are CRC-32C (Castagnoli) over the bytes as stored, with the segment's id
//! (eight bytes) put before them, so that a block of another segment never passes.
//!
//! ## 1. Files
//!
//! A log is a directory of segments, `segment-<id>.log` (id: 16 hexadecimal digits, rising, never used again). A
//! segment is a preface, batches, and perhaps a footer. Nothing is ever appended to a segment that another process
//! life wrote: every opening begins a new one. Segments are unlinked oldest first, once no record in them is live.
//! Copies of damaged bytes are kept beside them as `damaged-<id>-<offset>.bin`, for people; nothing reads them.
//!
//! ## 2. Preface
//!
//! The segment header and the checkpoint, as one block, stored twice in a row (a single damaged bit then costs
//! nothing):
//!
//! ```text
//! magic "farpostQ" · version u16 · reserved u16 · length u32 (of one copy) · segment u64
//! previous segment u64 (0: none) · valid length of the previous segment u64
//! boot u64 · down cursor u64
//! source present u8 · source device u64 · inode u64 · fingerprint u64 · offset u64
//! agents u32 · per agent: agent u64 · epoch u64 · base u64 · next u64 · delivered u64 · unseen first u64
//!                         name length u8 · name
//! crc u32
//! ```
//!
//! The checkpoint is the whole state before the segment's first batch; therefore acknowledgements, registrations and
//! positions in older segments are dead as soon as a newer preface is synced. What lies in the previous segment beyond
//! the valid length stated here is void: not corrupt, not read. A segment that no newer one names as its previous is
//! void as a whole. Agent 1 is the node that owns the log; its name is the owner of the directory.
//!
//! ## 3. Records
//!
//! ```text
//! crc u32 (of all that follows) · length u32 (of the body) · kind u8 · priority u8 · reserved u16
//! sent i32 (milliseconds after the batch's time) · agent u64 · sequence u64 · body
//! ```
//!
//! | kind | record | sequence | body |
//! |---|---|---|---|
//! | 1 | BATCH | the log's next sequence after it | offset u64, durable u64, boot u64, time i64, bytes u64, records u32, reserved u32 |
//! | 2 | MESSAGE | its own | payload |
//! | 3 | ACK | delivered up to here | — |
//! | 4 | SOURCE | — | device u64, inode u64, fingerprint u64, offset u64 |
//! | 5 | DOWN | the downstream cursor | — |
//! | 6 | REKEY | — | epoch u64, base u64 |
//! | 7 | REGISTER | next sequence | epoch u64, name; `agent` is its new local id |
//! | 8 | GAP | the first missing | last u64, reason u16 |
//! | 9 | PURGE | — | the agent was deleted: its records are dead |
//! | 10 | FOOTER | — | section 6 |
//! | 11 | SEEN | — | epoch u64: the group has seen this boot under it; void under another epoch |
//!
//! Kinds 7 to 9 belong to a gateway's spool and to `drop-oldest`; a release that does not write them refuses to open a
//! log that has them, since it could not keep what they say.
//!
//! ## 4. Numbers
//!
//! Sequences in the log rise for ever. The sequence that travels is the log's minus the agent's `base`: a REKEY (rule
//! D1, rolled back) is one small record, after which the undelivered messages are 1, 2, 3, … of the new epoch.
//!
//! `unseen first` is the first sequence that was given since the last boot of which the group knows: what a channel's
//! opening states (rule D1). A SEEN record makes it 0, and the next boot makes its `next` of a 0; a boot that the group
//! did not see leaves it as it was, so that an old disk is found however often it was booted offline. A REKEY makes it
//! `base + 1`. A node writes SEEN before it sends the first message of a boot: whatever lies behind `unseen first` was
//! never sent by this disk.
//!
//! ## 5. Batches
//!
//! A BATCH and the records that it covers (`bytes`, `records`) are one positioned write and one sync, and count whole
//! or not at all: therefore the position of an input and the lines up to it can never part. `offset` is where the
//! batch begins, `durable` the length of the segment that was synced before it was written. Recovery reads a segment
//! from its preface on. A batch that does not check
//!
//! - is *corrupt* if a later batch, the footer, or a newer segment's preface claims its range as durable: its records
//!   that check are kept, the rest is set aside, counted and reported;
//! - is a *torn tail* otherwise: it and what follows is cut off. Nobody was told that it was stored.
//!
//! A failed write or sync makes the rest of its segment void; the batch is written again to a new segment.
//!
//! ## 6. Footer
//!
//! Written without a sync when a segment is sealed, after its last batch was synced; losing it costs a scan. A FOOTER
//! record (`sequence`: the valid length before it) whose body is `reserved u32 · count u32` and per index point `first u64 · last
//! u64 · count u32 · length u32 · offset u64 · bytes u64 · sent i64`; then, as the last 16 bytes of the file, the
//! record's offset u64 and the magic "farpostF".

mod batch;
mod checkpoint;
mod index;
mod quota;
mod record;
mod recovery;
mod scan;

pub(crate) use batch::{BatchPlace, BatchWriter, batch_bytes};
pub(crate) use checkpoint::{Checkpoint, Preface, PrefaceProblem, SourcePosition};
pub(crate) use index::{FOOTER_TRAILER_BYTES, Footer, Held, Index, Point};
pub(crate) use quota::{Admission, Quota};
pub(crate) use record::{message_bytes, salt_of};
pub(crate) use recovery::{Link, Missing, Recovered, Recovery, SegmentInput, damage_text, prefaces_chain};
pub(crate) use scan::{Damage, ReadMessages, Walk, read_messages};
