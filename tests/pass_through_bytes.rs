//! Whatever is not the driver's to split arrives at the lower driver as it was sent: majors, minors,
//! flags, parameters, MDL, IRP flags, every byte of the request block. It is the sender's own IRP,
//! with the sender's own MDL and block, and the driver waits for none of it and allocates nothing.
//!
//! Each request is sent in a stack with the driver and in one without. What arrives is compared with
//! what was sent, so that addresses count too; what comes back is compared between the two.

mod common;

use common::block::{Block, Part, flag};
use common::post::{Post, Returned, post, post_irp};
use common::{BOTH, Random, adapter, driver};
use ntsim::abi::{
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_POWER, IRP_MJ_READ, IRP_MJ_SCSI,
    IRP_MJ_WRITE,
};
use ntsim::port::Hba;
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Report, Shape, Stack, World};

const PIECE: usize = 4096;
const LENGTH: usize = 4 * PIECE;

/// Which stack a scenario runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Driver(Shape),
    /// With a limit that is stricter than the adapter's, so that the stack above is told of it.
    Stricter,
    Nobody,
}

/// Something to send: it may be asked for in two worlds.
type Make = Box<dyn Fn(&Buffer) -> Post + Sync + Send>;

/// A request, and its name in messages.
struct Case {
    name: String,
    make: Make,
    /// It asks for the adapter's limits, whose reply the driver may have to rewrite.
    asks_for_limits: bool,
    /// The port remembers it: the queue is locked, the device is claimed.
    undo: Option<u8>,
}

impl Case {
    fn new(
        name: impl Into<String>,
        make: impl Fn(&Buffer) -> Post + Sync + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
            asks_for_limits: false,
            undo: None,
        }
    }
}

/// What a sender learns, without addresses that differ from world to world.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: i32,
    information: u64,
    returned: i32,
    pending_returned: bool,
    /// The places in the block or system buffer that the lower driver changed, with what it wrote.
    written: Vec<(usize, u8)>,
    sense: Vec<u8>,
}

impl Answer {
    fn of(returned: &Returned, pointers: bool) -> Self {
        let changed = returned.changed().into_iter();
        let written = changed
            .filter(|place| !returned.is_the_ports(*place))
            .map(|place| (place, returned.block[place]));
        Self {
            status: returned.done.status,
            information: returned.done.information,
            returned: returned.done.returned,
            pending_returned: returned.done.pending_returned,
            written: if pointers {
                Vec::new()
            } else {
                written.collect()
            },
            sense: returned.sense.clone(),
        }
    }
}

/// Sends one request and compares what arrived with what was sent.
fn send(stack: &Stack, with: With, case: &Case, buffer: &Buffer) -> Answer {
    stack.port().forget_records();
    let name = format!("{} {with:?}", case.name);
    let sent = (case.make)(buffer).send(stack);
    let (irp, mdl, address) = (sent.irp(), sent.mdl(), sent.address());
    let wanted = sent.expectation();
    stack.idle();
    assert!(sent.is_done(), "{name}: it came back");
    let returned = sent.wait();
    assert_eq!(returned.done.completions, 1, "{name}");
    let records = stack.port().records();
    assert_eq!(
        records.len(),
        1,
        "{name}: one request arrived: {records:#?}"
    );
    let record = &records[0];
    assert_eq!((record.irp, record.mdl), (irp, mdl), "{name}: IRP and MDL");
    let awaited = with == With::Stricter && case.asks_for_limits;
    assert_eq!(record.filter_routine, awaited, "{name}: waited for");
    assert_eq!(record.priority, wanted.priority, "{name}: priority");
    let capture = record.capture.as_ref().expect("captured");
    assert_eq!(
        capture.location, wanted.location,
        "{name}: major, minor, flags"
    );
    assert_eq!(capture.parameters, wanted.parameters, "{name}: parameters");
    assert_eq!(capture.mdl, mdl as u64, "{name}");
    assert_eq!(capture.irp_flags, wanted.irp_flags, "{name}: IRP flags");
    assert_eq!(capture.file_object, 0, "{name}: no file object");
    if record.srb_function.is_some() {
        assert_eq!(
            capture.srb, returned.sent,
            "{name}: every byte of the block"
        );
        assert_eq!(record.srb, address, "{name}: the sender's own block");
    }
    if let Some(function) = case.undo {
        stack.srb_function(u32::from(function)).send().wait();
    }
    // CLAIM_DEVICE and ATTACH_DEVICE answer with an address.
    Answer::of(&returned, matches!(record.srb_function, Some(1 | 5)))
}

