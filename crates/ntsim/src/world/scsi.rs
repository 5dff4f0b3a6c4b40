//! SRBs of the harness's own: what a class driver or a curious neighbour would send.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use std::sync::Arc;

use super::buffer::Buffer;
use super::envelope::{Done, Draft, Envelope, Mdl};
use super::held::{Held, Plain};
use super::stack::Stack;
use crate::abi::{
    IRP_MJ_SCSI, PDEVICE_OBJECT, SCSI_REQUEST_BLOCK, SRB_FLAGS_DATA_IN, SRB_FLAGS_DATA_OUT,
    SRB_FLAGS_FREE_SENSE_BUFFER, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE,
    SRB_FUNCTION_EXECUTE_SCSI, SRB_FUNCTION_STORAGE_REQUEST_BLOCK, SRB_SIGNATURE,
    SRB_SIMPLE_TAG_REQUEST, SRB_STATUS_AUTOSENSE_VALID, SRB_STATUS_QUEUE_FROZEN,
    SRBEX_DATA_SCSI_CDB16, STOR_ADDR_BTL8, STORAGE_REQUEST_BLOCK, STORAGE_REQUEST_BLOCK_VERSION_1,
};
use crate::memory;
use crate::port::{Direction, op, read_write};

/// Bytes of the sense buffer, as `SENSE_BUFFER_SIZE_EX` has it.
const SENSE_ROOM: usize = 255;
/// `SrbExDataTypeScsiCdb16`.
const EX_CDB16: i32 = 0x40;

/// An extended SRB with its address and one CDB extension, in the order in which `classpnp` puts
/// them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extended {
    header: STORAGE_REQUEST_BLOCK,
    address: STOR_ADDR_BTL8,
    command: SRBEX_DATA_SCSI_CDB16,
}

/// Room for either format, with the sense buffer beside it.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Storage {
    legacy: SCSI_REQUEST_BLOCK,
    extended: Extended,
    sense: [u8; SENSE_ROOM],
}

// SAFETY: integers and raw pointers.
unsafe impl Plain for Storage {}

/// A request in the making; see [`Stack::scsi`].
pub struct Scsi<'s> {
    stack: &'s Stack,
    cdb: Vec<u8>,
    function: u32,
    buffer: Option<Buffer>,
    at: usize,
    length: Option<u32>,
    mdl: Mdl,
    data_shift: i64,
    extended: bool,
    flags: u32,
    timeout: u32,
    tag: u32,
    sense_room: usize,
    patch: Option<Patch>,
    next: *mut c_void,
    irp_flags: u32,
    control_code: u32,
    device: PDEVICE_OBJECT,
}

/// A last change to the bytes of an SRB before it is sent.
type Patch = Box<dyn FnOnce(&mut [u8])>;

impl<'s> Scsi<'s> {
    pub(super) fn new(stack: &'s Stack, function: u32, cdb: &[u8]) -> Self {
        let direction = match read_write(cdb).map(|transfer| transfer.direction) {
            Some(Direction::Read) => SRB_FLAGS_DATA_IN,
            Some(Direction::Write) => SRB_FLAGS_DATA_OUT,
            None => 0,
        };
        Self {
            stack,
            cdb: cdb.to_vec(),
            function,
            buffer: None,
            at: 0,
            length: None,
            mdl: Mdl::One,
            data_shift: 0,
            extended: stack.port().hba().current().extended_srb,
            flags: direction | SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE,
            timeout: 10,
            tag: SRB_SIMPLE_TAG_REQUEST,
            sense_room: SENSE_ROOM,
            patch: None,
            next: ptr::null_mut(),
            irp_flags: 0,
            control_code: 0,
            device: stack.top(),
        }
    }

    /// The data: all of `buffer`, in the direction of a READ or WRITE, else to the host.
    #[must_use]
    pub fn buffer(mut self, buffer: &Buffer) -> Self {
        if self.flags & (SRB_FLAGS_DATA_IN | SRB_FLAGS_DATA_OUT) == 0 {
            self.flags |= SRB_FLAGS_DATA_IN;
        }
        self.buffer = Some(buffer.clone());
        self
    }

    /// The MDL starts at this byte of the buffer.
    #[must_use]
    pub fn at(mut self, at: usize) -> Self {
        self.at = at;
        self
    }

    /// `DataTransferLength`; the rest of the buffer if not said.
    #[must_use]
    pub fn length(mut self, length: u32) -> Self {
        self.length = Some(length);
        self
    }

    /// How the data is described.
    #[must_use]
    pub fn mdl(mut self, mdl: Mdl) -> Self {
        self.mdl = mdl;
        self
    }

