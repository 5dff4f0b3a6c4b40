/*
 * Sizes and offsets of every structure of the kernel's that the driver reads or writes, on x64.
 *
 * The numbers are those of Windows' own x64 headers, the same as crates/ntsim/src/abi/layout.rs asserts for the
 * simulated kernel. They are checked before anything is compiled against mingw-w64's headers, and so a
 * header that differs ends the build.
 */
#include <ntifs.h>
#include <ntddk.h>
#include <wdf.h>
#include <ntddstor.h>
#include <ntddscsi.h>
#include <storport.h>
#include "../../include/xfersplit_port.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(FIELD_OFFSET(type, field) == (offset), #type "." #field)

SIZE(IRP, 208);
AT(IRP, MdlAddress, 8);
AT(IRP, Flags, 16);
AT(IRP, AssociatedIrp.SystemBuffer, 24);
AT(IRP, ThreadListEntry, 32);
AT(IRP, IoStatus.Status, 48);
AT(IRP, IoStatus.Information, 56);
AT(IRP, RequestorMode, 64);
AT(IRP, PendingReturned, 65);
AT(IRP, StackCount, 66);
AT(IRP, CurrentLocation, 67);
AT(IRP, Cancel, 68);
AT(IRP, CancelIrql, 69);
AT(IRP, AllocationFlags, 71);
AT(IRP, UserIosb, 72);
AT(IRP, UserEvent, 80);
AT(IRP, CancelRoutine, 104);
AT(IRP, UserBuffer, 112);
AT(IRP, Tail.Overlay.DriverContext, 120);
AT(IRP, Tail.Overlay.Thread, 152);
AT(IRP, Tail.Overlay.ListEntry, 168);
AT(IRP, Tail.Overlay.CurrentStackLocation, 184);
AT(IRP, Tail.Overlay.OriginalFileObject, 192);

SIZE(IO_STACK_LOCATION, 72);
AT(IO_STACK_LOCATION, MajorFunction, 0);
AT(IO_STACK_LOCATION, MinorFunction, 1);
AT(IO_STACK_LOCATION, Flags, 2);
AT(IO_STACK_LOCATION, Control, 3);
AT(IO_STACK_LOCATION, Parameters, 8);
AT(IO_STACK_LOCATION, Parameters.Read.Length, 8);
AT(IO_STACK_LOCATION, Parameters.Read.Key, 16);
AT(IO_STACK_LOCATION, Parameters.Read.ByteOffset, 24);
AT(IO_STACK_LOCATION, Parameters.Write.Length, 8);
AT(IO_STACK_LOCATION, Parameters.Write.Key, 16);
AT(IO_STACK_LOCATION, Parameters.Write.ByteOffset, 24);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.OutputBufferLength, 8);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.InputBufferLength, 16);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.IoControlCode, 24);
AT(IO_STACK_LOCATION, Parameters.Scsi.Srb, 8);
AT(IO_STACK_LOCATION, Parameters.Others.Argument1, 8);
AT(IO_STACK_LOCATION, Parameters.Others.Argument4, 32);
AT(IO_STACK_LOCATION, DeviceObject, 40);
AT(IO_STACK_LOCATION, FileObject, 48);
AT(IO_STACK_LOCATION, CompletionRoutine, 56);
AT(IO_STACK_LOCATION, Context, 64);

SIZE(MDL, 48);
AT(MDL, Next, 0);
AT(MDL, Size, 8);
AT(MDL, MdlFlags, 10);
AT(MDL, Process, 16);
AT(MDL, MappedSystemVa, 24);
AT(MDL, StartVa, 32);
AT(MDL, ByteCount, 40);
AT(MDL, ByteOffset, 44);

/* Never made here, so its own size may differ; where its fields are may not. */
AT(DEVICE_OBJECT, DriverObject, 8);
AT(DEVICE_OBJECT, NextDevice, 16);
AT(DEVICE_OBJECT, AttachedDevice, 24);
AT(DEVICE_OBJECT, Flags, 48);
AT(DEVICE_OBJECT, Characteristics, 52);
AT(DEVICE_OBJECT, DeviceExtension, 64);
AT(DEVICE_OBJECT, DeviceType, 72);
AT(DEVICE_OBJECT, StackSize, 76);
AT(DEVICE_OBJECT, AlignmentRequirement, 152);
AT(DEVICE_OBJECT, DeviceObjectExtension, 312);
SIZE(DRIVER_OBJECT, 336);
AT(DRIVER_OBJECT, DriverName, 56);
AT(DRIVER_OBJECT, DriverUnload, 104);
AT(DRIVER_OBJECT, MajorFunction, 112);

