//! READ and WRITE through the class driver, with nothing between it and the port: how they are cut,
//! and what the SRBs say.

use ntsim::World;
use ntsim::abi::{
    IRP_NOCACHE, IRP_PAGING_IO, SL_KEY_SPECIFIED, SL_OVERRIDE_VERIFY_VOLUME, SL_WRITE_THROUGH,
    SRB_FLAGS_ADAPTER_CACHE_ENABLE, SRB_FLAGS_DATA_IN, SRB_FLAGS_DATA_OUT,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FLAGS_QUEUE_ACTION_ENABLE,
    STATUS_DEVICE_DATA_ERROR, STATUS_FT_READ_FROM_COPY, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use ntsim::class::Options;
use ntsim::port::{Completion, Disk, Fault, Hba, Kind, PortRecord, Rng};
use ntsim::world::{Stack, StackKind};

const PAGE: u64 = 4096;
/// `SRB_CLASS_FLAGS_PAGING`.
const PAGING: u32 = 0x4000_0000;
/// What disk.sys sets for a fixed disk whose adapter and unit queue.
const DISK_FLAGS: u32 =
    SRB_FLAGS_PORT_DRIVER_ALLOCSENSE | SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE;

fn world() -> World {
    World::without_filter().stack(StackKind::Disk)
}

/// The last READ or WRITE at the port.
fn last(stack: &Stack) -> PortRecord {
    let transfers = stack.port().transfers();
    transfers.last().expect("there was one").clone()
}

#[test]
fn data_arrives_in_both_srb_formats() {
    for extended in [false, true] {
        let ((), report) = world()
            .hba(Hba::unlimited().limits(65536, 17).extended_srb(extended))
            .run(|stack| {
                let buffer = stack.buffer(200 * 1024, 512);
                buffer.fill_with(|index| (index % 251) as u8);
                let done = stack.write(4096, &buffer).send().wait();
                assert!(done.succeeded());
                assert_eq!((done.information, done.completions), (200 * 1024, 1));
                let copy = stack.buffer(200 * 1024, 0);
                assert!(stack.read(4096, &copy).send().wait().succeeded());
                assert_eq!(copy.bytes(), buffer.bytes());
                let transfers = stack.port().transfers();
                assert!(transfers.iter().all(|record| record.extended == extended));
                let counts = stack.class_counts();
                assert_eq!((counts.requests, counts.split), (2, 2));
                assert_eq!(counts.packets, transfers.len() as u64);
                assert_eq!(counts.largest, 65536);
            })
            .expect("no bug check");
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

/// The published formula, written down a second time with numbers that cannot wrap where the class
/// driver's do not.
fn pieces(bytes: u64, pages: u64, offset: u64, length: u64) -> Vec<u64> {
    let by_pages = pages.saturating_sub(1) * PAGE;
    let mut longest = bytes.min(by_pages).clamp(PAGE, 0xFFFF * 512);
    if offset.is_multiple_of(PAGE) {
        longest = (longest + PAGE).min(bytes);
    }
    let whole = length / longest;
    let mut pieces = vec![longest; whole as usize];
    if !length.is_multiple_of(longest) {
        pieces.push(length % longest);
    }
    pieces
}

#[test]
fn the_arithmetic_is_the_published_one_for_many_descriptors() {
    let mut rng = Rng::new(7);
    let rounds = if cfg!(miri) { 6 } else { 120 };
    for round in 0..rounds {
        let bytes = (1 + rng.below(512)) as u32 * 4096;
        let pages = 1 + rng.below(300) as u32;
        let hba = Hba::unlimited()
            .limits(bytes, pages)
            .extended_srb(round % 2 == 0);
        // Limits that the formula itself breaks are tried elsewhere.
        let hba = hba.on_violation(ntsim::port::OnViolation::Record);
        let offset = rng.below(8) * 512;
        let length = (1 + rng.below(2048)) * 512;
        world()
            .hba(hba)
            .run(|stack| {
                let buffer = stack.buffer(length as usize, offset as usize);
                let done = stack.write(0, &buffer).send().wait();
                assert_eq!(done.information, length);
                let expected = pieces(u64::from(bytes), u64::from(pages), offset, length);
                let mut seen: Vec<_> = stack
                    .port()
                    .transfers()
                    .iter()
                    .map(|record| (record.lba * 512, u64::from(record.bytes)))
                    .collect();
                seen.sort_unstable();
                let mut at = 0;
                let expected: Vec<_> = expected
                    .iter()
                    .map(|&piece| {
                        let start = at;
                        at += piece;
                        (start, piece)
                    })
                    .collect();
                assert_eq!(
                    seen, expected,
                    "{bytes} bytes, {pages} pages, {length} at {offset}"
                );
            })
            .expect("no bug check");
    }
}

#[test]
fn a_request_that_fits_carries_the_clients_own_mdl_and_a_part_does_not() {
    world()
        .hba(Hba::unlimited().limits(65536, 17))
        .run(|stack| {
            let buffer = stack.buffer(65536, 0);
            stack.port().capture(true);
            let watched = stack.class_device();
            stack.watch(watched);
            stack.read(0, &buffer).send().wait();
            let arrivals = stack.arrivals(watched);
            assert_eq!(last(stack).mdl, arrivals[0].mdl, "unsplit");
            let buffer = stack.buffer(65536 + 512, 0);
            stack.read(0, &buffer).send().wait();
            let parent = stack.arrivals(watched)[1].mdl;
            let parts = &stack.port().transfers()[1..];
            assert_eq!(parts.len(), 2);
            assert!(parts.iter().all(|part| part.mdl != parent), "split");
            assert_ne!(parts[0].mdl, parts[1].mdl);
        })
        .expect("no bug check");
}

#[test]
fn flags_tags_and_timeouts_are_those_of_disk_sys() {
    for extended in [false, true] {
        world()
            .hba(Hba::unlimited().queue_depth(32).extended_srb(extended))
            .run(|stack| {
                let buffer = stack.buffer(4096, 0);
                stack.read(0, &buffer).send().wait();
                let read = last(stack);
                let cached = DISK_FLAGS | SRB_FLAGS_ADAPTER_CACHE_ENABLE;
                assert_eq!(read.srb_flags, cached | SRB_FLAGS_DATA_IN);
                assert_eq!((read.tag, read.timeout, read.irp_flags), (0x20, 10, 0));
                assert_eq!(read.command()[..2], [0x28, 0]);
                stack.write(0, &buffer).paging().send().wait();
                assert_eq!(last(stack).srb_flags, cached | SRB_FLAGS_DATA_OUT | PAGING);
                let paging = IRP_NOCACHE | IRP_PAGING_IO;
                stack.read(0, &buffer).irp_flags(paging).send().wait();
                assert_eq!(last(stack).srb_flags, cached | SRB_FLAGS_DATA_IN | PAGING);
            })
            .expect("no bug check");
    }
}

#[test]
fn a_write_through_goes_past_the_caches_and_a_read_does_not_care() {
    for force_unit_access in [true, false] {
        let options = Options {
            force_unit_access,
            ..Options::default()
        };
        world()
            .class_options(options)
            .run(|stack| {
                let buffer = stack.buffer(4096, 0);
                let flags = SL_WRITE_THROUGH | SL_OVERRIDE_VERIFY_VOLUME;
                stack.write(0, &buffer).flags(flags).send().wait();
                let write = last(stack);
                assert_eq!(write.srb_flags & SRB_FLAGS_ADAPTER_CACHE_ENABLE, 0);
                assert_eq!(write.command()[1] & 8 != 0, force_unit_access);
                assert_eq!(u32::from(write.stack_flags), flags, "copied down");
                stack.read(0, &buffer).flags(flags).send().wait();
                let read = last(stack);
                assert_ne!(read.srb_flags & SRB_FLAGS_ADAPTER_CACHE_ENABLE, 0);
                assert_eq!(read.command()[1], 0);
            })
            .expect("no bug check");
    }
}

#[test]
fn the_port_finds_the_clients_irp_where_the_class_left_it() {
    for (extended, at) in [(false, 56), (true, 104)] {
        world()
            .hba(Hba::unlimited().limits(8192, 3).extended_srb(extended))
            .run(|stack| {
                stack.port().capture(true);
                stack.port().hold(true);
                let buffer = stack.buffer(16384, 512);
                let pending = stack.read(0, &buffer).send();
                let client = pending.irp_address() as u64;
                stack.port().complete_all();
                pending.wait();
                for record in stack.port().transfers() {
                    let srb = &record.capture.as_ref().expect("captured").srb;
                    let word = srb[at..at + 8].try_into().expect("eight bytes");
                    assert_eq!(u64::from_le_bytes(word), client);
                }
            })
            .expect("no bug check");
    }
}

#[test]
fn a_large_disk_is_addressed_with_16_bytes_and_its_sort_key_is_cut_off() {
    let large = || Disk::memory((1 << 32) + 4096, 512);
    world()
        .disk(large())
        .run(|stack| {
            let facts = stack.class_facts().expect("started");
            assert!(facts.sixteen);
            assert_eq!(facts.last_block, (1 << 32) + 4095);
            stack.port().capture(true);
            let buffer = stack.buffer(4096, 0);
            let done = stack.write(1 << 41, &buffer).send().wait();
            assert!(done.succeeded());
            let write = last(stack);
            assert_eq!((write.command()[0], write.cdb_length), (0x8A, 16));
            assert_eq!((write.lba, write.blocks), (1 << 32, 8));
            let srb = &write.capture.as_ref().expect("captured").srb;
            assert_eq!(srb[64..68], [0xFF; 4], "QueueSortKey");
        })
        .expect("no bug check");
}

#[test]
fn what_disk_sys_refuses_never_reaches_the_port() {
    world()
        .run(|stack| {
            let buffer = stack.buffer(8192, 0);
            let status = |offset: u64, length: u32| {
                let done = stack.read(offset, &buffer).length(length).send().wait();
                (done.status, done.information)
            };
            assert_eq!(status(0, 0), (STATUS_SUCCESS, 0));
            assert_eq!(status(100, 512), (STATUS_INVALID_PARAMETER, 0));
            assert_eq!(status(512, 100), (STATUS_INVALID_PARAMETER, 0));
            // An address that 10 bytes cannot hold.
            assert_eq!(status(1 << 41, 512), (STATUS_INVALID_PARAMETER, 0));
            assert!(stack.port().transfers().is_empty());
            assert_eq!(stack.class_counts().requests, 0);
            // Beyond the disk's end is the device's to say.
            let beyond = stack.disk().geometry().bytes();
            assert!(status(beyond, 512).0 < 0);
            assert_eq!(stack.port().records().last().expect("sent").bytes, 512);
        })
        .expect("no bug check");
}

#[test]
fn sectors_of_4_kib_are_counted_as_such() {
    world()
        .disk(Disk::memory(4096, 4096))
        .hba(Hba::unlimited().limits(65536, 17))
        .run(|stack| {
            assert_eq!(stack.class_facts().expect("started").sector, 4096);
            let buffer = stack.buffer(131_072, 512);
            let done = stack.write(8192, &buffer).send().wait();
            assert_eq!(done.information, 131_072);
            let transfers = stack.port().transfers();
            let seen: Vec<_> = transfers.iter().map(|at| (at.lba, at.blocks)).collect();
            assert_eq!(seen, [(2, 16), (18, 16)]);
            let refused = stack.read(512, &buffer).length(512).send().wait();
            assert_eq!(refused.status, STATUS_INVALID_PARAMETER);
        })
        .expect("no bug check");
}

#[test]
fn a_priority_hint_goes_down_with_every_piece_and_only_then() {
    world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            let buffer = stack.buffer(16384, 512);
            stack.read(0, &buffer).priority(1).send().wait();
            let transfers = stack.port().transfers();
            assert_eq!(transfers.len(), 2);
            assert!(transfers.iter().all(|record| record.priority == 1));
            stack.port().forget_records();
            stack.read(0, &buffer).send().wait();
            let transfers = stack.port().transfers();
            assert!(transfers.iter().all(|record| record.irp_flags == 0));
        })
        .expect("no bug check");
}

#[test]
fn a_read_of_one_copy_says_that_it_was_one() {
    world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            let buffer = stack.buffer(32768, 0);
            let status = |key: u32, flags: u32| {
                let read = stack.read(0, &buffer).key(key).flags(flags);
                read.send().wait().status
            };
            let copy = 0x5243_4E01;
            assert_eq!(status(copy, SL_KEY_SPECIFIED), STATUS_FT_READ_FROM_COPY);
            assert_eq!(status(copy, 0), STATUS_SUCCESS);
            assert_eq!(status(1, SL_KEY_SPECIFIED), STATUS_SUCCESS);
            stack.port().fault(Fault::new(Kind::MediumError).nth(2));
            assert_eq!(status(copy, SL_KEY_SPECIFIED), STATUS_DEVICE_DATA_ERROR);
        })
        .expect("no bug check");
}

