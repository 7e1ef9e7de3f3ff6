//! Options that every way to run a machine has.

pub mod later;
pub mod rtc;

use crate::error::Error;
use later::{Engine, LaterOptions};
use rtc::Rtc;
use std::path::PathBuf;

/// Kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Net {
    /// No network device
    None,
    /// Through your machine: DHCP, names, TCP and UDP
    User,
}

/// Where bytes go and come from, when the run ends, what is told about it.
#[derive(clap::Args, Debug)]
pub struct MachineOptions {
    /// The processor's engine; the default is the fastest that works on this host
    #[arg(long, value_enum, default_value_t = Engine::best())]
    pub engine: Engine,
    /// Write the console (COM1) to FILE instead of standard output, those of more Guests to FILE.2 and so on
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub console: Option<PathBuf>,
    /// Write COM2, where the lguest Host logs, to FILE (`-` is standard error)
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub host_log: Option<PathBuf>,
    /// Write what port 0xE9, or SeaBIOS's port 0x402, is sent to FILE
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub debugcon: Option<PathBuf>,
    /// Write what port 0x190 is sent to FILE
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub post: Option<PathBuf>,
    /// At the end, write the VGA text screen to FILE
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub screen: Option<PathBuf>,
    /// Write a line for each change of ring to FILE
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub trace: Option<PathBuf>,
    /// Send FILE to the console at the start, deterministically; standard input is not read
    #[arg(long, value_name = "FILE", help_heading = "Inputs and outputs (`-` is standard output)")]
    pub input: Option<PathBuf>,
    /// Talk with the console as FILE says, deterministically; standard input is not read
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "input",
        help_heading = "Inputs and outputs (`-` is standard output)"
    )]
    pub script: Option<PathBuf>,
    /// A network device: `user` reaches the outside through your machine's own network, without any rights
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Net::None)]
    pub net: Net,
    /// An entropy device, whose bytes follow from --seed
    #[arg(long)]
    pub rng: bool,
    /// End after N instructions, exactly
    #[arg(long, value_name = "N")]
    pub max_insns: Option<u64>,
    /// End after SECONDS of your time
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub timeout: Option<f64>,
    /// What the machine's clock shows at the start: `now`, seconds since 1970, or YYYY-MM-DD[Thh:mm:ss]; always the
    /// same if not given
    #[arg(long, value_name = "TIME", default_value = "2025-01-01")]
    pub rtc: Rtc,
    /// Seed of everything random: the entropy device, what Linux is given on the bare machine, and the distances of `--engine check`
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// End instead of starting again when the machine asks for a reset (exit status 10)
    #[arg(long)]
    pub no_reboot: bool,
    /// At the end, print counts to standard error, one `key=value` a line
    #[arg(long)]
    pub stats: bool,
    /// At the end, print the compiled engine's code for the guest's code at ADDR (EIP, hexadecimal) to standard error
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub dump_jit: Option<u32>,
    /// At the end, write where compiled code is to /tmp/perf-PID.map, for `perf report`
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub perf_map: bool,
    /// At the end, print the hash of the machine's whole state as the last line on standard error
    #[arg(long)]
    pub hash: bool,
    #[command(flatten)]
    later: LaterOptions,
}

impl MachineOptions {
    /// Refuse what this version does not have.
    pub fn refuse_later(&self) -> Result<(), Error> {
        self.later.refuse()
    }
}

fn address(text: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| "not a hexadecimal address")
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "not a number")?;
    if seconds.is_finite() && (0.0..1e9).contains(&seconds) { Ok(seconds) } else { Err("not a time to wait") }
}

/// The items of a list separated by commas; a comma that is meant is written twice, as for QEMU.
pub fn comma_list(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, items.last_mut()) {
            (',', _) if chars.next_if_eq(&',').is_none() => items.push(String::new()),
            (c, Some(item)) => item.push(c),
            (_, None) => {}
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(comma_list("a b,c"), ["a b", "c"]);
        assert_eq!(comma_list("a,,b"), ["a,b"]);
        assert_eq!(comma_list(""), [""]);
    }
}
