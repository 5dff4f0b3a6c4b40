//! What drivers ask about processes.

use super::ProcessId;
use crate::abi::{PEPROCESS, PIRP};
use crate::export::exports;
use crate::machine::context::DISPATCH;
use crate::machine::{Violation, codes};

exports! { run;
    /// The process whose address space is the current one; `PsGetCurrentProcess` in `wdm.h`. At
    /// `DISPATCH_LEVEL`, in a DPC, that is whichever process was interrupted.
    fn IoGetCurrentProcess() -> PEPROCESS {
        run.context().process.get().object()
    }

    /// The process of the thread that an IRP was made for, from `Tail.Overlay.Thread`; null for an
    /// IRP that belongs to no thread, as a driver's own do (ntifs.h).
    fn IoGetRequestorProcess(Irp: PIRP) -> PEPROCESS {
        run.irql_at_most(DISPATCH);
        // SAFETY: the caller has the IRP.
        let thread = unsafe { (*Irp).Tail.Overlay.Thread };
        if thread.is_null() {
            return std::ptr::null_mut();
        }
        let Some(process) = ProcessId::of_thread(thread) else {
            let story = format!("IoGetRequestorProcess: no thread is at {:#x}, which the IRP names.", thread.addr());
            let parameters = [thread.addr() as u64, 0, 0, 0];
            Violation::new(codes::PAGE_FAULT_IN_NONPAGED_AREA, parameters, story).raise()
        };
        process.object()
    }
}
