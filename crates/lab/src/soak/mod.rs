//! The long random proof: random requests in random worlds, every one checked in every way there is.
//!
//! * Its data against the same request done directly in memory: what succeeded must be there to the byte, and what
//!   failed may have left each sector old or new, nothing else.
//! * Its pieces against the judge: no piece over any limit, and no more pieces than the fewest possible for what
//!   arrived at the driver. Beneath a class driver that is a packet, whose size the class driver's published arithmetic
//!   gives; above one it is the request, and what is counted is the requests that the class driver got.
//! * What a class driver was told of the adapter: its own limits, the effective ones, or larger ones, by the settings;
//!   and who then splits.
//! * Its completion: exactly once, with a status that an injected fault explains or that is success.
//! * What cannot be split legally is refused, and then nothing at all has reached the port.
//! * The driver allocates nothing between the first request and the last.
//!
//! Every world follows from two numbers, so a failing one is named by a command that repeats it.

mod coverage;
mod scenario;
mod told;
mod verdict;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ntsim::pnp::Driver;
use ntsim::port::Violation;
use ntsim::world::{Buffer, Shape, Stack, StackKind};
use ntsim::{Clock, World};

pub use coverage::Coverage;
pub use scenario::{Ask, Scenario};

use crate::bench::{Effective, Exchange, class_counts};
use crate::layers::{Layers, Traffic};
use crate::rng::Rng;
use crate::rules::Rules;
use crate::workload::Job;
use told::Told;
use verdict::Checker;

/// Requests in one world.
pub const PER_WORLD: u64 = 400;

/// A world in which something was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The soak's seed.
    pub seed: u64,
    /// The world's number.
    pub world: u64,
    /// What was wrong.
    pub reason: String,
}

impl Failure {
    /// The command that repeats it.
    pub fn command(&self) -> String {
        format!(
            "xfersplit-lab soak --seed {} --world {}",
            self.seed, self.world
        )
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "seed {}, world {}: {}",
            self.seed, self.world, self.reason
        )
    }
}

/// Runs one world with this driver.
///
/// # Errors
/// The first thing that was wrong.
pub fn run_world(
    driver: &Driver,
    seed: u64,
    number: u64,
    requests: u64,
) -> Result<Coverage, Failure> {
    let scenario = Scenario::draw(seed, number);
    let failure = |reason: String| Failure {
        seed,
        world: number,
        reason: format!("{}: {reason}", scenario.route()),
    };
    let mut rng = Rng::part(seed ^ 0x50A_C0DE, number);
    let clock = Clock::Deterministic {
        seed: rng.next_u64(),
    };
    let world = World::new(driver.clone())
        .stack(scenario.stack)
        .class_options(scenario.class)
        .clock(clock)
        .disk(scenario.disk())
        .hba(scenario.hba());
    let world = match scenario.stack {
        StackKind::Port => world.shape(Shape::Class),
        // The driver finds out by its place.
        StackKind::Disk | StackKind::Relay => world,
    };
    let world = scenario
        .settings
        .iter()
        .fold(world, |world, (name, value)| world.setting(name, *value));
    let body = |stack: &Stack| traffic(stack, &scenario, &mut rng, requests);
    let (result, report) = world
        .run(body)
        .map_err(|bug_check| failure(bug_check.to_string()))?;
    let mut coverage = result.map_err(failure)?;
    coverage.faults = report.faults;
    coverage.worlds = 1;
    // Some requests break the adapter's alignment themselves; that pieces keep their request's is checked with each.
    let mut violations = report
        .violations
        .iter()
        .filter(|found| found.violation != Violation::Alignment);
    if let Some(violation) = violations.next() {
        return Err(failure(format!("the port saw a violation: {violation}")));
    }
    let on_the_way = report.allocations_at_end.total() - report.allocations_at_start.total();
    if on_the_way != 0 {
        return Err(failure(format!(
            "{on_the_way} allocations between the first request and the last"
        )));
    }
    if report.sent != report.finished {
        return Err(failure(format!(
            "{} requests sent, {} came back",
            report.sent, report.finished
        )));
    }
    Ok(coverage)
}

