//! IoBuildSynchronousFsdRequest: the I/O manager makes the IRP, describes the buffer, and cleans up.

use wdk_sys::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IO_STATUS_BLOCK, IRP_MJ_READ, IRP_MJ_WRITE, LARGE_INTEGER,
    PDEVICE_OBJECT, PVOID, STATUS_PENDING, ntddk,
};
use xfersplit_wdm::{
    event::Event,
    irp::{Irp, ReadWrite},
};

use super::Moved;
use crate::lock::Locked;

/// Sends the portion down by its system address and waits for it if the driver below said
/// `STATUS_PENDING`. PASSIVE_LEVEL. `None` if it cannot travel like this; nothing was sent then.
///
/// # Why by its system address
/// IoBuildSynchronousFsdRequest locks the buffer that it is given *with KernelMode* (ReactOS
/// ntoskrnl/io/iomgr/irp.c): it asks nobody whether a user may use it, and a kernel address that a
/// user has made up would be read or overwritten. So it never sees an address of the requestor's. It
/// gets that of pages which were probed in the requestor's own mode, locked and mapped already, where
/// locking them once more can neither fail for want of rights nor reach anything else.
pub(super) fn carry(
    lower: PDEVICE_OBJECT,
    portion: &Locked<'_>,
    order: ReadWrite,
    stack_flags: u8,
) -> Option<Moved> {
    if !takes_mdls(lower) || apcs_are_disabled() {
        return None;
    }
    let address = portion.system_address()?;
    let event = Event::default();
    // SAFETY: the event stays here, and this function returns only when nobody will set it any more.
    unsafe { event.initialise() };
    let mut block = IO_STATUS_BLOCK::default();
    let irp = build(lower, address, order, &event, &raw mut block)?;
    // SAFETY: just built for `lower`, and not sent yet.
    unsafe { dress(&irp, order, stack_flags) };
    // SAFETY: IofCallDriver takes the IRP over, and the I/O manager frees it; buffer, event and status
    // block outlive it; `lower` is the device that ours is attached to.
    let mut status = unsafe { ntddk::IofCallDriver(lower, irp.into_raw()) };
    if status == STATUS_PENDING {
        event.wait();
        // SAFETY: the event says that the I/O manager has written the block.
        status = unsafe { block.__bindgen_anon_1.Status };
    }
    // An error that is returned at once leaves the block as it was: no bytes.
    Some(Moved::new(status, block.Information, order))
}

/// Whether the I/O manager describes the buffer with an MDL for this device. For any other it would
/// copy it or pass the address on as it is; `DO_BUFFERED_IO` is what it looks at first (ReactOS
/// ntoskrnl/io/iomgr/irp.c, IoBuildAsynchronousFsdRequest).
fn takes_mdls(lower: PDEVICE_OBJECT) -> bool {
    // SAFETY: we are attached to it.
    let flags = unsafe { (*lower).Flags };
    flags & (DO_DIRECT_IO | DO_BUFFERED_IO) == DO_DIRECT_IO
}

/// The end of such a request arrives as a special kernel APC: in a guarded region it never would.
fn apcs_are_disabled() -> bool {
    // SAFETY: IRQL <= DISPATCH_LEVEL.
    unsafe { ntddk::KeAreAllApcsDisabled() != 0 }
}

fn build(
    lower: PDEVICE_OBJECT,
    address: PVOID,
    order: ReadWrite,
    event: &Event,
    block: *mut IO_STATUS_BLOCK,
) -> Option<Irp> {
    let major = if order.write {
        IRP_MJ_WRITE
    } else {
        IRP_MJ_READ
    };
    let mut offset = LARGE_INTEGER {
        QuadPart: order.byte_offset,
    };
    // SAFETY: PASSIVE_LEVEL; the range is mapped for as long as the portion is locked, and event and
    // status block stay until the request is over. Null without memory.
    let irp = unsafe {
        ntddk::IoBuildSynchronousFsdRequest(
            major,
            lower,
            address,
            order.length,
            &raw mut offset,
            event.as_ptr(),
            block,
        )
    };
    // SAFETY: the I/O manager made it for us to send.
    (!irp.is_null()).then(|| unsafe { Irp::from_raw(irp) })
}

/// What IoBuildSynchronousFsdRequest does not know of: the parent's `Key` and `SL_*` flags.
///
/// # Safety
/// `irp` was built for a lower driver and not sent yet.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block reaches one field; the lint counts every union on the way to it"
)]
unsafe fn dress(irp: &Irp, order: ReadWrite, stack_flags: u8) {
    // SAFETY: the caller's contract: there is the location of the driver below.
    let next = unsafe { irp.next() };
    // SAFETY: the next location is the sender's to fill.
    unsafe { (*next).Flags = stack_flags };
    // SAFETY: as above; Parameters.Read and Parameters.Write have one layout.
    unsafe { (*next).Parameters.Read.Key = order.key };
}
