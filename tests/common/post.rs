//! IRPs made by hand: a class driver that shows what it sent, what became of it while it is below,
//! and what came back.

use core::cell::UnsafeCell;
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ntsim::abi::{
    _EVENT_TYPE, IRP_MJ_SCSI, KEVENT, NTSTATUS, PDEVICE_OBJECT, PIRP, PMDL, PVOID,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, STATUS_MORE_PROCESSING_REQUIRED,
};
use ntsim::machine::Owner;
use ntsim::{Buffer, Done, Stack, io, ke, memory, ntddk};

use super::block::{Block, Places, flag, srb_status, u8_at, u32_at, u64_at};

/// Room for sense data behind every block.
pub(crate) const SENSE_ROOM: usize = 255;
/// What the sense buffer holds before anybody writes to it.
pub(crate) const UNTOUCHED: u8 = 0xA5;

/// Memory that an IRP points to.
struct Memory {
    start: *mut u64,
    words: usize,
    length: usize,
}

impl Memory {
    fn holding(bytes: &[u8]) -> Self {
        let words = bytes.len().div_ceil(8).max(1);
        let start = Box::into_raw(vec![0_u64; words].into_boxed_slice()).cast::<u64>();
        // SAFETY: the memory was just made, is as long and nobody else's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast::<u8>(), bytes.len()) };
        Self {
            start,
            words,
            length: bytes.len(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: the memory lives as long as its owner; on the deterministic clock nobody is in the
        // middle of writing it.
        unsafe { ptr::copy_nonoverlapping(self.start.cast(), bytes.as_mut_ptr(), self.length) };
        bytes
    }

    fn set<const BYTES: usize>(&self, at: usize, bytes: [u8; BYTES]) {
        assert!(at + BYTES <= self.length, "inside the memory");
        // SAFETY: as for `bytes`; the range was just checked.
        unsafe {
            self.start
                .cast::<u8>()
                .add(at)
                .cast::<[u8; BYTES]>()
                .write_unaligned(bytes);
        }
    }

    fn set_pointer(&self, at: usize, pointer: PVOID) {
        assert!(
            at.is_multiple_of(8) && at + 8 <= self.length,
            "a pointer's place"
        );
        // SAFETY: as for `set`; the place is aligned.
        unsafe { self.start.byte_add(at).cast::<PVOID>().write(pointer) };
    }

    fn pointer(&self, at: usize) -> PVOID {
        // SAFETY: as for `set_pointer`, which checked the place.
        unsafe { self.start.byte_add(at).cast::<PVOID>().read() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let slice = ptr::slice_from_raw_parts_mut(self.start, self.words);
        // SAFETY: made by `holding` with this length, given back once.
        drop(unsafe { Box::from_raw(slice) });
    }
}

/// An IRP in the making.
pub(crate) struct Post {
    major: u32,
    minor: u8,
    memory: Vec<u8>,
    block: Option<Places>,
    /// The four words of `Parameters`; the first is the block's address where there is one.
    parameters: [usize; 4],
    buffer: Option<Buffer>,
    mdl_length: Option<usize>,
    data_at: usize,
    length: Option<u32>,
    sense_room: Option<u8>,
    no_sense_buffer: bool,
    stack_flags: u8,
    irp_flags: u32,
    priority: Option<i32>,
}

/// `IRP_MJ_SCSI` with this block.
pub(crate) fn post(block: &Block) -> Post {
    Post {
        major: IRP_MJ_SCSI,
        memory: block.bytes.clone(),
        block: Some(block.at),
        ..empty()
    }
}

/// Any other IRP, with `memory` as its system buffer.
pub(crate) fn post_irp(major: u32, minor: u8, parameters: [usize; 4], memory: &[u8]) -> Post {
    Post {
        major,
        minor,
        memory: memory.to_vec(),
        parameters,
        ..empty()
    }
}

fn empty() -> Post {
    Post {
        major: 0,
        minor: 0,
        memory: Vec::new(),
        block: None,
        parameters: [0; 4],
        buffer: None,
        mdl_length: None,
        data_at: 0,
        length: None,
        sense_room: None,
        no_sense_buffer: false,
        stack_flags: 0,
        irp_flags: 0,
        priority: None,
    }
}

impl Post {
    /// The data: all of `buffer`.
    #[must_use]
    pub(crate) fn buffer(mut self, buffer: &Buffer) -> Self {
        self.buffer = Some(buffer.clone());
        self
    }

    /// `DataBuffer` is byte `at` of the buffer, whose MDL begins at its start.
    #[must_use]
    pub(crate) fn data_at(mut self, at: usize) -> Self {
        self.data_at = at;
        self
    }

    /// Bytes that the MDL describes.
    #[must_use]
    pub(crate) fn mdl_length(mut self, length: usize) -> Self {
        self.mdl_length = Some(length);
        self
    }

    /// `DataTransferLength`.
    #[must_use]
    pub(crate) fn length(mut self, length: u32) -> Self {
        self.length = Some(length);
        self
    }

    /// `SenseInfoBufferLength`.
    #[must_use]
    pub(crate) fn sense_room(mut self, room: u8) -> Self {
        self.sense_room = Some(room);
        self
    }

    /// `SenseInfoBuffer` is NULL.
    #[must_use]
    pub(crate) fn no_sense_buffer(mut self) -> Self {
        self.no_sense_buffer = true;
        self
    }

    /// `Flags` of the stack location.
    #[must_use]
    pub(crate) fn stack_flags(mut self, flags: u8) -> Self {
        self.stack_flags = flags;
        self
    }

    /// `Irp->Flags`.
    #[must_use]
    pub(crate) fn irp_flags(mut self, flags: u32) -> Self {
        self.irp_flags = flags;
        self
    }

    /// `IoSetIoPriorityHint`.
    #[must_use]
    pub(crate) fn priority(mut self, hint: i32) -> Self {
        self.priority = Some(hint);
        self
    }

    /// Words of `Parameters` behind the first.
    #[must_use]
    pub(crate) fn others(mut self, words: [usize; 3]) -> Self {
        self.parameters[1..].copy_from_slice(&words);
        self
    }

    /// Sends it to the top of the stack.
    pub(crate) fn send(self, stack: &Stack) -> Posted {
        let device = stack.top();
        // SAFETY: the device at the top of the stack lives as long as the stack.
        let irp = io::allocate_irp(Owner::Harness, unsafe { (*device).StackSize });
        let memory = Memory::holding(&self.memory);
        let sense = Memory::holding(&[UNTOUCHED; SENSE_ROOM]);
        let mdl = self.build_mdl();
        if let Some(at) = self.block {
            self.complete_block(&at, &memory, &sense, irp);
        }
        let sent = memory.bytes();
        let watch = Box::into_raw(Box::new(Watch::default()));
        let [first, second, third, fourth] = self.parameters.map(ptr::without_provenance_mut);
        let first = match self.block {
            Some(_) => memory.start.cast(),
            None => first,
        };
        // SAFETY: the IRP is ours until it is sent, and the watch lives until the IRP is back.
        let envelope = unsafe {
            let location = io::next_location(irp);
            (*location).MajorFunction = self.major as u8;
            (*location).MinorFunction = self.minor;
            (*location).Flags = self.stack_flags;
            let others = &raw mut (*location).Parameters.Others;
            (*others).Argument1 = first;
            (*others).Argument2 = second;
            (*others).Argument3 = third;
            (*others).Argument4 = fourth;
            (&raw mut (*irp).MdlAddress).write(mdl);
            (&raw mut (*irp).Flags).write(self.irp_flags);
            if self.block.is_none() {
                (&raw mut (*irp).AssociatedIrp.SystemBuffer).write(memory.start.cast());
            }
            if let Some(hint) = self.priority {
                ntddk::IoSetIoPriorityHint(irp, hint);
            }
            ntddk::KeInitializeEvent((*watch).event.get(), _EVENT_TYPE::NotificationEvent, 0);
            (&raw mut (*location).CompletionRoutine).write(Some(completed));
            (&raw mut (*location).Context).write(watch.cast());
            let control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
            (&raw mut (*location).Control).write(control as u8);
            Expectation {
                location: [self.major as u8, self.minor, self.stack_flags],
                parameters: [first, second, third, fourth].map(|word| word.addr() as u64),
                irp_flags: (*irp).Flags,
                priority: ntddk::IoGetIoPriorityHint(irp) as u32,
            }
        };
        // SAFETY: the IRP is complete, and the driver's from here on.
        let returned = unsafe { io::call_driver(device, irp) };
        Posted {
            watch,
            irp,
            mdl,
            returned,
            memory,
            sense,
            at: self.block.unwrap_or_default(),
            sent,
            envelope,
            _buffer: self.buffer,
        }
    }

    fn build_mdl(&self) -> PMDL {
        let Some(buffer) = &self.buffer else {
            return ptr::null_mut();
        };
        let length = self.mdl_length.unwrap_or(buffer.len());
        let pages = (buffer.page_offset() + length).div_ceil(super::PAGE);
        let frames = &buffer.pfns()[..pages];
        memory::build_mdl(Owner::Harness, buffer.address(), length as u32, frames)
    }

    /// The fields that hold addresses and lengths of this very request.
    fn complete_block(&self, at: &Places, block: &Memory, sense: &Memory, irp: PIRP) {
        block.set_pointer(at.original_request, irp.cast());
        if let Some(buffer) = &self.buffer {
            let rest = buffer.len().saturating_sub(self.data_at) as u32;
            let length = self.length.unwrap_or(rest);
            block.set(at.length, length.to_le_bytes());
            block.set_pointer(at.data_buffer, buffer.address_of(self.data_at));
        }
        if at.sense_pointer != 0 && !self.no_sense_buffer {
            block.set_pointer(at.sense_pointer, sense.start.cast());
        }
        if at.sense_length != 0 {
            block.set(
                at.sense_length,
                [self.sense_room.unwrap_or(SENSE_ROOM as u8)],
            );
        }
    }
}

/// What the completion routine writes.
#[derive(Default)]
struct Watch {
    done: AtomicBool,
    completions: AtomicU32,
    event: UnsafeCell<KEVENT>,
    result: UnsafeCell<(NTSTATUS, u64, bool)>,
}

/// The completion routine of every IRP made here. IRQL <= `DISPATCH_LEVEL`.
unsafe extern "C" fn completed(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let watch: *mut Watch = context.cast();
    // SAFETY: the watch lives until `Posted` has seen that the IRP is back; the event is the last use.
    unsafe {
        (*watch).completions.fetch_add(1, Ordering::Relaxed);
        (*watch).result.get().write((
            (*irp).IoStatus.__bindgen_anon_1.Status,
            (*irp).IoStatus.Information,
            (*irp).PendingReturned != 0,
        ));
        (*watch).done.store(true, Ordering::Release);
        ke::set_event((*watch).event.get());
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// An IRP on its way. Must be waited for: one that is dropped earlier stays where it is.
pub(crate) struct Posted {
    watch: *mut Watch,
    irp: PIRP,
    mdl: PMDL,
    returned: NTSTATUS,
    memory: Memory,
    sense: Memory,
    at: Places,
    /// The block, or the system buffer, as it was sent.
    pub(crate) sent: Vec<u8>,
    envelope: Expectation,
    _buffer: Option<Buffer>,
}

/// What a lower driver must find in the IRP besides its block: what the sender wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expectation {
    /// `MajorFunction`, `MinorFunction`, `Flags`.
    pub(crate) location: [u8; 3],
    /// The four words of `Parameters`.
    pub(crate) parameters: [u64; 4],
    /// `Irp->Flags`.
    pub(crate) irp_flags: u32,
    /// `IoGetIoPriorityHint`.
    pub(crate) priority: u32,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Returned {
    /// The IRP's side.
    pub(crate) done: Done,
    /// The block, or the system buffer, as it was sent.
    pub(crate) sent: Vec<u8>,
    /// The same as it came back.
    pub(crate) block: Vec<u8>,
    /// The sender's sense buffer, all of it.
    pub(crate) sense: Vec<u8>,
    /// The port's own sense buffer, where it left one.
    pub(crate) port_sense: Option<Vec<u8>>,
    at: Places,
}

impl Posted {
    /// Whether it has come back.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: the watch lives as long as this does.
        unsafe { (*self.watch).done.load(Ordering::Acquire) }
    }

    /// What `IofCallDriver` returned.
    pub(crate) fn returned(&self) -> NTSTATUS {
        self.returned
    }

    /// `IoCancelIrp`; says whether there was a cancel routine to call.
    pub(crate) fn cancel(&self) -> bool {
        // SAFETY: the IRP stays until `wait`: its completion routine keeps it from the I/O manager.
        unsafe { ntddk::IoCancelIrp(self.irp) != 0 }
    }

    /// What a lower driver must find in the IRP if nobody between changes anything.
    pub(crate) fn expectation(&self) -> Expectation {
        self.envelope
    }

    /// Address of the IRP.
    pub(crate) fn irp(&self) -> usize {
        self.irp.addr()
    }

    /// The IRP itself, for those who look where only its owner may.
    pub(crate) fn raw(&self) -> PIRP {
        self.irp
    }

    /// Address of the MDL.
    pub(crate) fn mdl(&self) -> usize {
        self.mdl.addr()
    }

    /// Address of the block or the system buffer.
    pub(crate) fn address(&self) -> usize {
        self.memory.start.addr()
    }

    /// Address of the sense buffer.
    pub(crate) fn sense_address(&self) -> usize {
        self.sense.start.addr()
    }

    /// The block as it is at this moment.
    pub(crate) fn now(&self) -> Vec<u8> {
        self.memory.bytes()
    }

    /// The sense buffer as it is at this moment.
    pub(crate) fn sense_now(&self) -> Vec<u8> {
        self.sense.bytes()
    }

    /// Waits for it.
    #[track_caller]
    pub(crate) fn wait(self) -> Returned {
        // SAFETY: the watch lives as long as this does.
        unsafe { ke::wait((*self.watch).event.get(), None) };
        assert!(self.is_done(), "a wait without limit ends with the request");
        // SAFETY: the completion routine has left the watch; everything is ours again.
        let ((status, information, pending_returned), completions) = unsafe {
            (
                (*self.watch).result.get().read(),
                (*self.watch).completions.load(Ordering::Relaxed),
            )
        };
        let (block, at) = (self.memory.bytes(), self.at);
        let returned = Returned {
            done: Done {
                status,
                information,
                returned: self.returned,
                pending_returned,
                completions,
            },
            sent: self.sent.clone(),
            port_sense: self.free_port_sense(&block),
            block,
            sense: self.sense.bytes(),
            at,
        };
        self.release();
        returned
    }

    /// As classpnp does: the port's buffer is the sender's to free where the flag says so.
    fn free_port_sense(&self, block: &[u8]) -> Option<Vec<u8>> {
        let at = self.at;
        if at.sense_pointer == 0 || u32_at(block, at.flags) & flag::FREE_SENSE_BUFFER == 0 {
            return None;
        }
        let sense = self.memory.pointer(at.sense_pointer);
        assert_ne!(
            sense.addr(),
            self.sense_address(),
            "the flag is for a buffer of the port's"
        );
        let length = usize::from(u8_at(block, at.sense_length));
        let mut bytes = vec![0; length];
        // SAFETY: the port said that the buffer is there, as long, and the sender's from now on.
        unsafe {
            ptr::copy_nonoverlapping(sense.cast(), bytes.as_mut_ptr(), length);
            memory::pool_free(sense);
        }
        Some(bytes)
    }

    fn release(self) {
        // SAFETY: the IRP is back and nobody else has it, its MDL or the watch.
        unsafe {
            (&raw mut (*self.irp).MdlAddress).write(ptr::null_mut());
            if !self.mdl.is_null() {
                memory::free_mdl(self.mdl);
            }
            io::free_irp(self.irp);
            drop(Box::from_raw(self.watch));
        }
    }
}

impl Returned {
    /// `SrbStatus` without its flag bits.
    pub(crate) fn srb_status(&self) -> u8 {
        self.raw_srb_status() & !(srb_status::QUEUE_FROZEN | srb_status::AUTOSENSE_VALID)
    }

    /// `SrbStatus` with its flag bits.
    pub(crate) fn raw_srb_status(&self) -> u8 {
        u8_at(&self.block, self.at.srb_status)
    }

    /// `SRB_STATUS_QUEUE_FROZEN`.
    pub(crate) fn is_frozen(&self) -> bool {
        self.raw_srb_status() & srb_status::QUEUE_FROZEN != 0
    }

    /// `ScsiStatus`.
    pub(crate) fn scsi_status(&self) -> u8 {
        u8_at(&self.block, self.at.scsi_status)
    }

    /// `SystemStatus` or `InternalStatus`.
    pub(crate) fn system_status(&self) -> i32 {
        u32_at(&self.block, self.at.system_status).cast_signed()
    }

    /// `DataTransferLength`.
    pub(crate) fn length(&self) -> u32 {
        u32_at(&self.block, self.at.length)
    }

    /// `SenseInfoBufferLength`.
    pub(crate) fn sense_length(&self) -> u8 {
        u8_at(&self.block, self.at.sense_length)
    }

    /// The sense data, where `SRB_STATUS_AUTOSENSE_VALID` says that there are any.
    #[track_caller]
    pub(crate) fn valid_sense(&self) -> Option<Vec<u8>> {
        let valid = self.raw_srb_status() & srb_status::AUTOSENSE_VALID != 0;
        valid.then(|| match &self.port_sense {
            Some(bytes) => bytes.clone(),
            None => self.sense[..usize::from(self.sense_length())].to_vec(),
        })
    }

    /// The places where the block differs from what was sent.
    pub(crate) fn changed(&self) -> Vec<usize> {
        let pairs = self.sent.iter().zip(&self.block).enumerate();
        pairs
            .filter(|(_, (before, after))| before != after)
            .map(|(place, _)| place)
            .collect()
    }

    /// Whether a byte of the block is for the port to write as it likes: its tag and its contexts.
    pub(crate) fn is_the_ports(&self, place: usize) -> bool {
        let context = self.at.port_context;
        let tag = if context.is_some() { 32..36 } else { 8..9 };
        let pointers = [Some(self.at.client), context].into_iter().flatten();
        self.at.client != 0
            && (tag.contains(&place)
                || pointers.into_iter().any(|at| (at..at + 8).contains(&place)))
    }

    /// A pointer of the block as it came back.
    pub(crate) fn pointer(&self, at: usize) -> u64 {
        u64_at(&self.block, at)
    }
}
