//! Each rule about DMA, broken on its own: the bug check that Driver Verifier has for it.
#![cfg(not(miri))]

mod dma_support;

use dma_support::direct::{Adapter, FREE, KEEP, Locked, REGISTERS, description, devices, run};
use dma_support::{
    ACKNOWLEDGE_INTERRUPT, DISCONNECT, FLUSH, FREE_REGISTERS, LEAVE_IT_TO_THE_DPC, PUT_ADAPTER,
    UNMAP_REGISTERS, driver_without,
};
use ntsim::abi::*;
use ntsim::dma::violation::*;
use ntsim::dma::{self, Grants, Setup};
use ntsim::machine::codes;
use ntsim::world::DmaWorld;
use ntsim::{BugCheck, ke};

/// The rule that `f` breaks, and the second parameter.
fn broken(f: impl FnOnce() + Send) -> (u64, u64) {
    let stop = run(f).expect_err("a rule was broken");
    assert_eq!(stop.code, codes::DRIVER_VERIFIER_DMA_VIOLATION, "{stop}");
    (stop.parameters[0], stop.parameters[1])
}

/// A page, one map register for it, both ready.
fn page() -> (Adapter, Locked, PVOID) {
    let adapter = Adapter::usual();
    let base = adapter.registers(1);
    (adapter, Locked::scattered(4096, 0), base)
}

#[test]
fn a_description_of_no_known_version() {
    let stop = broken(|| {
        let (pdo, device) = devices();
        let mut description = description(true, 64);
        description.Version = 4;
        Adapter::of(pdo, device, &mut description);
    });
    assert_eq!(stop, (UNKNOWN_VERSION, 4));
}

#[test]
fn an_adapter_that_is_none_any_more() {
    let after = broken(|| {
        let adapter = Adapter::usual();
        adapter.put();
        adapter.put();
    });
    assert_eq!(after.0, ADAPTER_GONE);
    let null = broken(|| {
        let adapter = Adapter::usual();
        let counter = adapter.operations().ReadDmaCounter.unwrap();
        // SAFETY: the HAL looks the adapter up.
        unsafe { counter(std::ptr::null_mut()) };
    });
    assert_eq!(null.0, ADAPTER_NULL);
    let late = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.free_registers(base, 1);
        adapter.put();
        adapter.map(base, &buffer, 0, 4096, true);
    });
    assert_eq!(late.0, ADAPTER_GONE);
}

#[test]
fn a_wrong_irql() {
    let cases: [(&str, fn()); 9] = [
        ("put", || {
            let adapter = Adapter::usual();
            ke::raise_to_dispatch(|| adapter.put());
        }),
        ("allocate", || {
            let adapter = Adapter::usual();
            let allocate = adapter.operations().AllocateAdapterChannel.unwrap();
            // SAFETY: live objects; the call does not get as far as the routine.
            unsafe {
                allocate(
                    adapter.pointer,
                    adapter.device,
                    1,
                    None,
                    std::ptr::null_mut(),
                )
            };
        }),
        ("free channel", || {
            let adapter = Adapter::usual();
            // SAFETY: the HAL looks the adapter up.
            unsafe { adapter.operations().FreeAdapterChannel.unwrap()(adapter.pointer) };
        }),
        ("free registers", || {
            let (adapter, _buffer, base) = page();
            // SAFETY: the HAL looks the registers up.
            unsafe { adapter.operations().FreeMapRegisters.unwrap()(adapter.pointer, base, 1) };
        }),
        ("put a list", || {
            let adapter = Adapter::usual();
            let put = adapter.operations().PutScatterGatherList.unwrap();
            // SAFETY: the HAL looks the list up.
            unsafe { put(adapter.pointer, std::ptr::null_mut(), 0) };
        }),
        ("common buffer", || {
            let adapter = Adapter::usual();
            ke::raise_to_dispatch(|| adapter.common(4096));
        }),
        ("alignment", || {
            let adapter = Adapter::usual();
            // SAFETY: the HAL looks the adapter up.
            ke::raise_to_dispatch(|| unsafe {
                adapter.operations().GetDmaAlignment.unwrap()(adapter.pointer)
            });
        }),
        ("map", || {
            let (adapter, buffer, base) = page();
            // SAFETY: raises to a device's IRQL.
            unsafe { ntsim::ntddk::KfRaiseIrql(5) };
            adapter.map(base, &buffer, 0, 4096, true);
        }),
        ("flush", || {
            let (adapter, buffer, base) = page();
            adapter.map(base, &buffer, 0, 4096, true);
            // SAFETY: raises to a device's IRQL.
            unsafe { ntsim::ntddk::KfRaiseIrql(5) };
            adapter.flush(base, &buffer, 0, 4096, true);
        }),
    ];
    for (name, case) in cases {
        let (rule, which) = broken(case);
        assert_eq!(rule, IRQL, "{name}");
        let higher = matches!(name, "map" | "flush");
        assert_eq!(which, if higher { 2 } else { 1 }, "{name}");
    }
}

