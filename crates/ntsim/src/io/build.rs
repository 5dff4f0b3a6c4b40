//! IRPs that the I/O manager builds for a driver: `IoBuildDeviceIoControlRequest` and the FSD forms.

use super::irp::{allocate, finish, next_location};
use super::state::Kind;
use crate::abi::{
    _LOCK_OPERATION, BOOLEAN, DO_BUFFERED_IO, DO_DIRECT_IO, IO_STATUS_BLOCK, IRP_BUFFERED_IO,
    IRP_DEALLOCATE_BUFFER, IRP_INPUT_OPERATION, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, LARGE_INTEGER, LOCK_OPERATION,
    METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_NEITHER, NT_ERROR, PDEVICE_OBJECT, PIO_STATUS_BLOCK,
    PIRP, PKEVENT, PLARGE_INTEGER, PMDL, PVOID, STATUS_VERIFY_REQUIRED, UCHAR, ULONG,
};
use crate::machine::Owner;
use crate::machine::context::{self, Context};
use crate::memory::{lock_buffer, pool_allocate, pool_free, release_buffer};

/// Pool tag of system buffers.
const TAG: u32 = u32::from_le_bytes(*b"IoSB");

/// A device control request as a caller describes it.
#[derive(Debug, Clone, Copy)]
pub struct IoControl {
    /// The control code; its low two bits say how buffers are passed.
    pub code: ULONG,
    /// `IRP_MJ_INTERNAL_DEVICE_CONTROL` instead of `IRP_MJ_DEVICE_CONTROL`.
    pub internal: bool,
    /// Input and its length in bytes.
    pub input: (PVOID, ULONG),
    /// Output and its length in bytes.
    pub output: (PVOID, ULONG),
}

/// As `IoBuildDeviceIoControlRequest`, on `owner`'s account.
///
/// # Safety
/// The buffers, `event` and `status_block` stay until the request is complete.
pub unsafe fn build_io_control(
    owner: Owner,
    device: PDEVICE_OBJECT,
    request: &IoControl,
    event: PKEVENT,
    status_block: PIO_STATUS_BLOCK,
) -> PIRP {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe {
        let irp = allocate(
            &context,
            owner,
            (*device).StackSize,
            Kind::Threaded(context.thread),
        );
        (*irp).Tail.Overlay.Thread = context.thread_object();
        (*irp).UserEvent = event;
        (*irp).__bindgen_anon_1.UserIosb = status_block;
        let location = next_location(irp);
        let major = if request.internal {
            IRP_MJ_INTERNAL_DEVICE_CONTROL
        } else {
            IRP_MJ_DEVICE_CONTROL
        };
        (*location).MajorFunction = major as UCHAR;
        let parameters = &raw mut (*location).Parameters.DeviceIoControl;
        (*parameters).OutputBufferLength = request.output.1;
        (*parameters).InputBufferLength = request.input.1;
        (*parameters).IoControlCode = request.code;
        let (input, input_length) = request.input;
        let (output, output_length) = request.output;
        match request.code & 3 {
            METHOD_BUFFERED => {
                let length = input_length.max(output_length) as usize;
                if length > 0 {
                    give_system_buffer(irp, length, input, input_length as usize);
                }
                (*irp).UserBuffer = output;
                if output_length > 0 {
                    (*irp).Flags |= IRP_INPUT_OPERATION;
                }
            }
            METHOD_NEITHER => {
                (*irp).UserBuffer = output;
                (*parameters).Type3InputBuffer = input;
            }
            _direct => {
                if input_length > 0 {
                    give_system_buffer(irp, input_length as usize, input, input_length as usize);
                }
                let operation = if request.code & 3 == METHOD_IN_DIRECT {
                    _LOCK_OPERATION::IoReadAccess
                } else {
                    _LOCK_OPERATION::IoWriteAccess
                };
                if output_length > 0
                    && !attach(&context, owner, irp, (output, output_length), operation)
                {
                    return std::ptr::null_mut();
                }
            }
        }
        irp
    }
}

/// Gives the IRP a buffer of the system's, with the caller's input in it.
///
/// # Safety
/// `input` has `filled` bytes, and `length` is at least as many.
unsafe fn give_system_buffer(irp: PIRP, length: usize, input: PVOID, filled: usize) {
    // The system's memory, whoever asks.
    let buffer = pool_allocate(Owner::Harness, length, TAG);
    // SAFETY: the caller's contract.
    unsafe {
        if filled > 0 {
            std::ptr::copy_nonoverlapping(input.cast::<u8>(), buffer.cast::<u8>(), filled);
        }
        (*irp).AssociatedIrp.SystemBuffer = buffer;
        (*irp).Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    }
}

