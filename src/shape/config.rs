//! What start found out about a device, and the plans that follow from it.

use xfersplit_core::{
    limits::{AdapterLimits, Clamp, Limits, PieceCap, Source, UNLIMITED, Voices},
    page::PAGE_SIZE,
    paired::PairedLimits,
    plan::{self, Options, PhysicalSector, Plan, Refusal, Request},
    settings::Settings,
    verdict::{Backoff, Context},
};

use super::class;
use crate::{srb::Format, wdm::mdl::Mdl};

/// Which requests are the device's to split.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Request blocks, beneath a class driver.
    Srb,
    /// Reads and writes, directly above a port driver.
    Class(class::Facts),
    /// Reads and writes, above a class driver.
    Relay,
}

/// What start found out, whatever the shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Which requests are ours.
    pub(crate) shape: Shape,
    /// Who limits a transfer.
    pub(crate) voices: Voices,
    /// The limits that follow, for blocks of the usual size.
    pub(crate) limits: Limits,
    /// The medium can be changed.
    pub(crate) removable: bool,
    /// The physical sector, where it is longer than a block.
    pub(crate) physical_sector: Option<PhysicalSector>,
    /// The request block format that the adapter asks for.
    pub(crate) format: Format,
    /// Stack locations of our IRPs.
    pub(crate) stack_size: i8,
}

/// What the engine works by. Never changes after start; what does, a request brings along ([`super::Terms`]).
pub(crate) struct Config {
    found: Found,
    options: Options,
    window: u32,
    pieces: Option<u32>,
    attempts: u32,
    retry_delay_ms: Option<u32>,
}

/// A plan, and whether it keeps to the adapter's limits.
pub(crate) enum Planned {
    /// Every piece is legal.
    Legal(Plan),
    /// No legal split exists, and the only objection is the adapter's own descriptor: the pieces are
    /// those that Windows' class driver would send.
    Overstretched(Plan),
}

/// Milliseconds that a port short of resources gets to find some.
const LADDER_DELAY_MS: u32 = 10;

impl Config {
    pub(crate) fn new(settings: &Settings, found: Found) -> Self {
        let retries = match found.shape {
            Shape::Class(_) => Settings::CLASS_RETRIES,
            // The class driver retries whole requests: budgets would multiply.
            Shape::Srb | Shape::Relay => 0,
        };
        Self {
            options: Options {
                page_rule: settings.page_rule,
                physical_sector: found
                    .physical_sector
                    .filter(|_| settings.physical_sector_cuts),
                lba_boundary: settings.lba_boundary,
                balanced: settings.balanced,
            },
            window: settings.effective_window(),
            pieces: settings.pieces,
            attempts: settings.max_retries.unwrap_or(retries),
            retry_delay_ms: settings.retry_delay_ms,
            found,
        }
    }

    /// Which requests are ours.
    pub(crate) const fn shape(&self) -> &Shape {
        &self.found.shape
    }

    /// The limits for blocks of this size, with what a paired port driver has told by now; `None` if
    /// the others leave no room for a block. Beneath a class driver each request says itself how large
    /// its blocks are.
    pub(crate) fn limits(&self, sector: u32, told: Option<PairedLimits>) -> Option<Limits> {
        let usual = sector == self.sector();
        if usual && told.is_none() {
            return Some(self.found.limits);
        }
        let voices = Voices {
            // The MDLs were made for the usual blocks.
            piece_cap: if usual {
                self.found.voices.piece_cap
            } else {
                PieceCap::new(self.largest_piece())
            },
            ..self.found.voices
        };
        // A port driver that takes less than a block can't have meant it.
        let stricter = told.map(|told| voices.told(told));
        stricter
            .and_then(|voices| Limits::normalise(&voices, sector).ok())
            .or_else(|| Limits::normalise(&voices, sector).ok())
    }

    /// Plans a transfer; nothing has been sent yet.
    pub(crate) fn plan(
        &self,
        limits: &Limits,
        request: &Request,
        mdl: Mdl,
    ) -> Result<Planned, Refusal> {
        let usual = limits.sector_size() == self.sector();
        let options = Options {
            physical_sector: self.options.physical_sector.filter(|_| usual),
            lba_boundary: self.options.lba_boundary.filter(|&at| can_keep(limits, at)),
            ..self.options
        };
        match Plan::new(limits, request, &options, &mdl) {
            Err(
                refusal @ Refusal::Unsplittable {
                    by: Source::Adapter,
                    ..
                },
            ) => {
                let limits =
                    overstretched(&self.found.voices, limits.sector_size()).ok_or(refusal)?;
                Plan::new(&limits, request, &Options::default(), &mdl).map(Planned::Overstretched)
            }
            planned => planned.map(Planned::Legal),
        }
    }

