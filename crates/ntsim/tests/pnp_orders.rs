//! The order in which a framework filter hears of PnP and power requests, and on which side of the
//! drivers below.

mod kmdf_support;

use kmdf_support::{change, devnode, filter, make_pdo, on_machine, trace};
use ntsim::abi::*;
use ntsim::pnp::{DevicePower, Devnode, Usage};

const FINAL: &str = "EvtDeviceD0Exit to 5";

#[test]
fn a_start_goes_down_first_and_completes_last() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        trace();
        node.start().expect("starts");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "bus: START",
            "EvtDevicePrepareHardware",
            "EvtDeviceD0Entry from 5",
            "EvtDeviceSelfManagedIoInit",
        ]
    );
}

#[test]
fn a_removal_tears_down_before_it_goes_down() {
    let lines = on_machine(|| {
        let (mut node, driver) = devnode();
        node.start().expect("starts");
        trace();
        node.remove().expect("is removed");
        driver.unload().expect("is unloaded");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "EvtDeviceQueryRemove",
            "bus: QUERY_REMOVE",
            "EvtDeviceSelfManagedIoSuspend",
            FINAL,
            "EvtDeviceReleaseHardware",
            "EvtDeviceSelfManagedIoFlush",
            "EvtDeviceSelfManagedIoCleanup",
            "child: EvtCleanup",
            "device: EvtCleanup",
            "child: EvtDestroy",
            "bus: REMOVE",
            "device: EvtDestroy",
            "EvtDriverUnload",
            "driver: EvtCleanup",
            "driver: EvtDestroy",
        ]
    );
}

#[test]
fn a_surprise_removal_tears_down_before_the_bus_hears_of_it() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        trace();
        node.surprise_remove().expect("cannot fail");
        let mut lines = trace();
        lines.push("--".to_owned());
        node.remove().expect("is removed");
        lines.extend(trace());
        lines
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "EvtDeviceSurpriseRemoval",
            "EvtDeviceSelfManagedIoSuspend",
            FINAL,
            "EvtDeviceReleaseHardware",
            "EvtDeviceSelfManagedIoFlush",
            "bus: SURPRISE_REMOVAL",
            "--",
            "EvtDeviceSelfManagedIoCleanup",
            "child: EvtCleanup",
            "device: EvtCleanup",
            "child: EvtDestroy",
            "bus: REMOVE",
            "device: EvtDestroy",
        ]
    );
}

#[test]
fn a_rebalance_releases_before_the_stop_goes_down_and_restarts_what_was_suspended() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        trace();
        node.stop().expect("stops");
        let mut lines = trace();
        lines.push("--".to_owned());
        node.restart().expect("starts again");
        lines.extend(trace());
        lines
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "EvtDeviceQueryStop",
            "bus: QUERY_STOP",
            "EvtDeviceSelfManagedIoSuspend",
            FINAL,
            "EvtDeviceReleaseHardware",
            "bus: STOP",
            "--",
            "bus: START",
            "EvtDevicePrepareHardware",
            "EvtDeviceD0Entry from 5",
            "EvtDeviceSelfManagedIoRestart",
        ]
    );
}

#[test]
fn a_stopped_device_is_surprise_removed_before_its_removal() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        node.stop().expect("stops");
        trace();
        node.remove().expect("is removed");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines[..4],
        [
            "EvtDeviceSurpriseRemoval",
            "EvtDeviceSelfManagedIoFlush",
            "bus: SURPRISE_REMOVAL",
            "EvtDeviceSelfManagedIoCleanup",
        ]
    );
}

