//! Pool, lookaside lists, accounts, fault injection, leaks.

use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::machine::{AllocationKind, Owner};
use ntsim::{Machine, memory, ntddk};

use crate::kit::*;

const TAG: u32 = u32::from_le_bytes(*b"Test");

fn pool(bytes: u64) -> PVOID {
    // SAFETY: always allowed at PASSIVE_LEVEL.
    unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes, TAG) }
}

#[test]
fn pool_is_zeroed_and_aligned() {
    let result = on_both(|| {
        let blocks = [pool(1), pool(100), pool(4096)];
        let checks = blocks.map(|block| {
            // SAFETY: our block has at least a byte.
            let first = unsafe { *block.cast::<u8>() };
            (first, block.addr() % 16)
        });
        let page_aligned = blocks[2].addr() % 4096;
        for block in blocks {
            // SAFETY: our block.
            unsafe { ntddk::ExFreePoolWithTag(block, TAG) };
        }
        (checks, page_aligned)
    });
    assert_eq!(result, Ok(([(0, 0); 3], 0)));
}

#[test]
fn pool_for_adapters_begins_on_a_cache_line() {
    let result = on_both(|| {
        let flags = POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED;
        [1, 24, 100].map(|bytes| {
            // SAFETY: always allowed at PASSIVE_LEVEL; both blocks are ours.
            unsafe {
                let block = ntddk::ExAllocatePool2(flags, bytes, TAG);
                let own = memory::pool_allocate_cache_aligned(Owner::Harness, bytes as usize, TAG);
                let rest = (block.addr() % 64, own.addr() % 64);
                ntddk::ExFreePoolWithTag(block, TAG);
                memory::pool_free(own);
                rest
            }
        })
    });
    assert_eq!(result, Ok([(0, 0); 3]));
}

#[test]
fn bad_parameters_give_null() {
    let result = on_both(|| {
        // SAFETY: always allowed at PASSIVE_LEVEL.
        unsafe {
            let no_kind = ntddk::ExAllocatePool2(0, 16, TAG).is_null();
            let no_tag = ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, 0).is_null();
            (no_kind, no_tag)
        }
    });
    assert_eq!(result, Ok((true, true)));
}

#[test]
fn accounts_count_the_drivers_allocations_alone() {
    let machine = deterministic(1);
    machine
        .run(|| {
            let device = device("mine", complete_inline, null_mut());
            let neighbours = memory::pool_allocate(Owner::Port, 1000, TAG);
            as_driver_of(device, || {
                let block = pool(64);
                // SAFETY: our objects.
                unsafe {
                    let irp = ntddk::IoAllocateIrp(2, 0);
                    let mdl = ntddk::IoAllocateMdl(null_mut(), 8192, 0, 0, null_mut());
                    ntddk::IoFreeMdl(mdl);
                    ntddk::IoFreeIrp(irp);
                    ntddk::ExFreePool(block);
                }
            });
            // SAFETY: our block.
            unsafe { memory::pool_free(neighbours) };
        })
        .expect("no rule is broken");
    let counts = machine.allocations();
    assert_eq!(
        (counts.irp, counts.mdl, counts.pool, counts.total()),
        (1, 1, 1, 3)
    );
    assert_eq!(counts.bytes_now, 0);
    assert!(counts.bytes_peak > 64);
}

#[test]
fn allocations_fail_when_asked_to() {
    let machine = deterministic(1);
    machine.fail_allocations(Some(Box::new(|request| {
        request.kind == AllocationKind::Irp
    })));
    let result = machine.run(|| {
        // SAFETY: always allowed at PASSIVE_LEVEL.
        let irp = unsafe { ntddk::IoAllocateIrp(1, 0) };
        let block = pool(16);
        // SAFETY: our block.
        unsafe { ntddk::ExFreePool(block) };
        Machine::current().fail_allocations(None);
        // SAFETY: always allowed at PASSIVE_LEVEL.
        let later = unsafe { ntddk::IoAllocateIrp(1, 0) };
        // SAFETY: our IRP.
        unsafe { ntddk::IoFreeIrp(later) };
        (irp.is_null(), block.is_null(), later.is_null())
    });
    assert_eq!(result, Ok((true, false, false)));
}

#[test]
fn a_lookaside_list_keeps_entries() {
    let result = on_both(|| {
        let mut list = LOOKASIDE_LIST_EX::default();
        let list = &raw mut list;
        // SAFETY: our list and its entries.
        unsafe {
            ntddk::ExInitializeLookasideListEx(list, None, None, 512, 0, 64, TAG, 0);
            let first = ntddk::ExAllocateFromLookasideListEx(list);
            ntddk::ExFreeToLookasideListEx(list, first);
            let second = ntddk::ExAllocateFromLookasideListEx(list);
            ntddk::ExFreeToLookasideListEx(list, second);
            ntddk::ExDeleteLookasideListEx(list);
            first == second
        }
    });
    assert_eq!(result, Ok(true));
}

