//! User memory is locked in the process whose it is, with its protections and limits, or not at all.

use std::ptr::{null_mut, without_provenance_mut};

use ntsim::abi::*;
use ntsim::machine::{AllocationKind, BugCheck, NtThread, codes};
use ntsim::memory::{self, LockLimits, PAGE, Protection, USER_PROBE_ADDRESS};
use ntsim::{Clock, Process, Stack, World, ke, ntddk};

const READ: LOCK_OPERATION = _LOCK_OPERATION::IoReadAccess;
const WRITE: LOCK_OPERATION = _LOCK_OPERATION::IoWriteAccess;
const MODIFY: LOCK_OPERATION = _LOCK_OPERATION::IoModifyAccess;
const KERNEL: i8 = _MODE::KernelMode as i8;
const USER: i8 = _MODE::UserMode as i8;

/// Runs `body` in a world without drivers; nothing may be locked at the end.
fn world<T: Send>(body: impl FnOnce(&Stack) -> T + Send) -> T {
    let (value, report) = World::without_filter()
        .run(body)
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(report.locks.pages, 0, "nothing stays locked");
    value
}

fn stops(body: impl FnOnce(&Stack) + Send) -> BugCheck {
    let outcome = World::without_filter().run(body);
    outcome.expect_err("the machine stops")
}

fn mdl(address: usize, length: usize) -> PMDL {
    // SAFETY: always allowed at PASSIVE_LEVEL.
    unsafe {
        ntddk::IoAllocateMdl(
            without_provenance_mut(address),
            length as u32,
            0,
            0,
            null_mut(),
        )
    }
}

fn free(mdl: PMDL) {
    // SAFETY: the tests' own MDL, used by nobody.
    unsafe { ntddk::IoFreeMdl(mdl) };
}

/// `MmProbeAndLockPages` in a guarded frame.
fn lock(mdl: PMDL, mode: i8, operation: LOCK_OPERATION) -> NTSTATUS {
    // SAFETY: the tests' own MDL.
    unsafe { memory::xfersplit_guarded_probe_and_lock(mdl, mode, operation) }
}

fn unlock(mdl: PMDL) {
    // SAFETY: the tests' own MDL.
    unsafe { ntddk::MmUnlockPages(mdl) };
}

/// Locks a range and unlocks it again; the status and the frames.
fn attempt(
    address: usize,
    length: usize,
    mode: i8,
    operation: LOCK_OPERATION,
) -> (NTSTATUS, Vec<u64>) {
    let mdl = mdl(address, length);
    let status = lock(mdl, mode, operation);
    let frames = if status == STATUS_SUCCESS {
        frames_of(mdl)
    } else {
        Vec::new()
    };
    if status == STATUS_SUCCESS {
        unlock(mdl);
    }
    free(mdl);
    (status, frames)
}

fn map(mdl: PMDL) -> PVOID {
    let cached = _MEMORY_CACHING_TYPE::MmCached;
    let priority = _MM_PAGE_PRIORITY::NormalPagePriority as u32 | MdlMappingNoExecute;
    // SAFETY: the tests' own MDL, whose pages are locked.
    unsafe { ntddk::MmMapLockedPagesSpecifyCache(mdl, KERNEL, cached, null_mut(), 0, priority) }
}

fn frames_of(mdl: PMDL) -> Vec<u64> {
    // SAFETY: the tests' own MDL, whose frames are filled in.
    unsafe {
        let bytes = (*mdl).ByteOffset as usize + (*mdl).ByteCount as usize;
        let frames = memory::mdl_pfns(mdl);
        (0..bytes.div_ceil(PAGE))
            .map(|index| *frames.add(index))
            .collect()
    }
}

