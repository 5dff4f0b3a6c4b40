//! SRB functions other than `EXECUTE_SCSI`: the queue's, the resets, claiming.

use std::sync::Arc;

use super::fault::Effect;
use super::record::Violation;
use super::request::{OwnedRequest, Request};
use super::srb::Srb;
use super::{Port, Presence, host};
use crate::abi::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SRB_FUNCTION_ABORT_COMMAND, SRB_FUNCTION_ATTACH_DEVICE,
    SRB_FUNCTION_CLAIM_DEVICE, SRB_FUNCTION_EXECUTE_SCSI, SRB_FUNCTION_FLUSH,
    SRB_FUNCTION_FLUSH_QUEUE, SRB_FUNCTION_IO_CONTROL, SRB_FUNCTION_LOCK_QUEUE,
    SRB_FUNCTION_QUIESCE_DEVICE, SRB_FUNCTION_RELEASE_DEVICE, SRB_FUNCTION_RELEASE_QUEUE,
    SRB_FUNCTION_REMOVE_DEVICE, SRB_FUNCTION_RESET_BUS, SRB_FUNCTION_RESET_DEVICE,
    SRB_FUNCTION_RESET_LOGICAL_UNIT, SRB_FUNCTION_SHUTDOWN, SRB_FUNCTION_UNLOCK_QUEUE,
    SRB_STATUS_ABORT_FAILED, SRB_STATUS_ABORTED, SRB_STATUS_BUS_RESET, SRB_STATUS_BUSY,
    SRB_STATUS_INVALID_REQUEST, SRB_STATUS_NO_DEVICE, SRB_STATUS_REQUEST_FLUSHED,
    SRB_STATUS_SUCCESS, STATUS_DEVICE_BUSY, STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE,
    STATUS_PENDING,
};

impl Port {
    /// `IRP_MJ_SCSI`.
    ///
    /// # Safety
    /// Called as the dispatch routine of `device` with `irp`.
    pub(crate) unsafe fn dispatch_scsi(
        self: &Arc<Self>,
        device: PDEVICE_OBJECT,
        irp: PIRP,
    ) -> NTSTATUS {
        // SAFETY: the dispatch routine owns the IRP and its current stack location.
        let srb = unsafe {
            let location = host::current_location(irp);
            Srb::view((*location).Parameters.Scsi.Srb)
        };
        let (sequence, capturing, held_to) = {
            let mut state = self.state();
            let held_to = state.paired.in_force(&self.hba);
            (state.arrive(), state.capturing, held_to)
        };
        let srb = match srb {
            Ok(srb) => srb,
            Err(reason) => return self.refuse_malformed(irp, sequence, reason),
        };
        self.check_ownership(irp, srb, sequence);
        // SAFETY: the dispatch routine owns the IRP; `srb` is its SRB.
        let mut request = unsafe { Request::take(irp, srb, sequence, capturing) };
        request.held_to = held_to;
        if u32::from(srb.function) == SRB_FUNCTION_EXECUTE_SCSI {
            self.execute(request)
        } else {
            self.function(device, request, srb)
        }
    }

    fn check_ownership(&self, irp: PIRP, srb: Srb, sequence: u64) {
        if srb.original_request().addr() != irp.addr() {
            let detail = format!(
                "OriginalRequest is {:#x}, the IRP {:#x}",
                srb.original_request().addr(),
                irp.addr()
            );
            self.state()
                .recorder
                .violation(Violation::OriginalRequest, sequence, detail);
        }
        if srb.has_stale_context() {
            let detail = "the port's context of an earlier attempt is still there".into();
            self.state()
                .recorder
                .violation(Violation::StaleContext, sequence, detail);
        }
    }

    fn refuse_malformed(&self, irp: PIRP, sequence: u64, reason: &str) -> NTSTATUS {
        self.state()
            .recorder
            .violation(Violation::Malformed, sequence, reason.into());
        // SAFETY: the dispatch routine owns the IRP.
        unsafe { self.answer(irp, sequence, STATUS_INVALID_PARAMETER, 0) }
    }

