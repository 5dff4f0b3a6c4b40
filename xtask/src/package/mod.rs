//! `cargo xtask package`: what `cargo xtask sys` built, signed for tests and packed with all that is needed
//! to try it on Windows, except the catalog, which only Windows can make.

mod archive;
mod sign;
pub(crate) mod stamp;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    inf, inspect,
    run::{self, Outcome},
    sys,
};
use archive::Member;
use stamp::{Moment, Stamps};

/// Where everything of this command lies, beneath the workspace's root.
const FOLDER: &str = "target/package";

/// The lowest build of Windows, as `driver.inx` says.
const LOWEST_BUILD: &str = "19041";

/// Texts that Windows reads: their name in the package, and what they are made of.
const TEXTS: &[(&str, &str)] = &[
    ("README.txt", include_str!("../../package/README.txt")),
    (
        "install-test-vm.cmd",
        include_str!("../../package/install-test-vm.cmd"),
    ),
    (
        "remove-test-vm.cmd",
        include_str!("../../package/remove-test-vm.cmd"),
    ),
];

/// Files of the project that go along as they are.
const FILES: &[(&str, &str)] = &[
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("docs/windows.md", "windows.md"),
];

/// Builds the package.
pub(crate) fn run() -> Outcome {
    sign::look_for_programs()?;
    let built = sys::FILTER.image();
    if !built.is_file() {
        return Err(format!(
            "no {}: `cargo xtask sys` builds it",
            built.display()
        ));
    }
    let stamps = Stamps::by_project()?;
    let folder = run::root().join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;

    let signed = folder.join("xfersplit.sys");
    let certificate = sign::sign(&built, &signed, &subject(&stamps))?;
    inspect::signed(&signed)?;

    let mut members = vec![
        Member::new("xfersplit.sys", read(&signed)?),
        Member::new("xfersplit-test.cer", certificate.der.clone()),
    ];
    for (inx, name) in stamp::INFS {
        let text = stamps.apply_to(inx)?;
        let complaints = inf::complaints(text.as_bytes());
        if !complaints.is_empty() {
            return Err(format!("{name}: {}", complaints.join("; ")));
        }
        members.push(Member::new(name, text.into_bytes()));
    }
    for (name, text) in TEXTS {
        let text = filled(text, &stamps, &certificate)?;
        members.push(Member::new(name, text.into_bytes()));
    }
    for (path, name) in FILES {
        members.push(Member::new(name, read(&run::root().join(path))?));
    }
    archive::add_sums(&mut members);
    write(&folder, &stamps, &members)
}

/// Writes the archive, and says what is in it and what is not.
fn write(folder: &Path, stamps: &Stamps, members: &[Member]) -> Outcome {
    let path = archive_at(folder, stamps);
    let bytes = archive::write(members, stamps.moment)?;
    fs::write(&path, &bytes).map_err(|error| failed(&path, &error))?;
    println!("package: {} ({} bytes)", path.display(), bytes.len());
    for member in members {
        println!("  {:>7}  {}", member.bytes.len(), member.name);
    }
    println!(
        "package: no catalog (.cat): only Inf2Cat makes one, on Windows, and Windows installs nothing\n\
         without it. README.txt in the package has the commands."
    );
    Ok(())
}

fn archive_at(folder: &Path, stamps: &Stamps) -> PathBuf {
    folder.join(format!("xfersplit-{}-x64.zip", stamps.version))
}

/// The certificate's name: whose it is and for which package.
fn subject(stamps: &Stamps) -> String {
    let Moment {
        year,
        month,
        day,
        minute,
    } = stamps.moment;
    let (hour, minute) = (minute / 60, minute % 60);
    format!(
        "xfersplit {} test {year:04}-{month:02}-{day:02} {hour:02}.{minute:02}",
        stamps.version
    )
}

/// A text with its variables filled in, and the lines' ends of Windows: cmd.exe loses labels without them.
fn filled(text: &str, stamps: &Stamps, certificate: &sign::Certificate) -> Result<String, String> {
    let driver_version = stamps.driver_version();
    let variables: [(&str, &str); 5] = [
        ("@VERSION@", &stamps.version),
        ("@DRIVERVER@", &driver_version),
        ("@BUILD@", LOWEST_BUILD),
        ("@SUBJECT@", &certificate.subject),
        ("@THUMBPRINT@", &certificate.thumbprint),
    ];
    let mut result = text.to_owned();
    for (name, value) in variables {
        result = result.replace(name, value);
    }
    match result.lines().find(|line| is_open(line)) {
        Some(line) => Err(format!("a variable that nothing fills in: {line}")),
        None => Ok(result.lines().flat_map(|line| [line, "\r\n"]).collect()),
    }
}

