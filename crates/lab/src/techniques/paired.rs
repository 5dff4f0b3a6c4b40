//! A port driver that tells the driver above it how many map registers there are: by the registry, by request, and
//! again when that changes.

use ntsim::port::{Hba, Paired, PortLimits, PortRegistry};
use ntsim::world::StackKind;
use ntsim::{Stack, World};

use super::scene::{Both, PAGE, Scene, Seen, Shown, both, expect, holds, number, play};

/// Twelve pages in operations of at most `pages`.
fn twelve(stack: &Stack, pages: u64) -> Result<Both, String> {
    let both = both(stack, 12 * PAGE, 0)?;
    expect("operations", both.count(), 12_u64.div_ceil(pages))?;
    expect("most pages in one", both.pages(), pages.min(12))?;
    Ok(both)
}

/// The port driver has written its registers down before the driver above it is loaded.
pub(super) fn registry(scene: &Scene) -> Shown {
    let written = PortRegistry::new(PortLimits::registers(5));
    play(
        scene.world(Hba::unlimited().port_registry(written)),
        |stack| {
            let both = twelve(stack, 5)?;
            let asked = stack.port().paired_counts().asked;
            expect("questions", asked, 0)?;
            Ok(Seen::verified(both.verified)
                .fact(
                    r"Xfersplit\Port\NumberOfMapRegisters",
                    number(stack, r"Port\NumberOfMapRegisters"),
                )
                .fact("operations of 12 pages", both.count())
                .fact("most pages in one", both.pages()))
        },
    )
}

fn asking(scene: &Scene) -> World {
    let offer = Paired::new(PortLimits::registers(5));
    scene
        .world(Hba::unlimited().paired(offer))
        .setting("PairedPort", 1)
}

/// An internal device control at start; also through a class driver in between, which hands on nothing but the
/// request block.
pub(super) fn interface(scene: &Scene) -> Shown {
    let seen = play(asking(scene), |stack| {
        let both = twelve(stack, 5)?;
        let counts = stack.port().paired_counts();
        holds("the port was asked", counts.asked > 0)?;
        expect("questions that it did not understand", counts.refused, 0)?;
        Ok(Seen::verified(both.verified)
            .fact("answers", counts.answered)
            .fact("operations of 12 pages", both.count())
            .fact("most pages in one", both.pages()))
    })?;
    let above = asking(scene).stack(StackKind::Relay);
    play(above, |stack| {
        let both = twelve(stack, 5)?;
        let answers = stack.port().paired_counts().answered;
        holds("the class driver handed the question on", answers > 0)?;
        let through = Seen::verified(both.verified).fact("answers through a class driver", answers);
        Ok(seen.and(&through))
    })
}

/// The question that waits is answered when the limits change: the next request obeys.
pub(super) fn change(scene: &Scene) -> Shown {
    play(asking(scene), |stack| {
        let mut verified = twelve(stack, 5)?.verified;
        let mut seen = Vec::new();
        for (name, registers) in [
            ("operations with 2 registers", 2),
            ("with 12", 12),
            ("with 3", 3),
        ] {
            stack.idle();
            let waiting = stack.port().paired_counts().waiting;
            expect("questions that wait", waiting as u64, 1)?;
            stack
                .port()
                .change_port_limits(PortLimits::registers(registers));
            let both = twelve(stack, u64::from(registers))?;
            verified += both.verified;
            seen.push((name, both.count()));
        }
        let first = Seen::verified(verified).fact("operations with 5 registers", 3);
        Ok(seen
            .into_iter()
            .fold(first, |seen, (name, count)| seen.fact(name, count)))
    })
}
