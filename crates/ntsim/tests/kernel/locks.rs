//! Spin locks and IRQL.

use std::cell::UnsafeCell;
use std::sync::Arc;

use ntsim::abi::*;
use ntsim::{Machine, ke, ntddk};

use crate::kit::*;

struct Guarded {
    spin_lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<u64>,
}

// SAFETY: the value is touched under the lock alone.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            spin_lock: 0.into(),
            value: 0.into(),
        })
    }
}

#[test]
fn a_spin_lock_excludes() {
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let result = on_both(move || {
        let shared = Guarded::new();
        let machine = Machine::current();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = shared.clone();
                machine.spawn_thread("adder", move || {
                    for _ in 0..rounds {
                        // SAFETY: an initialised lock; the value is guarded by it.
                        unsafe {
                            let irql = ntddk::KeAcquireSpinLockRaiseToDpc(shared.spin_lock.get());
                            let value = *shared.value.get();
                            ntddk::KeGetCurrentIrql();
                            *shared.value.get() = value + 1;
                            ntddk::KeReleaseSpinLock(shared.spin_lock.get(), irql);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join();
        }
        // SAFETY: the threads have ended.
        unsafe { *shared.value.get() }
    });
    assert_eq!(result, Ok(3 * rounds));
}

#[test]
fn locks_set_and_restore_the_irql() {
    let result = on_both(|| {
        let shared = Guarded::new();
        let at = || ke::irql();
        // SAFETY: our lock.
        unsafe {
            let mut handle = KLOCK_QUEUE_HANDLE::default();
            let before = at();
            ntddk::KeAcquireInStackQueuedSpinLock(shared.spin_lock.get(), &raw mut handle);
            let held = at();
            ntddk::KeReleaseInStackQueuedSpinLock(&raw mut handle);
            let irql = ntddk::KfRaiseIrql(2);
            ntddk::KeAcquireSpinLockAtDpcLevel(shared.spin_lock.get());
            ntddk::KeReleaseSpinLockFromDpcLevel(shared.spin_lock.get());
            let still = at();
            ntddk::KeLowerIrql(irql);
            (before, held, still, at())
        }
    });
    assert_eq!(result, Ok((0, 2, 2, 0)));
}

#[cfg(not(miri))]
mod wrong {
    use ntsim::BugCheck;
    use ntsim::machine::codes;

    use super::*;

    fn with_lock(f: impl Fn(PKSPIN_LOCK) + Send + Sync) -> BugCheck {
        stops(move || f(Guarded::new().spin_lock.get()))
    }

    #[test]
    fn recursion() {
        let report = with_lock(|spin_lock| {
            // SAFETY: our lock; the rule under test.
            unsafe {
                ntddk::KeAcquireSpinLockRaiseToDpc(spin_lock);
                ntddk::KeAcquireSpinLockAtDpcLevel(spin_lock);
            }
        });
        assert_eq!(report.code, codes::SPIN_LOCK_ALREADY_OWNED, "{report}");
    }

    #[test]
    fn release_by_somebody_else() {
        let report = with_lock(|spin_lock| {
            // SAFETY: our lock; the rule under test.
            unsafe {
                ntddk::KfRaiseIrql(2);
                ntddk::KeReleaseSpinLock(spin_lock, 0);
            }
        });
        assert_eq!(report.code, codes::SPIN_LOCK_NOT_OWNED, "{report}");
    }

    #[test]
    fn dpc_level_functions_below_dispatch_level() {
        let report = with_lock(|spin_lock| {
            // SAFETY: our lock; the rule under test.
            unsafe { ntddk::KeAcquireSpinLockAtDpcLevel(spin_lock) };
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0x40),
            "{report}"
        );
    }

    #[test]
    fn lowering_to_a_higher_irql() {
        let report = stops(|| {
            // SAFETY: the rule under test.
            unsafe { ntddk::KeLowerIrql(2) };
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0x31),
            "{report}"
        );
    }

    #[test]
    fn held_over_a_call_down() {
        let report = with_lock(|spin_lock| {
            let device = device("lower", complete_inline, std::ptr::null_mut());
            // SAFETY: our lock; the rule under test.
            unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(spin_lock) };
            read(device);
        });
        let expected = (0xC4, codes::strict::SPIN_LOCK_HELD);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
    }

    #[test]
    fn held_over_a_completion() {
        unsafe extern "C" fn holds(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
            let mut spin_lock: KSPIN_LOCK = 0;
            // SAFETY: our lock and IRP; the rule under test.
            unsafe {
                ntddk::KeAcquireSpinLockRaiseToDpc(&raw mut spin_lock);
                finish(irp, STATUS_SUCCESS)
            }
        }
        let report = stops(|| {
            read(device("wrong", holds, std::ptr::null_mut()));
        });
        let expected = (0xC4, codes::strict::SPIN_LOCK_HELD);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
        assert!(report.story.contains("IoCompleteRequest"), "{report}");
    }

    #[test]
    fn two_locks_in_two_orders() {
        // Found only if the threads meet in the middle: some seed of a few makes them.
        let found = (0..40).any(|seed| {
            let machine = deterministic(seed);
            let result = machine.run(|| {
                let (one, two) = (Guarded::new(), Guarded::new());
                let machine = Machine::current();
                for (first, second) in [(one.clone(), two.clone()), (two, one)] {
                    machine.spawn_thread("locker", move || {
                        for _ in 0..20 {
                            // SAFETY: initialised locks.
                            unsafe {
                                let irql =
                                    ntddk::KeAcquireSpinLockRaiseToDpc(first.spin_lock.get());
                                ntddk::KeAcquireSpinLockAtDpcLevel(second.spin_lock.get());
                                ntddk::KeReleaseSpinLockFromDpcLevel(second.spin_lock.get());
                                ntddk::KeReleaseSpinLock(first.spin_lock.get(), irql);
                            }
                        }
                    });
                }
            });
            let Err(report) = result else { return false };
            assert_eq!(
                (report.code, report.parameters[0]),
                (0xC4, 0x1001),
                "{report}"
            );
            assert!(report.story.contains("wants the spin lock"), "{report}");
            true
        });
        assert!(found, "no seed led to the deadlock");
    }
}
