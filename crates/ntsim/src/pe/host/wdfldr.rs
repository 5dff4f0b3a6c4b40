//! `WDFLDR.SYS`: how a binary is bound to the framework.
#![allow(unreachable_pub, reason = "binaries alone call these, by address")]

use crate::abi::{
    NTSTATUS, PCWSTR, PDRIVER_OBJECT, PUNICODE_STRING, PVOID, PWDF_DRIVER_GLOBALS,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL, ULONG,
};
use crate::export::exports;
use crate::wdf::table;

use super::loaded;

/// The framework's version.
const VERSION: (ULONG, ULONG) = (1, 15);
/// Its name as a component.
const COMPONENT: &str = "KmdfLibrary";

/// `WDF_BIND_INFO`: what a binary says about itself.
#[repr(C)]
#[allow(non_snake_case, reason = "the headers name the fields")]
pub(super) struct BindInfo {
    Size: ULONG,
    Component: PCWSTR,
    Major: ULONG,
    Minor: ULONG,
    Build: ULONG,
    FuncCount: ULONG,
    /// From 1.15 on the address of a pointer to the table, before that the table's own.
    FuncTable: *mut *const *const core::ffi::c_void,
    Module: PVOID,
}

exports! { run;
    /// Binds a binary: it gets the function table and its globals. Windows' loader finds no
    /// library for another component or major version; a library refuses a later minor version
    /// than its own, and a table of another size (`fxlibrarycommon.cpp`).
    fn WdfVersionBind(DriverObject: PDRIVER_OBJECT, RegistryPath: PUNICODE_STRING, BindInfo: *mut BindInfo, ComponentGlobals: *mut PWDF_DRIVER_GLOBALS) -> NTSTATUS {
        run.irql_at_most(0);
        if DriverObject.is_null() || RegistryPath.is_null() || BindInfo.is_null() || ComponentGlobals.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller's structure and place.
        unsafe {
            ComponentGlobals.write(std::ptr::null_mut());
            if let Err((status, why)) = suits(BindInfo) {
                run.context().machine.log(format!("WdfVersionBind: {why}"));
                return status;
            }
            let Some(globals) = loaded::bind(DriverObject) else {
                return STATUS_INVALID_PARAMETER;
            };
            (*BindInfo).FuncTable.write(table::TABLE.base());
            ComponentGlobals.write(globals);
        }
        STATUS_SUCCESS
    }

    /// Undoes `WdfVersionBind`. The driver's framework object goes, if it is still there.
    fn WdfVersionUnbind(RegistryPath: PUNICODE_STRING, BindInfo: *mut BindInfo, ComponentGlobals: PWDF_DRIVER_GLOBALS) -> NTSTATUS {
        run.irql_at_most(0);
        match loaded::unbind(ComponentGlobals) {
            Some(driver) => {
                crate::wdf::abandon_driver(driver);
                STATUS_SUCCESS
            }
            None => STATUS_UNSUCCESSFUL,
        }
    }

    /// Binds a binary to a class extension; there are none.
    fn WdfVersionBindClass(BindInfo: *mut BindInfo, Globals: PWDF_DRIVER_GLOBALS, ClassBindInfo: PVOID) -> NTSTATUS {
        STATUS_OBJECT_NAME_NOT_FOUND
    }

    /// Undoes `WdfVersionBindClass`.
    fn WdfVersionUnbindClass(BindInfo: *mut BindInfo, Globals: PWDF_DRIVER_GLOBALS, ClassBindInfo: PVOID) {
    }
}

/// Whether the framework of this machine is the one that is asked for.
///
/// # Safety
/// `info` is the caller's structure.
unsafe fn suits(info: *mut BindInfo) -> Result<(), (NTSTATUS, String)> {
    // SAFETY: the caller's contract.
    let (size, version, count, table, component) = unsafe {
        let size = (*info).Size as usize;
        if size != size_of::<BindInfo>() {
            return Err((
                STATUS_INVALID_PARAMETER,
                format!("a WDF_BIND_INFO of {size} bytes"),
            ));
        }
        (
            size,
            ((*info).Major, (*info).Minor),
            (*info).FuncCount as usize,
            (*info).FuncTable,
            text((*info).Component),
        )
    };
    debug_assert_eq!(size, 48, "as on Windows");
    let (major, minor) = version;
    if component != COMPONENT || major != VERSION.0 {
        let why = format!("there is no library {component:?} {major}");
        return Err((STATUS_OBJECT_NAME_NOT_FOUND, why));
    }
    if minor > VERSION.1 {
        let why = format!("the driver wants KMDF 1.{minor}, and this is KMDF 1.15");
        return Err((STATUS_OBJECT_TYPE_MISMATCH, why));
    }
    if count != table::ENTRIES || table.is_null() {
        let why = format!(
            "the driver has a table of {count} functions (KMDF 1.{minor}); only that of KMDF 1.15, \
             with {}, is here",
            table::ENTRIES
        );
        return Err((STATUS_INVALID_PARAMETER, why));
    }
    Ok(())
}

/// # Safety
/// `string` is null or ends with a zero.
unsafe fn text(string: PCWSTR) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's contract.
    let units = (0..64)
        .map(|index| unsafe { string.add(index).read() })
        .take_while(|&unit| unit != 0);
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or('?'))
        .collect()
}
