//! Where files lie on the disk: runs of clusters, handed out so that files are in several pieces.

use crate::port::Rng;

/// Neighbouring clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) clusters: u64,
}

/// The clusters that belong to nobody, in ranges sorted by their start.
#[derive(Debug)]
pub(super) struct Space {
    free: Vec<Extent>,
    rng: Rng,
}

/// The most clusters of an ordinary piece of a file, and of a small one.
const PIECE: u64 = 384;
const CRUMB: u64 = 12;
/// Clusters left alone before a piece, at most.
const GAP: u64 = 6;

impl Space {
    pub(super) fn new(start: u64, end: u64, seed: u64) -> Self {
        let clusters = end.saturating_sub(start);
        Self {
            free: vec![Extent { start, clusters }],
            rng: Rng::new(seed),
        }
    }

    /// So many clusters, in pieces; `None` if there are not as many.
    pub(super) fn scattered(&mut self, clusters: u64) -> Option<Vec<Extent>> {
        let free: u64 = self.free.iter().map(|range| range.clusters).sum();
        if free < clusters {
            return None;
        }
        let mut pieces: Vec<Extent> = Vec::new();
        let mut left = clusters;
        while left > 0 {
            let most = if self.rng.below(4) == 0 { CRUMB } else { PIECE };
            let wanted = left.min(1 + self.rng.below(most));
            let piece = self.piece(wanted);
            left -= piece.clusters;
            match pieces.last_mut() {
                Some(last) if last.start + last.clusters == piece.start => {
                    last.clusters += piece.clusters;
                }
                _ => pieces.push(piece),
            }
        }
        Some(pieces)
    }

    /// So many clusters in one piece; `None` if there is no such piece.
    pub(super) fn contiguous(&mut self, clusters: u64) -> Option<Vec<Extent>> {
        let fits = |range: &Extent| range.clusters >= clusters;
        let index = self.free.iter().position(fits)?;
        Some(vec![self.cut(index, 0, clusters)])
    }

    /// Up to `wanted` clusters from a free range that the seed chooses.
    fn piece(&mut self, wanted: u64) -> Extent {
        let index = self.rng.below(self.free.len() as u64) as usize;
        let room = self.free[index].clusters;
        let clusters = wanted.min(room);
        let gap = self.rng.below(GAP + 1).min(room - clusters);
        self.cut(index, gap, clusters)
    }

    /// Takes `clusters` out of a free range, `gap` behind its start.
    fn cut(&mut self, index: usize, gap: u64, clusters: u64) -> Extent {
        let range = self.free.remove(index);
        let start = range.start + gap;
        let before = Extent {
            clusters: gap,
            ..range
        };
        let behind = Extent {
            start: start + clusters,
            clusters: range.clusters - gap - clusters,
        };
        for rest in [behind, before] {
            if rest.clusters > 0 {
                self.free.insert(index, rest);
            }
        }
        Extent { start, clusters }
    }

    /// Takes clusters back.
    pub(super) fn release(&mut self, extents: &[Extent]) {
        self.free.extend_from_slice(extents);
        self.free.sort_by_key(|range| range.start);
        let mut merged: Vec<Extent> = Vec::with_capacity(self.free.len());
        for range in self.free.drain(..) {
            match merged.last_mut() {
                Some(last) if last.start + last.clusters == range.start => {
                    last.clusters += range.clusters;
                }
                _ => merged.push(range),
            }
        }
        self.free = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Space};

    #[test]
    fn what_is_handed_out_belongs_to_one_file_and_comes_back() {
        let mut space = Space::new(16, 4096, 7);
        let mut owner = vec![0_u8; 4096];
        let files: Vec<Vec<Extent>> = (1..=6)
            .map(|_| space.scattered(500).expect("there is room"))
            .collect();
        for (number, extents) in files.iter().enumerate() {
            for extent in extents {
                for cluster in extent.start..extent.start + extent.clusters {
                    assert!(cluster >= 16);
                    assert_eq!(owner[cluster as usize], 0, "cluster {cluster} is free");
                    owner[cluster as usize] = number as u8 + 1;
                }
            }
            let clusters: u64 = extents.iter().map(|extent| extent.clusters).sum();
            assert_eq!(clusters, 500);
        }
        assert!(files.iter().any(|extents| extents.len() > 1));
        assert_eq!(space.scattered(1081), None, "only 1080 are left");
        for extents in &files {
            space.release(extents);
        }
        let all = Extent {
            start: 16,
            clusters: 4080,
        };
        assert_eq!(space.free, [all]);
        assert_eq!(space.contiguous(4080), Some(vec![all]));
    }
}
