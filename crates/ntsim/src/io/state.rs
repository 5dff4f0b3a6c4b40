//! What the I/O manager knows about IRPs and devices beyond what their memory says.
//!
//! The verifier's part: who holds an IRP, which dispatch routines have returned what, and which
//! rules follow from that. Nothing here follows a pointer or calls a driver.

use std::alloc::Layout;

use crate::abi::{GUID, NTSTATUS, STATUS_PENDING};
use crate::machine::context::{Frame, ThreadId};
use crate::machine::story::{Event, Step, Story};
use crate::machine::table::AddressMap;
use crate::machine::{DriverId, Owner, Violation, codes};

/// Freed records remembered, so that reports can tell about IRPs used too late.
const FREED_RECORDS: usize = 64;

#[derive(Default)]
pub(crate) struct IoState {
    pub(crate) irps: IrpTable,
    pub(crate) drivers: super::device::DriverObjects,
    pub(crate) devices: DeviceTable,
    pub(crate) remove_locks: AddressMap<super::remove_lock::Held>,
    pub(crate) activity: AddressMap<GUID>,
    pub(crate) watched: AddressMap<Vec<super::Arrival>>,
    /// Threads that get no APCs.
    pub(crate) regions: super::region::Regions,
}

/// How an IRP came to be, which says who finishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its maker's completion routine keeps it.
    Allocated,
    /// The I/O manager finishes it in this thread, and frees it.
    Threaded(ThreadId),
    /// The I/O manager frees it, and completes its master with the last one.
    Associated,
    /// Its memory is the driver's own.
    Initialised,
}

/// Where an IRP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// With whoever made it.
    Home,
    /// With a driver that it was sent to.
    InFlight,
}

pub(crate) struct IrpRecord {
    pub(crate) block: *mut u8,
    pub(crate) layout: Layout,
    pub(crate) live: bool,
    address: usize,
    pub(crate) kind: Kind,
    pub(crate) owner: Owner,
    /// Who made it.
    pub(crate) driver: DriverId,
    /// With which function.
    pub(crate) call: &'static str,
    pub(crate) stack_count: i8,
    pub(crate) place: Place,
    /// Who has it now.
    pub(crate) holder: DriverId,
    /// Counts sendings, reuses and the end: tells whether it is still the same journey.
    pub(crate) epoch: u64,
    /// The stack location it was first sent to.
    top: i8,
    /// Its MDL when it was sent.
    pub(crate) mdl: usize,
    /// Dispatch routines whose result is still to be compared, innermost last.
    dispatches: Vec<(i8, u32)>,
    /// Who set the completion routine in the location that it was last sent to, if one is set. A
    /// driver that skips its location leaves there what the driver above has set.
    pub(crate) routine_of: Option<DriverId>,
    pub(crate) story: Story,
}

/// One call of a dispatch routine.
#[derive(Clone, Copy, Default)]
struct Dispatch {
    owner_is_driver: bool,
    returned: Option<NTSTATUS>,
    /// Pending bit and status with which the IRP left the location.
    completed: Option<(bool, NTSTATUS)>,
}

#[derive(Default)]
pub(crate) struct IrpTable {
    by_address: AddressMap<u32>,
    records: Vec<IrpRecord>,
    free: Vec<u32>,
    freed: std::collections::VecDeque<u32>,
    dispatches: Vec<Dispatch>,
    free_dispatches: Vec<u32>,
}

// SAFETY: the pointers own their blocks; only the table's holder follows them.
unsafe impl Send for IrpTable {}

impl Drop for IrpTable {
    fn drop(&mut self) {
        for record in self
            .records
            .iter()
            .filter(|record| record.live && !record.block.is_null())
        {
            // SAFETY: the machine goes away and with it whoever owned the IRP.
            unsafe { std::alloc::dealloc(record.block, record.layout) };
        }
    }
}

/// What [`IrpTable::begin_send`] found out.
pub(crate) struct Ticket {
    index: u32,
    /// The IRP leaves home.
    pub(crate) first: bool,
}

/// What [`IrpTable::leave`] found out about a location that the completion walk leaves.
pub(crate) struct Left {
    /// The IRP is back with whoever made it.
    pub(crate) home: bool,
    pub(crate) epoch: u64,
    pub(crate) mdl: usize,
}

