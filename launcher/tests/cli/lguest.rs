//! The first Guest under the built-in Host, by the real program.

use crate::rig::{Folder, assert_in_order, ringside, ringside_with, rom};
use std::fs;

#[test]
fn one_word_boots_a_guest_and_powers_off() {
    let outcome = ringside([&rom("first-guest.elf")]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.stderr, "ringside: the machine powered off\n");
    for line in ["You are in ring 1", "ok    2 INIT", "program A: hello from ring 3", "proofs, 0 failed"] {
        assert!(outcome.stdout.contains(line), "{line}: {outcome:?}");
    }
    let explicit = ringside(["run", &rom("first-guest.elf"), "--host", &rom("lguest-host.elf")]);
    assert_eq!(explicit, outcome);
}

#[test]
fn two_runs_end_in_the_same_state() {
    let whole = ringside([rom("first-guest.elf").as_str(), "--hash"]);
    assert_eq!(whole, ringside([rom("first-guest.elf").as_str(), "--hash"]));
    let (_, insns) = whole.hash().rsplit_once('=').unwrap();
    let half = (insns.parse::<u64>().unwrap() / 2).to_string();
    let run = || ringside([rom("first-guest.elf").as_str(), "--hash", "--max-insns", &half]);
    let first = run();
    assert_eq!(first.status, 10);
    assert!(first.hash().ends_with(&format!(" insns={half}")), "{first:?}");
    assert_eq!(first, run());
}

#[test]
fn listeners_and_files_do_not_change_the_run() {
    let folder = Folder::new();
    let plain = ringside([rom("first-guest.elf").as_str(), "--hash"]);
    let log = folder.path("log");
    let watched = ringside([
        rom("first-guest.elf").as_str(),
        "--hash",
        "--trace",
        &folder.path("trace"),
        "--stats",
        "--host-log",
        &log,
    ]);
    assert_eq!(plain.hash(), watched.hash());
    assert_eq!(plain.stdout, watched.stdout);
    assert!(folder.read("log").contains("lguest Host"));
}

#[test]
fn a_script_talks_to_the_guest() {
    let folder = Folder::new();
    let script = folder.file("script", "expect ring1> \nsend help\\n\nexpect ring1> \nsend poweroff\\n\n");
    let guest = rom("first-guest.elf");
    let args = [&guest, "--append", "interactive", "--script", &script, "--hash", "--max-insns", "200000000"];
    let (first, second) = (ringside(args), ringside_with(args, b"not read"));
    assert_eq!(first.status, 0, "{first:?}");
    assert!(first.stdout.contains("this list"), "{first:?}");
    assert_eq!(first, second);
}

#[test]
fn input_talks_to_the_guest() {
    let folder = Folder::new();
    let input = folder.file("input", "help\npoweroff\n");
    let first =
        ringside([rom("first-guest.elf").as_str(), "--append", "interactive", "--input", &input, "--hash"]);
    assert_eq!(first.status, 0, "{first:?}");
    assert!(first.stdout.contains("this list"), "{first:?}");
    assert_eq!(
        first,
        ringside([rom("first-guest.elf").as_str(), "--append", "interactive", "--input", &input, "--hash"])
    );
    let piped =
        ringside_with([rom("first-guest.elf").as_str(), "--append", "interactive"], b"help\npoweroff\n");
    assert_eq!(first.stdout, piped.stdout);
}

