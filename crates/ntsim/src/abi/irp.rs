//! The I/O request packet and its stack locations.

use super::*;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct _IRP {
    pub Type: CSHORT,
    pub Size: USHORT,
    pub MdlAddress: PMDL,
    pub Flags: ULONG,
    pub AssociatedIrp: _IRP__bindgen_ty_1,
    pub ThreadListEntry: LIST_ENTRY,
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: KPROCESSOR_MODE,
    pub PendingReturned: BOOLEAN,
    pub StackCount: CHAR,
    pub CurrentLocation: CHAR,
    pub Cancel: BOOLEAN,
    pub CancelIrql: KIRQL,
    pub ApcEnvironment: CCHAR,
    pub AllocationFlags: UCHAR,
    pub __bindgen_anon_1: _IRP__bindgen_ty_2,
    pub UserEvent: PKEVENT,
    pub Overlay: _IRP__bindgen_ty_3,
    pub CancelRoutine: PDRIVER_CANCEL,
    pub UserBuffer: PVOID,
    pub Tail: _IRP__bindgen_ty_4,
}
zeroed!(_IRP);
pub type IRP = _IRP;
pub type PIRP = *mut _IRP;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_1 {
    pub MasterIrp: *mut _IRP,
    pub IrpCount: LONG,
    pub SystemBuffer: PVOID,
}
zeroed!(_IRP__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_2 {
    pub UserIosb: PIO_STATUS_BLOCK,
    pub IoRingContext: PVOID,
}
zeroed!(_IRP__bindgen_ty_2);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_3 {
    pub AsynchronousParameters: _IRP__bindgen_ty_3__bindgen_ty_1,
    pub AllocationSize: LARGE_INTEGER,
}
zeroed!(_IRP__bindgen_ty_3);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IRP__bindgen_ty_3__bindgen_ty_1 {
    pub __bindgen_anon_1: _IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_1,
    pub __bindgen_anon_2: _IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_2,
}
zeroed!(_IRP__bindgen_ty_3__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_1 {
    pub UserApcRoutine: PIO_APC_ROUTINE,
    pub IssuingProcess: PVOID,
}
zeroed!(_IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_2 {
    pub UserApcContext: PVOID,
    pub IoRing: *mut _IORING_OBJECT,
}
zeroed!(_IRP__bindgen_ty_3__bindgen_ty_1__bindgen_ty_2);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_4 {
    pub Overlay: _IRP__bindgen_ty_4__bindgen_ty_1,
    pub Apc: KAPC,
    pub CompletionKey: PVOID,
}
zeroed!(_IRP__bindgen_ty_4);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IRP__bindgen_ty_4__bindgen_ty_1 {
    pub __bindgen_anon_1: _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1,
    pub Thread: PETHREAD,
    pub AuxiliaryBuffer: PCHAR,
    pub __bindgen_anon_2: _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2,
    pub OriginalFileObject: PFILE_OBJECT,
}
zeroed!(_IRP__bindgen_ty_4__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1 {
    pub DeviceQueueEntry: KDEVICE_QUEUE_ENTRY,
    pub __bindgen_anon_1: _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1,
}
zeroed!(_IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1 {
    pub DriverContext: [PVOID; 4],
}
zeroed!(_IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2 {
    pub ListEntry: LIST_ENTRY,
    pub __bindgen_anon_1: _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1,
}
zeroed!(_IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1 {
    pub CurrentStackLocation: *mut _IO_STACK_LOCATION,
    pub PacketType: ULONG,
}
zeroed!(_IRP__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STACK_LOCATION {
    pub MajorFunction: UCHAR,
    pub MinorFunction: UCHAR,
    pub Flags: UCHAR,
    pub Control: UCHAR,
    pub Parameters: _IO_STACK_LOCATION__bindgen_ty_1,
    pub DeviceObject: PDEVICE_OBJECT,
    pub FileObject: PFILE_OBJECT,
    pub CompletionRoutine: PIO_COMPLETION_ROUTINE,
    pub Context: PVOID,
}
zeroed!(_IO_STACK_LOCATION);
pub type IO_STACK_LOCATION = _IO_STACK_LOCATION;
pub type PIO_STACK_LOCATION = *mut _IO_STACK_LOCATION;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IO_STACK_LOCATION__bindgen_ty_1 {
    pub Create: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_1,
    pub CreatePipe: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_2,
    pub CreateMailslot: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_3,
    pub Read: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_4,
    pub Write: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_5,
    pub QueryDirectory: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_6,
    pub NotifyDirectory: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_7,
    pub NotifyDirectoryEx: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_8,
    pub QueryFile: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_9,
    pub SetFile: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10,
    pub QueryEa: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_11,
    pub SetEa: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_12,
    pub QueryVolume: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_13,
    pub SetVolume: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_14,
    pub FileSystemControl: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_15,
    pub LockControl: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_16,
    pub DeviceIoControl: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_17,
    pub QuerySecurity: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_18,
    pub SetSecurity: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_19,
    pub MountVolume: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_20,
    pub VerifyVolume: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_21,
    pub Scsi: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_22,
    pub QueryQuota: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_23,
    pub SetQuota: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_24,
    pub QueryDeviceRelations: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_25,
    pub QueryInterface: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_26,
    pub DeviceCapabilities: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_27,
    pub FilterResourceRequirements: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_28,
    pub ReadWriteConfig: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_29,
    pub SetLock: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_30,
    pub QueryId: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_31,
    pub QueryDeviceText: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_32,
    pub UsageNotification: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_33,
    pub WaitWake: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_34,
    pub PowerSequence: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_35,
    pub Power: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36,
    pub StartDevice: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_37,
    pub WMI: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_38,
    pub Others: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_39,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_1 {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub FileAttributes: USHORT,
    pub ShareAccess: USHORT,
    pub __bindgen_padding_1: [u8; 4],
    pub EaLength: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_2 {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub Reserved: USHORT,
    pub ShareAccess: USHORT,
    pub Parameters: PNAMED_PIPE_CREATE_PARAMETERS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_2);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_3 {
    pub SecurityContext: PIO_SECURITY_CONTEXT,
    pub Options: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub Reserved: USHORT,
    pub ShareAccess: USHORT,
    pub Parameters: PMAILSLOT_CREATE_PARAMETERS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_3);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_4 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub Key: ULONG,
    pub Flags: ULONG,
    pub ByteOffset: LARGE_INTEGER,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_4);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_5 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub Key: ULONG,
    pub Flags: ULONG,
    pub ByteOffset: LARGE_INTEGER,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_5);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_6 {
    pub Length: ULONG,
    pub FileName: PUNICODE_STRING,
    pub FileInformationClass: FILE_INFORMATION_CLASS,
    pub __bindgen_padding_0: [u8; 4],
    pub FileIndex: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_6);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_7 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub CompletionFilter: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_7);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_8 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub CompletionFilter: ULONG,
    pub __bindgen_padding_1: [u8; 4],
    pub DirectoryNotifyInformationClass: DIRECTORY_NOTIFY_INFORMATION_CLASS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_8);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_9 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub FileInformationClass: FILE_INFORMATION_CLASS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_9);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub FileInformationClass: FILE_INFORMATION_CLASS,
    pub FileObject: PFILE_OBJECT,
    pub __bindgen_anon_1: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1 {
    pub __bindgen_anon_1:
        _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1__bindgen_ty_1,
    pub ClusterCount: ULONG,
    pub DeleteHandle: HANDLE,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1__bindgen_ty_1 {
    pub ReplaceIfExists: BOOLEAN,
    pub AdvanceOnly: BOOLEAN,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_10__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_11 {
    pub Length: ULONG,
    pub EaList: PVOID,
    pub EaListLength: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub EaIndex: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_11);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_12 {
    pub Length: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_12);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_13 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub FsInformationClass: FS_INFORMATION_CLASS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_13);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_14 {
    pub Length: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub FsInformationClass: FS_INFORMATION_CLASS,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_14);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_15 {
    pub OutputBufferLength: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub InputBufferLength: ULONG,
    pub __bindgen_padding_1: [u8; 4],
    pub FsControlCode: ULONG,
    pub Type3InputBuffer: PVOID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_15);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_16 {
    pub Length: PLARGE_INTEGER,
    pub Key: ULONG,
    pub ByteOffset: LARGE_INTEGER,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_16);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_17 {
    pub OutputBufferLength: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub InputBufferLength: ULONG,
    pub __bindgen_padding_1: [u8; 4],
    pub IoControlCode: ULONG,
    pub Type3InputBuffer: PVOID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_17);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_18 {
    pub SecurityInformation: SECURITY_INFORMATION,
    pub __bindgen_padding_0: [u8; 4],
    pub Length: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_18);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_19 {
    pub SecurityInformation: SECURITY_INFORMATION,
    pub SecurityDescriptor: PSECURITY_DESCRIPTOR,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_19);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_20 {
    pub Vpb: PVPB,
    pub DeviceObject: PDEVICE_OBJECT,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_20);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_21 {
    pub Vpb: PVPB,
    pub DeviceObject: PDEVICE_OBJECT,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_21);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_22 {
    pub Srb: *mut _SCSI_REQUEST_BLOCK,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_22);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_23 {
    pub Length: ULONG,
    pub StartSid: PSID,
    pub SidList: PFILE_GET_QUOTA_INFORMATION,
    pub SidListLength: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_23);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_24 {
    pub Length: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_24);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_25 {
    pub Type: DEVICE_RELATION_TYPE,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_25);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_26 {
    pub InterfaceType: *const GUID,
    pub Size: USHORT,
    pub Version: USHORT,
    pub Interface: PINTERFACE,
    pub InterfaceSpecificData: PVOID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_26);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_27 {
    pub Capabilities: PDEVICE_CAPABILITIES,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_27);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_28 {
    pub IoResourceRequirementList: PIO_RESOURCE_REQUIREMENTS_LIST,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_28);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_29 {
    pub WhichSpace: ULONG,
    pub Buffer: PVOID,
    pub Offset: ULONG,
    pub __bindgen_padding_0: [u8; 4],
    pub Length: ULONG,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_29);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_30 {
    pub Lock: BOOLEAN,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_30);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_31 {
    pub IdType: BUS_QUERY_ID_TYPE::Type,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_31);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_32 {
    pub DeviceTextType: DEVICE_TEXT_TYPE::Type,
    pub __bindgen_padding_0: [u8; 4],
    pub LocaleId: LCID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_32);

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_33 {
    pub InPath: BOOLEAN,
    pub Reserved: [BOOLEAN; 3],
    pub __bindgen_padding_0: [u8; 4],
    pub Type: DEVICE_USAGE_NOTIFICATION_TYPE,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_33);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_34 {
    pub PowerState: SYSTEM_POWER_STATE,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_34);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_35 {
    pub PowerSequence: PPOWER_SEQUENCE,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_35);

#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36 {
    pub __bindgen_anon_1: _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36__bindgen_ty_1,
    pub __bindgen_padding_0: [u8; 4],
    pub Type: POWER_STATE_TYPE,
    pub __bindgen_padding_1: [u8; 4],
    pub State: POWER_STATE,
    pub __bindgen_padding_2: [u8; 4],
    pub ShutdownType: POWER_ACTION::Type,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36__bindgen_ty_1 {
    pub SystemContext: ULONG,
    pub SystemPowerStateContext: SYSTEM_POWER_STATE_CONTEXT,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_36__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_37 {
    pub AllocatedResources: PCM_RESOURCE_LIST,
    pub AllocatedResourcesTranslated: PCM_RESOURCE_LIST,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_37);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_38 {
    pub ProviderId: ULONG_PTR,
    pub DataPath: PVOID,
    pub BufferSize: ULONG,
    pub Buffer: PVOID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_38);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_39 {
    pub Argument1: PVOID,
    pub Argument2: PVOID,
    pub Argument3: PVOID,
    pub Argument4: PVOID,
}
zeroed!(_IO_STACK_LOCATION__bindgen_ty_1__bindgen_ty_39);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_STATUS_BLOCK {
    pub __bindgen_anon_1: _IO_STATUS_BLOCK__bindgen_ty_1,
    pub Information: ULONG_PTR,
}
zeroed!(_IO_STATUS_BLOCK);
pub type IO_STATUS_BLOCK = _IO_STATUS_BLOCK;
pub type PIO_STATUS_BLOCK = *mut _IO_STATUS_BLOCK;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _IO_STATUS_BLOCK__bindgen_ty_1 {
    pub Status: NTSTATUS,
    pub Pointer: PVOID,
}
zeroed!(_IO_STATUS_BLOCK__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _POWER_STATE {
    pub SystemState: SYSTEM_POWER_STATE,
    pub DeviceState: DEVICE_POWER_STATE,
}
zeroed!(_POWER_STATE);
pub type POWER_STATE = _POWER_STATE;
pub type PPOWER_STATE = *mut _POWER_STATE;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _SYSTEM_POWER_STATE_CONTEXT {
    pub __bindgen_anon_1: _SYSTEM_POWER_STATE_CONTEXT__bindgen_ty_1,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union _SYSTEM_POWER_STATE_CONTEXT__bindgen_ty_1 {
    pub ContextAsUlong: ULONG,
}
zeroed!(
    _SYSTEM_POWER_STATE_CONTEXT,
    _SYSTEM_POWER_STATE_CONTEXT__bindgen_ty_1
);
pub type SYSTEM_POWER_STATE_CONTEXT = _SYSTEM_POWER_STATE_CONTEXT;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _INTERFACE {
    pub Size: USHORT,
    pub Version: USHORT,
    pub Context: PVOID,
    pub InterfaceReference: PINTERFACE_REFERENCE,
    pub InterfaceDereference: PINTERFACE_DEREFERENCE,
}
zeroed!(_INTERFACE);
pub type INTERFACE = _INTERFACE;
pub type PINTERFACE = *mut _INTERFACE;

/// `_bitfield_1` holds the capability bits, `DeviceD1` lowest.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _DEVICE_CAPABILITIES {
    pub Size: USHORT,
    pub Version: USHORT,
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 4]>,
    pub Address: ULONG,
    pub UINumber: ULONG,
    pub DeviceState: [DEVICE_POWER_STATE; 7],
    pub SystemWake: SYSTEM_POWER_STATE,
    pub DeviceWake: DEVICE_POWER_STATE,
    pub D1Latency: ULONG,
    pub D2Latency: ULONG,
    pub D3Latency: ULONG,
}
zeroed!(_DEVICE_CAPABILITIES);
pub type DEVICE_CAPABILITIES = _DEVICE_CAPABILITIES;
pub type PDEVICE_CAPABILITIES = *mut _DEVICE_CAPABILITIES;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _DEVICE_RELATIONS {
    pub Count: ULONG,
    pub Objects: [PDEVICE_OBJECT; 1],
}
zeroed!(_DEVICE_RELATIONS);
pub type DEVICE_RELATIONS = _DEVICE_RELATIONS;
pub type PDEVICE_RELATIONS = *mut _DEVICE_RELATIONS;
