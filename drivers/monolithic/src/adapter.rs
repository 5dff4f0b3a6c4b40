//! The DMA adapter: the HAL's map registers as this driver uses them.
//!
//! The operations of an adapter are functions in a table that the HAL supplies, not exports. Newer
//! HALs have longer tables than older ones, so only the fields that are needed are read.

use core::ptr::NonNull;

use wdk_sys::{
    DEVICE_DESCRIPTION, DMA_ADAPTER, NTSTATUS, PALLOCATE_ADAPTER_CHANNEL, PDEVICE_OBJECT,
    PDMA_ADAPTER, PDRIVER_CONTROL, PDRIVER_LIST_CONTROL, PFLUSH_ADAPTER_BUFFERS,
    PFREE_MAP_REGISTERS, PGET_DMA_ALIGNMENT, PGET_SCATTER_GATHER_LIST, PMAP_TRANSFER,
    PPUT_DMA_ADAPTER, PPUT_SCATTER_GATHER_LIST, PSCATTER_GATHER_LIST, PVOID,
    SCATTER_GATHER_ELEMENT, SCATTER_GATHER_LIST, STATUS_NOT_SUPPORTED, ULONG, ntddk,
};
use xfersplit_wdm::mdl::Mdl;

use crate::registers::Segment;

/// A part of a request's buffer, to be mapped in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// The request's MDL.
    pub(crate) mdl: Mdl,
    /// Where in it the part begins: an index from `MmGetMdlVirtualAddress` on, not an address.
    pub(crate) index: PVOID,
    /// Bytes.
    pub(crate) length: u32,
    /// From memory to the device.
    pub(crate) write: bool,
}

/// Map registers that the HAL has granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapRegisters {
    /// What the adapter's operations know them by.
    pub(crate) base: PVOID,
    /// How many.
    pub(crate) count: ULONG,
}

/// The adapter of one device.
///
/// # Invariants
/// `adapter` came from `IoGetDmaAdapter` and has not been put back; the functions are its own.
/// `device` is the driver's own device object, which outlives the value.
pub(crate) struct DmaAdapter {
    adapter: PDMA_ADAPTER,
    device: PDEVICE_OBJECT,
    put: PPUT_DMA_ADAPTER,
    allocate: PALLOCATE_ADAPTER_CHANNEL,
    map: PMAP_TRANSFER,
    flush: PFLUSH_ADAPTER_BUFFERS,
    free: PFREE_MAP_REGISTERS,
    get_list: PGET_SCATTER_GATHER_LIST,
    put_list: PPUT_SCATTER_GATHER_LIST,
    alignment: PGET_DMA_ALIGNMENT,
}

// SAFETY: an adapter may be used on any processor.
unsafe impl Send for DmaAdapter {}
// SAFETY: as above; its operations synchronise themselves.
unsafe impl Sync for DmaAdapter {}

/// One function of the table.
macro_rules! operation {
    ($table:ident . $name:ident) => {
        // SAFETY: the table belongs to an adapter that was just got, and lives as long as it does.
        unsafe { (*$table).$name }
    };
}

impl DmaAdapter {
    /// The adapter for a device of this `description`, and how many map registers one operation may
    /// have. `None` if the HAL has none to give. PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `pdo` is the physical device object beneath `device`, which outlives the value.
    pub(crate) unsafe fn open(
        pdo: PDEVICE_OBJECT,
        device: PDEVICE_OBJECT,
        mut description: DEVICE_DESCRIPTION,
    ) -> Option<(Self, u32)> {
        let mut registers: ULONG = 0;
        // SAFETY: the caller's contract; both places are ours.
        let adapter: *mut DMA_ADAPTER =
            unsafe { ntddk::IoGetDmaAdapter(pdo, &raw mut description, &raw mut registers) };
        let adapter = NonNull::new(adapter)?.as_ptr();
        // SAFETY: an adapter that was got has its table.
        let table = unsafe { (*adapter).DmaOperations };
        let open = Self {
            adapter,
            device,
            put: operation!(table.PutDmaAdapter),
            allocate: operation!(table.AllocateAdapterChannel),
            map: operation!(table.MapTransfer),
            flush: operation!(table.FlushAdapterBuffers),
            free: operation!(table.FreeMapRegisters),
            get_list: operation!(table.GetScatterGatherList),
            put_list: operation!(table.PutScatterGatherList),
            alignment: operation!(table.GetDmaAlignment),
        };
        (registers > 0).then_some((open, registers))
    }

    /// What buffers should be aligned to, in bytes.
    pub(crate) fn alignment(&self) -> u32 {
        // SAFETY: type invariant.
        self.alignment.map_or(1, |get| unsafe { get(self.adapter) })
    }

    /// `AllocateAdapterChannel`: has `granted` called with `context` as soon as `count` map registers
    /// are free, which may be before this returns. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `granted` may be called with `context`, at DISPATCH_LEVEL, until it has been called once. No
    /// other call of this kind is under way for the device.
    pub(crate) unsafe fn allocate_channel(
        &self,
        count: ULONG,
        granted: PDRIVER_CONTROL,
        context: PVOID,
    ) -> NTSTATUS {
        let Some(allocate) = self.allocate else {
            return STATUS_NOT_SUPPORTED;
        };
        // SAFETY: type invariant, and the caller's contract.
        unsafe { allocate(self.adapter, self.device, count, granted, context) }
    }

