//! One random world of the soak: an adapter, a disk, settings, weather, and the requests that meet them. Everything
//! follows from two numbers, the soak's seed and the world's number.

use ntsim::class;
use ntsim::port::{
    Completion, Disk, FaultMix, Hba, Kind, Limits, OnViolation, Profile, SegmentRule,
};
use ntsim::world::StackKind;
use xfersplit_oracle::{PageRule, Request, minimum};

use crate::layers;
use crate::rng::Rng;
use crate::rules::Rules;

/// A random world.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where the driver is.
    pub stack: StackKind,
    /// The adapter asks for `STORAGE_REQUEST_BLOCK`s.
    pub extended: bool,
    /// The class driver, where there is one.
    pub class: class::Options,
    /// Bytes in a sector.
    pub sector: u32,
    /// Sectors on the disk.
    pub blocks: u64,
    /// Bytes in a physical sector, and the first logical one that starts one.
    pub physical: Option<(u32, u16)>,
    /// The port driver knows the sizes of sectors.
    pub reports_sectors: bool,
    /// What the adapter says.
    pub advertised: Limits,
    /// The most sectors in one command by the device's own word (its Block Limits page).
    pub block_limits: Option<u32>,
    /// What the settings say, by name.
    pub settings: Vec<(String, u32)>,
    /// The adapter says more than it takes, and the settings make good for it.
    pub lies: bool,
    /// When the adapter answers.
    pub completion: Completion,
    /// Requests the adapter works on at the same time.
    pub adapter_depth: u32,
    /// The medium can be taken out: the engine then sends one piece at a time.
    pub removable: bool,
    /// The chance of each fault for each piece, in millionths.
    pub fault_rate: u32,
    /// Requests in flight.
    pub queue_depth: usize,
    /// First sector of the part of the disk that the requests go to.
    pub base: u64,
    /// Sectors in that part.
    pub span: u64,
    /// Most sectors in a request.
    pub longest: u64,
    /// How pages are counted.
    pub page_rule: PageRule,
    /// Pages of a buffer that follow each other in memory.
    pub run_pages: usize,
    /// Buffers start at multiples of this in their page.
    pub page_step: u64,
}

impl Scenario {
    /// World number `number` of the soak with this seed.
    pub fn draw(seed: u64, number: u64) -> Self {
        let mut rng = Rng::part(seed, number);
        let stack = match rng.below(20) {
            0..=7 => StackKind::Port,
            8..=15 => StackKind::Disk,
            _ => StackKind::Relay,
        };
        let sector = match stack {
            StackKind::Port => rng.pick(&[512, 512, 512, 512, 4096, 4096, 520, 1024]),
            // A class driver takes the largest power of two in a sector for the sector.
            StackKind::Disk | StackKind::Relay => rng.pick(&[512, 512, 512, 4096, 1024]),
        };
        let mut scenario = Self::plain(&mut rng, stack, sector);
        if stack == StackKind::Port && rng.percent(6) {
            scenario.draw_short_commands(&mut rng);
        } else {
            scenario.draw_limits(&mut rng);
            scenario.draw_settings(&mut rng);
        }
        if stack != StackKind::Port {
            scenario.draw_class(&mut rng);
        }
        scenario.draw_place(&mut rng);
        scenario.draw_weather(&mut rng);
        scenario
    }

    fn plain(rng: &mut Rng, stack: StackKind, sector: u32) -> Self {
        let longest = rng.pick(&[40, 100, 200, 350]) * 512 / u64::from(sector).min(2048);
        Self {
            stack,
            extended: rng.percent(50),
            class: class::Options::default(),
            sector,
            blocks: 1 << 20,
            physical: None,
            reports_sectors: true,
            advertised: Limits {
                bytes: u32::MAX,
                pages: u32::MAX,
                alignment_mask: 0,
            },
            block_limits: None,
            settings: Vec::new(),
            lies: false,
            completion: Completion::Inline,
            adapter_depth: rng.pick(&[1, 2, 8, 32, 254]),
            removable: rng.percent(8),
            fault_rate: 0,
            queue_depth: rng.pick(&[1, 1, 2, 4, 8]) as usize,
            base: 0,
            span: (2 << 20) / u64::from(sector),
            longest: longest.max(8),
            page_rule: PageRule::Spans,
            run_pages: 1,
            page_step: 4,
        }
    }

