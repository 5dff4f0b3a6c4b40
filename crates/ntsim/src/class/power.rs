//! `IRP_MJ_POWER` [classpnp, power.c].
//!
//! A change of the device's state goes between requests of the class driver's own, one after the
//! other, each sent from the completion of the one before: down, the queue is locked and quiesced,
//! the cache written, the unit stopped, the power IRP passed on, the queue unlocked. Up, the queue
//! is locked, the power IRP passed on, the unit started, the queue unlocked. Whoever waits below for
//! I/O of its own while the power IRP is there waits for the unlocking, which waits for it.

use std::cell::Cell;
use std::ptr;

use super::fdo::Fdo;
use super::sense::{self, Ended};
use super::srb::{Block, SENSE_ROOM, Storage};
use super::{TAG, irp, pnp};
use crate::abi::{
    _DEVICE_POWER_STATE, _POWER_STATE_TYPE, DEVICE_POWER_STATE, IRP_MJ_SCSI, IRP_MN_SET_POWER,
    KDPC, KTIMER, LARGE_INTEGER, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIRP, PRKDPC, PVOID,
    SRB_FLAGS_BYPASS_LOCKED_QUEUE, SRB_FLAGS_D3_PROCESSING, SRB_FLAGS_DISABLE_AUTOSENSE,
    SRB_FLAGS_DISABLE_SYNCH_TRANSFER, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FUNCTION_LOCK_QUEUE,
    SRB_FUNCTION_QUIESCE_DEVICE, SRB_FUNCTION_UNLOCK_QUEUE, SRB_STATUS_SUCCESS,
    STATUS_DEVICE_DOES_NOT_EXIST, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use crate::machine::Owner;
use crate::port::op;
use crate::{io, memory, ntddk};

/// Attempts at a command beyond the first (`MAXIMUM_RETRIES`).
const RETRIES: u32 = 4;
/// Seconds for START UNIT (`START_UNIT_TIMEOUT`).
const START_UNIT_SECONDS: u32 = 60;
/// Units of 100 ns in a second.
const SECOND: i64 = 10_000_000;

/// How far a change of state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Idle,
    Lock,
    Quiesce,
    Flush,
    Stop,
    /// The power IRP is below.
    Irp,
    Start,
    Unlock,
}

/// The request for power changes, and the change that is going on. Power IRPs come one at a time,
/// and each step is over before the next begins.
pub(super) struct Power {
    request: Cell<*mut Request>,
    change: Cell<Change>,
    state: Cell<DEVICE_POWER_STATE>,
}

impl Default for Power {
    fn default() -> Self {
        Self {
            request: Cell::new(ptr::null_mut()),
            change: Cell::default(),
            state: Cell::new(_DEVICE_POWER_STATE::PowerDeviceD0),
        }
    }
}

#[derive(Clone, Copy)]
struct Change {
    irp: PIRP,
    to: DEVICE_POWER_STATE,
    step: Step,
    locked: bool,
    retries: u32,
    result: NTSTATUS,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            irp: ptr::null_mut(),
            to: _DEVICE_POWER_STATE::PowerDeviceUnspecified,
            step: Step::Idle,
            locked: false,
            retries: 0,
            result: STATUS_SUCCESS,
        }
    }
}

/// IRP, SRB, and a timer for another attempt. Zero bytes are a value of every field.
#[repr(C)]
struct Request {
    fdo: *const Fdo,
    irp: PIRP,
    timer: KTIMER,
    dpc: KDPC,
    srb: Storage,
    sense: [u8; SENSE_ROOM as usize],
}

impl Power {
    /// Makes the request. `PASSIVE_LEVEL`, at the first start.
    pub(super) fn prepare(&self, stack_size: i8) {
        if self.request.get().is_null() {
            let memory = memory::pool_allocate(Owner::Harness, size_of::<Request>(), TAG);
            let request: *mut Request = memory.cast();
            // SAFETY: fresh zeroed memory of this size.
            unsafe {
                (&raw mut (*request).irp).write(io::allocate_irp(Owner::Harness, stack_size));
            }
            self.request.set(request);
        }
    }

    /// Frees the request, which is back. `PASSIVE_LEVEL`.
    pub(super) fn destroy(&self) {
        let request = self.request.replace(ptr::null_mut());
        if !request.is_null() {
            // SAFETY: nobody uses the device any longer.
            unsafe {
                io::free_irp((*request).irp);
                memory::pool_free(request.cast());
            }
        }
    }
}

