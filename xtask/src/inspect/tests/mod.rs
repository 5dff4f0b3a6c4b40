//! The sample image keeps every rule, and broken copies of it are caught, each by the rule it breaks.

mod sample;

use super::{Expected, Rule, check, image::Image, rules};
use crate::inf::Facts;
use sample::{
    BIND_INFO, CHECKSUM, DIRECTORIES, EXPORT_NAMES, IMPORT_NAMES, NAME, NT, OPTIONAL, PDATA, RELOC,
    SECTIONS, TEXT, directory, put, put16, put32,
};

/// What the sample is held against.
fn expected() -> Expected {
    let facts = |build| Facts {
        service: "xfersplit".into(),
        binary: "xfersplit.sys".into(),
        framework: "1.15".into(),
        build,
        architectures: vec!["amd64".into()],
    };
    Expected {
        name: "xfersplit.sys".into(),
        further_imports: &[],
        framework: "1.15".into(),
        infs: vec![
            ("xfersplit.inf".into(), facts(Some(19041))),
            ("xfersplit-class.inf".into(), facts(None)),
        ],
        signed: false,
    }
}

/// The rules that an image breaks.
fn broken(file: Vec<u8>, expected: &Expected) -> Vec<Rule> {
    let image = Image::read(file).expect("an image");
    check(&image, expected)
        .into_iter()
        .filter(|(_, verdict)| verdict.is_err())
        .map(|(rule, _)| rule)
        .collect()
}

/// A broken copy: what is wrong with it, how it is made, and the rules that must notice.
struct Broken(&'static str, fn(&mut Vec<u8>), &'static [Rule]);

/// A section's header, by its place among them.
const fn section(index: usize) -> usize {
    SECTIONS + index * 40
}

