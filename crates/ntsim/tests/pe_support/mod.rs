//! Writes driver binaries: a small linker for the one driver in [`blob`].
#![allow(dead_code, reason = "every test program uses its own part of this")]

pub(crate) mod blob;

use std::collections::BTreeMap;

use ntsim::pe::{Binary, LoadError};
use ntsim::pnp::Driver;
use ntsim::{BugCheck, Config, Machine};

/// Bytes in a page, and in the file from section to section.
pub(crate) const PAGE: usize = 0x1000;
/// Where imports, names and the load configuration lie.
const TABLES: usize = 0x3000;
/// Where the relocations lie.
const RELOCATIONS: usize = 0x4000;
/// Bytes of the image.
const SIZE: usize = 0x5000;
/// The PE header's offset in the file.
pub(crate) const HEADER: usize = 0x80;
/// The optional header's.
pub(crate) const OPTIONAL: usize = HEADER + 24;
/// The data directories'.
pub(crate) const DIRECTORIES: usize = OPTIONAL + 112;
/// The section headers'.
pub(crate) const SECTIONS: usize = OPTIONAL + 240;

const READ: u32 = 0x4000_0000;
const WRITE: u32 = 0x8000_0000;
const EXECUTE: u32 = 0x2000_0000;

/// An image in the making: bytes with 16, 32 and 64-bit numbers in them.
#[derive(Clone)]
pub(crate) struct File(pub(crate) Vec<u8>);

impl File {
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn put16(&mut self, at: usize, value: u16) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn put32(&mut self, at: usize, value: usize) -> &mut Self {
        self.put(at, &u32::try_from(value).expect("32 bits").to_le_bytes())
    }

    pub(crate) fn put64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Sets a data directory.
    pub(crate) fn directory(&mut self, index: usize, address: usize, size: usize) -> &mut Self {
        self.put32(DIRECTORIES + 8 * index, address)
            .put32(DIRECTORIES + 8 * index + 4, size)
    }

    pub(crate) fn parse(&self) -> Result<Binary, LoadError> {
        Binary::parse(&self.0)
    }

    pub(crate) fn driver(&self) -> Driver {
        match self.parse() {
            Ok(binary) => Driver::from_binary("asm", binary),
            Err(error) => panic!("{error}"),
        }
    }

    /// Loads the driver on a machine of its own and unloads it; what its entry point returned, and
    /// what it printed.
    pub(crate) fn run(&self) -> Result<(i32, Vec<String>), BugCheck> {
        let driver = self.driver();
        let machine = Machine::new(Config::default());
        let status = machine.run(|| match driver.load() {
            Ok(_) => {
                let _maybe_no_routine = driver.unload();
                0
            }
            Err(status) => status,
        })?;
        Ok((status, machine.debug_log()))
    }

    /// As [`File::run`], for drivers that stop the machine.
    pub(crate) fn stops(&self) -> BugCheck {
        match self.run() {
            Ok(other) => panic!("the machine went on: {other:x?}"),
            Err(bug_check) => bug_check,
        }
    }
}

/// The driver with this entry point.
pub(crate) fn driver(entry: &str) -> File {
    let mut file = File(vec![0; SIZE]);
    headers(&mut file, blob::at(entry));
    // File offsets are those in the image.
    file.put(blob::TEXT, &blob::bytes());
    imports(&mut file, blob::IMPORTS);
    relocations(&mut file, &blob::relocations());
    file
}

fn headers(file: &mut File, entry: usize) {
    file.put(0, b"MZ").put32(0x3C, HEADER);
    file.put(HEADER, b"PE\0\0")
        .put16(HEADER + 4, 0x8664)
        .put16(HEADER + 6, 4)
        .put16(HEADER + 20, 240)
        .put16(HEADER + 22, 0x22);
    file.put16(OPTIONAL, 0x20B)
        .put32(OPTIONAL + 16, entry)
        .put64(OPTIONAL + 24, blob::PREFERRED)
        .put32(OPTIONAL + 32, PAGE)
        .put32(OPTIONAL + 36, PAGE)
        .put32(OPTIONAL + 56, SIZE)
        .put32(OPTIONAL + 60, PAGE)
        .put16(OPTIONAL + 68, 1)
        .put32(OPTIONAL + 108, 16);
    let sections: [(&[u8], usize, u32); 4] = [
        (b".text", blob::TEXT, READ | EXECUTE),
        (b".data", blob::DATA, READ | WRITE),
        (b".rdata", TABLES, READ),
        (b".reloc", RELOCATIONS, READ),
    ];
    for (index, (name, at, flags)) in sections.into_iter().enumerate() {
        let header = SECTIONS + 40 * index;
        file.put(header, name)
            .put32(header + 8, PAGE)
            .put32(header + 12, at)
            .put32(header + 16, PAGE)
            .put32(header + 20, at)
            .put32(header + 36, flags as usize);
    }
}

