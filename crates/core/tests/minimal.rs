//! Greedy is minimal, and every piece is legal: exhaustive over small worlds.
//!
//! The second opinion shares nothing with the planner. Legality is written from the definitions,
//! range by range, and the smallest number of pieces comes from a shortest-path search over all
//! cuts.

mod common;

use common::{PAGE, touched};
use xfersplit_core::limits::{AdapterLimits, Clamp, Limits, PieceCap, Voices};
use xfersplit_core::plan::{
    Bound, Options, PageFrames, PageRule, PhysicalSector, Piece, Plan, Refusal, Request,
};

/// One small world.
#[derive(Clone, Debug)]
struct World {
    sector: u64,
    va: u64,
    lba: u64,
    blocks: u64,
    bytes: u32,
    pages: u32,
    mask: u64,
    command_blocks: u32,
    boundary: u64,
    physical: Option<(u64, u64)>,
    rule: PageRule,
    frames: Vec<u64>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            sector: 512,
            va: 0,
            lba: 0,
            blocks: 1,
            bytes: u32::MAX,
            pages: u32::MAX,
            mask: 0,
            command_blocks: u32::MAX,
            boundary: 0,
            physical: None,
            rule: PageRule::Spans,
            frames: Vec::new(),
        }
    }
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

impl World {
    fn length(&self) -> u64 {
        self.sector * self.blocks
    }

    fn request(&self) -> Request {
        Request {
            va: self.va,
            lba: self.lba,
            length: self.length(),
            write: true,
            command_blocks: self.command_blocks,
        }
    }

    fn limits(&self) -> Limits {
        let voices = Voices {
            adapter: AdapterLimits {
                maximum_transfer_length: self.bytes,
                maximum_physical_pages: self.pages,
                alignment_mask: self.mask as u32,
            },
            block_limits: None,
            paired: None,
            clamp: Clamp::default(),
            piece_cap: PieceCap::DEFAULT,
        };
        Limits::normalise(&voices, self.sector as u32).expect("valid world")
    }

    fn options(&self, balanced: bool) -> Options {
        Options {
            page_rule: self.rule,
            physical_sector: self.physical.map(|(bytes, first)| PhysicalSector {
                bytes: bytes as u32,
                first_aligned: first as u32,
            }),
            lba_boundary: Some(self.boundary),
            balanced,
        }
    }

    fn pages(&self) -> u64 {
        u64::from(self.pages.max(1))
    }

    /// Physically contiguous runs of a range, page by page.
    fn runs(&self, from: u64, to: u64) -> u64 {
        let first = (self.va % PAGE + from) / PAGE;
        let last = (self.va % PAGE + to - 1) / PAGE;
        let follows = |page: u64| {
            let frame = |index: u64| self.frames.get(index as usize).copied();
            match (frame(page - 1), frame(page)) {
                (Some(before), Some(this)) => this == before + 1,
                _ => false,
            }
        };
        1 + (first + 1..=last).filter(|&page| !follows(page)).count() as u64
    }

    /// Whether one command may move this range, by every limit that is about the range alone.
    fn legal(&self, from: u64, to: u64) -> bool {
        let length = to - from;
        let pages = match self.rule {
            PageRule::Breaks => self.runs(from, to) <= self.pages(),
            PageRule::Spans | PageRule::Document => {
                touched(self.va % PAGE + from, length) <= self.pages()
            }
        };
        let disk = self.lba * self.sector;
        let inside_boundary =
            self.boundary == 0 || (disk + from) / self.boundary == (disk + to - 1) / self.boundary;
        length <= u64::from(self.bytes)
            && length / self.sector <= u64::from(self.command_blocks)
            && pages
            && inside_boundary
    }

    /// Whether a range may be a piece of a request that must be split.
    fn legal_piece(&self, from: u64, to: u64) -> bool {
        let document = self.rule != PageRule::Document
            || self.pages == u32::MAX
            || to - from <= (self.pages() - 1) * PAGE;
        document && self.legal(from, to)
    }

