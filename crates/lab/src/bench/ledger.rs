//! Every request checked: its data against the mirror, its pieces against the judge, its completion against the rules.

use ntsim::port::Disk;

use super::Finished;
use crate::layers::{Expected, Fewest, Layers, Traffic};
use crate::mirror::{Hash, Mirror};
use crate::rng::Rng;
use crate::workload::Job;

/// What the requests so far came to.
pub struct Ledger {
    layers: Layers,
    filter: bool,
    holds_data: bool,
    mirror: Mirror,
    /// Requests.
    pub requests: u64,
    /// Of them writes.
    pub writes: u64,
    /// Bytes that successful requests moved.
    pub bytes: u64,
    /// Requests that did not succeed, or not with all their bytes.
    pub failed: u64,
    /// Of them those that met an injected fault.
    pub excused: u64,
    /// Commands at the port.
    pub pieces: u64,
    /// Requests that became more than one command.
    pub split: u64,
    /// Of them in `STORAGE_REQUEST_BLOCK`s.
    pub extended: u64,
    /// Bytes of the longest command.
    pub longest: u32,
    /// What the driver sent for the requests that met no fault and succeeded: commands, or requests to the class
    /// driver below it.
    pub judged_pieces: u64,
    /// The least it could have sent for those.
    pub minimum: u64,
    /// The first thing that was wrong.
    pub complaint: Option<String>,
}

impl Ledger {
    /// An empty ledger; without the filter nobody judges the pieces.
    pub fn new(layers: Layers, filter: bool, holds_data: bool) -> Self {
        Self {
            layers,
            filter,
            holds_data,
            mirror: Mirror::new(),
            requests: 0,
            writes: 0,
            bytes: 0,
            failed: 0,
            excused: 0,
            pieces: 0,
            split: 0,
            extended: 0,
            longest: 0,
            judged_pieces: 0,
            minimum: 0,
            complaint: None,
        }
    }

    /// Hashes of everything touched: as it should be, and as the disk has it. None for a disk that holds no data.
    pub fn hashes(&self, disk: &Disk) -> Option<(Hash, Hash)> {
        self.holds_data.then(|| self.mirror.hashes(disk))
    }

    /// Whether pieces are judged.
    pub fn judges(&self) -> bool {
        self.filter
    }

    /// The layers that requests go through.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// To be called before the requests are sent.
    pub(super) fn before(&mut self, disk: &Disk, jobs: &[Job]) {
        if self.holds_data {
            for job in jobs {
                self.mirror.touch(disk, job.offset, job.length);
            }
        }
    }

    /// The data of request number `number`, if it needs any.
    pub(super) fn data(&self, number: u64, job: &Job) -> Vec<u8> {
        if !job.write || !self.holds_data {
            return Vec::new();
        }
        let mut data = vec![0; job.length as usize];
        Rng::part(number, job.offset).fill(&mut data);
        data
    }

    /// To be called when the requests have ended. `traffic` is what a class driver did meanwhile, where there is one.
    pub(super) fn after(
        &mut self,
        disk: &Disk,
        finished: &[Finished],
        writes: &[Vec<u8>],
        traffic: Option<&Traffic>,
    ) {
        let mut expected = Some(Expected::default());
        for (finished, data) in finished.iter().zip(writes) {
            self.count(finished);
            let fewest = self.layers.fewest(&finished.job, finished.buffer.pfns());
            expected = expected.and_then(|sum| sum.with(finished, &fewest));
            if let Err(complaint) = self.check(disk, finished, data, &fewest) {
                self.complain(&finished.job, &complaint);
            }
        }
        if let (Some(traffic), Some(expected)) = (traffic, expected)
            && traffic.is_plain()
        {
            self.check_layers(traffic, &expected);
        }
    }

    /// The layers against each other, where neither faults nor failures blur it.
    fn check_layers(&mut self, traffic: &Traffic, expected: &Expected) {
        if let Err(complaint) = self.layers.check(self.filter, traffic, expected) {
            self.complaint.get_or_insert(complaint);
        }
        if self.filter && !self.layers.sends_commands() {
            self.judged_pieces += traffic.requests;
            self.minimum += expected.sent;
        }
    }

    fn complain(&mut self, job: &Job, complaint: &str) {
        let direction = if job.write { "write" } else { "read" };
        let Job {
            offset,
            length,
            page_offset,
            ..
        } = *job;
        self.complaint.get_or_insert_with(|| {
            format!("{direction} of {length} bytes at {offset} (buffer offset {page_offset}): {complaint}")
        });
    }

