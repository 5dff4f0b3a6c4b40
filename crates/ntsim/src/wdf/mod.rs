//! A subset of KMDF, version 1.15, in the order in which the published framework does things.
//!
//! What a filter in a storage stack can observe is modelled after the sources of
//! microsoft/Windows-Driver-Frameworks: the remove lock that is taken before the driver sees a
//! request, the stack location that is copied for it, what happens in which order at start, stop,
//! surprise removal and removal, when children of a device die, and which calls are refused at
//! which IRQL. Where the real framework would corrupt memory (a destroyed handle, a table index
//! beyond the bound version), the machine stops with `WDF_VIOLATION` and says what happened.
//!
//! Not here, because no filter of this kind needs it: queues and request objects, control devices,
//! class extensions, power policy and idle, WMI providers, DMA enablers, interrupt objects, file
//! objects. A driver that calls such a function does not link; a loaded one is stopped with the index
//! it called.
//!
//! - [`handles`], [`object`], [`death`]: handles, the object tree, contexts, cleanup and destroy
//! - [`driver`], [`init`], [`device`]: `WdfDriverCreate`, `AddDevice`, filter devices
//! - [`dispatch`]: how a request reaches the driver, or passes it by
//! - [`plug`], [`power`]: PnP and power requests
//! - [`target`]: synchronous requests to the device below
//! - [`key`], [`memory`], [`locks`], [`work`], [`lists`], [`resources`]: the smaller objects
//! - [`table`]: the function table of 444 entries, and [`functions`], which linked drivers call

pub(crate) mod context;
pub(crate) mod death;
pub(crate) mod device;
pub(crate) mod dispatch;
pub(crate) mod driver;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod handles;
pub(crate) mod init;
pub(crate) mod irp;
pub(crate) mod kernel;
pub(crate) mod key;
pub(crate) mod lists;
pub(crate) mod locks;
pub(crate) mod memory;
pub(crate) mod object;
pub(crate) mod object_calls;
pub(crate) mod plug;
pub(crate) mod power;
pub(crate) mod resources;
pub mod table;
pub(crate) mod target;
pub(crate) mod usage;
pub(crate) mod violation;
pub(crate) mod work;

pub(crate) use dispatch::is_own_routine;
pub use frame::about_to_block;
pub use table::functions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::{NTSTATUS, PDRIVER_OBJECT};
use crate::machine::{DriverId, Machine};

/// An object that must have a certain parent was given another one [wdfstatus.h].
pub(crate) const STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED: NTSTATUS = 0xC020_020F_u32.cast_signed();
/// An object that needs a parent was given none [wdfstatus.h].
pub(crate) const STATUS_WDF_PARENT_NOT_SPECIFIED: NTSTATUS = 0xC020_0212_u32.cast_signed();

/// What the framework keeps for one machine.
#[derive(Default)]
pub(crate) struct Framework {
    objects: Mutex<handles::Table>,
    drivers: Mutex<Vec<Arc<driver::Client>>>,
    inits: Mutex<init::Inits>,
}

impl Framework {
    /// The framework of the machine on whose behalf the calling thread runs.
    pub(crate) fn current() -> Arc<Self> {
        Machine::current().extension::<Self>()
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, handles::Table> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn drivers(&self) -> MutexGuard<'_, Vec<Arc<driver::Client>>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inits(&self) -> MutexGuard<'_, init::Inits> {
        self.inits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `DriverEntry` of a driver.
pub(crate) fn driver_entry(
    name: &Arc<str>,
    id: DriverId,
    entry: impl FnOnce() -> NTSTATUS,
) -> NTSTATUS {
    Machine::current().set_block_hook(about_to_block);
    let who = frame::Who {
        name: Arc::clone(name),
        id,
    };
    frame::enter(&who, "DriverEntry", entry)
}

/// Cleans up after a `DriverEntry` that failed.
pub(crate) fn abandon_driver(driver_object: PDRIVER_OBJECT) {
    driver::abandon(driver_object);
}
