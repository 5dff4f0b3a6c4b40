//! The controller's registers: a window of ULONGs in memory space.

use core::ptr::NonNull;

use wdk_sys::{
    NTSTATUS, PAGE_NOCACHE, PAGE_READWRITE, PHYSICAL_ADDRESS, SIZE_T,
    STATUS_DEVICE_CONFIGURATION_ERROR, STATUS_DEVICE_DATA_ERROR, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_NONEXISTENT_SECTOR, STATUS_SUCCESS, ULONG, ntddk,
};

/// Byte offsets of the registers.
mod offset {
    pub(super) const COMMAND: usize = 0x00;
    pub(super) const STATUS: usize = 0x04;
    pub(super) const ACKNOWLEDGE: usize = 0x08;
    pub(super) const LBA_LOW: usize = 0x0C;
    pub(super) const LBA_HIGH: usize = 0x10;
    pub(super) const SECTORS: usize = 0x14;
    pub(super) const LIST_RESET: usize = 0x18;
    pub(super) const SEGMENT_LOW: usize = 0x1C;
    pub(super) const SEGMENT_HIGH: usize = 0x20;
    pub(super) const SEGMENT_LENGTH: usize = 0x24;
    pub(super) const CAPACITY_LOW: usize = 0x28;
    pub(super) const CAPACITY_HIGH: usize = 0x2C;
    pub(super) const SECTOR_SIZE: usize = 0x30;
    pub(super) const MAX_SECTORS: usize = 0x34;
    pub(super) const MAX_SEGMENTS: usize = 0x38;
    pub(super) const ADDRESS_BITS: usize = 0x3C;
    pub(super) const TRANSFERRED: usize = 0x40;
    /// Bytes of the whole window.
    pub(super) const END: usize = 0x44;
}

/// `COMMAND`: from the disk to memory.
const READ: u32 = 1;
/// `COMMAND`: from memory to the disk.
const WRITE: u32 = 2;
/// `COMMAND`: stop whatever runs, and forget it.
const RESET: u32 = 0x8000_0000;

/// What is read where no device answers.
const NOBODY: u32 = u32::MAX;

/// What `STATUS` said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    const INTERRUPT: u32 = 1 << 1;
    const ERROR: u32 = 1 << 2;
    /// The controller asks for attention: an operation has ended.
    pub(crate) const fn interrupts(self) -> bool {
        self.0 != NOBODY && self.0 & Self::INTERRUPT != 0
    }

    /// What a request is told whose operation ended like this.
    pub(crate) const fn result(self) -> NTSTATUS {
        if self.0 & Self::ERROR == 0 {
            return STATUS_SUCCESS;
        }
        match (self.0 >> 8) & 0xFF {
            1 => STATUS_NONEXISTENT_SECTOR,
            6 => STATUS_DEVICE_DATA_ERROR,
            // Length, address, sectors, segments: the plan should have seen to them.
            _ => STATUS_IO_DEVICE_ERROR,
        }
    }
}

/// One run of memory as the device sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Logical address.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) length: u32,
}

/// What one operation moves where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    /// From memory to the disk.
    pub(crate) write: bool,
    /// First sector.
    pub(crate) lba: u64,
    /// Sectors.
    pub(crate) sectors: u32,
}

/// What the controller says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// Sectors of the disk.
    pub(crate) capacity: u64,
    /// Bytes in a sector.
    pub(crate) sector_size: u32,
    /// Most sectors in one operation, 0 for no limit.
    pub(crate) max_sectors: u32,
    /// Most segments in one operation; 1 for a controller without scatter/gather.
    pub(crate) max_segments: u32,
    /// Width of its addresses, in bits.
    pub(crate) address_bits: u32,
}

/// The mapped window.
///
/// # Invariants
/// `base` is a mapping of at least [`offset::END`] bytes by `MmMapIoSpaceEx`, the value's own.
pub(crate) struct Registers {
    base: NonNull<ULONG>,
    length: SIZE_T,
}

// SAFETY: the mapping is the same on every processor; a register access is one bus transaction.
unsafe impl Send for Registers {}
// SAFETY: as above.
unsafe impl Sync for Registers {}

