//! What the header says.

use super::Verdict;
use crate::inspect::{
    image::{Image, directory},
    verdict,
};

/// `IMAGE_FILE_MACHINE_AMD64`.
const X64: u16 = 0x8664;
/// `IMAGE_FILE_RELOCS_STRIPPED`.
const STRIPPED: u16 = 0x0001;
/// `IMAGE_FILE_EXECUTABLE_IMAGE`.
const EXECUTABLE: u16 = 0x0002;
/// `IMAGE_SUBSYSTEM_NATIVE`.
const NATIVE: u16 = 1;
/// Windows 10 and 11, as headers count.
const WINDOWS_10: (u16, u16) = (10, 0);

/// Bits of `DllCharacteristics` that must be set, and what breaks without them.
const PROTECTION: &[(u16, &str)] = &[
    (0x0040, "dynamic base"),
    (0x0080, "force integrity"),
    (0x0100, "NX"),
];

pub(super) fn machine(image: &Image) -> Verdict {
    let mut complaints = Vec::new();
    if image.machine != X64 {
        complaints.push(format!("machine {:#06x}, not x86-64", image.machine));
    }
    if image.characteristics & EXECUTABLE == 0 {
        complaints.push("not linked to an end".into());
    }
    verdict(complaints, "x86-64")
}

pub(super) fn subsystem(image: &Image) -> Verdict {
    let mut complaints = Vec::new();
    if image.subsystem != NATIVE {
        complaints.push(format!("subsystem {}, not native", image.subsystem));
    }
    for ((major, minor), what) in image.versions.iter().zip(["Windows", "subsystem"]) {
        if (*major, *minor) != WINDOWS_10 {
            complaints.push(format!("{what} {major}.{minor}, not 10.0"));
        }
    }
    verdict(complaints, "native, 10.0")
}

pub(super) fn entry(image: &Image) -> Verdict {
    let in_code = image
        .section_of(image.entry)
        .is_some_and(|section| section.is_executable() && !section.is_writable());
    let mut complaints = Vec::new();
    if image.entry == 0 {
        complaints.push("no entry point".into());
    } else if !in_code {
        complaints.push(format!("{:#x} is not in code", image.entry));
    }
    verdict(complaints, format!("{:#x}", image.entry))
}

pub(super) fn protection(image: &Image) -> Verdict {
    let missing = PROTECTION
        .iter()
        .filter(|(bit, _)| image.protection & bit == 0)
        .map(|(_, name)| format!("no {name}"));
    let mut complaints: Vec<String> = missing.collect();
    if image.characteristics & STRIPPED != 0 {
        complaints.push("relocations stripped, so the base is not dynamic".into());
    }
    let names: Vec<&str> = PROTECTION.iter().map(|(_, name)| *name).collect();
    verdict(complaints, names.join(", "))
}

/// Thread-local storage is the user-mode loader's; in a driver it would be an offset into nothing.
pub(super) fn no_tls(image: &Image) -> Verdict {
    absent(image, &[(directory::TLS, "thread-local storage")])
}

/// What is resolved after the load, in user mode only, or before it, for one build only.
pub(super) fn nothing_late(image: &Image) -> Verdict {
    absent(
        image,
        &[
            (directory::DELAY_IMPORT, "delay-loaded imports"),
            (directory::BOUND_IMPORT, "bound imports"),
            (directory::CLR, "managed code"),
        ],
    )
}

fn absent(image: &Image, directories: &[(usize, &str)]) -> Verdict {
    let complaints = directories
        .iter()
        .filter(|(number, _)| image.directory(*number) != (0, 0))
        .map(|(_, name)| (*name).to_owned())
        .collect();
    verdict(complaints, "none")
}
