//! The SRB shape: `IRP_MJ_SCSI` with a READ or WRITE command, beneath the class driver, in whichever
//! format each request block has.
//!
//! Most of what comes is not ours: other functions and commands, what bypasses stopped queues, what
//! fits. It goes down as it came.

use wdk_sys::STATUS_INVALID_DEVICE_REQUEST;
use xfersplit_core::{
    block::Block,
    cdb::Direction,
    limits::Limits,
    page,
    plan::{Plan, Refusal, Request},
};

use super::{Asked, Attempt, Config, Form, Terms, Transfer, config::Planned, inherited};
use crate::{
    srb::{Parent, Part},
    wdm::irp::Irp,
};

/// Reads a parent.
pub(super) fn read(config: &Config, terms: Terms, parent: &Irp) -> Asked {
    let Some(srb) = parent.current().request_block() else {
        return Asked::PassDown;
    };
    // SAFETY: the request block of an IRP that we own; the value lives no longer than the transfer.
    let Ok(srb) = (unsafe { Parent::read(srb) }) else {
        return Asked::PassDown;
    };
    let Some(transfer) = transfer(config, parent, &srb) else {
        return nonsense(config, terms, &srb);
    };
    let Some(limits) = config.limits(transfer.sector, terms.told) else {
        return nonsense(config, terms, &srb);
    };
    let request = Request {
        va: transfer.index.addr() as u64,
        lba: transfer.lba,
        length: u64::from(transfer.length),
        write: transfer.write,
        command_blocks: srb.block().command.size.max_blocks(),
    };
    match config.plan(&limits, &request, transfer.mdl) {
        Ok(Planned::Legal(plan)) if plan.is_whole() && !terms.waited => Asked::PassDown,
        Ok(Planned::Overstretched(plan)) if plan.is_whole() && !terms.waited => {
            Asked::Overstretched
        }
        // Only the first of chained MDLs can be shown in part.
        Ok(_) if transfer.mdl.is_chained() => Asked::Answer(STATUS_INVALID_DEVICE_REQUEST),
        Ok(Planned::Legal(plan)) => split(transfer, &limits, plan, false),
        Ok(Planned::Overstretched(plan)) => split(transfer, &limits, plan, true),
        Err(Refusal::Unsplittable { .. }) => Asked::Answer(STATUS_INVALID_DEVICE_REQUEST),
        Err(Refusal::ZeroLength | Refusal::NotSectorMultiple | Refusal::LbaOverflow) => {
            nonsense(config, terms, &srb)
        }
    }
}

fn split(transfer: Transfer, limits: &Limits, plan: Plan, overstretched: bool) -> Asked {
    let transfer = Transfer {
        granularity: u32::try_from(limits.granularity()).unwrap_or(u32::MAX),
        overstretched,
        ..transfer
    };
    Asked::Transfer(transfer, plan)
}

/// A request that contradicts itself is for the port to refuse. One that is also too large for the
/// adapter does not get that far: who knows what a port does with it.
fn nonsense(config: &Config, terms: Terms, srb: &Parent) -> Asked {
    if fits(config, terms, srb) {
        Asked::PassDown
    } else {
        Asked::Answer(STATUS_INVALID_DEVICE_REQUEST)
    }
}

/// What is asked, if the request block, its command and the MDL agree about it.
fn transfer(config: &Config, parent: &Irp, srb: &Parent) -> Option<Transfer> {
    let block = srb.block();
    let sector = block.sector()?;
    let last = block
        .command
        .lba
        .checked_add(u64::from(block.command.blocks) - 1)?;
    if last > block.command.size.max_lba() {
        return None;
    }
    let mdl = parent.mdl()?;
    let index = srb.data_buffer();
    let skipped = index.addr().checked_sub(mdl.virtual_address().addr())?;
    let end = (skipped as u64).checked_add(u64::from(block.transfer_length))?;
    if end > u64::from(mdl.byte_count()) {
        return None;
    }
    Some(Transfer {
        write: block.command.direction == Direction::Write,
        lba: block.command.lba,
        length: block.transfer_length,
        sector,
        mdl,
        index,
        inherited: inherited(parent),
        granularity: sector,
        serial: is_serial(config, block),
        overstretched: false,
        form: Form::Srb(*srb),
    })
}

/// One piece at a time: where the order of commands matters, and where the queue stops at an error so
/// that the class driver can look at it before anything else is done (disk pnp.c sets
/// NO_QUEUE_FREEZE for fixed disks only; classpnp utils.c takes it away from disks in trouble).
fn is_serial(config: &Config, block: &Block) -> bool {
    config.is_removable() || block.is_serial()
}

/// Whether a request of which nothing but its length is certain keeps to the limits.
fn fits(config: &Config, terms: Terms, srb: &Parent) -> bool {
    let length = srb.block().transfer_length;
    let Some(limits) = config.limits(config.sector(), terms.told) else {
        return true;
    };
    let pages = page::span_pages(srb.data_buffer().addr() as u64, u64::from(length));
    limits.maximum_bytes().is_none_or(|most| length <= most)
        && limits
            .maximum_pages()
            .is_none_or(|most| pages <= u64::from(most))
}

/// What a piece's request block has of its own.
pub(super) fn part(transfer: &Transfer, attempt: &Attempt) -> Part {
    Part {
        lba: transfer.lba_of(attempt),
        blocks: attempt.length / transfer.sector,
        length: attempt.length,
        data_buffer: attempt.index,
        irp: attempt.irp,
    }
}
