//! Where the class driver's own arithmetic breaks the limits that it was told, or the machine: what
//! a lower filter that rewrites the adapter descriptor has to keep away from.

use ntsim::World;
use ntsim::abi::STATUS_IO_DEVICE_ERROR;
use ntsim::class::Options;
use ntsim::port::{AdapterReply, Disk, Hba, OnViolation, Violation};
use ntsim::world::{Report, Stack, StackKind};

/// A stack whose adapter says (and takes) these limits, and carries out what exceeds them.
fn world(bytes: u32, pages: u32) -> World {
    let hba = Hba::unlimited()
        .limits(bytes, pages)
        .on_violation(OnViolation::Record);
    World::without_filter().stack(StackKind::Disk).hba(hba)
}

/// Sends one READ at block 0 and gives the pieces' bytes and block counts.
fn pieces(stack: &Stack, length: usize, page_offset: usize) -> Vec<(u32, u32)> {
    let buffer = stack.buffer(length, page_offset);
    stack.read(0, &buffer).send().wait();
    let transfers = stack.port().transfers();
    transfers.iter().map(|at| (at.bytes, at.blocks)).collect()
}

fn kinds(report: &Report) -> Vec<Violation> {
    let mut kinds: Vec<_> = report.violations.iter().map(|at| at.violation).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[test]
fn a_length_that_is_no_whole_page_overruns_the_packets_mdl() {
    let stopped = world(65024, 16)
        .run(|stack| pieces(stack, 131_072, 0))
        .expect_err("the second piece begins in the middle of a page");
    assert_eq!(stopped.code, 0x40, "{stopped}");
    assert!(stopped.story.contains("touch 17 pages"), "{stopped}");
    // In a buffer that begins elsewhere nothing is given back.
    let (seen, report) = world(65024, 16)
        .run(|stack| pieces(stack, 122_880, 512))
        .expect("no bug check");
    assert_eq!(seen, [(61440, 120), (61440, 120)]);
    assert!(report.violations.is_empty());
}

#[test]
fn a_limit_that_is_no_sector_multiple_tears_cdb_and_length_apart() {
    let (seen, report) = world(65535, 32)
        .run(|stack| pieces(stack, 131_072, 512))
        .expect("no bug check");
    assert_eq!(seen[0], (65535, 127));
    assert_eq!(seen[1], (65535, 127));
    assert_eq!(seen[2], (2, 0));
    assert!(kinds(&report).contains(&Violation::CdbLength));
}

#[test]
fn the_page_given_back_exceeds_what_a_10_byte_command_can_ask_for() {
    let length = 65543 * 512;
    let (seen, report) = world(0xFFFF_FFFF, 0xFFFF_FFFF)
        .disk(Disk::pattern(1 << 20, 512, 4))
        .run(move |stack| {
            let facts = stack.class_facts().expect("started");
            assert_eq!(facts.hardware_maximum, 0xFFFF * 512);
            let buffer = stack.buffer_pattern(length, 0, 4);
            stack.read(0, &buffer).send().wait();
            let transfers = stack.port().transfers();
            transfers
                .iter()
                .map(|at| (at.bytes, at.blocks))
                .collect::<Vec<_>>()
        })
        .expect("no bug check");
    assert_eq!(seen, [(length as u32, 7)]);
    assert_eq!(kinds(&report), [Violation::CdbLength]);
}

#[test]
fn one_page_at_a_time_still_touches_two() {
    let (seen, report) = world(65536, 1)
        .run(|stack| pieces(stack, 8192, 512))
        .expect("no bug check");
    assert_eq!(seen, [(4096, 8), (4096, 8)]);
    assert_eq!(kinds(&report), [Violation::Pages]);
}

#[test]
fn a_limit_below_a_page_is_a_page_where_the_buffer_does_not_begin_on_one() {
    let (seen, report) = world(2048, 17)
        .run(|stack| pieces(stack, 8192, 512))
        .expect("no bug check");
    assert_eq!(seen, [(4096, 8), (4096, 8)]);
    assert_eq!(kinds(&report), [Violation::Bytes]);
    let (seen, report) = world(2048, 17)
        .run(|stack| pieces(stack, 8192, 0))
        .expect("no bug check");
    assert_eq!(seen, [(2048, 4); 4]);
    assert!(report.violations.is_empty());
}

#[test]
fn pages_that_do_not_fit_32_bits_of_bytes_make_pieces_of_a_page() {
    let (seen, _) = world(u32::MAX, 0x10_0001)
        .run(|stack| pieces(stack, 16384, 512))
        .expect("no bug check");
    assert_eq!(seen, [(4096, 8); 4]);
}

#[test]
fn page_by_page_a_buffer_that_is_not_on_a_sector_is_cut_inside_one() {
    let options = Options {
        packets: 1,
        low_memory: true,
        ..Options::default()
    };
    let (seen, report) = world(8192, 3)
        .class_options(options)
        .run(|stack| pieces(stack, 12288, 64))
        .expect("no bug check");
    assert_eq!(seen[0], (4032, 7));
    assert_eq!(seen[1], (4096, 8));
    assert!(kinds(&report).contains(&Violation::CdbLength));
}

#[test]
fn a_maximum_of_nothing_is_a_division_by_zero() {
    let stopped = world(0, 17)
        .run(|stack| pieces(stack, 4096, 0))
        .expect_err("the longest piece is 0");
    assert_eq!(stopped.code, 0x1E, "{stopped}");
    // Where the buffer does not begin on a page, the floor of a page saves it.
    let (seen, _) = world(0, 17)
        .run(|stack| pieces(stack, 4096, 512))
        .expect("no bug check");
    assert_eq!(seen, [(4096, 8)]);
}

#[test]
#[should_panic(expected = "the device could not be started")]
fn a_packet_that_no_mdl_can_describe_fails_the_start() {
    let _ = world(0xFFFF_FFFF, 0x10_0000).run(|_| ());
}

#[test]
#[should_panic(expected = "the device could not be started")]
fn a_refused_adapter_descriptor_fails_the_start() {
    let hba = Hba::unlimited().adapter_reply(AdapterReply::Refused(STATUS_IO_DEVICE_ERROR));
    let world = World::without_filter().stack(StackKind::Disk).hba(hba);
    let _ = world.run(|_| ());
}

#[test]
fn a_short_adapter_descriptor_reads_as_zero_behind_its_end() {
    let hba = Hba::unlimited()
        .limits(65536, 17)
        .extended_srb(true)
        .adapter_reply(AdapterReply::Cut {
            length: 24,
            claims: 24,
        });
    World::without_filter()
        .stack(StackKind::Disk)
        .hba(hba)
        .run(|stack| {
            let facts = stack.class_facts().expect("started");
            assert_eq!(facts.maximum_transfer_length, 65536);
            assert!(!facts.extended_srb, "SrbType is beyond the end");
        })
        .expect("no bug check");
}
