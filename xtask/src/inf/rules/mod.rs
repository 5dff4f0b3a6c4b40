//! The rules.

mod files;
mod filter;
mod models;
mod service;
mod structure;
mod version;

use super::{
    Complaint, Rule, complaint,
    layout::Layout,
    parse::{Entry, Inf},
};

/// Service, binary and project.
const NAME: &str = "xfersplit";

/// Every rule about what was read.
pub(super) fn all(inf: &Inf, complaints: &mut Vec<Complaint>) {
    let mut check = Check {
        inf,
        layout: Layout::of(inf),
        complaints,
    };
    structure::check(&mut check);
    version::check(&mut check);
    models::check(&mut check);
    files::check(&mut check);
    service::check(&mut check);
    filter::check(&mut check);
}

/// A file under examination.
struct Check<'a> {
    inf: &'a Inf,
    layout: Layout<'a>,
    complaints: &'a mut Vec<Complaint>,
}

impl Check<'_> {
    fn complain(&mut self, line: usize, rule: Rule, what: impl Into<String>) {
        self.complaints.push(complaint(line, rule, what));
    }

    /// A field with its tokens replaced.
    fn field(&self, entry: &Entry, index: usize) -> String {
        self.inf.expand(entry.field(index))
    }

    /// Where to say that a section lacks something: its first line, or the file's.
    fn line_of(&self, section: &str) -> usize {
        self.inf.section(section).map_or(1, |section| section.line)
    }
}

/// A number as INF files write it: decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
