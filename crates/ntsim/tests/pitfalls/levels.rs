//! Pitfalls 21 and 22: IRQL, spin locks, stack.

use core::ptr;
use core::sync::atomic::Ordering;

use ntsim::abi::{
    _EVENT_TYPE, _KWAIT_REASON, _MODE, KEVENT, KSPIN_LOCK, POOL_FLAG_PAGED, SCSI_REQUEST_BLOCK,
};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::Hba;

use super::device;
use super::splitter::{Piece, Splitter, Transfer};
use super::{
    PIECE, adapter, assert_code, assert_stop, four_pieces, right, slow_adapter, stopped, write,
};

/// 21: waits in a completion routine.
struct Waits;

impl Splitter for Waits {
    unsafe fn retire(piece: *mut Piece) {
        let mut event = KEVENT::default();
        // SAFETY: the trait's contract, but for the IRQL.
        unsafe {
            right::retire(piece);
            ntddk::KeInitializeEvent(&raw mut event, _EVENT_TYPE::NotificationEvent, 0);
            ntddk::KeWaitForSingleObject(
                (&raw mut event).cast(),
                _KWAIT_REASON::Executive,
                _MODE::KernelMode as i8,
                0,
                ptr::null_mut(),
            );
        }
    }
}

#[test]
fn p21_a_wait_at_dispatch_level() {
    let stop = stopped(Waits::world().hba(slow_adapter()).run(four_pieces));
    assert_code(&stop, codes::IRQL_NOT_LESS_OR_EQUAL, &["wait", "IRQL 2"]);
}

/// 21: allocates paged pool in a completion routine.
struct PagedPool;

impl Splitter for PagedPool {
    unsafe fn retire(piece: *mut Piece) {
        // SAFETY: the trait's contract, but for the IRQL.
        unsafe {
            right::retire(piece);
            let block = ntddk::ExAllocatePool2(POOL_FLAG_PAGED, 64, device::TAG);
            ntddk::ExFreePoolWithTag(block, device::TAG);
        }
    }
}

#[test]
fn p21_paged_pool_at_dispatch_level() {
    let stop = stopped(PagedPool::world().hba(slow_adapter()).run(four_pieces));
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        1,
        &["IRQL 2"],
    );
}

/// 21: flushes DPCs, or does anything else that is for PASSIVE_LEVEL, in a completion routine.
struct Flushes;

impl Splitter for Flushes {
    unsafe fn retire(piece: *mut Piece) {
        // SAFETY: the trait's contract, but for the IRQL.
        unsafe {
            right::retire(piece);
            ntddk::KeFlushQueuedDpcs();
        }
    }
}

#[test]
fn p21_a_passive_level_call_at_dispatch_level() {
    let stop = stopped(Flushes::world().hba(slow_adapter()).run(four_pieces));
    assert_code(
        &stop,
        codes::IRQL_NOT_LESS_OR_EQUAL,
        &["KeFlushQueuedDpcs", "IRQL 2"],
    );
}

/// 21: sends the pieces with a spin lock held.
struct LocksAcrossCalls;

impl Splitter for LocksAcrossCalls {
    unsafe fn issue(transfer: *mut Transfer) {
        let mut lock: KSPIN_LOCK = 0;
        // SAFETY: the trait's contract, but for the lock.
        unsafe {
            let irql = ntddk::KeAcquireSpinLockRaiseToDpc(&raw mut lock);
            right::issue::<Self>(transfer);
            ntddk::KeReleaseSpinLock(&raw mut lock, irql);
        }
    }
}

#[test]
fn p21_a_spin_lock_held_across_io_call_driver() {
    let stop = stopped(LocksAcrossCalls::world().run(four_pieces));
    let rule = codes::strict::SPIN_LOCK_HELD;
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        rule,
        &["IoCallDriver"],
    );
}

/// 21: takes a spin lock that it holds.
struct LocksTwice;

impl Splitter for LocksTwice {
    unsafe fn retire(piece: *mut Piece) {
        let mut lock: KSPIN_LOCK = 0;
        // SAFETY: the trait's contract, but for the lock.
        unsafe {
            right::retire(piece);
            let irql = ntddk::KeAcquireSpinLockRaiseToDpc(&raw mut lock);
            ntddk::KeAcquireSpinLockRaiseToDpc(&raw mut lock);
            ntddk::KeReleaseSpinLock(&raw mut lock, irql);
        }
    }
}

#[test]
fn p21_a_spin_lock_taken_twice() {
    let stop = stopped(LocksTwice::world().run(four_pieces));
    assert_code(&stop, codes::SPIN_LOCK_ALREADY_OWNED, &["spin lock"]);
}

/// 22: sends the next piece from the completion of the last one.
struct Recurses;

impl Splitter for Recurses {
    const PIECE_BYTES: u32 = 512;
    const PIECES: u32 = 4096;

    fn serial(_: &SCSI_REQUEST_BLOCK) -> bool {
        true
    }

    unsafe fn ended(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            let transfer = (*piece).transfer;
            (*piece).ended = true;
            if (*piece).index + 1 < (*transfer).request.pieces {
                Self::send(Self::piece(transfer, (*piece).index + 1));
            } else {
                Self::finish(transfer);
            }
        }
    }
}

/// The same pieces, sent from a DPC each: right.
struct Defers;

impl Splitter for Defers {
    const PIECE_BYTES: u32 = Recurses::PIECE_BYTES;
    const PIECES: u32 = Recurses::PIECES;

    fn serial(_: &SCSI_REQUEST_BLOCK) -> bool {
        true
    }
}

fn many_pieces(stack: &ntsim::world::Stack) {
    let buffer = stack.buffer(128 * PIECE, 0);
    write(stack, 0, &buffer).send().wait();
}

fn inline() -> Hba {
    adapter().limits(512, 1)
}

#[test]
fn p22_inline_completions_recurse() {
    let stop = stopped(Recurses::world().hba(inline()).run(many_pieces));
    assert_stop(
        &stop,
        codes::UNEXPECTED_KERNEL_MODE_TRAP,
        8,
        &["stack", "IRP"],
    );
    let ((), report) = Defers::world()
        .hba(inline())
        .run(many_pieces)
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(report.port.writes, 4096);
    assert!(
        report.stack_high_water < 64 << 10,
        "{} bytes",
        report.stack_high_water
    );
}

/// 21: comes back from its dispatch routine at another IRQL.
struct StaysRaised;

impl Splitter for StaysRaised {
    unsafe fn issue(transfer: *mut Transfer) {
        // SAFETY: the trait's contract, but for the IRQL.
        unsafe {
            (*transfer)
                .outstanding
                .store((*transfer).request.pieces + 1, Ordering::Release);
            right::issue::<Self>(transfer);
            ntddk::KfRaiseIrql(2);
        }
    }
}

#[test]
fn p25_the_irql_changes_across_dispatch() {
    let stop = stopped(StaysRaised::world().run(four_pieces));
    let code = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;
    assert_stop(&stop, code, 0x05, &["IRQL 0", "IRQL 2"]);
}
