//! The bus driver: the physical device object that stands for a controller, and its requests.

use core::ffi::c_void;
use std::sync::Arc;

use super::engine::Line;
use super::registers::Window;
use super::{
    Bus, Controller, DIRQL, REGISTERS, REGISTERS_LENGTH, Resources, VECTOR, interrupt, io_space,
};
use crate::abi::{
    FILE_DEVICE_MASS_STORAGE, IO_STACK_LOCATION, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE,
    IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MN_CANCEL_REMOVE_DEVICE,
    IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_DEVICE_USAGE_NOTIFICATION, IRP_MN_QUERY_CAPABILITIES,
    IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE,
    IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE, IRP_MN_SURPRISE_REMOVAL, NTSTATUS, PDEVICE_OBJECT,
    PIRP, PVOID, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};
use crate::io;
use crate::machine::{Machine, Owner};

/// Buffers begin on a multiple of four bytes (`FILE_LONG_ALIGNMENT`).
const ALIGNMENT: u32 = 3;

impl Bus {
    /// Plugs a controller in: registers, interrupt line, and the device object that stands for it.
    pub fn create(machine: &Machine, controller: &Arc<Controller>) -> Self {
        let driver = io::create_driver("ntsimbus", Owner::Port);
        // SAFETY: a fresh driver object, seen by nobody else; a fresh device with an extension of
        // the size asked for.
        let bus = unsafe {
            let table = &raw mut (*driver).MajorFunction;
            for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
                (*table)[major as usize] = Some(match major {
                    IRP_MJ_PNP => pnp,
                    IRP_MJ_CREATE | IRP_MJ_CLOSE | IRP_MJ_CLEANUP | IRP_MJ_POWER => succeed,
                    _ => refuse,
                });
            }
            let device = io::create_device(driver, size_of::<PVOID>(), FILE_DEVICE_MASS_STORAGE);
            let held = Arc::into_raw(Arc::clone(controller)).cast_mut();
            (*device)
                .DeviceExtension
                .cast::<*mut c_void>()
                .write(held.cast());
            (&raw mut (*device).AlignmentRequirement).write(ALIGNMENT);
            Self { driver, device }
        };
        controller.state().pdo = bus.device.addr();
        let registers = Arc::new(Window(Arc::clone(controller)));
        io_space::add(machine, REGISTERS, REGISTERS_LENGTH, registers);
        let line = Arc::new(Line(Arc::clone(controller)));
        interrupt::add(machine, VECTOR, DIRQL, line);
        bus
    }

    /// What START_DEVICE will say.
    pub const fn resources() -> Resources {
        Resources {
            memory: REGISTERS,
            length: REGISTERS_LENGTH,
            irql: DIRQL,
            vector: VECTOR,
        }
    }

    /// Takes the controller out again. Nothing may be attached to its device object any more.
    pub fn delete(self, machine: &Machine) {
        interrupt::remove(machine, VECTOR);
        io_space::remove(machine, REGISTERS);
        // SAFETY: the extension holds the reference that `create` put there; the kernel objects to
        // a device that is still in use.
        unsafe {
            let held = (*self.device).DeviceExtension.cast::<*const Controller>();
            drop(Arc::from_raw(held.read()));
            io::delete_device(self.device);
            io::delete_driver(self.driver);
        }
    }
}

/// `IRP_MJ_CREATE`, `IRP_MJ_CLOSE`, `IRP_MJ_CLEANUP`, `IRP_MJ_POWER`.
unsafe extern "C" fn succeed(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP.
    unsafe { complete(irp, STATUS_SUCCESS) }
}

/// Everything that a bus does not do for its devices.
unsafe extern "C" fn refuse(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP.
    unsafe { complete(irp, STATUS_INVALID_DEVICE_REQUEST) }
}

/// `IRP_MJ_PNP`.
unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP and the current location; the extension holds the
    // controller as long as the device exists.
    unsafe {
        let location: *mut IO_STACK_LOCATION = io::current_location(irp);
        let status = match u32::from((*location).MinorFunction) {
            IRP_MN_SURPRISE_REMOVAL => {
                let held = (*device).DeviceExtension.cast::<*const Controller>();
                (*held.read()).pull_out();
                STATUS_SUCCESS
            }
            IRP_MN_START_DEVICE
            | IRP_MN_STOP_DEVICE
            | IRP_MN_REMOVE_DEVICE
            | IRP_MN_QUERY_STOP_DEVICE
            | IRP_MN_CANCEL_STOP_DEVICE
            | IRP_MN_QUERY_REMOVE_DEVICE
            | IRP_MN_CANCEL_REMOVE_DEVICE
            | IRP_MN_QUERY_CAPABILITIES
            | IRP_MN_DEVICE_USAGE_NOTIFICATION => STATUS_SUCCESS,
            // A bus driver leaves the status of what it does not know [Microsoft: "DispatchPnP
            // Routines"].
            _ => (*irp).IoStatus.__bindgen_anon_1.Status,
        };
        complete(irp, status)
    }
}

/// # Safety
/// The caller owns `irp`; afterwards it does not.
unsafe fn complete(irp: PIRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        (&raw mut (*irp).IoStatus.__bindgen_anon_1.Status).write(status);
        io::complete_request(irp, 0);
    }
    status
}
