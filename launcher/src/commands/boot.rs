//! `ringside boot`: an image on the bare machine, without lguest.

use crate::disk;
use crate::error::Error;
use crate::files;
use crate::image::{BootModule, Bytes, Image};
use crate::options::{MachineOptions, comma_list};
use crate::session::Plan;
use machine::boot::{linux, multiboot};
use std::path::{Path, PathBuf};

/// What the ROM of the display adapter is called when it lies beside the BIOS.
const VGA_BIOS: &str = "vgabios.bin";

/// Arguments of `boot`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  ringside boot kernel.elf --append 'verbose' --initrd 'module.bin its arguments,other.bin'
  ringside boot bzImage --initrd rootfs.cpio.gz --append 'console=ttyS0' --mem 256
  ringside boot bzImage --initrd rootfs.cpio.gz --append 'console=ttyS0' --disk disk.img --disk data.img,ro
  ringside boot bzImage --initrd rootfs.cpio.gz --append 'console=ttyS0' --net user --rng
  ringside boot --bios bios.bin --post - --max-insns 1000000
  ringside boot --bios /usr/share/seabios/bios-256k.bin --disk disk.img --script keys.txt --screen -
  ringside boot roms/lguest-host.elf --initrd 'roms/first-guest.elf' --append 'guest-mem=64' --mem 128

Network (--net user)
  The kernel needs drivers for virtio 1.0 over PCI; it asks for an address by DHCP and gets 10.0.2.15. 10.0.2.2 is
  your machine: its own services on 127.0.0.1. 10.0.2.3 answers for names. TCP and UDP go out as this program's own
  connections; only pings beyond the gateway do not. 10.0.2.4 is a peer inside the machine, with echo (port 7),
  discard (9) and a megabyte of characters (19); what it says is the same in every run.

`ringside help run` explains console, scripts and traces.")]
pub struct BootArgs {
    /// A multiboot kernel or a Linux bzImage, recognised by its content
    #[arg(required_unless_present = "bios")]
    image: Option<PathBuf>,
    /// Start this ROM at the reset vector instead (a multiple of 4 KiB, or a smaller power of two, up to 256 KiB)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "append", "initrd"])]
    bios: Option<PathBuf>,
    /// ROM of the display adapter for `--bios`; `vgabios.bin` beside the BIOS, where there is one, if not given
    #[arg(long, value_name = "FILE", requires = "bios")]
    vga_bios: Option<PathBuf>,
    /// RAM in MiB, at most 3072
    #[arg(long, value_name = "MiB", default_value_t = 64)]
    mem: u64,
    /// Command line of the kernel
    #[arg(
        long,
        value_name = "STR",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    append: String,
    /// Modules of a multiboot kernel, each with its arguments after a space, or the archives that make the initial RAM
    /// disk of Linux (a comma that is meant is written twice)
    #[arg(long, value_name = "FILE[ ARGS],...")]
    initrd: Option<String>,
    /// An IDE hard disk with the contents of FILE; up to four: primary master, primary slave, secondary master and
    /// slave. What the guest writes goes to the file, and is safe there when the guest's flush ends. With `,ro` the
    /// file is not changed: what the guest writes lasts until the end of the run
    #[arg(long, value_name = "FILE[,ro]")]
    disk: Vec<String>,
    #[command(flatten)]
    options: MachineOptions,
}

impl BootArgs {
    /// The common options.
    pub fn options(&self) -> &MachineOptions {
        &self.options
    }

    /// Read everything, and say what machine is to be built.
    pub fn plan(&self) -> Result<Plan, Error> {
        self.options.refuse_later()?;
        let (path, image) = match (&self.bios, &self.image) {
            (Some(path), _) => (path, self.firmware(path)?),
            (None, Some(path)) => (path, self.kernel(path)?),
            (None, None) => return Err(Error::Usage("no image given (try `ringside help boot`)".into())),
        };
        let ram = self.mem.saturating_mul(1 << 20);
        let files = std::iter::once(path.clone())
            .chain(self.bios.is_some().then(|| self.vga_bios_path()).flatten())
            .chain(self.initrds().into_iter().map(|i| split(&i).0.into()));
        let disks = disk::open_all("--disk", &self.disk)?;
        Ok(Plan {
            name: path.display().to_string(),
            ram,
            image,
            files: files.collect(),
            disks,
            has_host: false,
            guests: 1,
        })
    }

    fn initrds(&self) -> Vec<String> {
        self.initrd.as_deref().map(comma_list).unwrap_or_default()
    }

    fn firmware(&self, path: &Path) -> Result<Image, Error> {
        let rom = files::read(path)?.into();
        let vga_bios = self.vga_bios_path().map(|path| option_rom(&path)).transpose()?;
        Ok(Image::Firmware { rom, vga_bios })
    }

    /// The file of the display adapter's ROM.
    fn vga_bios_path(&self) -> Option<PathBuf> {
        let beside =
            || self.bios.as_ref().map(|bios| bios.with_file_name(VGA_BIOS)).filter(|path| path.is_file());
        self.vga_bios.clone().or_else(beside)
    }

    fn kernel(&self, path: &Path) -> Result<Image, Error> {
        let kernel = files::read(path)?;
        let initrds = self.initrds();
        let command_line = self.append.clone();
        if linux::is_linux(&kernel) {
            let initrd = ram_disk(&initrds)?;
            return Ok(Image::Linux { kernel: kernel.into(), command_line, initrd, seed: self.options.seed });
        }
        if !multiboot::is_multiboot(&kernel) {
            let what = "neither a multiboot kernel (no header in the first 8 KiB) nor a Linux bzImage".into();
            return Err(Error::BadFile { path: path.into(), what });
        }
        let modules = initrds.iter().map(|item| module(item)).collect::<Result<_, _>>()?;
        Ok(Image::Multiboot { kernel: kernel.into(), command_line, modules })
    }
}

/// An option ROM: it starts with 55 AA and its length in units of 512 bytes, and is no larger than its area.
fn option_rom(path: &Path) -> Result<Bytes, Error> {
    let rom = files::read(path)?;
    let bad = |what: &str| Error::BadFile { path: path.into(), what: what.into() };
    let &[0x55, 0xAA, blocks, ..] = rom.as_slice() else {
        return Err(bad("not an option ROM: it does not start with 55 AA and a length"));
    };
    if rom.len() < usize::from(blocks) * 512 {
        return Err(bad("truncated: shorter than the length in its header"));
    }
    if rom.len() > 0x1_0000 {
        return Err(bad("an option ROM of more than 64 KiB"));
    }
    Ok(rom.into())
}

/// Archives one after the other, each at a multiple of four bytes, as Linux unpacks them.
fn ram_disk(files: &[String]) -> Result<Bytes, Error> {
    let mut image = Vec::new();
    for file in files {
        image.resize(image.len().next_multiple_of(4), 0);
        image.extend(files::read(Path::new(file))?);
    }
    Ok(image.into())
}

/// `FILE` or `FILE ARGS`.
fn split(item: &str) -> (&str, &str) {
    item.split_once(' ').unwrap_or((item, ""))
}

/// A module. The kernel sees a fixed name instead of the path, so that a run does not depend on it.
fn module(item: &str) -> Result<BootModule, Error> {
    let (file, arguments) = split(item);
    let data = files::read(Path::new(file))?.into();
    Ok(BootModule { data, string: format!("module {arguments}").trim_end().to_owned() })
}
