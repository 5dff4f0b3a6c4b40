//! One view of both SRB formats.
//!
//! The view is a set of pointers into the SRB that the caller owns. They are found once, on
//! arrival, with every offset of the extended format checked, so that the rest of the port neither
//! knows nor repeats which format a request came in.

use core::ptr;

use crate::abi::{
    PVOID, SCSI_REQUEST_BLOCK, SRB_FUNCTION_STORAGE_REQUEST_BLOCK, SRB_SIGNATURE, SRBEX_DATA,
    SRBEX_DATA_SCSI_CDB_VAR, SRBEX_DATA_SCSI_CDB16, SRBEX_DATA_SCSI_CDB32, STORAGE_REQUEST_BLOCK,
    STORAGE_REQUEST_BLOCK_VERSION_1,
};

/// `SRBEXDATATYPE` of the three CDB extensions [srb.h].
const EX_CDB16: i32 = 0x40;
const EX_CDB32: i32 = 0x41;
const EX_CDB_VAR: i32 = 0x42;

/// An SRB on its way through the port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Srb {
    base: PVOID,
    length: usize,
    pub(crate) extended: bool,
    /// The function, with the extended format's own function resolved.
    pub(crate) function: u8,
    flags: *mut u32,
    data_length: *mut u32,
    data_buffer: *mut PVOID,
    timeout: *mut u32,
    status: *mut u8,
    system_status: *mut u32,
    next: *mut PVOID,
    tag: Tag,
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Legacy(*mut u8),
    Extended(*mut u16),
}

/// The part that only SCSI commands have.
#[derive(Clone, Copy, Debug)]
struct Command {
    cdb: *mut u8,
    cdb_length: usize,
    scsi_status: *mut u8,
    sense: *mut PVOID,
    sense_length: *mut u8,
}

// SAFETY: an SRB belongs to the port from the dispatch routine until the IRP is completed, on
// whichever processor that happens; the view holds nothing but pointers into it.
unsafe impl Send for Srb {}

