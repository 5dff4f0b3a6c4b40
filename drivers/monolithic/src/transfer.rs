//! One request: a sequence of DMA operations, one after the other.
//!
//! The plan cuts the request into pieces that fit the map registers and the controller. A piece is
//! one operation, unless `MapTransfer` maps less than it was asked for; then its rest is the next. By
//! its document it does so for devices with scatter/gather only, which are given lists here; but it
//! says what it has mapped, and nothing more may be moved.

use wdk_sys::{
    NTSTATUS, PSCATTER_GATHER_LIST, PVOID, STATUS_CANCELLED, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_IO_DEVICE_ERROR,
    STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use xfersplit_core::plan::{NoFrames, Options, Plan, Refusal, Request};
use xfersplit_wdm::{irp::Irp, mdl::Mdl, succeeded};

use crate::{
    adapter::{self, MapRegisters, Range},
    controller::Controller,
    counters::Counter,
    hardware::Hardware,
    limits::{Facts, Mapping},
    registers::{Command, Segment, Status},
};

/// What there is to do after a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The next step.
    Again,
    /// Nothing, until something happens.
    Wait,
    /// The request is over, and holds nothing.
    Done(NTSTATUS),
}

/// A request that has begun.
pub(crate) struct Transfer {
    irp: Irp,
    mdl: Mdl,
    /// From memory to the disk.
    write: bool,
    /// First sector of the request.
    lba: u64,
    /// Bytes in a sector.
    sector: u32,
    /// Bytes of the request.
    length: u32,
    plan: Plan,
    /// Bytes that have moved: where the next operation begins.
    moved: u32,
    /// Bytes from there to the end of the piece.
    left: u32,
    /// Operations so far.
    operations: u32,
    mapping: Mapping,
    /// Map registers to ask for.
    wanted: u32,
    /// Map registers that the request has, from its first operation to its end.
    registers: Option<MapRegisters>,
    state: State,
}

// SAFETY: a request may be worked on by any processor.
unsafe impl Send for Transfer {}

#[derive(Clone, Copy)]
enum State {
    /// No operation is under way.
    Ready,
    /// `AllocateAdapterChannel` has been called.
    Allocating,
    /// `GetScatterGatherList` has been called for this range.
    Listing(Range),
    /// The controller is at work.
    Running(Operation),
}

/// An operation that the controller has been given.
#[derive(Clone, Copy)]
struct Operation {
    mapped: Mapped,
    /// Bytes that the controller moves: what is mapped, in whole sectors.
    length: u32,
}

/// What has to be unmapped when an operation is over.
#[derive(Clone, Copy)]
enum Mapped {
    /// `MapTransfer` has mapped this range with the request's registers.
    Range(MapRegisters, Range),
    /// `GetScatterGatherList` has made this list.
    List(PSCATTER_GATHER_LIST),
}

/// Beginning and end.
impl Transfer {
    /// Plans a request that [`crate::dispatch`] found to be one that a disk can serve.
    ///
    /// # Errors
    /// The request and its status, if it can't be cut so that each part is legal.
    pub(crate) fn begin(irp: Irp, facts: &Facts) -> Result<Self, (Irp, NTSTATUS)> {
        let (Some(asked), Some(mdl)) = (irp.current().read_write(), irp.mdl()) else {
            return Err((irp, STATUS_INVALID_DEVICE_REQUEST));
        };
        let sector = facts.limits.sector_size();
        let offset = asked.byte_offset.unsigned_abs();
        let va = mdl.virtual_address().addr() as u64;
        let request = Request {
            va,
            lba: offset.checked_div(u64::from(sector)).unwrap_or(0),
            length: u64::from(asked.length),
            write: asked.write,
            command_blocks: u32::MAX,
        };
        let plan = match Plan::new(&facts.limits, &request, &Options::default(), &NoFrames) {
            Ok(plan) => plan,
            Err(refusal) => return Err((irp, refusal_status(refusal))),
        };
        adapter::flush_io_buffers(mdl, asked.write);
        Ok(Self {
            irp,
            mdl,
            write: asked.write,
            lba: request.lba,
            sector,
            length: asked.length,
            plan,
            moved: 0,
            left: 0,
            operations: 0,
            mapping: facts.mapping,
            wanted: facts.registers_for(va, asked.length),
            registers: None,
            state: State::Ready,
        })
    }

    /// Gives back what the request holds, and the request. It is [done](Step::Done).
    pub(crate) fn end(self, hardware: &Hardware) -> Irp {
        if let Some(registers) = self.registers {
            // SAFETY: granted for this request, which keeps them to its end; each of its operations
            // is over and was flushed.
            unsafe { hardware.adapter.free_registers(registers) };
        }
        self.irp
    }

