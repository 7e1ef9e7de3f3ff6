//! Every way a run can end: exit status and reason.

use crate::rig::{ECHO, Folder, LOOP, ringside, ringside_with};

/// Name, code, options; status, and a part of the reason.
type Case = (&'static str, &'static [u8], &'static [&'static str], i32, &'static str);

#[test]
fn each_ending_has_its_status_and_one_line_of_reason() {
    let cases: [Case; 8] = [
        ("debug exit", &[0xB0, 0x2A, 0xE6, 0xF4], &[], 85, "wrote 0x2a to port 0xF4"),
        ("triple fault", &[0x0F, 0x0B], &[], 4, "triple fault"),
        ("cli; hlt", &[0xFA, 0xF4], &[], 8, "nothing can ever happen again"),
        // mov al, 0FFh; out 21h, al; out 0A1h, al: the timer that firmware leaves running is not heard.
        ("masked; sti; hlt", &[0xB0, 0xFF, 0xE6, 0x21, 0xE6, 0xA1, 0xFB, 0xF4], &[], 8, "ever happen again"),
        ("instructions", LOOP, &["--max-insns", "1234567"], 10, "1234567 instructions"),
        ("no instruction", LOOP, &["--max-insns", "0"], 10, "0 instructions"),
        ("seconds", LOOP, &["--timeout", "0.2"], 10, "0.2 seconds"),
        ("reset", &[0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFE], &["--no-reboot"], 10, "reset"),
    ];
    for (name, code, options, status, reason) in cases {
        let folder = Folder::new();
        let kernel = folder.kernel(code);
        let outcome = ringside([&["boot", &kernel], options].concat());
        assert_eq!(outcome.status, status, "{name}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{name}: {outcome:?}");
        assert!(outcome.stderr.contains(reason), "{name}: {outcome:?}");
    }
}

/// The handler of #UD is an undefined instruction, and its 16-bit stack wraps round: exceptions for ever.
fn handler_that_faults() -> Vec<u8> {
    const AT: u32 = 0x10_0020;
    let word = |n: u32| n.to_le_bytes().to_vec();
    let mut code = [vec![0x0F, 0x01, 0x15], word(AT + 32)].concat(); // lgdt
    code.extend([vec![0x0F, 0x01, 0x1D], word(AT + 40)].concat()); // lidt
    code.extend([0xBC, 0x00, 0x80, 0x00, 0x00]); // mov esp, 0x8000
    code.extend([0x66, 0xB8, 0x10, 0x00, 0x8E, 0xD0]); // mov ax, 0x10; mov ss, ax
    let handler = AT + code.len() as u32;
    code.extend([0x0F, 0x0B]); // ud2
    code.resize(32, 0);
    code.extend([&[0x17, 0][..], &word(AT + 48), &[0; 2], &[0x37, 0], &word(AT + 72), &[0; 2]].concat());
    // Flat code, and data of 64 KiB at 2 MiB.
    code.extend([0, 0x00CF_9B00_0000_FFFF, 0x0000_9320_0000_FFFFu64].iter().flat_map(|d| d.to_le_bytes()));
    code.resize(72 + 6 * 8, 0);
    code.extend([word(0x8_0000 | handler & 0xFFFF), word(handler & 0xFFFF_0000 | 0x8E00)].concat());
    code
}

#[test]
fn exceptions_for_ever_are_an_ending() {
    let folder = Folder::new();
    let kernel = folder.kernel(&handler_that_faults());
    let outcome = ringside(["boot", &kernel]);
    assert_eq!(outcome.status, 8, "{outcome:?}");
    assert!(outcome.stderr.contains("nothing can ever happen again"), "{outcome:?}");
}

#[test]
fn the_limit_of_instructions_is_exact() {
    let folder = Folder::new();
    let kernel = folder.kernel(LOOP);
    let outcome = ringside(["boot", &kernel, "--max-insns", "1234567", "--hash"]);
    assert!(outcome.hash().ends_with(" insns=1234567"), "{outcome:?}");
}

#[test]
fn a_reset_boots_the_image_again() {
    let folder = Folder::new();
    // mov al, 'R'; out 0xe9, al; mov al, 0xfe; out 0x64, al; jmp $
    let kernel = folder.kernel(&[0xB0, b'R', 0xE6, 0xE9, 0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFE]);
    let outcome = ringside(["boot", &kernel, "--max-insns", "10", "--debugcon", "-"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (10, "RRR"), "{outcome:?}");
}

#[test]
fn the_end_of_input_is_not_the_end_of_the_run() {
    let folder = Folder::new();
    let kernel = folder.kernel(ECHO);
    let outcome = ringside_with(["boot", &kernel], b"hello\n");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, "hello\n"), "{outcome:?}");
    let outcome = ringside_with(["boot", &kernel, "--timeout", "3"], b"hello");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (10, "hello"), "{outcome:?}");
}
