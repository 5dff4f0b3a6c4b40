//! Timers.

use super::time::system_time;
use crate::abi::{_TIMER_TYPE, BOOLEAN, LARGE_INTEGER, PKDPC, PKTIMER, TIMER_TYPE};
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::core::{NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER};
use crate::machine::{Violation, codes};

exports! { run;
    /// Initialises a notification timer.
    fn KeInitializeTimer(Timer: PKTIMER) {
        // SAFETY: the caller's memory.
        unsafe { initialise(run.context(), Timer, _TIMER_TYPE::NotificationTimer) };
    }

    /// Initialises a timer of either type.
    fn KeInitializeTimerEx(Timer: PKTIMER, Type: TIMER_TYPE) {
        // SAFETY: the caller's memory.
        unsafe { initialise(run.context(), Timer, Type) };
    }

    /// Sets a timer, relative to now (negative) or at a system time; true if it was set before.
    fn KeSetTimer(Timer: PKTIMER, DueTime: LARGE_INTEGER, Dpc: PKDPC) -> BOOLEAN {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let machine = &context.machine;
        check_initialised(context, Timer, Dpc);
        // SAFETY: every bit pattern is an integer.
        let due = unsafe { DueTime.QuadPart };
        let now = machine.now();
        let time = if due <= 0 {
            now + due.unsigned_abs()
        } else {
            now + due.unsigned_abs().saturating_sub(system_time(machine))
        };
        let mut core = machine.core();
        // SAFETY: an initialised timer; the core's lock guards it.
        unsafe {
            (*Timer).Header.SignalState = 0;
            (*Timer).DueTime.QuadPart = time;
            (*Timer).Dpc = Dpc;
        }
        let before = core.set_timer(Timer, time, Dpc);
        machine.update_attention(&mut core);
        BOOLEAN::from(before)
    }

    /// Takes a timer back; false if it is not set (any longer). Its DPC may be queued or running.
    fn KeCancelTimer(arg1: PKTIMER) -> BOOLEAN {
        run.irql_at_most(DISPATCH);
        let mut core = run.context().machine.core();
        BOOLEAN::from(core.timers.remove(&arg1.addr()).is_some())
    }
}

/// # Safety
/// The caller's memory.
unsafe fn initialise(context: &Context, timer: PKTIMER, kind: TIMER_TYPE) {
    let mut core = context.machine.core();
    let object = if kind == _TIMER_TYPE::NotificationTimer {
        NOTIFICATION_TIMER
    } else {
        SYNCHRONIZATION_TIMER
    };
    let was_set = core.timers.contains_key(&timer.addr());
    if !was_set {
        // SAFETY: the caller's contract.
        unsafe {
            timer.write_bytes(0, 1);
            (*timer).Header.__bindgen_anon_1.__bindgen_anon_1.Type = object;
        }
        core.known_timers
            .insert(timer.addr(), context.frame.get().driver);
    }
    drop(core);
    if was_set {
        let parameters = [0, timer.addr() as u64, 0, 0];
        let story = "A timer that is set was initialised again.";
        Violation::new(codes::TIMER_OR_DPC_INVALID, parameters, story).raise();
    }
}

fn check_initialised(context: &Context, timer: PKTIMER, dpc: PKDPC) {
    let core = context.machine.core();
    let unknown = if !core.known_timers.contains_key(&timer.addr()) {
        Some((0, timer.addr(), "timer"))
    } else if !dpc.is_null() && !core.dpc_drivers.contains_key(&dpc.addr()) {
        Some((1, dpc.addr(), "DPC"))
    } else {
        None
    };
    drop(core);
    if let Some((kind, address, what)) = unknown {
        let parameters = [kind, address as u64, 0, 0];
        let story = format!(
            "KeSetTimer with the {what} at {address:#x}, which is none: it was never initialised, or its memory was freed."
        );
        Violation::new(codes::TIMER_OR_DPC_INVALID, parameters, story).raise();
    }
}
