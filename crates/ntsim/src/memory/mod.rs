//! Memory: page frames, pool, memory descriptor lists, user memory.
//!
//! Virtual addresses of transfer buffers and page frame numbers are *labels*: pointers without
//! provenance and scattered numbers that nothing can dereference. A table maps a frame to the
//! host's page. So `MmGetMdlVirtualAddress` gives an index and not an address, as the documents
//! say, and a simulated device can reach data only through the frame numbers of an MDL.

mod block;
mod frames;
mod locking;
mod lookaside;
mod map;
mod mdl;
mod pool;
mod raise;
mod user;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) use block::Blocks;
pub use frames::{FrameSet, FrameTable, Placement, allocate_frames, with_frames};
pub use mdl::{build_mdl, free_mdl, mdl_pfns};
pub use pool::{pool_allocate, pool_allocate_cache_aligned, pool_blocks, pool_free};
pub use raise::{xfersplit_guarded_probe_and_lock, xfersplit_user_probe_address};
pub use user::{Keeper, LockCounts, LockLimits, Protection, USER_PROBE_ADDRESS, UserSpace};

pub(crate) use locking::{lock_buffer, release_buffer};
pub(crate) use lookaside::Lists;
pub(crate) use mdl::{MdlTable, span_pages};
pub(crate) use pool::PoolTable;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
pub(crate) use raise::{Raised, try_probe_and_lock};
pub(crate) use user::UserMemory;

use crate::abi::{PAGE_SIZE, PVOID};
use crate::machine::table::AddressMap;
use crate::machine::{self};

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] = &[
    locking::TABLE,
    lookaside::TABLE,
    map::TABLE,
    mdl::exports::TABLE,
    pool::exports::TABLE,
];

/// The exports of this module.
pub mod exports {
    pub use super::locking::*;
    pub use super::lookaside::*;
    pub use super::map::*;
    pub use super::mdl::exports::*;
    pub use super::pool::exports::*;
}

/// Bytes in a page, as the host counts.
pub const PAGE: usize = PAGE_SIZE as usize;

/// Where labels for system addresses begin; canonical kernel addresses that no host uses.
const FIRST_LABEL: usize = 0xFFFF_A000_0000_0000;

/// The memory of one machine.
pub(crate) struct Memory {
    frames: RwLock<FrameTable>,
    next_label: AtomicUsize,
    pub(crate) pool: Mutex<PoolTable>,
    pub(crate) mdls: Mutex<MdlTable>,
    pub(crate) lists: Mutex<Lists>,
    user: Mutex<UserMemory>,
    /// Labels that stand for frames: first page's address to the frames from there on.
    labels: Mutex<AddressMap<Vec<u64>>>,
    /// Mappings of locked pages, by their MDL: first page's address and frames.
    mappings: Mutex<AddressMap<(usize, Vec<u64>)>>,
    pub(crate) blocks: Blocks,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            frames: RwLock::new(FrameTable::new(seed)),
            next_label: AtomicUsize::new(FIRST_LABEL),
            pool: Mutex::default(),
            mdls: Mutex::default(),
            lists: Mutex::default(),
            user: Mutex::default(),
            labels: Mutex::default(),
            mappings: Mutex::default(),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn with_frames<R>(&self, f: impl FnOnce(&FrameTable) -> R) -> R {
        f(&self.frames.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn with_frames_mut<R>(&self, f: impl FnOnce(&mut FrameTable) -> R) -> R {
        f(&mut self.frames.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn user(&self) -> MutexGuard<'_, UserMemory> {
        machine::lock(&self.user)
    }

    fn reserve(&self, pages: usize) -> usize {
        // Unmapped pages between ranges, so that running past one is not running into another.
        self.next_label
            .fetch_add((pages + 16) * PAGE, Ordering::Relaxed)
    }
}

/// Reserves `pages` pages of virtual address space that stands for nothing yet: a label.
pub fn reserve_va(pages: usize) -> PVOID {
    machine::with(|machine| std::ptr::without_provenance_mut(machine.memory.reserve(pages)))
}

/// Makes the label `va` (page aligned) stand for `pfns`, so that `MmBuildMdlForNonPagedPool` and
/// `MmProbeAndLockPages` accept it.
pub fn map_va(va: PVOID, pfns: &[u64]) {
    machine::with(|machine| {
        machine::lock(&machine.memory.labels).insert(va.addr(), pfns.to_vec());
    });
}
