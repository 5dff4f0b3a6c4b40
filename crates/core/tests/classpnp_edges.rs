//! The places where classpnp's own arithmetic leaves the limits it was given, each as a regression
//! test.
//!
//! [`classpnp`] is a model of the published sums (`xferpkt.c`, `InitializeTransferPackets`;
//! `class.c`, `ClassReadDriveCapacity` and `ServiceTransferRequest`). Each test first shows that
//! the model does break a limit, then that the planner does not.

mod common;

use common::{NO_LIMIT, PAGE, limits, read, touched};
use xfersplit_core::cdb::{CdbSize, Direction, Flags, encode};
use xfersplit_core::ladder::Ladder;
use xfersplit_core::limits::{InvalidLimits, Limits, Source};
use xfersplit_core::plan::{Bound, NoFrames, Options, Refusal, Request};

/// An adapter as classpnp sees it.
struct Adapter {
    bytes: u32,
    pages: u32,
    ten_byte_commands: bool,
}

/// Offset and length of the packets that classpnp sends.
fn classpnp(adapter: &Adapter, va: u64, length: u64) -> Vec<(u64, u64)> {
    let pages = adapter.pages.saturating_sub(1);
    let mut limit = adapter.bytes.min(pages.wrapping_shl(12)).max(PAGE as u32);
    if adapter.ten_byte_commands {
        limit = limit.min(0xFFFF << 9);
    }
    if va.is_multiple_of(PAGE) && limit.checked_add(PAGE as u32).is_some() {
        limit = adapter.bytes.min(limit + PAGE as u32);
    }
    let limit = u64::from(limit);
    (0..length.div_ceil(limit))
        .map(|index| (index * limit, limit.min(length - index * limit)))
        .collect()
}

/// Whether some packet touches more pages than the adapter takes.
fn too_many_pages(adapter: &Adapter, va: u64, packets: &[(u64, u64)]) -> bool {
    packets
        .iter()
        .any(|&(offset, length)| touched(va + offset, length) > u64::from(adapter.pages))
}

/// Plans the same request and checks every piece against the adapter.
fn ours(adapter: &Adapter, va: u64, length: u64) -> Vec<(u64, u64)> {
    let limits = limits(adapter.bytes, adapter.pages, 0, 512);
    let request = Request {
        command_blocks: if adapter.ten_byte_commands {
            CdbSize::Ten.max_blocks()
        } else {
            CdbSize::Sixteen.max_blocks()
        },
        ..read(va, 0, length / 512, 512)
    };
    let pieces = common::pieces(&limits, &request, &Options::default(), &NoFrames);
    let pieces = pieces.expect("splittable");
    for piece in &pieces {
        let length = u64::from(piece.length);
        assert!(length <= u64::from(adapter.bytes), "{piece:?}");
        assert!(
            touched(va + piece.offset, length) <= u64::from(adapter.pages),
            "{piece:?}"
        );
        assert!(
            length / 512 <= u64::from(request.command_blocks),
            "{piece:?}"
        );
    }
    pieces
        .iter()
        .map(|piece| (piece.offset, piece.length.into()))
        .collect()
}

#[test]
fn aligned_bonus_is_not_kept_for_later_pieces() {
    let adapter = Adapter {
        bytes: 65024,
        pages: 16,
        ten_byte_commands: false,
    };
    let packets = classpnp(&adapter, 0, 256 * 1024);
    assert_eq!(packets[1], (65024, 65024));
    assert_eq!(touched(65024, 65024), 17);
    // The packet's MDL has room for 16: IoBuildPartialMdl would write beyond it.
    assert!(too_many_pages(&adapter, 0, &packets));

    let pieces = ours(&adapter, 0, 256 * 1024);
    assert_eq!(pieces[0], (0, 65024));
    // From 3584 bytes into a page, sixteen pages hold 61952 bytes; then the buffer is at a page
    // again.
    assert_eq!(pieces[1], (65024, 61952));
    assert_eq!(pieces[2], (126_976, 65024));
}

#[test]
fn ragged_transfer_length_is_rounded_to_sectors() {
    let adapter = Adapter {
        bytes: 65535,
        pages: NO_LIMIT,
        ten_byte_commands: false,
    };
    let packets = classpnp(&adapter, 0, 1 << 20);
    assert!(!packets[0].1.is_multiple_of(512));

    let pieces = ours(&adapter, 0, 1 << 20);
    assert!(pieces.iter().all(|piece| piece.1.is_multiple_of(512)));
    assert_eq!(pieces[0], (0, 65024));
    let limits = limits(65535, NO_LIMIT, 0, 512);
    assert_eq!(limits.notes().bytes_rounded_from, Some(65535));
}

