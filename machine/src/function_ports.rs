//! Which ports PCI functions answer at: where software has put them.
//!
//! Looked up at every port access, so it is kept beside the configuration space and follows it after each write.

use crate::devices::pci::PciBus;
use crate::devices::{ide, piix4_pm};

/// A port of a PCI function.
pub(crate) enum FunctionPort {
    /// Offset in the power-management block.
    Power(u16),
    /// A register of the IDE function.
    Ide(ide::Port),
}

/// The ports of all functions, as of the last look at the bus.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FunctionPorts {
    power: Option<u16>,
    ide: ide::Decoder,
}

impl FunctionPorts {
    /// As the configuration spaces have it now.
    pub fn of(pci: &PciBus) -> FunctionPorts {
        FunctionPorts { power: piix4_pm::base(pci), ide: ide::Decoder::of(pci) }
    }

    /// What `port` is, if a function answers there.
    pub fn find(&self, port: u16) -> Option<FunctionPort> {
        match self.power {
            Some(base) if port & piix4_pm::BASE_MASK == base => Some(FunctionPort::Power(port - base)),
            _ => self.ide.port(port).map(FunctionPort::Ide),
        }
    }
}
