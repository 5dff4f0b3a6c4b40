//! What SPDK, Linux, classpnp and an independent planner send for the same requests
//! (`tests/vectors`).

// Miri has no files; the plans themselves run under it in the other tests.
#![cfg(not(miri))]

mod common;

use std::path::Path;

use common::{NO_LIMIT, in_blocks, limits, pieces, voices};
use serde::Deserialize;
use xfersplit_core::limits::Limits;
use xfersplit_core::page::span_pages;
use xfersplit_core::plan::{NoFrames, Options, PageRule, Refusal, Request};

fn load<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name);
    let text = std::fs::read_to_string(&path).expect("vector file");
    serde_json::from_str(&text).expect("vector format")
}

#[derive(Deserialize)]
struct PlanFile {
    vectors: Vec<PlanVector>,
}

#[derive(Deserialize)]
struct PlanVector {
    name: String,
    sector_size: u32,
    alignment_mask: u32,
    max_bytes: Option<u32>,
    max_pages: Option<u32>,
    page_rule: String,
    lba_boundary: Option<u64>,
    cdb_blocks: u32,
    page_offset: u64,
    lba: u64,
    blocks: u64,
    pfns: Option<Vec<u64>>,
    expected: Option<Vec<(u64, u64)>>,
    expected_error: Option<String>,
}

impl PlanVector {
    /// The plan as blocks; `None` if there is none, because of the limits themselves or of the
    /// request.
    fn plan(&self) -> Option<Vec<(u64, u64)>> {
        let bytes = self.max_bytes.unwrap_or(NO_LIMIT);
        let pages = self.max_pages.unwrap_or(NO_LIMIT);
        let voices = voices(bytes, pages, self.alignment_mask);
        let limits = Limits::normalise(&voices, self.sector_size).ok()?;
        let request = Request {
            va: self.page_offset,
            lba: self.lba,
            length: self.blocks * u64::from(self.sector_size),
            write: false,
            command_blocks: self.cdb_blocks,
        };
        let options = Options {
            page_rule: match self.page_rule.as_str() {
                "spans" => PageRule::Spans,
                "breaks" => PageRule::Breaks,
                other => panic!("{}: page rule {other}", self.name),
            },
            lba_boundary: self.lba_boundary,
            ..Options::default()
        };
        let frames = self.pfns.clone().unwrap_or_default();
        match pieces(&limits, &request, &options, &&frames[..]) {
            Ok(pieces) => Some(in_blocks(&pieces, self.sector_size)),
            Err(Refusal::Unsplittable { .. }) => None,
            Err(other) => panic!("{}: {other:?}", self.name),
        }
    }
}

#[test]
fn every_plan_vector() {
    let file: PlanFile = load("plan-vectors.json");
    assert_eq!(file.vectors.len(), 384);
    for vector in &file.vectors {
        match &vector.expected_error {
            Some(error) => {
                assert_eq!(error, "unsplittable");
                assert_eq!(vector.plan(), None, "{}", vector.name);
            }
            None => assert_eq!(vector.plan(), vector.expected, "{}", vector.name),
        }
    }
}

#[derive(Deserialize)]
struct PeerFile {
    vectors: Vec<PeerVector>,
    page_span_vectors: Vec<SpanVector>,
}

#[derive(Deserialize)]
struct PeerVector {
    name: String,
    sector_size: u32,
    limits: PeerLimits,
    segments: Vec<Segment>,
    lba: u64,
    blocks: u64,
    expected: Vec<Extent>,
    outcome: String,
    windows: Windows,
}

#[derive(Deserialize)]
struct PeerLimits {
    boundary: Option<u64>,
    max_segment_size: Option<u64>,
}

#[derive(Deserialize)]
struct Segment {
    addr: u64,
    len: u64,
}

#[derive(Deserialize)]
struct Extent {
    lba: u64,
    blocks: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Windows {
    mappable: bool,
    mtl: Option<u32>,
    mpp: Option<u32>,
    page_offset: Option<u64>,
    minimal_children: Option<Vec<Extent>>,
    minimal_count: Option<usize>,
    minimal_status: Option<String>,
    minimal_children_counting_breaks: Option<Vec<Extent>>,
    minimal_children_counting_pages: Option<Vec<Extent>>,
}

fn extents(list: &[Extent]) -> Vec<(u64, u64)> {
    list.iter().map(|one| (one.lba, one.blocks)).collect()
}

impl PeerVector {
    fn plan(&self, page_rule: PageRule, frames: &[u64]) -> Option<Vec<(u64, u64)>> {
        let limits = Limits::normalise(
            &voices(
                self.windows.mtl.unwrap_or(NO_LIMIT),
                self.windows.mpp.unwrap_or(NO_LIMIT),
                0,
            ),
            self.sector_size,
        )
        .ok()?;
        let request = Request {
            va: self.windows.page_offset.unwrap_or(0),
            lba: self.lba,
            length: self.blocks * u64::from(self.sector_size),
            write: false,
            command_blocks: if self.name.contains("cdb10") {
                0xFFFF
            } else {
                u32::MAX
            },
        };
        let options = Options {
            page_rule,
            lba_boundary: self.limits.boundary,
            ..Options::default()
        };
        let pieces = pieces(&limits, &request, &options, &frames).ok()?;
        Some(in_blocks(&pieces, self.sector_size))
    }

