//! The judge, judged: cases worked out on paper, and every small world against an exhaustive search.

use xfersplit_oracle::{
    Binding, Breach, Fault, PageRule, PhysicalSector, Request, World, binding, breach, judge,
    minimum,
};

fn request(page_offset: u64, lba: u64, blocks: u64) -> Request<'static> {
    Request {
        page_offset,
        lba,
        blocks,
        frames: &[],
    }
}

#[test]
fn twelve_pages_with_five_map_registers_take_three_operations() {
    let world = World {
        max_pages: Some(5),
        ..World::unlimited(512)
    };
    let twelve_pages = request(0, 0, 96);
    assert_eq!(minimum(&world, &twelve_pages), Some(3));
    assert_eq!(
        judge(&world, &twelve_pages, &[(0, 40), (40, 40), (80, 16)]),
        Ok(())
    );
    let four = judge(
        &world,
        &twelve_pages,
        &[(0, 40), (40, 40), (80, 8), (88, 8)],
    );
    assert_eq!(
        four,
        Err(Fault::NotMinimal {
            minimum: 3,
            found: 4
        })
    );
}

#[test]
fn an_unaligned_buffer_loses_part_of_its_first_page_only() {
    // 2 pages from offset 512: 7 + 8 = 15 sectors, then 16 at a time: 15 + 16 + 1.
    let world = World {
        max_pages: Some(2),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(512, 0, 32)), Some(3));
    assert_eq!(minimum(&world, &request(512, 0, 31)), Some(2));
    assert_eq!(
        breach(&world, &request(512, 0, 32), 0, 16),
        Some(Breach::Pages)
    );
    assert_eq!(breach(&world, &request(512, 0, 32), 0, 15), None);
}

#[test]
fn a_sector_that_crosses_a_page_needs_two_pages() {
    let one = World {
        max_pages: Some(1),
        ..World::unlimited(4096)
    };
    assert_eq!(minimum(&one, &request(512, 0, 4)), None);
    assert_eq!(minimum(&one, &request(0, 0, 4)), Some(4));
    let two = World {
        max_pages: Some(2),
        ..World::unlimited(4096)
    };
    assert_eq!(minimum(&two, &request(512, 0, 4)), Some(4));
}

#[test]
fn no_pages_counts_as_one() {
    let world = World {
        max_pages: Some(0),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 0, 32)), Some(4));
}

#[test]
fn bytes_are_rounded_down_to_sectors() {
    let world = World {
        max_bytes: Some(65535),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 0, 127)), Some(1));
    assert_eq!(minimum(&world, &request(0, 0, 128)), Some(2));
    let tiny = World {
        max_bytes: Some(511),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&tiny, &request(0, 0, 1)), None);
}

#[test]
fn a_ten_byte_command_names_65535_sectors() {
    let world = World {
        cdb_blocks: Some(0xFFFF),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 0, 65535)), Some(1));
    assert_eq!(minimum(&world, &request(0, 0, 65543)), Some(2));
    assert_eq!(
        breach(&world, &request(0, 0, 65543), 0, 65543),
        Some(Breach::Cdb)
    );
}

#[test]
fn stripes_cut_where_the_disk_says() {
    let world = World {
        lba_boundary: Some(8192),
        ..World::unlimited(512)
    };
    let plan = [(14, 2), (16, 6)];
    assert_eq!(judge(&world, &request(0, 14, 8), &plan), Ok(()));
    let beyond_4_gib = request(0, (1 << 33) + 14, 8);
    assert_eq!(minimum(&world, &beyond_4_gib), Some(2));
    assert_eq!(minimum(&world, &request(0, u64::MAX - 32, 16)), Some(2));
}

#[test]
fn alignment_can_make_a_boundary_impossible() {
    // Pieces of 1024 bytes from byte 512 of the disk always cross a multiple of 1024.
    let world = World {
        alignment_mask: 1023,
        lba_boundary: Some(1024),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 1, 4)), None);
    assert_eq!(minimum(&world, &request(0, 0, 4)), Some(2));
    assert_eq!(
        breach(&world, &request(0, 0, 4), 0, 1),
        Some(Breach::Alignment)
    );
}

