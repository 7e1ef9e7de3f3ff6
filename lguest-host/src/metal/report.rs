//! The state a Guest died in, for the Host's log: registers, the last hypercalls, and how its kernel got there.

use crate::log;
use lguest_host::abi::hypercall;
use lguest_host::guest::Guest;
use lguest_host::symbols::{Plain, Symbols};

/// Bytes of a name that are said at most.
const NAME: usize = 80;

/// Say it. `image` is what the Guest was started from: if that is an ELF with symbols, functions have names.
pub fn state(guest: &mut Guest, image: &[u8]) {
    let f = *guest.frame();
    log!("  eax {:08x} ebx {:08x} ecx {:08x} edx {:08x}", f.eax, f.ebx, f.ecx, f.edx);
    log!("  esi {:08x} edi {:08x} ebp {:08x} esp {:04x}:{:08x}", f.esi, f.edi, f.ebp, f.ss, f.esp);
    log!("  eip {:04x}:{:08x} eflags {:08x} trap {} error {:x}", f.cs, f.eip, f.eflags, f.trapnum, f.errcode);
    for call in guest.history() {
        let (name, arguments) = hypercall(call.number);
        let arguments = call.args.get(..arguments).unwrap_or(&call.args);
        log!("  hypercall {} {name} {arguments:x?}", call.number);
    }
    let symbols = Symbols::of(image);
    let linear = guest.is_linear();
    for step in guest.backtrace() {
        let address = step.address;
        let how = if step.interrupted { "at" } else { "from" };
        // The call may be a function's last instruction: it is the byte before the return address that is surely in it.
        let back = if step.interrupted { 0 } else { 1 };
        let function = symbols.and_then(|symbols| {
            let linked = if linear { symbols.linked(address) } else { address };
            symbols.function(linked.wrapping_sub(back))
        });
        match function {
            Some((name, offset)) => {
                let name = Plain { name, most: NAME };
                log!("  {how:4} {address:08x} {name}+{:x}", offset + back);
            }
            None => log!("  {how:4} {address:08x}"),
        }
    }
}
