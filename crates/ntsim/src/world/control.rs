//! Device control requests, as user mode and other drivers send them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;

use super::envelope::{Done, Draft, Envelope};
use super::stack::Stack;
use crate::abi::{IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL};

/// A `METHOD_BUFFERED` request in the making; see [`Stack::ioctl`].
pub struct Control<'s> {
    stack: &'s Stack,
    code: u32,
    input: Vec<u8>,
    output: usize,
    internal: bool,
}

impl<'s> Control<'s> {
    pub(super) fn new(stack: &'s Stack, code: u32, input: &[u8], output: usize) -> Self {
        Self {
            stack,
            code,
            input: input.to_vec(),
            output,
            internal: false,
        }
    }

    /// Sends it as `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Sends the request to the top of the stack.
    pub fn send(self) -> PendingControl {
        let major = if self.internal {
            IRP_MJ_INTERNAL_DEVICE_CONTROL
        } else {
            IRP_MJ_DEVICE_CONTROL
        };
        let mut draft = Draft::new(self.stack.top(), major, self.stack.tally());
        let buffer = Arc::new(SystemBuffer::new(self.input.len().max(self.output)));
        // SAFETY: the buffer is as long as the longer side and nobody else's; so is the IRP.
        unsafe {
            let start = buffer.start();
            core::ptr::copy_nonoverlapping(self.input.as_ptr(), start, self.input.len());
            (&raw mut (*draft.irp()).AssociatedIrp.SystemBuffer).write(start.cast());
            let control = &raw mut (*draft.location()).Parameters.DeviceIoControl;
            (*control).IoControlCode = self.code;
            (*control).InputBufferLength = self.input.len() as u32;
            (*control).OutputBufferLength = self.output as u32;
        }
        draft.keep(Box::new(Arc::clone(&buffer)));
        PendingControl {
            envelope: draft.send(),
            buffer,
            output: self.output,
        }
    }
}

/// Zeroed bytes at a fixed place, aligned as pool is.
struct SystemBuffer {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: plain bytes; who uses them when is the protocol of the IRP that points to them.
unsafe impl Send for SystemBuffer {}
// SAFETY: as above.
unsafe impl Sync for SystemBuffer {}

impl SystemBuffer {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), 16).expect("a size that exists");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Self { start, layout }
    }

    fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for SystemBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// A device control request that was sent.
pub struct PendingControl {
    envelope: Envelope,
    buffer: Arc<SystemBuffer>,
    output: usize,
}

/// How a device control request came back.
#[derive(Clone, Debug)]
pub struct ControlDone {
    /// The IRP's side.
    pub irp: Done,
    /// The first `Information` bytes of the output, as the I/O manager would copy them.
    pub output: Vec<u8>,
}

impl PendingControl {
    /// Whether it has come back.
    pub fn is_done(&self) -> bool {
        self.envelope.is_done()
    }

    /// Waits for it.
    ///
    /// # Panics
    /// Never: a request that does not come back is a bug check of the machine.
    pub fn wait(self) -> ControlDone {
        let irp = self
            .envelope
            .wait(None)
            .expect("a wait without limit ends with the request");
        let length = (irp.information as usize).min(self.output);
        // SAFETY: the request is done, so the buffer is ours again.
        let output = unsafe { core::slice::from_raw_parts(self.buffer.start(), length) }.to_vec();
        ControlDone { irp, output }
    }
}
