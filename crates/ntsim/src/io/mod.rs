//! The I/O manager: IRPs on their way down and up, device objects, cancellation, work items.

mod associated;
mod build;
mod cancel;
mod complete;
mod completion_ex;
mod csq;
mod device;
mod error_log;
mod irp;
mod leaks;
mod priority;
mod property;
mod region;
mod remove_lock;
mod send;
mod state;
mod watch;
mod work_item;

pub use build::{IoControl, build_io_control};
pub use complete::complete_request;
pub use completion_ex::set_completion_routine_ex;
pub use device::{
    attach, create_device, create_driver, delete_device, delete_driver, detach, driver_id,
};
pub use error_log::{ErrorLogRecord, error_log};
pub use irp::{allocate_irp, current_location, free_irp, next_location, reuse_irp};
pub use send::call_driver;
pub use watch::{Arrival, arrivals, filter_routine, unwatch, watch};

pub(crate) use cancel::swap_routine as set_cancel_routine;
pub(crate) use region::assert_left as assert_regions_left;
pub(crate) use remove_lock::forget_range;
pub(crate) use state::IoState;
pub(crate) use work_item::WorkQueue;

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] = &[
    associated::exports::TABLE,
    build::exports::TABLE,
    cancel::TABLE,
    complete::exports::TABLE,
    completion_ex::exports::TABLE,
    csq::TABLE,
    device::exports::TABLE,
    error_log::exports::TABLE,
    irp::exports::TABLE,
    priority::TABLE,
    property::TABLE,
    region::exports::TABLE,
    remove_lock::exports::TABLE,
    send::exports::TABLE,
    work_item::TABLE,
];

/// The exports of this module.
pub mod exports {
    pub use super::associated::exports::*;
    pub use super::build::exports::*;
    pub use super::cancel::*;
    pub use super::complete::exports::*;
    pub use super::completion_ex::exports::*;
    pub use super::csq::*;
    pub use super::device::exports::*;
    pub use super::error_log::exports::*;
    pub use super::irp::exports::*;
    pub use super::priority::*;
    pub use super::property::*;
    pub use super::region::exports::*;
    pub use super::remove_lock::exports::*;
    pub use super::send::exports::*;
    pub use super::work_item::*;
}
