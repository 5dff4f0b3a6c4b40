//! A machine for one row, data that can be told apart, and what was seen.

use std::fmt;

use ntsim::dma::DmaCounts;
use ntsim::port::{Direction, Disk, Hba, PortRecord};
use ntsim::world::{Buffer, DmaStack, DmaWorld, Pending};
use ntsim::{Clock, Driver, Report, Stack, World};
use scenario::{Exchange, Top};
use serde_json::Value;

use crate::report::{count, several};

pub(super) use scenario::PAGE;

/// What a scene comes to: what was seen, or what did not hold.
pub type Shown = Result<Seen, String>;

/// Both directions, the write first.
pub(super) const BOTH: [Direction; 2] = [Direction::Write, Direction::Read];

/// The drivers that play, and the seed of everything random.
pub struct Scene {
    filter: Driver,
    highest: Driver,
    monolithic: Driver,
    settings: Vec<(String, u32)>,
    seed: u64,
}

impl Scene {
    /// With this filter; the other drivers are made from this workspace's sources.
    pub fn new(filter: Driver, seed: u64) -> Self {
        Self {
            filter,
            highest: Driver::linked("highest", highest::driver_entry),
            monolithic: Driver::linked("monolithic", monolithic::driver_entry),
            settings: Vec::new(),
            seed,
        }
    }

    /// With a setting of the device's in every scene that does not set it itself.
    #[must_use]
    pub fn setting(mut self, name: &str, value: u32) -> Self {
        self.settings.push((name.to_owned(), value));
        self
    }

    /// The filter right above the port of this adapter, in front of a disk of 32 MiB.
    pub(super) fn world(&self, hba: Hba) -> World {
        self.dressed(World::new(self.filter.clone()).hba(hba))
    }

    /// The driver at the top of a stack, above the filter.
    pub(super) fn above(&self, hba: Hba) -> World {
        self.world(hba).function(self.highest.clone())
    }

    /// The driver of a disk controller without scatter/gather.
    pub(super) fn controller(&self) -> DmaWorld {
        DmaWorld::new(&self.monolithic)
            .clock(Clock::Deterministic { seed: self.seed })
            .max_segments(1)
    }

    fn dressed(&self, world: World) -> World {
        let world = world
            .clock(Clock::Deterministic { seed: self.seed })
            .disk(Disk::memory(1 << 16, 512));
        let settings = self.settings.iter();
        settings.fold(world, |world, (name, value)| world.setting(name, *value))
    }
}

/// What was seen while a row was shown: figures with their names, and how many bytes were compared with plain memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    facts: Vec<(&'static str, u64)>,
    verified: u64,
}

impl Seen {
    /// So many bytes moved and compared.
    pub(super) fn verified(bytes: u64) -> Self {
        Self {
            facts: Vec::new(),
            verified: bytes,
        }
    }

    /// With a figure.
    #[must_use]
    pub(super) fn fact(mut self, name: &'static str, figure: u64) -> Self {
        self.facts.push((name, figure));
        self
    }

    /// With what was seen elsewhere.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.facts.extend(&other.facts);
        self.verified += other.verified;
        self
    }

    /// The figures with their names.
    pub fn facts(&self) -> &[(&'static str, u64)] {
        &self.facts
    }

    /// Bytes that were compared with plain memory.
    pub fn bytes_verified(&self) -> u64 {
        self.verified
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let facts = self.facts.iter();
        let all = facts
            .map(|&(name, figure)| (name.to_owned(), Value::from(figure)))
            .chain([("bytes verified".to_owned(), Value::from(self.verified))]);
        Value::Object(all.collect())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure) in &self.facts {
            write!(f, "{name}: {} · ", count(*figure))?;
        }
        write!(f, "{} compared", several(self.verified, "byte"))
    }
}

/// Runs a scene in which everybody behaves: no bug check, nothing that the port objects to, every request back.
pub(super) fn play(world: World, act: impl FnOnce(&Stack) -> Shown + Send) -> Shown {
    let (seen, report) = world.run(act).map_err(|bug_check| bug_check.to_string())?;
    let seen = seen?;
    sound(&report)?;
    Ok(seen)
}

fn sound(report: &Report) -> Result<(), String> {
    if let Some(violation) = report.violations.first() {
        return Err(format!("the port objects: {violation}"));
    }
    expect("requests that came back", report.finished, report.sent)?;
    expect("pages still locked", report.locks.pages as u64, 0)
}

