//! User memory: what addresses below `MmUserProbeAddress` mean, in each process something else.
//!
//! A user-mode address is a label as any other, and each process hands out the same ones: followed
//! in the wrong process it leads to somebody else's page, or to none. Pages have a protection each;
//! what no page is mapped at is a hole. A frame stays in memory as long as it is locked, whatever
//! becomes of the addresses that led to it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::PAGE;
use crate::abi::{PFN_NUMBER, PVOID};
use crate::machine::table::AddressMap;
use crate::machine::{self, DriverId, Machine};
use crate::ps::ProcessId;

/// `MmUserProbeAddress` of x64: the first address that no user buffer may reach.
pub const USER_PROBE_ADDRESS: usize = 0x0000_7FFF_FFFF_0000;

/// Where processes get memory: addresses that no host has for its own memory, which stands for the
/// system's here. Programs, heaps and stacks lie above 0x5500_0000_0000 (Linux, macOS) or below
/// 0x0400_0000_0000 (Windows' heaps, macOS' programs, Linux with fewer than 48 bits of address).
const FIRST: usize = 0x0000_2000_0000_0000;
/// Where that ends.
const END: usize = 0x0000_2100_0000_0000;
/// Unmapped pages behind each range.
const GAP: usize = 16;

/// What a page of user memory may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Everything.
    ReadWrite,
    /// Reading: a request that writes to memory, a disk's READ, may not have it.
    ReadOnly,
    /// Nothing, although there is a page.
    NoAccess,
}

/// What keeps frames in memory.
pub type Keeper = Arc<dyn Any + Send + Sync>;

/// A page of a process.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) pfn: PFN_NUMBER,
    pub(super) protection: Protection,
    _keeper: Keeper,
}

/// The address space of one process.
struct Space {
    pages: BTreeMap<usize, Page>,
    next: usize,
    /// Pages that may be locked in it at a time; no limit if there is none.
    limit: Option<usize>,
    /// Pages that are locked in it, each as often as it is.
    locked: usize,
}

/// Pages that one MDL has locked.
#[derive(Clone)]
pub(super) struct Locked {
    pub(super) process: ProcessId,
    pub(super) mdl: usize,
    pub(super) pages: Vec<Page>,
    pub(super) driver: DriverId,
    pub(super) call: &'static str,
}

/// How many pages may be locked at a time, by all processes together and by each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockLimits {
    /// Frames of the machine that may be locked; beyond that `MmProbeAndLockPages` raises
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub system: Option<usize>,
    /// Pages of each process that may be locked, a page counted as often as it is locked; beyond
    /// that `MmProbeAndLockPages` raises `STATUS_WORKING_SET_QUOTA`.
    pub process: Option<usize>,
}

/// What was locked on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockCounts {
    /// Frames of user memory that are locked now.
    pub pages: usize,
    /// The most that ever were at a time.
    pub peak: usize,
    /// Ranges of user memory that were ever locked.
    pub ranges: u64,
    /// Calls of `MmProbeAndLockPages` that raised an exception.
    pub raised: u64,
    /// Ranges of user memory that drivers under test had locked as kernel code, without a probe:
    /// right only for requests whose `RequestorMode` is `KernelMode`.
    pub kernel_mode: u64,
    /// Ranges of the system's own memory that drivers under test had locked with
    /// `MmProbeAndLockPages`: a user's request has no business there.
    pub kernel_ranges: u64,
}

/// The user memory of a machine and what is locked of it.
#[derive(Default)]
pub(crate) struct UserMemory {
    spaces: BTreeMap<ProcessId, Space>,
    /// By the MDL's address.
    locks: AddressMap<Locked>,
    /// Of MDLs that have locked other pages since, or whose memory is another MDL's now: nobody can
    /// unlock these any more.
    orphans: Vec<Locked>,
    /// How often each frame is locked.
    frames: HashMap<PFN_NUMBER, u32>,
    pub(super) limits: LockLimits,
    pub(super) counts: LockCounts,
}

/// Whether user memory can be at an address.
pub(super) fn is_user(address: usize) -> bool {
    (FIRST..END).contains(&address)
}

impl UserMemory {
    pub(crate) fn add(&mut self, process: ProcessId) {
        let space = Space {
            pages: BTreeMap::new(),
            next: FIRST,
            limit: None,
            locked: 0,
        };
        self.spaces.insert(process, space);
    }

    pub(crate) fn remove(&mut self, process: ProcessId) {
        self.spaces.remove(&process);
    }

    pub(crate) fn limit_process(&mut self, process: ProcessId, limit: Option<usize>) {
        if let Some(space) = self.spaces.get_mut(&process) {
            space.limit = limit;
        }
    }

    pub(crate) fn locked_in(&self, process: ProcessId) -> usize {
        self.spaces.get(&process).map_or(0, |space| space.locked)
    }

    /// The page at an address; `None` in a hole.
    pub(super) fn page(&self, process: ProcessId, address: usize) -> Option<&Page> {
        self.spaces
            .get(&process)?
            .pages
            .get(&(address & !(PAGE - 1)))
    }

    /// Pages of `process` that may still be locked.
    pub(super) fn quota(&self, process: ProcessId) -> usize {
        let Some(space) = self.spaces.get(&process) else {
            return 0;
        };
        let limit = space.limit.or(self.limits.process);
        limit.map_or(usize::MAX, |limit| limit.saturating_sub(space.locked))
    }

    /// Locks one page once more; `false` if the machine has no room for another one.
    pub(super) fn lock_page(&mut self, process: ProcessId, page: &Page) -> bool {
        let first = !self.frames.contains_key(&page.pfn);
        let full = |limit| self.frames.len() >= limit;
        if first && self.limits.system.is_some_and(full) {
            return false;
        }
        *self.frames.entry(page.pfn).or_default() += 1;
        if let Some(space) = self.spaces.get_mut(&process) {
            space.locked += 1;
        }
        self.counts.pages = self.frames.len();
        self.counts.peak = self.counts.peak.max(self.frames.len());
        true
    }

