//! A paired port driver's answer is believed when every field of it makes sense, and else not at all.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xfersplit_core::limits::{AdapterLimits, Clamp, Limits, Source, Voices};
use xfersplit_core::paired::{
    Answer, CONTROL_CODE, HEADER_LENGTH, LENGTH, NO_LIMIT, Nonsense, PairedLimits, SIGNATURE, SIZE,
    VERSION, answer, question,
};

/// Miri looks at each case for a long time, and lets nobody ask where the sources are.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 20_000 },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x9F5A),
        ..ProptestConfig::default()
    }
}

/// A block as a port driver answers it.
fn answered(generation: u32, registers: u32, segments: u32, bytes: u32) -> [u8; LENGTH] {
    let mut block = question(0, 4);
    for (offset, value) in [
        (36, generation),
        (40, registers),
        (44, segments),
        (48, bytes),
    ] {
        put(&mut block, offset, value);
    }
    block
}

fn put(block: &mut [u8; LENGTH], offset: usize, value: u32) {
    block[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn the_question_is_the_documented_block() {
    let block = question(7, 4);
    let mut expected = Vec::new();
    expected.extend(HEADER_LENGTH.to_le_bytes());
    expected.extend(SIGNATURE);
    for value in [4, CONTROL_CODE, 0, SIZE, VERSION, SIZE, 7, 0, 0, 0] {
        expected.extend(value.to_le_bytes());
    }
    assert_eq!(block.as_slice(), expected);
    assert_eq!(expected.len(), (HEADER_LENGTH + SIZE) as usize);
    // CTL_CODE(0x9F5A, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)
    assert_eq!(CONTROL_CODE, 0x9F5A << 16 | 0x801 << 2);
}

#[test]
fn the_smaller_of_registers_and_segments_counts() {
    let told = answer(&answered(3, 5, 17, NO_LIMIT)).expect("sensible");
    assert_eq!(told.generation, 3);
    assert_eq!((told.limits.pages(), told.limits.bytes()), (5, NO_LIMIT));
    let told = answer(&answered(1, NO_LIMIT, 17, 65536)).expect("sensible");
    assert_eq!((told.limits.pages(), told.limits.bytes()), (17, 65536));
}

#[test]
fn each_field_that_makes_no_sense_is_named() {
    let good = answered(1, 5, 5, 4096);
    let cases = [
        (0, 27, Nonsense::Header),
        (4, 0, Nonsense::Header),
        (8, 0, Nonsense::Header),
        (16, 0x9F5A_2008, Nonsense::Header),
        (20, 9, Nonsense::ReturnCode(9)),
        (24, 28, Nonsense::Header),
        (28, 2, Nonsense::Version(2)),
        (32, 28, Nonsense::Size(28)),
        (36, 0, Nonsense::Generation),
        (40, 0, Nonsense::TooSmall),
        (44, 0, Nonsense::TooSmall),
        (48, 511, Nonsense::TooSmall),
    ];
    for (offset, value, reason) in cases {
        let mut block = good;
        put(&mut block, offset, value);
        assert_eq!(answer(&block), Err(reason), "{offset}");
    }
    for length in 0..LENGTH {
        assert_eq!(answer(&good[..length]), Err(Nonsense::Length(length)));
    }
    let long = [good.as_slice(), &[0]].concat();
    assert_eq!(answer(&long), Err(Nonsense::Length(LENGTH + 1)));
}

proptest! {
    #![proptest_config(config())]

    /// No byte outside the timeout and the values can be another one.
    #[test]
    fn a_changed_byte_is_noticed_or_is_a_value(at in 0..LENGTH, flip in 1..=255_u8, pages in 1..=u32::MAX, bytes in 512..=u32::MAX) {
        let mut block = answered(1, pages, pages, bytes);
        let before = answer(&block).expect("sensible");
        block[at] ^= flip;
        let after = answer(&block);
        match at {
            12..16 => prop_assert_eq!(after, Ok(before)),
            36..52 => prop_assert!(after.is_err() || after != Ok(before) || (40..48).contains(&at)),
            _ => prop_assert!(after.is_err()),
        }
    }

    #[test]
    fn limits_fit_one_word(registers in 1..=u32::MAX, segments in 1..=u32::MAX, bytes in 512..=u32::MAX) {
        let limits = PairedLimits::new(registers, segments, bytes).expect("none is 0");
        prop_assert!(limits.to_bits() != 0);
        prop_assert_eq!(PairedLimits::from_bits(limits.to_bits()), Some(limits));
        prop_assert_eq!(answer(&answered(9, registers, segments, bytes)), Ok(Answer { generation: 9, limits }));
    }

    /// The limits of a device are those of its strictest voice, whoever that is.
    #[test]
    fn a_paired_port_driver_clamps_and_never_raises(
        adapter in (1..=64_u32, 1..=512_u32),
        port in (1..=64_u32, 1..=512_u32),
        person in (1..=64_u32, 1..=512_u32),
    ) {
        let voices = Voices {
            paired: PairedLimits::new(port.0, NO_LIMIT, port.1 * 512),
            clamp: Clamp { bytes: Some(person.1 * 512), pages: None, map_registers: Some(person.0) },
            ..Voices::adapter(AdapterLimits {
                maximum_transfer_length: adapter.1 * 512,
                maximum_physical_pages: adapter.0,
                alignment_mask: 0,
            })
        };
        let limits = Limits::normalise(&voices, 512).expect("a sector fits");
        let pages = adapter.0.min(port.0).min(person.0);
        prop_assert_eq!(limits.maximum_pages(), Some(pages));
        prop_assert_eq!(limits.maximum_bytes(), Some(adapter.1.min(port.1).min(person.1) * 512));
        let by = if pages == person.0 { Source::MapRegisters } else if pages == port.0 { Source::PairedPort } else { Source::Adapter };
        prop_assert_eq!(limits.pages_source(), by);
    }
}

#[test]
fn nothing_told_is_no_limit() {
    assert_eq!(PairedLimits::from_bits(0), None);
    assert_eq!(PairedLimits::new(0, 1, 512), None);
    assert_eq!(PairedLimits::new(1, 0, 512), None);
    assert_eq!(PairedLimits::new(1, 1, 511), None);
    let unlimited = PairedLimits::new(NO_LIMIT, NO_LIMIT, NO_LIMIT).expect("none is 0");
    let voices = Voices {
        paired: Some(unlimited),
        ..Voices::adapter(AdapterLimits::NONE)
    };
    let limits = Limits::normalise(&voices, 512).expect("valid");
    assert_eq!(
        (limits.maximum_bytes(), limits.maximum_pages()),
        (None, None)
    );
    let five = PairedLimits::new(5, NO_LIMIT, NO_LIMIT).expect("none is 0");
    let small = PairedLimits::new(9, 9, 4096).expect("none is 0");
    let both = five.and(small);
    assert_eq!((both.pages(), both.bytes()), (5, 4096));
}
