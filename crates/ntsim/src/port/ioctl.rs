//! Device control: what the port says of its adapter and its unit.

use std::sync::Arc;

use super::hba::{AdapterReply, Completion};
use super::pass_through::{PASS_THROUGH, PASS_THROUGH_DIRECT};
use super::target::padded;
use super::{Port, Presence, State, host};
use crate::abi::{
    NTSTATUS, PIRP, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_DEVICE_DOES_NOT_EXIST,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_PENDING,
    STATUS_SUCCESS,
};

/// `IOCTL_STORAGE_QUERY_PROPERTY`.
pub(crate) const QUERY_PROPERTY: u32 = 0x002D_1400;
/// `IOCTL_SCSI_GET_CAPABILITIES`.
pub(crate) const GET_CAPABILITIES: u32 = 0x0004_1010;
/// `IOCTL_SCSI_GET_ADDRESS`.
pub(crate) const GET_ADDRESS: u32 = 0x0004_1018;

const DEVICE_PROPERTY: u32 = 0;
const ADAPTER_PROPERTY: u32 = 1;
const ACCESS_ALIGNMENT_PROPERTY: u32 = 6;
const STANDARD_QUERY: u32 = 0;
const EXISTS_QUERY: u32 = 1;

/// The buffer and the lengths of a `METHOD_BUFFERED` request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffered {
    pub(crate) buffer: *mut u8,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

/// An IRP that waits for its turn or its time.
pub(crate) struct Parked {
    pub(crate) irp: PIRP,
    pub(crate) sequence: u64,
}

// SAFETY: the port owns the IRP until it completes it, on whichever processor that happens.
unsafe impl Send for Parked {}

impl Parked {
    /// Completes the IRP.
    pub(crate) fn answer(self, port: &Port, status: NTSTATUS, information: u64) {
        // SAFETY: a parked IRP is the port's, and this is its only end.
        unsafe { port.answer(self.irp, self.sequence, status, information) };
    }
}

impl Port {
    /// `IRP_MJ_DEVICE_CONTROL`.
    ///
    /// # Safety
    /// Called as a dispatch routine with `irp`.
    pub(crate) unsafe fn dispatch_control(self: &Arc<Self>, irp: PIRP) -> NTSTATUS {
        let (sequence, gone) = {
            let mut state = self.state();
            (state.arrive(), state.presence == Presence::Gone)
        };
        // SAFETY: the dispatch routine owns the IRP and its current stack location.
        unsafe {
            if gone {
                return self.answer(irp, sequence, STATUS_DEVICE_DOES_NOT_EXIST, 0);
            }
            let (code, given) = parameters(irp);
            let parked = Parked { irp, sequence };
            match code {
                PASS_THROUGH | PASS_THROUGH_DIRECT => self.pass_through(parked),
                QUERY_PROPERTY => {
                    let (status, information) = self.query_property(given);
                    self.conclude(parked, status, information)
                }
                GET_CAPABILITIES => {
                    let (status, information) = reply(given, &self.capabilities());
                    self.conclude(parked, status, information)
                }
                GET_ADDRESS => {
                    let (status, information) = reply(given, &[8, 0, 0, 0, 0, 0, 0, 0]);
                    self.conclude(parked, status, information)
                }
                _ => self.answer(irp, sequence, STATUS_INVALID_DEVICE_REQUEST, 0),
            }
        }
    }

    /// Completes a device control request now or, where the adapter takes its time, later at
    /// `DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The caller's dispatch routine owns the IRP, which is gone afterwards.
    pub(crate) unsafe fn conclude(
        self: &Arc<Self>,
        parked: Parked,
        status: NTSTATUS,
        information: u64,
    ) -> NTSTATUS {
        let latency = self.state().control_latency();
        match latency {
            // SAFETY: the caller owns the IRP.
            None => unsafe { self.answer(parked.irp, parked.sequence, status, information) },
            // SAFETY: the caller owns the IRP.
            Some(delay) => unsafe { self.conclude_after(delay, parked, status, information) },
        }
    }