impl IrpTable {
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.by_address.contains_key(&address)
    }

    pub(crate) fn find(&self, address: usize) -> Option<&IrpRecord> {
        self.by_address
            .get(&address)
            .map(|&index| &self.records[index as usize])
    }

    pub(crate) fn find_mut(&mut self, address: usize) -> Option<&mut IrpRecord> {
        self.by_address
            .get(&address)
            .map(|&index| &mut self.records[index as usize])
    }

    /// The latest IRP freed at `address`.
    pub(crate) fn find_freed(&self, address: usize) -> Option<&IrpRecord> {
        let mut freed = self
            .freed
            .iter()
            .rev()
            .map(|&index| &self.records[index as usize]);
        freed.find(|record| record.address == address)
    }

    /// Registers a new IRP. `block` is null for memory of the driver's own.
    #[expect(clippy::too_many_arguments, reason = "the facts of one event")]
    pub(crate) fn add(
        &mut self,
        address: usize,
        block: *mut u8,
        layout: Layout,
        kind: Kind,
        frame: Frame,
        owner: Owner,
        call: &'static str,
        stack_count: i8,
    ) {
        let record = IrpRecord {
            block,
            layout,
            live: true,
            address,
            kind,
            owner,
            driver: frame.driver,
            call,
            stack_count,
            place: Place::Home,
            holder: frame.driver,
            epoch: 0,
            top: 0,
            mdl: 0,
            dispatches: Vec::new(),
            routine_of: None,
            story: Story::default(),
        };
        let index = if let Some(index) = self.free.pop() {
            let old = &mut self.records[index as usize];
            let epoch = old.epoch;
            // The vector's memory is used again: no allocation per request.
            let mut dispatches = std::mem::take(&mut old.dispatches);
            dispatches.clear();
            *old = IrpRecord {
                epoch: epoch + 1,
                dispatches,
                ..record
            };
            index
        } else {
            self.records.push(record);
            (self.records.len() - 1) as u32
        };
        self.by_address.insert(address, index);
    }

    /// Takes an IRP out; gives the memory it was in.
    ///
    /// # Errors
    /// It is no IRP, or not at home.
    pub(crate) fn remove(&mut self, address: usize) -> Result<(*mut u8, Layout, Owner), Violation> {
        let Some(&index) = self.by_address.get(&address) else {
            let story =
                "IoFreeIrp of something that is no IRP: it was freed before, or never allocated.";
            return Err(Violation::io(0x01, address, 0, story));
        };
        let record = &mut self.records[index as usize];
        if matches!(record.kind, Kind::Threaded(_)) {
            let story =
                "IoFreeIrp of an IRP that the I/O manager made for a thread and frees itself.";
            return Err(Violation::io(0x20C, address, 0, story));
        }
        if record.place == Place::InFlight {
            let story = "IoFreeIrp of an IRP that a driver below still has.";
            return Err(Violation::io(0x20B, address, 0, story));
        }
        Ok(self.retire(address, index))
    }

    /// Takes an IRP out without asking: the I/O manager is done with it.
    pub(crate) fn take(&mut self, address: usize) -> Option<(*mut u8, Layout, Owner)> {
        let index = *self.by_address.get(&address)?;
        Some(self.retire(address, index))
    }

    fn retire(&mut self, address: usize, index: u32) -> (*mut u8, Layout, Owner) {
        self.by_address.remove(&address);
        self.freed.push_back(index);
        if self.freed.len() > FREED_RECORDS {
            self.free.extend(self.freed.pop_front());
        }
        let record = &mut self.records[index as usize];
        record.live = false;
        record.epoch += 1;
        (record.block, record.layout, record.owner)
    }

    /// An IRP is about to be used again.
    ///
    /// # Errors
    /// It is no IRP, or not at home.
    pub(crate) fn reuse(
        &mut self,
        address: usize,
        time: u64,
        frame: Frame,
    ) -> Result<(), Violation> {
        let Some(record) = self.find_mut(address) else {
            return Err(Violation::io(
                0x01,
                address,
                0,
                "IoReuseIrp of something that is no IRP.",
            ));
        };
        if record.place == Place::InFlight {
            let story = "IoReuseIrp of an IRP that a driver below still has.";
            return Err(Violation::io(0x20B, address, 0, story));
        }
        record.epoch += 1;
        record.mdl = 0;
        let event = Event {
            step: Step::Reused,
            time,
            driver: frame.driver,
            ..Event::default()
        };
        record.story.push(event);
        Ok(())
    }

    /// `frame` sends the IRP on: does it have it?
    ///
    /// # Errors
    /// It is no IRP, or in other hands.
    pub(crate) fn begin_send(&self, address: usize, frame: Frame) -> Result<Ticket, Violation> {
        let Some(&index) = self.by_address.get(&address) else {
            let story =
                "IoCallDriver with something that is no IRP: it was freed, or never was one.";
            return Err(Violation::io(0x03, address, 0, story));
        };
        let record = &self.records[index as usize];
        if record.place == Place::InFlight && in_other_hands(record, frame) {
            let story = "IoCallDriver with an IRP that a driver below still has.";
            return Err(Violation::io(0x205, address, 0, story));
        }
        Ok(Ticket {
            index,
            first: record.place == Place::Home,
        })
    }

    /// The IRP goes to `target` at `event.location`, in which there is a completion routine of a
    /// driver, or not. Returns the number under which the result of the dispatch routine is
    /// awaited.
    pub(crate) fn sent(
        &mut self,
        ticket: &Ticket,
        event: Event,
        target: Frame,
        mdl: usize,
        routine: bool,
    ) -> u32 {
        let dispatch = Dispatch {
            owner_is_driver: target.owner == Owner::Driver,
            ..Dispatch::default()
        };
        let number = if let Some(number) = self.free_dispatches.pop() {
            self.dispatches[number as usize] = dispatch;
            number
        } else {
            self.dispatches.push(dispatch);
            (self.dispatches.len() - 1) as u32
        };
        let record = &mut self.records[ticket.index as usize];
        if ticket.first {
            record.place = Place::InFlight;
            record.top = event.location;
            record.mdl = mdl;
        }
        let skipped = |&(level, _): &(i8, u32)| level == event.location;
        if !record.dispatches.last().is_some_and(skipped) {
            record.routine_of = routine.then_some(event.driver);
        }
        record.epoch += 1;
        record.holder = target.driver;
        record.dispatches.push((event.location, number));
        record.story.push(event);
        number
    }

    /// The dispatch routine has returned `status`.
    ///
    /// # Errors
    /// That does not fit what happened to the IRP.
    pub(crate) fn returned(
        &mut self,
        number: u32,
        status: NTSTATUS,
        irp: usize,
    ) -> Result<(), Violation> {
        let dispatch = &mut self.dispatches[number as usize];
        dispatch.returned = Some(status);
        let Some(_) = dispatch.completed else {
            if status == STATUS_PENDING {
                return Ok(());
            }
            let story = format!(
                "A dispatch routine returned {:#010X} and neither completed the IRP nor passed it \
                 down, or forgot to return STATUS_PENDING.",
                status.cast_unsigned()
            );
            return Err(Violation::io(0x226, irp, 0, story));
        };
        self.compare(number, irp)
    }

    /// The completion walk leaves `location`.
    ///
    /// # Errors
    /// The IRP is gone, in other hands, or a dispatch routine's result does not fit.
    pub(crate) fn leave(
        &mut self,
        address: usize,
        location: i8,
        pending: bool,
        status: NTSTATUS,
        above: Option<DriverId>,
    ) -> Result<Left, Violation> {
        let Some(&index) = self.by_address.get(&address) else {
            let story = "A completion walk went on with an IRP that has been freed.";
            return Err(Violation::io(0x20B, address, 0, story));
        };
        let mut verdict = Ok(());
        while let Some(&(level, number)) = self.records[index as usize].dispatches.last() {
            if level != location {
                break;
            }
            self.records[index as usize].dispatches.pop();
            let dispatch = &mut self.dispatches[number as usize];
            dispatch.completed = Some((pending, status));
            if dispatch.returned.is_some() {
                let result = self.compare(number, address);
                verdict = verdict.and(result);
            }
        }
        let record = &mut self.records[index as usize];
        let home = location >= record.top;
        if home {
            record.place = Place::Home;
            record.dispatches.clear();
        }
        record.holder = above.filter(|_| !home).unwrap_or(record.driver);
        record.epoch += 1;
        let left = Left {
            home,
            epoch: record.epoch,
            mdl: record.mdl,
        };
        if home {
            record.mdl = 0;
        }
        verdict.map(|()| left)
    }

    /// Both halves of a dispatch routine's story are known.
    fn compare(&mut self, number: u32, irp: usize) -> Result<(), Violation> {
        let dispatch = self.dispatches[number as usize];
        self.free_dispatches.push(number);
        let (Some(returned), Some((pending, status))) = (dispatch.returned, dispatch.completed)
        else {
            return Ok(());
        };
        if returned == STATUS_PENDING && !pending {
            let story = "A dispatch routine returned STATUS_PENDING and the IRP was not marked \
                         pending (IoMarkIrpPending).";
            return Err(Violation::io(0x23D, irp, 0, story));
        }
        if returned != STATUS_PENDING && pending {
            let story = format!(
                "The IRP was marked pending, and the dispatch routine returned {:#010X} instead of \
                 STATUS_PENDING.",
                returned.cast_unsigned()
            );
            return Err(Violation::io(0x23E, irp, 0, story));
        }
        if returned != STATUS_PENDING && returned != status && dispatch.owner_is_driver {
            let story = format!(
                "A dispatch routine returned {:#010X} for an IRP that was completed with {:#010X}.",
                returned.cast_unsigned(),
                status.cast_unsigned()
            );
            return Err(Violation::io(0x224, irp, 0, story));
        }
        Ok(())
    }

    /// Another IRP that `driver` made and has in flight with the same MDL.
    pub(crate) fn sharing_mdl(&self, irp: usize, mdl: usize, driver: DriverId) -> Option<usize> {
        let made = |record: &&IrpRecord| record.driver == driver && record.owner == Owner::Driver;
        let records = self
            .by_address
            .values()
            .map(|&index| &self.records[index as usize]);
        records
            .filter(made)
            .find(|record| {
                record.place == Place::InFlight && record.mdl == mdl && record.address != irp
            })
            .map(|record| record.address)
    }

    /// What `driver` has not freed, one line each.
    pub(crate) fn leaks_of(&self, driver: DriverId) -> Vec<String> {
        let leaked = self
            .by_address
            .values()
            .map(|&index| &self.records[index as usize])
            .filter(|record| record.driver == driver && record.owner == Owner::Driver);
        leaked
            .map(|record| {
                format!(
                    "IRP: {} stack locations, from {}",
                    record.stack_count, record.call
                )
            })
            .collect()
    }
}

