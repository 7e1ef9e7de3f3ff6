//! Many Guests on one processor: round robin by turns, sleep when all sleep, bury the dead (1.2, 10.3).

use super::attention::Attention;
use super::console::{COM1, typed};
use super::launch::Plan;
use super::power::End;
use super::{clock, control, disk, entropy, fpu, interrupts, network, report, serial_ports, world};
use crate::log;
use lguest_host::block::SECTOR;
use lguest_host::console::Size;
use lguest_host::death::Death;
use lguest_host::guest::{Guest, Platform};
use lguest_host::mutant::broken;
use lguest_host::net::FRAME;

/// Guests at most.
pub const MAX_GUESTS: usize = 16;
/// Nanoseconds a Guest may run before the next gets its turn.
const SLICE: u64 = 10_000_000;
/// Device not available: the Guest touched the FPU.
const NM: u32 = 7;

/// A Guest and what belongs to it.
pub struct Slot {
    plan: Plan,
    guest: Option<Guest>,
    attention: Attention,
    /// Of its terminal.
    size: Size,
    fpu: fpu::State,
    fpu_used: bool,
}

impl Slot {
    /// A Guest that has not started.
    pub const fn new(plan: Plan) -> Slot {
        Slot {
            plan,
            guest: None,
            attention: Attention::None,
            size: Size { columns: 0, rows: 0 },
            fpu: fpu::State::new(),
            fpu_used: false,
        }
    }
}

/// All Guests.
#[derive(Default)]
pub struct Guests {
    slots: [Option<Slot>; MAX_GUESTS],
    count: usize,
}

impl Guests {
    /// Number of Guests.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The terminal of Guest `n` has this size now.
    fn resize(&mut self, n: usize, size: Size) {
        let Some(Some(slot)) = self.slots.get_mut(n) else { return };
        slot.size = size;
        if let Some(guest) = &mut slot.guest {
            guest.resize_console(size);
        }
    }

    /// One more. The caller has looked that there is room.
    pub fn add(&mut self, slot: Slot) {
        if let Some(free) = self.slots.get_mut(self.count) {
            *free = Some(slot);
            self.count += 1;
        }
    }
}

/// What a Guest's turn may use of the machine.
struct Machine {
    /// The Guest's number, from 0. That one's console is COM1.
    guest: usize,
    attention: Attention,
    /// The time of the last exit: nothing in a turn takes so long that another look at the clock would tell more.
    now: u64,
}

impl Platform for Machine {
    fn now(&self) -> u64 {
        self.now
    }
    fn wall_clock(&self) -> (u32, u32) {
        clock::wall_clock()
    }
    fn tsc_khz(&self) -> u32 {
        clock::tsc_khz()
    }
    fn console_write(&mut self, bytes: &[u8]) {
        if self.guest != 0 {
            return serial_ports::write(self.guest, bytes);
        }
        for &byte in bytes {
            COM1.send(byte);
        }
    }
    fn console_room(&mut self) -> u32 {
        if self.guest == 0 { u32::MAX } else { serial_ports::room(self.guest) }
    }
    fn has_input(&self) -> bool {
        self.console_ready() || self.frame_ready()
    }
    fn console_wanted(&mut self) {
        self.attention.begin(self.now);
    }
    fn console_ready(&self) -> bool {
        let typed = if self.guest == 0 { typed() } else { serial_ports::typed(self.guest) };
        typed && self.attention.is_full(self.now)
    }
    fn console_read(&mut self) -> Option<u8> {
        if self.guest == 0 { COM1.receive() } else { serial_ports::read(self.guest) }
    }
    fn disk_read(&mut self, number: u32, sector: u32, bytes: &mut [u8; SECTOR]) -> bool {
        disk::read(number, sector, bytes)
    }
    fn disk_write(&mut self, number: u32, sector: u32, bytes: &[u8; SECTOR]) -> bool {
        disk::write(number, sector, bytes)
    }
    fn disk_flush(&mut self, number: u32) -> bool {
        disk::flush(number)
    }
    fn frames_wanted(&mut self) {
        network::open(self.guest);
    }
    fn frame_ready(&self) -> bool {
        network::has_frame(self.guest)
    }
    fn frame_receive(&mut self, frame: &mut [u8; FRAME]) -> usize {
        network::take(self.guest, frame)
    }
    fn frame_send(&mut self, frame: &[u8]) {
        network::send(self.guest, frame);
    }
    fn entropy_ready(&mut self) -> bool {
        entropy::ready()
    }
    fn entropy(&mut self, bytes: &mut [u8]) -> usize {
        entropy::take(bytes)
    }
}

/// Run until no Guest is left.
pub fn run(guests: &mut Guests) -> End {
    let mut end = End::GuestDied;
    for n in 0..guests.count {
        start(guests, n);
    }
    loop {
        let mut alive = false;
        let mut awake = false;
        for n in 0..guests.count {
            awake |= turn(guests, n);
            if let Some(how) = bury(guests, n) {
                end = how;
            }
            alive |= guests.slots[n].as_ref().is_some_and(|s| s.guest.is_some());
        }
        if !alive {
            return end;
        }
        if !awake {
            // With nothing to come but a typed byte, no timer is needed.
            if let Some(at) = next_event(guests) {
                clock::interrupt_by(clock::now(), at);
            }
            interrupts::wait();
        }
    }
}

