//! A started device and the drivers on it: what scenarios ask of it in every kind of world.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::buffer::{Buffer, Layout};
use crate::abi::{_EVENT_TYPE, KEVENT, NTSTATUS, PDEVICE_OBJECT};
use crate::ke;
use crate::machine::Machine;
use crate::pnp::{DevicePower, Devnode};

/// Requests sent and come back, over all threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: AtomicU64,
    finished: AtomicU64,
}

impl Tally {
    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finished(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.finished.load(Ordering::Relaxed),
        )
    }
}

/// A started device with its drivers; [`Stack`](super::Stack) and [`DmaStack`](super::DmaStack) say
/// what is at the bottom.
pub struct Device {
    machine: Arc<Machine>,
    /// Taken out while somebody works on it: what the `PnP` manager does may block.
    node: Mutex<Option<Devnode>>,
    top: PDEVICE_OBJECT,
    tally: Arc<Tally>,
}

// SAFETY: the device object at the top is only named here; the I/O manager takes it from any
// thread. The other parts are `Send` and `Sync` of their own.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// `top` is where requests are sent to.
    pub(super) fn new(machine: Arc<Machine>, node: Devnode, top: PDEVICE_OBJECT) -> Self {
        Self {
            machine,
            node: Mutex::new(Some(node)),
            top,
            tally: Arc::default(),
        }
    }

    /// Works on the device node; nobody else can meanwhile.
    pub(super) fn with_node<T>(&self, work: impl FnOnce(&mut Devnode) -> T) -> T {
        let slot = || self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slot().take();
        let mut node = taken.expect("one thread at a time starts, stops and removes a device");
        let result = work(&mut node);
        *slot() = Some(node);
        result
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

/// Buffers.
impl Device {
    /// `length` bytes on scattered frames, starting `page_offset` bytes into the first page.
    ///
    /// # Panics
    /// When `page_offset` is a page or more.
    pub fn buffer(&self, length: usize, page_offset: usize) -> Buffer {
        Buffer::new(length, page_offset, Layout::Scattered)
    }

    /// The same on neighbouring frames.
    ///
    /// # Panics
    /// When `page_offset` is a page or more.
    pub fn buffer_contiguous(&self, length: usize, page_offset: usize) -> Buffer {
        Buffer::new(length, page_offset, Layout::Contiguous)
    }

    /// The same on runs of `run_pages` neighbouring frames.
    ///
    /// # Panics
    /// When `page_offset` is a page or more.
    pub fn buffer_runs(&self, length: usize, page_offset: usize, run_pages: usize) -> Buffer {
        Buffer::new(length, page_offset, Layout::Runs(run_pages))
    }

    /// `length` bytes whose frames all have numbers of their own but share `host_pages` pages of
    /// host memory: a request of 1 GiB then needs no more memory than its MDL. Meant for a
    /// [`Disk::pattern`](crate::port::Disk::pattern) of as many pages, whose contents repeat in the
    /// same way.
    pub fn buffer_pattern(&self, length: usize, page_offset: usize, host_pages: usize) -> Buffer {
        Buffer::new(length, page_offset, Layout::Aliased(host_pages))
    }
}

/// `PnP` and power, as the `PnP` manager does them. `PASSIVE_LEVEL`.
impl Device {
    /// `QUERY_STOP` and `STOP`: the device keeps its driver, and its resources go.
    ///
    /// # Errors
    /// What the stack answered.
    pub fn stop(&self) -> Result<(), NTSTATUS> {
        self.with_node(Devnode::stop)
    }

    /// `START` after [`Self::stop`].
    ///
    /// # Errors
    /// What the stack answered.
    pub fn start(&self) -> Result<(), NTSTATUS> {
        self.with_node(Devnode::restart)
    }

    /// `QUERY_REMOVE` (unless it was pulled out) and `REMOVE`. Nothing may be sent afterwards.
    ///
    /// # Errors
    /// What the stack answered to `QUERY_REMOVE`.
    pub fn remove(&self) -> Result<(), NTSTATUS> {
        self.with_node(Devnode::remove)
    }

    /// A device power IRP from the top of the stack.
    pub fn set_power(&self, power: DevicePower) -> NTSTATUS {
        self.with_node(|node| node.set_power(power))
    }
}

/// The surroundings.
impl Device {
    /// The machine: allocations, stack watermark, virtual time.
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Lets time pass until nothing is due any more.
    pub fn idle(&self) {
        self.machine.idle();
    }

    /// Lets this much virtual time pass (100 ns units), with everything that falls due meanwhile.
    /// Unlike [`Self::idle`] it ends where somebody is never done.
    pub fn pass(&self, time: u64) {
        let mut event = KEVENT::default();
        let event = &raw mut event;
        // SAFETY: the event is this function's own; nobody sets it.
        unsafe {
            ke::initialise_event(event, _EVENT_TYPE::NotificationEvent, 0);
            ke::wait(event, Some(time));
        }
    }

    /// Requests sent, and requests that have come back.
    pub fn requests(&self) -> (u64, u64) {
        self.tally.counts()
    }

    /// The device that requests are sent to: the top of the stack, or the one below the driver of
    /// [`World::class_above`](super::World::class_above).
    pub fn top(&self) -> PDEVICE_OBJECT {
        self.top
    }
}
