//! Recorded I/O of real machines, in the formats people have it in.

mod blkparse;
mod iolog;

use std::path::Path;

use crate::error::{Error, Result};

/// What a recorded operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Data from the disk.
    Read,
    /// Data to the disk.
    Write,
    /// All earlier writes made durable; no data.
    Flush,
    /// Space given back; no data.
    Trim,
}

/// One recorded operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// When it was sent, nanoseconds from the start of the trace.
    pub at_ns: u64,
    /// Which of [`Trace::files`] it went to.
    pub file: usize,
    /// What it did.
    pub action: Action,
    /// Where, in bytes from the start of the file or device.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u64,
    /// The line of the trace it was read from.
    pub line: usize,
}

/// A whole recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The format, as people call it.
    pub format: &'static str,
    /// The files or devices the operations went to.
    pub files: Vec<String>,
    /// The operations in the order they were sent.
    pub ops: Vec<Op>,
}

impl Trace {
    /// The number of bytes that each file must have for every operation to fit, in the order of [`Trace::files`].
    pub fn extents(&self) -> Vec<u64> {
        let mut extents = vec![0; self.files.len()];
        for op in &self.ops {
            extents[op.file] = extents[op.file].max(op.offset + op.length);
        }
        extents
    }

    /// How many operations did `action`.
    pub fn count(&self, action: Action) -> usize {
        self.ops.iter().filter(|op| op.action == action).count()
    }
}

/// Reads a trace file in any of the known formats.
///
/// # Errors
/// The file cannot be read, is in no known format, or a line of it makes no sense.
pub fn load(path: &Path) -> Result<Trace> {
    let bytes = std::fs::read(path).map_err(|error| Error::file(path, error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|&byte| byte == b'\n').count();
        Error::line(
            path,
            line,
            "not text (a binary blktrace file goes through blkparse first)",
        )
    })?;
    parse(&text).map_err(|bad| Error::line(path, bad.line, bad.reason))
}

/// A line that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Line number from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl BadLine {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

/// Reads a trace from text in any of the known formats.
///
/// # Errors
/// The first line that makes no sense.
pub fn parse(text: &str) -> std::result::Result<Trace, BadLine> {
    let first = text.lines().next().unwrap_or_default();
    let trace = if first.starts_with("fio version") {
        iolog::parse(text)?
    } else if blkparse::looks_like_event(first) {
        blkparse::parse(text)?
    } else {
        return Err(BadLine::new(
            1,
            "neither 'fio version 2 iolog', 'fio version 3 iolog' nor blkparse's default output",
        ));
    };
    if trace.ops.is_empty() {
        let last = text.lines().count().max(1);
        return Err(BadLine::new(
            last,
            "the trace ends without a single read, write or other operation",
        ));
    }
    Ok(trace)
}

/// Reads a field as a whole number.
fn number(line: usize, what: &str, text: &str) -> std::result::Result<u64, BadLine> {
    text.parse().map_err(|_| {
        BadLine::new(
            line,
            format!("{what} '{text}' is not a number of at most 64 bits"),
        )
    })
}

/// Refuses operations that end beyond 64 bits, so that nobody after this needs to ask.
fn checked_end(line: usize, offset: u64, length: u64) -> std::result::Result<(), BadLine> {
    match offset.checked_add(length) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(BadLine::new(
            line,
            format!("{length} bytes from {offset} end beyond any disk"),
        )),
    }
}