#[test]
fn more_registers_than_there_are() {
    let stop = broken(|| {
        let setup = Setup {
            map_registers: Some(5),
            ..Setup::default()
        };
        let adapter = Adapter::get(true, 64, setup);
        assert_eq!(adapter.registers, 5);
        adapter.registers(6);
    });
    assert_eq!(stop, (TOO_MANY_REGISTERS, 6));
}

#[test]
fn a_device_object_that_waits_already() {
    let for_the_channel = broken(|| {
        let adapter = Adapter::usual();
        adapter.allocate(1, |_| KEEP);
        adapter.allocate(1, |_| KEEP);
        adapter.allocate(1, |_| KEEP);
    });
    assert_eq!(for_the_channel.0, TOO_MANY_CHANNELS);
    let for_its_routine = broken(|| {
        let setup = Setup {
            grants: Grants::Later(5000),
            ..Setup::default()
        };
        let adapter = Adapter::get(true, 64, setup);
        adapter.allocate(1, |_| FREE);
        adapter.allocate(1, |_| FREE);
    });
    assert_eq!(for_its_routine.0, TOO_MANY_CHANNELS);
    let with_another_adapter = broken(|| {
        let (first, second) = (Adapter::usual(), Adapter::usual());
        first.allocate(1, |_| KEEP);
        first.allocate_for(second.device, 1, |_| KEEP);
        second.allocate(1, |_| KEEP);
    });
    assert_eq!(with_another_adapter.0, TOO_MANY_CHANNELS);
}

#[test]
fn a_channel_asked_for_by_the_routine_that_got_it() {
    let stop = broken(|| {
        let adapter = Adapter::usual();
        adapter.allocate(1, move |_| {
            adapter.allocate(1, |_| FREE);
            FREE
        });
    });
    assert_eq!(stop.0, TOO_MANY_CHANNELS);
}

#[test]
fn a_channel_that_is_not_held() {
    let twice = broken(|| {
        let adapter = Adapter::usual();
        adapter.allocate(1, |_| KEEP);
        adapter.free_channel();
        adapter.free_channel();
    });
    assert_eq!(twice.0, CHANNEL_FREED);
    let not_kept = broken(|| {
        let adapter = Adapter::usual();
        adapter.allocate(1, |_| REGISTERS);
        adapter.free_channel();
    });
    assert_eq!(not_kept.0, CHANNEL_FREED);
}

#[test]
fn map_registers_that_are_not_held() {
    let twice = broken(|| {
        let (adapter, _buffer, base) = page();
        adapter.free_registers(base, 1);
        adapter.free_registers(base, 1);
    });
    assert_eq!(twice, (REGISTERS_FREED, 1));
    let too_many = broken(|| {
        let adapter = Adapter::usual();
        let base = adapter.registers(2);
        adapter.free_registers(base, 5);
    });
    assert_eq!(too_many, (REGISTERS_FREED, 3));
    let anothers = broken(|| {
        let (_adapter, _buffer, base) = page();
        Adapter::usual().free_registers(base, 1);
    });
    assert_eq!(anothers.0, REGISTERS_FREED);
}

#[test]
fn what_is_not_flushed() {
    let freed = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 4096, true);
        adapter.free_registers(base, 1);
    });
    assert_eq!(freed, (STILL_MAPPED, 1));
    let in_part = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 4096, false);
        adapter.flush(base, &buffer, 0, 512, false);
        adapter.free_registers(base, 1);
    });
    assert_eq!(in_part.0, STILL_MAPPED);
    let channel = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(4096, 0);
        adapter.allocate(1, move |base| {
            adapter.map(base, &buffer, 0, 4096, true);
            KEEP
        });
        adapter.free_channel();
    });
    assert_eq!(channel.0, STILL_MAPPED);
    let deallocated = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(4096, 0);
        adapter.allocate(1, move |base| {
            adapter.map(base, &buffer, 0, 4096, true);
            FREE
        });
    });
    assert_eq!(deallocated.0, STILL_MAPPED);
    let next = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(8192, 0);
        let base = adapter.registers(1);
        adapter.map(base, &buffer, 0, 4096, true);
        adapter.map(base, &buffer, 4096, 4096, true);
    });
    assert_eq!(next, (NOT_FLUSHED, 4096));
}

