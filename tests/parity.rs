//! The same bytes elsewhere: Host and first Guest in QEMU, against our machine.

use harness::{Boot, End, Runner};

/// Prints QEMU's version and the full command line, and compares the transcripts byte for byte. Without QEMU it says
/// so and proves nothing, unless `RINGSIDE_REQUIRE_QEMU` is set, as CI does.
#[test]
fn the_transcript_is_the_same_in_qemu() {
    let Some(version) = harness::qemu_version() else {
        let missing = "qemu-system-i386 is not installed: the transcripts were NOT compared";
        assert!(std::env::var_os("RINGSIDE_REQUIRE_QEMU").is_none(), "{missing}");
        println!("{missing}");
        return;
    };
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