/// Whether a driver under test uses an IRP that somebody else holds. The kernel's own neighbours
/// complete from devices' interrupts, where no frame says who they are.
pub(crate) fn in_other_hands(record: &IrpRecord, frame: Frame) -> bool {
    frame.driver != DriverId::NONE && frame.owner == Owner::Driver && record.holder != frame.driver
}

pub(crate) struct DeviceRecord {
    pub(crate) block: *mut u8,
    pub(crate) layout: Layout,
    pub(crate) number: u32,
    pub(crate) driver: DriverId,
    pub(crate) owner: Owner,
    pub(crate) name: Option<String>,
    pub(crate) references: u32,
    /// Deleted, and kept for its references.
    pub(crate) deleted: bool,
}

#[derive(Default)]
pub(crate) struct DeviceTable {
    pub(crate) by_address: AddressMap<DeviceRecord>,
    /// Descriptions by number; devices that are gone keep theirs.
    names: Vec<String>,
}

// SAFETY: the pointers own their blocks; only the table's holder follows them.
unsafe impl Send for DeviceTable {}

impl Drop for DeviceTable {
    fn drop(&mut self) {
        for record in self.by_address.values() {
            // SAFETY: the machine goes away and with it whoever used the device.
            unsafe { std::alloc::dealloc(record.block, record.layout) };
        }
    }
}

impl DeviceTable {
    pub(crate) fn next_number(&mut self, driver: &str) -> u32 {
        let number = self.names.len() as u32;
        self.names.push(format!("device #{number} of {driver}"));
        number
    }

    pub(crate) fn describe(&self, number: u32) -> String {
        self.names.get(number as usize).cloned().unwrap_or_default()
    }

    /// The driver that `device` belongs to.
    ///
    /// # Errors
    /// It is no device, or no longer.
    pub(crate) fn target(&self, device: usize, irp: usize) -> Result<&DeviceRecord, Violation> {
        if device == 0 {
            return Err(Violation::io(
                0x204,
                irp,
                0,
                "IoCallDriver with a null device object.",
            ));
        }
        // A deleted device that something is attached to still gets requests.
        self.by_address.get(&device).ok_or_else(|| {
            let story = format!(
                "IoCallDriver with {device:#x}, which is no device object: it was deleted, or never was one."
            );
            let parameters = [0x04, device as u64, 0, 0];
            Violation::new(codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION, parameters, story)
        })
    }
}
