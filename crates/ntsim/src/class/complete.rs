//! A packet has come back [classpnp, xferpkt.c, `TransferPktComplete`].

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::fdo::{Fdo, Use};
use super::packet::{Packet, Packets};
use super::sense::{Ended, Sense};
use super::srb::Block;
use super::{irp, retry, sense, service};
use crate::abi::{
    _IRP, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SL_OVERRIDE_VERIFY_VOLUME,
    SRB_STATUS_AUTOSENSE_VALID, SRB_STATUS_QUEUE_FROZEN, SRB_STATUS_SUCCESS, STATUS_DATA_OVERRUN,
    STATUS_DEVICE_NOT_READY, STATUS_FT_READ_FROM_COPY, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_MEDIA_WRITE_PROTECTED,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_NO_MEDIA_IN_DEVICE, STATUS_UNRECOGNIZED_MEDIA,
    STATUS_UNSUCCESSFUL, STATUS_VERIFY_REQUIRED, STATUS_WRONG_VOLUME,
};
use crate::{io, ntddk};

/// Bits of `SrbStatus` that are flags.
const FLAG_BITS: u32 = SRB_STATUS_AUTOSENSE_VALID | SRB_STATUS_QUEUE_FROZEN;
/// Units of 100 ns in a second.
const SECOND: i64 = 10_000_000;
/// Retries after a soft threshold of thin provisioning (`NUM_THIN_PROVISIONING_RETRIES`).
pub(super) const THRESHOLD_RETRIES: u32 = 32;

