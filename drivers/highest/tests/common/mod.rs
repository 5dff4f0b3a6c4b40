//! What the scenarios share: the two drivers, a program with a buffer, and data that can be told
//! apart.
//!
//! The stack is a disk's port, the xfersplit filter (as the class driver of the disk: it takes READ and
//! WRITE with an MDL), and the driver under test on top.
#![allow(
    dead_code,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

pub(crate) mod answering;

use std::ops::Range;

use ntsim::abi::{IRP_MJ_READ, IRP_MJ_WRITE, PDEVICE_OBJECT, STATUS_PENDING};
use ntsim::memory::LockLimits;
use ntsim::port::{Completion, Direction, Hba};
use ntsim::world::{Arrival, UserBuffer, UserTransfer};
use ntsim::{Done, Driver, Process, Report, Stack, World, ntddk};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of the usual sector.
pub(crate) const SECTOR: usize = 512;
/// Bytes of a portion where the settings say nothing.
pub(crate) const USUAL_PORTION: usize = 65536;

/// Both directions.
pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];
/// `Carriage`: the driver's own IRP, and IoBuildSynchronousFsdRequest.
pub(crate) const CARRIAGES: [u32; 2] = [0, 1];

/// The variable that names a binary of the driver, to be tried in the place of the linked sources.
const VARIABLE: &str = "XFERSPLIT_HIGHEST_DRIVER";

/// The driver under test.
pub(crate) fn driver() -> Driver {
    match std::env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => Driver::binary("highest", path)
            .unwrap_or_else(|error| panic!("the driver can't be loaded: {error}")),
        _ => Driver::linked("highest", highest::driver_entry),
    }
}

/// The driver under test above the filter, on a disk of 64 MiB.
pub(crate) fn world() -> World {
    World::new(Driver::linked("xfersplit", xfersplit::driver_entry)).function(driver())
}

/// The same, with portions of so many pages and one of the carriages.
pub(crate) fn portions_of(pages: usize, carriage: u32) -> World {
    world()
        .setting("PortionBytes", (pages * PAGE) as u32)
        .setting("Carriage", carriage)
}

/// At most so many pages locked in each process.
pub(crate) fn quota(pages: usize) -> LockLimits {
    LockLimits {
        process: Some(pages),
        ..LockLimits::default()
    }
}

/// At most so many frames locked in the whole machine.
pub(crate) fn resources(pages: usize) -> LockLimits {
    LockLimits {
        system: Some(pages),
        ..LockLimits::default()
    }
}

/// An adapter whose requests end later.
pub(crate) fn later() -> Hba {
    Hba::unlimited().completion(Completion::Later(10..500))
}

/// Runs a scenario: no bug check, nothing that the port objects to, every request back, nothing
/// locked and nothing allocated in the end.
#[track_caller]
pub(crate) fn run<T: Send>(world: World, scenario: impl FnOnce(&Stack) -> T + Send) -> (T, Report) {
    let (value, report) = match world.run(scenario) {
        Ok(result) => result,
        Err(bug_check) => panic!("{bug_check}"),
    };
    assert!(
        report.violations.is_empty(),
        "the port objects: {:#?}",
        report.violations
    );
    assert_eq!(
        report.finished, report.sent,
        "every request comes back once"
    );
    assert_eq!(report.locks.pages, 0, "no page stays locked");
    assert_eq!(
        report.locks.kernel_mode, 0,
        "every page of a user's is probed in the user's mode"
    );
    (value, report)
}

/// A driver's own end of an IRP: completed once, in the dispatch routine, and never marked pending.
#[track_caller]
pub(crate) fn assert_told_once(done: &Done) {
    assert_eq!(done.completions, 1, "completed once: {done:?}");
    assert_ne!(done.returned, STATUS_PENDING, "{done:?}");
    assert_eq!(done.returned, done.status, "one answer: {done:?}");
    assert!(!done.pending_returned, "not marked pending: {done:?}");
}

/// The request succeeded with `length` bytes.
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

