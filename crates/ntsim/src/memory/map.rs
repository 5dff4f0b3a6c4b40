//! MDLs and addresses: describing pool, locking pages, mapping them.

use super::mdl::mdl_pfns;
use super::{PAGE, span_pages};
use crate::abi::{
    _LOCK_OPERATION, _MODE, APC_LEVEL, CSHORT, KIRQL, KPROCESSOR_MODE, LOCK_OPERATION,
    MDL_IO_SPACE, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_PARTIAL,
    MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, MDL_WRITE_OPERATION,
    MEMORY_CACHING_TYPE, PFN_NUMBER, PHYSICAL_ADDRESS, PMDL, PVOID, ULONG,
};
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{Owner, Violation, codes, lock};

/// The first address that is not user space (x64).
const USER_LIMIT: usize = 0x0000_7FFF_FFFF_0000;

exports! { run;
    /// Fills in the frames of an MDL over nonpaged pool.
    fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe {
            if flags(mdl) & (MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_MAPPED_TO_SYSTEM_VA) != 0 {
                let story = "MmBuildMdlForNonPagedPool on an MDL that is locked, mapped or partial.";
                Violation::verifier(0xB0, mdl.addr(), flags(mdl) as usize, story).raise();
            }
            fill_frames(run.context(), mdl);
            set(mdl, MDL_SOURCE_IS_NONPAGED_POOL);
            (*mdl).MappedSystemVa = (*mdl).StartVa.wrapping_byte_add((*mdl).ByteOffset as usize);
        }
    }

    /// Makes the pages of a range resident and fills in their frames. Raises for a bad range; a
    /// raise that nobody can catch is a bug check.
    fn MmProbeAndLockPages(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE, Operation: LOCK_OPERATION) {
        let mdl = MemoryDescriptorList;
        let irql = run.context().irql.get();
        if irql > DISPATCH {
            let story = format!("MmProbeAndLockPages at IRQL {irql}.");
            Violation::verifier(0x70, usize::from(irql), mdl.addr(), story).raise();
        }
        // SAFETY: the caller's contract.
        unsafe { probe_and_lock(run.context(), mdl, AccessMode, Operation) }
            .unwrap_or_else(|violation| violation.raise());
    }

    /// Gives up pages that `MmProbeAndLockPages` locked.
    fn MmUnlockPages(MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe { unlock(run.context(), mdl) }.unwrap_or_else(|violation| violation.raise());
    }

    /// Maps the pages of an MDL; null when that is not possible, as it is not for pages that are
    /// not one piece of the host's memory.
    fn MmMapLockedPagesSpecifyCache(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE, CacheType: MEMORY_CACHING_TYPE, RequestedAddress: PVOID, BugCheckOnFailure: ULONG, Priority: ULONG) -> PVOID {
        let mdl = MemoryDescriptorList;
        let user = i32::from(AccessMode) != _MODE::KernelMode;
        run.irql_at_most(if user { APC_LEVEL as KIRQL } else { DISPATCH });
        if BugCheckOnFailure != 0 {
            let story = "MmMapLockedPagesSpecifyCache with BugCheckOnFailure: it should be FALSE.";
            Violation::verifier(0x82, mdl.addr(), 0, story).raise();
        }
        // SAFETY: the caller's contract.
        unsafe { map(run.context(), mdl) }
    }

    /// The old form of `MmMapLockedPagesSpecifyCache`; Driver Verifier stops for it.
    fn MmMapLockedPages(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE) -> PVOID {
        let story = "MmMapLockedPages was called; MmMapLockedPagesSpecifyCache is its successor.";
        Violation::verifier(0x81, MemoryDescriptorList.addr(), 0, story).raise()
    }

    /// Undoes a mapping.
    fn MmUnmapLockedPages(BaseAddress: PVOID, MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe {
            if flags(mdl) & MDL_MAPPED_TO_SYSTEM_VA == 0 {
                let story = "MmUnmapLockedPages on an MDL that is not mapped.";
                Violation::verifier(0xB2, mdl.addr(), flags(mdl) as usize, story).raise();
            }
            unmap(run.context(), mdl);
        }
    }

    /// The physical address behind an address of pool; 0 for an address that nobody mapped.
    fn MmGetPhysicalAddress(BaseAddress: PVOID) -> PHYSICAL_ADDRESS {
        let page = BaseAddress.addr() & !(PAGE - 1);
        let frame = label_frame(run.context(), page);
        let offset = (BaseAddress.addr() % PAGE) as u64;
        PHYSICAL_ADDRESS { QuadPart: frame.map_or(0, |pfn| pfn * PAGE as u64 + offset) as i64 }
    }
}

/// # Safety
/// `mdl` is valid.
unsafe fn flags(mdl: PMDL) -> u32 {
    // SAFETY: the caller's contract.
    u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned())
}

/// # Safety
/// `mdl` is valid and the caller's.
unsafe fn set(mdl: PMDL, bits: u32) {
    // SAFETY: the caller's contract.
    unsafe { (*mdl).MdlFlags |= bits as CSHORT };
}

