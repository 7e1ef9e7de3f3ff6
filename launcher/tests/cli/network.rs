//! `--net user` and `--rng`, by the real program: the peer inside the machine, Guests among themselves, and a server outside.

use crate::rig::{Folder, ringside};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

/// Far more than any of these runs takes.
const LIMIT: [&str; 2] = ["--max-insns", "20000000000"];
/// What the peer says at port 19: a megabyte, always the same. Its MD5.
const MEGABYTE: &str = "57192df9871219b7139cd99c12940339";

/// What is asked at the shell; the answers are in `answered`.
const QUESTIONS: &str = "expect / # \nsend ip address show eth0; cat /etc/resolv.conf; ip route\\n\nexpect default via\nexpect / # \n\
    send ping -c 2 10.0.2.2; nc 10.0.2.4 19 < /dev/null | md5sum; echo there and back | nc 10.0.2.4 7\\n\nexpect and back\nexpect / # \n\
    send head -c 16 /dev/hwrng | hexdump; poweroff\\n\n";

fn assert_answered(console: &str) {
    for part in [
        "link/ether 52:54:00:12:34:56",
        "inet 10.0.2.15/24",
        "nameserver 10.0.2.3",
        "default via 10.0.2.2",
        "2 packets received, 0% packet loss",
        MEGABYTE,
        "\nthere and back",
        // What SplitMix64 begins with, after what the kernel took for itself.
        "\n0000000 ",
    ] {
        assert!(console.contains(part), "{part}: {console}");
    }
}

#[test]
fn the_built_in_guest_has_a_network_and_entropy() {
    let folder = Folder::new();
    let script = folder.file("script", QUESTIONS);
    let run = |more: &[&'static str]| {
        let options = ["--net", "user", "--rng", "--script", script.as_str(), "--hash"];
        ringside(options.iter().chain(more).chain(&LIMIT))
    };
    let outcome = run(&[]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_answered(&outcome.stdout);
    assert_eq!(outcome, run(&["--engine", "interp"]), "the peer and the entropy are part of the machine");
    let other = run(&["--seed", "7"]);
    assert!(other.status == 0 && other.stdout != outcome.stdout, "the seed changes nothing: {other:?}");
}

/// The same on the bare machine's devices, for a kernel that `boot` starts: the Host is one.
#[test]
fn boot_has_the_devices_too() {
    let folder = Folder::new();
    let roms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms");
    let rom = |name: &str| roms.join(name).display().to_string();
    let modules =
        format!("{} console=hvc0 quiet loglevel=3,{}", rom("linux-6.1/vmlinux"), rom("linux-6.1/initrd.gz"));
    let script = folder.file("script", QUESTIONS);
    let host = rom("lguest-host.elf");
    let options = ["boot", &host, "--initrd", &modules, "--mem", "128", "--net", "user", "--rng"];
    let outcome = ringside(options.into_iter().chain(["--script", &script]).chain(LIMIT));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_answered(&outcome.stdout);
}

#[test]
fn guests_of_one_host_reach_each_other() {
    let folder = Folder::new();
    let script = folder.file(
        "script",
        "expect / # \nsend ping -c 3 -s 1400 10.0.2.16; ping -c 1 10.0.2.17; echo asked\\n\nexpect asked\nexpect asked\nquit\n",
    );
    let options = ["--net", "user", "--guests", "3", "--script", script.as_str()];
    let outcome = ringside(options.iter().chain(&LIMIT));
    assert_eq!(outcome.status, 10, "the script ends it: {outcome:?}");
    for part in ["3 packets received, 0% packet loss", "64 bytes from 10.0.2.17"] {
        assert!(outcome.stdout.contains(part), "{part}: {outcome:?}");
    }
}

/// A server of the user's: what it says arrives, and what it is told.
#[test]
fn the_outside_is_reached() {
    const ANSWER: &str = "from outside\n";
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = server.local_addr().expect("it is bound").port();
    let asked = thread::spawn(move || {
        let (mut connection, _) = server.accept().expect("the Guest connects");
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line).expect("the Guest says a line");
        connection.write_all(ANSWER.repeat(20_000).as_bytes()).expect("the Guest listens");
        line
    });
    let folder = Folder::new();
    let script = folder
        .file("script", format!("expect / # \nsend echo hello | nc 10.0.2.2 {port} | md5sum; poweroff\\n\n"));
    let outcome = ringside(["--net", "user", "--script", script.as_str()].iter().chain(&LIMIT));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(asked.join().expect("the server does not panic"), "hello\n");
    // `yes "from outside" | head -20000 | md5sum`
    assert!(outcome.stdout.contains("8aad3972da5279634f6a63adb1772ef4"), "{outcome:?}");
}
