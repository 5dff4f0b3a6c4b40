//! Locking pages: `MmProbeAndLockPages` and its counterpart.
//!
//! User memory is locked in the current process, page by page, within the limits of the process and
//! of the machine, or not at all. `MmProbeAndLockPages` says no by raising an exception, and only a
//! caller that wants to hear it does: here that is a [`Raised`], and [`super::raise`] says where
//! it goes.
//!
//! | Rule | Source |
//! |---|---|
//! | IRQL; flags that an MDL may not have; a page is locked until the last MDL that locks it is unlocked; `STATUS_ACCESS_VIOLATION` "or other exceptions" | Microsoft: `MmProbeAndLockPages` |
//! | first the range, then every page, then the locks; empty and wrapping ranges of user mode; user memory is probed for kernel callers too; a process counts a page as often as it is locked; `Mdl->Process` | ReactOS: ntoskrnl/mm/ARM3/mdlsup.c |
//! | unlocking undoes the mapping | Microsoft: `MmUnlockPages` |
//! | a system address without memory is no exception: no `__try` catches it | Microsoft: Bug Check 0x50 |
//! | the machine locks only so much | Microsoft: Q121965 (`IoPageLockLimit`) |
//! | a process locks only what its working set has room for | ntstatus.h: the text of `STATUS_WORKING_SET_QUOTA` |
//! | codes and parameters of 0x76, 0xC4 and 0xCB | Microsoft: Bug Check Code Reference |
//!
//! No public document says which exceptions the two limits are, or which of them is looked at first:
//! a driver can rely on neither. Here it is `STATUS_WORKING_SET_QUOTA` and the process's, then
//! `STATUS_INSUFFICIENT_RESOURCES` and the machine's.

use super::map::{clear, fill_frames, flags, remember_host_frames, set, unmap, wrong_flags};
use super::mdl::mdl_pfns;
use super::raise::Raised;
use super::user::{self, Locked, Page, Protection, USER_PROBE_ADDRESS, UserMemory};
use super::{PAGE, span_pages};
use crate::abi::{
    _LOCK_OPERATION, _MODE, APC_LEVEL, KIRQL, KPROCESSOR_MODE, LOCK_OPERATION, MDL_IO_SPACE,
    MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_PARTIAL, MDL_SOURCE_IS_NONPAGED_POOL,
    MDL_WRITE_OPERATION, PMDL, PVOID, STATUS_ACCESS_VIOLATION, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_SUCCESS, STATUS_WORKING_SET_QUOTA, ULONG,
};
use crate::export::{Running, exports};
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{AllocationKind, Owner, Violation, codes, lock};
use crate::ps::ProcessId;

exports! { run;
    /// Makes the pages of a range resident, locks them, and fills in their frames. Raises for a
    /// range that cannot be locked; see [`super::raise`].
    fn MmProbeAndLockPages(MemoryDescriptorList: PMDL, AccessMode: KPROCESSOR_MODE, Operation: LOCK_OPERATION) {
        // SAFETY: the caller's contract.
        let done = unsafe { probe_and_lock_noted(&run, MemoryDescriptorList, AccessMode, Operation) };
        done.unwrap_or_else(|raised| raised.unhandled());
    }

    /// Gives up pages that `MmProbeAndLockPages` locked, in whatever process.
    fn MmUnlockPages(MemoryDescriptorList: PMDL) {
        run.irql_at_most(DISPATCH);
        let mdl = MemoryDescriptorList;
        // SAFETY: the caller's contract.
        unsafe {
            run.tell(pages_of(mdl), 0);
            unlock(run.context(), mdl).unwrap_or_else(|violation| violation.raise());
        }
    }
}

/// Pages that an MDL describes.
///
/// # Safety
/// `mdl` is valid.
unsafe fn pages_of(mdl: PMDL) -> usize {
    // SAFETY: the caller's contract.
    unsafe { span_pages((*mdl).ByteOffset as usize, (*mdl).ByteCount as usize) }
}

