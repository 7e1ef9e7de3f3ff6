//! Configuration space, the window in it, and devices' registers where no driver would use them.

use crate::Verdict;
use crate::target::{SCRATCH, expect, probe, ring3_space, trap_on_stack};
use core::arch::asm;
use guest_kit::descriptor::selector;
use guest_kit::hypercall::{flush_async, new_pgtable, set_pte, set_stack};
use guest_kit::memory::{allocate_frame, frame_with, peek, poke};
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::pci::{self, ADDRESS, BAR, DATA, Device, Width};
use guest_kit::trap::Fault;
use guest_kit::virtio::{kind, register};
use guest_kit::{at, catch};

const SECRET: u32 = 0x0bad_5eed;
const PAGE_FAULT: u32 = 14;
/// Registers of the window in configuration space: BAR, offset, length, data.
const WINDOW: [u32; 3] = [0x88, 0x8c, 0x90];
const WINDOW_DATA: u32 = 0x94;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("pci-functions", functions),
    ("pci-ports", ports),
    ("pci-window", window),
    ("bar-gone", || {
        let device = console()?;
        device.set_config(BAR, 0);
        device.read::<u32>(0);
        Ok(())
    }),
    ("bar-beyond", || {
        let address = mapped(console()?.bar + (1 << 20), flags::KERNEL_DATA);
        u32::load(address);
        Ok(())
    }),
    ("set-pte-device", set_pte_device),
    ("bar-over-ram", bar_over_ram),
    ("device-operand", operand),
    ("device-instructions", instructions),
    ("device-execute", execute),
    ("device-ring-3", from_ring_3),
    ("device-read-only", read_only),
    ("device-as-directory", || {
        new_pgtable(console()?.bar);
        Ok(())
    }),
    ("device-as-page-table", || {
        AddressSpace::kernel().set_directory_entry(SCRATCH, console()?.bar | flags::TABLE);
        touch(SCRATCH);
        Ok(())
    }),
    ("device-as-stack", || {
        set_stack(selector::RING1_DS, mapped(console()?.bar, flags::KERNEL_DATA) + 0x1000, 1);
        Ok(())
    }),
    ("device-as-trap-stack", || {
        mapped(console()?.bar, flags::KERNEL_DATA);
        trap_on_stack(at!(probe_undefined))
    }),
    ("device-flood", || {
        let device = console()?;
        loop {
            device.write(register::NOTIFY, u16::MAX);
        }
    }),
];

/// The console, which every Guest has.
pub fn console() -> Result<Device, &'static str> {
    Device::find(kind::CONSOLE).ok_or("no console on the PCI bus")
}

/// A page mapped at SCRATCH.
fn mapped(physical: u32, page_flags: u32) -> u32 {
    AddressSpace::kernel().map(SCRATCH, physical, page_flags);
    SCRATCH
}

fn touch(address: u32) -> Option<Fault> {
    catch!("movl ({a}), {a}"; a = inout(reg) address => _)
}

/// There is one bus, and its devices have one function.
fn functions() -> Verdict {
    for (bus, slot, function) in [0, 1, 0xff]
        .into_iter()
        .flat_map(|bus| (0..32).flat_map(move |slot| (0..8).map(move |function| (bus, slot, function))))
        .filter(|&(bus, _, function)| bus != 0 || function != 0)
    {
        expect(pci::read(bus, slot, function, 0) == u32::MAX, "a device shows up where there is none")?;
    }
    Ok(())
}

/// Every width at every port, aligned or not, selecting whatever comes of it.
fn ports() -> Verdict {
    for port in ADDRESS..ADDRESS + 8 {
        for value in [0x5555_5555, u32::MAX, 0x8000_0894, 0] {
            value.port_out(port);
            (value as u16).port_out(port);
            (value as u8).port_out(port);
            let (long, word, byte) = (u32::port_in(port), u16::port_in(port), u8::port_in(port));
            expect(long as u16 == word && word as u8 == byte, "widths disagree")?;
        }
    }
    pci::select(0, console()?.slot, 0, 0);
    expect(u16::port_in(DATA + 2) == 0x1043, "the console is gone")
}

