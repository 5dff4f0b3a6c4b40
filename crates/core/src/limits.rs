//! The limits of one device, from everybody who has a say, made into one set.
//!
//! Five voices are heard: the adapter's descriptor, the device's own Block Limits page, a paired port
//! driver, the number of map registers, and the other settings of the person who installed the
//! driver. Each may only make a limit stricter, none can raise one. What was decided, by
//! whom and what had to be ignored stays readable, because the first question about a wrong split
//! is who wanted it.

use crate::math::{floor_to, lcm};
use crate::page::PAGE_SIZE;
use crate::paired::PairedLimits;

/// How `STORAGE_ADAPTER_DESCRIPTOR` says "no limit" (`SP_UNINITIALIZED_VALUE` of a miniport that
/// never set one).
pub const UNLIMITED: u32 = u32::MAX;

/// Largest sector size taken seriously, in bytes.
pub const MAX_SECTOR_SIZE: u32 = 64 * 1024;

/// The three fields of `STORAGE_ADAPTER_DESCRIPTOR` that limit a transfer, raw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdapterLimits {
    /// `MaximumTransferLength`, bytes; [`UNLIMITED`] for none.
    pub maximum_transfer_length: u32,
    /// `MaximumPhysicalPages`, entries of the adapter's scatter/gather list; [`UNLIMITED`] for
    /// none.
    pub maximum_physical_pages: u32,
    /// `AlignmentMask`: the bits that must be clear in a buffer's address.
    pub alignment_mask: u32,
}

impl AdapterLimits {
    /// An adapter that takes anything.
    pub const NONE: Self = Self {
        maximum_transfer_length: UNLIMITED,
        maximum_physical_pages: UNLIMITED,
        alignment_mask: 0,
    };
}

/// The device's own limit: VPD page 0xB0, MAXIMUM TRANSFER LENGTH.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockLimits {
    /// Blocks in one command; 0 when the device reports no limit.
    pub maximum_transfer_blocks: u32,
}

/// What settings ask for; `None` leaves a limit as it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Clamp {
    /// Bytes in one transfer.
    pub bytes: Option<u32>,
    /// Pages one transfer may touch.
    pub pages: Option<u32>,
    /// Map registers for one transfer: each maps one page, so this too is a number of pages
    /// [Microsoft, Splitting DMA Transfer Requests].
    pub map_registers: Option<u32>,
}

/// Who set an effective limit.
///
/// Two voices that ask for the same value are told apart in favour of the later one in this list: a
/// limit that a person set is theirs even where the adapter happens to agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The adapter's descriptor.
    Adapter,
    /// The device's Block Limits page.
    BlockLimits,
    /// A paired port driver, through the private interface or the registry.
    PairedPort,
    /// The number of map registers.
    MapRegisters,
    /// A setting.
    Setting,
}

impl Source {
    /// A word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::BlockLimits => "block limits page",
            Self::PairedPort => "paired port driver",
            Self::MapRegisters => "map registers",
            Self::Setting => "setting",
        }
    }
}

/// The longest piece of a request that must be split, whatever the adapter would take.
///
/// Every piece needs an MDL that was made when the device started, so an adapter without limits
/// must not mean an MDL without limits. `MDL.Size` is a signed 16-bit number of bytes, so an MDL
/// describes at most about 4089 page frames: a piece has at most 4088 pages and may start inside
/// the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PieceCap(u32);

impl PieceCap {
    /// The most that [`PieceCap::new`] gives, bytes: 4088 pages.
    pub const MAX: u32 = 4088 * PAGE_SIZE as u32;
    /// The least that [`PieceCap::new`] gives, bytes: the largest sector.
    pub const MIN: u32 = MAX_SECTOR_SIZE;
    /// 8 MiB.
    pub const DEFAULT: Self = Self(8 * 1024 * 1024);
    /// No cap but the 32 bits of a transfer length: for callers that hold no MDLs, such as a
    /// comparison with other splitters.
    pub const NONE: Self = Self(u32::MAX);

    /// A cap of `bytes`, moved into [`PieceCap::MIN`]`..=`[`PieceCap::MAX`].
    pub const fn new(bytes: u32) -> Self {
        if bytes < Self::MIN {
            Self(Self::MIN)
        } else if bytes > Self::MAX {
            Self(Self::MAX)
        } else {
            Self(bytes)
        }
    }

    /// The cap in bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for PieceCap {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Everything that [`Limits::normalise`] weighs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Voices {
    /// The adapter's descriptor.
    pub adapter: AdapterLimits,
    /// The device's Block Limits page, if it was asked for and answered.
    pub block_limits: Option<BlockLimits>,
    /// A paired port driver, if there is one.
    pub paired: Option<PairedLimits>,
    /// Settings.
    pub clamp: Clamp,
    /// The longest piece there are MDLs for.
    pub piece_cap: PieceCap,
}

