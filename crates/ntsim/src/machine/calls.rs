//! What drivers under test call, in order, for tests that are about an order.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::accounts::Owner;
use super::context::Context;
use super::{DriverId, Machine, lock};
use crate::abi::NTSTATUS;

/// A call of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose call it was.
    pub driver: Arc<str>,
    /// The export.
    pub name: &'static str,
    /// Pages that an MDL was allocated for, or that were locked or unlocked; else 0.
    pub pages: usize,
    /// What `MmProbeAndLockPages` raised; else 0.
    pub status: NTSTATUS,
}

/// The calls of one machine.
#[derive(Default)]
pub(crate) struct Calls {
    watched: AtomicBool,
    made: Mutex<Vec<Call>>,
}

/// Names a call that has been noted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallId(usize);

impl Calls {
    /// Notes a call of a driver under test, if somebody wants to know.
    pub(crate) fn note(&self, context: &Context, name: &'static str) -> Option<CallId> {
        if !self.watched.load(Ordering::Relaxed) {
            return None;
        }
        let frame = context.frame.get();
        if frame.owner != Owner::Driver || frame.driver == DriverId::NONE {
            return None;
        }
        let driver = context.machine.driver_name(frame.driver);
        let mut made = lock(&self.made);
        made.push(Call {
            driver,
            name,
            pages: 0,
            status: 0,
        });
        Some(CallId(made.len() - 1))
    }

    /// Adds what was found out about a call.
    pub(crate) fn tell(&self, call: CallId, pages: usize, status: NTSTATUS) {
        if let Some(call) = lock(&self.made).get_mut(call.0) {
            call.pages = pages;
            call.status = status;
        }
    }
}

impl Machine {
    /// Forgets the calls noted so far, and notes those of drivers under test from now on.
    pub fn watch_calls(&self) {
        lock(&self.calls.made).clear();
        self.calls.watched.store(true, Ordering::Relaxed);
    }

    /// What drivers under test have called since [`Self::watch_calls`], in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls.made).clone()
    }
}