    /// `DataBuffer` points this many bytes behind the start of the MDL (or, negative, before it).
    #[must_use]
    pub fn data_shift(mut self, shift: i64) -> Self {
        self.data_shift = shift;
        self
    }

    /// The format: `STORAGE_REQUEST_BLOCK`, or `SCSI_REQUEST_BLOCK`. If not said, the one that the
    /// adapter asks for.
    #[must_use]
    pub fn extended(mut self, yes: bool) -> Self {
        self.extended = yes;
        self
    }

    /// `SrbFlags`, in place of direction, `NO_QUEUE_FREEZE` and `QUEUE_ACTION_ENABLE`.
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// Adds SRB flags.
    #[must_use]
    pub fn with_flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// Takes SRB flags away.
    #[must_use]
    pub fn without_flags(mut self, flags: u32) -> Self {
        self.flags &= !flags;
        self
    }

    /// `TimeOutValue` in seconds.
    #[must_use]
    pub fn timeout(mut self, seconds: u32) -> Self {
        self.timeout = seconds;
        self
    }

    /// The queue action.
    #[must_use]
    pub fn tag(mut self, tag: u32) -> Self {
        self.tag = tag;
        self
    }

    /// Bytes of the sense buffer, at most 255.
    #[must_use]
    pub fn sense_room(mut self, bytes: usize) -> Self {
        self.sense_room = bytes.min(SENSE_ROOM);
        self
    }

    /// `Irp->Flags`.
    #[must_use]
    pub fn irp_flags(mut self, flags: u32) -> Self {
        self.irp_flags = flags;
        self
    }

    /// `Parameters.DeviceIoControl.IoControlCode` beside the SRB: `IRP_MJ_SCSI` is
    /// `IRP_MJ_INTERNAL_DEVICE_CONTROL`, and the two sets of parameters have places of their own for
    /// these two.
    #[must_use]
    pub fn control_code(mut self, code: u32) -> Self {
        self.control_code = code;
        self
    }

    /// Sends it to the device right beneath the disk class driver, past that driver.
    #[must_use]
    pub fn below_class(mut self) -> Self {
        self.device = self.stack.below_class();
        self
    }

    /// `NextSrb`: the request that `ABORT_COMMAND` is about.
    #[must_use]
    pub fn about(mut self, other: &PendingScsi) -> Self {
        self.next = other.srb().cast();
        self
    }

    /// Changes the finished SRB byte by byte: for SRBs that are wrong on purpose.
    #[must_use]
    pub fn patched(mut self, patch: impl FnOnce(&mut [u8]) + 'static) -> Self {
        self.patch = Some(Box::new(patch));
        self
    }

    /// Sends the request as `IRP_MJ_SCSI` to the top of the stack.
    pub fn send(mut self) -> PendingScsi {
        let mut draft = Draft::new(self.device, IRP_MJ_SCSI, self.stack.tally());
        if let Some(buffer) = &self.buffer {
            draft.attach(buffer, self.at, self.data_length() as usize, &self.mdl);
        }
        let storage = Arc::new(Held::<Storage>::zeroed());
        let place = storage.as_ptr();
        // SAFETY: the storage was just made and is nobody else's yet; so is the IRP.
        unsafe {
            let srb = if self.extended {
                self.write_extended(place, draft.irp().cast())
            } else {
                self.write_legacy(place, draft.irp().cast())
            };
            if let Some(patch) = self.patch.take() {
                let length = if self.extended {
                    size_of::<Extended>()
                } else {
                    size_of::<SCSI_REQUEST_BLOCK>()
                };
                patch(core::slice::from_raw_parts_mut(srb.cast::<u8>(), length));
            }
            (&raw mut (*draft.irp()).Flags).write(self.irp_flags);
            let parameters = &raw mut (*draft.location()).Parameters;
            (&raw mut (*parameters).DeviceIoControl.IoControlCode).write(self.control_code);
            (&raw mut (*parameters).Scsi.Srb).write(srb);
        }
        draft.keep(Box::new(Arc::clone(&storage)));
        PendingScsi {
            envelope: draft.send(),
            storage,
            extended: self.extended,
        }
    }

    fn data_length(&self) -> u32 {
        let rest = self
            .buffer
            .as_ref()
            .map_or(0, |buffer| buffer.len().saturating_sub(self.at));
        self.length.unwrap_or(rest as u32)
    }

    fn data_buffer(&self) -> *mut c_void {
        self.buffer.as_ref().map_or(ptr::null_mut(), |buffer| {
            buffer
                .address_of(self.at)
                .wrapping_byte_offset(self.data_shift as isize)
        })
    }

