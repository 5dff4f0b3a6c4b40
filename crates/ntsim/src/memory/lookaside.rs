//! Lookaside lists and interlocked singly linked lists.
//!
//! The heads hold integers where the kernel keeps packed pointers; pointers cannot live in integers
//! here, so the lists themselves are beside the machine's memory and the heads only keep the counts.

use crate::abi::{
    _POOL_TYPE, NTSTATUS, PALLOCATE_FUNCTION_EX, PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX, POOL_TYPE,
    PSLIST_ENTRY, PSLIST_HEADER, PVOID, SIZE_T, STATUS_SUCCESS, ULONG, USHORT,
};
use crate::call;
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::table::AddressMap;
use crate::machine::{AllocationKind, Owner, Violation, lock};

/// Free entries that a lookaside list keeps, as the kernel's do at first.
const DEPTH: usize = 4;

/// The lists of one machine, by the address of their head.
#[derive(Default)]
pub(crate) struct Lists {
    interlocked: AddressMap<Vec<PSLIST_ENTRY>>,
    lookaside: AddressMap<Vec<PVOID>>,
}

// SAFETY: entries belong to whoever pops them; only the table's holder moves them.
unsafe impl Send for Lists {}

impl Lists {
    /// Whether a lookaside list lives in `base..base + length`.
    pub(crate) fn lookaside_in(&self, base: usize, length: usize) -> Option<usize> {
        self.lookaside
            .keys()
            .copied()
            .find(|head| (base..base + length).contains(head))
    }
}

exports! { run;
    /// Takes the first entry of a list; null if there is none.
    fn ExpInterlockedPopEntrySList(ListHead: PSLIST_HEADER) -> PSLIST_ENTRY {
        let machine = &run.context().machine;
        let mut lists = lock(&machine.memory.lists);
        let list = lists.interlocked.entry(ListHead.addr()).or_default();
        let entry = list.pop().unwrap_or_default_null();
        // SAFETY: the caller's head, guarded by the table's lock.
        unsafe { (*ListHead).__bindgen_anon_1.Alignment = list.len() as u64 };
        entry
    }

    /// Puts an entry first; returns the one that was first.
    fn ExpInterlockedPushEntrySList(ListHead: PSLIST_HEADER, ListEntry: PSLIST_ENTRY) -> PSLIST_ENTRY {
        let machine = &run.context().machine;
        let mut lists = lock(&machine.memory.lists);
        let list = lists.interlocked.entry(ListHead.addr()).or_default();
        let before = list.last().copied().unwrap_or_default_null();
        // SAFETY: the caller gives the entry to the list; the head is guarded by the table's lock.
        unsafe {
            (*ListEntry).Next = before;
            list.push(ListEntry);
            (*ListHead).__bindgen_anon_1.Alignment = list.len() as u64;
        }
        before
    }

    /// Initialises a lookaside list.
    fn ExInitializeLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX, Allocate: PALLOCATE_FUNCTION_EX, Free: PFREE_FUNCTION_EX, PoolType: POOL_TYPE, Flags: ULONG, Size: SIZE_T, Tag: ULONG, Depth: USHORT) -> NTSTATUS {
        run.irql_at_most(DISPATCH);
        let machine = &run.context().machine;
        let again = lock(&machine.memory.lists).lookaside.insert(Lookaside.addr(), Vec::new());
        if again.is_some() {
            let story = "A lookaside list was initialised twice.";
            Violation::verifier(0xCA, Lookaside.addr(), 0, story).raise();
        }
        // SAFETY: the caller's memory for the list.
        unsafe {
            let list = &raw mut (*Lookaside).L;
            (*list).AllocateEx = Allocate;
            (*list).FreeEx = Free;
            (*list).Type = PoolType;
            (*list).Size = Size as ULONG;
            (*list).Tag = Tag;
            (*list).Depth = DEPTH as USHORT;
        }
        STATUS_SUCCESS
    }

    /// An entry from the list, or new from pool; null when there is none.
    fn ExAllocateFromLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) -> PVOID {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        check_initialised(context, Lookaside);
        let kept = lock(&context.machine.memory.lists).lookaside.get_mut(&Lookaside.addr()).and_then(Vec::pop);
        // SAFETY: an initialised list.
        unsafe {
            (*Lookaside).L.TotalAllocates += 1;
            kept.unwrap_or_else(|| allocate_entry(context, Lookaside))
        }
    }

    /// Gives an entry back.
    fn ExFreeToLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX, Entry: PVOID) {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        check_initialised(context, Lookaside);
        let full = {
            let mut lists = lock(&context.machine.memory.lists);
            let list = lists.lookaside.entry(Lookaside.addr()).or_default();
            let full = list.len() >= DEPTH;
            if !full {
                list.push(Entry);
            }
            full
        };
        // SAFETY: an initialised list, and an entry of it.
        unsafe {
            (*Lookaside).L.TotalFrees += 1;
            if full {
                free_entry(context, Lookaside, Entry);
            }
        }
    }

    /// Frees what the list keeps and ends it.
    fn ExDeleteLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let removed = lock(&context.machine.memory.lists).lookaside.remove(&Lookaside.addr());
        let Some(kept) = removed else {
            let story = "A lookaside list was deleted that is not initialised.";
            Violation::verifier(0xCB, Lookaside.addr(), 0, story).raise();
        };
        for entry in kept {
            // SAFETY: the list's own entries.
            unsafe { free_entry(context, Lookaside, entry) };
        }
    }
}

trait OrNull<T> {
    fn unwrap_or_default_null(self) -> *mut T;
}

impl<T> OrNull<T> for Option<*mut T> {
    fn unwrap_or_default_null(self) -> *mut T {
        self.unwrap_or(std::ptr::null_mut())
    }
}

fn check_initialised(context: &Context, list: PLOOKASIDE_LIST_EX) {
    if !lock(&context.machine.memory.lists)
        .lookaside
        .contains_key(&list.addr())
    {
        let story = "A lookaside list was used that is not initialised.";
        Violation::verifier(0xCB, list.addr(), 0, story).raise();
    }
}

/// # Safety
/// `list` is initialised.
unsafe fn allocate_entry(context: &Context, list: PLOOKASIDE_LIST_EX) -> PVOID {
    // SAFETY: the caller's contract.
    let (routine, kind, size, tag) = unsafe {
        let list = &raw const (*list).L;
        ((*list).AllocateEx, (*list).Type, (*list).Size, (*list).Tag)
    };
    if let Some(routine) = routine {
        // SAFETY: the driver's own routine, with the arguments it was registered for.
        return unsafe { call::enter(routine, (kind, SIZE_T::from(size), tag, list)) };
    }
    let owner = context.frame.get().owner;
    let bytes = size as usize;
    if owner == Owner::Driver && context.machine.shall_fail(AllocationKind::Pool, bytes, tag) {
        return std::ptr::null_mut();
    }
    super::pool::allocate(
        context,
        owner,
        bytes,
        tag,
        kind & 1 == _POOL_TYPE::PagedPool,
        super::pool::ALIGNMENT,
    )
}

/// # Safety
/// `entry` came from the list.
unsafe fn free_entry(context: &Context, list: PLOOKASIDE_LIST_EX, entry: PVOID) {
    // SAFETY: the caller's contract.
    unsafe {
        match (*list).L.FreeEx {
            Some(routine) => call::enter(routine, (entry, list)),
            None => super::pool::free(context, entry, 0),
        }
    }
}
