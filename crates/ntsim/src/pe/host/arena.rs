//! One range of addresses for all images of the process.
//!
//! It is reserved once, and images lie nowhere else, so that whether an address is an image's takes
//! one comparison: the kernel asks before each call of a routine, and a signal handler asks too,
//! which may take no lock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::machine::lock;
use crate::pe::error::LoadError;

/// Bytes of the range.
const SIZE: usize = 4 << 30;
/// Images begin at multiples of this, as on Windows, and have at least as much nothing behind them.
const GRAIN: usize = 64 << 10;
/// Unloaded images that are remembered for reports.
const REMEMBERED: usize = 64;

/// Where the range begins; out of everybody's reach until it is reserved.
static BASE: AtomicUsize = AtomicUsize::new(usize::MAX - SIZE);

/// Whether an address lies where images are, were or will be.
pub(crate) fn contains(address: usize) -> bool {
    address.wrapping_sub(BASE.load(Ordering::Relaxed)) < SIZE
}

#[derive(Clone)]
struct Module {
    name: Arc<str>,
    end: usize,
}

struct Space {
    base: usize,
    /// Where the search for a place begins: addresses are not used again before they have to be, so
    /// that a late call into an unloaded image is one into nothing.
    cursor: usize,
    live: BTreeMap<usize, Module>,
    gone: Vec<(usize, Module)>,
}

fn space() -> Result<MutexGuard<'static, Space>, LoadError> {
    static SPACE: OnceLock<Result<Mutex<Space>, String>> = OnceLock::new();
    let space = SPACE.get_or_init(|| {
        // SAFETY: a new mapping at a place of the host's choice; nothing can be read or run there.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(
                std::ptr::null_mut(),
                SIZE + GRAIN,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().to_string());
        }
        let base = start.expose_provenance().next_multiple_of(GRAIN);
        BASE.store(base, Ordering::Relaxed);
        Ok(Mutex::new(Space {
            base,
            cursor: base,
            live: BTreeMap::new(),
            gone: Vec::new(),
        }))
    });
    match space {
        Ok(space) => Ok(lock(space)),
        Err(reason) => Err(LoadError::Memory(reason.clone())),
    }
}

/// Takes a range of `length` bytes for the image of `name`. Nothing is mapped there yet.
pub(super) fn take(name: &Arc<str>, length: usize) -> Result<Range<usize>, LoadError> {
    let mut space = space()?;
    let needed = length.next_multiple_of(GRAIN) + GRAIN;
    let start = space
        .gap(space.cursor, needed)
        .or_else(|| space.gap(space.base, needed))
        .ok_or_else(|| LoadError::Memory("too many images are loaded".to_owned()))?;
    space.cursor = start + needed;
    let end = start + length;
    let module = Module {
        name: Arc::clone(name),
        end,
    };
    space.live.insert(start, module);
    Ok(start..end)
}

/// Gives a range back; its memory is unmapped.
pub(super) fn release(range: &Range<usize>) {
    // SAFETY: the range is the caller's, who gives it up; what replaces it cannot be touched.
    let unmapped = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        libc::mmap(start, range.len(), libc::PROT_NONE, flags, -1, 0)
    };
    let Ok(mut space) = space() else { return };
    if unmapped == libc::MAP_FAILED {
        // The host is out of mappings. The range stays taken.
        return;
    }
    if let Some(module) = space.live.remove(&range.start) {
        space.gone.push((range.start, module));
        let surplus = space.gone.len().saturating_sub(REMEMBERED);
        space.gone.drain(..surplus);
    }
}

impl Space {
    /// The first gap of `needed` bytes at or behind `from`.
    fn gap(&self, from: usize, needed: usize) -> Option<usize> {
        let mut start = from;
        for (&base, module) in &self.live {
            let end = module.end.next_multiple_of(GRAIN) + GRAIN;
            if end > start && base < start + needed {
                start = end;
            }
        }
        (start + needed <= self.base + SIZE).then_some(start)
    }
}

/// Whose an address is.
pub(super) struct Place {
    /// The image's name and the offset in it.
    pub(super) text: String,
    /// The image is still there.
    pub(super) loaded: bool,
}

/// Finds the image at an address, or the one that was there last.
pub(super) fn place_of(address: usize) -> Option<Place> {
    let space = space().ok()?;
    let inside = |start: usize, module: &Module| (start..module.end).contains(&address);
    let live = space
        .live
        .iter()
        .map(|(&start, module)| (start, module, true));
    let gone = space
        .gone
        .iter()
        .rev()
        .map(|(start, module)| (*start, module, false));
    let (start, module, loaded) = live
        .chain(gone)
        .find(|&(start, module, _)| inside(start, module))?;
    let mut text = String::new();
    let _infallible = write!(text, "{}+{:#x}", module.name, address - start);
    if !loaded {
        text.push_str(" (unloaded)");
    }
    Some(Place { text, loaded })
}
