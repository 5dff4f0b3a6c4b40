//! Driver binaries that crash: bug checks with module and offset, and the process goes on.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::machine::codes;
use ntsim::{BugCheck, Config, Machine, call};
use pe_support::{blob, driver};

/// Stops a machine with the driver whose entry point is this.
fn crash(entry: &str) -> BugCheck {
    let stop = driver(entry).stops();
    assert!(stop.story.contains("of asm"), "whose code it was: {stop}");
    stop
}

/// Whether the report names this place of the driver.
fn names(stop: &BugCheck, entry: &str, behind: usize) -> bool {
    stop.story
        .contains(&format!("asm+{:#x} ", blob::at(entry) + behind))
}

#[test]
fn a_label_that_is_followed_is_a_page_fault() {
    let stop = crash("entry_read_label");
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(stop.parameters[..2], [0xFFFF_A000_0000_0010, 0]);
    assert!(names(&stop, "entry_read_label", 10), "{stop}");
}

#[test]
fn a_null_pointer_is_a_page_fault() {
    let stop = crash("entry_read_null");
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(stop.parameters[..2], [24, 0]);
}

#[test]
fn the_same_at_dispatch_level_is_the_drivers_irql() {
    let stop = crash("entry_read_at_dispatch");
    assert_eq!(stop.code, codes::DRIVER_IRQL_NOT_LESS_OR_EQUAL);
    assert_eq!(stop.parameters[..3], [0xFFFF_A000_0000_0010, 2, 0]);
}

#[test]
fn a_label_that_is_written_is_one_too() {
    let stop = crash("entry_write_label");
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(stop.parameters[..2], [0xFFFF_A000_0000_0030, 2]);
}

#[test]
fn a_label_that_is_copied_from_is_the_callers_page_fault() {
    let stop = crash("entry_copy_label");
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(stop.parameters[..2], [0xFFFF_A000_0000_0040, 0]);
}

#[test]
fn a_stack_that_overflows_is_a_double_fault() {
    for entry in ["entry_recurse", "entry_recurse_far"] {
        let stop = crash(entry);
        assert_eq!(
            stop.code,
            codes::UNEXPECTED_KERNEL_MODE_TRAP,
            "{entry}: {stop}"
        );
        assert_eq!(stop.parameters[0], 8, "{entry}: {stop}");
    }
}

#[test]
fn code_of_an_unloaded_driver_is_gone() {
    let driver = driver("entry_late").driver();
    let machine = Machine::new(Config::default());
    let stop = machine.run(|| {
        driver.load().expect("it loads");
        driver.unload().expect("it unloads");
        let log = Machine::current().debug_log();
        let address = log[0].strip_prefix("late ").expect("where its code was");
        let address = usize::from_str_radix(address, 16).expect("an address");
        let code: *const () = std::ptr::with_exposed_provenance(address);
        // SAFETY: it is no code any more, and the call stops the machine before anything runs.
        unsafe {
            let late = std::mem::transmute::<*const (), unsafe extern "C" fn() -> i32>(code);
            call::enter(late, ())
        }
    });
    let stop = stop.expect_err("it stops");
    let code = codes::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
    assert_eq!(stop.code, code, "{stop}");
    assert!(stop.story.contains("asm+0x1000 (unloaded)"), "{stop}");
}

#[test]
fn code_cannot_be_written() {
    let stop = crash("entry_write_code");
    assert_eq!(stop.code, codes::ATTEMPTED_WRITE_TO_READONLY_MEMORY);
    let target = format!("asm+{:#x}.", blob::at("entry_success"));
    assert!(stop.story.contains(&target), "{stop}");
}

#[test]
fn data_cannot_be_run() {
    let stop = crash("entry_run_data");
    assert_eq!(stop.code, codes::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY);
}

#[test]
fn a_call_to_where_nothing_is_names_the_caller() {
    let stop = crash("entry_call_label");
    assert_eq!(stop.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(stop.parameters[0], 0xFFFF_A000_0000_0020);
    assert!(names(&stop, "entry_call_label", 16), "{stop}");
}

#[test]
fn exceptions_of_the_processor_have_their_status() {
    for (entry, status) in [
        ("entry_breakpoint", 0x8000_0003),
        ("entry_undefined", 0xC000_001D),
        ("entry_divide", 0xC000_0094),
        ("entry_impossible", 0xC000_0005),
        ("entry_cr8", 0xC000_0096),
    ] {
        let stop = crash(entry);
        assert_eq!(
            stop.code,
            codes::KMODE_EXCEPTION_NOT_HANDLED,
            "{entry}: {stop}"
        );
        assert_eq!(stop.parameters[0], status, "{entry}: {stop}");
    }
}

#[test]
fn fastfail_is_a_security_check_failure() {
    let stop = crash("entry_fast_fail");
    assert_eq!(stop.code, codes::KERNEL_SECURITY_CHECK_FAILURE);
    assert_eq!(stop.parameters[0], 5);
}

#[test]
fn many_machines_may_crash_at_a_time() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..4 {
                    crash("entry_read_label");
                }
            });
        }
    });
}
