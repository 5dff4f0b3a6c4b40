//! Which driver's callback a thread is in.
//!
//! The kernel knows whose code a thread runs; the framework adds which of its callbacks, because
//! inside a power callback waiting for I/O can hang the machine.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::kernel;
use crate::call;
use crate::machine::DriverId;

/// A driver, by the name of its service and by its number in the machine's accounts.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) name: Arc<str>,
    pub(crate) id: DriverId,
}

struct Frame {
    driver: Arc<str>,
    callback: &'static str,
}

impl Frame {
    /// D0 callbacks run inside the power request of the stack. A disk class driver keeps the port's
    /// queue locked from before it sends that request until it comes back.
    fn forbids_io(&self) -> bool {
        matches!(
            self.callback,
            "EvtDeviceD0Entry"
                | "EvtDeviceD0EntryPostInterruptsEnabled"
                | "EvtDeviceD0Exit"
                | "EvtDeviceD0ExitPreInterruptsDisabled"
        )
    }
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    /// Waits of the framework that are not for I/O.
    static HARMLESS_WAITS: Cell<u32> = const { Cell::new(0) };
}

/// Runs a wait for something that is not I/O, such as a lock.
pub(crate) fn harmless_wait<T>(work: impl FnOnce() -> T) -> T {
    HARMLESS_WAITS.set(HARMLESS_WAITS.get() + 1);
    let result = work();
    HARMLESS_WAITS.set(HARMLESS_WAITS.get() - 1);
    result
}

/// Runs `work` as a callback of a driver. The kernel checks that it leaves IRQL and spin locks as
/// it found them.
pub(crate) fn enter<T>(who: &Who, callback: &'static str, work: impl FnOnce() -> T) -> T {
    FRAMES.with_borrow_mut(|frames| {
        frames.push(Frame {
            driver: Arc::clone(&who.name),
            callback,
        });
    });
    let result = call::as_driver(who.id, callback, work);
    FRAMES.with_borrow_mut(Vec::pop);
    result
}

/// Stops the machine if this thread is about to wait for I/O where that can hang.
///
/// `DRIVER_POWER_STATE_FAILURE` is what Windows raises minutes later: the class driver (classpnp
/// `power.c`) locked the port's queue before it sent the power request and unlocks it when the
/// request returns, which is after the callback that waits.
pub fn about_to_block() {
    if HARMLESS_WAITS.get() > 0 {
        return;
    }
    let culprit = FRAMES.with_borrow(|frames| {
        frames
            .iter()
            .find(|frame| frame.forbids_io())
            .map(|frame| (frame.callback, Arc::clone(&frame.driver)))
    });
    if let Some((callback, driver)) = culprit {
        kernel::bug_check(
            0x9F,
            [3, 0, 0, 0],
            format!(
                "{callback} of {driver} waits for I/O. The class driver has locked the port's queue \
                 until the power request returns, and the power request waits for this callback."
            ),
        );
    }
}

/// Calls a driver's callback.
macro_rules! invoke {
    ($callback:expr $(, $argument:expr)* $(,)?) => {
        $crate::call::enter($callback, ($($argument,)*))
    };
}
pub(crate) use invoke;
