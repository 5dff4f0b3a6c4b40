//! What the stack above is told about the adapter, and the two replies that tell it.
//!
//! classpnp asks its lower device for `STORAGE_ADAPTER_DESCRIPTOR` once, when the disk starts, and
//! from then on splits by it. A filter between the two can make it obey stricter limits by changing
//! two numbers of that reply, which costs nothing per request.
//!
//! classpnp's arithmetic (`xferpkt.c`, `InitializeTransferPackets`; `class.c`,
//! `ClassReadDriveCapacity` and `ServiceTransferRequest`) makes its packets
//! `min(MaximumTransferLength, (MaximumPhysicalPages - 1) pages)` long, at least a page, at most
//! 65535 sectors without 16-byte commands, and a page longer for a buffer that starts at a page, up
//! to `MaximumTransferLength`. Several of those steps can leave the limits they started from. They
//! all become idle if the length is a multiple of pages and sectors that 65535 sectors hold, and
//! the page count is that length plus the one page that an unaligned buffer touches: then neither
//! floor nor clamp nor bonus changes the length, and every packet starts at the same offset in its
//! page as the buffer does.

use crate::bytes::le32;
use crate::cdb::CdbSize;
use crate::descriptor::{OFFSET_MAXIMUM_PHYSICAL_PAGES, OFFSET_MAXIMUM_TRANSFER_LENGTH};
use crate::limits::{AdapterLimits, Limits};
use crate::math::{floor_to, halves, joined, lcm};
use crate::page::{PAGE_SHIFT, PAGE_SIZE};
use crate::settings::Advertise;

/// The most that [`larger`] gives, bytes: classpnp makes an MDL of this length for every packet.
pub const LARGER_MAX: u32 = 4 * 1024 * 1024;

/// Offset of `MaximumTransferLength` in `IO_SCSI_CAPABILITIES` (ntddscsi.h).
pub const CAPABILITIES_MAXIMUM_TRANSFER_LENGTH: usize = 4;
/// Offset of `MaximumPhysicalPages` in `IO_SCSI_CAPABILITIES`.
pub const CAPABILITIES_MAXIMUM_PHYSICAL_PAGES: usize = 8;

/// `StorageAdapterProperty`
const ADAPTER_PROPERTY: u32 = 1;
/// `PropertyStandardQuery`
const STANDARD_QUERY: u32 = 0;

/// Two numbers that belong together: whole pages, and one page more than they fill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advertised {
    /// `MaximumTransferLength`, bytes.
    pub bytes: u32,
    /// `MaximumPhysicalPages`
    pub pages: u32,
}

impl Advertised {
    /// Both numbers in one, for places that hold one word: never 0, for the lengths told are at least
    /// a page.
    pub const fn to_bits(self) -> u64 {
        joined(self.bytes, self.pages)
    }

    /// What [`Advertised::to_bits`] made.
    pub const fn from_bits(bits: u64) -> Self {
        let (bytes, pages) = halves(bits);
        Self { bytes, pages }
    }

    /// `bytes`, a multiple of pages, and the pages they touch wherever they start.
    const fn whole_pages(bytes: u32) -> Self {
        Self {
            bytes,
            pages: (bytes >> PAGE_SHIFT).saturating_add(1),
        }
    }

    /// Whether this is more than the adapter takes.
    pub const fn exceeds(&self, adapter: &AdapterLimits) -> bool {
        // 0 pages mean 1, as everywhere.
        let pages = if adapter.maximum_physical_pages == 0 {
            1
        } else {
            adapter.maximum_physical_pages
        };
        self.bytes > adapter.maximum_transfer_length || self.pages > pages
    }
}

/// The largest numbers under which classpnp never exceeds `limits`, wherever a buffer starts and
/// whichever command blocks the disk gets.
///
/// `None` if there are none: classpnp never sends less than a page at a time, and its packets
/// cannot be whole sectors and whole pages in less room than both have together.
pub fn effective(limits: &Limits) -> Option<Advertised> {
    let sector = u64::from(limits.sector_size());
    let commands = u64::from(CdbSize::Ten.max_blocks()).saturating_mul(sector);
    let mut most = commands.min(u64::from(u32::MAX));
    if let Some(bytes) = limits.maximum_bytes() {
        most = most.min(u64::from(bytes));
    }
    if let Some(pages) = limits.maximum_pages() {
        let whole = u64::from(pages).saturating_sub(1);
        most = most.min(whole.saturating_mul(PAGE_SIZE));
    }
    let bytes = floor_to(most, lcm(sector, PAGE_SIZE)?);
    let bytes = u32::try_from(bytes).ok().filter(|&bytes| bytes != 0)?;
    Some(Advertised::whole_pages(bytes))
}

/// `bytes` as `AdvertisedTransferLength` has it: whole pages, at least one, at most [`LARGER_MAX`].
pub fn larger(bytes: u32) -> Advertised {
    let bytes = floor_to(u64::from(bytes.min(LARGER_MAX)), PAGE_SIZE).max(PAGE_SIZE);
    Advertised::whole_pages(bytes as u32)
}

/// What the stack is told instead of the adapter's own numbers; `None` for those.
///
/// Without a `setting` it is told the effective limits as soon as obeying the adapter alone could
/// break them.
pub fn choose(
    setting: Option<Advertise>,
    limits: &Limits,
    adapter: &AdapterLimits,
    larger_bytes: u32,
) -> Option<Advertised> {
    match setting {
        Some(Advertise::Effective) => effective(limits),
        Some(Advertise::Larger) => Some(larger(larger_bytes)),
        None if limits.stricter_than(adapter) => effective(limits),
        Some(Advertise::Adapter) | None => None,
    }
}

/// Puts the numbers into a `STORAGE_ADAPTER_DESCRIPTOR`. `reply` is what was returned: it may be no
/// more than a header, and what lies outside it is not written.
pub fn patch_descriptor(reply: &mut [u8], advertised: Advertised) {
    patch(reply, OFFSET_MAXIMUM_TRANSFER_LENGTH, advertised.bytes);
    patch(reply, OFFSET_MAXIMUM_PHYSICAL_PAGES, advertised.pages);
}

/// Puts the numbers into an `IO_SCSI_CAPABILITIES`, as far as it was returned.
pub fn patch_capabilities(reply: &mut [u8], advertised: Advertised) {
    let Advertised { bytes, pages } = advertised;
    patch(reply, CAPABILITIES_MAXIMUM_TRANSFER_LENGTH, bytes);
    patch(reply, CAPABILITIES_MAXIMUM_PHYSICAL_PAGES, pages);
}

/// Writes a field if all of it is there.
fn patch(reply: &mut [u8], offset: usize, value: u32) {
    if let Some(rest) = reply.get_mut(offset..)
        && let Some(field) = rest.first_chunk_mut()
    {
        *field = value.to_le_bytes();
    }
}

/// Whether the input of `IOCTL_STORAGE_QUERY_PROPERTY` asks for the adapter's descriptor, rather
/// than for another property or whether there is one.
pub fn asks_for_adapter(input: &[u8]) -> bool {
    le32(input, 0) == Some(ADAPTER_PROPERTY) && le32(input, 4) == Some(STANDARD_QUERY)
}
