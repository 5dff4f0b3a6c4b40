//! What becomes of a SCSI command: the adapter's limits first, then the logical unit, then faults.

use super::cdb::{self, Direction, ReadWrite};
use super::extent::Extent;
use super::fault::{Effect, Injection, Moved};
use super::hba::{Limits, OnViolation, SegmentRule};
use super::paired::PortLimits;
use super::record::Violation;
use super::request::Request;
use super::target::Reply;
use super::{Port, State};
use crate::abi::{
    SRB_FLAGS_DATA_IN, SRB_FLAGS_DATA_OUT, SRB_FLAGS_UNSPECIFIED_DIRECTION, SRB_STATUS_BUS_RESET,
    SRB_STATUS_DATA_OVERRUN, SRB_STATUS_INVALID_REQUEST,
};

/// Whether and how a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With [`Request::effect`], when the adapter's latency has passed.
    Known,
    /// Not by itself.
    Never,
}

impl Port {
    /// Decides how `request` ends. Everything that the sender can see is left in
    /// [`Request::effect`]; nothing has moved yet.
    pub(super) fn decide(&self, state: &mut State, request: &mut Request) -> Ending {
        match self.examine(state, request) {
            Ok(()) => self.command(state, request),
            Err(ending) => ending,
        }
    }

    /// The adapter's side: is the data where the request says, and does the hardware take it?
    fn examine(&self, state: &mut State, request: &mut Request) -> Result<(), Ending> {
        let bytes = request.record.bytes;
        if bytes == 0 {
            return Ok(());
        }
        let Some(srb) = request.srb else {
            return Ok(());
        };
        // SAFETY: the port owns the IRP and its MDL.
        let extent = unsafe { Extent::locate((*request.irp).MdlAddress, srb.data_buffer(), bytes) };
        let extent = match extent {
            Ok(extent) => extent,
            Err((violation, detail)) => {
                state
                    .recorder
                    .violation(violation, request.record.sequence, detail);
                request.effect = Effect::failed(SRB_STATUS_INVALID_REQUEST);
                return Err(Ending::Known);
            }
        };
        request.record.page_offset = extent.page_offset() as u16;
        request.record.span_pages = extent.span_pages();
        request.record.breaks = extent.breaks();
        request.extent = Some(extent);
        self.check_limits(state, request, srb.data_buffer().addr())
    }

    fn check_limits(
        &self,
        state: &mut State,
        request: &mut Request,
        address: usize,
    ) -> Result<(), Ending> {
        let profile = &self.hba.profile;
        let record = &request.record;
        let transfer = cdb::read_write(record.command());
        let bound = Bound {
            limits: and_told(profile.actual, request.held_to),
            rule: profile.segments,
            registers: request.held_to.registers,
            sectors: profile.sectors,
        };
        let wanted = Wanted {
            bytes: record.bytes,
            pages: record.span_pages,
            segments: match profile.segments {
                SegmentRule::Pages => record.span_pages,
                SegmentRule::Breaks => record.breaks,
            },
            sectors: transfer.map_or(0, |transfer| transfer.blocks),
            address,
        };
        let broken = bound.broken_by(&wanted);
        if broken.is_empty() {
            return Ok(());
        }
        for (violation, detail) in broken {
            state.recorder.violation(violation, record.sequence, detail);
        }
        match profile.on_violation {
            OnViolation::Record => return Ok(()),
            OnViolation::Error => request.effect = Effect::failed(SRB_STATUS_INVALID_REQUEST),
            OnViolation::BusReset => request.effect = Effect::failed(SRB_STATUS_BUS_RESET),
            OnViolation::Hang => return Err(Ending::Never),
            OnViolation::Short => {
                let room = bound.room(record.page_offset, self.disk.geometry.sector);
                request.transfer = transfer;
                request.effect = Effect {
                    moved: Moved::Bytes(room.min(record.bytes)),
                    ..Effect::SUCCESS
                };
            }
        }
        Err(Ending::Known)
    }

    /// The logical unit's side.
    fn command(&self, state: &mut State, request: &mut Request) -> Ending {
        match state.target.command(request.record.command()) {
            Reply::Silence => Ending::Never,
            Reply::Check(sense) => {
                Self::note_transfer(state, request);
                request.effect = Effect::check(sense);
                Ending::Known
            }
            Reply::Good(data) => {
                request.reply = data;
                Ending::Known
            }
            Reply::Transfer(transfer) => {
                Self::note_transfer(state, request);
                self.transfer(state, request, transfer)
            }
        }
    }

