//! Transfer packets: an IRP, an SRB, a sense buffer and an MDL that are made once and sent many
//! times [classpnp, xferpkt.c].

use core::ptr;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::fdo::{Fdo, lock};
use super::srb::{Block, SENSE_ROOM, Storage};
use super::{TAG, irp, limits};
use crate::abi::{
    IRP_MJ_READ, IRP_MJ_SCSI, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, KDPC, KTIMER, NTSTATUS,
    PIRP, PMDL, PVOID, SL_WRITE_THROUGH, SRB_FLAGS_ADAPTER_CACHE_ENABLE, SRB_FLAGS_DATA_IN,
    SRB_FLAGS_DATA_OUT, SRB_FLAGS_FREE_SENSE_BUFFER, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NOT_SUPPORTED,
};
use crate::machine::Owner;
use crate::memory;
use crate::port::op;
use crate::{io, ntddk};

/// `SRB_CLASS_FLAGS_PAGING`, among the flags that are reserved for class drivers [classpnp.h].
pub(super) const SRB_CLASS_FLAGS_PAGING: u32 = 0x4000_0000;
/// Bits of `Irp->Flags` in which a priority hint is kept; 0 where none was set.
const HINT_MASK: u32 = 7 << 17;

/// A part of a request that is sent piece by piece when memory is short.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Rest {
    pub(super) buffer: PVOID,
    pub(super) length: u32,
    pub(super) offset: i64,
}

/// A packet. Zero bytes are a value of every field.
#[repr(C)]
pub(super) struct Packet {
    pub(super) fdo: *const Fdo,
    pub(super) irp: PIRP,
    /// The MDL of its own, for a part of a request.
    pub(super) partial: PMDL,
    pub(super) use_partial: bool,
    pub(super) timed_out: bool,
    pub(super) in_low_memory: bool,
    pub(super) client: PIRP,
    /// What the SRB is to say again before it is sent again, for miniports change it.
    pub(super) buffer: PVOID,
    pub(super) length: u32,
    pub(super) offset: i64,
    pub(super) retries: u32,
    pub(super) timeout_retries: u32,
    pub(super) threshold_retries: u32,
    /// Time until the next attempt, in units of 100 ns.
    pub(super) delay: i64,
    pub(super) rest: Rest,
    pub(super) timer: KTIMER,
    pub(super) dpc: KDPC,
    srb: Storage,
    sense: [u8; SENSE_ROOM as usize],
}

impl Packet {
    /// The packet's SRB.
    ///
    /// # Safety
    /// `packet` is a packet that the caller owns.
    pub(super) unsafe fn block(packet: *mut Self, fdo: &Fdo) -> Block {
        // SAFETY: the storage lives as long as the packet, whose owner the caller is.
        unsafe { Block::new(&raw mut (*packet).srb, fdo.is_extended()) }
    }

    /// Makes the SRB for a piece of `client`, with a full budget of retries. Not for a retry.
    ///
    /// # Safety
    /// The caller owns `packet` and `client`, whose MDL the piece is in.
    pub(super) unsafe fn set_up(
        packet: *mut Self,
        fdo: &Fdo,
        client: PIRP,
        buffer: PVOID,
        length: u32,
        offset: i64,
    ) {
        let learned = fdo.learned();
        let options = fdo.options;
        // SAFETY: the caller owns both.
        unsafe {
            let block = Self::block(packet, fdo);
            Self::free_ports_sense(packet, block);
            block.make_command();
            block.set_data(buffer, length);
            block.set_original_request((*packet).irp);
            block.set_sense((&raw mut (*packet).sense).cast(), SENSE_ROOM);
            block.set_timeout(options.timeout);
            let lba = (offset.cast_unsigned()) >> learned.sector_shift;
            block.set_sort_key(u32::try_from(lba).unwrap_or(u32::MAX));
            let location = io::current_location(client);
            let reads = u32::from((*location).MajorFunction) == IRP_MJ_READ;
            let through = u32::from((*location).Flags) & SL_WRITE_THROUGH != 0 && !reads;
            let access = through && options.force_unit_access;
            let blocks = length >> learned.sector_shift;
            let (cdb, used) = command(reads, lba, blocks, access, learned.facts.sixteen);
            block.set_cdb(&cdb[..used]);
            let mut flags = fdo.srb_flags();
            if (*client).Flags & (IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO) != 0 {
                flags |= SRB_CLASS_FLAGS_PAGING;
            }
            flags |= if reads {
                SRB_FLAGS_DATA_IN
            } else {
                SRB_FLAGS_DATA_OUT
            };
            if !through {
                flags |= SRB_FLAGS_ADAPTER_CACHE_ENABLE;
            }
            block.set_flags(flags);
            (&raw mut (*packet).client).write(client);
            (&raw mut (*packet).buffer).write(buffer);
            (&raw mut (*packet).length).write(length);
            (&raw mut (*packet).offset).write(offset);
            (&raw mut (*packet).retries).write(options.retries);
            (&raw mut (*packet).timeout_retries).write(options.retries);
            (&raw mut (*packet).threshold_retries).write(0);
            (&raw mut (*packet).timed_out).write(false);
        }
    }

