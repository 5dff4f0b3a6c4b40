//! The binary interface against an independent reading of the same headers: `windows-sys`.
//!
//! Two types are left out: IRP and `DEVICE_OBJECT` are 16-byte aligned in the kit's headers, which
//! metadata cannot say, so `windows-sys` has them too small or too loosely aligned. Their offsets up
//! to the first field that moves are compared all the same. SRBs, CDBs and the framework's types
//! are in no public metadata, and neither are the two 16-bit fields before `KTIMER.Period`; the compile-time assertions in `abi::layout` stand for them.

use std::mem::{align_of, offset_of, size_of};

use ntsim::abi;
use windows_sys::Wdk::Foundation as wf;
use windows_sys::Wdk::System::SystemServices as ws;
use windows_sys::Win32::Devices::Properties as properties;
use windows_sys::Win32::Foundation as f;
use windows_sys::Win32::Storage::IscsiDisc as iscsi;
use windows_sys::Win32::System::IO as io;
use windows_sys::Win32::System::Ioctl as ioctl;
use windows_sys::Win32::System::Kernel as k;

/// Sizes, alignments and the offsets of the named fields agree.
macro_rules! same {
    ($($ours:ty = $theirs:ty { $($field:ident),* $(,)? })+) => {
        $(
            assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), "size of {}", stringify!($ours));
            assert_eq!(align_of::<$ours>(), align_of::<$theirs>(), "alignment of {}", stringify!($ours));
            $(assert_eq!(
                offset_of!($ours, $field),
                offset_of!($theirs, $field),
                "{}.{}", stringify!($ours), stringify!($field)
            );)*
        )+
    };
}

#[test]
fn kernel_structures() {
    same! {
        abi::IO_STACK_LOCATION = wf::IO_STACK_LOCATION {
            MajorFunction, MinorFunction, Flags, Control, Parameters, DeviceObject, FileObject,
            CompletionRoutine, Context,
        }
        abi::MDL = wf::MDL { Next, Size, MdlFlags, Process, MappedSystemVa, StartVa, ByteCount, ByteOffset }
        abi::DRIVER_OBJECT = wf::DRIVER_OBJECT {
            Type, Size, DeviceObject, Flags, DriverStart, DriverSize, DriverSection, DriverExtension,
            DriverName, HardwareDatabase, FastIoDispatch, DriverInit, DriverStartIo, DriverUnload,
            MajorFunction,
        }
        abi::FILE_OBJECT = wf::FILE_OBJECT {
            Type, Size, DeviceObject, Vpb, FsContext, FinalStatus, Flags, FileName,
            CurrentByteOffset, Lock, Event, IrpList, FileObjectExtension,
        }
        abi::KEVENT = wf::KEVENT { Header }
        abi::DISPATCHER_HEADER = wf::DISPATCHER_HEADER { SignalState, WaitListHead }
        abi::KDPC = wf::KDPC {
            DpcListEntry, ProcessorHistory, DeferredRoutine, DeferredContext, SystemArgument1,
            SystemArgument2, DpcData,
        }
        abi::KDEVICE_QUEUE = wf::KDEVICE_QUEUE { Type, Size, DeviceListHead, Lock }
        abi::KTIMER = ws::KTIMER { Header, DueTime, TimerListEntry, Dpc }
        abi::IO_CSQ = ws::IO_CSQ { Type, CsqInsertIrp, CsqCompleteCanceledIrp, ReservePointer }
        abi::KLOCK_QUEUE_HANDLE = ws::KLOCK_QUEUE_HANDLE { LockQueue, OldIrql }
        abi::IO_STATUS_BLOCK = io::IO_STATUS_BLOCK { Information }
        abi::LIST_ENTRY = k::LIST_ENTRY { Flink, Blink }
        abi::UNICODE_STRING = f::UNICODE_STRING { Length, MaximumLength, Buffer }
        abi::DEVPROPKEY = f::DEVPROPKEY { fmtid, pid }
        abi::OBJECT_ATTRIBUTES = wf::OBJECT_ATTRIBUTES { Length, RootDirectory, ObjectName, Attributes }
    }
}

