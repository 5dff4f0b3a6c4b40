//! Cancellation.

use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use super::irp::{current_location, tell};
use crate::abi::{BOOLEAN, KIRQL, PDRIVER_CANCEL, PIRP, PKIRQL};
use crate::call;
use crate::export::exports;
use crate::ke::{acquire_spin_lock, release_spin_lock};
use crate::machine::context::{Context, DISPATCH, Frame};
use crate::machine::story::{Event, Step};
use crate::machine::{DriverId, Violation, lock};

exports! { run;
    /// Acquires the system's cancel spin lock.
    fn IoAcquireCancelSpinLock(Irql: PKIRQL) {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let before = context.irql.replace(DISPATCH);
        // SAFETY: the machine's own lock, and the caller's memory.
        unsafe {
            acquire_spin_lock(context, context.machine.cancel_lock.as_ptr());
            Irql.write(before);
        }
    }

    /// Releases the system's cancel spin lock.
    fn IoReleaseCancelSpinLock(Irql: KIRQL) {
        let context = run.context();
        // SAFETY: the machine's own lock.
        unsafe { release_spin_lock(context, context.machine.cancel_lock.as_ptr()) };
        context.irql.set(Irql);
    }

    /// Cancels an IRP; true if it had a cancel routine, which has then been called.
    fn IoCancelIrp(Irp: PIRP) -> BOOLEAN {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let machine = &context.machine;
        let holder = {
            let mut io = lock(&machine.io);
            io.irps.find_mut(Irp.addr()).map(|record| {
                let driver = context.frame.get().driver;
                let event = Event { step: Step::Cancelled, time: machine.now(), driver, ..Event::default() };
                record.story.push(event);
                record.holder
            })
        };
        let Some(holder) = holder else {
            let story = "IoCancelIrp of an IRP that exists no longer.";
            tell(context, Violation::io(0x03, Irp.addr(), 0, story), Irp);
        };
        let irql = context.irql.replace(DISPATCH);
        // SAFETY: the table has the IRP; drivers change these fields atomically (wdm.h,
        // IoSetCancelRoutine).
        let routine = unsafe {
            acquire_spin_lock(context, machine.cancel_lock.as_ptr());
            AtomicU8::from_ptr(&raw mut (*Irp).Cancel).store(1, Ordering::SeqCst);
            swap_routine(Irp, None)
        };
        let Some(routine) = routine else {
            // SAFETY: acquired above.
            unsafe { release_spin_lock(context, machine.cancel_lock.as_ptr()) };
            context.irql.set(irql);
            return 0;
        };
        // SAFETY: the IRP's cancel routine, called as IoCancelIrp calls it: with the cancel lock
        // held, which the routine releases to CancelIrql.
        unsafe {
            (*Irp).CancelIrql = irql;
            let device = if (*Irp).CurrentLocation <= (*Irp).StackCount {
                (*current_location(Irp)).DeviceObject
            } else {
                std::ptr::null_mut()
            };
            run_routine(context, holder, || call::enter(routine, (device, Irp)));
        }
        let still_held = context.locks.borrow().contains(&machine.cancel_lock.as_ptr().addr());
        if still_held {
            let story = "A cancel routine returned without IoReleaseCancelSpinLock.";
            Violation::verifier(crate::machine::codes::strict::SPIN_LOCK_HELD, 0, Irp.addr(), story).raise();
        }
        1
    }
}

/// `IoSetCancelRoutine` (an interlocked exchange in the Windows headers).
///
/// # Safety
/// `irp` is an IRP.
pub(crate) unsafe fn swap_routine(irp: PIRP, routine: PDRIVER_CANCEL) -> PDRIVER_CANCEL {
    let new = routine.map_or(std::ptr::null_mut(), |routine| routine as *mut ());
    // SAFETY: the caller's contract; the field has the size and alignment of a pointer, and null is
    // its empty value.
    unsafe {
        let field = (&raw mut (*irp).CancelRoutine).cast::<*mut ()>();
        let old = AtomicPtr::from_ptr(field).swap(new, Ordering::SeqCst);
        std::mem::transmute::<*mut (), PDRIVER_CANCEL>(old)
    }
}

/// Calls a cancel routine. It lowers the IRQL itself, so the usual check does not fit.
fn run_routine(context: &Context, driver: DriverId, call: impl FnOnce()) {
    let owner = context.machine.driver_owner(driver);
    let frame = Frame {
        driver,
        owner,
        what: "a cancel routine",
    };
    context.in_frame(frame, call);
}