#[test]
fn an_address_means_another_page_in_another_process() {
    world(|stack| {
        let (one, two) = (stack.process("one"), stack.process("two"));
        let (a, b) = (
            stack.user_buffer(&one, 3 * PAGE, 100),
            stack.user_buffer(&two, 3 * PAGE, 100),
        );
        let address = a.address().addr();
        assert_eq!(address, b.address().addr(), "processes begin alike");
        let lock = |process: &Process| process.run(|| attempt(address, 3 * PAGE, USER, WRITE));
        assert_eq!(lock(&one), (STATUS_SUCCESS, a.pfns().to_vec()));
        assert_eq!(lock(&two), (STATUS_SUCCESS, b.pfns().to_vec()));
        let nobodys = attempt(address, 3 * PAGE, USER, WRITE);
        assert_eq!(
            nobodys,
            (STATUS_ACCESS_VIOLATION, Vec::new()),
            "System has no user memory"
        );
    });
}

#[test]
fn a_range_of_user_mode_ends_at_the_probe_address() {
    world(|stack| {
        let process = stack.process("program");
        let last = stack.user_buffer_last(&process, 5000);
        let start = last.address().addr();
        assert_eq!(start + 5000, USER_PROBE_ADDRESS);
        // SAFETY: nobody writes the kernel's variable.
        assert_eq!(unsafe { MmUserProbeAddress } as usize, USER_PROBE_ADDRESS);
        let system = stack.system_buffer(PAGE);
        process.run(|| {
            assert_eq!(
                attempt(start, 5000, USER, WRITE),
                (STATUS_SUCCESS, last.pfns().to_vec())
            );
            let refused = [
                (start, 5001),
                (start, PAGE * 4),
                (USER_PROBE_ADDRESS, 1),
                (USER_PROBE_ADDRESS - 1, 2),
                (system.address().addr(), PAGE),
                (usize::MAX - 4095, 4096),
                (usize::MAX - 100, 4096),
                (0, 1),
                (0, PAGE),
                (PAGE, 1),
            ];
            for (address, length) in refused {
                let outcome = attempt(address, length, USER, READ);
                assert_eq!(
                    outcome,
                    (STATUS_ACCESS_VIOLATION, Vec::new()),
                    "{length} bytes at {address:#x}"
                );
            }
            // No bytes: nothing can be wrong with the address but that.
            assert_eq!(attempt(start, 0, USER, READ).0, STATUS_ACCESS_VIOLATION);
        });
    });
}

#[test]
fn kernel_mode_is_not_probed() {
    let ((), report) = World::without_filter()
        .run(|stack| {
            let system = stack.system_buffer(2 * PAGE);
            let address = system.address().addr();
            let process = stack.process("program");
            process.run(|| {
                assert_eq!(
                    attempt(address, 2 * PAGE, USER, WRITE).0,
                    STATUS_ACCESS_VIOLATION
                );
                let unprobed = attempt(address, 2 * PAGE, KERNEL, WRITE);
                assert_eq!(unprobed, (STATUS_SUCCESS, system.pfns().to_vec()));
            });
            assert_eq!(process.locked_pages(), 0);
        })
        .expect("no bug check");
    assert_eq!((report.locks.kernel_ranges, report.locks.raised), (1, 1));
    assert_eq!(report.locks.ranges, 0, "no range of user memory");
}

#[test]
fn kernel_mode_knows_user_memory_by_its_address() {
    world(|stack| {
        let process = stack.process("program");
        let last = stack.user_buffer_last(&process, 5000);
        process.run(|| {
            assert_eq!(
                attempt(last.address().addr(), 5000, KERNEL, WRITE),
                (STATUS_SUCCESS, last.pfns().to_vec())
            );
            let nowhere = attempt(0, PAGE, KERNEL, READ);
            assert_eq!(nowhere, (STATUS_ACCESS_VIOLATION, Vec::new()));
        });
        assert_eq!(stack.machine().lock_counts().ranges, 1);
    });
}

#[test]
fn system_addresses_without_memory_are_a_page_fault() {
    let stop = stops(|_| {
        let address = memory::reserve_va(1).addr();
        let _never = attempt(address, PAGE, KERNEL, READ);
    });
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA, "{stop}");
}

#[test]
fn user_memory_is_no_nonpaged_pool() {
    let stop = stops(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGE, 0);
        let mdl = mdl(buffer.address().addr(), PAGE);
        // SAFETY: the test's own MDL.
        process.run(|| unsafe { ntddk::MmBuildMdlForNonPagedPool(mdl) });
    });
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA, "{stop}");
}

