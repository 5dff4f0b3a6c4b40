//! A test that plays the driver itself: an adapter, its operations under short names, buffers.

use std::ffi::c_void;
use std::ptr;

use ntsim::abi::*;
use ntsim::dma::{self, Setup};
use ntsim::machine::Owner;
use ntsim::memory::{self, FrameSet, PAGE, Placement};
use ntsim::{BugCheck, Clock, Config, Machine, io, ke, ntddk};

/// Runs `f` as a driver's thread on the deterministic clock.
pub(crate) fn run<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T, BugCheck> {
    seeded(1, f)
}

/// The same with a seed.
pub(crate) fn seeded<T: Send>(seed: u64, f: impl FnOnce() -> T + Send) -> Result<T, BugCheck> {
    let clock = Clock::Deterministic { seed };
    Machine::new(Config {
        clock,
        ..Config::default()
    })
    .run(f)
}

/// A physical device object and another device object, to ask for channels with.
pub(crate) fn devices() -> (PDEVICE_OBJECT, PDEVICE_OBJECT) {
    (device(), device())
}

/// A device object of a driver of its own.
pub(crate) fn device() -> PDEVICE_OBJECT {
    let driver = io::create_driver("direct", Owner::Driver);
    // SAFETY: a fresh driver object.
    unsafe { io::create_device(driver, 0, FILE_DEVICE_DISK) }
}

/// A bus master with so many address bits.
pub(crate) fn description(scatter_gather: bool, bits: u32) -> DEVICE_DESCRIPTION {
    DEVICE_DESCRIPTION {
        Version: DEVICE_DESCRIPTION_VERSION3,
        Master: 1,
        ScatterGather: u8::from(scatter_gather),
        Dma32BitAddresses: u8::from(bits >= 32),
        Dma64BitAddresses: u8::from(bits >= 64),
        DmaAddressWidth: bits,
        InterfaceType: _INTERFACE_TYPE::PCIBus,
        MaximumLength: 1 << 30,
        ..DEVICE_DESCRIPTION::default()
    }
}

/// An adapter and the device objects it is used with.
#[derive(Clone, Copy)]
pub(crate) struct Adapter {
    pub(crate) pdo: PDEVICE_OBJECT,
    pub(crate) device: PDEVICE_OBJECT,
    pub(crate) pointer: PDMA_ADAPTER,
    pub(crate) registers: u32,
}

/// What an AdapterControl routine of a test does.
pub(crate) type Control = Box<dyn FnMut(PVOID) -> IO_ALLOCATION_ACTION>;
/// What an AdapterListControl routine of a test does.
pub(crate) type ListControl = Box<dyn FnMut(PSCATTER_GATHER_LIST)>;

pub(crate) const KEEP: IO_ALLOCATION_ACTION = _IO_ALLOCATION_ACTION::KeepObject;
pub(crate) const FREE: IO_ALLOCATION_ACTION = _IO_ALLOCATION_ACTION::DeallocateObject;
pub(crate) const REGISTERS: IO_ALLOCATION_ACTION =
    _IO_ALLOCATION_ACTION::DeallocateObjectKeepRegisters;

unsafe extern "C" fn control(
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
    base: PVOID,
    context: PVOID,
) -> IO_ALLOCATION_ACTION {
    assert_eq!(ke::irql(), DISPATCH_LEVEL as u8);
    // SAFETY: the context is a box that `Adapter::allocate` leaked for this one call.
    let mut routine = unsafe { Box::from_raw(context.cast::<Control>()) };
    routine(base)
}

unsafe extern "C" fn list_control(
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
    list: *mut SCATTER_GATHER_LIST,
    context: PVOID,
) {
    assert_eq!(ke::irql(), DISPATCH_LEVEL as u8);
    // SAFETY: the context is a box that `Adapter::get_list` leaked for this one call.
    let mut routine = unsafe { Box::from_raw(context.cast::<ListControl>()) };
    routine(list);
}

impl Adapter {
    /// One for a new device with scatter/gather that reaches all memory.
    pub(crate) fn usual() -> Self {
        Self::get(true, 64, Setup::default())
    }

    /// One for a new device.
    pub(crate) fn get(scatter_gather: bool, bits: u32, setup: Setup) -> Self {
        let (pdo, device) = devices();
        dma::set_up(pdo, setup);
        Self::of(pdo, device, &mut description(scatter_gather, bits))
    }

    /// One for a device; its pointer may be null.
    pub(crate) fn of(
        pdo: PDEVICE_OBJECT,
        device: PDEVICE_OBJECT,
        description: &mut DEVICE_DESCRIPTION,
    ) -> Self {
        let mut registers = 0;
        // SAFETY: a live device, and places of our own.
        let pointer = unsafe { ntddk::IoGetDmaAdapter(pdo, description, &raw mut registers) };
        Self {
            pdo,
            device,
            pointer,
            registers,
        }
    }

