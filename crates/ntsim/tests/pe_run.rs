//! Driver binaries at work: what they call, and what calls them.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod pe_support;

use ntsim::registry::{Registry, Value};
use ntsim::{Clock, Config, Machine};
use pe_support::{blob, driver, load_config};

#[test]
fn an_entry_point_runs_and_its_status_is_the_result() {
    assert_eq!(
        driver("entry_success").run().map(|(status, _)| status),
        Ok(0)
    );
    let failed = driver("entry_failure").run().map(|(status, _)| status);
    assert_eq!(failed, Ok(0xC000_0001_u32.cast_signed()));
}

#[test]
fn five_arguments_arrive_as_they_were_passed() {
    let stop = driver("entry_bug_check").stops();
    assert_eq!(stop.code, 0xE2);
    assert_eq!(stop.parameters, [0x11, 0x22, 0x33, 0x44_4444_4444]);
}

#[test]
fn eight_arguments_go_out_and_four_come_back_on_an_aligned_stack() {
    let stop = driver("entry_lookaside").stops();
    assert_eq!(stop.code, 0xE3, "{stop}");
    assert_eq!(stop.parameters, [0x200, 0x60, 0x5453_4554, 0]);
}

#[test]
fn an_adapters_operations_are_called_by_the_images_convention() {
    let stop = driver("entry_dma").stops();
    assert_eq!(stop.code, 0xE5, "{stop}");
    // Map registers for 16 KiB at any offset; no IRP; the context; the device object.
    assert_eq!(stop.parameters, [5, 0, 0x1234, 0]);
}

#[test]
fn six_arguments_come_back_through_a_relocated_address() {
    let driver = driver("entry_query").driver();
    let machine = Machine::new(Config::default());
    let registry = Registry::of(&machine);
    registry.set(r"\Registry\Machine\Pe", "Value", Value::dword(0x7777));
    let stop = machine
        .run(|| driver.load().map(drop))
        .expect_err("it stops");
    assert_eq!(stop.code, 0xE4, "{stop}");
    assert_eq!(stop.parameters, [4, 4, 0x1234, 0x55_0000_7777]);
}

#[test]
fn absolute_addresses_are_those_of_the_place_that_was_found() {
    let file = driver("entry_relocated");
    assert_eq!(file.run().map(|(status, _)| status), Ok(0));
    // Several copies are at several places at a time, and each is right about its own.
    let binary = file.parse().expect("a driver");
    let copies: Vec<_> = (0..3)
        .map(|_| binary.map("copy").expect("memory"))
        .collect();
    for (index, copy) in copies.iter().enumerate() {
        assert_ne!(copy.base() as u64, blob::PREFERRED);
        let others = &copies[index + 1..];
        assert!(others.iter().all(|other| other.base() != copy.base()));
        assert_eq!(copy.entry(), copy.base() + blob::at("entry_relocated"));
    }
}

#[test]
fn a_variadic_function_gets_all_its_arguments() {
    let (status, log) = driver("entry_print").run().expect("nothing stops");
    assert_eq!(status, 0);
    assert_eq!(log, ["7 narrow wide 1122334455667788 -3"]);
}

#[test]
fn a_deferred_routine_is_called_with_its_arguments() {
    let (status, log) = driver("entry_dpc").run().expect("nothing stops");
    assert_eq!(status, 0);
    assert_eq!(log, ["dpc c0 a1 a2"]);
}

#[test]
fn variables_routines_by_name_and_helpers_of_compilers_are_there() {
    for entry in [
        "entry_variable",
        "entry_routine",
        "entry_probe",
        "entry_move",
    ] {
        assert_eq!(
            driver(entry).run().map(|(status, _)| status),
            Ok(0),
            "{entry}"
        );
    }
}

#[test]
fn cookie_and_flow_guard_are_filled_in() {
    let mut file = driver("entry_guard");
    load_config(&mut file);
    let stop = file.stops();
    assert_eq!(stop.code, 0xE5, "{stop}");
    let [cookie, seven, ..] = stop.parameters;
    assert_ne!(cookie, 0x2B99_2DDF_A232);
    assert_eq!(cookie >> 48, 0);
    assert_eq!(seven, 7);
}

#[test]
fn what_a_binary_forgets_is_found_at_unload() {
    let stop = driver("entry_leak").stops();
    assert_eq!((stop.code, stop.parameters[0]), (0xC4, 0x62), "{stop}");
    assert!(stop.story.contains("Leak"), "{stop}");
}

#[test]
fn machines_in_several_threads_have_copies_of_their_own() {
    let file = driver("entry_dpc");
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for round in 0..8 {
                    let clock = if seed % 2 == 0 {
                        Clock::Deterministic { seed: round }
                    } else {
                        Clock::Threads {
                            processors: 1,
                            seed: round,
                        }
                    };
                    let driver = file.driver();
                    let machine = Machine::new(Config {
                        clock,
                        ..Config::default()
                    });
                    machine
                        .run(|| driver.load().map(drop))
                        .expect("nothing stops")
                        .expect("loads");
                    assert_eq!(machine.debug_log(), ["dpc c0 a1 a2"]);
                }
            });
        }
    });
}
