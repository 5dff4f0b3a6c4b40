//! Workloads: which requests come, as a person would describe them to fio.

use crate::rng::Rng;
use crate::size;

/// Sizes of requests with their weights, as in `4K/60,64K/30,1M/10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<(u64, u64)>);

impl Sizes {
    /// Reads one size or a list of `size/weight`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut sizes = Vec::new();
        for part in text.split(',') {
            let (bytes, weight) = match part.split_once('/') {
                Some((bytes, weight)) => {
                    let weight: u64 = weight
                        .trim()
                        .parse()
                        .map_err(|_| format!("'{weight}' is not a weight"))?;
                    (size::parse(bytes)?, weight)
                }
                None => (size::parse(part)?, 1),
            };
            if bytes == 0 || bytes > u64::from(u32::MAX) {
                return Err(format!(
                    "a request of {bytes} bytes (1 to 4294967295 make sense)"
                ));
            }
            sizes.push((bytes, weight));
        }
        if sizes.iter().map(|(_, weight)| weight).sum::<u64>() == 0 {
            return Err("every weight is 0".into());
        }
        Ok(Self(sizes))
    }

    /// The largest.
    pub fn largest(&self) -> u64 {
        self.0.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    /// The first that is not a multiple of the sector.
    pub fn ragged(&self, sector: u64) -> Option<u64> {
        self.0
            .iter()
            .map(|(bytes, _)| *bytes)
            .find(|bytes| !bytes.is_multiple_of(sector))
    }

    fn pick(&self, rng: &mut Rng) -> u64 {
        let total = self.0.iter().map(|(_, weight)| weight).sum();
        let mut point = rng.below(total);
        for &(bytes, weight) in &self.0 {
            if point < weight {
                return bytes;
            }
            point -= weight;
        }
        self.largest()
    }
}

/// A description of requests.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Everything random follows from this.
    pub seed: u64,
    /// How many requests.
    pub requests: u64,
    /// Their sizes.
    pub sizes: Sizes,
    /// How many in a hundred are writes.
    pub writes: u64,
    /// Offsets on the disk are multiples of this, bytes.
    pub align: u64,
    /// Where in their page buffers start; any multiple of [`Self::page_step`] when none.
    pub page_offset: Option<u64>,
    /// Buffers start at multiples of this in their page; a power of two up to a page.
    pub page_step: u64,
    /// Bytes of the disk that are used, from its start.
    pub span: u64,
    /// One after another instead of here and there.
    pub sequential: bool,
}

/// One request of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// From memory to disk.
    pub write: bool,
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Where in its page the buffer starts.
    pub page_offset: u64,
}

impl Job {
    /// Whether two requests touch the same byte of the disk.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.offset + other.length && other.offset < self.offset + self.length
    }
}

impl Workload {
    /// The requests in order.
    pub fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        let mut rng = Rng::new(self.seed);
        let mut next = 0;
        (0..self.requests).map(move |_| {
            let length = self.sizes.pick(&mut rng);
            let places = (self.span - length) / self.align + 1;
            let offset = if self.sequential {
                let here = if next / self.align < places { next } else { 0 };
                next = (here + length).next_multiple_of(self.align);
                here
            } else {
                rng.below(places) * self.align
            };
            let page_offset = self.page_offset.unwrap_or_else(|| {
                let anywhere = rng.below(1024) * 4;
                anywhere - anywhere % self.page_step
            });
            Job {
                write: rng.percent(self.writes),
                offset,
                length,
                page_offset,
            }
        })
    }
}

/// Puts requests into groups that may be in flight together: at most `depth`, none touching what another touches.
pub fn groups(jobs: impl Iterator<Item = Job>, depth: usize) -> impl Iterator<Item = Vec<Job>> {
    let mut jobs = jobs.peekable();
    std::iter::from_fn(move || {
        let mut group: Vec<Job> = Vec::new();
        while group.len() < depth {
            let fits = |job: &Job| group.iter().all(|other| !job.overlaps(other));
            match jobs.next_if(|job| fits(job)) {
                Some(job) => group.push(job),
                None => break,
            }
        }
        (!group.is_empty()).then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(sequential: bool) -> Workload {
        Workload {
            seed: 1,
            requests: 500,
            sizes: Sizes::parse("4K/3, 64K").expect("sizes"),
            writes: 30,
            align: 512,
            page_offset: None,
            page_step: 4,
            span: 1 << 20,
            sequential,
        }
    }

    #[test]
    fn requests_stay_inside_and_on_their_grid() {
        let jobs: Vec<Job> = workload(false).jobs().collect();
        assert_eq!(jobs.len(), 500);
        for job in &jobs {
            assert!(job.offset + job.length <= 1 << 20 && job.offset.is_multiple_of(512));
            assert!(job.length == 4096 || job.length == 65536);
        }
        let small = jobs.iter().filter(|job| job.length == 4096).count();
        assert!((325..425).contains(&small), "{small} of 500 small");
        let writes = jobs.iter().filter(|job| job.write).count();
        assert!((110..190).contains(&writes), "{writes} of 500 writes");
        assert_eq!(
            jobs,
            workload(false).jobs().collect::<Vec<_>>(),
            "the same seed"
        );
    }

    #[test]
    fn sequential_requests_follow_each_other_and_wrap() {
        let jobs: Vec<Job> = workload(true).jobs().collect();
        for pair in jobs.windows(2) {
            let after = pair[0].offset + pair[0].length;
            assert!(pair[1].offset == after || pair[1].offset == 0);
        }
    }

    #[test]
    fn groups_never_overlap_and_lose_nothing() {
        let workload = workload(false);
        let all: Vec<Vec<Job>> = groups(workload.jobs(), 8).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 500);
        assert!(all.iter().any(|group| group.len() > 1));
        for group in &all {
            for (index, job) in group.iter().enumerate() {
                assert!(group[index + 1..].iter().all(|other| !job.overlaps(other)));
            }
        }
    }

    #[test]
    fn bad_sizes_are_named() {
        for (text, part) in [
            ("", "not a size"),
            ("4K/x", "not a weight"),
            ("4K/0", "every weight is 0"),
            ("0", "0 bytes"),
            ("4G", "4294967296 bytes"),
        ] {
            let reason = Sizes::parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
        let sizes = Sizes::parse("1000,4K").expect("sizes");
        assert_eq!((sizes.ragged(512), sizes.largest()), (Some(1000), 4096));
    }
}
