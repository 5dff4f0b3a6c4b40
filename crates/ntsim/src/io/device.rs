//! Driver and device objects, and how devices are stacked.

use std::alloc::Layout;

use super::state::DeviceRecord;
use crate::abi::{
    CSHORT, DEVICE_OBJECT, DEVOBJ_EXTENSION, DO_DEVICE_INITIALIZING, DRIVER_EXTENSION,
    DRIVER_OBJECT, IO_TYPE_DEVICE, IO_TYPE_DRIVER, PDEVICE_OBJECT, PDRIVER_OBJECT, ULONG,
    UNICODE_STRING, USHORT,
};
use crate::machine::context::{self, Context};
use crate::machine::{self, DriverId, Owner, Violation, lock};
use crate::memory::Blocks;

/// `DEVICE_OBJECT`, the driver's extension, the kernel's extension, in one block.
struct Parts {
    layout: Layout,
    extension: usize,
    kernel_extension: usize,
}

fn parts(extension_bytes: usize) -> Parts {
    let extension = Layout::from_size_align(extension_bytes, 16).expect("a size that exists");
    let (layout, at) = Layout::new::<DEVICE_OBJECT>()
        .extend(extension)
        .expect("a size that exists");
    let (layout, kernel_extension) = layout
        .extend(Layout::new::<DEVOBJ_EXTENSION>())
        .expect("a size that exists");
    Parts {
        layout: layout.pad_to_align(),
        extension: at,
        kernel_extension,
    }
}

/// A driver object with its extension and its name, and no routines yet. `owner` says whose
/// account the driver's allocations go to.
pub fn create_driver(name: &str, owner: Owner) -> PDRIVER_OBJECT {
    let context = context::current();
    let id = context.machine.add_driver(name, owner);
    let driver: PDRIVER_OBJECT = Blocks::allocate(driver_layout()).cast();
    let path: Vec<u16> = format!("\\Driver\\{name}").encode_utf16().collect();
    let service: Vec<u16> = name.encode_utf16().collect();
    // SAFETY: a fresh, zeroed block with room for both structures; the strings live until
    // delete_driver.
    unsafe {
        (*driver).Type = IO_TYPE_DRIVER as CSHORT;
        (*driver).Size = size_of::<DRIVER_OBJECT>() as CSHORT;
        (*driver).DriverName = leak_string(path);
        let extension: *mut DRIVER_EXTENSION = driver.add(1).cast();
        (*extension).DriverObject = driver;
        (*extension).Count = ULONG::from(id.number());
        (*extension).ServiceKeyName = leak_string(service);
        (*driver).DriverExtension = extension;
    }
    lock(&context.machine.io).drivers.0.push(driver);
    driver
}

/// Driver objects that exist.
#[derive(Default)]
pub(crate) struct DriverObjects(Vec<PDRIVER_OBJECT>);

// SAFETY: the pointers own their blocks; only the table's holder follows them.
unsafe impl Send for DriverObjects {}

impl Drop for DriverObjects {
    fn drop(&mut self) {
        for &driver in &self.0 {
            // SAFETY: the machine goes away and with it whoever used the driver.
            unsafe { free_driver(driver) };
        }
    }
}

/// A driver object and its extension.
fn driver_layout() -> Layout {
    let both = Layout::new::<DRIVER_OBJECT>().extend(Layout::new::<DRIVER_EXTENSION>());
    both.expect("a size that exists").0.pad_to_align()
}

fn leak_string(text: Vec<u16>) -> UNICODE_STRING {
    let bytes = (text.len() * 2) as USHORT;
    let buffer = Box::into_raw(text.into_boxed_slice()).cast::<u16>();
    UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: buffer,
    }
}

/// # Safety
/// `text` came from [`leak_string`] and nobody uses it.
unsafe fn free_string(text: UNICODE_STRING) {
    let units = usize::from(text.Length) / 2;
    // SAFETY: the caller's contract: a boxed slice of this length.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(text.Buffer, units)) });
}

/// The machine's name for a driver object.
///
/// # Safety
/// `driver` came from [`create_driver`].
pub unsafe fn driver_id(driver: PDRIVER_OBJECT) -> DriverId {
    // SAFETY: the caller's contract; create_driver keeps the number in a field of its own.
    DriverId::from_number(unsafe { (*(*driver).DriverExtension).Count } as u16)
}

/// Frees a driver object. Its devices must be gone.
///
/// # Safety
/// `driver` came from [`create_driver`] and nobody uses it.
pub unsafe fn delete_driver(driver: PDRIVER_OBJECT) {
    machine::with(|machine| lock(&machine.io).drivers.0.retain(|&other| other != driver));
    // SAFETY: the caller's contract.
    unsafe { free_driver(driver) };
}

