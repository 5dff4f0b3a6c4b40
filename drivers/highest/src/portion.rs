//! How much of the buffer comes next.
//!
//! A portion is whole pages, but for the ends of the buffer: locking works on pages, so the bytes of
//! a page that two portions share would be locked twice. Where it begins and ends is the planner's
//! business (`xfersplit_core::plan`): a portion is the first piece of what is left, under a limit of
//! so many pages.

use xfersplit_core::{
    ladder::Ladder,
    limits::{AdapterLimits, Limits, Voices},
    page::{PAGE_SIZE, span_pages},
    plan::{NoFrames, Options, Plan, Request},
};

/// Bytes of a page.
const PAGE: u32 = PAGE_SIZE as u32;

/// Portions that move at a smaller size before twice the size is tried: memory that was short for a
/// moment comes back.
const GROWS_AFTER: u32 = 8;

/// A part of the buffer that is locked and moved in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    /// Bytes from the start of the buffer.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u32,
}

/// The portions of one request, taken from its front.
pub(crate) struct Portions {
    request: Request,
    sector: u32,
    /// Bytes of the largest portion: whole pages.
    most: u32,
    /// Bytes of the smallest: the pages that one sector may touch.
    least: u32,
    /// Bytes of the portions now.
    size: u32,
    /// Portions that moved at this size.
    moved: u32,
    /// Bytes that have moved.
    done: u64,
}

/// The request has no portions: its length is no multiple of the sector, or it ends beyond the last
/// sector that can be named.
#[derive(Debug)]
pub(crate) struct NotAligned;

impl Portions {
    /// Portions of up to `most` bytes, rounded to whole pages.
    pub(crate) fn new(request: Request, sector: u32, most: u32) -> Result<Self, NotAligned> {
        let least = pages_of_a_sector(request.va, sector).saturating_mul(PAGE);
        let most = (most - most % PAGE).max(least);
        let portions = Self {
            request,
            sector,
            most,
            least,
            size: most,
            moved: 0,
            done: 0,
        };
        portions.plan().ok_or(NotAligned)?;
        Ok(portions)
    }

    /// What is left, planned at the present size.
    fn plan(&self) -> Option<Plan> {
        let adapter = AdapterLimits {
            maximum_transfer_length: self.size,
            maximum_physical_pages: self.size / PAGE,
            alignment_mask: 0,
        };
        let limits = Limits::normalise(&Voices::adapter(adapter), self.sector).ok()?;
        let sectors = self.done.checked_div(u64::from(self.sector))?;
        let rest = Request {
            va: self.request.va.wrapping_add(self.done),
            lba: self.request.lba.saturating_add(sectors),
            length: self.request.length.saturating_sub(self.done),
            ..self.request
        };
        Plan::new(&limits, &rest, &Options::default(), &NoFrames).ok()
    }

    /// The next portion; `None` when everything has moved.
    pub(crate) fn next(&self) -> Option<Portion> {
        let piece = self.plan()?.next_piece(&NoFrames)?;
        Some(Portion {
            offset: self.done,
            length: piece.length,
        })
    }

    /// There was no room for `portion`: half as many pages, from now on. `false` if it was as small
    /// as portions get.
    pub(crate) fn shrink(&mut self, portion: &Portion) -> bool {
        let start = self.request.va.wrapping_add(portion.offset);
        let pages = span_pages(start, u64::from(portion.length)) as u32;
        let tried = pages.saturating_mul(PAGE).min(self.size);
        let Some(half) = Ladder::new(tried, self.least).shrink() else {
            return false;
        };
        self.size = half;
        self.moved = 0;
        true
    }

    /// `bytes` of the last portion have moved.
    pub(crate) fn advance(&mut self, bytes: u32) {
        self.done = self.done.saturating_add(u64::from(bytes));
        self.moved = self.moved.saturating_add(1);
        if self.moved == GROWS_AFTER {
            self.size = self.size.saturating_mul(2).min(self.most);
            self.moved = 0;
        }
    }

    /// Bytes that have moved.
    pub(crate) const fn done(&self) -> u64 {
        self.done
    }
}

/// The pages that have to be locked to move any one sector of a buffer at `va`.
fn pages_of_a_sector(va: u64, sector: u32) -> u32 {
    let inside = PAGE.is_multiple_of(sector) && va.is_multiple_of(u64::from(sector));
    if inside {
        1
    } else {
        // Somewhere in the buffer a sector begins just before the end of a page.
        sector.div_ceil(PAGE).saturating_add(1)
    }
}
