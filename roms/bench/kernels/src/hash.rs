//! An open-addressing hash table: insert, find, remove 16 Ki keys.

use crate::{Random, mix};

const SLOTS: usize = 32768;
const KEYS: u32 = 16384;
const EMPTY: u32 = 0;
const REMOVED: u32 = 1;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let mut table = Table { slots: &mut arena[..2 * SLOTS] };
    let mut sum = 0;
    for round in 0..rounds {
        table.slots.fill(EMPTY);
        let mut random = Random::new(7 + 2 * round);
        for n in 0..KEYS {
            table.insert(random.next() | 2, n);
        }
        let mut random = Random::new(7 + 2 * round);
        for n in 0..KEYS {
            let key = random.next() | 2;
            if n % 3 == 0 {
                sum = mix(sum, u32::from(table.remove(key)));
            }
            // A key that is there, and most likely one that is not.
            sum = sum.wrapping_add(table.find(key).unwrap_or(n));
            sum = sum.wrapping_add(table.find(key ^ 0x5555_0000).unwrap_or(round));
        }
        sum = mix(sum, round);
    }
    sum
}

struct Table<'a> {
    slots: &'a mut [u32],
}

impl Table<'_> {
    fn insert(&mut self, key: u32, value: u32) {
        let mut at = start(key);
        while self.slots[at] > REMOVED && self.slots[at] != key {
            at = next(at);
        }
        self.slots[at] = key;
        self.slots[at + 1] = value;
    }

    fn position(&self, key: u32) -> Option<usize> {
        let mut at = start(key);
        loop {
            match self.slots[at] {
                EMPTY => return None,
                found if found == key => return Some(at),
                _ => at = next(at),
            }
        }
    }

    fn find(&self, key: u32) -> Option<u32> {
        Some(self.slots[self.position(key)? + 1])
    }

    fn remove(&mut self, key: u32) -> bool {
        let Some(at) = self.position(key) else { return false };
        self.slots[at] = REMOVED;
        true
    }
}

fn start(key: u32) -> usize {
    2 * (key.wrapping_mul(0x9E37_79B1) >> 17) as usize
}

fn next(at: usize) -> usize {
    (at + 2) % (2 * SLOTS)
}
