//! How requests travel through a framework filter: the remove lock, the copied stack location, the
//! preprocess callback, and what is forwarded without the driver.

mod kmdf_support;

use kmdf_support::{
    Kept, change, devnode, filter_device, finish, free, location, make_read, make_request, note,
    on_clock, on_machine, send, stops, take_held, trace,
};
use ntsim::abi::*;
use ntsim::machine::{Clock, Machine};
use ntsim::ntddk;
use ntsim::wdf::functions::*;

#[test]
fn a_filter_inherits_from_below_and_asks_for_the_locations_it_uses() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        let (top, pdo) = (node.top(), node.pdo());
        // SAFETY: both devices are alive.
        unsafe {
            assert_eq!(
                (*top).StackSize,
                (*pdo).StackSize + 3,
                "attached, preprocess, lock"
            );
            assert_eq!((*top).DeviceType, FILE_DEVICE_DISK);
            assert_eq!((*top).Characteristics, (*pdo).Characteristics);
            assert_eq!((*top).AlignmentRequirement, 3);
            let taken = DO_DIRECT_IO | DO_BUFFERED_IO | DO_POWER_PAGABLE;
            assert_eq!((*top).Flags & taken, DO_DIRECT_IO | DO_POWER_PAGABLE);
            assert_eq!((*top).Flags & DO_DEVICE_INITIALIZING, 0);
            let device = filter_device();
            assert_eq!(WdfDeviceWdmGetDeviceObject(device), top);
            assert_eq!(WdfDeviceWdmGetAttachedDevice(device), pdo);
            assert_eq!(WdfDeviceWdmGetPhysicalDevice(device), pdo);
            assert_eq!(WdfWdmDeviceGetWdfDeviceHandle(top), device);
            let context = kmdf_support::context(device);
            assert_eq!(
                (*top).DeviceExtension,
                context.cast(),
                "the context, as in KMDF"
            );
        }
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn without_the_options_a_filter_needs_one_location() {
    on_machine(|| {
        change(|plan| {
            plan.opt_in = false;
            plan.preprocess.clear();
        });
        let (mut node, _driver) = devnode();
        // SAFETY: both devices are alive.
        unsafe { assert_eq!((*node.top()).StackSize, (*node.pdo()).StackSize + 1) };
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn the_driver_sees_a_copied_location_with_the_lock_held() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.hold = true);
        trace();
        let top = node.top();
        let irp = make_read(top);
        // SAFETY: the request is ours until it is sent, and the bus driver's while it holds it.
        unsafe {
            let filled = location(irp).sub(1);
            (*filled).Parameters.Read.Length = 4096;
            (*filled).Flags = SL_WRITE_THROUGH as u8;
            assert_eq!(send(top, irp), STATUS_PENDING);
            let held = take_held();
            assert_eq!(held, irp);
            // The filter skipped the copy, so that the bus driver works in it.
            let at = location(irp);
            assert_eq!(at, filled.sub(1));
            assert_eq!((*at).Parameters.Read.Length, 4096);
            assert_eq!((*at).Flags, SL_WRITE_THROUGH as u8);
            assert!((*at).CompletionRoutine.is_some(), "the framework's own");
            finish(irp, STATUS_SUCCESS);
        }
        assert_eq!(
            trace(),
            ["preprocess READ", "bus: READ", "completed 0x00000000"]
        );
        free(irp);
        node.remove().expect("nothing holds the lock");
    })
    .expect("no bug check");
}

#[test]
fn a_major_without_callback_passes_the_driver_by() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        trace();
        for major in [
            IRP_MJ_WRITE,
            IRP_MJ_INTERNAL_DEVICE_CONTROL,
            IRP_MJ_DEVICE_CONTROL,
        ] {
            let irp = make_request(node.top(), major);
            assert_eq!(send(node.top(), irp), STATUS_SUCCESS);
            free(irp);
        }
        assert_eq!(
            trace(),
            [
                "bus: WRITE",
                "completed 0x00000000",
                "bus: SCSI",
                "completed 0x00000000",
                "bus: IOCTL",
                "completed 0x00000000",
            ]
        );
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn a_removal_waits_for_requests_after_the_teardown_and_before_it_goes_down() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.hold = true);
        let irp = make_read(node.top());
        assert_eq!(send(node.top(), irp), STATUS_PENDING);
        trace();
        let remover = Machine::current().spawn_thread("remover", move || {
            node.remove().expect("is removed");
        });
        Machine::current().idle();
        note("-- the lock is awaited");
        // SAFETY: the bus driver hands the request over.
        unsafe { finish(take_held(), STATUS_SUCCESS) };
        remover.join();
        free(irp);
        trace()
    })
    .expect("no bug check");
    let tail: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .skip_while(|line| !line.starts_with("child"))
        .collect();
    assert_eq!(
        tail,
        [
            "child: EvtCleanup",
            "device: EvtCleanup",
            "child: EvtDestroy",
            "-- the lock is awaited",
            "completed 0x00000000",
            "bus: REMOVE",
            "device: EvtDestroy",
        ]
    );
}

