//! MapTransfer, FlushAdapterBuffers, scatter/gather lists and common buffers: what the device sees
//! where, as long as it is mapped, and that data arrives through bounces.

mod dma_support;

use std::cell::RefCell;
use std::rc::Rc;

use dma_support::direct::{Adapter, Locked, run, seeded};
use ntsim::abi::*;
use ntsim::dma::{self, Refused, Setup, device_reads, device_writes};
use ntsim::memory::PAGE;

/// All ways to write `pages` as a sum of runs.
fn compositions(pages: usize) -> Vec<Vec<usize>> {
    if pages == 0 {
        return vec![Vec::new()];
    }
    (1..=pages)
        .flat_map(|first| {
            compositions(pages - first)
                .into_iter()
                .map(move |mut rest| {
                    rest.insert(0, first);
                    rest
                })
        })
        .collect()
}

/// All ways in which up to four pages can be neighbours; under Miri, up to two.
fn small_worlds() -> impl Iterator<Item = Vec<usize>> {
    let pages = if cfg!(miri) { 2 } else { 4 };
    (1..=pages).flat_map(compositions)
}

/// Maps all of a buffer, piece by piece.
fn map_all(adapter: &Adapter, base: PVOID, buffer: &Locked, write: bool) -> Vec<(u64, usize)> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < buffer.length {
        let (logical, length) = adapter.map(base, buffer, done, buffer.length - done, write);
        assert!(length > 0 && length <= buffer.length - done);
        pieces.push((logical, length));
        done += length;
    }
    pieces
}

