//! A world with a bus-master disk controller, and the driver under test as its function driver.

use std::ops::Deref;
use std::sync::Arc;

use super::buffer::Buffer;
use super::device::Device;
use super::transfer::Transfer;
use crate::abi::{NTSTATUS, PDEVICE_OBJECT};
use crate::controller::{self, Bus, Completion, Controller, ControllerCounts, Misuse};
use crate::dma::{self, DmaCounts, Grants, Greedy, Setup};
use crate::machine::{BugCheck, Clock, Config, Machine, NtThread};
use crate::pnp::{Devnode, Driver};
use crate::port::{Direction, Disk};

/// The instance that the controller has on its bus.
const INSTANCE: &str = r"PCI\VEN_4E54&DEV_0D3A\0001";

/// What a scenario does to the controller before drivers are loaded.
type Preparation = Box<dyn FnOnce(&Arc<Controller>) + Send>;

/// A world in the making.
pub struct DmaWorld {
    driver: Driver,
    clock: Clock,
    seed: Option<u64>,
    disk: Disk,
    options: controller::Options,
    setup: Setup,
    pool: Option<u32>,
    greedy: Option<Greedy>,
    prepare: Vec<Preparation>,
}

impl DmaWorld {
    /// A world with `driver` as function driver of a controller with scatter/gather that reaches all
    /// memory, a disk of 8 MiB in memory, 64 map registers for the adapter out of 256, channels
    /// granted as soon as they can be, and operations that take up to 20 µs.
    pub fn new(driver: &Driver) -> Self {
        Self {
            driver: driver.clone(),
            clock: Clock::Deterministic { seed: 1 },
            seed: None,
            disk: Disk::memory(1 << 14, 512),
            options: controller::Options::default(),
            setup: Setup::default(),
            pool: None,
            greedy: None,
            prepare: Vec::new(),
        }
    }

    /// The clock; deterministic with seed 1 if not said.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The seed of the controller's delays and errors; that of the clock if not said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// The most map registers that the adapter gets at a time.
    #[must_use]
    pub fn map_registers(mut self, registers: u32) -> Self {
        self.setup.map_registers = Some(registers);
        self
    }

    /// `IoGetDmaAdapter` returns NULL.
    #[must_use]
    pub fn no_adapter(mut self) -> Self {
        self.setup.map_registers = None;
        self
    }

    /// Map registers of the machine, for all adapters together.
    #[must_use]
    pub fn pool(mut self, registers: u32) -> Self {
        self.pool = Some(registers);
        self
    }

    /// A neighbour that takes so many map registers out of the pool, again and again, and keeps them
    /// for so long (100 ns).
    #[must_use]
    pub fn greedy(mut self, registers: u32, hold: u64) -> Self {
        self.greedy = Some(Greedy { registers, hold });
        self
    }

    /// One `MapTransfer` maps so many pages at the most, and says so; see [`Setup::map_at_most`].
    #[must_use]
    pub fn map_at_most(mut self, pages: u32) -> Self {
        self.setup.map_at_most = Some(pages);
        self
    }

    /// When channels are granted.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.setup.grants = grants;
        self
    }

    /// How far the controller's logical addresses reach.
    #[must_use]
    pub fn address_bits(mut self, bits: u32) -> Self {
        self.options.address_bits = bits;
        self
    }

    /// Sectors of one operation.
    #[must_use]
    pub fn max_sectors(mut self, sectors: u32) -> Self {
        self.options.max_sectors = Some(sectors);
        self
    }

    /// Segments of one operation; 1 is a controller without scatter/gather.
    #[must_use]
    pub fn max_segments(mut self, segments: u32) -> Self {
        self.options.max_segments = segments;
        self
    }

    /// When operations end.
    #[must_use]
    pub fn completion(mut self, completion: Completion) -> Self {
        self.options.completion = completion;
        self
    }

    /// One operation in so many fails at one of its sectors.
    #[must_use]
    pub fn medium_error_one_in(mut self, operations: u64) -> Self {
        self.options.medium_error_one_in = operations;
        self
    }

    /// Lets `prepare` at the controller before any driver is loaded.
    #[must_use]
    pub fn prepare(mut self, prepare: impl FnOnce(&Arc<Controller>) + Send + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Builds the stack, starts it, runs `scenario`, removes the device, unloads the driver and
    /// looks for everything that was left behind.
    ///
    /// # Errors
    /// The bug check that stopped the machine.
    ///
    /// # Panics
    /// When the device cannot be added, started or removed, when the driver cannot be unloaded, and
    /// when the scenario panics.
    pub fn run<T: Send>(
        self,
        scenario: impl FnOnce(&DmaStack) -> T + Send,
    ) -> Result<(T, DmaReport), BugCheck> {
        let (value, report) = self.try_run(scenario)?;
        let value =
            value.unwrap_or_else(|status| panic!("the device did not start: status {status:#x}"));
        Ok((value, report))
    }

    /// The same for a device that may not start: then `scenario` does not run, and the status is
    /// given.
    ///
    /// # Errors
    /// The bug check that stopped the machine.
    ///
    /// # Panics
    /// As [`Self::run`], but for a device that is not added or started.
    pub fn try_run<T: Send>(
        self,
        scenario: impl FnOnce(&DmaStack) -> T + Send,
    ) -> Result<(Result<T, NTSTATUS>, DmaReport), BugCheck> {
        let machine = Machine::new(Config {
            clock: self.clock,
            ..Config::default()
        });
        let inside = Arc::clone(&machine);
        machine.run(move || self.run_inside(&inside, scenario))
    }

    fn run_inside<T>(
        self,
        machine: &Arc<Machine>,
        scenario: impl FnOnce(&DmaStack) -> T,
    ) -> (Result<T, NTSTATUS>, DmaReport) {
        let driver = self.driver.clone();
        let started_at = machine.now();
        let seed = self.seed.unwrap_or(machine.seed());
        let controller = Controller::new(Arc::new(self.disk), self.options, seed);
        for prepare in self.prepare {
            prepare(&controller);
        }
        let bus = Bus::create(machine, &controller);
        dma::set_up(bus.device(), self.setup);
        if let Some(registers) = self.pool {
            dma::set_pool(registers);
        }
        dma::set_greedy(self.greedy);
        let stack =
            start(bus.device(), &driver).map(|node| DmaStack::new(machine, &controller, node));
        let value = stack.as_ref().map_err(|&status| status).map(|stack| {
            let value = scenario(stack);
            stack.take_down();
            value
        });
        machine.idle();
        driver
            .unload()
            .unwrap_or_else(|status| panic!("the driver could not be unloaded: {status:#x}"));
        bus.delete(machine);
        let left = dma::left_behind();
        assert!(left.is_empty(), "left behind: {left:?}");
        let (sent, finished) = stack.map_or((0, 0), |stack| stack.requests());
        let report = DmaReport {
            dma: dma::counts(),
            controller: controller.counts(),
            misuses: controller.misuses(),
            sent,
            finished,
            debug_log: machine.debug_log(),
            trace_hash: machine.trace_hash(),
            elapsed: machine.now() - started_at,
        };
        (value, report)
    }
}

