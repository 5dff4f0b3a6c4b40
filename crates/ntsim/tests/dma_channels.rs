//! The channel and the map registers: who gets them, in which order, and how they are given back.

mod dma_support;

use std::cell::RefCell;
use std::rc::Rc;

use dma_support::direct::{
    Adapter, FREE, KEEP, Locked, REGISTERS, description, device, devices, run, seeded,
};
use ntsim::Machine;
use ntsim::abi::{
    DEVICE_DESCRIPTION_VERSION, DEVICE_DESCRIPTION_VERSION3, PSCATTER_GATHER_LIST, PVOID,
    STATUS_SUCCESS,
};
use ntsim::dma::{self, Grants, Setup};

/// Who was served, in order, with what.
type Log = Rc<RefCell<Vec<(&'static str, PVOID)>>>;

fn served(log: &Log) -> Vec<&'static str> {
    log.borrow().iter().map(|entry| entry.0).collect()
}

fn base_of(log: &Log, name: &str) -> PVOID {
    let log = log.borrow();
    log.iter()
        .find(|entry| entry.0 == name)
        .expect("was served")
        .1
}

/// Notes that `name` was served, and wants `action`.
fn note(log: &Log, name: &'static str, action: i32) -> impl FnMut(PVOID) -> i32 + 'static {
    let log = log.clone();
    move |base| {
        log.borrow_mut().push((name, base));
        action
    }
}

#[test]
fn the_number_of_map_registers_is_what_device_and_machine_allow() {
    run(|| {
        let (pdo, device) = devices();
        let registers = |maximum_length, map_registers| {
            dma::set_up(
                pdo,
                Setup {
                    map_registers,
                    ..Setup::default()
                },
            );
            let mut description = description(true, 64);
            description.MaximumLength = maximum_length;
            let adapter = Adapter::of(pdo, device, &mut description);
            (!adapter.pointer.is_null()).then(|| {
                adapter.put();
                adapter.registers
            })
        };
        // Pages of the longest transfer and one more, for it need not begin on a page.
        assert_eq!(registers(1, Some(64)), Some(2));
        assert_eq!(registers(4096, Some(64)), Some(2));
        assert_eq!(registers(4097, Some(64)), Some(3));
        assert_eq!(registers(64 << 10, Some(64)), Some(17));
        assert_eq!(registers(1 << 30, Some(64)), Some(64));
        assert_eq!(registers(1 << 30, Some(5)), Some(5));
        assert_eq!(registers(1 << 30, Some(0)), Some(0));
        assert_eq!(registers(1 << 30, None), None);
        dma::set_pool(3);
        assert_eq!(registers(1 << 30, Some(64)), Some(3));
    })
    .expect("no bug check");
}

#[test]
fn a_slave_has_no_adapter_here() {
    run(|| {
        let (pdo, device) = devices();
        let mut slave = description(false, 24);
        slave.Master = 0;
        assert!(Adapter::of(pdo, device, &mut slave).pointer.is_null());
        let mut old = description(true, 64);
        old.Version = DEVICE_DESCRIPTION_VERSION;
        assert!(!Adapter::of(pdo, device, &mut old).pointer.is_null());
    })
    .expect("no bug check");
}

/// [Microsoft: `IoGetDmaAdapter`]: "always returns DMA_ADAPTER->Version == 1".
#[test]
fn an_adapter_is_of_version_1_whatever_is_asked_for() {
    run(|| {
        let (pdo, device) = devices();
        for version in DEVICE_DESCRIPTION_VERSION..=DEVICE_DESCRIPTION_VERSION3 {
            let mut description = description(true, 64);
            description.Version = version;
            let adapter = Adapter::of(pdo, device, &mut description);
            // SAFETY: an adapter that was just got.
            assert_eq!(unsafe { (*adapter.pointer).Version }, 1);
            adapter.put();
        }
    })
    .expect("no bug check");
}

#[test]
fn what_a_routine_returns_decides_what_it_keeps() {
    run(|| {
        let adapter = Adapter::usual();
        let log = Log::default();
        adapter.allocate(3, note(&log, "free", FREE));
        assert_eq!(dma::counts().registers_now, 0);
        adapter.allocate(3, note(&log, "registers", REGISTERS));
        assert_eq!(dma::counts().registers_now, 3);
        adapter.allocate(4, note(&log, "keep", KEEP));
        assert_eq!(dma::counts().registers_now, 7);
        // The channel is taken now; the registers from before are not.
        adapter.allocate(1, note(&log, "next", FREE));
        assert_eq!(served(&log), ["free", "registers", "keep"]);
        adapter.free_registers(base_of(&log, "registers"), 3);
        assert_eq!(served(&log), ["free", "registers", "keep"]);
        adapter.free_channel();
        assert_eq!(served(&log), ["free", "registers", "keep", "next"]);
        assert_eq!(dma::counts().registers_now, 0);
        adapter.put();
        assert_eq!(dma::left_behind(), Vec::<String>::new());
    })
    .expect("no bug check");
}

#[test]
fn a_list_has_the_channel_until_its_routine_has_returned() {
    run(|| {
        let adapter = Adapter::usual();
        let buffer = Rc::new(Locked::scattered(8192, 0));
        let log = Log::default();
        let (inside, inner) = (log.clone(), buffer.clone());
        let status = adapter.get_list(&buffer, 0, 4096, true, move |list| {
            let inside = inside.clone();
            let noted = inside.clone();
            let second = move |list: PSCATTER_GATHER_LIST| {
                noted.borrow_mut().push(("second", list.cast()));
            };
            // It waits for the channel, as one for AllocateAdapterChannel would.
            assert_eq!(
                adapter.get_list(&inner, 4096, 4096, true, second),
                STATUS_SUCCESS
            );
            inside.borrow_mut().push(("first", list.cast()));
        });
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(served(&log), ["first", "second"]);
        for name in ["first", "second"] {
            adapter.put_list(base_of(&log, name).cast(), true);
        }
        adapter.put();
        assert_eq!(dma::left_behind(), Vec::<String>::new());
    })
    .expect("no bug check");
}

#[test]
fn a_channel_is_granted_in_order_of_arrival() {
    run(|| {
        let adapter = Adapter::usual();
        let log = Log::default();
        adapter.allocate(1, note(&log, "first", KEEP));
        let names = ["second", "third", "fourth"];
        for name in names {
            adapter.allocate_for(device(), 1, note(&log, name, KEEP));
        }
        for (index, name) in names.iter().enumerate() {
            assert_eq!(served(&log).len(), index + 1);
            adapter.free_channel();
            assert_eq!(served(&log).last(), Some(name));
        }
        assert_eq!(dma::counts().waited, 3);
        adapter.free_channel();
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn map_registers_are_granted_in_order_of_arrival_whatever_would_fit() {
    run(|| {
        dma::set_pool(8);
        let (a, b, c) = (Adapter::usual(), Adapter::usual(), Adapter::usual());
        let log = Log::default();
        a.allocate(6, note(&log, "six", REGISTERS));
        b.allocate(4, note(&log, "four", REGISTERS));
        // Two are free; the one who wants them came after the one who wants four.
        c.allocate(2, note(&log, "two", REGISTERS));
        assert_eq!(served(&log), ["six"]);
        a.free_registers(base_of(&log, "six"), 6);
        assert_eq!(served(&log), ["six", "four", "two"]);
        assert_eq!(dma::counts().registers_peak, 6);
        b.free_registers(base_of(&log, "four"), 4);
        c.free_registers(base_of(&log, "two"), 2);
        for adapter in [a, b, c] {
            adapter.put();
        }
    })
    .expect("no bug check");
}

#[test]
fn map_registers_of_a_grant_are_neighbours() {
    run(|| {
        dma::set_pool(5);
        let adapters: Vec<Adapter> = (0..5).map(|_| Adapter::usual()).collect();
        let held: Vec<PVOID> = adapters
            .iter()
            .map(|adapter| adapter.registers(1))
            .collect();
        // Two are free, but not side by side.
        adapters[0].free_registers(held[0], 1);
        adapters[2].free_registers(held[2], 1);
        let log = Log::default();
        adapters[0].allocate(2, note(&log, "pair", REGISTERS));
        assert!(served(&log).is_empty());
        adapters[1].free_registers(held[1], 1);
        assert_eq!(served(&log), ["pair"]);
        adapters[0].free_registers(base_of(&log, "pair"), 2);
        adapters[3].free_registers(held[3], 1);
        adapters[4].free_registers(held[4], 1);
        assert_eq!(dma::counts().registers_now, 0);
    })
    .expect("no bug check");
}

#[test]
fn a_grant_that_comes_later_comes_at_its_time() {
    run(|| {
        let setup = Setup {
            grants: Grants::Later(5000),
            ..Setup::default()
        };
        let adapter = Adapter::get(true, 64, setup);
        let log = Log::default();
        let before = Machine::current().now();
        adapter.allocate(1, note(&log, "later", FREE));
        assert!(served(&log).is_empty());
        Machine::current().idle();
        assert_eq!(served(&log), ["later"]);
        assert!(Machine::current().now() >= before + 5000);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn registers_may_be_freed_before_the_routine_has_returned() {
    run(|| {
        let adapter = Adapter::usual();
        adapter.allocate(2, move |base| {
            // As a DPC on another processor does when the device is quick.
            adapter.free_registers(base, 2);
            REGISTERS
        });
        assert_eq!(dma::counts().registers_now, 0);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn a_greedy_neighbour_makes_others_wait_and_gives_way() {
    let mut waited = 0;
    for seed in 0..8 {
        waited += seeded(seed, || {
            dma::set_pool(8);
            dma::set_greedy(Some(dma::Greedy {
                registers: 6,
                hold: 300,
            }));
            let adapter = Adapter::usual();
            let log = Log::default();
            for _ in 0..8 {
                adapter.allocate(4, note(&log, "mine", FREE));
                Machine::current().idle();
            }
            assert_eq!(served(&log).len(), 8);
            adapter.put();
            dma::counts().waited
        })
        .expect("no bug check");
    }
    assert!(waited > 8, "the neighbour was ahead {waited} times");
}
