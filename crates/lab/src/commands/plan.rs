//! `plan`: how one request is split, next to what others would send.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use xfersplit_core::limits::PieceCap;
use xfersplit_core::plan::{Options, PageRule};

use lab::error::{Error, Result};
use lab::models::{self, LinuxLimits, Question, Sent, violations};
use lab::picture::{self, Bar};
use lab::plan::{Ask, Cut, NoPlan, PhysicalSector, plan};
use lab::report::{several, table};
use lab::size::{show, show_limit};
use lab::vectors;

use crate::cli::{LimitArgs, Pages, positive, sector, size};
use crate::output::say;

/// Longest request: one that a 32-bit length can ask for, and a little more to see it refused nowhere.
const LONGEST: u64 = 16 << 30;

/// Most pieces that are listed and drawn; the rest are counted.
const LISTED: usize = 24;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    xfersplit-lab plan --length 1M --page-offset 512 --max-bytes none --max-pages 17\n  \
    xfersplit-lab plan --length 48K --max-bytes none --max-pages 5\n  \
    xfersplit-lab plan --vectors tests/vectors/plan-vectors.json")]
pub(crate) struct PlanArgs {
    /// Bytes to move
    #[arg(long, value_name = "SIZE", value_parser = positive, default_value = "1M")]
    length: u64,
    /// Where in its page the buffer starts
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0")]
    page_offset: u64,
    /// First sector on the disk
    #[arg(long, value_name = "N", value_parser = size, default_value = "0")]
    lba: u64,
    /// Bytes in a sector
    #[arg(long, value_name = "SIZE", value_parser = sector, default_value = "512")]
    sector: u32,
    /// The request is a write
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// How pages are counted
    #[arg(long, value_name = "RULE", default_value = "spans")]
    page_rule: Pages,
    /// Page frame numbers of the buffer, for `--page-rule breaks`
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    pfns: Vec<u64>,
    /// No piece crosses a multiple of this many bytes on the disk
    #[arg(long, value_name = "SIZE", value_parser = positive)]
    boundary: Option<u64>,
    /// End pieces of writes on physical sectors of this size
    #[arg(long, value_name = "SIZE", value_parser = sector)]
    physical: Option<u32>,
    /// Bytes in the command block, which bounds the sectors it can name
    #[arg(long, value_name = "BYTES", default_value = "10", value_parser = ["6", "10", "12", "16"])]
    cdb: String,
    /// As many pieces, but the longest as short as possible
    #[arg(long)]
    balanced: bool,
    /// Check a file of cases in the format of plan-vectors.json instead
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PlanArgs) -> Result<()> {
    if let Some(path) = &args.vectors {
        return check_vectors(path, args.json);
    }
    let ask = args.ask()?;
    let question = args.question();
    let answers = answers(args, &question, &plan(&ask));
    if args.json {
        say!("{}", as_json(args, &answers));
    } else {
        show_answers(args, &question, &answers)?;
    }
    match answers[0].sent {
        Ok(_) => Ok(()),
        Err(ref reason) => Err(Error::Failed(format!("nothing may be sent: {reason}"))),
    }
}

fn check_vectors(path: &std::path::Path, as_json: bool) -> Result<()> {
    let tally = vectors::check(path)?;
    let failed = tally.failures.len();
    if as_json {
        let failures: Vec<Value> = tally
            .failures
            .iter()
            .map(|failure| json!({ "name": failure.name, "reason": failure.reason }))
            .collect();
        say!(
            "{}",
            json!({ "passed": tally.passed, "failed": failed, "failures": failures })
        );
    } else {
        for failure in &tally.failures {
            say!("FAILED {}: {}", failure.name, failure.reason);
        }
        say!("{} passed, {failed} failed", tally.passed);
    }
    if failed == 0 {
        Ok(())
    } else {
        let all = tally.passed + failed;
        Err(Error::Failed(format!(
            "{}: {failed} of {all} vectors failed",
            path.display()
        )))
    }
}