    /// Cuts lie on this grid.
    fn grid(&self) -> u64 {
        if self.va & self.mask == 0 {
            lcm(self.sector, self.mask + 1)
        } else {
            self.sector
        }
    }

    /// Whether a place is a physical sector boundary.
    fn physical_boundary(&self, at: u64) -> bool {
        self.physical.is_some_and(|(bytes, first)| {
            (self.lba * self.sector + at + bytes * 1000 - first).is_multiple_of(bytes)
        })
    }

    /// Every place a piece from `from` may be cut at.
    fn cuts(&self, from: u64) -> Vec<u64> {
        let grid = self.grid();
        let mut cuts: Vec<u64> = (grid..self.length())
            .step_by(grid as usize)
            .filter(|&end| end > from && self.legal_piece(from, end))
            .collect();
        if cuts.iter().any(|&end| self.physical_boundary(end)) {
            cuts.retain(|&end| self.physical_boundary(end));
        }
        cuts
    }

    /// Every place a piece from `from` may end.
    fn ends(&self, from: u64) -> Vec<u64> {
        let length = self.length();
        if self.legal_piece(from, length) {
            // The rest fits: nothing is gained by cutting it, and no wish about cuts applies to an
            // end.
            return vec![length];
        }
        self.cuts(from)
    }

    /// The fewest pieces, by trying everything; `None` if there is no plan.
    fn fewest(&self) -> Option<u64> {
        let length = self.length();
        if self.legal(0, length) {
            return Some(1);
        }
        // Breadth first over the places that can be reached.
        let mut reached = vec![0];
        let mut seen = vec![false; (length / self.sector) as usize + 1];
        let mut count = 0;
        while !reached.is_empty() {
            count += 1;
            let mut next = Vec::new();
            for from in reached {
                for end in self.ends(from) {
                    if end == length {
                        return Some(count);
                    }
                    let place = &mut seen[(end / self.sector) as usize];
                    if !*place {
                        *place = true;
                        next.push(end);
                    }
                }
            }
            reached = next;
        }
        None
    }

    /// The smallest possible longest piece of a plan with `count` pieces.
    fn smallest_maximum(&self, count: u64) -> u64 {
        let length = self.length();
        let places = (length / self.sector) as usize;
        // best[p]: smallest maximum over plans that reach place p with the pieces so far.
        let mut best = vec![u64::MAX; places + 1];
        best[0] = 0;
        for _ in 0..count {
            let mut next = vec![u64::MAX; places + 1];
            for (place, &so_far) in best[..places].iter().enumerate() {
                if so_far == u64::MAX {
                    continue;
                }
                let from = place as u64 * self.sector;
                for end in self.balanced_ends(from) {
                    let longest = so_far.max(end - from);
                    let slot = &mut next[(end / self.sector) as usize];
                    *slot = longest.min(*slot);
                }
            }
            best = next;
        }
        best[places]
    }

    /// Like [`World::ends`], but the rest may be cut although it fits.
    fn balanced_ends(&self, from: u64) -> Vec<u64> {
        let length = self.length();
        let mut ends = self.cuts(from);
        if self.legal_piece(from, length) {
            ends.push(length);
        }
        ends
    }

    fn plan(&self, balanced: bool) -> Result<Vec<Piece>, Refusal> {
        common::pieces(
            &self.limits(),
            &self.request(),
            &self.options(balanced),
            &Frames(&self.frames),
        )
    }

    /// Compares the plan with the second opinion.
    fn check(&self) -> Option<u64> {
        let fewest = self.fewest();
        match (self.plan(false), fewest) {
            (Err(Refusal::Unsplittable { .. }), None) => {}
            (Ok(pieces), Some(fewest)) => {
                assert_eq!(pieces.len() as u64, fewest, "{self:?}\n{pieces:?}");
                self.check_pieces(&pieces);
            }
            (plan, fewest) => panic!("{self:?}: {plan:?}, but {fewest:?}"),
        }
        fewest
    }

