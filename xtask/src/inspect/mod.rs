//! `cargo xtask inspect`: whether a driver image can be loaded, and by which Windows.
//!
//! A wrong import, checksum or framework version does not show before the machine starts, and then as a disk that is
//! not there. All of it stands in the file, so it is checked in the file. The rules are for
//! images that `cargo xtask sys` links; `cargo xtask package` applies them again to what it has signed.

mod exports;
mod image;
mod instructions;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::{
    inf::Facts,
    package::stamp,
    run::{self, Outcome},
    sys,
};
use image::Image;

/// A rule, by the name on its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// x64, and an executable image.
    Machine,
    /// Native, for Windows 10.
    Subsystem,
    /// An entry point in code.
    Entry,
    /// The sections that a driver of this project has, and no others.
    Sections,
    /// Sections begin at pages.
    Alignment,
    /// NX, dynamic base, integrity.
    Protection,
    /// The image can be loaded anywhere.
    Relocations,
    /// Unwind information for every function.
    Unwind,
    /// Only what exports.rs lists.
    Imports,
    /// The imports' lowest Windows is the INF's.
    Windows,
    /// Nothing but what the wdk crates make rustc export.
    Exports,
    /// No thread-local storage.
    Tls,
    /// No delay-loaded or bound imports, no managed code.
    Delay,
    /// The version of KMDF that the driver binds.
    Framework,
    /// No floating point, nothing that a processor of Windows 10 may lack.
    Instructions,
    /// No larger than expected.
    Size,
    /// No paths of the machine that built it.
    Paths,
    /// The INF files install this file.
    Inf,
    /// The checksum is there and right.
    Checksum,
    /// Signed or not, and if so, over these bytes.
    Signature,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{self:?}").to_lowercase())
    }
}

/// What a rule found: a few words, or everything that breaks it.
type Verdict = Result<String, Vec<String>>;

/// What the image is held against.
#[derive(Clone, Debug)]
struct Expected {
    /// The file's name.
    name: String,
    /// What it may import beyond what the filter may.
    further_imports: exports::Further,
    /// KMDF's version in the package's metadata, as `1.15`.
    framework: String,
    /// INF files by name, stamped.
    infs: Vec<(String, Facts)>,
    /// Whether it must be signed.
    signed: bool,
}

impl Expected {
    /// What the project's own files say.
    fn by_project(name: &str, signed: bool) -> Result<Self, String> {
        let stamps = stamp::Stamps::by_project()?;
        let mut infs = Vec::new();
        for (inx, inf) in stamp::INFS {
            let text = stamps.apply_to(inx)?;
            infs.push(((*inf).to_owned(), Facts::of(&text)));
        }
        let highest = name.eq_ignore_ascii_case(&format!("{}.sys", sys::HIGHEST.name));
        let further_imports = if highest { exports::HIGHEST } else { &[] };
        if highest {
            // Nobody installs it: it is there to be read, and to be run in the simulated kernel.
            infs.clear();
        }
        Ok(Self {
            name: name.to_owned(),
            further_imports,
            framework: stamps.framework,
            infs,
            signed,
        })
    }
}

/// Inspects the named images, or those that `cargo xtask sys` built.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let mut files: Vec<PathBuf> = arguments.iter().map(PathBuf::from).collect();
    if files.is_empty() {
        for driver in sys::DRIVERS {
            let built = driver.image();
            if !built.is_file() {
                let shown = built.display();
                return Err(format!(
                    "no {shown}: `cargo xtask sys` builds it, or name a file"
                ));
            }
            files.push(built);
        }
    }
    let failures: Result<Vec<usize>, String> =
        files.iter().map(|file| file_at(file, false)).collect();
    match failures?.into_iter().sum() {
        0 => Ok(()),
        failures => Err(format!("{failures} checks failed")),
    }
}

/// Inspects a file that must be signed; an error if any check fails.
pub(crate) fn signed(path: &Path) -> Outcome {
    match file_at(path, true)? {
        0 => Ok(()),
        failures => Err(format!("{}: {failures} checks failed", path.display())),
    }
}

/// Inspects a file, prints a line per check, and says how many failed.
fn file_at(path: &Path, signed: bool) -> Result<usize, String> {
    let shown = path.strip_prefix(run::root()).unwrap_or(path).display();
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    println!("{shown} ({} bytes)", bytes.len());
    let image = Image::read(bytes).map_err(|error| format!("{shown}: {error}"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let expected = Expected::by_project(&name, signed)?;
    let mut failures = 0;
    for (rule, verdict) in check(&image, &expected) {
        match verdict {
            Ok(what) => println!("  ok    {rule:<13} {what}"),
            Err(complaints) => {
                failures += 1;
                println!("  FAIL  {rule:<13} {}", complaints.join("; "));
            }
        }
    }
    Ok(failures)
}

/// Every rule's verdict, in order.
fn check(image: &Image, expected: &Expected) -> Vec<(Rule, Verdict)> {
    rules::ALL
        .iter()
        .map(|(rule, judge)| (*rule, judge(image, expected)))
        .collect()
}

/// A verdict out of complaints, and words for the case that there are none.
fn verdict(complaints: Vec<String>, what: impl Into<String>) -> Verdict {
    if complaints.is_empty() {
        Ok(what.into())
    } else {
        Err(complaints)
    }
}
