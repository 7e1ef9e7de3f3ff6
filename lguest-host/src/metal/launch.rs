//! The Launcher: a Guest for each kernel among the modules (design: "Modules under multiboot").

use super::disk::DISKS;
use super::frames::Frames;
use super::multiboot::{Info, Module};
use super::once::Global;
use super::scheduler::{Guests, MAX_GUESTS, Slot};
use super::{disk, entropy, fpu, network, paging, serial_ports};
use crate::log;
use core::mem::MaybeUninit;
use lguest_host::abi::PAGE;
use lguest_host::block::Disk;
use lguest_host::bus::{BUS_PAGES, Bus};
use lguest_host::device::Equipment;
use lguest_host::guest::{Guest, SwitcherPages};
use lguest_host::image::{Boot, command_line, is_kernel};
use lguest_host::pci::Pci;
use lguest_host::ram::GuestRam;
use lguest_host::shadow::{Pool, Shadow};
use switcher_asm::Frame;

/// Megabytes of RAM of a Guest, unless `guest-mem=` says otherwise.
const DEFAULT_MEMORY: u32 = 64;
/// Most a Guest can get, in MiB: it and the Host must stay below the Switcher.
const MAX_MEMORY: u32 = 1024;
/// Page tables of a Guest's shadow: enough for its RAM twice over, recycled when they run out.
const SHADOW_PAGES_PER_MIB: u32 = 4;
const SHADOW_PAGES_MIN: u32 = 64;

const NO_DISK: Disk = Disk { number: 0, sectors: 0, read_only: true };

/// Everything needed to start a Guest, and to start it again.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The Guest's, from 0.
    number: usize,
    kernel: Module,
    initrd: Option<Module>,
    ram: u32,
    ram_size: u32,
    shadow: u32,
    shadow_pages: u32,
    disks: [Option<Disk>; DISKS],
    /// Physical address of the registers page.
    pub registers: u32,
    /// Physical address of the state page.
    pub state: u32,
}

impl Plan {
    /// The kernel's image, as the loader brought it.
    pub fn image(&self) -> &'static [u8] {
        self.kernel.data
    }

    /// Make the Guest: fresh RAM from the pristine modules.
    pub fn start(&self) -> Option<Guest> {
        // SAFETY: the ranges came from the frame allocator and are this plan's alone; a Guest made earlier from it
        // is dead and forgotten.
        let (ram, pool) = unsafe {
            (
                GuestRam::new(self.ram as *mut u8, self.ram_size + BUS_PAGES * PAGE),
                Pool::new(self.shadow as *mut u8, self.shadow, self.shadow_pages),
            )
        };
        ram.clear();
        let boot = Boot {
            image: self.kernel.data,
            initrd: self.initrd.map(|m| m.data),
            command_line: command_line(self.kernel.string),
            ram_size: self.ram_size,
        };
        let loaded = match boot.load(&ram) {
            Ok(loaded) => loaded,
            Err(error) => {
                log!("cannot start the Guest: {}", error.text());
                return None;
            }
        };
        let [text0, text1] = paging::switcher_text_pages();
        let shadow = Shadow::new(pool, [text0, text1, self.registers, self.state]).ok()?;
        let frame = (self.registers + PAGE - size_of::<Frame>() as u32) as *mut Frame;
        let mut disks = [NO_DISK; DISKS];
        let mut count = 0;
        for (to, disk) in disks.iter_mut().zip(self.disks.into_iter().flatten()) {
            *to = disk;
            count += 1;
        }
        let equipment = Equipment {
            disks: &disks[..count],
            mac: network::mac(self.number),
            entropy: entropy::is_there(),
        };
        let bus = Bus::new(&ram, self.ram_size, equipment).ok()?;
        let pages = SwitcherPages { frame, state: self.state as *mut _ };
        Some(Guest::new(ram, pages, shadow, bus, Pci::new(self.ram_size, equipment), loaded))
    }
}

/// Memory per Guest in MiB.
fn memory(info: &Info) -> u32 {
    match info.option("guest-mem=").map(str::parse) {
        None => DEFAULT_MEMORY,
        Some(Ok(mib @ 1..=MAX_MEMORY)) => mib,
        Some(_) => {
            log!("guest-mem= wants a number of MiB from 1 to {MAX_MEMORY}; using {DEFAULT_MEMORY}");
            DEFAULT_MEMORY
        }
    }
}

/// Make a Guest of each kernel; a module that is none is the initrd of the kernel before it.
pub fn guests(info: &Info, frames: &mut Frames) -> &'static mut Guests {
    static GUESTS: Global<MaybeUninit<Guests>> = Global::new(MaybeUninit::uninit());
    fpu::init();
    let mib = memory(info);
    // SAFETY: called once, so this is the only reference ever made.
    let guests = unsafe { (*GUESTS.as_ptr()).write(Guests::default()) };
    let mut modules = info.modules().peekable();
    while let Some(module) = modules.next() {
        if !is_kernel(module.data) {
            log!("module ignored: it is no kernel (ELF or bzImage) and no kernel comes before it");
            continue;
        }
        let initrd = modules.next_if(|m| !is_kernel(m.data));
        if guests.len() == MAX_GUESTS {
            log!("module ignored: {MAX_GUESTS} Guests are the most");
            continue;
        }
        // The machine's disks are the first Guest's.
        let disks = if guests.len() == 0 { find_disks(info) } else { [None; DISKS] };
        match plan(guests.len(), module, initrd, mib, disks, frames) {
            Some(plan) => guests.add(Slot::new(plan)),
            None => log!("not enough memory for a Guest of {mib} MiB (see guest-mem=)"),
        }
    }
    network::init(guests.len(), frames);
    entropy::init(frames);
    serial_ports::init(guests.len(), frames);
    if guests.len() == 0 {
        log!("no Guest to run: give one as a multiboot module");
    }
    guests
}

/// All disks there are. `read-only=` on the Host's command line names those that Guests must not write, by number: `read-only=2,3`.
fn find_disks(info: &Info) -> [Option<Disk>; DISKS] {
    let read_only = info.option("read-only=").unwrap_or("");
    core::array::from_fn(|n| {
        let number = n as u32;
        let sectors = disk::sectors(number)?;
        let read_only = read_only.split(',').any(|word| word.parse() == Ok(number + 1));
        let mode = if read_only { ", read-only" } else { "" };
        log!("disk {}: {sectors} sectors{mode}", number + 1);
        Some(Disk { number, sectors, read_only })
    })
}

fn plan(
    number: usize,
    kernel: Module,
    initrd: Option<Module>,
    mib: u32,
    disks: [Option<Disk>; DISKS],
    frames: &mut Frames,
) -> Option<Plan> {
    let ram_size = mib << 20;
    let shadow_pages = (mib * SHADOW_PAGES_PER_MIB).max(SHADOW_PAGES_MIN);
    Some(Plan {
        number,
        kernel,
        initrd,
        ram: frames.take(ram_size / PAGE + BUS_PAGES)?,
        ram_size,
        shadow: frames.take(shadow_pages)?,
        shadow_pages,
        disks,
        registers: frames.take(1)?,
        state: frames.take(1)?,
    })
}
