//! Random worlds, every option together: the planner's plans before the judge, which knows nothing of the planner.

use lab::plan::{Ask, NoPlan, PhysicalSector, plan};
use lab::rng::Rng;
use xfersplit_core::limits::PieceCap;
use xfersplit_core::plan::{Bound, Options, PageRule};
use xfersplit_oracle as oracle;
use xfersplit_oracle::{Request, World, binding, judge, minimum};

/// A random request in a random world.
fn ask(rng: &mut Rng) -> Ask {
    let sector = rng.pick(&[512, 512, 512, 520, 1024, 4096]);
    let alignment_mask = rng.pick(&[0, 0, 1, 3, 7, 511, 1023, 4095]);
    let aligned_offset = rng.below(4096) & !u64::from(alignment_mask);
    let physical_sector = (sector != 520 && rng.percent(40)).then(|| PhysicalSector {
        bytes: rng.pick(&[4096, 8192]),
        first_aligned: sector * rng.below(8) as u32,
    });
    let page_rule = rng.pick(&[
        PageRule::Spans,
        PageRule::Spans,
        PageRule::Document,
        PageRule::Breaks,
    ]);
    let blocks = rng.within(1, 400);
    let length = blocks * u64::from(sector);
    let pages = 1 + (aligned_offset + length) / 4096;
    Ask {
        sector,
        page_offset: aligned_offset,
        lba: rng.pick(&[0, 1, 7, 63, 1 << 23, (1 << 32) - 5, (1 << 40) + 3]) + rng.below(9),
        length,
        write: rng.percent(60),
        maximum_transfer_length: match rng.below(4) {
            0 => u32::MAX,
            1 => rng.within(u64::from(sector), 9000) as u32,
            _ => rng.within(4096, 120_000) as u32,
        },
        maximum_physical_pages: match rng.below(4) {
            0 => u32::MAX,
            1 => rng.below(4) as u32,
            _ => rng.within(2, 30) as u32,
        },
        alignment_mask,
        command_blocks: rng.pick(&[256, 0xFFFF, u32::MAX, 50]),
        piece_cap: if rng.percent(30) {
            PieceCap::new(65536)
        } else {
            PieceCap::NONE
        },
        options: Options {
            page_rule,
            physical_sector,
            lba_boundary: rng
                .percent(40)
                .then(|| rng.pick(&[4096, 8192, 24576, 65536, 1 << 20])),
            balanced: rng.percent(25),
        },
        frames: (page_rule == PageRule::Breaks).then(|| frames(rng, pages)),
    }
}

/// Frames with runs of one to a few.
fn frames(rng: &mut Rng, pages: u64) -> Vec<u64> {
    let mut frames = vec![rng.below(1 << 20)];
    while (frames.len() as u64) < pages {
        let last = frames[frames.len() - 1];
        frames.push(if rng.percent(60) {
            last + 1
        } else {
            rng.below(1 << 20)
        });
    }
    frames
}

fn world(ask: &Ask) -> World {
    let limit = |value: u32| (value != u32::MAX).then_some(u64::from(value));
    let cap = u64::from(ask.piece_cap.bytes());
    World {
        sector: u64::from(ask.sector),
        alignment_mask: u64::from(ask.alignment_mask),
        max_bytes: limit(ask.maximum_transfer_length),
        max_pages: limit(ask.maximum_physical_pages),
        page_rule: match ask.options.page_rule {
            PageRule::Spans => oracle::PageRule::Spans,
            PageRule::Document => oracle::PageRule::Document,
            PageRule::Breaks => oracle::PageRule::Breaks,
        },
        lba_boundary: ask.options.lba_boundary,
        cdb_blocks: limit(ask.command_blocks),
        physical: ask
            .options
            .physical_sector
            .filter(|_| ask.write)
            .map(|physical| oracle::PhysicalSector {
                bytes: u64::from(physical.bytes),
                first: u64::from(physical.first_aligned),
            }),
        split_bytes: (cap != u64::from(u32::MAX)).then_some(cap),
        split_pages: None,
    }
}

