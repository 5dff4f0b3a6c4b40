//! The names of `wdk-sys`, answered by the simulated kernel.
//!
//! A driver says `use wdk_sys::…` and is linked with the real crate on Windows and with this one
//! anywhere else. Everything is defined in [`ntsim`]; here it only gets its usual place.
#![no_std]

pub use ntsim::abi::*;

/// Functions of the kernel, as `wdk_sys::ntddk` has them.
pub mod ntddk {
    pub use ntsim::ntddk::*;
}

/// Calls a framework function by its name in the headers, without the driver globals: those are the
/// caller's own, here as on Windows.
///
/// ```text
/// let status = call_unsafe_wdf_function_binding!(WdfDriverCreate, driver, path, attributes, config, handle);
/// ```
#[macro_export]
macro_rules! call_unsafe_wdf_function_binding {
    ($function:ident $(, $argument:expr)* $(,)?) => {
        $crate::__private::functions::$function($($argument),*)
    };
}

/// Stops the machine unless the caller runs below `DISPATCH_LEVEL`, as paged code has to.
#[macro_export]
macro_rules! PAGED_CODE {
    () => {
        $crate::__private::assert_pageable()
    };
}

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use ntsim::ke::assert_pageable;
    pub use ntsim::wdf::functions;
}
