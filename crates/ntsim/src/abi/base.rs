//! Integers, strings, handles: what every other header starts from.

use core::ffi::{c_char, c_int, c_uchar, c_uint, c_ushort, c_void};

pub type VOID = c_void;
pub type PVOID = *mut c_void;
pub type LPVOID = *mut c_void;
pub type CHAR = c_char;
pub type CCHAR = c_char;
pub type UCHAR = c_uchar;
pub type BYTE = c_uchar;
pub type BOOLEAN = UCHAR;
pub type SHORT = i16;
pub type CSHORT = i16;
pub type USHORT = c_ushort;
pub type WORD = c_ushort;
pub type WCHAR = u16;
// `c_long` is 32 bits wide on Windows only.
pub type LONG = i32;
pub type ULONG = u32;
pub type DWORD = u32;
pub type INT = c_int;
pub type UINT = c_uint;
pub type LONGLONG = i64;
pub type ULONGLONG = u64;
pub type LONG64 = i64;
pub type ULONG64 = u64;
pub type LONG_PTR = i64;
pub type ULONG_PTR = u64;
pub type SIZE_T = ULONG_PTR;
pub type NTSTATUS = LONG;
pub type KIRQL = UCHAR;
pub type KPRIORITY = LONG;
pub type KAFFINITY = ULONG_PTR;
pub type KPROCESSOR_MODE = CCHAR;
pub type KSPIN_LOCK = ULONG_PTR;
pub type PFN_NUMBER = ULONG_PTR;
pub type ACCESS_MASK = ULONG;
pub type LCID = ULONG;
pub type DEVICE_TYPE = ULONG;
pub type HANDLE = *mut c_void;
pub type PCHAR = *mut CHAR;
pub type PCCH = *const CHAR;
pub type PSTR = *mut CHAR;
pub type PCSTR = *const CHAR;
pub type LPCSTR = *const CHAR;
pub type PUCHAR = *mut UCHAR;
pub type PBOOLEAN = *mut BOOLEAN;
pub type PUSHORT = *mut USHORT;
pub type PWCH = *mut WCHAR;
pub type PWSTR = *mut WCHAR;
pub type PCWSTR = *const WCHAR;
pub type PLONG = *mut LONG;
pub type PULONG = *mut ULONG;
pub type PLONGLONG = *mut LONGLONG;
pub type PULONG_PTR = *mut ULONG_PTR;
pub type PHANDLE = *mut HANDLE;
pub type PKIRQL = *mut KIRQL;
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;
pub type PPFN_NUMBER = *mut PFN_NUMBER;
pub type PNTSTATUS = *mut NTSTATUS;
pub type va_list = *mut c_char;

pub type PSECURITY_DESCRIPTOR = PVOID;
pub type SECURITY_INFORMATION = ULONG;
pub type PSID = PVOID;

