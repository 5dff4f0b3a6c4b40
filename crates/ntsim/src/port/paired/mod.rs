//! The port's side of a private interface between paired drivers: how a port driver tells the
//! driver above it what it knows of its map registers.
//!
//! "Splitting DMA Transfer Requests" leaves the form to the pair: values in the registry, or
//! internal device control requests. Here are both. A port that is set up with
//! [`Hba::paired`](super::Hba::paired) answers `SRB_FUNCTION_IO_CONTROL` requests that carry a
//! block of this interface (see `block`); one that is not refuses them like every function that it
//! does not know. A request can ask for the limits now, or for the moment when they are no longer
//! those of a generation that the sender knows. Such a request waits here, where it can be
//! cancelled, until [`Port::change_port_limits`] or the end of the device.
//!
//! What is told is also what holds: a transfer is judged by the limits that were in force when it
//! arrived.

mod block;
mod offer;

use core::ptr;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

pub use offer::{Doors, Paired, PortLimits, PortRegistry, Reply, Timing};

use super::extent::Extent;
use super::fault::Effect;
use super::hba::Hba;
use super::record::Violation;
use super::request::{OwnedRequest, Request};
use super::{Direction, Port, Presence, State, host, pnp};
use crate::abi::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, SRB_STATUS_ABORTED, SRB_STATUS_INVALID_REQUEST,
    SRB_STATUS_NO_DEVICE, STATUS_CANCELLED, STATUS_INFO_LENGTH_MISMATCH, STATUS_NO_SUCH_DEVICE,
    STATUS_PENDING, STATUS_REVISION_MISMATCH,
};
use crate::{io, ntddk};
use block::{BLOCK, Block, PORT_LIMITS, Refused, VERSION, at};

/// How requests of the private interface went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairedCounts {
    /// Requests that were understood.
    pub asked: u64,
    /// Those of them that were not answered inside the dispatch routine.
    pub waited: u64,
    /// Answers, sensible or not.
    pub answered: u64,
    /// Requests that ended with `STATUS_CANCELLED`.
    pub cancelled: u64,
    /// Requests that were recognised and not understood.
    pub refused: u64,
    /// Requests that wait now.
    pub waiting: usize,
    /// The generation of the limits; 0 for a port that does not offer the interface.
    pub generation: u32,
}

/// What the port keeps for the interface; part of its state, under its lock.
pub(super) struct Agreement {
    told: PortLimits,
    reply: Reply,
    timing: Timing,
    generation: u32,
    waiting: Vec<Waiting>,
    next: u64,
    counts: PairedCounts,
}

/// A request that the port has not answered.
struct Waiting {
    request: OwnedRequest,
    /// As the sender wrote it.
    block: Block,
    id: u64,
    until: Until,
    /// A cancel routine was set, and nobody has taken it away.
    cancellable: bool,
}

/// What ends a wait, besides the end of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Other limits.
    Change,
    /// A timer, which is running.
    Time,
    /// Its cancellation, with `STATUS_CANCELLED`.
    Cancelled,
    /// Its cancellation, with the answer after so much time.
    AnsweredLate(u64),
    Nothing,
}

impl Agreement {
    pub(super) fn new(hba: &Hba) -> Self {
        let offer = hba.paired.as_ref();
        Self {
            told: offer.map_or(PortLimits::NONE, |offer| offer.limits),
            reply: offer.map_or(Reply::Honest, |offer| offer.reply),
            timing: offer.map_or(Timing::Prompt, |offer| offer.timing),
            generation: u32::from(offer.is_some()),
            waiting: Vec::new(),
            next: 0,
            counts: PairedCounts::default(),
        }
    }

    /// What a transfer that arrives now is held to.
    pub(super) fn in_force(&self, hba: &Hba) -> PortLimits {
        let enforced = hba.paired.is_some_and(|offer| offer.enforced);
        let told = if enforced {
            self.told
        } else {
            PortLimits::NONE
        };
        let registry = hba.port_registry.as_ref();
        told.and(registry.map_or(PortLimits::NONE, |registry| registry.limits))
    }

