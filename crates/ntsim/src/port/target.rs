//! The logical unit: answers every command of a small disk except the movement of READ/WRITE data,
//! which is the adapter's business.

use std::sync::Arc;

use super::cdb::{self, Direction, READ_CAPACITY_16, ReadWrite, op};
use super::disk::{Disk, ProductPages};
use super::sense::Sense;

/// What the unit does with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// GOOD, with this data for the host (not yet cut to the host's buffer).
    Good(Vec<u8>),
    /// A transfer that may be carried out: it lies on the medium and is allowed.
    Transfer(ReadWrite),
    /// CHECK CONDITION.
    Check(Sense),
    /// The unit never answers.
    Silence,
}

/// The state of a logical unit between commands.
#[derive(Debug)]
pub(crate) struct Target {
    disk: Arc<Disk>,
    pages: ProductPages,
    /// Reported once, by the first command that reports unit attentions.
    attention: Option<Sense>,
    medium_present: bool,
}

impl Target {
    /// A unit with this disk in it and these vital product data pages.
    pub(crate) fn new(disk: Arc<Disk>, pages: ProductPages) -> Self {
        Self {
            disk,
            pages,
            attention: None,
            medium_present: true,
        }
    }

    /// Leaves a unit attention for the next command that reports one.
    pub(crate) fn raise_attention(&mut self, sense: Sense) {
        self.attention = Some(sense);
    }

    /// Takes the medium out or puts it in; putting it in leaves MEDIUM MAY HAVE CHANGED.
    pub(crate) fn set_medium_present(&mut self, present: bool) {
        if present && !self.medium_present {
            self.attention = Some(Sense::MEDIUM_CHANGED);
        }
        self.medium_present = present;
    }

