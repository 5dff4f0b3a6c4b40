//! The operations of an adapter as drivers call them.
//!
//! The IRQLs are those of each routine's document [Microsoft, wdm.h: `PMAP_TRANSFER` and its
//! neighbours]; who breaks them meets Driver Verifier's 0xE6/13.

use core::mem::offset_of;

use super::list::ListRequest;
use super::transfer::Range;
use super::violation::{exactly, up_to_dispatch};
use super::{Hal, adapter, channel, common, list, transfer};
use crate::abi::{
    BOOLEAN, DMA_OPERATIONS, NTSTATUS, PDEVICE_OBJECT, PDMA_ADAPTER, PDMA_OPERATIONS,
    PDRIVER_CONTROL, PDRIVER_LIST_CONTROL, PHYSICAL_ADDRESS, PMDL, PPHYSICAL_ADDRESS,
    PSCATTER_GATHER_LIST, PULONG, PVOID, STATUS_SUCCESS, ULONG,
};
use crate::export::exports;
use crate::machine::Violation;
use crate::machine::context::DISPATCH;

exports! { run;
    /// Ends an adapter. `PASSIVE_LEVEL`, where a device's resources are given back: stricter than its
    /// document, which has it up to `DISPATCH_LEVEL`.
    fn PutDmaAdapter(DmaAdapter: PDMA_ADAPTER) {
        exactly(run.context(), "PutDmaAdapter", 0);
        done(adapter::put(&run.context().machine, DmaAdapter));
    }

    /// Allocates memory that driver and device share; null when there is none that the device
    /// reaches. `PASSIVE_LEVEL`.
    fn AllocateCommonBuffer(DmaAdapter: PDMA_ADAPTER, Length: ULONG, LogicalAddress: PPHYSICAL_ADDRESS, CacheEnabled: BOOLEAN) -> PVOID {
        exactly(run.context(), "AllocateCommonBuffer", 0);
        let Some((address, logical)) = done(common::allocate(run.context(), DmaAdapter, Length)) else {
            return core::ptr::null_mut();
        };
        // SAFETY: the caller's place for the address.
        unsafe { (*LogicalAddress).QuadPart = logical.cast_signed() };
        address
    }

    /// Frees a common buffer. `PASSIVE_LEVEL`.
    fn FreeCommonBuffer(DmaAdapter: PDMA_ADAPTER, Length: ULONG, LogicalAddress: PHYSICAL_ADDRESS, VirtualAddress: PVOID, CacheEnabled: BOOLEAN) {
        exactly(run.context(), "FreeCommonBuffer", 0);
        let logical = value(LogicalAddress);
        done(common::free(&run.context().machine, DmaAdapter, Length, logical, VirtualAddress));
    }

    /// Calls the routine when channel and map registers are the driver's. `DISPATCH_LEVEL`.
    fn AllocateAdapterChannel(DmaAdapter: PDMA_ADAPTER, DeviceObject: PDEVICE_OBJECT, NumberOfMapRegisters: ULONG, ExecutionRoutine: PDRIVER_CONTROL, Context: PVOID) -> NTSTATUS {
        exactly(run.context(), "AllocateAdapterChannel", DISPATCH);
        // SAFETY: the caller's contract.
        unsafe { channel::allocate(run.context(), DmaAdapter, DeviceObject, NumberOfMapRegisters, ExecutionRoutine, Context) };
        STATUS_SUCCESS
    }

    /// Ends what `MapTransfer` mapped: the data is where the driver finds it. Up to
    /// `DISPATCH_LEVEL`.
    fn FlushAdapterBuffers(DmaAdapter: PDMA_ADAPTER, Mdl: PMDL, MapRegisterBase: PVOID, CurrentVa: PVOID, Length: ULONG, WriteToDevice: BOOLEAN) -> BOOLEAN {
        up_to_dispatch(run.context(), "FlushAdapterBuffers");
        let machine = &run.context().machine;
        let hal = machine.extension::<Hal>();
        let range = Range { mdl: Mdl, va: CurrentVa.addr(), length: Length as usize };
        let flushed = {
            let mut state = hal.state();
            state.counts.flushes += 1;
            let checked = state.adapter("FlushAdapterBuffers", DmaAdapter).map(|_| ());
            checked.and_then(|()| state.flush(machine, DmaAdapter.addr(), MapRegisterBase, range, WriteToDevice != 0))
        };
        done(flushed);
        1
    }

    /// Gives the channel back that an AdapterControl routine kept, with its map registers.
    /// `DISPATCH_LEVEL`.
    fn FreeAdapterChannel(DmaAdapter: PDMA_ADAPTER) {
        exactly(run.context(), "FreeAdapterChannel", DISPATCH);
        let machine = &run.context().machine;
        let hal = machine.extension::<Hal>();
        let freed = hal.state().free_channel(DmaAdapter);
        done(freed);
        channel::serve(machine, &hal);
    }

    /// Gives map registers back that an AdapterControl routine kept. `DISPATCH_LEVEL`.
    fn FreeMapRegisters(DmaAdapter: PDMA_ADAPTER, MapRegisterBase: PVOID, NumberOfMapRegisters: ULONG) {
        const NAME: &str = "FreeMapRegisters";
        exactly(run.context(), NAME, DISPATCH);
        let machine = &run.context().machine;
        let hal = machine.extension::<Hal>();
        let freed = {
            let mut state = hal.state();
            let checked = state.adapter(NAME, DmaAdapter).map(|_| ());
            checked.and_then(|()| state.free_registers(NAME, DmaAdapter.addr(), MapRegisterBase.addr(), NumberOfMapRegisters))
        };
        done(freed);
        channel::serve(machine, &hal);
    }

    /// Maps a part of a buffer for the device; says where, and in `Length` how much. Up to
    /// `DISPATCH_LEVEL`.
    fn MapTransfer(DmaAdapter: PDMA_ADAPTER, Mdl: PMDL, MapRegisterBase: PVOID, CurrentVa: PVOID, Length: PULONG, WriteToDevice: BOOLEAN) -> PHYSICAL_ADDRESS {
        up_to_dispatch(run.context(), "MapTransfer");
        // SAFETY: the caller's place for the length.
        let length = unsafe { Length.read() } as usize;
        let range = Range { mdl: Mdl, va: CurrentVa.addr(), length };
        // SAFETY: the caller's contract.
        let (logical, mapped) = unsafe { transfer::map(run.context(), DmaAdapter, MapRegisterBase, range, WriteToDevice != 0) };
        // SAFETY: the caller's place for the length.
        unsafe { Length.write(mapped as ULONG) };
        PHYSICAL_ADDRESS { QuadPart: logical.cast_signed() }
    }

    /// The alignment that buffers need: none, for caches and devices see the same. `PASSIVE_LEVEL`.
    fn GetDmaAlignment(DmaAdapter: PDMA_ADAPTER) -> ULONG {
        exactly(run.context(), "GetDmaAlignment", 0);
        let hal = run.context().machine.extension::<Hal>();
        let known = hal.state().adapter("GetDmaAlignment", DmaAdapter).map(|_| ());
        done(known);
        1
    }

    /// What a system DMA controller has left to do: a bus master has none, so nothing. Up to
    /// `DISPATCH_LEVEL`.
    fn ReadDmaCounter(DmaAdapter: PDMA_ADAPTER) -> ULONG {
        up_to_dispatch(run.context(), "ReadDmaCounter");
        let hal = run.context().machine.extension::<Hal>();
        let known = hal.state().adapter("ReadDmaCounter", DmaAdapter).map(|_| ());
        done(known);
        0
    }

    /// Calls the routine with a list of a buffer's runs as soon as there are map registers for it.
    /// `DISPATCH_LEVEL`.
    fn GetScatterGatherList(DmaAdapter: PDMA_ADAPTER, DeviceObject: PDEVICE_OBJECT, Mdl: PMDL, CurrentVa: PVOID, Length: ULONG, ExecutionRoutine: PDRIVER_LIST_CONTROL, Context: PVOID, WriteToDevice: BOOLEAN) -> NTSTATUS {
        exactly(run.context(), "GetScatterGatherList", DISPATCH);
        let range = Range { mdl: Mdl, va: CurrentVa.addr(), length: Length as usize };
        let wanted = ListRequest::new(range, WriteToDevice != 0, ExecutionRoutine, Context);
        // SAFETY: the caller's contract.
        unsafe { list::get(run.context(), DmaAdapter, DeviceObject, wanted) }
    }

    /// Ends a list: the data is where the driver finds it. `DISPATCH_LEVEL`.
    fn PutScatterGatherList(DmaAdapter: PDMA_ADAPTER, ScatterGather: PSCATTER_GATHER_LIST, WriteToDevice: BOOLEAN) {
        exactly(run.context(), "PutScatterGatherList", DISPATCH);
        let machine = &run.context().machine;
        let hal = machine.extension::<Hal>();
        done(list::put(machine, &hal, DmaAdapter, ScatterGather, WriteToDevice != 0));
        channel::serve(machine, &hal);
    }
}

