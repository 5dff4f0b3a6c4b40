//! The names of `wdk`, answered by the simulated kernel: formatted debug output and a status helper.
#![no_std]

pub use ntsim::abi::NT_SUCCESS as nt_success;

/// Prints to the machine's debug log.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::_print(::core::format_args!($($argument)*))
    };
}

/// Prints to the machine's debug log, with a line's end.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::print!("{}\n", ::core::format_args!($($argument)*))
    };
}

/// Stops the machine unless the caller runs below `DISPATCH_LEVEL`, as paged code has to.
#[macro_export]
macro_rules! paged_code {
    () => {
        $crate::_paged_code()
    };
}

/// What [`paged_code!`] expands to.
#[doc(hidden)]
pub fn _paged_code() {
    ntsim::ke::assert_pageable();
}

/// What the macros expand to.
#[doc(hidden)]
pub fn _print(text: core::fmt::Arguments<'_>) {
    ntsim::ke::debug_print(text);
}

/// A breakpoint that no debugger is attached for: it is noted in the log.
pub fn dbg_break() {
    ntsim::ke::debug_print(format_args!("(breakpoint)\n"));
}
