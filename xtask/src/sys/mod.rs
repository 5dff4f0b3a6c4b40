//! `cargo xtask sys`: the real drivers, for x64 Windows, on Linux.
//!
//! Their sources are compiled as they are against the wdk crates from crates.io; what the WDK
//! would bring, headers, import libraries and the entry point, comes from `kernel/` and from
//! Debian's mingw-w64. `docs/build.md` explains every piece.

mod drivers;
mod edits;
mod identity;
mod kit;
mod link;
mod mirror;
#[cfg(test)]
mod tests;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::run::{self, Outcome};
pub(crate) use drivers::{DRIVERS, Driver, FILTER, HIGHEST};
#[cfg(test)]
pub(crate) use link::{LTO, NO_VECTORS};
use tools::Tools;

/// What drivers are compiled for.
const TARGET: &str = "x86_64-pc-windows-msvc";

/// Where everything of this command lies, beneath the workspace's root.
///
/// Beneath the root because wdk-build looks for a Cargo.lock from its output folder upwards.
fn folder() -> PathBuf {
    run::root().join("target/sys")
}

/// Builds the drivers: `target/sys/xfersplit.sys` and its neighbours, with their maps and their symbols.
pub(crate) fn run() -> Outcome {
    let start = Instant::now();
    let step = |what: &str| println!("sys: {what} (after {} s)", start.elapsed().as_secs());

    step("looking for the tools");
    let tools = Tools::find()?;
    let folder = folder();
    without_spaces(&folder)?;
    step("headers and import libraries");
    kit::lay_out(&folder, &tools)?;
    step("wdk-build, made to run here");
    let mirror = mirror::lay_out(&folder)?;
    edits::wdk_build(&mirror)?;
    for driver in DRIVERS {
        step(driver.name);
        let built = link::build(driver, &folder, &mirror, &tools)?;
        let size = keep(driver, &folder, &built)?;
        step(&format!("{} ({size} bytes)", driver.image().display()));
    }
    Ok(())
}

/// Gives an image its identity and puts it where it is looked for, its map and its symbols beside it. How many bytes it
/// has.
fn keep(driver: &Driver, folder: &Path, built: &Path) -> Result<usize, String> {
    let mut image = bytes(&built.join(driver.file("dll")))?;
    let mut symbols = bytes(&built.join(driver.file("pdb")))?;
    identity::give(&mut image, &mut symbols)?;
    write(&folder.join(driver.file("pdb")), &symbols)?;
    let map = bytes(&built.join(driver.file("map")))?;
    write(&folder.join(driver.file("map")), &map)?;
    write(&driver.image(), &image)?;
    Ok(image.len())
}

/// Runs a command, shown on a line of its own. When it fails its own words stand above, and the last line
/// says in short what it was for.
fn attempt(command: &mut Command, what: &str) -> Outcome {
    run::check(command).map_err(|reason| {
        if reason.contains("did not start") {
            reason
        } else {
            format!("{what} failed; the reason stands above")
        }
    })
}

/// Flags travel to build scripts in variables that are taken apart at spaces.
fn without_spaces(folder: &Path) -> Outcome {
    if folder.to_string_lossy().contains(char::is_whitespace) {
        return Err(format!(
            "{} has a space in it, which compiler flags cannot carry: build in a folder without one",
            folder.display()
        ));
    }
    Ok(())
}

/// Writes a file unless it already says so: what depends on it is built again when it changes, and only then.
fn write(path: &Path, bytes: &[u8]) -> Outcome {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn make_folder(path: &Path) -> Outcome {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The names in a folder, in order.
fn names(path: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("{}: {error}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// What a file's bytes become on their way.
type Change<'a> = &'a dyn Fn(&Path, Vec<u8>) -> Result<Vec<u8>, String>;

/// Copies a folder with all that is in it, and removes files that are no longer in it.
fn copy_folder(from: &Path, to: &Path, change: Change<'_>) -> Outcome {
    make_folder(to)?;
    let wanted = names(from)?;
    for name in names(to)? {
        let old = to.join(&name);
        if !wanted.contains(&name) && old.is_file() {
            fs::remove_file(&old).map_err(|error| format!("{}: {error}", old.display()))?;
        }
    }
    for name in wanted {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_folder(&from, &to, change)?;
        } else {
            write(&to, &change(&from, bytes(&from)?)?)?;
        }
    }
    Ok(())
}
