//! A driver image, taken apart once: what the rules look at.

use std::collections::BTreeMap;

use object::{
    LittleEndian as LE, pe,
    read::pe::{DataDirectories, ImageNtHeaders, ImageOptionalHeader, Import, SectionTable},
};

/// A section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) address: u32,
    /// Bytes in memory.
    pub(super) size: u32,
    pub(super) flags: u32,
    pub(super) bytes: Vec<u8>,
}

impl Section {
    pub(super) fn is_executable(&self) -> bool {
        self.flags & SCN_EXECUTE != 0
    }

    pub(super) fn is_writable(&self) -> bool {
        self.flags & SCN_WRITE != 0
    }
}

/// `IMAGE_SCN_MEM_EXECUTE`.
pub(super) const SCN_EXECUTE: u32 = 0x2000_0000;
/// `IMAGE_SCN_MEM_WRITE`.
pub(super) const SCN_WRITE: u32 = 0x8000_0000;

/// Numbers of data directories.
pub(super) mod directory {
    pub(in crate::inspect) const EXCEPTION: usize = 3;
    pub(in crate::inspect) const SECURITY: usize = 4;
    pub(in crate::inspect) const TLS: usize = 9;
    pub(in crate::inspect) const BOUND_IMPORT: usize = 11;
    pub(in crate::inspect) const DELAY_IMPORT: usize = 13;
    pub(in crate::inspect) const CLR: usize = 14;
}

/// An image.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) file: Vec<u8>,
    pub(super) machine: u16,
    pub(super) characteristics: u16,
    pub(super) base: u64,
    pub(super) entry: u32,
    pub(super) subsystem: u16,
    /// Oldest Windows and oldest subsystem that the header asks for, major and minor.
    pub(super) versions: [(u16, u16); 2],
    pub(super) section_alignment: u32,
    /// Bytes in memory.
    pub(super) extent: u32,
    pub(super) protection: u16,
    pub(super) checksum: u32,
    /// Where the checksum stands in the file.
    pub(super) checksum_at: usize,
    pub(super) sections: Vec<Section>,
    /// Address and size of each data directory.
    pub(super) directories: Vec<(u32, u32)>,
    /// Names by library; ordinals as `#number`.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    pub(super) exports: Vec<String>,
    /// Addresses that the loader adjusts.
    pub(super) relocated: Vec<u32>,
    /// Relocations of any other kind than a 64-bit address.
    pub(super) odd_relocations: usize,
}

impl Image {
    /// Reads an image; an error says what makes it none.
    pub(super) fn read(file: Vec<u8>) -> Result<Self, String> {
        let broken = |what: &str| {
            let what = what.to_owned();
            move |error: object::read::Error| format!("{what}: {error}")
        };
        let data = file.as_slice();
        let dos = pe::ImageDosHeader::parse(data).map_err(broken("no PE image"))?;
        let nt_at = dos.nt_headers_offset();
        let mut offset = u64::from(nt_at);
        let (nt, directories) =
            pe::ImageNtHeaders64::parse(data, &mut offset).map_err(broken("PE header"))?;
        let table = nt.sections(data, offset).map_err(broken("sections"))?;
        let header = nt.optional_header();
        let sections: Result<Vec<Section>, String> = table
            .iter()
            .map(|section| read_section(section, data))
            .collect();
        let (relocated, odd_relocations) =
            relocations(&directories, data, &table).map_err(broken("relocations"))?;
        let image = Self {
            machine: nt.file_header().machine.get(LE).0,
            characteristics: nt.file_header().characteristics.get(LE).0,
            base: header.image_base(),
            entry: header.address_of_entry_point(),
            subsystem: header.subsystem().0,
            versions: [
                (
                    header.major_operating_system_version(),
                    header.minor_operating_system_version(),
                ),
                (
                    header.major_subsystem_version(),
                    header.minor_subsystem_version(),
                ),
            ],
            section_alignment: header.section_alignment(),
            extent: header.size_of_image(),
            protection: header.dll_characteristics().0,
            checksum: header.check_sum(),
            // Signature and file header, then 64 bytes into the optional one.
            checksum_at: nt_at as usize + 24 + 64,
            sections: sections?,
            directories: directories
                .iter()
                .map(pe::ImageDataDirectory::address_range)
                .collect(),
            imports: imports(&directories, data, &table).map_err(broken("imports"))?,
            exports: exports(&directories, data, &table).map_err(broken("exports"))?,
            relocated,
            odd_relocations,
            file: Vec::new(),
        };
        Ok(Self { file, ..image })
    }

