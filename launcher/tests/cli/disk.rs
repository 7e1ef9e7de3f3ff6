//! Hard disks: what a guest writes is in the file, and nothing else is.

use crate::rig::{Folder, LOOP, ringside};
use std::fs;

/// Turns the IDE function on, writes sector 1 of the first disk full of 'w', flushes, and ends with status 1 (or, if
/// the last four bytes are left out, never).
const WRITER: &[u8] = &[
    0x66, 0xBA, 0xF8, 0x0C, 0xB8, 0x04, 0x09, 0x00, 0x80,
    0xEF, // mov dx, 0xcf8; mov eax, 0x80000904; out dx, eax
    0x66, 0xBA, 0xFC, 0x0C, 0xB0, 0x05, 0xEE, // mov dx, 0xcfc; mov al, 5; out dx, al
    0x66, 0xBA, 0xF8, 0x0C, 0xB8, 0x40, 0x09, 0x00, 0x80, 0xEF, // register 0x40
    0x66, 0xBA, 0xFD, 0x0C, 0xB0, 0x80, 0xEE, // mov dx, 0xcfd; mov al, 0x80; out dx, al
    0x66, 0xBA, 0xF2, 0x01, 0xB0, 0x01, 0xEE, // one sector
    0x66, 0xBA, 0xF3, 0x01, 0xB0, 0x01, 0xEE, // sector 1
    0x66, 0xBA, 0xF6, 0x01, 0xB0, 0xE0, 0xEE, // logical block address
    0x66, 0xBA, 0xF7, 0x01, 0xB0, 0x30, 0xEE, // WRITE SECTORS
    0xB9, 0x00, 0x01, 0x00, 0x00, // mov ecx, 256
    0x66, 0xBA, 0xF0, 0x01, 0x66, 0xB8, b'w', b'w', // mov dx, 0x1f0; mov ax, "ww"
    0x66, 0xEF, 0xE2, 0xFC, // again: out dx, ax; loop again
    0x66, 0xBA, 0xF7, 0x01, 0xEC, 0xA8, 0x80, 0x75, 0xFB, // wait until not busy
    0xB0, 0xE7, 0xEE, // FLUSH CACHE
    0xEC, 0xA8, 0x80, 0x75, 0xFB, // wait until not busy
    0xB0, 0x00, 0xE6, 0xF4, // mov al, 0; out 0xf4, al
];

#[test]
fn what_was_written_is_in_the_file() {
    let folder = Folder::new();
    let kernel = folder.kernel(WRITER);
    let before = [[b'-'; 512], [b'-'; 512], [b'-'; 512]].concat();
    let disk = folder.file("disk", &before);
    let read_only = ringside(["boot", &kernel, "--disk", &format!("{disk},ro"), "--hash"]);
    assert_eq!(read_only.status, 1, "{read_only:?}");
    assert_eq!(folder.read("disk").as_bytes(), before);
    let saved = ringside(["boot", &kernel, "--disk", &disk, "--hash"]);
    assert_eq!(saved.hash(), read_only.hash(), "the guest cannot tell");
    let after = [[b'-'; 512], [b'w'; 512], [b'-'; 512]].concat();
    assert_eq!(folder.read("disk").as_bytes(), after);
    assert_ne!(ringside(["boot", &kernel, "--hash", "--max-insns", "2000"]).hash(), saved.hash());
}

#[test]
fn the_file_has_what_was_flushed_when_the_run_is_cut_off() {
    let folder = Folder::new();
    let kernel = folder.kernel(&[&WRITER[..WRITER.len() - 4], LOOP].concat());
    let disk = folder.file("disk", [b'-'; 2048]);
    let outcome = ringside(["boot", &kernel, "--disk", &disk, "--max-insns", "5000"]);
    assert_eq!(outcome.status, 10);
    assert_eq!(&folder.read("disk").as_bytes()[510..514], b"--ww");
}

#[test]
fn bad_images() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let good = folder.file("good", [0; 512]);
    let (empty, odd) = (folder.file("empty", ""), folder.file("odd", [0; 513]));
    let (missing, directory) = (folder.path("missing"), folder.path(""));
    let cases: [(&[&str], &str); 8] = [
        (&["--disk", &missing], "missing"),
        (&["--disk", &directory], "directory"),
        (&["--disk", &empty], "empty"),
        (&["--disk", &odd], "513 bytes"),
        (&["--disk", &format!("{good},rw")], "FILE,ro"),
        (&["--disk", &kernel], "is read in this run"),
        (&["--disk", &format!("{good},ro"), "--post", &good], "is read in this run"),
        (&["--disk", &good, "--post", &good], "is written in this run"),
    ];
    fs::write(&kernel, &[fs::read(&kernel).unwrap(), vec![0; 512]].concat()[..512]).unwrap();
    for (args, part) in cases {
        ringside(["boot", &kernel].iter().chain(args)).assert_refused(part);
    }
    let five = ["--disk"; 5].iter().flat_map(|option| [option, good.as_str()].map(str::to_owned));
    ringside(["boot".to_owned(), kernel.clone()].into_iter().chain(five)).assert_refused("at most 4");
    ringside(["boot", &kernel, "--disk", &good, "--disk", &good]).assert_refused("another program uses");
    assert_eq!(fs::read(&good).unwrap(), [0; 512]);
}
