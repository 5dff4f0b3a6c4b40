//! SCSI and storage request blocks.

use super::*;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _SCSI_REQUEST_BLOCK {
    pub Length: USHORT,
    pub Function: UCHAR,
    pub SrbStatus: UCHAR,
    pub ScsiStatus: UCHAR,
    pub PathId: UCHAR,
    pub TargetId: UCHAR,
    pub Lun: UCHAR,
    pub QueueTag: UCHAR,
    pub QueueAction: UCHAR,
    pub CdbLength: UCHAR,
    pub SenseInfoBufferLength: UCHAR,
    pub SrbFlags: ULONG,
    pub DataTransferLength: ULONG,
    pub TimeOutValue: ULONG,
    pub DataBuffer: PVOID,
    pub SenseInfoBuffer: PVOID,
    pub NextSrb: *mut _SCSI_REQUEST_BLOCK,
    pub OriginalRequest: PVOID,
    pub SrbExtension: PVOID,
    pub __bindgen_anon_1: _SCSI_REQUEST_BLOCK__bindgen_ty_1,
    pub Reserved: ULONG,
    pub Cdb: [UCHAR; 16],
}
zeroed!(_SCSI_REQUEST_BLOCK);
pub type SCSI_REQUEST_BLOCK = _SCSI_REQUEST_BLOCK;
pub type PSCSI_REQUEST_BLOCK = *mut _SCSI_REQUEST_BLOCK;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _SCSI_REQUEST_BLOCK__bindgen_ty_1 {
    pub InternalStatus: ULONG,
    pub QueueSortKey: ULONG,
    pub LinkTimeoutValue: ULONG,
}
zeroed!(_SCSI_REQUEST_BLOCK__bindgen_ty_1);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _STORAGE_REQUEST_BLOCK {
    pub Length: USHORT,
    pub Function: UCHAR,
    pub SrbStatus: UCHAR,
    pub ReservedUlong1: ULONG,
    pub Signature: ULONG,
    pub Version: ULONG,
    pub SrbLength: ULONG,
    pub SrbFunction: ULONG,
    pub SrbFlags: ULONG,
    pub ReservedUlong2: ULONG,
    pub RequestTag: ULONG,
    pub RequestPriority: USHORT,
    pub RequestAttribute: USHORT,
    pub TimeOutValue: ULONG,
    pub SystemStatus: ULONG,
    pub ZeroGuard1: ULONG,
    pub AddressOffset: ULONG,
    pub NumSrbExData: ULONG,
    pub DataTransferLength: ULONG,
    pub DataBuffer: PVOID,
    pub ZeroGuard2: PVOID,
    pub OriginalRequest: PVOID,
    pub ClassContext: PVOID,
    pub PortContext: PVOID,
    pub MiniportContext: PVOID,
    pub NextSrb: *mut _STORAGE_REQUEST_BLOCK,
    pub SrbExDataOffset: [ULONG; 1],
}
zeroed!(_STORAGE_REQUEST_BLOCK);
pub type STORAGE_REQUEST_BLOCK = _STORAGE_REQUEST_BLOCK;
pub type PSTORAGE_REQUEST_BLOCK = *mut _STORAGE_REQUEST_BLOCK;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _STORAGE_REQUEST_BLOCK_HEADER {
    pub Length: USHORT,
    pub Function: UCHAR,
    pub SrbStatus: UCHAR,
}
zeroed!(_STORAGE_REQUEST_BLOCK_HEADER);
pub type STORAGE_REQUEST_BLOCK_HEADER = _STORAGE_REQUEST_BLOCK_HEADER;
pub type PSTORAGE_REQUEST_BLOCK_HEADER = *mut _STORAGE_REQUEST_BLOCK_HEADER;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _SRBEX_DATA {
    pub Type: SRBEXDATATYPE,
    pub Length: ULONG,
    pub Data: [UCHAR; 1],
}
zeroed!(_SRBEX_DATA);
pub type SRBEX_DATA = _SRBEX_DATA;
pub type PSRBEX_DATA = *mut _SRBEX_DATA;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SRBEX_DATA_SCSI_CDB16 {
    pub Type: SRBEXDATATYPE,
    pub Length: ULONG,
    pub ScsiStatus: UCHAR,
    pub SenseInfoBufferLength: UCHAR,
    pub CdbLength: UCHAR,
    pub Reserved: UCHAR,
    pub Reserved1: ULONG,
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [UCHAR; 16],
}
zeroed!(_SRBEX_DATA_SCSI_CDB16);
pub type SRBEX_DATA_SCSI_CDB16 = _SRBEX_DATA_SCSI_CDB16;
pub type PSRBEX_DATA_SCSI_CDB16 = *mut _SRBEX_DATA_SCSI_CDB16;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SRBEX_DATA_SCSI_CDB32 {
    pub Type: SRBEXDATATYPE,
    pub Length: ULONG,
    pub ScsiStatus: UCHAR,
    pub SenseInfoBufferLength: UCHAR,
    pub CdbLength: UCHAR,
    pub Reserved: UCHAR,
    pub Reserved1: ULONG,
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [UCHAR; 32],
}
zeroed!(_SRBEX_DATA_SCSI_CDB32);
pub type SRBEX_DATA_SCSI_CDB32 = _SRBEX_DATA_SCSI_CDB32;
pub type PSRBEX_DATA_SCSI_CDB32 = *mut _SRBEX_DATA_SCSI_CDB32;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SRBEX_DATA_SCSI_CDB_VAR {
    pub Type: SRBEXDATATYPE,
    pub Length: ULONG,
    pub ScsiStatus: UCHAR,
    pub SenseInfoBufferLength: UCHAR,
    pub Reserved: [UCHAR; 2],
    pub CdbLength: ULONG,
    pub Reserved1: [ULONG; 2],
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [UCHAR; 1],
}
zeroed!(_SRBEX_DATA_SCSI_CDB_VAR);
pub type SRBEX_DATA_SCSI_CDB_VAR = _SRBEX_DATA_SCSI_CDB_VAR;
pub type PSRBEX_DATA_SCSI_CDB_VAR = *mut _SRBEX_DATA_SCSI_CDB_VAR;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _SRBEX_DATA_IO_INFO {
    pub Type: SRBEXDATATYPE,
    pub Length: ULONG,
    pub Flags: ULONG,
    pub Key: ULONG,
    pub RWLength: ULONG,
    pub IsWriteRequest: BOOLEAN,
    pub CachePriority: UCHAR,
    pub Reserved: [UCHAR; 2],
    pub Reserved1: [ULONG; 2],
}
zeroed!(_SRBEX_DATA_IO_INFO);
pub type SRBEX_DATA_IO_INFO = _SRBEX_DATA_IO_INFO;
pub type PSRBEX_DATA_IO_INFO = *mut _SRBEX_DATA_IO_INFO;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _STOR_ADDRESS {
    pub Type: USHORT,
    pub Port: USHORT,
    pub AddressLength: ULONG,
    pub AddressData: [UCHAR; 1],
}
zeroed!(_STOR_ADDRESS);
pub type STOR_ADDRESS = _STOR_ADDRESS;
pub type PSTOR_ADDRESS = *mut _STOR_ADDRESS;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct _STOR_ADDR_BTL8 {
    pub Type: USHORT,
    pub Port: USHORT,
    pub AddressLength: ULONG,
    pub Path: UCHAR,
    pub Target: UCHAR,
    pub Lun: UCHAR,
    pub Reserved: UCHAR,
}
zeroed!(_STOR_ADDR_BTL8);
pub type STOR_ADDR_BTL8 = _STOR_ADDR_BTL8;
pub type PSTOR_ADDR_BTL8 = *mut _STOR_ADDR_BTL8;
