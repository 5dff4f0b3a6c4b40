//! A small file system on top of the stack: files in pieces all over the disk, and the requests that
//! a real file system and the memory manager send for them.
//!
//! It keeps nothing in a cache of its own but remembers what every file must hold, so that whatever
//! comes back is compared at once, and [`FileSystem::verify`] compares everything twice: as it lies
//! on the medium, and as it comes back through the stack. Where files lie and how large requests are
//! follows from a seed.
//!
//! A request for a range that lies in one piece carries the MDL of whoever asked, which for paging
//! I/O describes whole pages even where the file ends in the middle of one. A range in several
//! pieces becomes one request for each, with an MDL for that part of the buffer (as fastfat's
//! `FatMultipleAsync` does).

mod mode;
mod request;
mod space;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use mode::Mode;
use request::Work;
use space::{Extent, Space};

use super::envelope::Draft;
use super::stack::Stack;
use crate::abi::{
    IRP_MJ_FLUSH_BUFFERS, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
};
use crate::port::{Direction, Rng};

/// Clusters of the catalog: one for each file, and the first for the catalog itself.
const CATALOG: u64 = 64;
/// How the catalog is written: a page at a time, and the disk shall not keep it in its cache.
const METADATA: Mode = Mode {
    write_through: true,
    ..Mode::LAZY_WRITER.sizes(0, 4096)
};

/// A mounted volume; see [`Stack::file_system`]. Clones are the same volume, for other threads,
/// which may work on different files, or on different parts of one, at the same time.
#[derive(Clone)]
pub struct FileSystem(Arc<Volume>);

struct Volume {
    stack: Stack,
    sector: usize,
    /// Bytes of a cluster: a page, or as many sectors as there are whole in one.
    cluster: usize,
    /// What the device on top asks of a program's buffers.
    alignment: usize,
    state: Mutex<State>,
}

struct State {
    space: Space,
    rng: Rng,
    files: Vec<Option<Record>>,
    counts: FsCounts,
}

/// A file: where it lies and what it must hold.
struct Record {
    name: String,
    extents: Vec<Extent>,
    /// Up to the end of the last sector.
    contents: Vec<u8>,
    /// What failed writes may have left behind, sector by sector: nobody knows what is there.
    doubtful: Vec<bool>,
}

/// Requests that the file system has sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsCounts {
    /// READ requests.
    pub reads: u64,
    /// WRITE requests.
    pub writes: u64,
    /// Bytes of READ requests.
    pub bytes_read: u64,
    /// Bytes of WRITE requests.
    pub bytes_written: u64,
    /// Requests that failed, or moved less than they asked for.
    pub failed: u64,
    /// `IRP_MJ_FLUSH_BUFFERS`.
    pub flushes: u64,
    /// The most bytes in one request.
    pub largest: u64,
}

impl FsCounts {
    fn sent(&mut self, direction: Direction, bytes: u64) {
        let (requests, total) = match direction {
            Direction::Read => (&mut self.reads, &mut self.bytes_read),
            Direction::Write => (&mut self.writes, &mut self.bytes_written),
        };
        *requests += 1;
        *total += bytes;
        self.largest = self.largest.max(bytes);
    }
}

/// Why a file could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsError {
    /// A request failed with this status.
    Status(NTSTATUS),
    /// A request succeeded with fewer bytes, or more, than it asked for.
    Moved {
        /// `Length`.
        asked: u64,
        /// `IoStatus.Information`.
        moved: u64,
    },
    /// What came back is not what was written.
    Differs {
        /// The file's name.
        file: String,
        /// The first byte that differs.
        at: usize,
        /// It was looked at on the medium, not read through the stack.
        on_disk: bool,
    },
}

/// A file on a [`FileSystem`].
#[derive(Clone)]
pub struct File {
    fs: FileSystem,
    index: usize,
}

impl FileSystem {
    /// Formats the disk below `stack`.
    ///
    /// # Panics
    /// When the disk has no room for the catalog.
    pub(super) fn format(stack: &Stack, seed: u64) -> Self {
        let sector = stack.sector() as usize;
        let cluster = sector * (4096 / sector).max(1);
        let clusters = stack.disk().geometry().bytes() / cluster as u64;
        assert!(clusters > CATALOG, "a disk with room for the catalog");
        // SAFETY: the device at the top of the stack lives as long as the stack does.
        let alignment = unsafe { (*stack.top()).AlignmentRequirement };
        let mut space = Space::new(1, clusters, seed);
        let catalog = Record {
            name: "catalog".into(),
            extents: space.contiguous(CATALOG - 1).expect("a fresh disk"),
            contents: vec![0; (CATALOG as usize - 1) * cluster],
            // Nobody has written it yet.
            doubtful: vec![true; (CATALOG as usize - 1) * cluster / sector],
        };
        Self(Arc::new(Volume {
            stack: stack.clone(),
            sector,
            cluster,
            alignment: alignment as usize,
            state: Mutex::new(State {
                space,
                rng: Rng::new(seed ^ 0xF11E),
                files: vec![Some(catalog)],
                counts: FsCounts::default(),
            }),
        }))
    }

