//! Builds a world, runs a scenario in it, and takes it down again.

use std::sync::Arc;

use super::above::Above;
use super::device::Device;
use super::naive::Sender;
use super::report::Report;
use super::stack::{Parts, Places, Stack};
use crate::abi::PDRIVER_OBJECT;
use crate::class;
use crate::io;
use crate::machine::{AllocationCounts, BugCheck, Clock, Config, Machine};
use crate::memory::LockLimits;
use crate::pnp::{self, Devnode, Driver};
use crate::port::{Disk, Hba, Port, PortObjects};
use crate::ps;
use crate::registry::{Kind, Registry, Value};

/// The instance that a world's disk has on its bus.
const INSTANCE: &str = r"SCSI\Disk&Ven_NTSIM&Prod_DISK\0001";
/// The subkey of the hardware key in which the device's settings are.
const SETTINGS: &str = "Xfersplit";
/// The subkey of that in which a port driver leaves what it tells of itself.
const PORT: &str = "Port";

/// Which kind of request the driver under test is to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The driver finds out by its place in the stack.
    Auto,
    /// READ and WRITE directly above the port.
    Class,
    /// SRBs beneath a class driver.
    Srb,
    /// READ and WRITE above a class driver.
    Relay,
}

/// Where the driver under test has its place, and who is around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackKind {
    /// Directly above the port, with nothing above it.
    #[default]
    Port,
    /// Between the disk class driver and the port: a lower filter.
    Disk,
    /// Above the disk class driver, which is above the port: an upper filter.
    Relay,
}

/// What a scenario does to the port before drivers are loaded.
type Preparation = Box<dyn FnOnce(&Arc<Port>) + Send>;

/// A world in the making.
pub struct World {
    driver: Option<Driver>,
    function: Option<Driver>,
    clock: Clock,
    seed: Option<u64>,
    disk: Disk,
    hba: Hba,
    kind: StackKind,
    class: class::Options,
    shape: Option<Shape>,
    sender: Sender,
    class_above: bool,
    stack_limit: Option<usize>,
    lock_limits: LockLimits,
    settings: Vec<(String, Value)>,
    service_settings: Vec<(String, Value)>,
    prepare: Vec<Preparation>,
}

impl World {
    /// A world with `driver` as filter above the port, a disk of 64 MiB in memory, and an adapter
    /// without limits.
    pub fn new(driver: impl Into<Option<Driver>>) -> Self {
        Self {
            driver: driver.into(),
            function: None,
            clock: Clock::Deterministic { seed: 1 },
            seed: None,
            disk: Disk::memory(1 << 17, 512),
            hba: Hba::unlimited(),
            kind: StackKind::Port,
            class: class::Options::default(),
            shape: None,
            sender: Sender::OneToOne,
            class_above: false,
            stack_limit: None,
            lock_limits: LockLimits::default(),
            settings: Vec::new(),
            service_settings: Vec::new(),
            prepare: Vec::new(),
        }
    }

    /// A world with nothing above the port: READ and WRITE leave the harness as SRBs.
    pub fn without_filter() -> Self {
        Self::new(None)
    }

    /// The clock; deterministic with seed 1 if not said.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The seed of the port's latencies and fault mixes; that of the clock if not said.
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

    /// The adapter.
    #[must_use]
    pub fn hba(mut self, hba: Hba) -> Self {
        self.hba = hba;
        self
    }

    /// Which stack is built; [`StackKind::Port`] if not said.
    #[must_use]
    pub fn stack(mut self, kind: StackKind) -> Self {
        self.kind = kind;
        self
    }

    /// How the disk class driver is set up, where the stack has one.
    #[must_use]
    pub fn class_options(mut self, options: class::Options) -> Self {
        self.class = options;
        self
    }

    /// Which requests the driver is to split, written as the device's setting `Shape` unless it is
    /// [`Shape::Auto`]. If not said, it is [`Shape::Class`] in a stack of [`StackKind::Port`]; in
    /// the others the driver finds out.
    #[must_use]
    pub fn shape(mut self, shape: Shape) -> Self {
        self.shape = Some(shape);
        self
    }

