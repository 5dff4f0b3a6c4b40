//! Memory descriptor lists: allocation, partial MDLs, and who uses which.

use std::alloc::Layout;

use super::{Blocks, PAGE};
use crate::abi::{
    CSHORT, MDL, MDL_ALLOCATED_FIXED_SIZE, MDL_PAGES_LOCKED, PFN_NUMBER, PMDL, PVOID,
};
use crate::machine::context::{self, Context};
use crate::machine::table::AddressMap;
use crate::machine::{AllocationKind, DriverId, Owner, Violation, codes, lock};

/// MDLs of up to this many pages come from a lookaside list in Windows and say so in a flag.
const FIXED_SIZE_PAGES: usize = 23;

pub(crate) struct MdlRecord {
    block: *mut u8,
    layout: Layout,
    /// Pages that the frame array has room for.
    pub(crate) capacity: usize,
    owner: Owner,
    driver: DriverId,
    call: &'static str,
    /// IRPs in flight whose `MdlAddress` this is.
    pub(crate) users: u32,
    /// The MDL that this partial MDL was built from.
    pub(crate) source: usize,
    /// Partial MDLs of this one that IRPs in flight use.
    pub(crate) partials_in_flight: u32,
    /// Partial MDLs of this one that are mapped.
    pub(crate) partials_mapped: u32,
    /// Frames made for host memory that the MDL describes.
    pub(crate) host_frames: Vec<PFN_NUMBER>,
}

/// Every MDL that is allocated, by address.
#[derive(Default)]
pub(crate) struct MdlTable(pub(crate) AddressMap<MdlRecord>);

// SAFETY: the pointers own their blocks; only the table's holder follows them.
unsafe impl Send for MdlTable {}

impl Drop for MdlTable {
    fn drop(&mut self) {
        for record in self.0.values() {
            // SAFETY: the machine goes away and with it whoever owned the MDL.
            unsafe { std::alloc::dealloc(record.block, record.layout) };
        }
    }
}

impl MdlTable {
    /// An IRP with this MDL was sent (`true`) or came back to whoever sent it (`false`). Returns how
    /// many IRPs in flight have the MDL now.
    pub(crate) fn in_flight(&mut self, mdl: usize, sent: bool) -> u32 {
        let Some(record) = self.0.get_mut(&mdl) else {
            return 0;
        };
        let step = |count: u32| {
            if sent {
                count + 1
            } else {
                count.saturating_sub(1)
            }
        };
        record.users = step(record.users);
        let (users, source) = (record.users, record.source);
        if let Some(source) = self.0.get_mut(&source) {
            source.partials_in_flight = step(source.partials_in_flight);
        }
        users
    }

    /// A partial MDL was mapped (`true`) or unmapped.
    pub(super) fn mapped(&mut self, mdl: usize, mapped: bool) {
        let Some(source) = self.0.get(&mdl).map(|record| record.source) else {
            return;
        };
        if let Some(source) = self.0.get_mut(&source) {
            let count = source.partials_mapped;
            source.partials_mapped = if mapped {
                count + 1
            } else {
                count.saturating_sub(1)
            };
        }
    }

    /// Whether the pages of `mdl` may be given up, as they are when its IRP is completed.
    pub(crate) fn may_be_released(&self, mdl: usize) -> Result<(), Violation> {
        let Some(record) = self.0.get(&mdl) else {
            return Ok(());
        };
        if record.partials_in_flight > 0 {
            let story = format!(
                "A request was completed, and {} IRP(s) in flight still use partial MDLs over its pages.",
                record.partials_in_flight
            );
            return Err(Violation::verifier(
                codes::strict::MDL_IN_USE,
                mdl,
                0,
                story,
            ));
        }
        if record.partials_mapped > 0 {
            let story = format!(
                "A request was completed, and {} partial MDL(s) over its pages are still mapped: \
                 MmPrepareMdlForReuse has to come first.",
                record.partials_mapped
            );
            return Err(Violation::verifier(
                codes::strict::MDL_STILL_MAPPED,
                mdl,
                0,
                story,
            ));
        }
        Ok(())
    }

    /// Pages that an MDL was allocated for; `None` if it is memory of the driver's own.
    pub(super) fn room(&self, mdl: usize) -> Option<usize> {
        self.0.get(&mdl).map(|record| record.capacity)
    }

    pub(crate) fn leaks_of(&self, driver: DriverId) -> Vec<String> {
        let records = self.0.values();
        let leaked =
            records.filter(|record| record.driver == driver && record.owner == Owner::Driver);
        leaked
            .map(|record| {
                format!(
                    "MDL: room for {} pages, from {}",
                    record.capacity, record.call
                )
            })
            .collect()
    }
}

