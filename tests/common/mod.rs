//! What the scenarios share: the driver, the world around it, and data that can be told apart.
//!
//! A scenario sees what a neighbour of the driver sees: what it sends and gets back at the top of
//! the stack, what arrives at the port at the bottom, what lies on the disk, what was allocated.
#![allow(
    dead_code,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

pub(crate) mod block;
pub(crate) mod post;

use std::fmt::Debug;

use ntsim::abi::{
    STATUS_DATA_OVERRUN, STATUS_DEVICE_DATA_ERROR, STATUS_DEVICE_HARDWARE_ERROR,
    STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_NO_SUCH_DEVICE, STATUS_PENDING,
    STATUS_VERIFY_REQUIRED,
};
use ntsim::machine::AllocationCounts;
use ntsim::pe::driver_under_test;
use ntsim::pnp::Driver;
use ntsim::port::{Direction, Disk, Hba, Kind, PortRecord};
use ntsim::world::Transfer;
use ntsim::{Buffer, Done, Report, Shape, Stack, World};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of the usual sector.
pub(crate) const SECTOR: usize = 512;
/// 100 ns units in a millisecond of virtual time.
pub(crate) const MILLISECOND: u64 = 10_000;

/// The driver under test: the one place that names it. The linked sources, or the binary that the
/// variable `XFERSPLIT_DRIVER` names.
pub(crate) fn driver() -> Driver {
    let driver = driver_under_test("xfersplit", xfersplit::driver_entry);
    driver.unwrap_or_else(|error| panic!("the driver can't be loaded: {error}"))
}

/// The driver above the port of an adapter without limits, and a disk of 64 MiB.
pub(crate) fn world() -> World {
    World::new(driver())
}

/// An honest adapter with these limits.
pub(crate) fn adapter(bytes: usize, pages: u32) -> Hba {
    Hba::unlimited().limits(bytes as u32, pages)
}

/// A world in which a page-aligned request of `n * piece` bytes is `n` pieces.
pub(crate) fn pieces_of(piece: usize) -> World {
    world().hba(adapter(piece, (piece / PAGE + 1) as u32))
}

/// The same beneath a class driver: requests are SRBs.
pub(crate) fn srb_pieces_of(piece: usize) -> World {
    pieces_of(piece).shape(Shape::Srb)
}

/// Runs a scenario in which everybody behaves: no bug check, nothing that the port objects to, every
/// request back, and nothing allocated in between.
#[track_caller]
pub(crate) fn run<T: Send>(world: World, scenario: impl FnOnce(&Stack) -> T + Send) -> (T, Report) {
    let (value, report) = run_unchecked(world, scenario);
    assert_sound(&report);
    (value, report)
}

/// As [`run`], for scenarios in which the port has reason to complain.
#[track_caller]
pub(crate) fn run_unchecked<T: Send>(
    world: World,
    scenario: impl FnOnce(&Stack) -> T + Send,
) -> (T, Report) {
    match world.run(scenario) {
        Ok(result) => result,
        Err(bug_check) => panic!("{bug_check}"),
    }
}

/// What holds at the end of every scenario in which nobody provokes the port.
#[track_caller]
pub(crate) fn assert_sound(report: &Report) {
    assert_everything_came_back(report);
    assert_nothing_allocated(report);
}

/// The port has no complaint, and nothing was lost on the way down or up.
#[track_caller]
pub(crate) fn assert_everything_came_back(report: &Report) {
    assert!(
        report.violations.is_empty(),
        "the port objects: {:#?}",
        report.violations
    );
    assert_eq!(
        report.finished, report.sent,
        "every request comes back once"
    );
    assert_eq!(
        report.port.completed, report.port.arrived,
        "the port has given everything back"
    );
}

/// The I/O of the scenario allocated nothing.
#[track_caller]
pub(crate) fn assert_nothing_allocated(report: &Report) {
    let kinds = |counts: &AllocationCounts| [counts.irp, counts.mdl, counts.pool, counts.framework];
    assert_eq!(
        kinds(&report.allocations_at_start),
        kinds(&report.allocations_at_end),
        "IRPs, MDLs, pool blocks and framework objects: none for I/O"
    );
}

