//! `drivers/monolithic`: a driver with hardware of its own, which no class driver splits for.

use ntsim::controller::OperationRecord;
use ntsim::dma::DmaCounts;
use ntsim::world::DmaWorld;

use super::scene::{BOTH, PAGE, Probe, Scene, Seen, Shown, expect, holds, play_dma};

/// What requests came to: the controller's operations, for each request, and bytes compared.
struct Requests {
    operations: Vec<Vec<OperationRecord>>,
    verified: u64,
    dma: DmaCounts,
}

impl Requests {
    fn total(&self) -> u64 {
        self.operations.iter().map(|each| each.len() as u64).sum()
    }
}

/// Writes and reads each of these lengths, from the start of a page.
fn requests(world: DmaWorld, lengths: &[usize]) -> Result<Requests, String> {
    let act = |stack: &ntsim::world::DmaStack| {
        let (mut operations, mut verified) = (Vec::new(), 0);
        for &length in lengths {
            for direction in BOTH {
                let before = stack.controller().operations().len();
                let probe = Probe::new(stack, direction, 1 << 16, stack.buffer(length, 0));
                verified += probe.moves(stack)?;
                operations.push(stack.controller().operations().split_off(before));
            }
        }
        Ok((operations, verified))
    };
    let ((operations, verified), dma) = play_dma(world, act)?;
    Ok(Requests {
        operations,
        verified,
        dma,
    })
}

/// Twelve pages on five map registers: MapTransfer is called three times for each request.
pub(super) fn map_transfer(scene: &Scene) -> Shown {
    let seen = requests(scene.controller().map_registers(5), &[12 * PAGE])?;
    expect("operations of both requests", seen.total(), 2 * 3)?;
    expect("MapTransfer calls", seen.dma.map_transfers, 2 * 3)?;
    expect("FlushAdapterBuffers calls", seen.dma.flushes, 2 * 3)?;
    expect(
        "registers granted at a time",
        u64::from(seen.dma.registers_peak),
        5,
    )?;
    Ok(Seen::verified(seen.verified)
        .fact("map registers", 5)
        .fact("pages", 12)
        .fact("MapTransfer calls of a request", seen.dma.map_transfers / 2)
        .fact("operations of a request", seen.total() / 2))
}

/// A request of any number of pages on any number of map registers.
pub(super) fn any_size(scene: &Scene) -> Shown {
    let lengths: Vec<usize> = (1..=12).map(|pages| pages * PAGE).collect();
    let mut seen = Seen::verified(0);
    let (mut count, mut operations) = (0, 0);
    for registers in 1..=12_u32 {
        let all = requests(scene.controller().map_registers(registers), &lengths)?;
        for (number, each) in all.operations.iter().enumerate() {
            let pages = number as u64 / 2 + 1;
            let fewest = pages.div_ceil(u64::from(registers));
            let what = format!("operations of {pages} pages on {registers} registers");
            expect(&what, each.len() as u64, fewest)?;
        }
        expect("MapTransfer calls", all.dma.map_transfers, all.total())?;
        count += all.operations.len() as u64;
        operations += all.total();
        seen = seen.and(&Seen::verified(all.verified));
    }
    Ok(seen
        .fact("requests of 1 to 12 pages, 1 to 12 registers", count)
        .fact("operations, the fewest possible", operations))
}

/// A controller whose sector count ends at 256.
pub(super) fn at_rule(scene: &Scene) -> Shown {
    let world = scene
        .controller()
        .map_registers(200)
        .pool(200)
        .max_sectors(256);
    let seen = requests(world, &[700 * 512])?;
    expect("operations of 700 sectors", seen.total() / 2, 3)?;
    let most = seen.operations.iter().flatten().map(|one| one.sectors);
    let most = u64::from(most.max().unwrap_or(0));
    expect("sectors of the largest", most, 256)?;
    Ok(Seen::verified(seen.verified).fact(
        "operations of a controller for 700 sectors",
        seen.total() / 2,
    ))
}

/// A controller that reaches the first 16 MiB alone: its data goes through the map registers' own pages.
pub(super) fn bounce(scene: &Scene) -> Shown {
    let world = scene.controller().map_registers(5).address_bits(24);
    let seen = requests(world, &[12 * PAGE])?;
    expect("operations of both requests", seen.total(), 2 * 3)?;
    holds("pages went through others", seen.dma.bounced_pages > 0)?;
    let segments = seen
        .operations
        .iter()
        .flatten()
        .flat_map(|one| &one.segments);
    let reach = segments.map(|&(address, length)| address + u64::from(length));
    let reach = reach.max().unwrap_or(0);
    holds("no address is beyond 16 MiB", reach <= 1 << 24)?;
    Ok(Seen::verified(seen.verified)
        .fact("operations of a request", seen.total() / 2)
        .fact("pages that went through others", seen.dma.bounced_pages))
}

/// A controller with scatter/gather: a list for each piece, no longer than the registers and the controller allow.
pub(super) fn scatter_gather(scene: &Scene) -> Shown {
    let world = scene.controller().map_registers(5).max_segments(16);
    let seen = requests(world, &[12 * PAGE])?;
    expect("lists", seen.dma.lists, 2 * 3)?;
    let lengths: Vec<u64> = seen.operations[0]
        .iter()
        .map(|one| one.segments.len() as u64)
        .collect();
    holds("5, 5 and 2 segments", lengths == [5, 5, 2])?;
    Ok(Seen::verified(seen.verified)
        .fact("lists of a request", seen.dma.lists / 2)
        .fact(
            "most segments in one",
            lengths.into_iter().max().unwrap_or(0),
        ))
}
