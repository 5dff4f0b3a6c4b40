//! Compiling and linking a driver.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Driver, TARGET, attempt, kit, names, tools::Tools, write};
use crate::run::Outcome;

/// What wdk-build asks of Microsoft's linker, as lld spells it, and four things that linker does
/// without being asked: a checksum, Windows 10 as the version, and nothing of this machine in the image.
const LINKER: &[&str] = &[
    "/DRIVER",
    "/SUBSYSTEM:NATIVE,10.0",
    "/OSVERSION:10.0",
    "/ENTRY:FxDriverEntry",
    "/NODEFAULTLIB",
    "/RELEASE",
    "/INTEGRITYCHECK",
    "/NXCOMPAT",
    "/DYNAMICBASE",
    "/OPT:REF,ICF",
    "/MANIFEST:NO",
    "/BREPRO",
];

/// A driver is three small packages, and its I/O path goes through all of them: they are compiled as one. (Makefile.toml
/// says the same; Cargo.toml does not, for everything else would take far longer to build.)
pub(crate) const LTO: &str = "fat";

/// No vectors made of straight-line code: reading a request's flags one by one, LLVM packs them into an XMM register
/// to take them out again, which is more instructions and not fewer. (.cargo/config.toml says the same.)
pub(crate) const NO_VECTORS: &str = "no-vectorize-slp";

/// The linker's arguments. Paths are relative to the mirror: Cargo makes symbol names of these arguments too.
pub(super) fn linker(driver: &Driver) -> impl Iterator<Item = String> {
    let of_the_driver = [
        format!("/PDBALTPATH:{}", driver.file("pdb")),
        format!("/LIBPATH:../kit/Lib/{}/km/x64", kit::VERSION),
        format!("/MAP:target/{TARGET}/release/{}", driver.file("map")),
    ];
    LINKER.iter().map(ToString::to_string).chain(of_the_driver)
}

/// Builds the driver; the folder in which the image, its map and its symbols are.
pub(super) fn build(
    driver: &Driver,
    folder: &Path,
    mirror: &Path,
    tools: &Tools,
) -> Result<PathBuf, String> {
    let target = mirror.join("target");
    let built = target.join(TARGET).join("release");
    forget_functions(&target)?;
    let libraries = library_bytes(folder)?;
    let linked_with = folder.join(driver.file("libraries.seen"));
    if fs::read(&linked_with).ok().as_ref() != Some(&libraries) {
        unlink(&built.join("deps").join(driver.file("dll")))?;
    }
    let mut command = Command::new("cargo");
    command
        .args(["rustc", "--package", driver.package, "--lib", "--release"])
        .args(["--crate-type", "cdylib", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target)
        .arg("--")
        .args(linker(driver).map(|argument| format!("-Clink-arg={argument}")))
        .current_dir(mirror);
    environment(&mut command, folder, tools);
    attempt(&mut command, &format!("building {}", driver.name))?;
    write(&linked_with, &libraries)?;
    Ok(built)
}

/// What the build scripts of wdk-sys and its neighbours read.
fn environment(command: &mut Command, folder: &Path, tools: &Tools) {
    let flags = tools.clang_flags(&kit::shadows(folder)).join(" ");
    let triple = TARGET.replace('-', "_");
    let cargo = format!("CARGO_TARGET_{}", triple.to_uppercase());
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(name);
    }
    command
        .env("CARGO_PROFILE_RELEASE_LTO", LTO)
        .env("WDKContentRoot", kit::root(folder))
        .env("Version_Number", kit::VERSION)
        .env("LIBCLANG_PATH", tools.libclang())
        .env("BINDGEN_EXTRA_CLANG_ARGS", &flags)
        .env(format!("CC_{triple}"), tools.program("clang"))
        .env(format!("AR_{triple}"), tools.program("llvm-lib"))
        .env(format!("CFLAGS_{triple}"), &flags)
        .env(format!("{cargo}_LINKER"), "rust-lld")
        .env(
            format!("{cargo}_RUSTFLAGS"),
            format!("-C{NO_VECTORS} {}", remapped(folder)),
        );
}

/// Paths of this machine, which panic messages and symbols would carry into the image.
pub(super) fn remapped(folder: &Path) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    let mut flags = vec![format!(
        "--remap-path-prefix={}=xfersplit",
        folder.display()
    )];
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    flags.join(" ")
}

/// wdk-macros keeps what it once read of the framework's functions, and never looks whether the headers
/// have changed since.
pub(super) fn forget_functions(target: &Path) -> Outcome {
    for profile in ["release", "debug"] {
        let scripts = target.join(profile).join("build");
        for name in names(&scripts).unwrap_or_default() {
            let cache = scripts.join(name).join("out/wdk_macros_ast_fragments");
            if cache.is_dir() {
                fs::remove_dir_all(&cache)
                    .map_err(|error| format!("{}: {error}", cache.display()))?;
            }
        }
    }
    Ok(())
}

fn library_bytes(folder: &Path) -> Result<Vec<u8>, String> {
    let libraries = kit::libraries(folder);
    let mut all = Vec::new();
    for name in names(&libraries)? {
        let path = libraries.join(name);
        all.extend(fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(all)
}

/// Cargo does not look at these libraries. Where the image is gone, it links again.
fn unlink(image: &Path) -> Outcome {
    match fs::remove_file(image) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{}: {error}", image.display()))
        }
        _ => Ok(()),
    }
}
