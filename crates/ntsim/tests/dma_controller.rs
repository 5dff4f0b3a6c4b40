//! The controller by itself: registers, operations and how they end, its interrupt, its removal.

mod dma_support;

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dma_support::direct::{Adapter, Locked, description, device, run, seeded};
use dma_support::registers::*;
use ntsim::abi::*;
use ntsim::controller::{Bus, Completion, Controller, Fault, Misuse, Options};
use ntsim::dma::{self, Setup};
use ntsim::port::Disk;
use ntsim::{Machine, ke, ntddk};

const ALL_ONES: u32 = u32::MAX;

/// A controller that is plugged in, its registers mapped, its interrupt connected.
struct Bench {
    controller: Arc<Controller>,
    bus: Bus,
    registers: *mut u8,
    interrupt: PKINTERRUPT,
    line: Rc<Line>,
    adapter: Adapter,
}

/// What the service routine knows.
struct Line {
    registers: *mut u8,
    /// Calls, and those of them that found an interrupt.
    called: AtomicU32,
    served: AtomicU32,
    acknowledges: AtomicBool,
    inside: AtomicBool,
}

unsafe extern "C" fn isr(_: *mut KINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: the context is the bench's line, which outlives the interrupt object.
    let line = unsafe { &*context.cast::<Line>() };
    assert_eq!(ke::irql(), ntsim::controller::DIRQL);
    assert!(
        !line.inside.load(Ordering::Relaxed),
        "KeSynchronizeExecution keeps it out"
    );
    line.called.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the registers are mapped.
    unsafe {
        let status = ntddk::READ_REGISTER_ULONG(line.registers.add(STATUS).cast());
        if status & 2 == 0 {
            return 0;
        }
        if line.acknowledges.load(Ordering::Relaxed) {
            ntddk::WRITE_REGISTER_ULONG(line.registers.add(ACKNOWLEDGE).cast(), 0);
        }
    }
    line.served.fetch_add(1, Ordering::Relaxed);
    1
}

fn physical(address: u64) -> PHYSICAL_ADDRESS {
    PHYSICAL_ADDRESS {
        QuadPart: address as i64,
    }
}

impl Bench {
    fn new(options: Options) -> Self {
        let machine = Machine::current();
        let disk = Arc::new(Disk::memory(256, 512));
        let bits = options.address_bits;
        let controller = Controller::new(disk, options, 1);
        let bus = Bus::create(&machine, &controller);
        let resources = Bus::resources();
        // SAFETY: PASSIVE_LEVEL.
        let registers: *mut u8 =
            unsafe { ntddk::MmMapIoSpaceEx(physical(resources.memory), 4096, UNCACHED).cast() };
        assert!(!registers.is_null());
        dma::set_up(bus.device(), Setup::default());
        let adapter = Adapter::of(bus.device(), device(), &mut description(true, bits));
        let mut bench = Self {
            controller,
            bus,
            registers,
            interrupt: ptr::null_mut(),
            line: Rc::new(Line {
                registers,
                called: AtomicU32::new(0),
                served: AtomicU32::new(0),
                acknowledges: AtomicBool::new(true),
                inside: AtomicBool::new(false),
            }),
            adapter,
        };
        bench.connect();
        bench
    }

    fn usual() -> Self {
        Self::new(Options::default())
    }

