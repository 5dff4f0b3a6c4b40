//! The port driver beneath the stack, its host adapter, and the disk behind it.
//!
//! A neighbour, not a mock. It owns what a real port driver owns while it has a request
//! (`Tail.Overlay`, `PortContext`, `SrbExtension`, tags), reaches data only through the frame
//! numbers of the MDL it was given plus the index that `DataBuffer` makes into it, knows locked and
//! frozen queues, ends requests inline, later, out of order or never, and says what it did not like
//! about a request.
//!
//! | room | what it is for |
//! |---|---|
//! | [`Disk`] | the medium: sparse memory, an image file, or a pattern without memory |
//! | `target` | the SCSI logical unit: every command except the movement of data |
//! | [`Hba`], [`PROFILES`] | what the adapter says, what it really takes, how fast it answers |
//! | [`Fault`], [`FaultMix`] | what goes wrong, by script or by chance |
//! | [`PortRecord`] | what arrived and how it ended |
//! | `engine`, `queue` | a request's way: admitted, held, started, finished |
//! | `functions`, `ioctl`, `pnp` | everything that is not a SCSI command |
//! | [`Paired`], [`PortRegistry`] | what it tells the driver paired with it, by request and by registry |
//! | [`Port`] | the handle that tests and the lab hold |

mod cdb;
mod control;
mod decide;
mod disk;
mod engine;
mod extent;
mod fault;
mod functions;
mod hba;
mod host;
mod ioctl;
mod paired;
mod pass_through;
mod pnp;
mod profiles;
mod queue;
mod record;
mod request;
mod rng;
mod sense;
mod slots;
mod srb;
mod target;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use cdb::{Direction, ReadWrite, op, read_write};
pub use control::InFlight;
pub(crate) use disk::Segment;
pub use disk::{Disk, Geometry, ProductPages, pattern_byte};
pub(crate) use engine::placement_of;
pub use fault::{Fault, FaultCounts, FaultMix, Kind};
pub use hba::{AdapterReply, Completion, Hba, Limits, OnViolation, SegmentRule};
pub(crate) use host::PortObjects;
pub use paired::{Doors, Paired, PairedCounts, PortLimits, PortRegistry, Reply, Timing};
pub use profiles::{PROFILES, Profile, bus, profile};
pub use record::{Capture, Observer, Outcome, PortCounts, PortRecord, Violation, ViolationRecord};
pub use rng::Rng;
pub use sense::{Sense, key};

use crate::machine::DriverId;
use fault::Faults;
use ioctl::Parked;
use paired::Agreement;
use queue::Queue;
use record::Recorder;
use slots::Slots;
use target::Target;

/// How many records a port keeps unless told otherwise.
const RECORDS_KEPT: usize = 4096;

/// A port driver's device with its adapter and its disk.
pub struct Port {
    disk: Arc<Disk>,
    hba: Hba,
    /// The port driver, once there is a device.
    driver: OnceLock<DriverId>,
    state: Mutex<State>,
}

/// Everything that changes. The lock is held for a few field accesses at a time, never while a
/// request is completed or anything of the kernel is called that could wait.
struct State {
    target: Target,
    faults: Faults,
    recorder: Recorder,
    queue: Queue,
    slots: Slots,
    /// Pass-through requests that wait for a locked or frozen queue.
    parked: Vec<Parked>,
    paired: Agreement,
    rng: Rng,
    sequence: u64,
    completion: Completion,
    presence: Presence,
    claimed: bool,
    capturing: bool,
    bytes_in_flight: u64,
    /// Sum over everything moved of where it went, where asked for; see [`Port::placement`].
    placement: Option<u64>,
}

/// Whether the device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    /// Pulled out: everything fails with `SRB_STATUS_NO_DEVICE`.
    Gone,
}

impl Port {
    /// A port whose latencies and fault mixes follow from `seed`.
    pub fn new(disk: Arc<Disk>, hba: Hba, seed: u64) -> Arc<Self> {
        let state = State {
            target: Target::new(Arc::clone(&disk), product_pages(&disk, &hba)),
            faults: Faults::new(seed ^ 0xFA17),
            recorder: Recorder::new(RECORDS_KEPT),
            queue: Queue::default(),
            slots: Slots::default(),
            parked: Vec::new(),
            paired: Agreement::new(&hba),
            rng: Rng::new(seed),
            sequence: 0,
            completion: hba.completion.clone(),
            presence: Presence::Present,
            claimed: false,
            capturing: false,
            bytes_in_flight: 0,
            placement: None,
        };
        Arc::new(Self {
            disk,
            hba,
            driver: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    /// The disk behind the adapter.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The adapter.
    pub fn hba(&self) -> &Hba {
        &self.hba
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The disk's pages, with what the adapter's profile says of the disks behind it.
fn product_pages(disk: &Disk, hba: &Hba) -> ProductPages {
    let (pages, profile) = (disk.pages, hba.current());
    ProductPages {
        hangs: pages.hangs || profile.hangs_on_product_pages,
        block_limits: pages.block_limits.or(profile.block_limits),
        ..pages
    }
}

impl State {
    /// The number of the next arrival.
    fn arrive(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        self.recorder.counts.arrived += 1;
        sequence
    }
}
