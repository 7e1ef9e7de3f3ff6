//! Greatest common divisors, by division and by shifts; numbers to decimal and back: DIV, MUL, hard branches.

use crate::{Random, mix};

pub fn run(_: &mut [u32], rounds: u32) -> u32 {
    let mut random = Random::new(11);
    let mut sum = 0;
    for _ in 0..rounds * 256 {
        let (a, b) = (random.next(), random.next() >> 4 | 1);
        let by_division = euclid(a, b);
        sum = mix(sum, by_division ^ binary(a, b));
        let mut digits = [0; 10];
        let count = to_decimal(a, &mut digits);
        sum = sum.wrapping_add(from_decimal(&digits[..count]) ^ count as u32);
    }
    sum
}

#[inline(never)]
fn euclid(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[inline(never)]
fn binary(mut a: u32, mut b: u32) -> u32 {
    let mut twos = 0;
    while (a | b) & 1 == 0 && a | b != 0 {
        a >>= 1;
        b >>= 1;
        twos += 1;
    }
    while a != 0 {
        while a & 1 == 0 {
            a >>= 1;
        }
        while b & 1 == 0 {
            b >>= 1;
        }
        if a >= b { a -= b } else { b -= a }
    }
    b << twos
}

#[inline(never)]
fn to_decimal(mut n: u32, digits: &mut [u8; 10]) -> usize {
    let mut count = 0;
    loop {
        digits[count] = b'0' + (n % 10) as u8;
        count += 1;
        n /= 10;
        if n == 0 {
            return count;
        }
    }
}

#[inline(never)]
fn from_decimal(digits: &[u8]) -> u32 {
    digits.iter().rev().fold(0, |n: u32, &d| n.wrapping_mul(10).wrapping_add(u32::from(d - b'0')))
}
