//! The channel of an adapter: who asks for it, who waits, who is served, and how it is freed.
//!
//! A request first gets the channel of its adapter, in order of arrival, then map registers, in the
//! order in which all adapters' requests got that far: a request for many holds up those behind it,
//! as in IoAllocateAdapterChannel's and HalAllocateAdapterChannel's queues.

use std::sync::Arc;

use super::state::{Adapter, Channel, Grant, Grants, Request, State, Wanted};
use super::violation::{
    CHANNEL_FREED, REGISTERS_FREED, STILL_MAPPED, TOO_MANY_CHANNELS, TOO_MANY_REGISTERS, broken,
};
use super::{Hal, list};
use crate::abi::{
    _IO_ALLOCATION_ACTION, IO_ALLOCATION_ACTION, PDEVICE_OBJECT, PDMA_ADAPTER, PDRIVER_CONTROL,
    PVOID,
};
use crate::machine::context::{self, Context, ThreadId};
use crate::machine::{DriverId, Machine, Shared, Violation};
use crate::{call, ke};

/// `AllocateAdapterChannel`.
///
/// # Safety
/// The device is alive until the routine has been called.
pub(super) unsafe fn allocate(
    context: &Context,
    address: PDMA_ADAPTER,
    device: PDEVICE_OBJECT,
    count: u32,
    routine: PDRIVER_CONTROL,
    argument: PVOID,
) {
    let hal = context.machine.extension::<Hal>();
    let request = Request {
        adapter: address.addr(),
        device: Shared(device),
        // SAFETY: the caller's contract. IoAllocateAdapterChannel notes the IRP as it is now.
        irp: Shared(unsafe { (*device).CurrentIrp }),
        count,
        what: Wanted::Channel {
            routine,
            context: Shared(argument),
        },
        waited: false,
    };
    let checked = {
        let mut state = hal.state();
        check(&mut state, context, address, &request)
    };
    checked.unwrap_or_else(|violation| violation.raise());
    ask(&context.machine, &hal, request);
}

/// A device object has one wait block, so one request of it can be queued at a time, and none before
/// its AdapterControl routine has been called. That routine must not ask for a channel itself
/// [Microsoft: `AllocateAdapterChannel`].
fn check(
    state: &mut State,
    context: &Context,
    address: PDMA_ADAPTER,
    request: &Request,
) -> Result<(), Violation> {
    let adapter = state.adapter("AllocateAdapterChannel", address)?;
    if request.count > adapter.registers {
        let story = format!(
            "AllocateAdapterChannel for {} map registers; IoGetDmaAdapter said that there are {}.",
            request.count, adapter.registers
        );
        let rest = [request.count.into(), adapter.registers.into(), 0];
        return Err(broken(TOO_MANY_REGISTERS, rest, story));
    }
    if adapter.channel == Channel::Running(context.thread) {
        let story = "AllocateAdapterChannel from within an AdapterControl routine.";
        return Err(broken(TOO_MANY_CHANNELS, [1, 0, 0], story));
    }
    let device = request.wait_block();
    let waits = state.adapters.values().any(|adapter| {
        let mut queued = adapter.waiting.iter().map(Request::wait_block);
        adapter.channel == Channel::Due(device) || queued.any(|other| other == device)
    });
    if waits {
        let story = "AllocateAdapterChannel for a device object that waits for a channel already: \
                     its wait block is in the queue.";
        return Err(broken(TOO_MANY_CHANNELS, [1, 0, 0], story));
    }
    Ok(())
}

/// Queues a request behind those that wait, and serves whoever can be served.
pub(super) fn ask(machine: &Arc<Machine>, hal: &Hal, request: Request) {
    let greedy = hal.state().greedy.filter(|_| request.adapter != 0);
    if greedy.is_some() && machine.random(2) == 0 {
        hal.state().let_greedy_ahead();
    }
    hal.state().join(request);
    serve(machine, hal);
}

impl State {
    fn let_greedy_ahead(&mut self) {
        let Some(greedy) = self.greedy.filter(|_| !self.greedy_busy) else {
            return;
        };
        self.greedy_busy = true;
        self.queue.push_back(Request {
            adapter: 0,
            device: Shared::default(),
            irp: Shared::default(),
            count: greedy.registers.min(self.file.len()),
            what: Wanted::Greed(greedy.hold),
            waited: false,
        });
    }

