//! Device objects of framework drivers: how they are made and what can be asked of them.

use core::ffi::c_void;
use core::ptr;
use std::sync::{Arc, Mutex, OnceLock};

use super::init::{DeviceInit, MAJORS, Preprocess};
use super::object::{self, Body, Object, Parent};
use super::plug::{self, PlugState};
use super::resources::List;
use super::usage::Usage;
use super::{kernel, target};
use crate::abi::{
    _WDF_DEVICE_IO_TYPE, DEVICE_OBJECT, DO_BUFFERED_IO, DO_DIRECT_IO, DO_POWER_INRUSH,
    DO_POWER_PAGABLE, IO_REMOVE_LOCK, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIO_REMOVE_LOCK,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE, WDF_OBJECT_ATTRIBUTES,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDFDEVICE, WDFDRIVER,
};
use crate::machine::Shared;
use crate::ntddk;

/// `WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO`
pub(crate) const ACQUIRE_FOR_IO: u32 = 1;

/// What the framework keeps behind the WDM device object, in the same block of memory. It outlives
/// the framework device: requests that arrive after the removal still find the lock here.
///
/// The `DeviceExtension` field does not point here but to the context of the framework device, as
/// in the real framework (`fxdevice.cpp`, `CreateDevice`).
#[repr(C)]
pub(crate) struct WdmExtension {
    pub(crate) lock: IO_REMOVE_LOCK,
    pub(crate) options: u32,
    pub(crate) device: WDFDEVICE,
}

/// The state of a `WDFDEVICE`.
pub(crate) struct Device {
    pub(crate) driver: WDFDRIVER,
    pub(crate) wdm: Shared<DEVICE_OBJECT>,
    pub(crate) attached: Shared<DEVICE_OBJECT>,
    pub(crate) physical: Shared<DEVICE_OBJECT>,
    pub(crate) filter: bool,
    pub(crate) preprocess: Option<Box<[Preprocess; MAJORS]>>,
    pub(crate) callbacks: WDF_PNPPOWER_EVENT_CALLBACKS,
    pub(crate) state: Mutex<PlugState>,
    pub(crate) usage: Usage,
    pub(crate) parts: OnceLock<Parts>,
}

// SAFETY: handles are numbers; device objects are guarded by the rules of the kernel.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// Framework objects that come with every device, by handle.
pub(crate) struct Parts {
    pub(crate) target: usize,
    pub(crate) resources_raw: usize,
    pub(crate) resources: usize,
}

impl Device {
    /// The remove lock in the device extension.
    pub(crate) fn lock(&self) -> PIO_REMOVE_LOCK {
        // SAFETY: the device object lives at least until its framework device is destroyed.
        unsafe { lock_of(self.wdm.0) }
    }
}

/// The extension of a device object that the framework made.
///
/// # Safety
///
/// `device` is alive and was made by [`create_wdm`].
pub(crate) unsafe fn extension(device: PDEVICE_OBJECT) -> *mut WdmExtension {
    // SAFETY: the caller vouches for the device, whose extension follows it in its block.
    unsafe { device.add(1).cast() }
}

/// # Safety
///
/// As for [`extension`].
pub(crate) unsafe fn lock_of(device: PDEVICE_OBJECT) -> PIO_REMOVE_LOCK {
    // SAFETY: the caller vouches for the device.
    unsafe { &raw mut (*extension(device)).lock }
}

/// Size of a remove lock, which tells a checked kernel which of two structures it is given.
pub(crate) const LOCK_SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;

