//! Command blocks of READ and WRITE (SBC-4), read, rewritten for a piece, and made.
//!
//! Only READ and WRITE of 6, 10, 12 and 16 bytes are known here. Everything else (WRITE AND VERIFY,
//! WRITE ATOMIC, COMPARE AND WRITE, WRITE SAME, the 32-byte forms) means something else when cut in
//! two and is never split.

use crate::bytes::{array, be16, be32, be64, byte};

/// Longest command block handled, bytes.
pub const MAX_LENGTH: usize = 16;

/// Bit of byte 1 in every form but the 6-byte one: force unit access.
const FUA: u8 = 0x08;
/// Bit of byte 1 in every form but the 6-byte one: disable page out.
const DPO: u8 = 0x10;

/// The length of a command block.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CdbSize {
    /// 6 bytes: 21-bit block numbers, 256 blocks, no FUA.
    Six,
    /// 10 bytes: 32-bit block numbers, 65 535 blocks.
    Ten,
    /// 12 bytes: 32-bit block numbers, 2^32 - 1 blocks.
    Twelve,
    /// 16 bytes: 64-bit block numbers, 2^32 - 1 blocks.
    Sixteen,
}

impl CdbSize {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Six, Self::Ten, Self::Twelve, Self::Sixteen];

    /// Bytes of the command block.
    pub const fn length(self) -> u8 {
        match self {
            Self::Six => 6,
            Self::Ten => 10,
            Self::Twelve => 12,
            Self::Sixteen => 16,
        }
    }

    /// The size with that many bytes.
    pub const fn from_length(length: u32) -> Option<Self> {
        match length {
            6 => Some(Self::Six),
            10 => Some(Self::Ten),
            12 => Some(Self::Twelve),
            16 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// Most blocks one command can name.
    pub const fn max_blocks(self) -> u32 {
        match self {
            Self::Six => 256,
            Self::Ten => 0xFFFF,
            Self::Twelve | Self::Sixteen => u32::MAX,
        }
    }

    /// Highest block number the command can name.
    pub const fn max_lba(self) -> u64 {
        match self {
            Self::Six => 0x1F_FFFF,
            Self::Ten | Self::Twelve => u32::MAX as u64,
            Self::Sixteen => u64::MAX,
        }
    }

    /// The form to use for a disk whose last block is `last_lba`: 10 bytes, or 16 where the numbers
    /// need it, as classpnp chooses (`xferpkt.c`, `SetupReadWriteTransferPacket`). Devices need not
    /// know the others.
    pub const fn for_disk(last_lba: u64) -> Self {
        if last_lba > Self::Ten.max_lba() {
            Self::Sixteen
        } else {
            Self::Ten
        }
    }
}

/// Which way the data go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From disk to memory.
    Read,
    /// From memory to disk.
    Write,
}

/// What a READ or WRITE asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Command {
    /// The length of its block.
    pub size: CdbSize,
    /// Which way the data go.
    pub direction: Direction,
    /// First block.
    pub lba: u64,
    /// Blocks. 0 moves nothing; the 6-byte form, where 0 stands for 256, never gives 0.
    pub blocks: u32,
    /// Force unit access.
    pub fua: bool,
    /// Disable page out.
    pub dpo: bool,
    /// RDPROTECT or WRPROTECT, 3 bits. Other than 0 the data may carry protection information, and
    /// a block in memory is longer than a block on the disk.
    pub protect: u8,
}

/// Why a command block could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CdbError {
    /// Not a READ or WRITE, or cut short.
    NotReadWrite,
    /// The first or last block has a number the form cannot name.
    LbaTooLarge,
    /// More blocks than the form can name, or none.
    BlockCount,
    /// The 6-byte form has no FUA and DPO bits.
    NoFua,
}

/// Size and direction of an opcode.
const fn form(opcode: u8) -> Option<(CdbSize, Direction)> {
    match opcode {
        0x08 => Some((CdbSize::Six, Direction::Read)),
        0x0A => Some((CdbSize::Six, Direction::Write)),
        0x28 => Some((CdbSize::Ten, Direction::Read)),
        0x2A => Some((CdbSize::Ten, Direction::Write)),
        0xA8 => Some((CdbSize::Twelve, Direction::Read)),
        0xAA => Some((CdbSize::Twelve, Direction::Write)),
        0x88 => Some((CdbSize::Sixteen, Direction::Read)),
        0x8A => Some((CdbSize::Sixteen, Direction::Write)),
        _ => None,
    }
}

/// The opcode of a form.
pub const fn opcode(size: CdbSize, direction: Direction) -> u8 {
    match (size, direction) {
        (CdbSize::Six, Direction::Read) => 0x08,
        (CdbSize::Six, Direction::Write) => 0x0A,
        (CdbSize::Ten, Direction::Read) => 0x28,
        (CdbSize::Ten, Direction::Write) => 0x2A,
        (CdbSize::Twelve, Direction::Read) => 0xA8,
        (CdbSize::Twelve, Direction::Write) => 0xAA,
        (CdbSize::Sixteen, Direction::Read) => 0x88,
        (CdbSize::Sixteen, Direction::Write) => 0x8A,
    }
}

