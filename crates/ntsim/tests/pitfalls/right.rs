//! The right steps of the splitter; see [`Splitter`].

use core::ptr;
use core::sync::atomic::Ordering;

use ntsim::abi::{
    IRP_MJ_SCSI, LARGE_INTEGER, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SCSI_REQUEST_BLOCK,
    SRB_FLAGS_FREE_SENSE_BUFFER, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE,
    SRB_FUNCTION_EXECUTE_SCSI, SRB_SIMPLE_TAG_REQUEST, SRB_STATUS_AUTOSENSE_VALID, SRB_STATUS_BUSY,
    SRB_STATUS_ERROR, SRB_STATUS_INTERNAL_ERROR, SRB_STATUS_QUEUE_FROZEN, SRB_STATUS_SUCCESS,
    STATUS_DEVICE_BUSY, STATUS_IO_DEVICE_ERROR, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    STATUS_SUCCESS,
};
use ntsim::ntddk;

use super::device;
use super::splitter::{Extension, Outcome, Piece, Request, SENSE, Splitter, Transfer, Verdict};
use super::wdm;

const READ_10: u8 = 0x28;
const WRITE_10: u8 = 0x2A;
const READ_16: u8 = 0x88;
const WRITE_16: u8 = 0x8A;
/// Attempts of a piece that finds the device busy.
pub(crate) const ATTEMPTS: u32 = 3;
/// A millisecond, as `KeSetTimer` counts.
const MILLISECOND: i64 = 10_000;

// ---- the parent comes ----

/// See [`Splitter::dispatch`]; so for all functions of this module.
pub(crate) unsafe fn dispatch<S: Splitter>(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
    // SAFETY: the trait's contract: live objects of this driver, an IRP that it owns until it sends
    // or completes it. The same for all blocks of this module that say "the trait's contract".
    unsafe {
        let Some(request) = S::recognise(irp) else {
            return S::pass(extension, irp);
        };
        let Some(transfer) = device::take_transfer(extension, request) else {
            (*request.srb).SrbStatus = SRB_STATUS_BUSY as u8;
            wdm::complete(irp, STATUS_DEVICE_BUSY, 0);
            device::unlock(extension, irp);
            return STATUS_DEVICE_BUSY;
        };
        S::begin(transfer)
    }
}

pub(crate) unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
    // SAFETY: the trait's contract.
    unsafe {
        let status = wdm::pass_down((*extension).lower, irp);
        device::unlock(extension, irp);
        status
    }
}

pub(crate) unsafe fn recognise<S: Splitter>(irp: PIRP) -> Option<Request> {
    // SAFETY: the trait's contract. DataBuffer is compared and never followed.
    unsafe {
        let srb = (*wdm::current_location(irp)).Parameters.Scsi.Srb;
        let template: SCSI_REQUEST_BLOCK = *srb;
        let mdl = (*irp).MdlAddress;
        let length = template.DataTransferLength;
        if u32::from(template.Function) != SRB_FUNCTION_EXECUTE_SCSI
            || !S::splittable(&template.Cdb)
            || length <= S::PIECE_BYTES
            || mdl.is_null()
            || !(*mdl).Next.is_null()
        {
            return None;
        }
        let (lba, blocks) = decode(&template.Cdb);
        let data = template.DataBuffer;
        let into = data.addr().checked_sub(wdm::mdl_address(mdl).addr())?;
        let pieces = length.div_ceil(S::PIECE_BYTES);
        if into + length as usize > (*mdl).ByteCount as usize
            || blocks == 0
            || !length.is_multiple_of(blocks)
            || pieces > S::PIECES
        {
            return None;
        }
        Some(Request {
            parent: irp,
            template,
            srb,
            mdl,
            data,
            length,
            lba,
            block: length / blocks,
            pieces,
            serial: S::serial(&template),
        })
    }
}

/// Plain reads and writes. Everything else means its extent as a whole: WRITE AND VERIFY, COMPARE
/// AND WRITE, WRITE SAME, WRITE ATOMIC.
pub(crate) fn splittable(cdb: &[u8; 16]) -> bool {
    matches!(cdb[0], READ_10 | WRITE_10 | READ_16 | WRITE_16)
}

