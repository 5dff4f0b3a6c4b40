//! Requests as they arrive at a device that somebody watches.
//!
//! What a driver passes on can be looked at only where it arrives. The port has records of its own;
//! this is for every other device of a stack.

use super::current_location;
use crate::abi::{IRP_MJ_READ, IRP_MJ_WRITE, PDEVICE_OBJECT, PIRP, PMDL};
use crate::machine::context::{self, Context};
use crate::machine::{DriverId, Machine, Owner, lock};
use crate::ntddk;

const PAGE: usize = 4096;

/// A request as the dispatch routine of a device finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Address of the IRP.
    pub irp: usize,
    /// Major function of the stack location.
    pub major: u8,
    /// Minor function of the stack location.
    pub minor: u8,
    /// Flags of the stack location (`SL_*`).
    pub stack_flags: u8,
    /// The four words of `Parameters.Others`, as numbers.
    pub parameters: [u64; 4],
    /// `Parameters.Read.ByteOffset`, for READ and WRITE.
    pub offset: u64,
    /// `Parameters.Read.Length`, for READ and WRITE.
    pub length: u32,
    /// `Parameters.Read.Key`, for READ and WRITE.
    pub key: u32,
    /// Address of the file object.
    pub file_object: usize,
    /// `Irp->Flags`.
    pub irp_flags: u32,
    /// `IoGetIoPriorityHint` of the IRP.
    pub priority: u32,
    /// `Tail.Overlay.Thread`.
    pub thread: usize,
    /// `RequestorMode`.
    pub mode: i8,
    /// Address of the first MDL.
    pub mdl: usize,
    /// MDLs in the chain.
    pub mdls: u32,
    /// `ByteCount` of the first MDL.
    pub mdl_bytes: u32,
    /// `ByteOffset` of the first MDL.
    pub page_offset: u32,
    /// Pages that the first MDL spans.
    pub span_pages: u32,
    /// `CurrentLocation`.
    pub location: i8,
    /// `StackCount`.
    pub stack_count: i8,
    /// The driver that made the IRP; empty for the harness.
    pub maker: String,
    /// The driver that called `IoCallDriver`; empty for the harness.
    pub sender: String,
    /// The driver that set the completion routine in the stack location, where there is one. A
    /// driver that skips its location leaves there what the one above it has set.
    pub routine_of: Option<String>,
}

/// Begins to note what arrives at `device`.
pub fn watch(device: PDEVICE_OBJECT) {
    let context = context::current();
    let mut io = lock(&context.machine.io);
    io.watched.entry(device.addr()).or_default();
}

/// What has arrived at `device` since [`watch`].
#[must_use]
pub fn arrivals(device: PDEVICE_OBJECT) -> Vec<Arrival> {
    let context = context::current();
    let io = lock(&context.machine.io);
    io.watched.get(&device.addr()).cloned().unwrap_or_default()
}

/// Ends [`watch`] and gives what has arrived.
pub fn unwatch(device: PDEVICE_OBJECT) -> Vec<Arrival> {
    let context = context::current();
    let mut io = lock(&context.machine.io);
    io.watched.remove(&device.addr()).unwrap_or_default()
}

/// Whether the completion routine in the stack location that `irp` was last sent to was set by a
/// driver under test.
#[must_use]
pub fn filter_routine(irp: PIRP) -> bool {
    let context = context::current();
    routine_of(&context.machine, irp).is_some_and(|driver| {
        driver != DriverId::NONE && context.machine.driver_owner(driver) == Owner::Driver
    })
}

fn routine_of(machine: &Machine, irp: PIRP) -> Option<DriverId> {
    lock(&machine.io).irps.find(irp.addr())?.routine_of
}

/// Notes a request that is about to enter the dispatch routine of a watched device.
///
/// # Safety
/// `irp` is on its way to `device`, and nobody else has it.
pub(super) unsafe fn arrived(context: &Context, device: PDEVICE_OBJECT, irp: PIRP) {
    let machine = &context.machine;
    // SAFETY: the caller's contract.
    let mut arrival = unsafe { describe(irp) };
    let name = |driver| match driver {
        DriverId::NONE => String::new(),
        driver => machine.driver_name(driver).to_string(),
    };
    arrival.routine_of = routine_of(machine, irp).map(name);
    arrival.sender = name(context.frame.get().driver);
    let maker = lock(&machine.io)
        .irps
        .find(irp.addr())
        .map(|record| record.driver);
    arrival.maker = maker.map(name).unwrap_or_default();
    if let Some(list) = lock(&machine.io).watched.get_mut(&device.addr()) {
        list.push(arrival);
    }
}

/// # Safety
/// As for [`arrived`].
unsafe fn describe(irp: PIRP) -> Arrival {
    // SAFETY: the caller's contract: the IRP, its current location and its MDLs are at hand.
    unsafe {
        let location = current_location(irp);
        let others = &raw const (*location).Parameters.Others;
        let (mdls, mdl_bytes, page_offset) = first_mdl((*irp).MdlAddress);
        let mut arrival = Arrival {
            irp: irp.addr(),
            major: (*location).MajorFunction,
            minor: (*location).MinorFunction,
            stack_flags: (*location).Flags,
            parameters: [
                (*others).Argument1.addr() as u64,
                (*others).Argument2.addr() as u64,
                (*others).Argument3.addr() as u64,
                (*others).Argument4.addr() as u64,
            ],
            file_object: (*location).FileObject.addr(),
            irp_flags: (*irp).Flags,
            priority: ntddk::IoGetIoPriorityHint(irp) as u32,
            thread: (*irp).Tail.Overlay.Thread.addr(),
            mode: (*irp).RequestorMode,
            mdl: (*irp).MdlAddress.addr(),
            mdls,
            mdl_bytes,
            page_offset,
            span_pages: (page_offset as usize + mdl_bytes as usize).div_ceil(PAGE) as u32,
            location: (*irp).CurrentLocation,
            stack_count: (*irp).StackCount,
            ..Arrival::default()
        };
        if matches!(u32::from(arrival.major), IRP_MJ_READ | IRP_MJ_WRITE) {
            let read = &raw const (*location).Parameters.Read;
            arrival.length = (*read).Length;
            arrival.key = (*read).Key;
            arrival.offset = (*read).ByteOffset.QuadPart.cast_unsigned();
        }
        arrival
    }
}

/// Length of the chain, and bytes and byte offset of its first MDL.
///
/// # Safety
/// `mdl` is null or the first MDL of an IRP that the caller has.
unsafe fn first_mdl(mdl: PMDL) -> (u32, u32, u32) {
    // SAFETY: the caller's contract.
    unsafe {
        if mdl.is_null() {
            return (0, 0, 0);
        }
        let (mut count, mut next) = (1, (*mdl).Next);
        while !next.is_null() {
            count += 1;
            next = (*next).Next;
        }
        (count, (*mdl).ByteCount, (*mdl).ByteOffset)
    }
}
