//! IRPs: memory, initial state, stack locations.
//!
//! An IRP is one block: the packet and its stack locations behind it. Everything is reached from
//! the block's own pointer; a reference to the packet on the way would narrow it.

use std::alloc::Layout;

use super::state::{IoState, Kind};
use crate::abi::{
    CCHAR, IO_STACK_LOCATION, IO_TYPE_IRP, IRP, NTSTATUS, PIO_STACK_LOCATION, PIRP, USHORT,
};
use crate::machine::context::{self, Context};
use crate::machine::story::story_of;
use crate::machine::{AllocationKind, Owner, Violation, codes, lock};
use crate::memory::Blocks;

/// Stack locations beyond which `IoAllocateIrp` gives none.
const MOST_LOCATIONS: i8 = 100;

/// An IRP with `stack_size` locations for one of the kernel's own modules. Never null.
///
/// # Panics
/// If `stack_size` is not positive.
pub fn allocate_irp(owner: Owner, stack_size: i8) -> PIRP {
    assert!(stack_size > 0, "an IRP has a stack location");
    let context = context::current();
    allocate(&context, owner, stack_size, Kind::Allocated)
}

/// Frees an IRP that [`allocate_irp`] or `IoAllocateIrp` made.
///
/// # Safety
/// Nobody uses it any longer.
pub unsafe fn free_irp(irp: PIRP) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { free(&context, irp) }
}

/// `IoReuseIrp` for the kernel's own modules.
///
/// # Safety
/// The caller has the IRP.
pub unsafe fn reuse_irp(irp: PIRP, status: NTSTATUS) {
    let context = context::current();
    // SAFETY: the caller's contract.
    unsafe { reuse(&context, irp, status) }
}

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// The caller has the IRP.
pub unsafe fn current_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller's contract; the field is the I/O manager's and always set.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

/// `IoGetNextIrpStackLocation`.
///
/// # Safety
/// The caller has the IRP, and it has a location below the current one.
pub unsafe fn next_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller's contract.
    unsafe { current_location(irp).sub(1) }
}

/// # Safety
/// The caller has the IRP; `location` is one of its own, or the one behind the last.
pub(super) unsafe fn set_current(irp: PIRP, location: PIO_STACK_LOCATION) {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location;
    }
}

/// Stack locations behind the last one that nobody may write: `IoMarkIrpPending` on an IRP that is
/// back with its maker lands there. Miri needs none: it sees the block's true end.
const GUARDS: usize = if cfg!(miri) { 0 } else { 1 };

fn layout(stack_size: i8) -> Layout {
    let count = usize::from(stack_size.unsigned_abs()) + GUARDS;
    let locations = Layout::array::<IO_STACK_LOCATION>(count).expect("a size that exists");
    let (layout, _) = Layout::new::<IRP>()
        .extend(locations)
        .expect("a size that exists");
    layout.pad_to_align()
}

pub(super) fn allocate(context: &Context, owner: Owner, stack_size: i8, kind: Kind) -> PIRP {
    let layout = layout(stack_size);
    let block = Blocks::allocate(layout);
    let irp: PIRP = block.cast();
    // SAFETY: a fresh block for an IRP with `stack_size` locations.
    unsafe { initialise(irp, layout.size() as USHORT, stack_size) };
    let machine = &context.machine;
    if owner == Owner::Driver {
        machine
            .accounts
            .allocated(AllocationKind::Irp, layout.size());
    }
    let frame = context.frame.get();
    let call = match context.call.get() {
        "" => "the I/O manager",
        call => call,
    };
    let mut io = lock(&machine.io);
    io.irps.add(
        irp.addr(),
        block,
        layout,
        kind,
        frame,
        owner,
        call,
        stack_size,
    );
    irp
}

