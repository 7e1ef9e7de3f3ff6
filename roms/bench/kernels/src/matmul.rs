//! Product of two 96 x 96 integer matrices: loads with two strides, multiply and add.

use crate::{Random, mix};

const N: usize = 96;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (a, rest) = arena.split_at_mut(N * N);
    let (b, rest) = rest.split_at_mut(N * N);
    let c = &mut rest[..N * N];
    let mut random = Random::new(4);
    a.fill_with(|| random.next());
    b.fill_with(|| random.next());
    let mut sum = 0;
    for round in 0..rounds {
        for i in 0..N {
            for j in 0..N {
                let row = &a[i * N..][..N];
                let column = b[j..].iter().step_by(N);
                let dot = row.iter().zip(column).fold(round, |s, (x, y)| s.wrapping_add(x.wrapping_mul(*y)));
                c[i * N + j] = dot;
            }
        }
        a[round as usize % (N * N)] ^= c[round as usize * 7 % (N * N)];
        sum = c.iter().step_by(31).fold(sum, |sum, &x| mix(sum, x));
    }
    sum
}
