//! A request's way through the port: admitted, held or started, finished.

use core::ptr;
use std::mem;
use std::sync::Arc;

use super::decide::Ending;
use super::extent::Extent;
use super::fault::{Effect, Moved};
use super::hba::Completion;
use super::host;
use super::queue::Wait;
use super::record::{Outcome, Violation};
use super::request::{OwnedRequest, Request};
use super::rng::mix;
use super::slots::Token;
use super::srb::Srb;
use super::{Direction, Port, Presence, ReadWrite, State};
use crate::abi::{
    IO_DISK_INCREMENT, NTSTATUS, SRB_FLAGS_DISABLE_AUTOSENSE, SRB_FLAGS_FREE_SENSE_BUFFER,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FUNCTION_EXECUTE_SCSI,
    SRB_STATUS_AUTOSENSE_VALID, SRB_STATUS_BAD_FUNCTION, SRB_STATUS_BAD_SRB_BLOCK_LENGTH,
    SRB_STATUS_BUS_RESET, SRB_STATUS_COMMAND_TIMEOUT, SRB_STATUS_DATA_OVERRUN,
    SRB_STATUS_INSUFFICIENT_RESOURCES, SRB_STATUS_INTERNAL_ERROR, SRB_STATUS_INVALID_LUN,
    SRB_STATUS_INVALID_PATH_ID, SRB_STATUS_INVALID_REQUEST, SRB_STATUS_INVALID_TARGET_ID,
    SRB_STATUS_NO_DEVICE, SRB_STATUS_NO_HBA, SRB_STATUS_QUEUE_FROZEN, SRB_STATUS_SELECTION_TIMEOUT,
    SRB_STATUS_SUCCESS, SRB_STATUS_TIMEOUT, STATUS_BUFFER_OVERFLOW, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_DEVICE_NOT_CONNECTED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_PENDING, STATUS_SUCCESS,
};

/// Seconds in `TimeOutValue` to units of 100 ns.
const SECOND: u64 = 10_000_000;

/// What to do with a started request once the port's lock is dropped.
enum Start {
    /// Finish it now.
    Inline(OwnedRequest),
    /// Its interrupt comes after this time.
    After(Token, u64),
    /// It ends by its timeout, if it has one.
    Timeout(Token, u32),
    /// Somebody else will say when.
    Nothing,
}

impl Port {
    /// Takes an `EXECUTE_SCSI` request from the dispatch routine and gives what that returns.
    pub(crate) fn execute(self: &Arc<Self>, mut request: OwnedRequest) -> NTSTATUS {
        self.map_by_habit(&mut request);
        let start = {
            let mut state = self.state();
            if state.presence == Presence::Gone {
                request.effect = Effect::failed(SRB_STATUS_NO_DEVICE);
                drop(state);
                return self.finish_inside(request);
            }
            let depth = self.hba.profile.queue_depth;
            if let Some(wait) = state.queue.must_wait(request.flags(), depth) {
                match wait {
                    Wait::Held => state.recorder.counts.held += 1,
                    Wait::Queued => state.recorder.counts.queued += 1,
                }
                request.mark_pending();
                state.queue.push(request);
                return STATUS_PENDING;
            }
            state.queue.started();
            self.start(&mut state, request)
        };
        let status = match start {
            Start::Inline(request) => {
                let status = self.end_active(request);
                self.pump();
                status
            }
            later => {
                self.schedule(later);
                STATUS_PENDING
            }
        };
        if self.hba.habits.always_pending {
            STATUS_PENDING
        } else {
            status
        }
    }

    /// Maps the data's MDL, on adapters that do. On arrival and without the port's lock: interrupts
    /// come in when the mapping function returns, and they want that lock.
    fn map_by_habit(&self, request: &mut Request) {
        let (true, Some(srb)) = (self.hba.habits.maps_mdl, request.srb) else {
            return;
        };
        // SAFETY: the port owns the IRP and its MDL until it completes them.
        unsafe {
            let mdl = (*request.irp).MdlAddress;
            let bytes = request.record.bytes;
            if bytes != 0 && Extent::locate(mdl, srb.data_buffer(), bytes).is_ok() {
                request.mapped = host::map(mdl);
            }
        }
    }

    /// Completes a request that never became active, inside the dispatch routine.
    pub(crate) fn finish_inside(&self, request: OwnedRequest) -> NTSTATUS {
        let pending = self.hba.habits.always_pending;
        if pending {
            request.mark_pending();
        }
        let status = self.finish(request);
        if pending { STATUS_PENDING } else { status }
    }