    /// # Safety
    /// As for [`Self::conclude`].
    pub(crate) unsafe fn conclude_after(
        self: &Arc<Self>,
        delay: u64,
        parked: Parked,
        status: NTSTATUS,
        information: u64,
    ) -> NTSTATUS {
        // SAFETY: the caller owns the IRP and has not completed it.
        unsafe { host::mark_pending(parked.irp) };
        self.after(delay, move |port| parked.answer(port, status, information));
        STATUS_PENDING
    }

    /// # Safety
    /// `given` is the buffer of an IRP that the caller owns.
    unsafe fn query_property(&self, given: Buffered) -> (NTSTATUS, u64) {
        if given.input < 8 {
            return (STATUS_INVALID_PARAMETER, 0);
        }
        // SAFETY: the buffer has `input` bytes.
        let (property, query) = unsafe {
            let words: [[u8; 4]; 2] = given.buffer.cast::<[[u8; 4]; 2]>().read();
            (u32::from_le_bytes(words[0]), u32::from_le_bytes(words[1]))
        };
        let descriptor = match property {
            ADAPTER_PROPERTY => Some(self.adapter_descriptor()),
            DEVICE_PROPERTY => Some(self.device_descriptor()),
            ACCESS_ALIGNMENT_PROPERTY if self.disk.reports_alignment => {
                Some(self.alignment_descriptor())
            }
            _ => None,
        };
        match (query, descriptor) {
            (EXISTS_QUERY, Some(_)) => (STATUS_SUCCESS, 0),
            (STANDARD_QUERY, Some(bytes)) => {
                // SAFETY: the caller vouches for the buffer.
                unsafe { self.descriptor_reply(given, property, &bytes) }
            }
            (EXISTS_QUERY | STANDARD_QUERY, None) => (STATUS_NOT_SUPPORTED, 0),
            _ => (STATUS_INVALID_PARAMETER, 0),
        }
    }

    /// As much of the descriptor as there is room for; the header at least.
    ///
    /// # Safety
    /// As for [`Self::query_property`].
    unsafe fn descriptor_reply(
        &self,
        given: Buffered,
        property: u32,
        bytes: &[u8],
    ) -> (NTSTATUS, u64) {
        if given.output < 8 {
            return (STATUS_BUFFER_TOO_SMALL, 0);
        }
        let mut bytes = bytes.to_vec();
        let mut overflow = STATUS_SUCCESS;
        if property == ADAPTER_PROPERTY {
            match self.hba.adapter_reply {
                AdapterReply::Honest => {}
                AdapterReply::Overflow => overflow = STATUS_BUFFER_OVERFLOW,
                AdapterReply::Refused(status) => return (status, 0),
                AdapterReply::Cut { length, claims } => {
                    bytes[4..8].copy_from_slice(&claims.to_le_bytes());
                    bytes.truncate(length);
                }
            }
        }
        let short = given.output < bytes.len();
        // SAFETY: the caller vouches for the buffer.
        let (status, information) =
            unsafe { reply(given, &bytes[..bytes.len().min(given.output)]) };
        (if short { overflow } else { status }, information)
    }

    /// `STORAGE_ADAPTER_DESCRIPTOR`, 32 bytes.
    fn adapter_descriptor(&self) -> Vec<u8> {
        let profile = &self.hba.profile;
        let said = profile.advertised;
        let mut bytes = Vec::with_capacity(32);
        for word in [32, 32, said.bytes, said.pages, said.alignment_mask] {
            bytes.extend(word.to_le_bytes());
        }
        let queueing = u8::from(profile.queue_depth > 1);
        // AdapterUsesPio, AdapterScansDown, CommandQueueing, AcceleratedTransfer
        bytes.extend([u8::from(self.hba.habits.maps_mdl), 0, queueing, 1]);
        bytes.extend([profile.bus, 0, 1, 0, 0, 0]);
        bytes.extend([u8::from(profile.extended_srb), 0]);
        bytes
    }

