//! The splitter's device: DriverEntry, AddDevice, PnP, and the memory that the device keeps.

use core::ptr;
use core::sync::atomic::Ordering;

use ntsim::abi::{
    DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DO_POWER_PAGABLE, FILE_DEVICE_MASS_STORAGE,
    IO_REMOVE_LOCK, IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MJ_SCSI, IRP_MN_REMOVE_DEVICE, KDPC,
    NTSTATUS, PCUNICODE_STRING, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, POOL_FLAG_NON_PAGED, PVOID,
    STATUS_DELETE_PENDING, STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use ntsim::ntddk;

use super::splitter::{Extension, Piece, Request, Splitter, Transfer};
use super::wdm;

/// Requests that are split at the same time.
pub(crate) const TRANSFERS: usize = 2;
/// The pool tag.
pub(crate) const TAG: u32 = u32::from_le_bytes(*b"Splt");
const LOCK_SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;

/// `DriverEntry`.
///
/// # Safety
/// Called once by the I/O manager.
pub(crate) unsafe extern "system" fn driver_entry<S: Splitter>(
    driver: PDRIVER_OBJECT,
    _: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the driver object is ours to fill in.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
            (*table)[major as usize] = Some(match major {
                IRP_MJ_SCSI => dispatch_scsi::<S>,
                IRP_MJ_PNP => dispatch_pnp::<S>,
                _ => dispatch_other::<S>,
            });
        }
        (*(*driver).DriverExtension).AddDevice = Some(add_device::<S>);
        (*driver).DriverUnload = Some(unload);
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_: PDRIVER_OBJECT) {}

unsafe extern "C" fn add_device<S: Splitter>(
    driver: PDRIVER_OBJECT,
    pdo: PDEVICE_OBJECT,
) -> NTSTATUS {
    let mut this: PDEVICE_OBJECT = ptr::null_mut();
    // SAFETY: called at PASSIVE_LEVEL by the PnP manager; the extension is zeroed and ours.
    unsafe {
        let status = ntddk::IoCreateDevice(
            driver,
            size_of::<Extension>() as u32,
            ptr::null_mut(),
            FILE_DEVICE_MASS_STORAGE,
            0,
            0,
            &raw mut this,
        );
        if status < 0 {
            return status;
        }
        let extension: *mut Extension = (*this).DeviceExtension.cast();
        ntddk::IoInitializeRemoveLockEx(&raw mut (*extension).lock, TAG, 0, 0, LOCK_SIZE);
        (*extension).lower = attached(this, pdo);
        if (*extension).lower.is_null() {
            ntddk::IoDeleteDevice(this);
            return STATUS_NO_SUCH_DEVICE;
        }
        if !S::allocate(extension) {
            S::release(extension);
            ntddk::IoDetachDevice((*extension).lower);
            ntddk::IoDeleteDevice(this);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        let inherited = (*(*extension).lower).Flags & (DO_DIRECT_IO | DO_POWER_PAGABLE);
        (*this).Flags = ((*this).Flags | inherited) & !DO_DEVICE_INITIALIZING;
    }
    STATUS_SUCCESS
}

/// `IoAttachDeviceToDeviceStackSafe`; the device below, or null.
unsafe fn attached(this: PDEVICE_OBJECT, pdo: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    let mut lower: PDEVICE_OBJECT = ptr::null_mut();
    // SAFETY: called in AddDevice with a device of ours and the stack to join.
    unsafe { ntddk::IoAttachDeviceToDeviceStackSafe(this, pdo, &raw mut lower) };
    lower
}

/// See [`Splitter::allocate`].
pub(crate) unsafe fn allocate<S: Splitter>(extension: *mut Extension) -> bool {
    // SAFETY: PASSIVE_LEVEL, an extension that nobody else uses yet.
    unsafe {
        let transfers: *mut Transfer = pool(size_of::<Transfer>() * TRANSFERS).cast();
        (*extension).transfers = transfers;
        !transfers.is_null()
            && (0..TRANSFERS).all(|at| allocate_transfer::<S>(extension, transfers.add(at)))
    }
}

unsafe fn allocate_transfer<S: Splitter>(
    extension: *mut Extension,
    transfer: *mut Transfer,
) -> bool {
    // SAFETY: as for the caller; the block is zeroed.
    unsafe {
        (*transfer).extension = extension;
        (*transfer).pieces = pool(size_of::<Piece>() * S::PIECES as usize).cast();
        if (*transfer).pieces.is_null() {
            return false;
        }
        ntddk::KeInitializeDpc(
            &raw mut (*transfer).dpc,
            Some(next_piece::<S>),
            transfer.cast(),
        );
        (0..S::PIECES).all(|index| {
            let piece = S::piece(transfer, index);
            (*piece).transfer = transfer;
            (*piece).index = index;
            (*piece).irp = ntddk::IoAllocateIrp(S::stack_size((*extension).lower), 0);
            let room = S::mdl_room();
            (*piece).mdl = ntddk::IoAllocateMdl(ptr::null_mut(), room, 0, 0, ptr::null_mut());
            ntddk::KeInitializeTimer(&raw mut (*piece).timer);
            ntddk::KeInitializeDpc(&raw mut (*piece).dpc, Some(once_more::<S>), piece.cast());
            !(*piece).irp.is_null() && !(*piece).mdl.is_null()
        })
    }
}

/// Nonpaged pool, zeroed.
pub(crate) unsafe fn pool(bytes: usize) -> PVOID {
    // SAFETY: the size is not zero; IRQL <= DISPATCH_LEVEL.
    unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes as u64, TAG) }
}

