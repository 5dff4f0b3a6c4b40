//! Reads a command descriptor block the way a device does.
//!
//! Written for the device's side and deliberately independent of any driver's codec: a mistake
//! shared by both would not be seen.

/// Operation codes the target knows [SPC-4, SBC-3].
pub mod op {
    #![allow(missing_docs, reason = "the names are the standard's own")]
    pub const TEST_UNIT_READY: u8 = 0x00;
    pub const REQUEST_SENSE: u8 = 0x03;
    pub const READ_6: u8 = 0x08;
    pub const WRITE_6: u8 = 0x0A;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SENSE_6: u8 = 0x1A;
    pub const START_STOP_UNIT: u8 = 0x1B;
    pub const PREVENT_ALLOW: u8 = 0x1E;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2A;
    pub const VERIFY_10: u8 = 0x2F;
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub const MODE_SENSE_10: u8 = 0x5A;
    pub const READ_16: u8 = 0x88;
    pub const WRITE_16: u8 = 0x8A;
    pub const VERIFY_16: u8 = 0x8F;
    pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub const SERVICE_ACTION_IN_16: u8 = 0x9E;
    pub const REPORT_LUNS: u8 = 0xA0;
    pub const READ_12: u8 = 0xA8;
    pub const WRITE_12: u8 = 0xAA;
    pub const VERIFY_12: u8 = 0xAF;
}

/// Service action of READ CAPACITY (16) in SERVICE ACTION IN (16).
pub(crate) const READ_CAPACITY_16: u8 = 0x10;

/// Which way the data goes, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Device to host.
    Read,
    /// Host to device.
    Write,
}

/// A READ or WRITE (6, 10, 12 or 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadWrite {
    /// Which way the data goes.
    pub direction: Direction,
    /// The first block.
    pub lba: u64,
    /// How many blocks; READ/WRITE (6) with a zero length field mean 256.
    pub blocks: u32,
    /// Force unit access.
    pub force_unit_access: bool,
    /// The RDPROTECT/WRPROTECT field; anything but 0 needs protection information on the medium.
    pub protect: u8,
}

/// The length of a CDB by its group code; `None` for vendor groups and variable length.
pub(crate) const fn group_length(opcode: u8) -> Option<usize> {
    match opcode >> 5 {
        0 => Some(6),
        1 | 2 => Some(10),
        4 => Some(16),
        5 => Some(12),
        _ => None,
    }
}

/// Decodes a READ or WRITE; `None` for any other command or a CDB that is too short for its opcode.
pub fn read_write(cdb: &[u8]) -> Option<ReadWrite> {
    let opcode = *cdb.first()?;
    let direction = match opcode {
        op::READ_6 | op::READ_10 | op::READ_12 | op::READ_16 => Direction::Read,
        op::WRITE_6 | op::WRITE_10 | op::WRITE_12 | op::WRITE_16 => Direction::Write,
        _ => return None,
    };
    let (lba, blocks) = range(cdb)?;
    let six = group_length(opcode) == Some(6);
    Some(ReadWrite {
        direction,
        lba,
        blocks: if six && blocks == 0 { 256 } else { blocks },
        force_unit_access: !six && cdb[1] & 0x08 != 0,
        protect: if six { 0 } else { cdb[1] >> 5 },
    })
}

/// LBA and block count of any command with the ordinary field places; `None` when it is cut short.
pub(crate) fn range(cdb: &[u8]) -> Option<(u64, u32)> {
    let cdb = cdb.get(..group_length(*cdb.first()?)?)?;
    Some(match cdb.len() {
        6 => (be(&cdb[1..4]) & 0x1F_FFFF, u32::from(cdb[4])),
        10 => (be(&cdb[2..6]), be(&cdb[7..9]) as u32),
        12 => (be(&cdb[2..6]), be(&cdb[6..10]) as u32),
        _ => (be(&cdb[2..10]), be(&cdb[10..14]) as u32),
    })
}

fn be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::{Direction, read_write};

    #[test]
    fn every_size_has_its_own_fields() {
        let six = read_write(&[0x08, 0xE1, 0x02, 0x03, 0, 0]).expect("READ (6)");
        assert_eq!(
            (six.direction, six.lba, six.blocks),
            (Direction::Read, 0x01_0203, 256)
        );
        let ten = read_write(&[0x2A, 0x08, 1, 2, 3, 4, 0, 0, 0, 0]).expect("WRITE (10)");
        assert_eq!(
            (ten.lba, ten.blocks, ten.force_unit_access),
            (0x0102_0304, 0, true)
        );
        let twelve = read_write(&[0xA8, 0, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0]).expect("READ (12)");
        assert_eq!((twelve.lba, twelve.blocks), (0x0102_0304, 0x1_0000));
        let sixteen = read_write(&[0x8A, 0x20, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0])
            .expect("WRITE (16)");
        assert_eq!(
            (sixteen.lba, sixteen.blocks, sixteen.protect),
            (0x100_0000_0005, 9, 1)
        );
    }

    #[test]
    fn a_short_cdb_and_a_stranger_are_not_transfers() {
        assert_eq!(read_write(&[0x28, 0, 0, 0, 0]), None);
        assert_eq!(read_write(&[0x12, 0, 0, 0, 36, 0]), None);
        assert_eq!(read_write(&[]), None);
    }
}