/// What the device reads from these pieces.
fn read_all(adapter: &Adapter, pieces: &[(u64, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(logical, length) in pieces {
        let start = bytes.len();
        bytes.resize(start + length, 0);
        device_reads(adapter.pdo, logical, &mut bytes[start..]).expect("mapped");
    }
    bytes
}

#[test]
fn with_scatter_gather_each_call_maps_one_run() {
    for runs in small_worlds() {
        for offset in [0, 512, 4092] {
            let pages: usize = runs.iter().sum();
            for end in [4, 4096] {
                let length = (pages - 1) * PAGE + end;
                if length <= offset {
                    continue;
                }
                let length = length - offset;
                let runs = runs.clone();
                run(move || one_run_per_call(&runs, offset, length)).expect("no bug check");
            }
        }
    }
}

fn one_run_per_call(runs: &[usize], offset: usize, length: usize) {
    let adapter = Adapter::usual();
    let buffer = Locked::new(length, offset, runs);
    buffer.fill(1);
    let base = adapter.registers(buffer.pfns.len() as u32);
    let pieces = map_all(&adapter, base, &buffer, true);
    // A run begins where the frame before is no neighbour, and at the frame's own address.
    assert_eq!(pieces.len(), runs.len());
    let mut page = 0;
    for (&run, &(logical, _)) in runs.iter().zip(&pieces) {
        let within = if page == 0 { offset } else { 0 };
        assert_eq!(logical, buffer.pfns[page] * PAGE as u64 + within as u64);
        page += run;
    }
    assert_eq!(read_all(&adapter, &pieces), buffer.bytes());
    adapter.flush(base, &buffer, 0, length, true);
    assert_eq!(dma::counts().bounced_pages, 0);
    assert_eq!(dma::counts().mapped_now, 0);
    adapter.free_registers(base, buffer.pfns.len() as u32);
    adapter.put();
}

#[test]
fn without_scatter_gather_one_call_maps_all_of_it() {
    for runs in small_worlds() {
        run(move || {
            let adapter = Adapter::get(false, 64, Setup::default());
            let pages: usize = runs.iter().sum();
            let buffer = Locked::new(pages * PAGE - 512, 512, &runs);
            buffer.fill(2);
            let base = adapter.registers(pages as u32);
            let pieces = map_all(&adapter, base, &buffer, true);
            assert_eq!(pieces.len(), 1);
            assert_eq!(pieces[0].0 % PAGE as u64, 512);
            assert_eq!(read_all(&adapter, &pieces), buffer.bytes());
            // Neighbours need no bounce.
            let bounced = if runs.len() == 1 { 0 } else { pages as u64 };
            assert_eq!(dma::counts().bounced_pages, bounced);
            adapter.flush(base, &buffer, 0, buffer.length, true);
            adapter.free_registers(base, pages as u32);
            adapter.put();
        })
        .expect("no bug check");
    }
}

#[test]
fn a_call_may_map_less_than_it_was_asked_for() {
    for (scatter_gather, bits) in [(true, 64), (true, 24), (false, 64), (false, 24)] {
        run(move || {
            let setup = Setup {
                map_at_most: Some(2),
                ..Setup::default()
            };
            let adapter = Adapter::get(scatter_gather, bits, setup);
            let buffer = Locked::new(5 * PAGE - 512, 512, &[5]);
            buffer.fill(6);
            let base = adapter.registers(5);
            let pieces = map_all(&adapter, base, &buffer, true);
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.1).collect();
            assert_eq!(lengths, [2 * PAGE - 512, 2 * PAGE, PAGE]);
            assert_eq!(read_all(&adapter, &pieces), buffer.bytes());
            adapter.flush(base, &buffer, 0, buffer.length, true);
            adapter.free_registers(base, 5);
            adapter.put();
        })
        .expect("no bug check");
    }
}

#[test]
fn frames_beyond_reach_are_bounced_both_ways() {
    let seeds = if cfg!(miri) { 0..1 } else { 0..24 };
    let mut mixed = 0;
    for seed in seeds {
        for bits in [24, 32, 36, 37, 64] {
            for scatter_gather in [false, true] {
                mixed += seeded(seed, || bounce(bits, scatter_gather)).expect("no bug check");
            }
        }
    }
    assert!(
        mixed > 0 || cfg!(miri),
        "some buffers had both kinds of frames"
    );
}

/// A round trip; 1 if a part of the frames had to be bounced, and a part had not.
fn bounce(bits: u32, scatter_gather: bool) -> u32 {
    let adapter = Adapter::get(scatter_gather, bits, Setup::default());
    let (pages, offset) = (6, 1024);
    let length = (pages - 1) * PAGE;
    let buffer = Locked::scattered(length, offset);
    buffer.fill(3);
    let before = buffer.bytes();
    let base = adapter.registers(pages as u32);

    let pieces = map_all(&adapter, base, &buffer, true);
    for &(logical, length) in &pieces {
        let last = logical + length as u64 - 1;
        assert!(bits == 64 || last >> bits == 0, "{last:#x} in {bits} bits");
    }
    assert_eq!(read_all(&adapter, &pieces), before);
    adapter.flush(base, &buffer, 0, length, true);
    assert_eq!(buffer.bytes(), before);

    let pieces = map_all(&adapter, base, &buffer, false);
    let mut done = 0;
    for &(logical, length) in &pieces {
        let bytes: Vec<u8> = (done..done + length).map(|at| !before[at]).collect();
        device_writes(adapter.pdo, logical, &bytes).expect("mapped");
        done += length;
    }
    adapter.flush(base, &buffer, 0, length, false);
    let inverse: Vec<u8> = before.iter().map(|byte| !byte).collect();
    assert_eq!(buffer.bytes(), inverse);

    let bounced = dma::counts().bounced_pages;
    let reached = buffer
        .pfns
        .iter()
        .filter(|&&frame| bits == 64 || (frame + 1) * PAGE as u64 <= 1 << bits)
        .count() as u64;
    if scatter_gather {
        assert_eq!(bounced, 2 * (pages as u64 - reached));
    } else {
        assert_eq!(bounced, 2 * pages as u64);
    }
    adapter.free_registers(base, pages as u32);
    adapter.put();
    u32::from(scatter_gather && reached > 0 && reached < pages as u64)
}

#[test]
fn a_read_that_is_bounced_arrives_with_the_flush() {
    run(|| {
        let adapter = Adapter::get(true, 24, Setup::default());
        let buffer = Locked::scattered(4096, 0);
        let base = adapter.registers(1);
        let (logical, _) = adapter.map(base, &buffer, 0, 4096, false);
        device_writes(adapter.pdo, logical, &[7; 4096]).expect("mapped");
        assert_eq!(buffer.bytes(), [0; 4096]);
        adapter.flush(base, &buffer, 0, 4096, false);
        assert_eq!(buffer.bytes(), [7; 4096]);
        adapter.free_registers(base, 1);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn a_device_reaches_only_what_is_mapped_for_it() {
    run(|| {
        let adapter = Adapter::usual();
        let other = Adapter::usual();
        let buffer = Locked::new(2 * PAGE, 0, &[2]);
        let base = adapter.registers(2);
        let (logical, length) = adapter.map(base, &buffer, 512, PAGE, true);
        assert_eq!(length, PAGE);
        let read = |adapter: &Adapter, at: u64| device_reads(adapter.pdo, at, &mut [0; 4]);
        assert_eq!(read(&adapter, logical), Ok(()));
        assert_eq!(read(&adapter, logical + PAGE as u64 - 4), Ok(()));
        // A byte before, a byte behind, another device, the other direction.
        assert_eq!(
            read(&adapter, logical - 4),
            Err(Refused::NotMapped(logical - 4))
        );
        let behind = logical + PAGE as u64;
        assert_eq!(read(&adapter, behind), Err(Refused::NotMapped(behind)));
        assert_eq!(read(&adapter, behind - 2), Err(Refused::NotMapped(behind)));
        assert_eq!(read(&other, logical), Err(Refused::NotMapped(logical)));
        let written = device_writes(adapter.pdo, logical, &[1; 4]);
        assert_eq!(written, Err(Refused::Direction(logical)));
        adapter.flush(base, &buffer, 512, PAGE, true);
        assert_eq!(read(&adapter, logical), Err(Refused::NotMapped(logical)));
        adapter.free_registers(base, 2);
    })
    .expect("no bug check");
}

#[test]
fn registers_are_as_good_as_new_after_a_flush() {
    run(|| {
        let adapter = Adapter::get(false, 24, Setup::default());
        let buffer = Locked::scattered(9 * PAGE, 0);
        buffer.fill(4);
        let base = adapter.registers(2);
        let mut seen = Vec::new();
        let mut at = 0;
        while at < buffer.length {
            let length = (2 * PAGE).min(buffer.length - at);
            let (logical, mapped) = adapter.map(base, &buffer, at, length, true);
            assert_eq!(mapped, length);
            seen.extend(read_all(&adapter, &[(logical, mapped)]));
            adapter.flush(base, &buffer, at, length, true);
            at += length;
        }
        assert_eq!(seen, buffer.bytes());
        assert_eq!(dma::counts().map_transfers, 5);
        assert_eq!(dma::counts().flushes, 5);
        adapter.free_registers(base, 2);
        adapter.put();
    })
    .expect("no bug check");
}

/// The elements of a list.
fn elements(list: PSCATTER_GATHER_LIST) -> Vec<(u64, usize)> {
    // SAFETY: a list that was not put back, with its elements behind the header.
    unsafe {
        let first: *const SCATTER_GATHER_ELEMENT = list.add(1).cast();
        (0..(*list).NumberOfElements as usize)
            .map(|index| first.add(index).read())
            .map(|element| (element.Address.QuadPart as u64, element.Length as usize))
            .collect()
    }
}

#[test]
fn a_list_describes_the_buffer_run_by_run() {
    for runs in small_worlds() {
        for bits in [24, 64] {
            let runs = runs.clone();
            run(move || {
                let adapter = Adapter::get(true, bits, Setup::default());
                let pages: usize = runs.iter().sum();
                let buffer = Rc::new(Locked::new(pages * PAGE - 512, 512, &runs));
                buffer.fill(5);
                let got = Rc::new(RefCell::new(Vec::new()));
                let (inside, held) = (got.clone(), buffer.clone());
                let status = adapter.get_list(&buffer, 0, buffer.length, true, move |list| {
                    inside.replace(elements(list));
                    assert_eq!(read_all(&adapter, &inside.borrow()), held.bytes());
                    adapter.put_list(list, true);
                });
                assert_eq!(status, STATUS_SUCCESS);
                // What has to be bounced is in one piece.
                let expected = if bits == 64 { runs.len() } else { 1 };
                assert_eq!(got.borrow().len(), expected);
                let logical = got.borrow()[0].0;
                let gone = device_reads(adapter.pdo, logical, &mut [0]);
                assert_eq!(gone, Err(Refused::NotMapped(logical)));
                adapter.put();
                assert_eq!(dma::counts().registers_now, 0);
            })
            .expect("no bug check");
        }
    }
}

#[test]
fn a_list_brings_back_what_the_device_wrote() {
    run(|| {
        let adapter = Adapter::get(true, 24, Setup::default());
        let buffer = Locked::scattered(3 * PAGE, 0);
        adapter.get_list(&buffer, 0, 3 * PAGE, false, move |list| {
            for (logical, length) in elements(list) {
                device_writes(adapter.pdo, logical, &vec![9; length]).expect("mapped");
            }
            adapter.put_list(list, false);
        });
        assert_eq!(buffer.bytes(), vec![9; 3 * PAGE]);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn a_list_that_cannot_be_made_says_why() {
    run(|| {
        let setup = Setup {
            map_registers: Some(3),
            ..Setup::default()
        };
        let adapter = Adapter::get(true, 64, setup);
        let buffer = Locked::scattered(3 * PAGE, 512);
        let none = |_| panic!("the routine is not called");
        let too_large = adapter.get_list(&buffer, 0, 3 * PAGE, true, none);
        assert_eq!(too_large, STATUS_INSUFFICIENT_RESOURCES);
        let too_long = adapter.get_list(&buffer, 4096, 3 * PAGE, true, none);
        assert_eq!(too_long, STATUS_BUFFER_TOO_SMALL);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn lists_wait_for_registers_in_order() {
    run(|| {
        dma::set_pool(4);
        let adapter = Adapter::usual();
        let buffer = Rc::new(Locked::scattered(3 * PAGE, 0));
        let lists = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..3 {
            let lists = lists.clone();
            let held = Locked::scattered(3 * PAGE, 0);
            let held = Rc::new(held);
            let keep = held.clone();
            adapter.get_list(&held, 0, 3 * PAGE, true, move |list| {
                lists.borrow_mut().push((list, keep.clone()));
            });
        }
        for served in 1..=3 {
            assert_eq!(lists.borrow().len(), served);
            let (list, _) = lists.borrow()[served - 1].clone();
            adapter.put_list(list, true);
        }
        drop(buffer);
        adapter.put();
    })
    .expect("no bug check");
}

#[test]
fn a_common_buffer_is_seen_by_both_sides() {
    for bits in [24, 32, 64] {
        run(move || {
            let adapter = Adapter::get(true, bits, Setup::default());
            let (address, logical) = adapter.common(3 * 4096).expect("there is room");
            assert_eq!(logical % 4096, 0);
            assert!(bits == 64 || (logical + 3 * 4096) >> bits == 0);
            let (second, other) = adapter.common(4096).expect("there is room");
            assert!(other >= logical + 3 * 4096 || other + 4096 <= logical);
            let bytes: *mut u8 = address.cast();
            // SAFETY: a buffer of this length that nobody else uses.
            unsafe { bytes.add(5000).write(42) };
            let mut read = [0; 1];
            device_reads(adapter.pdo, logical + 5000, &mut read).expect("mapped");
            assert_eq!(read, [42]);
            device_writes(adapter.pdo, logical + 12287, &[43]).expect("mapped");
            // SAFETY: as above.
            assert_eq!(unsafe { bytes.add(12287).read() }, 43);
            assert!(device_writes(adapter.pdo, logical + 12288 + 4096, &[1]).is_err());
            assert_eq!(dma::counts().common_buffers, 2);
            adapter.free_common(4096, second, other);
            adapter.free_common(3 * 4096, address, logical);
            assert!(device_reads(adapter.pdo, logical, &mut read).is_err());
            adapter.put();
        })
        .expect("no bug check");
    }
}

#[test]
fn an_adapter_says_what_a_coherent_bus_master_needs() {
    run(|| {
        let adapter = Adapter::usual();
        // SAFETY: a live adapter.
        unsafe {
            assert_eq!(
                adapter.operations().GetDmaAlignment.unwrap()(adapter.pointer),
                1
            );
            assert_eq!(
                adapter.operations().ReadDmaCounter.unwrap()(adapter.pointer),
                0
            );
        }
        adapter.put();
    })
    .expect("no bug check");
}
