/*
 * The functions' numbers in the framework's table, by number.
 *
 * The table of KMDF 1.15 has exactly 444 functions, and the framework refuses a driver that says otherwise
 * (fxlibrarycommon.cpp): the last member stays what it is, however few are named here.
 */
#ifndef XFERSPLIT_WDFFUNCENUM_H
#define XFERSPLIT_WDFFUNCENUM_H

typedef enum _WDFFUNCENUM {
    WdfDeviceWdmGetAttachedDeviceTableIndex = 32,
    WdfDeviceWdmGetPhysicalDeviceTableIndex = 33,
    WdfDeviceWdmDispatchPreprocessedIrpTableIndex = 34,
    WdfDeviceGetDriverTableIndex = 39,
    WdfDeviceGetIoTargetTableIndex = 42,
    WdfDeviceOpenRegistryKeyTableIndex = 48,
    WdfDeviceSetAlignmentRequirementTableIndex = 53,
    WdfDeviceInitSetPnpPowerEventCallbacksTableIndex = 55,
    WdfDeviceInitSetIoTypeTableIndex = 61,
    WdfDeviceInitAssignWdmIrpPreprocessCallbackTableIndex = 73,
    WdfDeviceCreateTableIndex = 75,
    WdfDriverCreateTableIndex = 116,
    WdfDriverOpenParametersRegistryKeyTableIndex = 119,
    WdfFdoInitSetFilterTableIndex = 129,
    WdfIoTargetSendIoctlSynchronouslyTableIndex = 186,
    WdfObjectGetTypedContextWorkerTableIndex = 202,
    WdfRegistryOpenKeyTableIndex = 229,
    WdfRegistryCreateKeyTableIndex = 230,
    WdfRegistryCloseTableIndex = 231,
    WdfRegistryRemoveKeyTableIndex = 233,
    WdfRegistryQueryValueTableIndex = 235,
    WdfRegistryAssignValueTableIndex = 241,
    WdfRegistryAssignULongTableIndex = 246,
    WdfSpinLockCreateTableIndex = 315,
    WdfSpinLockAcquireTableIndex = 316,
    WdfSpinLockReleaseTableIndex = 317,
    WdfTimerCreateTableIndex = 318,
    WdfTimerStartTableIndex = 319,
    WdfTimerStopTableIndex = 320,
    WdfDeviceInitSetRemoveLockOptionsTableIndex = 403,
    WdfDeviceQueryPropertyExTableIndex = 433,
    WdfFunctionTableNumEntries = 444,
} WDFFUNCENUM;

#endif
