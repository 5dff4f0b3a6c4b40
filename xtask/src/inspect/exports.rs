//! What the driver may take from other images, and since when Windows has it.
//!
//! An import that the running kernel does not export is an image that does not load, and a boot-start filter
//! that does not load is a disk that does not start. So the list is closed: a new import is a
//! new row here, with the version that Microsoft's reference page of the routine gives, and
//! the lowest build in `driver.inx` follows from it. (What is older than Windows 10 makes no difference
//! to the build; for an import that is younger the row is the promise.)

/// A version of Windows, by what its reference pages call it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Since {
    /// Windows 2000. Every 64-bit Windows is later.
    Windows2000,
    /// Windows XP, with its service packs.
    WindowsXp,
    /// Windows Vista.
    Vista,
    /// Windows 10 version 2004.
    Windows10V2004,
}

/// The first Windows 10, below which nothing here distinguishes builds.
pub(super) const FIRST_WINDOWS_10: u32 = 10240;

impl Since {
    /// The lowest build of Windows 10 or later that has it.
    pub(super) const fn build(self) -> u32 {
        match self {
            Self::Windows2000 | Self::WindowsXp | Self::Vista => FIRST_WINDOWS_10,
            Self::Windows10V2004 => 19041,
        }
    }
}

/// An image that the driver may import from, with what it may import.
pub(super) struct Library {
    /// As the linker writes it. The loader does not tell upper case from lower.
    pub(super) name: &'static str,
    pub(super) exports: &'static [(&'static str, Since)],
}

use Since::{Vista, Windows10V2004, Windows2000, WindowsXp};

/// All of them.
pub(super) const LIBRARIES: &[Library] = &[
    Library {
        name: "ntoskrnl.exe",
        exports: &[
            ("DbgPrint", Windows2000),
            ("ExAllocatePool2", Windows10V2004),
            ("ExFreePool", Windows2000),
            ("ExFreePoolWithTag", Windows2000),
            ("IoAllocateIrp", Windows2000),
            ("IoAllocateMdl", Windows2000),
            ("IoBuildPartialMdl", Windows2000),
            ("IoCancelIrp", Windows2000),
            ("IoCsqInitialize", WindowsXp),
            ("IoCsqInsertIrp", WindowsXp),
            ("IoCsqRemoveNextIrp", WindowsXp),
            ("IoFreeIrp", Windows2000),
            ("IoFreeMdl", Windows2000),
            ("IoGetIoPriorityHint", Vista),
            ("IoGetLowerDeviceObject", WindowsXp),
            ("IoReuseIrp", Windows2000),
            ("IoSetIoPriorityHint", Vista),
            ("IofCallDriver", Windows2000),
            ("IofCompleteRequest", Windows2000),
            ("KeAcquireSpinLockRaiseToDpc", Windows2000), // 64-bit only
            ("KeBugCheckEx", Windows2000),
            ("KeCancelTimer", Windows2000),
            ("KeFlushQueuedDpcs", WindowsXp), // with SP2
            ("KeInitializeDpc", Windows2000),
            ("KeInitializeEvent", Windows2000),
            ("KeInitializeTimer", Windows2000),
            ("KeInsertQueueDpc", Windows2000),
            ("KeReleaseSpinLock", Windows2000), // a function on 64-bit systems
            ("KeSetEvent", Windows2000),
            ("KeSetTimer", Windows2000),
            ("KeWaitForSingleObject", Windows2000),
            ("MmBuildMdlForNonPagedPool", Windows2000),
            ("MmUnmapLockedPages", Windows2000),
            ("ObfDereferenceObject", Windows2000),
            // The compiler calls these four by itself.
            ("memcmp", Windows2000),
            ("memcpy", Windows2000),
            ("memmove", Windows2000),
            ("memset", Windows2000),
        ],
    },
    Library {
        // The framework's loader; which framework it then finds is the version's business.
        name: "WDFLDR.SYS",
        exports: &[
            ("WdfVersionBind", Windows2000),
            ("WdfVersionUnbind", Windows2000),
        ],
    },
];

/// Functions of the kernel, beyond those of [`LIBRARIES`].
pub(super) type Further = &'static [(&'static str, Since)];

/// What `highest.sys` imports and the filter must not: a filter locks nobody's pages and builds no synchronous requests.
pub(super) const HIGHEST: Further = &[
    ("IoBuildSynchronousFsdRequest", Windows2000),
    ("IoGetCurrentProcess", Windows2000),
    ("IoGetRequestorProcess", Windows2000),
    ("KeAreAllApcsDisabled", Vista),   // and Server 2003 with SP1
    ("KeGetCurrentIrql", Windows2000), // a function on 64-bit systems
    ("MmMapLockedPagesSpecifyCache", Windows2000),
    ("MmProbeAndLockPages", Windows2000),
    ("MmUnlockPages", Windows2000),
    ("MmUserProbeAddress", Windows2000),   // a variable
    ("__C_specific_handler", Windows2000), // what finds the __except of a frame
];

impl Library {
    pub(super) fn is_kernel(&self) -> bool {
        self.name == "ntoskrnl.exe"
    }
}

/// The library of this name.
pub(super) fn library(name: &str) -> Option<&'static Library> {
    LIBRARIES
        .iter()
        .find(|library| library.name.eq_ignore_ascii_case(name))
}

/// Symbols that the driver itself exports. Nobody imports from a driver; they are there because the
/// wdk crates declare them `no_mangle`, and rustc exports such items from a `cdylib`.
pub(super) const OWN: &[&str] = &[
    "DriverEntry",
    "__CxxFrameHandler3",
    "__CxxFrameHandler4",
    "__GSHandlerCheck_EH4",
    "_fltused",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::run;

    /// The names that an import library is made of.
    fn defined(file: &str) -> BTreeSet<String> {
        let path = run::root().join("kernel/import").join(file);
        let text = fs::read_to_string(path).expect("a definition");
        text.lines()
            .map(|line| line.split(';').next().unwrap_or_default().trim())
            .map(|line| line.strip_suffix(" DATA").unwrap_or(line))
            .filter(|line| !line.is_empty() && *line != "EXPORTS" && !line.starts_with("LIBRARY"))
            .map(String::from)
            .collect()
    }

    #[test]
    fn the_import_libraries_offer_what_may_be_imported_and_nothing_else() {
        for (file, name) in [
            ("ntoskrnl.def", "ntoskrnl.exe"),
            ("WdfLdr.def", "WDFLDR.SYS"),
        ] {
            let library = library(name).expect("it is known");
            let further = if library.is_kernel() { HIGHEST } else { &[] };
            let rows = library.exports.iter().chain(further);
            let allowed: BTreeSet<String> = rows.map(|(name, _)| String::from(*name)).collect();
            let count = library.exports.len() + further.len();
            assert_eq!(allowed.len(), count, "{name}: a row twice");
            assert_eq!(defined(file), allowed, "{name}");
        }
    }
}
