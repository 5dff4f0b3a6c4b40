//! How much one DMA operation may move: the map registers, the controller and this driver's own word
//! to the HAL, made into one set of limits by the planner that the filter uses too.

use wdk_sys::{
    DEVICE_DESCRIPTION, DEVICE_DESCRIPTION_VERSION, NTSTATUS, STATUS_DEVICE_CONFIGURATION_ERROR,
};
use xfersplit_core::{
    limits::{AdapterLimits, Clamp, Limits, PieceCap, UNLIMITED, Voices},
    page::{self, PAGE_SIZE},
};

use crate::registers::Identity;

/// Most bytes in one operation, whatever the controller would take. The HAL sizes an adapter's share
/// of the map registers by what a driver says here, so it is a promise: `DEVICE_DESCRIPTION`,
/// `MaximumLength`.
const MAXIMUM_LENGTH: u32 = PieceCap::DEFAULT.bytes();

/// How memory becomes visible to the controller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mapping {
    /// One run of logical addresses for each operation: `MapTransfer`.
    Packet,
    /// A list of runs for each operation: `GetScatterGatherList`.
    ScatterGather,
}

/// What is known of the device while it is started. Copied by whoever needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Sectors of the disk.
    pub(crate) capacity: u64,
    /// What one operation may move.
    pub(crate) limits: Limits,
    /// How memory becomes visible to the controller.
    pub(crate) mapping: Mapping,
}

impl Facts {
    /// Weighs what the controller says about itself, the map registers that there are, and how buffers
    /// have to be aligned: the bits of an address that must be clear.
    ///
    /// # Errors
    /// `STATUS_DEVICE_CONFIGURATION_ERROR` for a controller that says what can't be.
    pub(crate) fn new(
        identity: &Identity,
        map_registers: u32,
        alignment_mask: u32,
    ) -> Result<Self, NTSTATUS> {
        let mapping = mapping(identity)?;
        let adapter = AdapterLimits {
            maximum_transfer_length: maximum_length(identity),
            maximum_physical_pages: match mapping {
                // The HAL makes one run of however many pages: only their number counts.
                Mapping::Packet => UNLIMITED,
                // A list has at most one segment for each page.
                Mapping::ScatterGather => identity.max_segments,
            },
            alignment_mask,
        };
        let voices = Voices {
            clamp: Clamp {
                map_registers: Some(map_registers),
                ..Clamp::default()
            },
            ..Voices::adapter(adapter)
        };
        let limits = Limits::normalise(&voices, identity.sector_size)
            .map_err(|_| STATUS_DEVICE_CONFIGURATION_ERROR)?;
        Ok(Self {
            capacity: identity.capacity,
            limits,
            mapping,
        })
    }

    /// Map registers for a request of `length` bytes from `va`: as many as its largest operation
    /// needs, wherever in a page that begins.
    pub(crate) fn registers_for(&self, va: u64, length: u32) -> u32 {
        let longest = self.limits.maximum_bytes().unwrap_or(length).min(length);
        let anywhere = page::span_pages(PAGE_SIZE - 1, u64::from(longest));
        let pages = page::span_pages(va, u64::from(length)).min(anywhere) as u32;
        self.limits
            .maximum_pages()
            .map_or(pages, |most| pages.min(most))
    }
}

fn mapping(identity: &Identity) -> Result<Mapping, NTSTATUS> {
    match identity.max_segments {
        0 => Err(STATUS_DEVICE_CONFIGURATION_ERROR),
        1 => Ok(Mapping::Packet),
        _ => Ok(Mapping::ScatterGather),
    }
}

/// The controller's limit on sectors, in bytes: 256 of them for an "AT" controller.
fn maximum_length(identity: &Identity) -> u32 {
    let bytes = identity.max_sectors.saturating_mul(identity.sector_size);
    if bytes == 0 {
        MAXIMUM_LENGTH
    } else {
        bytes.min(MAXIMUM_LENGTH)
    }
}

