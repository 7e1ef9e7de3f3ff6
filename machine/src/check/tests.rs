//! A pair of alikes stays alike; a pair of which one has a defect is found out, at the instruction.

use super::{Injection, Mode, Pair};
use crate::inputs::{Input, Stamp};
use crate::machine::{Config, Machine, MachineExit, Until};
use cpu::Mutant;
use cpu::flags;
use cpu::regs::{cr0, gpr};
use cpu::seg::Segment;

const CODE: u32 = 0x1000;

/// A 32-bit machine without paging, at ring 0, with `code` at [`CODE`].
fn machine(code: &[u8]) -> Machine {
    let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).expect("1 MiB");
    let cpu = &mut machine.cpu;
    assert!(cpu.mem.write_bytes(u64::from(CODE), code));
    for (n, segment) in cpu.regs.seg.iter_mut().enumerate() {
        let kind = if n == 1 { 0x00C0_9B00 } else { 0x00C0_9300 };
        *segment = Segment::new(8, 0, u32::MAX, kind);
    }
    cpu.regs.cr0 |= cr0::PE;
    cpu.regs.eip = CODE;
    cpu.regs.gpr[gpr::ESP] = 0x8000;
    cpu.state_changed();
    machine
}

/// Counts in EAX and in memory: add dword [0x3000], 1; inc eax; jmp back.
const COUNTER: &[u8] = &[0x83, 0x05, 0x00, 0x30, 0x00, 0x00, 0x01, 0x40, 0xEB, 0xF6];
const MODES: [Mode; 2] = [Mode::Lockstep, Mode::Random(Injection { seed: 1, time: true, nmi: false })];

#[test]
fn alikes_stay_alike_and_at_the_exact_count() {
    for mode in MODES {
        let mut pair = Pair::new(machine(COUNTER), machine(COUNTER), mode).expect("alike");
        pair.reference.inputs.add(Stamp { insns: 777, vtime: 0 }, Input::Keys(vec![0x1E]));
        for limit in [1, 1000, 500_000] {
            assert_eq!(pair.run(Until::insns(limit)).ok(), Some(MachineExit::Limit), "{mode:?}");
            assert_eq!(pair.reference.now().insns, limit);
        }
        let stats = pair.stats();
        assert!(stats.insns == 500_000 && stats.full > 1, "{mode:?}: {stats:?}");
    }
}

/// Something the subject does otherwise is found, wherever it hides.
#[test]
fn a_defect_is_found_at_its_instruction() {
    type Sabotage = fn(&mut Machine);
    let sabotages: [(&str, Sabotage); 5] = [
        ("EAX", |m| m.cpu.regs.gpr[gpr::EAX] ^= 1),
        ("memory at 0x3001", |m| {
            m.cpu.with_bus(|_, cx| cx.mem.write_bytes(0x3001, &[1]));
        }),
        ("EFLAGS", |m| m.cpu.regs.flags.put(flags::DF, true)),
        ("devices", |m| m.with_chipset(|chipset, _| chipset.devices.checkpoint ^= 1)),
        ("x87", |m| m.cpu.fpu.control ^= 1),
    ];
    for mode in MODES {
        for (what, sabotage) in sabotages {
            let mut pair = Pair::new(machine(COUNTER), machine(COUNTER), mode).expect("alike");
            pair.run(Until::insns(300_000)).expect("nothing has happened yet");
            sabotage(&mut pair.subject);
            let found = pair.run(Until::insns(900_000)).expect_err(what);
            assert!(found.differences.iter().any(|d| d.what.starts_with(what)), "{mode:?} {what}: {found}");
            // It came from nowhere, so it does not come again.
            assert!(!found.reproduced && found.same_at.insns >= 300_000, "{mode:?} {what}: {found}");
        }
    }
}

#[test]
fn a_defect_of_an_instruction_is_named_exactly() {
    // Ten thousand rounds of the counter, then DIV by zero, which the mutant reports at the wrong address.
    let mut code = vec![0x83, 0x05, 0x00, 0x30, 0x00, 0x00, 0x01, 0x40];
    code.extend([0x3D, 0x10, 0x27, 0x00, 0x00, 0x75, 0xF1]); // cmp eax, 10000; jnz start
    code.extend([0xF7, 0xF1, 0xF4]); // div ecx (0); hlt
    let build = |mutant| {
        let mut machine = machine(&code);
        // A divide error goes to a HLT with a flat IDT entry; the frame tells where it happened.
        let gate = [0x00, 0x20, 0x08, 0x00, 0x00, 0x8E, 0x00, 0x00];
        let gdt = [0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0x9B, 0xCF, 0];
        assert!(machine.cpu.mem.write_bytes(0x4000, &gate) && machine.cpu.mem.write_bytes(0x5000, &gdt));
        assert!(machine.cpu.mem.write_bytes(0x2000, &[0xF4]));
        machine.cpu.regs.idtr.base = 0x4000;
        machine.cpu.regs.gdtr.base = 0x5000;
        machine.cpu.mutant = mutant;
        machine
    };
    for mode in MODES {
        let mut pair = Pair::new(build(None), build(Some(Mutant::DivideErrorAfter)), mode).expect("alike");
        let found = loop {
            match pair.run(Until::insns(1_000_000)) {
                Ok(MachineExit::Limit) => {}
                Ok(exit) => panic!("{mode:?}: not found, {exit:?}"),
                Err(found) => break found,
            }
        };
        // Forty thousand instructions; the one after them faults, and the handler's HLT is number 40,001.
        assert!(found.reproduced, "{found}");
        assert_eq!((found.same_at.insns, found.differ_at.insns), (40_000, 40_001), "{mode:?}: {found}");
        assert_eq!(found.place.1, CODE + 15, "{found}");
        assert_eq!(found.code[..2], [0xF7, 0xF1]);
        assert!(found.to_string().contains("memory at"), "{found}");
    }
}

#[test]
fn machines_that_differ_from_the_start_are_no_pair() {
    let mut other = machine(COUNTER);
    other.cpu.regs.gpr[gpr::EDI] = 1;
    let refused = Pair::new(machine(COUNTER), other, Mode::Lockstep).err().expect("they differ");
    assert!(refused.to_string().contains("EDI"), "{refused}");
}