/// Without NO_QUEUE_FREEZE an error stops the queue so that the class can look at it first; pieces
/// on their way at that moment would go on behind its back.
pub(crate) fn serial(template: &SCSI_REQUEST_BLOCK) -> bool {
    template.SrbFlags & SRB_FLAGS_NO_QUEUE_FREEZE == 0
        || u32::from(template.QueueAction) != SRB_SIMPLE_TAG_REQUEST
}

/// First block and block count of a CDB that [`splittable`] knows.
pub(crate) fn decode(cdb: &[u8; 16]) -> (u64, u32) {
    let word = |at: usize| u32::from_be_bytes([cdb[at], cdb[at + 1], cdb[at + 2], cdb[at + 3]]);
    if matches!(cdb[0], READ_16 | WRITE_16) {
        (u64::from(word(2)) << 32 | u64::from(word(6)), word(10))
    } else {
        (
            u64::from(word(2)),
            u32::from(u16::from_be_bytes([cdb[7], cdb[8]])),
        )
    }
}

fn encode(cdb: &mut [u8; 16], lba: u64, blocks: u32) {
    if matches!(cdb[0], READ_16 | WRITE_16) {
        cdb[2..10].copy_from_slice(&lba.to_be_bytes());
        cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    } else {
        cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
        cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
    }
}

pub(crate) unsafe fn begin<S: Splitter>(transfer: *mut Transfer) -> NTSTATUS {
    // SAFETY: the trait's contract. The parent may be gone once the first piece is sent.
    unsafe {
        wdm::mark_pending((*transfer).request.parent);
        S::issue(transfer);
    }
    STATUS_PENDING
}

pub(crate) unsafe fn issue<S: Splitter>(transfer: *mut Transfer) {
    // SAFETY: the trait's contract. The count that the loop holds keeps the transfer; where pieces
    // follow one another, the one in flight does, and nothing is touched after it is sent.
    unsafe {
        if (*transfer).request.serial {
            S::send(S::piece(transfer, 0));
            return;
        }
        let pieces = (*transfer).request.pieces;
        (*transfer).outstanding.store(pieces + 1, Ordering::Release);
        for index in 0..pieces {
            S::send(S::piece(transfer, index));
        }
        S::give_back(transfer);
    }
}

// ---- one attempt ----

/// Offset and length of a piece.
pub(crate) unsafe fn extent<S: Splitter>(piece: *mut Piece) -> (u32, u32) {
    // SAFETY: the trait's contract.
    unsafe {
        let offset = (*piece).index * S::PIECE_BYTES;
        (
            offset,
            S::PIECE_BYTES.min((*(*piece).transfer).request.length - offset),
        )
    }
}

pub(crate) unsafe fn send<S: Splitter>(piece: *mut Piece) -> NTSTATUS {
    // SAFETY: the trait's contract; the piece is nobody else's at this moment.
    unsafe {
        let lower = (*(*(*piece).transfer).extension).lower;
        (*piece).attempts += 1;
        S::renew(piece);
        S::describe(piece);
        S::write_srb(piece);
        S::write_location(piece);
        ntddk::IofCallDriver(lower, (*piece).irp)
    }
}

pub(crate) unsafe fn renew(piece: *mut Piece) {
    // SAFETY: the trait's contract: the IRP is not below.
    unsafe { ntddk::IoReuseIrp((*piece).irp, STATUS_SUCCESS) };
}

pub(crate) unsafe fn describe<S: Splitter>(piece: *mut Piece) {
    // SAFETY: the trait's contract: the range lies in the parent's MDL, the target has room for it
    // at any page offset, and was prepared for reuse.
    unsafe {
        let request = &raw const (*(*piece).transfer).request;
        let (offset, length) = extent::<S>(piece);
        let index = (*request).data.wrapping_byte_add(offset as usize);
        ntddk::IoBuildPartialMdl((*request).mdl, (*piece).mdl, index, length);
        (*(*piece).irp).MdlAddress = (*piece).mdl;
    }
}

