//! Page tables that point to nowhere, to the Switcher, or to too much.

use crate::Verdict;
use crate::target::{NOWHERE, OUTSIDE, SCRATCH, end_of_ram, expect, probe, ring3_space};
use core::arch::asm;
use guest_kit::hypercall::{
    call_with_four, flush_async, flush_tlb, new_pgtable, number, set_pgd, set_pmd, set_pte,
};
use guest_kit::lguest_data::DATA;
use guest_kit::memory::{allocate_frame, frame_with, peek, poke};
use guest_kit::paging::{AddressSpace, flags, phys_to_virt, virt_to_phys};
use guest_kit::trap::Fault;
use guest_kit::{at, boot, catch};

const READY: u32 = flags::KERNEL_DATA | flags::ACCESSED | flags::DIRTY;
const GLOBAL: u32 = 0x100;
const SECRET: u32 = 0x0bad_5eed;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("pgd-large", || touch_directory(flags::TABLE | flags::LARGE)),
    ("pgd-global", || touch_directory(allocate_frame() | flags::TABLE | GLOBAL)),
    ("pgd-outside", || touch_directory(OUTSIDE | flags::TABLE)),
    ("pte-large", || touch_page(allocate_frame() | flags::KERNEL_DATA | flags::LARGE)),
    ("pte-outside", || touch_page((boot::memory_size() + (16 << 20)) | flags::KERNEL_DATA)),
    ("pte-limit", || touch_page(end_of_ram() | flags::KERNEL_DATA)),
    ("set-pte-limit", || tell_page(end_of_ram() | READY)),
    ("pgd-limit", || touch_directory(end_of_ram() | flags::TABLE)),
    ("pte-max", || touch_page(0xffff_f000 | flags::KERNEL_DATA)),
    ("set-pte-large", || tell_page(allocate_frame() | READY | flags::LARGE)),
    ("set-pte-outside", || tell_page(OUTSIDE | READY)),
    ("pointer-flags", || {
        let pointer = AddressSpace::kernel().cr3() + 8 * (NOWHERE >> 30);
        poke(phys_to_virt(pointer), allocate_frame() | flags::KERNEL_DATA);
        touch(NOWHERE)
    }),
    ("middle-large", || touch_directory(flags::TABLE | flags::LARGE)),
    ("middle-outside", || touch_directory(OUTSIDE | flags::TABLE)),
    ("pte-high", || {
        AddressSpace::kernel().map(SCRATCH, allocate_frame(), flags::KERNEL_DATA);
        AddressSpace::kernel().set_high_word(SCRATCH, 1);
        touch(SCRATCH)
    }),
    ("set-pte-high", || {
        AddressSpace::kernel().map(SCRATCH + 0x1000, allocate_frame(), flags::KERNEL_DATA);
        touch(SCRATCH + 0x1000)?;
        let cr3 = AddressSpace::kernel().cr3();
        call_with_four(number::SET_PTE, [cr3, SCRATCH, allocate_frame() | READY, 1]);
        Ok(())
    }),
    ("set-pgd-four", || tell_directory(4)),
    ("set-pmd-anywhere", || {
        for directory in [0, 1, OUTSIDE, u32::MAX, AddressSpace::kernel().directory_place(switcher()).0] {
            [0, 510, 511, 512, u32::MAX].into_iter().for_each(|index| set_pmd(directory, index));
        }
        Ok(())
    }),
    ("set-pte-absent", set_pte_absent),
    ("set-pte-clean", set_pte_clean),
    ("set-pte-no-root", set_pte_no_root),
    ("pgtable-zero", pgtable_zero),
    ("set-pgd-no-root", || {
        (0..1024).for_each(|index| set_pgd(0, index));
        // If that took the Switcher out of a root nobody had used, it is in use now.
        (0..6).for_each(|_| AddressSpace::new().activate());
        Ok(())
    }),
    ("set-pgd-index", || tell_directory(1024)),
    ("set-pgd-max", || tell_directory(u32::MAX)),
    ("set-pgd-switcher", || {
        tell_directory(switcher() >> 22)?;
        tell_directory(1023)
    }),
    ("flush-switcher", || {
        flush_tlb(true);
        Ok(())
    }),
    ("evict-switcher", || {
        let spaces = [(); 6].map(|()| AddressSpace::new());
        (0..3).for_each(|_| spaces.into_iter().for_each(AddressSpace::activate));
        Ok(())
    }),
    ("switcher-touch", || tell(switcher(), allocate_frame() | READY)),
    ("switcher-touch-last", || tell(0xffff_f000, 0)),
    ("switcher-own-table", switcher_own_table),
    ("switcher-write", switcher_write),
    ("switcher-ring3", switcher_ring3),
    ("registers-page", registers_page),
    ("upper-rights", upper_rights),
    ("vmcall-read-only", vmcall_read_only),
    ("vmcall-straddles", vmcall_straddles),
    ("shadow-flood", shadow_flood),
    ("data-as-page-table", || {
        let data = virt_to_phys(&raw const DATA as u32);
        AddressSpace::kernel().set_directory_entry(NOWHERE, data | flags::TABLE);
        // The statuses of the ring, 0xff each, make an entry with bit 7.
        touch(NOWHERE + 6 * 4096)
    }),
];

