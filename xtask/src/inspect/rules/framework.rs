//! The framework that the driver binds.
//!
//! The entry stub hands `WdfVersionBind` a WDF_BIND_INFO: its size, the name of the library, the
//! version, and how many functions the table has that it wants filled. KMDF refuses counts that
//! are not those of a released version (fxlibrarycommon.cpp), and a driver that it refuses does not start.

use super::Verdict;
use crate::inspect::{
    Expected,
    image::{Image, Section},
    verdict,
};

/// The library's name, in UTF-16 with its zero.
const LIBRARY: &str = "KmdfLibrary\0";

/// Released versions: minor version, functions, and the lowest build of Windows that brings it along.
const RELEASED: &[(u32, u32, u32)] = &[(15, 444, 10240), (31, 458, 19041), (33, 458, 22000)];

/// `sizeof(WDF_BIND_INFO)`.
const SIZE: u32 = 48;

/// Offsets of its members.
mod member {
    pub(super) const COMPONENT: u32 = 8;
    pub(super) const MAJOR: u32 = 16;
    pub(super) const MINOR: u32 = 20;
    pub(super) const COUNT: u32 = 28;
    pub(super) const TABLE: u32 = 32;
}

/// The lowest build whose own framework is this version or later.
pub(super) fn lowest_build(version: &str) -> Option<u32> {
    let minor: u32 = version.strip_prefix("1.")?.parse().ok()?;
    let released = RELEASED.iter().find(|(known, ..)| *known == minor)?;
    Some(released.2)
}

pub(super) fn check(image: &Image, expected: &Expected) -> Verdict {
    let found = bind_infos(image);
    let [info] = found.as_slice() else {
        return Err(vec![format!("{} WDF_BIND_INFO, not one", found.len())]);
    };
    let number = |member| image.number(info.wrapping_add(member)).unwrap_or_default();
    let (major, minor) = (number(member::MAJOR), number(member::MINOR));
    let count = number(member::COUNT);
    let version = format!("{major}.{minor}");
    let mut complaints = Vec::new();
    if version != expected.framework {
        let asked = &expected.framework;
        complaints.push(format!("binds KMDF {version}, Cargo.toml asks for {asked}"));
    }
    match RELEASED
        .iter()
        .find(|(known, ..)| (1, *known) == (major, minor))
    {
        Some((_, released, _)) if *released != count => {
            complaints.push(format!("{count} functions, KMDF {version} has {released}"));
        }
        None => complaints.push(format!("KMDF {version} is not a version known here")),
        Some(_) => {}
    }
    let table = info.wrapping_add(member::TABLE);
    let receives = image.pointer(table).and_then(|to| image.section_of(to));
    if !receives.is_some_and(Section::is_writable) || !is_relocated(image, table) {
        complaints.push("the function table's address has no place to go".into());
    }
    for (name, facts) in &expected.infs {
        if facts.framework != version {
            let told = &facts.framework;
            complaints.push(format!("binds KMDF {version}, {name} says {told:?}"));
        }
    }
    verdict(complaints, format!("KMDF {version}, {count} functions"))
}

/// Where the image has WDF_BIND_INFO: 48, and a relocated pointer to the library's name.
fn bind_infos(image: &Image) -> Vec<u32> {
    let names = names(image);
    let candidates = image.relocated.iter().filter(|slot| {
        image
            .pointer(**slot)
            .is_some_and(|target| names.contains(&target))
    });
    candidates
        .filter_map(|slot| slot.checked_sub(member::COMPONENT))
        .filter(|info| image.number(*info) == Some(SIZE))
        .collect()
}

/// Addresses of the library's name.
fn names(image: &Image) -> Vec<u32> {
    let wanted: Vec<u8> = LIBRARY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut found = Vec::new();
    for section in &image.sections {
        for (at, window) in section.bytes.windows(wanted.len()).enumerate() {
            if window == wanted {
                found.push(section.address.wrapping_add(at as u32));
            }
        }
    }
    found
}

fn is_relocated(image: &Image, address: u32) -> bool {
    image.relocated.contains(&address)
}
