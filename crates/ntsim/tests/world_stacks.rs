//! The stacks that a world can build, without a driver under test: what is written at the top lies
//! on the disk and comes back, with either format of request block, and so does a file system's.

use ntsim::abi::{
    IRP_MJ_READ, IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, SL_WRITE_THROUGH,
    STATUS_INVALID_PARAMETER,
};
use ntsim::pnp::Usage;
use ntsim::port::{Disk, Fault, Hba, Kind, PortRecord, Sense};
use ntsim::world::{File, FsError, Mode, Stack};
use ntsim::{Clock, Report, StackKind, World};

const KINDS: [StackKind; 3] = [StackKind::Port, StackKind::Disk, StackKind::Relay];
const KIB: usize = 1024;

/// An adapter with room for whatever a file system sends, in one format of request block.
fn adapter(extended: bool) -> Hba {
    Hba::unlimited().extended_srb(extended)
}

fn run<T: Send>(world: World, scenario: impl FnOnce(&Stack) -> T + Send) -> (T, Report) {
    let (value, report) = world.run(scenario).expect("no bug check");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert_eq!(report.sent, report.finished, "everything came back");
    (value, report)
}

/// Bytes that differ from place to place.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(31) >> 3) as u8 ^ seed.wrapping_mul(at as u8 | 1);
    (0..length).map(byte).collect()
}

fn write_and_read_back(stack: &Stack) {
    for (number, length) in [512, 4096, 72 * 512, 300 * KIB].into_iter().enumerate() {
        let offset = (number as u64 + 1) << 20;
        let data = noise(length, number as u8);
        let source = stack.buffer(length, 512);
        source.write(0, &data);
        let done = stack.write(offset, &source).send().wait();
        assert!(done.succeeded(), "{done:x?}");
        assert_eq!(done.information, length as u64);
        let mut medium = vec![0; length];
        stack.disk().peek(offset, &mut medium);
        assert!(medium == data, "{length} bytes lie where they belong");
        let target = stack.buffer(length, 0);
        let done = stack.read(offset, &target).send().wait();
        assert!(done.succeeded(), "{done:x?}");
        assert!(target.bytes() == data, "{length} bytes come back");
    }
}

#[test]
fn what_is_written_comes_back() {
    for kind in KINDS {
        for extended in [false, true] {
            let world = World::without_filter().stack(kind).hba(adapter(extended));
            let ((), report) = run(world, |stack| {
                assert_eq!(stack.kind(), kind);
                write_and_read_back(stack);
                let data = |record: &&PortRecord| record.direction.is_some();
                let records = stack.port().records();
                assert!(
                    records
                        .iter()
                        .filter(data)
                        .all(|one| one.extended == extended)
                );
            });
            assert_eq!(report.class.is_some(), kind != StackKind::Port, "{kind:?}");
        }
    }
}

#[test]
fn the_class_driver_keeps_to_the_adapters_limits() {
    for extended in [false, true] {
        let hba = adapter(extended).limits(64 << 10, 17);
        let world = World::without_filter().stack(StackKind::Disk).hba(hba);
        let ((), report) = run(world, |stack| {
            let facts = stack.class_facts().expect("a started class driver");
            assert_eq!(facts.maximum_transfer_length, 64 << 10);
            assert_eq!(facts.extended_srb, extended);
            write_and_read_back(stack);
        });
        let class = report.class.expect("a class driver");
        assert!(class.split > 0, "{class:?}");
        assert_eq!(class.packets, report.port.reads + report.port.writes);
        assert!(report.port.largest_bytes <= 64 << 10);
    }
}

