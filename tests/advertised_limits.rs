//! Beneath the class driver, the adapter's limits as the stack above reads them are the ones that it
//! shall keep to; nothing else of any reply changes.

mod common;

#[path = "common/bus.rs"]
mod bus;

use bus::{ADAPTER_PROPERTY, Answer, Came, GET_CAPABILITIES, Node, QUERY_PROPERTY};
use common::{Random, adapter, assert_told_once, check, driver, logged, run, world};
use ntsim::abi::{STATUS_BUFFER_OVERFLOW, STATUS_NOT_SUPPORTED, STATUS_PENDING};
use ntsim::port::{AdapterReply, Completion, Disk, Hba};
use ntsim::registry::Registry;
use ntsim::{Shape, Stack, World, pnp};

const PAGE: u32 = 4096;
const UNLIMITED: u32 = u32::MAX;
const STANDARD: u32 = 0;

/// The driver beneath a class driver that is not there.
fn srb() -> World {
    world().shape(Shape::Srb)
}

fn query(property: u32, kind: u32) -> Vec<u8> {
    [property, kind, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// What the stack above reads: bytes and pages of the descriptor, which the older request must
/// confirm.
#[track_caller]
fn told(stack: &Stack) -> (u32, u32) {
    let asked = stack.ioctl(QUERY_PROPERTY, &query(ADAPTER_PROPERTY, STANDARD), 32);
    let reply = asked.send().wait();
    assert_told_once(&reply.irp);
    assert_eq!((reply.irp.status, reply.irp.information), (0, 32));
    let older = stack.ioctl(GET_CAPABILITIES, &[], 24).send().wait();
    assert_told_once(&older.irp);
    assert_eq!((older.irp.status, older.irp.information), (0, 24));
    let told = (word(&reply.output, 8), word(&reply.output, 12));
    assert_eq!(told, (word(&older.output, 4), word(&older.output, 8)));
    told
}

#[track_caller]
fn told_by(world: World) -> (u32, u32) {
    run(world, told).0
}

/// Limits under which classpnp's own arithmetic stays within `bytes` and `pages`, wherever a buffer
/// starts and however many blocks a command of 10 bytes can name.
fn safe(bytes: u32, pages: u32, block: u32) -> Option<(u32, u32)> {
    let by_pages = if pages == UNLIMITED {
        u64::MAX
    } else {
        (u64::from(pages.max(1)) - 1) * u64::from(PAGE)
    };
    let bytes = if bytes == UNLIMITED {
        u64::MAX
    } else {
        u64::from(bytes)
    };
    let most = bytes.min(by_pages).min(0xFFFF * u64::from(block)) as u32 / PAGE * PAGE;
    (most != 0).then_some((most, most / PAGE + 1))
}

#[test]
fn the_effective_limits_are_told() {
    let mut random = Random::new(1);
    for _ in 0..150 {
        let sector = random.choose(&[512, 4096]);
        let hba_bytes = random.choose(&[UNLIMITED, 0x2_0000, 65_535, 0xFFFF_F000, 0x1000]);
        let hba_pages = random.choose(&[UNLIMITED, 2, 17, 33, 257, 0x10_0001]);
        let bytes = 4096 + random.below(1 << 18) as u32;
        let pages = 2 + random.below(70) as u32;
        let world = srb()
            .disk(Disk::memory(1 << 12, sector))
            .hba(Hba::unlimited().limits(hba_bytes, hba_pages))
            .setting("MaximumTransferLength", bytes)
            .setting("MaximumPhysicalPages", pages)
            .setting("Advertise", 1);
        let expected = safe(bytes.min(hba_bytes), pages.min(hba_pages), sector);
        check(
            (sector, hba_bytes, hba_pages, bytes, pages),
            &told_by(world),
            &expected.unwrap_or((hba_bytes, hba_pages)),
        );
    }
}

#[test]
fn the_longest_command_of_the_class_driver_counts() {
    for sector in [512_u32, 4096] {
        let build = || {
            srb()
                .disk(Disk::memory(1 << 12, sector))
                .setting("Advertise", 1)
        };
        let (bytes, pages) = told_by(build());
        assert_eq!(Some((bytes, pages)), safe(UNLIMITED, UNLIMITED, sector));
        assert!(bytes / sector <= 0xFFFF && bytes % PAGE == 0 && pages == bytes / PAGE + 1);
        // Where nobody names the block's size it is taken for the smallest.
        let mute = Disk::memory(1 << 12, sector).reports_alignment(false);
        let careful = safe(UNLIMITED, UNLIMITED, 512);
        assert_eq!(Some(told_by(build().disk(mute))), careful);
    }
}

#[test]
fn by_default_only_what_is_stricter() {
    let honest = || srb().hba(adapter(0x2_0000, 33));
    assert_eq!(told_by(honest()), (0x2_0000, 33));
    assert_eq!(told_by(srb()), (UNLIMITED, UNLIMITED));
    // Equal is not stricter.
    let equal = honest()
        .setting("MaximumTransferLength", 0x2_0000)
        .setting("MaximumPhysicalPages", 33);
    assert_eq!(told_by(equal), (0x2_0000, 33));
    let looser = honest()
        .setting("MaximumTransferLength", 0x4_0000)
        .setting("MaximumPhysicalPages", 100);
    assert_eq!(told_by(looser), (0x2_0000, 33));
    let fewer_bytes = honest().setting("MaximumTransferLength", 0x1_0000);
    assert_eq!(told_by(fewer_bytes), (0x1_0000, 17));
    let fewer_pages = honest().setting("MaximumPhysicalPages", 9);
    assert_eq!(told_by(fewer_pages), (0x8000, 9));
    let registers = honest().setting("NumberOfMapRegisters", 5);
    assert_eq!(told_by(registers), (0x4000, 5));
}

#[test]
fn the_adapters_own_values_on_demand() {
    for setting in [
        "MaximumTransferLength",
        "MaximumPhysicalPages",
        "NumberOfMapRegisters",
    ] {
        let world = srb()
            .hba(adapter(0x2_0000, 33))
            .setting(setting, 4096)
            .setting("MaximumTransferLength", 8192)
            .setting("Advertise", 0);
        check(setting, &told_by(world), &(0x2_0000, 33));
    }
}

#[test]
fn a_longer_length_on_demand() {
    let build = || srb().hba(adapter(0x2_0000, 33)).setting("Advertise", 2);
    assert_eq!(told_by(build()), (0x10_0000, 257));
    for (setting, length) in [
        (4096, 4096),
        (4097, 4096),
        (0x1_0000, 0x1_0000),
        (0x3_0FFF, 0x3_0000),
        (0x20_0000, 0x20_0000),
        (0x40_0000, 0x40_0000),
    ] {
        let world = build().setting("AdvertisedTransferLength", setting);
        check(setting, &told_by(world), &(length, length / PAGE + 1));
    }
    // More than 4 MiB is no value; the default stands.
    let more = build().setting("AdvertisedTransferLength", 0x40_0001);
    assert_eq!(told_by(more), (0x10_0000, 257));
    // With limits of its own, too.
    let strict = build().setting("MaximumTransferLength", 8192);
    assert_eq!(told_by(strict), (0x10_0000, 257));
}

#[test]
fn a_longer_length_is_not_told_of_every_disk() {
    let build = || {
        srb()
            .hba(adapter(0x2_0000, 33))
            .service_setting("Advertise", 2)
    };
    let (plain, report) = run(build(), told);
    assert_eq!(plain, (0x2_0000, 33));
    assert_eq!(logged(&report, "Advertise").len(), 1);
    let strict = build().service_setting("MaximumTransferLength", 0x8000);
    assert_eq!(told_by(strict), (0x8000, 9));
    let own = build().setting("Advertise", 2);
    assert_eq!(told_by(own), (0x10_0000, 257));
    let zero = srb()
        .hba(adapter(0x2_0000, 33))
        .service_setting("Advertise", 0)
        .service_setting("MaximumTransferLength", 0x8000);
    assert_eq!(told_by(zero), (0x2_0000, 33));
}

#[test]
fn limits_that_no_class_driver_can_keep_are_not_told() {
    // One page: classpnp never sends less than a page, and an unaligned one lies on two.
    let build = || srb().hba(adapter(0x2_0000, 33));
    for (name, value) in [
        ("MaximumPhysicalPages", 1),
        ("MaximumTransferLength", 2048),
        ("MaximumTransferLength", 4095),
    ] {
        let world = build().setting(name, value);
        check((name, value), &told_by(world), &(0x2_0000, 33));
    }
}

#[test]
fn other_shapes_tell_what_the_adapter_says() {
    let strict = |shape| {
        world()
            .shape(shape)
            .hba(adapter(0x2_0000, 33))
            .setting("MaximumTransferLength", 8192)
            .setting("Advertise", 1)
    };
    for shape in [Shape::Class, Shape::Relay] {
        check(shape, &told_by(strict(shape)), &(0x2_0000, 33));
    }
    let disabled = strict(Shape::Srb).setting("Disabled", 1);
    assert_eq!(told_by(disabled), (0x2_0000, 33));
    assert_eq!(told_by(strict(Shape::Srb)), (8192, 3));
}

/// Status, information and reply to one question, for every room from 0 to 64 bytes.
fn every_room(world: World, code: u32, input: &[u8]) -> Vec<(i32, u64, Vec<u8>)> {
    let ask = |stack: &Stack| {
        let ask = |room| {
            let reply = stack.ioctl(code, input, room).send().wait();
            assert_told_once(&reply.irp);
            (reply.irp.status, reply.irp.information, reply.output)
        };
        (0..=64).map(ask).collect()
    };
    common::run_unchecked(world, ask).0
}

/// The reply as the driver is to leave it: `fields` that lie inside it are overwritten.
fn patched(
    (status, information, mut output): (i32, u64, Vec<u8>),
    fields: [(usize, u32); 2],
) -> (i32, u64, Vec<u8>) {
    if status == 0 || status == STATUS_BUFFER_OVERFLOW {
        for (at, value) in fields {
            if let Some(place) = output.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    (status, information, output)
}

#[test]
fn replies_of_every_length_change_inside_their_information_alone() {
    let cut = |length, claims| AdapterReply::Cut { length, claims };
    let replies = [
        AdapterReply::Honest,
        AdapterReply::Overflow,
        cut(20, 20),
        cut(24, 24),
        cut(31, 31),
    ];
    let input = query(ADAPTER_PROPERTY, STANDARD);
    for reply in replies {
        for always_pending in [false, true] {
            let hba = || {
                adapter(0x2_0000, 33)
                    .adapter_reply(reply)
                    .always_pending(always_pending)
            };
            let with = srb().hba(hba()).setting("MaximumTransferLength", 0x8000);
            let with = every_room(with, QUERY_PROPERTY, &input);
            let without = every_room(World::without_filter().hba(hba()), QUERY_PROPERTY, &input);
            for (room, (with, without)) in with.into_iter().zip(without).enumerate() {
                // A probe of 8 bytes asks for the size alone.
                let expected = patched(without, [(8, 0x8000), (12, 9)]);
                check((reply, always_pending, room), &with, &expected);
            }
        }
    }
    let hba = || adapter(0x2_0000, 33);
    let with = srb().hba(hba()).setting("MaximumTransferLength", 0x8000);
    let with = every_room(with, GET_CAPABILITIES, &[]);
    let without = every_room(World::without_filter().hba(hba()), GET_CAPABILITIES, &[]);
    for (room, (with, without)) in with.into_iter().zip(without).enumerate() {
        check(room, &with, &patched(without, [(4, 0x8000), (8, 9)]));
    }
}

#[test]
fn other_questions_get_the_answers_of_the_device() {
    let questions: Vec<(u32, Vec<u8>)> = [0, 2, 3, 6, 7, 0x100, UNLIMITED]
        .into_iter()
        .flat_map(|property| {
            [0, 1, 2, 3, UNLIMITED].map(|kind| (QUERY_PROPERTY, query(property, kind)))
        })
        .chain([1, 2, 3, UNLIMITED].map(|kind| (QUERY_PROPERTY, query(ADAPTER_PROPERTY, kind))))
        .chain((0..8).map(|length| {
            let mut short = query(ADAPTER_PROPERTY, STANDARD);
            short.truncate(length);
            (QUERY_PROPERTY, short)
        }))
        .chain([0x0004_1018, 0x0007_0000, 0x002D_1404, 0x0004_1014].map(|code| (code, query(1, 0))))
        .collect();
    let hba = || adapter(0x2_0000, 33);
    for (code, input) in questions {
        let with = srb().hba(hba()).setting("MaximumTransferLength", 0x8000);
        let with = every_room(with, code, &input);
        let without = every_room(World::without_filter().hba(hba()), code, &input);
        check((code, &input), &with, &without);
    }
    // Without a buffer there is nothing to read or write.
    let ask = |stack: &Stack| {
        let asked = stack.ioctl(GET_CAPABILITIES, &[], 24).no_system_buffer();
        let reply = asked.send().wait();
        (reply.irp.status, reply.irp.information)
    };
    let (with, _) = run(srb().hba(hba()).setting("Advertise", 2), ask);
    let (without, _) = run(World::without_filter().hba(hba()), ask);
    assert_eq!(with, without);
    // However long the question is.
    run(
        srb().hba(hba()).setting("MaximumTransferLength", 0x8000),
        |stack| {
            for length in [8, 9, 12, 64, 500] {
                let mut input = query(ADAPTER_PROPERTY, STANDARD);
                input.resize(length, 0xA5);
                let reply = stack.ioctl(QUERY_PROPERTY, &input, 32).send().wait();
                check(length, &word(&reply.output, 8), &0x8000);
            }
        },
    );
}

#[test]
fn failed_replies_are_left_alone() {
    let refused = AdapterReply::Refused(STATUS_NOT_SUPPORTED);
    let world = srb().hba(adapter(0x2_0000, 33).adapter_reply(refused));
    run(world.setting("MaximumTransferLength", 0x8000), |stack| {
        let input = query(ADAPTER_PROPERTY, STANDARD);
        let reply = stack.ioctl(QUERY_PROPERTY, &input, 32).send().wait();
        assert_told_once(&reply.irp);
        assert_eq!(reply.irp.status, STATUS_NOT_SUPPORTED);
        assert_eq!(reply.irp.information, 0);
    });
}

#[test]
fn adapters_that_answer_later() {
    let hba = adapter(0x2_0000, 33).completion(Completion::Later(1..5_000));
    let world = srb().hba(hba).setting("MaximumTransferLength", 0x8000);
    run(world, |stack| {
        for _ in 0..20 {
            let input = query(ADAPTER_PROPERTY, STANDARD);
            let pending = stack.ioctl(QUERY_PROPERTY, &input, 32).send();
            assert!(!pending.is_done());
            let reply = pending.wait();
            assert_told_once(&reply.irp);
            assert_eq!(reply.irp.returned, STATUS_PENDING);
            assert!(reply.irp.pending_returned);
            assert_eq!(word(&reply.output, 8), 0x8000);
            assert_eq!(told(stack), (0x8000, 9));
        }
    });
}

#[test]
fn the_same_after_stop_and_start() {
    let world = srb()
        .hba(adapter(0x2_0000, 33))
        .setting("MaximumTransferLength", 0x8000);
    run(world, |stack| {
        for round in 0..3 {
            check(round, &told(stack), &(0x8000, 9));
            stack.stop().expect("the device can be stopped");
            stack.start().expect("the device can be started");
        }
    });
}

// ---- a bus device that says anything ----

const PATCHED: [u32; 2] = [0x3000, 4];

/// Starts the driver above a device of 16 KiB over 5 pages, to tell 12 KiB over 4.
fn started(scenario: impl FnOnce(ntsim::abi::PDEVICE_OBJECT) + Send) {
    bus::on_machine(|| {
        bus::setting("Shape", 1);
        bus::setting("MaximumTransferLength", 0x3000);
        let driver = driver();
        let mut node = Node::new().lower(&driver).add();
        node.start().expect("the device starts");
        scenario(node.top());
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
    });
}

/// What must come back: the bus device's answer over what the sender had there, and the two fields.
fn expected(input: &[u8], room: &[u8], answer: &Answer, fields: Option<usize>) -> Vec<u8> {
    let mut buffer = room.to_vec();
    buffer.resize(input.len().max(room.len()), 0);
    buffer[..input.len()].copy_from_slice(input);
    let length = answer.bytes.len().min(room.len());
    buffer[..length].copy_from_slice(&answer.bytes[..length]);
    let good = answer.status == 0 || answer.status == STATUS_BUFFER_OVERFLOW;
    let information = answer.information.min(room.len() as u64) as usize;
    for (at, value) in fields.into_iter().flat_map(|at| [at, at + 4]).zip(PATCHED) {
        if good && at + 4 <= information {
            buffer[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    buffer
}

fn random_answer(random: &mut Random) -> Answer {
    let length = random.below(80) as usize;
    let exact = random.below(2) == 0;
    Answer {
        bytes: (0..length).map(|_| random.next() as u8).collect(),
        status: random.choose(&[
            0,
            0,
            0,
            STATUS_BUFFER_OVERFLOW,
            STATUS_BUFFER_OVERFLOW,
            0x8000_0006_u32 as i32,
            0xC000_0023_u32 as i32,
            0xC000_009A_u32 as i32,
            STATUS_NOT_SUPPORTED,
        ]),
        information: if exact {
            length as u64
        } else {
            random.below(80)
        },
        pending: random.below(2) == 0,
    }
}

#[track_caller]
fn assert_came(came: &Came, buffer: &[u8], answer: &Answer, room: usize) {
    assert_eq!(came.buffer, buffer, "{answer:?}");
    assert_eq!(came.status, answer.status, "{answer:?}");
    assert_eq!(came.information, answer.information.min(room as u64));
    if answer.pending {
        assert_eq!(came.returned, STATUS_PENDING);
        assert!(came.pending_returned);
    } else {
        assert_eq!(came.returned, answer.status);
        assert!(!came.pending_returned);
    }
}

#[test]
fn any_reply_byte_for_byte() {
    started(|top| {
        let mut random = Random::new(7);
        for _ in 0..4_000 {
            let answer = random_answer(&mut random);
            let room: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
            let length = random.choose(&[0_usize, 4, 7, 8, 9, 12, 12, 12, 40]);
            let property = random.choose(&[ADAPTER_PROPERTY, ADAPTER_PROPERTY, 0, 6]);
            let kind = random.choose(&[0, 0, 0, 1, 2]);
            let mut input = query(property, kind);
            input.resize(length, 0x77);
            for (property, code) in [
                (0, QUERY_PROPERTY),
                (1, QUERY_PROPERTY),
                (6, QUERY_PROPERTY),
            ]
            .into_iter()
            .chain([(0, GET_CAPABILITIES)])
            {
                bus::answer(code, property, answer.clone());
            }
            let asks = length >= 8 && property == ADAPTER_PROPERTY && kind == STANDARD;
            let came = bus::ioctl(top, QUERY_PROPERTY, &input, &room);
            let buffer = expected(&input, &room, &answer, asks.then_some(8));
            assert_came(&came, &buffer, &answer, room.len());
            let came = bus::ioctl(top, GET_CAPABILITIES, &input, &room);
            let buffer = expected(&input, &room, &answer, Some(4));
            assert_came(&came, &buffer, &answer, room.len());
        }
    });
}

#[test]
fn nothing_changes_before_the_device_has_started() {
    bus::on_machine(|| {
        bus::setting("Shape", 1);
        bus::setting("MaximumTransferLength", 0x3000);
        let driver = driver();
        let mut node = Node::new().lower(&driver).add();
        let ask = |top| {
            let input = query(ADAPTER_PROPERTY, STANDARD);
            let came = bus::ioctl(top, QUERY_PROPERTY, &input, &[0; 32]);
            (came.status, word(&came.buffer, 8), word(&came.buffer, 12))
        };
        assert_eq!(ask(node.top()), (0, 16384, 5));
        node.start().expect("the device starts");
        assert_eq!(ask(node.top()), (0, 0x3000, 4));
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
    });
}

#[test]
fn a_device_that_could_not_be_asked_at_start_is_not_patched_later() {
    bus::on_machine(|| {
        bus::setting("Shape", 1);
        bus::setting("MaximumTransferLength", 0x3000);
        let silent = Answer {
            status: STATUS_NOT_SUPPORTED,
            ..Answer::default()
        };
        bus::answer(QUERY_PROPERTY, ADAPTER_PROPERTY, silent);
        let driver = driver();
        let mut node = Node::new().lower(&driver).add();
        node.start().expect("the device starts all the same");
        let words = bus::adapter_descriptor(0x1_0000, 17);
        bus::answer(QUERY_PROPERTY, ADAPTER_PROPERTY, Answer::of(&words));
        let input = query(ADAPTER_PROPERTY, STANDARD);
        let came = bus::ioctl(node.top(), QUERY_PROPERTY, &input, &[0; 32]);
        assert_eq!(came.buffer, words);
        assert_eq!(bus::logged("passing everything through").len(), 1);
        node.remove().expect("the device can be removed");
        driver.unload().expect("the driver can be unloaded");
    });
}

#[test]
fn a_setting_of_the_service_counts_until_the_device_says_otherwise() {
    bus::on_machine(|| {
        bus::setting("Shape", 1);
        let driver = driver();
        let key = pnp::parameters_key(driver.name());
        Registry::current().set_dword(&key, "MaximumTransferLength", 0x3000);
        Registry::current().set_dword(&key, "Advertise", 0);
        for (own, told) in [(None, (16384, 5)), (Some(1), (0x3000, 4))] {
            if let Some(value) = own {
                bus::setting("Advertise", value);
            }
            let mut node = Node::new().lower(&driver).add();
            node.start().expect("the device starts");
            let input = query(ADAPTER_PROPERTY, STANDARD);
            let came = bus::ioctl(node.top(), QUERY_PROPERTY, &input, &[0; 32]);
            check(own, &(word(&came.buffer, 8), word(&came.buffer, 12)), &told);
            node.remove().expect("the device can be removed");
        }
        driver.unload().expect("the driver can be unloaded");
    });
}
