//! The archive: files in an order, with one date, and their sums.

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
};

use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::stamp::Moment;

/// A file of the package.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Member {
    pub(super) fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
        }
    }
}

/// Puts the files in order, and behind them their sums, as sha256sum reads them.
pub(super) fn add_sums(members: &mut Vec<Member>) {
    members.sort_by(|one, other| one.name.cmp(&other.name));
    let mut sums = String::new();
    for member in members.iter() {
        for byte in Sha256::digest(&member.bytes) {
            let _ = write!(sums, "{byte:02x}");
        }
        let _ = writeln!(sums, " *{}", member.name);
    }
    members.push(Member::new("SHA256SUMS", sums.into_bytes()));
}

/// The archive's bytes; the same for the same files. Nothing is compressed: it is a few hundred kilobytes.
pub(super) fn write(members: &[Member], moment: Moment) -> Result<Vec<u8>, String> {
    let failed = |error: zip::result::ZipError| format!("the archive: {error}");
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .unix_permissions(0o644)
        .last_modified_time(date(moment)?);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for Member { name, bytes } in members {
        archive.start_file(name.as_str(), options).map_err(failed)?;
        archive
            .write_all(bytes)
            .map_err(|error| format!("the archive: {error}"))?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}

fn date(moment: Moment) -> Result<DateTime, String> {
    let Moment {
        year,
        month,
        day,
        minute,
    } = moment;
    let date = u16::try_from(year).ok().and_then(|year| {
        let (month, day) = (month as u8, day as u8);
        let (hour, minute) = ((minute / 60) as u8, (minute % 60) as u8);
        DateTime::from_date_and_time(year, month, day, hour, minute, 0).ok()
    });
    date.ok_or_else(|| format!("{year}-{month}-{day} is no date for an archive"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    fn members() -> Vec<Member> {
        let mut members = vec![
            Member::new("b.txt", b"two".to_vec()),
            Member::new("a.txt", b"one".to_vec()),
        ];
        add_sums(&mut members);
        members
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let bytes = write(&members(), Moment::of(1_709_208_061)).expect("written");
        let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("an archive");
        let mut names = Vec::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).expect("a file");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("its bytes");
            names.push(file.name().expect("a name").into_owned());
            assert_eq!(text.into_bytes(), members()[index].bytes);
            let date = file.last_modified().expect("a date");
            let date = (
                date.year(),
                date.month(),
                date.day(),
                date.hour(),
                date.minute(),
            );
            assert_eq!(date, (2024, 2, 29, 12, 1));
        }
        assert_eq!(names, ["a.txt", "b.txt", "SHA256SUMS"]);
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let moment = Moment::of(1_709_208_061);
        assert_eq!(write(&members(), moment), write(&members(), moment));
        assert!(
            write(&members(), Moment::of(0)).is_err(),
            "before archives had dates"
        );
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        let members = members();
        let sums = members.last().expect("the sums");
        let text = String::from_utf8_lossy(&sums.bytes).into_owned();
        let first = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed *a.txt";
        assert_eq!(text.lines().next(), Some(first));
        assert_eq!(text.lines().count(), 2);
    }
}
