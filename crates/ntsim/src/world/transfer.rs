//! READ and WRITE requests at the top of the stack.

use std::sync::Arc;

use super::buffer::Buffer;
use super::device::Tally;
use super::envelope::{Done, Draft, Envelope, Mdl, THREAD_LABEL};
use super::naive::Naive;
use super::scsi::ScsiDone;
use super::stack::Stack;
use crate::abi::{
    _MODE, IRP_MJ_READ, IRP_MJ_WRITE, IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO,
    NTSTATUS, PDEVICE_OBJECT,
};
use crate::ntddk;
use crate::port::Direction;

/// A READ or WRITE in the making; see [`Stack::read`] and [`Stack::write`].
pub struct Transfer<'s> {
    /// Where READ and WRITE may have to leave as SRBs, or can go past a class driver.
    stack: Option<&'s Stack>,
    tally: Arc<Tally>,
    direction: Direction,
    offset: u64,
    buffer: Buffer,
    at: usize,
    length: Option<u32>,
    mdl: Mdl,
    flags: u8,
    key: u32,
    irp_flags: u32,
    priority: Option<i32>,
    user: bool,
    thread: usize,
    device: PDEVICE_OBJECT,
}

impl<'s> Transfer<'s> {
    pub(super) fn new(
        stack: &'s Stack,
        direction: Direction,
        offset: u64,
        buffer: &Buffer,
    ) -> Self {
        let to = (stack.top(), stack.tally());
        Self {
            stack: Some(stack),
            ..Transfer::to_device(to, direction, offset, buffer)
        }
    }

    /// One that goes to a device as it is.
    pub(super) fn to_device(
        (device, tally): (PDEVICE_OBJECT, &Arc<Tally>),
        direction: Direction,
        offset: u64,
        buffer: &Buffer,
    ) -> Self {
        Self {
            stack: None,
            tally: Arc::clone(tally),
            direction,
            offset,
            buffer: buffer.clone(),
            at: 0,
            length: None,
            mdl: Mdl::One,
            flags: 0,
            key: 0,
            irp_flags: IRP_NOCACHE,
            priority: None,
            user: false,
            thread: THREAD_LABEL,
            device,
        }
    }

    /// `Parameters.Read.Length`; the rest of the buffer if not said.
    #[must_use]
    pub fn length(mut self, length: u32) -> Self {
        self.length = Some(length);
        self
    }

    /// The data starts at this byte of the buffer.
    #[must_use]
    pub fn at(mut self, at: usize) -> Self {
        self.at = at;
        self
    }

    /// How the data is described.
    #[must_use]
    pub fn mdl(mut self, mdl: Mdl) -> Self {
        self.mdl = mdl;
        self
    }

    /// No MDL.
    #[must_use]
    pub fn no_mdl(self) -> Self {
        self.mdl(Mdl::None)
    }

    /// A chain of MDLs, cut at these offsets.
    #[must_use]
    pub fn mdl_chain(self, cuts: &[u32]) -> Self {
        self.mdl(Mdl::Chain(cuts.to_vec()))
    }

    /// An MDL of this many bytes.
    #[must_use]
    pub fn mdl_length(self, length: u32) -> Self {
        self.mdl(Mdl::Length(length))
    }