    /// Address and size of a data directory; zeros where there is none.
    pub(super) fn directory(&self, number: usize) -> (u32, u32) {
        self.directories.get(number).copied().unwrap_or((0, 0))
    }

    /// The section that an address lies in.
    pub(super) fn section_of(&self, address: u32) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| address >= section.address && address - section.address < section.size)
    }

    /// Bytes at an address, as the file has them; what the file does not hold is zero in memory.
    pub(super) fn at<const N: usize>(&self, address: u32) -> Option<[u8; N]> {
        let section = self.section_of(address)?;
        let start = (address - section.address) as usize;
        let mut bytes = [0; N];
        if start + N > section.size as usize {
            return None;
        }
        let held = section.bytes.get(start..).unwrap_or_default();
        let length = held.len().min(N);
        bytes[..length].copy_from_slice(&held[..length]);
        Some(bytes)
    }

    /// A 32-bit number at an address.
    pub(super) fn number(&self, address: u32) -> Option<u32> {
        self.at(address).map(u32::from_le_bytes)
    }

    /// A pointer at an address, as an address relative to the image.
    pub(super) fn pointer(&self, address: u32) -> Option<u32> {
        let absolute = u64::from_le_bytes(self.at(address)?);
        let relative = absolute.checked_sub(self.base)?;
        u32::try_from(relative).ok().filter(|it| *it < self.extent)
    }
}

fn read_section(section: &pe::ImageSectionHeader, data: &[u8]) -> Result<Section, String> {
    let length = section.name.iter().position(|byte| *byte == 0).unwrap_or(8);
    let name = String::from_utf8_lossy(&section.name[..length]).into_owned();
    let bytes = section
        .pe_data(data)
        .map_err(|error| format!("section {name}: {error}"))?;
    let (address, size) = section.pe_address_range();
    Ok(Section {
        address,
        size,
        flags: section.characteristics.get(LE).0,
        bytes: bytes.to_vec(),
        name,
    })
}

type Parsed<T> = object::read::Result<T>;

fn imports(
    directories: &DataDirectories<'_>,
    data: &[u8],
    sections: &SectionTable<'_>,
) -> Parsed<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let Some(table) = directories.import_table(data, sections)? else {
        return Ok(found);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let library = text(table.name(descriptor.name.get(LE))?);
        let names = found.entry(library).or_default();
        // Linkers may leave the lookup table out; the address table then says the same.
        let lookup = match descriptor.original_first_thunk.get(LE) {
            0 => descriptor.first_thunk.get(LE),
            lookup => lookup,
        };
        let mut thunks = table.thunks(lookup)?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            names.push(match table.import::<pe::ImageNtHeaders64>(thunk)? {
                Import::Ordinal(ordinal) => format!("#{ordinal}"),
                Import::Name(_, name) => text(name),
            });
        }
    }
    Ok(found)
}

fn exports(
    directories: &DataDirectories<'_>,
    data: &[u8],
    sections: &SectionTable<'_>,
) -> Parsed<Vec<String>> {
    let Some(table) = directories.export_table(data, sections)? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for export in table.exports()? {
        names.push(match export.name {
            Some(name) => text(name),
            None => String::from("one without a name"),
        });
    }
    Ok(names)
}

/// Addresses of 64-bit relocations, and how many others there are.
fn relocations(
    directories: &DataDirectories<'_>,
    data: &[u8],
    sections: &SectionTable<'_>,
) -> Parsed<(Vec<u32>, usize)> {
    let mut addresses = Vec::new();
    let mut others = 0;
    if let Some(mut blocks) = directories.relocation_blocks(data, sections)? {
        while let Some(block) = blocks.next()? {
            for relocation in block {
                if relocation.typ == pe::IMAGE_REL_BASED_DIR64 {
                    addresses.push(relocation.virtual_address);
                } else {
                    others += 1;
                }
            }
        }
    }
    Ok((addresses, others))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