/// `insns vtime from>to cause cs:eip image!symbol+offset`
#[test]
fn the_trace_is_as_the_contract_says() {
    let folder = Folder::new();
    let outcome = ringside([rom("first-guest.elf").as_str(), "--trace", &folder.path("trace"), "--stats"]);
    let trace = folder.read("trace");
    let (mut last, mut ring) = ((0, 0), 0);
    for line in trace.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [insns, vtime, rings, cause, place, symbol] = fields[..] else { panic!("{line}") };
        let at: (u64, u64) = (insns.parse().unwrap(), vtime.parse().unwrap());
        assert!(at.0 >= last.0 && at.1 >= last.1, "{line}");
        let levels = rings.split_once('>').map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
        let (from, to): (u8, u8) = levels.unwrap();
        let world = cause.starts_with("world:");
        assert!(from == ring && (to != from || world), "{line}");
        let (cs, eip) = place.split_once(':').unwrap();
        assert!(cs.len() == 4 && eip.len() == 8, "{line}");
        let selector = u16::from_str_radix(cs, 16).unwrap();
        assert_eq!(selector & 3, u16::from(from.max(to)), "the less privileged side: {line}");
        assert!(u32::from_str_radix(eip, 16).is_ok() && !cause.is_empty(), "{line}");
        let (image, offset) = symbol.split_once('!').unwrap();
        assert!(if world { image == "switcher" } else { ["guest", "user"].contains(&image) }, "{line}");
        assert!(offset.rsplit_once('+').is_some_and(|(_, n)| u32::from_str_radix(n, 16).is_ok()), "{line}");
        (last, ring) = (at, to);
    }
    for part in
        ["1>0 int1f:LGUEST_INIT 0061:", "1>0 int1f:NEW_PGTABLE 0061:", "3>1 int80 0073:", "1>3 iret 0073:"]
    {
        assert!(trace.contains(part), "{part}");
    }
    for part in [
        "0>1 iret 0061:",
        "1>0 #PF(",
        "1>0 irq",
        "guest!_start+",
        "guest!program_a+",
        "switcher!switch_to_guest+",
    ] {
        assert!(trace.contains(part), "{part}");
    }
    let lines_with = |part: &str| trace.lines().filter(|line| line.contains(part)).count();
    let worlds = lines_with(" world:");
    for (key, count) in [
        ("world_switches", worlds),
        ("ring_changes", trace.lines().count() - worlds),
        ("hypercalls", lines_with(" int1f:")),
    ] {
        assert!(outcome.stderr.contains(&format!("\n{key}={count}\n")), "{key}: {outcome:?}");
    }
}

/// A Guest of ours dies, and the Host says where its kernel was: Rust's functions by the names of their source.
#[test]
fn a_killed_guest_is_told_by_its_functions() {
    let image = rom("attack-guest.elf");
    let outcome = ringside(["run", &image, "--append", "attack=shutdown-wraps", "--timeout", "60"]);
    assert_eq!(outcome.status, 3, "{outcome:?}");
    let report = [
        "guest 1 killed: BAD_READ: 0xfffffff0",
        " SHUTDOWN [fffffff0, 1]",
        "  at   ",
        " guest_main+",
        " _start+",
    ];
    assert_in_order(&outcome.stderr, &report);
    assert!(!outcome.stderr.contains("_ZN"), "{outcome:?}");
}

#[test]
fn a_guest_that_faults_without_an_idt_is_killed() {
    let folder = Folder::new();
    // `ud2`
    let outcome =
        ringside(["run", &folder.file("guest", tiny_guest(&[0x0F, 0x0B])), "--max-insns", "100000000"]);
    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(outcome.stderr.contains("COM2") && outcome.stderr.contains("killed or crashed"), "{outcome:?}");
}

#[test]
fn a_guest_that_never_ends_is_ended() {
    let folder = Folder::new();
    let outcome =
        ringside(["run", &folder.file("guest", tiny_guest(&[0xEB, 0xFE])), "--max-insns", "30000000"]);
    assert_eq!(outcome.status, 10, "{outcome:?}");
}

#[test]
fn the_trace_goes_to_standard_output_on_request() {
    let outcome = ringside([rom("first-guest.elf").as_str(), "--trace", "-", "--console", "/dev/null"]);
    assert!(cfg!(windows) || outcome.stdout.contains("1>0 int1f:LGUEST_INIT"), "{outcome:?}");
}

/// An ELF executable with `code` at 1 MiB.
fn tiny_guest(code: &[u8]) -> Vec<u8> {
    let mut file = fs::read(rom("first-guest.elf")).unwrap();
    // Everything but code and size is that of a real one: file header and the first program header.
    const HEADERS: usize = 52;
    const SEGMENT: usize = 32;
    file.truncate(HEADERS + SEGMENT);
    let put =
        |file: &mut Vec<u8>, at: usize, value: u32| file[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let len = code.len() as u32;
    put(&mut file, 0x20, 0); // no section headers
    file[0x2C..0x2E].copy_from_slice(&1u16.to_le_bytes()); // one program header
    file[0x30..0x34].fill(0); // no section headers, no names
    put(&mut file, HEADERS + 4, (HEADERS + SEGMENT) as u32); // offset
    put(&mut file, HEADERS + 16, len); // size in the file
    put(&mut file, HEADERS + 20, len); // size in memory
    file.extend_from_slice(code);
    file
}
