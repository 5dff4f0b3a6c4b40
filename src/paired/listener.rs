//! Asking the port driver, and hearing when its answer changes.
//!
//! One IRP, one request block and one MDL, made at the first start, carry every question. The first
//! is answered at once. Each one after it names the answer that is known (its generation), and the
//! port driver keeps it until it has another: so the question that waits is the change notification,
//! and a driver that is removed finds it by its cancel routine like any other waiting request.
//!
//! Nobody waits for an answer but the first start, and that not for long. Nonsense ends the
//! questions, and nothing of it counts.

use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use wdk_sys::{NTSTATUS, PDEVICE_OBJECT, PIRP, PKDPC, PVOID, STATUS_MORE_PROCESSING_REQUIRED};
use xfersplit_core::{
    paired::{Answer, CONTROL_CODE, LENGTH, Nonsense, answer, question},
    recall::Recall,
};

use super::Paired;
use crate::{
    TAG,
    pooled::Pooled,
    srb::RequestBlock,
    wdm::{
        self,
        dpc::{Dpc, Timer},
        event::Event,
        irp::{ChildIrp, ChildRequest, Irp, Order},
        mdl::PoolMdl,
        memory,
        rundown::Rundown,
        succeeded,
    },
};

/// Seconds that the port driver may take for an answer that needs no waiting.
const ANSWER_SECONDS: u32 = 2;
/// Milliseconds that the first start waits for it: start must not hang on a driver that hangs.
const START_WAITS_MS: u32 = 2 * ANSWER_SECONDS * 1000;
/// Milliseconds between an answer and the next question, so that a driver whose limits change all the
/// time costs no more than a few questions a second.
const PAUSE_MS: u32 = 100;

/// The question on its way. Lives in nonpaged pool from the first start until the device's cleanup.
pub(super) struct Listener {
    lower: PDEVICE_OBJECT,
    irp: ChildIrp,
    srb: RequestBlock,
    /// The question, and then the answer. Whoever has the IRP has this.
    block: Block,
    /// Over `block`.
    mdl: PoolMdl,
    /// The generation that the question names.
    generation: AtomicU32,
    /// A question is below, or will be after the pause. It holds a rundown reference.
    asking: AtomicBool,
    /// Whether it may be sent, and who cancels it.
    recall: Recall,
    /// The first answer is here.
    answered: Event,
    pause: Timer,
    again: Dpc,
    /// Both are the device's, and outlive the listener.
    paired: *const Paired,
    rundown: *const Rundown,
}

// SAFETY: what changes is atomic or belongs to whoever has the IRP; the pointers are stable addresses.
unsafe impl Sync for Listener {}

/// Aligned as request data should be.
#[repr(align(16))]
struct Block(UnsafeCell<[u8; LENGTH]>);

/// Asks the port driver, unless a question is still on its way, and waits for its first answer.
/// PASSIVE_LEVEL.
///
/// # Safety
/// `paired` and `rundown` stay where they are; `lower` is the device that ours is attached to, and
/// `stack_size` what our IRPs need. [`close`], the rundown and [`dismantle`] follow, in this order.
pub(crate) unsafe fn ask(
    paired: &Paired,
    rundown: &Rundown,
    lower: PDEVICE_OBJECT,
    stack_size: i8,
) {
    let known = paired.listener();
    let Some(listener) = known.or_else(|| {
        // SAFETY: the caller's contract.
        unsafe { build(paired, rundown, lower, stack_size) }
    }) else {
        wdk::println!("xfersplit: no memory to ask the paired port driver");
        return;
    };
    if listener.asking.swap(true, Ordering::AcqRel) {
        return;
    }
    if !rundown.acquire() {
        listener.asking.store(false, Ordering::Release);
        return;
    }
    // Whatever was told before a stop: the port driver may have other resources now.
    listener.generation.store(0, Ordering::Relaxed);
    send(listener);
    if known.is_none() && !listener.answered.wait_for(START_WAITS_MS) {
        wdk::println!("xfersplit: the paired port driver has not answered yet");
    }
}

/// Asks no more, and calls back the question that waits. PASSIVE_LEVEL.
pub(crate) fn close(paired: &Paired) {
    let Some(listener) = paired.listener() else {
        return;
    };
    // Below, or at rest for good: whoever wants to send it again is told that it must not.
    if listener.recall.close() {
        listener.irp.cancel();
    }
    if listener.pause.cancel() {
        stop(listener);
    }
}

/// Frees what was made for asking. PASSIVE_LEVEL.
///
/// # Safety
/// After [`close`] and the rundown.
pub(crate) unsafe fn dismantle(paired: &Paired) {
    let place = paired
        .listener
        .swap(core::ptr::null_mut(), Ordering::AcqRel);
    let Some(place) = NonNull::new(place) else {
        return;
    };
    wdm::dpc::flush();
    // SAFETY: the caller's contract: nobody has it any more, and the block goes right after.
    let Listener { irp, mdl, .. } = unsafe { place.read() };
    // SAFETY: the rundown is over: the question is not below.
    unsafe { irp.free() };
    // SAFETY: as above.
    unsafe { mdl.free() };
    // SAFETY: allocated by `build` with this tag; its values were taken out.
    unsafe { memory::free(place, TAG) };
}

