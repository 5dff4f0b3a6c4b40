//! The registry as drivers see it.

mod kmdf_support;

use std::ptr;

use kmdf_support::{devnode, filter_device, on_machine, stops};
use ntsim::abi::*;
use ntsim::machine::Machine;
use ntsim::pnp::{self, Devnode};
use ntsim::registry::{Kind, Registry, Value};
use ntsim::wdf::functions::*;

const INSTANCE: &str = r"SCSI\Disk&Ven_TEST\0001";

/// A UTF-16 string that keeps its text.
struct Text(Vec<u16>, UNICODE_STRING);

fn text(value: &str) -> Text {
    let mut text = Text(value.encode_utf16().collect(), UNICODE_STRING::default());
    let bytes = (text.0.len() * 2) as u16;
    text.1 = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: text.0.as_mut_ptr(),
    };
    text
}

fn registry() -> std::sync::Arc<Registry> {
    Registry::of(&Machine::current())
}

fn with_settings(values: &[(&str, Value)]) -> (Devnode, WDFKEY) {
    let key = format!(r"{}\Settings", pnp::hardware_key(INSTANCE));
    for (name, value) in values {
        registry().set(&key, name, value.clone());
    }
    let driver = kmdf_support::filter();
    let node = Devnode::builder(kmdf_support::make_pdo())
        .instance(INSTANCE)
        .lower(&driver)
        .add()
        .expect("adds");
    let (mut hardware, mut settings) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: pointers to locals; the device is alive.
    unsafe {
        let status = WdfDeviceOpenRegistryKey(
            filter_device(),
            1,
            KEY_READ,
            ptr::null_mut(),
            &raw mut hardware,
        );
        assert_eq!(status, STATUS_SUCCESS);
        let name = text("settings");
        let status = WdfRegistryOpenKey(
            hardware,
            &raw const name.1,
            KEY_READ,
            ptr::null_mut(),
            &raw mut settings,
        );
        assert_eq!(status, STATUS_SUCCESS);
        WdfRegistryClose(hardware);
    }
    (node, settings)
}

const KEY_READ: u32 = 0x2_0019;

fn query(key: WDFKEY, name: &str) -> (NTSTATUS, u32) {
    let name = text(name);
    let mut value = 0;
    // SAFETY: pointers to locals; the key is open.
    let status = unsafe { WdfRegistryQueryULong(key, &raw const name.1, &raw mut value) };
    (status, value)
}

