//! What arrived at the port and how it ended: a bounded log, running counters, a callback, and a
//! rolling hash that says whether two runs were the same.

use std::collections::VecDeque;
use std::fmt;

use super::cdb::Direction;
use super::fault::Kind;
use super::rng::mix;

/// One request at the port, from arrival to completion.
#[derive(Clone, Debug, Default)]
pub struct PortRecord {
    /// Number of arrival, from 0.
    pub sequence: u64,
    /// Major function of the stack location.
    pub major: u8,
    /// Minor function of the stack location.
    pub minor: u8,
    /// Flags of the stack location (`SL_*`).
    pub stack_flags: u8,
    /// `Irp->Flags`.
    pub irp_flags: u32,
    /// `IoGetIoPriorityHint` of the IRP.
    pub priority: u32,
    /// `Tail.Overlay.Thread` of the IRP.
    pub thread: usize,
    /// A driver under test has set a completion routine for what it passed on: set in a request of
    /// its own making, and not set in one that it let through untouched.
    pub filter_routine: bool,
    /// I/O control code, for device control requests.
    pub control_code: u32,
    /// SRB function, with the extended format's own function resolved.
    pub srb_function: Option<u8>,
    /// The SRB was a `STORAGE_REQUEST_BLOCK`.
    pub extended: bool,
    /// `SrbFlags` on arrival.
    pub srb_flags: u32,
    /// Queue action or request attribute.
    pub tag: u8,
    /// `TimeOutValue`, in seconds.
    pub timeout: u32,
    /// The CDB, zero beyond [`Self::cdb_length`].
    pub cdb: [u8; 16],
    /// Bytes of the CDB.
    pub cdb_length: u8,
    /// Set for READ and WRITE.
    pub direction: Option<Direction>,
    /// First block, for READ and WRITE.
    pub lba: u64,
    /// Block count of the CDB, for READ and WRITE.
    pub blocks: u32,
    /// `DataTransferLength` on arrival.
    pub bytes: u32,
    /// Offset of the first byte in its page.
    pub page_offset: u16,
    /// Pages that the data touches.
    pub span_pages: u32,
    /// Runs of physically contiguous pages in the data.
    pub breaks: u32,
    /// Address of the IRP.
    pub irp: usize,
    /// Address of the SRB.
    pub srb: usize,
    /// Address of the MDL.
    pub mdl: usize,
    /// MDLs in the chain; the adapter uses the first alone.
    pub mdls: u32,
    /// What was injected into it.
    pub fault: Option<Kind>,
    /// Virtual time of arrival, in 100 ns.
    pub submitted_at: u64,
    /// Virtual time of completion, in 100 ns.
    pub completed_at: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The request's own bytes, where capturing is on.
    pub capture: Option<Box<Capture>>,
}

impl PortRecord {
    /// The CDB without the room behind it.
    pub fn command(&self) -> &[u8] {
        &self.cdb[..usize::from(self.cdb_length).min(self.cdb.len())]
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `IoStatus.Status`.
    pub status: i32,
    /// `IoStatus.Information`.
    pub information: u64,
    /// `SrbStatus` with its flag bits; 0 without an SRB.
    pub srb_status: u8,
    /// `ScsiStatus`.
    pub scsi_status: u8,
    /// Bytes that went over the bus.
    pub moved: u32,
}

/// A copy of everything a lower driver can see of a request, taken on arrival, to compare a
/// request that passed a filter with one that did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// `MajorFunction`, `MinorFunction`, `Flags` of the stack location.
    pub location: [u8; 3],
    /// The four words of `Parameters.Others`, as numbers.
    pub parameters: [u64; 4],
    /// Address of `FileObject`.
    pub file_object: u64,
    /// Address of `MdlAddress`.
    pub mdl: u64,
    /// `Irp->Flags`.
    pub irp_flags: u32,
    /// Every byte of the SRB: `Length`, or `SrbLength` for the extended format.
    pub srb: Vec<u8>,
}

