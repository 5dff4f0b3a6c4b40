//! The histories of IRPs: a few recent events each, written out when a rule is broken.

use std::fmt::Write as _;

use super::{DriverId, Machine, context, lock};
use crate::abi::{NTSTATUS, PIRP};

/// Events kept per IRP.
const RING: usize = 16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Step {
    #[default]
    Sent,
    Completed,
    Reused,
    Cancelled,
}

/// One event of an IRP's life.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Event {
    pub(crate) step: Step,
    pub(crate) time: u64,
    pub(crate) driver: DriverId,
    /// Number of the device it was sent to.
    pub(crate) device: u32,
    pub(crate) major: u8,
    pub(crate) minor: u8,
    pub(crate) location: i8,
    pub(crate) status: NTSTATUS,
    pub(crate) information: u64,
}

/// The latest events of an IRP, oldest overwritten.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    ring: [Event; RING],
    total: usize,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            ring: [Event::default(); RING],
            total: 0,
        }
    }
}

impl Story {
    pub(crate) fn push(&mut self, event: Event) {
        self.ring[self.total % RING] = event;
        self.total += 1;
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        let first = self.total.saturating_sub(RING);
        (first..self.total).map(|index| &self.ring[index % RING])
    }

    fn forgotten(&self) -> usize {
        self.total.saturating_sub(RING)
    }
}

/// The history of an IRP as far as the machine remembers it, one event per line.
#[must_use]
pub fn irp_story(irp: PIRP) -> String {
    let context = context::current();
    story_of(&context.machine, irp.addr())
}

pub(crate) fn story_of(machine: &Machine, irp: usize) -> String {
    let io = lock(&machine.io);
    let Some(record) = io.irps.find(irp).or_else(|| io.irps.find_freed(irp)) else {
        return format!("IRP {irp:#x}: not known to this machine.\n");
    };
    let mut text = format!(
        "IRP {irp:#x}: {} stack locations, from {} by {}{}\n",
        record.stack_count,
        record.call,
        machine.driver_name(record.driver),
        if record.live { "" } else { " (freed)" },
    );
    let story = record.story.clone();
    let names: Vec<_> = story
        .events()
        .map(|event| io.devices.describe(event.device))
        .collect();
    drop(io);
    if story.forgotten() > 0 {
        let _infallible = writeln!(text, "  … {} earlier events", story.forgotten());
    }
    for (event, device) in story.events().zip(names) {
        let who = machine.driver_name(event.driver);
        let line = describe(event, &who, &device);
        let _infallible = writeln!(text, "  [{:>10}] {line}", event.time);
    }
    text
}

fn describe(event: &Event, who: &str, device: &str) -> String {
    let Event {
        step,
        major,
        minor,
        location,
        status,
        information,
        ..
    } = *event;
    match step {
        Step::Sent => format!(
            "sent by {who} to {device}: {}, location {location}",
            function_name(major, minor)
        ),
        Step::Completed => format!(
            "completed by {who} at location {location}: status {:#010X}, information {information}",
            status.cast_unsigned()
        ),
        Step::Reused => format!("reused by {who}"),
        Step::Cancelled => format!("cancelled by {who}"),
    }
}

/// A major and minor function as people write them.
fn function_name(major: u8, minor: u8) -> String {
    let name = match major {
        0 => "IRP_MJ_CREATE",
        2 => "IRP_MJ_CLOSE",
        3 => "IRP_MJ_READ",
        4 => "IRP_MJ_WRITE",
        9 => "IRP_MJ_FLUSH_BUFFERS",
        14 => "IRP_MJ_DEVICE_CONTROL",
        15 => "IRP_MJ_SCSI",
        16 => "IRP_MJ_SHUTDOWN",
        18 => "IRP_MJ_CLEANUP",
        22 => "IRP_MJ_POWER",
        23 => "IRP_MJ_SYSTEM_CONTROL",
        27 => "IRP_MJ_PNP",
        _ => return format!("major {major:#x}, minor {minor:#x}"),
    };
    if minor == 0 {
        name.to_owned()
    } else {
        format!("{name}, minor {minor:#x}")
    }
}
