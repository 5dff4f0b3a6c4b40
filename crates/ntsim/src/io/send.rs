//! IRPs on their way down: `IofCallDriver`.

use super::complete::complete;
use super::irp::{current_location, set_current, tell};
use super::state::Ticket;
use super::watch;
use crate::abi::{
    IO_TYPE_IRP, NTSTATUS, PDEVICE_OBJECT, PDRIVER_DISPATCH, PIO_STACK_LOCATION, PIRP,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_INVALID_DEVICE_REQUEST, UCHAR,
};
use crate::call::{self, Rule};
use crate::machine::context::{self, Context, DISPATCH, Frame};
use crate::machine::story::{Event, Step};
use crate::machine::{Violation, codes, lock};

/// A completion routine is set.
pub(super) const INVOKE: UCHAR =
    (SL_INVOKE_ON_CANCEL | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_SUCCESS) as UCHAR;

/// `IofCallDriver` for the kernel's own modules.
///
/// # Safety
/// The caller has the IRP and prepared its next stack location.
pub unsafe fn call_driver(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { send(&context, device, irp) }
}

/// # Safety
/// As for [`call_driver`].
unsafe fn send(context: &Context, device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let machine = &context.machine;
    machine.sample_stack(context, irp);
    check_caller(context, irp);
    let checked = {
        let io = lock(&machine.io);
        let ticket = io.irps.begin_send(irp.addr(), context.frame.get());
        ticket.and_then(|ticket| {
            let record = io.devices.target(device.addr(), irp.addr())?;
            Ok((ticket, record.number, record.driver, record.owner))
        })
    };
    let (ticket, number, driver, owner) =
        checked.unwrap_or_else(|violation| tell(context, violation, irp));
    let target = Frame {
        driver,
        owner,
        what: "a dispatch routine",
    };
    // SAFETY: the caller's contract; the tables know both objects.
    let (location, major, minor) = unsafe {
        let location = advance(context, irp, &ticket);
        (*location).DeviceObject = device;
        (
            location,
            (*location).MajorFunction,
            (*location).MinorFunction,
        )
    };
    machine.note(4, u64::from(major));
    // SAFETY: as above.
    let (level, mdl) = unsafe { ((*irp).CurrentLocation, (*irp).MdlAddress.addr()) };
    let event = Event {
        step: Step::Sent,
        time: machine.now(),
        driver: context.frame.get().driver,
        device: number,
        major,
        minor,
        location: level,
        ..Event::default()
    };
    // SAFETY: as above.
    let routine = unsafe { has_routine(location) };
    let (dispatch, watched) = {
        let mut io = lock(&machine.io);
        let dispatch = io.irps.sent(&ticket, event, target, mdl, routine);
        (dispatch, io.watched.contains_key(&device.addr()))
    };
    if watched {
        // SAFETY: as above.
        unsafe { watch::arrived(context, device, irp) };
    }
    if ticket.first && mdl != 0 {
        let users = lock(&machine.memory.mdls).in_flight(mdl, true);
        if users > 1 {
            check_sharing(context, irp, mdl);
        }
    }
    // SAFETY: a device in the table has a driver object.
    let routine = unsafe { routine_for(device, location) };
    let status = call::checked(
        context,
        target,
        &Rule::Dispatch(device.addr()),
        || match routine {
            // SAFETY: the driver's own routine, called as every dispatch routine is.
            Some(routine) => unsafe { call::enter(routine, (device, irp)) },
            // SAFETY: the driver has no routine, so the I/O manager answers for it.
            None => unsafe { refuse(context, irp) },
        },
    );
    let result = lock(&machine.io)
        .irps
        .returned(dispatch, status, irp.addr());
    result.unwrap_or_else(|violation| tell(context, violation, irp));
    status
}

/// An MDL belongs to one IRP of a driver at a time: what a driver below notes in it, a mapping for
/// instance, is about that IRP. (The parent that it came with is another driver's.)
fn check_sharing(context: &Context, irp: PIRP, mdl: usize) {
    let driver = context.frame.get().driver;
    let other = lock(&context.machine.io)
        .irps
        .sharing_mdl(irp.addr(), mdl, driver);
    if let Some(other) = other {
        let story = format!(
            "IoCallDriver with an MDL that another IRP of the same driver, {other:#x}, has in \
             flight."
        );
        let rule = codes::strict::MDL_IN_USE;
        tell(
            context,
            Violation::verifier(rule, mdl, irp.addr(), story),
            irp,
        );
    }
}

fn check_caller(context: &Context, irp: PIRP) {
    let irql = context.irql.get();
    if irql > DISPATCH {
        let story = format!("IoCallDriver at IRQL {irql}.");
        tell(
            context,
            Violation::io(0x10, usize::from(irql), irp.addr(), story),
            irp,
        );
    }
    let held = context.locks.borrow().last().copied();
    if let Some(held) = held {
        let story = format!("IoCallDriver with the spin lock at {held:#x} held.");
        let rule = codes::strict::SPIN_LOCK_HELD;
        tell(
            context,
            Violation::verifier(rule, held, irp.addr(), story),
            irp,
        );
    }
}

