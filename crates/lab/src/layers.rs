//! Who sends what in a stack: what arrives at the driver for a request at the top, and what the judge says of it.
//!
//! | Stack | What arrives at the driver | What is compared with the judge's minimum |
//! |---|---|---|
//! | class | the request | commands at the port |
//! | disk | the class driver's packets, by classpnp's arithmetic | commands at the port, packet by packet |
//! | relay | the request | requests that the class driver got |

use ntsim::class::{ClassCounts, ClassFacts};
use ntsim::port::{Direction, PortRecord};
use ntsim::world::StackKind;
use xfersplit_oracle::{PAGE, Request, World, breach, minimum, whole_fits};

use crate::bench::Finished;
use crate::models::{Question, Sent, classpnp};
use crate::rules::Rules;
use crate::workload::Job;

/// The name of a stack, as it is on the command line.
pub const fn name(kind: StackKind) -> &'static str {
    match kind {
        StackKind::Port => "class",
        StackKind::Disk => "disk",
        StackKind::Relay => "relay",
    }
}

/// What the checks of a run compare, in a sentence.
pub const fn promise(kind: StackKind, filter: bool) -> &'static str {
    match (kind, filter) {
        (StackKind::Port, false) => "data, completions",
        (_, false) => "data, completions, packets by the class driver's arithmetic",
        (StackKind::Port, true) => {
            "data, completions, limits of every command, commands the fewest possible"
        }
        (StackKind::Disk, true) => {
            "data, completions, limits of every command, packets by the class driver's arithmetic, \
             commands the fewest possible for those packets"
        }
        (StackKind::Relay, true) => {
            "data, completions, limits of every command, requests to the class driver the fewest possible"
        }
    }
}

/// A part of a request, in sectors from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub blocks: u64,
}

/// What the judge says of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fewest {
    /// What the driver sends at least; none if some part has no legal split.
    pub sent: Option<u64>,
    /// Packets of a class driver that gets the request as it is.
    pub packets: u64,
}

/// The layers of one stack.
#[derive(Clone, Debug)]
pub struct Layers {
    kind: StackKind,
    facts: Option<ClassFacts>,
    rules: Rules,
}

impl Layers {
    /// The layers of a running stack, whose class driver (if it has one) learned `facts`.
    pub fn new(kind: StackKind, facts: Option<ClassFacts>, rules: Rules) -> Self {
        Self { kind, facts, rules }
    }

    /// Which stack.
    pub fn kind(&self) -> StackKind {
        self.kind
    }

