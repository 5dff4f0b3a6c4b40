//! `MapTransfer` and `FlushAdapterBuffers`.
//!
//! An adapter with scatter/gather gets one run of neighbours per call: frames that are neighbours in
//! memory and that the device reaches, or as many pages in a row as have to be bounced. One without
//! gets all of it in one piece, through map registers unless the frames are neighbours anyway.
//! Either gets less where the world says so ([`Setup::map_at_most`](super::Setup)): `MapTransfer`'s
//! document has that for scatter/gather only.

use super::Hal;
use super::registers::{reaches, window};
use super::state::{Grant, Mapping, Piece, State};
use super::violation::{
    BEYOND_MDL, BUFFER_GONE, BUFFER_TOO_SHORT, LENGTH_ZERO, MAPPED_TWICE, MISCELLANEOUS,
    NOT_FLUSHED, NOT_LOCKED, NOT_MAPPED, OUTSIDE_MDL, WRONG_DIRECTION, broken,
};
use crate::abi::{
    MDL_PAGES_LOCKED, MDL_PARTIAL, MDL_SOURCE_IS_NONPAGED_POOL, PDMA_ADAPTER, PMDL, PVOID,
};
use crate::machine::context::Context;
use crate::machine::{Machine, Shared, Violation};
use crate::memory::{PAGE, mdl_pfns, span_pages};

/// A part of an MDL's buffer.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) mdl: PMDL,
    pub(super) va: usize,
    pub(super) length: usize,
}

/// `MapTransfer`: the logical address, and how many bytes are mapped there.
///
/// # Safety
/// `mdl` is null or a valid MDL that the caller owns.
pub(super) unsafe fn map(
    context: &Context,
    address: PDMA_ADAPTER,
    base: PVOID,
    range: Range,
    write: bool,
) -> (u64, usize) {
    // SAFETY: the caller's contract.
    let frames = unsafe { frames_of("MapTransfer", range) };
    let frames = frames.unwrap_or_else(|violation| violation.raise());
    let hal = context.machine.extension::<Hal>();
    let mapped = {
        let mut state = hal.state();
        let checked = state.adapter("MapTransfer", address).map(|_| ());
        checked.and_then(|()| {
            state.counts.map_transfers += 1;
            state.map(
                &context.machine,
                address.addr(),
                base,
                range,
                &frames,
                write,
            )
        })
    };
    mapped.unwrap_or_else(|violation| violation.raise())
}

/// The frames that a range touches, after a look at whether the MDL can be used for it at all.
///
/// # Safety
/// As for [`map`].
pub(super) unsafe fn frames_of(function: &str, range: Range) -> Result<Vec<u64>, Violation> {
    let Range { mdl, va, length } = range;
    let outside = |what: &str| {
        let story = format!("{function} of {length} bytes at {va:#x}: {what}.");
        Err(broken(
            OUTSIDE_MDL,
            [va as u64, mdl.addr() as u64, 0],
            story,
        ))
    };
    if mdl.is_null() {
        return outside("there is no MDL");
    }
    if length == 0 {
        let story = format!("{function} of no bytes.");
        return Err(broken(LENGTH_ZERO, [0; 3], story));
    }
    // SAFETY: the caller's contract.
    let (flags, first, start, bytes) = unsafe {
        (
            u32::from((*mdl).MdlFlags.cast_unsigned()),
            (*mdl).StartVa.addr(),
            (*mdl).StartVa.addr() + (*mdl).ByteOffset as usize,
            (*mdl).ByteCount as usize,
        )
    };
    if flags & (MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL) == 0 {
        let story = format!("{function} with an MDL whose pages are not locked.");
        return Err(broken(NOT_LOCKED, [mdl.addr() as u64, 0, 0], story));
    }
    let end = start + bytes;
    if va < start || va >= end {
        return outside(&format!("the MDL describes {bytes} bytes at {start:#x}"));
    }
    if va + length > end {
        let over = va + length - end;
        let story = format!(
            "{function} of {length} bytes at {va:#x}: that is {over} more than the MDL, which \
             describes {bytes} bytes at {start:#x}, has from there on."
        );
        let crosses = (va + length - 1) / PAGE > (end - 1) / PAGE;
        return Err(if crosses {
            broken(BEYOND_MDL, [3, mdl.addr() as u64, length as u64], story)
        } else {
            broken(BUFFER_TOO_SHORT, [over as u64, 0, 0], story)
        });
    }
    let index = (va - first) / PAGE;
    let pages = span_pages(va, length);
    // SAFETY: the range lies inside the MDL, whose frames follow it, one for each page.
    Ok((index..index + pages)
        .map(|page| unsafe { *mdl_pfns(mdl).add(page) })
        .collect())
}

