//! Adapters, grants of map registers, and what is mapped through them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::common::CommonBuffer;
use super::list::ListRequest;
use super::registers::RegisterFile;
use super::violation::{ADAPTER_GONE, ADAPTER_NULL, broken};
use crate::abi::{PDMA_ADAPTER, PDRIVER_CONTROL, PMDL, PSCATTER_GATHER_LIST, PVOID};
use crate::machine::context::ThreadId;
use crate::machine::table::AddressMap;
use crate::machine::{DriverId, Shared, Violation};

/// How the HAL treats one device.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The most map registers at a time: what `IoGetDmaAdapter` says, unless the device's
    /// `MaximumLength` needs fewer. `None`: it has no adapter for the device and returns NULL.
    pub map_registers: Option<u32>,
    /// When a request for the channel is served.
    pub grants: Grants,
    /// The most pages that one `MapTransfer` maps, for drivers that look at the length that it returns.
    /// Without scatter/gather Windows maps all that it was asked for ["the input and output values of
    /// Length are identical", Microsoft: `MapTransfer`], and a driver may rely on it.
    pub map_at_most: Option<u32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            map_registers: Some(64),
            grants: Grants::Inline,
            map_at_most: None,
        }
    }
}

/// When a request for the channel that can be served is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Inside the call that asks, or inside the one that frees what was waited for.
    Inline,
    /// So much later (100 ns).
    Later(u64),
    /// Either way, as the machine's seed says, and at most so much later (100 ns).
    Seeded(u64),
}

/// A neighbour that takes map registers out of the pool: each time when the driver under test asks
/// for some it is ahead by a coin's toss, unless it has or wants some already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greedy {
    /// How many at a time.
    pub registers: u32,
    /// How long it keeps them (100 ns).
    pub hold: u64,
}

/// Totals over all adapters but the greedy one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DmaCounts {
    /// Adapters that exist now.
    pub adapters: u32,
    /// Times that a channel was granted, for scatter/gather lists too.
    pub grants: u64,
    /// How many of these had to wait for the channel or for map registers.
    pub waited: u64,
    /// Calls of `MapTransfer`.
    pub map_transfers: u64,
    /// Calls of `FlushAdapterBuffers`.
    pub flushes: u64,
    /// Scatter/gather lists made.
    pub lists: u64,
    /// Map registers granted now.
    pub registers_now: u32,
    /// The most map registers granted at a time.
    pub registers_peak: u32,
    /// Pages that were mapped through a page of the HAL's own.
    pub bounced_pages: u64,
    /// Transfers mapped now.
    pub mapped_now: u32,
    /// Common buffers that exist now.
    pub common_buffers: u32,
}

/// An adapter that a driver has.
pub(super) struct Adapter {
    pub(super) driver: DriverId,
    /// Whose device it is for: the address of the physical device object.
    pub(super) pdo: usize,
    pub(super) registers: u32,
    pub(super) bits: u32,
    pub(super) scatter_gather: bool,
    pub(super) grants: Grants,
    /// The most pages that one `MapTransfer` maps.
    pub(super) most_pages: usize,
    /// The grant (or the request on its way to one) that has the channel.
    pub(super) channel: Channel,
    /// Who waits for the channel.
    pub(super) waiting: VecDeque<Request>,
    pub(super) common: Vec<CommonBuffer>,
}

/// Who has the channel of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Free,
    /// A request that waits for map registers, or whose routine is due. With the address of the device
    /// object whose wait block it is in; a list's has one of its own, says 0, and has the channel until
    /// its routine has returned.
    Due(usize),
    /// The AdapterControl routine, on this thread.
    Running(ThreadId),
    /// The driver, with these map registers (`KeepObject`).
    Held(usize),
}

/// Somebody who wants the channel and map registers.
pub(super) struct Request {
    /// Address of the adapter; 0 is the greedy neighbour's.
    pub(super) adapter: usize,
    pub(super) device: Shared<crate::abi::DEVICE_OBJECT>,
    pub(super) irp: Shared<crate::abi::IRP>,
    pub(super) count: u32,
    pub(super) what: Wanted,
    /// It found the channel or the registers taken.
    pub(super) waited: bool,
}

/// What a request wants the registers for.
pub(super) enum Wanted {
    Channel {
        routine: PDRIVER_CONTROL,
        context: Shared<core::ffi::c_void>,
    },
    List(ListRequest),
    /// To keep them for this long.
    Greed(u64),
}

impl Request {
    /// The device object in whose wait block it is, by address; 0 for one that needs none.
    pub(super) fn wait_block(&self) -> usize {
        match self.what {
            Wanted::Channel { .. } => self.device.0.addr(),
            Wanted::List(_) | Wanted::Greed(_) => 0,
        }
    }
}

/// Map registers that were granted.
pub(super) struct Grant {
    pub(super) adapter: usize,
    pub(super) first: usize,
    pub(super) count: u32,
    /// How many of them transfers use.
    pub(super) used: u32,
    pub(super) mappings: Vec<Mapping>,
    /// They belong to a scatter/gather list.
    pub(super) for_list: bool,
}

/// A transfer, or a part of one, that is mapped: neighbours in logical space.
pub(super) struct Mapping {
    pub(super) mdl: usize,
    pub(super) va: usize,
    pub(super) length: usize,
    pub(super) logical: u64,
    pub(super) write: bool,
    pub(super) pieces: Vec<Piece>,
}

