//! xfersplit's own plan of a request that a person or a file describes.

use xfersplit_core::limits::{AdapterLimits, InvalidLimits, Limits, PieceCap, Voices};
use xfersplit_core::plan::{
    Bound, NoFrames, Options, PageFrames, PageRule, Plan, Refusal, Request,
};

pub use xfersplit_core::plan::PhysicalSector;

/// A request and everything that decides where it is cut.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Bytes in a sector.
    pub sector: u32,
    /// Offset of the buffer's first byte in its page.
    pub page_offset: u64,
    /// First sector.
    pub lba: u64,
    /// Bytes to move.
    pub length: u64,
    /// From memory to disk.
    pub write: bool,
    /// `MaximumTransferLength`; `u32::MAX` for none.
    pub maximum_transfer_length: u32,
    /// `MaximumPhysicalPages`; `u32::MAX` for none.
    pub maximum_physical_pages: u32,
    /// `AlignmentMask`.
    pub alignment_mask: u32,
    /// Most sectors the command block names.
    pub command_blocks: u32,
    /// The longest piece there are MDLs for.
    pub piece_cap: PieceCap,
    /// The device's options.
    pub options: Options,
    /// The page frames, for the rule that counts runs.
    pub frames: Option<Vec<u64>>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            sector: 512,
            page_offset: 0,
            lba: 0,
            length: 0,
            write: false,
            maximum_transfer_length: u32::MAX,
            maximum_physical_pages: u32::MAX,
            alignment_mask: 0,
            command_blocks: u32::MAX,
            piece_cap: PieceCap::NONE,
            options: Options::default(),
            frames: None,
        }
    }
}

/// One piece of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Start in the buffer, bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// First sector.
    pub lba: u64,
    /// What ended it.
    pub bound: Bound,
}

/// Why nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlan {
    /// The limits leave no room for a single sector.
    Limits(InvalidLimits),
    /// This request has no legal split.
    Refused(Refusal),
}

impl std::fmt::Display for NoPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limits(InvalidLimits::SectorSize { bytes }) => {
                write!(
                    f,
                    "a sector of {bytes} bytes is not one xfersplit works with"
                )
            }
            Self::Limits(InvalidLimits::ZeroTransferLength) => {
                write!(
                    f,
                    "MaximumTransferLength is 0: the descriptor was never filled in"
                )
            }
            Self::Limits(InvalidLimits::BelowOneSector {
                source,
                bytes,
                sector,
            }) => {
                write!(
                    f,
                    "{bytes} bytes ({}) leave no room for a sector of {sector}",
                    source.name()
                )
            }
            Self::Refused(Refusal::ZeroLength) => write!(f, "there is nothing to move"),
            Self::Refused(Refusal::NotSectorMultiple) => {
                write!(f, "the length is not a multiple of the sector")
            }
            Self::Refused(Refusal::LbaOverflow) => {
                write!(f, "the last sector lies beyond 64-bit sector numbers")
            }
            Self::Refused(Refusal::Unsplittable { by, bound, offset }) => {
                let (by, bound) = (by.name(), bound.name());
                write!(
                    f,
                    "no legal piece at byte {offset}: bound by {bound}, set by {by}"
                )
            }
        }
    }
}

/// The plan of a request: its pieces in order.
///
/// # Errors
/// Why nothing of it may be sent.
pub fn plan(ask: &Ask) -> Result<Vec<Cut>, NoPlan> {
    let adapter = AdapterLimits {
        maximum_transfer_length: ask.maximum_transfer_length,
        maximum_physical_pages: ask.maximum_physical_pages,
        alignment_mask: ask.alignment_mask,
    };
    let voices = Voices {
        piece_cap: ask.piece_cap,
        ..Voices::adapter(adapter)
    };
    let limits = Limits::normalise(&voices, ask.sector).map_err(NoPlan::Limits)?;
    let request = Request {
        va: ask.page_offset,
        lba: ask.lba,
        length: ask.length,
        write: ask.write,
        command_blocks: ask.command_blocks,
    };
    let frames: &dyn PageFrames = match &ask.frames {
        Some(frames) => &frames.as_slice(),
        None => &NoFrames,
    };
    let plan = Plan::new(&limits, &request, &ask.options, frames).map_err(NoPlan::Refused)?;
    let pieces = plan.pieces(frames);
    let cuts = pieces.map(|piece| Cut {
        offset: piece.offset,
        length: u64::from(piece.length),
        lba: piece.lba,
        bound: piece.bound_by,
    });
    Ok(cuts.collect())
}

/// The page rule of that name.
///
/// # Errors
/// A sentence with the names there are.
pub fn page_rule(name: &str) -> Result<PageRule, String> {
    match name {
        "spans" => Ok(PageRule::Spans),
        "document" => Ok(PageRule::Document),
        "breaks" => Ok(PageRule::Breaks),
        other => Err(format!(
            "'{other}' is not a page rule (spans, document or breaks)"
        )),
    }
}
