//! Thawing a frozen queue.
//!
//! When a request without `SRB_FLAGS_NO_QUEUE_FREEZE` fails, the port freezes the unit's queue until
//! its class driver has looked at the error. In the class shape that class driver is us. The request
//! that thaws it was allocated at start, and one is enough: freezes that are reported while it is on
//! its way are answered by the next one.

use core::cell::Cell;

use wdk_sys::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PKDPC, PVOID, SRB_FUNCTION_FLUSH_QUEUE,
    SRB_FUNCTION_RELEASE_QUEUE, STATUS_MORE_PROCESSING_REQUIRED,
};
use xfersplit_core::pump::{Kicks, Turn};

use super::{Engine, Pooled};
use crate::{
    counters::Counter,
    srb::RequestBlock,
    wdm::{
        dpc::Dpc,
        irp::{ChildIrp, ChildRequest, Order},
    },
};

/// The preallocated request, and who may send it.
pub(super) struct ReleaseQueue {
    pub(super) irp: ChildIrp,
    block: RequestBlock,
    /// The turn is held while the request is below.
    kicks: Kicks,
    /// The turn of the request that is below, or waits for `dpc`.
    turn: Cell<u32>,
    pub(super) dpc: Dpc,
}

impl ReleaseQueue {
    pub(super) fn new(irp: ChildIrp, block: RequestBlock) -> Self {
        Self {
            irp,
            block,
            kicks: Kicks::new(),
            turn: Cell::new(0),
            dpc: Dpc::default(),
        }
    }

    /// Asks for the queue to be released. The caller holds a rundown reference, through its piece.
    pub(super) fn release(&self, engine: Pooled<Engine>) {
        if let Some(turn) = self.kicks.enter() {
            self.turn.set(turn.kicks());
            // Even while the device's cleanup waits: pieces in the frozen queue would keep it waiting.
            engine.rundown().acquire_again();
            self.send(engine);
        }
    }

    fn send(&self, engine: Pooled<Engine>) {
        engine.counters().add(Counter::Released);
        // What waits in the queue of a unit whose medium may have changed is not for this medium.
        let function = if engine.config().is_removable() {
            SRB_FUNCTION_FLUSH_QUEUE
        } else {
            SRB_FUNCTION_RELEASE_QUEUE
        };
        // SAFETY: whoever has the turn owns the request.
        let srb = unsafe {
            self.block
                .build_queue_request(engine.config().format(), function, self.irp.as_ptr())
        };
        let request = ChildRequest {
            order: Order::Scsi(srb),
            mdl: None,
            inherited: None,
            completion: (Some(released), engine.as_context()),
        };
        // SAFETY: it fits as the piece did that it follows; whoever has the turn owns the request;
        // the engine lives until the rundown reference is given back, in `released`.
        let _status_comes_with_the_completion = unsafe { self.irp.send(engine.lower, &request) };
    }
}

/// The queue was released, or could not be; a port that has no queue to release says so and that is
/// all there is to know.
unsafe extern "C" fn released(_device: PDEVICE_OBJECT, _irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `send` gave the engine as context and holds a rundown reference.
    let engine = unsafe { Pooled::<Engine>::from_context(context) };
    let release = &engine.release;
    match release.kicks.leave(Turn::resume(release.turn.get())) {
        None => engine.rundown().release(),
        Some(kicked) => {
            // Asked again meanwhile. Through a DPC: a port that answers inline must not nest.
            release.turn.set(kicked.kicks());
            release.dpc.queue();
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The DPC that sends the request once more.
///
/// # Safety
/// Queued with the engine as context, holding the turn and a rundown reference.
pub(super) unsafe extern "C" fn resume(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the pool initialised this DPC with its own engine.
    let engine = unsafe { Pooled::<Engine>::from_context(context) };
    engine.release.send(engine);
}