/// # Safety
/// `irp` is zeroed memory for an IRP with `stack_size` locations.
unsafe fn initialise(irp: PIRP, size: USHORT, stack_size: i8) {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).Type = IO_TYPE_IRP as i16;
        (*irp).Size = size;
        (*irp).StackCount = stack_size;
        (*irp).CurrentLocation = stack_size + 1;
        let list = &raw mut (*irp).ThreadListEntry;
        (*list).Flink = list;
        (*list).Blink = list;
        let locations: PIO_STACK_LOCATION = irp.add(1).cast();
        set_current(irp, locations.add(usize::from(stack_size.unsigned_abs())));
    }
}

/// # Safety
/// Nobody uses the IRP any longer.
unsafe fn free(context: &Context, irp: PIRP) {
    let machine = &context.machine;
    // SAFETY: the caller's contract.
    unsafe { check_guard(context, irp) };
    let removed = lock(&machine.io).irps.remove(irp.addr());
    let (block, layout, owner) = removed.unwrap_or_else(|violation| tell(context, violation, irp));
    // SAFETY: taken out of the table, so this is the only pointer that owns the block.
    unsafe { release(context, block, layout, owner) };
}

/// The I/O manager frees an IRP of its own.
///
/// # Safety
/// Nobody uses the IRP any longer.
pub(super) unsafe fn finish(context: &Context, irp: PIRP) {
    let removed = lock(&context.machine.io).irps.take(irp.addr());
    if let Some((block, layout, owner)) = removed {
        // SAFETY: as in `free`.
        unsafe { release(context, block, layout, owner) };
    }
}

/// # Safety
/// The caller owns the block.
unsafe fn release(context: &Context, block: *mut u8, layout: Layout, owner: Owner) {
    if block.is_null() {
        return;
    }
    if owner == Owner::Driver {
        context.machine.accounts.freed(layout.size());
    }
    // SAFETY: the caller's contract.
    let freed = unsafe { context.machine.memory.blocks.free(block, layout, "An IRP") };
    freed.unwrap_or_else(|violation| violation.raise());
}

/// # Safety
/// The caller has the IRP.
unsafe fn reuse(context: &Context, irp: PIRP, status: NTSTATUS) {
    let machine = &context.machine;
    let frame = context.frame.get();
    let result = lock(&machine.io)
        .irps
        .reuse(irp.addr(), machine.now(), frame);
    result.unwrap_or_else(|violation| tell(context, violation, irp));
    // SAFETY: the table has the IRP, so it is a block of this size.
    unsafe {
        check_guard(context, irp);
        let stack_size = (*irp).StackCount;
        let size = (*irp).Size;
        let flags = (*irp).AllocationFlags;
        let locations = usize::from(stack_size.unsigned_abs());
        irp.cast::<u8>().write_bytes(
            0,
            size_of::<IRP>() + locations * size_of::<IO_STACK_LOCATION>(),
        );
        initialise(irp, size, stack_size);
        (*irp).AllocationFlags = flags;
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
    }
}

/// Stops the machine if somebody wrote behind the IRP's last stack location.
///
/// # Safety
/// `irp` is an IRP, if the table says so.
pub(super) unsafe fn check_guard(context: &Context, irp: PIRP) {
    // SAFETY: the caller's contract.
    let dirty = unsafe { guard_is_dirty(&lock(&context.machine.io), irp) };
    if dirty {
        guard_violation(context, irp);
    }
}

/// As [`check_guard`], for a caller that holds the table: while it does, nobody frees the IRP.
///
/// # Safety
/// `irp` is an IRP, if the table says so.
pub(super) unsafe fn guard_is_dirty(io: &IoState, irp: PIRP) -> bool {
    let ours = io
        .irps
        .find(irp.addr())
        .filter(|record| !record.block.is_null());
    let Some(record) = ours.filter(|_| GUARDS > 0) else {
        return false;
    };
    let count = usize::from(record.stack_count.unsigned_abs());
    // SAFETY: an IRP of this module has a guard behind its last location.
    unsafe { (*irp.add(1).cast::<IO_STACK_LOCATION>().add(count)).Control != 0 }
}