    /// What the adapter says. It always leaves a way to send any sector, so that what cannot be sent is refused
    /// because of a setting.
    fn draw_limits(&mut self, rng: &mut Rng) {
        let least = u64::from(self.sector).max(4096);
        self.advertised.bytes = match rng.below(10) {
            0 | 1 => u32::MAX,
            2 => rng.within(least, 2 * least) as u32,
            3..=5 => rng.within(least, 65536) as u32,
            _ => (rng.within(2, 32) * 4096) as u32,
        };
        self.advertised.pages = match rng.below(10) {
            0 | 1 => u32::MAX,
            2 => rng.within(2, 3) as u32,
            _ => rng.within(2, 20) as u32,
        };
        if rng.percent(35) {
            self.advertised.alignment_mask = rng.pick(&[1, 3, 7, 511, 1023, 1023, 2047, 2047]);
        }
    }

    /// An adapter that takes more than the 256 sectors which a 6-byte command can name.
    fn draw_short_commands(&mut self, rng: &mut Rng) {
        self.sector = 512;
        self.span = (2 << 20) / 512;
        self.longest = 700;
        self.advertised.bytes = rng.pick(&[u32::MAX, 1 << 20, 160 << 10]);
        self.advertised.pages = rng.pick(&[u32::MAX, 300, 40]);
        self.set("CdbLength", 6);
        if rng.percent(50) {
            self.set("Window", rng.pick(&[1, 2, 8]));
        }
    }

    /// The class driver, and what it is told.
    fn draw_class(&mut self, rng: &mut Rng) {
        self.class.low_memory = rng.percent(10);
        self.class.packets = rng.pick(&[1, 2, 16, 16, 64]);
        if rng.percent(30) {
            self.class.retries = rng.below(4) as u32;
        }
        if self.stack == StackKind::Disk {
            // Not everybody does. A limit in sectors of unknown size would be taken for less than it is.
            let known = self.block_limits.is_some() && self.sector != 512;
            self.reports_sectors = known || rng.percent(80);
            match rng.below(6) {
                0 => self.set("Advertise", 0),
                1 => self.set("Advertise", 1),
                2 | 3 => {
                    self.set("Advertise", 2);
                    let larger = rng.pick(&[4096, 65536, 100_000, 1 << 20, 4 << 20]);
                    self.set("AdvertisedTransferLength", larger);
                }
                _ => {}
            }
        }
        let rounded = self.setting("Advertise") == Some(1) && self.leaves_pages();
        if !rounded && self.advertised.bytes != u32::MAX {
            // A limit that is no multiple of a page makes the class driver overrun its own MDL (classpnp, class.c
            // ServiceTransferRequest); only what it is told can keep it from that.
            self.advertised.bytes -= self.advertised.bytes % 4096;
        }
    }

