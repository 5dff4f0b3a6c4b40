//! The controller: the requests that wait for it, the one that it works on, and the DPC in which
//! everything goes on.

use core::{cell::UnsafeCell, ffi::c_void, ptr};

use wdk_sys::{
    _IO_ALLOCATION_ACTION, IO_ALLOCATION_ACTION, NTSTATUS, PDEVICE_OBJECT, PIRP, PKDPC,
    PSCATTER_GATHER_LIST, PVOID, STATUS_CANCELLED, STATUS_DEVICE_NOT_READY, STATUS_NO_SUCH_DEVICE,
    ntddk,
};
use xfersplit_wdm::{
    dpc::{self, Dpc},
    event::Event,
    irp::Irp,
    lock::SpinLock,
    queue::WaitingQueue,
    rundown::Rundown,
    succeeded,
};

use crate::{
    counters::{Counter, Counters},
    hardware::{DeviceObjects, Hardware, Resources},
    interrupt::Interrupt,
    limits::Facts,
    serial::Serial,
    signals::Signals,
    transfer::{Step, Transfer},
};

/// One controller. Lives in the framework's context of its device.
pub(crate) struct Controller {
    /// Requests in order of arrival; each has a rundown reference.
    waiting: WaitingQueue,
    /// The request that the controller works on. The DPC's.
    current: Serial<Option<Transfer>>,
    /// What has happened, for the DPC.
    signals: Signals,
    /// Runs [`dpc_for_isr`].
    dpc: Dpc,
    /// Set by the DPC once no request is left that had begun before the device was held.
    drained: Event,
    /// Who is inside: a reference for each request, and for each call of the HAL to come.
    rundown: Rundown,
    /// None until the device has started for the first time.
    facts: SpinLock<Option<Facts>>,
    /// Changed by [`Self::prepare`] and [`Self::release`] alone, while the interrupt is disconnected
    /// and no request has begun. So the service routine may read it, and whoever has a transfer.
    hardware: UnsafeCell<Option<Hardware>>,
    /// Changed by the same two, and read by nobody.
    interrupt: UnsafeCell<Option<Interrupt>>,
    counters: Counters,
}

// SAFETY: every field is, but for the two cells, whose comments say who touches them when.
unsafe impl Sync for Controller {}

/// What the HAL is to call when it has granted something.
#[derive(Clone, Copy)]
pub(crate) struct Granted {
    /// For `AllocateAdapterChannel`.
    pub(crate) adapter_control:
        unsafe extern "C" fn(PDEVICE_OBJECT, PIRP, PVOID, PVOID) -> IO_ALLOCATION_ACTION,
    /// For `GetScatterGatherList`.
    pub(crate) adapter_list_control:
        unsafe extern "C" fn(PDEVICE_OBJECT, PIRP, PSCATTER_GATHER_LIST, PVOID),
    /// With this.
    pub(crate) context: PVOID,
}

/// Its life. PASSIVE_LEVEL.
impl Controller {
    /// A controller that will lie at `place`.
    pub(crate) fn new(place: *const Self) -> Self {
        Self {
            waiting: WaitingQueue::new(cancelled, place.cast()),
            current: Serial::new(None),
            signals: Signals::new(),
            dpc: Dpc::default(),
            drained: Event::default(),
            rundown: Rundown::default(),
            facts: SpinLock::new(None),
            hardware: UnsafeCell::new(None),
            interrupt: UnsafeCell::new(None),
            counters: Counters::default(),
        }
    }

    /// # Errors
    /// The status of `IoCsqInitialize`.
    ///
    /// # Safety
    /// `self` lies where [`Self::new`] was told, and stays there until [`Self::close`] has returned.
    pub(crate) unsafe fn initialise(&self) -> NTSTATUS {
        // SAFETY: the caller's contract.
        unsafe { self.rundown.initialise() };
        // SAFETY: the caller's contract.
        unsafe { self.drained.initialise() };
        // SAFETY: the caller's contract; `close` waits for the last call.
        unsafe { self.dpc.initialise(Some(dpc_for_isr), self.as_context()) };
        // SAFETY: the caller's contract.
        unsafe { self.waiting.initialise() }
    }

