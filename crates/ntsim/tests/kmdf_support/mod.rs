//! A bus driver and a framework filter that write down what happens to them.
//!
//! The bus driver owns the physical device at the bottom of a stack; the filter sits above it and
//! has every PnP and power callback. Both write into one trace, and a [`Plan`] says what they shall
//! do wrong. Trace and plan belong to the machine, so that tests can run side by side.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this module"
)]

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard};

use ntsim::abi::*;
use ntsim::machine::{BugCheck, Clock, Config, Machine, Owner};
use ntsim::pnp::{Devnode, Driver};
use ntsim::wdf::functions::*;
use ntsim::{io, ntddk};

/// What the drivers of a test do, where they do not simply succeed.
#[derive(Clone)]
pub struct Plan {
    /// The device opts into the remove lock for I/O.
    pub opt_in: bool,
    /// Major functions that the filter preprocesses.
    pub preprocess: Vec<u32>,
    /// What `EvtDriverDeviceAdd` returns, before or after it has made a device.
    pub add: (NTSTATUS, bool),
    /// What `EvtDevicePrepareHardware` returns.
    pub prepare: NTSTATUS,
    /// What `EvtDeviceD0Entry` returns.
    pub d0_entry: NTSTATUS,
    /// `EvtDeviceD0Entry` sends a request to the device below.
    pub d0_entry_sends: bool,
    /// What `EvtDeviceQueryRemove` and `EvtDeviceQueryStop` return.
    pub query: NTSTATUS,
    /// What `EvtDeviceUsageNotificationEx` returns.
    pub usage: NTSTATUS,
    /// What `DriverEntry` returns after `WdfDriverCreate`.
    pub entry: NTSTATUS,
    /// The bus driver keeps I/O requests instead of completing them.
    pub hold: bool,
    /// What the bus driver answers to `START_DEVICE`.
    pub bus_start: NTSTATUS,
    /// Whether the device is a filter.
    pub filter: bool,
    /// Runs in `EvtDevicePrepareHardware`.
    pub in_prepare: Option<fn(WDFDEVICE)>,
    /// Runs in the device's `EvtCleanupCallback`.
    pub in_cleanup: Option<fn(WDFDEVICE)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            opt_in: true,
            preprocess: vec![IRP_MJ_READ],
            add: (STATUS_SUCCESS, true),
            prepare: STATUS_SUCCESS,
            d0_entry: STATUS_SUCCESS,
            d0_entry_sends: false,
            query: STATUS_SUCCESS,
            usage: STATUS_SUCCESS,
            entry: STATUS_SUCCESS,
            hold: false,
            bus_start: STATUS_SUCCESS,
            filter: true,
            in_prepare: None,
            in_cleanup: None,
        }
    }
}

/// A pointer of the test's own.
#[derive(Clone, Copy)]
pub struct Kept<T>(pub *mut T);
// SAFETY: tests run one NT thread at a time.
unsafe impl<T> Send for Kept<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Kept<T> {}

/// What a test keeps for its machine.
#[derive(Default)]
pub struct Stage {
    plan: Mutex<Plan>,
    trace: Mutex<Vec<String>>,
    held: Mutex<Vec<Kept<IRP>>>,
    device: Mutex<Option<Kept<WDFDEVICE__>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a test panicked")
}

/// The stage of the machine that runs.
pub fn stage() -> Arc<Stage> {
    Machine::current().extension::<Stage>()
}

/// Writes a line into the trace.
pub fn note(line: impl Into<String>) {
    lock(&stage().trace).push(line.into());
}

/// Takes the trace so far.
pub fn trace() -> Vec<String> {
    std::mem::take(&mut *lock(&stage().trace))
}

/// What the drivers shall do.
pub fn plan() -> Plan {
    lock(&stage().plan).clone()
}

/// Changes what the drivers shall do.
pub fn change(work: impl FnOnce(&mut Plan)) {
    work(&mut lock(&stage().plan));
}

/// The filter's device, as long as it has one.
pub fn filter_device() -> WDFDEVICE {
    lock(&stage().device).map_or(ptr::null_mut(), |kept| kept.0)
}

/// A request that the bus driver holds.
pub fn take_held() -> PIRP {
    let irp = lock(&stage().held).remove(0).0;
    // SAFETY: the bus driver holds the request and nobody cancels it at this moment.
    unsafe { (*irp).CancelRoutine = None };
    irp
}

