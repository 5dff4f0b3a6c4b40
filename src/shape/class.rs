//! The class shape: `IRP_MJ_READ` and `IRP_MJ_WRITE` with an MDL, directly above a port driver. This
//! is the position of the Microsoft document "Storage Class Driver's SplitTransferRequest Routine":
//! nobody above us knows of request blocks, so every transfer, split or not, becomes some.

use wdk_sys::{
    IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, PIRP, SL_WRITE_THROUGH,
    SRB_FLAGS_ADAPTER_CACHE_ENABLE, SRB_FLAGS_DATA_IN, SRB_FLAGS_DATA_OUT,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use xfersplit_core::{
    capacity::Capacity,
    cdb::{self, CdbSize, Direction, Flags},
    limits::Limits,
    plan,
};

use super::{
    Asked, Attempt, Config, Form, Shape, Terms, Transfer, config::Planned, inherited,
    refusal_status,
};
use crate::{
    srb::{Format, Request},
    wdm::irp::{Inherited, Irp},
};

/// Seconds that the port gives a command: what disk.sys uses when the registry has no `TimeOutValue`.
const TIMEOUT_SECONDS: u32 = 10;

/// `SRB_CLASS_FLAGS_PAGING` (classpnp.h).
const CLASS_FLAGS_PAGING: u32 = 0x4000_0000;

/// What only a class driver needs to know of its device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Adapter and unit can both queue commands.
    pub(crate) queueing: bool,
    /// The device honours FUA.
    pub(crate) honours_fua: bool,
    /// READ CAPACITY.
    pub(crate) capacity: Capacity,
    /// The command form that a setting asks for.
    pub(crate) cdb_size: Option<CdbSize>,
}

impl Facts {
    /// One piece at a time where the order matters: on removable media, and without command queueing.
    const fn is_serial(&self, config: &Config) -> bool {
        config.is_removable() || !self.queueing
    }

    /// The command form for a transfer: the same for all of its pieces. A form that a setting asks
    /// for gives way where it can't name the blocks or carry the flag.
    fn form(&self, last_lba: u64, fua: bool) -> CdbSize {
        let usual = CdbSize::for_disk(self.capacity.last_block.max(last_lba));
        match self.cdb_size {
            Some(CdbSize::Six) if fua => usual,
            Some(size) if last_lba <= size.max_lba() => size,
            _ => usual,
        }
    }
}

/// Reads a parent: what disk.sys refuses is refused with the same status, before anything is sent. A
/// request without an MDL goes down as it came.
pub(super) fn read(config: &Config, facts: &Facts, terms: Terms, parent: &Irp) -> Asked {
    let Some(asked) = parent.current().read_write() else {
        return Asked::PassDown;
    };
    if asked.length == 0 {
        // A length of 0 in a partial MDL means "the rest", and in a CDB 256 blocks.
        return Asked::Answer(STATUS_SUCCESS);
    }
    let Some(mdl) = parent.mdl() else {
        // An address of some process, which is not for a filter to lock: whoever is below may know
        // what to do with it.
        return Asked::PassDown;
    };
    let sector = u64::from(config.sector());
    let Ok(offset) = u64::try_from(asked.byte_offset) else {
        return Asked::Answer(STATUS_INVALID_PARAMETER);
    };
    if offset % sector != 0 || u64::from(asked.length) % sector != 0 {
        return Asked::Answer(STATUS_INVALID_PARAMETER);
    }
    if mdl.byte_count() < asked.length {
        return Asked::Answer(STATUS_INVALID_DEVICE_REQUEST);
    }
    let Some(limits) = config.limits(config.sector(), terms.told) else {
        return Asked::Answer(STATUS_INVALID_DEVICE_REQUEST);
    };
    let inherited = inherited(parent);
    let transfer = Transfer {
        write: asked.write,
        lba: offset / sector,
        length: asked.length,
        sector: config.sector(),
        mdl,
        index: mdl.virtual_address(),
        inherited: Inherited {
            // Class drivers say it in the request block (CLASS_FLAGS_PAGING).
            irp_flags: 0,
            ..inherited
        },
        granularity: u32::try_from(limits.granularity()).unwrap_or(u32::MAX),
        serial: facts.is_serial(config),
        overstretched: false,
        form: Form::Class {
            format: config.format(),
            paging: inherited.irp_flags & (IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO) != 0,
        },
    };
    plan(config, &limits, facts, transfer)
}