#[test]
fn pending_is_marked_if_and_only_if_it_is_returned() {
    for always_pending in [false, true] {
        world()
            .hba(
                Hba::unlimited()
                    .limits(8192, 3)
                    .always_pending(always_pending),
            )
            .run(|stack| {
                let one = stack.buffer(4096, 0);
                let done = stack.read(0, &one).send().wait();
                assert_eq!(done.pending_returned, always_pending);
                assert_eq!(done.returned != 0, always_pending);
                let many = stack.buffer(32768, 0);
                let done = stack.read(0, &many).send().wait();
                assert!(done.pending_returned && done.returned == 0x103);
            })
            .expect("no bug check");
    }
}

#[test]
fn geometry_and_alignment_are_the_class_drivers_to_answer() {
    for reports_alignment in [true, false] {
        let disk = Disk::memory(1 << 17, 512)
            .physical(4096, 1)
            .reports_alignment(reports_alignment);
        world()
            .disk(disk)
            .run(|stack| {
                let geometry = stack.ioctl(0x0007_0000, &[], 24).send().wait();
                let word = |at: usize| {
                    u32::from_le_bytes(geometry.output[at..at + 4].try_into().expect("four"))
                };
                assert_eq!([word(8), word(12), word(16), word(20)], [12, 255, 63, 512]);
                assert_eq!(word(0), (1 << 17) / (255 * 63));
                let mut query = [0; 12];
                query[0] = 6;
                let reply = stack.ioctl(0x002D_1400, &query, 28).send().wait();
                assert_eq!(reply.irp.status, STATUS_SUCCESS);
                assert_eq!(reply.output[16..24], [0, 2, 0, 0, 0, 16, 0, 0]);
                // Block 1 begins a physical sector, so block 0 is the eighth of one.
                let offset = reply.output[24..28].try_into().expect("four bytes");
                assert_eq!(u32::from_le_bytes(offset), 7 * 512);
                let short = stack.ioctl(0x002D_1400, &query[..8], 28).send().wait();
                assert_eq!(short.irp.status, STATUS_INFO_LENGTH_MISMATCH);
                // Everything else passes.
                query[0] = 1;
                let adapter = stack.ioctl(0x002D_1400, &query, 32).send().wait();
                assert_eq!(adapter.irp.information, 32);
            })
            .expect("no bug check");
    }
}

