//! SCSI pass-through and the data formats that `storport.h` brings in.

use super::*;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SCSI_PASS_THROUGH {
    pub Length: USHORT,
    pub ScsiStatus: UCHAR,
    pub PathId: UCHAR,
    pub TargetId: UCHAR,
    pub Lun: UCHAR,
    pub CdbLength: UCHAR,
    pub SenseInfoLength: UCHAR,
    pub DataIn: UCHAR,
    pub DataTransferLength: ULONG,
    pub TimeOutValue: ULONG,
    pub DataBufferOffset: ULONG_PTR,
    pub SenseInfoOffset: ULONG,
    pub Cdb: [UCHAR; 16],
}
zeroed!(_SCSI_PASS_THROUGH);
pub type SCSI_PASS_THROUGH = _SCSI_PASS_THROUGH;
pub type PSCSI_PASS_THROUGH = *mut _SCSI_PASS_THROUGH;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SCSI_PASS_THROUGH_DIRECT {
    pub Length: USHORT,
    pub ScsiStatus: UCHAR,
    pub PathId: UCHAR,
    pub TargetId: UCHAR,
    pub Lun: UCHAR,
    pub CdbLength: UCHAR,
    pub SenseInfoLength: UCHAR,
    pub DataIn: UCHAR,
    pub DataTransferLength: ULONG,
    pub TimeOutValue: ULONG,
    pub DataBuffer: PVOID,
    pub SenseInfoOffset: ULONG,
    pub Cdb: [UCHAR; 16],
}
zeroed!(_SCSI_PASS_THROUGH_DIRECT);
pub type SCSI_PASS_THROUGH_DIRECT = _SCSI_PASS_THROUGH_DIRECT;
pub type PSCSI_PASS_THROUGH_DIRECT = *mut _SCSI_PASS_THROUGH_DIRECT;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _SCSI_ADDRESS {
    pub Length: ULONG,
    pub PortNumber: UCHAR,
    pub PathId: UCHAR,
    pub TargetId: UCHAR,
    pub Lun: UCHAR,
}
zeroed!(_SCSI_ADDRESS);
pub type SCSI_ADDRESS = _SCSI_ADDRESS;
pub type PSCSI_ADDRESS = *mut _SCSI_ADDRESS;

/// The readings of a command descriptor block that a storage filter needs.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union _CDB {
    pub CDB10: _CDB__CDB10,
    pub CDB12: _CDB__CDB12,
    pub CDB16: _CDB__CDB16,
    pub AsUlong: [ULONG; 4],
    pub AsByte: [UCHAR; 16],
}
zeroed!(_CDB);
pub type CDB = _CDB;
pub type PCDB = *mut _CDB;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed)]
pub struct _CDB__CDB10 {
    pub OperationCode: UCHAR,
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub LogicalBlockByte0: UCHAR,
    pub LogicalBlockByte1: UCHAR,
    pub LogicalBlockByte2: UCHAR,
    pub LogicalBlockByte3: UCHAR,
    pub Reserved2: UCHAR,
    pub TransferBlocksMsb: UCHAR,
    pub TransferBlocksLsb: UCHAR,
    pub Control: UCHAR,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed)]
pub struct _CDB__CDB12 {
    pub OperationCode: UCHAR,
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub LogicalBlock: [UCHAR; 4],
    pub TransferLength: [UCHAR; 4],
    pub Reserved2: UCHAR,
    pub Control: UCHAR,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed)]
pub struct _CDB__CDB16 {
    pub OperationCode: UCHAR,
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
    pub LogicalBlock: [UCHAR; 8],
    pub TransferLength: [UCHAR; 4],
    pub Reserved2: UCHAR,
    pub Control: UCHAR,
}