#[test]
fn an_interlocked_list_is_a_stack() {
    let result = on_both(|| {
        let mut head = SLIST_HEADER::default();
        let mut entries = [SLIST_ENTRY::default(); 2];
        let head = &raw mut head;
        let base = (&raw mut entries).cast::<SLIST_ENTRY>();
        // SAFETY: our list and its entries.
        unsafe {
            let (one, two) = (base, base.add(1));
            let empty = ntddk::ExpInterlockedPopEntrySList(head).is_null();
            let before = ntddk::ExpInterlockedPushEntrySList(head, one).is_null();
            let again = ntddk::ExpInterlockedPushEntrySList(head, two) == one;
            let order = ntddk::ExpInterlockedPopEntrySList(head) == two
                && ntddk::ExpInterlockedPopEntrySList(head) == one;
            [empty, before, again, order]
        }
    });
    assert_eq!(result, Ok([true; 4]));
}

#[cfg(not(miri))]
mod wrong {
    use super::*;
    use ntsim::ke;

    #[test]
    fn freed_twice() {
        let report = stops(|| {
            let block = pool(32);
            // SAFETY: the first time; the rule under test.
            unsafe {
                ntddk::ExFreePool(block);
                ntddk::ExFreePool(block);
            }
        });
        assert_eq!((report.code, report.parameters[0]), (0xC2, 7), "{report}");
    }

    #[test]
    fn freed_with_another_tag() {
        let report = stops(|| {
            // SAFETY: our block; the rule under test.
            unsafe { ntddk::ExFreePoolWithTag(pool(32), u32::from_le_bytes(*b"Else")) };
        });
        assert_eq!((report.code, report.parameters[0]), (0xC2, 0xA), "{report}");
        assert!(
            report.story.contains("'Test'") && report.story.contains("'Else'"),
            "{report}"
        );
    }

    #[test]
    fn freed_in_the_middle() {
        let report = stops(|| {
            // SAFETY: inside our block; the rule under test.
            unsafe { ntddk::ExFreePool(pool(32).byte_add(16)) };
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC2, 0x46),
            "{report}"
        );
    }

    #[test]
    fn zero_bytes() {
        let report = stops(|| {
            pool(0);
        });
        assert_eq!((report.code, report.parameters[0]), (0xC4, 0), "{report}");
    }

    #[test]
    fn paged_pool_at_dispatch_level() {
        let report = stops(|| {
            ke::raise_to_dispatch(|| {
                // SAFETY: the rule under test.
                unsafe { ntddk::ExAllocatePool2(POOL_FLAG_PAGED, 16, TAG) };
            });
        });
        assert_eq!((report.code, report.parameters[0]), (0xC4, 1), "{report}");
    }

    #[test]
    fn written_past_its_end() {
        let report = stops(|| {
            let block = pool(32);
            // SAFETY: not: one byte too far. The rule under test.
            unsafe {
                block.cast::<u8>().add(32).write(1);
                ntddk::ExFreePool(block);
            }
        });
        assert_eq!(report.code, 0xC1, "{report}");
    }

    #[test]
    fn written_after_it_was_freed() {
        let report = stops(|| {
            let device = device("mine", complete_inline, null_mut());
            let block = pool(32);
            // SAFETY: not: the block is freed. The rule under test.
            unsafe {
                ntddk::ExFreePool(block);
                block.cast::<u8>().add(5).write(1);
            }
            Machine::current().check_leaks(id_of(device));
        });
        assert_eq!((report.code, report.parameters[1]), (0xC1, 5), "{report}");
    }

    #[test]
    fn left_behind_at_unload() {
        let report = stops(|| {
            let device = device("leaky", complete_inline, null_mut());
            as_driver_of(device, || {
                pool(40);
                // SAFETY: always allowed at PASSIVE_LEVEL.
                unsafe {
                    ntddk::IoAllocateIrp(3, 0);
                    ntddk::IoAllocateMdl(null_mut(), 4096, 0, 0, null_mut());
                }
            });
            Machine::current().check_leaks(id_of(device));
        });
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0x62),
            "{report}"
        );
        assert_eq!(report.parameters[3], 3, "{report}");
        for what in ["leaky", "40 bytes, tag 'Test'", "3 stack locations", "MDL"] {
            assert!(report.story.contains(what), "{what}: {report}");
        }
    }
}
