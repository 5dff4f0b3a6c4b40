//! What arrives at the port for each piece: the command, the request block around it, the IRP that
//! carries it; and that port drivers with odd habits get along with it.

mod common;

use std::collections::HashSet;

use common::{BOTH, Exchange, adapter, assert_success, check, moves, pieces_of, run, world};
use ntsim::abi::{
    _IO_PRIORITY_HINT, IRP_MJ_SCSI, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, SCSI_REQUEST_BLOCK,
    SL_OVERRIDE_VERIFY_VOLUME, SL_WRITE_THROUGH, SRB_FLAGS_ADAPTER_CACHE_ENABLE, SRB_FLAGS_DATA_IN,
    SRB_FLAGS_DATA_OUT, SRB_FLAGS_FREE_SENSE_BUFFER, SRB_FLAGS_NO_QUEUE_FREEZE,
    SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_FLAGS_QUEUE_ACTION_ENABLE, SRB_SIMPLE_TAG_REQUEST,
};
use ntsim::port::{Completion, Direction, Disk, Fault, Hba, Kind, PortRecord, read_write};
use ntsim::world::Transfer;
use ntsim::{Stack, World};

const PIECE: usize = 4096;
const BLOCKS: u64 = 8;

/// `SRB_CLASS_FLAGS_PAGING` of classpnp.h.
const CLASS_FLAGS_PAGING: u32 = 0x4000_0000;

/// Sends one request of four pieces, changed as `with` says, and gives what arrived.
fn arrives(
    world: World,
    direction: Direction,
    with: impl for<'s> Fn(Transfer<'s>) -> Transfer<'s> + Sync,
) -> Vec<PortRecord> {
    let (records, _) = run(world, |stack| {
        stack.port().capture(true);
        let exchange = Exchange::new(stack, direction, 0x1_0000, 4 * PIECE, 0, 1);
        let done = with(exchange.transfer(stack)).send().wait();
        assert_success(&done, 4 * PIECE);
        assert!(exchange.is_complete(stack));
        stack.port().transfers()
    });
    assert_eq!(records.len(), 4);
    records
}

/// A field of the request block as it arrived.
fn field<const BYTES: usize>(record: &PortRecord, offset: usize) -> [u8; BYTES] {
    let capture = record.capture.as_ref().expect("captured");
    let mut bytes = [0; BYTES];
    bytes.copy_from_slice(&capture.srb[offset..offset + BYTES]);
    bytes
}

macro_rules! srb {
    ($record:expr, $field:ident, $kind:ty) => {
        <$kind>::from_le_bytes(field(
            $record,
            core::mem::offset_of!(SCSI_REQUEST_BLOCK, $field),
        ))
    };
}

/// The block as classpnp makes one (srblib.c, InitializeStorageRequestBlock): a header whose `Length` ends at
/// `Signature`, behind it a BTL8 address, behind that the command.
#[test]
fn the_extended_request_block() {
    const ADDRESS: usize = 128;
    const COMMAND: usize = ADDRESS + 16;
    let number = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
    for direction in BOTH {
        let hba = adapter(PIECE, 2).extended_srb(true);
        let records = arrives(world().hba(hba), direction, |request| request);
        for (index, record) in records.iter().enumerate() {
            assert!(record.extended);
            assert_eq!(field(record, 0), 8_u16.to_le_bytes(), "Length");
            assert_eq!(field(record, 2), [0x28, 0], "Function, SrbStatus");
            assert_eq!(field(record, 8), *b"XBRS", "Signature");
            assert_eq!(number(field(record, 12)), 1, "Version");
            assert_eq!(number(field(record, 16)), 184, "SrbLength");
            assert_eq!(number(field(record, 20)), 0, "EXECUTE_SCSI");
            assert_eq!(
                field(record, 36),
                [0, 0, 0x20, 0],
                "priority and SIMPLE tag"
            );
            assert_eq!(number(field(record, 40)), 10, "TimeOutValue");
            assert_eq!(number(field(record, 44)), 0, "SystemStatus");
            assert_eq!(number(field(record, 52)) as usize, ADDRESS, "AddressOffset");
            assert_eq!(number(field(record, 56)), 1, "NumSrbExData");
            assert_eq!(
                number(field(record, 60)) as usize,
                PIECE,
                "DataTransferLength"
            );
            assert_eq!(u64::from_le_bytes(field(record, 80)), record.irp as u64);
            assert_ne!(
                u64::from_le_bytes(field(record, 104)),
                0,
                "the parent's IRP"
            );
            assert_eq!(u64::from_le_bytes(field(record, 112)), 0, "NextSrb");
            assert_eq!(
                number(field(record, 120)) as usize,
                COMMAND,
                "SrbExDataOffset[0]"
            );
            assert_eq!(
                field(record, ADDRESS),
                [1, 0, 0, 0, 4, 0, 0, 0],
                "BTL8, 4 bytes"
            );
            assert_eq!(
                field(record, COMMAND),
                [0x40, 0, 0, 0, 32, 0, 0, 0],
                "ScsiCdb16"
            );
            assert_eq!(
                field(record, COMMAND + 8),
                [0, 252, 10, 0],
                "ScsiStatus, sense, CDB"
            );
            let wanted = read_write(record.command()).expect("a READ or WRITE");
            assert_eq!(wanted.direction, direction);
            assert_eq!(wanted.lba, 128 + index as u64 * BLOCKS);
        }
    }
}

