//! QEMU as the other machine: the same images, the same command lines, the same console.

use crate::{Boot, End, Limit, Report};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

const PROGRAM: &str = "qemu-system-i386";

/// Where QEMU is, if it is installed.
pub fn find() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(PROGRAM)).find(|path| path.is_file())
}

/// What QEMU calls itself.
pub fn version() -> Option<String> {
    let output = Command::new(find()?).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

pub fn run(boot: &Boot) -> Report {
    assert!(boot.cpu_mutant.is_none(), "QEMU's processor has no mutants");
    let program = find().unwrap_or_else(|| panic!("{PROGRAM} is not installed (Debian: qemu-system-x86)"));
    let log = temporary_file("host-log");
    let mut command = Command::new(program);
    command.arg("-kernel").arg(&boot.host);
    if !boot.host_words.is_empty() {
        command.args(["-append", &boot.host_words]);
    }
    // A comma that is meant is written twice.
    let guest = format!("{} {}", boot.guest.display(), boot.guest_words.replace(',', ",,"));
    let initrd = boot.initrd.as_ref().map_or(String::new(), |path| format!(",{}", path.display()));
    let neighbour = |(image, words): &(PathBuf, String)| {
        let initrd = boot.initrd_of(image).map_or(String::new(), |path| format!(",{}", path.display()));
        format!(",{} {}{initrd}", image.display(), words.replace(',', ",,"))
    };
    let neighbours: String = boot.neighbours.iter().map(neighbour).collect();
    command.arg("-initrd").arg(format!("{}{initrd}{neighbours}", guest.trim_end()));
    command.args(["-serial", "stdio", "-serial", &format!("file:{}", log.display())]);
    command.args(["-display", "none", "-no-reboot"]);
    command.args(["-m", &(128 + 64 * boot.neighbours.len()).to_string()]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    let disk = disk_file(boot.disk_sectors);
    if let Some(path) = &disk {
        command.args(["-drive", &format!("file={},format=raw,if=ide", path.display())]);
    }
    command.args(if boot.network { ["-nic", "user,model=virtio-net-pci"] } else { ["-nic", "none"] });
    if boot.entropy {
        command.args(["-device", "virtio-rng-pci"]);
    }
    let consoles: Vec<_> = boot
        .consoles
        .iter()
        .flatten()
        .zip(KINDS.into_iter().cycle())
        .enumerate()
        .map(|(n, (typed, kind))| {
            if n == 0 {
                command.args(["-device", "virtio-serial-pci,disable-legacy=on"]);
            }
            command.args(["-device", &format!("{kind},chardev=console{n}")]);
            if boot.unread {
                unread_console(n, &mut command)
            } else {
                console(n, typed.clone(), &mut command)
            }
        })
        .collect();
    let line = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let (speaks, spoke) = mpsc::channel();
    let console = thread::spawn(move || {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        // A console that breaks off is a short transcript, which the test will see.
        while let Ok(n @ 1..) = stdout.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..n]);
            // Nobody listens after the first time.
            let _ = speaks.send(());
        }
        bytes
    });
    // What is typed before the Host has opened its serial port is lost, as on a PC. A Guest that says nothing gets it
    // late; one that ends before it read everything closes the pipe: no error of ours.
    let _ = spoke.recv_timeout(Duration::from_secs(10));
    let _ = stdin.write_all(&boot.input);
    let is_over = || {
        boot.unread
            && fs::read(&log).is_ok_and(|log| String::from_utf8_lossy(&log).contains("guest 1 powered off"))
    };
    let end = wait(&mut child, boot.limit, is_over);
    let console = console.join().expect("the reader does not panic");
    let neighbours = consoles.into_iter().map(|console| console.join().expect("the reader does not panic"));
    let neighbours = neighbours.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    let host_log = fs::read(&log).unwrap_or_default();
    // Left behind, it would only take room.
    let _ = fs::remove_file(&log);
    if let Some(path) = disk {
        let _ = fs::remove_file(path);
    }
    Report {
        console: String::from_utf8_lossy(&console).into_owned(),
        neighbours,
        host_log: String::from_utf8_lossy(&host_log).into_owned(),
        end,
        command: line,
    }
}

/// Kinds of ports, which QEMU numbers differently: the Host takes them as they come.
const KINDS: [&str; 2] = ["virtconsole", "virtserialport"];

/// Where the `n`th console goes, on which this is `typed`: who reads what is said there.
fn console(n: usize, typed: Vec<u8>, command: &mut Command) -> thread::JoinHandle<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    command.args(["-chardev", &format!("socket,id=console{n},host=127.0.0.1,port={port}")]);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A console that breaks off is a short transcript, which the test will see.
        if let Ok(mut stream) = accept(&listener)
            && stream.write_all(&typed).is_ok()
        {
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// The same for a console that nobody reads: a pipe, which soon is full.
fn unread_console(n: usize, command: &mut Command) -> thread::JoinHandle<Vec<u8>> {
    let path = temporary_file("console");
    for end in ["in", "out"] {
        let made = Command::new("mkfifo").arg(path.with_extension(end)).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
    }
    command.args(["-chardev", &format!("pipe,id=console{n},path={}", path.display())]);
    thread::spawn(move || {
        // Long after QEMU has opened them; left behind, they would only be in the way.
        thread::sleep(Duration::from_secs(5));
        ["in", "out"].into_iter().for_each(|end| drop(fs::remove_file(path.with_extension(end))));
        Vec::new()
    })
}

/// QEMU's connection, if it comes.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed().as_secs() < 10 => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
            Ok((stream, _)) => return stream.set_nonblocking(false).map(|()| stream),
        }
    }
}

/// A name no other run of this or another process has.
fn temporary_file(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("ringside-{what}-{}-{n}", process::id()))
}

/// A disk of so many sectors, all zeros.
fn disk_file(sectors: u64) -> Option<PathBuf> {
    let path = (sectors != 0).then(|| temporary_file("disk"))?;
    let made = fs::File::create(&path).and_then(|file| file.set_len(512 * sectors));
    made.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(path)
}

/// Until `child` ends, has had its time, or has done what was wanted of it.
fn wait(child: &mut Child, limit: Limit, is_over: impl Fn() -> bool) -> End {
    let patience = match limit {
        Limit::Generous => Duration::from_secs(60),
        Limit::Short => Duration::from_secs(3),
        Limit::Neighbour => Duration::from_secs(10),
    };
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return match status.code() {
                Some(0) => End::PowerOff,
                Some(code) => End::Status(code as u32),
                None => End::Stopped,
            };
        }
        if start.elapsed() > patience || is_over() {
            child.kill().expect("the child is ours");
            child.wait().expect("the child is ours");
            return End::Limit;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
