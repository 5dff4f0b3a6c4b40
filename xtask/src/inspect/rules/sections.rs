//! Sections, and what lies in those that the linker makes.

use super::Verdict;
use crate::inspect::{
    image::{Image, SCN_EXECUTE, SCN_WRITE, Section, directory},
    verdict,
};

/// `IMAGE_SCN_MEM_DISCARDABLE`.
const DISCARDABLE: u32 = 0x0200_0000;
/// `IMAGE_SCN_MEM_NOT_PAGED`, `IMAGE_SCN_MEM_READ` and the three kinds of content change nothing here.
const RIGHTS: u32 = SCN_EXECUTE | SCN_WRITE | DISCARDABLE | SHARED;
/// `IMAGE_SCN_MEM_SHARED`.
const SHARED: u32 = 0x1000_0000;
/// A page.
const PAGE: u32 = 4096;
/// Complaints about entries of tables are listed up to this number.
const MOST: usize = 5;
/// Bytes of an entry of the exception table.
const UNWIND_ENTRY: u32 = 12;

/// The sections of a driver of this project, with their rights.
///
/// Code in a section `PAGE` may be paged out, and this driver's runs while the paging file's own disk is being
/// powered up; `INIT` is gone after `DriverEntry`, and which functions the compiler inlined where
/// nobody keeps track of. What is writable and executable keeps memory integrity from loading it.
const KNOWN: &[(&str, u32)] = &[
    (".text", SCN_EXECUTE),
    (".rdata", 0),
    (".data", SCN_WRITE),
    (".pdata", 0),
    (".rsrc", 0),
    (".reloc", DISCARDABLE),
];

pub(super) fn kinds(image: &Image) -> Verdict {
    let complaints = image.sections.iter().filter_map(judged).collect();
    let names: Vec<&str> = image.sections.iter().map(|it| it.name.as_str()).collect();
    verdict(complaints, names.join(" "))
}

fn judged(section: &Section) -> Option<String> {
    let Section { name, flags, .. } = section;
    if section.is_executable() && section.is_writable() {
        return Some(format!("{name} is writable and executable"));
    }
    match KNOWN.iter().find(|(known, _)| known == name) {
        None => Some(format!("a section {name}")),
        Some((_, rights)) if flags & RIGHTS != *rights => {
            Some(format!("{name} has rights {:#010x}", flags & RIGHTS))
        }
        Some(_) => None,
    }
}

pub(super) fn alignment(image: &Image) -> Verdict {
    let mut complaints = Vec::new();
    if image.section_alignment != PAGE {
        complaints.push(format!(
            "sections at multiples of {}",
            image.section_alignment
        ));
    }
    for section in &image.sections {
        if section.address % PAGE != 0 {
            complaints.push(format!("{} at {:#x}", section.name, section.address));
        }
    }
    verdict(complaints, "sections at pages")
}

pub(super) fn relocations(image: &Image) -> Verdict {
    let mut complaints = Vec::new();
    if image.relocated.is_empty() {
        complaints.push("none: the image could be loaded at one address only".into());
    }
    if image.odd_relocations > 0 {
        complaints.push(format!("{} not of 64 bits", image.odd_relocations));
    }
    let lost = image.relocated.iter();
    let lost = lost.filter(|address| image.pointer(**address).is_none());
    complaints.extend(
        lost.take(MOST)
            .map(|address| format!("{address:#x} does not point into the image")),
    );
    verdict(complaints, format!("{} pointers", image.relocated.len()))
}

/// A bug check walks the stack with this table; without it no dump tells anything.
pub(super) fn unwind(image: &Image) -> Verdict {
    let (address, size) = image.directory(directory::EXCEPTION);
    let count = size / UNWIND_ENTRY;
    let is_inside = address
        .checked_add(size)
        .is_some_and(|end| end <= image.extent);
    let mut complaints = Vec::new();
    if count == 0 || size % UNWIND_ENTRY != 0 || !is_inside {
        return Err(vec![format!("a table of {size} bytes at {address:#x}")]);
    }
    let mut last = 0;
    for index in 0..count {
        let at = address + index * UNWIND_ENTRY;
        let ends = (image.number(at), image.number(at + 4));
        let in_code = |address| {
            image
                .section_of(address)
                .is_some_and(Section::is_executable)
        };
        match ends {
            (Some(start), Some(end)) if start >= last && start < end && in_code(start) => {
                last = end;
            }
            _ => complaints.push(format!("entry {index} is out of order or not in code")),
        }
        if complaints.len() == MOST {
            break;
        }
    }
    verdict(complaints, format!("{count} functions"))
}
