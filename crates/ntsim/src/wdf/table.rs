//! The function table of KMDF 1.15: 444 entries, indexed as in `wdffuncenum.h`.
//!
//! A driver binary calls the framework through this table, with its `WDF_DRIVER_GLOBALS` as first
//! argument. Linked sources call [`functions`] directly, which is what
//! `call_unsafe_wdf_function_binding!` expands to; both end in the same code. Entries that no filter
//! needs exist and stop the machine when they are called, and so does a call through an index that
//! the bound version does not have.

use core::ffi::c_void;

use super::violation::{Violation, violation};
use crate::abi::PWDF_DRIVER_GLOBALS;

/// `WdfFunctionTableNumEntries` of KMDF 1.15 and 1.17.
pub const ENTRIES: usize = 444;
/// Readable entries behind the table: what a driver built for a newer version would find there.
const BEYOND: usize = 68;

/// One function, callable with both calling conventions of the machine's drivers.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its place in the table.
    pub index: usize,
    /// Its name without `Wdf` cut off.
    pub name: &'static str,
    /// `extern "C"`, globals first.
    pub c: *const c_void,
    /// `extern "win64"`, globals first.
    pub win64: *const c_void,
}

// SAFETY: the pointers are those of functions.
unsafe impl Sync for Entry {}
// SAFETY: as above.
unsafe impl Send for Entry {}

/// A table as a loaded driver binary gets it: one `extern "win64"` pointer for each entry.
#[repr(transparent)]
pub struct Table([*const c_void; ENTRIES + BEYOND]);

// SAFETY: the pointers are those of functions.
unsafe impl Sync for Table {}

impl Table {
    /// The address of entry 0.
    #[must_use]
    pub const fn base(&self) -> *const *const c_void {
        (&raw const self.0).cast()
    }
}

