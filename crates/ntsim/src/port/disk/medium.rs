//! Where a disk's bytes are: sparse memory, an image file, or nowhere at all.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::slice;

use crate::port::rng::mix;

const PAGE: usize = 4096;
/// Room is taken in pieces of this size: small enough for a world with a few sectors, large enough
/// that looking it up costs nothing beside the copy.
const CHUNK: usize = 16 * 1024;

/// A run of host memory that takes part in a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// The first byte.
    pub(crate) start: *mut u8,
    /// Length in bytes.
    pub(crate) length: usize,
}

/// Byte `offset` of the pattern that repeats every `period_pages` pages.
///
/// Within a page neighbouring bytes differ, and no two pages of a period are equal, so that a
/// transfer that lands one sector or one page beside its place shows.
pub fn pattern_byte(offset: u64, period_pages: usize) -> u8 {
    let offset = offset % (period_pages as u64 * PAGE as u64);
    mix(offset / 8 + 1).to_le_bytes()[(offset % 8) as usize]
}

#[derive(Debug)]
pub(super) enum Medium {
    Sparse(HashMap<u64, Box<[u8]>>),
    File { file: File, scratch: Vec<u8> },
    Pattern { period: Box<[u8]>, mismatched: u64 },
}

impl Medium {
    pub(super) fn sparse() -> Self {
        Self::Sparse(HashMap::new())
    }

    pub(super) fn file(file: File) -> Self {
        Self::File {
            file,
            scratch: Vec::new(),
        }
    }

    pub(super) fn pattern(pages: usize) -> Self {
        assert!(pages != 0, "a pattern has at least one page");
        let period = (0..(pages * PAGE) as u64)
            .map(|offset| pattern_byte(offset, pages))
            .collect();
        Self::Pattern {
            period,
            mismatched: 0,
        }
    }

    pub(super) fn set_length(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.set_len(bytes),
            Self::Sparse(_) | Self::Pattern { .. } => Ok(()),
        }
    }

    pub(super) fn mismatched(&self) -> u64 {
        match self {
            Self::Pattern { mismatched, .. } => *mismatched,
            Self::Sparse(_) | Self::File { .. } => 0,
        }
    }

    pub(super) fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Sparse(chunks) => {
                for_chunks(offset, into.len(), |number, start, at, length| {
                    let part = &mut into[at..at + length];
                    match chunks.get(&number) {
                        Some(chunk) => part.copy_from_slice(&chunk[start..start + length]),
                        None => part.fill(0),
                    }
                });
                Ok(())
            }
            Self::File { file, .. } => read_file(file, offset, into),
            Self::Pattern { period, .. } => {
                for_period(period.len(), offset, into.len(), |start, at, length| {
                    into[at..at + length].copy_from_slice(&period[start..start + length]);
                });
                Ok(())
            }
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Sparse(chunks) => {
                for_chunks(offset, bytes.len(), |number, start, at, length| {
                    chunks
                        .entry(number)
                        .or_insert_with(|| vec![0; CHUNK].into_boxed_slice())
                        [start..start + length]
                        .copy_from_slice(&bytes[at..at + length]);
                });
                Ok(())
            }
            Self::File { file, .. } => write_file(file, offset, bytes),
            Self::Pattern { period, mismatched } => {
                for_period(period.len(), offset, bytes.len(), |start, at, length| {
                    let (given, wanted) = (&bytes[at..at + length], &period[start..start + length]);
                    if given != wanted {
                        let differing = given.iter().zip(wanted).filter(|(a, b)| a != b).count();
                        *mismatched += differing as u64;
                    }
                });
                Ok(())
            }
        }
    }

    /// # Safety
    /// As for `Disk::read_segments`.
    pub(super) unsafe fn read_segments(
        &mut self,
        mut offset: u64,
        segments: &[Segment],
    ) -> io::Result<()> {
        if let Self::File { file, scratch } = self {
            // One system call for the whole piece, not one for each page.
            scratch.resize(segments.iter().map(|segment| segment.length).sum(), 0);
            read_file(file, offset, scratch)?;
            let mut rest = scratch.as_slice();
            for segment in segments {
                let (part, after) = rest.split_at(segment.length);
                // SAFETY: the segment is valid for writes and ours alone (caller); `part` is ours.
                unsafe { slice::from_raw_parts_mut(segment.start, segment.length) }
                    .copy_from_slice(part);
                rest = after;
            }
            return Ok(());
        }
        for segment in segments {
            // SAFETY: the segment is valid for writes and ours alone (caller).
            let into = unsafe { slice::from_raw_parts_mut(segment.start, segment.length) };
            self.read(offset, into)?;
            offset += segment.length as u64;
        }
        Ok(())
    }

    /// # Safety
    /// As for `Disk::write_segments`.
    pub(super) unsafe fn write_segments(
        &mut self,
        mut offset: u64,
        segments: &[Segment],
    ) -> io::Result<()> {
        if let Self::File { file, scratch } = self {
            scratch.clear();
            for segment in segments {
                // SAFETY: the segment is valid for reads and nobody writes it (caller).
                scratch.extend_from_slice(unsafe {
                    slice::from_raw_parts(segment.start, segment.length)
                });
            }
            return write_file(file, offset, scratch);
        }
        for segment in segments {
            // SAFETY: the segment is valid for reads and nobody writes it (caller).
            let bytes = unsafe { slice::from_raw_parts(segment.start, segment.length) };
            self.write(offset, bytes)?;
            offset += segment.length as u64;
        }
        Ok(())
    }
}

