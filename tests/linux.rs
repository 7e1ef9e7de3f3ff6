//! The built-in Guest: Linux 6.1 does the same work with the same output in both engines and in QEMU, and not without the rules
//! of the Host that it needs.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod natively;

use harness::{Boot, End, Runner, engines, in_parallel};
use ringside_expectations::Mutant;

/// `/load` in the initial RAM disk: forks, pipes, compression, checksums, signals, tracing, threads, memory.
const LOAD: &str = "run=/load";

/// What it says at the end of its tasks, so that a load that does nothing is no proof.
const DONE: [&str; 8] = [
    "forks 200",
    "pipes 5000",
    "gzip 45004",
    "sha256 f6351f5ead9a700e34275480b3856ea738122a7c57bdeb744a631251c069587a",
    "signals 20",
    "1 thousand steps and more, exit status 7",
    "adding to one word ... 40000",
    "load done",
];

fn assert_done(console: &str, whose: &str) {
    for part in DONE {
        assert!(console.contains(part), "{whose}: {part}\n{console}");
    }
}

#[test]
fn a_load_says_the_same_in_both_engines_and_in_qemu() {
    let boots: Vec<Boot> = engines().into_iter().map(|engine| Boot { engine, ..Boot::linux(LOAD) }).collect();
    let reports = in_parallel(&boots, |boot| Runner::Machine.run(boot));
    for report in &reports {
        assert_eq!(report.end, End::PowerOff, "{}\n{}\n{}", report.command, report.console, report.host_log);
        assert_done(&report.console, &report.command);
        assert_eq!(report.console, reports[0].console);
    }
    if harness::qemu_version().is_none() {
        let missing = "qemu-system-i386 is not installed: the transcripts were NOT compared";
        assert!(std::env::var_os("RINGSIDE_REQUIRE_QEMU").is_none(), "{missing}");
        println!("{missing}");
        return;
    }
    let there = Runner::Qemu.run(&boots[0]);
    assert_eq!(there.end, End::PowerOff, "{}\n{}\n{}", there.command, there.console, there.host_log);
    assert_eq!(there.console, reports[0].console);
    println!("{} bytes, equal", there.console.len());
}

/// The same programs on the processor the tests run on, with the kernel it has.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_load_says_the_same_natively() {
    let root = natively::unpack(&harness::rom("linux-6.1/initrd.gz"));
    let there = match natively::load(root.path()) {
        // ENOEXEC: a kernel without 32-bit programs.
        Err(error) if error.raw_os_error() == Some(8) => {
            println!("this kernel runs no 32-bit programs: the transcripts were NOT compared");
            return;
        }
        result => result.expect("the shell of the initial RAM disk"),
    };
    assert_done(&there, "natively");
    let here = Runner::Machine.run(&Boot::linux(LOAD)).console.replace("\r\n", "\n");
    assert_eq!(here, there);
}

/// What a program says that uses the network card or the entropy source, wherever the Host runs.
const DEVICES: [(&str, &str); 3] = [
    ("run=ip,address,show,eth0", "inet 10.0.2.15/24"),
    ("run=ping,-c,2,10.0.2.2", "2 packets received, 0% packet loss"),
    ("run=dd,if=/dev/hwrng,of=/dev/null,bs=16,count=9", "9+0 records out"),
];

#[test]
fn network_and_entropy_are_there_in_qemu_too() {
    let mut runners = vec![Runner::Machine];
    runners.extend(harness::qemu_version().map(|_| Runner::Qemu));
    for runner in runners {
        for (words, part) in DEVICES {
            let report = runner.run(&Boot { network: true, entropy: true, ..Boot::linux(words) });
            assert_eq!(report.end, End::PowerOff, "{}\n{}", report.command, report.host_log);
            assert!(report.console.contains(part), "{}\n{}", report.command, report.console);
        }
    }
}

/// Two of them, with a shell at each of two consoles: each answers what it was asked, and is off when it was told so.
#[test]
fn two_guests_have_a_shell_each() {
    let ask = |who: &str, extra: &str| format!("echo $((6 * 7)) for {who}{extra}; poweroff\n");
    let (first, second) = (ask("the first", ""), ask("the second", "; cat /proc/cmdline"));
    let words = "console=hvc0 quiet loglevel=3 name=second";
    let boot =
        Boot { input: first.into_bytes(), ..Boot::linux("name=first").with_consoles(&[(words, &second)]) };
    let mut runs: Vec<(Runner, Boot)> =
        engines().into_iter().map(|engine| (Runner::Machine, Boot { engine, ..boot.clone() })).collect();
    runs.extend(harness::qemu_version().map(|_| (Runner::Qemu, boot.clone())));
    let reports = in_parallel(&runs, |(runner, boot)| runner.run(boot));
    for report in &reports {
        assert_eq!(report.end, End::PowerOff, "{}\n{}", report.command, report.host_log);
        let (one, two) = (&report.console, &report.neighbours[0]);
        assert!(one.contains("\n42 for the first") && !one.contains("second"), "{}\n{one}", report.command);
        assert!(two.contains("\n42 for the second") && !two.contains("first"), "{}\n{two}", report.command);
        assert!(two.contains("name=second"), "{two}");
    }
    assert!(reports.iter().zip(engines()).all(|(report, _)| report.neighbours == reports[0].neighbours));
}

/// A console that nobody reads has room for some thousand lines, in QEMU. Then its Guest waits, and the one beside it does not.
#[cfg(unix)]
#[test]
fn a_console_that_nobody_reads_stops_its_guest_alone() {
    if harness::qemu_version().is_none() {
        println!("qemu-system-i386 is not installed: nobody's console was left unread");
        return;
    }
    let said = ["10", "20000"];
    let runs = said.map(|last| {
        let words = format!("console=hvc0 quiet loglevel=3 run=seq,1,{last}");
        Boot { unread: true, ..Boot::linux(LOAD).with_consoles(&[(&words, "")]) }
    });
    for (report, last) in in_parallel(&runs, |boot| Runner::Qemu.run(boot)).iter().zip(said) {
        assert_done(&report.console, &report.command);
        let (before, _) = report.host_log.split_once("guest 1 powered off").expect("the load ended");
        assert_eq!(before.contains("guest 2 powered off"), last == "10", "{last}: {before}");
    }
}

/// Rules of the Host for a Guest that programs control registers and tables itself.
const RULES: [&str; 3] = ["cr3-load-ignored", "idt-read-once", "stale-selectors-dropped"];

#[test]
fn no_rule_is_there_for_nothing() {
    let boots: Vec<Boot> =
        RULES.iter().map(|rule| Boot::linux(LOAD).with_mutant(Mutant::Host(rule))).collect();
    let reports = in_parallel(&boots, |boot| Runner::Machine.run(boot));
    for (rule, report) in RULES.iter().zip(reports) {
        let whole = report.end == End::PowerOff && DONE.iter().all(|part| report.console.contains(part));
        assert!(!whole, "{rule}: nothing went wrong without it\n{}", report.console);
    }
}
