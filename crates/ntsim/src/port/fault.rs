//! Faults: which request fails, and how a port driver would tell.
//!
//! A [`Fault`] is a script line for tests ("the third write fails with a medium error"), a
//! [`FaultMix`] is weather for long runs ("one request in a hundred meets BUSY"). Both end in an
//! [`Effect`], the whole of what the neighbour above can see.

use std::collections::HashMap;
use std::ops::Range;

use super::cdb::{Direction, ReadWrite};
use super::rng::Rng;
use super::sense::{Sense, key};
use crate::abi::{
    NTSTATUS, SCSISTAT_BUSY, SCSISTAT_CHECK_CONDITION, SCSISTAT_GOOD, SCSISTAT_QUEUE_FULL,
    SRB_STATUS_ABORTED, SRB_STATUS_BUS_RESET, SRB_STATUS_BUSY, SRB_STATUS_COMMAND_TIMEOUT,
    SRB_STATUS_DATA_OVERRUN, SRB_STATUS_ERROR, SRB_STATUS_INSUFFICIENT_RESOURCES,
    SRB_STATUS_INTERNAL_ERROR, SRB_STATUS_NO_DEVICE, SRB_STATUS_PARITY_ERROR,
    SRB_STATUS_REQUEST_FLUSHED, SRB_STATUS_SELECTION_TIMEOUT, SRB_STATUS_SUCCESS,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_VERIFY_REQUIRED,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Success with fewer bytes than asked for.
    Short,
    /// SCSI status BUSY.
    Busy,
    /// SCSI status TASK SET FULL.
    QueueFull,
    /// The bus was reset under the request.
    BusReset,
    /// The request took too long; the port gave it up at once.
    Timeout,
    /// Unrecovered read error or write fault, at one LBA.
    MediumError,
    /// The device failed internally.
    HardwareError,
    /// All data moved, with some recovery that the device wants to tell of.
    RecoveredError,
    /// UNIT ATTENTION, reset occurred: reported once, worth a retry.
    UnitAttention,
    /// UNIT ATTENTION, the medium may have changed; the port's IRP status is an ordinary error.
    MediumChanged,
    /// The same, with `STATUS_VERIFY_REQUIRED` as IRP status, as a class driver below would say it.
    VerifyRequired,
    /// NOT READY, becoming ready.
    NotReady,
    /// ABORTED COMMAND from the device.
    AbortedCommand,
    /// The port aborted the request.
    Aborted,
    /// No resources, said by the IRP status.
    NoResourcesIrp,
    /// No resources, said by `SRB_STATUS_INTERNAL_ERROR` and the system status.
    NoResourcesSystem,
    /// No resources, said by the SRB status.
    NoResourcesSrb,
    /// A hardware error after which the queue freezes, where the request's flags allow it.
    Frozen,
    /// The device does not answer selection.
    SelectionTimeout,
    /// The device is gone, for this one request.
    NoDevice,
    /// The device sent more than was asked for.
    DataOverrun,
    /// Parity error on the bus.
    ParityError,
    /// The queue was flushed.
    Flushed,
    /// The request never ends by itself: the SRB's timeout or a removal ends it.
    Hang,
}

impl Kind {
    /// Every kind, in the order of [`FaultCounts`].
    pub const ALL: [Self; 24] = [
        Self::Short,
        Self::Busy,
        Self::QueueFull,
        Self::BusReset,
        Self::Timeout,
        Self::MediumError,
        Self::HardwareError,
        Self::RecoveredError,
        Self::UnitAttention,
        Self::MediumChanged,
        Self::VerifyRequired,
        Self::NotReady,
        Self::AbortedCommand,
        Self::Aborted,
        Self::NoResourcesIrp,
        Self::NoResourcesSystem,
        Self::NoResourcesSrb,
        Self::Frozen,
        Self::SelectionTimeout,
        Self::NoDevice,
        Self::DataOverrun,
        Self::ParityError,
        Self::Flushed,
        Self::Hang,
    ];

