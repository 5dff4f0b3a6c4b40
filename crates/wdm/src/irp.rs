//! IRPs: the inline functions of wdm.h, and what a driver does with an IRP it owns.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block reaches one field; the lint counts every union on the way to it"
)]

use core::ptr;

use wdk_sys::{
    CCHAR, DEVICE_OBJECT, IO_DISK_INCREMENT, IO_NO_INCREMENT, IO_PRIORITY_HINT, IO_STACK_LOCATION,
    IRP, IRP_MJ_READ, IRP_MJ_SCSI, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT, PETHREAD,
    PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, PVOID, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED, STATUS_SUCCESS, ntddk,
};

use crate::{mdl::Mdl, succeeded};

/// An IRP this driver owns at this moment.
///
/// # Invariants
/// The pointer is an IRP that the driver owns: the I/O manager passed it to one of our dispatch
/// routines and it has been neither completed nor passed down since, or the driver allocated it and
/// it is not in the hands of a lower driver. Whoever gives the IRP away ([`Irp::complete`],
/// [`Irp::pass_down`]) consumes the value.
pub struct Irp(PIRP);

/// The stack location that belongs to this driver, as the sender filled it in.
///
/// # Invariants
/// Points into an owned IRP's stack locations.
pub struct StackLocation(PIO_STACK_LOCATION);

/// A READ or WRITE as its sender asked for it.
#[derive(Clone, Copy, Debug)]
pub struct ReadWrite {
    /// `IRP_MJ_WRITE`.
    pub write: bool,
    /// Bytes.
    pub length: u32,
    /// Byte offset on the device; negative values are the sender's mistake.
    pub byte_offset: i64,
    /// `Key`: which copy of the data, or whose lock.
    pub key: u32,
}

/// A device control as its sender asked for it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceControl {
    /// `IoControlCode`.
    pub code: u32,
    /// Bytes of input.
    pub input_length: u32,
    /// Room for output, bytes.
    pub output_length: u32,
}

impl Irp {
    /// # Safety
    /// The caller owns `irp` as the type's invariant says, and gives this ownership to the value.
    pub const unsafe fn from_raw(irp: PIRP) -> Self {
        Self(irp)
    }

    /// Gives up the value but not the ownership: somebody keeps the pointer.
    pub const fn into_raw(self) -> PIRP {
        self.0
    }

    /// `IoGetCurrentIrpStackLocation`.
    pub fn current(&self) -> StackLocation {
        // SAFETY: type invariant; the field is the I/O manager's and always set.
        StackLocation(unsafe { current_location(self.0) })
    }

    /// `IoGetNextIrpStackLocation`.
    ///
    /// # Safety
    /// The IRP has a stack location below the current one.
    pub unsafe fn next(&self) -> PIO_STACK_LOCATION {
        let current = self.current().0;
        // SAFETY: the caller's contract; locations lie below one another in one array.
        unsafe { current.sub(1) }
    }

    /// `Irp->MdlAddress`.
    pub fn mdl(&self) -> Option<Mdl> {
        // SAFETY: type invariant.
        let mdl = unsafe { (*self.0).MdlAddress };
        // SAFETY: an owned IRP's MDL lives until the IRP is completed (wdm.h, IRP.MdlAddress).
        (!mdl.is_null()).then(|| unsafe { Mdl::from_raw(mdl) })
    }

    /// `Irp->Cancel`: set by `IoCancelIrp`, never cleared while the IRP is on its way.
    pub fn cancelled(&self) -> bool {
        // SAFETY: type invariant. Another processor may set the byte: the access is volatile.
        let cancel = unsafe { ptr::read_volatile(&raw const (*self.0).Cancel) };
        cancel != 0
    }

    /// `Irp->Flags` (`IRP_PAGING_IO` and its kin).
    pub fn flags(&self) -> u32 {
        // SAFETY: type invariant.
        unsafe { (*self.0).Flags }
    }

    /// `Tail.Overlay.Thread`: whom the file system's errors are for.
    pub fn thread(&self) -> PETHREAD {
        // SAFETY: type invariant.
        unsafe { (*self.0).Tail.Overlay.Thread }
    }

    /// `AssociatedIrp.SystemBuffer`: input and output of a buffered device control.
    pub fn system_buffer(&self) -> *mut u8 {
        // SAFETY: type invariant.
        unsafe { (*self.0).AssociatedIrp.SystemBuffer }.cast()
    }

    /// `IoStatus.Information`.
    pub fn information(&self) -> u64 {
        // SAFETY: type invariant.
        unsafe { (*self.0).IoStatus.Information }
    }

