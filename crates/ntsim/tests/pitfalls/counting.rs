//! Pitfalls 1 to 6: who completes the parent, when, and how often.

use core::sync::atomic::{AtomicU32, Ordering};

use ntsim::abi::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    STATUS_SUCCESS,
};
use ntsim::machine::AllocationKind;
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::{Fault, Kind};

use super::reference::Right;
use super::splitter::{Outcome, Piece, Splitter, Transfer};
use super::{
    PIECE, assert_code, assert_stop, four_pieces, pieces, right, sender, stopped, wdm, write,
};

/// 1: counts pieces as they are sent, so the first inline completion finds nobody left.
struct CountsAsItGoes;

impl Splitter for CountsAsItGoes {
    unsafe fn issue(transfer: *mut Transfer) {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            (*transfer).outstanding.store(0, Ordering::Release);
            for index in 0..(*transfer).request.pieces {
                (*transfer).outstanding.fetch_add(1, Ordering::AcqRel);
                Self::send(Self::piece(transfer, index));
            }
        }
    }
}

#[test]
fn p01_no_count_for_the_loop() {
    let stop = stopped(CountsAsItGoes::world().run(four_pieces));
    assert_code(&stop, codes::MULTIPLE_IRP_COMPLETE_REQUESTS, &["IRP"]);
}

/// 2: looks at the parent once more after the last count is given back.
struct LooksBack;

impl Splitter for LooksBack {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract, which ends for the parent when the pieces have.
        unsafe {
            let parent = (*transfer).request.parent;
            wdm::mark_pending(parent);
            Self::issue(transfer);
            let _priority = ntddk::IoGetIoPriorityHint(parent);
        }
        STATUS_PENDING
    }
}

#[test]
fn p02_the_parent_is_touched_after_the_last_count() {
    let run = LooksBack::world().run(|stack| {
        sender::write(stack, 4 * PIECE as u32);
    });
    let code = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stop(
        &stopped(run),
        code,
        codes::strict::IRP_GONE,
        &["IoGetIoPriorityHint", "IRP"],
    );
}

/// 2: completes the parent at the first failure; the loop goes on cutting the parent's MDL.
struct FailsFast;

impl Splitter for FailsFast {
    unsafe fn ended(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            let transfer = (*piece).transfer;
            (*piece).ended = true;
            if right::succeeded(piece) {
                Self::give_back(transfer);
            } else {
                Self::finish(transfer);
            }
        }
    }
}

#[test]
fn p02_the_parent_is_gone_in_the_middle_of_the_loop() {
    let run = FailsFast::world().run(|stack| {
        stack.port().fault(Fault::new(Kind::MediumError).nth(1));
        sender::write(stack, 4 * PIECE as u32);
    });
    assert_code(
        &stopped(run),
        codes::TARGET_MDL_TOO_SMALL,
        &["IoBuildPartialMdl"],
    );
}

/// 3: allocates the IRPs while it sends; when there is none left it leaves the rest to nobody.
struct AllocatesAsItGoes;

impl Splitter for AllocatesAsItGoes {
    unsafe fn issue(transfer: *mut Transfer) {
        // SAFETY: the trait's contract.
        unsafe {
            let pieces = (*transfer).request.pieces;
            (*transfer).outstanding.store(pieces + 1, Ordering::Release);
            let stack_size = Self::stack_size((*(*transfer).extension).lower);
            for index in 0..pieces {
                let piece = Self::piece(transfer, index);
                let irp = ntddk::IoAllocateIrp(stack_size, 0);
                if irp.is_null() {
                    break;
                }
                ntddk::IoFreeIrp(core::mem::replace(&mut (*piece).irp, irp));
                Self::send(piece);
            }
            Self::give_back(transfer);
        }
    }
}

/// Lets two IRPs be allocated, and no third.
fn two_irps(stack: &ntsim::world::Stack) {
    let left = AtomicU32::new(2);
    stack
        .machine()
        .fail_allocations(Some(Box::new(move |request| {
            request.kind == AllocationKind::Irp
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_err()
        })));
}

#[test]
fn p03_half_of_the_children_and_no_memory() {
    let run = AllocatesAsItGoes::world().run(|stack| {
        two_irps(stack);
        four_pieces(stack);
    });
    let Err(stop) = run else {
        panic!("the parent came back")
    };
    assert_code(&stop, codes::HANG, &["main"]);
    Right::world()
        .run(|stack| {
            two_irps(stack);
            four_pieces(stack);
        })
        .unwrap_or_else(|stop| panic!("the right driver allocates nothing: {stop}"));
}

/// 4: marks the parent pending when it has sent everything.
struct MarksLate;

