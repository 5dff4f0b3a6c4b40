//! What the tests share: machines, a stack of two small drivers, IRPs.

use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use ntsim::abi::*;
use ntsim::machine::{DriverId, Owner};
use ntsim::{BugCheck, Clock, Config, Machine, call, io, ntddk};

pub(crate) const INVOKE_ALWAYS: u8 =
    (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
pub(crate) const PENDING: u8 = SL_PENDING_RETURNED as u8;

/// A pointer for another thread.
pub(crate) struct Carry<T>(pub(crate) *mut T);
// SAFETY: tests hand a pointer over and use it on the other side only.
unsafe impl<T> Send for Carry<T> {}

impl<T> Carry<T> {
    /// Takes the whole value into a closure, not only its field.
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

pub(crate) fn deterministic(seed: u64) -> Arc<Machine> {
    Machine::new(Config {
        clock: Clock::Deterministic { seed },
        ..Config::default()
    })
}

pub(crate) fn threads() -> Arc<Machine> {
    Machine::new(Config {
        clock: Clock::Threads {
            processors: 2,
            seed: 1,
        },
        ..Config::default()
    })
}

/// Both clocks; Miri follows only the deterministic one in reasonable time.
pub(crate) fn both() -> Vec<Arc<Machine>> {
    if cfg!(miri) {
        vec![deterministic(1)]
    } else {
        vec![deterministic(1), threads()]
    }
}

/// Runs `f` on a fresh machine of each clock.
pub(crate) fn on_both<T: Send + PartialEq + std::fmt::Debug>(
    f: impl Fn() -> T + Send + Sync,
) -> Result<T, BugCheck> {
    let mut results = both().into_iter().map(|machine| machine.run(&f));
    let first = results.next().expect("there is a clock");
    for other in results {
        match (&first, &other) {
            (Ok(a), Ok(b)) => assert_eq!(a, b, "both clocks give the same"),
            (Err(a), Err(b)) => assert_eq!(a.code, b.code, "both clocks give the same:\n{a}\n{b}"),
            (a, b) => panic!("the clocks disagree: {a:?} and {b:?}"),
        }
    }
    first
}

/// Runs `f`, which breaks a rule. Not under Miri: the threads of a stopped machine stay parked.
#[cfg(not(miri))]
pub(crate) fn stops(f: impl Fn() + Send + Sync) -> BugCheck {
    on_both(f).expect_err("a rule was broken")
}

/// As [`stops`], on the deterministic clock alone.
#[cfg(not(miri))]
pub(crate) fn stops_deterministic(f: impl FnOnce() + Send) -> BugCheck {
    deterministic(1).run(f).expect_err("a rule was broken")
}

pub(crate) type Dispatch = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

/// A driver under test with `dispatch` for every major function.
pub(crate) fn driver(name: &str, dispatch: Dispatch) -> PDRIVER_OBJECT {
    let driver = io::create_driver(name, Owner::Driver);
    // SAFETY: a fresh driver object.
    unsafe {
        for slot in &mut (*driver).MajorFunction {
            *slot = Some(dispatch);
        }
    }
    driver
}

/// A device of a driver under test, on top of `below` if there is one.
pub(crate) fn device(name: &str, dispatch: Dispatch, below: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: fresh objects.
    unsafe {
        let device = io::create_device(driver(name, dispatch), 64, FILE_DEVICE_DISK);
        if !below.is_null() {
            io::attach(device, below);
        }
        device
    }
}

/// The machine's number of the driver that `device` belongs to.
pub(crate) fn id_of(device: PDEVICE_OBJECT) -> DriverId {
    // SAFETY: a device of this module.
    unsafe { io::driver_id((*device).DriverObject) }
}

/// Runs `f` as code of `device`'s driver.
pub(crate) fn as_driver_of<R>(device: PDEVICE_OBJECT, f: impl FnOnce() -> R) -> R {
    call::as_driver(id_of(device), "a test's part of the driver", f)
}

/// Completes everything at once with success.
pub(crate) unsafe extern "C" fn complete_inline(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP.
    unsafe { finish(irp, STATUS_SUCCESS) }
}

/// Completes everything later, from a device's interrupt.
pub(crate) unsafe extern "C" fn complete_later(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine has its IRP; marked pending, it may keep it.
    unsafe {
        (*io::current_location(irp)).Control |= PENDING;
        finish_later(irp);
    }
    STATUS_PENDING
}

/// Completes with success from a device's interrupt.
///
/// # Safety
/// The caller has the IRP and gives it up.
pub(crate) unsafe fn finish_later(irp: PIRP) {
    let irp = Carry(irp);
    // SAFETY: the caller's contract.
    ntsim::ke::device_event(100, move || unsafe {
        let irp = irp.get();
        (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS;
        (*irp).IoStatus.Information = 512;
        io::complete_request(irp, 0);
    });
}

/// Completes with `status` and returns it.
///
/// # Safety
/// The caller has the IRP.
pub(crate) unsafe fn finish(irp: PIRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        (*irp).IoStatus.Information = 512;
        ntddk::IofCompleteRequest(irp, 0);
    }
    status
}

/// `IoSkipCurrentIrpStackLocation`.
///
/// # Safety
/// The caller has the IRP.
pub(crate) unsafe fn skip(irp: PIRP) {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).CurrentLocation += 1;
        let location = io::current_location(irp).add(1);
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location;
    }
}

