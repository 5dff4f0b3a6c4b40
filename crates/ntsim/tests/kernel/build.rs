//! Requests that the I/O manager builds and finishes for a thread.

use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::memory;
use ntsim::{io, ke, ntddk};

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

#[test]
fn a_synchronous_read_fills_the_callers_buffer() {
    let result = on_both(|| {
        let device = device("direct", fill, null_mut());
        let outcome = Outcome::new();
        let mut block = IO_STATUS_BLOCK::default();
        let mut offset = LARGE_INTEGER { QuadPart: 4096 };
        // SAFETY: everything lives until the wait is over.
        unsafe {
            (*device).Flags |= DO_DIRECT_IO;
            let buffer = ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, 512, 1);
            let irp = ntddk::IoBuildSynchronousFsdRequest(
                IRP_MJ_READ,
                device,
                buffer,
                512,
                &raw mut offset,
                outcome.event.get(),
                &raw mut block,
            );
            let at = (*io::next_location(irp))
                .Parameters
                .Read
                .ByteOffset
                .QuadPart;
            let status = ntddk::IofCallDriver(device, irp);
            ke::wait(outcome.event.get(), None);
            let right = (0..512).all(|index| *buffer.cast::<u8>().add(index) == index as u8);
            ntddk::ExFreePool(buffer);
            (at, status, block.Information, right)
        }
    });
    assert_eq!(result, Ok((4096, STATUS_PENDING, 512, true)));
}
