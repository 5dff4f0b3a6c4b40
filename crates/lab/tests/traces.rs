//! The committed recordings read back as what was recorded.

use std::path::{Path, PathBuf};

use lab::trace::{Action, Trace, load};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/traces")
        .join(name)
}

fn read(name: &str) -> Trace {
    load(&path(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn counts(trace: &Trace) -> [usize; 4] {
    [Action::Read, Action::Write, Action::Flush, Action::Trim].map(|action| trace.count(action))
}

/// Lines of the file that contain `part`, counted without the parser.
fn lines_with(name: &str, part: &str) -> usize {
    let text = std::fs::read_to_string(path(name)).expect("the trace");
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn fio_version_2() {
    let name = "fio-v2-mixed.log";
    let trace = read(name);
    assert_eq!(trace.format, "fio iolog v2");
    assert_eq!(trace.files, ["/data/disk0.img"]);
    assert_eq!(
        counts(&trace),
        [
            lines_with(name, " read "),
            lines_with(name, " write "),
            0,
            0
        ]
    );
    assert!(trace.ops.len() > 800);
    assert!(trace.ops.iter().any(|op| op.length == 1536 << 10));
    assert_eq!(trace.ops[0].offset, 4_047_360);
}

#[test]
fn fio_version_2_with_two_files_and_syncs() {
    let name = "fio-v2-two-files-sync.log";
    let trace = read(name);
    assert_eq!(trace.files.len(), 2);
    let syncs = lines_with(name, " sync ") + lines_with(name, " datasync ");
    assert_eq!(counts(&trace), [0, lines_with(name, " write "), syncs, 0]);
    assert!(syncs > 10);
    assert_eq!(trace.extents(), [12 << 20, 12 << 20]);
}

#[test]
fn fio_version_3() {
    let name = "fio-v3-mixed.log";
    let trace = read(name);
    assert_eq!(trace.format, "fio iolog v3");
    assert_eq!(
        counts(&trace),
        [
            lines_with(name, " read "),
            lines_with(name, " write "),
            0,
            0
        ]
    );
    assert!(
        trace
            .ops
            .windows(2)
            .all(|pair| pair[0].at_ns <= pair[1].at_ns)
    );
    assert_eq!(
        (trace.ops[0].at_ns, trace.ops[0].length),
        (11_464_000, 655_360)
    );
}

#[test]
fn fio_version_3_with_trims() {
    let name = "fio-v3-trim-sync.log";
    let trace = read(name);
    let [reads, writes, flushes, trims] = counts(&trace);
    assert_eq!((reads, trims, writes), (0, 32, lines_with(name, " write ")));
    assert_eq!(flushes, lines_with(name, "sync "));
}

#[test]
fn blkparse_text() {
    let name = "blkparse-loop-mixed.txt";
    let trace = read(name);
    assert_eq!(
        (trace.format, trace.files.as_slice()),
        ("blkparse", &["7,0".to_owned()][..])
    );
    let expected = [
        lines_with(name, "  Q   R "),
        lines_with(name, "  Q  WS "),
        lines_with(name, "  Q FWS "),
        lines_with(name, "  Q  DS "),
    ];
    assert_eq!(counts(&trace), expected);
    assert!(expected.iter().all(|&count| count > 0));
    let longest = trace
        .ops
        .iter()
        .filter(|op| op.action != Action::Trim)
        .map(|op| op.length)
        .max();
    assert_eq!(
        longest,
        Some(1536 << 10),
        "longer than the device's limit: requests as they came in"
    );
}

#[test]
fn files_that_are_no_trace_are_named_with_their_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("trace");
    for (bytes, part) in [
        (&b""[..], "trace:1: neither"),
        (b"hello\n", "trace:1: neither"),
        (b"fio version 2 iolog\n", "trace:1: the trace ends without"),
        (b"fio version 2 iolog\n/d add\n\xFF\n", "trace:3: not text"),
        (b"fio version 9 iolog\n", "trace:1: 'fio version 9 iolog'"),
    ] {
        std::fs::write(&file, bytes).expect("a file");
        let error = load(&file).unwrap_err();
        assert_eq!(error.exit_status(), 2);
        assert!(error.to_string().contains(part), "{error}");
    }
    let missing = load(&directory.path().join("missing")).unwrap_err();
    assert!(missing.to_string().contains("missing: "), "{missing}");
}
