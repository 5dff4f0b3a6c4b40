//! Whatever the numbers: no overflow, exact cover, every limit kept.
//!
//! Arithmetic overflow panics in this build, so each case that ends is one without.

mod common;

use common::{NO_LIMIT, PAGE, touched};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use xfersplit_core::limits::{
    AdapterLimits, BlockLimits, Clamp, InvalidLimits, Limits, PieceCap, Voices,
};
use xfersplit_core::page::span_pages;
use xfersplit_core::plan::{
    Bound, NoFrames, Options, PageRule, PhysicalSector, Piece, Plan, Refusal, Request,
    longest_piece,
};

/// Cases per property. Miri interprets each step, so it gets a taste.
fn config() -> Config {
    Config {
        cases: if cfg!(miri) { 8 } else { 20_000 },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5EED),
        max_global_rejects: 0,
        ..Config::default()
    }
}

/// Pieces looked at when a plan has very many.
const LOOK_AT: usize = if cfg!(miri) { 20 } else { 300 };

fn sector() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => Just(512_u32),
        3 => Just(4096),
        2 => Just(520),
        1 => Just(4160),
        1 => Just(65536),
        1 => 1..=65536_u32,
    ]
}

/// Numbers near every power of two, and any others.
fn edgy_u32() -> impl Strategy<Value = u32> {
    prop_oneof![
        2 => any::<u32>(),
        3 => (0..32_u32, -2..=2_i64).prop_map(|(bit, off)| ((1_i64 << bit) + off) as u32),
        1 => Just(NO_LIMIT),
        1 => Just(0),
        3 => (1..=64_u32).prop_map(|pages| pages * 4096),
    ]
}

fn edgy_u64() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => any::<u64>(),
        3 => (0..64_u32, -2..=2_i128).prop_map(|(bit, off)| ((1_i128 << bit) + off) as u64),
        1 => Just(u64::MAX),
        1 => Just(0),
    ]
}

fn pages() -> impl Strategy<Value = u32> {
    prop_oneof![2 => 0..=40_u32, 1 => edgy_u32()]
}

fn mask() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => Just(0_u32),
        3 => (0..13_u32).prop_map(|bits| (1 << bits) - 1),
        1 => any::<u32>(),
    ]
}

fn command_blocks() -> impl Strategy<Value = u32> {
    prop_oneof![Just(256_u32), Just(0xFFFF), Just(u32::MAX)]
}

fn piece_cap() -> impl Strategy<Value = PieceCap> {
    prop_oneof![
        Just(PieceCap::DEFAULT),
        Just(PieceCap::NONE),
        any::<u32>().prop_map(PieceCap::new),
    ]
}

fn voices() -> impl Strategy<Value = Voices> {
    let clamp = (
        proptest::option::of(edgy_u32()),
        proptest::option::of(pages()),
        proptest::option::of(pages()),
    );
    let blocks = proptest::option::of(edgy_u32());
    (edgy_u32(), pages(), mask(), blocks, clamp, piece_cap()).prop_map(
        |(bytes, pages, mask, blocks, clamp, piece_cap)| Voices {
            adapter: AdapterLimits {
                maximum_transfer_length: bytes,
                maximum_physical_pages: pages,
                alignment_mask: mask,
            },
            block_limits: blocks.map(|maximum_transfer_blocks| BlockLimits {
                maximum_transfer_blocks,
            }),
            paired: None,
            clamp: Clamp {
                bytes: clamp.0,
                pages: clamp.1,
                map_registers: clamp.2,
            },
            piece_cap,
        },
    )
}

fn page_rule() -> impl Strategy<Value = PageRule> {
    prop_oneof![
        Just(PageRule::Spans),
        Just(PageRule::Document),
        Just(PageRule::Breaks),
    ]
}

fn physical() -> impl Strategy<Value = Option<PhysicalSector>> {
    let any_numbers = (any::<u32>(), any::<u32>());
    let likely = (9..17_u32, 0..64_u32).prop_map(|(bits, blocks)| (1 << bits, blocks * 512));
    proptest::option::of(prop_oneof![1 => any_numbers, 5 => likely]).prop_map(|pair| {
        pair.map(|(bytes, first_aligned)| PhysicalSector {
            bytes,
            first_aligned,
        })
    })
}

