//! An interpreter of a small stack machine: a jump table, hard to predict; each round counts Collatz steps.

use crate::mix;
use core::hint::black_box;

#[derive(Clone, Copy)]
enum Op {
    Push(u32),
    Load(u8),
    Store(u8),
    Add,
    Multiply,
    Half,
    IsOdd,
    Less,
    JumpIfZero(u8),
    Jump(u8),
    Increment(u8),
    End,
}

/// a = number, b = steps, c = sum of steps, d = limit: for each number below the limit, the steps down to 1.
const PROGRAM: [Op; 31] = [
    Op::Push(2),
    Op::Store(4),
    // 2: outer
    Op::Load(4),
    Op::Load(3),
    Op::Less,
    Op::JumpIfZero(30),
    Op::Load(4),
    Op::Store(0),
    // 8: inner
    Op::Push(1),
    Op::Load(0),
    Op::Less,
    Op::JumpIfZero(28),
    Op::Load(0),
    Op::IsOdd,
    Op::JumpIfZero(22),
    Op::Load(0),
    Op::Push(3),
    Op::Multiply,
    Op::Push(1),
    Op::Add,
    Op::Store(0),
    Op::Jump(25),
    // 22: even
    Op::Load(0),
    Op::Half,
    Op::Store(0),
    // 25: counted
    Op::Increment(1),
    Op::Increment(2),
    Op::Jump(8),
    // 28: reached 1
    Op::Increment(4),
    Op::Jump(2),
    Op::End,
];

pub fn run(_: &mut [u32], rounds: u32) -> u32 {
    let mut sum = 0;
    for round in 0..rounds {
        sum = mix(sum, interpret(black_box(&PROGRAM), 2000 + round % 64));
    }
    sum
}

#[inline(never)]
fn interpret(program: &[Op], limit: u32) -> u32 {
    let mut stack = [0u32; 16];
    let mut variables = [0, 0, 0, limit, 0, 0, 0, 0];
    let (mut sp, mut pc) = (0usize, 0usize);
    loop {
        let op = program[pc];
        pc += 1;
        match op {
            Op::Push(value) => {
                stack[sp & 15] = value;
                sp += 1;
            }
            Op::Load(n) => {
                stack[sp & 15] = variables[n as usize & 7];
                sp += 1;
            }
            Op::Store(n) => {
                sp -= 1;
                variables[n as usize & 7] = stack[sp & 15];
            }
            Op::Add => {
                sp -= 1;
                stack[sp - 1 & 15] = stack[sp - 1 & 15].wrapping_add(stack[sp & 15]);
            }
            Op::Multiply => {
                sp -= 1;
                stack[sp - 1 & 15] = stack[sp - 1 & 15].wrapping_mul(stack[sp & 15]);
            }
            Op::Half => stack[sp - 1 & 15] >>= 1,
            Op::IsOdd => stack[sp - 1 & 15] &= 1,
            Op::Less => {
                sp -= 1;
                stack[sp - 1 & 15] = u32::from(stack[sp - 1 & 15] < stack[sp & 15]);
            }
            Op::JumpIfZero(target) => {
                sp -= 1;
                if stack[sp & 15] == 0 {
                    pc = target as usize;
                }
            }
            Op::Jump(target) => pc = target as usize,
            Op::Increment(n) => {
                let variable = &mut variables[n as usize & 7];
                *variable = variable.wrapping_add(1);
            }
            Op::End => return variables[2],
        }
    }
}
