//! `WDFDEVICE_INIT`: what a driver says about a device before it makes it.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use super::Framework;
use super::driver::Client;
use super::object::Object;
use super::violation::{Violation, violation};
use crate::abi::{
    DEVICE_OBJECT, PDEVICE_OBJECT, PFN_WDFDEVICE_WDM_IRP_PREPROCESS, PWDFDEVICE_INIT,
    WDF_PNPPOWER_EVENT_CALLBACKS,
};
use crate::machine::Shared;

/// Functions of each major code that a driver wants to see first.
#[derive(Clone, Default)]
pub(crate) struct Preprocess {
    /// The driver's routine.
    pub(crate) routine: PFN_WDFDEVICE_WDM_IRP_PREPROCESS,
    /// The minor codes it is for; none means all.
    pub(crate) minors: Vec<u8>,
}

/// The number of major functions.
pub(crate) const MAJORS: usize = 28;

/// What has been said about a device so far.
pub(crate) struct DeviceInit {
    pub(crate) client: Arc<Client>,
    pub(crate) physical: Shared<DEVICE_OBJECT>,
    pub(crate) filter: bool,
    pub(crate) remove_lock_options: u32,
    pub(crate) callbacks: WDF_PNPPOWER_EVENT_CALLBACKS,
    pub(crate) preprocess: Option<Box<[Preprocess; MAJORS]>>,
    pub(crate) device_type: u32,
    pub(crate) characteristics: u32,
    pub(crate) exclusive: bool,
    pub(crate) io_type: i32,
    pub(crate) power_pageable: bool,
    pub(crate) power_inrush: bool,
}

/// The device that came out of an init, if any, and whether it was to be a filter.
pub(crate) struct Outcome {
    pub(crate) device: Option<Arc<Object>>,
    pub(crate) filter: bool,
}

enum Entry {
    Open(Box<DeviceInit>),
    Used { device: Arc<Object>, filter: bool },
}

/// The inits that exist at the moment: one for each `EvtDriverDeviceAdd` that is running.
#[derive(Default)]
pub(crate) struct Inits {
    made: usize,
    open: HashMap<usize, Entry>,
}

const BASE: usize = 0xFFFF_B000_0000_0000;
const FILE_DEVICE_UNKNOWN: u32 = 0x22;
const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;

/// Makes the init that `EvtDriverDeviceAdd` is called with.
pub(crate) fn open(client: &Arc<Client>, physical: PDEVICE_OBJECT) -> PWDFDEVICE_INIT {
    let init = DeviceInit {
        client: Arc::clone(client),
        physical: Shared(physical),
        filter: false,
        remove_lock_options: 0,
        callbacks: WDF_PNPPOWER_EVENT_CALLBACKS::default(),
        preprocess: None,
        device_type: FILE_DEVICE_UNKNOWN,
        characteristics: FILE_DEVICE_SECURE_OPEN,
        exclusive: false,
        io_type: crate::abi::_WDF_DEVICE_IO_TYPE::WdfDeviceIoBuffered,
        power_pageable: true,
        power_inrush: false,
    };
    let framework = Framework::current();
    let mut inits = framework.inits();
    inits.made += 1;
    let number = BASE + inits.made * 16;
    inits.open.insert(number, Entry::Open(Box::new(init)));
    ptr::without_provenance_mut(number)
}

/// Ends an init and says what became of it.
pub(crate) fn close(init: PWDFDEVICE_INIT) -> Outcome {
    match Framework::current().inits().open.remove(&init.addr()) {
        Some(Entry::Used { device, filter }) => Outcome {
            device: Some(device),
            filter,
        },
        Some(Entry::Open(init)) => Outcome {
            device: None,
            filter: init.filter,
        },
        None => Outcome {
            device: None,
            filter: false,
        },
    }
}

/// Works on an init that has not been used yet.
pub(crate) fn with<T>(
    function: &str,
    init: PWDFDEVICE_INIT,
    work: impl FnOnce(&mut DeviceInit) -> T,
) -> T {
    let framework = Framework::current();
    let mut inits = framework.inits();
    let story = match inits.open.get_mut(&init.addr()) {
        Some(Entry::Open(init)) => return work(init),
        Some(Entry::Used { .. }) => {
            "the PWDFDEVICE_INIT has been used by WdfDeviceCreate, which sets it to NULL"
        }
        None if init.is_null() => "the PWDFDEVICE_INIT is NULL",
        None => "this is no PWDFDEVICE_INIT, or EvtDriverDeviceAdd has returned long ago",
    };
    drop(inits);
    violation(
        Violation::NullParameter,
        init.addr() as u64,
        0,
        &format!("{function}: {story}"),
    )
}

/// Takes an init out to make a device from it.
pub(crate) fn take(function: &str, init: PWDFDEVICE_INIT) -> Box<DeviceInit> {
    with(function, init, |_| ());
    match Framework::current().inits().open.remove(&init.addr()) {
        Some(Entry::Open(open)) => open,
        // `with` has just seen it, and an init belongs to the one thread that runs `AddDevice`.
        _ => unreachable!("an init changed hands"),
    }
}

