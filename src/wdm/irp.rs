//! IRPs: the inline functions of wdm.h, and what a driver does with an IRP it owns.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block reaches one field; the lint counts every union on the way to it"
)]

use core::ptr;

use wdk_sys::{
    CCHAR, DEVICE_OBJECT, IO_DISK_INCREMENT, IO_NO_INCREMENT, IO_PRIORITY_HINT, IO_STACK_LOCATION,
    IRP, IRP_MJ_READ, IRP_MJ_SCSI, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE,
    PIO_STACK_LOCATION, PIRP, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_PENDING_RETURNED, STATUS_SUCCESS, ntddk,
};

use super::{mdl::Mdl, succeeded};

/// An IRP this driver owns at this moment.
///
/// # Invariants
/// The pointer is an IRP that the driver owns: the I/O manager passed it to one of our dispatch
/// routines and it has been neither completed nor passed down since, or the driver allocated it and
/// it is not in the hands of a lower driver. Whoever gives the IRP away ([`Irp::complete`],
/// [`Irp::pass_down`]) consumes the value.
pub(crate) struct Irp(PIRP);

/// The stack location that belongs to this driver, as the sender filled it in.
///
/// # Invariants
/// Points into an owned IRP's stack locations.
pub(crate) struct StackLocation(PIO_STACK_LOCATION);

/// A READ or WRITE as its sender asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadWrite {
    /// `IRP_MJ_WRITE`.
    pub(crate) write: bool,
    /// Bytes.
    pub(crate) length: u32,
    /// Byte offset on the device; negative values are the sender's mistake.
    pub(crate) byte_offset: i64,
    /// `SL_*` flags of the stack location.
    pub(crate) flags: u8,
}

impl Irp {
    /// # Safety
    /// The caller owns `irp` as the type's invariant says, and gives this ownership to the value.
    pub(crate) const unsafe fn from_raw(irp: PIRP) -> Self {
        Self(irp)
    }

    /// Gives up the value but not the ownership: somebody keeps the pointer.
    pub(crate) const fn into_raw(self) -> PIRP {
        self.0
    }

    /// `IoGetCurrentIrpStackLocation`.
    pub(crate) fn current(&self) -> StackLocation {
        // SAFETY: type invariant; the field is the I/O manager's and always set.
        StackLocation(unsafe { current_location(self.0) })
    }

    /// `IoGetNextIrpStackLocation`.
    ///
    /// # Safety
    /// The IRP has a stack location below the current one.
    unsafe fn next(&self) -> PIO_STACK_LOCATION {
        let current = self.current().0;
        // SAFETY: the caller's contract; locations lie below one another in one array.
        unsafe { current.sub(1) }
    }

    /// `Irp->MdlAddress`.
    pub(crate) fn mdl(&self) -> Option<Mdl> {
        // SAFETY: type invariant.
        let mdl = unsafe { (*self.0).MdlAddress };
        // SAFETY: an owned IRP's MDL lives until the IRP is completed (wdm.h, IRP.MdlAddress).
        (!mdl.is_null()).then(|| unsafe { Mdl::from_raw(mdl) })
    }

    /// `Irp->Cancel`: set by `IoCancelIrp`, never cleared while the IRP is on its way.
    pub(crate) fn cancelled(&self) -> bool {
        // SAFETY: type invariant. Another processor may set the byte: the access is volatile.
        let cancel = unsafe { ptr::read_volatile(&raw const (*self.0).Cancel) };
        cancel != 0
    }

