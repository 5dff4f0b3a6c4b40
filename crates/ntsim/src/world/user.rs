//! Programs: processes with buffers of their own, and requests for neither buffered nor direct I/O,
//! which carry a user-mode address and no MDL.
//!
//! A driver at the top of its stack is called in the context of the process whose request it is, and
//! only there does the address mean anything. So these requests can be sent in the right context or
//! in a wrong one, with the address of a buffer or any other.

use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex};

use super::buffer::{Buffer, Layout};
use super::envelope::{Done, Draft, Envelope, Mdl};
use super::stack::Stack;
use super::transfer::Pending;
use crate::abi::{
    _MODE, IRP_MJ_READ, IRP_MJ_WRITE, IRP_NOCACHE, KIRQL, KPROCESSOR_MODE, PETHREAD, PFN_NUMBER,
    PIRP, PVOID,
};
use crate::machine::{NtThread, context, lock};
use crate::memory::{Keeper, PAGE, Protection};
use crate::ntddk;
use crate::port::Direction;
use crate::ps::{Process, ProcessId, in_process};

/// Memory of a process that its requests can name. It reads and writes as a [`Buffer`], which is the
/// program's own access. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct UserBuffer {
    process: Process,
    buffer: Buffer,
}

impl Deref for UserBuffer {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl UserBuffer {
    /// One on scattered frames, at an address that `place` chooses.
    fn new(
        process: &Process,
        length: usize,
        page_offset: usize,
        place: impl FnOnce(&[PFN_NUMBER], &Keeper) -> PVOID,
    ) -> Self {
        Self {
            process: process.clone(),
            buffer: Buffer::placed(length, page_offset, Layout::Scattered, place),
        }
    }

    /// Sets the protection of the pages that these bytes of the buffer touch.
    pub fn protect(&self, bytes: Range<usize>, protection: Protection) {
        self.process
            .memory()
            .protect(self.range(&bytes), protection);
    }

    /// Unmaps the pages that these bytes of the buffer touch.
    pub fn unmap(&self, bytes: Range<usize>) {
        self.process.memory().unmap(self.range(&bytes));
    }

    fn range(&self, bytes: &Range<usize>) -> Range<usize> {
        let address = |at| self.buffer.address_of(at).addr();
        address(bytes.start)..address(bytes.end)
    }
}

/// Programs.
impl Stack {
    /// Starts a process. It ends with the world, after the drivers have been unloaded.
    #[must_use]
    pub fn process(&self, name: &str) -> Process {
        Process::new(name)
    }

    /// `length` bytes of user memory on scattered frames, starting `page_offset` bytes into the
    /// first page. Buffers of different processes begin at the same addresses.
    ///
    /// # Panics
    /// When `page_offset` is a page or more.
    pub fn user_buffer(&self, process: &Process, length: usize, page_offset: usize) -> UserBuffer {
        let space = process.memory();
        UserBuffer::new(process, length, page_offset, |pfns, keeper| {
            space.map(pfns, keeper)
        })
    }

    /// `length` bytes that end where user memory does, at `MmUserProbeAddress`: one for each
    /// process.
    ///
    /// # Panics
    /// When the process has one already.
    pub fn user_buffer_last(&self, process: &Process, length: usize) -> UserBuffer {
        let space = process.memory();
        let page_offset = length.next_multiple_of(PAGE) - length;
        UserBuffer::new(process, length, page_offset, |pfns, keeper| {
            space.map_last(pfns, keeper)
        })
    }

    /// `length` bytes of the system's memory, with an address that `MmProbeAndLockPages` accepts
    /// from kernel code: what a program must not get at by naming it.
    #[must_use]
    pub fn system_buffer(&self, length: usize) -> Buffer {
        let buffer = self.buffer(length, 0);
        crate::memory::map_va(buffer.address(), buffer.pfns());
        buffer
    }

    /// READ at byte `offset` into a program's buffer.
    pub fn user_read(&self, offset: u64, buffer: &UserBuffer) -> UserTransfer<'_> {
        UserTransfer::new(self, Direction::Read, offset, buffer)
    }

    /// WRITE at byte `offset` from a program's buffer.
    pub fn user_write(&self, offset: u64, buffer: &UserBuffer) -> UserTransfer<'_> {
        UserTransfer::new(self, Direction::Write, offset, buffer)
    }
}

/// A READ or WRITE of a program in the making. If nothing else is said, its thread is one of the
/// buffer's process, it is sent in that process, at `PASSIVE_LEVEL`, and `RequestorMode` is
/// `UserMode`.
#[must_use]
pub struct UserTransfer<'s> {
    stack: &'s Stack,
    direction: Direction,
    offset: u64,
    buffer: UserBuffer,
    address: usize,
    length: u32,
    mode: KPROCESSOR_MODE,
    thread: PETHREAD,
    context: ProcessId,
    flags: u8,
    key: u32,
    irp_flags: u32,
    irql: KIRQL,
}

impl<'s> UserTransfer<'s> {
    fn new(stack: &'s Stack, direction: Direction, offset: u64, buffer: &UserBuffer) -> Self {
        Self {
            stack,
            direction,
            offset,
            buffer: buffer.clone(),
            address: buffer.address().addr(),
            length: buffer.len() as u32,
            mode: _MODE::UserMode as KPROCESSOR_MODE,
            thread: buffer.process.thread(),
            context: buffer.process.id(),
            flags: 0,
            key: 0,
            irp_flags: IRP_NOCACHE,
            irql: 0,
        }
    }

