//! Types of the routines that a driver hands to the kernel.

use super::*;

pub type PDRIVER_INITIALIZE = Option<
    unsafe extern "C" fn(
        DriverObject: *mut _DRIVER_OBJECT,
        RegistryPath: PUNICODE_STRING,
    ) -> NTSTATUS,
>;
pub type DRIVER_ADD_DEVICE = Option<
    unsafe extern "C" fn(
        DriverObject: *mut _DRIVER_OBJECT,
        PhysicalDeviceObject: *mut _DEVICE_OBJECT,
    ) -> NTSTATUS,
>;
pub type PDRIVER_ADD_DEVICE = DRIVER_ADD_DEVICE;
pub type PDRIVER_UNLOAD = Option<unsafe extern "C" fn(DriverObject: *mut _DRIVER_OBJECT)>;
pub type PDRIVER_STARTIO =
    Option<unsafe extern "C" fn(DeviceObject: *mut _DEVICE_OBJECT, Irp: *mut _IRP)>;
pub type PDRIVER_DISPATCH =
    Option<unsafe extern "C" fn(DeviceObject: *mut _DEVICE_OBJECT, Irp: *mut _IRP) -> NTSTATUS>;
pub type PDRIVER_CANCEL =
    Option<unsafe extern "C" fn(DeviceObject: *mut _DEVICE_OBJECT, Irp: *mut _IRP)>;
pub type PIO_COMPLETION_ROUTINE = Option<
    unsafe extern "C" fn(
        DeviceObject: *mut _DEVICE_OBJECT,
        Irp: *mut _IRP,
        Context: PVOID,
    ) -> NTSTATUS,
>;
pub type PIO_APC_ROUTINE = Option<
    unsafe extern "C" fn(ApcContext: PVOID, IoStatusBlock: PIO_STATUS_BLOCK, Reserved: ULONG),
>;
pub type PKDEFERRED_ROUTINE = Option<
    unsafe extern "C" fn(
        Dpc: *mut _KDPC,
        DeferredContext: PVOID,
        SystemArgument1: PVOID,
        SystemArgument2: PVOID,
    ),
>;
pub type PDRIVER_CONTROL = Option<
    unsafe extern "C" fn(
        DeviceObject: *mut _DEVICE_OBJECT,
        Irp: *mut _IRP,
        MapRegisterBase: PVOID,
        Context: PVOID,
    ) -> IO_ALLOCATION_ACTION,
>;
pub type PDRIVER_LIST_CONTROL = Option<
    unsafe extern "C" fn(
        DeviceObject: *mut _DEVICE_OBJECT,
        Irp: *mut _IRP,
        ScatterGather: *mut _SCATTER_GATHER_LIST,
        Context: PVOID,
    ),
>;
pub type PIO_WORKITEM_ROUTINE =
    Option<unsafe extern "C" fn(DeviceObject: PDEVICE_OBJECT, Context: PVOID)>;
pub type PIO_WORKITEM_ROUTINE_EX =
    Option<unsafe extern "C" fn(IoObject: PVOID, Context: PVOID, IoWorkItem: PIO_WORKITEM)>;

pub type PIO_CSQ_INSERT_IRP = Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irp: PIRP)>;
pub type PIO_CSQ_INSERT_IRP_EX =
    Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irp: PIRP, InsertContext: PVOID) -> NTSTATUS>;
pub type PIO_CSQ_REMOVE_IRP = Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irp: PIRP)>;
pub type PIO_CSQ_PEEK_NEXT_IRP =
    Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irp: PIRP, PeekContext: PVOID) -> PIRP>;
pub type PIO_CSQ_ACQUIRE_LOCK = Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irql: PKIRQL)>;
pub type PIO_CSQ_RELEASE_LOCK = Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irql: KIRQL)>;
pub type PIO_CSQ_COMPLETE_CANCELED_IRP = Option<unsafe extern "C" fn(Csq: *mut _IO_CSQ, Irp: PIRP)>;

pub type PALLOCATE_FUNCTION_EX = Option<
    unsafe extern "C" fn(
        PoolType: POOL_TYPE,
        NumberOfBytes: SIZE_T,
        Tag: ULONG,
        Lookaside: *mut _LOOKASIDE_LIST_EX,
    ) -> PVOID,
>;
pub type PFREE_FUNCTION_EX =
    Option<unsafe extern "C" fn(Buffer: PVOID, Lookaside: *mut _LOOKASIDE_LIST_EX)>;

pub type PINTERFACE_REFERENCE = Option<unsafe extern "C" fn(Context: PVOID)>;
pub type PINTERFACE_DEREFERENCE = Option<unsafe extern "C" fn(Context: PVOID)>;