    fn draw_settings(&mut self, rng: &mut Rng) {
        if rng.percent(25) {
            self.lies = true;
            let bytes = rng.within(8192, 49152) as u32;
            self.set("MaximumTransferLength", bytes);
            self.set("MaximumPhysicalPages", rng.within(2, 12) as u32);
            if rng.percent(60) && matches!(self.sector, 512 | 1024) {
                // Odd lengths meet an alignment of several sectors.
                self.advertised.alignment_mask = 2 * self.sector - 1;
            }
        }
        if rng.percent(10) && self.sector.is_power_of_two() {
            self.block_limits = Some((rng.within(1, 12) * 8) as u32);
        }
        if rng.percent(10) {
            self.set("NumberOfMapRegisters", rng.within(2, 9) as u32);
        }
        if rng.percent(3) && self.advertised.alignment_mask == 0 {
            // One page, and sectors that may cross one: some requests have no legal split.
            self.set("MaximumPhysicalPages", 1);
        }
        if rng.percent(25) && self.sector.is_power_of_two() {
            self.set("LbaBoundary", rng.pick(&[8192, 16384, 65536]));
        }
        if rng.percent(20) {
            self.set("CdbLength", rng.pick(&[6, 6, 10, 12, 16]));
        }
        if rng.percent(15) {
            self.page_rule = rng.pick(&[PageRule::Document, PageRule::Breaks]);
            self.set(
                "PageRule",
                if self.page_rule == PageRule::Document {
                    1
                } else {
                    2
                },
            );
            self.run_pages = rng.pick(&[1, 2, 5]);
        }
        if rng.percent(15) {
            self.set("Balanced", 1);
        }
        if rng.percent(20) {
            self.set("MaxPieceBytes", 65536);
        }
        if rng.percent(50) {
            self.set("Window", rng.pick(&[1, 2, 3, 8, 64]));
        }
        if rng.percent(30) {
            self.set("Pieces", rng.pick(&[2, 3, 16]));
        }
        if rng.percent(10) {
            self.set("Serial", 1);
        }
        if rng.percent(25) && self.sector == 512 {
            self.physical = Some((4096, rng.pick(&[0, 0, 1, 7])));
            if rng.percent(20) {
                self.set("PhysicalSectorCuts", 0);
            }
        }
    }

    /// Where on the disk: at its start, about where 32-bit sector numbers end, or far beyond.
    fn draw_place(&mut self, rng: &mut Rng) {
        let six = self.setting("CdbLength") == Some(6);
        if six || rng.percent(50) {
            self.base = rng.below(1000);
        } else if rng.percent(50) {
            self.base = (1 << 32) - rng.below(self.span);
        } else {
            self.base = (1 << 40) + rng.below(1 << 20);
        }
        self.blocks = if six {
            1 << 20
        } else {
            self.base + self.span + 64
        };
    }

    fn draw_weather(&mut self, rng: &mut Rng) {
        let latency = rng.pick(&[10, 500, 5000]);
        self.completion = match rng.below(4) {
            0 => Completion::Inline,
            1 => Completion::Mixed(50, 0..latency),
            _ => Completion::Later(latency / 10..latency),
        };
        if rng.percent(40) {
            self.fault_rate = rng.pick(&[500, 2000, 8000]);
            self.set("RetryDelayMs", rng.pick(&[0, 1, 100]));
            if rng.percent(50) {
                self.set("MaxRetries", rng.below(6) as u32);
            }
        }
        let pages = self.class.low_memory || self.fault_rate > 0;
        if self.stack != StackKind::Port && pages {
            // Short of memory, a class driver sends what is left of the buffer's first page and then page by page: from
            // a buffer off the sectors no whole ones (classpnp, retry.c).
            self.page_step = u64::from(self.sector);
        }
        if self.stack == StackKind::Disk && pages && self.setting("LbaBoundary").is_some() {
            // Such a page can start where the alignment leaves no cut on the boundary, and is refused.
            self.advertised.alignment_mask &= self.sector - 1;
        }
    }

