/* Handles, and the globals that every framework function takes first. */
#ifndef XFERSPLIT_WDFTYPES_H
#define XFERSPLIT_WDFTYPES_H

/* The one handle that stands for all others. */
typedef HANDLE WDFOBJECT, *PWDFOBJECT;

DECLARE_HANDLE(WDFDRIVER);
DECLARE_HANDLE(WDFDEVICE);
DECLARE_HANDLE(WDFREQUEST);
DECLARE_HANDLE(WDFIOTARGET);
DECLARE_HANDLE(WDFMEMORY);
DECLARE_HANDLE(WDFKEY);
DECLARE_HANDLE(WDFCMRESLIST);
DECLARE_HANDLE(WDFSPINLOCK);
DECLARE_HANDLE(WDFTIMER);

typedef struct WDFDEVICE_INIT *PWDFDEVICE_INIT;

#define WDF_DRIVER_GLOBALS_NAME_LEN (32)

typedef struct _WDF_DRIVER_GLOBALS {
    WDFDRIVER Driver;
    ULONG DriverFlags;
    ULONG DriverTag;
    CHAR DriverName[WDF_DRIVER_GLOBALS_NAME_LEN];
    /* TRUE: the entry point puts itself in front of the driver's unload routine. */
    BOOLEAN DisplaceDriverUnload;
} WDF_DRIVER_GLOBALS, *PWDF_DRIVER_GLOBALS;

extern PWDF_DRIVER_GLOBALS WdfDriverGlobals;

#endif