/// See [`Splitter::release`].
pub(crate) unsafe fn release<S: Splitter>(extension: *mut Extension) {
    // SAFETY: PASSIVE_LEVEL; nobody is in the driver any more, or ever was. Timers are not set then,
    // and a DPC at most about to return.
    unsafe {
        let transfers = (*extension).transfers;
        if transfers.is_null() {
            return;
        }
        ntddk::KeFlushQueuedDpcs();
        for at in 0..TRANSFERS {
            let transfer = transfers.add(at);
            if (*transfer).pieces.is_null() {
                continue;
            }
            for index in 0..S::PIECES {
                release_piece(S::piece(transfer, index));
            }
            ntddk::ExFreePoolWithTag((*transfer).pieces.cast(), TAG);
        }
        ntddk::ExFreePoolWithTag(transfers.cast(), TAG);
    }
}

/// The IRP and the MDL of a piece.
pub(crate) unsafe fn release_piece(piece: *mut Piece) {
    // SAFETY: as for the caller.
    unsafe {
        if !(*piece).mdl.is_null() {
            ntddk::IoFreeMdl((*piece).mdl);
        }
        if !(*piece).irp.is_null() {
            ntddk::IoFreeIrp((*piece).irp);
        }
    }
}

/// A free transfer for `request`.
pub(crate) unsafe fn take_transfer(
    extension: *mut Extension,
    request: Request,
) -> Option<*mut Transfer> {
    // SAFETY: the remove lock is held, so the transfers are there; who sets `busy` owns one.
    unsafe {
        let all = (0..TRANSFERS).map(|at| (*extension).transfers.add(at));
        let mut free = all.filter(|&transfer| !(*transfer).busy.swap(true, Ordering::Acquire));
        let transfer = free.next()?;
        (*transfer).request = request;
        for index in 0..request.pieces {
            let piece = (*transfer).pieces.add(index as usize);
            (*piece).attempts = 0;
            (*piece).ended = false;
        }
        Some(transfer)
    }
}

/// The transfer may serve another request.
pub(crate) unsafe fn return_transfer(transfer: *mut Transfer) {
    // SAFETY: the caller owns the transfer.
    unsafe { (*transfer).busy.store(false, Ordering::Release) };
}

/// `IoAcquireRemoveLock`.
pub(crate) unsafe fn lock(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
    // SAFETY: the extension lives as long as its device.
    unsafe {
        let lock = &raw mut (*extension).lock;
        ntddk::IoAcquireRemoveLockEx(lock, irp.cast(), c"device.rs".as_ptr(), 0, LOCK_SIZE)
    }
}

/// `IoReleaseRemoveLock`. The last thing that is done with the device.
pub(crate) unsafe fn unlock(extension: *mut Extension, irp: PIRP) {
    // SAFETY: the lock was acquired for this IRP.
    unsafe { ntddk::IoReleaseRemoveLockEx(&raw mut (*extension).lock, irp.cast(), LOCK_SIZE) };
}

/// `IoReleaseRemoveLockAndWait`.
pub(crate) unsafe fn drain(extension: *mut Extension, irp: PIRP) {
    // SAFETY: the lock was acquired for this IRP; PASSIVE_LEVEL.
    unsafe {
        ntddk::IoReleaseRemoveLockAndWaitEx(&raw mut (*extension).lock, irp.cast(), LOCK_SIZE);
    }
}

unsafe fn refuse(irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller owns the IRP.
    unsafe { wdm::complete(irp, STATUS_DELETE_PENDING, 0) };
    STATUS_DELETE_PENDING
}

unsafe extern "C" fn dispatch_scsi<S: Splitter>(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of ours and an IRP for it.
    unsafe {
        let extension: *mut Extension = (*this).DeviceExtension.cast();
        if lock(extension, irp) < 0 {
            refuse(irp)
        } else {
            S::dispatch(extension, irp)
        }
    }
}

unsafe extern "C" fn dispatch_other<S: Splitter>(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as above.
    unsafe {
        let extension: *mut Extension = (*this).DeviceExtension.cast();
        if lock(extension, irp) < 0 {
            refuse(irp)
        } else {
            S::pass(extension, irp)
        }
    }
}

unsafe extern "C" fn dispatch_pnp<S: Splitter>(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: as above.
    unsafe {
        let extension: *mut Extension = (*this).DeviceExtension.cast();
        if lock(extension, irp) < 0 {
            return refuse(irp);
        }
        if u32::from((*wdm::current_location(irp)).MinorFunction) == IRP_MN_REMOVE_DEVICE {
            S::remove(this, irp)
        } else {
            right_pass(extension, irp)
        }
    }
}

/// PnP requests go down whatever a wrong driver does with others.
unsafe fn right_pass(extension: *mut Extension, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller owns the IRP and holds the lock for it.
    unsafe { super::right::pass(extension, irp) }
}

/// See [`Splitter::remove`].
pub(crate) unsafe fn remove<S: Splitter>(this: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: PASSIVE_LEVEL, the last PnP request of the device.
    unsafe {
        let extension: *mut Extension = (*this).DeviceExtension.cast();
        drain(extension, irp);
        S::release(extension);
        let status = wdm::pass_down((*extension).lower, irp);
        ntddk::IoDetachDevice((*extension).lower);
        ntddk::IoDeleteDevice(this);
        status
    }
}

/// Sends the next piece where one follows the other.
unsafe extern "C" fn next_piece<S: Splitter>(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    let transfer: *mut Transfer = context.cast();
    // SAFETY: the DPC's context is its transfer, which nobody else touches between two pieces.
    unsafe { S::send(S::piece(transfer, (*transfer).next)) };
}

/// Sends a piece again.
unsafe extern "C" fn once_more<S: Splitter>(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the DPC's context is its piece, which nobody else touches while it waits.
    unsafe { S::send(context.cast()) };
}
