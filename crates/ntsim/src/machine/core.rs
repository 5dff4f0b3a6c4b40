//! The dispatcher database: threads, who waits for what, what is due when.
//!
//! One mutex guards it. Nothing here calls a driver; what is to be called is handed out.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Condvar};

use super::DriverId;
use super::bug_check::BugCheck;
use super::context::ThreadId;
use super::rng::Rng;
use super::table::AddressMap;
use crate::abi::{
    DISPATCHER_HEADER, KIRQL, NTSTATUS, PKDEFERRED_ROUTINE, PKDPC, PKTIMER, PVOID, STATUS_SUCCESS,
    STATUS_TIMEOUT,
};

/// Pseudo objects that threads of the simulation itself wait for. No real object has such an address.
pub(crate) const OBJECT_DPCS_FLUSHED: usize = 1;
pub(crate) const OBJECT_IDLE: usize = 2;
pub(crate) const OBJECT_DELAY: usize = 3;
pub(crate) const OBJECT_WORK: usize = 4;
pub(crate) const OBJECT_THREAD_END: usize = 16;

/// Header types, as the kernel numbers its dispatcher objects.
pub(crate) const SYNCHRONIZATION_EVENT: u8 = 1;
pub(crate) const NOTIFICATION_TIMER: u8 = 8;
pub(crate) const SYNCHRONIZATION_TIMER: u8 = 9;

/// A device's interrupt service.
pub(crate) type DeviceRoutine = Box<dyn FnOnce() + Send>;

/// Names a device event that has not happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    slot: usize,
    sequence: u64,
}

pub(crate) struct Thread {
    pub(crate) name: Arc<str>,
    pub(crate) turn: Arc<Condvar>,
    /// Serves the machine (work items, interrupts); a run does not wait for it.
    pub(crate) system: bool,
    pub(crate) ended: bool,
    /// Blocked in a wait, its OS thread asleep.
    pub(crate) asleep: bool,
    wait: Option<Wait>,
    outcome: Option<NTSTATUS>,
    /// What it was doing when it blocked.
    pub(crate) place: String,
}

struct Wait {
    object: usize,
    sequence: u64,
}

/// Something that happens at a time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time: u64,
    sequence: u64,
    what: DueKind,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum DueKind {
    Device(usize),
    Timer(usize),
    Timeout(ThreadId),
}

pub(crate) struct TimerRecord {
    pub(crate) timer: PKTIMER,
    pub(crate) dpc: PKDPC,
    sequence: u64,
}

/// A queued DPC with what its routine will be given.
#[derive(Clone, Copy)]
pub(crate) struct DpcCall {
    pub(crate) dpc: PKDPC,
    pub(crate) routine: PKDEFERRED_ROUTINE,
    pub(crate) context: PVOID,
    pub(crate) arguments: [PVOID; 2],
    pub(crate) driver: DriverId,
    pub(crate) sequence: u64,
}

/// What to run at `DISPATCH_LEVEL`.
pub(crate) enum Interrupt {
    /// With the number under which it counts as active.
    Device(DeviceRoutine, u64),
    Dpc(DpcCall),
}

pub(crate) struct Core {
    pub(crate) rng: Rng,
    /// The deterministic clock's rule: only the thread in `running` runs.
    baton: bool,
    pub(crate) threads: Vec<Thread>,
    /// Threads that could run and do not (deterministic clock).
    pub(crate) ready: Vec<ThreadId>,
    pub(crate) running: Option<ThreadId>,
    /// Threads that want a spin lock somebody holds, with its address.
    pub(crate) spinning: Vec<(ThreadId, usize)>,
    /// Threads of the run that have not ended.
    pub(crate) live: usize,
    /// Worker threads that have not ended.
    pub(crate) workers: usize,
    /// Threads and processors that execute code (threads clock).
    pub(crate) busy: usize,
    waiters: AddressMap<VecDeque<ThreadId>>,
    heap: BinaryHeap<Reverse<Due>>,
    events: Vec<Option<(u64, DeviceRoutine)>>,
    free_events: Vec<usize>,
    /// Events of devices that interrupt at a DIRQL: when, which, and that level.
    hardware: Vec<(u64, EventId, KIRQL)>,
    pub(crate) dpcs: VecDeque<DpcCall>,
    pub(crate) active_dpcs: Vec<u64>,
    pub(crate) timers: AddressMap<TimerRecord>,
    /// Initialised DPCs and the driver each belongs to.
    pub(crate) dpc_drivers: AddressMap<DriverId>,
    /// Initialised timers.
    pub(crate) known_timers: AddressMap<DriverId>,
    sequence: u64,
    pub(crate) stopped: Option<BugCheck>,
    pub(crate) panic: Option<Box<dyn Any + Send>>,
    /// The run is over but for its worker threads.
    pub(crate) closing: bool,
    pub(crate) finished: bool,
}

