//! The driver object of a framework driver: creation, `AddDevice`, unload.

use core::ffi::c_char;
use core::ptr;
use std::cell::UnsafeCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use super::frame::Who;
use super::object::{self, Body, Object, Parent};
use super::violation::{Violation, not_null, require_irql, require_size, violation};
use super::{Framework, death, dispatch, frame, init, kernel, plug};
use crate::abi::{
    DRIVER_OBJECT, NT_SUCCESS, NTSTATUS, PASSIVE_LEVEL, PCUNICODE_STRING, PDEVICE_OBJECT,
    PDRIVER_OBJECT, PWDF_DRIVER_GLOBALS, PWDF_OBJECT_ATTRIBUTES, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL, WDF_DRIVER_CONFIG, WDF_DRIVER_GLOBALS,
    WDF_OBJECT_ATTRIBUTES,
};
use crate::machine::Shared;
use crate::registry::calls::text;
use crate::{io, pe};

/// `PASSIVE_LEVEL` as an IRQL.
pub(crate) const PASSIVE: u8 = PASSIVE_LEVEL as u8;
/// `DISPATCH_LEVEL` as an IRQL.
pub(crate) const DISPATCH: u8 = crate::abi::DISPATCH_LEVEL as u8;

/// A driver that is bound to the framework.
pub(crate) struct Client {
    /// Its name and number.
    pub(crate) who: Who,
    /// Its driver object.
    pub(crate) driver_object: Shared<DRIVER_OBJECT>,
    /// Its key: `\Registry\Machine\…\Services\name`.
    pub(crate) registry_path: String,
    path_text: Box<[u16]>,
    config: WDF_DRIVER_CONFIG,
    handle: OnceLock<usize>,
    globals: Shared<WDF_DRIVER_GLOBALS>,
    /// The globals of a linked driver, with this one owner; a binary has got its own from
    /// `WdfVersionBind`.
    _own_globals: Option<Rc<UnsafeCell<WDF_DRIVER_GLOBALS>>>,
}

// SAFETY: the globals are written once, before the driver is published; callbacks are functions.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    fn new(
        driver_object: PDRIVER_OBJECT,
        registry_path: String,
        config: WDF_DRIVER_CONFIG,
    ) -> Self {
        let who = Who {
            name: registry_path.rsplit('\\').next().unwrap_or_default().into(),
            // SAFETY: the driver object that the kernel passed to `DriverEntry`.
            id: unsafe { io::driver_id(driver_object) },
        };
        let globals = globals_for(&who.name, config.DriverPoolTag);
        let (globals, own_globals) = if let Some(bound) = pe::bound_globals(driver_object) {
            // SAFETY: the binary's globals live as long as its driver object, and are only read by
            // a driver that has a WDFDRIVER.
            unsafe { bound.write(globals) };
            (bound, None)
        } else {
            // A box that is moved may not be pointed into.
            let own = Rc::new(UnsafeCell::new(globals));
            (own.get(), Some(own))
        };
        Self {
            who,
            driver_object: Shared(driver_object),
            path_text: registry_path.encode_utf16().chain([0]).collect(),
            registry_path,
            config,
            handle: OnceLock::new(),
            globals: Shared(globals),
            _own_globals: own_globals,
        }
    }

    /// The framework object of this driver.
    pub(crate) fn object(&self, function: &str) -> Arc<Object> {
        let handle = self.handle.get().copied().unwrap_or_default();
        object::any::<()>(function, ptr::without_provenance_mut(handle))
    }

    /// What a driver binary gets as its globals.
    pub(crate) fn globals(&self) -> PWDF_DRIVER_GLOBALS {
        self.globals.0
    }

    /// Pool tag for what the framework allocates for this driver.
    pub(crate) fn pool_tag(&self) -> u32 {
        // SAFETY: written once in `new`.
        unsafe { (*self.globals.0).DriverTag }
    }
}

