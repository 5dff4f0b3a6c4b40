//! Dispatcher objects, DPCs, timers, spin lock queues, device queues.

use super::*;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _DISPATCHER_HEADER {
    pub __bindgen_anon_1: _DISPATCHER_HEADER__bindgen_ty_1,
    pub SignalState: LONG,
    pub WaitListHead: LIST_ENTRY,
}

/// The first four bytes have many readings; drivers use none of them.
#[derive(Clone, Copy)]
#[repr(C)]
pub union _DISPATCHER_HEADER__bindgen_ty_1 {
    pub Lock: LONG,
    pub LockNV: LONG,
    pub __bindgen_anon_1: _DISPATCHER_HEADER__bindgen_ty_1__bindgen_ty_1,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _DISPATCHER_HEADER__bindgen_ty_1__bindgen_ty_1 {
    pub Type: UCHAR,
    pub Signalling: UCHAR,
    pub Size: UCHAR,
    pub Reserved1: UCHAR,
}
zeroed!(_DISPATCHER_HEADER, _DISPATCHER_HEADER__bindgen_ty_1);
pub type DISPATCHER_HEADER = _DISPATCHER_HEADER;
pub type PDISPATCHER_HEADER = *mut _DISPATCHER_HEADER;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SINGLE_LIST_ENTRY {
    pub Next: *mut _SINGLE_LIST_ENTRY,
}
zeroed!(_SINGLE_LIST_ENTRY);
pub type SINGLE_LIST_ENTRY = _SINGLE_LIST_ENTRY;
pub type PSINGLE_LIST_ENTRY = *mut _SINGLE_LIST_ENTRY;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _KEVENT {
    pub Header: DISPATCHER_HEADER,
}
zeroed!(_KEVENT);
pub type KEVENT = _KEVENT;
pub type PKEVENT = *mut _KEVENT;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _KDPC {
    pub __bindgen_anon_1: _KDPC__bindgen_ty_1,
    pub DpcListEntry: SINGLE_LIST_ENTRY,
    pub ProcessorHistory: KAFFINITY,
    pub DeferredRoutine: PKDEFERRED_ROUTINE,
    pub DeferredContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub DpcData: PVOID,
}
zeroed!(_KDPC);
pub type KDPC = _KDPC;
pub type PKDPC = *mut _KDPC;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _KDPC__bindgen_ty_1 {
    pub TargetInfoAsUlong: ULONG,
    pub __bindgen_anon_1: _KDPC__bindgen_ty_1__bindgen_ty_1,
}
zeroed!(_KDPC__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KDPC__bindgen_ty_1__bindgen_ty_1 {
    pub Type: UCHAR,
    pub Importance: UCHAR,
    pub Number: USHORT,
}
zeroed!(_KDPC__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _KTIMER {
    pub Header: DISPATCHER_HEADER,
    pub DueTime: ULARGE_INTEGER,
    pub TimerListEntry: LIST_ENTRY,
    pub Dpc: *mut _KDPC,
    pub Processor: USHORT,
    pub TimerType: USHORT,
    pub Period: ULONG,
}
zeroed!(_KTIMER);
pub type KTIMER = _KTIMER;
pub type PKTIMER = *mut _KTIMER;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _LIST_ENTRY {
    pub Flink: *mut _LIST_ENTRY,
    pub Blink: *mut _LIST_ENTRY,
}
zeroed!(_LIST_ENTRY);
pub type LIST_ENTRY = _LIST_ENTRY;
pub type PLIST_ENTRY = *mut _LIST_ENTRY;

pub type PRKEVENT = *mut _KEVENT;
pub type PRKDPC = *mut _KDPC;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KSPIN_LOCK_QUEUE {
    pub Next: *mut _KSPIN_LOCK_QUEUE,
    pub Lock: PKSPIN_LOCK,
}
zeroed!(_KSPIN_LOCK_QUEUE);
pub type KSPIN_LOCK_QUEUE = _KSPIN_LOCK_QUEUE;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KLOCK_QUEUE_HANDLE {
    pub LockQueue: KSPIN_LOCK_QUEUE,
    pub OldIrql: KIRQL,
}
zeroed!(_KLOCK_QUEUE_HANDLE);
pub type KLOCK_QUEUE_HANDLE = _KLOCK_QUEUE_HANDLE;
pub type PKLOCK_QUEUE_HANDLE = *mut _KLOCK_QUEUE_HANDLE;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KDEVICE_QUEUE_ENTRY {
    pub DeviceListEntry: LIST_ENTRY,
    pub SortKey: ULONG,
    pub Inserted: BOOLEAN,
}
zeroed!(_KDEVICE_QUEUE_ENTRY);
pub type KDEVICE_QUEUE_ENTRY = _KDEVICE_QUEUE_ENTRY;
pub type PKDEVICE_QUEUE_ENTRY = *mut _KDEVICE_QUEUE_ENTRY;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KDEVICE_QUEUE {
    pub Type: CSHORT,
    pub Size: CSHORT,
    pub DeviceListHead: LIST_ENTRY,
    pub Lock: KSPIN_LOCK,
    /// A union of `Busy` and a hint in the header.
    pub Busy: LONG64,
}
zeroed!(_KDEVICE_QUEUE);
pub type KDEVICE_QUEUE = _KDEVICE_QUEUE;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _KAPC {
    pub Type: UCHAR,
    pub SpareByte0: UCHAR,
    pub Size: UCHAR,
    pub SpareByte1: UCHAR,
    pub SpareLong0: ULONG,
    pub Thread: *mut _KTHREAD,
    pub ApcListEntry: LIST_ENTRY,
    pub Reserved: [PVOID; 3],
    pub NormalContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub ApcStateIndex: CCHAR,
    pub ApcMode: KPROCESSOR_MODE,
    pub Inserted: BOOLEAN,
}
zeroed!(_KAPC);
pub type KAPC = _KAPC;