/// # Safety
/// As for [`ask`].
unsafe fn build(
    paired: &Paired,
    rundown: &Rundown,
    lower: PDEVICE_OBJECT,
    stack_size: i8,
) -> Option<Pooled<Listener>> {
    let irp = ChildIrp::allocate(stack_size)?;
    let Some(place) = memory::allocate::<Listener>(1, TAG) else {
        // SAFETY: just allocated, never sent.
        unsafe { irp.free() };
        return None;
    };
    // SAFETY: the field lies in the allocation.
    let block = unsafe { &raw mut (*place.as_ptr()).block };
    // SAFETY: nonpaged pool, freed by `dismantle` after the MDL.
    let Some(mdl) = (unsafe { PoolMdl::allocate(block.cast(), LENGTH as u32) }) else {
        // SAFETY: just allocated, never sent.
        unsafe { irp.free() };
        // SAFETY: just allocated, never written.
        unsafe { memory::free(place, TAG) };
        return None;
    };
    let value = Listener {
        lower,
        irp,
        srb: RequestBlock::new(),
        block: Block(UnsafeCell::new([0; LENGTH])),
        mdl,
        generation: AtomicU32::new(0),
        asking: AtomicBool::new(false),
        recall: Recall::new(),
        answered: Event::default(),
        pause: Timer::default(),
        again: Dpc::default(),
        paired,
        rundown,
    };
    // SAFETY: the block has room for one listener.
    unsafe { place.write(value) };
    // SAFETY: just written; it stays until `dismantle`.
    let listener = unsafe { Pooled::from_non_null(place) };
    // SAFETY: it stays where it is.
    unsafe { listener.answered.initialise() };
    // SAFETY: as above.
    unsafe { listener.pause.initialise() };
    // SAFETY: as above; the DPC is flushed before the memory goes.
    unsafe {
        listener
            .again
            .initialise(Some(ask_again), listener.as_context());
    };
    paired.listener.store(place.as_ptr(), Ordering::Release);
    Some(listener)
}

/// Sends the question. The caller holds the question's rundown reference, and gives it away.
fn send(listener: Pooled<Listener>) {
    if !listener.can_send() || !listener.recall.begin() {
        stop(listener);
        return;
    }
    // The answer may be here, and its reference given back, before this function is at its end.
    listener.rundown().acquire_again();
    let generation = listener.generation.load(Ordering::Relaxed);
    let place = listener.block.0.get();
    // SAFETY: the question is at rest, so the block is ours.
    unsafe { place.write(question(generation, ANSWER_SECONDS)) };
    let (data, seconds) = (place.cast(), ANSWER_SECONDS);
    // SAFETY: as above; the block lives as long as the listener.
    let srb = unsafe {
        listener
            .srb
            .build_io_control(listener.irp.as_ptr(), data, LENGTH as u32, seconds)
    };
    let request = ChildRequest {
        order: Order::InternalControl {
            code: CONTROL_CODE,
            srb,
        },
        mdl: Some(listener.mdl.shown()),
        inherited: None,
        completion: (Some(heard), listener.as_context()),
    };
    // SAFETY: it fits; the question is at rest; the listener lives until the rundown reference that
    // this question holds is given back, in `stop`.
    let _status_comes_with_the_completion = unsafe { listener.irp.send(listener.lower, &request) };
    if listener.recall.sent() {
        listener.irp.cancel();
    }
    listener.rundown().release();
}

/// The answer. IRQL <= DISPATCH_LEVEL.
unsafe extern "C" fn heard(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `send` gave the listener as context and holds a rundown reference.
    let listener = unsafe { Pooled::<Listener>::from_context(context) };
    // SAFETY: the lower driver has given our IRP back.
    let irp = unsafe { Irp::from_raw(irp) };
    let go_on = listener.hear(irp.status(), irp.information());
    listener.answered.set();
    if go_on {
        listener.pause.start(PAUSE_MS, &listener.again);
    } else {
        stop(listener);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The pause is over.
///
/// # Safety
/// Queued with the listener as context, while the question holds its rundown reference.
unsafe extern "C" fn ask_again(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: `build` initialised this DPC with its own listener.
    send(unsafe { Pooled::<Listener>::from_context(context) });
}

/// No question any more, for now or for good: its rundown reference goes back. Nothing of the device
/// is touched afterwards.
fn stop(listener: Pooled<Listener>) {
    listener.asking.store(false, Ordering::Release);
    listener.rundown().release();
}

impl Listener {
    /// Whether the question's IRP still fits the stack below, as the engine asks of its own.
    fn can_send(&self) -> bool {
        // SAFETY: we are attached to the lower device, which keeps it.
        let fits = self.irp.fits(unsafe { wdm::irp::stack_size(self.lower) });
        if !fits {
            wdk::println!("xfersplit: the stack below has grown: its port driver is asked no more");
        }
        fits
    }

    /// Takes an answer in; whether there is a next question.
    fn hear(&self, status: NTSTATUS, information: u64) -> bool {
        if !succeeded(status) {
            if !self.recall.is_closed() {
                wdk::println!("xfersplit: the paired port driver answers {status:#010X}");
            }
            return false;
        }
        // SAFETY: the lower driver has given the question back.
        let block = unsafe { &*self.block.0.get() };
        let bytes = information as usize;
        let heard = block.get(..bytes).ok_or(Nonsense::Length(bytes));
        match heard.and_then(answer) {
            Ok(Answer { generation, limits }) => {
                wdk::println!(
                    "xfersplit: the paired port driver takes {} pages, {} bytes",
                    limits.pages(),
                    limits.bytes()
                );
                self.paired().tell(limits);
                // One that does not wait for the next would be asked for ever.
                self.generation.swap(generation, Ordering::Relaxed) != generation
            }
            Err(reason) => {
                wdk::println!("xfersplit: the paired port driver's answer ignored: {reason:?}");
                false
            }
        }
    }

    fn paired(&self) -> &Paired {
        // SAFETY: the contract of `ask`.
        unsafe { &*self.paired }
    }

    fn rundown(&self) -> &Rundown {
        // SAFETY: the contract of `ask`.
        unsafe { &*self.rundown }
    }
}