    /// Flags of the stack location (`SL_*`).
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags as u8;
        self
    }

    /// `Parameters.Read.Key`.
    #[must_use]
    pub fn key(mut self, key: u32) -> Self {
        self.key = key;
        self
    }

    /// `Irp->Flags`; `IRP_NOCACHE` if not said.
    #[must_use]
    pub fn irp_flags(mut self, flags: u32) -> Self {
        self.irp_flags = flags;
        self
    }

    /// Paging I/O.
    #[must_use]
    pub fn paging(self) -> Self {
        self.irp_flags(IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO)
    }

    /// `IoSetIoPriorityHint`.
    #[must_use]
    pub fn priority(mut self, hint: i32) -> Self {
        self.priority = Some(hint);
        self
    }

    /// `RequestorMode` is `UserMode`.
    #[must_use]
    pub fn user_mode(mut self) -> Self {
        self.user = true;
        self
    }

    /// `Tail.Overlay.Thread`: an address that nobody follows.
    #[must_use]
    pub fn thread(mut self, label: usize) -> Self {
        self.thread = label;
        self
    }

    /// Sends it to the device right beneath the disk class driver, past that driver.
    #[must_use]
    pub fn below_class(mut self) -> Self {
        if let Some(stack) = self.stack {
            self.device = stack.below_class();
        }
        self
    }

    /// Sends the request. Without a filter that takes READ and WRITE it leaves as SRBs; flags, key,
    /// priority and odd MDLs then play no part.
    pub fn send(self) -> Pending<'s> {
        let whole = self.buffer.len().saturating_sub(self.at) as u32;
        let length = self.length.unwrap_or(whole);
        if let Some((stack, sender)) = self.stack.and_then(|stack| Some((stack, stack.sender()?))) {
            let range = (self.at, length);
            let naive = Naive::start(
                stack,
                sender,
                self.direction,
                self.offset,
                &self.buffer,
                range,
            );
            return Pending(Kind::Naive(naive));
        }
        Pending(Kind::Irp(self.send_irp(length)))
    }

    fn send_irp(&self, length: u32) -> Envelope {
        let major = match self.direction {
            Direction::Read => IRP_MJ_READ,
            Direction::Write => IRP_MJ_WRITE,
        };
        let mut draft = Draft::new(self.device, major, &self.tally);
        draft.attach(&self.buffer, self.at, length as usize, &self.mdl);
        // SAFETY: the IRP is ours and not sent yet. READ and WRITE have their parameters in the
        // same places.
        unsafe {
            let location = draft.location();
            (*location).Flags = self.flags;
            let parameters = &raw mut (*location).Parameters.Read;
            (*parameters).Length = length;
            (*parameters).Key = self.key;
            (*parameters).ByteOffset.QuadPart = self.offset as i64;
            let irp = draft.irp();
            (&raw mut (*irp).Flags).write(self.irp_flags);
            let thread = core::ptr::without_provenance_mut(self.thread);
            (&raw mut (*irp).Tail.Overlay.Thread).write(thread);
            (&raw mut (*irp).UserBuffer).write(self.buffer.address_of(self.at));
            let mode = if self.user {
                _MODE::UserMode
            } else {
                _MODE::KernelMode
            };
            (&raw mut (*irp).RequestorMode).write(mode as i8);
            if let Some(hint) = self.priority {
                ntddk::IoSetIoPriorityHint(irp, hint);
            }
        }
        draft.send()
    }
}

/// A READ or WRITE that was sent.
pub struct Pending<'s>(Kind<'s>);

enum Kind<'s> {
    Irp(Envelope),
    Naive(Naive<'s>),
}

impl Pending<'_> {
    pub(super) fn irp(envelope: Envelope) -> Self {
        Self(Kind::Irp(envelope))
    }

    /// What `IofCallDriver` returned.
    pub fn returned(&self) -> NTSTATUS {
        match &self.0 {
            Kind::Irp(envelope) => envelope.returned(),
            Kind::Naive(naive) => naive.first().map_or(0, super::PendingScsi::returned),
        }
    }

    /// The address of its IRP (of a request that left in pieces: 0).
    pub fn irp_address(&self) -> usize {
        match &self.0 {
            Kind::Irp(envelope) => envelope.irp_address(),
            Kind::Naive(_) => 0,
        }
    }

    /// Whether it has come back (of a request that left in pieces: the one on its way).
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Kind::Irp(envelope) => envelope.is_done(),
            Kind::Naive(naive) => naive.first().is_none_or(super::PendingScsi::is_done),
        }
    }

    /// How it came back, if it has.
    pub fn done(&self) -> Option<Done> {
        match &self.0 {
            Kind::Irp(envelope) => envelope.done(),
            Kind::Naive(_) => None,
        }
    }

    /// `IoCancelIrp`; says whether there was a cancel routine to call.
    pub fn cancel(&self) -> bool {
        match &self.0 {
            Kind::Irp(envelope) => envelope.cancel(),
            Kind::Naive(naive) => naive.first().is_some_and(super::PendingScsi::cancel),
        }
    }

    /// Waits until it comes back. A request that never does is a bug check of the machine (the
    /// verdict "hang").
    ///
    /// # Panics
    /// Never.
    pub fn wait(self) -> Done {
        self.wait_scsi().0
    }

    /// Waits at most so long (100 ns of virtual time).
    pub fn wait_for(&self, time: u64) -> Option<Done> {
        match &self.0 {
            Kind::Irp(envelope) => envelope.wait(Some(time)),
            Kind::Naive(_) => None,
        }
    }

    /// Waits, and gives the SRB's side too where the harness itself sent SRBs.
    ///
    /// # Panics
    /// Never.
    pub fn wait_scsi(self) -> (Done, Option<ScsiDone>) {
        match self.0 {
            Kind::Irp(envelope) => (
                envelope
                    .wait(None)
                    .expect("a wait without limit ends with the request"),
                None,
            ),
            Kind::Naive(naive) => naive.wait(),
        }
    }
}