#[test]
fn requests_come_at_dispatch_level_too() {
    world()
        .hba(Hba::unlimited().limits(8192, 3))
        .run(|stack| {
            let buffer = stack.buffer(32768, 512);
            buffer.fill(5);
            stack.port().fault(Fault::new(Kind::QueueFull).times(2));
            let pending = ntsim::ke::raise_to_dispatch(|| stack.write(0, &buffer).send());
            assert!(pending.wait().succeeded());
            let mut bytes = vec![0; 32768];
            stack.disk().peek(0, &mut bytes);
            assert!(bytes.iter().all(|&byte| byte == 5));
        })
        .expect("no bug check");
}

#[test]
fn the_stack_stays_flat_however_often_something_is_sent_again() {
    let deepest = |retries: u32| {
        let options = Options {
            retries,
            ..Options::default()
        };
        let ((), report) = world()
            .class_options(options)
            .run(|stack| {
                let buffer = stack.buffer(4096, 0);
                stack.machine().reset_stack_high_water();
                stack.port().fault(Fault::new(Kind::QueueFull).always());
                assert!(!stack.read(0, &buffer).send().wait().succeeded());
                assert_eq!(stack.class_counts().packets, u64::from(retries) + 1);
            })
            .expect("no bug check");
        report.stack_high_water
    };
    let many = if cfg!(miri) { 8 } else { 500 };
    // Where a thread's stack begins differs by some frames.
    assert!(deepest(many) <= deepest(4) + 4096);
}

