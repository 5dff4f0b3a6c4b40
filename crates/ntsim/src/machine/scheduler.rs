//! Who runs: the baton of the deterministic clock, the processors of the threads clock.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bug_check::{BugCheck, codes};
use super::context::{Context, DISPATCH, ThreadId};
use super::core::{Core, Interrupt, OBJECT_IDLE, OBJECT_THREAD_END, OBJECT_WORK};
use super::{Clock, Machine};
use crate::abi::NTSTATUS;
use crate::call;

/// A thread that could go on lets another go first once in so many interrupt points.
const PREEMPT_ONE_IN: u64 = 16;
/// Something due is left for later once in so many interrupt points.
const DEFER_ONE_IN: u64 = 2;
/// Interrupts served at one interrupt point, so that a device that answers at once cannot keep the
/// interrupted code from ever going on.
const INTERRUPTS_AT_ONCE: usize = 16;

impl Machine {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        super::lock(&self.core)
    }

    pub(crate) fn is_deterministic(&self) -> bool {
        matches!(self.config.clock, Clock::Deterministic { .. })
    }

    /// Parks the calling thread for ever if the machine has stopped.
    pub(crate) fn park_if_stopped(&self) {
        if self.stopped.load(Ordering::Relaxed) {
            park();
        }
    }

    /// Stops the machine with `report`; the first one counts.
    pub(crate) fn stop(&self, report: BugCheck) -> ! {
        {
            let mut core = self.core();
            if core.stopped.is_none() {
                core.stopped = Some(report);
            }
            self.wake_everybody(&core);
        }
        park()
    }

    /// After `stopped`, `panic` or `finished` was set.
    pub(super) fn wake_everybody(&self, core: &Core) {
        self.stopped.store(
            core.stopped.is_some() || core.panic.is_some(),
            Ordering::SeqCst,
        );
        for thread in &core.threads {
            thread.turn.notify_all();
        }
        self.processors.notify_all();
        self.ended.notify_all();
    }

    /// The main thread of the run may look again.
    pub(crate) fn notify_ended(&self) {
        let _core = self.core();
        self.ended.notify_all();
    }

    /// Tells the interrupt points when to look at the core again. Call after adding anything due.
    pub(crate) fn update_attention(&self, core: &mut Core) {
        let attention = if core.dpcs.is_empty() {
            core.next_due().unwrap_or(u64::MAX)
        } else {
            0
        };
        let before = self.attention.swap(attention, Ordering::Relaxed);
        self.others_ready.store(core.ready.len(), Ordering::Relaxed);
        if !self.is_deterministic() && (attention == 0 || attention < before) {
            self.processors.notify_one();
        }
    }

    // ---- interrupts ----

    /// A place at which an interrupt may come in, or another processor get ahead of this one.
    pub(crate) fn interrupt_point(&self, context: &Context) {
        self.park_if_stopped();
        if !self.is_deterministic() {
            return;
        }
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if context.irql.get() < DISPATCH && now >= self.attention.load(Ordering::Relaxed) {
            self.serve_interrupts(context);
        }
        if self.hardware.load(Ordering::Relaxed) > 0 {
            self.serve_hardware(context, now);
        }
        if self.others_ready.load(Ordering::Relaxed) > 0 && context.one_in(PREEMPT_ONE_IN) {
            self.yield_baton(context);
        }
    }

    /// DPCs at once, as below `DISPATCH_LEVEL` on their own processor; devices and timers now or later.
    fn serve_interrupts(&self, context: &Context) {
        for _ in 0..INTERRUPTS_AT_ONCE {
            let now = self.now();
            let mut core = self.core();
            if core.dpcs.is_empty() && context.one_in(DEFER_ONE_IN) {
                self.update_attention(&mut core);
                return;
            }
            let interrupt = core.take_interrupt(now);
            self.update_attention(&mut core);
            drop(core);
            let Some(interrupt) = interrupt else { return };
            self.run_interrupt(context, interrupt);
        }
    }

    /// What comes through at `DISPATCH_LEVEL` too: a device that interrupts at its DIRQL.
    fn serve_hardware(&self, context: &Context, now: u64) {
        if context.one_in(DEFER_ONE_IN) {
            return;
        }
        let mut core = self.core();
        let (routine, left) = core.take_hardware(now, context.irql.get());
        self.hardware.store(left, Ordering::Relaxed);
        self.update_attention(&mut core);
        drop(core);
        if let Some(routine) = routine {
            self.note(4, 0);
            call::as_kernel(context, "a device's interrupt", routine);
        }
    }

    /// Runs one interrupt on top of the calling thread.
    pub(crate) fn run_interrupt(&self, context: &Context, interrupt: Interrupt) {
        let irql = context.irql.replace(DISPATCH);
        let sequence = match interrupt {
            Interrupt::Device(routine, sequence) => {
                self.note(2, 0);
                call::as_kernel(context, "a device's interrupt", routine);
                sequence
            }
            Interrupt::Dpc(dpc) => {
                self.note(3, 0);
                crate::ke::run_dpc(context, &dpc);
                dpc.sequence
            }
        };
        let mut core = self.core();
        core.dpc_done(sequence);
        self.update_attention(&mut core);
        drop(core);
        context.irql.set(irql);
    }

    // ---- the baton ----

    /// Lets another thread that could run go first.
    fn yield_baton(&self, context: &Context) {
        let mut core = self.core();
        if core.ready.is_empty() {
            return;
        }
        core.ready.push(context.thread);
        drop(self.hand_over(core, context.thread));
    }

    /// Gives the baton to one of the ready threads and waits until it comes back.
    fn hand_over<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        me: ThreadId,
    ) -> MutexGuard<'a, Core> {
        self.pass_baton(&mut core);
        self.await_turn(core, me)
    }

    fn await_turn<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        me: ThreadId,
    ) -> MutexGuard<'a, Core> {
        let turn = core.threads[me].turn.clone();
        while core.running != Some(me) {
            if self.stopped.load(Ordering::Relaxed) {
                drop(core);
                park();
            }
            core = turn
                .wait(core)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        core
    }

    fn pass_baton(&self, core: &mut Core) {
        let bound = core.ready.len() as u64;
        let index = core.rng.below(bound) as usize;
        let next = core.ready.swap_remove(index);
        core.running = Some(next);
        self.note(1, next as u64);
        self.update_attention(core);
        core.threads[next].turn.notify_all();
    }

    /// Waits for the baton for the first time.
    pub(super) fn await_first_turn(&self, me: ThreadId) {
        if !self.is_deterministic() {
            return;
        }
        drop(self.await_turn(self.core(), me));
    }

    // ---- waiting ----

    /// Blocks the calling thread until the wait that [`Core::begin_wait`] registered has an outcome.
    pub(crate) fn sleep<'a>(&'a self, context: &Context, core: MutexGuard<'a, Core>) -> NTSTATUS {
        if self.is_deterministic() {
            self.sleep_on_baton(context, core)
        } else {
            self.sleep_freely(context, core)
        }
    }

    fn sleep_on_baton<'a>(&'a self, context: &Context, mut core: MutexGuard<'a, Core>) -> NTSTATUS {
        let me = context.thread;
        loop {
            if let Some(outcome) = core.take_outcome(me) {
                self.update_attention(&mut core);
                return outcome;
            }
            let others = !core.ready.is_empty();
            if !others && self.run_is_over(&core) {
                core = self.await_dismissal(core, me);
                continue;
            }
            let serve = !others || core.rng.one_in(2);
            if serve && let Some(interrupt) = core.take_interrupt(self.now()) {
                self.update_attention(&mut core);
                drop(core);
                self.run_interrupt(context, interrupt);
                core = self.core();
                continue;
            }
            // What was due may have ended this very wait: a thread that went to sleep now would never
            // be woken.
            if core.has_outcome(me) {
                continue;
            }
            if core.ready.is_empty() {
                core = self.advance(core);
            } else {
                core.threads[me].asleep = true;
                core = self.hand_over(core, me);
                core.threads[me].asleep = false;
            }
        }
    }

    /// All threads of the run have ended and all work is done.
    fn run_is_over(&self, core: &Core) -> bool {
        core.live == 0 && !self.work_outstanding()
    }

    /// A worker thread was the last to run: the run ends here, and its end will wake the worker.
    fn await_dismissal<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        me: ThreadId,
    ) -> MutexGuard<'a, Core> {
        core.threads[me].asleep = true;
        core.running = None;
        self.ended.notify_all();
        core = self.await_turn(core, me);
        core.threads[me].asleep = false;
        core
    }

    /// Nobody can run: time goes on to the next thing that is due, or the machine hangs.
    fn advance<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        if let Some(time) = core.next_due() {
            self.clock.fetch_max(time, Ordering::Relaxed);
            return core;
        }
        if core.has_waiter(OBJECT_IDLE) {
            core.wake_all(OBJECT_IDLE);
            return core;
        }
        let report = hang_report(&core);
        drop(core);
        self.stop(report)
    }

    fn sleep_freely<'a>(&'a self, context: &Context, mut core: MutexGuard<'a, Core>) -> NTSTATUS {
        let me = context.thread;
        let turn = core.threads[me].turn.clone();
        if !core.has_outcome(me) {
            core.threads[me].asleep = true;
            core.busy -= 1;
            self.processors.notify_one();
        }
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                drop(core);
                park();
            }
            if let Some(outcome) = core.take_outcome(me) {
                return outcome;
            }
            core = turn
                .wait(core)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    // ---- the end of threads ----

    /// The calling thread has nothing more to do. Somebody else gets the baton; if nobody could
    /// take it, this thread goes on serving interrupts until somebody can.
    pub(super) fn retire(&self, context: &Context) {
        let me = context.thread;
        let mut core = self.core();
        core.threads[me].ended = true;
        if core.threads[me].system {
            core.workers -= 1;
        } else {
            core.live -= 1;
        }
        core.busy -= 1;
        core.wake_all(OBJECT_THREAD_END + me);
        if !self.is_deterministic() {
            self.ended.notify_all();
            self.processors.notify_one();
            return;
        }
        loop {
            if core.ready.is_empty() && self.run_is_over(&core) {
                core.running = None;
                self.ended.notify_all();
                return;
            }
            if !core.ready.is_empty() {
                self.pass_baton(&mut core);
                return;
            }
            if let Some(interrupt) = core.take_interrupt(self.now()) {
                drop(core);
                self.run_interrupt(context, interrupt);
                core = self.core();
            } else if core.ready.is_empty() {
                // Looking for an interrupt may have found a wait whose time is over.
                core = self.advance(core);
            }
        }
    }

    /// The run is over: its worker threads may go.
    pub(super) fn dismiss_workers(&self, core: &mut Core) {
        core.closing = true;
        core.wake_all(OBJECT_WORK);
        if !core.ready.is_empty() {
            self.pass_baton(core);
        }
    }

    // ---- the threads clock ----

    /// One processor: runs what is due until the machine has nothing left to run for.
    pub(super) fn processor_loop(&self, context: &Context) {
        let mut core = self.core();
        loop {
            if self.stopped.load(Ordering::Relaxed) || core.finished {
                return;
            }
            if core.busy == 0 {
                // Everybody waits: there is no reason to let real time pass.
                if let Some(time) = core.next_due() {
                    self.skip_to(time);
                }
            }
            if let Some(interrupt) = core.take_interrupt(self.now()) {
                core.busy += 1;
                drop(core);
                self.run_interrupt(context, interrupt);
                core = self.core();
                core.busy -= 1;
                continue;
            }
            if core.busy == 0 && !core.anything_due() {
                if core.has_waiter(OBJECT_IDLE) {
                    core.wake_all(OBJECT_IDLE);
                } else if core.live > 0 {
                    core.stopped = Some(hang_report(&core));
                    self.wake_everybody(&core);
                    return;
                }
            }
            let next = core.next_due();
            self.attention
                .store(next.unwrap_or(u64::MAX), Ordering::Relaxed);
            let pause = match next {
                Some(time) => Duration::from_nanos(100 * time.saturating_sub(self.now()).max(1)),
                None => Duration::from_hours(1),
            };
            core = self
                .processors
                .wait_timeout(core, pause)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
        }
    }

    // ---- spin locks ----

    /// The calling thread wants a spin lock that somebody else holds (deterministic clock).
    pub(crate) fn spin(&self, context: &Context, lock: usize) {
        let mut core = self.core();
        if core.ready.is_empty() {
            let threads = core.describe_threads();
            drop(core);
            let story = format!(
                "Deadlock: the spin lock at {lock:#x} will never be released; its owner cannot run.\n{threads}"
            );
            super::bug_check::bug_check(
                codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
                [0x1001, lock as u64, 0, 0],
                story,
            );
        }
        core.spinning.push((context.thread, lock));
        self.spinners.store(core.spinning.len(), Ordering::Relaxed);
        drop(self.hand_over(core, context.thread));
    }

    /// A spin lock is free again: whoever wants it may try.
    pub(crate) fn spin_released(&self, lock: usize) {
        if self.spinners.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut core = self.core();
        let (free, rest): (Vec<_>, Vec<_>) =
            core.spinning.drain(..).partition(|entry| entry.1 == lock);
        core.spinning = rest;
        core.ready.extend(free.into_iter().map(|entry| entry.0));
        self.spinners.store(core.spinning.len(), Ordering::Relaxed);
        self.update_attention(&mut core);
    }
}

/// The verdict when nothing is left that could wake anybody.
fn hang_report(core: &Core) -> BugCheck {
    let story = format!(
        "The machine hangs: every thread waits, and no timer, DPC or device is left to wake one.\n{}",
        core.describe_threads()
    );
    BugCheck::new(codes::HANG, [0; 4], story)
}

/// For ever: the frames below stay as they are.
pub(super) fn park() -> ! {
    loop {
        std::thread::park();
    }
}
