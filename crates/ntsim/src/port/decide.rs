//! What becomes of a SCSI command: the adapter's limits first, then the logical unit, then faults.

use super::cdb::{self, Direction, ReadWrite};
use super::extent::Extent;
use super::fault::{Effect, Injection, Moved};
use super::hba::{Limits, OnViolation, SegmentRule};
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
        let limits = profile.actual;
        let record = &request.record;
        let segments = match profile.segments {
            SegmentRule::Pages => record.span_pages,
            SegmentRule::Breaks => record.breaks,
        };
        let broken = broken_limits(limits, profile.segments, record.bytes, segments, address);
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
                let room = within(limits, record.page_offset, self.disk.geometry.sector);
                request.transfer = cdb::read_write(record.command());
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

    fn check_direction(state: &mut State, request: &Request, direction: Direction) {
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

fn broken_limits(
    limits: Limits,
    rule: SegmentRule,
    bytes: u32,
    segments: u32,
    address: usize,
) -> Vec<(Violation, String)> {
    let mut broken = Vec::new();
    if limits.bytes != 0 && bytes > limits.bytes {
        broken.push((
            Violation::Bytes,
            format!("{bytes} bytes, {} allowed", limits.bytes),
        ));
    }
    if segments > limits.pages.max(1) {
        let (violation, what) = match rule {
            SegmentRule::Pages => (Violation::Pages, "pages"),
            SegmentRule::Breaks => (Violation::Breaks, "physical breaks"),
        };
        broken.push((
            violation,
            format!("{segments} {what}, {} allowed", limits.pages),
        ));
    }
    if address & limits.alignment_mask as usize != 0 {
        let detail = format!(
            "buffer at {address:#x}, alignment mask {:#x}",
            limits.alignment_mask
        );
        broken.push((Violation::Alignment, detail));
    }
    broken
}

/// How many whole sectors at `page_offset` the limits allow.
fn within(limits: Limits, page_offset: u16, sector: u32) -> u32 {
    let pages = (u64::from(limits.pages.max(1)) * 4096).saturating_sub(u64::from(page_offset));
    let bytes = if limits.bytes == 0 {
        u32::MAX
    } else {
        limits.bytes
    };
    let room = pages.min(u64::from(bytes)) as u32;
    room - room % sector
}

#[cfg(test)]
mod tests {
    use super::{Limits, SegmentRule, Violation, broken_limits, within};

    #[test]
    fn each_limit_is_found_broken_on_its_own() {
        let limits = Limits {
            bytes: 8192,
            pages: 2,
            alignment_mask: 3,
        };
        let broken = |bytes, pages, address| {
            broken_limits(limits, SegmentRule::Pages, bytes, pages, address)
                .into_iter()
                .map(|(violation, _)| violation)
                .collect::<Vec<_>>()
        };
        assert_eq!(broken(8192, 2, 0x1004), []);
        assert_eq!(broken(8704, 2, 0x1000), [Violation::Bytes]);
        assert_eq!(broken(8192, 3, 0x1004), [Violation::Pages]);
        assert_eq!(broken(512, 1, 0x1002), [Violation::Alignment]);
    }

    #[test]
    fn a_short_transfer_ends_on_a_sector() {
        let limits = Limits {
            bytes: 65535,
            pages: 4,
            alignment_mask: 0,
        };
        assert_eq!(within(limits, 100, 512), 15872);
        assert_eq!(
            within(
                Limits {
                    pages: 64,
                    ..limits
                },
                0,
                512
            ),
            65024
        );
    }
}