    /// A later word on the same setting counts.
    fn set(&mut self, name: &str, value: u32) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name.to_owned(), value));
    }

    /// What a setting says, if anything.
    pub fn setting(&self, name: &str) -> Option<u32> {
        self.settings
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The adapter.
    pub fn hba(&self) -> Hba {
        let mut actual = self.advertised;
        if let Some(blocks) = self.block_limits {
            actual.bytes = actual.bytes.min(blocks * self.sector);
        }
        if self.lies {
            actual.bytes = actual
                .bytes
                .min(self.setting("MaximumTransferLength").unwrap_or(u32::MAX));
            // A list of runs has room for fewer entries than pages touched; the adapter counts pages.
            actual.pages = actual
                .pages
                .min(self.setting("MaximumPhysicalPages").unwrap_or(u32::MAX));
        }
        let segments = match self.page_rule {
            PageRule::Breaks => SegmentRule::Breaks,
            PageRule::Spans | PageRule::Document => SegmentRule::Pages,
        };
        let profile = Profile {
            block_limits: self.block_limits,
            ..*Hba::unlimited().current()
        };
        Hba::from_profile(profile)
            .advertised(self.advertised)
            .actual(actual)
            .segments(segments)
            .on_violation(OnViolation::Record)
            .queue_depth(self.adapter_depth)
            .extended_srb(self.extended)
            .completion(self.completion.clone())
    }

    /// The weather: every fault with the same chance; those that cost a timeout a tenth of it.
    pub fn faults(&self) -> FaultMix {
        let chance = f64::from(self.fault_rate) / 1e6;
        if self.fault_rate == 0 {
            return FaultMix::new();
        }
        let mix = FaultMix::new()
            .everything(chance)
            .with(Kind::Hang, chance / 2.0);
        if self.stack == StackKind::Port || !self.removable {
            return mix;
        }
        // After these a class driver lets nobody read or write until a file system has looked at the medium.
        mix.with(Kind::MediumChanged, 0.0)
            .with(Kind::VerifyRequired, 0.0)
            .with(Kind::UnitAttention, 0.0)
    }

    /// The disk, in memory.
    pub fn disk(&self) -> Disk {
        let disk = Disk::memory(self.blocks, self.sector)
            .removable(self.removable)
            .reports_alignment(self.reports_sectors);
        match self.physical {
            Some((bytes, lowest)) => disk.physical(bytes, lowest),
            None => disk,
        }
    }

    /// The way of its requests, in a few words.
    pub fn route(&self) -> String {
        let format = if self.extended { "extended" } else { "legacy" };
        format!("{} stack, {format} SRBs", layers::name(self.stack))
    }

    /// What the judge holds the driver to.
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::new(&self.hba(), &self.disk(), &self.settings);
        // Beneath a class driver nobody else may be asked for them.
        rules.physical = rules.physical.filter(|_| self.reports_sectors);
        rules
    }
}

/// One request of a scenario, sectors counted from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// From memory to disk.
    pub write: bool,
    /// First sector.
    pub lba: u64,
    /// Sectors.
    pub blocks: u64,
    /// Where in its page the buffer starts.
    pub page_offset: u64,
}

impl Ask {
    /// The next random request.
    pub fn draw(scenario: &Scenario, rng: &mut Rng) -> Self {
        let blocks = match rng.below(10) {
            0 => rng.within(1, 3),
            1..=6 => rng.within(1, scenario.longest / 2),
            _ => rng.within(1, scenario.longest),
        };
        let mask = u64::from(scenario.advertised.alignment_mask);
        let page_offset = match rng.below(4) {
            0 | 1 => 0,
            2 => rng.below(8) * 512,
            _ => rng.below(1024) * 4,
        };
        // One buffer in twenty breaks the adapter's alignment; nobody above checked it.
        let page_offset = if rng.percent(5) {
            page_offset
        } else {
            page_offset & !mask
        };
        let page_offset = page_offset - page_offset % scenario.page_step;
        Self {
            write: rng.percent(50),
            lba: scenario.base + rng.below(scenario.span - blocks),
            blocks,
            page_offset,
        }
    }

    /// Whether two requests touch the same sector.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.lba < other.lba + other.blocks && other.lba < self.lba + self.blocks
    }

    /// Whether the adapter alone leaves a legal way for the request. Where it does not, the request is sent as Windows
    /// would send it, and no judge would agree.
    pub fn is_possible(&self, rules: &Rules) -> bool {
        let world = rules.adapter_world(self.page_offset, self.lba + self.blocks);
        let request = Request {
            page_offset: self.page_offset,
            lba: self.lba,
            blocks: self.blocks,
            frames: &[],
        };
        minimum(&world, &request).is_some()
    }
}