    /// Whether what the driver sends are commands; above a class driver they are requests.
    pub fn sends_commands(&self) -> bool {
        self.kind != StackKind::Relay
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The parts in which a request arrives at the driver.
    pub fn arriving(&self, job: &Job) -> Vec<Part> {
        let blocks = job.length / u64::from(self.rules.sector);
        match (self.kind, &self.facts) {
            (StackKind::Disk, Some(facts)) => self.packets(facts, job),
            _ => vec![Part { start: 0, blocks }],
        }
    }

    /// The packets of the class driver, wherever it is in the stack.
    fn packets(&self, facts: &ClassFacts, job: &Job) -> Vec<Part> {
        let sector = u64::from(self.rules.sector);
        let question = Question {
            sector,
            page_offset: job.page_offset,
            lba: job.offset / sector,
            length: job.length,
            maximum_transfer_length: facts.maximum_transfer_length,
            maximum_physical_pages: facts.maximum_physical_pages,
            long_commands: facts.sixteen,
        };
        let part = |sent: Sent| Part {
            start: sent.offset / sector,
            blocks: sent.length / sector,
        };
        classpnp(&question).into_iter().map(part).collect()
    }

    /// The world in which pieces of a part of the request are judged.
    pub fn world(&self, job: &Job, part: Part) -> World {
        let sector = u64::from(self.rules.sector);
        let end = (job.offset + job.length) / sector;
        let page_offset = (job.page_offset + part.start * sector) % PAGE;
        let world = self.rules.world(job.write, page_offset, end);
        let long = self.facts.is_some_and(|facts| facts.sixteen);
        match self.kind {
            StackKind::Port => world,
            // The pieces' command blocks are of the packet's form.
            StackKind::Disk => World {
                cdb_blocks: Some(if long { u64::from(u32::MAX) } else { 0xFFFF }),
                ..world
            },
            // Requests name bytes, and no command block.
            StackKind::Relay => World {
                cdb_blocks: None,
                ..world
            },
        }
    }

    /// The request as the judge sees it; `frames` are those of its buffer.
    pub fn request<'a>(&self, job: &Job, frames: &'a [u64]) -> Request<'a> {
        let sector = u64::from(self.rules.sector);
        Request {
            page_offset: job.page_offset,
            lba: job.offset / sector,
            blocks: job.length / sector,
            frames,
        }
    }

    /// What the judge says of the request: the sum over the parts that arrive at the driver.
    pub fn fewest(&self, job: &Job, frames: &[u64]) -> Fewest {
        let request = self.request(job, frames);
        let parts = self.arriving(job);
        let fewest = |&part: &Part| {
            let world = self.world(job, part);
            minimum(&world, &alone(&world, &request, part))
        };
        Fewest {
            sent: parts.iter().map(fewest).sum(),
            packets: self
                .facts
                .map_or(0, |facts| self.packets(&facts, job).len() as u64),
        }
    }

    /// The first command that breaks a limit of its own, as it stands; none if all is well, and none for a part that
    /// nobody can split legally.
    pub fn over_limit(&self, finished: &Finished) -> Option<String> {
        let request = self.request(&finished.job, finished.buffer.pfns());
        let broken = |&(lba, blocks): &(u64, u64)| {
            let start = lba - request.lba;
            let part = Part { start, blocks };
            let world = self.world(&finished.job, part);
            let alone = alone(&world, &request, part);
            let breach = (!whole_fits(&world, &alone))
                .then(|| breach(&world, &alone, 0, blocks))
                .flatten()?;
            Some(format!(
                "the command of {blocks} sectors at {start} breaks {breach:?}"
            ))
        };
        finished.plan().iter().find_map(broken)
    }

    /// The same for a command of which nobody knows the request: by what the port has seen of it.
    pub fn record_over_limit(&self, record: &PortRecord) -> Option<String> {
        let sector = u64::from(self.rules.sector);
        let blocks = u64::from(record.blocks);
        let job = Job {
            write: record.direction == Some(Direction::Write),
            offset: record.lba * sector,
            length: blocks * sector,
            page_offset: u64::from(record.page_offset),
        };
        // Its command block has named it, whatever its form.
        let world = World {
            cdb_blocks: None,
            ..self.world(&job, Part { start: 0, blocks })
        };
        let frames = frames(record);
        let request = self.request(&job, &frames);
        let broken = breach(&world, &request, 0, blocks)?;
        // What nobody can split legally is sent as it is.
        minimum(&world, &request)?;
        let Job { offset, length, .. } = job;
        Some(format!(
            "the command of {length} bytes at {offset} breaks {broken:?}"
        ))
    }

    /// Whether all commands came in the format that the adapter asks for.
    ///
    /// # Errors
    /// A command that did not.
    pub fn check_format(&self, pieces: &[PortRecord]) -> Result<(), String> {
        let name = |extended| if extended { "extended" } else { "legacy" };
        let asked = self.rules.extended_srb;
        match pieces.iter().find(|piece| piece.extended != asked) {
            Some(piece) => Err(format!(
                "a command in {} SRB, the adapter asks for {}",
                name(piece.extended),
                name(asked)
            )),
            None => Ok(()),
        }
    }

    /// How many bytes of a request that succeeded are known to have moved, from its start. A class driver adds up
    /// what its packets, or its pages where memory is short, moved: a short one that is not the last leaves a hole
    /// which nobody above can see.
    pub fn moved(&self, finished: &Finished) -> u64 {
        let Finished {
            job, done, pieces, ..
        } = finished;
        let one_way = self.kind == StackKind::Port || pieces.len() == 1;
        match done.information {
            _ if !done.succeeded() => 0,
            all if all == job.length || one_way => all,
            _ => 0,
        }
    }

    /// Whether a failed request must report no bytes. A class driver leaves what its other packets moved.
    pub fn reports_nothing_on_failure(&self, fewest: &Fewest) -> bool {
        match self.kind {
            StackKind::Port => true,
            StackKind::Disk => false,
            // What fits goes to the class driver as it came.
            StackKind::Relay => fewest.sent.is_none_or(|sent| sent > 1),
        }
    }
}

