//! The port moves data through frame numbers alone, in both SRB formats, and says what it thinks
//! of requests that are not in order.

use ntsim::World;
use ntsim::abi::{SRB_STATUS_DATA_OVERRUN, SRB_STATUS_INVALID_REQUEST, SRB_STATUS_SUCCESS};
use ntsim::port::{Completion, Direction, Disk, Hba, Limits, OnViolation, Violation, key};
use ntsim::world::{Mdl, ScsiDone, read_write_cdb};

const SUCCESS: u8 = SRB_STATUS_SUCCESS as u8;

fn counting(index: usize) -> u8 {
    (index * 7 + index / 251) as u8
}

#[test]
fn every_form_of_read_and_write_moves_the_same_bytes() {
    for (sector, extended) in [(512, false), (512, true), (4096, true), (520, false)] {
        World::without_filter()
            .disk(Disk::memory(4096, sector))
            .hba(Hba::unlimited().extended_srb(extended))
            .run(|stack| {
                for (place, form) in [6, 10, 12, 16].into_iter().enumerate() {
                    let length = 9 * sector as usize;
                    let lba = 100 * place as u64 + 3;
                    let from = stack.buffer(length, 24);
                    from.fill_with(|index| counting(index + place));
                    let write = read_write_cdb(Direction::Write, lba, 9, form);
                    let done = stack.scsi(&write).buffer(&from).send().wait();
                    assert_eq!(
                        (done.srb_status, done.data_length),
                        (SUCCESS, length as u32)
                    );
                    let into = stack.buffer(length, 4000);
                    let read = read_write_cdb(Direction::Read, lba, 9, form);
                    assert_eq!(stack.scsi(&read).buffer(&into).send().wait().irp.status, 0);
                    assert_eq!(into.bytes(), from.bytes(), "{form} bytes, sector {sector}");
                    let mut on_disk = vec![0; length];
                    stack.disk().peek(lba * u64::from(sector), &mut on_disk);
                    assert_eq!(on_disk, from.bytes());
                }
                assert!(stack.port().violations().is_empty());
            })
            .expect("no bug check");
    }
}

#[test]
fn data_buffer_is_an_index_into_the_mdl() {
    World::without_filter()
        .run(|stack| {
            let whole = stack.buffer(64 * 1024, 512);
            whole.fill_with(counting);
            let done = stack
                .scsi_write(8, 5, &whole, 9 * 512, 5 * 512)
                .send()
                .wait();
            assert_eq!(done.srb_status, SUCCESS);
            let mut on_disk = vec![0; 5 * 512];
            stack.disk().peek(8 * 512, &mut on_disk);
            assert_eq!(on_disk, whole.bytes()[9 * 512..14 * 512]);
        })
        .expect("no bug check");
}

#[test]
fn an_image_file_keeps_what_was_written() {
    let path = std::env::temp_dir().join(format!("ntsim-port-data-{}.img", std::process::id()));
    let disk = Disk::create_image(&path, 256, 512).expect("the image can be made");
    World::without_filter()
        .disk(disk)
        .run(|stack| {
            let buffer = stack.buffer(10_240, 100);
            buffer.fill_with(counting);
            assert!(stack.write(512, &buffer).send().wait().succeeded());
            let copy = stack.buffer(10_240, 0);
            assert!(stack.read(512, &copy).send().wait().succeeded());
            assert_eq!(copy.bytes(), buffer.bytes());
        })
        .expect("no bug check");
    let image = std::fs::read(&path).expect("the image is there");
    std::fs::remove_file(&path).expect("the image can be removed");
    assert_eq!(image.len(), 256 * 512);
    assert!((0..10_240).all(|index| image[512 + index] == counting(index)));
    assert!(image[..512].iter().all(|&byte| byte == 0));
}

/// Runs one READ over `length` bytes at `page_offset` on an adapter and gives the answer with the
/// violations.
fn one_read(hba: Hba, length: u32, page_offset: usize) -> (ScsiDone, Vec<Violation>) {
    let ((done, seen), _) = World::without_filter()
        .hba(hba)
        .run(|stack| {
            let buffer = stack.buffer(length as usize, page_offset);
            let cdb = read_write_cdb(Direction::Read, 0, length / 512, 10);
            let done = stack.scsi(&cdb).buffer(&buffer).timeout(1).send().wait();
            let seen = stack
                .port()
                .violations()
                .iter()
                .map(|seen| seen.violation)
                .collect();
            (done, seen)
        })
        .expect("no bug check");
    (done, seen)
}