    /// Starts an active request. Anything but an inline end marks it pending here, under the lock:
    /// afterwards it may complete at any moment.
    fn start(&self, state: &mut State, mut request: OwnedRequest) -> Start {
        request.active = true;
        let ending = self.decide(state, &mut request);
        let counts = &mut state.recorder.counts;
        counts.in_flight_peak = counts.in_flight_peak.max(state.queue.active());
        state.bytes_in_flight += u64::from(request.record.bytes);
        counts.bytes_in_flight_peak = counts.bytes_in_flight_peak.max(state.bytes_in_flight);
        if self.hba.habits.always_pending {
            request.mark_pending();
        }
        if ending == Ending::Never {
            request.mark_pending();
            let timeout = request.record.timeout;
            return Start::Timeout(state.slots.insert(request), timeout);
        }
        let latency = match &state.completion {
            Completion::Inline => return Start::Inline(request),
            Completion::Mixed(percent, _) if state.rng.below(100) < u64::from(*percent) => {
                return Start::Inline(request);
            }
            Completion::Held => {
                request.mark_pending();
                let token = state.slots.insert(request);
                state.slots.hold(token);
                return Start::Nothing;
            }
            Completion::Later(range) | Completion::Mixed(_, range) => range.clone(),
        };
        let spread = latency.end.saturating_sub(latency.start);
        let moving = u64::from(request.record.bytes).div_ceil(1024) * self.hba.per_kib;
        let delay = latency.start + state.rng.below(spread) + moving;
        request.mark_pending();
        Start::After(state.slots.insert(request), delay)
    }

    fn schedule(self: &Arc<Self>, start: Start) {
        match start {
            Start::After(token, delay) => {
                self.after(delay, move |port| port.interrupt(token));
            }
            Start::Timeout(token, seconds) if seconds != 0 => {
                let time = u64::from(seconds) * SECOND;
                self.after(time, move |port| port.time_out(token));
            }
            Start::Timeout(..) | Start::Nothing => {}
            Start::Inline(request) => {
                self.end_active(request);
            }
        }
    }

    /// The adapter has finished the request.
    pub(crate) fn interrupt(self: &Arc<Self>, token: Token) {
        let request = self.state().slots.take(token);
        if let Some(request) = request {
            self.end_active(request);
            self.pump();
        }
    }

    fn time_out(self: &Arc<Self>, token: Token) {
        let (request, others) = {
            let mut state = self.state();
            let Some(request) = state.slots.take(token) else {
                return;
            };
            state.recorder.counts.timeouts += 1;
            let reset = self.hba.habits.reset_on_timeout;
            (
                request,
                if reset {
                    state.slots.drain()
                } else {
                    Vec::new()
                },
            )
        };
        self.fail_active(vec![request], SRB_STATUS_COMMAND_TIMEOUT);
        self.fail_active(others, SRB_STATUS_BUS_RESET);
        self.pump();
    }

    /// Ends requests that the adapter was working on; nothing of them has moved.
    pub(crate) fn fail_active(&self, requests: Vec<OwnedRequest>, srb_status: u32) {
        for mut request in requests {
            request.effect = Effect::failed(srb_status);
            self.end_active(request);
        }
    }

    /// Ends requests that had not started.
    pub(crate) fn fail_waiting(&self, requests: Vec<OwnedRequest>, srb_status: u32) {
        for mut request in requests {
            request.effect = Effect::failed(srb_status);
            self.finish(request);
        }
    }

    /// Starts whatever may start now. A loop, so that a thousand held requests that end inline
    /// need no more stack than one.
    pub(crate) fn pump(self: &Arc<Self>) {
        self.pump_parked();
        loop {
            let (start, quiesced) = {
                let mut state = self.state();
                let quiesced = state.queue.quiesced();
                let next = state.queue.pop(self.hba.profile.queue_depth);
                (
                    next.map(|request| self.start(&mut state, request)),
                    quiesced,
                )
            };
            for request in quiesced {
                self.finish(request);
            }
            match start {
                Some(start) => self.schedule(start),
                None => return,
            }
        }
    }

    fn pump_parked(self: &Arc<Self>) {
        let parked = {
            let mut state = self.state();
            if state.queue.is_locked() || state.queue.is_frozen() {
                return;
            }
            mem::take(&mut state.parked)
        };
        for parked in parked {
            // SAFETY: parked IRPs are the port's and marked pending.
            unsafe { self.pass_through(parked) };
        }
    }

    fn end_active(&self, request: OwnedRequest) -> NTSTATUS {
        {
            let mut state = self.state();
            state.queue.ended();
            state.bytes_in_flight -= u64::from(request.record.bytes);
        }
        self.finish(request)
    }

