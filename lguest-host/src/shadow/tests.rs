//! Tests of the shadow against tables of both formats.

use super::*;
use crate::death::Category;
use std::vec;
use std::vec::Vec;

const KERNEL: u32 = 0x8000_0000;
const DIRECTORY: u32 = 0x1000;
const TABLE: u32 = 0x2000;
const MIDDLE: u32 = 0x3000;
const FAULT_PRESENT: u32 = 1;
const FAULT_WRITE: u32 = 2;
const FAULT_USER: u32 = 4;
const RW: u32 = bits::PRESENT | bits::WRITABLE;

/// Aligned as a Guest's memory is: a frame's address has no bits of flags.
#[repr(align(4096))]
#[derive(Clone)]
struct Page(#[allow(dead_code)] [u64; 512]);

struct Rig {
    _frames: Vec<u64>,
    _bytes: Vec<Page>,
    ram: GuestRam,
    shadow: Shadow,
}

/// 64 KiB of RAM and a shadow in linear mode.
fn linear() -> Rig {
    let mut frames = vec![0u64; 32 * 512];
    let mut bytes = vec![Page([0; 512]); 16];
    // SAFETY: both vectors live in the rig and are used through these values only.
    let (pool, ram) = unsafe {
        (
            Pool::new(frames.as_mut_ptr().cast(), 0x10_0000, 32),
            GuestRam::new(bytes.as_mut_ptr().cast(), 16 * 4096),
        )
    };
    let mut shadow = Shadow::new(pool, [0x1000, 0x2000, 0x3000, 0x4000]).unwrap();
    shadow.set_kernel_address(KERNEL);
    Rig { _frames: frames, _bytes: bytes, ram, shadow }
}

/// The same, linear mode left for the directory at 0x1000, whose entry for `KERNEL` leads to `TABLE`.
fn rig() -> Rig {
    let mut rig = linear();
    rig.ram.write(DIRECTORY + (KERNEL >> 20), TABLE | bits::UPPER).unwrap();
    rig.shadow.switch_root(&rig.ram, DIRECTORY).unwrap();
    rig
}

/// With PAE: the pointers at `DIRECTORY`, whose entry for `KERNEL` leads to the directory at `MIDDLE`, and that to `TABLE`.
fn pae() -> Rig {
    let mut rig = linear();
    rig.ram.write(DIRECTORY + 8 * (KERNEL >> 30), (MIDDLE | bits::PRESENT) as u64).unwrap();
    rig.ram.write(MIDDLE, (TABLE | bits::UPPER) as u64).unwrap();
    rig.shadow.switch_root(&rig.ram, DIRECTORY).unwrap();
    rig
}

#[test]
fn accessed_then_dirty() {
    let Rig { ram, mut shadow, .. } = rig();
    ram.write(TABLE, 0x5000 | RW).unwrap();
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Mended));
    assert_eq!(ram.read(TABLE), Ok(0x5000 | RW | bits::ACCESSED));
    assert!(!shadow.is_writable(KERNEL));
    assert_eq!(shadow.demand(&ram, KERNEL, FAULT_WRITE), Ok(Demand::Mended));
    assert_eq!(ram.read(TABLE), Ok(0x5000 | RW | bits::ACCESSED | bits::DIRTY));
    assert!(shadow.is_writable(KERNEL));
}

#[test]
fn a_user_access_needs_the_bit_in_every_level() {
    let Rig { ram, mut shadow, .. } = rig();
    ram.write(DIRECTORY + (KERNEL >> 20), TABLE | RW).unwrap();
    ram.write(TABLE, 0x5000 | RW | bits::USER).unwrap();
    assert_eq!(shadow.demand(&ram, KERNEL, FAULT_USER), Ok(Demand::Reflect(FAULT_USER | FAULT_PRESENT)));
}