/// Pages that `length` bytes at `address` touch.
pub(crate) fn span_pages(address: usize, length: usize) -> usize {
    (address % PAGE + length).div_ceil(PAGE)
}

/// The frame numbers behind an MDL.
///
/// # Safety
/// `mdl` is an MDL with its frame array behind it.
pub unsafe fn mdl_pfns(mdl: PMDL) -> *mut PFN_NUMBER {
    // SAFETY: the array follows the header in the same block (wdm.h, MmGetMdlPfnArray).
    unsafe { mdl.add(1).cast() }
}

/// An MDL over `pfns` with locked pages, as the layers above hand one down.
///
/// # Panics
/// If `pfns` does not have one frame for each page that `length` bytes at `va` touch.
pub fn build_mdl(owner: Owner, va: PVOID, length: u32, pfns: &[PFN_NUMBER]) -> PMDL {
    let context = context::current();
    let pages = span_pages(va.addr(), length as usize);
    assert_eq!(pages, pfns.len(), "one frame for each page");
    let mdl = allocate(&context, owner, va, length);
    // SAFETY: the block has room for `pages` frame numbers behind the header.
    unsafe {
        std::ptr::copy_nonoverlapping(pfns.as_ptr(), mdl_pfns(mdl), pages);
        (*mdl).MdlFlags |= MDL_PAGES_LOCKED as CSHORT;
    }
    mdl
}

/// Frees an MDL of any owner.
///
/// # Safety
/// `mdl` came from [`build_mdl`] or `IoAllocateMdl` and nobody uses it any longer.
pub unsafe fn free_mdl(mdl: PMDL) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { free(&context, mdl) }
}

/// An MDL that describes `length` bytes at `va` and no frames yet.
pub(super) fn allocate(context: &Context, owner: Owner, va: PVOID, length: u32) -> PMDL {
    let pages = span_pages(va.addr(), length as usize);
    let capacity = pages.max(if pages <= FIXED_SIZE_PAGES {
        FIXED_SIZE_PAGES
    } else {
        0
    });
    let frames = Layout::array::<PFN_NUMBER>(capacity).expect("a size that exists");
    let (layout, _) = Layout::new::<MDL>()
        .extend(frames)
        .expect("a size that exists");
    let layout = layout.pad_to_align();
    let block = Blocks::allocate(layout);
    let mdl: PMDL = block.cast();
    // SAFETY: a fresh, zeroed block of at least an MDL.
    unsafe {
        // Meaningless from 4089 pages on, as in Windows: the field is 16 bits wide.
        (*mdl).Size = (size_of::<MDL>() + pages * size_of::<PFN_NUMBER>()) as CSHORT;
        (*mdl).StartVa = va.map_addr(|address| address & !(PAGE - 1));
        (*mdl).ByteOffset = (va.addr() % PAGE) as u32;
        (*mdl).ByteCount = length;
        if pages <= FIXED_SIZE_PAGES {
            (*mdl).MdlFlags = MDL_ALLOCATED_FIXED_SIZE as CSHORT;
        }
    }
    if owner == Owner::Driver {
        context
            .machine
            .accounts
            .allocated(AllocationKind::Mdl, layout.size());
    }
    let record = MdlRecord {
        block,
        layout,
        // Windows checks against Size, so the spare room of small MDLs is no room.
        capacity: pages,
        owner,
        driver: context.frame.get().driver,
        call: context.call.get(),
        users: 0,
        source: 0,
        partials_in_flight: 0,
        partials_mapped: 0,
        host_frames: Vec::new(),
    };
    lock(&context.machine.memory.mdls)
        .0
        .insert(mdl.addr(), record);
    mdl
}