/// Reads a command block. `cdb` may be longer than the command, as the 16-byte field of an SRB is;
/// `None` for anything but a READ or WRITE.
pub fn decode(cdb: &[u8]) -> Option<Command> {
    let (size, direction) = form(byte(cdb, 0)?)?;
    cdb.get(..usize::from(size.length()))?;
    let flags = byte(cdb, 1)?;
    let (lba, blocks) = match size {
        CdbSize::Six => {
            let [high, middle, low] = array(cdb, 1)?;
            let lba = u32::from_be_bytes([0, high & 0x1F, middle, low]);
            let blocks = match byte(cdb, 4)? {
                0 => 256,
                blocks => u32::from(blocks),
            };
            (u64::from(lba), blocks)
        }
        CdbSize::Ten => (u64::from(be32(cdb, 2)?), u32::from(be16(cdb, 7)?)),
        CdbSize::Twelve => (u64::from(be32(cdb, 2)?), be32(cdb, 6)?),
        CdbSize::Sixteen => (be64(cdb, 2)?, be32(cdb, 10)?),
    };
    let has_flags = size != CdbSize::Six;
    Some(Command {
        size,
        direction,
        lba,
        blocks,
        fua: has_flags && flags & FUA != 0,
        dpo: has_flags && flags & DPO != 0,
        protect: if has_flags { flags >> 5 } else { 0 },
    })
}

/// Gives the READ or WRITE in `cdb` other blocks and leaves every other bit as it is: FUA, DPO,
/// protection, group number, control.
///
/// # Errors
///
/// [`CdbError`], with `cdb` unchanged, if it is not a READ or WRITE or the form cannot name these
/// blocks.
pub fn rewrite(cdb: &mut [u8], lba: u64, blocks: u32) -> Result<(), CdbError> {
    let command = decode(cdb).ok_or(CdbError::NotReadWrite)?;
    check(command.size, lba, blocks)?;
    place(cdb, command.size, lba, blocks).ok_or(CdbError::NotReadWrite)
}

/// Whether the form can name these blocks.
fn check(size: CdbSize, lba: u64, blocks: u32) -> Result<(), CdbError> {
    if blocks == 0 || blocks > size.max_blocks() {
        return Err(CdbError::BlockCount);
    }
    let last = lba.checked_add(u64::from(blocks).saturating_sub(1));
    match last {
        Some(last) if last <= size.max_lba() => Ok(()),
        _ => Err(CdbError::LbaTooLarge),
    }
}

/// Writes the two fields. `None` if the block is too short for them.
fn place(cdb: &mut [u8], size: CdbSize, lba: u64, blocks: u32) -> Option<()> {
    let [.., b5, b6, b7] = lba.to_be_bytes();
    match size {
        CdbSize::Six => {
            let field = cdb.get_mut(1..5)?;
            let kept = byte(field, 0)? & 0xE0;
            // 256 blocks are written as 0: the low byte does it.
            field.copy_from_slice(&[kept | (b5 & 0x1F), b6, b7, blocks as u8]);
        }
        CdbSize::Ten => {
            cdb.get_mut(7..9)?
                .copy_from_slice(&(blocks as u16).to_be_bytes());
            cdb.get_mut(2..6)?
                .copy_from_slice(&(lba as u32).to_be_bytes());
        }
        CdbSize::Twelve => {
            cdb.get_mut(6..10)?.copy_from_slice(&blocks.to_be_bytes());
            cdb.get_mut(2..6)?
                .copy_from_slice(&(lba as u32).to_be_bytes());
        }
        CdbSize::Sixteen => {
            cdb.get_mut(10..14)?.copy_from_slice(&blocks.to_be_bytes());
            cdb.get_mut(2..10)?.copy_from_slice(&lba.to_be_bytes());
        }
    }
    Some(())
}

/// A command block and how much of it counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cdb {
    /// The command; zero behind its length, as the field of an SRB wants it.
    pub bytes: [u8; MAX_LENGTH],
    /// Bytes that count.
    pub length: u8,
}

/// Flags that a made command can carry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Force unit access.
    pub fua: bool,
    /// Disable page out.
    pub dpo: bool,
}

/// Makes a READ or WRITE.
///
/// # Errors
///
/// [`CdbError`] if the form cannot name these blocks or carry these flags.
pub fn encode(
    size: CdbSize,
    direction: Direction,
    lba: u64,
    blocks: u32,
    flags: Flags,
) -> Result<Cdb, CdbError> {
    check(size, lba, blocks)?;
    let mut second = 0;
    if flags.fua {
        second |= FUA;
    }
    if flags.dpo {
        second |= DPO;
    }
    if size == CdbSize::Six && second != 0 {
        return Err(CdbError::NoFua);
    }
    let mut bytes = [0; MAX_LENGTH];
    let [first, flag_byte, ..] = &mut bytes;
    *first = opcode(size, direction);
    *flag_byte = second;
    place(&mut bytes, size, lba, blocks).ok_or(CdbError::NotReadWrite)?;
    Ok(Cdb {
        bytes,
        length: size.length(),
    })
}
