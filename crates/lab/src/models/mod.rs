//! What others would send for the same request: small models, written from what those systems publish, that must
//! reproduce the recorded behaviour in `tests/vectors/peer-vectors.json` before anyone compares with them.

mod classpnp;
mod document;
mod linux;

pub use classpnp::classpnp;
pub use document::document;
pub use linux::{LinuxLimits, Segment, linux, segments_of_pages};

/// Bytes in a page.
pub const PAGE: u64 = 4096;

/// One read or write and the limits it meets, in the terms of `STORAGE_ADAPTER_DESCRIPTOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Bytes in a sector.
    pub sector: u64,
    /// Offset of the buffer's first byte in its page.
    pub page_offset: u64,
    /// First sector.
    pub lba: u64,
    /// Bytes to move.
    pub length: u64,
    /// `MaximumTransferLength`; `u32::MAX` for none.
    pub maximum_transfer_length: u32,
    /// `MaximumPhysicalPages`; `u32::MAX` for none.
    pub maximum_physical_pages: u32,
    /// Whether the disk is reached with 16-byte command blocks.
    pub long_commands: bool,
}

impl Question {
    /// Pages touched by `length` bytes that start `offset` bytes into the buffer (`ADDRESS_AND_SIZE_TO_SPAN_PAGES`).
    pub fn span(&self, offset: u64, length: u64) -> u64 {
        let first = (self.page_offset + offset) / PAGE;
        (self.page_offset + offset + length).div_ceil(PAGE) - first
    }
}

/// One command that a system would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Start in the buffer, bytes.
    pub offset: u64,
    /// Bytes of the buffer.
    pub length: u64,
    /// First sector in the command block.
    pub lba: u64,
    /// Sectors the system wants to put in the command block.
    pub blocks: u64,
}

/// The limits that one command breaks, as short phrases; empty when it is legal.
pub fn violations(question: &Question, sent: &Sent) -> Vec<String> {
    let mut found = Vec::new();
    let pages = question.span(sent.offset, sent.length);
    let most_pages = u64::from(question.maximum_physical_pages.max(1));
    if sent.length > u64::from(question.maximum_transfer_length) {
        let limit = question.maximum_transfer_length;
        found.push(format!("{} bytes, limit {limit}", sent.length));
    }
    if question.maximum_physical_pages != u32::MAX && pages > most_pages {
        found.push(format!("spans {pages} pages, limit {most_pages}"));
    }
    if !question.long_commands && sent.blocks > 0xFFFF {
        found.push(format!("{} blocks in a 16-bit field", sent.blocks));
    }
    if sent.blocks * question.sector != sent.length {
        found.push(format!("{} blocks for {} bytes", sent.blocks, sent.length));
    }
    found
}
