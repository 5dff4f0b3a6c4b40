//! What the stack above is told holds against classpnp's own arithmetic: with the advertised pair the
//! model of it never sends a packet that breaks an effective limit, with the adapter's own numbers it
//! often does, and where nothing can be advertised no pair would have been safe.

use lab::models::{PAGE, Question, classpnp, violations};
use lab::rng::Rng;
use xfersplit_core::advertise::{Advertised, effective};
use xfersplit_core::limits::{AdapterLimits, BlockLimits, Limits, Voices};
use xfersplit_core::settings::{SettingId, Settings};

const PAIRS: u64 = 100_000;
const SEED: u64 = 0x5EED;
const NO_LIMIT: u32 = u32::MAX;

/// An adapter, its disk, and what was set for it.
#[derive(Clone, Copy, Debug)]
struct Device {
    sector: u32,
    adapter: AdapterLimits,
    block_limits: Option<BlockLimits>,
    settings: Settings,
}

impl Device {
    /// The limits that hold; `None` for a device that everything is passed through to.
    fn limits(&self) -> Option<Limits> {
        let voices = Voices {
            adapter: self.adapter,
            block_limits: self.block_limits,
            paired: None,
            clamp: self.settings.clamp(),
            piece_cap: self.settings.piece_cap,
        };
        Limits::normalise(&voices, self.sector).ok()
    }

    /// What the adapter says itself.
    fn descriptor(&self) -> Advertised {
        Advertised {
            bytes: self.adapter.maximum_transfer_length,
            pages: self.adapter.maximum_physical_pages,
        }
    }
}

/// Sectors that classpnp works with are powers of two; two others for the arithmetic alone.
fn sector(rng: &mut Rng) -> u32 {
    match rng.below(20) {
        0..=9 => 512,
        10..=15 => 4096,
        16 => rng.pick(&[1024, 2048]),
        17 => rng.pick(&[8192, 16384, 32768]),
        18 => 65536,
        _ => rng.pick(&[520, 4160]),
    }
}

/// A number of bytes, mostly one where sums go wrong.
fn bytes(rng: &mut Rng) -> u32 {
    match rng.below(10) {
        0 => rng.pick(&[65024, 65535, 2048, 4095, 4096, 4097, 8191, 0x2_0001]),
        1 => rng.pick(&[
            32 << 20,
            (32 << 20) - 512,
            (32 << 20) + 4096,
            33_553_920,
            256 << 20,
        ]),
        2 => rng.pick(&[
            NO_LIMIT,
            NO_LIMIT - 1,
            0xFFFF_F000,
            0xFFFF_0000,
            0x8000_0000,
            0,
            512,
        ]),
        3 => rng.within(1, 70_000) as u32,
        4 | 5 => rng.within(1, 600) as u32 * 512,
        6 => rng.next_u64() as u32,
        _ => rng.within(1, 300) as u32 * PAGE as u32,
    }
}

/// A number of pages, likewise.
fn pages(rng: &mut Rng) -> u32 {
    match rng.below(8) {
        0 => rng.pick(&[0, 1, 2, 3]),
        1 => rng.pick(&[16, 17, 33, 129, 257]),
        2 => rng.pick(&[0x10_0000, 0x10_0001, 0x10_0002, 0x20_0001, 0x8000_0001]),
        3 => rng.pick(&[NO_LIMIT, NO_LIMIT - 1, 0x2000, 0x2001]),
        4 => rng.next_u64() as u32,
        _ => rng.within(1, 300) as u32,
    }
}

fn device(rng: &mut Rng) -> Device {
    let mut settings = Settings::default();
    for (id, chance) in [
        (SettingId::MaximumTransferLength, 25),
        (SettingId::MaximumPhysicalPages, 25),
        (SettingId::NumberOfMapRegisters, 10),
        (SettingId::AlignmentMask, 10),
    ] {
        if rng.percent(chance) {
            let value = match id {
                SettingId::MaximumTransferLength => bytes(rng),
                SettingId::AlignmentMask => (1 << rng.below(13)) - 1,
                _ => pages(rng),
            };
            // A value that the driver would ignore is ignored here.
            let _ = settings.apply(id, value);
        }
    }
    Device {
        sector: sector(rng),
        adapter: AdapterLimits {
            maximum_transfer_length: bytes(rng),
            maximum_physical_pages: pages(rng),
            alignment_mask: rng.pick(&[0, 0, 1, 3, 7, 511]),
        },
        block_limits: rng.percent(15).then(|| BlockLimits {
            maximum_transfer_blocks: rng.pick(&[0, 1, 8, 9, 127, 128, 0xFFFF, u32::MAX]),
        }),
        settings,
    }
}