    /// `Irp->Flags` (`IRP_PAGING_IO` and its kin).
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: type invariant.
        unsafe { (*self.0).Flags }
    }

    /// `IoGetIoPriorityHint`.
    pub(crate) fn priority(&self) -> IO_PRIORITY_HINT {
        // SAFETY: type invariant; callable at any IRQL up to DISPATCH_LEVEL.
        unsafe { ntddk::IoGetIoPriorityHint(self.0) }
    }

    /// `IoMarkIrpPending`: from here on the dispatch routine returns `STATUS_PENDING`.
    pub(crate) fn mark_pending(&self) {
        let location = self.current().0;
        // SAFETY: type invariant of the stack location.
        unsafe { (*location).Control |= SL_PENDING_RETURNED as u8 };
    }

    /// Completes the IRP. Nothing may touch it, or the MDL it carried, afterwards.
    pub(crate) fn complete(self, status: NTSTATUS, information: u64) {
        // SAFETY: type invariant.
        unsafe { (*self.0).IoStatus.__bindgen_anon_1.Status = status };
        // SAFETY: type invariant.
        unsafe { (*self.0).IoStatus.Information = information };
        let boost = if succeeded(status) {
            IO_DISK_INCREMENT
        } else {
            IO_NO_INCREMENT
        };
        // SAFETY: IofCompleteRequest takes an IRP that its caller owns and that no driver below
        // holds; IRQL <= DISPATCH_LEVEL; no spin lock is held here (the engine completes last).
        unsafe { ntddk::IofCompleteRequest(self.0, boost as CCHAR) };
    }

    /// Passes the IRP down as it is (`IoSkipCurrentIrpStackLocation`, `IoCallDriver`): the lower
    /// driver sees the very stack location that we saw, and no completion routine of ours runs.
    pub(crate) fn pass_down(self, lower: PDEVICE_OBJECT) -> NTSTATUS {
        // SAFETY: type invariant; the location was not marked pending and carries no routine of ours,
        // which is what IoSkipCurrentIrpStackLocation asks for.
        unsafe { (*self.0).CurrentLocation += 1 };
        let location = self.current().0;
        // SAFETY: one location above ours is where the sender's own entry to this driver lay.
        let above = unsafe { location.add(1) };
        // SAFETY: type invariant; this is IoSkipCurrentIrpStackLocation's second half.
        unsafe {
            (*self.0)
                .Tail
                .Overlay
                .__bindgen_anon_2
                .__bindgen_anon_1
                .CurrentStackLocation = above;
        };
        // SAFETY: IofCallDriver takes the IRP over; `lower` is the device we are attached to.
        unsafe { ntddk::IofCallDriver(lower, self.0) }
    }
}

impl StackLocation {
    /// The request, if this is `IRP_MJ_READ` or `IRP_MJ_WRITE`.
    pub(crate) fn read_write(&self) -> Option<ReadWrite> {
        // SAFETY: type invariant.
        let major = u32::from(unsafe { (*self.0).MajorFunction });
        if major != IRP_MJ_READ && major != IRP_MJ_WRITE {
            return None;
        }
        // SAFETY: Parameters.Read and Parameters.Write have one layout, and one of them is set.
        let length = unsafe { (*self.0).Parameters.Read.Length };
        // SAFETY: as above.
        let byte_offset = unsafe { (*self.0).Parameters.Read.ByteOffset.QuadPart };
        // SAFETY: type invariant.
        let flags = unsafe { (*self.0).Flags };
        Some(ReadWrite {
            write: major == IRP_MJ_WRITE,
            length,
            byte_offset,
            flags,
        })
    }
}

/// What a finished child IRP says of itself.
pub(crate) fn io_status(irp: &Irp) -> NTSTATUS {
    // SAFETY: type invariant; both union members start with the status.
    unsafe { (*irp.0).IoStatus.__bindgen_anon_1.Status }
}

/// An IRP of the driver's own, allocated once and reused for every attempt of every piece.
///
/// # Invariants
/// The pointer came from `IoAllocateIrp` and is freed only by [`ChildIrp::free`].
pub(crate) struct ChildIrp(PIRP);

/// What goes into a child IRP for one attempt.
pub(crate) struct ChildRequest {
    /// The data, or `None` for a request without any.
    pub(crate) mdl: Option<Mdl>,
    /// The request block for `Parameters.Scsi.Srb`.
    pub(crate) srb: PVOID,
    /// `SL_*` flags of the parent's stack location (`SL_WRITE_THROUGH`, `SL_OVERRIDE_VERIFY_VOLUME`).
    pub(crate) stack_flags: u8,
    /// The parent's I/O priority.
    pub(crate) priority: Option<IO_PRIORITY_HINT>,
    /// Our IoCompletion routine and what it is called with.
    pub(crate) completion: (PIO_COMPLETION_ROUTINE, PVOID),
}

