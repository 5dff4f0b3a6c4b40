//! The class driver's SRBs, in the format that the adapter descriptor asks for.

use core::ptr;

use crate::abi::{
    PIRP, PSCSI_REQUEST_BLOCK, PVOID, SCSI_REQUEST_BLOCK, SRB_FUNCTION_EXECUTE_SCSI,
    SRB_FUNCTION_STORAGE_REQUEST_BLOCK, SRB_SIGNATURE, SRB_SIMPLE_TAG_REQUEST,
    SRBEX_DATA_SCSI_CDB16, STOR_ADDR_BTL8, STOR_ADDRESS_TYPE_BTL8, STORAGE_REQUEST_BLOCK,
    STORAGE_REQUEST_BLOCK_VERSION_1,
};

/// Bytes of a sense buffer (`SENSE_BUFFER_SIZE_EX`).
pub(super) const SENSE_ROOM: u8 = 255;
/// `SrbExDataTypeScsiCdb16`.
const EX_CDB16: i32 = 0x40;
/// `Length` of a `STORAGE_REQUEST_BLOCK`: the bytes before `Signature`.
const HEADER: u16 = core::mem::offset_of!(STORAGE_REQUEST_BLOCK, Signature) as u16;
/// `Length` of an extension or an address counts what follows its own header.
const EX_HEADER: u32 = 8;

/// An extended SRB with its address and one CDB extension, in this order [classpnp, srblib.c].
#[repr(C)]
struct Extended {
    header: STORAGE_REQUEST_BLOCK,
    address: STOR_ADDR_BTL8,
    command: SRBEX_DATA_SCSI_CDB16,
}

/// Room for an SRB of either format.
#[repr(C)]
pub(super) struct Storage {
    legacy: SCSI_REQUEST_BLOCK,
    extended: Extended,
}

/// An SRB in its storage.
#[derive(Clone, Copy)]
pub(super) struct Block {
    base: *mut Storage,
    extended: bool,
}

/// Sets or reads a field that the two formats have in different places.
macro_rules! place {
    ($block:ident, $legacy:ident, $($extended:ident).+) => {
        if $block.extended {
            // SAFETY: the storage is the block's for as long as the block is used.
            unsafe { &raw mut (*$block.base).extended.$($extended).+ }
        } else {
            // SAFETY: as above.
            unsafe { &raw mut (*$block.base).legacy.$legacy }
        }
    };
}

impl Block {
    /// A view of the SRB in `base`.
    ///
    /// # Safety
    /// `base` is valid zeroed memory, or holds an SRB that this type made; the caller owns it for
    /// as long as the block is used.
    pub(super) const unsafe fn new(base: *mut Storage, extended: bool) -> Self {
        Self { base, extended }
    }

    /// A fresh `EXECUTE_SCSI` SRB: SIMPLE-tagged, without data.
    pub(super) fn make_command(self) {
        self.make(SRB_FUNCTION_EXECUTE_SCSI, true);
        if self.extended {
            // SAFETY: the storage is ours.
            unsafe {
                let header = &raw mut (*self.base).extended.header;
                (&raw mut (*header).RequestAttribute).write(SRB_SIMPLE_TAG_REQUEST as u16);
            }
        } else {
            // SAFETY: the storage is ours.
            unsafe {
                let action = &raw mut (*self.base).legacy.QueueAction;
                action.write(SRB_SIMPLE_TAG_REQUEST as u8);
            }
        }
    }

    /// A fresh SRB of another function, without a command.
    pub(super) fn make_function(self, function: u32) {
        self.make(function, false);
    }

    fn make(self, function: u32, command: bool) {
        // SAFETY: the storage is ours. It is zeroed first, padding included, and then written field
        // by field, so that nobody who copies an SRB reads what was never written.
        unsafe {
            ptr::write_bytes(self.base, 0, 1);
            if self.extended {
                self.make_extended(function, command);
            } else {
                let srb = &raw mut (*self.base).legacy;
                (&raw mut (*srb).Length).write(size_of::<SCSI_REQUEST_BLOCK>() as u16);
                (&raw mut (*srb).Function).write(function as u8);
            }
        }
    }

    /// # Safety
    /// The storage is zeroed.
    unsafe fn make_extended(self, function: u32, command: bool) {
        let address_at = core::mem::offset_of!(Extended, address);
        let command_at = core::mem::offset_of!(Extended, command);
        let length = if command {
            size_of::<Extended>()
        } else {
            command_at
        };
        // SAFETY: the storage is ours.
        unsafe {
            let srb = &raw mut (*self.base).extended.header;
            (&raw mut (*srb).Length).write(HEADER);
            (&raw mut (*srb).Function).write(SRB_FUNCTION_STORAGE_REQUEST_BLOCK as u8);
            (&raw mut (*srb).Signature).write(SRB_SIGNATURE);
            (&raw mut (*srb).Version).write(STORAGE_REQUEST_BLOCK_VERSION_1);
            (&raw mut (*srb).SrbLength).write(length as u32);
            (&raw mut (*srb).SrbFunction).write(function);
            (&raw mut (*srb).AddressOffset).write(address_at as u32);
            let address = &raw mut (*self.base).extended.address;
            (&raw mut (*address).Type).write(STOR_ADDRESS_TYPE_BTL8 as u16);
            // Path, target, LUN and a reserved byte.
            (&raw mut (*address).AddressLength).write(4);
            if command {
                (&raw mut (*srb).NumSrbExData).write(1);
                (&raw mut (*srb).SrbExDataOffset[0]).write(command_at as u32);
                let data = &raw mut (*self.base).extended.command;
                (&raw mut (*data).Type).write(EX_CDB16);
                let bytes = size_of::<SRBEX_DATA_SCSI_CDB16>() as u32 - EX_HEADER;
                (&raw mut (*data).Length).write(bytes);
            }
        }
    }

