//! What the image and its symbols are recognised by: made of the image's own bytes.
//!
//! lld derives the identity from the symbols, and those name every file of the build with its folder. Here
//! it is derived from the code, and so the same sources give the same driver in any folder.

use object::{
    LittleEndian as LE,
    pe::{IMAGE_DEBUG_TYPE_CODEVIEW, IMAGE_DIRECTORY_ENTRY_DEBUG, ImageDebugDirectory},
    read::pe::PeFile64,
};
use sha2::{Digest, Sha256};

/// Bytes of a GUID.
const GUID: usize = 16;

/// Where in the image its identity stands, as offsets in the file.
#[derive(Debug)]
struct Places {
    checksum: usize,
    /// The file header's and every debug directory entry's.
    times: Vec<usize>,
    guid: usize,
}

/// Gives an image and its symbols their identity, and the image its checksum.
pub(super) fn give(image: &mut [u8], symbols: &mut [u8]) -> Result<(), String> {
    let places = places(image).ok_or("the image has no debug directory that names its symbols")?;
    let old = image[places.guid..places.guid + GUID].to_vec();
    clear(image, &places);
    let digest = Sha256::digest(&*image);
    let (guid, time) = (&digest[..GUID], &digest[GUID..GUID + 4]);
    image[places.guid..places.guid + GUID].copy_from_slice(guid);
    for place in &places.times {
        image[*place..place + 4].copy_from_slice(time);
    }
    let sum = checksum(image, places.checksum).to_le_bytes();
    image[places.checksum..places.checksum + 4].copy_from_slice(&sum);
    rename(symbols, &old, guid)
}

fn clear(image: &mut [u8], places: &Places) {
    image[places.guid..places.guid + GUID].fill(0);
    for place in places.times.iter().chain([&places.checksum]) {
        image[*place..place + 4].fill(0);
    }
}

fn places(image: &[u8]) -> Option<Places> {
    let file = PeFile64::parse(image).ok()?;
    let headers = usize::try_from(file.dos_header().nt_headers_offset()).ok()?;
    let directory = file.data_directory(IMAGE_DIRECTORY_ENTRY_DEBUG)?;
    let (start, size) = directory.file_range(&file.section_table()).ok()?;
    let (start, size) = (start as usize, size as usize);
    let entry = size_of::<ImageDebugDirectory>();
    let mut places = Places {
        // Behind the signature and the file header, 64 bytes into the optional header.
        checksum: headers + 4 + 20 + 64,
        times: vec![headers + 8],
        guid: 0,
    };
    for at in (start..start + size).step_by(entry) {
        let bytes = image.get(at..at + entry)?;
        let (entry, _) = object::from_bytes::<ImageDebugDirectory>(bytes).ok()?;
        places.times.push(at + 4);
        if entry.typ.get(LE) == IMAGE_DEBUG_TYPE_CODEVIEW {
            let data = entry.pointer_to_raw_data.get(LE) as usize;
            if image.get(data..data + 4)? != b"RSDS" {
                return None;
            }
            places.guid = data + 4;
        }
    }
    let inside = image.len() >= places.guid + GUID;
    (places.guid != 0 && inside).then_some(places)
}

/// The symbols name their image by the same GUID, once.
fn rename(symbols: &mut [u8], old: &[u8], new: &[u8]) -> Result<(), String> {
    let found: Vec<usize> = symbols
        .windows(GUID)
        .enumerate()
        .filter_map(|(at, window)| (window == old).then_some(at))
        .collect();
    let [at] = found[..] else {
        return Err(format!(
            "the symbols name their image {} times",
            found.len()
        ));
    };
    symbols[at..at + GUID].copy_from_slice(new);
    Ok(())
}

/// The sum that Windows' loader wants: 16-bit words with their carries, without the sum's own place, and the
/// file's length.
pub(super) fn checksum(image: &[u8], place: usize) -> u32 {
    let mut sum = 0_u32;
    for (index, pair) in image.chunks(2).enumerate() {
        if index * 2 == place || index * 2 == place + 2 {
            continue;
        }
        sum += u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum + image.len() as u32
}
