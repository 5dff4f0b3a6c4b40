//! The relay shape: `IRP_MJ_READ` and `IRP_MJ_WRITE` above the class driver, which become shorter
//! ones. No request block is seen here, and the class driver below does all the judging.

use xfersplit_core::{
    limits::Limits,
    plan::{Plan, Request},
};

use super::{
    Asked, Attempt, Config, Form, Terms, Transfer, config::Planned, inherited, refusal_status,
};
use crate::wdm::irp::{Inherited, Irp, ReadWrite};

/// Reads a parent. What the class driver must refuse, with its own status, it gets as it came.
pub(super) fn read(config: &Config, terms: Terms, parent: &Irp) -> Asked {
    let Some(limits) = config.limits(config.sector(), terms.told) else {
        return Asked::PassDown;
    };
    let Some(transfer) = transfer(config, &limits, parent) else {
        return Asked::PassDown;
    };
    let request = Request {
        va: transfer.index.addr() as u64,
        lba: transfer.lba,
        length: u64::from(transfer.length),
        write: transfer.write,
        // The class driver makes the commands, and cuts at their limit itself.
        command_blocks: u32::MAX,
    };
    match config.plan(&limits, &request, transfer.mdl) {
        Ok(Planned::Legal(plan)) if plan.is_whole() && !terms.waited => Asked::PassDown,
        Ok(Planned::Overstretched(plan)) if plan.is_whole() && !terms.waited => {
            Asked::Overstretched
        }
        Ok(_) if transfer.mdl.is_chained() => Asked::PassDown,
        Ok(Planned::Legal(plan)) => split(transfer, plan, false),
        Ok(Planned::Overstretched(plan)) => split(transfer, plan, true),
        Err(refusal) => Asked::Answer(refusal_status(refusal)),
    }
}

fn split(transfer: Transfer, plan: Plan, overstretched: bool) -> Asked {
    let transfer = Transfer {
        overstretched,
        ..transfer
    };
    Asked::Transfer(transfer, plan)
}

fn transfer(config: &Config, limits: &Limits, parent: &Irp) -> Option<Transfer> {
    let asked = parent.current().read_write()?;
    let sector = limits.sector_size();
    let offset = u64::try_from(asked.byte_offset).ok()?;
    if asked.length == 0
        || !asked.length.is_multiple_of(sector)
        || !offset.is_multiple_of(u64::from(sector))
        || offset > i64::MAX as u64 - u64::from(asked.length)
    {
        return None;
    }
    let mdl = parent
        .mdl()
        .filter(|mdl| mdl.byte_count() >= asked.length)?;
    Some(Transfer {
        write: asked.write,
        lba: offset / u64::from(sector),
        length: asked.length,
        sector,
        mdl,
        index: mdl.virtual_address(),
        inherited: Inherited {
            // The class driver names the device to be verified to this thread; without one a file
            // system on changed media would never learn of it (classpnp xferpkt.c).
            thread: parent.thread(),
            ..inherited(parent)
        },
        granularity: u32::try_from(limits.granularity()).unwrap_or(u32::MAX),
        serial: config.is_removable(),
        overstretched: false,
        form: Form::Relay { key: asked.key },
    })
}

/// What a piece's IRP asks for.
pub(super) fn order(transfer: &Transfer, key: u32, attempt: &Attempt) -> ReadWrite {
    let start = transfer.lba * u64::from(transfer.sector);
    ReadWrite {
        write: transfer.write,
        length: attempt.length,
        byte_offset: (start + attempt.position).cast_signed(),
        key,
    }
}
