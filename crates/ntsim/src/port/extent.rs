//! The data of one request as the adapter reaches it: frame numbers out of the MDL, from the index
//! that `DataBuffer` makes into it. No virtual address is ever followed.

use crate::abi::{
    MDL_PAGES_LOCKED, MDL_PARTIAL, MDL_SOURCE_IS_NONPAGED_POOL, PFN_NUMBER, PMDL, PVOID,
};

use super::disk::Segment;
use super::record::Violation;
use crate::memory;

const PAGE: usize = 4096;

/// A range of an MDL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    mdl: PMDL,
    /// From the start of the MDL's first page.
    offset: usize,
    length: usize,
}

// SAFETY: the MDL belongs to a request that the port owns, on whichever processor it completes.
unsafe impl Send for Extent {}

impl Extent {
    /// The range of `length` bytes at `buffer`, which must lie inside `mdl`.
    ///
    /// # Safety
    /// `mdl` is null or an MDL that the caller owns.
    pub(crate) unsafe fn locate(
        mdl: PMDL,
        buffer: PVOID,
        length: u32,
    ) -> Result<Self, (Violation, String)> {
        if mdl.is_null() {
            return Err((Violation::NoMdl, format!("{length} bytes of data, no MDL")));
        }
        // SAFETY: the caller owns the MDL.
        let (start, byte_offset, count, flags) = unsafe {
            (
                (*mdl).StartVa,
                (*mdl).ByteOffset as usize,
                (*mdl).ByteCount,
                (*mdl).MdlFlags,
            )
        };
        let usable = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL;
        if u32::from(flags as u16) & usable == 0 {
            let detail =
                format!("MDL flags {flags:#x}: its pages are neither locked nor non-paged");
            return Err((Violation::NotLocked, detail));
        }
        let first = start.addr().wrapping_add(byte_offset);
        let inside = buffer.addr().checked_sub(first).filter(|index| {
            index
                .checked_add(length as usize)
                .is_some_and(|end| end <= count as usize)
        });
        let Some(index) = inside else {
            let detail = format!(
                "DataBuffer {:#x} + {length:#x} lies outside the MDL's {first:#x} + {count:#x}",
                buffer.addr()
            );
            return Err((Violation::OutsideMdl, detail));
        };
        Ok(Self {
            mdl,
            offset: byte_offset + index,
            length: length as usize,
        })
    }

    /// Offset of the first byte in its page.
    pub(crate) const fn page_offset(&self) -> usize {
        self.offset % PAGE
    }

    /// Pages that the data touches.
    pub(crate) const fn span_pages(&self) -> u32 {
        (self.page_offset() + self.length).div_ceil(PAGE) as u32
    }

    /// Runs of neighbouring frames.
    pub(crate) fn breaks(&self) -> u32 {
        let mut runs = 0;
        let mut expected = None;
        for page in 0..self.span_pages() as usize {
            let frame = self.frame(self.offset / PAGE + page);
            runs += u32::from(expected != Some(frame));
            expected = frame.checked_add(1);
        }
        runs
    }

    /// The host memory behind the first `length` bytes, in order.
    pub(crate) fn segments(&self, length: usize) -> Result<Vec<Segment>, PFN_NUMBER> {
        let length = length.min(self.length);
        let mut segments = Vec::with_capacity(self.span_pages() as usize);
        memory::with_frames(|frames| {
            let mut done = 0;
            while done < length {
                let at = self.offset + done;
                let now = (PAGE - at % PAGE).min(length - done);
                let frame = self.frame(at / PAGE);
                let page = frames.page(frame).ok_or(frame)?;
                segments.push(Segment {
                    start: page.wrapping_add(at % PAGE),
                    length: now,
                });
                done += now;
            }
            Ok::<_, PFN_NUMBER>(())
        })?;
        Ok(segments)
    }

    /// Calls `each(frame, offset in it, offset in the data, length)` for the first `length` bytes,
    /// cut at page ends and at multiples of `grain`.
    pub(crate) fn places(
        &self,
        length: usize,
        grain: usize,
        mut each: impl FnMut(PFN_NUMBER, usize, usize, usize),
    ) {
        let mut done = 0;
        while done < length.min(self.length) {
            let at = self.offset + done;
            let now = (PAGE - at % PAGE)
                .min(length - done)
                .min(grain - done % grain);
            each(self.frame(at / PAGE), at % PAGE, done, now);
            done += now;
        }
    }

    /// Entry `index` of the array of frame numbers behind the MDL.
    fn frame(&self, index: usize) -> PFN_NUMBER {
        // SAFETY: `locate` found the range inside the MDL, whose frame numbers follow its header,
        // one for each page that it touches [contract of MDL, wdm.h MmGetMdlPfnArray].
        unsafe { self.mdl.add(1).cast::<PFN_NUMBER>().add(index).read() }
    }
}
