//! Interrupt objects: how a driver connects its service routine to a line, and shares data with it.
//!
//! A line is level-triggered: as long as its device asserts it, the service routines are called
//! again. They run at the device's IRQL and with the interrupt's spin lock, on top of whatever runs
//! below that IRQL.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::abi::{KIRQL, KSPIN_LOCK, PKINTERRUPT, PKSERVICE_ROUTINE, PKSPIN_LOCK, PVOID};
use crate::machine::context::{self, Context};
use crate::machine::{DriverId, Machine, Owner, Shared, Violation, codes, lock};
use crate::{call, ke, memory};

/// What can assert a line.
pub(crate) trait Source: Send + Sync {
    /// Whether it does.
    fn asserted(&self) -> bool;
}

/// Service routines are called so often for one assertion before it is taken for a storm.
const STORM: u32 = 64;
/// Pool tag of interrupt objects: "Intr".
const TAG: u32 = u32::from_le_bytes(*b"Intr");

/// The lines of a machine, by vector.
#[derive(Default)]
pub(crate) struct Lines(Mutex<BTreeMap<u32, Line>>);

struct Line {
    irql: KIRQL,
    source: Arc<dyn Source>,
    connected: Vec<Arc<Connection>>,
}

struct Connection {
    object: Shared<crate::abi::KINTERRUPT>,
    spin_lock: Shared<KSPIN_LOCK>,
    routine: PKSERVICE_ROUTINE,
    context: Shared<core::ffi::c_void>,
    irql: KIRQL,
    driver: DriverId,
    /// `IoDisconnectInterrupt` has not been called.
    alive: AtomicBool,
}

/// Adds a line.
pub(super) fn add(machine: &Machine, vector: u32, irql: KIRQL, source: Arc<dyn Source>) {
    let lines = machine.extension::<Lines>();
    let line = Line {
        irql,
        source,
        connected: Vec::new(),
    };
    lock(&lines.0).insert(vector, line);
}

/// Removes a line whose device goes away.
pub(super) fn remove(machine: &Machine, vector: u32) {
    let lines = machine.extension::<Lines>();
    let removed = lock(&lines.0).remove(&vector);
    drop(removed);
}

/// Service routines that drivers have not disconnected.
pub(crate) fn leaks_of(machine: &Machine, driver: DriverId) -> Vec<String> {
    let lines = machine.extension::<Lines>();
    let lines = lock(&lines.0);
    let mut leaks = Vec::new();
    for (vector, line) in &*lines {
        for connection in &line.connected {
            if connection.driver == driver {
                leaks.push(format!("interrupt: vector {vector:#x} is still connected"));
            }
        }
    }
    leaks
}

/// The device asserts its line: the service routines are called until it does not any more.
pub(super) fn service(vector: u32) {
    let context = context::current();
    let lines = context.machine.extension::<Lines>();
    for _ in 0..STORM {
        let (source, connected) = match lock(&lines.0).get(&vector) {
            Some(line) => (Arc::clone(&line.source), line.connected.clone()),
            None => return,
        };
        // Without a service routine the line waits for one.
        if connected.is_empty() || !source.asserted() {
            return;
        }
        for connection in connected {
            connection.call(&context);
        }
    }
    let story = format!(
        "Interrupt storm: the service routines of vector {vector:#x} were called {STORM} times, and \
         the device still asserts the line. Nobody acknowledged it."
    );
    Violation::new(codes::HANG, [u64::from(vector), 0, 0, 0], story).raise();
}

impl Connection {
    /// Calls the service routine at the device's IRQL, with the interrupt's spin lock.
    fn call(&self, context: &Context) {
        self.synchronised(context, || {
            let Some(routine) = self.routine.filter(|_| self.alive.load(Ordering::Relaxed)) else {
                return;
            };
            call::as_driver(self.driver, "an interrupt service routine", || {
                // SAFETY: the driver's routine with the arguments that KSERVICE_ROUTINE [wdm.h] names.
                unsafe { call::enter(routine, (self.object.0, self.context.0)) }
            });
        });
    }

    /// Runs `work` at the interrupt's IRQL, with its spin lock.
    fn synchronised<T>(&self, context: &Context, work: impl FnOnce() -> T) -> T {
        let before = context.irql.replace(self.irql.max(context.irql.get()));
        // SAFETY: the lock was initialised when the interrupt was connected.
        unsafe { ke::acquire_spin_lock(context, self.spin_lock.0) };
        let result = work();
        // SAFETY: acquired above.
        unsafe { ke::release_spin_lock(context, self.spin_lock.0) };
        context.irql.set(before);
        result
    }
}

/// The interrupt that a driver passed.
fn find(context: &Context, function: &str, object: PKINTERRUPT) -> Arc<Connection> {
    let lines = context.machine.extension::<Lines>();
    let found = lock(&lines.0)
        .values()
        .flat_map(|line| &line.connected)
        .find(|connection| connection.object.0 == object)
        .cloned();
    found.unwrap_or_else(|| {
        let story = format!(
            "{function} with {object:p}, which is no interrupt object: it was disconnected, or never \
             connected."
        );
        let parameters = [object.addr() as u64, 0, 0, 0];
        Violation::new(codes::PAGE_FAULT_IN_NONPAGED_AREA, parameters, story).raise()
    })
}

/// What `IoConnectInterrupt` is told.
struct Wish {
    routine: PKSERVICE_ROUTINE,
    context: PVOID,
    spin_lock: PKSPIN_LOCK,
    irql: KIRQL,
}