impl Registers {
    /// Maps the window. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `STATUS_DEVICE_CONFIGURATION_ERROR` for a window that is too small,
    /// `STATUS_INSUFFICIENT_RESOURCES` without room for the mapping.
    ///
    /// # Safety
    /// The range is one that the PnP manager has given to this device.
    pub(crate) unsafe fn map(start: PHYSICAL_ADDRESS, length: u32) -> Result<Self, NTSTATUS> {
        if (length as usize) < offset::END {
            return Err(STATUS_DEVICE_CONFIGURATION_ERROR);
        }
        let length = SIZE_T::from(length);
        let protection = PAGE_READWRITE | PAGE_NOCACHE;
        // SAFETY: the caller's contract.
        let base = unsafe { ntddk::MmMapIoSpaceEx(start, length, protection) };
        let base = NonNull::new(base.cast()).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        Ok(Self { base, length })
    }

    fn read(&self, offset: usize) -> u32 {
        let register = self.base.as_ptr().wrapping_byte_add(offset);
        // SAFETY: type invariant; the offset is one of the window's.
        unsafe { access::READ_REGISTER_ULONG(register) }
    }

    fn write(&self, offset: usize, value: u32) {
        let register = self.base.as_ptr().wrapping_byte_add(offset);
        // SAFETY: type invariant; the offset is one of the window's.
        unsafe { access::WRITE_REGISTER_ULONG(register, value) };
    }

    /// What the controller is.
    pub(crate) fn identify(&self) -> Identity {
        let low = u64::from(self.read(offset::CAPACITY_LOW));
        let high = u64::from(self.read(offset::CAPACITY_HIGH));
        Identity {
            capacity: high << 32 | low,
            sector_size: self.read(offset::SECTOR_SIZE),
            max_sectors: self.read(offset::MAX_SECTORS),
            max_segments: self.read(offset::MAX_SEGMENTS),
            address_bits: self.read(offset::ADDRESS_BITS),
        }
    }

    /// How the controller is. Any IRQL.
    pub(crate) fn status(&self) -> Status {
        Status(self.read(offset::STATUS))
    }

    /// The interrupt has been seen. Any IRQL.
    pub(crate) fn acknowledge(&self) {
        self.write(offset::ACKNOWLEDGE, 1);
    }

    /// Stops whatever runs. When this returns, the controller no longer touches memory, and it will
    /// not interrupt for what it did.
    pub(crate) fn reset(&self) {
        self.write(offset::COMMAND, RESET);
    }

    /// Starts an operation. `segments` are mapped for the device, and stay so until it has ended.
    pub(crate) fn start(&self, command: Command, segments: impl Iterator<Item = Segment>) {
        self.write(offset::LIST_RESET, 1);
        for segment in segments {
            self.write(offset::SEGMENT_LOW, segment.address as u32);
            self.write(offset::SEGMENT_HIGH, (segment.address >> 32) as u32);
            self.write(offset::SEGMENT_LENGTH, segment.length);
        }
        self.write(offset::LBA_LOW, command.lba as u32);
        self.write(offset::LBA_HIGH, (command.lba >> 32) as u32);
        self.write(offset::SECTORS, command.sectors);
        self.write(offset::COMMAND, if command.write { WRITE } else { READ });
    }

    /// Bytes that the last operation has moved; `None` if the device is no longer there.
    pub(crate) fn transferred(&self) -> Option<u32> {
        let bytes = self.read(offset::TRANSFERRED);
        (bytes != NOBODY).then_some(bytes)
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: type invariant; whoever drops the value has disconnected the interrupt.
        unsafe { ntddk::MmUnmapIoSpace(self.base.as_ptr().cast(), self.length) };
    }
}

/// The simulated kernel has them as functions.
#[cfg(not(windows))]
mod access {
    pub(super) use wdk_sys::ntddk::{READ_REGISTER_ULONG, WRITE_REGISTER_ULONG};
}

/// wdm.h has them as inline functions, which bindgen does not emit: a volatile access, and behind a
/// write a full barrier.
#[cfg(windows)]
#[expect(non_snake_case, reason = "names of wdm.h")]
mod access {
    use core::sync::atomic::{Ordering, fence};

    /// # Safety
    /// `register` is a mapped register.
    pub(super) unsafe fn READ_REGISTER_ULONG(register: *mut u32) -> u32 {
        // SAFETY: the caller's contract.
        unsafe { register.read_volatile() }
    }

    /// # Safety
    /// As for the read.
    pub(super) unsafe fn WRITE_REGISTER_ULONG(register: *mut u32, value: u32) {
        // SAFETY: the caller's contract.
        unsafe { register.write_volatile(value) };
        fence(Ordering::SeqCst);
    }
}
