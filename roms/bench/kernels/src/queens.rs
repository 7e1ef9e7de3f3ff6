//! Placements of ten queens by bit sets: deep recursion, branches on data.

use crate::mix;
use core::hint::black_box;

const N: u32 = 10;

pub fn run(_: &mut [u32], rounds: u32) -> u32 {
    (0..rounds).fold(0, |sum, round| mix(sum, place(black_box((1 << N) - 1), 0, 0, 0) ^ round))
}

/// Ways to fill the rows left, given the columns and diagonals attacked.
#[inline(never)]
fn place(board: u32, columns: u32, left: u32, right: u32) -> u32 {
    if columns == board {
        return 1;
    }
    let mut free = board & !(columns | left | right);
    let mut ways = 0;
    while free != 0 {
        let queen = free & free.wrapping_neg();
        free ^= queen;
        ways += place(board, columns | queen, (left | queen) << 1, (right | queen) >> 1);
    }
    ways
}
