//! What the scenarios of several drivers share: data that can be told apart, and how a request's end
//! is judged.
//!
//! The scenarios are the files in `tests` of the filter, of the driver at the top of a stack and of
//! the driver of a DMA disk controller. Each has its own world in its own `tests/common`; what a
//! request moved, and whether it was completed as a request must be, is the same question in all of
//! them and has one answer here. The lab's scenes (`demo --techniques`) ask the first half of it too.
//!
//! * [`Exchange`] is a request whose data is compared afterwards, at any [`Top`].
//! * [`assert_told_once`], [`assert_success`] and [`assert_failure`] judge how an IRP came back.
//! * [`assert_everything_came_back`] judges what is left when a stack above a port has ended.
//! * [`Random`] and [`noise`] make data that follows from a seed.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_panics_doc,
    reason = "what panics is for tests, and a test fails by a panic"
)]

mod data;
mod exchange;
mod verdict;

pub use data::{Random, noise, on_disk};
pub use exchange::{Exchange, Top, transfer};
pub use verdict::{
    assert_everything_came_back, assert_failure, assert_success, assert_told_once, check,
    completed, logged,
};

use ntsim::port::Direction;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes of the usual sector.
pub const SECTOR: usize = 512;
/// 100 ns units in a millisecond of virtual time.
pub const MILLISECOND: u64 = 10_000;

/// Both directions.
pub const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];