    /// The table.
    pub(crate) fn operations(&self) -> DMA_OPERATIONS {
        // SAFETY: an adapter's memory and its table stay, even after it was put.
        unsafe { (*self.pointer).DmaOperations.read() }
    }

    /// `AllocateAdapterChannel` at DISPATCH_LEVEL.
    pub(crate) fn allocate(
        &self,
        count: u32,
        routine: impl FnMut(PVOID) -> IO_ALLOCATION_ACTION + 'static,
    ) {
        self.allocate_for(self.device, count, routine);
    }

    /// The same for another device object.
    pub(crate) fn allocate_for(
        &self,
        device: PDEVICE_OBJECT,
        count: u32,
        routine: impl FnMut(PVOID) -> IO_ALLOCATION_ACTION + 'static,
    ) {
        let routine: Control = Box::new(routine);
        let context = Box::into_raw(Box::new(routine)).cast::<c_void>();
        let allocate = self.operations().AllocateAdapterChannel.unwrap();
        // SAFETY: live objects; the context is for one call.
        let status = ke::raise_to_dispatch(|| unsafe {
            allocate(self.pointer, device, count, Some(control), context)
        });
        assert_eq!(status, STATUS_SUCCESS);
    }

    /// Map registers that are granted at once; the channel is free again.
    pub(crate) fn registers(&self, count: u32) -> PVOID {
        let place = std::rc::Rc::new(std::cell::Cell::new(ptr::null_mut()));
        let inside = place.clone();
        self.allocate(count, move |base| {
            inside.set(base);
            REGISTERS
        });
        assert!(!place.get().is_null(), "granted at once");
        place.get()
    }

    /// `MapTransfer`: logical address and length.
    pub(crate) fn map(
        &self,
        base: PVOID,
        buffer: &Locked,
        at: usize,
        length: usize,
        write: bool,
    ) -> (u64, usize) {
        self.map_at(base, buffer.mdl, buffer.address(at), length, write)
    }

    /// The same with an MDL and an address of any kind.
    pub(crate) fn map_at(
        &self,
        base: PVOID,
        mdl: PMDL,
        va: PVOID,
        length: usize,
        write: bool,
    ) -> (u64, usize) {
        let mut length = length as u32;
        let map = self.operations().MapTransfer.unwrap();
        // SAFETY: a live MDL, and a place of our own.
        let logical = unsafe {
            let address = map(
                self.pointer,
                mdl,
                base,
                va,
                &raw mut length,
                u8::from(write),
            );
            address.QuadPart
        };
        (logical as u64, length as usize)
    }

    /// `FlushAdapterBuffers`.
    pub(crate) fn flush(
        &self,
        base: PVOID,
        buffer: &Locked,
        at: usize,
        length: usize,
        write: bool,
    ) {
        let flush = self.operations().FlushAdapterBuffers.unwrap();
        let va = buffer.address(at);
        // SAFETY: a live MDL.
        let done = unsafe {
            flush(
                self.pointer,
                buffer.mdl,
                base,
                va,
                length as u32,
                u8::from(write),
            )
        };
        assert_eq!(done, 1);
    }

    /// `FreeMapRegisters` at DISPATCH_LEVEL.
    pub(crate) fn free_registers(&self, base: PVOID, count: u32) {
        let free = self.operations().FreeMapRegisters.unwrap();
        // SAFETY: whatever they are, the HAL looks them up.
        ke::raise_to_dispatch(|| unsafe { free(self.pointer, base, count) });
    }

    /// `FreeAdapterChannel` at DISPATCH_LEVEL.
    pub(crate) fn free_channel(&self) {
        let free = self.operations().FreeAdapterChannel.unwrap();
        // SAFETY: the HAL looks the adapter up.
        ke::raise_to_dispatch(|| unsafe { free(self.pointer) });
    }

    /// `GetScatterGatherList` at DISPATCH_LEVEL.
    pub(crate) fn get_list(
        &self,
        buffer: &Locked,
        at: usize,
        length: usize,
        write: bool,
        routine: impl FnMut(PSCATTER_GATHER_LIST) + 'static,
    ) -> NTSTATUS {
        let routine: ListControl = Box::new(routine);
        let context = Box::into_raw(Box::new(routine));
        let get = self.operations().GetScatterGatherList.unwrap();
        // SAFETY: live objects; the context is for one call.
        let status = ke::raise_to_dispatch(|| unsafe {
            get(
                self.pointer,
                self.device,
                buffer.mdl,
                buffer.address(at),
                length as u32,
                Some(list_control),
                context.cast(),
                u8::from(write),
            )
        });
        if status != STATUS_SUCCESS {
            // SAFETY: the routine is not called.
            drop(unsafe { Box::from_raw(context) });
        }
        status
    }

