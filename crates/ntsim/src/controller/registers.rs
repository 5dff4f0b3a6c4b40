//! The registers: what can be read and written, and what that starts.

use std::sync::Arc;

use super::engine::Operation;
use super::io_space::Registers;
use super::{Controller, Fault, Misuse, State};
use crate::port::Direction;

const COMMAND: u32 = 0x00;
const STATUS: u32 = 0x04;
const ACKNOWLEDGE: u32 = 0x08;
const LBA_LOW: u32 = 0x0C;
const LBA_HIGH: u32 = 0x10;
const SECTORS: u32 = 0x14;
const LIST_RESET: u32 = 0x18;
const SEGMENT_LOW: u32 = 0x1C;
const SEGMENT_HIGH: u32 = 0x20;
const SEGMENT_LENGTH: u32 = 0x24;
const CAPACITY_LOW: u32 = 0x28;
const CAPACITY_HIGH: u32 = 0x2C;
const SECTOR_SIZE: u32 = 0x30;
const MAX_SECTORS: u32 = 0x34;
const MAX_SEGMENTS: u32 = 0x38;
const ADDRESS_BITS: u32 = 0x3C;
const TRANSFERRED: u32 = 0x40;

const READ: u32 = 1;
const WRITE: u32 = 2;
const RESET: u32 = 0x8000_0000;

const BUSY: u32 = 1;
const INTERRUPT: u32 = 2;
const ERROR: u32 = 4;

/// What a device that is not there reads as.
const NOTHING: u32 = u32::MAX;

/// What the registers hold.
#[derive(Default)]
pub(super) struct File {
    status: u32,
    lba: u64,
    sectors: u32,
    segments: Vec<(u64, u32)>,
    segment: u64,
    transferred: u32,
    /// The operation that runs and waits for somebody to end it by hand.
    waiting: Option<Operation>,
}

impl File {
    pub(super) const fn is_busy(&self) -> bool {
        self.status & BUSY != 0
    }

    pub(super) const fn interrupt(&self) -> bool {
        self.status & INTERRUPT != 0
    }

    pub(super) fn take_waiting(&mut self) -> Option<Operation> {
        self.waiting.take()
    }

    pub(super) fn wait(&mut self, operation: Operation) {
        self.waiting = Some(operation);
    }

    /// As after power-on.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// An operation has ended.
    pub(super) fn end(&mut self, transferred: u32, fault: Option<Fault>) {
        self.transferred = transferred;
        let error = fault.map_or(0, |fault| ERROR | (fault as u32) << 8);
        self.status = INTERRUPT | error;
    }
}

fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

const fn with_low(value: u64, low: u32) -> u64 {
    value & !0xFFFF_FFFF | low as u64
}

const fn with_high(value: u64, high: u32) -> u64 {
    value & 0xFFFF_FFFF | (high as u64) << 32
}

/// The controller at a physical address.
pub(super) struct Window(pub(super) Arc<Controller>);

impl Registers for Window {
    fn read(&self, offset: u32) -> u32 {
        self.0.read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        self.0.write(offset, value);
    }
}

impl Controller {
    fn read(&self, offset: u32) -> u32 {
        let geometry = self.disk.geometry();
        let mut state = self.state();
        if !state.present {
            return NOTHING;
        }
        match offset {
            STATUS => state.registers.status,
            CAPACITY_LOW => low(geometry.blocks),
            CAPACITY_HIGH => high(geometry.blocks),
            SECTOR_SIZE => geometry.sector,
            MAX_SECTORS => self.options.max_sectors.unwrap_or(0),
            MAX_SEGMENTS => self.options.max_segments,
            ADDRESS_BITS => self.options.address_bits,
            TRANSFERRED => state.registers.transferred,
            _ => {
                state.misuses.push(Misuse::Register(offset));
                NOTHING
            }
        }
    }

    fn write(self: &Arc<Self>, offset: u32, value: u32) {
        let started = {
            let mut state = self.state();
            if !state.present {
                return;
            }
            state.write(offset, value)
        };
        if let Some(operation) = started {
            self.start(operation);
        }
    }
}

impl State {
    /// Writes a register; gives the operation that this starts.
    fn write(&mut self, offset: u32, value: u32) -> Option<Operation> {
        let busy = self.registers.is_busy();
        let file = &mut self.registers;
        match offset {
            COMMAND if value == RESET => {
                self.counts.reset += u64::from(busy);
                self.generation += 1;
                self.registers.clear();
            }
            ACKNOWLEDGE => file.status &= BUSY,
            _ if busy => self.misuses.push(Misuse::Busy(offset)),
            COMMAND if file.interrupt() => self.misuses.push(Misuse::Unacknowledged),
            COMMAND if value == READ || value == WRITE => return Some(self.begin(value)),
            LBA_LOW => file.lba = with_low(file.lba, value),
            LBA_HIGH => file.lba = with_high(file.lba, value),
            SECTORS => file.sectors = value,
            LIST_RESET => file.segments.clear(),
            SEGMENT_LOW => file.segment = with_low(file.segment, value),
            SEGMENT_HIGH => file.segment = with_high(file.segment, value),
            SEGMENT_LENGTH => file.segments.push((file.segment, value)),
            _ => self.misuses.push(Misuse::Register(offset)),
        }
        None
    }

    /// The operation that the registers describe.
    fn begin(&mut self, command: u32) -> Operation {
        let file = &mut self.registers;
        file.status = BUSY;
        file.transferred = 0;
        let direction = if command == READ {
            Direction::Read
        } else {
            Direction::Write
        };
        Operation {
            direction,
            lba: file.lba,
            sectors: file.sectors,
            segments: file.segments.clone(),
            generation: self.generation,
            record: 0,
        }
    }
}