/// # Safety
/// Nobody uses the driver object.
unsafe fn free_driver(driver: PDRIVER_OBJECT) {
    // SAFETY: the caller's contract.
    unsafe {
        free_string((*driver).DriverName);
        free_string((*(*driver).DriverExtension).ServiceKeyName);
        std::alloc::dealloc(driver.cast(), driver_layout());
    }
}

/// A device of `driver` with a zeroed extension of `extension_bytes`.
///
/// # Safety
/// `driver` came from [`create_driver`] and outlives the device.
pub unsafe fn create_device(
    driver: PDRIVER_OBJECT,
    extension_bytes: usize,
    device_type: ULONG,
) -> PDEVICE_OBJECT {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { create(&context, driver, extension_bytes, device_type, 0, None) }
}

/// # Safety
/// As for [`create_device`].
unsafe fn create(
    context: &Context,
    driver: PDRIVER_OBJECT,
    extension_bytes: usize,
    device_type: ULONG,
    characteristics: ULONG,
    name: Option<String>,
) -> PDEVICE_OBJECT {
    let machine = &context.machine;
    // SAFETY: the caller's contract.
    let id = unsafe { driver_id(driver) };
    let parts = parts(extension_bytes);
    let block = Blocks::allocate(parts.layout);
    let device: PDEVICE_OBJECT = block.cast();
    // SAFETY: a fresh, zeroed block with room for the three parts.
    unsafe {
        (*device).Type = IO_TYPE_DEVICE as CSHORT;
        (*device).Size = (size_of::<DEVICE_OBJECT>() + extension_bytes) as USHORT;
        (*device).DriverObject = driver;
        (*device).NextDevice = (*driver).DeviceObject;
        (*driver).DeviceObject = device;
        (*device).Flags = DO_DEVICE_INITIALIZING;
        (*device).Characteristics = characteristics;
        (*device).DeviceType = device_type;
        (*device).StackSize = 1;
        if extension_bytes > 0 {
            (*device).DeviceExtension = block.add(parts.extension).cast();
        }
        let extension: *mut DEVOBJ_EXTENSION = block.add(parts.kernel_extension).cast();
        (*extension).DeviceObject = device;
        (*device).DeviceObjectExtension = extension;
    }
    let driver_name = machine.driver_name(id);
    let owner = machine.driver_owner(id);
    let mut io = lock(&machine.io);
    let number = io.devices.next_number(&driver_name);
    let record = DeviceRecord {
        block,
        layout: parts.layout,
        number,
        driver: id,
        owner,
        name,
        references: 0,
        deleted: false,
    };
    io.devices.by_address.insert(device.addr(), record);
    device
}

/// Attaches `source` on top of the stack that `target` is in. Returns the device below, which stays
/// in memory for as long as something is attached to it, deleted or not.
///
/// # Safety
/// Both are devices.
pub unsafe fn attach(source: PDEVICE_OBJECT, target: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the caller's contract; attached devices exist.
    unsafe {
        let below = top_of(target);
        (*below).AttachedDevice = source;
        (*source).StackSize = (*below).StackSize + 1;
        (*source).AlignmentRequirement = (*below).AlignmentRequirement;
        (*source).SectorSize = (*below).SectorSize;
        (*(*source).DeviceObjectExtension).AttachedTo = below;
        reference(&context::current(), below);
        below
    }
}

/// # Safety
/// `device` is a device.
unsafe fn top_of(mut device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the caller's contract; attached devices exist.
    unsafe {
        while !(*device).AttachedDevice.is_null() {
            device = (*device).AttachedDevice;
        }
    }
    device
}

/// Detaches whatever is attached to `lower`.
///
/// # Safety
/// `lower` is a device.
pub unsafe fn detach(lower: PDEVICE_OBJECT) {
    // SAFETY: the caller's contract.
    unsafe {
        let upper = (*lower).AttachedDevice;
        if upper.is_null() {
            let story = "IoDetachDevice from a device that nothing is attached to.";
            Violation::io(0x202, lower.addr(), 0, story).raise();
        }
        (*lower).AttachedDevice = std::ptr::null_mut();
        (*(*upper).DeviceObjectExtension).AttachedTo = std::ptr::null_mut();
        dereference(&context::current(), lower);
    }
}

/// Deletes a device; its memory goes when the last reference does.
///
/// # Safety
/// `device` is a device and no driver uses it any longer.
pub unsafe fn delete_device(device: PDEVICE_OBJECT) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { delete(&context, device) }
}

