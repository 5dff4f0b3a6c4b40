//! What is left when a world has ended.

use crate::class::ClassCounts;
use crate::machine::AllocationCounts;
use crate::memory::LockCounts;
use crate::port::{FaultCounts, PortCounts, ViolationRecord};

/// Totals of a run, taken after the device was removed and the driver unloaded.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the disk class driver did, where the stack has one.
    pub class: Option<ClassCounts>,
    /// What arrived at the port and how it ended.
    pub port: PortCounts,
    /// Injected faults by kind.
    pub faults: FaultCounts,
    /// What the port had to complain about; the first few hundred.
    pub violations: Vec<ViolationRecord>,
    /// What the driver under test allocated over its whole life.
    pub allocations: AllocationCounts,
    /// The same at the moment when the scenario began: the difference is what its I/O cost.
    pub allocations_at_start: AllocationCounts,
    /// The same at the moment when the scenario ended.
    pub allocations_at_end: AllocationCounts,
    /// What was locked of user memory.
    pub locks: LockCounts,
    /// The most stack that anything used, in bytes.
    pub stack_high_water: usize,
    /// Requests that the scenario sent.
    pub sent: u64,
    /// Requests that came back; fewer than [`Self::sent`] means that the driver lost some.
    pub finished: u64,
    /// Sense buffers that the port gave in place of the sender's own and nobody freed.
    pub sense_buffers_left: usize,
    /// Lines that drivers printed.
    pub debug_log: Vec<String>,
    /// A hash over everything at the port: the same seed gives the same on the deterministic clock.
    pub trace_hash: u64,
    /// Virtual time that passed, in 100 ns.
    pub elapsed: u64,
}