/// Sends everything and gives the answers.
fn answers(with: With, hba: &Hba, cases: &[Case]) -> Vec<Answer> {
    let world = match with {
        With::Driver(shape) => World::new(driver()).shape(shape),
        With::Stricter => {
            let world = World::new(driver()).shape(Shape::Srb);
            world.setting("MaximumTransferLength", PIECE as u32)
        }
        With::Nobody => World::without_filter(),
    };
    let (answers, report): (_, Report) = common::run_unchecked(world.hba(hba.clone()), |stack| {
        stack.port().capture(true);
        let buffer = stack.buffer(LENGTH, 512);
        buffer.fill(0x5A);
        let send = |case| send(stack, with, case, &buffer);
        cases.iter().map(send).collect()
    });
    common::assert_nothing_allocated(&report);
    assert_eq!(report.port.completed, report.port.arrived);
    answers
}

/// The same with the driver and without.
#[track_caller]
fn assert_same_with_and_without(hba: &Hba, cases: &[Case]) {
    let without = answers(With::Nobody, hba, cases);
    for shape in [Shape::Srb, Shape::Auto] {
        let with = answers(With::Driver(shape), hba, cases);
        for ((with, without), case) in with.iter().zip(&without).zip(cases) {
            assert_eq!(with, without, "{} in {shape:?}", case.name);
        }
    }
}

/// The same, and where the stack above is told other limits, those replies alone are others.
#[track_caller]
fn assert_same_but_for_limits(cases: &[Case]) {
    assert_same_with_and_without(&roomy(), cases);
    let without = answers(With::Nobody, &roomy(), cases);
    let with = answers(With::Stricter, &roomy(), cases);
    let mut told = 0;
    for ((with, without), case) in with.iter().zip(&without).zip(cases) {
        if case.asks_for_limits {
            told += u32::from(with != without);
            let envelope = |answer: &Answer| {
                (
                    answer.status,
                    answer.information,
                    answer.returned,
                    answer.pending_returned,
                )
            };
            assert_eq!(envelope(with), envelope(without), "{}", case.name);
            // MaximumTransferLength and MaximumPhysicalPages: at 4 or 8, two words.
            let elsewhere = |answer: &Answer| -> Vec<(usize, u8)> {
                let written = answer.written.iter().copied();
                written
                    .filter(|(place, _)| !(4..16).contains(place))
                    .collect()
            };
            assert_eq!(elsewhere(with), elsewhere(without), "{}", case.name);
        } else {
            assert_eq!(with, without, "{}", case.name);
        }
    }
    assert!(told > 0, "somebody was told");
}

/// An adapter that takes every request here in one.
fn roomy() -> Hba {
    adapter(LENGTH, LENGTH as u32 / 4096 + 1)
}

/// An SRB with everything set at random that a sender may set.
fn random_block(random: &mut Random, extended: bool, function: u8) -> Block {
    let mut block = Block::of(extended, &[]).function(function);
    let keep = block.clone();
    for byte in &mut block.bytes {
        *byte = random.next() as u8;
    }
    // What makes it a block of its format, and its length.
    let fixed: &[(usize, usize)] = if extended {
        &[(0, 4), (8, 16), (52, 8), (120, 4), (128, 8), (144, 8)]
    } else {
        &[(0, 3), (10, 1)]
    };
    for &(at, length) in fixed {
        block.bytes[at..at + length].copy_from_slice(&keep.bytes[at..at + length]);
    }
    let at = block.at;
    // No data; TEST UNIT READY; links and contexts are labels that nobody follows.
    block.set(at.cdb_length, [if function == 0 { 6 } else { 0 }]);
    block.set(at.cdb, [0; 6]);
    block.set(at.length, [0; 4]);
    for pointer in [at.data_buffer, at.next, at.client, at.sense_pointer] {
        block.set(
            pointer,
            (0xFFFF_B000_0000_0000 | random.next() >> 24).to_le_bytes(),
        );
    }
    if let Some(context) = at.port_context {
        block.set(context, [0; 8]);
    }
    let reserved = flag::FREE_SENSE_BUFFER | flag::ALLOCSENSE;
    block.flags(|flags| flags & !reserved)
}