fn globals_for(name: &str, tag: u32) -> WDF_DRIVER_GLOBALS {
    let mut globals = WDF_DRIVER_GLOBALS::default();
    // The tag is the first four letters of the name (`FxDriver::_InitializeTag`), or the driver's.
    let letters: Vec<u8> = name.bytes().take(4).collect();
    globals.DriverTag = match tag {
        0 => letters
            .iter()
            .rev()
            .fold(0, |tag, &byte| tag << 8 | u32::from(byte)),
        given => given,
    };
    let room = globals.DriverName.len() - 1;
    // The entry stub of a binary unbinds the driver after the framework's own unload routine.
    globals.DisplaceDriverUnload = 1;
    for (to, from) in globals.DriverName.iter_mut().zip(name.bytes().take(room)) {
        *to = from as c_char;
    }
    globals
}

/// The driver on whose behalf a call is made that names no object.
///
/// The parent in the attributes tells; else the callback that the thread is in; else there must be
/// only one framework driver.
pub(crate) fn current(function: &str, attributes: Option<&WDF_OBJECT_ATTRIBUTES>) -> Arc<Client> {
    let parent = attributes
        .map(|attributes| attributes.ParentObject)
        .filter(|parent| !parent.is_null());
    let owner = match parent {
        Some(parent) => object::any(function, parent).owner().id,
        None => kernel::running_driver(),
    };
    let framework = Framework::current();
    let drivers = framework.drivers();
    let found = match drivers.iter().find(|client| client.who.id == owner) {
        None if drivers.len() == 1 => drivers.first(),
        found => found,
    };
    if let Some(client) = found {
        return Arc::clone(client);
    }
    drop(drivers);
    violation(
        Violation::ObjectError,
        0,
        0,
        &format!("{function} was called by a driver that has no WDFDRIVER (WdfDriverCreate first)"),
    )
}

/// The driver with a driver object, if it is bound to the framework.
pub(crate) fn of_driver_object(driver_object: PDRIVER_OBJECT) -> Option<Arc<Client>> {
    Framework::current()
        .drivers()
        .iter()
        .find(|client| ptr::eq(client.driver_object.0, driver_object))
        .cloned()
}

/// The driver whose globals these are.
pub(crate) fn of_globals(globals: PWDF_DRIVER_GLOBALS) -> Option<Who> {
    Framework::current()
        .drivers()
        .iter()
        .find(|client| ptr::eq(client.globals(), globals))
        .map(|client| client.who.clone())
}

/// `FxDriver::AddDevice`: offers a device to the driver.
///
/// A filter that fails does not keep the device from starting: its status becomes success, and the
/// device object that it made, if any, goes away (`fxdriverkm.cpp`, `fxdevice.cpp`).
pub(crate) unsafe extern "C" fn add_device(
    driver_object: PDRIVER_OBJECT,
    pdo: PDEVICE_OBJECT,
) -> NTSTATUS {
    let Some(client) = of_driver_object(driver_object) else {
        return STATUS_UNSUCCESSFUL;
    };
    let Some(callback) = client.config.EvtDriverDeviceAdd else {
        return STATUS_UNSUCCESSFUL;
    };
    let handle = client.object("AddDevice").handle();
    let init = init::open(&client, pdo);
    let status = frame::enter(&client.who, "EvtDriverDeviceAdd", || {
        // SAFETY: a callback of the driver, called as [EVT_WDF_DRIVER_DEVICE_ADD] says.
        unsafe { frame::invoke!(callback, handle, init) }
    });
    let outcome = init::close(init);
    match outcome.device {
        None if outcome.filter => STATUS_SUCCESS,
        None => status,
        Some(device) if NT_SUCCESS(status) => {
            plug::finish_initializing(&device);
            status
        }
        Some(device) => {
            plug::abandon(&device);
            if outcome.filter {
                STATUS_SUCCESS
            } else {
                status
            }
        }
    }
}

