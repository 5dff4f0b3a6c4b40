//! What the framework asks of the kernel for itself, in one place.
//!
//! The framework's own allocations are not the driver's: they go to [`Owner::Framework`], while
//! objects that a driver makes are counted as the driver's.

use core::ffi::c_void;

use crate::machine::context::{self, Frame};
use crate::machine::{self, AllocationKind, DriverId, Owner};
use crate::{ke, memory};

/// Tag of the framework's own pool, `Fxdr` in memory order.
const TAG: u32 = u32::from_le_bytes(*b"FxDr");

/// Whether the calling thread belongs to a machine.
pub(crate) fn is_running() -> bool {
    context::try_current().is_some()
}

/// The IRQL of the calling thread.
pub(crate) fn irql() -> u8 {
    ke::irql()
}

/// Stops the machine.
pub(crate) fn bug_check(code: u32, parameters: [u64; 4], story: String) -> ! {
    machine::bug_check(code, parameters, story)
}

/// The driver whose code the calling thread runs.
pub(crate) fn running_driver() -> DriverId {
    context::current().frame.get().driver
}

/// Runs `work` as the framework's own on behalf of the driver that is running.
pub(crate) fn as_framework<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let context = context::current();
    let frame = Frame {
        owner: Owner::Framework,
        what,
        ..context.frame.get()
    };
    context.in_frame(frame, work)
}

/// Memory for the framework; NULL if there is none.
pub(crate) fn allocate(bytes: usize) -> *mut c_void {
    memory::pool_allocate(Owner::Framework, bytes, TAG)
}

/// Gives memory from [`allocate`] back; NULL is nothing.
pub(crate) fn free(block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: the block is from `allocate`, and its owner gives it back.
        unsafe { memory::pool_free(block) };
    }
}

/// Whether an object of so many bytes, made for a driver, shall fail: Driver Verifier's low
/// resources simulation.
pub(crate) fn shall_fail(bytes: usize) -> bool {
    machine::with(|machine| machine.shall_fail(AllocationKind::Framework, bytes, TAG))
}

/// Counts an object made for a driver.
pub(crate) fn count_object(bytes: usize) {
    machine::with(|machine| machine.count_framework(1, bytes as i64));
}

/// Counts an object of a driver that is gone.
pub(crate) fn uncount_object(bytes: usize) {
    machine::with(|machine| machine.count_framework(-1, -(bytes as i64)));
}
