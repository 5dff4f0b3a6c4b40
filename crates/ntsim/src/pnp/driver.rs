//! Drivers: loading and unloading.

use std::sync::Arc;

use super::Manager;
use crate::abi::{
    DRIVER_OBJECT, NT_SUCCESS, NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, STATUS_DEVICE_BUSY,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, UNICODE_STRING,
};
use crate::machine::{Machine, Owner, Shared};
use crate::pe::{self, Binary};
use crate::registry::{self, Registry};
use crate::wdf;
use crate::{call, io};

/// `DriverEntry` as driver sources export it.
pub type DriverEntry = unsafe extern "system" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;

/// Something that can be loaded: the name of a service and where its code is.
#[derive(Clone)]
pub struct Driver {
    name: Arc<str>,
    code: Code,
}

#[derive(Clone)]
enum Code {
    /// Sources that are linked into this program.
    Linked(DriverEntry),
    /// A driver binary.
    Image(Arc<Binary>),
    /// A driver object that a part of the simulation has made and initialised itself.
    Existing(Shared<DRIVER_OBJECT>),
}

impl Driver {
    /// A driver whose sources are linked into this program.
    #[must_use]
    pub fn linked(name: &str, entry: DriverEntry) -> Self {
        Self {
            name: name.into(),
            code: Code::Linked(entry),
        }
    }

    pub(crate) fn image(name: &str, binary: Arc<Binary>) -> Self {
        Self {
            name: name.into(),
            code: Code::Image(binary),
        }
    }

    /// A neighbour of the driver under test: its driver object is ready, with `AddDevice` set.
    #[must_use]
    pub fn existing(name: &str, driver_object: PDRIVER_OBJECT) -> Self {
        Self {
            name: name.into(),
            code: Code::Existing(Shared(driver_object)),
        }
    }

    /// The name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the driver is loaded on the machine that the calling thread belongs to.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded().is_some()
    }

    /// Loads the driver unless it is loaded: makes its driver object and calls `DriverEntry`.
    ///
    /// # Errors
    ///
    /// What `DriverEntry` returned, after everything that it left behind has been looked at.
    pub fn load(&self) -> Result<PDRIVER_OBJECT, NTSTATUS> {
        if let Some(loaded) = self.loaded() {
            return Ok(loaded);
        }
        let driver_object = match &self.code {
            Code::Existing(driver_object) => return Ok(driver_object.0),
            Code::Linked(entry) => self.run_entry(|driver_object, path| {
                // SAFETY: called once, at PASSIVE_LEVEL, as [DRIVER_INITIALIZE of wdm.h] says;
                // object and path live through the call.
                unsafe { entry(driver_object, path) }
            })?,
            Code::Image(binary) => self.run_entry(|driver_object, path| {
                // SAFETY: as above.
                unsafe { pe::start(binary, driver_object, path) }
            })?,
        };
        Manager::current()
            .lock()
            .loaded
            .insert(Arc::clone(&self.name), Shared(driver_object));
        Ok(driver_object)
    }

    fn loaded(&self) -> Option<PDRIVER_OBJECT> {
        let manager = Manager::current();
        let state = manager.lock();
        state
            .loaded
            .get(&self.name)
            .map(|driver_object| driver_object.0)
    }

    fn run_entry(
        &self,
        entry: impl FnOnce(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS,
    ) -> Result<PDRIVER_OBJECT, NTSTATUS> {
        let key = format!(r"{}\{}", registry::SERVICES, self.name);
        Registry::current().create_key(&key);
        let driver_object = io::create_driver(&self.name, Owner::Driver);
        let mut units: Vec<u16> = key.encode_utf16().collect();
        let path = UNICODE_STRING {
            Length: (units.len() * 2) as u16,
            MaximumLength: (units.len() * 2) as u16,
            Buffer: units.as_mut_ptr(),
        };
        // SAFETY: made above.
        let id = unsafe { io::driver_id(driver_object) };
        let status = wdf::driver_entry(&self.name, id, || entry(driver_object, &raw const path));
        if NT_SUCCESS(status) {
            return Ok(driver_object);
        }
        wdf::abandon_driver(driver_object);
        Machine::current().check_leaks(id);
        pe::forget(driver_object);
        // SAFETY: the driver was never loaded, so that nobody has its object.
        unsafe { io::delete_driver(driver_object) };
        Err(status)
    }

    /// Unloads the driver: `DriverUnload`, then a search for what it forgot. Does nothing if the
    /// driver is not loaded, or if it is a neighbour.
    ///
    /// # Errors
    ///
    /// `STATUS_DEVICE_BUSY` while the driver has device objects, `STATUS_INVALID_DEVICE_REQUEST` if
    /// it has no unload routine. A leak is a bug check.
    pub fn unload(&self) -> Result<(), NTSTATUS> {
        let Some(driver_object) = self.loaded() else {
            return Ok(());
        };
        // SAFETY: a loaded driver's object is alive, and nobody else unloads it.
        let (devices, unload) =
            unsafe { ((*driver_object).DeviceObject, (*driver_object).DriverUnload) };
        if !devices.is_null() {
            return Err(STATUS_DEVICE_BUSY);
        }
        let unload = unload.ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        // SAFETY: a loaded driver's object is alive.
        let id = unsafe { io::driver_id(driver_object) };
        call::as_driver(id, "DriverUnload", || {
            // SAFETY: called once, at PASSIVE_LEVEL, as [DRIVER_UNLOAD of wdm.h] says.
            unsafe { call::enter(unload, (driver_object,)) }
        });
        Manager::current().lock().loaded.remove(&self.name);
        Machine::current().check_leaks(id);
        pe::forget(driver_object);
        // SAFETY: it has no devices and no code runs any more.
        unsafe { io::delete_driver(driver_object) };
        Ok(())
    }

    /// Offers a device to the driver: `AddDevice`. A driver without the routine leaves it alone.
    pub(super) fn add_device(&self, pdo: crate::abi::PDEVICE_OBJECT) -> NTSTATUS {
        let driver_object = match self.load() {
            Ok(driver_object) => driver_object,
            Err(status) => return status,
        };
        // SAFETY: a loaded driver's object and its extension are alive.
        let add_device = unsafe { (*(*driver_object).DriverExtension).AddDevice };
        let Some(add_device) = add_device else {
            return STATUS_SUCCESS;
        };
        // SAFETY: a loaded driver's object is alive.
        let id = unsafe { io::driver_id(driver_object) };
        call::as_driver(id, "AddDevice", || {
            // SAFETY: called at PASSIVE_LEVEL, as [DRIVER_ADD_DEVICE of wdm.h] says.
            unsafe { call::enter(add_device, (driver_object, pdo)) }
        })
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.code {
            Code::Linked(_) => "linked",
            Code::Image(_) => "binary",
            Code::Existing(_) => "existing",
        };
        write!(f, "Driver({}, {kind})", self.name)
    }
}
