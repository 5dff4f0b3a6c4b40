//! The rules of one request, and the longest piece they allow at any place in it.

use super::frames::{PageFrames, room_in_runs};
use super::{Bound, Options, PageRule, PhysicalSector, Refusal, Request};
use crate::limits::{Limits, Source};
use crate::math::{add_mod, first_multiple, floor_to, lcm, modulo, mul_mod};
use crate::page::{PAGE_SIZE, page_offset, room_in_pages, span_pages};

/// How pages are counted inside a request that must be split.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pages {
    /// Not at all: there is no limit, or it has become one in bytes.
    Free,
    /// A piece touches at most this many.
    Spans(u64),
    /// A piece consists of at most this many physically contiguous runs.
    Breaks(u64),
}

/// A place beyond which a piece may not reach, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Room {
    bytes: u64,
    bound: Bound,
}

impl Room {
    /// The nearer of two ends; the earlier named one where they agree.
    const fn or(self, bytes: u64, bound: Bound) -> Self {
        if bytes < self.bytes {
            Self { bytes, bound }
        } else {
            self
        }
    }
}

/// Length and bound of one piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cut {
    pub(super) length: u64,
    pub(super) bound: Bound,
}

/// Everything that decides where one request is cut; every value in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rules {
    /// Of the whole request.
    pub(super) length: u64,
    pub(super) sector: u64,
    /// Cuts lie at multiples of this, counted from the start of the request.
    granularity: u64,
    /// Offset of the first byte in its page.
    start: u64,
    /// The limits that are the same everywhere, the strictest of them.
    fixed: Room,
    pages: Pages,
    /// Disk boundary no piece may cross, 0 for none, and where in it the request starts.
    boundary: u64,
    boundary_phase: u64,
    /// Distance of the physical sector boundaries that are on the grid, 0 for none, and where
    /// between two the request starts.
    physical: u64,
    physical_phase: u64,
    /// Longest piece that balancing wants. A piece exceeds it only to reach its first physical
    /// sector boundary.
    pub(super) ceiling: u64,
    /// Who is to blame for the limits in bytes and in pages.
    bytes_source: Source,
    pages_source: Source,
    /// The request's own address breaks the alignment mask.
    pub(super) misaligned: bool,
}

impl Rules {
    pub(super) fn new(limits: &Limits, request: &Request, options: &Options) -> Self {
        let sector = u64::from(limits.sector_size());
        let misaligned = request.va & u64::from(limits.alignment_mask()) != 0;
        let granularity = if misaligned {
            sector
        } else {
            limits.granularity()
        };
        let (pages, pages_source) = page_rule(limits, options.page_rule);
        let boundary = options.lba_boundary.unwrap_or(0);
        let mut rules = Self {
            length: request.length,
            sector,
            granularity,
            start: page_offset(request.va),
            fixed: fixed_room(limits, request, options.page_rule),
            pages,
            boundary,
            boundary_phase: mul_mod(request.lba, sector, boundary),
            physical: 0,
            physical_phase: 0,
            ceiling: u64::MAX,
            bytes_source: limits.bytes_source(),
            pages_source,
            misaligned,
        };
        if request.write
            && let Some(physical) = options.physical_sector
        {
            rules.end_on_physical_sectors(physical, request.lba);
        }
        rules
    }

    /// Takes up the wish for cuts on physical sector boundaries, where it can ever be met.
    ///
    /// Cuts lie on a grid, and only the boundaries that are also on the grid can be cut at. They
    /// are as far apart as the least common multiple of both; where the two never meet, there is
    /// nothing to choose.
    fn end_on_physical_sectors(&mut self, physical: PhysicalSector, lba: u64) {
        let size = u64::from(physical.bytes);
        let aligned_at = modulo(u64::from(physical.first_aligned), size);
        let start = mul_mod(lba, self.sector, size);
        let to_boundary = add_mod(aligned_at, size.saturating_sub(start), size);
        let meeting = (
            first_multiple(self.granularity, to_boundary, size),
            lcm(self.granularity, size),
        );
        if let (Some(first), Some(distance)) = meeting
            && size > self.sector
        {
            self.physical = distance;
            self.physical_phase = modulo(distance.saturating_sub(first), distance);
        }
    }

    /// No piece is longer than this.
    pub(super) fn longest(&self) -> u64 {
        let in_pages = match self.pages {
            Pages::Spans(pages) => pages.saturating_mul(PAGE_SIZE),
            Pages::Free | Pages::Breaks(_) => u64::MAX,
        };
        let even = self.ceiling.max(self.physical);
        self.fixed.bytes.min(in_pages).min(even)
    }

    /// After how many bytes everything that depends on the place repeats; `None` if it need not.
    pub(super) fn period(&self) -> Option<u64> {
        let mut period = match self.pages {
            Pages::Free => 1,
            Pages::Spans(_) => PAGE_SIZE,
            Pages::Breaks(_) => return None,
        };
        for part in [self.boundary, self.physical] {
            if part != 0 {
                period = lcm(period, part)?;
            }
        }
        Some(period)
    }

    /// The piece at `offset`: the longest that every rule allows.
    pub(super) fn cut(
        &self,
        offset: u64,
        frames: &(impl PageFrames + ?Sized),
    ) -> Result<Cut, Refusal> {
        let room = self.room(offset, frames);
        let rest = self.length.saturating_sub(offset);
        if rest <= room.bytes && rest <= self.ceiling {
            return Ok(Cut {
                length: rest,
                bound: Bound::End,
            });
        }
        let full = self.on_the_grid(room);
        let wanted = self.on_the_grid(room.or(self.ceiling, Bound::Balance));
        let cut = self
            .on_a_physical_boundary(offset, full, wanted)
            .unwrap_or(wanted);
        if cut.length == 0 {
            return Err(self.unsplittable(offset, room));
        }
        Ok(cut)
    }

