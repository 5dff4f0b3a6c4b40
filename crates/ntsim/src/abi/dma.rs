//! The DMA adapter and its table of operations.

use super::*;

/// Operations that keep their slot in the table and are never filled in.
pub type PDMA_UNMODELLED = Option<unsafe extern "C" fn()>;
pub type PPUT_DMA_ADAPTER = Option<unsafe extern "C" fn(DmaAdapter: PDMA_ADAPTER)>;
pub type PALLOCATE_COMMON_BUFFER = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        Length: ULONG,
        LogicalAddress: PPHYSICAL_ADDRESS,
        CacheEnabled: BOOLEAN,
    ) -> PVOID,
>;
pub type PFREE_COMMON_BUFFER = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        Length: ULONG,
        LogicalAddress: PHYSICAL_ADDRESS,
        VirtualAddress: PVOID,
        CacheEnabled: BOOLEAN,
    ),
>;
pub type PALLOCATE_ADAPTER_CHANNEL = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        DeviceObject: PDEVICE_OBJECT,
        NumberOfMapRegisters: ULONG,
        ExecutionRoutine: PDRIVER_CONTROL,
        Context: PVOID,
    ) -> NTSTATUS,
>;
pub type PFLUSH_ADAPTER_BUFFERS = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        Mdl: PMDL,
        MapRegisterBase: PVOID,
        CurrentVa: PVOID,
        Length: ULONG,
        WriteToDevice: BOOLEAN,
    ) -> BOOLEAN,
>;
pub type PFREE_ADAPTER_CHANNEL = Option<unsafe extern "C" fn(DmaAdapter: PDMA_ADAPTER)>;
pub type PFREE_MAP_REGISTERS = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        MapRegisterBase: PVOID,
        NumberOfMapRegisters: ULONG,
    ),
>;
pub type PMAP_TRANSFER = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        Mdl: PMDL,
        MapRegisterBase: PVOID,
        CurrentVa: PVOID,
        Length: PULONG,
        WriteToDevice: BOOLEAN,
    ) -> PHYSICAL_ADDRESS,
>;
pub type PGET_DMA_ALIGNMENT = Option<unsafe extern "C" fn(DmaAdapter: PDMA_ADAPTER) -> ULONG>;
pub type PREAD_DMA_COUNTER = Option<unsafe extern "C" fn(DmaAdapter: PDMA_ADAPTER) -> ULONG>;
pub type PGET_SCATTER_GATHER_LIST = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        DeviceObject: PDEVICE_OBJECT,
        Mdl: PMDL,
        CurrentVa: PVOID,
        Length: ULONG,
        ExecutionRoutine: PDRIVER_LIST_CONTROL,
        Context: PVOID,
        WriteToDevice: BOOLEAN,
    ) -> NTSTATUS,
>;
pub type PPUT_SCATTER_GATHER_LIST = Option<
    unsafe extern "C" fn(
        DmaAdapter: PDMA_ADAPTER,
        ScatterGather: PSCATTER_GATHER_LIST,
        WriteToDevice: BOOLEAN,
    ),
