//! Work items, timers and DPCs (`fxworkitemapi.cpp`, `fxtimerapi.cpp`, `fxdpcapi.cpp`).
//!
//! Each is a kernel object inside a framework object. The kernel object lives in memory of its own
//! whose address the kernel knows; the framework object is found through its handle, so that a
//! callback that comes late meets a destroyed handle and not freed memory.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Event;
use super::object::Object;
use super::{Framework, frame, kernel};
use crate::abi::{
    _IO_WORKITEM, _WORK_QUEUE_TYPE, KDPC, KTIMER, LARGE_INTEGER, PDEVICE_OBJECT, PFN_WDF_DPC,
    PFN_WDF_TIMER, PFN_WDF_WORKITEM, PIO_WORKITEM, PKDPC, PKTIMER,
};
use crate::machine::Shared;
use crate::ntddk;

/// A kernel object at a fixed address.
struct Fixed<T>(Box<UnsafeCell<T>>);

// SAFETY: the kernel synchronises every access to its objects.
unsafe impl<T> Send for Fixed<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Fixed<T> {}

impl<T: Default> Fixed<T> {
    fn new() -> Self {
        Self(Box::new(UnsafeCell::new(T::default())))
    }

    fn pointer(&self) -> *mut T {
        self.0.get()
    }
}

/// Finds the object of a callback by the handle that travels as its context.
fn object_of(context: *mut c_void) -> Option<Arc<Object>> {
    Framework::current().objects().get(context)
}

/// The state of a `WDFDPC`.
pub(crate) struct Dpc {
    dpc: Fixed<KDPC>,
    callback: PFN_WDF_DPC,
}

impl Dpc {
    fn new(callback: PFN_WDF_DPC) -> Self {
        Self {
            dpc: Fixed::new(),
            callback,
        }
    }

    fn pointer(&self) -> PKDPC {
        self.dpc.pointer()
    }

    /// Tells the kernel object which framework object it belongs to.
    fn bind(&self, object: &Object) {
        // SAFETY: the memory is ours and stays where it is; the context is only a number.
        unsafe {
            ntddk::KeInitializeDpc(self.pointer(), Some(run_dpc), object.handle());
        }
    }

    fn cancel(&self) -> bool {
        // SAFETY: initialised in `bind`.
        unsafe { ntddk::KeRemoveQueueDpc(self.pointer()) != 0 }
    }

    /// Disposal: the DPC leaves the queue, and one that runs is waited for.
    pub(crate) fn dispose(&self) {
        self.cancel();
        flush_dpcs();
    }
}

/// Waits for DPCs that run, where waiting is possible.
fn flush_dpcs() {
    if kernel::irql() == super::driver::PASSIVE {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { ntddk::KeFlushQueuedDpcs() };
    }
}

unsafe extern "C" fn run_dpc(
    _dpc: PKDPC,
    context: *mut c_void,
    _first: *mut c_void,
    _second: *mut c_void,
) {
    if let Some(object) = object_of(context)
        && let Some(callback) = object.dpc("EvtDpcFunc").callback
    {
        let handle = object.handle();
        frame::enter(object.owner(), "EvtDpcFunc", || {
            // SAFETY: a callback of the driver, called as [EVT_WDF_DPC] says.
            unsafe { frame::invoke!(callback, handle) }
        });
    }
}

/// The state of a `WDFTIMER`.
pub(crate) struct Timer {
    clock: Fixed<KTIMER>,
    dpc: Fixed<KDPC>,
    period: u32,
    passive: bool,
    callback: PFN_WDF_TIMER,
    /// With passive execution level the callback runs as a work item.
    item: Mutex<Option<Shared<_IO_WORKITEM>>>,
}

impl Timer {
    fn new(callback: PFN_WDF_TIMER, period: u32, passive: bool) -> Self {
        Self {
            clock: Fixed::new(),
            dpc: Fixed::new(),
            period,
            passive,
            callback,
            item: Mutex::new(None),
        }
    }

    fn pointer(&self) -> PKTIMER {
        self.clock.pointer()
    }

