//! `demo`: the documents' worked examples, one split drawn, and adapters that lie, before and after the filter.

use std::path::{Path, PathBuf};

use clap::Args;
use ntsim::Clock;
use ntsim::pnp::Driver;
use ntsim::port::{Completion, Disk, FaultMix, Hba, profile};
use ntsim::world::StackKind;

use lab::bench::{self, Bench, Setup, Summary};
use lab::driver;
use lab::error::{Error, Result};
use lab::models::{self, Question};
use lab::picture::{self, Bar};
use lab::plan::{Ask, plan};
use lab::report::{count, several, table, time};
use lab::size::{about, show};
use lab::workload::{Job, Sizes, Workload, groups};

use crate::commands::{beneath, techniques};
use crate::output::say;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xfersplit-lab demo\n  \
    xfersplit-lab demo --image disk.img\n  \
    xfersplit-lab demo --techniques")]
pub(crate) struct DemoArgs {
    /// Image file to work on, which is overwritten and kept; a temporary one unless given
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Driver binary (.sys) to load instead of the one made from this workspace's sources
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// Everything random follows from this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Show every technique of the two documents instead, and what was seen of each
    #[arg(long)]
    techniques: bool,
    /// Print JSON
    #[arg(long, requires = "techniques")]
    json: bool,
}

pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let driver = &driver::chosen(args.driver.as_deref())?;
    if args.techniques {
        return techniques::run(driver, args.seed, args.json);
    }
    heading("1. The documents' worked examples")?;
    map_registers()?;
    three_cases()?;
    heading("2. One request, split")?;
    one_split(driver, args.seed)?;
    heading("3. Adapters that lie, without the filter and with it")?;
    let image = Image::at(args.image.clone());
    adapters(driver, &image, args.seed)?;
    say!("");
    heading("4. Beneath a disk class driver")?;
    beneath::show(driver, args.seed)
}

fn heading(text: &str) -> Result<()> {
    say!("{text}\n{}\n", "═".repeat(text.chars().count()));
    Ok(())
}

/// "Splitting DMA Transfer Requests": twelve pages, five map registers, three operations.
fn map_registers() -> Result<()> {
    let ask = Ask {
        length: 12 * models::PAGE,
        maximum_physical_pages: 5,
        ..Ask::default()
    };
    let cuts = plan(&ask).map_err(|reason| Error::Failed(reason.to_string()))?;
    say!("Splitting DMA Transfer Requests: 12 pages and 5 map registers.");
    let bars: Vec<Bar> = cuts
        .iter()
        .map(|cut| Bar {
            offset: cut.offset,
            length: cut.length,
            note: several(cut.length / models::PAGE, "page"),
        })
        .collect();
    say!("{}", picture::draw(0, ask.length, &bars));
    expect(
        cuts.len() == 3,
        &format!(
            "the document says 3 operations, the plan has {}",
            cuts.len()
        ),
    )?;
    say!("The document carries out 3 operations, and so does xfersplit.\n");
    Ok(())
}

/// "Storage Class Driver's SplitTransferRequest Routine": too long, too many pages, neither.
fn three_cases() -> Result<()> {
    say!("Storage Class Driver's SplitTransferRequest Routine: 64 KiB and 16 pages at most.");
    let headings = [
        "case",
        "length",
        "offset in page",
        "pages",
        "the document",
        "xfersplit",
    ];
    let mut rows = table(&headings, 1);
    let cases = [
        ("too long", 128 << 10, 0, 3),
        ("too many pages", 64 << 10, 512, 2),
        ("neither", 56 << 10, 512, 1),
    ];
    for (case, length, page_offset, expected) in cases {
        let question = Question {
            sector: 512,
            page_offset,
            lba: 0,
            length,
            maximum_transfer_length: 64 << 10,
            maximum_physical_pages: 16,
            long_commands: false,
        };
        let ask = Ask {
            page_offset,
            length,
            maximum_transfer_length: question.maximum_transfer_length,
            maximum_physical_pages: question.maximum_physical_pages,
            ..Ask::default()
        };
        let ours = plan(&ask).map_err(|reason| Error::Failed(reason.to_string()))?;
        let theirs = models::document(&question).unwrap_or_default();
        expect(
            theirs.len() == expected,
            &format!("{case}: {} pieces by the rule", theirs.len()),
        )?;
        rows.add_row([
            case.to_owned(),
            show(length),
            page_offset.to_string(),
            question.span(0, length).to_string(),
            pieces(theirs.iter().map(|sent| sent.length)),
            pieces(ours.iter().map(|cut| cut.length)),
        ]);
    }
    say!("{rows}");
    say!(
        "The document keeps a page back in every piece of a split; xfersplit keeps one back only where the\n\
         buffer makes it necessary (PageRule=1 brings the document's rule back).\n"
    );
    Ok(())
}

