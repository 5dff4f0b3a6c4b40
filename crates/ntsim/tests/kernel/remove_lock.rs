//! Remove locks.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ntsim::abi::*;
use ntsim::{Machine, ke, ntddk};

use crate::kit::*;

const SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;
const TAG: u32 = 7;

fn new_lock() -> PIO_REMOVE_LOCK {
    // SAFETY: fresh pool for a lock.
    unsafe {
        let bytes = size_of::<IO_REMOVE_LOCK>() as u64;
        let lock: PIO_REMOVE_LOCK = ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes, TAG).cast();
        ntddk::IoInitializeRemoveLockEx(lock, TAG, 0, 0, SIZE);
        lock
    }
}

fn tag(number: usize) -> PVOID {
    std::ptr::without_provenance_mut(number)
}

#[test]
fn removal_waits_for_holders_and_refuses_newcomers() {
    let result = on_both(|| {
        let lock = new_lock();
        let released = Arc::new(AtomicBool::new(false));
        // SAFETY: our lock.
        unsafe {
            ntddk::IoAcquireRemoveLockEx(lock, tag(1), null_mut(), 0, SIZE);
            ntddk::IoAcquireRemoveLockEx(lock, tag(2), null_mut(), 0, SIZE);
            let (carry, flag) = (Carry(lock), released.clone());
            let holder = Machine::current().spawn_thread("holder", move || {
                ke::delay(10_000);
                flag.store(true, Ordering::SeqCst);
                ntddk::IoReleaseRemoveLockEx(carry.get(), tag(1), SIZE);
            });
            ntddk::IoReleaseRemoveLockAndWaitEx(lock, tag(2), SIZE);
            let waited = released.load(Ordering::SeqCst);
            let late = ntddk::IoAcquireRemoveLockEx(lock, tag(3), null_mut(), 0, SIZE);
            holder.join();
            ntddk::ExFreePool(lock.cast());
            (waited, late)
        }
    });
    assert_eq!(result, Ok((true, STATUS_DELETE_PENDING)));
}

#[cfg(not(miri))]
mod wrong {
    use super::*;
    use ntsim::machine::codes;

    #[test]
    fn released_with_another_tag() {
        let report = stops(|| {
            let lock = new_lock();
            // SAFETY: our lock; the rule under test.
            unsafe {
                ntddk::IoAcquireRemoveLockEx(lock, tag(1), null_mut(), 0, SIZE);
                ntddk::IoReleaseRemoveLockEx(lock, tag(2), SIZE);
            }
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0xD5),
            "{report}"
        );
    }

    #[test]
    fn initialised_again() {
        let report = stops(|| {
            // SAFETY: our lock; the rule under test.
            unsafe { ntddk::IoInitializeRemoveLockEx(new_lock(), TAG, 0, 0, SIZE) };
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0xD7),
            "{report}"
        );
    }

    #[test]
    fn freed_while_held() {
        let report = stops(|| {
            let lock = new_lock();
            // SAFETY: our lock; the rule under test.
            unsafe {
                ntddk::IoAcquireRemoveLockEx(lock, tag(1), null_mut(), 0, SIZE);
                ntddk::ExFreePool(lock.cast());
            }
        });
        let expected = (0xC4, codes::strict::REMOVE_LOCK);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
    }
}