#[test]
fn each_page_allows_what_its_protection_says() {
    world(|stack| {
        let process = stack.process("program");
        for odd in 0..3 {
            let protections = [
                Some(Protection::ReadWrite),
                Some(Protection::ReadOnly),
                Some(Protection::NoAccess),
                None,
            ];
            for protection in protections {
                let buffer = stack.user_buffer(&process, 3 * PAGE, 0);
                let page = odd * PAGE..(odd + 1) * PAGE;
                match protection {
                    Some(protection) => buffer.protect(page, protection),
                    None => buffer.unmap(page),
                }
                for (mode, operation) in [
                    (USER, READ),
                    (USER, WRITE),
                    (USER, MODIFY),
                    (KERNEL, READ),
                    (KERNEL, WRITE),
                    (KERNEL, MODIFY),
                ] {
                    let fine = match protection {
                        Some(Protection::ReadWrite) => true,
                        Some(Protection::ReadOnly) => operation == READ,
                        Some(Protection::NoAccess) | None => false,
                    };
                    let expected = if fine {
                        (STATUS_SUCCESS, buffer.pfns().to_vec())
                    } else {
                        (STATUS_ACCESS_VIOLATION, Vec::new())
                    };
                    let outcome =
                        process.run(|| attempt(buffer.address().addr(), 3 * PAGE, mode, operation));
                    assert_eq!(
                        outcome, expected,
                        "page {odd} {protection:?}, mode {mode}, operation {operation}"
                    );
                    assert_eq!(process.locked_pages(), 0);
                }
                // What does not touch the page does not care.
                let beside = (odd + 1) % 3;
                let outcome = process
                    .run(|| attempt(buffer.address_of(beside * PAGE).addr(), PAGE, USER, WRITE));
                assert_eq!(outcome, (STATUS_SUCCESS, vec![buffer.pfns()[beside]]));
            }
        }
    });
}

#[test]
fn limits_are_kept_and_a_refusal_locks_nothing() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 4 * PAGE, 0);
        let limited = |limits: LockLimits, pages: usize| {
            stack.machine().limit_locked_pages(limits);
            let status =
                process.run(|| attempt(buffer.address().addr(), pages * PAGE, USER, WRITE).0);
            assert_eq!(stack.machine().lock_counts().pages, 0);
            status
        };
        for limit in 0..=4 {
            for pages in 1..=4 {
                let expected = |refused| {
                    if pages <= limit {
                        STATUS_SUCCESS
                    } else {
                        refused
                    }
                };
                let system = LockLimits {
                    system: Some(limit),
                    process: None,
                };
                assert_eq!(
                    limited(system, pages),
                    expected(STATUS_INSUFFICIENT_RESOURCES)
                );
                let each = LockLimits {
                    system: None,
                    process: Some(limit),
                };
                assert_eq!(limited(each, pages), expected(STATUS_WORKING_SET_QUOTA));
            }
        }
    });
}

#[test]
fn a_page_counts_for_its_process_as_often_as_it_is_locked_and_once_for_the_machine() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 2 * PAGE, 0);
        let limits = LockLimits {
            system: Some(2),
            process: None,
        };
        stack.machine().limit_locked_pages(limits);
        process.limit_locked_pages(3);
        process.run(|| {
            let address = buffer.address().addr();
            let (one, two, three) = (mdl(address, 2 * PAGE), mdl(address, 1), mdl(address, 1));
            assert_eq!(lock(one, USER, WRITE), STATUS_SUCCESS);
            assert_eq!(
                lock(two, USER, WRITE),
                STATUS_SUCCESS,
                "its page is locked anyhow"
            );
            let counts = || (process.locked_pages(), stack.machine().lock_counts().pages);
            assert_eq!(counts(), (3, 2));
            assert_eq!(lock(three, USER, WRITE), STATUS_WORKING_SET_QUOTA);
            unlock(one);
            assert_eq!(counts(), (1, 1));
            assert_eq!(lock(three, USER, WRITE), STATUS_SUCCESS);
            unlock(three);
            unlock(two);
            assert_eq!(counts(), (0, 0));
            [one, two, three].into_iter().for_each(free);
        });
        assert_eq!(stack.machine().lock_counts().peak, 2);
    });
}

