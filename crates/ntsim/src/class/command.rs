//! SCSI commands and device control requests that the class driver sends for itself and waits for.

use core::ptr;

use super::fdo::Fdo;
use super::sense::{self, Ended};
use super::srb::{Block, SENSE_ROOM, Storage};
use super::{TAG, complete, irp};
use crate::abi::{
    _EVENT_TYPE, IO_STATUS_BLOCK, IRP_MJ_SCSI, KEVENT, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT,
    SRB_FLAGS_DATA_IN, SRB_FLAGS_DISABLE_SYNCH_TRANSFER, SRB_FLAGS_FREE_SENSE_BUFFER,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FUNCTION_CLAIM_DEVICE,
    SRB_STATUS_QUEUE_FROZEN, SRB_STATUS_SUCCESS, STATUS_PENDING, STATUS_UNSUCCESSFUL,
    STATUS_VERIFY_REQUIRED,
};
use crate::io::IoControl;
use crate::machine::Owner;
use crate::{io, ke, memory, ntddk};

/// Bits of `SrbStatus` that are flags.
const FLAG_BITS: u8 = 0xC0;
/// Units of 100 ns in a second.
const SECOND: u64 = 10_000_000;
/// `IOCTL_SCSI_EXECUTE_NONE`.
const EXECUTE_NONE: u32 = 0x0004_D017;

/// A block of zeroed pool for the time of one request.
struct Memory<T>(*mut T);

impl<T> Memory<T> {
    fn zeroed(bytes: usize) -> Self {
        Self(memory::pool_allocate(Owner::Harness, bytes, TAG).cast())
    }

