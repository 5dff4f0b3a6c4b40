//! How a driver binary is bound to the framework.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::abi::{
    NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
};
use ntsim::machine::codes;
use pe_support::{File, blob, driver};

/// Binds a driver whose `WDF_BIND_INFO` has been changed.
fn bind(change: impl FnOnce(&mut File)) -> (NTSTATUS, Vec<String>) {
    let mut file = driver("entry_bind");
    change(&mut file);
    file.run().expect("nothing stops")
}

#[test]
fn kmdf_1_15_is_there() {
    assert_eq!(bind(|_| {}), (STATUS_SUCCESS, vec![]));
}

#[test]
fn an_earlier_minor_version_with_the_same_table_is_too() {
    let (status, _) = bind(|file| _ = file.put32(blob::at("bind_info_minor"), 13));
    assert_eq!(status, STATUS_SUCCESS);
}

#[test]
fn a_later_minor_version_is_not() {
    let (status, log) = bind(|file| _ = file.put32(blob::at("bind_info_minor"), 31));
    assert_eq!(status, STATUS_OBJECT_TYPE_MISMATCH);
    assert!(log[0].contains("KMDF 1.31"), "{log:?}");
}

#[test]
fn nor_is_another_major_version_or_component() {
    let major = blob::at("bind_info") + 16;
    let (status, _) = bind(|file| _ = file.put32(major, 2));
    assert_eq!(status, STATUS_OBJECT_NAME_NOT_FOUND);
    let (status, log) = bind(|file| {
        let name = file.0.windows(4).position(|bytes| bytes == b"K\0m\0");
        file.put(name.expect("the component's name"), b"X");
    });
    assert_eq!(status, STATUS_OBJECT_NAME_NOT_FOUND);
    assert!(log[0].contains("XmdfLibrary"), "{log:?}");
}

#[test]
fn tables_of_another_size_and_broken_descriptions_are_refused() {
    for count in [0, 396, 443, 445, 458] {
        let (status, _) = bind(|file| _ = file.put32(blob::at("bind_info_count"), count));
        assert_eq!(status, STATUS_INVALID_PARAMETER, "{count}");
    }
    let (status, _) = bind(|file| _ = file.put32(blob::at("bind_info"), 40));
    assert_eq!(status, STATUS_INVALID_PARAMETER);
}

#[test]
fn a_binding_can_be_undone() {
    let status = driver("entry_bind_and_fail")
        .run()
        .map(|(status, _)| status);
    assert_eq!(status, Ok(STATUS_NOT_SUPPORTED));
}

#[test]
fn a_function_that_is_not_there_stops_with_its_index() {
    let stop = driver("entry_bind_and_call").stops();
    assert_eq!(stop.code, codes::WDF_VIOLATION, "{stop}");
    assert_eq!(stop.parameters[0], 0x10, "{stop}");
    assert!(stop.story.contains("index 0"), "{stop}");
}
