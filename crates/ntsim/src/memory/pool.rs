//! Pool: tagged blocks with an owner each.

use std::alloc::Layout;
use std::collections::BTreeMap;

use super::{Blocks, PAGE};
use crate::abi::{APC_LEVEL, KIRQL, PVOID};
use crate::machine::context::{self, Context, DISPATCH};
use crate::machine::{AllocationKind, DriverId, Machine, Owner, Violation, codes, lock};

/// Bytes behind each block that nobody may write. Miri needs none: it sees the block's true end.
const GUARD: usize = if cfg!(miri) { 0 } else { 16 };
const GUARD_BYTE: u8 = 0xBD;
pub(super) const ALIGNMENT: usize = 16;
/// Of x64 processors.
const CACHE_LINE: usize = 64;

pub(crate) struct PoolBlock {
    block: *mut u8,
    layout: Layout,
    pub(crate) bytes: usize,
    tag: u32,
    owner: Owner,
    driver: DriverId,
    paged: bool,
    call: &'static str,
}

/// Every block that is allocated, by address.
#[derive(Default)]
pub(crate) struct PoolTable(BTreeMap<usize, PoolBlock>);

// SAFETY: the pointers own their blocks; only the table's holder follows them.
unsafe impl Send for PoolTable {}

impl Drop for PoolTable {
    fn drop(&mut self) {
        for block in self.0.values() {
            // SAFETY: the machine goes away and with it whoever owned the block.
            unsafe { std::alloc::dealloc(block.block, block.layout) };
        }
    }
}

impl PoolTable {
    /// The block that contains `address`.
    pub(crate) fn containing(&self, address: usize) -> Option<&PoolBlock> {
        let (base, block) = self.0.range(..=address).next_back()?;
        (address < base + block.bytes).then_some(block)
    }

    /// Whether an address lies in paged pool.
    pub(super) fn is_paged(&self, address: usize) -> bool {
        self.containing(address).is_some_and(|block| block.paged)
    }

    fn remove(&mut self, pointer: PVOID, tag: u32) -> Result<PoolBlock, Violation> {
        let address = pointer.addr();
        let Some(block) = self.0.get(&address) else {
            let inside = self.containing(address).is_some();
            let story = if inside {
                format!(
                    "Pool was freed at {address:#x}, which lies inside a block and does not begin one."
                )
            } else {
                format!(
                    "Pool was freed at {address:#x}, where no block is allocated: it was freed before, or never allocated."
                )
            };
            let rule = if inside { 0x46 } else { 0x07 };
            return Err(Violation::new(
                codes::BAD_POOL_CALLER,
                [rule, 0, 0, address as u64],
                story,
            ));
        };
        if tag != 0 && tag != block.tag {
            let story = format!(
                "Pool with tag {} was freed with tag {}.",
                tag_text(block.tag),
                tag_text(tag)
            );
            let parameters = [0x0A, address as u64, u64::from(block.tag), u64::from(tag)];
            return Err(Violation::new(codes::BAD_POOL_CALLER, parameters, story));
        }
        Ok(self.0.remove(&address).expect("looked up above"))
    }

    /// The tag of the block that begins at `address`.
    pub(crate) fn tag_of(&self, address: usize) -> Option<u32> {
        self.0.get(&address).map(|block| block.tag)
    }

    /// What `driver` has not freed, one line each.
    pub(crate) fn leaks_of(&self, driver: DriverId) -> Vec<String> {
        let blocks = self
            .0
            .values()
            .filter(|block| block.driver == driver && block.owner == Owner::Driver);
        blocks
            .map(|block| {
                format!(
                    "pool: {} bytes, tag {}, from {}",
                    block.bytes,
                    tag_text(block.tag),
                    block.call
                )
            })
            .collect()
    }
}

/// A tag as people write it.
pub(crate) fn tag_text(tag: u32) -> String {
    let text: String = tag
        .to_le_bytes()
        .iter()
        .map(|&byte| {
            if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '.'
            }
        })
        .collect();
    format!("'{text}'")
}

/// Nonpaged pool for the kernel's own modules: zeroed, 16-byte aligned (page aligned from a page
/// on). Never null.
///
/// # Panics
/// If `bytes` is 0.
pub fn pool_allocate(owner: Owner, bytes: usize, tag: u32) -> PVOID {
    let context = context::current();
    allocate(&context, owner, bytes, tag, false, ALIGNMENT)
}

/// The same on a cache line of its own, where adapters want their data.
///
/// # Panics
/// If `bytes` is 0.
pub fn pool_allocate_cache_aligned(owner: Owner, bytes: usize, tag: u32) -> PVOID {
    let context = context::current();
    allocate(&context, owner, bytes, tag, false, CACHE_LINE)
}

/// How many blocks of `owner` with `tag` are allocated now.
pub fn pool_blocks(owner: Owner, tag: u32) -> usize {
    crate::machine::with(|machine| {
        let table = lock(&machine.memory.pool);
        table
            .0
            .values()
            .filter(|block| block.owner == owner && block.tag == tag)
            .count()
    })
}

/// Frees pool of any owner.
///
/// # Safety
/// `pointer` came from [`pool_allocate`] or `ExAllocatePool2` and nobody uses it any longer.
pub unsafe fn pool_free(pointer: PVOID) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { free(&context, pointer, 0) }
}