impl Voices {
    /// The adapter alone, with the usual piece cap.
    pub const fn adapter(adapter: AdapterLimits) -> Self {
        Self {
            adapter,
            block_limits: None,
            paired: None,
            clamp: Clamp {
                bytes: None,
                pages: None,
                map_registers: None,
            },
            piece_cap: PieceCap::DEFAULT,
        }
    }

    /// The same voices, with what a paired port driver tells added to what it may have told before.
    #[must_use]
    pub fn told(self, limits: PairedLimits) -> Self {
        let paired = self.paired.map_or(limits, |before| before.and(limits));
        Self {
            paired: Some(paired),
            ..self
        }
    }
}

/// Why a set of limits cannot be worked with. The device then passes everything through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidLimits {
    /// A sector of 0 bytes or of more than [`MAX_SECTOR_SIZE`].
    SectorSize {
        /// What was given, bytes.
        bytes: u32,
    },
    /// `MaximumTransferLength` is 0: nobody filled in the descriptor.
    ZeroTransferLength,
    /// A limit in bytes that is smaller than a sector.
    BelowOneSector {
        /// Whose limit.
        source: Source,
        /// The limit, bytes.
        bytes: u32,
        /// The sector, bytes.
        sector: u32,
    },
}

/// Why a Block Limits page was not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Implausible {
    /// Fewer than [`MIN_PLAUSIBLE_BLOCKS`].
    FewBlocks,
    /// Fewer than [`MIN_PLAUSIBLE_BYTES`].
    FewBytes,
}

/// A Block Limits page with fewer blocks than this is ignored: a device that really took so little
/// could not be used at all.
pub const MIN_PLAUSIBLE_BLOCKS: u32 = 8;

/// A Block Limits page that comes to fewer bytes than this is ignored.
pub const MIN_PLAUSIBLE_BYTES: u64 = 4096;

/// What normalising changed or ignored, for the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Notes {
    /// The limit in bytes as it was before it was rounded down to whole sectors.
    pub bytes_rounded_from: Option<u32>,
    /// A limit of 0 pages was taken as 1, as classpnp takes it (`xferpkt.c`,
    /// `InitializeTransferPackets`).
    pub zero_pages_as_one: bool,
    /// The Block Limits page was ignored.
    pub block_limits_ignored: Option<Implausible>,
    /// `AlignmentMask` had holes (documented values are `2^n - 1`) and was filled up to the next
    /// one without.
    pub alignment_mask_filled: bool,
}

/// A value and who set it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sourced {
    value: u32,
    source: Source,
}

impl Sourced {
    /// Lets `source` make the limit stricter. An unlimited voice says nothing.
    const fn clamp(self, value: u32, source: Source) -> Self {
        if value <= self.value && value != UNLIMITED {
            Self { value, source }
        } else {
            self
        }
    }
}

/// The effective limits for one sector size.
///
/// Making them is a dozen operations, so a driver that learns the sector size only from each
/// request may normalise per request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    sector: u32,
    bytes: Sourced,
    pages: Sourced,
    alignment_mask: u32,
    piece_cap: PieceCap,
    notes: Notes,
}

impl Limits {
    /// Weighs `voices` for sectors of `sector` bytes.
    ///
    /// - 0 bytes or less than a sector: invalid. classpnp raises such limits to a page instead and
    ///   then exceeds them.
    /// - Not a multiple of the sector: rounded down. classpnp never rounds; its command block and
    ///   its buffer then disagree.
    /// - `0xFFFFFFFF`: no limit.
    /// - 0 pages: 1 page.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] if some limit leaves no room for a single sector.
    pub fn normalise(voices: &Voices, sector: u32) -> Result<Self, InvalidLimits> {
        if sector == 0 || sector > MAX_SECTOR_SIZE {
            return Err(InvalidLimits::SectorSize { bytes: sector });
        }
        if voices.adapter.maximum_transfer_length == 0 {
            return Err(InvalidLimits::ZeroTransferLength);
        }
        let mut notes = Notes::default();
        let bytes = weigh_bytes(voices, sector, &mut notes)?;
        let pages = weigh_pages(voices, &mut notes);
        let alignment_mask = filled(voices.adapter.alignment_mask);
        notes.alignment_mask_filled = alignment_mask != voices.adapter.alignment_mask;
        Ok(Self {
            sector,
            bytes,
            pages,
            alignment_mask,
            piece_cap: voices.piece_cap,
            notes,
        })
    }

    /// Bytes in a sector.
    pub const fn sector_size(&self) -> u32 {
        self.sector
    }

    /// Most bytes in one transfer, a multiple of the sector; `None` without limit.
    pub const fn maximum_bytes(&self) -> Option<u32> {
        limited(self.bytes.value)
    }