    fn cdb_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let length = self.cdb.len().min(16);
        bytes[..length].copy_from_slice(&self.cdb[..length]);
        bytes
    }

    /// # Safety
    /// `place` is good and nobody else's.
    unsafe fn write_legacy(
        &self,
        place: *mut Storage,
        irp: *mut c_void,
    ) -> *mut SCSI_REQUEST_BLOCK {
        // SAFETY: the caller vouches for the place.
        unsafe {
            let srb = &raw mut (*place).legacy;
            (*srb).Length = size_of::<SCSI_REQUEST_BLOCK>() as u16;
            (*srb).Function = self.function as u8;
            (*srb).SrbFlags = self.flags;
            (*srb).QueueAction = self.tag as u8;
            (*srb).CdbLength = self.cdb.len() as u8;
            (*srb).Cdb = self.cdb_bytes();
            (*srb).DataTransferLength = self.data_length();
            (*srb).DataBuffer = self.data_buffer();
            (*srb).TimeOutValue = self.timeout;
            (*srb).SenseInfoBuffer = (&raw mut (*place).sense).cast();
            (*srb).SenseInfoBufferLength = self.sense_room as u8;
            (*srb).OriginalRequest = irp;
            (*srb).NextSrb = self.next.cast();
            srb
        }
    }

    /// # Safety
    /// `place` is good and nobody else's.
    unsafe fn write_extended(
        &self,
        place: *mut Storage,
        irp: *mut c_void,
    ) -> *mut SCSI_REQUEST_BLOCK {
        // SAFETY: the caller vouches for the place.
        unsafe {
            let whole = &raw mut (*place).extended;
            let srb = &raw mut (*whole).header;
            (*srb).Length = offset_of!(STORAGE_REQUEST_BLOCK, Signature) as u16;
            (*srb).Function = SRB_FUNCTION_STORAGE_REQUEST_BLOCK as u8;
            (*srb).Signature = SRB_SIGNATURE;
            (*srb).Version = STORAGE_REQUEST_BLOCK_VERSION_1;
            (*srb).SrbLength = size_of::<Extended>() as u32;
            (*srb).SrbFunction = self.function;
            (*srb).SrbFlags = self.flags;
            (*srb).RequestAttribute = self.tag as u16;
            (*srb).TimeOutValue = self.timeout;
            (*srb).AddressOffset = offset_of!(Extended, address) as u32;
            (*srb).DataTransferLength = self.data_length();
            (*srb).DataBuffer = self.data_buffer();
            (*srb).OriginalRequest = irp;
            (*srb).NextSrb = self.next.cast();
            (*whole).address.Type = 1;
            (*whole).address.AddressLength = 8;
            if self.function == SRB_FUNCTION_EXECUTE_SCSI {
                (*srb).NumSrbExData = 1;
                (*srb).SrbExDataOffset = [offset_of!(Extended, command) as u32];
                let command = &raw mut (*whole).command;
                (*command).Type = EX_CDB16;
                (*command).Length = (size_of::<SRBEX_DATA_SCSI_CDB16>() - 8) as u32;
                (*command).CdbLength = self.cdb.len() as u8;
                (*command).Cdb = self.cdb_bytes();
                (*command).SenseInfoBuffer = (&raw mut (*place).sense).cast();
                (*command).SenseInfoBufferLength = self.sense_room as u8;
            }
            whole.cast()
        }
    }
}

/// An SRB that was sent.
pub struct PendingScsi {
    envelope: Envelope,
    storage: Arc<Held<Storage>>,
    extended: bool,
}

/// How an SRB came back.
#[derive(Clone, Debug)]
pub struct ScsiDone {
    /// The IRP's side.
    pub irp: Done,
    /// `SrbStatus` without its flag bits.
    pub srb_status: u8,
    /// `SRB_STATUS_QUEUE_FROZEN` was set.
    pub frozen: bool,
    /// `ScsiStatus`.
    pub scsi_status: u8,
    /// `DataTransferLength`.
    pub data_length: u32,
    /// `SystemStatus`, or `InternalStatus` of the older format.
    pub system_status: i32,
    /// The sense data, where `SRB_STATUS_AUTOSENSE_VALID` was set; from the port's own buffer where
    /// it gave one.
    pub sense: Option<Vec<u8>>,
    /// `SrbFlags`.
    pub flags: u32,
}

impl PendingScsi {
    /// Whether it has come back.
    pub fn is_done(&self) -> bool {
        self.envelope.is_done()
    }

    /// What `IofCallDriver` returned.
    pub fn returned(&self) -> i32 {
        self.envelope.returned()
    }

    /// The address of its IRP.
    pub fn irp_address(&self) -> usize {
        self.envelope.irp_address()
    }

