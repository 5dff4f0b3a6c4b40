//! The `SCSI_REQUEST_BLOCK`: what every port driver since NT 3.1 understands.

use core::mem::offset_of;

use wdk_sys::{
    PIRP, PVOID, SCSI_REQUEST_BLOCK, SRB_FLAGS_DATA_IN, SRB_FLAGS_NO_QUEUE_FREEZE,
    SRB_FUNCTION_EXECUTE_SCSI, SRB_FUNCTION_IO_CONTROL, SRB_SIMPLE_TAG_REQUEST,
};

use super::{Format, Frame, Request, SENSE_BYTES, Said, sort_key};

const _: () = assert!(size_of::<SCSI_REQUEST_BLOCK>() == 88);

/// Where the answer is.
pub(super) const FRAME: Frame = Frame {
    format: Format::Legacy,
    scsi_status: offset_of!(SCSI_REQUEST_BLOCK, ScsiStatus),
    sense_length: offset_of!(SCSI_REQUEST_BLOCK, SenseInfoBufferLength),
};

/// READ or WRITE for one piece. The address (path, target, unit) is the port's: it knows it from the
/// device object that the IRP is sent to.
pub(super) fn read_write(request: &Request, sense: PVOID) -> SCSI_REQUEST_BLOCK {
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
        SenseInfoBuffer: sense,
        OriginalRequest: request.irp.cast(),
        SrbExtension: request.client.cast(),
        Cdb: request.cdb.bytes,
        ..Default::default()
    };
    block.__bindgen_anon_1.QueueSortKey = sort_key(request.lba);
    block
}

/// RELEASE_QUEUE or FLUSH_QUEUE. No flags, as classpnp sends it (class.c, ClasspReleaseQueue).
pub(super) fn queue_request(function: u32, irp: PIRP) -> SCSI_REQUEST_BLOCK {
    SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        Function: function as u8,
        OriginalRequest: irp.cast(),
        ..Default::default()
    }
}

/// IO_CONTROL: for the port driver itself, whose miniport knows by the `SRB_IO_CONTROL` at the beginning
/// of the data whether it is meant (ntddscsi.h). Not a request that an error should freeze the queue
/// for.
pub(super) fn io_control(irp: PIRP, data: PVOID, length: u32, seconds: u32) -> SCSI_REQUEST_BLOCK {
    SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        Function: SRB_FUNCTION_IO_CONTROL as u8,
        SrbFlags: SRB_FLAGS_DATA_IN | SRB_FLAGS_NO_QUEUE_FREEZE,
        DataTransferLength: length,
        TimeOutValue: seconds,
        DataBuffer: data,
        OriginalRequest: irp.cast(),
        ..Default::default()
    }
}

/// # Safety
/// `block` holds a request block of this format that no lower driver holds.
pub(super) unsafe fn said(block: *const SCSI_REQUEST_BLOCK) -> Said {
    // SAFETY: the caller's contract.
    let block = unsafe { block.read() };
    // SAFETY: the union's members are all u32; after completion it holds InternalStatus, if anything.
    let internal_status = unsafe { block.__bindgen_anon_1.InternalStatus };
    Said {
        srb_status: block.SrbStatus,
        internal_status: internal_status.cast_signed(),
        moved: block.DataTransferLength,
    }
}
