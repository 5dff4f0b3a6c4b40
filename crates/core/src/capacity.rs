//! READ CAPACITY data (SBC-4): how large a disk is, and how large its sectors really are.

use crate::bytes::{be16, be32, be64, byte};
use crate::plan::PhysicalSector;

/// Bytes that READ CAPACITY(10) returns.
pub const LENGTH_10: usize = 8;
/// Bytes that READ CAPACITY(16) returns; only the first 16 carry fields used here.
pub const LENGTH_16: usize = 32;

/// What a disk says about its size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// The last block that can be read.
    pub last_block: u64,
    /// Bytes in a block.
    pub block_size: u32,
    /// Binary logarithm of blocks per physical sector; 0 where one block is one sector or nothing
    /// was said.
    pub physical_exponent: u8,
    /// First block that begins a physical sector.
    pub lowest_aligned: u16,
    /// The blocks carry protection information, which travels with the data only if a command asks
    /// for it.
    pub protected: bool,
}

impl Capacity {
    /// READ CAPACITY(10) data; `None` if cut short or without a block size.
    ///
    /// A last block of `0xFFFF_FFFF` means that the disk is larger than the command can say
    /// ([`Capacity::needs_16`]).
    pub fn parse_10(data: &[u8]) -> Option<Self> {
        Self {
            last_block: u64::from(be32(data, 0)?),
            block_size: be32(data, 4)?,
            physical_exponent: 0,
            lowest_aligned: 0,
            protected: false,
        }
        .plausible()
    }

    /// READ CAPACITY(16) data; `None` if cut short or without a block size.
    pub fn parse_16(data: &[u8]) -> Option<Self> {
        Self {
            last_block: be64(data, 0)?,
            block_size: be32(data, 8)?,
            physical_exponent: byte(data, 13)? & 0x0F,
            lowest_aligned: be16(data, 14)? & 0x3FFF,
            protected: byte(data, 12)? & 1 == 1,
        }
        .plausible()
    }

    fn plausible(self) -> Option<Self> {
        (self.block_size != 0).then_some(self)
    }

    /// READ CAPACITY(10) could not say the size: ask with READ CAPACITY(16).
    pub const fn needs_16(&self) -> bool {
        self.last_block == u32::MAX as u64
    }

    /// The physical sector, if it is longer than a block.
    ///
    /// `None` also where it would not fit 32 bits, which no disk means.
    pub fn physical_sector(&self) -> Option<PhysicalSector> {
        if self.physical_exponent == 0 {
            return None;
        }
        let per_sector = 1_u32.checked_shl(u32::from(self.physical_exponent))?;
        Some(PhysicalSector {
            bytes: self.block_size.checked_mul(per_sector)?,
            first_aligned: self
                .block_size
                .checked_mul(u32::from(self.lowest_aligned))?,
        })
    }
}
