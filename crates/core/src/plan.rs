//! Where a request is cut.
//!
//! # Greedy is minimal
//!
//! Call a byte range of the request *legal* if one command may move it, and call the places where a
//! cut may lie its *grid*. Every limit here is closed under sub-ranges: bytes, pages touched,
//! physical runs, blocks of the command, disk boundaries: what holds for a range holds for every
//! part of it that starts and ends on the grid. Write `f(p)` for the farthest grid place that a
//! legal piece starting at `p` reaches.
//!
//! *Theorem.* If legality is closed under sub-ranges, taking the longest legal piece each time
//! gives the fewest pieces. *Proof.* `f` never falls: for `p <= q < f(p)` the range from `q` to
//! `f(p)` is part of a legal one, so `f(q) >= f(p)`, and for `q >= f(p)`, `f(q) > q`. By induction
//! the `n`th greedy cut lies at or behind the `n`th cut of any other plan, so greedy arrives first.
//! If greedy cannot move from some place `p`, no plan gets past `p` either: another plan's piece
//! that passes over `p` contains a legal piece starting at `p`.
//!
//! What the options do to it:
//!
//! - The *disk boundary*, the *piece cap* and the ceiling of *balanced* pieces are limits like the
//!   others. Balancing looks for the smallest ceiling with the same count.
//! - The *alignment grid* makes cuts rarer, not legality different; the theorem holds on the grid.
//! - The *document's rule* is a limit in bytes once a split is needed; the plan is the smallest
//!   under that rule, which may be more than the smallest there is.
//! - *Physical-sector cuts* replace the farthest place by the last physical boundary before it,
//!   where there is one. That `f` does not fall either: if the piece at `p` ends on a boundary `b`,
//!   a piece at `q` in between reaches `b` or a later one; if there was no boundary up to `f(p)`,
//!   the piece at `q` ends at `f(p)`, behind it, or on a boundary behind it. So the plan is the
//!   smallest among those that cut on boundaries wherever they can, and may have more pieces than
//!   one that tears sectors. That is why only writes ask for it.
//!
//! A request that obeys every limit goes whole, whatever its size, and none of the options cuts it.

mod count;
mod frames;
mod rules;

pub use frames::{NoFrames, PageFrames};

use crate::limits::{Limits, Source};
use crate::math::{floor_to, modulo};
use crate::page::PAGE_SIZE;
use rules::Rules;

/// One read or write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// Virtual address of the first byte as `MmGetMdlVirtualAddress` gives it, or any number with
    /// the same low bits: only the offset in the page and the bits of the alignment mask are looked
    /// at.
    pub va: u64,
    /// First block on the disk.
    pub lba: u64,
    /// Bytes.
    pub length: u64,
    /// From memory to disk.
    pub write: bool,
    /// The most blocks that the command block of a piece can name:
    /// [`crate::cdb::CdbSize::max_blocks`], or `u32::MAX` where there is none.
    pub command_blocks: u32,
}

/// How pages are counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PageRule {
    /// A piece touches at most `MaximumPhysicalPages` pages: every page may be discontiguous, so
    /// this is what the adapter's list must hold.
    #[default]
    Spans,
    /// If the request touches more pages than allowed or is too long, pieces are at most
    /// `MaximumPhysicalPages - 1` pages long, wherever they start. [Microsoft, Storage Class
    /// Driver's `SplitTransferRequest` Routine; classpnp `xferpkt.c`]
    Document,
    /// A piece consists of at most `MaximumPhysicalPages` physically contiguous runs of page
    /// frames.
    Breaks,
}

/// The longest piece that plans under these limits can have, bytes: what an MDL for a piece must be
/// able to describe at any offset in its first page.
///
/// Under [`PageRule::Breaks`] pages say nothing about length: a run of adjacent frames is one entry
/// however many pages it has.
pub fn longest_piece(limits: &Limits, rule: PageRule) -> u32 {
    let bytes = limits.maximum_bytes().unwrap_or(u32::MAX);
    let mut longest = bytes.min(limits.piece_cap().bytes());
    if rule != PageRule::Breaks
        && let Some(pages) = limits.maximum_pages()
    {
        let pages = u64::from(pages).saturating_mul(PAGE_SIZE);
        longest = longest.min(u32::try_from(pages).unwrap_or(u32::MAX));
    }
    floor_to(u64::from(longest), u64::from(limits.sector_size())) as u32
}

/// A disk whose physical sectors are longer than its logical ones (512e).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PhysicalSector {
    /// Length of a physical sector, bytes.
    pub bytes: u32,
    /// Distance of the first physical sector boundary from the start of block 0, bytes: the lowest
    /// aligned block of READ CAPACITY(16) times the block size.
    /// `BytesOffsetForSectorAlignment` says the other part of that sector, how far into it block 0
    /// lies (classpnp utils.c, InterpretReadCapacity16Data).
    pub first_aligned: u32,
}

/// What a device's settings ask of its plans.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// How pages are counted.
    pub page_rule: PageRule,
    /// End pieces of writes on boundaries of these physical sectors.
    pub physical_sector: Option<PhysicalSector>,
    /// No piece crosses a multiple of this many bytes on the disk (a stripe). 0 is the same as
    /// `None`.
    pub lba_boundary: Option<u64>,
    /// As many pieces as without, but the longest as short as possible.
    pub balanced: bool,
}

