//! I/O priorities, activity ids, master IRPs.
//!
//! A hint lives in bits 17 to 19 of `IRP.Flags`, one more than its value; 0 means none was set.

use super::irp::tell;
use crate::abi::{
    _IO_PAGING_PRIORITY, _IO_PRIORITY_HINT, GUID, IO_PAGING_PRIORITY, IO_PRIORITY_HINT,
    IRP_PAGING_IO, LPCGUID, LPGUID, NT_SUCCESS, NTSTATUS, PIRP, STATUS_FT_READ_FROM_COPY,
    STATUS_INVALID_PARAMETER, STATUS_NOT_FOUND, STATUS_SUCCESS, STATUS_VERIFY_REQUIRED, ULONG,
};
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{Violation, codes, lock};

const SHIFT: u32 = 17;
const MASK: ULONG = 7 << SHIFT;

exports! { run;
    /// The priority hint of an IRP; normal if none was set.
    fn IoGetIoPriorityHint(Irp: PIRP) -> IO_PRIORITY_HINT {
        check_live(run.context(), Irp, "IoGetIoPriorityHint");
        // SAFETY: the caller has the IRP.
        let bits = unsafe { ((*Irp).Flags & MASK) >> SHIFT };
        if bits == 0 { _IO_PRIORITY_HINT::IoPriorityNormal } else { bits as IO_PRIORITY_HINT - 1 }
    }

    /// Sets the priority hint of an IRP.
    fn IoSetIoPriorityHint(Irp: PIRP, PriorityHint: IO_PRIORITY_HINT) -> NTSTATUS {
        if !(0.._IO_PRIORITY_HINT::MaxIoPriorityTypes).contains(&PriorityHint) {
            return STATUS_INVALID_PARAMETER;
        }
        check_live(run.context(), Irp, "IoSetIoPriorityHint");
        // SAFETY: the caller has the IRP.
        unsafe {
            (*Irp).Flags = ((*Irp).Flags & !MASK) | ((PriorityHint as ULONG + 1) << SHIFT);
        }
        STATUS_SUCCESS
    }

    /// The paging priority of an IRP.
    fn IoGetPagingIoPriority(Irp: PIRP) -> IO_PAGING_PRIORITY {
        // SAFETY: the caller has the IRP.
        let paging = unsafe { (*Irp).Flags } & IRP_PAGING_IO != 0;
        if paging {
            _IO_PAGING_PRIORITY::IoPagingPriorityNormal
        } else {
            _IO_PAGING_PRIORITY::IoPagingPriorityInvalid
        }
    }

    /// The activity id of an IRP.
    fn IoGetActivityIdIrp(Irp: PIRP, Guid: LPGUID) -> NTSTATUS {
        run.irql_at_most(DISPATCH);
        let id = lock(&run.context().machine.io).activity.get(&Irp.addr()).copied();
        let Some(id) = id else { return STATUS_NOT_FOUND };
        // SAFETY: the caller's memory.
        unsafe { Guid.write(id) };
        STATUS_SUCCESS
    }

    /// Sets the activity id of an IRP; null makes a new one.
    fn IoSetActivityIdIrp(Irp: PIRP, Guid: LPCGUID) -> NTSTATUS {
        run.irql_at_most(DISPATCH);
        let id = if Guid.is_null() {
            GUID { Data1: 1, ..GUID::default() }
        } else {
            // SAFETY: the caller's value.
            unsafe { Guid.read() }
        };
        lock(&run.context().machine.io).activity.insert(Irp.addr(), id);
        STATUS_SUCCESS
    }

    /// Merges the status of a part into that of the whole: a failure stays, and
    /// `STATUS_VERIFY_REQUIRED` outranks every other.
    fn IoSetMasterIrpStatus(MasterIrp: PIRP, Status: NTSTATUS) {
        run.irql_at_most(DISPATCH);
        check_live(run.context(), MasterIrp, "IoSetMasterIrpStatus");
        // SAFETY: the caller has the IRP.
        unsafe {
            let status = &raw mut (*MasterIrp).IoStatus.__bindgen_anon_1.Status;
            if *status != STATUS_VERIFY_REQUIRED
                && (Status == STATUS_VERIFY_REQUIRED
                    || NT_SUCCESS(*status) && (!NT_SUCCESS(Status) || Status == STATUS_FT_READ_FROM_COPY))
            {
                *status = Status;
            }
        }
    }
}

/// Windows would read what is left of the IRP, or what is there now.
fn check_live(context: &Context, irp: PIRP, function: &str) {
    if !lock(&context.machine.io).irps.contains(irp.addr()) {
        let story = format!("{function} with an IRP that exists no longer.");
        tell(
            context,
            Violation::verifier(codes::strict::IRP_GONE, irp.addr(), 0, story),
            irp,
        );
    }
}
