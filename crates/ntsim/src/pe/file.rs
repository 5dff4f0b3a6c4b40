//! What a PE file says, checked before any of it is believed.
//!
//! The result is the image as it lies in memory, flat and at its preferred address, with lists of
//! what has to be done to it: everything in them has been found to lie inside.

use std::ops::Range;

use object::pe;
use object::read::pe::{Import as Named, ImportTable, PeFile64, RelocationBlockIterator};
use object::{FileKind, LittleEndian as LE};

use super::error::LoadError;
use super::load_config::{self, LoadConfig};
use super::scopes::{self, Guarded};

/// Bytes in a page.
pub(super) const PAGE: usize = 4096;
/// The largest image that is accepted: drivers are far smaller.
const LARGEST: usize = 64 << 20;
/// More imports than this are no driver's.
const MOST_IMPORTS: usize = 1 << 16;

/// What a section's memory may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Execute,
}

/// A part of the image with an access of its own.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Whole pages.
    pub(super) pages: Range<usize>,
    pub(super) access: Access,
}

/// A slot that wants an address.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub(super) library: String,
    pub(super) name: String,
    pub(super) slot: usize,
}

/// A driver's image.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// Where it was linked for.
    pub(super) preferred: u64,
    /// The image, whole pages, nothing applied.
    pub(super) memory: Vec<u8>,
    /// Pages of headers, at the beginning.
    pub(super) headers: usize,
    pub(super) sections: Vec<Section>,
    pub(super) entry: usize,
    /// Offsets of 64-bit addresses.
    pub(super) relocations: Vec<usize>,
    pub(super) imports: Vec<Import>,
    pub(super) config: LoadConfig,
    /// Functions with `__try` blocks.
    pub(super) guarded: Vec<Guarded>,
}

