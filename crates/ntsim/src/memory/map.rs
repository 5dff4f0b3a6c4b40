//! MDLs and addresses: describing pool, mapping pages.

use super::mdl::mdl_pfns;
use super::user::is_user;
use super::{PAGE, span_pages};
use crate::abi::{
    _MODE, APC_LEVEL, CSHORT, KIRQL, KPROCESSOR_MODE, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED,
    MDL_PARTIAL, MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, MEMORY_CACHING_TYPE,
    PFN_NUMBER, PHYSICAL_ADDRESS, PMDL, PVOID, ULONG,
};
use crate::export::exports;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{AllocationKind, Owner, Violation, codes, lock};

/// System addresses begin here (x64); those of the host's own memory do not reach it.
const SYSTEM_RANGE_START: usize = 0xFFFF_8000_0000_0000;

exports! { run;
    /// Fills in the frames of an MDL over nonpaged pool.
    fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe {
            let wrong = MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_MAPPED_TO_SYSTEM_VA;
            if flags(mdl) & wrong != 0 {
                let story = "MmBuildMdlForNonPagedPool on an MDL that is locked, mapped or partial.";
                wrong_flags(0xB0, mdl, flags(mdl) & wrong, story).raise();
            }
            fill_frames(run.context(), mdl);
            set(mdl, MDL_SOURCE_IS_NONPAGED_POOL);
            (*mdl).MappedSystemVa = (*mdl).StartVa.wrapping_byte_add((*mdl).ByteOffset as usize);
        }
    }

    /// Maps the pages of an MDL; null when that is not possible, as it is not for pages that are
    /// not one piece of the host's memory.
    fn MmMapLockedPagesSpecifyCache(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE, CacheType: MEMORY_CACHING_TYPE, RequestedAddress: PVOID, BugCheckOnFailure: ULONG, Priority: ULONG) -> PVOID {
        let mdl = MemoryDescriptorList;
        let user = i32::from(AccessMode) != _MODE::KernelMode;
        run.irql_at_most(if user { APC_LEVEL as KIRQL } else { DISPATCH });
        let context = run.context();
        // SAFETY: the caller's contract.
        let (bits, bytes) = unsafe { (flags(mdl), (*mdl).ByteCount as usize) };
        if BugCheckOnFailure != 0 {
            let story = "MmMapLockedPagesSpecifyCache with BugCheckOnFailure: it should be FALSE.";
            Violation::verifier(0x82, mdl.addr(), bits as usize, story).raise();
        }
        if context.frame.get().owner == Owner::Driver
            && context.machine.shall_fail(AllocationKind::Mapping, bytes, 0)
        {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { map(context, mdl) }
    }

    /// The old form of `MmMapLockedPagesSpecifyCache`; Driver Verifier stops for it.
    fn MmMapLockedPages(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE) -> PVOID {
        let story = "MmMapLockedPages was called; MmMapLockedPagesSpecifyCache is its successor.";
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        let bits = unsafe { flags(mdl) };
        Violation::verifier(0x81, mdl.addr(), bits as usize, story).raise()
    }

    /// Undoes a mapping.
    fn MmUnmapLockedPages(BaseAddress: PVOID, MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe {
            if flags(mdl) & MDL_MAPPED_TO_SYSTEM_VA == 0 {
                let story = "MmUnmapLockedPages on an MDL that is not mapped.";
                wrong_flags(0xB2, mdl, MDL_MAPPED_TO_SYSTEM_VA, story).raise();
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
pub(super) unsafe fn flags(mdl: PMDL) -> u32 {
    // SAFETY: the caller's contract.
    u32::from(unsafe { (*mdl).MdlFlags }.cast_unsigned())
}

/// Driver Verifier's rule `rule` about an MDL's flags: `wrong` are those that may not be there, or
/// that are missing.
///
/// # Safety
/// `mdl` is valid.
pub(super) unsafe fn wrong_flags(rule: u64, mdl: PMDL, wrong: u32, story: &str) -> Violation {
    // SAFETY: the caller's contract.
    let found = unsafe { flags(mdl) };
    let parameters = [rule, mdl.addr() as u64, u64::from(found), u64::from(wrong)];
    Violation::new(codes::DRIVER_VERIFIER_DETECTED_VIOLATION, parameters, story)
}

/// # Safety
/// `mdl` is valid and the caller's.
pub(super) unsafe fn set(mdl: PMDL, bits: u32) {
    // SAFETY: the caller's contract.
    unsafe { (*mdl).MdlFlags |= bits as CSHORT };
}

/// # Safety
/// `mdl` is valid and the caller's.
pub(super) unsafe fn clear(mdl: PMDL, bits: u32) {
    // SAFETY: the caller's contract.
    unsafe { (*mdl).MdlFlags &= !(bits as CSHORT) };
}

/// The frame that a page of a label, or of a mapping, stands for.
fn label_frame(context: &Context, page: usize) -> Option<PFN_NUMBER> {
    let find = |base: usize, frames: &[PFN_NUMBER]| {
        let index = page.checked_sub(base)? / PAGE;
        frames.get(index).copied()
    };
    let memory = &context.machine.memory;
    let label = {
        let labels = lock(&memory.labels);
        labels.iter().find_map(|(&base, frames)| find(base, frames))
    };
    label.or_else(|| {
        let mappings = lock(&memory.mappings);
        mappings
            .values()
            .find_map(|(base, frames)| find(*base, frames))
    })
}

/// Writes the frames of the range that `mdl` describes: those of a label, or new ones over the
/// host's memory.
///
/// # Safety
/// `mdl` is valid with room for its pages; its address is a label or memory that outlives the MDL.
pub(super) unsafe fn fill_frames(context: &Context, mdl: PMDL) {
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
            if page.addr() >= SYSTEM_RANGE_START || is_user(page.addr()) {
                nothing_there(page.addr());
            }
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

/// No page of the system's is at an address.
fn nothing_there(address: usize) -> ! {
    let story = format!("The pages at {address:#x} were to be described, and nothing is there.");
    let parameters = [address as u64, 0, 0, 0];
    Violation::new(codes::PAGE_FAULT_IN_NONPAGED_AREA, parameters, story).raise()
}

pub(super) fn remember_host_frames(context: &Context, mdl: PMDL, made: Vec<PFN_NUMBER>) {
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
/// As for `MmMapLockedPagesSpecifyCache`.
unsafe fn map(context: &Context, mdl: PMDL) -> PVOID {
    // SAFETY: the caller's contract.
    let bits = unsafe { flags(mdl) };
    let mapped = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL;
    let described = MDL_PAGES_LOCKED | MDL_PARTIAL;
    // SAFETY: as above.
    unsafe {
        if bits & mapped != 0 {
            let story = "MmMapLockedPagesSpecifyCache on an MDL that is mapped already.";
            wrong_flags(0xB2, mdl, bits & mapped, story).raise();
        }
        if bits & described == 0 {
            let story = "MmMapLockedPagesSpecifyCache on an MDL whose pages are not locked.";
            wrong_flags(0xB3, mdl, described, story).raise();
        }
    }
    // SAFETY: the caller's contract.
    let Some(address) = (unsafe { host_address(context, mdl) }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the caller's contract.
    unsafe {
        (*mdl).MappedSystemVa = address;
        set(mdl, MDL_MAPPED_TO_SYSTEM_VA);
        remember_mapping(context, mdl);
        if bits & MDL_PARTIAL != 0 {
            set(mdl, MDL_PARTIAL_HAS_BEEN_MAPPED);
            lock(&context.machine.memory.mdls).mapped(mdl.addr(), true);
        }
    }
    address
}

/// Notes which frames a mapping leads to, so that who describes the mapped addresses again gets the
/// same ones.
///
/// # Safety
/// `mdl` is mapped.
unsafe fn remember_mapping(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract; the array has as many numbers as the range has pages.
    let (base, frames) = unsafe {
        let (offset, bytes) = ((*mdl).ByteOffset as usize, (*mdl).ByteCount as usize);
        let frames = std::slice::from_raw_parts(mdl_pfns(mdl), span_pages(offset, bytes));
        ((*mdl).MappedSystemVa.addr() - offset, frames.to_vec())
    };
    lock(&context.machine.memory.mappings).insert(mdl.addr(), (base, frames));
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
pub(super) unsafe fn unmap(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract.
    unsafe {
        if flags(mdl) & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
            lock(&context.machine.memory.mdls).mapped(mdl.addr(), false);
        }
        clear(mdl, MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
        lock(&context.machine.memory.mappings).remove(&mdl.addr());
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