#[test]
fn an_srb_from_above_passes_as_it_is() {
    for extended in [false, true] {
        world()
            .hba(Hba::unlimited().limits(8192, 3).extended_srb(extended))
            .run(|stack| {
                stack.disk().poke(512, &[6; 4096]);
                let buffer = stack.buffer(4096, 0);
                let done = stack.scsi_read(1, 8, &buffer, 0, 4096).send().wait();
                assert_eq!((done.srb_status, done.data_length), (1, 4096));
                assert!(buffer.bytes().iter().all(|&byte| byte == 6));
                // The class driver makes nothing of its errors.
                stack.port().fault(Fault::new(Kind::QueueFull));
                let done = stack.scsi_read(1, 8, &buffer, 0, 4096).send().wait();
                assert_eq!(done.scsi_status, 0x28);
                assert_eq!(stack.class_counts(), ntsim::class::ClassCounts::default());
            })
            .expect("no bug check");
    }
}

#[test]
fn a_flush_is_a_synchronize_cache() {
    world()
        .run(|stack| {
            stack.file_system().flush().expect("flushed");
            let records = stack.port().records();
            let last = records.last().expect("something arrived");
            assert_eq!((last.srb_function, last.command()[0]), (Some(0), 0x35));
        })
        .expect("no bug check");
}