/// [`probe_and_lock`] by a driver's call.
///
/// # Safety
/// As for `MmProbeAndLockPages`.
pub(super) unsafe fn probe_and_lock_noted(
    run: &Running,
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
) -> Result<(), Raised> {
    // SAFETY: the caller's contract.
    let (pages, result) = unsafe {
        let result = probe_and_lock(run.context(), mdl, mode, operation);
        (pages_of(mdl), result)
    };
    let raised = result.as_ref().err();
    run.tell(pages, raised.map_or(STATUS_SUCCESS, |raised| raised.status));
    result
}

/// Whose memory was locked.
enum Memory {
    User,
    Kernel,
}

/// What is to be locked.
struct Request {
    process: ProcessId,
    mdl: PMDL,
    /// Address of the first byte.
    start: usize,
    bytes: usize,
    /// Whether a device or the driver will write there.
    write: bool,
}

impl Request {
    /// Addresses of its pages.
    fn pages(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.start & !(PAGE - 1);
        (0..span_pages(self.start, self.bytes)).map(move |index| first + index * PAGE)
    }

    fn refused(&self, status: crate::abi::NTSTATUS, why: &str) -> Raised {
        let story = format!("{} bytes at {:#x}: {why}", self.bytes, self.start);
        Raised::new(status, self.start, story)
    }
}

/// # Safety
/// As for `MmProbeAndLockPages`.
unsafe fn probe_and_lock(
    context: &Context,
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
) -> Result<(), Raised> {
    // SAFETY: the caller's contract.
    let (start, bytes) = unsafe {
        check_mdl(context, mdl, mode);
        let start = (*mdl)
            .StartVa
            .addr()
            .wrapping_add((*mdl).ByteOffset as usize);
        (start, (*mdl).ByteCount as usize)
    };
    let request = Request {
        process: context.process.get(),
        mdl,
        start,
        bytes,
        write: operation != _LOCK_OPERATION::IoReadAccess,
    };
    let user_mode = i32::from(mode) != _MODE::KernelMode;
    let end = start.checked_add(bytes);
    let result = if user_mode && (bytes == 0 || end.is_none_or(|end| end > USER_PROBE_ADDRESS)) {
        Err(request.refused(
            STATUS_ACCESS_VIOLATION,
            "the range is not below MmUserProbeAddress.",
        ))
    } else if user_mode || request.is_user(context) {
        // SAFETY: the caller's contract.
        unsafe { lock_user(context, &request) }.map(|()| Memory::User)
    } else {
        // SAFETY: as above.
        unsafe { lock_kernel(context, &request) };
        Ok(Memory::Kernel)
    };
    let unprobed = !user_mode && context.frame.get().owner == Owner::Driver;
    let counts = &mut context.machine.memory.user().counts;
    match result {
        Err(_) => counts.raised += 1,
        Ok(Memory::User) if unprobed => counts.kernel_mode += 1,
        Ok(Memory::Kernel) if unprobed => counts.kernel_ranges += 1,
        Ok(_) => {}
    }
    result.map(drop)
}

/// The rules about the MDL itself.
///
/// # Safety
/// `mdl` is valid.
unsafe fn check_mdl(context: &Context, mdl: PMDL, mode: KPROCESSOR_MODE) {
    let irql = context.irql.get();
    if irql > DISPATCH {
        let story = format!("MmProbeAndLockPages at IRQL {irql}.");
        let parameters = [
            0x70,
            u64::from(irql),
            mdl.addr() as u64,
            u64::from(mode.cast_unsigned()),
        ];
        Violation::new(codes::DRIVER_VERIFIER_DETECTED_VIOLATION, parameters, story).raise();
    }
    // SAFETY: the caller's contract.
    let (bits, pages) = unsafe { (flags(mdl), pages_of(mdl)) };
    let wrong = MDL_PAGES_LOCKED
        | MDL_MAPPED_TO_SYSTEM_VA
        | MDL_SOURCE_IS_NONPAGED_POOL
        | MDL_PARTIAL
        | MDL_IO_SPACE;
    if bits & wrong != 0 {
        let story =
            "MmProbeAndLockPages on an MDL that is locked, mapped, partial or of nonpaged pool.";
        // SAFETY: the caller's contract.
        unsafe { wrong_flags(0xB0, mdl, bits & wrong, story).raise() };
    }
    let room = lock(&context.machine.memory.mdls).room(mdl.addr());
    if let Some(room) = room.filter(|&room| room < pages) {
        let story = format!(
            "MmProbeAndLockPages for {pages} pages with an MDL that was allocated for {room}: frame \
             numbers would be written behind it."
        );
        let parameters = [mdl.addr() as u64, pages as u64, room as u64, 0x24];
        let code = codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION;
        Violation::new(code, parameters, story).raise();
    }
}