fn options() -> impl Strategy<Value = Options> {
    let boundary = prop_oneof![
        3 => Just(None),
        3 => (12..40_u32).prop_map(|bits| Some(1_u64 << bits)),
        1 => edgy_u64().prop_map(|bytes| Some(bytes.max(65536))),
    ];
    (page_rule(), physical(), boundary, any::<bool>()).prop_map(
        |(page_rule, physical_sector, lba_boundary, balanced)| Options {
            page_rule,
            physical_sector,
            lba_boundary,
            balanced,
        },
    )
}

/// The limits as their definition has them, without the module's help.
struct Definition {
    bytes: u64,
    pages: u64,
    grid: u64,
}

impl Definition {
    fn of(voices: &Voices, sector: u32, va: u64) -> Self {
        let mut bytes = voices.adapter.maximum_transfer_length;
        if let Some(limits) = voices.block_limits {
            let blocks = limits.maximum_transfer_blocks;
            let total = u64::from(blocks) * u64::from(sector);
            if blocks >= 8 && total >= 4096 {
                bytes = bytes.min(u32::try_from(total).unwrap_or(u32::MAX));
            }
        }
        bytes = bytes.min(voices.clamp.bytes.unwrap_or(u32::MAX));
        let pages = voices
            .adapter
            .maximum_physical_pages
            .min(voices.clamp.pages.unwrap_or(u32::MAX))
            .min(voices.clamp.map_registers.unwrap_or(u32::MAX));
        let mut mask = u64::from(voices.adapter.alignment_mask);
        mask = (mask + 1).next_power_of_two() - 1;
        let grid = if va & mask == 0 {
            let sector = u64::from(sector);
            sector / (sector & sector.wrapping_neg()).min(mask + 1) * (mask + 1)
        } else {
            u64::from(sector)
        };
        Self {
            bytes: if bytes == NO_LIMIT {
                u64::MAX
            } else {
                bytes.into()
            },
            pages: if pages == NO_LIMIT {
                u64::MAX
            } else {
                pages.max(1).into()
            },
            grid,
        }
    }
}

/// Checks some pieces of a plan against the definitions.
fn check(voices: &Voices, sector: u32, request: &Request, options: &Options, plan: Plan) {
    let size = u64::from(sector);
    let definition = Definition::of(voices, sector, request.va);
    let mut expected_offset = 0;
    for (index, piece) in plan.pieces(NoFrames).take(LOOK_AT).enumerate() {
        let length = u64::from(piece.length);
        assert_eq!(piece.index, index as u64);
        assert_eq!(piece.offset, expected_offset);
        assert_eq!(piece.lba, request.lba + piece.offset / size);
        expected_offset += length;
        assert!(length > 0 && length.is_multiple_of(size));
        assert!(length <= definition.bytes);
        assert!(length / size <= u64::from(request.command_blocks));
        assert!(touched(request.va % PAGE + piece.offset % PAGE, length) <= definition.pages);
        check_boundary(&piece, options, size);
        let last = expected_offset == request.length;
        assert_eq!(last, piece.bound_by == Bound::End);
        if !last {
            assert!(expected_offset.is_multiple_of(definition.grid));
        }
        if !plan.is_whole() {
            assert!(length <= u64::from(voices.piece_cap.bytes()));
            if options.page_rule == PageRule::Document && definition.pages != u64::MAX {
                assert!(length <= (definition.pages - 1) * PAGE);
            }
        }
        assert_eq!(
            last,
            index as u64 + 1 == plan.count(),
            "count {}",
            plan.count()
        );
    }
    if plan.count() <= LOOK_AT as u64 {
        assert_eq!(expected_offset, request.length);
    }
}

fn check_boundary(piece: &Piece, options: &Options, sector: u64) {
    if let Some(boundary) = options.lba_boundary.filter(|&bytes| bytes != 0) {
        let first = u128::from(piece.lba) * u128::from(sector);
        let last = first + u128::from(piece.length) - 1;
        assert_eq!(
            first / u128::from(boundary),
            last / u128::from(boundary),
            "{piece:?}"
        );
    }
}

