//! Shapes of request: how each is read, and what its children look like.
//!
//! | Shape | Where the device is | Arrives as | Children |
//! |---|---|---|---|
//! | [`srb`] | beneath the class driver: the normal installation | `IRP_MJ_SCSI` with a READ or WRITE command | request blocks, cloned from the parent's |
//! | [`class`] | directly above a port driver | `IRP_MJ_READ`, `IRP_MJ_WRITE` | request blocks that `BuildRequest` makes |
//! | [`relay`] | above the class driver | `IRP_MJ_READ`, `IRP_MJ_WRITE` | the same, shorter |
//!
//! A shape turns its IRP into a [`Transfer`] and a plan; everything between that and the children
//! (window, completion, retries, the error rule) knows nothing of the shape.

pub(crate) mod class;
mod config;
mod relay;
mod srb;

use wdk_sys::{
    IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, NTSTATUS, PIRP, PVOID,
    STATUS_INVALID_DEVICE_REQUEST,
};
use xfersplit_core::{
    outcome::Finished,
    paired::PairedLimits,
    plan::{Plan, Refusal},
    verdict::{Carrier, Completion},
};

pub(crate) use config::{Config, Found, Shape, can_keep};

use crate::{
    srb as blocks,
    srb::{Format, Frame, RequestBlock},
    wdm::{
        irp::{Inherited, Irp, Order},
        mdl::Mdl,
    },
};

/// What a parent is read under, beside what start found out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// What a paired port driver has told by now.
    pub(crate) told: Option<PairedLimits>,
    /// The parent has waited for a piece: it is marked pending, so it can't go down as it came, even
    /// if limits have become so much looser that it would fit.
    pub(crate) waited: bool,
}

/// What a parent comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "handed on at once; the I/O path has no memory to box it in"
)]
pub(crate) enum Asked {
    /// More than may go in one piece: a transfer, and a plan that covers all of it.
    Transfer(Transfer, Plan),
    /// Nothing of ours: the lower driver gets it as it came.
    PassDown,
    /// Beyond the adapter's own limits, and no split would help: the lower driver gets it as it came,
    /// as from Windows' class driver.
    Overstretched,
    /// Nothing to send: the answer is known.
    Answer(NTSTATUS),
}

/// A read or write, whatever it came as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// From memory to disk.
    pub(crate) write: bool,
    /// First block.
    pub(crate) lba: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// Bytes of a block.
    pub(crate) sector: u32,
    /// The buffer.
    pub(crate) mdl: Mdl,
    /// Where the data begins, as `MmGetMdlVirtualAddress` counts.
    pub(crate) index: PVOID,
    /// What every child's IRP takes over.
    pub(crate) inherited: Inherited,
    /// Bytes that cuts keep to, for the buffer's alignment.
    pub(crate) granularity: u32,
    /// One piece at a time, and none after the first failure.
    pub(crate) serial: bool,
    /// No legal split exists; see [`config::Planned::Overstretched`].
    pub(crate) overstretched: bool,
    /// What it came as.
    pub(crate) form: Form,
}

/// What a transfer came as, with what only its own shape needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// A request block.
    Srb(blocks::Parent),
    /// A READ or WRITE that becomes request blocks.
    Class {
        /// In which format.
        format: Format,
        /// The data is the memory manager's: `IRP_PAGING_IO` or `IRP_SYNCHRONOUS_PAGING_IO`.
        paging: bool,
    },
    /// A READ or WRITE that becomes shorter ones, with the parent's `Key`.
    Relay {
        /// `Parameters.Read.Key`.
        key: u32,
    },
}

/// One attempt of one piece.
pub(crate) struct Attempt {
    /// Bytes from the parent's start.
    pub(crate) position: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// Where the data begins, as `MmGetMdlVirtualAddress` counts.
    pub(crate) index: PVOID,
    /// The child.
    pub(crate) irp: PIRP,
}

impl Transfer {
    /// The first block of an attempt.
    fn lba_of(&self, attempt: &Attempt) -> u64 {
        self.lba + attempt.position / u64::from(self.sector)
    }
}

/// Reads a parent. IRQL <= DISPATCH_LEVEL.
pub(crate) fn read(config: &Config, terms: Terms, parent: &Irp) -> Asked {
    match config.shape() {
        Shape::Srb => srb::read(config, terms, parent),
        Shape::Class(facts) => class::read(config, facts, terms, parent),
        Shape::Relay => relay::read(config, terms, parent),
    }
}

