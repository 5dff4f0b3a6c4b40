//! Interrupt objects.

use super::*;

opaque!(_KINTERRUPT);
pub type KINTERRUPT = _KINTERRUPT;
pub type PKINTERRUPT = *mut _KINTERRUPT;

enumeration!(_KINTERRUPT_MODE as KINTERRUPT_MODE { LevelSensitive = 0, Latched = 1 });

pub type PKSERVICE_ROUTINE =
    Option<unsafe extern "C" fn(Interrupt: *mut _KINTERRUPT, ServiceContext: PVOID) -> BOOLEAN>;
pub type PKSYNCHRONIZE_ROUTINE = Option<unsafe extern "C" fn(SynchronizeContext: PVOID) -> BOOLEAN>;