/// `IRP_MJ_POWER`.
pub(super) unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a device of this driver and an IRP for it.
    unsafe {
        let fdo = pnp::fdo_of(device);
        if fdo.learned.get().is_none() {
            return irp::forward(fdo.lower, irp);
        }
        if fdo.is_leaving() {
            return irp::complete(irp, STATUS_DEVICE_DOES_NOT_EXIST, 0);
        }
        let location = io::current_location(irp);
        let minor = u32::from((*location).MinorFunction);
        let parameters = &raw const (*location).Parameters.Power;
        let of_device =
            minor == IRP_MN_SET_POWER && (*parameters).Type == _POWER_STATE_TYPE::DevicePowerState;
        if !of_device {
            return irp::forward(fdo.lower, irp);
        }
        let to = (*parameters).State.DeviceState;
        let now = fdo.power.state.get();
        let working = _DEVICE_POWER_STATE::PowerDeviceD0;
        if to == now || (to != working && now != working) {
            fdo.power.state.set(to);
            return irp::forward(fdo.lower, irp);
        }
        fdo.rundown.acquire();
        irp::mark_pending(irp);
        fdo.power.change.set(Change {
            irp,
            to,
            retries: RETRIES,
            ..Change::default()
        });
        fdo.power_step(Step::Lock);
    }
    STATUS_PENDING
}

impl Fdo {
    fn change(&self, edit: impl FnOnce(&mut Change)) -> Change {
        let mut change = self.power.change.get();
        edit(&mut change);
        self.power.change.set(change);
        change
    }

    /// Begins a step.
    fn power_step(&self, step: Step) {
        let change = self.change(|change| {
            change.step = step;
            change.retries = RETRIES;
        });
        match step {
            Step::Idle => {}
            Step::Irp => self.pass_power(change),
            _ => self.send_step(change),
        }
    }

    /// The step that follows one that is over.
    fn after(&self, change: Change) {
        let up = change.to == _DEVICE_POWER_STATE::PowerDeviceD0;
        let next = match change.step {
            Step::Lock if up => Step::Irp,
            Step::Lock => Step::Quiesce,
            Step::Quiesce => Step::Flush,
            Step::Flush => Step::Stop,
            Step::Stop => Step::Irp,
            Step::Irp if up && change.locked && NT_SUCCESS(change.result) => Step::Start,
            Step::Irp | Step::Start if change.locked => Step::Unlock,
            Step::Irp | Step::Start | Step::Unlock | Step::Idle => return self.power_done(change),
        };
        self.power_step(next);
    }