SIZE(UNICODE_STRING, 16);
SIZE(LIST_ENTRY, 16);
SIZE(KEVENT, 24);
SIZE(KTIMER, 64);
SIZE(KDPC, 64);
AT(KDPC, DeferredContext, 32);
SIZE(KSPIN_LOCK, 8);
SIZE(IO_CSQ, 64);
SIZE(IO_STATUS_BLOCK, 16);
SIZE(DEVPROPKEY, 20);

SIZE(SCSI_REQUEST_BLOCK, 88);
AT(SCSI_REQUEST_BLOCK, SrbStatus, 3);
AT(SCSI_REQUEST_BLOCK, ScsiStatus, 4);
AT(SCSI_REQUEST_BLOCK, QueueAction, 9);
AT(SCSI_REQUEST_BLOCK, CdbLength, 10);
AT(SCSI_REQUEST_BLOCK, SenseInfoBufferLength, 11);
AT(SCSI_REQUEST_BLOCK, SrbFlags, 12);
AT(SCSI_REQUEST_BLOCK, DataTransferLength, 16);
AT(SCSI_REQUEST_BLOCK, TimeOutValue, 20);
AT(SCSI_REQUEST_BLOCK, DataBuffer, 24);
AT(SCSI_REQUEST_BLOCK, SenseInfoBuffer, 32);
AT(SCSI_REQUEST_BLOCK, NextSrb, 40);
AT(SCSI_REQUEST_BLOCK, OriginalRequest, 48);
AT(SCSI_REQUEST_BLOCK, SrbExtension, 56);
AT(SCSI_REQUEST_BLOCK, InternalStatus, 64);
AT(SCSI_REQUEST_BLOCK, Cdb, 72);

SIZE(STORAGE_REQUEST_BLOCK, 128);
AT(STORAGE_REQUEST_BLOCK, Signature, 8);
AT(STORAGE_REQUEST_BLOCK, Version, 12);
AT(STORAGE_REQUEST_BLOCK, SrbLength, 16);
AT(STORAGE_REQUEST_BLOCK, SrbFunction, 20);
AT(STORAGE_REQUEST_BLOCK, SrbFlags, 24);
AT(STORAGE_REQUEST_BLOCK, RequestTag, 32);
AT(STORAGE_REQUEST_BLOCK, RequestPriority, 36);
AT(STORAGE_REQUEST_BLOCK, RequestAttribute, 38);
AT(STORAGE_REQUEST_BLOCK, TimeOutValue, 40);
AT(STORAGE_REQUEST_BLOCK, SystemStatus, 44);
AT(STORAGE_REQUEST_BLOCK, AddressOffset, 52);
AT(STORAGE_REQUEST_BLOCK, NumSrbExData, 56);
AT(STORAGE_REQUEST_BLOCK, DataTransferLength, 60);
AT(STORAGE_REQUEST_BLOCK, DataBuffer, 64);
AT(STORAGE_REQUEST_BLOCK, OriginalRequest, 80);
AT(STORAGE_REQUEST_BLOCK, ClassContext, 88);
AT(STORAGE_REQUEST_BLOCK, PortContext, 96);
AT(STORAGE_REQUEST_BLOCK, MiniportContext, 104);
AT(STORAGE_REQUEST_BLOCK, NextSrb, 112);
AT(STORAGE_REQUEST_BLOCK, SrbExDataOffset, 120);
SIZE(STORAGE_REQUEST_BLOCK_HEADER, 8);
SIZE(SRBEX_DATA, 16);
SIZE(SRBEX_DATA_SCSI_CDB16, 40);
AT(SRBEX_DATA_SCSI_CDB16, SenseInfoBuffer, 16);
AT(SRBEX_DATA_SCSI_CDB16, Cdb, 24);
SIZE(SRBEX_DATA_SCSI_CDB32, 56);
SIZE(SRBEX_DATA_SCSI_CDB_VAR, 40);
AT(SRBEX_DATA_SCSI_CDB_VAR, CdbLength, 12);
AT(SRBEX_DATA_SCSI_CDB_VAR, SenseInfoBuffer, 24);
AT(SRBEX_DATA_SCSI_CDB_VAR, Cdb, 32);
SIZE(SRBEX_DATA_IO_INFO, 32);
AT(SRBEX_DATA_IO_INFO, RWLength, 16);
SIZE(STOR_ADDRESS, 16);
SIZE(STOR_ADDR_BTL8, 16);
AT(STOR_ADDR_BTL8, Path, 8);