#[derive(Clone, Copy)]
#[repr(C)]
pub union _LARGE_INTEGER {
    pub __bindgen_anon_1: _LARGE_INTEGER__bindgen_ty_1,
    pub u: _LARGE_INTEGER__bindgen_ty_2,
    pub QuadPart: LONGLONG,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _LARGE_INTEGER__bindgen_ty_1 {
    pub LowPart: ULONG,
    pub HighPart: LONG,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _LARGE_INTEGER__bindgen_ty_2 {
    pub LowPart: ULONG,
    pub HighPart: LONG,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union _ULARGE_INTEGER {
    pub __bindgen_anon_1: _ULARGE_INTEGER__bindgen_ty_1,
    pub u: _ULARGE_INTEGER__bindgen_ty_2,
    pub QuadPart: ULONGLONG,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _ULARGE_INTEGER__bindgen_ty_1 {
    pub LowPart: ULONG,
    pub HighPart: ULONG,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _ULARGE_INTEGER__bindgen_ty_2 {
    pub LowPart: ULONG,
    pub HighPart: ULONG,
}
zeroed!(_LARGE_INTEGER, _ULARGE_INTEGER);

pub type LARGE_INTEGER = _LARGE_INTEGER;
pub type PLARGE_INTEGER = *mut _LARGE_INTEGER;
pub type ULARGE_INTEGER = _ULARGE_INTEGER;
pub type PULARGE_INTEGER = *mut _ULARGE_INTEGER;
pub type PHYSICAL_ADDRESS = LARGE_INTEGER;
pub type PPHYSICAL_ADDRESS = *mut LARGE_INTEGER;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _UNICODE_STRING {
    pub Length: USHORT,
    pub MaximumLength: USHORT,
    pub Buffer: PWCH,
}
zeroed!(_UNICODE_STRING);
pub type UNICODE_STRING = _UNICODE_STRING;
pub type PUNICODE_STRING = *mut _UNICODE_STRING;
pub type PCUNICODE_STRING = *const UNICODE_STRING;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct _GUID {
    pub Data1: ULONG,
    pub Data2: USHORT,
    pub Data3: USHORT,
    pub Data4: [UCHAR; 8],
}
pub type GUID = _GUID;
pub type LPGUID = *mut GUID;
pub type LPCGUID = *const GUID;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _OBJECT_ATTRIBUTES {
    pub Length: ULONG,
    pub RootDirectory: HANDLE,
    pub ObjectName: PUNICODE_STRING,
    pub Attributes: ULONG,
    pub SecurityDescriptor: PVOID,
    pub SecurityQualityOfService: PVOID,
}
zeroed!(_OBJECT_ATTRIBUTES);
pub type OBJECT_ATTRIBUTES = _OBJECT_ATTRIBUTES;
pub type POBJECT_ATTRIBUTES = *mut OBJECT_ATTRIBUTES;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _OSVERSIONINFOW {
    pub dwOSVersionInfoSize: ULONG,
    pub dwMajorVersion: ULONG,
    pub dwMinorVersion: ULONG,
    pub dwBuildNumber: ULONG,
    pub dwPlatformId: ULONG,
    pub szCSDVersion: [WCHAR; 128],
}
zeroed!(_OSVERSIONINFOW);
pub type RTL_OSVERSIONINFOW = _OSVERSIONINFOW;
pub type PRTL_OSVERSIONINFOW = *mut _OSVERSIONINFOW;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _PROCESSOR_NUMBER {
    pub Group: USHORT,
    pub Number: UCHAR,
    pub Reserved: UCHAR,
}
pub type PROCESSOR_NUMBER = _PROCESSOR_NUMBER;
pub type PPROCESSOR_NUMBER = *mut _PROCESSOR_NUMBER;

opaque!(
    _EPROCESS,
    _KPROCESS,
    _KTHREAD,
    _KAPC_STATE,
    _IORING_OBJECT,
    _FILE_GET_QUOTA_INFORMATION,
    _NAMED_PIPE_CREATE_PARAMETERS,
    _MAILSLOT_CREATE_PARAMETERS,
    _IO_SECURITY_CONTEXT,
    _IO_RESOURCE_REQUIREMENTS_LIST,
    _POWER_SEQUENCE,
    _FAST_IO_DISPATCH,
    _IO_TIMER,
);
pub type PEPROCESS = *mut _KPROCESS;
pub type PRKPROCESS = *mut _KPROCESS;
pub type PETHREAD = *mut _KTHREAD;
pub type PKTHREAD = *mut _KTHREAD;
pub type PRKAPC_STATE = *mut _KAPC_STATE;
pub type PFILE_GET_QUOTA_INFORMATION = *mut _FILE_GET_QUOTA_INFORMATION;
pub type PNAMED_PIPE_CREATE_PARAMETERS = *mut _NAMED_PIPE_CREATE_PARAMETERS;
pub type PMAILSLOT_CREATE_PARAMETERS = *mut _MAILSLOT_CREATE_PARAMETERS;
pub type PIO_SECURITY_CONTEXT = *mut _IO_SECURITY_CONTEXT;
pub type PIO_RESOURCE_REQUIREMENTS_LIST = *mut _IO_RESOURCE_REQUIREMENTS_LIST;
pub type PPOWER_SEQUENCE = *mut _POWER_SEQUENCE;
pub type PFAST_IO_DISPATCH = *mut _FAST_IO_DISPATCH;
pub type PIO_TIMER = *mut _IO_TIMER;

/// Whether a status is success or information: what `NT_SUCCESS` is in `ntdef.h`.
pub const fn NT_SUCCESS(nt_status: NTSTATUS) -> bool {
    nt_status >= 0
}

/// Severity "information" (`0x4…`).
pub const fn NT_INFORMATION(nt_status: NTSTATUS) -> bool {
    (nt_status.cast_unsigned() >> 30) == 1
}

/// Severity "warning" (`0x8…`).
pub const fn NT_WARNING(nt_status: NTSTATUS) -> bool {
    (nt_status.cast_unsigned() >> 30) == 2
}

/// Severity "error" (`0xC…`).
pub const fn NT_ERROR(nt_status: NTSTATUS) -> bool {
    (nt_status.cast_unsigned() >> 30) == 3
}