    /// `MapTransfer`: makes the beginning of `range` visible to the device, and says how much of it
    /// and where. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `registers` are granted and hold no other mapping; `range` lies in its MDL, which stays locked
    /// until the range is [flushed](Self::flush).
    pub(crate) unsafe fn map_transfer(&self, registers: MapRegisters, range: &Range) -> Segment {
        let mut length = range.length;
        let Some(map) = self.map else {
            return Segment {
                address: 0,
                length: 0,
            };
        };
        let (mdl, base, write) = (range.mdl.as_ptr(), registers.base, range.write.into());
        // SAFETY: type invariant, and the caller's contract.
        let address = unsafe { map(self.adapter, mdl, base, range.index, &raw mut length, write) };
        Segment {
            // SAFETY: every view of the union is of the same eight bytes.
            address: unsafe { address.QuadPart }.cast_unsigned(),
            length: length.min(range.length),
        }
    }

    /// `FlushAdapterBuffers`: the operation is over, and what the device has written is in memory
    /// when this returns true. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `range` is what `registers` have mapped, and the device has ended with it.
    pub(crate) unsafe fn flush(&self, registers: MapRegisters, range: &Range) -> bool {
        let Some(flush) = self.flush else {
            return false;
        };
        let (mdl, base, write) = (range.mdl.as_ptr(), registers.base, range.write.into());
        // SAFETY: type invariant, and the caller's contract.
        let flushed = unsafe { flush(self.adapter, mdl, base, range.index, range.length, write) };
        flushed != 0
    }

    /// `FreeMapRegisters`. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `registers` were granted and kept, everything they mapped was flushed, and they are not used
    /// again.
    pub(crate) unsafe fn free_registers(&self, registers: MapRegisters) {
        if let Some(free) = self.free {
            // SAFETY: type invariant, and the caller's contract.
            unsafe { free(self.adapter, registers.base, registers.count) };
        }
    }

    /// `GetScatterGatherList`: has `granted` called with `context` and a list of `range`'s runs as
    /// soon as there are map registers for them, which may be before this returns. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// As for [`Self::allocate_channel`], and `range` lies in its MDL, which stays locked until the
    /// list is [put back](Self::put_list).
    pub(crate) unsafe fn get_list(
        &self,
        range: &Range,
        granted: PDRIVER_LIST_CONTROL,
        context: PVOID,
    ) -> NTSTATUS {
        let Some(get) = self.get_list else {
            return STATUS_NOT_SUPPORTED;
        };
        let (mdl, index, length, write) = (
            range.mdl.as_ptr(),
            range.index,
            range.length,
            range.write.into(),
        );
        // SAFETY: type invariant, and the caller's contract.
        unsafe {
            get(
                self.adapter,
                self.device,
                mdl,
                index,
                length,
                granted,
                context,
                write,
            )
        }
    }

    /// `PutScatterGatherList`: flushes and frees what the list maps, and the list. DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The list came from [`Self::get_list`] for a range in this direction, the device has ended with
    /// it, and it is not used again.
    pub(crate) unsafe fn put_list(&self, list: PSCATTER_GATHER_LIST, write: bool) {
        if let Some(put) = self.put_list {
            // SAFETY: type invariant, and the caller's contract.
            unsafe { put(self.adapter, list, write.into()) };
        }
    }
}

impl Drop for DmaAdapter {
    fn drop(&mut self) {
        if let Some(put) = self.put {
            // SAFETY: type invariant; dropped at PASSIVE_LEVEL, when no mapping is left.
            unsafe { put(self.adapter) };
        }
    }
}

/// The segments of a list.
///
/// # Safety
/// The list is one that the HAL has handed out and not got back, for as long as the iterator lives.
pub(crate) unsafe fn segments(list: PSCATTER_GATHER_LIST) -> impl Iterator<Item = Segment> {
    // SAFETY: the caller's contract.
    let count = unsafe { (*list).NumberOfElements };
    // The elements lie right behind the header; the header's own field is an array of none.
    let first = list.wrapping_add(1).cast::<SCATTER_GATHER_ELEMENT>();
    (0..count as usize).map(move |at| {
        let element = first.wrapping_add(at);
        // SAFETY: the caller's contract: the list has that many elements.
        let SCATTER_GATHER_ELEMENT {
            Address, Length, ..
        } = unsafe { element.read() };
        Segment {
            // SAFETY: every view of the union is of the same eight bytes.
            address: unsafe { Address.QuadPart }.cast_unsigned(),
            length: Length,
        }
    })
}

/// `KeFlushIoBuffers`: what the processors' caches hold of a buffer goes to memory, or is forgotten,
/// before map registers are asked for. On x64 caches see what devices do: wdm.h has an empty macro.
pub(crate) const fn flush_io_buffers(_mdl: Mdl, _write: bool) {}

// The elements follow the header without a gap.
const _: () =
    assert!(size_of::<SCATTER_GATHER_LIST>().is_multiple_of(align_of::<SCATTER_GATHER_ELEMENT>()));
