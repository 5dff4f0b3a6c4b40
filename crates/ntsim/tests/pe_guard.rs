//! Driver binaries that call `MmProbeAndLockPages` in a guarded frame get what it raises there, and
//! nowhere else.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::abi::{
    NTSTATUS, STATUS_ACCESS_VIOLATION, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
    STATUS_WORKING_SET_QUOTA,
};
use ntsim::machine::codes;
use ntsim::memory::{LockLimits, PAGE, Protection};
use ntsim::pe::LoadError;
use ntsim::{BugCheck, Process, Stack, World};
use pe_support::{FUNCTIONS, File, HANDLER, SCOPE, UNWIND, blob, driver, scopes};

/// The driver in an image with unwind data.
fn guarded() -> File {
    let mut file = driver("entry_lock");
    scopes(&mut file);
    file
}

/// Loads the driver in a process that has what `prepare` makes; what its entry point returned.
fn enter(file: &File, prepare: impl FnOnce(&Stack, &Process) + Send) -> Result<NTSTATUS, BugCheck> {
    let driver = file.driver();
    let outcome = World::without_filter().run(move |stack| {
        let process = stack.process("program");
        prepare(stack, &process);
        let status = process.run(|| driver.load().err().unwrap_or(STATUS_SUCCESS));
        assert_eq!(process.locked_pages(), 0);
        status
    });
    outcome.map(|(status, _)| status)
}

fn three_pages(stack: &Stack, process: &Process) {
    stack.user_buffer(process, 3 * PAGE, 0);
}

/// There is no user memory at all.
fn nothing(_: &Stack, _: &Process) {}

#[test]
fn what_is_locked_is_not_raised() {
    assert_eq!(enter(&guarded(), three_pages), Ok(STATUS_SUCCESS));
}

#[test]
fn the_handler_gets_the_exceptions_code() {
    assert_eq!(enter(&guarded(), nothing), Ok(STATUS_ACCESS_VIOLATION));
    let read_only = |stack: &Stack, process: &Process| {
        let buffer = stack.user_buffer(process, 3 * PAGE, 0);
        buffer.protect(2 * PAGE..3 * PAGE, Protection::ReadOnly);
    };
    assert_eq!(enter(&guarded(), read_only), Ok(STATUS_ACCESS_VIOLATION));
    let quota = |stack: &Stack, process: &Process| {
        process.limit_locked_pages(2);
        three_pages(stack, process);
    };
    assert_eq!(enter(&guarded(), quota), Ok(STATUS_WORKING_SET_QUOTA));
    let full = |stack: &Stack, process: &Process| {
        let limits = LockLimits {
            system: Some(2),
            process: None,
        };
        stack.machine().limit_locked_pages(limits);
        three_pages(stack, process);
    };
    assert_eq!(enter(&guarded(), full), Ok(STATUS_INSUFFICIENT_RESOURCES));
}

#[test]
fn a_part_of_a_function_has_the_handlers_of_the_whole() {
    // Its unwind data have no scope table; they are chained to those of the function's beginning.
    let chain = UNWIND + 0x80;
    let mut file = guarded();
    file.put(chain, &[0x21, 0, 0, 0])
        .put32(chain + 4, blob::at("guarded"))
        .put32(chain + 8, blob::at("guarded_try"))
        .put32(chain + 12, UNWIND);
    file.put32(FUNCTIONS, blob::at("guarded_try"))
        .put32(FUNCTIONS + 8, chain);
    assert_eq!(enter(&file, nothing), Ok(STATUS_ACCESS_VIOLATION));
}

#[test]
fn frames_without_a_handler_do_not_catch() {
    let mut unguarded = driver("entry_lock_unguarded");
    scopes(&mut unguarded);
    let mut images = vec![("no guard", unguarded)];
    images.push(("no unwind data", driver("entry_lock")));
    let changed = |change: &dyn Fn(&mut File)| {
        let mut file = guarded();
        change(&mut file);
        file
    };
    let except = blob::at("guarded_except");
    let after = blob::at("guarded_try_end");
    let end = blob::at("guarded_end");
    images.push((
        "another range",
        changed(&|file| {
            file.put32(SCOPE, after).put32(SCOPE + 4, end);
        }),
    ));
    images.push((
        "a range that ends before the call returns",
        changed(&|file| {
            file.put32(SCOPE + 4, after - 1);
        }),
    ));
    images.push((
        "another handler",
        changed(&|file| {
            file.put32(HANDLER, except);
        }),
    ));
    images.push((
        "no handler flag",
        changed(&|file| {
            file.put(UNWIND, &[0x01]);
        }),
    ));
    images.push((
        "a filter",
        changed(&|file| {
            file.put32(SCOPE + 8, except);
        }),
    ));
    images.push((
        "a __finally",
        changed(&|file| {
            file.put32(SCOPE + 12, 0);
        }),
    ));
    for (what, file) in images {
        let stop = enter(&file, nothing).expect_err(what);
        assert_eq!(
            stop.code,
            codes::KMODE_EXCEPTION_NOT_HANDLED,
            "{what}: {stop}"
        );
        let code = u64::from(STATUS_ACCESS_VIOLATION.cast_unsigned());
        assert_eq!(stop.parameters[..2], [code, 0x2000_0000_0000], "{what}");
        // Without an exception nobody looks for a handler.
        assert_eq!(enter(&file, three_pages), Ok(STATUS_SUCCESS), "{what}");
    }
}

#[test]
fn unwind_data_that_lead_outside_are_refused() {
    let refused = |change: &dyn Fn(&mut File)| {
        let mut file = guarded();
        change(&mut file);
        let error = file.parse().expect_err("unwind data that make no sense");
        assert!(matches!(error, LoadError::Format(_)), "{error}");
    };
    refused(&|file| {
        file.put32(FUNCTIONS, blob::DATA);
    });
    refused(&|file| {
        file.put32(FUNCTIONS + 8, 0x00FF_0000);
    });
    refused(&|file| {
        file.put32(SCOPE + 12, blob::DATA);
    });
    refused(&|file| {
        file.put32(HANDLER + 4, 0x00FF_FFFF);
    });
    refused(&|file| {
        // Chained to itself.
        file.put(UNWIND, &[0x21]).put32(UNWIND + 12 + 8, UNWIND);
    });
}
