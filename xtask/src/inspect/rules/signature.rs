//! The PE checksum and the signature, which both are about the file's bytes rather than its meaning.

use std::{fmt::Write, ops::Range};

use sha2::{Digest, Sha256};

use super::Verdict;
use crate::inspect::{
    Expected,
    image::{Image, directory},
    verdict,
};

/// Bytes of the checksum, and of an entry of the data directories.
const CHECKSUM: usize = 4;
const ENTRY: usize = 8;
/// From the checksum to the first data directory, in a 64-bit header.
const TO_DIRECTORIES: usize = 48;
/// Bytes in front of a certificate: length, revision, type.
const CERTIFICATE_HEADER: usize = 8;
/// `WIN_CERT_REVISION_2_0` and `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
const PKCS7: [u8; 4] = [0, 2, 2, 0];

/// The loader compares it for drivers, and stops with STATUS_IMAGE_CHECKSUM_MISMATCH.
pub(super) fn checksum(image: &Image) -> Verdict {
    let right = checksum_of(&image.file, image.checksum_at);
    let told = image.checksum;
    let mut complaints = Vec::new();
    if told != right {
        complaints.push(format!("{told:#010x}, should be {right:#010x}"));
    }
    verdict(complaints, format!("{told:#010x}"))
}

/// Sixteen-bit words added up with their carries, the checksum itself left out, and the length.
pub(in crate::inspect) fn checksum_of(file: &[u8], at: usize) -> u32 {
    let mut sum: u32 = 0;
    for (index, pair) in file.chunks(2).enumerate() {
        let offset = index * 2;
        if offset >= at && offset < at + CHECKSUM {
            continue;
        }
        let high = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_le_bytes([pair[0], high]));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum + file.len() as u32
}

pub(super) fn check(image: &Image, expected: &Expected) -> Verdict {
    let (at, size) = image.directory(directory::SECURITY);
    if (at, size) == (0, 0) {
        let complaints = if expected.signed {
            vec!["not signed".into()]
        } else {
            Vec::new()
        };
        return verdict(complaints, "not signed (cargo xtask package signs)");
    }
    let (start, end) = (at as usize, at as usize + size as usize);
    let Some(table) = image.file.get(start..end) else {
        return Err(vec!["the certificates lie outside the file".into()]);
    };
    let mut complaints = Vec::new();
    if end != image.file.len() || start % 8 != 0 {
        complaints.push("the certificates are not the end of the file".into());
    }
    match table.get(4..CERTIFICATE_HEADER) {
        Some(kind) if kind == PKCS7 => {}
        _ => complaints.push("the certificate is no PKCS #7".into()),
    }
    let digest = authenticode(image.file.as_slice(), image.checksum_at, start);
    if !table.windows(digest.len()).any(|window| window == digest) {
        complaints.push("signed over other bytes: not for this SHA-256".into());
    }
    let mut shown = String::new();
    for byte in digest.iter().take(8) {
        let _ = write!(shown, "{byte:02x}");
    }
    verdict(
        complaints,
        format!("embedded, over {shown}..., {size} bytes"),
    )
}

/// The digest that Authenticode signs: everything but the checksum, the entry of the certificates, and
/// the certificates.
pub(in crate::inspect) fn authenticode(file: &[u8], checksum_at: usize, end: usize) -> [u8; 32] {
    let entry = checksum_at + TO_DIRECTORIES + directory::SECURITY * ENTRY;
    let parts: [Range<usize>; 3] = [
        0..checksum_at,
        checksum_at + CHECKSUM..entry,
        entry + ENTRY..end,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(file.get(part).unwrap_or_default());
    }
    hash.finalize().into()
}
