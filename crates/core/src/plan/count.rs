//! How many pieces, and how long the longest must be.

use super::Refusal;
use super::frames::PageFrames;
use super::rules::Rules;
use crate::math::{floor_to, modulo};

/// Counts the pieces of a request, and proves on the way that there is one everywhere.
///
/// A piece's length depends on its place only through remainders: the place in the page, in the
/// disk boundary, in the physical sector. Two pieces that start a multiple of [`Rules::period`]
/// apart are followed by the same pieces, so one turn of the wheel stands for all the turns that
/// fit, and the cost is that of a turn: for 512-byte sectors at most eight pieces, whatever the
/// request's length. Where a turn is longer than the request, or physical runs are counted, every
/// piece is visited.
///
/// A count beyond `enough` is not finished: it only says that there are more.
pub(super) fn count(
    rules: &Rules,
    enough: u64,
    frames: &(impl PageFrames + ?Sized),
) -> Result<u64, Refusal> {
    let mut wheel = rules.period();
    let mut offset: u64 = 0;
    let mut pieces: u64 = 0;
    // The turn is looked for as Brent does: the mark moves forward at powers of two, so it ends up
    // inside the repeating part.
    let mut mark = (0, 0);
    let mut move_mark_at: u64 = 1;
    while offset < rules.length && pieces <= enough {
        let cut = rules.cut(offset, frames)?;
        offset = offset.saturating_add(cut.length);
        pieces = pieces.saturating_add(1);
        let Some(period) = wheel else { continue };
        let (mark_offset, mark_pieces) = mark;
        let turn = offset.saturating_sub(mark_offset);
        if modulo(turn, period) == 0 {
            // The last pieces see the end of the request, so they are left to be visited.
            let left = rules.length.saturating_sub(offset);
            let repeating = floor_to(left.saturating_sub(rules.longest()), turn);
            let turns = repeating.checked_div(turn).unwrap_or(0);
            offset = offset.saturating_add(repeating);
            pieces =
                pieces.saturating_add(turns.saturating_mul(pieces.saturating_sub(mark_pieces)));
            wheel = None;
        } else if pieces == move_mark_at {
            mark = (offset, pieces);
            move_mark_at = move_mark_at.saturating_mul(2);
        }
    }
    Ok(pieces)
}

/// The smallest ceiling under which a request still has `pieces` pieces.
///
/// A ceiling is one more limit, closed under sub-ranges like the others, so the number of pieces
/// never rises with it and the smallest one is found by halving. With physical-sector cuts a piece
/// may pass the ceiling to reach its first boundary, because evenness is not worth a torn sector;
/// that too only ever moves cuts forward as the ceiling rises.
pub(super) fn balanced_ceiling(
    rules: &Rules,
    pieces: u64,
    frames: &(impl PageFrames + ?Sized),
) -> u64 {
    let sector = rules.sector.max(1);
    let share = rules.length.checked_div(pieces).unwrap_or(rules.length);
    // In sectors: nothing below `low` works, `high` does.
    let mut low = (share / sector).max(1);
    let mut high = rules.longest().div_ceil(sector).max(low);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut tried = *rules;
        tried.ceiling = middle.saturating_mul(sector);
        if count(&tried, pieces, frames) == Ok(pieces) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    high.saturating_mul(sector)
}
