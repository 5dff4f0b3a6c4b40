//! What the disk should hold: the same writes done directly, in memory, chunk by chunk as they are touched.

use std::collections::BTreeMap;

use ntsim::port::Disk;
use sha2::{Digest, Sha256};

/// Bytes of a chunk.
const CHUNK: u64 = 64 * 1024;

/// The expected contents of every part of a disk that requests have touched.
#[derive(Default)]
pub struct Mirror {
    chunks: BTreeMap<u64, Vec<u8>>,
}

impl Mirror {
    /// Nothing touched yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the part of the disk into the mirror as it is now, if it is not there yet. To be called before a request
    /// to that part is sent.
    pub fn touch(&mut self, disk: &Disk, offset: u64, length: u64) {
        for chunk in chunks(offset, length) {
            self.chunks.entry(chunk).or_insert_with(|| {
                let mut bytes = vec![0; CHUNK as usize];
                disk.peek(chunk * CHUNK, &mut bytes);
                bytes
            });
        }
    }

    /// What a write of `bytes` makes of it.
    ///
    /// # Panics
    /// If that part was never touched.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for chunk in chunks(offset, bytes.len() as u64) {
            let (start, length) = part(chunk, offset, bytes.len() as u64);
            let (now, later) = rest.split_at(length);
            let target = self.chunks.get_mut(&chunk).expect("the part was touched");
            target[start..start + length].copy_from_slice(now);
            rest = later;
        }
    }

    /// What a read should give.
    ///
    /// # Panics
    /// If that part was never touched.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        let total = bytes.len() as u64;
        let mut rest = bytes;
        for chunk in chunks(offset, total) {
            let (start, length) = part(chunk, offset, total);
            let (now, later) = rest.split_at_mut(length);
            let source = self.chunks.get(&chunk).expect("the part was touched");
            now.copy_from_slice(&source[start..start + length]);
            rest = later;
        }
    }

    /// Bytes that the mirror holds.
    pub fn held(&self) -> u64 {
        self.chunks.len() as u64 * CHUNK
    }

    /// Hashes of everything touched: as it should be, and as it is on the disk.
    pub fn hashes(&self, disk: &Disk) -> (Hash, Hash) {
        let mut expected = Sha256::new();
        let mut found = Sha256::new();
        let mut bytes = vec![0; CHUNK as usize];
        for (chunk, contents) in &self.chunks {
            disk.peek(chunk * CHUNK, &mut bytes);
            for hash in [&mut expected, &mut found] {
                hash.update(chunk.to_le_bytes());
            }
            expected.update(contents);
            found.update(&bytes);
        }
        (Hash::from(expected), Hash::from(found))
    }
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first digits, for tables.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl From<Sha256> for Hash {
    fn from(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

fn chunks(offset: u64, length: u64) -> std::ops::Range<u64> {
    offset / CHUNK..(offset + length).div_ceil(CHUNK)
}

/// Which part of a chunk belongs to a range: its start in the chunk, and its length.
fn part(chunk: u64, offset: u64, length: u64) -> (usize, usize) {
    let start = offset.max(chunk * CHUNK);
    let end = (offset + length).min((chunk + 1) * CHUNK);
    ((start - chunk * CHUNK) as usize, (end - start) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_disk_across_chunks() {
        let disk = Disk::memory(1024, 512);
        let old = vec![7; 3000];
        disk.poke(CHUNK - 1000, &old);
        let mut mirror = Mirror::new();
        mirror.touch(&disk, CHUNK - 1500, 4000);
        let mut bytes = vec![0; 4000];
        mirror.read(CHUNK - 1500, &mut bytes);
        assert_eq!(
            (bytes[499], bytes[500], bytes[3499], bytes[3500]),
            (0, 7, 7, 0)
        );

        let new = vec![9; 2000];
        mirror.write(CHUNK - 1000, &new);
        let (expected, found) = mirror.hashes(&disk);
        assert_ne!(expected, found);
        disk.poke(CHUNK - 1000, &new);
        let (expected, found) = mirror.hashes(&disk);
        assert_eq!(expected, found);
        assert_eq!(mirror.held(), 2 * CHUNK);
    }

    #[test]
    fn hashes_are_sha_256() {
        assert!(Hash::of(b"abc").to_string().starts_with("ba7816bf8f01cfea"));
        assert_eq!(Hash::of(b"abc").short(), "ba7816bf8f01");
    }
}
