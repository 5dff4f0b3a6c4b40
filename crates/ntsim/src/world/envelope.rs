//! The IRP around a request: built as the I/O manager or a file system builds it, completed into a
//! block that the harness watches.

use core::ffi::c_void;
use core::ptr;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::buffer::Buffer;
use super::device::Tally;
use crate::abi::{
    _EVENT_TYPE, IO_STACK_LOCATION, KEVENT, NTSTATUS, PDEVICE_OBJECT, PIO_STACK_LOCATION, PIRP,
    PMDL, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    STATUS_MORE_PROCESSING_REQUIRED,
};
use crate::machine::Owner;
use crate::{io, ke, memory, ntddk};

/// How the data of a request is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mdl {
    /// One MDL for all of it.
    One,
    /// One MDL that describes this many bytes, whatever the request asks for.
    Length(u32),
    /// A chain of MDLs, cut at these offsets.
    Chain(Vec<u32>),
    /// None, although there is data.
    None,
}

/// How an IRP came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// `IoStatus.Status`.
    pub status: NTSTATUS,
    /// `IoStatus.Information`.
    pub information: u64,
    /// What `IofCallDriver` returned.
    pub returned: NTSTATUS,
    /// `Irp->PendingReturned` in the completion routine.
    pub pending_returned: bool,
    /// How often the IRP was completed: 1, or something is very wrong.
    pub completions: u32,
}

impl Done {
    /// `NT_SUCCESS` of the status.
    pub fn succeeded(&self) -> bool {
        self.status >= 0
    }
}

const WAITING: u8 = 0;
const DONE: u8 = 1;
const ABANDONED: u8 = 2;

/// What the completion routine writes; one for each IRP, at a fixed place in memory.
struct Watch {
    state: AtomicU8,
    completions: AtomicU32,
    event: UnsafeCell<KEVENT>,
    result: UnsafeCell<(NTSTATUS, u64, bool)>,
    parts: UnsafeCell<Parts>,
    tally: Arc<Tally>,
}

/// What has to be freed with the IRP.
struct Parts {
    irp: PIRP,
    mdls: Vec<PMDL>,
    /// Keeps the frames while anybody may still move data.
    _buffer: Option<Buffer>,
    /// Memory that the request points to: an SRB, a system buffer.
    _extra: Option<Box<dyn Send>>,
}

/// An IRP before it is sent.
pub(super) struct Draft {
    irp: PIRP,
    mdls: Vec<PMDL>,
    buffer: Option<Buffer>,
    extra: Option<Box<dyn Send>>,
    device: PDEVICE_OBJECT,
    tally: Arc<Tally>,
}

impl Draft {
    /// An IRP for `device` with an empty first stack location for `major`.
    pub(super) fn new(device: PDEVICE_OBJECT, major: u32, tally: &Arc<Tally>) -> Self {
        // SAFETY: the device at the top of the stack lives as long as the stack does.
        let stack_size = unsafe { (*device).StackSize };
        let irp = io::allocate_irp(Owner::Harness, stack_size);
        let draft = Self {
            irp,
            mdls: Vec::new(),
            buffer: None,
            extra: None,
            device,
            tally: Arc::clone(tally),
        };
        // SAFETY: the IRP is ours and not sent yet.
        unsafe {
            (*draft.location()).MajorFunction = major as u8;
            // The thread that a request is made for: file systems set it also for IRPs of their own.
            let thread = ptr::without_provenance_mut(THREAD_LABEL);
            (&raw mut (*irp).Tail.Overlay.Thread).write(thread);
        }
        draft
    }

    pub(super) fn irp(&self) -> PIRP {
        self.irp
    }

    /// The stack location of the first driver.
    pub(super) fn location(&self) -> PIO_STACK_LOCATION {
        // SAFETY: the IRP is ours, and none of its locations is in use yet.
        unsafe { io::next_location(self.irp) }
    }

    pub(super) fn keep(&mut self, extra: Box<dyn Send>) {
        self.extra = Some(extra);
    }

    /// Describes `length` bytes of `buffer` from `at` on.
    pub(super) fn attach(&mut self, buffer: &Buffer, at: usize, length: usize, mdl: &Mdl) {
        self.buffer = Some(buffer.clone());
        let ranges: Vec<(usize, usize)> = match mdl {
            Mdl::None => return,
            Mdl::One => vec![(at, length)],
            Mdl::Length(length) => vec![(at, *length as usize)],
            Mdl::Chain(cuts) => {
                let cuts = cuts
                    .iter()
                    .map(|&cut| cut as usize)
                    .filter(|&cut| cut < length);
                let starts: Vec<usize> = core::iter::once(0).chain(cuts).collect();
                let ends = starts.iter().skip(1).copied().chain([length]);
                starts
                    .iter()
                    .copied()
                    .zip(ends)
                    .map(|(start, end)| (at + start, end - start))
                    .collect()
            }
        };
        self.mdls = ranges
            .iter()
            .map(|&(at, length)| buffer.build_mdl(at, length))
            .collect();
        for pair in self.mdls.windows(2) {
            // SAFETY: both MDLs are ours.
            unsafe { (&raw mut (*pair[0]).Next).write(pair[1]) };
        }
        // SAFETY: the IRP is ours.
        unsafe { (&raw mut (*self.irp).MdlAddress).write(self.mdls[0]) };
    }

