//! Pitfall 24 again, beneath the framework: KMDF takes its callbacks and objects down before it
//! waits for the requests that are on their way; and what must not be done on the way to D0.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use ntsim::abi::{
    _EVENT_TYPE, _KWAIT_REASON, _MODE, _WDF_EXECUTION_LEVEL, _WDF_MEMORY_DESCRIPTOR_TYPE,
    _WDF_REMOVE_LOCK_OPTIONS_FLAGS, _WDF_SYNCHRONIZATION_SCOPE, IRP_MJ_SCSI, KEVENT, NTSTATUS,
    PCUNICODE_STRING, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, PVOID, PWDFDEVICE_INIT,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS, WDF_DRIVER_CONFIG,
    WDF_MEMORY_DESCRIPTOR, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDF_POWER_DEVICE_STATE, WDF_REMOVE_LOCK_OPTIONS, WDFCMRESLIST,
    WDFDEVICE, WDFDRIVER, WDFOBJECT, WDFSPINLOCK,
};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::pnp::Driver;
use ntsim::port::Completion;
use ntsim::wdf::functions as wdf;
use ntsim::world::{Shape, Stack, World};

use super::{adapter, assert_code, assert_stop, pieces, slow_adapter, stopped, wdm, write};

/// The device's context: a child IRP of its own for one request at a time, and where it goes.
struct Device {
    lower: PDEVICE_OBJECT,
    child: PIRP,
    parent: AtomicPtr<ntsim::abi::IRP>,
    lock: WDFSPINLOCK,
    handle: WDFDEVICE,
    idle: KEVENT,
}

struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: never written after it was made.
unsafe impl Sync for ContextType {}

static CONTEXT: ContextType = ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO {
    Size: size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>() as u32,
    ContextName: c"Device".as_ptr().cast_mut(),
    ContextSize: size_of::<Device>(),
    UniqueType: &raw const CONTEXT.0,
    EvtDriverGetUniqueContextType: None,
});

/// A filter that sends every SRB down in an IRP of its own. The defaults are right.
/// The methods are called as the framework's callbacks of the same name.
trait Filter: Sized + 'static {
    /// `WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO`.
    const ACQUIRE_FOR_IO: bool = true;

    /// `EvtDeviceD0Entry`.
    unsafe fn d0_entry(_: *mut Device) {}

    /// `EvtDeviceReleaseHardware`.
    unsafe fn release_hardware(_: *mut Device) {}

    /// Where a child's completion begins.
    unsafe fn child_is_back(_: *mut Device) {}

    /// The device's `EvtCleanupCallback`: the only place that waits and frees.
    unsafe fn cleanup(device: *mut Device) {
        // SAFETY: PASSIVE_LEVEL, the context of a live device; so for all blocks of this module that
        // do not say otherwise.
        unsafe {
            if !(*device).parent.load(Ordering::Acquire).is_null() {
                wait(&raw mut (*device).idle);
            }
            ntddk::IoFreeIrp((*device).child);
        }
    }

    /// A world with this filter.
    fn world() -> World {
        World::new(Driver::linked("splitter", driver_entry::<Self>))
            .shape(Shape::Srb)
            .hba(adapter().completion(Completion::Later(100..1000)))
    }
}

unsafe fn wait(event: *mut KEVENT) {
    // SAFETY: an event that was initialised; PASSIVE_LEVEL.
    unsafe {
        ntddk::KeWaitForSingleObject(
            event.cast(),
            _KWAIT_REASON::Executive,
            _MODE::KernelMode as i8,
            0,
            ptr::null_mut(),
        );
    }
}

unsafe extern "system" fn driver_entry<F: Filter>(
    driver: PDRIVER_OBJECT,
    path: PCUNICODE_STRING,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as u32,
        EvtDriverDeviceAdd: Some(device_add::<F>),
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: DriverEntry's own arguments.
    unsafe {
        wdf::WdfDriverCreate(
            driver,
            path,
            ptr::null_mut(),
            &raw mut config,
            ptr::null_mut(),
        )
    }
}