/// Where the memory begins that the Host keeps for the Switcher.
fn switcher() -> u32 {
    0u32.wrapping_sub(DATA.reserve_mem.get())
}

/// Reads an address, whatever that does.
fn touch(address: u32) -> Verdict {
    let _ = catch!("movl ({a}), {a}"; a = inout(reg) address => _);
    Ok(())
}

fn touch_directory(entry: u32) -> Verdict {
    AddressSpace::kernel().set_directory_entry(NOWHERE, entry);
    touch(NOWHERE)
}

fn touch_page(entry: u32) -> Verdict {
    AddressSpace::kernel().set_entry(SCRATCH, entry);
    touch(SCRATCH)
}

fn tell(address: u32, entry: u32) -> Verdict {
    set_pte(AddressSpace::kernel().cr3(), address, entry);
    Ok(())
}

fn tell_directory(index: u32) -> Verdict {
    set_pgd(AddressSpace::kernel().cr3(), index);
    Ok(())
}

/// SET_PTE on an address whose shadow table exists, because a neighbour is in use.
fn tell_page(entry: u32) -> Verdict {
    AddressSpace::kernel().map(SCRATCH + 0x1000, allocate_frame(), flags::KERNEL_DATA);
    touch(SCRATCH + 0x1000)?;
    tell(SCRATCH, entry)
}

/// Guest-physical 0 is as good a place for a page directory as any: no root that was never used may claim it.
fn pgtable_zero() -> Verdict {
    let from = phys_to_virt(AddressSpace::kernel().cr3());
    for at in (0..4096).step_by(4) {
        poke(phys_to_virt(at), peek(from + at));
    }
    new_pgtable(0);
    new_pgtable(AddressSpace::kernel().cr3());
    Ok(())
}

/// Tables nobody loaded have no shadow: what is said of them is nobody's.
fn set_pte_no_root() -> Verdict {
    let space = AddressSpace::new();
    space.map(NOWHERE + 4096, allocate_frame(), flags::USER_DATA);
    space.activate();
    touch(NOWHERE + 4096)?;
    set_pte(0, NOWHERE, allocate_frame() | READY | flags::USER);
    let fault = catch!("movl ({a}), {a}"; a = inout(reg) NOWHERE => _);
    expect(fault.is_some_and(|f| f.vector == 14), "an entry of other tables is in force")
}

/// A swap entry may have any bits but P.
fn set_pte_absent() -> Verdict {
    let swapped = (OUTSIDE | READY | flags::LARGE) & !flags::PRESENT;
    tell_page(swapped)?;
    AddressSpace::kernel().set_entry(SCRATCH, swapped);
    let fault = catch!("movl ({a}), {a}"; a = inout(reg) SCRATCH => _);
    expect(fault.is_some_and(|f| f.vector == 14), "an absent page was readable")
}

/// A clean entry must not become writable behind the Guest's back: D would be lost.
fn set_pte_clean() -> Verdict {
    let space = AddressSpace::kernel();
    let clean = allocate_frame() | flags::KERNEL_DATA | flags::ACCESSED;
    tell_page(0)?;
    space.change(SCRATCH, clean);
    poke(SCRATCH, 1);
    expect(space.entry(SCRATCH) & flags::DIRTY != 0, "a write left no D")
}

/// A table of our own for the Switcher's window: none of its pages may become ours.
fn switcher_own_table() -> Verdict {
    let space = AddressSpace::new();
    let frame = frame_with(SECRET);
    for page in 0..1024 {
        space.map(0xffc0_0000 + page * 4096, frame, flags::USER_DATA | flags::ACCESSED | flags::DIRTY);
    }
    space.activate();
    set_pgd(space.cr3(), 1023);
    for page in 0..1024 {
        let address = 0xffc0_0000 + page * 4096;
        let value: u32;
        let fault = catch!("movl ({a}), {v}"; a = in(reg) address, v = out(reg) value);
        expect(address < switcher() || fault.is_some() || value != SECRET, "a page of the window is ours")?;
    }
    Ok(())
}

/// Base of the table a store instruction reveals.
fn live_tables() -> (u32, u32) {
    let (mut gdt, mut idt) = ([0u16; 4], [0u16; 4]);
    // SAFETY: SGDT and SIDT store six bytes.
    unsafe { asm!("sgdt [{g}]", "sidt [{i}]", g = in(reg) &raw mut gdt, i = in(reg) &raw mut idt) };
    let base = |t: [u16; 4]| u32::from(t[1]) | u32::from(t[2]) << 16;
    (base(gdt), base(idt))
}

