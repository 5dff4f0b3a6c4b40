//! The interrupt: a service routine that touches the registers and one word, and nothing else.

use core::ptr;

use wdk_sys::{
    _CM_SHARE_DISPOSITION, _KINTERRUPT_MODE, BOOLEAN, CM_PARTIAL_RESOURCE_DESCRIPTOR,
    CM_RESOURCE_INTERRUPT_LATCHED, KAFFINITY, KINTERRUPT_MODE, KIRQL, NTSTATUS, PKINTERRUPT, PVOID,
    ULONG, ntddk,
};
use xfersplit_wdm::succeeded;

use crate::controller::Controller;

/// Where a device interrupts, from its translated resources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    vector: ULONG,
    level: KIRQL,
    affinity: KAFFINITY,
    mode: KINTERRUPT_MODE,
    /// Other devices may interrupt there too.
    shared: bool,
}

impl Line {
    /// # Safety
    /// The descriptor is one of type `CmResourceTypeInterrupt`.
    pub(crate) unsafe fn of(descriptor: &CM_PARTIAL_RESOURCE_DESCRIPTOR) -> Self {
        // SAFETY: the caller's contract names the union's field.
        let interrupt = unsafe { descriptor.u.Interrupt };
        let latched = u32::from(descriptor.Flags) & CM_RESOURCE_INTERRUPT_LATCHED != 0;
        Self {
            vector: interrupt.Vector,
            level: interrupt.Level as KIRQL,
            affinity: interrupt.Affinity,
            mode: if latched {
                _KINTERRUPT_MODE::Latched
            } else {
                _KINTERRUPT_MODE::LevelSensitive
            },
            shared: i32::from(descriptor.ShareDisposition)
                == _CM_SHARE_DISPOSITION::CmResourceShareShared,
        }
    }
}

/// A connected interrupt.
///
/// # Invariants
/// The pointer came from `IoConnectInterrupt` and has not been disconnected.
pub(crate) struct Interrupt(PKINTERRUPT);

// SAFETY: an interrupt object may be disconnected on any processor.
unsafe impl Send for Interrupt {}

impl Interrupt {
    /// Connects [`isr`]. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status of `IoConnectInterrupt`.
    ///
    /// # Safety
    /// `controller` has its hardware, and keeps it and its place until the value is dropped.
    pub(crate) unsafe fn connect(line: Line, controller: &Controller) -> Result<Self, NTSTATUS> {
        let mut interrupt: PKINTERRUPT = ptr::null_mut();
        // SAFETY: the line is the device's own; the caller's contract covers the context. On a shared
        // line the service routine says whose an interrupt is.
        let status = unsafe {
            ntddk::IoConnectInterrupt(
                &raw mut interrupt,
                Some(isr),
                controller.as_context(),
                ptr::null_mut(),
                line.vector,
                line.level,
                line.level,
                line.mode,
                line.shared.into(),
                line.affinity,
                false.into(),
            )
        };
        if succeeded(status) {
            Ok(Self(interrupt))
        } else {
            Err(status)
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // SAFETY: type invariant; returns when the service routine has run for the last time.
        unsafe { ntddk::IoDisconnectInterrupt(self.0) };
    }
}

/// InterruptService. DIRQL: no lock, no other driver, no memory but the controller's own word.
///
/// # Safety
/// Called for an interrupt that [`Interrupt::connect`] has connected.
unsafe extern "C" fn isr(_interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: the context of `connect`, which keeps its place while the interrupt is connected.
    let controller = unsafe { Controller::from_context(context) };
    controller.interrupted().into()
}