SIZE(STORAGE_PROPERTY_QUERY, 12);
SIZE(STORAGE_DEVICE_DESCRIPTOR, 40);
AT(STORAGE_DEVICE_DESCRIPTOR, RemovableMedia, 10);
AT(STORAGE_DEVICE_DESCRIPTOR, BusType, 28);
AT(STORAGE_DEVICE_DESCRIPTOR, RawDeviceProperties, 36);
SIZE(STORAGE_ADAPTER_DESCRIPTOR, 32);
AT(STORAGE_ADAPTER_DESCRIPTOR, AlignmentMask, 16);
AT(STORAGE_ADAPTER_DESCRIPTOR, SrbType, 30);
SIZE(STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR, 28);
AT(STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR, BytesPerLogicalSector, 16);
SIZE(IO_SCSI_CAPABILITIES, 24);
SIZE(SCSI_PASS_THROUGH, 56);
AT(SCSI_PASS_THROUGH, DataTransferLength, 12);
AT(SCSI_PASS_THROUGH, DataBufferOffset, 24);
AT(SCSI_PASS_THROUGH, SenseInfoOffset, 32);
AT(SCSI_PASS_THROUGH, Cdb, 36);

/* The private interface: the numbers of crates/core/src/paired.rs. */
SIZE(XFERSPLIT_PORT_LIMITS, 24);
SIZE(XFERSPLIT_PORT_QUESTION, 52);
AT(SRB_IO_CONTROL, Signature, 4);
AT(SRB_IO_CONTROL, ControlCode, 16);
AT(SRB_IO_CONTROL, ReturnCode, 20);
AT(SRB_IO_CONTROL, Length, 24);
AT(XFERSPLIT_PORT_QUESTION, Limits.Version, 28);
AT(XFERSPLIT_PORT_QUESTION, Limits.Generation, 36);
AT(XFERSPLIT_PORT_QUESTION, Limits.NumberOfMapRegisters, 40);
AT(XFERSPLIT_PORT_QUESTION, Limits.NumberOfSegments, 44);
AT(XFERSPLIT_PORT_QUESTION, Limits.MaximumTransferLength, 48);
_Static_assert(IOCTL_XFERSPLIT_PORT_LIMITS == 0x9F5A2004, "the control code");
_Static_assert(sizeof(XFERSPLIT_PORT_SIGNATURE) - 1 == sizeof(((PSRB_IO_CONTROL)0)->Signature), "eight letters");

/* The framework checks the structures' sizes. */
_Static_assert(WdfFunctionTableNumEntries == 444, "the table of KMDF 1.15");
SIZE(WDF_DRIVER_GLOBALS, 56);
AT(WDF_DRIVER_GLOBALS, DisplaceDriverUnload, 48);
SIZE(WDF_DRIVER_CONFIG, 32);
AT(WDF_DRIVER_CONFIG, DriverPoolTag, 28);
SIZE(WDF_OBJECT_ATTRIBUTES, 56);
AT(WDF_OBJECT_ATTRIBUTES, ContextTypeInfo, 48);
SIZE(WDF_OBJECT_CONTEXT_TYPE_INFO, 40);
SIZE(WDF_PNPPOWER_EVENT_CALLBACKS, 144);
AT(WDF_PNPPOWER_EVENT_CALLBACKS, EvtDevicePrepareHardware, 40);
AT(WDF_PNPPOWER_EVENT_CALLBACKS, EvtDeviceUsageNotification, 120);
SIZE(WDF_MEMORY_DESCRIPTOR, 24);
SIZE(WDF_REQUEST_SEND_OPTIONS, 16);
SIZE(WDF_REMOVE_LOCK_OPTIONS, 8);
SIZE(WDF_DEVICE_PROPERTY_DATA, 24);
SIZE(WDF_TIMER_CONFIG, 40);
AT(WDF_TIMER_CONFIG, UseHighResolutionTimer, 32);