    fn join(&mut self, mut request: Request) {
        let behind = !self.queue.is_empty();
        if let Some(adapter) = self.adapters.get_mut(&request.adapter) {
            if adapter.channel != Channel::Free {
                request.waited = true;
                adapter.waiting.push_back(request);
                return;
            }
            adapter.channel = Channel::Due(request.wait_block());
        }
        request.waited |= behind;
        self.queue.push_back(request);
    }

    /// The next request that has all that it asked for.
    fn next(&mut self) -> Option<(Request, usize)> {
        let count = self.queue.front()?.count;
        let Some(first) = self.file.take(count) else {
            if let Some(front) = self.queue.front_mut() {
                front.waited = true;
            }
            return None;
        };
        let request = self.queue.pop_front()?;
        let base = self.add_grant(Grant {
            adapter: request.adapter,
            first,
            count,
            used: 0,
            mappings: Vec::new(),
            for_list: matches!(request.what, Wanted::List(_)),
        });
        if request.adapter != 0 {
            self.counts.grants += 1;
            self.counts.waited += u64::from(request.waited);
        }
        Some((request, base))
    }

    /// The channel of an adapter is free: it goes to whoever waits for it first.
    fn pass_channel_on(&mut self, adapter: usize) {
        let Some(adapter) = self.adapters.get_mut(&adapter) else {
            return;
        };
        adapter.channel = Channel::Free;
        if let Some(request) = adapter.waiting.pop_front() {
            adapter.channel = Channel::Due(request.wait_block());
            self.queue.push_back(request);
        }
    }
}

/// Serves whoever can be served. Without the HAL's lock; any IRQL up to `DISPATCH_LEVEL`.
pub(super) fn serve(machine: &Arc<Machine>, hal: &Hal) {
    loop {
        let next = hal.state().next();
        let Some((request, base)) = next else { return };
        let delay = delay_of(machine, hal, &request);
        match (&request.what, delay) {
            (&Wanted::Greed(hold), _) => keep(hold, base),
            (_, None) => deliver(machine, hal, &request, base),
            (_, Some(delay)) => {
                ke::device_event(delay, move || {
                    let machine = Machine::current();
                    let hal = machine.extension::<Hal>();
                    deliver(&machine, &hal, &request, base);
                    serve(&machine, &hal);
                });
            }
        }
    }
}

/// How much later a request that can be served is served; now, if `None`.
fn delay_of(machine: &Machine, hal: &Hal, request: &Request) -> Option<u64> {
    let grants = hal
        .state()
        .adapters
        .get(&request.adapter)
        .map(|adapter| adapter.grants);
    match grants? {
        Grants::Inline => None,
        Grants::Later(delay) => Some(delay),
        Grants::Seeded(_) if machine.random(2) == 0 => None,
        Grants::Seeded(most) => Some(machine.random(most + 1)),
    }
}

/// The greedy neighbour has what it wanted.
fn keep(hold: u64, base: usize) {
    ke::device_event(hold, move || {
        let machine = Machine::current();
        let hal = machine.extension::<Hal>();
        {
            let mut state = hal.state();
            state.drop_grant(base);
            state.greedy_busy = false;
        }
        serve(&machine, &hal);
    });
}

/// Calls the routine that waited, at `DISPATCH_LEVEL`. The channel may be free afterwards.
fn deliver(machine: &Arc<Machine>, hal: &Hal, request: &Request, base: usize) {
    let owner = hal
        .state()
        .adapters
        .get(&request.adapter)
        .map(|adapter| adapter.driver);
    let driver = owner.unwrap_or(DriverId::NONE);
    ke::raise_to_dispatch(|| match &request.what {
        &Wanted::Channel {
            routine,
            context: argument,
        } => {
            let Some(routine) = routine else { return };
            hal.state()
                .routine_begins(request.adapter, context::current().thread);
            let (device, irp) = (request.device.0, request.irp.0);
            let registers = core::ptr::without_provenance_mut(base);
            let action = call::as_driver(driver, "an AdapterControl routine", || {
                // SAFETY: the driver's routine with the arguments that DRIVER_CONTROL [wdm.h] names.
                unsafe { call::enter(routine, (device, irp, registers, argument.0)) }
            });
            let verdict = hal.state().answered(request.adapter, base, action);
            verdict.unwrap_or_else(|violation| violation.raise());
        }
        Wanted::List(wanted) => {
            let made = list::make(machine, hal, request.adapter, base, wanted);
            list::deliver(driver, request.device.0, request.irp.0, wanted, made);
            // "On return from the driver-supplied routine", which keeps the map registers [Microsoft:
            // GetScatterGatherList].
            hal.state().pass_channel_on(request.adapter);
        }
        Wanted::Greed(_) => {}
    });
}

