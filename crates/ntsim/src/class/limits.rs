//! How long a piece may be: the arithmetic of `InitializeTransferPackets`, `ClassReadDriveCapacity`
//! and `ServiceTransferRequest` [classpnp, xferpkt.c and class.c], corners included.
//!
//! None of it rounds to sectors, a limit below a page becomes a page, and a shift of 32 bits drops
//! what does not fit. A lower filter that rewrites the descriptor has to live with all of that.

const PAGE: u32 = 4096;
const PAGE_SHIFT: u32 = 12;
/// The most blocks that a 10-byte command can ask for.
const MOST_BLOCKS_10: u32 = 0xFFFF;

/// `HwMaxXferLen`, made of `MaximumTransferLength` and `MaximumPhysicalPages`: the longest piece of
/// a buffer that does not begin on a page, which touches one page more than its length fills.
pub(super) const fn hardware_maximum(bytes: u32, pages: u32) -> u32 {
    let whole = if pages == 0 { 0 } else { pages - 1 };
    let by_pages = whole << PAGE_SHIFT;
    let less = if bytes < by_pages { bytes } else { by_pages };
    if less > PAGE { less } else { PAGE }
}

/// `HwMaxXferLen` once the size of the disk is known: a 10-byte command has 16 bits for the blocks.
pub(super) const fn capped(hardware_maximum: u32, sector_shift: u32, sixteen: bool) -> u32 {
    let most = MOST_BLOCKS_10 << sector_shift;
    if sixteen || hardware_maximum < most {
        hardware_maximum
    } else {
        most
    }
}

/// The longest piece of a request whose buffer begins at `address`. One that begins on a page
/// touches a page less and gets it back, unless the sum would not fit, but no more than the
/// adapter's bytes.
pub(super) const fn longest_piece(hardware_maximum: u32, bytes: u32, address: usize) -> u32 {
    if address as u32 & (PAGE - 1) != 0 || hardware_maximum > u32::MAX - PAGE {
        return hardware_maximum;
    }
    let with_page = hardware_maximum + PAGE;
    if with_page < bytes { with_page } else { bytes }
}

/// Bytes from `address` to the end of its page: what is sent at a time when memory is short.
pub(super) const fn to_page_end(address: usize) -> u32 {
    PAGE - (address as u32 & (PAGE - 1))
}

/// The room of a packet's own MDL, if such an MDL can be: a page more than the longest piece.
pub(super) const fn mdl_room(hardware_maximum: u32) -> Option<u32> {
    hardware_maximum.checked_add(PAGE)
}

#[cfg(test)]
mod tests {
    use super::{capped, hardware_maximum, longest_piece, mdl_room, to_page_end};

    #[test]
    fn pages_count_one_less_because_a_buffer_may_begin_anywhere() {
        assert_eq!(hardware_maximum(0x10_0000, 17), 0x1_0000);
        assert_eq!(hardware_maximum(0x8000, 17), 0x8000);
        assert_eq!(longest_piece(0xF000, 0x1_0000, 0x1000), 0x1_0000);
        assert_eq!(longest_piece(0xF000, 0x1_0000, 0x1200), 0xF000);
    }

    #[test]
    fn a_limit_below_a_page_becomes_a_page() {
        assert_eq!(hardware_maximum(2048, 17), 4096);
        assert_eq!(hardware_maximum(65536, 1), 4096);
        assert_eq!(hardware_maximum(65536, 0), 4096);
    }

    #[test]
    fn a_buffer_on_a_page_is_cut_by_the_adapters_bytes_even_where_they_are_less() {
        assert_eq!(longest_piece(4096, 2048, 0x1000), 2048);
    }

    #[test]
    fn pages_beyond_32_bits_of_bytes_wrap() {
        assert_eq!(hardware_maximum(u32::MAX, 0x10_0001), 4096);
        assert_eq!(hardware_maximum(u32::MAX, u32::MAX), 0xFFFF_E000);
        assert_eq!(longest_piece(0xFFFF_F001, u32::MAX, 0), 0xFFFF_F001);
        assert_eq!(mdl_room(0xFFFF_F000), None);
    }

    #[test]
    fn the_page_that_is_given_back_can_exceed_a_10_byte_command() {
        let hardware = capped(hardware_maximum(u32::MAX, u32::MAX), 9, false);
        assert_eq!(hardware, 0xFFFF << 9);
        assert_eq!(longest_piece(hardware, u32::MAX, 0) >> 9, 65543);
        assert_eq!(capped(0x10_0000, 9, false), 0x10_0000);
        assert_eq!(capped(u32::MAX, 9, true), u32::MAX);
    }

    #[test]
    fn what_is_left_of_a_page() {
        assert_eq!(to_page_end(0), 4096);
        assert_eq!(to_page_end(0x1FC0), 64);
    }
}