#[test]
fn odd_sectors_and_alignment_meet_at_their_common_multiple() {
    let world = World {
        alignment_mask: 511,
        max_bytes: Some(70_000),
        ..World::unlimited(520)
    };
    assert_eq!(world.grain(), 520 * 64);
    // 134 sectors fit in 70 000 bytes; cuts fall on multiples of 64: 128, 128, 44.
    assert_eq!(minimum(&world, &request(0, 0, 300)), Some(3));
}

#[test]
fn runs_of_adjacent_frames_count_once() {
    let world = World {
        max_pages: Some(2),
        page_rule: PageRule::Breaks,
        ..World::unlimited(512)
    };
    let frames = [10, 11, 12, 7, 8, 30];
    let six_pages = Request {
        page_offset: 0,
        lba: 0,
        blocks: 48,
        frames: &frames,
    };
    assert_eq!(minimum(&world, &six_pages), Some(2));
    assert_eq!(judge(&world, &six_pages, &[(0, 40), (40, 8)]), Ok(()));
    assert_eq!(breach(&world, &six_pages, 0, 41), Some(Breach::Pages));
}

#[test]
fn the_document_rule_has_three_cases() {
    let world = World {
        max_bytes: Some(65536),
        max_pages: Some(17),
        page_rule: PageRule::Document,
        ..World::unlimited(512)
    };
    assert_eq!(
        minimum(&world, &request(512, 0, 128)),
        Some(1),
        "neither too long nor too many"
    );
    assert_eq!(
        minimum(&world, &request(0, 0, 129)),
        Some(2),
        "too long: 64 KiB pieces"
    );
    let few = World {
        max_pages: Some(16),
        ..world
    };
    assert_eq!(
        minimum(&few, &request(512, 0, 128)),
        Some(2),
        "17 pages: 60 KiB pieces"
    );
    assert_eq!(
        judge(&few, &request(512, 0, 128), &[(0, 120), (120, 8)]),
        Ok(())
    );
    let one = World {
        max_pages: Some(1),
        ..world
    };
    assert_eq!(minimum(&one, &request(0, 0, 8)), Some(1));
    assert_eq!(minimum(&one, &request(0, 0, 16)), None, "0 pages a piece");
}

#[test]
fn writes_end_on_physical_sectors_when_they_can() {
    let physical = Some(PhysicalSector {
        bytes: 4096,
        first: 0,
    });
    let world = World {
        max_bytes: Some(131_072),
        physical,
        ..World::unlimited(512)
    };
    // 1 MiB from LBA 1: 255, then 7 of 256, then 1.
    assert_eq!(minimum(&world, &request(0, 1, 2048)), Some(9));
    assert_eq!(
        breach(&world, &request(0, 1, 2048), 0, 256),
        Some(Breach::Physical)
    );
    assert_eq!(breach(&world, &request(0, 1, 2048), 0, 255), None);
    let shifted = Some(PhysicalSector {
        bytes: 4096,
        first: 512,
    });
    let world = World {
        physical: shifted,
        ..world
    };
    assert_eq!(minimum(&world, &request(0, 1, 2048)), Some(8));
    let narrow = World {
        max_bytes: Some(1024),
        physical,
        ..World::unlimited(512)
    };
    assert_eq!(
        minimum(&narrow, &request(0, 0, 16)),
        Some(8),
        "torn where nothing else fits"
    );
}

#[test]
fn a_cap_on_split_pieces_leaves_whole_requests_alone() {
    let world = World {
        max_bytes: Some(1 << 26),
        split_bytes: Some(8 << 20),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 0, 1 << 17)), Some(1));
    assert_eq!(minimum(&world, &request(0, 0, (1 << 17) + 1)), Some(9));
}

#[test]
fn what_stopped_a_piece_is_named() {
    let world = World {
        max_bytes: Some(4096),
        max_pages: Some(1),
        ..World::unlimited(512)
    };
    let both = binding(&world, &request(0, 0, 32), 0, 8);
    assert!(both.bytes && both.pages && !both.cdb && !both.alignment);
    let aligned = World {
        alignment_mask: 1023,
        max_bytes: Some(3584),
        ..World::unlimited(512)
    };
    let by_grain = binding(&aligned, &request(0, 0, 32), 0, 6);
    assert!(by_grain.alignment && !by_grain.bytes);
    assert_eq!(binding(&world, &request(0, 0, 8), 0, 8), Binding::default());
}

