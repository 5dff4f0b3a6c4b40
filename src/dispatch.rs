//! DispatchReadWrite: what is asked, and does it need splitting?
//!
//! All that is not a plain read or write of the device's shape goes down exactly as it came: no
//! completion routine of ours, no allocation, no change.

use wdk_sys::{
    NTSTATUS, PIRP, STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE, STATUS_PENDING, WDFDEVICE,
};

use crate::{
    counters::Counter,
    device::Device,
    shape::{self, Asked, Terms},
    split,
    wdm::irp::Irp,
};

/// `EvtDeviceWdmIrpPreprocess` for `IRP_MJ_READ`, `IRP_MJ_WRITE` and `IRP_MJ_SCSI`.
/// IRQL <= DISPATCH_LEVEL.
///
/// The framework holds its remove lock for the IRP, has copied the stack location and will release
/// the lock when the IRP completes (KMDF fxdevice.cpp, DispatchWithLock).
///
/// # Safety
/// Called by the framework with a device of this driver and an IRP that the driver now owns.
pub(crate) unsafe extern "C" fn dispatch_read_write(device: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    // SAFETY: the framework passes the IRP's ownership.
    let parent = unsafe { Irp::from_raw(irp) };
    if !device.rundown.acquire() {
        return too_late(device, parent);
    }
    let Some(engine) = device.engine().filter(|_| !device.stands_aside()) else {
        return pass_through(device, parent);
    };
    let terms = Terms {
        told: device.paired.told(),
        waited: false,
    };
    match shape::read(engine.config(), terms, &parent) {
        Asked::Transfer(wanted, plan) if engine.can_send() => {
            // The transfer takes the rundown reference over, and the parent with it.
            parent.mark_pending();
            split::split_transfer_request(engine, parent, wanted, plan);
            STATUS_PENDING
        }
        Asked::Transfer(..) => answer(device, parent, STATUS_INVALID_DEVICE_REQUEST),
        Asked::PassDown => pass_through(device, parent),
        Asked::Overstretched => {
            device.counters.note_overstretched();
            pass_through(device, parent)
        }
        Asked::Answer(status) => answer(device, parent, status),
    }
}

/// REMOVE has got as far as our cleanup while the sender did not wait for its own requests. The
/// lower driver has not seen it yet, for the framework still holds this IRP's lock: what is certainly
/// not ours may pass.
fn too_late(device: &Device, parent: Irp) -> NTSTATUS {
    if !shape::may_be_ours(&parent) {
        // SAFETY: ours is attached to this device.
        return unsafe { parent.pass_down(device.lower) };
    }
    device.counters.add(Counter::Removed);
    shape::turn_down(parent, STATUS_NO_SUCH_DEVICE);
    STATUS_NO_SUCH_DEVICE
}

/// Nothing is sent: the answer is known.
fn answer(device: &Device, parent: Irp, status: NTSTATUS) -> NTSTATUS {
    device.counters.add(Counter::of_answer(status));
    shape::turn_down(parent, status);
    device.rundown.release();
    status
}

/// The lower driver gets what we got. Gives the rundown reference back first: nothing of the device
/// is touched once the IRP is gone.
fn pass_through(device: &Device, irp: Irp) -> NTSTATUS {
    let lower = device.lower;
    device.counters.add(Counter::PassedThrough);
    device.rundown.release();
    // SAFETY: ours is attached to this device.
    unsafe { irp.pass_down(lower) }
}