    /// The name used in reports and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Busy => "busy",
            Self::QueueFull => "queue-full",
            Self::BusReset => "bus-reset",
            Self::Timeout => "timeout",
            Self::MediumError => "medium-error",
            Self::HardwareError => "hardware-error",
            Self::RecoveredError => "recovered-error",
            Self::UnitAttention => "unit-attention",
            Self::MediumChanged => "medium-changed",
            Self::VerifyRequired => "verify-required",
            Self::NotReady => "not-ready",
            Self::AbortedCommand => "aborted-command",
            Self::Aborted => "aborted",
            Self::NoResourcesIrp => "no-resources-irp",
            Self::NoResourcesSystem => "no-resources-system",
            Self::NoResourcesSrb => "no-resources-srb",
            Self::Frozen => "frozen",
            Self::SelectionTimeout => "selection-timeout",
            Self::NoDevice => "no-device",
            Self::DataOverrun => "data-overrun",
            Self::ParityError => "parity-error",
            Self::Flushed => "flushed",
            Self::Hang => "hang",
        }
    }

    /// The kind of this [`Kind::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What a port driver tells about it; `None` for [`Kind::Hang`], about which nobody tells.
    pub(crate) fn effect(self, request: &ReadWrite, bad_lba: u64) -> Option<Effect> {
        let check = |sense| Effect {
            scsi_status: SCSISTAT_CHECK_CONDITION as u8,
            sense: Some(sense),
            ..Effect::failed(SRB_STATUS_ERROR)
        };
        let plain = Effect::failed;
        Some(match self {
            Self::Short => Effect {
                moved: Moved::Half,
                ..plain(SRB_STATUS_SUCCESS)
            },
            Self::Busy => Effect {
                scsi_status: SCSISTAT_BUSY as u8,
                ..plain(SRB_STATUS_BUSY)
            },
            Self::QueueFull => Effect {
                scsi_status: SCSISTAT_QUEUE_FULL as u8,
                ..plain(SRB_STATUS_ERROR)
            },
            Self::BusReset => plain(SRB_STATUS_BUS_RESET),
            Self::Timeout => plain(SRB_STATUS_COMMAND_TIMEOUT),
            Self::MediumError => {
                let (code, qualifier) = match request.direction {
                    Direction::Read => (0x11, 0x00),
                    Direction::Write => (0x0C, 0x02),
                };
                let sense = Sense::new(key::MEDIUM_ERROR, code, qualifier).at(bad_lba);
                Effect {
                    moved: Moved::UpTo(bad_lba),
                    ..check(sense)
                }
            }
            Self::HardwareError | Self::Frozen => {
                check(Sense::new(key::HARDWARE_ERROR, 0x44, 0x00))
            }
            Self::RecoveredError => Effect {
                moved: Moved::All,
                ..check(Sense::new(key::RECOVERED_ERROR, 0x17, 0x01).at(bad_lba))
            },
            Self::UnitAttention => check(Sense::RESET_OCCURRED),
            Self::MediumChanged => check(Sense::MEDIUM_CHANGED),
            Self::VerifyRequired => Effect {
                irp_status: Some(STATUS_VERIFY_REQUIRED),
                ..check(Sense::MEDIUM_CHANGED)
            },
            Self::NotReady => check(Sense::new(key::NOT_READY, 0x04, 0x01)),
            Self::AbortedCommand => check(Sense::new(key::ABORTED_COMMAND, 0x47, 0x03)),
            Self::Aborted => plain(SRB_STATUS_ABORTED),
            Self::NoResourcesIrp => Effect {
                irp_status: Some(STATUS_INSUFFICIENT_RESOURCES),
                ..plain(SRB_STATUS_ERROR)
            },
            Self::NoResourcesSystem => Effect {
                system_status: STATUS_INSUFFICIENT_RESOURCES,
                ..plain(SRB_STATUS_INTERNAL_ERROR)
            },
            Self::NoResourcesSrb => plain(SRB_STATUS_INSUFFICIENT_RESOURCES),
            Self::SelectionTimeout => plain(SRB_STATUS_SELECTION_TIMEOUT),
            Self::NoDevice => plain(SRB_STATUS_NO_DEVICE),
            Self::DataOverrun => Effect {
                moved: Moved::All,
                ..plain(SRB_STATUS_DATA_OVERRUN)
            },
            Self::ParityError => plain(SRB_STATUS_PARITY_ERROR),
            Self::Flushed => plain(SRB_STATUS_REQUEST_FLUSHED),
            Self::Hang => return None,
        })
    }
}