    /// Bytes of the request.
    pub(crate) const fn length(&self) -> u32 {
        self.length
    }

    /// Whether it took more than one operation.
    pub(crate) const fn is_split(&self) -> bool {
        self.operations > 1
    }
}

const fn refusal_status(refusal: Refusal) -> NTSTATUS {
    match refusal {
        // One map register, for instance, and a sector that lies across two pages.
        Refusal::Unsplittable { .. } => STATUS_INVALID_DEVICE_REQUEST,
        Refusal::ZeroLength | Refusal::NotSectorMultiple | Refusal::LbaOverflow => {
            STATUS_INVALID_PARAMETER
        }
    }
}

/// The sequence.
impl Transfer {
    /// Does what can be done now. DISPATCH_LEVEL.
    pub(crate) fn step(&mut self, controller: &Controller, hardware: &Hardware) -> Step {
        let signals = controller.signals();
        match self.state {
            State::Ready => self.next_operation(controller, hardware),
            State::Allocating => match signals.take_grant() {
                None => Step::Wait,
                Some(base) => self.channel_allocated(base),
            },
            State::Listing(range) => match signals.take_grant() {
                None => Step::Wait,
                Some(list) => self.list_granted(controller, hardware, range, list.cast()),
            },
            State::Running(operation) => match signals.take_end() {
                Some(status) => self.operation_ended(hardware, operation, status),
                None if signals.is_gone() => self.abort(controller, hardware, operation),
                None => Step::Wait,
            },
        }
    }

    /// Between two operations: is there another, and may it begin?
    fn next_operation(&mut self, controller: &Controller, hardware: &Hardware) -> Step {
        if self.moved == self.length {
            return Step::Done(STATUS_SUCCESS);
        }
        if let Some(status) = self.reason_to_stop(controller) {
            return Step::Done(status);
        }
        if self.left == 0 {
            let Some(piece) = self.plan.next_piece(&NoFrames) else {
                // A plan covers its request; if this one did not, the rest has not moved.
                return Step::Done(STATUS_IO_DEVICE_ERROR);
            };
            self.left = piece.length;
        }
        match (self.mapping, self.registers) {
            (Mapping::ScatterGather, _) => self.get_list(controller, hardware),
            (Mapping::Packet, None) => self.allocate_channel(controller, hardware),
            (Mapping::Packet, Some(registers)) => self.map(controller, hardware, registers),
        }
    }

    fn reason_to_stop(&self, controller: &Controller) -> Option<NTSTATUS> {
        if controller.signals().is_gone() {
            Some(STATUS_NO_SUCH_DEVICE)
        } else if self.irp.cancelled() {
            Some(STATUS_CANCELLED)
        } else {
            None
        }
    }

    /// The next part of the buffer: the rest of the piece.
    fn range(&self) -> Range {
        Range {
            mdl: self.mdl,
            index: self
                .mdl
                .virtual_address()
                .wrapping_byte_add(self.moved as usize),
            length: self.left,
            write: self.write,
        }
    }

    /// Programs the controller. From here on the operation ends with an interrupt.
    fn start(
        &mut self,
        controller: &Controller,
        hardware: &Hardware,
        operation: Operation,
        segments: impl Iterator<Item = Segment>,
    ) -> Step {
        let sector = u64::from(self.sector);
        let command = Command {
            write: self.write,
            lba: self
                .lba
                .saturating_add(u64::from(self.moved).checked_div(sector).unwrap_or(0)),
            sectors: operation.length.checked_div(self.sector).unwrap_or(0),
        };
        self.operations = self.operations.saturating_add(1);
        self.state = State::Running(operation);
        controller.counters().add(Counter::Operations);
        hardware.registers.start(command, segments);
        Step::Wait
    }

    /// The interrupt has come.
    fn operation_ended(
        &mut self,
        hardware: &Hardware,
        operation: Operation,
        status: Status,
    ) -> Step {
        let result = match (status.result(), hardware.registers.transferred()) {
            (STATUS_SUCCESS, None) => STATUS_NO_SUCH_DEVICE,
            (STATUS_SUCCESS, Some(moved)) if moved != operation.length => STATUS_IO_DEVICE_ERROR,
            (result, _) => result,
        };
        self.close(hardware, operation, result)
    }

    /// The device is gone, and the interrupt will not come.
    fn abort(
        &mut self,
        controller: &Controller,
        hardware: &Hardware,
        operation: Operation,
    ) -> Step {
        hardware.registers.reset();
        controller.counters().add(Counter::Resets);
        self.close(hardware, operation, STATUS_NO_SUCH_DEVICE)
    }

