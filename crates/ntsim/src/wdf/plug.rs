//! PnP requests (`fxpkgfdo.cpp`, `fxpkgpnp.cpp`, `pnpstatemachine.cpp`).
//!
//! The order in which a driver's callbacks run, and on which side of the lower driver's own
//! handling, is what a driver has to live with:
//!
//! - START goes down first. When it has come back, `EvtDevicePrepareHardware` runs, then the power
//!   callbacks of [`super::power`], and only then START completes. A failing callback fails START.
//! - STOP and `SURPRISE_REMOVAL` tear the device down *before* the lower driver hears of them.
//! - REMOVE tears everything down, callbacks, then the objects below the device, then waits for the
//!   remove lock, and only then goes down.
//!
//! The real framework runs all this as a state machine on a thread of its own and leaves the
//! request pending; here it runs in the thread that brought the request, at `PASSIVE_LEVEL`, and
//! the request is pending all the same.

use std::ptr;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::device::{Device, LOCK_SIZE};
use super::object::Object;
use super::power::{self, SelfManaged};
use super::violation::{Violation, violation};
use super::{death, dispatch, driver, frame, irp, kernel, resources, usage};
use crate::abi::{
    DO_DEVICE_INITIALIZING, IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_DEVICE_USAGE_NOTIFICATION, IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE,
    IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE, IRP_MN_SURPRISE_REMOVAL,
    NT_SUCCESS, NTSTATUS, PIRP, STATUS_DEVICE_NOT_READY, STATUS_DEVICE_POWER_FAILURE,
    STATUS_INVALID_DEVICE_STATE, STATUS_PENDING, STATUS_SUCCESS,
};
use crate::ntddk;

/// Where a device is between being added and being gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Added, never started successfully.
    #[default]
    Init,
    Started,
    QueryStop,
    Stopped,
    QueryRemove,
    /// Failed or surprise removed: waits for REMOVE.
    Failed,
    Removed,
}

/// What the framework remembers of a device's PnP and power life.
#[derive(Default)]
pub(crate) struct PlugState {
    pub(crate) stage: Stage,
    /// A query is undone by going back to where it was asked.
    before_query: Stage,
    pub(crate) in_d0: bool,
    pub(crate) self_managed: SelfManaged,
}

impl Device {
    pub(crate) fn state(&self) -> MutexGuard<'_, PlugState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self) -> Stage {
        self.state().stage
    }

    fn go(&self, stage: Stage) {
        self.state().stage = stage;
    }
}

const NAME: &str = "PnP";

/// Calls one of the device's callbacks, if the driver has it.
macro_rules! notify {
    ($object:expr, $field:ident $(, $argument:expr)*) => {
        $object.device(NAME).callbacks.$field.map(|callback| {
            let handle = $object.handle();
            frame::enter($object.owner(), stringify!($field), || {
                // SAFETY: a callback of the driver for this device, called at PASSIVE_LEVEL with
                // the arguments that its type in the KMDF headers names.
                unsafe { frame::invoke!(callback, handle $(, $argument)*) }
            })
        })
    };
}
pub(crate) use notify;

/// Handles a PnP request; the remove lock is held for it.
///
/// # Safety
///
/// The request is in the caller's hands, which it leaves.
pub(crate) unsafe fn pnp(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    require_passive();
    // SAFETY: the caller vouches for the request.
    unsafe {
        let (_, minor) = irp::functions(irp);
        match u32::from(minor) {
            IRP_MN_START_DEVICE => start(object, irp),
            IRP_MN_QUERY_STOP_DEVICE => query(object, irp, Stage::QueryStop),
            IRP_MN_CANCEL_STOP_DEVICE | IRP_MN_CANCEL_REMOVE_DEVICE => cancel_query(object, irp),
            IRP_MN_STOP_DEVICE => stop(object, irp),
            IRP_MN_QUERY_REMOVE_DEVICE => query(object, irp, Stage::QueryRemove),
            IRP_MN_SURPRISE_REMOVAL => surprise_removal(object, irp),
            IRP_MN_REMOVE_DEVICE => remove(object, irp),
            IRP_MN_DEVICE_USAGE_NOTIFICATION => usage::notification(object, irp),
            _ => pass_down(object, irp),
        }
    }
}

fn require_passive() {
    let irql = kernel::irql();
    if irql != driver::PASSIVE {
        violation(
            Violation::PnpFatal,
            u64::from(irql),
            0,
            &format!("a PnP request arrived at IRQL {irql}"),
        );
    }
}

/// `_PnpPassDown`
unsafe fn pass_down(object: &Object, irp: PIRP) -> NTSTATUS {
    let device = object.device(NAME);
    let wdm = device.wdm.0;
    // SAFETY: the request is ours, and so is the lock that is released when it is sent.
    unsafe {
        irp::copy_to_next(irp);
        let status = ntddk::IofCallDriver(device.attached.0, irp);
        dispatch::release(wdm, irp);
        status
    }
}

