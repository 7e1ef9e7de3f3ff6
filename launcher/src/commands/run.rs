//! `ringside run`: Guests under the lguest Host.

use crate::disk;
use crate::error::Error;
use crate::files;
use crate::guest;
use crate::image::{BootModule, Bytes, Image};
use crate::options::{MachineOptions, comma_list};
use crate::seat;
use crate::session::Plan;
use machine::boot::{elf, linux};
use std::path::{Path, PathBuf};

/// The Host and the Guest that are part of this program.
mod embedded {
    pub const HOST: &[u8] = include_bytes!("../../../roms/lguest-host.elf");
    pub const GUEST: &[u8] = include_bytes!("../../../roms/linux-6.1/vmlinux");
    pub const INITRD: &[u8] = include_bytes!("../../../roms/linux-6.1/initrd.gz");
    /// Begins the Guest's command line: the console, and nothing of the kernel's on it but what is critical.
    pub const COMMAND_LINE: &str = "console=hvc0 quiet loglevel=3";
}

/// RAM beside the Guests', in MiB: the Host itself, its page tables and shadow page tables. The files it is given
/// come on top, because they stay in RAM for a Guest's restart.
const HOST_SHARE: u64 = 32;

/// Arguments of `run`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct RunArgs {
    /// Guest kernels, each a 32-bit ELF (vmlinux) or a Linux bzImage; default: the built-in Linux 6.1
    guest: Vec<PathBuf>,
    /// Initial RAM disk of the Guest; with several Guests a list, one for each
    #[arg(long, value_name = "FILE[,FILE...]")]
    initrd: Option<String>,
    /// Command line of every Guest; the built-in one's begins with `console=hvc0 quiet loglevel=3`
    #[arg(
        long,
        value_name = "STR",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    append: String,
    /// RAM of each Guest in MiB. The machine has the sum, 32 MiB for the Host, and room for the files
    #[arg(long, value_name = "MiB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=3072))]
    mem: u64,
    /// Start N copies of the Guest, up to 16
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=seat::MOST as u64))]
    guests: u64,
    /// Another Host image instead of the built-in one
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// A disk of the first Guest: a file of whole sectors, written back; with `,ro` the Guest must not write it. Up to four
    #[arg(long, value_name = "FILE[,ro]")]
    block: Vec<String>,
    #[command(flatten)]
    options: MachineOptions,
}

const HELP: &str = "\
Console
  The Guest's console is your terminal. Ctrl-A x quits, Ctrl-A h helps, Ctrl-A Ctrl-A sends Ctrl-A. In a terminal
  idle time passes as on your wall; otherwise it is skipped. With standard input not a terminal the console is plain
  bytes in and out; its end is not the end of the run. When a run ends badly, the Host's last words are shown.

  Several Guests have a console each (COM1 and the ports of a virtio serial device). Ctrl-A 1 to Ctrl-A 9 selects the
  one you see and type at, Ctrl-A n the next one. Of what the others say meanwhile the last 64 KiB are kept, and shown
  when you select them. Input that is no terminal's, and --input, are Guest 1's, and so is standard output. With
  `--console FILE` Guest 1's goes to FILE, those of the others to FILE.2, FILE.3 and so on, unless FILE is a device.

Scripts (--script)
  One instruction a line, in order:
      guest N       what follows is about the console of Guest N; at the start that is Guest 1's
      expect TEXT   wait until the console has said TEXT
      send TEXT     type TEXT at the console
      screen TEXT   wait until a row of the VGA text screen has TEXT in it (looked at every 10 ms of the machine)
      key NAME      press and release a key of the PC's own keyboard, or several at once: `key enter`, `key f2`,
                    `key ctrl-alt-del`
      keys TEXT     type TEXT on that keyboard (US layout), a keystroke every 20 ms of the machine
      resize COLUMNS ROWS   the Guest's terminal has this size from now on
      quit          end the run (exit status 10)
  `at N nmi`, `at N send TEXT` and `at N key NAME` happen when N instructions have been executed, whatever the rest of
  the script does. In TEXT of the console and of `keys`, \\n, \\r, \\t, \\\\ and \\xNN stand for bytes. Empty lines and
  lines that start with # say nothing.
  Keys: a to z, 0 to 9, the punctuation of a US keyboard (`minus` for -), enter esc tab space backspace up down left
  right home end pgup pgdn ins del f1 to f12 shift ctrl alt rshift rctrl ralt win menu caps num scroll kpenter kpplus.
      # boot, log in, shut down
      expect login:
      send root\\n
      expect # 
      at 5000000 nmi
      send poweroff\\n
  A script that waits in vain waits until a limit (--max-insns, --timeout), and its line number is told then.

Traces (--trace)
  A line for each change of ring and each world switch:
      insns vtime from>to cause cs:eip image!symbol+offset
      1204332 1390021 1>0 int1f:NEW_PGTABLE 0061:c1002f31 guest!lguest_write_cr3+9
  The place is the one in the less privileged ring: where it was left, or where it is entered. Causes are int1f with
  the name of the hypercall, intNN, #GP(error) and so on, #PF(error,cr2), irqN (the vector, in decimal), nmi, iret,
  lcall, lret, task; world:guest and world:host are the Switcher's changes of address space, in ring 0. All other
  numbers but the first two are hexadecimal.

