//! Pitfall 24: the device goes while pieces are on their way.

use ntsim::abi::{NTSTATUS, PDEVICE_OBJECT, PIRP};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::{Completion, Fault, Kind};

use super::splitter::{Extension, Splitter, Transfer};
use super::{
    adapter, assert_code, assert_stop, device, pieces, right, slow_adapter, stopped, wdm, write,
};

/// 24: holds the remove lock only inside its dispatch routine.
struct UnlocksEarly;

impl Splitter for UnlocksEarly {
    unsafe fn begin(transfer: *mut Transfer) -> NTSTATUS {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            let (extension, parent) = ((*transfer).extension, (*transfer).request.parent);
            let status = right::begin::<Self>(transfer);
            device::unlock(extension, parent);
            status
        }
    }

    unsafe fn finish(transfer: *mut Transfer) {
        // SAFETY: the trait's contract, but for the device, which may be gone.
        unsafe {
            let outcome = Self::merge(transfer);
            let request = (*transfer).request;
            (*request.srb).SrbStatus = outcome.srb_status;
            device::return_transfer(transfer);
            wdm::complete(request.parent, outcome.status, u64::from(outcome.moved));
        }
    }
}

#[test]
fn p24_memory_is_freed_with_pieces_below() {
    let run = UnlocksEarly::world()
        .hba(adapter().completion(Completion::Held))
        .run(|stack| {
            let buffer = pieces(stack, 4);
            let pending = write(stack, 0, &buffer).send();
            stack.remove().expect("nobody objects");
            pending.wait();
        });
    assert_stop(
        &stopped(run),
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        codes::strict::MDL_IN_USE,
        &["in flight"],
    );
}

#[test]
fn p24_memory_is_freed_with_a_retry_timer_set() {
    let run = UnlocksEarly::world().run(|stack| {
        stack
            .port()
            .fault(Fault::new(Kind::Busy).at_lba(40).always());
        let buffer = pieces(stack, 4);
        let pending = write(stack, 0, &buffer).send();
        stack.remove().expect("nobody objects");
        pending.wait();
    });
    assert_stop(
        &stopped(run),
        codes::TIMER_OR_DPC_INVALID,
        0,
        &["KeCancelTimer"],
    );
}

/// 24: releases the lock twice for a request.
struct UnlocksTwice;

impl Splitter for UnlocksTwice {
    unsafe fn finish(transfer: *mut Transfer) {
        // SAFETY: the trait's contract, but for the second release.
        unsafe {
            let (extension, parent) = ((*transfer).extension, (*transfer).request.parent);
            right::finish::<Self>(transfer);
            device::unlock(extension, parent);
        }
    }
}

#[test]
fn p24_a_remove_lock_released_twice() {
    let run = UnlocksTwice::world()
        .hba(slow_adapter())
        .run(super::four_pieces);
    let code = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stop(&stopped(run), code, 0xD5, &["remove lock"]);
}

/// 24: never releases the lock of a request.
struct NeverUnlocks;

impl Splitter for NeverUnlocks {
    unsafe fn pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe { wdm::pass_down((*extension).lower, irp) }
    }
}

#[test]
fn p24_a_remove_lock_never_released() {
    let run = NeverUnlocks::world().run(|stack| {
        let buffer = pieces(stack, 1);
        write(stack, 0, &buffer).send().wait();
    });
    assert_code(&stopped(run), codes::HANG, &["splitter"]);
}

/// 24: forgets that it is attached.
struct StaysAttached;

impl Splitter for StaysAttached {
    unsafe fn remove(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract.
        unsafe {
            let extension: *mut Extension = (*this).DeviceExtension.cast();
            device::drain(extension, irp);
            Self::release(extension);
            wdm::pass_down((*extension).lower, irp)
        }
    }
}

#[test]
fn p24_the_device_stays_attached() {
    let Err(stop) = StaysAttached::world().run(|_| ()) else {
        panic!("nobody stopped it")
    };
    assert_stop(
        &stop,
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        0xE000_0010,
        &["IoDetachDevice"],
    );
}

/// 24: completes the parent of a device that was pulled out itself, and again when the piece is back.
struct GivesUpAtOnce;

impl Splitter for GivesUpAtOnce {
    unsafe fn remove(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: the trait's contract, but for the parents, which the pieces complete, too.
        unsafe {
            let extension: *mut Extension = (*this).DeviceExtension.cast();
            for at in 0..device::TRANSFERS {
                let transfer = (*extension).transfers.add(at);
                if *(*transfer).busy.get_mut() {
                    let parent = (*transfer).request.parent;
                    wdm::complete(parent, ntsim::abi::STATUS_NO_SUCH_DEVICE, 0);
                    device::unlock(extension, parent);
                }
            }
            device::remove::<Self>(this, irp)
        }
    }
}

#[test]
fn p24_the_parent_is_completed_before_its_pieces_are_back() {
    let run = GivesUpAtOnce::world()
        .hba(adapter().completion(Completion::Held))
        .run(|stack| {
            let buffer = pieces(stack, 4);
            let pending = write(stack, 0, &buffer).send();
            stack.remove().expect("nobody objects");
            pending.wait();
        });
    let rule = codes::strict::MDL_IN_USE;
    assert_stop(
        &stopped(run),
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
        rule,
        &["partial MDLs"],
    );
}

/// 24: a timer of the device's own that nobody stops.
struct LeavesATimer;

impl Splitter for LeavesATimer {
    unsafe fn allocate(extension: *mut Extension) -> bool {
        // SAFETY: the trait's contract.
        unsafe {
            let ready = device::allocate::<Self>(extension);
            let piece = Self::piece((*extension).transfers, 0);
            let due = ntsim::abi::LARGE_INTEGER {
                QuadPart: -10_000_000,
            };
            ntddk::KeSetTimer(&raw mut (*piece).timer, due, core::ptr::null_mut());
            ready
        }
    }
}

#[test]
fn p24_a_timer_that_nobody_cancels() {
    let stop = stopped(LeavesATimer::world().run(|_| ()));
    assert_stop(&stop, codes::TIMER_OR_DPC_INVALID, 0, &["KeCancelTimer"]);
}
