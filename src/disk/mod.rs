//! The queue on disk: segment files, group commit, the lock file. A shell around `queue/`.
//!
//! One thread writes: one positioned write and one sync per batch; what arrives while it syncs is the next batch. A
//! queue without a directory runs the same code over segments in memory.

mod files;
mod lock;
mod log;
mod memory;
mod open;
mod queue;
mod writer;

pub(crate) use files::make_private_directory;
pub(crate) use lock::StateDirectory;
pub(crate) use queue::{Opened, Queue, QueueOptions, QueueSink};

#[cfg(test)]
mod crash;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
