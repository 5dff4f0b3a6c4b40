//! Events and waits.

use std::ptr;

use crate::abi::{
    BOOLEAN, DISPATCHER_HEADER, EVENT_TYPE, NTSTATUS, PRKEVENT, STATUS_SUCCESS, STATUS_TIMEOUT,
};
use crate::machine::context::{self, Context, DISPATCH};
use crate::machine::{Violation, codes};

/// Waits for an event or timer, for at most `timeout` units of 100 ns. `STATUS_SUCCESS` or
/// `STATUS_TIMEOUT`. Below `DISPATCH_LEVEL`.
///
/// # Safety
/// `event` is initialised and stays so until the wait is over.
pub unsafe fn wait(event: PRKEVENT, timeout: Option<u64>) -> NTSTATUS {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { wait_for(&context, &raw mut (*event).Header, timeout) }
}

/// Signals an event, for the kernel's own modules. Up to `DISPATCH_LEVEL`.
///
/// # Safety
/// `event` is initialised.
pub unsafe fn set_event(event: PRKEVENT) {
    let context = context::current();
    let mut core = context.machine.core();
    // SAFETY: the caller's contract.
    unsafe { core.signal(&raw mut (*event).Header) };
    context.machine.update_attention(&mut core);
}

/// # Safety
/// The caller's memory.
pub(crate) unsafe fn initialise_event(event: PRKEVENT, kind: EVENT_TYPE, state: BOOLEAN) {
    // SAFETY: the caller's contract.
    unsafe {
        event.write_bytes(0, 1);
        let header = &raw mut (*event).Header;
        (*header).__bindgen_anon_1.__bindgen_anon_1.Type = kind as u8;
        (*header).__bindgen_anon_1.__bindgen_anon_1.Size = 6;
        (*header).SignalState = i32::from(state != 0);
        // Points at itself, as an empty list does; waiters are kept elsewhere.
        let list = &raw mut (*header).WaitListHead;
        (*list).Flink = list;
        (*list).Blink = list;
    }
}

/// # Safety
/// `object` is a valid dispatcher object until the wait is over.
pub(super) unsafe fn wait_for(
    context: &Context,
    object: *mut DISPATCHER_HEADER,
    timeout: Option<u64>,
) -> NTSTATUS {
    let machine = &context.machine;
    let irql = context.irql.get();
    if irql > DISPATCH || irql == DISPATCH && timeout != Some(0) {
        let story = format!(
            "A wait at IRQL {irql}: only a wait with timeout 0 is allowed at DISPATCH_LEVEL."
        );
        let parameters = [object.addr() as u64, u64::from(irql), 0, 0];
        Violation::new(codes::IRQL_NOT_LESS_OR_EQUAL, parameters, story).raise();
    }
    {
        let mut core = machine.core();
        // SAFETY: the caller's contract.
        if unsafe { core.try_take(object) } {
            return STATUS_SUCCESS;
        }
    }
    if timeout == Some(0) {
        return STATUS_TIMEOUT;
    }
    if let Some(hook) = machine.block_hook() {
        hook();
    }
    let frame = context.frame.get();
    let driver = machine.driver_name(frame.driver);
    let mut core = machine.core();
    // SAFETY: the caller's contract. Looked at again: the hook let go of the lock.
    if unsafe { core.try_take(object) } {
        return STATUS_SUCCESS;
    }
    let place = format!(
        "for the object at {:#x}, in {} of {driver}",
        object.addr(),
        frame.what
    );
    let due = timeout.map(|time| machine.now() + time);
    core.begin_wait(context.thread, object.addr(), due, place);
    machine.update_attention(&mut core);
    machine.sleep(context, core)
}

pub(super) mod exports {
    //! `KeInitializeEvent` to `KeWaitForSingleObject`.

    use super::{Violation, initialise_event, ptr, wait_for};
    use crate::abi::{
        BOOLEAN, DISPATCHER_HEADER, EVENT_TYPE, KPRIORITY, KPROCESSOR_MODE, KWAIT_REASON, LONG,
        NTSTATUS, PLARGE_INTEGER, PRKEVENT, PVOID,
    };
    use crate::export::exports;
    use crate::ke::time::system_time;
    use crate::machine::context::{Context, DISPATCH};

    exports! { run;
        /// Initialises an event.
        fn KeInitializeEvent(Event: PRKEVENT, Type: EVENT_TYPE, State: BOOLEAN) {
            // SAFETY: the caller's memory.
            unsafe { initialise_event(Event, Type, State) };
        }

        /// Signals an event; returns the state before.
        fn KeSetEvent(Event: PRKEVENT, Increment: KPRIORITY, Wait: BOOLEAN) -> LONG {
            let context = run.context();
            let irql = context.irql.get();
            if irql > DISPATCH {
                let story = format!("KeSetEvent at IRQL {irql}.");
                Violation::verifier(0x80, usize::from(irql), Event.addr(), story).raise();
            }
            let mut core = context.machine.core();
            // SAFETY: the caller's contract.
            let before = unsafe { core.signal(&raw mut (*Event).Header) };
            context.machine.update_attention(&mut core);
            before
        }

        /// Makes an event not signalled.
        fn KeClearEvent(Event: PRKEVENT) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { reset(run.context(), Event) };
        }

        /// Makes an event not signalled; returns the state before.
        fn KeResetEvent(Event: PRKEVENT) -> LONG {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { reset(run.context(), Event) }
        }

        /// Waits for an event or a timer.
        fn KeWaitForSingleObject(Object: PVOID, WaitReason: KWAIT_REASON, WaitMode: KPROCESSOR_MODE, Alertable: BOOLEAN, Timeout: PLARGE_INTEGER) -> NTSTATUS {
            let context = run.context();
            let timeout = if Timeout.is_null() {
                None
            } else {
                // SAFETY: the caller's value. Negative is relative, positive absolute system time.
                let due = unsafe { (*Timeout).QuadPart };
                Some(if due <= 0 {
                    due.unsigned_abs()
                } else {
                    due.unsigned_abs().saturating_sub(system_time(&context.machine))
                })
            };
            let object: *mut DISPATCHER_HEADER = Object.cast();
            // SAFETY: the caller's contract.
            unsafe { wait_for(context, object, timeout) }
        }
    }

    /// # Safety
    /// `event` is initialised.
    unsafe fn reset(context: &Context, event: PRKEVENT) -> LONG {
        let _core = context.machine.core();
        // SAFETY: the caller's contract; the core's lock guards the field.
        unsafe { ptr::replace(&raw mut (*event).Header.SignalState, 0) }
    }
}