/// `FxDriver::Unload`: the driver's own callback, then its object with everything below it.
pub(crate) unsafe extern "C" fn unload(driver_object: PDRIVER_OBJECT) {
    let Some(client) = of_driver_object(driver_object) else {
        return;
    };
    if let Some(callback) = client.config.EvtDriverUnload {
        let handle = client.object("DriverUnload").handle();
        frame::enter(&client.who, "EvtDriverUnload", || {
            // SAFETY: a callback of the driver, called as [EVT_WDF_DRIVER_UNLOAD] says.
            unsafe { frame::invoke!(callback, handle) }
        });
    }
    forget(&client);
}

/// What happens to a driver whose `DriverEntry` fails after `WdfDriverCreate`: its object is
/// deleted, without `EvtDriverUnload`.
pub(crate) fn abandon(driver_object: PDRIVER_OBJECT) {
    if let Some(client) = of_driver_object(driver_object) {
        forget(&client);
    }
}

fn forget(client: &Arc<Client>) {
    death::delete(&client.object("DriverUnload"));
    let framework = Framework::current();
    let left = framework.objects().owned_by(&client.who.name);
    framework
        .drivers()
        .retain(|known| !Arc::ptr_eq(known, client));
    if !left.is_empty() {
        violation(
            Violation::ObjectError,
            left.len() as u64,
            0,
            &format!(
                "{} is unloaded while somebody holds references to: {}",
                client.who.name,
                left.join(", ")
            ),
        );
    }
}

