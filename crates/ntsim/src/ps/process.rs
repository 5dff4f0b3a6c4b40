//! Processes as the harness has them.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::ProcessId;
use crate::abi::{PEPROCESS, PETHREAD};
use crate::machine::{self, Machine, NtThread, Violation, codes, context, lock};
use crate::memory::UserSpace;

/// The processes of a machine.
#[derive(Default)]
struct Processes {
    made: AtomicU32,
    alive: Mutex<Vec<Process>>,
}

/// A process with memory of its own below `MmUserProbeAddress`. Clones are the same process.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    id: ProcessId,
    name: String,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({}, {:p})", self.name(), self.object())
    }
}

impl Process {
    /// Starts a process on the calling thread's machine. It lives until [`Self::exit`], or until
    /// the world ends.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let machine = Machine::current();
        let processes = machine.extension::<Processes>();
        let id = ProcessId(processes.made.fetch_add(1, Ordering::Relaxed) + 1);
        machine.memory.user().add(id);
        let process = Self(Arc::new(Inner {
            id,
            name: name.to_owned(),
        }));
        lock(&processes.alive).push(process.clone());
        process
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The process object, a label.
    #[must_use]
    pub fn object(&self) -> PEPROCESS {
        self.0.id.object()
    }

    /// The object of its first thread, a label: what `Tail.Overlay.Thread` of its requests can be.
    #[must_use]
    pub fn thread(&self) -> PETHREAD {
        self.0.id.thread(0)
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.0.id
    }

    /// Its memory.
    #[must_use]
    pub fn memory(&self) -> UserSpace {
        UserSpace::new(self.0.id)
    }

    /// Runs `f` with the calling thread as one of this process. `PASSIVE_LEVEL`.
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        in_process(self.0.id, f)
    }

    /// Runs `f` on another NT thread, one of this process.
    pub fn spawn(&self, name: &str, f: impl FnOnce() + Send + 'static) -> NtThread {
        let id = self.0.id;
        Machine::current().spawn_thread(name, move || in_process(id, f))
    }

    /// Pages that are locked in its address space, each counted as often as it is locked.
    #[must_use]
    pub fn locked_pages(&self) -> usize {
        machine::with(|machine| machine.memory.user().locked_in(self.0.id))
    }

    /// Sets how many pages may be locked in its address space at a time: what its working set has
    /// room for. Beyond that `MmProbeAndLockPages` raises `STATUS_WORKING_SET_QUOTA`.
    pub fn limit_locked_pages(&self, pages: usize) {
        machine::with(|machine| machine.memory.user().limit_process(self.0.id, Some(pages)));
    }

    /// Ends the process. A bug check (0x76) if some of its pages are still locked.
    pub fn exit(&self) {
        let machine = Machine::current();
        let processes = machine.extension::<Processes>();
        lock(&processes.alive).retain(|other| other.0.id != self.0.id);
        let locked = machine.memory.user().locks_of(self.0.id);
        if !locked.is_empty() {
            let mut story = format!("The process \"{}\" ends with locked pages:\n", self.name());
            locked.tell(&machine, &mut story);
            let parameters = [0, self.object().addr() as u64, locked.pages() as u64, 0];
            Violation::new(codes::PROCESS_HAS_LOCKED_PAGES, parameters, story).raise();
        }
        machine.memory.user().remove(self.0.id);
    }
}

/// Runs `f` with the calling thread as one of `process`.
pub(crate) fn in_process<T>(process: ProcessId, f: impl FnOnce() -> T) -> T {
    let context = context::current();
    let before = context.process.replace(process);
    let result = f();
    context.process.set(before);
    result
}

/// Ends every process of the machine, as its shutdown does.
pub(crate) fn end_all(machine: &Machine) {
    let processes = machine.extension::<Processes>();
    loop {
        let Some(process) = lock(&processes.alive).last().cloned() else {
            return;
        };
        process.exit();
    }
}
