//! Driver binaries: a real `.sys`, loaded and run as Windows does it.
//!
//! [`Driver::binary`] reads a PE32+ image for x86-64 and the native subsystem. Loading it on a
//! machine maps a copy of its own: headers and sections at an address that nobody knew before,
//! DIR64 relocations applied, imports bound to the kernel's exports by name, the `/GS` cookie and
//! the flow guard's pointers filled in, and every page readable, writable *or* executable. Then its
//! entry point is called, which for a KMDF driver binds itself with `WdfVersionBind` and gets the
//! table of KMDF 1.15. From there on it is a driver like a linked one: the same rules, the same bug
//! checks, the same accounts, and at unload the same search for leaks, after which the image is
//! unmapped.
//!
//! **Calls.** A binary is compiled for Microsoft's calling convention. Exports have an entry for it
//! (`exports!`), framework functions are called through the table of such entries, and routines of a
//! driver are called by the convention that their address calls for: all images of a process lie in
//! one range of addresses, and what lies there is called as `extern "win64"`. The framework's own
//! routines that a binary can get hold of, those in its driver object, are reached through jumps in
//! that range.
//!
//! **Crashes.** A page fault, a stack overflow, an illegal or privileged instruction, `int3` or
//! `__fastfail` in an image stops the machine with the bug check that Windows would raise, and names
//! module and offset. That is more than a linked driver gets: a label that it follows ends the
//! process. Of the kernel's code that an image calls with a bad pointer only `memcpy` and its
//! relatives are treated so; elsewhere that ends the process too.
//!
//! **What is refused**, with a [`LoadError`] that says so: other machines, subsystems and PE32, a
//! wrong checksum, writable code, thread-local storage, delay-loaded and bound imports, imports from
//! other modules than `ntoskrnl.exe` and `WDFLDR.SYS`, and imports that the simulated kernel does not
//! export; those are all named at once. `WdfVersionBind` refuses other components and versions with
//! the status that Windows' gives, and, unlike Windows', the tables of versions before 1.15.
//!
//! **Exceptions.** What `MmProbeAndLockPages` raises goes to the `__except` block around the call,
//! which is found in the image's unwind data, if the block always handles and the call is its
//! function's own. Any other exception, and any other place, is a bug check.
//!
//! **What is not modelled.** Unwinding: filters, `__finally`, and handlers further up the stack. The
//! processor's own registers: `gs` does not lead to a `KPCR`, `cr8` cannot be read, so code with
//! inlined `KeGetCurrentIrql`, `KeGetCurrentThread` or `KeRaiseIrql` of C headers stops. Sections
//! that Windows discards or pages out stay where they are. Signatures are not looked at. Variables
//! of the kernel (`KeNumberProcessors`, `NtBuildNumber`, `MmUserProbeAddress` and a few more) are
//! constants. Registers that a routine has to preserve are not checked.
//!
//! Elsewhere than on x86-64 Linux, and under Miri, [`LoadError::Host`] is all there is.
#![cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64", not(miri))),
    allow(
        dead_code,
        reason = "what is read out of a file is used where it is mapped"
    )
)]

mod error;
mod file;
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64", not(miri))),
    path = "elsewhere.rs"
)]
mod host;
mod load_config;
mod scopes;

use std::path::Path;
use std::sync::Arc;

pub use error::LoadError;
pub use host::Image;

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
pub(crate) use host::contains;
pub(crate) use host::{adapt, bound_globals, forget, start};

use crate::pnp::{Driver, DriverEntry};
use file::Program;

/// The environment variable that names a driver binary for [`driver_under_test`].
pub const DRIVER_VARIABLE: &str = "XFERSPLIT_DRIVER";

/// A driver binary that has been read, checked, and bound to the exports of this kernel.
#[derive(Debug)]
pub struct Binary {
    program: Program,
    /// The address for each import.
    links: Vec<usize>,
}

impl Binary {
    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// If the image cannot be loaded.
    pub fn parse(file: &[u8]) -> Result<Self, LoadError> {
        let program = Program::parse(file)?;
        let links = host::resolve(&program.imports)?;
        Ok(Self { program, links })
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// If the file cannot be read or the image cannot be loaded.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let file = std::fs::read(path).map_err(|error| LoadError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Self::parse(&file)
    }

    /// Maps a copy of the image, as loading does, without running any of it.
    ///
    /// # Errors
    /// If the host has no memory for it.
    pub fn map(&self, name: &str) -> Result<Image, LoadError> {
        Image::map(&Arc::from(name), self)
    }

    /// What the image imports, as `library!name`.
    pub fn imports(&self) -> impl Iterator<Item = String> {
        let imports = self.program.imports.iter();
        imports.map(|import| format!("{}!{}", import.library, import.name))
    }
}

impl Driver {
    /// A driver binary, read from a file.
    ///
    /// # Errors
    /// If the file cannot be read or the image cannot be loaded.
    pub fn binary(name: &str, path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let binary = Binary::read(path.as_ref())?;
        Ok(Self::from_binary(name, binary))
    }

    /// A driver binary that has been read already.
    #[must_use]
    pub fn from_binary(name: &str, binary: Binary) -> Self {
        Self::image(name, Arc::new(binary))
    }
}

/// The driver under test: the binary that [`DRIVER_VARIABLE`] names, or else the linked sources.
///
/// # Errors
/// If the variable names something that cannot be loaded.
pub fn driver_under_test(name: &str, linked: DriverEntry) -> Result<Driver, LoadError> {
    match std::env::var_os(DRIVER_VARIABLE) {
        Some(path) if !path.is_empty() => Driver::binary(name, path),
        _ => Ok(Driver::linked(name, linked)),
    }
}
