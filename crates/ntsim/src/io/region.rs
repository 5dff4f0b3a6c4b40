//! The last stage of a thread's IRPs, and the regions that keep it away.
//!
//! What is left to do for an IRP that the I/O manager made for a thread happens in that thread: a
//! special kernel APC writes the status block, sets the event and frees the IRP (ReactOS:
//! ntoskrnl/io/iomgr/irp.c, `IofCompleteRequest`). In a guarded region the thread gets none (Microsoft:
//! "Disabling APCs"), so who waits for such an event there waits for ever.
//!
//! Here it happens in the thread that completes the IRP, at once, unless the IRP's own thread is in a
//! guarded region: then in that thread, when it leaves.

use std::collections::BTreeMap;

use super::build::finish_threaded;
use crate::abi::{IRP, PIRP};
use crate::machine::context::{Context, ThreadId};
use crate::machine::{Shared, Violation, codes, lock};

/// The threads that are in guarded regions.
#[derive(Default)]
pub(crate) struct Regions(BTreeMap<ThreadId, Region>);

#[derive(Default)]
struct Region {
    /// Regions within regions.
    depth: u32,
    /// Completed IRPs of the thread.
    kept: Vec<Shared<IRP>>,
}

/// Finishes `irp` in `thread`, now or when it can be.
///
/// # Safety
/// The completion walk is over and has the IRP, which was built for the thread.
pub(super) unsafe fn finish_in(context: &Context, thread: ThreadId, irp: PIRP) {
    if let Some(region) = lock(&context.machine.io).regions.0.get_mut(&thread) {
        region.kept.push(Shared(irp));
        return;
    }
    // SAFETY: the caller's contract.
    unsafe { finish_threaded(context, irp) }
}

fn enter(context: &Context) {
    let mut io = lock(&context.machine.io);
    io.regions.0.entry(context.thread).or_default().depth += 1;
}

/// The IRPs that have waited, in order of their completion.
fn leave(context: &Context) -> Vec<Shared<IRP>> {
    let mut io = lock(&context.machine.io);
    let Some(region) = io.regions.0.get_mut(&context.thread) else {
        drop(io);
        let story = "KeLeaveGuardedRegion without KeEnterGuardedRegion.";
        Violation::new(codes::APC_INDEX_MISMATCH, [0; 4], story).raise();
    };
    region.depth -= 1;
    if region.depth > 0 {
        return Vec::new();
    }
    let left = io.regions.0.remove(&context.thread);
    left.map(|region| region.kept).unwrap_or_default()
}

fn is_guarded(context: &Context) -> bool {
    let io = lock(&context.machine.io);
    io.regions.0.contains_key(&context.thread)
}

/// The end of a thread: it has left every region, or its IRPs would never be finished.
pub(crate) fn assert_left(context: &Context) {
    if is_guarded(context) {
        let story = "A thread ends inside a guarded region.";
        Violation::new(codes::APC_INDEX_MISMATCH, [0; 4], story).raise();
    }
}

pub(super) mod exports {
    //! `KeEnterGuardedRegion`, `KeLeaveGuardedRegion`, `KeAreAllApcsDisabled`.

    use super::{Shared, enter, finish_threaded, is_guarded, leave};
    use crate::abi::{APC_LEVEL, BOOLEAN, KIRQL};
    use crate::export::exports;

    exports! { run;
        /// No APCs for the current thread from here on.
        fn KeEnterGuardedRegion() {
            run.irql_at_most(APC_LEVEL as KIRQL);
            enter(run.context());
        }

        /// The end of the region; what has waited for it comes in now.
        fn KeLeaveGuardedRegion() {
            run.irql_at_most(APC_LEVEL as KIRQL);
            for Shared(irp) in leave(run.context()) {
                // SAFETY: `finish_in` was given it, and nobody has had it since.
                unsafe { finish_threaded(run.context(), irp) };
            }
        }

        /// Whether the current thread gets no APCs: in a guarded region, and from `APC_LEVEL` on.
        fn KeAreAllApcsDisabled() -> BOOLEAN {
            let context = run.context();
            BOOLEAN::from(is_guarded(context) || context.irql.get() >= APC_LEVEL as KIRQL)
        }
    }
}
