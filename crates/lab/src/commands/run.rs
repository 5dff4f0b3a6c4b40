//! `run`: a workload against a disk through the driver.

use std::path::PathBuf;

use clap::Args;

use lab::bench::{self, Bench, Files, Summary};
use lab::error::{Error, Result};
use lab::machine::{self, Medium};
use lab::report::several;
use lab::size::show;
use lab::workload::{Sizes, Workload, groups};
use ntsim::port::Disk;

use crate::cli::{MachineArgs, positive, sector, size};
use crate::commands::progress;
use crate::output::say;

/// Requests above this size go to a pattern disk unless an image is named: memory for them would say nothing.
const HUGE: u64 = 64 << 20;
/// Files on a stack like that of a real machine.
const FILES: u64 = 6;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xfersplit-lab run --image disk.img --requests 5000 --sizes 4K/60,64K/30,1M/10 --depth 8\n  \
    xfersplit-lab run --adapter vhost-2mib --without-filter --sizes 4M --requests 10\n  \
    xfersplit-lab run --stack disk --srb extended --set MaximumTransferLength=64K --advertise 0\n  \
    xfersplit-lab run --stack relay --files 12 --requests 100\n  \
    xfersplit-lab run --sizes 1G --requests 1")]
pub(crate) struct RunArgs {
    /// Image file to work on; made if it is not there. Without it the disk is in memory
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Size of the disk, where it has to be made
    #[arg(long, value_name = "SIZE", value_parser = positive, default_value = "64M")]
    disk_size: u64,
    /// Bytes in a sector
    #[arg(long, value_name = "SIZE", value_parser = sector, default_value = "512")]
    sector: u32,
    /// Bytes in a physical sector (512e disks)
    #[arg(long, value_name = "SIZE", value_parser = sector)]
    physical: Option<u32>,
    /// Files of a file system on top of the stack, before the requests and before any fault: written, read and
    /// compared. Unless given, 6 with --stack disk, where there are writes and a disk that can have them; else 0
    #[arg(long, value_name = "N")]
    files: Option<u64>,
    /// How many requests
    #[arg(long, value_name = "N", default_value_t = 1000)]
    requests: u64,
    /// Sizes of requests, with weights: 4K/60,64K/30,1M/10
    #[arg(long, value_name = "LIST", value_parser = Sizes::parse, default_value = "4K/60,64K/30,1M/10")]
    sizes: Sizes,
    /// How many requests in a hundred are writes
    #[arg(long, value_name = "PERCENT", default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(0..=100))]
    writes: u64,
    /// Offsets on the disk are multiples of this; a sector unless given
    #[arg(long, value_name = "SIZE", value_parser = positive)]
    align: Option<u64>,
    /// Where in their page buffers start; anywhere unless given (with faults and a class driver, on sectors)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    page_offset: Option<u64>,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u64).range(1..=256))]
    depth: u64,
    /// One request after another instead of here and there
    #[arg(long)]
    sequential: bool,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let medium = args.medium();
    let disk = machine::disk(&medium, args.sector, args.physical)?;
    let workload = args.workload(disk.geometry().bytes())?;
    let pattern = matches!(medium, Medium::Pattern { .. });
    let files = args.files(&disk, pattern)?;
    let bar = progress::requests(workload.requests);
    let work = |bench: &mut Bench<'_>| {
        for group in groups(workload.jobs(), args.depth as usize) {
            bench.group(&group);
            bar.inc(group.len() as u64);
        }
    };
    let summary = bench::run_after_files(args.machine.setup(disk, pattern)?, files, work)?;
    bar.finish_and_clear();
    if args.json {
        say!("{:#}", summary.to_json());
    } else {
        say!("{}", headline(&medium, &workload));
        say!("{}", summary.table());
    }
    verdict(&summary)
}

/// Nothing to say if all is well, else the first thing that is not.
pub(crate) fn verdict(summary: &Summary) -> Result<()> {
    match summary.complaint() {
        None => Ok(()),
        Some(complaint) => Err(Error::Failed(complaint)),
    }
}

fn headline(medium: &Medium, workload: &Workload) -> String {
    let place = match medium {
        Medium::Memory { bytes } => format!("a disk of {} in memory", show(*bytes)),
        Medium::Image { path, .. } => path.display().to_string(),
        Medium::Pattern { bytes } => format!("a disk of {} that holds a pattern", show(*bytes)),
    };
    format!(
        "{} on {place}, seed {}",
        several(workload.requests, "request"),
        workload.seed
    )
}

impl RunArgs {
    fn medium(&self) -> Medium {
        let largest = self.sizes.largest();
        match &self.image {
            Some(path) => Medium::Image {
                path: path.clone(),
                bytes: self.disk_size.max(largest),
            },
            None if largest > HUGE => Medium::Pattern {
                bytes: self.disk_size.max(2 * largest),
            },
            None => Medium::Memory {
                bytes: self.disk_size,
            },
        }
    }

    /// The files. Where nobody asked for any, a workload that only reads leaves the disk as it is.
    fn files(&self, disk: &Disk, pattern: bool) -> Result<Option<Files>> {
        let files = |number| Files::new(number, self.machine.seed, disk, pattern);
        match self.files {
            Some(number) => files(number),
            None if self.machine.is_whole_stack() && self.writes > 0 => {
                Ok(files(FILES).unwrap_or_default())
            }
            None => Ok(None),
        }
    }

    fn workload(&self, disk_bytes: u64) -> Result<Workload> {
        let sector = u64::from(self.sector);
        if let Some(ragged) = self.sizes.ragged(sector) {
            let reason = format!("--sizes: {ragged} is not a multiple of the sector, {sector}");
            return Err(Error::Usage(reason));
        }
        let align = self.align.unwrap_or(sector);
        if !align.is_multiple_of(sector) {
            let reason = format!("--align {align} is not a multiple of the sector, {sector}");
            return Err(Error::Usage(reason));
        }
        if let Some(offset) = self
            .page_offset
            .filter(|&offset| offset >= lab::models::PAGE)
        {
            return Err(Error::Usage(format!(
                "--page-offset {offset} is not within a page"
            )));
        }
        let span = disk_bytes - disk_bytes % sector;
        if self.sizes.largest() > span {
            let largest = self.sizes.largest();
            let reason = format!("--sizes: {largest} bytes do not fit a disk of {span}");
            return Err(Error::Usage(reason));
        }
        Ok(Workload {
            seed: self.machine.seed,
            requests: self.requests,
            sizes: self.sizes.clone(),
            writes: self.writes,
            align,
            page_offset: self.page_offset,
            page_step: self.machine.page_step(sector),
            span,
            sequential: self.sequential,
        })
    }
}
