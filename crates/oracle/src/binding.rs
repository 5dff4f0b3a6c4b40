//! Which limits stopped a piece from being longer.

use crate::legal::Ruler;
use crate::world::{Request, World};

/// The limits that forbid one more sector at the end of a piece. All false for the last piece of a request, which
/// nothing but the request's end stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// Bytes per command.
    pub bytes: bool,
    /// Pages or runs per command, or the document's bytes made of pages.
    pub pages: bool,
    /// Sectors that the command block can name.
    pub cdb: bool,
    /// An LBA boundary.
    pub boundary: bool,
    /// One more sector would fit, but not one more grain.
    pub alignment: bool,
    /// One more grain would fit, but would end inside a physical sector.
    pub physical: bool,
}

/// Tells which limits stopped the piece from sector `start` up to sector `end`.
#[must_use]
pub fn binding(world: &World, request: &Request<'_>, start: u64, end: u64) -> Binding {
    if start >= end || end >= request.blocks {
        return Binding::default();
    }
    let ruler = Ruler::new(world, request);
    let longer = end + 1;
    let grain = world.grain() / world.sector;
    let sector_fits = ruler.too_long(start, longer).is_none();
    let grain_fits = ruler
        .too_long(start, (end + grain).min(request.blocks))
        .is_none();
    let too_many_bytes = ruler.too_many_bytes(start, longer);
    let by_document = too_many_bytes && !ruler.adapter_minds_bytes(start, longer);
    Binding {
        bytes: too_many_bytes && !by_document,
        pages: by_document || ruler.too_many_pages(start, longer),
        cdb: ruler.too_many_blocks(start, longer),
        boundary: ruler.crosses_boundary(start, longer),
        alignment: sector_fits && !grain_fits,
        physical: sector_fits && grain_fits && world.physical.is_some(),
    }
}