/// Lengths in a few words.
fn pieces(lengths: impl Iterator<Item = u64>) -> String {
    let kib = |length: u64| format!("{}K", f64::from(length as u32) / 1024.0);
    lengths.map(kib).collect::<Vec<_>>().join(" + ")
}

/// A request that goes through the driver, drawn.
fn one_split(driver: &Driver, seed: u64) -> Result<()> {
    let job = Job {
        write: true,
        offset: 7 << 9,
        length: 58 << 10,
        page_offset: 1536,
    };
    say!(
        "A write of {} at sector {}, from a buffer that starts {} bytes into its page, goes through the driver\n\
         to an adapter that takes {} and {} pages and answers out of order.\n",
        show(job.length),
        job.offset >> 9,
        job.page_offset,
        show(24 << 10),
        5
    );
    let hba = Hba::unlimited()
        .limits(24 << 10, 5)
        .completion(Completion::Later(500..5000));
    let setup = Setup {
        settings: vec![("Window".into(), 3)],
        ..setup(driver, Disk::memory(4096, 512), hba, seed)
    };
    let mut drawn = String::new();
    let work = |bench: &mut Bench<'_>| {
        let finished = bench.group(&[job]);
        let mut bars: Vec<(u64, Bar)> = finished[0]
            .pieces
            .iter()
            .enumerate()
            .map(|(order, piece)| {
                let from = piece.lba * 512 - job.offset;
                let length = u64::from(piece.bytes);
                let note = format!(
                    "sectors {}..{}, {:>3}K, {:>2} pages, done {}{}",
                    piece.lba,
                    piece.lba + u64::from(piece.blocks) - 1,
                    length >> 10,
                    piece.span_pages,
                    order + 1,
                    ordinal(order + 1),
                );
                (
                    from,
                    Bar {
                        offset: from,
                        length,
                        note,
                    },
                )
            })
            .collect();
        bars.sort_by_key(|(from, _)| *from);
        let bars: Vec<Bar> = bars.into_iter().map(|(_, bar)| bar).collect();
        drawn = picture::draw(job.page_offset, job.length, &bars);
    };
    let summary = bench::run(setup, work)?;
    say!("{drawn}");
    verify(&summary)?;
    say!(
        "One original request, completed once after the last of its {}; at most 3 in flight, nothing allocated\n\
         on the way, data the same (SHA-256 {}…).\n",
        several(summary.pieces, "piece"),
        summary
            .hashes
            .map_or_else(String::new, |(_, found)| found.short())
    );
    Ok(())
}

fn ordinal(number: usize) -> &'static str {
    match number {
        1 => "st",
        2 => "nd",
        3 => "rd",
        _ => "th",
    }
}

fn setup(driver: &Driver, disk: Disk, hba: Hba, seed: u64) -> Setup {
    Setup {
        filter: true,
        driver: driver.clone(),
        stack: StackKind::Port,
        clock: Clock::Deterministic { seed },
        disk,
        pattern: false,
        hba,
        settings: Vec::new(),
        faults: FaultMix::new(),
    }
}

/// The image file that the third part works on; a temporary one goes when the demo ends.
struct Image {
    path: PathBuf,
    temporary: bool,
}

/// Size of the image.
const IMAGE: u64 = 32 << 20;

impl Image {
    fn at(path: Option<PathBuf>) -> Self {
        let temporary = path.is_none();
        let name = format!("xfersplit-demo-{}.img", std::process::id());
        Self {
            path: path.unwrap_or_else(|| std::env::temp_dir().join(name)),
            temporary,
        }
    }

