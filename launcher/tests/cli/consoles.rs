//! Consoles of several Guests: each says and hears its own, and nobody waits for another.

use crate::rig::{Folder, Outcome, ringside, ringside_with, rom};

/// Far more than any of these runs takes.
const LIMIT: [&str; 2] = ["--max-insns", "20000000000"];

/// What each of `count` Guests said with `--console` at `c` in `folder`.
fn consoles(folder: &Folder, count: usize) -> Vec<String> {
    let name = |n| if n == 1 { "c".into() } else { format!("c.{n}") };
    (1..=count).map(|n| folder.read(&name(n))).collect()
}

/// Run these Guests with a script.
fn run(folder: &Folder, guests: &[&str], script: &str) -> Outcome {
    let (script, console) = (folder.file("script", script), folder.path("c"));
    let options = ["--console", &console, "--script", &script];
    ringside(guests.iter().copied().chain(options).chain(LIMIT))
}

#[test]
fn a_script_talks_to_each_guest() {
    let folder = Folder::new();
    let script = "guest 2\nexpect ring1> \nsend only for two\\n\nexpect no such command: only for two\n\
                  guest 1\nexpect ring1> \nsend only for one\\n\nexpect no such command: only for one\nsend poweroff\\n\n\
                  guest 2\nsend timer\\n\nexpect irq 0 woke me\nsend poweroff\\n\n";
    let guest = rom("first-guest.elf");
    let guests = [&guest, "--guests", "2", "--append", "interactive", "--hash"];
    let outcome = run(&folder, &guests, script);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    let said = consoles(&folder, 2);
    for (text, mine, other) in [(&said[0], "for one", "for two"), (&said[1], "for two", "for one")] {
        assert!(text.contains(mine) && !text.contains(other), "{text}");
        assert!(text.contains("You are in ring 1") && text.contains("proofs, 0 failed"), "{text}");
    }
    let mut again = guests.to_vec();
    again.extend(["--engine", "interp"]);
    assert_eq!(run(&folder, &again, script).hash(), outcome.hash());
    assert_eq!(consoles(&folder, 2), said);
}

#[test]
fn a_script_knows_how_many_guests_there_are() {
    let folder = Folder::new();
    let script = folder.file("script", "expect a\nguest 3\n");
    let guest = rom("first-guest.elf");
    ringside([&guest, &guest, "--script", &script]).assert_refused("script:2: `3` is no number of a Guest");
    let script = folder.file("script", "guest 2\nexpect never said\n");
    let outcome = ringside([&guest, &guest, "--script", &script, "--max-insns", "30000000"]);
    assert!(outcome.stderr.contains("line 2 still waits for \"never said\" of Guest 2"), "{outcome:?}");
}

/// The one on the terminal is Guest 1's, and so is what is piped in.
#[test]
fn plain_bytes_are_the_first_guests() {
    let guest = rom("first-guest.elf");
    let args = [&guest, &guest, "--append", "interactive", "--max-insns", "200000000"];
    let outcome = ringside_with(args, b"for the first\npoweroff\n");
    // The second waits at its prompt, and nobody can ever speak to it.
    assert_eq!(outcome.status, 8, "{outcome:?}");
    assert_eq!(outcome.stdout.matches("You are in ring 1").count(), 1, "{outcome:?}");
    assert!(outcome.stdout.contains("no such command: for the first"), "{outcome:?}");
    assert!(outcome.stderr.contains("guest 1 powered off"), "{outcome:?}");
}

#[test]
fn files_of_consoles_are_kept_apart() {
    let folder = Folder::new();
    let (guest, console, second) = (rom("first-guest.elf"), folder.path("c"), folder.path("c.2"));
    let options = ["--console", &console, "--host-log", &second];
    ringside([&guest, &guest].into_iter().map(String::as_str).chain(options))
        .assert_refused("c.2 is written");
    assert_eq!(ringside([&guest].into_iter().map(String::as_str).chain(options)).status, 0);
    ringside([guest.as_str(), "--guests", "17"]).assert_refused("17");
    ringside(vec![guest; 17]).assert_refused("16 are the most");
}

