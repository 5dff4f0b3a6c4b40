//! The `STORAGE_REQUEST_BLOCK` of Windows 8: a header, an address, and extensions, of which the
//! driver's own requests need the one for command blocks of up to 16 bytes.

use core::mem::offset_of;

use wdk_sys::{
    _SRBEXDATATYPE, PIRP, PVOID, SRB_FUNCTION_EXECUTE_SCSI, SRB_FUNCTION_STORAGE_REQUEST_BLOCK,
    SRB_SIGNATURE, SRB_SIMPLE_TAG_REQUEST, SRBEX_DATA_SCSI_CDB16, STOR_ADDR_BTL8,
    STOR_ADDRESS_TYPE_BTL8, STORAGE_REQUEST_BLOCK, STORAGE_REQUEST_BLOCK_VERSION_1,
};

use super::{Format, Frame, Request, SENSE_BYTES, Said};

/// `Length`: the part that both formats begin with, up to `Signature`. How long the block is says
/// `SrbLength` (classpnp srblib.c, InitializeStorageRequestBlock).
const HEADER_LENGTH: u16 = offset_of!(STORAGE_REQUEST_BLOCK, Signature) as u16;

/// `STOR_ADDR_BTL8_ADDRESS_LENGTH`: path, target and unit.
const ADDRESS_LENGTH: u32 = 4;

/// `SRBEX_DATA_SCSI_CDB16_LENGTH`: the extension behind its `Type` and `Length`.
const COMMAND_LENGTH: u32 = (size_of::<SRBEX_DATA_SCSI_CDB16>() - 8) as u32;

/// A READ or WRITE.
#[repr(C)]
pub(super) struct ReadWrite {
    header: STORAGE_REQUEST_BLOCK,
    address: STOR_ADDR_BTL8,
    command: SRBEX_DATA_SCSI_CDB16,
}

/// A request without a command.
#[repr(C)]
pub(super) struct QueueRequest {
    header: STORAGE_REQUEST_BLOCK,
    address: STOR_ADDR_BTL8,
}

const _: () = assert!(size_of::<STORAGE_REQUEST_BLOCK>() == 128);
const _: () = assert!(offset_of!(ReadWrite, address) == offset_of!(QueueRequest, address));

/// Where the answer is.
pub(super) const FRAME: Frame = Frame {
    format: Format::Extended,
    scsi_status: offset_of!(ReadWrite, command.ScsiStatus),
    sense_length: offset_of!(ReadWrite, command.SenseInfoBufferLength),
};

/// READ or WRITE for one piece. The address says where to find a unit at most; which one it is the
/// port knows from the device object that the IRP is sent to, and it fills in its own numbers.
pub(super) fn read_write(request: &Request, sense: PVOID) -> ReadWrite {
    let mut header = header(
        size_of::<ReadWrite>(),
        SRB_FUNCTION_EXECUTE_SCSI,
        request.irp,
    );
    header.SrbFlags = request.flags;
    header.RequestAttribute = SRB_SIMPLE_TAG_REQUEST as u16;
    header.TimeOutValue = request.timeout;
    header.DataTransferLength = request.length;
    header.DataBuffer = request.data_buffer;
    header.MiniportContext = request.client.cast();
    header.NumSrbExData = 1;
    header.SrbExDataOffset = [offset_of!(ReadWrite, command) as u32];
    ReadWrite {
        header,
        address: address(),
        command: SRBEX_DATA_SCSI_CDB16 {
            Type: _SRBEXDATATYPE::SrbExDataTypeScsiCdb16,
            Length: COMMAND_LENGTH,
            SenseInfoBufferLength: SENSE_BYTES as u8,
            CdbLength: request.cdb.length,
            SenseInfoBuffer: sense,
            Cdb: request.cdb.bytes,
            ..Default::default()
        },
    }
}

/// RELEASE_QUEUE or FLUSH_QUEUE. No flags, as classpnp sends it (class.c, ClasspReleaseQueue).
pub(super) fn queue_request(function: u32, irp: PIRP) -> QueueRequest {
    QueueRequest {
        header: header(size_of::<QueueRequest>(), function, irp),
        address: address(),
    }
}

fn header(length: usize, function: u32, irp: PIRP) -> STORAGE_REQUEST_BLOCK {
    STORAGE_REQUEST_BLOCK {
        Length: HEADER_LENGTH,
        Function: SRB_FUNCTION_STORAGE_REQUEST_BLOCK as u8,
        Signature: SRB_SIGNATURE,
        Version: STORAGE_REQUEST_BLOCK_VERSION_1,
        SrbLength: length as u32,
        SrbFunction: function,
        AddressOffset: offset_of!(QueueRequest, address) as u32,
        OriginalRequest: irp.cast(),
        ..Default::default()
    }
}

fn address() -> STOR_ADDR_BTL8 {
    STOR_ADDR_BTL8 {
        Type: STOR_ADDRESS_TYPE_BTL8 as u16,
        AddressLength: ADDRESS_LENGTH,
        ..Default::default()
    }
}

/// # Safety
/// `block` holds a request block of this format that no lower driver holds.
pub(super) unsafe fn said(block: *const STORAGE_REQUEST_BLOCK) -> Said {
    // SAFETY: the caller's contract.
    let block = unsafe { block.read() };
    Said {
        srb_status: block.SrbStatus,
        internal_status: block.SystemStatus.cast_signed(),
        moved: block.DataTransferLength,
    }
}
