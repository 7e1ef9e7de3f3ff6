//! The interrupt services that firmware leaves behind: vectors, handlers of the hardware's interrupts, and a timer
//! that runs (PC/AT Technical Reference, "ROM BIOS": the handlers are at the addresses it gives them).
//!
//! A kernel that starts in real mode, or goes back to it, may halt until the next tick of the clock, as on any PC. There are
//! no services to call: every software interrupt returns at once.

use crate::memory_map::write_rom;
use cpu::bus::{BusContext, Width};

/// Segment of the handlers.
const SEGMENT: u16 = 0xF000;
/// First vectors of the two interrupt controllers.
const MASTER_VECTORS: u16 = 0x08;
const SLAVE_VECTORS: u16 = 0x70;

/// A handler: its offset in [`SEGMENT`] and its code.
struct Handler {
    offset: u16,
    code: &'static [u8],
}

/// INT 8: count the tick in the BIOS data area, tell whoever hooked INT 1C.
const TIMER: Handler = Handler {
    offset: 0xFEA5,
    code: &[
        0x50, // push ax
        0x1E, // push ds
        0xB8, 0x40, 0x00, // mov ax, 40h
        0x8E, 0xD8, // mov ds, ax
        0x66, 0xFF, 0x06, 0x6C, 0x00, // inc dword [6Ch]
        0xCD, 0x1C, // int 1Ch
        0xB0, 0x20, // mov al, 20h
        0xE6, 0x20, // out 20h, al
        0x1F, // pop ds
        0x58, // pop ax
        0xCF, // iret
    ],
};
/// Any other interrupt of the master: end it.
const MASTER: Handler = Handler {
    offset: 0xFF23,
    code: &[
        0x50, // push ax
        0xB0, 0x20, // mov al, 20h
        0xE6, 0x20, // out 20h, al
        0x58, // pop ax
        0xCF, // iret
    ],
};
/// Any interrupt of the slave: end it at both controllers.
const SLAVE: Handler = Handler {
    offset: 0xFF33,
    code: &[
        0x50, // push ax
        0xB0, 0x20, // mov al, 20h
        0xE6, 0xA0, // out 0A0h, al
        0xE6, 0x20, // out 20h, al
        0x58, // pop ax
        0xCF, // iret
    ],
};
/// Everything else.
const NOTHING: Handler = Handler { offset: 0xFF53, code: &[0xCF] };

/// Interrupt controllers and timer: port and value. The controllers let the timer and the slave through; the timer counts
/// 65536 periods of its clock, 18.2 times a second.
pub const PORTS: [(u16, Width, u32); 13] = [
    (0x20, Width::Byte, 0x11),
    (0x21, Width::Byte, MASTER_VECTORS as u32),
    (0x21, Width::Byte, 0x04),
    (0x21, Width::Byte, 0x01),
    (0x21, Width::Byte, 0xFA),
    (0xA0, Width::Byte, 0x11),
    (0xA1, Width::Byte, SLAVE_VECTORS as u32),
    (0xA1, Width::Byte, 0x02),
    (0xA1, Width::Byte, 0x01),
    (0xA1, Width::Byte, 0xFF),
    (0x43, Width::Byte, 0x34),
    (0x40, Width::Byte, 0),
    (0x40, Width::Byte, 0),
];

/// Which handler serves `vector`.
fn handler(vector: u16) -> &'static Handler {
    match vector {
        MASTER_VECTORS => &TIMER,
        0x09..=0x0F => &MASTER,
        0x70..=0x77 => &SLAVE,
        _ => &NOTHING,
    }
}

/// Put vectors and handlers into memory.
pub fn install(cx: &mut BusContext<'_>) {
    for Handler { offset, code } in [&TIMER, &MASTER, &SLAVE, &NOTHING] {
        let stored = write_rom(cx.mem, (u64::from(SEGMENT) << 4) + u64::from(*offset), code);
        debug_assert!(stored, "it is in the ROM");
    }
    for vector in 0..=0xFF {
        let [low, high] = handler(vector).offset.to_le_bytes();
        let [segment_low, segment_high] = SEGMENT.to_le_bytes();
        cx.mem.write_bytes(4 * u64::from(vector), &[low, high, segment_low, segment_high]);
    }
}

#[cfg(test)]
mod tests {
    use crate::boot::firmware;
    use crate::machine::{Config, Machine, Until};

    #[test]
    fn the_timer_ticks_for_a_halted_program_in_real_mode() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        firmware::set_up(&mut machine);
        // again: sti; hlt; jmp again
        machine.with_chipset(|_, cx| cx.mem.write_bytes(0x7C00, &[0xFB, 0xF4, 0xEB, 0xFC]));
        // The processor is as after RESET; the jump of a real PC's reset vector is ours to make.
        machine.cpu.regs.seg[cpu::seg::SegReg::Cs as usize] = cpu::seg::Segment::new(0, 0, 0xFFFF, 0x9B00);
        machine.cpu.regs.eip = 0x7C00;
        machine.cpu.regs.gpr[cpu::regs::gpr::ESP] = 0x7000;
        machine.cpu.state_changed();
        machine.run(Until { insns: u64::MAX, vtime: 1_000_000_000 });
        assert_eq!(machine.cpu.mem.slice(0x46C, 4), Some(&[18, 0, 0, 0][..]), "18.2 ticks a second");
    }
}
