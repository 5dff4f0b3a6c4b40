//! Usage notifications: paging, hibernation, dump and boot files on the device
//! (`fxpkgpnp.cpp`, `PnpDeviceUsageNotification`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::object::Object;
use super::plug::{finish, notify, send_down};
use super::{frame, irp};
use crate::abi::{
    _WDF_SPECIAL_FILE_TYPE, BOOLEAN, DO_POWER_INRUSH, DO_POWER_PAGABLE, NT_SUCCESS, NTSTATUS, PIRP,
    STATUS_NOT_IMPLEMENTED, STATUS_SUCCESS, WDF_SPECIAL_FILE_TYPE,
};

const NAME: &str = "PnP";
const KINDS: usize = _WDF_SPECIAL_FILE_TYPE::WdfSpecialFileMax as usize;

/// How many special files of each kind the device carries.
#[derive(Default)]
pub(crate) struct Usage([AtomicI32; KINDS]);

impl Usage {
    /// Whether the device may neither be stopped nor removed.
    pub(crate) fn in_special_use(&self) -> bool {
        self.0.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    fn adjust(&self, kind: WDF_SPECIAL_FILE_TYPE, in_path: bool) {
        let step = if in_path { 1 } else { -1 };
        self.0[kind as usize].fetch_add(step, Ordering::Relaxed);
    }
}

/// Handles a usage notification; the remove lock is held for it.
///
/// A filter always agrees. The device below is asked first; the driver's callback runs when it has
/// agreed, and one that fails is taken back below.
///
/// # Safety
///
/// The request is in the caller's hands, which it leaves.
pub(crate) unsafe fn notification(object: &Arc<Object>, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller vouches for the request; it is ours until `finish`.
    unsafe {
        let (kind, in_path) = parameters(irp);
        let known = kind > _WDF_SPECIAL_FILE_TYPE::WdfSpecialFileUndefined
            && kind < _WDF_SPECIAL_FILE_TYPE::WdfSpecialFileMax;
        let filter = object.device(NAME).filter;
        if !known || in_path && !filter {
            return finish(object, irp, STATUS_NOT_IMPLEMENTED);
        }
        let old_flags = set_flags(object, kind, in_path);
        irp::set_status(irp, STATUS_SUCCESS);
        let mut status = send_down(object, irp);
        if NT_SUCCESS(status) {
            status = tell_driver(object, kind, in_path);
            if !NT_SUCCESS(status) {
                take_back_below(object, irp);
            }
        }
        if !NT_SUCCESS(status) {
            let device = object.device(NAME);
            device.usage.adjust(kind, !in_path);
            (*device.wdm.0).Flags = old_flags;
        }
        finish(object, irp, status)
    }
}

unsafe fn parameters(irp: PIRP) -> (WDF_SPECIAL_FILE_TYPE, bool) {
    // SAFETY: the request is in the caller's hands and is a usage notification.
    unsafe {
        let usage = &raw const (*irp::current(irp)).Parameters.UsageNotification;
        ((*usage).Type, (*usage).InPath != 0)
    }
}

fn tell_driver(object: &Arc<Object>, kind: WDF_SPECIAL_FILE_TYPE, in_path: bool) -> NTSTATUS {
    let in_path: BOOLEAN = in_path.into();
    let _: Option<()> = notify!(object, EvtDeviceUsageNotification, kind, in_path);
    notify!(object, EvtDeviceUsageNotificationEx, kind, in_path).unwrap_or(STATUS_SUCCESS)
}

/// Tells the drivers below that nothing came of it. The location is copied and then changed, so
/// that the sender's own location keeps what it asked.
unsafe fn take_back_below(object: &Arc<Object>, irp: PIRP) {
    let attached = object.device(NAME).attached.0;
    // SAFETY: the request is ours; it comes back to us.
    unsafe {
        irp::copy_to_next(irp);
        let usage = &raw mut (*irp::next(irp)).Parameters.UsageNotification;
        (*usage).InPath = 0;
        irp::set_status(irp, STATUS_SUCCESS);
        irp::send_and_wait(attached, irp);
    }
}

/// Counts the file and, for a filter, takes over the power flags of the device below.
fn set_flags(object: &Object, kind: WDF_SPECIAL_FILE_TYPE, in_path: bool) -> u32 {
    let device = object.device(NAME);
    device.usage.adjust(kind, in_path);
    // SAFETY: the device object is alive; PnP requests for a device come one at a time.
    let old_flags = unsafe { (*device.wdm.0).Flags };
    if kind != _WDF_SPECIAL_FILE_TYPE::WdfSpecialFileBoot {
        follow(object);
    }
    old_flags
}

/// A filter is as pageable as the device below it.
fn follow(object: &Object) {
    const POWER: u32 = DO_POWER_PAGABLE | DO_POWER_INRUSH;
    let device = object.device(NAME);
    // SAFETY: both device objects are alive; PnP requests for a device come one at a time.
    unsafe {
        if device.filter {
            (*device.wdm.0).Flags =
                (*device.wdm.0).Flags & !POWER | (*device.attached.0).Flags & POWER;
        }
    }
}
