//! A device in the making, and what drivers like these ask of it.

use core::ptr;

use wdk_sys::{
    _WDF_REMOVE_LOCK_OPTIONS_FLAGS, NTSTATUS, PFN_WDF_OBJECT_CONTEXT_CLEANUP, PIRP,
    PWDFDEVICE_INIT, WDF_DEVICE_IO_TYPE, WDF_PNPPOWER_EVENT_CALLBACKS, WDF_REMOVE_LOCK_OPTIONS,
    WDFDEVICE, call_unsafe_wdf_function_binding,
};

use super::{ContextType, attributes, size};
use crate::succeeded;

/// What the framework calls before it looks at a request itself.
pub type Preprocess = unsafe extern "C" fn(WDFDEVICE, PIRP) -> NTSTATUS;

/// `WDFDEVICE_INIT`, from `EvtDriverDeviceAdd` until the framework takes it. PASSIVE_LEVEL.
///
/// # Invariants
/// The pointer is the framework's, and not used up yet.
pub struct DeviceInit(PWDFDEVICE_INIT);

impl DeviceInit {
    /// # Safety
    /// `init` is what `EvtDriverDeviceAdd` was called with, and nobody else uses it.
    pub const unsafe fn new(init: PWDFDEVICE_INIT) -> Self {
        Self(init)
    }

    /// For what is said about this device and no other.
    pub const fn as_ptr(&self) -> PWDFDEVICE_INIT {
        self.0
    }

    /// How buffers arrive: which of `DO_DIRECT_IO` and `DO_BUFFERED_IO` the device object has.
    pub fn io_type(&mut self, kind: WDF_DEVICE_IO_TYPE) {
        // SAFETY: type invariant.
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetIoType, self.0, kind) };
    }

    /// Every request holds the framework's remove lock until it completes. The framework knows nothing
    /// of requests that a preprocess callback keeps, and class drivers forward REMOVE before they have
    /// drained their own: without the lock a late one would meet a context that is gone.
    pub fn lock_for_io(&mut self) {
        let mut lock = WDF_REMOVE_LOCK_OPTIONS {
            Size: size::<WDF_REMOVE_LOCK_OPTIONS>(),
            Flags: _WDF_REMOVE_LOCK_OPTIONS_FLAGS::WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO as u32,
        };
        // SAFETY: type invariant.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetRemoveLockOptions,
                self.0,
                &raw mut lock
            );
        };
    }

    /// The callbacks of plug and play and power; their `Size` is filled in here.
    pub fn pnp_power(&mut self, callbacks: WDF_PNPPOWER_EVENT_CALLBACKS) {
        let mut callbacks = WDF_PNPPOWER_EVENT_CALLBACKS {
            Size: size::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
            ..callbacks
        };
        // SAFETY: type invariant.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetPnpPowerEventCallbacks,
                self.0,
                &raw mut callbacks
            );
        };
    }

    /// Requests of a major function come to `callback` in the sender's own context, and not to a queue:
    /// that would allocate a request object for every IRP, fail the IRP where it can't (KMDF
    /// fxpkgio.cpp), and perhaps hand it over in another thread.
    ///
    /// # Errors
    /// The framework's status, when it has no memory.
    pub fn preprocess(&mut self, major: u32, callback: Preprocess) -> Result<(), NTSTATUS> {
        // SAFETY: type invariant; no minor functions are named, so all of them are meant.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitAssignWdmIrpPreprocessCallback,
                self.0,
                Some(callback),
                major as u8,
                ptr::null_mut(),
                0
            )
        };
        succeeded(status).then_some(()).ok_or(status)
    }

    /// Makes the device, with a zeroed context of this type and a callback for the time when it goes.
    ///
    /// # Errors
    /// The framework's status.
    pub fn create(
        mut self,
        context: &'static ContextType,
        cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    ) -> Result<WDFDEVICE, NTSTATUS> {
        let mut attributes = attributes(context, cleanup);
        let mut handle: WDFDEVICE = ptr::null_mut();
        // SAFETY: type invariant; on success the framework takes it.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceCreate,
                &raw mut self.0,
                &raw mut attributes,
                &raw mut handle
            )
        };
        succeeded(status).then_some(handle).ok_or(status)
    }
}