/// Each has its terminal's size; one that crashes is gone, and the other does not notice.
#[test]
fn a_guest_that_crashes_leaves_the_other_its_console() {
    let folder = Folder::new();
    let script = "guest 2\nexpect / # \nresize 90 33\nsend stty size\\n\nexpect 33 90\nexpect / # \n\
                  guest 1\nexpect / # \nsend stty size; echo before\\n\nexpect standard input\nexpect before\nexpect / # \n\
                  guest 2\nsend dd if=/dev/zero of=/proc/1/mem bs=4k seek=$((0x$(grep -m 1 r-xp /proc/1/maps | cut -d - -f 1)/4096)) count=128; exit\\n\nexpect Attempted to kill init\n\
                  guest 1\nsend echo $((6 * 7)) after\\n\nexpect 42 after\nexpect / # \nsend poweroff\\n\n";
    let log = folder.path("log");
    let outcome = run(&folder, &["--guests", "2", "--host-log", &log], script);
    assert_eq!(outcome.status, 0, "{outcome:?}\n{:?}", consoles(&folder, 2));
    let log = folder.read("log");
    assert!(log.contains("guest 2 crashed: CRASH: ") && log.contains("guest 1 powered off"), "{log}");
}

/// A Guest that speaks without end has its console, and the other its own, and its share of the processor.
#[test]
fn a_flood_on_one_console_is_no_flood_on_the_other() {
    let folder = Folder::new();
    let script = "guest 2\nexpect / # \nsend yes flood\\n\nexpect flood\nexpect flood\n\
                  guest 1\nexpect / # \nsend seq 1 9999 | md5sum\\n\nexpect 05fda6bec6aabc94d0fc54380ace8412\n\
                  guest 2\nexpect flood\nsend \\x03\nexpect / # \nsend poweroff\\n\n\
                  guest 1\nsend poweroff\\n\n";
    let outcome = run(&folder, &["--guests", "2"], script);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let [first, second] = &consoles(&folder, 2)[..] else { panic!("two consoles") };
    assert!(!first.contains("flood"), "{first}");
    assert!(second.matches("flood\r\n").count() > 1000, "{} bytes", second.len());
}

/// Sixteen Guests that never sleep, on a machine of 256 MiB. A turn is 10 ms of 1 ns instructions, and a line of a Guest half a
/// million: whenever the run is stopped, they differ by one turn at most.
#[test]
fn sixteen_guests_have_a_console_and_a_sixteenth_each() {
    const TURN: usize = 20;
    let folder = Folder::new();
    let (guest, console) = (rom("first-guest.elf"), folder.path("c"));
    let run = |insns: &'static str, engine: &'static [&'static str]| {
        let guests = [&guest, "--append", "busy", "--guests", "16", "--mem", "13"];
        let options = ["--console", &console, "--max-insns", insns, "--hash"];
        ringside(guests.iter().chain(&options).chain(engine))
    };
    let outcome = run("1600000000", &[]);
    assert_eq!(outcome.status, 10, "{outcome:?}");
    let said = consoles(&folder, 16);
    let shares: Vec<usize> = said.iter().map(|text| text.lines().last().unwrap().parse().unwrap()).collect();
    let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
    println!("lines of half a million instructions: {shares:?}");
    assert!(least > 7 * TURN && most - least <= TURN + 1, "{shares:?}");
    // Nothing but these, in order.
    for (text, share) in said.iter().zip(&shares) {
        let (_, counted) = text.split_once("0 failed\n").expect("the proofs come first");
        let expected: String = (1..=*share).map(|n| format!("{n}\n")).collect();
        assert_eq!(counted, expected);
    }
    // Two turns of each, to the bit.
    let engines = [&[][..], &["--engine", "interp"]]
        .map(|engine| (run("320000000", engine).hash().to_owned(), consoles(&folder, 16)));
    assert_eq!(engines[0], engines[1]);
}
