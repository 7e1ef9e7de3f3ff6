//! Whatever is wrong with files and options ends in one line and status 2, and leaves existing files alone.

use crate::rig::{Folder, LOOP, ringside, rom};
use std::fs;

#[test]
fn images() {
    let folder = Folder::new();
    let garbage = folder.file("garbage", [0x5A; 5000]);
    let empty = folder.file("empty", "");
    let guest = fs::read(rom("first-guest.elf")).unwrap();
    let host = fs::read(rom("lguest-host.elf")).unwrap();
    let short_guest = folder.file("short-guest", &guest[..guest.len() / 3]);
    let short_host = folder.file("short-host", &host[..host.len() / 3]);
    let folder_path = folder.path("");
    let missing = folder.path("missing");
    let good = folder.kernel(LOOP);
    let bare_linux =
        folder.file("bare-linux", [guest_without_name(&guest).as_slice(), b"Linux version 4.9"].concat());
    let large = folder.file("large", vec![0x5A; 2 << 20]);
    let linux64 = folder.file("linux64", bzimage64());
    let cases: [(&[&str], &str); 20] = [
        (&["run", &bare_linux], "without CONFIG_LGUEST_GUEST"),
        (&["run", &linux64], "a 64-bit kernel"),
        (&["run", &rom("first-guest.elf"), "--append", "mem=32M"], "mem=32M"),
        (&["run", &rom("first-guest.elf"), "--mem", "2", "--initrd", &large], "behind the kernel"),
        (&["boot", &missing], "missing"),
        (&["boot", &empty], "empty"),
        (&["boot", &garbage], "neither a multiboot kernel"),
        (&["boot", &folder_path], "directory"),
        (&["boot", &short_host], "ELF"),
        (&["boot", "--bios", &empty], "empty"),
        (&["boot", "--bios", &missing], "missing"),
        (&["boot", &good, "--initrd", &missing], "missing"),
        (&["boot", &good, "--input", &missing], "missing"),
        (&["run", &missing], "missing"),
        (&["run", &empty], "empty"),
        (&["run", &garbage], "not a Guest"),
        (&["run", &folder_path], "directory"),
        (&["run", &short_guest], "ELF"),
        (&["run", "--host", &garbage], "not a multiboot kernel"),
        (&["run", "--initrd", &rom("first-guest.elf")], "not an initial RAM disk"),
    ];
    for (args, part) in cases {
        ringside(args).assert_refused(part);
    }
}

/// A Guest's image in which nothing says for which Host it was made.
fn guest_without_name(guest: &[u8]) -> Vec<u8> {
    let mut image = guest.to_vec();
    while let Some(at) = image.windows(6).position(|w| w == b"lguest") {
        image[at] = b'x';
    }
    image
}

/// The setup header of a 64-bit kernel, boot protocol 2.12, and a sector of kernel.
fn bzimage64() -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1FE..0x206].copy_from_slice(b"\x55\xAA\xEB\x66HdrS");
    image[0x206..0x208].copy_from_slice(&[0x0C, 0x02]);
    image[0x211] = 1;
    image[0x236] = 1;
    image.resize(6 * 512, 0);
    image
}

#[test]
fn sizes() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let module = folder.file("module", vec![1; 3 << 20]);
    let large_rom = folder.file("rom", vec![0x90; (256 << 10) + 1]);
    let cut_rom = folder.file("cut", vec![0x90; 100_000]);
    let blank_rom = folder.file("blank", vec![0; 0x1_0000]);
    let good_rom = folder.file("good", vec![0xF4; 0x1_0000]);
    let cut_option_rom = folder.file("option", vec![0x55, 0xAA, 2]);
    let guest = rom("first-guest.elf");
    let cases: [(&[&str], &str); 13] = [
        (&["boot", &kernel, "--mem", "0"], "--mem"),
        (&["boot", &kernel, "--mem", "3073"], "--mem"),
        (&["boot", &kernel, "--mem", "18446744073709551615"], "--mem"),
        (&["boot", &kernel, "--mem", "1"], "RAM"),
        (&["boot", &kernel, "--mem", "4", "--initrd", &module], "does not fit"),
        (&["boot", "--bios", &large_rom], "256 KiB"),
        (&["boot", "--bios", &cut_rom], "is it truncated?"),
        (&["boot", "--bios", &blank_rom], "where the processor starts"),
        (
            &["boot", "--bios", &good_rom, "--vga-bios", &cut_option_rom],
            "shorter than the length in its header",
        ),
        (&["boot", "--bios", &good_rom, "--vga-bios", &large_rom], "not an option ROM"),
        (&["run", "--mem", "0"], "--mem"),
        (&["run", "--mem", "99999999999999999999"], "--mem"),
        (&["run", &guest, &guest, "--mem", "3000"], "--mem"),
    ];
    for (args, part) in cases {
        ringside(args).assert_refused(part);
    }
}

#[test]
fn options() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let cases: [(&[&str], &str); 12] = [
        (&["boot"], "ringside help"),
        (&["boot", &kernel, "--no-such-option"], "--no-such-option"),
        (&["boot", &kernel, "--timeout", "-1"], "--timeout"),
        (&["boot", &kernel, "--timeout", "nan"], "--timeout"),
        (&["boot", &kernel, "--max-insns", "many"], "--max-insns"),
        (&["boot", &kernel, "--rtc", "tomorrow"], "--rtc"),
        (&["boot", &kernel, "--engine", "warp"], "--engine"),
        (&["boot", "--bios", &kernel, &kernel], "--bios"),
        (&["boot", &kernel, "--input", &kernel, "--script", &kernel], "--input"),
        (&["boot", &kernel, "--trace", &folder.path("")], "cannot write"),
        (&["run", "--guests", "0"], "--guests"),
        (&["run", "--guests", "2", &rom("first-guest.elf"), &rom("first-guest.elf")], "--guests"),
    ];
    for (args, part) in cases {
        ringside(args).assert_refused(part);
    }
}

#[test]
fn what_later_versions_have_says_so() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let cases: [&[&str]; 4] = [
        &["--gdb"],
        &["boot", &kernel, "--gdb", "localhost:1234"],
        &["boot", &kernel, "--record", "x"],
        &["replay", "x", "--stats"],
    ];
    for args in cases {
        ringside(args).assert_refused("not in this version yet");
    }
}

#[test]
fn scripts() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let script = folder.file("script", "# fine\nexpect x\nsay y\n");
    ringside(["boot", &kernel, "--script", &script]).assert_refused(":3: `say`");
    let script = folder.file("script", [0xFF; 100]);
    ringside(["boot", &kernel, "--script", &script]).assert_refused("not a script");
}

#[test]
fn a_run_that_is_refused_leaves_files_alone() {
    let folder = Folder::new();
    let garbage = folder.file("garbage", [0x5A; 5000]);
    let precious = folder.file("precious", "precious");
    for option in ["--console", "--trace", "--host-log", "--debugcon", "--post", "--screen"] {
        ringside(["boot", &garbage, option, &precious]).assert_refused("neither");
        assert_eq!(folder.read("precious"), "precious", "{option}");
    }
}

#[test]
fn outputs_do_not_overwrite_inputs_or_each_other() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let (module, new) = (folder.file("module", "module"), folder.path("new"));
    let initrd = format!("{module} arguments");
    ringside(["boot", &kernel, "--trace", &kernel]).assert_refused("--trace");
    ringside(["boot", &kernel, "--initrd", &initrd, "--screen", &module]).assert_refused("is read");
    ringside(["boot", &kernel, "--post", &new, "--trace", &new]).assert_refused("is written");
    assert_eq!(folder.read("module"), "module");
}