#[test]
fn entries_are_checked_when_used() {
    let Rig { ram, mut shadow, .. } = rig();
    let bad = 0x5000 | RW | bits::LARGE;
    ram.write(TABLE, bad).unwrap();
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Err(Death::Killed(Category::BadPte, bad)));
    for beyond in [16 << 12 | RW, 0xFFFF_F000 | RW] {
        ram.write(TABLE, beyond).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Device(beyond.into())));
        assert_eq!(shadow.leaf(0, KERNEL), 0, "never mapped");
    }
    let global = TABLE | bits::UPPER | bits::GLOBAL;
    ram.write(DIRECTORY + (KERNEL >> 20), global).unwrap();
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Err(Death::Killed(Category::BadPgd, global)));
}

#[test]
fn nothing_reaches_the_switcher() {
    let Rig { ram, mut shadow, .. } = rig();
    ram.write(DIRECTORY + (SWITCHER >> 20), TABLE | bits::UPPER).unwrap();
    ram.write(TABLE, 0x5000 | RW).unwrap();
    assert_eq!(shadow.demand(&ram, SWITCHER, FAULT_WRITE), Ok(Demand::Reflect(FAULT_WRITE)));
    let before = shadow.leaf(0, SWITCHER);
    shadow.set_top(DIRECTORY, 1023);
    shadow.release_all();
    assert_eq!(shadow.leaf(0, SWITCHER), before);
}

#[test]
fn swap_entries_mean_nothing_and_clean_ones_are_read_only() {
    let Rig { ram, mut shadow, .. } = rig();
    ram.write(TABLE, 0x5000 | RW).unwrap();
    shadow.demand(&ram, KERNEL, FAULT_WRITE).unwrap();
    assert_eq!(shadow.set_pte(&ram, DIRECTORY, KERNEL, (0xFFFF_F000 | bits::DIRTY).into()), Ok(()));
    assert_eq!(shadow.leaf(0, KERNEL), 0);
    shadow.set_pte(&ram, DIRECTORY, KERNEL, (0x5000 | RW | bits::ACCESSED).into()).unwrap();
    assert!(!shadow.is_writable(KERNEL) && shadow.leaf(0, KERNEL) != 0);
}

#[test]
fn a_small_pool_is_recycled() {
    let Rig { ram, mut shadow, .. } = rig();
    for n in 0..200u32 {
        let address = n << 22;
        ram.write(DIRECTORY + 4 * n, TABLE | bits::UPPER).unwrap();
        ram.write(TABLE, 0x5000 | RW).unwrap();
        assert_eq!(shadow.demand(&ram, address, 0), Ok(Demand::Mended));
        assert_ne!(shadow.leaf(0, address), 0);
    }
}

#[test]
fn entries_of_eight_bytes() {
    let Rig { ram, mut shadow, .. } = pae();
    assert!(shadow.is_pae() && shadow.top_entries() == 4);
    ram.write(TABLE + 8, (0x5000 | RW) as u64).unwrap();
    let address = KERNEL + 0x1000;
    assert_eq!(shadow.demand(&ram, address, FAULT_WRITE), Ok(Demand::Mended));
    assert_eq!(ram.read(TABLE + 8), Ok((0x5000 | RW | bits::ACCESSED | bits::DIRTY) as u64));
    assert!(shadow.is_writable(address));
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Reflect(0)));
    // A change of a middle entry is heard, of that entry alone.
    shadow.set_middle(&ram, MIDDLE, 1);
    assert!(shadow.is_writable(address));
    shadow.set_middle(&ram, MIDDLE, 0);
    assert!(!shadow.is_writable(address));
    assert_eq!(shadow.demand(&ram, address, FAULT_WRITE), Ok(Demand::Mended));
    shadow.set_top(DIRECTORY, KERNEL >> 30);
    assert!(!shadow.is_writable(address));
}

