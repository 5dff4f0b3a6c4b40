//! What the scenarios share: the two drivers, and a program with a buffer. What they have in common
//! with other drivers' scenarios is in the crate `scenario`, and named here as well.
//!
//! The stack is a disk's port, the xfersplit filter (as the class driver of the disk: it takes READ and
//! WRITE with an MDL), and the driver under test on top.
#![allow(
    dead_code,
    unused_imports,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

pub(crate) mod answering;

pub(crate) use scenario::{BOTH, PAGE, Random, SECTOR};

use std::ops::Range;

use ntsim::abi::{IRP_MJ_READ, IRP_MJ_WRITE, PDEVICE_OBJECT, STATUS_PENDING};
use ntsim::memory::LockLimits;
use ntsim::port::{Completion, Direction, Hba};
use ntsim::world::{Arrival, UserBuffer, UserTransfer};
use ntsim::{Buffer, Done, Driver, Process, Report, Stack, World, ntddk};
use scenario::{assert_everything_came_back, completed};

/// Bytes of a portion where the settings say nothing.
pub(crate) const USUAL_PORTION: usize = 65536;
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
    let (value, report) = completed(world.run(scenario));
    assert_everything_came_back(&report);
    assert_eq!(report.locks.pages, 0, "no page stays locked");
    assert_eq!(
        report.locks.kernel_mode, 0,
        "every page of a user's is probed in the user's mode"
    );
    (value, report)
}

/// The request ended in the dispatch routine: it waits for everything that it sends, and so never
/// marks pending.
#[track_caller]
fn assert_told_at_once(done: &Done) {
    assert_ne!(done.returned, STATUS_PENDING, "{done:?}");
}

/// The request succeeded with `length` bytes.
#[track_caller]
pub(crate) fn assert_success(done: &Done, length: usize) {
    assert_told_at_once(done);
    scenario::assert_success(done, length);
}

/// The request failed with `status`, and claims no bytes.
#[track_caller]
pub(crate) fn assert_failure(done: &Done, status: i32) {
    assert_told_at_once(done);
    scenario::assert_failure(done, status);
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

/// A program's request whose data can be checked afterwards: what it moves differs from what was
/// there before.
pub(crate) struct Exchange {
    /// The same memory, as it is read and written without the driver.
    data: scenario::Exchange,
    buffer: UserBuffer,
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
        let memory = Buffer::clone(&buffer);
        Self {
            data: scenario::Exchange::in_buffer(stack, direction, offset, memory, seed),
            buffer,
        }
    }

    /// The request.
    pub(crate) fn transfer<'s>(&self, stack: &'s Stack) -> UserTransfer<'s> {
        let offset = self.data.offset();
        match self.data.direction() {
            Direction::Read => stack.user_read(offset, &self.buffer),
            Direction::Write => stack.user_write(offset, &self.buffer),
        }
    }

    /// The program's buffer.
    pub(crate) fn buffer(&self) -> &UserBuffer {
        &self.buffer
    }

    /// Every byte is where it belongs.
    pub(crate) fn is_complete(&self, stack: &Stack) -> bool {
        self.data.is_complete(stack)
    }

    /// Every byte in `range` has moved.
    pub(crate) fn has_moved(&self, stack: &Stack, range: Range<usize>) -> bool {
        self.data.has_moved(stack, range)
    }

    /// No byte in `range` has moved.
    pub(crate) fn is_as_before(&self, stack: &Stack, range: Range<usize>) -> bool {
        self.data.is_as_before(stack, range)
    }
}

/// Sends the exchange and checks that all of it moved.
#[track_caller]
pub(crate) fn moves(stack: &Stack, exchange: &Exchange) {
    let done = exchange.transfer(stack).send().wait();
    assert_told_at_once(&done);
    exchange.data.assert_moved(stack, &done);
}