impl ChildIrp {
    /// `None` when the system has no memory. IRQL <= DISPATCH_LEVEL, but only called at start.
    pub(crate) fn allocate(stack_size: i8) -> Option<Self> {
        // SAFETY: IoAllocateIrp has no precondition but a positive stack size.
        let irp = unsafe { ntddk::IoAllocateIrp(stack_size, 0) };
        (!irp.is_null()).then_some(Self(irp))
    }

    /// The pointer, as the SRB's `OriginalRequest`.
    pub(crate) const fn as_ptr(&self) -> PIRP {
        self.0
    }

    /// Prepares the IRP from scratch and sends it. The lower driver owns it until the completion
    /// routine runs, which may be before this function returns.
    ///
    /// # Safety
    /// The IRP is not in a lower driver's hands, and everything that `request` points at stays valid
    /// until the completion routine has run.
    pub(crate) unsafe fn send(&self, lower: PDEVICE_OBJECT, request: &ChildRequest) -> NTSTATUS {
        // SAFETY: the caller's contract is IoReuseIrp's: we own the IRP.
        unsafe { ntddk::IoReuseIrp(self.0, STATUS_SUCCESS) };
        if let Some(priority) = request.priority {
            // SAFETY: we own the IRP; a hint that the I/O manager does not know changes nothing.
            let _: NTSTATUS = unsafe { ntddk::IoSetIoPriorityHint(self.0, priority) };
        }
        let mdl = request.mdl.map_or(ptr::null_mut(), Mdl::as_ptr);
        // SAFETY: we own the IRP.
        unsafe { (*self.0).MdlAddress = mdl };
        // SAFETY: we own the IRP for the time of this call.
        let irp = unsafe { Irp::from_raw(self.0) };
        // SAFETY: allocated with as many locations as the lower device asks for, at least one.
        let location = unsafe { irp.next() };
        let (routine, context) = request.completion;
        // SAFETY: the next location is ours to fill until IofCallDriver.
        unsafe { (*location).MajorFunction = IRP_MJ_SCSI as u8 };
        // SAFETY: as above.
        unsafe { (*location).Flags = request.stack_flags };
        // SAFETY: as above.
        unsafe { (*location).Parameters.Scsi.Srb = request.srb.cast() };
        // SAFETY: as above; with the next three lines this is IoSetCompletionRoutine.
        unsafe { (*location).CompletionRoutine = routine };
        // SAFETY: as above.
        unsafe { (*location).Context = context };
        let invoke = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
        // SAFETY: as above.
        unsafe { (*location).Control = invoke as u8 };
        // SAFETY: IofCallDriver takes the IRP over; `lower` has our attachment's reference.
        unsafe { ntddk::IofCallDriver(lower, irp.into_raw()) }
    }

    /// Frees the IRP.
    ///
    /// # Safety
    /// The IRP is not in a lower driver's hands and will not be sent again.
    pub(crate) unsafe fn free(self) {
        // SAFETY: the caller's contract; the IRP came from IoAllocateIrp.
        unsafe { ntddk::IoFreeIrp(self.0) };
    }
}

/// The bytes that one IRP with `stack_size` locations takes in nonpaged pool.
pub(crate) const fn irp_bytes(stack_size: i8) -> usize {
    size_of::<IRP>() + size_of::<IO_STACK_LOCATION>() * stack_size.unsigned_abs() as usize
}

/// `DeviceObject->StackSize`.
///
/// # Safety
/// `device` is a live device object.
pub(crate) unsafe fn stack_size(device: *const DEVICE_OBJECT) -> i8 {
    // SAFETY: the caller's contract.
    unsafe { (*device).StackSize }
}

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// `irp` is an IRP that the caller owns.
unsafe fn current_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller's contract; the union's `Overlay` is what the I/O manager keeps set.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}
