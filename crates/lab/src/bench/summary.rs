//! What a run came to, for people and for programs.

use comfy_table::Table;
use ntsim::class::{ClassCounts, ClassFacts};
use ntsim::machine::AllocationCounts;
use ntsim::port::{Kind, PortCounts, Violation};
use ntsim::world::{Report, StackKind};
use serde_json::{Value, json};

use super::{Before, Effective, Exchange, FilesResult, Ledger, class_counts};
use crate::layers;
use crate::mirror::Hash;
use crate::report::{count, several, table, time};
use crate::size::{about, show};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Where the filter was.
    pub stack: StackKind,
    /// Commands that came in `STORAGE_REQUEST_BLOCK`s.
    pub extended: u64,
    /// What the driver worked by; none without the filter.
    pub effective: Option<Effective>,
    /// What the class driver did, where there was one.
    pub class: Option<Class>,
    /// What a file system did before the requests, where there was one.
    pub files: Option<FilesResult>,
    /// Requests.
    pub requests: u64,
    /// Of them writes.
    pub writes: u64,
    /// Bytes that successful requests moved.
    pub bytes: u64,
    /// Requests that did not succeed.
    pub failed: u64,
    /// Of them those that met an injected fault.
    pub excused: u64,
    /// Requests that became more than one command.
    pub split: u64,
    /// Commands at the port.
    pub pieces: u64,
    /// Bytes of the longest.
    pub longest: u32,
    /// Commands of the requests that met no fault and succeeded.
    pub judged_pieces: u64,
    /// The fewest commands those could have needed, by the judge.
    pub minimum: u64,
    /// Whether pieces were judged.
    pub judged: bool,
    /// Hashes of everything touched: as it should be, and as the disk has it.
    pub hashes: Option<(Hash, Hash)>,
    /// What the driver allocated between the first request, or the first file before it, and the last.
    pub io_allocations: u64,
    /// The most memory the driver held, bytes.
    pub driver_memory: u64,
    /// The port's counters, with what files before the requests brought.
    pub port: PortCounts,
    /// Injected faults by kind, those that happened.
    pub faults: Vec<(Kind, u64)>,
    /// Virtual time from the first request to the last, in 100 ns.
    pub time: u64,
    /// Violations of limits and rules, the first few.
    pub violations: Vec<String>,
    /// The first thing that was wrong.
    complaint: Option<String>,
    /// A hash over the commands that the port saw: the same for runs that were the same to it.
    pub trace: Hash,
    /// What the filter wrote to the debugger.
    pub log: Vec<String>,
    /// The most memory this process used, bytes, where the system tells.
    pub process_memory: Option<u64>,
}

/// What the class driver of a stack learned and did.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// What it learned at its start; none if it never did.
    pub facts: Option<ClassFacts>,
    /// READ and WRITE requests that reached it.
    pub requests: u64,
    /// Of them those that took more than one packet.
    pub split: u64,
    /// Packets it sent, every try counted.
    pub packets: u64,
    /// Packets it sent again.
    pub retries: u64,
    /// Times it released the port's queue.
    pub releases: u64,
    /// Bytes of its longest packet, for a file or a request.
    pub largest: u32,
}

impl Class {
    fn since(before: &ClassCounts, after: &ClassCounts, facts: Option<ClassFacts>) -> Self {
        Self {
            facts,
            requests: after.requests - before.requests,
            split: after.split - before.split,
            packets: after.packets - before.packets,
            retries: after.retries - before.retries,
            releases: after.releases - before.releases,
            largest: after.largest,
        }
    }

    /// Bytes and pages that it takes for the adapter's limits.
    pub fn told(&self) -> String {
        let limit = |value: u32, text: String| {
            if value == u32::MAX {
                "no limit".to_owned()
            } else {
                text
            }
        };
        self.facts.map_or_else(String::new, |facts| {
            let (bytes, pages) = (facts.maximum_transfer_length, facts.maximum_physical_pages);
            let bytes = limit(bytes, show(u64::from(bytes)));
            let pages = limit(pages, several(u64::from(pages), "page"));
            format!("{bytes}, {pages}")
        })
    }

    fn to_json(self) -> Value {
        json!({
            "requests": self.requests,
            "split": self.split,
            "packets": self.packets,
            "retries": self.retries,
            "queue_releases": self.releases,
            "longest_packet": self.largest,
            "told_maximum_transfer_length": self.facts.map(|facts| facts.maximum_transfer_length),
            "told_maximum_physical_pages": self.facts.map(|facts| facts.maximum_physical_pages),
        })
    }
}

