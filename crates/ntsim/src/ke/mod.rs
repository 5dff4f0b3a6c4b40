//! The kernel proper: IRQL, spin locks, events, waits, DPCs, timers, time, and the devices' own
//! interrupts.

mod debug;
mod dpc;
mod etw;
mod event;
mod irql;
mod spin_lock;
mod time;
mod timer;
mod version;

pub use debug::debug_print;
pub(crate) use dpc::{forget_range, run_dpc};
pub use event::{set_event, wait};
pub use irql::{assert_pageable, irql, raise_to_dispatch};
pub use time::interrupt_time;

pub(crate) use etw::Registrations;
pub(crate) use event::initialise_event;
pub(crate) use spin_lock::{acquire as acquire_spin_lock, release as release_spin_lock};

use std::sync::atomic::Ordering;

use crate::abi::KIRQL;
use crate::machine::context;
use crate::machine::{DeviceRoutine, EventId};

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] = &[
    debug::exports::TABLE,
    dpc::exports::TABLE,
    etw::exports::TABLE,
    event::exports::TABLE,
    irql::exports::TABLE,
    spin_lock::TABLE,
    time::exports::TABLE,
    timer::TABLE,
    version::TABLE,
];

/// The exports of this module.
pub mod exports {
    pub use super::debug::exports::*;
    pub use super::dpc::exports::*;
    pub use super::etw::exports::*;
    pub use super::event::exports::*;
    pub use super::irql::exports::*;
    pub use super::spin_lock::*;
    pub use super::time::exports::*;
    pub use super::timer::*;
    pub use super::version::*;
}

/// Lets a device interrupt in `delay` units of 100 ns: `routine` runs at `DISPATCH_LEVEL` on some
/// processor, as a port driver's DPC does. Any IRQL up to `DISPATCH_LEVEL`.
pub fn device_event(delay: u64, routine: impl FnOnce() + Send + 'static) -> EventId {
    let context = context::current();
    let machine = &context.machine;
    let time = machine.now() + delay;
    let routine: DeviceRoutine = Box::new(routine);
    let mut core = machine.core();
    let event = core.add_device_event(time, routine);
    machine.update_attention(&mut core);
    event
}

/// The same for a device that interrupts at the IRQL `level`: code at `DISPATCH_LEVEL` is interrupted
/// too. `routine` runs at whatever IRQL it comes through and raises it to `level` itself.
pub(crate) fn hardware_event(delay: u64, level: KIRQL, routine: impl FnOnce() + Send + 'static) {
    let context = context::current();
    let machine = &context.machine;
    let time = machine.now() + delay;
    let mut core = machine.core();
    let event = core.add_device_event(time, Box::new(routine));
    let pending = core.mark_hardware(time, event, level);
    machine.hardware.store(pending, Ordering::Relaxed);
    machine.update_attention(&mut core);
}

/// Takes back a device event; false if it has happened.
pub fn cancel_device_event(event: EventId) -> bool {
    let context = context::current();
    let routine = context.machine.core().cancel_device_event(event);
    routine.is_some()
}

/// The calling thread does nothing for `time` units of 100 ns. `PASSIVE_LEVEL`.
pub fn delay(time: u64) {
    let context = context::current();
    let machine = &context.machine;
    let mut core = machine.core();
    let due = machine.now() + time;
    let place = "for time to pass".to_owned();
    core.begin_wait(
        context.thread,
        crate::machine::core::OBJECT_DELAY,
        Some(due),
        place,
    );
    machine.update_attention(&mut core);
    machine.sleep(&context, core);
}