/// The debug log's lines that contain `part`.
pub(crate) fn logged<'a>(report: &'a Report, part: &str) -> Vec<&'a str> {
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
    assert_eq!(done.status, 0, "{done:?}");
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

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    noise_or_its_opposite(seed, length, 0)
}

/// Word by word, for Miri's sake; every bit is turned where `turned` has one.
fn noise_or_its_opposite(seed: u64, length: usize, turned: u64) -> Vec<u8> {
    let mut rng = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&(rng.next() ^ turned).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
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

    /// The numbers below `count` in some order.
    pub(crate) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for index in (1..count).rev() {
            order.swap(index, self.below(index as u64 + 1) as usize);
        }
        order
    }
}

/// Every order of the numbers below `count`.
pub(crate) fn every_order(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for next in 0..count {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, next);
                    longer
                })
            })
            .collect();
    }
    orders
}

/// Every way to give each of `places` places one of the choices.
pub(crate) fn every_placement<T: Copy>(choices: &[T], places: u32) -> Vec<Vec<T>> {
    let base = choices.len();
    (0..base.pow(places))
        .map(|number| {
            (0..places)
                .map(|place| choices[number / base.pow(place) % base])
                .collect()
        })
        .collect()
}

/// What lies on the disk.
pub(crate) fn on_disk(disk: &Disk, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    disk.peek(offset, &mut bytes);
    bytes
}

/// A READ or WRITE.
pub(crate) fn transfer<'s>(
    stack: &'s Stack,
    direction: Direction,
    offset: u64,
    buffer: &Buffer,
) -> Transfer<'s> {
    match direction {
        Direction::Read => stack.read(offset, buffer),
        Direction::Write => stack.write(offset, buffer),
    }
}

/// Both directions.
pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

/// A request whose data can be checked afterwards: what it moves differs from what was there before.
pub(crate) struct Exchange {
    direction: Direction,
    offset: u64,
    buffer: Buffer,
    expected: Vec<u8>,
}

impl Exchange {
    /// Prepares memory and disk for a request of `length` bytes.
    pub(crate) fn new(
        stack: &Stack,
        direction: Direction,
        offset: u64,
        length: usize,
        page_offset: usize,
        seed: u64,
    ) -> Self {
        Self::in_buffer(
            stack,
            direction,
            offset,
            stack.buffer(length, page_offset),
            seed,
        )
    }

    /// As [`Self::new`], with all of `buffer`.
    pub(crate) fn in_buffer(
        stack: &Stack,
        direction: Direction,
        offset: u64,
        buffer: Buffer,
        seed: u64,
    ) -> Self {
        let expected = noise(seed, buffer.len());
        let before = noise_or_its_opposite(seed, buffer.len(), u64::MAX);
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
    pub(crate) fn transfer<'s>(&self, stack: &'s Stack) -> Transfer<'s> {
        transfer(stack, self.direction, self.offset, &self.buffer)
    }

    /// Which way the data go.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// Where on the disk.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The buffer.
    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// How many of the bytes in `range` have moved.
    pub(crate) fn moved(&self, stack: &Stack, range: std::ops::Range<usize>) -> usize {
        let arrived = self.arrived(stack);
        let pairs = arrived[range.clone()].iter().zip(&self.expected[range]);
        pairs
            .filter(|(arrived, expected)| arrived == expected)
            .count()
    }

    /// Every byte is where it belongs.
    pub(crate) fn is_complete(&self, stack: &Stack) -> bool {
        self.arrived(stack) == self.expected
    }

    fn arrived(&self, stack: &Stack) -> Vec<u8> {
        match self.direction {
            Direction::Read => self.buffer.bytes(),
            Direction::Write => on_disk(stack.disk(), self.offset, self.expected.len()),
        }
    }
}