    /// `IoCancelIrp`.
    pub fn cancel(&self) -> bool {
        self.envelope.cancel()
    }

    /// Does what no sender may: changes the request while the driver below owns it.
    ///
    /// # Panics
    /// When it has come back already.
    pub fn disturb(&self) {
        assert!(
            !self.is_done(),
            "a request that has come back is the sender's own"
        );
        let place = self.storage.as_ptr();
        // SAFETY: the storage lives as long as this handle; on the deterministic clock nobody is in
        // the middle of reading it.
        unsafe {
            if self.extended {
                (&raw mut (*place).extended.header.DataTransferLength).write(1);
            } else {
                (&raw mut (*place).legacy.DataTransferLength).write(1);
            }
        }
    }

    pub(super) fn srb(&self) -> *mut SCSI_REQUEST_BLOCK {
        let place = self.storage.as_ptr();
        // SAFETY: only the address of a part is taken.
        unsafe {
            if self.extended {
                (&raw mut (*place).extended).cast()
            } else {
                &raw mut (*place).legacy
            }
        }
    }

    /// Waits for it.
    ///
    /// # Panics
    /// Never: a request that does not come back is a bug check of the machine.
    pub fn wait(self) -> ScsiDone {
        let irp = self
            .envelope
            .wait(None)
            .expect("a wait without limit ends with the request");
        let place = self.storage.as_ptr();
        // SAFETY: the request is done, so the SRB is ours again.
        unsafe {
            let (status, scsi_status, flags, data_length, system, sense, length) = if self.extended
            {
                let (srb, command) = (
                    &raw mut (*place).extended.header,
                    &raw mut (*place).extended.command,
                );
                (
                    (*srb).SrbStatus,
                    (*command).ScsiStatus,
                    (*srb).SrbFlags,
                    (*srb).DataTransferLength,
                    (*srb).SystemStatus,
                    (*command).SenseInfoBuffer,
                    (*command).SenseInfoBufferLength,
                )
            } else {
                let srb = &raw mut (*place).legacy;
                (
                    (*srb).SrbStatus,
                    (*srb).ScsiStatus,
                    (*srb).SrbFlags,
                    (*srb).DataTransferLength,
                    (*srb).__bindgen_anon_1.InternalStatus,
                    (*srb).SenseInfoBuffer,
                    (*srb).SenseInfoBufferLength,
                )
            };
            let valid = u32::from(status) & SRB_STATUS_AUTOSENSE_VALID != 0;
            let bytes = valid.then(|| {
                core::slice::from_raw_parts(sense.cast::<u8>(), usize::from(length)).to_vec()
            });
            if flags & SRB_FLAGS_FREE_SENSE_BUFFER != 0 {
                memory::pool_free(sense);
            }
            ScsiDone {
                irp,
                srb_status: status
                    & !((SRB_STATUS_AUTOSENSE_VALID | SRB_STATUS_QUEUE_FROZEN) as u8),
                frozen: u32::from(status) & SRB_STATUS_QUEUE_FROZEN != 0,
                scsi_status,
                data_length,
                system_status: system as i32,
                sense: bytes,
                flags,
            }
        }
    }
}

/// The CDB of a READ or WRITE in a form of 6, 10, 12 or 16 bytes.
///
/// # Panics
/// When the form has no room for the numbers or is none of the four.
pub fn read_write_cdb(direction: Direction, lba: u64, blocks: u32, form: usize) -> Vec<u8> {
    let reads = direction == Direction::Read;
    let mut cdb = vec![0; form];
    match form {
        6 => {
            assert!(
                lba < 1 << 21 && (1..=256).contains(&blocks),
                "beyond a CDB of 6 bytes"
            );
            cdb[0] = if reads { op::READ_6 } else { op::WRITE_6 };
            cdb[1..4].copy_from_slice(&(lba as u32).to_be_bytes()[1..]);
            cdb[4] = blocks as u8;
        }
        10 => {
            assert!(
                lba < 1 << 32 && blocks < 1 << 16,
                "beyond a CDB of 10 bytes"
            );
            cdb[0] = if reads { op::READ_10 } else { op::WRITE_10 };
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
        }
        12 => {
            assert!(lba < 1 << 32, "beyond a CDB of 12 bytes");
            cdb[0] = if reads { op::READ_12 } else { op::WRITE_12 };
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[6..10].copy_from_slice(&blocks.to_be_bytes());
        }
        16 => {
            cdb[0] = if reads { op::READ_16 } else { op::WRITE_16 };
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
        other => panic!("there is no READ or WRITE of {other} bytes"),
    }
    cdb
}
