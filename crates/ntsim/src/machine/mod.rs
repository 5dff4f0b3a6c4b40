//! The machine: processors, time, threads, and the way it stops.
//!
//! A [`Machine`] is one simulated computer. Any number of them can live in one process; they share
//! nothing but the panic hook. [`Machine::run`] runs a closure as an NT thread at `PASSIVE_LEVEL`
//! and gives back its result or the [`BugCheck`] that stopped the machine.
//!
//! Two clocks: with [`Clock::Deterministic`] one baton decides which thread runs, time is virtual
//! and every choice comes from the seed, so that a run can be repeated exactly. With
//! [`Clock::Threads`] threads and processors run freely, for races and throughput.

mod accounts;
mod bug_check;
mod calls;
pub(crate) mod context;
pub(crate) mod core;
mod rng;
mod scheduler;
mod shared;
pub(crate) mod story;
pub(crate) mod table;
mod thread;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use accounts::{AllocationCounts, AllocationKind, AllocationRequest, FailPredicate, Owner};
pub use bug_check::{BugCheck, bug_check, codes, name_of};
pub use calls::Call;
pub(crate) use core::DeviceRoutine;
pub use core::EventId;
pub use story::irp_story;
pub use thread::NtThread;

pub(crate) use accounts::Accounts;
pub(crate) use bug_check::Violation;
pub(crate) use calls::{CallId, Calls};
use core::Core;
pub(crate) use shared::Shared;

use crate::abi::PIRP;
use crate::io::IoState;
use crate::memory::Memory;

/// How time and concurrency work on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// One thread at a time, virtual time, every choice from the seed.
    Deterministic {
        /// The same seed gives the same run.
        seed: u64,
    },
    /// Real threads and processors.
    Threads {
        /// Threads that serve devices, DPCs and timers; at least one.
        processors: usize,
        /// For choices that are not left to the scheduler, such as page frame numbers.
        seed: u64,
    },
}

/// What a machine is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The clock.
    pub clock: Clock,
    /// Bytes of stack at which a thread overflows; a bug check. NT gives a thread 24 KiB, which
    /// unoptimised Rust code cannot be held to.
    pub stack_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Clock::Deterministic { seed: 0 },
            stack_limit: 1 << 20,
        }
    }
}

/// A driver known to the machine, for accounts and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DriverId(u16);

impl DriverId {
    /// No driver: the kernel or the harness.
    pub const NONE: Self = Self(0);

    pub(crate) fn number(self) -> u16 {
        self.0
    }

    pub(crate) fn from_number(number: u16) -> Self {
        Self(number)
    }
}

struct DriverInfo {
    name: Arc<str>,
    owner: Owner,
}

/// One simulated computer. See the module's documentation.
pub struct Machine {
    config: Config,
    core: Mutex<Core>,
    /// OS threads of spawned NT threads.
    handles: Mutex<Vec<JoinHandle<()>>>,
    /// The main thread of the run has something to look at.
    ended: Condvar,
    /// Processors of the threads clock wait here.
    processors: Condvar,
    stopped: AtomicBool,
    /// Virtual time, in 100 ns units (deterministic clock); what was skipped (threads clock).
    clock: AtomicU64,
    started: Instant,
    /// Time of the next thing due; 0 when a DPC waits.
    attention: AtomicU64,
    others_ready: AtomicUsize,
    /// Events of devices that interrupt at a DIRQL.
    pub(crate) hardware: AtomicUsize,
    spinners: AtomicUsize,
    trace: AtomicU64,
    stack_high_water: AtomicUsize,
    drivers: Mutex<Vec<DriverInfo>>,
    extensions: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    log: Mutex<Vec<String>>,
    partial_line: Mutex<String>,
    block_hook: Mutex<Option<fn()>>,
    fail: Mutex<Option<FailPredicate>>,
    failing: AtomicBool,
    pub(crate) accounts: Accounts,
    pub(crate) calls: Calls,
    pub(crate) memory: Memory,
    pub(crate) io: Mutex<IoState>,
    pub(crate) work: crate::io::WorkQueue,
    /// The system-wide cancel spin lock.
    pub(crate) cancel_lock: AtomicU64,
}

