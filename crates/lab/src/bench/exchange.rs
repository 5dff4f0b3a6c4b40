//! One group of requests through the stack: sent together, waited for, and handed back with what the port saw of each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ntsim::abi::{SRB_STATUS_BUS_RESET, SRB_STATUS_REQUEST_FLUSHED};
use ntsim::port::{Disk, Port, PortRecord, read_write};
use ntsim::world::{Buffer, Done, Pending, Stack};
use sha2::{Digest as _, Sha256};

use crate::machine::PATTERN_PAGES;
use crate::mirror::Hash;
use crate::workload::Job;

/// A request that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The request.
    pub job: Job,
    /// How it ended.
    pub done: Done,
    /// Its buffer, with what a read brought.
    pub buffer: Buffer,
    /// What arrived at the port for it, in the order of completion.
    pub pieces: Vec<PortRecord>,
    /// A fault of another request in flight ended one of its pieces.
    pub struck: bool,
}

impl Finished {
    /// The pieces in the order of their places, as `(lba, blocks)`.
    pub fn plan(&self) -> Vec<(u64, u64)> {
        let mut plan: Vec<(u64, u64)> = self
            .pieces
            .iter()
            .map(|piece| (piece.lba, u64::from(piece.blocks)))
            .collect();
        plan.sort_unstable();
        plan
    }

    /// Whether an injected fault got in its way: one of its own pieces', or that of a neighbour for which the port
    /// ended everything that waited.
    pub fn met_fault(&self) -> bool {
        self.struck || self.pieces.iter().any(|piece| piece.fault.is_some())
    }
}

/// Whether the port ended the piece on account of another.
fn ended_with_others(piece: &PortRecord) -> bool {
    let status = u32::from(piece.outcome.srb_status) & SRB_STATUS_MASK;
    piece.fault.is_none()
        && (status == SRB_STATUS_REQUEST_FLUSHED || status == SRB_STATUS_BUS_RESET)
}

/// `SRB_STATUS(SrbStatus)`: without the flags.
const SRB_STATUS_MASK: u32 = 0x3F;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters a command into the hash: all of it but addresses, with times from the first request on.
fn note(hash: &mut Sha256, record: &PortRecord, started: u64) {
    let outcome = &record.outcome;
    hash.update(record.cdb);
    for word in [
        u64::from(record.bytes),
        u64::from(record.srb_flags),
        u64::from(record.irp_flags),
        u64::from(record.stack_flags),
        u64::from(record.page_offset),
        u64::from(record.span_pages),
        u64::from(outcome.status.cast_unsigned()),
        u64::from(outcome.srb_status),
        u64::from(outcome.scsi_status),
        u64::from(outcome.moved),
        record.submitted_at - started,
        record.completed_at - started,
    ] {
        hash.update(word.to_le_bytes());
    }
}

/// A stack with a recorder at its port.
pub struct Exchange<'a> {
    stack: &'a Stack,
    seen: Arc<Mutex<Vec<PortRecord>>>,
    trace: Arc<Mutex<Sha256>>,
    sector: u64,
    holds_data: bool,
    /// Virtual time at the start, in 100 ns.
    started: u64,
}

impl<'a> Exchange<'a> {
    /// Puts a recorder at the stack's port.
    pub fn new(stack: &'a Stack, holds_data: bool) -> Self {
        let seen: Arc<Mutex<Vec<PortRecord>>> = Arc::default();
        let trace: Arc<Mutex<Sha256>> = Arc::default();
        let started = stack.machine().now();
        let (sink, hash) = (Arc::clone(&seen), Arc::clone(&trace));
        stack.port().keep_records(0);
        stack.port().observe(Some(Box::new(move |record| {
            // What the port ended before it looked at the command has nothing but its command block.
            if let Some(transfer) = read_write(record.command()) {
                let mut record = record.clone();
                (record.lba, record.blocks) = (transfer.lba, transfer.blocks);
                note(&mut lock(&hash), &record, started);
                lock(&sink).push(record);
            }
        })));
        let sector = u64::from(stack.port().disk().geometry().sector);
        Self {
            stack,
            seen,
            trace,
            sector,
            holds_data,
            started,
        }
    }

    /// The port.
    pub fn port(&self) -> &Arc<Port> {
        self.stack.port()
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Disk> {
        self.stack.port().disk()
    }

    /// The stack.
    pub fn stack(&self) -> &'a Stack {
        self.stack
    }

    /// What the port has seen since the last requests that were sent here.
    pub(super) fn take_seen(&self) -> Vec<PortRecord> {
        std::mem::take(&mut *lock(&self.seen))
    }

    /// Virtual time since the recorder was put there, in 100 ns.
    pub fn elapsed(&self) -> u64 {
        self.stack.machine().now() - self.started
    }

    /// A hash over all reads and writes that the port has seen: the same for two runs that were the same to it.
    pub fn trace(&self) -> Hash {
        Hash::from(lock(&self.trace).clone())
    }

    /// Sends all requests, waits for all. `writes` has the data of each write, and something for each read.
    pub fn run(&self, jobs: &[Job], writes: &[Vec<u8>]) -> Vec<Finished> {
        let buffers: Vec<Buffer> = jobs
            .iter()
            .zip(writes)
            .map(|(job, data)| self.buffer(job, data))
            .collect();
        self.run_with(jobs, buffers)
    }

    /// The same with the caller's buffers.
    pub fn run_with(&self, jobs: &[Job], buffers: Vec<Buffer>) -> Vec<Finished> {
        let pending: Vec<_> = jobs
            .iter()
            .zip(&buffers)
            .map(|(job, buffer)| {
                let transfer = if job.write {
                    self.stack.write(job.offset, buffer)
                } else {
                    self.stack.read(job.offset, buffer)
                };
                transfer.send()
            })
            .collect();
        let done: Vec<Done> = pending.into_iter().map(Pending::wait).collect();
        let mut seen = self.take_seen();
        let weather = seen.iter().any(|record| record.fault.is_some());
        jobs.iter()
            .zip(buffers)
            .zip(done)
            .map(|((job, buffer), done)| {
                let mine = |record: &PortRecord| {
                    let start = record.lba * self.sector;
                    start >= job.offset && start < job.offset + job.length
                };
                let (pieces, others): (Vec<_>, Vec<_>) = seen.drain(..).partition(mine);
                seen = others;
                let struck = weather && pieces.iter().any(ended_with_others);
                Finished {
                    job: *job,
                    done,
                    buffer,
                    pieces,
                    struck,
                }
            })
            .collect()
    }

    fn buffer(&self, job: &Job, data: &[u8]) -> Buffer {
        let (length, offset) = (job.length as usize, job.page_offset as usize);
        if !self.holds_data {
            let buffer = self.stack.buffer_pattern(length, offset, PATTERN_PAGES);
            if job.write {
                buffer.fill_pattern(job.offset);
            }
            return buffer;
        }
        let buffer = self.stack.buffer(length, offset);
        if job.write {
            buffer.write(0, data);
        } else {
            // What a read must overwrite.
            buffer.fill(0xE5);
        }
        buffer
    }
}