unsafe extern "C" fn device_add<F: Filter>(_: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut init = init;
    let mut callbacks = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() as u32,
        EvtDeviceD0Entry: Some(d0_entry::<F>),
        EvtDeviceReleaseHardware: Some(release_hardware::<F>),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    };
    let mut lock = WDF_REMOVE_LOCK_OPTIONS {
        Size: size_of::<WDF_REMOVE_LOCK_OPTIONS>() as u32,
        Flags: _WDF_REMOVE_LOCK_OPTIONS_FLAGS::WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO as u32,
    };
    let mut attributes = attributes(ptr::null_mut());
    attributes.ContextTypeInfo = &raw const CONTEXT.0;
    attributes.EvtCleanupCallback = Some(cleanup::<F>);
    let mut handle: WDFDEVICE = ptr::null_mut();
    // SAFETY: the framework's own handles; the device's context is zeroed and ours.
    unsafe {
        wdf::WdfFdoInitSetFilter(init);
        if F::ACQUIRE_FOR_IO {
            wdf::WdfDeviceInitSetRemoveLockOptions(init, &raw mut lock);
        }
        wdf::WdfDeviceInitSetPnpPowerEventCallbacks(init, &raw mut callbacks);
        let major = IRP_MJ_SCSI as u8;
        let none = ptr::null_mut();
        wdf::WdfDeviceInitAssignWdmIrpPreprocessCallback(init, Some(dispatch::<F>), major, none, 0);
        let status = wdf::WdfDeviceCreate(&raw mut init, &raw mut attributes, &raw mut handle);
        if status < 0 {
            return status;
        }
        let device = context(handle.cast());
        (*device).handle = handle;
        (*device).lower = wdf::WdfDeviceWdmGetAttachedDevice(handle);
        (*device).child = ntddk::IoAllocateIrp((*(*device).lower).StackSize, 0);
        ntddk::KeInitializeEvent(&raw mut (*device).idle, _EVENT_TYPE::NotificationEvent, 0);
        let mut of_device = self::attributes(handle.cast());
        wdf::WdfSpinLockCreate(&raw mut of_device, &raw mut (*device).lock)
    }
}

fn attributes(parent: WDFOBJECT) -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as u32,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ParentObject: parent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

unsafe fn context(handle: WDFOBJECT) -> *mut Device {
    // SAFETY: a device of this driver, or one that was destroyed, which the framework notices.
    unsafe { wdf::WdfObjectGetTypedContextWorker(handle, &raw const CONTEXT.0).cast() }
}

unsafe extern "C" fn d0_entry<F: Filter>(handle: WDFDEVICE, _: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    // SAFETY: a live device.
    unsafe { F::d0_entry(context(handle.cast())) };
    STATUS_SUCCESS
}

unsafe extern "C" fn release_hardware<F: Filter>(handle: WDFDEVICE, _: WDFCMRESLIST) -> NTSTATUS {
    // SAFETY: a live device.
    unsafe { F::release_hardware(context(handle.cast())) };
    STATUS_SUCCESS
}

unsafe extern "C" fn cleanup<F: Filter>(handle: WDFOBJECT) {
    // SAFETY: a device whose context is still there.
    unsafe { F::cleanup(context(handle)) };
}

/// `EvtDeviceWdmIrpPreprocess`: the SRB goes down in the device's own IRP.
unsafe extern "C" fn dispatch<F: Filter>(handle: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: a live device and an IRP that is ours now; one request at a time.
    unsafe {
        let device = context(handle.cast());
        let srb = (*wdm::current_location(irp)).Parameters.Scsi.Srb;
        (*srb).OriginalRequest = (*device).child.cast();
        let mdl = (*irp).MdlAddress;
        (*device).parent.store(irp, Ordering::Release);
        wdm::mark_pending(irp);
        let child = (*device).child;
        ntddk::IoReuseIrp(child, STATUS_SUCCESS);
        (*child).MdlAddress = mdl;
        let next = wdm::next_location(child);
        (*next).MajorFunction = IRP_MJ_SCSI as u8;
        (*next).Parameters.Scsi.Srb = srb;
        wdm::set_completion(child, Some(completed::<F>), device.cast());
        ntddk::IofCallDriver((*device).lower, child);
    }
    STATUS_PENDING
}