#[test]
fn a_failing_prepare_hardware_fails_the_start_and_the_device_is_removed() {
    let (status, lines) = on_machine(|| {
        change(|plan| plan.prepare = STATUS_INSUFFICIENT_RESOURCES);
        let (mut node, _driver) = devnode();
        trace();
        (node.start(), trace())
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(
        lines,
        [
            "bus: START",
            "EvtDevicePrepareHardware",
            "EvtDeviceReleaseHardware",
            // Self-managed I/O never began: neither flush nor cleanup.
            "child: EvtCleanup",
            "device: EvtCleanup",
            "child: EvtDestroy",
            "bus: REMOVE",
            "device: EvtDestroy",
        ]
    );
}

#[test]
fn a_failing_d0_entry_fails_the_start_with_a_power_failure() {
    let (status, lines) = on_machine(|| {
        change(|plan| plan.d0_entry = STATUS_UNSUCCESSFUL);
        let (mut node, _driver) = devnode();
        trace();
        (node.start(), trace())
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_DEVICE_POWER_FAILURE));
    assert_eq!(
        lines[..4],
        [
            "bus: START",
            "EvtDevicePrepareHardware",
            "EvtDeviceD0Entry from 5",
            "EvtDeviceReleaseHardware",
        ]
    );
}

#[test]
fn a_start_that_the_bus_fails_never_reaches_prepare_hardware() {
    let (status, lines) = on_machine(|| {
        change(|plan| plan.bus_start = STATUS_DEVICE_CONFIGURATION_ERROR);
        let (mut node, _driver) = devnode();
        trace();
        (node.start(), trace())
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_DEVICE_CONFIGURATION_ERROR));
    assert!(
        !lines.iter().any(|line| line.contains("Hardware")),
        "{lines:?}"
    );
}

#[test]
fn a_filter_that_fails_to_add_a_device_does_not_keep_it_from_starting() {
    for makes_device in [false, true] {
        let lines = on_machine(|| {
            change(|plan| plan.add = (STATUS_UNSUCCESSFUL, makes_device));
            let (mut node, driver) = devnode();
            assert_eq!(node.top(), node.pdo(), "the filter has gone again");
            node.start().expect("starts without the filter");
            node.remove().expect("is removed");
            driver.unload().expect("is unloaded");
            trace()
        })
        .expect("no bug check");
        let cleaned = lines.iter().any(|line| line == "device: EvtCleanup");
        assert_eq!(cleaned, makes_device, "{lines:?}");
    }
}

#[test]
fn a_function_driver_that_fails_to_add_a_device_does() {
    let status = on_machine(|| {
        change(|plan| {
            plan.filter = false;
            plan.add = (STATUS_UNSUCCESSFUL, true);
        });
        let driver = filter();
        let node = Devnode::builder(make_pdo()).function(&driver).add();
        node.map(|_| ())
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_UNSUCCESSFUL));
}

#[test]
fn a_driver_entry_that_fails_loses_its_driver_object_without_unload() {
    let (status, lines) = on_machine(|| {
        change(|plan| plan.entry = STATUS_UNSUCCESSFUL);
        (filter().load().map(|_| ()), trace())
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_UNSUCCESSFUL));
    assert_eq!(
        lines,
        ["DriverEntry", "driver: EvtCleanup", "driver: EvtDestroy"]
    );
}

#[test]
fn a_vetoed_removal_is_cancelled_and_the_device_goes_on() {
    let (status, lines) = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.query = STATUS_UNSUCCESSFUL);
        trace();
        let status = node.remove();
        let lines = trace();
        change(|plan| plan.query = STATUS_SUCCESS);
        node.remove().expect("is removed at last");
        (status, lines)
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_UNSUCCESSFUL));
    assert_eq!(lines, ["EvtDeviceQueryRemove", "bus: CANCEL_REMOVE"]);
}

#[test]
fn usage_notifications_reach_the_driver_after_the_bus_has_agreed() {
    let (status, removal, lines) = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        trace();
        let status = node.usage(Usage::Paging, true);
        let removal = node.remove();
        let lines = trace();
        assert_eq!(node.usage(Usage::Paging, false), STATUS_SUCCESS);
        node.remove().expect("may go once the paging file is off");
        (status, removal, lines)
    })
    .expect("no bug check");
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(removal, Err(STATUS_DEVICE_NOT_READY), "a paging disk stays");
    assert_eq!(
        lines,
        [
            "bus: USAGE 1 1",
            "EvtDeviceUsageNotificationEx 1 1",
            "bus: CANCEL_REMOVE",
        ]
    );
}

#[test]
fn a_usage_notification_that_the_driver_refuses_is_taken_back_below() {
    let (status, lines) = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        change(|plan| plan.usage = STATUS_NOT_IMPLEMENTED);
        trace();
        let status = node.usage(Usage::Dump, true);
        let lines = trace();
        node.remove().expect("nothing was counted");
        (status, lines)
    })
    .expect("no bug check");
    assert_eq!(status, STATUS_NOT_IMPLEMENTED);
    assert_eq!(
        lines,
        [
            "bus: USAGE 3 1",
            "EvtDeviceUsageNotificationEx 3 1",
            "bus: USAGE 3 0",
        ]
    );
}

#[test]
fn a_power_up_goes_down_first_and_a_power_down_last() {
    let lines = on_machine(|| {
        let (mut node, _driver) = devnode();
        node.start().expect("starts");
        trace();
        assert_eq!(node.set_power(DevicePower::D3), STATUS_SUCCESS);
        assert_eq!(node.set_power(DevicePower::D0), STATUS_SUCCESS);
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines,
        [
            "EvtDeviceSelfManagedIoSuspend",
            "EvtDeviceD0Exit to 4",
            "bus: SET_POWER D3",
            "bus: SET_POWER D0",
            "EvtDeviceD0Entry from 4",
            "EvtDeviceSelfManagedIoRestart",
        ]
    );
}

#[test]
fn a_device_that_was_never_started_skips_the_hardware_callbacks() {
    let lines = on_machine(|| {
        let (mut node, driver) = devnode();
        trace();
        node.remove().expect("is removed");
        driver.unload().expect("is unloaded");
        trace()
    })
    .expect("no bug check");
    assert_eq!(
        lines[..5],
        [
            "child: EvtCleanup",
            "device: EvtCleanup",
            "child: EvtDestroy",
            "bus: REMOVE",
            "device: EvtDestroy",
        ]
    );
}

#[test]
fn a_driver_with_devices_cannot_be_unloaded() {
    let status = on_machine(|| {
        let (mut node, driver) = devnode();
        let status = driver.unload();
        node.remove().expect("is removed");
        driver.unload().expect("is unloaded");
        assert!(!driver.is_loaded());
        status
    })
    .expect("no bug check");
    assert_eq!(status, Err(STATUS_DEVICE_BUSY));
}
