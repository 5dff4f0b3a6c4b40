//! The device: made in `EvtDriverDeviceAdd`, asked for its sectors at start, taken down last.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use wdk_sys::{
    _WDF_DEVICE_IO_TYPE, _WDF_REMOVE_LOCK_OPTIONS_FLAGS, IRP_MJ_READ, IRP_MJ_WRITE, NTSTATUS,
    PDEVICE_OBJECT, PWDFDEVICE_INIT, STATUS_SUCCESS, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDF_REMOVE_LOCK_OPTIONS, WDFCMRESLIST, WDFDEVICE, WDFOBJECT, call_unsafe_wdf_function_binding,
};
use xfersplit_wdm::{
    rundown::Rundown,
    succeeded,
    wdf::{self, ContextType},
};

use crate::{
    dispatch::dispatch_read_write,
    sector,
    settings::{self, Settings},
};

/// The framework's context of the device. Complete before `EvtDriverDeviceAdd` returns.
pub(crate) struct Device {
    /// The device that ours is attached to.
    pub(crate) lower: PDEVICE_OBJECT,
    /// Who is inside: one reference per request.
    pub(crate) rundown: Rundown,
    /// What the registry says.
    pub(crate) settings: Settings,
    /// Bytes of a sector, [`sector::USUAL`] until the device below has said otherwise.
    sector: AtomicU32,
    /// The device has gone or is about to: running requests stop after their portion.
    going: AtomicBool,
    /// `initialise` has run: until then the context is zeroed memory.
    complete: bool,
}

static CONTEXT: ContextType = ContextType::of::<Device>(c"highest::Device", &CONTEXT);

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

    /// Bytes of a sector.
    pub(crate) fn sector(&self) -> u32 {
        self.sector.load(Ordering::Relaxed)
    }

    /// Whether a running request shall stop where it is.
    pub(crate) fn is_going(&self) -> bool {
        self.going.load(Ordering::Relaxed)
    }

    fn go(&self) {
        self.going.store(true, Ordering::Relaxed);
    }
}

/// `EvtDriverDeviceAdd`. PASSIVE_LEVEL.
///
/// # Safety
/// The framework's own handle.
pub(crate) unsafe fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut init = init;
    // Neither DO_DIRECT_IO nor DO_BUFFERED_IO: the I/O manager locks and copies nothing, and a
    // user's buffer arrives as the bare address that it is (Irp->UserBuffer).
    // SAFETY: `init` is the framework's, not used up yet. The same for the calls that follow.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetIoType,
            init,
            _WDF_DEVICE_IO_TYPE::WdfDeviceIoNeither
        );
    };
    let mut lock = WDF_REMOVE_LOCK_OPTIONS {
        Size: wdf::size::<WDF_REMOVE_LOCK_OPTIONS>(),
        // The framework answers what comes after REMOVE, when there is no context left to ask.
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
        // Preprocessing, not a queue: a queue may hand a request over in another thread, and then
        // the user's addresses mean nothing any more.
        // SAFETY: as above; no minor functions are named, so all of them are meant.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitAssignWdmIrpPreprocessCallback,
                init,
                Some(dispatch_read_write),
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
/// `handle` was just made with our context, and no request has been seen. PASSIVE_LEVEL.
unsafe fn initialise(handle: WDFDEVICE) {
    // SAFETY: the caller's contract.
    let lower = unsafe { wdf::attached_device(handle) };
    // SAFETY: the caller's contract.
    let settings = unsafe { settings::read(handle) };
    // SAFETY: the caller's contract.
    let place = unsafe { wdf::context::<Device>(handle.cast(), &CONTEXT) };
    let device = Device {
        lower,
        rundown: Rundown::default(),
        settings,
        sector: AtomicU32::new(sector::USUAL),
        going: AtomicBool::new(false),
        complete: true,
    };
    // SAFETY: the framework made the context large and aligned enough for this type.
    unsafe { place.write(device) };
    // SAFETY: just written.
    let device = unsafe { &*place };
    // SAFETY: contexts do not move.
    unsafe { device.rundown.initialise() };
}

/// The lower device has started: from here on it can be asked.
unsafe extern "C" fn evt_prepare_hardware(
    handle: WDFDEVICE,
    _raw: WDFCMRESLIST,
    _translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework passes a live device of ours.
    let device = unsafe { Device::of(handle) };
    // SAFETY: as above; this is its EvtDevicePrepareHardware, at PASSIVE_LEVEL.
    let answer = unsafe { sector::ask(handle) };
    device
        .sector
        .store(answer.unwrap_or(sector::USUAL), Ordering::Relaxed);
    STATUS_SUCCESS
}

/// The device has gone. Nothing is waited for here: the drivers below hear of it only after this
/// returns, and what they hold comes back only then.
unsafe extern "C" fn evt_surprise_removal(handle: WDFDEVICE) {
    // SAFETY: the framework passes a live device of ours.
    unsafe { Device::of(handle) }.go();
}

/// The device object is about to go: waits until the last request has left. It runs on every way
/// out, failed starts included. PASSIVE_LEVEL.
unsafe extern "C" fn evt_cleanup(object: WDFOBJECT) {
    // SAFETY: registered for our devices only, and called before the context is freed.
    let place = unsafe { wdf::context::<Device>(object, &CONTEXT) };
    // SAFETY: as above; zeroed memory is a value of every field.
    let device = unsafe { &*place };
    if device.complete {
        device.go();
        device.rundown.close_and_wait();
    }
}