    /// Makes a step's SRB and sends it.
    fn send_step(&self, change: Change) {
        let down = SRB_FLAGS_DISABLE_AUTOSENSE
            | SRB_FLAGS_DISABLE_SYNCH_TRANSFER
            | SRB_FLAGS_NO_QUEUE_FREEZE
            | SRB_FLAGS_BYPASS_LOCKED_QUEUE
            | SRB_FLAGS_D3_PROCESSING;
        let up = down & !SRB_FLAGS_D3_PROCESSING;
        let lock = SRB_FLAGS_BYPASS_LOCKED_QUEUE | SRB_FLAGS_NO_QUEUE_FREEZE;
        let seconds = self.options.timeout;
        let request = self.power.request.get();
        // SAFETY: the request is there from the first start until the device goes; it is out in one
        // step at a time.
        let block = unsafe { Block::new(&raw mut (*request).srb, self.is_extended()) };
        match change.step {
            Step::Lock => function(block, SRB_FUNCTION_LOCK_QUEUE, lock, 0),
            Step::Quiesce => function(block, SRB_FUNCTION_QUIESCE_DEVICE, down, seconds),
            Step::Flush => {
                let cdb = [op::SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                command(block, &cdb, down, seconds);
            }
            Step::Stop => {
                // IMMED, and START clear.
                command(block, &[op::START_STOP_UNIT, 1, 0, 0, 0, 0], down, seconds);
            }
            Step::Start => {
                let cdb = [op::START_STOP_UNIT, 0, 0, 0, 1, 0];
                command(block, &cdb, up, START_UNIT_SECONDS);
            }
            Step::Unlock => {
                let flags = SRB_FLAGS_BYPASS_LOCKED_QUEUE;
                function(block, SRB_FUNCTION_UNLOCK_QUEUE, flags, 0);
            }
            Step::Idle | Step::Irp => {}
        }
        // SAFETY: as above.
        unsafe { self.send_request(request, block) };
    }

    /// # Safety
    /// The request is not out; `block` is its SRB.
    unsafe fn send_request(&self, request: *mut Request, block: Block) {
        // SAFETY: the caller's contract.
        unsafe {
            (&raw mut (*request).fdo).write(ptr::from_ref(self));
            let irp = (*request).irp;
            block.clear_status();
            block.set_sense((&raw mut (*request).sense).cast(), SENSE_ROOM);
            block.set_original_request(irp);
            ntddk::IoReuseIrp(irp, STATUS_SUCCESS);
            let location = io::next_location(irp);
            (&raw mut (*location).MajorFunction).write(IRP_MJ_SCSI as u8);
            (&raw mut (*location).Parameters.Scsi.Srb).write(block.pointer());
            irp::on_completion(irp, Some(step_over), request.cast());
            ntddk::IofCallDriver(self.lower, irp);
        }
    }

    /// Passes the power IRP on.
    fn pass_power(&self, change: Change) {
        // SAFETY: the IRP is the driver's, which marked it pending, until it completes it.
        unsafe {
            irp::copy_to_next(change.irp);
            let context = ptr::from_ref(self).cast_mut().cast();
            irp::on_completion(change.irp, Some(power_back), context);
            ntddk::IofCallDriver(self.lower, change.irp);
        }
    }

    /// Completes the power IRP.
    fn power_done(&self, change: Change) {
        if NT_SUCCESS(change.result) {
            self.power.state.set(change.to);
        }
        self.power.change.set(Change::default());
        self.rundown.release();
        // SAFETY: the IRP is the driver's, and back from below.
        unsafe {
            irp::set_status(change.irp, change.result);
            ntddk::IofCompleteRequest(change.irp, 0);
        }
    }
}

fn function(block: Block, function: u32, flags: u32, seconds: u32) {
    block.make_function(function);
    block.set_flags(flags);
    block.set_timeout(seconds);
}

fn command(block: Block, cdb: &[u8], flags: u32, seconds: u32) {
    block.make_command();
    block.set_cdb(cdb);
    block.set_flags(flags);
    block.set_timeout(seconds);
}

/// A request of a step is back. IRQL <= `DISPATCH_LEVEL`.
unsafe extern "C" fn step_over(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let request: *mut Request = context.cast();
    // SAFETY: the context is the request, which is the driver's again; the change that it is a part
    // of keeps the device.
    unsafe {
        let fdo = &*(*request).fdo;
        let block = Block::new(&raw mut (*request).srb, fdo.is_extended());
        let status = irp::status(irp);
        let change = fdo.power.change.get();
        match change.step {
            Step::Lock => {
                let change = fdo.change(|change| change.locked = NT_SUCCESS(status));
                if change.locked {
                    fdo.after(change);
                } else {
                    // Without the lock the power IRP is all there is.
                    fdo.power_step(Step::Irp);
                }
            }
            Step::Flush | Step::Stop | Step::Start => {
                if !try_again(fdo, request, block, status) {
                    fdo.after(change);
                }
            }
            _ => fdo.after(change),
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends a command again that failed, if that is worth it. What still fails then is ignored.
///
/// # Safety
/// The request is back and the caller's; `block` is its SRB.
unsafe fn try_again(fdo: &Fdo, request: *mut Request, block: Block, status: NTSTATUS) -> bool {
    let srb_status = block.status() & 0x3F;
    if u32::from(srb_status) == SRB_STATUS_SUCCESS {
        return false;
    }
    let left = fdo.power.change.get().retries;
    let ended = Ended {
        srb_status,
        scsi_status: block.scsi_status(),
        system_status: block.system_status(),
        sense: None,
        irp_status: if NT_SUCCESS(status) {
            STATUS_UNSUCCESSFUL
        } else {
            status
        },
        writes: false,
        within_disk: false,
        retries_done: RETRIES - left,
    };
    let verdict = sense::interpret(&ended, fdo.about());
    if !verdict.retry || left == 0 {
        return false;
    }
    fdo.change(|change| change.retries -= 1);
    // SAFETY: the caller has the request; its timer is not set and its DPC not queued.
    unsafe {
        let dpc = &raw mut (*request).dpc;
        ntddk::KeInitializeDpc(dpc, Some(send_again), request.cast());
        if verdict.seconds == 0 {
            ntddk::KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut());
        } else {
            let timer = &raw mut (*request).timer;
            ntddk::KeInitializeTimer(timer);
            let due = LARGE_INTEGER {
                QuadPart: -i64::from(verdict.seconds) * SECOND,
            };
            ntddk::KeSetTimer(timer, due, dpc);
        }
    }
    true
}

unsafe extern "C" fn send_again(_: PRKDPC, context: PVOID, _: PVOID, _: PVOID) {
    let request: *mut Request = context.cast();
    // SAFETY: the context is the request that queued the DPC; the change keeps the device.
    unsafe {
        let fdo = &*(*request).fdo;
        let block = Block::new(&raw mut (*request).srb, fdo.is_extended());
        fdo.send_request(request, block);
    }
}

/// The power IRP is back from below. IRQL <= `DISPATCH_LEVEL`.
unsafe extern "C" fn power_back(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: the context is the device, which the change keeps; the IRP is the driver's again.
    unsafe {
        let fdo = &*context.cast::<Fdo>().cast_const();
        let result = irp::status(irp);
        let change = fdo.change(|change| change.result = result);
        fdo.after(change);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
