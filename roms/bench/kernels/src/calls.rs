//! Fibonacci and Ackermann numbers by their definitions: little but calls, returns and the stack.

use crate::mix;
use core::hint::black_box;

pub fn run(_: &mut [u32], rounds: u32) -> u32 {
    let mut sum = 0;
    for round in 0..rounds {
        sum = mix(sum, fibonacci(black_box(27)) + round);
        sum = mix(sum, ackermann(black_box(2), black_box(300)));
    }
    sum
}

#[inline(never)]
fn fibonacci(n: u32) -> u32 {
    if n < 2 { n } else { black_box(fibonacci(n - 1)) + black_box(fibonacci(n - 2)) }
}

#[inline(never)]
fn ackermann(m: u32, n: u32) -> u32 {
    match (m, n) {
        (0, n) => n + 1,
        (m, 0) => black_box(ackermann(m - 1, 1)),
        (m, n) => black_box(ackermann(m - 1, black_box(ackermann(m, n - 1)))),
    }
}