#[test]
fn each_true_limit_is_enforced_although_the_descriptor_says_more() {
    let said = Limits {
        bytes: 1 << 20,
        pages: 257,
        alignment_mask: 0,
    };
    let takes = |bytes, pages, alignment_mask| {
        Hba::unlimited().advertised(said).actual(Limits {
            bytes,
            pages,
            alignment_mask,
        })
    };
    let cases = [
        (takes(8192, 257, 0), 8192, 0, vec![]),
        (takes(8192, 257, 0), 8704, 0, vec![Violation::Bytes]),
        (takes(1 << 20, 2, 0), 8192, 0, vec![]),
        (takes(1 << 20, 2, 0), 8192, 512, vec![Violation::Pages]),
        (takes(1 << 20, 257, 511), 4096, 512, vec![]),
        (
            takes(1 << 20, 257, 511),
            4096,
            64,
            vec![Violation::Alignment],
        ),
    ];
    for (hba, length, page_offset, expected) in cases {
        let (done, seen) = one_read(hba, length, page_offset);
        let status = if expected.is_empty() {
            SUCCESS
        } else {
            SRB_STATUS_INVALID_REQUEST as u8
        };
        assert_eq!(
            (done.srb_status, seen),
            (status, expected),
            "{length} at {page_offset}"
        );
    }
}

#[test]
fn what_a_broken_limit_does_is_a_choice() {
    let hba = |what| Hba::unlimited().limits(4096, 17).on_violation(what);
    let (done, seen) = one_read(hba(OnViolation::Record), 8192, 0);
    assert_eq!((done.srb_status, done.data_length), (SUCCESS, 8192));
    assert_eq!(seen, [Violation::Bytes]);
    let (done, _) = one_read(hba(OnViolation::Short), 8192, 0);
    assert_eq!((done.srb_status, done.data_length), (SUCCESS, 4096));
    let (done, _) = one_read(hba(OnViolation::Hang), 8192, 0);
    assert_eq!(done.srb_status, 0x0B, "ended by the SRB timeout");
    let (done, _) = one_read(hba(OnViolation::BusReset), 8192, 0);
    assert_eq!(done.srb_status, 0x0E);
}

#[test]
fn breaks_count_runs_of_frames_and_not_pages() {
    World::without_filter()
        .hba(Hba::profile("ahci").limits(1 << 20, 3))
        .run(|stack| {
            let runs = stack.buffer_runs(6 * 4096, 0, 2);
            let cdb = read_write_cdb(Direction::Read, 0, 48, 10);
            assert_eq!(
                stack.scsi(&cdb).buffer(&runs).send().wait().srb_status,
                SUCCESS
            );
            let scattered = stack.buffer_runs(6 * 4096, 0, 1);
            let done = stack.scsi(&cdb).buffer(&scattered).send().wait();
            assert_eq!(done.srb_status, SRB_STATUS_INVALID_REQUEST as u8);
            let records = stack.port().records();
            let breaks: Vec<_> = records
                .iter()
                .filter(|seen| seen.bytes != 0)
                .map(|seen| seen.breaks)
                .collect();
            assert_eq!(breaks, [3, 6]);
            assert_eq!(stack.port().counts().violations_of(Violation::Breaks), 1);
        })
        .expect("no bug check");
}

#[test]
fn data_outside_the_mdl_or_without_one_is_refused_loudly() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(8192, 512);
            let read = |shift| {
                stack
                    .scsi(&read_write_cdb(Direction::Read, 0, 8, 10))
                    .buffer(&buffer)
                    .length(4096)
                    .mdl(Mdl::Length(8192))
                    .data_shift(shift)
            };
            assert_eq!(read(4096).send().wait().srb_status, SUCCESS);
            assert_eq!(
                read(4097).send().wait().srb_status,
                SRB_STATUS_INVALID_REQUEST as u8
            );
            assert_eq!(
                read(-1).send().wait().srb_status,
                SRB_STATUS_INVALID_REQUEST as u8
            );
            let bare = read(0).mdl(Mdl::None).send().wait();
            assert_eq!(bare.srb_status, SRB_STATUS_INVALID_REQUEST as u8);
            let counts = stack.port().counts();
            assert_eq!(counts.violations_of(Violation::OutsideMdl), 2);
            assert_eq!(counts.violations_of(Violation::NoMdl), 1);
        })
        .expect("no bug check");
}

