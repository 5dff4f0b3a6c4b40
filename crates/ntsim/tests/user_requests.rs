//! Requests of programs: an address and no MDL, whose meaning depends on the process, through a
//! driver at the top of a stack that locks it.

mod user_support;

use ntsim::abi::*;
use ntsim::machine::{BugCheck, codes};
use ntsim::memory::{LockLimits, PAGE, Protection, USER_PROBE_ADDRESS};
use ntsim::port::Disk;
use ntsim::{Clock, Report, Stack, StackKind, World, ke, ntddk};
use user_support::{Mistake, orders, top};

/// The driver above the disk class driver.
fn world() -> World {
    World::new(top())
        .stack(StackKind::Relay)
        .disk(Disk::memory(4096, 512))
}

fn run<T: Send>(world: World, body: impl FnOnce(&Stack) -> T + Send) -> (T, Report) {
    let (value, report) = world.run(body).unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(report.locks.pages, 0);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    (value, report)
}

fn stops(mistake: Mistake, body: impl FnOnce(&Stack) + Send) -> BugCheck {
    // What a stopped machine's thread has borrowed stays borrowed: nothing of this frame may be.
    let outcome = world().run(move |stack| {
        *orders().mistake.lock().expect("unpoisoned") = mistake;
        body(stack);
    });
    outcome.expect_err("the machine stops")
}

fn pattern(seed: usize) -> impl Fn(usize) -> u8 {
    move |index| (index * 7 + index / 251 + seed) as u8
}

#[test]
fn a_programs_bytes_go_to_the_disk_and_come_back() {
    let ((), report) = run(world(), |stack| {
        let process = stack.process("program");
        for (length, offset) in [
            (512, 0),
            (512, 4095),
            (4096, 100),
            (64 << 10, 0),
            (100 * 512, 3000),
        ] {
            let buffer = stack.user_buffer(&process, length, offset);
            buffer.fill_with(pattern(length));
            let done = stack.user_write(8192, &buffer).send().wait();
            assert_eq!(
                (done.status, done.information),
                (STATUS_SUCCESS, length as u64)
            );
            let copy = stack.user_buffer(&process, length, 4096 - offset % 4096 - 1);
            assert!(stack.user_read(8192, &copy).send().wait().succeeded());
            assert_eq!(copy.bytes(), buffer.bytes());
        }
    });
    assert_eq!(report.locks.ranges, 10);
    assert_eq!(
        report.locks.peak, 17,
        "64 KiB from the last byte of a page on"
    );
}

#[test]
fn the_same_address_of_two_processes_is_two_buffers() {
    run(world(), |stack| {
        let (one, two) = (stack.process("one"), stack.process("two"));
        let (a, b) = (
            stack.user_buffer(&one, 8192, 16),
            stack.user_buffer(&two, 8192, 16),
        );
        assert_eq!(a.address(), b.address());
        a.fill(0xAA);
        b.fill(0xBB);
        for (buffer, offset) in [(&a, 0), (&b, 8192)] {
            assert!(stack.user_write(offset, buffer).send().wait().succeeded());
        }
        let copy = stack.buffer(16384, 0);
        assert!(stack.read(0, &copy).send().wait().succeeded());
        let bytes = copy.bytes();
        assert!(bytes[..8192].iter().all(|&byte| byte == 0xAA));
        assert!(bytes[8192..].iter().all(|&byte| byte == 0xBB));
    });
}

#[test]
fn a_driver_can_tell_whose_request_it_has() {
    run(world(), |stack| {
        let (one, two) = (stack.process("one"), stack.process("two"));
        let buffer = stack.user_buffer(&one, 512, 0);
        let objects = [one.object().addr(), two.object().addr()];
        // SAFETY: always allowed.
        let system = unsafe { ntddk::IoGetCurrentProcess() }.addr();
        let read = || stack.user_read(0, &buffer);
        let refused = STATUS_INVALID_DEVICE_REQUEST;
        for (request, status, expected) in [
            (read(), STATUS_SUCCESS, (objects[0], objects[0])),
            (read().sent_in(&two), refused, (objects[1], objects[0])),
            (read().thread_of(&two), refused, (objects[0], objects[1])),
            (read().no_thread(), refused, (objects[0], 0)),
            (read().sent_in_system(), refused, (system, objects[0])),
        ] {
            assert_eq!(request.send().wait().status, status);
            let seen = orders().seen.lock().expect("unpoisoned").pop();
            assert_eq!(seen, Some(expected));
        }
    });
}