/// Makes an object on behalf of a driver and hands its handle out.
///
/// # Safety
///
/// `attributes` is NULL or points to attributes; `out` is writable.
pub(crate) unsafe fn make<T>(
    function: &'static str,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    out: *mut *mut T,
    body: impl FnOnce(&Arc<Client>) -> Result<Body, NTSTATUS>,
) -> NTSTATUS {
    not_null(function, "the place for the handle", out);
    // SAFETY: the caller vouches for both pointers.
    unsafe {
        *out = ptr::null_mut();
        let made = object::attributes(function, attributes).and_then(|attributes| {
            let client = current(function, attributes.as_ref());
            if kernel::shall_fail(object::context_size(attributes.as_ref())) {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            let body = kernel::as_framework(function, || body(&client))?;
            let parent = Parent::Default(client.object(function));
            object::create(&client.who, attributes.as_ref(), parent, body)
        });
        match made {
            Ok(object) => {
                *out = object.handle();
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }
}

/// The calls about drivers.
pub(crate) mod calls {
    use super::{
        Arc, Body, Client, DISPATCH, Framework, NTSTATUS, PASSIVE, PCUNICODE_STRING,
        PDRIVER_OBJECT, PWDF_OBJECT_ATTRIBUTES, Parent, STATUS_SUCCESS, WDF_DRIVER_CONFIG,
        dispatch, not_null, object, ptr, require_irql, require_size, text,
    };
    use crate::abi::{
        PWDF_DRIVER_CONFIG, PWSTR, STATUS_DRIVER_INTERNAL_ERROR, STATUS_INVALID_PARAMETER,
        WDFDRIVER,
    };
    use crate::wdf::table::wdf_functions;

    const NON_PNP: u32 = 1;
    const NO_DISPATCH_OVERRIDE: u32 = 2;

    wdf_functions! {
        /// Binds a driver to the framework: its dispatch table, `AddDevice` and unload become the
        /// framework's. Once for each driver, in `DriverEntry`. `PASSIVE_LEVEL`.
        116 fn WdfDriverCreate(
            DriverObject: PDRIVER_OBJECT,
            RegistryPath: PCUNICODE_STRING,
            DriverAttributes: PWDF_OBJECT_ATTRIBUTES,
            DriverConfig: PWDF_DRIVER_CONFIG,
            Driver: *mut WDFDRIVER,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDriverCreate";
            require_irql(NAME, PASSIVE);
            not_null(NAME, "DriverObject", DriverObject);
            not_null(NAME, "RegistryPath", RegistryPath);
            not_null(NAME, "DriverConfig", DriverConfig);
            // SAFETY: checked against NULL, and the caller vouches for what they point to.
            let (config, path, attributes) = unsafe {
                let attributes = object::attributes(NAME, DriverAttributes);
                (*DriverConfig, text(RegistryPath), attributes)
            };
            require_size(
                NAME,
                "WDF_DRIVER_CONFIG",
                config.Size,
                size_of::<WDF_DRIVER_CONFIG>(),
            );
            let attributes = match attributes {
                Ok(attributes) => attributes,
                Err(status) => return status,
            };
            if config.DriverInitFlags & NON_PNP != 0 && config.EvtDriverDeviceAdd.is_some() {
                return STATUS_INVALID_PARAMETER;
            }
            if super::of_driver_object(DriverObject).is_some() {
                return STATUS_DRIVER_INTERNAL_ERROR;
            }
            let client = Arc::new(Client::new(DriverObject, path, config));
            let body = Body::Driver(Arc::clone(&client));
            match object::create(&client.who, attributes.as_ref(), Parent::Root, body) {
                Ok(object) => {
                    // SAFETY: `Driver` may be NULL; if not, the caller vouches for it, as for the
                    // driver object, which nobody else touches during `DriverEntry`.
                    unsafe {
                        if config.DriverInitFlags & NO_DISPATCH_OVERRIDE == 0 {
                            install(DriverObject, config.DriverInitFlags & NON_PNP != 0);
                        }
                        if !Driver.is_null() {
                            *Driver = object.handle();
                        }
                        (*client.globals()).Driver = object.handle();
                    }
                    let handle: *mut () = object.handle();
                    let set = client.handle.set(handle.addr());
                    debug_assert!(set.is_ok());
                    Framework::current().drivers().push(client);
                    STATUS_SUCCESS
                }
                Err(status) => status,
            }
        }

        /// The path of the driver's service key, ended by NUL. `PASSIVE_LEVEL`.
        117 fn WdfDriverGetRegistryPath(Driver: WDFDRIVER) -> PWSTR {
            const NAME: &str = "WdfDriverGetRegistryPath";
            require_irql(NAME, PASSIVE);
            let object = object::any(NAME, Driver);
            object.client(NAME).path_text.as_ptr().cast_mut()
        }

        /// The WDM driver object. Up to `DISPATCH_LEVEL`.
        118 fn WdfDriverWdmGetDriverObject(Driver: WDFDRIVER) -> PDRIVER_OBJECT {
            const NAME: &str = "WdfDriverWdmGetDriverObject";
            require_irql(NAME, DISPATCH);
            object::any(NAME, Driver).client(NAME).driver_object.0
        }

        /// The framework object of a WDM driver object, or NULL. Up to `DISPATCH_LEVEL`.
        120 fn WdfWdmDriverGetWdfDriverHandle(DriverObject: PDRIVER_OBJECT) -> WDFDRIVER {
            const NAME: &str = "WdfWdmDriverGetWdfDriverHandle";
            not_null(NAME, "DriverObject", DriverObject);
            super::of_driver_object(DriverObject)
                .map_or(ptr::null_mut(), |client| client.object(NAME).handle())
        }
    }

    /// # Safety
    ///
    /// The driver object is alive and being initialised by this thread.
    unsafe fn install(driver_object: PDRIVER_OBJECT, non_pnp: bool) {
        // SAFETY: the caller vouches for the driver object and its extension.
        unsafe {
            for major in &mut (*driver_object).MajorFunction {
                *major = Some(dispatch::dispatch_with_lock);
            }
            (*driver_object).DriverUnload = Some(super::unload);
            if !non_pnp {
                (*(*driver_object).DriverExtension).AddDevice = Some(super::add_device);
            }
            crate::pe::adapt(driver_object);
        }
    }
}