    fn count(&mut self, finished: &Finished) {
        self.requests += 1;
        self.writes += u64::from(finished.job.write);
        self.pieces += finished.pieces.len() as u64;
        self.split += u64::from(finished.pieces.len() > 1);
        let extended = finished.pieces.iter().filter(|piece| piece.extended);
        self.extended += extended.count() as u64;
        let longest = finished.pieces.iter().map(|piece| piece.bytes).max();
        self.longest = self.longest.max(longest.unwrap_or(0));
        let done = &finished.done;
        let whole = done.information == finished.job.length || finished.met_fault();
        if done.succeeded() {
            self.bytes += done.information;
        }
        if !done.succeeded() || !whole {
            self.failed += 1;
            self.excused += u64::from(finished.met_fault());
        }
    }

    fn check(
        &mut self,
        disk: &Disk,
        finished: &Finished,
        data: &[u8],
        fewest: &Fewest,
    ) -> Result<(), String> {
        let Finished { job, done, .. } = finished;
        if done.completions != 1 {
            return Err(format!("completed {} times", done.completions));
        }
        let nothing = self.layers.reports_nothing_on_failure(fewest);
        if !done.succeeded() && done.information != 0 && nothing {
            return Err(format!("failed, but reports {} bytes", done.information));
        }
        if done.succeeded() && done.information != job.length && !finished.met_fault() {
            return Err(format!("succeeded with {} bytes", done.information));
        }
        if self.holds_data {
            self.check_data(disk, finished, data)?;
        } else if done.succeeded() && !job.write && !finished.buffer.matches_pattern(job.offset) {
            return Err("the data read is not the disk's pattern".into());
        }
        if !done.succeeded() && !finished.met_fault() {
            return Err(format!("failed with status {:#010X}", done.status));
        }
        self.check_commands(finished, fewest)
    }

    fn check_data(&mut self, disk: &Disk, finished: &Finished, data: &[u8]) -> Result<(), String> {
        let Finished { job, .. } = finished;
        let moved = self.layers.moved(finished) as usize;
        if job.write {
            return self.check_written(disk, job, data, moved);
        }
        let mut expected = vec![0; job.length as usize];
        self.mirror.read(job.offset, &mut expected);
        let found = finished.buffer.bytes();
        match first_difference(&expected[..moved], &found[..moved]) {
            Some(at) => Err(format!("byte {at} of the data read is wrong")),
            None => Ok(()),
        }
    }

    /// What was reported written must be there; of the rest each sector is the old one or the new one.
    fn check_written(
        &mut self,
        disk: &Disk,
        job: &Job,
        data: &[u8],
        moved: usize,
    ) -> Result<(), String> {
        let mut found = vec![0; data.len()];
        disk.peek(job.offset, &mut found);
        if let Some(at) = first_difference(&data[..moved], &found[..moved]) {
            return Err(format!("byte {at} of the data written is not on the disk"));
        }
        let mut old = vec![0; data.len()];
        self.mirror.read(job.offset, &mut old);
        let sector = disk.geometry().sector as usize;
        for at in (moved - moved % sector..data.len()).step_by(sector) {
            let part = at..at + sector;
            let known =
                found[part.clone()] == data[part.clone()] || found[part.clone()] == old[part];
            if !known {
                return Err(format!(
                    "the sector at byte {at} is neither the old one nor the new one"
                ));
            }
        }
        self.mirror.write(job.offset, &found);
        Ok(())
    }

    /// Every command against the limits, and their number against the judge's minimum where neither faults nor
    /// failures blur it.
    fn check_commands(&mut self, finished: &Finished, fewest: &Fewest) -> Result<(), String> {
        // Where there is no legal way a request is sent as Windows would send it: only the adapter's own word says so.
        let Some(fewest) = fewest.sent.filter(|_| self.filter) else {
            return Ok(());
        };
        self.layers.check_format(&finished.pieces)?;
        if let Some(broken) = self.layers.over_limit(finished) {
            return Err(broken);
        }
        let blurred = finished.met_fault() || !finished.done.succeeded();
        if blurred || !self.layers.sends_commands() {
            return Ok(());
        }
        let found = finished.pieces.len() as u64;
        self.judged_pieces += found;
        self.minimum += fewest;
        if found == fewest {
            Ok(())
        } else {
            Err(format!("{found} pieces, the fewest possible are {fewest}"))
        }
    }
}

/// Where two runs of bytes first differ.
fn first_difference(expected: &[u8], found: &[u8]) -> Option<usize> {
    if expected == found {
        return None;
    }
    expected.iter().zip(found).position(|(a, b)| a != b)
}
