//! Two ways to bring a locked portion to the driver below and to wait for it.

mod own;
mod synchronous;

use wdk_sys::{IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, NTSTATUS, PDEVICE_OBJECT};
use xfersplit_wdm::irp::{Inherited, Irp, ReadWrite};

use crate::{device::Device, lock::Locked, settings::Carriage};
use own::OwnIrp;

/// The parent's IRP flags that say what kind of transfer this is: a portion is of the same kind.
const KIND: u32 = IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;

/// How a portion ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// The lower driver's status.
    pub(crate) status: NTSTATUS,
    /// Bytes that it moved: no more than were asked for, whatever it said.
    pub(crate) bytes: u32,
}

impl Moved {
    fn new(status: NTSTATUS, information: u64, order: ReadWrite) -> Self {
        let bytes = information.min(u64::from(order.length)) as u32;
        Self { status, bytes }
    }
}

/// Carries the portions of one request.
pub(crate) struct Carrier {
    lower: PDEVICE_OBJECT,
    carriage: Carriage,
    inherited: Inherited,
    /// Made for the first portion that needs it, used for all.
    own: OwnIrp,
}

impl Carrier {
    /// For the portions of `parent`.
    pub(crate) fn new(device: &Device, parent: &Irp) -> Self {
        Self {
            lower: device.lower,
            carriage: device.settings.carriage,
            inherited: Inherited {
                stack_flags: parent.current().flags(),
                irp_flags: parent.flags() & KIND,
                priority: parent.priority(),
                thread: parent.thread(),
            },
            own: OwnIrp::none(),
        }
    }

    /// Moves a portion, and waits until it has moved or failed. PASSIVE_LEVEL.
    pub(crate) fn carry(&mut self, portion: &Locked<'_>, order: ReadWrite) -> Moved {
        let moved = match self.carriage {
            Carriage::Synchronous => {
                synchronous::carry(self.lower, portion, order, self.inherited.stack_flags)
            }
            Carriage::Own => None,
        };
        // The portion is locked and described: what cannot travel by address travels by MDL.
        moved.unwrap_or_else(|| self.own.carry(self.lower, portion, order, self.inherited))
    }
}