    /// Sends the packet: the first time and every other. Afterwards it may be gone.
    ///
    /// # Safety
    /// The caller owns `packet`, which was set up.
    pub(super) unsafe fn submit(packet: *mut Self, fdo: &Fdo) -> NTSTATUS {
        // SAFETY: the caller owns the packet until the IRP is sent; the client waits for it.
        unsafe {
            let block = Self::block(packet, fdo);
            let (irp, client) = ((*packet).irp, (*packet).client);
            // Completion cleared the stack location.
            ntddk::IoReuseIrp(irp, STATUS_NOT_SUPPORTED);
            let location = io::next_location(irp);
            (&raw mut (*location).MajorFunction).write(IRP_MJ_SCSI as u8);
            (&raw mut (*location).Flags).write((*io::current_location(client)).Flags);
            (&raw mut (*location).Parameters.Scsi.Srb).write(block.pointer());
            block.clear_status();
            block.set_sense_length(SENSE_ROOM);
            let mdl = if (*packet).use_partial {
                let (buffer, length) = ((*packet).buffer, block.data_length());
                ntddk::IoBuildPartialMdl((*client).MdlAddress, (*packet).partial, buffer, length);
                (*packet).partial
            } else {
                (*client).MdlAddress
            };
            (&raw mut (*irp).MdlAddress).write(mdl);
            block.set_client(client);
            if (*client).Flags & HINT_MASK != 0 {
                ntddk::IoSetIoPriorityHint(irp, ntddk::IoGetIoPriorityHint(client));
            }
            fdo.class.tally.sent(block.data_length(), fdo.is_removed());
            irp::on_completion(irp, Some(super::complete::completed), packet.cast());
            ntddk::IofCallDriver(fdo.lower, irp)
        }
    }

    /// Frees a sense buffer that the port put in the place of the packet's own, and clears that.
    ///
    /// # Safety
    /// The caller owns `packet`, whose SRB `block` is.
    pub(super) unsafe fn free_ports_sense(packet: *mut Self, block: Block) {
        const BOTH: u32 = SRB_FLAGS_PORT_DRIVER_ALLOCSENSE | SRB_FLAGS_FREE_SENSE_BUFFER;
        // SAFETY: the caller owns the packet; a buffer with both flags is the class driver's to free
        // [srb.h, SRB_FLAGS_FREE_SENSE_BUFFER].
        unsafe {
            if block.flags() & BOTH == BOTH {
                ntddk::ExFreePool(block.sense().0.cast());
                block.set_flags(block.flags() & !SRB_FLAGS_FREE_SENSE_BUFFER);
                block.set_sense((&raw mut (*packet).sense).cast(), SENSE_ROOM);
            }
            ptr::write_bytes(&raw mut (*packet).sense, 0, 1);
        }
    }

    /// # Safety
    /// `fdo` outlives the packet and has learned what it needs.
    unsafe fn allocate(fdo: &Fdo, hardware_maximum: u32) -> Option<*mut Self> {
        let room = limits::mdl_room(hardware_maximum)?;
        let memory = memory::pool_allocate(Owner::Harness, size_of::<Self>(), TAG);
        let packet: *mut Self = memory.cast();
        // SAFETY: fresh zeroed memory of the packet's size; zero bytes are a value of every field.
        unsafe {
            (&raw mut (*packet).fdo).write(ptr::from_ref(fdo));
            let irp = io::allocate_irp(Owner::Harness, (*fdo.device).StackSize);
            (&raw mut (*packet).irp).write(irp);
            let mdl = ntddk::IoAllocateMdl(ptr::null_mut(), room, 0, 0, ptr::null_mut());
            (&raw mut (*packet).partial).write(mdl);
            let complete = !irp.is_null() && !mdl.is_null();
            if !complete {
                Self::free(packet);
            }
            complete.then_some(packet)
        }
    }

    /// # Safety
    /// The caller owns `packet`, which is gone afterwards.
    unsafe fn free(packet: *mut Self) {
        // SAFETY: the caller's contract; what is there was allocated by `allocate`.
        unsafe {
            let (irp, mdl) = ((*packet).irp, (*packet).partial);
            if !irp.is_null() {
                io::free_irp(irp);
            }
            if !mdl.is_null() {
                ntddk::IoFreeMdl(mdl);
            }
            memory::pool_free(packet.cast());
        }
    }
}

