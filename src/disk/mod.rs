//! The queue on disk: segment files, group commit, the lock file. A shell around `queue/`.
//!
//! One thread writes: one positioned write and one sync per batch; what arrives while it syncs is the next batch. A
//! queue without a directory runs the same code over segments in memory.

mod files;
mod lock;
#[cfg(feature = "agent")]
mod log;
#[cfg(feature = "agent")]
mod memory;
#[cfg(feature = "agent")]
mod open;
#[cfg(feature = "agent")]
mod queue;
#[cfg(feature = "agent")]
mod writer;

pub(crate) use lock::StateDirectory;
#[cfg(feature = "agent")]
pub(crate) use queue::{Opened, Queue, QueueOptions, QueueSink};
#[cfg(all(feature = "agent", any(fuzzing, test)))]
pub(crate) use {files::Disk, log::Log, memory::MemoryDisk};

#[cfg(test)]
mod crash;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
