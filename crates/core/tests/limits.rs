//! How limits are weighed: who wins, what is rounded, what is ignored, what is invalid.

mod common;

use common::{NO_LIMIT, blocks, read, voices};
use xfersplit_core::limits::{
    AdapterLimits, BlockLimits, Clamp, Implausible, InvalidLimits, Limits, Notes, PieceCap, Source,
    Voices,
};
use xfersplit_core::plan::{Bound, NoFrames, Options, PageRule, Plan, Refusal, longest_piece};

fn normalise(voices: &Voices) -> Limits {
    Limits::normalise(voices, 512).expect("valid limits")
}

#[test]
fn each_voice_can_only_make_a_limit_stricter() {
    let mut all = voices(1 << 20, 257, 3);
    assert_eq!(normalise(&all).maximum_bytes(), Some(1 << 20));
    assert_eq!(normalise(&all).bytes_source(), Source::Adapter);

    all.block_limits = Some(BlockLimits {
        maximum_transfer_blocks: 1024,
    });
    assert_eq!(normalise(&all).maximum_bytes(), Some(512 * 1024));
    assert_eq!(normalise(&all).bytes_source(), Source::BlockLimits);

    all.clamp = Clamp {
        bytes: Some(2 << 20),
        pages: Some(1000),
        map_registers: Some(300),
    };
    let limits = normalise(&all);
    assert_eq!(limits.maximum_bytes(), Some(512 * 1024));
    assert_eq!(limits.maximum_pages(), Some(257));
    assert_eq!(limits.pages_source(), Source::Adapter);

    all.clamp = Clamp {
        bytes: Some(65536),
        pages: Some(33),
        map_registers: Some(17),
    };
    let limits = normalise(&all);
    assert_eq!(limits.maximum_bytes(), Some(65536));
    assert_eq!(limits.bytes_source(), Source::Setting);
    assert_eq!(limits.maximum_pages(), Some(17));
    assert_eq!(limits.pages_source(), Source::MapRegisters);
    assert_eq!(limits.alignment_mask(), 3);
    assert!(limits.stricter_than(&all.adapter));
    assert!(!normalise(&voices(1 << 20, 257, 3)).stricter_than(&all.adapter));
}

#[test]
fn a_person_who_agrees_with_the_adapter_still_forbids() {
    let mut all = voices(65536, 1, 0);
    all.clamp.pages = Some(1);
    let limits = Limits::normalise(&all, 4096).expect("valid limits");
    let refusal = blocks(&limits, &read(512, 0, 4, 4096));
    let by_setting = Refusal::Unsplittable {
        by: Source::Setting,
        bound: Bound::Pages,
        offset: 0,
    };
    assert_eq!(refusal, Err(by_setting));
}

#[test]
fn unlimited_says_nothing() {
    let limits = normalise(&Voices {
        clamp: Clamp {
            bytes: Some(NO_LIMIT),
            pages: Some(NO_LIMIT),
            map_registers: None,
        },
        ..Voices::adapter(AdapterLimits::NONE)
    });
    assert_eq!(limits.maximum_bytes(), None);
    assert_eq!(limits.maximum_pages(), None);
    assert_eq!(limits.bytes_source(), Source::Adapter);
    assert_eq!(
        longest_piece(&limits, PageRule::Spans),
        PieceCap::DEFAULT.bytes()
    );
}

#[test]
fn invalid_limits() {
    assert_eq!(
        Limits::normalise(&voices(0, 17, 0), 512),
        Err(InvalidLimits::ZeroTransferLength)
    );
    assert_eq!(
        Limits::normalise(&voices(4095, 17, 0), 4096),
        Err(InvalidLimits::BelowOneSector {
            source: Source::Adapter,
            bytes: 4095,
            sector: 4096,
        })
    );
    let mut clamped = voices(65536, 17, 0);
    clamped.clamp.bytes = Some(2048);
    assert_eq!(
        Limits::normalise(&clamped, 4096),
        Err(InvalidLimits::BelowOneSector {
            source: Source::Setting,
            bytes: 2048,
            sector: 4096,
        })
    );
    for bytes in [0, 65537, u32::MAX] {
        assert_eq!(
            Limits::normalise(&voices(65536, 17, 0), bytes),
            Err(InvalidLimits::SectorSize { bytes })
        );
    }
    assert!(Limits::normalise(&voices(65536, 17, 0), 65536).is_ok());
}

#[test]
fn what_was_changed_is_noted() {
    let limits = normalise(&voices(66_000, 0, 5));
    assert_eq!(limits.maximum_bytes(), Some(65536));
    assert_eq!(limits.maximum_pages(), Some(1));
    assert_eq!(limits.alignment_mask(), 7);
    let notes = limits.notes();
    assert_eq!(notes.bytes_rounded_from, Some(66_000));
    assert!(notes.zero_pages_as_one);
    assert!(notes.alignment_mask_filled);
    assert_eq!(notes.block_limits_ignored, None);
    assert_eq!(normalise(&voices(65536, 17, 7)).notes(), Notes::default());
}

