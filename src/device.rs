//! One disk's filter device: made in `EvtDriverDeviceAdd`, put to work at start, taken down last.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

use wdk_sys::{
    _WDF_REMOVE_LOCK_OPTIONS_FLAGS, IRP_MJ_READ, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT,
    PWDFDEVICE_INIT, STATUS_SUCCESS, WDF_PNPPOWER_EVENT_CALLBACKS, WDF_REMOVE_LOCK_OPTIONS,
    WDFCMRESLIST, WDFDEVICE, WDFDRIVER, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use crate::{
    counters::Counters,
    dispatch, settings,
    split::{self, Engine, Pooled},
    start::{self, Unsuitable},
    wdf::{self, ContextType},
    wdm::{irp, rundown::Rundown, succeeded},
};

/// The framework's context of the device. It is complete before `EvtDriverDeviceAdd` returns, for
/// the first request arrives right after it: disk.sys claims the unit in its own AddDevice.
pub(crate) struct Device {
    /// The framework's handle. For PnP callbacks only: the I/O path touches no framework object.
    pub(crate) handle: WDFDEVICE,
    /// The device that ours is attached to.
    pub(crate) lower: PDEVICE_OBJECT,
    /// Who is inside: one reference per request that the engine has accepted.
    pub(crate) rundown: Rundown,
    /// What has been done.
    pub(crate) counters: Counters,
    /// Null until the device has started for the first time: until then everything passes through.
    engine: AtomicPtr<Engine>,
    /// `StackSize` of the lower device when ours was attached to it.
    stack_size: i8,
}

static CONTEXT: ContextType = ContextType::of::<Device>(c"xfersplit::Device", &CONTEXT);

impl Device {
    /// The context of one of our devices.
    ///
    /// # Safety
    /// `device` is a live device that [`add`] has made; the reference ends with the object.
    pub(crate) unsafe fn of<'a>(device: WDFDEVICE) -> &'a Self {
        // SAFETY: the caller's contract: made with this context type.
        let place = unsafe { wdf::context::<Self>(device.cast(), &CONTEXT) };
        // SAFETY: initialised in `add`, before the device could be seen.
        unsafe { &*place }
    }

    /// The engine, if the device has started and can be worked with. The caller holds a rundown
    /// reference for as long as it uses the engine.
    pub(crate) fn engine(&self) -> Option<Pooled<Engine>> {
        let engine = NonNull::new(self.engine.load(Ordering::Acquire))?;
        // SAFETY: stored in `prepare_hardware`, and taken out only after the rundown.
        Some(unsafe { Pooled::from_non_null(engine) })
    }

    /// Stack locations of our IRPs: some stacks grow while they start, so one more than ever seen.
    fn stack_size_for_pieces(&self) -> i8 {
        // SAFETY: we are attached to the lower device, which keeps it.
        let now = unsafe { irp::stack_size(self.lower) };
        self.stack_size.max(now).saturating_add(1)
    }
}

/// `EvtDriverDeviceAdd`. PASSIVE_LEVEL.
///
/// # Safety
/// The framework's own handles.
pub(crate) unsafe fn add(_driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut init = init;
    // SAFETY: `init` is the framework's, not used up yet. The same for the calls that follow.
    unsafe { call_unsafe_wdf_function_binding!(WdfFdoInitSetFilter, init) };
    let mut lock = WDF_REMOVE_LOCK_OPTIONS {
        Size: wdf::size::<WDF_REMOVE_LOCK_OPTIONS>(),
        // The class driver forwards REMOVE before it has drained its own requests, so late ones
        // reach our device object while the framework is taking the device apart.
        Flags: _WDF_REMOVE_LOCK_OPTIONS_FLAGS::WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO as u32,
    };
    // SAFETY: as above.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetRemoveLockOptions, init, &raw mut lock);
    };
    let mut callbacks = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: wdf::size::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
        EvtDevicePrepareHardware: Some(evt_prepare_hardware),
        EvtDeviceSurpriseRemoval: Some(evt_surprise_removal),
        ..Default::default()
    };
    // SAFETY: as above.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetPnpPowerEventCallbacks,
            init,
            &raw mut callbacks
        );
    };
    for major in [IRP_MJ_READ, IRP_MJ_WRITE] {
        // Preprocessing, not a queue: a queue would allocate a request object for every IRP, and
        // fail the IRP where it can't (KMDF fxpkgio.cpp).
        // SAFETY: as above; no minor functions are named, so all of them are meant.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitAssignWdmIrpPreprocessCallback,
                init,
                Some(dispatch::dispatch_read_write),
                major as u8,
                ptr::null_mut(),
                0
            )
        };
        if !succeeded(status) {
            return status;
        }
    }
    let mut attributes = wdf::attributes(&CONTEXT, Some(evt_cleanup));
    let mut handle: WDFDEVICE = ptr::null_mut();
    // SAFETY: as above; on success the framework takes `init`.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut init,
            &raw mut attributes,
            &raw mut handle
        )
    };
    if succeeded(status) {
        // SAFETY: just made, with our context.
        unsafe { initialise(handle) };
    }
    status
}