/// The completion routine of packets. IRQL <= `DISPATCH_LEVEL`.
pub(super) unsafe extern "C" fn completed(
    _: PDEVICE_OBJECT,
    irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    let packet: *mut Packet = context.cast();
    // SAFETY: the context is the packet of this IRP, which is the class driver's again. The device
    // stays while a request has pieces.
    unsafe {
        let fdo = &*(*packet).fdo;
        // A client's own use of the device goes with the client, before this is over.
        let _use = Use::of(&fdo.rundown);
        let block = Packet::block(packet, fdo);
        // First of all: whoever mapped the pages below has left the mapping, and the request, with
        // whose end the pages may go, must not end before it is removed.
        if (*packet).use_partial {
            prepare_for_reuse((*packet).partial);
        }
        let done = if u32::from(block.status()) & !FLAG_BITS == SRB_STATUS_SUCCESS {
            succeeded(packet, fdo, block)
        } else {
            failed(packet, fdo, block, irp)
        };
        if done {
            finish(packet, fdo, block, irp);
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// `MmPrepareMdlForReuse`.
///
/// # Safety
/// `mdl` is a packet's own and not in use.
unsafe fn prepare_for_reuse(mdl: crate::abi::PMDL) {
    const MAPPED: u32 = crate::abi::MDL_PARTIAL_HAS_BEEN_MAPPED;
    // SAFETY: the caller's contract.
    unsafe {
        if u32::from((*mdl).MdlFlags.cast_unsigned()) & MAPPED != 0 {
            ntddk::MmUnmapLockedPages((*mdl).MappedSystemVa, mdl);
        }
    }
}

/// Counts the bytes that moved; says whether the packet is done.
///
/// # Safety
/// The caller owns `packet`, whose SRB `block` is.
unsafe fn succeeded(packet: *mut Packet, fdo: &Fdo, block: Block) -> bool {
    // SAFETY: the caller owns the packet, and the client waits for it. Several packets of a client
    // may add at the same time; like the class driver's, the sum has 32 bits.
    unsafe {
        let information = &raw mut (*(*packet).client).IoStatus.Information;
        AtomicU32::from_ptr(information.cast()).fetch_add(block.data_length(), Ordering::Relaxed);
        !(*packet).in_low_memory || retry::step_low_memory(packet, fdo)
    }
}

/// Looks at an error and tries again if that is worth it; says whether the packet is done.
///
/// # Safety
/// As for [`succeeded`]; `irp` is the packet's.
unsafe fn failed(packet: *mut Packet, fdo: &Fdo, block: Block, irp: PIRP) -> bool {
    // SAFETY: the caller owns the packet, and the client waits for it.
    unsafe {
        if NT_SUCCESS(irp::status(irp)) {
            irp::set_status(irp, STATUS_UNSUCCESSFUL);
        }
        // Dispatch has returned, or will return, STATUS_PENDING for anything but success.
        irp::mark_pending((*packet).client);
        let retry = interpret(packet, fdo, block, irp);
        if u32::from(block.status()) & SRB_STATUS_QUEUE_FROZEN != 0 {
            fdo.release_queue();
        }
        if NT_SUCCESS(irp::status(irp)) {
            fdo.class.tally.recovered.fetch_add(1, Ordering::Relaxed);
            return succeeded(packet, fdo, block);
        }
        if retry && (*packet).retries > 0 {
            retry::again(packet, fdo, block)
        } else {
            true
        }
    }
}

/// Sets the status of `irp` to what the error means; says whether to try again, and leaves in the
/// packet when [classpnp, retry.c, `InterpretTransferPacketError`].
///
/// # Safety
/// As for [`failed`].
unsafe fn interpret(packet: *mut Packet, fdo: &Fdo, block: Block, irp: PIRP) -> bool {
    // SAFETY: the caller owns the packet, and the client waits for it.
    unsafe {
        (&raw mut (*packet).delay).write(0);
        let ended = ended(packet, fdo, block, irp);
        let verdict = sense::interpret(&ended, fdo.about());
        if verdict.counts {
            fdo.note_error();
        }
        if verdict.status == STATUS_DATA_OVERRUN {
            fdo.note_overrun();
        }
        if verdict.verify {
            fdo.set_verify();
        }
        let (mut status, mut retry) = (verdict.status, verdict.retry);
        let overrides = u32::from((*io::current_location((*packet).client)).Flags)
            & SL_OVERRIDE_VERIFY_VOLUME
            != 0;
        if status == STATUS_INSUFFICIENT_RESOURCES {
            retry = true;
        } else if status == STATUS_VERIFY_REQUIRED && overrides {
            // The file system is looking at the medium right now.
            status = STATUS_IO_DEVICE_ERROR;
            retry = true;
        } else if sense::is_timeout(ended.srb_status) {
            (&raw mut (*packet).timed_out).write(true);
            if retry {
                let left = &raw mut (*packet).timeout_retries;
                retry = *left != 0;
                *left = (*left).saturating_sub(1);
            }
        }
        irp::set_status(irp, status);
        if retry {
            (&raw mut (*packet).delay).write(i64::from(verdict.seconds) * SECOND);
        }
        retry
    }
}

/// # Safety
/// As for [`failed`].
unsafe fn ended(packet: *mut Packet, fdo: &Fdo, block: Block, irp: PIRP) -> Ended {
    let learned = fdo.learned();
    // SAFETY: the caller owns the packet; a client's location is current until it is completed.
    unsafe {
        let first = (*packet).offset.cast_unsigned() >> learned.sector_shift;
        let blocks = u64::from((*packet).length >> learned.sector_shift);
        let major = (*io::current_location((*packet).client)).MajorFunction;
        Ended {
            srb_status: (u32::from(block.status()) & !FLAG_BITS) as u8,
            scsi_status: block.scsi_status(),
            system_status: block.system_status(),
            sense: valid_sense(block),
            irp_status: irp::status(irp),
            writes: u32::from(major) == crate::abi::IRP_MJ_WRITE,
            within_disk: first + blocks <= learned.facts.last_block + 1,
            retries_done: fdo.options.retries - (*packet).retries,
        }
    }
}

/// The sense data, where `SrbStatus` says that there is some.
///
/// # Safety
/// The caller owns `block`.
pub(super) unsafe fn valid_sense(block: Block) -> Option<Sense> {
    let (buffer, length) = block.sense();
    let valid = u32::from(block.status()) & SRB_STATUS_AUTOSENSE_VALID != 0 && !buffer.is_null();
    if !valid {
        return None;
    }
    // SAFETY: the buffer has as many bytes as the SRB says, whoever gave it; it is read here alone.
    Sense::parse(unsafe { core::slice::from_raw_parts(buffer, usize::from(length)) })
}

/// Gives the packet's part of the client's result, completes the client after the last one, and
/// lets a request in that has waited.
///
/// # Safety
/// As for [`failed`]; the packet is no longer the caller's afterwards.
unsafe fn finish(packet: *mut Packet, fdo: &Fdo, block: Block, irp: PIRP) {
    // SAFETY: the caller owns the packet; the client waits until the last of its packets has been
    // counted, and nobody touches it afterwards but the one who counted that.
    unsafe {
        Packet::free_ports_sense(packet, block);
        let client = (*packet).client;
        let status = irp::status(irp);
        merge_status(client, status);
        if is_for_the_user(status) {
            fdo.class.tally.verify(client);
        }
        let pending = (*irp).PendingReturned != 0;
        let left = AtomicU32::from_ptr(service::pieces_left(client));
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            complete_client(fdo, client, pending);
        }
        (&raw mut (*packet).use_partial).write(false);
        (&raw mut (*packet).in_low_memory).write(false);
        if let Some(deferred) = Packets::give_back(fdo, packet) {
            service::serve(fdo, deferred, true);
        }
    }
}

/// # Safety
/// Every packet of `client` has been counted.
unsafe fn complete_client(fdo: &Fdo, client: PIRP, pending: bool) {
    // SAFETY: nobody else has the client any more.
    unsafe {
        if NT_SUCCESS(irp::status(client)) {
            fdo.note_success();
        } else {
            fdo.class.tally.failed.fetch_add(1, Ordering::Relaxed);
        }
        fdo.rundown.release();
        if pending {
            irp::mark_pending(client);
        }
        ntddk::IofCompleteRequest(client, crate::abi::IO_DISK_INCREMENT as i8);
    }
}

/// `IoSetMasterIrpStatus`, which packets on several processors may call at the same time: a failure
/// stays, and `STATUS_VERIFY_REQUIRED` outranks every other.
///
/// # Safety
/// `client` waits for the caller.
unsafe fn merge_status(client: PIRP, status: NTSTATUS) {
    // SAFETY: the caller's contract; whoever else writes the field does it here.
    let merged = unsafe {
        let client: *mut _IRP = client;
        AtomicI32::from_ptr(&raw mut (*client).IoStatus.__bindgen_anon_1.Status)
    };
    let worse = |before: NTSTATUS| {
        let outranks = status == STATUS_VERIFY_REQUIRED
            || NT_SUCCESS(before) && (!NT_SUCCESS(status) || status == STATUS_FT_READ_FROM_COPY);
        (before != STATUS_VERIFY_REQUIRED && outranks).then_some(status)
    };
    // An error here is "nothing to change".
    let _ = merged.fetch_update(Ordering::AcqRel, Ordering::Acquire, worse);
}

/// `IoIsErrorUserInduced`: whether somebody at the machine can do something about it.
const fn is_for_the_user(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_DEVICE_NOT_READY
            | STATUS_IO_TIMEOUT
            | STATUS_MEDIA_WRITE_PROTECTED
            | STATUS_NO_MEDIA_IN_DEVICE
            | STATUS_VERIFY_REQUIRED
            | STATUS_UNRECOGNIZED_MEDIA
            | STATUS_WRONG_VOLUME
    )
}
