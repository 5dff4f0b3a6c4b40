//! The disk behind the adapter: its geometry, its identity, and the medium that holds the bytes.

mod medium;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use medium::Medium;
pub(crate) use medium::Segment;
pub use medium::pattern_byte;

/// Sizes and positions of a disk's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of logical blocks; may exceed 2^32.
    pub blocks: u64,
    /// Bytes in a logical block: 512, 4096, or an odd size such as 520.
    pub sector: u32,
    /// Logical blocks in a physical block, a power of two.
    pub blocks_per_physical: u32,
    /// The first logical block that starts a physical block.
    pub lowest_aligned: u16,
}

impl Geometry {
    /// The size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.blocks * self.sector as u64
    }
}

/// Which vital product data pages the unit has, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductPages {
    /// Whether INQUIRY with EVPD set is answered at all.
    pub supported: bool,
    /// EVPD hangs the device until the host's timeout, as some USB bridges do.
    pub hangs: bool,
    /// MAXIMUM TRANSFER LENGTH of page 0xB0 in blocks; `None` leaves the page out.
    pub block_limits: Option<u32>,
    /// Page 0xB1 (block device characteristics) is present.
    pub characteristics: bool,
}

impl Default for ProductPages {
    fn default() -> Self {
        Self {
            supported: true,
            hangs: false,
            block_limits: None,
            characteristics: true,
        }
    }
}

/// A disk, made with [`Disk::memory`], [`Disk::image`] or [`Disk::pattern`] and then refined.
#[derive(Debug)]
pub struct Disk {
    pub(crate) geometry: Geometry,
    pub(crate) pages: ProductPages,
    pub(crate) removable: bool,
    pub(crate) write_protected: bool,
    pub(crate) descriptor_sense: bool,
    pub(crate) reports_alignment: bool,
    pub(crate) product: String,
    pub(crate) serial: String,
    medium: Mutex<Medium>,
}

impl Disk {
    /// A disk in memory. Only what has been written takes room; the rest reads as zero.
    ///
    /// # Panics
    /// When `sector` is 0 or the size in bytes does not fit 63 bits.
    pub fn memory(blocks: u64, sector: u32) -> Self {
        Self::new(blocks, sector, Medium::sparse())
    }

    /// A disk that holds no data: every read gives the pattern of `period_pages` pages that
    /// [`pattern_byte`] describes, every write is compared with it and dropped. This is what lets
    /// a request of any size move with a few pages of host memory.
    ///
    /// # Panics
    /// When `sector` or `period_pages` is 0 or the size in bytes does not fit 63 bits.
    pub fn pattern(blocks: u64, sector: u32, period_pages: usize) -> Self {
        Self::new(blocks, sector, Medium::pattern(period_pages))
    }

