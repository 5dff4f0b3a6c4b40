//! Enumerations, each a module of `c_int` constants under the C tag's name.

enumeration!(_MODE as MODE { KernelMode = 0, UserMode = 1, MaximumMode = 2 });
enumeration!(_EVENT_TYPE as EVENT_TYPE { NotificationEvent = 0, SynchronizationEvent = 1 });
enumeration!(_TIMER_TYPE as TIMER_TYPE { NotificationTimer = 0, SynchronizationTimer = 1 });
enumeration!(_KWAIT_REASON as KWAIT_REASON {
    Executive = 0, FreePage = 1, PageIn = 2, PoolAllocation = 3, DelayExecution = 4, Suspended = 5,
    UserRequest = 6, WrExecutive = 7, WrFreePage = 8, WrPageIn = 9, WrPoolAllocation = 10,
    WrDelayExecution = 11, WrSuspended = 12, WrUserRequest = 13,
});
enumeration!(_KDPC_IMPORTANCE as KDPC_IMPORTANCE {
    LowImportance = 0, MediumImportance = 1, HighImportance = 2, MediumHighImportance = 3,
});
enumeration!(_LOCK_OPERATION as LOCK_OPERATION {
    IoReadAccess = 0, IoWriteAccess = 1, IoModifyAccess = 2,
});
enumeration!(_MEMORY_CACHING_TYPE as MEMORY_CACHING_TYPE {
    MmNonCached = 0, MmCached = 1, MmWriteCombined = 2, MmHardwareCoherentCached = 3,
    MmNonCachedUnordered = 4, MmUSWCCached = 5, MmMaximumCacheType = 6, MmNotMapped = -1,
});
enumeration!(_MM_PAGE_PRIORITY as MM_PAGE_PRIORITY {
    LowPagePriority = 0, NormalPagePriority = 16, HighPagePriority = 32,
});
/// Flags in the `Priority` argument of `MmMapLockedPagesSpecifyCache`.
pub const MdlMappingNoWrite: u32 = 0x8000_0000;
pub const MdlMappingNoExecute: u32 = 0x4000_0000;
enumeration!(_POOL_TYPE as POOL_TYPE {
    NonPagedPool = 0, NonPagedPoolExecute = 0, PagedPool = 1, NonPagedPoolMustSucceed = 2,
    DontUseThisType = 3, NonPagedPoolCacheAligned = 4, PagedPoolCacheAligned = 5,
    NonPagedPoolCacheAlignedMustS = 6, MaxPoolType = 7, NonPagedPoolNx = 512,
    NonPagedPoolNxCacheAligned = 516,
});
enumeration!(_IO_PRIORITY_HINT as IO_PRIORITY_HINT {
    IoPriorityVeryLow = 0, IoPriorityLow = 1, IoPriorityNormal = 2, IoPriorityHigh = 3,
    IoPriorityCritical = 4, MaxIoPriorityTypes = 5,
});
enumeration!(_IO_PAGING_PRIORITY as IO_PAGING_PRIORITY {
    IoPagingPriorityInvalid = 0, IoPagingPriorityNormal = 1, IoPagingPriorityHigh = 2,
    IoPagingPriorityReserved1 = 3, IoPagingPriorityReserved2 = 4,
});
enumeration!(_WORK_QUEUE_TYPE as WORK_QUEUE_TYPE {
    CriticalWorkQueue = 0, DelayedWorkQueue = 1, HyperCriticalWorkQueue = 2, NormalWorkQueue = 3,
    BackgroundWorkQueue = 4, RealTimeWorkQueue = 5, SuperCriticalWorkQueue = 6,
    MaximumWorkQueue = 7, CustomPriorityWorkQueue = 32,
});
enumeration!(_DEVICE_USAGE_NOTIFICATION_TYPE as DEVICE_USAGE_NOTIFICATION_TYPE {
    DeviceUsageTypeUndefined = 0, DeviceUsageTypePaging = 1, DeviceUsageTypeHibernation = 2,
    DeviceUsageTypeDumpFile = 3, DeviceUsageTypeBoot = 4, DeviceUsageTypePostDisplay = 5,
    DeviceUsageTypeGuestAssigned = 6,
});
enumeration!(_DEVICE_RELATION_TYPE as DEVICE_RELATION_TYPE {
    BusRelations = 0, EjectionRelations = 1, PowerRelations = 2, RemovalRelations = 3,
    TargetDeviceRelation = 4, SingleBusRelations = 5, TransportRelations = 6,
});
enumeration!(BUS_QUERY_ID_TYPE {
    BusQueryDeviceID = 0, BusQueryHardwareIDs = 1, BusQueryCompatibleIDs = 2,
    BusQueryInstanceID = 3, BusQueryDeviceSerialNumber = 4, BusQueryContainerID = 5,
});
enumeration!(DEVICE_TEXT_TYPE {
    DeviceTextDescription = 0, DeviceTextLocationInformation = 1,
});
enumeration!(DEVICE_REGISTRY_PROPERTY {
    DevicePropertyDeviceDescription = 0, DevicePropertyHardwareID = 1,
    DevicePropertyCompatibleIDs = 2, DevicePropertyBootConfiguration = 3,
    DevicePropertyBootConfigurationTranslated = 4, DevicePropertyClassName = 5,
    DevicePropertyClassGuid = 6, DevicePropertyDriverKeyName = 7, DevicePropertyManufacturer = 8,
    DevicePropertyFriendlyName = 9, DevicePropertyLocationInformation = 10,
    DevicePropertyPhysicalDeviceObjectName = 11, DevicePropertyBusTypeGuid = 12,
    DevicePropertyLegacyBusType = 13, DevicePropertyBusNumber = 14,
    DevicePropertyEnumeratorName = 15, DevicePropertyAddress = 16, DevicePropertyUINumber = 17,
    DevicePropertyInstallState = 18, DevicePropertyRemovalPolicy = 19,
    DevicePropertyResourceRequirements = 20, DevicePropertyAllocatedResources = 21,
    DevicePropertyContainerID = 22,
});
enumeration!(_SYSTEM_POWER_STATE as SYSTEM_POWER_STATE {
    PowerSystemUnspecified = 0, PowerSystemWorking = 1, PowerSystemSleeping1 = 2,
    PowerSystemSleeping2 = 3, PowerSystemSleeping3 = 4, PowerSystemHibernate = 5,
    PowerSystemShutdown = 6, PowerSystemMaximum = 7,
});
enumeration!(_DEVICE_POWER_STATE as DEVICE_POWER_STATE {
    PowerDeviceUnspecified = 0, PowerDeviceD0 = 1, PowerDeviceD1 = 2, PowerDeviceD2 = 3,
    PowerDeviceD3 = 4, PowerDeviceMaximum = 5,
});
enumeration!(_POWER_STATE_TYPE as POWER_STATE_TYPE { SystemPowerState = 0, DevicePowerState = 1 });
enumeration!(POWER_ACTION {
    PowerActionNone = 0, PowerActionReserved = 1, PowerActionSleep = 2, PowerActionHibernate = 3,
    PowerActionShutdown = 4, PowerActionShutdownReset = 5, PowerActionShutdownOff = 6,
    PowerActionWarmEject = 7, PowerActionDisplayOff = 8,
});
enumeration!(_INTERFACE_TYPE as INTERFACE_TYPE {
    InterfaceTypeUndefined = -1, Internal = 0, Isa = 1, Eisa = 2, MicroChannel = 3, TurboChannel = 4,
    PCIBus = 5, VMEBus = 6, NuBus = 7, PCMCIABus = 8, CBus = 9, MPIBus = 10, MPSABus = 11,
    ProcessorInternal = 12, InternalPowerBus = 13, PNPISABus = 14, PNPBus = 15, Vmcs = 16,
    ACPIBus = 17, MaximumInterfaceType = 18,
});
enumeration!(_DMA_WIDTH as DMA_WIDTH {
    Width8Bits = 0, Width16Bits = 1, Width32Bits = 2, Width64Bits = 3, WidthNoWrap = 4,
    MaximumDmaWidth = 5,
});
enumeration!(_DMA_SPEED as DMA_SPEED {
    Compatible = 0, TypeA = 1, TypeB = 2, TypeC = 3, TypeF = 4, MaximumDmaSpeed = 5,
});
enumeration!(_IO_ALLOCATION_ACTION as IO_ALLOCATION_ACTION {
    KeepObject = 1, DeallocateObject = 2, DeallocateObjectKeepRegisters = 3,
});
enumeration!(_KEY_VALUE_INFORMATION_CLASS as KEY_VALUE_INFORMATION_CLASS {
    KeyValueBasicInformation = 0, KeyValueFullInformation = 1, KeyValuePartialInformation = 2,
    KeyValueFullInformationAlign64 = 3, KeyValuePartialInformationAlign64 = 4,
    KeyValueLayerInformation = 5, MaxKeyValueInfoClass = 6,
});
enumeration!(_EVENT_INFO_CLASS as EVENT_INFO_CLASS {
    EventProviderBinaryTrackInfo = 0, EventProviderSetReserved1 = 1, EventProviderSetTraits = 2,
    EventProviderUseDescriptorType = 3, MaxEventInfo = 4,
});
enumeration!(_FILE_INFORMATION_CLASS as FILE_INFORMATION_CLASS {
    FileBasicInformation = 4, FileStandardInformation = 5,
});
enumeration!(_FSINFOCLASS as FS_INFORMATION_CLASS {
    FileFsVolumeInformation = 1, FileFsSizeInformation = 3, FileFsDeviceInformation = 4,
});
enumeration!(_DIRECTORY_NOTIFY_INFORMATION_CLASS as DIRECTORY_NOTIFY_INFORMATION_CLASS {
    DirectoryNotifyInformation = 1, DirectoryNotifyExtendedInformation = 2,
});
enumeration!(_SRBEXDATATYPE as SRBEXDATATYPE {
    SrbExDataTypeUnknown = 0, SrbExDataTypeBidirectional = 1, SrbExDataTypeScsiCdb16 = 0x40,
    SrbExDataTypeScsiCdb32 = 0x41, SrbExDataTypeScsiCdbVar = 0x42, SrbExDataTypeWmi = 0x60,
    SrbExDataTypePower = 0x61, SrbExDataTypePnP = 0x62, SrbExDataTypeIoInfo = 0x80,
    SrbExDataTypeNvmeCommand = 0x90, SrbExDataTypeMSReservedStart = -0x1000_0000,
    SrbExDataTypeReserved = -1,
});
enumeration!(_STORAGE_PROPERTY_ID as STORAGE_PROPERTY_ID {
    StorageDeviceProperty = 0, StorageAdapterProperty = 1, StorageDeviceIdProperty = 2,
    StorageDeviceUniqueIdProperty = 3, StorageDeviceWriteCacheProperty = 4,
    StorageMiniportProperty = 5, StorageAccessAlignmentProperty = 6,
    StorageDeviceSeekPenaltyProperty = 7, StorageDeviceTrimProperty = 8,
    StorageDeviceWriteAggregationProperty = 9, StorageDeviceDeviceTelemetryProperty = 10,
    StorageDeviceLBProvisioningProperty = 11, StorageDevicePowerProperty = 12,
    StorageDeviceCopyOffloadProperty = 13, StorageDeviceResiliencyProperty = 14,
    StorageDeviceMediumProductType = 15, StorageAdapterRpmbProperty = 16,
    StorageAdapterCryptoProperty = 17, StorageDeviceIoCapabilityProperty = 48,
    StorageAdapterProtocolSpecificProperty = 49, StorageDeviceProtocolSpecificProperty = 50,
    StorageAdapterTemperatureProperty = 51, StorageDeviceTemperatureProperty = 52,
    StorageAdapterPhysicalTopologyProperty = 53, StorageDevicePhysicalTopologyProperty = 54,
    StorageDeviceAttributesProperty = 55,
});
enumeration!(_STORAGE_QUERY_TYPE as STORAGE_QUERY_TYPE {
    PropertyStandardQuery = 0, PropertyExistsQuery = 1, PropertyMaskQuery = 2,
    PropertyQueryMaxDefined = 3,
});
enumeration!(_STORAGE_BUS_TYPE as STORAGE_BUS_TYPE {
    BusTypeUnknown = 0, BusTypeScsi = 1, BusTypeAtapi = 2, BusTypeAta = 3, BusType1394 = 4,
    BusTypeSsa = 5, BusTypeFibre = 6, BusTypeUsb = 7, BusTypeRAID = 8, BusTypeiScsi = 9,
    BusTypeSas = 10, BusTypeSata = 11, BusTypeSd = 12, BusTypeMmc = 13, BusTypeVirtual = 14,
    BusTypeFileBackedVirtual = 15, BusTypeSpaces = 16, BusTypeNvme = 17, BusTypeSCM = 18,
    BusTypeUfs = 19, BusTypeNvmeof = 20, BusTypeMax = 21, BusTypeMaxReserved = 127,
});

