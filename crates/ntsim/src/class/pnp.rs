//! `IRP_MJ_PNP` [classpnp, class.c, `ClassDispatchPnp` and `ClassRemoveDevice`].

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fdo::{Fdo, lock};
use super::{Class, command, irp};
use crate::abi::{
    _DEVICE_USAGE_NOTIFICATION_TYPE, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DO_POWER_INRUSH,
    DO_POWER_PAGABLE, FILE_DEVICE_DISK, IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_DEVICE_USAGE_NOTIFICATION, IRP_MN_QUERY_CAPABILITIES, IRP_MN_QUERY_REMOVE_DEVICE,
    IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP,
    STATUS_DEVICE_BUSY, STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use crate::machine::Machine;
use crate::{io, ntddk};

/// Where the device is in its life, and which special files are on it.
#[derive(Default)]
pub(super) struct PnpState {
    started: bool,
    paging: u32,
    hibernation: u32,
    dump: u32,
}

/// `AddDevice` [disk, disk.c, `DiskCreateFdo`].
pub(super) unsafe extern "C" fn add_device(
    driver: PDRIVER_OBJECT,
    pdo: PDEVICE_OBJECT,
) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and a device stack to join.
    unsafe {
        // The unit is claimed before there is a device, through whatever is in the stack already.
        let below = ntddk::IoGetAttachedDeviceReference(pdo);
        let status = command::claim(below);
        if !NT_SUCCESS(status) {
            ntddk::ObfDereferenceObject(below.cast());
            return status;
        }
        let device = io::create_device(driver, size_of::<*const Fdo>(), FILE_DEVICE_DISK);
        let flags = &raw mut (*device).Flags;
        flags.write(flags.read() | DO_DIRECT_IO);
        let (mine, theirs) = (
            &raw mut (*device).AlignmentRequirement,
            (*below).AlignmentRequirement,
        );
        mine.write(mine.read().max(theirs));
        let own = mine.read();
        ntddk::ObfDereferenceObject(below.cast());
        let lower = io::attach(device, pdo);
        if lower.is_null() {
            io::delete_device(device);
            return STATUS_UNSUCCESSFUL;
        }
        // Attaching takes over the requirement of the device below.
        mine.write(mine.read().max(own));
        let fdo = Arc::new(Fdo::new(
            Machine::current().extension::<Class>(),
            device,
            lower,
        ));
        fdo.rundown.initialise();
        fdo.class.present(Some(&fdo));
        (*device)
            .DeviceExtension
            .cast::<*const Fdo>()
            .write(Arc::into_raw(fdo));
        flags.write(flags.read() & !DO_DEVICE_INITIALIZING);
    }
    STATUS_SUCCESS
}

/// The device behind a device object.
///
/// # Safety
/// `device` is a device of this driver that has not been deleted.
pub(super) unsafe fn fdo_of(device: PDEVICE_OBJECT) -> Arc<Fdo> {
    // SAFETY: the extension holds a counted reference from `AddDevice` to `REMOVE`.
    unsafe {
        let fdo = (*device).DeviceExtension.cast::<*const Fdo>().read();
        Arc::increment_strong_count(fdo);
        Arc::from_raw(fdo)
    }
}

/// `IRP_MJ_PNP`.
pub(super) unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it, which the
    // dispatch routine owns until it is passed on.
    unsafe {
        let fdo = fdo_of(device);
        let minor = u32::from((*io::current_location(irp)).MinorFunction);
        let status = match minor {
            IRP_MN_START_DEVICE => start(&fdo, irp),
            IRP_MN_QUERY_STOP_DEVICE | IRP_MN_QUERY_REMOVE_DEVICE => query(&fdo, irp),
            IRP_MN_STOP_DEVICE => {
                let status = irp::forward_and_wait(fdo.lower, irp);
                if NT_SUCCESS(status) {
                    lock(&fdo.pnp).started = false;
                }
                status
            }
            IRP_MN_CANCEL_STOP_DEVICE | IRP_MN_CANCEL_REMOVE_DEVICE => {
                irp::set_status(irp, STATUS_SUCCESS);
                return irp::forward(fdo.lower, irp);
            }
            IRP_MN_SURPRISE_REMOVAL => {
                fdo.set_leaving();
                return irp::forward(fdo.lower, irp);
            }
            IRP_MN_REMOVE_DEVICE => return remove(&fdo, irp),
            IRP_MN_DEVICE_USAGE_NOTIFICATION => usage(&fdo, irp),
            IRP_MN_QUERY_CAPABILITIES => irp::forward_and_wait(fdo.lower, irp),
            _ => return irp::forward(fdo.lower, irp),
        };
        irp::set_status(irp, status);
        ntddk::IofCompleteRequest(irp, 0);
        status
    }
}

