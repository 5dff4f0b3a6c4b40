//! The first start: what the adapter, the port and the unit say of themselves [classpnp, class.c,
//! `ClassPnpStartDevice`; disk, pnp.c, `DiskInitFdo`].

use super::command::control;
use super::fdo::{Fdo, Learned};
use super::packet::Packets;
use super::{ClassFacts, limits};
use crate::abi::{
    FILE_REMOVABLE_MEDIA, NT_SUCCESS, NTSTATUS, SRB_FLAGS_NO_QUEUE_FREEZE,
    SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FLAGS_QUEUE_ACTION_ENABLE,
    SRB_TYPE_STORAGE_REQUEST_BLOCK, STATUS_DEVICE_BUSY, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_UNSUCCESSFUL,
};
use crate::port::op;

/// `IOCTL_STORAGE_QUERY_PROPERTY`.
pub(super) const QUERY_PROPERTY: u32 = 0x002D_1400;
/// `sizeof(STORAGE_PROPERTY_QUERY)`.
const QUERY: usize = 12;
/// `sizeof(STORAGE_DESCRIPTOR_HEADER)`.
const HEADER: usize = 8;
/// A descriptor that no pool has room for.
const ABSURD: usize = 1 << 24;

const DEVICE_PROPERTY: u32 = 0;
const ADAPTER_PROPERTY: u32 = 1;
const MINIPORT_PROPERTY: u32 = 5;
const POWER_PROPERTY: u32 = 12;
const IO_CAPABILITY_PROPERTY: u32 = 48;

/// Attempts at READ CAPACITY (`NUM_DRIVECAPACITY_RETRIES`).
const CAPACITY_RETRIES: u32 = 1;
/// Service action of READ CAPACITY (16).
const READ_CAPACITY_16: u8 = 0x10;

/// A descriptor as the port gave it; what it did not give reads as 0.
struct Descriptor(Vec<u8>);

impl Descriptor {
    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|index| self.byte(at + index)))
    }
}

/// The size of the disk.
#[derive(Clone, Copy)]
pub(super) struct Capacity {
    sector: u32,
    last_block: u64,
    sixteen: bool,
}

/// What a disk counts as that does not tell: the start succeeds all the same.
const UNKNOWN: Capacity = Capacity {
    sector: 512,
    last_block: 0,
    sixteen: false,
};

impl Fdo {
    /// Everything that is done once in the life of the device. `PASSIVE_LEVEL`.
    ///
    /// # Errors
    /// The status with which the start fails.
    pub(super) fn initialise(&self) -> Result<(), NTSTATUS> {
        // SAFETY: the device object is this driver's.
        let stack_size = unsafe { (*self.device).StackSize };
        self.release.prepare(stack_size);
        self.power.prepare(stack_size);
        // It does not matter what becomes of these: they are for ports that have something to say.
        let _ = self.descriptor(MINIPORT_PROPERTY);
        let adapter = self.descriptor(ADAPTER_PROPERTY)?;
        let device = self.descriptor(DEVICE_PROPERTY)?;
        let extended = u32::from(adapter.byte(30)) == SRB_TYPE_STORAGE_REQUEST_BLOCK;
        let removable = device.byte(10) != 0;
        self.set_kind(extended, removable);
        let (bytes, pages) = (adapter.word(8), adapter.word(12));
        let hardware_maximum = limits::hardware_maximum(bytes, pages);
        let _ = self.descriptor(IO_CAPABILITY_PROPERTY);
        Packets::prepare(self, hardware_maximum)?;
        let _ = self.descriptor(POWER_PROPERTY);
        self.set_flags(adapter.byte(22) != 0 && device.byte(11) != 0, removable);
        let capacity = self.read_capacity().unwrap_or(UNKNOWN);
        let sector_shift = capacity.sector.trailing_zeros();
        // SAFETY: the device object is this driver's.
        let alignment_requirement = unsafe { (*self.device).AlignmentRequirement };
        let facts = ClassFacts {
            maximum_transfer_length: bytes,
            maximum_physical_pages: pages,
            alignment_mask: adapter.word(16),
            extended_srb: extended,
            hardware_maximum: limits::capped(hardware_maximum, sector_shift, capacity.sixteen),
            sector: capacity.sector,
            last_block: capacity.last_block,
            sixteen: capacity.sixteen,
            alignment_requirement,
            descriptor_queries: 0,
        };
        let learned = Learned {
            facts,
            sector_shift,
            removable,
        };
        self.class.publish(facts);
        // Only the first start comes here.
        let _ = self.learned.set(learned);
        Ok(())
    }