/// Why there is no plan. Nothing may then be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Nothing to move: such a request is passed on, not planned.
    ZeroLength,
    /// The length is not a multiple of the sector.
    NotSectorMultiple,
    /// The last block lies beyond the last 64-bit block number.
    LbaOverflow,
    /// Some place cannot be covered by any legal piece.
    Unsplittable {
        /// Whose limit stands in the way.
        by: Source,
        /// Which limit it is.
        bound: Bound,
        /// The place, bytes from the start of the request.
        offset: u64,
    },
}

/// What ended a piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// The end of the request.
    End,
    /// The limit in bytes.
    Bytes,
    /// The limit in pages or physical runs.
    Pages,
    /// The block count field of the command.
    Cdb,
    /// The longest piece there are MDLs for.
    PieceCap,
    /// The next cut that keeps the buffer aligned.
    Alignment,
    /// The disk boundary.
    LbaBoundary,
    /// A physical sector boundary before one of the limits.
    PhysicalSector,
    /// The ceiling that makes pieces even.
    Balance,
}

impl Bound {
    /// Every bound, in the order of [`Bound::index`].
    pub const ALL: [Self; 9] = [
        Self::End,
        Self::Bytes,
        Self::Pages,
        Self::Cdb,
        Self::PieceCap,
        Self::Alignment,
        Self::LbaBoundary,
        Self::PhysicalSector,
        Self::Balance,
    ];

    /// Place in a table of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A word for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Bytes => "bytes",
            Self::Pages => "pages",
            Self::Cdb => "cdb",
            Self::PieceCap => "piece cap",
            Self::Alignment => "alignment",
            Self::LbaBoundary => "boundary",
            Self::PhysicalSector => "physical sector",
            Self::Balance => "balance",
        }
    }
}

/// One piece of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Its number, from 0.
    pub index: u64,
    /// Bytes from the start of the request.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
    /// First block on the disk.
    pub lba: u64,
    /// What ended it.
    pub bound_by: Bound,
}

/// Where one request is cut, and how far along the cutting is.
///
/// A few words without pointers: a transfer holds one and takes a piece whenever it may send one.
/// That a plan exists means that every piece of it is possible.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    rules: Rules,
    lba: u64,
    count: u64,
    whole: bool,
    index: u64,
    offset: u64,
}

impl Plan {
    /// Plans `request` under `limits`.
    ///
    /// The cost is that of a few pieces, except with a disk boundary or physical runs, where every
    /// piece (and page) is visited, and with balanced pieces, where that is done about twenty
    /// times.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if any part of the request cannot be sent legally: then nothing of it may be
    /// sent.
    pub fn new(
        limits: &Limits,
        request: &Request,
        options: &Options,
        frames: &(impl PageFrames + ?Sized),
    ) -> Result<Self, Refusal> {
        let sector = u64::from(limits.sector_size());
        if request.length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if modulo(request.length, sector) != 0 {
            return Err(Refusal::NotSectorMultiple);
        }
        let blocks = request.length.checked_div(sector).unwrap_or(0);
        if request.lba.checked_add(blocks.saturating_sub(1)).is_none() {
            return Err(Refusal::LbaOverflow);
        }
        let mut rules = Rules::new(limits, request, options);
        let whole = rules.fit_whole(limits, request, options, frames);
        let count = if whole {
            1
        } else {
            count::count(&rules, u64::MAX, frames)?
        };
        if options.balanced && !whole {
            rules.ceiling = count::balanced_ceiling(&rules, count, frames);
        }
        Ok(Self {
            rules,
            lba: request.lba,
            count,
            whole,
            index: 0,
            offset: 0,
        })
    }

    /// The request obeys every limit and is sent as it is.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many pieces the whole plan has.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Length of the request, bytes.
    pub const fn length(&self) -> u64 {
        self.rules.length
    }

    /// Bytes of the pieces taken so far: they are taken in ascending order, so everything below was
    /// taken.
    pub const fn taken(&self) -> u64 {
        self.offset
    }

    /// Pieces taken so far.
    pub const fn taken_count(&self) -> u64 {
        self.index
    }

    /// No piece is left.
    pub const fn is_exhausted(&self) -> bool {
        self.offset >= self.rules.length
    }

    /// The request's own address breaks the adapter's alignment mask.
    ///
    /// No cut can mend that, so it is cut at sectors and sent, as it would be without a filter;
    /// worth counting.
    pub const fn is_misaligned(&self) -> bool {
        self.rules.misaligned
    }

    /// Takes the next piece. `frames` must be what the plan was made with.
    pub fn next_piece(&mut self, frames: &(impl PageFrames + ?Sized)) -> Option<Piece> {
        if self.is_exhausted() {
            return None;
        }
        let (length, bound_by) = if self.whole {
            (self.rules.length, Bound::End)
        } else {
            let cut = self.rules.cut(self.offset, frames).ok()?;
            (cut.length, cut.bound)
        };
        let blocks = self.offset.checked_div(self.rules.sector).unwrap_or(0);
        let piece = Piece {
            index: self.index,
            offset: self.offset,
            length: u32::try_from(length).ok()?,
            lba: self.lba.saturating_add(blocks),
            bound_by,
        };
        self.index = self.index.saturating_add(1);
        self.offset = self.offset.saturating_add(length);
        Some(piece)
    }

    /// The pieces not taken yet, without taking them.
    pub const fn pieces<F: PageFrames>(self, frames: F) -> Pieces<F> {
        Pieces { plan: self, frames }
    }
}

/// The pieces of a plan as an iterator.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<F> {
    plan: Plan,
    frames: F,
}

impl<F: PageFrames> Iterator for Pieces<F> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        self.plan.next_piece(&self.frames)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.count.saturating_sub(self.plan.index);
        let left = usize::try_from(left).ok();
        (left.unwrap_or(usize::MAX), left)
    }
}
