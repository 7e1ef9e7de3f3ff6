//! What a person can see of compiled code.

use crate::rig::{Folder, ringside};

/// Counts ECX down: mov ecx, 100000; loop: dec ecx; jnz loop; mov al, 0; out 0xf4, al
const COUNTDOWN: &[u8] = &[0xB9, 0xA0, 0x86, 1, 0, 0x49, 0x75, 0xFD, 0xB0, 0, 0xE6, 0xF4];

/// Where [`Folder::kernel`] puts the loop.
const LOOP: &str = "0x100025";

#[test]
fn a_listing_has_guest_code_beside_host_code() {
    let folder = Folder::new();
    let kernel = folder.kernel(COUNTDOWN);
    let outcome = ringside(["boot", &kernel, "--engine", "jit", "--dump-jit", LOOP]);
    let listing =
        outcome.stderr.lines().skip_while(|line| !line.starts_with("block 00100025: 2 instructions"));
    let lines: Vec<&str> = listing.collect();
    let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["00100025  Dec_r32"]) && has(&["dec r14d"]), "{outcome:?}");
    assert!(has(&["00100026  Jne_rel8_32"]) && has(&["jne "]), "{outcome:?}");
    assert!(has(&["ways out and slow paths"]), "{outcome:?}");

    let nothing = ringside(["boot", &kernel, "--engine", "jit", "--dump-jit", "0x5000"]);
    assert!(nothing.stderr.contains("--dump-jit: no compiled code for 0x5000"), "{nothing:?}");
}

/// Writes to port 0x80 as often, and then to 0xF4: mov edx, 0x80; mov ecx, 100000; loop: out dx, al; dec ecx; jnz loop; mov dl,
/// 0xf4; inc ecx; jmp loop
const WRITER: &[u8] =
    &[0xBA, 0x80, 0, 0, 0, 0xB9, 0xA0, 0x86, 1, 0, 0xEE, 0x49, 0x75, 0xFC, 0xB2, 0xF4, 0x41, 0xEB, 0xF7];

#[test]
fn statistics_tell_what_the_engine_did() {
    let folder = Folder::new();
    let outcome = ringside(["boot", &folder.kernel(WRITER), "--engine", "jit", "--stats"]);
    let value = |key: &str| -> f64 {
        let line = outcome.stderr.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key}: {outcome:?}"))
    };
    assert!(value("jit_retired") > 299_000.0 && value("jit_retired_percent") > 99.5, "{outcome:?}");
    assert!((1.0..20.0).contains(&value("jit_blocks")) && value("jit_links") >= 1.0, "{outcome:?}");
    let (searches, found) = (value("jit_searches"), value("jit_search_hit_percent"));
    assert!((2.0..100.0).contains(&searches) && (0.0..100.0).contains(&found), "{outcome:?}");
    assert!(outcome.stderr.contains("jit_left_by_1=Out_DX_AL 1\n"), "{outcome:?}");
}

/// The place and name of the map are those where `perf report` looks.
#[cfg(target_os = "linux")]
#[test]
fn a_profiler_finds_the_blocks() {
    use std::process::{Command, Stdio};
    let folder = Folder::new();
    let child = Command::new(env!("CARGO_BIN_EXE_ringside"))
        .args(["boot", &folder.kernel(COUNTDOWN), "--engine", "jit", "--perf-map", "--timeout", "60"])
        .stdin(Stdio::null())
        .spawn();
    let mut child = child.expect("the program was built");
    let name = format!("/tmp/perf-{}.map", child.id());
    child.wait().expect("the child is ours");
    let map = std::fs::read_to_string(&name).expect("it was written");
    std::fs::remove_file(&name).expect("it is ours");
    let line = map.lines().find(|line| line.ends_with(" guest_00100025")).unwrap_or_else(|| panic!("{map}"));
    let fields: Vec<u64> =
        line.split(' ').take(2).map(|field| u64::from_str_radix(field, 16).expect("hexadecimal")).collect();
    assert!(fields[0] > 0x1_0000 && fields[1] > 10, "{line}");
}
