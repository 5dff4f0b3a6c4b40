//! `GetScatterGatherList` and `PutScatterGatherList`.

use std::sync::Arc;

use super::adapter::TAG;
use super::state::{List, Request, State, Wanted};
use super::transfer::{Range, frames_of};
use super::violation::{LIST_FREED, WRONG_DIRECTION, broken};
use super::{Hal, channel, starved};
use crate::abi::{
    NTSTATUS, PDEVICE_OBJECT, PDMA_ADAPTER, PDRIVER_LIST_CONTROL, PHYSICAL_ADDRESS, PIRP,
    PSCATTER_GATHER_LIST, PVOID, SCATTER_GATHER_ELEMENT, SCATTER_GATHER_LIST,
    STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
};
use crate::call;
use crate::machine::context::Context;
use crate::machine::{DriverId, Machine, Owner, Shared, Violation};
use crate::memory::{self, span_pages};

/// Which list a driver wants, and who is to get it.
#[derive(Clone, Copy)]
pub(super) struct ListRequest {
    mdl: Shared<crate::abi::MDL>,
    va: usize,
    length: usize,
    write: bool,
    routine: PDRIVER_LIST_CONTROL,
    context: Shared<core::ffi::c_void>,
}

impl ListRequest {
    pub(super) fn new(
        range: Range,
        write: bool,
        routine: PDRIVER_LIST_CONTROL,
        context: PVOID,
    ) -> Self {
        Self {
            mdl: Shared(range.mdl),
            va: range.va,
            length: range.length,
            write,
            routine,
            context: Shared(context),
        }
    }

    const fn range(&self) -> Range {
        Range {
            mdl: self.mdl.0,
            va: self.va,
            length: self.length,
        }
    }
}

