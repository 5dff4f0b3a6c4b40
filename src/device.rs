//! One disk's filter device: made in `EvtDriverDeviceAdd`, put to work at start, taken down last.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
};

use wdk_sys::{
    BOOLEAN, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_SCSI, IRP_MJ_WRITE, NTSTATUS,
    PDEVICE_OBJECT, PWDFDEVICE_INIT, STATUS_SUCCESS, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDF_SPECIAL_FILE_TYPE, WDFCMRESLIST, WDFDEVICE, WDFDRIVER, WDFOBJECT,
    call_unsafe_wdf_function_binding,
};

use xfersplit_core::{advertise::Advertised, settings::Settings};

use crate::{
    counters::Counters,
    dispatch::dispatch_read_write,
    paired::{self, Paired},
    pooled::Pooled,
    property::dispatch_device_control,
    settings,
    split::{self, Engine},
    start::{self, Report, Unsuitable},
    wdf::{self, ContextType, device::DeviceInit},
    wdm::{irp, rundown::Rundown},
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
    /// What the port driver tells, where it is a paired one.
    pub(crate) paired: Paired,
    /// Null until the device has started for the first time: until then everything passes through.
    engine: AtomicPtr<Engine>,
    /// What the stack above is told of the adapter (`Advertised::to_bits`), 0 for the adapter's own:
    /// set at start, before any class driver asks.
    advertised: AtomicU64,
    /// The disk carries files that the system can't do without: see [`evt_usage_notification`].
    special_file: AtomicBool,
    /// Whether such files make the device stand aside: said at start, when it is known what the stack
    /// above relies on.
    yields: AtomicBool,
    /// What the registry says.
    settings: Settings,
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

    /// What the stack above is told of the adapter: the same as long as the device lives, whoever
    /// asks again, and whether or not the device stands aside.
    pub(crate) fn advertised(&self) -> Option<Advertised> {
        let bits = self.advertised.load(Ordering::Acquire);
        (bits != 0).then(|| Advertised::from_bits(bits))
    }

    /// Whether requests go down as they come although there is an engine: for good, once a special
    /// file has been there.
    pub(crate) fn stands_aside(&self) -> bool {
        self.special_file.load(Ordering::Relaxed) && self.yields.load(Ordering::Relaxed)
    }

    fn note_stands_aside(&self) {
        if self.stands_aside() {
            wdk::println!("xfersplit: passing everything through: the disk carries a special file");
        }
    }

    /// Asks the port driver what it takes, where the settings say that it can be asked: at each start,
    /// for its resources may be others than before.
    fn ask_paired_port(&self) {
        if self.settings.paired_port && !self.settings.disabled {
            let stack_size = self.stack_size_for_pieces();
            // SAFETY: the context outlives what is asked: `evt_cleanup` closes, waits and dismantles.
            unsafe { paired::ask(&self.paired, &self.rundown, self.lower, stack_size) };
        }
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
    // SAFETY: the caller's contract.
    let mut init = unsafe { DeviceInit::new(init) };
    // SAFETY: the framework's, not used up yet.
    unsafe { call_unsafe_wdf_function_binding!(WdfFdoInitSetFilter, init.as_ptr()) };
    init.lock_for_io();
    init.pnp_power(WDF_PNPPOWER_EVENT_CALLBACKS {
        EvtDevicePrepareHardware: Some(evt_prepare_hardware),
        EvtDeviceSurpriseRemoval: Some(evt_surprise_removal),
        EvtDeviceUsageNotification: Some(evt_usage_notification),
        ..Default::default()
    });
    match create(init) {
        // SAFETY: just made, with our context.
        Ok(handle) => unsafe { initialise(handle) },
        Err(status) => return status,
    }
    STATUS_SUCCESS
}

fn create(mut init: DeviceInit) -> Result<WDFDEVICE, NTSTATUS> {
    for major in [IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_SCSI] {
        init.preprocess(major, dispatch_read_write)?;
    }
    init.preprocess(IRP_MJ_DEVICE_CONTROL, dispatch_device_control)?;
    init.create(&CONTEXT, Some(evt_cleanup))
}

/// # Safety
/// `handle` was just made with our context, and no request has been seen.
unsafe fn initialise(handle: WDFDEVICE) {
    // SAFETY: the caller's contract.
    let lower = unsafe { wdf::attached_device(handle) };
    // SAFETY: we are attached to it.
    let stack_size = unsafe { irp::stack_size(lower) };
    // SAFETY: the caller's contract; AddDevice runs at PASSIVE_LEVEL.
    let settings = unsafe { settings::read(handle) };
    if let Some(mask) = settings.alignment_mask {
        // SAFETY: the caller's contract, and we are attached to `lower`.
        unsafe { require_alignment(handle, lower, mask) };
    }
    // SAFETY: the caller's contract.
    let place = unsafe { wdf::context::<Device>(handle.cast(), &CONTEXT) };
    let device = Device {
        handle,
        lower,
        rundown: Rundown::default(),
        counters: Counters::default(),
        paired: Paired::default(),
        engine: AtomicPtr::new(ptr::null_mut()),
        advertised: AtomicU64::new(0),
        special_file: AtomicBool::new(false),
        yields: AtomicBool::new(false),
        settings,
        stack_size,
    };
    // SAFETY: the framework made the context large and aligned enough for this type.
    unsafe { place.write(device) };
    // SAFETY: just written.
    let device = unsafe { &*place };
    // SAFETY: contexts do not move.
    unsafe { device.rundown.initialise() };
}

/// Asks the stack above for buffers that are aligned more strictly: class drivers copy the alignment
/// requirement of the device below (disk.c). Cutting can't help there, for a piece is aligned no
/// better than its parent.
///
/// # Safety
/// `device` is a live framework device that is attached to `lower`.
unsafe fn require_alignment(device: WDFDEVICE, lower: PDEVICE_OBJECT, mask: u32) {
    // SAFETY: the caller's contract.
    let below = unsafe { (*lower).AlignmentRequirement };
    // SAFETY: the caller's contract.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceSetAlignmentRequirement,
            device,
            mask.max(below)
        );
    };
}