/// The controller as `IoGetDmaAdapter` wants it described.
///
/// # Errors
/// As for [`Facts::new`].
pub(crate) fn describe(identity: &Identity) -> Result<DEVICE_DESCRIPTION, NTSTATUS> {
    let mapping = mapping(identity)?;
    Ok(DEVICE_DESCRIPTION {
        Version: DEVICE_DESCRIPTION_VERSION,
        Master: true.into(),
        ScatterGather: (mapping == Mapping::ScatterGather).into(),
        Dma32BitAddresses: (identity.address_bits >= 32).into(),
        Dma64BitAddresses: (identity.address_bits >= 64).into(),
        // Bus masters of 24 bits are those of the ISA bus; the HAL knows their limit by its name.
        InterfaceType: if identity.address_bits >= 32 {
            wdk_sys::_INTERFACE_TYPE::PCIBus
        } else {
            wdk_sys::_INTERFACE_TYPE::Isa
        },
        MaximumLength: maximum_length(identity),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use xfersplit_core::plan::{NoFrames, Options, Plan, Request};

    use super::*;

    const CONTROLLER: Identity = Identity {
        capacity: 1 << 20,
        sector_size: 512,
        max_sectors: 0,
        max_segments: 1,
        address_bits: 32,
    };

    /// The pieces of a request, as (bytes, pages touched).
    fn pieces(facts: &Facts, va: u64, length: u32) -> impl Iterator<Item = (u32, u32)> {
        let request = Request {
            va,
            lba: 0,
            length: length.into(),
            write: true,
            command_blocks: u32::MAX,
        };
        let plan = Plan::new(&facts.limits, &request, &Options::default(), &NoFrames);
        plan.expect("every part has a legal piece")
            .pieces(NoFrames)
            .map(move |piece| {
                let pages = page::span_pages(va + piece.offset, piece.length.into());
                (piece.length, pages as u32)
            })
    }

    #[test]
    fn twelve_pages_on_five_registers() {
        let facts = Facts::new(&CONTROLLER, 5, 3).expect("a sound controller");
        let length = 12 * PAGE_SIZE as u32;
        let pages = pieces(&facts, 0, length).map(|(_, pages)| pages);
        assert!(pages.eq([5, 5, 2]));
        assert_eq!(facts.registers_for(0, length), 5);
        // Three sectors into the first page the same bytes touch a page more.
        let pages = pieces(&facts, 1536, length).map(|(_, pages)| pages);
        assert!(pages.eq([5, 5, 3]));
    }

    #[test]
    fn an_at_controller_takes_256_sectors() {
        let identity = Identity {
            max_sectors: 256,
            ..CONTROLLER
        };
        let facts = Facts::new(&identity, 64, 3).expect("a sound controller");
        let bytes = pieces(&facts, 0, 700 * 512).map(|(bytes, _)| bytes / 512);
        assert!(bytes.eq([256, 256, 188]));
        // 128 KiB lie on 32 pages, or on 33.
        assert_eq!(facts.registers_for(0, 700 * 512), 33);
    }

    #[test]
    fn the_registers_asked_for_are_enough_for_every_piece_and_no_more_than_there_are() {
        for registers in 2..=9 {
            for max_sectors in [0, 1, 7, 16, 33] {
                let identity = Identity {
                    max_sectors,
                    ..CONTROLLER
                };
                let facts = Facts::new(&identity, registers, 3).expect("a sound controller");
                for va in (0..PAGE_SIZE).step_by(100) {
                    for sectors in 1..=90 {
                        let wanted = facts.registers_for(va, sectors * 512);
                        let most = pieces(&facts, va, sectors * 512)
                            .map(|(_, pages)| pages)
                            .max();
                        assert!(most <= Some(wanted) && wanted <= registers);
                    }
                }
            }
        }
    }

    #[test]
    fn a_list_has_no_more_segments_than_the_controller_takes() {
        let identity = Identity {
            max_segments: 3,
            ..CONTROLLER
        };
        let facts = Facts::new(&identity, 64, 3).expect("a sound controller");
        assert_eq!(facts.mapping, Mapping::ScatterGather);
        assert!(pieces(&facts, 512, 40 * 512).all(|(_, pages)| pages <= 3));
    }

    #[test]
    fn a_controller_that_says_what_can_not_be_is_not_started() {
        for identity in [
            Identity {
                max_segments: 0,
                ..CONTROLLER
            },
            Identity {
                sector_size: 0,
                ..CONTROLLER
            },
            Identity {
                sector_size: u32::MAX,
                max_sectors: u32::MAX,
                ..CONTROLLER
            },
        ] {
            assert!(Facts::new(&identity, 5, 3).is_err());
        }
    }
}
