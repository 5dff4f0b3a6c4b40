//! One IRP while the port owns it.

use core::ffi::c_void;
use core::ptr;

use super::cdb::ReadWrite;
use super::extent::Extent;
use super::fault::Effect;
use super::host;
use super::paired::PortLimits;
use super::record::{Capture, PortRecord};
use super::rng::mix;
use super::srb::{PORT_LABEL, Srb};
use crate::abi::{IRP_MJ_DEVICE_CONTROL, PIO_STACK_LOCATION, PIRP, PMDL, PVOID};
use crate::io;

/// An IRP with what the port knows of it.
pub(crate) struct Request {
    pub(crate) irp: PIRP,
    pub(crate) srb: Option<Srb>,
    pub(crate) record: PortRecord,
    /// How it is going to end.
    pub(crate) effect: Effect,
    /// Set for a READ or WRITE that reached the medium.
    pub(crate) transfer: Option<ReadWrite>,
    /// Where its data is.
    pub(crate) extent: Option<Extent>,
    /// What the port driver told of its own when the request arrived.
    pub(crate) held_to: PortLimits,
    /// What a small command answers.
    pub(crate) reply: Vec<u8>,
    /// `Information`, where it is not `DataTransferLength`.
    pub(crate) information: Option<u64>,
    /// Where the port mapped the MDL, by habit.
    pub(crate) mapped: PVOID,
    /// The adapter has had it: only such a request can freeze the queue.
    pub(crate) active: bool,
    watch: u64,
}

/// Requests are handed from queue to adapter to completion as one pointer.
pub(crate) type OwnedRequest = Box<Request>;

// SAFETY: an IRP and all that hangs on it belong to the port from dispatch to completion, on
// whichever processor that happens.
unsafe impl Send for Request {}

impl Request {
    /// Takes an SRB request over: notes what it is and scribbles over what belongs to the port.
    ///
    /// # Safety
    /// `irp` was passed to the port's dispatch routine, `srb` is a view of its SRB.
    pub(crate) unsafe fn take(irp: PIRP, srb: Srb, sequence: u64, capturing: bool) -> OwnedRequest {
        // SAFETY: the dispatch routine owns the IRP and its current stack location.
        let record = unsafe { note(irp, &srb, sequence, capturing) };
        let mut request = Box::new(Self {
            irp,
            srb: Some(srb),
            record,
            effect: Effect::SUCCESS,
            transfer: None,
            extent: None,
            held_to: PortLimits::NONE,
            reply: Vec::new(),
            information: None,
            mapped: ptr::null_mut(),
            active: false,
            watch: 0,
        });
        request.scribble();
        srb.take_over(sequence as u32);
        request.watch = request.fingerprint();
        request
    }

    /// While an IRP is in the port's queue, `Tail.Overlay` is the port's [IRP, "Drivers may use
    /// `DriverContext` only while they own the IRP"]: a sender that kept something there loses it.
    fn scribble(&self) {
        let label = |index: usize| ptr::without_provenance_mut::<c_void>(PORT_LABEL + 8 * index);
        // SAFETY: the port owns the IRP; single fields are written.
        unsafe {
            let overlay = &raw mut (*self.irp).Tail.Overlay;
            let context = &raw mut (*overlay).__bindgen_anon_1.__bindgen_anon_1.DriverContext;
            context.write([label(1), label(2), label(3), label(4)]);
            let entry = &raw mut (*overlay).__bindgen_anon_2.ListEntry;
            (&raw mut (*entry).Flink).write(label(5).cast());
            (&raw mut (*entry).Blink).write(label(6).cast());
        }
    }

    /// Takes a change that the port made itself for granted.
    pub(crate) fn renew_watch(&mut self) {
        self.watch = self.fingerprint();
    }