    /// The controller has ended with an operation: its memory is unmapped, and a read's data is in
    /// place. Whatever the result, this comes first.
    fn close(&mut self, hardware: &Hardware, operation: Operation, result: NTSTATUS) -> Step {
        self.state = State::Ready;
        let adapter = &hardware.adapter;
        let flushed = match operation.mapped {
            // SAFETY: what `map` has mapped, and the controller has ended with it.
            Mapped::Range(registers, range) => unsafe { adapter.flush(registers, &range) },
            Mapped::List(list) => {
                // SAFETY: what `list_granted` was given, and the controller has ended with it.
                unsafe { adapter.put_list(list, self.write) };
                true
            }
        };
        if !succeeded(result) {
            return Step::Done(result);
        }
        if !flushed {
            return Step::Done(STATUS_IO_DEVICE_ERROR);
        }
        self.moved = self.moved.saturating_add(operation.length);
        self.left = self.left.saturating_sub(operation.length);
        Step::Again
    }
}

/// Packet-based DMA: map registers for the whole request, a mapping for each operation.
impl Transfer {
    fn allocate_channel(&mut self, controller: &Controller, hardware: &Hardware) -> Step {
        self.state = State::Allocating;
        let status = controller.expect_grant(|granted| {
            // SAFETY: one request at a time asks, and asks once; `expect_grant` keeps the controller
            // until it is called.
            unsafe {
                hardware.adapter.allocate_channel(
                    self.wanted,
                    Some(granted.adapter_control),
                    granted.context,
                )
            }
        });
        if succeeded(status) {
            Step::Again
        } else {
            Step::Done(status)
        }
    }

    /// AdapterControl has been called.
    fn channel_allocated(&mut self, base: PVOID) -> Step {
        self.registers = Some(MapRegisters {
            base,
            count: self.wanted,
        });
        self.state = State::Ready;
        Step::Again
    }

    /// Maps as much of the piece as goes in one run, and starts the operation.
    fn map(
        &mut self,
        controller: &Controller,
        hardware: &Hardware,
        registers: MapRegisters,
    ) -> Step {
        let asked = self.range();
        // SAFETY: the registers are this request's and hold nothing: the operation before was
        // flushed. The range lies in the MDL (`dispatch` has compared their lengths), whose pages
        // stay locked until the request completes.
        let segment = unsafe { hardware.adapter.map_transfer(registers, &asked) };
        let mapped = Range {
            length: segment.length,
            ..asked
        };
        if segment.length < asked.length {
            controller.counters().add(Counter::Shorter);
        }
        // A run may end in the middle of a sector; the controller moves whole ones, and the next
        // operation begins where this one ends.
        let rest = segment.length.checked_rem(self.sector).unwrap_or(0);
        let length = segment.length.saturating_sub(rest);
        let operation = Operation {
            mapped: Mapped::Range(registers, mapped),
            length,
        };
        if segment.length == 0 {
            return Step::Done(STATUS_INSUFFICIENT_RESOURCES);
        }
        if length == 0 {
            // Not even one sector in one run, and a controller without scatter/gather.
            return self.close(hardware, operation, STATUS_INSUFFICIENT_RESOURCES);
        }
        let segment = Segment { length, ..segment };
        self.start(controller, hardware, operation, core::iter::once(segment))
    }
}

/// Scatter/gather DMA: a list for each operation.
impl Transfer {
    fn get_list(&mut self, controller: &Controller, hardware: &Hardware) -> Step {
        let range = self.range();
        self.state = State::Listing(range);
        let status = controller.expect_grant(|granted| {
            // SAFETY: one request at a time asks, for one operation at a time; `expect_grant` keeps
            // the controller until it is called. The range lies in the MDL (`dispatch`), whose pages
            // stay locked until the request completes.
            unsafe {
                hardware.adapter.get_list(
                    &range,
                    Some(granted.adapter_list_control),
                    granted.context,
                )
            }
        });
        if succeeded(status) {
            Step::Again
        } else {
            Step::Done(status)
        }
    }

    /// AdapterListControl has been called.
    fn list_granted(
        &mut self,
        controller: &Controller,
        hardware: &Hardware,
        range: Range,
        list: PSCATTER_GATHER_LIST,
    ) -> Step {
        let operation = Operation {
            mapped: Mapped::List(list),
            length: range.length,
        };
        // The list may have come late.
        if let Some(status) = self.reason_to_stop(controller) {
            return self.close(hardware, operation, status);
        }
        // SAFETY: the HAL's list, which is put back when the operation is over.
        let segments = unsafe { adapter::segments(list) };
        self.start(controller, hardware, operation, segments)
    }
}