>;
pub type PCALCULATE_SCATTER_GATHER_LIST_SIZE = PDMA_UNMODELLED;
pub type PBUILD_SCATTER_GATHER_LIST = PDMA_UNMODELLED;
pub type PBUILD_MDL_FROM_SCATTER_GATHER_LIST = PDMA_UNMODELLED;
pub type PGET_DMA_ADAPTER_INFO = PDMA_UNMODELLED;
pub type PGET_DMA_TRANSFER_INFO = PDMA_UNMODELLED;
pub type PINITIALIZE_DMA_TRANSFER_CONTEXT = PDMA_UNMODELLED;
pub type PALLOCATE_COMMON_BUFFER_EX = PDMA_UNMODELLED;
pub type PALLOCATE_ADAPTER_CHANNEL_EX = PDMA_UNMODELLED;
pub type PCONFIGURE_ADAPTER_CHANNEL = PDMA_UNMODELLED;
pub type PCANCEL_ADAPTER_CHANNEL = PDMA_UNMODELLED;
pub type PMAP_TRANSFER_EX = PDMA_UNMODELLED;
pub type PGET_SCATTER_GATHER_LIST_EX = PDMA_UNMODELLED;
pub type PBUILD_SCATTER_GATHER_LIST_EX = PDMA_UNMODELLED;
pub type PFLUSH_ADAPTER_BUFFERS_EX = PDMA_UNMODELLED;
pub type PFREE_ADAPTER_OBJECT = PDMA_UNMODELLED;
pub type PCANCEL_MAPPED_TRANSFER = PDMA_UNMODELLED;
pub type PALLOCATE_DOMAIN_COMMON_BUFFER = PDMA_UNMODELLED;
pub type PFLUSH_DMA_BUFFER = PDMA_UNMODELLED;
pub type PJOIN_DMA_DOMAIN = PDMA_UNMODELLED;
pub type PLEAVE_DMA_DOMAIN = PDMA_UNMODELLED;
pub type PGET_DMA_DOMAIN = PDMA_UNMODELLED;
pub type PALLOCATE_COMMON_BUFFER_WITH_BOUNDS = PDMA_UNMODELLED;
pub type PALLOCATE_COMMON_BUFFER_VECTOR = PDMA_UNMODELLED;
pub type PGET_COMMON_BUFFER_FROM_VECTOR_BY_INDEX = PDMA_UNMODELLED;
pub type PFREE_COMMON_BUFFER_FROM_VECTOR = PDMA_UNMODELLED;
pub type PFREE_COMMON_BUFFER_VECTOR = PDMA_UNMODELLED;
pub type PCREATE_COMMON_BUFFER_FROM_MDL = PDMA_UNMODELLED;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _DMA_ADAPTER {
    pub Version: USHORT,
    pub Size: USHORT,
    pub DmaOperations: PDMA_OPERATIONS,
}
zeroed!(_DMA_ADAPTER);
pub type DMA_ADAPTER = _DMA_ADAPTER;
pub type PDMA_ADAPTER = *mut _DMA_ADAPTER;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _DMA_OPERATIONS {
    pub Size: ULONG,
    pub PutDmaAdapter: PPUT_DMA_ADAPTER,
    pub AllocateCommonBuffer: PALLOCATE_COMMON_BUFFER,
    pub FreeCommonBuffer: PFREE_COMMON_BUFFER,
    pub AllocateAdapterChannel: PALLOCATE_ADAPTER_CHANNEL,
    pub FlushAdapterBuffers: PFLUSH_ADAPTER_BUFFERS,
    pub FreeAdapterChannel: PFREE_ADAPTER_CHANNEL,
    pub FreeMapRegisters: PFREE_MAP_REGISTERS,
    pub MapTransfer: PMAP_TRANSFER,
    pub GetDmaAlignment: PGET_DMA_ALIGNMENT,
    pub ReadDmaCounter: PREAD_DMA_COUNTER,
    pub GetScatterGatherList: PGET_SCATTER_GATHER_LIST,
    pub PutScatterGatherList: PPUT_SCATTER_GATHER_LIST,
    pub CalculateScatterGatherList: PCALCULATE_SCATTER_GATHER_LIST_SIZE,
    pub BuildScatterGatherList: PBUILD_SCATTER_GATHER_LIST,
    pub BuildMdlFromScatterGatherList: PBUILD_MDL_FROM_SCATTER_GATHER_LIST,
    pub GetDmaAdapterInfo: PGET_DMA_ADAPTER_INFO,
    pub GetDmaTransferInfo: PGET_DMA_TRANSFER_INFO,
    pub InitializeDmaTransferContext: PINITIALIZE_DMA_TRANSFER_CONTEXT,
    pub AllocateCommonBufferEx: PALLOCATE_COMMON_BUFFER_EX,
    pub AllocateAdapterChannelEx: PALLOCATE_ADAPTER_CHANNEL_EX,
    pub ConfigureAdapterChannel: PCONFIGURE_ADAPTER_CHANNEL,
    pub CancelAdapterChannel: PCANCEL_ADAPTER_CHANNEL,
    pub MapTransferEx: PMAP_TRANSFER_EX,
    pub GetScatterGatherListEx: PGET_SCATTER_GATHER_LIST_EX,
    pub BuildScatterGatherListEx: PBUILD_SCATTER_GATHER_LIST_EX,
    pub FlushAdapterBuffersEx: PFLUSH_ADAPTER_BUFFERS_EX,
    pub FreeAdapterObject: PFREE_ADAPTER_OBJECT,
    pub CancelMappedTransfer: PCANCEL_MAPPED_TRANSFER,
    pub AllocateDomainCommonBuffer: PALLOCATE_DOMAIN_COMMON_BUFFER,
    pub FlushDmaBuffer: PFLUSH_DMA_BUFFER,
    pub JoinDmaDomain: PJOIN_DMA_DOMAIN,
    pub LeaveDmaDomain: PLEAVE_DMA_DOMAIN,
    pub GetDmaDomain: PGET_DMA_DOMAIN,
    pub AllocateCommonBufferWithBounds: PALLOCATE_COMMON_BUFFER_WITH_BOUNDS,
    pub AllocateCommonBufferVector: PALLOCATE_COMMON_BUFFER_VECTOR,
    pub GetCommonBufferFromVectorByIndex: PGET_COMMON_BUFFER_FROM_VECTOR_BY_INDEX,
    pub FreeCommonBufferFromVector: PFREE_COMMON_BUFFER_FROM_VECTOR,
    pub FreeCommonBufferVector: PFREE_COMMON_BUFFER_VECTOR,
    pub CreateCommonBufferFromMdl: PCREATE_COMMON_BUFFER_FROM_MDL,
}
zeroed!(_DMA_OPERATIONS);
pub type DMA_OPERATIONS = _DMA_OPERATIONS;
pub type PDMA_OPERATIONS = *mut _DMA_OPERATIONS;

