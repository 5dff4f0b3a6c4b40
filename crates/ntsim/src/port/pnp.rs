//! The port as bus driver: `PnP`, power, open and close of its device, and its dispatch table.

use std::sync::Arc;

use super::{Port, Presence, host};
use crate::abi::{
    IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_DEVICE_USAGE_NOTIFICATION,
    IRP_MN_QUERY_CAPABILITIES, IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE,
    IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE, IRP_MN_SURPRISE_REMOVAL,
    NTSTATUS, PDEVICE_OBJECT, PIRP, SRB_STATUS_NO_DEVICE, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};

/// The port behind a device object.
///
/// # Safety
/// `device` was made by `host::create_device` and not deleted yet.
pub(super) unsafe fn port_of(device: PDEVICE_OBJECT) -> Arc<Port> {
    // SAFETY: the device's extension holds a counted reference that lives as long as the device.
    unsafe {
        let port: *const Port = (*device).DeviceExtension.cast::<*const Port>().read();
        Arc::increment_strong_count(port);
        Arc::from_raw(port)
    }
}

/// `IRP_MJ_SCSI`, which is `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
pub(super) unsafe extern "C" fn scsi(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { port_of(device).dispatch_scsi(device, irp) }
}

/// `IRP_MJ_DEVICE_CONTROL`.
pub(super) unsafe extern "C" fn control(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { port_of(device).dispatch_control(irp) }
}

/// `IRP_MJ_PNP`.
pub(super) unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { port_of(device).dispatch_pnp(irp) }
}

/// `IRP_MJ_CREATE`, `IRP_MJ_CLOSE`, `IRP_MJ_CLEANUP`, `IRP_MJ_POWER`.
pub(super) unsafe extern "C" fn succeed(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { port_of(device).dispatch_simple(irp, STATUS_SUCCESS) }
}

/// Everything a port does not do, READ and WRITE included: it speaks SRBs.
pub(super) unsafe extern "C" fn refuse(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { port_of(device).dispatch_simple(irp, STATUS_INVALID_DEVICE_REQUEST) }
}

/// `RawDeviceOK`: the device can be started without a function driver.
///
/// # Safety
/// `irp` is a `QUERY_CAPABILITIES` that the caller owns.
unsafe fn allow_raw(irp: PIRP) {
    // SAFETY: the caller owns the IRP.
    unsafe {
        let location = host::current_location(irp);
        let capabilities = (*location).Parameters.DeviceCapabilities.Capabilities;
        if !capabilities.is_null() {
            // Bit 8 of the capability bits, which are the second word.
            let bits = capabilities.cast::<u32>().add(1);
            bits.write(bits.read() | 1 << 8);
        }
    }
}

impl Port {
    /// # Safety
    /// Called as a dispatch routine with `irp`.
    unsafe fn dispatch_simple(&self, irp: PIRP, status: NTSTATUS) -> NTSTATUS {
        let sequence = self.state().arrive();
        // SAFETY: the dispatch routine owns the IRP.
        unsafe { self.answer(irp, sequence, status, 0) }
    }

    /// # Safety
    /// Called as a dispatch routine with `irp`.
    unsafe fn dispatch_pnp(self: &Arc<Self>, irp: PIRP) -> NTSTATUS {
        // SAFETY: the dispatch routine owns the IRP and its current stack location.
        let (minor, unhandled, information) = unsafe {
            let location = host::current_location(irp);
            let minor = u32::from((*location).MinorFunction);
            (
                minor,
                (*irp).IoStatus.__bindgen_anon_1.Status,
                (*irp).IoStatus.Information,
            )
        };
        let status = match minor {
            IRP_MN_SURPRISE_REMOVAL | IRP_MN_REMOVE_DEVICE => {
                self.unplug();
                STATUS_SUCCESS
            }
            IRP_MN_START_DEVICE
            | IRP_MN_STOP_DEVICE
            | IRP_MN_QUERY_STOP_DEVICE
            | IRP_MN_CANCEL_STOP_DEVICE
            | IRP_MN_QUERY_REMOVE_DEVICE
            | IRP_MN_CANCEL_REMOVE_DEVICE
            | IRP_MN_DEVICE_USAGE_NOTIFICATION => STATUS_SUCCESS,
            IRP_MN_QUERY_CAPABILITIES => {
                // SAFETY: as above; the capabilities are the sender's, for as long as the IRP is
                // here.
                unsafe { allow_raw(irp) };
                STATUS_SUCCESS
            }
            // A bus driver leaves the status of what it does not know [Microsoft: "DispatchPnP
            // Routines"].
            _ => unhandled,
        };
        let sequence = self.state().arrive();
        // SAFETY: the dispatch routine owns the IRP.
        unsafe { self.answer(irp, sequence, status, information) }
    }

    /// The device is pulled out: everything the port has ends with `SRB_STATUS_NO_DEVICE`, and so
    /// does everything that still comes. IRQL <= `DISPATCH_LEVEL`.
    pub fn unplug(self: &Arc<Self>) {
        let (active, waiting, parked) = {
            let mut state = self.state();
            state.presence = Presence::Gone;
            (
                state.slots.drain(),
                state.queue.drain(),
                std::mem::take(&mut state.parked),
            )
        };
        self.fail_active(active, SRB_STATUS_NO_DEVICE);
        self.fail_waiting(waiting, SRB_STATUS_NO_DEVICE);
        for parked in parked {
            parked.answer(self, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        self.end_waits();
    }
}
