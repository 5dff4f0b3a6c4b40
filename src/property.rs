//! Virtual limits: what the stack above is told about the adapter.
//!
//! A class driver cuts its transfers by the descriptor that it reads, once, through this device. So
//! the reply decides who splits: with the effective limits in it the class driver keeps to them by
//! itself; with larger ones it sends whole requests and the engine splits. Two replies carry the
//! limits: `StorageAdapterProperty`, and `IOCTL_SCSI_GET_CAPABILITIES`, which file systems for
//! optical media read.
//!
//! Everything else that comes as a device control goes down as it came.

use core::{ptr, slice};

use wdk_sys::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_BUFFER_OVERFLOW, STATUS_SUCCESS, WDFDEVICE,
};
use xfersplit_core::advertise::{self, Advertised};

use crate::{
    device::Device,
    wdf::target::IOCTL_STORAGE_QUERY_PROPERTY,
    wdm::{
        irp::{Completion, Irp},
        succeeded,
    },
};

/// `CTL_CODE(IOCTL_SCSI_BASE, 0x404, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
const IOCTL_SCSI_GET_CAPABILITIES: u32 = 0x0004_1010;

/// `EvtDeviceWdmIrpPreprocess` for `IRP_MJ_DEVICE_CONTROL`. IRQL <= DISPATCH_LEVEL.
///
/// The question must be read now: input and output share one buffer, and when the reply is there the
/// question is gone.
///
/// # Safety
/// Called by the framework with a device of this driver and an IRP that the driver now owns.
pub(crate) unsafe extern "C" fn dispatch_device_control(device: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    // SAFETY: the framework passes the IRP's ownership.
    let irp = unsafe { Irp::from_raw(irp) };
    match device.advertised().and_then(|told| rewriting(&irp, told)) {
        // SAFETY: ours is attached to this device; the context is a number that nobody follows.
        Some(completion) => unsafe { irp.watch_down(device.lower, completion) },
        // SAFETY: ours is attached to this device.
        None => unsafe { irp.pass_down(device.lower) },
    }
}

/// The routine that will rewrite the reply, if the request is for one of the two. What is told
/// travels in its context, both numbers in one pointer: nothing is allocated, and nothing of the
/// device is touched when the reply comes.
fn rewriting(irp: &Irp, told: Advertised) -> Option<Completion> {
    let control = irp.current().device_control();
    let context = ptr::without_provenance_mut(told.to_bits() as usize);
    match control.code {
        IOCTL_SCSI_GET_CAPABILITIES => Some((Some(capabilities_read), context)),
        IOCTL_STORAGE_QUERY_PROPERTY if asks_for_adapter(irp, control.input_length) => {
            Some((Some(descriptor_read), context))
        }
        _ => None,
    }
}

fn asks_for_adapter(irp: &Irp, length: u32) -> bool {
    // SAFETY: a buffered control's input lies in the system buffer, which has that length, until the
    // IRP is completed.
    unsafe { buffer(irp, length) }.is_some_and(|input| advertise::asks_for_adapter(input))
}

/// The system buffer's first `length` bytes.
///
/// # Safety
/// The buffer has that length, and the IRP is ours while the slice is used.
unsafe fn buffer<'a>(irp: &Irp, length: u32) -> Option<&'a mut [u8]> {
    let buffer = irp.system_buffer();
    // SAFETY: the caller's contract.
    (!buffer.is_null()).then(|| unsafe { slice::from_raw_parts_mut(buffer, length as usize) })
}

/// The adapter's descriptor has come back. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// Set by [`dispatch_device_control`].
unsafe extern "C" fn descriptor_read(
    _device: PDEVICE_OBJECT,
    irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    // SAFETY: during its completion routine the IRP is ours.
    let irp = unsafe { Irp::from_raw(irp) };
    rewrite(&irp, context, advertise::patch_descriptor);
    STATUS_SUCCESS
}

/// The adapter's capabilities have come back. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// Set by [`dispatch_device_control`].
unsafe extern "C" fn capabilities_read(
    _device: PDEVICE_OBJECT,
    irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    // SAFETY: during its completion routine the IRP is ours.
    let irp = unsafe { Irp::from_raw(irp) };
    rewrite(&irp, context, advertise::patch_capabilities);
    STATUS_SUCCESS
}

/// Changes the fields that the reply has, and neither its length nor its status. A reply that did not
/// fit the sender's buffer comes with a warning, and with as much as fitted.
fn rewrite(irp: &Irp, context: PVOID, patch: fn(&mut [u8], Advertised)) {
    if irp.pending_returned() {
        irp.mark_pending();
    }
    let status = irp.status();
    if !succeeded(status) && status != STATUS_BUFFER_OVERFLOW {
        return;
    }
    let room = irp.current().device_control().output_length;
    let valid = irp.information().min(u64::from(room)) as u32;
    // SAFETY: a buffered control's output lies in the system buffer, which has room for all of it.
    if let Some(reply) = unsafe { buffer(irp, valid) } {
        patch(reply, Advertised::from_bits(context.addr() as u64));
    }
}
