//! Spin locks. A held lock contains its owner's thread number plus one, so that recursion and
//! release by somebody else are seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::irql::lower;
use crate::abi::{KIRQL, PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK};
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{Violation, codes};

/// Real time after which a lock that cannot be had is a watchdog bug check (threads clock).
const PATIENCE: Duration = Duration::from_mins(1);

exports! { run;
    /// A free lock.
    fn KeInitializeSpinLock(SpinLock: PKSPIN_LOCK) {
        // SAFETY: the caller's memory, which nobody uses yet.
        unsafe { SpinLock.write(0) };
    }

    /// Raises to `DISPATCH_LEVEL` and acquires; returns the IRQL before.
    fn KeAcquireSpinLockRaiseToDpc(SpinLock: PKSPIN_LOCK) -> KIRQL {
        let context = run.context();
        let before = raise(context, SpinLock);
        // SAFETY: the caller's contract.
        unsafe { acquire(context, SpinLock) };
        before
    }

    /// Releases and lowers to `NewIrql`.
    fn KeReleaseSpinLock(SpinLock: PKSPIN_LOCK, NewIrql: KIRQL) {
        let context = run.context();
        let irql = context.irql.get();
        // SAFETY: the caller's contract.
        unsafe { release(context, SpinLock) };
        if irql != DISPATCH || NewIrql > DISPATCH {
            let story = format!("KeReleaseSpinLock at IRQL {irql}, back to IRQL {NewIrql}.");
            Violation::verifier(0x32, usize::from(irql), SpinLock.addr(), story).raise();
        }
        lower(context, NewIrql);
    }

    /// Acquires at `DISPATCH_LEVEL`.
    fn KeAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) {
        let context = run.context();
        check_dispatch(context, SpinLock, 0x40);
        // SAFETY: the caller's contract.
        unsafe { acquire(context, SpinLock) };
    }

    /// Releases and stays at `DISPATCH_LEVEL`.
    fn KeReleaseSpinLockFromDpcLevel(SpinLock: PKSPIN_LOCK) {
        let context = run.context();
        check_dispatch(context, SpinLock, 0x41);
        // SAFETY: the caller's contract.
        unsafe { release(context, SpinLock) };
    }

    /// Acquires in order of arrival; the handle remembers lock and IRQL.
    fn KeAcquireInStackQueuedSpinLock(SpinLock: PKSPIN_LOCK, LockHandle: PKLOCK_QUEUE_HANDLE) {
        let context = run.context();
        let before = raise(context, SpinLock);
        // SAFETY: the caller's contract.
        unsafe {
            acquire(context, SpinLock);
            (*LockHandle).LockQueue.Lock = SpinLock;
            (*LockHandle).OldIrql = before;
        }
    }

    /// Releases what the handle remembers.
    fn KeReleaseInStackQueuedSpinLock(LockHandle: PKLOCK_QUEUE_HANDLE) {
        let context = run.context();
        // SAFETY: the caller's handle, filled in by the acquisition.
        let (spin_lock, before) = unsafe { ((*LockHandle).LockQueue.Lock, (*LockHandle).OldIrql) };
        // SAFETY: the caller's contract.
        unsafe { release(context, spin_lock) };
        lower(context, before);
    }
}

fn raise(context: &Context, spin_lock: PKSPIN_LOCK) -> KIRQL {
    let before = context.irql.get();
    if before > DISPATCH {
        let story = format!("A spin lock was acquired at IRQL {before}.");
        Violation::verifier(0x42, usize::from(before), spin_lock.addr(), story).raise();
    }
    context.irql.set(DISPATCH);
    before
}

fn check_dispatch(context: &Context, spin_lock: PKSPIN_LOCK, rule: u64) {
    let irql = context.irql.get();
    if irql < DISPATCH {
        let story = format!("{} at IRQL {irql}.", context.call.get());
        Violation::verifier(rule, usize::from(irql), spin_lock.addr(), story).raise();
    }
}

/// # Safety
/// `spin_lock` is initialised and outlives the acquisition.
pub(crate) unsafe fn acquire(context: &Context, spin_lock: PKSPIN_LOCK) {
    let me = context.thread as u64 + 1;
    // SAFETY: the caller's contract; every access to a lock in use is atomic.
    let word = unsafe { AtomicU64::from_ptr(spin_lock) };
    let mut tries = 0u32;
    let mut since: Option<Instant> = None;
    while let Err(owner) = word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
        if owner == me {
            let story = format!(
                "The spin lock at {:#x} was acquired by its owner.",
                spin_lock.addr()
            );
            let parameters = [spin_lock.addr() as u64, 0, 0, 0];
            Violation::new(codes::SPIN_LOCK_ALREADY_OWNED, parameters, story).raise();
        }
        if context.machine.is_deterministic() {
            context.machine.spin(context, spin_lock.addr());
            continue;
        }
        context.machine.park_if_stopped();
        tries += 1;
        if tries.is_multiple_of(64) {
            std::thread::yield_now();
            if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                let story = format!(
                    "The spin lock at {:#x} is never released.",
                    spin_lock.addr()
                );
                Violation::new(codes::DPC_WATCHDOG_VIOLATION, [0; 4], story).raise();
            }
        } else {
            std::hint::spin_loop();
        }
    }
    context.locks.borrow_mut().push(spin_lock.addr());
}

/// # Safety
/// `spin_lock` is initialised.
pub(crate) unsafe fn release(context: &Context, spin_lock: PKSPIN_LOCK) {
    let me = context.thread as u64 + 1;
    let address = spin_lock.addr();
    // SAFETY: the caller's contract; every access to a lock in use is atomic.
    let word = unsafe { AtomicU64::from_ptr(spin_lock) };
    let owner = word.load(Ordering::Relaxed);
    if owner != me {
        let state = if owner == 0 {
            "free"
        } else {
            "somebody else's"
        };
        let story = format!("The spin lock at {address:#x} was released, and it is {state}.");
        let parameters = [address as u64, 0, 0, 0];
        Violation::new(codes::SPIN_LOCK_NOT_OWNED, parameters, story).raise();
    }
    context.locks.borrow_mut().retain(|&held| held != address);
    word.store(0, Ordering::Release);
    context.machine.spin_released(address);
}
