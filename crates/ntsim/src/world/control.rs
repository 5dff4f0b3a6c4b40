//! Device control requests, as user mode and other drivers send them.

use core::ffi::c_void;
use core::ptr;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;

use super::buffer::Buffer;
use super::envelope::{Done, Draft, Envelope, Mdl};
use super::stack::Stack;
use crate::abi::{
    _MODE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, PDEVICE_OBJECT, PIRP,
};

/// A control request in the making; see [`Stack::ioctl`]. `METHOD_BUFFERED` unless told otherwise.
pub struct Control<'s> {
    stack: &'s Stack,
    code: u32,
    input: Vec<u8>,
    output: usize,
    major: u32,
    device: PDEVICE_OBJECT,
    data: Option<(Data, Buffer)>,
    system_buffer: bool,
    said: Option<(u32, u32)>,
    stack_flags: u8,
    irp_flags: u32,
    user: bool,
}

/// How a request refers to a buffer besides the system buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// By MDL: `METHOD_IN_DIRECT`, `METHOD_OUT_DIRECT`.
    Direct,
    /// By the sender's addresses: `METHOD_NEITHER`.
    Neither,
}

impl<'s> Control<'s> {
    pub(super) fn new(stack: &'s Stack, code: u32, input: &[u8], output: usize) -> Self {
        Self {
            stack,
            code,
            input: input.to_vec(),
            output,
            major: IRP_MJ_DEVICE_CONTROL,
            device: stack.top(),
            data: None,
            system_buffer: true,
            said: None,
            stack_flags: 0,
            irp_flags: 0,
            user: false,
        }
    }

    /// Sends it as `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.major = IRP_MJ_INTERNAL_DEVICE_CONTROL;
        self
    }

    /// Sends it to the device right beneath the disk class driver, past that driver.
    #[must_use]
    pub fn below_class(mut self) -> Self {
        self.device = self.stack.below_class();
        self
    }

    /// `METHOD_IN_DIRECT` or `METHOD_OUT_DIRECT`: the second buffer is `buffer`, by an MDL. The
    /// output length is its length.
    #[must_use]
    pub fn direct(mut self, buffer: &Buffer) -> Self {
        self.output = buffer.len();
        self.data = Some((Data::Direct, buffer.clone()));
        self
    }

    /// `METHOD_NEITHER`: both buffers are addresses in `buffer`, and there is no system buffer. The
    /// output length is its length.
    #[must_use]
    pub fn neither(mut self, buffer: &Buffer) -> Self {
        self.output = buffer.len();
        self.data = Some((Data::Neither, buffer.clone()));
        self.system_buffer = false;
        self
    }

    /// `SystemBuffer` is null, as drivers send requests that carry nothing.
    #[must_use]
    pub fn no_system_buffer(mut self) -> Self {
        self.system_buffer = false;
        self
    }

    /// Input and output length in the stack location, whatever the buffers are: what a driver that
    /// makes its own IRPs may get wrong.
    #[must_use]
    pub fn lengths(mut self, input: u32, output: u32) -> Self {
        self.said = Some((input, output));
        self
    }

    /// Flags of the stack location (`SL_*`).
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.stack_flags = flags as u8;
        self
    }

    /// `Irp->Flags`.
    #[must_use]
    pub fn irp_flags(mut self, flags: u32) -> Self {
        self.irp_flags = flags;
        self
    }

    /// `RequestorMode` is `UserMode`.
    #[must_use]
    pub fn user_mode(mut self) -> Self {
        self.user = true;
        self
    }

    /// Sends the request.
    pub fn send(self) -> PendingControl {
        let mut draft = Draft::new(self.device, self.major, self.stack.tally());
        let said = (self.input.len() as u32, self.output as u32);
        let (input, output) = self.said.unwrap_or(said);
        // The output of a direct request is in the buffer that the MDL describes.
        let back = if self.data.is_some() { 0 } else { self.output };
        let buffer = Arc::new(SystemBuffer::new(self.input.len().max(back)));
        // SAFETY: the buffer is as long as the longer side and nobody else's; so is the IRP.
        unsafe {
            let start = buffer.start();
            ptr::copy_nonoverlapping(self.input.as_ptr(), start, self.input.len());
            if self.system_buffer {
                let system: *mut c_void = start.cast();
                (&raw mut (*draft.irp()).AssociatedIrp.SystemBuffer).write(system);
            }
            let location = draft.location();
            (*location).Flags = self.stack_flags;
            let control = &raw mut (*location).Parameters.DeviceIoControl;
            (*control).IoControlCode = self.code;
            (*control).InputBufferLength = input;
            (*control).OutputBufferLength = output;
        }
        self.dress(&mut draft);
        draft.keep(Box::new(Arc::clone(&buffer)));
        PendingControl {
            envelope: draft.send(),
            buffer,
            output: back,
        }
    }

    /// The parts that most requests do without.
    fn dress(&self, draft: &mut Draft) {
        let irp: PIRP = draft.irp();
        if let Some((data, buffer)) = &self.data {
            let mdl = match data {
                Data::Direct => Mdl::One,
                Data::Neither => Mdl::None,
            };
            draft.attach(buffer, 0, buffer.len(), &mdl);
            // SAFETY: the IRP is ours and not sent yet.
            unsafe {
                (&raw mut (*irp).UserBuffer).write(buffer.address());
                if *data == Data::Neither {
                    let control = &raw mut (*draft.location()).Parameters.DeviceIoControl;
                    (*control).Type3InputBuffer = buffer.address();
                }
            }
        }
        let mode = if self.user {
            _MODE::UserMode
        } else {
            _MODE::KernelMode
        };
        // SAFETY: the IRP is ours and not sent yet.
        unsafe {
            (&raw mut (*irp).Flags).write(self.irp_flags);
            (&raw mut (*irp).RequestorMode).write(mode as i8);
        }
    }
}
/// Zeroed bytes at a fixed place, aligned as pool is.
struct SystemBuffer {
    start: *mut u8,
    length: usize,
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
        Self {
            start,
            length: bytes,
            layout,
        }
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
    /// The first `Information` bytes of the output, as the I/O manager would copy them; empty where
    /// the output is a buffer of the sender's.
    pub output: Vec<u8>,
    /// All of the system buffer, what lies behind [`Self::output`] included.
    pub buffer: Vec<u8>,
}

impl PendingControl {
    /// Whether it has come back.
    pub fn is_done(&self) -> bool {
        self.envelope.is_done()
    }

    /// What `IofCallDriver` returned.
    pub fn returned(&self) -> i32 {
        self.envelope.returned()
    }

    /// The address of its IRP.
    pub fn irp_address(&self) -> usize {
        self.envelope.irp_address()
    }

    /// `IoCancelIrp`; says whether there was a cancel routine to call.
    pub fn cancel(&self) -> bool {
        self.envelope.cancel()
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
        let (start, length) = (self.buffer.start(), self.buffer.length);
        // SAFETY: the request is done, so the buffer is ours again.
        let buffer = unsafe { core::slice::from_raw_parts(start, length) }.to_vec();
        let output = buffer[..(irp.information as usize).min(self.output)].to_vec();
        ControlDone {
            irp,
            output,
            buffer,
        }
    }
}