impl Srb {
    /// Finds the parts of the SRB at `raw`, or says what is wrong with it.
    ///
    /// # Safety
    /// `raw` points to an SRB of the size that it claims to have, owned by the caller until the
    /// view is dropped.
    pub(crate) unsafe fn view(raw: *mut SCSI_REQUEST_BLOCK) -> Result<Self, &'static str> {
        if raw.is_null() {
            return Err("no SRB");
        }
        // SAFETY: `Function` has the same place in both formats; the caller vouches for the rest.
        unsafe {
            if u32::from((*raw).Function) == SRB_FUNCTION_STORAGE_REQUEST_BLOCK {
                Self::view_extended(raw.cast())
            } else {
                Self::view_legacy(raw)
            }
        }
    }

    /// # Safety
    /// As for [`Self::view`].
    unsafe fn view_legacy(raw: *mut SCSI_REQUEST_BLOCK) -> Result<Self, &'static str> {
        // SAFETY: the caller vouches for a legacy SRB; only places inside it are taken.
        unsafe {
            if usize::from((*raw).Length) != size_of::<SCSI_REQUEST_BLOCK>() {
                return Err("Length is not that of a SCSI_REQUEST_BLOCK");
            }
            if (*raw).CdbLength > 16 {
                return Err("CdbLength is beyond the CDB of a SCSI_REQUEST_BLOCK");
            }
            Ok(Self {
                base: raw.cast(),
                length: size_of::<SCSI_REQUEST_BLOCK>(),
                extended: false,
                function: (*raw).Function,
                flags: &raw mut (*raw).SrbFlags,
                data_length: &raw mut (*raw).DataTransferLength,
                data_buffer: &raw mut (*raw).DataBuffer,
                timeout: &raw mut (*raw).TimeOutValue,
                status: &raw mut (*raw).SrbStatus,
                system_status: (&raw mut (*raw).__bindgen_anon_1).cast(),
                next: (&raw mut (*raw).NextSrb).cast(),
                tag: Tag::Legacy(&raw mut (*raw).QueueAction),
                command: Some(Command {
                    cdb: (&raw mut (*raw).Cdb).cast(),
                    cdb_length: usize::from((*raw).CdbLength),
                    scsi_status: &raw mut (*raw).ScsiStatus,
                    sense: &raw mut (*raw).SenseInfoBuffer,
                    sense_length: &raw mut (*raw).SenseInfoBufferLength,
                }),
            })
        }
    }

    /// # Safety
    /// As for [`Self::view`].
    unsafe fn view_extended(raw: *mut STORAGE_REQUEST_BLOCK) -> Result<Self, &'static str> {
        // SAFETY: the caller vouches for an extended SRB of `SrbLength` bytes; every offset is
        // checked against that before a place behind it is taken.
        unsafe {
            if (*raw).Signature != SRB_SIGNATURE {
                return Err("the signature is not SRBX");
            }
            if (*raw).Version != STORAGE_REQUEST_BLOCK_VERSION_1 {
                return Err("the version is not 1");
            }
            let length = (*raw).SrbLength as usize;
            if length < size_of::<STORAGE_REQUEST_BLOCK>() {
                return Err("SrbLength is shorter than a STORAGE_REQUEST_BLOCK");
            }
            Ok(Self {
                base: raw.cast(),
                length,
                extended: true,
                function: (*raw).SrbFunction as u8,
                flags: &raw mut (*raw).SrbFlags,
                data_length: &raw mut (*raw).DataTransferLength,
                data_buffer: &raw mut (*raw).DataBuffer,
                timeout: &raw mut (*raw).TimeOutValue,
                status: &raw mut (*raw).SrbStatus,
                system_status: &raw mut (*raw).SystemStatus,
                next: (&raw mut (*raw).NextSrb).cast(),
                tag: Tag::Extended(&raw mut (*raw).RequestAttribute),
                command: find_command(raw, length)?,
            })
        }
    }

    pub(crate) fn address(&self) -> usize {
        self.base.addr()
    }

    /// `SrbFlags`.
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: the view's pointers are good for as long as the port owns the SRB.
        unsafe { self.flags.read() }
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        // SAFETY: as in `flags`.
        unsafe { self.flags.write(flags) }
    }

    /// `DataTransferLength`.
    pub(crate) fn data_length(&self) -> u32 {
        // SAFETY: as in `flags`.
        unsafe { self.data_length.read() }
    }

    pub(crate) fn set_data_length(&self, length: u32) {
        // SAFETY: as in `flags`.
        unsafe { self.data_length.write(length) }
    }

    /// `DataBuffer`: an index into the MDL, not an address to use.
    pub(crate) fn data_buffer(&self) -> PVOID {
        // SAFETY: as in `flags`.
        unsafe { self.data_buffer.read() }
    }

    pub(crate) fn set_data_buffer(&self, buffer: PVOID) {
        // SAFETY: as in `flags`.
        unsafe { self.data_buffer.write(buffer) }
    }

    /// `TimeOutValue` in seconds.
    pub(crate) fn timeout(&self) -> u32 {
        // SAFETY: as in `flags`.
        unsafe { self.timeout.read() }
    }

    /// `NextSrb`: the request to abort, for `ABORT_COMMAND`.
    pub(crate) fn next_srb(&self) -> PVOID {
        // SAFETY: as in `flags`.
        unsafe { self.next.read() }
    }

    /// The queue action or request attribute.
    pub(crate) fn tag(&self) -> u8 {
        // SAFETY: as in `flags`.
        unsafe {
            match self.tag {
                Tag::Legacy(action) => action.read(),
                Tag::Extended(attribute) => attribute.read() as u8,
            }
        }
    }

    /// The first 16 bytes of the CDB and its length (at most 16 of it are copied); empty for SRBs
    /// without a command.
    pub(crate) fn cdb(&self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let Some(command) = self.command else {
            return (bytes, 0);
        };
        let length = command.cdb_length.min(16);
        // SAFETY: `cdb_length` bytes lie inside the SRB (checked when the view was made).
        unsafe { ptr::copy_nonoverlapping(command.cdb, bytes.as_mut_ptr(), length) };
        (bytes, length)
    }

    pub(crate) fn set_srb_status(&self, status: u8) {
        // SAFETY: as in `flags`.
        unsafe { self.status.write(status) }
    }

    pub(crate) fn set_scsi_status(&self, status: u8) {
        if let Some(command) = self.command {
            // SAFETY: as in `flags`.
            unsafe { command.scsi_status.write(status) }
        }
    }

    /// `SystemStatus`, or `InternalStatus` of the older format, where it shares its place with the
    /// sort key.
    pub(crate) fn set_system_status(&self, status: i32) {
        // SAFETY: as in `flags`.
        unsafe { self.system_status.write(status as u32) }
    }

    /// The sender's sense buffer and its length.
    pub(crate) fn sense_buffer(&self) -> Option<(*mut u8, usize)> {
        let command = self.command?;
        // SAFETY: as in `flags`.
        let (buffer, length) = unsafe {
            (
                command.sense.read(),
                usize::from(command.sense_length.read()),
            )
        };
        (!buffer.is_null() && length != 0).then_some((buffer.cast(), length))
    }

    pub(crate) fn set_sense_length(&self, length: u8) {
        if let Some(command) = self.command {
            // SAFETY: as in `flags`.
            unsafe { command.sense_length.write(length) }
        }
    }

    pub(crate) fn set_sense_buffer(&self, buffer: *mut u8) {
        if let Some(command) = self.command {
            // SAFETY: as in `flags`.
            unsafe { command.sense.write(buffer.cast()) }
        }
    }

    /// Every byte of the SRB.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: the SRB has `length` bytes, none of which is padding that was never written:
        // senders build SRBs in zeroed memory, as the headers' own initialisers do.
        unsafe { ptr::copy_nonoverlapping(self.base.cast(), bytes.as_mut_ptr(), self.length) };
        bytes
    }

    /// `OriginalRequest`.
    pub(crate) fn original_request(&self) -> PVOID {
        // SAFETY: the view was made from an SRB of this format.
        unsafe {
            if self.extended {
                (*self.base.cast::<STORAGE_REQUEST_BLOCK>()).OriginalRequest
            } else {
                (*self.base.cast::<SCSI_REQUEST_BLOCK>()).OriginalRequest
            }
        }
    }

    /// Whether a field that belongs to the port has what [`Self::take_over`] leaves there.
    pub(crate) fn has_stale_context(&self) -> bool {
        let stale = |field: PVOID| (PORT_LABEL..PORT_LABEL + PORT_LABELS).contains(&field.addr());
        // SAFETY: the view was made from an SRB of this format.
        unsafe {
            if self.extended {
                let raw: *mut STORAGE_REQUEST_BLOCK = self.base.cast();
                stale((*raw).PortContext) || stale((*raw).MiniportContext)
            } else {
                stale((*self.base.cast::<SCSI_REQUEST_BLOCK>()).SrbExtension)
            }
        }
    }

    /// Takes the fields that belong to the port, as a port driver does when it queues a request:
    /// whatever a sender left there is gone.
    pub(crate) fn take_over(&self, tag: u32) {
        let label = PORT_LABEL + tag as usize % PORT_LABELS;
        let label = ptr::without_provenance_mut::<core::ffi::c_void>(label);
        // SAFETY: the view was made from an SRB of this format; single fields are written.
        unsafe {
            if self.extended {
                let raw: *mut STORAGE_REQUEST_BLOCK = self.base.cast();
                (&raw mut (*raw).PortContext).write(label);
                (&raw mut (*raw).MiniportContext).write(label);
                (&raw mut (*raw).RequestTag).write(tag);
            } else {
                let raw: *mut SCSI_REQUEST_BLOCK = self.base.cast();
                (&raw mut (*raw).SrbExtension).write(label);
                (&raw mut (*raw).QueueTag).write(tag as u8);
                (&raw mut (*raw).PathId).write(0);
                (&raw mut (*raw).TargetId).write(0);
                (&raw mut (*raw).Lun).write(0);
            }
        }
    }
}