/// # Safety
/// Nobody uses the MDL any longer.
pub(super) unsafe fn free(context: &Context, mdl: PMDL) {
    let machine = &context.machine;
    // SAFETY: the caller's contract; checked against the table first.
    unsafe { super::map::prepare_for_reuse(context, mdl) };
    let removed = {
        let mut table = lock(&machine.memory.mdls);
        match table.0.get(&mdl.addr()) {
            None => Err(Violation::new(
                codes::BAD_POOL_CALLER,
                [0x07, 0, 0, mdl.addr() as u64],
                format!(
                    "IoFreeMdl of {:#x}, which is no MDL: it was freed before, or never allocated.",
                    mdl.addr()
                ),
            )),
            Some(record) if record.users > 0 => Err(Violation::verifier(
                codes::strict::MDL_IN_USE,
                mdl.addr(),
                0,
                "An MDL was freed, and an IRP in flight still uses it.",
            )),
            Some(_) => Ok(table.0.remove(&mdl.addr()).expect("looked up above")),
        }
    };
    let record = removed.unwrap_or_else(|violation| violation.raise());
    machine.memory.with_frames_mut(|frames| {
        for &pfn in &record.host_frames {
            frames.remove(pfn);
        }
    });
    if record.owner == Owner::Driver {
        machine.accounts.freed(record.layout.size());
    }
    // SAFETY: taken out of the table, so this is the only pointer that owns the block.
    let freed = unsafe {
        machine
            .memory
            .blocks
            .free(record.block, record.layout, "An MDL")
    };
    freed.unwrap_or_else(|violation| violation.raise());
}

pub(super) mod exports {
    //! `IoAllocateMdl`, `IoBuildPartialMdl` and their relatives.

    use super::{allocate, free, mdl_pfns, span_pages};
    use crate::abi::{
        BOOLEAN, CSHORT, MDL, MDL_ALLOCATED_FIXED_SIZE, MDL_IO_PAGE_READ, MDL_IO_SPACE,
        MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_PARENT_MAPPED_SYSTEM_VA, MDL_PARTIAL,
        MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, PFN_NUMBER, PIRP, PMDL, PVOID,
        SIZE_T, ULONG,
    };
    use crate::export::exports;
    use crate::machine::context::{Context, DISPATCH};
    use crate::machine::{AllocationKind, Owner, Violation, codes, lock};
    use crate::memory::PAGE;

    /// `IoAllocateMdl` describes at most this many bytes (wdm.h, Windows 7 and later).
    const LONGEST: u32 = u32::MAX - PAGE as u32 + 1;

    exports! { run;
        /// Allocates an MDL with room for the pages that the range touches; null when it cannot.
        fn IoAllocateMdl(VirtualAddress: PVOID, Length: ULONG, SecondaryBuffer: BOOLEAN, ChargeQuota: BOOLEAN, Irp: PIRP) -> PMDL {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let owner = context.frame.get().owner;
            let pages = span_pages(VirtualAddress.addr(), Length as usize);
            let bytes = size_of::<MDL>() + pages * size_of::<PFN_NUMBER>();
            run.tell(pages, 0);
            if Length > LONGEST
                || owner == Owner::Driver
                    && context.machine.shall_fail(AllocationKind::Mdl, bytes, 0)
            {
                return std::ptr::null_mut();
            }
            let mdl = allocate(context, owner, VirtualAddress, Length);
            if !Irp.is_null() {
                // SAFETY: the caller owns the IRP it passes.
                unsafe { attach(Irp, mdl, SecondaryBuffer != 0) };
            }
            mdl
        }

        /// Frees an MDL.
        fn IoFreeMdl(Mdl: PMDL) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { free(run.context(), Mdl) }
        }

