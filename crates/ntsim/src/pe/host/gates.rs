//! Doors from an image into the framework.
//!
//! A framework driver's dispatch routines, `AddDevice` and `DriverUnload` are the framework's, and a
//! binary can take their addresses out of its driver object: the entry stub that every KMDF binary
//! is linked with keeps `DriverUnload` and calls it from its own. Routines in a driver object are
//! called by the convention that their address calls for, so the ones in a binary's driver object
//! have to lie among the images: on a page of jumps behind each image.

use std::mem::transmute;
use std::ptr::with_exposed_provenance as code_at;

use crate::abi::{
    NTSTATUS, PDEVICE_OBJECT, PDRIVER_ADD_DEVICE, PDRIVER_DISPATCH, PDRIVER_OBJECT, PDRIVER_UNLOAD,
    PIRP,
};
use crate::pe::file::PAGE;
use crate::wdf;

/// Bytes from one gate to the next.
const STRIDE: usize = 16;
/// What an unused byte is: `int3`.
const FILL: u8 = 0xCC;

/// Addresses of the gates of one image.
#[derive(Debug, Default)]
pub(super) struct Gates {
    dispatch: usize,
    add_device: usize,
    unload: usize,
    /// Returns: every call target is accepted.
    pub(super) check: usize,
    /// Goes to the address in `rax`, as the flow guard's dispatch does.
    pub(super) jump: usize,
}

impl Gates {
    pub(super) fn at(page: usize) -> Self {
        Self {
            dispatch: page,
            add_device: page + STRIDE,
            unload: page + 2 * STRIDE,
            check: page + 3 * STRIDE,
            jump: page + 4 * STRIDE,
        }
    }

    /// Puts the gates where the framework has put its routines.
    ///
    /// # Safety
    /// The driver object is alive, and nobody else uses it now.
    pub(super) unsafe fn adapt(&self, driver: PDRIVER_OBJECT) {
        // SAFETY: the caller's contract. The addresses are code; a fn pointer to it is only called
        // by the convention that its address calls for.
        unsafe {
            let dispatch = transmute::<*const (), PDRIVER_DISPATCH>(code_at(self.dispatch));
            (*driver).MajorFunction = [dispatch; 28];
            (*driver).DriverUnload = transmute::<*const (), PDRIVER_UNLOAD>(code_at(self.unload));
            let extension = (*driver).DriverExtension;
            if (*extension).AddDevice.is_some() {
                let add_device = code_at(self.add_device);
                (*extension).AddDevice = transmute::<*const (), PDRIVER_ADD_DEVICE>(add_device);
            }
        }
    }
}

/// The page of gates.
pub(super) fn code() -> Vec<u8> {
    let far = |target: *const ()| {
        // mov rax, target; jmp rax
        let mut code = vec![0x48, 0xB8];
        code.extend_from_slice(&(target.expose_provenance() as u64).to_le_bytes());
        code.extend_from_slice(&[0xFF, 0xE0]);
        code
    };
    let gates = [
        far(dispatch as *const ()),
        far(add_device as *const ()),
        far(unload as *const ()),
        vec![0xC3],
        vec![0xFF, 0xE0],
    ];
    let mut page = Vec::with_capacity(PAGE);
    for gate in gates {
        page.extend_from_slice(&gate);
        page.resize(page.len().next_multiple_of(STRIDE), FILL);
    }
    page.resize(PAGE, FILL);
    page
}

unsafe extern "win64" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller's contract is the routine's own.
    unsafe { wdf::dispatch::dispatch_with_lock(device, irp) }
}

unsafe extern "win64" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: as above.
    unsafe { wdf::driver::add_device(driver, pdo) }
}

unsafe extern "win64" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: as above.
    unsafe { wdf::driver::unload(driver) }
}