    fn bind(&self, object: &Arc<Object>) {
        // SAFETY: the memory is ours and stays where it is; the context is only a number.
        unsafe {
            ntddk::KeInitializeTimer(self.pointer());
            ntddk::KeInitializeDpc(self.dpc.pointer(), Some(run_timer), object.handle());
        }
        if self.passive {
            let item = work_item_for(object);
            *self.item.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shared(item));
        }
    }

    fn start(&self, due: i64) -> bool {
        let due = LARGE_INTEGER { QuadPart: due };
        // SAFETY: initialised in `bind`.
        unsafe { ntddk::KeSetTimer(self.pointer(), due, self.dpc.pointer()) != 0 }
    }

    fn stop(&self, wait: bool) -> bool {
        // SAFETY: initialised in `bind`.
        let stopped = unsafe { ntddk::KeCancelTimer(self.pointer()) != 0 };
        if wait {
            flush_dpcs();
        }
        stopped
    }

    /// Disposal: the timer is stopped and a callback that runs is waited for.
    pub(crate) fn dispose(&self) {
        self.stop(true);
        let item = self
            .item
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(item) = item {
            // SAFETY: allocated in `bind`; the timer that queues it has been stopped.
            unsafe { ntddk::IoFreeWorkItem(item.0) };
        }
    }

    fn call(&self, object: &Object) {
        if let Some(callback) = self.callback {
            let handle = object.handle();
            frame::enter(object.owner(), "EvtTimerFunc", || {
                // SAFETY: a callback of the driver, called as [EVT_WDF_TIMER] says.
                unsafe { frame::invoke!(callback, handle) }
            });
        }
        if self.period != 0 && !object.is_disposed() {
            self.start(-i64::from(self.period) * 10_000);
        }
    }
}

unsafe extern "C" fn run_timer(
    _dpc: PKDPC,
    context: *mut c_void,
    _first: *mut c_void,
    _second: *mut c_void,
) {
    let Some(object) = object_of(context) else {
        return;
    };
    let timer = object.timer("EvtTimerFunc");
    let item = *timer.item.lock().unwrap_or_else(PoisonError::into_inner);
    match item {
        // SAFETY: the item is freed only after the timer has been stopped and its DPC flushed.
        Some(item) => unsafe {
            ntddk::IoQueueWorkItem(
                item.0,
                Some(run_passive_timer),
                _WORK_QUEUE_TYPE::DelayedWorkQueue,
                context,
            );
        },
        None => timer.call(&object),
    }
}

unsafe extern "C" fn run_passive_timer(_device: PDEVICE_OBJECT, context: *mut c_void) {
    if let Some(object) = object_of(context) {
        object.timer("EvtTimerFunc").call(&object);
    }
}

/// The state of a `WDFWORKITEM`.
pub(crate) struct WorkItem {
    item: Mutex<Option<Shared<_IO_WORKITEM>>>,
    callback: PFN_WDF_WORKITEM,
    queued: AtomicBool,
    running: AtomicUsize,
    idle: Event,
}

impl WorkItem {
    fn new(callback: PFN_WDF_WORKITEM) -> Self {
        let idle = Event::new();
        idle.set();
        Self {
            item: Mutex::new(None),
            callback,
            queued: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            idle,
        }
    }

    fn bind(&self, object: &Arc<Object>) {
        let item = work_item_for(object);
        *self.item.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shared(item));
    }

    /// Queues the item unless it is queued already.
    fn enqueue(&self, object: &Object) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let item = *self.item.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(item) = item else { return };
        self.running.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the event is ours; the item is freed only after everything queued has run.
        unsafe {
            ntddk::KeClearEvent(self.idle.pointer());
            ntddk::IoQueueWorkItem(
                item.0,
                Some(run_work_item),
                _WORK_QUEUE_TYPE::DelayedWorkQueue,
                object.handle(),
            );
        }
    }

    /// Waits until nothing is queued or running. `PASSIVE_LEVEL`.
    fn flush(&self) {
        if self.running.load(Ordering::Acquire) > 0 {
            self.idle.wait(None);
        }
    }

    /// Disposal: everything queued runs first.
    pub(crate) fn dispose(&self) {
        self.flush();
        let item = self
            .item
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(item) = item {
            // SAFETY: allocated in `bind`; nothing is queued any more.
            unsafe { ntddk::IoFreeWorkItem(item.0) };
        }
    }
}

unsafe extern "C" fn run_work_item(_device: PDEVICE_OBJECT, context: *mut c_void) {
    let Some(object) = object_of(context) else {
        return;
    };
    let item = object.work_item("EvtWorkItemFunc");
    item.queued.store(false, Ordering::Release);
    if let Some(callback) = item.callback {
        let handle = object.handle();
        frame::enter(object.owner(), "EvtWorkItemFunc", || {
            // SAFETY: a callback of the driver, called as [EVT_WDF_WORKITEM] says.
            unsafe { frame::invoke!(callback, handle) }
        });
    }
    if item.running.fetch_sub(1, Ordering::AcqRel) == 1 {
        item.idle.set();
    }
}

