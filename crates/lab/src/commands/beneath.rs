//! The demo's part with a disk class driver: who splits, as the class driver is told one thing or another.

use ntsim::Clock;
use ntsim::pnp::Driver;
use ntsim::port::{Completion, Disk, FaultMix, Hba, Limits, OnViolation, Profile, bus};
use ntsim::world::StackKind;

use lab::bench::{self, Setup, Summary};
use lab::error::{Error, Result};
use lab::report::{count, table};
use lab::size::about;
use lab::workload::{Sizes, Workload, groups};

use crate::output::say;

/// Size of the disk.
const DISK: u64 = 32 << 20;

/// What the adapter really takes, and what the disk's Block Limits page says.
const REAL: u32 = 256 << 10;

/// A row of the table.
struct Case {
    name: &'static str,
    filter: bool,
    settings: &'static [(&'static str, u32)],
    extended: bool,
    /// What must come out.
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Requests fail.
    Fails,
    /// The class driver's packets are the commands.
    ClassSplits,
    /// The filter makes several commands of a packet.
    FilterSplits,
}

const CASES: &[Case] = &[
    Case {
        name: "no filter",
        filter: false,
        settings: &[],
        extended: false,
        outcome: Outcome::Fails,
    },
    Case {
        name: "xfersplit as installed",
        filter: true,
        settings: &[],
        extended: false,
        outcome: Outcome::ClassSplits,
    },
    Case {
        name: "Advertise=1, 128 KiB",
        filter: true,
        settings: &[("MaximumTransferLength", 128 << 10), ("Advertise", 1)],
        extended: false,
        outcome: Outcome::ClassSplits,
    },
    Case {
        name: "Advertise=2, 4 MiB",
        filter: true,
        settings: &[("Advertise", 2), ("AdvertisedTransferLength", 4 << 20)],
        extended: false,
        outcome: Outcome::FilterSplits,
    },
    Case {
        name: "same, extended SRBs",
        filter: true,
        settings: &[("Advertise", 2), ("AdvertisedTransferLength", 4 << 20)],
        extended: true,
        outcome: Outcome::FilterSplits,
    },
];

/// The adapter: it says 1 MiB and takes a quarter of it; only the disk behind it says so.
fn adapter() -> Hba {
    let said = Limits {
        bytes: 1 << 20,
        pages: 257,
        alignment_mask: 0,
    };
    let profile = Profile {
        bus: bus::SAS,
        advertised: said,
        actual: Limits {
            bytes: REAL,
            ..said
        },
        on_violation: OnViolation::Error,
        block_limits: Some(REAL / 512),
        ..*Hba::unlimited().current()
    };
    Hba::from_profile(profile)
        .queue_depth(32)
        .completion(Completion::Later(300..3000))
        .per_kib(5)
}

pub(crate) fn show(driver: &Driver, seed: u64) -> Result<()> {
    say!(
        "Requests → disk class driver → xfersplit → port. The adapter says 1 MiB and takes 256 KiB;"
    );
    say!("the disk's own Block Limits page says so, and Windows does not read it.\n");
    let headings = [
        "driver",
        "the class is told",
        "requests",
        "failed",
        "packets",
        "commands",
        "longest",
        "verdict",
    ];
    let mut rows = table(&headings, 2);
    let mut first_failure = None;
    for case in CASES {
        let summary = run(driver, case, seed)?;
        verify(case, &summary)?;
        if let Some(failure) = summary.complaint() {
            first_failure.get_or_insert(failure);
        }
        rows.add_row(row(case, &summary));
    }
    say!("{rows}");
    if let Some(failure) = first_failure {
        say!("The first failure without the filter:\n  {failure}\n");
    }
    say!(
        "Told the effective limits, the class driver splits by itself and the filter has nothing left to do;"
    );
    say!(
        "told more, it sends a few large packets, and the filter makes the fewest commands of them."
    );
    Ok(())
}

fn run(driver: &Driver, case: &Case, seed: u64) -> Result<Summary> {
    let setup = Setup {
        filter: case.filter,
        driver: driver.clone(),
        stack: StackKind::Disk,
        clock: Clock::Deterministic { seed },
        disk: Disk::memory(DISK / 512, 512),
        pattern: false,
        hba: adapter().extended_srb(case.extended),
        settings: case
            .settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        faults: FaultMix::new(),
    };
    let workload = Workload {
        seed,
        requests: 60,
        sizes: Sizes::parse("4K/2,64K/3,256K/2,1M/2,6M/1").map_err(Error::Failed)?,
        writes: 60,
        align: 512,
        page_offset: None,
        page_step: 4,
        span: DISK,
        sequential: false,
    };
    bench::run(setup, |bench| {
        for group in groups(workload.jobs(), 4) {
            bench.group(&group);
        }
    })
}

/// Whether the case came out as it must.
fn verify(case: &Case, summary: &Summary) -> Result<()> {
    let packets = summary.class.map_or(0, |class| class.packets);
    let holds = match case.outcome {
        Outcome::Fails => summary.failed > 0 && summary.complaint().is_some(),
        Outcome::ClassSplits => summary.complaint().is_none() && summary.pieces == packets,
        Outcome::FilterSplits => summary.complaint().is_none() && summary.pieces > packets,
    };
    let format = if case.extended { summary.pieces } else { 0 };
    if holds && summary.extended == format {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "disk class driver, {}: {packets} packets, {} commands, {} failed, {}",
        case.name,
        summary.pieces,
        summary.failed,
        summary.complaint().unwrap_or_else(|| "no complaint".into())
    )))
}

fn row(case: &Case, summary: &Summary) -> [String; 8] {
    let class = summary.class;
    let verdict = if summary.complaint().is_none() {
        "same data"
    } else {
        "FAILS"
    };
    [
        case.name.to_owned(),
        class.map_or_else(String::new, |class| class.told()),
        count(summary.requests),
        count(summary.failed),
        class.map_or_else(String::new, |class| count(class.packets)),
        count(summary.pieces),
        about(u64::from(summary.longest)),
        verdict.to_owned(),
    ]
}