/// # Safety
/// As for [`delete_device`].
unsafe fn delete(context: &Context, device: PDEVICE_OBJECT) {
    let machine = &context.machine;
    let verdict = {
        let mut io = lock(&machine.io);
        match io.devices.by_address.get_mut(&device.addr()) {
            Some(record) if !record.deleted => {
                record.deleted = true;
                record.references += 1;
                Ok(())
            }
            _ => Err("IoDeleteDevice of a device that was deleted before, or never was one."),
        }
    };
    if let Err(story) = verdict {
        Violation::io(0x240, 0, device.addr(), story).raise();
    }
    // SAFETY: the table had the device, and the reference keeps its memory.
    unsafe {
        if !(*(*device).DeviceObjectExtension).AttachedTo.is_null() {
            let story = "IoDeleteDevice of a device that is still attached to one below.";
            Violation::io(0x201, 0, device.addr(), story).raise();
        }
        unlink((*device).DriverObject, device);
        dereference(context, device);
    }
}

/// # Safety
/// `device` belongs to `driver`.
unsafe fn unlink(driver: PDRIVER_OBJECT, device: PDEVICE_OBJECT) {
    // SAFETY: the caller's contract; the list of a driver's devices ends with null.
    unsafe {
        let mut place = &raw mut (*driver).DeviceObject;
        while !(*place).is_null() && *place != device {
            place = &raw mut (**place).NextDevice;
        }
        if *place == device {
            *place = (*device).NextDevice;
        }
    }
}

/// # Safety
/// The caller has a reference.
unsafe fn dereference(context: &Context, device: PDEVICE_OBJECT) -> i64 {
    let machine = &context.machine;
    let mut io = lock(&machine.io);
    let left = io
        .devices
        .by_address
        .get_mut(&device.addr())
        .and_then(|record| {
            record.references = record.references.checked_sub(1)?;
            Some((record.references, record.deleted))
        });
    let gone = match left {
        Some((0, true)) => io.devices.by_address.remove(&device.addr()),
        _ => None,
    };
    drop(io);
    let Some((references, _)) = left else {
        let story = "ObDereferenceObject of an object without a reference.";
        Violation::verifier(0x3F, device.addr(), 0, story).raise();
    };
    if let Some(record) = gone {
        crate::ke::forget_range(machine, device.addr(), record.layout.size());
        super::forget_range(machine, device.addr(), record.layout.size());
        // SAFETY: out of the table and without references.
        let freed = unsafe {
            machine
                .memory
                .blocks
                .free(record.block, record.layout, "A device object")
        };
        freed.unwrap_or_else(|violation| violation.raise());
    }
    i64::from(references)
}

fn reference(context: &Context, device: PDEVICE_OBJECT) -> i64 {
    let mut io = lock(&context.machine.io);
    let references = io.devices.by_address.get_mut(&device.addr()).map(|record| {
        record.references += 1;
        record.references
    });
    drop(io);
    references.map_or_else(
        || {
            let story = "ObReferenceObject of something that is no object.";
            Violation::verifier(0x3F, device.addr(), 1, story).raise()
        },
        i64::from,
    )
}

pub(super) mod exports {
    //! `IoCreateDevice` to `IoDeleteDevice`, and references.

    use super::{
        Layout, PDEVICE_OBJECT, PDRIVER_OBJECT, ULONG, attach, create, delete, dereference, detach,
        lock, reference, top_of,
    };
    use crate::abi::{
        ACCESS_MASK, BOOLEAN, FILE_OBJECT, LONG_PTR, NTSTATUS, PFILE_OBJECT, PUNICODE_STRING,
        PVOID, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
    };
    use crate::export::exports;
    use crate::machine::Owner;
    use crate::machine::context::DISPATCH;
    use crate::memory::{pool_allocate, pool_free};

