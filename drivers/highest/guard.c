/*
 * The only frames of this driver that an exception may pass through.
 *
 * MmProbeAndLockPages says "no" by raising. Rust has no __try, and an exception that unwinds through a Rust frame
 * is undefined behaviour, so the call stands in a C frame of its own, which catches: between the raise and the
 * handler there is no Rust.
 *
 * No headers: the prototypes are those of wdm.h, and so this file needs nothing but a compiler that knows __try
 * (Microsoft's, or clang for *-pc-windows-msvc).
 */

typedef long NTSTATUS;

#define EXCEPTION_EXECUTE_HANDLER 1
#define STATUS_SUCCESS ((NTSTATUS)0)

__declspec(dllimport) void MmProbeAndLockPages(void *mdl, char access_mode, int operation);

/* ULONG_PTR; the first address that no user may name. A variable, which is why C reads it. */
__declspec(dllimport) extern unsigned long long MmUserProbeAddress;

/* GetExceptionCode is an intrinsic of the compiler; it may stand in a handler only. */
unsigned long _exception_code(void);

/*
 * Locks what `mdl` describes. STATUS_SUCCESS, or the code of the exception: STATUS_ACCESS_VIOLATION for a range that
 * the access mode may not use in this way, STATUS_WORKING_SET_QUOTA or STATUS_INSUFFICIENT_RESOURCES for too much of
 * it. After anything but success no page is locked.
 */
NTSTATUS xfersplit_guarded_probe_and_lock(void *mdl, char access_mode, int operation)
{
    __try {
        MmProbeAndLockPages(mdl, access_mode, operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)_exception_code();
    }
    return STATUS_SUCCESS;
}

unsigned long long xfersplit_user_probe_address(void)
{
    return MmUserProbeAddress;
}