/// READ or WRITE with 10 or 16 bytes, and how many. The fields hold what fits, as the class
/// driver's do.
pub(super) fn command(
    reads: bool,
    lba: u64,
    blocks: u32,
    force_unit_access: bool,
    sixteen: bool,
) -> ([u8; 16], usize) {
    let mut cdb = [0; 16];
    cdb[1] = u8::from(force_unit_access) << 3;
    if sixteen {
        cdb[0] = if reads { op::READ_16 } else { op::WRITE_16 };
        cdb[2..10].copy_from_slice(&lba.to_be_bytes());
        cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        return (cdb, 16);
    }
    cdb[0] = if reads { op::READ_10 } else { op::WRITE_10 };
    cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
    cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
    (cdb, 10)
}

/// The packets of a device, and the requests that wait for one.
#[derive(Default)]
pub(super) struct Packets(Mutex<Pool>);

#[derive(Default)]
struct Pool {
    free: Vec<*mut Packet>,
    deferred: VecDeque<PIRP>,
}

/// What there is for a request.
pub(super) enum Supply {
    /// As many packets as it needs.
    All(Vec<*mut Packet>),
    /// Too few, so one.
    One(*mut Packet),
    /// None: the request waits, marked pending.
    Deferred,
}

impl Packets {
    /// Makes what has to be there from the beginning. `PASSIVE_LEVEL`.
    pub(super) fn prepare(fdo: &Fdo, hardware_maximum: u32) -> Result<(), NTSTATUS> {
        let options = fdo.options;
        // Others are made when they are needed, unless there is no memory for them then.
        let count = if options.low_memory {
            options.packets.max(1)
        } else {
            1
        };
        for _ in 0..count {
            // SAFETY: the packets go before the device does.
            let packet = unsafe { Packet::allocate(fdo, hardware_maximum) };
            let packet = packet.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
            lock(&fdo.packets.0).free.push(packet);
        }
        Ok(())
    }

    /// `count` packets for `client`, or what there is.
    ///
    /// # Safety
    /// The caller owns `client`. Where it is deferred, it no longer does.
    pub(super) unsafe fn take(fdo: &Fdo, count: usize, client: PIRP) -> Supply {
        let mut taken = Vec::with_capacity(count);
        {
            let mut pool = lock(&fdo.packets.0);
            let left = pool.free.len().saturating_sub(count);
            taken.extend(pool.free.drain(left..));
            if fdo.options.low_memory {
                if taken.is_empty() {
                    // SAFETY: the caller owns the IRP. Under the lock, so that whoever gives a
                    // packet back finds it.
                    unsafe { irp::mark_pending(client) };
                    pool.deferred.push_back(client);
                    return Supply::Deferred;
                }
                if taken.len() < count {
                    let one = taken.pop().expect("there is one");
                    pool.free.append(&mut taken);
                    return Supply::One(one);
                }
            }
        }
        let hardware_maximum = fdo.learned().facts.hardware_maximum;
        while taken.len() < count {
            // SAFETY: the packets go before the device does.
            let packet = unsafe { Packet::allocate(fdo, hardware_maximum) };
            taken.push(packet.expect("the harness never runs out of memory"));
        }
        Supply::All(taken)
    }

    /// Takes a packet back, and gives a request that has waited for one.
    ///
    /// # Safety
    /// The caller owns `packet`, and no longer afterwards.
    pub(super) unsafe fn give_back(fdo: &Fdo, packet: *mut Packet) -> Option<PIRP> {
        let options = fdo.options;
        let (deferred, surplus) = {
            let mut pool = lock(&fdo.packets.0);
            let surplus = !options.low_memory && pool.free.len() >= options.packets.max(1) as usize;
            if !surplus {
                pool.free.push(packet);
            }
            (pool.deferred.pop_front(), surplus)
        };
        if surplus {
            // SAFETY: the caller's contract.
            unsafe { Packet::free(packet) };
        }
        deferred
    }

    /// Frees all packets, which are all back. `PASSIVE_LEVEL`.
    pub(super) fn destroy(&self) {
        let (free, deferred) = {
            let mut pool = lock(&self.0);
            (std::mem::take(&mut pool.free), pool.deferred.len())
        };
        assert!(deferred == 0, "removal waits for every request");
        for packet in free {
            // SAFETY: nobody uses the device any longer.
            unsafe { Packet::free(packet) };
        }
    }
}

/// Totals of what was done, behind [`super::counts`].
impl super::Tally {
    fn sent(&self, bytes: u32, after_remove: bool) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(bytes, Ordering::Relaxed);
        if after_remove {
            self.after_remove.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_count_beyond_a_10_byte_command_loses_its_high_bits() {
        let (cdb, used) = command(true, 0x1_0203_0405, 65543, false, false);
        assert_eq!(used, 10);
        assert_eq!(cdb[..10], [0x28, 0, 2, 3, 4, 5, 0, 0, 7, 0]);
        let (cdb, used) = command(false, 0x1_0203_0405, 65543, true, true);
        assert_eq!(used, 16);
        assert_eq!(cdb, [0x8A, 8, 0, 0, 0, 1, 2, 3, 4, 5, 0, 1, 0, 7, 0, 0]);
    }
}
