//! Synchronous requests to the device below.

mod kmdf_support;

use std::ffi::c_void;
use std::ptr;

use kmdf_support::{
    TEST_IOCTL, change, devnode, filter_device, finish, location, on_machine, send_ioctl, stops,
    take_held, trace,
};
use ntsim::abi::*;
use ntsim::machine::Machine;
use ntsim::pnp::DevicePower;
use ntsim::wdf::functions::*;

fn descriptor(buffer: *mut c_void, length: usize) -> WDF_MEMORY_DESCRIPTOR {
    WDF_MEMORY_DESCRIPTOR {
        Type: _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeBuffer,
        u: _WDF_MEMORY_DESCRIPTOR__bindgen_ty_1 {
            BufferType: _WDF_MEMORY_DESCRIPTOR__bindgen_ty_1__bindgen_ty_1 {
                Buffer: buffer,
                Length: length as u32,
            },
        },
    }
}

fn buffer(bytes: &mut [u8]) -> WDF_MEMORY_DESCRIPTOR {
    descriptor(bytes.as_mut_ptr().cast(), bytes.len())
}

/// Answers the next held request once the machine has nothing else to do.
fn answer_later(work: impl FnOnce(PIRP) + Send + 'static) -> ntsim::machine::NtThread {
    Machine::current().spawn_thread("bus", move || {
        Machine::current().idle();
        work(take_held());
    })
}

#[test]
fn a_buffered_request_carries_the_input_down_and_the_output_up() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.hold = true);
        let bus = answer_later(|irp| {
            // SAFETY: the bus driver hands the request over; the buffer is as long as the longer
            // of input and output.
            unsafe {
                let control = &raw const (*location(irp)).Parameters.DeviceIoControl;
                assert_eq!((*control).IoControlCode, TEST_IOCTL);
                assert_eq!((*control).InputBufferLength, 4);
                assert_eq!((*control).OutputBufferLength, 8);
                let system = (*irp).AssociatedIrp.SystemBuffer.cast::<u8>();
                assert_eq!(*system, 1);
                for at in 0..6 {
                    *system.add(at) = 0xA0 + at as u8;
                }
                (*irp).IoStatus.Information = 6;
                finish(irp, STATUS_BUFFER_OVERFLOW);
            }
        });
        let (mut input, mut output) = ([1_u8, 2, 3, 4], [0_u8; 8]);
        let (mut first, mut second) = (buffer(&mut input), buffer(&mut output));
        let mut returned = 0;
        // SAFETY: pointers to locals.
        let status = unsafe {
            WdfIoTargetSendIoctlSynchronously(
                WdfDeviceGetIoTarget(filter_device()),
                ptr::null_mut(),
                TEST_IOCTL,
                &raw mut first,
                &raw mut second,
                ptr::null_mut(),
                &raw mut returned,
            )
        };
        bus.join();
        assert_eq!((status, returned), (STATUS_BUFFER_OVERFLOW, 6));
        assert_eq!(output, [0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0, 0]);
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn an_srb_travels_as_the_first_argument() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.hold = true);
        let bus = answer_later(|irp| {
            // SAFETY: the bus driver hands the request over; the argument is the caller's SRB.
            unsafe {
                let srb = (*location(irp)).Parameters.Scsi.Srb;
                assert_eq!((*srb).Function, 7);
                (*srb).SrbStatus = SRB_STATUS_SUCCESS as u8;
                finish(irp, STATUS_SUCCESS);
            }
        });
        let mut srb = SCSI_REQUEST_BLOCK {
            Function: 7,
            ..SCSI_REQUEST_BLOCK::default()
        };
        let mut descriptor = descriptor((&raw mut srb).cast(), size_of::<SCSI_REQUEST_BLOCK>());
        // SAFETY: pointers to locals.
        let status = unsafe {
            WdfIoTargetSendInternalIoctlOthersSynchronously(
                WdfDeviceGetIoTarget(filter_device()),
                ptr::null_mut(),
                0x0004_D014,
                &raw mut descriptor,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        bus.join();
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(u32::from(srb.SrbStatus), SRB_STATUS_SUCCESS);
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_timeout_cancels_the_request_and_says_so() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.hold = true);
        let mut options = WDF_REQUEST_SEND_OPTIONS {
            Size: size_of::<WDF_REQUEST_SEND_OPTIONS>() as u32,
            Flags: 1,
            Timeout: -20_000_000,
        };
        let before = Machine::current().now();
        let status = send_ioctl(filter_device(), &raw mut options);
        let waited = Machine::current().now() - before;
        assert_eq!(status, STATUS_IO_TIMEOUT);
        assert!(
            waited >= 20_000_000,
            "two seconds of virtual time, not {waited}"
        );
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_request_waited_for_in_d0_entry_hangs_the_machine() {
    let report = stops(|| {
        change(|plan| plan.d0_entry_sends = true);
        let (mut node, _driver) = devnode();
        let _: Result<(), NTSTATUS> = node.start();
    });
    assert_eq!(report.code, 0x9F);
    assert!(report.story.contains("EvtDeviceD0Entry"), "{report}");
}

#[test]
fn a_request_waited_for_in_d0_entry_hangs_the_machine_on_resume_too() {
    let report = stops(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.d0_entry_sends = true);
        node.set_power(DevicePower::D3);
        node.set_power(DevicePower::D0);
    });
    assert_eq!(report.code, 0x9F);
}

#[test]
fn prepare_hardware_is_the_place_for_requests() {
    let lines = on_machine(|| {
        change(|plan| {
            plan.in_prepare = Some(|device| {
                assert_eq!(send_ioctl(device, ptr::null_mut()), STATUS_SUCCESS);
            });
        });
        let (mut node, _driver) = devnode();
        trace();
        node.start().expect("starts");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines[..3],
        ["bus: START", "EvtDevicePrepareHardware", "bus: IOCTL"]
    );
}

#[test]
fn sending_above_passive_level_is_a_bug_check() {
    let report = stops(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        // SAFETY: raising is always allowed.
        unsafe { ntsim::ntddk::KfRaiseIrql(2) };
        send_ioctl(filter_device(), ptr::null_mut());
    });
    assert_eq!(report.code, 0x10D);
}