/// `GetScatterGatherList`: asks for the map registers that the list needs.
///
/// # Safety
/// The device is alive and the MDL valid until the routine has been called and the list put back.
pub(super) unsafe fn get(
    context: &Context,
    address: PDMA_ADAPTER,
    device: PDEVICE_OBJECT,
    wanted: ListRequest,
) -> NTSTATUS {
    let range = wanted.range();
    // SAFETY: the caller's contract.
    if unsafe { ends_beyond(range) } {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller's contract.
    let frames = unsafe { frames_of("GetScatterGatherList", range) };
    frames.unwrap_or_else(|violation| violation.raise());
    let count = span_pages(range.va, range.length) as u32;
    let hal = context.machine.extension::<Hal>();
    let most = {
        let mut state = hal.state();
        let adapter = state.adapter("GetScatterGatherList", address);
        adapter.map(|adapter| adapter.registers)
    };
    let most = most.unwrap_or_else(|violation| violation.raise());
    if count > most
        || starved(
            context,
            size_of::<SCATTER_GATHER_ELEMENT>() * count as usize,
        )
    {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let request = Request {
        adapter: address.addr(),
        device: Shared(device),
        // SAFETY: the caller's contract.
        irp: Shared(unsafe { (*device).CurrentIrp }),
        count,
        what: Wanted::List(wanted),
        waited: false,
    };
    channel::ask(&context.machine, &hal, request);
    STATUS_SUCCESS
}

/// Whether a range that begins inside its MDL ends beyond it.
///
/// # Safety
/// The MDL is null or valid.
unsafe fn ends_beyond(range: Range) -> bool {
    if range.mdl.is_null() {
        return false;
    }
    // SAFETY: the caller's contract.
    let (start, bytes) = unsafe {
        (
            (*range.mdl).StartVa.addr() + (*range.mdl).ByteOffset as usize,
            (*range.mdl).ByteCount as usize,
        )
    };
    (start..start + bytes).contains(&range.va) && range.va + range.length > start + bytes
}

/// Maps the range run by run and writes the list.
pub(super) fn make(
    machine: &Arc<Machine>,
    hal: &Hal,
    adapter: usize,
    base: usize,
    wanted: &ListRequest,
) -> PSCATTER_GATHER_LIST {
    let range = wanted.range();
    // SAFETY: the MDL is valid until the list has been put back, as `get`'s caller vouched.
    let frames = unsafe { frames_of("GetScatterGatherList", range) };
    let made = frames.and_then(|frames| {
        let mut state = hal.state();
        state.counts.lists += 1;
        let elements = state.elements(machine, adapter, base, range, &frames, wanted.write)?;
        let memory = write_list(&elements);
        state.lists.insert(
            memory.addr(),
            List {
                adapter,
                base,
                memory: Shared(memory),
                mdl: range.mdl,
                va: range.va,
                length: range.length,
                write: wanted.write,
            },
        );
        Ok(memory)
    });
    made.unwrap_or_else(|violation| violation.raise())
}

impl State {
    fn elements(
        &mut self,
        machine: &Machine,
        adapter: usize,
        base: usize,
        range: Range,
        frames: &[u64],
        write: bool,
    ) -> Result<Vec<(u64, usize)>, Violation> {
        let base = core::ptr::without_provenance_mut(base);
        let mut elements = Vec::new();
        let mut done = 0;
        while done < range.length {
            let rest = Range {
                va: range.va + done,
                length: range.length - done,
                ..range
            };
            let page = (range.va + done) / memory::PAGE - range.va / memory::PAGE;
            let (logical, length) =
                self.map(machine, adapter, base, rest, &frames[page..], write)?;
            elements.push((logical, length));
            done += length;
        }
        Ok(elements)
    }
}

/// A list in memory, as wdm.h describes it.
fn write_list(elements: &[(u64, usize)]) -> PSCATTER_GATHER_LIST {
    let bytes =
        size_of::<SCATTER_GATHER_LIST>() + size_of::<SCATTER_GATHER_ELEMENT>() * elements.len();
    let list: PSCATTER_GATHER_LIST = memory::pool_allocate(Owner::Harness, bytes, TAG).cast();
    // SAFETY: fresh memory with room for the header and all elements behind it.
    unsafe {
        (&raw mut (*list).NumberOfElements).write(elements.len() as u32);
        let first: *mut SCATTER_GATHER_ELEMENT = list.add(1).cast();
        for (index, &(logical, length)) in elements.iter().enumerate() {
            first.add(index).write(SCATTER_GATHER_ELEMENT {
                Address: PHYSICAL_ADDRESS {
                    QuadPart: logical.cast_signed(),
                },
                Length: length as u32,
                Reserved: 0,
            });
        }
    }
    list
}

/// Hands a list to the driver that waited for it. `DISPATCH_LEVEL`.
pub(super) fn deliver(
    driver: DriverId,
    device: PDEVICE_OBJECT,
    irp: PIRP,
    wanted: &ListRequest,
    list: PSCATTER_GATHER_LIST,
) {
    let Some(routine) = wanted.routine else {
        return;
    };
    let context = wanted.context.0;
    call::as_driver(driver, "an AdapterListControl routine", || {
        // SAFETY: the driver's routine with the arguments that DRIVER_LIST_CONTROL [wdm.h] names.
        unsafe { call::enter(routine, (device, irp, list, context)) }
    });
}

/// `PutScatterGatherList`: flushes, and gives registers and memory back.
pub(super) fn put(
    machine: &Machine,
    hal: &Hal,
    address: PDMA_ADAPTER,
    list: PSCATTER_GATHER_LIST,
    write: bool,
) -> Result<(), Violation> {
    let mut state = hal.state();
    state.adapter("PutScatterGatherList", address)?;
    let made = state.counts.lists;
    let Some(known) = state.list(address.addr(), list) else {
        let story = format!(
            "PutScatterGatherList of {list:p}, which is no list of this adapter: it was put back \
             before, or never made."
        );
        return Err(broken(LIST_FREED, [made, made + 1, 0], story));
    };
    if known.write != write {
        let story = "PutScatterGatherList with another direction than the list was made for.";
        return Err(broken(WRONG_DIRECTION, [known.va as u64, 0, 0], story));
    }
    let base = core::ptr::without_provenance_mut(known.base);
    let range = Range {
        mdl: known.mdl,
        va: known.va,
        length: known.length,
    };
    state.flush(machine, address.addr(), base, range, write)?;
    state.drop_grant(known.base);
    drop(state);
    // SAFETY: taken out of the table, and the driver has given it up.
    unsafe { memory::pool_free(known.memory.0.cast()) };
    Ok(())
}