    /// For data, which adapters want aligned.
    fn for_data(bytes: usize) -> Self {
        Self(memory::pool_allocate_cache_aligned(Owner::Harness, bytes.max(1), TAG).cast())
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed`; the request that used it is back.
        unsafe { memory::pool_free(self.0.cast()) };
    }
}

/// Sends a device control request and waits: status and `Information`. `buffer` holds
/// `input` bytes of input and then at most `output` bytes of output. `PASSIVE_LEVEL`.
pub(super) fn control(
    device: PDEVICE_OBJECT,
    code: u32,
    buffer: &mut [u8],
    input: usize,
    output: usize,
) -> (NTSTATUS, usize) {
    let bytes = buffer.as_mut_ptr();
    let request = IoControl {
        code,
        internal: false,
        input: (bytes.cast(), input as u32),
        output: (bytes.cast(), output as u32),
    };
    let mut event = KEVENT::default();
    let mut result = IO_STATUS_BLOCK::default();
    let (event, result) = (&raw mut event, &raw mut result);
    // SAFETY: buffer, event and status block outlive the request, which is waited for.
    unsafe {
        ntddk::KeInitializeEvent(event, _EVENT_TYPE::NotificationEvent, 0);
        let irp = io::build_io_control(Owner::Harness, device, &request, event, result);
        let mut status = ntddk::IofCallDriver(device, irp);
        if status == STATUS_PENDING {
            ke::wait(event, None);
            status = (*result).__bindgen_anon_1.Status;
        }
        (status, (*result).Information as usize)
    }
}

/// `CLAIM_DEVICE`: always a legacy SRB, sent before anybody knows what the adapter wants [classpnp, class.c, `ClassClaimDevice`]. `PASSIVE_LEVEL`.
pub(super) fn claim(device: PDEVICE_OBJECT) -> NTSTATUS {
    let storage = Memory::<Storage>::zeroed(size_of::<Storage>());
    let request = IoControl {
        code: EXECUTE_NONE,
        internal: true,
        input: (ptr::null_mut(), 0),
        output: (ptr::null_mut(), 0),
    };
    let mut event = KEVENT::default();
    let mut result = IO_STATUS_BLOCK::default();
    let (event, result) = (&raw mut event, &raw mut result);
    // SAFETY: SRB, event and status block outlive the request, which is waited for.
    unsafe {
        let block = Block::new(storage.0, false);
        block.make_function(SRB_FUNCTION_CLAIM_DEVICE);
        ntddk::KeInitializeEvent(event, _EVENT_TYPE::NotificationEvent, 0);
        let irp = io::build_io_control(Owner::Harness, device, &request, event, result);
        block.set_original_request(irp);
        (&raw mut (*io::next_location(irp)).Parameters.Scsi.Srb).write(block.pointer());
        let mut status = ntddk::IofCallDriver(device, irp);
        if status == STATUS_PENDING {
            ke::wait(event, None);
            status = (*result).__bindgen_anon_1.Status;
        }
        status
    }
}

impl Fdo {
    /// Sends a command that reads `data.len()` bytes, or none, and waits: how many came. Errors that
    /// are worth it are tried again `retries` times. `PASSIVE_LEVEL`.
    pub(super) fn read_command(
        &self,
        cdb: &[u8],
        data: &mut [u8],
        retries: u32,
    ) -> Result<usize, NTSTATUS> {
        let memory = Memory::<u8>::for_data(data.len());
        let mut done = 0;
        loop {
            match self.attempt(cdb, &memory, data.len(), done) {
                Ok(length) => {
                    // SAFETY: the memory has as many bytes as `data`, and the request is back.
                    unsafe { ptr::copy_nonoverlapping(memory.0, data.as_mut_ptr(), data.len()) };
                    return Ok(length);
                }
                Err((_, Some(seconds))) if done < retries => {
                    done += 1;
                    if seconds != 0 {
                        ke::delay(u64::from(seconds) * SECOND);
                    }
                }
                Err((status, _)) => return Err(status),
            }
        }
    }

    /// One attempt: the length that moved, or the status and, where it is worth another attempt, the
    /// seconds until then.
    fn attempt(
        &self,
        cdb: &[u8],
        data: &Memory<u8>,
        length: usize,
        retries_done: u32,
    ) -> Result<usize, (NTSTATUS, Option<u32>)> {
        let storage = Memory::<Storage>::zeroed(size_of::<Storage>());
        let sense = Memory::<u8>::zeroed(usize::from(SENSE_ROOM));
        let length = length as u32;
        // SAFETY: SRB, sense buffer, data and MDL outlive the request, which is waited for.
        unsafe {
            let mdl = if length == 0 {
                ptr::null_mut()
            } else {
                let mdl = ntddk::IoAllocateMdl(data.0.cast(), length, 0, 0, ptr::null_mut());
                ntddk::MmBuildMdlForNonPagedPool(mdl);
                mdl
            };
            let irp = io::allocate_irp(Owner::Harness, (*self.device).StackSize);
            let block = Block::new(storage.0, self.is_extended());
            block.make_command();
            block.set_cdb(cdb);
            let mut flags = SRB_FLAGS_DISABLE_SYNCH_TRANSFER | SRB_FLAGS_NO_QUEUE_FREEZE;
            if length != 0 {
                block.set_data(data.0.cast(), length);
                flags |= SRB_FLAGS_DATA_IN;
            }
            block.set_flags(self.srb_flags() | flags);
            block.set_sense(sense.0, SENSE_ROOM);
            block.set_timeout(self.options.timeout);
            block.set_original_request(irp);
            (&raw mut (*irp).MdlAddress).write(mdl);
            let location = io::next_location(irp);
            (&raw mut (*location).MajorFunction).write(IRP_MJ_SCSI as u8);
            (&raw mut (*location).Parameters.Scsi.Srb).write(block.pointer());
            let status = irp::send_and_wait(self.lower, irp);
            (&raw mut (*irp).MdlAddress).write(ptr::null_mut());
            let outcome = self.outcome(block, status, retries_done);
            free_ports_sense(block);
            if !mdl.is_null() {
                ntddk::IoFreeMdl(mdl);
            }
            io::free_irp(irp);
            outcome
        }
    }

    /// # Safety
    /// `block` is the SRB of a request that is back with `status`.
    unsafe fn outcome(
        &self,
        block: Block,
        status: NTSTATUS,
        retries_done: u32,
    ) -> Result<usize, (NTSTATUS, Option<u32>)> {
        let srb_status = block.status() & !FLAG_BITS;
        if u32::from(srb_status) == SRB_STATUS_SUCCESS {
            return Ok(block.data_length() as usize);
        }
        let ended = Ended {
            srb_status,
            scsi_status: block.scsi_status(),
            system_status: block.system_status(),
            // SAFETY: the caller's contract.
            sense: unsafe { complete::valid_sense(block) },
            irp_status: if NT_SUCCESS(status) {
                STATUS_UNSUCCESSFUL
            } else {
                status
            },
            writes: false,
            within_disk: false,
            retries_done,
        };
        let verdict = sense::interpret(&ended, self.about());
        if verdict.counts {
            self.note_error();
        }
        if u32::from(block.status()) & SRB_STATUS_QUEUE_FROZEN != 0 {
            self.release_queue();
        }
        if NT_SUCCESS(verdict.status) {
            return Ok(block.data_length() as usize);
        }
        // A medium that has changed is the one whose size is asked for.
        let retry = verdict.retry || verdict.status == STATUS_VERIFY_REQUIRED;
        Err((verdict.status, retry.then_some(verdict.seconds)))
    }
}

/// # Safety
/// The caller owns `block`.
unsafe fn free_ports_sense(block: Block) {
    const BOTH: u32 = SRB_FLAGS_PORT_DRIVER_ALLOCSENSE | SRB_FLAGS_FREE_SENSE_BUFFER;
    if block.flags() & BOTH == BOTH {
        // SAFETY: a buffer with both flags is the class driver's to free.
        unsafe { ntddk::ExFreePool(block.sense().0.cast()) };
    }
}
