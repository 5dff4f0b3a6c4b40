//! A disk class driver above the stack: what `classpnp.sys` and `disk.sys` are to a lower filter.
//!
//! A neighbour to be trusted, so it follows the published sources, storage/class/classpnp and
//! storage/class/disk of Microsoft's Windows-driver-samples, in everything that a driver below can
//! see: which requests it sends and when, with which fields, on which thread and at which IRQL, what
//! it makes of the answers, and the order in which it goes away. Its corners are theirs too. A piece
//! that has no room in its packet's MDL stops the machine, a block count that has no room in a
//! 10-byte command loses its high bits, and a request that ends in an error may be sent again after
//! `REMOVE`.
//!
//! | room | what it is for |
//! |---|---|
//! | `pnp`, `start` | joining the stack, the questions of the first start, removal |
//! | `service`, `limits` | READ and WRITE: verified, cut, sent |
//! | `packet`, `srb` | what is sent |
//! | `complete`, `sense`, `retry`, `release` | what comes back, and what follows from it |
//! | `power`, `control` | power changes; device control and what only passes |
//! | `command`, `irp`, `fdo` | the driver's own requests, the inline functions of `wdm.h`, the device |
//!
//! Not here, because no driver below can tell: partitions, registry hacks for named devices, failure
//! prediction, event logs, idle priority queues, throttling by paging priority, a bus reset by
//! `disk.sys` for `SCSISTAT_BUSY`, START UNIT in answer to NOT READY. The volume counts as mounted.

mod command;
mod complete;
mod control;
mod fdo;
mod irp;
mod limits;
mod packet;
mod pnp;
mod power;
mod release;
mod retry;
mod sense;
mod service;
mod srb;
mod start;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::abi::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_FLUSH_BUFFERS,
    IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MJ_READ, IRP_MJ_SCSI, IRP_MJ_SHUTDOWN,
    IRP_MJ_SYSTEM_CONTROL, IRP_MJ_WRITE, PDRIVER_OBJECT, PIRP,
};
use crate::io;
use crate::machine::{Machine, Owner};
use crate::memory;
use crate::pnp::Driver;
use fdo::{Fdo, lock};

/// The name of the service.
const SERVICE: &str = "disk";
/// Pool tag of everything that the class driver allocates: "CPnp".
const TAG: u32 = u32::from_le_bytes(*b"CPnp");

/// How the class driver is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often a packet is sent again.
    pub retries: u32,
    /// How many packets are kept ready.
    pub packets: u32,
    /// There is no memory for packets beyond [`Options::packets`]: a request that needs more of
    /// them goes out page by page in one packet, and one that finds none waits.
    pub low_memory: bool,
    /// WRITE requests with `SL_WRITE_THROUGH` ask for force unit access.
    pub force_unit_access: bool,
    /// Seconds until the port gives a READ or WRITE up.
    pub timeout: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retries: 4,
            packets: 16,
            low_memory: false,
            force_unit_access: true,
            timeout: 10,
        }
    }
}

/// What the class driver has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// READ and WRITE requests that became SRBs.
    pub requests: u64,
    /// Those that took more than one SRB from the beginning.
    pub split: u64,
    /// SRBs of READ and WRITE sent, retries included.
    pub packets: u64,
    /// Packets sent again as they were.
    pub retries: u64,
    /// `RELEASE_QUEUE` and `FLUSH_QUEUE` requests.
    pub releases: u64,
    /// Packets that ended with RECOVERED ERROR, which is success.
    pub recovered: u64,
    /// The most bytes in one SRB.
    pub largest: u32,
    /// READ and WRITE requests that failed below.
    pub failed: u64,
    /// Packets that went out page by page.
    pub low_memory: u64,
    /// Packets sent after `REMOVE_DEVICE` had gone down.
    pub after_remove: u64,
    /// Requests of a thread to which the device was named that a user has to look after
    /// (`IoSetHardErrorOrVerifyDevice`).
    pub verifies: u64,
}

/// What the class driver learned at its first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassFacts {
    /// `MaximumTransferLength` of the adapter descriptor.
    pub maximum_transfer_length: u32,
    /// `MaximumPhysicalPages` of the adapter descriptor.
    pub maximum_physical_pages: u32,
    /// `AlignmentMask` of the adapter descriptor.
    pub alignment_mask: u32,
    /// The adapter wants `STORAGE_REQUEST_BLOCK`s.
    pub extended_srb: bool,
    /// The longest piece of a request whose buffer does not begin on a page (`HwMaxXferLen`).
    pub hardware_maximum: u32,
    /// Bytes of a sector.
    pub sector: u32,
    /// The last block of the disk.
    pub last_block: u64,
    /// READ and WRITE are sent as 16-byte commands.
    pub sixteen: bool,
    /// `AlignmentRequirement` of the class driver's device.
    pub alignment_requirement: u32,
    /// How many requests for `StorageAdapterProperty` were sent; one look takes two.
    pub descriptor_queries: u32,
}

