//! Cancel-safe queues: the order of operations is that of Microsoft's *csq.h*, as published with
//! the down-level library.

use super::cancel::swap_routine;
use super::irp::current_location;
use crate::abi::{
    IRP, KIRQL, NTSTATUS, PDEVICE_OBJECT, PIO_CSQ, PIO_CSQ_ACQUIRE_LOCK,
    PIO_CSQ_COMPLETE_CANCELED_IRP, PIO_CSQ_INSERT_IRP, PIO_CSQ_INSERT_IRP_EX, PIO_CSQ_IRP_CONTEXT,
    PIO_CSQ_PEEK_NEXT_IRP, PIO_CSQ_RELEASE_LOCK, PIO_CSQ_REMOVE_IRP, PIRP, PVOID,
    SL_PENDING_RETURNED, STATUS_SUCCESS, UCHAR, ULONG,
};
use crate::call;
use crate::export::exports;
use crate::ke::release_spin_lock;
use crate::machine::context::{self, DISPATCH};

/// Type numbers in the first word of the structures, as in csq.h.
const TYPE_CONTEXT: ULONG = 1;
const TYPE_CSQ: ULONG = 2;
const TYPE_CSQ_EX: ULONG = 3;

exports! { run;
    /// Initialises a queue.
    fn IoCsqInitialize(Csq: PIO_CSQ, CsqInsertIrp: PIO_CSQ_INSERT_IRP, CsqRemoveIrp: PIO_CSQ_REMOVE_IRP, CsqPeekNextIrp: PIO_CSQ_PEEK_NEXT_IRP, CsqAcquireLock: PIO_CSQ_ACQUIRE_LOCK, CsqReleaseLock: PIO_CSQ_RELEASE_LOCK, CsqCompleteCanceledIrp: PIO_CSQ_COMPLETE_CANCELED_IRP) -> NTSTATUS {
        // SAFETY: the caller's memory.
        unsafe {
            (*Csq).Type = TYPE_CSQ;
            (*Csq).CsqInsertIrp = CsqInsertIrp;
            (*Csq).CsqRemoveIrp = CsqRemoveIrp;
            (*Csq).CsqPeekNextIrp = CsqPeekNextIrp;
            (*Csq).CsqAcquireLock = CsqAcquireLock;
            (*Csq).CsqReleaseLock = CsqReleaseLock;
            (*Csq).CsqCompleteCanceledIrp = CsqCompleteCanceledIrp;
            (*Csq).ReservePointer = std::ptr::null_mut();
        }
        STATUS_SUCCESS
    }

    /// Initialises a queue whose insert routine can refuse.
    fn IoCsqInitializeEx(Csq: PIO_CSQ, CsqInsertIrp: PIO_CSQ_INSERT_IRP_EX, CsqRemoveIrp: PIO_CSQ_REMOVE_IRP, CsqPeekNextIrp: PIO_CSQ_PEEK_NEXT_IRP, CsqAcquireLock: PIO_CSQ_ACQUIRE_LOCK, CsqReleaseLock: PIO_CSQ_RELEASE_LOCK, CsqCompleteCanceledIrp: PIO_CSQ_COMPLETE_CANCELED_IRP) -> NTSTATUS {
        // SAFETY: the caller's memory. The insert routine is kept under the other form's type, as
        // the structure has one field for both; the type number tells them apart.
        unsafe {
            let insert = std::mem::transmute::<PIO_CSQ_INSERT_IRP_EX, PIO_CSQ_INSERT_IRP>(CsqInsertIrp);
            IoCsqInitialize(Csq, insert, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock, CsqReleaseLock, CsqCompleteCanceledIrp);
            (*Csq).Type = TYPE_CSQ_EX;
        }
        STATUS_SUCCESS
    }

    /// Queues an IRP: marks it pending, inserts it, makes it cancelable.
    fn IoCsqInsertIrp(Csq: PIO_CSQ, Irp: PIRP, Context: PIO_CSQ_IRP_CONTEXT) {
        run.irql_at_most(DISPATCH);
        // SAFETY: the caller's contract.
        let _inserted: NTSTATUS = unsafe { insert(Csq, Irp, Context, std::ptr::null_mut()) };
    }

    /// As `IoCsqInsertIrp`; the insert routine's failure leaves the IRP with the caller.
    fn IoCsqInsertIrpEx(Csq: PIO_CSQ, Irp: PIRP, Context: PIO_CSQ_IRP_CONTEXT, InsertContext: PVOID) -> NTSTATUS {
        run.irql_at_most(DISPATCH);
        // SAFETY: the caller's contract.
        unsafe { insert(Csq, Irp, Context, InsertContext) }
    }

    /// Takes a certain IRP out; null if it is being cancelled or gone.
    fn IoCsqRemoveIrp(Csq: PIO_CSQ, Context: PIO_CSQ_IRP_CONTEXT) -> PIRP {
        run.irql_at_most(DISPATCH);
        let mut irql: KIRQL = 0;
        // SAFETY: the caller's queue and context.
        unsafe {
            (*Csq).ReservePointer = std::ptr::null_mut();
            acquire(Csq, &raw mut irql);
            let mut irp = (*Context).Irp;
            if !irp.is_null() && swap_routine(irp, None).is_none() {
                irp = std::ptr::null_mut();
            }
            if !irp.is_null() {
                remove(Csq, irp);
                (*Context).Irp = std::ptr::null_mut();
                *slot(irp) = std::ptr::null_mut();
            }
            release(Csq, irql);
            irp
        }
    }

    /// Takes the next IRP out that the peek routine accepts; null if there is none.
    fn IoCsqRemoveNextIrp(Csq: PIO_CSQ, PeekContext: PVOID) -> PIRP {
        run.irql_at_most(DISPATCH);
        let mut irql: KIRQL = 0;
        // SAFETY: the caller's queue.
        unsafe {
            (*Csq).ReservePointer = std::ptr::null_mut();
            acquire(Csq, &raw mut irql);
            let mut irp = peek(Csq, std::ptr::null_mut(), PeekContext);
            while !irp.is_null() {
                if swap_routine(irp, None).is_some() {
                    remove(Csq, irp);
                    forget(irp);
                    break;
                }
                // Its cancel routine is running and waits for the lock.
                irp = peek(Csq, irp, PeekContext);
            }
            release(Csq, irql);
            irp
        }
    }
}