/// A part of a request as a request of its own.
pub fn alone<'a>(world: &World, request: &Request<'a>, part: Part) -> Request<'a> {
    let at = request.page_offset + part.start * world.sector;
    Request {
        page_offset: at % PAGE,
        lba: request.lba + part.start,
        blocks: part.blocks,
        frames: request
            .frames
            .get((at / PAGE) as usize..)
            .unwrap_or_default(),
    }
}

/// Frames in as many runs as those of a command's data.
fn frames(record: &PortRecord) -> Vec<u64> {
    // Page after page in the last run, every other one before it.
    let gaps = record.breaks.saturating_sub(1);
    (0..record.span_pages)
        .map(|page| u64::from(page + page.min(gaps)))
        .collect()
}

/// What a class driver did while a group of requests was under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that reached it.
    pub requests: u64,
    /// Packets it sent.
    pub packets: u64,
    /// Packets it sent again.
    pub retries: u64,
    /// Packets that it sent page by page.
    pub low_memory: u64,
}

impl Traffic {
    /// What has happened since the first of two counts.
    pub fn between(before: &ClassCounts, after: &ClassCounts) -> Self {
        Self {
            requests: after.requests - before.requests,
            packets: after.packets - before.packets,
            retries: after.retries - before.retries,
            low_memory: after.low_memory - before.low_memory,
        }
    }

    /// Whether every packet was sent once, at the size of its arithmetic.
    pub fn is_plain(&self) -> bool {
        self.retries == 0 && self.low_memory == 0
    }
}

/// What a group of requests without a fault must have come to, layer by layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Requests at the top.
    pub requests: u64,
    /// What the driver sends at least.
    pub sent: u64,
    /// Packets of a class driver that gets the requests as they are.
    pub packets: u64,
    /// Commands seen at the port.
    pub commands: u64,
}

impl Expected {
    /// With one more request; none if it met a fault, failed, or has no legal split: nobody can say what it took.
    pub fn with(self, finished: &Finished, fewest: &Fewest) -> Option<Self> {
        let plain = finished.done.succeeded() && !finished.met_fault();
        let sent = fewest.sent.filter(|_| plain)?;
        Some(Self {
            requests: self.requests + 1,
            sent: self.sent + sent,
            packets: self.packets + fewest.packets,
            commands: self.commands + finished.pieces.len() as u64,
        })
    }
}

