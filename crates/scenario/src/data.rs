//! Bytes that can be told apart, and the numbers that they are made of.

use ntsim::port::Disk;

/// Numbers that follow from a seed (splitmix64).
///
/// Written down here once more although the simulated kernel has the same: what a test chooses must
/// not change with what the kernel chooses.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next of them.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of the choices.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// The numbers below `count` in some order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for index in (1..count).rev() {
            order.swap(index, self.below(index as u64 + 1) as usize);
        }
        order
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    noise_with(seed, length, 0)
}

/// The same with every bit the other way, so that no byte is by chance what it should become.
pub(crate) fn opposite(seed: u64, length: usize) -> Vec<u8> {
    noise_with(seed, length, u64::MAX)
}

/// Word by word, for Miri's sake; every bit is turned where `turned` has one.
fn noise_with(seed: u64, length: usize, turned: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&(random.next() ^ turned).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What lies on the disk.
pub fn on_disk(disk: &Disk, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    disk.peek(offset, &mut bytes);
    bytes
}