#[test]
fn every_function_in_both_formats() {
    let mut cases = Vec::new();
    let mut random = Random::new(1);
    for extended in [false, true] {
        for function in 0..=u8::MAX {
            // 0x28 says "extended format"; as a function of that format it is as unknown as others.
            if function == 0x28 && !extended {
                continue;
            }
            for flags in [0, 1] {
                let block = random_block(&mut random, extended, function);
                let block = if flags == 0 {
                    block.flags(|_| 0)
                } else {
                    block
                };
                let mut case = Case::new(
                    format!("function {function:#x}, extended: {extended}"),
                    move |_| {
                        post(&block)
                            .stack_flags(function)
                            .irp_flags(u32::from(function) & 0x43)
                    },
                );
                // LOCK_QUEUE; a claim; the rest leaves no trace.
                case.undo = match function {
                    0x18 => Some(0x19),
                    0x01 | 0x05 => Some(0x06),
                    _ => None,
                };
                cases.push(case);
            }
        }
    }
    assert_same_with_and_without(&roomy(), &cases);
}

#[test]
fn every_operation_code_with_commands_of_every_length() {
    let mut cases = Vec::new();
    for opcode in 0..=u8::MAX {
        for length in [6, 10, 12, 16] {
            for extended in [false, true] {
                let mut cdb = vec![0; length];
                cdb[0] = opcode;
                cdb[length - 2] = 1;
                let block = Block::of(extended, &cdb);
                let name = format!("{opcode:#04x} of {length} bytes, extended: {extended}");
                let plain = block.clone();
                cases.push(Case::new(name.clone(), move |_| post(&plain)));
                let data = block.flags(|flags| flags & !flag::DATA_OUT | flag::DATA_IN);
                cases.push(Case::new(format!("{name}, with data"), move |buffer| {
                    post(&data).buffer(buffer).length(512).priority(1)
                }));
            }
        }
    }
    assert_same_with_and_without(&roomy(), &cases);
}

#[test]
fn commands_in_the_longer_extensions() {
    let mut cases = Vec::new();
    for opcode in [0x00, 0x12, 0x28, 0x7F, 0x7E, 0x9E, 0xC5] {
        for (part, longest) in [
            (Part::Cdb32, 32),
            (Part::CdbVar(64), 64),
            (Part::CdbVar(256), 256),
        ] {
            for length in [1, 6, 16, 32, longest] {
                let mut cdb = vec![0x11; length];
                cdb[0] = opcode;
                let block = Block::extended(&cdb, &[part, Part::Unknown(40), Part::Address]);
                let name = format!("{opcode:#04x}, {length} bytes in {part:?}");
                cases.push(Case::new(name, move |buffer| {
                    let block = block.clone().flags(|flags| flags & !0xC0 | flag::DATA_IN);
                    post(&block).buffer(buffer).length(1024)
                }));
            }
        }
    }
    assert_same_with_and_without(&roomy(), &cases);
}

#[test]
fn reads_and_writes_that_fit() {
    let mut cases = Vec::new();
    let mut random = Random::new(2);
    for direction in BOTH {
        for form in [6, 10, 12, 16] {
            for blocks in [1, 8, 32] {
                for extended in [false, true] {
                    let block = Block::of(extended, &read_write_cdb(direction, 8, blocks, form));
                    let flags = random.next() as u32 & (flag::NO_QUEUE_FREEZE | 0x220E);
                    let block = block.flags(|given| given ^ flags);
                    let tag = block.at.tag;
                    let block = block.with(tag, [random.choose(&[0x20, 0x21, 0x22, 0])]);
                    let (stack_flags, hint) = (random.next() as u8, random.below(5) as i32);
                    let name = format!("{direction:?}({form}), {blocks} blocks, {extended}");
                    cases.push(Case::new(name, move |buffer| {
                        post(&block)
                            .buffer(buffer)
                            .length(blocks * 512)
                            .stack_flags(stack_flags)
                            .priority(hint)
                            .others([0, 0, 0xC0DE])
                    }));
                }
            }
        }
    }
    assert_same_with_and_without(&roomy(), &cases);
}

