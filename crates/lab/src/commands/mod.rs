//! The commands, one file each.

mod beneath;
pub(crate) mod demo;
pub(crate) mod plan;
mod progress;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod soak;
pub(crate) mod techniques;
