//! Requests whose data is compared afterwards.

use std::ops::Range;

use ntsim::port::{Direction, Disk};
use ntsim::world::{DmaStack, Transfer};
use ntsim::{Buffer, Done, Stack};

use crate::data::{noise, on_disk, opposite};
use crate::verdict::assert_success;

/// Where requests go, and the disk that they are for.
pub trait Top {
    /// The disk at the bottom.
    fn disk(&self) -> &Disk;

    /// A READ of all of `buffer`, from byte `offset` of the disk on.
    fn read(&self, offset: u64, buffer: &Buffer) -> Transfer<'_>;

    /// A WRITE of the same.
    fn write(&self, offset: u64, buffer: &Buffer) -> Transfer<'_>;
}

macro_rules! top {
    ($stack:ty) => {
        impl Top for $stack {
            fn disk(&self) -> &Disk {
                Self::disk(self)
            }

            fn read(&self, offset: u64, buffer: &Buffer) -> Transfer<'_> {
                Self::read(self, offset, buffer)
            }

            fn write(&self, offset: u64, buffer: &Buffer) -> Transfer<'_> {
                Self::write(self, offset, buffer)
            }
        }
    };
}

top!(Stack);
top!(DmaStack);

/// A READ or WRITE.
pub fn transfer<'s>(
    top: &'s impl Top,
    direction: Direction,
    offset: u64,
    buffer: &Buffer,
) -> Transfer<'s> {
    match direction {
        Direction::Read => top.read(offset, buffer),
        Direction::Write => top.write(offset, buffer),
    }
}

/// A request whose data can be checked afterwards: what it moves differs, in every bit, from what
/// was there before.
pub struct Exchange {
    direction: Direction,
    offset: u64,
    buffer: Buffer,
    expected: Vec<u8>,
}

impl Exchange {
    /// Prepares memory and disk for a request of `length` bytes, in a buffer on scattered frames.
    pub fn new(
        stack: &Stack,
        direction: Direction,
        offset: u64,
        length: usize,
        page_offset: usize,
        seed: u64,
    ) -> Self {
        let buffer = stack.buffer(length, page_offset);
        Self::in_buffer(stack, direction, offset, buffer, seed)
    }

    /// As [`Self::new`], with all of `buffer`.
    pub fn in_buffer(
        top: &impl Top,
        direction: Direction,
        offset: u64,
        buffer: Buffer,
        seed: u64,
    ) -> Self {
        let expected = noise(seed, buffer.len());
        let before = opposite(seed, buffer.len());
        match direction {
            Direction::Read => {
                top.disk().poke(offset, &expected);
                buffer.write(0, &before);
            }
            Direction::Write => {
                buffer.write(0, &expected);
                top.disk().poke(offset, &before);
            }
        }
        Self {
            direction,
            offset,
            buffer,
            expected,
        }
    }

    /// The request.
    pub fn transfer<'s>(&self, top: &'s impl Top) -> Transfer<'s> {
        transfer(top, self.direction, self.offset, &self.buffer)
    }

    /// Which way the data go.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where on the disk.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The buffer.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// How many of the bytes in `range` have moved.
    pub fn moved(&self, top: &impl Top, range: Range<usize>) -> usize {
        let arrived = self.arrived(top);
        let pairs = arrived[range.clone()].iter().zip(&self.expected[range]);
        pairs
            .filter(|(arrived, expected)| arrived == expected)
            .count()
    }

    /// How many bytes from the beginning on have moved.
    pub fn moved_from_start(&self, top: &impl Top) -> usize {
        let arrived = self.arrived(top);
        // All at once first, for Miri's sake.
        if arrived == self.expected {
            return arrived.len();
        }
        let mut pairs = arrived.iter().zip(&self.expected);
        let wrong = pairs.position(|(arrived, expected)| arrived != expected);
        wrong.unwrap_or(arrived.len())
    }

    /// Every byte is where it belongs.
    pub fn is_complete(&self, top: &impl Top) -> bool {
        self.arrived(top) == self.expected
    }

    /// Every byte in `range` has moved.
    pub fn has_moved(&self, top: &impl Top, range: Range<usize>) -> bool {
        self.arrived(top)[range.clone()] == self.expected[range]
    }

    /// No byte in `range` was touched: each is the opposite of what it was to become.
    pub fn is_as_before(&self, top: &impl Top, range: Range<usize>) -> bool {
        let arrived = self.arrived(top);
        let mut pairs = arrived[range.clone()].iter().zip(&self.expected[range]);
        pairs.all(|(&arrived, &expected)| arrived == !expected)
    }

    /// The request succeeded, and all of it moved.
    #[track_caller]
    pub fn assert_moved(&self, top: &impl Top, done: &Done) {
        assert_success(done, self.expected.len());
        assert!(self.is_complete(top), "every byte in its place");
    }

    fn arrived(&self, top: &impl Top) -> Vec<u8> {
        match self.direction {
            Direction::Read => self.buffer.bytes(),
            Direction::Write => on_disk(top.disk(), self.offset, self.expected.len()),
        }
    }
}
