//! The reference splitter: a small filter beneath a class driver that cuts READ and WRITE SRBs into
//! pieces of at most [`Splitter::PIECE_BYTES`].
//!
//! It is as right as a driver of this size can be: everything is allocated in AddDevice, all pieces
//! are counted before the first is sent, each owns its IRP, MDL, SRB and sense buffer, and the parent
//! is completed once, by whoever gives the last count back.
//!
//! Every step is a method of [`Splitter`] whose default is the right step, found in
//! [`right`](super::right) and [`device`](super::device). A wrong driver replaces one of them.

use core::sync::atomic::{AtomicBool, AtomicU32};

use ntsim::abi::{
    IO_REMOVE_LOCK, KDPC, KTIMER, NTSTATUS, PAGE_SIZE, PDEVICE_OBJECT, PIRP, PMDL, PVOID,
    SCSI_REQUEST_BLOCK,
};
use ntsim::pnp::Driver;
use ntsim::world::{Shape, World};

use super::{device, right};

/// Bytes of a piece's sense buffer.
pub(crate) const SENSE: usize = 32;

/// The device extension.
#[repr(C)]
pub(crate) struct Extension {
    pub(crate) lower: PDEVICE_OBJECT,
    pub(crate) lock: IO_REMOVE_LOCK,
    /// [`device::TRANSFERS`] of them, one block of pool.
    pub(crate) transfers: *mut Transfer,
}

/// One request that is being split.
#[repr(C)]
pub(crate) struct Transfer {
    pub(crate) extension: *mut Extension,
    /// [`Splitter::PIECES`] of them, one block of pool.
    pub(crate) pieces: *mut Piece,
    pub(crate) busy: AtomicBool,
    /// Pieces that have not ended, and one for the loop that sends them.
    pub(crate) outstanding: AtomicU32,
    pub(crate) request: Request,
    /// Sends the next piece when one has to follow the other.
    pub(crate) dpc: KDPC,
    /// How far that has come.
    pub(crate) next: u32,
}

/// What the parent asks for. A copy: the parent may be gone while the loop still runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) parent: PIRP,
    /// The parent's SRB as it came.
    pub(crate) template: SCSI_REQUEST_BLOCK,
    pub(crate) srb: *mut SCSI_REQUEST_BLOCK,
    pub(crate) mdl: PMDL,
    /// `DataBuffer`: an index into the MDL.
    pub(crate) data: PVOID,
    pub(crate) length: u32,
    pub(crate) lba: u64,
    pub(crate) block: u32,
    pub(crate) pieces: u32,
    /// One piece after the other.
    pub(crate) serial: bool,
}

/// A part of a request, with everything that its way to the port needs.
#[repr(C)]
pub(crate) struct Piece {
    pub(crate) transfer: *mut Transfer,
    pub(crate) index: u32,
    pub(crate) irp: PIRP,
    pub(crate) mdl: PMDL,
    pub(crate) srb: SCSI_REQUEST_BLOCK,
    pub(crate) sense: [u8; SENSE],
    pub(crate) attempts: u32,
    pub(crate) timer: KTIMER,
    pub(crate) dpc: KDPC,
    /// Set when the piece has ended, with the IRP's status.
    pub(crate) ended: bool,
    pub(crate) status: NTSTATUS,
}

/// What to do with a piece that has come back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has ended, well or badly.
    Ended,
    /// It failed in a way that is worth another attempt.
    Again,
}

/// What the parent is completed with.
pub(crate) struct Outcome {
    pub(crate) status: NTSTATUS,
    pub(crate) srb_status: u8,
    pub(crate) scsi_status: u8,
    pub(crate) internal_status: u32,
    /// Bytes.
    pub(crate) moved: u32,
    /// The piece whose sense data goes up.
    pub(crate) sense_of: Option<u32>,
}