/// Offset in its page and length of a buffer, in whole sectors, up to some times as long as packets.
fn buffer(rng: &mut Rng, sector: u64, packet: u64) -> (u64, u64) {
    let offset = match rng.below(5) {
        0 | 1 => 0,
        2 => rng.below(PAGE / 512) * 512,
        3 => rng.below(PAGE / 4) * 4,
        _ => PAGE - 4,
    };
    let length = match rng.below(4) {
        0 => packet,
        1 => packet + PAGE,
        _ => rng.within(1, 4 * packet),
    };
    (offset, length.next_multiple_of(sector))
}

/// Bytes in classpnp's longest packet for a buffer that starts inside a page, `HwMaxXferLen`: each of
/// its packets has an MDL for this and one page (`xferpkt.c`).
fn hardware_maximum(told: Advertised, sector: u32, long_commands: bool) -> u64 {
    let pages = told.pages.saturating_sub(1).wrapping_mul(PAGE as u32);
    let most = told.bytes.min(pages).max(PAGE as u32);
    let commands = if long_commands {
        NO_LIMIT
    } else {
        0xFFFF_u32.wrapping_mul(sector)
    };
    u64::from(most.min(commands))
}

/// How classpnp, told these numbers, first breaks the limits with one buffer.
fn broken(
    limits: &Limits,
    told: Advertised,
    long_commands: bool,
    (page_offset, length): (u64, u64),
) -> Option<String> {
    let sector = limits.sector_size();
    let asked = Question {
        sector: u64::from(sector),
        page_offset,
        lba: 0,
        length,
        maximum_transfer_length: told.bytes,
        maximum_physical_pages: told.pages,
        long_commands,
    };
    let judged = Question {
        maximum_transfer_length: limits.maximum_bytes().unwrap_or(NO_LIMIT),
        maximum_physical_pages: limits.maximum_pages().unwrap_or(NO_LIMIT),
        ..asked
    };
    let sent = classpnp(&asked);
    assert_eq!(sent.iter().map(|packet| packet.length).sum::<u64>(), length);
    let frames = hardware_maximum(told, sector, long_commands) / PAGE + 1;
    // A request that is not split travels with its own MDL.
    let split = sent.len() > 1;
    sent.iter().find_map(|packet| {
        let pages = judged.span(packet.offset, packet.length);
        if split && pages > frames {
            return Some(format!("{pages} pages in an MDL for {frames}"));
        }
        violations(&judged, packet).pop()
    })
}

/// Every pair that might be told to a class driver when little is allowed.
fn small_pairs() -> impl Iterator<Item = Advertised> {
    (1..=20_u32).flat_map(|bytes| {
        [1, 2, bytes, bytes + 1, NO_LIMIT].map(|pages| Advertised {
            bytes: bytes * PAGE as u32,
            pages,
        })
    })
}

/// Whether some buffer gets a packet that breaks a limit under this pair.
fn is_unsafe(limits: &Limits, told: Advertised) -> bool {
    let sector = u64::from(limits.sector_size());
    let length = (4 * u64::from(told.bytes)).next_multiple_of(sector);
    [0, 512, PAGE - 4].into_iter().any(|offset| {
        [true, false]
            .into_iter()
            .any(|long_commands| broken(limits, told, long_commands, (offset, length)).is_some())
    })
}

/// One step more than what is told, or `None` where 32 bits end.
fn one_more(told: Advertised, sector: u32) -> Option<Advertised> {
    let step = (1..=PAGE)
        .map(|times| u64::from(sector) * times)
        .find(|step| step.is_multiple_of(PAGE))?;
    let bytes = u32::try_from(u64::from(told.bytes) + step).ok()?;
    Some(Advertised {
        bytes,
        pages: bytes / PAGE as u32 + 1,
    })
}

#[derive(Debug, Default)]
struct Counts {
    /// Limits that leave no room for a sector: such a device is left alone.
    invalid: u64,
    /// Something can be told.
    usable: u64,
    /// Nothing can.
    refused: u64,
    /// Buffers that were tried with what can be told.
    buffers: u64,
    /// Usable devices for which the adapter's own numbers break a limit with one of the same buffers.
    raw_breaks: u64,
    /// The same where nobody but the adapter had set a limit: classpnp's own corners.
    own_corners: u64,
}