/// `FdoInitialize`: makes the device object, attaches it, and inherits what filters inherit.
unsafe fn create_wdm(init: &DeviceInit) -> Result<(PDEVICE_OBJECT, PDEVICE_OBJECT), NTSTATUS> {
    let mut device: PDEVICE_OBJECT = ptr::null_mut();
    let mut attached: PDEVICE_OBJECT = ptr::null_mut();
    // SAFETY: the driver object is alive while its `AddDevice` runs; out pointers are ours. Fields
    // of the fresh device object are ours until it is attached, and the flags of the one below are
    // read as `IoAttachDeviceToDeviceStack` leaves them.
    unsafe {
        let status = ntddk::IoCreateDevice(
            init.client.driver_object.0,
            size_of::<WdmExtension>() as u32,
            ptr::null_mut(),
            init.device_type,
            init.characteristics,
            u8::from(init.exclusive),
            &raw mut device,
        );
        if !NT_SUCCESS(status) {
            return Err(status);
        }
        let extension = extension(device);
        debug_assert_eq!((*device).DeviceExtension, extension.cast());
        (*extension).options = init.remove_lock_options;
        (*extension).device = ptr::null_mut();
        ntddk::IoInitializeRemoveLockEx(
            &raw mut (*extension).lock,
            init.client.pool_tag(),
            0,
            0,
            LOCK_SIZE,
        );
        let status =
            ntddk::IoAttachDeviceToDeviceStackSafe(device, init.physical.0, &raw mut attached);
        if !NT_SUCCESS(status) || attached.is_null() {
            ntddk::IoDeleteDevice(device);
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        if init.filter {
            inherit(device, attached);
        } else {
            (*device).Flags |= own_flags(init);
        }
        (*device).StackSize += i8::from(init.preprocess.is_some());
        (*device).StackSize += i8::from(init.remove_lock_options & ACQUIRE_FOR_IO != 0);
    }
    Ok((device, attached))
}

/// A filter behaves like the device below it (`fxdevicekm.cpp`, `FdoInitialize`).
unsafe fn inherit(device: PDEVICE_OBJECT, attached: PDEVICE_OBJECT) {
    const TAKEN: u32 = DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE | DO_POWER_INRUSH;
    // SAFETY: both devices are alive, and nobody sends requests to a device whose `AddDevice` has
    // not returned.
    unsafe {
        (*device).Flags = (*device).Flags & !TAKEN | (*attached).Flags & TAKEN;
        (*device).DeviceType = (*attached).DeviceType;
        (*device).Characteristics = (*attached).Characteristics;
    }
}

fn own_flags(init: &DeviceInit) -> u32 {
    let io = match init.io_type {
        _WDF_DEVICE_IO_TYPE::WdfDeviceIoBuffered => DO_BUFFERED_IO,
        _WDF_DEVICE_IO_TYPE::WdfDeviceIoDirect
        | _WDF_DEVICE_IO_TYPE::WdfDeviceIoBufferedOrDirect => DO_DIRECT_IO,
        _ => 0,
    };
    let power = if init.power_pageable {
        DO_POWER_PAGABLE
    } else if init.power_inrush {
        DO_POWER_INRUSH
    } else {
        0
    };
    io | power
}

/// Makes a framework device from an init.
pub(crate) fn create(
    init: &mut DeviceInit,
    attributes: Option<&WDF_OBJECT_ATTRIBUTES>,
) -> Result<Arc<Object>, NTSTATUS> {
    const NAME: &str = "WdfDeviceCreate";
    if kernel::shall_fail(object::context_size(attributes)) {
        return Err(STATUS_INSUFFICIENT_RESOURCES);
    }
    // SAFETY: called from `AddDevice` of the driver whose init it is.
    let (wdm, attached) = kernel::as_framework(NAME, || unsafe { create_wdm(init) })?;
    let driver = init.client.object(NAME);
    let body = Device {
        driver: driver.handle(),
        wdm: Shared(wdm),
        attached: Shared(attached),
        physical: init.physical,
        filter: init.filter,
        preprocess: init.preprocess.take(),
        callbacks: init.callbacks,
        state: Mutex::new(PlugState::default()),
        usage: Usage::default(),
        parts: OnceLock::new(),
    };
    let body = Body::Device(Box::new(body));
    let object = match object::create(&init.client.who, attributes, Parent::Fixed(driver), body) {
        Ok(object) => object,
        Err(status) => {
            // SAFETY: attached and made above; nobody else knows of it yet.
            unsafe {
                ntddk::IoDetachDevice(attached);
                ntddk::IoDeleteDevice(wdm);
            }
            return Err(status);
        }
    };
    if let Err(status) = add_parts(&object, init, attached) {
        plug::abandon(&object);
        return Err(status);
    }
    // SAFETY: the extension is ours; requests reach the device only after `AddDevice`, or from
    // drivers attaching above, which comes later still.
    unsafe {
        (*extension(wdm)).device = object.handle();
        (*wdm).DeviceExtension = object.first_context();
    }
    Ok(object)
}

fn add_parts(
    device: &Arc<Object>,
    init: &DeviceInit,
    attached: PDEVICE_OBJECT,
) -> Result<(), NTSTATUS> {
    let make = |body| {
        let parent = Parent::Fixed(Arc::clone(device));
        let object = object::create(&init.client.who, None, parent, body)?;
        let handle: *mut c_void = object.handle();
        Ok::<usize, NTSTATUS>(handle.addr())
    };
    let parts = Parts {
        resources: make(Body::Resources(List::default()))?,
        resources_raw: make(Body::Resources(List::default()))?,
        target: make(Body::Target(target::Target::new(attached)))?,
    };
    let set = device.device("WdfDeviceCreate").parts.set(parts);
    debug_assert!(set.is_ok());
    Ok(())
}

/// The calls about devices.
pub(crate) mod calls {
    use super::{Arc, NTSTATUS, Object, PDEVICE_OBJECT, Shared, WDFDEVICE, extension, object, ptr};
    use crate::abi::{
        ACCESS_MASK, PDEVPROPTYPE, PULONG, PVOID, PWDF_DEVICE_PROPERTY_DATA,
        PWDF_OBJECT_ATTRIBUTES, PWDFDEVICE_INIT, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
        WDFDRIVER, WDFIOTARGET, WDFKEY,
    };
    use crate::ntddk;
    use crate::wdf::driver::{self, DISPATCH, PASSIVE};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{not_null, require_irql, require_size};
    use crate::wdf::{init, key};

    /// `APC_LEVEL` as an IRQL.
    const APC: u8 = crate::abi::APC_LEVEL as u8;

    fn device(function: &str, handle: WDFDEVICE) -> Arc<Object> {
        let object = object::any(function, handle);
        let _: &super::Device = object.device(function);
        object
    }

    fn field(
        function: &str,
        handle: WDFDEVICE,
        pick: impl FnOnce(&super::Device) -> Shared<super::DEVICE_OBJECT>,
    ) -> PDEVICE_OBJECT {
        require_irql(function, DISPATCH);
        pick(device(function, handle).device(function)).0
    }

    wdf_functions! {
        /// Makes the device that an init describes; sets the init pointer to NULL. Called in
        /// `EvtDriverDeviceAdd`. `PASSIVE_LEVEL`.
        75 fn WdfDeviceCreate(
            DeviceInit: *mut PWDFDEVICE_INIT,
            DeviceAttributes: PWDF_OBJECT_ATTRIBUTES,
            Device: *mut WDFDEVICE,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDeviceCreate";
            require_irql(NAME, PASSIVE);
            not_null(NAME, "DeviceInit", DeviceInit);
            not_null(NAME, "Device", Device);
            // SAFETY: checked against NULL; the caller vouches for what they point to.
            let (handle, attributes) = unsafe {
                (*DeviceInit, object::attributes(NAME, DeviceAttributes))
            };
            let attributes = match attributes {
                Ok(attributes) => attributes,
                Err(status) => return status,
            };
            let mut taken = init::take(NAME, handle);
            match super::create(&mut taken, attributes.as_ref()) {
                Ok(object) => {
                    init::use_up(handle, &object, taken.filter);
                    // SAFETY: checked against NULL above.
                    unsafe {
                        *DeviceInit = ptr::null_mut();
                        *Device = object.handle();
                    }
                    STATUS_SUCCESS
                }
                Err(status) => {
                    init::give_back(handle, taken);
                    status
                }
            }
        }

        /// The device object of the driver. Up to `DISPATCH_LEVEL`.
        31 fn WdfDeviceWdmGetDeviceObject(Device: WDFDEVICE) -> PDEVICE_OBJECT {
            field("WdfDeviceWdmGetDeviceObject", Device, |device| device.wdm)
        }

        /// The next lower device object in the stack. Up to `DISPATCH_LEVEL`.
        32 fn WdfDeviceWdmGetAttachedDevice(Device: WDFDEVICE) -> PDEVICE_OBJECT {
            field("WdfDeviceWdmGetAttachedDevice", Device, |device| device.attached)
        }

        /// The device object of the bus driver. Up to `DISPATCH_LEVEL`.
        33 fn WdfDeviceWdmGetPhysicalDevice(Device: WDFDEVICE) -> PDEVICE_OBJECT {
            field("WdfDeviceWdmGetPhysicalDevice", Device, |device| device.physical)
        }

        /// The framework device of a device object that the framework made. Up to
        /// `DISPATCH_LEVEL`.
        30 fn WdfWdmDeviceGetWdfDeviceHandle(DeviceObject: PDEVICE_OBJECT) -> WDFDEVICE {
            not_null("WdfWdmDeviceGetWdfDeviceHandle", "DeviceObject", DeviceObject);
            // SAFETY: not NULL; the caller vouches that the framework made the device.
            unsafe { (*extension(DeviceObject)).device }
        }

        /// The driver that made the device. Up to `DISPATCH_LEVEL`.
        39 fn WdfDeviceGetDriver(Device: WDFDEVICE) -> WDFDRIVER {
            const NAME: &str = "WdfDeviceGetDriver";
            require_irql(NAME, DISPATCH);
            device(NAME, Device).device(NAME).driver
        }

        /// The target that stands for the device below. Up to `DISPATCH_LEVEL`.
        42 fn WdfDeviceGetIoTarget(Device: WDFDEVICE) -> WDFIOTARGET {
            const NAME: &str = "WdfDeviceGetIoTarget";
            require_irql(NAME, DISPATCH);
            let object = device(NAME, Device);
            let parts = object.device(NAME).parts.get();
            ptr::without_provenance_mut(parts.map_or(0, |parts| parts.target))
        }

        /// Opens the hardware or software key of the device. `PASSIVE_LEVEL`.
        48 fn WdfDeviceOpenRegistryKey(
            Device: WDFDEVICE,
            DeviceInstanceKeyType: ULONG,
            DesiredAccess: ACCESS_MASK,
            KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
            Key: *mut WDFKEY,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDeviceOpenRegistryKey";
            require_irql(NAME, PASSIVE);
            let physical = device(NAME, Device).device(NAME).physical.0;
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, KeyAttributes, Key, |_| {
                    key::of_device(physical, DeviceInstanceKeyType, DesiredAccess)
                })
            }
        }

        /// The alignment that the device asks of buffers, minus one. Up to `DISPATCH_LEVEL`.
        52 fn WdfDeviceGetAlignmentRequirement(Device: WDFDEVICE) -> ULONG {
            let wdm = field("WdfDeviceGetAlignmentRequirement", Device, |device| device.wdm);
            // SAFETY: the device object lives as long as its framework device.
            unsafe { (*wdm).AlignmentRequirement }
        }

        /// Sets the alignment that the device asks of buffers, minus one. Up to `DISPATCH_LEVEL`.
        53 fn WdfDeviceSetAlignmentRequirement(Device: WDFDEVICE, AlignmentRequirement: ULONG) {
            let wdm = field("WdfDeviceSetAlignmentRequirement", Device, |device| device.wdm);
            // SAFETY: the device object lives as long as its framework device.
            unsafe { (*wdm).AlignmentRequirement = AlignmentRequirement };
        }

        /// The characteristics of the device object. Up to `DISPATCH_LEVEL`.
        51 fn WdfDeviceGetCharacteristics(Device: WDFDEVICE) -> ULONG {
            let wdm = field("WdfDeviceGetCharacteristics", Device, |device| device.wdm);
            // SAFETY: the device object lives as long as its framework device.
            unsafe { (*wdm).Characteristics }
        }

        /// Reads a property of the device by its key. Up to `APC_LEVEL` (`fxdeviceapi.cpp`).
        433 fn WdfDeviceQueryPropertyEx(
            Device: WDFDEVICE,
            DeviceProperty: PWDF_DEVICE_PROPERTY_DATA,
            BufferLength: ULONG,
            PropertyBuffer: PVOID,
            RequiredSize: PULONG,
            Type: PDEVPROPTYPE,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDeviceQueryPropertyEx";
            let physical = device(NAME, Device).device(NAME).physical.0;
            not_null(NAME, "DeviceProperty", DeviceProperty);
            // SAFETY: checked against NULL; the caller vouches for what it points to.
            let asked = unsafe { *DeviceProperty };
            require_size(NAME, "DeviceProperty", asked.Size, size_of_val(&asked));
            require_irql(NAME, APC);
            not_null(NAME, "RequiredSize", RequiredSize);
            not_null(NAME, "Type", Type);
            not_null(NAME, "DeviceProperty->PropertyKey", asked.PropertyKey);
            if (BufferLength == 0) != PropertyBuffer.is_null() {
                return STATUS_INVALID_PARAMETER;
            }
            // SAFETY: checked against NULL; the caller vouches for the key, the places and
            // `BufferLength` bytes of the buffer.
            unsafe {
                ntddk::IoGetDevicePropertyData(
                    physical,
                    asked.PropertyKey,
                    asked.Lcid,
                    asked.Flags,
                    BufferLength,
                    PropertyBuffer,
                    RequiredSize,
                    Type,
                )
            }
        }
    }
}
