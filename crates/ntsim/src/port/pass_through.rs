//! `IOCTL_SCSI_PASS_THROUGH` and its direct sister: a CDB from above the class, past all splitting.

use core::mem::offset_of;
use core::ptr;
use std::sync::Arc;

use super::cdb::Direction;
use super::ioctl::{Buffered, Parked, parameters};
use super::target::Reply;
use super::{Port, ReadWrite};
use crate::abi::{
    NTSTATUS, SCSI_PASS_THROUGH, SCSI_PASS_THROUGH_DIRECT, SCSISTAT_CHECK_CONDITION, SCSISTAT_GOOD,
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_IO_TIMEOUT, STATUS_PENDING,
    STATUS_REVISION_MISMATCH, STATUS_SUCCESS,
};

/// `IOCTL_SCSI_PASS_THROUGH`.
pub(crate) const PASS_THROUGH: u32 = 0x0004_D004;
/// `IOCTL_SCSI_PASS_THROUGH_DIRECT`.
pub(crate) const PASS_THROUGH_DIRECT: u32 = 0x0004_D014;

const SECOND: u64 = 10_000_000;
const DATA_IN: u8 = 1;

/// A checked pass-through request. The two structures differ in one field alone.
struct PassThrough {
    header: *mut SCSI_PASS_THROUGH,
    cdb: Vec<u8>,
    data: *mut u8,
    length: usize,
    reads: bool,
    timeout: u32,
    /// Bytes of the system buffer that go back for the data.
    returned: usize,
    sense: *mut u8,
    sense_room: usize,
}

impl Port {
    /// Carries a pass-through request out, or parks it while the queue is locked: it has no way to
    /// ask for a bypass.
    ///
    /// # Safety
    /// The caller owns the IRP; afterwards it does not.
    pub(crate) unsafe fn pass_through(self: &Arc<Self>, parked: Parked) -> NTSTATUS {
        {
            let mut state = self.state();
            if state.queue.is_locked() || state.queue.is_frozen() {
                // SAFETY: the caller owns the IRP.
                unsafe { super::host::mark_pending(parked.irp) };
                state.recorder.counts.held += 1;
                state.parked.push(parked);
                return STATUS_PENDING;
            }
        }
        // SAFETY: the caller owns the IRP and its buffer.
        let request = unsafe {
            let (code, given) = parameters(parked.irp);
            PassThrough::parse(code, given)
        };
        match request {
            // SAFETY: the caller owns the IRP.
            Err(status) => unsafe { self.conclude(parked, status, 0) },
            // SAFETY: the caller owns the IRP and the request's buffers with it.
            Ok(request) => unsafe { self.carry_out(parked, &request) },
        }
    }