/// Writes the import directory. Slots of one library follow each other.
pub(crate) fn imports(file: &mut File, imports: &[(&str, &str)]) {
    let mut libraries: Vec<&str> = imports.iter().map(|(library, _)| *library).collect();
    libraries.dedup();
    let mut lookup = TABLES + 20 * (libraries.len() + 1);
    let mut text = lookup + 8 * (imports.len() + libraries.len());
    let mut slot = blob::at("pe_imports");
    file.directory(1, TABLES, 20 * (libraries.len() + 1));
    for (index, library) in libraries.iter().enumerate() {
        let descriptor = TABLES + 20 * index;
        file.put32(descriptor, lookup)
            .put32(descriptor + 12, text)
            .put32(descriptor + 16, slot);
        file.put(text, library.as_bytes());
        text += (library.len() + 1).next_multiple_of(2);
        for (_, name) in imports.iter().filter(|(known, _)| known == library) {
            file.put64(lookup, text as u64)
                .put(text + 2, name.as_bytes());
            text += (name.len() + 3).next_multiple_of(2);
            lookup += 8;
            slot += 8;
        }
        lookup += 8;
    }
}

/// Writes the relocations, one block for each page.
pub(crate) fn relocations(file: &mut File, offsets: &[usize]) {
    let mut pages: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for offset in offsets {
        pages
            .entry(offset & !(PAGE - 1))
            .or_default()
            .push(offset % PAGE);
    }
    let mut at = RELOCATIONS;
    for (page, offsets) in pages {
        let size = 8 + 2 * offsets.len().next_multiple_of(2);
        file.put32(at, page).put32(at + 4, size);
        for (index, offset) in offsets.iter().enumerate() {
            file.put16(at + 8 + 2 * index, 10 << 12 | *offset as u16);
        }
        at += size;
    }
    file.directory(5, RELOCATIONS, at - RELOCATIONS);
}

/// Where [`scopes`] puts the scope table's only entry: begin, end, filter, target.
pub(crate) const SCOPE: usize = UNWIND + 20;
/// Where the handler of the guarded function is named.
pub(crate) const HANDLER: usize = UNWIND + 12;
/// Where the unwind data of the guarded function lie.
pub(crate) const UNWIND: usize = TABLES + 0xF40;
/// Where the exception directory lies.
pub(crate) const FUNCTIONS: usize = TABLES + 0xF00;

/// Writes the exception directory: the guarded function with its scope table.
pub(crate) fn scopes(file: &mut File) {
    file.put32(FUNCTIONS, blob::at("guarded"))
        .put32(FUNCTIONS + 4, blob::at("guarded_end"))
        .put32(FUNCTIONS + 8, UNWIND);
    // Version 1, both kinds of handlers; lea rbp, [rsp + 0x20]; sub rsp, 0x28; push r13; push rbp.
    file.put(UNWIND, &[0x19, 12, 4, 0x25])
        .put(UNWIND + 4, &[12, 0x03, 7, 0x42, 3, 0xD0, 1, 0x50])
        .put32(HANDLER, blob::at("specific_handler"))
        .put32(HANDLER + 4, 1);
    file.put32(SCOPE, blob::at("guarded_try"))
        .put32(SCOPE + 4, blob::at("guarded_try_end"))
        .put32(SCOPE + 8, 1)
        .put32(SCOPE + 12, blob::at("guarded_except"));
    file.directory(3, FUNCTIONS, 12);
}

/// Writes a load configuration that names the cookie and the flow guard's pointers.
pub(crate) fn load_config(file: &mut File) {
    let at = TABLES + 0xE00;
    let address = |label| blob::PREFERRED + blob::at(label) as u64;
    file.put32(at, 0x94)
        .put64(at + 0x58, address("cookie"))
        .put64(at + 0x70, address("guard_check"))
        .put64(at + 0x78, address("guard_dispatch"))
        .put32(at + 0x90, 0x100);
    file.directory(10, at, 0x94);
}