#[test]
fn plans_are_legal_and_minimal_in_every_world() {
    let mut rng = Rng::new(0x5EED);
    let mut bounds = [0_u32; Bound::ALL.len()];
    let mut refused = 0;
    for case in 0..60_000 {
        let ask = ask(&mut rng);
        let world = world(&ask);
        let sector = u64::from(ask.sector);
        let request = Request {
            page_offset: ask.page_offset,
            lba: ask.lba,
            blocks: ask.length / sector,
            frames: ask.frames.as_deref().unwrap_or(&[]),
        };
        match plan(&ask) {
            Ok(cuts) => {
                let pieces: Vec<(u64, u64)> = cuts
                    .iter()
                    .map(|cut| (cut.lba, cut.length / sector))
                    .collect();
                // Balanced cuts keep the count and every limit, but may leave physical sectors torn.
                let verdict = judge(&world, &request, &pieces);
                assert_eq!(verdict, Ok(()), "case {case}: {ask:?} {pieces:?}");
                for cut in cuts {
                    bounds[cut.bound.index()] += 1;
                    if !ask.options.balanced {
                        check_bound(
                            &world,
                            &request,
                            cut.offset / sector,
                            cut.length / sector,
                            cut.bound,
                        );
                    }
                }
            }
            Err(NoPlan::Refused(_) | NoPlan::Limits(_)) => {
                refused += 1;
                assert_eq!(
                    minimum(&world, &request),
                    None,
                    "case {case}: {ask:?} was refused"
                );
            }
        }
    }
    for bound in Bound::ALL {
        let seen = bounds[bound.index()];
        assert!(seen >= 1000, "only {seen} pieces bound by {}", bound.name());
    }
    assert!(refused >= 1000, "only {refused} refusals");
}

/// The planner's name for what ended a piece is one of those the judge finds.
fn check_bound(world: &World, request: &Request<'_>, start: u64, blocks: u64, bound: Bound) {
    let found = binding(world, request, start, start + blocks);
    let agreed = match bound {
        Bound::End => start + blocks == request.blocks,
        Bound::Bytes | Bound::PieceCap => found.bytes,
        Bound::Pages => found.pages,
        Bound::Cdb => found.cdb,
        Bound::LbaBoundary => found.boundary,
        Bound::Alignment => found.alignment,
        Bound::PhysicalSector => found.physical || found != oracle::Binding::default(),
        Bound::Balance => false,
    };
    assert!(
        agreed,
        "{bound:?} but {found:?}: {world:?} {request:?} from {start}, {blocks} blocks"
    );
}

/// The given cases, read here once more so that the judge sees them without the lab's own reader.
#[test]
fn the_judge_agrees_with_the_given_vectors() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/plan-vectors.json");
    let text = std::fs::read_to_string(path).expect("the vectors");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert!(vectors.len() >= 384);
    for vector in vectors {
        let number = |name: &str| vector[name].as_u64();
        let frames: Vec<u64> = vector["pfns"]
            .as_array()
            .map(|list| list.iter().filter_map(serde_json::Value::as_u64).collect())
            .unwrap_or_default();
        let world = World {
            sector: number("sector_size").expect("a sector size"),
            alignment_mask: number("alignment_mask").expect("a mask"),
            max_bytes: number("max_bytes"),
            max_pages: number("max_pages"),
            page_rule: match vector["page_rule"].as_str() {
                Some("breaks") => oracle::PageRule::Breaks,
                _ => oracle::PageRule::Spans,
            },
            lba_boundary: number("lba_boundary"),
            cdb_blocks: number("cdb_blocks"),
            ..World::unlimited(512)
        };
        let request = Request {
            page_offset: number("page_offset").expect("an offset"),
            lba: number("lba").expect("a sector"),
            blocks: number("blocks").expect("a length"),
            frames: &frames,
        };
        let name = &vector["name"];
        match vector["expected"].as_array() {
            None => assert_eq!(minimum(&world, &request), None, "{name}"),
            Some(pieces) => {
                let pair =
                    |piece: &serde_json::Value| Some((piece[0].as_u64()?, piece[1].as_u64()?));
                let plan: Vec<(u64, u64)> = pieces.iter().filter_map(pair).collect();
                assert_eq!(judge(&world, &request, &plan), Ok(()), "{name}");
            }
        }
    }
}