/// Makes the next location the current one, if there is one and the sender prepared it well.
///
/// # Safety
/// The caller has the IRP.
unsafe fn advance(context: &Context, irp: PIRP, ticket: &Ticket) -> PIO_STACK_LOCATION {
    let fail = |violation| tell(context, violation, irp);
    // SAFETY: the caller's contract; every location down to the first lies in the IRP's block.
    unsafe {
        if i32::from((*irp).Type) != IO_TYPE_IRP as i32 {
            fail(Violation::io(
                0x03,
                irp.addr(),
                0,
                "IoCallDriver with an IRP whose Type is wrong.",
            ));
        }
        if (*irp).CancelRoutine.is_some() {
            let story = "IoCallDriver with an IRP whose cancel routine is still set.";
            fail(Violation::io(0x203, irp.addr(), 0, story));
        }
        let level = (*irp).CurrentLocation - 1;
        if level <= 0 {
            let story = "IoCallDriver with an IRP that has no stack location left.";
            let parameters = [irp.addr() as u64, 0, 0, 0];
            fail(Violation::new(
                codes::NO_MORE_IRP_STACK_LOCATIONS,
                parameters,
                story,
            ));
        }
        if level > (*irp).StackCount {
            let story = "IoCallDriver with an IRP that was skipped past its first stack location.";
            fail(Violation::io(0x212, irp.addr(), 0, story));
        }
        let location = current_location(irp).sub(1);
        if u32::from((*location).Control) & SL_PENDING_RETURNED != 0 {
            let story = "IoCallDriver with a stack location that is marked pending: it was skipped \
                         after IoMarkIrpPending, or copied with its Control field.";
            fail(Violation::io(0x206, irp.addr(), 0, story));
        }
        if level > 1 && (*location.sub(1)).Control & INVOKE != 0 {
            let story = "IoCallDriver after IoSetCompletionRoutine and then \
                         IoSkipCurrentIrpStackLocation: the routine is in a location below.";
            fail(Violation::io(0x212, irp.addr(), 0, story));
        }
        if !ticket.first && level < (*irp).StackCount && copied_routine(location) {
            let story = "IoCallDriver with a stack location that was copied together with the \
                         completion routine of the driver above.";
            fail(Violation::io(0x207, irp.addr(), 0, story));
        }
        (*irp).CurrentLocation = level;
        set_current(irp, location);
        location
    }
}

/// # Safety
/// `location` has a location above it.
unsafe fn copied_routine(location: PIO_STACK_LOCATION) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        let above = location.add(1);
        let routine = |location: PIO_STACK_LOCATION| {
            (*location)
                .CompletionRoutine
                .map(|routine| routine as *const () as usize)
        };
        (*location).Control & INVOKE != 0
            && (*above).Control & INVOKE != 0
            && routine(location) == routine(above)
            && (*location).Context == (*above).Context
    }
}

/// Whether a driver has set a completion routine in a location. The framework's own, which gives a
/// remove lock back, is none of a driver's.
///
/// # Safety
/// The caller has the IRP that `location` belongs to.
unsafe fn has_routine(location: PIO_STACK_LOCATION) -> bool {
    // SAFETY: the caller's contract.
    let (control, routine) = unsafe { ((*location).Control, (*location).CompletionRoutine) };
    let address = routine.map_or(0, |routine| routine as *const () as usize);
    control & INVOKE != 0 && address != 0 && !crate::wdf::is_own_routine(address)
}

/// # Safety
/// `device` is a device, `location` the stack location sent to it.
unsafe fn routine_for(device: PDEVICE_OBJECT, location: PIO_STACK_LOCATION) -> PDRIVER_DISPATCH {
    // SAFETY: the caller's contract.
    unsafe {
        let table = &raw const (*(*device).DriverObject).MajorFunction;
        let major = usize::from((*location).MajorFunction);
        if major < 28 { (*table)[major] } else { None }
    }
}

/// # Safety
/// The IRP was sent to a driver without a routine for it.
unsafe fn refuse(context: &Context, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_INVALID_DEVICE_REQUEST;
        (*irp).IoStatus.Information = 0;
        complete(context, irp);
    }
    STATUS_INVALID_DEVICE_REQUEST
}

pub(super) mod exports {
    //! `IofCallDriver`.

    use super::{NTSTATUS, PDEVICE_OBJECT, PIRP, send};
    use crate::export::exports;
    use crate::machine::context::DISPATCH;

    exports! { run;
        /// Sends an IRP to the driver of a device. Up to `DISPATCH_LEVEL`.
        fn IofCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: PIRP) -> NTSTATUS {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { send(run.context(), DeviceObject, Irp) }
        }
    }
}