/// Why a request should never have reached the adapter as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// More bytes than the hardware takes.
    Bytes,
    /// More pages than the hardware's list holds.
    Pages,
    /// More physical breaks than the hardware's list holds.
    Breaks,
    /// More pages than the port driver has map registers.
    MapRegisters,
    /// More sectors than the controller's count holds.
    Sectors,
    /// The buffer does not start where the hardware's mask wants it.
    Alignment,
    /// The data lies outside the MDL.
    OutsideMdl,
    /// A data request without an MDL.
    NoMdl,
    /// A frame number in the MDL is not RAM.
    NotRam,
    /// The MDL's pages are not locked.
    NotLocked,
    /// `DataTransferLength` and the CDB disagree.
    CdbLength,
    /// Neither or both of `DATA_IN` and `DATA_OUT`, or the wrong one for the CDB.
    Direction,
    /// The SRB is no SRB: lengths, signature or offsets that contradict each other.
    Malformed,
    /// Somebody wrote into a request, its SRB or its MDL while the port owned it.
    Touched,
    /// `OriginalRequest` is not the IRP that carries the SRB; port drivers find the IRP by it.
    OriginalRequest,
    /// A field that belongs to the port still has what the port left there on an earlier way: the
    /// SRB was sent again without being rebuilt.
    StaleContext,
}

impl Violation {
    /// Every kind of violation.
    pub const ALL: [Self; 16] = [
        Self::Bytes,
        Self::Pages,
        Self::Breaks,
        Self::MapRegisters,
        Self::Sectors,
        Self::Alignment,
        Self::OutsideMdl,
        Self::NoMdl,
        Self::NotRam,
        Self::NotLocked,
        Self::CdbLength,
        Self::Direction,
        Self::Malformed,
        Self::Touched,
        Self::OriginalRequest,
        Self::StaleContext,
    ];

    /// Whether the request broke a limit of the hardware, as opposed to a rule of Windows.
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Self::Bytes
                | Self::Pages
                | Self::Breaks
                | Self::MapRegisters
                | Self::Sectors
                | Self::Alignment
        )
    }
}

/// A violation with its request.
#[derive(Clone, Debug)]
pub struct ViolationRecord {
    /// What was wrong.
    pub violation: Violation,
    /// The number of arrival of the request.
    pub sequence: u64,
    /// Figures, readable.
    pub detail: String,
}

impl fmt::Display for ViolationRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "request {}: {:?}: {}",
            self.sequence, self.violation, self.detail
        )
    }
}

/// Running totals of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// IRPs that arrived, of every kind.
    pub arrived: u64,
    /// IRPs completed.
    pub completed: u64,
    /// READ SRBs.
    pub reads: u64,
    /// WRITE SRBs.
    pub writes: u64,
    /// Bytes that went to the host.
    pub bytes_read: u64,
    /// Bytes that came from the host.
    pub bytes_written: u64,
    /// SRBs that ended in anything but success.
    pub failed: u64,
    /// Times the queue froze.
    pub freezes: u64,
    /// `RELEASE_QUEUE` SRBs.
    pub releases: u64,
    /// Requests that had to wait for a locked or frozen queue.
    pub held: u64,
    /// Requests that waited because the adapter was busy with [`queue_depth`] others.
    ///
    /// [`queue_depth`]: super::Profile::queue_depth
    pub queued: u64,
    /// Requests ended by their SRB timeout.
    pub timeouts: u64,
    /// Requests the adapter worked on at the same time, at most.
    pub in_flight_peak: u32,
    /// Bytes of data of the requests the adapter worked on at the same time, at most: the memory
    /// that the transfers needed at one time.
    pub bytes_in_flight_peak: u64,
    /// Violations by kind, in the order of [`Violation::ALL`].
    pub violations: [u64; Violation::ALL.len()],
    /// The most bytes of one READ or WRITE.
    pub largest_bytes: u32,
    /// The most pages of one READ or WRITE.
    pub largest_pages: u32,
}

impl PortCounts {
    /// How many violations of this kind there were.
    pub fn violations_of(&self, violation: Violation) -> u64 {
        self.violations[violation as usize]
    }

    /// All violations together.
    pub fn violations_total(&self) -> u64 {
        self.violations.iter().sum()
    }
}

/// Called for every completed request.
pub type Observer = Box<dyn FnMut(&PortRecord) + Send>;

/// Keeps the records.
pub(crate) struct Recorder {
    capacity: usize,
    log: VecDeque<PortRecord>,
    violations: Vec<ViolationRecord>,
    observer: Option<Observer>,
    pub(crate) counts: PortCounts,
    hash: u64,
}

