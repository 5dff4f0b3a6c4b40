//! What a driver leaves behind when it is unloaded.

use std::fmt::Write as _;
use std::sync::Mutex;

use crate::ke::Registrations;
use crate::machine::{DriverId, Machine, Violation, codes, lock};

impl Machine {
    /// What `driver` has not given back: pool, IRPs, MDLs, timers, DPCs, one line each.
    #[must_use]
    pub fn leaks(&self, driver: DriverId) -> Vec<String> {
        let mut leaks = lock(&self.memory.pool).leaks_of(driver);
        leaks.extend(lock(&self.memory.mdls).leaks_of(driver));
        leaks.extend(lock(&self.io).irps.leaks_of(driver));
        leaks.extend(crate::dma::leaks_of(self, driver));
        leaks.extend(crate::controller::leaks_of(self, driver));
        let core = self.core();
        let timers = core
            .timers
            .keys()
            .filter(|&timer| core.known_timers.get(timer) == Some(&driver));
        leaks.extend(timers.map(|timer| format!("timer at {timer:#x}: still set")));
        let dpcs = core.dpcs.iter().filter(|call| call.driver == driver);
        leaks.extend(dpcs.map(|call| format!("DPC at {:#x}: still queued", call.dpc.addr())));
        leaks
    }

    /// Stops the machine if `driver`, which is being unloaded, has left anything behind
    /// (0xC4/0x62; 0xC4/0xDD for an event provider; 0xCB for locked pages of user memory).
    pub fn check_leaks(&self, driver: DriverId) {
        let name = self.driver_name(driver);
        let locked = self.memory.user().locks_by(driver);
        if !locked.is_empty() {
            let mut story = format!("{name} is being unloaded and has left pages locked:\n");
            locked.tell(self, &mut story);
            let parameters = [0, 0, locked.first_mdl() as u64, locked.pages() as u64];
            let code = codes::DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS;
            Violation::new(code, parameters, story).raise();
        }
        let leaks = self.leaks(driver);
        if !leaks.is_empty() {
            let mut story = format!("{name} is being unloaded and has not freed:\n");
            for leak in &leaks {
                let _infallible = writeln!(story, "  {leak}");
            }
            let mut violation = Violation::verifier(0x62, 0, 0, story);
            violation.parameters[3] = leaks.len() as u64;
            violation.raise();
        }
        let provider = lock(&self.extension::<Mutex<Registrations>>()).has(driver);
        if provider {
            let story = format!("{name} is being unloaded without EtwUnregister.");
            Violation::verifier(0xDD, 0, 0, story).raise();
        }
        let late = self.memory.blocks.flush();
        late.unwrap_or_else(|violation| violation.raise());
    }
}