#[test]
fn a_page_beyond_four_gigabytes_is_nobodys() {
    let Rig { ram, mut shadow, .. } = pae();
    let wide = 1 << 32 | (0x5000 | RW | bits::ACCESSED) as u64;
    ram.write(TABLE, wide).unwrap();
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Device(wide)));
    let death = Err(Death::Killed(Category::BadPte, wide as u32));
    assert_eq!(shadow.set_pte(&ram, DIRECTORY, KERNEL, wide), death);
    // Not taken along with its neighbour either.
    ram.write(TABLE + 8, (0x5000 | RW) as u64).unwrap();
    shadow.demand(&ram, KERNEL + 0x1000, 0).unwrap();
    assert_eq!(shadow.leaf(0, KERNEL), 0);
}

#[test]
fn each_level_has_flags_of_its_own() {
    let Rig { ram, mut shadow, .. } = pae();
    ram.write(TABLE, (0x5000 | RW) as u64).unwrap();
    for (at, entry, category) in [
        (DIRECTORY + 8 * (KERNEL >> 30), MIDDLE | RW, Category::BadPgd),
        (MIDDLE, TABLE | bits::UPPER | bits::LARGE, Category::BadPmd),
    ] {
        let good: u64 = ram.read(at).unwrap();
        ram.write(at, entry as u64).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Err(Death::Killed(category, entry)));
        ram.write(at, good).unwrap();
    }
    assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Mended));
}

/// What a kernel of either kind does first with the tables made for it: hang one of its own into them, at the top.
#[test]
fn boot_tables_are_right_for_both_kinds() {
    const SIZE: u32 = 0x8000;
    for format in [&NON_PAE, &PAE] {
        let Rig { ram, mut shadow, .. } = linear();
        let top = shadow.make_boot_tables(&ram, SIZE, SIZE).unwrap();
        assert!(top < SIZE && shadow.is_linear());
        for address in [0x123, KERNEL + 0x123] {
            assert_eq!(shadow.to_physical(&ram, address), Ok(0x123), "not settled yet");
        }
        let level = &format.upper[format.upper.len() - 1];
        let directory = if format.entry_bytes == 8 {
            ram.read::<u32>(top + 8 * (KERNEL >> 30)).unwrap() & !0xFFF
        } else {
            top
        };
        let own = KERNEL + (4 << 20);
        let at = directory + format.entry_bytes * format.index(level.shift, own);
        ram.write(at, TABLE | bits::UPPER).unwrap();
        ram.write(TABLE, 0x5000 | RW).unwrap();
        shadow.settle(&ram, format).unwrap();
        assert!(!shadow.is_linear() && shadow.is_pae() == (format.entry_bytes == 8));
        for (address, physical) in [(0x123, 0x123), (KERNEL + 0x4123, 0x4123), (own + 0x123, 0x5123)] {
            assert_eq!(shadow.to_physical(&ram, address), Ok(physical), "{address:#x}");
        }
        assert_eq!(shadow.demand(&ram, KERNEL + SIZE, 0), Ok(Demand::Reflect(0)), "the end of RAM");
    }
}

#[test]
fn there_must_be_room_for_boot_tables() {
    let Rig { ram, mut shadow, .. } = linear();
    assert_eq!(
        shadow.make_boot_tables(&ram, 0x8000, 0x2000),
        Err(Death::Killed(Category::BadGuestPage, 0x2000))
    );
}

/// A program's page at `n` pages from 0, used and dirty, in the table at `MIDDLE`.
fn program(n: u32, frame: u32, more: u32, ram: &GuestRam) {
    ram.write(MIDDLE + 4 * n, frame | RW | bits::USER | more).unwrap();
}

