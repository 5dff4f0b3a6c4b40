//! Bytes from drivers and devices that may be short, wrong or absurd.

use xfersplit_core::capacity::Capacity;
use xfersplit_core::descriptor::{AdapterDescriptor, DescriptorError, announced_size, answers_vpd};
use xfersplit_core::limits::BlockLimits;
use xfersplit_core::plan::PhysicalSector;
use xfersplit_core::vpd::{VpdError, block_limits, lists_page};

/// A descriptor as storport gives it: 32 bytes.
fn descriptor() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0..4].copy_from_slice(&32_u32.to_le_bytes());
    bytes[4..8].copy_from_slice(&32_u32.to_le_bytes());
    bytes[8..12].copy_from_slice(&0x0002_0000_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&33_u32.to_le_bytes());
    bytes[16..20].copy_from_slice(&3_u32.to_le_bytes());
    bytes[22] = 1;
    bytes[24] = 10;
    bytes[26..28].copy_from_slice(&2_u16.to_le_bytes());
    bytes[28..30].copy_from_slice(&7_u16.to_le_bytes());
    bytes[30] = 1;
    bytes
}

#[test]
fn a_full_descriptor() {
    let parsed = AdapterDescriptor::parse(&descriptor()).expect("descriptor");
    assert_eq!((parsed.version, parsed.size), (32, 32));
    assert_eq!(parsed.limits.maximum_transfer_length, 0x2_0000);
    assert_eq!(parsed.limits.maximum_physical_pages, 33);
    assert_eq!(parsed.limits.alignment_mask, 3);
    assert_eq!(parsed.command_queueing, Some(true));
    assert_eq!(parsed.bus_type, Some(10));
    assert_eq!(
        (parsed.bus_major_version, parsed.bus_minor_version),
        (Some(2), Some(7))
    );
    assert_eq!((parsed.srb_type, parsed.address_type), (Some(1), Some(0)));
}

#[test]
fn descriptors_that_end_early() {
    let full = descriptor();
    for length in 0..32 {
        let expected = if length < 8 {
            DescriptorError::NoHeader { length }
        } else {
            DescriptorError::Truncated { size: 32, length }
        };
        assert_eq!(AdapterDescriptor::parse(&full[..length]), Err(expected));
    }
    // An older descriptor that says so itself is whole, and what it does not have is not made up.
    for size in 20..32_u8 {
        let mut old = full;
        old[4] = size;
        let parsed = AdapterDescriptor::parse(&old[..usize::from(size)]).expect("descriptor");
        assert_eq!(parsed.limits.maximum_physical_pages, 33);
        assert_eq!(parsed.srb_type.is_some(), size > 30);
        assert_eq!(parsed.bus_type.is_some(), size > 24);
        // Also when more bytes were returned than it says.
        assert_eq!(AdapterDescriptor::parse(&old), Ok(parsed));
    }
}

#[test]
fn descriptors_that_lie_about_their_size() {
    let with_size = |size: u32| {
        let mut bytes = descriptor();
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        (
            AdapterDescriptor::parse(&bytes),
            announced_size(&bytes[..8]),
        )
    };
    for size in 0..20 {
        let error = DescriptorError::TooShort { size };
        assert_eq!(with_size(size), (Err(error), Err(error)));
    }
    let longer = DescriptorError::Truncated {
        size: 33,
        length: 32,
    };
    assert_eq!(with_size(33), (Err(longer), Ok(33)));
    for size in [4097, u32::MAX] {
        let error = DescriptorError::TooLong { size };
        assert_eq!(with_size(size), (Err(error), Err(error)));
    }
}

#[test]
fn buses_whose_devices_answer() {
    let buses: Vec<u8> = (0..=u8::MAX).filter(|&bus| answers_vpd(bus)).collect();
    assert_eq!(buses, [1, 6, 9, 10, 14, 15]);
}

