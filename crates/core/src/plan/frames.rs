//! The physical pages under a buffer, where a page rule wants to know them.

use crate::page::{PAGE_SIZE, page_offset};

/// Physical page frames of a request's buffer.
///
/// Asked again for every piece, so the answers must not change while the plan lives; an MDL's PFN
/// array does not.
pub trait PageFrames {
    /// Frame number of the `index`th page of the buffer, page 0 being the one its first byte lies
    /// in. `None` if it is not known: such a page counts as a run of its own.
    fn frame(&self, index: u64) -> Option<u64>;
}

/// No knowledge of the frames: every page counts as discontiguous.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFrames;

impl PageFrames for NoFrames {
    fn frame(&self, _index: u64) -> Option<u64> {
        None
    }
}

impl PageFrames for [u64] {
    fn frame(&self, index: u64) -> Option<u64> {
        self.get(usize::try_from(index).ok()?).copied()
    }
}

impl<F: PageFrames + ?Sized> PageFrames for &F {
    fn frame(&self, index: u64) -> Option<u64> {
        (**self).frame(index)
    }
}

/// Bytes from `start` (counted from the beginning of the buffer's first page) that consist of at
/// most `runs` physically contiguous runs.
///
/// Stops counting as soon as `wanted` bytes are known to fit, so the cost is the pages of one
/// piece.
pub(super) fn room_in_runs(
    frames: &(impl PageFrames + ?Sized),
    start: u64,
    runs: u64,
    wanted: u64,
) -> u64 {
    let mut index = start / PAGE_SIZE;
    let mut room = PAGE_SIZE - page_offset(start);
    let mut last = frames.frame(index);
    let mut used: u64 = 1;
    while room < wanted {
        index = index.saturating_add(1);
        let frame = frames.frame(index);
        let follows = last
            .and_then(|last| last.checked_add(1))
            .is_some_and(|next| Some(next) == frame);
        if !follows {
            used = used.saturating_add(1);
            if used > runs {
                break;
            }
        }
        room = room.saturating_add(PAGE_SIZE);
        last = frame;
    }
    room
}