#[test]
fn a_cdb_that_disagrees_with_the_length_is_an_overrun_or_a_short_transfer() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(4096, 0);
            buffer.fill(0xEE);
            let read = |blocks| {
                let cdb = read_write_cdb(Direction::Read, 0, blocks, 10);
                stack.scsi(&cdb).buffer(&buffer).send().wait()
            };
            assert_eq!(read(9).srb_status, SRB_STATUS_DATA_OVERRUN as u8);
            let less = read(6);
            assert_eq!((less.srb_status, less.data_length), (SUCCESS, 3072));
            assert_eq!(stack.port().counts().violations_of(Violation::CdbLength), 2);
        })
        .expect("no bug check");
}

#[test]
fn an_srb_that_contradicts_itself_is_no_srb() {
    World::without_filter()
        .run(|stack| {
            let cdb = read_write_cdb(Direction::Read, 0, 1, 10);
            let buffer = stack.buffer(512, 0);
            let wrong_length = stack
                .scsi(&cdb)
                .buffer(&buffer)
                .extended(false)
                .patched(|srb| srb[0] = 12)
                .send()
                .wait();
            assert!(!wrong_length.irp.succeeded());
            let wrong_offset = stack
                .scsi(&cdb)
                .buffer(&buffer)
                .extended(true)
                .patched(|srb| srb[120..124].copy_from_slice(&4096_u32.to_le_bytes()))
                .send()
                .wait();
            assert!(!wrong_offset.irp.succeeded());
            assert_eq!(stack.port().counts().violations_of(Violation::Malformed), 2);
        })
        .expect("no bug check");
}

#[test]
fn the_medium_answers_for_itself() {
    World::without_filter()
        .disk(Disk::memory(100, 512).write_protected(true))
        .run(|stack| {
            let buffer = stack.buffer(4096, 0);
            let cdb = read_write_cdb(Direction::Read, 93, 8, 10);
            let beyond = stack.scsi(&cdb).buffer(&buffer).send().wait();
            let sense = beyond.sense.expect("sense data");
            assert_eq!((sense[2], sense[12]), (key::ILLEGAL_REQUEST, 0x21));
            let cdb = read_write_cdb(Direction::Write, 0, 8, 10);
            let protected = stack.scsi(&cdb).buffer(&buffer).send().wait();
            let sense = protected.sense.expect("sense data");
            assert_eq!((sense[2], sense[12]), (key::DATA_PROTECT, 0x27));
            assert_eq!(protected.data_length, 0);
        })
        .expect("no bug check");
}

#[test]
fn the_port_owns_a_request_while_it_has_it() {
    World::without_filter()
        .hba(Hba::unlimited().completion(Completion::Held))
        .run(|stack| {
            let buffer = stack.buffer(512, 0);
            let touched = stack
                .scsi(&read_write_cdb(Direction::Read, 0, 1, 10))
                .buffer(&buffer)
                .extended(true)
                .send();
            touched.disturb();
            stack.port().complete_all();
            assert_eq!(touched.wait().srb_status, SUCCESS);
            assert_eq!(stack.port().counts().violations_of(Violation::Touched), 1);
        })
        .expect("no bug check");
}

#[test]
fn a_port_that_maps_lets_interrupts_in_meanwhile() {
    let hba = Hba::unlimited()
        .maps_mdl(true)
        .completion(Completion::Later(1..3));
    World::without_filter()
        .hba(hba)
        .run(|stack| {
            let buffers: Vec<_> = (0..4).map(|_| stack.buffer(4096, 512)).collect();
            for round in 0..10_u64 {
                let sent: Vec<_> = buffers
                    .iter()
                    .map(|buffer| stack.write(round * 4096, buffer).send())
                    .collect();
                assert!(sent.into_iter().all(|request| request.wait().succeeded()));
            }
            assert!(stack.port().violations().is_empty());
        })
        .expect("no bug check");
}
