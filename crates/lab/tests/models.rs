//! The models of other splitters reproduce what those were recorded or computed to send.

use std::path::Path;

use lab::models::{self, LinuxLimits, Question, Segment, Sent};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    sector_size: u64,
    limits: Limits,
    segments: Vec<Part>,
    lba: u64,
    blocks: u64,
    expected: Vec<Piece>,
    #[serde(default)]
    violations: Vec<String>,
    windows: serde_json::Value,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the file's")]
struct Limits {
    max_bytes: Option<u64>,
    max_segments: Option<u64>,
    max_segment_size: Option<u64>,
}

#[derive(Deserialize)]
struct Part {
    addr: u64,
    len: u64,
}

#[derive(Deserialize)]
struct Piece {
    lba: u64,
    blocks: u64,
}

fn vectors(family: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/peer-vectors.json");
    let text = std::fs::read_to_string(path).expect("the peer vectors");
    let file: File = serde_json::from_str(&text).expect("the format of the peer vectors");
    let family = format!("{family}/");
    file.vectors
        .into_iter()
        .filter(|vector| vector.name.starts_with(&family))
        .collect()
}

fn pairs(pieces: &[Piece]) -> Vec<(u64, u64)> {
    pieces
        .iter()
        .map(|piece| (piece.lba, piece.blocks))
        .collect()
}

fn sent_pairs(sent: &[Sent]) -> Vec<(u64, u64)> {
    sent.iter().map(|sent| (sent.lba, sent.blocks)).collect()
}

fn question(vector: &Vector) -> Question {
    let descriptor = |value: Option<u64>| value.map_or(u32::MAX, |value| value as u32);
    Question {
        sector: vector.sector_size,
        page_offset: vector.windows["page_offset"].as_u64().expect("an offset"),
        lba: vector.lba,
        length: vector.blocks * vector.sector_size,
        maximum_transfer_length: descriptor(vector.limits.max_bytes),
        maximum_physical_pages: descriptor(vector.limits.max_segments),
        long_commands: false,
    }
}

#[test]
fn classpnp_sends_what_its_arithmetic_says() {
    let all = vectors("classpnp");
    assert!(all.len() >= 13, "{} vectors", all.len());
    for vector in &all {
        let question = question(vector);
        let sent = models::classpnp(&question);
        // The vectors list at most forty pieces.
        let listed = &sent_pairs(&sent)[..sent.len().min(40)];
        assert_eq!(listed, pairs(&vector.expected), "{}", vector.name);
        // What no pages means is left open by the vectors, so they list no violations there.
        if question.maximum_physical_pages != 0 {
            let broken = sent
                .iter()
                .filter(|sent| !models::violations(&question, sent).is_empty());
            let named: std::collections::BTreeSet<_> = vector
                .violations
                .iter()
                .filter_map(|text| text.strip_prefix("piece "))
                .filter_map(|text| text.split([' ', ':']).next())
                .collect();
            assert_eq!(broken.count(), named.len(), "{}", vector.name);
        }
    }
}

#[test]
fn linux_sends_what_was_measured() {
    let all = vectors("linux");
    assert!(all.len() >= 25, "{} vectors", all.len());
    for vector in &all {
        let limits = LinuxLimits {
            sector: vector.sector_size,
            physical: vector.sector_size,
            max_bytes: vector.limits.max_bytes.expect("a limit"),
            max_segments: vector.limits.max_segments.expect("a limit"),
            max_segment_size: vector.limits.max_segment_size.expect("a limit"),
            chunk: None,
        };
        let segments: Vec<Segment> = vector
            .segments
            .iter()
            .map(|part| Segment {
                address: part.addr,
                length: part.len,
            })
            .collect();
        let sent = models::linux(&limits, vector.lba, &segments);
        assert_eq!(
            sent_pairs(&sent),
            pairs(&vector.expected),
            "{}",
            vector.name
        );
    }
}

#[test]
fn the_documents_example_splits_twelve_pages_in_three() {
    let seed = &vectors("seed")[0];
    let question = Question {
        maximum_physical_pages: 6,
        ..question(seed)
    };
    // The historic rule keeps one page back, so five registers are six pages less one.
    let sent = models::document(&question).expect("a split");
    assert_eq!(sent_pairs(&sent), pairs(&seed.expected));
}

#[test]
fn linux_ends_cuts_on_physical_sectors_and_keeps_within_chunks() {
    let limits = LinuxLimits {
        sector: 512,
        physical: 4096,
        max_bytes: 131_072,
        max_segments: 128,
        max_segment_size: 65536,
        chunk: None,
    };
    let buffer = [Segment {
        address: 0,
        length: 1 << 20,
    }];
    let sent = models::linux(&limits, 1, &buffer);
    assert_eq!(sent_pairs(&sent)[..2], [(1, 255), (256, 256)]);
    assert_eq!(sent.len(), 9);
    let striped = LinuxLimits {
        chunk: Some(65536),
        ..limits
    };
    assert_eq!(
        sent_pairs(&models::linux(&striped, 1, &buffer))[..2],
        [(1, 127), (128, 128)]
    );
}

#[test]
fn frames_that_follow_each_other_are_one_segment() {
    let segments = models::segments_of_pages(512, 4 * 4096, &[7, 8, 3, 20, 21]);
    let expected = [(7 * 4096 + 512, 7680), (3 * 4096, 4096), (20 * 4096, 4608)];
    let found: Vec<_> = segments.iter().map(|s| (s.address, s.length)).collect();
    assert_eq!(found, expected);
}