    pub(super) fn unlock_page(&mut self, process: ProcessId, page: &Page) {
        if let Some(count) = self.frames.get_mut(&page.pfn) {
            *count -= 1;
            if *count == 0 {
                self.frames.remove(&page.pfn);
            }
        }
        if let Some(space) = self.spaces.get_mut(&process) {
            space.locked -= 1;
        }
        self.counts.pages = self.frames.len();
    }

    pub(super) fn remember(&mut self, locked: Locked) {
        self.counts.ranges += 1;
        let before = self.locks.insert(locked.mdl, locked);
        self.orphans.extend(before);
    }

    /// Takes out what an MDL has locked.
    pub(super) fn take(&mut self, mdl: usize) -> Option<Locked> {
        self.locks.remove(&mdl)
    }

    /// What is locked in an address space.
    pub(crate) fn locks_of(&self, process: ProcessId) -> Locks {
        self.select(|locked| locked.process == process)
    }

    /// What a driver has locked.
    pub(crate) fn locks_by(&self, driver: DriverId) -> Locks {
        self.select(|locked| locked.driver == driver)
    }

    fn select(&self, which: impl Fn(&Locked) -> bool) -> Locks {
        let all = self.locks.values().chain(&self.orphans);
        let mut found: Vec<Locked> = all.filter(|locked| which(locked)).cloned().collect();
        found.sort_by_key(|locked| locked.mdl);
        Locks(found)
    }
}

/// MDLs with locked pages, for a report.
pub(crate) struct Locks(Vec<Locked>);

impl Locks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Pages, each as often as it is locked.
    pub(crate) fn pages(&self) -> usize {
        self.0.iter().map(|locked| locked.pages.len()).sum()
    }

    /// The first of the MDLs; 0 if there is none.
    pub(crate) fn first_mdl(&self) -> usize {
        self.0.first().map_or(0, |locked| locked.mdl)
    }

    /// One line for each.
    pub(crate) fn tell(&self, machine: &Machine, story: &mut String) {
        for locked in &self.0 {
            let _infallible = writeln!(
                story,
                "  {} pages, MDL at {:#x}, locked by {} with {}",
                locked.pages.len(),
                locked.mdl,
                machine.driver_name(locked.driver),
                locked.call
            );
        }
    }
}

/// The memory of one process, to be filled and changed.
#[derive(Debug, Clone, Copy)]
pub struct UserSpace(ProcessId);

impl UserSpace {
    pub(crate) fn new(process: ProcessId) -> Self {
        Self(process)
    }

    /// Maps frames at addresses that the process has not used before; gives the first one, a label.
    /// `keeper` owns the frames. Every process begins at the same address.
    ///
    /// # Panics
    /// If the process has ended, or has used up its addresses.
    pub fn map(self, pfns: &[PFN_NUMBER], keeper: &Keeper) -> PVOID {
        let address = self.change(|space| {
            let address = space.next;
            space.next += (pfns.len() + GAP) * PAGE;
            assert!(space.next < END, "the process has no more addresses");
            address
        });
        self.map_at(address, pfns, keeper)
    }

    /// Maps frames as the last pages that a process can have, up to `MmUserProbeAddress`.
    ///
    /// # Panics
    /// If the process has ended, or something is mapped there.
    pub fn map_last(self, pfns: &[PFN_NUMBER], keeper: &Keeper) -> PVOID {
        self.map_at(USER_PROBE_ADDRESS - pfns.len() * PAGE, pfns, keeper)
    }

    fn map_at(self, address: usize, pfns: &[PFN_NUMBER], keeper: &Keeper) -> PVOID {
        self.change(|space| {
            for (index, &pfn) in pfns.iter().enumerate() {
                let page = Page {
                    pfn,
                    protection: Protection::ReadWrite,
                    _keeper: Arc::clone(keeper),
                };
                let before = space.pages.insert(address + index * PAGE, page);
                assert!(before.is_none(), "something is mapped at {address:#x}");
            }
        });
        std::ptr::without_provenance_mut(address)
    }

    /// Sets the protection of the pages that a range touches. Pages that are locked stay so, and
    /// whoever locked them keeps what it was granted.
    pub fn protect(self, range: Range<usize>, protection: Protection) {
        self.change(|space| {
            let pages = range.start & !(PAGE - 1)..range.end;
            for (_, page) in space.pages.range_mut(pages) {
                page.protection = protection;
            }
        });
    }

    /// Unmaps the pages that a range touches: from now on it is a hole. Windows allows it for
    /// locked pages too; their frames stay until they are unlocked, and nothing leads to them.
    pub fn unmap(self, range: Range<usize>) {
        self.change(|space| {
            let pages = range.start & !(PAGE - 1)..range.end;
            space.pages.retain(|address, _| !pages.contains(address));
        });
    }

    fn change<T>(self, change: impl FnOnce(&mut Space) -> T) -> T {
        machine::with(|machine| {
            let mut user = machine.memory.user();
            let space = user.spaces.get_mut(&self.0);
            change(space.expect("the process has not ended"))
        })
    }
}

impl Machine {
    /// Sets how many pages of user memory may be locked at a time.
    pub fn limit_locked_pages(&self, limits: LockLimits) {
        self.memory.user().limits = limits;
    }

    /// What is and was locked with `MmProbeAndLockPages`.
    #[must_use]
    pub fn lock_counts(&self) -> LockCounts {
        self.memory.user().counts
    }
}