/// Whether a request could be any shape's. IRQL <= DISPATCH_LEVEL.
pub(crate) fn may_be_ours(parent: &Irp) -> bool {
    let location = parent.current();
    // SAFETY: the request block of an IRP that we own.
    let splittable = |srb| unsafe { blocks::Parent::read(srb) }.is_ok();
    location.request_block().is_some_and(splittable) || location.read_write().is_some()
}

/// What one attempt's child asks for, its request block (if it needs one) written into `block`;
/// `None` where no command can say it.
///
/// # Safety
/// No lower driver holds `block`, and the parent has not been completed.
pub(crate) unsafe fn order(
    config: &Config,
    transfer: &Transfer,
    client: PIRP,
    attempt: &Attempt,
    block: &RequestBlock,
) -> Option<Order> {
    match &transfer.form {
        Form::Srb(parent) => {
            let part = srb::part(transfer, attempt);
            // SAFETY: the caller's contract.
            let srb = unsafe { block.clone_request(parent, &part) }?;
            Some(Order::Scsi(srb))
        }
        Form::Class { format, paging } => {
            let kind = (*format, *paging);
            let request = class::request(config, transfer, kind, client, attempt)?;
            // SAFETY: the caller's contract.
            let srb = unsafe { block.build_request(&request) };
            Some(Order::Scsi(srb))
        }
        Form::Relay { key } => Some(Order::ReadWrite(relay::order(transfer, *key, attempt))),
    }
}

/// What a finished attempt of `asked` bytes has to say for itself.
///
/// # Safety
/// The request in `block`, if the shape has one, has been completed and not been sent again.
pub(crate) unsafe fn answer<'a>(
    transfer: &Transfer,
    child: &Irp,
    block: &'a RequestBlock,
    asked: u32,
) -> Completion<'a> {
    let frame = match &transfer.form {
        Form::Srb(parent) => parent.frame(),
        Form::Class { format, .. } => Frame::made(*format),
        Form::Relay { .. } => return read_write_answer(child, asked),
    };
    // SAFETY: the caller's contract; `order` wrote a block of this frame.
    unsafe { block.answer(frame, child.status(), asked) }
}

fn read_write_answer(child: &Irp, asked: u32) -> Completion<'static> {
    Completion {
        carrier: Carrier::Irp,
        irp_status: child.status(),
        srb_status: 0,
        scsi_status: 0,
        internal_status: 0,
        asked,
        moved: u32::try_from(child.information()).unwrap_or(u32::MAX),
        sense: &[],
    }
}

/// Puts a transfer's end where its sender looks for it: the IRP's status and information are
/// returned, and a request block is written.
pub(crate) fn tell(transfer: &Transfer, finished: &Finished<'_>) -> (NTSTATUS, u64) {
    match &transfer.form {
        Form::Srb(parent) => {
            parent.tell(finished);
            (finished.irp_status, finished.moved)
        }
        Form::Class { .. } | Form::Relay { .. } => (finished.status, finished.information),
    }
}

/// Completes a parent of which nothing was sent. A request block is told as well: class drivers go by
/// it, and one without a status would be retried as an unknown error.
pub(crate) fn turn_down(parent: Irp, status: NTSTATUS) {
    if let Some(srb) = parent.current().request_block() {
        // SAFETY: the request block of an IRP that we own.
        unsafe { blocks::turn_down(srb, status) };
    }
    parent.complete(status, 0);
}

/// Bits of `Irp->Flags` that say what a transfer is for. The last one has no name in wdm.h:
/// `IRP_HIGH_PRIORITY_PAGING_IO` of ntifs.h.
const PURPOSE: u32 = IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO | 0x8000;

/// What children take over from this parent.
fn inherited(parent: &Irp) -> Inherited {
    Inherited {
        stack_flags: parent.current().flags(),
        irp_flags: parent.flags() & PURPOSE,
        priority: parent.priority(),
        thread: core::ptr::null_mut(),
    }
}

/// The answer to a read or write whose plan was refused, as disk.sys would give it.
const fn refusal_status(refusal: Refusal) -> NTSTATUS {
    match refusal {
        Refusal::Unsplittable { .. } => STATUS_INVALID_DEVICE_REQUEST,
        Refusal::ZeroLength | Refusal::NotSectorMultiple | Refusal::LbaOverflow => {
            wdk_sys::STATUS_INVALID_PARAMETER
        }
    }
}
