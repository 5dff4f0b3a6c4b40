//! An image in memory.

use std::ops::Range;
use std::sync::Arc;

use super::arena;
use super::gates::{self, Gates};
use crate::pe::Binary;
use crate::pe::error::LoadError;
use crate::pe::file::{Access, PAGE, Program};
use crate::pe::scopes::{self, Guarded, Handler};

/// A driver's code and data, ready to run. They are unmapped when it is dropped.
#[derive(Debug)]
pub struct Image {
    /// Its addresses; the last page is the gates'.
    range: Range<usize>,
    entry: usize,
    gates: Gates,
    /// Functions with `__try` blocks.
    guarded: Vec<Guarded>,
}

impl Image {
    /// Maps a copy of `binary` at an address of its own.
    pub(in crate::pe) fn map(name: &Arc<str>, binary: &Binary) -> Result<Self, LoadError> {
        let program = &binary.program;
        let length = program.memory.len() + PAGE;
        // From here on the range is given back with the image, whatever happens.
        let mut image = Self {
            range: arena::take(name, length)?,
            entry: 0,
            gates: Gates::default(),
            guarded: program.guarded.clone(),
        };
        image.entry = image.range.start + program.entry;
        image.gates = Gates::at(image.range.end - PAGE);
        let mut bytes = prepare(program, &binary.links, image.range.start, &image.gates);
        bytes.extend_from_slice(&gates::code());
        image.fill(&bytes)?;
        image.protect(0..program.headers, Access::Read)?;
        for section in &program.sections {
            image.protect(section.pages.clone(), section.access)?;
        }
        image.protect(length - PAGE..length, Access::Execute)?;
        Ok(image)
    }

    /// Where it begins.
    #[must_use]
    pub fn base(&self) -> usize {
        self.range.start
    }

    /// Bytes of the image.
    #[must_use]
    pub fn size(&self) -> usize {
        self.range.len() - PAGE
    }

    /// The address of its entry point.
    #[must_use]
    pub fn entry(&self) -> usize {
        self.entry
    }

    /// Who handles an exception that a call raises which returns to `address`; `None` if that is
    /// not an address of this image.
    pub(super) fn handler(&self, address: usize) -> Option<Handler> {
        let pc = self
            .range
            .contains(&address)
            .then(|| address - self.base())?;
        Some(match scopes::handler(&self.guarded, pc) {
            Handler::At(offset) => Handler::At(self.base() + offset),
            other => other,
        })
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.gates
    }

    /// Puts the bytes there, and leaves nothing accessible.
    fn fill(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.range.start);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is this image's, reserved and used by nobody yet; it is as long as the
        // bytes, which are elsewhere.
        unsafe {
            let done = libc::mprotect(start.cast(), bytes.len(), access);
            check(done)?;
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            let done = libc::mprotect(start.cast(), bytes.len(), libc::PROT_NONE);
            check(done)
        }
    }

    fn protect(&self, pages: Range<usize>, access: Access) -> Result<(), LoadError> {
        let start = std::ptr::with_exposed_provenance_mut(self.range.start + pages.start);
        let access = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
            Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
        };
        // SAFETY: pages of this image, none of whose code has run yet.
        check(unsafe { libc::mprotect(start, pages.len(), access) })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        arena::release(&self.range);
    }
}

fn check(done: libc::c_int) -> Result<(), LoadError> {
    if done == 0 {
        return Ok(());
    }
    Err(LoadError::Memory(
        std::io::Error::last_os_error().to_string(),
    ))
}

/// The image as it has to be at `base`.
fn prepare(program: &Program, links: &[usize], base: usize, gates: &Gates) -> Vec<u8> {
    let mut memory = program.memory.clone();
    let delta = (base as u64).wrapping_sub(program.preferred);
    for &at in &program.relocations {
        let mut old = [0; 8];
        old.copy_from_slice(&memory[at..at + 8]);
        put(&mut memory, at, u64::from_le_bytes(old).wrapping_add(delta));
    }
    for (import, &address) in program.imports.iter().zip(links) {
        put(&mut memory, import.slot, address as u64);
    }
    let config = &program.config;
    if let Some(at) = config.cookie {
        put(&mut memory, at, cookie(base));
    }
    if let Some(at) = config.guard_check {
        put(&mut memory, at, gates.check as u64);
    }
    if let Some(at) = config.guard_dispatch {
        put(&mut memory, at, gates.jump as u64);
    }
    memory
}

fn put(memory: &mut [u8], at: usize, value: u64) {
    memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// A cookie that differs from image to image, with the two high bytes clear as Windows has them.
fn cookie(base: usize) -> u64 {
    (base as u64 ^ 0x0000_5EED_C001_E5A7) & 0x0000_FFFF_FFFF_FFFF
}