    /// The device gets its hardware; which bits of a buffer's address must be clear for it.
    ///
    /// # Errors
    /// As [`Hardware::open`] and `IoConnectInterrupt`. What was taken until then stays for
    /// [`Self::release`], which the framework sees to.
    ///
    /// # Safety
    /// This is the device's EvtDevicePrepareHardware; resources and device objects are its own.
    pub(crate) unsafe fn prepare(
        &self,
        resources: &Resources,
        devices: DeviceObjects,
    ) -> Result<u32, NTSTATUS> {
        // SAFETY: the caller's contract.
        let (hardware, facts) = unsafe { Hardware::open(resources, devices) }?;
        // SAFETY: the field's rule: the device is held, and not connected.
        unsafe { *self.hardware.get() = Some(hardware) };
        // SAFETY: the hardware is there, and `release` disconnects before it takes it away.
        let interrupt = unsafe { Interrupt::connect(resources.line, self) }?;
        // SAFETY: the field's rule.
        unsafe { *self.interrupt.get() = Some(interrupt) };
        *self.facts.lock() = Some(facts);
        Ok(facts.limits.alignment_mask())
    }

    /// The device gives its hardware back, in the opposite order. Does nothing the second time.
    ///
    /// # Safety
    /// No request has begun: this is the device's EvtDeviceReleaseHardware, after
    /// [`Self::suspend`] or before [`Self::resume`], or its cleanup.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the field's rule.
        drop(unsafe { (*self.interrupt.get()).take() });
        // The last request may have ended while the HAL was still about to return from the call in which
        // it granted something, on another processor, and the DPC that ended it from its own.
        dpc::flush();
        // SAFETY: the field's rule: nobody interrupts any more.
        drop(unsafe { (*self.hardware.get()).take() });
    }

    /// Requests may begin.
    pub(crate) fn resume(&self) {
        self.signals.hold(false);
        self.dpc.queue();
    }

    /// Lets the request that has begun come to its end, and no other begin: they wait.
    pub(crate) fn suspend(&self) {
        // SAFETY: initialised; any IRQL <= DISPATCH_LEVEL.
        unsafe { ntddk::KeClearEvent(self.drained.as_ptr()) };
        self.signals.hold(true);
        self.dpc.queue();
        self.drained.wait();
    }

    /// The device is gone, or will not be started again: all requests end.
    pub(crate) fn leave(&self) {
        self.signals.leave();
        self.dpc.queue();
    }

    /// Waits until nobody is inside. Nothing of the value is in use afterwards.
    pub(crate) fn close(&self) {
        self.leave();
        self.rundown.close_and_wait();
        dpc::flush();
        // SAFETY: no request is left.
        unsafe { self.release() };
        wdk::println!("monolithic: done: {}", self.counters);
    }
}

/// Requests.
impl Controller {
    /// Takes a reference for a request; false if the device is being taken apart. Any IRQL.
    pub(crate) fn enter(&self) -> bool {
        self.rundown.acquire()
    }

    /// Gives the reference of a request back that was not submitted.
    pub(crate) fn exit(&self) {
        self.rundown.release();
    }

    /// What is known of the device, for a request that has just come.
    ///
    /// # Errors
    /// What the request is to be told if it can't be served.
    pub(crate) fn facts(&self) -> Result<Facts, NTSTATUS> {
        if self.signals.is_gone() {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        let facts = *self.facts.lock();
        facts.ok_or(STATUS_DEVICE_NOT_READY)
    }

    /// Has a request served. It has its own reference, and may be complete before this returns.
    /// IRQL <= DISPATCH_LEVEL.
    pub(crate) fn submit(&self, irp: Irp) {
        self.rundown.acquire_again();
        self.waiting.push(irp);
        self.dpc.queue();
        self.rundown.release();
    }

    /// Ends a request, and its reference.
    fn finish(&self, irp: Irp, status: NTSTATUS, moved: u32) {
        let information = if succeeded(status) { moved } else { 0 };
        irp.complete(status, u64::from(information));
        self.rundown.release();
    }
}

/// An IRP was cancelled while it waited.
fn cancelled(context: *const c_void, irp: Irp) {
    // SAFETY: the queue's context, which stays where it is while requests wait.
    let controller = unsafe { &*context.cast::<Controller>() };
    controller.counters.add(Counter::Cancelled);
    controller.finish(irp, STATUS_CANCELLED, 0);
}

/// The DPC: the only place where a request makes progress.
impl Controller {
    /// One step, if there is one to make.
    fn step(&self, current: &mut Option<Transfer>) -> bool {
        let Some(transfer) = current else {
            return self.begin(current);
        };
        // SAFETY: the field's rule: a request has begun.
        let Some(hardware) = (unsafe { (*self.hardware.get()).as_ref() }) else {
            return false;
        };
        match transfer.step(self, hardware) {
            Step::Again => true,
            Step::Wait => false,
            Step::Done(status) => {
                if let Some(transfer) = current.take() {
                    self.count(&transfer, status);
                    let length = transfer.length();
                    self.finish(transfer.end(hardware), status, length);
                }
                true
            }
        }
    }