impl Machine {
    /// A machine that is switched off: nothing runs until [`Machine::run`].
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        bug_check::install_panic_hook();
        let seed = match config.clock {
            Clock::Deterministic { seed } | Clock::Threads { seed, .. } => seed,
        };
        Arc::new(Self {
            config,
            core: Mutex::new(Core::new(
                seed,
                matches!(config.clock, Clock::Deterministic { .. }),
            )),
            handles: Mutex::default(),
            ended: Condvar::new(),
            processors: Condvar::new(),
            stopped: AtomicBool::new(false),
            clock: AtomicU64::new(0),
            started: Instant::now(),
            attention: AtomicU64::new(u64::MAX),
            others_ready: AtomicUsize::new(0),
            hardware: AtomicUsize::new(0),
            spinners: AtomicUsize::new(0),
            trace: AtomicU64::new(0xCBF2_9CE4_8422_2325),
            stack_high_water: AtomicUsize::new(0),
            drivers: Mutex::new(vec![DriverInfo {
                name: "the kernel".into(),
                owner: Owner::Harness,
            }]),
            extensions: Mutex::default(),
            log: Mutex::default(),
            partial_line: Mutex::default(),
            block_hook: Mutex::default(),
            fail: Mutex::default(),
            failing: AtomicBool::new(false),
            accounts: Accounts::default(),
            calls: Calls::default(),
            memory: Memory::new(seed),
            io: Mutex::default(),
            work: crate::io::WorkQueue::default(),
            cancel_lock: AtomicU64::new(0),
        })
    }

    /// The machine that the calling thread belongs to.
    ///
    /// # Panics
    /// If it belongs to none.
    #[must_use]
    pub fn current() -> Arc<Self> {
        context::current().machine.clone()
    }

    /// The seed of the clock.
    #[must_use]
    pub fn seed(&self) -> u64 {
        match self.config.clock {
            Clock::Deterministic { seed } | Clock::Threads { seed, .. } => seed,
        }
    }

    /// What the machine was made of.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// Time since the machine was made, in units of 100 ns.
    #[must_use]
    pub fn now(&self) -> u64 {
        if self.is_deterministic() {
            self.clock.load(Ordering::Relaxed)
        } else {
            self.real_time() + self.clock.load(Ordering::Relaxed)
        }
    }

    fn real_time(&self) -> u64 {
        (self.started.elapsed().as_nanos() / 100) as u64
    }

    /// Moves the threads clock on to `time`.
    fn skip_to(&self, time: u64) {
        let ahead = time.saturating_sub(self.real_time());
        self.clock.fetch_max(ahead, Ordering::Relaxed);
    }

    /// A number below `bound` from the machine's seed; 0 if `bound` is 0.
    #[must_use]
    pub fn random(&self, bound: u64) -> u64 {
        self.core().rng.below(bound)
    }

    // ---- state of other modules ----

    /// The machine's only `T`, made on first use: how other modules keep their state per machine.
    ///
    /// # Panics
    /// Never: the map is keyed by type.
    #[must_use]
    pub fn extension<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let any = lock(&self.extensions)
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()))
            .clone();
        any.downcast().expect("the map is keyed by type")
    }

    /// Registers a driver; `owner` says to whose account its allocations go.
    pub fn add_driver(&self, name: &str, owner: Owner) -> DriverId {
        let mut drivers = lock(&self.drivers);
        drivers.push(DriverInfo {
            name: name.into(),
            owner,
        });
        DriverId((drivers.len() - 1) as u16)
    }

    /// The name `driver` was registered with.
    #[must_use]
    pub fn driver_name(&self, driver: DriverId) -> Arc<str> {
        lock(&self.drivers)[usize::from(driver.0)].name.clone()
    }

    pub(crate) fn driver_owner(&self, driver: DriverId) -> Owner {
        lock(&self.drivers)[usize::from(driver.0)].owner
    }

    pub(crate) fn thread_name(&self, thread: context::ThreadId) -> Arc<str> {
        self.core().threads[thread].name.clone()
    }

    /// `hook` is called before a driver's code blocks in a wait.
    pub fn set_block_hook(&self, hook: fn()) {
        *lock(&self.block_hook) = Some(hook);
    }

    pub(crate) fn block_hook(&self) -> Option<fn()> {
        *lock(&self.block_hook)
    }

    // ---- accounts ----

    /// What the drivers under test have allocated.
    #[must_use]
    pub fn allocations(&self) -> AllocationCounts {
        self.accounts.counts()
    }

    /// Counts framework objects made for a driver (`objects` may be negative when they go).
    pub fn count_framework(&self, objects: i64, bytes: i64) {
        self.accounts.framework(objects, bytes);
    }

    /// From now on allocations of drivers under test fail when `predicate` says so: Driver
    /// Verifier's low resources simulation. `None` ends it.
    pub fn fail_allocations(&self, predicate: Option<FailPredicate>) {
        self.failing.store(predicate.is_some(), Ordering::Relaxed);
        *lock(&self.fail) = predicate;
    }

    /// Whether the allocation that a driver under test asks for shall fail.
    #[must_use]
    pub fn shall_fail(&self, kind: AllocationKind, bytes: usize, tag: u32) -> bool {
        let ordinal = self.accounts.next_ordinal();
        if !self.failing.load(Ordering::Relaxed) {
            return false;
        }
        let request = AllocationRequest {
            kind,
            bytes,
            tag,
            ordinal,
        };
        lock(&self.fail)
            .as_ref()
            .is_some_and(|predicate| predicate(&request))
    }

    // ---- what a run leaves behind ----

    /// The most stack that any thread has used at an entry of `IofCallDriver` or
    /// `IofCompleteRequest`, in bytes. 0 under Miri, where addresses mean nothing.
    #[must_use]
    pub fn stack_high_water(&self) -> usize {
        self.stack_high_water.load(Ordering::Relaxed)
    }

    /// Starts the measurement again.
    pub fn reset_stack_high_water(&self) {
        self.stack_high_water.store(0, Ordering::Relaxed);
    }

    /// A hash over the order of all that happened: equal for equal seeds (deterministic clock).
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.load(Ordering::Relaxed)
    }

    /// Adds one step to the trace.
    pub(crate) fn note(&self, step: u64, detail: u64) {
        if self.is_deterministic() {
            let now = self.clock.load(Ordering::Relaxed);
            let hash = self.trace.load(Ordering::Relaxed) ^ (step << 56) ^ (detail << 32) ^ now;
            self.trace.store(
                hash.wrapping_mul(0x0100_0000_01B3).rotate_left(23),
                Ordering::Relaxed,
            );
        }
    }

    /// Lines that drivers printed.
    #[must_use]
    pub fn debug_log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    /// Adds a line to the debug log.
    pub fn log(&self, line: String) {
        lock(&self.log).push(line);
    }

    /// Adds text that may be a part of a line, or several.
    pub(crate) fn print(&self, text: &str) {
        let mut partial = lock(&self.partial_line);
        partial.push_str(text);
        while let Some(end) = partial.find('\n') {
            let line = partial[..end].trim_end().to_owned();
            partial.drain(..=end);
            self.log(line);
        }
    }

    /// Measures the stack; a bug check when it is used up.
    #[cfg_attr(
        miri,
        expect(clippy::unused_self, reason = "addresses mean nothing under Miri")
    )]
    pub(crate) fn sample_stack(&self, context: &context::Context, irp: PIRP) {
        #[cfg(not(miri))]
        {
            let here = (&raw const context).addr();
            let used = context.stack_base.get().saturating_sub(here);
            if used > self.stack_high_water.load(Ordering::Relaxed) {
                self.stack_high_water.fetch_max(used, Ordering::Relaxed);
                if used > self.config.stack_limit {
                    let story = format!(
                        "The kernel stack overflowed: {used} bytes in use at one call.\n{}",
                        irp_story(irp)
                    );
                    bug_check(codes::UNEXPECTED_KERNEL_MODE_TRAP, [8, 0, 0, 0], story);
                }
            }
        }
        #[cfg(miri)]
        let _ = (context, irp);
    }
}

/// Calls `f` with the calling thread's machine.
///
/// # Panics
/// If the thread belongs to no machine.
pub fn with<R>(f: impl FnOnce(&Machine) -> R) -> R {
    f(&context::current().machine)
}

/// A mutex of the simulation. A thread that panicked ends its machine; the data stays readable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