    /// The next generation; never 0, which asks.
    fn advance(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    /// Takes out what `wanted` picks. A request whose cancel routine is gone stays: that routine is
    /// on its way and ends it.
    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (taken, left) = mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| {
                // SAFETY: the port owns the IRPs of waiting requests.
                wanted(waiting) && (!waiting.cancellable || unsafe { disarm(waiting.request.irp) })
            });
        self.waiting = left;
        taken
    }

    /// Enters the answer into a request that is to be finished now.
    fn answer(&mut self, request: &mut Request, mut block: Block) {
        self.counts.answered += 1;
        block.answer(self.generation, self.told);
        match self.reply {
            Reply::Honest | Reply::Statuses { .. } => {}
            Reply::HeaderLength(value) => block.set(at::HEADER_LENGTH, value),
            Reply::Signature(value) => block.0[at::SIGNATURE..][..8].copy_from_slice(&value),
            Reply::ControlCode(value) => block.set(at::CONTROL_CODE, value),
            Reply::ReturnCode(value) => block.set(at::RETURN_CODE, value),
            Reply::Length(value) => block.set(at::LENGTH, value),
            Reply::Version(value) => block.set(at::VERSION, value),
            Reply::Size(value) => block.set(at::SIZE, value),
            Reply::Generation(value) => block.set(at::GENERATION, value),
            Reply::Values(limits) => block.answer(self.generation, limits),
            Reply::Information(value) => request.information = Some(value),
            Reply::Failed { status, srb_status } => {
                request.effect = failed(srb_status, status);
                return;
            }
        }
        request.reply = block.0.to_vec();
        request.effect = match self.reply {
            Reply::Statuses { status, srb_status } => Effect {
                moved: Effect::SUCCESS.moved,
                ..failed(srb_status, status)
            },
            _ => Effect::SUCCESS,
        };
    }
}

/// What a test or the lab does with the interface.
impl Port {
    /// The port has other limits from now on, and says so to everybody who waits for that. IRQL <=
    /// `DISPATCH_LEVEL`; the answers are given before this returns, at `DISPATCH_LEVEL`, unless the
    /// adapter takes its time.
    ///
    /// # Panics
    /// When the port does not offer the private interface.
    pub fn change_port_limits(self: &Arc<Self>, limits: PortLimits) {
        assert!(
            self.hba.paired.is_some(),
            "the port has nobody to tell its limits to"
        );
        let (now, later) = {
            let mut state = self.state();
            state.paired.told = limits;
            state.paired.advance();
            match state.answer_delay() {
                None => {
                    let taken = state.paired.take(|waiting| waiting.until == Until::Change);
                    (state.answers(taken), Vec::new())
                }
                Some(delay) => (Vec::new(), state.paired.time(delay)),
            }
        };
        self.at_dispatch(|| self.finish_all(now));
        for (id, delay) in later {
            self.after(delay, move |port| port.answer_late(id));
        }
    }

    /// What answers say from now on.
    pub fn set_paired_reply(&self, reply: Reply) {
        self.state().paired.reply = reply;
    }

    /// When requests that arrive from now on are answered.
    pub fn set_paired_timing(&self, timing: Timing) {
        self.state().paired.timing = timing;
    }

    /// How requests of the private interface went so far.
    pub fn paired_counts(&self) -> PairedCounts {
        let state = self.state();
        PairedCounts {
            waiting: state.paired.waiting.len(),
            generation: state.paired.generation,
            ..state.paired.counts
        }
    }
}

/// A request's way.
impl Port {
    /// `SRB_FUNCTION_IO_CONTROL`.
    pub(super) fn io_control(self: &Arc<Self>, mut request: OwnedRequest) -> NTSTATUS {
        request.effect = Effect::failed(SRB_STATUS_INVALID_REQUEST);
        let Some(offer) = &self.hba.paired else {
            return self.finish_inside(request);
        };
        // SAFETY: the port owns the IRP, of which this is the dispatch routine.
        let code = unsafe { control_code(request.irp) };
        let by_code = code == PORT_LIMITS && offer.doors != Doors::RequestBlock;
        let read = read_block(&request);
        let block = read.as_ref().map_or(Block::EMPTY, |(block, _)| *block);
        let by_block = block.is_signed() && offer.doors != Doors::ControlCode;
        if !by_code && !by_block {
            return self.finish_inside(request);
        }
        request.record.control_code = PORT_LIMITS;
        match self.check(&mut request, read, by_code) {
            Ok(generation) => self.ask(request, block, generation),
            Err(reason) => self.refuse(request, block, reason),
        }
    }

    /// Whether the request is one that the interface knows; the generation that it waits for.
    fn check(&self, request: &mut Request, read: Read, by_code: bool) -> Result<u32, Refused> {
        let given = request.record.bytes;
        let mut state = self.state();
        Self::check_direction(&mut state, request, Direction::Read);
        let (block, extent) = read.map_err(|(violation, detail)| {
            let sequence = request.record.sequence;
            state.recorder.violation(violation, sequence, detail);
            Refused::Unknown
        })?;
        request.extent = extent;
        if by_code && given as usize != BLOCK {
            return Err(Refused::Length);
        }
        block.check(given)
    }