    fn function(
        self: &Arc<Self>,
        device: PDEVICE_OBJECT,
        mut request: OwnedRequest,
        srb: Srb,
    ) -> NTSTATUS {
        if self.state().presence == Presence::Gone {
            request.effect = Effect::failed(SRB_STATUS_NO_DEVICE);
            let paired = self.hba().paired.is_some();
            if paired && u32::from(srb.function) == SRB_FUNCTION_IO_CONTROL {
                request.effect.irp_status = Some(STATUS_NO_SUCH_DEVICE);
            }
            return self.finish_inside(request);
        }
        request.effect = Effect::failed(SRB_STATUS_SUCCESS);
        match u32::from(srb.function) {
            SRB_FUNCTION_LOCK_QUEUE => self.state().queue.lock(),
            SRB_FUNCTION_UNLOCK_QUEUE => {
                self.state().queue.unlock();
                return self.finish_then_pump(request);
            }
            SRB_FUNCTION_RELEASE_QUEUE => {
                let mut state = self.state();
                state.queue.release();
                state.recorder.counts.releases += 1;
                drop(state);
                return self.finish_then_pump(request);
            }
            SRB_FUNCTION_QUIESCE_DEVICE => {
                request.mark_pending();
                self.state().queue.quiesce(request);
                self.pump();
                return STATUS_PENDING;
            }
            SRB_FUNCTION_FLUSH_QUEUE => {
                let waiting = {
                    let mut state = self.state();
                    state.queue.release();
                    state.queue.drain()
                };
                self.fail_waiting(waiting, SRB_STATUS_REQUEST_FLUSHED);
                return self.finish_then_pump(request);
            }
            SRB_FUNCTION_RESET_LOGICAL_UNIT
            | SRB_FUNCTION_RESET_DEVICE
            | SRB_FUNCTION_RESET_BUS => {
                let active = self.state().slots.drain();
                self.fail_active(active, SRB_STATUS_BUS_RESET);
                return self.finish_then_pump(request);
            }
            SRB_FUNCTION_ABORT_COMMAND => return self.abort(request, srb.next_srb()),
            SRB_FUNCTION_CLAIM_DEVICE | SRB_FUNCTION_ATTACH_DEVICE => {
                self.claim(&mut request, srb, device);
            }
            SRB_FUNCTION_RELEASE_DEVICE => self.state().claimed = false,
            SRB_FUNCTION_IO_CONTROL => return self.io_control(request),
            SRB_FUNCTION_FLUSH | SRB_FUNCTION_SHUTDOWN | SRB_FUNCTION_REMOVE_DEVICE => {}
            _ => request.effect = Effect::failed(SRB_STATUS_INVALID_REQUEST),
        }
        self.finish_inside(request)
    }

    fn finish_then_pump(self: &Arc<Self>, request: OwnedRequest) -> NTSTATUS {
        let status = self.finish_inside(request);
        self.pump();
        status
    }

    /// The device object comes back in `DataBuffer` [Microsoft: `SRB_FUNCTION_CLAIM_DEVICE`].
    fn claim(&self, request: &mut Request, srb: Srb, device: PDEVICE_OBJECT) {
        let mut state = self.state();
        if state.claimed {
            request.effect = Effect {
                irp_status: Some(STATUS_DEVICE_BUSY),
                ..Effect::failed(SRB_STATUS_BUSY)
            };
            return;
        }
        state.claimed = true;
        srb.set_data_buffer(device.cast());
        request.renew_watch();
    }

    fn abort(self: &Arc<Self>, mut request: OwnedRequest, victim: PVOID) -> NTSTATUS {
        let found = {
            let mut state = self.state();
            let wanted = |other: &Request| other.record.srb == victim.addr();
            match state.slots.find(wanted) {
                Some(token) => state.slots.take(token),
                None => None,
            }
        };
        match found {
            Some(victim) => self.fail_active(vec![victim], SRB_STATUS_ABORTED),
            None => request.effect = Effect::failed(SRB_STATUS_ABORT_FAILED),
        }
        self.finish_then_pump(request)
    }

    /// Completes an IRP that is not an SRB's, inside the dispatch routine, and notes it.
    ///
    /// # Safety
    /// The caller's dispatch routine owns `irp`, which is gone afterwards.
    pub(crate) unsafe fn answer(
        &self,
        irp: PIRP,
        sequence: u64,
        status: NTSTATUS,
        information: u64,
    ) -> NTSTATUS {
        // SAFETY: the caller owns the IRP.
        unsafe {
            let capturing = self.state().capturing;
            let mut record = super::request::arrival(irp, sequence);
            if capturing {
                record.capture = Some(Box::new(super::request::capture(irp, None)));
            }
            record.completed_at = record.submitted_at;
            record.outcome.status = status;
            record.outcome.information = information;
            self.state().recorder.completed(record);
            host::complete(irp, status, information, 0);
        }
        status
    }
}