impl Program {
    pub(super) fn parse(file: &[u8]) -> Result<Self, LoadError> {
        match FileKind::parse(file) {
            Ok(FileKind::Pe64) => {}
            Ok(FileKind::Pe32) => return Err(LoadError::Bits),
            _ => return Err(malformed("its headers are not those of one")),
        }
        let image = PeFile64::parse(file).map_err(|error| malformed(error.to_string()))?;
        check_headers(&image)?;
        check_sum(file, &image)?;
        let (memory, headers, sections) = lay_out(file, &image)?;
        let optional = &image.nt_headers().optional_header;
        let mut program = Self {
            preferred: optional.image_base.get(LE),
            memory,
            headers,
            sections,
            entry: optional.address_of_entry_point.get(LE) as usize,
            relocations: Vec::new(),
            imports: Vec::new(),
            config: LoadConfig::default(),
            guarded: Vec::new(),
        };
        if program.entry == 0 || program.access(program.entry, 1) != Some(Access::Execute) {
            return Err(LoadError::NoEntry);
        }
        let directory = |index: usize| {
            let (address, size) = image.data_directory(index)?.address_range();
            (address != 0).then_some((address as usize, size as usize))
        };
        for (index, what) in UNSUPPORTED {
            if directory(index).is_some() {
                return Err(LoadError::Unsupported(what));
            }
        }
        program.relocations =
            program.read_relocations(directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC))?;
        program.imports = program.read_imports(directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT))?;
        if let Some((address, _)) = directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG) {
            program.config = load_config::read(&program, address)?;
        }
        if let Some(functions) = directory(scopes::DIRECTORY) {
            program.guarded = scopes::read(&program, functions)?;
        }
        Ok(program)
    }

    /// What the `length` bytes at `offset` may be used for; `None` if they are not of one section.
    pub(super) fn access(&self, offset: usize, length: usize) -> Option<Access> {
        let end = offset.checked_add(length)?;
        let section = self
            .sections
            .iter()
            .find(|section| section.pages.contains(&offset))?;
        (end <= section.pages.end).then_some(section.access)
    }

    fn read_relocations(&self, directory: Option<(usize, usize)>) -> Result<Vec<usize>, LoadError> {
        let Some((address, size)) = directory else {
            return Ok(Vec::new());
        };
        let table = address
            .checked_add(size)
            .and_then(|end| self.memory.get(address..end))
            .ok_or_else(|| malformed("its relocations lie outside"))?;
        let mut found = Vec::new();
        let mut blocks = RelocationBlockIterator::new(table);
        while let Some(block) = blocks
            .next()
            .map_err(|error| malformed(error.to_string()))?
        {
            for relocation in block {
                let target = relocation.virtual_address as usize;
                match relocation.typ {
                    pe::IMAGE_REL_BASED_ABSOLUTE => {}
                    pe::IMAGE_REL_BASED_DIR64 if self.access(target, 8).is_some() => {
                        found.push(target);
                    }
                    pe::IMAGE_REL_BASED_DIR64 => {
                        return Err(malformed(format!(
                            "a relocation at {target:#x} lies outside"
                        )));
                    }
                    _ => return Err(LoadError::Unsupported("relocations other than DIR64")),
                }
            }
        }
        Ok(found)
    }

    fn read_imports(&self, directory: Option<(usize, usize)>) -> Result<Vec<Import>, LoadError> {
        let Some((address, _)) = directory else {
            return Ok(Vec::new());
        };
        let table = ImportTable::new(&self.memory, 0, address as u32);
        let bad = |error: object::Error| malformed(error.to_string());
        let mut found = Vec::new();
        for descriptor in table.descriptors().map_err(bad)? {
            let descriptor = descriptor.map_err(bad)?;
            let library = text(table.name(descriptor.name.get(LE)).map_err(bad)?);
            let first = descriptor.first_thunk.get(LE);
            let names = match descriptor.original_first_thunk.get(LE) {
                0 => first,
                other => other,
            };
            let mut thunks = table.thunks(names).map_err(bad)?;
            let mut slot = first as usize;
            while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>().map_err(bad)? {
                let import = table.import::<pe::ImageNtHeaders64>(thunk).map_err(bad)?;
                let name = match import {
                    Named::Name(_, name) => text(name),
                    Named::Ordinal(number) => format!("#{number}"),
                };
                if self.access(slot, 8).is_none() || found.len() == MOST_IMPORTS {
                    return Err(malformed(format!(
                        "the import of {library}!{name} lies outside"
                    )));
                }
                found.push(Import {
                    library: library.clone(),
                    name,
                    slot,
                });
                slot += 8;
            }
        }
        Ok(found)
    }
}

/// Directories of things that a driver does not have, or that would change how it is loaded.
const UNSUPPORTED: [(usize, &str); 4] = [
    (pe::IMAGE_DIRECTORY_ENTRY_TLS, "thread-local storage"),
    (
        pe::IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT,
        "bound imports, which are addresses in another kernel",
    ),
    (
        pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT,
        "delay-loaded imports",
    ),
    (pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, "a .NET header"),
];

