//! The command line: commands, and the groups of options that several share.

use std::path::PathBuf;
use std::result::Result as StdResult;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lab::bench::Setup;
use lab::driver;
use lab::error::{Error, Result};
use lab::machine::{self, Changes};
use lab::size::{self, Limit};
use ntsim::port::{Completion, Disk, FaultMix, Hba, OnViolation};
use ntsim::world::StackKind;

use crate::commands::{demo, plan, replay, run, soak};

/// Runs the xfersplit storage filter in a simulated NT kernel and shows what it does.
#[derive(Parser)]
#[command(
    name = "xfersplit-lab",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit status: 0 all is well, 1 the work was done and failed, 2 bad input.\n\n\
    Example:\n  xfersplit-lab demo"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the worked examples, then cure a lying adapter on a real image file
    Demo(demo::DemoArgs),
    /// Run a workload against an image file through the driver
    Run(run::RunArgs),
    /// Run recorded I/O (fio iolog v2 and v3, blkparse text) through the driver
    Replay(replay::ReplayArgs),
    /// Show how one request is split, and what others would send
    Plan(plan::PlanArgs),
    /// Run a very long random proof: data, limits, piece counts, faults
    Soak(soak::SoakArgs),
}

/// A size on the command line.
pub(crate) fn size(text: &str) -> StdResult<u64, String> {
    size::parse(text)
}

/// A limit on the command line.
pub(crate) fn limit(text: &str) -> StdResult<Limit, String> {
    size::parse_limit(text)
}

/// A sector size on the command line.
pub(crate) fn sector(text: &str) -> StdResult<u32, String> {
    match size::parse(text)? {
        bytes @ 1..=65536 => Ok(bytes as u32),
        other => Err(format!("a sector of {other} bytes (1 to 65536 make sense)")),
    }
}

/// An alignment mask on the command line.
pub(crate) fn alignment_mask(text: &str) -> StdResult<u32, String> {
    match size::parse(text)? {
        mask @ 0..=0xFFF if (mask + 1).is_power_of_two() => Ok(mask as u32),
        other => Err(format!(
            "an alignment mask of {other} (0, 1, 3, 7 … 0xFFF make sense)"
        )),
    }
}

/// A size of at least one byte.
pub(crate) fn positive(text: &str) -> StdResult<u64, String> {
    match size::parse(text)? {
        0 => Err("must be more than 0".into()),
        bytes => Ok(bytes),
    }
}

/// How pages are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pages {
    /// A piece may touch so many pages
    Spans,
    /// The storage class document's rule: one page less whenever a split is needed
    Document,
    /// A piece may consist of so many physically adjacent runs
    Breaks,
}

/// Where the filter is in the device stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Position {
    /// Requests → xfersplit → port: the filter makes the SRBs
    Class,
    /// Requests → disk class driver → xfersplit → port: the filter splits SRBs
    Disk,
    /// Requests → xfersplit → disk class driver → port: the filter splits requests
    Relay,
}

impl From<Position> for StackKind {
    fn from(position: Position) -> Self {
        match position {
            Position::Class => Self::Port,
            Position::Disk => Self::Disk,
            Position::Relay => Self::Relay,
        }
    }
}

/// The format of request blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// SCSI_REQUEST_BLOCK
    Legacy,
    /// STORAGE_REQUEST_BLOCK
    Extended,
}

/// What the adapter says of itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// MaximumTransferLength: most bytes in one command, or `none`
    #[arg(long, value_name = "SIZE", value_parser = limit, default_value = "128K")]
    pub(crate) max_bytes: Limit,
    /// MaximumPhysicalPages: most pages in one command, or `none`
    #[arg(long, value_name = "N", value_parser = limit, default_value = "33")]
    pub(crate) max_pages: Limit,
    /// AlignmentMask: pieces keep to multiples of this plus one
    #[arg(long, value_name = "MASK", value_parser = alignment_mask, default_value = "0")]
    pub(crate) alignment_mask: u32,
}

impl LimitArgs {
    /// `MaximumTransferLength` as the descriptor has it.
    pub(crate) fn descriptor_bytes(&self) -> u32 {
        descriptor(self.max_bytes)
    }

    /// `MaximumPhysicalPages` as the descriptor has it.
    pub(crate) fn descriptor_pages(&self) -> u32 {
        descriptor(self.max_pages)
    }
}

/// A limit as a 32-bit field of a descriptor; what does not fit is no limit.
fn descriptor(limit: Limit) -> u32 {
    limit
        .0
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(u32::MAX)
}

