//! Memory descriptor lists over scattered frames.

use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::machine::Owner;
use ntsim::memory::{self, FrameSet, PAGE, Placement};
use ntsim::ntddk;

use crate::kit::*;

/// A locked buffer as the layers above hand one down.
struct Buffer {
    frames: FrameSet,
    va: PVOID,
    mdl: PMDL,
}

impl Buffer {
    fn new(pages: usize, offset: usize, length: u32) -> Self {
        let frames = memory::allocate_frames(pages, Placement::Scattered);
        let va = memory::reserve_va(pages).wrapping_byte_add(offset);
        let mdl = memory::build_mdl(Owner::Harness, va, length, frames.pfns());
        Self { frames, va, mdl }
    }

    fn free(self) {
        // SAFETY: ours, and nobody uses it.
        unsafe { memory::free_mdl(self.mdl) };
    }
}

fn partial(bytes: u32) -> PMDL {
    // SAFETY: always allowed at PASSIVE_LEVEL.
    unsafe { ntddk::IoAllocateMdl(null_mut(), bytes, 0, 0, null_mut()) }
}

/// The frames that an MDL describes.
unsafe fn frames_of(mdl: PMDL) -> Vec<u64> {
    // SAFETY: the caller's MDL.
    unsafe {
        let bytes = (*mdl).ByteOffset as usize + (*mdl).ByteCount as usize;
        let pfns = memory::mdl_pfns(mdl);
        (0..bytes.div_ceil(PAGE))
            .map(|index| *pfns.add(index))
            .collect()
    }
}

#[test]
fn frames_are_scattered_or_not() {
    let result = on_both(|| {
        let scattered = memory::allocate_frames(64, Placement::Scattered);
        let run = memory::allocate_frames(64, Placement::Contiguous);
        let adjacent = |set: &FrameSet| {
            set.pfns()
                .windows(2)
                .filter(|pair| pair[0] + 1 == pair[1])
                .count()
        };
        (adjacent(&scattered), adjacent(&run))
    });
    assert_eq!(result, Ok((0, 63)));
}

#[test]
fn runs_are_used_again_and_stay_apart() {
    let result = on_both(|| {
        let run = |pages| memory::allocate_frames(pages, Placement::Contiguous);
        let (one, two) = (run(4), run(4));
        let apart = one.pfns()[3] + 1 != two.pfns()[0];
        let first = one.pfns()[0];
        drop(one);
        (apart, run(4).pfns()[0] == first)
    });
    assert_eq!(result, Ok((true, true)));
}

#[test]
fn many_frames_can_share_a_few_pages() {
    let result = on_both(|| {
        let set = memory::allocate_frames(1000, Placement::Aliased { host_pages: 2 });
        let pages: std::collections::BTreeSet<_> = memory::with_frames(|table| {
            set.pfns()
                .iter()
                .map(|&pfn| table.page(pfn).expect("it is RAM").addr())
                .collect()
        });
        (set.pfns().len(), pages.len(), set.host().is_null())
    });
    assert_eq!(result, Ok((1000, 2, true)));
}

#[test]
fn freed_frames_are_no_ram() {
    let result = on_both(|| {
        let set = memory::allocate_frames(1, Placement::Scattered);
        let pfn = set.pfns()[0];
        let before = memory::with_frames(|table| table.page(pfn).is_some());
        drop(set);
        (
            before,
            memory::with_frames(|table| table.page(pfn).is_some()),
        )
    });
    assert_eq!(result, Ok((true, false)));
}

#[test]
fn a_partial_mdl_describes_a_part() {
    let result = on_both(|| {
        let buffer = Buffer::new(5, 0x200, 4 * PAGE as u32);
        let target = partial(2 * PAGE as u32);
        let start = buffer.va.wrapping_byte_add(PAGE);
        // SAFETY: our MDLs.
        let seen = unsafe {
            ntddk::IoBuildPartialMdl(buffer.mdl, target, start, PAGE as u32);
            let flags = u32::from((*target).MdlFlags.cast_unsigned());
            let same = frames_of(target) == buffer.frames.pfns()[1..3];
            let address = (*target).StartVa.addr() + (*target).ByteOffset as usize;
            (
                (*target).ByteCount,
                flags & MDL_PARTIAL != 0,
                same,
                address == start.addr(),
            )
        };
        // SAFETY: ours.
        unsafe { ntddk::IoFreeMdl(target) };
        buffer.free();
        seen
    });
    assert_eq!(result, Ok((PAGE as u32, true, true, true)));
}

