//! A piece's request block where the parent came with one: the parent's, byte for byte, but for what
//! a piece must have of its own.
//!
//! | Field | Why it is not the parent's |
//! |---|---|
//! | block number and count in the CDB, `DataBuffer`, `DataTransferLength`, sort key, `IO_INFO.RWLength` | the piece's |
//! | `OriginalRequest` | the child IRP: port drivers complete that one |
//! | `NextSrb`, `PortContext` | belong to whoever has the block below |
//! | statuses | nothing has happened yet |
//! | sense buffer and its length | two pieces must not share one, and no port needs to bring its own |
//! | flags that the port sets or that let it replace the sense buffer | as above |
//!
//! All else is the parent's: the rest of the CDB (FUA, DPO, group, protection, control), priority,
//! tag, timeout, address, further extensions, `ClassContext`, and what the class driver left for the
//! port in `MiniportContext` or `SrbExtension` (classpnp xferpkt.c: the client's IRP). Ports
//! overwrite several of these, so every attempt starts from the parent again; the parent's block is
//! never sent and never written before the end.

use core::{mem::MaybeUninit, ptr, slice};

use wdk_sys::{PIRP, PVOID, SCSI_REQUEST_BLOCK, STORAGE_REQUEST_BLOCK};
use xfersplit_core::{block::Block, cdb};

use super::{Format, Parent, SENSE_BYTES, sort_key};

/// What is the piece's own.
pub(crate) struct Part {
    /// First block.
    pub(crate) lba: u64,
    /// Blocks.
    pub(crate) blocks: u32,
    /// Bytes.
    pub(crate) length: u32,
    /// The piece's index in the MDL that its IRP carries, as `MmGetMdlVirtualAddress` counts.
    pub(crate) data_buffer: PVOID,
    /// The IRP that carries the block.
    pub(crate) irp: PIRP,
}

/// Writes the clone; `None` where the command can't name the piece's blocks.
///
/// # Safety
/// `place` has room for the largest block, aligned to 8, and nobody else holds it; the parent has
/// not been completed.
pub(super) unsafe fn write(place: PVOID, sense: PVOID, parent: &Parent, part: &Part) -> Option<()> {
    let block = parent.block();
    let from = parent.place().cast::<MaybeUninit<u8>>();
    // Untyped, for pointers must arrive as pointers.
    // SAFETY: the parent's block has that length, which is at most the room's; they are apart.
    unsafe { ptr::copy_nonoverlapping(from, place.cast(), block.length) };
    match block.format {
        // SAFETY: a block of this format has just been written there.
        Format::Legacy => unsafe { patch_legacy(place.cast(), block, part) },
        // SAFETY: as above.
        Format::Extended => unsafe { patch_extended(place.cast(), block, part) },
    }
    let places = &block.places;
    let byte = |offset| place.cast::<u8>().wrapping_add(offset);
    // SAFETY: `places` are offsets inside the block. Blocks of the wild need not align it.
    unsafe {
        byte(places.sense_pointer)
            .cast::<PVOID>()
            .write_unaligned(sense);
    };
    // SAFETY: as above.
    unsafe { byte(places.sense_length).write(SENSE_BYTES as u8) };
    // SAFETY: as above.
    unsafe { byte(places.scsi_status).write(0) };
    if let Some(length) = places.rw_length {
        // SAFETY: as above.
        unsafe { byte(length).cast::<u32>().write_unaligned(part.length) };
    }
    // SAFETY: as above; nobody else has a reference into the block.
    let command = unsafe { slice::from_raw_parts_mut(byte(places.cdb), places.cdb_length) };
    cdb::rewrite(command, part.lba, part.blocks).ok()
}

/// # Safety
/// `clone` holds a copy of a block of this format, and nobody else has it.
unsafe fn patch_legacy(clone: *mut SCSI_REQUEST_BLOCK, block: &Block, part: &Part) {
    // SAFETY: the caller's contract.
    let clone = unsafe { &mut *clone };
    clone.SrbStatus = 0;
    clone.SrbFlags = block.child_flags();
    clone.DataTransferLength = part.length;
    clone.DataBuffer = part.data_buffer;
    clone.NextSrb = ptr::null_mut();
    clone.OriginalRequest = part.irp.cast();
    clone.__bindgen_anon_1.QueueSortKey = sort_key(part.lba);
}

/// # Safety
/// `clone` holds a copy of a block of this format, and nobody else has it.
unsafe fn patch_extended(clone: *mut STORAGE_REQUEST_BLOCK, block: &Block, part: &Part) {
    // SAFETY: the caller's contract.
    let clone = unsafe { &mut *clone };
    clone.SrbStatus = 0;
    clone.SystemStatus = 0;
    clone.SrbFlags = block.child_flags();
    clone.DataTransferLength = part.length;
    clone.DataBuffer = part.data_buffer;
    clone.NextSrb = ptr::null_mut();
    clone.OriginalRequest = part.irp.cast();
    clone.PortContext = ptr::null_mut();
}
