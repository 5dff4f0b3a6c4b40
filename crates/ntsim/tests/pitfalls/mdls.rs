//! Pitfalls 9 to 11, 17: the pieces' MDLs, and where in them the data is.

use ntsim::abi::{PIRP, PMDL, SRB_STATUS_SUCCESS};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::world::{Mdl, World};

use super::reference::Right;
use super::splitter::{Piece, Request, Splitter};
use super::{
    BLOCK, PIECE, assert_code, assert_stop, four_pieces, is_marked, mark, pieces, right,
    slow_adapter, stopped, wdm, write,
};

const VERIFIER: u32 = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;

/// 9: allocates MDLs for the bytes of a piece, not for the pages that they may touch.
struct RoomForBytes;

impl Splitter for RoomForBytes {
    fn mdl_room() -> u32 {
        Self::PIECE_BYTES
    }
}

#[test]
fn p09_no_room_for_the_page_that_an_offset_costs() {
    let stop = stopped(RoomForBytes::world().run(four_pieces));
    assert_code(
        &stop,
        codes::TARGET_MDL_TOO_SMALL,
        &["TARGET_MDL_TOO_SMALL"],
    );
}

/// 9: asks for "the rest of the source" in the last piece.
struct TheRest;

impl Splitter for TheRest {
    unsafe fn describe(piece: *mut Piece) {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            let request = (*(*piece).transfer).request;
            let (offset, length) = right::extent::<Self>(piece);
            let last = offset + length == request.length;
            let index = request.data.wrapping_byte_add(offset as usize);
            let length = if last { 0 } else { length };
            ntddk::IoBuildPartialMdl(request.mdl, (*piece).mdl, index, length);
            (*(*piece).irp).MdlAddress = (*piece).mdl;
        }
    }
}

#[test]
fn p09_length_zero() {
    let stop = stopped(TheRest::world().run(four_pieces));
    assert_stop(
        &stop,
        VERIFIER,
        codes::strict::PARTIAL_LENGTH_ZERO,
        &["length 0"],
    );
}

/// 10: does not undo the mapping that a driver below made of a piece's MDL.
struct LeavesItMapped;

impl Splitter for LeavesItMapped {
    unsafe fn retire(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe { (*(*piece).irp).MdlAddress = core::ptr::null_mut() };
    }
}

#[test]
fn p10_a_mapped_partial_mdl_outlives_the_parent() {
    let hba = slow_adapter().maps_mdl(true);
    let run = LeavesItMapped::world().hba(hba).run(|stack| {
        let buffer = stack.buffer_contiguous(4 * PIECE, BLOCK);
        write(stack, 0, &buffer).send().wait();
    });
    assert_stop(
        &stopped(run),
        VERIFIER,
        codes::strict::MDL_STILL_MAPPED,
        &["MmPrepareMdlForReuse"],
    );
}

/// 11: hands the parent's own MDL to every piece.
struct SharesTheMdl;

impl Splitter for SharesTheMdl {
    unsafe fn describe(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe { (*(*piece).irp).MdlAddress = (*(*piece).transfer).request.mdl };
    }
}

#[test]
fn p11_one_mdl_in_several_irps_at_a_time() {
    let stop = stopped(SharesTheMdl::world().hba(slow_adapter()).run(four_pieces));
    assert_stop(&stop, VERIFIER, codes::strict::MDL_IN_USE, &["IRP"]);
}

/// 11: chains the pieces' MDLs.
struct Chains;

impl Splitter for Chains {
    unsafe fn describe(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::describe::<Self>(piece);
            if (*piece).index > 0 {
                let before = Self::piece((*piece).transfer, (*piece).index - 1);
                (*(*piece).mdl).Next = (*before).mdl;
            }
        }
    }
}

#[test]
fn p11_chained_mdls_below() {
    let chains = |world: World| {
        let run = world.run(|stack| {
            four_pieces(stack);
            stack
                .port()
                .transfers()
                .iter()
                .map(|record| record.mdls)
                .collect::<Vec<_>>()
        });
        run.unwrap_or_else(|stop| panic!("{stop}")).0
    };
    assert_eq!(chains(Chains::world()), [1, 2, 3, 4]);
    assert_eq!(chains(Right::world()), [1, 1, 1, 1]);
}

/// 11: unlocks the pages of a partial MDL.
struct Unlocks;

impl Splitter for Unlocks {
    unsafe fn retire(piece: *mut Piece) {
        // SAFETY: the trait's contract, but for the pages, which are the parent's.
        unsafe {
            ntddk::MmUnlockPages((*piece).mdl);
            right::retire(piece);
        }
    }
}

#[test]
fn p11_mm_unlock_pages_of_a_partial_mdl() {
    let stop = stopped(Unlocks::world().run(four_pieces));
    assert_stop(&stop, VERIFIER, 0xB4, &["partial MDL"]);
}