    exports! { run;
        /// Makes a device object.
        fn IoCreateDevice(DriverObject: PDRIVER_OBJECT, DeviceExtensionSize: ULONG, DeviceName: PUNICODE_STRING, DeviceType: ULONG, DeviceCharacteristics: ULONG, Exclusive: BOOLEAN, DeviceObject: *mut PDEVICE_OBJECT) -> NTSTATUS {
            run.irql_at_most(1);
            let context = run.context();
            // SAFETY: the caller's string, if there is one.
            let name = unsafe { text(DeviceName) };
            let taken = name.is_some()
                && lock(&context.machine.io).devices.by_address.values().any(|other| other.name == name);
            if taken {
                return STATUS_OBJECT_NAME_COLLISION;
            }
            // SAFETY: the caller's driver object and memory.
            unsafe {
                let bytes = DeviceExtensionSize as usize;
                *DeviceObject = create(context, DriverObject, bytes, DeviceType, DeviceCharacteristics, name);
            }
            STATUS_SUCCESS
        }

        /// Deletes a device object.
        fn IoDeleteDevice(DeviceObject: PDEVICE_OBJECT) {
            run.irql_at_most(1);
            // SAFETY: the caller's contract.
            unsafe { delete(run.context(), DeviceObject) }
        }

        /// Attaches a device on top of a stack.
        fn IoAttachDeviceToDeviceStackSafe(SourceDevice: PDEVICE_OBJECT, TargetDevice: PDEVICE_OBJECT, AttachedToDeviceObject: *mut PDEVICE_OBJECT) -> NTSTATUS {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's devices and memory.
            unsafe { *AttachedToDeviceObject = attach(SourceDevice, TargetDevice) };
            STATUS_SUCCESS
        }

        /// Detaches what is attached to a device.
        fn IoDetachDevice(TargetDevice: PDEVICE_OBJECT) {
            run.irql_at_most(1);
            // SAFETY: the caller's contract.
            unsafe { detach(TargetDevice) }
        }

        /// The top of a stack.
        fn IoGetAttachedDevice(DeviceObject: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
            // SAFETY: the caller's device.
            unsafe { top_of(DeviceObject) }
        }

        /// The top of a stack, with a reference to it.
        fn IoGetAttachedDeviceReference(DeviceObject: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's device.
            let top = unsafe { top_of(DeviceObject) };
            reference(run.context(), top);
            top
        }

        /// The device that a device is attached to, with a reference to it: null at the bottom of a
        /// stack, and for a device that is being deleted.
        fn IoGetLowerDeviceObject(DeviceObject: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let gone = {
                let io = lock(&context.machine.io);
                let device = io.devices.by_address.get(&DeviceObject.addr());
                device.is_none_or(|device| device.deleted)
            };
            if gone {
                return std::ptr::null_mut();
            }
            // SAFETY: the caller's device, which is in the table.
            let lower = unsafe { (*(*DeviceObject).DeviceObjectExtension).AttachedTo };
            if !lower.is_null() {
                reference(context, lower);
            }
            lower
        }

        /// The top of a named device's stack, and a file object that stands for the open handle.
        fn IoGetDeviceObjectPointer(ObjectName: PUNICODE_STRING, DesiredAccess: ACCESS_MASK, FileObject: *mut PFILE_OBJECT, DeviceObject: *mut PDEVICE_OBJECT) -> NTSTATUS {
            run.irql_at_most(0);
            let context = run.context();
            // SAFETY: the caller's string.
            let name = unsafe { text(ObjectName) };
            let device = {
                let io = lock(&context.machine.io);
                io.devices.by_address.values()
                    .find(|device| device.name.is_some() && device.name == name && !device.deleted)
                    .map(|device| device.block)
            };
            let Some(device) = device.map(|block| -> PDEVICE_OBJECT { block.cast() }) else {
                return STATUS_OBJECT_NAME_NOT_FOUND;
            };
            let file: PFILE_OBJECT =
                pool_allocate(Owner::Harness, Layout::new::<FILE_OBJECT>().size(), FILE_TAG).cast();
            // SAFETY: fresh memory, a device of the table, the caller's memory.
            unsafe {
                (*file).DeviceObject = device;
                *FileObject = file;
                *DeviceObject = top_of(device);
            }
            STATUS_SUCCESS
        }

        /// One reference more to a device object.
        fn ObfReferenceObject(Object: PVOID) -> LONG_PTR {
            run.irql_at_most(DISPATCH);
            reference(run.context(), Object.cast())
        }

        /// One reference less to a device object, or the end of a file object.
        fn ObfDereferenceObject(Object: PVOID) -> LONG_PTR {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let file = lock(&context.machine.memory.pool).tag_of(Object.addr()) == Some(FILE_TAG);
            // SAFETY: the caller's reference.
            unsafe {
                if file {
                    pool_free(Object);
                    return 0;
                }
                dereference(context, Object.cast())
            }
        }
    }

    /// Marks the pool of file objects.
    const FILE_TAG: u32 = u32::from_le_bytes(*b"File");

    /// # Safety
    /// The caller's string, or null.
    unsafe fn text(string: PUNICODE_STRING) -> Option<String> {
        if string.is_null() {
            return None;
        }
        // SAFETY: the caller's contract.
        let units = unsafe {
            if (*string).Buffer.is_null() {
                return None;
            }
            std::slice::from_raw_parts((*string).Buffer, usize::from((*string).Length) / 2)
        };
        Some(String::from_utf16_lossy(units))
    }
}
