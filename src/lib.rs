//! xfersplit: a KMDF storage filter driver that splits reads and writes too large for the host
//! adapter.
//!
//! A disk's host adapter moves at most `MaximumTransferLength` bytes over `MaximumPhysicalPages`
//! pages in one request. This driver sees every read and write on its way to the adapter and turns
//! each one that is too large into child requests, each with a partial MDL and a request block of
//! its own, whose completions complete the original exactly once.
//!
//! # A request's way
//!
//! ```text
//! dispatch::dispatch_read_write      what is asked?            (a shape's own reading of its IRP)
//!   └ split::split_transfer_request  take a transfer, or wait  (wdm::queue, split::serve)
//!       └ split::pump                one piece after another, within the window
//!           └ srb::build_request     the request block of one attempt
//!           └ IofCallDriver          to the adapter
//!   ┌ split::completion              judge, retry, shrink, merge
//!   └ the last one                   completes the original IRP
//! ```
//!
//! Everything that can be decided without touching an IRP (the limits, the plan, what an error
//! means, which error the parent reports) is in `xfersplit-core`, which has no unsafe code.
//!
//! # IRQL
//!
//! | Where | IRQL |
//! |---|---|
//! | `driver`, `device`, `start` | PASSIVE_LEVEL |
//! | `paired` | PASSIVE_LEVEL, but for the answers: <= DISPATCH_LEVEL |
//! | `dispatch`, `split`, `srb` | <= DISPATCH_LEVEL: no waits, no paged memory, no allocation |
#![no_std]
#![deny(clippy::multiple_unsafe_ops_per_block)]

mod counters;
mod device;
mod dispatch;
mod driver;
mod paired;
mod pooled;
mod property;
mod settings;
mod shape;
mod split;
mod srb;
mod start;

pub use driver::driver_entry;

use xfersplit_wdm::{self as wdm, memory::Tag, wdf};

/// The driver's pool tag, `xfsp` as tools show it.
const TAG: Tag = Tag::new(*b"xfsp");

/// Pool for the crates below us; this driver's own code never uses it.
#[cfg(windows)]
#[global_allocator]
static POOL: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;

#[cfg(windows)]
extern crate wdk_panic;