#[test]
fn locked_frames_outlive_the_addresses_that_led_to_them() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 2 * PAGE, 0);
        let (address, frames) = (buffer.address().addr(), buffer.pfns().to_vec());
        let locked = mdl(address, 2 * PAGE);
        process.run(|| assert_eq!(lock(locked, USER, WRITE), STATUS_SUCCESS));
        buffer.unmap(0..2 * PAGE);
        drop(buffer);
        assert_eq!(
            process.run(|| attempt(address, PAGE, USER, READ).0),
            STATUS_ACCESS_VIOLATION
        );
        assert_eq!(process.locked_pages(), 2);
        for &frame in &frames {
            assert!(
                memory::with_frames(|table| table.page(frame).is_some()),
                "it is still RAM"
            );
        }
        // In any process, and at DISPATCH_LEVEL.
        ke::raise_to_dispatch(|| unlock(locked));
        assert_eq!(process.locked_pages(), 0);
        free(locked);
        for &frame in &frames {
            assert!(
                memory::with_frames(|table| table.page(frame).is_none()),
                "it went with its last user"
            );
        }
    });
}

#[test]
fn user_memory_is_not_locked_at_dispatch_level() {
    let stop = stops(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGE, 0);
        let mdl = mdl(buffer.address().addr(), PAGE);
        process.run(|| ke::raise_to_dispatch(|| lock(mdl, USER, WRITE)));
    });
    assert_eq!(stop.code, codes::IRQL_NOT_LESS_OR_EQUAL, "{stop}");
    assert_eq!(stop.parameters[1..3], [2, 1]);
}

#[test]
fn nor_is_paged_pool() {
    let stop = stops(|_| {
        // SAFETY: always allowed at PASSIVE_LEVEL.
        let pool = unsafe { ntddk::ExAllocatePool2(POOL_FLAG_PAGED, 512, 1) };
        let mdl = mdl(pool.addr(), 512);
        assert_eq!(lock(mdl, KERNEL, READ), STATUS_SUCCESS);
        unlock(mdl);
        ke::raise_to_dispatch(|| lock(mdl, KERNEL, READ));
    });
    assert_eq!(stop.code, codes::IRQL_NOT_LESS_OR_EQUAL, "{stop}");
}

#[test]
fn nonpaged_memory_is() {
    world(|stack| {
        let system = stack.system_buffer(PAGE);
        let mdl = mdl(system.address().addr(), PAGE);
        ke::raise_to_dispatch(|| {
            assert_eq!(lock(mdl, KERNEL, WRITE), STATUS_SUCCESS);
            unlock(mdl);
        });
        free(mdl);
    });
}

#[test]
fn an_exception_outside_a_guarded_frame_is_nobodys() {
    let stop = stops(|_| {
        let mdl = mdl(0x1_0000, PAGE);
        // SAFETY: the test's own MDL.
        unsafe { ntddk::MmProbeAndLockPages(mdl, USER, READ) };
    });
    assert_eq!(stop.code, codes::KMODE_EXCEPTION_NOT_HANDLED, "{stop}");
    let code = u64::from(STATUS_ACCESS_VIOLATION.cast_unsigned());
    assert_eq!(stop.parameters[..2], [code, 0x1_0000]);
}

/// What is done with an MDL.
type Step = fn(PMDL);

/// Describes nonpaged pool with an MDL.
fn build(mdl: PMDL) {
    // SAFETY: the tests' own MDL over memory of the system's.
    unsafe { ntddk::MmBuildMdlForNonPagedPool(mdl) };
}

fn lock_and_unlock(mdl: PMDL) {
    assert_eq!(lock(mdl, KERNEL, WRITE), STATUS_SUCCESS);
    unlock(mdl);
}

/// Locks at an IRQL at which no driver routine of this kind may run.
fn lock_at_dirql(mdl: PMDL) {
    // SAFETY: always allowed; the machine stops before the IRQL would have to be lowered.
    unsafe { ntddk::KfRaiseIrql(5) };
    lock(mdl, USER, READ);
}

