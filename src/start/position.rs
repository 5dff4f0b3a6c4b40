//! Where in its device's stack does the filter stand?
//!
//! Nobody says so, but it shows: above the function driver, the function driver's device is one of
//! those below ours. A wrong guess would send reads to a port driver, or take a class driver's
//! request blocks apart above it, so in doubt the answer is that we do not know.

use core::ptr;

use wdk_sys::{
    DEVPROP_TYPE_STRING, DEVPROPKEY, DEVPROPTYPE, GUID, PDEVICE_OBJECT, ULONG, UNICODE_STRING,
    WDF_DEVICE_PROPERTY_DATA, WDFDEVICE, call_unsafe_wdf_function_binding, ntddk,
};

use crate::{wdf, wdm::succeeded};

/// Where the device is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Position {
    /// Between the port driver's device and the function driver.
    Beneath,
    /// On top of the function driver.
    Above,
    /// Not to be found out.
    Unknown,
}

/// `DEVPKEY_Device_Service` (devpkey.h): the function driver's service.
static SERVICE: DEVPROPKEY = DEVPROPKEY {
    fmtid: GUID {
        Data1: 0xa45c_254e,
        Data2: 0xdf1c,
        Data3: 0x4efd,
        Data4: [0x80, 0x20, 0x67, 0xd1, 0x46, 0xa8, 0x50, 0xe0],
    },
    pid: 6,
};

/// Longer than any service's name may be (256 characters), with its final NUL.
const NAME_UNITS: usize = 257;

/// Devices in one stack: more than any has, so that a walk ends.
const DEEPEST: usize = 64;

/// Looks at the devices below ours. PASSIVE_LEVEL.
///
/// # Safety
/// `device` is a live framework device.
pub(crate) unsafe fn of(device: WDFDEVICE) -> Position {
    // SAFETY: the caller's contract.
    let lower = unsafe { wdf::attached_device(device) };
    // SAFETY: the caller's contract.
    let physical =
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetPhysicalDevice, device) };
    let mut units = [0; NAME_UNITS];
    // SAFETY: the caller's contract.
    let service = unsafe { service(device, &mut units) };
    let mut below = Below::of(lower);
    for _ in 0..DEEPEST {
        if service.is_some_and(|name| below.driver_is(name)) {
            return Position::Above;
        }
        if ptr::eq(below.device, physical) {
            return Position::Beneath;
        }
        if service.is_none() {
            // What lies between us and the port may be a function driver or a filter.
            return Position::Unknown;
        }
        let Some(next) = below.next() else { break };
        below = next;
    }
    Position::Unknown
}

/// The name of the devnode's function driver.
///
/// # Safety
/// `device` is a live framework device.
unsafe fn service(device: WDFDEVICE, units: &mut [u16; NAME_UNITS]) -> Option<&[u16]> {
    let mut property = WDF_DEVICE_PROPERTY_DATA {
        Size: wdf::size::<WDF_DEVICE_PROPERTY_DATA>(),
        PropertyKey: &raw const SERVICE,
        ..Default::default()
    };
    let mut length: ULONG = 0;
    let mut kind: DEVPROPTYPE = 0;
    // SAFETY: PASSIVE_LEVEL; the buffer has the length that is named.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceQueryPropertyEx,
            device,
            &raw mut property,
            size_of_val(units) as ULONG,
            units.as_mut_ptr().cast(),
            &raw mut length,
            &raw mut kind
        )
    };
    if !succeeded(status) || kind != DEVPROP_TYPE_STRING {
        return None;
    }
    let name = units.get(..length as usize / size_of::<u16>())?;
    let end = name.iter().position(|&unit| unit == 0);
    let name = name.get(..end.unwrap_or(name.len()))?;
    (!name.is_empty()).then_some(name)
}

/// A device below ours.
///
/// # Invariants
/// The device is alive: ours is attached above it, and `referenced` says whether it also holds a
/// reference of this value's own.
struct Below {
    device: PDEVICE_OBJECT,
    referenced: bool,
}

impl Below {
    /// The device that ours is attached to.
    const fn of(device: PDEVICE_OBJECT) -> Self {
        Self {
            device,
            referenced: false,
        }
    }

    /// The one below.
    fn next(&self) -> Option<Self> {
        // SAFETY: type invariant.
        let device = unsafe { ntddk::IoGetLowerDeviceObject(self.device) };
        (!device.is_null()).then_some(Self {
            device,
            referenced: true,
        })
    }

    /// Whether the device's driver belongs to this service: drivers are named after theirs,
    /// `\Driver\disk`.
    fn driver_is(&self, service: &[u16]) -> bool {
        // SAFETY: type invariant; a device object names its driver from start to end.
        let driver = unsafe { (*self.device).DriverObject };
        // SAFETY: a driver object stays while it has devices; its name is set once.
        let name: UNICODE_STRING = unsafe { (*driver).DriverName };
        if name.Buffer.is_null() {
            return false;
        }
        let length = usize::from(name.Length) / size_of::<u16>();
        // SAFETY: a counted string's buffer has its length.
        let name = unsafe { core::slice::from_raw_parts(name.Buffer.cast_const(), length) };
        let last = name.rsplit(|&unit| unit == u16::from(b'\\')).next();
        last.is_some_and(|last| is_same_name(last, service))
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        if self.referenced {
            // SAFETY: type invariant.
            unsafe { ntddk::ObfDereferenceObject(self.device.cast()) };
        }
    }
}

/// Registry names do not distinguish case; those of services are ASCII.
fn is_same_name(one: &[u16], other: &[u16]) -> bool {
    let folded = |unit: &u16| match u8::try_from(*unit) {
        Ok(byte) => u16::from(byte.to_ascii_lowercase()),
        Err(_) => *unit,
    };
    one.iter().map(folded).eq(other.iter().map(folded))
}