#[test]
fn the_request_block() {
    for direction in BOTH {
        let records = arrives(pieces_of(PIECE), direction, |request| request);
        let way = match direction {
            Direction::Read => SRB_FLAGS_DATA_IN,
            Direction::Write => SRB_FLAGS_DATA_OUT,
        };
        let flags = way
            | SRB_FLAGS_QUEUE_ACTION_ENABLE
            | SRB_FLAGS_NO_QUEUE_FREEZE
            | SRB_FLAGS_ADAPTER_CACHE_ENABLE;
        for (number, record) in records.iter().enumerate() {
            let number = number as u64;
            assert_eq!(u32::from(record.major), IRP_MJ_SCSI);
            assert_eq!(record.minor, 0);
            assert_eq!(record.srb_function, Some(0), "EXECUTE_SCSI");
            assert!(!record.extended);
            check(number, &record.srb_flags, &flags);
            assert_eq!(u32::from(record.tag), SRB_SIMPLE_TAG_REQUEST);
            assert_eq!(record.timeout, 10);
            assert_eq!(record.bytes, PIECE as u32);
            assert_eq!(
                usize::from(srb!(record, Length, u16)),
                size_of::<SCSI_REQUEST_BLOCK>()
            );
            assert_eq!(srb!(record, SrbStatus, u8), 0);
            assert_eq!(srb!(record, ScsiStatus, u8), 0);
            assert_eq!(srb!(record, NextSrb, u64), 0);
            assert!(srb!(record, SenseInfoBufferLength, u8) >= 18);
            assert_ne!(srb!(record, SenseInfoBuffer, u64), 0);
            // Where the elevator of the port may sort it.
            let sort_key = u32::from_le_bytes(field(record, 64));
            assert_eq!(u64::from(sort_key), 128 + number * BLOCKS);
            let wanted = read_write(record.command()).expect("a READ or WRITE");
            assert_eq!(wanted.direction, direction);
            assert_eq!(
                (wanted.lba, wanted.blocks),
                (128 + number * BLOCKS, BLOCKS as u32)
            );
            assert_eq!(wanted.protect, 0);
            assert!(!wanted.force_unit_access);
        }
    }
}

#[test]
fn its_data_is_part_of_the_parents_buffer() {
    run(pieces_of(PIECE).setting("Window", 4), |stack| {
        stack.port().capture(true);
        let exchange = Exchange::new(stack, Direction::Read, 0, 4 * PIECE, 0, 2);
        moves(stack, &exchange);
        let base = exchange.buffer().address().addr() as u64;
        let records = stack.port().transfers();
        let mut mdls = HashSet::new();
        for (number, record) in records.iter().enumerate() {
            let data = srb!(record, DataBuffer, u64);
            assert_eq!(data, base + number as u64 * PIECE as u64);
            mdls.insert(record.mdl);
        }
        assert!(!mdls.contains(&0));
    });
}