    /// Whether nobody touched the request since the port took it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.watch == self.fingerprint()
    }

    /// Everything of the IRP, the SRB and the MDL that the sender must leave alone.
    fn fingerprint(&self) -> u64 {
        let mut sum = 0;
        let mut add = |word: u64| sum = mix(sum ^ word);
        // SAFETY: the port owns the IRP, and its MDL with it.
        unsafe {
            let overlay = &raw const (*self.irp).Tail.Overlay;
            let context = (*overlay).__bindgen_anon_1.__bindgen_anon_1.DriverContext;
            add(context[0].addr() as u64 ^ context[3].addr() as u64);
            add((*overlay).__bindgen_anon_2.ListEntry.Flink.addr() as u64);
            let mdl = (*self.irp).MdlAddress;
            add(mdl.addr() as u64);
            if !mdl.is_null() {
                add((*mdl).StartVa.addr() as u64 ^ u64::from((*mdl).ByteOffset));
                add(u64::from((*mdl).ByteCount));
            }
        }
        if let Some(srb) = &self.srb {
            add(srb.data_buffer().addr() as u64 ^ u64::from(srb.flags()) << 32);
            add(u64::from(srb.data_length()));
            let cdb = u128::from_le_bytes(srb.cdb().0);
            add(cdb as u64);
            add((cdb >> 64) as u64);
        }
        sum
    }

    pub(crate) fn flags(&self) -> u32 {
        self.record.srb_flags
    }

    /// Marks the IRP pending; the dispatch routine then has to return `STATUS_PENDING`.
    pub(crate) fn mark_pending(&self) {
        // SAFETY: the port owns the IRP and has not completed it.
        unsafe { host::mark_pending(self.irp) }
    }
}

/// # Safety
/// As for [`Request::take`].
unsafe fn note(irp: PIRP, srb: &Srb, sequence: u64, capturing: bool) -> PortRecord {
    let (cdb, cdb_length) = srb.cdb();
    // SAFETY: the dispatch routine owns the IRP and its current stack location.
    let mut record = unsafe { arrival(irp, sequence) };
    record.srb_function = Some(srb.function);
    record.extended = srb.extended;
    record.srb_flags = srb.flags();
    record.tag = srb.tag();
    record.timeout = srb.timeout();
    record.cdb = cdb;
    record.cdb_length = cdb_length as u8;
    record.bytes = srb.data_length();
    record.srb = srb.address();
    if capturing {
        // SAFETY: as above.
        record.capture = Some(Box::new(unsafe { capture(irp, Some(srb)) }));
    }
    record
}

/// What every IRP has.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
pub(crate) unsafe fn arrival(irp: PIRP, sequence: u64) -> PortRecord {
    // SAFETY: the caller owns the IRP and its current stack location.
    unsafe {
        let location = host::current_location(irp);
        let control_code = if u32::from((*location).MajorFunction) == IRP_MJ_DEVICE_CONTROL {
            (*location).Parameters.DeviceIoControl.IoControlCode
        } else {
            0
        };
        PortRecord {
            sequence,
            control_code,
            major: (*location).MajorFunction,
            minor: (*location).MinorFunction,
            stack_flags: (*location).Flags,
            irp_flags: (*irp).Flags,
            priority: host::priority(irp),
            thread: (*irp).Tail.Overlay.Thread.addr(),
            filter_routine: io::filter_routine(irp),
            irp: irp.addr(),
            mdl: (*irp).MdlAddress.addr(),
            mdls: chain_length((*irp).MdlAddress),
            submitted_at: host::now(),
            ..PortRecord::default()
        }
    }
}

/// # Safety
/// `mdl` is null or an MDL that the caller owns, with its chain.
unsafe fn chain_length(mut mdl: PMDL) -> u32 {
    let mut length = 0;
    while !mdl.is_null() {
        length += 1;
        // SAFETY: the caller owns the chain.
        mdl = unsafe { (*mdl).Next };
    }
    length
}

/// # Safety
/// The caller's dispatch routine owns `irp`; `srb` is a view of its SRB.
pub(crate) unsafe fn capture(irp: PIRP, srb: Option<&Srb>) -> Capture {
    // SAFETY: the caller owns the IRP and its current stack location.
    unsafe {
        let location: PIO_STACK_LOCATION = host::current_location(irp);
        let others = &raw const (*location).Parameters.Others;
        Capture {
            location: [
                (*location).MajorFunction,
                (*location).MinorFunction,
                (*location).Flags,
            ],
            parameters: [
                (*others).Argument1.addr() as u64,
                (*others).Argument2.addr() as u64,
                (*others).Argument3.addr() as u64,
                (*others).Argument4.addr() as u64,
            ],
            file_object: (*location).FileObject.addr() as u64,
            mdl: (*irp).MdlAddress.addr() as u64,
            irp_flags: (*irp).Flags,
            srb: srb.map(Srb::bytes).unwrap_or_default(),
        }
    }
}
