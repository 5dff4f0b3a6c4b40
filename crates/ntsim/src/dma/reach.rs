//! The device's side: from a logical address to memory, as long as something is mapped there.

use super::Hal;
use super::state::{Mapping, State};
use crate::abi::PDEVICE_OBJECT;
use crate::machine::Machine;
use crate::port::Segment;

/// Why a device does not reach a logical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing is mapped there for this device.
    NotMapped(u64),
    /// What is mapped there is for the other direction.
    Direction(u64),
}

/// The memory behind `length` bytes at a logical address, for the device that `pdo` stands for.
/// `into_memory` says that the device is about to write it.
pub(crate) fn reach(
    machine: &Machine,
    pdo: usize,
    logical: u64,
    length: usize,
    into_memory: bool,
) -> Result<Vec<Segment>, Refused> {
    let hal = machine.extension::<Hal>();
    let state = hal.state();
    let mut segments = Vec::new();
    let mut done = 0;
    while done < length {
        let at = logical + done as u64;
        let left = length - done;
        let now = state.step(machine, pdo, at, left, into_memory, &mut segments)?;
        done += now;
    }
    Ok(segments)
}

/// What the device that `pdo` stands for reads at a logical address.
///
/// # Errors
/// Where and why it reaches no memory.
pub fn device_reads(pdo: PDEVICE_OBJECT, logical: u64, into: &mut [u8]) -> Result<(), Refused> {
    let memory = reach(&Machine::current(), pdo.addr(), logical, into.len(), false)?;
    let mut rest = into;
    for segment in memory {
        let (now, later) = rest.split_at_mut(segment.length);
        // SAFETY: mapped for the device, which makes the bytes its to read.
        unsafe {
            segment
                .start
                .copy_to_nonoverlapping(now.as_mut_ptr(), segment.length);
        };
        rest = later;
    }
    Ok(())
}

/// The device that `pdo` stands for writes to a logical address.
///
/// # Errors
/// Where and why it reaches no memory; nothing is written then.
pub fn device_writes(pdo: PDEVICE_OBJECT, logical: u64, bytes: &[u8]) -> Result<(), Refused> {
    let memory = reach(&Machine::current(), pdo.addr(), logical, bytes.len(), true)?;
    let mut rest = bytes;
    for segment in memory {
        let (now, later) = rest.split_at(segment.length);
        // SAFETY: mapped for the device, which makes the bytes its to write.
        unsafe {
            segment
                .start
                .copy_from_nonoverlapping(now.as_ptr(), segment.length);
        };
        rest = later;
    }
    Ok(())
}

impl State {
    /// Follows one mapping, or one common buffer, as far as it leads.
    fn step(
        &self,
        machine: &Machine,
        pdo: usize,
        logical: u64,
        length: usize,
        into_memory: bool,
        segments: &mut Vec<Segment>,
    ) -> Result<usize, Refused> {
        let own = |adapter: usize| {
            self.adapters
                .get(&adapter)
                .is_some_and(|adapter| adapter.pdo == pdo)
        };
        let mapping = self
            .grants
            .values()
            .filter(|grant| own(grant.adapter))
            .flat_map(|grant| &grant.mappings)
            .find(|mapping| mapping.contains(logical));
        if let Some(mapping) = mapping {
            if mapping.write == into_memory {
                return Err(Refused::Direction(logical));
            }
            return mapping.follow(machine, logical, length, segments);
        }
        let common = self
            .adapters
            .values()
            .filter(|adapter| adapter.pdo == pdo)
            .flat_map(|adapter| &adapter.common)
            .find_map(|buffer| buffer.at(logical, length));
        let start = common.ok_or(Refused::NotMapped(logical))?;
        segments.push(Segment { start, length });
        Ok(length)
    }
}

impl Mapping {
    const fn contains(&self, logical: u64) -> bool {
        logical >= self.logical && logical < self.logical + self.length as u64
    }

    /// Adds the memory from a logical address on, up to the mapping's end.
    fn follow(
        &self,
        machine: &Machine,
        logical: u64,
        length: usize,
        segments: &mut Vec<Segment>,
    ) -> Result<usize, Refused> {
        let mut skip = (logical - self.logical) as usize;
        let mut done = 0;
        for piece in &self.pieces {
            if skip >= piece.length {
                skip -= piece.length;
                continue;
            }
            let now = (piece.length - skip).min(length - done);
            if now == 0 {
                break;
            }
            let page = match piece.bounce {
                Some(page) => Some(page.0),
                None => machine
                    .memory
                    .with_frames(|frames| frames.page(piece.frame)),
            };
            let page = page.ok_or(Refused::NotMapped(logical))?;
            segments.push(Segment {
                start: page.wrapping_add(piece.offset + skip),
                length: now,
            });
            (skip, done) = (0, done + now);
        }
        Ok(done)
    }
}
