//! What the project expects of its own file.

use super::Verdict;
use crate::{
    inspect::{Expected, image::Image, verdict},
    run,
};

/// The filter is about 89 KiB, 2 more when signed. Twice that would be a dependency that nobody meant to add, or
/// formatting code that panics brought in.
const MOST_BYTES: usize = 160 << 10;

/// The service, and with `.sys` behind it the file.
const NAME: &str = "xfersplit";

/// Folders in which people build.
const FOLDERS: &[&str] = &["/home/", "/root/", ":\\Users\\", "/.cargo/"];

pub(super) fn size(image: &Image) -> Verdict {
    let bytes = image.file.len();
    let mut complaints = Vec::new();
    if bytes > MOST_BYTES {
        complaints.push(format!("{bytes} bytes, more than {MOST_BYTES}"));
    }
    verdict(complaints, format!("{bytes} of at most {MOST_BYTES} bytes"))
}

/// Panic messages name source files; they must name them alike wherever the driver was built.
pub(super) fn paths(image: &Image) -> Verdict {
    let root = run::root().display().to_string();
    let complaints = FOLDERS
        .iter()
        .copied()
        .chain([root.as_str()])
        .filter(|folder| contains(&image.file, folder.as_bytes()))
        .map(|folder| format!("{folder} stands in the image"))
        .collect();
    verdict(complaints, "none of this machine")
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

pub(super) fn inf(_: &Image, expected: &Expected) -> Verdict {
    if expected.infs.is_empty() {
        return Ok("none: not for installing".into());
    }
    let mut complaints = Vec::new();
    let mut names = Vec::new();
    for (name, facts) in &expected.infs {
        names.push(name.as_str());
        let binary = format!("{NAME}.sys");
        if !facts.binary.eq_ignore_ascii_case(&binary) {
            complaints.push(format!("{name} installs {:?}", facts.binary));
        }
        if facts.service != NAME {
            complaints.push(format!("{name} adds the service {:?}", facts.service));
        }
        if facts.architectures.iter().any(|it| it != "amd64") || facts.architectures.is_empty() {
            let told = facts.architectures.join(", ");
            complaints.push(format!("{name} is for {told:?}, not amd64"));
        }
        if !expected.name.eq_ignore_ascii_case(&facts.binary) {
            let file = &expected.name;
            complaints.push(format!(
                "this is {file:?}, {name} installs {:?}",
                facts.binary
            ));
        }
    }
    verdict(
        complaints,
        format!("{} install {NAME}.sys", names.join(" and ")),
    )
}