const BROKEN: &[Broken] = &[
    Broken(
        "for ARM64",
        |it| put16(it, NT + 4, 0xAA64),
        &[Rule::Machine],
    ),
    Broken(
        "an object",
        |it| put16(it, NT + 22, 0x2020),
        &[Rule::Machine],
    ),
    Broken(
        "a program",
        |it| put16(it, OPTIONAL + 68, 3),
        &[Rule::Subsystem],
    ),
    Broken(
        "Windows 6.0",
        |it| put16(it, OPTIONAL + 40, 6),
        &[Rule::Subsystem],
    ),
    Broken(
        "subsystem 11.0",
        |it| put16(it, OPTIONAL + 48, 11),
        &[Rule::Subsystem],
    ),
    Broken("no entry", |it| put32(it, OPTIONAL + 16, 0), &[Rule::Entry]),
    Broken(
        "an entry in data",
        |it| put32(it, OPTIONAL + 16, 0x3000),
        &[Rule::Entry],
    ),
    Broken(
        "PAGE",
        |it| put(it, section(0), b"PAGE\0"),
        &[Rule::Sections],
    ),
    Broken(
        "INIT",
        |it| put(it, section(3), b"INIT\0\0"),
        &[Rule::Sections],
    ),
    Broken(
        "writable code",
        |it| put32(it, section(0) + 36, 0xE000_0020),
        &[Rule::Sections, Rule::Entry],
    ),
    Broken(
        "executable data",
        |it| put32(it, section(1) + 36, 0x6000_0040),
        &[Rule::Sections, Rule::Instructions],
    ),
    Broken(
        "writable constants",
        |it| put32(it, section(1) + 36, 0xC000_0040),
        &[Rule::Sections],
    ),
    Broken(
        "shared data",
        |it| put32(it, section(2) + 36, 0xD000_0040),
        &[Rule::Sections],
    ),
    Broken(
        "alignment 512",
        |it| put32(it, OPTIONAL + 32, 512),
        &[Rule::Alignment],
    ),
    Broken(
        "no NX",
        |it| put16(it, OPTIONAL + 70, 0x0E0),
        &[Rule::Protection],
    ),
    Broken(
        "no dynamic base",
        |it| put16(it, OPTIONAL + 70, 0x1A0),
        &[Rule::Protection],
    ),
    Broken(
        "no integrity",
        |it| put16(it, OPTIONAL + 70, 0x160),
        &[Rule::Protection],
    ),
    Broken(
        "stripped",
        |it| put16(it, NT + 22, 0x2023),
        &[Rule::Protection],
    ),
    Broken(
        "no relocations",
        |it| directory(it, 5, 0, 0),
        &[Rule::Relocations, Rule::Framework],
    ),
    Broken(
        "a relocation of 32 bits",
        |it| put16(it, RELOC + 10, 0x3040),
        &[Rule::Relocations, Rule::Framework],
    ),
    Broken(
        "a pointer out of the image",
        |it| put16(it, RELOC + 10, 0xA048),
        &[Rule::Relocations, Rule::Framework],
    ),
    Broken(
        "no unwind information",
        |it| directory(it, 3, 0, 0),
        &[Rule::Unwind],
    ),
    Broken(
        "unwinding data",
        |it| put32(it, PDATA, 0x3000),
        &[Rule::Unwind],
    ),
    Broken(
        "unwinding backwards",
        |it| put32(it, PDATA + 4, 0x0FFF),
        &[Rule::Unwind],
    ),
    Broken(
        "another library",
        |it| put(it, 0x600 + 0x1C0, b"kernel32.dll"),
        &[Rule::Imports, Rule::Windows],
    ),
    Broken(
        "another function",
        |it| put(it, IMPORT_NAMES + NAME + 2, b"ZwTerminateProcess"),
        &[Rule::Imports],
    ),
    Broken(
        "an ordinal",
        |it| put32(it, 0x600 + 0x4C, 0x8000_0000),
        &[Rule::Imports],
    ),
    Broken(
        "nothing that is new in 19041",
        |it| put(it, IMPORT_NAMES + 2, b"DbgPrint\0\0\0\0\0\0\0"),
        &[Rule::Windows],
    ),
    Broken(
        "another export",
        |it| put(it, EXPORT_NAMES, b"Secret"),
        &[Rule::Exports],
    ),
    Broken(
        "thread-local storage",
        |it| directory(it, 9, 0x2000, 40),
        &[Rule::Tls],
    ),
    Broken(
        "delay imports",
        |it| directory(it, 13, 0x2000, 32),
        &[Rule::Delay],
    ),
    Broken(
        "bound imports",
        |it| directory(it, 11, 0x2000, 32),
        &[Rule::Delay],
    ),
    Broken(
        "managed code",
        |it| directory(it, 14, 0x2000, 72),
        &[Rule::Delay],
    ),
    Broken(
        "a framework of Windows 11",
        |it| {
            put32(it, BIND_INFO + 20, 33);
            put32(it, BIND_INFO + 28, 458);
        },
        &[Rule::Framework],
    ),
    Broken(
        "453 functions",
        |it| put32(it, BIND_INFO + 28, 453),
        &[Rule::Framework],
    ),
    Broken(
        "KMDF 2",
        |it| put32(it, BIND_INFO + 16, 2),
        &[Rule::Framework],
    ),
    Broken(
        "no WDF_BIND_INFO",
        |it| put32(it, BIND_INFO, 40),
        &[Rule::Framework],
    ),
    Broken(
        "UMDF",
        |it| put(it, 0x600 + 0x380, b"U"),
        &[Rule::Framework],
    ),
    Broken(
        "a table that is read-only",
        |it| put32(it, BIND_INFO + 32, 0x8000_2000),
        &[Rule::Framework],
    ),
    Broken(
        "floating point",
        |it| put(it, TEXT + 4, &[0x0F, 0x58, 0xC0]),
        &[Rule::Instructions],
    ),
    Broken(
        "a privileged instruction",
        |it| put(it, TEXT + 7, &[0xFA, 0x90]),
        &[Rule::Instructions],
    ),
    Broken("a large file", |it| it.resize(200 << 10, 0), &[Rule::Size]),
    Broken(
        "a home",
        |it| put(it, 0xA00 + 0x100, b"/home/me/src/lib.rs"),
        &[Rule::Paths],
    ),
];

#[test]
fn the_sample_keeps_every_rule_signed_or_not() {
    assert_eq!(broken(sample::image(), &expected()), []);
    assert_eq!(broken(sample::signed(), &expected()), []);
    let signed = Expected {
        signed: true,
        ..expected()
    };
    assert_eq!(broken(sample::signed(), &signed), []);
    assert_eq!(broken(sample::image(), &signed), [Rule::Signature]);
}

