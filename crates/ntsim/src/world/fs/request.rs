//! How a range of a file becomes requests, and what is learned from their end.

use std::collections::VecDeque;
use std::ops::Range;

use super::{FileSystem, FsError, Mode};
use crate::abi::{SL_OVERRIDE_VERIFY_VOLUME, STATUS_VERIFY_REQUIRED};
use crate::class;
use crate::port::Direction;
use crate::world::buffer::{Buffer, Layout};
use crate::world::envelope::{Done, Mdl, THREAD_LABEL};
use crate::world::transfer::Pending;

const PAGE: usize = 4096;
/// Distance between the labels of two threads.
const THREAD: usize = 0x1000;

/// A move of data between a file and the memory of whoever asked for it.
pub(super) struct Work<'b> {
    pub(super) direction: Direction,
    pub(super) file: usize,
    pub(super) mode: Mode,
    /// The first byte in the file.
    pub(super) start: usize,
    pub(super) bytes: &'b mut [u8],
}

/// One buffer on its way, in a request for each piece of the disk that it belongs to.
struct Flight<'s> {
    /// Its part of the file.
    range: Range<usize>,
    buffer: Buffer,
    parts: Vec<(Range<usize>, Pending<'s>)>,
}

impl FileSystem {
    /// Moves the data, waits for everything that was sent for it, and gives the first error. A
    /// medium that may have been changed is looked at first, once.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), FsError> {
        match self.move_data(work) {
            Err(FsError::Status(STATUS_VERIFY_REQUIRED)) if self.verify_volume() => {
                self.move_data(work)
            }
            result => result,
        }
    }

    /// What `IoVerifyVolume` makes a file system do: it reads from the medium, past the flag that
    /// keeps everybody else out. It is always the same medium. False where nobody can be told.
    fn verify_volume(&self) -> bool {
        let stack = &self.0.stack;
        let buffer = Buffer::new(self.0.cluster, 0, Layout::Scattered);
        let read = stack.read(0, &buffer).flags(SL_OVERRIDE_VERIFY_VOLUME);
        if !stack.has_class() || !read.send().wait().succeeded() {
            return false;
        }
        // Another thread may have said so before.
        class::volume_verified(stack.machine());
        true
    }

    fn move_data(&self, work: &mut Work<'_>) -> Result<(), FsError> {
        let end = work.start + work.bytes.len();
        let mut flights = VecDeque::new();
        let mut result = Ok(());
        let mut next = work.start;
        while next < end || !flights.is_empty() {
            if next == end || flights.len() == work.mode.depth() {
                let oldest = flights.pop_front();
                result = result.and(oldest.map_or(Ok(()), |flight| self.land(work, flight)));
            } else {
                let range = next..next + self.draw(work.mode, end - next);
                next = range.end;
                flights.push_back(self.launch(work, range));
            }
        }
        result
    }

    /// The size of the next request of the `left` bytes.
    fn draw(&self, mode: Mode, left: usize) -> usize {
        let unit = if mode.paging {
            self.0.cluster
        } else {
            self.0.sector
        };
        let units = |bytes: usize| (bytes.min(left) / unit).max(1);
        let (fewest, most) = (units(mode.sizes.0), units(mode.sizes.1));
        if most * unit >= left && fewest == most {
            return left;
        }
        let more = self.state().rng.below((most - fewest.min(most) + 1) as u64) as usize;
        ((fewest + more) * unit).min(left)
    }

    /// Sends the requests for a range that is moved with one buffer.
    fn launch(&self, work: &Work<'_>, range: Range<usize>) -> Flight<'_> {
        let buffer = self.buffer(work.mode, range.len());
        if work.direction == Direction::Write {
            let data = &work.bytes[range.start - work.start..range.end - work.start];
            buffer.write(0, data);
        }
        let (pieces, single) = {
            let mut state = self.state();
            let pieces = state
                .record(work.file)
                .pieces(range.clone(), self.0.cluster);
            for (part, _) in &pieces {
                state.counts.sent(work.direction, part.len() as u64);
            }
            let single = pieces.len() == 1;
            (pieces, single)
        };
        let parts = pieces.into_iter().map(|(part, offset)| {
            let at = part.start - range.start;
            let pending = self.send(work, &buffer, at, part.len(), offset, single);
            (part, pending)
        });
        let parts = parts.collect();
        Flight {
            range,
            buffer,
            parts,
        }
    }

    /// Memory of whoever asks: whole pages for paging, and anything that the device's alignment
    /// allows for a program.
    fn buffer(&self, mode: Mode, length: usize) -> Buffer {
        let (length, offset) = if mode.paging {
            (length.next_multiple_of(PAGE), 0)
        } else {
            let offset = self.state().rng.below(PAGE as u64) as usize;
            (length, offset & !self.0.alignment)
        };
        Buffer::new(length, offset, Layout::Scattered)
    }

    fn send(
        &self,
        work: &Work<'_>,
        buffer: &Buffer,
        at: usize,
        length: usize,
        offset: u64,
        single: bool,
    ) -> Pending<'_> {
        let (stack, mode) = (&self.0.stack, work.mode);
        let mut transfer = match work.direction {
            Direction::Read => stack.read(offset, buffer),
            Direction::Write => stack.write(offset, buffer),
        };
        // The whole buffer's MDL goes with a single request, one for its part with each of several.
        let mdl = if single {
            Mdl::Length(buffer.len() as u32)
        } else {
            Mdl::One
        };
        transfer = transfer.at(at).length(length as u32).mdl(mdl);
        transfer = transfer.irp_flags(mode.irp_flags());
        if work.direction == Direction::Write {
            transfer = transfer.flags(mode.stack_flags());
        }
        if let Some(hint) = mode.priority {
            transfer = transfer.priority(hint);
        }
        if mode.paging {
            transfer.thread(THREAD_LABEL + THREAD).send()
        } else {
            let label = THREAD_LABEL + (2 + work.file) * THREAD;
            transfer.thread(label).user_mode().send()
        }
    }

    /// Waits for the requests of a buffer, and takes what they brought, or notes what they left.
    fn land(&self, work: &mut Work<'_>, flight: Flight<'_>) -> Result<(), FsError> {
        let mut result = Ok(());
        for (part, pending) in flight.parts {
            let ended = judge(&pending.wait(), part.len() as u64);
            let data = part.start - work.start..part.end - work.start;
            match work.direction {
                Direction::Read => {
                    let at = part.start - flight.range.start;
                    flight.buffer.read(at, &mut work.bytes[data]);
                }
                Direction::Write => {
                    self.remember(work.file, part.start, &work.bytes[data], ended.is_ok());
                }
            }
            if ended.is_err() {
                self.state().counts.failed += 1;
            }
            result = result.and(ended);
        }
        result
    }

    /// What a file holds now.
    fn remember(&self, file: usize, at: usize, bytes: &[u8], written: bool) {
        let sector = self.0.sector;
        let mut state = self.state();
        let record = state.files[file].as_mut();
        let record = record.expect("nobody deletes a file while it is written");
        record.contents[at..at + bytes.len()].copy_from_slice(bytes);
        record.doubtful[at / sector..(at + bytes.len()).div_ceil(sector)].fill(!written);
    }
}

/// Whether a request did what it was asked for.
fn judge(done: &Done, asked: u64) -> Result<(), FsError> {
    if !done.succeeded() {
        Err(FsError::Status(done.status))
    } else if done.information != asked {
        let moved = done.information;
        Err(FsError::Moved { asked, moved })
    } else {
        Ok(())
    }
}