// SAFETY: the raw pointers are addresses of driver objects that the core hands back and never
// follows except under its own lock, as the kernel's dispatcher does.
unsafe impl Send for Core {}

impl Core {
    pub(crate) fn new(seed: u64, baton: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            baton,
            threads: Vec::new(),
            ready: Vec::new(),
            running: None,
            spinning: Vec::new(),
            live: 0,
            workers: 0,
            busy: 0,
            waiters: AddressMap::default(),
            heap: BinaryHeap::new(),
            events: Vec::new(),
            free_events: Vec::new(),
            hardware: Vec::new(),
            dpcs: VecDeque::new(),
            active_dpcs: Vec::new(),
            timers: AddressMap::default(),
            dpc_drivers: AddressMap::default(),
            known_timers: AddressMap::default(),
            sequence: 0,
            stopped: None,
            panic: None,
            closing: false,
            finished: false,
        }
    }

    pub(crate) fn add_thread(&mut self, name: &str, system: bool) -> ThreadId {
        self.threads.push(Thread {
            name: name.into(),
            turn: Arc::new(Condvar::new()),
            system,
            ended: false,
            asleep: false,
            wait: None,
            outcome: None,
            place: String::new(),
        });
        self.threads.len() - 1
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    // ---- waiting ----

    /// Takes the object if it is signalled.
    ///
    /// # Safety
    /// `object` is a valid dispatcher object.
    #[expect(
        clippy::unused_self,
        reason = "having the core is what guards the object"
    )]
    pub(crate) unsafe fn try_take(&mut self, object: *mut DISPATCHER_HEADER) -> bool {
        // SAFETY: the caller's contract; the core's lock guards the field.
        unsafe {
            if (*object).SignalState <= 0 {
                return false;
            }
            let kind = (*object).__bindgen_anon_1.__bindgen_anon_1.Type;
            if kind == SYNCHRONIZATION_EVENT || kind == SYNCHRONIZATION_TIMER {
                (*object).SignalState = 0;
            }
        }
        true
    }

    /// Puts `thread` on `object`'s list of waiters, until `due` at the latest.
    pub(crate) fn begin_wait(
        &mut self,
        thread: ThreadId,
        object: usize,
        due: Option<u64>,
        place: String,
    ) {
        let sequence = self.next_sequence();
        let state = &mut self.threads[thread];
        state.wait = Some(Wait { object, sequence });
        state.outcome = None;
        state.place = place;
        self.waiters.entry(object).or_default().push_back(thread);
        if let Some(time) = due {
            self.push_due(time, sequence, DueKind::Timeout(thread));
        }
    }

    /// The outcome of `thread`'s wait, once there is one.
    pub(crate) fn take_outcome(&mut self, thread: ThreadId) -> Option<NTSTATUS> {
        self.threads[thread].outcome.take()
    }

    pub(crate) fn has_outcome(&self, thread: ThreadId) -> bool {
        self.threads[thread].outcome.is_some()
    }

    /// Signals an event or timer and lets waiters go as its type says. Returns the previous state.
    ///
    /// # Safety
    /// `object` is a valid dispatcher object.
    pub(crate) unsafe fn signal(&mut self, object: *mut DISPATCHER_HEADER) -> i32 {
        let address = object.addr();
        // SAFETY: the caller's contract; the core's lock guards the fields.
        unsafe {
            let before = (*object).SignalState;
            let kind = (*object).__bindgen_anon_1.__bindgen_anon_1.Type;
            let one = kind == SYNCHRONIZATION_EVENT || kind == SYNCHRONIZATION_TIMER;
            if one && self.wake_one(address) {
                (*object).SignalState = 0;
            } else {
                (*object).SignalState = 1;
                if !one {
                    self.wake_all(address);
                }
            }
            before
        }
    }

    pub(crate) fn wake_one(&mut self, object: usize) -> bool {
        let Some(&thread) = self.waiters.get(&object).and_then(VecDeque::front) else {
            return false;
        };
        self.satisfy(thread, STATUS_SUCCESS);
        true
    }

    pub(crate) fn wake_all(&mut self, object: usize) {
        while self.wake_one(object) {}
    }

    pub(crate) fn has_waiter(&self, object: usize) -> bool {
        self.waiters.contains_key(&object)
    }

    /// Ends `thread`'s wait.
    fn satisfy(&mut self, thread: ThreadId, outcome: NTSTATUS) {
        let state = &mut self.threads[thread];
        let Some(wait) = state.wait.take() else {
            return;
        };
        state.outcome = Some(outcome);
        if let Some(list) = self.waiters.get_mut(&wait.object) {
            list.retain(|&waiter| waiter != thread);
            if list.is_empty() {
                self.waiters.remove(&wait.object);
            }
        }
        if state.asleep {
            state.asleep = false;
            self.busy += 1;
            if self.baton {
                self.ready.push(thread);
            } else {
                state.turn.notify_all();
            }
        }
    }

    // ---- time ----

    fn push_due(&mut self, time: u64, sequence: u64, what: DueKind) {
        self.heap.push(Reverse(Due {
            time,
            sequence,
            what,
        }));
    }

    pub(crate) fn add_device_event(&mut self, time: u64, routine: DeviceRoutine) -> EventId {
        let sequence = self.next_sequence();
        let slot = self.free_events.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some((sequence, routine));
        self.push_due(time, sequence, DueKind::Device(slot));
        EventId { slot, sequence }
    }

    /// True if the event had not happened.
    pub(crate) fn cancel_device_event(&mut self, event: EventId) -> Option<DeviceRoutine> {
        let entry = self.events.get_mut(event.slot)?;
        if entry.as_ref()?.0 != event.sequence {
            return None;
        }
        let (_, routine) = entry.take()?;
        self.free_events.push(event.slot);
        Some(routine)
    }

    /// Marks an event as one that comes through at any IRQL below `level`. Returns how many there are.
    pub(crate) fn mark_hardware(&mut self, time: u64, event: EventId, level: KIRQL) -> usize {
        self.forget_hardware();
        self.hardware.push((time, event, level));
        self.hardware.len()
    }

    /// Forgets what has happened.
    fn forget_hardware(&mut self) {
        let events = &self.events;
        self.hardware.retain(|(_, event, _)| {
            let entry = events.get(event.slot).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.0 == event.sequence)
        });
    }

    /// The next hardware event that is due at `now` and comes through at `irql`, and how many are
    /// left.
    pub(crate) fn take_hardware(
        &mut self,
        now: u64,
        irql: KIRQL,
    ) -> (Option<DeviceRoutine>, usize) {
        self.forget_hardware();
        let due = |&(time, _, level): &(u64, EventId, KIRQL)| time <= now && irql < level;
        let found = self.hardware.iter().position(due);
        let event = found.map(|index| self.hardware.remove(index).1);
        let routine = event.and_then(|event| self.cancel_device_event(event));
        (routine, self.hardware.len())
    }

    /// Sets a timer; true if it was set before.
    pub(crate) fn set_timer(&mut self, timer: PKTIMER, time: u64, dpc: PKDPC) -> bool {
        let sequence = self.next_sequence();
        let record = TimerRecord {
            timer,
            dpc,
            sequence,
        };
        let before = self.timers.insert(timer.addr(), record);
        self.push_due(time, sequence, DueKind::Timer(timer.addr()));
        before.is_some()
    }

    /// The time of the next thing that is due, stale entries removed.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        loop {
            let time = self.heap.peek()?.0.time;
            if !self.is_stale() {
                return Some(time);
            }
            self.heap.pop();
        }
    }

    fn is_stale(&self) -> bool {
        let Some(Reverse(due)) = self.heap.peek() else {
            return false;
        };
        match due.what {
            DueKind::Device(slot) => self.events[slot]
                .as_ref()
                .is_none_or(|entry| entry.0 != due.sequence),
            DueKind::Timer(address) => self
                .timers
                .get(&address)
                .is_none_or(|timer| timer.sequence != due.sequence),
            DueKind::Timeout(thread) => self.threads[thread]
                .wait
                .as_ref()
                .is_none_or(|wait| wait.sequence != due.sequence),
        }
    }

    /// The next thing to run at `DISPATCH_LEVEL`: a DPC, or what is due at `now`. Timers and
    /// timeouts that are due take effect on the way.
    pub(crate) fn take_interrupt(&mut self, now: u64) -> Option<Interrupt> {
        loop {
            if let Some(call) = self.dpcs.pop_front() {
                // SAFETY: a queued DPC is valid memory: freeing it while queued is a bug check. From
                // here on the driver may queue it again, or free it.
                unsafe {
                    (*call.dpc).DpcData = std::ptr::null_mut();
                }
                self.active_dpcs.push(call.sequence);
                return Some(Interrupt::Dpc(call));
            }
            if self.next_due()? > now {
                return None;
            }
            let Reverse(due) = self.heap.pop()?;
            match due.what {
                DueKind::Device(slot) => {
                    let (_, routine) = self.events[slot].take()?;
                    self.free_events.push(slot);
                    // A port driver's DPC to others: KeFlushQueuedDpcs waits for it too.
                    self.active_dpcs.push(due.sequence);
                    return Some(Interrupt::Device(routine, due.sequence));
                }
                DueKind::Timer(address) => self.expire(address),
                DueKind::Timeout(thread) => self.satisfy(thread, STATUS_TIMEOUT),
            }
        }
    }

    fn expire(&mut self, address: usize) {
        let Some(record) = self.timers.remove(&address) else {
            return;
        };
        // SAFETY: a timer that is set is valid memory: freeing it while set is a bug check.
        unsafe {
            self.signal(&raw mut (*record.timer).Header);
        }
        if !record.dpc.is_null() {
            // SAFETY: as for the timer; KeSetTimer took the DPC for as long as the timer is set.
            unsafe {
                self.queue_dpc(record.dpc, [std::ptr::null_mut(); 2]);
            }
        }
    }

    /// Queues a DPC; false if it is queued already.
    ///
    /// # Safety
    /// `dpc` is initialised.
    pub(crate) unsafe fn queue_dpc(&mut self, dpc: PKDPC, arguments: [PVOID; 2]) -> bool {
        let sequence = self.next_sequence();
        let driver = self
            .dpc_drivers
            .get(&dpc.addr())
            .copied()
            .unwrap_or(DriverId::NONE);
        // SAFETY: the caller's contract; the core's lock guards a queued DPC's fields.
        unsafe {
            if !(*dpc).DpcData.is_null() {
                return false;
            }
            // Non-null while queued, as in the kernel; nothing follows it.
            (*dpc).DpcData = std::ptr::without_provenance_mut(sequence as usize);
            (*dpc).SystemArgument1 = arguments[0];
            (*dpc).SystemArgument2 = arguments[1];
            self.dpcs.push_back(DpcCall {
                dpc,
                routine: (*dpc).DeferredRoutine,
                context: (*dpc).DeferredContext,
                arguments,
                driver,
                sequence,
            });
        }
        true
    }

    /// The DPC's routine has returned.
    pub(crate) fn dpc_done(&mut self, sequence: u64) {
        self.active_dpcs.retain(|&active| active != sequence);
        self.wake_all(OBJECT_DPCS_FLUSHED);
    }

    /// Whether a DPC queued up to `sequence` still waits or runs.
    pub(crate) fn dpc_outstanding(&self, sequence: u64) -> bool {
        self.dpcs.iter().any(|call| call.sequence <= sequence)
            || self.active_dpcs.iter().any(|&active| active <= sequence)
    }

    /// Whether anything will happen by itself.
    pub(crate) fn anything_due(&mut self) -> bool {
        !self.dpcs.is_empty() || self.next_due().is_some()
    }

    /// One line per thread that has not ended.
    pub(crate) fn describe_threads(&self) -> String {
        let mut text = String::new();
        for (id, thread) in self.threads.iter().enumerate() {
            if thread.ended || thread.system {
                continue;
            }
            let state = match (
                &thread.wait,
                self.spinning.iter().find(|entry| entry.0 == id),
            ) {
                (_, Some((_, lock))) => format!("wants the spin lock at {lock:#x}"),
                (Some(_), None) => format!("waits: {}", thread.place),
                (None, None) => "could run".to_owned(),
            };
            let _infallible = writeln!(text, "  thread \"{}\" {state}", thread.name);
        }
        text
    }
}