impl PlanArgs {
    fn ask(&self) -> Result<Ask> {
        let sector = u64::from(self.sector);
        if self.length > LONGEST {
            let reason = format!(
                "--length {}: more than {} is not drawn",
                self.length,
                show(LONGEST)
            );
            return Err(Error::Usage(reason));
        }
        if self.page_offset >= models::PAGE {
            let reason = format!("--page-offset {} is not within a page", self.page_offset);
            return Err(Error::Usage(reason));
        }
        if !self.length.is_multiple_of(sector) {
            let reason = format!(
                "--length {} is not a multiple of the sector, {sector}",
                self.length
            );
            return Err(Error::Usage(reason));
        }
        let pages = (self.page_offset + self.length).div_ceil(models::PAGE);
        if self.page_rule == Pages::Breaks && (self.pfns.len() as u64) < pages {
            let given = self.pfns.len();
            let reason =
                format!("--page-rule breaks needs --pfns for {pages} pages, {given} given");
            return Err(Error::Usage(reason));
        }
        let page_rule = match self.page_rule {
            Pages::Spans => PageRule::Spans,
            Pages::Document => PageRule::Document,
            Pages::Breaks => PageRule::Breaks,
        };
        Ok(Ask {
            sector: self.sector,
            page_offset: self.page_offset,
            lba: self.lba,
            length: self.length,
            write: self.write,
            maximum_transfer_length: self.limits.descriptor_bytes(),
            maximum_physical_pages: self.limits.descriptor_pages(),
            alignment_mask: self.limits.alignment_mask,
            command_blocks: match self.cdb.as_str() {
                "6" => 256,
                "10" => 0xFFFF,
                _ => u32::MAX,
            },
            piece_cap: PieceCap::NONE,
            options: Options {
                page_rule,
                physical_sector: self.physical.map(|bytes| PhysicalSector {
                    bytes,
                    first_aligned: 0,
                }),
                lba_boundary: self.boundary,
                balanced: self.balanced,
            },
            frames: (!self.pfns.is_empty()).then(|| self.pfns.clone()),
        })
    }

    fn question(&self) -> Question {
        Question {
            sector: u64::from(self.sector),
            page_offset: self.page_offset,
            lba: self.lba,
            length: self.length,
            maximum_transfer_length: self.limits.descriptor_bytes(),
            maximum_physical_pages: self.limits.descriptor_pages(),
            long_commands: self.cdb == "16" || self.cdb == "12",
        }
    }

    fn linux_limits(&self) -> LinuxLimits {
        LinuxLimits {
            sector: u64::from(self.sector),
            physical: u64::from(self.physical.unwrap_or(self.sector).max(self.sector)),
            max_bytes: u64::from(self.limits.descriptor_bytes()),
            max_segments: u64::from(self.limits.descriptor_pages().max(1)),
            max_segment_size: models::PAGE,
            chunk: self.boundary,
        }
    }

    /// The frames behind the buffer: those given, or frames that never follow each other.
    fn segments(&self) -> Vec<models::Segment> {
        let pages = (self.page_offset + self.length).div_ceil(models::PAGE);
        let scattered: Vec<u64> = (0..pages).map(|page| 1000 + page * 2).collect();
        let frames = if self.pfns.is_empty() {
            &scattered
        } else {
            &self.pfns
        };
        models::segments_of_pages(self.page_offset, self.length, frames)
    }
}

/// What one system sends.
struct Answer {
    who: &'static str,
    sent: std::result::Result<Vec<Sent>, String>,
    /// Whether the limits it breaks are to be listed: those who count runs keep another limit.
    judged: bool,
    /// What ended each piece, where that is known.
    bounds: Vec<&'static str>,
}

fn answers(
    args: &PlanArgs,
    question: &Question,
    ours: &std::result::Result<Vec<Cut>, NoPlan>,
) -> Vec<Answer> {
    let sector = u64::from(args.sector);
    let bounds = ours.iter().flatten().map(|cut| cut.bound.name()).collect();
    let ours = ours.as_ref().map_err(ToString::to_string).map(|cuts| {
        let sent = |cut: &Cut| {
            let Cut {
                offset,
                length,
                lba,
                ..
            } = *cut;
            Sent {
                offset,
                length,
                lba,
                blocks: length / sector,
            }
        };
        cuts.iter().map(sent).collect()
    });
    let document = models::document(question).ok_or_else(|| "leaves no sector for a piece".into());
    let linux = models::linux(&args.linux_limits(), args.lba, &args.segments());
    let linux_whole = linux.iter().map(|sent| sent.length).sum::<u64>() == args.length;
    let linux = if linux_whole {
        Ok(linux)
    } else {
        Err("some sector fits no command".into())
    };
    let counts_runs = args.page_rule == Pages::Breaks;
    vec![
        Answer {
            who: "xfersplit",
            sent: ours,
            judged: !counts_runs,
            bounds,
        },
        Answer {
            who: "classpnp",
            sent: Ok(models::classpnp(question)),
            judged: true,
            bounds: Vec::new(),
        },
        Answer {
            who: "the documents' rule",
            sent: document,
            judged: true,
            bounds: Vec::new(),
        },
        Answer {
            who: "Linux 6.18",
            sent: linux,
            judged: false,
            bounds: Vec::new(),
        },
    ]
}

