//! What the stack above is told: numbers that classpnp's own sums cannot break, in replies that are
//! otherwise as they were.

mod common;

use common::{NO_LIMIT, limits};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use xfersplit_core::advertise::{
    Advertised, LARGER_MAX, asks_for_adapter, choose, effective, larger, patch_capabilities,
    patch_descriptor,
};
use xfersplit_core::limits::{AdapterLimits, Clamp, Limits, PieceCap, Voices};
use xfersplit_core::settings::Advertise;

const fn told(bytes: u32, pages: u32) -> Advertised {
    Advertised { bytes, pages }
}

const fn adapter(bytes: u32, pages: u32) -> AdapterLimits {
    AdapterLimits {
        maximum_transfer_length: bytes,
        maximum_physical_pages: pages,
        alignment_mask: 0,
    }
}

/// Adapters for which classpnp's sums go wrong, and usual ones.
#[test]
fn effective_limits_of_known_adapters() {
    let cases = [
        // Bytes, pages, sector; what is told.
        (65536, 17, 512, Some(told(65536, 17))),
        (131_072, 33, 512, Some(told(131_072, 33))),
        (131_072, 17, 512, Some(told(65536, 17))),
        (65536, 33, 512, Some(told(65536, 17))),
        // No multiple of a page: the second packet of an aligned buffer would touch 17 pages.
        (65024, 16, 512, Some(told(61440, 16))),
        (65024, 17, 512, Some(told(61440, 16))),
        (65535, NO_LIMIT, 512, Some(told(61440, 16))),
        (4096, 2, 512, Some(told(4096, 2))),
        (4096, 2, 4096, Some(told(4096, 2))),
        // One page at most, or less: classpnp would send a page, touching two.
        (65536, 1, 512, None),
        (65536, 0, 512, None),
        (4095, 17, 512, None),
        (2048, NO_LIMIT, 512, None),
        (512, 2, 512, None),
        // 65535 sectors of a 10-byte command, rounded down to pages.
        (NO_LIMIT, NO_LIMIT, 512, Some(told(0x01FF_F000, 0x2000))),
        (64 << 20, NO_LIMIT, 512, Some(told(0x01FF_F000, 0x2000))),
        (NO_LIMIT, NO_LIMIT, 4096, Some(told(0x0FFF_F000, 0x1_0000))),
        (NO_LIMIT, NO_LIMIT, 65536, Some(told(0xFFFF_0000, 0xF_FFF1))),
        // The pages' product with 4096 wraps in 32 bits.
        (1 << 20, 0x10_0001, 512, Some(told(1 << 20, 257))),
        (1 << 20, 0x20_0001, 512, Some(told(1 << 20, 257))),
        (NO_LIMIT, 0xFFFF_FFFE, 512, Some(told(0x01FF_F000, 0x2000))),
        // Sectors that are longer than a page, or no part of one.
        (65536, 17, 16384, Some(told(65536, 17))),
        (65536, 16, 16384, Some(told(49152, 13))),
        (65536, 4, 16384, None),
        (65536, 17, 65536, Some(told(65536, 17))),
        (65536, 16, 65536, None),
        (1 << 20, NO_LIMIT, 520, Some(told(798_720, 196))),
        (200_000, NO_LIMIT, 520, None),
    ];
    for (bytes, pages, sector, expected) in cases {
        let limits = limits(bytes, pages, 0, sector);
        assert_eq!(effective(&limits), expected, "{bytes} {pages} {sector}");
    }
}

/// Neither the alignment of buffers nor the engine's own memory is a limit of the stack above.
#[test]
fn only_bytes_pages_and_sectors_count() {
    let plain = limits(1 << 20, 129, 0, 512);
    for mask in [0, 1, 3, 7, 511, 0xFFF] {
        let aligned = limits(1 << 20, 129, mask, 512);
        assert_eq!(effective(&aligned), effective(&plain));
    }
    let capped = Voices {
        piece_cap: PieceCap::new(PieceCap::MIN),
        ..common::voices(1 << 20, 129, 0)
    };
    let capped = Limits::normalise(&capped, 512).expect("valid");
    assert_eq!(effective(&capped), effective(&plain));
}

