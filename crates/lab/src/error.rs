//! What can go wrong on the command line, as one clear line each.

use std::path::{Path, PathBuf};

/// A reason to stop, with the exit status it deserves.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line of an input file makes no sense.
    #[error("{}:{line}: {reason}", file.display())]
    Line {
        /// The file as the person named it.
        file: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be used at all.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file as the person named it.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Arguments that parse one by one but make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The work was done and its result is a failure.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// A file that cannot be used, and why.
    pub fn file(file: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            file: file.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A line that makes no sense, and why.
    pub fn line(file: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Line {
            file: file.to_path_buf(),
            line,
            reason: reason.into(),
        }
    }

    /// 1 when the work was done and failed, 2 when it could not be begun.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Line { .. } | Self::File { .. } | Self::Usage(_) => 2,
        }
    }
}

/// What the lab's functions return.
pub type Result<T> = std::result::Result<T, Error>;
