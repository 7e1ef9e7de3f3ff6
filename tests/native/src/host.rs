//! The host processor: a program runs in 32-bit compatibility mode in this process, from one signal to the next.
//!
//! A signal handler puts the program's registers into its own frame and returns into the program. Whatever ends the
//! program arrives as a signal again, whose frame holds the final registers; the handler notes them and returns to
//! where the first signal came from. All 32-bit addresses belong to the program.

use crate::case::{End, State};
use crate::layout::{CODE, DATA, LDT, PAGE, STACK};
use libc::{c_int, c_void, siginfo_t, ucontext_t};
use std::arch::naked_asm;
use std::io::{Error, Result};

/// General registers of the frame, in the order of their encodings.
const GPRS: [c_int; 8] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
];
/// Bytes of the x87 and SSE image.
const FXSAVE: usize = 512;

/// What handler and main program share. Only one of them runs at a time.
struct Shared {
    phase: Phase,
    start: Option<State>,
    end: Option<End>,
    /// Turns of the clock the program has seen.
    turns: u32,
    registers: [i64; 23],
    image: [u8; FXSAVE],
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Idle,
    Starting,
    Running,
}

static mut SHARED: Shared =
    Shared { phase: Phase::Idle, start: None, end: None, turns: 0, registers: [0; 23], image: [0; FXSAVE] };
/// DS, ES, FS, GS as the program left them, or shall find them.
static mut SELECTORS: [u16; 4] = [0; 4];
static mut FS_BASE: u64 = 0;

/// The host, ready to run programs.
pub struct Host {
    /// The pages at a second place where they can be written: code, data (three), stack (two).
    alias: *mut u8,
    template: Vec<u8>,
}

impl Host {
    /// Map the program's pages and set the LDT. `template` is what data and stack hold at first.
    pub fn new(template: &[u8]) -> Result<Host> {
        let check = |ok: bool| if ok { Ok(()) } else { Err(Error::last_os_error()) };
        // SAFETY: fixed mappings below 4 GiB, where a position-independent 64-bit program has nothing.
        unsafe {
            let fd = libc::memfd_create(c"program".as_ptr(), 0);
            check(fd >= 0 && libc::ftruncate(fd, 6 * PAGE as i64) == 0)?;
            let map = |at: u32, page: usize, pages: usize, rights: c_int| {
                let flags = libc::MAP_SHARED
                    | libc::MAP_POPULATE
                    | if at != 0 { libc::MAP_FIXED_NOREPLACE } else { 0 };
                let offset = (page * PAGE) as i64;
                let got = libc::mmap(at as usize as *mut c_void, pages * PAGE, rights, flags, fd, offset);
                check(got != libc::MAP_FAILED).map(|()| got.cast::<u8>())
            };
            let write = libc::PROT_READ | libc::PROT_WRITE;
            let alias = map(0, 0, 6, write)?;
            alias.add(PAGE).copy_from_nonoverlapping(template.as_ptr(), 5 * PAGE);
            map(CODE, 0, 1, libc::PROT_READ | libc::PROT_EXEC)?;
            map(DATA, 1, 2, write)?;
            map(DATA + 2 * PAGE as u32, 3, 1, libc::PROT_READ)?;
            map(STACK, 4, 2, write)?;
            std::arch::asm!("rdfsbase {}", out(reg) FS_BASE);
            for (n, entry) in LDT.iter().enumerate() {
                let flags = entry.big as u32
                    | entry.contents << 1
                    | (entry.read_only as u32) << 3
                    | (entry.pages as u32) << 4
                    | (entry.absent as u32) << 5;
                let words = [n as u32, entry.base, entry.limit, flags];
                check(libc::syscall(libc::SYS_modify_ldt, 0x11, words.as_ptr(), 16) == 0)?;
            }
            handle_signals()?;
            forbid_32bit_system_calls()?;
            Ok(Host { alias, template: template.to_vec() })
        }
    }