#[test]
fn every_piece_in_flight_has_its_own_of_everything() {
    run(pieces_of(PIECE).setting("Window", 4), |stack| {
        stack.port().capture(true);
        stack.port().hold(true);
        let exchange = Exchange::new(stack, Direction::Write, 0, 4 * PIECE, 0, 3);
        let pending = exchange.transfer(stack).send();
        stack.port().complete_all();
        assert_success(&pending.wait(), 4 * PIECE);
        let records = stack.port().transfers();
        let distinct =
            |value: fn(&PortRecord) -> u64| records.iter().map(value).collect::<HashSet<_>>().len();
        assert_eq!(distinct(|record| record.srb as u64), 4);
        assert_eq!(distinct(|record| record.mdl as u64), 4);
        assert_eq!(distinct(|record| record.irp as u64), 4);
        assert_eq!(distinct(|record| srb!(record, OriginalRequest, u64)), 4);
        assert_eq!(distinct(|record| srb!(record, SenseInfoBuffer, u64)), 4);
    });
}

#[test]
fn it_names_its_own_irp_and_its_clients() {
    run(pieces_of(PIECE), |stack| {
        stack.port().capture(true);
        for kind in [None, Some(Kind::Busy), Some(Kind::NoResourcesSrb)] {
            stack.port().forget_records();
            if let Some(kind) = kind {
                stack.port().fault(Fault::new(kind).at_lba(BLOCKS));
            }
            let exchange = Exchange::new(stack, Direction::Write, 0, 3 * PIECE, 0, 4);
            let pending = exchange.transfer(stack).send();
            let parent = pending.irp_address() as u64;
            assert_success(&pending.wait(), 3 * PIECE);
            for record in stack.port().transfers() {
                assert_eq!(srb!(&record, OriginalRequest, u64), record.irp as u64);
                assert_eq!(srb!(&record, SrbExtension, u64), parent);
                assert_ne!(record.irp as u64, parent, "the parent itself is never sent");
            }
        }
    });
}

#[test]
fn flags_of_the_parents_stack_location() {
    for flags in [0, SL_WRITE_THROUGH, SL_OVERRIDE_VERIFY_VOLUME, 0x1F] {
        for direction in BOTH {
            let records = arrives(pieces_of(PIECE), direction, |request| request.flags(flags));
            for record in records {
                assert_eq!(u32::from(record.stack_flags), flags);
                let cached = record.srb_flags & SRB_FLAGS_ADAPTER_CACHE_ENABLE != 0;
                assert_eq!(cached, flags & SL_WRITE_THROUGH == 0);
            }
        }
    }
}

#[test]
fn force_unit_access_only_where_it_is_honoured() {
    let fua = |world: World, direction| {
        let records = arrives(world, direction, |request| request.flags(SL_WRITE_THROUGH));
        let bits: HashSet<bool> = records
            .iter()
            .filter_map(|record| read_write(record.command()))
            .map(|command| command.force_unit_access)
            .collect();
        assert_eq!(bits.len(), 1, "all pieces alike");
        bits.contains(&true)
    };
    // The simulated disk's mode page says that it honours FUA.
    assert!(fua(pieces_of(PIECE), Direction::Write));
    assert!(!fua(pieces_of(PIECE), Direction::Read));
    // Six bytes have no room for the bit, so the form gives way.
    assert!(fua(
        pieces_of(PIECE).setting("CdbLength", 6),
        Direction::Write
    ));
}

#[test]
fn paging_and_priority() {
    for hint in [
        _IO_PRIORITY_HINT::IoPriorityVeryLow,
        _IO_PRIORITY_HINT::IoPriorityLow,
        _IO_PRIORITY_HINT::IoPriorityHigh,
        _IO_PRIORITY_HINT::IoPriorityCritical,
    ] {
        let records = arrives(pieces_of(PIECE), Direction::Write, move |request| {
            request.priority(hint)
        });
        for record in records {
            assert_eq!(record.priority, hint as u32);
            assert_eq!(record.srb_flags & CLASS_FLAGS_PAGING, 0);
        }
    }
    let records = arrives(pieces_of(PIECE), Direction::Read, |request| {
        request.paging()
    });
    for record in records {
        assert_ne!(record.srb_flags & CLASS_FLAGS_PAGING, 0);
        // The paging bits are for whoever made the IRP; the rest holds the priority.
        let paging = IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;
        assert_eq!(record.irp_flags & paging, 0);
    }
}