    /// `PendingReturned`: somebody below has returned `STATUS_PENDING`.
    pub fn pending_returned(&self) -> bool {
        // SAFETY: type invariant.
        unsafe { (*self.0).PendingReturned != 0 }
    }

    /// `IoGetIoPriorityHint`.
    pub fn priority(&self) -> IO_PRIORITY_HINT {
        // SAFETY: type invariant; callable at any IRQL up to DISPATCH_LEVEL.
        unsafe { ntddk::IoGetIoPriorityHint(self.0) }
    }

    /// `IoMarkIrpPending`: from here on the dispatch routine returns `STATUS_PENDING`.
    pub fn mark_pending(&self) {
        let location = self.current().0;
        // SAFETY: type invariant of the stack location.
        unsafe { (*location).Control |= SL_PENDING_RETURNED as u8 };
    }

    /// Completes the IRP. Nothing may touch it, or the MDL it carried, afterwards.
    pub fn complete(self, status: NTSTATUS, information: u64) {
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
    ///
    /// # Safety
    /// `lower` is the device that the one this IRP was sent to is attached to.
    pub unsafe fn pass_down(self, lower: PDEVICE_OBJECT) -> NTSTATUS {
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
        // SAFETY: IofCallDriver takes the IRP over; `lower` is the caller's contract.
        unsafe { ntddk::IofCallDriver(lower, self.0) }
    }
}

impl Irp {
    /// Passes the IRP down with a completion routine of ours on the way back
    /// (`IoCopyCurrentIrpStackLocationToNext`, `IoSetCompletionRoutine`, `IoCallDriver`).
    ///
    /// # Safety
    /// As for [`Irp::pass_down`]; the completion's context stays valid until the routine has run.
    pub unsafe fn watch_down(self, lower: PDEVICE_OBJECT, completion: Completion) -> NTSTATUS {
        let current = self.current().0;
        // SAFETY: our device's StackSize counts the devices below: there is a next location.
        let next = unsafe { self.next() };
        // SAFETY: both are this IRP's locations; the routine and its context are set anew below.
        unsafe { next.write(current.read()) };
        // SAFETY: the next location is ours to fill until IofCallDriver.
        unsafe { set_completion(next, completion) };
        // SAFETY: IofCallDriver takes the IRP over; `lower` is the caller's contract.
        unsafe { ntddk::IofCallDriver(lower, self.0) }
    }
}

/// `IoSetCompletionRoutine`, whatever happened below. Clears the location's other control flags.
///
/// # Safety
/// `location` is an IRP's next location, and the caller's to fill.
unsafe fn set_completion(location: PIO_STACK_LOCATION, (routine, context): Completion) {
    // SAFETY: the caller's contract.
    unsafe { (*location).CompletionRoutine = routine };
    // SAFETY: as above.
    unsafe { (*location).Context = context };
    let invoke = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
    // SAFETY: as above.
    unsafe { (*location).Control = invoke as u8 };
}

impl StackLocation {
    /// The request block, if this is `IRP_MJ_SCSI` carrying one. The major is shared with internal
    /// device controls, whose parameters mean something else: classpnp leaves the control code
    /// empty, others write one of `IOCTL_SCSI_EXECUTE_*` (scsi.h).
    pub fn request_block(&self) -> Option<PVOID> {
        // SAFETY: type invariant.
        let major = u32::from(unsafe { (*self.0).MajorFunction });
        // SAFETY: the slot of the control code is there for every major.
        let code = unsafe { (*self.0).Parameters.DeviceIoControl.IoControlCode };
        let carries = major == IRP_MJ_SCSI && (code == 0 || EXECUTE_CODES.contains(&code));
        // SAFETY: as above.
        let srb = unsafe { (*self.0).Parameters.Scsi.Srb };
        (carries && !srb.is_null()).then_some(srb.cast())
    }

    /// `SL_*` flags.
    pub fn flags(&self) -> u8 {
        // SAFETY: type invariant.
        unsafe { (*self.0).Flags }
    }

    /// The parameters of `IRP_MJ_DEVICE_CONTROL`.
    pub fn device_control(&self) -> DeviceControl {
        // SAFETY: type invariant; the caller's dispatch routine is registered for that major alone.
        let parameters = unsafe { (*self.0).Parameters.DeviceIoControl };
        DeviceControl {
            code: parameters.IoControlCode,
            input_length: parameters.InputBufferLength,
            output_length: parameters.OutputBufferLength,
        }
    }