fn done<T>(result: Result<T, Violation>) -> T {
    result.unwrap_or_else(|violation| violation.raise())
}

fn value(address: PHYSICAL_ADDRESS) -> u64 {
    // SAFETY: every reading of a LARGE_INTEGER is an integer.
    unsafe { address.QuadPart }.cast_unsigned()
}

/// Up to `BuildMdlFromScatterGatherList`, which ends version 2.
const SIZE: ULONG = offset_of!(DMA_OPERATIONS, GetDmaAdapterInfo) as ULONG;

const _: () = assert!(
    TABLE.len() == 12,
    "a row for each operation that is modelled"
);

/// The table of drivers whose sources are linked.
pub(super) fn for_sources() -> PDMA_OPERATIONS {
    static OPERATIONS: DMA_OPERATIONS = DMA_OPERATIONS {
        Size: SIZE,
        PutDmaAdapter: Some(PutDmaAdapter),
        AllocateCommonBuffer: Some(AllocateCommonBuffer),
        FreeCommonBuffer: Some(FreeCommonBuffer),
        AllocateAdapterChannel: Some(AllocateAdapterChannel),
        FlushAdapterBuffers: Some(FlushAdapterBuffers),
        FreeAdapterChannel: Some(FreeAdapterChannel),
        FreeMapRegisters: Some(FreeMapRegisters),
        MapTransfer: Some(MapTransfer),
        GetDmaAlignment: Some(GetDmaAlignment),
        ReadDmaCounter: Some(ReadDmaCounter),
        GetScatterGatherList: Some(GetScatterGatherList),
        PutScatterGatherList: Some(PutScatterGatherList),
        ..NOTHING
    };
    (&raw const OPERATIONS).cast_mut()
}