#[test]
fn a_request_can_go_past_the_class_driver() {
    let world = World::without_filter().stack(StackKind::Relay);
    let ((), report) = run(world, |stack| {
        assert_ne!(stack.below_class(), stack.class_device());
        let buffer = stack.buffer(4096, 0);
        let above = stack.class_counts();
        let read = stack.scsi_read(8, 8, &buffer, 0, 4096).below_class();
        assert!(read.send().wait().irp.succeeded());
        // A port speaks SRBs.
        assert!(
            !stack
                .read(0, &buffer)
                .below_class()
                .send()
                .wait()
                .succeeded()
        );
        assert_eq!(
            stack.class_counts(),
            above,
            "the class driver has not seen them"
        );
    });
    assert!(report.port.reads >= 1);
}

/// Files of sizes that suit nobody, written in every way there is.
fn work_on_files(stack: &Stack) -> Vec<File> {
    let fs = stack.file_system();
    let create = |name: &str, bytes| fs.create(name, bytes).expect("room for a file");
    let (swap, program, mapped) = (
        create("pagefile", 3 << 20),
        create("program", 1_000_003),
        create("mapped", 777 * KIB + 5),
    );
    swap.fill(1, Mode::PAGE_WRITER).expect("pages go out");
    program
        .fill(2, Mode::UNCACHED.sizes(512, 3 << 20))
        .expect("a program writes");
    mapped
        .fill(3, Mode::LAZY_WRITER)
        .expect("the cache is written");
    program
        .write(512 * 3, &noise(512 * 1027, 9), Mode::WRITE_THROUGH)
        .expect("and once more");
    mapped
        .write(
            4097,
            &noise(70_001, 4),
            Mode::PAGE_WRITER.sizes(4096, 64 * KIB),
        )
        .expect("pages of it");
    swap.read(20 * 4096, 300 * KIB, Mode::PAGE_FAULT)
        .expect("pages come in");
    program
        .read(0, program.len(), Mode::UNCACHED)
        .expect("all of it");
    mapped
        .read(1, mapped.len() - 1, Mode::READ_AHEAD)
        .expect("read ahead");
    let gone = create("gone", 100 * KIB);
    gone.fill(5, Mode::LAZY_WRITER).expect("written");
    fs.delete(&gone).expect("deleted");
    fs.flush().expect("flushed");
    let compared = fs.verify().expect("nothing differs");
    assert!(compared > (4 << 20) as u64, "{compared} bytes compared");
    vec![swap, program, mapped]
}

#[test]
fn a_file_system_reads_what_it_wrote() {
    for kind in KINDS {
        for extended in [false, true] {
            let world = World::without_filter().stack(kind).hba(adapter(extended));
            run(world, |stack| {
                let files = work_on_files(stack);
                assert!(files.iter().any(|file| file.pieces() > 1), "in pieces");
            });
        }
    }
}

#[test]
fn a_file_system_on_a_disk_with_other_sectors() {
    // The class driver takes a sector of 520 bytes for one of 512, as the real one does.
    for (kind, sector) in [
        (StackKind::Port, 520),
        (StackKind::Port, 4096),
        (StackKind::Relay, 4096),
    ] {
        let world = World::without_filter()
            .stack(kind)
            .disk(Disk::memory((64 << 20) / u64::from(sector), sector));
        run(world, |stack| {
            let fs = stack.file_system();
            let file = fs.create("file", 400_000).expect("room for it");
            assert_eq!(file.len() % sector as usize, 0);
            file.fill(1, Mode::PAGE_WRITER).expect("written");
            file.write(
                sector as usize,
                &noise(3 * sector as usize, 1),
                Mode::WRITE_THROUGH,
            )
            .expect("written again");
            fs.verify().expect("nothing differs");
        });
    }
}