/// The lower device has started. Always succeeds: a filter that fails here fails the disk.
unsafe extern "C" fn evt_prepare_hardware(
    device: WDFDEVICE,
    _raw: WDFCMRESLIST,
    _translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    device.ask_paired_port();
    // After the first start limits and pools stay: pieces may wait in the port's queue over a stop.
    if device.engine().is_none() {
        let result = first_start(device);
        if let Err(reason) = &result {
            wdk::println!("xfersplit: passing everything through: {reason}");
        }
        // SAFETY: a live device, at PASSIVE_LEVEL.
        unsafe { start::write_effective_values(device.handle, &result) };
    }
    STATUS_SUCCESS
}

fn first_start(device: &Device) -> Result<Report, Unsuitable> {
    let stack_size = device.stack_size_for_pieces();
    // SAFETY: this is the device's EvtDevicePrepareHardware.
    let outcome = unsafe {
        start::configure(
            device.handle,
            &device.settings,
            device.paired.told(),
            stack_size,
        )
    }?;
    let start::Outcome {
        config,
        advertised,
        report,
    } = outcome;
    let yields = !device.settings.allow_boot_device && report.may_be_left_alone();
    let Device {
        rundown,
        counters,
        paired,
        lower,
        ..
    } = device;
    // SAFETY: the context outlives the engine, which `evt_cleanup` takes apart.
    let engine = unsafe { split::build(rundown, counters, paired, *lower, config) };
    let engine = engine.ok_or(Unsuitable::Memory)?;
    device
        .engine
        .store(engine.as_non_null().as_ptr(), Ordering::Release);
    device.yields.store(yields, Ordering::Relaxed);
    device.note_stands_aside();
    if let Some(told) = advertised {
        device.advertised.store(told.to_bits(), Ordering::Release);
    }
    Ok(report)
}

/// The disk is about to carry files that the system can't do without, or no longer does. A driver
/// that is being tried out has no business in front of the paging file: unless the settings allow it,
/// everything passes through from here on. PASSIVE_LEVEL, and possibly while the paging file's own
/// disk is busy: nothing is read, written or waited for.
unsafe extern "C" fn evt_usage_notification(
    device: WDFDEVICE,
    _file: WDF_SPECIAL_FILE_TYPE,
    in_path: BOOLEAN,
) {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(device) };
    if in_path != 0 && !device.special_file.swap(true, Ordering::Relaxed) {
        device.note_stands_aside();
    }
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
    paired::close(&device.paired);
    device.rundown.close_and_wait();
    // SAFETY: closed, and the rundown is over.
    unsafe { paired::dismantle(&device.paired) };
    let engine = device.engine.swap(ptr::null_mut(), Ordering::AcqRel);
    if let Some(engine) = NonNull::new(engine) {
        // SAFETY: stored in `first_start`.
        let engine = unsafe { Pooled::from_non_null(engine) };
        // SAFETY: the rundown is over, so nobody else has it.
        unsafe { split::dismantle(engine) };
    }
    wdk::println!("xfersplit: done: {}", device.counters);
}
