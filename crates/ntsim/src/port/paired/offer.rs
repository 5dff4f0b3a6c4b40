//! What a port has to tell, and how well it tells it.

use crate::abi::NTSTATUS;
use crate::registry::{Kind, Value};

/// What a port driver knows of its DMA adapter and no descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortLimits {
    /// `NumberOfMapRegisters`: the pages that one transfer may touch.
    pub registers: u32,
    /// `NumberOfSegments`: the entries of the scatter/gather list.
    pub segments: u32,
    /// `MaximumTransferLength`, in bytes.
    pub bytes: u32,
}

impl PortLimits {
    /// No limit at all; `0xFFFF_FFFF` in any field says so of that field.
    pub const NONE: Self = Self {
        registers: u32::MAX,
        segments: u32::MAX,
        bytes: u32::MAX,
    };

    /// As many map registers, and nothing else.
    #[must_use]
    pub const fn registers(registers: u32) -> Self {
        Self {
            registers,
            ..Self::NONE
        }
    }

    /// The stricter of both in each field.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            registers: self.registers.min(other.registers),
            segments: self.segments.min(other.segments),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

/// By what a port recognises a request for its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doors {
    /// By either.
    #[default]
    Both,
    /// By `Parameters.DeviceIoControl.IoControlCode` alone, as a port driver that looks at the
    /// stack location first.
    ControlCode,
    /// By the signature in the `SRB_IO_CONTROL` alone, as a miniport, which never sees the IRP.
    RequestBlock,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    /// What the interface asks for.
    #[default]
    Honest,
    /// The same with another `HeaderLength`.
    HeaderLength(u32),
    /// The same with another `Signature`.
    Signature([u8; 8]),
    /// The same with another `ControlCode`.
    ControlCode(u32),
    /// The same with another `ReturnCode`.
    ReturnCode(u32),
    /// The same with another `Length`.
    Length(u32),
    /// The same with another `Version`.
    Version(u32),
    /// The same with another `Size`.
    Size(u32),
    /// The same with another `Generation`.
    Generation(u32),
    /// The same with other values.
    Values(PortLimits),
    /// The right bytes, with another `Information`.
    Information(u64),
    /// The right bytes, with these statuses.
    Statuses {
        /// `IoStatus.Status`.
        status: NTSTATUS,
        /// `SrbStatus`.
        srb_status: u32,
    },
    /// Nothing, and these statuses, however little they have to do with each other.
    Failed {
        /// `IoStatus.Status`.
        status: NTSTATUS,
        /// `SrbStatus`.
        srb_status: u32,
    },
}

/// When an answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// At once, or when the limits have changed.
    #[default]
    Prompt,
    /// So much later (100 ns units) than it would be prompt; cancellable until then.
    Late(u64),
    /// Not before the request is cancelled or the device goes.
    Never,
    /// Not before the device goes: the port has no cancel routine for it.
    Stubborn,
    /// Not before the request is cancelled, and then so much later (100 ns units), with the answer
    /// and not with `STATUS_CANCELLED`.
    AfterCancel(u64),
    /// At once with a new generation, also to those who wait for a change.
    Storm,
}

/// The private interface as a port offers it; see [`Hba::paired`](super::super::Hba::paired).
#[derive(Clone, Copy, Debug)]
pub struct Paired {
    pub(crate) limits: PortLimits,
    pub(crate) enforced: bool,
    pub(crate) doors: Doors,
    pub(crate) reply: Reply,
    pub(crate) timing: Timing,
}

impl Paired {
    /// Tells these limits to whoever asks and holds every request to them: one that goes beyond is
    /// a violation, as one beyond the profile's limits is.
    pub const fn new(limits: PortLimits) -> Self {
        Self {
            limits,
            enforced: true,
            doors: Doors::Both,
            reply: Reply::Honest,
            timing: Timing::Prompt,
        }
    }

    /// Takes more than it tells: for answers that nobody can make sense of.
    #[must_use]
    pub const fn lenient(mut self) -> Self {
        self.enforced = false;
        self
    }

    /// By what requests are recognised.
    #[must_use]
    pub const fn doors(mut self, doors: Doors) -> Self {
        self.doors = doors;
        self
    }

    /// What answers say.
    #[must_use]
    pub const fn reply(mut self, reply: Reply) -> Self {
        self.reply = reply;
        self
    }

    /// When answers come.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

/// The values that a port driver leaves in the registry for the driver paired with it, in the
/// subkey `Xfersplit\Port` of the device's hardware key, before that driver is loaded; see
/// [`Hba::port_registry`](super::super::Hba::port_registry).
#[derive(Clone, Debug)]
pub struct PortRegistry {
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) limits: PortLimits,
}

impl PortRegistry {
    /// `Version` 1 and a `REG_DWORD` for each limit that there is. Every request is held to them.
    pub fn new(limits: PortLimits) -> Self {
        let all = [
            ("NumberOfMapRegisters", limits.registers),
            ("NumberOfSegments", limits.segments),
            ("MaximumTransferLength", limits.bytes),
        ];
        let there = all.into_iter().filter(|&(_, limit)| limit != u32::MAX);
        let values = core::iter::once(("Version", super::VERSION))
            .chain(there)
            .map(|(name, value)| (name.to_owned(), Value::dword(value)))
            .collect();
        Self { values, limits }
    }

    /// Writes this `REG_DWORD` instead, or besides.
    #[must_use]
    pub fn value(self, name: &str, value: u32) -> Self {
        self.raw(name, Kind::Dword, &value.to_le_bytes())
    }

    /// Writes this value instead, or besides, whatever its type and bytes.
    #[must_use]
    pub fn raw(self, name: &str, kind: Kind, bytes: &[u8]) -> Self {
        let mut registry = self.without(name);
        registry
            .values
            .push((name.to_owned(), Value::raw(kind, bytes)));
        registry
    }

    /// Leaves this value out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.values.retain(|(other, _)| other != name);
        self
    }

    /// Takes more than it tells: for values that nobody can make sense of.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.limits = PortLimits::NONE;
        self
    }
}
