//! Programs A and B of ring3.s: two address spaces, two thread-local segments, two FPU states, one processor.
//!
//! The kernel runs one until it yields, ends, or the timer comes, then the other. The FPU stays with the program that
//! used it last, and changes hands at the #NM the other one's first use raises.

use crate::ledger::prove as line;
use core::arch::asm;
use guest_kit::at;
use guest_kit::descriptor::{Descriptor, kind, selector};
use guest_kit::hypercall::{load_tls, set_clockevent, task_switched};
use guest_kit::memory::{allocate_frame, peek, poke};
use guest_kit::paging::{AddressSpace, flags, phys_to_virt};
use guest_kit::print;
use guest_kit::ring3::{Context, Page, copy_of};
use guest_kit::trap::{self, Fault, IRQ_BASE, SYSCALL};

const CODE: u32 = 0x0040_0000;
const DATA: u32 = 0x0040_2000;
const STACK: u32 = 0x0040_3000;
/// Offset of the word the program loops on, in its data page.
const RELEASED: u32 = 4;
/// Offset of the first thread-local segment in its program's data page; each program has another one.
const THREAD_LOCAL: u32 = 0x100;
const TIME_SLICE: u32 = 1_000_000;

const DIVIDE_ERROR: u32 = 0;
const FPU_NOT_AVAILABLE: u32 = 7;
const TIMER: u32 = IRQ_BASE;

/// What programs claim: memory, thread-local segment, FPU state, preemption.
const CLAIMS: usize = 4;

/// The FPU's state as FNSAVE writes it.
type FpuState = [u32; 27];

struct Program {
    space: AddressSpace,
    data_frame: u32,
    context: Context,
    tls: [Descriptor; 3],
    fpu: Option<FpuState>,
    on_fault: u32,
    running: bool,
}

impl Program {
    fn new(page: Page, entry_point: u32, letter: u8) -> Self {
        let space = AddressSpace::new();
        let data_frame = allocate_frame();
        space.map(CODE, copy_of(page), flags::USER_CODE);
        space.map(DATA, data_frame, flags::USER_DATA);
        space.map(STACK, allocate_frame(), flags::USER_DATA);
        let local = THREAD_LOCAL * (1 + page as u32);
        poke(phys_to_virt(data_frame + local), u32::from(letter));
        let mut context = Context::new(entry_point, STACK + 0x1000);
        context.gs = u32::from(selector::TLS);
        let tls = [Descriptor::segment(DATA + local, 0xff, kind::DATA, 3), EMPTY, EMPTY];
        Self { space, data_frame, context, tls, fpu: None, on_fault: 0, running: true }
    }
}

const EMPTY: Descriptor = Descriptor { low: 0, high: 0 };

/// What the kernel learned from running both.
#[derive(Default)]
struct Outcome {
    /// How many programs claimed each thing truly.
    claims: [u32; CLAIMS],
    handovers: u32,
    survived_at: Option<u32>,
}

/// Gives proofs 41 to 46.
pub fn prove() {
    let mut programs = [
        Program::new(Page::ProgramA, at!(program_a), b'A'),
        Program::new(Page::ProgramB, at!(program_b), b'B'),
    ];
    trap::unmask(0);
    let outcome = schedule(&mut programs);
    trap::mask(0);
    trap::disable_interrupts();
    // SAFETY: a null selector is always loadable.
    unsafe { asm!("mov gs, {n:x}", n = in(reg) 0u16) };
    AddressSpace::kernel().activate();

    let both = |claim: usize| outcome.claims[claim] == 2;
    line(41, both(0) && programs[0].data_frame != programs[1].data_frame);
    line(42, both(1));
    // A and B before they yield, then each once more: loops and system calls in between cost nothing.
    line(43, outcome.handovers == 4);
    line(44, both(2));
    line(45, both(3));
    line(46, outcome.survived_at == Some(at!(program_b_divides)));
}

/// Runs the programs in turn until both have ended.
fn schedule(programs: &mut [Program; 2]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut fpu_owner = None;
    let mut turn = 0;
    while programs.iter().any(|p| p.running) {
        if programs[turn].running {
            programs[turn].space.activate();
            load_tls(&programs[turn].tls);
            task_switched(fpu_owner != Some(turn));
            while let Next::Same = step(programs, turn, &mut fpu_owner, &mut outcome) {}
        }
        turn = 1 - turn;
    }
    outcome
}

/// Who runs after a trap.
enum Next {
    Same,
    Other,
}

/// Runs a program up to its next trap and answers it.
fn step(programs: &mut [Program; 2], turn: usize, owner: &mut Option<usize>, outcome: &mut Outcome) -> Next {
    let fault = programs[turn].context.run();
    match fault.vector {
        SYSCALL => return system_call(&mut programs[turn], outcome),
        TIMER => {
            trap::count_irq(0);
            poke(phys_to_virt(programs[turn].data_frame + RELEASED), 1);
            return Next::Other;
        }
        FPU_NOT_AVAILABLE => {
            outcome.handovers += 1;
            hand_over_fpu(programs, turn, owner);
        }
        _ => return contain(&mut programs[turn], fault, outcome),
    }
    Next::Same
}

/// A fault: the program goes on where it asked to, or ends.
fn contain(program: &mut Program, fault: Fault, outcome: &mut Outcome) -> Next {
    if fault.vector == DIVIDE_ERROR {
        outcome.survived_at = Some(fault.eip);
    }
    program.context.eip = core::mem::take(&mut program.on_fault);
    program.running = program.context.eip != 0;
    if program.running { Next::Same } else { Next::Other }
}

fn hand_over_fpu(programs: &mut [Program; 2], turn: usize, owner: &mut Option<usize>) {
    task_switched(false);
    if let Some(previous) = *owner {
        let mut state = FpuState::default();
        // SAFETY: FNSAVE writes these 108 bytes; the FPU is ours until the next task_switched(true).
        unsafe { asm!("fnsave [{s}]", s = in(reg) &raw mut state) };
        programs[previous].fpu = Some(state);
    }
    match &programs[turn].fpu {
        // SAFETY: a state FNSAVE wrote.
        Some(state) => unsafe { asm!("frstor [{s}]", s = in(reg) state) },
        // SAFETY: a fresh FPU for a program that never used it.
        None => unsafe { asm!("fninit") },
    }
    *owner = Some(turn);
}

fn system_call(program: &mut Program, outcome: &mut Outcome) -> Next {
    let Context { eax, ebx, ecx, .. } = program.context;
    match eax {
        0 => {
            program.running = false;
            return Next::Other;
        }
        1 => write(ebx, ecx),
        2 => return Next::Other,
        3 => {
            if let Some(claim) = outcome.claims.get_mut(ebx as usize) {
                *claim += ecx;
            }
        }
        4 => {
            poke(phys_to_virt(program.data_frame + RELEASED), 0);
            set_clockevent(TIME_SLICE);
        }
        5 => program.on_fault = ebx,
        // Not a system call: the program's problem.
        _ => {
            program.running = false;
            return Next::Other;
        }
    }
    Next::Same
}

/// Prints a program's text, if it lies in its code page.
fn write(address: u32, length: u32) {
    let mut text = [0; 128];
    let inside = address >= CODE && address + length.min(0x1000) <= DATA && length as usize <= text.len();
    if !inside {
        return;
    }
    for (byte, at) in text.iter_mut().zip(address..address + length) {
        *byte = (peek(at & !3) >> (8 * (at & 3))) as u8;
    }
    print!("{}", core::str::from_utf8(&text[..length as usize]).unwrap_or("(not text)\n"));
}