    /// The LDT as it is in memory.
    pub fn ldt(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; 8 * LDT.len()];
        // SAFETY: the kernel writes at most that many bytes.
        unsafe { libc::syscall(libc::SYS_modify_ldt, 0, bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    /// Run `code` at `offset` of the code page, which is HLT elsewhere. `None` if it does not end or left the model.
    pub fn run(&mut self, start: &State, offset: usize, code: &[u8]) -> Option<End> {
        // SAFETY: the program owns the low pages; the alias is this process's only other way to them, used only while
        // no program runs. The handler reads and writes `SHARED` between the signal and the return of `raise`.
        unsafe {
            let pages = std::slice::from_raw_parts_mut(self.alias, 6 * PAGE);
            pages[..PAGE].fill(0xF4);
            pages[offset..offset + code.len()].copy_from_slice(code);
            pages[PAGE..].copy_from_slice(&self.template);
            let shared = &raw mut SHARED;
            let shared = &mut *shared;
            shared.start = Some(start.clone());
            shared.end = None;
            shared.turns = 0;
            shared.phase = Phase::Starting;
            libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR1);
            let shared = &raw mut SHARED;
            let mut end = (*shared).end.take()?;
            let pages = std::slice::from_raw_parts(self.alias, 6 * PAGE);
            end.memory.extend_from_slice(&pages[PAGE..3 * PAGE]);
            end.memory.extend_from_slice(&pages[4 * PAGE..]);
            Some(end)
        }
    }
}

fn handle_signals() -> Result<()> {
    // SAFETY: the alternate stack lives as long as the process; the handler is made for these signals.
    unsafe {
        let size = 1 << 17;
        let stack = Box::leak(vec![0u8; size].into_boxed_slice());
        let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: size };
        if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
            return Err(Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = entry as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        for signal in [
            libc::SIGUSR1,
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGFPE,
            libc::SIGSYS,
            libc::SIGALRM,
        ] {
            if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                return Err(Error::last_os_error());
            }
        }
        let tick = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
        let timer = libc::itimerval { it_interval: tick, it_value: tick };
        libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        Ok(())
    }
}

/// A program that makes a system call by accident gets SIGSYS.
fn forbid_32bit_system_calls() -> Result<()> {
    const ARCH: u32 = 4;
    const X86_64: u32 = 0xC000_003E;
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, ARCH),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, X86_64),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRAP),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the filter.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(Error::last_os_error()) }
}

/// The signal handler: takes the program's AC, NT, ID and segments away before anything looks at thread-local data, and gives them
/// back before a return into the program.
#[unsafe(naked)]
unsafe extern "C" fn entry(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    naked_asm!(
        "pushfq", "and qword ptr [rsp], -0x244001", "popfq",
        "mov eax, ds", "mov [rip + {selectors}], ax",
        "mov eax, es", "mov [rip + {selectors} + 2], ax",
        "mov eax, fs", "mov [rip + {selectors} + 4], ax",
        "mov eax, gs", "mov [rip + {selectors} + 6], ax",
        "xor eax, eax", "mov fs, eax",
        "mov rax, [rip + {fs_base}]", "wrfsbase rax",
        "sub rsp, 8", "call {handle}", "add rsp, 8",
        "test al, al", "je 2f",
        "movzx eax, word ptr [rip + {selectors}]", "mov ds, eax",
        "movzx eax, word ptr [rip + {selectors} + 2]", "mov es, eax",
        "movzx eax, word ptr [rip + {selectors} + 4]", "mov fs, eax",
        "movzx eax, word ptr [rip + {selectors} + 6]", "mov gs, eax",
        "2: ret",
        selectors = sym SELECTORS, fs_base = sym FS_BASE, handle = sym handle,
    )
}