    /// The disk with the image, all zeros.
    fn fresh(&self) -> Result<Disk> {
        Disk::create_image(&self.path, IMAGE / 512, 512)
            .map_err(|error| Error::file(&self.path, error.to_string()))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.temporary {
            // A file left in the temporary directory is no reason to fail.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// An adapter of the demo, and the settings that make good for what it does not say.
struct Patient {
    name: &'static str,
    cure: &'static [(&'static str, u32)],
}

/// Honest ones first.
const PATIENTS: &[Patient] = &[
    Patient {
        name: "ahci",
        cure: &[],
    },
    Patient {
        name: "map-registers-5",
        cure: &[],
    },
    Patient {
        name: "tiny",
        cure: &[],
    },
    Patient {
        name: "usb-uas",
        cure: &[("MaximumTransferLength", 256 << 10)],
    },
    Patient {
        name: "vhost-2mib",
        cure: &[
            ("MaximumTransferLength", 2 << 20),
            ("MaximumPhysicalPages", 513),
        ],
    },
    Patient {
        name: "viostor-size-max",
        cure: &[
            ("MaximumTransferLength", 508 << 10),
            ("MaximumPhysicalPages", 128),
        ],
    },
    Patient {
        name: "vioscsi-seg-max",
        cure: &[("MaximumPhysicalPages", 62)],
    },
    Patient {
        name: "nvme2k",
        cure: &[("MaximumPhysicalPages", 32)],
    },
];

fn adapters(driver: &Driver, image: &Image, seed: u64) -> Result<()> {
    say!(
        "On {}, {} of zeros for each adapter:",
        image.path().display(),
        show(IMAGE)
    );
    say!("the same reads and writes, 4 KiB to 6 MiB, four at a time; every byte is compared.");
    say!(
        "Without the filter requests go as the adapter's own word allows, a piece after the other.\n"
    );
    for patient in PATIENTS {
        if let Some(found) = profile(patient.name) {
            say!("  {:<17} {}", patient.name, found.about);
        }
    }
    say!("");
    let headings = [
        "adapter",
        "driver",
        "data",
        "failed",
        "commands",
        "fewest",
        "longest",
        "moved",
        "virtual time",
    ];
    let mut rows = table(&headings, 3);
    let mut lies = 0;
    let mut first_failure = None;
    for patient in PATIENTS {
        let bare = treat(driver, image, patient, false, seed)?;
        let failed = bare.complaint();
        expect(
            failed.is_some() != patient.cure.is_empty(),
            &format!("{} without the filter: {failed:?}", patient.name),
        )?;
        if let Some(failure) = failed {
            lies += 1;
            first_failure.get_or_insert((patient.name, failure));
        }
        rows.add_row(row(patient.name, "none", &bare));
        let cured = treat(driver, image, patient, true, seed)?;
        verify(&cured)
            .map_err(|error| Error::Failed(format!("{} with the filter: {error}", patient.name)))?;
        rows.add_row(row("", "xfersplit", &cured));
    }
    say!("{rows}");
    if let Some((name, failure)) = first_failure {
        say!("The first failure without the filter, on {name}:\n  {failure}\n");
    }
    say!(
        "{lies} of {} adapters lie about their limits; with the filter every request succeeded,",
        PATIENTS.len()
    );
    say!("every byte is right, and every request took the fewest commands possible.");
    Ok(())
}

fn treat(
    driver: &Driver,
    image: &Image,
    patient: &Patient,
    filter: bool,
    seed: u64,
) -> Result<Summary> {
    let found = profile(patient.name);
    let found = found.ok_or_else(|| Error::Failed(format!("no adapter {}", patient.name)))?;
    let hba = Hba::from_profile(*found)
        .completion(Completion::Later(300..3000))
        .per_kib(5);
    let settings = patient
        .cure
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    let setup = Setup {
        filter,
        settings,
        ..setup(driver, image.fresh()?, hba, seed)
    };
    let workload = Workload {
        seed,
        requests: 40,
        sizes: Sizes::parse("4K/2,64K/3,256K/3,1M/2,6M/1").map_err(Error::Failed)?,
        writes: 60,
        align: 512,
        page_offset: None,
        page_step: 4,
        span: IMAGE,
        sequential: false,
    };
    bench::run(setup, |bench| {
        for group in groups(workload.jobs(), 4) {
            bench.group(&group);
        }
    })
}

fn row(adapter: &str, driver: &str, summary: &Summary) -> [String; 9] {
    let same = summary
        .hashes
        .is_some_and(|(expected, found)| expected == found);
    let data = if summary.complaint().is_none() && same {
        "same"
    } else {
        "WRONG"
    };
    let fewest = if summary.judged {
        count(summary.minimum)
    } else {
        "-".into()
    };
    [
        adapter.to_owned(),
        driver.to_owned(),
        data.to_owned(),
        format!("{} of {}", count(summary.failed), count(summary.requests)),
        count(summary.pieces),
        fewest,
        about(u64::from(summary.longest)),
        about(summary.bytes),
        time(summary.time),
    ]
}

fn verify(summary: &Summary) -> Result<()> {
    summary
        .complaint()
        .map_or(Ok(()), |complaint| Err(Error::Failed(complaint)))
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::Failed(otherwise.to_owned()))
    }
}