    /// Pieces of one parent in flight. One at a time where the order matters.
    pub(crate) const fn window(&self, serial: bool) -> u32 {
        if serial { 1 } else { self.window }
    }

    /// Pieces in the pool, if a setting says so.
    pub(crate) const fn pieces(&self) -> Option<u32> {
        self.pieces
    }

    /// Pieces in flight at most, whatever the request.
    pub(crate) const fn widest_window(&self) -> u32 {
        self.window
    }

    /// Attempts of a piece beyond the first. In the class shape errors are ours to judge and queues
    /// ours to thaw; elsewhere a request that is sent in order ends with its first failure.
    pub(crate) const fn attempts(&self, serial: bool) -> u32 {
        if serial && !self.thaws_queues() {
            0
        } else {
            self.attempts
        }
    }

    /// Milliseconds before the next attempt.
    pub(crate) fn retry_delay_ms(&self, backoff: Backoff) -> u32 {
        self.retry_delay_ms.unwrap_or(backoff.delay_ms())
    }

    /// Milliseconds before the later rungs of the ladder.
    pub(crate) fn ladder_delay_ms(&self) -> u32 {
        self.retry_delay_ms.unwrap_or(LADDER_DELAY_MS)
    }

    /// Stack locations of our IRPs.
    pub(crate) const fn stack_size(&self) -> i8 {
        self.found.stack_size
    }

    /// Bytes of the largest piece that a partial MDL must show.
    pub(crate) fn largest_piece(&self) -> u32 {
        let longest = |limits: &Limits| plan::longest_piece(limits, self.options.page_rule);
        let overstretched =
            overstretched(&self.found.voices, self.sector()).map_or(0, |limits| longest(&limits));
        let largest = longest(&self.found.limits).max(overstretched);
        match self.found.shape {
            // Requests may come in larger blocks than those that were expected.
            Shape::Srb => largest.max(PieceCap::MIN),
            Shape::Class(_) | Shape::Relay => largest,
        }
    }

    /// Bytes of a usual block.
    pub(crate) const fn sector(&self) -> u32 {
        self.found.limits.sector_size()
    }

    /// What must be known to judge a piece.
    pub(crate) const fn context(&self, write: bool) -> Context {
        Context {
            removable: self.found.removable,
            write,
        }
    }

    /// Whether the medium can be changed: then pieces go one at a time, for those behind a change
    /// would land on the new medium.
    pub(crate) const fn is_removable(&self) -> bool {
        self.found.removable
    }

    /// Whether a frozen queue is ours to release. Elsewhere it is the class driver's, which must look
    /// at the error first.
    pub(crate) const fn thaws_queues(&self) -> bool {
        matches!(self.found.shape, Shape::Class(_))
    }

    /// The request block format that the adapter asks for.
    pub(crate) const fn format(&self) -> Format {
        self.found.format
    }
}

/// Whether pieces can end at multiples of `boundary` bytes: one between two sectors, or where the
/// buffer's alignment allows no cut, would leave no legal split of anything.
pub(crate) fn can_keep(limits: &Limits, boundary: u64) -> bool {
    boundary.is_multiple_of(limits.granularity())
}

/// classpnp never sends less than a page, whatever the descriptor says (xferpkt.c,
/// InitializeTransferPackets): pieces of one page, or of one sector where that is more, wherever in
/// a page they begin. Only for adapters that nobody else restricts.
fn overstretched(voices: &Voices, sector: u32) -> Option<Limits> {
    let bytes = (PAGE_SIZE as u32)
        .max(sector)
        .min(voices.adapter.maximum_transfer_length);
    let adapter = AdapterLimits {
        maximum_transfer_length: bytes,
        maximum_physical_pages: UNLIMITED,
        alignment_mask: voices.adapter.alignment_mask,
    };
    let clamp = Clamp {
        pages: None,
        map_registers: None,
        ..voices.clamp
    };
    Limits::normalise(
        &Voices {
            adapter,
            clamp,
            ..*voices
        },
        sector,
    )
    .ok()
}