/// Sends the world's requests in groups that do not touch each other.
fn traffic(
    stack: &Stack,
    scenario: &Scenario,
    rng: &mut Rng,
    requests: u64,
) -> Result<Coverage, String> {
    let exchange = Exchange::new(stack, true);
    exchange.port().fault_mix(scenario.faults());
    check_shape(stack)?;
    let facts = stack.class_facts();
    let layers = Layers::new(scenario.stack, facts, scenario.rules());
    let told = Told::of(scenario, facts.as_ref())?;
    let mut checker = Checker::new(scenario, layers, told);
    while checker.coverage().requests < requests {
        let asks = group(scenario, checker.rules(), rng);
        if asks.is_empty() {
            // Nothing in this world has a legal split by the adapter's own word.
            break;
        }
        let jobs: Vec<Job> = asks.iter().map(|ask| job(scenario, ask)).collect();
        let writes = checker.before(exchange.disk(), &jobs, rng);
        let buffers = jobs
            .iter()
            .zip(&writes)
            .map(|(job, data)| buffer(stack, scenario, job, data));
        let buffers = buffers.collect();
        let before = class_counts(stack);
        let finished = exchange.run_with(&jobs, buffers);
        let traffic = before
            .zip(class_counts(stack))
            .map(|(before, after)| Traffic::between(&before, &after));
        checker.after(exchange.disk(), &finished, &writes, traffic.as_ref())?;
    }
    exchange.port().clear_faults();
    checker.close(exchange.disk())
}

/// Whether the driver found out what it is to split.
fn check_shape(stack: &Stack) -> Result<(), String> {
    let expected = match stack.kind() {
        StackKind::Port => "class",
        StackKind::Disk => "SRB",
        StackKind::Relay => "relay",
    };
    let shape = Effective::of(stack).map(|effective| effective.shape);
    match shape {
        Some(found) if found == expected => Ok(()),
        found => Err(format!("the driver's shape is {found:?}, not {expected}")),
    }
}

/// Requests that may be in flight together.
fn group(scenario: &Scenario, rules: &Rules, rng: &mut Rng) -> Vec<Ask> {
    let mut asks: Vec<Ask> = Vec::new();
    for _ in 0..scenario.queue_depth * 4 {
        let ask = Ask::draw(scenario, rng);
        let free = asks.iter().all(|other| !ask.overlaps(other));
        if free && ask.is_possible(rules) {
            asks.push(ask);
        }
        if asks.len() == scenario.queue_depth {
            break;
        }
    }
    asks
}

fn job(scenario: &Scenario, ask: &Ask) -> Job {
    let sector = u64::from(scenario.sector);
    Job {
        write: ask.write,
        offset: ask.lba * sector,
        length: ask.blocks * sector,
        page_offset: ask.page_offset,
    }
}

fn buffer(stack: &Stack, scenario: &Scenario, job: &Job, data: &[u8]) -> Buffer {
    let (length, offset) = (job.length as usize, job.page_offset as usize);
    let buffer = match scenario.run_pages {
        0 | 1 => stack.buffer(length, offset),
        pages => stack.buffer_runs(length, offset, pages),
    };
    if job.write {
        buffer.write(0, data);
    } else {
        buffer.fill(0xE5);
    }
    buffer
}

/// How much to soak.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The driver.
    pub driver: Driver,
    /// Everything random follows from this and the number of each world.
    pub seed: u64,
    /// Number of the first world.
    pub first: u64,
    /// How many worlds.
    pub worlds: u64,
    /// Requests in each.
    pub per_world: u64,
    /// Worlds that run at the same time.
    pub jobs: usize,
}

/// Runs many worlds, some at the same time; stops at the first failure. `progress` hears of every world that ended
/// well, with the number of its requests.
///
/// # Errors
/// The failure in the world with the lowest number among those that ran.
pub fn run(plan: &Plan, progress: &(dyn Fn(u64) + Sync)) -> Result<Coverage, Failure> {
    let next = AtomicU64::new(plan.first);
    let stop = AtomicBool::new(false);
    let total: Mutex<(Coverage, Option<Failure>)> = Mutex::default();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.first + plan.worlds {
                return;
            }
            let result = run_world(&plan.driver, plan.seed, number, plan.per_world);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(coverage) => {
                    total.0.add(&coverage);
                    progress(coverage.requests);
                }
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    let earlier = total
                        .1
                        .as_ref()
                        .is_none_or(|known| failure.world < known.world);
                    if earlier {
                        total.1 = Some(failure);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(work);
        }
    });
    match total.into_inner().unwrap_or_else(PoisonError::into_inner) {
        (coverage, None) => Ok(coverage),
        (_, Some(failure)) => Err(failure),
    }
}
