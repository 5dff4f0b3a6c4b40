//! Whether one piece is legal, limit by limit, straight from what each limit means.

use crate::world::{PageRule, Request, World};

/// The limit that a piece breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    /// No sectors, or sectors outside the request.
    Range,
    /// More bytes than the adapter moves at once.
    Bytes,
    /// More pages, or runs of pages, than the adapter can name.
    Pages,
    /// More sectors than the command block can name.
    Cdb,
    /// The piece crosses an LBA boundary.
    Boundary,
    /// Not the last piece, and not a multiple of the grain.
    Alignment,
    /// Not the last piece, and cut inside a physical sector though a whole one was within reach.
    Physical,
}

/// Names the limit that the piece from sector `start` up to sector `end` of the request breaks; none if it is legal.
#[must_use]
pub fn breach(world: &World, request: &Request<'_>, start: u64, end: u64) -> Option<Breach> {
    if start >= end || end > request.blocks {
        return Some(Breach::Range);
    }
    if start == 0 && end == request.blocks && whole_fits(world, request) {
        return None;
    }
    let ruler = Ruler::new(world, request);
    if let Some(found) = ruler.too_long(start, end) {
        return Some(found);
    }
    if end == request.blocks {
        return None;
    }
    if !((end - start) * world.sector).is_multiple_of(world.grain()) {
        return Some(Breach::Alignment);
    }
    match world.physical {
        Some(_) if !ruler.on_physical(end) && ruler.physical_in_reach(start).is_some() => {
            Some(Breach::Physical)
        }
        _ => None,
    }
}

/// Whether the whole request is within the adapter's limits, so that it needs no split.
#[must_use]
pub fn whole_fits(world: &World, request: &Request<'_>) -> bool {
    request.blocks > 0
        && Ruler::whole(world, request)
            .too_long(0, request.blocks)
            .is_none()
}

/// Measures pieces of one request. The limits it applies only ever forbid *longer* pieces: if a piece is too long,
/// so is every longer one with the same start.
pub(crate) struct Ruler<'a> {
    world: &'a World,
    request: &'a Request<'a>,
    max_bytes: u64,
    max_pages: u64,
    split_pages: u64,
    max_blocks: u64,
    /// `run_starts[p]`: how many pages up to and including `p` start a new run, for [`PageRule::Breaks`].
    run_starts: Vec<u64>,
}

impl<'a> Ruler<'a> {
    /// Measures pieces of a request that must be split.
    pub(crate) fn new(world: &'a World, request: &'a Request<'a>) -> Self {
        let mut ruler = Self::whole(world, request);
        ruler.max_bytes = ruler.max_bytes.min(world.split_bytes.unwrap_or(u64::MAX));
        ruler.split_pages = world.split_pages.unwrap_or(u64::MAX);
        if let (PageRule::Document, Some(pages)) = (world.page_rule, world.max_pages) {
            let bytes = pages.max(1).saturating_sub(1).saturating_mul(crate::PAGE);
            ruler.max_bytes = ruler.max_bytes.min(bytes);
        }
        ruler
    }

    /// Measures the request against what the adapter takes, before any split is considered.
    fn whole(world: &'a World, request: &'a Request<'a>) -> Self {
        let max_pages = world.max_pages.map_or(u64::MAX, |pages| pages.max(1));
        let counts_runs = world.page_rule == PageRule::Breaks && world.max_pages.is_some();
        Self {
            world,
            request,
            max_bytes: world
                .max_bytes
                .map_or(u64::MAX, |bytes| bytes - bytes % world.sector),
            max_pages,
            split_pages: u64::MAX,
            max_blocks: world.cdb_blocks.unwrap_or(u64::MAX),
            run_starts: if counts_runs {
                run_starts(request.frames)
            } else {
                Vec::new()
            },
        }
    }

    /// The limit by which the piece is too long, whatever the alignment of its end.
    pub(crate) fn too_long(&self, start: u64, end: u64) -> Option<Breach> {
        if self.too_many_bytes(start, end) {
            Some(Breach::Bytes)
        } else if self.too_many_pages(start, end) {
            Some(Breach::Pages)
        } else if self.too_many_blocks(start, end) {
            Some(Breach::Cdb)
        } else if self.crosses_boundary(start, end) {
            Some(Breach::Boundary)
        } else {
            None
        }
    }

    pub(crate) fn too_many_bytes(&self, start: u64, end: u64) -> bool {
        (end - start) * self.world.sector > self.max_bytes
    }

    /// Whether it is the adapter's own byte limit, or the cap on split pieces, that the piece exceeds.
    pub(crate) fn adapter_minds_bytes(&self, start: u64, end: u64) -> bool {
        let bytes = (end - start) * self.world.sector;
        [self.world.max_bytes, self.world.split_bytes]
            .into_iter()
            .flatten()
            .any(|max| bytes > max)
    }

    pub(crate) fn too_many_blocks(&self, start: u64, end: u64) -> bool {
        end - start > self.max_blocks
    }

    pub(crate) fn too_many_pages(&self, start: u64, end: u64) -> bool {
        let (first, last) = self.request.pages(self.world, start, end);
        let touched = last - first + 1;
        let counted = if self.run_starts.is_empty() {
            touched
        } else {
            self.run_starts[last as usize] - self.run_starts[first as usize] + 1
        };
        counted > self.max_pages || touched > self.split_pages
    }

    pub(crate) fn crosses_boundary(&self, start: u64, end: u64) -> bool {
        let Some(boundary) = self.world.lba_boundary else {
            return false;
        };
        let sector = u128::from(self.world.sector);
        let boundary = u128::from(boundary);
        let first = u128::from(self.request.lba) + u128::from(start);
        let last_byte = (u128::from(self.request.lba) + u128::from(end)) * sector - 1;
        first * sector / boundary != last_byte / boundary
    }

    /// Whether the disk byte address of sector `at` starts a physical sector.
    pub(crate) fn on_physical(&self, at: u64) -> bool {
        let Some(physical) = self.world.physical else {
            return true;
        };
        let byte = (u128::from(self.request.lba) + u128::from(at)) * u128::from(self.world.sector);
        let size = u128::from(physical.bytes);
        byte % size == u128::from(physical.first) % size
    }

    /// The first place after `start`, short of the request's end, where a cut is aligned in every way, if a piece may
    /// reach that far.
    pub(crate) fn physical_in_reach(&self, start: u64) -> Option<u64> {
        let step = self.world.grain() / self.world.sector;
        let period = self.world.physical.map_or(1, |p| p.bytes);
        (1..=period)
            .map(|n| start + n * step)
            .take_while(|&at| at < self.request.blocks && self.too_long(start, at).is_none())
            .find(|&at| self.on_physical(at))
    }
}

fn run_starts(frames: &[u64]) -> Vec<u64> {
    let mut count = 0;
    let mut starts = Vec::with_capacity(frames.len());
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 && frames[index - 1].checked_add(1) != Some(*frame) {
            count += 1;
        }
        starts.push(count);
    }
    starts
}
