//! The adapter as configured: what it says, what it takes, how fast it answers, and its habits.

use std::ops::Range;

use super::paired::{Paired, PortRegistry};
use super::profiles::{Profile, profile};
use crate::abi::NTSTATUS;

/// Limits of an adapter, as in its `STORAGE_ADAPTER_DESCRIPTOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `MaximumTransferLength`, in bytes; `0xFFFF_FFFF` is "no limit".
    pub bytes: u32,
    /// `MaximumPhysicalPages`; `0xFFFF_FFFF` is "no limit", 0 is read as 1.
    pub pages: u32,
    /// `AlignmentMask`: the bits of the buffer's address that must be 0.
    pub alignment_mask: u32,
}

/// What the hardware counts against [`Limits::pages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentRule {
    /// Each page that the data touches.
    Pages,
    /// Each run of physically contiguous pages.
    Breaks,
}

/// What happens to a request beyond the hardware's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnViolation {
    /// It is noted and carried out.
    Record,
    /// It fails with `SRB_STATUS_INVALID_REQUEST`.
    Error,
    /// It fails with `SRB_STATUS_BUS_RESET`, again and again.
    BusReset,
    /// It never ends by itself.
    Hang,
    /// It succeeds with as many bytes as the limits allow.
    Short,
}

/// When the adapter completes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Inside the dispatch routine, as a RAM disk does.
    Inline,
    /// After a random time from this range (100 ns units), so also out of order.
    Later(Range<u64>),
    /// With a chance of so many percent inline, else later.
    Mixed(u8, Range<u64>),
    /// Only when the test says so: `Port::complete_next` and its kin.
    Held,
}

/// How `StorageAdapterProperty` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterReply {
    /// The whole descriptor, or its beginning with success where the buffer is shorter.
    Honest,
    /// As [`Self::Honest`], with `STATUS_BUFFER_OVERFLOW` where the buffer is shorter.
    Overflow,
    /// Not at all.
    Refused(NTSTATUS),
    /// Only `length` bytes, whose `Size` field claims something else.
    Cut {
        /// Bytes that are there, at least 8.
        length: usize,
        /// What `Size` says.
        claims: u32,
    },
}

/// An adapter: a [`Profile`] with changes.
#[derive(Clone, Debug)]
pub struct Hba {
    pub(crate) profile: Profile,
    pub(crate) completion: Completion,
    pub(crate) per_kib: u64,
    pub(crate) habits: Habits,
    pub(crate) adapter_reply: AdapterReply,
    pub(crate) paired: Option<Paired>,
    pub(crate) port_registry: Option<PortRegistry>,
}

/// What a port driver does to requests besides carrying them out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Maps the MDL into system space, as drivers of programmed I/O do.
    pub(crate) maps_mdl: bool,
    /// Gives its own sense buffer where `PORT_DRIVER_ALLOCSENSE` allows it.
    pub(crate) own_sense_buffer: bool,
    /// Marks IRPs pending even when it completes them inside its dispatch routine.
    pub(crate) always_pending: bool,
    /// A timeout resets the unit: everything else in flight ends with `BUS_RESET`.
    pub(crate) reset_on_timeout: bool,
    /// Says `DataTransferLength` truthfully on failures; others leave it as it was.
    pub(crate) reports_residual: bool,
}

impl Hba {
    /// The adapter called `name` among [`PROFILES`](super::PROFILES).
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn profile(name: &str) -> Self {
        let found = profile(name).unwrap_or_else(|| panic!("no adapter profile is called {name}"));
        Self::from_profile(*found)
    }

    /// An adapter without limits that completes inline.
    pub fn unlimited() -> Self {
        Self::profile("unlimited")
    }

    /// An adapter of one's own.
    pub fn from_profile(profile: Profile) -> Self {
        Self {
            profile,
            completion: Completion::Inline,
            per_kib: 0,
            habits: Habits {
                maps_mdl: false,
                own_sense_buffer: false,
                always_pending: true,
                reset_on_timeout: false,
                reports_residual: true,
            },
            adapter_reply: AdapterReply::Honest,
            paired: None,
            port_registry: None,
        }
    }