/// Control codes of ntddstor.h, ntddscsi.h and ntdddisk.h.
#[rustfmt::skip]
const CODES: &[u32] = &[
    // IOCTL_STORAGE_*
    0x002D_4800, 0x002D_0800, 0x002D_4804, 0x002D_4808, 0x002D_480C, 0x002D_080C, 0x002D_4810,
    0x002D_4814, 0x002D_4818, 0x002D_0940, 0x002D_0944, 0x002D_0C00, 0x002D_0C04, 0x002D_0C10,
    0x002D_0C14, 0x002D_CC18, 0x002D_08C0, 0x002D_4400, 0x002D_5000, 0x002D_5004, 0x002D_D000,
    0x002D_D004, 0x002D_5014, 0x002D_5018, 0x002D_D01C, 0x002D_1080, 0x002D_1084, 0x002D_1100,
    0x002D_1104, 0x002D_1108, 0x002D_5140, 0x002D_D1C0, 0x002D_D1C4, 0x002D_D1C8, 0x002D_D1CC,
    0x002D_D200, 0x002D_D3C0, 0x002D_93FC, 0x002D_1400, 0x002D_9404, 0x002D_5408, 0x002D_9640,
    0x002D_5800, 0x002D_D804, 0x002D_D808, 0x002D_1880, 0x002D_D884, 0x002D_D888, 0x002D_1C00,
    0x002D_DC04, 0x002D_DC08, 0x002D_1C80, 0x002D_1C84, 0x002D_1C88, 0x002D_1C8C, 0x002D_1C90,
    0x002D_1C94, 0x002D_1C98, 0x002D_DC9C, 0x002D_1CA0, 0x002D_1CA4, 0x002D_1CC0, 0x002D_1CC4,
    // IOCTL_SCSI_*, IOCTL_IDE_*, IOCTL_ATA_*, IOCTL_MPIO_*, IOCTL_MINIPORT_*
    0x0004_D004, 0x0004_D008, 0x0004_100C, 0x0004_1010, 0x0004_D014, 0x0004_1018, 0x0004_101C,
    0x0004_1020, 0x0004_1024, 0x0004_D028, 0x0004_D02C, 0x0004_D030, 0x0004_D034, 0x0004_D038,
    0x0004_D03C, 0x0004_D040, 0x0004_D044, 0x0004_D048, 0x0004_D04C, 0x0004_D050,
    // IOCTL_DISK_*, SMART_*
    0x0007_0000, 0x0007_4004, 0x0007_C008, 0x0007_400C, 0x0007_C010, 0x0007_0014, 0x0007_C018,
    0x0007_C01C, 0x0007_0020, 0x0007_0024, 0x0007_0028, 0x0007_C02C, 0x0007_0030, 0x0007_0034,
    0x0007_0038, 0x0007_003C, 0x0007_0040, 0x0007_0044, 0x0007_0048, 0x0007_C04C, 0x0007_0050,
    0x0007_C054, 0x0007_C058, 0x0007_405C, 0x0007_0060, 0x0007_4080, 0x0007_C084, 0x0007_C088,
    0x0007_008C, 0x0007_00A0, 0x0007_C0A4, 0x0007_C0C8, 0x0007_C0D0, 0x0007_40D4, 0x0007_C0D8,
    0x0007_40DC, 0x0007_00F0, 0x0007_C0F4, 0x0007_C100, 0x0007_0140, 0x0007_C210, 0x0007_03E0,
    0x0007_C3CC, 0x0007_0C00, 0x0007_4800, 0x0007_4804, 0x0007_4808, 0x0007_480C, 0x0007_4810,
    0x0007_4814, 0x0007_4818,
    // Mount manager, volumes, and a code of nobody's.
    0x004D_0008, 0x0056_0000, 0x8000_2000, 0xFFFF_FFFC, 0,
];

const QUERY_PROPERTY: u32 = 0x002D_1400;
const GET_CAPABILITIES: u32 = 0x0004_1010;
/// Those whose input the port follows, or that ask the medium.
const PASS_THROUGH: [u32; 2] = [0x0004_D004, 0x0004_D014];

/// A device control request with these lengths, whose system buffer holds `input`.
fn control(major: u32, code: u32, input: &[u8], output: usize) -> Post {
    let mut memory = input.to_vec();
    memory.resize(input.len().max(output), 0);
    // OutputBufferLength, InputBufferLength, IoControlCode, Type3InputBuffer: one word each.
    post_irp(
        major,
        0,
        [output, input.len(), code as usize, 0x1234_5000],
        &memory,
    )
}

