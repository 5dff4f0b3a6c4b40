//! The loop: lock a portion, move it, unlock it, and again, until the buffer has moved.

use wdk_sys::{
    NTSTATUS, STATUS_CANCELLED, STATUS_DELETE_PENDING, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS, STATUS_WORKING_SET_QUOTA,
};
use xfersplit_core::plan::Request;
use xfersplit_wdm::{
    irp::{Irp, ReadWrite},
    succeeded,
};

use crate::{
    carry::Carrier,
    device::Device,
    lock::{Access, PortionMdl},
    portion::Portions,
    requestor::UserBuffer,
};

/// How a request ends.
pub(crate) struct Outcome {
    status: NTSTATUS,
    information: u64,
}

impl Outcome {
    /// An end with this status, after so many bytes.
    ///
    /// A failure claims none, however many portions moved before it: a READ's buffer and a WRITE's
    /// sectors are then undefined from the first to the last, as they are after any failed transfer.
    pub(crate) const fn of(status: NTSTATUS, bytes: u64) -> Self {
        let information = if succeeded(status) { bytes } else { 0 };
        Self {
            status,
            information,
        }
    }

    /// An end without any bytes.
    pub(crate) const fn failure(status: NTSTATUS) -> Self {
        Self::of(status, 0)
    }

    /// `IoStatus.Status` and `IoStatus.Information`.
    pub(crate) const fn into_parts(self) -> (NTSTATUS, u64) {
        (self.status, self.information)
    }
}

/// Moves what `parent` asks for, portion by portion. PASSIVE_LEVEL, in the requestor's thread; waits.
///
/// # What stops it
/// - a portion that fails, or moves less than it should: its status, and what moved until then;
/// - a portion that cannot be locked: what locking it raised. `STATUS_ACCESS_VIOLATION` for a range
///   that the requestor may not use so, at once: what lies before it in the buffer *has* moved;
/// - a cancelled request (`STATUS_CANCELLED`) and a device that goes (`STATUS_DELETE_PENDING`), both
///   looked at between portions: the portion on its way is always waited for.
pub(crate) fn stage(
    device: &Device,
    parent: &Irp,
    asked: ReadWrite,
    buffer: &UserBuffer,
) -> Outcome {
    let sector = device.sector();
    let Some(mut portions) = portions(device, asked, buffer, sector) else {
        return Outcome::failure(STATUS_INVALID_PARAMETER);
    };
    let access = Access::of(buffer.mode(), asked.write);
    let mut mdl = PortionMdl::none();
    let mut carrier = Carrier::new(device, parent);
    while let Some(portion) = portions.next() {
        if parent.cancelled() {
            return Outcome::failure(STATUS_CANCELLED);
        }
        if device.is_going() {
            return Outcome::failure(STATUS_DELETE_PENDING);
        }
        let locked = match mdl.lock(buffer.at(portion.offset), portion.length, access) {
            Ok(locked) => locked,
            Err(status) if is_shortage(status) && portions.shrink(&portion) => continue,
            Err(status) => return Outcome::failure(status),
        };
        let order = ReadWrite {
            length: portion.length,
            byte_offset: asked.byte_offset.wrapping_add_unsigned(portion.offset),
            ..asked
        };
        let moved = carrier.carry(&locked, order);
        drop(locked);
        portions.advance(moved.bytes);
        if !succeeded(moved.status) || moved.bytes < portion.length {
            return Outcome::of(moved.status, portions.done());
        }
    }
    Outcome::of(STATUS_SUCCESS, portions.done())
}

/// Too much at once, which says nothing of less at once.
const fn is_shortage(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_WORKING_SET_QUOTA | STATUS_INSUFFICIENT_RESOURCES
    )
}

/// `None` for a request that no disk can serve: not whole sectors, or before the first one.
fn portions(
    device: &Device,
    asked: ReadWrite,
    buffer: &UserBuffer,
    sector: u32,
) -> Option<Portions> {
    let start = u64::try_from(asked.byte_offset).ok()?;
    asked
        .byte_offset
        .checked_add_unsigned(u64::from(asked.length))?;
    if !start.is_multiple_of(u64::from(sector)) {
        return None;
    }
    let request = Request {
        va: buffer.at(0).addr() as u64,
        lba: start.checked_div(u64::from(sector))?,
        length: u64::from(asked.length),
        write: asked.write,
        command_blocks: u32::MAX,
    };
    Portions::new(request, sector, device.settings.portion_bytes).ok()
}
