//! Smaller and smaller tries for a piece the lower driver lacks resources for.
//!
//! A port driver that runs out of map registers, pool or request slots says so, and asking again
//! for the same amount would only say it again. classpnp then goes to one page at a time
//! (`retry.c`, low-memory mode); here the piece is halved instead, so a small shortage costs
//! little. What went through once stays the size for the rest of the piece.

use crate::math::floor_to;

/// Where a piece stands on the way down. Values in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ladder {
    length: u32,
    moved: u32,
    rung: u32,
    steps: u32,
    sector: u32,
}

impl Ladder {
    /// A piece of `length` bytes, tried whole first.
    pub const fn new(length: u32, sector: u32) -> Self {
        Self {
            length,
            moved: 0,
            rung: length,
            steps: 0,
            sector,
        }
    }

    /// Offset of the next try in the piece, bytes.
    pub const fn offset(&self) -> u32 {
        self.moved
    }

    /// Length of the next try, bytes; 0 when the piece is done.
    pub fn next_length(&self) -> u32 {
        self.rung.min(self.length.saturating_sub(self.moved))
    }

    /// The last try moved all its bytes. Returns whether the piece is done.
    pub fn advance(&mut self) -> bool {
        self.moved = self.moved.saturating_add(self.next_length());
        self.moved >= self.length
    }

    /// The last try found no resources: halves the size, in whole sectors. Returns the new size, or
    /// `None` when a single sector was refused too; the error then goes up as it is.
    pub fn shrink(&mut self) -> Option<u32> {
        let tried = self.next_length();
        if tried <= self.sector {
            return None;
        }
        let half = floor_to(u64::from(tried / 2), u64::from(self.sector)) as u32;
        self.rung = half.max(self.sector);
        self.steps = self.steps.saturating_add(1);
        Some(self.rung)
    }

    /// How often it was shrunk: the first time is resubmitted by DPC, later ones by timer.
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether it was shrunk at all.
    pub const fn is_active(&self) -> bool {
        self.steps != 0
    }
}
