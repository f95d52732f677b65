//! Segments in memory: the queue of a node without a state directory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::files::{Disk, SegmentFile};

/// Segments that live as long as the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    segments: BTreeMap<u64, MemorySegment>,
}

#[derive(Clone, Debug, Default)]
struct MemorySegment(Arc<Mutex<Vec<u8>>>);

impl Disk for MemoryDisk {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.segments.keys().copied().collect())
    }

    fn create(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        let segment = MemorySegment::default();
        self.segments.insert(id, segment.clone());
        Ok(Box::new(segment))
    }

    fn open(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        match self.segments.get(&id) {
            Some(segment) => Ok(Box::new(segment.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn unlink(&mut self, id: u64) -> io::Result<()> {
        self.segments.remove(&id);
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&mut self, _segment: u64, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for MemorySegment {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?.min(content.len());
        let size = bytes.len().min(content.len() - start);
        bytes[..size].copy_from_slice(&content[start..start + size]);
        Ok(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