/// The IRP's word that points at the queue or at the caller's context: `DriverContext[3]`.
///
/// # Safety
/// The caller has the IRP.
unsafe fn slot(irp: *mut IRP) -> *mut PVOID {
    // SAFETY: the caller's contract.
    unsafe {
        (&raw mut (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_1
            .__bindgen_anon_1
            .DriverContext)
            .cast::<PVOID>()
            .add(3)
    }
}

/// # Safety
/// The IRP has just left the queue.
unsafe fn forget(irp: PIRP) {
    // SAFETY: the caller's contract; the slot holds the queue or a context.
    unsafe {
        let context: PIO_CSQ_IRP_CONTEXT = (*slot(irp)).cast();
        if !context.is_null() && (*context).Type == TYPE_CONTEXT {
            (*context).Irp = std::ptr::null_mut();
        }
        *slot(irp) = std::ptr::null_mut();
    }
}

/// # Safety
/// As for `IoCsqInsertIrpEx`.
unsafe fn insert(
    csq: PIO_CSQ,
    irp: PIRP,
    context: PIO_CSQ_IRP_CONTEXT,
    argument: PVOID,
) -> NTSTATUS {
    let mut irql: KIRQL = 0;
    // SAFETY: the caller's contract.
    unsafe {
        if context.is_null() {
            *slot(irp) = csq.cast();
        } else {
            *slot(irp) = context.cast();
            (*context).Type = TYPE_CONTEXT;
            (*context).Irp = irp;
            (*context).Csq = csq;
        }
        (*csq).ReservePointer = std::ptr::null_mut();
        acquire(csq, &raw mut irql);
        let status = call_insert(csq, irp, argument);
        if status < 0 {
            release(csq, irql);
            return status;
        }
        (*current_location(irp)).Control |= SL_PENDING_RETURNED as UCHAR;
        let _none = swap_routine(irp, Some(cancel_routine));
        let cancelled = std::sync::atomic::AtomicU8::from_ptr(&raw mut (*irp).Cancel)
            .load(std::sync::atomic::Ordering::SeqCst)
            != 0;
        if cancelled && swap_routine(irp, None).is_some() {
            remove(csq, irp);
            forget(irp);
            release(csq, irql);
            complete_cancelled(csq, irp);
        } else {
            release(csq, irql);
        }
        STATUS_SUCCESS
    }
}

/// What `IoCancelIrp` calls for an IRP in a queue.
///
/// # Safety
/// As every cancel routine: the cancel spin lock is held.
unsafe extern "C" fn cancel_routine(_device: PDEVICE_OBJECT, irp: PIRP) {
    let context = context::current();
    // SAFETY: called by IoCancelIrp for an IRP that `insert` queued.
    unsafe {
        release_spin_lock(&context, context.machine.cancel_lock.as_ptr());
        context.irql.set((*irp).CancelIrql);
        let word: PIO_CSQ_IRP_CONTEXT = (*slot(irp)).cast();
        let csq: PIO_CSQ = if (*word).Type == TYPE_CONTEXT {
            (*word).Csq
        } else {
            word.cast()
        };
        let mut irql: KIRQL = 0;
        (*csq).ReservePointer = std::ptr::null_mut();
        acquire(csq, &raw mut irql);
        remove(csq, irp);
        forget(irp);
        release(csq, irql);
        complete_cancelled(csq, irp);
    }
}

/// # Safety
/// An initialised queue.
unsafe fn acquire(csq: PIO_CSQ, irql: *mut KIRQL) {
    // SAFETY: the caller's contract: the driver gave a routine.
    unsafe {
        call::enter(
            (*csq).CsqAcquireLock.expect("a queue has a lock routine"),
            (csq, irql),
        );
    }
}

/// # Safety
/// As for [`acquire`], which was called.
unsafe fn release(csq: PIO_CSQ, irql: KIRQL) {
    // SAFETY: the caller's contract.
    unsafe {
        call::enter(
            (*csq)
                .CsqReleaseLock
                .expect("a queue has an unlock routine"),
            (csq, irql),
        );
    }
}

/// # Safety
/// The queue is locked and has the IRP.
unsafe fn remove(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        call::enter(
            (*csq).CsqRemoveIrp.expect("a queue has a remove routine"),
            (csq, irp),
        );
    }
}