    /// Says and takes exactly these limits.
    #[must_use]
    pub fn limits(self, bytes: u32, pages: u32) -> Self {
        let alignment_mask = self.profile.advertised.alignment_mask;
        let limits = Limits {
            bytes,
            pages,
            alignment_mask,
        };
        self.advertised(limits).actual(limits)
    }

    /// What the adapter descriptor says.
    #[must_use]
    pub fn advertised(mut self, limits: Limits) -> Self {
        self.profile.advertised = limits;
        self
    }

    /// What the hardware takes.
    #[must_use]
    pub fn actual(mut self, limits: Limits) -> Self {
        self.profile.actual = limits;
        self
    }

    /// `AlignmentMask`, said and taken.
    #[must_use]
    pub fn alignment_mask(mut self, mask: u32) -> Self {
        self.profile.advertised.alignment_mask = mask;
        self.profile.actual.alignment_mask = mask;
        self
    }

    /// What counts as a segment.
    #[must_use]
    pub fn segments(mut self, rule: SegmentRule) -> Self {
        self.profile.segments = rule;
        self
    }

    /// What happens beyond the actual limits.
    #[must_use]
    pub fn on_violation(mut self, what: OnViolation) -> Self {
        self.profile.on_violation = what;
        self
    }

    /// When requests complete.
    #[must_use]
    pub fn completion(mut self, completion: Completion) -> Self {
        self.completion = completion;
        self
    }

    /// Adds this much time (100 ns units) for each KiB moved; needs a completion that takes time.
    #[must_use]
    pub fn per_kib(mut self, time: u64) -> Self {
        self.per_kib = time;
        self
    }

    /// How many requests it works on at the same time.
    #[must_use]
    pub fn queue_depth(mut self, depth: u32) -> Self {
        self.profile.queue_depth = depth.max(1);
        self
    }

    /// Asks for `STORAGE_REQUEST_BLOCK`s.
    #[must_use]
    pub fn extended_srb(mut self, yes: bool) -> Self {
        self.profile.extended_srb = yes;
        self
    }

    /// `BusType` of the descriptors.
    #[must_use]
    pub fn bus(mut self, bus: u8) -> Self {
        self.profile.bus = bus;
        self
    }

    /// Maps the MDL of each transfer into system space. A partial MDL comes back mapped, for its
    /// owner to prepare for reuse.
    #[must_use]
    pub fn maps_mdl(mut self, yes: bool) -> Self {
        self.habits.maps_mdl = yes;
        self
    }

    /// Replaces the sense buffer where the SRB allows it; the sender then has to free it.
    #[must_use]
    pub fn own_sense_buffer(mut self, yes: bool) -> Self {
        self.habits.own_sense_buffer = yes;
        self
    }

    /// Whether the dispatch routine returns `STATUS_PENDING` even for what it completes inside.
    /// Storport does; virtual ports that do not exist too.
    #[must_use]
    pub fn always_pending(mut self, yes: bool) -> Self {
        self.habits.always_pending = yes;
        self
    }

    /// Whether an SRB timeout resets the unit, which ends all other requests with `BUS_RESET`.
    #[must_use]
    pub fn reset_on_timeout(mut self, yes: bool) -> Self {
        self.habits.reset_on_timeout = yes;
        self
    }

    /// Whether `DataTransferLength` of a failed request says what moved; miniports that forget
    /// leave the length that was asked for.
    #[must_use]
    pub fn reports_residual(mut self, yes: bool) -> Self {
        self.habits.reports_residual = yes;
        self
    }

    /// How `StorageAdapterProperty` is answered.
    #[must_use]
    pub fn adapter_reply(mut self, reply: AdapterReply) -> Self {
        self.adapter_reply = reply;
        self
    }

    /// Offers the private interface to the driver that is paired with the port.
    #[must_use]
    pub fn paired(mut self, offer: Paired) -> Self {
        self.paired = Some(offer);
        self
    }

    /// Leaves its limits in the registry for the driver that is paired with the port.
    #[must_use]
    pub fn port_registry(mut self, registry: PortRegistry) -> Self {
        self.port_registry = Some(registry);
        self
    }

    /// When requests complete, as configured.
    pub fn current_completion(&self) -> &Completion {
        &self.completion
    }

    /// The profile with its changes.
    pub fn current(&self) -> &Profile {
        &self.profile
    }
}
