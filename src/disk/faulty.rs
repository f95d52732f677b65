//! A disk for tests: it loses what was not synced, fails where it is told to, and shows its bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::files::{Disk, SegmentFile};

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and does nothing (a sync: nothing of what was written since the last one is on the disk, ever).
    Fails,
    /// A write that gets half way.
    Half,
    /// It, and all that follow, fail: the machine is off.
    Off,
    /// There is no space.
    NoSpace,
    /// There is none from here on.
    Full,
}

/// What survives a power loss of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    Half,
    Everything,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    synced: Vec<u8>,
    /// With what the page cache has beyond.
    seen: Vec<u8>,
    /// A failed sync: the page cache is clean, and later syncs say yes without writing.
    lost: bool,
    /// Whether the directory entry is durable.
    entered: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    segments: BTreeMap<u64, Stored>,
    /// Unlinked, but the directory was not synced.
    unlinked: BTreeMap<u64, Stored>,
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) fault: Option<(u64, Fault)>,
    off: bool,
}

impl Model {
    /// Only the process died: the next one finds what the last one wrote, synced or not.
    pub(crate) fn only_killed(&mut self) {
        self.off = false;
        self.fault = None;
    }

    fn step(&mut self) -> io::Result<Option<Fault>> {
        let at = self.operations;
        self.operations += 1;
        if self.off {
            return Err(io::Error::other("the machine is off"));
        }
        match self.fault {
            Some((place, fault)) if place == at || (fault == Fault::Full && at > place) => {
                self.off = fault == Fault::Off;
                Ok(Some(fault))
            }
            _ => Ok(None),
        }
    }
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<Model>>);

impl FaultyDisk {
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    /// A disk with these files, all durable.
    pub(crate) fn with(files: &BTreeMap<u64, Vec<u8>>) -> Self {
        let disk = Self::default();
        for (id, bytes) in files {
            let stored = Stored { synced: bytes.clone(), seen: bytes.clone(), lost: false, entered: true };
            disk.model().segments.insert(*id, stored);
        }
        disk
    }

    /// The files as a process sees them.
    pub(crate) fn files(&self) -> BTreeMap<u64, Vec<u8>> {
        self.model().segments.iter().map(|(id, stored)| (*id, stored.seen.clone())).collect()
    }

    /// The disk after a power loss.
    pub(crate) fn after_power_loss(&self, survives: Survives) -> Self {
        let model = self.model();
        let mut files = BTreeMap::new();
        for (id, stored) in &model.segments {
            if !stored.entered && survives == Survives::Nothing {
                continue;
            }
            let more = stored.seen.len().saturating_sub(stored.synced.len());
            let kept = match survives {
                _ if stored.lost => 0,
                Survives::Nothing => 0,
                Survives::Half => more / 2,
                Survives::Everything => more,
            };
            let mut bytes = stored.synced.clone();
            bytes.extend_from_slice(&stored.seen[stored.synced.len()..stored.synced.len() + kept]);
            files.insert(*id, bytes);
        }
        if survives == Survives::Nothing {
            files.extend(model.unlinked.iter().map(|(id, stored)| (*id, stored.synced.clone())));
        }
        Self::with(&files)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    id: u64,
}

fn failed(fault: Fault) -> io::Error {
    match fault {
        Fault::NoSpace | Fault::Full => io::ErrorKind::StorageFull.into(),
        Fault::Fails | Fault::Half | Fault::Off => io::Error::other(format!("{fault:?}")),
    }
}

impl Disk for FaultyDisk {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.model().segments.keys().copied().collect())
    }

    fn create(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        let mut model = self.model();
        if let Some(fault) = model.step()? {
            return Err(failed(fault));
        }
        assert!(model.segments.insert(id, Stored::default()).is_none(), "segment {id} exists");
        Ok(Box::new(FaultyFile { disk: self.clone(), id }))
    }

    fn open(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FaultyFile { disk: self.clone(), id }))
    }

    fn unlink(&mut self, id: u64) -> io::Result<()> {
        let mut model = self.model();
        if let Some(fault) = model.step()? {
            return Err(failed(fault));
        }
        if let Some(stored) = model.segments.remove(&id).filter(|stored| stored.entered) {
            model.unlinked.insert(id, stored);
        }
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut model = self.model();
        if let Some(fault) = model.step()? {
            return Err(failed(fault));
        }
        model.segments.values_mut().for_each(|stored| stored.entered = true);
        model.unlinked.clear();
        Ok(())
    }

    fn set_aside(&mut self, _segment: u64, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.model().segments[&self.id].seen.len() as u64)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut model = self.disk.model();
        let fault = model.step()?;
        let kept = match fault {
            None => bytes.len(),
            Some(Fault::Half | Fault::Off) => bytes.len() / 2,
            Some(Fault::Fails | Fault::NoSpace | Fault::Full) => 0,
        };
        let seen = &mut model.segments.get_mut(&self.id).expect("an open segment").seen;
        let start = offset as usize;
        assert_eq!(start, seen.len(), "the log writes at its end only");
        seen.extend_from_slice(&bytes[..kept]);
        fault.map_or(Ok(()), |fault| Err(failed(fault)))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let model = self.disk.model();
        let seen = &model.segments[&self.id].seen;
        let start = (offset as usize).min(seen.len());
        let size = bytes.len().min(seen.len() - start);
        bytes[..size].copy_from_slice(&seen[start..start + size]);
        Ok(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut model = self.disk.model();
        let fault = model.step()?;
        model.syncs += 1;
        let Some(stored) = model.segments.get_mut(&self.id) else { return Ok(()) };
        if let Some(fault) = fault {
            stored.lost = fault != Fault::Off;
            return Err(failed(fault));
        }
        if !stored.lost {
            stored.synced = stored.seen.clone();
        }
        Ok(())
    }
}
