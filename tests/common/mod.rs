//! What the scenarios share: the driver, the world around it, and how its pieces end. What they have
//! in common with other drivers' scenarios is in the crate `scenario`, and named here as well.
//!
//! A scenario sees what a neighbour of the driver sees: what it sends and gets back at the top of
//! the stack, what arrives at the port at the bottom, what lies on the disk, what was allocated.
#![allow(
    dead_code,
    unused_imports,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

pub(crate) mod block;
pub(crate) mod effective;
pub(crate) mod post;

pub(crate) use scenario::{
    BOTH, Exchange, MILLISECOND, PAGE, Random, SECTOR, assert_everything_came_back, assert_failure,
    assert_success, assert_told_once, check, noise, on_disk, transfer,
};

use ntsim::abi::{
    STATUS_DATA_OVERRUN, STATUS_DEVICE_DATA_ERROR, STATUS_DEVICE_HARDWARE_ERROR,
    STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_NO_SUCH_DEVICE, STATUS_VERIFY_REQUIRED,
};
use ntsim::machine::AllocationCounts;
use ntsim::pe::driver_under_test;
use ntsim::pnp::Driver;
use ntsim::port::{Hba, Kind, PortRecord};
use ntsim::{Report, Shape, Stack, World};
use scenario::completed;

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
    completed(world.run(scenario))
}

/// What holds at the end of every scenario in which nobody provokes the port.
#[track_caller]
pub(crate) fn assert_sound(report: &Report) {
    assert_everything_came_back(report);
    assert_nothing_allocated(report);
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
    scenario::logged(&report.debug_log, part)
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

/// Sends the exchange, waits, and checks that all of it moved.
#[track_caller]
pub(crate) fn moves(stack: &Stack, exchange: &Exchange) {
    exchange.assert_moved(stack, &exchange.transfer(stack).send().wait());
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
