//! Request blocks that are cut short, corrupt or no blocks at all: refused, or read with every field
//! inside.

mod common;

use common::request_blocks::{Kind, check, extended, good, legacy, put32};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use xfersplit_core::block::{Opaque, PREFIX, parse};

/// Cut short anywhere it is no block; whatever follows it does not matter.
#[test]
fn every_prefix() {
    for mut bytes in good() {
        let whole = parse(&bytes).expect("a read");
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Err(Opaque::TooShort));
        }
        bytes.extend([0xFF; 300]);
        assert_eq!(parse(&bytes), Ok(whole));
    }
}

/// Each byte of each block, made every other value: refused, or read with every place inside.
#[test]
fn every_corruption_of_a_byte() {
    let values = if cfg!(miri) { 1..3 } else { 1..256_u16 };
    let (mut accepted, mut refused) = (0, 0);
    for bytes in good() {
        for at in 0..bytes.len() {
            for change in values.clone() {
                let mut bytes = bytes.clone();
                bytes[at] ^= change as u8;
                match parse(&bytes) {
                    Ok(block) => {
                        check(&bytes, &block);
                        accepted += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
}

fn config() -> Config {
    Config {
        cases: if cfg!(miri) { 8 } else { 20_000 },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5EED),
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Several bytes at once, near the values that lead somewhere.
    #[test]
    fn several_corruptions(
        which in 0..9_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        offsets in prop::collection::vec((0..6_usize, 0..300_u32), 0..4),
    ) {
        let mut bytes = good().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (field, value) in offsets {
            let at = [16, 52, 56, 60, 120, 124][field];
            if at + 4 <= bytes.len() {
                put32(&mut bytes, at, value);
            }
        }
        if let Ok(block) = parse(&bytes) {
            check(&bytes, &block);
        }
    }

    /// No block at all behind a header that says so.
    #[test]
    fn noise(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        is_extended in any::<bool>(),
    ) {
        let header = if is_extended { extended(Kind::Cdb16, false).bytes } else { legacy() };
        let kept = bytes.len().min(PREFIX);
        bytes[..kept].copy_from_slice(&header[..kept]);
        if is_extended && bytes.len() >= 128 {
            put32(&mut bytes, 16, 128.max(header.len() as u32));
        }
        if let Ok(block) = parse(&bytes) {
            check(&bytes, &block);
        }
    }
}
