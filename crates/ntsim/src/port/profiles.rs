//! Adapters as data: what they say of themselves, what they really take, and what happens beyond.
//!
//! Named after public reports, so that a reader can look the story up. The numbers are those of
//! the report where it has them.

use super::hba::{Limits, OnViolation, SegmentRule};

/// Bus numbers of `STORAGE_BUS_TYPE`.
pub mod bus {
    #![allow(missing_docs, reason = "the names are Microsoft's own")]
    pub const SCSI: u8 = 1;
    pub const ATAPI: u8 = 2;
    pub const ATA: u8 = 3;
    pub const USB: u8 = 7;
    pub const SAS: u8 = 10;
    pub const SATA: u8 = 11;
    pub const NVME: u8 = 17;
}

/// One adapter.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The name used on command lines and in tests.
    pub name: &'static str,
    /// One line: which hardware or which report this is.
    pub about: &'static str,
    /// `STORAGE_ADAPTER_DESCRIPTOR.BusType`, one of [`bus`].
    pub bus: u8,
    /// What the adapter descriptor says.
    pub advertised: Limits,
    /// What the hardware takes.
    pub actual: Limits,
    /// What the hardware counts against [`Limits::pages`].
    pub segments: SegmentRule,
    /// Sectors that the controller's count holds, whatever their size.
    pub sectors: Option<u32>,
    /// What happens to a request beyond the actual limits.
    pub on_violation: OnViolation,
    /// The adapter asks for `STORAGE_REQUEST_BLOCK` (`SrbType` 1).
    pub extended_srb: bool,
    /// Requests the adapter works on at the same time.
    pub queue_depth: u32,
    /// MAXIMUM TRANSFER LENGTH in the Block Limits page of the disks behind it.
    pub block_limits: Option<u32>,
    /// EVPD inquiries hang the device.
    pub hangs_on_product_pages: bool,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

const fn limits(bytes: u32, pages: u32, alignment_mask: u32) -> Limits {
    Limits {
        bytes,
        pages,
        alignment_mask,
    }
}

/// An honest adapter; the others are told apart by what they change of it.
const fn honest(name: &'static str, about: &'static str, bus: u8, limits: Limits) -> Profile {
    Profile {
        name,
        about,
        bus,
        advertised: limits,
        actual: limits,
        segments: SegmentRule::Pages,
        sectors: None,
        on_violation: OnViolation::Error,
        extended_srb: false,
        queue_depth: 32,
        block_limits: None,
        hangs_on_product_pages: false,
    }
}

const fn lying(profile: Profile, actual: Limits, on_violation: OnViolation) -> Profile {
    Profile {
        actual,
        on_violation,
        ..profile
    }
}