    /// Who set [`Limits::maximum_bytes`].
    pub const fn bytes_source(&self) -> Source {
        self.bytes.source
    }

    /// Most pages one transfer may touch, at least 1; `None` without limit.
    pub const fn maximum_pages(&self) -> Option<u32> {
        limited(self.pages.value)
    }

    /// Who set [`Limits::maximum_pages`].
    pub const fn pages_source(&self) -> Source {
        self.pages.source
    }

    /// The adapter's alignment mask, `2^n - 1`.
    pub const fn alignment_mask(&self) -> u32 {
        self.alignment_mask
    }

    /// What pieces must be multiples of so that they keep the alignment of their parent:
    /// the least common multiple of the sector and `AlignmentMask + 1`, bytes.
    pub fn granularity(&self) -> u64 {
        let alignment = u64::from(self.alignment_mask).saturating_add(1);
        lcm(u64::from(self.sector), alignment).unwrap_or(u64::MAX)
    }

    /// The longest piece there are MDLs for.
    pub const fn piece_cap(&self) -> PieceCap {
        self.piece_cap
    }

    /// What was changed or ignored on the way.
    pub const fn notes(&self) -> Notes {
        self.notes
    }

    /// Whether a device obeying `adapter` alone could send what these limits forbid.
    pub const fn stricter_than(&self, adapter: &AdapterLimits) -> bool {
        self.bytes.value < adapter.maximum_transfer_length
            || self.pages.value < adapter.maximum_physical_pages
            || self.alignment_mask > adapter.alignment_mask
    }
}

/// A limit, or `None` for [`UNLIMITED`].
const fn limited(value: u32) -> Option<u32> {
    if value == UNLIMITED {
        None
    } else {
        Some(value)
    }
}

/// The limit in bytes, rounded down to sectors.
fn weigh_bytes(voices: &Voices, sector: u32, notes: &mut Notes) -> Result<Sourced, InvalidLimits> {
    let mut bytes = Sourced {
        value: voices.adapter.maximum_transfer_length,
        source: Source::Adapter,
    };
    if let Some(limits) = voices.block_limits {
        match plausible_bytes(limits, sector) {
            Ok(value) => bytes = bytes.clamp(value, Source::BlockLimits),
            Err(reason) => notes.block_limits_ignored = Some(reason),
        }
    }
    if let Some(paired) = voices.paired {
        bytes = bytes.clamp(paired.bytes(), Source::PairedPort);
    }
    if let Some(value) = voices.clamp.bytes {
        bytes = bytes.clamp(value, Source::Setting);
    }
    if bytes.value == UNLIMITED {
        return Ok(bytes);
    }
    let rounded = floor_to(u64::from(bytes.value), u64::from(sector)) as u32;
    if rounded == 0 {
        return Err(InvalidLimits::BelowOneSector {
            source: bytes.source,
            bytes: bytes.value,
            sector,
        });
    }
    if rounded != bytes.value {
        notes.bytes_rounded_from = Some(bytes.value);
    }
    Ok(Sourced {
        value: rounded,
        source: bytes.source,
    })
}

/// The limit in pages, at least 1.
fn weigh_pages(voices: &Voices, notes: &mut Notes) -> Sourced {
    let mut pages = Sourced {
        value: voices.adapter.maximum_physical_pages,
        source: Source::Adapter,
    };
    if let Some(paired) = voices.paired {
        pages = pages.clamp(paired.pages(), Source::PairedPort);
    }
    if let Some(value) = voices.clamp.map_registers {
        pages = pages.clamp(value, Source::MapRegisters);
    }
    if let Some(value) = voices.clamp.pages {
        pages = pages.clamp(value, Source::Setting);
    }
    if pages.value == 0 {
        pages.value = 1;
        notes.zero_pages_as_one = true;
    }
    pages
}

/// The bytes a Block Limits page allows, [`UNLIMITED`] where it names no limit or one beyond 32
/// bits.
fn plausible_bytes(limits: BlockLimits, sector: u32) -> Result<u32, Implausible> {
    let blocks = limits.maximum_transfer_blocks;
    if blocks == 0 {
        return Ok(UNLIMITED);
    }
    if blocks < MIN_PLAUSIBLE_BLOCKS {
        return Err(Implausible::FewBlocks);
    }
    let bytes = u64::from(blocks).saturating_mul(u64::from(sector));
    if bytes < MIN_PLAUSIBLE_BYTES {
        return Err(Implausible::FewBytes);
    }
    Ok(u32::try_from(bytes).unwrap_or(UNLIMITED))
}

/// `mask` with every bit below its highest one set.
const fn filled(mask: u32) -> u32 {
    match u32::MAX.checked_shr(mask.leading_zeros()) {
        Some(full) => full,
        None => 0,
    }
}