    /// `PutScatterGatherList` at DISPATCH_LEVEL.
    pub(crate) fn put_list(&self, list: PSCATTER_GATHER_LIST, write: bool) {
        let put = self.operations().PutScatterGatherList.unwrap();
        // SAFETY: the HAL looks the list up.
        ke::raise_to_dispatch(|| unsafe { put(self.pointer, list, u8::from(write)) });
    }

    /// `AllocateCommonBuffer`.
    pub(crate) fn common(&self, length: u32) -> Option<(PVOID, u64)> {
        let mut logical = PHYSICAL_ADDRESS::default();
        let allocate = self.operations().AllocateCommonBuffer.unwrap();
        // SAFETY: a place of our own.
        let (address, logical) = unsafe {
            let address = allocate(self.pointer, length, &raw mut logical, 1);
            (address, logical.QuadPart as u64)
        };
        (!address.is_null()).then_some((address, logical))
    }

    /// `FreeCommonBuffer`.
    pub(crate) fn free_common(&self, length: u32, address: PVOID, logical: u64) {
        let free = self.operations().FreeCommonBuffer.unwrap();
        let logical = PHYSICAL_ADDRESS {
            QuadPart: logical as i64,
        };
        // SAFETY: the HAL looks the buffer up.
        unsafe { free(self.pointer, length, logical, address, 1) };
    }

    /// `PutDmaAdapter`.
    pub(crate) fn put(&self) {
        let put = self.operations().PutDmaAdapter.unwrap();
        // SAFETY: the HAL looks the adapter up.
        unsafe { put(self.pointer) };
    }
}

/// A buffer with locked pages, described by an MDL.
pub(crate) struct Locked {
    pub(crate) mdl: PMDL,
    pub(crate) frames: Vec<FrameSet>,
    pub(crate) pfns: Vec<u64>,
    base: PVOID,
    offset: usize,
    pub(crate) length: usize,
}

impl Locked {
    /// `length` bytes from `offset` in the first page on, on runs of so many neighbours each.
    pub(crate) fn new(length: usize, offset: usize, runs: &[usize]) -> Self {
        let pages = (offset + length).div_ceil(PAGE);
        assert_eq!(runs.iter().sum::<usize>(), pages);
        // A frame more for each run, which nobody uses: runs made one after the other touch.
        let frames: Vec<FrameSet> = runs
            .iter()
            .map(|&run| memory::allocate_frames(run + 1, Placement::Contiguous))
            .collect();
        let pfns: Vec<u64> = frames
            .iter()
            .flat_map(|set| &set.pfns()[..set.pfns().len() - 1])
            .copied()
            .collect();
        Self::over(frames, pfns, length, offset)
    }

    /// The same on scattered frames.
    pub(crate) fn scattered(length: usize, offset: usize) -> Self {
        let pages = (offset + length).div_ceil(PAGE);
        let frames = memory::allocate_frames(pages, Placement::Scattered);
        let pfns = frames.pfns().to_vec();
        Self::over(vec![frames], pfns, length, offset)
    }

    fn over(frames: Vec<FrameSet>, pfns: Vec<u64>, length: usize, offset: usize) -> Self {
        let base = memory::reserve_va(pfns.len());
        let va = base.wrapping_byte_add(offset);
        let mdl = memory::build_mdl(Owner::Harness, va, length as u32, &pfns);
        Self {
            mdl,
            frames,
            pfns,
            base,
            offset,
            length,
        }
    }

    /// The address of byte `at`, an index into the MDL.
    pub(crate) fn address(&self, at: usize) -> PVOID {
        self.base.wrapping_byte_add(self.offset + at)
    }

    /// Fills it so that no two neighbours are equal.
    pub(crate) fn fill(&self, salt: usize) {
        let bytes: Vec<u8> = (0..self.length)
            .map(|at| (at.wrapping_mul(31) + at / 251 + salt) as u8)
            .collect();
        self.each_page(|done, start, length| {
            let from = bytes[done..].as_ptr();
            // SAFETY: bytes of the buffer's, and of the vector's.
            unsafe { start.copy_from_nonoverlapping(from, length) };
        });
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        self.each_page(|done, start, length| {
            let to = bytes[done..].as_mut_ptr();
            // SAFETY: bytes of the buffer's, and of the vector's.
            unsafe { start.copy_to_nonoverlapping(to, length) };
        });
        bytes
    }

    /// Calls `each` with the offset in the buffer, the first byte and the length of each page's part.
    fn each_page(&self, mut each: impl FnMut(usize, *mut u8, usize)) {
        let mut done = 0;
        while done < self.length {
            let at = self.offset + done;
            let length = (PAGE - at % PAGE).min(self.length - done);
            let page = memory::with_frames(|frames| frames.page(self.pfns[at / PAGE]));
            each(done, page.expect("RAM").wrapping_add(at % PAGE), length);
            done += length;
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: made by `over`, and nobody uses it any longer.
        unsafe { memory::free_mdl(self.mdl) };
    }
}
