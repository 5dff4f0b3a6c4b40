//! Blocks of host memory behind pool, IRPs, MDLs and device objects, and what happens to them when
//! they are freed.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;
use std::sync::Mutex;

use crate::machine::{Violation, codes, lock};

/// Freed blocks are kept this many frees long, poisoned, so that a late write is seen and a late
/// read gives nothing that looks right.
const QUARANTINE_BLOCKS: usize = 64;
/// Larger blocks go back to the host at once.
const QUARANTINE_BYTES: usize = 64 << 10;
const POISON: u8 = 0xFE;

struct Freed {
    block: *mut u8,
    layout: Layout,
    what: &'static str,
}

/// A source of memory. Under Miri freed memory really is freed: Miri sees more than poison does.
#[derive(Default)]
pub(crate) struct Blocks {
    quarantine: Mutex<VecDeque<Freed>>,
}

// SAFETY: the pointers are the only ones left to blocks that nobody owns.
unsafe impl Send for Blocks {}
// SAFETY: as above; the mutex guards them.
unsafe impl Sync for Blocks {}

impl Blocks {
    /// Zeroed memory.
    pub(crate) fn allocate(layout: Layout) -> *mut u8 {
        assert!(layout.size() > 0, "a block has at least one byte");
        // SAFETY: the layout is not empty.
        let block = unsafe { alloc_zeroed(layout) };
        if block.is_null() {
            handle_alloc_error(layout);
        }
        block
    }

    /// Takes back a block that [`Blocks::allocate`] gave with `layout`.
    ///
    /// # Errors
    /// An older block was written after it had been freed.
    ///
    /// # Safety
    /// Nobody owns the block any longer.
    pub(crate) unsafe fn free(
        &self,
        block: *mut u8,
        layout: Layout,
        what: &'static str,
    ) -> Result<(), Violation> {
        if cfg!(miri) || layout.size() > QUARANTINE_BYTES {
            // SAFETY: the caller's contract.
            unsafe { dealloc(block, layout) };
            return Ok(());
        }
        // SAFETY: the block is `size` bytes and nobody's.
        unsafe { block.write_bytes(POISON, layout.size()) };
        let oldest = {
            let mut quarantine = lock(&self.quarantine);
            quarantine.push_back(Freed {
                block,
                layout,
                what,
            });
            if quarantine.len() <= QUARANTINE_BLOCKS {
                return Ok(());
            }
            quarantine.pop_front()
        };
        oldest.map_or(Ok(()), Self::release)
    }

    /// Gives everything in quarantine back to the host.
    ///
    /// # Errors
    /// A block was written after it had been freed.
    pub(crate) fn flush(&self) -> Result<(), Violation> {
        let all = std::mem::take(&mut *lock(&self.quarantine));
        let mut verdict = Ok(());
        for freed in all {
            let result = Self::release(freed);
            verdict = verdict.and(result);
        }
        verdict
    }

    fn release(
        Freed {
            block,
            layout,
            what,
        }: Freed,
    ) -> Result<(), Violation> {
        // SAFETY: the block is still allocated, and initialised by the poison.
        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
        let dirty = bytes.iter().position(|&byte| byte != POISON);
        // SAFETY: allocated with this layout, and nobody's.
        unsafe { dealloc(block, layout) };
        let Some(offset) = dirty else { return Ok(()) };
        let story = format!(
            "{what} of {} bytes was written at offset {offset} after it had been freed.",
            layout.size()
        );
        let parameters = [
            block.addr() as u64,
            offset as u64,
            layout.size() as u64,
            0x32,
        ];
        Err(Violation::new(
            codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION,
            parameters,
            story,
        ))
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // A machine that goes away has no thread left to stop.
        let _verdict = self.flush();
    }
}