        /// Makes `TargetMdl` describe a part of what `SourceMdl` describes.
        fn IoBuildPartialMdl(SourceMdl: PMDL, TargetMdl: PMDL, VirtualAddress: PVOID, Length: ULONG) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            let checked = unsafe { check_partial(run.context(), SourceMdl, TargetMdl, VirtualAddress, Length) };
            checked.unwrap_or_else(|violation| violation.raise());
            // SAFETY: as above, and the checks made sure of the room.
            unsafe { build_partial(SourceMdl, TargetMdl, VirtualAddress, Length) };
        }

        /// Bytes of an MDL for a range.
        fn MmSizeOfMdl(Base: PVOID, Length: SIZE_T) -> SIZE_T {
            let pages = span_pages(Base.addr(), Length as usize);
            (size_of::<MDL>() + pages * size_of::<PFN_NUMBER>()) as SIZE_T
        }
    }

    /// # Safety
    /// The caller owns both.
    unsafe fn attach(irp: PIRP, mdl: PMDL, secondary: bool) {
        // SAFETY: the caller's contract; MDLs of an IRP form a list that ends with null.
        unsafe {
            let mut place = &raw mut (*irp).MdlAddress;
            if secondary {
                while !(*place).is_null() {
                    place = &raw mut (**place).Next;
                }
            }
            *place = mdl;
        }
    }

    /// The rules of IoBuildPartialMdl (wdm.h): locked source, range inside it, room in the target.
    ///
    /// # Safety
    /// Both MDLs are valid.
    unsafe fn check_partial(
        context: &Context,
        source: PMDL,
        target: PMDL,
        va: PVOID,
        length: u32,
    ) -> Result<(), Violation> {
        // SAFETY: the caller's contract.
        let (start, bytes, source_flags, target_flags, target_size) = unsafe {
            (
                (*source).StartVa.addr() + (*source).ByteOffset as usize,
                (*source).ByteCount as usize,
                u32::from((*source).MdlFlags.cast_unsigned()),
                u32::from((*target).MdlFlags.cast_unsigned()),
                (*target).Size,
            )
        };
        let address = target.addr();
        if length == 0 {
            let story = "IoBuildPartialMdl with length 0 describes the rest of the source, whatever \
                         the caller meant; no driver should ask for it.";
            return Err(Violation::verifier(
                codes::strict::PARTIAL_LENGTH_ZERO,
                address,
                0,
                story,
            ));
        }
        let too_small = |story: String| {
            let parameters = [
                source.addr() as u64,
                address as u64,
                va.addr() as u64,
                u64::from(length),
            ];
            Err(Violation::new(
                codes::TARGET_MDL_TOO_SMALL,
                parameters,
                story,
            ))
        };
        let inside = va.addr() >= start && va.addr() + length as usize <= start + bytes;
        if !inside {
            return too_small(format!(
                "IoBuildPartialMdl of {length} bytes at {:#x}: the source describes {bytes} bytes at {start:#x}.",
                va.addr()
            ));
        }
        let described = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_IO_SPACE;
        if source_flags & described == 0 {
            let story = "IoBuildPartialMdl from an MDL whose pages are not locked.";
            return Err(Violation::verifier(
                0xB3,
                source.addr(),
                source_flags as usize,
                story,
            ));
        }
        if target_flags & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            let story = "IoBuildPartialMdl into an MDL that is still mapped: a driver below mapped \
                         it, and MmPrepareMdlForReuse was not called.";
            return Err(Violation::verifier(
                codes::strict::MDL_STILL_MAPPED,
                address,
                0,
                story,
            ));
        }
        let mut table = lock(&context.machine.memory.mdls);
        let record = table.0.get_mut(&address);
        if record.as_ref().is_some_and(|record| record.users > 0) {
            let story = "IoBuildPartialMdl into an MDL that an IRP in flight uses.";
            return Err(Violation::verifier(
                codes::strict::MDL_IN_USE,
                address,
                0,
                story,
            ));
        }
        let by_size =
            (target_size as usize).wrapping_sub(size_of::<MDL>()) / size_of::<PFN_NUMBER>();
        let room = record.as_ref().map_or(by_size, |record| record.capacity);
        let pages = span_pages(va.addr(), length as usize);
        if pages > room {
            return too_small(format!(
                "TARGET_MDL_TOO_SMALL: {length} bytes at {:#x} touch {pages} pages; the target has room for {room}.",
                va.addr()
            ));
        }
        if let Some(record) = record {
            record.source = source.addr();
        }
        Ok(())
    }

    /// # Safety
    /// Both MDLs are valid and [`check_partial`] agreed.
    unsafe fn build_partial(source: PMDL, target: PMDL, va: PVOID, length: u32) {
        let pages = span_pages(va.addr(), length as usize);
        // SAFETY: the caller's contract; `first + pages` lies inside the source's array.
        unsafe {
            let base = (*source).StartVa;
            let first = (va.addr() - base.addr()) / PAGE;
            let source_flags = u32::from((*source).MdlFlags.cast_unsigned());
            let kept = u32::from((*target).MdlFlags.cast_unsigned()) & MDL_ALLOCATED_FIXED_SIZE;
            let inherited =
                source_flags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_IO_PAGE_READ | MDL_IO_SPACE);
            let mut flags = kept | inherited | MDL_PARTIAL;
            let offset = va.addr() - base.addr();
            (*target).StartVa = base.map_addr(|_| va.addr() & !(PAGE - 1));
            (*target).ByteOffset = (va.addr() % PAGE) as u32;
            (*target).ByteCount = length;
            (*target).Process = (*source).Process;
            if source_flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
                let mapped = (*source).MappedSystemVa.wrapping_byte_add(offset);
                (*target).MappedSystemVa = mapped.wrapping_byte_sub((*source).ByteOffset as usize);
            }
            if source_flags & MDL_MAPPED_TO_SYSTEM_VA != 0 {
                flags |= MDL_PARENT_MAPPED_SYSTEM_VA;
            }
            (*target).MdlFlags = flags as CSHORT;
            std::ptr::copy_nonoverlapping(mdl_pfns(source).add(first), mdl_pfns(target), pages);
        }
    }
}
