//! What the scenarios share: the driver, the world around it, and data that can be told apart.
//!
//! A scenario sees what a neighbour of the driver sees: what it sends and gets back at the top, what
//! the controller was told to do at the bottom, what the HAL gave and got back, what lies on the disk.
#![allow(
    dead_code,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

use ntsim::abi::STATUS_PENDING;
use ntsim::pnp::Driver;
use ntsim::port::Direction;
use ntsim::world::{DmaReport, DmaStack, DmaWorld, Transfer};
use ntsim::{Buffer, Done};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of a sector.
pub(crate) const SECTOR: usize = 512;

/// The driver under test: the one place that names it.
pub(crate) fn driver() -> Driver {
    Driver::linked("monolithic", monolithic::driver_entry)
}

/// The driver on a disk of 8 MiB, behind a controller of 64 address bits without scatter/gather and
/// without a limit on sectors.
pub(crate) fn world() -> DmaWorld {
    DmaWorld::new(&driver()).max_segments(1)
}

/// Runs a scenario in which everybody behaves: no bug check, no objection of the controller, every
/// request back, everything given back to the HAL.
#[track_caller]
pub(crate) fn run<T: Send>(
    world: DmaWorld,
    scenario: impl FnOnce(&DmaStack) -> T + Send,
) -> (T, DmaReport) {
    let (value, report) = match world.run(scenario) {
        Ok(result) => result,
        Err(bug_check) => panic!("{bug_check}"),
    };
    assert_sound(&report);
    (value, report)
}

/// What holds at the end of every scenario.
#[track_caller]
pub(crate) fn assert_sound(report: &DmaReport) {
    assert!(
        report.misuses.is_empty(),
        "the controller objects: {:#?}",
        report.misuses
    );
    assert_eq!(
        report.finished, report.sent,
        "every request comes back once"
    );
    let dma = &report.dma;
    let left = [dma.adapters, dma.registers_now, dma.mapped_now];
    assert_eq!(
        left, [0; 3],
        "adapters, map registers and mappings are given back"
    );
}

/// The debug log's lines that contain `part`.
pub(crate) fn logged<'a>(report: &'a DmaReport, part: &str) -> Vec<&'a str> {
    let lines = report.debug_log.iter().map(String::as_str);
    lines.filter(|line| line.contains(part)).collect()
}

/// A driver's own end of an IRP: completed once, and pending said twice or not at all.
#[track_caller]
pub(crate) fn assert_told_once(done: &Done) {
    assert_eq!(done.completions, 1, "completed once: {done:?}");
    if done.returned == STATUS_PENDING {
        assert!(done.pending_returned, "marked pending: {done:?}");
    } else {
        assert_eq!(done.returned, done.status, "one answer: {done:?}");
        assert!(!done.pending_returned, "not marked pending: {done:?}");
    }
}

/// The request succeeded with all of its `length` bytes.
#[track_caller]
pub(crate) fn assert_success(done: &Done, length: usize) {
    assert_told_once(done);
    assert_eq!(format!("{:#010x}", done.status), "0x00000000", "{done:?}");
    assert_eq!(done.information, length as u64, "{done:?}");
}

/// The request failed with `status`, and claims no bytes.
#[track_caller]
pub(crate) fn assert_failure(done: &Done, status: i32) {
    assert_told_once(done);
    assert_eq!(
        format!("{:#010x}", done.status),
        format!("{status:#010x}"),
        "{done:?}"
    );
    assert_eq!(done.information, 0, "a failure claims nothing: {done:?}");
}

/// Lets the operation that the controller holds end, and everybody do what follows from it.
pub(crate) fn complete(stack: &DmaStack) {
    stack.controller().release();
    stack.idle();
}

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of the choices.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Bytes that differ from place to place and from seed to seed; with `turned`, each bit the other way.
fn noise(seed: u64, length: usize, turned: bool) -> Vec<u8> {
    let mut random = Random::new(seed);
    let turn = if turned { u64::MAX } else { 0 };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&(random.next() ^ turn).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Both directions.
pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

/// A request whose data can be checked afterwards: what it moves differs, in every bit, from what was
/// there before.
pub(crate) struct Exchange {
    direction: Direction,
    offset: u64,
    buffer: Buffer,
    expected: Vec<u8>,
}

impl Exchange {
    /// A request for all of a buffer on scattered frames.
    pub(crate) fn new(
        stack: &DmaStack,
        direction: Direction,
        offset: u64,
        length: usize,
        page_offset: usize,
    ) -> Self {
        Self::of(stack, direction, offset, stack.buffer(length, page_offset))
    }

    /// A request for all of `buffer`.
    pub(crate) fn of(stack: &DmaStack, direction: Direction, offset: u64, buffer: Buffer) -> Self {
        let length = buffer.len();
        let seed = offset ^ (length as u64).rotate_left(32);
        let (expected, before) = (noise(seed, length, false), noise(seed, length, true));
        match direction {
            Direction::Read => {
                stack.disk().poke(offset, &expected);
                buffer.write(0, &before);
            }
            Direction::Write => {
                buffer.write(0, &expected);
                stack.disk().poke(offset, &before);
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
    pub(crate) fn transfer<'s>(&self, stack: &'s DmaStack) -> Transfer<'s> {
        match self.direction {
            Direction::Read => stack.read(self.offset, &self.buffer),
            Direction::Write => stack.write(self.offset, &self.buffer),
        }
    }

    /// Bytes of the request.
    pub(crate) fn length(&self) -> usize {
        self.expected.len()
    }

    /// How many bytes from the beginning on are where they belong.
    pub(crate) fn moved(&self, stack: &DmaStack) -> usize {
        let arrived = match self.direction {
            Direction::Read => self.buffer.bytes(),
            Direction::Write => {
                let mut bytes = vec![0; self.expected.len()];
                stack.disk().peek(self.offset, &mut bytes);
                bytes
            }
        };
        // All at once first, for Miri's sake.
        if arrived == self.expected {
            return arrived.len();
        }
        let mut pairs = arrived.iter().zip(&self.expected);
        let wrong = pairs.position(|(arrived, expected)| arrived != expected);
        wrong.unwrap_or(arrived.len())
    }

    /// Sends the request, waits, and checks that every byte is in its place.
    #[track_caller]
    pub(crate) fn moves(&self, stack: &DmaStack) {
        let done = self.transfer(stack).send().wait();
        assert_success(&done, self.expected.len());
        assert_eq!(
            self.moved(stack),
            self.expected.len(),
            "every byte in its place"
        );
    }
}