#[test]
fn an_mdl_in_the_wrong_state_stops_the_machine() {
    let locked = |mdl| assert_eq!(lock(mdl, KERNEL, WRITE), STATUS_SUCCESS);
    // Of Driver Verifier's four parameters the first and the last (flags, or the access mode).
    let cases: [(u64, u64, Step, Step); 6] = [
        (0xB0, u64::from(MDL_PAGES_LOCKED), locked, locked),
        (0xB0, u64::from(MDL_SOURCE_IS_NONPAGED_POOL), build, locked),
        (0x7C, 0, |_| (), unlock),
        (0x7C, 0, lock_and_unlock, unlock),
        (0x7D, 0, build, unlock),
        (0x70, 1, |_| (), lock_at_dirql),
    ];
    for (rule, last, before, breaks) in cases {
        let stop = stops(move |stack| {
            let system = stack.system_buffer(PAGE);
            let mdl = mdl(system.address().addr(), PAGE);
            before(mdl);
            breaks(mdl);
        });
        let found = (stop.code, stop.parameters[0], stop.parameters[3]);
        let verifier = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
        assert_eq!(found, (verifier, rule, last), "{stop}");
    }
}

#[test]
fn an_mdl_that_is_too_small_is_not_written_behind_its_end() {
    let stop = stops(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 2 * PAGE, 0);
        let mdl = mdl(buffer.address().addr(), PAGE);
        // SAFETY: the test's own MDL, which is made to describe more than it has room for.
        unsafe { (*mdl).ByteCount = 2 * PAGE as u32 };
        process.run(|| lock(mdl, USER, WRITE));
    });
    assert_eq!(
        stop.code,
        codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION,
        "{stop}"
    );
    assert_eq!(stop.parameters[1..3], [2, 1]);
}

#[test]
fn an_mdl_is_used_again_for_the_next_portion() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 8 * PAGE, 300);
        let mdl = mdl(buffer.address().addr(), 3 * PAGE);
        process.run(|| {
            for portion in 0..3 {
                let at = portion * 5000;
                // SAFETY: the test's own MDL, unlocked; what MmInitializeMdl writes.
                unsafe {
                    let address = buffer.address_of(at);
                    (*mdl).MdlFlags = 0;
                    (*mdl).StartVa = address.map_addr(|address| address & !(PAGE - 1));
                    (*mdl).ByteOffset = (address.addr() % PAGE) as u32;
                    (*mdl).ByteCount = 5000;
                }
                assert_eq!(lock(mdl, USER, READ), STATUS_SUCCESS);
                let first = (300 + at) / PAGE;
                assert_eq!(frames_of(mdl)[0], buffer.pfns()[first]);
                unlock(mdl);
            }
        });
        free(mdl);
    });
}

#[test]
fn a_process_does_not_end_with_locked_pages() {
    for forget_mdl in [false, true] {
        let stop = stops(move |stack| {
            let process = stack.process("program");
            let buffer = stack.user_buffer(&process, 3 * PAGE, 0);
            let mdl = mdl(buffer.address().addr(), 3 * PAGE);
            process.run(|| lock(mdl, USER, WRITE));
            if forget_mdl {
                free(mdl);
            }
            process.exit();
        });
        assert_eq!(stop.code, codes::PROCESS_HAS_LOCKED_PAGES, "{stop}");
        assert_eq!((stop.parameters[0], stop.parameters[2]), (0, 3));
        assert!(stop.story.contains("program"), "{stop}");
    }
}

#[test]
fn an_mdl_that_is_used_again_without_unlocking_leaves_pages_locked() {
    for mode in [USER, KERNEL] {
        let stop = stops(move |stack| {
            let process = stack.process("program");
            let buffer = stack.user_buffer(&process, 2 * PAGE, 0);
            let system = stack.system_buffer(PAGE);
            let mdl = mdl(buffer.address().addr(), PAGE);
            process.run(|| {
                assert_eq!(lock(mdl, USER, WRITE), STATUS_SUCCESS);
                // SAFETY: the test's own MDL.
                unsafe {
                    (*mdl).MdlFlags = 0;
                    (*mdl).StartVa = if mode == USER {
                        buffer.address_of(PAGE)
                    } else {
                        system.address()
                    };
                }
                assert_eq!(lock(mdl, mode, WRITE), STATUS_SUCCESS);
            });
            unlock(mdl);
            assert_eq!(process.locked_pages(), 1, "mode {mode}");
            process.exit();
        });
        assert_eq!(stop.code, codes::PROCESS_HAS_LOCKED_PAGES, "{stop}");
        assert_eq!(stop.parameters[2], 1);
    }
}