/// What a flush of user pages leaves of pages that were in the shadow: what the Guest's tables say now, of what was used.
#[test]
fn a_flush_keeps_what_is_still_so() {
    const USED: u32 = bits::ACCESSED;
    const DIRTIED: u32 = bits::ACCESSED | bits::DIRTY;
    let Rig { ram, mut shadow, .. } = rig();
    ram.write(DIRECTORY, MIDDLE | bits::UPPER).unwrap();
    for n in 0..4 {
        program(n, 0x5000, DIRTIED, &ram);
        assert_eq!(shadow.demand(&ram, n << 12, FAULT_WRITE), Ok(Demand::Mended));
    }
    let kernel = shadow.demand(&ram, KERNEL, 0);
    assert_eq!(kernel, Ok(Demand::Reflect(0)));
    program(0, 0x6000, DIRTIED, &ram);
    program(1, 0x6000, USED, &ram);
    program(2, 0x6000, 0, &ram);
    ram.write(MIDDLE + 12, 0u32).unwrap();
    shadow.flush_user(&ram);
    let frame = ram.frame(6);
    assert_eq!(shadow.leaf(0, 0), frame | RW | bits::USER | bits::DIRTY);
    assert_eq!(shadow.leaf(0, 0x1000), frame | bits::PRESENT | bits::USER);
    assert_eq!((shadow.leaf(0, 0x2000), shadow.leaf(0, 0x3000)), (0, 0));
    // Used again: the processor has set A in the shadow. An upper entry that grants less, and one that is gone.
    let leaf = shadow.leaf(0, 0) | bits::ACCESSED;
    let table = shadow.leaf_table(0, 0).unwrap();
    shadow.pool.write(table, 0, leaf as u64);
    ram.write(DIRECTORY, MIDDLE | bits::UPPER & !bits::WRITABLE).unwrap();
    shadow.flush_user(&ram);
    let upper = shadow.roots[0].entry(&shadow.pool, 0);
    assert_eq!((upper & RW, shadow.leaf(0, 0x1000) != 0), (bits::PRESENT, true));
    // Not used since: let go.
    shadow.flush_user(&ram);
    assert_eq!((shadow.leaf(0, 0), shadow.roots[0].entry(&shadow.pool, 0)), (0, 0));
    assert_eq!(shadow.demand(&ram, 0, 0), Ok(Demand::Mended));
    ram.write(DIRECTORY, 0u32).unwrap();
    shadow.flush_user(&ram);
    assert_eq!(shadow.roots[0].entry(&shadow.pool, 0), 0);
}

/// More leaf tables than a root remembers: what it has forgotten is released.
#[test]
fn a_flush_releases_what_nobody_remembers() {
    let Rig { ram, mut shadow, .. } = rig();
    let addresses = [0u32, 64 << 21, 5 << 21];
    program(0, 0x5000, bits::ACCESSED, &ram);
    for address in addresses {
        ram.write(DIRECTORY + 4 * (address >> 22), MIDDLE | bits::UPPER).unwrap();
        program(address >> 12 & 1023, 0x5000, bits::ACCESSED, &ram);
        assert_eq!(shadow.demand(&ram, address, 0), Ok(Demand::Mended));
    }
    shadow.flush_user(&ram);
    let there = addresses.map(|address| shadow.leaf(0, address) != 0);
    assert_eq!(there, [false, true, true]);
    assert_eq!(shadow.demand(&ram, 0, 0), Ok(Demand::Mended));
}

/// A kernel without hypercalls: address spaces have roots of their own, the kernel's pages are forgotten in all of them.
#[test]
fn a_kernel_page_is_invalidated_in_every_root() {
    let Rig { ram, mut shadow, .. } = rig();
    const OTHER: u32 = 0x4000;
    ram.write(OTHER + (KERNEL >> 20), TABLE | bits::UPPER).unwrap();
    ram.write(TABLE, 0x5000 | RW | bits::ACCESSED).unwrap();
    for directory in [DIRECTORY, OTHER, DIRECTORY] {
        shadow.load_root(&ram, directory, true);
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Mended));
    }
    shadow.invalidate(KERNEL);
    assert_eq!([0, 1].map(|n| shadow.leaf(n, KERNEL)), [0, 0]);
    assert_eq!(shadow.roots.iter().filter(|root| root.gpgdir.is_some()).count(), 2);
}
