//! A driver below that moves nothing and answers as it is told: for what a driver above does with the
//! answer.

use std::collections::VecDeque;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ntsim::abi::{
    DO_DEVICE_INITIALIZING, DO_DIRECT_IO, FILE_DEVICE_DISK, IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP,
    IRP_MJ_READ, IRP_MJ_WRITE, IRP_MN_REMOVE_DEVICE, KDPC, NTSTATUS, PCUNICODE_STRING,
    PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, PKDPC, PVOID, SL_PENDING_RETURNED, STATUS_NO_SUCH_DEVICE,
    STATUS_PENDING, STATUS_SUCCESS,
};
use ntsim::{Driver, Machine, Stack, io, ntddk};

/// One answer: when, and what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) when: When,
    pub(crate) status: NTSTATUS,
    pub(crate) information: u64,
}

/// When a request is completed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum When {
    /// In the dispatch routine, which returns the status.
    AtOnce,
    /// In the dispatch routine, which has marked the request and returns STATUS_PENDING.
    BeforeItReturns,
    /// In a DPC; the dispatch routine returns STATUS_PENDING.
    Later,
}

/// What will be answered, in order; then success with all bytes, at once.
#[derive(Default)]
struct Script(Mutex<VecDeque<Answer>>);

/// What the device needs.
#[repr(C)]
struct Extension {
    lower: PDEVICE_OBJECT,
    dpc: KDPC,
    pending: PIRP,
    answer: (NTSTATUS, u64),
}

/// The driver, to be the one below the driver under test.
pub(crate) fn driver() -> Driver {
    Driver::linked("answering", entry)
}

/// Says what the next requests get.
pub(crate) fn answers(stack: &Stack, answers: impl IntoIterator<Item = Answer>) {
    let script = stack.machine().extension::<Script>();
    let mut script = script.0.lock().unwrap_or_else(PoisonError::into_inner);
    script.extend(answers);
}

unsafe extern "system" fn entry(driver: PDRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver object is ours to fill in.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
            (*table)[major as usize] = Some(match major {
                IRP_MJ_READ | IRP_MJ_WRITE => transfer,
                IRP_MJ_PNP => pnp,
                _ => forward,
            });
        }
        (*(*driver).DriverExtension).AddDevice = Some(add_device);
        (*driver).DriverUnload = Some(unload);
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_: PDRIVER_OBJECT) {}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and a stack to join; the extension is
    // zeroed and ours.
    unsafe {
        let device = io::create_device(driver, size_of::<Extension>(), FILE_DEVICE_DISK);
        let extension: *mut Extension = (*device).DeviceExtension.cast();
        (*extension).lower = io::attach(device, pdo);
        if (*extension).lower.is_null() {
            io::delete_device(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        ntddk::KeInitializeDpc(
            &raw mut (*extension).dpc,
            Some(complete_later),
            extension.cast(),
        );
        let flags = &raw mut (*device).Flags;
        flags.write((flags.read() | DO_DIRECT_IO) & !DO_DEVICE_INITIALIZING);
    }
    STATUS_SUCCESS
}

/// Passes an IRP down as it is.
unsafe extern "C" fn forward(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the dispatch routine owns the IRP and gives its own stack location back (wdm.h,
    // IoSkipCurrentIrpStackLocation).
    unsafe {
        let extension: *mut Extension = (*device).DeviceExtension.cast();
        (&raw mut (*irp).CurrentLocation).write((*irp).CurrentLocation + 1);
        let overlay = &raw mut (*irp).Tail.Overlay;
        let current = &raw mut (*overlay)
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation;
        current.write(current.read().add(1));
        ntddk::IofCallDriver((*extension).lower, irp)
    }
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the dispatch routine owns the IRP until it is passed on; after REMOVE the device is
    // this driver's to take down.
    unsafe {
        let minor = u32::from((*io::current_location(irp)).MinorFunction);
        let status = forward(device, irp);
        if minor == IRP_MN_REMOVE_DEVICE {
            let extension: *mut Extension = (*device).DeviceExtension.cast();
            io::detach((*extension).lower);
            io::delete_device(device);
        }
        status
    }
}

unsafe extern "C" fn transfer(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let script = Machine::current().extension::<Script>();
    // SAFETY: the dispatch routine owns the IRP until it completes it or leaves it to its DPC.
    unsafe {
        let location = io::current_location(irp);
        let answer = {
            let mut script = script.0.lock().unwrap_or_else(PoisonError::into_inner);
            script.pop_front().unwrap_or(Answer {
                when: When::AtOnce,
                status: STATUS_SUCCESS,
                information: u64::from((*location).Parameters.Read.Length),
            })
        };
        let result = (answer.status, answer.information);
        if answer.when == When::AtOnce {
            complete(irp, result);
            return answer.status;
        }
        (&raw mut (*location).Control).write((*location).Control | SL_PENDING_RETURNED as u8);
        if answer.when == When::BeforeItReturns {
            complete(irp, result);
        } else {
            let extension: *mut Extension = (*device).DeviceExtension.cast();
            (*extension).pending = irp;
            (*extension).answer = result;
            let dpc = &raw mut (*extension).dpc;
            ntddk::KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut());
        }
    }
    STATUS_PENDING
}

unsafe extern "C" fn complete_later(_: PKDPC, extension: PVOID, _: PVOID, _: PVOID) {
    let extension: *mut Extension = extension.cast();
    // SAFETY: the device has one request at a time, for whoever is above waits for each.
    unsafe { complete((*extension).pending, (*extension).answer) };
}

/// # Safety
/// The caller owns the IRP.
unsafe fn complete(irp: PIRP, (status, information): (NTSTATUS, u64)) {
    // SAFETY: the caller's contract.
    unsafe {
        (&raw mut (*irp).IoStatus.__bindgen_anon_1.Status).write(status);
        (&raw mut (*irp).IoStatus.Information).write(information);
        ntddk::IofCompleteRequest(irp, 0);
    }
}
