//! The default I/O target: synchronous requests to the device below
//! (`fxiotargetapi.cpp`, `fxiotargetkm.cpp`).

use core::ffi::c_void;
use core::ptr;

use super::context::ContextMemory;
use super::event::Event;
use super::violation::{Violation, not_null, require_irql, require_size, violation};
use super::{driver, frame, irp, object};
use crate::abi::{
    _WDF_MEMORY_DESCRIPTOR_TYPE, DEVICE_OBJECT, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, NTSTATUS, PDEVICE_OBJECT, PIRP, PMDL, PULONG_PTR,
    PWDF_MEMORY_DESCRIPTOR, PWDF_REQUEST_SEND_OPTIONS, STATUS_CANCELLED,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_IO_TIMEOUT,
    STATUS_MORE_PROCESSING_REQUIRED, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFIOTARGET,
    WDFREQUEST,
};
use crate::machine::{Owner, Shared};
use crate::{io, ntddk};

const TIMEOUT_FLAG: u32 = 1;

/// The state of a `WDFIOTARGET`.
pub(crate) struct Target {
    device: Shared<DEVICE_OBJECT>,
}

impl Target {
    pub(crate) fn new(device: PDEVICE_OBJECT) -> Self {
        Self {
            device: Shared(device),
        }
    }
}

/// A buffer that a memory descriptor names.
#[derive(Clone, Copy)]
struct Piece {
    buffer: *mut c_void,
    length: u32,
    mdl: PMDL,
}

impl Piece {
    const NONE: Self = Self {
        buffer: ptr::null_mut(),
        length: 0,
        mdl: ptr::null_mut(),
    };

