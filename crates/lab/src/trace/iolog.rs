//! fio's `write_iolog` files, versions 2 and 3 (fio(1), "Trace file format v2" and "v3").
//!
//! Version 2 has `file action` and `file action offset length` lines; `wait` lines carry microseconds in the place of
//! the offset. Version 3 puts a timestamp in microseconds since the start before each line and has no `wait`.

use super::{Action, BadLine, Op, Trace, checked_end, number};

/// What a file is ready for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Added,
    Open,
}

struct Reader {
    version: u8,
    stages: Vec<Stage>,
    trace: Trace,
    now_ns: u64,
}

pub(super) fn parse(text: &str) -> Result<Trace, BadLine> {
    let mut lines = text.lines().enumerate();
    let (version, format) = match lines.next().map(|(_, line)| line.trim_end()) {
        Some("fio version 2 iolog") => (2, "fio iolog v2"),
        Some("fio version 3 iolog") => (3, "fio iolog v3"),
        other => {
            let found = other.unwrap_or_default();
            return Err(BadLine::new(
                1,
                format!("'{found}': only iolog versions 2 and 3 are known"),
            ));
        }
    };
    let trace = Trace {
        format,
        files: Vec::new(),
        ops: Vec::new(),
    };
    let mut reader = Reader {
        version,
        stages: Vec::new(),
        trace,
        now_ns: 0,
    };
    for (index, line) in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if !fields.is_empty() {
            reader.line(index + 1, &fields)?;
        }
    }
    Ok(reader.trace)
}

impl Reader {
    fn line(&mut self, line: usize, fields: &[&str]) -> Result<(), BadLine> {
        let fields = if self.version == 3 {
            self.timestamp(line, fields)?
        } else {
            fields
        };
        match *fields {
            [file, action] => self.manage(line, file, action),
            [file, action, offset, length] => {
                let offset = number(line, "offset", offset)?;
                let length = number(line, "length", length)?;
                self.operate(line, file, action, offset, length)
            }
            _ => {
                let forms = "'file action' or 'file action offset length'";
                let stamp = if self.version == 3 {
                    " after a timestamp"
                } else {
                    ""
                };
                Err(BadLine::new(line, format!("expected {forms}{stamp}")))
            }
        }
    }

