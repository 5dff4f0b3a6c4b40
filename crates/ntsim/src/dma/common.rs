//! Common buffers: memory that driver and device see at the same time.

use std::alloc::{Layout, dealloc};

use super::registers::common_window;
use super::state::State;
use super::violation::{COMMON_BUFFER_FREED, broken};
use super::{Hal, starved};
use crate::abi::{PDMA_ADAPTER, PVOID};
use crate::machine::context::Context;
use crate::machine::{Machine, Violation};
use crate::memory::{Blocks, PAGE};

/// One buffer; its memory goes with it.
pub(super) struct CommonBuffer {
    memory: *mut u8,
    layout: Layout,
    length: u32,
    pub(super) logical: u64,
}

// SAFETY: the memory is the owner's; who touches its bytes when is the protocol between driver and
// device.
unsafe impl Send for CommonBuffer {}

impl CommonBuffer {
    /// The memory behind `length` bytes from a logical address on.
    pub(super) fn at(&self, logical: u64, length: usize) -> Option<*mut u8> {
        let offset = logical.checked_sub(self.logical)? as usize;
        (offset + length <= self.length as usize).then(|| self.memory.wrapping_add(offset))
    }

    const fn pages(&self) -> std::ops::Range<u64> {
        let first = self.logical / PAGE as u64;
        first..first + self.layout.size() as u64 / PAGE as u64
    }
}

impl Drop for CommonBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; nobody has the buffer any longer.
        unsafe { dealloc(self.memory, self.layout) };
    }
}

/// `AllocateCommonBuffer`: address and logical address, if there is room where the device reaches.
pub(super) fn allocate(
    context: &Context,
    address: PDMA_ADAPTER,
    length: u32,
) -> Result<Option<(PVOID, u64)>, Violation> {
    let hal = context.machine.extension::<Hal>();
    let mut state = hal.state();
    let bits = state.adapter("AllocateCommonBuffer", address)?.bits;
    if starved(context, length as usize) {
        return Ok(None);
    }
    let pages = u64::from(length).div_ceil(PAGE as u64);
    let Some(page) = state.free_pages(common_window(bits), pages) else {
        return Ok(None);
    };
    let Ok(layout) = Layout::from_size_align(pages as usize * PAGE, PAGE) else {
        return Ok(None);
    };
    let memory = Blocks::allocate(layout);
    let logical = page * PAGE as u64;
    let buffer = CommonBuffer {
        memory,
        layout,
        length,
        logical,
    };
    state
        .adapter("AllocateCommonBuffer", address)?
        .common
        .push(buffer);
    state.counts.common_buffers += 1;
    Ok(Some((memory.cast(), logical)))
}

impl State {
    /// The first of so many free logical pages in a row.
    fn free_pages(&self, window: std::ops::Range<u64>, pages: u64) -> Option<u64> {
        if pages == 0 {
            return None;
        }
        let mut taken: Vec<_> = self
            .adapters
            .values()
            .flat_map(|adapter| adapter.common.iter().map(CommonBuffer::pages))
            .filter(|range| window.contains(&range.start))
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut first = window.start;
        for range in taken {
            if range.start - first >= pages {
                break;
            }
            first = range.end;
        }
        (first + pages <= window.end).then_some(first)
    }
}

/// `FreeCommonBuffer`.
pub(super) fn free(
    machine: &Machine,
    address: PDMA_ADAPTER,
    length: u32,
    logical: u64,
    memory: PVOID,
) -> Result<(), Violation> {
    let hal = machine.extension::<Hal>();
    let mut state = hal.state();
    let adapter = state.adapter("FreeCommonBuffer", address)?;
    let found = adapter.common.iter().position(|buffer| {
        (buffer.length, buffer.logical, buffer.memory.addr()) == (length, logical, memory.addr())
    });
    let Some(index) = found else {
        let story = format!(
            "FreeCommonBuffer of {length} bytes at {memory:p}, logical address {logical:#x}: that is \
             no common buffer of this adapter; it was freed before, or its length or addresses differ."
        );
        return Err(broken(COMMON_BUFFER_FREED, [1, 0, 0], story));
    };
    adapter.common.remove(index);
    state.counts.common_buffers -= 1;
    Ok(())
}