    /// # Safety
    ///
    /// `descriptor` is NULL or points to an initialised descriptor of memory that outlives the
    /// request.
    unsafe fn read(function: &str, descriptor: PWDF_MEMORY_DESCRIPTOR) -> Result<Self, NTSTATUS> {
        if descriptor.is_null() {
            return Ok(Self::NONE);
        }
        // SAFETY: not NULL, so the caller vouches for it; the type says which variant is filled.
        unsafe {
            let descriptor: *const WDF_MEMORY_DESCRIPTOR = descriptor;
            match (*descriptor).Type {
                _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeBuffer => {
                    let plain = (*descriptor).u.BufferType;
                    Ok(Self {
                        buffer: plain.Buffer,
                        length: plain.Length,
                        mdl: ptr::null_mut(),
                    })
                }
                _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeMdl => {
                    let mdl = (*descriptor).u.MdlType;
                    not_null(function, "Mdl", mdl.Mdl);
                    Ok(Self {
                        buffer: mapped(mdl.Mdl),
                        length: mdl.BufferLength,
                        mdl: mdl.Mdl,
                    })
                }
                _WDF_MEMORY_DESCRIPTOR_TYPE::WdfMemoryDescriptorTypeHandle => {
                    Self::of_handle(function, &(*descriptor).u.HandleType)
                }
                _ => Err(STATUS_INVALID_PARAMETER),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Piece::read`].
    unsafe fn of_handle(
        function: &str,
        named: &crate::abi::_WDF_MEMORY_DESCRIPTOR__bindgen_ty_1__bindgen_ty_3,
    ) -> Result<Self, NTSTATUS> {
        let object = object::any(function, named.Memory);
        let (buffer, size) = object.memory(function).buffer();
        let (offset, length) = if named.Offsets.is_null() {
            (0, size)
        } else {
            // SAFETY: not NULL, so the caller vouches for it.
            let offsets = unsafe { *named.Offsets };
            let length = match offsets.BufferLength {
                0 => size.saturating_sub(offsets.BufferOffset),
                length => length,
            };
            (offsets.BufferOffset, length)
        };
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok(Self {
            buffer: buffer.wrapping_byte_add(offset),
            length: length as u32,
            mdl: ptr::null_mut(),
        })
    }
}

/// `MmGetSystemAddressForMdlSafe`
unsafe fn mapped(mdl: PMDL) -> *mut c_void {
    // SAFETY: the caller hands in an MDL that is locked or of nonpaged pool.
    unsafe {
        let known = crate::abi::MDL_MAPPED_TO_SYSTEM_VA | crate::abi::MDL_SOURCE_IS_NONPAGED_POOL;
        if u32::from((*mdl).MdlFlags.cast_unsigned()) & known != 0 {
            (*mdl).MappedSystemVa
        } else {
            ntddk::MmMapLockedPagesSpecifyCache(mdl, 0, 1, ptr::null_mut(), 0, 16)
        }
    }
}

/// A request on its way: what has to be undone when it is back.
struct Request {
    irp: PIRP,
    system_buffer: Option<ContextMemory>,
    own_mdl: PMDL,
}

impl Request {
    fn new(device: PDEVICE_OBJECT) -> Result<Self, NTSTATUS> {
        // SAFETY: the device below outlives the target.
        let irp = unsafe { io::allocate_irp(Owner::Framework, (*device).StackSize) };
        if irp.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        Ok(Self {
            irp,
            system_buffer: None,
            own_mdl: ptr::null_mut(),
        })
    }

    /// `FormatIoctlRequest`: the buffers go where the method of the control code says.
    unsafe fn format(
        &mut self,
        code: u32,
        internal: bool,
        input: Piece,
        output: Piece,
    ) -> Result<(), NTSTATUS> {
        // SAFETY: the request is fresh and has a location for the device below.
        unsafe {
            let location = irp::next(self.irp);
            (*location).MajorFunction = if internal {
                IRP_MJ_INTERNAL_DEVICE_CONTROL as u8
            } else {
                IRP_MJ_DEVICE_CONTROL as u8
            };
            let control = &raw mut (*location).Parameters.DeviceIoControl;
            (*control).IoControlCode = code;
            (*control).InputBufferLength = input.length;
            (*control).OutputBufferLength = output.length;
            match code & 3 {
                0 => self.buffered(input, output),
                1 | 2 => self.direct(input, output),
                _ => {
                    (*control).Type3InputBuffer = input.buffer;
                    (*self.irp).UserBuffer = output.buffer;
                    Ok(())
                }
            }
        }
    }

    unsafe fn buffered(&mut self, input: Piece, output: Piece) -> Result<(), NTSTATUS> {
        let size = input.length.max(output.length) as usize;
        if size == 0 {
            return Ok(());
        }
        let memory = ContextMemory::new(size).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        let system: *mut c_void = memory.pointer().cast();
        // SAFETY: the system buffer is as long as the longer of the two.
        unsafe {
            if !input.buffer.is_null() {
                system.copy_from_nonoverlapping(input.buffer, input.length as usize);
            }
            (*self.irp).AssociatedIrp.SystemBuffer = system;
            (*self.irp).UserBuffer = output.buffer;
        }
        self.system_buffer = Some(memory);
        Ok(())
    }

    unsafe fn direct(&mut self, input: Piece, output: Piece) -> Result<(), NTSTATUS> {
        // SAFETY: the request is fresh; an MDL of our own describes memory that is nonpaged here.
        unsafe {
            (*self.irp).AssociatedIrp.SystemBuffer = input.buffer;
            (*self.irp).MdlAddress = output.mdl;
            if output.mdl.is_null() && !output.buffer.is_null() {
                let mdl = ntddk::IoAllocateMdl(output.buffer, output.length, 0, 0, ptr::null_mut());
                if mdl.is_null() {
                    return Err(STATUS_INSUFFICIENT_RESOURCES);
                }
                ntddk::MmBuildMdlForNonPagedPool(mdl);
                (*self.irp).MdlAddress = mdl;
                self.own_mdl = mdl;
            }
        }
        Ok(())
    }

    /// `SubmitSync`: sends, waits, and on a timeout cancels and waits again.
    unsafe fn submit(&mut self, device: PDEVICE_OBJECT, timeout: Option<i64>) -> NTSTATUS {
        frame::about_to_block();
        let done = Event::new();
        // SAFETY: the request is formatted; the event outlives it, because this waits for it.
        unsafe {
            irp::on_completion(self.irp, Some(came_back), done.pointer().cast());
            io::call_driver(device, self.irp);
            let timed_out = !done.wait(timeout);
            if timed_out {
                ntddk::IoCancelIrp(self.irp);
                done.wait(None);
            }
            match irp::status(self.irp) {
                STATUS_CANCELLED if timed_out => STATUS_IO_TIMEOUT,
                status => status,
            }
        }
    }

    /// What came back: copies a buffered reply to the caller's buffer, as many bytes as the request
    /// says. The framework does so whatever the status is (`fxiotargetkm.hpp`, `CopyParameters`).
    unsafe fn collect(&self, function: &str, output: Piece) -> u64 {
        // SAFETY: the request is back in our hands, and both buffers are as long as checked.
        unsafe {
            let information = (*self.irp).IoStatus.Information;
            if let Some(memory) = &self.system_buffer
                && output.length > 0
                && !output.buffer.is_null()
            {
                if information > u64::from(output.length) {
                    violation(
                        Violation::RequestFatal,
                        4,
                        information,
                        &format!(
                            "{function}: the request came back with Information = {information} \
                             for an output buffer of {} bytes; the framework copies that many",
                            output.length
                        ),
                    );
                }
                output.buffer.copy_from_nonoverlapping(
                    memory.pointer().cast::<c_void>(),
                    information as usize,
                );
            }
            information
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: the request is back, or was never sent; nobody below holds it.
        unsafe {
            if !self.own_mdl.is_null() {
                ntddk::IoFreeMdl(self.own_mdl);
            }
            io::free_irp(self.irp);
        }
    }
}

/// Keeps the request from travelling further up than its sender.
unsafe extern "C" fn came_back(
    _device: PDEVICE_OBJECT,
    irp: PIRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the context is the event of the waiting thread, which is alive until it is set.
    unsafe {
        if (*irp).PendingReturned != 0 && (*irp).CurrentLocation <= (*irp).StackCount {
            irp::mark_pending(irp);
        }
        ntddk::KeSetEvent(context.cast(), 0, 0);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The timeout of send options; NULL and 0 mean none.
unsafe fn timeout(function: &str, options: PWDF_REQUEST_SEND_OPTIONS) -> Option<i64> {
    if options.is_null() {
        return None;
    }
    // SAFETY: not NULL, so the caller vouches for it.
    let options = unsafe { *options };
    require_size(
        function,
        "WDF_REQUEST_SEND_OPTIONS",
        options.Size,
        size_of::<WDF_REQUEST_SEND_OPTIONS>(),
    );
    (options.Flags & TIMEOUT_FLAG != 0 && options.Timeout != 0).then_some(options.Timeout)
}

/// What every synchronous send begins with.
fn device_below(function: &str, target: WDFIOTARGET, request: WDFREQUEST) -> PDEVICE_OBJECT {
    let object = object::any(function, target);
    let device = object.target(function).device.0;
    require_irql(function, driver::PASSIVE);
    if !request.is_null() {
        violation(
            Violation::RequestFatal,
            0,
            0,
            &format!("{function}: this simulated framework makes its own request; pass NULL"),
        );
    }
    device
}

/// A device control request, answered before this returns.
#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of the KMDF functions"
)]
unsafe fn send_ioctl(
    function: &str,
    target: WDFIOTARGET,
    request: WDFREQUEST,
    code: u32,
    internal: bool,
    input: PWDF_MEMORY_DESCRIPTOR,
    output: PWDF_MEMORY_DESCRIPTOR,
    options: PWDF_REQUEST_SEND_OPTIONS,
    returned: PULONG_PTR,
) -> NTSTATUS {
    let device = device_below(function, target, request);
    // SAFETY: the caller of the DDI vouches for descriptors, options and the place for the length.
    unsafe {
        let timeout = timeout(function, options);
        let pieces = Piece::read(function, input)
            .and_then(|input| Ok((input, Piece::read(function, output)?)));
        let sent = pieces.and_then(|(input, output)| {
            let mut request = Request::new(device)?;
            request.format(code, internal, input, output)?;
            let status = request.submit(device, timeout);
            Ok((status, request.collect(function, output)))
        });
        report(sent, returned)
    }
}

unsafe fn report(sent: Result<(NTSTATUS, u64), NTSTATUS>, returned: PULONG_PTR) -> NTSTATUS {
    match sent {
        Ok((status, information)) => {
            if !returned.is_null() {
                // SAFETY: not NULL, so the caller of the DDI vouches for it.
                unsafe { *returned = information };
            }
            status
        }
        Err(status) => status,
    }
}

/// The calls about targets.
pub(crate) mod calls {
    use super::{
        IRP_MJ_INTERNAL_DEVICE_CONTROL, NTSTATUS, PDEVICE_OBJECT, PULONG_PTR,
        PWDF_MEMORY_DESCRIPTOR, PWDF_REQUEST_SEND_OPTIONS, Piece, WDFIOTARGET, WDFREQUEST,
        device_below, irp, object, ptr, report, send_ioctl, timeout,
    };
    use crate::abi::{ULONG, WDFDEVICE};
    use crate::wdf::table::wdf_functions;

    wdf_functions! {
        /// Sends a device control request to the device below and waits for it. `PASSIVE_LEVEL`,
        /// and not in `EvtDeviceD0Entry` or `EvtDeviceD0Exit`.
        186 fn WdfIoTargetSendIoctlSynchronously(
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            IoctlCode: ULONG,
            InputBuffer: PWDF_MEMORY_DESCRIPTOR,
            OutputBuffer: PWDF_MEMORY_DESCRIPTOR,
            RequestOptions: PWDF_REQUEST_SEND_OPTIONS,
            BytesReturned: PULONG_PTR,
        ) -> NTSTATUS {
            // SAFETY: the caller's promises are those of `send_ioctl`.
            unsafe {
                send_ioctl(
                    "WdfIoTargetSendIoctlSynchronously",
                    IoTarget,
                    Request,
                    IoctlCode,
                    false,
                    InputBuffer,
                    OutputBuffer,
                    RequestOptions,
                    BytesReturned,
                )
            }
        }

        /// The same as an internal device control request.
        188 fn WdfIoTargetSendInternalIoctlSynchronously(
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            IoctlCode: ULONG,
            InputBuffer: PWDF_MEMORY_DESCRIPTOR,
            OutputBuffer: PWDF_MEMORY_DESCRIPTOR,
            RequestOptions: PWDF_REQUEST_SEND_OPTIONS,
            BytesReturned: PULONG_PTR,
        ) -> NTSTATUS {
            // SAFETY: the caller's promises are those of `send_ioctl`.
            unsafe {
                send_ioctl(
                    "WdfIoTargetSendInternalIoctlSynchronously",
                    IoTarget,
                    Request,
                    IoctlCode,
                    true,
                    InputBuffer,
                    OutputBuffer,
                    RequestOptions,
                    BytesReturned,
                )
            }
        }

        /// Sends an internal device control request with bare arguments, an SRB for instance: the
        /// buffers of the descriptors become `Parameters.Others`. `PASSIVE_LEVEL`, and not in
        /// `EvtDeviceD0Entry` or `EvtDeviceD0Exit`.
        190 fn WdfIoTargetSendInternalIoctlOthersSynchronously(
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            IoctlCode: ULONG,
            OtherArg1: PWDF_MEMORY_DESCRIPTOR,
            OtherArg2: PWDF_MEMORY_DESCRIPTOR,
            OtherArg4: PWDF_MEMORY_DESCRIPTOR,
            RequestOptions: PWDF_REQUEST_SEND_OPTIONS,
            BytesReturned: PULONG_PTR,
        ) -> NTSTATUS {
            const NAME: &str = "WdfIoTargetSendInternalIoctlOthersSynchronously";
            let device = device_below(NAME, IoTarget, Request);
            // SAFETY: the caller vouches for descriptors, options and the place for the length.
            unsafe {
                let timeout = timeout(NAME, RequestOptions);
                let arguments = [OtherArg1, OtherArg2, OtherArg4].map(|one| Piece::read(NAME, one));
                let sent = match arguments {
                    [Ok(first), Ok(second), Ok(fourth)] => {
                        super::Request::new(device).map(|mut request| {
                            let location = irp::next(request.irp);
                            (*location).MajorFunction = IRP_MJ_INTERNAL_DEVICE_CONTROL as u8;
                            let others = &raw mut (*location).Parameters.Others;
                            (*others).Argument1 = first.buffer;
                            (*others).Argument2 = second.buffer;
                            (*others).Argument3 =
                                ptr::without_provenance_mut(IoctlCode as usize);
                            (*others).Argument4 = fourth.buffer;
                            let status = request.submit(device, timeout);
                            (status, (*request.irp).IoStatus.Information)
                        })
                    }
                    [first, second, fourth] => Err([first, second, fourth]
                        .into_iter()
                        .find_map(Result::err)
                        .unwrap_or_default()),
                };
                report(sent, BytesReturned)
            }
        }

        /// The device that the target belongs to. Up to `DISPATCH_LEVEL`.
        174 fn WdfIoTargetGetDevice(IoTarget: WDFIOTARGET) -> WDFDEVICE {
            const NAME: &str = "WdfIoTargetGetDevice";
            let object = object::any(NAME, IoTarget);
            let _: &super::Target = object.target(NAME);
            object.device_above().map_or(ptr::null_mut(), |device| device.handle())
        }

        /// The device object that requests are sent to. Up to `DISPATCH_LEVEL`.
        178 fn WdfIoTargetWdmGetTargetDeviceObject(IoTarget: WDFIOTARGET) -> PDEVICE_OBJECT {
            const NAME: &str = "WdfIoTargetWdmGetTargetDeviceObject";
            object::any(NAME, IoTarget).target(NAME).device.0
        }
    }
}