pub(super) fn allocate(
    context: &Context,
    owner: Owner,
    bytes: usize,
    tag: u32,
    paged: bool,
    alignment: usize,
) -> PVOID {
    let alignment = if bytes >= PAGE { PAGE } else { alignment };
    let layout = Layout::from_size_align(bytes + GUARD, alignment).expect("a size that exists");
    let block = Blocks::allocate(layout);
    // SAFETY: the guard follows the caller's bytes in the same block.
    unsafe { block.add(bytes).write_bytes(GUARD_BYTE, GUARD) };
    let machine = &context.machine;
    if owner == Owner::Driver {
        machine.accounts.allocated(AllocationKind::Pool, bytes);
    }
    let driver = context.frame.get().driver;
    let call = context.call.get();
    let entry = PoolBlock {
        block,
        layout,
        bytes,
        tag,
        owner,
        driver,
        paged,
        call,
    };
    lock(&machine.memory.pool).0.insert(block.addr(), entry);
    block.cast()
}

/// # Safety
/// Nobody uses the block any longer.
pub(super) unsafe fn free(context: &Context, pointer: PVOID, tag: u32) {
    let machine = &context.machine;
    check_not_an_object(machine, pointer);
    let removed = lock(&machine.memory.pool).remove(pointer, tag);
    let block = removed.unwrap_or_else(|violation| violation.raise());
    check_irql(context, &block);
    crate::ke::forget_range(machine, pointer.addr(), block.bytes);
    crate::io::forget_range(machine, pointer.addr(), block.bytes);
    check_guard(&block);
    if block.owner == Owner::Driver {
        machine.accounts.freed(block.bytes);
    }
    // SAFETY: taken out of the table, so this is the only pointer that owns the block.
    let freed = unsafe {
        machine
            .memory
            .blocks
            .free(block.block, block.layout, "A pool block")
    };
    freed.unwrap_or_else(|violation| violation.raise());
}

/// IRPs and MDLs have functions of their own to free them.
fn check_not_an_object(machine: &Machine, pointer: PVOID) {
    if lock(&machine.io).irps.contains(pointer.addr()) {
        let story = "An IRP was freed with ExFreePool instead of IoFreeIrp.";
        Violation::verifier(0x105, pointer.addr(), 0, story).raise();
    }
}

fn check_irql(context: &Context, block: &PoolBlock) {
    let irql = context.irql.get();
    let (limit, rule) = if block.paged {
        (APC_LEVEL as KIRQL, 0x11)
    } else {
        (DISPATCH, 0x12)
    };
    if irql > limit {
        let story = format!("Pool was freed at IRQL {irql}; for this kind {limit} is the highest.");
        Violation::verifier(rule, usize::from(irql), block.block.addr(), story).raise();
    }
}

fn check_guard(block: &PoolBlock) {
    // SAFETY: the guard lies in the block and was initialised when it was allocated.
    let guard = unsafe { std::slice::from_raw_parts(block.block.add(block.bytes), GUARD) };
    if let Some(offset) = guard.iter().position(|&byte| byte != GUARD_BYTE) {
        let story = format!(
            "A pool block of {} bytes, tag {}, was written {offset} bytes past its end.",
            block.bytes,
            tag_text(block.tag)
        );
        let parameters = [
            block.block.addr() as u64,
            block.bytes as u64,
            offset as u64,
            0x24,
        ];
        Violation::new(
            codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION,
            parameters,
            story,
        )
        .raise();
    }
}

pub(super) mod exports {
    //! `ExAllocatePool2` and its counterparts.

    use super::{ALIGNMENT, CACHE_LINE, Violation, allocate, free, tag_text};
    use crate::abi::{
        APC_LEVEL, KIRQL, POOL_FLAG_CACHE_ALIGNED, POOL_FLAG_NON_PAGED,
        POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED, POOL_FLAGS, PVOID, SIZE_T, ULONG,
    };
    use crate::export::exports;
    use crate::machine::AllocationKind;
    use crate::machine::context::DISPATCH;

    exports! { run;
        /// Allocates pool, zeroed and 16-byte aligned; null when there is none.
        fn ExAllocatePool2(Flags: POOL_FLAGS, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID {
            let context = run.context();
            let irql = context.irql.get();
            let paged = Flags & POOL_FLAG_PAGED != 0;
            let kinds = POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE;
            if (Flags & kinds).count_ones() != 1 || Tag == 0 {
                // ExAllocatePool2 fails for parameters it does not know (wdm.h).
                return std::ptr::null_mut();
            }
            if NumberOfBytes == 0 {
                let story = format!("Zero bytes of pool were asked for, tag {}.", tag_text(Tag));
                Violation::verifier(0x00, usize::from(irql), 0, story).raise();
            }
            if irql > if paged { APC_LEVEL as KIRQL } else { DISPATCH } {
                let story = format!("Pool was allocated at IRQL {irql}.");
                Violation::verifier(if paged { 1 } else { 2 }, usize::from(irql), 0, story).raise();
            }
            let bytes = NumberOfBytes as usize;
            let owner = context.frame.get().owner;
            if owner == crate::machine::Owner::Driver
                && context.machine.shall_fail(AllocationKind::Pool, bytes, Tag)
            {
                return std::ptr::null_mut();
            }
            let alignment = if Flags & POOL_FLAG_CACHE_ALIGNED == 0 {
                ALIGNMENT
            } else {
                CACHE_LINE
            };
            allocate(context, owner, bytes, Tag, paged, alignment)
        }

        /// Frees pool.
        fn ExFreePool(P: PVOID) {
            // SAFETY: the caller's contract.
            unsafe { free(run.context(), P, 0) }
        }

        /// Frees pool of a known tag.
        fn ExFreePoolWithTag(P: PVOID, Tag: ULONG) {
            // SAFETY: the caller's contract.
            unsafe { free(run.context(), P, Tag) }
        }
    }
}
