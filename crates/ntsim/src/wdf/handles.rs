//! The table of handles.
//!
//! A handle is a number that names a slot and a generation. Slots are reused, generations are not,
//! so that a handle to something destroyed is recognised, together with what it was.

use std::collections::HashMap;
use std::sync::Arc;

use super::object::Object;

const HANDLE_BASE: usize = 0xFFFF_C000_0000_0000;
const SLOT_BITS: u32 = 16;
const SLOT_SHIFT: u32 = 4;
const GENERATION_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;
const GENERATION_MASK: usize = 0xFF_FFFF;

/// What is left of an object that is gone.
#[derive(Clone)]
struct Epitaph {
    generation: usize,
    what: String,
}

#[derive(Default)]
struct Slot {
    generation: usize,
    object: Option<Arc<Object>>,
    last: Option<Epitaph>,
}

/// Every object of a machine.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Which handle each context belongs to, by its address.
    pub(super) contexts: HashMap<usize, usize>,
}

impl Table {
    /// A handle for a new object.
    pub(super) fn reserve(&mut self) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        assert!(slot < 1 << SLOT_BITS, "too many framework objects at once");
        self.slots[slot].generation += 1;
        HANDLE_BASE
            | (self.slots[slot].generation & GENERATION_MASK) << GENERATION_SHIFT
            | slot << SLOT_SHIFT
    }

    fn slot_of(&self, handle: usize) -> Option<(&Slot, usize)> {
        if handle & HANDLE_BASE != HANDLE_BASE || handle & ((1 << SLOT_SHIFT) - 1) != 0 {
            return None;
        }
        let slot = self
            .slots
            .get(handle >> SLOT_SHIFT & ((1 << SLOT_BITS) - 1))?;
        Some((slot, handle >> GENERATION_SHIFT & GENERATION_MASK))
    }

    /// The object behind a handle, if it exists.
    pub(crate) fn get<T>(&self, handle: *mut T) -> Option<Arc<Object>> {
        self.find(handle.addr())
    }

    /// The object behind a number.
    pub(super) fn find(&self, handle: usize) -> Option<Arc<Object>> {
        let (slot, generation) = self.slot_of(handle)?;
        (slot.generation & GENERATION_MASK == generation)
            .then(|| slot.object.clone())
            .flatten()
    }

    /// Forgets an object, but for what it was.
    pub(super) fn remove(&mut self, handle: usize, what: String) {
        let index = handle >> SLOT_SHIFT & ((1 << SLOT_BITS) - 1);
        let slot = &mut self.slots[index];
        slot.object = None;
        slot.last = Some(Epitaph {
            generation: slot.generation,
            what,
        });
        self.free.push(index);
    }

    /// What a handle that names nothing alive once was.
    pub(super) fn obituary(&self, handle: usize) -> String {
        match self.slot_of(handle) {
            Some((slot, generation)) => match &slot.last {
                Some(last) if last.generation & GENERATION_MASK == generation => {
                    format!("a handle to {} that has been destroyed", last.what)
                }
                _ => "a handle to an object that was destroyed long ago".to_owned(),
            },
            None => "no handle of this framework".to_owned(),
        }
    }

    /// Makes a reserved handle good.
    pub(super) fn publish(&mut self, handle: usize, object: &Arc<Object>) {
        let index = handle >> SLOT_SHIFT & ((1 << SLOT_BITS) - 1);
        self.slots[index].object = Some(Arc::clone(object));
    }

    /// What a driver still owns, for the leak report at unload.
    pub(crate) fn owned_by(&self, driver: &str) -> Vec<String> {
        self.slots
            .iter()
            .filter_map(|slot| slot.object.as_ref())
            .filter(|object| &*object.owner().name == driver)
            .map(|object| object.describe())
            .collect()
    }
}