#[test]
fn the_end_of_the_world_is_the_end_of_its_processes() {
    let stop = stops(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGE, 0);
        process.run(|| lock(mdl(buffer.address().addr(), PAGE), USER, WRITE));
    });
    assert_eq!(stop.code, codes::PROCESS_HAS_LOCKED_PAGES, "{stop}");
}

#[test]
fn a_mapping_shows_the_programs_bytes_and_the_same_frames() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, 3 * PAGE, 200);
        buffer.fill_with(|index| index as u8);
        let mdl = mdl(buffer.address().addr(), 3 * PAGE);
        process.run(|| assert_eq!(lock(mdl, USER, WRITE), STATUS_SUCCESS));
        stack.machine().fail_allocations(Some(Box::new(|request| {
            request.kind == AllocationKind::Mapping
        })));
        assert!(map(mdl).is_null(), "no room for a mapping");
        stack.machine().fail_allocations(None);
        let mapped = map(mdl);
        assert_eq!(mapped.addr() % PAGE, 200);
        // SAFETY: the mapping is there until the pages are unlocked.
        let bytes = unsafe { std::slice::from_raw_parts(mapped.cast::<u8>(), 3 * PAGE) };
        assert_eq!(bytes, buffer.bytes());
        // Who describes the mapping gets the program's frames, and a system address is no user's.
        let part = mapped.wrapping_byte_add(PAGE).addr();
        let again = attempt(part, PAGE, KERNEL, READ);
        assert_eq!(again, (STATUS_SUCCESS, buffer.pfns()[1..3].to_vec()));
        assert_eq!(
            process.run(|| attempt(part, PAGE, USER, READ).0),
            STATUS_ACCESS_VIOLATION
        );
        unlock(mdl);
        // SAFETY: the test's own MDL.
        let mapped = unsafe { (*mdl).MappedSystemVa };
        assert!(mapped.is_null(), "unlocked means unmapped");
        free(mdl);
    });
}

#[test]
fn low_resources_refuse_a_lock_as_an_exception() {
    world(|stack| {
        let process = stack.process("program");
        let buffer = stack.user_buffer(&process, PAGE, 0);
        stack.machine().fail_allocations(Some(Box::new(|request| {
            request.kind == AllocationKind::LockedPages
        })));
        let refused = process.run(|| attempt(buffer.address().addr(), PAGE, USER, READ).0);
        assert_eq!(refused, STATUS_INSUFFICIENT_RESOURCES);
        stack.machine().fail_allocations(None);
        assert_eq!(
            process.run(|| attempt(buffer.address().addr(), PAGE, USER, READ).0),
            STATUS_SUCCESS
        );
    });
}

#[test]
fn threads_lock_and_unlock_at_the_same_time() {
    let outcome = World::without_filter()
        .clock(Clock::Threads {
            processors: 2,
            seed: 3,
        })
        .run(|stack| {
            let (one, two) = (stack.process("one"), stack.process("two"));
            let threads: Vec<_> = [&one, &one, &two]
                .into_iter()
                .map(|process| {
                    let buffer = stack.user_buffer(process, 4 * PAGE, 0);
                    process.spawn("worker", move || {
                        for _ in 0..200 {
                            let outcome = attempt(buffer.address().addr(), 4 * PAGE, USER, WRITE);
                            assert_eq!(outcome, (STATUS_SUCCESS, buffer.pfns().to_vec()));
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(NtThread::join);
        });
    let ((), report) = outcome.expect("no bug check");
    assert_eq!((report.locks.ranges, report.locks.pages), (600, 0));
}