unsafe extern "C" fn cancel_held(_device: PDEVICE_OBJECT, irp: PIRP) {
    lock(&stage().held).retain(|kept| kept.0 != irp);
    // SAFETY: a cancel routine runs with the cancel lock held and the request in its hands.
    unsafe {
        ntddk::IoReleaseCancelSpinLock((*irp).CancelIrql);
        finish(irp, STATUS_CANCELLED);
    }
}

/// Runs a test as an NT thread of a machine of its own.
pub fn on_machine<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, BugCheck> {
    on_clock(Clock::Deterministic { seed: 1 }, work)
}

/// Runs a test on a machine with a certain clock.
pub fn on_clock<T: Send>(clock: Clock, work: impl FnOnce() -> T + Send) -> Result<T, BugCheck> {
    let config = Config {
        clock,
        ..Config::default()
    };
    Machine::new(config).run(work)
}

/// Runs a test that must stop with a bug check.
pub fn stops(work: impl FnOnce() + Send) -> BugCheck {
    on_machine(work).expect_err("the machine should have stopped")
}

// ---- the bus driver ----

/// The size of the bus driver's device extension does not matter; it has none.
pub fn make_pdo() -> PDEVICE_OBJECT {
    let bus = io::create_driver("testbus", Owner::Port);
    // SAFETY: a fresh driver object.
    unsafe {
        for major in &mut (*bus).MajorFunction {
            *major = Some(bus_dispatch);
        }
        let pdo = io::create_device(bus, 0, FILE_DEVICE_DISK);
        (*pdo).Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
        (*pdo).Characteristics = 0x101;
        (*pdo).AlignmentRequirement = 3;
        (*pdo).Flags &= !DO_DEVICE_INITIALIZING;
        pdo
    }
}

/// What the functions of a request are called.
pub fn name(major: u32, minor: u32) -> String {
    let pnp = match (major, minor) {
        (IRP_MJ_PNP, IRP_MN_START_DEVICE) => "START",
        (IRP_MJ_PNP, IRP_MN_QUERY_REMOVE_DEVICE) => "QUERY_REMOVE",
        (IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE) => "REMOVE",
        (IRP_MJ_PNP, IRP_MN_CANCEL_REMOVE_DEVICE) => "CANCEL_REMOVE",
        (IRP_MJ_PNP, IRP_MN_STOP_DEVICE) => "STOP",
        (IRP_MJ_PNP, IRP_MN_QUERY_STOP_DEVICE) => "QUERY_STOP",
        (IRP_MJ_PNP, IRP_MN_CANCEL_STOP_DEVICE) => "CANCEL_STOP",
        (IRP_MJ_PNP, IRP_MN_QUERY_CAPABILITIES) => "CAPABILITIES",
        (IRP_MJ_PNP, IRP_MN_SURPRISE_REMOVAL) => "SURPRISE_REMOVAL",
        (IRP_MJ_PNP, IRP_MN_DEVICE_USAGE_NOTIFICATION) => "USAGE",
        (IRP_MJ_POWER, IRP_MN_SET_POWER) => "SET_POWER",
        (IRP_MJ_READ, _) => "READ",
        (IRP_MJ_WRITE, _) => "WRITE",
        (IRP_MJ_DEVICE_CONTROL, _) => "IOCTL",
        (IRP_MJ_INTERNAL_DEVICE_CONTROL, _) => "SCSI",
        _ => return format!("{major}/{minor}"),
    };
    pnp.to_owned()
}

/// The current stack location of a request.
///
/// # Safety
///
/// The request is alive.
pub unsafe fn location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller vouches for the request.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

unsafe extern "C" fn bus_dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a request for this device.
    unsafe {
        let at = location(irp);
        let (major, minor) = (
            u32::from((*at).MajorFunction),
            u32::from((*at).MinorFunction),
        );
        let what = name(major, minor);
        if what == "CAPABILITIES" {
            let capabilities = (*at).Parameters.DeviceCapabilities.Capabilities;
            (*capabilities)._bitfield_1.set(8, 1, 1);
        } else {
            note(format!("bus: {what}{}", detail(major, minor, at)));
        }
        let plan = plan();
        let is_io = !matches!(major, IRP_MJ_PNP | IRP_MJ_POWER);
        if is_io && plan.hold {
            (*at).Control |= SL_PENDING_RETURNED as u8;
            (*irp).CancelRoutine = Some(cancel_held);
            lock(&stage().held).push(Kept(irp));
            return STATUS_PENDING;
        }
        let status = if what == "START" {
            plan.bus_start
        } else {
            STATUS_SUCCESS
        };
        finish(irp, status);
        status
    }
}

