//! Pitfalls 7, 8, 12, 13: the pieces' IRPs, and cancellation.

use core::ptr;
use core::sync::atomic::Ordering;

use ntsim::abi::{
    IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PIRP, SRB_STATUS_SUCCESS, STATUS_CANCELLED,
    STATUS_PENDING,
};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::{Completion, Fault, Kind};

use super::splitter::{Piece, Splitter, Transfer};
use super::{adapter, assert_code, assert_stop, four_pieces, pieces, right, stopped, wdm, write};

/// 7: takes a stack location for itself and allocates none for it.
struct OneLocationTooFew;

impl Splitter for OneLocationTooFew {
    unsafe fn renew(piece: *mut Piece) {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            right::renew(piece);
            wdm::set_next_location((*piece).irp);
        }
    }
}

#[test]
fn p07_one_stack_location_too_few() {
    let stop = stopped(OneLocationTooFew::world().run(four_pieces));
    assert_code(
        &stop,
        codes::NO_MORE_IRP_STACK_LOCATIONS,
        &["IRP", "IoAllocateIrp"],
    );
}

/// 7: the same, with the location that it needs: right.
struct OneLocationMore;

impl Splitter for OneLocationMore {
    unsafe fn stack_size(lower: PDEVICE_OBJECT) -> i8 {
        // SAFETY: the trait's contract.
        unsafe { (*lower).StackSize + 1 }
    }

    unsafe fn renew(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::renew(piece);
            wdm::set_next_location((*piece).irp);
        }
    }
}

#[test]
fn p07_with_a_location_of_its_own_it_is_right() {
    OneLocationMore::world()
        .run(four_pieces)
        .unwrap_or_else(|stop| panic!("{stop}"));
}

/// 8: prepares an IRP for another attempt with `IoInitializeIrp`, which forgets who allocated it.
struct Initialises;

impl Splitter for Initialises {
    unsafe fn renew(piece: *mut Piece) {
        // SAFETY: the trait's contract, but for the IRP, which came from IoAllocateIrp.
        unsafe {
            let irp = (*piece).irp;
            ntddk::IoInitializeIrp(irp, (*irp).Size, (*irp).StackCount);
        }
    }
}

/// 8: sends an IRP again as it came back: its stack location was cleared on the way.
struct SendsAsItIs;

impl Splitter for SendsAsItIs {
    unsafe fn write_location(piece: *mut Piece) {
        // SAFETY: the trait's contract, the first time.
        unsafe {
            if (*piece).attempts == 1 {
                right::write_location::<Self>(piece);
            }
        }
    }

    unsafe fn renew(piece: *mut Piece) {
        // SAFETY: the trait's contract, the first time.
        unsafe {
            if (*piece).attempts == 1 {
                right::renew(piece);
            }
        }
    }
}

fn busy_once(stack: &ntsim::world::Stack) {
    stack.port().fault(Fault::new(Kind::Busy).nth(1));
    four_pieces(stack);
}

#[test]
fn p08_io_initialize_irp_between_attempts() {
    let stop = stopped(Initialises::world().run(busy_once));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x20D,
        &["IoInitializeIrp"],
    );
}

#[test]
fn p08_the_stack_location_is_not_written_again() {
    let stop = stopped(SendsAsItIs::world().run(busy_once));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x200,
        &["IRP"],
    );
}

/// 8: sends a piece again while its first attempt is still below.
struct SendsTwice;

impl Splitter for SendsTwice {
    unsafe fn issue(transfer: *mut Transfer) {
        // SAFETY: the trait's contract, but for the second send.
        unsafe {
            (*transfer).outstanding.store(1, Ordering::Release);
            Self::send(Self::piece(transfer, 0));
            Self::send(Self::piece(transfer, 0));
        }
    }
}

#[test]
fn p08_an_irp_is_reused_while_it_is_below() {
    let stop = stopped(
        SendsTwice::world()
            .hba(super::slow_adapter())
            .run(four_pieces),
    );
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x20B,
        &["IoReuseIrp"],
    );
}

/// 12: lets the parent be cancelled at any time, and completes it at once.
struct Cancelable;

impl Splitter for Cancelable {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract; the parent is ours until it is completed.
        unsafe {
            let parent = (*transfer).request.parent;
            (*parent).CancelRoutine = Some(cancel_parent);
            right::begin::<Self>(transfer)
        }
    }
}

