//! A bus-master disk controller: registers, an interrupt line, and its way to memory.
//!
//! | offset | register | |
//! |---|---|---|
//! | 0x00 | COMMAND, written | 1 reads from the disk to memory, 2 writes; 0x8000_0000 resets |
//! | 0x04 | STATUS, read | bit 0 busy, 1 interrupt, 2 error; bits 8 to 15 say which ([`Fault`]) |
//! | 0x08 | ACKNOWLEDGE, written | clears interrupt and error |
//! | 0x0C, 0x10 | LBA_LOW, LBA_HIGH, written | the first sector |
//! | 0x14 | SECTORS, written | how many |
//! | 0x18 | LIST_RESET, written | empties the list of segments |
//! | 0x1C, 0x20, 0x24 | SEGMENT_LOW, SEGMENT_HIGH, SEGMENT_LENGTH, written | logical address and bytes; the length appends the segment |
//! | 0x28, 0x2C | CAPACITY_LOW, CAPACITY_HIGH, read | sectors of the disk |
//! | 0x30 | SECTOR_SIZE, read | bytes |
//! | 0x34 | MAX_SECTORS, read | sectors of one operation; 0: any number |
//! | 0x38 | MAX_SEGMENTS, read | segments of one operation; 1: no scatter/gather |
//! | 0x3C | ADDRESS_BITS, read | how far logical addresses reach |
//! | 0x40 | TRANSFERRED, read | bytes that the last operation moved |
//!
//! One operation at a time. It ends with an interrupt, whatever comes of it. A device that was
//! pulled out reads as all ones, and what it was about to do never ends.
//!
//! It reaches memory only through logical addresses, and only where something is mapped for it at
//! that moment ([`crate::dma`]): anything else ends the operation with an error and is kept as a
//! [`Misuse`].

mod engine;
mod interrupt;
mod io_space;
mod pnp;
mod registers;
mod resources;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::abi::{KIRQL, PDEVICE_OBJECT, PDRIVER_OBJECT};
use crate::machine::{DriverId, Machine, lock};
use crate::port::{Direction, Disk, Rng};

pub(crate) use resources::Lists;
pub use resources::Resources;

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] =
    &[interrupt::exports::TABLE, io_space::exports::TABLE];

/// The exports of this module.
pub mod exports {
    pub use super::interrupt::exports::*;
    pub use super::io_space::exports::*;
}

/// The IRQL of the controller's service routine.
pub const DIRQL: KIRQL = 6;
/// The controller's interrupt vector.
const VECTOR: u32 = 0x91;
/// Where the registers are in physical memory: in the hole below 4 GiB that is no RAM.
const REGISTERS: u64 = 0xFEBF_0000;
/// Bytes of registers.
const REGISTERS_LENGTH: u32 = 0x1000;
/// How many operations are kept.
const RECORDS: usize = 4096;

/// What kind of controller it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Logical addresses have so many bits.
    pub address_bits: u32,
    /// Sectors of one operation; `None` for any number. The system's "AT" disk driver knows a
    /// controller that takes 256.
    pub max_sectors: Option<u32>,
    /// Segments of one operation; 1 is a controller without scatter/gather.
    pub max_segments: u32,
    /// When operations end.
    pub completion: Completion,
    /// One operation in so many fails at one of its sectors; 0 for none.
    pub medium_error_one_in: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address_bits: 64,
            max_sectors: None,
            max_segments: 64,
            completion: Completion::Seeded(200),
            medium_error_one_in: 0,
        }
    }
}

/// When an operation ends and interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// At once: often before the driver has returned from writing COMMAND.
    Inline,
    /// So much later (100 ns).
    Later(u64),
    /// After up to so much time (100 ns), as the world's seed says.
    Seeded(u64),
}

/// What STATUS says of an operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sectors beyond the disk's end.
    Range = 1,
    /// No sectors, segments that do not add up to them, or a segment that does not begin and end on
    /// a multiple of four bytes.
    Length = 2,
    /// A logical address beyond the address bits, or where nothing is mapped.
    Address = 3,
    /// More sectors than the controller takes.
    Sectors = 4,
    /// More segments than the controller takes.
    Segments = 5,
    /// The medium.
    Medium = 6,
}

