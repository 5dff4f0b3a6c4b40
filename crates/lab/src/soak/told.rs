//! What the class driver above the filter must have been told, and what follows for who splits.

use ntsim::class::ClassFacts;
use ntsim::world::StackKind;

use super::Scenario;
use crate::layers::Fewest;

/// Bytes in a page.
const PAGE: u32 = 4096;

/// What a class driver above the filter was told of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no class driver above, or nothing can be said of it.
    Nothing,
    /// The adapter's own limits.
    Adapter,
    /// Limits that its arithmetic keeps: the filter has nothing to split.
    Effective,
    /// More than the adapter takes: the filter splits.
    Larger,
}

impl Told {
    /// What the class driver of this world must have been told.
    ///
    /// # Errors
    /// It learned something else.
    pub(super) fn of(scenario: &Scenario, facts: Option<&ClassFacts>) -> Result<Self, String> {
        let Some(facts) = facts.filter(|_| scenario.stack == StackKind::Disk) else {
            return Ok(Self::Nothing);
        };
        let adapter = scenario.advertised;
        let learned = (facts.maximum_transfer_length, facts.maximum_physical_pages);
        let wrong = |expected: (u32, u32)| {
            Err(format!(
                "the class driver was told {learned:?} bytes and pages, not {expected:?}; \
                 the adapter says {adapter:?}, settings {:?}",
                scenario.settings
            ))
        };
        let expect = |expected: (u32, u32), told: Self| {
            if learned == expected {
                Ok(told)
            } else {
                wrong(expected)
            }
        };
        match scenario.setting("Advertise") {
            Some(0) => expect((adapter.bytes, adapter.pages), Self::Adapter),
            Some(2) => {
                let bytes = scenario
                    .setting("AdvertisedTransferLength")
                    .unwrap_or(1 << 20);
                let pages = bytes / PAGE;
                expect((pages * PAGE, pages + 1), Self::Larger)
            }
            Some(_) if scenario.leaves_pages() => Ok(Self::Effective),
            None if scenario.is_stricter() && scenario.leaves_pages() => Ok(Self::Effective),
            None if !scenario.is_stricter() => {
                expect((adapter.bytes, adapter.pages), Self::Adapter)
            }
            _ => Ok(Self::Nothing),
        }
    }

    /// Whether the filter did what follows.
    ///
    /// # Errors
    /// It split what the class driver had cut to fit.
    pub(super) fn check(self, fewest: &Fewest, boundary: bool) -> Result<(), String> {
        match (self, fewest.sent) {
            (Self::Effective, Some(sent)) if sent != fewest.packets && !boundary => Err(format!(
                "the class driver was told limits that it does not keep: {} packets need {sent} commands",
                fewest.packets
            )),
            _ => Ok(()),
        }
    }
}

impl Scenario {
    /// The strictest of the limits, bytes and pages.
    fn effective(&self) -> (u32, u32) {
        let limit = |name: &str| {
            self.setting(name)
                .filter(|&value| value > 0)
                .unwrap_or(u32::MAX)
        };
        let device = self
            .block_limits
            .map_or(u32::MAX, |blocks| blocks * self.sector);
        let bytes = self
            .advertised
            .bytes
            .min(device)
            .min(limit("MaximumTransferLength"));
        let pages = self
            .advertised
            .pages
            .min(limit("MaximumPhysicalPages"))
            .min(limit("NumberOfMapRegisters"));
        (bytes, pages)
    }

    /// Whether some limit is stricter than the adapter says.
    fn is_stricter(&self) -> bool {
        self.effective() != (self.advertised.bytes, self.advertised.pages)
    }

    /// Whether the limits leave a whole page wherever in its page a buffer starts: otherwise there is nothing that
    /// the class driver's arithmetic would keep.
    pub(super) fn leaves_pages(&self) -> bool {
        let (bytes, pages) = self.effective();
        bytes >= PAGE && pages >= 2
    }
}
