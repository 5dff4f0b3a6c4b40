//! Everything that touches WDM directly, for the filter and for the drivers beside it.
//!
//! bindgen emits no inline function and no macro, so the ones a driver lives by stand here, next to
//! the small owners (locks, DPCs, timers, pools, queues) that drivers are written in terms of. A
//! driver itself then reads as storage code, and a reviewer finds the unsafe code in one folder.
//! [`wdf`] has the little that drivers need of the framework beyond its functions.
//!
//! Three rules hold in all of it:
//! - An IRP, MDL or SRB is reached through its raw pointer, field by field. A Rust reference to the
//!   whole structure would claim memory that other drivers write, and would cut the pointer off from
//!   the stack locations or page frames that lie behind the structure.
//! - One kernel contract per `unsafe` block, named in its `SAFETY:` line.
//! - Events, timers, DPCs, queues and rundowns are initialised where they will stay, before anybody
//!   else can reach them. Their `initialise` is unsafe for that promise, which all their other methods
//!   rely on. A spin lock needs none: it begins as zeros.
#![no_std]
#![deny(clippy::multiple_unsafe_ops_per_block)]

pub mod counters;
pub mod dpc;
pub mod event;
pub mod irp;
pub mod lock;
pub mod mdl;
pub mod memory;
pub mod queue;
pub mod rundown;
mod time;
pub mod wdf;

use wdk_sys::NTSTATUS;

/// `NT_SUCCESS`: success and informational codes.
pub const fn succeeded(status: NTSTATUS) -> bool {
    status >= 0
}