/// Locks a caller's buffer and gives the IRP an MDL of it. `false`: that was not possible, and the
/// IRP has been freed.
///
/// # Safety
/// The IRP is fresh, and the buffer stays until it is complete.
unsafe fn attach(
    context: &Context,
    owner: Owner,
    irp: PIRP,
    (buffer, length): (PVOID, ULONG),
    operation: LOCK_OPERATION,
) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        let Ok(mdl) = lock_buffer(context, owner, buffer, length, operation) else {
            give_up(context, irp);
            return false;
        };
        (*irp).MdlAddress = mdl;
    }
    true
}

/// Frees an IRP that was not sent, and its system buffer.
///
/// # Safety
/// The IRP is fresh.
unsafe fn give_up(context: &Context, irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        if (*irp).Flags & IRP_DEALLOCATE_BUFFER != 0 {
            pool_free((*irp).AssociatedIrp.SystemBuffer);
        }
        finish(context, irp);
    }
}

/// A read, write, flush or shutdown as a caller describes it.
struct Transfer {
    major: ULONG,
    buffer: PVOID,
    length: ULONG,
    offset: PLARGE_INTEGER,
}

/// # Safety
/// As for `IoBuildAsynchronousFsdRequest`.
unsafe fn build_transfer(
    context: &Context,
    kind: Kind,
    device: PDEVICE_OBJECT,
    transfer: &Transfer,
    status_block: PIO_STATUS_BLOCK,
) -> PIRP {
    let owner = context.frame.get().owner;
    let &Transfer {
        major,
        buffer,
        length,
        offset,
    } = transfer;
    // SAFETY: the caller's contract.
    unsafe {
        let irp = allocate(context, owner, (*device).StackSize, kind);
        (*irp).Tail.Overlay.Thread = context.thread_object();
        (*irp).__bindgen_anon_1.UserIosb = status_block;
        let location = next_location(irp);
        (*location).MajorFunction = major as UCHAR;
        if major != IRP_MJ_READ && major != IRP_MJ_WRITE {
            return irp;
        }
        // Read and Write have the same form.
        let parameters = &raw mut (*location).Parameters.Read;
        (*parameters).Length = length;
        (*parameters).ByteOffset = if offset.is_null() {
            LARGE_INTEGER::default()
        } else {
            offset.read()
        };
        let flags = (*device).Flags;
        if flags & DO_BUFFERED_IO != 0 && length > 0 {
            let filled = if major == IRP_MJ_WRITE {
                length as usize
            } else {
                0
            };
            give_system_buffer(irp, length as usize, buffer, filled);
            (*irp).UserBuffer = buffer;
            if major == IRP_MJ_READ {
                (*irp).Flags |= IRP_INPUT_OPERATION;
            }
        } else if flags & DO_DIRECT_IO != 0 && length > 0 {
            // A disk's READ writes to memory.
            let operation = if major == IRP_MJ_READ {
                _LOCK_OPERATION::IoWriteAccess
            } else {
                _LOCK_OPERATION::IoReadAccess
            };
            if !attach(context, owner, irp, (buffer, length), operation) {
                return std::ptr::null_mut();
            }
        } else {
            (*irp).UserBuffer = buffer;
        }
        irp
    }
}

/// The last stage of an IRP that the I/O manager built for a thread: results to the caller,
/// resources back, the IRP freed.
///
/// An error that the dispatch routine itself returned reaches the caller through that return value
/// alone: neither the status block nor the event is touched then.
///
/// # Safety
/// The completion walk is over and has the IRP.
pub(super) unsafe fn finish_threaded(context: &Context, irp: PIRP) {
    // SAFETY: the caller's contract; the buffers are those that the builders put there.
    unsafe {
        let status = (*irp).IoStatus.__bindgen_anon_1.Status;
        let information = (*irp).IoStatus.Information;
        let flags = (*irp).Flags;
        if flags & IRP_BUFFERED_IO != 0 {
            let buffer = (*irp).AssociatedIrp.SystemBuffer;
            let copy = flags & IRP_INPUT_OPERATION != 0
                && !NT_ERROR(status)
                && status != STATUS_VERIFY_REQUIRED;
            if copy && !(*irp).UserBuffer.is_null() {
                let bytes = information as usize;
                std::ptr::copy_nonoverlapping(
                    buffer.cast::<u8>(),
                    (*irp).UserBuffer.cast::<u8>(),
                    bytes,
                );
            }
            if flags & IRP_DEALLOCATE_BUFFER != 0 && !buffer.is_null() {
                pool_free(buffer);
            }
        }
        let mut mdl: PMDL = (*irp).MdlAddress;
        while !mdl.is_null() {
            let next = (*mdl).Next;
            release_buffer(context, mdl);
            mdl = next;
        }
        let told = NT_ERROR(status) && (*irp).PendingReturned == 0;
        let (block, event) = ((*irp).__bindgen_anon_1.UserIosb, (*irp).UserEvent);
        let result: IO_STATUS_BLOCK = (*irp).IoStatus;
        finish(context, irp);
        if !told {
            if !block.is_null() {
                block.write(result);
            }
            if !event.is_null() {
                crate::ke::set_event(event);
            }
        }
    }
}

