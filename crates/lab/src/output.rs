//! What the program says. A reader who has gone (`| head`) ends it without a panic.

use std::fmt::Arguments;
use std::io::Write as _;

use lab::error::{Error, Result};

/// Prints a line on the standard output; returns early from the function around it when nobody takes it.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::line(format_args!($($words)*))? };
}
pub(crate) use say;

/// Prints a line.
///
/// # Errors
/// The standard output cannot be written to.
pub(crate) fn line(words: Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}").map_err(|error| Error::Failed(format!("standard output: {error}")))
}
