//! `ringside vectors` from outside: what it prints and its exit status.

#[path = "../src/vectors/sample.rs"]
mod sample;

use std::path::PathBuf;
use std::process::{Command, Output};

/// A file that goes away with its owner.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, bytes: &[u8]) -> TestFile {
        let path = std::env::temp_dir().join(format!("ringside-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary directory is writable");
        TestFile(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn vectors(file: &TestFile, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringside"));
    command.arg("vectors").args(options).arg(&file.0).output().expect("the program was built")
}

#[track_caller]
fn assert_ends(output: &Output, status: i32, last_line: &str) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert_eq!(stdout.lines().last(), Some(last_line), "{output:?}");
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr.lines().count() == 1 && stderr.contains(reason), "{output:?}");
}

#[test]
fn plain_and_compressed_files_pass() {
    let plain = TestFile::new("plain.bin", &sample::file(42));
    assert_ends(&vectors(&plain, &[]), 0, "2 passed, 0 failed");
    let packed = zstd::encode_all(sample::file(42).as_slice(), 1).unwrap();
    let packed = TestFile::new("packed.bin.zst", &packed);
    assert_ends(&vectors(&packed, &["--json"]), 0, "2 passed, 0 failed");
    assert_ends(&vectors(&packed, &["--only", "ud2"]), 0, "1 passed, 0 failed");
}

#[test]
fn a_failure_is_told_in_detail() {
    let file = TestFile::new("wrong.bin", &sample::file(43));
    let output = vectors(&file, &[]);
    assert_ends(&output, 1, "1 passed, 1 failed");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for part in ["#0 (source 1)", "inc eax", "eax: expected 0000002b, got 0000002a"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert_ends(&vectors(&file, &["--only", "1"]), 0, "1 passed, 0 failed");
}

#[test]
fn bad_files_and_empty_choices_are_refused() {
    let garbage = TestFile::new("garbage.bin", b"no vectors here");
    assert_refused(&vectors(&garbage, &[]), "not a vector file");
    let whole = sample::file(42);
    let truncated = TestFile::new("truncated.bin", &whole[..whole.len() - 1]);
    assert_refused(&vectors(&truncated, &[]), "it ends too early");
    let broken = TestFile::new("broken.bin.zst", &[0x28, 0xB5, 0x2F, 0xFD, 0, 1, 2]);
    assert_refused(&vectors(&broken, &[]), "broken.bin.zst");
    let missing = TestFile(PathBuf::from("no-such-file.bin"));
    assert_refused(&vectors(&missing, &[]), "no-such-file.bin");
    let good = TestFile::new("good.bin", &whole);
    assert_refused(&vectors(&good, &["--source", "3"]), "no vector matches");
    assert_refused(&vectors(&good, &["--only", "9-3"]), "range is empty");
}

/// With `--known`, success means that exactly the listed vectors fail.
#[test]
fn known_failures() {
    let whole = sample::file(43);
    let file = TestFile::new("marked.bin", &whole);
    let stem = file.0.file_stem().unwrap().to_string_lossy().into_owned();
    let check = |list: &str, status, said: &str| {
        let list = TestFile::new("known.txt", list.as_bytes());
        let output = vectors(&file, &["--known", list.0.to_str().unwrap()]);
        assert_ends(&output, status, "1 passed, 1 failed");
        assert!(String::from_utf8_lossy(&output.stdout).contains(said), "{said}: {output:?}");
    };
    check(&format!("# a list\n{stem} 0 wrong on purpose\n"), 0, "known: wrong on purpose");
    check(&format!("{stem} 0 a\n{stem} 1 b\n"), 1, "#1 is listed as a known failure: it passes");
    check(
        &format!("{stem} 0 a\n{stem} 2 b\n"),
        1,
        "#2 is listed as a known failure: there is no such vector",
    );
    check("another 0 reason\n", 1, "failures: 0 known, 1 not known");
    let list = TestFile::new("bad-list.txt", b"a line");
    assert_refused(&vectors(&file, &["--known", list.0.to_str().unwrap()]), "bad-list.txt:1: expected");
}

/// Our own vectors, captured on a physical processor by `cpu-native --export`.
#[test]
fn programs_captured_on_silicon_pass() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/native.bin.zst");
    let output = Command::new(env!("CARGO_BIN_EXE_ringside")).args(["vectors", file]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.lines().last().is_some_and(|line| line.ends_with("passed, 0 failed")), "{stdout}");
}
