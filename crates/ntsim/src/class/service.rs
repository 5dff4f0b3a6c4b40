//! READ and WRITE: verified, cut into pieces, sent [classpnp, class.c, `ClassReadWrite` and
//! `ServiceTransferRequest`; disk, disk.c, `DiskReadWriteVerification`].

use std::sync::atomic::Ordering;

use super::fdo::{Fdo, Use};
use super::packet::{Packet, Packets, Supply};
use super::{irp, limits, retry};
use crate::abi::{
    IRP_MJ_READ, NTSTATUS, PIRP, PMDL, PVOID, SL_KEY_SPECIFIED, SL_OVERRIDE_VERIFY_VOLUME,
    STATUS_DEVICE_DOES_NOT_EXIST, STATUS_FT_READ_FROM_COPY, STATUS_INVALID_PARAMETER,
    STATUS_PENDING, STATUS_SUCCESS, STATUS_VERIFY_REQUIRED,
};
use crate::io;
use crate::machine::{bug_check, codes};

/// What `MinorFunction` says once a request has passed the check of `DO_VERIFY_VOLUME`.
const VERIFY_CHECKED: u8 = 0x80;
/// A key that is this but for its low nine bits names a copy to read from (`IsKeyReadCopyNumber`).
const COPY_KEY: u32 = 0x5243_4E00;
const COPY_KEY_MASK: u32 = 0xFFFF_FE00;
/// `STATUS_INTEGER_DIVIDE_BY_ZERO`.
const DIVIDE_BY_ZERO: u64 = 0xC000_0094;

/// A READ or WRITE as its stack location has it.
#[derive(Clone, Copy)]
struct Wanted {
    reads: bool,
    flags: u32,
    minor: u8,
    key: u32,
    length: u32,
    offset: i64,
}

impl Wanted {
    /// # Safety
    /// The caller owns `irp`, a READ or WRITE.
    unsafe fn of(irp: PIRP) -> Self {
        // SAFETY: the caller's contract; READ and WRITE have their parameters in the same places.
        unsafe {
            let location = io::current_location(irp);
            let parameters = &raw const (*location).Parameters.Read;
            Self {
                reads: u32::from((*location).MajorFunction) == IRP_MJ_READ,
                flags: u32::from((*location).Flags),
                minor: (*location).MinorFunction,
                key: (*parameters).Key,
                length: (*parameters).Length,
                offset: (*parameters).ByteOffset.QuadPart,
            }
        }
    }
}

/// `IRP_MJ_READ` and `IRP_MJ_WRITE`.
///
/// # Safety
/// Called as the dispatch routine of the device with `irp`.
pub(super) unsafe fn read_write(fdo: &Fdo, irp: PIRP) -> NTSTATUS {
    fdo.rundown.acquire();
    // SAFETY: the dispatch routine owns the IRP.
    unsafe {
        let wanted = Wanted::of(irp);
        if let Some(status) = judge(fdo, &wanted) {
            if status == STATUS_VERIFY_REQUIRED {
                fdo.class.tally.verify(irp);
            }
            fdo.rundown.release();
            return irp::complete(irp, status, 0);
        }
        (&raw mut (*io::current_location(irp)).MinorFunction).write(VERIFY_CHECKED);
        // Once the pieces are sent, the request and its use of the device may be gone.
        let _use = Use::of(&fdo.rundown);
        fdo.class.tally.requests.fetch_add(1, Ordering::Relaxed);
        serve(fdo, irp, false)
    }
}

/// How a request ends that never reaches the device below.
fn judge(fdo: &Fdo, wanted: &Wanted) -> Option<NTSTATUS> {
    if fdo.is_leaving() || fdo.learned.get().is_none() {
        return Some(STATUS_DEVICE_DOES_NOT_EXIST);
    }
    let checked = wanted.minor == VERIFY_CHECKED || wanted.flags & SL_OVERRIDE_VERIFY_VOLUME != 0;
    if fdo.verify_pending() && !checked {
        return Some(STATUS_VERIFY_REQUIRED);
    }
    let learned = fdo.learned();
    let within_sector = learned.facts.sector - 1;
    // The end of the disk is the device's to find: only sectors are counted here.
    if wanted.length & within_sector != 0 || wanted.offset as u32 & within_sector != 0 {
        return Some(STATUS_INVALID_PARAMETER);
    }
    if wanted.length == 0 {
        return Some(STATUS_SUCCESS);
    }
    let first = wanted.offset >> learned.sector_shift;
    (!learned.facts.sixteen && first > i64::from(u32::MAX)).then_some(STATUS_INVALID_PARAMETER)
}