    /// The next request, if one may begin.
    fn begin(&self, current: &mut Option<Transfer>) -> bool {
        if self.signals.is_gone()
            && let Some(irp) = self.waiting.pop()
        {
            self.counters.add(Counter::Removed);
            self.finish(irp, STATUS_NO_SUCH_DEVICE, 0);
            return true;
        }
        if self.signals.is_held() {
            self.drained.set();
            return false;
        }
        let Some(facts) = *self.facts.lock() else {
            return false;
        };
        let Some(irp) = self.waiting.pop() else {
            return false;
        };
        match Transfer::begin(irp, &facts) {
            Ok(transfer) => *current = Some(transfer),
            Err((irp, status)) => {
                self.counters.add(Counter::Refused);
                self.finish(irp, status, 0);
            }
        }
        true
    }

    fn count(&self, transfer: &Transfer, status: NTSTATUS) {
        self.counters.add(match status {
            STATUS_CANCELLED => Counter::Cancelled,
            STATUS_NO_SUCH_DEVICE => Counter::Removed,
            status if succeeded(status) => Counter::Done,
            _ => Counter::Failed,
        });
        if succeeded(status) && transfer.is_split() {
            self.counters.add(Counter::Split);
        }
    }

    /// What has happened.
    pub(crate) const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// What has been done.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// DpcForIsr, and the routine for everything else that happens.
///
/// # Safety
/// Queued with its controller as context.
unsafe extern "C" fn dpc_for_isr(_dpc: PKDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the caller's contract; `close` waits for the DPC.
    let controller = unsafe { Controller::from_context(context) };
    controller
        .current
        .kick(|current| while controller.step(current) {});
}

/// What happens to it from outside.
impl Controller {
    /// The pointer as callbacks carry it.
    pub(crate) const fn as_context(&self) -> PVOID {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// # Safety
    /// `context` came from [`Self::as_context`] of a controller that stays where it is.
    pub(crate) unsafe fn from_context<'a>(context: PVOID) -> &'a Self {
        // SAFETY: the caller's contract.
        unsafe { &*context.cast::<Self>() }
    }

    /// The device interrupts; false if it was another one on the same line. DIRQL.
    pub(crate) fn interrupted(&self) -> bool {
        // SAFETY: the field's rule: the interrupt is connected.
        let Some(hardware) = (unsafe { (*self.hardware.get()).as_ref() }) else {
            return false;
        };
        let status = hardware.registers.status();
        if !status.interrupts() {
            return false;
        }
        hardware.registers.acknowledge();
        self.signals.end(status);
        self.dpc.queue();
        true
    }

    /// Has `ask` ask the HAL for something, and keeps the controller until the HAL has called back.
    ///
    /// # Errors
    /// What `ask` returns; the HAL will then not call.
    pub(crate) fn expect_grant(&self, ask: impl FnOnce(Granted) -> NTSTATUS) -> NTSTATUS {
        self.rundown.acquire_again();
        let status = ask(Granted {
            adapter_control,
            adapter_list_control,
            context: self.as_context(),
        });
        if !succeeded(status) {
            self.rundown.release();
        }
        status
    }

    /// The HAL has called back.
    fn granted(&self, what: PVOID) {
        self.signals.grant(what);
        self.dpc.queue();
        self.rundown.release();
    }
}

/// AdapterControl. A bus master keeps the registers and gives the channel back at once: others may
/// then have the rest of the registers.
///
/// # Safety
/// Asked for with [`Controller::expect_grant`].
unsafe extern "C" fn adapter_control(
    _device: PDEVICE_OBJECT,
    _irp: PIRP,
    base: PVOID,
    context: PVOID,
) -> IO_ALLOCATION_ACTION {
    // SAFETY: the caller's contract.
    unsafe { Controller::from_context(context) }.granted(base);
    _IO_ALLOCATION_ACTION::DeallocateObjectKeepRegisters
}

/// AdapterListControl.
///
/// # Safety
/// Asked for with [`Controller::expect_grant`].
unsafe extern "C" fn adapter_list_control(
    _device: PDEVICE_OBJECT,
    _irp: PIRP,
    list: PSCATTER_GATHER_LIST,
    context: PVOID,
) {
    // SAFETY: the caller's contract.
    unsafe { Controller::from_context(context) }.granted(list.cast());
}
