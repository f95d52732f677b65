//! What a log needs of a disk, and the disk that the operating system gives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory of segments. Narrow, so that a disk that lies can be put in its place.
pub(crate) trait Disk: Send {
    /// The ids of all segments, rising.
    fn list(&mut self) -> io::Result<Vec<u64>>;
    /// Makes a segment that must not exist; not durable before `sync_directory`.
    fn create(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>>;
    fn open(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>>;
    fn unlink(&mut self, id: u64) -> io::Result<()>;
    fn sync_directory(&mut self) -> io::Result<()>;
    /// Keeps a copy of damaged bytes where a person can look at them.
    fn set_aside(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// An open segment.
pub(crate) trait SegmentFile: Send {
    fn length(&self) -> io::Result<u64>;
    /// Writes all bytes, or fails.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `bytes`, or as much of it as the file has; answers how much.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes all that was written, and the length, survive a power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// Reads a part of a segment, or as much of it as there is.
pub(crate) fn read_part(file: &dyn SegmentFile, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let available = file.length()?.saturating_sub(offset).min(length);
    let size = usize::try_from(available).map_err(|_| io::Error::other("the segment is larger than memory"))?;
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Segments as files of a directory.
#[derive(Debug)]
pub(crate) struct FileDisk {
    directory: PathBuf,
    set_aside: usize,
}

impl FileDisk {
    /// Makes the directory, if it is not there, and closes it to others.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        make_private_directory(&directory)?;
        Ok(Self { directory, set_aside: 0 })
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("segment-{id:016x}.log"))
    }
}

impl Disk for FileDisk {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix("segment-")?.strip_suffix(".log"));
            ids.extend(id.filter(|id| id.len() == 16).and_then(|id| u64::from_str_radix(id, 16).ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn create(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(id))?;
        Ok(Box::new(FileSegment(file)))
    }

    fn open(&mut self, id: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FileSegment(OpenOptions::new().read(true).write(true).open(self.path(id))?)))
    }

    fn unlink(&mut self, id: u64) -> io::Result<()> {
        std::fs::remove_file(self.path(id))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn set_aside(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.set_aside >= SET_ASIDE_MAX {
            return Ok(());
        }
        self.set_aside += 1;
        let path = self.directory.join(format!("damaged-{segment:016x}-{offset}.bin"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all_at(bytes, 0)
    }
}

#[derive(Debug)]
struct FileSegment(File);

impl SegmentFile for FileSegment {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.0.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Makes a directory that only its owner can enter, durable in its parent; one that exists is closed to others.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            Some(_) | None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Damaged stretches that one process life keeps copies of.
const SET_ASIDE_MAX: usize = 64;