/// How much of a request's data went over the bus before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Nothing,
    All,
    /// Half of it, in whole sectors.
    Half,
    /// The blocks before this LBA.
    UpTo(u64),
    /// This many bytes.
    Bytes(u32),
}

/// How a request ends, as the driver above sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Without flag bits.
    pub(crate) srb_status: u8,
    pub(crate) scsi_status: u8,
    pub(crate) sense: Option<Sense>,
    /// Where the IRP status is not the one that follows from the SRB status.
    pub(crate) irp_status: Option<NTSTATUS>,
    /// For `SRB_STATUS_INTERNAL_ERROR`.
    pub(crate) system_status: NTSTATUS,
    pub(crate) moved: Moved,
}

impl Effect {
    pub(crate) const SUCCESS: Self = Self {
        moved: Moved::All,
        ..Self::failed(SRB_STATUS_SUCCESS)
    };

    pub(crate) const fn failed(srb_status: u32) -> Self {
        Self {
            srb_status: srb_status as u8,
            scsi_status: SCSISTAT_GOOD as u8,
            sense: None,
            irp_status: None,
            system_status: 0,
            moved: Moved::Nothing,
        }
    }

    pub(crate) const fn check(sense: Sense) -> Self {
        Self {
            scsi_status: SCSISTAT_CHECK_CONDITION as u8,
            sense: Some(sense),
            ..Self::failed(SRB_STATUS_ERROR)
        }
    }
}

/// A script line: requests that match all given conditions meet the fault.
///
/// Without conditions the next READ or WRITE meets it, once.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    nth: u64,
    times: u32,
    lbas: Option<Range<u64>>,
    attempt: Option<u32>,
    direction: Option<Direction>,
    bytes: Option<u32>,
    matched: u64,
    fired: u32,
}

impl Fault {
    /// A fault of this kind for the next READ or WRITE.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            nth: 0,
            times: 1,
            lbas: None,
            attempt: None,
            direction: None,
            bytes: None,
            matched: 0,
            fired: 0,
        }
    }

    /// Only requests that contain block `lba`; sense data names it and the blocks before it move.
    #[must_use]
    pub fn at_lba(self, lba: u64) -> Self {
        self.at_lbas(lba..lba + 1)
    }

    /// Only requests that touch the blocks `lbas`.
    #[must_use]
    pub fn at_lbas(mut self, lbas: Range<u64>) -> Self {
        self.lbas = Some(lbas);
        self
    }

    /// Passes over the first `nth` requests that match otherwise.
    #[must_use]
    pub const fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Strikes this many times; once if not said.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Strikes for ever.
    #[must_use]
    pub const fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Only the `attempt`-th time (from 0) that a request starts at its LBA.
    #[must_use]
    pub const fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Only this direction.
    #[must_use]
    pub const fn direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// How many bytes move before the fault.
    #[must_use]
    pub const fn bytes(mut self, bytes: u32) -> Self {
        self.bytes = Some(bytes);
        self
    }

    fn strikes(&mut self, request: &ReadWrite, attempt: u32) -> bool {
        let end = request.lba + u64::from(request.blocks);
        let matches = self.fired < self.times
            && self
                .direction
                .is_none_or(|direction| direction == request.direction)
            && self.attempt.is_none_or(|wanted| wanted == attempt)
            && self
                .lbas
                .as_ref()
                .is_none_or(|lbas| lbas.start < end && request.lba < lbas.end);
        if !matches {
            return false;
        }
        self.matched += 1;
        if self.matched <= self.nth {
            return false;
        }
        self.fired += 1;
        true
    }
}