unsafe extern "C" fn completed<F: Filter>(
    _: PDEVICE_OBJECT,
    child: PIRP,
    argument: PVOID,
) -> NTSTATUS {
    let device: *mut Device = argument.cast();
    // SAFETY: the device's context lives until its cleanup has waited for this.
    unsafe {
        F::child_is_back(device);
        (*child).MdlAddress = ptr::null_mut();
        let status = (*child).IoStatus.__bindgen_anon_1.Status;
        let information = (*child).IoStatus.Information;
        let parent = (*device).parent.load(Ordering::Acquire);
        wdm::complete(parent, status, information);
        (*device).parent.store(ptr::null_mut(), Ordering::Release);
        ntddk::KeSetEvent(&raw mut (*device).idle, 0, 0);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

struct Right;

impl Filter for Right {}

/// A request that is below when the device is removed.
fn removed_with_a_request_below(stack: &Stack) {
    let buffer = pieces(stack, 1);
    let pending = write(stack, 0, &buffer).send();
    assert!(!pending.is_done());
    stack.remove().expect("nobody objects");
    pending.wait();
}

#[test]
fn p24_the_right_filter_waits_in_its_cleanup_callback() {
    Right::world()
        .run(removed_with_a_request_below)
        .unwrap_or_else(|stop| panic!("{stop}"));
}

/// 24: frees in `EvtDeviceReleaseHardware`, which runs while requests are below.
struct FreesInReleaseHardware;

impl Filter for FreesInReleaseHardware {
    unsafe fn release_hardware(device: *mut Device) {
        // SAFETY: the context of a live device, but for the IRP, which is below.
        unsafe { ntddk::IoFreeIrp((*device).child) };
    }

    unsafe fn cleanup(_: *mut Device) {}
}

#[test]
fn p24_memory_is_freed_in_release_hardware() {
    let stop = stopped(FreesInReleaseHardware::world().run(removed_with_a_request_below));
    let code = codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION;
    assert_stop(
        &stop,
        code,
        0x20B,
        &["IoFreeIrp", "EvtDeviceReleaseHardware"],
    );
}

/// 24: guards its I/O path with a framework object, which goes before the requests do.
struct LocksWithAnObject;

impl Filter for LocksWithAnObject {
    unsafe fn child_is_back(device: *mut Device) {
        // SAFETY: the context of the device, but for the lock, which may be destroyed.
        unsafe {
            wdf::WdfSpinLockAcquire((*device).lock);
            wdf::WdfSpinLockRelease((*device).lock);
        }
    }

    unsafe fn cleanup(_: *mut Device) {}
}

#[test]
fn p24_a_framework_lock_in_the_io_path() {
    let stop = stopped(LocksWithAnObject::world().run(removed_with_a_request_below));
    assert_stop(&stop, codes::WDF_VIOLATION, 5, &["WdfSpinLockAcquire"]);
}

/// 24: does not ask for the remove lock around I/O; the class sends a retry after REMOVE.
struct DoesNotLock;

impl Filter for DoesNotLock {
    const ACQUIRE_FOR_IO: bool = false;
}

/// A class driver that sends a request when REMOVE has come back from below.
fn late_retry(stack: &Stack) {
    stack.when_removed(|stack| {
        let buffer = pieces(stack, 1);
        write(stack, 0, &buffer).send().wait();
    });
}

#[test]
fn p24_a_late_request_reaches_a_destroyed_device() {
    let Err(stop) = DoesNotLock::world().class_above().run(late_retry) else {
        panic!("nobody stopped the wrong driver")
    };
    assert_code(
        &stop,
        codes::PAGE_FAULT_IN_NONPAGED_AREA,
        &["WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO"],
    );
    Right::world()
        .class_above()
        .run(late_retry)
        .unwrap_or_else(|stop| panic!("{stop}"));
}

/// Waits for I/O on the way to D0, while the class has locked the port's queue.
struct AsksInD0Entry;

impl Filter for AsksInD0Entry {
    unsafe fn d0_entry(device: *mut Device) {
        let mut query = [0_u8; 12];
        let mut input = WDF_MEMORY_DESCRIPTOR {
            Type: _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeBuffer,
            ..WDF_MEMORY_DESCRIPTOR::default()
        };
        input.u.BufferType.Buffer = (&raw mut query).cast();
        input.u.BufferType.Length = 12;
        // SAFETY: PASSIVE_LEVEL and a live device, but in a power callback.
        unsafe {
            let target = wdf::WdfDeviceGetIoTarget((*device).handle);
            wdf::WdfIoTargetSendIoctlSynchronously(
                target,
                ptr::null_mut(),
                0x002D_1400,
                &raw mut input,
                &raw mut input,
                ptr::null_mut(),
                ptr::null_mut(),
            );
        }
    }
}

#[test]
fn p24_io_in_d0_entry() {
    let hba = slow_adapter();
    let stop = stopped(AsksInD0Entry::world().hba(hba).run(|_| ()));
    assert_code(&stop, 0x9F, &["EvtDeviceD0Entry"]);
}

/// Waits for anything else on the way to D0.
struct WaitsInD0Entry;

impl Filter for WaitsInD0Entry {
    unsafe fn d0_entry(device: *mut Device) {
        // SAFETY: the event of a live device.
        unsafe { wait(&raw mut (*device).idle) };
    }
}

#[test]
fn p24_a_wait_in_d0_entry() {
    let stop = stopped(WaitsInD0Entry::world().run(|_| ()));
    assert_code(&stop, 0x9F, &["EvtDeviceD0Entry"]);
}

/// Uses an object that it has deleted.
struct UsesADeletedObject;

impl Filter for UsesADeletedObject {
    unsafe fn d0_entry(device: *mut Device) {
        // SAFETY: a live device, but for the lock.
        unsafe {
            wdf::WdfObjectDelete((*device).lock.cast());
            wdf::WdfSpinLockAcquire((*device).lock);
        }
    }
}

#[test]
fn p24_a_handle_after_its_object() {
    let stop = stopped(UsesADeletedObject::world().run(|_| ()));
    assert_stop(&stop, codes::WDF_VIOLATION, 5, &["WdfSpinLockAcquire"]);
}

/// Calls a function that the version it is bound to does not have.
#[cfg(all(target_arch = "x86_64", not(miri)))]
struct CallsTheFuture;

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Filter for CallsTheFuture {
    unsafe fn d0_entry(_: *mut Device) {
        let table = ntsim::wdf::table::TABLE.base();
        // SAFETY: the places behind the table are readable and hold functions that stop.
        unsafe {
            let function = table.add(444).read();
            let function: unsafe extern "win64" fn(PVOID) = core::mem::transmute(function);
            function(ptr::null_mut());
        }
    }
}

#[test]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn p24_a_function_of_a_later_framework() {
    let stop = stopped(CallsTheFuture::world().run(|_| ()));
    assert_stop(&stop, codes::WDF_VIOLATION, 0x10, &["444"]);
}