    /// The request, if this is `IRP_MJ_READ` or `IRP_MJ_WRITE`.
    pub fn read_write(&self) -> Option<ReadWrite> {
        // SAFETY: type invariant.
        let major = u32::from(unsafe { (*self.0).MajorFunction });
        if major != IRP_MJ_READ && major != IRP_MJ_WRITE {
            return None;
        }
        // SAFETY: Parameters.Read and Parameters.Write have one layout, and one of them is set.
        let length = unsafe { (*self.0).Parameters.Read.Length };
        // SAFETY: as above.
        let byte_offset = unsafe { (*self.0).Parameters.Read.ByteOffset.QuadPart };
        // SAFETY: as above.
        let key = unsafe { (*self.0).Parameters.Read.Key };
        Some(ReadWrite {
            write: major == IRP_MJ_WRITE,
            length,
            byte_offset,
            key,
        })
    }
}

impl Irp {
    /// `IoStatus.Status`, once a lower driver has completed the IRP.
    pub fn status(&self) -> NTSTATUS {
        // SAFETY: type invariant; both union members start with the status.
        unsafe { (*self.0).IoStatus.__bindgen_anon_1.Status }
    }
}

/// An IoCompletion routine and what it is called with.
pub type Completion = (PIO_COMPLETION_ROUTINE, PVOID);

/// `IOCTL_SCSI_EXECUTE_IN`, `_OUT` and `_NONE` (scsi.h).
const EXECUTE_CODES: [u32; 3] = [0x001B_0011, 0x001B_0012, 0x001B_0013];

/// An IRP of the driver's own, allocated once and reused for every attempt of every piece.
///
/// # Invariants
/// The pointer came from `IoAllocateIrp` and is freed only by [`ChildIrp::free`].
pub struct ChildIrp(PIRP);

/// What the child asks the lower driver for.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// `IRP_MJ_SCSI` with this request block.
    Scsi(PVOID),
    /// `IRP_MJ_INTERNAL_DEVICE_CONTROL` with this control code *and* this request block: the major is
    /// `IRP_MJ_SCSI`, and a port driver that knows no such code takes what lies there for a block.
    InternalControl {
        /// `IoControlCode`
        code: u32,
        /// `SRB`
        srb: PVOID,
    },
    /// `IRP_MJ_READ` or `IRP_MJ_WRITE`. The flags are those of [`ChildRequest`].
    ReadWrite(ReadWrite),
}

/// What a child IRP takes over from its parent, whatever it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// `SL_*` flags of the parent's stack location (`SL_WRITE_THROUGH`, `SL_OVERRIDE_VERIFY_VOLUME`).
    pub stack_flags: u8,
    /// Bits of the parent's `Flags`: what kind of paging it is.
    pub irp_flags: u32,
    /// The parent's I/O priority.
    pub priority: IO_PRIORITY_HINT,
    /// The parent's thread, where the lower driver may have something to tell it.
    pub thread: PETHREAD,
}

/// What goes into a child IRP for one attempt.
pub struct ChildRequest {
    /// What it asks for.
    pub order: Order,
    /// The data, or `None` for a request without any.
    pub mdl: Option<Mdl>,
    /// The parent's share, if there is a parent.
    pub inherited: Option<Inherited>,
    /// Our IoCompletion routine.
    pub completion: Completion,
}

impl ChildIrp {
    /// `None` when the system has no memory. IRQL <= DISPATCH_LEVEL, but only called at start.
    pub fn allocate(stack_size: i8) -> Option<Self> {
        // SAFETY: IoAllocateIrp has no precondition but a positive stack size.
        let irp = unsafe { ntddk::IoAllocateIrp(stack_size, 0) };
        (!irp.is_null()).then_some(Self(irp))
    }

    /// The pointer, as the SRB's `OriginalRequest`.
    pub const fn as_ptr(&self) -> PIRP {
        self.0
    }

    /// Whether a stack of `stack_size` devices can take the IRP: one that is too high runs out of
    /// locations (NO_MORE_IRP_STACK_LOCATIONS).
    pub fn fits(&self, stack_size: i8) -> bool {
        // SAFETY: type invariant; nobody writes the field after IoAllocateIrp.
        let locations = unsafe { (*self.0).StackCount };
        stack_size <= locations
    }