impl Summary {
    pub(super) fn of(
        ledger: &Ledger,
        exchange: &Exchange<'_>,
        before: &Before,
        after: &AllocationCounts,
    ) -> Self {
        let port = exchange.port();
        let faults = port.fault_counts();
        let stack = exchange.stack();
        let class = before.class.as_ref().zip(class_counts(stack));
        Self {
            stack: stack.kind(),
            effective: Effective::of(stack),
            extended: ledger.extended,
            class: class.map(|(before, after)| Class::since(before, &after, stack.class_facts())),
            files: None,
            requests: ledger.requests,
            writes: ledger.writes,
            bytes: ledger.bytes,
            failed: ledger.failed,
            excused: ledger.excused,
            split: ledger.split,
            pieces: ledger.pieces,
            longest: ledger.longest,
            judged_pieces: ledger.judged_pieces,
            minimum: ledger.minimum,
            judged: ledger.judges(),
            hashes: ledger.hashes(port.disk()),
            io_allocations: after.total() - before.allocations.total(),
            driver_memory: after.bytes_peak.max(0).unsigned_abs(),
            port: port.counts(),
            faults: faults.iter().filter(|(_, times)| *times > 0).collect(),
            time: exchange.elapsed() - before.time,
            violations: port
                .violations()
                .iter()
                .take(5)
                .map(ToString::to_string)
                .collect(),
            complaint: ledger.complaint.clone(),
            trace: exchange.trace(),
            log: Vec::new(),
            process_memory: process_memory(),
        }
    }

    /// With what came of files before the requests.
    pub(super) fn after_files(self, files: Option<FilesResult>) -> Self {
        Self { files, ..self }
    }

    /// With what is known only when everything has been taken down.
    pub(super) fn closed(mut self, report: &Report) -> Self {
        self.log.clone_from(&report.debug_log);
        if report.sent != report.finished {
            let (sent, finished) = (report.sent, report.finished);
            self.complaint
                .get_or_insert_with(|| format!("{sent} requests sent, {finished} came back"));
        }
        self
    }

    /// The first thing that was wrong, in one line; none if all is well.
    pub fn complaint(&self) -> Option<String> {
        if let Some(complaint) = self
            .files
            .as_ref()
            .and_then(|files| files.complaint.clone())
        {
            return Some(complaint);
        }
        if let Some(complaint) = &self.complaint {
            return Some(complaint.clone());
        }
        if let Some(violation) = self.violations.first() {
            return Some(format!("the port saw a violation: {violation}"));
        }
        if self
            .hashes
            .is_some_and(|(expected, found)| expected != found)
        {
            return Some("the disk does not hold what was written".into());
        }
        if self.judged && self.io_allocations > 0 {
            let times = count(self.io_allocations);
            return Some(format!(
                "the driver allocated {times} times on the way of requests"
            ));
        }
        None
    }

    /// For people.
    pub fn table(&self) -> Table {
        let mut rows = table(&["", "result"], 2);
        for (name, value) in self.rows() {
            rows.add_row([name, value]);
        }
        rows
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let reads = self.requests - self.writes;
        let requests = format!(
            "{} ({} reads, {} writes)",
            count(self.requests),
            count(reads),
            count(self.writes)
        );
        let files = self.files.iter();
        let mut rows: Vec<_> = files
            .map(|files| row("file system", files.line()))
            .collect();
        rows.extend([
            row("requests", requests),
            row(
                "failed",
                format!(
                    "{} ({} met an injected fault)",
                    count(self.failed),
                    count(self.excused)
                ),
            ),
            row("moved", about(self.bytes)),
        ]);
        if let Some(effective) = &self.effective {
            rows.push(row("the driver's shape", effective.shape.clone()));
            rows.push(row("limits it worked by", effective.limits()));
        }
        if let Some(class) = &self.class {
            rows.extend(self.class_rows(class));
        }
        rows.push(row("split", count(self.split)));
        rows.push(row("commands at the port", self.commands_cell()));
        if self.judged {
            let both = format!(
                "{} of {} possible",
                count(self.judged_pieces),
                count(self.minimum)
            );
            rows.push(row(self.judged_name(), both));
            rows.push(row("allocations on the way", count(self.io_allocations)));
            rows.push(row("most memory of the driver", about(self.driver_memory)));
        }
        let PortCounts {
            in_flight_peak,
            bytes_in_flight_peak,
            ..
        } = self.port;
        rows.push(row(
            "most commands at once",
            count(u64::from(in_flight_peak)),
        ));
        rows.push(row("most data at once", about(bytes_in_flight_peak)));
        rows.push(row("longest command", about(u64::from(self.longest))));
        rows.push(row("violations", self.violations_cell()));
        if !self.faults.is_empty() {
            let faults = self
                .faults
                .iter()
                .map(|(kind, times)| format!("{} {}", count(*times), kind.name()));
            rows.push(row("faults", faults.collect::<Vec<_>>().join(", ")));
        }
        rows.push(row("virtual time", time(self.time)));
        let trace = format!("SHA-256 {}…", self.trace.short());
        rows.push(row("trace of the commands", trace));
        rows.push(row("data", self.data_cell()));
        rows.push(row(
            "checked",
            layers::promise(self.stack, self.judged).into(),
        ));
        if let Some(bytes) = self.process_memory {
            rows.push(row("most memory of this process", about(bytes)));
        }
        rows
    }