pub(crate) unsafe fn write_srb<S: Splitter>(piece: *mut Piece) {
    // SAFETY: the trait's contract.
    unsafe {
        let request = &raw const (*(*piece).transfer).request;
        let (offset, length) = extent::<S>(piece);
        let block = (*request).block;
        // The template is the parent's SRB as it came, so what the port wrote into the last
        // attempt, SrbExtension above all, is as it was.
        let mut srb = (*request).template;
        let lba = (*request).lba + u64::from(offset / block);
        encode(&mut srb.Cdb, lba, length / block);
        srb.DataBuffer = (*request).data.wrapping_byte_add(offset as usize);
        srb.DataTransferLength = length;
        srb.OriginalRequest = (*piece).irp.cast();
        srb.NextSrb = ptr::null_mut();
        srb.SrbStatus = 0;
        srb.ScsiStatus = 0;
        srb.__bindgen_anon_1.QueueSortKey = lba as u32;
        srb.SenseInfoBuffer = (&raw mut (*piece).sense).cast();
        srb.SenseInfoBufferLength = SENSE as u8;
        // A sense buffer of the port's would be nobody's to free.
        srb.SrbFlags &= !(SRB_FLAGS_PORT_DRIVER_ALLOCSENSE | SRB_FLAGS_FREE_SENSE_BUFFER);
        (*piece).srb = srb;
    }
}

pub(crate) unsafe fn write_location<S: Splitter>(piece: *mut Piece) {
    // SAFETY: the trait's contract; the IRP was made with the locations that the stack below needs.
    unsafe {
        let next = wdm::next_location((*piece).irp);
        (*next).MajorFunction = IRP_MJ_SCSI as u8;
        (*next).Parameters.Scsi.Srb = &raw mut (*piece).srb;
        wdm::set_completion((*piece).irp, Some(S::completed), piece.cast());
    }
}

// ---- a piece comes back ----

pub(crate) unsafe fn completed<S: Splitter>(
    _: PDEVICE_OBJECT,
    irp: PIRP,
    context: PVOID,
) -> NTSTATUS {
    let piece: *mut Piece = context.cast();
    // SAFETY: the trait's contract; the context is the piece whose IRP this is.
    unsafe {
        S::retire(piece);
        (*piece).status = (*irp).IoStatus.__bindgen_anon_1.Status;
        match S::judge(piece) {
            Verdict::Again => S::again(piece),
            Verdict::Ended => S::ended(piece),
        }
    }
    // The IRP is the driver's own: the I/O manager must not go on with it.
    STATUS_MORE_PROCESSING_REQUIRED
}

pub(crate) unsafe fn retire(piece: *mut Piece) {
    // SAFETY: the trait's contract: the driver below has given the IRP back.
    unsafe {
        wdm::prepare_mdl_for_reuse((*piece).mdl);
        (*(*piece).irp).MdlAddress = ptr::null_mut();
    }
}

/// `SrbStatus` without its flag bits.
pub(crate) unsafe fn srb_status(piece: *mut Piece) -> u32 {
    // SAFETY: the trait's contract.
    let status = u32::from(unsafe { (*piece).srb.SrbStatus });
    status & !(SRB_STATUS_AUTOSENSE_VALID | SRB_STATUS_QUEUE_FROZEN)
}

/// RECOVERED ERROR: the device tells of its trouble, and the data has moved.
pub(crate) unsafe fn recovered(piece: *mut Piece) -> bool {
    // SAFETY: the trait's contract.
    unsafe {
        srb_status(piece) == SRB_STATUS_ERROR
            && u32::from((*piece).srb.SrbStatus) & SRB_STATUS_AUTOSENSE_VALID != 0
            && (*piece).sense[2] & 0x0F == 1
    }
}

/// Whether the piece has moved what it has moved without a failure.
pub(crate) unsafe fn succeeded(piece: *mut Piece) -> bool {
    // SAFETY: the trait's contract.
    unsafe { srb_status(piece) == SRB_STATUS_SUCCESS || recovered(piece) }
}

pub(crate) unsafe fn judge(piece: *mut Piece) -> Verdict {
    // SAFETY: the trait's contract.
    unsafe {
        let busy = srb_status(piece) == SRB_STATUS_BUSY;
        if busy && (*piece).attempts < ATTEMPTS {
            Verdict::Again
        } else {
            Verdict::Ended
        }
    }
}

pub(crate) unsafe fn again(piece: *mut Piece) {
    let due = LARGE_INTEGER {
        QuadPart: -MILLISECOND,
    };
    // SAFETY: the trait's contract: timer and DPC live as long as the device.
    unsafe { ntddk::KeSetTimer(&raw mut (*piece).timer, due, &raw mut (*piece).dpc) };
}