fn plan(config: &Config, limits: &Limits, facts: &Facts, transfer: Transfer) -> Asked {
    let request = plan::Request {
        va: transfer.index.addr() as u64,
        lba: transfer.lba,
        length: u64::from(transfer.length),
        write: transfer.write,
        command_blocks: form(facts, &transfer).max_blocks(),
    };
    match config.plan(limits, &request, transfer.mdl) {
        // Only the first of chained MDLs can be shown in part, and ports read no further either.
        Ok(Planned::Legal(plan) | Planned::Overstretched(plan))
            if transfer.mdl.is_chained() && !plan.is_whole() =>
        {
            Asked::Answer(STATUS_INVALID_DEVICE_REQUEST)
        }
        Ok(Planned::Legal(plan)) => Asked::Transfer(transfer, plan),
        Ok(Planned::Overstretched(plan)) => Asked::Transfer(
            Transfer {
                overstretched: true,
                ..transfer
            },
            plan,
        ),
        Err(refusal) => Asked::Answer(refusal_status(refusal)),
    }
}

/// FUA: the sender wants the data on the medium, and the device can do that by itself.
fn fua(facts: &Facts, transfer: &Transfer) -> bool {
    transfer.write && is_write_through(transfer) && facts.honours_fua
}

fn is_write_through(transfer: &Transfer) -> bool {
    u32::from(transfer.inherited.stack_flags) & SL_WRITE_THROUGH != 0
}

fn form(facts: &Facts, transfer: &Transfer) -> CdbSize {
    let blocks = u64::from(transfer.length / transfer.sector);
    let last_lba = transfer.lba.saturating_add(blocks.saturating_sub(1));
    facts.form(last_lba, fua(facts, transfer))
}

/// What `BuildRequest` needs for one attempt.
pub(super) fn request(
    config: &Config,
    transfer: &Transfer,
    (format, paging): (Format, bool),
    client: PIRP,
    attempt: &Attempt,
) -> Option<Request> {
    let Shape::Class(facts) = config.shape() else {
        return None;
    };
    let lba = transfer.lba_of(attempt);
    let direction = if transfer.write {
        Direction::Write
    } else {
        Direction::Read
    };
    let flags = Flags {
        fua: fua(facts, transfer),
        dpo: false,
    };
    let blocks = attempt.length / transfer.sector;
    let cdb = cdb::encode(form(facts, transfer), direction, lba, blocks, flags).ok()?;
    Some(Request {
        format,
        flags: srb_flags(config, facts, transfer, paging),
        length: attempt.length,
        data_buffer: attempt.index,
        cdb,
        lba,
        timeout: TIMEOUT_SECONDS,
        irp: attempt.irp,
        client,
    })
}

/// The flags that disk.sys and classpnp set (disk pnp.c, classpnp xferpkt.c), but for the sense
/// buffer: ours are as large as sense data gets, so no port needs to bring its own.
fn srb_flags(config: &Config, facts: &Facts, transfer: &Transfer, paging: bool) -> u32 {
    let mut flags = if transfer.write {
        SRB_FLAGS_DATA_OUT
    } else {
        SRB_FLAGS_DATA_IN
    };
    if facts.queueing {
        flags |= SRB_FLAGS_QUEUE_ACTION_ENABLE;
    }
    if !config.is_removable() {
        flags |= SRB_FLAGS_NO_QUEUE_FREEZE;
    }
    if !is_write_through(transfer) {
        flags |= SRB_FLAGS_ADAPTER_CACHE_ENABLE;
    }
    if paging {
        flags |= CLASS_FLAGS_PAGING;
    }
    flags
}
