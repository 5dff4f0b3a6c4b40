//! The device: made in `EvtDriverDeviceAdd`, asked for its sectors at start, taken down last.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use wdk_sys::{
    _WDF_DEVICE_IO_TYPE, IRP_MJ_READ, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT, PWDFDEVICE_INIT,
    STATUS_SUCCESS, WDF_PNPPOWER_EVENT_CALLBACKS, WDFCMRESLIST, WDFDEVICE, WDFOBJECT,
};
use xfersplit_wdm::{
    rundown::Rundown,
    wdf::{self, ContextType, device::DeviceInit},
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
    // SAFETY: the caller's contract.
    let init = unsafe { DeviceInit::new(init) };
    match create(init) {
        // SAFETY: just made, with our context.
        Ok(handle) => unsafe { initialise(handle) },
        Err(status) => return status,
    }
    STATUS_SUCCESS
}

fn create(mut init: DeviceInit) -> Result<WDFDEVICE, NTSTATUS> {
    // Neither DO_DIRECT_IO nor DO_BUFFERED_IO: the I/O manager locks and copies nothing, and a
    // user's buffer arrives as the bare address that it is (Irp->UserBuffer).
    init.io_type(_WDF_DEVICE_IO_TYPE::WdfDeviceIoNeither);
    init.lock_for_io();
    init.pnp_power(WDF_PNPPOWER_EVENT_CALLBACKS {
        EvtDevicePrepareHardware: Some(evt_prepare_hardware),
        EvtDeviceSurpriseRemoval: Some(evt_surprise_removal),
        ..Default::default()
    });
    for major in [IRP_MJ_READ, IRP_MJ_WRITE] {
        // In the sender's own thread: in another one the user's addresses mean nothing any more.
        init.preprocess(major, dispatch_read_write)?;
    }
    init.create(&CONTEXT, Some(evt_cleanup))
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
