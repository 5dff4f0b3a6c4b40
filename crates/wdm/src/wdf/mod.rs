//! The framework: drivers and devices in the making, typed contexts, registry keys, questions to the device below.

pub mod device;
pub mod driver;
pub mod key;
pub mod target;

use core::ffi::CStr;

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, PCWDF_OBJECT_CONTEXT_TYPE_INFO,
    PDEVICE_OBJECT, PFN_WDF_OBJECT_CONTEXT_CLEANUP, ULONG, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDFDEVICE, WDFOBJECT, call_unsafe_wdf_function_binding,
};

/// `sizeof` as the framework's structures want it in their `Size` fields.
pub const fn size<T>() -> ULONG {
    size_of::<T>() as ULONG
}

/// What `WDF_DECLARE_CONTEXT_TYPE` makes: the identity of a context type.
pub struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: never written after it was made.
unsafe impl Sync for ContextType {}

impl ContextType {
    /// `unique` must be the static that the value initialises: its address is the type's identity.
    pub const fn of<T>(name: &'static CStr, unique: &'static Self) -> Self {
        Self(WDF_OBJECT_CONTEXT_TYPE_INFO {
            Size: size::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
            ContextName: name.as_ptr().cast_mut(),
            ContextSize: size_of::<T>(),
            UniqueType: unique.info(),
            EvtDriverGetUniqueContextType: None,
        })
    }

    const fn info(&'static self) -> PCWDF_OBJECT_CONTEXT_TYPE_INFO {
        &raw const self.0
    }
}

/// `WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE`, with the object's cleanup callback.
pub fn attributes(
    context: &'static ContextType,
    cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
) -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size::<WDF_OBJECT_ATTRIBUTES>(),
        EvtCleanupCallback: cleanup,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ContextTypeInfo: context.info(),
        ..Default::default()
    }
}

/// The object's context of this type; the framework allocated it, zeroed, with the object.
///
/// # Safety
/// `object` is a live framework object that was made with a context of this type.
pub unsafe fn context<T>(object: WDFOBJECT, context: &'static ContextType) -> *mut T {
    // SAFETY: the caller's contract.
    let place = unsafe {
        call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, context.info())
    };
    place.cast()
}

/// The device that ours is attached to.
///
/// # Safety
/// `device` is a live framework device.
pub unsafe fn attached_device(device: WDFDEVICE) -> PDEVICE_OBJECT {
    // SAFETY: the caller's contract.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetAttachedDevice, device) }
}