#[test]
fn dma_structures() {
    same! {
        abi::DEVICE_DESCRIPTION = ws::DEVICE_DESCRIPTION {
            Version, Master, ScatterGather, Dma32BitAddresses, Dma64BitAddresses, BusNumber,
            InterfaceType, DmaWidth, DmaSpeed, MaximumLength, DmaPort, DmaAddressWidth,
            DmaControllerInstance, DmaRequestLine, DeviceAddress,
        }
        abi::DMA_ADAPTER = ws::DMA_ADAPTER { Version, Size, DmaOperations }
        abi::DMA_OPERATIONS = ws::DMA_OPERATIONS {
            Size, PutDmaAdapter, AllocateCommonBuffer, FreeCommonBuffer, AllocateAdapterChannel,
            FlushAdapterBuffers, FreeAdapterChannel, FreeMapRegisters, MapTransfer, GetDmaAlignment,
            ReadDmaCounter, GetScatterGatherList, PutScatterGatherList, CalculateScatterGatherList,
            GetDmaAdapterInfo, MapTransferEx, CreateCommonBufferFromMdl,
        }
        abi::SCATTER_GATHER_ELEMENT = ws::SCATTER_GATHER_ELEMENT { Address, Length, Reserved }
    }
    // The elements follow the header; the metadata has room for one in it.
    let elements = offset_of!(ws::SCATTER_GATHER_LIST, Elements);
    assert_eq!(offset_of!(abi::SCATTER_GATHER_LIST, Elements), elements);
    assert_eq!(size_of::<abi::SCATTER_GATHER_LIST>(), elements);
}

#[test]
fn the_aligned_structures_up_to_where_they_differ() {
    macro_rules! offsets {
        ($ours:ty = $theirs:ty { $($field:ident),* $(,)? }) => {
            $(assert_eq!(offset_of!($ours, $field), offset_of!($theirs, $field), "{}", stringify!($field));)*
        };
    }
    offsets! {
        abi::IRP = wf::IRP {
            Type, Size, MdlAddress, Flags, AssociatedIrp, ThreadListEntry, IoStatus, RequestorMode,
            PendingReturned, StackCount, CurrentLocation, Cancel, CancelIrql, ApcEnvironment,
            AllocationFlags, UserEvent, Overlay, CancelRoutine, UserBuffer, Tail,
        }
    }
    offsets! {
        abi::DEVICE_OBJECT = wf::DEVICE_OBJECT {
            Type, Size, ReferenceCount, DriverObject, NextDevice, AttachedDevice, CurrentIrp, Timer,
            Flags, Characteristics, Vpb, DeviceExtension, DeviceType, StackSize, Queue,
            AlignmentRequirement,
        }
    }
    assert_eq!((size_of::<abi::IRP>(), align_of::<abi::IRP>()), (208, 16));
    assert_eq!(
        (
            size_of::<abi::DEVICE_OBJECT>(),
            align_of::<abi::DEVICE_OBJECT>()
        ),
        (336, 16)
    );
}

#[test]
fn storage_structures() {
    same! {
        abi::STORAGE_PROPERTY_QUERY = ioctl::STORAGE_PROPERTY_QUERY {
            PropertyId, QueryType, AdditionalParameters,
        }
        abi::STORAGE_DESCRIPTOR_HEADER = ioctl::STORAGE_DESCRIPTOR_HEADER { Version, Size }
        abi::STORAGE_ADAPTER_DESCRIPTOR = ioctl::STORAGE_ADAPTER_DESCRIPTOR {
            Version, Size, MaximumTransferLength, MaximumPhysicalPages, AlignmentMask,
            AdapterUsesPio, CommandQueueing, BusType, BusMajorVersion, SrbType, AddressType,
        }
        abi::STORAGE_DEVICE_DESCRIPTOR = ioctl::STORAGE_DEVICE_DESCRIPTOR {
            Version, Size, DeviceType, RemovableMedia, CommandQueueing, BusType,
            RawPropertiesLength, RawDeviceProperties,
        }
        abi::STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR = ioctl::STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR {
            Version, Size, BytesPerLogicalSector, BytesPerPhysicalSector,
            BytesOffsetForSectorAlignment,
        }
        abi::IO_SCSI_CAPABILITIES = iscsi::IO_SCSI_CAPABILITIES {
            Length, MaximumTransferLength, MaximumPhysicalPages, AlignmentMask, TaggedQueuing,
        }
        abi::SCSI_PASS_THROUGH = iscsi::SCSI_PASS_THROUGH {
            Length, ScsiStatus, CdbLength, SenseInfoLength, DataIn, DataTransferLength,
            TimeOutValue, DataBufferOffset, SenseInfoOffset, Cdb,
        }
        abi::SCSI_PASS_THROUGH_DIRECT = iscsi::SCSI_PASS_THROUGH_DIRECT {
            DataIn, DataTransferLength, DataBuffer, SenseInfoOffset, Cdb,
        }
        abi::SCSI_ADDRESS = iscsi::SCSI_ADDRESS { Length, PortNumber, PathId, TargetId, Lun }
    }
}