/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn start(fdo: &Fdo, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract.
    let mut status = unsafe { irp::forward_and_wait(fdo.lower, irp) };
    // What was learned is kept over STOP and START.
    if NT_SUCCESS(status) && fdo.learned.get().is_none() {
        status = fdo.initialise().err().unwrap_or(STATUS_SUCCESS);
    }
    if NT_SUCCESS(status) {
        lock(&fdo.pnp).started = true;
    }
    status
}

/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn query(fdo: &Fdo, irp: PIRP) -> NTSTATUS {
    // A disk with a paging file stays.
    if lock(&fdo.pnp).paging != 0 {
        return STATUS_DEVICE_BUSY;
    }
    // SAFETY: the caller's contract.
    unsafe { irp::forward_and_wait(fdo.lower, irp) }
}

/// `REMOVE` goes down first. What is still out, and retries that still wait for their time, are
/// looked after when it has come back; they reach a device below that has been through `REMOVE`. The
/// claim is not given back: the port forgets it with its device.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn remove(fdo: &Fdo, irp: PIRP) -> NTSTATUS {
    fdo.set_leaving();
    fdo.set_removed();
    // SAFETY: the caller's contract for the IRP. Afterwards the device is this driver's to take
    // down, once nobody uses it any more.
    unsafe {
        let status = irp::forward(fdo.lower, irp);
        fdo.rundown.wait();
        ntddk::KeFlushQueuedDpcs();
        fdo.class.present(None);
        fdo.packets.destroy();
        fdo.release.destroy();
        fdo.power.destroy();
        io::detach(fdo.lower);
        let extension = (*fdo.device).DeviceExtension.cast::<*const Fdo>();
        drop(Arc::from_raw(extension.replace(ptr::null())));
        io::delete_device(fdo.device);
        status
    }
}

/// Special files: they are counted, and power IRPs of a disk that carries one do not page.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn usage(fdo: &Fdo, irp: PIRP) -> NTSTATUS {
    use _DEVICE_USAGE_NOTIFICATION_TYPE as Kind;
    // SAFETY: the caller's contract.
    let (in_path, kind) = unsafe {
        let parameters = &raw const (*io::current_location(irp)).Parameters.UsageNotification;
        ((*parameters).InPath != 0, (*parameters).Type)
    };
    let count: fn(&mut PnpState) -> &mut u32 = match kind {
        Kind::DeviceUsageTypePaging => |state| &mut state.paging,
        Kind::DeviceUsageTypeHibernation => |state| &mut state.hibernation,
        Kind::DeviceUsageTypeDumpFile => |state| &mut state.dump,
        // SAFETY: the caller's contract.
        Kind::DeviceUsageTypeBoot => return unsafe { irp::forward_and_wait(fdo.lower, irp) },
        _ => return STATUS_INVALID_PARAMETER,
    };
    if kind == Kind::DeviceUsageTypePaging && in_path && !lock(&fdo.pnp).started {
        return STATUS_DEVICE_NOT_READY;
    }
    let pagable = !in_path && set_pagable(fdo, count);
    // SAFETY: the caller's contract.
    let status = unsafe { irp::forward_and_wait(fdo.lower, irp) };
    let flags = fdo.device_flags();
    if !NT_SUCCESS(status) {
        if pagable {
            flags.fetch_and(!DO_POWER_PAGABLE, Ordering::AcqRel);
        }
        return status;
    }
    let mut state = lock(&fdo.pnp);
    let count = count(&mut state);
    if in_path {
        *count += 1;
        if *count == 1 {
            flags.fetch_and(!DO_POWER_PAGABLE, Ordering::AcqRel);
        }
    } else {
        *count = count.saturating_sub(1);
    }
    status
}

/// The last special file goes: the flag is set before the drivers below hear of it.
fn set_pagable(fdo: &Fdo, count: fn(&mut PnpState) -> &mut u32) -> bool {
    let mut state = lock(&fdo.pnp);
    let all = state.paging + state.hibernation + state.dump;
    let last = *count(&mut state) == 1 && all == 1;
    let flags = fdo.device_flags();
    let set = last && flags.load(Ordering::Acquire) & DO_POWER_INRUSH == 0;
    if set {
        flags.fetch_or(DO_POWER_PAGABLE, Ordering::AcqRel);
    }
    set
}