#[test]
fn a_number_is_read_and_anything_else_is_a_type_mismatch() {
    on_machine(|| {
        let (_node, key) = with_settings(&[
            ("Window", Value::dword(4)),
            ("Text", Value::sz("4")),
            ("Large", Value::qword(4)),
            ("Bytes", Value::raw(Kind::Binary, &[4, 0, 0, 0])),
            ("Long", Value::raw(Kind::Dword, &[4, 0, 0, 0, 0])),
        ]);
        assert_eq!(query(key, "window"), (STATUS_SUCCESS, 4));
        assert_eq!(query(key, "Text").0, STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(query(key, "Large").0, STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(query(key, "Bytes").0, STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(query(key, "Long").0, STATUS_BUFFER_OVERFLOW);
        assert_eq!(query(key, "Missing").0, STATUS_OBJECT_NAME_NOT_FOUND);
    })
    .expect("no bug check");
}

#[test]
fn a_value_tells_its_length_and_type_when_the_buffer_is_too_small() {
    on_machine(|| {
        let (_node, key) = with_settings(&[("Blob", Value::raw(Kind::Binary, &[1, 2, 3, 4, 5]))]);
        let name = text("Blob");
        let (mut length, mut kind, mut buffer) = (0, 0, [0_u8; 8]);
        // SAFETY: pointers to locals of the lengths that are passed.
        unsafe {
            let status = WdfRegistryQueryValue(
                key,
                &raw const name.1,
                0,
                ptr::null_mut(),
                &raw mut length,
                &raw mut kind,
            );
            assert_eq!((status, length, kind), (STATUS_BUFFER_OVERFLOW, 5, 3));
            let status = WdfRegistryQueryValue(
                key,
                &raw const name.1,
                8,
                buffer.as_mut_ptr().cast(),
                ptr::null_mut(),
                ptr::null_mut(),
            );
            assert_eq!(status, STATUS_SUCCESS);
        }
        assert_eq!(buffer, [1, 2, 3, 4, 5, 0, 0, 0]);
    })
    .expect("no bug check");
}

#[test]
fn a_volatile_key_shows_what_a_driver_found_and_is_gone_after_a_restart() {
    on_machine(|| {
        let (_node, key) = with_settings(&[("Window", Value::dword(4))]);
        let (name, value) = (text("Effective"), text("Bytes"));
        let mut made = ptr::null_mut();
        let mut disposition = 0;
        // SAFETY: pointers to locals; keys are open.
        unsafe {
            let status = WdfRegistryCreateKey(
                key,
                &raw const name.1,
                0xF_003F,
                1,
                &raw mut disposition,
                ptr::null_mut(),
                &raw mut made,
            );
            assert_eq!((status, disposition), (STATUS_SUCCESS, 1));
            assert_eq!(
                WdfRegistryAssignULong(made, &raw const value.1, 65536),
                STATUS_SUCCESS
            );
            WdfRegistryClose(made);
        }
        let path = format!(r"{}\Settings\Effective", pnp::hardware_key(INSTANCE));
        assert_eq!(registry().dword(&path, "Bytes"), Some(65536));
        registry().reboot();
        assert_eq!(registry().dword(&path, "Bytes"), None);
    })
    .expect("no bug check");
}

#[test]
fn parameters_of_a_service_may_be_missing() {
    on_machine(|| {
        let (_node, _driver) = devnode();
        let mut key = ptr::null_mut();
        // SAFETY: pointers to locals; the device is alive.
        let open = |key: &mut WDFKEY| unsafe {
            WdfDriverOpenParametersRegistryKey(
                WdfDeviceGetDriver(filter_device()),
                KEY_READ,
                ptr::null_mut(),
                key,
            )
        };
        assert_eq!(open(&mut key), STATUS_OBJECT_NAME_NOT_FOUND);
        registry().set_dword(&pnp::parameters_key("filter"), "Window", 2);
        assert_eq!(open(&mut key), STATUS_SUCCESS);
        assert_eq!(query(key, "Window"), (STATUS_SUCCESS, 2));
    })
    .expect("no bug check");
}

#[test]
fn a_closed_key_is_a_destroyed_object() {
    let report = stops(|| {
        let (_node, key) = with_settings(&[("Window", Value::dword(4))]);
        // SAFETY: the key is open.
        unsafe { WdfRegistryClose(key) };
        query(key, "Window");
    });
    assert_eq!((report.code, report.parameters[0]), (0x10D, 5));
    assert!(report.story.contains("WDFKEY"), "{report}");
}

#[test]
fn the_registry_is_for_passive_level() {
    let report = stops(|| {
        let (_node, key) = with_settings(&[("Window", Value::dword(4))]);
        // SAFETY: raising is always allowed.
        unsafe { ntsim::ntddk::KfRaiseIrql(2) };
        query(key, "Window");
    });
    assert_eq!(report.code, 0x10D);
    let report = stops(|| {
        // SAFETY: raising is always allowed; the handle is never looked at.
        unsafe {
            ntsim::ntddk::KfRaiseIrql(2);
            let _: NTSTATUS = ntsim::ntddk::ZwClose(ptr::null_mut());
        }
    });
    assert_eq!(report.code, 0x0A);
}

#[test]
fn the_native_functions_see_the_same_values() {
    on_machine(|| {
        let (_node, _key) = with_settings(&[("Window", Value::dword(4))]);
        let mut path = text(&format!(r"{}\Settings", pnp::hardware_key(INSTANCE)));
        let mut name = text("Window");
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            ObjectName: &raw mut path.1,
            Attributes: 0x240,
            ..OBJECT_ATTRIBUTES::default()
        };
        let mut handle = ptr::null_mut();
        let mut reply = [0_u32; 4];
        let mut needed = 0;
        // SAFETY: pointers to locals of the lengths that are passed.
        unsafe {
            let status = ntsim::ntddk::ZwOpenKey(&raw mut handle, KEY_READ, &raw mut attributes);
            assert_eq!(status, STATUS_SUCCESS);
            let status = ntsim::ntddk::ZwQueryValueKey(
                handle,
                &raw mut name.1,
                _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
                reply.as_mut_ptr().cast(),
                16,
                &raw mut needed,
            );
            assert_eq!((status, needed), (STATUS_SUCCESS, 16));
            assert_eq!(ntsim::ntddk::ZwClose(handle), STATUS_SUCCESS);
        }
        assert_eq!(reply, [0, 4, 4, 4]);
    })
    .expect("no bug check");
}

#[test]
fn a_handle_closed_twice_is_a_bug_check() {
    let report = stops(|| {
        let mut path = text(r"\Registry\Machine");
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            ObjectName: &raw mut path.1,
            ..OBJECT_ATTRIBUTES::default()
        };
        let mut handle = ptr::null_mut();
        // SAFETY: pointers to locals.
        unsafe {
            let status = ntsim::ntddk::ZwOpenKey(&raw mut handle, KEY_READ, &raw mut attributes);
            assert_eq!(status, STATUS_SUCCESS);
            for _ in 0..2 {
                let _: NTSTATUS = ntsim::ntddk::ZwClose(handle);
            }
        }
    });
    assert_eq!(report.code, 0x93);
}

/// A NUL-terminated UTF-16 string.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn question(name: &mut [u16], place: &mut u32, flags: u32) -> RTL_QUERY_REGISTRY_TABLE {
    RTL_QUERY_REGISTRY_TABLE {
        Flags: RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_TYPECHECK | flags,
        Name: name.as_mut_ptr(),
        EntryContext: (&raw mut *place).cast(),
        // REG_DWORD is demanded, and there is no default value.
        DefaultType: 4 << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT,
        ..RTL_QUERY_REGISTRY_TABLE::default()
    }
}

