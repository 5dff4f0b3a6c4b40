//! Makefile.toml, as far as it can be checked without Windows.

use std::{fs, process::Command};

use crate::run;

fn makefile() -> String {
    fs::read_to_string(run::root().join("Makefile.toml")).expect("the makefile is there")
}

/// Cargo's own reader of TOML: a file given with `--config` must parse, whatever is in it.
fn is_toml(path: &std::path::Path) -> bool {
    let mut command = Command::new(env!("CARGO"));
    let arguments = [
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ];
    let output = command
        .arg("--config")
        .arg(path)
        .args(arguments)
        .current_dir(run::root())
        .output()
        .expect("cargo starts");
    output.status.success()
}

#[test]
fn it_is_toml() {
    assert!(is_toml(&run::root().join("Makefile.toml")));
    let broken = std::env::temp_dir().join(format!("xfersplit-broken-{}.toml", std::process::id()));
    fs::write(&broken, makefile().replace("[tasks.build]", "[tasks.build")).expect("written");
    let accepted = is_toml(&broken);
    fs::remove_file(&broken).expect("removed");
    assert!(!accepted, "a table that is not closed");
}

#[test]
fn it_stands_on_the_makefile_of_the_wdk_build_that_the_driver_uses() {
    let text = makefile();
    assert!(text.contains("extend = \"target/rust-driver-makefile.toml\""));
    assert!(text.contains("load_rust_driver_makefile()"));
    let manifest = fs::read_to_string(run::root().join("Cargo.toml")).expect("a manifest");
    let dependency = manifest
        .lines()
        .find(|line| line.starts_with("wdk-build = "))
        .expect("the driver's build script uses wdk-build");
    assert!(text.contains(&format!("//! {dependency}")), "{dependency}");
}

#[test]
fn debug_builds_abort_on_panic() {
    assert!(makefile().contains("\nCARGO_PROFILE_DEV_PANIC = \"abort\"\n"));
}

#[test]
fn the_driver_is_compiled_as_one_wherever_it_is_built() {
    let here = format!("\nCARGO_PROFILE_RELEASE_LTO = \"{}\"\n", crate::sys::LTO);
    assert!(makefile().contains(&here), "{here}");
}

#[test]
fn the_driver_gets_no_vectors_wherever_it_is_built() {
    let config = fs::read_to_string(run::root().join(".cargo/config.toml")).expect("a file");
    let here = format!("\"-C\", \"{}\"", crate::sys::NO_VECTORS);
    assert!(config.contains(&here), "{here}");
}

#[test]
fn files_that_it_copies_exist() {
    for name in ["driver.inx", "xfersplit-class.inx"] {
        assert!(makefile().contains(&format!("/{name} ")), "{name}");
        assert!(run::root().join(name).is_file(), "{name}");
    }
}