#[test]
fn a_priority_does_not_stick_to_the_pooled_irp() {
    run(pieces_of(PIECE).setting("Pieces", 1), |stack| {
        for hint in [
            _IO_PRIORITY_HINT::IoPriorityVeryLow,
            _IO_PRIORITY_HINT::IoPriorityNormal,
            _IO_PRIORITY_HINT::IoPriorityHigh,
        ] {
            stack.port().forget_records();
            let buffer = stack.buffer(2 * PIECE, 0);
            let done = stack.read(0, &buffer).priority(hint).send().wait();
            assert_success(&done, 2 * PIECE);
            for record in stack.port().transfers() {
                assert_eq!(record.priority, hint as u32);
            }
        }
    });
}

#[test]
fn a_removable_disk_keeps_its_protection() {
    let disk = Disk::memory(1 << 12, 512).removable(true);
    let records = arrives(pieces_of(PIECE).disk(disk), Direction::Write, |request| {
        request
    });
    for record in records {
        assert_eq!(record.srb_flags & SRB_FLAGS_NO_QUEUE_FREEZE, 0);
    }
}

#[test]
fn an_adapter_without_queues_gets_no_tags() {
    let world = world().hba(adapter(PIECE, 2).queue_depth(1));
    for record in arrives(world, Direction::Read, |request| request) {
        assert_eq!(record.srb_flags & SRB_FLAGS_QUEUE_ACTION_ENABLE, 0);
    }
}

#[test]
fn sense_buffers_are_never_the_ports() {
    for record in arrives(pieces_of(PIECE), Direction::Read, |request| request) {
        let flags = SRB_FLAGS_PORT_DRIVER_ALLOCSENSE | SRB_FLAGS_FREE_SENSE_BUFFER;
        assert_eq!(record.srb_flags & flags, 0);
    }
}

/// Requests with and without trouble, on an adapter of these habits.
fn gets_along(hba: Hba) {
    run(world().hba(hba), |stack| {
        for direction in BOTH {
            for kind in [
                None,
                Some(Kind::Busy),
                Some(Kind::RecoveredError),
                Some(Kind::NoResourcesIrp),
            ] {
                if let Some(kind) = kind {
                    stack.port().fault(Fault::new(kind).at_lba(BLOCKS));
                }
                moves(
                    stack,
                    &Exchange::new(stack, direction, 0, 9 * PIECE, 512, 5),
                );
                moves(stack, &Exchange::new(stack, direction, 0, 512, 512, 6));
            }
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(3 * BLOCKS));
            let exchange = Exchange::new(stack, direction, 0, 9 * PIECE, 512, 7);
            let done = exchange.transfer(stack).send().wait();
            common::assert_failure(&done, common::status_of(Kind::MediumError));
        }
    });
}

#[test]
fn ports_of_all_habits() {
    for completion in [Completion::Inline, Completion::Later(1..500)] {
        let base = || adapter(PIECE, 2).completion(completion.clone());
        gets_along(base());
        // Maps every MDL it gets, as drivers of programmed I/O do.
        gets_along(base().maps_mdl(true));
        gets_along(base().own_sense_buffer(true));
        gets_along(base().always_pending(true));
        gets_along(base().always_pending(false));
        gets_along(base().reports_residual(false));
        gets_along(
            base()
                .maps_mdl(true)
                .always_pending(false)
                .own_sense_buffer(true),
        );
    }
}

#[test]
fn sense_in_either_format() {
    for descriptor in [false, true] {
        let disk = Disk::memory(1 << 34, 512).descriptor_sense(descriptor);
        run(pieces_of(PIECE).disk(disk), |stack: &Stack| {
            let first = (1_u64 << 33) + 64;
            let offset = first * 512;
            stack
                .port()
                .fault(Fault::new(Kind::RecoveredError).at_lba(first + BLOCKS));
            moves(
                stack,
                &Exchange::new(stack, Direction::Write, offset, 3 * PIECE, 0, 8),
            );
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(first + BLOCKS + 3));
            let exchange = Exchange::new(stack, Direction::Read, offset, 3 * PIECE, 0, 9);
            let done = exchange.transfer(stack).send().wait();
            common::assert_failure(&done, common::status_of(Kind::MediumError));
        });
    }
}
