//! `soak`: the long random proof.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use lab::driver;
use lab::error::{Error, Result};
use lab::report::{count, table};
use lab::size::about;
use lab::soak::{self, Coverage, PER_WORLD, Plan};

use crate::commands::progress;
use crate::output::say;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xfersplit-lab soak                        a million requests and more, in all three stacks\n  \
    xfersplit-lab soak --requests 50000 --least 1\n  \
    xfersplit-lab soak --seed 1 --world 1234  one world again")]
pub(crate) struct SoakArgs {
    /// How many requests, at least
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Everything random follows from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only this world
    #[arg(long, value_name = "N")]
    world: Option<u64>,
    /// Every kind of event must have been seen so often
    #[arg(long, value_name = "N", default_value_t = 1000)]
    least: u64,
    /// Driver binary (.sys) to load instead of the one made from this workspace's sources
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// Worlds at the same time; the processors there are unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut plan = Plan {
        driver: driver::chosen(args.driver.as_deref())?,
        seed: args.seed,
        first: args.world.unwrap_or(0),
        // A few worlds end early because their adapter can do next to nothing.
        worlds: args.requests.div_ceil(PER_WORLD) * 21 / 20 + 1,
        per_world: PER_WORLD,
        jobs: args.jobs.map_or(processors, usize::from),
    };
    if args.world.is_some() {
        plan.worlds = 1;
    }
    let bar = progress::requests(args.requests);
    let coverage = soak::run(&plan, &|requests| bar.inc(requests)).map_err(|failure| {
        let driver = args.driver.as_ref();
        let driver =
            driver.map_or_else(String::new, |path| format!(" --driver {}", path.display()));
        Error::Failed(format!(
            "{failure}\nto repeat it: {}{driver}",
            failure.command()
        ))
    })?;
    bar.finish_and_clear();
    if args.json {
        say!(
            "{:#}",
            json!({ "seed": args.seed, "coverage": coverage.to_json() })
        );
    } else {
        show(&coverage, args)?;
    }
    if args.world.is_none() {
        enough(&coverage, args)
    } else {
        Ok(())
    }
}

/// Whether the soak saw as much as it must.
fn enough(coverage: &Coverage, args: &SoakArgs) -> Result<()> {
    if coverage.requests < args.requests {
        let reason = format!("only {} of {} requests", coverage.requests, args.requests);
        return Err(Error::Failed(reason));
    }
    let missing: Vec<String> = coverage
        .missing(args.least)
        .into_iter()
        .map(|(name, times)| format!("{name} ({times})"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "seen fewer than {} times: {}",
        args.least,
        missing.join(", ")
    );
    Err(Error::Failed(reason))
}

fn show(coverage: &Coverage, args: &SoakArgs) -> Result<()> {
    say!(
        "{} requests ({} writes) in {} worlds, seed {}: {} moved in {} pieces",
        count(coverage.requests),
        count(coverage.writes),
        count(coverage.worlds),
        args.seed,
        about(coverage.bytes),
        count(coverage.pieces)
    );
    say!(
        "{} had exactly the fewest pieces possible; {} met faults and succeeded, {} met faults and failed;",
        count(coverage.judged),
        count(coverage.survived),
        count(coverage.failed)
    );
    say!("no byte was wrong, no piece over a limit, every request was completed once.");
    say!(
        "Stacks: class (driver above the port), disk (beneath a disk class driver), relay (above one).\n"
    );
    let mut rows = table(&["event", "times"], 1);
    for (name, times) in coverage.events() {
        rows.add_row([name, count(times)]);
    }
    say!("{rows}");
    Ok(())
}
