//! Files of planning cases in the format of `tests/vectors/plan-vectors.json`, whose `about` says what each field means.

use std::path::Path;

use serde::Deserialize;
use xfersplit_core::plan::Options;

use crate::error::{Error, Result};
use crate::plan::{Ask, page_rule, plan};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

/// One case.
#[derive(Debug, Deserialize)]
pub struct Vector {
    /// What people call it.
    pub name: String,
    sector_size: u32,
    #[serde(default)]
    alignment_mask: u32,
    max_bytes: Option<u64>,
    max_pages: Option<u64>,
    page_rule: String,
    lba_boundary: Option<u64>,
    cdb_blocks: Option<u64>,
    page_offset: u64,
    lba: u64,
    blocks: u64,
    pfns: Option<Vec<u64>>,
    expected: Option<Vec<(u64, u64)>>,
    expected_error: Option<String>,
}

/// One case that did not come out as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub name: String,
    /// What was wrong.
    pub reason: String,
}

/// What became of all cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that came out as expected.
    pub passed: usize,
    /// The others.
    pub failures: Vec<Failure>,
}

/// Checks every case of a file.
///
/// # Errors
/// The file cannot be read, or is not in the format.
pub fn check(path: &Path) -> Result<Tally> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::file(path, error.to_string()))?;
    let mut tally = Tally::default();
    for vector in load(path, &text)? {
        match vector.failure() {
            None => tally.passed += 1,
            Some(reason) => tally.failures.push(Failure {
                name: vector.name,
                reason,
            }),
        }
    }
    Ok(tally)
}

fn load(path: &Path, text: &str) -> Result<Vec<Vector>> {
    let file: File = serde_json::from_str(text).map_err(|error| {
        // The position is in the message already; the line goes where lines go.
        let message = error.to_string();
        let reason = message
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        Error::line(
            path,
            error.line().max(1),
            format!("{reason} (column {})", error.column()),
        )
    })?;
    for vector in &file.vectors {
        if let Err(reason) = vector.check_format() {
            let reason = format!("vector '{}': {reason}", vector.name);
            return Err(Error::line(path, line_of(text, &vector.name), reason));
        }
    }
    Ok(file.vectors)
}

/// The line on which a vector's name first appears.
fn line_of(text: &str, name: &str) -> usize {
    let quoted = serde_json::to_string(name).unwrap_or_default();
    let at = text.find(&quoted).unwrap_or(0);
    text[..at].matches('\n').count() + 1
}

impl Vector {
    fn check_format(&self) -> std::result::Result<(), String> {
        let rule = page_rule(&self.page_rule)?;
        if self.sector_size == 0 {
            return Err("sector_size 0".into());
        }
        if self.page_offset >= 4096 {
            return Err(format!(
                "page_offset {} is not within a page",
                self.page_offset
            ));
        }
        if self.lba_boundary == Some(0) {
            return Err("lba_boundary 0 (use null for none)".into());
        }
        let Some(length) = self.blocks.checked_mul(u64::from(self.sector_size)) else {
            return Err(format!(
                "{} blocks are more than 64 bits of bytes",
                self.blocks
            ));
        };
        if rule == xfersplit_core::plan::PageRule::Breaks {
            let pages = (self.page_offset.saturating_add(length)).div_ceil(4096);
            let given = self.pfns.as_ref().map_or(0, Vec::len) as u64;
            if given < pages {
                return Err(format!(
                    "page_rule breaks with {given} pfns for {pages} pages"
                ));
            }
        }
        match (&self.expected, self.expected_error.as_deref()) {
            (Some(_), None) | (None, Some("unsplittable")) => Ok(()),
            (None, Some(other)) => Err(format!("expected_error '{other}' is not 'unsplittable'")),
            _ => Err("needs either expected or expected_error".into()),
        }
    }

    fn ask(&self) -> Ask {
        let limit = |value: Option<u64>| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(u32::MAX)
        };
        Ask {
            sector: self.sector_size,
            page_offset: self.page_offset,
            lba: self.lba,
            length: self.blocks * u64::from(self.sector_size),
            maximum_transfer_length: limit(self.max_bytes),
            maximum_physical_pages: limit(self.max_pages),
            alignment_mask: self.alignment_mask,
            command_blocks: limit(self.cdb_blocks),
            options: Options {
                page_rule: page_rule(&self.page_rule).unwrap_or_default(),
                lba_boundary: self.lba_boundary,
                ..Options::default()
            },
            frames: self.pfns.clone(),
            ..Ask::default()
        }
    }

    /// What is wrong with xfersplit's plan; none if it is as expected.
    fn failure(&self) -> Option<String> {
        let sector = u64::from(self.sector_size);
        let found: std::result::Result<Vec<(u64, u64)>, String> = if self.blocks == 0 {
            Ok(Vec::new())
        } else {
            plan(&self.ask())
                .map(|cuts| {
                    cuts.iter()
                        .map(|cut| (cut.lba, cut.length / sector))
                        .collect()
                })
                .map_err(|reason| reason.to_string())
        };
        match (&self.expected, found) {
            (Some(expected), Ok(found)) => difference(expected, &found),
            (Some(expected), Err(reason)) => Some(format!(
                "expected {} pieces, but it is refused: {reason}",
                expected.len()
            )),
            (None, Ok(found)) => Some(format!(
                "expected unsplittable, but there is a plan of {} pieces",
                found.len()
            )),
            (None, Err(_)) => None,
        }
    }
}

/// The first difference between two plans.
fn difference(expected: &[(u64, u64)], found: &[(u64, u64)]) -> Option<String> {
    if expected == found {
        return None;
    }
    let at = expected.iter().zip(found).position(|(a, b)| a != b);
    let at = at.unwrap_or(expected.len().min(found.len()));
    let show = |piece: Option<&(u64, u64)>| {
        piece.map_or("nothing".to_owned(), |(lba, blocks)| {
            format!("{blocks} blocks at {lba}")
        })
    };
    Some(format!(
        "piece {at}: expected {}, found {} ({} pieces expected, {} found)",
        show(expected.get(at)),
        show(found.get(at)),
        expected.len(),
        found.len()
    ))
}