/// A contradiction in the file.
pub(super) fn malformed(what: impl Into<String>) -> LoadError {
    LoadError::Format(what.into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check_headers(image: &PeFile64<'_>) -> Result<(), LoadError> {
    let header = &image.nt_headers().file_header;
    let optional = &image.nt_headers().optional_header;
    let machine = header.machine.get(LE);
    if machine != pe::IMAGE_FILE_MACHINE_AMD64 {
        return Err(LoadError::Machine(machine.0));
    }
    let flags = header.characteristics.get(LE).0;
    if flags & pe::IMAGE_FILE_EXECUTABLE_IMAGE.0 == 0 {
        return Err(malformed("it is not an executable image (an object file?)"));
    }
    if flags & pe::IMAGE_FILE_RELOCS_STRIPPED.0 != 0 {
        return Err(LoadError::Unsupported(
            "no relocations: it could run only where it was linked for",
        ));
    }
    let subsystem = optional.subsystem.get(LE);
    if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
        return Err(LoadError::Subsystem(subsystem.0));
    }
    let alignment = optional.section_alignment.get(LE) as usize;
    if alignment < PAGE || !alignment.is_power_of_two() {
        return Err(LoadError::Unsupported("sections that share a page"));
    }
    Ok(())
}

/// The checksum is in the header of every driver that Windows loads; a file without one was not
/// meant for it yet, and is accepted.
fn check_sum(file: &[u8], image: &PeFile64<'_>) -> Result<(), LoadError> {
    let header = image.nt_headers().optional_header.check_sum.get(LE);
    if header == 0 {
        return Ok(());
    }
    let place = image.dos_header().nt_headers_offset() as usize
        + std::mem::offset_of!(pe::ImageNtHeaders64, optional_header)
        + std::mem::offset_of!(pe::ImageOptionalHeader64, check_sum);
    let counted = counted_sum(file, place);
    if counted == header {
        Ok(())
    } else {
        Err(LoadError::Checksum { header, counted })
    }
}

/// A ones' complement sum of 16-bit words, without the field itself, plus the file's length.
fn counted_sum(file: &[u8], field: usize) -> u32 {
    let byte = |at: usize| match file.get(at) {
        Some(&byte) if !(field..field + 4).contains(&at) => u64::from(byte),
        _ => 0,
    };
    let mut sum = (0..file.len())
        .step_by(2)
        .map(|at| byte(at) | byte(at + 1) << 8)
        .sum::<u64>();
    while sum >> 16 != 0 {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (sum as u32).wrapping_add(file.len() as u32)
}

type Layout = (Vec<u8>, usize, Vec<Section>);

/// Copies headers and sections to where they belong.
fn lay_out(file: &[u8], image: &PeFile64<'_>) -> Result<Layout, LoadError> {
    let optional = &image.nt_headers().optional_header;
    let size = optional.size_of_image.get(LE) as usize;
    if size == 0 || size > LARGEST {
        return Err(malformed(format!("an image of {size} bytes")));
    }
    let mut memory = vec![0; size.next_multiple_of(PAGE)];
    let headers = optional.size_of_headers.get(LE) as usize;
    let bytes = file
        .get(..headers)
        .filter(|bytes| bytes.len() <= memory.len())
        .ok_or_else(|| malformed("its headers are longer than the file"))?;
    memory[..headers].copy_from_slice(bytes);
    let headers = headers.next_multiple_of(PAGE);
    let mut sections: Vec<Section> = Vec::new();
    for header in image.section_table().iter() {
        let before = sections.last().map_or(headers, |last| last.pages.end);
        let section = place(file, header, before, &mut memory)?;
        sections.push(section);
    }
    Ok((memory, headers, sections))
}

/// Copies one section; it may begin at `before` or behind.
fn place(
    file: &[u8],
    header: &pe::ImageSectionHeader,
    before: usize,
    memory: &mut [u8],
) -> Result<Section, LoadError> {
    let name = text(header.raw_name());
    let start = header.virtual_address.get(LE) as usize;
    let raw = header.size_of_raw_data.get(LE) as usize;
    let length = match header.virtual_size.get(LE) as usize {
        0 => raw,
        length => length,
    };
    let pages = start..(start + length).next_multiple_of(PAGE);
    if !start.is_multiple_of(PAGE) || start < before || pages.end > memory.len() {
        return Err(malformed(format!(
            "section {name} at {start:#x}, {length:#x} bytes, lies over another or outside"
        )));
    }
    let from = header.pointer_to_raw_data.get(LE) as usize;
    let bytes = file
        .get(from..from + raw)
        .ok_or_else(|| malformed(format!("section {name} goes on behind the end of the file")))?;
    let copied = raw.min(pages.len());
    memory[start..start + copied].copy_from_slice(&bytes[..copied]);
    let access = access_of(&name, header.characteristics.get(LE).0)?;
    Ok(Section { pages, access })
}

fn access_of(name: &str, flags: u32) -> Result<Access, LoadError> {
    let write = flags & pe::IMAGE_SCN_MEM_WRITE.0 != 0;
    let execute = flags & pe::IMAGE_SCN_MEM_EXECUTE.0 != 0;
    match (write, execute) {
        (true, true) => Err(LoadError::WritableCode(name.to_owned())),
        (true, false) => Ok(Access::Write),
        (false, true) => Ok(Access::Execute),
        (false, false) => Ok(Access::Read),
    }
}