fn start(guests: &mut Guests, n: usize) {
    if let Some(slot) = &mut guests.slots[n] {
        slot.guest = slot.plan.start();
        slot.attention = Attention::None;
        slot.fpu = fpu::State::new();
        slot.fpu_used = false;
        fpu::forget(n);
        network::close(n);
        if slot.guest.is_some() {
            log!("guest {} started", n + 1);
        }
    }
    if let Some(slot) = &guests.slots[n] {
        // It may have been told to the one before.
        guests.resize(n, slot.size);
    }
}

/// The next clock event of anybody.
fn next_event(guests: &Guests) -> Option<u64> {
    guests.slots[..guests.count].iter().flatten().filter_map(|s| s.guest.as_ref()?.clock()).min()
}

/// Run Guest `n` until it sleeps, dies, or has had its slice. True if it ran at all.
fn turn(guests: &mut Guests, n: usize) -> bool {
    let attention = guests.slots[n].as_ref().map_or(Attention::None, |slot| slot.attention);
    let mut machine = Machine { guest: n, attention, now: clock::now() };
    let ran = run_slice(guests, n, &mut machine);
    if let Some(slot) = &mut guests.slots[n] {
        slot.attention = machine.attention;
    }
    ran
}

/// See [`turn`].
fn run_slice(guests: &mut Guests, n: usize, machine: &mut Machine) -> bool {
    let until = machine.now + SLICE;
    let mut ran = false;
    loop {
        if interrupts::has_news() {
            network::poll();
            serial_ports::poll();
            for (guest, size) in
                control::poll().map(|size| (0, size)).into_iter().chain(serial_ports::resized())
            {
                guests.resize(guest, size);
            }
        }
        let Some(guest) = guests.slots[n].as_mut().and_then(|s| s.guest.as_mut()) else { return ran };
        if !guest.prepare(machine) {
            if guest.is_halted() && machine.attention.guest_waits() {
                // What was typed before is for it now, and wakes it.
                continue;
            }
            return ran;
        }
        if guest.check_entry().is_err() {
            return ran;
        }
        ran = true;
        // After `prepare`, which may have set a clock event.
        let tick = machine.now + clock::TICK;
        clock::interrupt_by(machine.now, next_event(guests).map_or(tick, |at| at.min(tick)));
        let Some(slot) = &mut guests.slots[n] else { return ran };
        let Some(guest) = &mut slot.guest else { return ran };
        fpu::before_entry(n, guest.wants_ts());
        let cr2 = world::enter(guest, slot.plan.registers, slot.plan.state);
        let guest_wants_ts = guest.wants_ts();
        if guest.frame().trapnum == NM && !guest_wants_ts {
            give_fpu(guests, n);
        }
        let Some(guest) = guests.slots[n].as_mut().and_then(|s| s.guest.as_mut()) else { return ran };
        guest.handle_trap(cr2);
        machine.now = clock::now();
        if machine.now >= until && !broken("slice-never-ends") {
            return ran;
        }
    }
}

fn give_fpu(guests: &mut Guests, n: usize) {
    let slots = &raw mut guests.slots;
    let area = |n: usize| -> *mut fpu::State {
        // SAFETY: `guests` is borrowed mutably and `n` is a slot in use; only the state's address is taken.
        unsafe { (*slots)[n].as_mut().map_or(core::ptr::null_mut(), |s| &raw mut s.fpu) }
    };
    let fresh = guests.slots[n].as_mut().is_some_and(|s| !core::mem::replace(&mut s.fpu_used, true));
    fpu::take(n, area, area(n), fresh);
}

/// If Guest `n` is dead: say why, and restart or forget it.
fn bury(guests: &mut Guests, n: usize) -> Option<End> {
    let slot = guests.slots[n].as_mut()?;
    let guest = slot.guest.as_mut()?;
    let death = guest.death()?;
    let number = n + 1;
    // Escaped, or a Guest could write lines of the Host's log, or speak to the terminal that shows it.
    let text = *guest.last_words();
    let words = text.bytes().escape_ascii();
    let end = match death {
        Death::Restart => {
            log!("guest {number} restarts: {words}");
            slot.guest = None;
            start(guests, n);
            return None;
        }
        Death::Shutdown if guest.last_words().is_power_down() => {
            log!("guest {number} powered off");
            End::Clean
        }
        Death::Shutdown => {
            log!("guest {number} crashed: CRASH: {words}");
            report::state(guest, slot.plan.image());
            End::GuestDied
        }
        Death::Halted => {
            log!("guest {number} halted with interrupts off: it would sleep for ever");
            report::state(guest, slot.plan.image());
            End::GuestDied
        }
        Death::Killed(category, value) => {
            log!("guest {number} killed: {}: {value:#x}", category.name());
            if !guest.has_started() {
                log!(
                    "  before LGUEST_INIT: a 32-bit kernel with CONFIG_LGUEST_GUEST, and enough RAM for it?"
                );
            }
            report::state(guest, slot.plan.image());
            End::GuestDied
        }
    };
    slot.guest = None;
    fpu::forget(n);
    network::close(n);
    Some(end)
}
