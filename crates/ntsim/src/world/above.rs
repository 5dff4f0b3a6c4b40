//! A function driver above the driver under test that treats removal as `classpnp` does: it sends
//! `REMOVE` down first and looks after what it still has outstanding afterwards.
//!
//! It holds the device below in the meantime, so a request that it sends late, a retry for
//! instance, reaches a driver that has been through `REMOVE` already [classpnp, class.c:
//! `IRP_MN_REMOVE_DEVICE` is forwarded before `ClassRemoveDevice` waits].

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::abi::{
    DEVICE_OBJECT, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, FILE_DEVICE_DISK, IRP_MJ_MAXIMUM_FUNCTION,
    IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP,
    STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use crate::io;
use crate::machine::{Machine, Owner};
use crate::pnp::Driver;

/// Work to do after `REMOVE` has come back from below.
type Late = Box<dyn FnOnce() + Send>;

/// One for each machine.
#[derive(Default)]
pub(super) struct Above {
    lower: AtomicPtr<DEVICE_OBJECT>,
    late: Mutex<Option<Late>>,
}

impl Above {
    /// The driver, to be the function driver of a devnode.
    pub(super) fn create() -> (Driver, PDRIVER_OBJECT) {
        let object = io::create_driver("ntsimclass", Owner::Harness);
        // SAFETY: a fresh driver object, seen by nobody else.
        unsafe {
            let table = &raw mut (*object).MajorFunction;
            for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
                (*table)[major as usize] = Some(if major == IRP_MJ_PNP { pnp } else { forward });
            }
            (&raw mut (*(*object).DriverExtension).AddDevice).write(Some(add_device));
        }
        (Driver::existing("ntsimclass", object), object)
    }

    /// The device that requests are sent to: the one below this driver's.
    pub(super) fn lower(&self) -> PDEVICE_OBJECT {
        self.lower.load(Ordering::Acquire)
    }

    pub(super) fn when_removed(&self, late: Late) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(late);
    }

    fn take_late(&self) -> Option<Late> {
        self.late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and a device stack to join.
    unsafe {
        let device = io::create_device(driver, 0, FILE_DEVICE_DISK);
        let lower = io::attach(device, pdo);
        if lower.is_null() {
            io::delete_device(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        let flags = &raw mut (*device).Flags;
        flags.write((flags.read() | DO_DIRECT_IO) & !DO_DEVICE_INITIALIZING);
        Machine::current()
            .extension::<Above>()
            .lower
            .store(lower, Ordering::Release);
    }
    STATUS_SUCCESS
}

/// Passes an IRP down as it is.
unsafe extern "C" fn forward(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let lower = Machine::current().extension::<Above>().lower();
    // SAFETY: the dispatch routine owns the IRP and passes it on untouched, with its own stack
    // location given back [contract of IoSkipCurrentIrpStackLocation].
    unsafe {
        (&raw mut (*irp).CurrentLocation).write((*irp).CurrentLocation + 1);
        let current = &raw mut (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation;
        current.write(current.read().add(1));
        io::call_driver(lower, irp)
    }
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the dispatch routine owns the IRP until it is passed on; afterwards the device is
    // this driver's to take down.
    unsafe {
        let minor = u32::from((*io::current_location(irp)).MinorFunction);
        let status = forward(device, irp);
        if minor == IRP_MN_REMOVE_DEVICE {
            let above = Machine::current().extension::<Above>();
            if let Some(late) = above.take_late() {
                late();
            }
            io::detach(above.lower());
            io::delete_device(device);
        }
        status
    }
}
