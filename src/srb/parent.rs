//! The request block that a parent came with: read when it arrives, written once, at the end.

use core::{mem::offset_of, ptr, slice};

use wdk_sys::{
    NTSTATUS, PVOID, SCSI_REQUEST_BLOCK, SRB_STATUS_ABORTED, SRB_STATUS_AUTOSENSE_VALID,
    SRB_STATUS_ERROR, SRB_STATUS_INTERNAL_ERROR, SRB_STATUS_INVALID_REQUEST, SRB_STATUS_NO_DEVICE,
    SRB_STATUS_QUEUE_FROZEN, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_NO_SUCH_DEVICE, STORAGE_REQUEST_BLOCK, STORAGE_REQUEST_BLOCK_HEADER,
};
use xfersplit_core::{
    block::{self, Block, Opaque},
    outcome::Finished,
    srb,
};

use super::{Format, Frame};

/// Offset of `SrbStatus`, in both formats.
const STATUS_OFFSET: usize = offset_of!(STORAGE_REQUEST_BLOCK_HEADER, SrbStatus);
const _: () = assert!(STATUS_OFFSET == offset_of!(SCSI_REQUEST_BLOCK, SrbStatus));

/// A parent's request block that can be taken apart.
///
/// # Invariants
/// `place` is the request block of an IRP that the driver owns for as long as the value is used, aligned
/// as its structure is, and `block` says truly where its fields are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    place: PVOID,
    block: Block,
}

impl Parent {
    /// Reads a request block.
    ///
    /// # Errors
    /// Why it is one that is never split.
    ///
    /// # Safety
    /// `srb` is the request block of an IRP that the caller owns, for as long as the value is used.
    pub(crate) unsafe fn read(srb: PVOID) -> Result<Self, Opaque> {
        if !srb.cast::<u64>().is_aligned() {
            // A structure with pointers that is not aligned for them: nothing to take apart.
            return Err(Opaque::Offsets);
        }
        // SAFETY: every request block is longer than that.
        let prefix = unsafe { srb.cast::<[u8; block::PREFIX]>().read() };
        let length = block::length(&prefix).ok_or(Opaque::Function)?;
        // SAFETY: the block says that it is so long; the IRP's owner alone may read and write it.
        let bytes = unsafe { slice::from_raw_parts(srb.cast::<u8>(), length) };
        let block = block::parse(bytes)?;
        Ok(Self { place: srb, block })
    }