/// The same above the disk controller: nothing that it objects to, and everything given back to the HAL.
pub(super) fn play_dma<T: Send>(
    world: DmaWorld,
    act: impl FnOnce(&DmaStack) -> Result<T, String> + Send,
) -> Result<(T, DmaCounts), String> {
    let (seen, report) = world.run(act).map_err(|bug_check| bug_check.to_string())?;
    let seen = seen?;
    if let Some(misuse) = report.misuses.first() {
        return Err(format!("the controller objects: {misuse:?}"));
    }
    expect("requests that came back", report.finished, report.sent)?;
    let dma = report.dma;
    let left = dma.adapters + dma.registers_now + dma.mapped_now;
    expect("adapters, registers and mappings left", u64::from(left), 0)?;
    Ok((seen, dma))
}

/// Whether a figure is the one that was to be seen.
pub(super) fn expect(what: &str, seen: u64, expected: u64) -> Result<(), String> {
    if seen == expected {
        Ok(())
    } else {
        Err(format!("{what}: {seen} seen, {expected} expected"))
    }
}

/// Whether something holds.
pub(super) fn holds(what: &str, yes: bool) -> Result<(), String> {
    if yes {
        Ok(())
    } else {
        Err(format!("{what}: not so"))
    }
}

/// A request whose data is compared with plain memory afterwards.
pub(super) struct Probe(Exchange);

impl Probe {
    /// A request of all of `buffer`. What is to be overwritten holds something else before.
    pub(super) fn new(top: &impl Top, direction: Direction, offset: u64, buffer: Buffer) -> Self {
        let length = buffer.len() as u64;
        let seed = offset ^ length << 32 ^ u64::from(direction == Direction::Read);
        Self(Exchange::in_buffer(top, direction, offset, buffer, seed))
    }

    /// Sends it.
    pub(super) fn send<'s>(&self, top: &'s impl Top) -> Pending<'s> {
        self.0.transfer(top).send()
    }

    /// Compares: how many bytes are the same, which is all of them.
    pub(super) fn compare(&self, top: &impl Top) -> Result<u64, String> {
        let length = self.length();
        let same = self.0.moved(top, 0..length) as u64;
        expect("bytes in their place", same, length as u64)?;
        Ok(same)
    }

    /// Sends it, waits, compares.
    pub(super) fn moves(&self, top: &impl Top) -> Result<u64, String> {
        let done = self.send(top).wait();
        holds("the request succeeds", done.succeeded())?;
        expect("bytes claimed", done.information, self.length() as u64)?;
        self.compare(top)
    }

    fn length(&self) -> usize {
        self.0.buffer().len()
    }
}

/// What a write and then a read of the same length came to.
pub(super) struct Both {
    /// The operations of the write, by place.
    pub(super) operations: Vec<PortRecord>,
    /// Bytes of both that were compared.
    pub(super) verified: u64,
}

impl Both {
    /// The most pages that one operation touched.
    pub(super) fn pages(&self) -> u64 {
        let each = self.operations.iter();
        each.map(|one| u64::from(one.span_pages)).max().unwrap_or(0)
    }

    /// How many operations the write took.
    pub(super) fn count(&self) -> u64 {
        self.operations.len() as u64
    }
}

/// Writes and reads `length` bytes from `page_offset` on; both take as many operations.
pub(super) fn both(stack: &Stack, length: usize, page_offset: usize) -> Result<Both, String> {
    both_of(stack, |stack| stack.buffer(length, page_offset))
}

/// The same with buffers of any kind.
pub(super) fn both_of(stack: &Stack, buffer: impl Fn(&Stack) -> Buffer) -> Result<Both, String> {
    let mut verified = 0;
    let mut operations = Vec::new();
    for direction in BOTH {
        stack.port().forget_records();
        let probe = Probe::new(stack, direction, 1 << 20, buffer(stack));
        verified += probe.moves(stack)?;
        operations.push(stack.port().transfers());
    }
    expect(
        "operations of the read",
        operations[1].len() as u64,
        operations[0].len() as u64,
    )?;
    let mut operations = operations.swap_remove(0);
    operations.sort_by_key(|one| one.lba);
    Ok(Both {
        operations,
        verified,
    })
}

/// A number below the device's `Xfersplit` key.
pub(super) fn number(stack: &Stack, path: &str) -> u64 {
    let value = stack.registry_value(path);
    value
        .and_then(|value| value.as_dword())
        .map_or(0, u64::from)
}