    /// Enters what the CDB asks for into the record, also for a transfer that fails.
    fn note_transfer(state: &mut State, request: &mut Request) {
        let Some(transfer) = cdb::read_write(request.record.command()) else {
            return;
        };
        let record = &mut request.record;
        record.direction = Some(transfer.direction);
        record.lba = transfer.lba;
        record.blocks = transfer.blocks;
        let counts = &mut state.recorder.counts;
        match transfer.direction {
            Direction::Read => counts.reads += 1,
            Direction::Write => counts.writes += 1,
        }
        counts.largest_bytes = counts.largest_bytes.max(record.bytes);
        counts.largest_pages = counts.largest_pages.max(record.span_pages);
    }

    fn transfer(&self, state: &mut State, request: &mut Request, transfer: ReadWrite) -> Ending {
        Self::check_direction(state, request, transfer.direction);
        let wanted = u64::from(transfer.blocks) * u64::from(self.disk.geometry.sector);
        let given = u64::from(request.record.bytes);
        if wanted != given {
            let detail = format!("the CDB asks for {wanted} bytes, DataTransferLength is {given}");
            state
                .recorder
                .violation(Violation::CdbLength, request.record.sequence, detail);
            request.transfer = Some(transfer);
            // The device moves what the CDB says, the adapter what the length allows.
            request.effect = if wanted > given {
                Effect {
                    moved: Moved::All,
                    ..Effect::failed(SRB_STATUS_DATA_OVERRUN)
                }
            } else {
                Effect {
                    moved: Moved::Bytes(wanted as u32),
                    ..Effect::SUCCESS
                }
            };
            return Ending::Known;
        }
        request.transfer = Some(transfer);
        match state.faults.next(&transfer) {
            Some(injection) => inject(request, &transfer, injection),
            None => Ending::Known,
        }
    }

    pub(super) fn check_direction(state: &mut State, request: &Request, direction: Direction) {
        let flags = request.flags() & SRB_FLAGS_UNSPECIFIED_DIRECTION;
        let wanted = match direction {
            Direction::Read => SRB_FLAGS_DATA_IN,
            Direction::Write => SRB_FLAGS_DATA_OUT,
        };
        if flags != wanted && request.record.bytes != 0 {
            let detail = format!("a {direction:?} with direction flags {flags:#x}");
            state
                .recorder
                .violation(Violation::Direction, request.record.sequence, detail);
        }
    }
}

fn inject(request: &mut Request, transfer: &ReadWrite, injection: Injection) -> Ending {
    request.record.fault = Some(injection.kind);
    let Some(mut effect) = injection.kind.effect(transfer, injection.lba) else {
        return Ending::Never;
    };
    if let Some(bytes) = injection.bytes {
        effect.moved = Moved::Bytes(bytes.min(request.record.bytes));
    }
    request.effect = effect;
    Ending::Known
}

/// Everything that a request to the hardware must keep to.
#[derive(Clone, Copy, Debug)]
struct Bound {
    limits: Limits,
    rule: SegmentRule,
    /// Pages that the map registers of the port driver span.
    registers: u32,
    /// What the controller's sector count holds.
    sectors: Option<u32>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    bytes: u32,
    pages: u32,
    segments: u32,
    sectors: u32,
    address: usize,
}

/// The adapter's limits with those that its port driver told of its own.
fn and_told(limits: Limits, told: PortLimits) -> Limits {
    let bytes = match limits.bytes {
        0 if told.bytes == u32::MAX => 0,
        0 => told.bytes,
        bytes => bytes.min(told.bytes),
    };
    Limits {
        bytes,
        pages: limits.pages.min(told.segments),
        ..limits
    }
}

