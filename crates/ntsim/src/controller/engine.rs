//! How an operation runs: checked, started, moved, ended with an interrupt.

use std::sync::Arc;

use super::interrupt::{self, Source};
use super::{
    Completion, Controller, DIRQL, Fault, Misuse, OperationRecord, RECORDS, State, VECTOR,
};
use crate::dma::{Refused, reach};
use crate::ke;
use crate::machine::Machine;
use crate::port::{Direction, Segment};

/// An operation that runs.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(super) direction: Direction,
    pub(super) lba: u64,
    pub(super) sectors: u32,
    pub(super) segments: Vec<(u64, u32)>,
    pub(super) generation: u64,
    /// Its place among the records.
    pub(super) record: usize,
}

/// The controller as that which asserts an interrupt line.
pub(super) struct Line(pub(super) Arc<Controller>);

impl Source for Line {
    fn asserted(&self) -> bool {
        let state = self.0.state();
        state.present && state.registers.interrupt()
    }
}

impl Controller {
    /// An operation has been commanded: it ends when the options say.
    pub(super) fn start(self: &Arc<Self>, mut operation: Operation) {
        let delay = {
            let mut state = self.state();
            state.note(&mut operation);
            if state.held {
                state.registers.wait(operation);
                return;
            }
            match self.options.completion {
                Completion::Inline => 0,
                Completion::Later(delay) => delay,
                Completion::Seeded(most) => state.rng.below(most + 1),
            }
        };
        self.end_after(delay, operation);
    }

    /// Lets an operation end after `delay`.
    pub(super) fn end_after(self: &Arc<Self>, delay: u64, operation: Operation) {
        let controller = Arc::clone(self);
        ke::hardware_event(delay, DIRQL, move || controller.end(&operation));
    }

    /// Moves the data, and interrupts.
    fn end(&self, operation: &Operation) {
        if self.state().generation != operation.generation {
            return;
        }
        let (moved, fault) = match self.carry_out(operation) {
            Ok(moved) => (moved, None),
            Err((moved, fault)) => (moved, Some(fault)),
        };
        {
            let mut state = self.state();
            // Reset, or pulled out, meanwhile.
            if state.generation != operation.generation {
                return;
            }
            state.registers.end(moved, fault);
            let counts = &mut state.counts;
            counts.interrupts += 1;
            if fault.is_none() {
                counts.succeeded += 1;
            } else {
                counts.failed += 1;
            }
            if let Some(record) = state.records.get_mut(operation.record) {
                record.end = Some((moved, fault));
            }
        }
        interrupt::service(VECTOR);
    }

    /// Bytes moved, and what went wrong.
    fn carry_out(&self, operation: &Operation) -> Result<u32, (u32, Fault)> {
        let geometry = self.disk.geometry();
        self.acceptable(operation).map_err(|fault| {
            self.state().misuses.push(Misuse::Refused(fault));
            (0, fault)
        })?;
        let all = operation.sectors * geometry.sector;
        let bad = self
            .state()
            .bad_sector(operation, self.options.medium_error_one_in);
        let length = bad.map_or(all, |index| index * geometry.sector);
        let memory = self.memory(operation).map_err(|misuse| {
            self.state().misuses.push(misuse);
            (0, Fault::Address)
        })?;
        let memory = first_bytes(memory, length as usize);
        let offset = operation.lba * u64::from(geometry.sector);
        let done = match operation.direction {
            // SAFETY: the segments are mapped for this device, which makes them its to write while
            // the operation runs.
            Direction::Read => unsafe { self.disk.read_segments(offset, &memory) },
            // SAFETY: as above, to read.
            Direction::Write => unsafe { self.disk.write_segments(offset, &memory) },
        };
        match (done, bad) {
            (Ok(()), None) => Ok(length),
            (Ok(()), Some(_)) => Err((length, Fault::Medium)),
            (Err(_), _) => Err((0, Fault::Medium)),
        }
    }

    /// What the controller refuses before it looks at memory.
    fn acceptable(&self, operation: &Operation) -> Result<(), Fault> {
        let geometry = self.disk.geometry();
        let sectors = u64::from(operation.sectors);
        let bytes: u64 = operation
            .segments
            .iter()
            .map(|&(_, length)| u64::from(length))
            .sum();
        let odd = |&(address, length): &(u64, u32)| {
            length == 0 || address % 4 != 0 || !length.is_multiple_of(4)
        };
        if self
            .options
            .max_sectors
            .is_some_and(|most| operation.sectors > most)
        {
            return Err(Fault::Sectors);
        }
        if operation.segments.len() > self.options.max_segments as usize {
            return Err(Fault::Segments);
        }
        if sectors == 0
            || bytes != sectors * u64::from(geometry.sector)
            || operation.segments.iter().any(odd)
        {
            return Err(Fault::Length);
        }
        let end = operation.lba.checked_add(sectors);
        if end.is_none_or(|end| end > geometry.blocks) {
            return Err(Fault::Range);
        }
        Ok(())
    }

    /// The memory behind all segments.
    fn memory(&self, operation: &Operation) -> Result<Vec<Segment>, Misuse> {
        let machine = Machine::current();
        let pdo = self.state().pdo;
        let bits = self.options.address_bits;
        let mut memory = Vec::new();
        for &(logical, length) in &operation.segments {
            let last = logical.wrapping_add(u64::from(length) - 1);
            if last < logical || bits < 64 && last >> bits != 0 {
                return Err(Misuse::Unreachable(logical));
            }
            let into_memory = operation.direction == Direction::Read;
            let reached = reach(&machine, pdo, logical, length as usize, into_memory);
            memory.extend(reached.map_err(|refused| match refused {
                Refused::NotMapped(at) => Misuse::NotMapped(at),
                Refused::Direction(at) => Misuse::Direction(at),
            })?);
        }
        Ok(memory)
    }
}

/// The first `length` bytes of what segments describe.
fn first_bytes(segments: Vec<Segment>, length: usize) -> Vec<Segment> {
    let mut left = length;
    let mut first = Vec::with_capacity(segments.len());
    for mut segment in segments {
        segment.length = segment.length.min(left);
        left -= segment.length;
        if segment.length > 0 {
            first.push(segment);
        }
    }
    first
}

impl State {
    fn note(&mut self, operation: &mut Operation) {
        self.counts.started += 1;
        operation.record = self.records.len();
        if self.records.len() < RECORDS {
            self.records.push(OperationRecord {
                direction: operation.direction,
                lba: operation.lba,
                sectors: operation.sectors,
                segments: operation.segments.clone(),
                end: None,
            });
        }
    }

    /// The first sector of an operation that fails, counted from its first one.
    fn bad_sector(&mut self, operation: &Operation, one_in: u64) -> Option<u32> {
        let sectors = u64::from(operation.sectors);
        let range = operation.lba..operation.lba + sectors;
        if let Some((&lba, times)) = self.bad_sectors.range_mut(range).next() {
            let last = times.as_mut().is_some_and(|times| {
                *times = times.saturating_sub(1);
                *times == 0
            });
            if last {
                self.bad_sectors.remove(&lba);
            }
            return Some((lba - operation.lba) as u32);
        }
        if one_in > 0 && self.rng.below(one_in) == 0 {
            return Some(self.rng.below(sectors) as u32);
        }
        None
    }
}
