//! The few services of the kernel that the port uses, under short names.

use core::ffi::c_void;

use super::Port;
use super::pnp;
use crate::abi::{
    _MEMORY_CACHING_TYPE, _MODE, DO_DIRECT_IO, FILE_DEVICE_MASS_STORAGE, IRP_MJ_CLEANUP,
    IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP,
    IRP_MJ_POWER, IRP_MJ_SCSI, MDL_MAPPED_TO_SYSTEM_VA, MDL_PARTIAL, MDL_SOURCE_IS_NONPAGED_POOL,
    NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PIO_STACK_LOCATION, PIRP, PMDL, PVOID,
    SL_PENDING_RETURNED,
};
use crate::machine::Owner;
use crate::{call, io, ke, machine, memory, ntddk};
use std::sync::Arc;

/// Pool tag of what the port allocates: "Port".
const TAG: u32 = u32::from_le_bytes(*b"Port");

/// Virtual time in 100 ns.
pub(crate) fn now() -> u64 {
    machine::with(machine::Machine::now)
}

impl Port {
    /// Runs `interrupt` at `DISPATCH_LEVEL` after `delay` (100 ns), as the port's DPC.
    pub(super) fn after(
        self: &Arc<Self>,
        delay: u64,
        interrupt: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        let port = Arc::clone(self);
        ke::device_event(delay, move || port.as_itself(|| interrupt(&port)));
    }

    /// Runs `work` at `DISPATCH_LEVEL` on the calling thread, as if its processor took an interrupt.
    pub(super) fn at_dispatch<T>(&self, work: impl FnOnce() -> T) -> T {
        ke::raise_to_dispatch(|| self.as_itself(work))
    }

    /// Reports name the port as the driver at work.
    fn as_itself<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.driver.get() {
            Some(&driver) => call::as_driver(driver, "the port's DPC", work),
            None => work(),
        }
    }
}

/// `IoGetIoPriorityHint`.
///
/// # Safety
/// The caller owns `irp`.
pub(crate) unsafe fn priority(irp: PIRP) -> u32 {
    // SAFETY: the caller owns the IRP.
    unsafe { ntddk::IoGetIoPriorityHint(irp) as u32 }
}

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// The caller owns `irp` and was called with it.
pub(crate) unsafe fn current_location(irp: PIRP) -> PIO_STACK_LOCATION {
    // SAFETY: the caller owns the IRP.
    unsafe {
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation
    }
}

/// `IoMarkIrpPending`.
///
/// # Safety
/// The caller owns `irp` and has not completed it.
pub(crate) unsafe fn mark_pending(irp: PIRP) {
    // SAFETY: the caller owns the IRP and its current stack location.
    unsafe {
        let control = &raw mut (*current_location(irp)).Control;
        control.write(control.read() | SL_PENDING_RETURNED as u8);
    }
}

/// Sets the status block and completes the IRP. Must not be called under the port's lock.
///
/// # Safety
/// The caller owns `irp`; afterwards it does not.
pub(crate) unsafe fn complete(irp: PIRP, status: NTSTATUS, information: u64, boost: i8) {
    // SAFETY: the caller owns the IRP.
    unsafe {
        (&raw mut (*irp).IoStatus.__bindgen_anon_1.Status).write(status);
        (&raw mut (*irp).IoStatus.Information).write(information);
        io::complete_request(irp, boost);
    }
}

/// A sense buffer that the sender of the SRB will free with `ExFreePool`.
pub(crate) fn allocate(length: usize) -> *mut u8 {
    memory::pool_allocate(Owner::Port, length, TAG).cast()
}

/// How many buffers of [`allocate`] nobody has freed.
pub(crate) fn allocated() -> usize {
    memory::pool_blocks(Owner::Port, TAG)
}

