//! The verdict on a whole plan.

use crate::legal::{Breach, breach};
use crate::minimum::minimum;
use crate::world::{Request, World};

/// What is wrong with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Piece number `piece` does not start where the one before it ended.
    Gap {
        /// Number of the piece, from 0.
        piece: usize,
        /// The sector of the disk at which it should start.
        expected: u64,
        /// The sector of the disk at which it starts.
        found: u64,
    },
    /// The pieces end before the request does, or go on after it.
    Cover {
        /// Sectors to move.
        expected: u64,
        /// Sectors in the plan.
        found: u64,
    },
    /// Piece number `piece` breaks a limit.
    Illegal {
        /// Number of the piece, from 0.
        piece: usize,
        /// The limit.
        breach: Breach,
    },
    /// A legal plan with fewer pieces exists.
    NotMinimal {
        /// The fewest pieces.
        minimum: u64,
        /// The pieces in the plan.
        found: u64,
    },
}

/// Checks a plan given as `(lba, blocks)` of each piece in order: it covers the request exactly, every piece is
/// legal, and there are no more pieces than necessary.
///
/// # Errors
/// The first fault found, in that order.
pub fn judge(world: &World, request: &Request<'_>, plan: &[(u64, u64)]) -> Result<(), Fault> {
    let mut at = 0;
    for (piece, &(lba, blocks)) in plan.iter().enumerate() {
        let expected = request.lba.wrapping_add(at);
        if lba != expected {
            return Err(Fault::Gap {
                piece,
                expected,
                found: lba,
            });
        }
        let end = at.checked_add(blocks).filter(|&end| end <= request.blocks);
        let Some(end) = end else {
            let found = at.saturating_add(blocks);
            return Err(Fault::Cover {
                expected: request.blocks,
                found,
            });
        };
        if let Some(breach) = breach(world, request, at, end) {
            return Err(Fault::Illegal { piece, breach });
        }
        at = end;
    }
    if at != request.blocks {
        return Err(Fault::Cover {
            expected: request.blocks,
            found: at,
        });
    }
    let found = plan.len() as u64;
    match minimum(world, request) {
        Some(minimum) if minimum == found => Ok(()),
        other => Err(Fault::NotMinimal {
            minimum: other.unwrap_or(0),
            found,
        }),
    }
}
