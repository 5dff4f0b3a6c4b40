//! The Linux block layer's split (`block/blk-merge.c`, `bio_split_rw` as of 6.18): sectors and merged segments, the
//! end of a cut moved back to a physical sector where it can be.

use super::{PAGE, Sent};

/// A run of physically adjacent bytes of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub length: u64,
}

/// What `/sys/block/*/queue` says about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxLimits {
    /// `logical_block_size`.
    pub sector: u64,
    /// `physical_block_size`.
    pub physical: u64,
    /// `max_sectors_kb` in bytes.
    pub max_bytes: u64,
    /// `max_segments`.
    pub max_segments: u64,
    /// `max_segment_size`.
    pub max_segment_size: u64,
    /// `chunk_sectors` in bytes: no command crosses a multiple of it.
    pub chunk: Option<u64>,
}

/// What Linux would send; stops short if some sector fits no command.
pub fn linux(limits: &LinuxLimits, lba: u64, segments: &[Segment]) -> Vec<Sent> {
    let total: u64 = segments.iter().map(|segment| segment.length).sum();
    let mut sent = Vec::new();
    let mut offset = 0;
    while offset < total {
        let first = lba + offset / limits.sector;
        let most = longest(limits, first).min(total - offset);
        let reach = walk(limits, segments, offset, most);
        let length = if offset + reach == total {
            reach
        } else {
            reach / limits.sector * limits.sector
        };
        if length == 0 {
            break;
        }
        sent.push(Sent {
            offset,
            length,
            lba: first,
            blocks: length / limits.sector,
        });
        offset += length;
    }
    sent
}

/// The most bytes from this sector on, with the end on a physical sector if one is within reach.
fn longest(limits: &LinuxLimits, lba: u64) -> u64 {
    let start = lba * limits.sector;
    let mut most = limits.max_bytes;
    if let Some(chunk) = limits.chunk {
        most = most.min(chunk - start % chunk);
    }
    let inside = start % limits.physical;
    let end = (inside + most) / limits.physical * limits.physical;
    if end > inside {
        end - inside
    } else {
        most / limits.sector * limits.sector
    }
}

/// How far at most `most` bytes from `offset` come with the segments one command may have.
fn walk(limits: &LinuxLimits, segments: &[Segment], offset: u64, most: u64) -> u64 {
    let mut skip = offset;
    let mut taken = 0;
    let mut used = 0;
    for segment in segments {
        if skip >= segment.length {
            skip -= segment.length;
            continue;
        }
        let mut left = (segment.length - skip).min(most - taken);
        skip = 0;
        while left > 0 {
            if used == limits.max_segments {
                return taken;
            }
            let part = left.min(limits.max_segment_size);
            used += 1;
            taken += part;
            left -= part;
        }
        if taken == most {
            break;
        }
    }
    taken
}

/// The segments of a buffer whose page frames are given; frames that follow each other merge.
pub fn segments_of_pages(page_offset: u64, length: u64, frames: &[u64]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut left = length;
    for (index, frame) in frames.iter().enumerate() {
        let inside = if index == 0 { page_offset } else { 0 };
        let part = left.min(PAGE - inside);
        let address = frame * PAGE + inside;
        match segments.last_mut() {
            Some(last) if last.address + last.length == address => last.length += part,
            _ if part > 0 => segments.push(Segment {
                address,
                length: part,
            }),
            _ => {}
        }
        left -= part;
    }
    segments
}