    fn check_pieces(&self, pieces: &[Piece]) {
        let whole = self.legal(0, self.length());
        assert_eq!(whole, pieces.len() == 1, "{self:?}");
        for piece in pieces {
            let end = piece.offset + u64::from(piece.length);
            assert!(
                whole || self.legal_piece(piece.offset, end),
                "{self:?} {piece:?}"
            );
            let last = end == self.length();
            assert!(
                last || end.is_multiple_of(self.grid()),
                "{self:?} {piece:?}"
            );
            assert_eq!(last, piece.bound_by == Bound::End, "{self:?} {piece:?}");
            if !last {
                self.check_bound(piece, end);
            }
        }
    }

    /// The reason a piece names is a reason: one more step of the grid would break that very rule.
    fn check_bound(&self, piece: &Piece, end: u64) {
        let more = (end + self.grid()).min(self.length());
        let sectors = u64::from(piece.length) / self.sector;
        let reason = match piece.bound_by {
            Bound::Bytes => more - piece.offset > u64::from(self.bytes),
            Bound::Pages => !World {
                bytes: u32::MAX,
                command_blocks: u32::MAX,
                boundary: 0,
                ..self.clone()
            }
            .legal_piece(piece.offset, more),
            Bound::Cdb => sectors + self.grid() / self.sector > u64::from(self.command_blocks),
            Bound::LbaBoundary => {
                let disk = self.lba * self.sector;
                (disk + piece.offset) / self.boundary != (disk + more - 1) / self.boundary
            }
            Bound::Alignment => !self.legal_piece(piece.offset, more),
            Bound::PhysicalSector => self.physical_boundary(end),
            Bound::End | Bound::PieceCap | Bound::Balance => false,
        };
        assert!(reason, "{self:?} {piece:?}");
    }
}

/// Frames by index; unknown beyond the list.
struct Frames<'a>(&'a [u64]);

impl PageFrames for Frames<'_> {
    fn frame(&self, index: u64) -> Option<u64> {
        self.0.get(usize::try_from(index).ok()?).copied()
    }
}

/// Runs worlds and requires that they contain something to see.
fn check_all(worlds: Vec<World>) {
    let (mut split, mut refused, mut whole) = (0, 0, 0);
    for world in worlds {
        match world.check() {
            None => refused += 1,
            Some(1) => whole += 1,
            Some(_) => split += 1,
        }
    }
    assert!(
        cfg!(miri) || (split > 100 && refused > 0 && whole > 0),
        "{split} {refused} {whole}"
    );
}

/// Every world with every value. Under Miri a few of them, spread over all.
fn product<T: Clone>(worlds: &[World], values: &[T], set: impl Fn(&mut World, T)) -> Vec<World> {
    let all = worlds.len() * values.len();
    let step = if cfg!(miri) { (all / 12) | 1 } else { 1 };
    (0..all)
        .step_by(step)
        .map(|index| {
            let mut world = worlds[index / values.len()].clone();
            set(&mut world, values[index % values.len()].clone());
            world
        })
        .collect()
}

#[test]
fn bytes_pages_and_command_blocks() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[512, 4096], |world, value| world.sector = value);
    worlds = product(&worlds, &[0, 64, 512, 1000, 3584, 4095], |world, value| {
        world.va = value;
    });
    worlds = product(&worlds, &[1, 2, 7, 8, 9, 17, 33, 40], |world, value| {
        world.blocks = value;
    });
    worlds = product(
        &worlds,
        &[4096, 6144, 12288, 65535, u32::MAX],
        |world, value| {
            world.bytes = value;
        },
    );
    worlds = product(&worlds, &[0, 1, 2, 3, 5, u32::MAX], |world, value| {
        world.pages = value;
    });
    worlds = product(&worlds, &[1, 3, 256], |world, value| {
        world.command_blocks = value;
    });
    check_all(worlds);
}