pub(crate) unsafe fn ended<S: Splitter>(piece: *mut Piece) {
    // SAFETY: the trait's contract. Where pieces follow one another, this one was the only one.
    unsafe {
        let transfer = (*piece).transfer;
        (*piece).ended = true;
        if !(*transfer).request.serial {
            S::give_back(transfer);
        } else if succeeded(piece) && (*piece).index + 1 < (*transfer).request.pieces {
            (*transfer).next = (*piece).index + 1;
            // Not from here: a device that completes at once would lead us ever deeper.
            ntddk::KeInsertQueueDpc(&raw mut (*transfer).dpc, ptr::null_mut(), ptr::null_mut());
        } else {
            S::finish(transfer);
        }
    }
}

pub(crate) unsafe fn give_back<S: Splitter>(transfer: *mut Transfer) {
    // SAFETY: the trait's contract: the caller's count keeps the transfer until here.
    unsafe {
        if (*transfer).outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            S::finish(transfer);
        }
    }
}

pub(crate) unsafe fn merge<S: Splitter>(transfer: *mut Transfer) -> Outcome {
    let mut outcome = Outcome {
        status: STATUS_SUCCESS,
        srb_status: SRB_STATUS_SUCCESS as u8,
        scsi_status: 0,
        internal_status: 0,
        moved: 0,
        sense_of: None,
    };
    // SAFETY: the trait's contract: every piece has ended or was never sent.
    unsafe {
        let pieces = (*transfer).request.pieces;
        let mut failed = None;
        let mut hole = false;
        for index in 0..pieces {
            let piece = S::piece(transfer, index);
            if !(*piece).ended {
                break;
            }
            if succeeded(piece) {
                let (_, asked) = extent::<S>(piece);
                hole |= (*piece).srb.DataTransferLength < asked && index + 1 < pieces;
                outcome.moved += (*piece).srb.DataTransferLength;
            } else if failed.is_none() {
                failed = Some(piece);
            }
        }
        if let Some(piece) = failed {
            outcome.status = (*piece).status;
            outcome.srb_status = (*piece).srb.SrbStatus;
            outcome.scsi_status = (*piece).srb.ScsiStatus;
            outcome.internal_status = (*piece).srb.__bindgen_anon_1.InternalStatus;
            outcome.sense_of = Some((*piece).index);
        } else if hole {
            outcome.status = STATUS_IO_DEVICE_ERROR;
            outcome.srb_status = SRB_STATUS_ERROR as u8;
        }
    }
    outcome
}

pub(crate) unsafe fn finish<S: Splitter>(transfer: *mut Transfer) {
    // SAFETY: the trait's contract: the last count is the caller's, so the transfer and the parent
    // are.
    unsafe {
        let outcome = S::merge(transfer);
        let (extension, request) = ((*transfer).extension, (*transfer).request);
        report::<S>(transfer, &outcome, request.srb);
        device::return_transfer(transfer);
        wdm::complete(request.parent, outcome.status, u64::from(outcome.moved));
        device::unlock(extension, request.parent);
    }
}

/// Writes the outcome into the parent's SRB.
unsafe fn report<S: Splitter>(
    transfer: *mut Transfer,
    outcome: &Outcome,
    srb: *mut SCSI_REQUEST_BLOCK,
) {
    // SAFETY: the trait's contract; the parent's sense buffer has the length that it says.
    unsafe {
        (*srb).ScsiStatus = outcome.scsi_status;
        (*srb).DataTransferLength = outcome.moved;
        let mut srb_status = u32::from(outcome.srb_status);
        if srb_status == SRB_STATUS_INTERNAL_ERROR {
            (*srb).__bindgen_anon_1.InternalStatus = outcome.internal_status;
        }
        if let Some(index) = outcome.sense_of
            && srb_status & SRB_STATUS_AUTOSENSE_VALID != 0
        {
            let piece = S::piece(transfer, index);
            let room = usize::from((*srb).SenseInfoBufferLength);
            let length = usize::from((*piece).srb.SenseInfoBufferLength)
                .min(SENSE)
                .min(room);
            let from = (*piece).srb.SenseInfoBuffer.cast::<u8>();
            ptr::copy(from, (*srb).SenseInfoBuffer.cast(), length);
            (*srb).SenseInfoBufferLength = length as u8;
        } else {
            srb_status &= !SRB_STATUS_AUTOSENSE_VALID;
        }
        (*srb).SrbStatus = srb_status as u8;
    }
}