/// Probabilities for long runs, each between 0 and 1, and all together at most 1.
#[derive(Clone, Debug)]
pub struct FaultMix {
    chances: Vec<(Kind, f64)>,
    in_a_row: u32,
}

impl Default for FaultMix {
    fn default() -> Self {
        Self {
            chances: Vec::new(),
            in_a_row: u32::MAX,
        }
    }
}

impl FaultMix {
    /// Fair weather.
    pub fn new() -> Self {
        Self::default()
    }

    /// A chance of `chance` for `kind`.
    #[must_use]
    pub fn with(mut self, kind: Kind, chance: f64) -> Self {
        self.chances.retain(|(known, _)| *known != kind);
        self.chances.push((kind, chance));
        self
    }

    /// The same chance for every kind except [`Kind::Hang`], which costs a timeout each time.
    #[must_use]
    pub fn everything(mut self, chance: f64) -> Self {
        for kind in Kind::ALL {
            if kind != Kind::Hang {
                self = self.with(kind, chance);
            }
        }
        self
    }

    /// After `limit` faults in a row at one starting LBA the next request there is spared, so that
    /// a driver that retries often enough always gets through.
    #[must_use]
    pub fn at_most_in_a_row(mut self, limit: u32) -> Self {
        self.in_a_row = limit;
        self
    }

    fn draw(&self, rng: &mut Rng) -> Option<Kind> {
        if self.chances.is_empty() {
            return None;
        }
        let mut point = rng.fraction();
        for &(kind, chance) in &self.chances {
            if point < chance {
                return Some(kind);
            }
            point -= chance;
        }
        None
    }
}

/// How often each kind was injected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Kind::ALL.len()]);

impl FaultCounts {
    /// How often `kind` was injected.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every kind with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().zip(self.0)
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// One injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Injection {
    pub(crate) kind: Kind,
    /// The block at which it happens.
    pub(crate) lba: u64,
    pub(crate) bytes: Option<u32>,
}