fn ask(questions: [RTL_QUERY_REGISTRY_TABLE; 2]) -> NTSTATUS {
    let [first, second] = questions;
    let mut table = [first, second, RTL_QUERY_REGISTRY_TABLE::default()];
    let path = wide(r"filter\Parameters");
    // SAFETY: pointers to locals; the table ends in zeros.
    unsafe {
        ntsim::ntddk::RtlQueryRegistryValues(
            RTL_REGISTRY_SERVICES,
            path.as_ptr(),
            table.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    }
}

#[test]
fn several_values_are_asked_for_at_once() {
    on_machine(|| {
        let key = pnp::parameters_key("filter");
        registry().set_dword(&key, "Window", 4);
        registry().set(&key, "Text", Value::sz("4"));
        let (mut window, mut other) = (wide("Window"), wide("Other"));
        let (mut first, mut second) = (0, 77);
        let status = ask([
            question(&mut window, &mut first, 0),
            question(&mut other, &mut second, 0),
        ]);
        assert_eq!((status, first, second), (STATUS_SUCCESS, 4, 77));
        let status = ask([
            question(&mut window, &mut first, 0),
            question(&mut other, &mut second, RTL_QUERY_REGISTRY_REQUIRED),
        ]);
        assert_eq!(status, STATUS_OBJECT_NAME_NOT_FOUND);
        let mut text = wide("Text");
        let status = ask([
            question(&mut text, &mut second, 0),
            question(&mut window, &mut first, 0),
        ]);
        assert_eq!((status, second), (STATUS_OBJECT_TYPE_MISMATCH, 77));
        assert_eq!(registry().open_handles(), 0);
    })
    .expect("no bug check");
}

#[test]
fn a_value_written_by_path_is_there() {
    on_machine(|| {
        registry().create_key(&pnp::parameters_key("filter"));
        let (path, name) = (wide(r"filter\Parameters"), wide("Seen"));
        let mut value = 9_u32;
        // SAFETY: pointers to locals of the lengths that are passed.
        unsafe {
            let status = ntsim::ntddk::RtlWriteRegistryValue(
                RTL_REGISTRY_SERVICES,
                path.as_ptr(),
                name.as_ptr(),
                4,
                (&raw mut value).cast(),
                4,
            );
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(
                registry().dword(&pnp::parameters_key("filter"), "Seen"),
                Some(9)
            );
            let status = ntsim::ntddk::RtlDeleteRegistryValue(
                RTL_REGISTRY_SERVICES,
                path.as_ptr(),
                name.as_ptr(),
            );
            assert_eq!(status, STATUS_SUCCESS);
        }
        assert_eq!(registry().get(&pnp::parameters_key("filter"), "Seen"), None);
    })
    .expect("no bug check");
}
