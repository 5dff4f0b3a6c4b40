//! READ and WRITE as they arrive: is it a request that a disk can serve?

use wdk_sys::{
    NTSTATUS, PIRP, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE,
    STATUS_PENDING, STATUS_SUCCESS, WDFDEVICE,
};
use xfersplit_wdm::irp::Irp;

use crate::{counters::Counter, device::Device, limits::Facts};

/// `EvtDeviceWdmIrpPreprocess` for `IRP_MJ_READ` and `IRP_MJ_WRITE`. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// Called by the framework with a device of this driver and an IRP that the driver now owns.
pub(crate) unsafe extern "C" fn read_write(device: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let controller = unsafe { Device::controller(device) };
    // SAFETY: the framework passes the IRP's ownership.
    let irp = unsafe { Irp::from_raw(irp) };
    if !controller.enter() {
        irp.complete(STATUS_NO_SUCH_DEVICE, 0);
        return STATUS_NO_SUCH_DEVICE;
    }
    let answer = match controller.facts() {
        Ok(facts) => answer(&irp, &facts),
        Err(status) => Some(status),
    };
    let Some(status) = answer else {
        controller.submit(irp);
        return STATUS_PENDING;
    };
    controller.counters().add(Counter::Answered);
    irp.complete(status, 0);
    controller.exit();
    status
}

/// What a request is told at once, as disk.sys would (disk.c, DiskReadWriteVerification); `None` for
/// one that is to be served.
fn answer(irp: &Irp, facts: &Facts) -> Option<NTSTATUS> {
    let Some(asked) = irp.current().read_write() else {
        return Some(STATUS_INVALID_DEVICE_REQUEST);
    };
    if asked.length == 0 {
        return Some(STATUS_SUCCESS);
    }
    let Ok(offset) = u64::try_from(asked.byte_offset) else {
        return Some(STATUS_INVALID_PARAMETER);
    };
    let (sector, length) = (
        u64::from(facts.limits.sector_size()),
        u64::from(asked.length),
    );
    let whole = offset.is_multiple_of(sector) && length.is_multiple_of(sector);
    if !whole || offset.saturating_add(length) > facts.capacity.saturating_mul(sector) {
        return Some(STATUS_INVALID_PARAMETER);
    }
    // The I/O manager makes the MDL of a device with DO_DIRECT_IO; other drivers may forget it.
    let Some(mdl) = irp.mdl().filter(|mdl| mdl.byte_count() >= asked.length) else {
        return Some(STATUS_INVALID_DEVICE_REQUEST);
    };
    // No cut can mend a buffer that begins where the controller can't: AlignmentRequirement.
    let clear = mdl.virtual_address().addr() & facts.limits.alignment_mask() as usize == 0;
    (!clear).then_some(STATUS_INVALID_PARAMETER)
}