fn show_answers(args: &PlanArgs, question: &Question, answers: &[Answer]) -> Result<()> {
    let direction = if args.write { "write" } else { "read" };
    let pages = question.span(0, args.length);
    say!(
        "{direction} of {} at sector {}, buffer {} into its page: {}",
        show(args.length),
        args.lba,
        show(args.page_offset),
        several(pages, "page")
    );
    say!(
        "limits: {} bytes, {} pages, alignment mask {:#x}, {}-byte commands\n",
        show_limit(args.limits.max_bytes.0),
        args.limits
            .max_pages
            .0
            .map_or("no limit of".to_owned(), |n| n.to_string()),
        args.limits.alignment_mask,
        args.cdb
    );
    if let Ok(sent) = &answers[0].sent {
        say!("{}", draw(question, sent));
        show_pieces(question, sent, &answers[0].bounds)?;
    }
    show_peers(question, answers)
}

fn draw(question: &Question, sent: &[Sent]) -> String {
    let bar = |sent: &Sent| Bar {
        offset: sent.offset,
        length: sent.length,
        note: show(sent.length),
    };
    let shown: Vec<Bar> = sent.iter().take(LISTED).map(bar).collect();
    picture::draw(question.page_offset, question.length, &shown)
}

fn show_pieces(question: &Question, sent: &[Sent], bounds: &[&str]) -> Result<()> {
    let mut rows = table(
        &["piece", "bound by", "sector", "sectors", "bytes", "pages"],
        2,
    );
    for (number, sent) in sent.iter().take(LISTED).enumerate() {
        rows.add_row([
            number.to_string(),
            bounds.get(number).unwrap_or(&"").to_string(),
            sent.lba.to_string(),
            sent.blocks.to_string(),
            sent.length.to_string(),
            question.span(sent.offset, sent.length).to_string(),
        ]);
    }
    say!("{rows}");
    if sent.len() > LISTED {
        say!(
            "… and {} more",
            several((sent.len() - LISTED) as u64, "piece")
        );
    }
    say!("");
    Ok(())
}

fn show_peers(question: &Question, answers: &[Answer]) -> Result<()> {
    let mut rows = table(
        &["who", "breaks the limits", "pieces", "longest", "shortest"],
        2,
    );
    for answer in answers {
        match &answer.sent {
            Ok(sent) => rows.add_row([
                answer.who.to_owned(),
                verdict(question, answer, sent),
                sent.len().to_string(),
                show(sent.iter().map(|sent| sent.length).max().unwrap_or(0)),
                show(sent.iter().map(|sent| sent.length).min().unwrap_or(0)),
            ]),
            Err(reason) => rows.add_row([
                answer.who,
                &format!("sends nothing: {reason}"),
                "0",
                "-",
                "-",
            ]),
        };
    }
    say!("{rows}");
    Ok(())
}

/// Which limits an answer breaks, in a few words.
fn verdict(question: &Question, answer: &Answer, sent: &[Sent]) -> String {
    if !answer.judged {
        return "counts physical runs".into();
    }
    let broken: Vec<(usize, Vec<String>)> = sent
        .iter()
        .enumerate()
        .map(|(number, sent)| (number, violations(question, sent)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    match broken.first() {
        None => "no".into(),
        Some((number, found)) => {
            let others = match broken.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!("YES: piece {number} {}{others}", found.join(", "))
        }
    }
}

fn as_json(args: &PlanArgs, answers: &[Answer]) -> Value {
    let question = args.question();
    let answer = |answer: &Answer| match &answer.sent {
        Err(reason) => json!({ "who": answer.who, "error": reason }),
        Ok(sent) => {
            let pieces: Vec<Value> = sent
                .iter()
                .map(|sent| {
                    json!({
                        "offset": sent.offset,
                        "length": sent.length,
                        "lba": sent.lba,
                        "blocks": sent.blocks,
                        "pages": question.span(sent.offset, sent.length),
                        "violations": if answer.judged { violations(&question, sent) } else { Vec::new() },
                    })
                })
                .collect();
            json!({ "who": answer.who, "count": sent.len(), "pieces": pieces })
        }
    };
    json!({
        "length": args.length,
        "page_offset": args.page_offset,
        "lba": args.lba,
        "sector": args.sector,
        "answers": answers.iter().map(answer).collect::<Vec<_>>(),
    })
}