#[test]
fn the_same_seed_makes_the_same_requests() {
    let trace = |seed| {
        let world = World::without_filter().stack(StackKind::Disk);
        let (counts, report) = run(world, |stack| {
            let fs = stack.file_system_seeded(seed);
            let file = fs.create("file", 2 << 20).expect("room for it");
            file.fill(1, Mode::PAGE_WRITER).expect("written");
            (fs.counts(), file.pieces())
        });
        (counts, report.trace_hash)
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn two_threads_work_on_two_files() {
    let world = World::without_filter()
        .stack(StackKind::Relay)
        .clock(Clock::Threads {
            processors: 2,
            seed: 3,
        });
    run(world, |stack| {
        let fs = stack.file_system();
        let files: Vec<File> = ["one", "two"]
            .map(|name| fs.create(name, 1 << 20).expect("room for it"))
            .into();
        let threads: Vec<_> = (0_u64..)
            .zip(files)
            .map(|(seed, file)| {
                stack.spawn("writer", move |_| {
                    for round in 0..4 {
                        file.fill(seed + round, Mode::PAGE_WRITER).expect("written");
                        file.read(0, file.len(), Mode::UNCACHED).expect("read back");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join();
        }
        fs.verify().expect("nothing differs");
    });
}

/// What the memory manager, the cache manager and a program send: seen where it arrives.
#[test]
fn requests_look_like_those_of_whoever_sends_them() {
    const PAGING: u32 = IRP_NOCACHE | IRP_PAGING_IO;
    let world = World::without_filter().stack(StackKind::Relay);
    run(world, |stack| {
        let fs = stack.file_system();
        let file = fs
            .create_contiguous("file", 4096 * 300 + 700)
            .expect("room for it");
        stack.watch(stack.class_device());
        let mut seen = 0;
        let mut next = || {
            let all = stack.arrivals(stack.class_device());
            let new = all[seen..].to_vec();
            seen = all.len();
            assert!(!new.is_empty());
            new
        };

        file.fill(1, Mode::PAGE_WRITER).expect("written");
        let requests = next();
        assert!(requests.len() > 1, "several requests");
        assert!(requests.iter().all(|one| one.irp_flags & 0xFF == PAGING));
        assert!(
            requests
                .iter()
                .all(|one| one.page_offset == 0 && one.priority == 1)
        );
        assert!(
            requests.iter().any(|one| one.length / 4096 % 2 == 1),
            "odd numbers of pages"
        );
        assert!(requests.iter().all(|one| one.length <= 1 << 20));
        let last = requests.last().expect("some");
        assert_eq!(last.length % 4096, 1024, "to the end of the last sector");
        assert_eq!(
            last.mdl_bytes,
            last.length.next_multiple_of(4096),
            "by whole pages"
        );
        assert_eq!(
            last.offset + u64::from(last.length),
            file.place(file.len() - 1) + 1
        );

        file.read(4096 * 7 + 1, 1, Mode::PAGE_FAULT).expect("read");
        let fault = next();
        assert_eq!(fault.len(), 1);
        assert_eq!(u32::from(fault[0].major), IRP_MJ_READ);
        assert_eq!(
            fault[0].irp_flags & 0xFF,
            PAGING | IRP_SYNCHRONOUS_PAGING_IO
        );
        assert_eq!((fault[0].length, fault[0].mode), (4096, 0));

        file.write(512, &noise(512 * 900, 1), Mode::WRITE_THROUGH)
            .expect("written");
        let program = next();
        assert_eq!(program.len(), 1);
        assert_eq!(u32::from(program[0].stack_flags), SL_WRITE_THROUGH);
        assert_eq!(program[0].irp_flags & 0xFF, IRP_NOCACHE);
        assert_eq!((program[0].length, program[0].mode), (512 * 900, 1));
        assert_ne!(
            program[0].page_offset, 0,
            "wherever the program has its buffer"
        );
        assert_ne!(
            program[0].thread, fault[0].thread,
            "the program's own thread"
        );

        let apart = fs.create("apart", 6 << 20).expect("room for it");
        assert!(apart.pieces() > 1);
        next();
        apart.fill(1, Mode::UNCACHED).expect("written");
        let pieces = next();
        assert_eq!(pieces.len(), apart.pieces(), "one request for each piece");
        assert!(pieces.iter().all(|one| one.mdl_bytes == one.length));
    });
}

#[test]
fn a_byte_that_changed_is_found() {
    run(World::without_filter(), |stack| {
        let fs = stack.file_system();
        let file = fs.create("file", 100 * KIB).expect("room for it");
        file.fill(1, Mode::LAZY_WRITER).expect("written");
        fs.verify().expect("nothing differs");
        let place = file.place(70_001);
        let mut byte = [0];
        stack.disk().peek(place, &mut byte);
        stack.disk().poke(place, &[!byte[0]]);
        let differs = |on_disk| FsError::Differs {
            file: "file".into(),
            at: 70_001,
            on_disk,
        };
        assert_eq!(fs.verify(), Err(differs(true)));
        let read = file.read(0, file.len(), Mode::READ_AHEAD);
        assert_eq!(read, Err(differs(false)));
    });
}

#[test]
fn nobody_knows_what_a_failed_write_left() {
    let world = World::without_filter();
    let (counts, _) = run(world, |stack| {
        let fs = stack.file_system();
        let file = fs
            .create_contiguous("file", 256 * KIB)
            .expect("room for it");
        let block = file.place(128 * KIB) / 512;
        stack
            .port()
            .fault(Fault::new(Kind::MediumError).at_lba(block));
        let mode = Mode::LAZY_WRITER.sizes(64 * KIB, 64 * KIB);
        let failed = file.fill(1, mode).expect_err("a medium error");
        assert!(
            matches!(failed, FsError::Status(status) if status < 0),
            "{failed:?}"
        );
        fs.verify().expect("what is known is right");
        file.fill(2, mode).expect("written");
        fs.verify().expect("everything is right");
        fs.counts()
    });
    assert_eq!(counts.failed, 1);
}

#[test]
fn a_file_is_read_within_its_end_and_by_whole_sectors() {
    const INVALID: FsError = FsError::Status(STATUS_INVALID_PARAMETER);
    run(World::without_filter(), |stack| {
        let fs = stack.file_system();
        let file = fs.create("file", 10_000).expect("room for it");
        assert_eq!(file.len(), 10_240);
        file.fill(1, Mode::LAZY_WRITER).expect("written");
        for (at, length) in [(1, 512), (512, 511), (10_240, 512), (0, 0), (9_728, 1024)] {
            assert_eq!(
                file.read(at, length, Mode::UNCACHED),
                Err(INVALID),
                "{at}+{length}"
            );
        }
        assert!(
            file.read(1, 511, Mode::PAGE_FAULT).is_ok(),
            "pages can be read anywhere"
        );
        assert_eq!(file.read(10_239, 2, Mode::PAGE_FAULT), Err(INVALID));
    });
}

#[test]
fn a_file_system_looks_at_a_medium_that_may_have_changed() {
    let world = World::without_filter()
        .stack(StackKind::Disk)
        .disk(Disk::memory(1 << 17, 512).removable(true));
    let (failed, report) = run(world, |stack| {
        let fs = stack.file_system();
        let file = fs.create("file", 300 * KIB).expect("room for it");
        stack.port().raise_attention(Sense::MEDIUM_CHANGED);
        file.fill(1, Mode::LAZY_WRITER).expect("written in the end");
        fs.verify().expect("nothing differs");
        fs.counts().failed
    });
    assert!(failed > 0, "the first request was turned away");
    assert!(report.class.expect("a class driver").verifies > 0);
}

#[test]
fn a_disk_with_special_files_goes_when_they_are_gone() {
    for kind in KINDS {
        let world = World::without_filter().stack(kind);
        run(world, |stack| {
            for usage in [Usage::Paging, Usage::Hibernation, Usage::Dump] {
                assert_eq!(stack.usage(usage, true), 0);
            }
            assert_eq!(stack.usage(Usage::Hibernation, false), 0);
            let stays = stack.remove().is_err();
            assert_eq!(stays, kind != StackKind::Port, "{kind:?}");
        });
    }
}
