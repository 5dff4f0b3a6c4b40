//! wdk-build, which refuses to be compiled on anything but Windows, and a copy of it that does not.
//!
//! The copy is made from the sources that Cargo fetched, with a handful of lines exchanged. None of those
//! lines runs in this build: they belong to cargo-make and to the registry of a Windows machine.

use std::path::{Path, PathBuf};

use super::{attempt, copy_folder, read, write};
use crate::run::{self, Outcome};

/// One exchange: the file, what stands there, how often, and what shall.
struct Edit {
    file: &'static str,
    from: &'static str,
    times: usize,
    to: &'static str,
}

/// Made for wdk-build 0.6.0.
const EDITS: &[Edit] = &[
    Edit {
        file: "src/utils.rs",
        from: "compile_error!(",
        times: 2,
        to: "unreachable!(",
    },
    Edit {
        file: "src/cargo_make.rs",
        from: "std::os::windows::fs::symlink_file(",
        times: 2,
        to: "std::os::unix::fs::symlink(",
    },
];

/// The five registry items of `windows` that wdk-build uses, answering that there is no such key.
/// The real crate does not compile here: windows-future 0.3.2 needs what windows-core has on Windows alone.
const REGISTRY: &str = include_str!("../../../kernel/windows/lib.rs");

/// Makes the copy and the small `windows` crate beside it, within the mirror: Cargo derives symbol names
/// from a package's path, relative to the workspace where it can.
pub(super) fn wdk_build(mirror: &Path) -> Outcome {
    attempt(
        &mut run::cargo(None, &["fetch", "--locked"]),
        "fetching the crates",
    )?;
    let lock = read(&run::root().join("Cargo.lock"))?;
    let version =
        |name: &str| locked_version(&lock, name).ok_or_else(|| format!("Cargo.lock has no {name}"));
    let (build, windows) = (version("wdk-build")?, version("windows")?);
    let original = sources("wdk-build", build)?;
    copy_folder(
        &original,
        &mirror.join("wdk-build"),
        &|path, bytes| match path.strip_prefix(&original) {
            Ok(relative) => edited(relative, bytes),
            Err(_) => Ok(bytes),
        },
    )?;
    let manifest = format!(
        "[package]\nname = \"windows\"\nversion = \"{windows}\"\nedition = \"2024\"\n\n\
         [features]\nWin32_Foundation = []\nWin32_System_Registry = []\n\n\
         [lib]\npath = \"lib.rs\"\n"
    );
    write(&mirror.join("windows/Cargo.toml"), manifest.as_bytes())?;
    write(&mirror.join("windows/lib.rs"), REGISTRY.as_bytes())
}

/// The version that a Cargo.lock settles on.
pub(super) fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let entry = lock.split("[[package]]").find(|entry| {
        entry
            .lines()
            .any(|line| line.trim() == format!("name = \"{name}\""))
    })?;
    entry
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

/// Where Cargo has put a crate's sources.
fn sources(name: &str, version: &str) -> Result<PathBuf, String> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    let output = run::cargo(None, &arguments)
        .output()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    let metadata = String::from_utf8_lossy(&output.stdout);
    manifest_folder(&metadata, &format!("{name}-{version}"))
        .ok_or_else(|| format!("Cargo does not say where {name} {version} is"))
}

/// The folder of that name which holds a package's manifest, in what `cargo metadata` prints.
pub(super) fn manifest_folder(metadata: &str, name: &str) -> Option<PathBuf> {
    let end = metadata.find(&format!("/{name}/Cargo.toml\""))?;
    let start = metadata[..end].rfind('"')? + 1;
    Some(Path::new(&metadata[start..end]).join(name))
}

/// One file of wdk-build with its lines exchanged.
pub(super) fn edited(relative: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let Some(edit) = EDITS.iter().find(|edit| relative == Path::new(edit.file)) else {
        return Ok(bytes);
    };
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", edit.file))?;
    edit.apply(&text).map(String::into_bytes)
}

impl Edit {
    fn apply(&self, text: &str) -> Result<String, String> {
        let times = text.matches(self.from).count();
        if times == self.times {
            return Ok(text.replace(self.from, self.to));
        }
        Err(format!(
            "wdk-build's {} has {:?} {times} times, not {}: xtask/src/sys/edits.rs was written for another version",
            self.file, self.from, self.times
        ))
    }
}