/// Whether the return goes into the program.
unsafe extern "C" fn handle(signal: c_int, _: *mut siginfo_t, context: *mut c_void) -> bool {
    // SAFETY: the kernel passes a whole frame, and nothing else runs.
    unsafe {
        let context = &mut *context.cast::<ucontext_t>();
        let shared = &raw mut SHARED;
        let shared = &mut *shared;
        let registers = &mut context.uc_mcontext.gregs;
        let image = std::slice::from_raw_parts_mut(context.uc_mcontext.fpregs.cast::<u8>(), FXSAVE + 8);
        match shared.phase {
            Phase::Starting if signal == libc::SIGUSR1 => {
                shared.registers.copy_from_slice(&registers[..]);
                shared.image.copy_from_slice(&image[..FXSAVE]);
                let Some(start) = &shared.start else { return false };
                put(start, registers, image);
                shared.phase = Phase::Running;
                true
            }
            Phase::Running if signal == libc::SIGALRM && shared.turns == 0 => {
                shared.turns = 1;
                true
            }
            Phase::Running => {
                shared.end = (!matches!(signal, libc::SIGALRM | libc::SIGSYS)).then(|| get(registers, image));
                registers.copy_from_slice(&shared.registers);
                image[..FXSAVE].copy_from_slice(&shared.image);
                shared.phase = Phase::Idle;
                false
            }
            _ if signal == libc::SIGALRM => false,
            _ => {
                // A fault of our own.
                libc::signal(signal, libc::SIG_DFL);
                false
            }
        }
    }
}

/// Fill the frame with the program's registers.
unsafe fn put(start: &State, registers: &mut [i64; 23], image: &mut [u8]) {
    for (n, &register) in GPRS.iter().enumerate() {
        registers[register as usize] = start.gpr[n] as i64;
    }
    registers[libc::REG_RIP as usize] = start.eip as i64;
    registers[libc::REG_EFL as usize] = start.eflags as i64;
    let [es, cs, ss, ds, fs, gs] = start.seg;
    registers[libc::REG_CSGSFS as usize] = cs as i64 | (ss as i64) << 48;
    // SAFETY: nothing else runs.
    unsafe { SELECTORS = [ds, es, fs, gs] };
    image[0..2].copy_from_slice(&start.fcw.to_le_bytes());
    image[2..4].copy_from_slice(&start.fsw.to_le_bytes());
    image[4] = start.ftw;
    image[6..24].fill(0);
    image[24..28].copy_from_slice(&start.mxcsr.to_le_bytes());
    for n in 0..8 {
        image[32 + 16 * n..42 + 16 * n].copy_from_slice(&start.st[n]);
        image[160 + 16 * n..176 + 16 * n].copy_from_slice(&start.xmm[n]);
    }
    // The extended area is to be loaded: x87 and SSE.
    image[FXSAVE] |= 3;
}

/// The program's registers in the frame.
unsafe fn get(registers: &[i64; 23], image: &[u8]) -> End {
    let word = |n: c_int| registers[n as usize] as u32;
    let half = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let segments = registers[libc::REG_CSGSFS as usize];
    // SAFETY: nothing else runs.
    let [ds, es, fs, gs] = unsafe { SELECTORS };
    let mut state = State {
        gpr: GPRS.map(word),
        eip: word(libc::REG_RIP),
        eflags: word(libc::REG_EFL),
        seg: [es, segments as u16, (segments >> 48) as u16, ds, fs, gs],
        fcw: half(0),
        fsw: half(2),
        ftw: image[4],
        mxcsr: u32::from(half(24)),
        st: [[0; 10]; 8],
        xmm: [[0; 16]; 8],
    };
    for n in 0..8 {
        state.st[n].copy_from_slice(&image[32 + 16 * n..42 + 16 * n]);
        state.xmm[n].copy_from_slice(&image[160 + 16 * n..176 + 16 * n]);
    }
    End {
        state,
        vector: word(libc::REG_TRAPNO) as u8,
        error: word(libc::REG_ERR),
        cr2: word(libc::REG_CR2),
        memory: Vec::new(),
    }
}