    fn connect(&mut self) {
        let resources = Bus::resources();
        let context: *mut c_void = Rc::as_ptr(&self.line).cast_mut().cast();
        // SAFETY: PASSIVE_LEVEL; the line outlives the interrupt object.
        let status = unsafe {
            ntddk::IoConnectInterrupt(
                &raw mut self.interrupt,
                Some(isr),
                context,
                ptr::null_mut(),
                resources.vector,
                resources.irql,
                resources.irql,
                _KINTERRUPT_MODE::LevelSensitive,
                1,
                1,
                0,
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
    }

    fn disconnect(&mut self) {
        // SAFETY: connected, PASSIVE_LEVEL.
        unsafe { ntddk::IoDisconnectInterrupt(self.interrupt) };
        self.interrupt = ptr::null_mut();
    }

    fn read(&self, offset: usize) -> u32 {
        // SAFETY: the registers are mapped.
        unsafe { ntddk::READ_REGISTER_ULONG(self.registers.add(offset).cast()) }
    }

    fn write(&self, offset: usize, value: u32) {
        // SAFETY: the registers are mapped.
        unsafe { ntddk::WRITE_REGISTER_ULONG(self.registers.add(offset).cast(), value) };
    }

    /// Describes an operation.
    fn describe(&self, lba: u64, sectors: u32, segments: &[(u64, u32)]) {
        self.write(LBA_LOW, lba as u32);
        self.write(LBA_HIGH, (lba >> 32) as u32);
        self.write(SECTORS, sectors);
        self.write(LIST_RESET, 0);
        for &(address, length) in segments {
            self.write(SEGMENT_LOW, address as u32);
            self.write(SEGMENT_HIGH, (address >> 32) as u32);
            self.write(SEGMENT_LENGTH, length);
        }
    }

    /// Runs an operation to its end; what it moved, and what failed.
    fn operate(
        &self,
        command: u32,
        lba: u64,
        sectors: u32,
        segments: &[(u64, u32)],
    ) -> (u32, Option<Fault>) {
        self.describe(lba, sectors, segments);
        self.write(COMMAND, command);
        Machine::current().idle();
        let last = self.controller.operations().pop().expect("it was started");
        let end = last.end.expect("it has ended");
        assert_eq!(self.read(TRANSFERRED), end.0);
        end
    }

    fn take_down(mut self) {
        if !self.interrupt.is_null() {
            self.disconnect();
        }
        self.adapter.put();
        // SAFETY: mapped with this length.
        unsafe { ntddk::MmUnmapIoSpace(self.registers.cast(), 4096) };
        self.bus.delete(&Machine::current());
    }
}

#[test]
fn registers_say_what_the_controller_is() {
    run(|| {
        let bench = Bench::new(Options {
            address_bits: 32,
            max_sectors: Some(256),
            max_segments: 1,
            ..Options::default()
        });
        let values: Vec<u32> = [0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C]
            .map(|offset| bench.read(offset))
            .into();
        assert_eq!(values, [256, 0, 512, 256, 1, 32]);
        assert_eq!(bench.read(STATUS), 0);
        // COMMAND cannot be read, and nothing is at the end of the page.
        assert_eq!(bench.read(COMMAND), ALL_ONES);
        bench.write(0xFFC, 1);
        let misuses = bench.controller.misuses();
        assert_eq!(misuses, [Misuse::Register(0), Misuse::Register(0xFFC)]);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn data_moves_between_disk_and_memory() {
    for bits in [24, 32, 64] {
        run(move || {
            let bench = Bench::new(Options {
                address_bits: bits,
                ..Options::default()
            });
            let buffer = Locked::scattered(8192, 512);
            buffer.fill(1);
            let bytes = buffer.bytes();
            let base = bench.adapter.registers(3);
            for (command, write) in [(WRITE, true), (READ, false)] {
                let mut segments = Vec::new();
                let mut done = 0;
                while done < 8192 {
                    let (logical, length) =
                        bench.adapter.map(base, &buffer, done, 8192 - done, write);
                    segments.push((logical, length as u32));
                    done += length;
                }
                let end = bench.operate(command, 17, 16, &segments);
                assert_eq!(end, (8192, None));
                bench.adapter.flush(base, &buffer, 0, 8192, write);
                if write {
                    buffer.fill(2);
                }
            }
            assert_eq!(buffer.bytes(), bytes);
            let mut disk = vec![0; 8192];
            bench.controller.disk().peek(17 * 512, &mut disk);
            assert_eq!(disk, bytes);
            let counts = bench.controller.counts();
            assert_eq!(
                (counts.started, counts.succeeded, counts.interrupts),
                (2, 2, 2)
            );
            assert_eq!(bench.line.served.load(Ordering::Relaxed), 2);
            assert_eq!(bench.controller.misuses(), []);
            bench.adapter.free_registers(base, 3);
            bench.take_down();
        })
        .expect("no bug check");
    }
}

/// Logical addresses and bytes.
type Segments<'a> = &'a [(u64, u32)];

#[test]
fn what_the_controller_does_not_take_is_refused() {
    run(|| {
        let bench = Bench::new(Options {
            max_sectors: Some(4),
            max_segments: 2,
            address_bits: 32,
            ..Options::default()
        });
        let cases: [(Fault, u64, u32, Segments); 11] = [
            (Fault::Sectors, 0, 5, &[(0x1000, 5 * 512)]),
            (
                Fault::Segments,
                0,
                3,
                &[(0x1000, 512), (0x2000, 512), (0x3000, 512)],
            ),
            (Fault::Length, 0, 0, &[]),
            (Fault::Length, 0, 1, &[]),
            (Fault::Length, 0, 2, &[(0x1000, 512)]),
            (Fault::Length, 0, 1, &[(0x1002, 512)]),
            (Fault::Length, 0, 1, &[(0x1000, 512), (0x2000, 0)]),
            (Fault::Range, 256, 1, &[(0x1000, 512)]),
            (Fault::Range, u64::MAX, 1, &[(0x1000, 512)]),
            (Fault::Address, 0, 1, &[(0x1000, 512)]),
            (Fault::Address, 0, 1, &[(0xFFFF_FE04, 512)]),
        ];
        for (fault, lba, sectors, segments) in cases {
            let end = bench.operate(READ, lba, sectors, segments);
            assert_eq!(end, (0, Some(fault)), "{lba} {sectors} {segments:?}");
        }
        let misuses = bench.controller.misuses();
        assert_eq!(misuses.len(), 11);
        assert_eq!(misuses[9], Misuse::NotMapped(0x1000));
        assert_eq!(misuses[10], Misuse::Unreachable(0xFFFF_FE04));
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn an_error_is_in_the_status_until_it_is_acknowledged() {
    run(|| {
        let mut bench = Bench::usual();
        bench.disconnect();
        bench.describe(0, 1, &[(0x1000, 512)]);
        bench.write(COMMAND, READ);
        Machine::current().idle();
        assert_eq!(bench.read(STATUS), 2 | 4 | 3 << 8);
        // Nobody has acknowledged: the next command does not start.
        bench.write(COMMAND, READ);
        assert_eq!(bench.controller.counts().started, 1);
        assert_eq!(
            bench.controller.misuses().last(),
            Some(&Misuse::Unacknowledged)
        );
        // The line waits for a service routine.
        bench.connect();
        Machine::current().idle();
        assert_eq!(bench.line.served.load(Ordering::Relaxed), 1);
        assert_eq!(bench.read(STATUS), 0);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn a_bad_sector_fails_where_it_is() {
    run(|| {
        let bench = Bench::usual();
        let buffer = Locked::new(4096, 0, &[1]);
        let base = bench.adapter.registers(1);
        bench.controller.disk().poke(0, &[5; 4096]);
        bench.controller.fail_sector(3, Some(1));
        for expected in [(3 * 512, Some(Fault::Medium)), (4096, None)] {
            let (logical, _) = bench.adapter.map(base, &buffer, 0, 4096, false);
            assert_eq!(bench.operate(READ, 0, 8, &[(logical, 4096)]), expected);
            bench.adapter.flush(base, &buffer, 0, 4096, false);
            let bytes = buffer.bytes();
            let arrived = bytes.iter().position(|&byte| byte != 5);
            assert_eq!(arrived.unwrap_or(bytes.len()) as u32, expected.0);
        }
        bench.adapter.free_registers(base, 1);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn a_mapping_for_the_other_direction_is_none() {
    run(|| {
        let bench = Bench::usual();
        let buffer = Locked::new(512, 0, &[1]);
        let base = bench.adapter.registers(1);
        let (logical, _) = bench.adapter.map(base, &buffer, 0, 512, true);
        let end = bench.operate(READ, 0, 1, &[(logical, 512)]);
        assert_eq!(end, (0, Some(Fault::Address)));
        assert_eq!(bench.controller.misuses(), [Misuse::Direction(logical)]);
        bench.adapter.flush(base, &buffer, 0, 512, true);
        bench.adapter.free_registers(base, 1);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn a_reset_ends_what_runs_without_an_interrupt() {
    run(|| {
        let bench = Bench::usual();
        bench.controller.hold(true);
        bench.describe(0, 1, &[(0x1000, 512)]);
        bench.write(COMMAND, READ);
        assert_eq!(bench.read(STATUS), 1);
        bench.write(SECTORS, 7);
        assert_eq!(bench.controller.misuses(), [Misuse::Busy(SECTORS as u32)]);
        bench.write(COMMAND, RESET);
        assert_eq!(bench.read(STATUS), 0);
        bench.controller.hold(false);
        Machine::current().idle();
        assert_eq!(bench.line.called.load(Ordering::Relaxed), 0);
        assert_eq!(bench.controller.counts().reset, 1);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn what_was_cut_off_moves_nothing() {
    let cut: [fn(&Bench); 2] = [
        |bench| bench.write(COMMAND, RESET),
        |bench| bench.controller.pull_out(),
    ];
    for cut in cut {
        run(move || {
            let bench = Bench::usual();
            let buffer = Locked::new(512, 0, &[1]);
            buffer.fill(1);
            let base = bench.adapter.registers(1);
            let (logical, _) = bench.adapter.map(base, &buffer, 0, 512, true);
            bench.describe(0, 1, &[(logical, 512)]);
            bench.write(COMMAND, WRITE);
            assert!(bench.controller.is_busy(), "not at once with this seed");
            cut(&bench);
            Machine::current().idle();
            let mut disk = [0; 512];
            bench.controller.disk().peek(0, &mut disk);
            assert_eq!(disk, [0; 512]);
            bench.adapter.flush(base, &buffer, 0, 512, true);
            bench.adapter.free_registers(base, 1);
            bench.take_down();
        })
        .expect("no bug check");
    }
}

#[test]
fn a_device_that_was_pulled_out_reads_as_all_ones() {
    run(|| {
        let bench = Bench::usual();
        bench.describe(0, 1, &[(0x1000, 512)]);
        bench.write(COMMAND, READ);
        bench.controller.pull_out();
        Machine::current().idle();
        assert_eq!(bench.read(STATUS), ALL_ONES);
        assert_eq!(bench.read(TRANSFERRED), ALL_ONES);
        bench.write(COMMAND, READ);
        Machine::current().idle();
        let counts = bench.controller.counts();
        assert_eq!((counts.started, counts.succeeded, counts.failed), (1, 0, 0));
        assert_eq!(bench.line.called.load(Ordering::Relaxed), 0);
        bench.take_down();
    })
    .expect("no bug check");
}

#[test]
fn the_service_routine_comes_through_dispatch_level() {
    let mut early = 0;
    for seed in 0..if cfg!(miri) { 4 } else { 32 } {
        early += seeded(seed, || {
            let bench = Bench::new(Options {
                completion: Completion::Inline,
                ..Options::default()
            });
            let early = ke::raise_to_dispatch(|| {
                bench.describe(0, 1, &[(0x1000, 512)]);
                bench.write(COMMAND, READ);
                for _ in 0..8 {
                    bench.read(STATUS);
                }
                bench.line.served.load(Ordering::Relaxed)
            });
            Machine::current().idle();
            assert_eq!(bench.line.served.load(Ordering::Relaxed), 1);
            bench.take_down();
            early
        })
        .expect("no bug check");
    }
    assert!(early > 0, "it never came before the IRQL was lowered");
}

unsafe extern "C" fn critical(context: PVOID) -> BOOLEAN {
    // SAFETY: the context is the bench.
    let bench = unsafe { &*context.cast::<Bench>() };
    assert_eq!(ke::irql(), ntsim::controller::DIRQL);
    bench.line.inside.store(true, Ordering::Relaxed);
    bench.write(COMMAND, READ);
    for _ in 0..32 {
        bench.read(STATUS);
    }
    bench.line.inside.store(false, Ordering::Relaxed);
    1
}

#[test]
fn a_synchronised_routine_keeps_the_service_routine_out() {
    for seed in 0..if cfg!(miri) { 4 } else { 32 } {
        seeded(seed, || {
            let bench = Bench::new(Options {
                completion: Completion::Inline,
                ..Options::default()
            });
            bench.describe(0, 1, &[(0x1000, 512)]);
            let context: *mut c_void = (&raw const bench).cast_mut().cast();
            // SAFETY: connected; the bench outlives the call.
            let result =
                unsafe { ntddk::KeSynchronizeExecution(bench.interrupt, Some(critical), context) };
            assert_eq!(result, 1);
            assert_eq!(ke::irql(), 0);
            Machine::current().idle();
            assert_eq!(bench.line.served.load(Ordering::Relaxed), 1);
            // The other form of the same.
            // SAFETY: connected.
            let before = unsafe { ntddk::KeAcquireInterruptSpinLock(bench.interrupt) };
            assert_eq!((before, ke::irql()), (0, ntsim::controller::DIRQL));
            // SAFETY: acquired above.
            unsafe { ntddk::KeReleaseInterruptSpinLock(bench.interrupt, before) };
            assert_eq!(ke::irql(), 0);
            bench.take_down();
        })
        .expect("no bug check");
    }
}

#[test]
fn only_the_line_that_is_there_can_be_connected() {
    run(|| {
        let mut bench = Bench::usual();
        bench.disconnect();
        let resources = Bus::resources();
        let mut connect = |vector, irql| {
            // SAFETY: PASSIVE_LEVEL.
            unsafe {
                ntddk::IoConnectInterrupt(
                    &raw mut bench.interrupt,
                    Some(isr),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    vector,
                    irql,
                    irql,
                    _KINTERRUPT_MODE::LevelSensitive,
                    1,
                    1,
                    0,
                )
            }
        };
        assert_eq!(
            connect(resources.vector + 1, resources.irql),
            STATUS_INVALID_PARAMETER
        );
        assert_eq!(
            connect(resources.vector, resources.irql + 1),
            STATUS_INVALID_PARAMETER
        );
        bench.interrupt = ptr::null_mut();
        // SAFETY: nothing is mapped.
        let nothing = unsafe {
            let beyond = physical(resources.memory + 4096);
            ntddk::MmMapIoSpaceEx(beyond, 4096, UNCACHED)
        };
        assert!(nothing.is_null());
        bench.take_down();
    })
    .expect("no bug check");
}

#[cfg(not(miri))]
mod rules {
    use super::{Bench, Locked, Machine, READ, STATUS, ke, ntddk, run};
    use ntsim::machine::codes;

    #[test]
    fn an_interrupt_that_nobody_acknowledges_is_a_storm() {
        let stop = run(|| {
            let bench = Bench::usual();
            bench
                .line
                .acknowledges
                .store(false, std::sync::atomic::Ordering::Relaxed);
            bench.describe(0, 1, &[(0x1000, 512)]);
            bench.write(super::COMMAND, READ);
            Machine::current().idle();
        })
        .expect_err("a rule was broken");
        assert_eq!(stop.code, codes::HANG);
        assert!(stop.story.contains("Interrupt storm"), "{stop}");
    }

    #[test]
    fn requests_are_not_for_service_routines() {
        let complete = || {
            let irp = ntsim::io::allocate_irp(ntsim::machine::Owner::Harness, 1);
            // SAFETY: the check comes before anything else.
            unsafe {
                ntddk::KfRaiseIrql(ntsim::controller::DIRQL);
                ntddk::IofCompleteRequest(irp, 0);
            }
        };
        let call = || {
            let device = super::device();
            let irp = ntsim::io::allocate_irp(ntsim::machine::Owner::Harness, 1);
            // SAFETY: the check comes before anything else.
            unsafe {
                ntddk::KfRaiseIrql(ntsim::controller::DIRQL);
                ntddk::IofCallDriver(device, irp);
            }
        };
        for stop in [run(complete), run(call)] {
            let stop = stop.expect_err("a rule was broken");
            assert_eq!(stop.code, codes::IRQL_NOT_LESS_OR_EQUAL);
        }
    }

    #[test]
    fn registers_that_are_not_mapped_any_more_fault() {
        let unmapped = run(|| {
            let bench = Bench::usual();
            // SAFETY: mapped with this length.
            unsafe { ntddk::MmUnmapIoSpace(bench.registers.cast(), 4096) };
            bench.read(STATUS);
        })
        .expect_err("a rule was broken");
        assert_eq!(unmapped.code, codes::PAGE_FAULT_IN_NONPAGED_AREA);
        let at_dispatch = run(|| {
            let bench = Bench::usual();
            ke::raise_to_dispatch(|| bench.read(4096));
        })
        .expect_err("a rule was broken");
        assert_eq!(at_dispatch.code, codes::DRIVER_IRQL_NOT_LESS_OR_EQUAL);
        let twice = run(|| {
            let bench = Bench::usual();
            for _ in 0..2 {
                // SAFETY: the second time nothing is mapped there.
                unsafe { ntddk::MmUnmapIoSpace(bench.registers.cast(), 4096) };
            }
        })
        .expect_err("a rule was broken");
        assert!(twice.story.contains("MmUnmapIoSpace"), "{twice}");
    }

    #[test]
    fn a_buffer_that_goes_away_while_it_is_mapped_is_missed() {
        let stop = run(|| {
            let adapter = super::Adapter::get(true, 24, super::Setup::default());
            let mut buffer = Locked::scattered(4096, 0);
            let base = adapter.registers(1);
            adapter.map(base, &buffer, 0, 4096, false);
            buffer.frames.clear();
            adapter.flush(base, &buffer, 0, 4096, false);
        })
        .expect_err("a rule was broken");
        assert!(stop.story.contains("went away"), "{stop}");
    }
}