    fn refuse(&self, mut request: OwnedRequest, mut block: Block, reason: Refused) -> NTSTATUS {
        self.state().paired.counts.refused += 1;
        match reason {
            Refused::Unknown => {}
            Refused::Length => {
                request.effect = failed(SRB_STATUS_INVALID_REQUEST, STATUS_INFO_LENGTH_MISMATCH);
            }
            Refused::Revision => {
                // The sender can ask again with what is known here.
                block.set(at::VERSION, VERSION);
                request.reply = block.0.to_vec();
                request.effect = Effect {
                    moved: Effect::SUCCESS.moved,
                    ..failed(SRB_STATUS_INVALID_REQUEST, STATUS_REVISION_MISMATCH)
                };
            }
        }
        self.finish_inside(request)
    }

    /// Answers a request or lets it wait.
    fn ask(self: &Arc<Self>, mut request: OwnedRequest, block: Block, generation: u32) -> NTSTATUS {
        let irp = request.irp;
        let (cancelled, timer) = {
            let mut state = self.state();
            if state.presence == Presence::Gone {
                drop(state);
                request.effect = failed(SRB_STATUS_NO_DEVICE, STATUS_NO_SUCH_DEVICE);
                return self.finish_inside(request);
            }
            state.paired.counts.asked += 1;
            let delay = state.answer_delay();
            let Some((until, cancellable)) = state.paired.decide(generation, delay.is_some())
            else {
                state.paired.answer(&mut request, block);
                drop(state);
                return self.finish_inside(request);
            };
            request.mark_pending();
            let id = state.paired.enter(request, block, until, cancellable);
            let timer = delay.filter(|_| until == Until::Time);
            // SAFETY: the port owns the IRP until this lock is dropped at the least.
            let cancelled = cancellable && unsafe { arm(irp) };
            (cancelled, timer.map(|delay| (id, delay)))
        };
        if cancelled {
            self.cancelled(irp);
        } else if let Some((id, delay)) = timer {
            self.after(delay, move |port| port.answer_late(id));
        }
        STATUS_PENDING
    }

    /// The time has come for a request that is answered late.
    fn answer_late(self: &Arc<Self>, id: u64) {
        let answers = {
            let mut state = self.state();
            let taken = state.paired.take(|waiting| waiting.id == id);
            state.answers(taken)
        };
        self.finish_all(answers);
    }

    /// The cancel routine was taken from a waiting request, whose end is the caller's to see to.
    fn cancelled(self: &Arc<Self>, irp: PIRP) {
        let (ended, timer) = {
            let mut state = self.state();
            let paired = &mut state.paired;
            let waiting = &mut paired.waiting;
            let Some(index) = waiting.iter().position(|one| one.request.irp == irp) else {
                return;
            };
            if let Until::AnsweredLate(delay) = waiting[index].until {
                waiting[index].cancellable = false;
                waiting[index].until = Until::Time;
                (None, Some((waiting[index].id, delay)))
            } else {
                paired.counts.cancelled += 1;
                (Some(paired.waiting.remove(index)), None)
            }
        };
        if let Some(mut ended) = ended {
            ended.request.effect = failed(SRB_STATUS_ABORTED, STATUS_CANCELLED);
            self.finish(ended.request);
        }
        if let Some((id, delay)) = timer {
            self.after(delay, move |port| port.answer_late(id));
        }
    }

    /// Ends every wait: the device is gone.
    pub(super) fn end_waits(&self) {
        let taken = self.state().paired.take(|_| true);
        for mut waiting in taken {
            waiting.request.effect = failed(SRB_STATUS_NO_DEVICE, STATUS_NO_SUCH_DEVICE);
            self.finish(waiting.request);
        }
    }

    fn finish_all(&self, requests: Vec<OwnedRequest>) {
        for request in requests {
            self.finish(request);
        }
    }
}

impl Agreement {
    /// Whether and for what a request waits that knows this generation (0: none), and whether it
    /// can be cancelled meanwhile. `slow`: an answer takes time.
    fn decide(&mut self, generation: u32, slow: bool) -> Option<(Until, bool)> {
        let knows = generation != 0 && generation == self.generation;
        match self.timing {
            Timing::Never => Some((Until::Cancelled, true)),
            Timing::Stubborn => Some((Until::Nothing, false)),
            Timing::AfterCancel(delay) => Some((Until::AnsweredLate(delay), true)),
            Timing::Prompt | Timing::Late(_) if knows => Some((Until::Change, true)),
            Timing::Prompt | Timing::Late(_) => slow.then_some((Until::Time, true)),
            Timing::Storm => {
                if knows {
                    self.advance();
                }
                slow.then_some((Until::Time, true))
            }
        }
    }