#[test]
fn alignment_and_odd_sectors() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[512, 520, 640], |world, value| {
        world.sector = value;
    });
    worlds = product(&worlds, &[0, 3, 4, 8, 512, 520, 4088], |world, value| {
        world.va = value;
    });
    worlds = product(&worlds, &[1, 8, 24, 41], |world, value| {
        world.blocks = value;
    });
    worlds = product(&worlds, &[1040, 4160, 8192, u32::MAX], |world, value| {
        world.bytes = value;
    });
    worlds = product(&worlds, &[1, 2, 3, u32::MAX], |world, value| {
        world.pages = value;
    });
    worlds = product(&worlds, &[0, 1, 3, 7, 15, 511, 1023], |world, value| {
        world.mask = value;
    });
    check_all(worlds);
}

#[test]
fn boundaries_with_alignment() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[512, 520], |world, value| world.sector = value);
    worlds = product(&worlds, &[0, 8, 512, 3000], |world, value| world.va = value);
    worlds = product(&worlds, &[0, 1, 7, (1 << 33) + 5], |world, value| {
        world.lba = value;
    });
    worlds = product(&worlds, &[1, 9, 30], |world, value| world.blocks = value);
    worlds = product(&worlds, &[2048, 8192], |world, value| world.bytes = value);
    worlds = product(&worlds, &[1, 3], |world, value| world.pages = value);
    worlds = product(&worlds, &[0, 7, 1023], |world, value| world.mask = value);
    worlds = product(
        &worlds,
        &[512, 1024, 1560, 4096, 4160, 5000, 1 << 34],
        |world, value| {
            world.boundary = value;
        },
    );
    check_all(worlds);
}

#[test]
fn physical_sector_cuts() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[0, 64, 512, 3584], |world, value| {
        world.va = value;
    });
    worlds = product(
        &worlds,
        &[0, 1, 5, 7, 8, 63, (1 << 32) + 3],
        |world, value| {
            world.lba = value;
        },
    );
    worlds = product(&worlds, &[1, 8, 9, 20, 37], |world, value| {
        world.blocks = value;
    });
    worlds = product(&worlds, &[1024, 4096, 5120, 9216], |world, value| {
        world.bytes = value;
    });
    worlds = product(&worlds, &[1, 2, 4], |world, value| world.pages = value);
    worlds = product(&worlds, &[0, 1023], |world, value| world.mask = value);
    worlds = product(
        &worlds,
        &[
            (4096, 0),
            (4096, 3584),
            (4096, 512),
            (1024, 0),
            (4096, 100),
            (1536, 512),
            (2560, 0),
        ],
        |world, value| world.physical = Some(value),
    );
    worlds = product(&worlds, &[0, 6144], |world, value| world.boundary = value);
    check_all(worlds);
}

#[test]
fn the_document_rule() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[512, 4096], |world, value| world.sector = value);
    worlds = product(&worlds, &[0, 512, 1000, 4095], |world, value| {
        world.va = value;
    });
    worlds = product(&worlds, &[1, 2, 8, 9, 16, 17, 33, 40], |world, value| {
        world.blocks = value;
    });
    worlds = product(&worlds, &[4096, 6144, 16384, u32::MAX], |world, value| {
        world.bytes = value;
    });
    worlds = product(&worlds, &[0, 1, 2, 3, 5, u32::MAX], |world, value| {
        world.pages = value;
    });
    worlds = product(&worlds, &[0, 8192], |world, value| world.boundary = value);
    for world in &mut worlds {
        world.rule = PageRule::Document;
    }
    check_all(worlds);
}