unsafe fn detail(major: u32, minor: u32, at: PIO_STACK_LOCATION) -> String {
    // SAFETY: the caller's location is current, and the functions say what it holds.
    unsafe {
        match (major, minor) {
            (IRP_MJ_PNP, IRP_MN_DEVICE_USAGE_NOTIFICATION) => {
                let usage = &raw const (*at).Parameters.UsageNotification;
                format!(" {} {}", (*usage).Type, (*usage).InPath)
            }
            (IRP_MJ_POWER, IRP_MN_SET_POWER) => {
                format!(" D{}", (*at).Parameters.Power.State.DeviceState - 1)
            }
            _ => String::new(),
        }
    }
}

/// Completes a request.
///
/// # Safety
///
/// The request is in the caller's hands.
pub unsafe fn finish(irp: PIRP, status: NTSTATUS) {
    // SAFETY: the caller vouches for the request.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        io::complete_request(irp, 0);
    }
}

// ---- the filter ----

/// What the filter keeps with its device.
#[repr(C)]
pub struct Context {
    pub seen: u32,
}

struct TypeInfo(WDF_OBJECT_CONTEXT_TYPE_INFO);
// SAFETY: the pointers in it point to constants.
unsafe impl Sync for TypeInfo {}

static CONTEXT_TYPE: TypeInfo = TypeInfo(WDF_OBJECT_CONTEXT_TYPE_INFO {
    Size: size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>() as u32,
    ContextName: c"Context".as_ptr().cast_mut(),
    ContextSize: size_of::<Context>(),
    UniqueType: &raw const CONTEXT_TYPE.0,
    EvtDriverGetUniqueContextType: None,
});

/// The type of the filter's device context.
pub fn context_type() -> PCWDF_OBJECT_CONTEXT_TYPE_INFO {
    &raw const CONTEXT_TYPE.0
}

/// The filter's device context.
pub fn context(device: WDFDEVICE) -> *mut Context {
    // SAFETY: a context type that lives for ever; the handle is checked.
    unsafe { WdfObjectGetTypedContextWorker(device.cast(), context_type()).cast() }
}

/// `WDF_OBJECT_ATTRIBUTES_INIT`
pub fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as u32,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// The filter under the name `filter`.
pub fn filter() -> Driver {
    Driver::linked("filter", driver_entry)
}

