//! The same bytes elsewhere: Host and first Guest in QEMU, against our machine.

use harness::{Boot, End, Runner};
use ringside_expectations::Mutant;

/// Whether there is a QEMU. Without one a test says so and proves nothing, unless `RINGSIDE_REQUIRE_QEMU` is set, as CI does.
fn qemu() -> Option<String> {
    let version = harness::qemu_version();
    if version.is_none() {
        let missing = "qemu-system-i386 is not installed: the transcripts were NOT compared";
        assert!(std::env::var_os("RINGSIDE_REQUIRE_QEMU").is_none(), "{missing}");
        println!("{missing}");
    }
    version
}

/// Prints QEMU's version and the full command line, and compares the transcripts byte for byte.
#[test]
fn the_transcript_is_the_same_in_qemu() {
    let Some(version) = qemu() else { return };
    for (words, input) in [("", &b""[..]), ("layout=c", b""), ("input", b"the same bytes\n")] {
        let mut boot = Boot::new("first-guest.elf", words);
        boot.input = input.to_vec();
        let there = Runner::Qemu.run(&boot);
        println!("{version}\n{}", there.command);
        let here = Runner::Machine.run(&boot);
        assert_eq!(there.end, End::PowerOff, "QEMU: {}\n{}", there.console, there.host_log);
        assert_eq!(here.end, End::PowerOff, "ours: {}\n{}", here.console, here.host_log);
        assert_eq!(there.console, here.console);
        println!("{} bytes, equal", here.console.len());
    }
}

/// Three Guests, each with a console of its own: what is typed there is what it hears, and nobody else.
#[test]
fn every_guest_has_its_own_console() {
    let boot = Boot {
        input: b"the first\n".to_vec(),
        ..Boot::new("first-guest.elf", "input")
            .with_consoles(&[("input", "the second\n"), ("input", "the third\n")])
    };
    let transcripts = |report: &harness::Report| {
        assert_eq!(report.end, End::PowerOff, "{}\n{}", report.command, report.host_log);
        let consoles = std::iter::once(&report.console).chain(&report.neighbours);
        consoles.cloned().collect::<Vec<_>>()
    };
    let here = transcripts(&Runner::Machine.run(&boot));
    for (text, typed) in here.iter().zip(["the first", "the second", "the third"]) {
        assert!(text.contains(&format!("  you typed: {typed}\n")), "{typed}:\n{text}");
        assert_eq!(text.replace(typed, ""), here[0].replace("the first", ""));
    }
    let mixed = boot.clone().with_mutant(Mutant::Host("consoles-mixed"));
    assert_ne!(Runner::Machine.run(&mixed).neighbours, here[1..]);
    if qemu().is_some() {
        let there = Runner::Qemu.run(&boot);
        println!("{}", there.command);
        assert_eq!(transcripts(&there), here);
    }
}
