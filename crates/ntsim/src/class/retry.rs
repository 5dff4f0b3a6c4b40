//! Packets that are sent again, and packets that go out page by page [classpnp, retry.c].
//!
//! Nothing is ever sent again from the completion routine itself: it goes through a DPC, or through
//! a timer and its DPC where there is something to wait for.

use std::sync::atomic::Ordering;

use super::complete::{THRESHOLD_RETRIES, valid_sense};
use super::fdo::{Fdo, Use};
use super::limits;
use super::packet::{Packet, Rest};
use super::sense::Sense;
use super::srb::Block;
use crate::abi::{
    LARGE_INTEGER, PIRP, PRKDPC, PVOID, SRB_FLAGS_DISABLE_DISCONNECT,
    SRB_FLAGS_DISABLE_SYNCH_TRANSFER, SRB_FLAGS_QUEUE_ACTION_ENABLE, STATUS_INSUFFICIENT_RESOURCES,
};
use crate::ntddk;

/// Sends a packet again; true where that is not possible and the packet is done.
///
/// # Safety
/// The caller owns `packet`, whose SRB `block` is, and which has retries left.
pub(super) unsafe fn again(packet: *mut Packet, fdo: &Fdo, block: Block) -> bool {
    // SAFETY: the caller owns the packet; it is somebody else's once it is queued.
    unsafe {
        let threshold = valid_sense(block).is_some_and(Sense::is_soft_threshold);
        if threshold {
            if (*packet).threshold_retries >= THRESHOLD_RETRIES {
                return true;
            }
            (*packet).threshold_retries += 1;
        } else {
            (*packet).retries -= 1;
        }
        let last = (*packet).retries == 0 && !threshold
            || (*packet).timed_out && (*packet).timeout_retries == 0;
        if last {
            scale_down(block);
        }
        if super::irp::status((*packet).irp) == STATUS_INSUFFICIENT_RESOURCES {
            if (*packet).in_low_memory {
                return true;
            }
            let (client, buffer) = ((*packet).client, (*packet).buffer);
            let (length, offset) = ((*packet).length, (*packet).offset);
            begin_low_memory(packet, fdo, client, buffer, length, offset);
            return false;
        }
        block.set_data((*packet).buffer, (*packet).length);
        fdo.class.tally.retries.fetch_add(1, Ordering::Relaxed);
        queue(packet);
        false
    }
}

/// The last attempt does without tags, disconnection and synchronous transfers.
fn scale_down(block: Block) {
    let flags = block.flags() & !SRB_FLAGS_QUEUE_ACTION_ENABLE;
    block.set_flags(flags | SRB_FLAGS_DISABLE_DISCONNECT | SRB_FLAGS_DISABLE_SYNCH_TRANSFER);
    block.set_untagged();
}

/// Lets a packet's DPC send it, after its delay. Afterwards the packet is no longer the caller's.
///
/// # Safety
/// The caller owns `packet`, which was set up.
pub(super) unsafe fn queue(packet: *mut Packet) {
    // SAFETY: the caller owns the packet; its timer is not set and its DPC not queued.
    unsafe {
        let dpc = &raw mut (*packet).dpc;
        ntddk::KeInitializeDpc(dpc, Some(send_again), packet.cast());
        let delay = (*packet).delay;
        if delay == 0 {
            ntddk::KeInsertQueueDpc(dpc, core::ptr::null_mut(), core::ptr::null_mut());
        } else {
            let timer = &raw mut (*packet).timer;
            ntddk::KeInitializeTimer(timer);
            ntddk::KeSetTimer(timer, LARGE_INTEGER { QuadPart: -delay }, dpc);
        }
    }
}

unsafe extern "C" fn send_again(_: PRKDPC, context: PVOID, _: PVOID, _: PVOID) {
    let packet: *mut Packet = context.cast();
    // SAFETY: the context is the packet that queued the DPC, whose client keeps the device.
    unsafe {
        let fdo = &*(*packet).fdo;
        // The client may be gone before the packet is seen to be sent.
        let _use = Use::of(&fdo.rundown);
        Packet::free_ports_sense(packet, Packet::block(packet, fdo));
        Packet::submit(packet, fdo);
    }
}

/// Sends a piece, or a whole request, page by page in one packet.
///
/// # Safety
/// The caller owns `packet`, and no longer afterwards; `client` waits for it.
pub(super) unsafe fn begin_low_memory(
    packet: *mut Packet,
    fdo: &Fdo,
    client: PIRP,
    buffer: PVOID,
    length: u32,
    offset: i64,
) {
    fdo.class.tally.low_memory.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the caller owns the packet.
    unsafe {
        (&raw mut (*packet).client).write(client);
        (&raw mut (*packet).in_low_memory).write(true);
        (&raw mut (*packet).delay).write(0);
        (&raw mut (*packet).rest).write(Rest {
            buffer,
            length,
            offset,
        });
        step_low_memory(packet, fdo);
    }
}

/// Sends what lies before the next page boundary; true when nothing is left and the packet is done.
/// Each step has the full budget of retries.
///
/// # Safety
/// The caller owns `packet`, and no longer when more was sent.
pub(super) unsafe fn step_low_memory(packet: *mut Packet, fdo: &Fdo) -> bool {
    // SAFETY: the caller owns the packet.
    unsafe {
        let Rest {
            buffer,
            length,
            offset,
        } = (*packet).rest;
        if length == 0 {
            return true;
        }
        let now = length.min(limits::to_page_end(buffer.addr()));
        Packet::set_up(packet, fdo, (*packet).client, buffer, now, offset);
        (&raw mut (*packet).rest).write(Rest {
            buffer: buffer.wrapping_byte_add(now as usize),
            length: length - now,
            offset: offset.wrapping_add(i64::from(now)),
        });
        (&raw mut (*packet).use_partial).write(true);
        queue(packet);
        false
    }
}
