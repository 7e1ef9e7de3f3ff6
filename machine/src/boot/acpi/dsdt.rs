//! The DSDT: the devices on the board, how PCI interrupts are routed, and how to power off.

use super::aml::{
    ARG0, Aml, and, byte_fields, device, dword_field, eisa_id, elements, give, integer, method, name,
    name_string, or, pci_config_region, processor, scope, store, when,
};
use super::resources::{
    FIRST_INTERRUPT, buses, interrupts, irq, memory_window, port_window, ports, template,
};
use crate::boot::firmware::PM_BASE;

/// PCI lines, and the fields that name their registers in the ISA bridge.
const LINKS: [(&str, &str); 4] = [("LNKA", "PRQA"), ("LNKB", "PRQB"), ("LNKC", "PRQC"), ("LNKD", "PRQD")];
/// ISA interrupts a PCI line may go to.
const POSSIBLE: [u32; 3] = [5, 10, 11];
/// First global interrupt of the pins of the I/O APIC that PCI lines are wired to.
const DIRECT: u32 = 16;
/// Devices on the bus that have a slot.
const SLOTS: u32 = 32;
/// Where memory for PCI ends: the I/O APIC begins.
const PCI_MEMORY_END: u32 = 0xFEBF_FFFF;

/// The table's body, for a machine with `ram_size` bytes of RAM.
pub fn dsdt(ram_size: u64) -> Aml {
    [
        // Chosen by the operating system: 0 is 8259s, 1 is I/O APIC.
        name("\\PICF", &integer(0)),
        method("\\_PIC", 1, &[store(ARG0, &name_string("\\PICF"))]),
        // Soft off: sleep type 0 of the power-management function.
        name("\\_S5", &elements(&[integer(0), integer(0), integer(0), integer(0)])),
        scope("\\_PR", &[processor("CPU0", 0)]),
        scope("\\_SB", &[host_bridge(ram_size), links()].concat()),
    ]
    .concat()
}

fn host_bridge(ram_size: u64) -> Vec<Aml> {
    let windows = template(&[
        buses(0, 0),
        ports(0xCF8, 8),
        port_window(0x0000, 0x0CF7),
        port_window(0x0D00, 0xFFFF),
        memory_window(0x000A_0000, 0x000B_FFFF),
        memory_window(ram_size as u32, PCI_MEMORY_END),
    ]);
    vec![device(
        "PCI0",
        &[
            name("_HID", &eisa_id("PNP0A03")),
            name("_CRS", &windows),
            name("PRTP", &routes(|line| (name_string(LINKS[line as usize].0), 0))),
            name("PRTA", &routes(|line| (integer(0), DIRECT + line))),
            method(
                "_PRT",
                0,
                &[when(&name_string("PICF"), &[give(&name_string("PRTA"))]), give(&name_string("PRTP"))],
            ),
            isa_bridge(),
        ],
    )]
}

/// `_PRT`: for each pin of each slot its source; slots are wired one further each.
fn routes(source: impl Fn(u32) -> (Aml, u32)) -> Aml {
    let routes: Vec<Aml> = (1..SLOTS)
        .flat_map(|slot| (0..4).map(move |pin| (slot, pin)))
        .map(|(slot, pin)| {
            let (link, index) = source((slot + pin - 1) & 3);
            elements(&[integer(slot << 16 | 0xFFFF), integer(pin), link, integer(index)])
        })
        .collect();
    elements(&routes)
}

fn isa_bridge() -> Aml {
    let part = |name_: &str, id: &str, resources: &[Vec<u8>]| {
        device(name_, &[name("_HID", &eisa_id(id)), name("_CRS", &template(resources))])
    };
    let port = |name_: &str, number: u32, base: u16, line: u8| {
        let resources = template(&[ports(base, 8), irq(line)]);
        device(
            name_,
            &[name("_HID", &eisa_id("PNP0501")), name("_UID", &integer(number)), name("_CRS", &resources)],
        )
    };
    device(
        "ISA",
        &[
            name("_ADR", &integer(0x0001_0000)),
            pci_config_region("PIRR", 0x60, 4),
            byte_fields("PIRR", &LINKS.map(|(_, field)| field)),
            part("PIC", "PNP0000", &[ports(0x20, 2), ports(0xA0, 2), ports(0x4D0, 2), irq(2)]),
            part("TIMR", "PNP0100", &[ports(0x40, 4), irq(0)]),
            part("RTC", "PNP0B00", &[ports(0x70, 2), irq(8)]),
            part("SPKR", "PNP0800", &[ports(0x61, 1)]),
            part("FPU", "PNP0C04", &[ports(0xF0, 1), irq(13)]),
            part("KBD", "PNP0303", &[ports(0x60, 1), ports(0x64, 1), irq(1)]),
            port("COM1", 1, 0x3F8, 4),
            port("COM2", 2, 0x2F8, 3),
            // Motherboard resources: the registers of the power-management function.
            part("PMIO", "PNP0C02", &[ports(PM_BASE, 0x40)]),
        ],
    )
}

/// The four links (PNP0C0F): what PIRQRC says, and how to change it.
fn links() -> Vec<Aml> {
    let link = |(number, (link, field)): (u32, (&str, &str))| {
        let register = name_string(&format!("\\_SB.PCI0.ISA.{field}"));
        let disabled = and(&register, &integer(0x80));
        let resource = template(&[interrupts(&[0])]);
        device(
            link,
            &[
                name("_HID", &eisa_id("PNP0C0F")),
                name("_UID", &integer(number)),
                name("_PRS", &template(&[interrupts(&POSSIBLE)])),
                method("_STA", 0, &[when(&disabled, &[give(&integer(0x09))]), give(&integer(0x0B))]),
                method("_DIS", 0, &[store(&or(&register, &integer(0x80)), &register)]),
                name("BUF", &resource),
                dword_field(&name_string("BUF"), FIRST_INTERRUPT, "IRQN"),
                method(
                    "_CRS",
                    0,
                    &[
                        store(&and(&register, &integer(0x0F)), &name_string("IRQN")),
                        when(&disabled, &[store(&integer(0), &name_string("IRQN"))]),
                        give(&name_string("BUF")),
                    ],
                ),
                method(
                    "_SRS",
                    1,
                    &[dword_field(ARG0, FIRST_INTERRUPT, "WANT"), store(&name_string("WANT"), &register)],
                ),
            ],
        )
    };
    (1..).zip(LINKS).map(link).collect()
}
