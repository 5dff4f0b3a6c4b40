//! IRPs on their way up: `IofCompleteRequest` and the completion walk.

use super::irp::{current_location, guard_is_dirty, guard_violation, set_current, tell};
use super::send::INVOKE;
use super::state::{Kind, Left, Place, in_other_hands};
use crate::abi::{
    IRP_MJ_DEVICE_CONTROL, METHOD_BUFFERED, NT_ERROR, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT,
    PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, PVOID, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_PENDING, UCHAR,
};
use crate::call::{self, Rule};
use crate::machine::context::{self, Context, DISPATCH, Frame};
use crate::machine::story::{Event, Step};
use crate::machine::{DriverId, Violation, codes, lock};

const PENDING: UCHAR = SL_PENDING_RETURNED as UCHAR;

/// `IofCompleteRequest` for the kernel's own modules.
///
/// # Safety
/// The caller has the IRP and gives it up.
pub unsafe fn complete_request(irp: PIRP, _boost: i8) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { complete(&context, irp) }
}

/// # Safety
/// As for [`complete_request`].
pub(super) unsafe fn complete(context: &Context, irp: PIRP) {
    context.machine.sample_stack(context, irp);
    context.machine.note(5, 0);
    // SAFETY: the caller's contract, as far as the checks do not refute it.
    unsafe {
        check(context, irp);
        walk(context, irp);
    }
}

/// # Safety
/// `irp` is an IRP, if the table says so.
unsafe fn check(context: &Context, irp: PIRP) {
    let fail = |violation| tell(context, violation, irp);
    let address = irp.addr();
    let irql = context.irql.get();
    if irql > DISPATCH {
        let story = format!("IoCompleteRequest at IRQL {irql}.");
        fail(Violation::io(0x0E, usize::from(irql), address, story));
    }
    let held = context.locks.borrow().last().copied();
    if let Some(held) = held {
        let story = format!("IoCompleteRequest with the spin lock at {held:#x} held.");
        fail(Violation::verifier(
            codes::strict::SPIN_LOCK_HELD,
            held,
            address,
            story,
        ));
    }
    let twice = |story: &str| {
        let parameters = [address as u64, 0, 0, 0];
        Violation::new(codes::MULTIPLE_IRP_COMPLETE_REQUESTS, parameters, story)
    };
    let frame = context.frame.get();
    let verdict = {
        let io = lock(&context.machine.io);
        match io.irps.find(address) {
            None => Some(twice(
                "IoCompleteRequest of an IRP that exists no longer: it was completed, or freed, before.",
            )),
            Some(record) if record.place == Place::Home => Some(twice(
                "IoCompleteRequest of an IRP that has been completed, or was never sent.",
            )),
            Some(record) if in_other_hands(record, frame) => {
                let story = "IoCompleteRequest of an IRP that another driver has.";
                Some(Violation::io(0x209, address, 0, story))
            }
            Some(_) => None,
        }
    };
    if let Some(violation) = verdict {
        fail(violation);
    }
    // SAFETY: the table has the IRP.
    let (status, information, location, canceller) = unsafe {
        (
            (*irp).IoStatus.__bindgen_anon_1.Status,
            (*irp).IoStatus.Information,
            (*irp).CurrentLocation,
            (*irp).CancelRoutine.is_some(),
        )
    };
    if status == STATUS_PENDING || status == -1 {
        let story = format!(
            "IoCompleteRequest with status {:#010X}.",
            status.cast_unsigned()
        );
        let parameters = [0x06, u64::from(status.cast_unsigned()), address as u64, 0];
        let code = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;
        fail(Violation::new(code, parameters, story));
    }
    if canceller {
        let story = "IoCompleteRequest with the cancel routine still set.";
        fail(Violation::io(0x07, 0, address, story));
    }
    let event = Event {
        step: Step::Completed,
        time: context.machine.now(),
        driver: frame.driver,
        location,
        status,
        information,
        ..Event::default()
    };
    if let Some(record) = lock(&context.machine.io).irps.find_mut(address) {
        record.story.push(event);
    }
}

/// A stack location as the walk leaves it.
struct Leaving {
    routine: PIO_COMPLETION_ROUTINE,
    context: PVOID,
    /// The device object that the routine is given.
    device: PDEVICE_OBJECT,
    invoke: bool,
    pending: bool,
    left: Left,
    caller: Frame,
}