/// Sends the exchange, waits, and checks that all of it moved.
#[track_caller]
pub(crate) fn moves(stack: &Stack, exchange: &Exchange) {
    let done = exchange.transfer(stack).send().wait();
    assert_success(&done, exchange.buffer().len());
    assert!(exchange.is_complete(stack), "every byte in its place");
}

/// Lets the adapter complete what it holds: `order` names the pieces of a request by number, and
/// `end` says how each ends (`None`: by itself).
#[track_caller]
pub(crate) fn complete_in_order(
    stack: &Stack,
    order: &[usize],
    first_lba: u64,
    blocks_per_piece: u64,
    mut end: impl FnMut(usize) -> Option<Kind>,
) {
    let port = stack.port();
    for &piece in order {
        let lba = first_lba + piece as u64 * blocks_per_piece;
        let held = port.held();
        let index = held
            .iter()
            .position(|request| request.transfer.is_some_and(|transfer| transfer.lba == lba))
            .unwrap_or_else(|| panic!("piece {piece} is not in flight: {held:#?}"));
        let there = match end(piece) {
            Some(kind) => port.complete_with(index, kind),
            None => port.complete_next(index),
        };
        assert!(there, "the adapter held it a moment ago");
    }
}

/// The pieces that arrived at the port, as (first block, blocks), by place on the disk.
pub(crate) fn pieces(records: &[PortRecord]) -> Vec<(u64, u64)> {
    let mut pieces: Vec<_> = records
        .iter()
        .map(|record| (record.lba, u64::from(record.blocks)))
        .collect();
    pieces.sort_unstable();
    pieces
}

/// The status of a request one of whose pieces ended like this for good, on a fixed disk.
///
/// After classpnp's `ClassInterpretSenseInfo` (class.c).
pub(crate) fn status_of(kind: Kind) -> i32 {
    match kind {
        Kind::MediumError => STATUS_DEVICE_DATA_ERROR,
        Kind::HardwareError | Kind::Frozen => STATUS_DEVICE_HARDWARE_ERROR,
        Kind::VerifyRequired => STATUS_VERIFY_REQUIRED,
        Kind::Timeout | Kind::Aborted => STATUS_IO_TIMEOUT,
        Kind::NotReady => STATUS_DEVICE_NOT_READY,
        Kind::SelectionTimeout => STATUS_DEVICE_NOT_CONNECTED,
        Kind::NoDevice => STATUS_NO_SUCH_DEVICE,
        Kind::DataOverrun => STATUS_DATA_OVERRUN,
        Kind::NoResourcesIrp | Kind::NoResourcesSystem | Kind::NoResourcesSrb => {
            STATUS_INSUFFICIENT_RESOURCES
        }
        Kind::Busy
        | Kind::QueueFull
        | Kind::BusReset
        | Kind::UnitAttention
        | Kind::MediumChanged
        | Kind::AbortedCommand
        | Kind::ParityError
        | Kind::Flushed => STATUS_IO_DEVICE_ERROR,
        Kind::Short | Kind::RecoveredError | Kind::Hang => panic!("{kind:?} is no failure"),
    }
}

/// Failures that are over with the first attempt.
pub(crate) const FINAL: [Kind; 7] = [
    Kind::MediumError,
    Kind::HardwareError,
    Kind::VerifyRequired,
    Kind::SelectionTimeout,
    Kind::NoDevice,
    Kind::DataOverrun,
    Kind::Frozen,
];

/// Failures worth another attempt.
pub(crate) const RETRYABLE: [Kind; 11] = [
    Kind::Busy,
    Kind::QueueFull,
    Kind::BusReset,
    Kind::Timeout,
    Kind::UnitAttention,
    Kind::MediumChanged,
    Kind::NotReady,
    Kind::AbortedCommand,
    Kind::Aborted,
    Kind::ParityError,
    Kind::Flushed,
];

/// A value with the case that it belongs to, for messages.
#[track_caller]
pub(crate) fn check<T: PartialEq + Debug>(case: impl Debug, found: &T, expected: &T) {
    assert_eq!(found, expected, "in {case:?}");
}
