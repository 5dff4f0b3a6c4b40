//! `IoSetCompletionRoutineEx`: a completion routine whose driver is kept from unloading.

use super::irp::next_location;
use crate::abi::{
    NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP, PVOID, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, UCHAR,
};
use crate::call;
use crate::machine::{AllocationKind, Owner, context};
use crate::memory::{pool_allocate, pool_free};

/// Pool tag of the contexts.
const TAG: u32 = u32::from_le_bytes(*b"IoUs");

/// What stands in the stack location instead of the driver's own context.
#[repr(C)]
struct UnloadSafe {
    device: PDEVICE_OBJECT,
    routine: PIO_COMPLETION_ROUTINE,
    context: PVOID,
}

/// As `IoSetCompletionRoutineEx`, on `owner`'s account. Allocates a context from pool, which can
/// fail for a driver under test.
///
/// # Safety
/// The caller has the IRP and it has a next location.
pub unsafe fn set_completion_routine_ex(
    owner: Owner,
    device: PDEVICE_OBJECT,
    irp: PIRP,
    routine: PIO_COMPLETION_ROUTINE,
    context: PVOID,
    [on_success, on_error, on_cancel]: [bool; 3],
) -> NTSTATUS {
    let bytes = size_of::<UnloadSafe>();
    let machine = context::current().machine.clone();
    if owner == Owner::Driver && machine.shall_fail(AllocationKind::Pool, bytes, TAG) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let block: *mut UnloadSafe = pool_allocate(owner, bytes, TAG).cast();
    let when = |wanted: bool, flag: u32| if wanted { flag as UCHAR } else { 0 };
    // SAFETY: fresh memory; the caller's contract for the location.
    unsafe {
        block.write(UnloadSafe {
            device,
            routine,
            context,
        });
        let location = next_location(irp);
        (*location).CompletionRoutine = Some(trampoline);
        (*location).Context = block.cast();
        (*location).Control = when(on_success, SL_INVOKE_ON_SUCCESS)
            | when(on_error, SL_INVOKE_ON_ERROR)
            | when(on_cancel, SL_INVOKE_ON_CANCEL);
    }
    STATUS_SUCCESS
}

/// # Safety
/// Called as a completion routine with the context that [`set_completion_routine_ex`] made.
unsafe extern "C" fn trampoline(device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: the caller's contract; the block is used once.
    unsafe {
        let UnloadSafe {
            routine,
            context: own,
            ..
        } = context.cast::<UnloadSafe>().read();
        pool_free(context);
        routine.map_or(STATUS_SUCCESS, |routine| {
            call::enter(routine, (device, irp, own))
        })
    }
}

pub(super) mod exports {
    //! `IoSetCompletionRoutineEx`.

    use super::set_completion_routine_ex;
    use crate::abi::{BOOLEAN, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP, PVOID};
    use crate::export::exports;
    use crate::machine::context::DISPATCH;

    exports! { run;
        /// Sets a completion routine in the next location.
        fn IoSetCompletionRoutineEx(DeviceObject: PDEVICE_OBJECT, Irp: PIRP, CompletionRoutine: PIO_COMPLETION_ROUTINE, Context: PVOID, InvokeOnSuccess: BOOLEAN, InvokeOnError: BOOLEAN, InvokeOnCancel: BOOLEAN) -> NTSTATUS {
            run.irql_at_most(DISPATCH);
            let owner = run.context().frame.get().owner;
            let when = [InvokeOnSuccess != 0, InvokeOnError != 0, InvokeOnCancel != 0];
            // SAFETY: the caller's contract.
            unsafe { set_completion_routine_ex(owner, DeviceObject, Irp, CompletionRoutine, Context, when) }
        }
    }
}
