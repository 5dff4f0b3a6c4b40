/*
 * FxDriverEntry: the image's entry point.
 *
 * It binds the image to KMDF 1.15, calls the driver's DriverEntry, and unbinds when that fails or when
 * the driver is unloaded. In a build with the WDK, WdfDriverEntry.lib does this.
 */
#include <ntddk.h>
#include <wdf.h>

#define KMDF_MAJOR 1
#define KMDF_MINOR 15
#define KMDF_BUILD 0

/* Services have short names; what does not fit is cut, as the WDK's entry point does. */
#define PATH_CHARACTERS 260

typedef struct _WDF_VERSION {
    ULONG Major;
    ULONG Minor;
    ULONG Build;
} WDF_VERSION;

/* What WDFLDR.SYS wants to know of a driver (Windows-Driver-Frameworks, fxldr.h). */
typedef struct _WDF_BIND_INFO {
    ULONG Size;
    PWCHAR Component;
    WDF_VERSION Version;
    ULONG FuncCount;
    WDFFUNC *FuncTable;
    PVOID Module;
} WDF_BIND_INFO, *PWDF_BIND_INFO;

_Static_assert(sizeof(WDF_BIND_INFO) == 48, "WDF_BIND_INFO");
_Static_assert(FIELD_OFFSET(WDF_BIND_INFO, FuncTable) == 32, "FuncTable");

__declspec(dllimport) NTSTATUS WdfVersionBind(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath,
    PWDF_BIND_INFO BindInfo, PWDF_DRIVER_GLOBALS *ComponentGlobals);
__declspec(dllimport) NTSTATUS WdfVersionUnbind(PUNICODE_STRING RegistryPath, PWDF_BIND_INFO BindInfo,
    PWDF_DRIVER_GLOBALS ComponentGlobals);

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* The loader fills these two; every framework function of the driver goes through them. */
const WDFFUNC *WdfFunctions;
PWDF_DRIVER_GLOBALS WdfDriverGlobals;

static WDF_BIND_INFO BindInfo = {
    sizeof(WDF_BIND_INFO),
    L"KmdfLibrary",
    { KMDF_MAJOR, KMDF_MINOR, KMDF_BUILD },
    WdfFunctionTableNumEntries,
    (WDFFUNC *)&WdfFunctions,
    NULL,
};

/* Unbinding names the service too, and the caller's string is gone by then. */
static WCHAR PathBuffer[PATH_CHARACTERS];
static UNICODE_STRING Path = { 0, sizeof(PathBuffer), PathBuffer };

/* The unload routine that the framework installed, or none. */
static PDRIVER_UNLOAD Unload;

static void KeepPath(const UNICODE_STRING *RegistryPath)
{
    USHORT length = RegistryPath->Length;
    USHORT at;

    if (length > sizeof(PathBuffer)) {
        length = sizeof(PathBuffer);
    }
    for (at = 0; at < length / sizeof(WCHAR); at++) {
        PathBuffer[at] = RegistryPath->Buffer[at];
    }
    Path.Length = at * sizeof(WCHAR);
}

static VOID UnloadAndUnbind(PDRIVER_OBJECT DriverObject)
{
    if (Unload != NULL) {
        Unload(DriverObject);
    }
    WdfVersionUnbind(&Path, &BindInfo, WdfDriverGlobals);
}

NTSTATUS FxDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    KeepPath(RegistryPath);
    status = WdfVersionBind(DriverObject, &Path, &BindInfo, &WdfDriverGlobals);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = DriverEntry(DriverObject, RegistryPath);
    if (!NT_SUCCESS(status)) {
        WdfVersionUnbind(&Path, &BindInfo, WdfDriverGlobals);
        return status;
    }
    /* A driver that may not be unloaded has no unload routine, and must not get one from here. */
    if (WdfDriverGlobals->DisplaceDriverUnload && DriverObject->DriverUnload != NULL) {
        Unload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = UnloadAndUnbind;
    }
    return status;
}