#[test]
fn list_of_pages() {
    let answer = [0x00, 0x00, 0x00, 0x04, 0x00, 0x80, 0x83, 0xB0, 0xB1];
    assert_eq!(lists_page(&answer, 0xB0), Ok(true));
    assert_eq!(lists_page(&answer, 0x83), Ok(true));
    // Bytes behind the page's length are not part of the list.
    assert_eq!(lists_page(&answer, 0xB1), Ok(false));
    for length in 0..8 {
        assert_eq!(
            lists_page(&answer[..length], 0xB0),
            Err(VpdError::Truncated)
        );
    }
    // Standard data of a fixed disk, from a port that knows no pages: the page code and a length
    // seem right, but the list does not begin with page 00h.
    let fixed = [0x00, 0x00, 0x00, 0x02, 0x1F, 0xB0];
    assert_eq!(lists_page(&fixed, 0xB0), Ok(false));
    let standard = [0x00, 0x80, 0x05, 0x02, 0x1F];
    assert_eq!(
        lists_page(&standard, 0xB0),
        Err(VpdError::WrongPage { page: 0x80 })
    );
    let nobody = [0x7F, 0x00, 0x00, 0x01, 0xB0];
    assert_eq!(lists_page(&nobody, 0xB0), Err(VpdError::NoDevice));
}

#[test]
fn block_limits_page() {
    let mut answer = [0; 64];
    answer[1] = 0xB0;
    answer[3] = 0x3C;
    answer[8..12].copy_from_slice(&0x0001_0002_u32.to_be_bytes());
    let limits = BlockLimits {
        maximum_transfer_blocks: 0x1_0002,
    };
    assert_eq!(block_limits(&answer), Ok(limits));
    // The short form of older devices ends right behind the optimal length.
    answer[3] = 0x0C;
    assert_eq!(block_limits(&answer[..16]), Ok(limits));
    assert_eq!(block_limits(&answer[..15]), Err(VpdError::Truncated));
    answer[3] = 7;
    assert_eq!(block_limits(&answer), Err(VpdError::Truncated));
    answer[1] = 0xB1;
    assert_eq!(
        block_limits(&answer),
        Err(VpdError::WrongPage { page: 0xB1 })
    );
}

#[test]
fn read_capacity_10() {
    let answer = [0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x10, 0x00];
    let capacity = Capacity::parse_10(&answer).expect("capacity");
    assert_eq!(
        (capacity.last_block, capacity.block_size),
        (0x01_0203, 4096)
    );
    assert!(!capacity.needs_16());
    assert_eq!(capacity.physical_sector(), None);
    for length in 0..8 {
        assert_eq!(Capacity::parse_10(&answer[..length]), None);
    }
    let large = [0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x02, 0x00];
    assert!(Capacity::parse_10(&large).expect("capacity").needs_16());
    assert_eq!(Capacity::parse_10(&[0; 8]), None);
}

#[test]
fn read_capacity_16() {
    let mut answer = [0; 32];
    answer[..8].copy_from_slice(&0x1_2345_6789_u64.to_be_bytes());
    answer[8..12].copy_from_slice(&512_u32.to_be_bytes());
    answer[12] = 0x03;
    answer[13] = 0x13;
    answer[14] = 0xC0;
    answer[15] = 0x07;
    let capacity = Capacity::parse_16(&answer).expect("capacity");
    assert_eq!(
        (capacity.last_block, capacity.block_size),
        (0x1_2345_6789, 512)
    );
    assert_eq!(
        (capacity.physical_exponent, capacity.lowest_aligned),
        (3, 7)
    );
    assert!(capacity.protected);
    let sector = PhysicalSector {
        bytes: 4096,
        first_aligned: 3584,
    };
    assert_eq!(capacity.physical_sector(), Some(sector));
    for length in 0..16 {
        assert_eq!(Capacity::parse_16(&answer[..length]), None);
    }
    let absurd = Capacity {
        block_size: 1 << 31,
        ..capacity
    };
    assert_eq!(absurd.physical_sector(), None);
}
