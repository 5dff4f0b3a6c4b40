//! Pitfall 25: what Driver Verifier looks for.

use core::ptr;

use ntsim::abi::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SRB_STATUS_SUCCESS, STATUS_PENDING, STATUS_SUCCESS,
};
use ntsim::machine::codes;
use ntsim::ntddk;

use super::splitter::{Extension, Piece, Splitter};
use super::{
    assert_code, assert_stop, device, four_pieces, pieces, slow_adapter, stopped, wdm, write,
};

const IO: u32 = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;

/// A request that is passed down.
fn one_piece(stack: &ntsim::world::Stack) {
    let buffer = pieces(stack, 1);
    let done = write(stack, 0, &buffer).send().wait();
    assert_eq!(u32::from(done.srb_status), SRB_STATUS_SUCCESS);
}

/// 25: passes requests down with a completion routine that does not propagate PendingReturned.
struct ForgetsPending;

unsafe extern "C" fn forgetful(_: PDEVICE_OBJECT, _: PIRP, _: PVOID) -> NTSTATUS {
    STATUS_SUCCESS
}

impl Splitter for ForgetsPending {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            wdm::copy_location(irp);
            wdm::set_completion(irp, Some(forgetful), ptr::null_mut());
            let status = ntddk::IofCallDriver((*extension).lower, irp);
            device::unlock(extension, irp);
            status
        }
    }
}

#[test]
fn p25_pending_returned_is_not_propagated() {
    let stop = stopped(ForgetsPending::world().hba(slow_adapter()).run(one_piece));
    assert_stop(&stop, IO, 0x228, &["PendingReturned", "IRP"]);
}

/// 25: skips its stack location after it has marked it pending.
struct SkipsPending;

impl Splitter for SkipsPending {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the mark, which is now the driver's above.
        unsafe {
            wdm::mark_pending(irp);
            wdm::skip_location(irp);
            ntddk::IofCallDriver((*extension).lower, irp);
            device::unlock(extension, irp);
        }
        STATUS_PENDING
    }
}

#[test]
fn p25_io_skip_after_io_mark_irp_pending() {
    let stop = stopped(SkipsPending::world().run(one_piece));
    assert_stop(&stop, IO, 0x206, &["pending"]);
}

/// 25: sets a completion routine and skips the location that it is in.
struct SkipsItsRoutine;

impl Splitter for SkipsItsRoutine {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the location, which is the driver's above.
        unsafe {
            wdm::set_completion(irp, Some(forgetful), ptr::null_mut());
            wdm::skip_location(irp);
            let status = ntddk::IofCallDriver((*extension).lower, irp);
            device::unlock(extension, irp);
            status
        }
    }
}

#[test]
fn p25_io_skip_with_a_completion_routine() {
    let run = SkipsItsRoutine::world().hba(slow_adapter()).run(one_piece);
    let Err(stop) = run else {
        panic!("nobody stopped the wrong driver")
    };
    assert_stop(&stop, IO, 0x212, &["IoSetCompletionRoutine", "splitter"]);
}

/// 25: returns a status from dispatch that is not the IRP's.
struct ReturnsSomething;

impl Splitter for ReturnsSomething {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe {
            wdm::pass_down((*extension).lower, irp);
            device::unlock(extension, irp);
        }
        STATUS_SUCCESS
    }
}

#[test]
fn p25_success_is_returned_for_a_pending_irp() {
    let stop = stopped(ReturnsSomething::world().hba(slow_adapter()).run(one_piece));
    assert_stop(&stop, IO, 0x226, &["STATUS_PENDING", "IRP"]);
}

/// 25: forgets an IRP altogether.
struct Swallows;

impl Splitter for Swallows {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe { device::unlock(extension, irp) };
        STATUS_SUCCESS
    }
}

#[test]
fn p25_an_irp_is_neither_completed_nor_passed_down() {
    let stop = stopped(Swallows::world().run(one_piece));
    assert_stop(&stop, IO, 0x226, &["neither completed"]);
}

/// What a driver forgets to free.
#[derive(Clone, Copy)]
enum Forgotten {
    Irps,
    Mdls,
    Pool,
}

