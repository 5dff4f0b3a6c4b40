//! The `SCSI_REQUEST_BLOCK`: what every port driver since NT 3.1 understands.

use wdk_sys::{
    NTSTATUS, PIRP, SCSI_REQUEST_BLOCK, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FUNCTION_EXECUTE_SCSI,
    SRB_SIMPLE_TAG_REQUEST, SRB_STATUS_AUTOSENSE_VALID,
};
use xfersplit_core::verdict::{Carrier, Completion};

use super::{Answer, Request, SENSE_BYTES};

const _: () = assert!(size_of::<SCSI_REQUEST_BLOCK>() == 88);
const _: () = assert!(size_of::<SCSI_REQUEST_BLOCK>() <= super::BLOCK_BYTES);

/// The sort key of addresses that its 32 bits can't hold (classpnp xferpkt.c puts such requests last).
const SORT_KEY_BEYOND: u32 = u32::MAX;

/// READ or WRITE for one piece. The address (path, target, unit) is the port's: it knows it from the
/// device object that the IRP is sent to.
pub(super) fn read_write(request: &Request, sense: *mut u8) -> SCSI_REQUEST_BLOCK {
    let mut block = SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        Function: SRB_FUNCTION_EXECUTE_SCSI as u8,
        QueueAction: SRB_SIMPLE_TAG_REQUEST as u8,
        CdbLength: request.cdb.length,
        SenseInfoBufferLength: SENSE_BYTES as u8,
        SrbFlags: request.flags,
        DataTransferLength: request.length,
        TimeOutValue: request.timeout,
        DataBuffer: request.data_buffer,
        SenseInfoBuffer: sense.cast(),
        OriginalRequest: request.irp.cast(),
        SrbExtension: request.client.cast(),
        Cdb: request.cdb.bytes,
        ..Default::default()
    };
    block.__bindgen_anon_1.QueueSortKey = u32::try_from(request.lba).unwrap_or(SORT_KEY_BEYOND);
    block
}

/// RELEASE_QUEUE or FLUSH_QUEUE: to be carried out though the queue is frozen.
pub(super) fn queue_request(function: u8, irp: PIRP) -> SCSI_REQUEST_BLOCK {
    SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        Function: function,
        SrbFlags: SRB_FLAGS_NO_QUEUE_FREEZE,
        OriginalRequest: irp.cast(),
        ..Default::default()
    }
}

/// # Safety
/// `place` is writable, large and aligned enough, and no lower driver holds it.
pub(super) unsafe fn write(place: *mut SCSI_REQUEST_BLOCK, block: SCSI_REQUEST_BLOCK) {
    // SAFETY: the caller's contract.
    unsafe { place.write(block) };
}

/// # Safety
/// `place` holds a block that [`write()`] put there and no lower driver holds it.
pub(super) unsafe fn read(place: *const SCSI_REQUEST_BLOCK) -> SCSI_REQUEST_BLOCK {
    // SAFETY: the caller's contract.
    unsafe { place.read() }
}

/// The block's answer. Sense counts only with `SRB_STATUS_AUTOSENSE_VALID`, and only as much of it
/// as the port says it stored.
pub(super) fn answer<'a>(
    block: &SCSI_REQUEST_BLOCK,
    irp_status: NTSTATUS,
    asked: u32,
    sense: &'a [u8],
) -> Answer<'a> {
    let valid = u32::from(block.SrbStatus) & SRB_STATUS_AUTOSENSE_VALID != 0;
    let stored = if valid {
        usize::from(block.SenseInfoBufferLength)
    } else {
        0
    };
    // SAFETY: the union's members are all u32; after completion it holds InternalStatus, if anything.
    let internal_status = unsafe { block.__bindgen_anon_1.InternalStatus };
    Answer {
        completion: Completion {
            carrier: Carrier::Srb,
            irp_status,
            srb_status: block.SrbStatus,
            scsi_status: block.ScsiStatus,
            internal_status: internal_status.cast_signed(),
            asked,
            moved: block.DataTransferLength,
            sense: sense.get(..stored).unwrap_or(sense),
        },
    }
}
