//! The binary interface: types and constants under the names and with the layouts that bindgen
//! gives them in `wdk_sys` for x64.
//!
//! Driver sources compile against these on a host and against the real crate on Windows, so names,
//! field paths (`__bindgen_anon_1` and all), integer types, sizes and offsets are those of
//! `wdk_sys`, not those one would choose. `layout` asserts sizes and offsets at compile time; the
//! crate's tests compare them with `windows-sys`.
//!
//! Nothing here knows of the simulation. What `wdk_sys` does not have (inline functions, `IOCTL_*`
//! numbers, `CTL_CODE`) is missing here too, so that a driver cannot come to rely on it.
#![expect(
    missing_docs,
    reason = "the Microsoft headers document these names; repeating them would only add distance"
)]
#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "names are those of the Windows headers"
)]
#![expect(
    clippy::pub_underscore_fields,
    clippy::used_underscore_binding,
    reason = "names are those of bindgen's output"
)]
#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "one namespace, as in the headers; the files only sort it"
    )
)]

/// `Default` as bindgen derives it: every byte zero.
macro_rules! zeroed {
    ($($name:ident),+ $(,)?) => {
        $(impl Default for $name {
            fn default() -> Self {
                // SAFETY: the type is made of integers, raw pointers and `Option` of function
                // pointers, for all of which zero bytes are a value.
                unsafe { core::mem::zeroed() }
            }
        })+
    };
}

/// Structures that drivers only ever see behind a pointer.
macro_rules! opaque {
    ($($name:ident),+ $(,)?) => {
        $(
            #[derive(Clone, Copy, Debug)]
            #[repr(C)]
            pub struct $name {
                _unused: [u8; 0],
            }
        )+
    };
}

/// An enumeration as bindgen's `ModuleConsts` style writes it: a module of `c_int` constants.
macro_rules! enumeration {
    ($module:ident as $alias:ident { $($name:ident = $value:expr),+ $(,)? }) => {
        enumeration!($module { $($name = $value),+ });
        pub type $alias = $module::Type;
    };
    ($module:ident { $($name:ident = $value:expr),+ $(,)? }) => {
        pub mod $module {
            pub type Type = core::ffi::c_int;
            $(pub const $name: Type = $value;)+
        }
    };
}

mod base;
mod bitfield;
mod callbacks;
mod constants;
mod dma;
mod enums;
mod etw;
mod ex;
mod interrupt;
mod irp;
mod ke;
mod layout;
mod mm;
mod object;
mod registry;
mod resources;
mod scsi;
mod srb;
mod status;
mod storage;
mod wdf;
mod wdf_functions;

pub use base::*;
pub use bitfield::*;
pub use callbacks::*;
pub use constants::*;
pub use dma::*;
pub use enums::*;
pub use etw::*;
pub use ex::*;
pub use interrupt::*;
pub use irp::*;
pub use ke::*;
pub use mm::*;
pub use object::*;
pub use registry::*;
pub use resources::*;
pub use scsi::*;
pub use srb::*;
pub use status::*;
pub use storage::*;
pub use wdf::*;
pub use wdf_functions::*;
