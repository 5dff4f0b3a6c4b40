//! Files before the requests: a small file system on top of the stack, as Windows has one there. Its data moves as
//! paging I/O of the cache manager and the memory manager, and as programs move theirs.

use ntsim::port::{Disk, PortRecord};
use ntsim::world::{File, FileSystem, FsCounts, FsError, Mode};
use serde_json::{Value, json};

use super::Exchange;
use crate::error::{Error, Result};
use crate::layers::Layers;
use crate::report::several;
use crate::rng::Rng;
use crate::size::about;

/// The most files: as many as the catalog can name.
const MOST: u64 = 63;
/// Bytes of the smallest sector: the parts of a buffer that go to different places are then aligned like the whole.
const SECTOR: u32 = 512;
/// No file is larger.
const LARGEST: u64 = 4 << 20;
/// Clusters of the smallest disk, a quarter of which is the catalog.
const SMALLEST: u64 = 256;
/// Clusters of the disk for every file; a quarter of them is the most that it takes.
const EACH: u64 = 16;

/// How files are written, in turn.
const WRITING: [Mode; 4] = [
    Mode::LAZY_WRITER,
    Mode::PAGE_WRITER,
    Mode::UNCACHED,
    Mode::WRITE_THROUGH,
];
/// How they are read, in turn.
const READING: [Mode; 3] = [Mode::PAGE_FAULT, Mode::READ_AHEAD, Mode::UNCACHED];
/// Times that a part of a file is written again.
const OVERWRITES: usize = 3;

/// Files that fit a disk.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    number: u64,
    seed: u64,
    /// Bytes of a sector.
    sector: usize,
    /// The most bytes of a file, so that all together take no more than a quarter of the disk.
    share: u64,
}

impl Files {
    /// So many files on this disk, which may be one that holds only a pattern. None if there are to be none.
    ///
    /// # Errors
    /// The disk cannot have them.
    pub fn new(number: u64, seed: u64, disk: &Disk, pattern: bool) -> Result<Option<Self>> {
        if number == 0 {
            return Ok(None);
        }
        let refuse = |why: String| Err(Error::Usage(format!("--files {number}: {why}")));
        if number > MOST {
            return refuse(format!("the file system has room for {MOST}"));
        }
        if pattern {
            return refuse(
                "a disk that holds a pattern keeps no files; --image names one that does".into(),
            );
        }
        let geometry = disk.geometry();
        if geometry.sector < SECTOR {
            return refuse(format!(
                "no file system has sectors of {} bytes, {SECTOR} are the fewest",
                geometry.sector
            ));
        }
        let (has, needs) = (
            geometry.bytes(),
            Self::needed(number, u64::from(geometry.sector)),
        );
        if has < needs {
            return refuse(format!(
                "a disk of {has} bytes is too small, it takes {needs}"
            ));
        }
        Ok(Some(Self {
            number,
            seed,
            sector: geometry.sector as usize,
            share: (has / 4 / number).min(LARGEST),
        }))
    }

    /// The smallest disk for so many files.
    fn needed(number: u64, sector: u64) -> u64 {
        let cluster = sector * (4096 / sector).max(1);
        cluster * SMALLEST.max(EACH * number)
    }

    /// Works on files and compares what they hold, then every command that the port saw meanwhile with the limits.
    pub(super) fn run(self, exchange: &Exchange<'_>, layers: &Layers, filter: bool) -> FilesResult {
        let fs = exchange.stack().file_system_seeded(self.seed);
        let compared = self
            .work(&fs, self.unit(&fs, layers))
            .map_err(|error| reason(&error));
        let seen = exchange.take_seen();
        let judged = if filter { check(layers, &seen) } else { Ok(()) };
        let complaint = compared.clone().map(drop).and(judged).err();
        FilesResult {
            files: self.number,
            counts: fs.counts(),
            commands: seen.len() as u64,
            compared: compared.unwrap_or(0),
            complaint: complaint.map(|what| format!("file system: {what}")),
        }
    }