enumeration!(_WDF_TRI_STATE as WDF_TRI_STATE { WdfFalse = 0, WdfTrue = 1, WdfUseDefault = 2 });
enumeration!(_WDF_EXECUTION_LEVEL as WDF_EXECUTION_LEVEL {
    WdfExecutionLevelInvalid = 0, WdfExecutionLevelInheritFromParent = 1,
    WdfExecutionLevelPassive = 2, WdfExecutionLevelDispatch = 3,
});
enumeration!(_WDF_SYNCHRONIZATION_SCOPE as WDF_SYNCHRONIZATION_SCOPE {
    WdfSynchronizationScopeInvalid = 0, WdfSynchronizationScopeInheritFromParent = 1,
    WdfSynchronizationScopeDevice = 2, WdfSynchronizationScopeQueue = 3,
    WdfSynchronizationScopeNone = 4,
});
enumeration!(_WDF_DRIVER_INIT_FLAGS as WDF_DRIVER_INIT_FLAGS {
    WdfDriverInitNonPnpDriver = 1, WdfDriverInitNoDispatchOverride = 2,
    WdfVerifyOn = 4, WdfVerifierOn = 8, WdfDriverInitCompanion = 16,
});
enumeration!(_WDF_MEMORY_DESCRIPTOR_TYPE as WDF_MEMORY_DESCRIPTOR_TYPE {
    WdfMemoryDescriptorTypeInvalid = 0, WdfMemoryDescriptorTypeBuffer = 1,
    WdfMemoryDescriptorTypeMdl = 2, WdfMemoryDescriptorTypeHandle = 3,
});
enumeration!(_WDF_IO_QUEUE_DISPATCH_TYPE as WDF_IO_QUEUE_DISPATCH_TYPE {
    WdfIoQueueDispatchInvalid = 0, WdfIoQueueDispatchSequential = 1,
    WdfIoQueueDispatchParallel = 2, WdfIoQueueDispatchManual = 3, WdfIoQueueDispatchMax = 4,
});
enumeration!(_WDF_REMOVE_LOCK_OPTIONS_FLAGS as WDF_REMOVE_LOCK_OPTIONS_FLAGS {
    WDF_REMOVE_LOCK_OPTION_ACQUIRE_FOR_IO = 1,
});
enumeration!(_WDF_POWER_DEVICE_STATE as WDF_POWER_DEVICE_STATE {
    WdfPowerDeviceInvalid = 0, WdfPowerDeviceD0 = 1, WdfPowerDeviceD1 = 2, WdfPowerDeviceD2 = 3,
    WdfPowerDeviceD3 = 4, WdfPowerDeviceD3Final = 5, WdfPowerDevicePrepareForHibernation = 6,
    WdfPowerDeviceMaximum = 7,
});
enumeration!(_WDF_SPECIAL_FILE_TYPE as WDF_SPECIAL_FILE_TYPE {
    WdfSpecialFileUndefined = 0, WdfSpecialFilePaging = 1, WdfSpecialFileHibernation = 2,
    WdfSpecialFileDump = 3, WdfSpecialFileBoot = 4, WdfSpecialFileMax = 5,
});
enumeration!(_WDF_DEVICE_IO_TYPE as WDF_DEVICE_IO_TYPE {
    WdfDeviceIoUndefined = 0, WdfDeviceIoNeither = 1, WdfDeviceIoBuffered = 2,
    WdfDeviceIoDirect = 3, WdfDeviceIoBufferedOrDirect = 4,
});
enumeration!(_WDF_FILEOBJECT_CLASS as WDF_FILEOBJECT_CLASS {
    WdfFileObjectInvalid = 0, WdfFileObjectNotRequired = 1, WdfFileObjectWdfCanUseFsContext = 2,
    WdfFileObjectWdfCanUseFsContext2 = 3, WdfFileObjectWdfCannotUseFsContexts = 4,
    WdfFileObjectCanBeOptional = i32::MIN,
});
enumeration!(_WDF_REQUEST_SEND_OPTIONS_FLAGS as WDF_REQUEST_SEND_OPTIONS_FLAGS {
    WDF_REQUEST_SEND_OPTION_TIMEOUT = 1, WDF_REQUEST_SEND_OPTION_SYNCHRONOUS = 2,
    WDF_REQUEST_SEND_OPTION_IGNORE_TARGET_STATE = 4, WDF_REQUEST_SEND_OPTION_SEND_AND_FORGET = 8,
    WDF_REQUEST_SEND_OPTION_IMPERSONATE_CLIENT = 0x1_0000,
    WDF_REQUEST_SEND_OPTION_IMPERSONATION_IGNORE_FAILURE = 0x2_0000,
});
enumeration!(_WDF_REQUEST_TYPE as WDF_REQUEST_TYPE {
    WdfRequestTypeCreate = 0, WdfRequestTypeClose = 2, WdfRequestTypeRead = 3,
    WdfRequestTypeWrite = 4, WdfRequestTypeFlushBuffers = 9, WdfRequestTypeDeviceControl = 14,
    WdfRequestTypeDeviceControlInternal = 15, WdfRequestTypeShutdown = 16,
    WdfRequestTypeCleanup = 18, WdfRequestTypePower = 22, WdfRequestTypeSystemControl = 23,
    WdfRequestTypePnp = 27, WdfRequestTypeOther = 28, WdfRequestTypeUsb = 64,
    WdfRequestTypeNoFormat = 255, WdfRequestTypeMax = 256,
});