    fn class_rows(&self, class: &Class) -> [(String, String); 3] {
        let requests = match (self.stack, self.judged) {
            (StackKind::Relay, true) => "requests to the class driver",
            _ => "requests the class driver split",
        };
        let number = match (self.stack, self.judged) {
            (StackKind::Relay, true) => format!(
                "{} ({} of them it split)",
                count(class.requests),
                count(class.split)
            ),
            _ => count(class.split),
        };
        let packets = format!(
            "{} ({} sent again), the longest {}",
            count(class.packets),
            count(class.retries),
            about(u64::from(class.largest))
        );
        [
            ("the class driver was told".into(), class.told()),
            (requests.into(), number),
            ("packets of the class driver".into(), packets),
        ]
    }

    fn commands_cell(&self) -> String {
        format!(
            "{} ({} in extended SRBs)",
            count(self.pieces),
            count(self.extended)
        )
    }

    /// What is compared with the fewest possible.
    fn judged_name(&self) -> &'static str {
        match self.stack {
            StackKind::Port => "pieces, and the fewest possible",
            StackKind::Disk => "commands, and the fewest for them",
            StackKind::Relay => "requests sent on, and the fewest",
        }
    }

    fn violations_cell(&self) -> String {
        let seen = Violation::ALL
            .into_iter()
            .map(|violation| (violation, self.port.violations_of(violation)))
            .filter(|(_, times)| *times > 0)
            .map(|(violation, times)| format!("{} {violation:?}", count(times)));
        let seen: Vec<String> = seen.collect();
        if seen.is_empty() {
            "0".into()
        } else {
            seen.join(", ")
        }
    }

    fn data_cell(&self) -> String {
        match self.hashes {
            None if self.complaint.is_none() => "the pattern, everywhere".into(),
            None => "not the pattern".into(),
            Some((expected, found)) if expected == found => {
                format!("same (SHA-256 {}…)", found.short())
            }
            Some((expected, found)) => {
                format!(
                    "DIFFERENT (SHA-256 {}… is {}…)",
                    expected.short(),
                    found.short()
                )
            }
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let faults: serde_json::Map<String, Value> = self
            .faults
            .iter()
            .map(|(kind, times)| (kind.name().to_owned(), json!(times)))
            .collect();
        json!({
            "ok": self.complaint().is_none(),
            "complaint": self.complaint(),
            "stack": layers::name(self.stack),
            "extended_srb_commands": self.extended,
            "checked": layers::promise(self.stack, self.judged),
            "effective": self.effective.as_ref().map(Effective::to_json),
            "class_driver": self.class.map(Class::to_json),
            "file_system": self.files.as_ref().map(FilesResult::to_json),
            "requests": self.requests,
            "writes": self.writes,
            "failed": self.failed,
            "failed_with_fault": self.excused,
            "bytes": self.bytes,
            "split": self.split,
            "pieces": self.pieces,
            "judged_pieces": self.judged.then_some(self.judged_pieces),
            "minimum": self.judged.then_some(self.minimum),
            "allocations_on_io_path": self.judged.then_some(self.io_allocations),
            "driver_memory_peak": self.judged.then_some(self.driver_memory),
            "commands_in_flight_peak": self.port.in_flight_peak,
            "bytes_in_flight_peak": self.port.bytes_in_flight_peak,
            "longest_command": self.longest,
            "violations": self.port.violations_total(),
            "violation_examples": self.violations,
            "faults": faults,
            "virtual_time_100ns": self.time,
            "sha256_trace": self.trace.to_string(),
            "sha256_expected": self.hashes.map(|(expected, _)| expected.to_string()),
            "sha256_found": self.hashes.map(|(_, found)| found.to_string()),
            "process_memory_peak": self.process_memory,
        })
    }
}

/// The most memory this process has used, where `/proc` says so.
fn process_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}
