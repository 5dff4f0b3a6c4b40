//! Request blocks: what `BuildRequest` makes for a piece, and what the lower driver says in it.

mod legacy;

use core::cell::UnsafeCell;

use wdk_sys::{NTSTATUS, PIRP, PVOID};
use xfersplit_core::{cdb::Cdb, verdict::Completion};

/// Room for a request block of either format. 256 bytes hold a `SCSI_REQUEST_BLOCK` (88) and any
/// `STORAGE_REQUEST_BLOCK` that the driver takes apart.
pub(crate) const BLOCK_BYTES: usize = 256;

/// Room for sense data: 252 bytes is all that SPC lets a device return.
pub(crate) const SENSE_BYTES: usize = 252;

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
        unsafe { self.sense.get().write([0; SENSE_BYTES]) };
        let block = legacy::read_write(request, self.sense.get().cast());
        let place = self.block.get().cast();
        // SAFETY: the caller's contract; the block is large and aligned enough.
        unsafe { legacy::write(place, block) };
        place.cast()
    }

    /// A request without data or command: `function` on the logical unit's queue.
    ///
    /// # Safety
    /// No lower driver holds the block.
    pub(crate) unsafe fn build_queue_request(&self, function: u8, irp: PIRP) -> PVOID {
        let place = self.block.get().cast();
        // SAFETY: the caller's contract; the block is large and aligned enough.
        unsafe { legacy::write(place, legacy::queue_request(function, irp)) };
        place.cast()
    }

    /// What the lower driver answered, `asked` being the bytes of this attempt.
    ///
    /// # Safety
    /// The request has been completed and not been sent again.
    pub(crate) unsafe fn answer(&self, irp_status: NTSTATUS, asked: u32) -> Answer<'_> {
        // SAFETY: the caller's contract: the lower driver has given the block back.
        let block = unsafe { legacy::read(self.block.get().cast()) };
        // SAFETY: as above; nobody writes the buffer until the next attempt is built.
        let sense: &[u8] = unsafe { &*self.sense.get() };
        legacy::answer(&block, irp_status, asked, sense)
    }
}

/// A finished attempt, in the terms of xfersplit-core.
pub(crate) struct Answer<'a> {
    /// What there is to judge.
    pub(crate) completion: Completion<'a>,
}