impl Bound {
    fn broken_by(&self, wanted: &Wanted) -> Vec<(Violation, String)> {
        let limits = self.limits;
        let most = |limit: u32| limit.max(1);
        let segments = match self.rule {
            SegmentRule::Pages => (Violation::Pages, "pages"),
            SegmentRule::Breaks => (Violation::Breaks, "physical breaks"),
        };
        let bytes = if limits.bytes == 0 {
            u32::MAX
        } else {
            limits.bytes
        };
        let counted = [
            ((Violation::Bytes, "bytes"), wanted.bytes, bytes),
            (segments, wanted.segments, most(limits.pages)),
            (
                (Violation::MapRegisters, "pages"),
                wanted.pages,
                most(self.registers),
            ),
            (
                (Violation::Sectors, "sectors"),
                wanted.sectors,
                self.sectors.unwrap_or(u32::MAX),
            ),
        ];
        let mut broken: Vec<_> = counted
            .into_iter()
            .filter(|&(_, found, most)| found > most)
            .map(|((violation, what), found, most)| {
                (violation, format!("{found} {what}, {most} allowed"))
            })
            .collect();
        if wanted.address & limits.alignment_mask as usize != 0 {
            let detail = format!(
                "buffer at {:#x}, alignment mask {:#x}",
                wanted.address, limits.alignment_mask
            );
            broken.push((Violation::Alignment, detail));
        }
        broken
    }

    /// How many bytes of whole sectors at `page_offset` the limits allow.
    fn room(&self, page_offset: u16, sector: u32) -> u32 {
        let pages = u64::from(self.limits.pages.min(self.registers).max(1));
        let pages = (pages * 4096).saturating_sub(u64::from(page_offset));
        let bytes = match self.limits.bytes {
            0 => u64::from(u32::MAX),
            bytes => u64::from(bytes),
        };
        let sectors = self.sectors.map_or(u64::MAX, u64::from);
        let room = pages
            .min(bytes)
            .min(sectors.saturating_mul(u64::from(sector))) as u32;
        room - room % sector
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Limits, PortLimits, SegmentRule, Violation, Wanted, and_told};

    fn bound(bytes: u32, pages: u32) -> Bound {
        Bound {
            limits: Limits {
                bytes,
                pages,
                alignment_mask: 3,
            },
            rule: SegmentRule::Pages,
            registers: u32::MAX,
            sectors: None,
        }
    }

    #[test]
    fn each_limit_is_found_broken_on_its_own() {
        let bound = Bound {
            registers: 3,
            sectors: Some(16),
            ..bound(8192, 4)
        };
        let broken = |bytes, pages, segments, sectors, address| {
            let wanted = Wanted {
                bytes,
                pages,
                segments,
                sectors,
                address,
            };
            bound
                .broken_by(&wanted)
                .into_iter()
                .map(|(violation, _)| violation)
                .collect::<Vec<_>>()
        };
        assert_eq!(broken(8192, 3, 4, 16, 0x1004), []);
        assert_eq!(broken(8704, 3, 4, 16, 0x1000), [Violation::Bytes]);
        assert_eq!(broken(8192, 3, 5, 16, 0x1004), [Violation::Pages]);
        assert_eq!(broken(8192, 4, 4, 16, 0x1004), [Violation::MapRegisters]);
        assert_eq!(broken(8192, 3, 4, 17, 0x1004), [Violation::Sectors]);
        assert_eq!(broken(512, 1, 1, 1, 0x1002), [Violation::Alignment]);
    }

    #[test]
    fn what_is_told_makes_limits_stricter_and_never_looser() {
        let limits = bound(8192, 4).limits;
        let told = |bytes, segments| {
            let told = PortLimits {
                segments,
                bytes,
                ..PortLimits::NONE
            };
            let both = and_told(limits, told);
            (both.bytes, both.pages)
        };
        assert_eq!(told(u32::MAX, u32::MAX), (8192, 4));
        assert_eq!(told(4096, 2), (4096, 2));
        let unlimited = bound(0, 4).limits;
        assert_eq!(and_told(unlimited, PortLimits::NONE).bytes, 0);
    }

    #[test]
    fn a_short_transfer_ends_on_a_sector() {
        assert_eq!(bound(65535, 4).room(100, 512), 15872);
        assert_eq!(bound(65535, 64).room(0, 512), 65024);
        let few = Bound {
            registers: 2,
            ..bound(65535, 64)
        };
        assert_eq!(few.room(512, 512), 8192 - 512);
        let controller = Bound {
            sectors: Some(8),
            ..bound(0, 64)
        };
        assert_eq!(controller.room(512, 512), 4096);
    }
}
