//! Everything xfersplit decides without touching an IRP.
//!
//! A driver is hard to test where it runs, so this crate keeps every decision away from the kernel:
//! it knows numbers and byte buffers, no kernel type. Nothing here allocates, waits, panics or
//! calls anything, so each function may be called at any IRQL up to `DISPATCH_LEVEL` and above.
//!
//! A request meets the modules in this order:
//!
//! - [`descriptor`], [`vpd`], [`capacity`]: what adapter and device said about themselves, as
//!   bytes;
//! - [`paired`]: what a port driver that knows the interface said of itself;
//! - [`settings`]: what the person who installed the driver said;
//! - [`limits`]: all of it made into one set of effective limits, each with the name of who set it;
//! - [`advertise`]: what the stack above is told of them, so that it never exceeds them itself;
//! - [`block`]: which of another driver's request blocks may be split, and where their fields lie;
//! - [`cdb`]: which blocks a command block asks for, and the same block rewritten for a piece;
//! - [`plan`] (with [`page`]): where the request is cut;
//! - [`pump`]: who may issue pieces now, and who completes the request;
//! - [`recall`]: who cancels a request that is sent again and again;
//! - [`srb`], [`status`], [`sense`], [`verdict`]: what the end of one piece means;
//! - [`ladder`]: smaller and smaller tries for a piece the lower driver had no resources for;
//! - [`outcome`]: what the ends of all pieces together mean for the request.

#![no_std]
#![forbid(unsafe_code)]

pub mod advertise;
pub mod block;
pub mod capacity;
pub mod cdb;
pub mod descriptor;
pub mod ladder;
pub mod limits;
pub mod outcome;
pub mod page;
pub mod paired;
pub mod plan;
pub mod pump;
pub mod recall;
pub mod sense;
pub mod settings;
pub mod srb;
pub mod status;
pub mod verdict;
pub mod vpd;

mod bytes;
mod math;
