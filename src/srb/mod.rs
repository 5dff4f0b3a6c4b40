//! Request blocks, of both formats: what `BuildRequest` makes for a piece, what a piece inherits from
//! its parent's block, what the lower driver answers, and what the parent is told.

mod clone;
mod extended;
mod legacy;
mod parent;

use core::cell::UnsafeCell;

use wdk_sys::{NTSTATUS, PIRP, PVOID, SRB_STATUS_AUTOSENSE_VALID};
use xfersplit_core::{
    block,
    cdb::Cdb,
    verdict::{Carrier, Completion},
};

pub(crate) use clone::Part;
pub(crate) use parent::{Parent, turn_down};
pub(crate) use xfersplit_core::block::Format;

/// Room for a request block of either format. 256 bytes hold a `SCSI_REQUEST_BLOCK` (88) and any
/// `STORAGE_REQUEST_BLOCK` that the driver takes apart.
pub(crate) const BLOCK_BYTES: usize = block::LARGEST;

/// Room for sense data: 252 bytes is all that SPC lets a device return.
pub(crate) const SENSE_BYTES: usize = 252;

/// The sort key of addresses that its 32 bits can't hold (classpnp xferpkt.c puts such requests last).
const SORT_KEY_BEYOND: u32 = u32::MAX;

/// A piece's request block and sense buffer. While the request is below, the lower driver writes
/// both; they are reached through their addresses only.
#[repr(C, align(16))]
pub(crate) struct RequestBlock {
    block: UnsafeCell<[u64; BLOCK_BYTES / 8]>,
    sense: UnsafeCell<[u8; SENSE_BYTES]>,
}

// SAFETY: owned by one piece, which is in one hand at a time: the pump's, a lower driver's, or its
// completion routine's.
unsafe impl Sync for RequestBlock {}

/// What `BuildRequest` needs to know.
pub(crate) struct Request {
    /// The format that the adapter asks for (`SrbType` of its descriptor).
    pub(crate) format: Format,
    /// `SRB_FLAGS_*`: direction, queueing, caching.
    pub(crate) flags: u32,
    /// Bytes that this piece moves.
    pub(crate) length: u32,
    /// The piece's index in the MDL that its IRP carries, as `MmGetMdlVirtualAddress` counts.
    pub(crate) data_buffer: PVOID,
    /// The command.
    pub(crate) cdb: Cdb,
    /// Where on the disk: the port may sort by it.
    pub(crate) lba: u64,
    /// Seconds.
    pub(crate) timeout: u32,
    /// The IRP that carries the block.
    pub(crate) irp: PIRP,
    /// The IRP on whose behalf it is sent. Class drivers leave it where the miniport's extension
    /// will be, and storport may follow it from there (classpnp xferpkt.c), so it must be the
    /// parent and nothing stale.
    pub(crate) client: PIRP,
}

/// Where a block keeps its answer: the fields that are not at one place in every block of a format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The format.
    pub(crate) format: Format,
    /// Offset of `ScsiStatus`.
    pub(crate) scsi_status: usize,
    /// Offset of `SenseInfoBufferLength`.
    pub(crate) sense_length: usize,
}

impl Frame {
    /// Of the blocks that [`RequestBlock::build_request`] makes.
    pub(crate) const fn made(format: Format) -> Self {
        match format {
            Format::Legacy => legacy::FRAME,
            Format::Extended => extended::FRAME,
        }
    }
}

impl RequestBlock {
    /// An empty block.
    pub(crate) const fn new() -> Self {
        Self {
            block: UnsafeCell::new([0; BLOCK_BYTES / 8]),
            sense: UnsafeCell::new([0; SENSE_BYTES]),
        }
    }

    /// The documents' BuildRequest: a fresh request block for one attempt of one piece. Nothing of
    /// an earlier attempt survives, for miniports overwrite what they like.
    ///
    /// # Safety
    /// No lower driver holds the block.
    pub(crate) unsafe fn build_request(&self, request: &Request) -> PVOID {
        // SAFETY: the caller's contract.
        let sense = unsafe { self.fresh_sense() };
        match request.format {
            Format::Legacy => {
                let block = legacy::read_write(request, sense);
                // SAFETY: the caller's contract.
                unsafe { self.put(block) }
            }
            Format::Extended => {
                let block = extended::read_write(request, sense);
                // SAFETY: the caller's contract.
                unsafe { self.put(block) }
            }
        }
    }