/// How far from `frames[0]` on the pages are neighbours for the device, and whether it needs a
/// bounce for them.
fn run(frames: &[u64], bits: u32, scatter_gather: bool) -> (usize, bool) {
    let direct = frames
        .iter()
        .enumerate()
        .take_while(|&(index, &frame)| frame == frames[0] + index as u64 && reaches(bits, frame))
        .count();
    if !scatter_gather {
        return (frames.len(), direct < frames.len());
    }
    if direct > 0 {
        return (direct, false);
    }
    let bounced = frames.iter().take_while(|&&frame| !reaches(bits, frame));
    (bounced.count(), true)
}

impl State {
    /// Maps as much of a range as can be mapped in one piece.
    pub(super) fn map(
        &mut self,
        machine: &Machine,
        address: usize,
        base: PVOID,
        range: Range,
        frames: &[u64],
        write: bool,
    ) -> Result<(u64, usize), Violation> {
        self.check_map(address, base, range, frames.len())?;
        let adapter = &self.adapters[&address];
        let (bits, scatter_gather) = (adapter.bits, adapter.scatter_gather);
        let most_pages = adapter.most_pages;
        let (pages, bounced) = run(frames, bits, scatter_gather);
        let pages = pages.min(most_pages);
        let offset = range.va % PAGE;
        let length = range.length.min(pages * PAGE - offset);
        let Some(grant) = self.grants.get_mut(&base.addr()) else {
            return Ok((0, 0));
        };
        let register = grant.first + grant.used as usize;
        grant.used += pages as u32;
        let (first, file) = if bounced {
            (window(bits) + register as u64, Some(&mut self.file))
        } else {
            (frames[0], None)
        };
        let pieces = pieces(&frames[..pages], offset, length, register, file);
        let mapping = Mapping {
            mdl: range.mdl.addr(),
            va: range.va,
            length,
            logical: first * PAGE as u64 + offset as u64,
            write,
            pieces,
        };
        if write {
            mapping.copy(machine, length, true)?;
        }
        let logical = mapping.logical;
        grant.mappings.push(mapping);
        self.counts.mapped_now += 1;
        self.counts.bounced_pages += if bounced { pages as u64 } else { 0 };
        Ok((logical, length))
    }

    fn check_map(
        &mut self,
        address: usize,
        base: PVOID,
        range: Range,
        pages: usize,
    ) -> Result<(), Violation> {
        let Range { mdl, va, length } = range;
        let twice = self
            .grants
            .values()
            .filter(|grant| grant.adapter == address)
            .flat_map(|grant| &grant.mappings)
            .find(|other| {
                other.mdl == mdl.addr() && va < other.va + other.length && other.va < va + length
            });
        if let Some(other) = twice {
            let story = format!(
                "MapTransfer of {length} bytes at {va:#x}: {} bytes at {:#x} of the same MDL are \
                 mapped already.",
                other.length, other.va
            );
            let rest = [va as u64, (va + length) as u64, other.va as u64];
            return Err(broken(MAPPED_TWICE, rest, story));
        }
        let Some(grant) = self.grant(address, base) else {
            let story = format!(
                "MapTransfer through {base:p}: these are no map registers that this adapter was \
                 granted and has not freed."
            );
            return Err(broken(MISCELLANEOUS, [2, pages as u64, 0], story));
        };
        let free = (grant.count - grant.used) as usize;
        if pages > free {
            let story = format!(
                "MapTransfer of {length} bytes at {va:#x}, which touch {pages} pages: {} map \
                 registers were granted, and {} of them are in use by what was not flushed.",
                grant.count, grant.used
            );
            let most = u64::from(grant.count) * PAGE as u64;
            return Err(if grant.used > 0 {
                broken(NOT_FLUSHED, [grant.mapped() as u64, most, 0], story)
            } else {
                broken(MISCELLANEOUS, [2, pages as u64, free as u64], story)
            });
        }
        Ok(())
    }

