//! What tests and the lab do with a port: faults, records, completions by hand.

use std::sync::Arc;

use super::Port;
use super::cdb::{self, ReadWrite};
use super::fault::{Effect, Fault, FaultCounts, FaultMix, Kind};
use super::hba::Completion;
use super::host;
use super::record::{Observer, PortCounts, PortRecord, ViolationRecord};
use super::request::Request;
use super::sense::Sense;

/// A request that the adapter is working on.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its number of arrival.
    pub sequence: u64,
    /// What it asks for, if it is a READ or WRITE.
    pub transfer: Option<ReadWrite>,
    /// `DataTransferLength`.
    pub bytes: u32,
    /// The fault that it met, if any.
    pub fault: Option<Kind>,
}

impl InFlight {
    fn of(request: &Request) -> Self {
        Self {
            sequence: request.record.sequence,
            transfer: cdb::read_write(request.record.command()),
            bytes: request.record.bytes,
            fault: request.record.fault,
        }
    }
}

/// Faults.
impl Port {
    /// Adds a line to the fault script.
    pub fn fault(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Sets the weather.
    pub fn fault_mix(&self, mix: FaultMix) {
        self.state().faults.set_mix(mix);
    }

    /// Forgets the script and the weather; the counts stay.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How often each kind was injected.
    pub fn fault_counts(&self) -> FaultCounts {
        self.state().faults.counts().clone()
    }

    /// Leaves a unit attention, which the next command that reports one reports and clears.
    pub fn raise_attention(&self, sense: Sense) {
        self.state().target.raise_attention(sense);
    }

    /// Takes the medium out or puts it in.
    pub fn set_medium_present(&self, present: bool) {
        self.state().target.set_medium_present(present);
    }
}

/// Records.
impl Port {
    /// The kept records in the order of arrival. A request appears when it has completed.
    pub fn records(&self) -> Vec<PortRecord> {
        self.state().recorder.records()
    }

    /// The kept records of READ and WRITE requests in the order of arrival.
    pub fn transfers(&self) -> Vec<PortRecord> {
        let mut records = self.records();
        records.retain(|record| record.direction.is_some());
        records
    }

    /// Drops the kept records; counters and hash go on.
    pub fn forget_records(&self) {
        self.state().recorder.forget();
    }

    /// Keeps at most this many records.
    pub fn keep_records(&self, capacity: usize) {
        self.state().recorder.set_capacity(capacity);
    }

    /// Calls `observer` for every request that completes, under the port's lock: it must not call
    /// the port.
    pub fn observe(&self, observer: Option<Observer>) {
        self.state().recorder.set_observer(observer);
    }

    /// Copies every request's own bytes into its record on arrival.
    pub fn capture(&self, yes: bool) {
        self.state().capturing = yes;
    }

    /// The first few hundred violations; [`PortCounts::violations`] counts all.
    pub fn violations(&self) -> Vec<ViolationRecord> {
        self.state().recorder.violations().to_vec()
    }

    /// The running totals.
    pub fn counts(&self) -> PortCounts {
        self.state().recorder.counts.clone()
    }

    /// A hash over everything that completed so far, with times and order: on the deterministic
    /// clock the same seed gives the same hash.
    pub fn trace_hash(&self) -> u64 {
        self.state().recorder.hash()
    }

    /// Starts (or stops) adding up where data goes. The sum over all sectors of a function of
    /// (frame, offset in it, place on the disk, direction) does not depend on how a request was
    /// cut or in which order the pieces moved: a request has moved every byte to its place exactly
    /// once if and only if (up to a collision of 64 bits) its sum is that of the request in one.
    pub fn track_placement(&self, yes: bool) {
        self.state().placement = yes.then_some(0);
    }

    /// The sum so far; 0 when it is not tracked.
    pub fn placement(&self) -> u64 {
        self.state().placement.unwrap_or(0)
    }
}

/// The queue and completions by hand.
impl Port {
    /// When requests that start from now on complete.
    pub fn set_completion(&self, completion: Completion) {
        self.state().completion = completion;
    }

    /// Holds back (or no longer) the completion of requests that start from now on. Those that are
    /// held already stay held until they are completed one by one.
    pub fn hold(&self, yes: bool) {
        let completion = if yes {
            Completion::Held
        } else {
            self.hba().current_completion().clone()
        };
        self.set_completion(completion);
    }

    /// The requests held back, in the order in which they started.
    pub fn held(&self) -> Vec<InFlight> {
        let state = self.state();
        state
            .slots
            .held()
            .filter_map(|token| state.slots.get(token))
            .map(InFlight::of)
            .collect()
    }

    /// Completes the held request at `index` of [`Self::held`], at `DISPATCH_LEVEL`; says whether
    /// there was one.
    pub fn complete_next(self: &Arc<Self>, index: usize) -> bool {
        let Some(token) = self.state().slots.held().nth(index) else {
            return false;
        };
        self.at_dispatch(|| self.interrupt(token));
        true
    }

    /// Completes the held request at `index` with a fault instead of its own result.
    ///
    /// # Panics
    /// For [`Kind::Hang`], which is no way to complete anything, and for requests that are no READ
    /// or WRITE.
    pub fn complete_with(self: &Arc<Self>, index: usize, kind: Kind) -> bool {
        let Some(token) = self.state().slots.held().nth(index) else {
            return false;
        };
        let Some(mut request) = self.state().slots.take(token) else {
            return false;
        };
        let transfer = request.transfer.expect("faults are for READ and WRITE");
        let effect: Effect = kind
            .effect(&transfer, transfer.lba)
            .expect("a hang does not complete");
        request.record.fault = Some(kind);
        request.effect = effect;
        let again = self.state().slots.insert(request);
        self.at_dispatch(|| self.interrupt(again));
        true
    }

    /// Completes every held request, and what gets held meanwhile, oldest first.
    pub fn complete_all(self: &Arc<Self>) {
        while self.complete_next(0) {}
    }

    /// Everything the adapter is working on, held or not.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let mut all: Vec<_> = self.state().slots.iter().map(InFlight::of).collect();
        all.sort_by_key(|request| request.sequence);
        all
    }

    /// Sense buffers that ports of this machine handed out and nobody has freed.
    pub fn sense_buffers_left(&self) -> usize {
        host::allocated()
    }

    /// Requests that wait for a locked, frozen or full queue.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.queue.waiting() + state.parked.len()
    }

    /// Whether an error froze the queue.
    pub fn is_frozen(&self) -> bool {
        self.state().queue.is_frozen()
    }

    /// Whether somebody locked the queue.
    pub fn is_locked(&self) -> bool {
        self.state().queue.is_locked()
    }
}