/// `IoCopyCurrentIrpStackLocationToNext`.
///
/// # Safety
/// The caller has the IRP.
pub(crate) unsafe fn copy_to_next(irp: PIRP) {
    // SAFETY: the caller's contract; everything up to the completion routine is copied.
    unsafe {
        let (current, next) = (io::current_location(irp), io::next_location(irp));
        let bytes = std::mem::offset_of!(IO_STACK_LOCATION, CompletionRoutine);
        std::ptr::copy_nonoverlapping(current.cast::<u8>(), next.cast::<u8>(), bytes);
        (*next).Control = 0;
    }
}

/// `IoSetCompletionRoutine` for every outcome.
///
/// # Safety
/// The caller has the IRP.
pub(crate) unsafe fn set_routine(irp: PIRP, routine: PIO_COMPLETION_ROUTINE, context: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe {
        let next = io::next_location(irp);
        (*next).CompletionRoutine = routine;
        (*next).Context = context;
        (*next).Control = INVOKE_ALWAYS;
    }
}

/// What a completion routine saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: NTSTATUS,
    pub(crate) information: u64,
    pub(crate) pending: bool,
    pub(crate) device_is_null: bool,
}

/// Where [`keep`] leaves what it saw, and signals that it has.
pub(crate) struct Outcome {
    pub(crate) seen: Mutex<Option<Seen>>,
    pub(crate) event: std::cell::UnsafeCell<KEVENT>,
}

impl Outcome {
    #[expect(clippy::unnecessary_box_returns, reason = "routines keep the address")]
    pub(crate) fn new() -> Box<Self> {
        let outcome = Box::new(Self {
            seen: Mutex::new(None),
            event: KEVENT::default().into(),
        });
        // SAFETY: the box does not move its contents.
        unsafe { ntddk::KeInitializeEvent(outcome.event.get(), _EVENT_TYPE::NotificationEvent, 0) };
        outcome
    }

    pub(crate) fn context(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    pub(crate) fn wait(&self) -> Seen {
        // SAFETY: initialised in `new`.
        unsafe { ntsim::ke::wait(self.event.get(), None) };
        self.seen
            .lock()
            .expect("nobody panics")
            .expect("set before the event")
    }
}

/// The completion routine of an IRP's maker: notes and keeps.
pub(crate) unsafe extern "C" fn keep(
    device: PDEVICE_OBJECT,
    irp: PIRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: a completion routine has its IRP; the context is an `Outcome`.
    unsafe {
        let outcome: &Outcome = &*context.cast();
        let seen = Seen {
            status: (*irp).IoStatus.__bindgen_anon_1.Status,
            information: (*irp).IoStatus.Information,
            pending: (*irp).PendingReturned != 0,
            device_is_null: device.is_null(),
        };
        *outcome.seen.lock().expect("nobody panics") = Some(seen);
        ntsim::ke::set_event(outcome.event.get());
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// A read IRP for `device` that ends in `outcome`.
pub(crate) fn read_irp(device: PDEVICE_OBJECT, outcome: &Outcome) -> PIRP {
    // SAFETY: a device of this module, a fresh IRP.
    unsafe {
        let irp = ntddk::IoAllocateIrp((*device).StackSize, 0);
        assert!(!irp.is_null());
        (*io::next_location(irp)).MajorFunction = IRP_MJ_READ as u8;
        set_routine(irp, Some(keep), outcome.context());
        irp
    }
}

/// Sends a read to `device` and waits for its end. Returns what dispatch returned and what the
/// maker's routine saw.
pub(crate) fn read(device: PDEVICE_OBJECT) -> (NTSTATUS, Seen) {
    let outcome = Outcome::new();
    let irp = read_irp(device, &outcome);
    // SAFETY: the IRP is ours and prepared.
    unsafe {
        let status = ntddk::IofCallDriver(device, irp);
        let seen = outcome.wait();
        ntddk::IoFreeIrp(irp);
        (status, seen)
    }
}