#[test]
fn implausible_block_limits_are_ignored() {
    let weigh = |blocks, sector| {
        let mut all = voices(1 << 20, 257, 0);
        all.block_limits = Some(BlockLimits {
            maximum_transfer_blocks: blocks,
        });
        let limits = Limits::normalise(&all, sector).expect("valid limits");
        (limits.maximum_bytes(), limits.notes().block_limits_ignored)
    };
    assert_eq!(weigh(0, 512), (Some(1 << 20), None));
    assert_eq!(weigh(7, 512), (Some(1 << 20), Some(Implausible::FewBlocks)));
    assert_eq!(
        weigh(7, 4096),
        (Some(1 << 20), Some(Implausible::FewBlocks))
    );
    assert_eq!(weigh(8, 256), (Some(1 << 20), Some(Implausible::FewBytes)));
    assert_eq!(weigh(8, 512), (Some(4096), None));
    assert_eq!(weigh(8, 4096), (Some(32768), None));
    assert_eq!(weigh(u32::MAX, 4096), (Some(1 << 20), None));
}

#[test]
fn granularity_is_the_least_common_multiple() {
    let granularity = |mask, sector| {
        Limits::normalise(&voices(1 << 20, 257, mask), sector)
            .expect("valid limits")
            .granularity()
    };
    assert_eq!(granularity(0, 512), 512);
    assert_eq!(granularity(0x1FF, 512), 512);
    assert_eq!(granularity(0xFFF, 512), 4096);
    assert_eq!(granularity(7, 520), 520);
    assert_eq!(granularity(0x1FF, 520), 33280);
    assert_eq!(granularity(u32::MAX, 512), 1 << 32);
}

#[test]
fn the_piece_cap_is_only_for_pieces() {
    assert_eq!(PieceCap::new(0).bytes(), 65536);
    assert_eq!(PieceCap::new(u32::MAX).bytes(), 4088 * 4096);
    assert_eq!(PieceCap::default().bytes(), 8 << 20);
    let unlimited = Voices::adapter(AdapterLimits::NONE);
    let limits = Limits::normalise(&unlimited, 512).expect("valid limits");
    // 64 MiB that the adapter takes goes whole.
    let large = read(0, 0, (64 << 20) / 512, 512);
    let plan = Plan::new(&limits, &large, &Options::default(), &NoFrames).expect("splittable");
    assert!(plan.is_whole());
    // The same with a command that cannot name so many blocks is cut, and then into capped pieces.
    let request = xfersplit_core::plan::Request {
        command_blocks: 0xFFFF,
        ..large
    };
    let plan = Plan::new(&limits, &request, &Options::default(), &NoFrames).expect("splittable");
    assert_eq!(plan.count(), 8);
    let bounds: Vec<Bound> = plan.pieces(NoFrames).map(|piece| piece.bound_by).collect();
    assert_eq!(bounds[..7], [Bound::PieceCap; 7]);
    assert_eq!(bounds[7], Bound::End);
}

#[test]
fn a_buffer_that_breaks_the_mask_is_cut_at_sectors() {
    let limits = Limits::normalise(&voices(1536, 257, 0x3FF), 512).expect("valid limits");
    let aligned = read(0, 0, 8, 512);
    assert_eq!(
        blocks(&limits, &aligned),
        Ok(vec![(0, 2), (2, 2), (4, 2), (6, 2)])
    );
    let broken = read(512, 0, 8, 512);
    assert_eq!(blocks(&limits, &broken), Ok(vec![(0, 3), (3, 3), (6, 2)]));
    let plan = |request| Plan::new(&limits, request, &Options::default(), &NoFrames);
    assert!(!plan(&aligned).expect("plan").is_misaligned());
    assert!(plan(&broken).expect("plan").is_misaligned());
}

#[test]
fn requests_that_are_none() {
    let limits = Limits::normalise(&voices(65536, 17, 0), 512).expect("valid limits");
    let refuse = |lba, length| {
        let request = xfersplit_core::plan::Request {
            length,
            ..read(0, lba, 0, 512)
        };
        Plan::new(&limits, &request, &Options::default(), &NoFrames).err()
    };
    assert_eq!(refuse(0, 0), Some(Refusal::ZeroLength));
    assert_eq!(refuse(0, 513), Some(Refusal::NotSectorMultiple));
    assert_eq!(refuse(u64::MAX, 1024), Some(Refusal::LbaOverflow));
    assert_eq!(refuse(u64::MAX, 512), None);
}

