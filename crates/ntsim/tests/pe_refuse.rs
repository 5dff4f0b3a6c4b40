//! Files that are not loaded: an error that says why, whatever the file.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::pe::{Binary, LoadError};
use pe_support::{DIRECTORIES, File, HEADER, OPTIONAL, PAGE, SECTIONS, blob, driver, imports};

fn good() -> File {
    let mut file = driver("entry_success");
    pe_support::load_config(&mut file);
    file
}

/// Why a changed file is refused.
fn refused(change: impl FnOnce(&mut File)) -> LoadError {
    let mut file = good();
    change(&mut file);
    match file.parse() {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

fn malformed(change: impl FnOnce(&mut File)) -> bool {
    matches!(refused(change), LoadError::Format(_))
}

#[test]
fn the_unchanged_file_is_accepted() {
    let binary = good().parse().expect("a driver");
    assert_eq!(binary.imports().count(), blob::IMPORTS.len());
    assert!(
        binary
            .imports()
            .any(|name| name == "WDFLDR.SYS!WdfVersionBind")
    );
}

#[test]
fn other_machines_widths_and_subsystems() {
    let change = refused(|file| _ = file.put16(HEADER + 4, 0xAA64));
    assert_eq!(change, LoadError::Machine(0xAA64));
    let change = refused(|file| _ = file.put16(OPTIONAL, 0x10B));
    assert_eq!(change, LoadError::Bits);
    let change = refused(|file| _ = file.put16(OPTIONAL + 68, 3));
    assert_eq!(change, LoadError::Subsystem(3));
    assert!(
        malformed(|file| _ = file.put16(HEADER + 22, 0x20)),
        "an object file"
    );
    assert!(malformed(|file| _ = file.put(0, b"ZM")));
    assert!(matches!(Binary::parse(b""), Err(LoadError::Format(_))));
}

#[test]
fn no_entry_point_or_one_outside_code() {
    for entry in [0, 8, blob::DATA, 0x3000, 0x7FFF_FFFF] {
        let change = refused(|file| _ = file.put32(OPTIONAL + 16, entry));
        assert_eq!(change, LoadError::NoEntry, "{entry:#x}");
    }
}

#[test]
fn writable_code() {
    let change = refused(|file| _ = file.put32(SECTIONS + 36, 0xE000_0020));
    assert_eq!(change, LoadError::WritableCode(".text".to_owned()));
}

#[test]
fn everything_that_nobody_exports_is_named_at_once() {
    let change = refused(|file| {
        let mut wanted = blob::IMPORTS.to_vec();
        wanted[0] = ("ntoskrnl.exe", "KeBugCheckTwice");
        wanted[5] = ("ntoskrnl.exe", "ExFrobnicate");
        *wanted.last_mut().expect("imports") = ("NDIS.SYS", "NdisSend");
        file.0[0x3000..0x3800].fill(0);
        imports(file, &wanted);
    });
    let missing = [
        "ntoskrnl.exe!KeBugCheckTwice",
        "ntoskrnl.exe!ExFrobnicate",
        "NDIS.SYS!NdisSend",
    ];
    assert_eq!(
        change,
        LoadError::Imports(missing.map(str::to_owned).to_vec())
    );
    assert!(
        change
            .to_string()
            .contains("ExFrobnicate, NDIS.SYS!NdisSend"),
        "{change}"
    );
}

#[test]
fn what_only_programs_have() {
    for (directory, what) in [
        (9, "thread-local"),
        (11, "bound"),
        (13, "delay-loaded"),
        (14, ".NET"),
    ] {
        let change = refused(|file| _ = file.directory(directory, 0x3000, 40));
        assert!(change.to_string().contains(what), "{change}");
    }
    let change = refused(|file| _ = file.put16(HEADER + 22, 0x23));
    assert!(change.to_string().contains("no relocations"), "{change}");
    let change = refused(|file| _ = file.put32(OPTIONAL + 32, 512));
    assert!(change.to_string().contains("share a page"), "{change}");
}

#[test]
fn a_checksum_that_is_not_the_files() {
    let change = refused(|file| _ = file.put32(OPTIONAL + 64, 1));
    let LoadError::Checksum { header: 1, counted } = change else {
        panic!("{change}");
    };
    let mut right = good();
    right.put32(OPTIONAL + 64, counted as usize);
    assert!(right.parse().is_ok());
    // One byte that nothing else looks at.
    right.put(blob::TEXT + PAGE - 1, &[0]);
    assert!(matches!(right.parse(), Err(LoadError::Checksum { .. })));
}

#[test]
fn sections_and_tables_that_lie_outside_or_over_each_other() {
    let section = |index: usize, field: usize| SECTIONS + 40 * index + field;
    for (place, value) in [
        (section(1, 12), 0x1000),
        (section(1, 12), 0x2008),
        (section(3, 12), 0x5000),
        (section(2, 8), 0x1001),
        (section(3, 16), 0x2000),
        (section(3, 20), 0xFFFF_F000),
        (OPTIONAL + 56, 0),
        (OPTIONAL + 56, 0x1000_0000),
        (OPTIONAL + 56, 0x3000),
        (OPTIONAL + 60, 0x10_0000),
        (OPTIONAL + 60, 0x2000),
        (DIRECTORIES + 8, 0xFFFF_0000),
        (DIRECTORIES + 40, 0xFFFF_0000),
        (DIRECTORIES + 44, 0xFFFF_0000),
        (DIRECTORIES + 80, 0xFFFF_0000),
        // A slot, a relocation and a cookie outside.
        (0x3000 + 16, 0x5000),
        (0x4000, 0x5000),
        (0x3E58, 0x3000),
        // A cookie in memory that may only be read.
        (0x3E58, 0x4000_3000),
    ] {
        let error = refused(|file| {
            if value == 0x4000_3000 {
                let cookie = 0x2B99_2DDF_A232;
                file.put64(0x3D00, cookie)
                    .put64(place, blob::PREFERRED + 0x3D00);
            } else {
                file.put32(place, value);
            }
        });
        assert!(
            matches!(error, LoadError::Format(_)),
            "{place:#x} = {value:#x}: {error}"
        );
    }
    let error = refused(|file| _ = file.put16(0x4008, 3 << 12));
    assert!(error.to_string().contains("DIR64"), "{error}");
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let whole = good().0;
    for length in 0..whole.len() {
        // The last page holds relocations and what follows them.
        assert!(Binary::parse(&whole[..length]).is_err(), "{length} bytes");
    }
}

/// Every byte that says how the image is made, with several other values: it is refused, or it can
/// be mapped. Nothing of it is run.
#[test]
fn any_damage_gives_an_error_or_an_image() {
    let whole = good().0;
    let tables = (0..SECTIONS + 160)
        .chain(0x3000..0x3400)
        .chain(0x3E00..0x3E94)
        .chain(0x4000..0x4040);
    let (mut refused, mut accepted) = (0, 0);
    for at in tables {
        for value in [0x00, 0x01, 0x7F, 0x80, 0xFF, whole[at] ^ 0x10] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            match Binary::parse(&damaged) {
                Ok(binary) => {
                    accepted += 1;
                    let image = binary.map("damaged").expect("memory");
                    assert!(image.entry() - image.base() < image.size());
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
    assert!(
        refused > 500 && accepted > 500,
        "{refused} refused, {accepted} accepted"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ntsim::Driver::binary("none", "/nonexistent/driver.sys").expect_err("no file");
    assert!(
        error.to_string().starts_with("/nonexistent/driver.sys: "),
        "{error}"
    );
}
