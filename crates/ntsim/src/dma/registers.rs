//! The pool of map registers: each is a page of the HAL's own with a logical address of its own.

use std::alloc::{Layout, dealloc};
use std::ops::Range;

use crate::memory::{Blocks, PAGE};

/// The most map registers that a machine can have.
const MOST: u32 = 0x600;
/// Where the registers' logical pages begin for devices that reach little: from 1 MiB on, within
/// what 24 bits reach.
const LOW: u64 = 0x100;
/// Where those of common buffers begin.
const LOW_COMMON: u64 = 0x800;
/// The first logical page that is none of the HAL's own.
const LOW_END: u64 = 0x1000;
/// For devices that reach far the same places lie above all RAM, so that no frame is in the way.
const HIGH: u64 = 1 << 34;
/// Address bits from which on the high places can be used.
const HIGH_BITS: u32 = 48;
/// What an unused register's page is filled with, as Driver Verifier does it.
const FREE_FILL: u8 = 0x0F;

/// The logical page of map register 0 for a device with so many address bits.
pub(super) const fn window(bits: u32) -> u64 {
    if bits >= HIGH_BITS { HIGH + LOW } else { LOW }
}

/// The logical pages of common buffers for a device with so many address bits.
pub(super) const fn common_window(bits: u32) -> Range<u64> {
    let base = if bits >= HIGH_BITS { HIGH } else { 0 };
    base + LOW_COMMON..base + LOW_END
}

/// Whether a device with so many address bits can be given the frame's own address.
pub(super) const fn reaches(bits: u32, frame: u64) -> bool {
    let end = if bits >= 64 { u64::MAX } else { 1 << bits };
    let fits = (frame + 1) * PAGE as u64 <= end;
    // Those numbers are the HAL's own, for devices that do not reach the high ones.
    fits && (bits >= HIGH_BITS || frame < LOW || frame >= LOW_END)
}

struct Register {
    used: bool,
    page: *mut u8,
}

/// The map registers of a machine.
pub(super) struct RegisterFile {
    registers: Vec<Register>,
}

// SAFETY: the pages are owned by the file and touched under its lock, or by a device while they are
// granted.
unsafe impl Send for RegisterFile {}

const LAYOUT: Layout = match Layout::from_size_align(PAGE, PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

impl Default for RegisterFile {
    fn default() -> Self {
        let mut file = Self {
            registers: Vec::new(),
        };
        file.resize(256);
        file
    }
}

impl RegisterFile {
    /// Makes it so many registers. None may be in use.
    pub(super) fn resize(&mut self, registers: u32) {
        assert!(
            registers <= MOST,
            "a machine has at most {MOST} map registers"
        );
        assert!(
            self.registers.iter().all(|register| !register.used),
            "map registers are in use"
        );
        self.free_pages();
        self.registers.clear();
        self.registers.resize_with(registers as usize, || Register {
            used: false,
            page: std::ptr::null_mut(),
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.registers.len() as u32
    }

    /// Takes `count` neighbouring registers, if there are as many.
    pub(super) fn take(&mut self, count: u32) -> Option<usize> {
        let count = count as usize;
        let mut run = 0;
        let end = self.registers.iter().position(|register| {
            run = if register.used { 0 } else { run + 1 };
            run == count
        });
        let first = if count == 0 { 0 } else { end? + 1 - count };
        for register in &mut self.registers[first..first + count] {
            register.used = true;
        }
        Some(first)
    }

    /// Gives registers back.
    pub(super) fn give_back(&mut self, first: usize, count: u32) {
        for register in &mut self.registers[first..first + count as usize] {
            register.used = false;
            if !register.page.is_null() {
                // SAFETY: a page of this file that nobody has any longer.
                unsafe { register.page.write_bytes(FREE_FILL, PAGE) };
            }
        }
    }

    /// The page behind a register.
    pub(super) fn page(&mut self, index: usize) -> *mut u8 {
        let register = &mut self.registers[index];
        if register.page.is_null() {
            register.page = Blocks::allocate(LAYOUT);
            // SAFETY: a fresh page.
            unsafe { register.page.write_bytes(FREE_FILL, PAGE) };
        }
        register.page
    }

    fn free_pages(&mut self) {
        for register in &self.registers {
            if !register.page.is_null() {
                // SAFETY: allocated with this layout in `page`; the file goes away.
                unsafe { dealloc(register.page, LAYOUT) };
            }
        }
    }
}

impl Drop for RegisterFile {
    fn drop(&mut self) {
        self.free_pages();
    }
}
