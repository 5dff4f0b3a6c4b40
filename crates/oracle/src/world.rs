//! What is being judged: an adapter's limits and one request.

/// Bytes in a page of memory.
pub const PAGE: u64 = 4096;

/// How the pages of a piece count against [`World::max_pages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageRule {
    /// A piece may touch `max_pages` pages.
    Spans,
    /// A request that is too long or touches too many pages is cut into pieces of at most `max_pages - 1` pages'
    /// worth of bytes; a request that is neither goes whole (the storage class document's `DispatchReadWrite`).
    Document,
    /// A piece may consist of `max_pages` runs of physically adjacent pages.
    Breaks,
}

/// The physical sectors behind a drive's logical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PhysicalSector {
    /// Bytes in a physical sector.
    pub bytes: u64,
    /// Byte address on the disk of the first physical sector's start; physical sectors start at
    /// `first + k * bytes`, and the part before `first` belongs to a truncated one.
    pub first: u64,
}

/// What an adapter and its disk can take in one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Bytes in a logical sector; at least one.
    pub sector: u64,
    /// The buffer alignment mask: every piece but the last is a multiple of `lcm(sector, mask + 1)` bytes.
    pub alignment_mask: u64,
    /// Most bytes in a piece, rounded down to sectors; no limit when none.
    pub max_bytes: Option<u64>,
    /// Most pages (or runs) in a piece; 0 counts as 1; no limit when none.
    pub max_pages: Option<u64>,
    /// What `max_pages` counts.
    pub page_rule: PageRule,
    /// No piece crosses a multiple of this many bytes on the disk.
    pub lba_boundary: Option<u64>,
    /// Most sectors that the command block can name.
    pub cdb_blocks: Option<u64>,
    /// Where cuts should fall; applies to writes, so leave it out for reads.
    pub physical: Option<PhysicalSector>,
    /// Most bytes in a piece of a request that does not fit whole.
    pub split_bytes: Option<u64>,
    /// Most pages touched by a piece of a request that does not fit whole.
    pub split_pages: Option<u64>,
}

impl World {
    /// A world of `sector` byte sectors without any limit.
    #[must_use]
    pub fn unlimited(sector: u64) -> Self {
        Self {
            sector,
            alignment_mask: 0,
            max_bytes: None,
            max_pages: None,
            page_rule: PageRule::Spans,
            lba_boundary: None,
            cdb_blocks: None,
            physical: None,
            split_bytes: None,
            split_pages: None,
        }
    }

    /// The unit of cutting in bytes: the least common multiple of the sector and the alignment.
    #[must_use]
    pub fn grain(&self) -> u64 {
        let alignment = self.alignment_mask.saturating_add(1);
        let (mut a, mut b) = (self.sector, alignment);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (self.sector / a).saturating_mul(alignment)
    }
}

/// One read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Offset of the buffer's first byte in its page, below [`PAGE`].
    pub page_offset: u64,
    /// First sector on the disk.
    pub lba: u64,
    /// Sectors to move.
    pub blocks: u64,
    /// The page frame numbers behind the buffer, in order; only [`PageRule::Breaks`] looks at them.
    pub frames: &'a [u64],
}

impl Request<'_> {
    /// The pages of the buffer that hold the sectors from `start` up to `end`: first and last, from the buffer's start.
    pub(crate) fn pages(&self, world: &World, start: u64, end: u64) -> (u64, u64) {
        let first = (self.page_offset + start * world.sector) / PAGE;
        let last = (self.page_offset + end * world.sector - 1) / PAGE;
        (first, last)
    }
}
