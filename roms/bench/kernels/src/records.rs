//! What system programs do, in the manner of Dhrystone: record copies, small functions, short string comparisons,
//! enumerations, two-dimensional arrays.

use crate::mix;
use core::hint::black_box;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Red,
    Green,
    Blue,
}

#[derive(Clone, Copy)]
struct Record {
    next: u32,
    colour: Colour,
    number: u32,
    name: [u8; 24],
}

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let table = &mut arena[..32 * 32];
    table.fill(1);
    let mut one = Record { next: 0, colour: Colour::Green, number: 10, name: *b"a record of twenty-four." };
    let mut two = Record { name: *b"a record of twenty-fore.", ..one };
    let mut sum = 0;
    for round in 0..rounds {
        exchange(&mut one, &mut two, round);
        if later(&one.name, &two.name) {
            one.colour = turn(one.colour, round);
        }
        sum = mix(sum, fill(table, round % 30, one.number));
        sum ^= one.colour as u32;
        two.number = two.number.wrapping_add(sum & 7);
    }
    mix(sum, one.next ^ two.number)
}

#[inline(never)]
fn exchange(one: &mut Record, two: &mut Record, round: u32) {
    let saved = *one;
    *one = *black_box(&*two);
    one.number = one.number.wrapping_add(saved.number & 0xFF);
    one.next = round;
    if one.colour == Colour::Red {
        two.number = saved.number;
    } else {
        *two = saved;
    }
    two.name[23] = b'.' + (round & 1) as u8;
}

#[inline(never)]
fn later(a: &[u8; 24], b: &[u8; 24]) -> bool {
    let mut n = 0;
    while n < 24 && a[n] == b[n] {
        n += 1;
    }
    n == 24 || a[n] > b[n]
}

#[inline(never)]
fn turn(colour: Colour, round: u32) -> Colour {
    match (colour, black_box(round) & 3) {
        (Colour::Red, 0 | 1) => Colour::Green,
        (Colour::Green, 1 | 2) => Colour::Blue,
        (Colour::Blue, 2 | 3) => Colour::Red,
        (same, _) => same,
    }
}

#[inline(never)]
fn fill(table: &mut [u32], row: u32, value: u32) -> u32 {
    let at = (row * 32) as usize;
    table[at] = value;
    table[at + 1] = table[at].wrapping_add(row);
    for column in 2..6 {
        table[at + column] = table[at + column - 1] ^ table[at + column - 2];
    }
    table[at + 32] = table[at + 5] / 3;
    table[at + 32]
}