    /// How far a piece at `offset` may reach, before the grid is looked at.
    fn room(&self, offset: u64, frames: &(impl PageFrames + ?Sized)) -> Room {
        let mut room = self.fixed;
        let start = self.start.saturating_add(offset);
        match self.pages {
            Pages::Free => {}
            Pages::Spans(pages) => room = room.or(room_in_pages(start, pages), Bound::Pages),
            Pages::Breaks(runs) => {
                let wanted = room.bytes.min(self.length.saturating_sub(offset));
                room = room.or(room_in_runs(frames, start, runs, wanted), Bound::Pages);
            }
        }
        if self.boundary != 0 {
            let place = add_mod(self.boundary_phase, offset, self.boundary);
            let left = self.boundary.saturating_sub(place);
            room = room.or(left, Bound::LbaBoundary);
        }
        room
    }

    /// Down to the grid that cuts lie on.
    fn on_the_grid(&self, room: Room) -> Cut {
        let length = floor_to(room.bytes, self.granularity);
        let whole_sectors = floor_to(room.bytes, self.sector);
        let bound = if length < whole_sectors {
            Bound::Alignment
        } else {
            room.bound
        };
        Cut { length, bound }
    }

    /// The last physical sector boundary inside the `wanted` piece; where balancing wants too
    /// little to reach one, the first inside the `full` one; `None` if there is none to be reached.
    fn on_a_physical_boundary(&self, offset: u64, full: Cut, wanted: Cut) -> Option<Cut> {
        if self.physical == 0 {
            return None;
        }
        let phase = add_mod(self.physical_phase, offset, self.physical);
        let beyond = add_mod(phase, wanted.length, self.physical);
        let first = self.physical.saturating_sub(phase);
        let rest = self.length.saturating_sub(offset);
        if beyond == 0 {
            Some(wanted)
        } else if beyond < wanted.length {
            Some(Cut {
                length: wanted.length.saturating_sub(beyond),
                bound: Bound::PhysicalSector,
            })
        } else if first <= full.length && first < rest {
            Some(Cut {
                length: first,
                bound: Bound::PhysicalSector,
            })
        } else {
            None
        }
    }

    /// Whether the whole request obeys every limit. The piece cap is not asked: it is for pieces
    /// alone.
    pub(super) fn fit_whole(
        &self,
        limits: &Limits,
        request: &Request,
        options: &Options,
        frames: &(impl PageFrames + ?Sized),
    ) -> bool {
        let longest = limits.maximum_bytes().unwrap_or(u32::MAX);
        let command = u64::from(request.command_blocks).saturating_mul(self.sector);
        let pages = limits.maximum_pages().map_or(u64::MAX, u64::from);
        let pages_fit = match options.page_rule {
            PageRule::Spans | PageRule::Document => span_pages(self.start, self.length) <= pages,
            PageRule::Breaks => {
                self.length <= u64::from(longest)
                    && room_in_runs(frames, self.start, pages, self.length) >= self.length
            }
        };
        let to_boundary = self.boundary.saturating_sub(self.boundary_phase);
        self.length <= u64::from(longest)
            && self.length <= command
            && pages_fit
            && (self.boundary == 0 || self.length <= to_boundary)
    }

    /// Why there is no piece at `offset`, and who forbids it.
    fn unsplittable(&self, offset: u64, room: Room) -> Refusal {
        let by = match room.bound {
            Bound::Bytes => self.bytes_source,
            Bound::Pages => self.pages_source,
            Bound::End | Bound::Alignment | Bound::Cdb => Source::Adapter,
            Bound::PieceCap | Bound::LbaBoundary | Bound::PhysicalSector | Bound::Balance => {
                Source::Setting
            }
        };
        let bound = if floor_to(room.bytes, self.sector) == 0 {
            room.bound
        } else {
            Bound::Alignment
        };
        Refusal::Unsplittable { by, bound, offset }
    }
}

/// How pages are counted, and who is to blame for it.
fn page_rule(limits: &Limits, rule: PageRule) -> (Pages, Source) {
    let source = limits.pages_source();
    match (limits.maximum_pages().map(u64::from), rule) {
        (None, _) => (Pages::Free, source),
        (Some(pages), PageRule::Spans) => (Pages::Spans(pages), source),
        (Some(pages), PageRule::Breaks) => (Pages::Breaks(pages), source),
        // The document's rule is a setting: with the usual one there may be a plan.
        (Some(_), PageRule::Document) => (Pages::Free, Source::Setting),
    }
}

/// The strictest of the limits that do not depend on the place. The command block's comes last,
/// after every other sum: classpnp adds a page after it and overflows the field (`class.c`,
/// `ClassReadDriveCapacity` and `ServiceTransferRequest`).
fn fixed_room(limits: &Limits, request: &Request, rule: PageRule) -> Room {
    let sector = u64::from(limits.sector_size());
    let mut room = Room {
        bytes: u64::from(u32::MAX),
        bound: Bound::PieceCap,
    };
    if let Some(bytes) = limits.maximum_bytes() {
        room = Room {
            bytes: u64::from(bytes),
            bound: Bound::Bytes,
        };
    }
    room = room.or(u64::from(limits.piece_cap().bytes()), Bound::PieceCap);
    if let (PageRule::Document, Some(pages)) = (rule, limits.maximum_pages()) {
        let bytes = u64::from(pages).saturating_sub(1).saturating_mul(PAGE_SIZE);
        room = room.or(bytes, Bound::Pages);
    }
    let command = u64::from(request.command_blocks).saturating_mul(sector);
    room.or(command, Bound::Cdb)
}