#[test]
fn ten_byte_commands_never_overflow_their_block_count() {
    let adapter = Adapter {
        bytes: NO_LIMIT,
        pages: NO_LIMIT,
        ten_byte_commands: true,
    };
    let packets = classpnp(&adapter, 0, 40 << 20);
    assert_eq!(packets[0].1 / 512, 65543);
    assert_eq!((packets[0].1 / 512) as u16, 7);

    let pieces = ours(&adapter, 0, 40 << 20);
    assert_eq!(pieces[0], (0, 0xFFFF * 512));
    for (offset, length) in pieces {
        let command = encode(
            CdbSize::Ten,
            Direction::Read,
            offset / 512,
            (length / 512) as u32,
            Flags::default(),
        );
        assert!(command.is_ok());
    }
}

#[test]
fn one_page_from_the_middle_of_a_page() {
    let adapter = Adapter {
        bytes: 65536,
        pages: 1,
        ten_byte_commands: false,
    };
    let packets = classpnp(&adapter, 512, 16384);
    assert!(too_many_pages(&adapter, 512, &packets));

    let pieces = ours(&adapter, 512, 16384);
    assert_eq!(
        pieces,
        [
            (0, 3584),
            (3584, 4096),
            (7680, 4096),
            (11776, 4096),
            (15872, 512)
        ]
    );
}

#[test]
fn one_page_and_a_sector_that_crosses_it_has_no_plan() {
    let limits = limits(65536, 1, 0, 4096);
    let plan = common::blocks(&limits, &read(512, 0, 4, 4096));
    assert_eq!(
        plan,
        Err(Refusal::Unsplittable {
            by: Source::Adapter,
            bound: Bound::Pages,
            offset: 0,
        })
    );
}

#[test]
fn less_than_a_page_at_a_time() {
    let adapter = Adapter {
        bytes: 2048,
        pages: NO_LIMIT,
        ten_byte_commands: false,
    };
    let packets = classpnp(&adapter, 512, 8192);
    assert!(packets.iter().any(|packet| packet.1 > 2048));

    let pieces = ours(&adapter, 512, 8192);
    assert_eq!(pieces.len(), 4);
    let below = Limits::normalise(&common::voices(511, 17, 0), 512);
    assert!(matches!(below, Err(InvalidLimits::BelowOneSector { .. })));
}

#[test]
fn page_counts_that_wrap_in_32_bits() {
    let adapter = Adapter {
        bytes: 1 << 20,
        pages: 0x10_0001,
        ten_byte_commands: false,
    };
    let packets = classpnp(&adapter, 512, 1 << 20);
    assert_eq!(packets.len(), 256);

    assert_eq!(ours(&adapter, 512, 1 << 20), [(0, 1 << 20)]);
    assert_eq!(ours(&adapter, 512, 4 << 20).len(), 4);
}

#[test]
fn low_memory_chunks_stay_whole_sectors() {
    // classpnp cuts to the end of the page, whatever is left of a sector there.
    let chunk = PAGE - (64 + 512) % PAGE;
    assert!(!chunk.is_multiple_of(512));

    let mut ladder = Ladder::new(65024, 512);
    let mut sizes = Vec::new();
    while let Some(size) = ladder.shrink() {
        sizes.push(size);
    }
    assert_eq!(sizes, [32256, 15872, 7680, 3584, 1536, 512]);
}

/// Random descriptors: classpnp leaves them often, the planner never.
#[test]
fn never_outside_where_classpnp_is() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let rounds = if cfg!(miri) { 20 } else { 20_000 };
    let mut broken = 0;
    for _ in 0..rounds {
        let adapter = Adapter {
            bytes: 512 + random(1 << 20) as u32,
            pages: 1 + random(64) as u32,
            ten_byte_commands: random(2) == 0,
        };
        let va = random(8) * 512;
        let length = (1 + random(4096)) * 512;
        let packets = classpnp(&adapter, va, length);
        let long = packets
            .iter()
            .any(|packet| packet.1 > u64::from(adapter.bytes));
        let ragged = packets.iter().any(|packet| !packet.1.is_multiple_of(512));
        if long || ragged || too_many_pages(&adapter, va, &packets) {
            broken += 1;
        }
        ours(&adapter, va, length);
    }
    assert!(cfg!(miri) || broken > 1000, "{broken}");
}