/// Violations are for people to read: more than this of them says nothing new.
const VIOLATIONS_KEPT: usize = 256;

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            log: VecDeque::new(),
            violations: Vec::new(),
            observer: None,
            counts: PortCounts::default(),
            hash: 0,
        }
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.log.len() > capacity {
            self.log.pop_front();
        }
    }

    pub(crate) fn set_observer(&mut self, observer: Option<Observer>) {
        self.observer = observer;
    }

    pub(crate) fn violation(&mut self, violation: Violation, sequence: u64, detail: String) {
        self.counts.violations[violation as usize] += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(ViolationRecord {
                violation,
                sequence,
                detail,
            });
        }
    }

    pub(crate) fn violations(&self) -> &[ViolationRecord] {
        &self.violations
    }

    /// Takes a request that is about to be completed.
    pub(crate) fn completed(&mut self, record: PortRecord) {
        self.hash_in(&record);
        self.counts.completed += 1;
        self.counts.failed += u64::from(record.outcome.status < 0);
        match record.direction {
            Some(Direction::Read) => self.counts.bytes_read += u64::from(record.outcome.moved),
            Some(Direction::Write) => self.counts.bytes_written += u64::from(record.outcome.moved),
            None => {}
        }
        if let Some(observer) = &mut self.observer {
            observer(&record);
        }
        if self.capacity != 0 {
            if self.log.len() == self.capacity {
                self.log.pop_front();
            }
            self.log.push_back(record);
        }
    }

    /// The kept records in the order of their arrival.
    pub(crate) fn records(&self) -> Vec<PortRecord> {
        let mut records: Vec<_> = self.log.iter().cloned().collect();
        records.sort_by_key(|record| record.sequence);
        records
    }

    pub(crate) fn forget(&mut self) {
        self.log.clear();
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Addresses stay out: they differ from run to run, and so does the place in its page of a small
    /// command's data, which is in a driver's pool. Times and the order of completion are in.
    fn hash_in(&mut self, record: &PortRecord) {
        let place = match record.direction {
            Some(_) => u64::from(record.page_offset) << 32 | u64::from(record.span_pages),
            None => 0,
        };
        let cdb = u128::from_le_bytes(record.cdb);
        let outcome = &record.outcome;
        for word in [
            record.sequence,
            u64::from(record.major) << 32
                | u64::from(record.minor) << 24
                | u64::from(record.stack_flags) << 16
                | u64::from(record.srb_function.unwrap_or(0xFF)),
            u64::from(record.control_code) << 32 | u64::from(record.irp_flags),
            cdb as u64,
            (cdb >> 64) as u64,
            u64::from(record.bytes) << 32 | u64::from(record.srb_flags),
            place,
            u64::from(record.timeout) << 32 | u64::from(outcome.moved),
            u64::from(outcome.status as u32) << 32
                | u64::from(outcome.srb_status) << 8
                | u64::from(outcome.scsi_status),
            record.submitted_at,
            record.completed_at,
        ] {
            self.hash = mix(self.hash.rotate_left(5) ^ word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, PortRecord, Recorder, Violation};

    fn record(sequence: u64) -> PortRecord {
        PortRecord {
            sequence,
            ..PortRecord::default()
        }
    }

    #[test]
    fn the_log_is_bounded_and_the_counters_are_not() {
        let mut recorder = Recorder::new(2);
        for sequence in [2, 0, 1] {
            recorder.completed(record(sequence));
        }
        let kept: Vec<_> = recorder
            .records()
            .iter()
            .map(|record| record.sequence)
            .collect();
        assert_eq!(kept, [0, 1]);
        assert_eq!(recorder.counts.completed, 3);
    }

    #[test]
    fn the_hash_sees_order_and_outcome() {
        let hash = |records: &[PortRecord]| {
            let mut recorder = Recorder::new(0);
            records
                .iter()
                .cloned()
                .for_each(|record| recorder.completed(record));
            recorder.hash()
        };
        assert_eq!(hash(&[record(0), record(1)]), hash(&[record(0), record(1)]));
        assert_ne!(hash(&[record(0), record(1)]), hash(&[record(1), record(0)]));
        let failed = PortRecord {
            outcome: Outcome {
                srb_status: 4,
                ..Outcome::default()
            },
            ..record(0)
        };
        assert_ne!(hash(&[record(0)]), hash(&[failed]));
    }

    #[test]
    fn the_table_of_violations_is_in_the_order_of_the_enum() {
        for (index, violation) in Violation::ALL.into_iter().enumerate() {
            assert_eq!(violation as usize, index);
        }
    }
}