    /// How READ and WRITE are sent where there is no filter.
    #[must_use]
    pub fn sender(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// Puts a function driver above the driver under test that sends `REMOVE` down before it drains,
    /// as the disk class driver does, but does nothing else; requests are then sent to the device
    /// below it. Needs a stack of [`StackKind::Port`]. See [`Stack::when_removed`].
    #[must_use]
    pub fn class_above(mut self) -> Self {
        self.class_above = true;
        self
    }

    /// Makes `driver` the function driver, above the driver under test, in a stack of
    /// [`StackKind::Port`]. Requests go to it. It is under test too, and is unloaded at the end.
    #[must_use]
    pub fn function(mut self, driver: Driver) -> Self {
        self.function = Some(driver);
        self
    }

    /// How many pages of user memory may be locked at a time; no limit if not said.
    #[must_use]
    pub fn lock_limits(mut self, limits: LockLimits) -> Self {
        self.lock_limits = limits;
        self
    }

    /// Bytes of stack at which a thread overflows; the machine's own limit if not said.
    #[must_use]
    pub fn stack_limit(mut self, bytes: usize) -> Self {
        self.stack_limit = Some(bytes);
        self
    }

    /// A `REG_DWORD` below the device's hardware key.
    #[must_use]
    pub fn setting(mut self, name: &str, value: u32) -> Self {
        self.settings.push((name.into(), Value::dword(value)));
        self
    }

    /// A value of any type and bytes below the device's hardware key.
    #[must_use]
    pub fn setting_raw(mut self, name: &str, kind: Kind, bytes: &[u8]) -> Self {
        self.settings.push((name.into(), Value::raw(kind, bytes)));
        self
    }

    /// A `REG_DWORD` in the service's `Parameters`.
    #[must_use]
    pub fn service_setting(mut self, name: &str, value: u32) -> Self {
        self.service_settings
            .push((name.into(), Value::dword(value)));
        self
    }

    /// Lets `prepare` at the port before any driver is loaded: faults that strike at start.
    #[must_use]
    pub fn prepare(mut self, prepare: impl FnOnce(&Arc<Port>) + Send + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Builds the stack, starts it, runs `scenario`, removes the device, unloads the driver and
    /// looks for leaks.
    ///
    /// # Errors
    /// The bug check that stopped the machine.
    ///
    /// # Panics
    /// When the driver cannot be loaded or the device cannot be added or started, and when the
    /// scenario panics.
    pub fn run<T: Send>(
        self,
        scenario: impl FnOnce(&Stack) -> T + Send,
    ) -> Result<(T, Report), BugCheck> {
        let mut config = Config {
            clock: self.clock,
            ..Config::default()
        };
        if let Some(bytes) = self.stack_limit {
            config.stack_limit = bytes;
        }
        let machine = Machine::new(config);
        let inside = Arc::clone(&machine);
        machine.run(move || self.run_inside(&inside, scenario))
    }

    fn run_inside<T>(
        self,
        machine: &Arc<Machine>,
        scenario: impl FnOnce(&Stack) -> T,
    ) -> (T, Report) {
        let drivers = [self.function.clone(), self.driver.clone()];
        self.write_settings(machine);
        machine.limit_locked_pages(self.lock_limits);
        let started_at = machine.now();
        let (stack, neighbours) = self.build(Arc::clone(machine));
        let at_start = machine.allocations();
        let value = scenario(&stack);
        let at_end = machine.allocations();
        let port = stack.take_down();
        neighbours.delete();
        for driver in drivers.into_iter().flatten() {
            driver.unload().unwrap_or_else(|status| {
                panic!("the driver could not be unloaded: status {status:#x}")
            });
        }
        ps::end_all(machine);
        let report = report(machine, &port, &stack, (at_start, at_end), started_at);
        (value, report)
    }

    fn write_settings(&self, machine: &Arc<Machine>) {
        let registry = Registry::of(machine);
        let key = format!(r"{}\{SETTINGS}", pnp::hardware_key(INSTANCE));
        let usual = match self.kind {
            StackKind::Port => Shape::Class,
            StackKind::Disk | StackKind::Relay => Shape::Auto,
        };
        let number = match self.shape.unwrap_or(usual) {
            Shape::Auto => None,
            Shape::Srb => Some(1),
            Shape::Class => Some(2),
            Shape::Relay => Some(3),
        };
        if let Some(number) = number {
            registry.set(&key, "Shape", Value::dword(number));
        }
        for (name, value) in &self.settings {
            registry.set(&key, name, value.clone());
        }
        if let Some(port) = &self.hba.port_registry {
            let key = format!(r"{key}\{PORT}");
            for (name, value) in &port.values {
                registry.set(&key, name, value.clone());
            }
        }
        if let Some(driver) = &self.driver {
            for (name, value) in &self.service_settings {
                registry.set(&pnp::parameters_key(driver.name()), name, value.clone());
            }
        }
    }

    fn build(self, machine: Arc<Machine>) -> (Stack, Neighbours) {
        let seed = self.seed.unwrap_or(match self.clock {
            Clock::Deterministic { seed } | Clock::Threads { seed, .. } => seed,
        });
        let port = Port::new(Arc::new(self.disk), self.hba, seed);
        for prepare in self.prepare {
            prepare(&port);
        }
        let objects = PortObjects::create(&port);
        let class = match (self.class_above, self.kind) {
            (true, _) => Some(Above::create()),
            (false, StackKind::Disk | StackKind::Relay) => Some(class::create(self.class)),
            (false, StackKind::Port) => None,
        };
        let mut builder = Devnode::builder(objects.device()).instance(INSTANCE);
        if let Some((function, _)) = &class {
            builder = builder.function(function);
        }
        if let Some(function) = &self.function {
            assert!(class.is_none(), "a device has one function driver");
            builder = builder.function(function);
        }
        builder = match (&self.driver, self.kind) {
            (None, _) => builder,
            (Some(driver), StackKind::Port | StackKind::Disk) => builder.lower(driver),
            (Some(driver), StackKind::Relay) => builder.upper(driver),
        };
        let mut node = builder
            .add()
            .unwrap_or_else(|status| panic!("the device could not be added: status {status:#x}"));
        node.start()
            .unwrap_or_else(|status| panic!("the device could not be started: status {status:#x}"));
        let object = class.map(|(_, object)| object);
        let places = Places::find(&node, self.kind, object.filter(|_| !self.class_above));
        let top = if self.class_above {
            machine.extension::<Above>().lower()
        } else {
            node.top()
        };
        let bare = self.driver.is_none() && self.function.is_none() && self.kind == StackKind::Port;
        let stack = Stack::new(Parts {
            device: Device::new(machine, node, top),
            port,
            places,
            sender: bare.then_some(self.sender),
            settings_key: format!(r"{}\{SETTINGS}", pnp::hardware_key(INSTANCE)),
        });
        let neighbours = Neighbours {
            port: objects,
            class: object,
        };
        (stack, neighbours)
    }
}

/// The drivers around the one under test.
struct Neighbours {
    port: PortObjects,
    class: Option<PDRIVER_OBJECT>,
}

impl Neighbours {
    fn delete(self) {
        if let Some(class) = self.class {
            // SAFETY: its device went with REMOVE.
            unsafe { io::delete_driver(class) };
        }
        self.port.delete();
    }
}

impl Stack {
    /// Removes the device if the scenario has not.
    fn take_down(&self) -> Arc<Port> {
        let port = Arc::clone(self.port());
        port.hold(false);
        port.complete_all();
        self.remove()
            .or_else(|_| {
                // A disk with a paging file on it stays.
                self.take_special_files_off();
                self.remove()
            })
            .unwrap_or_else(|status| panic!("the device could not be removed: status {status:#x}"));
        self.idle();
        port
    }
}

fn report(
    machine: &Machine,
    port: &Port,
    stack: &Stack,
    (allocations_at_start, allocations_at_end): (AllocationCounts, AllocationCounts),
    started_at: u64,
) -> Report {
    let (sent, finished) = stack.requests();
    Report {
        class: stack.has_class().then(|| class::counts(machine)),
        port: port.counts(),
        faults: port.fault_counts(),
        violations: port.violations(),
        allocations: machine.allocations(),
        allocations_at_start,
        allocations_at_end,
        locks: machine.lock_counts(),
        stack_high_water: machine.stack_high_water(),
        sent,
        finished,
        sense_buffers_left: port.sense_buffers_left(),
        debug_log: machine.debug_log(),
        trace_hash: port.trace_hash(),
        elapsed: machine.now() - started_at,
    }
}
