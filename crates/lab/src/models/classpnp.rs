//! The arithmetic of Microsoft's disk class driver (Windows-driver-samples, `storage/class/classpnp/src`: `xferpkt.c`
//! `InitializeTransferPackets`, `class.c` `ServiceTransferRequest` and `ClassReadDriveCapacity`).
//!
//! It decides one length from the descriptor, adds a page if the buffer starts on one, and chops the request into
//! pieces of that length. The edges where that exceeds the descriptor are kept as they are.

use super::{PAGE, Question, Sent};

/// What classpnp would send.
pub fn classpnp(question: &Question) -> Vec<Sent> {
    let piece = u64::from(piece_length(question));
    let sector = question.sector;
    let mut sent = Vec::new();
    let mut offset = 0;
    while offset < question.length {
        let length = piece.min(question.length - offset);
        // Lengths and positions are shifted down to sectors: what is not a multiple falls away.
        let lba = question.lba + offset / sector;
        sent.push(Sent {
            offset,
            length,
            lba,
            blocks: length / sector,
        });
        offset += length;
    }
    sent
}

fn piece_length(question: &Question) -> u32 {
    let page = PAGE as u32;
    let most = question.maximum_transfer_length;
    // One page is kept back for a buffer that starts inside one; the product wraps in 32 bits.
    let pages = question.maximum_physical_pages.saturating_sub(1);
    let mut piece = most.min(pages.wrapping_mul(page)).max(page);
    if !question.long_commands {
        piece = piece.min((0xFFFF * question.sector) as u32);
    }
    // An aligned buffer gets the page back, also above the command block's clamp.
    let aligned = question.page_offset.is_multiple_of(PAGE);
    match piece.checked_add(page) {
        Some(longer) if aligned => longer.min(most),
        _ => piece,
    }
}
