//! A monolithic driver for a DMA disk controller: nobody below it splits a request that is too large
//! for one DMA operation, and nobody above it knows how many map registers there are, so it "must
//! split up large transfer requests for itself" and "carry out a sequence of DMA operations in order
//! to satisfy the IRP" [Microsoft, Splitting DMA Transfer Requests].
//!
//! # A request's way
//!
//! ```text
//! dispatch::read_write            is it a request that a disk can serve?
//!   └ Controller::submit          the cancel-safe queue; the DPC is asked to look
//! Controller::dpc_for_isr         the only place where anything goes on
//!   └ Transfer::begin             the request's plan: limits, map registers, sectors -> pieces
//!   └ Transfer::step
//!       packet-based DMA                          scatter/gather DMA
//!       AllocateAdapterChannel  once              GetScatterGatherList    for each operation
//!       MapTransfer             for each          (the list)
//!         registers programmed                      registers programmed
//!         interrupt -> isr -> DPC                   interrupt -> isr -> DPC
//!       FlushAdapterBuffers     for each          PutScatterGatherList    for each
//!       FreeMapRegisters        once
//!   └ Controller::finish          IofCompleteRequest, and the next request
//! ```
//!
//! # Who may touch what
//!
//! Everything that happens (a request arrives, map registers are granted, the controller interrupts,
//! the device is pulled out) is noted in [`signals`] and the DPC is queued. The DPC works on one
//! request at a time and needs no lock for it, however many processors run it ([`serial`]).
//!
//! | Where | IRQL |
//! |---|---|
//! | `driver`, `device`, `hardware` | PASSIVE_LEVEL |
//! | `dispatch` | <= DISPATCH_LEVEL |
//! | `controller`, `transfer`, `adapter` | DISPATCH_LEVEL: no waits, no paged memory, no allocation |
//! | `interrupt::isr` | DIRQL: the registers, one atomic word, the DPC |
#![no_std]
#![deny(clippy::multiple_unsafe_ops_per_block)]

mod adapter;
mod controller;
mod counters;
mod device;
mod dispatch;
mod driver;
mod hardware;
mod interrupt;
mod limits;
mod registers;
mod serial;
mod signals;
mod transfer;

pub use driver::driver_entry;

/// Pool for the crates below us; this driver's own code never uses it.
#[cfg(windows)]
#[global_allocator]
static POOL: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;

#[cfg(windows)]
extern crate wdk_panic;
