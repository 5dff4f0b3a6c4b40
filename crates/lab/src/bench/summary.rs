//! What a run came to, for people and for programs.

use comfy_table::Table;
use ntsim::machine::AllocationCounts;
use ntsim::port::{Kind, PortCounts, Violation};
use ntsim::world::Report;
use serde_json::{Value, json};

use super::{Exchange, Ledger};
use crate::mirror::Hash;
use crate::report::{count, table, time};
use crate::size::about;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
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
    /// What the driver allocated between the first request and the last.
    pub io_allocations: u64,
    /// The most memory the driver held, bytes.
    pub driver_memory: u64,
    /// The port's counters.
    pub port: PortCounts,
    /// Injected faults by kind, those that happened.
    pub faults: Vec<(Kind, u64)>,
    /// Virtual time from the first request to the last, in 100 ns.
    pub time: u64,
    /// Violations of limits and rules, the first few.
    pub violations: Vec<String>,
    /// The first thing that was wrong.
    complaint: Option<String>,
    /// What the filter wrote to the debugger.
    pub log: Vec<String>,
    /// The most memory this process used, bytes, where the system tells.
    pub process_memory: Option<u64>,
}

impl Summary {
    pub(super) fn of(
        ledger: &Ledger,
        exchange: &Exchange<'_>,
        before: &AllocationCounts,
        after: &AllocationCounts,
    ) -> Self {
        let port = exchange.port();
        let faults = port.fault_counts();
        Self {
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
            io_allocations: after.total() - before.total(),
            driver_memory: after.bytes_peak.max(0).unsigned_abs(),
            port: port.counts(),
            faults: faults.iter().filter(|(_, times)| *times > 0).collect(),
            time: exchange.elapsed(),
            violations: port
                .violations()
                .iter()
                .take(5)
                .map(ToString::to_string)
                .collect(),
            complaint: ledger.complaint.clone(),
            log: Vec::new(),
            process_memory: process_memory(),
        }
    }

    /// With what is known only when everything has been taken down.
    pub(super) fn closed(mut self, report: &Report) -> Self {
        self.log.clone_from(&report.debug_log);
        self
    }

    /// The first thing that was wrong, in one line; none if all is well.
    pub fn complaint(&self) -> Option<String> {
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
        let mut rows = vec![
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
            row("split", count(self.split)),
            row("commands at the port", count(self.pieces)),
        ];
        if self.judged {
            let both = format!(
                "{} of {} possible",
                count(self.judged_pieces),
                count(self.minimum)
            );
            rows.push(row("pieces, and the fewest possible", both));
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
        rows.push(row("data", self.data_cell()));
        if let Some(bytes) = self.process_memory {
            rows.push(row("most memory of this process", about(bytes)));
        }
        rows
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
