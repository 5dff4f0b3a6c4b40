//! What the driver takes from others, and what it offers.

use super::Verdict;
use crate::inspect::{
    Expected,
    exports::{FIRST_WINDOWS_10, OWN, library},
    image::Image,
    verdict,
};

pub(super) fn allowed(image: &Image, expected: &Expected) -> Verdict {
    let mut complaints = Vec::new();
    let mut shown = Vec::new();
    for (name, imports) in &image.imports {
        let Some(library) = library(name) else {
            complaints.push(format!(
                "{name} is not the kernel and not the framework's loader"
            ));
            continue;
        };
        for import in imports {
            let further = library.is_kernel().then_some(expected.further_imports);
            let mut allowed = library.exports.iter().chain(further.into_iter().flatten());
            if !allowed.any(|(known, _)| known == import) {
                complaints.push(format!("{name}!{import} is not in exports.rs"));
            }
        }
        shown.push(format!("{} from {name}", imports.len()));
    }
    if image.imports.is_empty() {
        complaints.push("none: not a driver that binds a framework".into());
    }
    verdict(complaints, shown.join(", "))
}

/// The lowest build is what the imports and the framework's version ask for, and the INF says the same: less would
/// let it install where it does not load, more would keep it from where it does.
pub(super) fn lowest_windows(image: &Image, expected: &Expected) -> Verdict {
    let mut lowest = FIRST_WINDOWS_10;
    let mut because = String::from("every Windows 10");
    for (name, imports) in &image.imports {
        let Some(library) = library(name) else {
            continue;
        };
        for (export, since) in library.exports {
            if since.build() > lowest && imports.iter().any(|import| import == export) {
                lowest = since.build();
                because = String::from(*export);
            }
        }
    }
    if let Some(build) = super::framework::lowest_build(&expected.framework)
        && build > lowest
    {
        lowest = build;
        because = format!("KMDF {}", expected.framework);
    }
    let mut complaints = Vec::new();
    for (name, facts) in &expected.infs {
        match facts.build {
            Some(build) if build != lowest => {
                complaints.push(format!("{because} wants {lowest}, {name} says {build}"));
            }
            _ => {}
        }
    }
    let named = expected.infs.iter().any(|(_, facts)| facts.build.is_some());
    if !named && !expected.infs.is_empty() {
        complaints.push("no INF names a lowest build".into());
    }
    verdict(complaints, format!("build {lowest} or later ({because})"))
}

pub(super) fn exports(image: &Image) -> Verdict {
    let complaints = image
        .exports
        .iter()
        .filter(|name| !OWN.contains(&name.as_str()))
        .cloned()
        .collect();
    let what = if image.exports.is_empty() {
        String::from("none")
    } else {
        format!(
            "{} that rustc leaves visible, none of use to others",
            image.exports.len()
        )
    };
    verdict(complaints, what)
}
