//! Associated IRPs: parts of a master IRP that the I/O manager counts.
//!
//! They are for the highest driver of a stack alone [Microsoft: "IoMakeAssociatedIrp function"]: the
//! count lies in the master's `AssociatedIrp` union, where a buffered request from above keeps its
//! system buffer; the I/O manager frees each part, completes the master after the last, and does
//! not look at what became of the parts.

use std::sync::atomic::{AtomicI32, Ordering};

use super::complete::complete;
use super::irp::{allocate, current_location, finish, tell};
use super::state::Kind;
use crate::abi::{IRP_ASSOCIATED_IRP, PIRP, PMDL};
use crate::machine::context::{Context, Frame};
use crate::machine::{DriverId, Owner, Violation, codes};
use crate::memory::free_mdl;

/// Whether the driver that has `master` is the one it was sent to, and nobody is above its device.
///
/// # Safety
/// The caller has the IRP.
unsafe fn at_the_top(master: PIRP) -> bool {
    // SAFETY: the caller's contract; the location of a driver that has an IRP names its device.
    unsafe {
        let device = (*current_location(master)).DeviceObject;
        (*master).CurrentLocation == (*master).StackCount && (*device).AttachedDevice.is_null()
    }
}

/// # Safety
/// The caller has the master.
unsafe fn make(context: &Context, master: PIRP, stack_size: i8) -> PIRP {
    // SAFETY: the caller's contract.
    unsafe {
        if !at_the_top(master) {
            let story = "IoMakeAssociatedIrp by a driver that is not the highest of its stack.";
            let rule = codes::strict::ASSOCIATED_IRP;
            tell(
                context,
                Violation::verifier(rule, master.addr(), 0, story),
                master,
            );
        }
        let owner = context.frame.get().owner;
        let irp = allocate(context, owner, stack_size, Kind::Associated);
        (*irp).Flags |= IRP_ASSOCIATED_IRP;
        (*irp).AssociatedIrp.MasterIrp = master;
        (*irp).Tail.Overlay.Thread = (*master).Tail.Overlay.Thread;
        irp
    }
}

/// The last stage of a part: its memory back, and the master completed after the last one.
///
/// # Safety
/// The completion walk is over and has the IRP.
pub(super) unsafe fn finish_associated(context: &Context, irp: PIRP) {
    // SAFETY: the caller's contract; the master is there as long as its parts are.
    let (master, last) = unsafe {
        let master = (*irp).AssociatedIrp.MasterIrp;
        let count = AtomicI32::from_ptr(&raw mut (*master).AssociatedIrp.IrpCount);
        let mut mdl: PMDL = (*irp).MdlAddress;
        while !mdl.is_null() {
            let next = (*mdl).Next;
            free_mdl(mdl);
            mdl = next;
        }
        finish(context, irp);
        (master, count.fetch_sub(1, Ordering::AcqRel) == 1)
    };
    if last {
        let frame = Frame {
            driver: DriverId::NONE,
            owner: Owner::Harness,
            what: "the I/O manager",
        };
        // SAFETY: the driver that has the master gave it to its parts.
        context.in_frame(frame, || unsafe { complete(context, master) });
    }
}

pub(super) mod exports {
    //! `IoMakeAssociatedIrp`.

    use super::{Owner, make};
    use crate::abi::{CCHAR, PIRP};
    use crate::export::exports;
    use crate::machine::AllocationKind;
    use crate::machine::context::DISPATCH;

    exports! { run;
        /// A part of an IRP; null when there is no memory.
        fn IoMakeAssociatedIrp(Irp: PIRP, StackSize: CCHAR) -> PIRP {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let fails = context.frame.get().owner == Owner::Driver
                && context.machine.shall_fail(AllocationKind::Irp, 0, 0);
            if fails || StackSize < 1 {
                return std::ptr::null_mut();
            }
            // SAFETY: the caller's contract.
            unsafe { make(context, Irp, StackSize) }
        }
    }
}