/// `MmGetSystemAddressForMdlSafe`: maps an MDL into system space, unless it is mapped already or
/// describes nonpaged pool, which always is. Gives the address of a new mapping, else null.
///
/// # Safety
/// The caller owns `mdl`, whose pages are locked.
pub(crate) unsafe fn map(mdl: PMDL) -> PVOID {
    const MAPPED: u32 = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL;
    // SAFETY: the caller owns the locked MDL.
    unsafe {
        if u32::from((*mdl).MdlFlags.cast_unsigned()) & MAPPED != 0 {
            return core::ptr::null_mut();
        }
        ntddk::MmMapLockedPagesSpecifyCache(
            mdl,
            _MODE::KernelMode as i8,
            _MEMORY_CACHING_TYPE::MmCached,
            core::ptr::null_mut(),
            0,
            16,
        )
    }
}

/// Undoes [`map`], but for a partial MDL: MmGetSystemAddressForMdlSafe has no counterpart, and the
/// mapping of a partial MDL stays until its owner prepares it for reuse [wdm.h,
/// `MmPrepareMdlForReuse`].
///
/// # Safety
/// `address` came from [`map`] of the same MDL and was not unmapped yet.
pub(crate) unsafe fn unmap_whole(address: PVOID, mdl: PMDL) {
    // SAFETY: the caller vouches for both.
    unsafe {
        if u32::from((*mdl).MdlFlags.cast_unsigned()) & MDL_PARTIAL == 0 {
            ntddk::MmUnmapLockedPages(address, mdl);
        }
    }
}

/// The port's driver object and the device object of its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortObjects {
    driver: PDRIVER_OBJECT,
    device: PDEVICE_OBJECT,
}

impl PortObjects {
    /// Makes the device that stands for `port` in a device stack; it holds a reference to `port`.
    pub(crate) fn create(port: &Arc<Port>) -> Self {
        let driver = io::create_driver("ntsimport", Owner::Port);
        // SAFETY: a fresh driver object, seen by nobody else; a fresh device with an extension of
        // the size asked for.
        unsafe {
            port.driver.get_or_init(|| io::driver_id(driver));
            let table = &raw mut (*driver).MajorFunction;
            for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
                (*table)[major as usize] = Some(match major {
                    IRP_MJ_SCSI => pnp::scsi,
                    IRP_MJ_DEVICE_CONTROL => pnp::control,
                    IRP_MJ_PNP => pnp::pnp,
                    IRP_MJ_CREATE | IRP_MJ_CLOSE | IRP_MJ_CLEANUP | IRP_MJ_POWER => pnp::succeed,
                    _ => pnp::refuse,
                });
            }
            let device = io::create_device(driver, size_of::<PVOID>(), FILE_DEVICE_MASS_STORAGE);
            let held = Arc::into_raw(Arc::clone(port)).cast_mut().cast::<c_void>();
            (*device).DeviceExtension.cast::<*mut c_void>().write(held);
            (&raw mut (*device).AlignmentRequirement)
                .write(port.hba().current().advertised.alignment_mask);
            // What disks' port drivers say of themselves, and what a filter above takes over [ReactOS,
            // drivers/storage/port/storport/pdo.c, `PortCreatePdo`]; READ and WRITE they leave to the
            // class driver all the same.
            (&raw mut (*device).Flags).write((*device).Flags | DO_DIRECT_IO);
            Self { driver, device }
        }
    }

    /// The device object.
    pub(crate) const fn device(&self) -> PDEVICE_OBJECT {
        self.device
    }

    /// Deletes the device and its driver. Nothing may be attached to the device any more, and no
    /// IRP on its way to it.
    pub(crate) fn delete(self) {
        // SAFETY: the extension holds the reference that `create` put there; the kernel objects to
        // a device that is still in use.
        unsafe {
            let held: *const Port = (*self.device).DeviceExtension.cast::<*const Port>().read();
            drop(Arc::from_raw(held));
            io::delete_device(self.device);
            io::delete_driver(self.driver);
        }
    }
}