pub(super) mod exports {
    //! The `IoBuild…` functions.

    use super::{
        BOOLEAN, IoControl, Kind, PDEVICE_OBJECT, PIO_STATUS_BLOCK, PIRP, PKEVENT, PLARGE_INTEGER,
        PVOID, Transfer, ULONG, build_io_control, build_transfer,
    };
    use crate::export::exports;
    use crate::machine::context::{Context, DISPATCH};
    use crate::machine::{AllocationKind, Owner};

    exports! { run;
        /// A device control request that a thread waits for; null when there is no memory, or when
        /// the pages of a direct buffer cannot be locked.
        fn IoBuildDeviceIoControlRequest(IoControlCode: ULONG, DeviceObject: PDEVICE_OBJECT, InputBuffer: PVOID, InputBufferLength: ULONG, OutputBuffer: PVOID, OutputBufferLength: ULONG, InternalDeviceIoControl: BOOLEAN, Event: PKEVENT, IoStatusBlock: PIO_STATUS_BLOCK) -> PIRP {
            run.irql_at_most(0);
            let context = run.context();
            if no_memory(context) {
                return std::ptr::null_mut();
            }
            let request = IoControl {
                code: IoControlCode,
                internal: InternalDeviceIoControl != 0,
                input: (InputBuffer, InputBufferLength),
                output: (OutputBuffer, OutputBufferLength),
            };
            let owner = context.frame.get().owner;
            // SAFETY: the caller's contract.
            unsafe { build_io_control(owner, DeviceObject, &request, Event, IoStatusBlock) }
        }

        /// A transfer that a thread waits for; null when there is no memory, or when the pages of a
        /// device of direct I/O cannot be locked.
        fn IoBuildSynchronousFsdRequest(MajorFunction: ULONG, DeviceObject: PDEVICE_OBJECT, Buffer: PVOID, Length: ULONG, StartingOffset: PLARGE_INTEGER, Event: PKEVENT, IoStatusBlock: PIO_STATUS_BLOCK) -> PIRP {
            run.irql_at_most(0);
            let context = run.context();
            if no_memory(context) {
                return std::ptr::null_mut();
            }
            let transfer = Transfer { major: MajorFunction, buffer: Buffer, length: Length, offset: StartingOffset };
            // SAFETY: the caller's contract.
            unsafe {
                let irp = build_transfer(context, Kind::Threaded(context.thread), DeviceObject, &transfer, IoStatusBlock);
                if !irp.is_null() {
                    (*irp).UserEvent = Event;
                }
                irp
            }
        }

        /// A transfer whose IRP the caller's completion routine frees; null as above.
        fn IoBuildAsynchronousFsdRequest(MajorFunction: ULONG, DeviceObject: PDEVICE_OBJECT, Buffer: PVOID, Length: ULONG, StartingOffset: PLARGE_INTEGER, IoStatusBlock: PIO_STATUS_BLOCK) -> PIRP {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            if no_memory(context) {
                return std::ptr::null_mut();
            }
            let transfer = Transfer { major: MajorFunction, buffer: Buffer, length: Length, offset: StartingOffset };
            // SAFETY: the caller's contract.
            unsafe { build_transfer(context, Kind::Allocated, DeviceObject, &transfer, IoStatusBlock) }
        }
    }

    fn no_memory(context: &Context) -> bool {
        context.frame.get().owner == Owner::Driver
            && context.machine.shall_fail(AllocationKind::Irp, 0, 0)
    }
}
