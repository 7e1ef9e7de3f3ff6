//! The 8259A pair against its data sheet.

use super::*;
use proptest::prelude::*;

/// As a PC's firmware leaves it: vectors 0x20 and 0x28, everything unmasked.
fn initialised(icw4: u8) -> PicPair {
    let mut pic = PicPair::default();
    for (port, vector, icw3) in [(0x20, 0x20, 4), (0xA0, 0x28, 2)] {
        pic.write(port, 0x11);
        pic.write(port + 1, vector);
        pic.write(port + 1, icw3);
        pic.write(port + 1, icw4);
        pic.write(port + 1, 0);
    }
    pic
}

fn pulse(pic: &mut PicPair, irq: u8) {
    pic.set_irq(irq, false);
    pic.set_irq(irq, true);
}

#[test]
fn higher_priority_interrupts_lower_but_not_the_reverse() {
    let mut pic = initialised(1);
    pulse(&mut pic, 4);
    assert_eq!(pic.acknowledge(), 0x24);
    pulse(&mut pic, 7);
    assert!(!pic.intr());
    pulse(&mut pic, 0);
    assert_eq!(pic.acknowledge(), 0x20);
    pic.write(0x20, 0x20);
    assert!(!pic.intr(), "level 4 is still in service");
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x27);
}

#[test]
fn slave_interrupts_through_the_cascade() {
    let mut pic = initialised(1);
    pulse(&mut pic, 12);
    pulse(&mut pic, 8);
    assert_eq!(pic.acknowledge(), 0x28);
    assert!(!pic.intr());
    pic.write(0xA0, 0x20);
    assert!(!pic.intr(), "the cascade level is still in service");
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x2C);
}

#[test]
fn special_fully_nested_mode_lets_the_slave_nest() {
    let mut pic = initialised(0x11);
    pulse(&mut pic, 12);
    assert_eq!(pic.acknowledge(), 0x2C);
    pulse(&mut pic, 8);
    assert_eq!(pic.acknowledge(), 0x28);
}

#[test]
fn a_request_that_fell_is_spurious() {
    let mut pic = initialised(1);
    pulse(&mut pic, 3);
    assert!(pic.intr());
    pic.set_irq(3, false);
    assert!(!pic.intr());
    assert_eq!(pic.acknowledge(), 0x27);
    pic.write(0x20, 0x0B);
    assert_eq!(pic.read(0x20), 0, "no in-service bit for a spurious interrupt");
}

#[test]
fn edge_needs_an_edge_and_level_does_not() {
    let mut pic = initialised(1);
    pic.write(0x4D1, 0x08);
    for irq in [5, 11] {
        pic.set_irq(irq, true);
        pic.acknowledge();
        pic.write(0xA0, 0x20);
        pic.write(0x20, 0x20);
        assert_eq!(pic.intr(), irq == 11);
    }
}

#[test]
fn automatic_end_of_interrupt_with_rotation() {
    let mut pic = initialised(3);
    pic.write(0x20, 0x80);
    pulse(&mut pic, 1);
    pulse(&mut pic, 3);
    assert_eq!(pic.acknowledge(), 0x21);
    pulse(&mut pic, 1);
    assert_eq!(pic.acknowledge(), 0x23, "level 1 went to the end of the line");
    assert_eq!(pic.acknowledge(), 0x21);
}

#[test]
fn rotation_and_specific_end_of_interrupt() {
    let mut pic = initialised(1);
    pic.write(0x20, 0xC3);
    pulse(&mut pic, 3);
    pulse(&mut pic, 4);
    assert_eq!(pic.acknowledge(), 0x24);
    pic.write(0x20, 0x64);
    assert_eq!(pic.acknowledge(), 0x23);
    pic.write(0x20, 0xE3);
    pulse(&mut pic, 3);
    pulse(&mut pic, 2 + 2);
    assert_eq!(pic.acknowledge(), 0x24);
}

#[test]
fn special_mask_mode_opens_lower_levels() {
    let mut pic = initialised(1);
    pulse(&mut pic, 3);
    pic.acknowledge();
    pulse(&mut pic, 6);
    pic.write(0x21, 0x08);
    assert!(!pic.intr());
    pic.write(0x20, 0x68);
    assert_eq!(pic.acknowledge(), 0x26);
    pic.write(0x20, 0x20);
    pic.write(0x20, 0x0B);
    assert_eq!(pic.read(0x20), 0x08, "the masked level's bit survives a non-specific EOI");
}

#[test]
fn poll_acknowledges() {
    let mut pic = initialised(1);
    pic.write(0x20, 0x0C);
    assert_eq!(pic.read(0x20), 0);
    pulse(&mut pic, 6);
    pic.write(0x20, 0x0C);
    assert_eq!(pic.read(0x20), 0x86);
    assert!(!pic.intr());
}

#[test]
fn masks_and_what_if() {
    let mut pic = initialised(1);
    pic.write(0xA1, 0x01);
    assert!(!pic.would_interrupt(8));
    assert!(pic.would_interrupt(9));
    pic.write(0x21, 0x04);
    assert!(!pic.would_interrupt(9));
    assert_eq!(pic.read(0x21), 0x04);
    pulse(&mut pic, 9);
    assert!(!pic.intr());
    pic.write(0x21, 0);
    assert_eq!(pic.acknowledge(), 0x29);
}

proptest! {
    #[test]
    fn no_sequence_breaks_it(ops in prop::collection::vec((0u8..4, any::<u16>(), any::<u8>()), 0..200)) {
        let mut pic = PicPair::default();
        for (op, port, value) in ops {
            let port = [0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1][usize::from(port % 6)];
            match op {
                0 => pic.write(port, value),
                1 => { pic.read(port); }
                2 => pic.set_irq(value & 15, value & 16 != 0),
                _ => { pic.acknowledge(); }
            }
            prop_assert_eq!(pic.master.pins & 4 != 0, pic.slave.request().is_some());
        }
    }
}