#[test]
fn a_gigabyte_is_judged_at_once() {
    let world = World {
        max_bytes: Some(131_072),
        max_pages: Some(33),
        ..World::unlimited(512)
    };
    assert_eq!(minimum(&world, &request(0, 0, 1 << 21)), Some(8192));
}

#[test]
fn plans_that_miss_or_repeat_sectors_are_refused() {
    let world = World {
        max_bytes: Some(4096),
        ..World::unlimited(512)
    };
    let sixteen = request(0, 100, 16);
    let gap = judge(&world, &sixteen, &[(100, 8), (107, 8)]);
    assert_eq!(
        gap,
        Err(Fault::Gap {
            piece: 1,
            expected: 108,
            found: 107
        })
    );
    let short = judge(&world, &sixteen, &[(100, 8)]);
    assert_eq!(
        short,
        Err(Fault::Cover {
            expected: 16,
            found: 8
        })
    );
    let long = judge(&world, &sixteen, &[(100, 8), (108, 9)]);
    assert_eq!(
        long,
        Err(Fault::Cover {
            expected: 16,
            found: 17
        })
    );
    let fat = judge(&world, &sixteen, &[(100, 9), (109, 7)]);
    assert_eq!(
        fat,
        Err(Fault::Illegal {
            piece: 0,
            breach: Breach::Bytes
        })
    );
    let empty = judge(&world, &sixteen, &[(100, 0), (100, 8), (108, 8)]);
    assert_eq!(
        empty,
        Err(Fault::Illegal {
            piece: 0,
            breach: Breach::Range
        })
    );
}

/// The fewest pieces by trying every set of cuts with `breach` alone.
fn exhaustive(world: &World, request: &Request<'_>) -> Option<u64> {
    let cuts = request.blocks - 1;
    (0..1_u64 << cuts)
        .filter_map(|mask| {
            let mut start = 0;
            let mut pieces = 0;
            for end in 1..=request.blocks {
                if end == request.blocks || mask >> (end - 1) & 1 == 1 {
                    if breach(world, request, start, end).is_some() {
                        return None;
                    }
                    start = end;
                    pieces += 1;
                }
            }
            Some(pieces)
        })
        .min()
}

#[test]
fn the_table_agrees_with_trying_every_set_of_cuts() {
    let frames = [3, 4, 9, 10, 11, 2, 40, 41, 42, 43, 44, 45, 46, 47];
    let physicals = [
        None,
        Some(PhysicalSector {
            bytes: 4096,
            first: 0,
        }),
        Some(PhysicalSector {
            bytes: 4096,
            first: 1024,
        }),
    ];
    let mut cases = 0;
    for page_rule in [PageRule::Spans, PageRule::Document, PageRule::Breaks] {
        for physical in physicals {
            for (max_bytes, max_pages) in [
                (None, Some(1)),
                (Some(3000), None),
                (Some(9000), Some(2)),
                (Some(20480), Some(3)),
            ] {
                for (alignment_mask, lba_boundary, cdb_blocks) in [
                    (0, None, None),
                    (1023, None, Some(7)),
                    (0, Some(8192), Some(5)),
                    (2047, Some(6144), None),
                ] {
                    for (page_offset, lba, blocks) in
                        [(0, 0, 11), (512, 3, 12), (3584, 1 << 40, 10), (100, 7, 9)]
                    {
                        for sector in [512, 1024] {
                            let world = World {
                                alignment_mask,
                                max_bytes,
                                max_pages,
                                page_rule,
                                lba_boundary,
                                cdb_blocks,
                                physical,
                                ..World::unlimited(sector)
                            };
                            let request = Request {
                                page_offset,
                                lba,
                                blocks,
                                frames: &frames,
                            };
                            assert_eq!(
                                minimum(&world, &request),
                                exhaustive(&world, &request),
                                "{world:?} {request:?}"
                            );
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 3 * 3 * 4 * 4 * 4 * 2);
}
