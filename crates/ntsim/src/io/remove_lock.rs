//! Remove locks (the free build's form), with the bookkeeping that the checked build has.

use std::collections::HashMap;

use crate::abi::{NTSTATUS, PIO_REMOVE_LOCK, PVOID, STATUS_DELETE_PENDING, STATUS_SUCCESS};
use crate::machine::context::Context;
use crate::machine::{Machine, Violation, codes, lock};

/// Who holds a remove lock: tags and how often.
#[derive(Default)]
pub(crate) struct Held {
    tags: HashMap<usize, u32>,
    removed: bool,
}

impl Held {
    fn count(&self) -> u32 {
        self.tags.values().sum()
    }

    /// False if the tag does not hold the lock.
    fn release(&mut self, tag: usize) -> bool {
        let Some(count) = self.tags.get_mut(&tag) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.tags.remove(&tag);
        }
        true
    }
}

/// Memory is being freed: no remove lock in it may be held.
pub(crate) fn forget_range(machine: &Machine, base: usize, length: usize) {
    let mut held = None;
    let mut io = lock(&machine.io);
    io.remove_locks.retain(|&address, state| {
        let inside = (base..base + length).contains(&address);
        if inside && state.count() > 0 {
            held = Some((address, state.count()));
        }
        !inside
    });
    drop(io);
    if let Some((address, count)) = held {
        let story =
            format!("Memory was freed and contains a remove lock that is held {count} time(s).");
        Violation::verifier(codes::strict::REMOVE_LOCK, address, base, story).raise();
    }
}

/// # Safety
/// `remove_lock` is initialised.
unsafe fn acquire(context: &Context, remove_lock: PIO_REMOVE_LOCK, tag: PVOID) -> NTSTATUS {
    let address = remove_lock.addr();
    let verdict = {
        let mut io = lock(&context.machine.io);
        io.remove_locks.get_mut(&address).map(|state| {
            if state.removed {
                return STATUS_DELETE_PENDING;
            }
            *state.tags.entry(tag.addr()).or_default() += 1;
            // SAFETY: the caller's contract; the table's lock guards the count.
            unsafe { (*remove_lock).Common.IoCount += 1 };
            STATUS_SUCCESS
        })
    };
    verdict.unwrap_or_else(|| unknown(address))
}

/// # Safety
/// `remove_lock` is initialised. `last` also gives back the count that initialising took.
unsafe fn release(
    context: &Context,
    remove_lock: PIO_REMOVE_LOCK,
    tag: PVOID,
    rule: u64,
    last: bool,
) -> bool {
    let address = remove_lock.addr();
    let result = {
        let mut io = lock(&context.machine.io);
        io.remove_locks.get_mut(&address).map(|state| {
            let known = state.release(tag.addr());
            state.removed |= last;
            // SAFETY: the caller's contract; the table's lock guards the fields.
            let left = unsafe {
                let common = &raw mut (*remove_lock).Common;
                if last {
                    (*common).Removed = 1;
                }
                (*common).IoCount -= if last { 2 } else { 1 };
                (*common).IoCount
            };
            (known, left)
        })
    };
    let Some((known, left)) = result else {
        unknown(address)
    };
    if !known {
        let story = format!(
            "A remove lock was released with tag {:#x}, which does not hold it.",
            tag.addr()
        );
        Violation::verifier(rule, address, tag.addr(), story).raise();
    }
    if left == 0 {
        // SAFETY: the caller's contract: whoever waits for the event owns the lock's memory.
        unsafe { crate::ke::set_event(&raw mut (*remove_lock).Common.RemoveEvent) };
    }
    left == 0
}

fn unknown(address: usize) -> ! {
    let story = "A remove lock was used that was not initialised, or whose memory was freed.";
    Violation::verifier(codes::strict::REMOVE_LOCK, address, 0, story).raise()
}

pub(super) mod exports {
    //! `IoInitializeRemoveLockEx` and its relatives.

    use super::{Held, Violation, acquire, lock, release};
    use crate::abi::{_EVENT_TYPE, NTSTATUS, PCSTR, PIO_REMOVE_LOCK, PVOID, ULONG};
    use crate::export::exports;
    use crate::ke::{initialise_event, wait};
    use crate::machine::context::DISPATCH;

    exports! { run;
        /// Initialises a remove lock.
        fn IoInitializeRemoveLockEx(Lock: PIO_REMOVE_LOCK, AllocateTag: ULONG, MaxLockedMinutes: ULONG, HighWatermark: ULONG, RemlockSize: ULONG) {
            run.irql_at_most(0);
            let machine = &run.context().machine;
            let again = lock(&machine.io).remove_locks.insert(Lock.addr(), Held::default()).is_some();
            if again {
                let story = "A remove lock was initialised again.";
                Violation::verifier(0xD7, Lock.addr(), 0, story).raise();
            }
            // SAFETY: the caller's memory.
            unsafe {
                let common = &raw mut (*Lock).Common;
                (*common).Removed = 0;
                (*common).IoCount = 1;
                initialise_event(&raw mut (*common).RemoveEvent, _EVENT_TYPE::NotificationEvent, 0);
            }
        }

        /// Acquires; `STATUS_DELETE_PENDING` once removal has begun.
        fn IoAcquireRemoveLockEx(RemoveLock: PIO_REMOVE_LOCK, Tag: PVOID, File: PCSTR, Line: ULONG, RemlockSize: ULONG) -> NTSTATUS {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { acquire(run.context(), RemoveLock, Tag) }
        }

        /// Releases what was acquired with the same tag.
        fn IoReleaseRemoveLockEx(RemoveLock: PIO_REMOVE_LOCK, Tag: PVOID, RemlockSize: ULONG) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            let _last = unsafe { release(run.context(), RemoveLock, Tag, 0xD5, false) };
        }

        /// Refuses all that come, releases, and waits until everybody has released.
        fn IoReleaseRemoveLockAndWaitEx(RemoveLock: PIO_REMOVE_LOCK, Tag: PVOID, RemlockSize: ULONG) {
            run.irql_at_most(0);
            // SAFETY: the caller's contract.
            unsafe {
                if !release(run.context(), RemoveLock, Tag, 0xD6, true) {
                    let _status = wait(&raw mut (*RemoveLock).Common.RemoveEvent, None);
                }
            }
        }
    }
}
