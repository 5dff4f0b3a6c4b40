//! What is none of the filter's business: SRB functions it does not know, and the fields of a reply
//! that are not there.

use core::ptr;

use ntsim::abi::{
    _EVENT_TYPE, IO_STATUS_BLOCK, IRP_MJ_DEVICE_CONTROL, IRP_MJ_SCSI, KEVENT, NTSTATUS,
    PDEVICE_OBJECT, PIRP, PVOID, SRB_FLAGS_BYPASS_LOCKED_QUEUE, SRB_FUNCTION_FLUSH,
    SRB_FUNCTION_LOCK_QUEUE, SRB_FUNCTION_RELEASE_QUEUE, SRB_FUNCTION_UNLOCK_QUEUE, STATUS_PENDING,
    STATUS_SUCCESS,
};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::Capture;
use ntsim::world::{Report, Stack, World};

use super::reference::Right;
use super::splitter::{Extension, Splitter};
use super::{adapter, assert_stop, device, stopped, wdm};

const IOCTL_STORAGE_QUERY_PROPERTY: u32 = 0x002D_1400;

/// Patches the adapter's descriptor and gives it the length that it should have, whatever room the
/// sender left.
struct GrowsTheReply;

impl Splitter for GrowsTheReply {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe {
            let location = wdm::current_location(irp);
            if u32::from((*location).MajorFunction) != IRP_MJ_DEVICE_CONTROL
                || (*location).Parameters.DeviceIoControl.IoControlCode
                    != IOCTL_STORAGE_QUERY_PROPERTY
            {
                return super::right::pass(extension, irp);
            }
            wdm::copy_location(irp);
            wdm::set_completion(irp, Some(grow), ptr::null_mut());
            let status = ntddk::IofCallDriver((*extension).lower, irp);
            device::unlock(extension, irp);
            status
        }
    }
}

unsafe extern "C" fn grow(_: PDEVICE_OBJECT, irp: PIRP, _: PVOID) -> NTSTATUS {
    // SAFETY: the IRP is ours for the time of this call.
    unsafe {
        if (*irp).PendingReturned != 0 {
            wdm::mark_pending(irp);
        }
        (*irp).IoStatus.Information = 32;
    }
    STATUS_SUCCESS
}

/// The two-step query of a class driver: the 8 bytes of the header first.
fn header_probe(stack: &Stack) -> u64 {
    let mut query = [0_u32; 3];
    query[0] = 1;
    let mut header = [0_u32; 2];
    let mut event = KEVENT::default();
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: everything that the request points to outlives the wait; PASSIVE_LEVEL.
    unsafe {
        ntddk::KeInitializeEvent(&raw mut event, _EVENT_TYPE::NotificationEvent, 0);
        let irp = ntddk::IoBuildDeviceIoControlRequest(
            IOCTL_STORAGE_QUERY_PROPERTY,
            stack.top(),
            (&raw mut query).cast(),
            12,
            (&raw mut header).cast(),
            8,
            0,
            &raw mut event,
            &raw mut status,
        );
        if ntddk::IofCallDriver(stack.top(), irp) == STATUS_PENDING {
            ntsim::ke::wait(&raw mut event, None);
        }
    }
    status.Information
}

#[test]
fn extra_a_reply_grows_beyond_the_senders_buffer() {
    let stop = stopped(GrowsTheReply::world().run(header_probe));
    let rule = codes::strict::INFORMATION_TOO_LONG;
    let code = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stop(&stop, code, rule, &["Information 32", "IRP"]);
    let (length, _) = Right::world()
        .run(header_probe)
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(length, 8);
}

/// Takes a flag off every SRB that comes by.
struct TidiesUp;

impl Splitter for TidiesUp {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the SRB, which is not this driver's to change.
        unsafe {
            let location = wdm::current_location(irp);
            if u32::from((*location).MajorFunction) == IRP_MJ_SCSI {
                (*(*location).Parameters.Scsi.Srb).SrbFlags &= !SRB_FLAGS_BYPASS_LOCKED_QUEUE;
            }
            super::right::pass(extension, irp)
        }
    }
}

/// The queue functions that a class driver sends, and what of them reached the port.
fn queue_functions(stack: &Stack) -> Vec<Capture> {
    stack.port().capture(true);
    stack.port().forget_records();
    for function in [
        SRB_FUNCTION_LOCK_QUEUE,
        SRB_FUNCTION_UNLOCK_QUEUE,
        SRB_FUNCTION_RELEASE_QUEUE,
        SRB_FUNCTION_FLUSH,
    ] {
        let request = stack.srb_function(function).extended(false);
        request
            .with_flags(SRB_FLAGS_BYPASS_LOCKED_QUEUE)
            .send()
            .wait();
    }
    let records = stack.port().records();
    records
        .into_iter()
        .filter_map(|record| record.capture.map(|capture| *capture))
        .collect()
}

/// The SRBs without the addresses that differ from one request to the next.
fn srbs(run: Result<(Vec<Capture>, Report), ntsim::BugCheck>) -> Vec<Vec<u8>> {
    let (captures, _) = run.unwrap_or_else(|stop| panic!("{stop}"));
    let without_pointers = |capture: Capture| {
        let mut bytes = capture.srb;
        bytes[24..64].fill(0);
        bytes
    };
    captures.into_iter().map(without_pointers).collect()
}

#[test]
fn extra_srb_functions_are_changed_on_their_way() {
    let alone = srbs(World::without_filter().hba(adapter()).run(queue_functions));
    assert_eq!(alone.len(), 4);
    assert_eq!(srbs(Right::world().run(queue_functions)), alone);
    assert_ne!(srbs(TidiesUp::world().run(queue_functions)), alone);
}