    /// Carries out one command.
    pub(crate) fn command(&mut self, cdb: &[u8]) -> Reply {
        let Some(&opcode) = cdb.first() else {
            return Reply::Check(Sense::INVALID_OPCODE);
        };
        if cdb::group_length(opcode).is_none_or(|length| cdb.len() < length) {
            return Reply::Check(Sense::INVALID_OPCODE);
        }
        // These three neither report nor clear a unit attention [SPC-4 5.15].
        match opcode {
            op::INQUIRY => return self.inquiry(cdb),
            op::REPORT_LUNS => {
                return Reply::Good(vec![0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            op::REQUEST_SENSE => return self.request_sense(),
            _ => {}
        }
        if let Some(sense) = self.attention.take() {
            return Reply::Check(sense);
        }
        if !self.medium_present {
            return Reply::Check(Sense::MEDIUM_NOT_PRESENT);
        }
        self.medium_command(opcode, cdb)
    }

    fn medium_command(&self, opcode: u8, cdb: &[u8]) -> Reply {
        if let Some(transfer) = cdb::read_write(cdb) {
            return self.transfer(transfer);
        }
        match opcode {
            op::TEST_UNIT_READY
            | op::START_STOP_UNIT
            | op::PREVENT_ALLOW
            | op::SYNCHRONIZE_CACHE_10
            | op::SYNCHRONIZE_CACHE_16 => Reply::Good(Vec::new()),
            op::VERIFY_10 | op::VERIFY_12 | op::VERIFY_16 => self.verify(cdb),
            op::READ_CAPACITY_10 => Reply::Good(self.capacity_10()),
            op::SERVICE_ACTION_IN_16 if cdb[1] & 0x1F == READ_CAPACITY_16 => {
                Reply::Good(self.capacity_16())
            }
            op::SERVICE_ACTION_IN_16 => Reply::Check(Sense::INVALID_FIELD),
            op::MODE_SENSE_6 => Reply::Good(self.mode_sense(cdb[2] & 0x3F, false)),
            op::MODE_SENSE_10 => Reply::Good(self.mode_sense(cdb[2] & 0x3F, true)),
            _ => Reply::Check(Sense::INVALID_OPCODE),
        }
    }

    fn transfer(&self, transfer: ReadWrite) -> Reply {
        if transfer.protect != 0 {
            // The medium is not formatted with protection information.
            return Reply::Check(Sense::INVALID_FIELD);
        }
        if !self.holds(transfer.lba, transfer.blocks) {
            return Reply::Check(Sense::LBA_OUT_OF_RANGE);
        }
        if transfer.direction == Direction::Write && self.disk.write_protected {
            return Reply::Check(Sense::WRITE_PROTECTED);
        }
        Reply::Transfer(transfer)
    }

    fn verify(&self, cdb: &[u8]) -> Reply {
        let comparing = cdb[1] & 0x06 != 0;
        match cdb::range(cdb) {
            _ if comparing => Reply::Check(Sense::INVALID_FIELD),
            Some((lba, blocks)) if self.holds(lba, blocks) => Reply::Good(Vec::new()),
            _ => Reply::Check(Sense::LBA_OUT_OF_RANGE),
        }
    }

    fn holds(&self, lba: u64, blocks: u32) -> bool {
        lba.checked_add(u64::from(blocks))
            .is_some_and(|end| end <= self.disk.geometry.blocks)
    }

    fn request_sense(&mut self) -> Reply {
        let sense = self.attention.take().unwrap_or(Sense::new(0, 0, 0));
        Reply::Good(sense.fixed().to_vec())
    }

    fn inquiry(&self, cdb: &[u8]) -> Reply {
        let allocation = usize::from(u16::from_be_bytes([cdb[3], cdb[4]]));
        let vital = cdb[1] & 0x01 != 0;
        if vital && self.pages.hangs {
            return Reply::Silence;
        }
        let page = match (vital, cdb[2]) {
            (false, 0) => Some(self.standard_inquiry()),
            (true, code) if self.pages.supported => self.product_page(code),
            _ => None,
        };
        match page {
            Some(mut bytes) => {
                bytes.truncate(allocation);
                Reply::Good(bytes)
            }
            None => Reply::Check(Sense::INVALID_FIELD),
        }
    }

    fn standard_inquiry(&self) -> Vec<u8> {
        let mut bytes = vec![
            0,
            u8::from(self.disk.removable) << 7,
            6,
            0x02,
            31,
            0,
            0,
            0x02,
        ];
        bytes.extend(padded::<8>("NTSIM"));
        bytes.extend(padded::<16>(&self.disk.product));
        bytes.extend(padded::<4>("1.0"));
        bytes
    }

    fn product_page(&self, code: u8) -> Option<Vec<u8>> {
        let body = match code {
            0x00 => self.page_list(),
            0x80 => padded::<20>(&self.disk.serial).to_vec(),
            0x83 => self.identification(),
            0xB0 => block_limits(self.pages.block_limits?),
            0xB1 if self.pages.characteristics => {
                let mut body = vec![0; 60];
                body[1] = 1; // not a rotating medium
                body
            }
            _ => return None,
        };
        let mut page = vec![0, code];
        page.extend((body.len() as u16).to_be_bytes());
        page.extend(body);
        Some(page)
    }

    fn page_list(&self) -> Vec<u8> {
        let mut list = vec![0x00, 0x80, 0x83];
        list.extend(self.pages.block_limits.map(|_| 0xB0));
        list.extend(self.pages.characteristics.then_some(0xB1));
        list
    }

    /// One T10 vendor identification designator: vendor and serial number.
    fn identification(&self) -> Vec<u8> {
        let mut body = vec![0x02, 0x01, 0, 28];
        body.extend(padded::<8>("NTSIM"));
        body.extend(padded::<20>(&self.disk.serial));
        body
    }

    fn capacity_10(&self) -> Vec<u8> {
        let last = self.disk.geometry.blocks.saturating_sub(1);
        let mut data = u32::try_from(last)
            .unwrap_or(u32::MAX)
            .to_be_bytes()
            .to_vec();
        data.extend(self.disk.geometry.sector.to_be_bytes());
        data
    }

    fn capacity_16(&self) -> Vec<u8> {
        let geometry = self.disk.geometry;
        let mut data = vec![0; 32];
        data[..8].copy_from_slice(&geometry.blocks.saturating_sub(1).to_be_bytes());
        data[8..12].copy_from_slice(&geometry.sector.to_be_bytes());
        data[13] = geometry.blocks_per_physical.trailing_zeros() as u8;
        data[14..16].copy_from_slice(&(geometry.lowest_aligned & 0x3FFF).to_be_bytes());
        data
    }

    fn mode_sense(&self, page: u8, long: bool) -> Vec<u8> {
        // Device-specific parameter of a block device: write protect, and FUA/DPO are understood.
        let specific = u8::from(self.disk.write_protected) << 7 | 0x10;
        // The caching page is all that anybody asks of a simulated disk.
        let mut caching = vec![0; 20];
        caching[..3].copy_from_slice(&[0x08, 0x12, 0x04]);
        let body = if page == 0x08 || page == 0x3F {
            caching
        } else {
            Vec::new()
        };
        let mut data = if long {
            let length = (6 + body.len()) as u16;
            let mut header = length.to_be_bytes().to_vec();
            header.extend([0, specific, 0, 0, 0, 0]);
            header
        } else {
            vec![(3 + body.len()) as u8, 0, specific, 0]
        };
        data.extend(body);
        data
    }
}

fn block_limits(maximum: u32) -> Vec<u8> {
    let mut body = vec![0; 60];
    body[4..8].copy_from_slice(&maximum.to_be_bytes());
    body
}

/// An ASCII field of INQUIRY: left aligned, blank filled.
pub(super) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (place, byte) in field.iter_mut().zip(text.bytes()) {
        *place = if byte.is_ascii_graphic() || byte == b' ' {
            byte
        } else {
            b'?'
        };
    }
    field
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, ProductPages};
    use super::super::sense::Sense;
    use super::{Reply, Target};
    use std::sync::Arc;

    fn unit(disk: Disk) -> Target {
        let pages = disk.pages;
        Target::new(Arc::new(disk), pages)
    }

    fn data(reply: Reply) -> Vec<u8> {
        match reply {
            Reply::Good(data) => data,
            other => panic!("expected data, got {other:?}"),
        }
    }

    #[test]
    fn capacity_10_says_all_ones_beyond_two_tebi_blocks() {
        let mut unit = unit(Disk::memory((1 << 32) + 5, 512).physical(4096, 7));
        let ten = data(unit.command(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(ten, [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 2, 0]);
        let sixteen = data(unit.command(&[0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]));
        assert_eq!(sixteen[..8], ((1_u64 << 32) + 4).to_be_bytes());
        assert_eq!((sixteen[13], sixteen[15]), (3, 7));
    }

    #[test]
    fn product_pages_are_listed_exactly_where_they_exist() {
        let mut with = unit(Disk::memory(8, 512).block_limits(64));
        assert_eq!(
            data(with.command(&[0x12, 1, 0, 0, 255, 0]))[4..],
            [0, 0x80, 0x83, 0xB0, 0xB1]
        );
        let limits = data(with.command(&[0x12, 1, 0xB0, 0, 255, 0]));
        assert_eq!((limits.len(), &limits[8..12]), (64, &[0, 0, 0, 64][..]));
        let mut without = unit(Disk::memory(8, 512));
        assert_eq!(
            without.command(&[0x12, 1, 0xB0, 0, 255, 0]),
            Reply::Check(Sense::INVALID_FIELD)
        );
        let mute = ProductPages {
            hangs: true,
            ..ProductPages::default()
        };
        let mut mute = unit(Disk::memory(8, 512).product_pages(mute));
        assert_eq!(mute.command(&[0x12, 1, 0, 0, 255, 0]), Reply::Silence);
        assert_eq!(data(mute.command(&[0x12, 0, 0, 0, 36, 0])).len(), 36);
    }

    #[test]
    fn the_allocation_length_cuts_inquiry() {
        let mut unit = unit(Disk::memory(8, 512));
        assert_eq!(data(unit.command(&[0x12, 0, 0, 0, 5, 0])).len(), 5);
    }

    #[test]
    fn ranges_off_the_medium_and_strange_commands_are_refused() {
        let mut unit = unit(Disk::memory(8, 512));
        let read = |lba: u8, blocks: u8| [0x28, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
        assert!(matches!(unit.command(&read(0, 8)), Reply::Transfer(_)));
        assert_eq!(
            unit.command(&read(1, 8)),
            Reply::Check(Sense::LBA_OUT_OF_RANGE)
        );
        assert_eq!(
            unit.command(&[0x42; 10]),
            Reply::Check(Sense::INVALID_OPCODE)
        );
        assert_eq!(
            unit.command(&[0x28, 0, 0]),
            Reply::Check(Sense::INVALID_OPCODE)
        );
    }

    #[test]
    fn a_unit_attention_is_reported_once_and_not_by_inquiry() {
        let mut unit = unit(Disk::memory(8, 512));
        unit.raise_attention(Sense::RESET_OCCURRED);
        assert!(matches!(
            unit.command(&[0x12, 0, 0, 0, 36, 0]),
            Reply::Good(_)
        ));
        assert_eq!(unit.command(&[0; 6]), Reply::Check(Sense::RESET_OCCURRED));
        assert_eq!(unit.command(&[0; 6]), Reply::Good(Vec::new()));
    }

    #[test]
    fn write_protection_stops_writes_alone() {
        let mut unit = unit(Disk::memory(8, 512).write_protected(true));
        assert!(matches!(
            unit.command(&[0x08, 0, 0, 0, 1, 0]),
            Reply::Transfer(_)
        ));
        assert_eq!(
            unit.command(&[0x0A, 0, 0, 0, 1, 0]),
            Reply::Check(Sense::WRITE_PROTECTED)
        );
    }
}