    /// What it says.
    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }

    /// Where it is.
    pub(super) const fn place(&self) -> PVOID {
        self.place
    }

    /// Where clones of it keep their answer.
    pub(crate) const fn frame(&self) -> Frame {
        Frame {
            format: self.block.format,
            scsi_status: self.block.places.scsi_status,
            sense_length: self.block.places.sense_length,
        }
    }

    /// The byte at `offset`, which lies inside the block.
    const fn byte(&self, offset: usize) -> *mut u8 {
        self.place.cast::<u8>().wrapping_add(offset)
    }

    /// `DataBuffer`: where the data begins, as `MmGetMdlVirtualAddress` counts.
    pub(crate) fn data_buffer(&self) -> PVOID {
        let place = match self.block.format {
            Format::Legacy => {
                // SAFETY: type invariant; the place of a field is computed, nothing is read.
                unsafe { &raw const (*self.place.cast::<SCSI_REQUEST_BLOCK>()).DataBuffer }
            }
            Format::Extended => {
                // SAFETY: as above.
                unsafe { &raw const (*self.place.cast::<STORAGE_REQUEST_BLOCK>()).DataBuffer }
            }
        };
        // SAFETY: type invariant.
        unsafe { place.read() }
    }

    /// Tells the sender how its request ended: all of it from one and the same piece, but the bytes
    /// that moved, and a frozen queue, which the sender must release whichever piece froze it.
    pub(crate) fn tell(&self, finished: &Finished<'_>) {
        let mut status = u32::from(finished.srb_status);
        if self.give_sense(finished.sense) == 0 {
            status &= !SRB_STATUS_AUTOSENSE_VALID;
        }
        if finished.queue_frozen {
            status |= SRB_STATUS_QUEUE_FROZEN;
        }
        // SAFETY: type invariant; the offset lies inside the block.
        unsafe {
            self.byte(self.block.places.scsi_status)
                .write(finished.scsi_status);
        };
        let moved = u32::try_from(finished.moved).unwrap_or(u32::MAX);
        match self.block.format {
            Format::Legacy => self.tell_legacy(finished, moved),
            Format::Extended => self.tell_extended(finished, moved),
        }
        // SAFETY: type invariant.
        unsafe { write_status(self.place, status) };
    }

    fn tell_legacy(&self, finished: &Finished<'_>, moved: u32) {
        // SAFETY: type invariant: the driver alone has the block until it completes the IRP.
        let block = unsafe { &mut *self.place.cast::<SCSI_REQUEST_BLOCK>() };
        block.DataTransferLength = moved;
        if u32::from(srb::stripped(finished.srb_status)) == SRB_STATUS_INTERNAL_ERROR {
            // The same four bytes are the sender's sort key otherwise.
            block.__bindgen_anon_1.InternalStatus = finished.internal_status.cast_unsigned();
        }
    }

    fn tell_extended(&self, finished: &Finished<'_>, moved: u32) {
        // SAFETY: as above.
        let block = unsafe { &mut *self.place.cast::<STORAGE_REQUEST_BLOCK>() };
        block.DataTransferLength = moved;
        block.SystemStatus = finished.internal_status.cast_unsigned();
    }

    /// Says that nothing was done with the data.
    fn nothing_moved(&self) {
        match self.block.format {
            Format::Legacy => {
                // SAFETY: type invariant.
                let block = unsafe { &mut *self.place.cast::<SCSI_REQUEST_BLOCK>() };
                block.DataTransferLength = 0;
            }
            Format::Extended => {
                // SAFETY: type invariant.
                let block = unsafe { &mut *self.place.cast::<STORAGE_REQUEST_BLOCK>() };
                block.DataTransferLength = 0;
                block.SystemStatus = 0;
            }
        }
    }

    /// Copies sense data into the sender's buffer, as much as it holds; the bytes copied.
    fn give_sense(&self, sense: &[u8]) -> usize {
        let places = &self.block.places;
        // SAFETY: type invariant; blocks of the wild need not align it.
        let buffer = unsafe {
            self.byte(places.sense_pointer)
                .cast::<*mut u8>()
                .read_unaligned()
        };
        let length = sense.len().min(usize::from(self.block.sense_room));
        if buffer.is_null() || length == 0 {
            return 0;
        }
        // SAFETY: the sender's block says that its buffer holds that much.
        unsafe { ptr::copy_nonoverlapping(sense.as_ptr(), buffer, length) };
        // SAFETY: type invariant.
        unsafe { self.byte(places.sense_length).write(length as u8) };
        length
    }
}

/// Tells the sender of any request block, of whatever function, that nothing was done: the one field
/// that is at the same place in all of them. Class drivers go by it, not by the IRP's status.
///
/// # Safety
/// `srb` is the request block of an IRP that the caller owns.
pub(crate) unsafe fn turn_down(srb: PVOID, status: NTSTATUS) {
    let srb_status = match status {
        STATUS_INVALID_DEVICE_REQUEST => SRB_STATUS_INVALID_REQUEST,
        STATUS_NO_SUCH_DEVICE => SRB_STATUS_NO_DEVICE,
        STATUS_CANCELLED => SRB_STATUS_ABORTED,
        _ => SRB_STATUS_ERROR,
    };
    // SAFETY: the caller's contract.
    if let Ok(parent) = unsafe { Parent::read(srb) } {
        parent.nothing_moved();
    }
    // SAFETY: the caller's contract.
    unsafe { write_status(srb, srb_status) };
}

/// # Safety
/// `srb` is a request block of either format that the driver owns.
unsafe fn write_status(srb: PVOID, status: u32) {
    let place = srb.cast::<u8>().wrapping_add(STATUS_OFFSET);
    // SAFETY: the caller's contract; `SrbStatus` is one byte at one place in both formats.
    unsafe { place.write(status as u8) };
}
