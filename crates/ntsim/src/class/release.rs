//! A frozen queue is released, or flushed, with a request that is there from the first start on
//! [classpnp, class.c, `ClasspReleaseQueue`].

use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::fdo::{Fdo, lock};
use super::srb::{Block, Storage};
use super::{TAG, irp};
use crate::abi::{
    IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, SRB_FUNCTION_FLUSH_QUEUE,
    SRB_FUNCTION_RELEASE_QUEUE, STATUS_MORE_PROCESSING_REQUIRED, STATUS_SUCCESS,
};
use crate::machine::Owner;
use crate::{io, ke, memory, ntddk};

/// The request and whether it is out.
pub(super) struct Release {
    irp: Cell<PIRP>,
    srb: Cell<*mut Storage>,
    state: Mutex<State>,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            irp: Cell::new(ptr::null_mut()),
            srb: Cell::new(ptr::null_mut()),
            state: Mutex::default(),
        }
    }
}

#[derive(Default)]
struct State {
    in_progress: bool,
    /// Another freeze was seen meanwhile.
    needed: bool,
}

impl Release {
    /// Makes the request. `PASSIVE_LEVEL`, at the first start.
    pub(super) fn prepare(&self, stack_size: i8) {
        if self.irp.get().is_null() {
            self.irp.set(io::allocate_irp(Owner::Harness, stack_size));
            let memory = memory::pool_allocate(Owner::Harness, size_of::<Storage>(), TAG);
            self.srb.set(memory.cast());
        }
    }

    /// Frees the request, which is back. `PASSIVE_LEVEL`.
    pub(super) fn destroy(&self) {
        let (irp, srb) = (
            self.irp.replace(ptr::null_mut()),
            self.srb.replace(ptr::null_mut()),
        );
        if !irp.is_null() {
            // SAFETY: nobody uses the device any longer.
            unsafe {
                io::free_irp(irp);
                memory::pool_free(srb.cast());
            }
        }
    }
}

impl Fdo {
    /// The port's queue is frozen: releases it, soon if not now. The caller holds a use of the
    /// device. IRQL <= `DISPATCH_LEVEL`.
    pub(super) fn release_queue(&self) {
        {
            let mut state = lock(&self.release.state);
            if state.in_progress {
                state.needed = true;
                return;
            }
            state.in_progress = true;
        }
        self.send_release();
    }

    /// Sends the request, which is not out.
    fn send_release(&self) {
        let function = if self.about().removable {
            SRB_FUNCTION_FLUSH_QUEUE
        } else {
            SRB_FUNCTION_RELEASE_QUEUE
        };
        let tally = &self.class.tally;
        tally.releases.fetch_add(1, Ordering::Relaxed);
        self.rundown.acquire();
        let extended = self.is_extended();
        let (irp, srb) = (self.release.irp.get(), self.release.srb.get());
        ke::raise_to_dispatch(|| {
            // SAFETY: request and SRB are there from the first start until the device goes, and
            // whoever set `in_progress` has them.
            unsafe {
                let block = Block::new(srb, extended);
                block.make_function(function);
                block.set_original_request(irp);
                ntddk::IoReuseIrp(irp, STATUS_SUCCESS);
                let location = io::next_location(irp);
                (&raw mut (*location).MajorFunction).write(IRP_MJ_SCSI as u8);
                (&raw mut (*location).Parameters.Scsi.Srb).write(block.pointer());
                let context = ptr::from_ref(self).cast_mut().cast();
                irp::on_completion(irp, Some(released), context);
                ntddk::IofCallDriver(self.lower, irp);
            }
        });
    }
}

unsafe extern "C" fn released(_: PDEVICE_OBJECT, _: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: the context is the device that sent the request and keeps itself with a use.
    let fdo = unsafe { &*context.cast::<Fdo>().cast_const() };
    let again = {
        let mut state = lock(&fdo.release.state);
        let again = std::mem::take(&mut state.needed);
        state.in_progress = again;
        again
    };
    if again {
        fdo.send_release();
    }
    fdo.rundown.release();
    STATUS_MORE_PROCESSING_REQUIRED
}
