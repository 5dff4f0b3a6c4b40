//! A request of 1 GiB moves whole, with the memory of one window of pieces.

mod common;

use common::{BOTH, adapter, assert_success, run, transfer, world};
use ntsim::World;
use ntsim::port::{Completion, Disk};

const GIB: usize = 1 << 30;
/// Host pages behind disk and memory, which repeat after as many.
const PERIOD: usize = 16;
const PIECE: usize = 128 * 1024;
const WINDOW: u32 = 4;

fn large() -> World {
    let hba = adapter(PIECE, 33).completion(Completion::Later(10..2_000));
    world()
        .disk(Disk::pattern(3 * (GIB as u64) / 512, 512, PERIOD))
        .hba(hba)
        .setting("Window", WINDOW)
}

/// Bytes that the driver held at the most while it did one request of this length.
fn memory_for(length: usize) -> i64 {
    let ((), report) = run(large(), |stack| {
        let buffer = stack.buffer_pattern(length, 0, PERIOD);
        let done = stack.read(0, &buffer).send().wait();
        assert_success(&done, length);
    });
    report.allocations.bytes_peak
}

#[test]
fn there_and_back() {
    for direction in BOTH {
        for (offset, page_offset) in [(0, 0), (512 * 77, 1536)] {
            let ((), report) = run(large(), |stack| {
                stack.port().keep_records(16);
                stack.port().track_placement(true);
                let buffer = stack.buffer_pattern(GIB, page_offset, PERIOD);
                if direction == ntsim::port::Direction::Write {
                    buffer.fill_pattern(offset);
                }
                let done = transfer(stack, direction, offset, &buffer).send().wait();
                assert_success(&done, GIB);
                assert_eq!(stack.disk().mismatched(), 0);
                assert_eq!(
                    stack.port().placement(),
                    buffer.placement(direction, offset, GIB, 512),
                    "every sector in its place, once"
                );
                if page_offset == 0 {
                    assert!(buffer.matches_pattern(offset));
                }
            });
            assert_eq!(report.port.reads + report.port.writes, (GIB / PIECE) as u64);
            assert_eq!(report.port.in_flight_peak, WINDOW);
            assert_eq!(
                report.port.bytes_in_flight_peak,
                u64::from(WINDOW) * PIECE as u64
            );
            assert_eq!(report.port.largest_bytes, PIECE as u32);
        }
    }
}

#[test]
fn with_the_memory_of_a_small_one() {
    let large = memory_for(GIB);
    assert_eq!(large, memory_for(4096));
    // Eight pieces (two windows), each an IRP, an MDL for 33 pages and a request block.
    assert!(large <= 64 * 1024, "{large} bytes");
}
