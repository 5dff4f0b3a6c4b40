//! Synchronous questions to the device below. PASSIVE_LEVEL.

use core::{mem, ptr};

use wdk_sys::{
    _STORAGE_QUERY_TYPE, _WDF_MEMORY_DESCRIPTOR_TYPE, _WDF_REQUEST_SEND_OPTIONS_FLAGS, NTSTATUS,
    SCSI_PASS_THROUGH, STATUS_BUFFER_OVERFLOW, STATUS_IO_DEVICE_ERROR, STORAGE_PROPERTY_QUERY,
    ULONG, ULONG_PTR, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFDEVICE, WDFIOTARGET,
    call_unsafe_wdf_function_binding,
};

use super::size;
use crate::succeeded;

/// `CTL_CODE(IOCTL_STORAGE_BASE, 0x500, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
pub const IOCTL_STORAGE_QUERY_PROPERTY: ULONG = 0x002D_1400;

/// `CTL_CODE(IOCTL_SCSI_BASE, 0x401, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS)`.
const IOCTL_SCSI_PASS_THROUGH: ULONG = 0x0004_D004;

/// `SCSI_IOCTL_DATA_IN`.
const DATA_IN: u8 = 1;

/// Seconds a command may take: start must not hang on a device that hangs.
const COMMAND_SECONDS: u32 = 2;

/// What the framework waits for an answer, in its negative, relative 100-nanosecond units: twice the
/// port's own time, so that the port's answer comes first.
const ANSWER_TIMEOUT: i64 = -(2 * COMMAND_SECONDS as i64 * 10_000_000);

/// The device below, as the framework's I/O target.
pub struct Target(WDFIOTARGET);

/// A command, its sense data and its data in one buffer, as IOCTL_SCSI_PASS_THROUGH has it.
#[repr(C)]
struct Command<const BYTES: usize> {
    header: SCSI_PASS_THROUGH,
    sense: [u8; 32],
    data: [u8; BYTES],
}

impl Target {
    /// # Safety
    /// `device` is a live framework device.
    pub unsafe fn of(device: WDFDEVICE) -> Self {
        // SAFETY: the device is live: this is its EvtDevicePrepareHardware.
        Self(unsafe { call_unsafe_wdf_function_binding!(WdfDeviceGetIoTarget, device) })
    }

    /// Sends a device control and waits for it; the number of bytes in `output` on success.
    ///
    /// # Errors
    /// The status of the device below; `STATUS_IO_TIMEOUT` after four seconds.
    ///
    /// # Safety
    /// `I` has no padding, and any bytes are a value of `O`.
    pub unsafe fn control<I, O>(
        &self,
        code: ULONG,
        input: &mut I,
        output: &mut O,
    ) -> Result<usize, NTSTATUS> {
        let mut sent = memory(ptr::from_mut(input).cast(), size_of::<I>());
        let mut received = memory(ptr::from_mut(output).cast(), size_of::<O>());
        self.send(code, &mut sent, &mut received)
    }

    /// A property of the device, as much of it as `T` has room for, and how many bytes are valid.
    ///
    /// # Errors
    /// As for [`Self::control`].
    ///
    /// # Safety
    /// Any bytes are a value of `T`.
    pub unsafe fn property<T: Default>(&self, id: i32) -> Result<(T, usize), NTSTATUS> {
        let mut query = STORAGE_PROPERTY_QUERY {
            PropertyId: id,
            QueryType: _STORAGE_QUERY_TYPE::PropertyStandardQuery,
            ..Default::default()
        };
        let mut answer = T::default();
        // SAFETY: the query's padding lies behind all that is read of it, and is zero; the caller's
        // contract for the answer.
        let valid = unsafe { self.control(IOCTL_STORAGE_QUERY_PROPERTY, &mut query, &mut answer) }?;
        Ok((answer, valid.min(size_of::<T>())))
    }

    /// Sends a command that reads up to `BYTES` bytes, and waits for it; the bytes and how many are
    /// valid.
    ///
    /// # Errors
    /// As for [`Self::control`]; `STATUS_IO_DEVICE_ERROR` if the device did not carry it out.
    pub fn command<const BYTES: usize>(
        &self,
        cdb: &[u8],
    ) -> Result<([u8; BYTES], usize), NTSTATUS> {
        let mut command = Command::<BYTES> {
            header: SCSI_PASS_THROUGH {
                Length: size_of::<SCSI_PASS_THROUGH>() as u16,
                CdbLength: cdb.len() as u8,
                SenseInfoLength: 32,
                DataIn: DATA_IN,
                DataTransferLength: BYTES as u32,
                TimeOutValue: COMMAND_SECONDS,
                DataBufferOffset: mem::offset_of!(Command<BYTES>, data) as ULONG_PTR,
                SenseInfoOffset: mem::offset_of!(Command<BYTES>, sense) as u32,
                ..Default::default()
            },
            sense: [0; 32],
            data: [0; BYTES],
        };
        for (to, from) in command.header.Cdb.iter_mut().zip(cdb) {
            *to = *from;
        }
        let buffer = ptr::from_mut(&mut command).cast();
        let mut sent = memory(buffer, size_of::<Command<BYTES>>());
        let mut received = sent;
        self.send(IOCTL_SCSI_PASS_THROUGH, &mut sent, &mut received)?;
        if command.header.ScsiStatus != 0 {
            return Err(STATUS_IO_DEVICE_ERROR);
        }
        let valid = (command.header.DataTransferLength as usize).min(BYTES);
        Ok((command.data, valid))
    }

    fn send(
        &self,
        code: ULONG,
        input: &mut WDF_MEMORY_DESCRIPTOR,
        output: &mut WDF_MEMORY_DESCRIPTOR,
    ) -> Result<usize, NTSTATUS> {
        let mut options = WDF_REQUEST_SEND_OPTIONS {
            Size: size::<WDF_REQUEST_SEND_OPTIONS>(),
            Flags: _WDF_REQUEST_SEND_OPTIONS_FLAGS::WDF_REQUEST_SEND_OPTION_TIMEOUT as u32,
            Timeout: ANSWER_TIMEOUT,
        };
        let mut returned: ULONG_PTR = 0;
        // SAFETY: PASSIVE_LEVEL; the descriptors name buffers that outlive this synchronous call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoTargetSendIoctlSynchronously,
                self.0,
                ptr::null_mut(),
                code,
                input,
                output,
                &raw mut options,
                &raw mut returned
            )
        };
        // With a warning that there would be more, the bytes that there are have been answered.
        if succeeded(status) || status == STATUS_BUFFER_OVERFLOW {
            Ok(returned as usize)
        } else {
            Err(status)
        }
    }
}

/// `WDF_MEMORY_DESCRIPTOR_INIT_BUFFER`.
fn memory(buffer: *mut u8, length: usize) -> WDF_MEMORY_DESCRIPTOR {
    let mut descriptor = WDF_MEMORY_DESCRIPTOR {
        Type: _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeBuffer,
        ..Default::default()
    };
    descriptor.u.BufferType.Buffer = buffer.cast();
    descriptor.u.BufferType.Length = length as ULONG;
    descriptor
}