    /// Makes a file of so many bytes, in pieces that the seed chooses. Nothing may be said of its
    /// contents before it is written.
    ///
    /// # Errors
    /// What writing the catalog ended with.
    ///
    /// # Panics
    /// When the disk is full, or the catalog is.
    pub fn create(&self, name: &str, bytes: usize) -> Result<File, FsError> {
        self.create_with(name, bytes, Space::scattered)
    }

    /// The same in one piece.
    ///
    /// # Errors
    /// As for [`Self::create`].
    ///
    /// # Panics
    /// As for [`Self::create`].
    pub fn create_contiguous(&self, name: &str, bytes: usize) -> Result<File, FsError> {
        self.create_with(name, bytes, Space::contiguous)
    }

    fn create_with(
        &self,
        name: &str,
        bytes: usize,
        allocate: impl FnOnce(&mut Space, u64) -> Option<Vec<Extent>>,
    ) -> Result<File, FsError> {
        let (sector, cluster) = (self.0.sector, self.0.cluster);
        let clusters = bytes.div_ceil(cluster) as u64;
        let length = bytes.next_multiple_of(sector);
        let index = {
            let mut state = self.state();
            let extents = allocate(&mut state.space, clusters).expect("the disk is full");
            let record = Record {
                name: name.into(),
                extents,
                contents: vec![0; length],
                doubtful: vec![true; length / sector],
            };
            state.insert(record)
        };
        assert!(index < CATALOG as usize, "the catalog is full");
        self.note(index)?;
        let fs = self.clone();
        Ok(File { fs, index })
    }

    /// Takes a file off the disk.
    ///
    /// # Errors
    /// What writing the catalog ended with.
    pub fn delete(&self, file: &File) -> Result<(), FsError> {
        let mut state = self.state();
        if let Some(record) = state.files[file.index].take() {
            state.space.release(&record.extents);
        }
        drop(state);
        self.note(file.index)
    }

    /// Writes the catalog's entry of a file.
    fn note(&self, index: usize) -> Result<(), FsError> {
        let mut entry = self.state().files[index]
            .as_ref()
            .map_or_else(Vec::new, Record::entry);
        entry.resize(self.0.cluster, 0);
        let at = (index - 1) * self.0.cluster;
        self.write(0, at, &entry, METADATA)
    }

    /// `IRP_MJ_FLUSH_BUFFERS`: what the disk has in its cache reaches the medium. A stack that does
    /// not know it has nothing to flush (fastfat takes it so).
    ///
    /// # Errors
    /// What the stack answered.
    ///
    /// # Panics
    /// Never: a request that does not come back is a bug check of the machine.
    pub fn flush(&self) -> Result<(), FsError> {
        self.state().counts.flushes += 1;
        let stack = &self.0.stack;
        let draft = Draft::new(stack.top(), IRP_MJ_FLUSH_BUFFERS, stack.tally());
        let done = draft
            .send()
            .wait(None)
            .expect("a wait without limit ends with the request");
        match done.status {
            STATUS_INVALID_DEVICE_REQUEST | 0.. => Ok(()),
            status => Err(FsError::Status(status)),
        }
    }

    /// Compares everything, the catalog too, with what was written: on the medium itself, past the
    /// stack, and as it is read through the stack. Gives the bytes compared. What failed writes left
    /// behind is not looked at.
    ///
    /// # Errors
    /// The first difference, or the first request that failed.
    pub fn verify(&self) -> Result<u64, FsError> {
        let files = self.state().files.len();
        let mut bytes = 0;
        for index in 0..files {
            let length = match &self.state().files[index] {
                Some(record) => record.contents.len(),
                None => continue,
            };
            self.compare_medium(index)?;
            self.read(index, 0..length, Mode::READ_AHEAD)?;
            bytes += length as u64;
        }
        Ok(bytes)
    }

    /// The requests sent so far.
    pub fn counts(&self) -> FsCounts {
        self.state().counts.clone()
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> usize {
        self.0.cluster
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare_medium(&self, index: usize) -> Result<(), FsError> {
        let pieces = self
            .state()
            .record(index)
            .pieces(0..usize::MAX, self.0.cluster);
        for (range, offset) in pieces {
            let mut found = vec![0; range.len()];
            self.0.stack.disk().peek(offset, &mut found);
            self.compare(index, range.start, &found, true)?;
        }
        Ok(())
    }

    /// Compares bytes of a file from `at` on with what they must be.
    fn compare(&self, file: usize, at: usize, found: &[u8], on_disk: bool) -> Result<(), FsError> {
        let state = self.state();
        let record = state.record(file);
        let wanted = &record.contents[at..at + found.len()];
        if found == wanted {
            return Ok(());
        }
        let differs = |&place: &usize| {
            found[place] != wanted[place] && !record.doubtful[(at + place) / self.0.sector]
        };
        match (0..found.len()).find(differs) {
            None => Ok(()),
            Some(place) => Err(FsError::Differs {
                file: record.name.clone(),
                at: at + place,
                on_disk,
            }),
        }
    }

    /// Reads whole sectors of a file, and compares them.
    fn read(&self, file: usize, range: Range<usize>, mode: Mode) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; range.len()];
        self.run(&mut Work {
            direction: Direction::Read,
            file,
            mode,
            start: range.start,
            bytes: &mut bytes,
        })?;
        self.compare(file, range.start, &bytes, false)?;
        Ok(bytes)
    }