/// `CompletePnpRequest`
pub(crate) unsafe fn finish(object: &Object, irp: PIRP, status: NTSTATUS) -> NTSTATUS {
    let wdm = object.device(NAME).wdm.0;
    // SAFETY: the request is ours, and so is the lock that is released once it is complete.
    unsafe {
        irp::complete(irp, status);
        dispatch::release(wdm, irp);
    }
    status
}

/// `SendIrpSynchronously`
pub(crate) unsafe fn send_down(object: &Object, irp: PIRP) -> NTSTATUS {
    // SAFETY: the request is ours and comes back to us.
    unsafe {
        irp::copy_to_next(irp);
        irp::send_and_wait(object.device(NAME).attached.0, irp)
    }
}

unsafe fn start(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    let device = object.device(NAME);
    // SAFETY: the request is ours until `finish`.
    unsafe {
        irp::mark_pending(irp);
        let stage = device.stage();
        let status = match stage {
            Stage::Failed | Stage::Removed => STATUS_INVALID_DEVICE_STATE,
            _ => {
                if stage == Stage::Started {
                    // Start on top of start: everything is given back before the request goes down.
                    power::down(object, power::FINAL);
                    release_hardware(object);
                }
                match send_down(object, irp) {
                    status if NT_SUCCESS(status) => {
                        resources::take(object.device(NAME), irp);
                        hardware_available(object)
                    }
                    status => {
                        if stage != Stage::Init {
                            fail(object);
                        }
                        status
                    }
                }
            }
        };
        finish(object, irp, status);
    }
    STATUS_PENDING
}

/// `PnpEventHardwareAvailable`: the lower drivers have started.
fn hardware_available(object: &Arc<Object>) -> NTSTATUS {
    let device = object.device(NAME);
    let (raw, translated) = resource_lists(device);
    let status =
        notify!(object, EvtDevicePrepareHardware, raw, translated).unwrap_or(STATUS_SUCCESS);
    if !NT_SUCCESS(status) {
        release_hardware(object);
        fail(object);
        return status;
    }
    if !NT_SUCCESS(power::up(object, power::FINAL)) {
        release_hardware(object);
        fail(object);
        return STATUS_DEVICE_POWER_FAILURE;
    }
    device.go(Stage::Started);
    STATUS_SUCCESS
}

fn resource_lists<T, U>(device: &Device) -> (*mut T, *mut U) {
    let parts = device.parts.get();
    (
        ptr::without_provenance_mut(parts.map_or(0, |parts| parts.resources_raw)),
        ptr::without_provenance_mut(parts.map_or(0, |parts| parts.resources)),
    )
}

/// `PnpReleaseHardware`; what the callback returns changes nothing any more.
fn release_hardware(object: &Arc<Object>) {
    let (_, translated) = resource_lists::<(), _>(object.device(NAME));
    let _: Option<NTSTATUS> = notify!(object, EvtDeviceReleaseHardware, translated);
}

/// `PnpEventFailed`: the device waits for its removal.
fn fail(object: &Arc<Object>) {
    power::flush_self_managed(object);
    object.device(NAME).go(Stage::Failed);
}

/// `QUERY_STOP` and `QUERY_REMOVE`: the driver may object, and a device that holds a paging, dump,
/// hibernation or boot file always does.
unsafe fn query(object: &Arc<Object>, irp: PIRP, to: Stage) -> NTSTATUS {
    let device = object.device(NAME);
    let stage = device.stage();
    // SAFETY: the request is ours until it is passed down or finished.
    unsafe {
        if stage != Stage::Started {
            remember_query(device, stage, to);
            irp::set_status(irp, STATUS_SUCCESS);
            return pass_down(object, irp);
        }
        irp::mark_pending(irp);
        let status = ask_driver(object, to);
        if NT_SUCCESS(status) {
            remember_query(device, stage, to);
            irp::set_status(irp, status);
            pass_down(object, irp);
        } else {
            finish(object, irp, status);
        }
    }
    STATUS_PENDING
}

fn ask_driver(object: &Arc<Object>, to: Stage) -> NTSTATUS {
    if object.device(NAME).usage.in_special_use() {
        return STATUS_DEVICE_NOT_READY;
    }
    if to == Stage::QueryStop {
        notify!(object, EvtDeviceQueryStop)
    } else {
        notify!(object, EvtDeviceQueryRemove)
    }
    .unwrap_or(STATUS_SUCCESS)
}

fn remember_query(device: &Device, from: Stage, to: Stage) {
    let mut state = device.state();
    if from == Stage::Started || from == Stage::Init && to == Stage::QueryRemove {
        state.before_query = from;
        state.stage = to;
    }
}

