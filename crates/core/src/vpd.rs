//! Vital product data: the two INQUIRY pages the driver asks for (SPC-4, SBC-4).

use crate::bytes::{be16, be32, byte};
use crate::limits::BlockLimits;

/// Page that lists the pages a device has.
pub const SUPPORTED_PAGES: u8 = 0x00;
/// Block Limits page.
pub const BLOCK_LIMITS: u8 = 0xB0;

/// Why an answer is not the page asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VpdError {
    /// Fewer bytes than the page says it has, or than the fields need.
    Truncated,
    /// Another page than the one asked for; devices without VPD answer standard inquiry data.
    WrongPage {
        /// The page that came.
        page: u8,
    },
    /// No device is there to speak for (peripheral qualifier other than 0).
    NoDevice,
}

/// The page's own bytes, without the header and without what the device did not send.
fn body(answer: &[u8], page: u8) -> Result<&[u8], VpdError> {
    let qualifier = byte(answer, 0).ok_or(VpdError::Truncated)? >> 5;
    if qualifier != 0 {
        return Err(VpdError::NoDevice);
    }
    let found = byte(answer, 1).ok_or(VpdError::Truncated)?;
    if found != page {
        return Err(VpdError::WrongPage { page: found });
    }
    let length = usize::from(be16(answer, 2).ok_or(VpdError::Truncated)?);
    answer
        .get(4..length.saturating_add(4))
        .ok_or(VpdError::Truncated)
}

/// Whether the list of pages (page 00h) names `page`.
///
/// # Errors
///
/// [`VpdError`] if the answer is not page 00h or ends before its own length.
pub fn lists_page(answer: &[u8], page: u8) -> Result<bool, VpdError> {
    let pages = body(answer, SUPPORTED_PAGES)?;
    // The list begins with itself. Where it does not, standard inquiry data came back, as from
    // ataport, which knows no other (classpnp class.c, ClasspGetInquiryVpdSupportInfo).
    Ok(pages.first() == Some(&SUPPORTED_PAGES) && pages.contains(&page))
}

/// The limit in the Block Limits page (B0h).
///
/// # Errors
///
/// [`VpdError`] if the answer is not page B0h, ends before its own length, or its length before the
/// field.
pub fn block_limits(answer: &[u8]) -> Result<BlockLimits, VpdError> {
    let page = body(answer, BLOCK_LIMITS)?;
    Ok(BlockLimits {
        maximum_transfer_blocks: be32(page, 4).ok_or(VpdError::Truncated)?,
    })
}
