//! What an image can import, by library and name.

use super::super::error::LoadError;
use super::super::file::Import;
use super::{print, raise, runtime, wdfldr};
use crate::abi::MmUserProbeAddress;
use crate::ntddk;

/// A variable of the kernel: importing it gives its address.
#[repr(transparent)]
struct Variable(*const ());

// SAFETY: the address of an immutable static.
unsafe impl Sync for Variable {}

static PROCESSORS: u8 = 1;
static HIGHEST_USER_ADDRESS: u64 = 0x0000_7FFF_FFFE_FFFF;
static SYSTEM_RANGE_START: u64 = 0xFFFF_8000_0000_0000;
/// Build 19045, free.
static BUILD_NUMBER: u32 = 0xF000_0000 + 19045;

static VARIABLES: [(&str, Variable); 5] = [
    (
        "KeNumberProcessors",
        Variable((&raw const PROCESSORS).cast()),
    ),
    (
        "MmUserProbeAddress",
        Variable((&raw const MmUserProbeAddress).cast()),
    ),
    (
        "MmHighestUserAddress",
        Variable((&raw const HIGHEST_USER_ADDRESS).cast()),
    ),
    (
        "MmSystemRangeStart",
        Variable((&raw const SYSTEM_RANGE_START).cast()),
    ),
    ("NtBuildNumber", Variable((&raw const BUILD_NUMBER).cast())),
];

/// The address that `ntoskrnl.exe` exports under a name.
pub(super) fn kernel(name: &str) -> Option<*const ()> {
    // An export that raises cannot be entered as the others are.
    if name == raise::ENTRY.0 {
        return Some(raise::ENTRY.1);
    }
    let function = ntddk::table()
        .chain(runtime::TABLE)
        .find(|export| export.name == name)
        .map(|export| export.entry);
    let special = || {
        let mut special = runtime::special().into_iter().chain(print::variadic());
        special
            .find(|(known, _)| *known == name)
            .map(|(_, entry)| entry)
    };
    let variable = || {
        let mut variables = VARIABLES.iter();
        variables
            .find(|(known, _)| *known == name)
            .map(|(_, variable)| variable.0)
    };
    function.or_else(special).or_else(variable)
}

fn loader(name: &str) -> Option<*const ()> {
    let mut table = wdfldr::TABLE.iter();
    table
        .find(|export| export.name == name)
        .map(|export| export.entry)
}

/// Finds what each slot shall hold; the error names everything that nobody exports.
pub(in crate::pe) fn resolve(imports: &[Import]) -> Result<Vec<usize>, LoadError> {
    let mut addresses = Vec::with_capacity(imports.len());
    let mut missing = Vec::new();
    for import in imports {
        let found = match import.library.to_ascii_lowercase().as_str() {
            "ntoskrnl.exe" => kernel(&import.name),
            "wdfldr.sys" => loader(&import.name),
            _ => None,
        };
        match found {
            Some(address) => addresses.push(address.expose_provenance()),
            None => missing.push(format!("{}!{}", import.library, import.name)),
        }
    }
    if missing.is_empty() {
        Ok(addresses)
    } else {
        Err(LoadError::Imports(missing))
    }
}