/// Something that a driver should not have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// An operation that the controller's registers say it does not take.
    Refused(Fault),
    /// A logical address that is not mapped for the device.
    NotMapped(u64),
    /// A logical address that is mapped for the other direction.
    Direction(u64),
    /// A logical address that the device cannot put on the bus.
    Unreachable(u64),
    /// COMMAND, or a part of an operation, was written while an operation ran.
    Busy(u32),
    /// An operation was commanded before the interrupt of the one before was acknowledged: it does not
    /// start.
    Unacknowledged,
    /// A register was read or written that there is none, or not in this way.
    Register(u32),
}

/// What the controller did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerCounts {
    /// Operations started.
    pub started: u64,
    /// Operations that ended well.
    pub succeeded: u64,
    /// Operations that ended with an error.
    pub failed: u64,
    /// Operations that a reset ended.
    pub reset: u64,
    /// Times that the line was asserted.
    pub interrupts: u64,
}

/// An operation that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// From or to the disk.
    pub direction: Direction,
    /// The first sector.
    pub lba: u64,
    /// How many.
    pub sectors: u32,
    /// Logical addresses and bytes.
    pub segments: Vec<(u64, u32)>,
    /// How it ended, once it has: bytes moved, and what failed.
    pub end: Option<(u32, Option<Fault>)>,
}

/// The controller with its disk.
pub struct Controller {
    disk: Arc<Disk>,
    options: Options,
    state: Mutex<State>,
}

/// Everything that changes.
struct State {
    /// Address of the physical device object.
    pdo: usize,
    registers: registers::File,
    /// Counted up by resets and removal: an operation of an earlier count never ends.
    generation: u64,
    present: bool,
    held: bool,
    rng: Rng,
    bad_sectors: BTreeMap<u64, Option<u32>>,
    records: Vec<OperationRecord>,
    misuses: Vec<Misuse>,
    counts: ControllerCounts,
}

impl Controller {
    /// A controller whose delays and errors follow from `seed`.
    pub fn new(disk: Arc<Disk>, options: Options, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            disk,
            options,
            state: Mutex::new(State {
                pdo: 0,
                registers: registers::File::default(),
                generation: 0,
                present: true,
                held: false,
                rng: Rng::new(seed),
                bad_sectors: BTreeMap::new(),
                records: Vec::new(),
                misuses: Vec::new(),
                counts: ControllerCounts::default(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The disk behind it.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// What it has done so far.
    pub fn counts(&self) -> ControllerCounts {
        self.state().counts
    }

    /// The operations so far, the first few thousand.
    pub fn operations(&self) -> Vec<OperationRecord> {
        self.state().records.clone()
    }

    /// What it objected to.
    pub fn misuses(&self) -> Vec<Misuse> {
        self.state().misuses.clone()
    }

    /// Whether an operation runs.
    pub fn is_busy(&self) -> bool {
        self.state().registers.is_busy()
    }

    /// Operations that touch this sector fail there from now on: so many times, or always.
    pub fn fail_sector(&self, lba: u64, times: Option<u32>) {
        self.state().bad_sectors.insert(lba, times);
    }

    /// Whether operations wait for [`Self::release`] instead of ending by themselves.
    pub fn hold(self: &Arc<Self>, held: bool) {
        self.state().held = held;
        if !held {
            self.release();
        }
    }

    /// Ends the operation that waits because of [`Self::hold`], if there is one.
    pub fn release(self: &Arc<Self>) {
        let waiting = self.state().registers.take_waiting();
        if let Some(operation) = waiting {
            self.end_after(0, operation);
        }
    }

    /// The device is pulled out. What it was about to do does not happen any more.
    pub fn pull_out(&self) {
        let mut state = self.state();
        state.present = false;
        state.generation += 1;
        state.registers.clear();
    }
}

/// What drivers have not given back of a device's registers and interrupt.
pub(crate) fn leaks_of(machine: &Machine, driver: DriverId) -> Vec<String> {
    let mut leaks = interrupt::leaks_of(machine, driver);
    leaks.extend(io_space::leaks_of(machine, driver));
    leaks
}

/// The bus driver and the device object that stands for a controller.
#[derive(Clone, Copy, Debug)]
pub struct Bus {
    driver: PDRIVER_OBJECT,
    device: PDEVICE_OBJECT,
}

impl Bus {
    /// The physical device object.
    pub const fn device(&self) -> PDEVICE_OBJECT {
        self.device
    }
}