    fn work(self, fs: &FileSystem, unit: usize) -> std::result::Result<u64, FsError> {
        let mut rng = Rng::part(self.seed, 0xF11E);
        let mut files = Vec::new();
        for number in 0..self.number as usize {
            let file = fs.create(&format!("file {number}"), self.size(number, &mut rng))?;
            file.fill(rng.next_u64(), WRITING[number % WRITING.len()])?;
            for time in 1..=OVERWRITES {
                let mode = WRITING[(number + time) % WRITING.len()];
                let (at, length) = part(&file, mode, unit, &mut rng);
                let mut bytes = vec![0; length];
                rng.fill(&mut bytes);
                file.write(at, &bytes, mode)?;
            }
            files.push(file);
        }
        for (number, file) in files.iter().enumerate() {
            file.read(0, file.len(), READING[number % READING.len()])?;
            let mode = READING[(number + 1) % READING.len()];
            let (at, length) = part(file, mode, unit, &mut rng);
            file.read(at, length, mode)?;
        }
        fs.flush()?;
        fs.verify()
    }

    /// What a program without a cache keeps to: sectors, or clusters where the adapter's alignment asks for more. The
    /// parts of its buffer that belong to different places on the disk are aligned then.
    fn unit(self, fs: &FileSystem, layers: &Layers) -> usize {
        let rules = layers.rules();
        let setting = rules.setting("AlignmentMask").unwrap_or(0);
        let mask = rules.advertised.alignment_mask.max(setting) as usize;
        if self.sector.is_multiple_of(mask + 1) {
            self.sector
        } else {
            fs.cluster()
        }
    }

    /// Bytes of a file: now as much as its share, now an eighth of it, now a sixty-fourth.
    fn size(self, number: usize, rng: &mut Rng) -> usize {
        let most = self.share >> (number % 3 * 3);
        rng.within(most / 2, most).max(1) as usize
    }
}

/// A part of a file: any bytes of it for paging I/O, whole units for a program without a cache, or all of a small one.
fn part(file: &File, mode: Mode, unit: usize, rng: &mut Rng) -> (usize, usize) {
    let unit = if mode.paging { 1 } else { unit.min(file.len()) };
    let units = (file.len() / unit) as u64;
    let start = rng.below(units);
    let length = rng.within(1, units - start);
    (start as usize * unit, length as usize * unit)
}

fn reason(error: &FsError) -> String {
    match error {
        FsError::Status(status) => format!("a request failed with status {status:#010X}"),
        FsError::Moved { asked, moved } => {
            format!("a request of {asked} bytes succeeded with {moved}")
        }
        FsError::Differs { file, at, on_disk } => {
            let place = if *on_disk {
                "on the disk"
            } else {
                "as it is read"
            };
            format!("byte {at} of '{file}' is wrong {place}")
        }
    }
}

fn check(layers: &Layers, seen: &[PortRecord]) -> std::result::Result<(), String> {
    layers.check_format(seen)?;
    let broken = seen
        .iter()
        .find_map(|record| layers.record_over_limit(record));
    broken.map_or(Ok(()), Err)
}

/// What the files came to.
#[derive(Clone, Debug)]
pub struct FilesResult {
    /// Files.
    pub files: u64,
    /// Requests of the file system.
    pub counts: FsCounts,
    /// Commands at the port for them.
    pub commands: u64,
    /// Bytes that were found right at the end, on the disk and through the stack.
    pub compared: u64,
    /// The first thing that was wrong.
    pub complaint: Option<String>,
}

impl FilesResult {
    /// For people.
    pub(super) fn line(&self) -> String {
        let FsCounts {
            reads,
            writes,
            bytes_read,
            bytes_written,
            ..
        } = self.counts;
        let verdict = match &self.complaint {
            None => "verified",
            Some(_) => "WRONG",
        };
        format!(
            "{}, {}, {}, {verdict}",
            several(self.files, "file"),
            several(reads + writes, "request"),
            about(bytes_read + bytes_written)
        )
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "files": self.files,
            "requests": self.counts.reads + self.counts.writes,
            "reads": self.counts.reads,
            "writes": self.counts.writes,
            "failed": self.counts.failed,
            "flushes": self.counts.flushes,
            "bytes": self.counts.bytes_read + self.counts.bytes_written,
            "bytes_read": self.counts.bytes_read,
            "bytes_written": self.counts.bytes_written,
            "longest_request": self.counts.largest,
            "pieces": self.commands,
            "bytes_verified": self.compared,
            "verified": self.complaint.is_none(),
        })
    }
}
