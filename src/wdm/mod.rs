//! Everything that touches WDM directly.
//!
//! bindgen emits no inline function and no macro, so the ones a driver lives by stand here, next to
//! the small owners (locks, DPCs, timers, pools, queues) that the engine is written in terms of. The
//! engine itself then reads as storage code, and a reviewer finds the unsafe code in one folder.
//!
//! Two rules hold in all of it:
//! - An IRP, MDL or SRB is reached through its raw pointer, field by field. A Rust reference to the
//!   whole structure would claim memory that other drivers write, and would cut the pointer off from
//!   the stack locations or page frames that lie behind the structure.
//! - One kernel contract per `unsafe` block, named in its `SAFETY:` line.

pub(crate) mod dpc;
pub(crate) mod irp;
pub(crate) mod lock;
pub(crate) mod mdl;
pub(crate) mod memory;
pub(crate) mod queue;
pub(crate) mod rundown;

use wdk_sys::NTSTATUS;

/// `NT_SUCCESS`: success and informational codes.
pub(crate) const fn succeeded(status: NTSTATUS) -> bool {
    status >= 0
}
