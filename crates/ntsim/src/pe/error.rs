//! Why a file cannot be loaded.

use std::fmt;

/// Why a driver binary cannot be loaded. `Display` says it in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    File {
        /// Which one.
        path: String,
        /// What the host said.
        reason: String,
    },
    /// The file is no PE image, or it contradicts itself.
    Format(String),
    /// The image is for another processor; `IMAGE_FILE_HEADER.Machine`.
    Machine(u16),
    /// The image has 32 bits.
    Bits,
    /// The image is not for the kernel; `IMAGE_OPTIONAL_HEADER.Subsystem`.
    Subsystem(u16),
    /// The checksum in the header is not the file's.
    Checksum {
        /// What the header says.
        header: u32,
        /// What was counted.
        counted: u32,
    },
    /// There is no entry point in executable memory.
    NoEntry,
    /// A section is writable and executable.
    WritableCode(String),
    /// Something that no kernel driver of this kind has.
    Unsupported(&'static str),
    /// Nobody exports these, written as `library!name`.
    Imports(Vec<String>),
    /// Driver binaries run on x86-64 Linux only.
    Host,
    /// The host has no memory for the image.
    Memory(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => write!(f, "{path}: {reason}"),
            Self::Format(what) => write!(f, "not a valid PE image: {what}"),
            Self::Machine(machine) => {
                write!(
                    f,
                    "the image is for machine {machine:#06x}, not for x86-64 (0x8664)"
                )
            }
            Self::Bits => f.write_str("the image is PE32, not PE32+"),
            Self::Subsystem(subsystem) => {
                write!(
                    f,
                    "the image is for subsystem {subsystem}, not for the native one (1)"
                )
            }
            Self::Checksum { header, counted } => write!(
                f,
                "the file was changed after it was linked: its checksum is {counted:#x}, and the \
                 header says {header:#x}"
            ),
            Self::NoEntry => f.write_str("the image has no entry point in executable memory"),
            Self::WritableCode(section) => {
                write!(f, "section {section} is writable and executable")
            }
            Self::Unsupported(what) => write!(f, "the image has {what}"),
            Self::Imports(missing) => write!(
                f,
                "the simulated kernel does not export what the image imports: {}",
                missing.join(", ")
            ),
            Self::Host => f.write_str("driver binaries can be loaded on x86-64 Linux only"),
            Self::Memory(reason) => write!(f, "no memory for the image: {reason}"),
        }
    }
}

impl std::error::Error for LoadError {}
