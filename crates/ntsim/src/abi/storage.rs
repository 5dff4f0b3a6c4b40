//! Storage property descriptors and SCSI data formats.

use super::*;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_PROPERTY_QUERY {
    pub PropertyId: STORAGE_PROPERTY_ID,
    pub QueryType: STORAGE_QUERY_TYPE,
    pub AdditionalParameters: [UCHAR; 1],
}
zeroed!(_STORAGE_PROPERTY_QUERY);
pub type STORAGE_PROPERTY_QUERY = _STORAGE_PROPERTY_QUERY;
pub type PSTORAGE_PROPERTY_QUERY = *mut _STORAGE_PROPERTY_QUERY;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_DESCRIPTOR_HEADER {
    pub Version: ULONG,
    pub Size: ULONG,
}
zeroed!(_STORAGE_DESCRIPTOR_HEADER);
pub type STORAGE_DESCRIPTOR_HEADER = _STORAGE_DESCRIPTOR_HEADER;
pub type PSTORAGE_DESCRIPTOR_HEADER = *mut _STORAGE_DESCRIPTOR_HEADER;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_ADAPTER_DESCRIPTOR {
    pub Version: ULONG,
    pub Size: ULONG,
    pub MaximumTransferLength: ULONG,
    pub MaximumPhysicalPages: ULONG,
    pub AlignmentMask: ULONG,
    pub AdapterUsesPio: BOOLEAN,
    pub AdapterScansDown: BOOLEAN,
    pub CommandQueueing: BOOLEAN,
    pub AcceleratedTransfer: BOOLEAN,
    pub BusType: UCHAR,
    pub BusMajorVersion: USHORT,
    pub BusMinorVersion: USHORT,
    pub SrbType: UCHAR,
    pub AddressType: UCHAR,
}
zeroed!(_STORAGE_ADAPTER_DESCRIPTOR);
pub type STORAGE_ADAPTER_DESCRIPTOR = _STORAGE_ADAPTER_DESCRIPTOR;
pub type PSTORAGE_ADAPTER_DESCRIPTOR = *mut _STORAGE_ADAPTER_DESCRIPTOR;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_DEVICE_DESCRIPTOR {
    pub Version: ULONG,
    pub Size: ULONG,
    pub DeviceType: UCHAR,
    pub DeviceTypeModifier: UCHAR,
    pub RemovableMedia: BOOLEAN,
    pub CommandQueueing: BOOLEAN,
    pub VendorIdOffset: ULONG,
    pub ProductIdOffset: ULONG,
    pub ProductRevisionOffset: ULONG,
    pub SerialNumberOffset: ULONG,
    pub BusType: STORAGE_BUS_TYPE,
    pub RawPropertiesLength: ULONG,
    pub RawDeviceProperties: [UCHAR; 1],
}
zeroed!(_STORAGE_DEVICE_DESCRIPTOR);
pub type STORAGE_DEVICE_DESCRIPTOR = _STORAGE_DEVICE_DESCRIPTOR;
pub type PSTORAGE_DEVICE_DESCRIPTOR = *mut _STORAGE_DEVICE_DESCRIPTOR;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR {
    pub Version: ULONG,
    pub Size: ULONG,
    pub BytesPerCacheLine: ULONG,
    pub BytesOffsetForCacheAlignment: ULONG,
    pub BytesPerLogicalSector: ULONG,
    pub BytesPerPhysicalSector: ULONG,
    pub BytesOffsetForSectorAlignment: ULONG,
}
zeroed!(_STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR);
pub type STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR = _STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR;
pub type PSTORAGE_ACCESS_ALIGNMENT_DESCRIPTOR = *mut _STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _IO_SCSI_CAPABILITIES {
    pub Length: ULONG,
    pub MaximumTransferLength: ULONG,
    pub MaximumPhysicalPages: ULONG,
    pub SupportedAsynchronousEvents: ULONG,
    pub AlignmentMask: ULONG,
    pub TaggedQueuing: BOOLEAN,
    pub AdapterScansDown: BOOLEAN,
    pub AdapterUsesPio: BOOLEAN,
}
zeroed!(_IO_SCSI_CAPABILITIES);
pub type IO_SCSI_CAPABILITIES = _IO_SCSI_CAPABILITIES;
pub type PIO_SCSI_CAPABILITIES = *mut _IO_SCSI_CAPABILITIES;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SENSE_DATA {
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub SegmentNumber: UCHAR,
    pub _bitfield_2: __BindgenBitfieldUnit<[u8; 1]>,
    pub Information: [UCHAR; 4],
    pub AdditionalSenseLength: UCHAR,
    pub CommandSpecificInformation: [UCHAR; 4],
    pub AdditionalSenseCode: UCHAR,
    pub AdditionalSenseCodeQualifier: UCHAR,
    pub FieldReplaceableUnitCode: UCHAR,
    pub SenseKeySpecific: [UCHAR; 3],
}
zeroed!(_SENSE_DATA);
pub type SENSE_DATA = _SENSE_DATA;
pub type PSENSE_DATA = *mut _SENSE_DATA;

