//! A small driver image, written here byte by byte: everything the rules ask for, and nothing else.

use crate::inspect::rules::{authenticode, checksum_of};

/// Where the headers' parts stand in the file.
pub(super) const NT: usize = 0x80;
pub(super) const OPTIONAL: usize = NT + 24;
pub(super) const CHECKSUM: usize = OPTIONAL + 64;
pub(super) const DIRECTORIES: usize = OPTIONAL + 112;
pub(super) const SECTIONS: usize = OPTIONAL + 240;

/// The preferred address.
const BASE: u64 = 0x1_8000_0000;

/// Sections: name, rights, address, place in the file. Each has 0x200 bytes in the file, `.rdata` twice that.
const LAYOUT: [(&str, u32, u32, usize); 5] = [
    (".text", 0x6000_0020, 0x1000, 0x400),
    (".rdata", 0x4000_0040, 0x2000, 0x600),
    (".data", 0xC000_0040, 0x3000, 0xA00),
    (".pdata", 0x4000_0040, 0x4000, 0xC00),
    (".reloc", 0x4200_0040, 0x5000, 0xE00),
];

/// Places in the file that mutations change.
pub(super) const TEXT: usize = 0x400;
pub(super) const IMPORT_NAMES: usize = 0x600 + 0x100;
pub(super) const EXPORT_NAMES: usize = 0x600 + 0x300;
pub(super) const BIND_INFO: usize = 0xA00 + 0x20;
pub(super) const PDATA: usize = 0xC00;
pub(super) const RELOC: usize = 0xE00;

/// Names of imports have 32 bytes each, so that a mutation can write any other name over them.
pub(super) const NAME: usize = 32;

/// What `.rdata` imports, in the order of its names.
pub(super) const IMPORTS: [&str; 3] = ["ExAllocatePool2", "IofCallDriver", "WdfVersionBind"];

/// Writes the image, with its checksum.
pub(super) fn image() -> Vec<u8> {
    let mut file = vec![0; 0x1000];
    put(&mut file, 0, b"MZ");
    put32(&mut file, 0x3C, NT as u32);
    header(&mut file);
    code(&mut file);
    constants(&mut file);
    data(&mut file);
    put32(&mut file, PDATA, 0x1000);
    put32(&mut file, PDATA + 4, 0x1010);
    put32(&mut file, PDATA + 8, 0x23F0);
    relocations(&mut file);
    with_checksum(file)
}

/// The same file with a right checksum.
pub(super) fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let checksum = checksum_of(&file, CHECKSUM);
    put32(&mut file, CHECKSUM, checksum);
    file
}

pub(super) fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn put16(file: &mut [u8], at: usize, number: u16) {
    put(file, at, &number.to_le_bytes());
}

pub(super) fn put32(file: &mut [u8], at: usize, number: u32) {
    put(file, at, &number.to_le_bytes());
}

fn put64(file: &mut [u8], at: usize, number: u64) {
    put(file, at, &number.to_le_bytes());
}

/// Address and size of a data directory.
pub(super) fn directory(file: &mut [u8], number: usize, address: u32, size: u32) {
    put32(file, DIRECTORIES + number * 8, address);
    put32(file, DIRECTORIES + number * 8 + 4, size);
}

fn header(file: &mut [u8]) {
    put(file, NT, b"PE\0\0");
    put16(file, NT + 4, 0x8664);
    put16(file, NT + 6, LAYOUT.len() as u16);
    put16(file, NT + 20, 240);
    put16(file, NT + 22, 0x2022);
    put16(file, OPTIONAL, 0x20B);
    put32(file, OPTIONAL + 16, 0x1000); // entry
    put64(file, OPTIONAL + 24, BASE);
    put32(file, OPTIONAL + 32, 0x1000); // alignment of sections
    put32(file, OPTIONAL + 36, 0x200); // and in the file
    put16(file, OPTIONAL + 40, 10); // Windows 10.0
    put16(file, OPTIONAL + 48, 10); // subsystem 10.0
    put32(file, OPTIONAL + 56, 0x6000); // the image
    put32(file, OPTIONAL + 60, 0x400); // the headers
    put16(file, OPTIONAL + 68, 1); // native
    put16(file, OPTIONAL + 70, 0x1E0); // protection
    put32(file, OPTIONAL + 108, 16); // directories
    directory(file, 0, 0x2200, 0x120);
    directory(file, 1, 0x2000, 60);
    directory(file, 3, 0x4000, 12);
    directory(file, 5, 0x5000, 12);
    for (index, (name, rights, address, place)) in LAYOUT.iter().enumerate() {
        let at = SECTIONS + index * 40;
        let size = if *name == ".rdata" { 0x400 } else { 0x200 };
        put(file, at, name.as_bytes());
        put32(file, at + 8, size);
        put32(file, at + 12, *address);
        put32(file, at + 16, size);
        put32(file, at + 20, *place as u32);
        put32(file, at + 36, *rights);
    }
}