    /// `STORAGE_DEVICE_DESCRIPTOR` with its strings behind it.
    fn device_descriptor(&self) -> Vec<u8> {
        let vendor = b"NTSIM\0";
        let product = [&padded::<16>(&self.disk.product)[..], b"\0"].concat();
        let serial = [self.disk.serial.as_bytes(), b"\0"].concat();
        let start = 36;
        let product_at = start + vendor.len();
        let serial_at = product_at + product.len();
        let size = serial_at + serial.len();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend(40_u32.to_le_bytes());
        bytes.extend((size as u32).to_le_bytes());
        let queueing = u8::from(self.hba.profile.queue_depth > 1);
        bytes.extend([0, 0, u8::from(self.disk.removable), queueing]);
        for offset in [start, product_at, 0, serial_at] {
            bytes.extend((offset as u32).to_le_bytes());
        }
        bytes.extend(u32::from(self.hba.profile.bus).to_le_bytes());
        bytes.extend(((size - start) as u32).to_le_bytes());
        bytes.extend([&vendor[..], &product, &serial].concat());
        bytes
    }

    /// `STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR`, 28 bytes. Where the disk says which block is the first
    /// to begin a physical one, this says how far into a physical block block 0 lies.
    fn alignment_descriptor(&self) -> Vec<u8> {
        let geometry = self.disk.geometry;
        let per_physical = geometry.blocks_per_physical;
        let before = u32::from(geometry.lowest_aligned) % per_physical;
        let offset = (per_physical - before) % per_physical * geometry.sector;
        let physical = per_physical * geometry.sector;
        [28, 28, 0, 0, geometry.sector, physical, offset]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect()
    }

    /// `IO_SCSI_CAPABILITIES`, 24 bytes.
    fn capabilities(&self) -> Vec<u8> {
        let said = self.hba.profile.advertised;
        let mut bytes: Vec<u8> = [24, said.bytes, said.pages, 0, said.alignment_mask]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        bytes.extend([u8::from(self.hba.profile.queue_depth > 1), 0, 0, 0]);
        bytes
    }
}

impl State {
    /// How long a request takes that is no transfer; `None` is no time at all.
    pub(super) fn control_latency(&mut self) -> Option<u64> {
        match &self.completion {
            Completion::Inline | Completion::Held => None,
            Completion::Later(range) | Completion::Mixed(_, range) => {
                let spread = range.end.saturating_sub(range.start);
                Some(range.start + self.rng.below(spread))
            }
        }
    }
}

/// The control code and the buffer of a device control request.
///
/// # Safety
/// The caller's dispatch routine owns `irp`.
pub(crate) unsafe fn parameters(irp: PIRP) -> (u32, Buffered) {
    // SAFETY: the caller owns the IRP and its current stack location.
    unsafe {
        let location = host::current_location(irp);
        let control = &raw const (*location).Parameters.DeviceIoControl;
        let given = Buffered {
            buffer: (*irp).AssociatedIrp.SystemBuffer.cast(),
            input: (*control).InputBufferLength as usize,
            output: (*control).OutputBufferLength as usize,
        };
        ((*control).IoControlCode, given)
    }
}

/// Writes `bytes` where they fit.
///
/// # Safety
/// `given` is the buffer of an IRP that the caller owns.
unsafe fn reply(given: Buffered, bytes: &[u8]) -> (NTSTATUS, u64) {
    if given.output < bytes.len() || given.buffer.is_null() {
        return (STATUS_BUFFER_TOO_SMALL, 0);
    }
    // SAFETY: the buffer has room for `output` bytes (contract of METHOD_BUFFERED).
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), given.buffer, bytes.len()) };
    (STATUS_SUCCESS, bytes.len() as u64)
}