/// The window leads to BAR 0 alone, in whole registers.
fn window() -> Verdict {
    let device = console()?;
    let through = |[bar, offset, bytes]: [u32; 3]| {
        for (register, value) in WINDOW.into_iter().zip([bar, offset, bytes]) {
            device.set_config(register, value);
        }
        device.config(WINDOW_DATA)
    };
    const QUEUES: u32 = 0x12;
    expect(through([0, QUEUES, 2]) == 2, "the window is shut")?;
    for place in [[1, QUEUES, 2], [0, QUEUES, 0], [0, QUEUES, 3], [0, QUEUES, u32::MAX], [0, QUEUES, 4]] {
        expect(through(place) == 0, "the window shows what it must not")?;
    }
    // A write through a window that makes no sense writes nothing.
    for place in [[1, 0, 4], [0, 0, 3], [0, 0x1000, 4], [0, u32::MAX - 3, 4], [0, u32::MAX, 1]] {
        through(place);
        device.set_config(WINDOW_DATA, SECRET);
        expect(
            device.read::<u32>(register::DEVICE_FEATURE_SELECT) == 0,
            "the window writes what it must not",
        )?;
    }
    Ok(())
}

/// A device's page in SET_PTE, used and dirty: nothing is mapped, every access is still the Host's to carry out.
fn set_pte_device() -> Verdict {
    let device = console()?;
    let address = mapped(device.bar, flags::KERNEL_DATA | flags::ACCESSED | flags::DIRTY);
    set_pte(AddressSpace::kernel().cr3(), address, AddressSpace::kernel().entry(address));
    poke(address, 1);
    expect(
        peek(address) == 1 && device.read::<u32>(register::DEVICE_FEATURE_SELECT) == 1,
        "the device is not there",
    )
}

/// RAM stays RAM, wherever a BAR is moved.
fn bar_over_ram() -> Verdict {
    let frame = frame_with(SECRET);
    console()?.set_config(BAR, frame);
    expect(peek(mapped(frame, flags::KERNEL_DATA)) == SECRET, "a device covers RAM")
}

/// An access of which half is RAM: the device must not get all of it.
fn operand() -> Verdict {
    let device = console()?;
    let ram = mapped(allocate_frame(), flags::KERNEL_DATA);
    AddressSpace::kernel().map(ram + 0x1000, device.bar, flags::KERNEL_DATA);
    for address in [ram + 0xffe, ram + 0x1ffe] {
        let fault = catch!("movl {v}, ({a})"; a = in(reg) address, v = in(reg) SECRET);
        expect(fault.is_some_and(|f| f.vector == PAGE_FAULT), "half an access was carried out")?;
    }
    expect(device.read::<u32>(register::DEVICE_FEATURE_SELECT) == 0, "the device got it")
}

/// What the Host does not carry out is a fault like any other.
fn instructions() -> Verdict {
    let device = console()?.registers;
    macro_rules! refused {
        ($($code:literal)+) => {$(
            let fault = catch!($code; in("ecx") device, out("eax") _, out("edx") _, inout("edi") device => _);
            let told = fault.is_some_and(|f| f.vector == PAGE_FAULT && f.cr2 == device && f.error & 1 != 0);
            expect(told, $code)?;
        )+};
    }
    refused! {
        "addl %eax, (%ecx)" "incl (%ecx)" "xchgl %eax, (%ecx)" "lock cmpxchgl %edx, (%ecx)" "pushl (%ecx)"
        "popl (%ecx)" "stosb" "scasl" "fildl (%ecx)" "movw %ds, (%ecx)" "movw (%ecx), %es" "lcalll *(%ecx)"
        "jmpl *(%ecx)" "cmpb $0, (%ecx)" "btsl %eax, (%ecx)"
    }
    Ok(())
}

fn execute() -> Verdict {
    let device = console()?.registers;
    let fault = catch!("jmp *{a}"; a = in(reg) device);
    expect(fault.is_some_and(|f| f.vector == PAGE_FAULT && f.eip == device), "a device's registers are code")
}

/// A kernel may show a device to its programs; the Host does not carry out theirs.
fn from_ring_3() -> Verdict {
    const HERE: u32 = 0x0050_0000;
    let device = console()?;
    ring3_space().map(HERE, device.bar, flags::USER_DATA);
    let fault = probe(at!(probe_read), HERE);
    expect(fault.vector == PAGE_FAULT && fault.cr2 == HERE, "ring 3 reads a device's register")
}

fn read_only() -> Verdict {
    let device = console()?;
    let address = mapped(device.bar, flags::PRESENT);
    let fault = catch!("movl {v}, ({a})"; a = in(reg) address, v = in(reg) SECRET);
    expect(fault.is_some_and(|f| f.vector == PAGE_FAULT && f.error == 3), "a read-only page was written")?;
    expect(device.read::<u32>(register::DEVICE_FEATURE_SELECT) == 0, "the device got it")?;
    flush_async();
    // SAFETY: reads a register of a device.
    unsafe { asm!("mov {v}, [{a}]", a = in(reg) address, v = out(reg) _) };
    Ok(())
}