/// Script, weather and counts of one port.
#[derive(Debug)]
pub(crate) struct Faults {
    script: Vec<Fault>,
    mix: FaultMix,
    rng: Rng,
    counts: FaultCounts,
    /// How often a request started at an LBA; kept only while a script line asks.
    attempts: HashMap<u64, u32>,
    /// Faults in a row by starting LBA; kept only while the mix limits them.
    streaks: HashMap<u64, u32>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            script: Vec::new(),
            mix: FaultMix::new(),
            rng: Rng::new(seed),
            counts: FaultCounts::default(),
            attempts: HashMap::new(),
            streaks: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.script.push(fault);
    }

    pub(crate) fn set_mix(&mut self, mix: FaultMix) {
        self.mix = mix;
    }

    pub(crate) fn clear(&mut self) {
        self.script.clear();
        self.attempts.clear();
        self.mix = FaultMix::new();
    }

    pub(crate) fn counts(&self) -> &FaultCounts {
        &self.counts
    }

    /// Decides about one READ or WRITE that reached the adapter.
    pub(crate) fn next(&mut self, request: &ReadWrite) -> Option<Injection> {
        let injection = self.scripted(request).or_else(|| self.weather(request))?;
        self.counts.0[injection.kind as usize] += 1;
        Some(injection)
    }

    fn scripted(&mut self, request: &ReadWrite) -> Option<Injection> {
        if self.script.is_empty() {
            return None;
        }
        let mut attempt = 0;
        if self.script.iter().any(|fault| fault.attempt.is_some()) {
            let seen = self.attempts.entry(request.lba).or_default();
            attempt = *seen;
            *seen += 1;
        }
        let fault = self
            .script
            .iter_mut()
            .find_map(|fault| fault.strikes(request, attempt).then(|| fault.clone()))?;
        let first = fault
            .lbas
            .map_or(request.lba, |lbas| lbas.start.max(request.lba));
        Some(Injection {
            kind: fault.kind,
            lba: first,
            bytes: fault.bytes,
        })
    }

    fn weather(&mut self, request: &ReadWrite) -> Option<Injection> {
        let kind = self.mix.draw(&mut self.rng);
        if self.mix.in_a_row != u32::MAX && !self.mix.chances.is_empty() {
            let Some(_) = kind else {
                self.streaks.remove(&request.lba);
                return None;
            };
            let streak = self.streaks.entry(request.lba).or_default();
            if *streak >= self.mix.in_a_row {
                self.streaks.remove(&request.lba);
                return None;
            }
            *streak += 1;
        }
        let kind = kind?;
        let lba = request.lba + self.rng.below(u64::from(request.blocks.max(1)));
        Some(Injection {
            kind,
            lba,
            bytes: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Fault, FaultMix, Faults, Kind, ReadWrite};

    fn read(lba: u64, blocks: u32) -> ReadWrite {
        ReadWrite {
            direction: Direction::Read,
            lba,
            blocks,
            force_unit_access: false,
            protect: 0,
        }
    }

    fn kinds(faults: &mut Faults, requests: &[ReadWrite]) -> Vec<Option<Kind>> {
        requests
            .iter()
            .map(|request| faults.next(request).map(|hit| hit.kind))
            .collect()
    }

    #[test]
    fn the_table_of_kinds_is_in_the_order_of_the_enum() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_fault_strikes_the_requests_that_contain_its_lba() {
        let mut faults = Faults::new(0);
        faults.add(Fault::new(Kind::MediumError).at_lba(10).always());
        let hit = faults.next(&read(8, 4)).expect("block 10 is inside");
        assert_eq!((hit.kind, hit.lba), (Kind::MediumError, 10));
        assert!(faults.next(&read(11, 4)).is_none());
        assert!(faults.next(&read(6, 4)).is_none());
        assert_eq!(faults.counts().of(Kind::MediumError), 1);
    }

    #[test]
    fn nth_and_times_count_matches_alone() {
        let mut faults = Faults::new(0);
        faults.add(Fault::new(Kind::Busy).at_lbas(0..10).nth(1).times(2));
        let seen = kinds(
            &mut faults,
            &[read(0, 1), read(50, 1), read(1, 1), read(2, 1), read(3, 1)],
        );
        assert_eq!(seen, [None, None, Some(Kind::Busy), Some(Kind::Busy), None]);
    }

    #[test]
    fn an_attempt_is_counted_for_each_starting_lba() {
        let mut faults = Faults::new(0);
        faults.add(Fault::new(Kind::Busy).attempt(1).always());
        let seen = kinds(
            &mut faults,
            &[read(0, 1), read(8, 1), read(0, 1), read(0, 1), read(8, 1)],
        );
        assert_eq!(seen, [None, None, Some(Kind::Busy), None, Some(Kind::Busy)]);
    }

    #[test]
    fn a_mix_hits_about_as_often_as_it_says_and_spares_after_a_streak() {
        let mut faults = Faults::new(3);
        faults.set_mix(
            FaultMix::new()
                .with(Kind::Busy, 0.25)
                .with(Kind::Short, 0.25),
        );
        for lba in 0..10_000 {
            faults.next(&read(lba, 8));
        }
        for kind in [Kind::Busy, Kind::Short] {
            assert!(
                (2_200..2_800).contains(&faults.counts().of(kind)),
                "{:?}",
                faults.counts()
            );
        }
        faults.set_mix(FaultMix::new().with(Kind::Busy, 1.0).at_most_in_a_row(2));
        let seen = kinds(
            &mut faults,
            &[read(1, 1), read(1, 1), read(1, 1), read(1, 1)],
        );
        assert_eq!(
            seen,
            [Some(Kind::Busy), Some(Kind::Busy), None, Some(Kind::Busy)]
        );
    }
}