Examples:
  ringside                                           the built-in Guest: Linux 6.1, at a shell
  ringside --append run=/load                        it runs one program and powers off
  ringside roms/first-guest.elf                      a small Guest that proves what each ring may and may not
  ringside vmlinux --initrd rootfs.cpio --mem 128    a Linux Guest
  ringside --block disk.img                          with a disk: /dev/vda in the Guest
  ringside --trace trace.txt --stats --hash          what happened, how often, and what is left
  ringside --script session.txt --max-insns 1000000000
  ringside a.elf b.elf --mem 16                      two Guests
  ringside --guests 3                                three built-in ones: Ctrl-A 2 for the second's shell";

impl RunArgs {
    /// The common options.
    pub fn options(&self) -> &MachineOptions {
        &self.options
    }

    /// Read everything, and say what machine is to be built.
    pub fn plan(&self) -> Result<Plan, Error> {
        self.options.refuse_later()?;
        if self.guest.len() > seat::MOST {
            let (count, most) = (self.guest.len(), seat::MOST);
            return Err(Error::Usage(format!("{count} Guests; {most} are the most")));
        }
        let (name, kernel) = self.host_image()?;
        let modules = self.modules()?;
        let guests = self.guests.max(self.guest.len() as u64);
        let files: u64 = modules.iter().map(|m| (m.data.len() as u64).div_ceil(1 << 20)).sum();
        let ram = (guests * self.mem + HOST_SHARE + files) << 20;
        let disks = disk::open_all("--block", &self.block)?;
        let read_only = disks.iter().zip(1..).filter(|(disk, _)| disk.is_read_only());
        let read_only: Vec<String> = read_only.map(|(_, n): (_, u32)| n.to_string()).collect();
        let mut command_line = format!("guest-mem={}", self.mem);
        if !read_only.is_empty() {
            command_line += &format!(" read-only={}", read_only.join(","));
        }
        let initrds = self.initrd.as_deref().map(comma_list).unwrap_or_default();
        let files =
            self.guest.iter().chain(&self.host).cloned().chain(initrds.into_iter().map(PathBuf::from));
        let image = Image::Multiboot { kernel, command_line, modules };
        Ok(Plan { name, ram, image, files: files.collect(), disks, has_host: true, guests: guests as usize })
    }

    fn host_image(&self) -> Result<(String, Bytes), Error> {
        match &self.host {
            Some(path) => Ok((path.display().to_string(), files::read(path)?.into())),
            None => Ok(("the built-in Host".into(), embedded::HOST.into())),
        }
    }

    /// Each Guest followed by its initial RAM disk, as the Host recognises them.
    fn modules(&self) -> Result<Vec<BootModule>, Error> {
        let ram = self.mem << 20;
        let mut guests: Vec<Bytes> = Vec::new();
        let mut ends = Vec::new();
        for path in &self.guest {
            let data = files::read(path)?;
            ends.push(guest::check_kernel(path, &data, ram)?);
            guests.push(data.into());
        }
        guest::check_command_line(&self.append)?;
        let built_in = guests.is_empty();
        let mut command_line = self.append.clone();
        if built_in {
            ends.push(guest::check_kernel(Path::new("the built-in Guest"), embedded::GUEST, ram)?);
            guests.push(embedded::GUEST.into());
            command_line = format!("{} {}", embedded::COMMAND_LINE, self.append).trim_end().to_owned();
        }
        if self.guests > 1 {
            let [only] = guests.as_slice() else {
                return Err(Error::Usage(
                    "--guests: copies of several Guests; give one Guest, or no --guests".into(),
                ));
            };
            guests = vec![only.clone(); self.guests as usize];
        }
        let mut initrds = self.initrds(guests.len())?;
        if built_in && initrds.is_empty() {
            initrds = vec![embedded::INITRD.into(); guests.len()];
        }
        for (initrd, &end) in initrds.iter().zip(ends.iter().cycle()) {
            guest::check_initrd(initrd.len() as u64, end, ram)?;
        }
        let modules = guests.into_iter().enumerate().flat_map(|(n, data)| {
            let initrd = initrds.get(n).cloned().map(|data| BootModule { data, string: "initrd".into() });
            std::iter::once(BootModule::guest(data, &command_line)).chain(initrd)
        });
        Ok(modules.collect())
    }

    /// One for each of `guests` Guests: a single file is for all of them.
    fn initrds(&self, guests: usize) -> Result<Vec<Bytes>, Error> {
        let Some(list) = &self.initrd else { return Ok(Vec::new()) };
        let files = comma_list(list);
        if files.len() != 1 && files.len() != guests {
            let message =
                format!("--initrd: {} files for {guests} Guest(s); give one, or one for each", files.len());
            return Err(Error::Usage(message));
        }
        let images = files.iter().map(|file| initrd(Path::new(file))).collect::<Result<Vec<_>, _>>()?;
        Ok(images.into_iter().cycle().take(guests).collect())
    }
}

/// The Host takes an ELF file or a bzImage for another Guest.
fn initrd(path: &Path) -> Result<Bytes, Error> {
    let data = files::read(path)?;
    if elf::is_elf(&data) || linux::is_linux(&data) {
        let what = "a kernel, not an initial RAM disk; to start it as a Guest, drop --initrd".into();
        return Err(Error::BadFile { path: path.into(), what });
    }
    Ok(data.into())
}