#[test]
fn many_requests_at_a_time_keep_to_their_data_on_both_clocks() {
    let clocks = [
        ntsim::Clock::Deterministic { seed: 3 },
        ntsim::Clock::Threads {
            processors: 2,
            seed: 3,
        },
    ];
    for clock in clocks {
        let ((), report) = world()
            .clock(clock)
            .hba(
                Hba::unlimited()
                    .limits(16384, 5)
                    .completion(Completion::Mixed(30, 10..200)),
            )
            .run(|stack| {
                let rounds = if cfg!(miri) { 2 } else { 8 };
                for round in 0..rounds {
                    let buffers: Vec<_> = (0..8_u64)
                        .map(|index| {
                            let buffer = stack.buffer(60 * 1024, (index as usize % 8) * 512);
                            buffer.fill((round * 8 + index) as u8);
                            buffer
                        })
                        .collect();
                    let place = |index: usize| index as u64 * 0x10_0000;
                    let sent: Vec<_> = buffers
                        .iter()
                        .enumerate()
                        .map(|(index, buffer)| stack.write(place(index), buffer).send())
                        .collect();
                    for pending in sent {
                        assert_eq!(pending.wait().information, 60 * 1024);
                    }
                    for (index, buffer) in buffers.iter().enumerate() {
                        let copy = stack.buffer(60 * 1024, 0);
                        stack.read(place(index), &copy).send().wait();
                        assert_eq!(copy.bytes(), buffer.bytes());
                    }
                }
            })
            .expect("no bug check");
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}