/// # Safety
/// `mdl` is valid and the caller's.
unsafe fn clear(mdl: PMDL, bits: u32) {
    // SAFETY: the caller's contract.
    unsafe { (*mdl).MdlFlags &= !(bits as CSHORT) };
}

/// The frame that a label's page stands for.
fn label_frame(context: &Context, page: usize) -> Option<PFN_NUMBER> {
    let labels = lock(&context.machine.memory.labels);
    labels.iter().find_map(|(&base, frames)| {
        let index = page.checked_sub(base)? / PAGE;
        frames.get(index).copied()
    })
}

/// Writes the frames of the range that `mdl` describes: those of a label, or new ones over the
/// host's memory.
///
/// # Safety
/// `mdl` is valid with room for its pages; its address is a label or memory that outlives the MDL.
unsafe fn fill_frames(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract.
    let (base, pages) = unsafe {
        let start = (*mdl).StartVa;
        (
            start,
            span_pages(
                start.addr() + (*mdl).ByteOffset as usize,
                (*mdl).ByteCount as usize,
            ),
        )
    };
    let mut made = Vec::new();
    for index in 0..pages {
        let page = base.wrapping_byte_add(index * PAGE);
        let frame = label_frame(context, page.addr()).unwrap_or_else(|| {
            let pfn = context
                .machine
                .memory
                .with_frames_mut(|frames| frames.add(page.cast()));
            made.push(pfn);
            pfn
        });
        // SAFETY: the array has room for `pages` numbers.
        unsafe { mdl_pfns(mdl).add(index).write(frame) };
    }
    remember_host_frames(context, mdl, made);
}

fn remember_host_frames(context: &Context, mdl: PMDL, made: Vec<PFN_NUMBER>) {
    let old = {
        let mut table = lock(&context.machine.memory.mdls);
        table
            .0
            .get_mut(&mdl.addr())
            .map(|record| std::mem::replace(&mut record.host_frames, made))
    };
    drop_frames(context, old.unwrap_or_default());
}

fn drop_frames(context: &Context, frames: Vec<PFN_NUMBER>) {
    if !frames.is_empty() {
        context.machine.memory.with_frames_mut(|table| {
            for pfn in frames {
                table.remove(pfn);
            }
        });
    }
}

/// # Safety
/// As for `MmProbeAndLockPages`.
unsafe fn probe_and_lock(
    context: &Context,
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
) -> Result<(), Violation> {
    // SAFETY: the caller's contract.
    unsafe {
        let wrong = MDL_PAGES_LOCKED
            | MDL_MAPPED_TO_SYSTEM_VA
            | MDL_SOURCE_IS_NONPAGED_POOL
            | MDL_PARTIAL
            | MDL_IO_SPACE;
        if flags(mdl) & wrong != 0 {
            let story = "MmProbeAndLockPages on an MDL that is locked, mapped, partial or of nonpaged pool.";
            return Err(Violation::verifier(
                0xB0,
                mdl.addr(),
                flags(mdl) as usize,
                story,
            ));
        }
        let start = (*mdl).StartVa.addr() + (*mdl).ByteOffset as usize;
        let end = start.checked_add((*mdl).ByteCount as usize);
        let user = i32::from(mode) != _MODE::KernelMode;
        if user && end.is_none_or(|end| end > USER_LIMIT) || start < PAGE {
            let story = format!(
                "MmProbeAndLockPages raised STATUS_ACCESS_VIOLATION for {} bytes at {start:#x}, and nobody caught it.",
                (*mdl).ByteCount
            );
            let parameters = [0xC000_0005, start as u64, 0, 0];
            return Err(Violation::new(
                codes::KMODE_EXCEPTION_NOT_HANDLED,
                parameters,
                story,
            ));
        }
        fill_frames(context, mdl);
        set(mdl, MDL_PAGES_LOCKED);
        if operation != _LOCK_OPERATION::IoReadAccess {
            set(mdl, MDL_WRITE_OPERATION);
        }
    }
    Ok(())
}

