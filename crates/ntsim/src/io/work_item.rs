//! Work items: routines that system worker threads run at `PASSIVE_LEVEL`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::abi::{
    PDEVICE_OBJECT, PIO_WORKITEM, PIO_WORKITEM_ROUTINE, PIO_WORKITEM_ROUTINE_EX, PVOID, ULONG,
    WORK_QUEUE_TYPE,
};
use crate::call;
use crate::export::exports;
use crate::machine::context::{self, Context, DISPATCH};
use crate::machine::core::OBJECT_WORK;
use crate::machine::table::AddressMap;
use crate::machine::{AllocationKind, DriverId, Machine, Owner, Violation, codes, lock};
use crate::memory::{pool_allocate, pool_free};

/// Bytes of an `IO_WORKITEM` (nothing looks inside).
const BYTES: usize = 64;
const TAG: u32 = u32::from_le_bytes(*b"IoWi");

enum Routine {
    Plain(PIO_WORKITEM_ROUTINE),
    Ex(PIO_WORKITEM_ROUTINE_EX),
}

struct Entry {
    item: PIO_WORKITEM,
    device: PDEVICE_OBJECT,
    routine: Routine,
    argument: PVOID,
    driver: DriverId,
}

struct Item {
    device: PDEVICE_OBJECT,
    queued: bool,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    items: AddressMap<Item>,
}

/// The work of one machine.
#[derive(Default)]
pub(crate) struct WorkQueue {
    queue: Mutex<Queue>,
    /// Queued or running.
    outstanding: AtomicUsize,
}

// SAFETY: the pointers are the drivers' and go back to the drivers.
unsafe impl Send for Queue {}

impl Machine {
    pub(crate) fn work_outstanding(&self) -> bool {
        self.work.outstanding.load(Ordering::SeqCst) > 0
    }

    fn queue_work(self: &Arc<Self>, entry: Entry) {
        self.work.outstanding.fetch_add(1, Ordering::SeqCst);
        lock(&self.work.queue).entries.push_back(entry);
        let mut core = self.core();
        let woken = core.wake_one(OBJECT_WORK);
        self.update_attention(&mut core);
        drop(core);
        if !woken {
            let machine = self.clone();
            self.spawn("system worker", true, move || machine.worker());
        }
    }

    /// The life of a system worker thread.
    fn worker(&self) {
        let context = context::current();
        loop {
            let core = self.core();
            let entry = lock(&self.work.queue).entries.pop_front();
            match entry {
                Some(entry) => {
                    drop(core);
                    run_entry(self, entry);
                    self.work.outstanding.fetch_sub(1, Ordering::SeqCst);
                    self.notify_ended();
                }
                None if core.closing => return,
                None => {
                    let mut core = core;
                    let place = "for work".to_owned();
                    core.begin_wait(context.thread, OBJECT_WORK, None, place);
                    self.sleep(&context, core);
                }
            }
        }
    }
}

fn run_entry(machine: &Machine, entry: Entry) {
    if let Some(item) = lock(&machine.work.queue).items.get_mut(&entry.item.addr()) {
        item.queued = false;
    }
    let Entry {
        item,
        device,
        routine,
        argument,
        driver,
    } = entry;
    call::as_driver(driver, "a work item", || match routine {
        // SAFETY: the driver's own routine; the device exists while its item is queued.
        Routine::Plain(Some(routine)) => unsafe { call::enter(routine, (device, argument)) },
        // SAFETY: as above.
        Routine::Ex(Some(routine)) => unsafe {
            call::enter(routine, (device.cast(), argument, item));
        },
        Routine::Plain(None) | Routine::Ex(None) => {}
    });
}

exports! { run;
    /// Bytes of a work item.
    fn IoSizeofWorkItem() -> ULONG {
        BYTES as ULONG
    }

    /// A work item of a device; null when there is none.
    fn IoAllocateWorkItem(DeviceObject: PDEVICE_OBJECT) -> PIO_WORKITEM {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let owner = context.frame.get().owner;
        if owner == Owner::Driver && context.machine.shall_fail(AllocationKind::Pool, BYTES, TAG) {
            return std::ptr::null_mut();
        }
        let item: PIO_WORKITEM = pool_allocate(owner, BYTES, TAG).cast();
        let entry = Item { device: DeviceObject, queued: false };
        lock(&context.machine.work.queue).items.insert(item.addr(), entry);
        item
    }

    /// Frees a work item.
    fn IoFreeWorkItem(IoWorkItem: PIO_WORKITEM) {
        run.irql_at_most(DISPATCH);
        let context = run.context();
        let removed = lock(&context.machine.work.queue).items.remove(&IoWorkItem.addr());
        match removed {
            Some(item) if !item.queued => {
                // SAFETY: the caller gives it up, and it is not queued.
                unsafe { pool_free(IoWorkItem.cast()) };
            }
            Some(_) => misused(IoWorkItem, "IoFreeWorkItem of a work item that is queued."),
            None => misused(IoWorkItem, "IoFreeWorkItem of something that is no work item."),
        }
    }

    /// Queues a routine to run at `PASSIVE_LEVEL`.
    fn IoQueueWorkItem(IoWorkItem: PIO_WORKITEM, WorkerRoutine: PIO_WORKITEM_ROUTINE, QueueType: WORK_QUEUE_TYPE, Context: PVOID) {
        run.irql_at_most(DISPATCH);
        queue(run.context(), IoWorkItem, Routine::Plain(WorkerRoutine), Context);
    }

    /// As `IoQueueWorkItem`; the routine is also given the work item.
    fn IoQueueWorkItemEx(IoWorkItem: PIO_WORKITEM, WorkerRoutine: PIO_WORKITEM_ROUTINE_EX, QueueType: WORK_QUEUE_TYPE, Context: PVOID) {
        run.irql_at_most(DISPATCH);
        queue(run.context(), IoWorkItem, Routine::Ex(WorkerRoutine), Context);
    }
}

fn queue(context: &Context, item: PIO_WORKITEM, routine: Routine, argument: PVOID) {
    let device = {
        let mut queue = lock(&context.machine.work.queue);
        match queue.items.get_mut(&item.addr()) {
            Some(entry) if !entry.queued => {
                entry.queued = true;
                Ok(entry.device)
            }
            Some(_) => Err("A work item was queued that is queued already."),
            None => Err("IoQueueWorkItem of something that is no work item."),
        }
    };
    let device = device.unwrap_or_else(|story| misused(item, story));
    let driver = context.frame.get().driver;
    context.machine.queue_work(Entry {
        item,
        device,
        routine,
        argument,
        driver,
    });
}

fn misused(item: PIO_WORKITEM, story: &str) -> ! {
    Violation::verifier(codes::strict::WORK_ITEM, item.addr(), 0, story).raise()
}
