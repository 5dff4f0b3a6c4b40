//! What can be said of the build without its tools.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    DRIVERS, copy_folder, edits, identity, link,
    mirror::{self, patched},
    tools::Tools,
    without_spaces, write,
};
use crate::run;

fn text(path: &str) -> String {
    fs::read_to_string(run::root().join(path)).expect(path)
}

/// A fresh folder of this test's own.
fn fresh(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("xfersplit-xtask-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// `NameTableIndex = 12` and `WdfFunctionTableNumEntries = 444`, in C or in Rust.
fn numbers(source: &str) -> BTreeMap<String, u32> {
    let mut numbers = BTreeMap::new();
    for line in source.lines() {
        let Some((left, right)) = line.split_once('=') else {
            continue;
        };
        let name = left
            .trim()
            .trim_start_matches("pub const ")
            .split(':')
            .next();
        let number = right.trim().trim_end_matches([',', ';']).parse();
        if let (Some(name), Ok(number)) = (name, number)
            && (name.ends_with("TableIndex") || name.ends_with("NumEntries"))
        {
            let before = numbers.insert(name.to_string(), number);
            assert_eq!(before, None, "{name} stands there twice");
        }
    }
    numbers
}

/// Every source file of the driver.
fn driver_sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the driver's folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            driver_sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).expect("a source file"));
        }
    }
}

fn driver() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["src", "crates/wdm/src", "drivers/highest/src"] {
        driver_sources(&run::root().join(folder), &mut found);
    }
    assert!(found.len() > 20);
    found
}

