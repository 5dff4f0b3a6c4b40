//! Which Windows this is: build 19045, the last Windows 10.

use crate::abi::{
    BOOLEAN, NTSTATUS, PCWSTR, PRTL_OSVERSIONINFOW, PULONG, PUNICODE_STRING, STATUS_SUCCESS, ULONG,
    USHORT,
};
use crate::export::exports;

const MAJOR: ULONG = 10;
const MINOR: ULONG = 0;
const BUILD: ULONG = 19045;
/// `VER_PLATFORM_WIN32_NT`.
const PLATFORM: ULONG = 2;

exports! { run;
    /// The version; true on checked builds, which this is not.
    fn PsGetVersion(MajorVersion: PULONG, MinorVersion: PULONG, BuildNumber: PULONG, CSDVersion: PUNICODE_STRING) -> BOOLEAN {
        for (place, value) in [(MajorVersion, MAJOR), (MinorVersion, MINOR), (BuildNumber, BUILD)] {
            if !place.is_null() {
                // SAFETY: the caller's memory.
                unsafe { place.write(value) };
            }
        }
        if !CSDVersion.is_null() {
            // SAFETY: the caller's string; there is no service pack.
            unsafe { (*CSDVersion).Length = 0 };
        }
        0
    }

    /// The version.
    fn RtlGetVersion(lpVersionInformation: PRTL_OSVERSIONINFOW) -> NTSTATUS {
        // SAFETY: the caller's structure.
        unsafe {
            (*lpVersionInformation).dwMajorVersion = MAJOR;
            (*lpVersionInformation).dwMinorVersion = MINOR;
            (*lpVersionInformation).dwBuildNumber = BUILD;
            (*lpVersionInformation).dwPlatformId = PLATFORM;
            (*lpVersionInformation).szCSDVersion = [0; 128];
        }
        STATUS_SUCCESS
    }

    /// Makes a counted string of a terminated one; null makes an empty one.
    fn RtlInitUnicodeString(DestinationString: PUNICODE_STRING, SourceString: PCWSTR) {
        let mut units: usize = 0;
        if !SourceString.is_null() {
            // SAFETY: the caller's string ends with a zero.
            while unsafe { SourceString.add(units).read() } != 0 {
                units += 1;
            }
        }
        let bytes = (units * 2).min(usize::from(USHORT::MAX) - 3) as USHORT;
        // SAFETY: the caller's structure.
        unsafe {
            (*DestinationString).Length = bytes;
            (*DestinationString).MaximumLength = if SourceString.is_null() { 0 } else { bytes + 2 };
            (*DestinationString).Buffer = SourceString.cast_mut();
        }
    }
}