unsafe fn cancel_query(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    let device = object.device(NAME);
    // SAFETY: the request is ours until it is finished.
    unsafe {
        irp::mark_pending(irp);
        irp::set_status(irp, STATUS_SUCCESS);
        let status = send_down(object, irp);
        {
            let mut state = device.state();
            if matches!(state.stage, Stage::QueryStop | Stage::QueryRemove) {
                state.stage = state.before_query;
            }
        }
        finish(object, irp, status);
    }
    STATUS_PENDING
}

unsafe fn stop(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    let device = object.device(NAME);
    // SAFETY: the request is ours until it is passed down.
    unsafe {
        irp::mark_pending(irp);
        irp::set_status(irp, STATUS_SUCCESS);
        if matches!(device.stage(), Stage::Started | Stage::QueryStop) {
            power::down(object, power::FINAL);
            release_hardware(object);
            device.go(Stage::Stopped);
        }
        pass_down(object, irp);
    }
    STATUS_PENDING
}

/// The device is gone from the bus: the driver hears of it and gives everything back before the
/// request goes to the drivers below.
unsafe fn surprise_removal(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    // SAFETY: the request is ours until it is passed down.
    unsafe {
        irp::mark_pending(irp);
        irp::set_status(irp, STATUS_SUCCESS);
        disappear(object);
        pass_down(object, irp);
    }
    STATUS_PENDING
}

fn disappear(object: &Arc<Object>) {
    let stage = object.device(NAME).stage();
    if stage == Stage::Init {
        return;
    }
    let _: Option<()> = notify!(object, EvtDeviceSurpriseRemoval);
    if matches!(
        stage,
        Stage::Started | Stage::QueryStop | Stage::QueryRemove
    ) {
        power::down(object, power::FINAL);
        release_hardware(object);
    }
    if !matches!(stage, Stage::Failed | Stage::Removed) {
        fail(object);
    }
}

/// `_PnpRemoveDevice` and `ProcessRemoveDeviceOverload`.
unsafe fn remove(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    let device = object.device(NAME);
    let (wdm, attached) = (device.wdm.0, device.attached.0);
    // SAFETY: the request is ours until it is sent down. The device object and the one below it
    // live until this routine detaches and deletes.
    unsafe {
        let held = dispatch::acquire(wdm, irp);
        debug_assert!(NT_SUCCESS(held), "checked when the request arrived");
        irp::set_status(irp, STATUS_SUCCESS);
        tear_down(object);
        ntddk::IoReleaseRemoveLockAndWaitEx(device.lock(), irp.cast(), LOCK_SIZE);
        irp::copy_to_next(irp);
        let status = ntddk::IofCallDriver(attached, irp);
        destroy(object);
        status
    }
}

/// Everything a removal does before it waits for the lock.
fn tear_down(object: &Arc<Object>) {
    let device = object.device(NAME);
    match device.stage() {
        Stage::Init | Stage::Failed => {}
        Stage::QueryRemove if device.state().before_query == Stage::Init => {}
        Stage::Started | Stage::QueryRemove | Stage::QueryStop => {
            power::down(object, power::FINAL);
            release_hardware(object);
            power::flush_self_managed(object);
        }
        stage @ (Stage::Stopped | Stage::Removed) => violation(
            Violation::PnpFatal,
            stage as u64,
            0,
            &format!(
                "REMOVE_DEVICE for a device that is {stage:?}: the PnP manager surprise-removes a \
                 stopped device first"
            ),
        ),
    }
    device.go(Stage::Removed);
    power::clean_up_self_managed(object);
    death::early_dispose(object);
    death::destroy_children(object);
}

/// `DeleteDevice`: the device object leaves the stack, the framework device its handle.
fn destroy(object: &Arc<Object>) {
    let device = object.device(NAME);
    // SAFETY: the device object is ours and attached to the one below.
    unsafe {
        (*super::device::extension(device.wdm.0)).device = ptr::null_mut();
        ntddk::IoDetachDevice(device.attached.0);
        ntddk::IoDeleteDevice(device.wdm.0);
    }
    death::delete(object);
}

/// `EvtDriverDeviceAdd` has succeeded: the device may be used.
pub(crate) fn finish_initializing(object: &Arc<Object>) {
    let wdm = object.device(NAME).wdm.0;
    // SAFETY: the device object is alive; nobody else changes its flags during `AddDevice`.
    unsafe { (*wdm).Flags &= !DO_DEVICE_INITIALIZING };
}

/// `EvtDriverDeviceAdd` has failed after it made a device: `DeleteDeviceFromFailedCreate`.
pub(crate) fn abandon(object: &Arc<Object>) {
    tear_down(object);
    destroy(object);
}