#[test]
fn the_larger_length() {
    for (bytes, expected) in [
        (65536, told(65536, 17)),
        (65537, told(65536, 17)),
        (1 << 20, told(1 << 20, 257)),
        (LARGER_MAX - 1, told(LARGER_MAX - 4096, 1024)),
        (LARGER_MAX, told(LARGER_MAX, 1025)),
        (LARGER_MAX + 1, told(LARGER_MAX, 1025)),
        (u32::MAX, told(LARGER_MAX, 1025)),
        (0, told(4096, 2)),
        (4095, told(4096, 2)),
    ] {
        assert_eq!(larger(bytes), expected, "{bytes}");
    }
}

#[test]
fn the_decision() {
    let own = adapter(131_072, 33);
    let clamped = |bytes| {
        let clamp = Clamp {
            bytes,
            ..Clamp::default()
        };
        let voices = Voices {
            clamp,
            ..Voices::adapter(own)
        };
        Limits::normalise(&voices, 512).expect("valid")
    };
    let same = clamped(None);
    let stricter = clamped(Some(65536));
    let tiny = clamped(Some(512));
    let all = Some(told(131_072, 33));
    let half = Some(told(65536, 17));
    let more = Some(told(1 << 20, 257));
    for (setting, limits, expected) in [
        (None, &same, None),
        (None, &stricter, half),
        (None, &tiny, None),
        (Some(Advertise::Adapter), &same, None),
        (Some(Advertise::Adapter), &stricter, None),
        (Some(Advertise::Effective), &same, all),
        (Some(Advertise::Effective), &stricter, half),
        (Some(Advertise::Effective), &tiny, None),
        (Some(Advertise::Larger), &same, more),
        (Some(Advertise::Larger), &stricter, more),
        (Some(Advertise::Larger), &tiny, more),
    ] {
        assert_eq!(choose(setting, limits, &own, 1 << 20), expected);
    }
    // Where the adapter's own length is no multiple of a sector, its limits are stricter than it.
    let ragged = adapter(65535, 17);
    let limits = Limits::normalise(&Voices::adapter(ragged), 512).expect("valid");
    assert_eq!(choose(None, &limits, &ragged, 0), Some(told(61440, 16)));
}

#[test]
fn more_than_the_adapter_takes() {
    for (told, adapter, exceeds) in [
        (told(65536, 17), adapter(65536, 17), false),
        (told(65536, 17), adapter(65535, 17), true),
        (told(65536, 17), adapter(65536, 16), true),
        (told(65536, 17), AdapterLimits::NONE, false),
        (told(4096, 2), adapter(65536, 1), true),
        (told(4096, 2), adapter(65536, 0), true),
        (told(4096, 1), adapter(65536, 0), false),
    ] {
        assert_eq!(told.exceeds(&adapter), exceeds, "{told:?} {adapter:?}");
    }
}

type Patch = fn(&mut [u8], Advertised);

/// A reply of any length: what was returned of the two fields is changed if it is whole, and no
/// other byte.
#[test]
fn replies_are_patched_in_place() {
    let advertised = told(0x1122_3344, 0x5566_7788);
    let cases: [(Patch, usize); 2] = [(patch_descriptor, 8), (patch_capabilities, 4)];
    for (patch, first) in cases {
        for length in 0..48_usize {
            let before: Vec<u8> = (0..length as u8).map(|byte| byte | 0x80).collect();
            let mut expected = before.clone();
            if length >= first + 4 {
                expected[first..first + 4].copy_from_slice(&[0x44, 0x33, 0x22, 0x11]);
            }
            if length >= first + 8 {
                expected[first + 4..first + 8].copy_from_slice(&[0x88, 0x77, 0x66, 0x55]);
            }
            let mut reply = before;
            patch(&mut reply, advertised);
            assert_eq!(reply, expected, "{length}");
        }
    }
}

