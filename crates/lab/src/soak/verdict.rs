//! The checks on one world's requests.

use ntsim::port::{Disk, Kind};
use xfersplit_oracle::{PAGE, Request, World, binding, breach, minimum, whole_fits};

use super::{Coverage, Scenario};
use crate::bench::Finished;
use crate::mirror::Mirror;
use crate::rng::Rng;
use crate::rules::Rules;
use crate::workload::Job;

/// Checks requests as they end and counts what was seen.
pub(super) struct Checker {
    rules: Rules,
    mirror: Mirror,
    coverage: Coverage,
}

impl Checker {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            rules: scenario.rules(),
            mirror: Mirror::new(),
            coverage: Coverage::default(),
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
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
    ) -> Result<(), String> {
        for (finished, data) in finished.iter().zip(writes) {
            let result = self.check(disk, finished, data);
            result.map_err(|reason| describe(finished, &reason, &self.rules))?;
        }
        Ok(())
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

    fn check(&mut self, disk: &Disk, finished: &Finished, data: &[u8]) -> Result<(), String> {
        let Finished {
            job, done, pieces, ..
        } = finished;
        self.coverage.requests += 1;
        self.coverage.writes += u64::from(job.write);
        self.coverage.pieces += pieces.len() as u64;
        if done.completions != 1 {
            return Err(format!("completed {} times", done.completions));
        }
        if !done.succeeded() && done.information != 0 {
            return Err(format!("failed with {} bytes", done.information));
        }
        let world = self.world(job);
        let request = self.request(finished);
        let Some(fewest) = minimum(&world, &request) else {
            return self.check_refused(finished);
        };
        self.check_alignment(finished)?;
        check_limits(&world, &request, finished)?;
        if finished.met_fault() {
            self.check_faulted(finished)?;
        } else {
            self.check_clean(&world, &request, finished, fewest)?;
        }
        self.coverage.split += u64::from(fewest > 1);
        self.check_data(disk, finished, data)
    }

    fn world(&self, job: &Job) -> World {
        let end = (job.offset + job.length) / u64::from(self.rules.sector);
        self.rules.world(job.write, job.page_offset, end)
    }

    fn request<'a>(&self, finished: &'a Finished) -> Request<'a> {
        let sector = u64::from(self.rules.sector);
        Request {
            page_offset: finished.job.page_offset,
            lba: finished.job.offset / sector,
            blocks: finished.job.length / sector,
            frames: finished.buffer.pfns(),
        }
    }

    /// No legal split: nothing may have been sent.
    fn check_refused(&mut self, finished: &Finished) -> Result<(), String> {
        self.coverage.refused += 1;
        if finished.done.succeeded() {
            return Err("succeeded, though it has no legal split".into());
        }
        match finished.pieces.len() {
            0 => Ok(()),
            sent => Err(format!("has no legal split, but {sent} pieces were sent")),
        }
    }

    /// Pieces of a request whose buffer is aligned as the adapter wants it are aligned too.
    fn check_alignment(&self, finished: &Finished) -> Result<(), String> {
        let mask = u64::from(self.rules.advertised.alignment_mask);
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

    /// Without faults: success, all bytes, and the fewest pieces, each place once.
    fn check_clean(
        &mut self,
        world: &World,
        request: &Request<'_>,
        finished: &Finished,
        fewest: u64,
    ) -> Result<(), String> {
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
        let plan = finished.plan();
        if plan.len() as u64 != fewest {
            return Err(format!(
                "{} pieces, the fewest possible are {fewest}",
                plan.len()
            ));
        }
        let mut at = request.lba;
        for &(lba, blocks) in &plan {
            if lba != at {
                return Err(format!("a piece at sector {lba}, expected at {at}"));
            }
            let start = lba - request.lba;
            self.coverage
                .note(binding(world, request, start, start + blocks));
            at += blocks;
        }
        self.coverage.judged += 1;
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
        let harmless = finished
            .pieces
            .iter()
            .all(|piece| matches!(piece.fault, None | Some(Kind::RecoveredError)));
        if harmless && !finished.struck {
            return Err("failed, though its only faults were recovered errors".into());
        }
        Ok(())
    }

    fn check_data(&mut self, disk: &Disk, finished: &Finished, data: &[u8]) -> Result<(), String> {
        let Finished { job, done, .. } = finished;
        let moved = if done.succeeded() {
            done.information as usize
        } else {
            0
        };
        self.coverage.bytes += moved as u64;
        let mut old = vec![0; job.length as usize];
        self.mirror.read(job.offset, &mut old);
        if !job.write {
            return same(&old[..moved], &finished.buffer.bytes()[..moved], "read");
        }
        let mut found = vec![0; data.len()];
        disk.peek(job.offset, &mut found);
        same(&data[..moved], &found[..moved], "on the disk")?;
        let sector = self.rules.sector as usize;
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

/// Every piece within every limit. One that was halved for want of resources may end anywhere, so a request that met
/// a fault has its pieces judged as requests of their own.
fn check_limits(world: &World, request: &Request<'_>, finished: &Finished) -> Result<(), String> {
    for (lba, blocks) in finished.plan() {
        let start = lba - request.lba;
        let broken = breach(world, request, start, start + blocks);
        let excused = finished.met_fault() && fits_alone(world, request, start, blocks);
        if let Some(breach) = broken.filter(|_| !excused) {
            return Err(format!(
                "the piece of {blocks} sectors at {start} breaks {breach:?}"
            ));
        }
    }
    Ok(())
}

fn fits_alone(world: &World, request: &Request<'_>, start: u64, blocks: u64) -> bool {
    let at = request.page_offset + start * world.sector;
    let alone = Request {
        page_offset: at % PAGE,
        lba: request.lba + start,
        blocks,
        frames: request
            .frames
            .get((at / PAGE) as usize..)
            .unwrap_or_default(),
    };
    whole_fits(world, &alone)
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
