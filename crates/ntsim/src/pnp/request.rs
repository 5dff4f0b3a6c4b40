//! How the PnP manager sends its requests.

use crate::abi::{
    IO_STACK_LOCATION, IRP_MJ_PNP, IRP_MJ_POWER, NTSTATUS, PDEVICE_OBJECT, STATUS_NOT_SUPPORTED,
};
use crate::machine::Owner;
use crate::wdf::irp;
use crate::{io, ntddk};

/// Sends a PnP request to the top of the stack above `device` and waits for it.
pub(super) fn pnp(
    device: PDEVICE_OBJECT,
    minor: u32,
    fill: impl FnOnce(*mut IO_STACK_LOCATION),
) -> NTSTATUS {
    send(device, IRP_MJ_PNP, minor, fill)
}

/// Sends a power request to the top of the stack above `device` and waits for it.
pub(super) fn power(
    device: PDEVICE_OBJECT,
    minor: u32,
    fill: impl FnOnce(*mut IO_STACK_LOCATION),
) -> NTSTATUS {
    send(device, IRP_MJ_POWER, minor, fill)
}

fn send(
    device: PDEVICE_OBJECT,
    major: u32,
    minor: u32,
    fill: impl FnOnce(*mut IO_STACK_LOCATION),
) -> NTSTATUS {
    // SAFETY: the caller holds the devnode's reference on its physical device; the top is
    // referenced while the request is out. The request is ours before it is sent and after it has
    // come back.
    unsafe {
        let top = ntddk::IoGetAttachedDeviceReference(device);
        let irp = io::allocate_irp(Owner::Harness, (*top).StackSize);
        assert!(!irp.is_null(), "the harness never runs out of memory");
        irp::set_status(irp, STATUS_NOT_SUPPORTED);
        let location = irp::next(irp);
        (*location).MajorFunction = major as u8;
        (*location).MinorFunction = minor as u8;
        fill(location);
        let status = irp::send_and_wait(top, irp);
        io::free_irp(irp);
        ntddk::ObfDereferenceObject(top.cast());
        status
    }
}
