//! The images of one machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::image::Image;
use crate::abi::{
    NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, PWDF_DRIVER_GLOBALS, STATUS_INSUFFICIENT_RESOURCES,
    ULONG, WDF_DRIVER_GLOBALS,
};
use crate::machine::{self, Machine, Shared};
use crate::pe::Binary;
use crate::pe::scopes::Handler;
use crate::{call, io};

/// `DriverEntry`, or what a linker calls before it.
type Entry = unsafe extern "C" fn(PDRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS;

/// A loaded binary.
struct Loaded {
    image: Image,
    /// What `WdfVersionBind` made for it. It stays until the image goes, whatever the driver does.
    globals: Option<Shared<WDF_DRIVER_GLOBALS>>,
    bound: bool,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Some(globals) = self.globals {
            // SAFETY: made by `bind` with Box::into_raw, and the driver that used it is gone.
            drop(unsafe { Box::from_raw(globals.0) });
        }
    }
}

/// By the address of the driver object.
#[derive(Default)]
pub(super) struct Images(Mutex<BTreeMap<usize, Loaded>>);

impl Images {
    fn current() -> Arc<Self> {
        Machine::current().extension::<Self>()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Loaded>> {
        machine::lock(&self.0)
    }
}

/// Maps the binary for a driver object and calls its entry point.
///
/// # Safety
/// As for `DriverEntry`: object and path are alive, and it is called once.
pub(crate) unsafe fn start(
    binary: &Binary,
    driver: PDRIVER_OBJECT,
    path: PCUNICODE_STRING,
) -> NTSTATUS {
    super::crash::install();
    // SAFETY: the caller vouches for the object.
    let name = machine::with(|machine| machine.driver_name(unsafe { io::driver_id(driver) }));
    let image = match Image::map(&name, binary) {
        Ok(image) => image,
        Err(error) => {
            machine::with(|machine| machine.log(format!("{name}: {error}")));
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    };
    let entry = image.entry();
    // SAFETY: the caller vouches for the object.
    unsafe {
        (*driver).DriverStart = std::ptr::with_exposed_provenance_mut(image.base());
        (*driver).DriverSize = image.size() as ULONG;
    }
    let loaded = Loaded {
        image,
        globals: None,
        bound: false,
    };
    Images::current().lock().insert(driver.addr(), loaded);
    // SAFETY: executable memory of the image; `call::enter` calls it by Microsoft's convention.
    let entry = unsafe {
        std::mem::transmute::<*const (), Entry>(std::ptr::with_exposed_provenance(entry))
    };
    // SAFETY: the caller's contract.
    unsafe { call::enter(entry, (driver, path)) }
}

/// Unmaps the image of a driver object, if it has one. None of its code runs any more.
pub(crate) fn forget(driver: PDRIVER_OBJECT) {
    let loaded = Images::current().lock().remove(&driver.addr());
    drop(loaded);
}

/// Makes a driver object of the framework's usable for a binary; of a linked driver's, nothing.
///
/// # Safety
/// The framework has just put its routines into the object.
pub(crate) unsafe fn adapt(driver: PDRIVER_OBJECT) {
    let images = Images::current();
    if let Some(loaded) = images.lock().get(&driver.addr()) {
        // SAFETY: the caller's contract.
        unsafe { loaded.image.gates().adapt(driver) };
    }
}

/// The globals that a binary was given when it was bound to the framework.
pub(crate) fn bound_globals(driver: PDRIVER_OBJECT) -> Option<PWDF_DRIVER_GLOBALS> {
    let images = Images::current();
    let images = images.lock();
    let loaded = images.get(&driver.addr())?;
    loaded.globals.map(|globals| globals.0)
}

/// Who handles an exception that a call of an image raises which returns to `address`.
pub(super) fn handler(address: usize) -> Handler {
    let images = Images::current();
    let images = images.lock();
    let found = images
        .values()
        .find_map(|loaded| loaded.image.handler(address));
    found.unwrap_or(Handler::None)
}

/// Makes the globals of a binary; `None` if it is bound.
pub(super) fn bind(driver: PDRIVER_OBJECT) -> Option<PWDF_DRIVER_GLOBALS> {
    let images = Images::current();
    let mut images = images.lock();
    let loaded = images.get_mut(&driver.addr())?;
    if std::mem::replace(&mut loaded.bound, true) {
        return None;
    }
    let globals = loaded.globals.get_or_insert_with(|| {
        Shared(Box::into_raw(Box::new(WDF_DRIVER_GLOBALS {
            DisplaceDriverUnload: 1,
            ..WDF_DRIVER_GLOBALS::default()
        })))
    });
    Some(globals.0)
}

/// Ends the binding that has these globals; gives back whose it was.
pub(super) fn unbind(globals: PWDF_DRIVER_GLOBALS) -> Option<PDRIVER_OBJECT> {
    let images = Images::current();
    let mut images = images.lock();
    let (&driver, loaded) = images.iter_mut().find(|(_, loaded)| {
        loaded.bound && loaded.globals.is_some_and(|known| known.0 == globals)
    })?;
    loaded.bound = false;
    Some(std::ptr::with_exposed_provenance_mut(driver))
}