/// Connects a service routine; `None` if there is no such line, or it has another IRQL.
fn connect(context: &Context, vector: u32, level: KIRQL, wish: &Wish) -> Option<PKINTERRUPT> {
    let lines = context.machine.extension::<Lines>();
    let mut table = lock(&lines.0);
    let line = table.get_mut(&vector)?;
    if line.irql != level || wish.irql < level {
        return None;
    }
    // Room for the interrupt's own spin lock; nothing else of it is anybody's business.
    let block = memory::pool_allocate(Owner::Harness, size_of::<KSPIN_LOCK>(), TAG);
    let spin_lock = if wish.spin_lock.is_null() {
        block.cast()
    } else {
        wish.spin_lock
    };
    line.connected.push(Arc::new(Connection {
        object: Shared(block.cast()),
        spin_lock: Shared(spin_lock),
        routine: wish.routine,
        context: Shared(wish.context),
        irql: wish.irql,
        driver: context.frame.get().driver,
        alive: AtomicBool::new(true),
    }));
    let waiting = line.source.asserted();
    drop(table);
    if waiting {
        ke::hardware_event(0, level, move || service(vector));
    }
    Some(block.cast())
}

fn disconnect(context: &Context, object: PKINTERRUPT) {
    let connection = find(context, "IoDisconnectInterrupt", object);
    // A service routine that runs on another processor ends first.
    connection.synchronised(context, || connection.alive.store(false, Ordering::Relaxed));
    let lines = context.machine.extension::<Lines>();
    for line in lock(&lines.0).values_mut() {
        line.connected.retain(|other| other.object.0 != object);
    }
    context.machine.extension::<Ended>().keep(connection.object);
}

/// Interrupt objects that were disconnected: a processor that was about to call the service routine
/// may still take the spin lock inside. They go with the machine.
#[derive(Default)]
struct Ended(Mutex<Vec<Shared<crate::abi::KINTERRUPT>>>);

impl Ended {
    fn keep(&self, object: Shared<crate::abi::KINTERRUPT>) {
        lock(&self.0).push(object);
    }
}

pub(super) mod exports {
    //! `IoConnectInterrupt` to `KeSynchronizeExecution`.

    use super::{Wish, connect, disconnect, find};
    use crate::abi::{
        BOOLEAN, KAFFINITY, KINTERRUPT_MODE, KIRQL, NTSTATUS, PKINTERRUPT, PKSERVICE_ROUTINE,
        PKSPIN_LOCK, PKSYNCHRONIZE_ROUTINE, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    };
    use crate::export::exports;
    use crate::machine::{Violation, codes};
    use crate::{call, ke};

    exports! { run;
        /// Connects a service routine to a line. `PASSIVE_LEVEL`.
        fn IoConnectInterrupt(InterruptObject: *mut PKINTERRUPT, ServiceRoutine: PKSERVICE_ROUTINE, ServiceContext: PVOID, SpinLock: PKSPIN_LOCK, Vector: ULONG, Irql: KIRQL, SynchronizeIrql: KIRQL, InterruptMode: KINTERRUPT_MODE, ShareVector: BOOLEAN, ProcessorEnableMask: KAFFINITY, FloatingSave: BOOLEAN) -> NTSTATUS {
            run.irql_at_most(0);
            let wish = Wish {
                routine: ServiceRoutine,
                context: ServiceContext,
                spin_lock: SpinLock,
                irql: SynchronizeIrql,
            };
            let Some(object) = connect(run.context(), Vector, Irql, &wish) else {
                return STATUS_INVALID_PARAMETER;
            };
            // SAFETY: the caller's place for the pointer.
            unsafe { InterruptObject.write(object) };
            STATUS_SUCCESS
        }

        /// Disconnects a service routine; it does not run any more afterwards. `PASSIVE_LEVEL`.
        fn IoDisconnectInterrupt(InterruptObject: PKINTERRUPT) {
            run.irql_at_most(0);
            disconnect(run.context(), InterruptObject);
        }

        /// Calls a routine at the interrupt's IRQL and with its spin lock. Up to that IRQL.
        fn KeSynchronizeExecution(Interrupt: PKINTERRUPT, SynchronizeRoutine: PKSYNCHRONIZE_ROUTINE, SynchronizeContext: PVOID) -> BOOLEAN {
            let context = run.context();
            let connection = find(context, "KeSynchronizeExecution", Interrupt);
            run.irql_at_most(connection.irql);
            let Some(routine) = SynchronizeRoutine else {
                let story = "KeSynchronizeExecution without a routine.";
                Violation::new(codes::PAGE_FAULT_IN_NONPAGED_AREA, [0; 4], story).raise();
            };
            connection.synchronised(context, || {
                call::as_driver(connection.driver, "a SynchCritSection routine", || {
                    // SAFETY: the driver's routine with its own argument.
                    unsafe { call::enter(routine, (SynchronizeContext,)) }
                })
            })
        }

        /// Raises to the interrupt's IRQL and takes its spin lock; returns the IRQL before.
        fn KeAcquireInterruptSpinLock(Interrupt: PKINTERRUPT) -> KIRQL {
            let context = run.context();
            let connection = find(context, "KeAcquireInterruptSpinLock", Interrupt);
            run.irql_at_most(connection.irql);
            let before = context.irql.replace(connection.irql);
            // SAFETY: initialised when the interrupt was connected.
            unsafe { ke::acquire_spin_lock(context, connection.spin_lock.0) };
            before
        }

        /// Releases the interrupt's spin lock and lowers to `OldIrql`.
        fn KeReleaseInterruptSpinLock(Interrupt: PKINTERRUPT, OldIrql: KIRQL) {
            let context = run.context();
            let connection = find(context, "KeReleaseInterruptSpinLock", Interrupt);
            // SAFETY: the caller's contract.
            unsafe { ke::release_spin_lock(context, connection.spin_lock.0) };
            context.irql.set(OldIrql);
        }
    }
}