#[test]
fn what_a_program_may_not_touch_is_refused_and_nothing_stays() {
    let ((), report) = run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 4 * PAGE, 0);
        buffer.fill(0x11);
        buffer.protect(2 * PAGE..3 * PAGE, Protection::ReadOnly);
        // Memory is written by a READ and read by a WRITE.
        assert_eq!(
            stack.user_read(0, &buffer).send().wait().status,
            STATUS_ACCESS_VIOLATION
        );
        assert!(stack.user_write(0, &buffer).send().wait().succeeded());
        buffer.unmap(3 * PAGE..4 * PAGE);
        assert_eq!(
            stack.user_write(0, &buffer).send().wait().status,
            STATUS_ACCESS_VIOLATION
        );
        assert!(
            stack
                .user_read(0, &buffer)
                .length(2 * PAGE as u32)
                .send()
                .wait()
                .succeeded()
        );
        let beyond = stack
            .user_read(0, &buffer)
            .address(USER_PROBE_ADDRESS - PAGE)
            .length(2 * PAGE as u32);
        assert_eq!(beyond.send().wait().status, STATUS_ACCESS_VIOLATION);
        let around = stack
            .user_read(0, &buffer)
            .address(usize::MAX - 511)
            .length(1024);
        assert_eq!(around.send().wait().status, STATUS_ACCESS_VIOLATION);
        assert_eq!(process.locked_pages(), 0);
    });
    assert_eq!((report.locks.ranges, report.locks.raised), (2, 4));
}

#[test]
fn limits_reach_the_program_as_their_status() {
    let limits = LockLimits {
        system: Some(3),
        process: None,
    };
    run(world().lock_limits(limits), |stack| {
        let process = stack.process("program");
        let status = |pages: usize| {
            let buffer = stack.user_buffer(&process, pages * PAGE, 0);
            stack.user_read(0, &buffer).send().wait().status
        };
        assert_eq!(status(3), STATUS_SUCCESS);
        assert_eq!(status(4), STATUS_INSUFFICIENT_RESOURCES);
        process.limit_locked_pages(2);
        assert_eq!(status(2), STATUS_SUCCESS);
        assert_eq!(status(3), STATUS_WORKING_SET_QUOTA);
    });
}

#[test]
fn pages_are_locked_as_long_as_the_disk_has_them() {
    run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 2 * PAGE, 0);
        stack.port().hold(true);
        let pending = stack.user_read(0, &buffer).send();
        assert_eq!(pending.returned(), STATUS_PENDING);
        assert_eq!(process.locked_pages(), 2);
        // The program frees its buffer meanwhile; the disk still has somewhere to put the data.
        buffer.unmap(0..2 * PAGE);
        drop(buffer);
        stack.port().hold(false);
        stack.port().complete_all();
        assert!(pending.wait().succeeded());
        assert_eq!(process.locked_pages(), 0);
    });
}

#[test]
fn a_driver_that_trusts_the_address_gives_the_system_away() {
    let ((), report) = run(world(), |stack| {
        let process = stack.process("program");
        let (buffer, secret) = (
            stack.user_buffer(&process, 512, 0),
            stack.system_buffer(512),
        );
        secret.fill_with(pattern(1));
        let steal = || {
            stack
                .user_write(0, &buffer)
                .address(secret.address().addr())
                .send()
                .wait()
                .status
        };
        assert_eq!(steal(), STATUS_ACCESS_VIOLATION);
        let on_disk = || {
            let copy = stack.user_buffer(&process, 512, 0);
            assert!(stack.user_read(0, &copy).send().wait().succeeded());
            copy.bytes()
        };
        assert_ne!(on_disk(), secret.bytes());
        *orders().mistake.lock().expect("unpoisoned") = Mistake::KernelMode;
        assert_eq!(steal(), STATUS_SUCCESS);
        assert_eq!(on_disk(), secret.bytes(), "the program can read it there");
    });
    // The last READ locks the program's own memory, and unprobed too.
    let locks = report.locks;
    assert_eq!(
        (locks.kernel_ranges, locks.kernel_mode),
        (1, 1),
        "and a test can see it"
    );
}

#[test]
fn another_thread_does_not_find_the_buffer() {
    run(world(), |stack| {
        *orders().mistake.lock().expect("unpoisoned") = Mistake::AnotherThread;
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 512, 0);
        assert_eq!(
            stack.user_read(0, &buffer).send().wait().status,
            STATUS_ACCESS_VIOLATION
        );
    });
}

#[test]
fn an_exception_that_nobody_catches_stops_the_machine() {
    let stop = stops(Mistake::Unguarded, |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 512, 0);
        stack.user_read(0, &buffer).send().wait();
        stack.user_read(0, &buffer).address(1 << 32).send();
    });
    assert_eq!(stop.code, codes::KMODE_EXCEPTION_NOT_HANDLED, "{stop}");
    assert!(stop.story.contains("of top"), "whose it was: {stop}");
}

#[test]
fn pages_that_a_driver_leaves_locked_are_found() {
    let read = |stack: &Stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 3 * PAGE, 1);
        assert!(
            stack
                .user_read(0, &buffer)
                .length(8192)
                .send()
                .wait()
                .succeeded()
        );
        process
    };
    let at_exit = stops(Mistake::LeavesLocked, move |stack| read(stack).exit());
    assert_eq!(at_exit.code, codes::PROCESS_HAS_LOCKED_PAGES, "{at_exit}");
    assert_eq!(at_exit.parameters[2], 3);
    let at_unload = stops(Mistake::LeavesLocked, move |stack| drop(read(stack)));
    assert_eq!(
        at_unload.code,
        codes::DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS,
        "{at_unload}"
    );
    assert_eq!(at_unload.parameters[3], 3);
    assert!(at_unload.story.contains("locked by top"), "{at_unload}");
}

