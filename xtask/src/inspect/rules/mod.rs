//! The rules, each a function from the image to a few words or to complaints.

mod framework;
mod header;
mod imports;
mod project;
mod sections;
mod signature;

use super::{Expected, Rule, Verdict, image::Image, instructions};

#[cfg(test)]
pub(super) use signature::authenticode;
#[cfg(test)]
pub(super) use signature::checksum_of;

/// A rule's function.
type Judge = fn(&Image, &Expected) -> Verdict;

/// All rules, in the order in which they are shown.
pub(super) const ALL: &[(Rule, Judge)] = &[
    (Rule::Machine, |image, _| header::machine(image)),
    (Rule::Subsystem, |image, _| header::subsystem(image)),
    (Rule::Entry, |image, _| header::entry(image)),
    (Rule::Sections, |image, _| sections::kinds(image)),
    (Rule::Alignment, |image, _| sections::alignment(image)),
    (Rule::Protection, |image, _| header::protection(image)),
    (Rule::Relocations, |image, _| sections::relocations(image)),
    (Rule::Unwind, |image, _| sections::unwind(image)),
    (Rule::Imports, imports::allowed),
    (Rule::Windows, imports::lowest_windows),
    (Rule::Exports, |image, _| imports::exports(image)),
    (Rule::Tls, |image, _| header::no_tls(image)),
    (Rule::Delay, |image, _| header::nothing_late(image)),
    (Rule::Framework, framework::check),
    (Rule::Instructions, |image, _| instructions::check(image)),
    (Rule::Size, |image, _| project::size(image)),
    (Rule::Paths, |image, _| project::paths(image)),
    (Rule::Inf, project::inf),
    (Rule::Checksum, |image, _| signature::checksum(image)),
    (Rule::Signature, signature::check),
];
