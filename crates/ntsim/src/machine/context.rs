//! What one thread of a machine knows about itself: its IRQL, the spin locks it holds, the driver
//! whose code it runs.
//!
//! An NT thread is an OS thread. DPCs, timers and device events run on top of whatever thread is
//! there, as interrupts do, so this is at the same time the state of the processor it runs on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::accounts::Owner;
use super::rng::Rng;
use super::{DriverId, Machine};
use crate::abi::{DISPATCH_LEVEL, KIRQL, PETHREAD};
use crate::ps::ProcessId;

/// [`DISPATCH_LEVEL`] in the type that IRQLs have.
pub(crate) const DISPATCH: KIRQL = DISPATCH_LEVEL as KIRQL;

/// Index of a thread in its machine; also, plus one, the owner's mark in a spin lock.
pub(crate) type ThreadId = usize;

/// Whose code is running.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) driver: DriverId,
    pub(crate) owner: Owner,
    /// Which routine of it.
    pub(crate) what: &'static str,
}

impl Frame {
    /// The harness itself. What it allocates through exports counts as a driver's, so that small
    /// tests can play the driver.
    pub(crate) const HARNESS: Self = Self {
        driver: DriverId::NONE,
        owner: Owner::Driver,
        what: "the harness",
    };
}

pub(crate) struct Context {
    pub(crate) machine: Arc<Machine>,
    pub(crate) thread: ThreadId,
    pub(crate) irql: Cell<KIRQL>,
    /// Whose address space is the current one.
    pub(crate) process: Cell<ProcessId>,
    pub(crate) frame: Cell<Frame>,
    /// The export that runs, for reports.
    pub(crate) call: Cell<&'static str>,
    /// `extern "C"` frames below: a panic cannot pass them.
    pub(crate) kernel_frames: Cell<u32>,
    /// Addresses of the spin locks held, oldest first.
    pub(crate) locks: RefCell<Vec<usize>>,
    /// Address at which the thread's stack begins, 0 until it is known.
    pub(crate) stack_base: Cell<usize>,
    /// Choices that need no agreement with other threads.
    pub(crate) rng: RefCell<Rng>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

impl Context {
    pub(crate) fn new(machine: Arc<Machine>, thread: ThreadId) -> Self {
        let seed = machine.seed() ^ (thread as u64).wrapping_mul(0xA076_1D64_78BD_642F);
        Self {
            machine,
            thread,
            irql: Cell::new(0),
            process: Cell::new(ProcessId::SYSTEM),
            frame: Cell::new(Frame::HARNESS),
            call: Cell::new(""),
            kernel_frames: Cell::new(0),
            locks: RefCell::new(Vec::new()),
            stack_base: Cell::new(0),
            rng: RefCell::new(Rng::new(seed)),
        }
    }

    /// The thread's object, a label.
    pub(crate) fn thread_object(&self) -> PETHREAD {
        self.process.get().thread(self.thread + 1)
    }

    /// True once in `n` times, from the seed.
    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.rng.borrow_mut().one_in(n)
    }

    /// Runs `f` with `frame` as the running code.
    pub(crate) fn in_frame<R>(&self, frame: Frame, f: impl FnOnce() -> R) -> R {
        let before = self.frame.replace(frame);
        let result = f();
        self.frame.set(before);
        result
    }

    /// The last lines of a report.
    pub(crate) fn where_am_i(&self) -> String {
        let frame = self.frame.get();
        let driver = self.machine.driver_name(frame.driver);
        let call = match self.call.get() {
            "" => String::new(),
            name => format!(", in {name}"),
        };
        format!(
            "found on thread \"{}\" at IRQL {} in {} of {driver}{call}",
            self.machine.thread_name(self.thread),
            self.irql.get(),
            frame.what,
        )
    }
}

/// Makes `context` the calling thread's.
pub(crate) fn install(context: Rc<Context>) {
    CURRENT.with(|slot| *slot.borrow_mut() = Some(context));
}

/// Undoes [`install`].
pub(crate) fn uninstall() {
    CURRENT.with(|slot| slot.borrow_mut().take());
}

/// The calling thread's context.
///
/// # Panics
/// If the calling thread belongs to no machine.
pub(crate) fn current() -> Rc<Context> {
    try_current().expect("kernel functions can be called only inside Machine::run")
}

pub(crate) fn try_current() -> Option<Rc<Context>> {
    CURRENT
        .try_with(|slot| slot.borrow().clone())
        .ok()
        .flatten()
}

/// Where the calling thread is, if a panic of it could not be caught.
pub(super) fn below_kernel_frames() -> Option<String> {
    let context = CURRENT
        .try_with(|slot| slot.try_borrow().ok()?.clone())
        .ok()
        .flatten()?;
    (context.kernel_frames.get() > 0).then(|| context.where_am_i())
}