    /// Moves the data, writes the results, and gives the IRP back. The only way out of the port
    /// for an SRB.
    pub(crate) fn finish(&self, mut request: OwnedRequest) -> NTSTATUS {
        if !request.is_untouched() {
            self.state().recorder.violation(
                Violation::Touched,
                request.record.sequence,
                "the IRP, its SRB or its MDL changed while the port owned it".into(),
            );
        }
        let moved = self.move_data(&mut request);
        let mapped = mem::replace(&mut request.mapped, ptr::null_mut());
        if !mapped.is_null() {
            // SAFETY: mapped when the request started; the MDL is still the port's.
            unsafe { host::unmap_whole(mapped, (*request.irp).MdlAddress) };
        }
        let srb_status = request
            .srb
            .map_or(0, |srb| self.write_results(&request, srb, moved));
        let effect = request.effect;
        let status = effect
            .irp_status
            .unwrap_or_else(|| irp_status(effect.srb_status, effect.system_status));
        let given = request.srb.map_or(0, |srb| u64::from(srb.data_length()));
        let information = request.information.unwrap_or(given);
        let mut record = mem::take(&mut request.record);
        record.completed_at = host::now();
        record.outcome = Outcome {
            status,
            information,
            srb_status,
            scsi_status: effect.scsi_status,
            moved,
        };
        self.state().recorder.completed(record);
        let irp = request.irp;
        drop(request);
        // SAFETY: the port owned the IRP until here; the request that named it is gone.
        unsafe { host::complete(irp, status, information, IO_DISK_INCREMENT as i8) };
        status
    }

    /// Status, sense and lengths into the SRB; freezes the queue where the flags ask for it.
    /// Returns the SRB status with its flag bits.
    fn write_results(&self, request: &Request, srb: Srb, moved: u32) -> u8 {
        let effect = &request.effect;
        let success = u32::from(effect.srb_status) == SRB_STATUS_SUCCESS;
        let mut srb_status = u32::from(effect.srb_status);
        if u32::from(srb.function) == SRB_FUNCTION_EXECUTE_SCSI {
            if success || self.hba.habits.reports_residual {
                srb.set_data_length(moved);
            }
            if self.write_sense(effect, srb) {
                srb_status |= SRB_STATUS_AUTOSENSE_VALID;
            }
            let freezes = request.active && request.flags() & SRB_FLAGS_NO_QUEUE_FREEZE == 0;
            if !success && freezes {
                let mut state = self.state();
                if state.presence == Presence::Present {
                    state.recorder.counts.freezes += u64::from(state.queue.freeze());
                    srb_status |= SRB_STATUS_QUEUE_FROZEN;
                }
            }
        }
        if u32::from(effect.srb_status) == SRB_STATUS_INTERNAL_ERROR {
            srb.set_system_status(effect.system_status);
        }
        srb.set_scsi_status(effect.scsi_status);
        srb.set_srb_status(srb_status as u8);
        srb_status as u8
    }

    /// Copies sense data to where the sender wants it, or leaves a buffer of the port's own where
    /// the sender allows that. Says whether there is valid sense now.
    fn write_sense(&self, effect: &Effect, srb: Srb) -> bool {
        let Some(sense) = effect.sense else {
            return false;
        };
        if srb.flags() & SRB_FLAGS_DISABLE_AUTOSENSE != 0 {
            return false;
        }
        let bytes = if self.disk.descriptor_sense {
            sense.descriptor()
        } else {
            sense.fixed().to_vec()
        };
        let allowed = srb.flags() & SRB_FLAGS_PORT_DRIVER_ALLOCSENSE != 0;
        let own = (allowed && self.hba.habits.own_sense_buffer)
            .then(|| host::allocate(bytes.len()))
            .filter(|buffer| !buffer.is_null());
        let (buffer, room) = match (own, srb.sense_buffer()) {
            (Some(own), _) => {
                srb.set_sense_buffer(own);
                srb.set_flags(srb.flags() | SRB_FLAGS_FREE_SENSE_BUFFER);
                (own, bytes.len())
            }
            (None, Some(given)) => given,
            (None, None) => return false,
        };
        let length = bytes.len().min(room);
        // SAFETY: the sender's sense buffer has the length it says, ours the length it was made.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, length) };
        srb.set_sense_length(length as u8);
        true
    }