    /// `SrbFlags` for READ and WRITE as the disk driver sets them.
    fn set_flags(&self, queues: bool, removable: bool) {
        let mut flags = SRB_FLAGS_PORT_DRIVER_ALLOCSENSE;
        if queues {
            flags |= SRB_FLAGS_QUEUE_ACTION_ENABLE;
        }
        if removable {
            // SAFETY: the device object is this driver's, and nobody uses it yet.
            unsafe {
                let characteristics = &raw mut (*self.device).Characteristics;
                characteristics.write(characteristics.read() | FILE_REMOVABLE_MEDIA);
            }
        } else {
            flags |= SRB_FLAGS_NO_QUEUE_FREEZE;
        }
        self.set_srb_flags(flags);
    }

    /// A descriptor in two questions: the first for its size [classpnp, class.c,
    /// `ClassGetDescriptor`].
    fn descriptor(&self, property: u32) -> Result<Descriptor, NTSTATUS> {
        let mut query = [0; QUERY];
        query[..4].copy_from_slice(&property.to_le_bytes());
        let mut buffer = query;
        self.ask(property, &mut buffer, HEADER)?;
        let size = u32::from_le_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]) as usize;
        if size == 0 {
            return Err(STATUS_UNSUCCESSFUL);
        }
        if size > ABSURD {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let mut descriptor = vec![0; size.max(QUERY)];
        descriptor[..QUERY].copy_from_slice(&query);
        let room = descriptor.len();
        self.ask(property, &mut descriptor, room)?;
        Ok(Descriptor(descriptor))
    }

    /// Sends the query at the start of `buffer`, with room for `output` bytes of reply in it.
    fn ask(&self, property: u32, buffer: &mut [u8], output: usize) -> Result<(), NTSTATUS> {
        if property == ADAPTER_PROPERTY {
            self.class.count_adapter_query();
        }
        let (status, _) = control(self.lower, QUERY_PROPERTY, buffer, QUERY, output);
        if NT_SUCCESS(status) {
            Ok(())
        } else {
            Err(status)
        }
    }

    /// READ CAPACITY (10), then (16) where the disk has more blocks than that can say.
    /// `PASSIVE_LEVEL`.
    pub(super) fn read_capacity(&self) -> Result<Capacity, NTSTATUS> {
        let mut ten = [0; 8];
        let mut cdb = [0; 10];
        cdb[0] = op::READ_CAPACITY_10;
        self.read_whole(&cdb, &mut ten)?;
        let last = u32::from_be_bytes([ten[0], ten[1], ten[2], ten[3]]);
        if last != u32::MAX {
            return Ok(Capacity {
                sector: sector_size([ten[4], ten[5], ten[6], ten[7]]),
                last_block: u64::from(last),
                sixteen: false,
            });
        }
        let mut sixteen = [0; 12];
        self.read_capacity_16(&mut sixteen)?;
        let (last, block) = sixteen.split_at(8);
        Ok(Capacity {
            sector: sector_size(block.try_into().expect("four bytes of twelve")),
            last_block: u64::from_be_bytes(last.try_into().expect("eight bytes of twelve")),
            sixteen: true,
        })
    }

    /// The beginning of the data of READ CAPACITY (16).
    pub(super) fn read_capacity_16(&self, data: &mut [u8]) -> Result<(), NTSTATUS> {
        let mut cdb = [0; 16];
        cdb[0] = op::SERVICE_ACTION_IN_16;
        cdb[1] = READ_CAPACITY_16;
        cdb[10..14].copy_from_slice(&(data.len() as u32).to_be_bytes());
        self.read_whole(&cdb, data)
    }

    /// Sends a command until it brings as many bytes as asked for, at most twice.
    fn read_whole(&self, cdb: &[u8], data: &mut [u8]) -> Result<(), NTSTATUS> {
        for _ in 0..2 {
            if self.read_command(cdb, data, CAPACITY_RETRIES)? >= data.len() {
                return Ok(());
            }
        }
        Err(STATUS_DEVICE_BUSY)
    }
}

/// A power of two: the highest bit of what the disk says, or 512 [classpnp, utils.c,
/// `ClasspCalculateLogicalSectorSize`].
pub(super) fn sector_size(said: [u8; 4]) -> u32 {
    match u32::from_be_bytes(said) {
        0 => 512,
        said => 1 << said.ilog2(),
    }
}

#[cfg(test)]
mod tests {
    use super::sector_size;

    #[test]
    fn an_odd_sector_is_rounded_down_to_a_power_of_two() {
        assert_eq!(sector_size(512_u32.to_be_bytes()), 512);
        assert_eq!(sector_size(520_u32.to_be_bytes()), 512);
        assert_eq!(sector_size(4096_u32.to_be_bytes()), 4096);
        assert_eq!(sector_size([0; 4]), 512);
    }
}