/// The class driver of a machine.
#[derive(Default)]
struct Class {
    options: Mutex<Options>,
    tally: Tally,
    facts: Mutex<Option<ClassFacts>>,
    fdo: Mutex<Weak<Fdo>>,
    adapter_queries: AtomicU32,
}

/// [`ClassCounts`] while they count.
#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    split: AtomicU64,
    packets: AtomicU64,
    retries: AtomicU64,
    releases: AtomicU64,
    recovered: AtomicU64,
    largest: AtomicU32,
    failed: AtomicU64,
    low_memory: AtomicU64,
    after_remove: AtomicU64,
    verifies: AtomicU64,
}

impl Tally {
    fn counts(&self) -> ClassCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClassCounts {
            requests: count(&self.requests),
            split: count(&self.split),
            packets: count(&self.packets),
            retries: count(&self.retries),
            releases: count(&self.releases),
            recovered: count(&self.recovered),
            largest: self.largest.load(Ordering::Relaxed),
            failed: count(&self.failed),
            low_memory: count(&self.low_memory),
            after_remove: count(&self.after_remove),
            verifies: count(&self.verifies),
        }
    }

    /// `IoSetHardErrorOrVerifyDevice`, which wants a thread.
    ///
    /// # Safety
    /// The caller owns `irp`.
    unsafe fn verify(&self, irp: PIRP) {
        // SAFETY: the caller's contract.
        let thread = unsafe { (*irp).Tail.Overlay.Thread };
        if !thread.is_null() {
            self.verifies.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Class {
    fn options(&self) -> Options {
        *lock(&self.options)
    }

    fn publish(&self, facts: ClassFacts) {
        *lock(&self.facts) = Some(facts);
    }

    fn present(&self, fdo: Option<&Arc<Fdo>>) {
        *lock(&self.fdo) = fdo.map_or_else(Weak::new, Arc::downgrade);
    }

    fn count_adapter_query(&self) {
        self.adapter_queries.fetch_add(1, Ordering::Relaxed);
    }
}

/// The driver, to be the function driver of a devnode; one for each machine.
pub fn create(options: Options) -> (Driver, PDRIVER_OBJECT) {
    *lock(&Machine::current().extension::<Class>().options) = options;
    let object = io::create_driver(SERVICE, Owner::Harness);
    // SAFETY: a fresh driver object, seen by nobody else.
    unsafe {
        let table = &raw mut (*object).MajorFunction;
        for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
            (*table)[major as usize] = match major {
                IRP_MJ_READ | IRP_MJ_WRITE => Some(control::read_write),
                IRP_MJ_SCSI => Some(control::internal),
                IRP_MJ_SYSTEM_CONTROL => Some(control::pass),
                IRP_MJ_DEVICE_CONTROL => Some(control::dispatch),
                IRP_MJ_PNP => Some(pnp::dispatch),
                IRP_MJ_POWER => Some(power::dispatch),
                IRP_MJ_FLUSH_BUFFERS | IRP_MJ_SHUTDOWN => Some(control::flush),
                IRP_MJ_CREATE | IRP_MJ_CLOSE | IRP_MJ_CLEANUP => Some(control::succeed),
                // The I/O manager answers for the others.
                _ => None,
            };
        }
        (&raw mut (*(*object).DriverExtension).AddDevice).write(Some(pnp::add_device));
    }
    (Driver::existing(SERVICE, object), object)
}

/// What the class driver of this machine has done so far.
pub fn counts(machine: &Machine) -> ClassCounts {
    machine.extension::<Class>().tally.counts()
}

/// What the class driver of this machine learned; `None` before its first start. It can be asked
/// for after the device has gone.
pub fn facts(machine: &Machine) -> Option<ClassFacts> {
    let class = machine.extension::<Class>();
    let facts = *lock(&class.facts);
    facts.map(|facts| ClassFacts {
        descriptor_queries: class.adapter_queries.load(Ordering::Relaxed),
        ..facts
    })
}

/// A file system has looked at the medium that may have changed: READ and WRITE are served again,
/// which were refused with `STATUS_VERIFY_REQUIRED`. Says whether they were.
pub fn volume_verified(machine: &Machine) -> bool {
    let fdo = lock(&machine.extension::<Class>().fdo).upgrade();
    fdo.is_some_and(|fdo| {
        let pending = fdo.verify_pending();
        fdo.clear_verify();
        pending
    })
}

/// Pool blocks of the class driver that nobody has freed; 0 once its device has gone. For a thread
/// of the machine.
pub fn blocks_left() -> usize {
    memory::pool_blocks(Owner::Harness, TAG)
}
