//! Cancellation and cancel-safe queues.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::null_mut;

use ntsim::abi::*;
use ntsim::{io, ke, ntddk};

use crate::kit::*;

/// A driver's queue: the CSQ first, so that a pointer to it is a pointer to the whole.
#[repr(C)]
struct Queue {
    csq: IO_CSQ,
    spin_lock: KSPIN_LOCK,
    irps: VecDeque<PIRP>,
    cancelled: u32,
}

unsafe extern "C" fn insert(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the queue is locked.
    unsafe { (*csq.cast::<Queue>()).irps.push_back(irp) }
}

unsafe extern "C" fn remove(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the queue is locked.
    unsafe { (*csq.cast::<Queue>()).irps.retain(|&other| other != irp) }
}

unsafe extern "C" fn peek(csq: PIO_CSQ, after: PIRP, _: PVOID) -> PIRP {
    // SAFETY: the queue is locked.
    unsafe {
        let irps = &(*csq.cast::<Queue>()).irps;
        let skipped = irps
            .iter()
            .position(|&irp| irp == after)
            .map_or(0, |index| index + 1);
        irps.get(skipped).copied().unwrap_or(null_mut())
    }
}

unsafe extern "C" fn acquire(csq: PIO_CSQ, irql: PKIRQL) {
    // SAFETY: our lock.
    unsafe {
        let spin_lock = &raw mut (*csq.cast::<Queue>()).spin_lock;
        irql.write(ntddk::KeAcquireSpinLockRaiseToDpc(spin_lock));
    }
}

unsafe extern "C" fn release(csq: PIO_CSQ, irql: KIRQL) {
    // SAFETY: our lock.
    unsafe { ntddk::KeReleaseSpinLock(&raw mut (*csq.cast::<Queue>()).spin_lock, irql) }
}

unsafe extern "C" fn complete_cancelled(csq: PIO_CSQ, irp: PIRP) {
    // SAFETY: the IRP has left the queue and is ours.
    unsafe {
        (*csq.cast::<Queue>()).cancelled += 1;
        (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_CANCELLED;
        (*irp).IoStatus.Information = 0;
        ntddk::IofCompleteRequest(irp, 0);
    }
}

unsafe extern "C" fn queue_it(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; the extension points at the queue.
    unsafe {
        let queue = *(*device).DeviceExtension.cast::<*mut Queue>();
        ntddk::IoCsqInsertIrp(&raw mut (*queue).csq, irp, null_mut());
    }
    STATUS_PENDING
}

/// A device whose driver queues everything.
fn queueing_device() -> (PDEVICE_OBJECT, *mut Queue) {
    let queue = Box::into_raw(Box::new(Queue {
        csq: IO_CSQ::default(),
        spin_lock: 0,
        irps: VecDeque::new(),
        cancelled: 0,
    }));
    let device = device("queueing", queue_it, null_mut());
    // SAFETY: our queue and device.
    unsafe {
        ntddk::IoCsqInitialize(
            &raw mut (*queue).csq,
            Some(insert),
            Some(remove),
            Some(peek),
            Some(acquire),
            Some(release),
            Some(complete_cancelled),
        );
        *(*device).DeviceExtension.cast() = queue;
    }
    (device, queue)
}

#[test]
fn a_waiting_irp_can_be_cancelled() {
    let result = on_both(|| {
        let (device, queue) = queueing_device();
        let outcome = Outcome::new();
        let irp = read_irp(device, &outcome);
        // SAFETY: our IRP and queue.
        unsafe {
            let status = ntddk::IofCallDriver(device, irp);
            let cancelled = ntddk::IoCancelIrp(irp);
            let seen = outcome.wait();
            ntddk::IoFreeIrp(irp);
            let queue = Box::from_raw(queue);
            (
                status,
                cancelled,
                seen.status,
                queue.cancelled,
                queue.irps.len(),
                ke::irql(),
            )
        }
    });
    assert_eq!(result, Ok((STATUS_PENDING, 1, STATUS_CANCELLED, 1, 0, 0)));
}

#[test]
fn an_irp_cancelled_before_leaves_at_once() {
    let result = on_both(|| {
        let (device, queue) = queueing_device();
        let outcome = Outcome::new();
        let irp = read_irp(device, &outcome);
        // SAFETY: our IRP and queue.
        unsafe {
            let nobody = ntddk::IoCancelIrp(irp);
            let status = ntddk::IofCallDriver(device, irp);
            let seen = outcome.wait();
            ntddk::IoFreeIrp(irp);
            let queue = Box::from_raw(queue);
            (nobody, status, seen.status, queue.cancelled)
        }
    });
    assert_eq!(result, Ok((0, STATUS_PENDING, STATUS_CANCELLED, 1)));
}

#[test]
fn irps_are_taken_in_order() {
    let result = on_both(|| {
        let (device, queue) = queueing_device();
        let outcomes = [Outcome::new(), Outcome::new()];
        let irps = [0, 1].map(|index| read_irp(device, &outcomes[index]));
        // SAFETY: our IRPs and queue.
        unsafe {
            for irp in irps {
                ntddk::IofCallDriver(device, irp);
            }
            let csq = &raw mut (*queue).csq;
            let taken = [0, 1].map(|_| ntddk::IoCsqRemoveNextIrp(csq, null_mut()));
            let none = ntddk::IoCsqRemoveNextIrp(csq, null_mut()).is_null();
            // Out of the queue, an IRP cannot be cancelled.
            let cancelled = ntddk::IoCancelIrp(irps[0]);
            for irp in irps {
                finish(irp, STATUS_SUCCESS);
                ntddk::IoFreeIrp(irp);
            }
            drop(Box::from_raw(queue));
            (taken == irps, none, cancelled)
        }
    });
    assert_eq!(result, Ok((true, true, 0)));
}

#[test]
fn a_context_finds_its_irp() {
    let result = on_both(|| {
        let (device, queue) = queueing_device();
        let outcome = Outcome::new();
        let irp = read_irp(device, &outcome);
        let context = UnsafeCell::new(IO_CSQ_IRP_CONTEXT::default());
        // SAFETY: our IRP and queue; inserted by the test in the driver's place.
        unsafe {
            ntddk::IofCallDriver(device, irp);
            let csq = &raw mut (*queue).csq;
            let irp = ntddk::IoCsqRemoveNextIrp(csq, null_mut());
            ntddk::IoCsqInsertIrp(csq, irp, context.get());
            let pending = (*io::current_location(irp)).Control & PENDING != 0;
            let found = ntddk::IoCsqRemoveIrp(csq, context.get()) == irp;
            let gone = ntddk::IoCsqRemoveIrp(csq, context.get()).is_null();
            finish(irp, STATUS_SUCCESS);
            ntddk::IoFreeIrp(irp);
            drop(Box::from_raw(queue));
            (pending, found, gone)
        }
    });
    assert_eq!(result, Ok((true, true, true)));
}