/// Every profile, in the order in which `xfersplit-lab` lists them.
pub const PROFILES: &[Profile] = &[
    Profile {
        segments: SegmentRule::Breaks,
        ..honest(
            "ahci",
            "SATA AHCI with the sample miniport: 128 KiB, 0x21 physical breaks",
            bus::SATA,
            limits(128 * KIB, 33, 1),
        )
    },
    Profile {
        extended_srb: true,
        ..honest(
            "virtio-scsi",
            "virtio-scsi with a sane driver: 126 segments",
            bus::SAS,
            limits(8 * MIB, 126, 0),
        )
    },
    Profile {
        extended_srb: true,
        ..lying(
            honest(
                "vioscsi-seg-max",
                "vioscsi sends 256 segments where the device has seg_max 62 (virtio-win 1456)",
                bus::SAS,
                limits(MIB, 256, 0),
            ),
            limits(MIB, 62, 0),
            OnViolation::Hang,
        )
    },
    lying(
        honest(
            "usb-uas",
            "xHCI/UAS pass-through: 512 blocks, the driver says more (virtio-win 498, 502, 657)",
            bus::USB,
            limits(MIB, 257, 0),
        ),
        limits(256 * KIB, 257, 0),
        OnViolation::BusReset,
    ),
    lying(
        honest(
            "vhost-2mib",
            "vhost-user backend that dies of 2 MiB + 4 KiB at boot (virtio-win 735)",
            bus::SAS,
            limits(4 * MIB, 1025, 0),
        ),
        limits(2 * MIB, 513, 0),
        OnViolation::Error,
    ),
    lying(
        honest(
            "vhost-scsi-8mib",
            "vhost-scsi refuses I/O above 8 MiB and Windows does not boot (eve PR 2551)",
            bus::SAS,
            limits(16 * MIB, 4097, 0),
        ),
        limits(8 * MIB, 2049, 0),
        OnViolation::Error,
    ),
    lying(
        honest(
            "viostor-size-max",
            "viostor multiplies seg_max by size_max wrongly (virtio-win 692)",
            bus::SCSI,
            limits(2 * MIB, 512, 0),
        ),
        limits(508 * KIB, 128, 0),
        OnViolation::Short,
    ),
    lying(
        honest(
            "nvme-no-mdts",
            "emulated NVMe without MDTS over a backend of 1024 iovecs (propolis 986, xen-api 6783)",
            bus::NVME,
            limits(u32::MAX, u32::MAX, 3),
        ),
        limits(u32::MAX, 1024, 3),
        OnViolation::Error,
    ),
    Profile {
        queue_depth: 1,
        block_limits: Some(32),
        ..lying(
            honest(
                "usb-gadget-16k",
                "USB gadget that buffers 16 KiB and says so in page 0xB0 alone (zephyr 23139)",
                bus::USB,
                limits(64 * KIB, 17, 0),
            ),
            limits(16 * KIB, 5, 0),
            OnViolation::Hang,
        )
    },
    Profile {
        queue_depth: 1,
        hangs_on_product_pages: true,
        ..honest(
            "usb-bridge",
            "USB mass storage bridge: 64 KiB, hangs on vital product data inquiries",
            bus::USB,
            limits(64 * KIB, 17, 0),
        )
    },
    Profile {
        queue_depth: 1,
        ..honest(
            "at-256-sectors",
            "old AT disk: 256 sectors in one command, one command at a time",
            bus::ATA,
            limits(128 * KIB, 33, 1),
        )
    },
    Profile {
        queue_depth: 1,
        sectors: Some(256),
        ..honest(
            "at-disk",
            "the DMA document's AT disk: a sector count of 8 bits, 0 for 256, and no list of pages",
            bus::ATA,
            limits(128 * KIB, u32::MAX, 1),
        )
    },
    lying(
        honest(
            "nvme2k",
            "port driver that reports one page more than its list holds (nvme2k 15, 21)",
            bus::SCSI,
            limits(128 * KIB, 33, 3),
        ),
        limits(128 * KIB, 32, 3),
        OnViolation::Error,
    ),
    lying(
        honest(
            "vhost-sector-aligned",
            "backend that needs sector-aligned buffers and does not say so (spdk 3269)",
            bus::SAS,
            limits(MIB, 257, 3),
        ),
        limits(MIB, 257, 511),
        OnViolation::Error,
    ),
    honest(
        "map-registers-5",
        "the DMA document's adapter: five map registers",
        bus::SCSI,
        limits(u32::MAX, 5, 0),
    ),
    honest(
        "one-page",
        "one page in one request",
        bus::SCSI,
        limits(64 * KIB, 1, 0),
    ),
    honest(
        "tiny",
        "one sector to one page, to shake out splitting",
        bus::SCSI,
        limits(4096, 2, 0),
    ),
    honest(
        "one-sector",
        "a sector at a time",
        bus::SCSI,
        limits(512, 2, 0),
    ),
    honest(
        "unlimited",
        "no limits at all",
        bus::SCSI,
        limits(u32::MAX, u32::MAX, 0),
    ),
    honest(
        "ragged-65535",
        "a limit that is no multiple of a sector",
        bus::USB,
        limits(65535, 17, 0),
    ),
    honest(
        "ragged-65024",
        "a limit that is no multiple of a page: the class steps over it",
        bus::SCSI,
        limits(65024, 16, 0),
    ),
    honest(
        "zero-pages",
        "MaximumPhysicalPages 0: read as one page",
        bus::SCSI,
        limits(64 * KIB, 0, 0),
    ),
    honest(
        "zero-length",
        "MaximumTransferLength 0: no valid limit",
        bus::SCSI,
        limits(0, 17, 0),
    ),
    honest(
        "cdb-10",
        "32 MiB and more: READ (10) ends first",
        bus::SCSI,
        limits(64 * MIB, 16385, 0),
    ),
];

/// The profile called `name`.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::{PROFILES, profile};

    #[test]
    fn names_are_unique_and_found() {
        for (index, entry) in PROFILES.iter().enumerate() {
            assert_eq!(
                PROFILES.iter().position(|other| other.name == entry.name),
                Some(index),
                "{} is there twice",
                entry.name
            );
            assert!(profile(entry.name).is_some());
        }
        assert!(profile("no such adapter").is_none());
    }

    #[test]
    fn nobody_takes_more_than_he_says() {
        for entry in PROFILES {
            let (said, taken) = (entry.advertised, entry.actual);
            assert!(
                taken.bytes <= said.bytes && taken.pages <= said.pages,
                "{}",
                entry.name
            );
            assert!(
                taken.alignment_mask >= said.alignment_mask,
                "{}",
                entry.name
            );
        }
    }
}