#[test]
fn more_than_was_granted() {
    let stop = run(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(3 * 4096, 0);
        let base = adapter.registers(2);
        adapter.map(base, &buffer, 0, 3 * 4096, true);
    })
    .expect_err("a rule was broken");
    assert_eq!(stop.parameters, [MISCELLANEOUS, 2, 3, 2]);
    // A page more than the bytes would need: it begins in the middle of one.
    let offset = run(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(8192, 512);
        let base = adapter.registers(2);
        adapter.map(base, &buffer, 0, 8192, true);
    })
    .expect_err("a rule was broken");
    assert_eq!(offset.parameters, [MISCELLANEOUS, 2, 3, 2]);
    let freed = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.free_registers(base, 1);
        adapter.map(base, &buffer, 0, 4096, true);
    });
    assert_eq!(freed, (MISCELLANEOUS, 2));
}

#[test]
fn bytes_that_are_not_the_mdls() {
    let cases: [(u64, fn()); 6] = [
        (OUTSIDE_MDL, || {
            let adapter = Adapter::usual();
            let buffer = Locked::scattered(4096, 512);
            let base = adapter.registers(2);
            let before = buffer.address(0).wrapping_byte_sub(4);
            adapter.map_at(base, buffer.mdl, before, 512, true);
        }),
        (OUTSIDE_MDL, || {
            let (adapter, buffer, base) = page();
            adapter.map(base, &buffer, 4096, 512, true);
        }),
        (OUTSIDE_MDL, || {
            let (adapter, buffer, base) = page();
            adapter.map_at(base, std::ptr::null_mut(), buffer.address(0), 512, true);
        }),
        (BEYOND_MDL, || {
            let (adapter, buffer, base) = page();
            adapter.map(base, &buffer, 0, 4100, true);
        }),
        (BUFFER_TOO_SHORT, || {
            let adapter = Adapter::usual();
            let buffer = Locked::scattered(512, 0);
            let base = adapter.registers(1);
            adapter.map(base, &buffer, 0, 1024, true);
        }),
        (LENGTH_ZERO, || {
            let (adapter, buffer, base) = page();
            adapter.map(base, &buffer, 0, 0, true);
        }),
    ];
    for (rule, case) in cases {
        assert_eq!(broken(case).0, rule);
    }
}

#[test]
fn pages_that_are_not_locked() {
    let stop = broken(|| {
        let (adapter, buffer, base) = page();
        // SAFETY: the MDL is ours.
        unsafe { (*buffer.mdl).MdlFlags &= !(MDL_PAGES_LOCKED as i16) };
        adapter.map(base, &buffer, 0, 4096, true);
    });
    assert_eq!(stop.0, NOT_LOCKED);
}

#[test]
fn a_range_that_is_mapped_already() {
    let stop = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(4096, 0);
        let base = adapter.registers(2);
        adapter.map(base, &buffer, 0, 1024, true);
        adapter.map(base, &buffer, 512, 1024, true);
    });
    assert_eq!(stop.0, MAPPED_TWICE);
}

#[test]
fn flushing_what_is_not_mapped() {
    let never = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.flush(base, &buffer, 0, 4096, true);
    });
    assert_eq!(never.0, NOT_MAPPED);
    let twice = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 4096, true);
        adapter.flush(base, &buffer, 0, 4096, true);
        adapter.flush(base, &buffer, 0, 4096, true);
    });
    assert_eq!(twice.0, NOT_MAPPED);
    let too_much = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 1024, true);
        adapter.flush(base, &buffer, 0, 4096, true);
    });
    assert_eq!(too_much, (MISCELLANEOUS, 1));
    let direction = broken(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 4096, false);
        adapter.flush(base, &buffer, 0, 4096, true);
    });
    assert_eq!(direction.0, WRONG_DIRECTION);
}