    /// # Safety
    /// The caller owns the IRP that `request` was parsed from.
    unsafe fn carry_out(self: &Arc<Self>, parked: Parked, request: &PassThrough) -> NTSTATUS {
        let limit = self.hba.profile.advertised.bytes;
        if limit != 0 && request.length > limit as usize {
            // SAFETY: the caller owns the IRP.
            return unsafe { self.conclude(parked, STATUS_INVALID_PARAMETER, 0) };
        }
        let answer = self.state().target.command(&request.cdb);
        // SAFETY: the caller owns the IRP, and its buffers are as long as `parse` found them.
        unsafe {
            let moved = match answer {
                Reply::Silence => {
                    let delay = u64::from(request.timeout) * SECOND;
                    return self.conclude_after(delay, parked, STATUS_IO_TIMEOUT, 0);
                }
                Reply::Check(sense) => {
                    let bytes = sense.fixed();
                    let length = bytes.len().min(request.sense_room);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), request.sense, length);
                    (*request.header).SenseInfoLength = length as u8;
                    (*request.header).ScsiStatus = SCSISTAT_CHECK_CONDITION as u8;
                    0
                }
                Reply::Good(data) => {
                    let length = if request.reads {
                        data.len().min(request.length)
                    } else {
                        0
                    };
                    ptr::copy_nonoverlapping(data.as_ptr(), request.data, length);
                    request.good();
                    length
                }
                Reply::Transfer(transfer) => {
                    request.good();
                    self.transfer_plain(&transfer, request)
                }
            };
            (*request.header).DataTransferLength = moved as u32;
            self.conclude(parked, STATUS_SUCCESS, request.returned as u64)
        }
    }

    /// # Safety
    /// As for [`Self::carry_out`].
    unsafe fn transfer_plain(&self, transfer: &ReadWrite, request: &PassThrough) -> usize {
        let sector = u64::from(self.disk.geometry().sector);
        let wanted = u64::from(transfer.blocks) * sector;
        let mut data = vec![0; wanted.min(request.length as u64) as usize];
        match transfer.direction {
            Direction::Read => {
                self.disk.peek(transfer.lba * sector, &mut data);
                // SAFETY: the request's buffer has `length` bytes.
                unsafe { ptr::copy_nonoverlapping(data.as_ptr(), request.data, data.len()) };
            }
            Direction::Write => {
                // SAFETY: the request's buffer has `length` bytes.
                unsafe { ptr::copy_nonoverlapping(request.data, data.as_mut_ptr(), data.len()) };
                self.disk.poke(transfer.lba * sector, &data);
            }
        }
        data.len()
    }
}

impl PassThrough {
    /// # Safety
    /// `given` is the system buffer of an IRP that the caller owns.
    unsafe fn parse(code: u32, given: Buffered) -> Result<Self, NTSTATUS> {
        let size = size_of::<SCSI_PASS_THROUGH>();
        if given.input < size {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if given.output < size {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        let room = given.input.max(given.output);
        let header: *mut SCSI_PASS_THROUGH = given.buffer.cast();
        // SAFETY: the buffer holds at least the structure, suitably aligned as pool is; all offsets
        // are checked against its length.
        unsafe {
            if usize::from((*header).Length) != size {
                return Err(STATUS_REVISION_MISMATCH);
            }
            let cdb_length = usize::from((*header).CdbLength);
            if cdb_length == 0 || cdb_length > 16 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let length = (*header).DataTransferLength as usize;
            let reads = (*header).DataIn == DATA_IN;
            let sense_room = usize::from((*header).SenseInfoLength);
            let sense_at = (*header).SenseInfoOffset as usize;
            if sense_room != 0 && (sense_at < size || sense_at + sense_room > room) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let (data, data_end) = if code == PASS_THROUGH_DIRECT {
                let direct: *mut SCSI_PASS_THROUGH_DIRECT = header.cast();
                ((*direct).DataBuffer.cast(), 0)
            } else {
                let at = (*header).DataBufferOffset as usize;
                let side = if reads { given.output } else { given.input };
                let end = at.checked_add(length).ok_or(STATUS_INVALID_PARAMETER)?;
                if length != 0 && (at < size || end > side) {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                (given.buffer.wrapping_add(at), if reads { end } else { 0 })
            };
            let mut cdb = vec![0; cdb_length];
            let at = given.buffer.add(offset_of!(SCSI_PASS_THROUGH, Cdb));
            ptr::copy_nonoverlapping(at, cdb.as_mut_ptr(), cdb_length);
            Ok(Self {
                header,
                cdb,
                data,
                length,
                reads,
                timeout: (*header).TimeOutValue,
                returned: size
                    .max(data_end)
                    .max(if sense_room == 0 {
                        0
                    } else {
                        sense_at + sense_room
                    })
                    .min(given.output),
                sense: given.buffer.wrapping_add(sense_at),
                sense_room,
            })
        }
    }

    /// # Safety
    /// The caller owns the IRP that the request was parsed from.
    unsafe fn good(&self) {
        // SAFETY: the header lies in the IRP's buffer.
        unsafe {
            (*self.header).ScsiStatus = SCSISTAT_GOOD as u8;
            (*self.header).SenseInfoLength = 0;
        }
    }
}