/// Puts an init back after a failure: the driver may change it and try again.
pub(crate) fn give_back(init: PWDFDEVICE_INIT, open: Box<DeviceInit>) {
    let framework = Framework::current();
    framework
        .inits()
        .open
        .insert(init.addr(), Entry::Open(open));
}

/// Records that a device has been made from an init.
pub(crate) fn use_up(init: PWDFDEVICE_INIT, device: &Arc<Object>, filter: bool) {
    let device = Arc::clone(device);
    let framework = Framework::current();
    let entry = Entry::Used { device, filter };
    framework.inits().open.insert(init.addr(), entry);
}

/// The calls on an init.
pub(crate) mod calls {
    use super::{MAJORS, PWDFDEVICE_INIT, Preprocess, with};
    use crate::abi::{
        ACCESS_MASK, BOOLEAN, IRP_MJ_MAXIMUM_FUNCTION, NTSTATUS, PDEVICE_OBJECT,
        PFN_WDFDEVICE_WDM_IRP_PREPROCESS, PUCHAR, PWDF_OBJECT_ATTRIBUTES,
        PWDF_PNPPOWER_EVENT_CALLBACKS, PWDF_REMOVE_LOCK_OPTIONS, STATUS_INVALID_DEVICE_REQUEST,
        STATUS_INVALID_PARAMETER, STATUS_SUCCESS, UCHAR, ULONG, WDF_DEVICE_IO_TYPE,
        WDF_PNPPOWER_EVENT_CALLBACKS, WDF_REMOVE_LOCK_OPTIONS, WDFKEY,
    };
    use crate::wdf::driver::{self, PASSIVE};
    use crate::wdf::key;
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{Violation, not_null, require_irql, require_size, violation};

