//! Power requests, and what a device does on its way into and out of D0
//! (`powerstatemachine.cpp`, `selfmanagediostatemachine.cpp`).
//!
//! A filter does not own the power policy: it follows the device power requests that pass. Up: the
//! request goes down first, then `EvtDeviceD0Entry`. Down: `EvtDeviceD0Exit`, then the request.

use std::sync::Arc;

use super::object::Object;
use super::plug::{Stage, finish, notify, send_down};
use super::{dispatch, frame, irp};
use crate::abi::{
    _DEVICE_POWER_STATE, _POWER_STATE_TYPE, _WDF_POWER_DEVICE_STATE, IRP_MN_SET_POWER, NT_SUCCESS,
    NTSTATUS, PIRP, STATUS_PENDING, STATUS_SUCCESS, WDF_POWER_DEVICE_STATE,
};
use crate::ntddk;

/// The state a device comes from at its start and goes to at its end.
pub(crate) const FINAL: WDF_POWER_DEVICE_STATE = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3Final;

const NAME: &str = "power";

/// What has become of a driver's self-managed I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SelfManaged {
    /// Never begun: nothing to flush and nothing to clean up.
    #[default]
    Created,
    Started,
    Stopped,
    Failed,
    Flushed,
    Final,
}

/// Brings a device into D0.
pub(crate) fn up(object: &Arc<Object>, from: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    let status = notify!(object, EvtDeviceD0Entry, from).unwrap_or(STATUS_SUCCESS);
    if !NT_SUCCESS(status) {
        return status;
    }
    object.device(NAME).state().in_d0 = true;
    let status =
        notify!(object, EvtDeviceD0EntryPostInterruptsEnabled, from).unwrap_or(STATUS_SUCCESS);
    if !NT_SUCCESS(status) {
        return status;
    }
    start_self_managed(object)
}

/// Takes a device out of D0, if it is there.
pub(crate) fn down(object: &Arc<Object>, to: WDF_POWER_DEVICE_STATE) {
    suspend_self_managed(object);
    if !std::mem::take(&mut object.device(NAME).state().in_d0) {
        return;
    }
    // Failures are logged by the real framework and change nothing on the way down.
    let _: Option<NTSTATUS> = notify!(object, EvtDeviceD0ExitPreInterruptsDisabled, to);
    let _: Option<NTSTATUS> = notify!(object, EvtDeviceD0Exit, to);
}

fn start_self_managed(object: &Arc<Object>) -> NTSTATUS {
    let before = object.device(NAME).state().self_managed;
    let status = match before {
        SelfManaged::Created => notify!(object, EvtDeviceSelfManagedIoInit),
        SelfManaged::Stopped | SelfManaged::Flushed => {
            notify!(object, EvtDeviceSelfManagedIoRestart)
        }
        _ => None,
    }
    .unwrap_or(STATUS_SUCCESS);
    object.device(NAME).state().self_managed = if NT_SUCCESS(status) {
        SelfManaged::Started
    } else {
        SelfManaged::Failed
    };
    status
}

fn suspend_self_managed(object: &Arc<Object>) {
    let device = object.device(NAME);
    if device.state().self_managed == SelfManaged::Started {
        let status = notify!(object, EvtDeviceSelfManagedIoSuspend).unwrap_or(STATUS_SUCCESS);
        device.state().self_managed = if NT_SUCCESS(status) {
            SelfManaged::Stopped
        } else {
            SelfManaged::Failed
        };
    }
}

/// `EvtDeviceSelfManagedIoFlush`, unless self-managed I/O never began.
pub(crate) fn flush_self_managed(object: &Arc<Object>) {
    let device = object.device(NAME);
    let before = device.state().self_managed;
    if matches!(before, SelfManaged::Stopped | SelfManaged::Failed) {
        let _: Option<()> = notify!(object, EvtDeviceSelfManagedIoFlush);
        device.state().self_managed = SelfManaged::Flushed;
    }
}

/// `EvtDeviceSelfManagedIoCleanup`, only for a device that was started once.
pub(crate) fn clean_up_self_managed(object: &Arc<Object>) {
    let device = object.device(NAME);
    let before = device.state().self_managed;
    if before == SelfManaged::Flushed {
        let _: Option<()> = notify!(object, EvtDeviceSelfManagedIoCleanup);
    }
    device.state().self_managed = SelfManaged::Final;
}

/// Handles a power request; the remove lock is held for it.
///
/// # Safety
///
/// The request is in the caller's hands, which it leaves.
pub(crate) unsafe fn power(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller vouches for the request.
    unsafe {
        let location = irp::current(irp);
        let set = u32::from((*location).MinorFunction) == IRP_MN_SET_POWER;
        let device_power = (*location).Parameters.Power.Type == _POWER_STATE_TYPE::DevicePowerState;
        if !set || !device_power || object.device(NAME).state().stage != Stage::Started {
            return pass_down(object, irp);
        }
        let state = (*location).Parameters.Power.State.DeviceState;
        let in_d0 = object.device(NAME).state().in_d0;
        match (state == _DEVICE_POWER_STATE::PowerDeviceD0, in_d0) {
            (true, false) => resume(object, irp),
            (false, true) => {
                irp::mark_pending(irp);
                down(object, framework_state(state));
                pass_down(object, irp);
                STATUS_PENDING
            }
            _ => pass_down(object, irp),
        }
    }
}

fn framework_state(state: i32) -> WDF_POWER_DEVICE_STATE {
    match state {
        _DEVICE_POWER_STATE::PowerDeviceD1 => _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD1,
        _DEVICE_POWER_STATE::PowerDeviceD2 => _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD2,
        _ => _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3,
    }
}

unsafe fn resume(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    // SAFETY: the request is ours until it is finished.
    unsafe {
        irp::mark_pending(irp);
        let mut status = send_down(object, irp);
        if NT_SUCCESS(status) {
            status = up(object, _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3);
        }
        finish(object, irp, status);
    }
    STATUS_PENDING
}

/// `_PowerPassDown`
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
