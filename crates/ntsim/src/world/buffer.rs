//! Buffers as a file system has them: pages wherever the memory manager found some.

use core::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use crate::abi::{PFN_NUMBER, PVOID};
use crate::machine::Owner;
use crate::memory::{self, FrameSet, Keeper, Placement};
use crate::port::{Direction, pattern_byte, placement_of};

const PAGE: usize = 4096;

/// Where a buffer's pages are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    Scattered,
    Contiguous,
    /// Runs of this many neighbours.
    Runs(usize),
    /// So many host pages, over and over.
    Aliased(usize),
}

/// A range of locked pages that requests can carry data in. Clones are the same memory.
///
/// Its virtual address is a label: no driver may follow it, and the host does not either.
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    pfns: Vec<PFN_NUMBER>,
    /// Owns the frames behind the numbers.
    _frames: Arc<Vec<FrameSet>>,
    /// Label of the first page.
    base: PVOID,
    offset: usize,
    length: usize,
    /// Host pages behind an aliased buffer.
    period: Option<usize>,
}

// SAFETY: the label is never followed; the frames are owned, and who may touch their bytes when is
// the protocol of the requests that carry the buffer.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("address", &self.address())
            .field("length", &self.len())
            .finish_non_exhaustive()
    }
}

/// The frames of a set that belong to the buffer.
fn used(layout: Layout, set: &FrameSet) -> &[PFN_NUMBER] {
    let all = set.pfns();
    if matches!(layout, Layout::Runs(_)) {
        &all[..all.len() - 1]
    } else {
        all
    }
}

impl Buffer {
    pub(super) fn new(length: usize, page_offset: usize, layout: Layout) -> Self {
        Self::placed(length, page_offset, layout, |pfns, _| {
            memory::reserve_va(pfns.len())
        })
    }

    /// A buffer whose address `place` chooses, given its frames and what owns them.
    pub(super) fn placed(
        length: usize,
        page_offset: usize,
        layout: Layout,
        place: impl FnOnce(&[PFN_NUMBER], &Keeper) -> PVOID,
    ) -> Self {
        assert!(page_offset < PAGE, "the offset is one into the first page");
        let pages = (page_offset + length).div_ceil(PAGE).max(1);
        let whole = |placement| vec![memory::allocate_frames(pages, placement)];
        let (frames, period) = match layout {
            Layout::Scattered => (whole(Placement::Scattered), None),
            Layout::Contiguous => (whole(Placement::Contiguous), None),
            Layout::Aliased(host_pages) => {
                (whole(Placement::Aliased { host_pages }), Some(host_pages))
            }
            // One frame more for each run, which nobody uses: runs that are handed out one after
            // the other would be neighbours.
            Layout::Runs(run) => {
                let starts = (0..pages).step_by(run.max(1));
                let take = |start| run.max(1).min(pages - start);
                let runs = starts
                    .map(|start| memory::allocate_frames(take(start) + 1, Placement::Contiguous))
                    .collect();
                (runs, None)
            }
        };
        let used = frames.iter().flat_map(|set| used(layout, set));
        let pfns: Vec<PFN_NUMBER> = used.copied().collect();
        let frames = Arc::new(frames);
        let keeper: Keeper = frames.clone();
        Self(Arc::new(Inner {
            base: place(&pfns, &keeper),
            pfns,
            _frames: frames,
            offset: page_offset,
            length,
            period,
        }))
    }

    /// The frame numbers of its pages, from the first page on.
    pub fn pfns(&self) -> &[PFN_NUMBER] {
        &self.0.pfns
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offset of the first byte in its page.
    pub fn page_offset(&self) -> usize {
        self.0.offset
    }

    /// The virtual address of byte `at`, as a label.
    pub fn address_of(&self, at: usize) -> PVOID {
        self.0
            .base
            .wrapping_byte_add(self.0.offset + at)
            .cast::<c_void>()
    }

    /// The virtual address of the first byte, as a label.
    pub fn address(&self) -> PVOID {
        self.address_of(0)
    }

    /// An MDL of `length` bytes from byte `at` on.
    pub(super) fn build_mdl(&self, at: usize, length: usize) -> crate::abi::PMDL {
        let pages = ((self.0.offset + at) % PAGE + length).div_ceil(PAGE);
        let frames = &self.0.pfns[(self.0.offset + at) / PAGE..];
        memory::build_mdl(
            Owner::Harness,
            self.address_of(at),
            length as u32,
            &frames[..pages],
        )
    }

    /// Sets every byte.
    pub fn fill(&self, byte: u8) {
        self.each_page(0, self.len(), |_, start, length| {
            // SAFETY: the page is ours for `length` bytes from `start`.
            unsafe { core::ptr::write_bytes(start, byte, length) };
        });
    }

    /// Sets every byte to `value(index)`.
    pub fn fill_with(&self, mut value: impl FnMut(usize) -> u8) {
        let bytes: Vec<u8> = (0..self.len()).map(&mut value).collect();
        self.write(0, &bytes);
    }

    /// Copies `bytes` to byte `at`.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len(), "beyond the buffer");
        self.each_page(at, bytes.len(), |done, start, length| {
            let part = &bytes[done..done + length];
            // SAFETY: the page is ours for `length` bytes from `start`.
            unsafe { core::ptr::copy_nonoverlapping(part.as_ptr(), start, length) };
        });
    }