/// # Safety
/// `handle` was just made with our context, and no request has been seen.
unsafe fn initialise(handle: WDFDEVICE) {
    // SAFETY: the caller's contract.
    let lower = unsafe { wdf::attached_device(handle) };
    // SAFETY: we are attached to it.
    let stack_size = unsafe { irp::stack_size(lower) };
    // SAFETY: the caller's contract.
    let place = unsafe { wdf::context::<Device>(handle.cast(), &CONTEXT) };
    let device = Device {
        handle,
        lower,
        rundown: Rundown::default(),
        counters: Counters::default(),
        engine: AtomicPtr::new(ptr::null_mut()),
        stack_size,
    };
    // SAFETY: the framework made the context large and aligned enough for this type.
    unsafe { place.write(device) };
    // SAFETY: just written.
    let device = unsafe { &*place };
    // SAFETY: contexts do not move.
    unsafe { device.rundown.initialise() };
}

/// The lower device has started. Always succeeds: a filter that fails here fails the disk.
unsafe extern "C" fn evt_prepare_hardware(
    device: WDFDEVICE,
    _raw: WDFCMRESLIST,
    _translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    // After the first start limits and pools stay: pieces may wait in the port's queue over a stop.
    if device.engine().is_none()
        && let Err(reason) = first_start(device)
    {
        wdk::println!("xfersplit: passing everything through: {reason}");
    }
    STATUS_SUCCESS
}

fn first_start(device: &Device) -> Result<(), Unsuitable> {
    let settings = settings::read(device.handle);
    let stack_size = device.stack_size_for_pieces();
    // SAFETY: this is the device's EvtDevicePrepareHardware.
    let config = unsafe { start::configure(device.handle, &settings, stack_size) }?;
    let Device {
        rundown,
        counters,
        lower,
        ..
    } = device;
    // SAFETY: the context outlives the engine, which `evt_cleanup` takes apart.
    let engine = unsafe { split::build(rundown, counters, *lower, config) };
    let engine = engine.ok_or(Unsuitable::Memory)?;
    device
        .engine
        .store(engine.as_non_null().as_ptr(), Ordering::Release);
    Ok(())
}

/// The device has gone. The framework tells the drivers below only after this returns.
unsafe extern "C" fn evt_surprise_removal(device: WDFDEVICE) {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    if let Some(engine) = device.engine() {
        split::surprise_removal(engine);
    }
}

/// The device object is about to go: the only place that waits. It runs on every way out, failed
/// starts included. PASSIVE_LEVEL.
unsafe extern "C" fn evt_cleanup(object: WDFOBJECT) {
    // SAFETY: registered for our devices only, and called before the context is freed.
    let place = unsafe { wdf::context::<Device>(object, &CONTEXT) };
    // SAFETY: as above.
    let device = unsafe { &*place };
    if device.handle.is_null() {
        // The context is zeroed memory until `initialise` has run: WdfDeviceCreate failed half-way.
        return;
    }
    device.rundown.close_and_wait();
    let engine = device.engine.swap(ptr::null_mut(), Ordering::AcqRel);
    if let Some(engine) = NonNull::new(engine) {
        // SAFETY: stored in `first_start`.
        let engine = unsafe { Pooled::from_non_null(engine) };
        // SAFETY: the rundown is over, so nobody else has it.
        unsafe { split::dismantle(engine) };
    }
    wdk::println!("xfersplit: done: {}", device.counters);
}
