//! blkparse's default text output (blkparse(1), "DEFAULT OUTPUT").
//!
//! A line is `major,minor cpu sequence seconds.nanoseconds pid action rwbs sector + blocks [command]`, sectors of 512
//! bytes. The requests as they entered the block layer are the `Q` lines: everything after them (`X` splits, `M`
//! merges, `D` issues) is what Linux made of them. blkparse closes its output with a summary, which ends the trace.

use super::{Action, BadLine, Op, Trace, checked_end, number};

const SECTOR: u64 = 512;

/// Whether a line is an event, not a summary or something else.
pub(super) fn looks_like_event(line: &str) -> bool {
    let mut fields = line.split_whitespace();
    let device = fields.next().is_some_and(is_device);
    let numbers = fields
        .by_ref()
        .take(2)
        .filter(|f| f.parse::<u64>().is_ok())
        .count()
        == 2;
    device
        && numbers
        && fields
            .next()
            .is_some_and(|time| nanoseconds(time).is_some())
}

pub(super) fn parse(text: &str) -> Result<Trace, BadLine> {
    let mut trace = Trace {
        format: "blkparse",
        files: Vec::new(),
        ops: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if starts_summary(line) {
            break;
        }
        event(&mut trace, index + 1, line)?;
    }
    Ok(trace)
}

fn starts_summary(line: &str) -> bool {
    (line.starts_with("CPU") || line.starts_with("Total (")) && line.trim_end().ends_with("):")
}

fn event(trace: &mut Trace, line: usize, text: &str) -> Result<(), BadLine> {
    if !looks_like_event(text) {
        return Err(BadLine::new(
            line,
            "expected 'major,minor cpu sequence time pid action rwbs …'",
        ));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [device, _, _, time, pid, what, rest @ ..] = fields.as_slice() else {
        return Err(BadLine::new(line, "the line ends before the action"));
    };
    number(line, "process id", pid)?;
    if *what != "Q" {
        return Ok(());
    }
    let rwbs = rest
        .first()
        .ok_or_else(|| BadLine::new(line, "a Q line without its rwbs field"))?;
    let Some(action) = action(rwbs) else {
        return Err(BadLine::new(
            line,
            format!("'{rwbs}' says neither read, write, discard nor flush"),
        ));
    };
    let (offset, length) = match (action, &rest[1..]) {
        (_, [sector, "+", blocks, ..]) => extent(line, sector, blocks)?,
        _ if rwbs.starts_with('F') => (0, 0),
        _ => {
            return Err(BadLine::new(
                line,
                "expected 'sector + blocks' after the rwbs field",
            ));
        }
    };
    // A write with a flush before it and no data of its own is only the flush.
    let action = if length == 0 { Action::Flush } else { action };
    let at_ns = nanoseconds(time).unwrap_or_default();
    let file = file_index(trace, device);
    trace.ops.push(Op {
        at_ns,
        file,
        action,
        offset,
        length,
        line,
    });
    Ok(())
}

fn extent(line: usize, sector: &str, blocks: &str) -> Result<(u64, u64), BadLine> {
    let in_bytes = |what: &str, text: &str| {
        number(line, what, text)?
            .checked_mul(SECTOR)
            .ok_or_else(|| BadLine::new(line, format!("{what} {text} is beyond any disk")))
    };
    let offset = in_bytes("sector", sector)?;
    let length = in_bytes("number of blocks", blocks)?;
    checked_end(line, offset, length)?;
    Ok((offset, length))
}

/// What an rwbs field says: a leading F is a flush before the data, D discard, W write, R read, N nothing.
fn action(rwbs: &str) -> Option<Action> {
    let data = rwbs.strip_prefix('F').unwrap_or(rwbs);
    match data.chars().next() {
        Some('R') => Some(Action::Read),
        Some('W') => Some(Action::Write),
        Some('D') => Some(Action::Trim),
        _ if rwbs.starts_with('F') => Some(Action::Flush),
        _ => None,
    }
}

fn file_index(trace: &mut Trace, device: &str) -> usize {
    trace
        .files
        .iter()
        .position(|name| name == device)
        .unwrap_or_else(|| {
            trace.files.push(device.to_owned());
            trace.files.len() - 1
        })
}

fn is_device(text: &str) -> bool {
    text.split_once(',')
        .is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
}

/// `seconds.nanoseconds`, nine digits after the point.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    if fraction.len() != 9 {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(fraction.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_queued_requests_count_and_the_summary_ends_the_trace() {
        let text = "  8,0    3        1     0.000000000   697  Q   W 223490 + 8 [kjournald]\n\
                    \x20 8,0    3        2     0.000001829   697  G   W 223490 + 8 [kjournald]\n\
                    \x20 8,0    3        0     0.000002000     0  m   N cfq697S / alloced\n\
                    \x20 8,16   1        9     2.500000001  1234  Q  RA 0 + 256 [two words]\n\
                    \x20 8,0    3        3     2.600000000   697  X  WS 97031 / 98087 [(null)]\n\
                    \x20 8,0    3        4     2.700000000   697  Q FWS [(null)]\n\
                    \x20 8,0    3        5     2.800000000   697  Q  DS 6144 + 2048 [(null)]\n\
                    CPU3 (8,0):\n Reads Queued:           1,        4KiB\n";
        let trace = parse(text).expect("a good trace");
        assert_eq!(trace.files, ["8,0", "8,16"]);
        let seen: Vec<_> = trace
            .ops
            .iter()
            .map(|op| (op.at_ns, op.action, op.offset, op.length))
            .collect();
        assert_eq!(
            seen,
            [
                (0, Action::Write, 223_490 * 512, 4096),
                (2_500_000_001, Action::Read, 0, 131_072),
                (2_700_000_000, Action::Flush, 0, 0),
                (2_800_000_000, Action::Trim, 6144 * 512, 1 << 20),
            ]
        );
    }

    #[test]
    fn bad_lines_are_named() {
        let good = "8,0 3 1 0.000000000 697 Q W 223490 + 8 [x]\n";
        for (bad, part) in [
            ("hello world\n", "expected 'major,minor"),
            ("8,0 3 1 0.5 697 Q W 1 + 8 [x]\n", "expected 'major,minor"),
            ("8,0 3 1 0.000000000 697\n", "ends before the action"),
            ("8,0 3 1 0.000000000 me Q W 1 + 8\n", "process id 'me'"),
            ("8,0 3 1 0.000000000 697 Q\n", "without its rwbs"),
            ("8,0 3 1 0.000000000 697 Q Z 1 + 8\n", "'Z' says neither"),
            ("8,0 3 1 0.000000000 697 Q W 1 8\n", "sector + blocks"),
            ("8,0 3 1 0.000000000 697 Q W one + 8\n", "sector 'one'"),
            (
                "8,0 3 1 0.000000000 697 Q W 36028797018963967 + 8\n",
                "beyond any disk",
            ),
        ] {
            let found = parse(&format!("{good}{bad}")).unwrap_err();
            assert_eq!(found.line, 2, "{bad}");
            assert!(found.reason.contains(part), "{bad}: {}", found.reason);
        }
    }
}
