//! The registry of one machine: a tree of keys with typed values, kept in memory.
//!
//! Three rooms: [`hive`] is the tree itself and knows nothing of kernels; [`handles`] is the
//! table behind the `HANDLE`s that drivers hold; [`exports`] and [`rtl`] are the functions of the
//! kernel on top of both. The harness works on [`Registry`] directly, with plain
//! strings and values.
//!
//! Names compare without regard to case, as in Windows, and are kept as they were first written.

pub(crate) mod calls;
pub mod exports;
mod handles;
pub mod hive;
pub mod query;
pub mod rtl;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::export::Export;
use crate::machine::Machine;
pub use handles::KeyHandle;
pub use hive::{Hive, KeyId, Kind, Value};

/// Where services keep their keys.
pub const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";
/// Where device instances keep their hardware keys.
pub const ENUM: &str = r"\Registry\Machine\System\CurrentControlSet\Enum";
/// Where devices keep their driver (software) keys.
pub const CLASS: &str = r"\Registry\Machine\System\CurrentControlSet\Control\Class";

/// The exports of this module, for loaded images.
pub(crate) const TABLES: &[&[Export]] = &[exports::TABLE, rtl::TABLE];

/// The registry of a machine: the hive and the handles open into it.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) hive: Hive,
    pub(crate) handles: handles::HandleTable,
}

impl Registry {
    /// The registry of the machine on whose behalf the calling thread runs.
    #[must_use]
    pub fn current() -> Arc<Self> {
        Self::of(&Machine::current())
    }

    /// The registry of `machine`; it is made, empty but for the usual roots, at the first call.
    #[must_use]
    pub fn of(machine: &Machine) -> Arc<Self> {
        machine.extension::<Self>()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a value, creating every key on the way.
    pub fn set(&self, path: &str, name: &str, value: Value) {
        let mut state = self.lock();
        let key = state.hive.create_path(path, false);
        state.hive.set_value(key, name, value);
    }

    /// Writes a `REG_DWORD`, creating every key on the way.
    pub fn set_dword(&self, path: &str, name: &str, value: u32) {
        self.set(path, name, Value::dword(value));
    }

    /// Makes a key and every key on the way to it.
    pub fn create_key(&self, path: &str) {
        self.lock().hive.create_path(path, false);
    }

    /// Reads a value; `None` if the key or the value does not exist.
    #[must_use]
    pub fn get(&self, path: &str, name: &str) -> Option<Value> {
        let state = self.lock();
        let key = state.hive.open_path(path)?;
        state.hive.value(key, name).cloned()
    }

    /// Reads a `REG_DWORD`; `None` if it does not exist or has another type.
    #[must_use]
    pub fn dword(&self, path: &str, name: &str) -> Option<u32> {
        self.get(path, name)?.as_dword()
    }

    /// Every value of a key, in the order in which they were written; empty if there is no key.
    #[must_use]
    pub fn values(&self, path: &str) -> Vec<(String, Value)> {
        let state = self.lock();
        state
            .hive
            .open_path(path)
            .map(|key| state.hive.values(key))
            .unwrap_or_default()
    }

    /// Removes a key and everything below it; false if there is none.
    pub fn remove(&self, path: &str) -> bool {
        let mut state = self.lock();
        match state.hive.open_path(path) {
            Some(key) => {
                state.hive.delete(key);
                true
            }
            None => false,
        }
    }

    /// What a restart of the machine does: volatile keys are gone.
    pub fn reboot(&self) {
        self.lock().hive.drop_volatile();
    }

    /// How many handles drivers hold at the moment.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.lock().handles.len()
    }
}