/// Whether a line has something between two `@` that looks like a variable.
fn is_open(line: &str) -> bool {
    let words: Vec<&str> = line.split('@').collect();
    words.len() > 2
        && words[1..words.len() - 1]
            .iter()
            .any(|word| !word.is_empty() && word.chars().all(|it| it.is_ascii_uppercase()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inf::Facts;

    fn certificate() -> sign::Certificate {
        sign::Certificate {
            subject: "CN=xfersplit".into(),
            thumbprint: "00".repeat(20),
            der: Vec::new(),
        }
    }

    fn text(name: &str) -> String {
        let stamps = Stamps::by_project().expect("all there");
        let (_, text) = TEXTS.iter().find(|(own, _)| *own == name).expect(name);
        filled(text, &stamps, &certificate()).expect("filled in")
    }

    #[test]
    fn texts_are_filled_in_and_end_lines_as_windows_does() {
        for (name, _) in TEXTS {
            let text = text(name);
            assert!(
                !text.contains('@') || text.starts_with("@echo off"),
                "{name}"
            );
            assert_eq!(
                text.matches('\n').count(),
                text.matches("\r\n").count(),
                "{name}"
            );
            assert!(
                text.is_ascii(),
                "{name}: the console's code page is anybody's guess"
            );
        }
        let stamps = Stamps::by_project().expect("all there");
        assert!(filled("a @LEFT@ b", &stamps, &certificate()).is_err());
    }

    #[test]
    fn the_lowest_build_is_that_of_the_inf() {
        let inx = fs::read_to_string(run::root().join("driver.inx")).expect("an INF");
        let build = Facts::of(&inx).build.expect("a build");
        assert_eq!(build.to_string(), LOWEST_BUILD);
    }

    #[test]
    fn command_files_look_before_they_change_anything() {
        for name in ["install-test-vm.cmd", "remove-test-vm.cmd"] {
            let text = text(name);
            let at = |wanted: &str| text.find(wanted).unwrap_or(usize::MAX);
            let first = ["certutil", "pnputil", "sc delete", "choice"].map(at);
            let first_change = first.into_iter().min().expect("some");
            assert!(
                at("fltmc >nul 2>&1 || goto elevate") < first_change,
                "{name}"
            );
            assert!(
                at("findstr /i xfersplit >nul && goto listed") < first_change,
                "{name}"
            );
            for word in ["shutdown", "bcdedit", "devcon"] {
                let mut lines = text.lines().filter(|line| line.contains(word));
                assert!(
                    lines.all(|line| line.starts_with("echo ")),
                    "{name} runs {word}"
                );
            }
        }
        let install = text("install-test-vm.cmd");
        let at = |wanted: &str| install.find(wanted).expect(wanted);
        for check in [
            "goto machine",
            "goto testsigning",
            "goto incomplete",
            "goto catalog",
        ] {
            assert!(at(check) < at("certutil"), "{check}");
        }
        assert!(at("goto present") < at("choice") && at("choice") < at("certutil -f"));
        assert!(at("certutil -f -addstore") < at("pnputil /add-driver"));
    }

    #[test]
    fn the_way_back_begins_with_the_list_and_ends_with_the_service() {
        let remove = text("remove-test-vm.cmd");
        let at = |wanted: &str| remove.find(wanted).expect(wanted);
        assert!(at("goto listed") < at("call :take"));
        assert!(at("goto restart") < at("sc delete"));
        assert!(at("goto running") < at("sc delete"));
        // The line by which it knows its packages stands in both INF files.
        for (inx, _) in stamp::INFS {
            let inx = fs::read_to_string(run::root().join(inx)).expect("an INF");
            assert!(inx.contains("CatalogFile = xfersplit"));
        }
    }

    #[test]
    fn every_jump_has_a_label() {
        for name in ["install-test-vm.cmd", "remove-test-vm.cmd"] {
            let text = text(name);
            let labels: Vec<&str> = text.lines().filter_map(|it| it.strip_prefix(':')).collect();
            let mut words = text.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let target = match word {
                    "goto" => words.peek().copied(),
                    "call" => words.peek().and_then(|it| it.strip_prefix(':')),
                    _ => None,
                };
                if let Some(target) = target {
                    assert!(labels.contains(&target), "{name}: goto {target}");
                }
            }
        }
    }
}