    /// Prepares the IRP from scratch and sends it. The lower driver owns it until the completion
    /// routine runs, which may be before this function returns.
    ///
    /// # Safety
    /// The IRP [fits](ChildIrp::fits) the lower device's stack and is not in a lower driver's hands.
    /// Everything that `request` points at stays valid
    /// until the completion routine has run.
    pub unsafe fn send(&self, lower: PDEVICE_OBJECT, request: &ChildRequest) -> NTSTATUS {
        // SAFETY: the caller's contract is IoReuseIrp's: we own the IRP.
        unsafe { ntddk::IoReuseIrp(self.0, STATUS_SUCCESS) };
        let mdl = request.mdl.map_or(ptr::null_mut(), Mdl::as_ptr);
        // SAFETY: we own the IRP.
        unsafe { (*self.0).MdlAddress = mdl };
        // SAFETY: we own the IRP for the time of this call.
        let irp = unsafe { Irp::from_raw(self.0) };
        // SAFETY: the caller's contract, and a lower device needs at least one location.
        let location = unsafe { irp.next() };
        // SAFETY: the next location is ours to fill until IofCallDriver.
        unsafe { fill(location, &request.order) };
        // SAFETY: as above.
        unsafe { set_completion(location, request.completion) };
        if let Some(inherited) = &request.inherited {
            // SAFETY: as above, and we own the IRP.
            unsafe { inherit(self.0, location, inherited) };
        }
        // SAFETY: IofCallDriver takes the IRP over; `lower` has our attachment's reference.
        unsafe { ntddk::IofCallDriver(lower, irp.into_raw()) }
    }

    /// `IoCancelIrp`: asks whoever has the IRP to end it soon. IRQL <= DISPATCH_LEVEL.
    pub fn cancel(&self) {
        // SAFETY: type invariant: an IRP that nobody holds has no cancel routine, and then only a
        // flag is set that the next `send` clears.
        let _had_routine: u8 = unsafe { ntddk::IoCancelIrp(self.0) };
    }

    /// Frees the IRP.
    ///
    /// # Safety
    /// The IRP is not in a lower driver's hands and will not be sent again.
    pub unsafe fn free(self) {
        // SAFETY: the caller's contract; the IRP came from IoAllocateIrp.
        unsafe { ntddk::IoFreeIrp(self.0) };
    }
}

/// Fills in what a child asks for.
///
/// # Safety
/// `location` is the next location of an IRP that the caller owns.
unsafe fn fill(location: PIO_STACK_LOCATION, order: &Order) {
    match *order {
        Order::Scsi(srb) => {
            // SAFETY: the caller's contract.
            unsafe { (*location).MajorFunction = IRP_MJ_SCSI as u8 };
            // SAFETY: as above.
            unsafe { (*location).Parameters.Scsi.Srb = srb.cast() };
        }
        Order::InternalControl { code, srb } => {
            // SAFETY: the caller's contract.
            unsafe { fill(location, &Order::Scsi(srb)) };
            // SAFETY: as above; the code lies behind the request block's pointer.
            unsafe { (*location).Parameters.DeviceIoControl.IoControlCode = code };
        }
        Order::ReadWrite(asked) => {
            let major = if asked.write {
                IRP_MJ_WRITE
            } else {
                IRP_MJ_READ
            };
            // SAFETY: the caller's contract.
            unsafe { (*location).MajorFunction = major as u8 };
            // SAFETY: Parameters.Read and Parameters.Write have one layout.
            unsafe { (*location).Parameters.Read.Length = asked.length };
            // SAFETY: as above.
            unsafe { (*location).Parameters.Read.Key = asked.key };
            // SAFETY: as above.
            unsafe { (*location).Parameters.Read.ByteOffset.QuadPart = asked.byte_offset };
        }
    }
}

/// Gives a child its parent's share.
///
/// # Safety
/// The caller owns `irp`, and `location` is its next location.
unsafe fn inherit(irp: PIRP, location: PIO_STACK_LOCATION, inherited: &Inherited) {
    // SAFETY: the caller's contract.
    unsafe { (*location).Flags = inherited.stack_flags };
    // SAFETY: as above.
    unsafe { (*irp).Flags |= inherited.irp_flags };
    // SAFETY: as above. The IRP is never queued to the thread: its completion stops with us.
    unsafe { (*irp).Tail.Overlay.Thread = inherited.thread };
    // SAFETY: as above; a hint that the I/O manager does not know changes nothing.
    let _: NTSTATUS = unsafe { ntddk::IoSetIoPriorityHint(irp, inherited.priority) };
}

/// The bytes that one IRP with `stack_size` locations takes in nonpaged pool.
pub const fn irp_bytes(stack_size: i8) -> usize {
    size_of::<IRP>() + size_of::<IO_STACK_LOCATION>() * stack_size.unsigned_abs() as usize
}

/// `DeviceObject->StackSize`.
///
/// # Safety
/// `device` is a live device object.
pub unsafe fn stack_size(device: *const DEVICE_OBJECT) -> i8 {
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