#[test]
fn every_control_code_of_the_storage_headers() {
    let mut cases = Vec::new();
    let mut random = Random::new(3);
    for &code in CODES {
        for (input, output) in [(0, 0), (8, 0), (12, 8), (12, 32), (64, 512), (0, 4096)] {
            let mut bytes = vec![0; input];
            if PASS_THROUGH.contains(&code) {
                // Too short to be one: the port says so.
                bytes.truncate(8);
            }
            let (stack_flags, irp_flags) = (random.next() as u8, random.next() as u32 & 0x70);
            let mut case = Case::new(
                format!("{code:#x}: {input} in, {output} out"),
                move |buffer| {
                    let request = control(IRP_MJ_DEVICE_CONTROL, code, &bytes, output);
                    let request = request.stack_flags(stack_flags).irp_flags(irp_flags);
                    // METHOD_IN_DIRECT and METHOD_OUT_DIRECT come with an MDL.
                    if code & 3 == 1 || code & 3 == 2 {
                        request.buffer(buffer)
                    } else {
                        request
                    }
                },
            );
            case.asks_for_limits = code == GET_CAPABILITIES;
            cases.push(case);
        }
    }
    assert_same_but_for_limits(&cases);
}

#[test]
fn every_property_that_may_be_asked_for() {
    let mut cases = Vec::new();
    for property in 0..=70_u32 {
        for query in 0..=4_u32 {
            for (input, output) in [(4, 64), (8, 0), (8, 8), (12, 64), (12, 1024)] {
                let mut bytes = property.to_le_bytes().to_vec();
                bytes.extend(query.to_le_bytes());
                bytes.resize(input, 0);
                let name = format!("property {property}, query {query}: {input} in, {output} out");
                let mut case = Case::new(name, move |_| {
                    control(IRP_MJ_DEVICE_CONTROL, QUERY_PROPERTY, &bytes, output)
                });
                case.asks_for_limits = (property, query) == (1, 0) && input >= 8;
                cases.push(case);
            }
        }
    }
    assert_same_but_for_limits(&cases);
}

#[test]
fn internal_requests_that_carry_no_block() {
    // IRP_MJ_INTERNAL_DEVICE_CONTROL has the number of IRP_MJ_SCSI. Without a block there is nothing to
    // look at, whatever the control code.
    assert_eq!(IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_SCSI);
    let cases: Vec<Case> = CODES
        .iter()
        .map(|&code| {
            Case::new(format!("internal {code:#x}"), move |_| {
                control(IRP_MJ_INTERNAL_DEVICE_CONTROL, code, &[7; 24], 0).stack_flags(3)
            })
        })
        .collect();
    assert_same_with_and_without(&roomy(), &cases);
}

#[test]
fn every_other_major() {
    // PnP and power are the framework's; a read or write is no SRB, so in this shape nobody's.
    let mut cases = Vec::new();
    for major in 0..=0x1A_u32 {
        if [IRP_MJ_SCSI, IRP_MJ_DEVICE_CONTROL, IRP_MJ_POWER].contains(&major) {
            continue;
        }
        for minor in [0, 1, 7] {
            cases.push(Case::new(
                format!("major {major:#x}, minor {minor}"),
                move |buffer| {
                    let parameters = [0x2_0000, 0x77, 0x12_3400, 0xBEEF];
                    let request =
                        post_irp(major, minor, parameters, &[1; 64]).stack_flags(minor << 2);
                    match major {
                        IRP_MJ_READ | IRP_MJ_WRITE => {
                            request.buffer(buffer).irp_flags(0x43).priority(4)
                        }
                        _ => request,
                    }
                },
            ));
        }
    }
    assert_same_with_and_without(&roomy(), &cases);
}

#[test]
fn nothing_is_allocated_however_often() {
    let world = World::new(driver())
        .shape(Shape::Srb)
        .hba(adapter(PIECE, 2));
    let ((), report) = common::run_unchecked(world, |stack| {
        let buffer = stack.buffer(LENGTH, 0);
        for round in 0..200_u32 {
            for extended in [false, true] {
                let cdb = read_write_cdb(BOTH[round as usize % 2], 0, LENGTH as u32 / 512, 10);
                let block = Block::of(extended, &cdb);
                post(&block).buffer(&buffer).send(stack).wait();
                let inquiry = Block::of(extended, &[0x12, 0, 0, 0, 36, 0]);
                let inquiry = inquiry.flags(|flags| flags | flag::DATA_IN);
                post(&inquiry).buffer(&buffer).length(36).send(stack).wait();
                control(IRP_MJ_DEVICE_CONTROL, GET_CAPABILITIES, &[], 24)
                    .send(stack)
                    .wait();
                let query = [1, 0, 0, 0, 0, 0, 0, 0];
                control(IRP_MJ_DEVICE_CONTROL, QUERY_PROPERTY, &query, 64)
                    .send(stack)
                    .wait();
            }
        }
    });
    common::assert_nothing_allocated(&report);
}
