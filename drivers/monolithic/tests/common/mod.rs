//! What the scenarios share: the driver, and the world around it. What they have in common with
//! other drivers' scenarios is in the crate `scenario`, and named here as well.
//!
//! A scenario sees what a neighbour of the driver sees: what it sends and gets back at the top, what
//! the controller was told to do at the bottom, what the HAL gave and got back, what lies on the disk.
#![allow(
    dead_code,
    unused_imports,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

pub(crate) use scenario::{
    BOTH, PAGE, Random, SECTOR, assert_failure, assert_success, assert_told_once,
};

use ntsim::Buffer;
use ntsim::pnp::Driver;
use ntsim::port::Direction;
use ntsim::world::{DmaReport, DmaStack, DmaWorld, Transfer};
use scenario::completed;

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
    let (value, report) = completed(world.run(scenario));
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
    scenario::logged(&report.debug_log, part)
}

/// Lets the operation that the controller holds end, and everybody do what follows from it.
pub(crate) fn complete(stack: &DmaStack) {
    stack.controller().release();
    stack.idle();
}

/// A request whose data can be checked afterwards: what it moves differs, in every bit, from what was
/// there before. The data follow from place and length.
pub(crate) struct Exchange(scenario::Exchange);

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
        let seed = offset ^ (buffer.len() as u64).rotate_left(32);
        Self(scenario::Exchange::in_buffer(
            stack, direction, offset, buffer, seed,
        ))
    }

    /// The request.
    pub(crate) fn transfer<'s>(&self, stack: &'s DmaStack) -> Transfer<'s> {
        self.0.transfer(stack)
    }

    /// Bytes of the request.
    pub(crate) fn length(&self) -> usize {
        self.0.buffer().len()
    }

    /// How many bytes from the beginning on are where they belong.
    pub(crate) fn moved(&self, stack: &DmaStack) -> usize {
        self.0.moved_from_start(stack)
    }

    /// Sends the request, waits, and checks that every byte is in its place.
    #[track_caller]
    pub(crate) fn moves(&self, stack: &DmaStack) {
        let done = self.transfer(stack).send().wait();
        self.0.assert_moved(stack, &done);
    }
}
