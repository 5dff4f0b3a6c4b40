//! The smallest number of legal pieces, by a dynamic programme.

use crate::legal::{Ruler, whole_fits};
use crate::world::{Request, World};

/// The smallest number of legal pieces that cover the request; none when no legal split exists.
///
/// The programme's table says, for every sector position, whether `k` legal pieces can end there: position 0 with
/// none, then every position that one more legal piece reaches from a position of the step before. The first `k`
/// that marks the request's end is the answer. Every legal cut is considered; only two kinds of work are left out:
/// positions already marked by fewer pieces, and positions past the first too long piece from the same start (the
/// limits on length only ever forbid longer ones). So the cost is about the number of positions, and
/// requests of a gigabyte are judged in milliseconds.
///
/// A request of no sectors needs no pieces.
#[must_use]
pub fn minimum(world: &World, request: &Request<'_>) -> Option<u64> {
    if request.blocks == 0 {
        return Some(0);
    }
    if whole_fits(world, request) {
        return Some(1);
    }
    Table::new(world, request).fill()
}

struct Table<'a> {
    ruler: Ruler<'a>,
    /// Sectors between allowed cuts: the alignment.
    step: u64,
    /// Sectors between allowed cuts that also end a physical sector.
    stride: u64,
    blocks: u64,
    marked: Vec<bool>,
    /// While the starts of one step are tried in ascending order: the cuts behind this one that a later start can
    /// reach are marked already.
    settled: u64,
}

impl<'a> Table<'a> {
    fn new(world: &'a World, request: &'a Request<'a>) -> Self {
        let step = (world.grain() / world.sector).max(1);
        let stride = world
            .physical
            .map_or(step, |physical| common_stride(world, step, physical.bytes));
        Self {
            ruler: Ruler::new(world, request),
            step,
            stride,
            blocks: request.blocks,
            marked: vec![false; request.blocks as usize + 1],
            settled: 0,
        }
    }

    fn fill(mut self) -> Option<u64> {
        let mut reached = vec![0];
        let mut pieces = 0;
        while !reached.is_empty() {
            pieces += 1;
            self.settled = 0;
            let mut next = Vec::new();
            for &start in &reached {
                self.extend(start, &mut next);
            }
            if self.marked[self.blocks as usize] {
                return Some(pieces);
            }
            next.sort_unstable();
            reached = next;
        }
        None
    }

    /// Marks every position that one legal piece reaches from `start`.
    fn extend(&mut self, start: u64, next: &mut Vec<u64>) {
        if self.ruler.too_long(start, self.blocks).is_none() {
            self.marked[self.blocks as usize] = true;
        }
        match self.ruler.physical_in_reach(start) {
            Some(first) => {
                let skipped = self
                    .settled
                    .saturating_sub(first)
                    .next_multiple_of(self.stride);
                let end = self.mark(start, first + skipped, self.stride, next);
                self.settled = self.settled.max(end);
            }
            None => {
                self.mark(start, start + self.step, self.step, next);
            }
        }
    }

    /// Marks `first`, `first + step`, … as long as pieces from `start` may reach them; returns the first one not
    /// reached.
    fn mark(&mut self, start: u64, first: u64, step: u64, next: &mut Vec<u64>) -> u64 {
        let mut at = first;
        while at < self.blocks && self.ruler.too_long(start, at).is_none() {
            if !self.marked[at as usize] {
                self.marked[at as usize] = true;
                next.push(at);
            }
            at += step;
        }
        at
    }
}

/// Sectors between cuts that are both multiples of `step` and on physical sectors: found by counting, because the
/// pattern of two periods repeats after at most one whole period of the longer.
fn common_stride(world: &World, step: u64, physical: u64) -> u64 {
    (1..=physical)
        .map(|n| n * step)
        .find(|stride| (stride * world.sector).is_multiple_of(physical))
        .unwrap_or(step)
}