impl Splitter for MarksLate {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract, too late.
        unsafe {
            let parent = (*transfer).request.parent;
            Self::issue(transfer);
            wdm::mark_pending(parent);
        }
        STATUS_PENDING
    }
}

/// 4: never marks the parent pending.
struct NeverMarks;

impl Splitter for NeverMarks {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe { Self::issue(transfer) };
        STATUS_PENDING
    }
}

/// 4: returns the result when everything ended inside the loop, though the parent is marked.
struct ReturnsTheResult;

impl Splitter for ReturnsTheResult {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe {
            right::begin::<Self>(transfer);
            if (*transfer).busy.load(Ordering::Acquire) {
                STATUS_PENDING
            } else {
                STATUS_SUCCESS
            }
        }
    }
}

#[test]
fn p04_pending_is_marked_after_the_children_are_sent() {
    let stop = stopped(MarksLate::world().run(four_pieces));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x23D,
        &["STATUS_PENDING"],
    );
}

#[test]
fn p04_pending_is_returned_and_never_marked() {
    let stop = stopped(NeverMarks::world().run(four_pieces));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x23D,
        &["STATUS_PENDING"],
    );
}

#[test]
fn p04_pending_is_marked_and_not_returned() {
    let stop = stopped(ReturnsTheResult::world().run(four_pieces));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x23E,
        &["pending"],
    );
}

/// 5: lets the I/O manager go on with an IRP that the driver allocated.
struct LetsGo;

impl Splitter for LetsGo {
    unsafe extern "C" fn completed(device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe { right::completed::<Self>(device, irp, context) };
        STATUS_SUCCESS
    }
}

/// 5: propagates PendingReturned on a child, where the driver has no stack location.
struct MarksTheChild;

impl Splitter for MarksTheChild {
    unsafe extern "C" fn completed(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
        let piece: *mut Piece = context.cast();
        // SAFETY: the trait's contract, but for the location that does not exist.
        unsafe {
            if (*irp).PendingReturned != 0 {
                wdm::mark_pending(irp);
            }
            Self::retire(piece);
            (*piece).status = (*irp).IoStatus.__bindgen_anon_1.Status;
            Self::ended(piece);
        }
        STATUS_MORE_PROCESSING_REQUIRED
    }
}

#[test]
fn p05_the_completion_routine_does_not_stop_the_io_manager() {
    let stop = stopped(LetsGo::world().run(four_pieces));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0x200,
        &["IRP"],
    );
}

#[test]
fn p05_the_completion_routine_marks_a_child_pending() {
    let Err(stop) = MarksTheChild::world()
        .hba(super::slow_adapter())
        .run(four_pieces)
    else {
        panic!("nobody stopped the wrong driver")
    };
    let corruption = codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION;
    assert_code(
        &stop,
        corruption,
        &["IoMarkIrpPending", "from IoAllocateIrp by splitter"],
    );
}

/// 6: completes the parent in the dispatch routine when every send returned a result, although the
/// completion routine has done so.
struct CompletesTwice;

impl Splitter for CompletesTwice {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the second completion.
        unsafe {
            let (parent, pieces) = ((*transfer).request.parent, (*transfer).request.pieces);
            wdm::mark_pending(parent);
            (*transfer).outstanding.store(pieces, Ordering::Release);
            let mut waiting = false;
            for index in 0..pieces {
                waiting |= Self::send(Self::piece(transfer, index)) == STATUS_PENDING;
            }
            if !waiting {
                wdm::complete(parent, STATUS_SUCCESS, 0);
            }
        }
        STATUS_PENDING
    }
}

/// 6: leaves STATUS_PENDING in the parent's status block.
struct CompletesPending;

impl Splitter for CompletesPending {
    unsafe fn merge(transfer: *mut Transfer) -> Outcome {
        // SAFETY: the trait's contract.
        let outcome = unsafe { right::merge::<Self>(transfer) };
        Outcome {
            status: STATUS_PENDING,
            ..outcome
        }
    }
}

#[test]
fn p06_dispatch_and_completion_both_complete() {
    let hba = super::adapter().always_pending(false);
    let stop = stopped(CompletesTwice::world().hba(hba).run(four_pieces));
    assert_code(&stop, codes::MULTIPLE_IRP_COMPLETE_REQUESTS, &["IRP"]);
}

#[test]
fn p06_status_pending_in_the_status_block() {
    let run = CompletesPending::world().run(|stack| {
        let buffer = pieces(stack, 4);
        write(stack, 0, &buffer).send().wait();
    });
    let code = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;
    assert_stop(&stopped(run), code, 0x06, &["status 0x00000103", "IRP"]);
}
