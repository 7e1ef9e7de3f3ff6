//! The built-in Guest by the real program: what a person does at its shell, and what can go wrong.

use crate::rig::{Folder, ringside, ringside_with};

/// Far more than any of these runs takes.
const LIMIT: [&str; 2] = ["--max-insns", "20000000000"];

#[test]
fn one_word_boots_to_a_shell_that_powers_off() {
    let folder = Folder::new();
    let script = folder.file("script", "expect / # \nsend uname -rm\\n\nexpect i686\nsend poweroff\\n\n");
    let run = || ringside(["--script", script.as_str(), "--hash"].iter().chain(&LIMIT));
    let outcome = run();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    for part in ["Linux 6.1 in ring 1", "Ctrl-A h", "poweroff", "--trace", "6.1.192-lguest i686"] {
        assert!(outcome.stdout.contains(part), "{part}: {outcome:?}");
    }
    assert_eq!(outcome, run(), "deterministic");
}

/// All of it, from the first byte on, though it comes before there is a shell, and more than a terminal keeps.
#[test]
fn what_is_piped_in_arrives() {
    let outcome = ringside_with(LIMIT, b"echo first line\npoweroff\n");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("\nfirst line"), "{outcome:?}");
    // `seq 1 4000 | md5sum`
    const SUM: &str = "fe5b8755020ef9b07c59dc335e32b4a1";
    let mut lines: String = (1..=4000).map(|n| format!("{n}\n")).collect();
    lines.push('\x04');
    let outcome = ringside_with(["--append", "run=md5sum"].into_iter().chain(LIMIT), lines.as_bytes());
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains(SUM), "{outcome:?}");
    let folder = Folder::new();
    let input = folder.file("input", &lines);
    let given = |more: &'static [&str]| {
        let options = ["--append", "run=md5sum", "--input", &input, "--hash"];
        ringside(options.iter().chain(more).chain(&LIMIT))
    };
    let outcome = given(&[]);
    assert!(outcome.status == 0 && outcome.stdout.contains(SUM), "{outcome:?}");
    assert_eq!(outcome.hash(), given(&["--engine", "interp"]).hash());
}

#[test]
fn the_terminals_size_is_the_guests() {
    let folder = Folder::new();
    let script = folder.file(
        "script",
        "resize 100 40\nexpect / # \nsend stty size\\n\nexpect 40 100\nexpect / # \nresize 90 33\nsend stty size\\n\n\
         expect 33 90\nsend poweroff\\n\n",
    );
    let outcome = ringside(["--script", script.as_str()].iter().chain(&LIMIT));
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn ctrl_c_and_job_control_are_the_guests() {
    let folder = Folder::new();
    let script = folder.file(
        "script",
        "expect / # \nsend while echo go; do :; done\\n\nexpect done\nexpect go\nsend \\x03\nexpect / # \n\
         send echo rea''dy; cat\\n\nexpect ready\nsend \\x03\nexpect / # \nsend sleep 500 &\\n\n\
         expect / # \nsend jobs; kill %1; echo killed\\n\nexpect Running\nexpect killed\nsend poweroff\\n\n",
    );
    let outcome = ringside(["--script", script.as_str()].iter().chain(&LIMIT));
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn a_disk_keeps_what_is_written() {
    let folder = Folder::new();
    let disk = folder.file("disk", vec![0; 4 << 20]);
    let locked = folder.file("locked", vec![7; 1 << 20]);
    let write = folder.file(
        "write",
        "expect / # \nsend mke2fs -q /dev/vda; mount -t ext2 /dev/vda /mnt; seq 1 9999 > /mnt/n; umount /mnt; echo made\\n\n\
         expect made\nexpect made\nsend dd if=/dev/zero of=/dev/vdb count=1; echo status $?\\n\nexpect status 1\nquit\n",
    );
    let both = ["--block", &disk, "--block", &format!("{locked},ro")];
    let outcome = ringside(both.into_iter().chain(["--script", &write]).chain(LIMIT));
    assert_eq!(outcome.status, 10, "the script ends it, as a crash would: {outcome:?}");
    assert!(outcome.stdout.contains("Operation not permitted"), "{outcome:?}");
    assert_eq!(std::fs::read(&locked).unwrap(), vec![7; 1 << 20]);
    let read = folder
        .file("read", "expect / # \nsend mount -t ext2 -o ro /dev/vda /mnt; md5sum /mnt/n; poweroff\\n\n");
    let outcome = ringside(["--block", &disk, "--script", &read].into_iter().chain(LIMIT));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    // `seq 1 9999 | md5sum`
    assert!(outcome.stdout.contains("05fda6bec6aabc94d0fc54380ace8412  /mnt/n"), "{outcome:?}");
}

#[test]
fn a_panic_is_told_with_the_guests_own_words() {
    let outcome = ringside(["--append", "rdinit=/nowhere init=/nowhere"].into_iter().chain(LIMIT));
    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(outcome.stdout.contains("Kernel panic - not syncing"), "{outcome:?}");
    assert!(outcome.stderr.contains("CRASH: VFS: Unable to mount root fs"), "{outcome:?}");
    // The Host's report: the last hypercalls, then how the kernel got there, innermost first, as its own report has it.
    let mut rest = outcome.stderr.as_str();
    for part in
        [" SHUTDOWN [", "at   ", " lguest_panic+", "from ", " panic+", " mount_block_root+", " kernel_init+"]
    {
        (_, rest) = rest.split_once(part).unwrap_or_else(|| panic!("{part}: {outcome:?}"));
    }
}

#[test]
fn odd_and_too_many_disks_are_refused() {
    let folder = Folder::new();
    let odd = folder.file("odd", vec![0; 1000]);
    let good = folder.file("good", vec![0; 512]);
    ringside(["--block", &odd]).assert_refused("512");
    ringside(["--block", &format!("{good},rw")]).assert_refused("expected FILE or FILE,ro");
    ringside(["--block", "/nowhere/disk"]).assert_refused("/nowhere/disk");
    ringside(std::iter::repeat_n(["--block", &good], 5).flatten()).assert_refused("at most 4");
}
