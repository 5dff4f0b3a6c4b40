//! READ and WRITE: staged, passed down, or answered.

use wdk_sys::{NTSTATUS, PIRP, STATUS_DELETE_PENDING, STATUS_SUCCESS, WDFDEVICE};
use xfersplit_wdm::irp::{Irp, ReadWrite};

use crate::{
    device::Device,
    requestor::UserBuffer,
    stage::{self, Outcome},
};

/// `EvtDeviceWdmIrpPreprocess` for `IRP_MJ_READ` and `IRP_MJ_WRITE`: called in the requestor's own
/// thread, for this driver is the first that the I/O manager calls.
///
/// The request is never marked pending: it is over when this returns, or it is the lower driver's.
///
/// # Safety
/// Called by the framework with a device of this driver and an IRP that the driver now owns.
pub(crate) unsafe extern "C" fn dispatch_read_write(device: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    // SAFETY: the framework passes the IRP's ownership.
    let parent = unsafe { Irp::from_raw(irp) };
    if !device.rundown.acquire() {
        return answer(parent, Outcome::failure(STATUS_DELETE_PENDING));
    }
    let asked = parent.current().read_write();
    let Some(asked) = asked.filter(|_| parent.mdl().is_none()) else {
        // Its pages are locked already, or it is not ours at all: nothing is to be done for it.
        let lower = device.lower;
        device.rundown.release();
        // SAFETY: the IRP is ours, unmarked and without a routine of ours, and `lower` is the device
        // that ours is attached to; the framework holds its remove lock for the IRP.
        return unsafe { parent.pass_down(lower) };
    };
    // SAFETY: the IRP is ours, and this is the dispatch routine that it arrived in.
    let outcome = unsafe { outcome(device, &parent, irp, asked) };
    let status = answer(parent, outcome);
    device.rundown.release();
    status
}

/// What becomes of a request that brought no MDL.
///
/// # Safety
/// `irp` is the IRP of `parent`, in the dispatch routine that it arrived in.
unsafe fn outcome(device: &Device, parent: &Irp, irp: PIRP, asked: ReadWrite) -> Outcome {
    if asked.length == 0 {
        return Outcome::of(STATUS_SUCCESS, 0);
    }
    // SAFETY: the caller's contract.
    match unsafe { UserBuffer::of(irp, asked.length) } {
        Ok(buffer) => stage::stage(device, parent, asked, &buffer),
        Err(status) => Outcome::failure(status),
    }
}

/// Completes the request; the status that the dispatch routine then returns.
fn answer(parent: Irp, outcome: Outcome) -> NTSTATUS {
    let (status, information) = outcome.into_parts();
    parent.complete(status, information);
    status
}