/// What a request asks for, whatever its MDL says.
unsafe fn unchecked<S: Splitter>(irp: PIRP, mdl: PMDL, data: *mut core::ffi::c_void) -> Request {
    // SAFETY: the caller has an IRP_MJ_SCSI request to READ or WRITE.
    unsafe {
        let srb = (*wdm::current_location(irp)).Parameters.Scsi.Srb;
        let template = *srb;
        let length = template.DataTransferLength;
        let (lba, blocks) = right::decode(&template.Cdb);
        Request {
            parent: irp,
            template,
            srb,
            mdl,
            data,
            length,
            lba,
            block: length / blocks,
            pieces: length.div_ceil(S::PIECE_BYTES),
            serial: false,
        }
    }
}

/// 11, 17: believes that the first MDL has all the data.
struct FirstMdlOnly;

impl Splitter for FirstMdlOnly {
    unsafe fn recognise(irp: PIRP) -> Option<Request> {
        // SAFETY: the trait's contract.
        unsafe {
            let srb = (*wdm::current_location(irp)).Parameters.Scsi.Srb;
            Some(unchecked::<Self>(irp, (*irp).MdlAddress, (*srb).DataBuffer))
        }
    }
}

#[test]
fn p11_a_parent_with_a_chain_of_mdls() {
    let run = FirstMdlOnly::world().run(|stack| {
        let buffer = pieces(stack, 4);
        let chain = Mdl::Chain(vec![(2 * PIECE) as u32]);
        write(stack, 0, &buffer).mdl(chain).send().wait();
    });
    assert_code(
        &stopped(run),
        codes::TARGET_MDL_TOO_SMALL,
        &["IoBuildPartialMdl"],
    );
}

#[test]
fn p17_data_buffer_outside_the_mdl() {
    let run = FirstMdlOnly::world().run(|stack| {
        let buffer = pieces(stack, 4);
        write(stack, 0, &buffer).data_shift(-4096).send().wait();
    });
    assert_code(
        &stopped(run),
        codes::TARGET_MDL_TOO_SMALL,
        &["IoBuildPartialMdl"],
    );
}

/// 17: takes the start of the MDL for the start of the data.
struct StartOfMdl;

impl Splitter for StartOfMdl {
    unsafe fn recognise(irp: PIRP) -> Option<Request> {
        // SAFETY: the trait's contract.
        unsafe {
            let mdl = (*irp).MdlAddress;
            Some(unchecked::<Self>(irp, mdl, wdm::mdl_address(mdl)))
        }
    }
}

/// Writes the second half of a buffer whose MDL describes all of it; says whether the right bytes
/// are on the disk.
fn second_half(stack: &ntsim::world::Stack) -> bool {
    let buffer = pieces(stack, 4);
    mark(&buffer, 0);
    let half = 2 * PIECE;
    let request = stack.scsi_write(64, (half / BLOCK) as u32, &buffer, half, half as u32);
    let done = request.extended(false).send().wait();
    assert_eq!(u32::from(done.srb_status), SRB_STATUS_SUCCESS);
    let back = pieces(stack, 2);
    super::read(stack, 64, &back).send().wait();
    is_marked(&back, 64 * BLOCK as u64)
}

#[test]
fn p17_data_buffer_inside_the_mdl() {
    let (arrived, _) = StartOfMdl::world()
        .run(second_half)
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert!(!arrived, "the wrong half of the buffer was written");
    let (arrived, _) = Right::world()
        .run(second_half)
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert!(arrived);
}

/// 17: follows `DataBuffer`, which is an index into the MDL and no address of anything.
struct FollowsDataBuffer;

impl Splitter for FollowsDataBuffer {
    unsafe fn recognise(irp: PIRP) -> Option<Request> {
        // SAFETY: none; this is what ends the process.
        unsafe {
            let srb = (*wdm::current_location(irp)).Parameters.Scsi.Srb;
            (*srb).DataBuffer.cast::<u8>().read_volatile();
            right::recognise::<Self>(irp)
        }
    }
}

/// A label is an address that no host maps, so the wrong driver ends its process, and the test needs
/// one of its own for it. (Under Miri the read is an error by itself: a label has no provenance.)
#[test]
#[cfg(all(unix, not(miri)))]
fn p17_data_buffer_is_followed() {
    use std::os::unix::process::ExitStatusExt;
    const CHILD: &str = "PITFALLS_FOLLOW_DATA_BUFFER";
    const SIGSEGV: i32 = 11;
    if std::env::var_os(CHILD).is_some() {
        let _never = FollowsDataBuffer::world().run(four_pieces);
        return;
    }
    let this = std::env::current_exe().expect("a test has a path");
    let arguments = ["--exact", "mdls::p17_data_buffer_is_followed"];
    let child = std::process::Command::new(this)
        .args(arguments)
        .env(CHILD, "1")
        .output();
    let status = child.expect("a test can be started").status;
    assert_eq!(status.signal(), Some(SIGSEGV), "{status}");
}