/// The steps of the splitter.
///
/// "The trait's contract" in the safety comments is this: all methods are called with pointers to
/// live objects of this driver, at `<= DISPATCH_LEVEL`; those of the device at `PASSIVE_LEVEL`. A
/// wrong driver breaks the part of it that its comment names.
pub(crate) trait Splitter: Sized + 'static {
    /// The most bytes of one piece.
    const PIECE_BYTES: u32 = 16 << 10;
    /// Pieces that a request may have; a request of more is refused.
    const PIECES: u32 = 16;

    // ---- the device ----

    /// What AddDevice allocates.
    unsafe fn allocate(extension: *mut Extension) -> bool {
        // SAFETY: the trait's contract. The same for all that follow.
        unsafe { device::allocate::<Self>(extension) }
    }

    /// Stack locations of a piece's IRP.
    unsafe fn stack_size(lower: PDEVICE_OBJECT) -> i8 {
        // SAFETY: as above.
        unsafe { (*lower).StackSize }
    }

    /// Bytes that a piece's MDL is allocated for: the piece, wherever in a page it begins.
    fn mdl_room() -> u32 {
        Self::PIECE_BYTES + PAGE_SIZE
    }

    /// REMOVE_DEVICE, the IRP included.
    unsafe fn remove(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { device::remove::<Self>(this, irp) }
    }

    /// Frees what [`Self::allocate`] took.
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: as above.
        unsafe { device::release::<Self>(extension) }
    }

    // ---- the parent comes ----

    /// `IRP_MJ_SCSI`, with the remove lock held for `irp`.
    unsafe fn dispatch(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { right::dispatch::<Self>(extension, irp) }
    }

    /// The way of everything that is not split.
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { right::pass(extension, irp) }
    }

    /// The request, if it is one to split.
    unsafe fn recognise(irp: PIRP) -> Option<Request> {
        // SAFETY: as above.
        unsafe { right::recognise::<Self>(irp) }
    }

    /// Whether a command may be split at all.
    fn splittable(cdb: &[u8; 16]) -> bool {
        right::splittable(cdb)
    }

    /// Whether the pieces have to follow one another.
    fn serial(template: &SCSI_REQUEST_BLOCK) -> bool {
        right::serial(template)
    }

    /// The parent is ours: mark it pending and send.
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { right::begin::<Self>(transfer) }
    }

    /// Sends the pieces.
    unsafe fn issue(transfer: *mut Transfer) {
        // SAFETY: as above.
        unsafe { right::issue::<Self>(transfer) }
    }

    // ---- one attempt ----

    /// Sends a piece, the first time or again.
    unsafe fn send(piece: *mut Piece) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { right::send::<Self>(piece) }
    }

    /// Makes the IRP fit to be sent.
    unsafe fn renew(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::renew(piece) }
    }

    /// Describes the piece's bytes in its MDL.
    unsafe fn describe(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::describe::<Self>(piece) }
    }

    /// Writes the piece's SRB.
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::write_srb::<Self>(piece) }
    }

    /// Writes the stack location of the driver below.
    unsafe fn write_location(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::write_location::<Self>(piece) }
    }

    // ---- a piece comes back ----

    /// The completion routine of the pieces.
    unsafe extern "C" fn completed(device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
        // SAFETY: as above.
        unsafe { right::completed::<Self>(device, irp, context) }
    }

    /// Takes the MDL back.
    unsafe fn retire(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::retire(piece) }
    }

    /// What to do with a piece that has come back.
    unsafe fn judge(piece: *mut Piece) -> Verdict {
        // SAFETY: as above.
        unsafe { right::judge(piece) }
    }

    /// Another attempt, after a while.
    unsafe fn again(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::again(piece) }
    }

    /// A piece has ended; its transfer may have, too.
    unsafe fn ended(piece: *mut Piece) {
        // SAFETY: as above.
        unsafe { right::ended::<Self>(piece) }
    }

    /// Gives a count back; the last one completes the parent.
    unsafe fn give_back(transfer: *mut Transfer) {
        // SAFETY: as above.
        unsafe { right::give_back::<Self>(transfer) }
    }

    /// What the pieces come to.
    unsafe fn merge(transfer: *mut Transfer) -> Outcome {
        // SAFETY: as above.
        unsafe { right::merge::<Self>(transfer) }
    }

    /// Completes the parent.
    unsafe fn finish(transfer: *mut Transfer) {
        // SAFETY: as above.
        unsafe { right::finish::<Self>(transfer) }
    }

    /// The n-th piece.
    unsafe fn piece(transfer: *mut Transfer, index: u32) -> *mut Piece {
        // SAFETY: as above; the index is below [`Self::PIECES`].
        unsafe { (*transfer).pieces.add(index as usize) }
    }

    // ---- the world around it ----

    /// A disk whose adapter takes exactly what a piece has, with this driver above it.
    fn world() -> World {
        World::new(Driver::linked("splitter", device::driver_entry::<Self>))
            .shape(Shape::Srb)
            .hba(super::adapter())
    }
}