    /// Copies bytes from `at` on.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn read(&self, at: usize, into: &mut [u8]) {
        assert!(at + into.len() <= self.len(), "beyond the buffer");
        self.each_page(at, into.len(), |done, start, length| {
            let part = &mut into[done..done + length];
            // SAFETY: the page is ours for `length` bytes from `start`.
            unsafe { core::ptr::copy_nonoverlapping(start, part.as_mut_ptr(), length) };
        });
    }

    /// A copy of everything.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes);
        bytes
    }

    /// Fills an aliased buffer with what a [`Disk::pattern`](crate::port::Disk::pattern) of the
    /// same period has from byte `disk_offset` on.
    ///
    /// # Panics
    /// When the buffer was not made with [`Device::buffer_pattern`](super::Device::buffer_pattern).
    pub fn fill_pattern(&self, disk_offset: u64) {
        let pages = self.0.period.expect("a buffer made with buffer_pattern");
        let length = self.len().min(pages * PAGE);
        self.each_page(0, length, |done, start, length| {
            for index in 0..length {
                let byte = pattern_byte(disk_offset + (done + index) as u64, pages);
                // SAFETY: the page is ours for `length` bytes from `start`.
                unsafe { start.add(index).write(byte) };
            }
        });
    }

    /// Whether an aliased buffer holds what [`Self::fill_pattern`] writes.
    ///
    /// # Panics
    /// As for [`Self::fill_pattern`].
    pub fn matches_pattern(&self, disk_offset: u64) -> bool {
        let pages = self.0.period.expect("a buffer made with buffer_pattern");
        let length = self.len().min(pages * PAGE);
        let mut same = true;
        self.each_page(0, length, |done, start, length| {
            same &= (0..length).all(|index| {
                // SAFETY: the page is ours for `length` bytes from `start`.
                let byte = unsafe { start.add(index).read() };
                byte == pattern_byte(disk_offset + (done + index) as u64, pages)
            });
        });
        same
    }

    /// Host memory behind the buffer, in bytes.
    pub fn host_bytes(&self) -> usize {
        self.0
            .period
            .map_or(self.0.pfns.len(), |pages| pages.min(self.0.pfns.len()))
            * PAGE
    }

    /// What [`Port::placement`](crate::port::Port::placement) adds up to when the first `length`
    /// bytes move from or to byte `disk_offset` in whole: the reference for a request that was cut.
    pub fn placement(
        &self,
        direction: Direction,
        disk_offset: u64,
        length: usize,
        sector: u32,
    ) -> u64 {
        let (frames, sector) = (self.pfns(), sector as usize);
        let (mut sum, mut done) = (0_u64, 0);
        while done < length {
            let at = self.0.offset + done;
            let now = (PAGE - at % PAGE)
                .min(length - done)
                .min(sector - done % sector);
            let place = disk_offset + done as u64;
            sum = sum.wrapping_add(placement_of(
                direction,
                frames[at / PAGE],
                at % PAGE,
                place,
                now,
            ));
            done += now;
        }
        sum
    }

    /// Calls `each(offset in the range, first byte, length)` for the pages of a range.
    fn each_page(&self, at: usize, length: usize, mut each: impl FnMut(usize, *mut u8, usize)) {
        let frames = self.pfns();
        memory::with_frames(|table| {
            let mut done = 0;
            while done < length {
                let at = self.0.offset + at + done;
                let now = (PAGE - at % PAGE).min(length - done);
                let page = table
                    .page(frames[at / PAGE])
                    .expect("the buffer's frames are RAM");
                each(done, page.wrapping_add(at % PAGE), now);
                done += now;
            }
        });
    }
}
