//! The PnP manager: drivers are loaded, devices are built from them, started, stopped, removed.
//!
//! A [`Driver`] is something that can be loaded. A [`Devnode`] is one device: the physical device
//! object of a bus driver, and above it whatever the drivers of the devnode attach, from the bottom
//! up: lower filters, the function driver, upper filters. A devnode without a function driver is
//! *raw*, which the bus driver has to allow.
//!
//! Requests go to the top of the stack with `STATUS_NOT_SUPPORTED` in them, as the documents of
//! every `IRP_MN_` code say, and at `PASSIVE_LEVEL`.

mod devnode;
mod driver;
mod property;
mod request;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use devnode::{DevicePower, Devnode, DevnodeBuilder, Usage};
pub use driver::{Driver, DriverEntry};
pub(crate) use property::property;

use crate::abi::{DRIVER_OBJECT, PDEVICE_OBJECT};
use crate::machine::{Machine, Shared};
use crate::registry;

/// The registry keys of a device.
#[derive(Clone, Debug)]
pub(crate) struct RegistryPaths {
    /// The key of the device instance itself.
    pub(crate) instance: String,
    pub(crate) hardware: String,
    pub(crate) software: String,
}

/// What the PnP manager of a machine knows.
#[derive(Default)]
pub(crate) struct Manager {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    loaded: HashMap<Arc<str>, Shared<DRIVER_OBJECT>>,
    devices: HashMap<usize, RegistryPaths>,
    devices_made: u32,
}

impl Manager {
    fn current() -> Arc<Self> {
        Machine::current().extension::<Self>()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of the device that a physical device object stands for.
pub(crate) fn registry_paths(pdo: PDEVICE_OBJECT) -> Option<RegistryPaths> {
    Manager::current().lock().devices.get(&pdo.addr()).cloned()
}

/// The hardware key of a device instance such as `SCSI\Disk&Ven_X\0001`.
#[must_use]
pub fn hardware_key(instance: &str) -> String {
    format!(r"{}\{instance}\Device Parameters", registry::ENUM)
}

/// The key below which a service keeps its own settings.
#[must_use]
pub fn parameters_key(service: &str) -> String {
    format!(r"{}\{service}\Parameters", registry::SERVICES)
}