/// A kernel work item for the device that an object belongs to.
fn work_item_for(object: &Arc<Object>) -> PIO_WORKITEM {
    let device = object
        .device_above()
        .map_or(ptr::null_mut(), |device| device.device("work item").wdm.0);
    // SAFETY: the device object is alive, because its framework device is.
    kernel::as_framework("work item", || unsafe { ntddk::IoAllocateWorkItem(device) })
}

/// The calls about work items, timers and DPCs.
pub(crate) mod calls {
    use core::ptr;

    use super::{Arc, ntddk};
    use crate::abi::{
        _WDF_EXECUTION_LEVEL, BOOLEAN, LONGLONG, NTSTATUS, PWDF_DPC_CONFIG, PWDF_OBJECT_ATTRIBUTES,
        PWDF_TIMER_CONFIG, PWDF_WORKITEM_CONFIG, STATUS_SUCCESS, WDF_DPC_CONFIG, WDF_TIMER_CONFIG,
        WDF_WORKITEM_CONFIG, WDFDPC, WDFOBJECT, WDFTIMER, WDFWORKITEM,
    };
    use crate::wdf::STATUS_WDF_PARENT_NOT_SPECIFIED;
    use crate::wdf::driver::{self, DISPATCH, PASSIVE};
    use crate::wdf::object::{self, Body, Object};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{Violation, not_null, require_irql, require_size, violation};

    /// Makes an object that needs a device somewhere above it.
    unsafe fn make_below_device<T>(
        function: &'static str,
        attributes: PWDF_OBJECT_ATTRIBUTES,
        out: *mut *mut T,
        body: Body,
        bind: impl FnOnce(&Arc<Object>),
    ) -> NTSTATUS {
        require_irql(function, DISPATCH);
        not_null(function, "Attributes", attributes);
        // SAFETY: not NULL, so the caller of the DDI vouches for them, as for the place.
        unsafe {
            if (*attributes).ParentObject.is_null() {
                return STATUS_WDF_PARENT_NOT_SPECIFIED;
            }
            let status = driver::make(function, attributes, out, |_| Ok(body));
            if status == STATUS_SUCCESS {
                bind(&object::any(function, *out));
            }
            status
        }
    }

    fn alive<T>(function: &str, handle: *mut T) -> Arc<Object> {
        let object = object::any(function, handle);
        if object.is_disposed() {
            violation(
                Violation::ObjectError,
                handle.addr() as u64,
                0,
                &format!("{function}: {} has been disposed", object.describe()),
            );
        }
        object
    }

    fn parent_of<T>(function: &str, handle: *mut T) -> WDFOBJECT {
        object::any(function, handle)
            .parent()
            .map_or(ptr::null_mut(), |parent| parent.handle())
    }