proptest! {
    #![proptest_config(config())]

    /// Any limits, any request, any options, up to the ends of the number ranges.
    #[test]
    fn any_request_at_all(
        voices in voices(),
        sector in sector(),
        options in options(),
        va in edgy_u64(),
        lba in edgy_u64(),
        blocks in prop_oneof![3 => 1..5000_u64, 1 => edgy_u64()],
        write in any::<bool>(),
        command_blocks in command_blocks(),
    ) {
        let Ok(limits) = Limits::normalise(&voices, sector) else { return Ok(()) };
        // What does not repeat soon makes the planner visit every piece; a request of 2^60 pieces
        // would take a while.
        let odd = |sector: PhysicalSector| !sector.bytes.is_power_of_two();
        let far = options.lba_boundary.is_some()
            || options.page_rule == PageRule::Breaks
            || options.physical_sector.is_some_and(odd);
        let blocks = if far { blocks % 5000 + 1 } else { blocks };
        let length = u64::from(sector).saturating_mul(blocks);
        let request = Request { va, lba, length, write, command_blocks };
        match Plan::new(&limits, &request, &options, &NoFrames) {
            Ok(plan) => check(&voices, sector, &request, &options, plan),
            Err(Refusal::ZeroLength) => prop_assert_eq!(length, 0),
            Err(Refusal::NotSectorMultiple) => prop_assert!(!length.is_multiple_of(sector.into())),
            Err(Refusal::LbaOverflow) => {
                prop_assert!(lba.checked_add(length / u64::from(sector) - 1).is_none());
            }
            Err(Refusal::Unsplittable { offset, .. }) => prop_assert!(offset < length),
        }
    }

    /// Alignment grids together with disk boundaries beyond 4 GiB, which no given vector has.
    #[test]
    fn alignment_with_boundaries_past_4_gib(
        mask_bits in 1..14_u32,
        sector in prop_oneof![Just(512_u32), Just(520), Just(4096)],
        boundary in prop_oneof![
            (12..44_u32).prop_map(|bits| 1_u64 << bits),
            (1..100_u64).prop_map(|stripes| stripes * 33280 * 4),
        ],
        near in 0..200_u64,
        stripe in 1..1_000_000_u64,
        pages in 2..40_u32,
        blocks in 1..3000_u64,
        aligned in any::<bool>(),
        offset in 0..4096_u64,
    ) {
        let voices = common::voices(1 << 20, pages, (1 << mask_bits) - 1);
        let limits = Limits::normalise(&voices, sector).expect("valid limits");
        // Shortly before a boundary that lies past 4 GiB.
        let disk = ((1_u64 << 33) / boundary + stripe) * boundary;
        let lba = (disk / u64::from(sector)).saturating_sub(near);
        let va = if aligned { 0 } else { offset };
        let request = common::read(va, lba, blocks, sector);
        let options = Options { lba_boundary: Some(boundary), ..Options::default() };
        if let Ok(plan) = Plan::new(&limits, &request, &options, &NoFrames) {
            check(&voices, sector, &request, &options, plan);
            prop_assert_eq!(plan.is_misaligned(), va % (1 << mask_bits) != 0);
        } else {
            // Only where the first cut that keeps the alignment lies behind the boundary or behind
            // the pages.
            let grid = Definition::of(&voices, sector, va).grid;
            let tight = grid > u64::from(sector) || boundary % u64::from(sector) != 0;
            prop_assert!(tight, "refused without need");
        }
    }

    /// The document's rule: whole if it fits by the plain limits, else never more than `pages - 1`
    /// pages long.
    #[test]
    fn document_rule(
        bytes in 512..=u32::MAX,
        pages in 1..100_u32,
        va in any::<u64>(),
        lba in 0..u64::MAX / 2,
        blocks in 1..20_000_u64,
    ) {
        let limits = common::limits(bytes, pages, 0, 512);
        let request = common::read(va, lba, blocks, 512);
        let options = Options { page_rule: PageRule::Document, ..Options::default() };
        let whole = request.length <= u64::from(bytes / 512 * 512)
            && touched(va % PAGE, request.length) <= u64::from(pages);
        let each = u64::from(bytes / 512 * 512).min(u64::from(pages - 1) * PAGE);
        match common::pieces(&limits, &request, &options, &NoFrames) {
            Err(Refusal::Unsplittable { bound: Bound::Pages, .. }) => {
                prop_assert!(!whole && pages == 1);
            }
            Err(other) => prop_assert!(false, "{:?}", other),
            Ok(pieces) if whole => prop_assert_eq!(pieces.len(), 1),
            Ok(pieces) => {
                let (last, others) = pieces.split_last().expect("pieces");
                prop_assert!(others.iter().all(|piece| u64::from(piece.length) == each));
                prop_assert!(u64::from(last.length) <= each);
            }
        }
    }

    /// Physical-sector cuts: every cut of a write is on a boundary unless no boundary could be
    /// reached, and reads are not touched.
    #[test]
    fn physical_sector_cuts(
        exponent in 1..5_u32,
        first in 0..16_u32,
        bytes in prop_oneof![1..20_u32, 100..2000_u32].prop_map(|sectors| sectors * 512),
        pages in 1..40_u32,
        va in 0..8_u64,
        lba in prop_oneof![0..100_u64, (1_u64 << 33)..(1 << 34)],
        blocks in 1..3000_u64,
        write in any::<bool>(),
    ) {
        let size = 512_u64 << exponent;
        let limits = common::limits(bytes, pages, 0, 512);
        let request = Request { write, ..common::read(va * 512, lba, blocks, 512) };
        let physical_sector = Some(PhysicalSector {
            bytes: size as u32,
            first_aligned: first * 512,
        });
        let options = Options { physical_sector, ..Options::default() };
        let pieces = common::pieces(&limits, &request, &options, &NoFrames).expect("splittable");
        if !write {
            let plain = common::pieces(&limits, &request, &Options::default(), &NoFrames);
            prop_assert_eq!(Ok(pieces), plain);
            return Ok(());
        }
        let on_boundary = |block: u64| {
            (block * 512 + 64 * size - u64::from(first) * 512).is_multiple_of(size)
        };
        for piece in &pieces {
            let end = piece.lba + u64::from(piece.length) / 512;
            if end == lba + blocks || on_boundary(end) {
                continue;
            }
            // A cut in the middle of a physical sector: there was no boundary inside the piece.
            prop_assert!((piece.lba + 1..end).all(|block| !on_boundary(block)), "{piece:?}");
        }
    }

    /// Normalised limits are never above what anyone asked for, and invalid ones are invalid for a
    /// reason.
    #[test]
    fn normalised_limits(voices in voices(), sector in prop_oneof![sector(), edgy_u32()]) {
        match Limits::normalise(&voices, sector) {
            Ok(limits) => {
                let definition = Definition::of(&voices, sector, 0);
                let bytes = limits.maximum_bytes().map_or(u64::MAX, u64::from);
                prop_assert!(bytes <= definition.bytes);
                if bytes != u64::MAX {
                    prop_assert!(bytes + u64::from(sector) > definition.bytes);
                    prop_assert!(bytes.is_multiple_of(sector.into()) && bytes > 0);
                }
                let pages = limits.maximum_pages().map_or(u64::MAX, u64::from);
                prop_assert_eq!(pages, definition.pages);
                prop_assert_eq!(limits.granularity(), definition.grid);
                let spans = u64::from(longest_piece(&limits, PageRule::Spans));
                let breaks = u64::from(longest_piece(&limits, PageRule::Breaks));
                prop_assert!(spans <= breaks && breaks <= voices.piece_cap.bytes().into());
            }
            Err(InvalidLimits::SectorSize { bytes }) => {
                prop_assert!(bytes == 0 || bytes > 65536);
            }
            Err(InvalidLimits::ZeroTransferLength) => {
                prop_assert_eq!(voices.adapter.maximum_transfer_length, 0);
            }
            Err(InvalidLimits::BelowOneSector { bytes, sector, .. }) => {
                prop_assert!(bytes < sector);
            }
        }
    }

    /// The macro of wdm.h, where it does not wrap.
    #[test]
    fn span_of_any_range(va in edgy_u64(), length in edgy_u64()) {
        let offset = u128::from(va % PAGE);
        let pages = (offset + u128::from(length)).div_ceil(u128::from(PAGE));
        prop_assert_eq!(u128::from(span_pages(va, length)), pages);
    }
}
