//! What the machine says arrives where it was sent to.

use crate::rig::{ECHO, Folder, LOOP, ringside, ringside_with, rom};

/// Sends letters to COM1 (`c`), COM2 (`l`), 0xE9 (`d`), 0x190 (`p`) and the screen (`s`), then exits with status 1.
const SPEAKER: &[u8] = &[
    0x66, 0xBA, 0xF8, 0x03, 0xB0, b'c', 0xEE, // mov dx, 0x3f8; mov al, 'c'; out dx, al
    0x66, 0xBA, 0xF8, 0x02, 0xB0, b'l', 0xEE, // COM2
    0x66, 0xBA, 0x90, 0x01, 0xB0, b'p', 0xEE, // port 0x190
    0xB0, b'd', 0xE6, 0xE9, // mov al, 'd'; out 0xe9, al
    0xC6, 0x05, 0x00, 0x80, 0x0B, 0x00, b's', // mov byte [0xb8000], 's'
    0xB0, 0x00, 0xE6, 0xF4,
];

#[test]
fn each_port_has_its_file() {
    let folder = Folder::new();
    let kernel = folder.kernel(SPEAKER);
    let ports = ["console", "host-log", "post", "debugcon", "screen"];
    let options = ports.iter().flat_map(|port| [format!("--{port}"), folder.path(port)]);
    let outcome = ringside(["boot".into(), kernel.clone()].into_iter().chain(options));
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
    let said = ports.map(|port| folder.read(port));
    assert_eq!(said.each_ref().map(|s| s.trim_end()), ["c", "l", "p", "d", "s"]);
    assert_eq!(said[4].lines().count(), 25);

    let outcome = ringside(["boot", &kernel, "--debugcon", "-", "--host-log", "-"]);
    assert_eq!(outcome.stdout, "cd");
    assert!(outcome.stderr.starts_with('l'), "{outcome:?}");
}

#[test]
fn the_end_of_com2_is_shown_when_a_run_ends_badly() {
    let folder = Folder::new();
    let outcome = ringside(["boot", &folder.kernel(SPEAKER)]);
    assert!(outcome.stderr.contains("COM2:\n  | l\n"), "{outcome:?}");
}

#[test]
fn statistics() {
    let folder = Folder::new();
    let outcome = ringside(["boot", &folder.kernel(LOOP), "--max-insns", "1000", "--stats", "--hash"]);
    assert!(outcome.hash().contains("insns=1000"));
    let value = |key: &str| -> f64 {
        let line = outcome.stderr.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key}: {outcome:?}"))
    };
    assert_eq!((value("insns"), value("vtime")), (1000.0, 1000.0));
    for key in ["wall_ms", "mips", "world_switches", "hypercalls", "exceptions", "irqs", "peak_rss_kib"] {
        assert!(value(key) >= 0.0);
    }
}

#[test]
fn a_file_of_input_is_deterministic() {
    let folder = Folder::new();
    let (kernel, input) = (folder.kernel(ECHO), folder.file("input", "typed\n"));
    let run = || ringside_with(["boot", &kernel, "--input", &input, "--hash"], b"not read");
    let first = run();
    assert_eq!((first.status, first.stdout.as_str()), (1, "typed\n"));
    assert_eq!(first, run());
}

#[test]
fn a_script_converses() {
    let folder = Folder::new();
    let script = folder.file("script", "send one\\x2c \nexpect one\nsend two\\n\n");
    let (kernel, script) = (folder.kernel(ECHO), script.as_str());
    let run = || ringside_with(["boot", &kernel, "--script", script, "--hash"], b"not read");
    let first = run();
    assert_eq!((first.status, first.stdout.as_str()), (1, "one, two\n"), "{first:?}");
    assert_eq!(first, run());
}

#[test]
fn a_script_that_waits_in_vain_says_where() {
    let folder = Folder::new();
    let script = folder.file("script", "send a\nexpect a\n\nexpect never\n");
    let outcome = ringside(["boot", &folder.kernel(ECHO), "--script", &script, "--max-insns", "2000000"]);
    assert_eq!(outcome.status, 10);
    assert!(outcome.stderr.contains("script line 4 still waits for \"never\""), "{outcome:?}");
}

#[test]
fn a_script_raises_nmi_at_a_count() {
    let folder = Folder::new();
    let script = folder.file("script", "at 5 nmi\n");
    // Without a usable IDT an NMI is a triple fault.
    let outcome = ringside(["boot", &folder.kernel(LOOP), "--script", &script, "--hash"]);
    assert_eq!(outcome.status, 4, "{outcome:?}");
    assert!(outcome.hash().ends_with(" insns=5"), "{outcome:?}");
}

#[test]
fn the_host_boots_like_any_kernel() {
    let guest = rom("first-guest.elf");
    let args =
        ["boot", &rom("lguest-host.elf"), "--initrd", &guest, "--append", "guest-mem=64", "--mem", "128"];
    let outcome = ringside(args);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("first guest: 46 proofs"), "{outcome:?}");
}