    wdf_functions! {
        /// Makes the device to come a filter: it forwards what it does not handle, and takes its
        /// properties from the device below.
        129 fn WdfFdoInitSetFilter(DeviceInit: PWDFDEVICE_INIT) {
            with("WdfFdoInitSetFilter", DeviceInit, |init| init.filter = true);
        }

        /// The device object of the bus driver.
        124 fn WdfFdoInitWdmGetPhysicalDevice(DeviceInit: PWDFDEVICE_INIT) -> PDEVICE_OBJECT {
            with("WdfFdoInitWdmGetPhysicalDevice", DeviceInit, |init| init.physical.0)
        }

        /// Opens the hardware or software key of the device to come. `PASSIVE_LEVEL`.
        125 fn WdfFdoInitOpenRegistryKey(
            DeviceInit: PWDFDEVICE_INIT,
            DeviceInstanceKeyType: ULONG,
            DesiredAccess: ACCESS_MASK,
            KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
            Key: *mut WDFKEY,
        ) -> NTSTATUS {
            const NAME: &str = "WdfFdoInitOpenRegistryKey";
            require_irql(NAME, PASSIVE);
            let physical = with(NAME, DeviceInit, |init| init.physical.0);
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, KeyAttributes, Key, |_| {
                    key::of_device(physical, DeviceInstanceKeyType, DesiredAccess)
                })
            }
        }

        /// Gives an init up; the one of `EvtDriverDeviceAdd` belongs to the framework.
        54 fn WdfDeviceInitFree(DeviceInit: PWDFDEVICE_INIT) {
            with("WdfDeviceInitFree", DeviceInit, |_| ());
            violation(
                Violation::ObjectError,
                DeviceInit.addr() as u64,
                0,
                "WdfDeviceInitFree: the init passed to EvtDriverDeviceAdd is freed by the framework",
            );
        }

        /// Sets the callbacks for PnP and power.
        55 fn WdfDeviceInitSetPnpPowerEventCallbacks(
            DeviceInit: PWDFDEVICE_INIT,
            PnpPowerEventCallbacks: PWDF_PNPPOWER_EVENT_CALLBACKS,
        ) {
            const NAME: &str = "WdfDeviceInitSetPnpPowerEventCallbacks";
            not_null(NAME, "PnpPowerEventCallbacks", PnpPowerEventCallbacks);
            // SAFETY: not NULL, so the caller vouches for it.
            let callbacks = unsafe { *PnpPowerEventCallbacks };
            require_size(
                NAME,
                "WDF_PNPPOWER_EVENT_CALLBACKS",
                callbacks.Size,
                size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
            );
            if callbacks.EvtDeviceUsageNotification.is_some()
                && callbacks.EvtDeviceUsageNotificationEx.is_some()
            {
                violation(
                    Violation::VerifierFatal,
                    0,
                    0,
                    "EvtDeviceUsageNotification and EvtDeviceUsageNotificationEx exclude each other",
                );
            }
            with(NAME, DeviceInit, |init| init.callbacks = callbacks);
        }

        /// Direct, buffered or neither; a filter takes it from the device below.
        61 fn WdfDeviceInitSetIoType(DeviceInit: PWDFDEVICE_INIT, IoType: WDF_DEVICE_IO_TYPE) {
            with("WdfDeviceInitSetIoType", DeviceInit, |init| init.io_type = IoType);
        }

        /// Whether only one handle may be open.
        62 fn WdfDeviceInitSetExclusive(DeviceInit: PWDFDEVICE_INIT, IsExclusive: BOOLEAN) {
            with("WdfDeviceInitSetExclusive", DeviceInit, |init| {
                init.exclusive = IsExclusive != 0;
            });
        }

        /// Power callbacks must run while the paging disk is off; a filter inherits.
        63 fn WdfDeviceInitSetPowerNotPageable(DeviceInit: PWDFDEVICE_INIT) {
            with("WdfDeviceInitSetPowerNotPageable", DeviceInit, |init| {
                init.power_pageable = false;
            });
        }

        /// Power callbacks may be paged out; a filter inherits.
        64 fn WdfDeviceInitSetPowerPageable(DeviceInit: PWDFDEVICE_INIT) {
            with("WdfDeviceInitSetPowerPageable", DeviceInit, |init| {
                init.power_pageable = true;
                init.power_inrush = false;
            });
        }

        /// The device needs an inrush of current; a filter inherits.
        65 fn WdfDeviceInitSetPowerInrush(DeviceInit: PWDFDEVICE_INIT) {
            with("WdfDeviceInitSetPowerInrush", DeviceInit, |init| {
                init.power_inrush = true;
                init.power_pageable = false;
            });
        }

        /// `FILE_DEVICE_…`; a filter takes it from the device below.
        66 fn WdfDeviceInitSetDeviceType(DeviceInit: PWDFDEVICE_INIT, DeviceType: ULONG) {
            with("WdfDeviceInitSetDeviceType", DeviceInit, |init| init.device_type = DeviceType);
        }

        /// Characteristics to set, or to add to the ones there are.
        70 fn WdfDeviceInitSetCharacteristics(
            DeviceInit: PWDFDEVICE_INIT,
            DeviceCharacteristics: ULONG,
            OrInValues: BOOLEAN,
        ) {
            with("WdfDeviceInitSetCharacteristics", DeviceInit, |init| {
                let kept = if OrInValues == 0 { 0 } else { init.characteristics };
                init.characteristics = kept | DeviceCharacteristics;
            });
        }

        /// Has the driver see requests of a major code before the framework does.
        73 fn WdfDeviceInitAssignWdmIrpPreprocessCallback(
            DeviceInit: PWDFDEVICE_INIT,
            EvtDeviceWdmIrpPreprocess: PFN_WDFDEVICE_WDM_IRP_PREPROCESS,
            MajorFunction: UCHAR,
            MinorFunctions: PUCHAR,
            NumMinorFunctions: ULONG,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDeviceInitAssignWdmIrpPreprocessCallback";
            let major = usize::from(MajorFunction);
            if u32::from(MajorFunction) > IRP_MJ_MAXIMUM_FUNCTION {
                return STATUS_INVALID_PARAMETER;
            }
            if EvtDeviceWdmIrpPreprocess.is_none() {
                violation(
                    Violation::NullParameter,
                    0,
                    0,
                    &format!("{NAME} was called with EvtDeviceWdmIrpPreprocess = NULL"),
                );
            }
            let minors = match NumMinorFunctions {
                0 => Vec::new(),
                count => {
                    not_null(NAME, "MinorFunctions", MinorFunctions);
                    // SAFETY: not NULL, so the caller vouches for `count` codes.
                    unsafe { (0..count as usize).map(|at| *MinorFunctions.add(at)).collect() }
                }
            };
            with(NAME, DeviceInit, |init| {
                let table = init
                    .preprocess
                    .get_or_insert_with(|| Box::new(std::array::from_fn::<_, MAJORS, _>(|_| {
                        Preprocess::default()
                    })));
                let slot = &mut table[major];
                if !minors.is_empty() && !slot.minors.is_empty() {
                    // Minor codes are assigned once (`fxdeviceinitapi.cpp`).
                    return STATUS_INVALID_DEVICE_REQUEST;
                }
                slot.routine = EvtDeviceWdmIrpPreprocess;
                slot.minors.extend(minors);
                STATUS_SUCCESS
            })
        }

        /// Has the framework hold the remove lock for every I/O request, not only for PnP, power
        /// and WMI.
        403 fn WdfDeviceInitSetRemoveLockOptions(
            DeviceInit: PWDFDEVICE_INIT,
            Options: PWDF_REMOVE_LOCK_OPTIONS,
        ) {
            const NAME: &str = "WdfDeviceInitSetRemoveLockOptions";
            not_null(NAME, "Options", Options);
            // SAFETY: not NULL, so the caller vouches for it.
            let options = unsafe { *Options };
            require_size(
                NAME,
                "WDF_REMOVE_LOCK_OPTIONS",
                options.Size,
                size_of::<WDF_REMOVE_LOCK_OPTIONS>(),
            );
            with(NAME, DeviceInit, |init| init.remove_lock_options = options.Flags);
        }
    }
}
