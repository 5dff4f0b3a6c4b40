//! The logical unit's queue: what may start now, and what has to wait for a lock, a freeze or a
//! free place in the adapter.
//!
//! Locked and frozen are two things. A lock is asked for (`LOCK_QUEUE`, before a power change); a
//! freeze follows an error, so that the class can look before more is done, and is ended with
//! `RELEASE_QUEUE` or `FLUSH_QUEUE` [Microsoft: "Storage Class Driver's `ReleaseQueue` Routine"].

use std::collections::VecDeque;

use super::request::OwnedRequest;
use crate::abi::{
    SRB_FLAGS_BYPASS_FROZEN_QUEUE, SRB_FLAGS_BYPASS_LOCKED_QUEUE, SRB_HEAD_OF_QUEUE_TAG_REQUEST,
};

#[derive(Default)]
pub(crate) struct Queue {
    locks: u32,
    frozen: bool,
    waiting: VecDeque<OwnedRequest>,
    /// `QUIESCE_DEVICE` requests: completed when nothing is active any more.
    quiescing: Vec<OwnedRequest>,
    active: u32,
}

/// Why a request cannot start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The queue is locked or frozen.
    Held,
    /// The adapter is busy with as many requests as it takes, or others came first.
    Queued,
}

impl Queue {
    /// Whether a request with these SRB flags has to wait.
    pub(crate) fn must_wait(&self, flags: u32, depth: u32) -> Option<Wait> {
        if !self.passes(flags) {
            return Some(Wait::Held);
        }
        let bypasses = flags & (SRB_FLAGS_BYPASS_FROZEN_QUEUE | SRB_FLAGS_BYPASS_LOCKED_QUEUE) != 0;
        (!bypasses && (self.active >= depth || !self.waiting.is_empty())).then_some(Wait::Queued)
    }

    fn passes(&self, flags: u32) -> bool {
        (self.locks == 0 || flags & SRB_FLAGS_BYPASS_LOCKED_QUEUE != 0)
            && (!self.frozen || flags & SRB_FLAGS_BYPASS_FROZEN_QUEUE != 0)
    }

    pub(crate) fn push(&mut self, request: OwnedRequest) {
        if u32::from(request.record.tag) == SRB_HEAD_OF_QUEUE_TAG_REQUEST {
            self.waiting.push_front(request);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// The next request that may start, counted as active.
    pub(crate) fn pop(&mut self, depth: u32) -> Option<OwnedRequest> {
        if self.active >= depth {
            return None;
        }
        let index = self
            .waiting
            .iter()
            .position(|request| self.passes(request.record.srb_flags))?;
        self.active += 1;
        self.waiting.remove(index)
    }

    pub(crate) fn started(&mut self) {
        self.active += 1;
    }

    pub(crate) fn ended(&mut self) {
        self.active -= 1;
    }

    pub(crate) const fn active(&self) -> u32 {
        self.active
    }

    pub(crate) const fn is_frozen(&self) -> bool {
        self.frozen
    }

    pub(crate) const fn is_locked(&self) -> bool {
        self.locks != 0
    }

    /// Freezes; says whether the queue was not frozen before.
    pub(crate) fn freeze(&mut self) -> bool {
        !core::mem::replace(&mut self.frozen, true)
    }

    pub(crate) fn release(&mut self) {
        self.frozen = false;
    }

    pub(crate) fn lock(&mut self) {
        self.locks += 1;
    }

    pub(crate) fn unlock(&mut self) {
        self.locks = self.locks.saturating_sub(1);
    }

    pub(crate) fn quiesce(&mut self, request: OwnedRequest) {
        self.quiescing.push(request);
    }

    /// The `QUIESCE_DEVICE` requests that are done, once nothing is active.
    pub(crate) fn quiesced(&mut self) -> Vec<OwnedRequest> {
        if self.active == 0 {
            core::mem::take(&mut self.quiescing)
        } else {
            Vec::new()
        }
    }

    /// Everything that has not started.
    pub(crate) fn drain(&mut self) -> Vec<OwnedRequest> {
        let mut all: Vec<_> = self.waiting.drain(..).collect();
        all.append(&mut self.quiescing);
        all
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
