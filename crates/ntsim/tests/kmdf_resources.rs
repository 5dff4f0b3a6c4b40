//! The resources that a framework function driver is started with.

use std::ptr;

use ntsim::Driver;
use ntsim::abi::*;
use ntsim::controller::{Bus, DIRQL};
use ntsim::wdf::functions::*;
use ntsim::world::DmaWorld;

unsafe extern "system" fn entry(driver: PDRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as u32,
        EvtDriverDeviceAdd: Some(add),
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: what the kernel passed, and a local.
    unsafe {
        WdfDriverCreate(
            driver,
            path,
            ptr::null_mut(),
            &raw mut config,
            ptr::null_mut(),
        )
    }
}

unsafe extern "C" fn add(_: WDFDRIVER, mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut callbacks = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() as u32,
        EvtDevicePrepareHardware: Some(prepare),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    };
    // SAFETY: the framework's init, and locals.
    unsafe {
        WdfDeviceInitSetPnpPowerEventCallbacks(init, &raw mut callbacks);
        WdfDeviceInitSetIoType(init, _WDF_DEVICE_IO_TYPE::WdfDeviceIoDirect);
        let mut device: WDFDEVICE = ptr::null_mut();
        let status = WdfDeviceCreate(&raw mut init, ptr::null_mut(), &raw mut device);
        let wdm = WdfDeviceWdmGetDeviceObject(device);
        let flags = (*wdm).Flags & (DO_DIRECT_IO | DO_BUFFERED_IO);
        assert_eq!(flags, DO_DIRECT_IO);
        assert_eq!((*WdfDeviceWdmGetPhysicalDevice(device)).AttachedDevice, wdm);
        status
    }
}

unsafe extern "C" fn prepare(
    _: WDFDEVICE,
    raw: WDFCMRESLIST,
    translated: WDFCMRESLIST,
) -> NTSTATUS {
    let resources = Bus::resources();
    // SAFETY: handles and pointers of the framework's, good while the device is started.
    unsafe {
        for list in [raw, translated] {
            assert_eq!(WdfCmResourceListGetCount(list), 2);
            assert!(WdfCmResourceListGetDescriptor(list, 2).is_null());
            let first = WdfCmResourceListGetDescriptor(list, 0).read();
            assert_eq!(u32::from(first.Type), CmResourceTypeMemory);
            let memory = first.u.Memory;
            let (start, length) = (memory.Start.QuadPart, memory.Length);
            assert_eq!((start as u64, length), (resources.memory, resources.length));
            let second = WdfCmResourceListGetDescriptor(list, 1).read();
            assert_eq!(u32::from(second.Type), CmResourceTypeInterrupt);
            let flags = second.Flags;
            assert_eq!(u32::from(flags), CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE);
        }
        // Only the translated list says what IoConnectInterrupt is to be told.
        let line = WdfCmResourceListGetDescriptor(translated, 1)
            .read()
            .u
            .Interrupt;
        let (level, vector) = (line.Level, line.Vector);
        assert_eq!((level, vector), (u32::from(DIRQL), resources.vector));
    }
    STATUS_SUCCESS
}

#[test]
fn start_brings_registers_and_an_interrupt_each_time() {
    DmaWorld::new(&Driver::linked("resources", entry))
        .run(|stack| {
            stack.stop().expect("stops");
            stack.start().expect("starts");
        })
        .expect("no bug check");
}
