//! An IRP of the driver's own, which carries the portion's MDL.

use wdk_sys::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
};
use xfersplit_wdm::{
    event::Event,
    irp::{self, ChildIrp, ChildRequest, Inherited, Irp, Order, ReadWrite},
};

use super::Moved;
use crate::lock::Locked;

/// One IRP for all portions of a request; freed when it goes.
pub(super) struct OwnIrp(Option<ChildIrp>);

impl OwnIrp {
    /// No IRP yet.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Sends the portion down and waits for it. PASSIVE_LEVEL.
    pub(super) fn carry(
        &mut self,
        lower: PDEVICE_OBJECT,
        portion: &Locked<'_>,
        order: ReadWrite,
        inherited: Inherited,
    ) -> Moved {
        let Some(irp) = self.irp(lower) else {
            return Moved::new(STATUS_INSUFFICIENT_RESOURCES, 0, order);
        };
        let event = Event::default();
        // SAFETY: the event stays here, and this function returns only when nobody will set it any more.
        unsafe { event.initialise() };
        let request = ChildRequest {
            order: Order::ReadWrite(order),
            mdl: Some(portion.mdl()),
            inherited: Some(inherited),
            completion: (Some(arrived), (&raw const event).cast_mut().cast()),
        };
        // SAFETY: `irp` made it for this stack; it is ours again since the last portion's completion
        // routine has run; MDL and event outlive the wait.
        let status = unsafe { irp.send(lower, &request) };
        if status == STATUS_PENDING {
            event.wait();
        }
        // SAFETY: our completion routine has run and kept the IRP from the I/O manager: it is ours.
        let done = unsafe { Irp::from_raw(irp.as_ptr()) };
        Moved::new(done.status(), done.information(), order)
    }

    fn irp(&mut self, lower: PDEVICE_OBJECT) -> Option<&ChildIrp> {
        if self.0.is_none() {
            // SAFETY: we are attached to it.
            let stack_size = unsafe { irp::stack_size(lower) };
            self.0 = ChildIrp::allocate(stack_size);
        }
        self.0.as_ref()
    }
}

impl Drop for OwnIrp {
    fn drop(&mut self) {
        if let Some(irp) = self.0.take() {
            // SAFETY: every portion was waited for, so no lower driver has it.
            unsafe { irp.free() };
        }
    }
}

/// IoCompletion routine of the portion. IRQL <= DISPATCH_LEVEL.
///
/// Where the lower driver did not return `STATUS_PENDING` nobody waits, and the event is left alone.
unsafe extern "C" fn arrived(_: PDEVICE_OBJECT, irp: PIRP, event: PVOID) -> NTSTATUS {
    // SAFETY: the I/O manager hands the IRP over for the time of this call.
    let pending = unsafe { (*irp).PendingReturned };
    if pending != 0 {
        // SAFETY: the context is the sender's event. The sender waits for it, for its IofCallDriver
        // returns STATUS_PENDING where PendingReturned is set.
        let event = unsafe { &*event.cast::<Event>() };
        // The last use of IRP and event.
        event.set();
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
