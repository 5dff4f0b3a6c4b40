//! The checks on one world's requests.

use ntsim::abi::SRB_STATUS_QUEUE_FROZEN;
use ntsim::port::{Disk, Kind, PortRecord};
use ntsim::world::StackKind;
use xfersplit_oracle::{binding, breach};

use super::told::Told;
use super::{Coverage, Scenario};
use crate::bench::Finished;
use crate::layers::{Expected, Fewest, Layers, Part, Traffic, alone};
use crate::mirror::Mirror;
use crate::rng::Rng;
use crate::rules::Rules;
use crate::workload::Job;

/// Checks requests as they end and counts what was seen.
pub(super) struct Checker {
    layers: Layers,
    told: Told,
    /// Settings cut at LBA boundaries, of which a class driver knows nothing.
    boundary: bool,
    mirror: Mirror,
    coverage: Coverage,
}

impl Checker {
    pub(super) fn new(scenario: &Scenario, layers: Layers, told: Told) -> Self {
        Self {
            layers,
            told,
            boundary: scenario.setting("LbaBoundary").is_some(),
            mirror: Mirror::new(),
            coverage: Coverage::default(),
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        self.layers.rules()
    }

    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Takes note of what the disk holds and makes the data of writes.
    pub(super) fn before(&mut self, disk: &Disk, jobs: &[Job], rng: &mut Rng) -> Vec<Vec<u8>> {
        let data = |job: &Job| {
            self.mirror.touch(disk, job.offset, job.length);
            let mut bytes = Vec::new();
            if job.write {
                bytes.resize(job.length as usize, 0);
                rng.fill(&mut bytes);
            }
            bytes
        };
        jobs.iter().map(data).collect()
    }

    pub(super) fn after(
        &mut self,
        disk: &Disk,
        finished: &[Finished],
        writes: &[Vec<u8>],
        traffic: Option<&Traffic>,
    ) -> Result<(), String> {
        // Page by page a class driver sends more than its arithmetic says.
        let paged = traffic.is_some_and(|traffic| traffic.low_memory > 0);
        let mut expected = Some(Expected::default());
        for (finished, data) in finished.iter().zip(writes) {
            let fewest = self.layers.fewest(&finished.job, finished.buffer.pfns());
            expected = expected.and_then(|sum| sum.with(finished, &fewest));
            self.note(finished, &fewest);
            self.check(finished, &fewest, paged)
                .and_then(|()| self.check_data(disk, finished, data))
                .map_err(|reason| describe(finished, &reason, self.layers.rules()))?;
        }
        match traffic {
            Some(traffic) => self.check_layers(traffic, expected),
            None => Ok(()),
        }
    }

    /// What the class driver got and sent, where neither faults nor scarce memory blur it.
    fn check_layers(
        &mut self,
        traffic: &Traffic,
        expected: Option<Expected>,
    ) -> Result<(), String> {
        self.coverage.class_retries += traffic.retries;
        self.coverage.class_low_memory += traffic.low_memory;
        let Some(expected) = expected.filter(|_| traffic.is_plain()) else {
            return Ok(());
        };
        self.coverage.layers += 1;
        let rules = self.layers.rules();
        let describe = |reason| {
            format!(
                "{reason}; limits {:?}, settings {:?}",
                rules.advertised, rules.settings
            )
        };
        self.layers
            .check(true, traffic, &expected)
            .map_err(describe)
    }

    /// The whole disk at the end.
    pub(super) fn close(self, disk: &Disk) -> Result<Coverage, String> {
        let (expected, found) = self.mirror.hashes(disk);
        if expected == found {
            Ok(self.coverage)
        } else {
            Err(format!("the disk at the end is {found}, not {expected}"))
        }
    }

    /// Counts a request.
    fn note(&mut self, finished: &Finished, fewest: &Fewest) {
        let kind = self.layers.kind();
        let coverage = &mut self.coverage;
        coverage.requests += 1;
        coverage.writes += u64::from(finished.job.write);
        coverage.pieces += finished.pieces.len() as u64;
        coverage.note_route(kind, self.layers.rules().extended_srb);
        match self.told {
            Told::Nothing => {}
            Told::Adapter => coverage.told[0] += 1,
            Told::Effective => coverage.told[1] += 1,
            Told::Larger => coverage.told[2] += 1,
        }
        let sent = fewest.sent.unwrap_or(0);
        coverage.split += u64::from(sent > 1);
        if kind == StackKind::Disk {
            coverage.class_split += u64::from(fewest.packets > 1);
            coverage.packets_split += u64::from(sent > fewest.packets);
        }
    }

    fn check(&mut self, finished: &Finished, fewest: &Fewest, paged: bool) -> Result<(), String> {
        let done = &finished.done;
        if done.completions != 1 {
            return Err(format!("completed {} times", done.completions));
        }
        let nothing = self.layers.reports_nothing_on_failure(fewest);
        if !done.succeeded() && done.information != 0 && nothing {
            return Err(format!("failed with {} bytes", done.information));
        }
        self.layers.check_format(&finished.pieces)?;
        let Some(sent) = fewest.sent else {
            return self.check_refused(finished, paged);
        };
        self.told.check(fewest, self.boundary)?;
        self.check_alignment(finished)?;
        if let Some(broken) = self.layers.over_limit(finished) {
            return Err(broken);
        }
        if finished.met_fault() {
            return self.check_faulted(finished);
        }
        self.check_clean(finished)?;
        if paged {
            return Ok(());
        }
        self.check_count(finished, sent)
    }

    /// No legal split: nothing may have been sent, except for the other packets of a class driver.
    fn check_refused(&mut self, finished: &Finished, paged: bool) -> Result<(), String> {
        self.coverage.refused += 1;
        if paged {
            // A page at a time may be legal where the whole packet was not.
            return Ok(());
        }
        if finished.done.succeeded() {
            return Err("succeeded, though it has no legal split".into());
        }
        let alone = self.layers.arriving(&finished.job).len() == 1;
        match finished.pieces.len() {
            sent if alone && sent > 0 => {
                Err(format!("has no legal split, but {sent} pieces were sent"))
            }
            _ => Ok(()),
        }
    }

    /// Pieces of a request whose buffer is aligned as the adapter wants it are aligned too.
    fn check_alignment(&self, finished: &Finished) -> Result<(), String> {
        let mask = u64::from(self.layers.rules().advertised.alignment_mask);
        if finished.job.page_offset & mask != 0 {
            return Ok(());
        }
        match finished
            .pieces
            .iter()
            .find(|piece| u64::from(piece.page_offset) & mask != 0)
        {
            Some(piece) => Err(format!(
                "a piece {} into its page, alignment mask {mask:#x}",
                piece.page_offset
            )),
            None => Ok(()),
        }
    }

    /// Without faults: success, all bytes, and each place once.
    fn check_clean(&self, finished: &Finished) -> Result<(), String> {
        let Finished { job, done, .. } = finished;
        if !done.succeeded() {
            return Err(format!("failed with {:#010X} without a fault", done.status));
        }
        if done.information != job.length {
            return Err(format!(
                "succeeded with {} of {} bytes",
                done.information, job.length
            ));
        }
        let sector = u64::from(self.layers.rules().sector);
        let mut at = job.offset / sector;
        for (lba, blocks) in finished.plan() {
            if lba != at {
                return Err(format!("a piece at sector {lba}, expected at {at}"));
            }
            at += blocks;
        }
        Ok(())
    }

    /// The fewest pieces, each legal where it is in what arrived at the driver. What a class driver beneath the driver
    /// makes of its requests is compared for all of them together.
    fn check_count(&mut self, finished: &Finished, fewest: u64) -> Result<(), String> {
        self.coverage.judged += 1;
        let plan = finished.plan();
        let found = plan.len() as u64;
        if !self.layers.sends_commands() {
            return if found < fewest {
                Err(format!(
                    "{found} commands of {fewest} requests to the class driver"
                ))
            } else {
                Ok(())
            };
        }
        if found != fewest {
            return Err(format!("{found} pieces, the fewest possible are {fewest}"));
        }
        let mut pieces = plan.into_iter().peekable();
        let first = finished.job.offset / u64::from(self.layers.rules().sector);
        for part in self.layers.arriving(&finished.job) {
            let end = first + part.start + part.blocks;
            while let Some((lba, blocks)) = pieces.next_if(|(lba, _)| *lba < end) {
                let start = lba - first;
                self.check_piece(finished, part, Part { start, blocks })?;
            }
        }
        Ok(())
    }

    /// One piece of a part of a request.
    fn check_piece(&mut self, finished: &Finished, part: Part, piece: Part) -> Result<(), String> {
        let Part { start, blocks } = piece;
        let world = self.layers.world(&finished.job, part);
        let whole = self.layers.request(&finished.job, finished.buffer.pfns());
        let request = alone(&world, &whole, part);
        let from = start - part.start;
        if let Some(breach) = breach(&world, &request, from, from + blocks) {
            return Err(format!(
                "the piece of {blocks} sectors at {start} breaks {breach:?}"
            ));
        }
        self.coverage
            .note(binding(&world, &request, from, from + blocks));
        Ok(())
    }

    /// With faults: a failure must have a cause, and faults that move all data excuse nothing.
    fn check_faulted(&mut self, finished: &Finished) -> Result<(), String> {
        let Finished {
            job, done, pieces, ..
        } = finished;
        if done.succeeded() {
            self.coverage.survived += 1;
            let cut_short = pieces.iter().any(|piece| piece.fault == Some(Kind::Short));
            if done.information != job.length && !cut_short {
                return Err(format!(
                    "succeeded with {} of {} bytes",
                    done.information, job.length
                ));
            }
            return Ok(());
        }
        self.coverage.failed += 1;
        let beneath = self.layers.kind() == StackKind::Disk;
        let harmless = |piece: &PortRecord| match piece.fault {
            None => true,
            // The class driver alone may let a frozen queue go on: nothing more of the packet could be sent.
            Some(Kind::RecoveredError) => !(beneath && froze(piece)),
            Some(_) => false,
        };
        let harmless = finished.pieces.iter().all(harmless);
        if harmless && !finished.struck {
            return Err("failed, though its only faults were recovered errors".into());
        }
        Ok(())
    }

    fn check_data(&mut self, disk: &Disk, finished: &Finished, data: &[u8]) -> Result<(), String> {
        let job = &finished.job;
        let moved = self.layers.moved(finished) as usize;
        self.coverage.bytes += moved as u64;
        let mut old = vec![0; job.length as usize];
        self.mirror.read(job.offset, &mut old);
        if !job.write {
            return same(&old[..moved], &finished.buffer.bytes()[..moved], "read");
        }
        let mut found = vec![0; data.len()];
        disk.peek(job.offset, &mut found);
        same(&data[..moved], &found[..moved], "on the disk")?;
        let sector = self.layers.rules().sector as usize;
        for at in (moved - moved % sector..data.len()).step_by(sector) {
            let part = at..at + sector;
            if found[part.clone()] != data[part.clone()] && found[part.clone()] != old[part] {
                return Err(format!("the sector at byte {at} is neither old nor new"));
            }
        }
        self.mirror.write(job.offset, &found);
        Ok(())
    }
}

/// Whether the port froze its queue with this command.
fn froze(piece: &PortRecord) -> bool {
    u32::from(piece.outcome.srb_status) & SRB_STATUS_QUEUE_FROZEN != 0
}

fn same(expected: &[u8], found: &[u8], place: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected
        .iter()
        .zip(found)
        .position(|(a, b)| a != b)
        .unwrap_or(0);
    Err(format!("byte {at} {place} is wrong"))
}

/// A complaint with the request it is about.
fn describe(finished: &Finished, reason: &str, rules: &Rules) -> String {
    let Job {
        write,
        offset,
        length,
        page_offset,
    } = finished.job;
    let direction = if write { "write" } else { "read" };
    let sector = u64::from(rules.sector);
    let pieces: Vec<String> = finished
        .pieces
        .iter()
        .map(|piece| {
            let fault = piece.fault.map_or("", Kind::name);
            format!(
                "{}+{} {:#x} {fault}",
                piece.lba, piece.blocks, piece.outcome.srb_status
            )
        })
        .collect();
    format!(
        "{reason}; {direction} of {} sectors of {sector} at {}, buffer offset {page_offset}, status {:#010X}, \
         limits {:?}, settings {:?}, pieces [{}]",
        length / sector,
        offset / sector,
        finished.done.status,
        rules.advertised,
        rules.settings,
        pieces.join(", ")
    )
}