#[test]
fn after_the_removal_the_lock_is_refused() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        let top = node.top();
        // SAFETY: the reference stands for a device attached above: it keeps the object.
        unsafe { ntddk::ObfReferenceObject(top.cast()) };
        let irp = make_read(top);
        node.remove().expect("is removed");
        trace();
        assert_eq!(send(top, irp), STATUS_DELETE_PENDING);
        assert_eq!(trace(), ["completed 0xc0000056"]);
        free(irp);
        // SAFETY: gives the reference back.
        unsafe { ntddk::ObfDereferenceObject(top.cast()) };
    })
    .expect("no bug check");
}

#[test]
fn without_the_lock_a_late_request_is_a_bug_check() {
    let report = stops(|| {
        change(|plan| plan.opt_in = false);
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        let top = node.top();
        // SAFETY: the reference stands for a device attached above: it keeps the object.
        unsafe { ntddk::ObfReferenceObject(top.cast()) };
        let irp = make_read(top);
        node.remove().expect("is removed");
        send(top, irp);
    });
    assert_eq!(report.code, 0x50);
    assert!(report.story.contains("ACQUIRE_FOR_IO"), "{report}");
}

#[test]
fn a_function_device_without_queue_refuses_what_nobody_handles() {
    on_machine(|| {
        change(|plan| plan.filter = false);
        let driver = kmdf_support::filter();
        let mut node = ntsim::pnp::Devnode::builder(kmdf_support::make_pdo())
            .function(&driver)
            .add()
            .expect("adds");
        node.start().expect("starts");
        trace();
        let irp = make_request(node.top(), IRP_MJ_WRITE);
        assert_eq!(send(node.top(), irp), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(trace(), ["completed 0xc0000010"]);
        free(irp);
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

#[test]
fn what_the_framework_allocates_for_a_request_is_not_the_drivers() {
    on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        let before = Machine::current().allocations();
        for _ in 0..10 {
            let irp = make_read(node.top());
            assert_eq!(send(node.top(), irp), STATUS_SUCCESS);
            free(irp);
        }
        assert_eq!(Machine::current().allocations(), before);
        node.remove().expect("is removed");
    })
    .expect("no bug check");
}

/// Requests race with the removal: each is either served or refused, and none is lost. Returns how
/// many were served and how many refused.
fn race_with_removal(clock: Clock) -> (usize, usize) {
    const SENDERS: usize = 3;
    const REQUESTS: usize = if cfg!(miri) { 4 } else { 100 };
    on_clock(clock, || {
        let (mut node, driver) = devnode();
        node.start().expect("starts");
        let top = Kept(node.top());
        // SAFETY: the reference stands for a device attached above: it keeps the object.
        unsafe { ntddk::ObfReferenceObject(top.0.cast()) };
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                Machine::current().spawn_thread("sender", move || {
                    let top = { top };
                    for _ in 0..REQUESTS {
                        let irp = make_read(top.0);
                        let status = send(top.0, irp);
                        assert!(
                            matches!(status, STATUS_SUCCESS | STATUS_DELETE_PENDING),
                            "{status:#x}"
                        );
                        free(irp);
                    }
                })
            })
            .collect();
        node.remove().expect("is removed");
        for sender in senders {
            sender.join();
        }
        // SAFETY: gives the reference back.
        unsafe { ntddk::ObfDereferenceObject(top.0.cast()) };
        driver.unload().expect("is unloaded");
        let lines = trace();
        let ended = |status: &str| {
            let line = format!("completed {status}");
            lines.iter().filter(|known| **known == line).count()
        };
        let (served, refused) = (ended("0x00000000"), ended("0xc0000056"));
        assert_eq!(served + refused, SENDERS * REQUESTS);
        (served, refused)
    })
    .expect("no bug check")
}

#[test]
fn requests_race_with_the_removal_on_the_deterministic_clock() {
    let seeds = if cfg!(miri) { 2 } else { 30 };
    let (mut served, mut refused) = (0, 0);
    for seed in 0..seeds {
        let (now_served, now_refused) = race_with_removal(Clock::Deterministic { seed });
        served += now_served;
        refused += now_refused;
    }
    assert!(
        cfg!(miri) || served > 0 && refused > 0,
        "{served} {refused}"
    );
}

#[test]
fn requests_race_with_the_removal_on_real_threads() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        race_with_removal(Clock::Threads {
            processors: 2,
            seed,
        });
    }
}