    fn enter(
        &mut self,
        request: OwnedRequest,
        block: Block,
        until: Until,
        cancellable: bool,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        self.counts.waited += 1;
        self.waiting.push(Waiting {
            request,
            block,
            id,
            until,
            cancellable,
        });
        id
    }

    /// Requests that waited for a change now wait for a timer, which the caller starts.
    fn time(&mut self, delay: u64) -> Vec<(u64, u64)> {
        let changed = self.waiting.iter_mut();
        changed
            .filter(|waiting| waiting.until == Until::Change)
            .map(|waiting| {
                waiting.until = Until::Time;
                (waiting.id, delay)
            })
            .collect()
    }
}

impl State {
    /// How long an answer takes; `None` is no time at all.
    fn answer_delay(&mut self) -> Option<u64> {
        match self.paired.timing {
            Timing::Late(delay) => Some(delay),
            _ => self.control_latency(),
        }
    }

    /// Enters the answers into requests that have waited.
    fn answers(&mut self, taken: Vec<Waiting>) -> Vec<OwnedRequest> {
        taken
            .into_iter()
            .map(|mut waiting| {
                self.paired.answer(&mut waiting.request, waiting.block);
                waiting.request
            })
            .collect()
    }
}

fn failed(srb_status: u32, status: NTSTATUS) -> Effect {
    Effect {
        irp_status: Some(status),
        ..Effect::failed(srb_status)
    }
}

/// The block and where it is, or what is wrong with that place. Zeros without a place where the
/// request has no data.
type Read = Result<(Block, Option<Extent>), (Violation, String)>;

fn read_block(request: &Request) -> Read {
    let mut block = Block::EMPTY;
    let length = request.record.bytes;
    let Some(srb) = request.srb.filter(|_| length != 0) else {
        return Ok((block, None));
    };
    // SAFETY: the port owns the IRP and its MDL.
    let extent = unsafe { Extent::locate((*request.irp).MdlAddress, srb.data_buffer(), length)? };
    let segments = extent
        .segments(BLOCK)
        .map_err(|frame| (Violation::NotRam, format!("frame {frame:#x} is not RAM")))?;
    let mut rest = &mut block.0[..];
    for segment in segments {
        let (part, after) = rest.split_at_mut(segment.length);
        // SAFETY: the frames belong to pages that the MDL keeps in memory, and the sender leaves
        // the block alone while the port owns the request.
        unsafe { ptr::copy_nonoverlapping(segment.start, part.as_mut_ptr(), part.len()) };
        rest = after;
    }
    Ok((block, Some(extent)))
}

/// `Parameters.DeviceIoControl.IoControlCode`, which shares its place with nothing that an SRB's
/// stack location has.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn control_code(irp: PIRP) -> u32 {
    // SAFETY: the caller's contract.
    unsafe {
        let location = host::current_location(irp);
        (*location).Parameters.DeviceIoControl.IoControlCode
    }
}

/// Makes a waiting IRP cancellable; true if it had been cancelled before, and its end is the
/// caller's. The order is that of every driver: first the routine, then the look at `Cancel`
/// [Microsoft: "Synchronizing IRP Cancellation"].
///
/// # Safety
/// The port owns `irp`, and nobody can find it before the caller drops the port's lock.
unsafe fn arm(irp: PIRP) -> bool {
    // SAFETY: the caller's contract; IoCancelIrp writes `Cancel` atomically.
    unsafe {
        let _none = io::set_cancel_routine(irp, Some(cancel));
        let flag = AtomicU8::from_ptr(&raw mut (*irp).Cancel);
        flag.load(Ordering::SeqCst) != 0 && disarm(irp)
    }
}

/// Takes the cancel routine away; false if `IoCancelIrp` has taken it before.
///
/// # Safety
/// The port owns `irp`.
unsafe fn disarm(irp: PIRP) -> bool {
    // SAFETY: the caller's contract.
    unsafe { io::set_cancel_routine(irp, None).is_some() }
}

/// The cancel routine of requests that wait.
unsafe extern "C" fn cancel(device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: called by IoCancelIrp with the cancel spin lock held, a device of this driver, and an
    // IRP that waits: nobody else ends a request whose cancel routine is gone.
    unsafe {
        ntddk::IoReleaseCancelSpinLock((*irp).CancelIrql);
        pnp::port_of(device).cancelled(irp);
    }
}
