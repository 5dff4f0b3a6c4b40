//! highest: a KMDF driver at the top of its stack, which gets a user's buffer and moves it in
//! portions that the system can lock.
//!
//! Two techniques of Microsoft's "Splitting DMA Transfer Requests" need the highest-level driver,
//! for only it runs in the process whose buffer it is:
//!
//! - *piecewise locking*: IoAllocateMdl for a portion, MmProbeAndLockPages, transfer, MmUnlockPages,
//!   then MmPrepareMdlForReuse, or IoFreeMdl where the MDL is too small for the next portion;
//! - the *loop of synchronous requests*: IoBuildSynchronousFsdRequest for a portion, IoCallDriver, and
//!   KeWaitForSingleObject if the driver below said STATUS_PENDING.
//!
//! # A request's way
//!
//! ```text
//! dispatch::dispatch_read_write   an MDL is there already: down it goes, untouched
//!   └ requestor::UserBuffer::of   in whose process, at which IRQL, which range?
//!   └ stage::stage                the loop over portions, in the requestor's own thread
//!       └ portion                 how much next: the planner of xfersplit-core, halved where locking fails
//!       └ lock                    IoAllocateMdl, the guarded lock, MmUnlockPages, MmPrepareMdlForReuse
//!       └ carry::own              an IRP of the driver's own over the portion's MDL
//!       └ carry::synchronous      or IoBuildSynchronousFsdRequest on the portion's system address
//! ```
//!
//! # IRQL
//!
//! Everything here runs at PASSIVE_LEVEL but for the first look in `dispatch` and one completion
//! routine. This driver waits for every portion and allocates for every request: that is the price
//! of its techniques, and why it is no part of the filter, which does neither.
#![no_std]
#![deny(clippy::multiple_unsafe_ops_per_block)]

mod carry;
mod device;
mod dispatch;
mod driver;
mod lock;
mod portion;
mod requestor;
mod sector;
mod settings;
mod stage;

pub use driver::driver_entry;

/// Pool for the crates below us; this driver's own code never uses it.
#[cfg(windows)]
#[global_allocator]
static POOL: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;

#[cfg(windows)]
extern crate wdk_panic;
