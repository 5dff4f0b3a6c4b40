//! The handles that drivers hold to registry keys.

use std::collections::HashMap;
use std::ptr;

use super::hive::KeyId;
use crate::abi::HANDLE;

/// Kernel handles have their top bit set; the low two bits are the caller's.
const BASE: usize = 0xFFFF_FFFF_8000_0000;

/// What a handle stands for.
#[derive(Clone, Copy, Debug)]
pub struct KeyHandle {
    /// The key, which may have been deleted since.
    pub key: KeyId,
    /// The access that was asked for. Not enforced: a kernel handle used from kernel mode is not
    /// checked against its granted access (`ObReferenceObjectByHandle` with `KernelMode`).
    pub access: u32,
}

/// Handles are numbers that are never used twice, so that a closed one is noticed.
#[derive(Default)]
pub(crate) struct HandleTable {
    open: HashMap<usize, KeyHandle>,
    made: usize,
}

impl HandleTable {
    pub(crate) fn insert(&mut self, key: KeyId, access: u32) -> HANDLE {
        self.made += 1;
        let number = BASE + self.made * 4;
        self.open.insert(number, KeyHandle { key, access });
        ptr::without_provenance_mut(number)
    }

    pub(crate) fn get(&self, handle: HANDLE) -> Option<KeyHandle> {
        self.open.get(&handle.addr()).copied()
    }

    pub(crate) fn remove(&mut self, handle: HANDLE) -> bool {
        self.open.remove(&handle.addr()).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether this number was ever given out, to tell a closed handle from garbage.
    pub(crate) fn was_open(&self, handle: HANDLE) -> bool {
        let number = handle.addr();
        number > BASE && number <= BASE + self.made * 4 && number.is_multiple_of(4)
    }
}