/// The part of a mapping that lies in one page.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) frame: u64,
    pub(super) offset: usize,
    pub(super) length: usize,
    /// The page that stands in for the frame.
    pub(super) bounce: Option<Shared<u8>>,
}

/// A scatter/gather list that a driver has.
pub(super) struct List {
    pub(super) adapter: usize,
    pub(super) base: usize,
    pub(super) memory: Shared<crate::abi::SCATTER_GATHER_LIST>,
    pub(super) mdl: PMDL,
    pub(super) va: usize,
    pub(super) length: usize,
    pub(super) write: bool,
}

// SAFETY: what the MDL may be used for is the protocol between driver and HAL, on any processor.
unsafe impl Send for List {}

/// Everything that the HAL knows.
#[derive(Default)]
pub(crate) struct State {
    pub(super) setups: HashMap<usize, Setup>,
    pub(super) file: RegisterFile,
    pub(super) adapters: AddressMap<Adapter>,
    /// Adapters that were put; their memory stays, so that a late call is understood.
    pub(super) released: HashSet<usize>,
    /// By the number that is the driver's `MapRegisterBase`.
    pub(super) grants: BTreeMap<usize, Grant>,
    pub(super) granted: usize,
    /// Who has a channel and waits for map registers.
    pub(super) queue: VecDeque<Request>,
    pub(super) lists: AddressMap<List>,
    pub(super) greedy: Option<Greedy>,
    /// The greedy neighbour has or wants registers.
    pub(super) greedy_busy: bool,
    pub(super) counts: DmaCounts,
}

/// Where the numbers begin that stand for map registers granted; nothing can be read there.
const BASES: usize = 0xFFFF_C000_0000_0000;

impl State {
    /// The adapter that a driver passed.
    pub(super) fn adapter(
        &mut self,
        function: &str,
        adapter: PDMA_ADAPTER,
    ) -> Result<&mut Adapter, Violation> {
        let address = adapter.addr();
        let gone = self.released.contains(&address);
        self.adapters.get_mut(&address).ok_or_else(|| {
            let (rule, what) = match (address, gone) {
                (0, _) => (ADAPTER_NULL, "without an adapter"),
                (_, true) => (ADAPTER_GONE, "with an adapter after PutDmaAdapter"),
                (_, false) => (ADAPTER_GONE, "with something that is no adapter"),
            };
            let story = format!("{function} was called {what}.");
            broken(rule, [address as u64, 0, 0], story)
        })
    }

    /// Registers a grant and gives it its number.
    pub(super) fn add_grant(&mut self, grant: Grant) -> usize {
        self.granted += 1;
        let base = BASES + self.granted * 16;
        if grant.adapter != 0 {
            let counts = &mut self.counts;
            counts.registers_now += grant.count;
            counts.registers_peak = counts.registers_peak.max(counts.registers_now);
        }
        self.grants.insert(base, grant);
        base
    }

    /// Gives the registers of a grant back. Nothing is mapped through them.
    pub(super) fn drop_grant(&mut self, base: usize) {
        if let Some(grant) = self.grants.remove(&base) {
            self.file.give_back(grant.first, grant.count);
            if grant.adapter != 0 {
                self.counts.registers_now -= grant.count;
            }
        }
    }

    /// The grant behind a `MapRegisterBase`, if it is one of this adapter.
    pub(super) fn grant(&mut self, adapter: usize, base: PVOID) -> Option<&mut Grant> {
        let grant = self.grants.get_mut(&base.addr());
        grant.filter(|grant| grant.adapter == adapter)
    }

    /// Map registers and lists of an adapter that were not given back.
    pub(super) fn outstanding(&self, adapter: usize) -> (u32, usize) {
        let grants = self.grants.values();
        let registers = grants
            .filter(|grant| grant.adapter == adapter && !grant.for_list)
            .map(|grant| grant.count)
            .sum();
        let lists = self.lists.values();
        let lists = lists.filter(|list| list.adapter == adapter).count();
        (registers, lists)
    }

    /// What was not given back, by `driver` or by anybody.
    pub(super) fn left_behind(&self, driver: Option<DriverId>) -> Vec<String> {
        let mut lines = Vec::new();
        for (&address, adapter) in &self.adapters {
            if driver.is_some_and(|driver| driver != adapter.driver) {
                continue;
            }
            let (registers, lists) = self.outstanding(address);
            let mapped: usize = self
                .grants
                .values()
                .filter(|grant| grant.adapter == address)
                .map(|grant| grant.mappings.len())
                .sum();
            let channel = match adapter.channel {
                Channel::Free => "free",
                Channel::Due(_) | Channel::Running(_) => "being granted",
                Channel::Held(_) => "held",
            };
            lines.push(format!(
                "DMA adapter: never put; channel {channel}, {} waiting, {registers} map registers, \
                 {mapped} transfers mapped, {lists} scatter/gather lists, {} common buffers",
                adapter.waiting.len(),
                adapter.common.len()
            ));
        }
        lines
    }

    /// The list at an address, if it is one of this adapter.
    pub(super) fn list(&mut self, adapter: usize, list: PSCATTER_GATHER_LIST) -> Option<List> {
        let known = self.lists.get(&list.addr())?;
        if known.adapter != adapter {
            return None;
        }
        self.lists.remove(&list.addr())
    }
}