#[test]
fn lists_that_are_none_any_more() {
    let twice = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(8192, 0);
        adapter.get_list(&buffer, 0, 8192, true, move |list| {
            adapter.put_list(list, true);
            adapter.put_list(list, true);
        });
    });
    assert_eq!(twice.0, LIST_FREED);
    let direction = broken(|| {
        let adapter = Adapter::usual();
        let buffer = Locked::scattered(8192, 0);
        adapter.get_list(&buffer, 0, 8192, true, move |list| {
            adapter.put_list(list, false);
        });
    });
    assert_eq!(direction.0, WRONG_DIRECTION);
}

#[test]
fn common_buffers_that_are_none_any_more() {
    let twice = broken(|| {
        let adapter = Adapter::usual();
        let (address, logical) = adapter.common(8192).expect("there is room");
        adapter.free_common(8192, address, logical);
        adapter.free_common(8192, address, logical);
    });
    assert_eq!(twice, (COMMON_BUFFER_FREED, 1));
    let length = broken(|| {
        let adapter = Adapter::usual();
        let (address, logical) = adapter.common(8192).expect("there is room");
        adapter.free_common(4096, address, logical);
    });
    assert_eq!(length.0, COMMON_BUFFER_FREED);
}

#[test]
fn adapters_that_are_put_too_early() {
    let cases: [(u64, fn()); 5] = [
        (PUT_WITH_COMMON_BUFFERS, || {
            let adapter = Adapter::usual();
            adapter.common(4096);
            adapter.put();
        }),
        (PUT_WITH_CHANNEL, || {
            let adapter = Adapter::usual();
            adapter.allocate(1, |_| KEEP);
            adapter.put();
        }),
        (PUT_WITH_CHANNEL, || {
            let setup = Setup {
                grants: Grants::Later(1000),
                ..Setup::default()
            };
            let adapter = Adapter::get(true, 64, setup);
            adapter.allocate(1, |_| KEEP);
            adapter.put();
        }),
        (PUT_WITH_REGISTERS, || {
            let adapter = Adapter::usual();
            adapter.registers(3);
            adapter.put();
        }),
        (PUT_WITH_LISTS, || {
            let adapter = Adapter::usual();
            let buffer = Locked::scattered(8192, 0);
            adapter.get_list(&buffer, 0, 8192, true, |_| ());
            adapter.put();
        }),
    ];
    for (rule, case) in cases {
        assert_eq!(broken(case).0, rule);
    }
}

/// What stops a driver that leaves a step out, after one request.
fn without<const STEP: u32>() -> BugCheck {
    DmaWorld::new(&driver_without::<STEP>())
        .run(|stack| {
            let buffer = stack.buffer(8192, 0);
            stack.write(0, &buffer).send().wait();
        })
        .map(|_| ())
        .expect_err("a rule was broken")
}

#[test]
fn drivers_that_forget_a_step() {
    const LEFT: u64 = 0x62;
    let verifier = codes::DRIVER_VERIFIER_DETECTED_VIOLATION;
    let dma = codes::DRIVER_VERIFIER_DMA_VIOLATION;
    let cases = [
        (
            without::<PUT_ADAPTER>(),
            verifier,
            LEFT,
            "DMA adapter: never put",
        ),
        (
            without::<UNMAP_REGISTERS>(),
            verifier,
            LEFT,
            "4096 bytes still mapped, from MmMapIoSpaceEx",
        ),
        (without::<DISCONNECT>(), verifier, LEFT, "still connected"),
        (without::<FLUSH>(), dma, STILL_MAPPED, "still mapped"),
        (
            without::<FREE_REGISTERS>(),
            dma,
            PUT_WITH_REGISTERS,
            "map registers were not freed",
        ),
        (
            without::<ACKNOWLEDGE_INTERRUPT>(),
            codes::HANG,
            0x91,
            "Interrupt storm",
        ),
        (
            without::<LEAVE_IT_TO_THE_DPC>(),
            dma,
            IRQL,
            "an interrupt service routine of tinydma",
        ),
    ];
    for (stop, code, rule, story) in cases {
        assert_eq!((stop.code, stop.parameters[0]), (code, rule), "{stop}");
        assert!(stop.story.contains(story), "{stop}");
    }
}

#[test]
fn the_right_order_breaks_none() {
    run(|| {
        let (adapter, buffer, base) = page();
        adapter.map(base, &buffer, 0, 4096, true);
        adapter.flush(base, &buffer, 0, 4096, true);
        adapter.free_registers(base, 1);
        adapter.put();
        assert_eq!(dma::left_behind(), Vec::<String>::new());
    })
    .expect("no bug check");
}