    /// The raw image file at `path`; a rest shorter than a sector is ignored. A file that may not
    /// be written gives a write-protected disk.
    ///
    /// # Errors
    /// Whatever opening the file or asking for its size gives; `InvalidInput` when it has not even
    /// one sector.
    pub fn image(path: &Path, sector: u32) -> io::Result<Self> {
        let (file, writable) = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                (File::open(path)?, false)
            }
            Err(error) => return Err(error),
        };
        let blocks = file.metadata()?.len() / u64::from(sector.max(1));
        if blocks == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the image is shorter than one sector of {sector} bytes"),
            ));
        }
        Ok(Self::new(blocks, sector, Medium::file(file)).write_protected(!writable))
    }

    /// Makes the image file at `path` (or cuts an existing one) with `blocks` sectors of zeros.
    ///
    /// # Errors
    /// Whatever creating the file or setting its length gives.
    ///
    /// # Panics
    /// When `sector` is 0 or the size in bytes does not fit 63 bits.
    pub fn create_image(path: &Path, blocks: u64, sector: u32) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let disk = Self::new(blocks, sector, Medium::file(file));
        disk.lock().set_length(disk.geometry.bytes())?;
        Ok(disk)
    }

    fn new(blocks: u64, sector: u32, medium: Medium) -> Self {
        assert!(sector != 0, "a sector has at least one byte");
        assert!(
            blocks
                .checked_mul(u64::from(sector))
                .is_some_and(|bytes| bytes >> 63 == 0),
            "the disk's size in bytes must fit a byte offset"
        );
        Self {
            geometry: Geometry {
                blocks,
                sector,
                blocks_per_physical: 1,
                lowest_aligned: 0,
            },
            pages: ProductPages::default(),
            removable: false,
            write_protected: false,
            descriptor_sense: false,
            reports_alignment: true,
            product: "Simulated disk".into(),
            serial: "SIM0001".into(),
            medium: Mutex::new(medium),
        }
    }

    /// Physical blocks of `bytes` bytes, the first of which starts at logical block
    /// `lowest_aligned`.
    ///
    /// # Panics
    /// When `bytes` is not the sector size times a power of two.
    #[must_use]
    pub fn physical(mut self, bytes: u32, lowest_aligned: u16) -> Self {
        let ratio = bytes / self.geometry.sector;
        assert!(
            ratio.is_power_of_two() && ratio * self.geometry.sector == bytes,
            "a physical block is a power of two of logical blocks"
        );
        self.geometry.blocks_per_physical = ratio;
        self.geometry.lowest_aligned = lowest_aligned;
        self
    }

    /// The medium can be taken out (RMB in INQUIRY, `RemovableMedia` in the device descriptor).
    #[must_use]
    pub fn removable(mut self, yes: bool) -> Self {
        self.removable = yes;
        self
    }

    /// Writes end with DATA PROTECT, WRITE PROTECTED.
    #[must_use]
    pub fn write_protected(mut self, yes: bool) -> Self {
        self.write_protected = yes;
        self
    }

    /// Sense comes in descriptor format (the `D_SENSE` bit of the control mode page).
    #[must_use]
    pub fn descriptor_sense(mut self, yes: bool) -> Self {
        self.descriptor_sense = yes;
        self
    }

    /// Whether `StorageAccessAlignmentProperty` is answered; many port drivers leave it to the
    /// class, which then asks READ CAPACITY (16).
    #[must_use]
    pub fn reports_alignment(mut self, yes: bool) -> Self {
        self.reports_alignment = yes;
        self
    }

    /// The vital product data pages.
    #[must_use]
    pub fn product_pages(mut self, pages: ProductPages) -> Self {
        self.pages = pages;
        self
    }

    /// MAXIMUM TRANSFER LENGTH of VPD page 0xB0, in blocks; 0 means "no limit".
    #[must_use]
    pub fn block_limits(mut self, blocks: u32) -> Self {
        self.pages.block_limits = Some(blocks);
        self
    }

    /// Product name and serial number (cut to the 16 and 20 bytes that INQUIRY has for them).
    #[must_use]
    pub fn identity(mut self, product: &str, serial: &str) -> Self {
        self.product = product.into();
        self.serial = serial.into();
        self
    }

    /// The sizes and positions of the blocks.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Reads `into.len()` bytes at byte `offset`, as a person beside the machine would: no
    /// adapter, no limits, no record. Beyond the end reads as zero.
    ///
    /// # Panics
    /// When the image file cannot be read.
    pub fn peek(&self, offset: u64, into: &mut [u8]) {
        self.lock()
            .read(offset, into)
            .expect("the image can be read");
    }

    /// Writes `bytes` at byte `offset` past the adapter, write protection included.
    ///
    /// # Panics
    /// When the image file cannot be written.
    pub fn poke(&self, offset: u64, bytes: &[u8]) {
        self.lock()
            .write(offset, bytes)
            .expect("the image can be written");
    }

    /// How many written bytes differed from the pattern, for a [`Disk::pattern`]; 0 for others.
    pub fn mismatched(&self) -> u64 {
        self.lock().mismatched()
    }

    /// Moves `segments` from the medium, starting at byte `offset`.
    ///
    /// # Errors
    /// What the image file gives.
    ///
    /// # Safety
    /// Every segment is valid for writes of its length, and nobody else uses it meanwhile, except
    /// through this disk.
    pub(crate) unsafe fn read_segments(&self, offset: u64, segments: &[Segment]) -> io::Result<()> {
        let mut medium = self.lock();
        // SAFETY: the caller vouches for the segments; the lock keeps aliased frames to one mover.
        unsafe { medium.read_segments(offset, segments) }
    }

    /// Moves `segments` to the medium, starting at byte `offset`.
    ///
    /// # Errors
    /// What the image file gives.
    ///
    /// # Safety
    /// Every segment is valid for reads of its length, and nobody writes it meanwhile, except
    /// through this disk.
    pub(crate) unsafe fn write_segments(
        &self,
        offset: u64,
        segments: &[Segment],
    ) -> io::Result<()> {
        let mut medium = self.lock();
        // SAFETY: the caller vouches for the segments; the lock keeps aliased frames to one mover.
        unsafe { medium.write_segments(offset, segments) }
    }

    fn lock(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
