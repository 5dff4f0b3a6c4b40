//! Running images: x86-64 Linux.

mod arena;
mod crash;
mod gates;
mod image;
mod imports;
mod loaded;
mod print;
mod raise;
mod runtime;
mod wdfldr;

pub use image::Image;

pub(crate) use arena::contains;
pub(crate) use loaded::{adapt, bound_globals, forget, start};

pub(super) use imports::resolve;
