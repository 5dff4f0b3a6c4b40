//! A workspace of links, in which wdk-build is the edited copy.
//!
//! The patch must not reach the real Cargo.toml and Cargo.lock: ordinary builds use the real crates.
//! Everything else of the workspace is linked, so that the sources compiled are the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{make_folder, names, read, write};
use crate::run::{self, Outcome};

/// What is not linked: the two files that differ, what Cargo reads from the parents anyway, and outputs.
const OWN: &[&str] = &["Cargo.toml", "Cargo.lock", ".cargo", ".git", "target"];

/// Makes or refreshes it, and says where it is.
pub(super) fn lay_out(folder: &Path) -> Result<PathBuf, String> {
    let root = run::root();
    let mirror = folder.join("workspace");
    make_folder(&mirror)?;
    let wanted: Vec<String> = names(&root)?
        .into_iter()
        .filter(|name| !OWN.contains(&name.as_str()) && !name.starts_with("target"))
        .collect();
    for name in names(&mirror)? {
        let link = mirror.join(&name);
        let stale = !wanted.contains(&name) || fs::read_link(&link).ok() != Some(root.join(&name));
        if link.is_symlink() && stale {
            fs::remove_file(&link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
    }
    for name in wanted {
        let link = mirror.join(&name);
        if !link.is_symlink() {
            symlink(&root.join(&name), &link)?;
        }
    }
    let manifest = patched(&read(&root.join("Cargo.toml"))?)?;
    write(&mirror.join("Cargo.toml"), manifest.as_bytes())?;
    lock(&root, &mirror)?;
    Ok(mirror)
}

/// The root manifest with the two patches at its end.
pub(super) fn patched(manifest: &str) -> Result<String, String> {
    if manifest.contains("[patch.") {
        return Err("Cargo.toml has patches of its own; xtask/src/sys/mirror.rs knows none".into());
    }
    Ok(format!(
        "{manifest}\n[patch.crates-io]\nwdk-build = {{ path = \"wdk-build\" }}\n\
         windows = {{ path = \"windows\" }}\n"
    ))
}

/// Cargo takes the patched crates' checksums out of the mirror's lock. It starts from the real one
/// whenever that has changed: every other version stays what the project settled on.
fn lock(root: &Path, mirror: &Path) -> Outcome {
    let real = read(&root.join("Cargo.lock"))?;
    let (own, seen) = (mirror.join("Cargo.lock"), mirror.join("Cargo.lock.seen"));
    if own.exists() && read(&seen).is_ok_and(|seen| seen == real) {
        return Ok(());
    }
    write(&own, real.as_bytes())?;
    write(&seen, real.as_bytes())
}

#[cfg(unix)]
fn symlink(original: &Path, link: &Path) -> Outcome {
    std::os::unix::fs::symlink(original, link)
        .map_err(|error| format!("{}: {error}", link.display()))
}

/// Never reached: the command has refused before.
#[cfg(not(unix))]
fn symlink(_: &Path, link: &Path) -> Outcome {
    Err(format!("{}: no links here", link.display()))
}
