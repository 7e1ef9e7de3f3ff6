//! Doubles on the x87 (an i586 has nothing else): the Mandelbrot set, a small n-body system with square roots, and
//! conversions.

use crate::mix;
use core::arch::asm;

const SIDE: i32 = 64;
const BODIES: usize = 5;

pub fn run(_: &mut [u32], rounds: u32) -> u32 {
    let mut bodies = system();
    let mut sum = 0;
    for round in 0..rounds {
        for y in 0..SIDE {
            for x in 0..SIDE {
                sum = mix(sum, escape(place(x) - 0.5, place(y) + f64::from(round) / 4096.0));
            }
        }
        for _ in 0..1000 {
            advance(&mut bodies, 0.01);
        }
        let bits = bodies[0].place[0].to_bits();
        sum = mix(sum, bits as u32 ^ (bits >> 32) as u32);
    }
    sum
}

fn place(n: i32) -> f64 {
    f64::from(2 * n - SIDE) * 1.25 / f64::from(SIDE)
}

#[inline(never)]
fn escape(cx: f64, cy: f64) -> u32 {
    let (mut x, mut y) = (0.0, 0.0);
    for n in 0..50 {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return n;
        }
        (x, y) = (xx - yy + cx, 2.0 * x * y + cy);
    }
    50
}

#[derive(Clone, Copy)]
struct Body {
    place: [f64; 3],
    speed: [f64; 3],
    mass: f64,
}

fn system() -> [Body; BODIES] {
    core::array::from_fn(|n| {
        let n = n as f64;
        Body { place: [n * 3.0, 1.0 - n, n * 0.5], speed: [0.1, n * 0.125, -0.25], mass: 1.0 + n }
    })
}

#[inline(never)]
fn advance(bodies: &mut [Body; BODIES], time: f64) {
    for i in 0..BODIES {
        for j in i + 1..BODIES {
            let (a, b) = (bodies[i], bodies[j]);
            let d: [f64; 3] = core::array::from_fn(|k| a.place[k] - b.place[k]);
            let square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + 0.01;
            let force = time / (square * square_root(square));
            for k in 0..3 {
                bodies[i].speed[k] -= d[k] * b.mass * force;
                bodies[j].speed[k] += d[k] * a.mass * force;
            }
        }
    }
    for body in bodies {
        for k in 0..3 {
            body.place[k] += body.speed[k] * time;
        }
    }
}

fn square_root(x: f64) -> f64 {
    let mut root = x;
    // SAFETY: reads and writes one double, and leaves the register stack as it was.
    unsafe {
        asm!("fld qword ptr [{r}]", "fsqrt", "fstp qword ptr [{r}]", r = in(reg) &mut root,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _, out("st(4)") _, out("st(5)") _,
            out("st(6)") _, out("st(7)") _, options(nostack));
    }
    root
}