impl Request {
    /// Whether the address is one of user memory: kernel code may lock that too, without a probe.
    fn is_user(&self, context: &Context) -> bool {
        self.start < PAGE
            || user::is_user(self.start)
            || context
                .machine
                .memory
                .user()
                .page(self.process, self.start)
                .is_some()
    }

    /// The range is pageable: stops the machine above `APC_LEVEL`.
    fn may_be_paged_out(&self, context: &Context) {
        let irql = context.irql.get();
        if irql <= APC_LEVEL as KIRQL {
            return;
        }
        let story = format!(
            "MmProbeAndLockPages at IRQL {irql} for {} bytes at {:#x}: these can be paged out, so \
             APC_LEVEL is the highest.",
            self.bytes, self.start
        );
        let access = u64::from(self.write);
        let parameters = [self.start as u64, u64::from(irql), access, 0];
        Violation::new(codes::IRQL_NOT_LESS_OR_EQUAL, parameters, story).raise();
    }

    /// Whether a page may be used so. In user memory the access mode makes no difference
    /// [ReactOS, mdlsup.c: kernel callers are held to a page's protection too].
    fn allows(&self, page: &Page) -> bool {
        match page.protection {
            Protection::ReadWrite => true,
            Protection::ReadOnly => !self.write,
            Protection::NoAccess => false,
        }
    }
}

/// # Safety
/// As for `MmProbeAndLockPages`.
unsafe fn lock_user(context: &Context, request: &Request) -> Result<(), Raised> {
    request.may_be_paged_out(context);
    let frame = context.frame.get();
    let pages = span_pages(request.start, request.bytes);
    if frame.owner == Owner::Driver
        && context
            .machine
            .shall_fail(AllocationKind::LockedPages, pages * PAGE, 0)
    {
        return Err(request.refused(STATUS_INSUFFICIENT_RESOURCES, "low resources."));
    }
    let pages = {
        let mut user = context.machine.memory.user();
        let pages = request.probe(&user)?;
        request.lock_all(&mut user, &pages)?;
        user.remember(Locked {
            process: request.process,
            mdl: request.mdl.addr(),
            pages: pages.clone(),
            driver: frame.driver,
            call: context.call.get(),
        });
        pages
    };
    // SAFETY: the caller's contract; the array has room for them, which was checked.
    unsafe {
        for (index, page) in pages.iter().enumerate() {
            mdl_pfns(request.mdl).add(index).write(page.pfn);
        }
        (*request.mdl).Process = request.process.object().cast();
        mark_locked(request);
    }
    Ok(())
}

impl Request {
    /// Looks at every page before any is locked.
    fn probe(&self, user: &UserMemory) -> Result<Vec<Page>, Raised> {
        let mut pages = Vec::new();
        for address in self.pages() {
            let page = user.page(self.process, address);
            let Some(page) = page.filter(|page| self.allows(page)) else {
                let why = format!(
                    "the page at {address:#x} {} in the current process.",
                    if page.is_some() {
                        "does not allow it"
                    } else {
                        "is not there"
                    }
                );
                return Err(self.refused(STATUS_ACCESS_VIOLATION, &why));
            };
            pages.push(page.clone());
        }
        Ok(pages)
    }

