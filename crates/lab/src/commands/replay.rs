//! `replay`: recorded I/O of a real machine through the driver.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use lab::bench::{self, Bench};
use lab::error::{Error, Result};
use lab::machine::{self, Medium};
use lab::report::count;
use lab::trace::{self, Action, Trace};
use lab::workload::{Job, groups};

use crate::cli::{MachineArgs, sector, size};
use crate::commands::{progress, run};
use crate::output::say;

/// Files of a trace lie on the disk one behind the other, on multiples of this.
const FILE_ALIGN: u64 = 1 << 20;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xfersplit-lab replay tests/traces/fio-v3-mixed.log\n  \
    xfersplit-lab replay --image disk.img --adapter usb-uas --set MaximumTransferLength=64K trace.log\n  \
    xfersplit-lab replay --stack disk --adapter vhost-2mib --set MaximumTransferLength=64K --advertise 2 trace.log")]
pub(crate) struct ReplayArgs {
    /// Traces: fio iolog version 2 or 3, or blkparse's default text output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Image file to work on; made if it is not there. Without it the disk is in memory
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Bytes in a sector
    #[arg(long, value_name = "SIZE", value_parser = sector, default_value = "512")]
    sector: u32,
    /// Where in their page buffers start
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0")]
    page_offset: u64,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u64).range(1..=256))]
    depth: u64,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    if args.page_offset >= lab::models::PAGE {
        return Err(Error::Usage(format!(
            "--page-offset {} is not within a page",
            args.page_offset
        )));
    }
    let traces: Vec<(&PathBuf, Trace)> = args
        .files
        .iter()
        .map(|path| Ok((path, args.checked(path, trace::load(path)?)?)))
        .collect::<Result<_>>()?;
    let mut results = Vec::new();
    for (path, trace) in &traces {
        let summary = args.replay(trace)?;
        if args.json {
            results.push(json!({
                "trace": path.display().to_string(),
                "format": trace.format,
                "flushes": trace.count(Action::Flush),
                "trims": trace.count(Action::Trim),
                "result": summary.to_json(),
            }));
        } else {
            say!("{}: {}", path.display(), headline(trace));
            say!("{}", summary.table());
        }
        run::verdict(&summary)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    }
    if args.json {
        say!("{:#}", json!(results));
    }
    Ok(())
}

fn headline(trace: &Trace) -> String {
    let counted = |action| count(trace.count(action) as u64);
    format!(
        "{}, {} reads, {} writes; {} flushes and {} trims carry no data and only keep their order",
        trace.format,
        counted(Action::Read),
        counted(Action::Write),
        counted(Action::Flush),
        counted(Action::Trim)
    )
}

impl ReplayArgs {
    /// Refuses what the disk could not do.
    fn checked(&self, path: &std::path::Path, trace: Trace) -> Result<Trace> {
        let sector = u64::from(self.sector);
        for op in &trace.ops {
            let data = matches!(op.action, Action::Read | Action::Write);
            let whole = op.offset.is_multiple_of(sector) && op.length.is_multiple_of(sector);
            if data && !whole {
                let reason = format!(
                    "{} bytes at {} are not whole sectors of {sector}",
                    op.length, op.offset
                );
                return Err(Error::line(path, op.line, reason));
            }
            if op.length > u64::from(u32::MAX) {
                let reason = format!("{} bytes are more than one request can ask for", op.length);
                return Err(Error::line(path, op.line, reason));
            }
        }
        Ok(trace)
    }

    fn replay(&self, trace: &Trace) -> Result<bench::Summary> {
        let (starts, bytes) = layout(trace);
        let medium = match &self.image {
            Some(path) => Medium::Image {
                path: path.clone(),
                bytes,
            },
            None => Medium::Memory { bytes },
        };
        let disk = machine::disk(&medium, self.sector, None)?;
        if disk.geometry().bytes() < bytes {
            let path = self
                .image
                .as_deref()
                .unwrap_or_else(|| std::path::Path::new("the disk"));
            let reason = format!("{} bytes; the trace needs {bytes}", disk.geometry().bytes());
            return Err(Error::file(path, reason));
        }
        let bar = progress::requests(trace.ops.len() as u64);
        let work = |bench: &mut Bench<'_>| {
            // A flush waits for everything before it; so do the groups between two of them.
            for part in trace.ops.split(|op| op.action == Action::Flush) {
                let data = part.iter().filter(|op| op.action != Action::Trim);
                let jobs = data.map(|op| Job {
                    write: op.action == Action::Write,
                    offset: starts[op.file] + op.offset,
                    length: op.length,
                    page_offset: self.page_offset,
                });
                for group in groups(jobs, self.depth as usize) {
                    bench.group(&group);
                }
                bar.inc(part.len() as u64 + 1);
            }
        };
        let summary = bench::run(self.machine.setup(disk, false)?, work)?;
        bar.finish_and_clear();
        Ok(summary)
    }
}

/// Where each file of the trace starts on the disk, and how large the disk must be.
fn layout(trace: &Trace) -> (Vec<u64>, u64) {
    let mut end: u64 = 0;
    let starts = trace
        .extents()
        .into_iter()
        .map(|extent| {
            let start = end;
            end = (end + extent).next_multiple_of(FILE_ALIGN);
            start
        })
        .collect();
    (starts, end.max(FILE_ALIGN))
}