    /// Sends the IRP to the top of the stack.
    pub(super) fn send(self) -> Envelope {
        let watch = Box::into_raw(Box::new(Watch {
            state: AtomicU8::new(WAITING),
            completions: AtomicU32::new(0),
            event: UnsafeCell::new(KEVENT::default()),
            result: UnsafeCell::new((0, 0, false)),
            parts: UnsafeCell::new(Parts {
                irp: self.irp,
                mdls: self.mdls,
                _buffer: self.buffer,
                _extra: self.extra,
            }),
            tally: self.tally,
        }));
        // SAFETY: the watch was just made and lives until both sides are done with it; the IRP is
        // ours until it is sent.
        unsafe {
            let event = (*watch).event.get();
            ntddk::KeInitializeEvent(event, _EVENT_TYPE::NotificationEvent, 0);
            let location: *mut IO_STACK_LOCATION = io::next_location(self.irp);
            (&raw mut (*location).CompletionRoutine).write(Some(completed));
            (&raw mut (*location).Context).write(watch.cast());
            let control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
            (&raw mut (*location).Control).write(control as u8);
            (*watch).tally.sent();
            let returned = io::call_driver(self.device, self.irp);
            Envelope {
                watch,
                returned,
                irp: self.irp,
            }
        }
    }
}

/// An address that no thread object is at; nobody below a file system follows it.
pub(super) const THREAD_LABEL: usize = 0xFFFF_E000_0000_1000;

/// The completion routine of every IRP that the harness sends. IRQL <= `DISPATCH_LEVEL`.
unsafe extern "C" fn completed(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let watch: *mut Watch = context.cast::<c_void>().cast();
    // SAFETY: the context is the watch of this IRP, which lives until the state below has been left
    // by both sides.
    unsafe {
        (*watch).completions.fetch_add(1, Ordering::Relaxed);
        (*watch).result.get().write((
            (*irp).IoStatus.__bindgen_anon_1.Status,
            (*irp).IoStatus.Information,
            (*irp).PendingReturned != 0,
        ));
        (*watch).tally.finished();
        if (*watch).state.swap(DONE, Ordering::AcqRel) == ABANDONED {
            release(watch);
        } else {
            // The last use: whoever waits may free the watch as soon as the event is set.
            ke::set_event((*watch).event.get());
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// # Safety
/// Nobody uses the watch or its IRP any more.
unsafe fn release(watch: *mut Watch) {
    // SAFETY: the caller is the last user; the watch came from a box.
    unsafe {
        let watch = Box::from_raw(watch);
        let parts = watch.parts.into_inner();
        (&raw mut (*parts.irp).MdlAddress).write(ptr::null_mut());
        for mdl in &parts.mdls {
            memory::free_mdl(*mdl);
        }
        io::free_irp(parts.irp);
    }
}

/// An IRP that was sent. Dropping it before it is done leaves the rest to its completion.
pub(super) struct Envelope {
    watch: *mut Watch,
    returned: NTSTATUS,
    irp: PIRP,
}

// SAFETY: the watch is shared with the completion routine through atomics and an event alone.
unsafe impl Send for Envelope {}

impl Envelope {
    pub(super) fn irp_address(&self) -> usize {
        self.irp.addr()
    }

    pub(super) fn returned(&self) -> NTSTATUS {
        self.returned
    }

    pub(super) fn is_done(&self) -> bool {
        // SAFETY: the watch lives as long as the envelope.
        unsafe { (*self.watch).state.load(Ordering::Acquire) == DONE }
    }

    /// `IoCancelIrp`; says whether there was a cancel routine to call.
    pub(super) fn cancel(&self) -> bool {
        // SAFETY: the IRP lives as long as the envelope: the completion routine keeps it from the
        // I/O manager.
        unsafe { ntddk::IoCancelIrp(self.irp) != 0 }
    }

    /// Waits for the completion, for ever or for so many units of 100 ns of virtual time.
    pub(super) fn wait(&self, timeout: Option<u64>) -> Option<Done> {
        // SAFETY: the watch lives as long as the envelope; its result is written before the event
        // is set.
        unsafe {
            let event = (*self.watch).event.get();
            if (timeout.is_none() || !self.is_done())
                && ke::wait(event, timeout) != 0
                && !self.is_done()
            {
                return None;
            }
            let (status, information, pending_returned) = (*self.watch).result.get().read();
            Some(Done {
                status,
                information,
                returned: self.returned,
                pending_returned,
                completions: (*self.watch).completions.load(Ordering::Relaxed),
            })
        }
    }

    /// The result, once [`Self::wait`] has returned it or would at once.
    pub(super) fn done(&self) -> Option<Done> {
        if self.is_done() {
            self.wait(None)
        } else {
            None
        }
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        // SAFETY: the watch lives until one side finds that the other has left.
        unsafe {
            let before = (*self.watch).state.swap(ABANDONED, Ordering::AcqRel);
            if before == DONE {
                // The completion routine may be between its swap and the event.
                ke::wait((*self.watch).event.get(), None);
                release(self.watch);
            }
        }
    }
}
