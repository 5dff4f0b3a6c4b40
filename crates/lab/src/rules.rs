//! What the judge holds the driver to: the adapter's word, the device's and the settings', put together here once more
//! and not by asking the driver.

use ntsim::port::{Disk, Hba, Limits};
use xfersplit_oracle::{PageRule, PhysicalSector, World};

/// Everything that decides which pieces are legal.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bytes in a sector.
    pub sector: u32,
    /// Sectors on the disk.
    pub blocks: u64,
    /// Bytes in a physical sector, and the first logical sector that starts one.
    pub physical: Option<(u32, u16)>,
    /// What the adapter says.
    pub advertised: Limits,
    /// The device's own limit in sectors, where the driver is to believe it.
    pub block_limits: Option<u32>,
    /// The adapter asks for `STORAGE_REQUEST_BLOCK`s.
    pub extended_srb: bool,
    /// The settings, by name.
    pub settings: Vec<(String, u32)>,
}

impl Rules {
    /// The rules for an adapter, a disk and settings as the simulated machine will have them.
    pub fn new(hba: &Hba, disk: &Disk, settings: &[(String, u32)]) -> Self {
        let geometry = disk.geometry();
        let profile = hba.current();
        let mut rules = Self {
            sector: geometry.sector,
            blocks: geometry.blocks,
            physical: (geometry.blocks_per_physical > 1).then(|| {
                (
                    geometry.sector * geometry.blocks_per_physical,
                    geometry.lowest_aligned,
                )
            }),
            advertised: profile.advertised,
            block_limits: None,
            extended_srb: profile.extended_srb,
            settings: settings.to_vec(),
        };
        let asked = match rules.setting("HonorBlockLimits") {
            Some(0) => false,
            Some(2) => true,
            _ => xfersplit_core::descriptor::answers_vpd(profile.bus),
        };
        // Values no working device would report are not believed.
        rules.block_limits = profile.block_limits.filter(|&blocks| {
            asked && blocks >= 8 && u64::from(blocks) * u64::from(geometry.sector) >= 4096
        });
        rules
    }

    /// What a setting says, if anything.
    pub fn setting(&self, name: &str) -> Option<u32> {
        let found = self
            .settings
            .iter()
            .rev()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// How pages are counted.
    pub fn page_rule(&self) -> PageRule {
        match self.setting("PageRule") {
            Some(1) => PageRule::Document,
            Some(2) => PageRule::Breaks,
            _ => PageRule::Spans,
        }
    }

    /// The world in which a request is judged that ends before sector `end`.
    pub fn world(&self, write: bool, page_offset: u64, end: u64) -> World {
        let strictest = |limits: &[Option<u64>]| limits.iter().flatten().copied().min();
        // A limit of 0 in a setting says nothing.
        let setting = |name| self.setting(name).filter(|&value| value > 0).map(u64::from);
        let adapter = self.adapter_world(page_offset, end);
        let device = self
            .block_limits
            .map(|blocks| u64::from(blocks) * u64::from(self.sector));
        World {
            max_bytes: strictest(&[adapter.max_bytes, device, setting("MaximumTransferLength")]),
            max_pages: strictest(&[
                adapter.max_pages,
                setting("MaximumPhysicalPages"),
                setting("NumberOfMapRegisters"),
            ]),
            page_rule: self.page_rule(),
            lba_boundary: setting("LbaBoundary").filter(|&at| self.can_keep(at)),
            physical: self.physical_cuts(write),
            split_bytes: Some(setting("MaxPieceBytes").unwrap_or(8 << 20)),
            ..adapter
        }
    }

    /// The same by the adapter's word alone. What has no legal split here is not refused but sent as Windows would
    /// send it.
    pub fn adapter_world(&self, page_offset: u64, end: u64) -> World {
        let limit = |value: u32| (value != u32::MAX).then_some(u64::from(value));
        let mask = u64::from(self.advertised.alignment_mask);
        World {
            // A buffer that starts off the alignment cannot be mended by cutting, so it is cut at sectors.
            alignment_mask: if page_offset & mask == 0 { mask } else { 0 },
            max_bytes: limit(self.advertised.bytes),
            max_pages: limit(self.advertised.pages),
            cdb_blocks: Some(self.cdb_blocks(end)),
            ..World::unlimited(u64::from(self.sector))
        }
    }

    /// Whether pieces can end on every multiple of a boundary; the driver ignores one where they cannot.
    fn can_keep(&self, boundary: u64) -> bool {
        let aligned = World {
            alignment_mask: u64::from(self.advertised.alignment_mask),
            ..World::unlimited(u64::from(self.sector))
        };
        boundary.is_multiple_of(aligned.grain())
    }

    fn physical_cuts(&self, write: bool) -> Option<PhysicalSector> {
        let (bytes, lowest) = self.physical?;
        let wanted = write && self.setting("PhysicalSectorCuts") != Some(0);
        let first = u64::from(lowest) * u64::from(self.sector);
        wanted.then_some(PhysicalSector {
            bytes: u64::from(bytes),
            first,
        })
    }

    /// Sectors that the command block can name: the form of the setting where it reaches, else by the disk's size.
    fn cdb_blocks(&self, end: u64) -> u64 {
        match self.setting("CdbLength") {
            Some(6) if end <= 1 << 21 => 256,
            Some(10) if end <= 1 << 32 => 0xFFFF,
            Some(12) if end <= 1 << 32 => u64::from(u32::MAX),
            Some(16) => u64::from(u32::MAX),
            _ if self.blocks <= 1 << 32 => 0xFFFF,
            _ => u64::from(u32::MAX),
        }
    }
}
