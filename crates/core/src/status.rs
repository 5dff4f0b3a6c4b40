//! The NTSTATUS values that the driver gives and meets (ntstatus.h).
//!
//! Plain `i32`, as `NTSTATUS` is in the bindings, so that they compare without conversion.

/// A status of the NT kernel.
pub type NtStatus = i32;

/// Makes an [`NtStatus`] of the unsigned form in which ntstatus.h writes it.
const fn nt(value: u32) -> NtStatus {
    value.cast_signed()
}

/// Whether the status is one of success or information (`NT_SUCCESS`).
pub const fn is_success(status: NtStatus) -> bool {
    status >= 0
}

/// `STATUS_SUCCESS`
pub const SUCCESS: NtStatus = nt(0);
/// `STATUS_PENDING`
pub const PENDING: NtStatus = nt(0x0000_0103);
/// `STATUS_BUFFER_OVERFLOW`
pub const BUFFER_OVERFLOW: NtStatus = nt(0x8000_0005);
/// `STATUS_DEVICE_BUSY`
pub const DEVICE_BUSY: NtStatus = nt(0x8000_0011);
/// `STATUS_VERIFY_REQUIRED`
pub const VERIFY_REQUIRED: NtStatus = nt(0x8000_0016);
/// `STATUS_NO_DATA_DETECTED`
pub const NO_DATA_DETECTED: NtStatus = nt(0x8000_0022);
/// `STATUS_UNSUCCESSFUL`
pub const UNSUCCESSFUL: NtStatus = nt(0xC000_0001);
/// `STATUS_INVALID_PARAMETER`
pub const INVALID_PARAMETER: NtStatus = nt(0xC000_000D);
/// `STATUS_NO_SUCH_DEVICE`
pub const NO_SUCH_DEVICE: NtStatus = nt(0xC000_000E);
/// `STATUS_INVALID_DEVICE_REQUEST`
pub const INVALID_DEVICE_REQUEST: NtStatus = nt(0xC000_0010);
/// `STATUS_UNRECOGNIZED_MEDIA`
pub const UNRECOGNIZED_MEDIA: NtStatus = nt(0xC000_0014);
/// `STATUS_NONEXISTENT_SECTOR`
pub const NONEXISTENT_SECTOR: NtStatus = nt(0xC000_0015);
/// `STATUS_ACCESS_DENIED`
pub const ACCESS_DENIED: NtStatus = nt(0xC000_0022);
/// `STATUS_DATA_OVERRUN`
pub const DATA_OVERRUN: NtStatus = nt(0xC000_003C);
/// `STATUS_DELETE_PENDING`
pub const DELETE_PENDING: NtStatus = nt(0xC000_0056);
/// `STATUS_INSUFFICIENT_RESOURCES`
pub const INSUFFICIENT_RESOURCES: NtStatus = nt(0xC000_009A);
/// `STATUS_DEVICE_DATA_ERROR`
pub const DEVICE_DATA_ERROR: NtStatus = nt(0xC000_009C);
/// `STATUS_DEVICE_NOT_CONNECTED`
pub const DEVICE_NOT_CONNECTED: NtStatus = nt(0xC000_009D);
/// `STATUS_MEDIA_WRITE_PROTECTED`
pub const MEDIA_WRITE_PROTECTED: NtStatus = nt(0xC000_00A2);
/// `STATUS_DEVICE_NOT_READY`
pub const DEVICE_NOT_READY: NtStatus = nt(0xC000_00A3);
/// `STATUS_IO_TIMEOUT`
pub const IO_TIMEOUT: NtStatus = nt(0xC000_00B5);
/// `STATUS_CANCELLED`
pub const CANCELLED: NtStatus = nt(0xC000_0120);
/// `STATUS_INVALID_BLOCK_LENGTH`
pub const INVALID_BLOCK_LENGTH: NtStatus = nt(0xC000_0173);
/// `STATUS_NO_MEDIA_IN_DEVICE`
pub const NO_MEDIA_IN_DEVICE: NtStatus = nt(0xC000_0013);
/// `STATUS_IO_DEVICE_ERROR`
pub const IO_DEVICE_ERROR: NtStatus = nt(0xC000_0185);
/// `STATUS_RETRY`
pub const RETRY: NtStatus = nt(0xC000_022D);
/// `STATUS_DEVICE_REMOVED`
pub const DEVICE_REMOVED: NtStatus = nt(0xC000_02B6);
/// `STATUS_DEVICE_HARDWARE_ERROR`
pub const DEVICE_HARDWARE_ERROR: NtStatus = nt(0xC000_0483);
/// `STATUS_DISK_RESOURCES_EXHAUSTED`
pub const DISK_RESOURCES_EXHAUSTED: NtStatus = nt(0xC000_0461);
