//! `WDFCMRESLIST`: the resources that START_DEVICE brought (`fxresourcecollection.cpp`,
//! `BuildFromWdmList`: of several full descriptors the first one counts).

use std::sync::{Mutex, PoisonError};

use super::device::Device;
use super::{irp, object};
use crate::abi::{
    CM_PARTIAL_RESOURCE_DESCRIPTOR, PCM_PARTIAL_RESOURCE_DESCRIPTOR, PCM_RESOURCE_LIST, PIRP,
    WDFCMRESLIST,
};
use crate::machine::Shared;

/// The state of a list: descriptors, each in memory of its own, so that a driver may keep a pointer
/// to one until the device is started again or gone.
#[derive(Default)]
pub(crate) struct List(Mutex<Descriptors>);

#[derive(Default)]
struct Descriptors(Vec<Shared<CM_PARTIAL_RESOURCE_DESCRIPTOR>>);

impl Drop for Descriptors {
    fn drop(&mut self) {
        for descriptor in &self.0 {
            // SAFETY: came from a box in `List::fill`; the list goes away, and no driver may use its
            // descriptors any longer.
            drop(unsafe { Box::from_raw(descriptor.0) });
        }
    }
}

impl List {
    fn with<T>(&self, work: impl FnOnce(&mut Descriptors) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what a list of the PnP manager's says.
    ///
    /// # Safety
    /// `list` is null or a valid list.
    unsafe fn fill(&self, list: PCM_RESOURCE_LIST) {
        let mut descriptors = Descriptors::default();
        // SAFETY: the caller's contract: the descriptors follow each other from the first one on.
        unsafe {
            if !list.is_null() && (&raw const (*list).Count).read() > 0 {
                let partial = &raw const (*list).List[0].PartialResourceList;
                let first = (&raw const (*partial).PartialDescriptors).cast();
                for index in 0..(*partial).Count as usize {
                    let descriptor: *const CM_PARTIAL_RESOURCE_DESCRIPTOR = first;
                    let copy = Box::new(descriptor.add(index).read());
                    descriptors.0.push(Shared(Box::into_raw(copy)));
                }
            }
        }
        let old = self.with(|current| core::mem::replace(current, descriptors));
        drop(old);
    }

    fn len(&self) -> usize {
        self.with(|descriptors| descriptors.0.len())
    }

    fn get(&self, index: usize) -> Option<PCM_PARTIAL_RESOURCE_DESCRIPTOR> {
        self.with(|descriptors| descriptors.0.get(index).map(|found| found.0))
    }
}

/// START_DEVICE has come back from below: its lists become those of the device.
///
/// # Safety
/// `irp` is a START_DEVICE in the caller's hands.
pub(crate) unsafe fn take(device: &Device, irp: PIRP) {
    // SAFETY: the caller vouches for the request.
    let (raw, translated) = unsafe {
        let start = (*irp::current(irp)).Parameters.StartDevice;
        (start.AllocatedResources, start.AllocatedResourcesTranslated)
    };
    let Some(parts) = device.parts.get() else {
        return;
    };
    for (handle, list) in [(parts.resources_raw, raw), (parts.resources, translated)] {
        let handle: WDFCMRESLIST = core::ptr::without_provenance_mut(handle);
        let object = object::any("START_DEVICE", handle);
        // SAFETY: the sender's lists live as long as the request is out.
        unsafe { object.resources("START_DEVICE").fill(list) };
    }
}

/// The calls about lists of resources.
pub(crate) mod calls {
    use crate::abi::{PCM_PARTIAL_RESOURCE_DESCRIPTOR, ULONG, WDFCMRESLIST};
    use crate::wdf::driver::DISPATCH;
    use crate::wdf::object;
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::require_irql;

    wdf_functions! {
        /// How many resources a list holds. Up to `DISPATCH_LEVEL`.
        304 fn WdfCmResourceListGetCount(List: WDFCMRESLIST) -> ULONG {
            const NAME: &str = "WdfCmResourceListGetCount";
            require_irql(NAME, DISPATCH);
            object::any(NAME, List).resources(NAME).len() as ULONG
        }

        /// The resource at an index, or NULL. Up to `DISPATCH_LEVEL`.
        305 fn WdfCmResourceListGetDescriptor(List: WDFCMRESLIST, Index: ULONG) -> PCM_PARTIAL_RESOURCE_DESCRIPTOR {
            const NAME: &str = "WdfCmResourceListGetDescriptor";
            require_irql(NAME, DISPATCH);
            let found = object::any(NAME, List).resources(NAME).get(Index as usize);
            found.unwrap_or(core::ptr::null_mut())
        }
    }
}
