//! Walks of a shuffled linked list of 16 Ki nodes, in 512 KiB: each load waits for the one before.

use crate::{Random, mix};

const NODES: usize = 16384;
/// Words of a node: the next one's index, a value, and room.
const NODE: usize = 8;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (order, rest) = arena.split_at_mut(NODES);
    let nodes = &mut rest[..NODES * NODE];
    let mut random = Random::new(6);
    for (n, slot) in order.iter_mut().enumerate() {
        *slot = n as u32;
    }
    for n in (1..NODES).rev() {
        order.swap(n, random.next() as usize % (n + 1));
    }
    for n in 0..NODES {
        let at = order[n] as usize * NODE;
        nodes[at] = order[(n + 1) % NODES] * NODE as u32;
        nodes[at + 1] = random.next();
    }
    let mut sum = 0u32;
    for round in 0..rounds {
        let mut at = 0;
        let mut count = 0;
        loop {
            let value = nodes[at + 1];
            sum = sum.wrapping_add(value ^ count);
            if value & 15 == 0 {
                nodes[at + 2] = nodes[at + 2].wrapping_add(round);
            }
            count += 1;
            at = nodes[at] as usize;
            if at == 0 {
                break;
            }
        }
        sum = mix(sum, count);
    }
    sum
}