#[test]
fn a_mapping_shows_the_bytes() {
    let result = on_both(|| {
        let buffer = Buffer::new(2, 0x100, PAGE as u32);
        // SAFETY: our memory.
        unsafe {
            buffer.frames.host().add(0x100).write(0xAB);
            let address = ntddk::MmMapLockedPagesSpecifyCache(buffer.mdl, 0, 1, null_mut(), 0, 16);
            let byte = *address.cast::<u8>();
            ntddk::MmUnmapLockedPages(address, buffer.mdl);
            buffer.free();
            byte
        }
    });
    assert_eq!(result, Ok(0xAB));
}

#[test]
fn pool_has_frames_too() {
    let result = on_both(|| {
        // SAFETY: our pool and MDL.
        unsafe {
            let block = ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, 6000, 1);
            let mdl = ntddk::IoAllocateMdl(block, 6000, 0, 0, null_mut());
            ntddk::MmBuildMdlForNonPagedPool(mdl);
            block.cast::<u8>().add(5000).write(7);
            let offset = (*mdl).ByteOffset as usize + 5000;
            let pfn = *memory::mdl_pfns(mdl).add(offset / PAGE);
            let byte = memory::with_frames(|table| {
                *table
                    .page(pfn)
                    .expect("it is RAM")
                    .wrapping_add(offset % PAGE)
            });
            ntddk::IoFreeMdl(mdl);
            ntddk::ExFreePool(block);
            byte
        }
    });
    assert_eq!(result, Ok(7));
}

#[test]
fn pages_can_be_locked_by_label() {
    let result = on_both(|| {
        let frames = memory::allocate_frames(2, Placement::Scattered);
        let va = memory::reserve_va(2);
        memory::map_va(va, frames.pfns());
        // SAFETY: our MDL.
        unsafe {
            let mdl = ntddk::IoAllocateMdl(va, 2 * PAGE as u32, 0, 0, null_mut());
            ntddk::MmProbeAndLockPages(mdl, 0, _LOCK_OPERATION::IoModifyAccess);
            let same = frames_of(mdl) == frames.pfns();
            ntddk::MmUnlockPages(mdl);
            ntddk::IoFreeMdl(mdl);
            same
        }
    });
    assert_eq!(result, Ok(true));
}

#[cfg(not(miri))]
mod wrong {
    use ntsim::machine::codes;
    use ntsim::{BugCheck, io};

    use super::*;

    fn build(length: u32, room: u32, at: usize) -> BugCheck {
        stops(move || {
            let buffer = Buffer::new(4, 0, 4 * PAGE as u32);
            let target = partial(room);
            let start = buffer.va.wrapping_byte_add(at);
            // SAFETY: our MDLs; the rules under test.
            unsafe { ntddk::IoBuildPartialMdl(buffer.mdl, target, start, length) };
        })
    }

    #[test]
    fn target_too_small() {
        let page = PAGE as u32;
        // Two pages of bytes that touch three.
        let report = build(2 * page, 2 * page, 512);
        assert_eq!(report.code, codes::TARGET_MDL_TOO_SMALL, "{report}");
        assert!(
            report
                .story
                .contains("touch 3 pages; the target has room for 2"),
            "{report}"
        );
    }

    #[test]
    fn range_outside_the_source() {
        let report = build(PAGE as u32, 8 * PAGE as u32, 3 * PAGE + 512);
        assert_eq!(report.code, codes::TARGET_MDL_TOO_SMALL, "{report}");
    }

    #[test]
    fn length_zero() {
        let report = build(0, 8 * PAGE as u32, 0);
        let expected = (0xC4, codes::strict::PARTIAL_LENGTH_ZERO);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
    }

    #[test]
    fn built_again_while_mapped() {
        let report = stops(|| {
            let buffer = Buffer::new(4, 0, 4 * PAGE as u32);
            let target = partial(PAGE as u32);
            // SAFETY: our MDLs; MmPrepareMdlForReuse is missing. The rule under test.
            unsafe {
                ntddk::IoBuildPartialMdl(buffer.mdl, target, buffer.va, PAGE as u32);
                ntddk::MmMapLockedPagesSpecifyCache(target, 0, 1, null_mut(), 0, 16);
                ntddk::IoBuildPartialMdl(buffer.mdl, target, buffer.va, PAGE as u32);
            }
        });
        let expected = (0xC4, codes::strict::MDL_STILL_MAPPED);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
    }