#[test]
fn broken_images_break_the_rules_meant_for_them_and_no_others() {
    for Broken(what, change, rules) in BROKEN {
        let mut file = sample::image();
        change(&mut file);
        let found = broken(sample::with_checksum(file), &expected());
        for rule in *rules {
            assert!(
                found.contains(rule),
                "{what}: {rule:?} is silent, {found:?}"
            );
        }
        assert_eq!(found.len(), rules.len(), "{what}: {found:?}");
    }
}

#[test]
fn every_changed_byte_breaks_the_checksum() {
    for at in (0..0x1000).step_by(61) {
        let mut file = sample::image();
        file[at] ^= 0x10;
        if let Ok(image) = Image::read(file) {
            let verdict = rules::ALL.iter().find(|(rule, _)| *rule == Rule::Checksum);
            let (_, judge) = verdict.expect("a rule");
            assert!(judge(&image, &expected()).is_err(), "byte {at:#x}");
        }
    }
    let mut file = sample::image();
    put32(&mut file, CHECKSUM, 0);
    assert_eq!(broken(file, &expected()), [Rule::Checksum], "none");
}

#[test]
fn a_signature_is_for_these_bytes_and_at_the_end() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 5] = [
        ("another byte", |it| it[TEXT + 0x100] = 0x90),
        ("another digest", |it| it[0x1000 + 20] ^= 1),
        ("no PKCS #7", |it| it[0x1000 + 6] = 1),
        ("something behind it", |it| it.extend([0; 8])),
        ("outside the file", |it| {
            put32(it, DIRECTORIES + 4 * 8, 0x2000);
        }),
    ];
    for (what, change) in changes {
        let mut file = sample::signed();
        change(&mut file);
        let found = broken(sample::with_checksum(file), &expected());
        assert_eq!(found, [Rule::Signature], "{what}");
    }
}

#[test]
fn an_inf_that_installs_something_else_is_caught() {
    type Change = fn(&mut Expected);
    let changes: [(&str, Change, &[Rule]); 9] = [
        (
            "an older Windows",
            |it| it.infs[0].1.build = Some(18362),
            &[Rule::Windows],
        ),
        (
            "a newer Windows",
            |it| it.infs[0].1.build = Some(22000),
            &[Rule::Windows],
        ),
        (
            "no Windows",
            |it| it.infs[0].1.build = None,
            &[Rule::Windows],
        ),
        (
            "another framework",
            |it| it.infs[1].1.framework = "1.33".into(),
            &[Rule::Framework],
        ),
        (
            "an unstamped one",
            |it| it.infs[0].1.framework = "$KMDFVERSION$".into(),
            &[Rule::Framework],
        ),
        (
            "another file",
            |it| it.infs[1].1.binary = "other.sys".into(),
            &[Rule::Inf],
        ),
        (
            "another service",
            |it| it.infs[0].1.service = "other".into(),
            &[Rule::Inf],
        ),
        (
            "another machine",
            |it| it.infs[0].1.architectures = vec!["arm64".into()],
            &[Rule::Inf],
        ),
        (
            "another name of the image",
            |it| it.name = "driver.sys".into(),
            &[Rule::Inf],
        ),
    ];
    for (what, change, rules) in changes {
        let mut expected = expected();
        change(&mut expected);
        assert_eq!(broken(sample::image(), &expected), rules, "{what}");
    }
    let mut newer = expected();
    newer.framework = "1.33".into();
    let found = broken(sample::image(), &newer);
    assert_eq!(found, [Rule::Windows, Rule::Framework], "metadata");
}

#[test]
fn what_is_no_image_is_said_and_nothing_panics() {
    for length in (0..0x1000).step_by(97) {
        let mut file = sample::image();
        file.truncate(length);
        assert!(Image::read(file).is_err(), "{length} bytes");
    }
    for at in 0..0x1000 {
        let mut file = sample::image();
        file[at] = !file[at];
        if let Ok(image) = Image::read(file) {
            let _ = check(&image, &expected());
        }
    }
}

#[test]
fn every_rule_is_broken_by_some_copy() {
    let elsewhere = [Rule::Inf, Rule::Checksum, Rule::Signature];
    for (rule, _) in rules::ALL {
        let here = BROKEN
            .iter()
            .any(|Broken(_, _, rules)| rules.contains(rule));
        assert!(here || elsewhere.contains(rule), "{rule:?}");
    }
}
