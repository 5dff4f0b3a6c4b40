//! The HAL's DMA adapters: map registers, channels, and what a bus master reaches through them.
//!
//! A driver gets an adapter with `IoGetDmaAdapter` and works through its table of operations. Map
//! registers come from one pool for the whole machine. Whoever asks for more than is free waits in
//! order of arrival, and an adapter serves one request for its channel at a time. The order of
//! things and their arithmetic follow ReactOS, hal/halx86/generic/dma.c, and the documents of each
//! routine in wdm.h.
//!
//! A *logical address* is what a device puts on the bus. Where the device reaches a frame, it is the
//! frame's physical address; elsewhere it is that of a map register, behind which a page of the
//! HAL's own stands in for the buffer's (a *bounce*): filled by `MapTransfer` before a write to the
//! device, emptied by `FlushAdapterBuffers` after a read from it. A device can follow a logical
//! address only while a transfer is mapped there (`reach`).
//!
//! Broken rules stop the machine with 0xE6 as Driver Verifier's DMA verification does
//! ([`violation`] says which number stands for which rule).
//!
//! | room | what it is for |
//! |---|---|
//! | `state` | adapters, grants of map registers, and what is mapped through them |
//! | `registers` | the pool of map registers |
//! | `adapter` | `IoGetDmaAdapter`, `PutDmaAdapter` |
//! | `channel` | `AllocateAdapterChannel`, who waits for it, and how it ends |
//! | `transfer` | `MapTransfer`, `FlushAdapterBuffers` |
//! | `list` | `GetScatterGatherList`, `PutScatterGatherList` |
//! | `common` | common buffers |
//! | [`table`] | the operations as drivers call them |
//! | `reach` | the device's side |

mod adapter;
mod channel;
mod common;
mod list;
mod reach;
mod registers;
mod state;
pub mod table;
mod transfer;
pub mod violation;

use std::sync::{Mutex, MutexGuard};

pub(crate) use reach::reach;
pub use reach::{Refused, device_reads, device_writes};
pub use state::{DmaCounts, Grants, Greedy, Setup};

use crate::abi::PDEVICE_OBJECT;
use crate::machine::context::Context;
use crate::machine::{AllocationKind, DriverId, Machine, Owner, lock};
use state::State;

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] = &[adapter::TABLE];

/// The exports of this module.
pub mod exports {
    pub use super::adapter::IoGetDmaAdapter;
}

/// The HAL of one machine.
#[derive(Default)]
pub(crate) struct Hal {
    state: Mutex<State>,
}

impl Hal {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// How the HAL treats the device that stands for `pdo`: before its driver asks for an adapter.
pub fn set_up(pdo: PDEVICE_OBJECT, setup: Setup) {
    let hal = Machine::current().extension::<Hal>();
    hal.state().setups.insert(pdo.addr(), setup);
}

/// How many map registers the machine has for all adapters together; before any is granted.
///
/// # Panics
/// If registers are in use, or for more than 1536 of them: more do not lie within what 24 address
/// bits reach.
pub fn set_pool(registers: u32) {
    let hal = Machine::current().extension::<Hal>();
    hal.state().file.resize(registers);
}

/// Another device's driver that takes map registers out of the pool from time to time.
pub fn set_greedy(greedy: Option<Greedy>) {
    let hal = Machine::current().extension::<Hal>();
    hal.state().greedy = greedy;
}

/// What has happened so far on the calling thread's machine.
#[must_use]
pub fn counts() -> DmaCounts {
    Machine::current().extension::<Hal>().state().counts
}

/// Whether an allocation of the HAL's for a driver under test shall fail.
fn starved(context: &Context, bytes: usize) -> bool {
    context.frame.get().owner == Owner::Driver
        && context
            .machine
            .shall_fail(AllocationKind::Pool, bytes, adapter::TAG)
}

/// What nobody has given back, one line each: adapters, channels, map registers, mappings,
/// scatter/gather lists, common buffers.
#[must_use]
pub fn left_behind() -> Vec<String> {
    Machine::current()
        .extension::<Hal>()
        .state()
        .left_behind(None)
}

/// The same, of one driver.
pub(crate) fn leaks_of(machine: &Machine, driver: DriverId) -> Vec<String> {
    machine.extension::<Hal>().state().left_behind(Some(driver))
}