#[test]
fn constants() {
    let statuses = [
        (abi::STATUS_PENDING, f::STATUS_PENDING),
        (
            abi::STATUS_MORE_PROCESSING_REQUIRED,
            f::STATUS_MORE_PROCESSING_REQUIRED,
        ),
        (abi::STATUS_VERIFY_REQUIRED, f::STATUS_VERIFY_REQUIRED),
        (
            abi::STATUS_INSUFFICIENT_RESOURCES,
            f::STATUS_INSUFFICIENT_RESOURCES,
        ),
        (
            abi::STATUS_INVALID_DEVICE_REQUEST,
            f::STATUS_INVALID_DEVICE_REQUEST,
        ),
        (abi::STATUS_DELETE_PENDING, f::STATUS_DELETE_PENDING),
        (abi::STATUS_BUFFER_OVERFLOW, f::STATUS_BUFFER_OVERFLOW),
        (abi::STATUS_NO_MEDIA_IN_DEVICE, f::STATUS_NO_MEDIA_IN_DEVICE),
        (abi::STATUS_CANCELLED, f::STATUS_CANCELLED),
    ];
    for (ours, theirs) in statuses {
        assert_eq!(ours, theirs);
    }
    let numbers = [
        (abi::IRP_MJ_SCSI, ws::IRP_MJ_SCSI),
        (abi::IRP_MJ_PNP, ws::IRP_MJ_PNP),
        (abi::IRP_MN_SURPRISE_REMOVAL, ws::IRP_MN_SURPRISE_REMOVAL),
        (abi::SL_PENDING_RETURNED, ws::SL_PENDING_RETURNED),
        (abi::SL_INVOKE_ON_ERROR, ws::SL_INVOKE_ON_ERROR),
        (abi::DEVPROP_TYPE_STRING, properties::DEVPROP_TYPE_STRING),
        (
            abi::DO_DIRECT_IO,
            windows_sys::Wdk::Storage::FileSystem::DO_DIRECT_IO,
        ),
    ];
    for (ours, theirs) in numbers {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn the_framework_table_is_that_of_1_15() {
    use abi::_WDFFUNCENUM as index;
    assert_eq!(index::WdfFunctionTableNumEntries, 444);
    assert_eq!(index::WdfDriverCreateTableIndex, 116);
    assert_eq!(
        index::WdfDeviceInitAssignWdmIrpPreprocessCallbackTableIndex,
        73
    );
    assert_eq!(index::WdfDeviceWdmDispatchPreprocessedIrpTableIndex, 34);
    assert_eq!(index::WdfIoTargetSendIoctlSynchronouslyTableIndex, 186);
    assert_eq!(index::WdfFdoInitQueryPropertyExTableIndex, 436);
    assert_eq!(index::WdfDeviceSetAlignmentRequirementTableIndex, 53);
    assert_eq!(index::WdfDeviceQueryPropertyExTableIndex, 433);
}

#[test]
fn the_export_table_names_each_function_once() {
    let mut names: Vec<_> = ntsim::ntddk::table().map(|export| export.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is listed twice");
    for name in [
        "IofCallDriver",
        "IofCompleteRequest",
        "IoBuildPartialMdl",
        "IoGetLowerDeviceObject",
        "IoGetDevicePropertyData",
        "ObfDereferenceObject",
        "KeBugCheckEx",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}