/// Calls `part(chunk number, offset in it, offset in the transfer, length)` for each chunk touched.
fn for_chunks(offset: u64, length: usize, mut part: impl FnMut(u64, usize, usize, usize)) {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let start = (at % CHUNK as u64) as usize;
        let now = (CHUNK - start).min(length - done);
        part(at / CHUNK as u64, start, done, now);
        done += now;
    }
}

/// Calls `part(offset in the period, offset in the transfer, length)` for each repetition touched.
fn for_period(
    period: usize,
    offset: u64,
    length: usize,
    mut part: impl FnMut(usize, usize, usize),
) {
    let mut done = 0;
    while done < length {
        let start = ((offset + done as u64) % period as u64) as usize;
        let now = (period - start).min(length - done);
        part(start, done, now);
        done += now;
    }
}

/// Fills `into` from the file; beyond its end there are zeros.
fn read_file(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match read_once(file, into, offset) {
            Ok(0) => {
                into.fill(0);
                return Ok(());
            }
            Ok(count) => {
                into = &mut into[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_file(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write_once(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_once(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(unix)]
fn write_once(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_once(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

#[cfg(windows)]
fn write_once(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Medium, PAGE, Segment, pattern_byte};

    #[test]
    fn sparse_memory_reads_zero_until_written_and_keeps_neighbours() {
        let mut medium = Medium::sparse();
        let far = 5_000_000_000 * 512 + CHUNK as u64 - 3;
        medium.write(far, &[1, 2, 3, 4, 5, 6]).expect("memory");
        let mut around = [9; 10];
        medium.read(far - 2, &mut around).expect("memory");
        assert_eq!(around, [0, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
    }

    #[test]
    fn segments_are_gathered_and_scattered_in_order() {
        let mut medium = Medium::sparse();
        let (mut first, mut second) = ([1_u8; 100], [2_u8; 50]);
        let segments = [
            Segment {
                start: first.as_mut_ptr(),
                length: 100,
            },
            Segment {
                start: second.as_mut_ptr(),
                length: 50,
            },
        ];
        // SAFETY: both arrays outlive the call and nothing else uses them meanwhile.
        unsafe { medium.write_segments(7, &segments) }.expect("memory");
        let mut all = [0; 150];
        medium.read(7, &mut all).expect("memory");
        assert!(all[..100].iter().all(|&byte| byte == 1));
        assert!(all[100..].iter().all(|&byte| byte == 2));
        // SAFETY: as above.
        unsafe { medium.read_segments(57, &segments) }.expect("memory");
        assert_eq!((first[49], first[50], second[0]), (1, 2, 0));
    }

    #[test]
    fn a_pattern_gives_itself_and_counts_what_differs() {
        let mut medium = Medium::pattern(3);
        let mut bytes = vec![0; 2 * PAGE];
        medium
            .read(10 * PAGE as u64 + 5, &mut bytes)
            .expect("no device");
        let wanted = |at: usize| pattern_byte(10 * PAGE as u64 + 5 + at as u64, 3);
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(at, &byte)| byte == wanted(at))
        );
        medium
            .write(10 * PAGE as u64 + 5, &bytes)
            .expect("no device");
        assert_eq!(medium.mismatched(), 0);
        bytes[17] ^= 1;
        medium
            .write(10 * PAGE as u64 + 5, &bytes)
            .expect("no device");
        assert_eq!(medium.mismatched(), 1);
    }
}
