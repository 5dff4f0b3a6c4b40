//! The kernel's exports under the names that drivers import: what `wdk_sys::ntddk` is.

pub use crate::controller::exports::*;
pub use crate::dma::exports::*;
pub use crate::io::exports::*;
pub use crate::ke::exports::*;
pub use crate::memory::exports::*;
pub use crate::ps::exports::*;
pub use crate::registry::exports::*;
pub use crate::registry::rtl::*;

use crate::export::Export;

/// Every export of the kernel that a loaded image can import.
pub fn table() -> impl Iterator<Item = &'static Export> {
    crate::io::TABLES
        .iter()
        .chain(crate::controller::TABLES)
        .chain(crate::dma::TABLES)
        .chain(crate::ke::TABLES)
        .chain(crate::memory::TABLES)
        .chain(crate::ps::TABLES)
        .chain(crate::registry::TABLES)
        .flat_map(|table| table.iter())
}