impl Layers {
    /// Compares what a class driver did with what it must have done.
    ///
    /// # Errors
    /// The layer that did something else.
    pub fn check(
        &self,
        filter: bool,
        traffic: &Traffic,
        expected: &Expected,
    ) -> Result<(), String> {
        let same = |what: &str, found: u64, expected: u64| {
            if found == expected {
                Ok(())
            } else {
                Err(format!("{found} {what}, expected {expected}"))
            }
        };
        match self.kind {
            StackKind::Port => Ok(()),
            StackKind::Relay if filter => {
                same(
                    "requests to the class driver",
                    traffic.requests,
                    expected.sent,
                )?;
                same("commands at the port", expected.commands, traffic.packets)
            }
            StackKind::Disk | StackKind::Relay => {
                same(
                    "requests at the class driver",
                    traffic.requests,
                    expected.requests,
                )?;
                same(
                    "packets of the class driver",
                    traffic.packets,
                    expected.packets,
                )?;
                if filter {
                    return Ok(());
                }
                // Nobody is between the class driver and the port.
                same("commands at the port", expected.commands, expected.packets)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ntsim::port::{Disk, Hba};

    use super::*;

    /// A disk behind an adapter that says so many bytes and pages, with a setting of 32 KiB.
    fn layers(kind: StackKind, bytes: u32, pages: u32) -> Layers {
        let hba = Hba::unlimited().limits(bytes, pages);
        let disk = Disk::memory(1 << 16, 512);
        let settings = [("MaximumTransferLength".to_owned(), 32 << 10)];
        let facts = ClassFacts {
            maximum_transfer_length: bytes,
            maximum_physical_pages: pages,
            sector: 512,
            ..ClassFacts::default()
        };
        let facts = (kind != StackKind::Port).then_some(facts);
        Layers::new(kind, facts, Rules::new(&hba, &disk, &settings))
    }

    fn job(length: u64, page_offset: u64) -> Job {
        Job {
            write: false,
            offset: 0,
            length,
            page_offset,
        }
    }

    fn lengths(layers: &Layers, job: &Job) -> Vec<u64> {
        let parts = layers.arriving(job);
        let mut at = 0;
        for part in &parts {
            assert_eq!(part.start, at, "the parts follow each other");
            at += part.blocks;
        }
        assert_eq!(at * 512, job.length);
        parts.iter().map(|part| part.blocks / 2).collect()
    }

    #[test]
    fn requests_arrive_whole_where_no_class_driver_is_above() {
        for kind in [StackKind::Port, StackKind::Relay] {
            let layers = layers(kind, 64 << 10, 17);
            assert_eq!(lengths(&layers, &job(200 << 10, 0)), [200]);
            let fewest = layers.fewest(&job(200 << 10, 0), &[]);
            assert_eq!(fewest.sent, Some(7), "{kind:?}");
        }
    }

    #[test]
    fn packets_have_the_length_of_the_class_drivers_arithmetic() {
        let layers = layers(StackKind::Disk, 1 << 20, 17);
        // A buffer that starts on a page gets back the page that is kept for one that does not.
        assert_eq!(lengths(&layers, &job(200 << 10, 0)), [68, 68, 64]);
        assert_eq!(lengths(&layers, &job(200 << 10, 512)), [64, 64, 64, 8]);
    }

    #[test]
    fn the_fewest_commands_are_counted_packet_by_packet() {
        let layers = layers(StackKind::Disk, 1 << 20, 17);
        let fewest = layers.fewest(&job(200 << 10, 0), &[]);
        // 68 + 68 + 64 KiB in commands of 32 KiB; whole, they would be 7.
        assert_eq!((fewest.packets, fewest.sent), (3, Some(3 + 3 + 2)));
    }

    #[test]
    fn a_command_is_judged_by_what_the_port_has_seen() {
        let layers = layers(StackKind::Port, 64 << 10, 5);
        let broken = |blocks: u32, page_offset: u16, span_pages| {
            layers.record_over_limit(&PortRecord {
                blocks,
                page_offset,
                span_pages,
                breaks: span_pages,
                ..PortRecord::default()
            })
        };
        assert_eq!(broken(40, 0, 5), None);
        assert_eq!(broken(32, 512, 5), None);
        let pages = broken(40, 512, 6).expect("6 pages are too many");
        assert!(pages.contains("20480 bytes at 0"), "{pages}");
        assert!(broken(65, 0, 9).is_some(), "more than the setting says");
    }

    #[test]
    fn frames_are_in_as_many_runs_as_the_port_counted() {
        for runs in 1..=5 {
            let frames = frames(&PortRecord {
                span_pages: 5,
                breaks: runs,
                ..PortRecord::default()
            });
            let cuts = frames.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
            assert_eq!((frames.len(), cuts.count() + 1), (5, runs as usize));
        }
    }

    #[test]
    fn layers_that_do_not_agree_are_named() {
        let disk = layers(StackKind::Disk, 1 << 20, 17);
        let expected = Expected {
            requests: 1,
            sent: 8,
            packets: 3,
            commands: 8,
        };
        let traffic = Traffic {
            requests: 1,
            packets: 3,
            ..Traffic::default()
        };
        assert_eq!(disk.check(true, &traffic, &expected), Ok(()));
        let bare = disk.check(false, &traffic, &expected).unwrap_err();
        assert!(bare.contains("8 commands at the port"), "{bare}");
        let more = Traffic {
            packets: 4,
            ..traffic
        };
        let packets = disk.check(true, &more, &expected).unwrap_err();
        assert!(packets.contains("4 packets"), "{packets}");

        let relay = layers(StackKind::Relay, 1 << 20, 17);
        let requests = relay.check(true, &traffic, &expected).unwrap_err();
        assert!(
            requests.contains("1 requests to the class driver, expected 8"),
            "{requests}"
        );
        let split = Traffic {
            requests: 8,
            packets: 8,
            ..traffic
        };
        assert_eq!(relay.check(true, &split, &expected), Ok(()));
    }
}