#[test]
fn which_queries_ask_for_the_adapter() {
    let query = |property: u32, kind: u32| {
        let mut input = property.to_le_bytes().to_vec();
        input.extend(kind.to_le_bytes());
        input
    };
    let asks = query(1, 0);
    for length in 0..8 {
        assert!(!asks_for_adapter(&asks[..length]));
    }
    assert!(asks_for_adapter(&asks));
    // STORAGE_PROPERTY_QUERY has a byte of parameters and padding behind them.
    let mut whole = asks;
    whole.extend([0xFF; 4]);
    assert!(asks_for_adapter(&whole));
    for property in [0, 2, 3, 6, 49, 0x101, u32::MAX] {
        assert!(!asks_for_adapter(&query(property, 0)), "{property}");
    }
    // PropertyExistsQuery, PropertyMaskQuery and nonsense.
    for kind in [1, 2, 3, 0x100, u32::MAX] {
        assert!(!asks_for_adapter(&query(1, kind)), "{kind}");
    }
}

fn config() -> Config {
    Config {
        cases: if cfg!(miri) { 8 } else { 20_000 },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5EED),
        ..Config::default()
    }
}

fn sector() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => (9..=16_u32).prop_map(|bits| 1 << bits),
        1 => Just(520_u32),
        1 => Just(4160),
        1 => 1..=65536_u32,
    ]
}

/// Numbers near every power of two and every few pages.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        2 => any::<u32>(),
        3 => (0..33_u32, -2..=2_i64).prop_map(|(bit, off)| ((1_i64 << bit) + off) as u32),
        3 => (1..300_u32, -2..=2_i64).prop_map(|(pages, off)| (pages * 4096)
            .wrapping_add(off as u32)),
        2 => 0..40_u32,
    ]
}

proptest! {
    #![proptest_config(config())]

    /// What is told holds every condition under which classpnp's sums stay where they start, and
    /// the next longer length breaks one of them.
    #[test]
    fn the_most_that_is_safe(
        bytes in number(),
        pages in number(),
        sector in sector(),
        clamp_bytes in prop::option::of(number()),
        clamp_pages in prop::option::of(number()),
    ) {
        let adapter = adapter(bytes, pages);
        let clamp = Clamp {
            bytes: clamp_bytes,
            pages: clamp_pages,
            map_registers: None,
        };
        let voices = Voices { clamp, ..Voices::adapter(adapter) };
        let Ok(limits) = Limits::normalise(&voices, sector) else {
            return Ok(());
        };
        let sector = u64::from(sector);
        // 4096 sectors are whole pages, whatever a sector is.
        let step = (1..=4096).map(|times| times * sector).find(|it| it.is_multiple_of(4096));
        let step = step.expect("a multiple");
        let safe = |length: u64| {
            length <= limits.maximum_bytes().map_or(u64::from(u32::MAX), u64::from)
                && limits.maximum_pages().is_none_or(|most| length / 4096 < u64::from(most))
                && length / sector <= 0xFFFF
        };
        let told = effective(&limits);
        let length = told.map_or(0, |told| u64::from(told.bytes));
        prop_assert!(length.is_multiple_of(step) && safe(length));
        prop_assert!(!safe(length + step));
        if let Some(told) = told {
            prop_assert_ne!(told.bytes, 0);
            prop_assert_eq!(u64::from(told.pages), length / 4096 + 1);
            prop_assert!(!told.exceeds(&adapter));
        }
    }
}

#[test]
fn both_numbers_fit_one_word_and_come_back() {
    for bytes in [4096, 0x1_0000, 4 * 1024 * 1024, u32::MAX] {
        for pages in [2, 17, 1025, u32::MAX] {
            let told = Advertised { bytes, pages };
            assert_ne!(told.to_bits(), 0);
            assert_eq!(Advertised::from_bits(told.to_bits()), told);
        }
    }
}