/// Writes to the live GDT, the live IDT and the Switcher's text, putting back what is there.
fn switcher_write() -> Verdict {
    let (gdt, idt) = live_tables();
    let page_fault = idt + 14 * 8;
    let text = peek(page_fault) & 0xffff | peek(page_fault + 4) & 0xffff_0000;
    for address in [gdt, idt, text & !3] {
        let fault = catch!("movl ({a}), {v}", "movl {v}, ({a})"; a = in(reg) address, v = out(reg) _);
        expect(fault.is_some_and(|f| f.vector == 14 && f.error == 3), "the Host's page was writable")?;
    }
    Ok(())
}

fn switcher_ring3() -> Verdict {
    let (gdt, idt) = live_tables();
    ring3_space();
    for address in [gdt, idt] {
        let fault = probe(at!(probe_read), address);
        expect(fault.vector == 14 && fault.error == 5, "ring 3 can read the Host's page")?;
    }
    Ok(())
}

/// The page the Switcher saves registers in is writable for ring 1, which finds nothing there that counts.
fn registers_page() -> Verdict {
    let (gdt, _) = live_tables();
    let page = (gdt & !0xfff) - 4096;
    for garbage in [u32::MAX, 0, SECRET, page] {
        for at in (page..page + 4096).step_by(4) {
            poke(at, garbage);
        }
        flush_async();
    }
    Ok(())
}

/// A page that an upper level of the tables denies, to ring 3 or to writes: a fault, and no fault without end.
fn upper_rights() -> Verdict {
    const HERE: u32 = 0x0080_0000;
    let space = ring3_space();
    space.map(HERE, allocate_frame(), flags::USER_DATA | flags::ACCESSED | flags::DIRTY);
    let table = space.directory_entry(HERE);
    space.set_directory_entry(HERE, table & !flags::USER);
    let fault = probe(at!(probe_read), HERE);
    expect(fault.vector == 14 && fault.error == 5 && fault.cr2 == HERE, "ring 3 reads it")?;
    space.set_directory_entry(HERE, table & !flags::WRITABLE);
    set_pgd(space.cr3(), HERE >> 22);
    let fault = catch!("movl {a}, ({a})"; a = in(reg) HERE);
    expect(fault.is_some_and(|f| f.vector == 14 && f.error == 3), "ring 1 writes it")
}

/// Calls the code at an address; the call is FLUSH_ASYNC.
fn run_code(address: u32) -> Option<Fault> {
    catch!("call *{a}"; a = in(reg) address, inout("eax") number::FLUSH_ASYNC => _)
}

/// `vmcall; ret` in a page that is not writable: the Host rewrites it, and the page stays what it is.
fn vmcall_read_only() -> Verdict {
    let frame = frame_with(0xc3c1_010f);
    AddressSpace::kernel().map(SCRATCH, frame, flags::PRESENT);
    for _ in 0..2 {
        expect(run_code(SCRATCH).is_none(), "it faults")?;
        expect(peek(phys_to_virt(frame)) == 0xc390_1fcd, "it was not rewritten")?;
    }
    let fault = catch!("movl {a}, ({a})"; a = in(reg) SCRATCH);
    expect(fault.is_some_and(|f| f.vector == 14 && f.error == 3), "the page is writable now")
}

/// The same across two pages that are apart in memory: what lies between them stays as it is.
fn vmcall_straddles() -> Verdict {
    let [first, between, second] = [allocate_frame(), frame_with(SECRET), frame_with(0x00c3_c101)];
    poke(phys_to_virt(first) + 4092, 0x0f00_0000);
    AddressSpace::kernel().map(SCRATCH, first, flags::PRESENT);
    AddressSpace::kernel().map(SCRATCH + 4096, second, flags::PRESENT);
    expect(run_code(SCRATCH + 4095).is_none(), "it faults")?;
    expect(peek(phys_to_virt(between)) == SECRET, "another page was rewritten")?;
    expect(peek(phys_to_virt(second)) == 0x00c3_901f, "it was not rewritten")
}

/// More shadow tables than any Host keeps: all of ring 3's half, in six address spaces.
fn shadow_flood() -> Verdict {
    let (table, frame) = (allocate_frame(), frame_with(SECRET));
    for index in 0..1024 {
        poke(phys_to_virt(table) + index * 4, frame | flags::KERNEL_DATA);
    }
    for _ in 0..6 {
        let space = AddressSpace::new();
        for index in 0..512 {
            space.set_directory_entry(index << 22, table | flags::TABLE);
        }
        space.activate();
        for index in 0..512 {
            expect(peek(index << 22) == SECRET, "a page changed its contents")?;
        }
    }
    flush_async();
    Ok(())
}