    /// `FlushAdapterBuffers`: what was mapped from `range.va` on is mapped no longer, and is where
    /// the driver finds it.
    pub(super) fn flush(
        &mut self,
        machine: &Machine,
        address: usize,
        base: PVOID,
        range: Range,
        write: bool,
    ) -> Result<(), Violation> {
        let not_mapped = |va: usize| {
            let story = format!(
                "FlushAdapterBuffers of {} bytes at {:#x}: nothing is mapped at {va:#x} through \
                 these map registers and this MDL.",
                range.length, range.va
            );
            let rest = [base.addr() as u64, va as u64, range.mdl.addr() as u64];
            broken(NOT_MAPPED, rest, story)
        };
        let mut unmapped = 0;
        let grant = self
            .grant(address, base)
            .ok_or_else(|| not_mapped(range.va))?;
        let end = range.va + range.length;
        let mut va = range.va;
        while va < end {
            let found = grant
                .mappings
                .iter()
                .position(|mapping| mapping.mdl == range.mdl.addr() && mapping.va == va);
            let Some(index) = found else {
                return Err(if va == range.va {
                    not_mapped(va)
                } else {
                    too_much(range, va - range.va)
                });
            };
            let mapping = &grant.mappings[index];
            if mapping.write != write {
                return Err(wrong_direction(mapping, write));
            }
            let length = mapping.length.min(end - va);
            if !write {
                mapping.copy(machine, length, false)?;
            }
            if length == mapping.length {
                grant.mappings.remove(index);
                unmapped += 1;
            }
            va += length;
        }
        if grant.mappings.is_empty() {
            grant.used = 0;
        }
        self.counts.mapped_now -= unmapped;
        Ok(())
    }
}

fn too_much(range: Range, mapped: usize) -> Violation {
    let rest = [1, mapped as u64, (range.length - mapped) as u64];
    let story = format!(
        "FlushAdapterBuffers of {} bytes at {:#x}: only {mapped} bytes are mapped from there on.",
        range.length, range.va
    );
    broken(MISCELLANEOUS, rest, story)
}

fn wrong_direction(mapping: &Mapping, write: bool) -> Violation {
    let name = |write| if write { "to" } else { "from" };
    let story = format!(
        "FlushAdapterBuffers of a transfer {} the device that was mapped as one {} it.",
        name(write),
        name(mapping.write)
    );
    broken(WRONG_DIRECTION, [mapping.va as u64, 0, 0], story)
}

/// Cuts a run at page ends, and gives each page its map register's page if there is a `file`.
fn pieces(
    frames: &[u64],
    offset: usize,
    length: usize,
    register: usize,
    mut file: Option<&mut super::registers::RegisterFile>,
) -> Vec<Piece> {
    let mut done = 0;
    let mut pieces = Vec::with_capacity(frames.len());
    for (index, &frame) in frames.iter().enumerate() {
        let at = if index == 0 { offset } else { 0 };
        let now = (PAGE - at).min(length - done);
        let bounce = file
            .as_mut()
            .map(|file| Shared(file.page(register + index)));
        pieces.push(Piece {
            frame,
            offset: at,
            length: now,
            bounce,
        });
        done += now;
    }
    pieces
}

impl Grant {
    /// Bytes that are mapped.
    fn mapped(&self) -> usize {
        self.mappings.iter().map(|mapping| mapping.length).sum()
    }
}

impl Mapping {
    /// Copies the first `length` bytes between the buffer and the pages that stand in for it.
    fn copy(&self, machine: &Machine, length: usize, to_bounce: bool) -> Result<(), Violation> {
        let mut left = length;
        for piece in &self.pieces {
            let now = piece.length.min(left);
            left -= now;
            let Some(bounce) = piece.bounce else { continue };
            let page = machine
                .memory
                .with_frames(|frames| frames.page(piece.frame));
            let Some(page) = page else {
                let story = format!(
                    "Frame {:#x} of a mapped transfer is no RAM: the buffer went away while it \
                     was mapped.",
                    piece.frame
                );
                return Err(broken(BUFFER_GONE, [piece.frame, 0, 0], story));
            };
            let (page, bounce) = (
                page.wrapping_add(piece.offset),
                bounce.0.wrapping_add(piece.offset),
            );
            let (from, to) = if to_bounce {
                (page, bounce)
            } else {
                (bounce, page)
            };
            // SAFETY: the frame's bytes are the buffer's, which stays where it is while it is mapped,
            // and the other page is the grant's.
            unsafe { core::ptr::copy_nonoverlapping(from, to, now) };
        }
        Ok(())
    }
}