    /// Takes the timestamp off a version 3 line.
    fn timestamp<'a>(
        &mut self,
        line: usize,
        fields: &'a [&'a str],
    ) -> Result<&'a [&'a str], BadLine> {
        let micros = number(line, "timestamp", fields[0])?;
        let ns = micros
            .checked_mul(1000)
            .ok_or_else(|| BadLine::new(line, format!("timestamp {micros} is too large")))?;
        self.now_ns = self.now_ns.max(ns);
        Ok(&fields[1..])
    }

    fn manage(&mut self, line: usize, file: &str, action: &str) -> Result<(), BadLine> {
        let known = self.trace.files.iter().position(|name| name == file);
        match (action, known) {
            ("add", None) => {
                self.trace.files.push(file.to_owned());
                self.stages.push(Stage::Added);
            }
            ("add", Some(_)) => {}
            ("open", Some(index)) => self.stages[index] = Stage::Open,
            ("close", Some(index)) => self.stages[index] = Stage::Added,
            ("open" | "close", None) => {
                return Err(BadLine::new(line, format!("'{file}' was never added")));
            }
            _ => {
                return Err(BadLine::new(
                    line,
                    format!("'{action}' is not add, open or close"),
                ));
            }
        }
        Ok(())
    }

    fn operate(
        &mut self,
        line: usize,
        file: &str,
        action: &str,
        offset: u64,
        length: u64,
    ) -> Result<(), BadLine> {
        let action = match action {
            "read" => Action::Read,
            "write" => Action::Write,
            "sync" | "datasync" | "sync_file_range" => Action::Flush,
            "trim" => Action::Trim,
            "wait" if self.version == 2 => {
                self.now_ns = self.now_ns.saturating_add(offset.saturating_mul(1000));
                return Ok(());
            }
            "wait" => return Err(BadLine::new(line, "version 3 has no 'wait'")),
            other => {
                let known = "read, write, sync, datasync, trim or wait";
                return Err(BadLine::new(line, format!("'{other}' is not {known}")));
            }
        };
        let file = match self.trace.files.iter().position(|name| name == file) {
            Some(index) if self.stages[index] == Stage::Open => index,
            Some(_) => return Err(BadLine::new(line, format!("'{file}' is not open"))),
            None => return Err(BadLine::new(line, format!("'{file}' was never added"))),
        };
        let carries_data = matches!(action, Action::Read | Action::Write);
        if carries_data && length == 0 {
            return Err(BadLine::new(line, "a length of 0"));
        }
        checked_end(line, offset, length)?;
        self.trace.ops.push(Op {
            at_ns: self.now_ns,
            file,
            action,
            offset,
            length,
            line,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "fio version 2 iolog\n/d add\n/d open\n/d write 512 4096\n/d wait 250 0\n/d read 0 512\n\
                       /d sync 0 0\n/d trim 0 4096\n/d close\n";

    #[test]
    fn version_2_with_waits() {
        let trace = parse(TWO).expect("a good trace");
        assert_eq!(trace.files, ["/d"]);
        let seen: Vec<_> = trace
            .ops
            .iter()
            .map(|op| (op.at_ns, op.action, op.offset, op.length))
            .collect();
        assert_eq!(
            seen,
            [
                (0, Action::Write, 512, 4096),
                (250_000, Action::Read, 0, 512),
                (250_000, Action::Flush, 0, 0),
                (250_000, Action::Trim, 0, 4096),
            ]
        );
        assert_eq!(trace.ops[0].line, 4);
        assert_eq!(trace.extents(), [4608]);
    }

    #[test]
    fn version_3_has_its_own_clock() {
        let text = "fio version 3 iolog\n0 /a add\n1 /b add\n2 /a open\n3 /b open\n40 /b read 0 512\n55 /a write 8 8\n";
        let trace = parse(text).expect("a good trace");
        assert_eq!(trace.files, ["/a", "/b"]);
        assert_eq!((trace.ops[0].at_ns, trace.ops[0].file), (40_000, 1));
        assert_eq!((trace.ops[1].at_ns, trace.ops[1].file), (55_000, 0));
    }

    #[test]
    fn bad_lines_are_named() {
        let head = "fio version 2 iolog\n/d add\n/d open\n";
        for (tail, line, part) in [
            ("/d write 512\n", 4, "expected 'file action'"),
            ("/d write x 512\n", 4, "offset 'x'"),
            ("/d write 0 -1\n", 4, "length '-1'"),
            ("/d scribble 0 1\n", 4, "'scribble' is not"),
            ("/d read 0 0\n", 4, "length of 0"),
            ("/e read 0 512\n", 4, "never added"),
            ("/e open\n", 4, "never added"),
            ("/d rename\n", 4, "not add, open or close"),
            ("\n/d close\n/d read 0 512\n", 6, "not open"),
            ("/d read 18446744073709551615 512\n", 4, "beyond any disk"),
        ] {
            let bad = parse(&format!("{head}{tail}")).unwrap_err();
            assert_eq!(bad.line, line, "{tail}");
            assert!(bad.reason.contains(part), "{tail}: {}", bad.reason);
        }
        let third = parse("fio version 3 iolog\n0 /d add\n1 /d open\n2 /d wait 5 0\n").unwrap_err();
        assert!(third.reason.contains("no 'wait'"));
        let stamp = parse("fio version 3 iolog\n/d add\n").unwrap_err();
        assert_eq!(
            (stamp.line, stamp.reason.contains("timestamp '/d'")),
            (2, true)
        );
        let first = parse("fio version 1 iolog\n").unwrap_err();
        assert_eq!(first.line, 1);
    }
}