/// The filter's `DriverEntry`.
///
/// # Safety
///
/// As [DRIVER_INITIALIZE] says.
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    path: PCUNICODE_STRING,
) -> NTSTATUS {
    note("DriverEntry");
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as u32,
        EvtDriverDeviceAdd: Some(device_add),
        EvtDriverUnload: Some(driver_unload),
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut attributes = attributes();
    attributes.EvtCleanupCallback = Some(driver_cleanup);
    attributes.EvtDestroyCallback = Some(driver_destroy);
    // SAFETY: pointers to locals and to what the kernel passed.
    let status = unsafe {
        WdfDriverCreate(
            driver,
            path,
            &raw mut attributes,
            &raw mut config,
            ptr::null_mut(),
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    plan().entry
}

unsafe extern "C" fn driver_unload(_driver: WDFDRIVER) {
    note("EvtDriverUnload");
}

unsafe extern "C" fn driver_cleanup(_driver: WDFOBJECT) {
    note("driver: EvtCleanup");
}

unsafe extern "C" fn driver_destroy(_driver: WDFOBJECT) {
    note("driver: EvtDestroy");
}

unsafe extern "C" fn device_add(_driver: WDFDRIVER, mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    note("EvtDriverDeviceAdd");
    let plan = plan();
    let (status, makes_device) = plan.add;
    // SAFETY: the init is the one that the framework passed; structures are locals.
    unsafe {
        if plan.filter {
            WdfFdoInitSetFilter(init);
        }
        if !makes_device {
            return status;
        }
        let mut callbacks = callbacks();
        WdfDeviceInitSetPnpPowerEventCallbacks(init, &raw mut callbacks);
        if plan.opt_in {
            let mut options = WDF_REMOVE_LOCK_OPTIONS {
                Size: size_of::<WDF_REMOVE_LOCK_OPTIONS>() as u32,
                Flags: 1,
            };
            WdfDeviceInitSetRemoveLockOptions(init, &raw mut options);
        }
        for major in plan.preprocess {
            let status = WdfDeviceInitAssignWdmIrpPreprocessCallback(
                init,
                Some(preprocess),
                major as u8,
                ptr::null_mut(),
                0,
            );
            assert_eq!(status, STATUS_SUCCESS);
        }
        let mut attributes = attributes();
        attributes.ContextTypeInfo = context_type();
        attributes.EvtCleanupCallback = Some(device_cleanup);
        attributes.EvtDestroyCallback = Some(device_destroy);
        let mut device = ptr::null_mut();
        let made = WdfDeviceCreate(&raw mut init, &raw mut attributes, &raw mut device);
        assert_eq!(made, STATUS_SUCCESS);
        assert!(init.is_null(), "WdfDeviceCreate takes the init away");
        *lock(&stage().device) = Some(Kept(device));
        (*context(device)).seen = 7;
        make_child(device);
    }
    status
}

fn callbacks() -> WDF_PNPPOWER_EVENT_CALLBACKS {
    WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() as u32,
        EvtDeviceD0Entry: Some(d0_entry),
        EvtDeviceD0Exit: Some(d0_exit),
        EvtDevicePrepareHardware: Some(prepare_hardware),
        EvtDeviceReleaseHardware: Some(release_hardware),
        EvtDeviceSelfManagedIoInit: Some(io_init),
        EvtDeviceSelfManagedIoSuspend: Some(io_suspend),
        EvtDeviceSelfManagedIoRestart: Some(io_restart),
        EvtDeviceSelfManagedIoFlush: Some(io_flush),
        EvtDeviceSelfManagedIoCleanup: Some(io_cleanup),
        EvtDeviceSurpriseRemoval: Some(surprise_removal),
        EvtDeviceQueryRemove: Some(query_remove),
        EvtDeviceQueryStop: Some(query_stop),
        EvtDeviceUsageNotificationEx: Some(usage_notification),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    }
}

/// A child of the device, so that its end is seen in the trace.
fn make_child(device: WDFDEVICE) {
    let mut attributes = attributes();
    attributes.ParentObject = device.cast();
    attributes.EvtCleanupCallback = Some(child_cleanup);
    attributes.EvtDestroyCallback = Some(child_destroy);
    let mut child = ptr::null_mut();
    // SAFETY: pointers to locals.
    let status = unsafe { WdfObjectCreate(&raw mut attributes, &raw mut child) };
    assert_eq!(status, STATUS_SUCCESS);
}

unsafe extern "C" fn child_cleanup(_child: WDFOBJECT) {
    note("child: EvtCleanup");
}

unsafe extern "C" fn child_destroy(_child: WDFOBJECT) {
    note("child: EvtDestroy");
}

unsafe extern "C" fn device_cleanup(device: WDFOBJECT) {
    note("device: EvtCleanup");
    if let Some(work) = plan().in_cleanup {
        work(device.cast());
    }
}

unsafe extern "C" fn device_destroy(device: WDFOBJECT) {
    // SAFETY: the context is there until this callback returns.
    let seen = unsafe { (*context(device.cast())).seen };
    assert_eq!(seen, 7);
    note("device: EvtDestroy");
    *lock(&stage().device) = None;
}

unsafe extern "C" fn preprocess(device: WDFDEVICE, irp: PIRP) -> NTSTATUS {
    // SAFETY: the framework passes a device of this driver and a request for it.
    unsafe {
        let at = location(irp);
        note(format!(
            "preprocess {}",
            name((*at).MajorFunction.into(), 0)
        ));
        assert_eq!((*context(device)).seen, 7);
        (*irp).CurrentLocation += 1;
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = at.add(1);
        ntddk::IofCallDriver(WdfDeviceWdmGetAttachedDevice(device), irp)
    }
}

unsafe extern "C" fn prepare_hardware(
    device: WDFDEVICE,
    _raw: WDFCMRESLIST,
    translated: WDFCMRESLIST,
) -> NTSTATUS {
    note("EvtDevicePrepareHardware");
    // SAFETY: the handle is checked.
    assert_eq!(unsafe { WdfCmResourceListGetCount(translated) }, 0);
    if let Some(work) = plan().in_prepare {
        work(device);
    }
    plan().prepare
}

unsafe extern "C" fn release_hardware(_device: WDFDEVICE, _resources: WDFCMRESLIST) -> NTSTATUS {
    note("EvtDeviceReleaseHardware");
    STATUS_SUCCESS
}

unsafe extern "C" fn d0_entry(device: WDFDEVICE, from: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    note(format!("EvtDeviceD0Entry from {from}"));
    if plan().d0_entry_sends {
        send_ioctl(device, ptr::null_mut());
    }
    plan().d0_entry
}

unsafe extern "C" fn d0_exit(_device: WDFDEVICE, to: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    note(format!("EvtDeviceD0Exit to {to}"));
    STATUS_SUCCESS
}

unsafe extern "C" fn io_init(_device: WDFDEVICE) -> NTSTATUS {
    note("EvtDeviceSelfManagedIoInit");
    STATUS_SUCCESS
}

unsafe extern "C" fn io_suspend(_device: WDFDEVICE) -> NTSTATUS {
    note("EvtDeviceSelfManagedIoSuspend");
    STATUS_SUCCESS
}

unsafe extern "C" fn io_restart(_device: WDFDEVICE) -> NTSTATUS {
    note("EvtDeviceSelfManagedIoRestart");
    STATUS_SUCCESS
}

unsafe extern "C" fn io_flush(_device: WDFDEVICE) {
    note("EvtDeviceSelfManagedIoFlush");
}

unsafe extern "C" fn io_cleanup(_device: WDFDEVICE) {
    note("EvtDeviceSelfManagedIoCleanup");
}

unsafe extern "C" fn surprise_removal(_device: WDFDEVICE) {
    note("EvtDeviceSurpriseRemoval");
}

unsafe extern "C" fn query_remove(_device: WDFDEVICE) -> NTSTATUS {
    note("EvtDeviceQueryRemove");
    plan().query
}

unsafe extern "C" fn query_stop(_device: WDFDEVICE) -> NTSTATUS {
    note("EvtDeviceQueryStop");
    plan().query
}

unsafe extern "C" fn usage_notification(
    _device: WDFDEVICE,
    kind: WDF_SPECIAL_FILE_TYPE,
    in_path: BOOLEAN,
) -> NTSTATUS {
    note(format!("EvtDeviceUsageNotificationEx {kind} {in_path}"));
    plan().usage
}

/// `CTL_CODE(FILE_DEVICE_DISK, 1, METHOD_BUFFERED, FILE_ANY_ACCESS)`
pub const TEST_IOCTL: u32 = 7 << 16 | 1 << 2;

/// Sends a device control request to the device below the filter.
pub fn send_ioctl(device: WDFDEVICE, options: PWDF_REQUEST_SEND_OPTIONS) -> NTSTATUS {
    // SAFETY: handles are checked; NULL descriptors are allowed.
    unsafe {
        WdfIoTargetSendIoctlSynchronously(
            WdfDeviceGetIoTarget(device),
            ptr::null_mut(),
            TEST_IOCTL,
            ptr::null_mut(),
            ptr::null_mut(),
            options,
            ptr::null_mut(),
        )
    }
}

// ---- requests from above ----

/// A devnode of the bus device and the filter.
pub fn devnode() -> (Devnode, Driver) {
    let driver = filter();
    let node = Devnode::builder(make_pdo())
        .lower(&driver)
        .add()
        .expect("the filter's AddDevice succeeds");
    (node, driver)
}

/// Makes a read request for the top of a stack. It comes back through [`came_back`].
pub fn make_read(top: PDEVICE_OBJECT) -> PIRP {
    make_request(top, IRP_MJ_READ)
}

/// Makes a request for the top of a stack.
pub fn make_request(top: PDEVICE_OBJECT, major: u32) -> PIRP {
    // SAFETY: a fresh request with locations for the whole stack.
    unsafe {
        let irp = io::allocate_irp(Owner::Harness, (*top).StackSize);
        let next = location(irp).sub(1);
        (*next).MajorFunction = major as u8;
        (*next).CompletionRoutine = Some(came_back);
        (*next).Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
        irp
    }
}

unsafe extern "C" fn came_back(
    _device: PDEVICE_OBJECT,
    irp: PIRP,
    _context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the request is on its way to its sender.
    let status = unsafe { (*irp).IoStatus.__bindgen_anon_1.Status };
    note(format!("completed {status:#010x}"));
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends a request.
pub fn send(top: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: made for this stack.
    unsafe { io::call_driver(top, irp) }
}

/// Frees a request that has come back.
pub fn free(irp: PIRP) {
    // SAFETY: it has come back.
    unsafe { io::free_irp(irp) };
}