/// # Safety
/// As for `MmUnlockPages`.
unsafe fn unlock(context: &Context, mdl: PMDL) -> Result<(), Violation> {
    // SAFETY: the caller's contract.
    let bits = unsafe { flags(mdl) };
    let address = mdl.addr();
    if bits & MDL_PARTIAL != 0 {
        let story = "MmUnlockPages on a partial MDL: the pages belong to its source.";
        return Err(Violation::verifier(0xB4, address, bits as usize, story));
    }
    if bits & MDL_SOURCE_IS_NONPAGED_POOL != 0 {
        let story = "MmUnlockPages on an MDL of nonpaged pool.";
        return Err(Violation::verifier(0x7D, address, bits as usize, story));
    }
    if bits & MDL_PAGES_LOCKED == 0 {
        let story = "MmUnlockPages on an MDL whose pages are not locked.";
        return Err(Violation::verifier(0x7C, address, bits as usize, story));
    }
    {
        let table = lock(&context.machine.memory.mdls);
        if table.0.get(&address).is_some_and(|record| record.users > 0) {
            let story = "Pages were unlocked, and an IRP in flight still uses their MDL.";
            return Err(Violation::verifier(
                codes::strict::MDL_IN_USE,
                address,
                0,
                story,
            ));
        }
        table.may_be_released(address)?;
    }
    // SAFETY: the caller's contract.
    unsafe {
        if bits & MDL_MAPPED_TO_SYSTEM_VA != 0 {
            unmap(context, mdl);
        }
        clear(mdl, MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
    }
    remember_host_frames(context, mdl, Vec::new());
    Ok(())
}

/// # Safety
/// As for `MmMapLockedPagesSpecifyCache`.
unsafe fn map(context: &Context, mdl: PMDL) -> PVOID {
    // SAFETY: the caller's contract.
    let bits = unsafe { flags(mdl) };
    if bits & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
        let story = "MmMapLockedPagesSpecifyCache on an MDL that is mapped already.";
        Violation::verifier(0xB2, mdl.addr(), bits as usize, story).raise();
    }
    if bits & (MDL_PAGES_LOCKED | MDL_PARTIAL) == 0 {
        let story = "MmMapLockedPagesSpecifyCache on an MDL whose pages are not locked.";
        Violation::verifier(0xB3, mdl.addr(), bits as usize, story).raise();
    }
    // SAFETY: the caller's contract.
    let Some(address) = (unsafe { host_address(context, mdl) }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the caller's contract.
    unsafe {
        (*mdl).MappedSystemVa = address;
        set(mdl, MDL_MAPPED_TO_SYSTEM_VA);
        if bits & MDL_PARTIAL != 0 {
            set(mdl, MDL_PARTIAL_HAS_BEEN_MAPPED);
            lock(&context.machine.memory.mdls).mapped(mdl.addr(), true);
        }
    }
    address
}

/// The host's address of an MDL's first byte, if its frames are one piece of host memory.
///
/// # Safety
/// `mdl` describes frames.
unsafe fn host_address(context: &Context, mdl: PMDL) -> Option<PVOID> {
    // SAFETY: the caller's contract.
    let (offset, bytes) = unsafe { ((*mdl).ByteOffset as usize, (*mdl).ByteCount as usize) };
    let pages = span_pages(offset, bytes);
    context.machine.memory.with_frames(|frames| {
        // SAFETY: the array has `pages` numbers.
        let page = |index: usize| frames.page(unsafe { *mdl_pfns(mdl).add(index) });
        let first = page(0)?;
        let one_piece = (1..pages).all(|index| {
            page(index).is_some_and(|page| page.addr() == first.addr() + index * PAGE)
        });
        one_piece.then(|| first.wrapping_add(offset).cast())
    })
}

/// # Safety
/// `mdl` is mapped and the caller's.
unsafe fn unmap(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract.
    unsafe {
        if flags(mdl) & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            lock(&context.machine.memory.mdls).mapped(mdl.addr(), false);
        }
        clear(mdl, MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
        (*mdl).MappedSystemVa = std::ptr::null_mut();
    }
}

/// What `IoFreeMdl` does first, and `MmPrepareMdlForReuse` (wdm.h) does as a macro in drivers.
///
/// # Safety
/// `mdl` is the caller's, if it is an MDL at all.
pub(super) unsafe fn prepare_for_reuse(context: &Context, mdl: PMDL) {
    if !lock(&context.machine.memory.mdls)
        .0
        .contains_key(&mdl.addr())
    {
        return;
    }
    // SAFETY: the table has the MDL, so it is valid.
    unsafe {
        if flags(mdl) & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            unmap(context, mdl);
        } else if flags(mdl) & MDL_PAGES_LOCKED != 0 && flags(mdl) & MDL_MAPPED_TO_SYSTEM_VA != 0 {
            let story = "IoFreeMdl on an MDL whose pages are still mapped.";
            Violation::verifier(0xB8, mdl.addr(), flags(mdl) as usize, story).raise();
        }
    }
}

/// An MDL over memory of the kernel's, its pages locked: what the I/O manager makes for direct I/O.
///
/// # Safety
/// The memory outlives the MDL.
pub(crate) unsafe fn lock_kernel_buffer(
    context: &Context,
    owner: Owner,
    buffer: PVOID,
    length: ULONG,
) -> PMDL {
    let mdl = super::mdl::allocate(context, owner, buffer, length);
    // SAFETY: a fresh MDL; the caller's contract.
    unsafe {
        fill_frames(context, mdl);
        set(mdl, MDL_PAGES_LOCKED);
    }
    mdl
}

/// Undoes [`lock_kernel_buffer`].
///
/// # Safety
/// Nobody uses the MDL any longer.
pub(crate) unsafe fn release_kernel_buffer(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract.
    unsafe {
        unlock(context, mdl).unwrap_or_else(|violation| violation.raise());
        super::mdl::free(context, mdl);
    }
}