/// From the current location to the top, or to a routine that keeps the IRP.
///
/// # Safety
/// The caller gives the IRP up.
unsafe fn walk(context: &Context, irp: PIRP) {
    loop {
        // SAFETY: the caller's contract; a routine that did not keep the IRP left it alone.
        let Some(step) = (unsafe { leave_location(context, irp) }) else {
            // SAFETY: the IRP is back where it came from.
            return unsafe { top(context, irp) };
        };
        if step.invoke {
            // SAFETY: as above.
            if unsafe { invoke(context, irp, &step) } == STATUS_MORE_PROCESSING_REQUIRED {
                return;
            }
        } else if step.pending {
            // SAFETY: as above.
            unsafe { mark_pending(irp) };
        }
    }
}

/// Reads the location, moves on, clears it. `None` above the top.
///
/// # Safety
/// The walk has the IRP.
unsafe fn leave_location(context: &Context, irp: PIRP) -> Option<Leaving> {
    // SAFETY: the caller's contract; locations lie in the IRP's block.
    unsafe {
        let level = (*irp).CurrentLocation;
        let count = (*irp).StackCount;
        if level > count {
            return None;
        }
        let location = current_location(irp);
        let control = (*location).Control;
        let pending = control & PENDING != 0;
        (*irp).PendingReturned = UCHAR::from(pending);
        let (routine, argument) = ((*location).CompletionRoutine, (*location).Context);
        let status = (*irp).IoStatus.__bindgen_anon_1.Status;
        let invoke = control & INVOKE != 0 && wanted(control, status, (*irp).Cancel != 0);
        let above = if level < count {
            (*location.add(1)).DeviceObject
        } else {
            std::ptr::null_mut()
        };
        check_information(context, irp, location);
        let (left, caller) = record_leaving(context, irp, level, pending, status, above);
        (*irp).CurrentLocation = level + 1;
        set_current(irp, location.add(1));
        clear(location);
        Some(Leaving {
            routine,
            context: argument,
            device: above,
            invoke,
            pending,
            left,
            caller,
        })
    }
}

/// A buffered device control gives the sender `Information` bytes, which have to fit.
///
/// # Safety
/// The walk has the IRP and is about to leave `location`.
unsafe fn check_information(context: &Context, irp: PIRP, location: PIO_STACK_LOCATION) {
    // SAFETY: the caller's contract.
    unsafe {
        if u32::from((*location).MajorFunction) != IRP_MJ_DEVICE_CONTROL
            || NT_ERROR((*irp).IoStatus.__bindgen_anon_1.Status)
        {
            return;
        }
        let control = (*location).Parameters.DeviceIoControl;
        let information = (*irp).IoStatus.Information;
        let room = u64::from(control.OutputBufferLength);
        if control.IoControlCode & 3 == METHOD_BUFFERED && information > room {
            let story = format!(
                "A buffered device control is completed with Information {information}, and the \
                 sender has room for {room} bytes."
            );
            let rule = codes::strict::INFORMATION_TOO_LONG;
            tell(
                context,
                Violation::verifier(rule, irp.addr(), information as usize, story),
                irp,
            );
        }
    }
}

fn wanted(control: UCHAR, status: NTSTATUS, cancelled: bool) -> bool {
    let control = u32::from(control);
    NT_SUCCESS(status) && control & SL_INVOKE_ON_SUCCESS != 0
        || !NT_SUCCESS(status) && control & SL_INVOKE_ON_ERROR != 0
        || cancelled && control & SL_INVOKE_ON_CANCEL != 0
}

/// The verifier's part of leaving a location; and whose routine comes next.
fn record_leaving(
    context: &Context,
    irp: PIRP,
    level: i8,
    pending: bool,
    status: NTSTATUS,
    above: PDEVICE_OBJECT,
) -> (Left, Frame) {
    let machine = &context.machine;
    let address = irp.addr();
    let result = {
        let mut io = lock(&machine.io);
        let owner_above = io
            .devices
            .by_address
            .get(&above.addr())
            .map(|device| device.driver);
        io.irps
            .leave(address, level, pending, status, owner_above)
            .map(|left| {
                let driver = io
                    .irps
                    .find(address)
                    .map_or(DriverId::NONE, |record| record.holder);
                (left, driver)
            })
    };
    let (left, driver) = result.unwrap_or_else(|violation| tell(context, violation, irp));
    if left.home && left.mdl != 0 {
        let verdict = {
            let mut mdls = lock(&machine.memory.mdls);
            mdls.in_flight(left.mdl, false);
            mdls.may_be_released(left.mdl)
        };
        verdict.unwrap_or_else(|violation| tell(context, violation, irp));
    }
    let owner = machine.driver_owner(driver);
    (
        left,
        Frame {
            driver,
            owner,
            what: "a completion routine",
        },
    )
}