impl State {
    /// The routine that waited for the channel of an adapter is called now.
    fn routine_begins(&mut self, address: usize, thread: ThreadId) {
        if let Some(adapter) = self.adapters.get_mut(&address) {
            adapter.channel = Channel::Running(thread);
        }
    }

    /// What the driver's routine wants to become of channel and registers.
    fn answered(
        &mut self,
        address: usize,
        base: usize,
        action: IO_ALLOCATION_ACTION,
    ) -> Result<(), Violation> {
        match action {
            _IO_ALLOCATION_ACTION::DeallocateObject => {
                let count = self.grants.get(&base).map_or(0, |grant| grant.count);
                self.free_registers(
                    "An AdapterControl routine that returned DeallocateObject",
                    address,
                    base,
                    count,
                )?;
                self.pass_channel_on(address);
            }
            _IO_ALLOCATION_ACTION::DeallocateObjectKeepRegisters => self.pass_channel_on(address),
            _ => {
                if let Some(adapter) = self.adapters.get_mut(&address) {
                    adapter.channel = Channel::Held(base);
                }
            }
        }
        Ok(())
    }

    /// Gives registers back that nothing may be mapped through.
    pub(super) fn free_registers(
        &mut self,
        who: &str,
        address: usize,
        base: usize,
        count: u32,
    ) -> Result<(), Violation> {
        let held = match self.grants.get(&base) {
            Some(grant) if grant.adapter == address && !grant.for_list => grant,
            _ => {
                let story = format!(
                    "{who} freed {count} map registers at {base:#x}, which are not held: they were \
                     freed before, or never granted to this adapter."
                );
                return Err(broken(REGISTERS_FREED, [count.into(), 0, 0], story));
            }
        };
        if count > held.count {
            let extra = count - held.count;
            let story = format!(
                "{who} freed {count} map registers; {} were granted.",
                held.count
            );
            return Err(broken(REGISTERS_FREED, [extra.into(), 0, 0], story));
        }
        if !held.mappings.is_empty() {
            let lengths: Vec<String> = held
                .mappings
                .iter()
                .map(|mapping| format!("{} bytes at {:#x}", mapping.length, mapping.va))
                .collect();
            let story = format!(
                "{who} freed map registers through which transfers are still mapped: {}. \
                 FlushAdapterBuffers has to come first, and over all that was mapped.",
                lengths.join(", ")
            );
            return Err(broken(STILL_MAPPED, [held.used.into(), 0, 0], story));
        }
        if count == held.count {
            self.drop_grant(base);
        } else if let Some(grant) = self.grants.get_mut(&base) {
            // The rest stays granted, and is found when the adapter is put.
            let (first, rest) = (grant.first, grant.count - count);
            grant.first += count as usize;
            grant.count = rest;
            self.file.give_back(first, count);
            self.counts.registers_now -= count;
        }
        Ok(())
    }

    /// `FreeAdapterChannel`: the channel, and the registers that came with it.
    pub(super) fn free_channel(&mut self, address: PDMA_ADAPTER) -> Result<(), Violation> {
        const NAME: &str = "FreeAdapterChannel";
        let adapter: &mut Adapter = self.adapter(NAME, address)?;
        let Channel::Held(base) = adapter.channel else {
            let story = "FreeAdapterChannel, and the driver does not hold the channel: it was freed \
                         before, or the AdapterControl routine did not return KeepObject.";
            return Err(broken(CHANNEL_FREED, [1, 0, 0], story));
        };
        if let Some(count) = self.grants.get(&base).map(|grant| grant.count) {
            self.free_registers(NAME, address.addr(), base, count)?;
        }
        self.pass_channel_on(address.addr());
        Ok(())
    }
}
