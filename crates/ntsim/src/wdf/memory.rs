//! Memory objects (`fxmemorybufferapi.cpp`).

use core::ffi::c_void;

use super::context::ContextMemory;
use crate::machine::Shared;

/// The state of a `WDFMEMORY`.
pub(crate) struct Memory {
    buffer: Shared<c_void>,
    size: usize,
    /// The framework's own allocation; `None` for a buffer that the driver brought.
    _owned: Option<ContextMemory>,
}

impl Memory {
    /// The buffer and its size in bytes.
    pub(crate) fn buffer(&self) -> (*mut c_void, usize) {
        (self.buffer.0, self.size)
    }

    fn allocated(size: usize) -> Option<Self> {
        let memory = ContextMemory::new(size)?;
        Some(Self {
            buffer: Shared(memory.pointer().cast()),
            size,
            _owned: Some(memory),
        })
    }

    fn preallocated(buffer: *mut c_void, size: usize) -> Self {
        Self {
            buffer: Shared(buffer),
            size,
            _owned: None,
        }
    }
}

/// The calls about memory.
pub(crate) mod calls {
    use crate::abi::{
        NTSTATUS, POOL_TYPE, PVOID, PWDF_OBJECT_ATTRIBUTES, STATUS_BUFFER_TOO_SMALL,
        STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG, WDFMEMORY,
    };
    use crate::wdf::driver::{self, DISPATCH};
    use crate::wdf::kernel;
    use crate::wdf::object::{self, Body};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{not_null, require_irql};

    wdf_functions! {
        /// Allocates memory and an object around it. Zero bytes are
        /// `STATUS_INVALID_PARAMETER`. Up to `DISPATCH_LEVEL`.
        192 fn WdfMemoryCreate(
            Attributes: PWDF_OBJECT_ATTRIBUTES,
            _PoolType: POOL_TYPE,
            _PoolTag: ULONG,
            BufferSize: usize,
            Memory: *mut WDFMEMORY,
            Buffer: *mut PVOID,
        ) -> NTSTATUS {
            const NAME: &str = "WdfMemoryCreate";
            require_irql(NAME, DISPATCH);
            if BufferSize == 0 {
                return STATUS_INVALID_PARAMETER;
            }
            // SAFETY: the caller vouches for the attributes and the places for the results;
            // `Buffer` may be NULL.
            unsafe {
                driver::make(NAME, Attributes, Memory, |_| {
                    if kernel::shall_fail(BufferSize) {
                        return Err(STATUS_INSUFFICIENT_RESOURCES);
                    }
                    let memory =
                        super::Memory::allocated(BufferSize).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
                    if !Buffer.is_null() {
                        *Buffer = memory.buffer().0;
                    }
                    Ok(Body::Memory(memory))
                })
            }
        }

        /// Makes an object around memory that the driver has. Up to `DISPATCH_LEVEL`.
        193 fn WdfMemoryCreatePreallocated(
            Attributes: PWDF_OBJECT_ATTRIBUTES,
            Buffer: PVOID,
            BufferSize: usize,
            Memory: *mut WDFMEMORY,
        ) -> NTSTATUS {
            const NAME: &str = "WdfMemoryCreatePreallocated";
            require_irql(NAME, DISPATCH);
            not_null(NAME, "Buffer", Buffer);
            if BufferSize == 0 {
                return STATUS_INVALID_PARAMETER;
            }
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, Attributes, Memory, |_| {
                    Ok(Body::Memory(super::Memory::preallocated(Buffer, BufferSize)))
                })
            }
        }

        /// The buffer of a memory object, and its size if asked for. Any IRQL.
        194 fn WdfMemoryGetBuffer(Memory: WDFMEMORY, BufferSize: *mut usize) -> PVOID {
            const NAME: &str = "WdfMemoryGetBuffer";
            let (buffer, size) = object::any(NAME, Memory).memory(NAME).buffer();
            if !BufferSize.is_null() {
                // SAFETY: not NULL, so the caller vouches for it.
                unsafe { *BufferSize = size };
            }
            buffer
        }

        /// Copies out of a memory object. Up to `DISPATCH_LEVEL`.
        196 fn WdfMemoryCopyToBuffer(
            SourceMemory: WDFMEMORY,
            SourceOffset: usize,
            Buffer: PVOID,
            NumBytesToCopyTo: usize,
        ) -> NTSTATUS {
            const NAME: &str = "WdfMemoryCopyToBuffer";
            not_null(NAME, "Buffer", Buffer);
            let (source, size) = object::any(NAME, SourceMemory).memory(NAME).buffer();
            if !fits(SourceOffset, NumBytesToCopyTo, size) {
                return STATUS_BUFFER_TOO_SMALL;
            }
            // SAFETY: the range lies inside the memory object, and the caller vouches for the
            // buffer.
            unsafe { source.byte_add(SourceOffset).copy_to(Buffer, NumBytesToCopyTo) };
            STATUS_SUCCESS
        }

        /// Copies into a memory object. Up to `DISPATCH_LEVEL`.
        197 fn WdfMemoryCopyFromBuffer(
            DestinationMemory: WDFMEMORY,
            DestinationOffset: usize,
            Buffer: PVOID,
            NumBytesToCopyFrom: usize,
        ) -> NTSTATUS {
            const NAME: &str = "WdfMemoryCopyFromBuffer";
            not_null(NAME, "Buffer", Buffer);
            let (target, size) = object::any(NAME, DestinationMemory).memory(NAME).buffer();
            if !fits(DestinationOffset, NumBytesToCopyFrom, size) {
                return STATUS_BUFFER_TOO_SMALL;
            }
            // SAFETY: the range lies inside the memory object, and the caller vouches for the
            // buffer.
            unsafe { target.byte_add(DestinationOffset).copy_from(Buffer, NumBytesToCopyFrom) };
            STATUS_SUCCESS
        }
    }

    fn fits(offset: usize, bytes: usize, size: usize) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= size)
    }
}
