//! Page frames: numbers that stand for pages of host memory.

use std::alloc::{Layout, dealloc};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Blocks, PAGE};
use crate::abi::PFN_NUMBER;
use crate::machine::{self, Machine};

/// Frame numbers below this are scattered; from here on they are handed out in order.
const SCATTERED: u64 = 1 << 26;
/// Odd, so that multiplying by it permutes the numbers below [`SCATTERED`]; its size keeps frames
/// allocated in a row far apart.
const STRIDE: u64 = 0x01A6_2B5D;
/// The inverse of [`STRIDE`] modulo [`SCATTERED`].
const STRIDE_INVERSE: u64 = inverse(STRIDE);

const fn inverse(odd: u64) -> u64 {
    // Newton's iteration doubles the number of correct low bits each time.
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x % SCATTERED
}

/// How the frames of a buffer lie in physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// No two pages adjacent.
    Scattered,
    /// One run, next to no other.
    Contiguous,
    /// Scattered frames that share `host_pages` pages of host memory in turn: large buffers whose
    /// contents do not matter.
    Aliased {
        /// Host pages behind all the frames; at least one.
        host_pages: usize,
    },
}

/// The physical memory: which frame is which page of the host.
pub struct FrameTable {
    salt: u64,
    scattered: Vec<*mut u8>,
    free: Vec<u32>,
    contiguous: Vec<*mut u8>,
    /// Runs that were given back, by their length.
    free_runs: BTreeMap<usize, Vec<usize>>,
}

// SAFETY: a table of addresses; following them is unsafe and the follower's responsibility.
unsafe impl Send for FrameTable {}
// SAFETY: as above.
unsafe impl Sync for FrameTable {}

impl FrameTable {
    pub(super) fn new(seed: u64) -> Self {
        let salt = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % SCATTERED;
        Self {
            salt,
            scattered: Vec::new(),
            free: Vec::new(),
            contiguous: Vec::new(),
            free_runs: BTreeMap::new(),
        }
    }

    /// The page that `pfn` stands for; `None` if it is no RAM. Only [`PAGE`] bytes from there, and
    /// of a frame that describes pool only the block's own bytes, may be accessed.
    #[must_use]
    pub fn page(&self, pfn: PFN_NUMBER) -> Option<*mut u8> {
        let page = if pfn < SCATTERED {
            self.scattered.get(self.index(pfn))
        } else {
            self.contiguous.get((pfn - SCATTERED) as usize)
        };
        page.copied().filter(|page| !page.is_null())
    }

    fn number(&self, index: usize) -> PFN_NUMBER {
        ((index as u64).wrapping_mul(STRIDE)).wrapping_add(self.salt) % SCATTERED
    }

    fn index(&self, pfn: PFN_NUMBER) -> usize {
        (pfn.wrapping_sub(self.salt).wrapping_mul(STRIDE_INVERSE) % SCATTERED) as usize
    }

    pub(super) fn add(&mut self, page: *mut u8) -> PFN_NUMBER {
        let index = if let Some(index) = self.free.pop() {
            self.scattered[index as usize] = page;
            index as usize
        } else {
            self.scattered.push(page);
            self.scattered.len() - 1
        };
        self.number(index)
    }

    /// Adjacent frames for `pages` pages, adjacent to no other run.
    fn add_run(&mut self, pages: usize, page: impl Fn(usize) -> *mut u8) -> Vec<PFN_NUMBER> {
        let free = self.free_runs.get_mut(&pages).and_then(Vec::pop);
        let first = free.unwrap_or_else(|| {
            let first = self.contiguous.len();
            // One more, which stays empty and keeps the next run away.
            self.contiguous
                .resize(first + pages + 1, std::ptr::null_mut());
            first
        });
        for index in 0..pages {
            self.contiguous[first + index] = page(index);
        }
        (first..first + pages)
            .map(|index| SCATTERED + index as u64)
            .collect()
    }

    /// Gives back what [`FrameTable::add_run`] gave.
    fn remove_run(&mut self, pfns: &[PFN_NUMBER]) {
        let first = (pfns[0] - SCATTERED) as usize;
        self.contiguous[first..first + pfns.len()].fill(std::ptr::null_mut());
        self.free_runs.entry(pfns.len()).or_default().push(first);
    }

    /// Gives back what [`FrameTable::add`] gave.
    pub(super) fn remove(&mut self, pfn: PFN_NUMBER) {
        let index = self.index(pfn);
        self.scattered[index] = std::ptr::null_mut();
        self.free.push(index as u32);
    }
}

/// Calls `f` with the physical memory of the calling thread's machine. Do not call other functions
/// of the kernel from `f`.
pub fn with_frames<R>(f: impl FnOnce(&FrameTable) -> R) -> R {
    machine::with(|machine| machine.memory.with_frames(f))
}

/// Page frames with host memory behind them; given back when dropped.
pub struct FrameSet {
    machine: Arc<Machine>,
    pfns: Vec<PFN_NUMBER>,
    host: *mut u8,
    layout: Layout,
    aliased: bool,
}

// SAFETY: the memory is reached through raw pointers whose users synchronise as devices do.
unsafe impl Send for FrameSet {}
// SAFETY: as above.
unsafe impl Sync for FrameSet {}

impl FrameSet {
    /// The frame numbers, in the buffer's order.
    #[must_use]
    pub fn pfns(&self) -> &[PFN_NUMBER] {
        &self.pfns
    }

    /// The same memory as the host sees it, one piece; null when several frames share a page.
    #[must_use]
    pub fn host(&self) -> *mut u8 {
        if self.aliased {
            std::ptr::null_mut()
        } else {
            self.host
        }
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pfns.len() * PAGE
    }

    /// Whether there is no page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pfns.is_empty()
    }
}

impl Drop for FrameSet {
    fn drop(&mut self) {
        self.machine.memory.with_frames_mut(|table| {
            if self.pfns[0] >= SCATTERED {
                return table.remove_run(&self.pfns);
            }
            for &pfn in &self.pfns {
                table.remove(pfn);
            }
        });
        // SAFETY: allocated with this layout in allocate_frames; no frame leads to it any longer.
        unsafe { dealloc(self.host, self.layout) };
    }
}

/// Allocates `pages` zeroed page frames.
///
/// # Panics
/// If `pages` is 0, or the size exceeds the address space.
pub fn allocate_frames(pages: usize, placement: Placement) -> FrameSet {
    let host_pages = match placement {
        Placement::Aliased { host_pages } => host_pages.clamp(1, pages),
        Placement::Scattered | Placement::Contiguous => pages,
    };
    let layout = Layout::from_size_align(host_pages * PAGE, PAGE).expect("a size that exists");
    let host = Blocks::allocate(layout);
    let machine = Machine::current();
    // SAFETY: every index is below `host_pages`.
    let page = |index: usize| unsafe { host.add(index % host_pages * PAGE) };
    let pfns = machine.memory.with_frames_mut(|table| match placement {
        Placement::Contiguous => table.add_run(pages, page),
        _ => (0..pages).map(|index| table.add(page(index))).collect(),
    });
    FrameSet {
        machine,
        pfns,
        host,
        layout,
        aliased: host_pages < pages,
    }
}