    /// `Parameters.Read.Length`; the buffer's if not said.
    pub fn length(mut self, length: u32) -> Self {
        self.length = length;
        self
    }

    /// `UserBuffer` is any address.
    pub fn address(mut self, address: usize) -> Self {
        self.address = address;
        self
    }

    /// `RequestorMode` is `KernelMode`: a kernel component names memory that it vouches for.
    pub fn kernel_mode(mut self) -> Self {
        self.mode = _MODE::KernelMode as KPROCESSOR_MODE;
        self
    }

    /// The IRP names a thread of another process.
    pub fn thread_of(mut self, process: &Process) -> Self {
        self.thread = process.thread();
        self
    }

    /// The IRP names no thread, as a driver's own do.
    pub fn no_thread(mut self) -> Self {
        self.thread = std::ptr::null_mut();
        self
    }

    /// Sent in the context of another process: a driver above took the IRP elsewhere.
    pub fn sent_in(mut self, process: &Process) -> Self {
        self.context = process.id();
        self
    }

    /// Sent in the System process, as from a driver's worker thread.
    pub fn sent_in_system(mut self) -> Self {
        self.context = ProcessId::SYSTEM;
        self
    }

    /// `Irp->Flags`; `IRP_NOCACHE` if not said.
    pub fn irp_flags(mut self, flags: u32) -> Self {
        self.irp_flags = flags;
        self
    }

    /// Sent at this IRQL.
    pub fn irql(mut self, irql: KIRQL) -> Self {
        self.irql = irql;
        self
    }

    /// Flags of the stack location (`SL_*`).
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags as u8;
        self
    }

    /// `Parameters.Read.Key`.
    pub fn key(mut self, key: u32) -> Self {
        self.key = key;
        self
    }

    /// Sends it. A driver that does the whole transfer in its dispatch routine has done so when
    /// this returns.
    pub fn send(self) -> Pending<'s> {
        Pending::irp(self.ready().send())
    }

    /// Sends it on another NT thread of the process, for a request that is to be cancelled, or whose
    /// device is to go, while the driver is at work on it in its dispatch routine.
    pub fn spawn(self, name: &str) -> Sending {
        let ready = self.ready();
        let irp = ready.draft.irp();
        let sent = Arc::new(Mutex::new(None));
        let place = Arc::clone(&sent);
        let thread = self.stack.spawn(name, move |_| {
            let envelope = ready.send();
            *lock(&place) = Some(envelope);
        });
        Sending { thread, irp, sent }
    }

    fn ready(&self) -> Ready {
        let major = match self.direction {
            Direction::Read => IRP_MJ_READ,
            Direction::Write => IRP_MJ_WRITE,
        };
        let mut draft = Draft::new(self.stack.top(), major, self.stack.tally());
        draft.attach(&self.buffer, 0, 0, &Mdl::None);
        // SAFETY: the IRP is ours and not sent yet. READ and WRITE have their parameters in the
        // same places.
        unsafe {
            let location = draft.location();
            (*location).Flags = self.flags;
            let parameters = &raw mut (*location).Parameters.Read;
            (*parameters).Length = self.length;
            (*parameters).Key = self.key;
            (*parameters).ByteOffset.QuadPart = self.offset as i64;
            let irp = draft.irp();
            (&raw mut (*irp).Flags).write(self.irp_flags);
            (&raw mut (*irp).Tail.Overlay.Thread).write(self.thread);
            (&raw mut (*irp).UserBuffer).write(std::ptr::without_provenance_mut(self.address));
            (&raw mut (*irp).RequestorMode).write(self.mode);
        }
        Ready {
            draft,
            context: self.context,
            irql: self.irql,
        }
    }
}

/// A request that only has to be sent, and in which surroundings.
struct Ready {
    draft: Draft,
    context: ProcessId,
    irql: KIRQL,
}

// SAFETY: whoever sends it owns the IRP and what belongs to it; nobody else looks at the draft.
unsafe impl Send for Ready {}

impl Ready {
    fn send(self) -> Envelope {
        in_process(self.context, || {
            let context = context::current();
            let before = context.irql.replace(self.irql);
            let envelope = self.draft.send();
            context.irql.set(before);
            envelope
        })
    }
}

/// A request that another thread sends; see [`UserTransfer::spawn`].
pub struct Sending {
    thread: NtThread,
    irp: PIRP,
    /// Empty while the driver is at work in its dispatch routine.
    sent: Arc<Mutex<Option<Envelope>>>,
}

impl Sending {
    /// `IoCancelIrp`; says whether there was a cancel routine to call.
    pub fn cancel(&self) -> bool {
        // SAFETY: the IRP lives as long as its draft or its envelope, one of which there is until
        // `self` goes.
        unsafe { ntddk::IoCancelIrp(self.irp) != 0 }
    }

    /// Whether the driver has returned from its dispatch routine and the request has come back.
    pub fn is_done(&self) -> bool {
        lock(&self.sent).as_ref().is_some_and(Envelope::is_done)
    }

    /// Waits for it.
    ///
    /// # Panics
    /// Never: a request that does not come back is a bug check of the machine.
    pub fn wait(self) -> Done {
        self.thread.join();
        let envelope = lock(&self.sent).take();
        let done = envelope.and_then(|envelope| envelope.wait(None));
        done.expect("a wait without limit ends with the request")
    }
}
