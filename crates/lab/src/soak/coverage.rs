//! What a soak has seen, and whether that is enough.

use ntsim::port::{FaultCounts, Kind};
use ntsim::world::StackKind;
use serde_json::{Value, json};
use xfersplit_oracle::Binding;

/// Counts over all worlds.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Worlds.
    pub worlds: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of them writes.
    pub writes: u64,
    /// Bytes in requests that succeeded.
    pub bytes: u64,
    /// Pieces at the port, every try counted.
    pub pieces: u64,
    /// Requests that needed more than one piece.
    pub split: u64,
    /// Requests refused because a setting leaves no legal split.
    pub refused: u64,
    /// Requests that failed because of an injected fault.
    pub failed: u64,
    /// Requests whose pieces met a fault and that succeeded all the same.
    pub survived: u64,
    /// Requests whose piece count was compared with the judge's minimum.
    pub judged: u64,
    /// Pieces ended by each limit.
    pub bound_bytes: u64,
    /// Pieces ended by the limit on pages.
    pub bound_pages: u64,
    /// Pieces ended by the command block.
    pub bound_cdb: u64,
    /// Pieces ended by the alignment.
    pub bound_alignment: u64,
    /// Pieces ended by an LBA boundary.
    pub bound_boundary: u64,
    /// Pieces ended by a physical sector.
    pub bound_physical: u64,
    /// Requests through each kind of stack in each format of request blocks, class, disk and relay, each
    /// legacy before extended.
    pub routes: [u64; 6],
    /// Requests beneath a class driver that was told: its adapter's limits, the effective ones, larger ones.
    pub told: [u64; 3],
    /// Requests that a class driver cut into several packets.
    pub class_split: u64,
    /// Packets of a class driver that the driver split further.
    pub packets_split: u64,
    /// Packets that a class driver sent again.
    pub class_retries: u64,
    /// Packets that a class driver sent page by page.
    pub class_low_memory: u64,
    /// Groups of requests whose every layer was compared.
    pub layers: u64,
    /// Injected faults.
    pub faults: FaultCounts,
}

/// The ways through a machine: the kind of stack, and whether commands come in extended request blocks.
const ROUTES: [(StackKind, bool, &str); 6] = [
    (StackKind::Port, false, "class stack, legacy SRBs"),
    (StackKind::Port, true, "class stack, extended SRBs"),
    (StackKind::Disk, false, "disk stack, legacy SRBs"),
    (StackKind::Disk, true, "disk stack, extended SRBs"),
    (StackKind::Relay, false, "relay stack, legacy SRBs"),
    (StackKind::Relay, true, "relay stack, extended SRBs"),
];

const TOLD: [&str; 3] = [
    "class told the adapter's limits",
    "class told the effective limits",
    "class told larger limits",
];

impl Coverage {
    /// Notes what ended one piece.
    pub fn note(&mut self, binding: Binding) {
        self.bound_bytes += u64::from(binding.bytes);
        self.bound_pages += u64::from(binding.pages);
        self.bound_cdb += u64::from(binding.cdb);
        self.bound_alignment += u64::from(binding.alignment);
        self.bound_boundary += u64::from(binding.boundary);
        self.bound_physical += u64::from(binding.physical);
    }

    /// Notes requests that went through a kind of stack.
    pub fn note_route(&mut self, kind: StackKind, extended: bool) {
        let routes = ROUTES.iter().zip(&mut self.routes);
        for (_, count) in routes.filter(|(route, _)| (route.0, route.1) == (kind, extended)) {
            *count += 1;
        }
    }

    /// Adds what another part of the soak has seen.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.requests += other.requests;
        self.writes += other.writes;
        self.bytes += other.bytes;
        self.pieces += other.pieces;
        self.split += other.split;
        self.refused += other.refused;
        self.failed += other.failed;
        self.survived += other.survived;
        self.judged += other.judged;
        self.bound_bytes += other.bound_bytes;
        self.bound_pages += other.bound_pages;
        self.bound_cdb += other.bound_cdb;
        self.bound_alignment += other.bound_alignment;
        self.bound_boundary += other.bound_boundary;
        self.bound_physical += other.bound_physical;
        add_all(&mut self.routes, &other.routes);
        add_all(&mut self.told, &other.told);
        self.class_split += other.class_split;
        self.packets_split += other.packets_split;
        self.class_retries += other.class_retries;
        self.class_low_memory += other.class_low_memory;
        self.layers += other.layers;
        self.faults.add(&other.faults);
    }

    /// Every counted event with its name, in the order of reports.
    pub fn events(&self) -> Vec<(String, u64)> {
        let mut events: Vec<(String, u64)> = [
            ("split", self.split),
            ("bound by bytes", self.bound_bytes),
            ("bound by pages", self.bound_pages),
            ("bound by cdb", self.bound_cdb),
            ("bound by alignment", self.bound_alignment),
            ("bound by boundary", self.bound_boundary),
            ("bound by physical sector", self.bound_physical),
            ("refused", self.refused),
            ("class split", self.class_split),
            ("class packets split further", self.packets_split),
            ("class retries", self.class_retries),
            ("class page by page", self.class_low_memory),
            ("layers compared", self.layers),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        let routes = ROUTES.iter().map(|(_, _, name)| *name).zip(self.routes);
        let told = TOLD.into_iter().zip(self.told);
        events.extend(
            routes
                .chain(told)
                .map(|(name, count)| (name.to_owned(), count)),
        );
        let faults = Kind::ALL.map(|kind| (format!("fault {}", kind.name()), self.faults.of(kind)));
        events.extend(faults);
        events
    }

    /// The events that were seen fewer than `least` times.
    pub fn missing(&self, least: u64) -> Vec<(String, u64)> {
        self.events()
            .into_iter()
            .filter(|(_, count)| *count < least)
            .collect()
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let events: serde_json::Map<String, Value> = self
            .events()
            .into_iter()
            .map(|(name, count)| (name, json!(count)))
            .collect();
        json!({
            "worlds": self.worlds,
            "requests": self.requests,
            "writes": self.writes,
            "bytes": self.bytes,
            "pieces": self.pieces,
            "failed": self.failed,
            "survived": self.survived,
            "judged": self.judged,
            "events": events,
        })
    }
}

fn add_all<const N: usize>(counts: &mut [u64; N], others: &[u64; N]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}
