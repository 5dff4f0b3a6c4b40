//! Requests through a device stack and everything worth knowing of how they went: the way from a request to its
//! verdict that `run`, `replay`, `demo` and the soak share.

mod effective;
mod exchange;
mod files;
mod ledger;
mod summary;

pub use effective::Effective;
pub use exchange::{Exchange, Finished};
pub use files::{Files, FilesResult};
pub use ledger::Ledger;
pub use summary::Summary;

use ntsim::class::ClassCounts;
use ntsim::machine::AllocationCounts;
use ntsim::pnp::Driver;
use ntsim::port::{Disk, FaultMix, Hba};
use ntsim::world::{Sender, Shape, Stack, StackKind};
use ntsim::{Clock, World};

use crate::error::{Error, Result};
use crate::layers::{Layers, Traffic};
use crate::rules::Rules;
use crate::workload::Job;

/// A machine to run requests in.
pub struct Setup {
    /// With the filter, or as Windows is without it.
    pub filter: bool,
    /// The filter.
    pub driver: Driver,
    /// Where the filter is in the stack.
    pub stack: StackKind,
    /// Which clock.
    pub clock: Clock,
    /// The disk.
    pub disk: Disk,
    /// The disk holds a pattern and no data.
    pub pattern: bool,
    /// The adapter.
    pub hba: Hba,
    /// Registry settings of the filter.
    pub settings: Vec<(String, u32)>,
    /// What goes wrong by chance.
    pub faults: FaultMix,
}

impl Setup {
    /// The rules the filter is held to.
    pub fn rules(&self) -> Rules {
        Rules::new(&self.hba, &self.disk, &self.settings)
    }

    /// The world, ready to run.
    pub fn world(self) -> World {
        let world = match (self.filter, self.stack) {
            (true, StackKind::Port) => World::new(self.driver).shape(Shape::Class),
            // The driver finds out by its place.
            (true, _) => World::new(self.driver),
            (false, _) => World::without_filter().sender(Sender::Obedient),
        };
        let world = world.stack(self.stack);
        let world = world.clock(self.clock).disk(self.disk).hba(self.hba);
        self.settings
            .iter()
            .fold(world, |world, (name, value)| world.setting(name, *value))
    }
}

/// A stack that takes requests, and a ledger of how they went.
pub struct Bench<'a> {
    exchange: Exchange<'a>,
    ledger: Ledger,
    number: u64,
}

impl Bench<'_> {
    /// Sends requests that do not touch each other, all at once; waits for all; checks every one.
    pub fn group(&mut self, jobs: &[Job]) -> Vec<Finished> {
        let disk = self.exchange.disk().clone();
        self.ledger.before(&disk, jobs);
        let writes: Vec<Vec<u8>> = jobs
            .iter()
            .map(|job| {
                self.number += 1;
                self.ledger.data(self.number, job)
            })
            .collect();
        let before = class_counts(self.exchange.stack());
        let finished = self.exchange.run(jobs, &writes);
        let after = class_counts(self.exchange.stack());
        let traffic = before.zip(after);
        let traffic = traffic.map(|(before, after)| Traffic::between(&before, &after));
        self.ledger
            .after(&disk, &finished, &writes, traffic.as_ref());
        finished
    }

    /// The ledger so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Counters before the first request.
struct Before {
    /// Those before the first file.
    allocations: AllocationCounts,
    class: Option<ClassCounts>,
    /// Virtual time since the recorder was put at the port.
    time: u64,
}

/// What the stack's class driver has done so far; none where there is no class driver.
pub(crate) fn class_counts(stack: &Stack) -> Option<ClassCounts> {
    (stack.kind() != StackKind::Port).then(|| stack.class_counts())
}

/// Starts the machine, does the work, takes everything down again and sums up.
///
/// # Errors
/// The machine stopped with a bug check.
pub fn run(setup: Setup, work: impl FnOnce(&mut Bench<'_>) + Send) -> Result<Summary> {
    run_after_files(setup, None, work)
}

/// The same after a file system has worked on files, where there are any. Nothing goes wrong by chance while it does,
/// and only the requests of `work` are counted as requests.
///
/// # Errors
/// As for [`run`].
pub fn run_after_files(
    setup: Setup,
    files: Option<Files>,
    work: impl FnOnce(&mut Bench<'_>) + Send,
) -> Result<Summary> {
    let (filter, rules) = (setup.filter, setup.rules());
    let faults = setup.faults.clone();
    let holds_data = !setup.pattern;
    let body = |stack: &Stack| {
        let exchange = Exchange::new(stack, holds_data);
        let layers = Layers::new(stack.kind(), stack.class_facts(), rules);
        let allocations = stack.machine().allocations();
        let files = files.map(|files| files.run(&exchange, &layers, filter));
        let before = Before {
            allocations,
            class: class_counts(stack),
            time: exchange.elapsed(),
        };
        exchange.port().fault_mix(faults);
        let mut bench = Bench {
            exchange,
            ledger: Ledger::new(layers, filter, holds_data),
            number: 0,
        };
        work(&mut bench);
        let allocations = stack.machine().allocations();
        bench.exchange.port().clear_faults();
        Summary::of(&bench.ledger, &bench.exchange, &before, &allocations).after_files(files)
    };
    match setup.world().run(body) {
        Ok((summary, report)) => Ok(summary.closed(&report)),
        Err(bug_check) => Err(Error::Failed(bug_check.to_string())),
    }
}