/// Nothing was locked and nothing sent while `request` ran.
#[track_caller]
pub(crate) fn assert_refused(stack: &Stack, status: i32, request: UserTransfer<'_>) {
    let before = (stack.machine().lock_counts(), stack.port().counts().arrived);
    let allocations = stack.machine().allocations();
    assert_failure(&request.send().wait(), status);
    let after = (stack.machine().lock_counts(), stack.port().counts().arrived);
    assert_eq!(after.0.ranges, before.0.ranges, "nothing was locked");
    assert_eq!(after.0.raised, before.0.raised, "nothing was tried");
    assert_eq!(after.1, before.1, "nothing was sent");
    let mdls = stack.machine().allocations().mdl;
    assert_eq!(mdls, allocations.mdl, "no MDL was made");
}

/// The device that the driver under test is attached to.
pub(crate) fn lower(stack: &Stack) -> PDEVICE_OBJECT {
    // SAFETY: the devices of a started stack are alive. The reference that the call takes is given
    // back at once: the scenario ends before the stack does.
    unsafe {
        let lower = ntddk::IoGetLowerDeviceObject(stack.top());
        ntddk::ObfDereferenceObject(lower.cast());
        lower
    }
}

/// What arrived as READ or WRITE at the device below, which is watched.
pub(crate) fn portions(stack: &Stack) -> Vec<Arrival> {
    let mut arrivals = stack.arrivals(lower(stack));
    arrivals.retain(|one| matches!(u32::from(one.major), IRP_MJ_READ | IRP_MJ_WRITE));
    arrivals
}

/// Bytes that differ from place to place and from seed to seed (splitmix64), each bit turned where
/// `turned` has one.
fn noise(seed: u64, length: usize, turned: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&(random.next() ^ turned).to_le_bytes());
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
}

/// A program's request whose data can be checked afterwards: what it moves differs from what was
/// there before.
pub(crate) struct Exchange {
    direction: Direction,
    offset: u64,
    buffer: UserBuffer,
    expected: Vec<u8>,
    before: Vec<u8>,
}

impl Exchange {
    /// Prepares memory and disk for a request of `length` bytes at byte `offset` of the disk.
    pub(crate) fn new(
        stack: &Stack,
        process: &Process,
        direction: Direction,
        offset: u64,
        length: usize,
        page_offset: usize,
    ) -> Self {
        let buffer = stack.user_buffer(process, length, page_offset);
        let seed = offset ^ (length as u64) << 32 ^ page_offset as u64;
        let expected = noise(seed, length, 0);
        let before = noise(seed, length, u64::MAX);
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
            before,
        }
    }

    /// The request.
    pub(crate) fn transfer<'s>(&self, stack: &'s Stack) -> UserTransfer<'s> {
        match self.direction {
            Direction::Read => stack.user_read(self.offset, &self.buffer),
            Direction::Write => stack.user_write(self.offset, &self.buffer),
        }
    }

    /// The program's buffer.
    pub(crate) fn buffer(&self) -> &UserBuffer {
        &self.buffer
    }

    /// Every byte is where it belongs.
    pub(crate) fn is_complete(&self, stack: &Stack) -> bool {
        self.arrived(stack) == self.expected
    }

    /// Every byte in `range` has moved.
    pub(crate) fn has_moved(&self, stack: &Stack, range: Range<usize>) -> bool {
        self.arrived(stack)[range.clone()] == self.expected[range]
    }

    /// No byte in `range` has moved.
    pub(crate) fn is_as_before(&self, stack: &Stack, range: Range<usize>) -> bool {
        self.arrived(stack)[range.clone()] == self.before[range]
    }

    fn arrived(&self, stack: &Stack) -> Vec<u8> {
        match self.direction {
            Direction::Read => self.buffer.bytes(),
            Direction::Write => {
                let mut bytes = vec![0; self.expected.len()];
                stack.disk().peek(self.offset, &mut bytes);
                bytes
            }
        }
    }
}

/// Sends the exchange and checks that all of it moved.
#[track_caller]
pub(crate) fn moves(stack: &Stack, exchange: &Exchange) {
    let done = exchange.transfer(stack).send().wait();
    assert_success(&done, exchange.buffer().len());
    assert!(exchange.is_complete(stack), "every byte in its place");
}