fn code(file: &mut [u8]) {
    file[TEXT..TEXT + 0x200].fill(0xCC);
    let code = [
        0x48, 0x83, 0xEC, 0x28, // sub rsp, 40
        0x0F, 0x57, 0xC0, // xorps xmm0, xmm0
        0x31, 0xC0, // xor eax, eax
        0x48, 0x83, 0xC4, 0x28, // add rsp, 40
        0xC3, // ret
    ];
    put(file, TEXT, &code);
}

/// Imports at 0x2000, exports at 0x2200, the library's name at 0x2380, unwind information at 0x23F0.
fn constants(file: &mut [u8]) {
    let at = |address: u32| 0x600 + (address - 0x2000) as usize;
    // The kernel's two imports, then the loader's one: lookup tables at 0x2040, address tables at 0x2080.
    for (index, (lookup, slots, library)) in [(0x2040, 0x2080, 0x21C0), (0x2058, 0x2098, 0x21E0)]
        .into_iter()
        .enumerate()
    {
        let descriptor = at(0x2000) + index * 20;
        put32(file, descriptor, lookup);
        put32(file, descriptor + 12, library);
        put32(file, descriptor + 16, slots);
    }
    for (index, slot) in [(0, 0x40), (1, 0x48), (2, 0x58)] {
        let name = 0x2100 + (index * NAME) as u32;
        put32(file, at(0x2000 + slot), name);
        put32(file, at(0x2040 + slot), name);
        put(file, at(name) + 2, IMPORTS[index].as_bytes());
    }
    put(file, at(0x21C0), b"ntoskrnl.exe");
    put(file, at(0x21E0), b"WDFLDR.SYS");
    // One export.
    put32(file, at(0x2200) + 12, 0x2240); // the image's name
    put32(file, at(0x2200) + 16, 1); // first ordinal
    put32(file, at(0x2200) + 20, 1);
    put32(file, at(0x2200) + 24, 1);
    put32(file, at(0x2200) + 28, 0x2250); // addresses
    put32(file, at(0x2200) + 32, 0x2258); // names
    put32(file, at(0x2200) + 36, 0x2254); // ordinals
    put(file, at(0x2240), b"xfersplit.dll");
    put32(file, at(0x2250), 0x1000);
    put32(file, at(0x2258), 0x2300);
    put(file, at(0x2300), b"DriverEntry");
    let name: Vec<u8> = "KmdfLibrary\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    put(file, at(0x2380), &name);
}

/// The place of the function table's address at 0x3000, the WDF_BIND_INFO at 0x3020.
fn data(file: &mut [u8]) {
    put32(file, BIND_INFO, 48);
    put64(file, BIND_INFO + 8, BASE + 0x2380);
    put32(file, BIND_INFO + 16, 1);
    put32(file, BIND_INFO + 20, 15);
    put32(file, BIND_INFO + 28, 444);
    put64(file, BIND_INFO + 32, BASE + 0x3000);
}

/// Two pointers of the WDF_BIND_INFO.
fn relocations(file: &mut [u8]) {
    put32(file, RELOC, 0x3000);
    put32(file, RELOC + 4, 12);
    put16(file, RELOC + 8, 0xA028);
    put16(file, RELOC + 10, 0xA040);
}

/// The image with something like a signature: the digest between other bytes.
pub(super) fn signed() -> Vec<u8> {
    let mut file = image();
    let end = file.len();
    directory(&mut file, 4, end as u32, 64);
    let digest = authenticode(&file, CHECKSUM, end);
    let mut certificate = vec![0; 64];
    put32(&mut certificate, 0, 64);
    put(&mut certificate, 4, &[0, 2, 2, 0]);
    put(&mut certificate, 13, &digest);
    file.extend(certificate);
    with_checksum(file)
}