unsafe fn release_but(extension: *mut Extension, forgotten: Forgotten, pieces: u32) {
    // SAFETY: the trait's contract of `release`.
    unsafe {
        for at in 0..device::TRANSFERS {
            let transfer = (*extension).transfers.add(at);
            for index in 0..pieces as usize {
                let piece: *mut Piece = (*transfer).pieces.add(index);
                match forgotten {
                    Forgotten::Irps => ntddk::IoFreeMdl((*piece).mdl),
                    Forgotten::Mdls => ntddk::IoFreeIrp((*piece).irp),
                    Forgotten::Pool => device::release_piece(piece),
                }
            }
            if !matches!(forgotten, Forgotten::Pool) {
                ntddk::ExFreePoolWithTag((*transfer).pieces.cast(), device::TAG);
            }
        }
        ntddk::ExFreePoolWithTag((*extension).transfers.cast(), device::TAG);
    }
}

struct LeaksIrps;

impl Splitter for LeaksIrps {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract.
        unsafe { release_but(extension, Forgotten::Irps, Self::PIECES) };
    }
}

struct LeaksMdls;

impl Splitter for LeaksMdls {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract.
        unsafe { release_but(extension, Forgotten::Mdls, Self::PIECES) };
    }
}

struct LeaksPool;

impl Splitter for LeaksPool {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract.
        unsafe { release_but(extension, Forgotten::Pool, Self::PIECES) };
    }
}

#[test]
fn p25_leaks_are_found_at_unload() {
    let verifier = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stop(
        &stopped(LeaksIrps::world().run(four_pieces)),
        verifier,
        0x62,
        &["IRP: "],
    );
    assert_stop(
        &stopped(LeaksMdls::world().run(four_pieces)),
        verifier,
        0x62,
        &["MDL: "],
    );
    assert_stop(
        &stopped(LeaksPool::world().run(four_pieces)),
        verifier,
        0x62,
        &["pool: ", "'Splt'"],
    );
}

/// 25: frees its IRPs twice.
struct FreesIrpsTwice;

impl Splitter for FreesIrpsTwice {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract, but for the first IRP.
        unsafe {
            ntddk::IoFreeIrp((*Self::piece((*extension).transfers, 0)).irp);
            device::release::<Self>(extension);
        }
    }
}

/// 25: frees its pool twice.
struct FreesPoolTwice;

impl Splitter for FreesPoolTwice {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract, but for the last block.
        unsafe {
            device::release::<Self>(extension);
            ntddk::ExFreePoolWithTag((*extension).transfers.cast(), device::TAG);
        }
    }
}

/// 25: frees an MDL twice.
struct FreesMdlsTwice;

impl Splitter for FreesMdlsTwice {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the trait's contract, but for the first MDL.
        unsafe {
            ntddk::IoFreeMdl((*Self::piece((*extension).transfers, 0)).mdl);
            device::release::<Self>(extension);
        }
    }
}

#[test]
fn p25_everything_is_freed_once() {
    let stop = stopped(FreesIrpsTwice::world().run(four_pieces));
    assert_stop(&stop, IO, 0x01, &["IoFreeIrp"]);
    let stop = stopped(FreesPoolTwice::world().run(four_pieces));
    assert_stop(&stop, codes::BAD_POOL_CALLER, 0x07, &["freed before"]);
    let stop = stopped(FreesMdlsTwice::world().run(four_pieces));
    assert_stop(&stop, codes::BAD_POOL_CALLER, 0x07, &["IoFreeMdl"]);
}

/// 25: writes one byte behind its memory.
struct WritesPastTheEnd;

impl Splitter for WritesPastTheEnd {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the guard behind every block of pool, which is there for this.
        unsafe {
            let end = (*extension).transfers.add(device::TRANSFERS).cast::<u8>();
            end.write(1);
            device::release::<Self>(extension);
        }
    }
}

/// 25: writes into memory that it has freed.
struct WritesAfterFree;

impl Splitter for WritesAfterFree {
    unsafe fn release(extension: *mut Extension) {
        // SAFETY: the simulated kernel keeps freed blocks for a while, for this.
        unsafe {
            let transfers = (*extension).transfers;
            device::release::<Self>(extension);
            (*transfers).next = 1;
        }
    }
}

#[test]
#[cfg(not(miri))]
fn p25_memory_is_written_outside_its_life() {
    let corruption = codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION;
    let stop = stopped(WritesPastTheEnd::world().run(four_pieces));
    assert_code(&stop, corruption, &["past its end", "'Splt'"]);
    let Err(stop) = WritesAfterFree::world().run(four_pieces) else {
        panic!("nobody stopped the wrong driver")
    };
    assert_code(&stop, corruption, &["after it had been freed"]);
}