/// # Safety
/// The queue is locked.
unsafe fn peek(csq: PIO_CSQ, after: PIRP, argument: PVOID) -> PIRP {
    // SAFETY: the caller's contract.
    unsafe {
        let routine = (*csq).CsqPeekNextIrp.expect("a queue has a peek routine");
        call::enter(routine, (csq, after, argument))
    }
}

/// # Safety
/// The queue is locked.
unsafe fn call_insert(csq: PIO_CSQ, irp: PIRP, argument: PVOID) -> NTSTATUS {
    // SAFETY: the caller's contract; the type number says which form the routine has.
    unsafe {
        let routine = (*csq).CsqInsertIrp;
        if (*csq).Type == TYPE_CSQ_EX {
            let routine = std::mem::transmute::<PIO_CSQ_INSERT_IRP, PIO_CSQ_INSERT_IRP_EX>(routine);
            return call::enter(
                routine.expect("a queue has an insert routine"),
                (csq, irp, argument),
            );
        }
        call::enter(routine.expect("a queue has an insert routine"), (csq, irp));
    }
    STATUS_SUCCESS
}

/// # Safety
/// The IRP was taken out of the queue because it is cancelled.
unsafe fn complete_cancelled(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        let routine = (*csq)
            .CsqCompleteCanceledIrp
            .expect("a queue has a completion routine");
        call::enter(routine, (csq, irp));
    }
}