pub const DEVICE_DESCRIPTION_VERSION: u32 = 0;
pub const DEVICE_DESCRIPTION_VERSION1: u32 = 1;
pub const DEVICE_DESCRIPTION_VERSION2: u32 = 2;
pub const DEVICE_DESCRIPTION_VERSION3: u32 = 3;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _DEVICE_DESCRIPTION {
    pub Version: ULONG,
    pub Master: BOOLEAN,
    pub ScatterGather: BOOLEAN,
    pub DemandMode: BOOLEAN,
    pub AutoInitialize: BOOLEAN,
    pub Dma32BitAddresses: BOOLEAN,
    pub IgnoreCount: BOOLEAN,
    pub Reserved1: BOOLEAN,
    pub Dma64BitAddresses: BOOLEAN,
    pub BusNumber: ULONG,
    pub DmaChannel: ULONG,
    pub InterfaceType: INTERFACE_TYPE,
    pub DmaWidth: DMA_WIDTH,
    pub DmaSpeed: DMA_SPEED,
    pub MaximumLength: ULONG,
    pub DmaPort: ULONG,
    pub DmaAddressWidth: ULONG,
    pub DmaControllerInstance: ULONG,
    pub DmaRequestLine: ULONG,
    pub DeviceAddress: PHYSICAL_ADDRESS,
}
zeroed!(_DEVICE_DESCRIPTION);
pub type DEVICE_DESCRIPTION = _DEVICE_DESCRIPTION;
pub type PDEVICE_DESCRIPTION = *mut _DEVICE_DESCRIPTION;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _SCATTER_GATHER_ELEMENT {
    pub Address: PHYSICAL_ADDRESS,
    pub Length: ULONG,
    pub Reserved: ULONG_PTR,
}
zeroed!(_SCATTER_GATHER_ELEMENT);
pub type SCATTER_GATHER_ELEMENT = _SCATTER_GATHER_ELEMENT;
pub type PSCATTER_GATHER_ELEMENT = *mut _SCATTER_GATHER_ELEMENT;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _SCATTER_GATHER_LIST {
    pub NumberOfElements: ULONG,
    pub Reserved: ULONG_PTR,
    pub Elements: [SCATTER_GATHER_ELEMENT; 0],
}
zeroed!(_SCATTER_GATHER_LIST);
pub type SCATTER_GATHER_LIST = _SCATTER_GATHER_LIST;
pub type PSCATTER_GATHER_LIST = *mut _SCATTER_GATHER_LIST;