    /// The page frames that the physical segments lie in, in order.
    fn frames(&self) -> Vec<u64> {
        let mut frames = Vec::new();
        for segment in &self.segments {
            for page in segment.addr / 4096..=(segment.addr + segment.len - 1) / 4096 {
                if frames.last() != Some(&page) {
                    frames.push(page);
                }
            }
        }
        frames
    }
}

/// Vectors that name the smallest plan: classpnp's, the documents' example, SPDK's without scatter
/// lists.
#[test]
fn peers_with_a_known_minimum() {
    let file: PeerFile = load("peer-vectors.json");
    let mut seen = 0;
    for vector in file.vectors.iter().filter(|one| one.windows.mappable) {
        let Some(minimal) = &vector.windows.minimal_children else {
            continue;
        };
        seen += 1;
        let plan = vector.plan(PageRule::Spans, &[]);
        if vector.windows.minimal_status.as_deref().unwrap_or("ok") != "ok" {
            assert_eq!(plan, None, "{}", vector.name);
            continue;
        }
        let plan = plan.unwrap_or_else(|| panic!("{}: no plan", vector.name));
        let expected = extents(minimal);
        // The lists are cut at 40 entries, the counts are not.
        assert_eq!(plan[..expected.len()], expected[..], "{}", vector.name);
        let count = vector.windows.minimal_count.unwrap_or(expected.len());
        assert_eq!(plan.len(), count, "{}", vector.name);
    }
    assert_eq!(seen, 23);
}

/// Vectors whose splitter knew a disk boundary: there SPDK's own list is the smallest plan.
#[test]
fn peers_with_a_boundary() {
    let file: PeerFile = load("peer-vectors.json");
    let mut seen = 0;
    for vector in &file.vectors {
        let windows = &vector.windows;
        let limits_known = windows.page_offset.is_some() && windows.minimal_children.is_none();
        if !windows.mappable || vector.limits.boundary.is_none() || !limits_known {
            continue;
        }
        seen += 1;
        assert_eq!(vector.outcome, "ok");
        let plan = vector.plan(PageRule::Spans, &[]);
        assert_eq!(plan, Some(extents(&vector.expected)), "{}", vector.name);
    }
    assert_eq!(seen, 11);
}

/// Linux, measured with real page frames: the smallest plan by pages and by physical runs.
#[test]
fn linux_by_pages_and_by_breaks() {
    let file: PeerFile = load("peer-vectors.json");
    let mut seen = 0;
    for vector in &file.vectors {
        let windows = &vector.windows;
        let (Some(by_pages), Some(by_breaks)) = (
            &windows.minimal_children_counting_pages,
            &windows.minimal_children_counting_breaks,
        ) else {
            continue;
        };
        seen += 1;
        let name = &vector.name;
        let plan = vector.plan(PageRule::Spans, &[]);
        assert_eq!(plan, Some(extents(by_pages)), "{name} by pages");
        let frames = vector.frames();
        let plan = vector.plan(PageRule::Breaks, &frames);
        assert_eq!(plan, Some(extents(by_breaks)), "{name} by breaks");
        assert_eq!(vector.limits.max_segment_size, Some(65536));
    }
    assert_eq!(seen, 25);
}

#[derive(Deserialize)]
struct SpanVector {
    name: String,
    addr: u64,
    len: u64,
    span_pages: Option<u64>,
    max_pages: Option<u32>,
    alignment_mask: Option<u32>,
    fits: bool,
}

/// SPDK's page list test: pages touched, and whether the list holds them.
#[test]
fn page_spans() {
    let file: PeerFile = load("peer-vectors.json");
    assert_eq!(file.page_span_vectors.len(), 13);
    for vector in &file.page_span_vectors {
        let name = &vector.name;
        if let Some(pages) = vector.span_pages {
            assert_eq!(span_pages(vector.addr, vector.len), pages, "{name}");
        }
        let limits = limits(
            NO_LIMIT,
            vector.max_pages.unwrap_or(NO_LIMIT),
            vector.alignment_mask.unwrap_or(0),
            512,
        );
        let request = common::read(vector.addr, 0, vector.len / 512, 512);
        let plan =
            xfersplit_core::plan::Plan::new(&limits, &request, &Options::default(), &NoFrames)
                .expect("splittable");
        let aligned = vector.addr & u64::from(vector.alignment_mask.unwrap_or(0)) == 0;
        assert_eq!(plan.is_misaligned(), !aligned, "{name}");
        assert_eq!(plan.is_whole() && aligned, vector.fits, "{name}");
    }
}
