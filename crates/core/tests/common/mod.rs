//! What several tests need: requests in one line, and a second opinion on legality.

#![allow(dead_code, reason = "every test file uses another part")]

use xfersplit_core::limits::{AdapterLimits, Clamp, Limits, PieceCap, UNLIMITED, Voices};
use xfersplit_core::plan::{NoFrames, Options, PageFrames, Piece, Plan, Refusal, Request};

pub(crate) mod request_blocks;

pub(crate) const PAGE: u64 = 4096;

/// The adapter alone, without a piece cap: what other splitters are compared with.
pub(crate) fn voices(bytes: u32, pages: u32, mask: u32) -> Voices {
    Voices {
        adapter: AdapterLimits {
            maximum_transfer_length: bytes,
            maximum_physical_pages: pages,
            alignment_mask: mask,
        },
        block_limits: None,
        paired: None,
        clamp: Clamp::default(),
        piece_cap: PieceCap::NONE,
    }
}

pub(crate) fn limits(bytes: u32, pages: u32, mask: u32, sector: u32) -> Limits {
    Limits::normalise(&voices(bytes, pages, mask), sector).expect("valid limits")
}

/// A read of `blocks` sectors whose buffer starts at `va`.
pub(crate) fn read(va: u64, lba: u64, blocks: u64, sector: u32) -> Request {
    Request {
        va,
        lba,
        length: blocks * u64::from(sector),
        write: false,
        command_blocks: u32::MAX,
    }
}

/// The plan's pieces, after checking that they tile the request and that the count is exact.
pub(crate) fn pieces(
    limits: &Limits,
    request: &Request,
    options: &Options,
    frames: &impl PageFrames,
) -> Result<Vec<Piece>, Refusal> {
    let plan = Plan::new(limits, request, options, frames)?;
    let pieces: Vec<Piece> = plan.pieces(frames).collect();
    assert_eq!(pieces.len() as u64, plan.count(), "count of {request:?}");
    let sector = u64::from(limits.sector_size());
    let mut offset = 0;
    for (index, piece) in pieces.iter().enumerate() {
        assert_eq!(piece.index, index as u64);
        assert_eq!(piece.offset, offset, "gap or overlap in {request:?}");
        assert_eq!(piece.lba, request.lba + offset / sector);
        assert_ne!(piece.length, 0);
        assert_eq!(u64::from(piece.length) % sector, 0);
        offset += u64::from(piece.length);
    }
    assert_eq!(offset, request.length, "cover of {request:?}");
    Ok(pieces)
}

/// First block and number of blocks of each piece, with the usual options.
pub(crate) fn blocks(limits: &Limits, request: &Request) -> Result<Vec<(u64, u64)>, Refusal> {
    let pieces = pieces(limits, request, &Options::default(), &NoFrames)?;
    Ok(in_blocks(&pieces, limits.sector_size()))
}

pub(crate) fn in_blocks(pieces: &[Piece], sector: u32) -> Vec<(u64, u64)> {
    pieces
        .iter()
        .map(|piece| (piece.lba, u64::from(piece.length / sector)))
        .collect()
}

/// Pages that a range touches, counted the slow way: first and last page number.
pub(crate) fn touched(va: u64, length: u64) -> u64 {
    let first = u128::from(va) / u128::from(PAGE);
    let last = (u128::from(va) + u128::from(length) - 1) / u128::from(PAGE);
    (last - first + 1) as u64
}

pub(crate) const NO_LIMIT: u32 = UNLIMITED;