/// Clears what the I/O manager clears in a location it leaves, flags and parameters above all: an
/// IRP that is sent again without having been prepared again carries nothing of the first time.
///
/// # Safety
/// The location is the walk's.
unsafe fn clear(location: PIO_STACK_LOCATION) {
    // SAFETY: the caller's contract.
    unsafe {
        (*location).MinorFunction = 0;
        (*location).Flags = 0;
        (*location).Control = 0;
        (&raw mut (*location).Parameters).write_bytes(0, 1);
        (*location).FileObject = std::ptr::null_mut();
    }
}

/// # Safety
/// The walk has the IRP.
unsafe fn mark_pending(irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        if (*irp).CurrentLocation <= (*irp).StackCount {
            (*current_location(irp)).Control |= PENDING;
        }
    }
}

/// Calls a completion routine and looks at what it did.
///
/// # Safety
/// The walk has the IRP and gives it to the routine.
unsafe fn invoke(context: &Context, irp: PIRP, step: &Leaving) -> NTSTATUS {
    let Some(routine) = step.routine else {
        let story = "A stack location asks for a completion routine and names none.";
        tell(context, Violation::io(0x212, irp.addr(), 0, story), irp);
    };
    let rule = Rule::Completion(routine as *const () as usize);
    let status = call::checked(context, step.caller, &rule, || {
        // SAFETY: the driver put its routine there for this call.
        unsafe { call::enter(routine, (step.device, irp, step.context)) }
    });
    let (same, dirty) = {
        let io = lock(&context.machine.io);
        let record = io.irps.find(irp.addr());
        let same = record.is_some_and(|record| record.epoch == step.left.epoch);
        // SAFETY: the table has the IRP and nobody has used it since.
        (
            same,
            same && step.left.home && unsafe { guard_is_dirty(&io, irp) },
        )
    };
    if dirty {
        guard_violation(context, irp);
    }
    if status == STATUS_MORE_PROCESSING_REQUIRED {
        return status;
    }
    if !same {
        let story = format!(
            "A completion routine freed, reused or sent on the IRP and returned {:#010X} instead of \
             STATUS_MORE_PROCESSING_REQUIRED.",
            status.cast_unsigned()
        );
        tell(context, Violation::io(0x20B, irp.addr(), 0, story), irp);
    }
    // SAFETY: the IRP is the same and the walk's again.
    let forgotten = unsafe {
        step.pending
            && (*irp).CurrentLocation <= (*irp).StackCount
            && (*current_location(irp)).Control & PENDING == 0
    };
    if forgotten {
        let story = "A completion routine saw PendingReturned and did not mark the IRP pending.";
        tell(context, Violation::io(0x228, irp.addr(), 0, story), irp);
    }
    status
}

/// The walk is past the last location: the I/O manager finishes the IRP, if it made it.
///
/// # Safety
/// The walk has the IRP.
unsafe fn top(context: &Context, irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe { (*irp).CurrentLocation += 1 };
    let kind = lock(&context.machine.io)
        .irps
        .find(irp.addr())
        .map(|record| record.kind);
    if let Some(Kind::Threaded(thread)) = kind {
        // SAFETY: such an IRP was built by this module, and nobody else has it now.
        return unsafe { super::region::finish_in(context, thread, irp) };
    }
    if kind == Some(Kind::Associated) {
        // SAFETY: such an IRP was made for a master, and nobody else has it now.
        return unsafe { super::associated::finish_associated(context, irp) };
    }
    let story = "An IRP that a driver made itself was completed all the way up: its completion \
                 routine has to keep it (STATUS_MORE_PROCESSING_REQUIRED).";
    tell(context, Violation::io(0x200, irp.addr(), 0, story), irp)
}

pub(super) mod exports {
    //! `IofCompleteRequest`.

    use super::{DISPATCH, PIRP, complete};
    use crate::abi::CCHAR;
    use crate::export::exports;

    exports! { run;
        /// Completes an IRP. Up to `DISPATCH_LEVEL`.
        fn IofCompleteRequest(Irp: PIRP, PriorityBoost: CCHAR) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { complete(run.context(), Irp) }
        }
    }
}
