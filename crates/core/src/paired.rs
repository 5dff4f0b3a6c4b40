//! What a port driver tells its paired class driver: how much it can take in one transfer.
//!
//! "Splitting DMA Transfer Requests" lets a class driver split for its port driver only if it can
//! find out how many map registers the port driver has: from the registry, or through a private
//! interface of internal device I/O controls. This module is that interface's data, as bytes;
//! `include/xfersplit_port.h` is the same for port drivers in C.
//!
//! Question and answer share one block, which begins with the `SRB_IO_CONTROL` of ntddscsi.h:
//!
//! | Offset | Field | Question | Answer |
//! |---|---|---|---|
//! | 0 | `HeaderLength` | 28 | the same |
//! | 4 | `Signature` | `XFERSPLT` | the same |
//! | 12 | `Timeout` | seconds | ignored |
//! | 16 | `ControlCode` | [`CONTROL_CODE`] | the same |
//! | 20 | `ReturnCode` | 0 | 0, or the port driver's own reason to refuse |
//! | 24 | `Length` | 24: the bytes that follow | the same |
//! | 28 | `Version` | [`VERSION`] | the same |
//! | 32 | `Size` | 24 | the same |
//! | 36 | `Generation` | 0, or the last one seen | the current one, never 0 |
//! | 40 | `NumberOfMapRegisters` | 0 | pages one transfer may span |
//! | 44 | `NumberOfSegments` | 0 | entries of one scatter/gather list |
//! | 48 | `MaximumTransferLength` | 0 | bytes of one transfer |
//!
//! [`NO_LIMIT`] is no limit; 0, and fewer than 512 bytes, are never one. A question with generation 0
//! is answered at once; one with another generation waits until the limits are no longer those of
//! that generation, which makes it the change notification.

use crate::bytes::{array, le32};
use crate::math::{halves, joined};

/// `CTL_CODE(0x9F5A, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)`: the code of the internal device
/// control, and the `ControlCode` of the block.
pub const CONTROL_CODE: u32 = 0x9F5A_2004;

/// Whose control code it is.
pub const SIGNATURE: [u8; 8] = *b"XFERSPLT";

/// The version of the block that this module speaks.
pub const VERSION: u32 = 1;

/// Bytes of `SRB_IO_CONTROL` (ntddscsi.h).
pub const HEADER_LENGTH: u32 = 28;

/// Bytes behind the header.
pub const SIZE: u32 = 24;

/// Bytes of the whole block.
pub const LENGTH: usize = 52;

/// A limit that the port driver has not: `XFERSPLIT_PORT_NO_LIMIT`.
pub const NO_LIMIT: u32 = u32::MAX;

/// Bytes of the smallest sector there is: a port driver that takes less takes nothing.
const SMALLEST_SECTOR: u32 = 512;

/// What a port driver can take in one transfer: at least a page and a sector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PairedLimits {
    pages: u32,
    bytes: u32,
}

impl PairedLimits {
    /// Limits of this many map registers, scatter/gather segments and bytes, [`NO_LIMIT`] for none. A
    /// segment and a map register are a page each, for the class driver "must assume that each page in
    /// the transfer is discontiguous", so the smaller number counts. `None` if nothing could be moved
    /// under them.
    pub const fn new(map_registers: u32, segments: u32, bytes: u32) -> Option<Self> {
        if map_registers == 0 || segments == 0 || bytes < SMALLEST_SECTOR {
            return None;
        }
        let pages = if map_registers < segments {
            map_registers
        } else {
            segments
        };
        Some(Self { pages, bytes })
    }

    /// Pages one transfer may span; [`NO_LIMIT`] for any number.
    pub const fn pages(self) -> u32 {
        self.pages
    }

    /// Bytes of one transfer; [`NO_LIMIT`] for any number.
    pub const fn bytes(self) -> u32 {
        self.bytes
    }

    /// The stricter of both, limit by limit.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            pages: self.pages.min(other.pages),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// Both limits in one word, for places that are read while they are written; never 0.
    pub const fn to_bits(self) -> u64 {
        joined(self.bytes, self.pages)
    }

    /// What [`PairedLimits::to_bits`] made; `None` for 0.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        let (bytes, pages) = halves(bits);
        Self::new(pages, NO_LIMIT, bytes)
    }
}

/// A port driver's answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Which limits these are; the next question waits until it is another.
    pub generation: u32,
    /// The limits.
    pub limits: PairedLimits,
}

/// Why an answer was not believed. Nothing of such an answer counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nonsense {
    /// Fewer or more bytes than a block has.
    Length(usize),
    /// `HeaderLength`, `Length`, `ControlCode` or `Signature` are not those of the question: somebody
    /// answered another one.
    Header,
    /// The port driver's own reason to refuse.
    ReturnCode(u32),
    /// A version other than [`VERSION`].
    Version(u32),
    /// A size other than [`SIZE`].
    Size(u32),
    /// Generation 0, which no limits have.
    Generation,
    /// Limits under which nothing could be moved: no page, no segment, or less than a sector.
    TooSmall,
}

/// The question, waiting for limits of another generation than `generation`, or for none if that is 0.
pub fn question(generation: u32, timeout_seconds: u32) -> [u8; LENGTH] {
    let mut block = [0; LENGTH];
    let fields = [
        HEADER_LENGTH.to_le_bytes(),
        [b'X', b'F', b'E', b'R'],
        [b'S', b'P', b'L', b'T'],
        timeout_seconds.to_le_bytes(),
        CONTROL_CODE.to_le_bytes(),
        [0; 4],
        SIZE.to_le_bytes(),
        VERSION.to_le_bytes(),
        SIZE.to_le_bytes(),
        generation.to_le_bytes(),
    ];
    for (place, field) in block.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
        *place = field;
    }
    block
}

/// Reads an answer; `block` is as much of it as came back.
///
/// # Errors
///
/// [`Nonsense`], by the first field that makes no sense.
pub fn answer(block: &[u8]) -> Result<Answer, Nonsense> {
    let field = |offset| le32(block, offset).ok_or(Nonsense::Length(block.len()));
    if block.len() != LENGTH {
        return Err(Nonsense::Length(block.len()));
    }
    let header = (field(0)?, field(16)?, field(24)?);
    if header != (HEADER_LENGTH, CONTROL_CODE, SIZE) || array(block, 4) != Some(SIGNATURE) {
        return Err(Nonsense::Header);
    }
    match (field(20)?, field(28)?, field(32)?, field(36)?) {
        (0, VERSION, SIZE, 0) => Err(Nonsense::Generation),
        (0, VERSION, SIZE, generation) => PairedLimits::new(field(40)?, field(44)?, field(48)?)
            .map(|limits| Answer { generation, limits })
            .ok_or(Nonsense::TooSmall),
        (0, VERSION, size, _) => Err(Nonsense::Size(size)),
        (0, version, ..) => Err(Nonsense::Version(version)),
        (code, ..) => Err(Nonsense::ReturnCode(code)),
    }
}