#[test]
fn calls_are_told_in_their_order() {
    let (calls, _) = run(world(), |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 2 * PAGE, 5);
        stack.machine().watch_calls();
        assert!(
            stack
                .user_read(0, &buffer)
                .length(4096)
                .send()
                .wait()
                .succeeded()
        );
        stack
            .user_read(0, &buffer)
            .address(1 << 32)
            .length(512)
            .send()
            .wait();
        stack.machine().calls()
    });
    let calls: Vec<_> = calls
        .iter()
        .map(|call| (call.name, call.pages, call.status))
        .collect();
    let whose = [
        ("IoGetCurrentProcess", 0, 0),
        ("IoGetRequestorProcess", 0, 0),
    ];
    let fine = [
        ("IoAllocateMdl", 2, 0),
        ("MmProbeAndLockPages", 2, 0),
        ("IofCallDriver", 0, 0),
        ("MmUnlockPages", 2, 0),
        ("IoFreeMdl", 0, 0),
    ];
    let refused = [
        ("IoAllocateMdl", 1, 0),
        ("MmProbeAndLockPages", 1, STATUS_ACCESS_VIOLATION),
        ("IoFreeMdl", 0, 0),
        ("IofCompleteRequest", 0, 0),
    ];
    assert_eq!(calls, [&whose[..], &fine, &whose, &refused].concat());
}

#[test]
fn the_io_manager_locks_for_requests_that_it_builds() {
    run(World::without_filter().stack(StackKind::Disk), |stack| {
        let (one, two) = (stack.process("one"), stack.process("two"));
        let buffer = stack.user_buffer(&one, 3 * PAGE, 512);
        buffer.fill_with(pattern(9));
        let build = |major: u32, at: usize| {
            let mut offset = LARGE_INTEGER { QuadPart: 4096 };
            let mut event = Box::new(KEVENT::default());
            let mut block = Box::new(IO_STATUS_BLOCK::default());
            // SAFETY: event and block stay until the request is complete.
            unsafe {
                ntddk::KeInitializeEvent(&raw mut *event, _EVENT_TYPE::NotificationEvent, 0);
                let irp = ntddk::IoBuildSynchronousFsdRequest(
                    major,
                    stack.top(),
                    buffer.address_of(at),
                    8192,
                    &raw mut offset,
                    &raw mut *event,
                    &raw mut *block,
                );
                if irp.is_null() {
                    return None;
                }
                assert!(!(*irp).Tail.Overlay.Thread.is_null());
                ntddk::IofCallDriver(stack.top(), irp);
                ke::wait(&raw mut *event, None);
                Some(block.__bindgen_anon_1.Status)
            }
        };
        assert_eq!(one.run(|| build(IRP_MJ_WRITE, 512)), Some(STATUS_SUCCESS));
        assert_eq!(
            two.run(|| build(IRP_MJ_WRITE, 512)),
            None,
            "another process's address"
        );
        buffer.protect(PAGE..2 * PAGE, Protection::ReadOnly);
        assert_eq!(
            one.run(|| build(IRP_MJ_READ, 0)),
            None,
            "a disk's READ writes"
        );
        let copy = stack.buffer(8192, 0);
        assert!(stack.read(4096, &copy).send().wait().succeeded());
        assert_eq!(copy.bytes(), buffer.bytes()[512..512 + 8192]);
        assert_eq!(stack.machine().lock_counts().pages, 0);
    });
}

#[test]
fn many_programs_at_a_time() {
    for clock in [
        Clock::Deterministic { seed: 5 },
        Clock::Threads {
            processors: 2,
            seed: 5,
        },
    ] {
        let ((), report) = run(world().clock(clock), |stack| {
            let programs: Vec<_> = (0..4)
                .map(|number: u64| {
                    let process = stack.process("program");
                    let stack = stack.clone();
                    process.clone().spawn("program", move || {
                        let buffer = stack.user_buffer(&process, 5 * 512, 100);
                        for round in 0..10 {
                            buffer.fill_with(pattern(number as usize * 40 + round));
                            let wrote = buffer.bytes();
                            let offset = number * 64 * 512;
                            assert!(stack.user_write(offset, &buffer).send().wait().succeeded());
                            buffer.fill(0);
                            assert!(stack.user_read(offset, &buffer).send().wait().succeeded());
                            assert_eq!(buffer.bytes(), wrote);
                        }
                    })
                })
                .collect();
            programs
                .into_iter()
                .for_each(ntsim::machine::NtThread::join);
        });
        assert_eq!(report.locks.ranges, 80);
    }
}

#[test]
fn a_function_driver_of_its_own_sits_above_the_filter() {
    let world = World::without_filter()
        .function(top())
        .disk(Disk::memory(4096, 512));
    run(world, |stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 1024, 0);
        // The port takes no READ; that its answer comes back through the driver is what counts.
        let done = stack.user_read(0, &buffer).send().wait();
        assert_eq!(done.status, STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(orders().seen.lock().expect("unpoisoned").len(), 1);
        assert_eq!(process.locked_pages(), 0);
    });
}