pub(super) fn guard_violation(context: &Context, irp: PIRP) -> ! {
    let story = "An IRP was written behind its last stack location: IoMarkIrpPending in the \
                 completion routine of a driver's own IRP, which has no location there.";
    let parameters = [irp.addr() as u64, 0, 0, 0x24];
    let code = codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION;
    tell(context, Violation::new(code, parameters, story), irp)
}

/// Raises a violation with the IRP's history.
pub(super) fn tell(context: &Context, mut violation: Violation, irp: PIRP) -> ! {
    violation.story += "\n";
    violation.story += &story_of(&context.machine, irp.addr());
    violation.raise()
}

pub(super) mod exports {
    //! `IoAllocateIrp` and its relatives.

    use super::{
        AllocationKind, CCHAR, Kind, Layout, MOST_LOCATIONS, NTSTATUS, Owner, PIRP, USHORT,
        Violation, allocate, free, initialise, layout, lock, reuse,
    };
    use crate::abi::{BOOLEAN, PDEVICE_OBJECT};
    use crate::export::exports;
    use crate::machine::context::{Context, DISPATCH};

    exports! { run;
        /// An IRP for the driver's own use; null when there is none.
        fn IoAllocateIrp(StackSize: CCHAR, ChargeQuota: BOOLEAN) -> PIRP {
            run.irql_at_most(DISPATCH);
            driver_irp(run.context(), StackSize)
        }

        /// As `IoAllocateIrp`, for a given device.
        fn IoAllocateIrpEx(DeviceObject: PDEVICE_OBJECT, StackSize: CCHAR, ChargeQuota: BOOLEAN) -> PIRP {
            run.irql_at_most(DISPATCH);
            driver_irp(run.context(), StackSize)
        }

        /// Frees a driver's own IRP.
        fn IoFreeIrp(Irp: PIRP) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { free(run.context(), Irp) }
        }

        /// Makes a driver's own IRP as good as new.
        fn IoReuseIrp(Irp: PIRP, Iostatus: NTSTATUS) {
            run.irql_at_most(DISPATCH);
            // SAFETY: the caller's contract.
            unsafe { reuse(run.context(), Irp, Iostatus) }
        }

        /// Makes an IRP of memory of the driver's own.
        fn IoInitializeIrp(Irp: PIRP, PacketSize: USHORT, StackSize: CCHAR) {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let mut io = lock(&context.machine.io);
            let allocated = io.irps.find(Irp.addr()).is_some_and(|record| !record.block.is_null());
            if !allocated {
                let frame = context.frame.get();
                // Its memory is not this table's to free.
                io.irps.take(Irp.addr());
                let none = std::ptr::null_mut();
                let empty = Layout::new::<()>();
                io.irps.add(Irp.addr(), none, empty, Kind::Initialised, frame, Owner::Harness, "IoInitializeIrp", StackSize);
            }
            drop(io);
            if allocated {
                let story = "IoInitializeIrp on an IRP of IoAllocateIrp; IoReuseIrp is meant.";
                super::tell(context, Violation::io(0x20D, Irp.addr(), 0, story), Irp);
            }
            // SAFETY: the caller's memory of PacketSize bytes.
            unsafe {
                Irp.cast::<u8>().write_bytes(0, usize::from(PacketSize));
                initialise(Irp, PacketSize, StackSize);
            }
        }
    }

    fn driver_irp(context: &Context, stack_size: CCHAR) -> PIRP {
        let owner = context.frame.get().owner;
        let none = std::ptr::null_mut();
        if !(1..=MOST_LOCATIONS).contains(&stack_size) {
            return none;
        }
        let bytes = layout(stack_size).size();
        if owner == Owner::Driver && context.machine.shall_fail(AllocationKind::Irp, bytes, 0) {
            return none;
        }
        allocate(context, owner, stack_size, Kind::Allocated)
    }
}
