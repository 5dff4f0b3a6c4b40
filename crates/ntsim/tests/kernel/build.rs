//! Requests that the I/O manager builds and finishes for a thread.

use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::machine::codes;
use ntsim::memory;
use ntsim::{Machine, io, ke, ntddk};

use crate::kit::*;

/// Answers a control request with the input's bytes, each one more.
unsafe extern "C" fn answer(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; METHOD_BUFFERED has one buffer for both.
    unsafe {
        let parameters = &raw const (*io::current_location(irp)).Parameters.DeviceIoControl;
        let bytes = (*parameters)
            .InputBufferLength
            .min((*parameters).OutputBufferLength);
        let buffer = (*irp).AssociatedIrp.SystemBuffer.cast::<u8>();
        for index in 0..bytes as usize {
            *buffer.add(index) += 1;
        }
        if (*parameters).IoControlCode & 4 != 0 {
            return complete_later(device, irp);
        }
        (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS;
        (*irp).IoStatus.Information = u64::from(bytes);
        ntddk::IofCompleteRequest(irp, 0);
    }
    STATUS_SUCCESS
}

#[test]
fn a_buffered_control_request_copies_both_ways() {
    let result = on_both(|| {
        let device = device("answering", answer, null_mut());
        let outcome = Outcome::new();
        let input = [1u8, 2, 3, 4];
        let mut output = [0u8; 4];
        let mut block = IO_STATUS_BLOCK::default();
        // SAFETY: buffers, block and event live until the wait is over.
        unsafe {
            let irp = ntddk::IoBuildDeviceIoControlRequest(
                0,
                device,
                (&raw const input).cast_mut().cast(),
                4,
                (&raw mut output).cast(),
                4,
                0,
                outcome.event.get(),
                &raw mut block,
            );
            let status = ntddk::IofCallDriver(device, irp);
            let wait = ke::wait(outcome.event.get(), None);
            (status, wait, output, block.Information)
        }
    });
    assert_eq!(result, Ok((0, 0, [2, 3, 4, 5], 4)));
}

#[test]
fn an_error_returned_at_once_touches_neither_block_nor_event() {
    unsafe extern "C" fn refuse(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        // SAFETY: a dispatch routine has its IRP.
        unsafe { finish(irp, STATUS_INVALID_DEVICE_REQUEST) }
    }
    let result = on_both(|| {
        let device = device("refusing", refuse, null_mut());
        let outcome = Outcome::new();
        let mut block = IO_STATUS_BLOCK::default();
        // SAFETY: block and event live long enough.
        unsafe {
            block.Information = 77;
            let none = null_mut();
            let event = outcome.event.get();
            let irp = ntddk::IoBuildDeviceIoControlRequest(
                0,
                device,
                none,
                0,
                none,
                0,
                1,
                event,
                &raw mut block,
            );
            let status = ntddk::IofCallDriver(device, irp);
            (status, block.Information, ke::wait(event, Some(0)))
        }
    });
    assert_eq!(
        result,
        Ok((STATUS_INVALID_DEVICE_REQUEST, 77, STATUS_TIMEOUT))
    );
}

/// Writes a pattern through the frames of the request's MDL, as a device does.
unsafe extern "C" fn fill(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; direct I/O gives an MDL.
    unsafe {
        let mdl = (*irp).MdlAddress;
        let (offset, bytes) = ((*mdl).ByteOffset as usize, (*mdl).ByteCount as usize);
        memory::with_frames(|table| {
            for index in 0..bytes {
                let at = offset + index;
                let pfn = *memory::mdl_pfns(mdl).add(at / memory::PAGE);
                let page = table.page(pfn).expect("it is RAM");
                page.wrapping_add(at % memory::PAGE).write(index as u8);
            }
        });
        complete_later(device, irp)
    }
}

/// A device that fills buffers later, and what a reader of 512 bytes needs.
struct Reader {
    device: PDEVICE_OBJECT,
    outcome: Box<Outcome>,
    block: IO_STATUS_BLOCK,
    buffer: PVOID,
}

impl Reader {
    fn new() -> Self {
        let device = device("direct", fill, null_mut());
        // SAFETY: the device was made just now, and the buffer goes with the reader.
        let buffer = unsafe {
            (*device).Flags |= DO_DIRECT_IO;
            ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, 512, 1)
        };
        Self {
            device,
            outcome: Outcome::new(),
            block: IO_STATUS_BLOCK::default(),
            buffer,
        }
    }

    /// Sends a request of IoBuildSynchronousFsdRequest; the reader stays where it is until the end.
    fn send(&mut self) -> NTSTATUS {
        let mut offset = LARGE_INTEGER { QuadPart: 4096 };
        // SAFETY: everything lives until the wait is over.
        unsafe {
            let irp = ntddk::IoBuildSynchronousFsdRequest(
                IRP_MJ_READ,
                self.device,
                self.buffer,
                512,
                &raw mut offset,
                self.outcome.event.get(),
                &raw mut self.block,
            );
            let location = io::next_location(irp);
            assert_eq!((*location).Parameters.Read.ByteOffset.QuadPart, 4096);
            ntddk::IofCallDriver(self.device, irp)
        }
    }

    /// Waits for so many units of 100 ns, or for ever.
    fn wait(&self, timeout: Option<u64>) -> NTSTATUS {
        // SAFETY: the event is the reader's.
        unsafe { ke::wait(self.outcome.event.get(), timeout) }
    }

    fn is_filled(&self) -> bool {
        // SAFETY: the buffer has 512 bytes, and no request is on its way.
        (0..512).all(|index| unsafe { *self.buffer.cast::<u8>().add(index) == index as u8 })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`.
        unsafe { ntddk::ExFreePool(self.buffer) };
    }
}

#[test]
fn a_synchronous_read_fills_the_callers_buffer() {
    let result = on_both(|| {
        let mut reader = Reader::new();
        let status = reader.send();
        reader.wait(None);
        (status, reader.block.Information, reader.is_filled())
    });
    assert_eq!(result, Ok((STATUS_PENDING, 512, true)));
}

/// Whether the thread gets no APCs.
fn guarded() -> bool {
    // SAFETY: any IRQL.
    unsafe { ntddk::KeAreAllApcsDisabled() != 0 }
}

#[test]
fn in_a_guarded_region_its_end_is_not_heard_before_the_regions() {
    let result = on_both(|| {
        let mut reader = Reader::new();
        assert!(!guarded());
        // SAFETY: entered and left by the same thread, at PASSIVE_LEVEL.
        unsafe {
            ntddk::KeEnterGuardedRegion();
            ntddk::KeEnterGuardedRegion();
        }
        let status = reader.send();
        let heard = reader.wait(Some(10_000_000));
        // SAFETY: as above.
        unsafe { ntddk::KeLeaveGuardedRegion() };
        let inside = (guarded(), reader.wait(Some(0)), reader.block.Information);
        // SAFETY: as above.
        unsafe { ntddk::KeLeaveGuardedRegion() };
        let after = (guarded(), reader.wait(Some(0)), reader.block.Information);
        (status, heard, inside, after)
    });
    let silence = (true, STATUS_TIMEOUT, 0);
    let end = (false, STATUS_SUCCESS, 512);
    assert_eq!(result, Ok((STATUS_PENDING, STATUS_TIMEOUT, silence, end)));
}

#[test]
fn a_thread_leaves_its_regions_before_it_ends() {
    // SAFETY: PASSIVE_LEVEL; the machine stops at the end of the thread.
    let result = deterministic(1).run(|| unsafe { ntddk::KeEnterGuardedRegion() });
    let code = result.map_err(|stop| stop.code);
    assert_eq!(code, Err(codes::APC_INDEX_MISMATCH));
}

#[test]
fn who_waits_for_it_there_waits_for_ever() {
    let result = deterministic(1).run(|| {
        let mut reader = Reader::new();
        // SAFETY: PASSIVE_LEVEL.
        unsafe { ntddk::KeEnterGuardedRegion() };
        reader.send();
        reader.wait(None);
    });
    assert_eq!(result.map_err(|stop| stop.code), Err(codes::HANG));
}

#[test]
fn another_threads_region_changes_nothing() {
    let result = on_both(|| {
        // SAFETY: entered and left by the same thread, at PASSIVE_LEVEL.
        unsafe { ntddk::KeEnterGuardedRegion() };
        let machine = Machine::current();
        let other = machine.spawn_thread("other", || {
            let mut reader = Reader::new();
            reader.send();
            reader.wait(None);
            assert!(reader.is_filled() && !guarded());
        });
        other.join();
        // SAFETY: as above.
        unsafe { ntddk::KeLeaveGuardedRegion() };
    });
    assert_eq!(result, Ok(()));
}

#[test]
fn a_region_that_was_not_entered_cannot_be_left() {
    // SAFETY: the machine stops.
    let result = deterministic(1).run(|| unsafe { ntddk::KeLeaveGuardedRegion() });
    let code = result.map_err(|stop| stop.code);
    assert_eq!(code, Err(codes::APC_INDEX_MISMATCH));
}