    wdf_functions! {
        /// Makes a work item below the parent in the attributes. Up to `DISPATCH_LEVEL`.
        379 fn WdfWorkItemCreate(
            Config: PWDF_WORKITEM_CONFIG,
            Attributes: PWDF_OBJECT_ATTRIBUTES,
            WorkItem: *mut WDFWORKITEM,
        ) -> NTSTATUS {
            const NAME: &str = "WdfWorkItemCreate";
            not_null(NAME, "Config", Config);
            // SAFETY: not NULL; the caller vouches for it and the rest.
            unsafe {
                let config = *Config;
                require_size(
                    NAME,
                    "WDF_WORKITEM_CONFIG",
                    config.Size,
                    size_of::<WDF_WORKITEM_CONFIG>(),
                );
                let body = Body::WorkItem(super::WorkItem::new(config.EvtWorkItemFunc));
                make_below_device(NAME, Attributes, WorkItem, body, |object| {
                    object.work_item(NAME).bind(object);
                })
            }
        }

        /// Queues a work item; one that is queued already is not queued twice. Up to
        /// `DISPATCH_LEVEL`.
        380 fn WdfWorkItemEnqueue(WorkItem: WDFWORKITEM) {
            const NAME: &str = "WdfWorkItemEnqueue";
            let object = alive(NAME, WorkItem);
            object.work_item(NAME).enqueue(&object);
        }

        /// The parent of a work item. Up to `DISPATCH_LEVEL`.
        381 fn WdfWorkItemGetParentObject(WorkItem: WDFWORKITEM) -> WDFOBJECT {
            parent_of("WdfWorkItemGetParentObject", WorkItem)
        }

        /// Waits until a work item is neither queued nor running. `PASSIVE_LEVEL`.
        382 fn WdfWorkItemFlush(WorkItem: WDFWORKITEM) {
            const NAME: &str = "WdfWorkItemFlush";
            require_irql(NAME, PASSIVE);
            object::any(NAME, WorkItem).work_item(NAME).flush();
        }

        /// Makes a timer below the parent in the attributes. Up to `DISPATCH_LEVEL`.
        318 fn WdfTimerCreate(
            Config: PWDF_TIMER_CONFIG,
            Attributes: PWDF_OBJECT_ATTRIBUTES,
            Timer: *mut WDFTIMER,
        ) -> NTSTATUS {
            const NAME: &str = "WdfTimerCreate";
            not_null(NAME, "Config", Config);
            not_null(NAME, "Attributes", Attributes);
            // SAFETY: not NULL; the caller vouches for both and the rest.
            unsafe {
                let config = *Config;
                require_size(NAME, "WDF_TIMER_CONFIG", config.Size, size_of::<WDF_TIMER_CONFIG>());
                let passive =
                    (*Attributes).ExecutionLevel == _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive;
                let timer = super::Timer::new(config.EvtTimerFunc, config.Period, passive);
                make_below_device(NAME, Attributes, Timer, Body::Timer(timer), |object| {
                    object.timer(NAME).bind(object);
                })
            }
        }

        /// Starts a timer (100 ns units, negative: from now); tells whether it was running. Up to
        /// `DISPATCH_LEVEL`.
        319 fn WdfTimerStart(Timer: WDFTIMER, DueTime: LONGLONG) -> BOOLEAN {
            const NAME: &str = "WdfTimerStart";
            require_irql(NAME, DISPATCH);
            alive(NAME, Timer).timer(NAME).start(DueTime).into()
        }

        /// Stops a timer; tells whether it was running. With `Wait` a callback that runs is waited
        /// for, at `PASSIVE_LEVEL`; else up to `DISPATCH_LEVEL`.
        320 fn WdfTimerStop(Timer: WDFTIMER, Wait: BOOLEAN) -> BOOLEAN {
            const NAME: &str = "WdfTimerStop";
            require_irql(NAME, if Wait == 0 { DISPATCH } else { PASSIVE });
            object::any(NAME, Timer).timer(NAME).stop(Wait != 0).into()
        }

        /// The parent of a timer. Up to `DISPATCH_LEVEL`.
        321 fn WdfTimerGetParentObject(Timer: WDFTIMER) -> WDFOBJECT {
            parent_of("WdfTimerGetParentObject", Timer)
        }

        /// Makes a DPC below the parent in the attributes. Up to `DISPATCH_LEVEL`.
        111 fn WdfDpcCreate(
            Config: PWDF_DPC_CONFIG,
            Attributes: PWDF_OBJECT_ATTRIBUTES,
            Dpc: *mut WDFDPC,
        ) -> NTSTATUS {
            const NAME: &str = "WdfDpcCreate";
            not_null(NAME, "Config", Config);
            // SAFETY: not NULL; the caller vouches for it and the rest.
            unsafe {
                let config = *Config;
                require_size(NAME, "WDF_DPC_CONFIG", config.Size, size_of::<WDF_DPC_CONFIG>());
                let body = Body::Dpc(super::Dpc::new(config.EvtDpcFunc));
                make_below_device(NAME, Attributes, Dpc, body, |object| {
                    object.dpc(NAME).bind(object);
                })
            }
        }

        /// Queues a DPC; false if it is queued already. Up to `DISPATCH_LEVEL`.
        112 fn WdfDpcEnqueue(Dpc: WDFDPC) -> BOOLEAN {
            const NAME: &str = "WdfDpcEnqueue";
            let object = alive(NAME, Dpc);
            // SAFETY: initialised when the object was made.
            unsafe {
                ntddk::KeInsertQueueDpc(
                    object.dpc(NAME).pointer(),
                    ptr::null_mut(),
                    ptr::null_mut(),
                )
            }
        }

        /// Takes a DPC out of the queue; with `Wait` one that runs is waited for, at
        /// `PASSIVE_LEVEL`.
        113 fn WdfDpcCancel(Dpc: WDFDPC, Wait: BOOLEAN) -> BOOLEAN {
            const NAME: &str = "WdfDpcCancel";
            require_irql(NAME, if Wait == 0 { DISPATCH } else { PASSIVE });
            let object = object::any(NAME, Dpc);
            let cancelled = object.dpc(NAME).cancel();
            if Wait != 0 {
                super::flush_dpcs();
            }
            cancelled.into()
        }

        /// The parent of a DPC. Up to `DISPATCH_LEVEL`.
        114 fn WdfDpcGetParentObject(Dpc: WDFDPC) -> WDFOBJECT {
            parent_of("WdfDpcGetParentObject", Dpc)
        }
    }
}