/// Addresses that the port leaves in fields of its own; nothing is there.
pub(crate) const PORT_LABEL: usize = 0xFFFF_9A00_0000_0000;
/// How many such addresses there are.
const PORT_LABELS: usize = 0x1_0000;

/// The first CDB extension of an extended SRB.
///
/// # Safety
/// `raw` points to an extended SRB of `length` bytes.
unsafe fn find_command(
    raw: *mut STORAGE_REQUEST_BLOCK,
    length: usize,
) -> Result<Option<Command>, &'static str> {
    // SAFETY: offsets are read from inside the header or checked against `length` first.
    unsafe {
        let count = (*raw).NumSrbExData as usize;
        let offsets: *const u32 = (&raw const (*raw).SrbExDataOffset).cast();
        let table = core::mem::offset_of!(STORAGE_REQUEST_BLOCK, SrbExDataOffset);
        if count > 16 || table + count * size_of::<u32>() > length {
            return Err("NumSrbExData is beyond SrbLength");
        }
        for index in 0..count {
            let offset = offsets.add(index).read() as usize;
            if offset < table || offset + 8 > length || !offset.is_multiple_of(8) {
                return Err("an extension lies outside the SRB");
            }
            // A multiple of 8 behind a header that is aligned to 8.
            let at: *mut SRBEX_DATA = raw.byte_add(offset).cast();
            let kind = (*at).Type;
            let room = length - offset;
            match kind {
                EX_CDB16 if room >= size_of::<SRBEX_DATA_SCSI_CDB16>() => {
                    let data: *mut SRBEX_DATA_SCSI_CDB16 = at.cast();
                    return Ok(Some(Command {
                        cdb: (&raw mut (*data).Cdb).cast(),
                        cdb_length: usize::from((*data).CdbLength).min(16),
                        scsi_status: &raw mut (*data).ScsiStatus,
                        sense: &raw mut (*data).SenseInfoBuffer,
                        sense_length: &raw mut (*data).SenseInfoBufferLength,
                    }));
                }
                EX_CDB32 if room >= size_of::<SRBEX_DATA_SCSI_CDB32>() => {
                    let data: *mut SRBEX_DATA_SCSI_CDB32 = at.cast();
                    return Ok(Some(Command {
                        cdb: (&raw mut (*data).Cdb).cast(),
                        cdb_length: usize::from((*data).CdbLength).min(32),
                        scsi_status: &raw mut (*data).ScsiStatus,
                        sense: &raw mut (*data).SenseInfoBuffer,
                        sense_length: &raw mut (*data).SenseInfoBufferLength,
                    }));
                }
                EX_CDB_VAR if room >= size_of::<SRBEX_DATA_SCSI_CDB_VAR>() => {
                    let data: *mut SRBEX_DATA_SCSI_CDB_VAR = at.cast();
                    let start = core::mem::offset_of!(SRBEX_DATA_SCSI_CDB_VAR, Cdb);
                    return Ok(Some(Command {
                        cdb: (&raw mut (*data).Cdb).cast(),
                        cdb_length: ((*data).CdbLength as usize).min(room - start),
                        scsi_status: &raw mut (*data).ScsiStatus,
                        sense: &raw mut (*data).SenseInfoBuffer,
                        sense_length: &raw mut (*data).SenseInfoBufferLength,
                    }));
                }
                EX_CDB16 | EX_CDB32 | EX_CDB_VAR => {
                    return Err("a CDB extension is cut off by SrbLength");
                }
                _ => {}
            }
        }
        Ok(None)
    }
}