#[test]
fn physical_breaks() {
    // Every pattern of joins between six frames, and a list that ends too early.
    let mut lists: Vec<Vec<u64>> = (0..32_u64)
        .map(|joins| {
            let mut frame = 10;
            let mut list = vec![frame];
            for join in 0..5 {
                frame += if joins >> join & 1 == 1 { 1 } else { 7 };
                list.push(frame);
            }
            list
        })
        .collect();
    lists.push(vec![10, 11]);
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &lists, |world, value| world.frames = value);
    worlds = product(&worlds, &[512, 4096], |world, value| world.sector = value);
    worlds = product(&worlds, &[0, 512, 3000], |world, value| world.va = value);
    worlds = product(&worlds, &[1, 3, 5, 16, 33, 40], |world, value| {
        world.blocks = value;
    });
    worlds = product(&worlds, &[8192, 12288, u32::MAX], |world, value| {
        world.bytes = value;
    });
    worlds = product(&worlds, &[1, 2, 3], |world, value| world.pages = value);
    for world in &mut worlds {
        world.rule = PageRule::Breaks;
        if world.sector == 4096 {
            world.blocks = world.blocks.min(5);
        }
    }
    check_all(worlds);
}

/// Balanced plans: as many pieces, all legal, and no plan with that many pieces has a shorter
/// longest one.
#[test]
fn balanced_pieces() {
    let mut worlds = vec![World::default()];
    worlds = product(&worlds, &[512, 520], |world, value| world.sector = value);
    worlds = product(&worlds, &[0, 512, 1000], |world, value| world.va = value);
    worlds = product(&worlds, &[0, 3], |world, value| world.lba = value);
    worlds = product(&worlds, &[2, 9, 17, 31, 40], |world, value| {
        world.blocks = value;
    });
    worlds = product(&worlds, &[4160, 8320, 12288], |world, value| {
        world.bytes = value;
    });
    worlds = product(&worlds, &[1, 2, 3], |world, value| world.pages = value);
    worlds = product(&worlds, &[0, 1023], |world, value| world.mask = value);
    worlds = product(&worlds, &[0, 6240, 8192], |world, value| {
        world.boundary = value;
    });
    worlds = product(
        &worlds,
        &[None, Some((4096, 0)), Some((4160, 1040)), Some((1024, 512))],
        |world, value| world.physical = value,
    );
    let mut evened = 0;
    for world in worlds {
        let (Ok(greedy), Ok(balanced)) = (world.plan(false), world.plan(true)) else {
            assert!(world.plan(false).is_err() && world.plan(true).is_err());
            continue;
        };
        assert_eq!(greedy.len(), balanced.len(), "{world:?}");
        let longest = |pieces: &[Piece]| pieces.iter().map(|piece| u64::from(piece.length)).max();
        let smallest = world.smallest_maximum(greedy.len() as u64);
        let reached = longest(&balanced).expect("pieces");
        assert_eq!(reached, smallest, "{world:?} {balanced:?}");
        evened += u32::from(longest(&balanced) < longest(&greedy));
        for piece in &balanced {
            let end = piece.offset + u64::from(piece.length);
            assert!(
                balanced.len() == 1 || world.legal_piece(piece.offset, end),
                "{world:?} {piece:?}"
            );
            assert!(
                end == world.length() || end.is_multiple_of(world.grid()),
                "{world:?} {piece:?}"
            );
        }
    }
    assert!(cfg!(miri) || evened > 100, "{evened}");
}

/// The exact count needs few steps even where the plan has millions of pieces.
#[test]
fn counting_is_not_walking() {
    let world = World {
        va: 64,
        blocks: (1 << 63) / 512,
        pages: 2,
        ..World::default()
    };
    let plan = Plan::new(
        &world.limits(),
        &world.request(),
        &world.options(false),
        &Frames(&[]),
    )
    .expect("splittable");
    // From byte 64 of a page two pages hold 15 sectors; from byte 3648, where that ends, 8 and a
    // bit, for ever.
    let first = 15 * 512;
    assert_eq!(
        plan.count(),
        1 + ((1 << 63) - first as u64).div_ceil(8 * 512)
    );
}