fn start(pdo: PDEVICE_OBJECT, driver: &Driver) -> Result<Devnode, NTSTATUS> {
    let mut node = Devnode::builder(pdo)
        .instance(INSTANCE)
        .function(driver)
        .resources(Bus::resources())
        .add()?;
    node.start()?;
    Ok(node)
}

/// Totals of a run, taken after the device was removed and the driver unloaded.
#[derive(Clone, Debug)]
pub struct DmaReport {
    /// Map registers, channels, mappings.
    pub dma: DmaCounts,
    /// What the controller did.
    pub controller: ControllerCounts,
    /// What it objected to.
    pub misuses: Vec<Misuse>,
    /// Requests that the scenario sent.
    pub sent: u64,
    /// Requests that came back.
    pub finished: u64,
    /// Lines that drivers printed.
    pub debug_log: Vec<String>,
    /// A hash over the order of all that happened (deterministic clock).
    pub trace_hash: u64,
    /// Virtual time that passed, in 100 ns.
    pub elapsed: u64,
}

/// A started device stack above a controller. Clones are the same stack, for other threads.
#[derive(Clone)]
pub struct DmaStack(Arc<Inner>);

struct Inner {
    device: Device,
    controller: Arc<Controller>,
}

impl Deref for DmaStack {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.0.device
    }
}

/// Requests.
impl DmaStack {
    fn new(machine: &Arc<Machine>, controller: &Arc<Controller>, node: Devnode) -> Self {
        let top = node.top();
        Self(Arc::new(Inner {
            device: Device::new(Arc::clone(machine), node, top),
            controller: Arc::clone(controller),
        }))
    }

    /// READ at byte `offset` into `buffer`.
    pub fn read(&self, offset: u64, buffer: &Buffer) -> Transfer<'static> {
        self.transfer(Direction::Read, offset, buffer)
    }

    /// WRITE at byte `offset` from `buffer`.
    pub fn write(&self, offset: u64, buffer: &Buffer) -> Transfer<'static> {
        self.transfer(Direction::Write, offset, buffer)
    }

    fn transfer(&self, direction: Direction, offset: u64, buffer: &Buffer) -> Transfer<'static> {
        Transfer::to_device((self.top(), self.tally()), direction, offset, buffer)
    }

    /// Runs `body` on another NT thread. The scenario does not end before it has.
    pub fn spawn(&self, name: &str, body: impl FnOnce(&Self) + Send + 'static) -> NtThread {
        let stack = self.clone();
        self.machine().spawn_thread(name, move || body(&stack))
    }
}

/// `PnP` and power, as the `PnP` manager does them. `PASSIVE_LEVEL`.
impl DmaStack {
    /// The device is pulled out, and some time later the PnP manager hears of it:
    /// `SURPRISE_REMOVAL`. `REMOVE` follows with [`Device::remove`], or when the scenario ends.
    ///
    /// # Errors
    /// What the stack answered, although drivers may not refuse it.
    pub fn pull_out(&self) -> Result<(), NTSTATUS> {
        self.0.controller.pull_out();
        self.with_node(Devnode::surprise_remove)
    }

    /// Removes the device if the scenario has not.
    fn take_down(&self) {
        self.0.controller.hold(false);
        self.remove()
            .unwrap_or_else(|status| panic!("the device could not be removed: status {status:#x}"));
    }
}

/// The surroundings.
impl DmaStack {
    /// The controller.
    pub fn controller(&self) -> &Arc<Controller> {
        &self.0.controller
    }

    /// The disk behind it.
    pub fn disk(&self) -> &Disk {
        self.0.controller.disk()
    }
}