/// The table of loaded images: the operations above stand in the order of the table.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(super) fn for_images() -> PDMA_OPERATIONS {
    /// A table as an image sees it.
    #[repr(C)]
    struct ForImages {
        size: ULONG,
        operations: [*const (); OPERATIONS],
    }
    // SAFETY: the pointers are those of functions.
    unsafe impl Sync for ForImages {}
    const OPERATIONS: usize = (size_of::<DMA_OPERATIONS>() - 8) / size_of::<usize>();
    const fn entries() -> [*const (); OPERATIONS] {
        let mut entries = [core::ptr::null(); OPERATIONS];
        let mut at = 0;
        while at < TABLE.len() {
            entries[at] = TABLE[at].entry;
            at += 1;
        }
        entries
    }
    static FOR_IMAGES: ForImages = ForImages {
        size: SIZE,
        operations: entries(),
    };
    (&raw const FOR_IMAGES).cast_mut().cast()
}

/// The operations that are not modelled, and those of version 3.
// SAFETY: a size and optional pointers to functions, for all of which zero is a value.
const NOTHING: DMA_OPERATIONS = unsafe { core::mem::zeroed() };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_stand_in_the_order_of_the_table() {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.first(), Some(&"PutDmaAdapter"));
        for (name, offset) in [
            (
                "AllocateAdapterChannel",
                offset_of!(DMA_OPERATIONS, AllocateAdapterChannel),
            ),
            (
                "FreeMapRegisters",
                offset_of!(DMA_OPERATIONS, FreeMapRegisters),
            ),
            ("MapTransfer", offset_of!(DMA_OPERATIONS, MapTransfer)),
            (
                "PutScatterGatherList",
                offset_of!(DMA_OPERATIONS, PutScatterGatherList),
            ),
        ] {
            assert_eq!(names[offset / size_of::<usize>() - 1], name);
        }
    }
}