/// Cuts a request and sends the pieces, or lets it wait. `from_completion`: a completion routine
/// calls, and whatever is sent goes through a DPC, so that requests that end inside
/// `IofCallDriver` do not pile up on one stack.
///
/// # Safety
/// The caller owns `client`, a request that [`judge`] let pass, and holds a use of the device beyond
/// the request's own.
pub(super) unsafe fn serve(fdo: &Fdo, client: PIRP, from_completion: bool) -> NTSTATUS {
    // SAFETY: the caller owns the IRP until its last piece is sent.
    unsafe {
        let wanted = Wanted::of(client);
        let copy = wanted.reads
            && wanted.flags & SL_KEY_SPECIFIED != 0
            && wanted.key & COPY_KEY_MASK == COPY_KEY;
        let preset = if copy {
            STATUS_FT_READ_FROM_COPY
        } else {
            STATUS_SUCCESS
        };
        irp::set_status(client, preset);
        let mdl = (*client).MdlAddress;
        if mdl.is_null() {
            // Windows would stop at the address of the data; here the request alone does.
            fdo.rundown.release();
            return irp::complete(client, STATUS_INVALID_PARAMETER, 0);
        }
        let buffer = address_of(mdl);
        let longest = longest_piece(fdo, buffer);
        let count = wanted.length.div_ceil(longest) as usize;
        match Packets::take(fdo, count, client) {
            Supply::All(packets) => {
                send_all(fdo, client, buffer, longest, packets, from_completion)
            }
            Supply::One(packet) => {
                expect_pieces(client, 1);
                irp::mark_pending(client);
                fdo.class.tally.split.fetch_add(1, Ordering::Relaxed);
                retry::begin_low_memory(packet, fdo, client, buffer, wanted.length, wanted.offset);
                STATUS_PENDING
            }
            Supply::Deferred => STATUS_PENDING,
        }
    }
}

fn longest_piece(fdo: &Fdo, buffer: PVOID) -> u32 {
    let facts = &fdo.learned().facts;
    let longest = limits::longest_piece(
        facts.hardware_maximum,
        facts.maximum_transfer_length,
        buffer.addr(),
    );
    if longest == 0 {
        let story = "The disk class driver divided by the longest piece of a transfer, which is 0: \
                     MaximumTransferLength of the adapter descriptor is 0.";
        let parameters = [DIVIDE_BY_ZERO, 0, 0, 0];
        bug_check(
            codes::KMODE_EXCEPTION_NOT_HANDLED,
            parameters,
            story.to_owned(),
        );
    }
    longest
}

/// # Safety
/// As for [`serve`]; `packets` are enough for the request and the caller's.
unsafe fn send_all(
    fdo: &Fdo,
    client: PIRP,
    buffer: PVOID,
    longest: u32,
    packets: Vec<*mut Packet>,
    from_completion: bool,
) -> NTSTATUS {
    let several = packets.len() > 1;
    // SAFETY: the caller owns the request until its last piece is sent. Length and place were read
    // before, and nothing of the request is looked at between the pieces but by the pieces.
    unsafe {
        let Wanted { length, offset, .. } = Wanted::of(client);
        expect_pieces(client, packets.len() as u32);
        let mut status = STATUS_SUCCESS;
        if several {
            irp::mark_pending(client);
            status = STATUS_PENDING;
            fdo.class.tally.split.fetch_add(1, Ordering::Relaxed);
        }
        let mut done = 0_u32;
        for packet in packets {
            let piece = longest.min(length - done);
            let at = buffer.wrapping_byte_add(done as usize);
            Packet::set_up(
                packet,
                fdo,
                client,
                at,
                piece,
                offset.wrapping_add(i64::from(done)),
            );
            (&raw mut (*packet).use_partial).write(several);
            done += piece;
            if from_completion {
                (&raw mut (*packet).delay).write(0);
                retry::queue(packet);
                status = STATUS_PENDING;
            } else if Packet::submit(packet, fdo) != STATUS_SUCCESS {
                status = STATUS_PENDING;
            }
        }
        status
    }
}

/// Presets what the pieces count in: `Information`, which sums their lengths up, and the number of
/// pieces still out, in the first word of the request's driver context.
///
/// # Safety
/// The caller owns `client`.
unsafe fn expect_pieces(client: PIRP, count: u32) {
    // SAFETY: the caller owns the IRP; the port has only the pieces' own.
    unsafe {
        (&raw mut (*client).IoStatus.Information).write(0);
        pieces_left(client).write(count);
    }
}

/// Where a request counts its pieces.
///
/// # Safety
/// The class driver has `client`.
pub(super) unsafe fn pieces_left(client: PIRP) -> *mut u32 {
    // SAFETY: the caller's contract; the field is as long as a pointer.
    unsafe {
        let overlay = &raw mut (*client).Tail.Overlay;
        let context = &raw mut (*overlay).__bindgen_anon_1.__bindgen_anon_1.DriverContext;
        context.cast()
    }
}

/// `MmGetMdlVirtualAddress`.
///
/// # Safety
/// `mdl` is an MDL.
unsafe fn address_of(mdl: PMDL) -> PVOID {
    // SAFETY: the caller's contract.
    unsafe { (*mdl).StartVa.wrapping_byte_add((*mdl).ByteOffset as usize) }
}
