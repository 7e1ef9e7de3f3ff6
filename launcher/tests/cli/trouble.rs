//! What goes wrong in the built-in Guest stays there, is told in plain words, and ends with the documented status.

use crate::rig::{Folder, Outcome, assert_in_order, ringside};

/// Far more than any of these runs takes.
const LIMIT: [&str; 2] = ["--max-insns", "20000000000"];

/// Types these lines at the shell, one after the other.
fn shell(folder: &Folder, options: &[&str], lines: &[&str]) -> Outcome {
    let script: String = lines.iter().map(|line| format!("expect / # \nsend {line}\\n\n")).collect();
    let script = folder.file("script", script);
    ringside(options.iter().copied().chain(["--script", &script]).chain(LIMIT))
}

/// The kernel takes the memory back from who has most of it, and everything else goes on.
#[test]
fn out_of_memory_is_the_greedy_programs_end_alone() {
    let outcome = shell(
        &Folder::new(),
        &["--mem", "32"],
        &[
            "echo $(seq 1000 | wc -l) > /kept; tail -c +1 /dev/zero | tail; echo ended $?",
            "cat /kept; poweroff",
        ],
    );
    assert_eq!(outcome.status, 0, "{outcome:?}");
    // 128 and SIGKILL.
    assert_in_order(&outcome.stdout, &["Killed", "ended 137", "poweroff", "1000"]);
    assert_eq!(outcome.stderr, "ringside: the machine powered off\n");
}

#[test]
fn too_little_memory_to_start_is_said_so() {
    for (mem, what) in [("8", "it needs 22 MiB, --mem gives it 8"), ("22", "raise --mem")] {
        ringside(["--mem", mem]).assert_refused(what);
    }
    // The Host, which finds it out by itself where nobody looked before.
    let rom = |name| format!("{}/../roms/{name}", env!("CARGO_MANIFEST_DIR"));
    let modules = format!("{},{}", rom("linux-6.1/vmlinux"), rom("linux-6.1/initrd.gz"));
    for (memory, what) in [("8", "the kernel does not fit"), ("22", "the initrd does not fit")] {
        let (host, words) = (rom("lguest-host.elf"), format!("guest-mem={memory}"));
        let outcome =
            ringside(["boot", &host, "--initrd", &modules, "--append", &words].into_iter().chain(LIMIT));
        assert_eq!(outcome.status, 3, "{outcome:?}");
        assert_in_order(&outcome.stderr, &["cannot start the Guest: ", what, "killed or crashed"]);
        assert_eq!(outcome.stdout, "", "{outcome:?}");
    }
}

/// A file system without room says so, keeps what it has, and has room again for what is deleted.
#[test]
fn a_full_disk_keeps_what_it_has() {
    let folder = Folder::new();
    let disk = folder.file("disk", vec![0; 1 << 20]);
    let options = ["--block", disk.as_str()];
    let outcome = shell(
        &folder,
        &options,
        &[
            "mke2fs -q /dev/vda; mount -t ext2 /dev/vda /mnt; seq 9999 > /mnt/first; echo made $?",
            "dd if=/dev/urandom of=/mnt/full bs=1k; echo filled $?; echo no > /mnt/more; echo more $?",
            "md5sum /mnt/full; umount /mnt; poweroff",
        ],
    );
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let no_room = "No space left on device";
    assert_in_order(&outcome.stdout, &["made 0", no_room, "filled 1", no_room, "more 1", "  /mnt/full"]);
    let sum =
        outcome.stdout.split("  /mnt/full").next().and_then(|text| text.lines().last()).unwrap_or_default();
    let again = shell(
        &folder,
        &options,
        &[
            "mount -t ext2 /dev/vda /mnt; md5sum /mnt/full /mnt/first; rm /mnt/full; seq 9999 > /mnt/more; echo more $?",
            "cmp /mnt/first /mnt/more && echo alike; umount /mnt; poweroff",
        ],
    );
    assert_eq!(again.status, 0, "{again:?}");
    // `seq 9999 | md5sum`
    let first = "05fda6bec6aabc94d0fc54380ace8412  /mnt/first";
    assert_in_order(&again.stdout, &[&format!("{sum}  /mnt/full"), first, "more 0", "\nalike"]);
}

/// What is in memory is not on a disk: without room there, nothing is lost but the rest of the file.
#[test]
fn a_full_file_system_in_memory_is_no_lack_of_memory() {
    let outcome = shell(
        &Folder::new(),
        &[],
        &[
            "mount -t tmpfs -o size=1m tmpfs /mnt; dd if=/dev/zero of=/mnt/full bs=64k; echo filled $?",
            "wc -c /mnt/full; poweroff",
        ],
    );
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_in_order(&outcome.stdout, &["No space left on device", "filled 1", "1048576 /mnt/full"]);
}

/// The first program's code is overwritten, as root may; its next instruction is its last.
const KILL_INIT: &str = "a=$(grep -m 1 r-xp /proc/1/maps | cut -d - -f 1); dd if=/dev/zero of=/proc/1/mem bs=4k seek=$((0x$a/4096)) count=128; exit";

#[test]
fn what_a_guest_wrote_before_it_crashed_is_on_its_disk() {
    let folder = Folder::new();
    let disk = folder.file("disk", vec![0; 8 << 20]);
    let options = ["--block", disk.as_str()];
    let write = "mke2fs -q /dev/vda; mount -t ext2 /dev/vda /mnt; seq 1 99999 > /mnt/n; sync";
    assert_eq!(shell(&folder, &options, &[write, KILL_INIT]).status, 3);
    let outcome = shell(&folder, &options, &["mount -t ext2 -o ro /dev/vda /mnt; md5sum /mnt/n; poweroff"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    // `seq 1 99999 | md5sum`
    assert!(outcome.stdout.contains("9f588ff5001de34673652c4a767575e4  /mnt/n"), "{outcome:?}");
}

/// The kernel gives up, and the Host says where the kernel was, through the exception and back to the entry code.
#[test]
fn a_killed_first_program_is_a_crash_of_the_guest() {
    let outcome = shell(&Folder::new(), &[], &[KILL_INIT]);
    assert_eq!(outcome.status, 3, "{outcome:?}");
    let why = "Attempted to kill init! exitcode=0x0000000b";
    assert_in_order(&outcome.stdout, &["init[1]: segfault", why]);
    let report = [
        "guest 1 crashed: CRASH: ",
        why,
        " SHUTDOWN [",
        " lguest_panic+",
        " panic+",
        " do_exit+",
        " get_signal+",
    ];
    assert_in_order(&outcome.stderr, &report);
    assert_in_order(
        &outcome.stderr,
        &[" irqentry_exit+", " exc_page_fault+", " handle_exception+", "killed or crashed"],
    );
}

/// A first program that simply ends, and one that is not there.
#[test]
fn without_a_first_program_there_is_no_guest() {
    for (words, why, place) in [
        ("rdinit=/bin/busybox", "Attempted to kill init! exitcode=0x", " __ia32_sys_exit_group+"),
        ("rdinit=/nowhere init=/nowhere", "VFS: Unable to mount root fs", " mount_root+"),
    ] {
        let outcome = ringside(["--append", words].into_iter().chain(LIMIT));
        assert_eq!(outcome.status, 3, "{outcome:?}");
        assert_in_order(&outcome.stderr, &["guest 1 crashed: CRASH: ", why, " panic+", place]);
    }
}