    /// The parent's own request block, byte for byte, for one attempt of one piece of it: only what
    /// a piece must have of its own is different (`clone.rs`). `None` where the command can't name
    /// the piece's blocks.
    ///
    /// # Safety
    /// No lower driver holds the block, and the parent has not been completed.
    pub(crate) unsafe fn clone_request(&self, parent: &Parent, part: &Part) -> Option<PVOID> {
        // SAFETY: the caller's contract.
        let sense = unsafe { self.fresh_sense() };
        let place = self.block.get().cast();
        // SAFETY: the caller's contract; the parent's block is no larger than the room.
        unsafe { clone::write(place, sense, parent, part) }?;
        Some(place)
    }

    /// A request without data or command: `function` on the logical unit's queue.
    ///
    /// # Safety
    /// No lower driver holds the block.
    pub(crate) unsafe fn build_queue_request(
        &self,
        format: Format,
        function: u32,
        irp: PIRP,
    ) -> PVOID {
        match format {
            Format::Legacy => {
                let block = legacy::queue_request(function, irp);
                // SAFETY: the caller's contract.
                unsafe { self.put(block) }
            }
            Format::Extended => {
                let block = extended::queue_request(function, irp);
                // SAFETY: the caller's contract.
                unsafe { self.put(block) }
            }
        }
    }

    /// A request of this driver's own to a paired port driver: SRB_FUNCTION_IO_CONTROL over `length`
    /// bytes at `data`. The legacy format, which every port driver takes.
    ///
    /// # Safety
    /// No lower driver holds the block.
    pub(crate) unsafe fn build_io_control(
        &self,
        irp: PIRP,
        data: PVOID,
        length: u32,
        seconds: u32,
    ) -> PVOID {
        let block = legacy::io_control(irp, data, length, seconds);
        // SAFETY: the caller's contract.
        unsafe { self.put(block) }
    }

    /// What the lower driver answered, `asked` being the bytes of this attempt. Sense counts only
    /// with `SRB_STATUS_AUTOSENSE_VALID`, and only as much of it as the port says it stored.
    ///
    /// # Safety
    /// The block holds a request of this `frame`, which has been completed and not been sent again.
    pub(crate) unsafe fn answer(
        &self,
        frame: Frame,
        irp_status: NTSTATUS,
        asked: u32,
    ) -> Completion<'_> {
        let place: PVOID = self.block.get().cast();
        let said = match frame.format {
            // SAFETY: the caller's contract: the lower driver has given the block back.
            Format::Legacy => unsafe { legacy::said(place.cast()) },
            // SAFETY: as above.
            Format::Extended => unsafe { extended::said(place.cast()) },
        };
        let byte = |offset| place.cast::<u8>().wrapping_add(offset);
        // SAFETY: the frame's offsets lie inside the block.
        let scsi_status = unsafe { byte(frame.scsi_status).read() };
        // SAFETY: as above.
        let stored = unsafe { byte(frame.sense_length).read() };
        // SAFETY: as for the block; nobody writes the buffer until the next attempt is built.
        let sense: &[u8] = unsafe { &*self.sense.get() };
        let valid = u32::from(said.srb_status) & SRB_STATUS_AUTOSENSE_VALID != 0;
        let stored = if valid { usize::from(stored) } else { 0 };
        Completion {
            carrier: Carrier::Srb,
            irp_status,
            srb_status: said.srb_status,
            scsi_status,
            internal_status: said.internal_status,
            asked,
            moved: said.moved,
            sense: sense.get(..stored).unwrap_or(sense),
        }
    }

    /// Writes a block of either format.
    ///
    /// # Safety
    /// No lower driver holds the block.
    unsafe fn put<T>(&self, block: T) -> PVOID {
        const { assert!(size_of::<T>() <= BLOCK_BYTES && align_of::<T>() <= align_of::<u64>()) };
        let place = self.block.get().cast::<T>();
        // SAFETY: the caller's contract; the room is large and aligned enough, as just asserted.
        unsafe { place.write(block) };
        place.cast()
    }

    /// The sense buffer, emptied.
    ///
    /// # Safety
    /// No lower driver holds it.
    unsafe fn fresh_sense(&self) -> PVOID {
        let sense = self.sense.get();
        // SAFETY: the caller's contract.
        unsafe { sense.write([0; SENSE_BYTES]) };
        sense.cast()
    }
}

/// The part of an answer that is at one place in every block of a format.
struct Said {
    srb_status: u8,
    /// `InternalStatus` or `SystemStatus`.
    internal_status: NTSTATUS,
    /// `DataTransferLength`.
    moved: u32,
}

/// The sort key of a block.
fn sort_key(lba: u64) -> u32 {
    u32::try_from(lba).unwrap_or(SORT_KEY_BEYOND)
}