/// Tries several buffers with what is told, and the same with the adapter's own numbers.
fn try_usable(rng: &mut Rng, device: &Device, limits: &Limits, told: Advertised, to: &mut Counts) {
    let sector = u64::from(device.sector);
    let mut raw = false;
    for _ in 0..5 {
        let buffer = buffer(rng, sector, u64::from(told.bytes));
        for long_commands in [true, false] {
            let found = broken(limits, told, long_commands, buffer);
            assert_eq!(found, None, "{device:?} {told:?} {buffer:?}");
            to.buffers += 1;
            let own = device.descriptor();
            // Page counts that wrap make packets of one page: not too many of them.
            let little = (buffer.0, buffer.1.min(40 << 20).next_multiple_of(sector));
            raw = raw || broken(limits, own, long_commands, little).is_some();
        }
    }
    to.raw_breaks += u64::from(raw);
    to.own_corners += u64::from(raw && !limits.stricter_than(&device.adapter));
}

#[test]
fn classpnp_never_exceeds_what_holds_when_told_so() {
    let mut counts = Counts::default();
    for pair in 0..PAIRS {
        let mut rng = Rng::part(SEED, pair);
        let device = device(&mut rng);
        let Some(limits) = device.limits() else {
            counts.invalid += 1;
            continue;
        };
        if let Some(told) = effective(&limits) {
            counts.usable += 1;
            assert!(!told.exceeds(&device.adapter), "{device:?} {told:?}");
            try_usable(&mut rng, &device, &limits, told, &mut counts);
        } else {
            counts.refused += 1;
            for told in small_pairs() {
                assert!(is_unsafe(&limits, told), "{device:?}: {told:?} would do");
            }
        }
    }
    println!("{counts:?}");
    assert_eq!(counts.invalid + counts.usable + counts.refused, PAIRS);
    assert!(counts.usable > PAIRS / 2, "{counts:?}");
    assert!(counts.refused > PAIRS / 20, "{counts:?}");
    assert!(counts.raw_breaks > counts.usable / 4, "{counts:?}");
    assert!(counts.own_corners > counts.usable / 50, "{counts:?}");
}

/// Less would be safe as well, so what is told is the most: a step more breaks something.
#[test]
fn what_is_told_is_the_most_that_is_safe() {
    let mut tried = 0;
    for pair in 0..PAIRS / 10 {
        let mut rng = Rng::part(SEED, pair);
        let device = device(&mut rng);
        let told = device
            .limits()
            .and_then(|limits| Some((limits, effective(&limits)?)));
        let Some((limits, told)) = told else { continue };
        let Some(more) = one_more(told, device.sector) else {
            continue;
        };
        assert!(is_unsafe(&limits, more), "{device:?}: {told:?}, {more:?}");
        tried += 1;
    }
    assert!(tried > PAIRS / 20, "{tried}");
}

/// The known corners of the arithmetic, one by one: the adapter's numbers break a limit, what is told
/// instead does not.
#[test]
fn the_known_corners() {
    let corners = [
        // Bytes, pages, sector, 16-byte commands, page offset, length.
        (65024, 16, 512, true, 0, 256 << 10),
        (65535, NO_LIMIT, 512, true, 0, 1 << 20),
        (NO_LIMIT, NO_LIMIT, 512, false, 0, 40 << 20),
        (64 << 20, NO_LIMIT, 512, false, 0, 64 << 20),
    ];
    for (bytes, pages, sector, long_commands, offset, length) in corners {
        let adapter = AdapterLimits {
            maximum_transfer_length: bytes,
            maximum_physical_pages: pages,
            alignment_mask: 0,
        };
        let limits = Limits::normalise(&Voices::adapter(adapter), sector).expect("valid");
        let own = Advertised { bytes, pages };
        assert!(broken(&limits, own, long_commands, (offset, length)).is_some());
        let told = effective(&limits).expect("usable");
        let found = broken(&limits, told, long_commands, (offset, length));
        assert_eq!(found, None);
    }
    for (bytes, pages) in [(65536, 1), (65536, 0), (2048, 17), (4095, NO_LIMIT)] {
        let adapter = AdapterLimits {
            maximum_transfer_length: bytes,
            maximum_physical_pages: pages,
            alignment_mask: 0,
        };
        let limits = Limits::normalise(&Voices::adapter(adapter), 512).expect("valid");
        assert_eq!(effective(&limits), None);
        let own = Advertised { bytes, pages };
        assert!(broken(&limits, own, true, (512, 64 << 10)).is_some());
    }
}