/// The machine that requests run in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct MachineArgs {
    /// Where the filter is
    #[arg(long, value_name = "STACK", value_enum, default_value_t = Position::Class)]
    stack: Position,
    /// Request blocks that the adapter asks for; its own choice unless given
    #[arg(long, value_name = "FORMAT", value_enum)]
    srb: Option<Format>,
    /// What the filter tells the class driver above it: 0 the adapter's limits, 1 the effective ones, 2
    /// AdvertisedTransferLength. The same as --set Advertise=N; needs --stack disk
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=2))]
    advertise: Option<u32>,
    /// Adapter to start from (a wrong name lists them)
    #[arg(long, value_name = "NAME", value_parser = adapter, default_value = "ahci")]
    adapter: Adapter,
    /// MaximumTransferLength that the adapter says, or `none`
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    max_bytes: Option<Limit>,
    /// MaximumPhysicalPages that the adapter says, or `none`
    #[arg(long, value_name = "N", value_parser = limit)]
    max_pages: Option<Limit>,
    /// AlignmentMask that the adapter says
    #[arg(long, value_name = "MASK", value_parser = alignment_mask)]
    alignment_mask: Option<u32>,
    /// Bytes the adapter really takes in one command
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    real_bytes: Option<Limit>,
    /// Pages the adapter really takes in one command
    #[arg(long, value_name = "N", value_parser = limit)]
    real_pages: Option<Limit>,
    /// What the adapter does beyond its limits: record, error, bus-reset, hang or short
    #[arg(long, value_name = "WHAT", value_parser = machine::on_violation)]
    on_violation: Option<OnViolation>,
    /// When commands complete: `inline`, a time, or a range of times such as 20us-2ms
    #[arg(long, value_name = "TIME", value_parser = machine::completion, default_value = "50us-500us")]
    latency: Completion,
    /// Registry setting of the filter; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = machine::setting)]
    set: Vec<(String, u32)>,
    /// Faults and their chances, such as busy=1%,short=0.1% or all=0.1%
    #[arg(long, value_name = "LIST", value_parser = machine::faults)]
    faults: Option<FaultMix>,
    /// Driver binary (.sys) to load instead of the one made from this workspace's sources
    #[arg(long, value_name = "FILE", conflicts_with = "without_filter")]
    driver: Option<PathBuf>,
    /// Leave the filter out and send what the class driver would
    #[arg(long)]
    without_filter: bool,
    /// Real threads on so many processors instead of the deterministic clock
    #[arg(long, value_name = "PROCESSORS", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// Everything random follows from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// An adapter on the command line.
#[derive(Clone, Debug)]
struct Adapter(Hba);

fn adapter(name: &str) -> StdResult<Adapter, String> {
    machine::adapter(name).map(Adapter)
}

impl MachineArgs {
    /// The machine with this disk, which may be one that holds only a pattern.
    ///
    /// # Errors
    /// Options that make no sense together.
    pub(crate) fn setup(&self, disk: Disk, pattern: bool) -> Result<Setup> {
        Ok(Setup {
            filter: !self.without_filter,
            driver: driver::chosen(self.driver.as_deref())?,
            stack: self.stack.into(),
            clock: machine::clock(self.threads.map(usize::from), self.seed),
            disk,
            pattern,
            hba: self.hba(),
            settings: self.settings()?,
            faults: self.faults.clone().unwrap_or_default(),
        })
    }

    /// Whether the stack is the one of a real machine: all that is above the filter there is above it here.
    pub(crate) fn is_whole_stack(&self) -> bool {
        self.stack == Position::Disk
    }

    /// What buffers' places in their pages are multiples of. A class driver that is told of scarce memory sends page by
    /// page, and from a buffer off the sectors no whole ones (classpnp, retry.c): nobody above sends it such buffers.
    pub(crate) fn page_step(&self, sector: u64) -> u64 {
        if self.stack == Position::Class || self.faults.is_none() {
            4
        } else {
            sector.next_power_of_two().clamp(4, lab::models::PAGE)
        }
    }

    fn hba(&self) -> Hba {
        let said = Changes {
            bytes: self.max_bytes.map(descriptor),
            pages: self.max_pages.map(descriptor),
            mask: self.alignment_mask,
        };
        let taken = Changes {
            bytes: self.real_bytes.map(descriptor),
            pages: self.real_pages.map(descriptor),
            mask: None,
        };
        let mut hba = machine::with_limits(self.adapter.0.clone(), said, taken);
        if let Some(what) = self.on_violation {
            hba = hba.on_violation(what);
        }
        if let Some(format) = self.srb {
            hba = hba.extended_srb(format == Format::Extended);
        }
        hba.completion(self.latency.clone())
    }

    fn settings(&self) -> Result<Vec<(String, u32)>> {
        let mut settings = self.set.clone();
        let Some(advertise) = self.advertise else {
            return Ok(settings);
        };
        let refuse = |why: &str| Err(Error::Usage(format!("--advertise {advertise}: {why}")));
        if self.stack != Position::Disk {
            return refuse("no class driver is above the filter; --stack disk has one");
        }
        if self.without_filter {
            return refuse("there is no filter to tell anything");
        }
        let is_advertise = |(name, _): &(String, u32)| name.eq_ignore_ascii_case("Advertise");
        if settings.iter().any(is_advertise) {
            return refuse("--set Advertise says it too");
        }
        settings.push(("Advertise".into(), advertise));
        Ok(settings)
    }
}