    /// Carries out the movement of data and says how many bytes went over the bus.
    fn move_data(&self, request: &mut Request) -> u32 {
        let Some(extent) = request.extent else {
            return 0;
        };
        let asked = request.record.bytes;
        let sector = self.disk.geometry.sector;
        let length = match (request.effect.moved, request.transfer) {
            (Moved::Nothing, _) => 0,
            (Moved::Bytes(bytes), Some(_)) => bytes,
            (Moved::Half, Some(_)) => asked / 2 / sector * sector,
            (Moved::UpTo(lba), Some(transfer)) => {
                (lba.saturating_sub(transfer.lba) * u64::from(sector)).min(u64::from(asked)) as u32
            }
            (_, Some(_)) => asked,
            (_, None) => (request.reply.len() as u32).min(asked),
        };
        if length == 0 {
            return 0;
        }
        match self.move_segments(request, &extent, length as usize) {
            Ok(()) => length,
            Err((violation, detail)) => {
                self.state()
                    .recorder
                    .violation(violation, request.record.sequence, detail);
                request.effect = Effect::failed(SRB_STATUS_INVALID_REQUEST);
                0
            }
        }
    }

    fn move_segments(
        &self,
        request: &Request,
        extent: &Extent,
        length: usize,
    ) -> Result<(), (Violation, String)> {
        let segments = extent
            .segments(length)
            .map_err(|frame| (Violation::NotRam, format!("frame {frame:#x} is not RAM")))?;
        let Some(transfer) = request.transfer else {
            let mut rest = request.reply.as_slice();
            for segment in segments {
                let (part, after) = rest.split_at(segment.length);
                // SAFETY: the frames belong to the locked pages of a request that the port owns.
                unsafe { ptr::copy_nonoverlapping(part.as_ptr(), segment.start, segment.length) };
                rest = after;
            }
            return Ok(());
        };
        let offset = transfer.lba * u64::from(self.disk.geometry.sector);
        // SAFETY: the frames belong to the locked pages of a request that the port owns, and its
        // owner leaves the data alone until the request is completed.
        let done = unsafe {
            match transfer.direction {
                Direction::Read => self.disk.read_segments(offset, &segments),
                Direction::Write => self.disk.write_segments(offset, &segments),
            }
        };
        done.unwrap_or_else(|error| panic!("the disk's image file failed: {error}"));
        self.place(transfer, extent, offset, length);
        Ok(())
    }

    /// Adds where the data went to the sum that [`Port::placement`] gives.
    fn place(&self, transfer: ReadWrite, extent: &Extent, offset: u64, length: usize) {
        let mut state = self.state();
        let Some(sum) = &mut state.placement else {
            return;
        };
        let direction = transfer.direction;
        extent.places(
            length,
            self.disk.geometry.sector as usize,
            |frame, at, done, length| {
                let offset = offset + done as u64;
                *sum = sum.wrapping_add(placement_of(direction, frame, at, offset, length));
            },
        );
    }
}

/// One term of a placement sum: `length` bytes between `at` in `frame` and `offset` on the disk.
pub(crate) const fn placement_of(
    direction: Direction,
    frame: u64,
    at: usize,
    offset: u64,
    length: usize,
) -> u64 {
    let place = mix(frame) ^ ((at as u64) << 16) ^ length as u64;
    mix(mix(place) ^ (offset << 1) ^ matches!(direction, Direction::Read) as u64)
}

/// The IRP status that goes with an SRB status, as port drivers translate it.
pub(crate) fn irp_status(srb_status: u8, system_status: NTSTATUS) -> NTSTATUS {
    match u32::from(srb_status) {
        SRB_STATUS_SUCCESS => STATUS_SUCCESS,
        SRB_STATUS_INTERNAL_ERROR if system_status != STATUS_SUCCESS => system_status,
        SRB_STATUS_INSUFFICIENT_RESOURCES => STATUS_INSUFFICIENT_RESOURCES,
        SRB_STATUS_NO_DEVICE
        | SRB_STATUS_NO_HBA
        | SRB_STATUS_INVALID_PATH_ID
        | SRB_STATUS_INVALID_TARGET_ID
        | SRB_STATUS_INVALID_LUN => STATUS_DEVICE_DOES_NOT_EXIST,
        SRB_STATUS_TIMEOUT | SRB_STATUS_COMMAND_TIMEOUT => STATUS_IO_TIMEOUT,
        SRB_STATUS_SELECTION_TIMEOUT => STATUS_DEVICE_NOT_CONNECTED,
        SRB_STATUS_INVALID_REQUEST | SRB_STATUS_BAD_FUNCTION | SRB_STATUS_BAD_SRB_BLOCK_LENGTH => {
            STATUS_INVALID_DEVICE_REQUEST
        }
        SRB_STATUS_DATA_OVERRUN => STATUS_BUFFER_OVERFLOW,
        _ => STATUS_IO_DEVICE_ERROR,
    }
}
