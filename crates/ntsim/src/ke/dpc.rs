//! Deferred procedure calls.

use crate::call;
use crate::machine::context::{Context, Frame};
use crate::machine::core::DpcCall;
use crate::machine::{Machine, Violation, codes};

/// Runs a DPC at `DISPATCH_LEVEL` on top of the calling thread.
pub(crate) fn run_dpc(context: &Context, dpc: &DpcCall) {
    let owner = context.machine.driver_owner(dpc.driver);
    let frame = Frame {
        driver: dpc.driver,
        owner,
        what: "a DPC",
    };
    let Some(routine) = dpc.routine else {
        let parameters = [1, dpc.dpc.addr() as u64, 0, 0];
        let story = "A DPC without a routine was queued.";
        Violation::new(codes::TIMER_OR_DPC_INVALID, parameters, story).raise();
    };
    call::checked(context, frame, &call::Rule::Other, || {
        let [first, second] = dpc.arguments;
        // SAFETY: the driver's own routine, as it registered it; a DPC that is being freed while
        // queued was a bug check.
        unsafe { call::enter(routine, (dpc.dpc, dpc.context, first, second)) };
    });
}

/// Memory is being freed: no timer that is set and no DPC that is queued may lie in it, and those
/// that do lie in it exist no longer.
pub(crate) fn forget_range(machine: &Machine, base: usize, length: usize) {
    let range = base..base + length;
    let mut core = machine.core();
    let timer = core
        .timers
        .keys()
        .copied()
        .find(|timer| range.contains(timer));
    let dpc = core
        .dpcs
        .iter()
        .map(|call| call.dpc.addr())
        .find(|dpc| range.contains(dpc));
    let later = core
        .timers
        .values()
        .map(|timer| timer.dpc.addr())
        .find(|dpc| range.contains(dpc));
    core.known_timers.retain(|timer, _| !range.contains(timer));
    core.dpc_drivers.retain(|dpc, _| !range.contains(dpc));
    drop(core);
    let verdict = match (timer, dpc, later) {
        (Some(timer), ..) => Some((0, timer, "a timer that is set: KeCancelTimer comes first")),
        (_, Some(dpc), _) => Some((
            1,
            dpc,
            "a DPC that is queued: KeFlushQueuedDpcs comes first",
        )),
        (.., Some(dpc)) => Some((1, dpc, "the DPC of a timer that is set")),
        _ => None,
    };
    if let Some((kind, object, what)) = verdict {
        let parameters = [kind, object as u64, base as u64, length as u64];
        let story = format!("Memory of {length} bytes was freed and contains {what}.");
        Violation::new(codes::TIMER_OR_DPC_INVALID, parameters, story).raise();
    }
    let list = crate::machine::lock(&machine.memory.lists).lookaside_in(base, length);
    if let Some(list) = list {
        let story = "Memory was freed and contains a lookaside list that is in use.";
        Violation::verifier(0xCC, list, base, story).raise();
    }
}

pub(super) mod exports {
    //! `KeInitializeDpc` to `KeFlushQueuedDpcs`.

    use super::{Violation, codes};
    use crate::abi::{BOOLEAN, PKDEFERRED_ROUTINE, PRKDPC, PVOID};
    use crate::export::exports;
    use crate::machine::context::Context;
    use crate::machine::core::OBJECT_DPCS_FLUSHED;

    /// `DpcObject` among the kernel's object types.
    const DPC_OBJECT: u8 = 19;

    exports! { run;
        /// Initialises a DPC.
        fn KeInitializeDpc(Dpc: PRKDPC, DeferredRoutine: PKDEFERRED_ROUTINE, DeferredContext: PVOID) {
            let context = run.context();
            let mut core = context.machine.core();
            // SAFETY: the caller's memory.
            unsafe {
                Dpc.write_bytes(0, 1);
                (*Dpc).__bindgen_anon_1.__bindgen_anon_1.Type = DPC_OBJECT;
                (*Dpc).__bindgen_anon_1.__bindgen_anon_1.Importance = 1;
                (*Dpc).DeferredRoutine = DeferredRoutine;
                (*Dpc).DeferredContext = DeferredContext;
            }
            core.dpc_drivers.insert(Dpc.addr(), context.frame.get().driver);
        }

        /// Queues a DPC; false if it is queued already. Below `DISPATCH_LEVEL` it runs at once.
        fn KeInsertQueueDpc(Dpc: PRKDPC, SystemArgument1: PVOID, SystemArgument2: PVOID) -> BOOLEAN {
            let machine = &run.context().machine;
            check_initialised(run.context(), Dpc);
            let mut core = machine.core();
            // SAFETY: initialised, as just checked.
            let queued = unsafe { core.queue_dpc(Dpc, [SystemArgument1, SystemArgument2]) };
            machine.update_attention(&mut core);
            BOOLEAN::from(queued)
        }

        /// Takes a DPC out of the queue; false if it is not in it.
        fn KeRemoveQueueDpc(Dpc: PRKDPC) -> BOOLEAN {
            let mut core = run.context().machine.core();
            let before = core.dpcs.len();
            core.dpcs.retain(|call| call.dpc.addr() != Dpc.addr());
            let removed = core.dpcs.len() < before;
            if removed {
                // SAFETY: it was queued, so it is valid memory.
                unsafe { (*Dpc).DpcData = std::ptr::null_mut() };
            }
            BOOLEAN::from(removed)
        }

        /// Returns when every DPC queued before has run. `PASSIVE_LEVEL`.
        fn KeFlushQueuedDpcs() {
            run.irql_at_most(0);
            let context = run.context();
            let machine = &context.machine;
            let mut core = machine.core();
            let limit = core.next_sequence();
            while core.dpc_outstanding(limit) {
                let place = "for queued DPCs to run".to_owned();
                core.begin_wait(context.thread, OBJECT_DPCS_FLUSHED, None, place);
                machine.update_attention(&mut core);
                machine.sleep(context, core);
                core = machine.core();
            }
        }
    }

    fn check_initialised(context: &Context, dpc: PRKDPC) {
        let known = context.machine.core().dpc_drivers.contains_key(&dpc.addr());
        if !known {
            let story = format!(
                "The DPC at {:#x} was queued and is none: it was never initialised, or its memory was freed.",
                dpc.addr()
            );
            let parameters = [1, dpc.addr() as u64, 0, 0];
            Violation::new(codes::TIMER_OR_DPC_INVALID, parameters, story).raise();
        }
    }
}