    /// Locks all pages, or none.
    fn lock_all(&self, user: &mut UserMemory, pages: &[Page]) -> Result<(), Raised> {
        if pages.len() > user.quota(self.process) {
            let why = "the process may not lock as many pages more.";
            return Err(self.refused(STATUS_WORKING_SET_QUOTA, why));
        }
        for (index, page) in pages.iter().enumerate() {
            if !user.lock_page(self.process, page) {
                for page in &pages[..index] {
                    user.unlock_page(self.process, page);
                }
                let why = format!("there is room for {index} locked pages more.");
                return Err(self.refused(STATUS_INSUFFICIENT_RESOURCES, &why));
            }
        }
        Ok(())
    }
}

/// # Safety
/// As for `MmProbeAndLockPages`.
unsafe fn lock_kernel(context: &Context, request: &Request) {
    if lock(&context.machine.memory.pool).is_paged(request.start) {
        request.may_be_paged_out(context);
    }
    // SAFETY: the caller's contract.
    unsafe {
        fill_frames(context, request.mdl);
        (*request.mdl).Process = std::ptr::null_mut();
        mark_locked(request);
    }
}

/// # Safety
/// The MDL is valid and its frames are filled in.
unsafe fn mark_locked(request: &Request) {
    let write = if request.write {
        MDL_WRITE_OPERATION
    } else {
        0
    };
    // SAFETY: the caller's contract.
    unsafe {
        clear(request.mdl, MDL_WRITE_OPERATION);
        set(request.mdl, MDL_PAGES_LOCKED | write);
    }
}

/// # Safety
/// As for `MmUnlockPages`.
unsafe fn unlock(context: &Context, mdl: PMDL) -> Result<(), Violation> {
    // SAFETY: the caller's contract.
    let bits = unsafe { flags(mdl) };
    let address = mdl.addr();
    if bits & MDL_PARTIAL != 0 {
        let story = "MmUnlockPages on a partial MDL: the pages belong to its source.";
        // SAFETY: the caller's contract.
        return Err(unsafe { wrong_flags(0xB4, mdl, MDL_PARTIAL, story) });
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
        // Without a process these are the system's pages. What the same MDL has locked of a
        // process before, and never unlocked, is not given back with them.
        if !(*mdl).Process.is_null() {
            (*mdl).Process = std::ptr::null_mut();
            give_back(context, address);
        }
    }
    remember_host_frames(context, mdl, Vec::new());
    Ok(())
}

/// Gives up the pages of user memory that an MDL has locked.
fn give_back(context: &Context, mdl: usize) {
    let locked = {
        let mut user = context.machine.memory.user();
        let locked = user.take(mdl);
        if let Some(locked) = &locked {
            for page in &locked.pages {
                user.unlock_page(locked.process, page);
            }
        }
        locked
    };
    // Frames whose addresses are gone go here, after the table has been released.
    drop(locked);
}

/// An MDL over a caller's buffer, locked as the I/O manager does it for direct I/O: as kernel code,
/// so that user addresses are those of the current process and are not probed.
///
/// # Errors
/// The pages cannot be locked.
///
/// # Safety
/// Kernel memory outlives the MDL.
pub(crate) unsafe fn lock_buffer(
    context: &Context,
    owner: Owner,
    buffer: PVOID,
    length: ULONG,
    operation: LOCK_OPERATION,
) -> Result<PMDL, Raised> {
    let mdl = super::mdl::allocate(context, owner, buffer, length);
    // SAFETY: a fresh MDL; the caller's contract.
    unsafe {
        match probe_and_lock(
            context,
            mdl,
            _MODE::KernelMode as KPROCESSOR_MODE,
            operation,
        ) {
            Ok(()) => Ok(mdl),
            Err(raised) => {
                super::mdl::free(context, mdl);
                Err(raised)
            }
        }
    }
}

/// Undoes [`lock_buffer`].
///
/// # Safety
/// Nobody uses the MDL any longer.
pub(crate) unsafe fn release_buffer(context: &Context, mdl: PMDL) {
    // SAFETY: the caller's contract.
    unsafe {
        unlock(context, mdl).unwrap_or_else(|violation| violation.raise());
        super::mdl::free(context, mdl);
    }
}