#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct _READ_CAPACITY_DATA {
    pub LogicalBlockAddress: ULONG,
    pub BytesPerBlock: ULONG,
}
zeroed!(_READ_CAPACITY_DATA);
pub type READ_CAPACITY_DATA = _READ_CAPACITY_DATA;
pub type PREAD_CAPACITY_DATA = *mut _READ_CAPACITY_DATA;

#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct _READ_CAPACITY16_DATA {
    pub LogicalBlockAddress: LARGE_INTEGER,
    pub BytesPerBlock: ULONG,
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 3]>,
    pub LowestAlignedBlock_LSB: UCHAR,
    pub Reserved3: [UCHAR; 16],
}
zeroed!(_READ_CAPACITY16_DATA);
pub type READ_CAPACITY16_DATA = _READ_CAPACITY16_DATA;
pub type PREAD_CAPACITY16_DATA = *mut _READ_CAPACITY16_DATA;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _VPD_BLOCK_LIMITS_PAGE {
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub PageCode: UCHAR,
    pub PageLength: [UCHAR; 2],
    pub __bindgen_anon_1: _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1,
}
zeroed!(_VPD_BLOCK_LIMITS_PAGE);
pub type VPD_BLOCK_LIMITS_PAGE = _VPD_BLOCK_LIMITS_PAGE;
pub type PVPD_BLOCK_LIMITS_PAGE = *mut _VPD_BLOCK_LIMITS_PAGE;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1 {
    pub __bindgen_anon_1: __BindgenUnionField<_VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1>,
    pub Descriptors: __BindgenUnionField<[UCHAR; 0]>,
    pub bindgen_union_field: __BindgenOpaqueArray<[u8; 60]>,
}
zeroed!(_VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1 {
    pub Reserved0: UCHAR,
    pub MaximumCompareAndWriteLength: UCHAR,
    pub OptimalTransferLengthGranularity: [UCHAR; 2],
    pub MaximumTransferLength: [UCHAR; 4],
    pub OptimalTransferLength: [UCHAR; 4],
    pub MaxPrefetchXDReadXDWriteTransferLength: [UCHAR; 4],
    pub MaximumUnmapLBACount: [UCHAR; 4],
    pub MaximumUnmapBlockDescriptorCount: [UCHAR; 4],
    pub OptimalUnmapGranularity: [UCHAR; 4],
    pub __bindgen_anon_1: _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1,
    pub Reserved1: [UCHAR; 28],
}
zeroed!(_VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy)]
#[repr(C)]
pub union _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1 {
    pub __bindgen_anon_1:
        _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1,
    pub UnmapGranularityAlignment: [UCHAR; 4],
}
zeroed!(_VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1 {
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub UnmapGranularityAlignmentByte2: UCHAR,
    pub UnmapGranularityAlignmentByte1: UCHAR,
    pub UnmapGranularityAlignmentByte0: UCHAR,
}
zeroed!(_VPD_BLOCK_LIMITS_PAGE__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1);

impl _SENSE_DATA {
    pub fn ErrorCode(&self) -> UCHAR {
        self._bitfield_1.get(0, 7) as UCHAR
    }
    pub fn set_ErrorCode(&mut self, val: UCHAR) {
        self._bitfield_1.set(0, 7, u64::from(val));
    }
    pub fn Valid(&self) -> UCHAR {
        self._bitfield_1.get(7, 1) as UCHAR
    }
    pub fn set_Valid(&mut self, val: UCHAR) {
        self._bitfield_1.set(7, 1, u64::from(val));
    }
    pub fn SenseKey(&self) -> UCHAR {
        self._bitfield_2.get(0, 4) as UCHAR
    }
    pub fn set_SenseKey(&mut self, val: UCHAR) {
        self._bitfield_2.set(0, 4, u64::from(val));
    }
}