    /// The SRB as a stack location names it.
    pub(super) fn pointer(self) -> PSCSI_REQUEST_BLOCK {
        // SAFETY: places in the storage, which is ours.
        unsafe {
            if self.extended {
                (&raw mut (*self.base).extended).cast()
            } else {
                &raw mut (*self.base).legacy
            }
        }
    }

    pub(super) fn set_original_request(self, irp: PIRP) {
        let place = place!(self, OriginalRequest, header.OriginalRequest);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(irp.cast()) };
    }

    pub(super) fn flags(self) -> u32 {
        let place = place!(self, SrbFlags, header.SrbFlags);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.read() }
    }

    pub(super) fn set_flags(self, flags: u32) {
        let place = place!(self, SrbFlags, header.SrbFlags);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(flags) };
    }

    pub(super) fn set_timeout(self, seconds: u32) {
        let place = place!(self, TimeOutValue, header.TimeOutValue);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(seconds) };
    }

    /// `DataBuffer` and `DataTransferLength`.
    pub(super) fn set_data(self, buffer: PVOID, length: u32) {
        let place = place!(self, DataBuffer, header.DataBuffer);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(buffer) };
        let place = place!(self, DataTransferLength, header.DataTransferLength);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(length) };
    }

    pub(super) fn data_length(self) -> u32 {
        let place = place!(self, DataTransferLength, header.DataTransferLength);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.read() }
    }

    /// The CDB and its length.
    pub(super) fn set_cdb(self, cdb: &[u8]) {
        let place = place!(self, Cdb, command.Cdb);
        // SAFETY: the field has 16 bytes; no CDB here is longer.
        unsafe { ptr::copy_nonoverlapping(cdb.as_ptr(), place.cast(), cdb.len().min(16)) };
        let place = place!(self, CdbLength, command.CdbLength);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(cdb.len() as u8) };
    }

    /// The legacy format's sort key; the other has none.
    pub(super) fn set_sort_key(self, key: u32) {
        if !self.extended {
            // SAFETY: a field of the storage, which is ours.
            unsafe {
                (&raw mut (*self.base).legacy.__bindgen_anon_1.QueueSortKey).write(key);
            }
        }
    }

    /// `QueueTag` or `RequestTag` says that the request is not tagged (`SP_UNTAGGED`).
    pub(super) fn set_untagged(self) {
        // SAFETY: fields of the storage, which is ours.
        unsafe {
            if self.extended {
                (&raw mut (*self.base).extended.header.RequestTag).write(0xFF);
            } else {
                (&raw mut (*self.base).legacy.QueueTag).write(0xFF);
            }
        }
    }

    /// The client's IRP, where the port looks for it before it takes the field for itself; and
    /// nothing that the port left there at an earlier attempt.
    pub(super) fn set_client(self, irp: PIRP) {
        // SAFETY: fields of the storage, which is ours.
        unsafe {
            if self.extended {
                let header = &raw mut (*self.base).extended.header;
                (&raw mut (*header).MiniportContext).write(irp.cast());
                (&raw mut (*header).PortContext).write(ptr::null_mut());
            } else {
                (&raw mut (*self.base).legacy.SrbExtension).write(irp.cast());
            }
        }
    }

    pub(super) fn set_sense(self, buffer: *mut u8, length: u8) {
        let place = place!(self, SenseInfoBuffer, command.SenseInfoBuffer);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(buffer.cast()) };
        self.set_sense_length(length);
    }

    pub(super) fn set_sense_length(self, length: u8) {
        let place = place!(self, SenseInfoBufferLength, command.SenseInfoBufferLength);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(length) };
    }

    /// The sense buffer, which may be the port's own by now, and its length.
    pub(super) fn sense(self) -> (*mut u8, u8) {
        let buffer = place!(self, SenseInfoBuffer, command.SenseInfoBuffer);
        let length = place!(self, SenseInfoBufferLength, command.SenseInfoBufferLength);
        // SAFETY: fields of the storage, which is ours.
        unsafe { (buffer.read().cast(), length.read()) }
    }

    /// Forgets how the last attempt ended.
    pub(super) fn clear_status(self) {
        let place = place!(self, SrbStatus, header.SrbStatus);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(0) };
        let place = place!(self, ScsiStatus, command.ScsiStatus);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.write(0) };
    }

    /// `SrbStatus` with its flag bits.
    pub(super) fn status(self) -> u8 {
        let place = place!(self, SrbStatus, header.SrbStatus);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.read() }
    }

    pub(super) fn scsi_status(self) -> u8 {
        let place = place!(self, ScsiStatus, command.ScsiStatus);
        // SAFETY: a field of the storage, which is ours.
        unsafe { place.read() }
    }

    /// `SystemStatus`, or `InternalStatus` in the sort key's place.
    pub(super) fn system_status(self) -> i32 {
        // SAFETY: fields of the storage, which is ours.
        let status = unsafe {
            if self.extended {
                (&raw const (*self.base).extended.header.SystemStatus).read()
            } else {
                (&raw const (*self.base).legacy.__bindgen_anon_1.InternalStatus).read()
            }
        };
        status.cast_signed()
    }
}