/// Defines framework functions: for each one the function that linked drivers call, and its entry.
macro_rules! wdf_functions {
    ($(
        $(#[doc = $doc:expr])*
        $index:literal fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {
        $(
            $(#[doc = $doc])*
            ///
            /// # Safety
            ///
            /// Handles are checked; every other pointer must be what the function of the same name
            /// in the KMDF headers asks for.
            #[expect(non_snake_case, reason = "name and arguments are those of the KMDF headers")]
            #[allow(clippy::too_many_arguments, reason = "the signature is that of the KMDF headers")]
            pub unsafe fn $name($($argument: $type),*) $(-> $result)? $body
        )*

        /// The entries of this module.
        pub(in crate::wdf) const ENTRIES: &[$crate::wdf::table::Entry] = &[$(
            {
                #[expect(non_snake_case, reason = "arguments are those of the KMDF headers")]
                #[allow(clippy::too_many_arguments, reason = "the signature is that of the KMDF headers")]
                unsafe extern "C" fn c(
                    globals: $crate::abi::PWDF_DRIVER_GLOBALS,
                    $($argument: $type),*
                ) $(-> $result)? {
                    $crate::wdf::table::with_globals(globals, || {
                        // SAFETY: the caller's promises are those of the function itself.
                        unsafe { $name($($argument),*) }
                    })
                }
                #[cfg(all(target_arch = "x86_64", not(miri)))]
                #[expect(non_snake_case, reason = "arguments are those of the KMDF headers")]
                #[allow(clippy::too_many_arguments, reason = "the signature is that of the KMDF headers")]
                unsafe extern "win64" fn win64(
                    globals: $crate::abi::PWDF_DRIVER_GLOBALS,
                    $($argument: $type),*
                ) $(-> $result)? {
                    $crate::wdf::table::with_globals(globals, || {
                        // SAFETY: the caller's promises are those of the function itself.
                        unsafe { $name($($argument),*) }
                    })
                }
                #[cfg(not(all(target_arch = "x86_64", not(miri))))]
                use c as win64;
                $crate::wdf::table::Entry {
                    index: $index,
                    name: stringify!($name),
                    c: c as *const core::ffi::c_void,
                    win64: win64 as *const core::ffi::c_void,
                }
            }
        ),*];
    };
}
pub(crate) use wdf_functions;

/// Every framework function that there is, under the name by which
/// `call_unsafe_wdf_function_binding!` asks for it. The globals are not passed.
pub mod functions {
    pub use crate::wdf::device::calls::*;
    pub use crate::wdf::dispatch::calls::*;
    pub use crate::wdf::driver::calls::*;
    pub use crate::wdf::init::calls::*;
    pub use crate::wdf::key::calls::*;
    pub use crate::wdf::lists::calls::*;
    pub use crate::wdf::locks::calls::*;
    pub use crate::wdf::memory::calls::*;
    pub use crate::wdf::object_calls::*;
    pub use crate::wdf::resources::calls::*;
    pub use crate::wdf::target::calls::*;
    pub use crate::wdf::work::calls::*;
}

const MODULES: &[&[Entry]] = &[
    super::device::calls::ENTRIES,
    super::dispatch::calls::ENTRIES,
    super::driver::calls::ENTRIES,
    super::init::calls::ENTRIES,
    super::key::calls::ENTRIES,
    super::lists::calls::ENTRIES,
    super::locks::calls::ENTRIES,
    super::memory::calls::ENTRIES,
    super::object_calls::ENTRIES,
    super::resources::calls::ENTRIES,
    super::target::calls::ENTRIES,
    super::work::calls::ENTRIES,
];

/// The function at an index, or the bug check that a driver gets for calling it.
#[must_use]
pub fn entry(index: usize) -> Entry {
    if index >= ENTRIES {
        beyond(index);
    }
    match implemented().find(|entry| entry.index == index) {
        Some(entry) => *entry,
        None => missing(index),
    }
}

/// Every function that is implemented.
pub fn implemented() -> impl Iterator<Item = &'static Entry> {
    MODULES.iter().copied().flatten()
}

/// The table for loaded driver binaries.
pub static TABLE: Table = Table(build());

const fn build() -> [*const c_void; ENTRIES + BEYOND] {
    let mut table = placeholders();
    let mut module = 0;
    while module < MODULES.len() {
        let mut at = 0;
        while at < MODULES[module].len() {
            let entry = MODULES[module][at];
            table[entry.index] = entry.win64;
            at += 1;
        }
        module += 1;
    }
    table
}

fn missing(index: usize) -> ! {
    violation(
        Violation::ApiUnavailable,
        index as u64,
        ENTRIES as u64,
        &format!("the framework function at index {index} is not part of this simulated framework"),
    )
}

fn beyond(index: usize) -> ! {
    violation(
        Violation::ApiUnavailable,
        index as u64,
        ENTRIES as u64,
        &format!(
            "a framework function was called at index {index}, but the driver is bound to \
             KMDF 1.15, whose table has {ENTRIES} entries"
        ),
    )
}

/// Runs a call that came through the table as one of the driver that the globals belong to.
pub(crate) fn with_globals<T>(globals: PWDF_DRIVER_GLOBALS, call: impl FnOnce() -> T) -> T {
    match super::driver::of_globals(globals) {
        Some(who) if who.id != super::kernel::running_driver() => {
            super::frame::enter(&who, "a framework call", call)
        }
        _ => call(),
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
extern "win64" fn stop<const INDEX: usize>() {
    stop_at(INDEX);
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
extern "C" fn stop<const INDEX: usize>() {
    stop_at(INDEX);
}

fn stop_at(index: usize) -> ! {
    if index < ENTRIES {
        missing(index)
    } else {
        beyond(index)
    }
}

/// One stopping function for each index, so that the report can name the index.
const fn placeholders() -> [*const c_void; ENTRIES + BEYOND] {
    macro_rules! sixteens {
        ($($high:literal)*) => {
            [$(
                stop::<{ $high * 16 }> as *const c_void,
                stop::<{ $high * 16 + 1 }> as *const c_void,
                stop::<{ $high * 16 + 2 }> as *const c_void,
                stop::<{ $high * 16 + 3 }> as *const c_void,
                stop::<{ $high * 16 + 4 }> as *const c_void,
                stop::<{ $high * 16 + 5 }> as *const c_void,
                stop::<{ $high * 16 + 6 }> as *const c_void,
                stop::<{ $high * 16 + 7 }> as *const c_void,
                stop::<{ $high * 16 + 8 }> as *const c_void,
                stop::<{ $high * 16 + 9 }> as *const c_void,
                stop::<{ $high * 16 + 10 }> as *const c_void,
                stop::<{ $high * 16 + 11 }> as *const c_void,
                stop::<{ $high * 16 + 12 }> as *const c_void,
                stop::<{ $high * 16 + 13 }> as *const c_void,
                stop::<{ $high * 16 + 14 }> as *const c_void,
                stop::<{ $high * 16 + 15 }> as *const c_void,
            )*]
        };
    }
    sixteens!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_those_of_the_headers_and_used_once() {
        let mut seen = std::collections::HashMap::new();
        for entry in implemented() {
            assert!(entry.index < ENTRIES, "{}", entry.name);
            assert_eq!(seen.insert(entry.index, entry.name), None, "{}", entry.name);
        }
        for (index, name) in [
            (116, "WdfDriverCreate"),
            (75, "WdfDeviceCreate"),
            (34, "WdfDeviceWdmDispatchPreprocessedIrp"),
            (186, "WdfIoTargetSendIoctlSynchronously"),
            (202, "WdfObjectGetTypedContextWorker"),
            (240, "WdfRegistryQueryULong"),
            (403, "WdfDeviceInitSetRemoveLockOptions"),
        ] {
            assert_eq!(seen.get(&index), Some(&name));
        }
    }
}