    unsafe extern "C" fn never(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe { (*io::current_location(irp)).Control |= PENDING };
        STATUS_PENDING
    }

    #[test]
    fn freed_or_rebuilt_while_in_flight() {
        for rebuild in [false, true] {
            let report = stops_deterministic(move || {
                let buffer = Buffer::new(4, 0, 4 * PAGE as u32);
                let target = partial(PAGE as u32);
                let device = device("lower", never, null_mut());
                let outcome = Outcome::new();
                let irp = read_irp(device, &outcome);
                // SAFETY: our objects; the rule under test.
                unsafe {
                    ntddk::IoBuildPartialMdl(buffer.mdl, target, buffer.va, PAGE as u32);
                    (*irp).MdlAddress = target;
                    ntddk::IofCallDriver(device, irp);
                    if rebuild {
                        ntddk::IoBuildPartialMdl(buffer.mdl, target, buffer.va, PAGE as u32);
                    } else {
                        ntddk::IoFreeMdl(target);
                    }
                }
            });
            let expected = (0xC4, codes::strict::MDL_IN_USE);
            assert_eq!((report.code, report.parameters[0]), expected, "{report}");
        }
    }

    /// Completes the parent while a child over its pages is still below.
    unsafe extern "C" fn splits_carelessly(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP; the child's parts are ours.
        unsafe {
            let below = (*(*device).DeviceObjectExtension).AttachedTo;
            let source = (*irp).MdlAddress;
            let outcome: &'static Outcome = Box::leak(Outcome::new());
            let child = read_irp(below, outcome);
            let target = partial(PAGE as u32);
            let start = (*source)
                .StartVa
                .wrapping_byte_add((*source).ByteOffset as usize);
            ntddk::IoBuildPartialMdl(source, target, start, PAGE as u32);
            (*child).MdlAddress = target;
            ntddk::IofCallDriver(below, child);
            finish(irp, STATUS_SUCCESS)
        }
    }

    #[test]
    fn parent_completed_before_its_children() {
        let report = stops_deterministic(|| {
            let buffer = Buffer::new(4, 0, 4 * PAGE as u32);
            let top = device(
                "wrong",
                splits_carelessly,
                device("lower", never, null_mut()),
            );
            let outcome = Outcome::new();
            let irp = read_irp(top, &outcome);
            // SAFETY: our objects.
            unsafe {
                (*irp).MdlAddress = buffer.mdl;
                ntddk::IofCallDriver(top, irp);
            }
        });
        let expected = (0xC4, codes::strict::MDL_IN_USE);
        assert_eq!((report.code, report.parameters[0]), expected, "{report}");
        assert!(
            report.story.contains("partial MDLs over its pages"),
            "{report}"
        );
    }

    #[test]
    fn unlocking_a_partial_mdl() {
        let report = stops(|| {
            let buffer = Buffer::new(4, 0, 4 * PAGE as u32);
            let target = partial(PAGE as u32);
            // SAFETY: our MDLs; the rule under test.
            unsafe {
                ntddk::IoBuildPartialMdl(buffer.mdl, target, buffer.va, PAGE as u32);
                ntddk::MmUnlockPages(target);
            }
        });
        let partial = u64::from(MDL_PARTIAL);
        assert_eq!(
            (report.code, report.parameters[0], report.parameters[3]),
            (0xC4, 0xB4, partial),
            "{report}"
        );
    }

    #[test]
    fn locking_a_bad_user_range() {
        let report = stops(|| {
            let user: PVOID = std::ptr::without_provenance_mut(0xFFFF_8000_0000_0000);
            // SAFETY: our MDL; the exception is the rule under test.
            unsafe {
                let mdl = ntddk::IoAllocateMdl(user, 100, 0, 0, null_mut());
                ntddk::MmProbeAndLockPages(mdl, 1, _LOCK_OPERATION::IoReadAccess);
            }
        });
        assert_eq!(report.code, codes::KMODE_EXCEPTION_NOT_HANDLED, "{report}");
        assert_eq!(report.parameters[0], 0xC000_0005, "{report}");
    }
}
