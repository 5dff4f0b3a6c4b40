//! A content root, as wdk-build expects the WDK's: headers, import libraries, the entry point.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{attempt, copy_folder, make_folder, names, tools::Tools, write};
use crate::run::{self, Outcome};

/// The folder that names the kit's version. wdk-build asks for four numbers of which the first is 10;
/// this one is the lowest Windows that the driver loads on (docs/build.md).
pub(super) const VERSION: &str = "10.0.19041.0";

/// Libraries that wdk-sys names on the link line and nothing is taken from.
const EMPTY: &[&str] = &["BufferOverflowFastFailK", "hal", "wmilib"];

/// Compiler headers that bindgen cannot translate (a type both packed and aligned), and that no kernel
/// code here uses: empty files stand in their place.
const SHADOWED: &[&str] = &["immintrin.h", "x86intrin.h", "intrin.h", "x86gprintrin.h"];

/// Headers of the WDK that mingw-w64 has nothing of and wdk-sys includes.
const ABSENT: &[&str] = &["ehstorioctl.h", "ufs.h", "ntdddump.h", "ehstorbandmgmt.h"];

/// The content root.
pub(super) fn root(folder: &Path) -> PathBuf {
    folder.join("kit")
}

/// Where empty compiler headers are.
pub(super) fn shadows(folder: &Path) -> PathBuf {
    folder.join("shadows")
}

/// Makes or refreshes it.
pub(super) fn lay_out(folder: &Path, tools: &Tools) -> Outcome {
    let ours = run::root().join("kernel");
    let (root, shadows) = (root(folder), shadows(folder));
    let include = root.join("Include").join(VERSION);
    copy_folder(&ours.join("km"), &include.join("km"), &|_, bytes| Ok(bytes))?;
    copy_folder(
        &ours.join("kmdf"),
        &root.join("Include/wdf/kmdf/1.15"),
        &|_, bytes| Ok(bytes),
    )?;
    for empty in ["km/crt", "km/ufx/1.1", "shared"] {
        make_folder(&include.join(empty))?;
    }
    for name in ABSENT.iter().chain(SHADOWED) {
        write(&shadows.join(name), b"")?;
    }
    make_folder(&libraries(folder))?;
    imports(&ours.join("import"), &libraries(folder), tools)?;
    entry(&ours, folder, tools)
}

/// Where the linker finds them.
pub(super) fn libraries(folder: &Path) -> PathBuf {
    root(folder).join("Lib").join(VERSION).join("km/x64")
}

fn imports(definitions: &Path, libraries: &Path, tools: &Tools) -> Outcome {
    for name in names(definitions)? {
        let Some(stem) = name.strip_suffix(".def") else {
            continue;
        };
        let mut command = Command::new(tools.program("llvm-dlltool"));
        command
            .args(["-m", "i386:x86-64", "-d"])
            .arg(definitions.join(&name))
            .arg("-l")
            .arg(libraries.join(format!("{stem}.lib")));
        attempt(
            &mut command,
            &format!("making the import library of {stem}"),
        )?;
    }
    for name in EMPTY {
        let mut command = Command::new(tools.program("llvm-lib"));
        command.arg("/llvmlibempty").arg(format!(
            "/out:{}",
            libraries.join(format!("{name}.lib")).display()
        ));
        attempt(&mut command, &format!("making the empty library {name}"))?;
    }
    Ok(())
}

/// The layouts that the driver counts on, asserted; then the entry point, small enough to be compiled every time.
fn entry(ours: &Path, folder: &Path, tools: &Tools) -> Outcome {
    let mut check = clang(folder, tools);
    check.arg("-fsyntax-only").arg(ours.join("checks/layout.c"));
    attempt(&mut check, "checking layouts (kernel/checks/layout.c)")?;
    let object = folder.join("entry.obj");
    let mut compile = clang(folder, tools);
    compile
        .args(["-c", "-O2", "-ffreestanding"])
        // Or the object carries the time of day.
        .arg("-mno-incremental-linker-compatible")
        .arg(ours.join("entry/entry.c"))
        .arg("-o")
        .arg(&object);
    attempt(&mut compile, "compiling the entry point")?;
    let mut archive = Command::new(tools.program("llvm-lib"));
    let library = libraries(folder).join("WdfDriverEntry.lib");
    archive
        .arg(&object)
        .arg(format!("/out:{}", library.display()));
    attempt(&mut archive, "making the library of the entry point")
}

/// The compiler as wdk-build's bindgen uses it.
fn clang(folder: &Path, tools: &Tools) -> Command {
    let include = root(folder).join("Include");
    let mut command = Command::new(tools.program("clang"));
    command
        .args(["-D_KERNEL_MODE", "-D_WIN64", "-D_AMD64_", "-DAMD64"])
        .args(["-fms-compatibility", "-fms-extensions", "-fno-builtin"])
        .arg(format!("-I{}", include.join(VERSION).join("km").display()))
        .arg(format!("-I{}", include.join("wdf/kmdf/1.15").display()))
        .args(tools.clang_flags(&shadows(folder)));
    command
}
