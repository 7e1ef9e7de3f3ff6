//! Products of 1024-bit numbers, schoolbook: 32 x 32 to 64 bit multiplication, addition with carry.

use crate::{Random, mix};

const LIMBS: usize = 32;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (a, rest) = arena.split_at_mut(LIMBS);
    let (b, rest) = rest.split_at_mut(LIMBS);
    let product = &mut rest[..2 * LIMBS];
    let mut random = Random::new(10);
    a.fill_with(|| random.next());
    b.fill_with(|| random.next());
    for _ in 0..rounds * 16 {
        multiply(a, b, product);
        // The product's halves, added, are the next factor.
        let mut carry = 0;
        for (n, limb) in a.iter_mut().enumerate() {
            let sum = u64::from(product[n]) + u64::from(product[n + LIMBS]) + carry;
            *limb = sum as u32;
            carry = sum >> 32;
        }
        a[0] |= 1;
    }
    a.iter().fold(0, |sum, &limb| mix(sum, limb))
}

#[inline(never)]
fn multiply(a: &[u32], b: &[u32], product: &mut [u32]) {
    product.fill(0);
    for (n, &x) in a.iter().enumerate() {
        let mut carry = 0;
        for (limb, &y) in product[n..].iter_mut().zip(b) {
            let sum = u64::from(x) * u64::from(y) + u64::from(*limb) + carry;
            *limb = sum as u32;
            carry = sum >> 32;
        }
        product[n + b.len()] = carry as u32;
    }
}