/// Twelve pages and five map registers are three operations [Microsoft, Splitting DMA Transfer
/// Requests].
#[test]
fn twelve_pages_with_five_map_registers() {
    let mut all = voices(NO_LIMIT, NO_LIMIT, 0);
    all.clamp.map_registers = Some(5);
    let limits = normalise(&all);
    let plan = blocks(&limits, &read(0, 0, 96, 512)).expect("splittable");
    assert_eq!(plan, [(0, 40), (40, 40), (80, 16)]);
}

/// The three cases of the storage class document: too long, too many pages, neither.
#[test]
fn the_three_cases_of_the_document() {
    let options = Options {
        page_rule: PageRule::Document,
        ..Options::default()
    };
    let lengths = |limits: &Limits, va, blocks| -> Vec<u32> {
        common::pieces(limits, &read(va, 0, blocks, 512), &options, &NoFrames)
            .expect("splittable")
            .iter()
            .map(|piece| piece.length)
            .collect()
    };
    // 17 pages: neither too long nor too many.
    let adapter = normalise(&voices(65536, 17, 0));
    assert_eq!(lengths(&adapter, 512, 128), [65536]);
    // Too long; the pages would do, so the length stays what it was.
    assert_eq!(lengths(&adapter, 512, 256), [65536, 65536]);
    // Too many pages: one page fewer than allowed, although 16 would fit from a page's start.
    let narrow = normalise(&voices(65536, 16, 0));
    assert_eq!(lengths(&narrow, 512, 128), [61440, 4096]);
    assert_eq!(lengths(&narrow, 0, 256), [61440, 61440, 8192]);
    assert_eq!(lengths(&narrow, 0, 128), [65536]);
}

/// A refusal names whose limit it is: what a person or the device forbids is not sent, what only
/// the adapter's descriptor forbids is sent as it would be without a filter.
#[test]
fn who_forbids() {
    let refuse = |all: &Voices, options: &Options| {
        let limits = normalise(all);
        match Plan::new(&limits, &read(0, 0, 64, 512), options, &NoFrames) {
            Err(Refusal::Unsplittable { by, bound, offset }) => (by, bound, offset),
            other => panic!("{other:?}"),
        }
    };
    let usual = Options::default();
    // Cuts every 8 KiB, at most 4 KiB at a time: whoever said 4 KiB stands in the way.
    let adapter = voices(4096, NO_LIMIT, 0x1FFF);
    assert_eq!(
        refuse(&adapter, &usual),
        (Source::Adapter, Bound::Alignment, 0)
    );
    let mut device = voices(1 << 20, NO_LIMIT, 0x1FFF);
    device.block_limits = Some(BlockLimits {
        maximum_transfer_blocks: 8,
    });
    assert_eq!(
        refuse(&device, &usual),
        (Source::BlockLimits, Bound::Alignment, 0)
    );
    let mut person = voices(1 << 20, NO_LIMIT, 0x1FFF);
    person.clamp.bytes = Some(4096);
    assert_eq!(
        refuse(&person, &usual),
        (Source::Setting, Bound::Alignment, 0)
    );
    person.clamp.bytes = None;
    person.clamp.map_registers = Some(1);
    assert_eq!(
        refuse(&person, &usual),
        (Source::MapRegisters, Bound::Alignment, 0)
    );
    // A boundary inside a sector, and the document's rule with a single page, are settings.
    let boundary = Options {
        lba_boundary: Some(700),
        ..usual
    };
    let plain = voices(1 << 20, 1, 0);
    assert_eq!(
        refuse(&plain, &boundary),
        (Source::Setting, Bound::LbaBoundary, 512)
    );
    let document = Options {
        page_rule: PageRule::Document,
        ..usual
    };
    assert_eq!(
        refuse(&plain, &document),
        (Source::Setting, Bound::Pages, 0)
    );
}

/// The MDLs for pieces are made from this figure at start: a longer piece could not be shown to
/// anybody.
#[test]
fn no_piece_is_longer_than_the_longest_one() {
    let limits = normalise(&voices(64 << 10, 2, 0));
    let adjacent: Vec<u64> = (100..164).collect();
    for (page_rule, expected) in [
        (PageRule::Spans, 8192),
        (PageRule::Document, 4096),
        (PageRule::Breaks, 64 << 10),
    ] {
        let options = Options {
            page_rule,
            ..Options::default()
        };
        let plan = Plan::new(
            &limits,
            &read(0, 0, 512, 512),
            &options,
            adjacent.as_slice(),
        )
        .expect("a plan");
        let longest = plan
            .pieces(adjacent.as_slice())
            .map(|piece| piece.length)
            .max();
        assert_eq!(longest, Some(expected), "{page_rule:?}");
        assert!(
            longest <= Some(longest_piece(&limits, page_rule)),
            "{page_rule:?}"
        );
    }
}
