//! Shapes of request: how each is read, and what its children look like.
//!
//! A shape turns its IRP into a [`Transfer`] and a plan; everything between that and the children's
//! request blocks (window, completion, retries, the error rule) knows nothing of the shape.
//!
//! This version has one: [`class`], for reads and writes that arrive directly above a port driver.

pub(crate) mod class;

use wdk_sys::{NTSTATUS, PIRP, PVOID};
use xfersplit_core::{
    limits::{AdapterLimits, Limits, Source, UNLIMITED, Voices},
    page::PAGE_SIZE,
    plan::{self, Options, Plan, Refusal, Request},
    settings::Settings,
    verdict::{Backoff, Context},
};

use crate::{
    srb,
    wdm::{irp::Irp, mdl::Mdl},
};

/// What a parent comes to.
pub(crate) enum Asked {
    /// A transfer, and a plan that covers all of it.
    Transfer(Transfer, Plan),
    /// Nothing to transfer: the answer is known.
    Answer(NTSTATUS),
}

/// A read or write, whatever it came as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// From memory to disk.
    pub(crate) write: bool,
    /// First block.
    pub(crate) lba: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// The buffer.
    pub(crate) mdl: Mdl,
    /// Where the data begins, as `MmGetMdlVirtualAddress` counts.
    pub(crate) index: PVOID,
    /// `SL_*` flags of the parent's stack location.
    pub(crate) stack_flags: u8,
    /// The data is the memory manager's: `IRP_PAGING_IO` or `IRP_SYNCHRONOUS_PAGING_IO`.
    pub(crate) paging: bool,
    /// No legal split exists; see [`Planned::Overstretched`].
    pub(crate) overstretched: bool,
}

/// One attempt of one piece.
pub(crate) struct Attempt {
    /// Bytes from the parent's start.
    pub(crate) position: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// Where the data begins, as `MmGetMdlVirtualAddress` counts.
    pub(crate) index: PVOID,
    /// The child.
    pub(crate) irp: PIRP,
}

/// Reads a parent. IRQL <= DISPATCH_LEVEL.
pub(crate) fn read(config: &Config, parent: &Irp) -> Asked {
    class::read(config, parent)
}

/// The request block of one attempt; `None` where no command can say it.
pub(crate) fn request(
    config: &Config,
    transfer: &Transfer,
    client: PIRP,
    attempt: &Attempt,
) -> Option<srb::Request> {
    class::request(config, transfer, client, attempt)
}

/// What start found out about a device. Never changes afterwards.
pub(crate) struct Config {
    limits: Limits,
    /// What is sent of a request that has no legal split, if only the adapter's descriptor objects.
    overstretched: Option<Limits>,
    options: Options,
    facts: class::Facts,
    window: u32,
    pieces: Option<u32>,
    attempts: u32,
    retry_delay_ms: Option<u32>,
    stack_size: i8,
}

/// A plan, and whether it keeps to the adapter's limits.
pub(crate) enum Planned {
    /// Every piece is legal.
    Legal(Plan),
    /// No legal split exists, and the only objection is the adapter's own descriptor: the pieces are
    /// those that Windows' class driver would send.
    Overstretched(Plan),
}

impl Config {
    pub(crate) fn new(
        settings: &Settings,
        voices: &Voices,
        limits: Limits,
        facts: class::Facts,
        stack_size: i8,
    ) -> Self {
        let sector = facts.capacity.physical_sector();
        let serial = facts.removable || !facts.queueing;
        Self {
            limits,
            overstretched: overstretched(voices, limits.sector_size()),
            options: Options {
                page_rule: settings.page_rule,
                physical_sector: sector.filter(|_| settings.physical_sector_cuts),
                lba_boundary: settings.lba_boundary,
                balanced: settings.balanced,
            },
            facts,
            window: if serial {
                1
            } else {
                settings.effective_window()
            },
            pieces: settings.pieces,
            attempts: settings.max_retries.unwrap_or(Settings::CLASS_RETRIES),
            retry_delay_ms: settings.retry_delay_ms,
            stack_size,
        }
    }

    /// Plans a transfer; nothing has been sent yet.
    pub(crate) fn plan(&self, request: &Request, mdl: Mdl) -> Result<Planned, Refusal> {
        match Plan::new(&self.limits, request, &self.options, &mdl) {
            Err(
                refusal @ Refusal::Unsplittable {
                    by: Source::Adapter,
                    ..
                },
            ) => {
                let limits = self.overstretched.as_ref().ok_or(refusal)?;
                Plan::new(limits, request, &Options::default(), &mdl).map(Planned::Overstretched)
            }
            planned => planned.map(Planned::Legal),
        }
    }

    /// Pieces of one parent in flight. One at a time where the order matters: on removable media,
    /// where the pieces behind a medium change would land on the new medium, and without command
    /// queueing.
    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    /// Pieces in the pool, if a setting says so.
    pub(crate) const fn pieces(&self) -> Option<u32> {
        self.pieces
    }

    /// Attempts of a piece beyond the first.
    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
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
        self.stack_size
    }

    /// Bytes of the largest piece that a partial MDL must show.
    pub(crate) fn largest_piece(&self) -> u32 {
        let longest = |limits: &Limits| plan::longest_piece(limits, self.options.page_rule);
        let overstretched = self.overstretched.as_ref().map_or(0, longest);
        longest(&self.limits).max(overstretched)
    }

    /// What the ladder halves in, bytes: pieces of pieces keep the buffer's alignment, as pieces do.
    pub(crate) fn ladder_unit(&self, misaligned: bool) -> u32 {
        let granularity = u32::try_from(self.limits.granularity()).unwrap_or(u32::MAX);
        if misaligned {
            self.sector()
        } else {
            granularity
        }
    }

    /// Bytes of a sector.
    pub(crate) const fn sector(&self) -> u32 {
        self.limits.sector_size()
    }

    /// What must be known to judge a piece.
    pub(crate) const fn context(&self, write: bool) -> Context {
        Context {
            removable: self.facts.removable,
            write,
        }
    }

    /// Whether the medium can be changed.
    pub(crate) const fn is_removable(&self) -> bool {
        self.facts.removable
    }
}

/// Milliseconds that a port short of resources gets to find some.
const LADDER_DELAY_MS: u32 = 10;

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
    let clamp = xfersplit_core::limits::Clamp {
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
