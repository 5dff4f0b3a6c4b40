//! A driver above that frees its IRP and MDL inside its completion routine, as file systems do with
//! the IRPs that they allocate themselves. The requests of [`ntsim::world::Stack`] live until the harness
//! drops them, which is kinder than Windows.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use ntsim::abi::{
    IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SCSI_REQUEST_BLOCK, SRB_FLAGS_DATA_OUT,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE, SRB_SIMPLE_TAG_REQUEST,
    STATUS_MORE_PROCESSING_REQUIRED,
};
use ntsim::io;
use ntsim::machine::Owner;
use ntsim::memory::{self, FrameSet, Placement};
use ntsim::world::Stack;

use super::wdm;

/// What the completion routine needs.
struct Sent {
    _frames: FrameSet,
    _srb: Arc<Block>,
    completions: Arc<AtomicU32>,
}

struct Block(*mut SCSI_REQUEST_BLOCK);

// SAFETY: the SRB belongs to whoever has the IRP.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: made from a box.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Sends a WRITE of `length` bytes to block 0 and returns how often it has been completed.
pub(crate) fn write(stack: &Stack, length: u32) -> Arc<AtomicU32> {
    let pages = length.div_ceil(4096) as usize;
    let frames = memory::allocate_frames(pages, Placement::Scattered);
    let va = memory::reserve_va(pages);
    let mut srb = SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        SrbFlags: SRB_FLAGS_DATA_OUT | SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE,
        QueueAction: SRB_SIMPLE_TAG_REQUEST as u8,
        DataTransferLength: length,
        DataBuffer: va,
        TimeOutValue: 10,
        CdbLength: 10,
        ..SCSI_REQUEST_BLOCK::default()
    };
    srb.Cdb[0] = 0x2A;
    srb.Cdb[7..9].copy_from_slice(&((length / 512) as u16).to_be_bytes());
    let block = Arc::new(Block(Box::into_raw(Box::new(srb))));
    let completions = Arc::new(AtomicU32::new(0));
    // SAFETY: the IRP is ours until it is sent, and the context is the completion routine's.
    unsafe {
        let irp = io::allocate_irp(Owner::Harness, (*stack.top()).StackSize);
        (*block.0).OriginalRequest = irp.cast();
        (*irp).MdlAddress = memory::build_mdl(Owner::Harness, va, length, frames.pfns());
        let location = wdm::next_location(irp);
        (*location).MajorFunction = IRP_MJ_SCSI as u8;
        (*location).Parameters.Scsi.Srb = block.0;
        let sent = Sent {
            _frames: frames,
            _srb: block,
            completions: completions.clone(),
        };
        let context = Box::into_raw(Box::new(sent));
        wdm::set_completion(irp, Some(completed), context.cast());
        io::call_driver(stack.top(), irp);
    }
    completions
}

unsafe extern "C" fn completed(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: the context of this IRP; nothing of it is used once it is completed.
    unsafe {
        let sent = Box::from_raw(context.cast::<Sent>());
        sent.completions.fetch_add(1, Ordering::Relaxed);
        let mdl = (*irp).MdlAddress;
        (*irp).MdlAddress = core::ptr::null_mut();
        memory::free_mdl(mdl);
        io::free_irp(irp);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
