//! `IRP_MJ_DEVICE_CONTROL` and the requests that only pass.

use super::fdo::{Fdo, Use};
use super::{irp, pnp, service, start};
use crate::abi::{
    APC_LEVEL, IRP_MJ_SCSI, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIRP, STATUS_BUFFER_TOO_SMALL,
    STATUS_DEVICE_DOES_NOT_EXIST, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER_1, STATUS_NOT_IMPLEMENTED, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use crate::port::op;
use crate::{io, ke, ntddk};

/// `IOCTL_DISK_GET_DRIVE_GEOMETRY`.
const GET_DRIVE_GEOMETRY: u32 = 0x0007_0000;
/// `StorageAccessAlignmentProperty`.
const ACCESS_ALIGNMENT: u32 = 6;
/// `sizeof(STORAGE_PROPERTY_QUERY)`.
const QUERY: usize = 12;
/// `sizeof(STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR)`.
const ALIGNMENT: usize = 28;

/// `IRP_MJ_READ` and `IRP_MJ_WRITE`.
pub(super) unsafe extern "C" fn read_write(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe { service::read_write(&pnp::fdo_of(device), irp) }
}

/// `IRP_MN_SCSI_CLASS` [srb.h].
const SCSI_CLASS: u8 = 1;

/// `IRP_MJ_INTERNAL_DEVICE_CONTROL`, which is `IRP_MJ_SCSI`. The request block goes down and nothing
/// else: whatever the sender's parameters were, the port finds those of a SCSI request, without a
/// control code [classpnp, class.c, `ClassInternalIoControl`].
pub(super) unsafe extern "C" fn internal(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe {
        let fdo = pnp::fdo_of(device);
        if fdo.is_leaving() {
            return irp::complete(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        let srb = (*io::current_location(irp)).Parameters.Scsi.Srb;
        let next = io::next_location(irp);
        (&raw mut (*next).Parameters.Scsi.Srb).write(srb);
        (&raw mut (*next).MajorFunction).write(IRP_MJ_SCSI as u8);
        (&raw mut (*next).MinorFunction).write(SCSI_CLASS);
        ntddk::IofCallDriver(fdo.lower, irp)
    }
}

/// `IRP_MJ_SYSTEM_CONTROL`: passed down as it is.
pub(super) unsafe extern "C" fn pass(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe {
        let fdo = pnp::fdo_of(device);
        if fdo.is_leaving() {
            return irp::complete(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        irp::forward(fdo.lower, irp)
    }
}

/// `IRP_MJ_FLUSH_BUFFERS` and `IRP_MJ_SHUTDOWN`: SYNCHRONIZE CACHE, as for a disk whose write cache
/// is on.
pub(super) unsafe extern "C" fn flush(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe {
        let fdo = pnp::fdo_of(device);
        let _use = Use::of(&fdo.rundown);
        if fdo.is_leaving() || fdo.learned.get().is_none() {
            return irp::complete(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        let retries = fdo.options.retries;
        let cdb = [op::SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let result = fdo.read_command(&cdb, &mut [], retries);
        irp::complete(irp, result.err().unwrap_or(STATUS_SUCCESS), 0)
    }
}

/// `IRP_MJ_CREATE`, `IRP_MJ_CLOSE`, `IRP_MJ_CLEANUP`.
pub(super) unsafe extern "C" fn succeed(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with an IRP for a device of this driver.
    unsafe { irp::complete(irp, STATUS_SUCCESS, 0) }
}

/// `IRP_MJ_DEVICE_CONTROL`.
pub(super) unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe {
        let fdo = pnp::fdo_of(device);
        if fdo.is_leaving() {
            return irp::complete(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        let (code, input, output) = {
            let control = &raw const (*io::current_location(irp)).Parameters.DeviceIoControl;
            (
                (*control).IoControlCode,
                (*control).InputBufferLength as usize,
                (*control).OutputBufferLength as usize,
            )
        };
        let passive = u32::from(ke::irql()) <= APC_LEVEL && fdo.learned.get().is_some();
        match code {
            GET_DRIVE_GEOMETRY if passive => {
                let reply = geometry(&fdo);
                answer(irp, output, reply.as_ref().map(|reply| &reply[..]))
            }
            start::QUERY_PROPERTY if input < QUERY => {
                irp::complete(irp, STATUS_INFO_LENGTH_MISMATCH, 0)
            }
            start::QUERY_PROPERTY if passive && asks_for_alignment(irp) => {
                access_alignment(&fdo, irp, output)
            }
            _ => irp::forward(fdo.lower, irp),
        }
    }
}

/// # Safety
/// `irp` is a query of at least 12 bytes that the caller owns.
unsafe fn asks_for_alignment(irp: PIRP) -> bool {
    // SAFETY: the caller's contract; the buffer has as many bytes as the input says at least.
    let words: [u32; 2] = unsafe { (*irp).AssociatedIrp.SystemBuffer.cast::<[u32; 2]>().read() };
    words == [ACCESS_ALIGNMENT, 0]
}

/// `DISK_GEOMETRY`, 24 bytes [classpnp, class.c, `InterpretCapacityData`].
fn geometry(fdo: &Fdo) -> Result<[u8; 24], NTSTATUS> {
    const REMOVABLE_MEDIA: u32 = 11;
    const FIXED_MEDIA: u32 = 12;
    let learned = fdo.learned();
    if learned.removable {
        // Whether there is a medium is asked every time.
        fdo.read_capacity()?;
    }
    let blocks = learned.facts.last_block + 1;
    let (mut tracks, mut sectors) = (0xFF, 0x3F);
    let mut cylinders = blocks / u64::from(tracks * sectors);
    if cylinders == 0 {
        (tracks, sectors) = (1, 1);
        cylinders = blocks;
    }
    let media = if learned.removable {
        REMOVABLE_MEDIA
    } else {
        FIXED_MEDIA
    };
    let mut reply = [0; 24];
    reply[..8].copy_from_slice(&cylinders.to_le_bytes());
    for (index, word) in [media, tracks, sectors, learned.facts.sector]
        .into_iter()
        .enumerate()
    {
        reply[8 + 4 * index..][..4].copy_from_slice(&u32::to_le_bytes(word));
    }
    Ok(reply)
}

/// `StorageAccessAlignmentProperty`: from below, or from READ CAPACITY (16) where nobody below knows
/// the property [classpnp, utils.c, `ClasspAccessAlignmentProperty`]. `PASSIVE_LEVEL`.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
unsafe fn access_alignment(fdo: &Fdo, irp: PIRP, output: usize) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        let status = irp::forward_and_wait(fdo.lower, irp);
        let unknown = matches!(
            status,
            STATUS_NOT_SUPPORTED
                | STATUS_NOT_IMPLEMENTED
                | STATUS_INVALID_DEVICE_REQUEST
                | STATUS_INVALID_PARAMETER_1
        );
        if !unknown {
            let information = (*irp).IoStatus.Information;
            return irp::complete(irp, status, information);
        }
        let reply = alignment(fdo);
        if let Ok(reply) = &reply
            && (8..ALIGNMENT).contains(&output)
        {
            return answer(irp, output, Ok(&reply[..8]));
        }
        answer(irp, output, reply.as_ref().map(|reply| &reply[..]))
    }
}

/// `STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR` as the disk's own data has it.
fn alignment(fdo: &Fdo) -> Result<[u8; ALIGNMENT], NTSTATUS> {
    let mut data = [0; 32];
    fdo.read_capacity_16(&mut data)?;
    let sector = start::sector_size([data[8], data[9], data[10], data[11]]);
    let per_physical = 1_u32 << (data[13] & 0x0F);
    let lowest = u32::from(u16::from_be_bytes([data[14] & 0x3F, data[15]]));
    if lowest > per_physical {
        return Err(STATUS_UNSUCCESSFUL);
    }
    // From the first aligned block to the offset of the disk's first block in a physical one.
    let offset = (per_physical - lowest) % per_physical;
    let mut reply = [0; ALIGNMENT];
    let words = [
        ALIGNMENT as u32,
        ALIGNMENT as u32,
        0,
        0,
        sector,
        sector * per_physical,
        sector * offset,
    ];
    for (place, word) in reply.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(reply)
}

/// Completes a buffered request with these bytes, or with the status of the failure.
///
/// # Safety
/// The caller's dispatch routine owns `irp`, whose system buffer has room for `output` bytes.
unsafe fn answer(irp: PIRP, output: usize, reply: Result<&[u8], &NTSTATUS>) -> NTSTATUS {
    let (status, bytes) = match reply {
        Ok(bytes) if bytes.len() <= output => (STATUS_SUCCESS, bytes),
        Ok(_) => (STATUS_BUFFER_TOO_SMALL, &[][..]),
        Err(&status) => (status, &[][..]),
    };
    debug_assert!(NT_SUCCESS(status) || bytes.is_empty());
    // SAFETY: the caller's contract.
    unsafe {
        let buffer = (*irp).AssociatedIrp.SystemBuffer.cast::<u8>();
        if !bytes.is_empty() {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len());
        }
        irp::complete(irp, status, bytes.len() as u64)
    }
}
