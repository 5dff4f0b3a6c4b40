//! The resource ladder: always whole sectors, always downwards, always to an end, and every byte
//! once.

use xfersplit_core::ladder::Ladder;

/// Runs a piece against a driver that takes at most `room` bytes at a time. Returns the tries that
/// went through.
fn run(length: u32, sector: u32, room: u32) -> Result<Vec<(u32, u32)>, u32> {
    let mut ladder = Ladder::new(length, sector);
    let mut through = Vec::new();
    loop {
        let (offset, tried) = (ladder.offset(), ladder.next_length());
        assert!(tried > 0 && tried.is_multiple_of(sector));
        if tried > room {
            let before = tried;
            match ladder.shrink() {
                Some(size) => assert!(size < before && size >= sector),
                None => return Err(ladder.steps()),
            }
            continue;
        }
        through.push((offset, tried));
        if ladder.advance() {
            return Ok(through);
        }
    }
}

/// Sectors of the longest piece tried out.
const MOST: u32 = if cfg!(miri) { 9 } else { 70 };

#[test]
fn every_byte_once() {
    for sector in [512, 520, 4096] {
        for sectors in 1..=MOST {
            for room in 1..=MOST {
                let length = sectors * sector;
                let through = run(length, sector, room * sector).expect("a sector fits");
                let mut offset = 0;
                for (at, bytes) in through {
                    assert_eq!(at, offset);
                    assert!(bytes <= room * sector);
                    offset += bytes;
                }
                assert_eq!(offset, length);
            }
        }
    }
}

#[test]
fn the_end_is_one_sector() {
    for sectors in [1, 2, 3, 8, 255, 256, 8_388_607] {
        let steps = run(sectors * 512, 512, 511).expect_err("nothing fits");
        assert!(steps <= sectors.ilog2() + 1, "{sectors}: {steps}");
        assert_eq!(
            run(sectors * 512, 512, u32::MAX),
            Ok(vec![(0, sectors * 512)])
        );
    }
}

#[test]
fn it_starts_whole_and_counts_its_steps() {
    let mut ladder = Ladder::new(4096, 512);
    assert!(!ladder.is_active());
    assert_eq!(ladder.next_length(), 4096);
    assert_eq!(ladder.shrink(), Some(2048));
    assert!(ladder.is_active());
    assert_eq!(ladder.steps(), 1);
    assert!(!ladder.advance());
    // The size that went through stays.
    assert_eq!((ladder.offset(), ladder.next_length()), (2048, 2048));
    assert!(ladder.advance());
    assert_eq!(ladder.next_length(), 0);
}