/// A cancel routine that forgets the pieces.
unsafe extern "C" fn cancel_parent(_: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: called with the cancel spin lock held.
    unsafe {
        ntddk::IoReleaseCancelSpinLock((*irp).CancelIrql);
        wdm::complete(irp, STATUS_CANCELLED, 0);
    }
}

#[test]
fn p12_a_cancelled_parent_leaves_its_pieces_below() {
    let run = Cancelable::world()
        .hba(adapter().completion(Completion::Held))
        .run(|stack| {
            let buffer = pieces(stack, 4);
            let pending = write(stack, 0, &buffer).send();
            pending.cancel();
            stack.port().complete_all();
            pending.wait();
        });
    assert_stop(
        &stopped(run),
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        codes::strict::MDL_IN_USE,
        &["partial MDLs"],
    );
}

/// 12: cancels what is left as soon as a piece fails, without a reference to the IRPs: a piece may
/// have come back, and its IRP may be gone.
struct CancelsTheRest;

impl Splitter for CancelsTheRest {
    unsafe fn ended(piece: *mut Piece) {
        // SAFETY: the trait's contract, but for IRPs that have ended.
        unsafe {
            let transfer = (*piece).transfer;
            (*piece).ended = true;
            // Frees as it goes, so that nothing is left to do at the end.
            ntddk::IoFreeIrp((*piece).irp);
            let stack_size = Self::stack_size((*(*transfer).extension).lower);
            let gone = (*piece).irp;
            (*piece).irp = ptr::null_mut();
            if !right::succeeded(piece) {
                ntddk::IoCancelIrp(gone);
            }
            (*piece).irp = ntddk::IoAllocateIrp(stack_size, 0);
            Self::give_back(transfer);
        }
    }
}

#[test]
fn p12_io_cancel_irp_of_an_irp_that_is_gone() {
    let run = CancelsTheRest::world().run(|stack| {
        stack.port().fault(Fault::new(Kind::HardwareError).nth(1));
        four_pieces(stack);
    });
    assert_stop(
        &stopped(run),
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x03,
        &["IoCancelIrp"],
    );
}

/// 13: makes its children with `IoMakeAssociatedIrp`. The I/O manager counts and completes.
struct Associates;

impl Splitter for Associates {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the call, which is for the highest driver alone.
        unsafe {
            let request = (*transfer).request;
            let lower = (*(*transfer).extension).lower;
            let status = &raw mut (*request.parent).IoStatus;
            (*status).__bindgen_anon_1.Status = 0;
            (*status).Information = u64::from(request.length);
            (*request.srb).SrbStatus = SRB_STATUS_SUCCESS as u8;
            let children: Vec<PIRP> = (0..request.pieces)
                .map(|_| ntddk::IoMakeAssociatedIrp(request.parent, (*lower).StackSize))
                .collect();
            (*request.parent).AssociatedIrp.IrpCount = request.pieces as i32;
            wdm::mark_pending(request.parent);
            for (index, child) in children.into_iter().enumerate() {
                let piece = Self::piece(transfer, index as u32);
                let (offset, length) = right::extent::<Self>(piece);
                let at = request.data.wrapping_byte_add(offset as usize);
                let mdl = ntddk::IoAllocateMdl(at, length, 0, 0, child);
                ntddk::IoBuildPartialMdl(request.mdl, mdl, at, length);
                Self::write_srb(piece);
                (*piece).srb.OriginalRequest = child.cast();
                let next = wdm::next_location(child);
                (*next).MajorFunction = IRP_MJ_SCSI as u8;
                (*next).Parameters.Scsi.Srb = &raw mut (*piece).srb;
                ntddk::IofCallDriver(lower, child);
            }
            super::device::return_transfer(transfer);
            super::device::unlock((*transfer).extension, request.parent);
        }
        STATUS_PENDING
    }
}

#[test]
fn p13_associated_irps_below_the_top_of_the_stack() {
    let stop = stopped(Associates::world().class_above().run(four_pieces));
    let code = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stop(
        &stop,
        code,
        codes::strict::ASSOCIATED_IRP,
        &["IoMakeAssociatedIrp", "IRP"],
    );
}

#[test]
fn p13_the_io_manager_does_not_look_at_the_parts() {
    let run = Associates::world().run(|stack| {
        stack.port().fault(Fault::new(Kind::MediumError).nth(1));
        let buffer = pieces(stack, 4);
        write(stack, 0, &buffer).send().wait()
    });
    let (done, report) = run.unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!((done.irp.status, done.irp.completions), (0, 1));
    assert_eq!(
        report.port.bytes_written,
        3 * super::PIECE as u64,
        "success, with a piece missing"
    );
}