    /// Writes to a file; paging I/O by whole pages, for which what is around `bytes` is read first.
    fn write(&self, file: usize, at: usize, bytes: &[u8], mode: Mode) -> Result<(), FsError> {
        let range = self.around(file, at..at + bytes.len(), mode)?;
        let mut image = vec![0; range.len()];
        let end = at + bytes.len();
        for (place, cut) in [(at, at != range.start), (end - 1, end != range.end)] {
            if cut {
                let page = self.around(file, place..place + 1, Mode::PAGE_FAULT)?;
                let found = self.read(file, page.clone(), Mode::PAGE_FAULT)?;
                image[page.start - range.start..page.end - range.start].copy_from_slice(&found);
            }
        }
        image[at - range.start..end - range.start].copy_from_slice(bytes);
        self.run(&mut Work {
            direction: Direction::Write,
            file,
            mode,
            start: range.start,
            bytes: &mut image,
        })
    }

    /// What has to be moved for a range of a file.
    fn around(
        &self,
        file: usize,
        range: Range<usize>,
        mode: Mode,
    ) -> Result<Range<usize>, FsError> {
        let length = self.state().record(file).contents.len();
        let whole = if mode.paging {
            let start = range.start - range.start % self.0.cluster;
            start..range.end.next_multiple_of(self.0.cluster).min(length)
        } else {
            range.clone()
        };
        let sectors = whole.start % self.0.sector == 0 && whole.end % self.0.sector == 0;
        if sectors && range.start < range.end && range.end <= length {
            Ok(whole)
        } else {
            Err(FsError::Status(STATUS_INVALID_PARAMETER))
        }
    }
}

impl State {
    fn record(&self, index: usize) -> &Record {
        self.files[index]
            .as_ref()
            .expect("the file was not deleted")
    }

    fn insert(&mut self, record: Record) -> usize {
        let hole = self.files.iter().position(Option::is_none);
        let index = hole.unwrap_or(self.files.len());
        if hole.is_none() {
            self.files.push(None);
        }
        self.files[index] = Some(record);
        index
    }
}

impl Record {
    /// What the catalog says of it, as text.
    fn entry(&self) -> Vec<u8> {
        let place = |extent: &Extent| format!(" {}+{}", extent.start, extent.clusters);
        let places: String = self.extents.iter().map(place).collect();
        format!("{} {}{places}", self.name, self.contents.len()).into_bytes()
    }

    /// The parts of a range, each with the byte of the disk at which it begins.
    fn pieces(&self, range: Range<usize>, cluster: usize) -> Vec<(Range<usize>, u64)> {
        let range = range.start..range.end.min(self.contents.len());
        let mut pieces = Vec::new();
        let mut begin = 0;
        for extent in &self.extents {
            let end = begin + extent.clusters as usize * cluster;
            let part = begin.max(range.start)..end.min(range.end);
            if !part.is_empty() {
                let offset = extent.start * cluster as u64 + (part.start - begin) as u64;
                pieces.push((part, offset));
            }
            begin = end;
        }
        pieces
    }
}

impl File {
    /// Reads `length` bytes from byte `at` on and compares them with what was written last.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER` where the range is not in the file, or not whole sectors without
    /// the cache; else the request that failed, or what differs.
    pub fn read(&self, at: usize, length: usize, mode: Mode) -> Result<Vec<u8>, FsError> {
        let whole = self.fs.around(self.index, at..at + length, mode)?;
        let start = at - whole.start;
        let bytes = self.fs.read(self.index, whole, mode)?;
        Ok(bytes[start..start + length].to_vec())
    }

    /// Writes `bytes` at byte `at`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn write(&self, at: usize, bytes: &[u8], mode: Mode) -> Result<(), FsError> {
        self.fs.write(self.index, at, bytes, mode)
    }

    /// Writes the whole file, with bytes that follow from `seed`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn fill(&self, seed: u64, mode: Mode) -> Result<(), FsError> {
        let mut rng = Rng::new(seed);
        let length = self.len();
        let words = (0..length.div_ceil(8)).flat_map(|_| rng.word().to_le_bytes());
        let bytes: Vec<u8> = words.take(length).collect();
        self.write(0, &bytes, mode)
    }

    /// Bytes, up to the end of the last sector.
    pub fn len(&self) -> usize {
        self.fs.state().record(self.index).contents.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In how many pieces it lies on the disk.
    pub fn pieces(&self) -> usize {
        self.fs.state().record(self.index).extents.len()
    }

    /// The byte of the disk at which its byte `at` lies.
    ///
    /// # Panics
    /// When the file is shorter.
    pub fn place(&self, at: usize) -> u64 {
        let state = self.fs.state();
        let pieces = state
            .record(self.index)
            .pieces(at..at + 1, self.fs.0.cluster);
        pieces.first().expect("a byte of the file").1
    }
}
