//! A driver at the top of a stack that gets addresses of programs: it locks what they name, hands the
//! IRP down with an MDL, and unlocks when it comes back.
#![allow(dead_code, reason = "every test program uses its own part of this")]

#[path = "../pitfalls/wdm.rs"]
pub(crate) mod wdm;

use core::ptr;
use std::sync::Mutex;

use ntsim::abi::*;
use ntsim::machine::Machine;
use ntsim::memory::xfersplit_guarded_probe_and_lock;
use ntsim::pnp::Driver;
use ntsim::{io, ntddk};

/// What is wrong with the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Nothing.
    #[default]
    None,
    /// It locks as kernel code, whoever asks.
    KernelMode,
    /// It locks without a guard.
    Unguarded,
    /// It never unlocks.
    LeavesLocked,
    /// It does not ask whose the request is, and locks in a work item's thread.
    AnotherThread,
}

/// What a test has told the driver, and what it has seen.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) mistake: Mutex<Mistake>,
    /// For each request: the current process and the requestor's.
    pub(crate) seen: Mutex<Vec<(usize, usize)>>,
}

/// The orders on the calling thread's machine.
pub(crate) fn orders() -> std::sync::Arc<Orders> {
    Machine::current().extension::<Orders>()
}

/// The driver.
pub(crate) fn top() -> Driver {
    Driver::linked("top", entry)
}

#[repr(C)]
struct Extension {
    lower: PDEVICE_OBJECT,
}

unsafe extern "system" fn entry(driver: PDRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: called once by the loader with a fresh driver object.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        (*table) = [Some(pass); 28];
        (*table)[IRP_MJ_READ as usize] = Some(transfer);
        (*table)[IRP_MJ_WRITE as usize] = Some(transfer);
        (*table)[IRP_MJ_PNP as usize] = Some(pnp);
        (*(*driver).DriverExtension).AddDevice = Some(add_device);
        (*driver).DriverUnload = Some(unload);
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_: PDRIVER_OBJECT) {}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and the stack to join.
    unsafe {
        let device = io::create_device(driver, size_of::<Extension>(), FILE_DEVICE_DISK);
        let lower = io::attach(device, pdo);
        if lower.is_null() {
            io::delete_device(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        *lower_of(device) = lower;
        // Neither buffered nor direct: requests come with addresses.
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
    }
    STATUS_SUCCESS
}

/// # Safety
/// A device of this driver.
unsafe fn lower_of(device: PDEVICE_OBJECT) -> *mut PDEVICE_OBJECT {
    // SAFETY: the caller's contract.
    unsafe {
        let extension: *mut Extension = (*device).DeviceExtension.cast();
        &raw mut (*extension).lower
    }
}

unsafe extern "C" fn pass(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of ours and an IRP for it.
    unsafe { wdm::pass_down(*lower_of(device), irp) }
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as above; with REMOVE the device is taken down.
    unsafe {
        let minor = u32::from((*wdm::current_location(irp)).MinorFunction);
        let lower = *lower_of(device);
        let status = wdm::pass_down(lower, irp);
        if minor == IRP_MN_REMOVE_DEVICE {
            ntddk::IoDetachDevice(lower);
            ntddk::IoDeleteDevice(device);
        }
        status
    }
}

unsafe extern "C" fn transfer(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as above.
    unsafe {
        let lower = *lower_of(device);
        if !(*irp).MdlAddress.is_null() {
            return wdm::pass_down(lower, irp);
        }
        let whose = (
            ntddk::IoGetCurrentProcess().addr(),
            ntddk::IoGetRequestorProcess(irp).addr(),
        );
        orders().seen.lock().expect("unpoisoned").push(whose);
        let mistake = *orders().mistake.lock().expect("unpoisoned");
        if mistake == Mistake::AnotherThread {
            return transfer_later(device, irp);
        }
        if whose.0 != whose.1 && (*irp).RequestorMode == _MODE::UserMode as i8 {
            wdm::complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
            return STATUS_INVALID_DEVICE_REQUEST;
        }
        let status = lock(irp, mistake);
        if status < 0 {
            wdm::complete(irp, status, 0);
            return status;
        }
        wdm::copy_location(irp);
        wdm::set_completion(irp, Some(done), ptr::null_mut());
        ntddk::IofCallDriver(lower, irp)
    }
}

/// Gives the IRP an MDL with locked pages.
///
/// # Safety
/// The IRP is this driver's.
unsafe fn lock(irp: PIRP, mistake: Mistake) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        let location = wdm::current_location(irp);
        let length = (*location).Parameters.Read.Length;
        let mdl = ntddk::IoAllocateMdl((*irp).UserBuffer, length, 0, 0, irp);
        if mdl.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        let mode = if mistake == Mistake::KernelMode {
            _MODE::KernelMode as i8
        } else {
            (*irp).RequestorMode
        };
        let operation = if u32::from((*location).MajorFunction) == IRP_MJ_READ {
            _LOCK_OPERATION::IoWriteAccess
        } else {
            _LOCK_OPERATION::IoReadAccess
        };
        let status = if mistake == Mistake::Unguarded {
            ntddk::MmProbeAndLockPages(mdl, mode, operation);
            STATUS_SUCCESS
        } else {
            xfersplit_guarded_probe_and_lock(mdl, mode, operation)
        };
        if status < 0 {
            (*irp).MdlAddress = ptr::null_mut();
            ntddk::IoFreeMdl(mdl);
        }
        status
    }
}

unsafe extern "C" fn done(_: PDEVICE_OBJECT, irp: PIRP, _: PVOID) -> NTSTATUS {
    // SAFETY: the I/O manager calls it with the IRP, whose MDL is this driver's.
    unsafe {
        if (*irp).PendingReturned != 0 {
            wdm::mark_pending(irp);
        }
        let mdl = (*irp).MdlAddress;
        (*irp).MdlAddress = ptr::null_mut();
        if *orders().mistake.lock().expect("unpoisoned") != Mistake::LeavesLocked {
            ntddk::MmUnlockPages(mdl);
        }
        ntddk::IoFreeMdl(mdl);
    }
    STATUS_SUCCESS
}

/// Locks in a system thread, where the address means nothing.
///
/// # Safety
/// As a dispatch routine.
unsafe fn transfer_later(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract; the work item is freed where it ends.
    unsafe {
        let item = ntddk::IoAllocateWorkItem(device);
        if item.is_null() {
            wdm::complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        wdm::mark_pending(irp);
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_1
            .__bindgen_anon_1
            .DriverContext[0] = item.cast();
        ntddk::IoQueueWorkItem(
            item,
            Some(later),
            _WORK_QUEUE_TYPE::DelayedWorkQueue,
            irp.cast(),
        );
    }
    STATUS_PENDING
}

unsafe extern "C" fn later(device: PDEVICE_OBJECT, context: PVOID) {
    let irp: PIRP = context.cast();
    // SAFETY: the work item's context is the IRP, which is this driver's until it is completed.
    unsafe {
        let item = (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_1
            .__bindgen_anon_1
            .DriverContext[0];
        ntddk::IoFreeWorkItem(item.cast());
        let status = lock(irp, Mistake::None);
        if status < 0 {
            wdm::complete(irp, status, 0);
            return;
        }
        wdm::copy_location(irp);
        wdm::set_completion(irp, Some(done), ptr::null_mut());
        ntddk::IofCallDriver(*lower_of(device), irp);
    }
}