/// Identifiers that follow `marker` and white space, wherever it stands.
fn names_after(sources: &[String], marker: &str) -> Vec<String> {
    let mut names: Vec<String> = sources
        .iter()
        .flat_map(|source| source.split(marker).skip(1))
        .map(|rest| {
            rest.trim_start()
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_framework_functions_have_the_same_numbers_in_both_worlds() {
    let ours = numbers(&text("kernel/kmdf/wdffuncenum.h"));
    let simulated = numbers(&text("crates/ntsim/src/abi/wdf_functions.rs"));
    assert_eq!(ours["WdfFunctionTableNumEntries"], 444);
    for (name, number) in &ours {
        assert_eq!(simulated.get(name), Some(number), "{name}");
    }
}

#[test]
fn every_function_number_has_a_type_and_they_stand_in_the_same_order() {
    let numbers = text("kernel/kmdf/wdffuncenum.h");
    let numbered: Vec<String> = numbers
        .lines()
        .filter_map(|line| line.trim().split_once("TableIndex ="))
        .map(|(name, _)| name.to_uppercase())
        .collect();
    let types = [text("kernel/kmdf/wdffunctions.h")];
    let typed: Vec<String> = types[0]
        .split("(*PFN_")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_string()))
        .collect();
    assert_eq!(numbered, typed);
}

#[test]
fn every_framework_function_that_the_driver_calls_is_declared() {
    let declared = numbers(&text("kernel/kmdf/wdffuncenum.h"));
    let called = names_after(&driver(), "call_unsafe_wdf_function_binding!(");
    assert!(called.len() > 15);
    for name in called {
        let index = format!("{name}TableIndex");
        assert!(declared.contains_key(&index), "{name}: see docs/build.md");
    }
}

#[test]
fn every_kernel_function_that_the_driver_calls_is_imported() {
    let definitions = text("kernel/import/ntoskrnl.def");
    let called = names_after(&driver(), "ntddk::");
    assert!(called.len() > 20);
    for name in called {
        let there = definitions
            .lines()
            .any(|line| line.strip_suffix(" DATA").unwrap_or(line) == name);
        assert!(there, "{name}: see docs/build.md");
    }
}

#[test]
fn import_definitions_are_sorted_and_name_each_function_once() {
    for name in ["ntoskrnl.def", "WdfLdr.def"] {
        let definitions = text(&format!("kernel/import/{name}"));
        let exports: Vec<&str> = definitions
            .lines()
            .skip_while(|line| *line != "EXPORTS")
            .skip(1)
            .collect();
        assert!(!exports.is_empty());
        assert!(exports.is_sorted_by(|one, next| one < next), "{name}");
    }
}

#[test]
fn the_lock_says_which_wdk_build_is_edited() {
    let lock = "[[package]]\nname = \"wdk\"\nversion = \"1.0.0\"\n\n\
                [[package]]\nname = \"wdk-build\"\nversion = \"0.6.0\"\nsource = \"x\"\n";
    assert_eq!(edits::locked_version(lock, "wdk-build"), Some("0.6.0"));
    assert_eq!(edits::locked_version(lock, "wdk"), Some("1.0.0"));
    assert_eq!(edits::locked_version(lock, "wdk-sys"), None);
    let own = text("Cargo.lock");
    assert_eq!(edits::locked_version(&own, "wdk-build"), Some("0.6.0"));
}

#[test]
fn a_packages_folder_is_read_from_cargos_metadata() {
    let metadata = r#"{"name":"wdk","manifest_path":"/c/src/wdk-0.5.0/Cargo.toml"},
        {"name":"wdk-build","manifest_path":"/c/src/wdk-build-0.6.0/Cargo.toml"}"#;
    let folder = edits::manifest_folder(metadata, "wdk-build-0.6.0");
    assert_eq!(folder, Some(PathBuf::from("/c/src/wdk-build-0.6.0")));
    assert_eq!(edits::manifest_folder(metadata, "wdk-build-0.7.0"), None);
}

#[test]
fn lines_that_are_not_there_are_an_error_that_says_where_to_look() {
    let twice = b"a compile_error!(\"x\"); b compile_error!(\"y\");".to_vec();
    let edited = edits::edited(Path::new("src/utils.rs"), twice).expect("both are exchanged");
    assert_eq!(edited, b"a unreachable!(\"x\"); b unreachable!(\"y\");");
    let once = b"a compile_error!(\"x\");".to_vec();
    let error = edits::edited(Path::new("src/utils.rs"), once).expect_err("one is missing");
    assert!(
        error.contains("src/utils.rs") && error.contains("edits.rs"),
        "{error}"
    );
    let other = edits::edited(Path::new("src/lib.rs"), b"compile_error!()".to_vec());
    assert_eq!(other, Ok(b"compile_error!()".to_vec()));
}

#[test]
fn the_mirror_differs_from_the_workspace_by_two_patches() {
    let manifest = text("Cargo.toml");
    let patched = patched(&manifest).expect("no patches yet");
    let added = patched.strip_prefix(&manifest).expect("the same beginning");
    assert!(added.contains("[patch.crates-io]"));
    assert_eq!(added.matches("path = ").count(), 2);
    mirror::patched(&patched).expect_err("patches that the mirror does not know");
}

#[test]
fn what_is_missing_is_named_with_the_command_that_brings_it() {
    let folder = fresh("tools");
    let (lib, mingw) = (folder.join("lib"), folder.join("mingw"));
    let missing = |what: &str| {
        let error = Tools::beneath(&lib, &mingw).expect_err(what);
        assert!(error.contains(what), "{error}");
        assert!(error.contains("apt-get install clang-"), "{error}");
        assert_eq!(error.lines().count(), 1);
    };
    missing("clang");
    for (what, file) in [
        ("clang", "lib/llvm-20/bin/clang"),
        ("llvm-lib", "lib/llvm-20/bin/llvm-lib"),
        ("llvm-dlltool", "lib/llvm-20/bin/llvm-dlltool"),
        ("libclang", "lib/llvm-20/lib/libclang.so"),
        ("headers", "lib/llvm-20/lib/clang/20/include/stdarg.h"),
        ("mingw-w64", "mingw/ddk/wdm.h"),
    ] {
        missing(what);
        write(&folder.join(file), b"").expect("a file");
    }
    let tools = Tools::beneath(&lib, &mingw).expect("all of them");
    let flags = tools.clang_flags(Path::new("/shadows"));
    let place = |path: &str| flags.iter().position(|flag| flag.contains(path));
    assert!(place("/shadows") < place("mingw/ddk"));
    assert!(place("mingw/ddk") < place("llvm-20"));
    fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn a_file_that_already_says_so_is_not_written_again() {
    let folder = fresh("write");
    let file = folder.join("one/two.h");
    write(&file, b"text").expect("written");
    let old = fs::metadata(&file).and_then(|about| about.modified());
    let past = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_modified(past))
        .expect("an old time");
    write(&file, b"text").expect("left alone");
    let now = fs::metadata(&file).and_then(|about| about.modified());
    assert_eq!(now.ok(), Some(past));
    write(&file, b"other").expect("written");
    assert_eq!(fs::read(&file).ok(), Some(b"other".to_vec()));
    assert!(old.is_ok());
    fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn a_copied_folder_loses_the_files_that_its_original_lost() {
    let folder = fresh("copy");
    let (from, to) = (folder.join("from"), folder.join("to"));
    write(&from.join("kept.h"), b"kept").expect("a file");
    write(&from.join("deep/gone.h"), b"gone").expect("a file");
    let copied = copy_folder(&from, &to, &|_, bytes| Ok(bytes));
    copied.expect("copied");
    assert!(to.join("deep/gone.h").exists());
    fs::remove_file(from.join("deep/gone.h")).expect("removed");
    let copied = copy_folder(&from, &to, &|_, bytes| Ok([bytes, b"!".to_vec()].concat()));
    copied.expect("copied");
    assert!(!to.join("deep/gone.h").exists());
    assert_eq!(fs::read(to.join("kept.h")).ok(), Some(b"kept!".to_vec()));
    fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn what_wdk_macros_remembers_is_forgotten_and_nothing_else() {
    let folder = fresh("forget");
    let scripts = folder.join("release/build");
    let remembered = scripts.join("scratch-1/out/wdk_macros_ast_fragments/map.json");
    let other = scripts.join("wdk-sys-1/out/types.rs");
    write(&remembered, b"{}").expect("a file");
    write(&other, b"").expect("a file");
    link::forget_functions(&folder).expect("forgotten");
    assert!(!remembered.exists());
    assert!(other.exists());
    link::forget_functions(&folder.join("nothing")).expect("nothing to forget");
    fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn the_image_carries_no_path_of_the_machine_that_built_it() {
    let flags = link::remapped(Path::new("/home/someone/xfersplit/target/sys"));
    assert!(flags.contains("--remap-path-prefix=/home/someone/xfersplit/target/sys="));
    for driver in DRIVERS {
        let linker: Vec<String> = link::linker(driver).collect();
        assert!(linker.contains(&"/BREPRO".into()));
        assert!(linker.contains(&format!("/PDBALTPATH:{}.pdb", driver.name)));
        assert!(
            !linker.iter().any(|argument| argument.contains(":/")),
            "{linker:?}"
        );
    }
    without_spaces(Path::new("/home/some one")).expect_err("a space");
    without_spaces(Path::new("/home/someone")).expect("no space");
}

#[test]
fn no_code_of_the_driver_is_in_a_section_of_its_own() {
    for source in driver() {
        assert!(
            !source.contains("link_section"),
            "a filter beneath paging disks is resident"
        );
    }
}

/// A PE32+ image of one section, with a debug directory that names symbols; `salt` stands in its code.
fn image(guid: &[u8; 16], time: u32, salt: u8) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3C, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0\x64\x86\x01\0");
    put(0x48, &time.to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x58, &0x20B_u16.to_le_bytes());
    put(0x58 + 108, &16_u32.to_le_bytes());
    // The debug directory is the seventh: one entry, at the section's start.
    put(0x58 + 112 + 6 * 8, &0x1000_u32.to_le_bytes());
    put(0x58 + 116 + 6 * 8, &28_u32.to_le_bytes());
    put(0x148, b".rdata\0\0");
    for (field, value) in [(8, 0x200_u32), (12, 0x1000), (16, 0x200), (20, 0x200)] {
        put(0x148 + field, &value.to_le_bytes());
    }
    for (field, value) in [(4, time), (12, 2), (16, 30), (24, 0x240)] {
        put(0x200 + field, &value.to_le_bytes());
    }
    put(0x240, b"RSDS");
    put(0x244, guid);
    put(0x300, &[salt]);
    image
}

#[test]
fn the_same_code_has_the_same_identity_wherever_it_was_built() {
    let built = |guid: &[u8; 16], time, salt| {
        let mut image = image(guid, time, salt);
        let mut symbols = [b"symbols of ", &guid[..]].concat();
        identity::give(&mut image, &mut symbols).expect("an identity");
        (image, symbols)
    };
    let (here, symbols) = built(b"built right here", 1, 7);
    assert_eq!(
        built(b"built over there", 2, 7),
        (here.clone(), symbols.clone())
    );
    let (other, _) = built(b"built right here", 1, 8);
    assert_ne!(other[0x244..0x254], here[0x244..0x254]);
    assert_eq!(symbols[11..], here[0x244..0x254]);
    assert_eq!(here[0x48..0x4C], here[0x204..0x208]);
    let said = u32::from_le_bytes(here[0x98..0x9C].try_into().expect("four bytes"));
    assert_eq!(said, identity::checksum(&here, 0x98));
}

#[test]
fn symbols_of_another_image_are_an_error() {
    let mut built = image(b"built right here", 1, 7);
    identity::give(&mut built, &mut b"symbols of built elsewhere".to_vec()).expect_err("no match");
    let mut none = image(b"built right here", 1, 7);
    none[0x240] = b'N';
    identity::give(&mut none, &mut b"built right here".to_vec()).expect_err("no debug record");
}

#[test]
fn a_checksum_is_words_with_carries_and_the_length() {
    assert_eq!(
        identity::checksum(&[1, 0, 2, 0, 0xAA, 0xAA, 0xAA, 0xAA], 4),
        3 + 8
    );
    assert_eq!(identity::checksum(&[0xFF, 0xFF, 2, 0], 8), 2 + 4);
    assert_eq!(identity::checksum(&[0, 0, 5], 8), 5 + 3);
}
